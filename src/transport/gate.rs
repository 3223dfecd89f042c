//! Holds back calls until the application is ready, those of a tenant that holds as much as it may (backpressure), and
//! messages that hold more than they may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue};
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;

use super::answer;
use super::limits::{Held, Holder, Kind, Limits};
use crate::auth::Method;
use crate::call::{Answer, Call, Peer, Request, Response, Weighed, served, served_whole};
use crate::config::{Fairness, Server};
use crate::heavy::heavy;
use crate::read_cache::ReadCache;
use crate::status;
use crate::telemetry::CallId;
use crate::tenant::Caller;
use crate::wire::{HEADER, Shapes, read_frame};

/// Opened once, when the store is ready; cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Parts>);

struct Parts {
    limits: Limits,
    shapes: Shapes,
    /// The largest message, in bytes.
    max_request: usize,
    /// How long a stream may last.
    max_stream: Duration,
    refusals: AtomicU64,
    backend: OnceLock<Backend>,
}

/// The services, and the answers of theirs that are kept.
struct Backend {
    services: Routes,
    reads: Option<ReadCache>,
}

/// A refusal takes this many milliseconds, so that whoever asks again at once keeps nobody busy with refusing; each another
/// number of them (jitter), so that they do not all ask again at the same moment.
const REFUSED_AFTER: u64 = 100;
const SPREAD: u64 = 100;
/// Has no divisor in common with the spread, so that the numbers come evenly.
const STEP: u64 = 61;

/// How long the answer of an open service may take that is no watching of health, its questions included.
const OPEN_TIME: Duration = Duration::from_secs(10);

/// How much longer a watch stream lasts than it may by its own rule: long enough for its last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

// === impl Gate ===

impl Gate {
    pub fn new(server: &Server, fairness: &Fairness, shapes: Shapes) -> Self {
        Self(Arc::new(Parts {
            limits: Limits::new(fairness),
            shapes,
            max_request: server.max_request_bytes,
            max_stream: Duration::from_secs(server.max_stream_seconds),
            refusals: AtomicU64::new(0),
            backend: OnceLock::new(),
        }))
    }

    /// Lets calls through to the services, past the answers that are kept.
    pub fn open(&self, services: Routes, reads: Option<ReadCache>) {
        // A second opening would change nothing that was promised.
        let _ = self.0.backend.set(Backend { services, reads });
    }

    /// The answer to a caller, who may call the method.
    pub(super) async fn call(&self, method: &Method, request: Request, until: Instant) -> Response {
        let Some(backend) = self.0.backend.get() else { return status::starting().into_http() };
        let (mut parts, body) = request.into_parts();
        let (caller, id) = (parts.extensions.remove::<Caller>(), parts.extensions.remove::<CallId>());
        let (Some(caller), Some(id), Some(peer)) = (caller, id, parts.extensions.remove::<Peer>()) else {
            return status::credentials_missing().into_http();
        };
        let call = Call { caller, id, uri: parts.uri };
        let kind = if method.streams { Kind::Stream } else { Kind::Call };
        match self.0.limits.hold(Holder::Tenant(call.caller.tenant().clone()), kind, peer.untaken) {
            Ok(held) => {
                // The headers were for us: what a stranger puts there is not kept as long as the call takes.
                drop(parts.headers);
                match self.answer(backend, method, call, body, until, held).await {
                    Ok(response) => response,
                    Err(status) => status.into_http(),
                }
            }
            Err(status) => {
                // What came with it must not wait as well.
                drop((parts.headers, body));
                self.refuse(status).await
            }
        }
    }

    async fn refuse(&self, status: Status) -> Response {
        let nth = self.0.refusals.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(REFUSED_AFTER + nth.wrapping_mul(STEP) % SPREAD)).await;
        status.into_http()
    }

    async fn answer(
        &self,
        backend: &Backend,
        method: &Method,
        call: Call,
        mut body: Body,
        until: Instant,
        mut held: Held,
    ) -> Result<Response, Status> {
        let frame = read_frame(&mut body, self.0.max_request, |bytes| held.request(bytes)).await;
        drop(body);
        let frame = frame.map_err(status::of_frame)?;
        let checked = heavy(frame.len(), || self.0.shapes.check(&method.path, &frame[HEADER..]))?;
        if !held.request(checked.weight.saturating_sub(frame.len())) {
            return Err(status::too_many_bytes());
        }
        if method.streams {
            let response = served(&backend.services, bare(call, frame)).await;
            let until = Instant::now() + self.0.max_stream + LAST_WORDS;
            return Ok(response.map(|body| answer::timed(body, until, held)));
        }
        let answered = backend.call(method, call, frame).await;
        held.request_done();
        match answered {
            Ok(frame) if !held.answer(frame.len(), !method.only_reads()) => Err(status::too_many_bytes()),
            Ok(frame) => Ok(answer::answer(frame, until, held)),
            Err(refused) => Ok(refused),
        }
    }

    /// The answer of a service that is open to everybody.
    pub(super) async fn call_open(
        &self,
        services: &Routes,
        method: &Method,
        request: Request,
        until: Instant,
    ) -> Response {
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            return status::credentials_missing().into_http();
        };
        let kind = if method.streams { Kind::Stream } else { Kind::Call };
        let held = match self.0.limits.hold(Holder::Address(Some(peer.address)), kind, peer.untaken) {
            Ok(held) => held,
            Err(status) => {
                drop(request);
                return self.refuse(status).await;
            }
        };
        let watches = method.path.ends_with("/Watch");
        let until = if watches { Instant::now() + self.0.max_stream } else { until.min(Instant::now() + OPEN_TIME) };
        match timeout_at(until, self.served_open(services, method, request, until)).await {
            Ok(Ok(response)) => match Status::from_header_map(response.headers()).as_ref().and_then(status::of_message)
            {
                Some(refused) => refused.into_http(),
                None => response.map(|body| answer::timed(body, until, held)),
            },
            Ok(Err(status)) => status.into_http(),
            Err(_) => status::deadline_exceeded().into_http(),
        }
    }

    async fn served_open(
        &self,
        services: &Routes,
        method: &Method,
        request: Request,
        until: Instant,
    ) -> Result<Response, Status> {
        let (parts, mut body) = request.into_parts();
        let body = if method.takes_stream {
            answer::timed(body, until, ())
        } else {
            let frame = read_frame(&mut body, status::MAX_OPEN_MESSAGE, |_| true).await.map_err(status::of_frame)?;
            Body::new(Full::new(frame))
        };
        Ok(served(services, Request::from_parts(parts, body)).await)
    }
}

// === impl Backend ===

impl Backend {
    async fn call(&self, method: &Method, call: Call, frame: Bytes) -> Answer {
        let (tenant, size) = (call.caller.tenant().clone(), frame.len());
        let message = frame.clone();
        // An answer that is kept needs no request.
        let serve = || Weighed { future: served_whole(&self.services, bare(call, message)), size };
        match &self.reads {
            Some(reads) => reads.call(&method.path, &tenant, frame, serve).await,
            None => serve().await,
        }
    }
}

/// The request as its service sees it: the message, who calls, and of its headers what gRPC needs.
fn bare(call: Call, frame: Bytes) -> Request {
    let mut request = Request::new(Body::new(Full::new(frame)));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = call.uri.clone();
    *request.headers_mut() = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
        (TE, HeaderValue::from_static("trailers")),
    ]);
    request.extensions_mut().insert(call);
    request
}
