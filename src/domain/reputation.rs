//! When a sender does harm by going on: too many of its mails bounce, or bring complaints, or one server after the other refuses them.
//!
//! Providers judge a sender by this, and remember it for long: the mailbox or campaign pauses itself before they do. A few mails
//! prove nothing.

use serde::{Deserialize, Serialize};

use super::address;

/// How far back mails count, in seconds: seven days.
pub const WINDOW: i64 = 7 * 24 * 60 * 60;
/// With fewer mails nothing is judged.
pub const MIN_MAILS: u32 = 50;
/// The newest of so many mails are counted, at most.
pub const MAX_MAILS: u32 = 10_000;
/// The part of the mails that may not bounce, in thousandths: 5 %.
const MAX_BOUNCED: u32 = 50;
/// The part of the mails that may not bring a complaint, in thousandths: 0.3 %.
const MAX_COMPLAINED: u32 = 3;

/// So many recipients' domains in a row that refuse a mailbox for a policy are no whim of one of them.
const MAX_REFUSERS: usize = 3;

/// The recipients' domains that have refused a mailbox for a policy since any took its mail, the first one first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Refusers(Vec<String>);

/// What came of the mails of a mailbox or a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// Those that were taken, or refused since nobody is there.
    pub mails: u32,
    /// Those of them that bounced for good.
    pub bounced: u32,
    /// Those of them that brought a complaint.
    pub complained: u32,
}

// === impl Record ===

impl Record {
    /// Why it must not go on, in words; None if it may.
    pub fn trouble(self) -> Option<String> {
        if self.mails < MIN_MAILS {
            return None;
        }
        let Self { mails, bounced, complained } = self;
        if self.reaches(bounced, MAX_BOUNCED) {
            let part = self.percent(bounced);
            return Some(format!("{bounced} of its last {mails} mails bounced ({part} %): it pauses from 5 % on"));
        }
        if self.reaches(complained, MAX_COMPLAINED) {
            let part = self.percent(complained);
            return Some(format!(
                "{complained} of its last {mails} mails brought a complaint ({part} %): it pauses from 0.3 % on"
            ));
        }
        None
    }

    fn reaches(self, part: u32, thousandths: u32) -> bool {
        u64::from(part) * 1_000 >= u64::from(self.mails) * u64::from(thousandths)
    }

    /// With one digit behind the point, rounded down.
    fn percent(self, part: u32) -> String {
        let thousandths = (u64::from(part) * 1_000).checked_div(u64::from(self.mails)).unwrap_or(0);
        format!("{}.{}", thousandths / 10, thousandths % 10)
    }
}

// === impl Refusers ===

impl Refusers {
    /// One more refusal, of a mail to this address.
    pub fn add(&mut self, to: &str) {
        let key = address::key(to);
        let domain = key.rsplit_once('@').map_or(key.as_str(), |(_, domain)| domain);
        if self.0.len() < MAX_REFUSERS && !self.0.iter().any(|known| known == domain) {
            self.0.push(domain.to_owned());
        }
    }

    /// Why the mailbox must not go on, in words; None if it may.
    pub fn trouble(&self) -> Option<String> {
        let domains = self.0.join(", ");
        (self.0.len() >= MAX_REFUSERS)
            .then(|| format!("{MAX_REFUSERS} recipients' domains in a row refused its mail for a policy: {domains}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pauses(mails: u32, bounced: u32, complained: u32) -> bool {
        Record { mails, bounced, complained }.trouble().is_some()
    }

    #[test]
    fn it_is_exact_at_its_edges() {
        for (mails, bounced, complained, right) in [
            (0, 0, 0, false),
            (49, 49, 49, false),
            (50, 2, 0, false),
            (50, 3, 0, true),
            (60, 3, 0, true),
            (61, 3, 0, false),
            (100, 5, 0, true),
            (101, 5, 0, false),
            (50, 0, 1, true),
            (333, 0, 1, true),
            (334, 0, 1, false),
            (1_000, 0, 3, true),
            (1_001, 0, 3, false),
            (MAX_MAILS, 500, 0, true),
            (MAX_MAILS, 499, 29, false),
            (MAX_MAILS, 499, 30, true),
        ] {
            assert_eq!(pauses(mails, bounced, complained), right, "{mails} {bounced} {complained}");
        }
    }

    #[test]
    fn its_words_have_the_numbers() {
        let words = |bounced, complained| Record { mails: 60, bounced, complained }.trouble().expect("words");
        assert_eq!(words(3, 1), "3 of its last 60 mails bounced (5.0 %): it pauses from 5 % on");
        assert_eq!(words(0, 1), "1 of its last 60 mails brought a complaint (1.6 %): it pauses from 0.3 % on");
    }

    #[test]
    fn three_different_domains_are_in_the_way_however_they_are_spelled() {
        let mut refusers = Refusers::default();
        for to in ["a@one.example", "b@One.Example", "a@bücher.example", "c@xn--bcher-kva.example"] {
            refusers.add(to);
            assert_eq!(refusers.trouble(), None, "{to}");
        }
        refusers.add("a@three.example");
        let why = refusers.trouble().expect("three");
        assert!(why.contains("one.example, ") && why.ends_with(", three.example"), "{why}");
        let json = serde_json::to_string(&refusers).expect("JSON");
        assert_eq!(serde_json::from_str::<Refusers>(&json).expect("the same"), refusers);
    }

    proptest! {
        /// By fractions, as a person reckons it.
        #[test]
        fn it_pauses_at_five_percent_or_three_per_mille_and_never_below(mails in 0_u32..20_000, b in 0_u32..200, c in 0_u32..20) {
            let part = |thousandths: u32| mails * thousandths / 1_000;
            let (bounced, complained) = (part(b), part(c));
            let right = mails >= 50 && (bounced * 20 >= mails || complained * 1_000 >= mails * 3);
            prop_assert_eq!(pauses(mails, bounced, complained), right);
        }

        /// More trouble never lets it go on, and one good mail more never stops one that had fifty.
        #[test]
        fn it_is_monotonous(mails in 0_u32..20_000, bounced in 0_u32..2_000, complained in 0_u32..100) {
            if pauses(mails, bounced, complained) {
                prop_assert!(pauses(mails, bounced + 1, complained) && pauses(mails, bounced, complained + 1));
            } else if mails >= MIN_MAILS {
                prop_assert!(!pauses(mails + 1, bounced, complained));
            }
        }
    }
}
