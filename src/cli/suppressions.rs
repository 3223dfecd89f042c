//! `herald suppressions …`: addresses that are not to be written to, on a running server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::client::{Api, Connection, explain};
use super::output::{counted, pretty, table, to_value};
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
        /// A file with an address on each line, besides.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Why.
        #[arg(long, default_value = "manual")]
        reason: pb::SuppressionReason,
    },
    /// Let an address be written to again.
    Remove {
        /// The address, in whatever spelling.
        #[arg(value_name = "ADDRESS")]
        email: String,
    },
    /// List them, the newest first.
    List {
        /// At most so many; 0 means all.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The most addresses of one call.
const BATCH: usize = 1_000;

pub(super) fn suppressions(args: SuppressionsArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut api = args.connection.open().await?;
        match args.command {
            Command::Add { mut emails, file, reason } => {
                if let Some(path) = file {
                    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                    emails.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
                }
                add(&mut api, &emails, reason).await
            }
            Command::Remove { email } => {
                let request = pb::RemoveSuppressionRequest { email };
                api.agent.remove_suppression(request).await.map_err(|s| explain(&s))?;
                say!("removed");
                Ok(ExitCode::SUCCESS)
            }
            Command::List { limit, json } => list(&mut api, limit, json).await,
        }
    })
}

async fn add(api: &mut Api, emails: &[String], reason: pb::SuppressionReason) -> anyhow::Result<ExitCode> {
    if emails.is_empty() {
        bail!("name addresses, or a --file with one on each line");
    }
    let suppression = |email: &String| pb::Suppression {
        email: email.clone(),
        reason: reason.into(),
        source: "herald suppressions".to_owned(),
        ..Default::default()
    };
    let mut added = 0;
    for some in emails.chunks(BATCH) {
        let suppressions = some.iter().map(suppression).collect();
        let request = pb::AddSuppressionsRequest { suppressions, request_id: String::new() };
        let answer = api.agent.add_suppressions(request).await.map_err(|s| explain(&s))?.into_inner();
        added += u64::try_from(answer.added_count).unwrap_or(0);
    }
    let there = emails.len() as u64 - added;
    say!("{} added, {there} there already", counted(added, "suppression"));
    Ok(ExitCode::SUCCESS)
}

async fn list(api: &mut Api, limit: usize, json: bool) -> anyhow::Result<ExitCode> {
    let wanted = if limit == 0 { usize::MAX } else { limit };
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let page_size = i32::try_from((wanted - all.len()).min(200)).unwrap_or(200);
        let request = pb::ListSuppressionsRequest { page_size, page_token, ..Default::default() };
        let page = api.agent.list_suppressions(request).await.map_err(|s| explain(&s))?.into_inner();
        all.extend(page.suppressions);
        page_token = page.next_page_token;
        if page_token.is_empty() || all.len() >= wanted {
            break;
        }
    }
    if json {
        let all: Vec<_> = all.iter().map(|s| to_value("herald.v1.Suppression", s)).collect::<Result<_, _>>()?;
        say!("{}", pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    let reason = |s: &pb::Suppression| s.reason().word();
    let rows: Vec<_> = all.iter().map(|s| [s.email.clone(), reason(s), s.source.clone()]).collect();
    say!("{}", table(["address", "reason", "source"], &rows));
    Ok(ExitCode::SUCCESS)
}
