//! The way through all keys of a server, or of each of a cluster's, step by step.

use std::collections::VecDeque;

use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClusterInterface as _, KeysInterface as _};
use fred::types::Key;
use fred::types::config::Server;

use super::super::error::Result;
use super::super::names::{Names, PREFIX};
use super::Redis;

/// How far a walk has come.
pub(super) struct Walk {
    prefix: String,
    /// The servers that are left, the one that is being walked first; None for the only one.
    servers: VecDeque<Option<Server>>,
    cursor: String,
}

/// The keys that the server looks at in one step.
const STEP: u32 = 1_000;
const START: &str = "0";

// === impl Redis ===

impl Redis {
    /// Begins a walk through the keys with a prefix that holds no character of a pattern.
    pub(super) fn walk(&self, prefix: &str) -> Result<Walk, Error> {
        let servers = if self.is_cluster {
            let unknown = || Error::new(ErrorKind::Cluster, "the cluster is not known yet");
            let cluster = self.client.cached_cluster_state().ok_or_else(unknown)?;
            cluster.unique_primary_nodes().into_iter().map(Some).collect::<VecDeque<_>>()
        } else {
            [None].into()
        };
        if servers.is_empty() {
            return Err(Error::new(ErrorKind::Cluster, "the cluster has no servers"));
        }
        Ok(Walk { prefix: prefix.to_owned(), servers, cursor: START.to_owned() })
    }

    /// The keys of the next step, often none, and some maybe twice; None at the end.
    pub(super) async fn step(&self, walk: &mut Walk) -> Result<Option<Vec<String>>, Error> {
        let Some(server) = walk.servers.front() else { return Ok(None) };
        let (cursor, pattern) = (walk.cursor.clone(), format!("{}*", walk.prefix));
        let (cursor, keys): (String, Vec<Key>) = match server {
            Some(server) => {
                let client = self.client.with_cluster_node(server);
                client.scan_page(cursor, pattern, Some(STEP), None).await?
            }
            None => self.client.scan_page(cursor, pattern, Some(STEP), None).await?,
        };
        if cursor == START {
            walk.servers.pop_front();
        }
        walk.cursor = cursor;
        let keys = keys.into_iter().filter_map(Key::into_string).filter(|key| key.starts_with(&walk.prefix));
        Ok(Some(keys.collect()))
    }

    /// Keys that look like a tenant's and belong to none that could be.
    pub(in crate::cache) async fn strangers(&self) -> Result<Vec<String>> {
        let mut walk = self.guard(async { self.walk(PREFIX) }).await?;
        let mut strangers = Vec::new();
        while let Some(keys) = self.guard(self.step(&mut walk)).await? {
            strangers.extend(keys.into_iter().filter(|key| Names::split(key).is_none()));
        }
        strangers.sort_unstable();
        strangers.dedup();
        Ok(strangers)
    }
}
