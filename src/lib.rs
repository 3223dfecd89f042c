//! Herald: a multi-tenant outreach backend.
//!
//! A tenant points Herald at its website, says what it wants, and Herald runs a six-step campaign for it: it reads the
//! website, works out a search strategy, ranks prospects, writes one e-mail per prospect, waits for a person's approval,
//! and sends. Every row, file, event and log line has exactly one tenant, and nothing can be reached without a
//! [`tenant::Scope`], the proof that work may be done for that tenant.
//!
//! # Layout
//!
//! In reading order; a module imports only from those above it (`structure` among the tests holds that).
//!
//! - [`crash`]: named places where a process under test kills itself
//! - [`domain`]: the rules, pure: the campaign's state machine, prospects, e-mails, analysis, ranking, paging
//! - [`terminal`]: the one way to standard output and standard error, without control characters
//! - [`tenant`]: who owns and who calls: `TenantId`, `Caller`, `Scope`
//! - `heavy`: work that takes longer than a call's turn on a thread of the runtime
//! - [`volume`]: what is left of the volume that a folder is on
//! - `turns`: places for which tenants take turns
//! - [`config`], [`budget`], [`metrics`], [`telemetry`], [`pb`]: settings, what memory each part may take, counts, logs,
//!   the generated protobuf types
//! - `wire`: what is looked at in a call's message before it is decoded
//! - [`store`], [`files`], [`cache`]: SQLite behind one door; the tenant's folder; the tenant's cache
//! - [`connect`]: connectors, for external calls: fetching web pages, handing over mail, talking with mail servers
//! - [`engine`]: claims campaigns and runs their steps in fair turns
//! - [`status`]: the one place where an error becomes a gRPC status
//! - `call`: a gRPC call as HTTP has it
//! - [`auth`]: credentials to `Caller`, and the access policy
//! - [`rpc`]: one file per service: convert in, act, convert out
//! - [`publish`]: tells other backends, through the cache, where each tenant's newest campaign stands
//! - [`read_cache`]: keeps the answers of reads for as long as they hold
//! - [`transport`]: the server on its port: what every call passes, limits, the graceful stop
//! - [`client`]: for other Rust backends: stamps their calls with credentials
//! - [`app`]: puts the parts together
//! - [`backup`]: copies a data folder, and puts a copy back
//! - [`check`]: looks whether a deployment is as it should be
//! - [`cli`]: the command line

pub mod app;
pub mod auth;
pub mod backup;
pub mod budget;
pub mod cache;
mod call;
pub mod check;
pub mod cli;
pub mod client;
pub mod config;
pub mod connect;
pub mod crash;
pub mod domain;
pub mod engine;
pub mod files;
mod heavy;
pub mod metrics;
pub mod pb;
pub mod publish;
pub mod read_cache;
pub mod rpc;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod tenant;
pub mod terminal;
#[cfg(test)]
mod testing;
pub mod transport;
mod turns;
pub mod volume;
pub mod wire;
