//! Load of many bodies: a closed loop of callers, each of which draws its next call. h2 for gRPC, hyper for HTTP/1.

use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, TE};
use http::uri::PathAndQuery;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::Status;

use crate::data::framed;

/// Where calls go.
#[derive(Clone)]
pub struct Target {
    pub port: u16,
    pub kind: Kind,
}

#[derive(Clone)]
pub enum Kind {
    /// The method that calls name none for themselves.
    Grpc(&'static str),
    Http,
}

/// A call: its token and what is sent.
pub struct Call<'a> {
    pub token: &'a str,
    pub method: http::Method,
    /// gRPC: another method than the target's; empty: the target's.
    pub path: std::borrow::Cow<'static, str>,
    /// The message, or the JSON.
    pub body: Bytes,
}

/// What a closed loop gave.
pub struct Outcome {
    pub per_second: f64,
    /// In ascending order.
    pub latencies: Vec<Duration>,
}

/// One connection; cheap to clone. Without tonic, whose client takes as much of the machine for a call as the server:
/// messages stay bytes, and nothing stands between the caller and HTTP/2.
#[derive(Clone)]
pub struct Grpc {
    sender: SendRequest<Bytes>,
    authority: http::uri::Authority,
    path: PathAndQuery,
}

pub struct Http {
    sender: http1::SendRequest<Full<Bytes>>,
}

/// Calls in flight, on how many connections.
pub const IN_FLIGHT: usize = 128;
pub const CONNECTIONS: usize = 8;
/// As h2load has it: no answer waits for the generator's leave.
const WINDOW: u32 = 1 << 30;
/// Before a message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;

// === impl Target ===

impl Target {
    pub fn grpc(port: u16, path: &'static str) -> Self {
        Self { port, kind: Kind::Grpc(path) }
    }

    pub fn http(port: u16) -> Self {
        Self { port, kind: Kind::Http }
    }
}

// === impl Outcome ===

impl Outcome {
    pub fn quantile(&self, q: f64) -> Duration {
        let place = (self.latencies.len() as f64 * q) as usize;
        self.latencies.get(place.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Keeps `IN_FLIGHT` calls going for `time`, after a warm-up. `next` makes the caller's n-th call.
pub async fn closed_loop<'a>(
    target: &Target,
    time: Duration,
    next: impl Fn(usize, u64) -> Call<'a>,
) -> anyhow::Result<Outcome> {
    in_flight(target, IN_FLIGHT, time, next).await
}

/// The same with another number of callers.
pub async fn in_flight<'a>(
    target: &Target,
    callers: usize,
    time: Duration,
    next: impl Fn(usize, u64) -> Call<'a>,
) -> anyhow::Result<Outcome> {
    let mut channels = Vec::new();
    if let Kind::Grpc(_) = target.kind {
        for _ in 0..CONNECTIONS.min(callers) {
            channels.push(Grpc::connect(target).await?);
        }
    }
    let warm = Instant::now() + time / 4;
    let end = warm + time;
    let (next, channels) = (&next, &channels);
    let callers = (0..callers).map(|caller| async move {
        let mut latencies = Vec::new();
        let mut http = match target.kind {
            Kind::Http => Some(Http::connect(target.port).await?),
            Kind::Grpc(_) => None,
        };
        let mut grpc = (!channels.is_empty()).then(|| channels[caller % channels.len()].clone());
        for n in 0.. {
            let call = next(caller, n);
            let begun = Instant::now();
            match (&mut grpc, &mut http) {
                (Some(grpc), _) => grpc.send(&call).await?,
                (None, Some(http)) => http.send(&call).await?,
                (None, None) => bail!("no connection"),
            }
            let now = Instant::now();
            if now > end {
                break;
            }
            if begun > warm {
                latencies.push(now - begun);
            }
        }
        anyhow::Ok(latencies)
    });
    let mut latencies = futures_util::future::try_join_all(callers).await?.concat();
    latencies.sort_unstable();
    Ok(Outcome { per_second: latencies.len() as f64 / time.as_secs_f64(), latencies })
}

// === impl Grpc ===

impl Grpc {
    pub async fn connect(target: &Target) -> anyhow::Result<Self> {
        let Kind::Grpc(path) = target.kind else { bail!("not gRPC") };
        let stream = TcpStream::connect(("127.0.0.1", target.port)).await?;
        stream.set_nodelay(true)?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let (sender, connection) = builder.handshake(stream).await?;
        tokio::spawn(connection);
        let authority = format!("127.0.0.1:{}", target.port).parse()?;
        Ok(Self { sender, authority, path: PathAndQuery::from_static(path) })
    }

    pub async fn call(&mut self, token: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let path = self.path.clone();
        Ok(self.unary(token, path, body).await?)
    }

    async fn send(&mut self, call: &Call<'_>) -> anyhow::Result<()> {
        let path = match &call.path {
            std::borrow::Cow::Borrowed("") => self.path.clone(),
            std::borrow::Cow::Borrowed(path) => PathAndQuery::from_static(path),
            std::borrow::Cow::Owned(path) => path.parse()?,
        };
        self.unary(call.token, path, call.body.clone()).await?;
        Ok(())
    }

    /// The answer's message; the status of a call that was refused.
    pub async fn unary(&mut self, token: &str, path: PathAndQuery, body: Bytes) -> Result<Bytes, Status> {
        let request = self.request(token, path).map_err(|error| Status::internal(error.to_string()))?;
        let (headers, message) = self.exchange(request, framed(&body)).await.map_err(|error| broken(&error))?;
        let status = Status::from_header_map(&headers).ok_or_else(|| Status::unknown("no grpc-status"))?;
        if status.code() == tonic::Code::Ok { Ok(message) } else { Err(status) }
    }

    fn request(&self, token: &str, path: PathAndQuery) -> http::Result<http::Request<()>> {
        let uri = http::Uri::builder().scheme("http").authority(self.authority.clone()).path_and_query(path).build()?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        // Sent as it is with every call, as h2load does.
        bearer.set_sensitive(true);
        http::Request::post(uri)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .header(TE, HeaderValue::from_static("trailers"))
            .header(AUTHORIZATION, bearer)
            .body(())
    }

    /// The headers that tell the status, and the message.
    async fn exchange(
        &mut self,
        request: http::Request<()>,
        frame: Bytes,
    ) -> Result<(http::HeaderMap, Bytes), h2::Error> {
        std::future::poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (answer, mut stream) = self.sender.send_request(request, false)?;
        stream.send_data(frame, true)?;
        let (head, mut body) = answer.await?.into_parts();
        let mut message = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            message.extend_from_slice(&data);
        }
        let trailers = body.trailers().await?;
        let _frame = message.split_to(message.len().min(FRAME_BYTES));
        Ok((trailers.unwrap_or(head.headers), message.freeze()))
    }
}

fn broken(error: &h2::Error) -> Status {
    Status::unavailable(error.to_string())
}

// === impl Http ===

impl Http {
    async fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    async fn send(&mut self, call: &Call<'_>) -> anyhow::Result<()> {
        let request = http::Request::builder()
            .method(call.method.clone())
            .uri(call.path.as_ref())
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", call.token))
            .body(Full::new(call.body.clone()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }
}
