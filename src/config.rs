//! The settings and their defaults; validated once at the start.
//!
//! `layers` merges defaults, file, environment and flags, `file` reads the file, and `validation` refuses what cannot work. Herald never prints a
//! secret, and prints a URL without its user info.

mod file;
mod layers;
mod links;
mod meant;
mod secret;
mod shown;
mod validation;

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::domain::link::PublicUrl;

pub use layers::Layers;
pub use secret::Secret;
pub use shown::shown;
pub use validation::ConfigError;

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address that gRPC and gRPC-Web are served on. Port 0 picks a free one.
    #[serde(deserialize_with = "validation::address")]
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
    pub limits: Limits,
    pub admin: Admin,
    pub engine: Engine,
    pub fetch: Fetch,
    pub cache: Cache,
    pub read_cache: ReadCache,
    pub files: Files,
    pub mail: Mail,
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
    /// After how much silence a watch stream tells that it is alive, in seconds.
    pub heartbeat_seconds: u64,
    /// Where readers of letters reach this server, such as `https://mail.example.com`: it goes into the links by which they
    /// unsubscribe, which it serves under `/u/`. At most 74 characters. Empty: they unsubscribe by mail alone.
    #[serde(serialize_with = "shown::text")]
    pub public_url: String,
    /// An address for those links alone, over plain HTTP, such as `127.0.0.1:50053`, behind a proxy that has TLS. Needed where
    /// `tls.client_ca_file` is set. Empty: the port serves them.
    pub links_listen: String,
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

/// `[limits]`: how much one tenant may have.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The campaigns that may be live at once, 1 to 1,000; a start beyond is refused.
    pub live_campaigns: u32,
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
    /// How often an external call is tried in all.
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

/// `[mail]`: where the tenants' mail may go.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// Tenants may have mailboxes whose mail goes into their outbox folders, as files. Under `dev` they may anyway.
    pub outbox: bool,
    /// Mail servers and token servers may be at addresses that are not public.
    pub allow_private: bool,
    /// Networks that are not public in which they may be, such as `10.1.0.0/16`.
    pub networks: Vec<IpNet>,
    /// A PEM file of the authorities that mail servers' certificates may be of, beside the public ones.
    pub ca_file: String,
}

/// `[retention]`: how long is kept what was deleted, and who did what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// How long a deleted prospect can be brought back, in days; then it is purged.
    pub deleted_prospects_days: u64,
    /// How long the audit log keeps who did what, in days, 1 to 36,500.
    pub audit_days: u64,
    /// The events that a tenant's audit log keeps at most; the oldest go first.
    pub audit_rows: u64,
}

// === impl Config ===

impl Config {
    /// Where readers of letters unsubscribe; None: by mail alone. What it may have wrong, [`Config::faults`] tells.
    pub fn public_url(&self) -> Option<PublicUrl> {
        PublicUrl::parse(&self.server.public_url).ok()
    }

    /// Whether mail may go into the tenants' outbox folders.
    pub fn has_outbox(&self) -> bool {
        self.dev || self.mail.outbox
    }
}

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
            limits: Limits::default(),
            admin: Admin::default(),
            engine: Engine::default(),
            fetch: Fetch::default(),
            cache: Cache::default(),
            read_cache: ReadCache::default(),
            files: Files::default(),
            mail: Mail::default(),
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
            heartbeat_seconds: 20,
            public_url: String::new(),
            links_listen: String::new(),
            stop_seconds: 10,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { live_campaigns: 10 }
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
        Self { deleted_prospects_days: 30, audit_days: 400, audit_rows: 1_000_000 }
    }
}

impl Default for Fetch {
    fn default() -> Self {
        Self { allow_private: false, timeout_seconds: 10, max_bytes: 2 * 1024 * 1024, max_pages: 5 }
    }
}

// === impl Tls ===

impl Tls {
    pub fn is_on(&self) -> bool {
        !self.certificate_file.is_empty()
    }
}
