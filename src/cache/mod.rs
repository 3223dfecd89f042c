//! Each tenant's cache: JSON values, counters and lists that live for a while, in memory or in Redis.
//!
//! `names` makes the keys, and nothing else does.
//!
//! Nothing here is a promise: a value may be gone before its time. With Redis, an operation takes at most the configured
//! timeout. After silence or a lost connection none is tried for a moment (a circuit breaker), so that a Redis that is down
//! slows nobody. An error that Redis answers fails the operation that it answers, and nothing else.

mod error;
mod memory;
mod names;
mod redis;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::domain::clock::Clock;
use crate::domain::paging::{Page, PageRequest};
use crate::heavy::heavy;
use crate::metrics::{CacheOutcome, metrics};
use crate::tenant::Scope;
use memory::Memory;
use names::Names;
use redis::Redis;
use stored::Room;

pub use error::{CacheError, MAX_ELEMENTS, MAX_KEY, MAX_LIST, MAX_VALUE, Result};
pub use redis::RedisError;
pub use stored::Stored;

/// The time between two sweeps: keys that other backends wrote in Redis are listed after it, and the time that a sweep takes.
pub const SWEEP: Duration = Duration::from_secs(20);

/// The room of a read that is not for one answer: that of an answer, if not configured otherwise.
const ROOM: usize = 16 * 1024 * 1024;

/// All tenants' caches.
pub struct TenantCache {
    backing: Backing,
    ttl: Duration,
}

/// What Redis is asked is boxed: the future of a talk with it is large, and would be in everybody's who uses a cache.
enum Backing {
    Memory(Memory),
    Redis(Box<Redis>),
}

/// One tenant's cache.
#[derive(Clone, Copy)]
pub struct ScopedCache<'a> {
    cache: &'a TenantCache,
    scope: &'a Scope,
}

// === impl TenantCache ===

impl TenantCache {
    /// In Redis if the settings name one, else in this process. Doesn't wait until Redis is there.
    pub fn new(settings: &config::Cache, clock: Arc<dyn Clock>) -> Result<Self, RedisError> {
        let backing = if settings.url.expose().is_empty() {
            Backing::Memory(Memory::new(clock, settings.memory_bytes))
        } else {
            Backing::Redis(Box::new(Redis::connect(settings)?))
        };
        Ok(Self { backing, ttl: Duration::from_secs(settings.ttl_seconds) })
    }

    /// Keeps the indexes in Redis as its keys are until `stop` is cancelled: at once, and then every so often.
    pub async fn sweep_forever(&self, every: Duration, stop: CancellationToken) {
        let Backing::Redis(redis) = &self.backing else { return };
        tokio::select! {
            () = stop.cancelled() => {}
            () = redis.sweep_forever(every) => {}
        }
    }

    /// Keys that look like a tenant's and belong to none that could be. None in this process, where nobody else writes.
    pub async fn strangers(&self) -> Result<Vec<String>> {
        let Backing::Redis(redis) = &self.backing else { return Ok(Vec::new()) };
        redis.strangers().await
    }

    /// Tells the log if Redis is not there. Calls tell it only once they want something of it.
    pub async fn tell_if_away(&self) {
        let Backing::Redis(redis) = &self.backing else { return };
        if let Err(why) = redis.reach().await {
            tracing::warn!(why, "cache.unavailable");
        }
    }

    /// Whether Redis is there and does each thing that it is asked for; why not. Changes nothing.
    pub async fn probe(&self) -> Result<(), String> {
        let Backing::Redis(redis) = &self.backing else { return Ok(()) };
        redis.probe().await
    }

    /// The one door: the scope's tenant's cache.
    pub fn scope<'a>(&'a self, scope: &'a Scope) -> ScopedCache<'a> {
        ScopedCache { cache: self, scope }
    }
}

// === impl ScopedCache ===

impl ScopedCache<'_> {
    /// Sets values, for `ttl` or the default time.
    pub async fn put(&self, pairs: Vec<(String, Stored)>, ttl: Option<Duration>) -> Result<()> {
        pairs.iter().try_for_each(|(key, _)| checked(key))?;
        let (names, ttl) = (self.names(), ttl.unwrap_or(self.cache.ttl));
        match &self.cache.backing {
            Backing::Memory(memory) => {
                pairs.into_iter().for_each(|(key, value)| memory.set(&names.prefix, &key, value.0, ttl));
                Ok(())
            }
            Backing::Redis(redis) => Box::pin(redis.set(&names, pairs, ttl)).await,
        }
    }

    /// The values in the order of the keys, or None: a list has no value, a counter's is its number. Refuses what together weighs
    /// more than `room`, which is told before any value is built.
    pub async fn read(&self, keys: &[&str], room: usize) -> Result<Vec<Option<Stored>>> {
        keys.iter().try_for_each(|key| checked(key))?;
        let names = self.names();
        let found = match &self.cache.backing {
            Backing::Memory(memory) => memory.get(&names.prefix, keys, room)?,
            Backing::Redis(redis) => Box::pin(redis.get(keys.iter().map(|key| names.key(key)).collect(), room)).await?,
        };
        let found: Vec<_> = found.into_iter().map(|bytes| bytes.map(Stored)).collect();
        let (mut left, size) = (Room::new(room), found.iter().flatten().map(Stored::size).sum());
        if !heavy(size, || found.iter().flatten().all(|value| left.take(value))) {
            return Err(CacheError::NoRoom);
        }
        let hits = found.iter().flatten().count();
        metrics().cache(CacheOutcome::Hit, hits);
        metrics().cache(CacheOutcome::Miss, found.len() - hits);
        Ok(found)
    }

    /// Whether there was something to delete.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        checked(key)?;
        match &self.cache.backing {
            Backing::Memory(memory) => Ok(memory.delete(&self.names().prefix, key)),
            Backing::Redis(redis) => Box::pin(redis.delete(self.names().key(key))).await,
        }
    }

    /// Deletes everything that the tenant has; how many keys that were.
    pub async fn delete_all(&self) -> Result<u64> {
        match &self.cache.backing {
            Backing::Memory(memory) => {
                let names = self.names();
                Ok(heavy(usize::MAX, || memory.delete_all(&names.prefix)))
            }
            Backing::Redis(redis) => Box::pin(redis.delete_all(&self.names())).await,
        }
    }

    pub async fn exists(&self, key: &str) -> Result<bool> {
        checked(key)?;
        match &self.cache.backing {
            Backing::Memory(memory) => Ok(memory.exists(&self.names().prefix, key)),
            Backing::Redis(redis) => redis.exists(self.names().key(key)).await,
        }
    }

    /// Adds to a counter, which begins at 0 and then lives for the default time; its new value. Refuses what is no 64-bit
    /// integer, or would no longer be one.
    pub async fn increment(&self, key: &str, by: i64) -> Result<i64> {
        checked(key)?;
        match &self.cache.backing {
            Backing::Memory(memory) => memory.increment(&self.names().prefix, key, by, self.cache.ttl),
            Backing::Redis(redis) => Box::pin(redis.increment(&self.names(), key, by, self.cache.ttl)).await,
        }
    }

    /// Appends to a list, which begins empty and then lives for the default time; its new length.
    pub async fn append(&self, key: &str, value: Stored) -> Result<usize> {
        checked(key)?;
        match &self.cache.backing {
            Backing::Memory(memory) => memory.push(&self.names().prefix, key, value.0, self.cache.ttl),
            Backing::Redis(redis) => Box::pin(redis.push(&self.names(), key, value.0, self.cache.ttl)).await,
        }
    }

    /// The list's items from a place on, in order: at most `max`, and no more than weigh `room`; none if there is no list. Refuses
    /// a first item that does not fit.
    pub async fn items(&self, key: &str, from: usize, max: usize, room: usize) -> Result<Page<Stored, usize>> {
        checked(key)?;
        let names = self.names();
        let Page { rows, mut next } = match &self.cache.backing {
            Backing::Memory(memory) => memory.list(&names.prefix, key, from, max, room)?,
            Backing::Redis(redis) => Box::pin(redis.list(names.key(key), from, max, room)).await?,
        };
        let mut rows: Vec<_> = rows.into_iter().map(Stored).collect();
        let (mut left, size) = (Room::new(room), rows.iter().map(Stored::size).sum());
        let fit = heavy(size, || rows.iter().take_while(|item| left.take(item)).count());
        if fit < rows.len() {
            if fit == 0 {
                return Err(CacheError::NoRoom);
            }
            rows.truncate(fit);
            next = Some(from + fit);
        }
        Ok(Page { rows, next })
    }

    /// A page of the tenant's keys that begin with the prefix, in the order of their bytes. It costs what it holds, and so looks
    /// at a bounded number of keys that are gone: it may hold fewer than asked for, even none, and yet not be the last.
    pub async fn keys_page(&self, prefix: &str, request: &PageRequest<String>) -> Result<Page<String, String>> {
        let (names, after, size) = (self.names(), request.after.as_deref(), request.size as usize);
        match &self.cache.backing {
            Backing::Memory(memory) => {
                let Page { rows, next } = memory.keys(&names.prefix, prefix, after, size);
                let rows = rows.iter().map(|key| String::from(&**key)).collect();
                Ok(Page { rows, next: next.map(|key| String::from(&*key)) })
            }
            Backing::Redis(redis) => Box::pin(redis.keys_page(&names, prefix, after, size)).await,
        }
    }

    fn names(&self) -> Names {
        Names::of(self.scope.tenant())
    }
}

/// With values as they are, for those who have few.
impl ScopedCache<'_> {
    /// See [`ScopedCache::put`].
    pub async fn set(&self, key: &str, value: &Value, ttl: Option<Duration>) -> Result<()> {
        self.put(vec![(key.to_owned(), Stored::new(value)?)], ttl).await
    }

    /// See [`ScopedCache::put`].
    pub async fn set_many(&self, pairs: &[(&str, Value)], ttl: Option<Duration>) -> Result<()> {
        let pairs = pairs.iter().map(|(key, value)| Ok(((*key).to_owned(), Stored::new(value)?)));
        self.put(pairs.collect::<Result<_>>()?, ttl).await
    }

    /// See [`ScopedCache::read`].
    pub async fn get(&self, key: &str) -> Result<Option<Value>> {
        Ok(self.get_many(&[key], ROOM).await?.pop().flatten())
    }

    /// See [`ScopedCache::read`].
    pub async fn get_many(&self, keys: &[&str], room: usize) -> Result<Vec<Option<Value>>> {
        let found = self.read(keys, room).await?;
        Ok(found.iter().map(|value| value.as_ref().map(Stored::value)).collect())
    }

    /// See [`ScopedCache::append`].
    pub async fn push(&self, key: &str, value: &Value) -> Result<usize> {
        self.append(key, Stored::new(value)?).await
    }

    /// See [`ScopedCache::items`].
    pub async fn list(&self, key: &str, from: usize, max: usize, room: usize) -> Result<Vec<Value>> {
        Ok(self.items(key, from, max, room).await?.rows.iter().map(Stored::value).collect())
    }

    /// All keys of the tenant, page by page; see [`ScopedCache::keys_page`].
    pub async fn keys(&self) -> Result<Vec<String>> {
        let (mut keys, mut request) = (Vec::new(), PageRequest { size: 1_000, after: None });
        loop {
            let page = self.keys_page("", &request).await?;
            keys.extend(page.rows);
            request.after = page.next;
            if request.after.is_none() {
                return Ok(keys);
            }
        }
    }
}

fn checked(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > MAX_KEY { Err(CacheError::Key) } else { Ok(()) }
}
