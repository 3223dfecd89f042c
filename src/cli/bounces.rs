//! What came back about letters, on the command line: bounces and complaints.

use std::process::ExitCode;

use clap::{ArgGroup, Args};

use super::client::Api;
use super::output::{Json, say_json};
use super::refusal::explain;
use crate::pb;
use crate::terminal::say;

#[derive(Args)]
#[command(group(ArgGroup::new("which_letter").args(["email", "to"]).required(true)))]
struct Which {
    /// The letter: its id, or its Message-ID.
    #[arg(value_name = "EMAIL_ID|MESSAGE_ID")]
    email: Option<String>,
    /// The newest letter that was sent to this address, where no more is known.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
}

#[derive(Args)]
#[command(group(ArgGroup::new("how_bad").args(["status", "permanent"]).required(true)))]
pub(super) struct BounceArgs {
    #[command(flatten)]
    which: Which,
    /// The enhanced status code, such as 5.1.1; 5 begins what is for good, 4 what is delayed.
    #[arg(long, value_name = "CODE")]
    status: Option<String>,
    /// It is for good; where no status is known.
    #[arg(long)]
    permanent: bool,
    /// What the mail server said.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    diagnostic: String,
    #[command(flatten)]
    form: Json,
}

#[derive(Args)]
pub(super) struct ComplaintArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    form: Json,
}

pub(super) async fn bounce(api: &mut Api, args: BounceArgs) -> anyhow::Result<ExitCode> {
    let (email_id, message_id, address) = args.which.names();
    let status = args.status.unwrap_or_default();
    let (permanent, diagnostic) = (args.permanent.then_some(true), args.diagnostic);
    let request = pb::RecordBounceRequest { email_id, message_id, address, status, permanent, diagnostic, time: None };
    let answer = api.mailbox.record_bounce(request).await.map_err(|s| explain(&s))?.into_inner();
    if args.form.json {
        return say_json(&answer);
    }
    done("bounce", answer.email.as_ref(), answer.suppressed);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn complaint(api: &mut Api, args: ComplaintArgs) -> anyhow::Result<ExitCode> {
    let (email_id, message_id, address) = args.which.names();
    let request = pb::RecordComplaintRequest { email_id, message_id, address, time: None };
    let answer = api.mailbox.record_complaint(request).await.map_err(|s| explain(&s))?.into_inner();
    if args.form.json {
        return say_json(&answer);
    }
    done("complaint", answer.email.as_ref(), answer.suppressed);
    Ok(ExitCode::SUCCESS)
}

fn done(what: &str, email: Option<&pb::Email>, suppressed: bool) {
    let of = email.map_or_else(|| "no letter is known".to_owned(), |email| format!("{} to {}", email.id, email.to));
    let now = if suppressed { "its recipient is suppressed" } else { "its recipient is not suppressed" };
    say!("the {what} is recorded: {of}; {now}");
}

// === impl Which ===

impl Which {
    /// As `email_id`, `message_id` and `address`. An id has no @.
    fn names(self) -> (String, String, String) {
        let (email, to) = (self.email.unwrap_or_default(), self.to.unwrap_or_default());
        let is_id = email.starts_with("em_") && !email.contains('@');
        if is_id { (email, String::new(), to) } else { (String::new(), email, to) }
    }
}
