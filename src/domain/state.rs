//! A campaign's state machine and its steps.
//!
//! ```text
//!              ┌────────── pause ──────────┐     any live state → PAUSED, which remembers where to return
//!   start → RUNNING ⇄ PAUSED               │     any live state → CANCELLED
//!             │ website read               │     a step fails for good → FAILED (resume tries it again)
//!             ├→ WAITING_ANALYSIS  (resume, once the name is stated → RUNNING)
//!             │ prospects found
//!             ├→ WAITING_TEMPLATE  (select template → RUNNING)
//!             ├→ WAITING_APPROVAL  (every e-mail decided → RUNNING)
//!             └→ COMPLETED
//! ```
//!
//! A transition takes the state and may refuse, and then names what is allowed.

use super::named_enum::named_enum;

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CampaignState {
    Running,
    Paused { resume_to: Active },
    WaitingAnalysis,
    WaitingTemplate,
    WaitingApproval,
    Completed,
    Failed,
    Cancelled,
}

/// The live states that a pause can interrupt, and returns to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Active {
    Running,
    WaitingAnalysis,
    WaitingTemplate,
    WaitingApproval,
}

named_enum! {
    /// What a caller can do with a campaign.
    pub enum Action {
        Pause = "PAUSE",
        Resume = "RESUME",
        Cancel = "CANCEL",
        SelectTemplate = "SELECT_TEMPLATE",
        ReviewEmails = "REVIEW_EMAILS",
    }
}

named_enum! {
    /// The six steps, in order.
    #[derive(PartialOrd, Ord)]
    pub enum StepId {
        WebsiteAnalysis = "website_analysis",
        SearchStrategy = "search_strategy",
        ProspectSearch = "prospect_search",
        EmailGeneration = "email_generation",
        EmailReview = "email_review",
        EmailSending = "email_sending",
    }
}

named_enum! {
    /// Where a step stands.
    pub enum StepStatus {
        Pending = "pending",
        InProgress = "in_progress",
        Completed = "completed",
        Failed = "failed",
        Skipped = "skipped",
        /// Its campaign was cancelled while it was being worked on.
        Cancelled = "cancelled",
    }
}

named_enum! {
    /// What a campaign is for.
    #[derive(Default)]
    pub enum Goal {
        #[default]
        Partnerships = "partnerships",
        Customers = "customers",
        Press = "press",
    }
}

/// A transition that a state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub state: CampaignState,
    pub action: Action,
}

// === impl CampaignState ===

impl CampaignState {
    /// Live campaigns are those that may still write to somebody; a tenant has at most one.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Paused { .. } => "PAUSED",
            Self::WaitingAnalysis => "WAITING_ANALYSIS",
            Self::WaitingTemplate => "WAITING_TEMPLATE",
            Self::WaitingApproval => "WAITING_APPROVAL",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The state whose name is `name`; for PAUSED, `resume_to` names where to return.
    pub fn parse(name: &str, resume_to: Option<&str>) -> Option<Self> {
        let plain = match name {
            "RUNNING" => Self::Running,
            "WAITING_ANALYSIS" => Self::WaitingAnalysis,
            "WAITING_TEMPLATE" => Self::WaitingTemplate,
            "WAITING_APPROVAL" => Self::WaitingApproval,
            "COMPLETED" => Self::Completed,
            "FAILED" => Self::Failed,
            "CANCELLED" => Self::Cancelled,
            "PAUSED" => {
                let resume_to = Self::parse(resume_to?, None)?.active()?;
                return Some(Self::Paused { resume_to });
            }
            _ => return None,
        };
        Some(plain)
    }

    /// Where a paused campaign returns to; None for any other.
    pub fn resume_to(self) -> Option<Self> {
        match self {
            Self::Paused { resume_to } => Some(resume_to.into()),
            _ => None,
        }
    }

    /// The fields of the configuration that it waits for.
    pub fn missing(self) -> &'static [&'static str] {
        match self {
            Self::WaitingAnalysis | Self::Paused { resume_to: Active::WaitingAnalysis } => {
                &["website_analysis.business_name"]
            }
            _ => &[],
        }
    }

    /// Whether e-mails that did not go out can be sent again; a completed campaign is running again then.
    pub fn sends_again(self) -> bool {
        use Active::{Running, WaitingApproval};
        matches!(
            self,
            Self::Completed
                | Self::Running
                | Self::WaitingApproval
                | Self::Paused { resume_to: Running | WaitingApproval }
        )
    }

    /// What a caller can do now.
    pub fn allowed(self) -> &'static [Action] {
        match self {
            Self::Running => &[Action::Pause, Action::Cancel],
            Self::Paused { .. } => &[Action::Resume, Action::Cancel],
            Self::WaitingAnalysis => &[Action::Resume, Action::Pause, Action::Cancel],
            Self::WaitingTemplate => &[Action::SelectTemplate, Action::Pause, Action::Cancel],
            Self::WaitingApproval => &[Action::ReviewEmails, Action::Pause, Action::Cancel],
            Self::Failed => &[Action::Resume],
            Self::Completed | Self::Cancelled => &[],
        }
    }

    /// The state after `action`.
    pub fn after(self, action: Action) -> Result<Self, Refused> {
        let next = match (self, action) {
            (Self::Paused { resume_to }, Action::Resume) => resume_to.into(),
            (Self::Failed | Self::WaitingAnalysis, Action::Resume)
            | (Self::WaitingTemplate, Action::SelectTemplate) => Self::Running,
            // The campaign waits on; once no e-mail waits for a decision, the write that noted the last one sets it running.
            (Self::WaitingApproval, Action::ReviewEmails) => Self::WaitingApproval,
            (state, Action::Pause) => match state.active() {
                Some(resume_to) => Self::Paused { resume_to },
                None => return Err(self.refuse(action)),
            },
            (state, Action::Cancel) if state.is_live() => Self::Cancelled,
            _ => return Err(self.refuse(action)),
        };
        Ok(next)
    }

    fn refuse(self, action: Action) -> Refused {
        Refused { state: self, action }
    }

    fn active(self) -> Option<Active> {
        match self {
            Self::Running => Some(Active::Running),
            Self::WaitingAnalysis => Some(Active::WaitingAnalysis),
            Self::WaitingTemplate => Some(Active::WaitingTemplate),
            Self::WaitingApproval => Some(Active::WaitingApproval),
            _ => None,
        }
    }
}

impl From<Active> for CampaignState {
    fn from(active: Active) -> Self {
        match active {
            Active::Running => Self::Running,
            Active::WaitingAnalysis => Self::WaitingAnalysis,
            Active::WaitingTemplate => Self::WaitingTemplate,
            Active::WaitingApproval => Self::WaitingApproval,
        }
    }
}

// === impl StepId ===

impl StepId {
    /// The step after this one; None after the last.
    pub fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step > self)
    }
}

// === impl Refused ===

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let allowed: Vec<_> = self.state.allowed().iter().map(|a| a.as_str()).collect();
        let allowed = if allowed.is_empty() { "nothing more".to_owned() } else { allowed.join(", ") };
        let (action, state) = (self.action.as_str(), self.state.as_str());
        write!(f, "cannot {action} a campaign that is {state}; possible now: {allowed}")
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [CampaignState; 11] = [
        CampaignState::Running,
        CampaignState::Paused { resume_to: Active::Running },
        CampaignState::Paused { resume_to: Active::WaitingAnalysis },
        CampaignState::Paused { resume_to: Active::WaitingTemplate },
        CampaignState::Paused { resume_to: Active::WaitingApproval },
        CampaignState::WaitingAnalysis,
        CampaignState::WaitingTemplate,
        CampaignState::WaitingApproval,
        CampaignState::Completed,
        CampaignState::Failed,
        CampaignState::Cancelled,
    ];

    #[test]
    fn what_is_allowed_is_exactly_what_is_not_refused() {
        for state in STATES {
            for action in Action::ALL {
                let result = state.after(action);
                assert_eq!(result.is_ok(), state.allowed().contains(&action), "{state:?} {action:?}");
            }
        }
    }

    #[test]
    fn a_pause_returns_to_where_it_was() {
        for state in STATES.into_iter().filter(|s| s.active().is_some()) {
            let paused = state.after(Action::Pause).expect("a live state can be paused");
            assert_eq!(paused.after(Action::Resume), Ok(state));
        }
    }

    #[test]
    fn what_waits_for_the_analysis_says_what_is_missing_and_is_live() {
        for state in STATES {
            let waits = [state, state.resume_to().unwrap_or(state)].contains(&CampaignState::WaitingAnalysis);
            assert_eq!(!state.missing().is_empty(), waits, "{state:?}");
            assert!(!waits || state.is_live());
        }
        assert_eq!(CampaignState::WaitingAnalysis.after(Action::Resume), Ok(CampaignState::Running));
    }

    #[test]
    fn a_refusal_names_the_state_and_what_is_allowed() {
        let error = CampaignState::WaitingTemplate.after(Action::Resume).expect_err("nothing to resume");
        assert_eq!(
            error.to_string(),
            "cannot RESUME a campaign that is WAITING_TEMPLATE; possible now: SELECT_TEMPLATE, PAUSE, CANCEL"
        );
        let error = CampaignState::Completed.after(Action::Pause).expect_err("it is over");
        assert_eq!(error.to_string(), "cannot PAUSE a campaign that is COMPLETED; possible now: nothing more");
    }

    #[test]
    fn a_state_is_read_back_as_it_was_written() {
        for state in STATES {
            assert_eq!(CampaignState::parse(state.as_str(), state.resume_to().map(CampaignState::as_str)), Some(state));
        }
        assert_eq!(CampaignState::parse("PAUSED", None), None);
    }

    #[test]
    fn the_steps_follow_each_other_to_the_end() {
        let mut step = StepId::WebsiteAnalysis;
        let mut seen = vec![step];
        while let Some(next) = step.next() {
            seen.push(next);
            step = next;
        }
        assert_eq!(seen, StepId::ALL);
    }
}
