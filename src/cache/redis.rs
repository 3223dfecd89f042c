//! The cache in Redis, alone or as a cluster.
//!
//! The client's own defaults wait without end and try again what is not idempotent, so each is set here. In a cluster a
//! tenant's keys are in many slots: what takes several keys is a pipeline of commands with one key each. Keys are found by
//! SCAN, never by KEYS.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike as _, KeysInterface as _, ListInterface as _};
use fred::types::config::{Config, ReconnectPolicy, TlsConnector, UnresponsiveConfig};
use fred::types::{Builder, Expiration, ExpireOptions, Key};
use futures_util::TryStreamExt as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{CacheError, MAX_LIST, Result};
use crate::config;
use crate::metrics::{CacheOutcome, metrics};

pub(super) struct Redis {
    client: Client,
    is_cluster: bool,
    timeout: Duration,
    circuit: Circuit,
}

/// The settings name no Redis that could be used: what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RedisError(String);

/// Closed while Redis answers. A failure opens it for a moment, in which nothing is tried; then one operation tries.
struct Circuit {
    begun: Instant,
    /// Milliseconds after `begun`; 0 while it is closed.
    open_until: AtomicU64,
}

/// How long nothing is tried after a failure.
const OPEN: Duration = Duration::from_secs(1);
/// The keys of one SCAN, and of one pipeline of deletions.
const PAGE: u32 = 1_000;
/// The values, or the items of a list, that are read at once, of a mebibyte at most; more where they turn out to be small.
const FEW: usize = 8;
const SMALL: usize = 256 * 1024;
/// Finding a tenant's keys reads all keys of the server, so it may take longer than one command.
const SCAN_TIMEOUT: Duration = Duration::from_secs(30);

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
        let circuit = Circuit { begun: Instant::now(), open_until: AtomicU64::new(0) };
        Ok(Self { client, is_cluster, timeout, circuit })
    }

    pub(super) async fn set(&self, pairs: Vec<(String, Vec<u8>)>, ttl: Duration) -> Result<()> {
        let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1);
        self.guard(self.timeout, async {
            let pipeline = self.client.pipeline();
            for (key, bytes) in pairs {
                let end = Some(Expiration::PX(millis));
                let () = pipeline.set(key, bytes.as_slice(), end, None, false).await?;
            }
            pipeline.all().await
        })
        .await
    }

    /// The values in the order of the keys, a few at a time; None for what is not there or is a list.
    pub(super) async fn get(&self, keys: Vec<String>, room: usize) -> Result<Vec<Option<Vec<u8>>>> {
        let (mut found, mut left, mut piece) = (Vec::with_capacity(keys.len()), room, FEW);
        let mut keys = keys.into_iter().peekable();
        while keys.peek().is_some() {
            let values = self.get_piece(keys.by_ref().take(piece).collect()).await?;
            let size: usize = values.iter().flatten().map(Vec::len).sum();
            left = left.checked_sub(size).ok_or(CacheError::NoRoom)?;
            found.extend(values);
            piece = if size < SMALL { piece * 4 } else { FEW };
        }
        Ok(found)
    }

    async fn get_piece(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>> {
        self.guard(self.timeout, async {
            let pipeline = self.client.pipeline();
            for key in keys {
                let () = pipeline.get(key).await?;
            }
            let found = pipeline.try_all::<Option<Vec<u8>>>().await;
            found
                .into_iter()
                .map(|one| one.or_else(|error| if is_wrong_kind(&error) { Ok(None) } else { Err(error) }))
                .collect()
        })
        .await
    }

    pub(super) async fn exists(&self, key: String) -> Result<bool> {
        self.guard(self.timeout, self.client.exists::<bool, _>(key)).await
    }

    /// How many of the keys there were.
    pub(super) async fn delete(&self, keys: Vec<String>) -> Result<u64> {
        self.guard(self.timeout, async {
            let pipeline = self.client.pipeline();
            for key in keys {
                let () = pipeline.unlink(key).await?;
            }
            let deleted: Vec<u64> = pipeline.all().await?;
            Ok(deleted.iter().sum())
        })
        .await
    }

    pub(super) async fn delete_all(&self, prefix: &str) -> Result<u64> {
        let keys = self.keys(prefix).await?;
        let mut deleted = 0;
        for page in keys.chunks(PAGE as usize) {
            deleted += self.delete(page.to_vec()).await?;
        }
        Ok(deleted)
    }

    pub(super) async fn increment(&self, key: String, by: i64, ttl: Duration) -> Result<i64> {
        self.guard(self.timeout, async {
            let pipeline = self.client.pipeline();
            let () = pipeline.incr_by(key.clone(), by).await?;
            let () = pipeline.expire(key, seconds(ttl), Some(ExpireOptions::NX)).await?;
            let mut answers = pipeline.try_all::<i64>().await;
            answers.drain(..).next().unwrap_or_else(no_answer)
        })
        .await
    }

    pub(super) async fn push(&self, key: String, bytes: Vec<u8>, ttl: Duration) -> Result<usize> {
        let length = self
            .guard(self.timeout, async {
                let pipeline = self.client.pipeline();
                let () = pipeline.rpush(key.clone(), bytes.as_slice()).await?;
                let () = pipeline.expire(key.clone(), seconds(ttl), Some(ExpireOptions::NX)).await?;
                let mut answers = pipeline.try_all::<usize>().await;
                answers.drain(..).next().unwrap_or_else(no_answer)
            })
            .await?;
        if length <= MAX_LIST {
            return Ok(length);
        }
        let last = i64::try_from(MAX_LIST).unwrap_or(i64::MAX) - 1;
        self.guard(self.timeout, self.client.ltrim::<(), _>(key, 0, last)).await?;
        Err(CacheError::ListFull)
    }

    /// A few items at a time, more as long as they are small: nobody's large list may take the others' time.
    pub(super) async fn list(&self, key: String, from: usize, most: usize, room: usize) -> Result<Vec<Vec<u8>>> {
        let place = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let (mut items, mut left, mut piece) = (Vec::new(), room, FEW);
        while items.len() < most {
            let (next, count) = (from.saturating_add(items.len()), piece.min(most - items.len()));
            let range = self.client.lrange(key.clone(), place(next), place(next.saturating_add(count)) - 1);
            let found: Vec<Vec<u8>> = self.guard(self.timeout, range).await?;
            let (size, is_last) = (found.iter().map(Vec::len).sum(), found.len() < count);
            left = left.checked_sub(size).ok_or(CacheError::NoRoom)?;
            items.extend(found);
            if is_last {
                break;
            }
            piece = if size < SMALL { piece * 4 } else { FEW };
        }
        Ok(items)
    }

    /// The keys that begin with the prefix. It is a pattern as it stands: a tenant id holds no character that one would
    /// read otherwise.
    pub(super) async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        // A scan has much time; a Redis that is away must not take it.
        self.exists(prefix.to_owned()).await?;
        let pattern = format!("{prefix}*");
        let found: Vec<Key> = self
            .guard(SCAN_TIMEOUT, async {
                if self.is_cluster {
                    self.client.scan_cluster_buffered(pattern, Some(PAGE), None).try_collect().await
                } else {
                    self.client.scan_buffered(pattern, Some(PAGE), None).try_collect().await
                }
            })
            .await?;
        // SCAN may tell of a key twice.
        let mut keys: Vec<_> =
            found.into_iter().filter_map(Key::into_string).filter(|k| k.starts_with(prefix)).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Does the operation within `most`, unless Redis has just failed.
    async fn guard<T>(&self, most: Duration, operation: impl Future<Output = Result<T, Error>>) -> Result<T> {
        if !self.circuit.lets_through() {
            metrics().cache(CacheOutcome::Unavailable, 1);
            return Err(CacheError::Unavailable);
        }
        match tokio::time::timeout(most, operation).await {
            Ok(Ok(done)) => {
                self.circuit.close();
                Ok(done)
            }
            Ok(Err(error)) if is_wrong_kind(&error) => {
                self.circuit.close();
                Err(CacheError::Kind)
            }
            Ok(Err(error)) => Err(self.failed(&error.to_string())),
            // A scan takes as long as there are keys; that it takes too long says nothing of Redis.
            Err(_) if most > self.timeout => Err(CacheError::Unavailable),
            Err(_) => Err(self.failed("no answer in time")),
        }
    }

    fn failed(&self, why: &str) -> CacheError {
        if self.circuit.open() {
            tracing::warn!(why, "cache.unavailable");
        }
        metrics().cache(CacheOutcome::Unavailable, 1);
        CacheError::Unavailable
    }
}

/// WRONGTYPE, and what INCR says of a value that is no integer or would be none.
fn is_wrong_kind(error: &Error) -> bool {
    let details = error.details();
    matches!(error.kind(), ErrorKind::InvalidArgument)
        || ["WRONGTYPE", "not an integer", "overflow"].iter().any(|word| details.contains(word))
}

fn no_answer<T>() -> Result<T, Error> {
    Err(Error::new(ErrorKind::Protocol, "no answer"))
}

fn seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1)
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

    /// Never 0.
    fn now(&self) -> u64 {
        millis(self.begun.elapsed()) + 1
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
