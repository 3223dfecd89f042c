//! Keeps the answers of reads, and gives them again for as long as nothing that they were made of has changed.
//!
//! It stands behind authentication, so that whoever asks has been let in already, and before the services: an answer that
//! is kept is given without a message being decoded or encoded. It is kept under the tenant, the method and the bytes of
//! the request. What it was made of is noted by the store while the method runs ([`crate::store::Freshness`]), so that a
//! method needs nothing here but its place in [`KEPT`].
//!
//! For one process on one store, as the data folder's lock makes sure of.

use std::sync::Arc;

use bytes::Bytes;
use moka::sync::Cache;

use crate::call::Answer;
use crate::metrics::{CacheOutcome, metrics};
use crate::store::{Freshness, ReadSet, recorded};
use crate::tenant::TenantId;

/// The methods whose answers are kept: those that are made of the tenant's rows and of the request alone. The time, the
/// caller's role, a campaign that is being worked on, files and caches have no part in them.
const KEPT: [&str; 6] = [
    "/herald.v1.AgentService/CountProspects",
    "/herald.v1.AgentService/GetAgentConfig",
    "/herald.v1.AgentService/GetEmail",
    "/herald.v1.AgentService/GetProspect",
    "/herald.v1.AgentService/ListProspectEmails",
    "/herald.v1.AgentService/ListProspects",
];

/// The largest request that is looked at, in bytes.
const MAX_REQUEST: usize = 4 * 1024;

/// What keeping an answer takes besides its bytes and its request's, about.
const OVERHEAD: usize = 400;

/// The answers of all tenants; cheap to clone.
#[derive(Clone)]
pub struct ReadCache {
    answers: Cache<Key, Kept>,
    freshness: Arc<Freshness>,
    /// The largest answer that is kept, in bytes.
    max: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    method: &'static str,
    request: Bytes,
}

#[derive(Clone)]
struct Kept {
    /// The message in its frame.
    frame: Bytes,
    reads: Arc<ReadSet>,
}

// === impl ReadCache ===

impl ReadCache {
    /// Keeps about `bytes` bytes at most; None if that is nothing.
    pub fn new(bytes: u64, freshness: Arc<Freshness>) -> Option<Self> {
        let weight = |key: &Key, kept: &Kept| {
            let size = key.tenant.as_str().len() + key.request.len() + kept.frame.len() + OVERHEAD;
            u32::try_from(size).unwrap_or(u32::MAX)
        };
        let answers = Cache::builder().max_capacity(bytes).weigher(weight).build();
        // One answer must not drive out all others.
        let max = usize::try_from(bytes / 64).unwrap_or(usize::MAX);
        (bytes > 0).then_some(Self { answers, freshness, max })
    }

    /// The answer that is kept for a tenant's request of the method, its message in its frame, or the one that `serve`
    /// makes.
    pub(crate) async fn call<F: Future<Output = Answer>>(
        &self,
        method: &str,
        tenant: &TenantId,
        frame: Bytes,
        serve: impl FnOnce() -> F,
    ) -> Answer {
        let method = KEPT.iter().find(|path| **path == method);
        let Some(method) = method.filter(|_| frame.len() <= MAX_REQUEST) else { return serve().await };
        let key = Key { tenant: tenant.clone(), method, request: frame };
        if let Some(kept) = self.answers.get(&key).filter(|kept| self.freshness.holds(&kept.reads)) {
            metrics().read_cache(CacheOutcome::Hit);
            return Ok(kept.frame);
        }
        metrics().read_cache(CacheOutcome::Miss);
        // What came is a piece of its connection's buffer, all of which would be kept with it.
        let key = Key { request: Bytes::copy_from_slice(&key.request), ..key };
        let (answer, reads) = recorded(serve()).await;
        if let Ok(frame) = &answer
            && reads.settled()
            && frame.len() <= self.max
        {
            // What was made is a piece of the encoder's buffer, which is larger than most answers.
            self.answers.insert(key, Kept { frame: Bytes::copy_from_slice(frame), reads: Arc::new(reads) });
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::auth::Authenticator;
    use crate::config::Auth;
    use crate::domain::clock::SystemClock;
    use crate::testing::store;

    #[tokio::test]
    async fn what_is_kept_keeps_nothing_of_its_connections_buffer() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder.path().join("herald.db")).await;
        let auth = Authenticator::new(&Auth::default(), true, Arc::new(SystemClock)).expect("an authenticator");
        let user = (HeaderName::from_static("x-user-id"), HeaderValue::from_static("a"));
        let caller = auth.caller(&HeaderMap::from_iter([user]), None).await.expect("a caller");
        let cache = ReadCache::new(1024 * 1024, store.freshness().clone()).expect("a cache");

        let buffer = Bytes::from(vec![7; 16 * 1024]);
        let serve = || async {
            store.scope(caller.scope()).suppression("a@b.example").await.expect("read");
            Ok(Bytes::from_static(b"an answer"))
        };
        let answer = cache.call(KEPT[0], caller.tenant(), buffer.slice(..60), serve).await;
        assert_eq!(answer.ok().as_deref(), Some(b"an answer".as_slice()));
        cache.answers.run_pending_tasks();
        assert_eq!(cache.answers.entry_count(), 1, "the answer is kept");
        assert!(buffer.is_unique(), "and the buffer with it");
    }
}
