//! Accepts connections and serves them. Each has a deadline for its first byte: one that never speaks is closed.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::server::{Connected as _, TcpConnectInfo};
use tower::ServiceExt as _;
use tower_http::cors::Cors;

use super::front::Front;
use super::inline::Calls;

/// A connection that must speak before its deadline.
pub(super) struct Connection {
    stream: TcpStream,
    /// None once the first byte has come.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// What every connection of the port is served with; cheap to clone.
#[derive(Clone)]
pub(super) struct Port {
    pub service: Cors<Front>,
    pub tls: Option<TlsAcceptor>,
    pub stop: CancellationToken,
    pub max_streams: u32,
    pub max_header_bytes: u32,
    pub keepalive: Duration,
}

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The listener's connections. One that cannot be accepted is left out; the listener goes on.
pub(super) fn incoming(listener: TcpListener, first_byte: Duration) -> impl Stream<Item = Connection> + Send {
    TcpListenerStream::new(listener).filter_map(move |accepted| async move {
        match accepted {
            Ok(stream) => {
                // Small messages must not wait for more to send.
                let _ = stream.set_nodelay(true);
                Some(Connection { stream, deadline: Some(Box::pin(tokio::time::sleep(first_byte))) })
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file descriptors, most likely: give others the time to close theirs.
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    })
}

// === impl Port ===

impl Port {
    /// Serves the connection until it ends, or has answered its calls after `watcher` was told to stop.
    pub(super) async fn serve(self, connection: Connection, watcher: Watcher) {
        let peer = connection.stream.connect_info();
        let (Some(tls), stop) = (self.tls.clone(), self.stop.clone()) else {
            return self.speak(connection, peer, watcher).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE, tls.accept(connection));
        match stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => self.speak(stream, peer, watcher).await,
            Some(Ok(Err(error))) => tracing::debug!(%error, "a TLS handshake failed"),
            Some(Err(_)) => tracing::debug!("a TLS handshake took too long"),
            None => {}
        }
    }

    /// HTTP/1.1 and HTTP/2; the peer's address goes with each request.
    async fn speak<IO>(self, io: IO, peer: TcpConnectInfo, watcher: Watcher)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = self.service.map_request(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            request
        });
        let calls = Calls::default();
        let mut builder = auto::Builder::new(calls.executor());
        builder.http1().timer(TokioTimer::new());
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.max_streams)
            .max_header_list_size(self.max_header_bytes)
            .keep_alive_interval(self.keepalive)
            .keep_alive_timeout(self.keepalive);
        let connection = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
        if let Err(error) = calls.run(pin!(watcher.watch(connection))).await {
            tracing::debug!(%error, "a connection ended badly");
        }
    }
}

// === impl Connection ===

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.deadline = None;
        } else if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
