//! Named places where the process can be made to die by its own SIGKILL, as a machine that loses power would.
//!
//! For the fault tests alone: without the feature `crash-points` a point is nothing. With it, `HERALD_CRASH_AT=name:n`
//! kills the process when the point `name` is passed for the n-th time.

/// Every place, in the order in which a campaign passes them; the store's are passed by every group of writes.
pub const POINTS: [&str; 16] = [
    "store.begun",
    "store.run",
    "store.committed",
    "store.answered",
    "engine.work_done",
    "engine.website_analysis.done",
    "engine.search_strategy.done",
    "engine.prospect_search.done",
    "engine.email_generation.done",
    "engine.email_review.done",
    "engine.sending.begun",
    "outbox.before_file",
    "outbox.after_file",
    "engine.sending.delivered",
    "engine.sending.recorded",
    "engine.email_sending.done",
];

/// Those of a letter on its way to a mail server, which only a campaign from a mailbox passes.
pub const SMTP_POINTS: [&str; 3] = ["smtp.before_dot", "smtp.after_dot", "smtp.answered"];

/// Passes the crash point `name`.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// Passes the crash point `name`.
#[cfg(feature = "crash-points")]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    assert!(POINTS.contains(&name) || SMTP_POINTS.contains(&name), "{name} is not in crash::POINTS");
    static CHOSEN: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var("HERALD_CRASH_AT").ok()?;
        let (name, n) = text.rsplit_once(':')?;
        Some((name.to_owned(), n.parse().ok()?))
    });
    let Some((at, n)) = chosen else { return };
    if at == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *n {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Dies of reading a page whose address holds what `HERALD_CRASH_ON` names.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn poison(_url: &str) {}

/// Dies of reading a page whose address holds what `HERALD_CRASH_ON` names.
#[cfg(feature = "crash-points")]
pub fn poison(url: &str) {
    if std::env::var("HERALD_CRASH_ON").is_ok_and(|poison| !poison.is_empty() && url.contains(&poison)) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
