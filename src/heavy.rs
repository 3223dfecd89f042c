//! Work that takes longer than a call's turn on a thread of the runtime.
//!
//! The runtime has few threads, and all tenants' calls take turns on them. To turn a mebibyte of JSON into a message takes
//! milliseconds, in which the other calls of that thread would wait. It is done where it is all the same, since what it works on
//! need not be sent elsewhere then, but the thread's other tasks are handed to another thread first.

mod watch;

use std::cell::Cell;
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};

pub(crate) use watch::turn;

/// From how many bytes on work is heavy. To hand over takes some ten microseconds, to convert as much some hundred.
pub(crate) const HEAVY: usize = 64 * 1024;

/// The threads that do heavy work at once, besides the runtime's own: as many as there are processors, so that what it makes
/// is bounded as well.
struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

static PLACES: LazyLock<Places> = LazyLock::new(|| Places {
    free: Mutex::new(std::thread::available_parallelism().map_or(2, usize::from).max(2)),
    freed: Condvar::new(),
});

thread_local! {
    /// Whether this thread is at heavy work: what that calls needs no permit of its own.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Does the work on `size` bytes. A runtime with one thread has none to hand over to: there it is as it always was.
pub(crate) fn heavy<T>(size: usize, work: impl FnOnce() -> T) -> T {
    // First what costs nothing: every call comes by here, and nearly all are light.
    if size <= HEAVY || AT_WORK.get() {
        return work();
    }
    let is_many = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if !is_many {
        return work();
    }
    watch::heavy(|| {
        tokio::task::block_in_place(|| {
            let _permit = Permit::take();
            work()
        })
    })
}

/// One of the permits, until it is dropped.
struct Permit;

impl Permit {
    /// Waits for one: the thread has nothing else to do any more.
    fn take() -> Self {
        let mut free = PLACES.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = PLACES.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        AT_WORK.set(true);
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        AT_WORK.set(false);
        *PLACES.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        PLACES.freed.notify_one();
    }
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

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn heavy_work_within_heavy_work_needs_no_further_permit() {
        let works = (0..64).map(|_| tokio::spawn(async { heavy(usize::MAX, || heavy(usize::MAX, || 7)) }));
        for work in works.collect::<Vec<_>>() {
            let done = tokio::time::timeout(Duration::from_secs(20), work).await.expect("it ends");
            assert_eq!(done.expect("no panic"), 7);
        }
        let panics = tokio::spawn(async { heavy(usize::MAX, || panic!("as it is to be")) });
        panics.await.expect_err("it has panicked");
        assert!(!AT_WORK.get() && heavy(usize::MAX, || true), "and has given its permit back");
    }

    #[tokio::test]
    async fn where_there_is_one_thread_the_work_is_done_on_it() {
        assert_eq!(heavy(usize::MAX, || 7), 7);
    }
}
