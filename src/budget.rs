//! What memory each part of the process may take, in one place: the limits that are enforced elsewhere are read from here,
//! and their sum is what a machine or a container needs.
//!
//! Past a limit calls are refused with RESOURCE_EXHAUSTED and RetryInfo; pages and external calls wait. The numbers are
//! upper bounds of what a part holds at its worst, measured where they do not follow from a setting (docs/operating.md).

use crate::config::Config;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What one part may hold, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: &'static str,
    /// What one tenant may hold of it; None where nobody's part is told from another's.
    pub per_tenant: Option<u64>,
    pub in_all: u64,
}

/// The messages of requests in work, as they take when they are decoded: of one tenant, and of all. Messages below
/// [`SMALL`] count for the tenant alone, so that a flood of large ones refuses nobody's small ones.
pub const REQUESTS_PER_TENANT: usize = 48 * 1024 * 1024;
pub const REQUESTS: usize = 192 * 1024 * 1024;
/// The answers that were made and not taken: of one connection, of one tenant, and of all.
pub const ANSWERS_PER_CONNECTION: usize = 16 * 1024 * 1024;
pub const ANSWERS_PER_TENANT: usize = 16 * 1024 * 1024;
pub const ANSWERS: usize = 128 * 1024 * 1024;
/// Messages and answers up to so many bytes are bounded by the number of calls alone.
pub const SMALL: usize = 16 * 1024;
/// What a call takes whose message and answer are not counted in bytes.
const SMALL_CALL: u64 = 2 * SMALL as u64;
/// The calls of all tenants that may be in work at once.
pub const CALLS: u32 = 4_096;

/// The rows of a page that are read at once; a call that wants more has a place among the large answers.
pub const PAGE_ROWS: u32 = 50;
/// The large answers that are made at once: of one tenant one.
pub const LARGE_ANSWERS: usize = 4;
/// What one takes while it is made: as it was read, converted and encoded, each up to an answer's size.
const LARGE_ANSWER: u64 = 48 * MIB;
/// The calls that read values of caches at once: of one tenant, and of all. Each reads no more than an answer may hold.
pub const CACHE_READS_PER_TENANT: usize = 4;
pub const CACHE_READS: usize = 8;
/// The same for a page of [`PAGE_ROWS`] rows, of which the store reads a few at once.
const SMALL_PAGE: u64 = 16 * MIB;
const READERS: u64 = 4;

/// The bytes of web pages that were fetched and not read yet. Decoded they take twice as much.
pub const PAGES: usize = 64 * 1024 * 1024;
/// The pages that are read at once, and what the tree of one takes (`connect::page`).
pub const PAGES_READ_AT_ONCE: usize = 2;
const PAGE_TREE: u64 = 64 * MIB;

/// A talk with a mail server: a letter as it is written, encoded and signed, and both sides' buffers. Without a letter a connection is
/// kept for the next one.
const TALK: u64 = MIB;
pub const TALKS_KEPT: usize = 256;
/// The mailboxes whose access tokens are kept, and what two tokens may take.
pub const TOKENS_KEPT: u64 = 2_000;
pub const TOKEN: usize = 16 * 1024;

/// A campaign at work: a batch of its prospects and letters.
const CAMPAIGN: u64 = 16 * MIB;

/// A connection with its buffers, on average over many.
const CONNECTION: u64 = 64 * KIB;
/// SQLite's own caches, the code, tables, the metrics, the remembered tokens.
const BASE: u64 = 128 * MIB;

/// The parts of a process with these settings.
pub fn parts(config: &Config) -> Vec<Part> {
    let part = |name, per_tenant, in_all| Part { name, per_tenant, in_all };
    let shared = |name, in_all| Part { name, per_tenant: None, in_all };
    let answer = config.server.max_response_bytes as u64;
    let connections = u64::from(config.server.max_connections);
    let cache = if config.cache.url.expose().is_empty() { config.cache.memory_bytes as u64 } else { 0 };
    vec![
        shared("the process itself", BASE),
        shared("connections", connections * CONNECTION),
        part("small calls", Some(u64::from(config.fairness.max_calls) * SMALL_CALL), u64::from(CALLS) * SMALL_CALL),
        part("requests in work", Some(REQUESTS_PER_TENANT as u64), REQUESTS as u64),
        part("answers that wait to be taken", Some(ANSWERS_PER_TENANT as u64), ANSWERS as u64),
        part("pages of lists being made", Some(SMALL_PAGE * (READERS - 1)), SMALL_PAGE * READERS),
        part("large answers being made", Some(LARGE_ANSWER), LARGE_ANSWER * LARGE_ANSWERS as u64),
        part("values of caches being read", Some(answer * CACHE_READS_PER_TENANT as u64), answer * CACHE_READS as u64),
        part("answers that are kept", None, config.read_cache.memory_bytes),
        part("the tenants' caches", None, cache),
        part("campaigns at work", Some(CAMPAIGN), CAMPAIGN * config.engine.workers as u64),
        shared(
            "talks with mail servers",
            TALK * config.engine.max_outside_calls as u64 + CONNECTION * TALKS_KEPT as u64,
        ),
        shared("access tokens for mail servers", 2 * TOKEN as u64 * TOKENS_KEPT),
        shared("web pages that were fetched", 2 * PAGES as u64),
        shared("web pages being read", PAGE_TREE * PAGES_READ_AT_ONCE as u64),
    ]
}

/// The parts and their sum, a line each.
pub fn describe(config: &Config) -> String {
    let mib = |bytes: u64| format!("{} MiB", bytes.div_ceil(MIB));
    let line = |part: &Part| {
        let of_one = part.per_tenant.map(|bytes| format!(", of one tenant {}", mib(bytes))).unwrap_or_default();
        format!("{}: {}{of_one}\n", part.name, mib(part.in_all))
    };
    let lines: String = parts(config).iter().map(line).collect();
    format!("{lines}in all: {}\n", mib(sum(config)))
}

/// What the process may take, in bytes.
pub fn sum(config: &Config) -> u64 {
    parts(config).iter().map(|part| part.in_all).sum()
}
