//! The port: gRPC and gRPC-Web, its layers and limits, and the graceful stop.
//!
//! From outside in: CORS (errors need its headers too), gRPC-Web (errors must come in its content type), the metrics,
//! authentication, the gate. Until the application is ready, health says NOT_SERVING and every other call answers UNAVAILABLE.

mod admin;
mod answer;
mod connection;
mod connections;
mod deadline;
mod frames;
mod front;
mod gate;
mod guarded;
mod inline;
mod limits;
mod local;
mod measure;
mod tls;
mod validity;

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::{HeaderName, HeaderValue, Method};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Layer as _;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use admin::{Readiness, serve_admin};
use connection::Port;
use connections::Connections;
pub(crate) use front::Front;
pub use gate::Gate;
use guarded::Times;
pub use tls::{TlsError, has_no_authority, misissued, not_for_a_server, tls, validities};
pub use validity::Validity;

use crate::auth::TENANT_HEADER;
use crate::config;

/// Serves until `stop` is cancelled, and then for at most `settings.stop_seconds` lets calls end.
pub(crate) async fn serve(
    listener: TcpListener,
    front: Front,
    settings: &config::Server,
    dev: bool,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) {
    let port = Port {
        service: cors(settings, dev).layer(front),
        tls,
        stop: stop.clone(),
        max_streams: settings.max_streams_per_connection,
        max_header_bytes: settings.max_header_bytes,
        keepalive: Duration::from_secs(settings.keepalive_seconds),
        times: Times {
            head: Duration::from_secs(settings.head_timeout_seconds),
            write: Duration::from_secs(settings.request_timeout_seconds),
        },
    };
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    {
        let mut incoming = pin!(connection::incoming(listener, Connections::new(settings)));
        loop {
            tokio::select! {
                Some(connection) = incoming.next() => {
                    connections.spawn(port.clone().serve(connection, graceful.watcher()));
                }
                Some(_ended) = connections.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
    }
    if tokio::time::timeout(Duration::from_secs(settings.stop_seconds), graceful.shutdown()).await.is_err() {
        tracing::warn!("calls had not ended when the server's time to stop was up; they were cut");
    }
    // Their calls notice it, and end.
    connections.shutdown().await;
}

/// Which browsers may call, and with which headers: the configured origins, and under `dev` any origin on this machine; the
/// headers that Herald reads, those that browsers' tracing adds to every call, and the configured ones.
fn cors(settings: &config::Server, dev: bool) -> CorsLayer {
    let origins = settings.cors_origins.clone();
    let allowed = move |origin: &HeaderValue, _: &_| {
        let Ok(origin) = origin.to_str() else { return false };
        origins.iter().any(|o| o == origin) || (dev && local::is_local_origin(origin))
    };
    let names = |list: &[&'static str]| list.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    let more = settings.cors_headers.iter().filter_map(|name| name.parse().ok());
    let taken = names(&[
        "authorization",
        "baggage",
        "content-type",
        "grpc-timeout",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "x-grpc-web",
        "x-user-agent",
        "x-user-id",
    ]);
    let exposed = names(&["grpc-status", "grpc-message", "grpc-status-details-bin"]).into_iter();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::POST])
        .allow_headers(taken.into_iter().chain(more).collect::<Vec<_>>())
        .expose_headers(exposed.chain([front::CALL_ID_HEADER, TENANT_HEADER]).collect::<Vec<_>>())
        .max_age(Duration::from_secs(2 * 60 * 60))
}
