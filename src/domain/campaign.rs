//! A campaign: its settings, its steps, what it has found out.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::email::EmailStatus;
use super::id::{CampaignId, MailboxId, TemplateId};
pub use super::ranking::RankedProspect;
use super::recipients::RecipientRules;
pub use super::state::{Action, Active, CampaignState, Goal, StepId, StepStatus};
use super::strategy::SearchStrategy;
use super::website::WebsiteAnalysis;

/// The most prospects that one campaign writes to.
pub const MAX_PROSPECTS: u32 = 10_000;

/// What a campaign was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub website: String,
    pub goal: Goal,
    pub goal_detail: String,
    /// None until one is chosen.
    pub template_id: Option<TemplateId>,
    pub max_prospects: u32,
    /// Who may be chosen.
    #[serde(default)]
    pub recipients: RecipientRules,
    /// Which mailboxes it may send from; empty: all that are enabled.
    #[serde(default)]
    pub mailboxes: Vec<MailboxId>,
}

/// A step's standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub id: StepId,
    pub status: StepStatus,
    /// 0 to 100.
    pub progress: u8,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    /// What came of it, in one line.
    pub summary: String,
}

/// How many e-mails of a campaign stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EmailCounts {
    pub awaiting_approval: u32,
    pub approved: u32,
    pub rejected: u32,
    pub sending: u32,
    pub sent: u32,
    pub failed: u32,
    pub skipped: u32,
    pub unknown: u32,
}

/// Why a campaign stands still although it is running, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// In words.
    pub reason: String,
    pub since: Timestamp,
}

/// A campaign as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    pub id: CampaignId,
    pub state: CampaignState,
    pub settings: Settings,
    pub current_step: StepId,
    /// How many of its prospects the current step has dealt with.
    pub cursor: u32,
    pub prospect_count: u32,
    /// The number of its newest event.
    pub seq: i64,
    pub fence: i64,
    /// Why it failed; empty otherwise.
    pub failure: String,
    pub hold: Option<Hold>,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
    pub end_time: Option<Timestamp>,
    pub steps: Vec<Step>,
    pub emails: EmailCounts,
}

/// What the steps have found out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    pub analysis: Option<WebsiteAnalysis>,
    pub strategy: Option<SearchStrategy>,
}

// === impl Campaign ===

impl Campaign {
    /// With what its unfinished steps have come to, where nobody works on them any more: in the counts, since an e-mail that
    /// was in the middle of being sent may still have been.
    pub fn with_standing(mut self) -> Self {
        let cancelled = self.state == CampaignState::Cancelled;
        let paused = matches!(self.state, CampaignState::Paused { .. });
        let standing = |step: &Step| match step.status {
            StepStatus::Cancelled if cancelled => Some(self.standing(step.id, "cancelled")),
            StepStatus::InProgress if paused => Some(self.standing(step.id, "paused")),
            _ => None,
        };
        let told: Vec<_> = self.steps.iter().map(standing).collect();
        for (step, told) in self.steps.iter_mut().zip(told) {
            step.summary = told.unwrap_or(std::mem::take(&mut step.summary));
        }
        self
    }

    /// How far a step has come that `ended` so.
    pub fn standing(&self, step: StepId, ended: &str) -> String {
        let emails = &self.emails;
        let counts = match step {
            StepId::EmailGeneration => format!("{} of {} written", emails.generated(), self.prospect_count),
            StepId::EmailReview => {
                format!(
                    "{} left to decide{}",
                    emails.awaiting_approval,
                    emails.told(&[EmailStatus::Approved, EmailStatus::Rejected])
                )
            }
            StepId::EmailSending => emails.outcome(),
            StepId::WebsiteAnalysis | StepId::SearchStrategy | StepId::ProspectSearch => return ended.to_owned(),
        };
        format!("{ended}: {counts}")
    }
}

// === impl EmailCounts ===

impl EmailCounts {
    /// Those that are not decided on or not sent yet.
    pub fn left(&self) -> u32 {
        self.awaiting_approval + self.approved
    }

    /// E-mails written so far, whatever became of them.
    pub fn generated(&self) -> u32 {
        self.awaiting_approval
            + self.approved
            + self.rejected
            + self.sending
            + self.sent
            + self.failed
            + self.skipped
            + self.unknown
    }

    /// What came of them: how many were sent, and what became of the others.
    pub fn outcome(&self) -> String {
        use EmailStatus::{Approved, AwaitingApproval, Failed, Rejected, Skipped, Unknown};
        format!("{} sent{}", self.sent, self.told(&[Approved, AwaitingApproval, Failed, Skipped, Unknown, Rejected]))
    }

    /// Those of the statuses that there are, each behind a comma.
    fn told(&self, statuses: &[EmailStatus]) -> String {
        let told = |status: &EmailStatus| match status {
            EmailStatus::Approved => (self.approved + self.sending, "approved and not sent"),
            EmailStatus::AwaitingApproval => (self.awaiting_approval, "awaiting approval"),
            EmailStatus::Rejected => (self.rejected, "rejected"),
            EmailStatus::Failed => (self.failed, "failed"),
            EmailStatus::Skipped => (self.skipped, "skipped"),
            EmailStatus::Unknown => (self.unknown, "unknown"),
            _ => (0, ""),
        };
        let there = statuses.iter().map(told).filter(|(count, _)| *count > 0);
        there.map(|(count, what)| format!(", {count} {what}")).collect()
    }
}
