//! Keeps the answers of reads, and gives them again for as long as nothing that they were made of has changed.
//!
//! It stands behind authentication, so that whoever asks has been let in already, and before the services: an answer that
//! is kept is given without a message being decoded or encoded. It is kept under the tenant, the method and the bytes of
//! the request. What it was made of is noted by the store while the method runs ([`crate::store::Freshness`]), so that a
//! method needs nothing here but its place in [`KEPT`].
//!
//! For one process on one store, as the data folder's lock makes sure of.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use moka::sync::Cache;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;

use crate::call::{Request, Response, served};
use crate::metrics::{CacheOutcome, metrics};
use crate::store::{Freshness, Reads, recorded};
use crate::tenant::{Caller, TenantId};

/// The methods whose answers are kept: those that are made of the tenant's rows and of the request alone. The time, the
/// caller's role, a campaign that is being worked on, files and caches have no part in them.
const KEPT: [&str; 5] = [
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
    answers: Cache<Key, Answer>,
    freshness: Arc<Freshness>,
    /// The largest answer that is kept, in bytes.
    most: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    method: &'static str,
    request: Bytes,
}

#[derive(Clone)]
struct Answer {
    /// The message in its frame.
    frame: Bytes,
    reads: Arc<Reads>,
}

/// The body of an answer that was kept.
struct Again {
    frame: Option<Bytes>,
    ended: bool,
}

/// The body of an answer that is kept once it has ended well.
struct Keeping {
    body: Body,
    cache: ReadCache,
    key: Option<Key>,
    reads: Reads,
    frame: Vec<Bytes>,
    size: usize,
}

/// A body of which some was read.
struct Rejoined {
    first: Bytes,
    body: Body,
}

// === impl ReadCache ===

impl ReadCache {
    /// Keeps about `bytes` bytes at most; None if that is nothing.
    pub fn new(bytes: u64, freshness: Arc<Freshness>) -> Option<Self> {
        let weight = |key: &Key, answer: &Answer| {
            let size = key.tenant.as_str().len() + key.request.len() + answer.frame.len() + OVERHEAD;
            u32::try_from(size).unwrap_or(u32::MAX)
        };
        let answers = Cache::builder().max_capacity(bytes).weigher(weight).build();
        // One answer must not drive out all others.
        let most = usize::try_from(bytes / 64).unwrap_or(usize::MAX);
        (bytes > 0).then_some(Self { answers, freshness, most })
    }

    /// The answer that is kept, or that of the services.
    pub(crate) async fn call(&self, request: Request, services: &Routes) -> Response {
        let method = KEPT.iter().find(|path| **path == request.uri().path());
        let tenant = request.extensions().get::<Caller>().map(|caller| caller.tenant().clone());
        let (Some(method), Some(tenant)) = (method, tenant) else { return served(services, request).await };
        let (parts, mut body) = request.into_parts();
        let bytes = match read(&mut body).await {
            Ok(bytes) => bytes,
            Err(first) => {
                return served(services, Request::from_parts(parts, Body::new(Rejoined { first, body }))).await;
            }
        };
        let key = Key { tenant, method, request: bytes.clone() };
        if let Some(answer) = self.answers.get(&key).filter(|answer| self.freshness.holds(&answer.reads)) {
            metrics().read_cache(CacheOutcome::Hit);
            return again(answer.frame);
        }
        metrics().read_cache(CacheOutcome::Miss);
        // What came is a piece of its connection's buffer, all of which would be kept with it.
        let key = Key { request: Bytes::copy_from_slice(&bytes), ..key };
        let request = Request::from_parts(parts, Body::new(Rejoined { first: bytes, body: Body::empty() }));
        let (response, reads) = recorded(served(services, request)).await;
        if !reads.settled() || response.headers().contains_key("grpc-status") {
            return response;
        }
        let cache = self.clone();
        response.map(|body| Body::new(Keeping { body, cache, key: Some(key), reads, frame: Vec::new(), size: 0 }))
    }
}

/// The whole body, if it is small; else what was read of it.
async fn read(body: &mut Body) -> Result<Bytes, Bytes> {
    let mut read = Bytes::new();
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        let data = match frame {
            None => return Ok(read),
            // Trailers of a request mean nothing.
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => return Err(read),
        };
        read = if read.is_empty() { data } else { [read, data].concat().into() };
        if read.len() > MAX_REQUEST {
            return Err(read);
        }
        if body.is_end_stream() {
            return Ok(read);
        }
    }
}

/// The answer as the service gave it the first time.
fn again(frame: Bytes) -> Response {
    let mut response = Response::new(Body::new(Again { frame: Some(frame), ended: false }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

// === impl Again ===

impl HttpBody for Again {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(frame) = self.frame.take() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.ended = true;
        let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

// === impl Keeping ===

impl HttpBody for Keeping {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            if let Some(data) = frame.data_ref() {
                self.size += data.len();
                if self.size > self.cache.most {
                    self.key = None;
                    self.frame.clear();
                } else {
                    self.frame.push(data.clone());
                }
            }
            let ended_well = frame
                .trailers_ref()
                .is_some_and(|trailers| trailers.get(Status::GRPC_STATUS).is_some_and(|status| status == "0"));
            if ended_well && let Some(key) = self.key.take() {
                let frame = std::mem::take(&mut self.frame).concat().into();
                let reads = Arc::new(std::mem::take(&mut self.reads));
                self.cache.answers.insert(key, Answer { frame, reads });
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Rejoined ===

impl HttpBody for Rejoined {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.body).poll_frame(cx);
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

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
        let scope = caller.scope().clone();
        let services = Routes::from(axum::Router::new().fallback(move || async move {
            store.scope(&scope).suppression("a@b.example").await.expect("read");
            again(Bytes::from_static(b"an answer"))
        }));

        let buffer = Bytes::from(vec![7; 16 * 1024]);
        let mut request = Request::new(Body::new(Rejoined { first: buffer.slice(..60), body: Body::empty() }));
        *request.uri_mut() = KEPT[0].parse().expect("a path");
        request.extensions_mut().insert(caller);
        let mut body = cache.call(request, &services).await.into_body();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            frame.expect("a frame");
        }
        drop(body);
        cache.answers.run_pending_tasks();
        assert_eq!(cache.answers.entry_count(), 1, "the answer is kept");
        assert!(buffer.is_unique(), "and the buffer with it");
    }
}
