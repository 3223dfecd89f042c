//! The port: gRPC and gRPC-Web, its layers and limits, and the graceful stop.
//!
//! From outside in: CORS (errors need its headers too), gRPC-Web (errors must come in its content type), the metrics,
//! authentication, the gate. Until the application is ready, health says NOT_SERVING and every other call answers UNAVAILABLE.

mod admin;
mod connection;
mod front;
mod gate;
mod limits;
mod measure;

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use admin::{Readiness, serve_admin};
pub(crate) use front::Front;
pub use gate::Gate;

use crate::auth::TENANT_HEADER;
use crate::config;

/// Why the server did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the server failed")]
    Failed(#[from] tonic::transport::Error),
    #[error("{setting} {path}: {source}")]
    File { setting: &'static str, path: String, source: std::io::Error },
    #[error("tls.certificate_file, tls.key_file or tls.client_ca_file holds no PEM that fits: {0}")]
    Tls(#[source] tonic::transport::Error),
}

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves until `stop` is cancelled, and then for at most `settings.stop_seconds` lets calls end.
pub(crate) async fn serve(
    listener: TcpListener,
    front: Front,
    settings: &config::Server,
    dev: bool,
    tls: Option<ServerTlsConfig>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let keepalive = Duration::from_secs(settings.keepalive_seconds);
    let first_byte = Duration::from_secs(settings.first_byte_timeout_seconds);
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).map_err(ServeError::Tls)?;
    }
    let server = server
        .accept_http1(true)
        .max_concurrent_streams(Some(settings.max_streams_per_connection))
        .http2_max_header_list_size(Some(settings.max_header_bytes))
        .http2_keepalive_interval(Some(keepalive))
        .http2_keepalive_timeout(Some(keepalive))
        .timeout(Duration::from_secs(settings.request_timeout_seconds))
        .layer(cors(&settings.cors_origins, dev))
        .serve_with_incoming_shutdown(
            front,
            connection::incoming(listener, first_byte),
            stop.clone().cancelled_owned(),
        );
    tokio::select! {
        served = server => Ok(served?),
        () = deadline(stop, Duration::from_secs(settings.stop_seconds)) => {
            tracing::warn!("calls had not ended when the server's time to stop was up; they were cut");
            Ok(())
        }
    }
}

/// The certificate of the port, and whose client certificates it asks for; None for plain text.
pub fn tls(settings: &config::Tls) -> Result<Option<ServerTlsConfig>, ServeError> {
    if !settings.is_on() {
        return Ok(None);
    }
    let read = |setting, path: &str| {
        std::fs::read(path).map_err(|source| ServeError::File { setting, path: path.to_owned(), source })
    };
    let certificate = read("tls.certificate_file", &settings.certificate_file)?;
    let key = read("tls.key_file", &settings.key_file)?;
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key)).timeout(HANDSHAKE);
    if !settings.client_ca_file.is_empty() {
        let authorities = read("tls.client_ca_file", &settings.client_ca_file)?;
        tls = tls.client_ca_root(Certificate::from_pem(authorities));
    }
    Ok(Some(tls))
}

async fn deadline(stop: CancellationToken, after: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(after).await;
}

/// Which browsers may call: the configured origins, and under `dev` any origin on this machine.
fn cors(origins: &[String], dev: bool) -> CorsLayer {
    let origins: Vec<String> = origins.to_vec();
    let allowed = move |origin: &HeaderValue, _: &_| {
        let Ok(origin) = origin.to_str() else { return false };
        origins.iter().any(|o| o == origin) || (dev && is_localhost(origin))
    };
    let names = |list: &[&'static str]| list.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::POST])
        .allow_headers(names(&[
            "authorization",
            "content-type",
            "grpc-timeout",
            "traceparent",
            "x-grpc-web",
            "x-user-agent",
            "x-user-id",
        ]))
        .expose_headers(names(&["grpc-status", "grpc-message", "grpc-status-details-bin", TENANT_HEADER]))
        .max_age(Duration::from_secs(2 * 60 * 60))
}

fn is_localhost(origin: &str) -> bool {
    let url = url::Url::parse(origin).ok();
    url.is_some_and(|url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")))
}
