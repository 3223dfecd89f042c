//! Ids: a type for each noun, so that a raw string stops at the edge.
//!
//! Ids are opaque, 1 to 128 characters. Ours are a short prefix and a UUIDv7 (RFC 9562), and sort in the order in which
//! they were made; imported ones stay as they were. An id means something inside its tenant only.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::clock::{Clock, Random, Timestamp};

/// The longest id, in characters.
pub const MAX_CHARS: usize = 128;

/// Why a text is no id, in words that fit behind a field's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("is required")]
    Empty,
    #[error("must be at most 128 characters without control characters")]
    Malformed,
}

/// Makes ids, and is the clock and the randomness of everything that makes rows.
#[derive(Clone)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    last: Arc<Mutex<Last>>,
}

/// The newest id.
#[derive(Default)]
struct Last {
    millis: u64,
    /// The 12 bits after the version, in two bytes.
    high: [u8; 2],
    /// The 62 bits after the variant.
    low: u64,
}

/// A millisecond's first id keeps below this, so that adding 2^32 again and again does not overflow 62 bits.
const FIRST_LOW: u64 = 1 << 61;

impl Ids {
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random, last: Arc::default() }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    fn make(&self, prefix: &str) -> String {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now().unix_millis();
        // RFC 9562, section 6.2, method 2: within a millisecond, or while the clock stands behind, a random step further.
        if now > last.millis {
            let mut low = [0; 8];
            self.random.fill(&mut last.high);
            self.random.fill(&mut low);
            (last.millis, last.low) = (now, u64::from_be_bytes(low) % FIRST_LOW);
        } else {
            let mut step = [0; 4];
            self.random.fill(&mut step);
            last.low += 1 + u64::from(u32::from_be_bytes(step));
        }
        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&last.high);
        tail[2..].copy_from_slice(&last.low.to_be_bytes());
        let uuid = uuid::Builder::from_unix_timestamp_millis(last.millis, &tail).into_uuid();
        format!("{prefix}_{}", uuid.simple())
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids")
    }
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.chars().count() > MAX_CHARS || text.chars().any(char::is_control) {
        return Err(IdError::Malformed);
    }
    Ok(())
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn make(ids: &Ids) -> Self {
                Self(ids.make($prefix))
            }

            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text).map(|()| Self(text.to_owned()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// Names a prospect.
    ProspectId = "pr";
    /// Names an e-mail.
    EmailId = "em";
    /// Names a campaign.
    CampaignId = "cp";
    /// Names an e-mail template.
    TemplateId = "tp";
    /// Names a marketing strategy.
    StrategyId = "ms";
    /// Names a mailbox.
    MailboxId = "mb";
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::domain::clock::SystemRandom;

    #[test]
    fn ids_sort_in_the_order_they_were_made_even_while_the_clock_stands_or_goes_back() {
        struct Standing(AtomicI64);
        impl Clock for Standing {
            fn now(&self) -> Timestamp {
                Timestamp(self.0.load(Ordering::Relaxed))
            }
        }
        let clock = Arc::new(Standing(AtomicI64::new(1_700_000_000_000_000)));
        let ids = Ids::new(clock.clone(), Arc::new(SystemRandom));
        let mut made: Vec<String> = Vec::new();
        for change in [0, 1_000, -5_000_000, 6_000_000] {
            clock.0.fetch_add(change, Ordering::Relaxed);
            made.extend((0..1_000).map(|_| ids.make("pr")));
        }
        assert!(made.is_sorted_by(|a, b| a < b));
        let uuid = uuid::Uuid::parse_str(&made[0][3..]).expect("a UUID");
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
    }

    #[test]
    fn an_id_is_1_to_128_characters_without_control_characters() {
        assert_eq!(ProspectId::parse(""), Err(IdError::Empty));
        assert!(ProspectId::parse(&"é".repeat(128)).is_ok());
        assert_eq!(ProspectId::parse(&"é".repeat(129)), Err(IdError::Malformed));
        assert_eq!(ProspectId::parse("a\nb"), Err(IdError::Malformed));
    }
}
