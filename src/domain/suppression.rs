//! Addresses that are not to be written to.

use super::address;
use super::clock::Timestamp;
use super::error::Violations;
use super::text;

/// The most entries of one batch.
pub const MAX_BATCH: usize = 1_000;

/// Why an address is not written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuppressionReason {
    Manual,
    Unsubscribed,
    Bounced,
    Complained,
    /// Answered that it wants no more, and was then deleted.
    Refused,
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
    pub const ALL: [Self; 5] = [Self::Manual, Self::Unsubscribed, Self::Bounced, Self::Complained, Self::Refused];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Unsubscribed => "unsubscribed",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Refused => "refused",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

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
