//! `herald check`: looks whether a deployment is as it should be, and changes nothing.
//!
//! It sees what `serve` would refuse, by the very functions that `serve` calls, and what would fail later. Each module looks at
//! one thing. What is away is waited for a few seconds, no longer.

mod call;
mod clock;
mod data;
mod outside;
mod ports;
mod redis;
mod report;

use std::path::Path;
use std::sync::Arc;

use crate::app;
use crate::auth::Authenticator;
use crate::config::Config;
use crate::domain::clock::SystemClock;
use crate::domain::finding::Finding;
use crate::files::exposed;
use crate::transport::{self, TlsError};

pub use call::check_call;
pub use report::{Look, Report};

/// Looks at everything but calls. `secret_file` is the configuration file, if it holds a secret; `deep` reads every page of the
/// database.
pub async fn check(config: &Config, secret_file: Option<&Path>, deep: bool) -> Report {
    let mut report = Report::default();
    let to_do = "correct them; `herald settings` shows all";
    let wrong = config.faults().into_iter().map(|fault| Finding::new(format!("the settings: {fault}"), to_do));
    report.add("the settings", wrong);
    if let Some(path) = secret_file {
        report.add("the mode of the configuration file", exposed_finding("the configuration file", path));
    }
    ports::look(config, &mut report).await;
    certificates(config, &mut report);
    unsubscribing(config, &mut report);
    if !config.mail.ca_file.is_empty() {
        let wrong = app::mail_servers(&config.mail).err();
        let wrong = wrong.map(|error| Finding::of(&error, "put the authorities' certificates there, in PEM"));
        report.add("mail.ca_file: that it has authorities", wrong);
    }
    let times = data::look(config, deep, &mut report);
    let mut clock = clock::Clocks::new(times);
    credentials(config, &mut clock, &mut report).await;
    redis::look(config, &mut report).await;
    outside::store(config, &mut clock, &mut report).await;
    outside::collectors(&mut report).await;
    clock.look(&mut report);
    report
}

/// By which ways readers of letters unsubscribe.
fn unsubscribing(config: &Config, report: &mut Report) {
    let link = config.public_url().is_some();
    let warning = Finding::warning(
        "readers of letters unsubscribe by mail alone: letters have no link for it, which large mail providers ask for",
        "set server.public_url to where readers reach this server, such as https://mail.example.com",
    );
    // One that cannot be used is told by the settings.
    let wrong = (!link && config.server.public_url.is_empty()).then_some(warning);
    report.add("server.public_url: that letters have a link to unsubscribe", wrong);
}

/// The certificates of the port, and when they are valid.
fn certificates(config: &Config, report: &mut Report) {
    if !config.tls.is_on() {
        return;
    }
    let mut findings: Vec<_> = match transport::tls(&config.tls) {
        Ok(_) => served_certificate(config),
        Err(error) => vec![Finding::of(&error, "put the right files there, in PEM")],
    };
    // Of swapped files the other one is the key.
    if !matches!(transport::tls(&config.tls), Err(TlsError::Swapped { .. })) {
        findings.extend(exposed_finding("tls.key_file", Path::new(&config.tls.key_file)));
    }
    let authorities = if config.tls.client_ca_file.is_empty() { "" } else { ", and tls.client_ca_file" };
    report.add(format!("tls.certificate_file, tls.key_file{authorities}: that they fit, and their dates"), findings);
}

/// What clients will have against the certificates that are served, though they can be served.
pub fn served_certificate(config: &Config) -> Vec<Finding> {
    if !config.tls.is_on() {
        return Vec::new();
    }
    let mut findings = clock::validity(&transport::validities(&config.tls));
    findings.extend(transport::misissued(&config.tls).map(|what| {
        let path = &config.tls.certificate_file;
        Finding::warning(
            format!(
                "the first certificate in tls.certificate_file {path} is {what}: many clients refuse it, `herald` too"
            ),
            "have the authority issue one for the server's name, with basicConstraints CA:FALSE, and put that there",
        )
    }));
    if transport::has_no_authority(&config.tls) {
        let path = &config.tls.client_ca_file;
        findings.push(Finding::warning(
            format!(
                "tls.client_ca_file {path} has no authority's certificate: clients that one has issued are refused"
            ),
            "put the certificate of the clients' authority there, which has basicConstraints CA:TRUE",
        ));
    }
    findings
}

/// Where credentials come from: the key file, or the issuer's key set.
async fn credentials(config: &Config, clock: &mut clock::Clocks, report: &mut Report) {
    if let Err(error) = Authenticator::new(&config.auth, config.dev, Arc::new(SystemClock)) {
        return report.add("the key of credentials", [Finding::of(&error, "correct the settings of [auth]")]);
    }
    if !config.auth.public_key_file.is_empty() {
        report.add("auth.public_key_file", []);
    }
    outside::key_set(config, clock, report).await;
}

/// One that cannot be looked at is for those who use it to tell.
fn exposed_finding(what: &'static str, path: &Path) -> Option<Finding> {
    exposed(what, path).ok().flatten().map(Finding::from)
}
