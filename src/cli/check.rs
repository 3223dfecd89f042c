//! `herald check`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::client::{Connection, Tls};
use super::output::{Json, counted, pretty};
use super::peer::Met;
use super::settings::Settings;
use crate::check::{self, Report, check_call};
use crate::config::Config;
use crate::domain::finding::{Finding, Severity};
use crate::files::holder;
use crate::terminal::{line, say};

/// Looks at the settings, the ports, certificates and keys, the data folder and its volume, the database's schema, tenants and
/// rows, Redis, the store of files, the issuer's key set and the clock; with --user also whether a running server takes that
/// user's call. Says what it looked at, what is wrong and what to do, and exits with 1 if anything is wrong. Changes nothing;
/// may run beside the server.
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
    /// The server to call; the one with these settings if left out.
    #[arg(long, value_name = "URL", env = "HERALD_SERVER", hide_env_values = true)]
    server: Option<String>,
    #[command(flatten)]
    tls: Tls,
    #[command(flatten)]
    form: Json,
}

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(report(args));
    if args.form.json {
        say!("{}", pretty(&as_json(&report))?);
    } else {
        tell(&report);
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn report(args: &CheckArgs) -> Report {
    let mut report = Report::default();
    let layers = match args.settings.layers() {
        Ok(layers) => layers,
        Err(error) => {
            report.add("the settings", [wrong_setting(&format!("{error:#}"))]);
            return report;
        }
    };
    let config = match layers.known() {
        Ok(config) => config,
        Err(error) => {
            let unknown = layers.unknown().iter().map(|error| error.0.as_str());
            report.add("the settings", error.0.lines().chain(unknown).map(wrong_setting));
            return report;
        }
    };
    let secret_file = args.settings.secret_file(&layers);
    report = check::check(&config, secret_file, args.deep).await;
    if !layers.unknown().is_empty() {
        report.add("what is set", layers.unknown().iter().map(|error| wrong_setting(&error.to_string())));
    }
    if !args.user.is_empty() {
        call(args, &config, &mut report).await;
    }
    report
}

fn wrong_setting(wrong: &str) -> Finding {
    Finding::new(wrong, "correct it; docs/configuration.md lists the settings")
}

async fn call(args: &CheckArgs, config: &Config, report: &mut Report) {
    let Some(server) = args.server.clone().filter(|server| !server.is_empty()).or_else(|| served(config)) else {
        let wrong = "no server is at work in the data folder, and the settings do not say which port it will have";
        return report.add("a call", [Finding::new(wrong, "start the server, or name another by --server")]);
    };
    let connection = Connection { tls: args.tls.clone(), ..Connection::to(server) };
    let channel = async {
        let channel = connection.channel().await?;
        connection.look().await?;
        anyhow::Ok(channel)
    };
    match channel.await {
        Ok(channel) => {
            for user in &args.user {
                report.add(format!("a call of {user}"), check_call(config, channel.clone(), user).await);
            }
        }
        Err(error) => {
            let to_do = error.downcast_ref().map_or("correct --server, or the files of the other options", Met::to_do);
            report.add("a call", [Finding::new(format!("{error:#}"), to_do)]);
        }
    }
}

/// Where the server with these settings is called; None if it picks a port by itself and is not at work.
fn served(config: &Config) -> Option<String> {
    let mut address = config.listen;
    if address.port() == 0 {
        address = holder(&config.data_dir)?.addresses.first().copied()?;
    }
    // Where all addresses of the machine are listened on, one of them is its own.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Some(format!("{}://{address}", if config.tls.is_on() { "https" } else { "http" }))
}

fn tell(report: &Report) {
    for look in &report.looks {
        if look.findings.is_empty() {
            say!("ok: {}", line(&look.what));
        }
        for (n, finding) in look.findings.iter().enumerate() {
            say!("{}: {}", word(finding.severity), line(&finding.wrong));
            // What is to be done about several is said behind the last of them.
            if look.findings.get(n + 1).is_none_or(|next| next.to_do != finding.to_do) {
                say!("   do: {}", line(&finding.to_do));
            }
        }
    }
    let warnings = report.looks.iter().map(|look| look.findings.len() as u64).sum();
    match (report.is_good(), warnings) {
        (true, 0) => say!("everything is as it should be"),
        (true, _) => say!("nothing is wrong; {}", counted(warnings, "warning")),
        _ => {}
    }
}

fn as_json(report: &Report) -> Value {
    let finding =
        |finding: &Finding| json!({ "severity": word(finding.severity), "found": finding.wrong, "do": finding.to_do });
    let looks = report.looks.iter().map(|look| {
        let findings: Vec<_> = look.findings.iter().map(finding).collect();
        json!({ "lookedAt": look.what, "findings": findings })
    });
    json!({ "good": report.is_good(), "looks": looks.collect::<Vec<_>>() })
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Wrong => "wrong",
        Severity::Warning => "warning",
    }
}
