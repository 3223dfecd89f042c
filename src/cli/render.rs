//! What is seen of a campaign: a line for each change, and on a terminal a bar for the step that is worked on. The bar only adds to
//! the lines: it goes when the step ends, and whoever cannot see it, or reads the screen later, misses nothing.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use indicatif::MultiProgress;

use super::output::say_json_line;
use super::words::Word as _;
use crate::pb;
use crate::pb::campaign_event::Kind;
use crate::pb::watch_workflow_response::Update;
use crate::terminal::{self, Bar, tell};

/// Shows a campaign's progress on standard error, or its events as JSON on standard output.
pub struct Progress {
    /// Put before each line where several campaigns are shown at once.
    label: String,
    form: Form,
    /// What came of the step that ended last; the campaign's next state is often told with the same words.
    summary: Mutex<String>,
}

enum Form {
    Bar(Bar),
    /// With the tenth part of a step that was told last.
    Lines(AtomicI32),
    Json,
}

/// The columns that a step, its status and what came of it take in one line.
const WIDE: usize = 80;

impl Progress {
    /// With a bar if standard error is a terminal.
    pub fn new(label: &str, bars: &MultiProgress) -> Self {
        let form =
            if terminal::is_watched() { Form::Bar(Bar::new(label, bars)) } else { Form::Lines(AtomicI32::new(0)) };
        Self { label: label.to_owned(), form, summary: Mutex::default() }
    }

    /// A line of JSON for each event.
    pub fn json() -> Self {
        Self { label: String::new(), form: Form::Json, summary: Mutex::default() }
    }

    /// Shows that a campaign has begun.
    pub fn started(&self, campaign: &pb::Campaign) -> anyhow::Result<()> {
        if matches!(self.form, Form::Json) {
            return self.snapshot(campaign);
        }
        self.say(&format!("campaign {} started", campaign.id));
        Ok(())
    }

    /// Shows where a campaign stands.
    pub fn snapshot(&self, campaign: &pb::Campaign) -> anyhow::Result<()> {
        match &self.form {
            Form::Json => {
                say_json_line(&pb::WatchWorkflowResponse { update: Some(Update::Snapshot(campaign.clone())) })
            }
            Form::Bar(bar) => {
                let now = campaign.steps.iter().find(|step| step.status() == pb::StepStatus::InProgress);
                if let Some(step) = now {
                    bar.show(&step.id().word(), position(step.progress), &step.summary);
                }
                Ok(())
            }
            Form::Lines(_) => Ok(()),
        }
    }

    /// Shows an event.
    pub fn event(&self, event: &pb::CampaignEvent) -> anyhow::Result<()> {
        match (&self.form, &event.kind) {
            (Form::Json, _) => {
                return say_json_line(&pb::WatchWorkflowResponse { update: Some(Update::Event(event.clone())) });
            }
            (Form::Bar(bar), Some(Kind::StepChanged(change))) if change.status() == pb::StepStatus::InProgress => {
                bar.show(&change.step().word(), position(change.progress), &change.summary);
            }
            (Form::Lines(told), Some(Kind::StepChanged(change))) if change.status() == pb::StepStatus::InProgress => {
                let tenth = change.progress / 10;
                if told.swap(tenth, Relaxed) != tenth {
                    step_of(change).iter().for_each(|row| self.tell(row));
                }
            }
            (_, Some(kind)) => {
                if let (Form::Bar(bar), Kind::StepChanged(_)) = (&self.form, kind) {
                    bar.clear();
                }
                rows(kind, &self.last_summary(kind)).iter().for_each(|row| self.tell(row));
            }
            _ => {}
        }
        Ok(())
    }

    /// Says something beside the progress, in one line.
    pub fn say(&self, text: &str) {
        self.tell(&terminal::line(text));
    }

    /// What was told of the step that ended last, or of this one from now on.
    fn last_summary(&self, kind: &Kind) -> String {
        let mut last = self.summary.lock().unwrap_or_else(PoisonError::into_inner);
        if let Kind::StepChanged(change) = kind {
            last.clone_from(&change.summary);
        }
        last.clone()
    }

    fn tell(&self, row: &str) {
        let row = terminal::line(row);
        let row = if self.label.is_empty() { row.into_owned() } else { format!("[{}] {row}", self.label) };
        match &self.form {
            Form::Bar(bar) => bar.suspend(|| tell!("{row}")),
            Form::Lines(_) | Form::Json => tell!("{row}"),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.clear();
        }
    }
}

fn position(progress: i32) -> u64 {
    u64::try_from(progress).unwrap_or(0)
}

/// What is said of an event, without a reason that was told already; nothing of what only programs follow.
fn rows(kind: &Kind, told: &str) -> Vec<String> {
    match kind {
        Kind::StateChanged(change) => {
            let is_new = !change.reason.is_empty() && change.reason != told;
            let reason = if is_new { format!(": {}", change.reason) } else { String::new() };
            vec![format!("campaign {}{reason}", change.to().word())]
        }
        Kind::StepChanged(change) => step_of(change),
        Kind::HoldChanged(hold) if hold.reason.is_empty() => vec!["goes on".to_owned()],
        Kind::HoldChanged(hold) => vec![format!("on hold: {}", hold.reason)],
        Kind::MailboxPaused(paused) => vec![format!("the mailbox {} is paused: {}", paused.address, paused.reason)],
        Kind::LogAdded(_) | Kind::EmailChanged(_) | Kind::EmailReported(_) => Vec::new(),
    }
}

fn step_of(change: &pb::StepChanged) -> Vec<String> {
    let rest = if change.summary.is_empty() { format!("{}%", change.progress) } else { change.summary.clone() };
    step_lines(change.step(), change.status(), &rest)
}

/// A step in one line, or on a narrow terminal in two.
pub(super) fn step_lines(step: pb::StepId, status: pb::StepStatus, rest: &str) -> Vec<String> {
    let (step, status) = (step.word(), status.word());
    if terminal::width() >= WIDE || rest.is_empty() {
        return vec![format!("{step:<16} {status:<11} {rest}").trim_end().to_owned()];
    }
    vec![format!("{step} {status}"), format!("  {rest}")]
}
