//! What Herald refuses to start with, and what to set instead.

use std::net::SocketAddr;

use serde::de::{Deserialize as _, Deserializer, Error as _};

use super::{Auth, Cache, Config, Server, Tls, shown};
use crate::domain::link::PublicUrl;
use crate::domain::text;

/// Why the settings cannot be used: what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// An answer may name them all.
const MAX_LIVE_CAMPAIGNS: u32 = 1_000;

/// They are listed in every answer to a browser's preflight.
const MAX_CORS_HEADERS: usize = 64;

/// The address to listen on.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom(no_address(&text)))
}

/// Why a text is no address to listen on, and how to write it.
fn no_address(text: &str) -> String {
    let instead = match text.rsplit_once(':') {
        Some(("localhost", port)) => format!("write 127.0.0.1:{port}"),
        Some(("" | "*", port)) => {
            format!("write 127.0.0.1:{port} for this machine alone, [::]:{port} for all others too")
        }
        _ => "write one such as 127.0.0.1:50051".to_owned(),
    };
    format!("{text:?} is no address with a port: {instead}")
}

// === impl Config ===

impl Config {
    /// Refuses what cannot work, before a port is bound or a file is touched: names all of it, a line each.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let faults = self.faults();
        if faults.is_empty() {
            return Ok(());
        }
        Err(ConfigError(faults.into_iter().map(|fault| fault.0).collect::<Vec<_>>().join("\n")))
    }

    /// What cannot work, each with what to set instead.
    pub fn faults(&self) -> Vec<ConfigError> {
        let mut faults = Vec::new();
        let mut refuse = |text: String| faults.push(ConfigError(text));
        if self.dev && !self.listen.ip().is_loopback() {
            refuse(format!(
                "listen: {} is not loopback, and under dev, which takes callers on their word, nothing else is served: listen on \
                 127.0.0.1:{}, or unset dev and set auth.hs256_secret",
                self.listen,
                self.listen.port()
            ));
        }
        let parts = [self.auth.validate(self.dev), self.tls.validate(), self.cache.validate()];
        parts.into_iter().filter_map(Result::err).for_each(|fault| refuse(fault.0));
        match self.admin.listen.parse::<SocketAddr>() {
            Ok(admin) if self.dev && !admin.ip().is_loopback() => refuse(format!(
                "admin.listen: {admin} is not loopback, and under dev nothing else is served: set it to 127.0.0.1:{}, or unset \
                 dev",
                admin.port()
            )),
            Ok(admin) if admin == self.listen && admin.port() != 0 => {
                refuse(format!("listen and admin.listen are the same address, {admin}: give one of them another port"));
            }
            Err(_) if !self.admin.listen.is_empty() => {
                refuse(format!("admin.listen: {}", no_address(&self.admin.listen)));
            }
            _ => {}
        }
        self.link_faults().into_iter().for_each(&mut refuse);
        if !self.dev && self.master_key.expose().is_empty() {
            refuse("master_key: none is configured: set HERALD_MASTER_KEY to 32 random bytes in base64 (`openssl rand -base64 32`) \
                 and keep it safe, or set dev on your own machine".to_owned());
        }
        if !self.files.url.is_empty()
            && (self.files.access_key_id.expose().is_empty() || self.files.secret_access_key.expose().is_empty())
        {
            refuse("files.url needs files.access_key_id and files.secret_access_key".to_owned());
        }
        let endpoint = &self.files.endpoint;
        let is_web = url::Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !endpoint.is_empty() && !is_web {
            refuse("files.endpoint must be an http or https URL such as https://s3.example.com".to_owned());
        }
        if url::Url::parse(endpoint).is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
            refuse(
                "files.endpoint must have no user in it: set files.access_key_id and files.secret_access_key"
                    .to_owned(),
            );
        }
        if !(1..=MAX_LIVE_CAMPAIGNS).contains(&self.limits.live_campaigns) {
            refuse("limits.live_campaigns must be from 1 to 1000".to_owned());
        }
        if self.retention.deleted_prospects_days > 36_500 {
            refuse("retention.deleted_prospects_days must be at most 36500".to_owned());
        }
        if !(1..=36_500).contains(&self.retention.audit_days) {
            refuse("retention.audit_days must be from 1 to 36500".to_owned());
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            refuse(format!("log: {error}; write it such as info or info,herald::engine=debug"));
        }
        for origin in &self.server.cors_origins {
            let fits = url::Url::parse(origin).is_ok_and(|u| u.origin().ascii_serialization() == *origin);
            if !fits {
                refuse(format!(
                    "server.cors_origins: {:?} is no origin such as https://app.example.com",
                    shown(origin)
                ));
            }
        }
        let is_header = |name: &String| name != "*" && http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        if let Some(name) = self.server.cors_headers.iter().find(|name| !is_header(name)) {
            refuse(format!("server.cors_headers: {name:?} is no name of a header, such as x-datadog-trace-id"));
        }
        if self.server.cors_headers.len() > MAX_CORS_HEADERS {
            refuse(format!("server.cors_headers: at most {MAX_CORS_HEADERS} headers"));
        }
        let positive = [
            ("engine.workers", self.engine.workers as u64),
            ("engine.max_outside_calls", self.engine.max_outside_calls as u64),
            ("engine.max_outside_calls_per_tenant", self.engine.max_outside_calls_per_tenant as u64),
            ("engine.lease_seconds", self.engine.lease_seconds),
            ("engine.tries", u64::from(self.engine.tries)),
            ("auth.jwks_timeout_seconds", self.auth.jwks_timeout_seconds),
            ("retention.audit_rows", self.retention.audit_rows),
            ("server.max_streams_per_connection", u64::from(self.server.max_streams_per_connection)),
            ("server.request_timeout_seconds", self.server.request_timeout_seconds),
            ("server.head_timeout_seconds", self.server.head_timeout_seconds),
            ("server.max_connections", u64::from(self.server.max_connections)),
            ("server.keepalive_seconds", self.server.keepalive_seconds),
            ("server.max_stream_seconds", self.server.max_stream_seconds),
            ("server.heartbeat_seconds", self.server.heartbeat_seconds),
            ("cache.timeout_millis", self.cache.timeout_millis),
            ("cache.ttl_seconds", self.cache.ttl_seconds),
            ("fetch.timeout_seconds", self.fetch.timeout_seconds),
            ("fetch.max_pages", self.fetch.max_pages as u64),
            ("fetch.max_bytes", self.fetch.max_bytes as u64),
        ];
        let zeros = positive.iter().filter(|(_, value)| *value == 0);
        zeros.for_each(|(name, _)| refuse(format!("{name} must be at least 1")));
        faults
    }
}

impl Config {
    /// Of the links in letters.
    fn link_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let Server { public_url, links_listen, .. } = &self.server;
        if let Some(why) = PublicUrl::parse(public_url).err().filter(|_| !public_url.is_empty()) {
            faults.push(format!("server.public_url: {:?} cannot stand in letters: {why}", shown(public_url)));
        }
        if links_listen.is_empty() {
            if !public_url.is_empty() && !self.tls.client_ca_file.is_empty() {
                faults.push(
                    "server.public_url needs server.links_listen where tls.client_ca_file is set: readers of letters have no \
                     certificate to show at the port"
                        .to_owned(),
                );
            }
            return faults;
        }
        if public_url.is_empty() {
            faults.push("server.links_listen needs server.public_url: without it, letters have no links".to_owned());
        }
        match links_listen.parse::<SocketAddr>() {
            Err(_) => faults.push(format!("server.links_listen: {}", no_address(links_listen))),
            Ok(links) if self.dev && !links.ip().is_loopback() => faults.push(format!(
                "server.links_listen: {links} is not loopback, and under dev nothing else is served: set it to 127.0.0.1:{}, or \
                 unset dev",
                links.port()
            )),
            Ok(links) if links.port() == 0 => {}
            Ok(links) if links == self.listen => faults.push(format!(
                "listen and server.links_listen are the same address, {links}: give one of them another port, or unset \
                 server.links_listen, and the port serves the links"
            )),
            Ok(links) if self.admin.listen.parse() == Ok(links) => faults.push(format!(
                "admin.listen and server.links_listen are the same address, {links}: give one of them another port"
            )),
            Ok(_) => {}
        }
        faults
    }
}

// === impl Auth ===

impl Auth {
    /// Refuses what cannot work, and what is not safe.
    pub fn validate(&self, dev: bool) -> Result<(), ConfigError> {
        let refuse = |text: &str| Err(ConfigError(text.to_owned()));
        let secret = self.hs256_secret.expose();
        let sources = [secret, &self.public_key_file, &self.jwks_url, &self.trusted_header];
        match sources.iter().filter(|source| !source.is_empty()).count() {
            0 if !dev => {
                return refuse(
                    "no credentials are configured: set one of auth.hs256_secret (HERALD_AUTH_HS256_SECRET), auth.public_key_file, \
                     auth.jwks_url and auth.trusted_header, or set dev on your own machine",
                );
            }
            0 | 1 => {}
            _ => {
                return refuse(
                    "auth.hs256_secret, auth.public_key_file, auth.jwks_url and auth.trusted_header: set one of them; equal \
                     subjects of two sources would be one tenant",
                );
            }
        }
        if !secret.is_empty() && secret.len() < 32 {
            return refuse("auth.hs256_secret must have at least 32 bytes: make one with `openssl rand -base64 48`");
        }
        if self.trusted_header.is_empty() != self.trusted_peers.is_empty() {
            return refuse("auth.trusted_header and auth.trusted_peers belong together: set both or none");
        }
        let is_header = http::HeaderName::from_bytes(self.trusted_header.as_bytes()).is_ok();
        if !self.trusted_header.is_empty() && !is_header {
            return refuse("auth.trusted_header must be the name of a header, such as x-user-id");
        }
        if !self.jwks_url.is_empty() && !is_safe(&self.jwks_url) {
            return refuse("auth.jwks_url must be an https URL; http only leads to 127.0.0.1 or localhost");
        }
        Ok(())
    }
}

/// Whether keys may be read from the address: over TLS, or from this machine.
fn is_safe(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| text::is_tls_or_here(&url))
}

// === impl Tls ===

impl Tls {
    fn validate(&self) -> Result<(), ConfigError> {
        if self.certificate_file.is_empty() != self.key_file.is_empty() {
            return Err(ConfigError(
                "tls.certificate_file and tls.key_file belong together: set both or none".to_owned(),
            ));
        }
        if !self.client_ca_file.is_empty() && !self.is_on() {
            return Err(ConfigError("tls.client_ca_file needs tls.certificate_file and tls.key_file".to_owned()));
        }
        Ok(())
    }
}

// === impl Cache ===

impl Cache {
    /// Its client takes any scheme for plain Redis, and would print the node that it does not understand.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let known = ["redis://", "rediss://", "redis-cluster://", "rediss-cluster://"];
        if !self.url.expose().is_empty() && !known.iter().any(|scheme| self.url.expose().starts_with(scheme)) {
            return Err(ConfigError(format!("cache.url must begin with one of {}", known.join(", "))));
        }
        let Ok(url) = url::Url::parse(self.url.expose()) else { return Ok(()) };
        let is_node = |node: &str| {
            node.split_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if url.query_pairs().any(|(name, value)| name == "node" && !is_node(&value)) {
            return Err(ConfigError("cache.url: each `node` after the question mark must be host:port".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_with_what_to_do() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config {
                auth: Auth { hs256_secret: Secret::new("0123456789abcdef0123456789abcdef"), ..Auth::default() },
                master_key: Secret::new("k"),
                ..Config::default()
            };
            config.validate().expect("valid before the change");
            change(&mut config);
            config.validate().expect_err("refused").0
        };
        let public = refused(|c| {
            c.dev = true;
            c.listen = SocketAddr::from(([0, 0, 0, 0], 1));
        });
        assert!(public.contains("loopback"), "{public}");
        let admin = refused(|c| {
            c.dev = true;
            c.admin.listen = "0.0.0.0:50052".into();
        });
        assert!(admin.contains("admin.listen") && admin.contains("127.0.0.1:50052"), "{admin}");
        let nodes = refused(|c| c.cache.url = Secret::new("redis-cluster://a:1?node=u:s3cret@b:2"));
        assert!(nodes.contains("cache.url") && !nodes.contains("s3cret"), "{nodes}");
        let endpoint = refused(|c| c.files.endpoint = "https://u:s3cret@s3.example".into());
        assert!(endpoint.contains("files.access_key_id") && !endpoint.contains("s3cret"), "{endpoint}");
        let origin = refused(|c| c.server.cors_origins = vec!["https://u:s3cret@a.example".into()]);
        assert!(origin.contains("origin") && !origin.contains("s3cret"), "{origin}");
        assert!(refused(|c| c.auth.hs256_secret = Secret::default()).contains("HERALD_AUTH_HS256_SECRET"));
        assert!(refused(|c| c.auth.hs256_secret = Secret::new("short")).contains("32 bytes"));
        assert!(refused(|c| c.master_key = Secret::default()).contains("HERALD_MASTER_KEY"));
        assert!(refused(|c| c.server.cors_origins = vec!["https://a.example/".into()]).contains("origin"));
        let headers = refused(|c| c.server.cors_headers = vec!["x-fine".into(), "x y".into()]);
        assert!(headers.contains("server.cors_headers: \"x y\""), "{headers}");
        assert!(refused(|c| c.server.cors_headers = vec!["*".into()]).contains("server.cors_headers"));
        assert!(refused(|c| c.server.cors_headers = vec!["x-a".into(); 65]).contains("at most 64"));
        assert!(refused(|c| c.engine.workers = 0).contains("engine.workers"));
        assert!(refused(|c| c.limits.live_campaigns = 0).contains("limits.live_campaigns"));
        assert!(refused(|c| c.limits.live_campaigns = MAX_LIVE_CAMPAIGNS + 1).contains("limits.live_campaigns"));
        assert!(refused(|c| c.retention.audit_days = 0).contains("retention.audit_days"));
        assert!(refused(|c| c.retention.audit_days = 36_501).contains("retention.audit_days"));
        assert!(refused(|c| c.retention.deleted_prospects_days = 36_501).contains("retention.deleted_prospects_days"));
    }
}
