//! The clock: against those of others, and against the dates of certificates.

use super::report::Report;
use crate::domain::clock::{Clock as _, SystemClock, Timestamp};
use crate::domain::finding::Finding;
use crate::transport::{TlsError, Validity};

/// How far clocks may be apart, with the way between them: tokens are refused beyond `auth.leeway_seconds`.
const APART_SECONDS: i64 = 30;
/// How long before its end a certificate is to be renewed.
const RENEW_DAYS: i64 = 30;
const RENEW: &str = "put a new one there and restart";
const DAY: i64 = 24 * 60 * 60;

/// What others' clocks said.
pub(super) struct Clocks {
    newest: Option<Timestamp>,
    told: Vec<(String, Timestamp)>,
}

// === impl Clocks ===

impl Clocks {
    /// `newest` is the newest time of the database.
    pub(super) fn new(newest: Option<Timestamp>) -> Self {
        Self { newest, told: Vec::new() }
    }

    /// The `Date` that `who` has just answered with, if it did.
    pub(super) fn note(&mut self, who: &str, date: Option<&str>) {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        if let Some(date) = date.and_then(|date| parser.parse_timestamp(date).ok()) {
            self.told.push((who.to_owned(), Timestamp(date.as_microsecond())));
        }
    }

    pub(super) fn look(self, report: &mut Report) {
        let now = SystemClock.now();
        let to_do = "set this machine's clock, and keep it by NTP; else the other's is wrong";
        let apart = |then: Timestamp| (then.0 - now.0) / 1_000_000;
        let of_others = self.told.iter().filter(|(_, then)| apart(*then).abs() > APART_SECONDS).map(|(who, then)| {
            let (by, way) = (apart(*then).abs(), if then.0 > now.0 { "behind" } else { "ahead of" });
            Finding::new(format!("this machine's clock is {by} seconds {way} that of {who}"), to_do)
        });
        let newest = self.newest.filter(|newest| apart(*newest) > APART_SECONDS).map(|newest| {
            let wrong = format!(
                "the database has a time that is {} seconds in the future: this machine's clock is behind, or was ahead",
                apart(newest)
            );
            Finding::new(wrong, to_do)
        });
        let names: Vec<_> = self.told.iter().map(|(who, _)| who.as_str()).collect();
        let beside = if names.is_empty() { String::new() } else { format!(", {}", names.join(", ")) };
        report.add(
            format!("the clock, beside the database's times{beside}"),
            of_others.chain(newest).collect::<Vec<_>>(),
        );
    }
}

/// What is wrong with the dates of certificates.
pub(super) fn validity(found: &Result<Vec<Validity>, TlsError>) -> Vec<Finding> {
    let now = SystemClock.now().0 / 1_000_000;
    let of_one = |of: &Validity| {
        let what = &of.what;
        let to_do = "put a new one there and restart; or set this machine's clock, if that is wrong";
        if of.until < now {
            let days = (now - of.until) / DAY;
            Some(Finding::new(format!("{what} expired {days} days ago: clients refuse it"), to_do))
        } else if of.from > now {
            let days = (of.from - now) / DAY;
            Some(Finding::new(format!("{what} is not valid for another {days} days: clients refuse it"), to_do))
        } else if of.until - now < RENEW_DAYS * DAY {
            Some(Finding::warning(format!("{what} expires in {} days", (of.until - now) / DAY), RENEW))
        } else {
            None
        }
    };
    found.as_ref().map(|found| found.iter().filter_map(of_one).collect()).unwrap_or_default()
}
