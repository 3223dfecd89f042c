//! The command line.
//!
//! `serve` runs the server; `campaign`, `prospects`, `mailboxes`, `suppressions`, `cache`, `config` and `audit` are clients of it, over gRPC
//! like any other; the rest is for operators. Answers go to standard output; progress, logs and errors to standard error, all of it by way
//! of [`crate::terminal`]. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 waiting for a person.

mod addresses;
mod agent_config;
mod audit;
mod backup;
mod bounces;
mod cache;
mod campaign;
mod check;
mod client;
mod editor;
mod given;
mod import;
mod input;
mod mailboxes;
mod output;
mod pages;
mod peer;
mod prospects;
mod prospects_csv;
mod prospects_json;
mod recipients;
mod refusal;
mod render;
mod retry;
mod review;
mod rotate_key;
mod serve;
mod settings;
mod suppressions;
mod templates;
mod test_letter;
mod token;
mod which;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use campaign::{Outcome, RunArgs, run_campaign};
pub use client::{Api, Connection, Tls};
pub use prospects_csv::CsvArgs;
pub use recipients::Rules;
pub use render::Progress;

use crate::domain::finding::told;
use crate::terminal::{say, tell};

/// Runs outreach campaigns for many tenants: reads a website, ranks prospects, writes an e-mail to each, has them
/// approved, and sends them.
///
/// With --json a command prints one JSON document: the answer of the API, in protobuf's JSON, a list as an object that holds it;
/// `campaign run` and `campaign watch` print a line for each event. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 waiting for
/// a person.
#[derive(Parser)]
#[command(name = "herald", version = env!("HERALD_VERSION"), arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve gRPC and gRPC-Web.
    Serve(serve::ServeArgs),
    /// Start, follow and steer campaigns on a running server.
    Campaign(campaign::CampaignArgs),
    /// List, import and export prospects on a running server.
    Prospects(prospects::ProspectsArgs),
    /// Set up the addresses that the tenant sends from, on a running server.
    Mailboxes(mailboxes::MailboxesArgs),
    /// See and write the letters that campaigns are written from, on a running server.
    Templates(templates::TemplatesArgs),
    /// Add, remove and list addresses that are not to be written to, on a running server.
    Suppressions(suppressions::SuppressionsArgs),
    /// Look into and change the tenant's cache on a running server.
    Cache(cache::CacheArgs),
    /// Make a bearer token, for deployments that sign with a shared secret.
    Token(token::TokenArgs),
    /// Look whether a deployment is as it should be; exits with 1 and says what to do if it is not.
    Check(check::CheckArgs),
    /// Copy the data folder, while the server runs or not.
    Backup(backup::BackupArgs),
    /// Put a backup back, with everything held back that could go out.
    Restore(backup::RestoreArgs),
    /// Put the tenants' own keys under a new master key.
    RotateKey(rotate_key::RotateKeyArgs),
    /// Look at and change the tenant's configuration, on a running server.
    Config(agent_config::ConfigArgs),
    /// See who changed what, on a running server.
    Audit(audit::AuditArgs),
    /// Print every setting of the server in force, with where its value came from.
    Settings(settings::SettingsArgs),
    /// Print the completions of a shell, such as `herald completions bash > ~/.local/share/bash-completion/completions/herald`.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    // The first thing: whatever speaks TLS later finds it there. An error means that it is there already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        given::note(&matches)?;
        Cli::from_arg_matches(&matches)
    });
    let command = match parsed {
        Ok(cli) => cli.command,
        Err(error) => return usage(&error),
    };
    let result = match command {
        Command::Serve(args) => serve::serve(args),
        Command::Campaign(args) => campaign::campaign(args),
        Command::Prospects(args) => prospects::prospects(args),
        Command::Mailboxes(args) => mailboxes::mailboxes(args),
        Command::Templates(args) => templates::templates(args),
        Command::Suppressions(args) => suppressions::suppressions(args),
        Command::Cache(args) => cache::cache(args),
        Command::Backup(args) => backup::run_backup(&args),
        Command::Restore(args) => backup::run_restore(&args),
        Command::RotateKey(args) => rotate_key::rotate_key(&args),
        Command::Token(args) => token::token(&args),
        Command::Check(args) => check::check(&args),
        Command::Config(args) => agent_config::config(args),
        Command::Audit(args) => audit::audit(args),
        Command::Settings(args) => settings::settings(&args),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "herald", &mut text);
            say!("{}", String::from_utf8_lossy(&text).trim_end());
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        tell!("error: {}", given::pasteable(&told(error.as_ref())));
        ExitCode::FAILURE
    })
}

/// Help and the version, or what is wrong with the arguments, which it repeats.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        tell!("{}", text.trim_end())
    } else {
        say!("{}", text.trim_end())
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}
