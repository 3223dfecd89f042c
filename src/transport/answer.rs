//! The bodies of answers, which hold what their call holds until they are taken.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use super::limits::Held;
use crate::call::Response;
use crate::status;

/// One message that was made whole, and the trailers of a call that went well.
struct Answer {
    /// What is left of the message in its frame.
    frame: Bytes,
    ended: bool,
    /// It is not sent after that.
    until: Instant,
    _held: Held,
}

/// A body that lasts until its end or its time, whichever comes first, and holds something as long.
struct Timed<T> {
    body: Body,
    until: Pin<Box<Sleep>>,
    _held: T,
}

/// A large answer is sent in pieces of their own memory: HTTP/2 keeps what it was given until it is sent, and the whole of
/// what a piece is a part of.
const PIECE: usize = 16 * 1024;

/// The answer of a call that went well, in `frame`.
pub(super) fn answer(frame: Bytes, until: Instant, held: Held) -> Response {
    let mut response = Response::new(Body::new(Answer { frame, ended: false, until, _held: held }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The body, which ends at `until` and holds `held` as long as it lasts.
pub(super) fn timed<T: Send + Unpin + 'static>(body: Body, until: Instant, held: T) -> Body {
    Body::new(Timed { body, until: Box::pin(tokio::time::sleep_until(until)), _held: held })
}

// === impl Answer ===

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.frame.is_empty() {
            if self.frame.len() <= PIECE {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.frame)))));
            }
            if Instant::now() > self.until {
                return Poll::Ready(Some(Err(status::deadline_exceeded())));
            }
            let piece = Bytes::copy_from_slice(&self.frame[..PIECE]);
            self.frame.advance(PIECE);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.ended = true;
        let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

// === impl Timed ===

impl<T: Unpin> HttpBody for Timed<T> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.until.as_mut().poll(cx).map(|()| Some(Err(status::deadline_exceeded())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
