//! The settings, validated once at the start.
//!
//! Each setting has a default, may be in the TOML file that `--config` or `HERALD_CONFIG` names, and may be overridden by
//! an environment variable: `HERALD_` and the setting's path in upper case, such as `HERALD_AUTH_HS256_SECRET` for
//! `hs256_secret` in `[auth]`. Flags of the command line come last. Unknown settings are refused, so that a misspelt one
//! is not silently the default. Secrets are never printed, URLs without their user info, and of a file that cannot be read
//! the place alone: the line that is wrong may be the one with a secret in it.

mod links;
mod shown;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use links::is_service_link;
pub use shown::shown;

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address that gRPC and gRPC-Web are served on. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The folder of the database, the tenants' files and, under `dev`, the master key.
    pub data_dir: PathBuf,
    /// Development: `x-user-id` and anonymous callers are taken on their word. Loopback only.
    pub dev: bool,
    /// 32 random bytes in base64, which wrap the tenants' own keys. Required unless `dev`, which makes one.
    pub master_key: Secret,
    /// What is logged, as `tracing` filters write it, such as `info` or `info,herald::engine=debug`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Tenants whose lines are logged in detail, whatever `log` says.
    pub debug_tenants: Vec<String>,
    pub auth: Auth,
    pub tls: Tls,
    pub server: Server,
    pub fairness: Fairness,
    pub admin: Admin,
    pub engine: Engine,
    pub fetch: Fetch,
    pub cache: Cache,
    pub read_cache: ReadCache,
    pub files: Files,
    pub retention: Retention,
}

/// `pretty` for people, `json` for programs: an object a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Pretty,
    Json,
}

/// `[auth]`: how callers prove who they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The shared secret of bearer tokens signed with HS256, at least 32 bytes.
    pub hs256_secret: Secret,
    /// A PEM file with the public key of bearer tokens: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).
    pub public_key_file: String,
    /// The address of the issuer's key set (RFC 7517), such as `https://clerk.example.com/.well-known/jwks.json`.
    #[serde(serialize_with = "shown::text")]
    pub jwks_url: String,
    /// After how long the key set is read again, in seconds.
    pub jwks_max_age_seconds: u64,
    /// The shortest time between two readings of the key set, in seconds.
    pub jwks_cooldown_seconds: u64,
    /// How long one reading may take, in seconds.
    pub jwks_timeout_seconds: u64,
    /// The `iss` that tokens must carry. Empty: not checked.
    pub issuer: String,
    /// The `aud` that tokens must carry. Empty: tokens with an `aud` are refused, as RFC 7519 asks.
    pub audience: String,
    /// The `azp` that tokens must carry, one of these. Empty: not checked.
    pub authorized_parties: Vec<String>,
    /// The clock difference allowed at `exp` and `nbf`, in seconds.
    pub leeway_seconds: u64,
    /// The claim that tells the role, with dots into objects. Where a token has none: Clerk's organisation role.
    pub role_claim: String,
    /// The roles that make an admin.
    pub admin_roles: Vec<String>,
    /// The roles that make an editor. All others make a viewer.
    pub editor_roles: Vec<String>,
    /// A header with the user's id, taken on the word of the peers in `trusted_peers`, such as a service mesh.
    pub trusted_header: String,
    /// The networks of those peers, such as `10.0.0.0/8`.
    pub trusted_peers: Vec<IpNet>,
}

/// `[tls]`: the certificate of the port. Empty: the port speaks plain text.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with the certificate and those above it.
    pub certificate_file: String,
    /// A PEM file with its private key.
    pub key_file: String,
    /// A PEM file with the authorities whose certificates clients must show. Empty: clients show none.
    pub client_ca_file: String,
}

/// `[server]`: the port's limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The origins that browsers may call from, such as `https://app.example.com`. Under `dev` also any localhost origin.
    #[serde(serialize_with = "shown::texts")]
    pub cors_origins: Vec<String>,
    /// Headers that browsers may send beside those that Herald reads and those of tracing, such as `x-datadog-trace-id`.
    pub cors_headers: Vec<String>,
    /// The largest request message, in bytes.
    pub max_request_bytes: usize,
    /// The largest response message, in bytes.
    pub max_response_bytes: usize,
    /// The calls that one connection may have open.
    pub max_streams_per_connection: u32,
    /// The largest list of headers of a request, in bytes.
    pub max_header_bytes: u32,
    /// How long a unary call may take, in seconds.
    pub request_timeout_seconds: u64,
    /// How long the head of a request may take, in seconds: the first one, TLS included, from the connection on; a later one
    /// from its first byte on.
    pub head_timeout_seconds: u64,
    /// The connections that may be open at once; fewer where the process may not open so many files.
    pub max_connections: u32,
    /// The same for those of one address (IPv6: of one /64 network). 0: any number.
    pub max_connections_per_address: u32,
    /// The networks of load balancers and proxies, whose addresses stand for many clients, such as `10.0.0.0/8`.
    pub balancers: Vec<IpNet>,
    /// How long an idle connection waits before it is asked whether it is alive, and for the answer, in seconds.
    pub keepalive_seconds: u64,
    /// How long a watch stream stays open, in seconds; the client then goes on with a new one.
    pub max_stream_seconds: u64,
    /// How long calls and streams may take to end when the server stops, in seconds; then they are cut.
    pub stop_seconds: u64,
}

/// `[fairness]`: how much of the server one tenant may hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fairness {
    /// The calls of one tenant that may be in work at once; more are refused. 0: any number.
    pub max_calls: u32,
    /// The watch streams of one tenant that may be open at once; more are refused. 0: any number.
    pub max_streams: u32,
    /// The campaigns that one tenant may start within a minute; more are refused. 0: any number.
    pub starts_per_minute: u32,
    /// Whether tenants take turns where reads wait for the database. Writes and campaigns always do.
    pub turns: bool,
}

/// `[admin]`: health and metrics over HTTP, for those who run the server.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// The address of `/healthz`, `/readyz` and `/metrics`, such as `127.0.0.1:50052`. Empty: there is none.
    pub listen: String,
}

/// `[engine]`: how campaigns are worked on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// The turns that are worked on at once.
    pub workers: usize,
    /// The external calls that wait at once; a turn that waits for one is no worker's business.
    pub max_outside_calls: usize,
    /// The same for one tenant's; tenants take turns.
    pub max_outside_calls_per_tenant: usize,
    /// How long a claim on a campaign holds without being renewed, in seconds.
    pub lease_seconds: u64,
    /// How often a call to the outside is tried in all.
    pub tries: u32,
    /// How long to wait before the second try, in milliseconds; doubled for each further one.
    pub retry_millis: u64,
}

/// `[fetch]`: how websites are read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fetch {
    /// Allows addresses that are not on the public internet. For development and tests.
    pub allow_private: bool,
    /// How long one page may take, redirects included, in seconds.
    pub timeout_seconds: u64,
    /// How much of a page is read, in bytes.
    pub max_bytes: usize,
    /// How many pages of a website are read.
    pub max_pages: usize,
}

/// `[cache]`: the tenants' caches.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// The Redis: `redis://[user:password@]host:port[/database]`, `rediss://` with TLS, `redis-cluster://` or
    /// `rediss-cluster://` for a cluster. Empty: the cache is in this process.
    #[serde(serialize_with = "shown::secret")]
    pub url: Secret,
    /// A PEM file with the authorities to trust for TLS, instead of the public ones.
    pub ca_file: String,
    /// How long an operation may take, in milliseconds.
    pub timeout_millis: u64,
    /// How long a value lives that is given no time of its own, in seconds.
    pub ttl_seconds: u64,
    /// What the cache in this process may hold, in bytes.
    pub memory_bytes: usize,
}

/// `[read_cache]`: the answers of reads that are kept until what they were made of changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadCache {
    /// What they may take, in bytes. 0: none is kept.
    pub memory_bytes: u64,
}

/// `[files]`: where the tenants' files are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// An S3-compatible store, as `s3://bucket` or `s3://bucket/prefix`. Empty: `users` in the data folder.
    #[serde(serialize_with = "shown::text")]
    pub url: String,
    /// The store's address, such as `https://s3.example.com`; http:// only within a network that you trust. Empty: that of
    /// the region.
    #[serde(serialize_with = "shown::text")]
    pub endpoint: String,
    /// The store's region.
    pub region: String,
    /// The access key's id.
    pub access_key_id: Secret,
    /// The access key.
    pub secret_access_key: Secret,
}

/// `[retention]`: how long what was deleted is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// How long a deleted prospect can be brought back, in days; then it is purged.
    pub deleted_prospects_days: u64,
}

/// The settings before they are checked, each with where its value came from.
pub struct Layers {
    values: Value,
    origins: BTreeMap<String, String>,
    file_holds_secret: bool,
    service_links: Vec<String>,
}

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

/// Why the settings cannot be used: what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// They are listed in every answer to a browser's preflight.
const MAX_CORS_HEADERS: usize = 64;

const REDIS_URL: &str = "REDIS_URL";
const FILE: &str = "configuration file";

/// Environment variables of ours that are not settings of the server.
const NOT_SETTINGS: &[&str] = &[
    "HERALD_CONFIG",
    "HERALD_SERVER",
    "HERALD_TOKEN",
    "HERALD_USER",
    "HERALD_CA",
    "HERALD_CLIENT_CERTIFICATE",
    "HERALD_CLIENT_KEY",
    "HERALD_CRASH_AT",
    "HERALD_CRASH_ON",
    "HERALD_NEW_MASTER_KEY",
];

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            data_dir: PathBuf::from("data"),
            dev: false,
            master_key: Secret::default(),
            log: "info".to_owned(),
            log_format: LogFormat::Pretty,
            debug_tenants: Vec::new(),
            auth: Auth::default(),
            tls: Tls::default(),
            server: Server::default(),
            fairness: Fairness::default(),
            admin: Admin::default(),
            engine: Engine::default(),
            fetch: Fetch::default(),
            cache: Cache::default(),
            read_cache: ReadCache::default(),
            files: Files::default(),
            retention: Retention::default(),
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        let list = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        Self {
            hs256_secret: Secret::default(),
            public_key_file: String::new(),
            jwks_url: String::new(),
            jwks_max_age_seconds: 600,
            jwks_cooldown_seconds: 10,
            jwks_timeout_seconds: 5,
            issuer: String::new(),
            audience: String::new(),
            authorized_parties: Vec::new(),
            leeway_seconds: 5,
            role_claim: "role".to_owned(),
            admin_roles: list(["admin", "org:admin"]),
            editor_roles: list(["editor", "org:editor"]),
            trusted_header: String::new(),
            trusted_peers: Vec::new(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            cors_origins: Vec::new(),
            cors_headers: Vec::new(),
            max_request_bytes: 4 * 1024 * 1024,
            max_response_bytes: 16 * 1024 * 1024,
            max_streams_per_connection: 256,
            max_header_bytes: 80 * 1024,
            request_timeout_seconds: 30,
            head_timeout_seconds: 10,
            max_connections: 2_048,
            max_connections_per_address: 256,
            balancers: Vec::new(),
            keepalive_seconds: 20,
            max_stream_seconds: 15 * 60,
            stop_seconds: 10,
        }
    }
}

impl Default for Fairness {
    fn default() -> Self {
        // Beside a flood, fewer are worse: who is refused asks again, and who waits does not.
        Self { max_calls: 512, max_streams: 1_000, starts_per_minute: 10, turns: true }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            workers: 16,
            max_outside_calls: 256,
            max_outside_calls_per_tenant: 8,
            lease_seconds: 30,
            tries: 3,
            retry_millis: 1_000,
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            ca_file: String::new(),
            timeout_millis: 250,
            ttl_seconds: 3_600,
            memory_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Default for ReadCache {
    fn default() -> Self {
        Self { memory_bytes: 64 * 1024 * 1024 }
    }
}

impl Default for Files {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            access_key_id: Secret::default(),
            secret_access_key: Secret::default(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { deleted_prospects_days: 30 }
    }
}

impl Default for Fetch {
    fn default() -> Self {
        Self { allow_private: false, timeout_seconds: 10, max_bytes: 2 * 1024 * 1024, max_pages: 5 }
    }
}

impl Config {
    /// The settings of [`Layers::read`]. Call [`Config::validate`] before use.
    pub fn load(
        file: Option<&str>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        Layers::read(file, env, flags)?.config()
    }

    /// Refuses what cannot work, before a port is bound or a file is touched.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |text: &str| Err(ConfigError(text.to_owned()));
        if self.dev && !self.listen.ip().is_loopback() {
            return refuse(&format!(
                "listen: {} is not loopback, and under dev, which takes callers on their word, nothing else is served: listen on \
                 127.0.0.1:{}, or unset dev and set auth.hs256_secret",
                self.listen,
                self.listen.port()
            ));
        }
        self.auth.validate(self.dev)?;
        self.tls.validate()?;
        self.cache.validate()?;
        if let Ok(admin) = self.admin.listen.parse::<SocketAddr>()
            && self.dev
            && !admin.ip().is_loopback()
        {
            return refuse(&format!(
                "admin.listen: {admin} is not loopback, and under dev nothing else is served: set it to 127.0.0.1:{}, or unset \
                 dev",
                admin.port()
            ));
        }
        if !self.admin.listen.is_empty() && self.admin.listen.parse::<SocketAddr>().is_err() {
            return refuse("admin.listen must be a socket address such as 127.0.0.1:50052");
        }
        if !self.dev && self.master_key.expose().is_empty() {
            return refuse(
                "master_key: none is configured: set HERALD_MASTER_KEY to 32 random bytes in base64 (`openssl rand -base64 32`) \
                 and keep it safe, or set dev on your own machine",
            );
        }
        if !self.files.url.is_empty()
            && (self.files.access_key_id.expose().is_empty() || self.files.secret_access_key.expose().is_empty())
        {
            return refuse("files.url needs files.access_key_id and files.secret_access_key");
        }
        let endpoint = &self.files.endpoint;
        let is_web = url::Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !endpoint.is_empty() && !is_web {
            return refuse("files.endpoint must be an http or https URL such as https://s3.example.com");
        }
        if url::Url::parse(endpoint).is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
            return refuse(
                "files.endpoint must have no user in it: set files.access_key_id and files.secret_access_key",
            );
        }
        if self.retention.deleted_prospects_days > 36_500 {
            return refuse("retention.deleted_prospects_days must be at most 36500");
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            return refuse(&format!("log: {error}; write it such as info or info,herald::engine=debug"));
        }
        for origin in &self.server.cors_origins {
            let fits = url::Url::parse(origin).is_ok_and(|u| u.origin().ascii_serialization() == *origin);
            if !fits {
                return refuse(&format!(
                    "server.cors_origins: {:?} is no origin such as https://app.example.com",
                    shown(origin)
                ));
            }
        }
        let is_header = |name: &String| name != "*" && http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        if let Some(name) = self.server.cors_headers.iter().find(|name| !is_header(name)) {
            return refuse(&format!(
                "server.cors_headers: {name:?} is no name of a header, such as x-datadog-trace-id"
            ));
        }
        if self.server.cors_headers.len() > MAX_CORS_HEADERS {
            return refuse(&format!("server.cors_headers: at most {MAX_CORS_HEADERS} headers"));
        }
        let positive = [
            ("engine.workers", self.engine.workers as u64),
            ("engine.max_outside_calls", self.engine.max_outside_calls as u64),
            ("engine.max_outside_calls_per_tenant", self.engine.max_outside_calls_per_tenant as u64),
            ("engine.lease_seconds", self.engine.lease_seconds),
            ("engine.tries", u64::from(self.engine.tries)),
            ("auth.jwks_timeout_seconds", self.auth.jwks_timeout_seconds),
            ("server.max_streams_per_connection", u64::from(self.server.max_streams_per_connection)),
            ("server.request_timeout_seconds", self.server.request_timeout_seconds),
            ("server.head_timeout_seconds", self.server.head_timeout_seconds),
            ("server.max_connections", u64::from(self.server.max_connections)),
            ("server.keepalive_seconds", self.server.keepalive_seconds),
            ("server.max_stream_seconds", self.server.max_stream_seconds),
            ("cache.timeout_millis", self.cache.timeout_millis),
            ("cache.ttl_seconds", self.cache.ttl_seconds),
            ("fetch.timeout_seconds", self.fetch.timeout_seconds),
            ("fetch.max_pages", self.fetch.max_pages as u64),
            ("fetch.max_bytes", self.fetch.max_bytes as u64),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => refuse(&format!("{name} must be at least 1")),
            None => Ok(()),
        }
    }
}

// === impl Auth ===

impl Auth {
    fn validate(&self, dev: bool) -> Result<(), ConfigError> {
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
    let Ok(url) = url::Url::parse(url) else { return false };
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && local)
}

// === impl Tls ===

impl Tls {
    pub fn is_on(&self) -> bool {
        !self.certificate_file.is_empty()
    }

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

// === impl Secret ===

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "***" })
    }
}

/// What is no text is not repeated in the error.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            _ => Err(D::Error::custom("a secret must be a text")),
        }
    }
}

/// Written out as stars: a secret leaves only by `expose`.
impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

// === impl Layers ===

impl Layers {
    /// Puts together the defaults, the text of a TOML file, the environment, and then `flags` (paths such as `data_dir`
    /// with their values).
    pub fn read(
        file: Option<&str>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let defaults = serde_json::to_value(Config::default()).map_err(|e| ConfigError(e.to_string()))?;
        let mut paths = BTreeMap::new();
        list_paths(&defaults, "", &mut paths);
        let origins = paths.values().map(|path| (path.clone(), "default".to_owned())).collect();
        let mut layers = Self { values: defaults, origins, file_holds_secret: false, service_links: Vec::new() };
        if let Some(text) = file {
            let table: Value = toml::from_str(text).map_err(|error| misplaced(text, &error))?;
            same_kinds(&layers.values, &table, "")?;
            let mut set_there = BTreeMap::new();
            list_paths(&table, "", &mut set_there);
            layers.origins.extend(set_there.into_values().map(|path| (path, FILE.to_owned())));
            merge(&mut layers.values, table);
            layers.file_holds_secret = layers.holds_secret()?;
        }
        for (name, value) in env {
            // The name that Redis has almost everywhere; ours comes before it.
            if name == REDIS_URL {
                if layers.origins.get("cache.url").is_none_or(|origin| origin != "HERALD_CACHE_URL") {
                    set(&mut layers.values, "cache.url", &value, &name)?;
                    layers.origins.insert("cache.url".to_owned(), name);
                }
                continue;
            }
            if !name.starts_with("HERALD_") || NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let Some(path) = paths.get(&name) else {
                if is_service_link(&name, &value) {
                    layers.service_links.push(name);
                    continue;
                }
                return Err(ConfigError(format!(
                    "{name} is no setting of Herald{}; see docs/configuration.md",
                    instead(&name)
                )));
            };
            set(&mut layers.values, path, &value, &name)?;
            layers.origins.insert(path.clone(), name);
        }
        for (path, value) in flags {
            let flag = format!("--{}", path.replace('_', "-"));
            set(&mut layers.values, path, value, &flag)?;
            layers.origins.insert((*path).to_owned(), flag);
        }
        Ok(layers)
    }

    pub fn config(&self) -> Result<Config, ConfigError> {
        serde_json::from_value(self.values.clone()).map_err(|error| {
            let is_wrong = |path: &&String| self.alone(path).is_err();
            let named = |path: &String| format!("{path} ({}): ", self.origins[path]);
            let path = self.origins.keys().find(is_wrong).map(named).unwrap_or_default();
            ConfigError(format!("{path}{error}"))
        })
    }

    /// Whether the file sets something that is not shown, whatever came over it.
    pub fn file_holds_secret(&self) -> bool {
        self.file_holds_secret
    }

    /// The variables that look like settings and are an orchestrator's service links.
    pub fn service_links(&self) -> &[String] {
        &self.service_links
    }

    /// Whether anything that is set is not shown as it is.
    fn holds_secret(&self) -> Result<bool, ConfigError> {
        for path in self.origins.keys() {
            let set = at(&self.values, path);
            let Ok(config) = self.alone(path) else { continue };
            let config = serde_json::to_value(config).map_err(|e| ConfigError(e.to_string()))?;
            if at(&config, path) != set && at(&config, path).to_string().contains("***") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The defaults but for the setting at this path.
    fn alone(&self, path: &str) -> serde_json::Result<Config> {
        let mut values = serde_json::to_value(Config::default())?;
        let place = path.split('.').try_fold(&mut values, |place, key| place.get_mut(key));
        if let Some(place) = place {
            *place = at(&self.values, path).clone();
        }
        serde_json::from_value(values)
    }

    /// Every setting by its path, with its value and where that came from. Secrets are hidden.
    pub fn entries(&self) -> Result<Vec<(&str, Value, &str)>, ConfigError> {
        let values = serde_json::to_value(self.config()?).map_err(|e| ConfigError(e.to_string()))?;
        let entry = |(path, origin)| (String::as_str(path), at(&values, path).clone(), String::as_str(origin));
        Ok(self.origins.iter().map(entry).collect())
    }

    /// The same, each as a line of TOML with where it came from as a comment.
    pub fn describe(&self) -> Result<String, ConfigError> {
        let lines = self.entries()?.into_iter().map(|(path, value, origin)| format!("{path} = {value} # {origin}\n"));
        Ok(lines.collect())
    }
}

/// What is there at the path; null if nothing is.
fn at<'a>(values: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(values, |at, key| at.get(key)).unwrap_or(&Value::Null)
}

/// What is set in place of a variable that people try first.
fn instead(name: &str) -> &'static str {
    match name {
        "HERALD_PORT" | "HERALD_HOST" | "HERALD_ADDRESS" => ", the address and port are HERALD_LISTEN",
        _ => "",
    }
}

/// Where in the file the error is, and which. As toml writes it the line would be shown as well.
fn misplaced(text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ConfigError(format!("the configuration file, line {line}, column {column}: {}", error.message()))
}

/// Refuses what in a file is of another kind than the setting, without repeating it.
fn same_kinds(defaults: &Value, table: &Value, path: &str) -> Result<(), ConfigError> {
    let kind = match (defaults, table) {
        (Value::Object(known), Value::Object(found)) => {
            // What is not known is refused later, by its name.
            let known = found.iter().filter_map(|(key, value)| Some((key, known.get(key)?, value)));
            for (key, default, value) in known {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                same_kinds(default, value, &path)?;
            }
            return Ok(());
        }
        (Value::Array(_), Value::Array(found)) if found.iter().all(Value::is_string) => return Ok(()),
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) => return Ok(()),
        (Value::Number(_), Value::Number(number)) if !number.is_f64() => return Ok(()),
        (Value::Object(_), _) => "a table, as in [table]",
        (Value::Array(_), _) => "a list of texts",
        (Value::Bool(_), _) => "true or false",
        (Value::Number(_), _) => "a whole number",
        _ => "a text, in quotes",
    };
    Err(ConfigError(format!("the configuration file: {path} must be {kind}")))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The environment variable of every setting, with the setting's path.
fn list_paths(values: &Value, prefix: &str, out: &mut BTreeMap<String, String>) {
    if let Value::Object(map) = values {
        for (key, value) in map {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            list_paths(value, &path, out);
        }
    } else {
        out.insert(format!("HERALD_{}", prefix.to_uppercase().replace('.', "_")), prefix.to_owned());
    }
}

/// Sets the value at `path` from a text, read as what is there now. The error names the setting and where the text is from.
fn set(values: &mut Value, path: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    let refuse = |what: String| ConfigError(format!("{path} ({origin}): {what}"));
    let mut place = values;
    for key in path.split('.') {
        place = place.get_mut(key).ok_or_else(|| refuse("is no setting".to_owned()))?;
    }
    *place = match place {
        Value::Bool(_) => match text {
            "true" | "1" => Value::Bool(true),
            "false" | "0" | "" => Value::Bool(false),
            _ => return Err(refuse(format!("{text:?} is neither true nor false"))),
        },
        Value::Number(_) => text.parse::<u64>().map_err(|_| refuse(format!("{text:?} is no whole number")))?.into(),
        Value::Array(_) => text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Value::from).collect(),
        _ => Value::from(text),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: Option<&str>, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        Config::load(file, env, &flags)
    }

    #[test]
    fn flags_come_before_environment_before_file_before_defaults() {
        let file = "data_dir = 'file'\nlisten = '127.0.0.1:1'\n[fetch]\nmax_pages = 2\n";
        let env = [("HERALD_DATA_DIR", "env"), ("HERALD_LISTEN", "127.0.0.1:2"), ("PATH", "/bin")];
        let config = load(Some(file), &env, &[("listen", "127.0.0.1:3")]).expect("valid");
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.data_dir, PathBuf::from("env"));
        assert_eq!(config.fetch.max_pages, 2);
        assert_eq!(config.engine.workers, 16);
    }

    #[test]
    fn values_of_every_kind_are_read_from_the_environment() {
        let env = [
            ("HERALD_DEV", "true"),
            ("HERALD_SERVER_CORS_ORIGINS", "https://a.example, https://b.example"),
            ("HERALD_AUTH_HS256_SECRET", "s"),
            ("HERALD_ENGINE_WORKERS", "3"),
        ];
        let config = load(None, &env, &[]).expect("valid");
        assert!(config.dev);
        assert_eq!(config.server.cors_origins, ["https://a.example", "https://b.example"]);
        assert_eq!((config.auth.hs256_secret.expose(), config.engine.workers), ("s", 3));
        assert!(!format!("{config:?}").contains("\"s\""), "secrets are not printed");
    }

    #[test]
    fn the_settings_in_force_are_described_with_where_they_came_from_and_without_secrets() {
        let env = [("HERALD_AUTH_HS256_SECRET", "s3cret"), ("HERALD_ENGINE_WORKERS", "3")];
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let flags = [("listen", "127.0.0.1:3".to_owned())];
        let layers = Layers::read(Some("[fetch]\nmax_pages = 2\n"), env, &flags).expect("valid");
        let text = layers.describe().expect("valid");
        for line in [
            "auth.hs256_secret = \"***\" # HERALD_AUTH_HS256_SECRET",
            "engine.workers = 3 # HERALD_ENGINE_WORKERS",
            "fetch.max_pages = 2 # configuration file",
            "listen = \"127.0.0.1:3\" # --listen",
            "master_key = \"\" # default",
            "auth.admin_roles = [\"admin\",\"org:admin\"] # default",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in:\n{text}");
        }
        assert!(!text.contains("s3cret"));
        let read_back: Value = toml::from_str(&text).expect("it is TOML");
        assert_eq!(read_back["engine"]["workers"], 3);
    }

    #[test]
    fn urls_are_described_without_their_user_and_with_their_host() {
        let shown = |name: &str, url: &str| {
            let layers = Layers::read(None, [(name.to_owned(), url.to_owned())], &[]).expect("valid");
            layers.describe().expect("valid")
        };
        for (url, told) in [
            ("redis://redis:6379", "redis://redis:6379"),
            ("redis://herald:s3cret@redis:6379/2", "redis://***@redis:6379/2"),
            ("rediss://:s3cret@redis.example", "rediss://***@redis.example"),
            ("redis-cluster://herald@a:1?node=b:2&x=s3cret", "redis-cluster://***@a:1?***"),
            // Where the password has what parts a URL, nobody knows where it ends.
            ("redis://u:12/s3cret@redis", "***"),
            ("redis://u:12#s3cret@redis", "***"),
            ("redis://:s3cret/x@redis", "***"),
            ("s3cret", "***"),
        ] {
            let text = shown("HERALD_CACHE_URL", url);
            assert!(text.contains(&format!("cache.url = \"{told}\" # HERALD_CACHE_URL")), "{url}: {text}");
            assert!(!text.contains("s3cret"));
        }
        let text = shown("HERALD_AUTH_JWKS_URL", "https://herald:s3cret@keys.example/jwks.json");
        assert!(text.contains("auth.jwks_url = \"https://***@keys.example/jwks.json\""), "{text}");
        let text = shown("HERALD_FILES_ENDPOINT", "https://herald:s3cret@s3.example:9000");
        assert!(text.contains("files.endpoint = \"https://***@s3.example:9000\""), "{text}");
        let text = shown("HERALD_FILES_URL", "s3://id:s3cret@bucket/prefix");
        assert!(text.contains("files.url = \"s3://***@bucket/prefix\""), "{text}");
        let text = shown("HERALD_SERVER_CORS_ORIGINS", "https://a.example,https://u:s3cret@b.example");
        assert!(text.contains("[\"https://a.example\",\"https://***@b.example\"]"), "{text}");
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_by_its_place_and_never_by_its_text() {
        let told = |text: &str| load(Some(text), &[], &[]).expect_err(text).0;
        let at = told("listen = '127.0.0.1:1'\n[auth]\nhs256_secret = \"s3cret\" x\n");
        assert!(at.contains("line 3, column 25"), "{at}");
        for (text, part) in [
            ("[auth]\nhs256_secret = s3cret\n", "line 2"),
            ("[auth]\nhs256_secret = \"s3cret\n", "line 2"),
            ("[auth]\nhs256_secret \"s3cret\"\n", "line 2"),
            ("[auth]\nhs256_secret = 's3cret\\'x'\n", "line 2"),
            ("[auth]\nhs256_secret = \"s3\\cret\"\n", "line 2"),
            ("[auth]\nhs256_secret = ''\nhs256_secret = 's3cret'\n", "line 3"),
            ("[auth]\nhs256_secret = ['s3cret']\n", "auth.hs256_secret must be a text"),
            ("[auth.hs256_secret]\ns3cret = 1\n", "auth.hs256_secret must be a text"),
            ("auth = 's3cret'\n", "auth must be a table"),
            ("[[auth]]\nhs256_secret = 's3cret'\n", "auth must be a table"),
            ("[engine]\nworkers = 's3cret'\n", "engine.workers must be a whole number"),
            ("[engine]\nworkers = 1.5\n", "engine.workers must be a whole number"),
            ("dev = 's3cret'\n", "dev must be true or false"),
            ("[auth]\nadmin_roles = 's3cret'\n", "auth.admin_roles must be a list of texts"),
            ("[auth]\nadmin_roles = [['s3cret']]\n", "auth.admin_roles must be a list of texts"),
        ] {
            let error = told(text);
            assert!(error.contains(part) && !error.contains("s3"), "{text}: {error}");
        }
        // Wherever a line with a secret breaks, it is not shown.
        let line = "hs256_secret = \"s3cret-s3cret-s3cret\"";
        for place in 0..line.len() {
            for broken in ["\"", "'", "=", "[", "{", "\\", "\n", "#", "\u{1}", "]", ",", "."] {
                let text = format!("[auth]\n{}{broken}{}\n", &line[..place], &line[place..]);
                if let Err(error) = load(Some(&text), &[], &[]) {
                    assert!(!error.0.contains("cret-"), "{text}: {error}");
                }
            }
        }
        for number in ["12345678", "-12345678", "1.2345678", "2345-06-07", "true"] {
            let error = told(&format!("master_key = {number}\n"));
            assert!(error.contains("master_key must be a text") && !error.contains("2345"), "{error}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_is_told_with_its_setting_and_where_it_came_from() {
        let error = load(None, &[("HERALD_ENGINE_TRIES", "99999999999")], &[]).expect_err("too large");
        assert!(error.0.contains("engine.tries (HERALD_ENGINE_TRIES)"), "{error}");
        let error = load(Some("log_format = 'xml'"), &[], &[]).expect_err("no such format");
        assert!(error.0.contains("log_format (configuration file)"), "{error}");
        let error = load(None, &[("HERALD_AUTH_TRUSTED_PEERS", "10.0.0.0/99")], &[]).expect_err("no network");
        assert!(error.0.contains("auth.trusted_peers (HERALD_AUTH_TRUSTED_PEERS)"), "{error}");
    }

    #[test]
    fn a_file_is_known_to_hold_a_secret_whatever_comes_over_it() {
        let holds = |file: &str, env: &[(&str, &str)]| {
            let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Layers::read(Some(file), env, &[]).expect("valid").file_holds_secret()
        };
        for file in [
            "master_key = 'k'",
            "[auth]\nhs256_secret = 's'",
            "[auth]\njwks_url = 'https://u:p@keys.example/'",
            "[cache]\nurl = 'redis://:p@redis'",
            "[files]\nsecret_access_key = 's'",
            "[files]\naccess_key_id = 's'",
            "listen = 'nowhere'\nmaster_key = 'k'",
        ] {
            let over = [("HERALD_MASTER_KEY", "x"), ("HERALD_LISTEN", "127.0.0.1:1"), ("HERALD_CACHE_URL", "")];
            assert!(holds(file, &over), "{file}");
        }
        let none =
            "listen = '127.0.0.1:1'\nmaster_key = ''\n[cache]\nurl = 'redis://redis:6379'\n[engine]\nworkers = 3";
        assert!(!holds(none, &[("HERALD_MASTER_KEY", "x")]));
    }

    #[test]
    fn the_usual_name_of_redis_is_taken_after_ours() {
        let url = |env: &[(&str, &str)]| load(None, env, &[]).expect("valid").cache.url.expose().to_owned();
        let (ours, usual) = (("HERALD_CACHE_URL", "redis://ours"), ("REDIS_URL", "redis://usual"));
        assert_eq!(url(&[usual]), "redis://usual");
        assert_eq!((url(&[ours, usual]), url(&[usual, ours])), ("redis://ours".to_owned(), "redis://ours".to_owned()));
    }

    #[test]
    fn what_is_misspelt_is_refused_by_name() {
        let error = load(None, &[("HERALD_DATADIR", "x")], &[]).expect_err("no such setting");
        assert!(error.0.contains("HERALD_DATADIR"), "{error}");
        let error = load(Some("[fetch]\nmax_page = 2"), &[], &[]).expect_err("no such setting");
        assert!(error.0.contains("max_page"), "{error}");
        let error = load(None, &[("HERALD_ENGINE_WORKERS", "many")], &[]).expect_err("no number");
        assert!(error.0.contains("whole number"), "{error}");
        let error = load(None, &[], &[("listen", "nowhere")]).expect_err("no address");
        assert!(error.0.contains("socket address"), "{error}");
    }

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
    }
}
