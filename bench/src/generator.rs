//! Load of many bodies: a closed loop of callers, each of which draws its next call. h2 for gRPC, hyper for HTTP/1.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, TE};
use http::{Method, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::TcpStream;
use tonic::Status;

use crate::token::Token;

/// Where calls go: a port on this machine.
#[derive(Clone, Copy)]
pub enum Target {
    Grpc(u16),
    Http(u16),
}

/// A call: its token and what is sent.
pub struct Call<'a> {
    pub token: &'a Token,
    pub method: Method,
    pub path: Cow<'static, str>,
    /// The framed message, or the JSON.
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
    port: u16,
    /// Of the paths that were called.
    uris: Vec<Uri>,
}

pub struct Http {
    sender: http1::SendRequest<Full<Bytes>>,
}

/// Before a message: whether it is compressed, and its length.
pub const FRAME_BYTES: usize = 5;
/// Calls in flight, on how many connections.
pub const IN_FLIGHT: usize = 128;
pub const CONNECTIONS: usize = 8;
/// As h2load has it: no answer waits for the generator's leave.
const WINDOW: u32 = 1 << 30;

// === impl Call ===

impl<'a> Call<'a> {
    pub fn grpc(token: &'a Token, path: &'static str, frame: Bytes) -> Self {
        Self { token, method: Method::POST, path: Cow::Borrowed(path), body: frame }
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
    target: Target,
    time: Duration,
    next: impl Fn(usize, u64) -> Call<'a>,
) -> anyhow::Result<Outcome> {
    in_flight(target, IN_FLIGHT, time, next).await
}

/// The same with another number of callers.
pub async fn in_flight<'a>(
    target: Target,
    callers: usize,
    time: Duration,
    next: impl Fn(usize, u64) -> Call<'a>,
) -> anyhow::Result<Outcome> {
    let mut channels = Vec::new();
    if let Target::Grpc(port) = target {
        for _ in 0..CONNECTIONS.min(callers) {
            channels.push(Grpc::connect(port).await?);
        }
    }
    let warm = Instant::now() + time / 4;
    let end = warm + time;
    let (next, channels) = (&next, &channels);
    let callers = (0..callers).map(|caller| async move {
        let mut latencies = Vec::new();
        let mut http = match target {
            Target::Http(port) => Some(Http::connect(port).await?),
            Target::Grpc(_) => None,
        };
        let mut grpc = (!channels.is_empty()).then(|| channels[caller % channels.len()].clone());
        for n in 0.. {
            let call = next(caller, n);
            let begun = Instant::now();
            match (&mut grpc, &mut http) {
                (Some(grpc), _) => drop(grpc.call(&call).await?),
                (None, Some(http)) => http.call(&call).await?,
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
    pub async fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let (sender, connection) = builder.handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self { sender, port, uris: Vec::new() })
    }

    /// How many bytes the answer's message has; the status of a call that was refused.
    pub async fn call(&mut self, call: &Call<'_>) -> Result<usize, Status> {
        let request = self.request(call).map_err(|error| Status::internal(error.to_string()))?;
        let exchanged = self.exchange(request, call.body.clone()).await;
        let (told, frame) = exchanged.map_err(|error| Status::unavailable(error.to_string()))?;
        let status = Status::from_header_map(&told).ok_or_else(|| Status::unknown("no grpc-status"))?;
        if status.code() == tonic::Code::Ok { Ok(frame.saturating_sub(FRAME_BYTES)) } else { Err(status) }
    }

    fn request(&mut self, call: &Call<'_>) -> http::Result<http::Request<()>> {
        let uri = match self.uris.iter().find(|uri| uri.path() == call.path) {
            Some(uri) => uri.clone(),
            None => {
                let uri = Uri::try_from(format!("http://127.0.0.1:{}{}", self.port, call.path))?;
                self.uris.push(uri.clone());
                uri
            }
        };
        http::Request::post(uri)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .header(TE, HeaderValue::from_static("trailers"))
            .header(AUTHORIZATION, call.token.header())
            .body(())
    }

    /// The headers that tell the status, and how many bytes came before them.
    async fn exchange(
        &mut self,
        request: http::Request<()>,
        frame: Bytes,
    ) -> Result<(http::HeaderMap, usize), h2::Error> {
        std::future::poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (answer, mut stream) = self.sender.send_request(request, false)?;
        stream.send_data(frame, true)?;
        let (head, mut body) = answer.await?.into_parts();
        let mut bytes = 0;
        while let Some(data) = body.data().await {
            let data = data?.len();
            body.flow_control().release_capacity(data)?;
            bytes += data;
        }
        Ok((body.trailers().await?.unwrap_or(head.headers), bytes))
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

    async fn call(&mut self, call: &Call<'_>) -> anyhow::Result<()> {
        let request = http::Request::builder()
            .method(call.method.clone())
            .uri(call.path.as_ref())
            .header(HOST, HeaderValue::from_static("127.0.0.1"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(AUTHORIZATION, call.token.header())
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

/// The message in gRPC's frame: not compressed, its length, itself.
pub fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(FRAME_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    let _fits = message.encode(&mut frame);
    frame.freeze()
}
