//! The index of each tenant's keys: a sorted set whose members all have the score 0, so that they lie in the order of their
//! bytes and a page of them is a range.
//!
//! It is a copy and may be behind. A key is listed before it is written, so that what Herald wrote is in its index; what has
//! come to its end stays listed until a page or a sweep passes over it; and what others wrote is listed by the next sweep. An
//! index that somebody removes, or that Redis evicts, is made again by the next sweep too.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fred::clients::{Client, Pipeline};
use fred::error::Error;
use fred::interfaces::{KeysInterface as _, SortedSetsInterface as _};

use super::super::error::Result;
use super::super::names::{INDEX, Names, PREFIX};
use super::{Redis, unless_refused};
use crate::domain::number::saturating_i64;
use crate::domain::paging::Page;

/// The entries of an index that are looked at in one step, and at least.
const STEP: usize = 1_000;
const LEAST: usize = 100;
/// The entries without a key that a page passes over.
const PASSED: usize = 1_000;
/// The time after which a sweep that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

// === impl Redis ===

impl Redis {
    /// Lists keys as the first command of a pipeline that writes them; how many answers come before the others'. A single server
    /// keeps the pipeline's order; in a cluster the index is on another, whose answer is awaited.
    pub(super) async fn list_first(
        &self,
        pipeline: &Pipeline<Client>,
        names: &Names,
        keys: Vec<String>,
    ) -> Result<usize, Error> {
        let entries = scored(keys);
        if self.is_cluster {
            let () = self.client.zadd(&names.index, None, None, false, false, entries).await?;
            Ok(0)
        } else {
            let () = pipeline.zadd(&names.index, None, None, false, false, entries).await?;
            Ok(1)
        }
    }

    /// The keys that begin with the prefix, in order, and behind `after`. May be fewer than `size` though there are more.
    pub(in crate::cache) async fn keys_page(
        &self,
        names: &Names,
        prefix: &str,
        after: Option<&str>,
        size: usize,
    ) -> Result<Page<String, String>> {
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        let mut last = after.filter(|after| *after >= prefix).map(str::to_owned);
        let next = loop {
            let max = (size + 1).saturating_sub(rows.len()).clamp(LEAST, STEP);
            let (entries, is_end) = self.guard(self.entries(names, prefix, last.as_deref(), max)).await?;
            let there = self.guard(self.are_there(names, &entries)).await?;
            last = entries.last().cloned().or(last);
            for (key, is_there) in entries.into_iter().zip(there) {
                if is_there { rows.push(key) } else { gone.push(key) }
            }
            if rows.len() > size {
                rows.truncate(size);
                break rows.last().cloned();
            }
            if is_end {
                break None;
            }
            if gone.len() >= PASSED {
                break last;
            }
        };
        // The page is right whatever comes of this.
        let _ = self.guard(self.forget(names, gone)).await;
        Ok(Page { rows, next })
    }

    /// The next entries that begin with the prefix, and whether they are the last.
    async fn entries(
        &self,
        names: &Names,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<(Vec<String>, bool), Error> {
        // The client takes a bound that begins with a bracket as it is, whatever the key begins with.
        let from = after.map_or_else(|| format!("[{prefix}"), |after| format!("({after}"));
        let limit = Some((0, saturating_i64(max)));
        let found: Vec<Bytes> = self.client.zrangebylex(&names.index, from, "+", limit).await?;
        let is_end = found.len() < max;
        let entries = found.into_iter().map_while(|entry| String::from_utf8(entry.into()).ok());
        let entries: Vec<_> = entries.take_while(|key| key.starts_with(prefix)).collect();
        let is_end = is_end || entries.len() < max;
        Ok((entries, is_end))
    }

    async fn are_there(&self, names: &Names, keys: &[String]) -> Result<Vec<bool>, Error> {
        if !self.is_cluster && !keys.is_empty() {
            // Mostly all are, and one command with all of them tells; in a cluster it cannot.
            let count: usize = self.client.exists(keys.iter().map(|key| names.key(key)).collect::<Vec<_>>()).await?;
            if count == keys.len() || count == 0 {
                return Ok(vec![count > 0; keys.len()]);
            }
        }
        let pipeline = self.client.pipeline();
        for key in keys {
            let () = pipeline.exists(names.key(key)).await?;
        }
        pipeline.all().await
    }

    /// Takes out of the index what was found to be gone.
    ///
    /// Meanwhile somebody may write such a key. So each is looked for once more after it was taken out, and listed again if it is
    /// there. A writer who listed it before it was taken out, and writes it after that look, leaves a key that is not listed,
    /// until the next sweep, which lists every key that there is.
    async fn forget(&self, names: &Names, keys: Vec<String>) -> Result<(), Error> {
        for keys in keys.chunks(STEP) {
            let () = self.client.zrem(&names.index, keys.to_vec()).await?;
            let there = self.are_there(names, keys).await?;
            let back: Vec<_> =
                keys.iter().zip(there).filter(|(_, is_there)| *is_there).map(|(key, _)| key.clone()).collect();
            if !back.is_empty() {
                let () = self.client.zadd(&names.index, None, None, false, false, scored(back)).await?;
            }
        }
        Ok(())
    }

    /// Lists all keys that there are, and takes out all entries that have none, every so often, and sooner after a failure. The
    /// two go on beside each other: many entries without a key must not keep others' keys from being listed in time.
    ///
    /// Nobody waits for a sweep, so one that Redis does not answer neither keeps calls from trying nor tells the log: the calls
    /// do.
    pub(in crate::cache) async fn sweep_forever(&self, every: Duration) {
        let pause = |done: Result<(), Error>| tokio::time::sleep(if done.is_ok() { every } else { every.min(AGAIN) });
        let listing = async {
            loop {
                pause(self.list_all().await).await;
            }
        };
        let forgetting = async {
            loop {
                pause(self.forget_all().await).await;
            }
        };
        tokio::join!(listing, forgetting);
    }

    async fn list_all(&self) -> Result<(), Error> {
        let mut walk = self.walk(PREFIX)?;
        loop {
            let begun = Instant::now();
            let Some(keys) = self.step(&mut walk).await? else { return Ok(()) };
            let mut found: HashMap<String, Vec<String>> = HashMap::new();
            for (names, key) in keys.iter().filter_map(|key| Names::split(key)) {
                found.entry(names.index).or_default().push(key.to_owned());
            }
            let pipeline = self.client.pipeline();
            for (index, keys) in found {
                let () = pipeline.zadd(index, None, None, false, false, scored(keys)).await?;
            }
            // One index that somebody put something else in place of, or that is refused, must not end the sweep for all.
            for listed in pipeline.try_all::<u64>().await {
                unless_refused(listed)?;
            }
            rest(begun).await;
        }
    }

    async fn forget_all(&self) -> Result<(), Error> {
        let mut walk = self.walk(INDEX)?;
        while let Some(indexes) = self.step(&mut walk).await? {
            for names in indexes.iter().filter_map(|index| Names::of_index(index)) {
                let (mut after, mut is_end) = (None, false);
                while !is_end {
                    let begun = Instant::now();
                    let found = unless_refused(self.forget_some(&names, after.as_deref()).await)?;
                    (after, is_end) = found.unwrap_or((None, true));
                    rest(begun).await;
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Takes the entries without a key out of the next step of an index; its last entry, and whether it was the last step.
    async fn forget_some(&self, names: &Names, after: Option<&str>) -> Result<(Option<String>, bool), Error> {
        let (entries, is_end) = self.entries(names, "", after, STEP).await?;
        let last = entries.last().cloned();
        let there = self.are_there(names, &entries).await?;
        let gone = entries.into_iter().zip(there).filter(|(_, is_there)| !is_there).map(|(key, _)| key);
        self.forget(names, gone.collect()).await?;
        Ok((last, is_end))
    }
}

/// Members of an index.
fn scored(keys: Vec<String>) -> Vec<(f64, String)> {
    keys.into_iter().map(|key| (0.0, key)).collect()
}

/// Leaves Redis to others for as long as it was just used.
async fn rest(begun: Instant) {
    tokio::time::sleep(begun.elapsed()).await;
}
