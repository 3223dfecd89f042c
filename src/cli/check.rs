//! `herald check`.

use std::process::ExitCode;

use clap::Args;

use super::client::{Connection, Tls};
use super::output::{Json, pretty};
use super::settings::Settings;
use crate::check::{check_call, check_data, check_private};
use crate::domain::finding::Finding;
use crate::terminal::{line, say};

/// Looks at the settings, the data folder and its modes, the database's schema, tenants and rows, and the keys in Redis;
/// with --user also whether a running server takes that user's call. Changes nothing; may run beside the server.
#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    settings: Settings,
    /// Read every page of the database, too; takes as long as reading the file does.
    #[arg(long)]
    deep: bool,
    /// Call the server as this user, with a token made with auth.hs256_secret. May be given more than once.
    #[arg(long, value_name = "ID")]
    user: Vec<String>,
    /// The server to call.
    #[arg(
        long,
        value_name = "URL",
        env = "HERALD_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:50051"
    )]
    server: String,
    #[command(flatten)]
    tls: Tls,
    #[command(flatten)]
    form: Json,
}

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let layers = args.settings.layers()?;
    let config = layers.config()?;
    let mut findings = Vec::new();
    if let Err(error) = config.validate() {
        findings.push(Finding::new(format!("the settings: {error}"), "correct them; `herald settings` shows all"));
    }
    findings.extend(check_private(&config, args.settings.secret_file(&layers)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        findings.extend(check_data(&config, args.deep).await);
        if args.user.is_empty() {
            return;
        }
        let (server, timeout) = (args.server.clone(), Connection::TIMEOUT);
        let connection = Connection { server, token: None, user: None, timeout, tls: args.tls.clone() };
        match connection.channel().await {
            Ok(channel) => {
                for user in &args.user {
                    findings.extend(check_call(&config, channel.clone(), user).await);
                }
            }
            Err(error) => findings.push(Finding::new(format!("{error:#}"), "start the server, or correct --server")),
        }
    });
    if args.form.json {
        let finding = |finding: &Finding| serde_json::json!({ "wrong": finding.wrong, "toDo": finding.to_do });
        say!("{}", pretty(&serde_json::json!({ "findings": findings.iter().map(finding).collect::<Vec<_>>() }))?);
        return Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    for finding in &findings {
        say!("wrong: {}\n   do: {}", line(&finding.wrong), line(&finding.to_do));
    }
    if findings.is_empty() {
        say!("everything is as it should be");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
