//! A gRPC call as HTTP has it.

use std::mem;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service as _;

use crate::heavy::{HEAVY, heavy};
use crate::telemetry::CallId;
use crate::tenant::Caller;
use crate::turns::Turn;

pub(crate) type Request = http::Request<Body>;
pub(crate) type Response = http::Response<Body>;

/// Who is at the other end of the connection that a request came on; in the request's extensions.
#[derive(Clone)]
pub(crate) struct Peer {
    pub address: IpAddr,
    /// The bytes of answers that the connection has not taken.
    pub untaken: Arc<AtomicUsize>,
}

/// A call that has been let in, in the extensions of what its service sees.
#[derive(Clone)]
pub(crate) struct Call {
    pub caller: Caller,
    pub id: CallId,
    pub uri: Uri,
}

/// The message of an answer that went well, in its frame; or how the call was refused.
pub(crate) type Answer = Result<Bytes, Response>;

/// In the extensions of an answer that may be large: about its bytes, and the place that it holds until it is written.
#[derive(Clone)]
pub(crate) struct Made {
    pub size: usize,
    pub _place: Option<Arc<Turn>>,
}

/// What the service that is asked for answers. In a box, so that a call whose answer is kept is not moved about with the
/// room for this.
pub(crate) fn served(services: &Routes, request: Request) -> BoxFuture<'static, Response> {
    let answer = services.clone().call(request);
    Box::pin(async move {
        yield_connection_task().await;
        match answer.await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    })
}

/// The same for a method with one answer, which is made whole.
pub(crate) fn served_whole(services: &Routes, request: Request) -> BoxFuture<'static, Answer> {
    let served = served(services, request);
    Box::pin(async move { whole(served.await).await })
}

async fn whole(mut response: Response) -> Answer {
    let made = response.extensions_mut().remove::<Made>();
    if response.headers().contains_key(Status::GRPC_STATUS) || !is_grpc(response.headers()) {
        return Err(response);
    }
    let size = made.as_ref().map_or(0, |made| made.size);
    let body = response.into_body().collect();
    let collected = if size > HEAVY { Weighed { future: Box::pin(body), size }.await } else { body.await };
    let status = match collected {
        Ok(collected) => match collected.trailers().and_then(Status::from_header_map) {
            Some(status) if status.code() != Code::Ok => status,
            _ => return Ok(collected.to_bytes()),
        },
        Err(status) => status,
    };
    Err(status.into_http())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Ends the turn of whoever polls the call: what comes after is not done on the task of its HTTP/2 connection
/// (`transport::inline`), where the connection's other calls would wait for it.
pub(crate) async fn yield_connection_task() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A call whose every turn is heavy if its message of `size` bytes is.
pub(crate) struct Weighed<F> {
    pub future: F,
    pub size: usize,
}

impl<F: Future + Unpin> Future for Weighed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let size = self.size;
        let future = Pin::new(&mut self.future);
        heavy(size, || future.poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_service_does_nothing_in_the_first_turn() {
        let begun = Arc::new(AtomicBool::new(false));
        let seen = begun.clone();
        let services = Routes::from(axum::Router::new().fallback(move || async move {
            begun.store(true, Ordering::SeqCst);
        }));
        let mut answer = pin!(served(&services, Request::new(Body::empty())));
        let mut turn = || answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert_eq!((turn(), seen.load(Ordering::SeqCst)), (false, false));
        assert_eq!((turn(), seen.load(Ordering::SeqCst)), (true, true));
    }
}
