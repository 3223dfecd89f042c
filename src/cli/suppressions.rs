//! `herald suppressions …`: addresses that are not to be written to, on a running server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::addresses::read_addresses;
use super::client::{Api, Connection};
use super::output::{Json, counted, say_json, say_list};
use super::pages;
use super::refusal::explain;
use super::words::Word as _;
use crate::pb;
use crate::terminal::say;

#[derive(Args)]
pub(super) struct SuppressionsArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Never write to these addresses.
    Add {
        /// The addresses.
        #[arg(value_name = "ADDRESS")]
        emails: Vec<String>,
        /// A file with an address on each line, besides (- is standard input); a first line that names the column is passed over. It is checked whole
        /// before anything is added.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Why.
        #[arg(long, default_value = "manual")]
        reason: pb::SuppressionReason,
        #[command(flatten)]
        form: Json,
    },
    /// Let an address be written to again.
    Remove {
        /// The address, in whatever spelling.
        #[arg(value_name = "ADDRESS")]
        email: String,
        #[command(flatten)]
        form: Json,
    },
    /// List them, the newest first.
    List {
        /// At most so many; 0 means all.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        form: Json,
    },
}

/// The most addresses of one call.
const BATCH: usize = 1_000;

pub(super) fn suppressions(args: SuppressionsArgs) -> anyhow::Result<ExitCode> {
    let mut command = args.command;
    if let Command::Add { emails, file: Some(path), .. } = &mut command {
        // A bad file is told before a server is needed.
        emails.extend(read_addresses(path)?);
    }
    args.connection.run(async |mut api| match command {
        Command::Add { emails, reason, form, .. } => add(&mut api, &emails, reason, form).await,
        Command::Remove { email, form } => {
            let request = pb::RemoveSuppressionRequest { email: email.clone() };
            let answer = api.agent.remove_suppression(request).await.map_err(|s| explain(&s))?;
            if form.json {
                return say_json(&answer.into_inner());
            }
            say!("{email} is removed: it may be written to again");
            Ok(ExitCode::SUCCESS)
        }
        Command::List { limit, form } => list(&mut api, limit, form).await,
    })
}

async fn add(api: &mut Api, emails: &[String], reason: pb::SuppressionReason, form: Json) -> anyhow::Result<ExitCode> {
    if emails.is_empty() {
        bail!("name addresses, or a --file with one on each line");
    }
    let suppression = |email: &String| pb::Suppression {
        email: email.clone(),
        reason: reason.into(),
        source: "herald suppressions".to_owned(),
        ..Default::default()
    };
    let mut answer = pb::AddSuppressionsResponse::default();
    for some in emails.chunks(BATCH) {
        let suppressions = some.iter().map(suppression).collect();
        let request = pb::AddSuppressionsRequest { suppressions, request_id: String::new() };
        let batch = api.agent.add_suppressions(request).await.map_err(|s| explain(&s))?.into_inner();
        answer.added_count += batch.added_count;
    }
    if form.json {
        return say_json(&answer);
    }
    let added = u64::try_from(answer.added_count).unwrap_or(0);
    let there = emails.len() as u64 - added;
    say!("{} added, {there} there already", counted(added, "suppression"));
    Ok(ExitCode::SUCCESS)
}

async fn list(api: &mut Api, limit: usize, form: Json) -> anyhow::Result<ExitCode> {
    let page = async |page_size, page_token| {
        let request = pb::ListSuppressionsRequest { page_size, page_token, ..Default::default() };
        let page = api.agent.list_suppressions(request).await.map_err(|s| explain(&s))?.into_inner();
        Ok((page.suppressions, page.next_page_token))
    };
    let (suppressions, next_page_token) = pages::rows(limit, 200, page).await?;
    let whole = pb::ListSuppressionsResponse { suppressions, next_page_token };
    if form.json {
        return say_json(&whole);
    }
    let row = |s: &pb::Suppression| [s.email.clone(), s.reason().word(), s.source.clone()];
    let rows: Vec<_> = whole.suppressions.iter().map(row).collect();
    say_list("suppressions", ["address", "reason", "source"], &rows);
    pages::tell_rest(&whole.next_page_token);
    Ok(ExitCode::SUCCESS)
}
