//! E-mails that did not go out, on the command line: sent again, or settled.

use std::process::ExitCode;

use anyhow::bail;
use clap::{ArgGroup, Args};

use super::client::Api;
use super::output::{Json, counted, say_json};
use super::refusal::explain;
use super::review::email_id;
use super::which::meant;
use super::words::Word as _;
use crate::pb::{self, EmailResolution};
use crate::terminal::{line, say};

#[derive(Args)]
pub(super) struct RetryArgs {
    /// The e-mails' ids; without any all that have failed.
    #[arg(value_name = "EMAIL_ID", value_parser = email_id)]
    ids: Vec<String>,
    /// The campaign's id; if left out, that of the e-mails, or else the newest.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    campaign: String,
    #[command(flatten)]
    form: Json,
}

#[derive(Args)]
#[command(group(ArgGroup::new("resolution").args(["sent", "again", "drop"]).required(true)))]
pub(super) struct ResolveArgs {
    /// The e-mails' ids.
    #[arg(value_name = "EMAIL_ID", value_parser = email_id, required_unless_present = "all")]
    ids: Vec<String>,
    /// All of the campaign that are unknown.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// They were sent.
    #[arg(long)]
    sent: bool,
    /// They were not: send them.
    #[arg(long)]
    again: bool,
    /// Leave them, and send nothing.
    #[arg(long)]
    drop: bool,
    /// The campaign's id; if left out, that of the e-mails, or else the newest.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    campaign: String,
    #[command(flatten)]
    form: Json,
}

/// The campaign that is named, or that of the e-mail, or the one that is meant without either.
async fn of(api: &mut Api, campaign: String, email: Option<&String>) -> anyhow::Result<String> {
    let Some(email) = email.filter(|_| campaign.is_empty()) else { return meant(api, campaign).await };
    let request = pb::GetEmailRequest { email_id: email.clone() };
    let email = api.agent.get_email(request).await.map_err(|s| explain(&s))?.into_inner().email;
    Ok(email.unwrap_or_default().campaign_id)
}

pub(super) async fn retry(api: &mut Api, args: RetryArgs) -> anyhow::Result<ExitCode> {
    let campaign_id = of(api, args.campaign, args.ids.first()).await?;
    let request = pb::RetryEmailsRequest { campaign_id, email_ids: args.ids, request_id: String::new() };
    let answer = api.workflow.retry_emails(request).await.map_err(|s| explain(&s))?.into_inner();
    if args.form.json {
        return say_json(&answer);
    }
    let campaign = answer.campaign.unwrap_or_default();
    let count = u64::try_from(answer.retried_count).unwrap_or_default();
    let (what, id) = (counted(count, "e-mail"), line(&campaign.id));
    say!("{what} will be tried again; the campaign {id} is {}", campaign.state().word());
    if answer.unwritten_count > 0 {
        let count = u64::try_from(answer.unwritten_count).unwrap_or_default();
        say!("{} could not be written: `herald campaign emails --status failed` says why", counted(count, "e-mail"));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn resolve(api: &mut Api, args: ResolveArgs) -> anyhow::Result<ExitCode> {
    let resolution = match (args.sent, args.again) {
        (true, _) => EmailResolution::WasSent,
        (_, true) => EmailResolution::SendAgain,
        _ => EmailResolution::Drop,
    };
    if args.ids.is_empty() && !args.all {
        bail!("name the e-mails, or say --all");
    }
    let campaign_id = of(api, args.campaign, args.ids.first()).await?;
    let one = |email_id| pb::ResolvedEmail { email_id, resolution: resolution.into() };
    let others = if args.all { resolution } else { EmailResolution::Unspecified };
    let emails = args.ids.into_iter().map(one).collect();
    let request = pb::ResolveEmailsRequest { campaign_id, emails, others: others.into(), request_id: String::new() };
    let answer = api.workflow.resolve_emails(request).await.map_err(|s| explain(&s))?.into_inner();
    if args.form.json {
        return say_json(&answer);
    }
    let campaign = answer.campaign.unwrap_or_default();
    say!(
        "{} count as sent, {} are sent again, {} are dropped; the campaign {} is {}",
        answer.sent_count,
        answer.sent_again_count,
        answer.dropped_count,
        line(&campaign.id),
        campaign.state().word()
    );
    Ok(ExitCode::SUCCESS)
}
