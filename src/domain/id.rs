//! Ids: a type for each noun, so that a raw string stops at the edge.
//!
//! Ids are opaque, 1 to 128 characters. Ours are a short prefix and a UUIDv7 (RFC 9562: they sort by the time they were
//! made); imported ones stay as they were. An id means something inside its tenant only.

use std::fmt;
use std::sync::Arc;

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
}

impl Ids {
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    fn make(&self, prefix: &str) -> String {
        let mut random = [0; 10];
        self.random.fill(&mut random);
        let uuid = uuid::Builder::from_unix_timestamp_millis(self.now().unix_millis(), &random).into_uuid();
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
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_1_to_128_characters_without_control_characters() {
        assert_eq!(ProspectId::parse(""), Err(IdError::Empty));
        assert!(ProspectId::parse(&"é".repeat(128)).is_ok());
        assert_eq!(ProspectId::parse(&"é".repeat(129)), Err(IdError::Malformed));
        assert_eq!(ProspectId::parse("a\nb"), Err(IdError::Malformed));
    }
}
