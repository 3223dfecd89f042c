//! Campaigns, their steps, events and results.

use super::bounce;
use super::email;
use super::enumeration;
use super::recipients;
use crate::domain::campaign::{Action, Campaign, CampaignState, Goal, MAX_PROSPECTS, Step, StepId, StepStatus};
use crate::domain::clock::Timestamp;
use crate::domain::error::Error;
use crate::domain::event::{Event, EventKind};
use crate::domain::mailbox::{MailboxKind, MailboxState};
use crate::domain::number::saturating_i32;
use crate::domain::strategy::{MarketingStrategy, SearchStrategy};
use crate::domain::text;
use crate::domain::website::{Audience, FieldSource, WebsiteAnalysis};
use crate::pb;
use crate::store::Load;

/// `hold` is why the campaign stands still although it is running; empty otherwise.
/// `hold`: why it stands still, where that could not be written down.
pub(in crate::rpc) fn out(campaign: Campaign, hold: Option<String>) -> pb::Campaign {
    let hold_time = campaign.hold.as_ref().map(|hold| hold.since.into());
    let hold = hold.or(campaign.hold.map(|hold| hold.reason)).unwrap_or_default();
    let emails = campaign.emails;
    pb::Campaign {
        id: campaign.id.to_string(),
        state: state(campaign.state).into(),
        settings: Some(pb::CampaignSettings {
            website: campaign.settings.website,
            goal: goal(campaign.settings.goal).into(),
            goal_detail: campaign.settings.goal_detail,
            template_id: campaign.settings.template_id.map(|t| t.to_string()).unwrap_or_default(),
            max_prospects: saturating_i32(campaign.settings.max_prospects),
            mailbox_ids: campaign.settings.mailboxes.iter().map(ToString::to_string).collect(),
            recipients: Some(recipients::rules_out(campaign.settings.recipients)),
        }),
        steps: campaign.steps.into_iter().map(step_out).collect(),
        current_step: step(campaign.current_step).into(),
        emails: Some(pb::EmailCounts {
            generated: saturating_i32(emails.generated()),
            awaiting_approval: saturating_i32(emails.awaiting_approval),
            approved: saturating_i32(emails.approved + emails.sending),
            rejected: saturating_i32(emails.rejected),
            sent: saturating_i32(emails.sent),
            failed: saturating_i32(emails.failed),
            skipped: saturating_i32(emails.skipped),
            unknown: saturating_i32(emails.unknown),
        }),
        prospect_count: saturating_i32(campaign.prospect_count),
        last_seq: campaign.seq,
        hold,
        hold_time,
        failure: campaign.failure,
        allowed_actions: campaign.state.allowed().iter().map(|a| action(*a).into()).collect(),
        create_time: Some(campaign.create_time.into()),
        update_time: Some(campaign.update_time.into()),
        end_time: campaign.end_time.map(Into::into),
        missing_fields: campaign.state.missing().iter().map(|field| (*field).to_owned()).collect(),
    }
}

pub(in crate::rpc) fn step_out(step_in: Step) -> pb::CampaignStep {
    pb::CampaignStep {
        id: step(step_in.id).into(),
        status: step_status(step_in.status).into(),
        progress: i32::from(step_in.progress),
        start_time: step_in.start_time.map(Into::into),
        end_time: step_in.end_time.map(Into::into),
        summary: step_in.summary,
    }
}

pub(in crate::rpc) fn event(event: &Event) -> pb::CampaignEvent {
    use pb::campaign_event::Kind;
    let kind = match event.kind.clone() {
        EventKind::StateChanged { from, to, reason } => {
            // The state before a pause is not told by its name; its own events tell it.
            let named = |name: &str| CampaignState::parse(name, Some("RUNNING")).map_or(0, |s| state(s).into());
            Kind::StateChanged(pb::StateChanged { from: named(&from), to: named(&to), reason })
        }
        EventKind::StepChanged { step: id, status, progress, summary } => Kind::StepChanged(pb::StepChanged {
            step: step(id).into(),
            status: step_status(status).into(),
            progress: i32::from(progress),
            summary,
        }),
        EventKind::LogAdded { step: id, text } => Kind::LogAdded(pb::LogAdded { step: step(id).into(), text }),
        EventKind::EmailChanged { email_id, prospect_id, status } => Kind::EmailChanged(pb::EmailChanged {
            email_id: email_id.to_string(),
            prospect_id: prospect_id.to_string(),
            status: email::status(status).into(),
        }),
        EventKind::EmailReported { email_id, prospect_id, report } => Kind::EmailReported(pb::EmailReported {
            email_id: email_id.to_string(),
            prospect_id: prospect_id.to_string(),
            report: bounce::report(report).into(),
        }),
        EventKind::MailboxPaused { mailbox_id, address, reason } => {
            Kind::MailboxPaused(pb::MailboxPaused { mailbox_id: mailbox_id.to_string(), address, reason })
        }
        EventKind::HoldChanged { reason } => Kind::HoldChanged(pb::HoldChanged { reason }),
    };
    pb::CampaignEvent { seq: event.seq, time: Some(event.time.into()), kind: Some(kind) }
}

pub(in crate::rpc) fn analysis(analysis: WebsiteAnalysis) -> pb::WebsiteAnalysis {
    let audience = |a: Audience| pb::Audience { title: a.title, description: a.description };
    pb::WebsiteAnalysis {
        url: analysis.url,
        business_name: analysis.business_name,
        logo_url: analysis.logo_url,
        introduction: analysis.introduction,
        product_type: analysis.product_type,
        selling_points: analysis.selling_points,
        audiences: analysis.audiences.into_iter().map(audience).collect(),
        language: analysis.language,
        pages: analysis.pages,
        industry: analysis.industry,
        benchmark_brands: analysis.benchmark_brands,
        sources: analysis.sources.into_iter().map(source).collect(),
    }
}

/// What a tenant says of its website; checked by the domain.
pub(super) fn analysis_in(analysis: pb::WebsiteAnalysis) -> WebsiteAnalysis {
    let audience = |a: pb::Audience| Audience { title: a.title, description: a.description };
    WebsiteAnalysis {
        url: analysis.url,
        business_name: analysis.business_name,
        logo_url: analysis.logo_url,
        introduction: analysis.introduction,
        product_type: analysis.product_type,
        selling_points: analysis.selling_points,
        audiences: analysis.audiences.into_iter().map(audience).collect(),
        language: analysis.language,
        pages: analysis.pages,
        industry: analysis.industry,
        benchmark_brands: analysis.benchmark_brands,
        // Output only: what is stated is found in the configuration.
        sources: Vec::new(),
    }
}

fn source(source: FieldSource) -> pb::FieldSource {
    let (field, found_in) = (source.field.as_str().to_owned(), source.found_in.as_str().to_owned());
    pb::FieldSource { field, page: source.page, found_in }
}

pub(in crate::rpc) fn marketing_strategy(found: MarketingStrategy) -> pb::MarketingStrategy {
    pb::MarketingStrategy {
        id: found.id.to_string(),
        website: found.website,
        goal: goal(found.goal).into(),
        campaign_id: found.campaign_id.to_string(),
        analysis: Some(analysis(found.analysis)),
        strategy: Some(strategy(found.strategy)),
        create_time: Some(found.create_time.into()),
    }
}

pub(in crate::rpc) fn strategy(strategy: SearchStrategy) -> pb::SearchStrategy {
    pb::SearchStrategy {
        queries: strategy.queries,
        industries: strategy.industries,
        roles: strategy.roles,
        keywords: strategy.keywords,
        location: strategy.location,
    }
}

/// A required step.
pub(in crate::rpc) fn step_in(value: i32) -> Result<StepId, Error> {
    let wanted: pb::StepId = enumeration("step", value)?;
    StepId::ALL.into_iter().find(|s| step(*s) == wanted).ok_or_else(|| Error::field("step", "is required"))
}

/// None if unspecified.
pub(super) fn goal_in(field: &str, value: i32) -> Result<Option<Goal>, Error> {
    Ok(match enumeration(field, value)? {
        pb::CampaignGoal::Unspecified => None,
        pb::CampaignGoal::Partnerships => Some(Goal::Partnerships),
        pb::CampaignGoal::Customers => Some(Goal::Customers),
        pb::CampaignGoal::Press => Some(Goal::Press),
    })
}

/// The goal of a request; None if it leaves it to the configuration.
pub(in crate::rpc) fn request_goal(value: i32) -> Result<Option<Goal>, Error> {
    goal_in("goal", value)
}

/// The website to filter by, as StartWorkflow keeps it; None for all.
pub(in crate::rpc) fn website_filter(text: &str) -> Result<Option<String>, Error> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    text::web_url(text).map(|url| Some(url.to_string())).map_err(|why| Error::field("website", why))
}

/// 1 to 10,000; 0 means the most.
pub(in crate::rpc) fn max_prospects(value: i32) -> Result<u32, Error> {
    match u32::try_from(value) {
        Ok(0) => Ok(MAX_PROSPECTS),
        Ok(n) if n <= MAX_PROSPECTS => Ok(n),
        _ => Err(Error::field("max_prospects", format!("must be between 0 and {MAX_PROSPECTS}"))),
    }
}

pub(super) fn goal(goal: Goal) -> pb::CampaignGoal {
    match goal {
        Goal::Partnerships => pb::CampaignGoal::Partnerships,
        Goal::Customers => pb::CampaignGoal::Customers,
        Goal::Press => pb::CampaignGoal::Press,
    }
}

/// The names of the states that a list is filtered by, each once.
pub(in crate::rpc) fn states(values: &[i32]) -> Result<Vec<&'static str>, Error> {
    let name = |&value: &i32| match pb::CampaignState::try_from(value) {
        Ok(state) if state != pb::CampaignState::Unspecified => {
            Ok(state.as_str_name().trim_start_matches("CAMPAIGN_STATE_"))
        }
        _ => Err(Error::field("states", "must name states of campaigns")),
    };
    let mut names = values.iter().map(name).collect::<Result<Vec<_>, _>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn state(state: CampaignState) -> pb::CampaignState {
    match state {
        CampaignState::Running => pb::CampaignState::Running,
        CampaignState::Paused { .. } => pb::CampaignState::Paused,
        CampaignState::WaitingAnalysis => pb::CampaignState::WaitingAnalysis,
        CampaignState::WaitingTemplate => pb::CampaignState::WaitingTemplate,
        CampaignState::WaitingApproval => pb::CampaignState::WaitingApproval,
        CampaignState::Completed => pb::CampaignState::Completed,
        CampaignState::Failed => pb::CampaignState::Failed,
        CampaignState::Cancelled => pb::CampaignState::Cancelled,
    }
}

fn action(action: Action) -> pb::CampaignAction {
    match action {
        Action::Pause => pb::CampaignAction::Pause,
        Action::Resume => pb::CampaignAction::Resume,
        Action::Cancel => pb::CampaignAction::Cancel,
        Action::SelectTemplate => pb::CampaignAction::SelectTemplate,
        Action::ReviewEmails => pb::CampaignAction::ReviewEmails,
    }
}

fn step(step: StepId) -> pb::StepId {
    match step {
        StepId::WebsiteAnalysis => pb::StepId::WebsiteAnalysis,
        StepId::SearchStrategy => pb::StepId::SearchStrategy,
        StepId::ProspectSearch => pb::StepId::ProspectSearch,
        StepId::EmailGeneration => pb::StepId::EmailGeneration,
        StepId::EmailReview => pb::StepId::EmailReview,
        StepId::EmailSending => pb::StepId::EmailSending,
    }
}

fn step_status(status: StepStatus) -> pb::StepStatus {
    match status {
        StepStatus::Pending => pb::StepStatus::Pending,
        StepStatus::InProgress => pb::StepStatus::InProgress,
        StepStatus::Completed => pb::StepStatus::Completed,
        StepStatus::Failed => pb::StepStatus::Failed,
        StepStatus::Skipped => pb::StepStatus::Skipped,
        StepStatus::Cancelled => pb::StepStatus::Cancelled,
    }
}

/// How a campaign's letters go out from mailboxes that have these to send, the next one at `next`.
pub(in crate::rpc) fn sending_plan(loads: &[Load], next: Option<Timestamp>, now: Timestamp) -> pb::SendingPlan {
    let enabled = || loads.iter().filter(|load| load.mailbox.state == MailboxState::Enabled);
    let per_day = enabled().map(|Load { mailbox, first, .. }| {
        let (pace, calendar) = (&mailbox.settings.pace, &mailbox.settings.calendar);
        let window = calendar.window();
        match mailbox.kind {
            MailboxKind::Outbox => u32::MAX,
            MailboxKind::Smtp => pace.on_a_day(calendar, first.map(|first| window.day(first)), window.day(now)),
        }
    });
    let per_day = per_day.fold(0_u32, u32::saturating_add);
    let from = next.unwrap_or(now);
    let ends = enabled().map(|Load { mailbox, waiting, first }| {
        let (pace, calendar) = (&mailbox.settings.pace, &mailbox.settings.calendar);
        match mailbox.kind {
            MailboxKind::Outbox => Some(now),
            MailboxKind::Smtp => pace.done(calendar, first.map(|first| calendar.window().day(first)), from, *waiting),
        }
    });
    // None of them: the last letter never goes.
    let end = if enabled().count() < loads.len() { None } else { ends.collect::<Option<Vec<_>>>() };
    pb::SendingPlan {
        next_email_time: next.map(Into::into),
        emails_per_day: (per_day < u32::MAX).then(|| saturating_i32(per_day)),
        estimated_end_time: end.and_then(|ends| ends.into_iter().max()).map(Into::into),
    }
}
