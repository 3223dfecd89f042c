//! Addresses that are not to be written to.

use super::address;
use super::clock::Timestamp;
use super::error::Violations;
use super::named_enum::named_enum;
use super::text;

/// The most entries of one batch.
pub const MAX_BATCH: usize = 1_000;

named_enum! {
    /// Why an address is not written to.
    pub enum SuppressionReason {
        Manual = "manual",
        Unsubscribed = "unsubscribed",
        Bounced = "bounced",
        Complained = "complained",
        /// Answered that it wants no more, and was then deleted.
        Refused = "refused",
    }
}

/// An address that is not written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    pub email: String,
    pub reason: SuppressionReason,
    /// Who or what said so.
    pub source: String,
    pub create_time: Timestamp,
}

// === impl Suppression ===

impl Suppression {
    /// The same with its texts checked and trimmed. `path` is put before each field's name.
    pub fn check(mut self, v: &mut Violations, path: &str) -> Self {
        self.email = v.take(&format!("{path}email"), address::parse(&self.email)).unwrap_or_default();
        self.source = text::line(v, &format!("{path}source"), &self.source, text::SHORT);
        self
    }
}

// === impl SuppressionReason ===

impl SuppressionReason {
    /// In words, for a note.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Manual => "on the suppression list",
            Self::Unsubscribed => "its owner has unsubscribed",
            Self::Bounced => "mail to it has bounced",
            Self::Complained => "its owner has complained",
            Self::Refused => "its owner has refused",
        }
    }
}
