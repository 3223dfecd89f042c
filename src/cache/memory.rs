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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::testing::Numbers;

    /// Stands still unless it is set.
    #[derive(Default)]
    struct Hands(AtomicI64);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::SeqCst))
        }
    }

    const MOST: usize = 6_000;

    fn memory(most: usize) -> (Memory, Arc<Hands>) {
        let clock = Arc::<Hands>::default();
        (Memory::new(clock.clone(), most), clock)
    }

    /// What the entries take, counted from nothing.
    fn counted(tenant: &Tenant) -> usize {
        let size = |data: &Data| match data {
            Data::Value(bytes) => bytes.len(),
            Data::List(items) => items.iter().map(|item| item.len() + 40).sum(),
        };
        tenant.entries.iter().map(|(key, entry)| 160 + 2 * key.len() + size(&entry.data)).sum()
    }

    #[test]
    fn what_is_counted_is_what_is_kept_and_never_more_than_may_be() {
        let mut numbers = Numbers::new(1);
        let (memory, clock) = memory(MOST);
        let mut evicted = 0;
        for step in 0..20_000 {
            let tenant = ["user:a:", "user:b:", "user:c:"][numbers.below(3)];
            let key = format!("{tenant}{}", "k".repeat(1 + numbers.below(12)));
            let bytes = vec![b'1'; numbers.below(300)];
            let ttl = Duration::from_micros(1 + numbers.below(50) as u64);
            let before = memory.state().written;
            match numbers.below(20) {
                0 => drop(memory.delete_all(tenant)),
                1..4 => drop(memory.delete(&key)),
                4..9 => drop(memory.push(key, bytes, ttl)),
                9 => drop(memory.increment(key, 7, ttl)),
                _ => memory.set(key, bytes, ttl),
            }
            clock.0.fetch_add(1, Ordering::SeqCst);
            let state = memory.state();
            for tenant in state.tenants.values() {
                assert_eq!(tenant.bytes, counted(tenant), "after step {step}");
                assert_eq!(tenant.order.len(), tenant.entries.len());
                assert!(!tenant.entries.is_empty());
            }
            assert_eq!(state.bytes, state.tenants.values().map(|tenant| tenant.bytes).sum::<usize>());
            assert!(state.bytes <= MOST, "{} bytes after step {step}", state.bytes);
            evicted += usize::from(state.written > before && state.bytes > MOST - 500);
        }
        assert!(evicted > 1_000, "{evicted} writes of 20,000 into a full cache");
    }

    #[test]
    fn what_fits_exactly_stays() {
        let size = 160 + 2 * "user:a:k1".len() + 10;
        let (memory, _) = memory(2 * size);
        memory.set("user:a:k1".to_owned(), vec![b'x'; 10], Duration::MAX);
        memory.set("user:a:k2".to_owned(), vec![b'x'; 10], Duration::MAX);
        assert!(memory.exists("user:a:k1") && memory.exists("user:a:k2"));
        memory.set("user:a:k3".to_owned(), vec![b'x'; 10], Duration::MAX);
        assert_eq!(memory.keys("user:a:").len(), 2);
        assert!(!memory.exists("user:a:k1"));

        let (memory, _) = self::memory(160 + 2 * "user:a:k1".len() + 2 * (10 + 40));
        for length in 1..=2 {
            assert_eq!(memory.push("user:a:k1".to_owned(), vec![b'x'; 10], Duration::MAX), Ok(length));
        }
        assert_eq!(memory.list("user:a:k1", 0, 10, 20), Ok(vec![vec![b'x'; 10]; 2]));
        assert_eq!(memory.list("user:a:k1", 0, 10, 19), Err(CacheError::NoRoom));
    }

    #[test]
    fn an_entry_is_gone_at_its_end() {
        let (memory, clock) = memory(MOST);
        memory.set("user:a:k".to_owned(), b"1".to_vec(), Duration::from_micros(10));
        clock.0.store(9, Ordering::SeqCst);
        assert_eq!(memory.keys("user:a:"), ["user:a:k"]);
        assert!(memory.exists("user:a:k"));
        clock.0.store(10, Ordering::SeqCst);
        assert_eq!(memory.keys("user:a:"), Vec::<String>::new());
        assert!(!memory.exists("user:a:k"));
        assert_eq!(memory.delete_all("user:a:"), 0);
    }
}
