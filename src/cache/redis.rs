//! The cache in Redis, alone or as a cluster.
//!
//! The client's own defaults wait without end and try again what is not idempotent, so each is set here. In a cluster a
//! tenant's keys are in many slots: what takes several keys is a pipeline of commands with one key each. A tenant's keys are
//! found in its index (`index`), and all keys by SCAN (`walk`), never by KEYS.
//!
//! Others write there too, values of any size: nothing is read before its size is known.

mod index;
mod probe;
mod walk;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{
    ClientLike as _, ClusterInterface as _, KeysInterface as _, ListInterface as _, LuaInterface as _,
};
use fred::types::config::{Config, ReconnectPolicy, TlsConnector, UnresponsiveConfig};
use fred::types::{Builder, Expiration, ExpireOptions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;

use super::error::{CacheError, MAX_LIST, Result};
use super::names::Names;
use super::stored::Stored;
use crate::config;
use crate::domain::number::saturating_i64;
use crate::domain::paging::Page;
use crate::metrics::{CacheOutcome, metrics};

pub(super) struct Redis {
    client: Client,
    is_cluster: bool,
    timeout: Duration,
    circuit: Circuit,
    /// Whether the log was told of a node without a host.
    told_unnamed: AtomicBool,
    /// Held by the one who deletes all of a tenant's keys, which goes through everybody's.
    deleting: Semaphore,
}

/// The settings name no Redis that could be used: what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RedisError(String);

/// Closed while Redis answers, be it with an error. Silence or a lost connection opens it for a moment, in which nothing is
/// tried; then one operation tries.
struct Circuit {
    begun: Instant,
    /// Milliseconds after `begun`; 0 while it is closed.
    open_until: AtomicU64,
    /// When the log was last told of an error that Redis answered.
    refused: AtomicU64,
}

/// How long nothing is tried after a failure, and how long the log is not told of another refusal.
const OPEN: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(10);
/// The bytes that are read at once, but for a single value that has more; the items of a list that are looked at first; and at
/// most, more where they turn out to be small.
const PIECE: usize = 1024 * 1024;
const FEW: usize = 8;
const MANY: usize = 512;
const SMALL: usize = 256 * 1024;
/// To delete a tenant's keys takes a way through all keys of the server, so it may take longer than one command; and so may
/// the wait for another who does that.
const DELETING: Duration = Duration::from_secs(30);

/// More than there is of anything, and a whole number also where numbers are doubles.
const EXACT: usize = 1 << 53;

/// Items of a list from a place on, as many as have the bytes that there is room for. There is no command that tells an item's
/// size, and one by another backend may have 512 MiB: the script looks at it where it is. Answers first whether it came to the
/// end, stopped before an item that does not fit, or could go on.
const ITEMS: &str = r"
local from, most, room, piece = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local answer, taken = {'more'}, 0
for place = from, from + most - 1 do
  local item = redis.call('LINDEX', KEYS[1], place)
  if not item then answer[1] = 'end' break end
  if taken + #item > room then answer[1] = 'full' break end
  taken = taken + #item
  answer[#answer + 1] = item
  if taken >= piece then break end
end
return answer";

// === impl Redis ===

impl Redis {
    /// Connects in the background, and again whenever the connection breaks.
    pub(super) fn connect(settings: &config::Cache) -> Result<Self, RedisError> {
        let wrong = |error: Error| RedisError(format!("cache.url: {error}"));
        let timeout = Duration::from_millis(settings.timeout_millis);
        let mut config = Config::from_url(settings.url.expose()).map_err(wrong)?;
        config.fail_fast = false;
        if settings.url.expose().starts_with("rediss") || settings.url.expose().starts_with("valkeys") {
            config.tls = Some(tls(settings)?.into());
        }
        let is_cluster = config.server.is_clustered();
        let client = Builder::from_config(config)
            .with_performance_config(|performance| performance.default_command_timeout = timeout)
            .with_connection_config(|connection| {
                connection.connection_timeout = Duration::from_secs(2);
                connection.internal_command_timeout = Duration::from_secs(2);
                connection.max_command_attempts = 1;
                connection.max_command_buffer_len = 10_000;
                connection.unresponsive =
                    UnresponsiveConfig { max_timeout: Some(Duration::from_secs(5)), interval: Duration::from_secs(1) };
            })
            .set_policy(ReconnectPolicy::new_exponential(0, 100, 2_000, 2))
            .build()
            .map_err(wrong)?;
        client.connect();
        let circuit = Circuit { begun: Instant::now(), open_until: AtomicU64::new(0), refused: AtomicU64::new(0) };
        let told_unnamed = AtomicBool::new(false);
        Ok(Self { client, is_cluster, timeout, circuit, told_unnamed, deleting: Semaphore::new(1) })
    }

    pub(super) async fn set(&self, names: &Names, pairs: Vec<(String, Stored)>, ttl: Duration) -> Result<()> {
        let millis = saturating_i64(ttl.as_millis()).max(1);
        self.guard(async {
            let pipeline = self.client.pipeline();
            self.list_first(&pipeline, names, pairs.iter().map(|(key, _)| key.clone()).collect()).await?;
            for (key, Stored(bytes)) in pairs {
                let end = Some(Expiration::PX(millis));
                let () = pipeline.set(names.key(&key), bytes, end, None, false).await?;
            }
            pipeline.all().await
        })
        .await
    }

    /// The values in the order of the keys; None for what is not there or is a list. Refuses what has more than `room` bytes
    /// before it is read.
    pub(super) async fn get(&self, keys: Vec<String>, room: usize) -> Result<Vec<Option<Bytes>>> {
        let lengths = self.lengths(&keys).await?;
        if lengths.iter().flatten().fold(0, |sum: usize, length| sum.saturating_add(*length)) > room {
            return Err(CacheError::NoRoom);
        }
        let (mut found, mut left) = (Vec::with_capacity(keys.len()), room);
        let mut keys = keys.into_iter().zip(lengths).peekable();
        while keys.peek().is_some() {
            let (mut piece, mut size) = (Vec::new(), 0);
            while let Some(key) = keys.next_if(|(_, length)| size == 0 || size + length.unwrap_or(0) <= PIECE) {
                size += key.1.unwrap_or(0);
                piece.push(key);
            }
            let values = self.get_piece(piece, left).await?;
            let size = values.iter().flatten().map(Bytes::len).sum();
            left = left.checked_sub(size).ok_or(CacheError::NoRoom)?;
            found.extend(values);
        }
        Ok(found)
    }

    /// The bytes of the values: 0 for what is not there, None for what is no value.
    async fn lengths(&self, keys: &[String]) -> Result<Vec<Option<usize>>> {
        self.guard(async {
            let pipeline = self.client.pipeline();
            for key in keys {
                let () = pipeline.strlen(key).await?;
            }
            pipeline.try_all::<usize>().await.into_iter().map(of_kind).collect()
        })
        .await
    }

    /// Values of known lengths. Whatever has become of them since, none is read beyond `room`.
    async fn get_piece(&self, keys: Vec<(String, Option<usize>)>, room: usize) -> Result<Vec<Option<Bytes>>> {
        let lengths: Vec<_> = keys.iter().map(|(_, length)| *length).collect();
        let found: Vec<_> = self
            .guard(async {
                let pipeline = self.client.pipeline();
                for (key, length) in keys {
                    match length {
                        // What is not there has no length, nor has an empty text.
                        None | Some(0) => pipeline.exists(key).await?,
                        Some(_) => pipeline.getrange(key, 0, room.min(EXACT)).await?,
                    }
                }
                pipeline.try_all::<Bytes>().await.into_iter().map(of_kind).collect()
            })
            .await?;
        let value = |(length, found): (Option<usize>, Option<Bytes>)| match length? {
            0 => found.filter(|is_there| &is_there[..] == b"1").map(|_| Bytes::new()),
            _ => found.filter(|bytes| !bytes.is_empty()),
        };
        Ok(lengths.into_iter().zip(found).map(value).collect())
    }

    pub(super) async fn exists(&self, key: String) -> Result<bool> {
        self.guard(self.client.exists::<bool, _>(key)).await
    }

    /// Whether it was there. The index still has it, as it has what came to its end.
    pub(super) async fn delete(&self, key: String) -> Result<bool> {
        self.guard(self.client.unlink::<bool, _>(key)).await
    }

    /// Deletes the tenant's keys, and then its index. One at a time: it goes through all keys that there are.
    pub(super) async fn delete_all(&self, names: &Names) -> Result<u64> {
        let turn = tokio::time::timeout(DELETING, self.deleting.acquire()).await;
        let _turn = turn.map_err(|_| CacheError::Unavailable)?.map_err(|_| CacheError::Unavailable)?;
        let deleted = tokio::time::timeout(DELETING, self.delete_walking(names)).await;
        deleted.map_err(|_| CacheError::Unavailable)?
    }

    async fn delete_walking(&self, names: &Names) -> Result<u64> {
        // It is a pattern as it stands: a tenant id holds no character that one would read otherwise.
        let mut walk = self.guard(async { self.walk(&names.prefix) }).await?;
        let mut deleted = 0;
        while let Some(keys) = self.guard(self.step(&mut walk)).await? {
            let pipeline = self.client.pipeline();
            let counts: Vec<u64> = self
                .guard(async {
                    for key in keys {
                        let () = pipeline.unlink(key).await?;
                    }
                    pipeline.all().await
                })
                .await?;
            deleted += counts.iter().sum::<u64>();
        }
        self.guard(self.client.unlink::<(), _>(&names.index)).await?;
        Ok(deleted)
    }

    pub(super) async fn increment(&self, names: &Names, key: &str, by: i64, ttl: Duration) -> Result<i64> {
        self.guard(async {
            let pipeline = self.client.pipeline();
            let at = self.list_first(&pipeline, names, vec![key.to_owned()]).await?;
            let () = pipeline.incr_by(names.key(key), by).await?;
            let () = pipeline.expire(names.key(key), seconds(ttl), Some(ExpireOptions::NX)).await?;
            answer(pipeline.try_all::<i64>().await, at)
        })
        .await
    }

    pub(super) async fn push(&self, names: &Names, key: &str, bytes: Bytes, ttl: Duration) -> Result<usize> {
        let length = self
            .guard(async {
                let pipeline = self.client.pipeline();
                let at = self.list_first(&pipeline, names, vec![key.to_owned()]).await?;
                let () = pipeline.rpush(names.key(key), bytes).await?;
                let () = pipeline.expire(names.key(key), seconds(ttl), Some(ExpireOptions::NX)).await?;
                answer(pipeline.try_all::<usize>().await, at)
            })
            .await?;
        if length <= MAX_LIST {
            return Ok(length);
        }
        let last = saturating_i64(MAX_LIST) - 1;
        self.guard(self.client.ltrim::<(), _>(names.key(key), 0, last)).await?;
        Err(CacheError::ListFull)
    }

    /// The list's items from a place on, at most `max` of them and `room` bytes; refuses a first one that has more. A few are read
    /// at a time, more as long as they are small: nobody's large list may take the others' time.
    pub(super) async fn list(&self, key: String, from: usize, max: usize, room: usize) -> Result<Page<Bytes, usize>> {
        let (mut rows, mut left, mut piece) = (Vec::<Bytes>::new(), room, FEW);
        while rows.len() < max {
            let next = from.saturating_add(rows.len());
            let args = [next, piece.min(max - rows.len()), left, PIECE].map(number).to_vec();
            let items = self.client.eval(ITEMS, key.clone(), args);
            let mut items: Vec<Bytes> = self.guard(items).await?;
            let found = items.split_off(items.len().min(1));
            let size: usize = found.iter().map(Bytes::len).sum();
            left = left.saturating_sub(size);
            rows.extend(found);
            match items.first().map(|how| &how[..]) {
                Some(b"more") => {}
                Some(b"full") if rows.is_empty() => return Err(CacheError::NoRoom),
                Some(b"full") => break,
                _ => return Ok(Page { rows, next: None }),
            }
            piece = if size < SMALL { (piece * 4).min(MANY) } else { FEW };
        }
        let next = from.saturating_add(rows.len());
        let length: usize = self.guard(self.client.llen(key)).await?;
        Ok(Page { rows, next: (next < length).then_some(next) })
    }

    /// Does the operation within its time, unless Redis has just failed.
    async fn guard<T>(&self, operation: impl Future<Output = Result<T, Error>>) -> Result<T> {
        if !self.circuit.lets_through() {
            metrics().cache(CacheOutcome::Unavailable, 1);
            return Err(CacheError::Unavailable);
        }
        match tokio::time::timeout(self.timeout, operation).await {
            Ok(Ok(done)) => {
                self.circuit.close();
                Ok(done)
            }
            Ok(Err(error)) => Err(self.answered(&error).unwrap_or_else(|| self.failed(&plainly(&error)))),
            Err(_) => Err(self.failed("no answer in time")),
        }
    }

    /// The error as Redis answered it, which proves that it is there; None if it was no answer.
    fn answered(&self, error: &Error) -> Option<CacheError> {
        let code = reply_code(error)?;
        self.circuit.close();
        if is_wrong_kind(error) {
            return Some(CacheError::Kind);
        }
        metrics().cache(CacheOutcome::Refused, 1);
        if self.circuit.may_tell_of_refusal() {
            // Its text may name keys; its code tells an operator what to look for.
            tracing::warn!(code, "cache.refused");
        }
        Some(if code == "OOM" { CacheError::Full } else { CacheError::Refused(code.to_owned()) })
    }

    fn failed(&self, why: &str) -> CacheError {
        let was_closed = self.circuit.open();
        // Which the client finds out later than that it cannot connect.
        let unnamed = self.unnamed_node().filter(|_| !self.told_unnamed.swap(true, Ordering::Relaxed));
        if was_closed || unnamed.is_some() {
            tracing::warn!(why = unnamed.unwrap_or(why), "cache.unavailable");
        }
        metrics().cache(CacheOutcome::Unavailable, 1);
        CacheError::Unavailable
    }

    /// What to say of a cluster that gives a node neither an address nor a name: null the client takes for the address that was
    /// asked, but not these two.
    fn unnamed_node(&self) -> Option<&'static str> {
        let cluster = self.client.cached_cluster_state().filter(|_| self.is_cluster)?;
        let is_unnamed = cluster.unique_primary_nodes().iter().any(|node| matches!(&*node.host, "" | "?"));
        is_unnamed.then_some(
            "the cluster gives a node no host: set cluster-announce-ip or cluster-announce-hostname on each of its servers",
        )
    }
}

/// The code of an error that Redis answered, such as OOM or MOVED; None for what the client says of itself.
fn reply_code(error: &Error) -> Option<&str> {
    let is_of_reply = matches!(
        error.kind(),
        ErrorKind::Unknown
            | ErrorKind::InvalidArgument
            | ErrorKind::InvalidCommand
            | ErrorKind::Auth
            | ErrorKind::Cluster
            | ErrorKind::Config
    );
    let code = error.details().split(' ').next().filter(|_| is_of_reply)?;
    let is_code = code.len() > 1 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    is_code.then_some(code)
}

/// What the client says of itself, in words. Of an error of the system or of TLS it keeps what a programmer prints of it, such as
/// `Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }`.
fn plainly(error: &Error) -> String {
    let details = error.details();
    let known = [
        ("ConnectionRefused", "nothing listens there"),
        ("UnknownIssuer", "its certificate is not trusted; cache.ca_file names its authority"),
        ("CaUsedAsEndEntity", "it shows an authority's certificate as its own"),
        ("NotValidForName", "its certificate is for another name"),
        ("Expired", "its certificate has expired"),
        ("InvalidData", "TLS cannot be spoken with it"),
    ];
    let is_printed = matches!(error.kind(), ErrorKind::IO | ErrorKind::Tls);
    let known = known.iter().find(|(name, _)| is_printed && details.contains(name)).map(|(_, words)| *words);
    let quoted = || ["message: \"", "error: \""].iter().find_map(|at| details.split_once(at)?.1.split('"').next());
    match error.kind() {
        ErrorKind::Timeout => "no answer in time",
        // Whatever answered, it was no frame of Redis' protocol.
        ErrorKind::Protocol if details.starts_with("Decode Error") => {
            "what answers there does not speak the protocol of Redis"
        }
        _ => known.or_else(quoted).unwrap_or(details),
    }
    .trim_end_matches('.')
    .to_owned()
}

/// WRONGTYPE, and what INCR says of a value that is no integer or would be none.
fn is_wrong_kind(error: &Error) -> bool {
    let details = error.details();
    matches!(error.kind(), ErrorKind::InvalidArgument)
        || ["WRONGTYPE", "not an integer", "overflow"].iter().any(|word| details.contains(word))
}

/// What a command answered; None if Redis answered with an error, whichever.
fn unless_refused<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if reply_code(&error).is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a command answered; None if what is there is of another kind.
fn of_kind<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_wrong_kind(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The answer of a pipeline's command; the one that there is if all of it failed.
fn answer<T>(mut answers: Vec<Result<T, Error>>, at: usize) -> Result<T, Error> {
    answers.truncate(at + 1);
    answers.pop().unwrap_or_else(|| Err(Error::new(ErrorKind::Protocol, "no answer")))
}

/// A number for a script, in which all are doubles.
fn number(number: usize) -> i64 {
    saturating_i64(number.min(EXACT))
}

fn seconds(ttl: Duration) -> i64 {
    saturating_i64(ttl.as_secs()).max(1)
}

/// TLS as the settings say: the authorities in a file, or the public ones.
fn tls(settings: &config::Cache) -> Result<TlsConnector, RedisError> {
    let mut roots = RootCertStore::empty();
    if settings.ca_file.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    } else {
        let wrong = |error: &dyn std::fmt::Display| RedisError(format!("cache.ca_file {}: {error}", settings.ca_file));
        for certificate in CertificateDer::pem_file_iter(&settings.ca_file).map_err(|error| wrong(&error))? {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth().into())
}

// === impl Circuit ===

impl Circuit {
    fn lets_through(&self) -> bool {
        let until = self.open_until.load(Ordering::Relaxed);
        let now = self.now();
        if until == 0 {
            return true;
        }
        // Of all that come when the moment is over, one tries.
        now >= until
            && self.open_until.compare_exchange(until, now + millis(OPEN), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn close(&self) {
        self.open_until.store(0, Ordering::Relaxed);
    }

    /// Whether it was closed before.
    fn open(&self) -> bool {
        self.open_until.swap(self.now() + millis(OPEN), Ordering::Relaxed) == 0
    }

    /// Once in a while.
    fn may_tell_of_refusal(&self) -> bool {
        let (last, now) = (self.refused.load(Ordering::Relaxed), self.now());
        let is_due = last == 0 || now >= last + millis(QUIET);
        is_due && self.refused.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Never 0.
    fn now(&self) -> u64 {
        millis(self.begun.elapsed()) + 1
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
