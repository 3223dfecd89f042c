//! A gRPC call as HTTP has it.

use futures_util::future::BoxFuture;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service as _;

pub(crate) type Request = http::Request<Body>;
pub(crate) type Response = http::Response<Body>;

/// What the service that is asked for answers. In a box, so that a call whose answer is kept is not moved about with the
/// room for this. It leaves its connection's task before the service does anything, so that no other call of the
/// connection waits for it.
pub(crate) fn served(services: &Routes, request: Request) -> BoxFuture<'static, Response> {
    let answer = services.clone().call(request);
    Box::pin(async move {
        tokio::task::yield_now().await;
        match answer.await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    })
}
