//! A letter that a campaign would send, sent to the mailbox that it comes from.

use std::process::ExitCode;

use clap::Args;

use super::client::Api;
use super::mailboxes;
use super::output::{Json, say_json};
use super::refusal::explain;
use crate::pb;
use crate::pb::preview_template_request::From;
use crate::terminal::{line, say};

#[derive(Args)]
pub(super) struct TestArgs {
    /// The template's id.
    #[arg(value_name = "TEMPLATE")]
    id: String,
    /// From which mailbox, and to it, by its id or its address.
    #[arg(long)]
    mailbox: String,
    /// To this prospect; if left out, to an invented one.
    #[arg(long, value_name = "PROSPECT", default_value = "", hide_default_value = true)]
    prospect: String,
    /// As this campaign writes; if left out, as the configuration says.
    #[arg(long, value_name = "CAMPAIGN", default_value = "", hide_default_value = true)]
    campaign: String,
    /// In which language, to an invented prospect.
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    language: String,
    #[command(flatten)]
    form: Json,
}

pub(super) async fn test(api: &mut Api, args: TestArgs) -> anyhow::Result<ExitCode> {
    let TestArgs { id, mailbox, prospect, campaign, language, form } = args;
    let mailbox_id = mailboxes::id(api, &mailbox).await?;
    let letter = pb::PreviewTemplateRequest {
        from: Some(From::TemplateId(id)),
        prospect_id: prospect,
        campaign_id: campaign,
        mailbox_id,
        language,
    };
    let request = pb::SendTestEmailRequest { letter: Some(letter), request_id: String::new() };
    let answer = api.workflow.send_test_email(request).await.map_err(|s| explain(&s))?.into_inner();
    if form.json {
        say_json(&answer)?;
    } else {
        answer.transcript.iter().for_each(|line| say!("{}", mailboxes::spoken(line)));
        let what = if answer.sent { "was sent to" } else { "was not sent to" };
        say!("the letter {} {what} {}", line(&answer.message_id), line(&mailbox));
    }
    Ok(if answer.sent { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
