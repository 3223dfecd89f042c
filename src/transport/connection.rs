//! Accepts connections and serves them, as many as there may be and each within its times.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use super::connections::{ConnectionPermit, Connections, Standing};
use super::guarded::{Guarded, Times};
use super::inline::UnpolledCalls;
use crate::call::{Peer, Response};

/// A connection that was accepted and has its permit.
pub(super) struct Connection {
    stream: TcpStream,
    address: IpAddr,
    accepted: Instant,
    permit: ConnectionPermit,
}

/// What every connection of a port is served with; cheap to clone.
#[derive(Clone)]
pub(super) struct Port<S> {
    pub service: S,
    pub tls: Option<TlsAcceptor>,
    pub stop: CancellationToken,
    pub max_streams: u32,
    pub max_header_bytes: u32,
    pub keepalive: Duration,
    pub times: Times,
}

/// What a client may send of its calls' messages before they are read: of one call, and of a connection's calls.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What waits to be sent on one of its calls.
const SEND_BUFFER: usize = 64 * 1024;

/// The listener's connections. One that cannot be accepted is left out, and so is one for which there is no permit; the
/// listener goes on.
pub(super) fn incoming(listener: TcpListener, connections: Connections) -> impl Stream<Item = Connection> + Send {
    TcpListenerStream::new(listener).filter_map(move |accepted| {
        let connections = connections.clone();
        async move {
            let accepted = accepted.and_then(|stream| stream.peer_addr().map(|peer| (stream, peer.ip())));
            match accepted {
                Ok((stream, address)) => match connections.permit(address) {
                    Ok(permit) => {
                        // Small messages must not wait for more to send.
                        let _ = stream.set_nodelay(true);
                        Some(Connection { stream, address, accepted: Instant::now(), permit })
                    }
                    Err(full) => {
                        tracing::debug!(%address, why = full.as_str(), "a connection has no place");
                        None
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of file descriptors, most likely: give others the time to close theirs.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    None
                }
            }
        }
    })
}

// === impl Port ===

impl<S> Port<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    /// Serves the connection until it ends, has to make room, or has answered its calls after `watcher` was told to stop.
    pub(super) async fn serve(self, connection: Connection, watcher: Watcher) {
        let Connection { stream, address, accepted, permit } = connection;
        let standing = permit.standing.clone();
        standing.cut.run_until_cancelled(self.serve_placed(stream, address, accepted, &standing, watcher)).await;
    }

    async fn serve_placed(
        self,
        stream: TcpStream,
        address: IpAddr,
        accepted: Instant,
        standing: &Arc<Standing>,
        watcher: Watcher,
    ) {
        let (Some(tls), stop) = (self.tls.clone(), self.stop.clone()) else {
            return self.speak(stream, address, accepted, standing, watcher).await;
        };
        let handshake = tokio::time::timeout_at(accepted + self.times.head, tls.accept(stream));
        match stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => self.speak(stream, address, accepted, standing, watcher).await,
            Some(Ok(Err(error))) => tracing::debug!(%error, "a TLS handshake failed"),
            Some(Err(_)) => tracing::debug!("a TLS handshake took too long"),
            None => {}
        }
    }

    /// HTTP/1.1 and HTTP/2; who is at the other end goes with each request.
    async fn speak<IO>(self, io: IO, address: IpAddr, accepted: Instant, standing: &Arc<Standing>, watcher: Watcher)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = Guarded::new(io, self.times, accepted, standing.clone());
        let standing = standing.clone();
        let peer = Peer { address, untaken: Arc::default() };
        let service = self.service.map_request(move |request: Request<Incoming>| {
            standing.spoken.store(true, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            request
        });
        let calls = UnpolledCalls::default();
        let mut builder = auto::Builder::new(calls.executor());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.times.head);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.max_streams)
            .max_header_list_size(self.max_header_bytes)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(self.keepalive)
            .keep_alive_timeout(self.keepalive);
        let connection = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
        if let Err(error) = calls.run(pin!(watcher.watch(connection))).await {
            tracing::debug!(%error, "a connection ended badly");
        }
    }
}
