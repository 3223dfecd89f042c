//! A gRPC call as HTTP has it.

use std::mem;
use std::task::Poll;

use futures_util::future::BoxFuture;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service as _;

pub(crate) type Request = http::Request<Body>;
pub(crate) type Response = http::Response<Body>;

/// What the service that is asked for answers. In a box, so that a call whose answer is kept is not moved about with the
/// room for this.
pub(crate) fn served(services: &Routes, request: Request) -> BoxFuture<'static, Response> {
    let answer = services.clone().call(request);
    Box::pin(async move {
        leave().await;
        match answer.await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    })
}

/// Ends the turn of whoever polls the call: what comes after is not done on the task of its HTTP/2 connection
/// (`transport::inline`), where the connection's other calls would wait for it.
pub(crate) async fn leave() {
    let mut left = false;
    std::future::poll_fn(|cx| {
        if mem::replace(&mut left, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Waker};

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
