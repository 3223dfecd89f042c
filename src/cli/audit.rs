//! `herald audit list`: who did what, on a running server.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use prost_types::Timestamp;

use super::client::{Api, Connection};
use super::output::{Json, say_json, say_list};
use super::pages;
use super::refusal::explain;
use super::words::Word as _;
use crate::pb;

#[derive(Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List who changed what, the newest first. Needs the role admin.
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many; 0 means all.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        form: Json,
    },
}

/// Which events.
#[derive(Args)]
struct Filter {
    /// Those of an RPC, such as UpdateProspect, or of an operator's command, such as "herald restore".
    #[arg(long, default_value = "", value_parser = method)]
    method: String,
    /// Those of a user or service.
    #[arg(long, default_value = "")]
    subject: String,
    /// Those that touched a prospect, an e-mail or a campaign.
    #[arg(long, default_value = "")]
    id: String,
    /// Those from a time on, such as 2026-03-01T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Those before a time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
}

/// The commands of an operator that the log tells of.
const OPERATORS: [&str; 2] = ["herald restore", "herald rotate-key"];

pub(super) fn audit(args: AuditArgs) -> anyhow::Result<ExitCode> {
    let Command::List { filter, limit, form } = args.command;
    let when = |time: Timestamp| (time.seconds, time.nanos);
    if let (Some(since), Some(until)) = (filter.since, filter.until)
        && when(since) > when(until)
    {
        bail!("--since {since} is later than --until {until}");
    }
    args.connection.run(async |mut api| list(&mut api, &filter, limit, form).await)
}

async fn list(api: &mut Api, filter: &Filter, limit: usize, form: Json) -> anyhow::Result<ExitCode> {
    let page = async |page_size, page_token| {
        let request = pb::ListAuditEventsRequest {
            page_size,
            page_token,
            method: filter.method.clone(),
            subject: filter.subject.clone(),
            touched: filter.id.clone(),
            since: filter.since,
            until: filter.until,
        };
        let page = api.tenant.list_audit_events(request).await.map_err(|s| explain(&s))?.into_inner();
        Ok((page.events, page.next_page_token))
    };
    let (events, next_page_token) = pages::rows(limit, 500, page).await?;
    let whole = pb::ListAuditEventsResponse { events, next_page_token };
    if form.json {
        return say_json(&whole);
    }
    let header = ["time", "who", "method", "touched", "ids", "fields"];
    say_list("events", header, &whole.events.iter().map(row).collect::<Vec<_>>());
    pages::tell_rest(&whole.next_page_token);
    Ok(ExitCode::SUCCESS)
}

fn row(event: &pb::AuditEvent) -> [String; 6] {
    let time = event.time.map(|time| time.to_string()).unwrap_or_default();
    let who = if matches!(event.proof(), pb::Proof::Operator | pb::Proof::Link) {
        event.proof().word()
    } else {
        event.subject.clone()
    };
    let count = event.touched_count;
    let touched = if event.unfinished { format!("{count}, unfinished") } else { count.to_string() };
    [time, who, event.method.clone(), touched, event.ids.join(" "), event.fields.join(" ")]
}

/// The name of a method as the audit log has it: any case is fine, and what stands before it in a request's path.
fn method(text: &str) -> anyhow::Result<String> {
    let name = text.rsplit('/').next().unwrap_or_default();
    if name.is_empty() {
        return Ok(String::new());
    }
    let known: Vec<_> = pb::methods().into_iter().chain(OPERATORS.map(str::to_owned)).collect();
    if let Some(known) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(known.clone());
    }
    let slips = |known: &&String| strsim::osa_distance(&name.to_lowercase(), &known.to_lowercase());
    let nearest = known.iter().min_by_key(slips).filter(|nearest| slips(nearest) <= name.chars().count() / 3);
    let meant = nearest.map(|nearest| format!(": did you mean {nearest}?")).unwrap_or_default();
    bail!("there is no such method{meant}")
}

fn time(text: &str) -> anyhow::Result<Timestamp> {
    text.parse().context("write it such as 2026-03-01T00:00:00Z")
}
