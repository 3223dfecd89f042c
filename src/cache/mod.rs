//! Each tenant's cache: JSON values, counters and lists that live for a while, in memory or in Redis.
//!
//! Architecture invariant: this is the only place where a cache key is made: `user:{tenant}:{key}`, as other backends know
//! them. A tenant id has no colon, so the second colon ends it, and no two pairs of tenant and key make the same one.
//!
//! Nothing here is a promise: a value may be gone before its time. With Redis, an operation takes at most the configured
//! timeout; after a failure none is tried for a moment, so that a Redis that is down slows nobody.

mod memory;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::config;
use crate::domain::clock::Clock;
use crate::metrics::{CacheOutcome, metrics};
use crate::tenant::{Scope, TenantId};
use memory::Memory;
use redis::Redis;

pub use redis::RedisError;

/// The longest key, in bytes; the largest value, in bytes of JSON; the longest list.
pub const MAX_KEY: usize = 512;
pub const MAX_VALUE: usize = 1024 * 1024;
pub const MAX_LIST: usize = 10_000;

/// What every key begins with.
const PREFIX: &str = "user:";

/// All tenants' caches.
pub struct TenantCache {
    backing: Backing,
    ttl: Duration,
}

enum Backing {
    Memory(Memory),
    Redis(Box<Redis>),
}

/// One tenant's cache.
#[derive(Clone, Copy)]
pub struct Scoped<'a> {
    cache: &'a TenantCache,
    scope: &'a Scope,
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    #[error("must have 1 to {MAX_KEY} bytes")]
    Key,
    #[error("must have at most {MAX_VALUE} bytes as JSON")]
    TooLarge,
    #[error("the list has {MAX_LIST} items, and may have no more")]
    ListFull,
    /// A counter or a list was asked for where something else is.
    #[error("the key holds a value of another kind")]
    Kind,
    /// What was asked for has more bytes than the caller has room for.
    #[error("the values are too many or too large for one answer")]
    NoRoom,
    #[error("the cache cannot be reached")]
    Unavailable,
}

pub type Result<T, E = CacheError> = std::result::Result<T, E>;

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

    /// Keys that look like a tenant's and belong to none that could be. None in this process, where nobody else writes.
    pub async fn strangers(&self) -> Result<Vec<String>> {
        let Backing::Redis(redis) = &self.backing else { return Ok(Vec::new()) };
        let keys = redis.keys(PREFIX).await?;
        let is_tenant_s = |key: &String| {
            let rest = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':'));
            rest.is_some_and(|(tenant, key)| TenantId::parse(tenant).is_ok() && !key.is_empty())
        };
        Ok(keys.into_iter().filter(|key| !is_tenant_s(key)).collect())
    }

    /// The one door: the scope's tenant's cache.
    pub fn scope<'a>(&'a self, scope: &'a Scope) -> Scoped<'a> {
        Scoped { cache: self, scope }
    }
}

// === impl Scoped ===

impl Scoped<'_> {
    /// Sets a value, for `ttl` or the default time.
    pub async fn set(&self, key: &str, value: &Value, ttl: Option<Duration>) -> Result<()> {
        let (key, bytes) = (self.key(key)?, bytes(value)?);
        let ttl = ttl.unwrap_or(self.cache.ttl);
        match &self.cache.backing {
            Backing::Memory(memory) => {
                memory.set(key, bytes, ttl);
                Ok(())
            }
            Backing::Redis(redis) => redis.set(vec![(key, bytes)], ttl).await,
        }
    }

    /// The value, or None. A list has no value; a counter's is its number.
    pub async fn get(&self, key: &str) -> Result<Option<Value>> {
        Ok(self.get_many(&[key], usize::MAX).await?.pop().flatten())
    }

    /// Whether there was something to delete.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        let key = self.key(key)?;
        match &self.cache.backing {
            Backing::Memory(memory) => Ok(memory.delete(&key)),
            Backing::Redis(redis) => Ok(redis.delete(vec![key]).await? > 0),
        }
    }

    /// Deletes everything that the tenant has; how many keys that were.
    pub async fn delete_all(&self) -> Result<u64> {
        match &self.cache.backing {
            Backing::Memory(memory) => Ok(memory.delete_all(&self.prefix())),
            Backing::Redis(redis) => redis.delete_all(&self.prefix()).await,
        }
    }

    pub async fn exists(&self, key: &str) -> Result<bool> {
        let key = self.key(key)?;
        match &self.cache.backing {
            Backing::Memory(memory) => Ok(memory.exists(&key)),
            Backing::Redis(redis) => redis.exists(key).await,
        }
    }

    /// Adds to a counter, which begins at 0 and then lives for the default time; its new value. Refuses what is no 64-bit
    /// integer, or would no longer be one.
    pub async fn increment(&self, key: &str, by: i64) -> Result<i64> {
        let key = self.key(key)?;
        match &self.cache.backing {
            Backing::Memory(memory) => memory.increment(key, by, self.cache.ttl),
            Backing::Redis(redis) => redis.increment(key, by, self.cache.ttl).await,
        }
    }

    /// Appends to a list, which begins empty and then lives for the default time; its new length.
    pub async fn push(&self, key: &str, value: &Value) -> Result<usize> {
        let (key, bytes) = (self.key(key)?, bytes(value)?);
        match &self.cache.backing {
            Backing::Memory(memory) => memory.push(key, bytes, self.cache.ttl),
            Backing::Redis(redis) => redis.push(key, bytes, self.cache.ttl).await,
        }
    }

    /// The list's items from a place on, at most `most` of them and `room` bytes, in order; none if there is no list.
    pub async fn list(&self, key: &str, from: usize, most: usize, room: usize) -> Result<Vec<Value>> {
        let key = self.key(key)?;
        let items = match &self.cache.backing {
            Backing::Memory(memory) => memory.list(&key, from, most, room)?,
            Backing::Redis(redis) => redis.list(key, from, most, room).await?,
        };
        Ok(items.iter().map(|bytes| value(bytes)).collect())
    }

    /// Sets values, for `ttl` or the default time.
    pub async fn set_many(&self, pairs: &[(&str, Value)], ttl: Option<Duration>) -> Result<()> {
        let pairs = pairs.iter().map(|(key, value)| Ok((self.key(key)?, bytes(value)?))).collect::<Result<Vec<_>>>()?;
        let ttl = ttl.unwrap_or(self.cache.ttl);
        match &self.cache.backing {
            Backing::Memory(memory) => {
                pairs.into_iter().for_each(|(key, bytes)| memory.set(key, bytes, ttl));
                Ok(())
            }
            Backing::Redis(redis) => redis.set(pairs, ttl).await,
        }
    }

    /// The values, of at most `room` bytes together, in the order of the keys.
    pub async fn get_many(&self, keys: &[&str], room: usize) -> Result<Vec<Option<Value>>> {
        let keys = keys.iter().map(|key| self.key(key)).collect::<Result<Vec<_>>>()?;
        let found = match &self.cache.backing {
            Backing::Memory(memory) => {
                let mut left = room;
                let take = |key: &String| take(&mut left, memory.get(key));
                keys.iter().map(take).collect::<Result<_>>()?
            }
            Backing::Redis(redis) => redis.get(keys, room).await?,
        };
        let hits = found.iter().flatten().count();
        metrics().cache(CacheOutcome::Hit, hits);
        metrics().cache(CacheOutcome::Miss, found.len() - hits);
        Ok(found.into_iter().map(|bytes| bytes.map(|bytes| value(&bytes))).collect())
    }

    /// The tenant's keys, in alphabetical order.
    pub async fn keys(&self) -> Result<Vec<String>> {
        let prefix = self.prefix();
        let mut keys = match &self.cache.backing {
            Backing::Memory(memory) => memory.keys(&prefix),
            Backing::Redis(redis) => redis.keys(&prefix).await?,
        };
        keys.sort_unstable();
        Ok(keys.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    fn key(&self, key: &str) -> Result<String> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(CacheError::Key);
        }
        Ok(self.prefix() + key)
    }

    fn prefix(&self) -> String {
        prefix(self.scope.tenant())
    }
}

/// What all keys of the tenant begin with, and no other's.
fn prefix(tenant: &TenantId) -> String {
    format!("{PREFIX}{tenant}:")
}

/// The value, if there is room for it.
fn take(left: &mut usize, value: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    let size = value.as_ref().map_or(0, Vec::len);
    *left = left.checked_sub(size).ok_or(CacheError::NoRoom)?;
    Ok(value)
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    let bytes = value.to_string().into_bytes();
    if bytes.len() > MAX_VALUE { Err(CacheError::TooLarge) } else { Ok(bytes) }
}

/// What is stored, as JSON; a text that somebody else stored plainly, as that text.
fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::testing::Numbers;

    #[test]
    fn a_million_pairs_of_tenant_and_key_make_no_two_keys_alike() {
        // Short ones of few characters, so that pairs that could be mistaken for each other meet.
        let tenants: Vec<char> = "aA0_-.@|+".chars().collect();
        let keys: Vec<char> = "aA0:*?[]{}\\/.\0é用".chars().collect();
        let mut numbers = Numbers::new(1);
        let mut made = HashMap::new();
        while made.len() < 1_000_000 {
            let Ok(tenant) = TenantId::parse(&numbers.text(&tenants, 4)) else { continue };
            let key = numbers.text(&keys, 6);
            let stored = prefix(&tenant) + &key;
            if let Some(before) = made.insert(stored, (tenant.clone(), key.clone())) {
                assert_eq!(before, (tenant, key), "two pairs under one key");
            }
        }
    }
}
