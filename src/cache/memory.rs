//! The cache in this process.
//!
//! Bounded in bytes over all tenants. When it is full, the tenant that holds the most loses what it wrote first, so that
//! a tenant that fills the cache pushes out its own.
//!
//! All tenants share one lock, so nothing long happens under it: bytes are shared and not copied, a page of keys is a range of an
//! ordered map, much is evicted in several turns, and what is taken out is freed after the lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::error::{CacheError, MAX_LIST, Result};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::number::saturating_i64;
use crate::domain::paging::Page;

pub(super) struct Memory {
    clock: Arc<dyn Clock>,
    max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tenants: HashMap<Arc<str>, Tenant>,
    /// The tenants by what they hold, so that the one that holds the most is found at once.
    by_size: BTreeSet<(usize, Arc<str>)>,
    bytes: usize,
    written: u64,
}

struct Tenant {
    name: Arc<str>,
    entries: BTreeMap<Arc<str>, Entry>,
    /// Keys in the order in which they were written.
    order: BTreeMap<u64, Arc<str>>,
    bytes: usize,
}

struct Entry {
    data: Data,
    end: Timestamp,
    written: u64,
    bytes: usize,
}

enum Data {
    Value(Bytes),
    List(Vec<Bytes>),
}

/// A page of keys, which are shared and not copied.
type Keys = Page<Arc<str>, Arc<str>>;

/// What a tenant takes beside its entries; an entry beside its key and its data; and an item of a list beside its bytes: about, as
/// measured with 20,000 tenants, 250,000 entries and 100,000 items.
const TENANT: usize = 1_024;
const ENTRY: usize = 256;
const ITEM: usize = 64;
/// The most entries that are evicted, and the most ended ones that a page of keys passes over, while everybody waits.
const EVICTED: usize = 64;
const PASSED: usize = 1_000;
/// The digits of the longest counter, with its sign.
const DIGITS: usize = 20;

// === impl Memory ===

impl Memory {
    pub(super) fn new(clock: Arc<dyn Clock>, max: usize) -> Self {
        Self { clock, max, state: Mutex::default() }
    }

    pub(super) fn set(&self, tenant: &str, key: &str, bytes: Bytes, ttl: Duration) {
        self.put(tenant, key, Data::Value(bytes), self.end(ttl));
    }

    /// The values in the order of the keys; None for what is not there or is a list. Refuses what has more than `room` bytes.
    pub(super) fn get(&self, tenant: &str, keys: &[&str], room: usize) -> Result<Vec<Option<Bytes>>> {
        let (now, mut left) = (self.clock.now(), room);
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let value = match self.state().find(tenant, key, now) {
                Some(Entry { data: Data::Value(bytes), .. }) => Some(bytes.clone()),
                _ => None,
            };
            left = left.checked_sub(value.as_ref().map_or(0, Bytes::len)).ok_or(CacheError::NoRoom)?;
            found.push(value);
        }
        Ok(found)
    }

    pub(super) fn exists(&self, tenant: &str, key: &str) -> bool {
        self.state().find(tenant, key, self.clock.now()).is_some()
    }

    pub(super) fn delete(&self, tenant: &str, key: &str) -> bool {
        let now = self.clock.now();
        let entry = self.state().remove(tenant, key);
        entry.is_some_and(|entry| entry.end > now)
    }

    pub(super) fn delete_all(&self, tenant: &str) -> u64 {
        let now = self.clock.now();
        let tenant = self.state().remove_tenant(tenant);
        tenant.map_or(0, |tenant| tenant.entries.values().filter(|entry| entry.end > now).count() as u64)
    }

    pub(super) fn increment(&self, tenant: &str, key: &str, by: i64, ttl: Duration) -> Result<i64> {
        let (new, _old) = {
            let mut state = self.state();
            let (old, end) = match state.find(tenant, key, self.clock.now()) {
                None => (0, self.end(ttl)),
                Some(Entry { data: Data::Value(bytes), end, .. }) => (number(bytes).ok_or(CacheError::Kind)?, *end),
                Some(_) => return Err(CacheError::Kind),
            };
            let new = old.checked_add(by).ok_or(CacheError::Kind)?;
            (new, state.put(tenant, key, Data::Value(new.to_string().into()), end))
        };
        self.make_room();
        Ok(new)
    }

    pub(super) fn push(&self, tenant: &str, key: &str, bytes: Bytes, ttl: Duration) -> Result<usize> {
        let (length, _old) = {
            let mut state = self.state();
            match state.find(tenant, key, self.clock.now()) {
                None => (1, state.put(tenant, key, Data::List(vec![bytes]), self.end(ttl))),
                Some(Entry { data: Data::List(list), .. }) if list.len() >= MAX_LIST => {
                    return Err(CacheError::ListFull);
                }
                Some(Entry { data: Data::List(list), bytes: size, .. }) => {
                    let more = ITEM + bytes.len();
                    list.push(bytes);
                    *size += more;
                    let length = list.len();
                    state.resize(tenant, |bytes| bytes + more);
                    (length, None)
                }
                Some(_) => return Err(CacheError::Kind),
            }
        };
        self.make_room();
        Ok(length)
    }

    /// The list's items from a place on, at most `max` of them, and at most `room` bytes but for the first, which is refused
    /// if it has more.
    pub(super) fn list(
        &self,
        tenant: &str,
        key: &str,
        from: usize,
        max: usize,
        room: usize,
    ) -> Result<Page<Bytes, usize>> {
        let mut state = self.state();
        let list = match state.find(tenant, key, self.clock.now()) {
            None => return Ok(Page { rows: Vec::new(), next: None }),
            Some(Entry { data: Data::List(list), .. }) => list,
            Some(_) => return Err(CacheError::Kind),
        };
        let (mut rows, mut left) = (Vec::new(), room);
        for item in list.iter().skip(from).take(max) {
            match left.checked_sub(item.len()) {
                Some(rest) => left = rest,
                None if rows.is_empty() => return Err(CacheError::NoRoom),
                None => break,
            }
            rows.push(item.clone());
        }
        let end = from.saturating_add(rows.len());
        Ok(Page { rows, next: (end < list.len()).then_some(end) })
    }

    /// The keys that begin with the prefix, in order, and behind `after`. May be fewer than `size` though there are more.
    pub(super) fn keys(&self, tenant: &str, prefix: &str, after: Option<&str>, size: usize) -> Keys {
        let now = self.clock.now();
        let (page, _ended) = {
            let mut state = self.state();
            let (page, ended) = state.page(tenant, prefix, after, size, now);
            let ended: Vec<_> = ended.iter().map(|key| state.remove(tenant, key)).collect();
            (page, ended)
        };
        page
    }

    fn put(&self, tenant: &str, key: &str, data: Data, end: Timestamp) {
        let _old = self.state().put(tenant, key, data, end);
        self.make_room();
    }

    /// Drops the oldest of whoever holds the most until it fits, in turns that are short. Until it has, there is more than may
    /// be by what is being written at this moment.
    fn make_room(&self) {
        loop {
            let evicted = self.state().evict(self.max);
            if evicted.is_empty() {
                return;
            }
        }
    }

    fn end(&self, ttl: Duration) -> Timestamp {
        let micros = saturating_i64(ttl.as_micros());
        Timestamp(self.clock.now().0.saturating_add(micros))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counter's number.
fn number(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.get(..bytes.len().min(DIGITS + 1))?;
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|_| digits.len() == bytes.len())
}

// === impl State ===

impl State {
    /// The entry, if it has not ended.
    fn find(&mut self, tenant: &str, key: &str, now: Timestamp) -> Option<&mut Entry> {
        let entry = self.tenants.get_mut(tenant)?.entries.get_mut(key)?;
        (entry.end > now).then_some(entry)
    }

    /// What was there before is given back, to be freed when nobody waits for it.
    #[must_use]
    fn put(&mut self, tenant: &str, key: &str, data: Data, end: Timestamp) -> Option<Entry> {
        let old = self.take(tenant, key);
        let size = match &data {
            Data::Value(bytes) => bytes.len(),
            Data::List(list) => list.iter().map(|item| ITEM + item.len()).sum(),
        };
        let (bytes, key) = (ENTRY + key.len() + size, Arc::<str>::from(key));
        self.written += 1;
        let written = self.written;
        let holder = self.tenant(tenant);
        holder.order.insert(written, key.clone());
        holder.entries.insert(key, Entry { data, end, written, bytes });
        self.resize(tenant, |before| before + bytes);
        old
    }

    /// Takes an entry out, and the tenant with its last.
    #[must_use]
    fn remove(&mut self, tenant: &str, key: &str) -> Option<Entry> {
        let entry = self.take(tenant, key)?;
        if self.tenants.get(tenant).is_some_and(|tenant| tenant.entries.is_empty()) {
            let _empty = self.remove_tenant(tenant);
        }
        Some(entry)
    }

    fn take(&mut self, tenant: &str, key: &str) -> Option<Entry> {
        let holder = self.tenants.get_mut(tenant)?;
        let entry = holder.entries.remove(key)?;
        holder.order.remove(&entry.written);
        self.resize(tenant, |before| before - entry.bytes);
        Some(entry)
    }

    fn remove_tenant(&mut self, tenant: &str) -> Option<Tenant> {
        let tenant = self.tenants.remove(tenant)?;
        self.by_size.remove(&(tenant.bytes, tenant.name.clone()));
        self.bytes -= tenant.bytes;
        Some(tenant)
    }

    fn tenant(&mut self, name: &str) -> &mut Tenant {
        if !self.tenants.contains_key(name) {
            self.by_size.insert((TENANT, name.into()));
            self.bytes += TENANT;
        }
        self.tenants.entry(name.into()).or_insert_with_key(|name| Tenant {
            name: name.clone(),
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            bytes: TENANT,
        })
    }

    /// Counts what a tenant holds from now on.
    fn resize(&mut self, tenant: &str, change: impl FnOnce(usize) -> usize) {
        let Some(tenant) = self.tenants.get_mut(tenant) else { return };
        self.by_size.remove(&(tenant.bytes, tenant.name.clone()));
        self.bytes -= tenant.bytes;
        tenant.bytes = change(tenant.bytes);
        self.bytes += tenant.bytes;
        self.by_size.insert((tenant.bytes, tenant.name.clone()));
    }

    /// A page of keys, and those on the way that have ended.
    fn page(
        &self,
        tenant: &str,
        prefix: &str,
        after: Option<&str>,
        size: usize,
        now: Timestamp,
    ) -> (Keys, Vec<Arc<str>>) {
        let (mut rows, mut ended) = (Vec::<Arc<str>>::new(), Vec::<Arc<str>>::new());
        let from = after.filter(|after| *after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
        let entries = self.tenants.get(tenant).map(|tenant| tenant.entries.range::<str, _>((from, Bound::Unbounded)));
        let mut last = None;
        for (key, entry) in entries.into_iter().flatten().take_while(|(key, _)| key.starts_with(prefix)) {
            let is_there = entry.end > now;
            if (is_there && rows.len() == size) || ended.len() == PASSED {
                return (Page { rows, next: last }, ended);
            }
            if is_there {
                rows.push(key.clone())
            } else {
                ended.push(key.clone())
            }
            last = Some(key.clone());
        }
        (Page { rows, next: None }, ended)
    }

    /// Takes some of the oldest out of whoever holds the most, if there is more than may be.
    #[must_use]
    fn evict(&mut self, max: usize) -> Vec<Entry> {
        let mut evicted = Vec::new();
        while self.bytes > max && evicted.len() < EVICTED {
            let largest = self.by_size.last().and_then(|(_, name)| self.tenants.get(name));
            let oldest = largest.and_then(|tenant| Some((tenant.name.clone(), tenant.order.values().next()?.clone())));
            let Some((tenant, key)) = oldest else { break };
            evicted.extend(self.remove(&tenant, &key));
        }
        evicted
    }
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

    const MAX: usize = 10_000;

    fn memory(max: usize) -> (Memory, Arc<Hands>) {
        let clock = Arc::<Hands>::default();
        (Memory::new(clock.clone(), max), clock)
    }

    fn keys(memory: &Memory) -> Vec<String> {
        memory.keys("a", "", None, usize::MAX).rows.iter().map(|key| key.to_string()).collect()
    }

    /// What the entries take, counted from nothing.
    fn counted(tenant: &Tenant) -> usize {
        let size = |data: &Data| match data {
            Data::Value(bytes) => bytes.len(),
            Data::List(items) => items.iter().map(|item| item.len() + 64).sum(),
        };
        1_024 + tenant.entries.iter().map(|(key, entry)| 256 + key.len() + size(&entry.data)).sum::<usize>()
    }

    #[test]
    fn what_is_counted_is_what_is_kept_and_never_more_than_may_be() {
        let mut numbers = Numbers::new(1);
        let (memory, clock) = memory(MAX);
        let mut evicted = 0;
        for step in 0..20_000 {
            let tenant = ["a", "b", "c"][numbers.below(3)];
            let key = "k".repeat(1 + numbers.below(12));
            let bytes = Bytes::from(vec![b'1'; numbers.below(600)]);
            let ttl = Duration::from_micros(1 + numbers.below(50) as u64);
            let before = memory.state().written;
            match numbers.below(20) {
                0 => drop(memory.delete_all(tenant)),
                1..4 => drop(memory.delete(tenant, &key)),
                4..8 => drop(memory.push(tenant, &key, bytes, ttl)),
                8 => drop(memory.keys(tenant, "kk", None, 3)),
                9 => drop(memory.increment(tenant, &key, 7, ttl)),
                _ => memory.set(tenant, &key, bytes, ttl),
            }
            clock.0.fetch_add(1, Ordering::SeqCst);
            let state = memory.state();
            for (name, tenant) in &state.tenants {
                assert_eq!(tenant.bytes, counted(tenant), "after step {step}");
                assert_eq!(tenant.order.len(), tenant.entries.len());
                assert!(!tenant.entries.is_empty());
                assert!(state.by_size.contains(&(tenant.bytes, name.clone())), "after step {step}");
            }
            assert_eq!(state.by_size.len(), state.tenants.len());
            assert_eq!(state.bytes, state.tenants.values().map(|tenant| tenant.bytes).sum::<usize>());
            assert!(state.bytes <= MAX, "{} bytes after step {step}", state.bytes);
            evicted += usize::from(state.written > before && state.bytes > MAX - 900);
        }
        assert!(evicted > 1_000, "{evicted} writes of 20,000 into a full cache");
    }

    #[test]
    fn what_fits_exactly_stays() {
        let value = || Bytes::from(vec![b'x'; 10]);
        let (memory, _) = memory(1_024 + 2 * (256 + "k1".len() + 10));
        memory.set("a", "k1", value(), Duration::MAX);
        memory.set("a", "k2", value(), Duration::MAX);
        assert_eq!(keys(&memory), ["k1", "k2"]);
        memory.set("a", "k3", value(), Duration::MAX);
        assert_eq!(keys(&memory), ["k2", "k3"]);

        let (memory, _) = self::memory(1_024 + 256 + "k1".len() + 2 * (10 + 64));
        for length in 1..=2 {
            assert_eq!(memory.push("a", "k1", value(), Duration::MAX), Ok(length));
        }
        let list = |from, max, room| memory.list("a", "k1", from, max, room).map(|page| (page.rows.len(), page.next));
        assert_eq!(
            (list(0, 10, 20), list(0, 10, 19), list(1, 10, 10)),
            (Ok((2, None)), Ok((1, Some(1))), Ok((1, None)))
        );
        assert_eq!((list(0, 1, 20), list(0, 10, 9)), (Ok((1, Some(1))), Err(CacheError::NoRoom)));
    }

    #[test]
    fn an_entry_is_gone_at_its_end() {
        let (memory, clock) = memory(MAX);
        memory.set("a", "k", Bytes::from("1"), Duration::from_micros(10));
        clock.0.store(9, Ordering::SeqCst);
        assert_eq!(keys(&memory), ["k"]);
        assert!(memory.exists("a", "k"));
        clock.0.store(10, Ordering::SeqCst);
        assert!(!memory.exists("a", "k"));
        assert_eq!(memory.delete_all("a"), 0);
        assert_eq!(keys(&memory), Vec::<String>::new());
    }

    #[test]
    fn a_page_passes_over_what_has_ended_within_a_bound_and_takes_it_out() {
        let (memory, clock) = memory(usize::MAX);
        for n in 0..2_500 {
            memory.set("a", &format!("k{n:04}"), Bytes::from("1"), Duration::from_micros(10));
        }
        memory.set("a", "k9", Bytes::from("1"), Duration::MAX);
        clock.0.store(10, Ordering::SeqCst);
        let (mut after, mut pages) = (None::<Arc<str>>, 0);
        loop {
            let page = memory.keys("a", "k", after.as_deref(), 5);
            pages += 1;
            after = page.next;
            if after.is_none() {
                assert_eq!(page.rows, ["k9".into()]);
                break;
            }
            assert!(page.rows.is_empty());
        }
        assert_eq!((pages, memory.state().tenants["a"].entries.len()), (3, 1));
    }

    #[test]
    fn a_counter_is_a_whole_number_and_nothing_else() {
        for (text, expected) in [("-7", Some(-7)), ("9223372036854775807", Some(i64::MAX)), ("1.5", None), ("", None)] {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(number("1".repeat(1_000_000).as_bytes()), None);
        assert_eq!(number(i64::MIN.to_string().as_bytes()), Some(i64::MIN));
    }
}
