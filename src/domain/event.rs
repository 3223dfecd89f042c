//! A campaign's history: events, numbered from 1 without gaps.

use serde::{Deserialize, Serialize};

use super::campaign::{CampaignState, StepId, StepStatus};
use super::clock::Timestamp;
use super::email::{EmailStatus, Report};
use super::id::{EmailId, MailboxId, ProspectId};

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub seq: i64,
    pub time: Timestamp,
    pub kind: EventKind,
}

/// What happened. Stored as JSON: a variant or field that has been written once is never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The names of the states; `from` is empty for the first event.
    StateChanged {
        from: String,
        to: String,
        reason: String,
    },
    StepChanged {
        step: StepId,
        status: StepStatus,
        progress: u8,
        summary: String,
    },
    LogAdded {
        step: StepId,
        text: String,
    },
    EmailChanged {
        email_id: EmailId,
        prospect_id: ProspectId,
        status: EmailStatus,
    },
    EmailReported {
        email_id: EmailId,
        prospect_id: ProspectId,
        report: Report,
    },
    /// A mailbox that has mail of the campaign to send has paused itself.
    MailboxPaused {
        mailbox_id: MailboxId,
        address: String,
        reason: String,
    },
    /// Empty: the campaign goes on.
    HoldChanged {
        reason: String,
    },
}

// === impl EventKind ===

impl EventKind {
    pub fn state(from: Option<CampaignState>, to: CampaignState, reason: &str) -> Self {
        let from = from.map_or("", CampaignState::as_str).to_owned();
        Self::StateChanged { from, to: to.as_str().to_owned(), reason: reason.to_owned() }
    }

    pub fn log(step: StepId, text: impl Into<String>) -> Self {
        Self::LogAdded { step, text: text.into() }
    }

    /// The step whose log this line belongs to; None for anything that is no log line.
    pub fn log_step(&self) -> Option<StepId> {
        match self {
            Self::LogAdded { step, .. } => Some(*step),
            _ => None,
        }
    }

    /// Whether it can still happen to a campaign that has ended.
    pub fn may_follow_the_end(&self) -> bool {
        matches!(self, Self::EmailReported { .. })
    }

    /// True for a state after which no more is done unless a user acts.
    pub fn ends_campaign(&self) -> bool {
        matches!(self, Self::StateChanged { to, .. } if matches!(to.as_str(), "COMPLETED" | "FAILED" | "CANCELLED"))
    }
}
