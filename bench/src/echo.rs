//! The limit: a bare tonic server without layers, whose answers have the size of those it stands for.

use bytes::Bytes;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

pub mod pb {
    tonic::include_proto!("bench.v1");
}

use pb::echo_service_server::{EchoService, EchoServiceServer};

pub const PATH: &str = "/bench.v1.EchoService/Echo";

/// The largest answer.
const MOST: usize = 1024 * 1024;

struct Echo {
    bytes: Bytes,
}

#[tonic::async_trait]
impl EchoService for Echo {
    async fn echo(&self, request: Request<pb::EchoRequest>) -> Result<Response<pb::EchoResponse>, Status> {
        let size = request.get_ref().answer_bytes as usize;
        if size > MOST {
            return Err(Status::invalid_argument("answer_bytes: at most 1 MiB"));
        }
        Ok(Response::new(pb::EchoResponse { payload: self.bytes.slice(..size) }))
    }
}

/// Serves on a free port, which is printed as the other contestants print theirs.
pub async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?.port());
    let incoming = TcpListenerStream::new(listener);
    let incoming = futures_util::StreamExt::map(incoming, |stream| {
        stream.inspect(|stream| {
            let _ = stream.set_nodelay(true);
        })
    });
    let echo = EchoServiceServer::new(Echo { bytes: vec![b'x'; MOST].into() });
    tonic::transport::Server::builder().add_service(echo).serve_with_incoming(incoming).await?;
    Ok(())
}

/// A request that is `request` bytes long, and is answered by a message of `answer` bytes.
pub fn request(request: usize, answer: usize) -> pb::EchoRequest {
    // The tag and length of a payload take one byte, and one for each seven bits of the length.
    let framed = |size: usize| 1 + (1..).find(|n| size < 1 << (7 * n)).unwrap_or(1);
    let answer_bytes = u32::try_from(answer - framed(answer)).unwrap_or(0);
    let mut message = pb::EchoRequest { answer_bytes, payload: Bytes::new() };
    let rest = request.saturating_sub(message.encoded_len());
    message.payload = vec![b'x'; rest.saturating_sub(framed(rest))].into();
    message
}
