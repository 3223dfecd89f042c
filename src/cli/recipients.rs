//! Whom a campaign writes to, on the command line: the rules of a start, the preview, and those that were chosen.

use std::process::ExitCode;

use clap::Args;

use super::client::Api;
use super::given::pasteable;
use super::output::{Json, say_json, say_list};
use super::pages;
use super::refusal::explain;
use super::which::{has_ended, list_live, newest, standing};
use super::words::Word as _;
use crate::pb;
use crate::terminal::{line, say};

/// Who may be written to. Each option can be given several times, and lets through what fits one of its values.
#[derive(Args, Clone, Debug, Default)]
pub struct Rules {
    /// Those with a tag.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Those who got as far as that.
    #[arg(long, value_name = "STATUS")]
    pub status: Vec<pb::ProspectStatus>,
    /// Those of an industry.
    #[arg(long, value_name = "INDUSTRY")]
    pub industry: Vec<String>,
    /// That prospect.
    #[arg(long, value_name = "ID")]
    pub prospect: Vec<String>,
    /// Those that came from a source.
    #[arg(long, value_name = "SOURCE")]
    pub source: Vec<String>,
    /// Those who read a language: de stands for de-AT too.
    #[arg(long, value_name = "LANGUAGE")]
    pub language: Vec<String>,
    /// Those that fit at least so well, 0 to 100.
    #[arg(long, value_name = "SCORE", default_value_t = 0, hide_default_value = true)]
    pub min_score: i32,
    /// At most so many of one company, by the domain of the address; 0 means any number.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub max_per_company: i32,
    /// Nobody who was written to within so many days; 0 writes to them again. 90 if left out.
    #[arg(long, value_name = "DAYS")]
    pub not_again_days: Option<i32>,
}

impl Rules {
    pub(super) fn request(&self) -> pb::RecipientRules {
        pb::RecipientRules {
            tags: self.tag.clone(),
            statuses: self.status.iter().map(|status| (*status).into()).collect(),
            industries: self.industry.clone(),
            prospect_ids: self.prospect.clone(),
            sources: self.source.clone(),
            languages: self.language.clone(),
            min_score: self.min_score,
            max_per_company: self.max_per_company,
            not_again_days: self.not_again_days,
        }
    }
}

#[derive(Args)]
pub(super) struct PreviewArgs {
    #[command(flatten)]
    rules: Rules,
    /// Write to at most so many, the best first; 10,000 if left out.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    max_prospects: i32,
    #[command(flatten)]
    form: Json,
}

#[derive(Args)]
pub(super) struct RecipientsArgs {
    /// The campaign; the newest if left out.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    campaign: String,
    /// At most so many; 0 means all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    form: Json,
}

/// Shows whom a campaign with these rules would write to.
pub(super) async fn preview(api: &mut Api, args: PreviewArgs) -> anyhow::Result<ExitCode> {
    let recipients = Some(args.rules.request());
    let request = pb::PreviewRecipientsRequest { recipients, max_prospects: args.max_prospects };
    let preview = api.workflow.preview_recipients(request).await.map_err(|s| explain(&s))?.into_inner();
    if args.form.json {
        return say_json(&preview);
    }
    let pb::PreviewRecipientsResponse { prospect_count, fitting_count, recipient_count, left_out, notes } = preview;
    say!("{recipient_count} of {prospect_count} prospects would be written to; {fitting_count} fit the filters");
    show_left_out(&left_out, true);
    if args.rules.min_score > 0 {
        say!("how well they fit is known once the website was read: --min-score may leave out more");
    }
    for note in &notes {
        say!("note: {}", line(note));
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows those that a campaign has chosen, the best first.
pub(super) async fn recipients(api: &mut Api, args: RecipientsArgs) -> anyhow::Result<ExitCode> {
    let mut left_out = Vec::new();
    let page = async |page_size, page_token| {
        let request = pb::ListRecipientsRequest { campaign_id: args.campaign.clone(), page_size, page_token };
        let page = api.workflow.list_recipients(request).await.map_err(|s| explain(&s))?.into_inner();
        left_out = page.left_out;
        Ok((page.recipients, page.next_page_token))
    };
    let (recipients, next_page_token) = pages::rows(args.limit, 1_000, page).await?;
    let whole = pb::ListRecipientsResponse { recipients, next_page_token, left_out };
    if args.form.json {
        return say_json(&whole);
    }
    let mut state = pb::CampaignState::default();
    if whole.recipients.iter().any(|r| r.email_status() == pb::EmailStatus::AwaitingApproval)
        || in_campaign(&whole.left_out)
    {
        state = newest(api, args.campaign).await?.state();
    }
    let row = |recipient: &pb::Recipient| {
        let prospect = recipient.prospect.clone().unwrap_or_default();
        let has_letter = !recipient.email_id.is_empty();
        let status = if has_letter { standing(recipient.email_status(), state) } else { String::new() };
        let reasons = reasons(&prospect);
        [prospect.score.to_string(), prospect.email, status, reasons]
    };
    let rows: Vec<_> = whole.recipients.iter().map(row).collect();
    say_list("recipients", ["score", "email", "status", "reasons"], &rows);
    pages::tell_rest(&whole.next_page_token);
    show_left_out(&whole.left_out, !has_ended(state));
    Ok(ExitCode::SUCCESS)
}

/// Why a prospect fits. A few points come of what is known of anybody.
pub(super) fn reasons(prospect: &pb::RankedProspect) -> String {
    if prospect.reasons.is_empty() { "no particular reason".to_owned() } else { prospect.reasons.join("; ") }
}

/// Who was left out; where they are now matters as long as they may be chosen yet.
fn show_left_out(left_out: &[pb::LeftOut], is_open: bool) {
    for of in left_out {
        let why = of.reason().word();
        say!("left out: {:>6} {why:<17} such as {}", of.count, line(&of.examples.join(", ")));
    }
    if is_open && in_campaign(left_out) {
        say!("which campaigns those are in: {}", pasteable(&list_live()));
    }
}

/// Whether some were left out since another campaign has them.
fn in_campaign(left_out: &[pb::LeftOut]) -> bool {
    left_out.iter().any(|of| of.reason() == pb::LeftOutReason::InCampaign)
}
