//! What a person sees of a campaign: a bar per step on a terminal, plain lines otherwise.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use indicatif::MultiProgress;

use super::words::Word as _;
use crate::pb;
use crate::pb::campaign_event::Kind;
use crate::terminal::{self, Bar, tell};

/// Shows a campaign's progress on standard error.
pub struct Progress {
    /// Put before each line where several campaigns are shown at once.
    label: String,
    form: Form,
}

enum Form {
    Bars(Vec<Bar>),
    /// With the tenth part of a step that was told last.
    Lines(AtomicI32),
}

const STEPS: [pb::StepId; 6] = [
    pb::StepId::WebsiteAnalysis,
    pb::StepId::SearchStrategy,
    pb::StepId::ProspectSearch,
    pb::StepId::EmailGeneration,
    pb::StepId::EmailReview,
    pb::StepId::EmailSending,
];

impl Progress {
    /// Bars if standard error is a terminal, else lines.
    pub fn new(label: &str, bars: &MultiProgress) -> Self {
        let form = if terminal::is_watched() {
            Form::Bars(STEPS.iter().map(|step| Bar::new(label, &step.word(), bars)).collect())
        } else {
            Form::Lines(AtomicI32::new(0))
        };
        Self { label: label.to_owned(), form }
    }

    /// Shows where a campaign stands.
    pub fn snapshot(&self, campaign: &pb::Campaign) {
        if let Form::Bars(bars) = &self.form {
            for (bar, step) in bars.iter().zip(&campaign.steps) {
                show_step(bar, step.status(), step.progress, &step.summary);
            }
        }
    }

    /// Shows an event.
    pub fn event(&self, event: &pb::CampaignEvent) {
        match (&self.form, &event.kind) {
            (Form::Bars(bars), Some(Kind::StepChanged(change))) => {
                if let Some(bar) = STEPS.iter().position(|s| *s == change.step()).and_then(|i| bars.get(i)) {
                    show_step(bar, change.status(), change.progress, &change.summary);
                }
            }
            (Form::Lines(told), Some(Kind::StepChanged(change))) if change.status() == pb::StepStatus::InProgress => {
                let tenth = change.progress / 10;
                if told.swap(tenth, Relaxed) != tenth {
                    self.say(&step_line(change));
                }
            }
            (Form::Lines(_), Some(kind)) => {
                if let Some(line) = line(kind) {
                    self.say(&line);
                }
            }
            _ => {}
        }
    }

    /// Says something beside the progress, in one line.
    pub fn say(&self, text: &str) {
        let text = terminal::line(text);
        let text = if self.label.is_empty() { text.into_owned() } else { format!("[{}] {text}", self.label) };
        match &self.form {
            Form::Bars(bars) => match bars.first() {
                Some(bar) => bar.suspend(|| tell!("{text}")),
                None => tell!("{text}"),
            },
            Form::Lines(_) => tell!("{text}"),
        }
    }

    /// Leaves the bars as they stand.
    pub fn finish(&self) {
        if let Form::Bars(bars) = &self.form {
            for bar in bars {
                bar.leave();
            }
        }
    }
}

fn show_step(bar: &Bar, status: pb::StepStatus, progress: i32, summary: &str) {
    let message = match (status, summary) {
        (pb::StepStatus::Failed, summary) => format!("failed: {summary}"),
        (_, summary) => summary.to_owned(),
    };
    bar.show(u64::try_from(progress).unwrap_or(0), &message);
}

fn line(kind: &Kind) -> Option<String> {
    match kind {
        Kind::StateChanged(change) => {
            let reason = if change.reason.is_empty() { String::new() } else { format!(": {}", change.reason) };
            Some(format!("campaign {}{reason}", change.to().word()))
        }
        Kind::StepChanged(change) => Some(step_line(change)),
        Kind::HoldChanged(hold) if hold.reason.is_empty() => Some("goes on".to_owned()),
        Kind::HoldChanged(hold) => Some(format!("on hold: {}", hold.reason)),
        Kind::LogAdded(_) | Kind::EmailChanged(_) => None,
    }
}

fn step_line(change: &pb::StepChanged) -> String {
    let status = change.status().word();
    let rest = if change.summary.is_empty() { format!("{}%", change.progress) } else { change.summary.clone() };
    format!("{:<16} {status:<11} {rest}", change.step().word())
}
