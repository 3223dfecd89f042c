//! Tells, under test, which calls compute for too long on a thread of the runtime: other calls wait there meanwhile.
//!
//! With the feature `crash-points` the processor's time of each turn is measured, less what was handed over as heavy work; the
//! time in which other threads have the processor is nobody's fault and does not count. Without it, this is nothing.

#[cfg(not(feature = "crash-points"))]
mod unwatched {
    /// Does a call's turn.
    #[inline(always)]
    pub(crate) fn turn<T>(poll: impl FnOnce() -> T) -> T {
        poll()
    }

    /// Does work whose thread was handed over.
    #[inline(always)]
    pub(crate) fn heavy<T>(work: impl FnOnce() -> T) -> T {
        work()
    }
}

#[cfg(feature = "crash-points")]
mod watched {
    use std::cell::Cell;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// What a call may compute at once.
    const LIMIT: Duration = Duration::from_millis(10);

    thread_local! {
        /// What heavy work has taken of this thread's time.
        static HEAVY: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Does a call's turn.
    pub(crate) fn turn<T>(poll: impl FnOnce() -> T) -> T {
        let (begun, heavy) = (used(), HEAVY.get());
        let done = poll();
        let computed = (used() - begun).saturating_sub(HEAVY.get() - heavy);
        if computed > LIMIT {
            tracing::warn!(?computed, "call.computes_long");
        }
        done
    }

    /// Does work whose thread was handed over.
    pub(crate) fn heavy<T>(work: impl FnOnce() -> T) -> T {
        let begun = used();
        let done = work();
        HEAVY.set(HEAVY.get() + (used() - begun));
        done
    }

    /// The processor's time that this thread has had.
    fn used() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

#[cfg(not(feature = "crash-points"))]
pub(crate) use unwatched::{heavy, turn};
#[cfg(feature = "crash-points")]
pub(crate) use watched::{heavy, turn};
