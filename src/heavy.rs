//! Work that takes longer than a call's turn on a thread of the runtime.
//!
//! The runtime has few threads, and all tenants' calls take turns on them. To turn a mebibyte of JSON into a message takes
//! milliseconds, in which the other calls of that thread would wait. It is done where it is all the same, since what it works on
//! need not be sent elsewhere then, but the thread's other tasks are handed to another thread first.

use tokio::runtime::{Handle, RuntimeFlavor};

/// From how many bytes on work is heavy. To hand over takes some ten microseconds, to convert as much some hundred.
pub(crate) const HEAVY: usize = 64 * 1024;

/// Does the work on `size` bytes. A runtime with one thread has none to hand over to: there it is as it always was.
pub(crate) fn heavy<T>(size: usize, work: impl FnOnce() -> T) -> T {
    let is_many = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if size > HEAVY && is_many { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn heavy_work_holds_up_no_other_task_of_its_thread() {
        for (size, waits) in [(HEAVY, true), (HEAVY + 1, false)] {
            let work = tokio::spawn(async move { heavy(size, || std::thread::sleep(Duration::from_millis(300))) });
            // The test has a thread of its own; the runtime's only one is at work by then.
            std::thread::sleep(Duration::from_millis(50));
            let begun = Instant::now();
            tokio::spawn(async {}).await.expect("no panic");
            assert_eq!(begun.elapsed() > Duration::from_millis(150), waits, "{size} bytes: {:?}", begun.elapsed());
            work.await.expect("no panic");
        }
    }

    #[tokio::test]
    async fn where_there_is_one_thread_the_work_is_done_on_it() {
        assert_eq!(heavy(usize::MAX, || 7), 7);
    }
}
