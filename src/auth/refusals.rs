//! Why credentials were refused: told to those who run the server, and to nobody else.
//!
//! The answer to bad credentials is the same whatever is wrong with them. The cause goes to the log and to a metric, so that
//! an expired certificate of the issuer's can be told from somebody who tries tokens. Whoever sends bad credentials decides
//! how often, so the log takes ten lines a second of each cause, and the next line tells how many were left out; the metric
//! counts all. No line has anything of the credential in it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::named_enum::named_enum;
use crate::metrics::metrics;
use crate::telemetry::CallId;

named_enum! {
    /// What is wrong with credentials. The words are those of the log and of the metric's label.
    pub enum Cause {
        /// There are none.
        Missing = "missing",
        /// The header is there twice, is no text, or holds no token in three parts.
        Malformed = "malformed",
        /// Another scheme than Bearer.
        Scheme = "scheme",
        /// A token, where none are configured.
        Unconfigured = "unconfigured",
        /// The header's `typ` is that of something else than a token for calls.
        Type = "type",
        /// The header asks for an extension to be understood.
        Critical = "critical",
        /// Another algorithm than the key's.
        Algorithm = "algorithm",
        /// No key has the id that the header names.
        Key = "key",
        Signature = "signature",
        /// A claim is missing, is there twice, or is of the wrong type.
        Claims = "claims",
        Issuer = "issuer",
        Audience = "audience",
        /// The authorized party, `azp`.
        Party = "party",
        /// The session's tasks are not done.
        Pending = "pending",
        Expired = "expired",
        NotYet = "not_yet",
        /// The tenant that it names cannot be.
        Tenant = "tenant",
    }
}

/// Tells and counts what was refused.
pub(super) struct Refusals {
    clock: Arc<dyn Clock>,
    /// By the cause's place in [`Cause::ALL`].
    rates: [Mutex<Rate>; Cause::ALL.len()],
}

/// The last lines of one cause, and how many were left out since.
#[derive(Default)]
struct Rate {
    /// When each of the last lines was written, in a ring.
    lines: [Option<Timestamp>; LINES],
    next: usize,
    left_out: u64,
}

/// The lines of one cause within a second, at most.
const LINES: usize = 10;

// === impl Refusals ===

impl Refusals {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, rates: Default::default() }
    }

    /// Credentials from this address were refused.
    pub(super) fn tell(&self, cause: Cause, peer: Option<IpAddr>, id: Option<CallId>) {
        metrics().refused_credentials(cause.as_str());
        let Some(rate) = self.rates.get(cause as usize) else { return };
        let left_out = rate.lock().unwrap_or_else(PoisonError::into_inner).line(self.clock.now());
        if let Some(left_out) = left_out {
            let peer = peer.map(|peer| tracing::field::display(peer.to_canonical()));
            let left_out = (left_out > 0).then_some(left_out);
            let request_id = id.map(tracing::field::display);
            tracing::info!(cause = cause.as_str(), peer, request_id, left_out, "auth.refused");
        }
    }
}

// === impl Rate ===

impl Rate {
    /// Whether a line may be written now: how many were left out since the last one; None if this one is left out too.
    fn line(&mut self, now: Timestamp) -> Option<u64> {
        let oldest = &mut self.lines[self.next];
        // A clock that was set back is no reason to be silent until it comes there again.
        if oldest.is_some_and(|line| line <= now && now < line.plus_seconds(1)) {
            self.left_out += 1;
            return None;
        }
        *oldest = Some(now);
        self.next = (self.next + 1) % LINES;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp(1_780_000_000_000_000 + millis * 1_000)
    }

    #[test]
    fn ten_lines_a_second_are_written_and_the_next_tells_how_many_were_not() {
        let mut rate = Rate::default();
        for n in 0..10 {
            assert_eq!(rate.line(at(n * 10)), Some(0), "line {n}");
        }
        for n in 0..25 {
            assert_eq!(rate.line(at(100 + n)), None);
        }
        // The first line was written a second ago, the second not yet.
        assert_eq!(rate.line(at(999)), None);
        assert_eq!(rate.line(at(1_000)), Some(26));
        assert_eq!(rate.line(at(1_001)), None);
        assert_eq!(rate.line(at(1_010)), Some(1));
        assert_eq!(rate.line(at(60_000)), Some(0));
    }

    #[test]
    fn in_no_second_are_there_more_than_ten_lines_and_none_is_forgotten() {
        let mut rate = Rate::default();
        let (mut written, mut told, mut asked) = (Vec::new(), 0, 0);
        for millis in (0..20_000).step_by(7) {
            asked += 1;
            if let Some(left_out) = rate.line(at(millis)) {
                written.push(millis);
                told += left_out;
            }
        }
        assert!(written.windows(11).all(|lines| lines[10] - lines[0] >= 1_000), "{written:?}");
        assert_eq!(written.len() as u64 + told + rate.left_out, asked);
        assert!(written.len() >= 200, "and it does not fall silent: {}", written.len());
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_it() {
        let mut rate = Rate::default();
        for _ in 0..11 {
            rate.line(at(1_000_000));
        }
        assert_eq!(rate.line(at(0)), Some(1));
    }

    #[test]
    fn every_cause_has_its_place_and_a_word_of_its_own() {
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place, "{cause:?}");
        }
        let mut words: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Cause::ALL.len());
    }
}
