//! The cache in this process.
//!
//! Bounded in bytes over all tenants. When it is full, the tenant that holds the most loses what it wrote first, so that
//! a tenant that fills the cache pushes out its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{CacheError, MAX_LIST, Result};
use crate::domain::clock::{Clock, Timestamp};

pub(super) struct Memory {
    clock: Arc<dyn Clock>,
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the prefix that all keys of a tenant begin with.
    tenants: HashMap<String, Tenant>,
    bytes: usize,
    written: u64,
}

#[derive(Default)]
struct Tenant {
    entries: HashMap<String, Entry>,
    /// Keys in the order in which they were written.
    order: BTreeMap<u64, String>,
    bytes: usize,
}

struct Entry {
    data: Data,
    end: Timestamp,
    written: u64,
    bytes: usize,
}

enum Data {
    Value(Vec<u8>),
    List(Vec<Vec<u8>>),
}

/// About what an entry takes beside its key, twice, and its data.
const OVERHEAD: usize = 160;

// === impl Memory ===

impl Memory {
    pub(super) fn new(clock: Arc<dyn Clock>, most: usize) -> Self {
        Self { clock, most, state: Mutex::default() }
    }

    pub(super) fn set(&self, key: String, bytes: Vec<u8>, ttl: Duration) {
        let end = self.end(ttl);
        self.state().put(key, Data::Value(bytes), end, self.most);
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.state().find(key, self.clock.now())? {
            Entry { data: Data::Value(bytes), .. } => Some(bytes.clone()),
            Entry { data: Data::List(_), .. } => None,
        }
    }

    pub(super) fn exists(&self, key: &str) -> bool {
        self.state().find(key, self.clock.now()).is_some()
    }

    pub(super) fn delete(&self, key: &str) -> bool {
        let mut state = self.state();
        let there = state.find(key, self.clock.now()).is_some();
        state.remove(key);
        there
    }

    pub(super) fn delete_all(&self, prefix: &str) -> u64 {
        let now = self.clock.now();
        let mut state = self.state();
        let Some(tenant) = state.tenants.remove(prefix) else { return 0 };
        state.bytes -= tenant.bytes;
        tenant.entries.values().filter(|entry| entry.end > now).count() as u64
    }

    pub(super) fn increment(&self, key: String, by: i64, ttl: Duration) -> Result<i64> {
        let mut state = self.state();
        let (old, end) = match state.find(&key, self.clock.now()) {
            None => (0, self.end(ttl)),
            Some(Entry { data: Data::Value(bytes), end, .. }) => {
                let number = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<i64>().ok());
                (number.ok_or(CacheError::Kind)?, *end)
            }
            Some(_) => return Err(CacheError::Kind),
        };
        let new = old.checked_add(by).ok_or(CacheError::Kind)?;
        state.put(key, Data::Value(new.to_string().into_bytes()), end, self.most);
        Ok(new)
    }

    pub(super) fn push(&self, key: String, bytes: Vec<u8>, ttl: Duration) -> Result<usize> {
        let mut state = self.state();
        match state.find(&key, self.clock.now()) {
            None => {
                let end = self.end(ttl);
                state.put(key, Data::List(vec![bytes]), end, self.most);
                Ok(1)
            }
            Some(Entry { data: Data::List(list), .. }) if list.len() >= MAX_LIST => Err(CacheError::ListFull),
            Some(Entry { data: Data::List(list), bytes: size, .. }) => {
                let more = item_size(&bytes);
                list.push(bytes);
                *size += more;
                let length = list.len();
                state.grow(&key, more, self.most);
                Ok(length)
            }
            Some(_) => Err(CacheError::Kind),
        }
    }

    pub(super) fn list(&self, key: &str, from: usize, most: usize, room: usize) -> Result<Vec<Vec<u8>>> {
        match self.state().find(key, self.clock.now()) {
            None => Ok(Vec::new()),
            Some(Entry { data: Data::List(list), .. }) => {
                let items = list.iter().skip(from).take(most);
                if items.clone().map(Vec::len).sum::<usize>() > room {
                    Err(CacheError::NoRoom)
                } else {
                    Ok(items.cloned().collect())
                }
            }
            Some(_) => Err(CacheError::Kind),
        }
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        let now = self.clock.now();
        let state = self.state();
        let entries = state.tenants.get(prefix).into_iter().flat_map(|tenant| &tenant.entries);
        entries.filter(|(_, entry)| entry.end > now).map(|(key, _)| key.clone()).collect()
    }

    fn end(&self, ttl: Duration) -> Timestamp {
        let micros = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.clock.now().0.saturating_add(micros))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// The entry, if it has not ended.
    fn find(&mut self, key: &str, now: Timestamp) -> Option<&mut Entry> {
        let entry = self.tenants.get_mut(prefix(key))?.entries.get_mut(key)?;
        (entry.end > now).then_some(entry)
    }

    fn put(&mut self, key: String, data: Data, end: Timestamp, most: usize) {
        self.remove(&key);
        let size = match &data {
            Data::Value(bytes) => bytes.len(),
            Data::List(list) => list.iter().map(|item| item_size(item)).sum(),
        };
        let bytes = OVERHEAD + 2 * key.len() + size;
        self.written += 1;
        self.bytes += bytes;
        let tenant = self.tenants.entry(prefix(&key).to_owned()).or_default();
        tenant.bytes += bytes;
        tenant.order.insert(self.written, key.clone());
        tenant.entries.insert(key, Entry { data, end, written: self.written, bytes });
        while self.bytes > most && self.evict() {}
    }

    /// Counts what an entry has become larger by.
    fn grow(&mut self, key: &str, more: usize, most: usize) {
        self.bytes += more;
        if let Some(tenant) = self.tenants.get_mut(prefix(key)) {
            tenant.bytes += more;
        }
        while self.bytes > most && self.evict() {}
    }

    fn remove(&mut self, key: &str) {
        let prefix = prefix(key);
        let Some(tenant) = self.tenants.get_mut(prefix) else { return };
        if let Some(entry) = tenant.entries.remove(key) {
            tenant.order.remove(&entry.written);
            tenant.bytes -= entry.bytes;
            self.bytes -= entry.bytes;
        }
        if tenant.entries.is_empty() {
            self.tenants.remove(prefix);
        }
    }

    /// Drops the oldest entry of the tenant that holds the most; false if there is none.
    fn evict(&mut self) -> bool {
        let largest = self.tenants.values().max_by_key(|tenant| tenant.bytes);
        let oldest = largest.and_then(|tenant| tenant.order.values().next()).cloned();
        oldest.inspect(|key| self.remove(key)).is_some()
    }
}

/// About what an item of a list takes.
fn item_size(item: &[u8]) -> usize {
    item.len() + OVERHEAD / 4
}

/// `user:{tenant}:`, the part that all keys of a tenant begin with.
fn prefix(key: &str) -> &str {
    let end = key.match_indices(':').nth(1).map_or(key.len(), |(at, _)| at + 1);
    &key[..end]
}
