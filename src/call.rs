//! A gRPC call as HTTP has it.

use tonic::body::Body;
use tonic::service::Routes;
use tower::Service as _;

pub(crate) type Request = http::Request<Body>;
pub(crate) type Response = http::Response<Body>;

/// What the service that is asked for answers.
pub(crate) async fn served(services: &Routes, request: Request) -> Response {
    match services.clone().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
