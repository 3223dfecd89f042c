//! What every call passes on its way to its service: gRPC-Web, the metrics, authentication, the gate.
//!
//! The steps are functions that call one another in one service of tower's. A layer for each would cost every call a box
//! for its future, and one for its body.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, Ready, ready};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::service::Routes;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service};

use super::gate::Gate;
use super::measure::Call;
use super::{deadline, inline, local};
use crate::auth::{Access, Answered, Guard, authenticate};
use crate::call::{Request, Response};
use crate::status;
use crate::telemetry::{CallId, CallIds};

/// Everything that the port serves; cheap to clone.
#[derive(Clone)]
pub(crate) struct Front {
    calls: GrpcWebService<Calls>,
    call_path: Arc<CallPath>,
}

/// The calls, as gRPC has them; cheap to clone.
#[derive(Clone)]
pub(crate) struct Calls(Arc<CallPath>);

/// What every call passes.
struct CallPath {
    guard: Guard,
    gate: Gate,
    /// Health and reflection, which are there before the application is.
    open: Routes,
    /// How long a call may take.
    longest: Duration,
    ids: CallIds,
    /// Answers only who calls this machine by a name of its own: a page of elsewhere could have its name lead here.
    local_only: bool,
}

/// The answer's id, for who asks what became of a call.
pub(super) const CALL_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// How much longer than its time a call may take until it is cut, wherever it stands: that its answer says so.
const CUT_AFTER: Duration = Duration::from_secs(2);

/// More than that cannot be added to every clock.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const NO_SUCH_PAGE: &str =
    "Herald speaks gRPC and gRPC-Web on this port. List what it offers with server reflection.\n";

// === impl Front ===

impl Front {
    pub(crate) fn new(open: Routes, gate: Gate, guard: Guard, longest: Duration, ids: CallIds, dev: bool) -> Self {
        let call_path =
            CallPath { guard, gate, open: open.prepare(), longest: longest.min(FOREVER), ids, local_only: dev };
        let call_path = Arc::new(call_path);
        Self { calls: GrpcWebLayer::new().layer(Calls(call_path.clone())), call_path }
    }
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<<GrpcWebService<Calls> as Service<Request>>::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.calls, cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if self.call_path.local_only && !local::is_local(&request) {
            return Either::Right(ready(Ok(stamped(status::host_not_local().into_http(), self.call_path.ids.next()))));
        }
        let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
        if kind.starts_with(b"application/grpc") {
            Either::Left(self.calls.call(request))
        } else {
            Either::Right(ready(Ok(no_such_page(request.method()))))
        }
    }
}

/// For who does not speak gRPC.
fn no_such_page(method: &Method) -> Response {
    let mut response = Response::new(Body::new(NO_SUCH_PAGE.to_owned()));
    let is_call = method == Method::POST;
    *response.status_mut() = if is_call { StatusCode::UNSUPPORTED_MEDIA_TYPE } else { StatusCode::NOT_FOUND };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

// === impl Calls ===

impl Service<Request> for Calls {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let call_path = self.0.clone();
        Box::pin(async move { Ok(call_path.answer(request).await) })
    }
}

impl CallPath {
    async fn answer(&self, request: Request) -> Response {
        let id = self.ids.next();
        let method = self.guard.policy.method(request.uri().path()).cloned();
        let call = Call::begin(method.clone());
        let until = Instant::now() + deadline::allowed(request.headers(), self.longest);
        if method.as_ref().is_none_or(|method| !method.streams) {
            inline::cut_at(until + CUT_AFTER);
        }
        // Awaited at once: a future that is kept in a variable first has its room twice in the one around it.
        let answered = timeout_at(
            until,
            authenticate(&self.guard, method.as_deref(), id, request, |request| async {
                let Some(method) = &method else { return status::no_such_method().into_http() };
                if method.access == Access::Open {
                    return self.gate.call_open(&self.open, method, request, until).await;
                }
                // Within, so that it is stamped as every answer to this caller is.
                timeout_at(until, self.gate.call(method, request, until)).await.unwrap_or_else(|_| too_late())
            }),
        )
        .await;
        let answered = answered.unwrap_or_else(|_| Answered { response: too_late(), caller: None });
        stamped(call.answered(answered), id)
    }
}

fn too_late() -> Response {
    status::deadline_exceeded().into_http()
}

fn stamped(mut response: Response, id: CallId) -> Response {
    if let Some(id) = id.header() {
        response.headers_mut().insert(CALL_ID_HEADER, id);
    }
    response
}
