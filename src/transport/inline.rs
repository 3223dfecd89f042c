//! Answers calls on the task of their connection, where that takes no waiting.
//!
//! hyper gives each call to an executor, and a task for each costs more than a kept answer does: it moves to another
//! thread, which then waits for the connection's lock and wakes the connection's task again. So a call is polled once where
//! its request was read, after all that has come has been read. If that does not answer it, it goes on in a task of its own;
//! `call::served` makes sure that whatever a service does is done there, where no other call of the connection waits for it.

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};

use crate::heavy::turn;

/// The calls of one connection that have come and were not polled yet.
#[derive(Default)]
pub(super) struct UnpolledCalls(Arc<Queue>);

/// The executor of a connection. Each of its calls has one, so none of them may keep the others.
#[derive(Clone)]
pub(super) struct Inline(Weak<Queue>);

type Queue = Mutex<Vec<Call>>;

/// Wakes the connection's task; while that is at work, has it look once more: a task that is woken while it works is
/// handed to another thread.
#[derive(Default)]
struct ConnectionWaker {
    task: AtomicWaker,
    at_work: AtomicBool,
    woken: AtomicBool,
}

/// A call, which is cut at its time, wherever it stands: an answer that the client does not take is in hyper's hands, which
/// wait for as long as the connection lasts.
struct Call {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    cut_at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

thread_local! {
    /// When the call that is polled on this thread is to be cut.
    static CUT_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Has the call that this is called in cut at that time. Over HTTP/1.1, where a connection has one call, the connection is
/// given up instead when nothing more can be written to it (`transport::guarded`).
pub(super) fn cut_at(at: Instant) {
    CUT_AT.set(Some(at));
}

/// How often the connection is polled before others have their turn: for what has come, for the answers to that, and for
/// what has come meanwhile.
const TURNS: usize = 3;

/// The calls that are polled in that time. Those beyond get a task at once, so that the thread's other connections need not
/// wait for long.
const IN_A_ROW: usize = 64;

// === impl UnpolledCalls ===

impl UnpolledCalls {
    pub(super) fn executor(&self) -> Inline {
        Inline(Arc::downgrade(&self.0))
    }

    /// Polls the connection until it has ended, and each of its calls once. What comes with the end is dropped.
    pub(super) async fn run<C: Future>(self, mut connection: Pin<&mut C>) -> C::Output {
        let connection_waker = Arc::new(ConnectionWaker::default());
        let waker = Waker::from(connection_waker.clone());
        let mut calls = Vec::new();
        std::future::poll_fn(|cx| {
            connection_waker.task.register(cx.waker());
            let mut left = IN_A_ROW;
            for _ in 0..TURNS {
                connection_waker.begin();
                let polled = connection.as_mut().poll(&mut Context::from_waker(&waker));
                if polled.is_ready() {
                    return polled;
                }
                mem::swap(&mut calls, &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
                for mut call in calls.drain(..) {
                    if left == 0 || !has_ended(&mut call) {
                        tokio::spawn(call);
                    }
                    left = left.saturating_sub(1);
                }
                if !connection_waker.end() {
                    return Poll::Pending;
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

// === impl Inline ===

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Inline {
    /// hyper has a call executed while its connection is polled, so nobody needs to be woken.
    fn execute(&self, call: F) {
        if let Some(waiting) = self.0.upgrade() {
            let call = Call { future: Box::pin(call), cut_at: None, sleep: None };
            waiting.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        }
    }
}

/// Polls the call. Nothing wakes it: if it has not ended, its task polls it again. One that panics has ended, alone, as it
/// would in a task.
fn has_ended(call: &mut Call) -> bool {
    let poll = || Pin::new(call).poll(&mut Context::from_waker(Waker::noop()));
    catch_unwind(AssertUnwindSafe(poll)).map_or(true, |polled| polled.is_ready())
}

// === impl Call ===

impl Future for Call {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        CUT_AT.set(None);
        if turn(|| self.future.as_mut().poll(cx)).is_ready() {
            return Poll::Ready(());
        }
        if let Some(at) = CUT_AT.take() {
            self.cut_at = Some(at);
        }
        let Some(at) = self.cut_at else { return Poll::Pending };
        self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at))).as_mut().poll(cx)
    }
}

// === impl ConnectionWaker ===

impl ConnectionWaker {
    fn begin(&self) {
        self.at_work.store(true, Ordering::SeqCst);
        // Whoever has woken it has done so for what it finds now.
        self.woken.swap(false, Ordering::SeqCst);
    }

    /// Whether somebody has woken it since `begin`; from here on, that wakes the task.
    fn end(&self) -> bool {
        self.at_work.store(false, Ordering::SeqCst);
        self.woken.load(Ordering::SeqCst)
    }
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if !self.at_work.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    /// A connection that gives its calls to the executor when it is first polled, and ends when `end` says so.
    async fn connection(calls: Inline, begin: impl FnOnce(&Inline), end: oneshot::Receiver<()>) {
        begin(&calls);
        let _ = end.await;
    }

    /// Runs it until all `expected` calls have ended; how many of them ended on its own task.
    async fn run(expected: usize, begin: impl FnOnce(&Inline, &Ended)) -> usize {
        let (calls, ended) = (UnpolledCalls::default(), Ended::default());
        let (end, ending) = oneshot::channel();
        ended.0.own.set(tokio::task::id()).expect("the first");
        let connection = pin!(connection(calls.executor(), |calls| begin(calls, &ended), ending));
        let all = async {
            while ended.0.all.load(Ordering::SeqCst) < expected {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            end.send(()).expect("the connection waits");
        };
        tokio::join!(calls.run(connection), all);
        ended.0.inline.load(Ordering::SeqCst)
    }

    #[derive(Clone, Default)]
    struct Ended(Arc<Counts>);

    #[derive(Default)]
    struct Counts {
        own: OnceLock<tokio::task::Id>,
        all: AtomicUsize,
        inline: AtomicUsize,
    }

    impl Ended {
        fn count(&self) {
            let own = self.0.own.get() == Some(&tokio::task::id());
            self.0.inline.fetch_add(usize::from(own), Ordering::SeqCst);
            self.0.all.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// On a task, so that there is one that calls can be told to be on.
    async fn on_a_task<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
        let ended = tokio::time::timeout(Duration::from_secs(20), tokio::spawn(future)).await;
        ended.expect("it ends").expect("no panic")
    }

    #[tokio::test]
    async fn what_need_not_wait_ends_on_the_connections_task_and_what_waits_in_its_own() {
        let inline = on_a_task(run(4, |calls, ended| {
            for waits in [false, true, false, true] {
                let ended = ended.clone();
                calls.execute(async move {
                    if waits {
                        tokio::task::yield_now().await;
                    }
                    ended.count();
                });
            }
        }));
        assert_eq!(inline.await, 2);
    }

    #[tokio::test]
    async fn of_very_many_calls_the_last_get_their_tasks_at_once() {
        let inline = on_a_task(run(1_000, |calls, ended| {
            for _ in 0..1_000 {
                let ended = ended.clone();
                calls.execute(async move { ended.count() });
            }
        }));
        assert_eq!(inline.await, IN_A_ROW);
    }

    /// hyper gives each call the executor of its connection.
    #[tokio::test]
    async fn calls_that_come_with_the_end_of_their_connection_are_let_go() {
        let held = Arc::new(());
        let calls = UnpolledCalls::default();
        let (executor, in_the_call) = (calls.executor(), held.clone());
        let connection = pin!(async move {
            let own = executor.clone();
            executor.execute(async move {
                let _held = (own, in_the_call);
                std::future::pending::<()>().await;
            });
        });
        calls.run(connection).await;
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test]
    async fn a_call_is_cut_at_its_time_wherever_it_stands() {
        let held = Arc::new(());
        let calls = UnpolledCalls::default();
        let (executor, in_the_call) = (calls.executor(), held.clone());
        let connection = pin!(async move {
            executor.execute(async move {
                cut_at(Instant::now() + Duration::from_millis(200));
                let _held = in_the_call;
                std::future::pending::<()>().await;
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            let before = Arc::strong_count(&held);
            tokio::time::sleep(Duration::from_secs(1)).await;
            (before, Arc::strong_count(&held))
        });
        assert_eq!(calls.run(connection).await, (2, 1));
    }

    #[tokio::test]
    async fn a_call_that_panics_ends_alone() {
        let inline = on_a_task(run(2, |calls, ended| {
            let (before, after) = (ended.clone(), ended.clone());
            calls.execute(async move { before.count() });
            calls.execute(async { panic!("as it is to be") });
            calls.execute(async move { after.count() });
        }));
        assert_eq!(inline.await, 2);
    }

    /// Wakes that come from other threads, at whatever moment, are never lost.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_connection_that_is_woken_at_any_moment_is_polled() {
        const WAKES: usize = 20_000;
        let sent = Arc::new(AtomicUsize::new(0));
        let waker = Arc::new(AtomicWaker::new());
        let (seen, told) = (sent.clone(), waker.clone());
        let connection = std::future::poll_fn(move |cx| {
            told.register(cx.waker());
            if seen.load(Ordering::SeqCst) == WAKES { Poll::Ready(()) } else { Poll::Pending }
        });
        let calls = UnpolledCalls::default();
        let running = tokio::spawn(async move { calls.run(pin!(connection)).await });
        let waking = std::thread::spawn(move || {
            for n in 1..=WAKES {
                sent.store(n, Ordering::SeqCst);
                waker.wake();
                if n % 64 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(20), running).await.expect("it was woken").expect("no panic");
        waking.join().expect("no panic");
    }
}
