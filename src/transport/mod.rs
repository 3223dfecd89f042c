//! The port: gRPC and gRPC-Web, the links in letters, its layers and limits, and the graceful stop.
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
mod links;
mod local;
mod measure;
mod tls;
mod validity;

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::{HeaderName, HeaderValue, Method};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::{Layer as _, Service};
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use admin::{Readiness, serve_admin};
use connection::Port;
use connections::Connections;
pub(crate) use front::Front;
pub use gate::Gate;
use guarded::Times;
pub(crate) use links::Links;
use links::{NothingElse, WithLinks};
pub use tls::{TlsError, has_no_authority, misissued, not_for_a_server, tls, validities};
pub use validity::Validity;

use crate::auth::TENANT_HEADER;
use crate::call::{Request, Response};
use crate::config;

/// What is served at which door.
pub(crate) struct Doors {
    pub listener: TcpListener,
    pub front: Front,
    pub tls: Option<TlsAcceptor>,
    /// None: letters have no links.
    pub links: Option<Links>,
    /// Where links are served alone, in plain text; None: at the port.
    pub links_listener: Option<TcpListener>,
}

/// Serves until `stop` is cancelled, and then for at most `settings.stop_seconds` lets calls end.
pub(crate) async fn serve(doors: Doors, settings: &config::Server, dev: bool, stop: CancellationToken) {
    let Doors { listener, front, tls, links, links_listener } = doors;
    let rest = cors(settings, dev).layer(front);
    // However many doors: the process has one number of file handles.
    let connections = Connections::new(settings);
    match links_listener {
        None => {
            let service = WithLinks { links, rest };
            serve_port(listener, Port::new(service, tls, settings, stop), connections, settings).await;
        }
        Some(of_links) => {
            let service = WithLinks { links, rest: NothingElse };
            let links = Port::new(service, None, settings, stop.clone());
            let port = Port::new(rest, tls, settings, stop);
            tokio::join!(
                serve_port(of_links, links, connections.clone(), settings),
                serve_port(listener, port, connections, settings)
            );
        }
    }
}

impl<S> Port<S> {
    fn new(service: S, tls: Option<TlsAcceptor>, settings: &config::Server, stop: CancellationToken) -> Self {
        let times = Times {
            head: Duration::from_secs(settings.head_timeout_seconds),
            write: Duration::from_secs(settings.request_timeout_seconds),
        };
        let keepalive = Duration::from_secs(settings.keepalive_seconds);
        let (max_streams, max_header_bytes) = (settings.max_streams_per_connection, settings.max_header_bytes);
        Self { service, tls, stop, max_streams, max_header_bytes, keepalive, times }
    }
}

async fn serve_port<S>(listener: TcpListener, port: Port<S>, places: Connections, settings: &config::Server)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let stop = port.stop.clone();
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    {
        let mut incoming = pin!(connection::incoming(listener, places));
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
