//! What is at other addresses: the issuer's key set, the store of the tenants' files, the collector.

use std::time::Duration;

use url::Url;

use super::clock::Clocks;
use super::report::Report;
use crate::auth::look_at_key_set;
use crate::config::{self, Config};
use crate::connect::http;
use crate::domain::finding::Finding;
use crate::{files, telemetry};

/// How long something is waited for.
const WAIT: Duration = Duration::from_secs(5);

/// The issuer's key set, which is read at the first call.
pub(super) async fn key_set(config: &Config, clock: &mut Clocks, report: &mut Report) {
    // What the settings refuse is not asked.
    if config.auth.jwks_url.is_empty() || config.auth.validate(config.dev).is_err() {
        return;
    }
    let name = config::shown(&config.auth.jwks_url);
    let wrong = match look_at_key_set(&config.auth).await {
        Ok(date) => {
            clock.note(&name, date.as_deref());
            None
        }
        Err(why) => {
            let to_do = "check auth.jwks_url; until it is read, every call is answered KEYS_UNAVAILABLE";
            Some(Finding::new(format!("the key set at {name} cannot be used: {why}"), to_do))
        }
    };
    report.add(format!("the key set at {name}"), wrong);
}

/// The store of the tenants' files: lists, and writes nothing.
pub(super) async fn store(config: &Config, clock: &mut Clocks, report: &mut Report) {
    if config.files.url.is_empty() {
        return;
    }
    let name = config::shown(&config.files.url);
    let wrong = match files::look_at_store(&config.files, WAIT).await {
        Ok(()) => None,
        Err(error) => {
            let to_do =
                "check [files]: the address, the bucket, the access key; campaigns that send stand still without it";
            Some(Finding::of(&error, to_do))
        }
    };
    report.add(format!("the files at {name}"), wrong);
    if !config.files.endpoint.is_empty() {
        clock.note(&config::shown(&config.files.endpoint), date_of(&config.files.endpoint).await.as_deref());
    }
}

/// The collectors that the environment names.
pub(super) async fn collectors(report: &mut Report) {
    if let Err(why) = telemetry::exporters() {
        let to_do = "correct the OTEL_ variables in the environment";
        return report.add("the collector", [Finding::new(why, to_do)]);
    }
    for (variable, address) in telemetry::collectors() {
        let name = format!("{variable}: {}", config::shown(&address));
        let wrong = reach(&address).await.err().map(|why| {
            let to_do = "start the collector, or take the variable away; Herald serves without it, and sends nothing";
            Finding::new(format!("the collector of {name} cannot be reached: {why}"), to_do)
        });
        report.add(format!("the collector of {name}"), wrong);
    }
}

async fn reach(address: &str) -> Result<(), String> {
    let url = Url::parse(address).map_err(|error| error.to_string())?;
    let host = url.host_str().ok_or("it names no host")?;
    let port = url.port_or_known_default().unwrap_or(4_317);
    let host = host.trim_matches(['[', ']']).to_owned();
    let connected = tokio::time::timeout(WAIT, tokio::net::TcpStream::connect((host, port))).await;
    connected.map_err(|_| "no answer in time".to_owned())?.map(drop).map_err(|error| error.to_string())
}

/// The time that a server says it is, whatever else it answers.
async fn date_of(url: &str) -> Option<String> {
    let client = http::client(|builder| builder.timeout(WAIT)).ok()?;
    let answer = client.get(url).send().await.ok()?;
    answer.headers().get("date")?.to_str().ok().map(str::to_owned)
}
