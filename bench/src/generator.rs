//! Load of many bodies: a closed loop of callers, each of which draws its next call. tonic for gRPC, hyper for HTTP/1.

use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::{Buf, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};

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

/// One connection; cheap to clone.
#[derive(Clone)]
pub struct Grpc {
    client: tonic::client::Grpc<Channel>,
    path: PathAndQuery,
}

pub struct Http {
    sender: http1::SendRequest<Full<Bytes>>,
}

/// Messages stay bytes: what is in them is no part of the load.
#[derive(Clone, Copy, Default)]
struct Raw;

/// Calls in flight, on how many connections.
pub const IN_FLIGHT: usize = 128;
pub const CONNECTIONS: usize = 8;

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
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", target.port))?.tcp_nodelay(true);
        let client = tonic::client::Grpc::new(endpoint.connect().await?);
        Ok(Self { client: client.max_decoding_message_size(64 * 1024 * 1024), path: PathAndQuery::from_static(path) })
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

    pub async fn unary(&mut self, token: &str, path: PathAndQuery, body: Bytes) -> Result<Bytes, Status> {
        let mut request = tonic::Request::new(body);
        let bearer = MetadataValue::try_from(format!("Bearer {token}"));
        request.metadata_mut().insert("authorization", bearer.map_err(|_| Status::internal("no token"))?);
        self.client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(self.client.unary(request, path, Raw).await?.into_inner())
    }
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

// === impl Raw ===

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let size = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(size)))
    }
}
