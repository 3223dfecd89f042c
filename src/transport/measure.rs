//! Counts calls by method and status code, which gRPC tells at the end, in the trailers; and tells their spans.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use crate::auth::{Answered, Method};
use crate::call::Response;
use crate::metrics::{code_name, metrics};
use crate::telemetry;

/// A call that has begun. Dropped before its end, it counts as cancelled.
pub(super) struct Call {
    /// None: there is no such method.
    method: Option<Arc<Method>>,
    begun: Instant,
    ended: bool,
    /// That of an authenticated call; it lasts as long as the call.
    span: Span,
}

/// A response that tells how the call ended.
struct Measured {
    body: Body,
    call: Option<Call>,
}

// === impl Call ===

impl Call {
    pub(super) fn begin(method: Option<Arc<Method>>) -> Self {
        let call = Self { method, begun: Instant::now(), ended: false, span: Span::none() };
        if call.is_stream() {
            metrics().stream(1);
        }
        call
    }

    fn is_stream(&self) -> bool {
        self.method.as_ref().is_some_and(|method| method.streams)
    }

    /// The response, which tells how the call ended once it has: in gRPC, that is in the trailers.
    pub(super) fn answered(mut self, answered: Answered) -> Response {
        let Answered { response, caller } = answered;
        if let Some((tenant, span)) = caller {
            metrics().tenant_call(&tenant);
            self.span = span;
        }
        if let Some(code) = code_in(response.headers()) {
            self.end(code);
            return response;
        }
        response.map(|body| Body::new(Measured { body, call: Some(self) }))
    }

    fn end(mut self, code: Code) {
        self.count(code);
    }

    fn count(&mut self, code: Code) {
        self.ended = true;
        // A stream lasts as long as somebody watches; that is not how long a call takes.
        let took = (!self.is_stream()).then(|| self.begun.elapsed());
        // A method that nobody knows can have any name; it gets no series of its own.
        let method = self.method.as_ref().map_or("unknown", |method| method.name());
        metrics().call(method, code, took);
        telemetry::end_call(&self.span, code_name(code));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.count(Code::Cancelled);
        }
        if self.is_stream() {
            metrics().stream(-1);
        }
    }
}

// === impl Measured ===

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let ended = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().map(|trailers| code_in(trailers).unwrap_or(Code::Ok)),
            Some(Err(_)) => Some(Code::Unknown),
            None => Some(Code::Ok),
        };
        if let Some(code) = ended
            && let Some(call) = self.call.take()
        {
            call.end(code);
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

/// The code that the headers or trailers of a response tell.
fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}
