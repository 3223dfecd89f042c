//! A connection's bytes, watched: whoever holds a connection must send whole request heads in time, and take what it is
//! sent.
//!
//! The first head has its deadline from the accept on, whatever came of it. A later one has it from its first byte on: for
//! HTTP/1.1 hyper sees to that; for HTTP/2, where it doesn't, the frames are followed here. A message that comes slowly is
//! bounded by its call's time, and a connection that is idle is asked whether it is alive.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::connections::Standing;
use super::frames::Frames;

/// A stream of bytes whose other end is held to its times.
pub(super) struct Guarded<IO> {
    io: IO,
    times: Times,
    /// Knows whether a request has come.
    standing: Arc<Standing>,
    frames: Frames,
    /// When the head that is being read must be whole.
    head: Option<Pin<Box<Sleep>>>,
    /// When what waits to be written must have moved on.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// For the head of a request.
    pub head: Duration,
    /// To take some of what is sent.
    pub write: Duration,
}

// === impl Guarded ===

impl<IO> Guarded<IO> {
    /// `accepted`: when the connection was.
    pub(super) fn new(io: IO, times: Times, accepted: Instant, standing: Arc<Standing>) -> Self {
        let head = Some(Box::pin(tokio::time::sleep_until(accepted + times.head)));
        Self { io, times, standing, frames: Frames::default(), head, stalled: None }
    }

    /// After bytes were read: is a head still to come?
    fn read(&mut self, bytes: &[u8]) {
        self.frames.read(bytes);
        if !self.standing.spoken.load(Ordering::Relaxed) {
            return;
        }
        if !self.frames.within_head() {
            self.head = None;
        }
    }

    /// Nothing was read: ready if that has lasted too long.
    fn late_head(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.standing.spoken.load(Ordering::Relaxed) && !self.frames.within_head() {
            self.head = None;
            return Poll::Pending;
        }
        let until = Instant::now() + self.times.head;
        self.head.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until))).as_mut().poll(cx)
    }

    fn wrote<T>(&mut self, wrote: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let until = Instant::now() + self.times.write;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) => self.read(&buf.filled()[before..]),
            Poll::Ready(Err(_)) => {}
            Poll::Pending if self.late_head(cx).is_ready() => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => {}
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(wrote, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(wrote, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.wrote(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.wrote(shut, cx)
    }
}
