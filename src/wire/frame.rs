//! Reads a call's one message out of its frame (gRPC over HTTP/2, "Length-Prefixed-Message").

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use tonic::body::Body;

/// The flag that says whether the message is compressed, and its length.
pub const HEADER: usize = 5;

/// What is sent in place of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the message is larger than the server takes ({0} bytes): send less at once")]
    TooLarge(usize),
    #[error("messages must not be compressed: send them with the encoding identity")]
    Compressed,
    #[error("the call must carry one message in a frame of gRPC; its frame is {0}")]
    Malformed(&'static str),
    #[error("the call was broken off before its message was whole")]
    BrokenOff,
    /// There is no room for so many bytes now.
    #[error("no room for the message")]
    NoRoom,
}

/// The message with its frame's header, of at most `max` bytes. `room` is asked before memory is taken for so many more
/// bytes.
pub async fn read_frame(body: &mut Body, max: usize, mut room: impl FnMut(usize) -> bool) -> Result<Bytes, FrameError> {
    let mut first = Bytes::new();
    // Most messages come whole, and are not copied.
    while first.len() < HEADER {
        match next(body).await? {
            Some(data) if first.is_empty() => first = data,
            Some(data) => first = [first, data].concat().into(),
            None if first.is_empty() => return Err(FrameError::Malformed("missing")),
            None => return Err(FrameError::Malformed("cut short")),
        }
    }
    let length = length(&first, max)?;
    if !room(length) {
        return Err(FrameError::NoRoom);
    }
    let mut left = (HEADER + length).checked_sub(first.len()).ok_or(TOO_LONG)?;
    if left == 0 {
        return match next(body).await? {
            None => Ok(first),
            Some(_) => Err(TOO_LONG),
        };
    }
    // What is announced is taken as it comes: nobody has memory kept by words alone.
    let mut whole = BytesMut::from(first.as_ref());
    drop(first);
    while let Some(data) = next(body).await? {
        left = left.checked_sub(data.len()).ok_or(TOO_LONG)?;
        whole.extend_from_slice(&data);
    }
    if left == 0 { Ok(whole.freeze()) } else { Err(FrameError::Malformed("cut short")) }
}

const TOO_LONG: FrameError = FrameError::Malformed("followed by another, or by what is none");

/// The length that the header tells.
fn length(frame: &[u8], max: usize) -> Result<usize, FrameError> {
    match frame[0] {
        0 => {}
        1 => return Err(FrameError::Compressed),
        _ => return Err(FrameError::Malformed("of no kind that there is")),
    }
    let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize;
    if length > max { Err(FrameError::TooLarge(max)) } else { Ok(length) }
}

/// The next data; None at the end. Trailers of a request mean nothing.
async fn next(body: &mut Body) -> Result<Option<Bytes>, FrameError> {
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        match std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_) => {}
            },
            Some(Err(_)) => return Err(FrameError::BrokenOff),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use tonic::Status;

    use super::*;

    /// A body that comes in these pieces.
    fn body(pieces: &[&[u8]]) -> Body {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        Body::new(http_body_util::StreamBody::new(futures_util::stream::iter(pieces)))
    }

    async fn read(pieces: &[&[u8]]) -> Result<Vec<u8>, FrameError> {
        read_frame(&mut body(pieces), 10, |_| true).await.map(|frame| frame[HEADER..].to_vec())
    }

    #[tokio::test]
    async fn a_message_is_read_however_it_is_cut() {
        let frame = [0, 0, 0, 0, 4, b'a', b'b', b'c', b'd'];
        for cut in 0..=frame.len() {
            let (first, second) = frame.split_at(cut);
            assert_eq!(read(&[first, &[], second]).await, Ok(b"abcd".to_vec()), "cut at {cut}");
        }
        let single: Vec<&[u8]> = frame.chunks(1).collect();
        assert_eq!(read(&single).await, Ok(b"abcd".to_vec()));
        assert_eq!(read(&[&[0, 0, 0, 0, 0]]).await, Ok(Vec::new()));
        assert_eq!(read(&[&[0, 0, 0, 0, 10], &[7; 10]]).await, Ok(vec![7; 10]));
    }

    #[tokio::test]
    async fn what_is_no_one_message_is_refused() {
        for (pieces, why) in [
            (&[] as &[&[u8]], FrameError::Malformed("missing")),
            (&[&[0, 0]], FrameError::Malformed("cut short")),
            (&[&[0, 0, 0, 0, 4, 1, 2, 3]], FrameError::Malformed("cut short")),
            (&[&[1, 0, 0, 0, 1, 1]], FrameError::Compressed),
            (&[&[7, 0, 0, 0, 1, 1]], FrameError::Malformed("of no kind that there is")),
            (&[&[0, 0, 0, 0, 11]], FrameError::TooLarge(10)),
            (&[&[0, 0xff, 0xff, 0xff, 0xff]], FrameError::TooLarge(10)),
            (&[&[0, 0, 0, 0, 1, 1, 1]], TOO_LONG),
            (&[&[0, 0, 0, 0, 1], &[1], &[1]], TOO_LONG),
            (&[&[0, 0, 0, 0, 1, 1], &[0, 0, 0, 0, 1, 1]], TOO_LONG),
        ] {
            assert_eq!(read(pieces).await, Err(why), "{pieces:?}");
        }
        assert_eq!(read_frame(&mut body(&[&[0, 0, 0, 0, 4]]), 10, |room| room < 4).await, Err(FrameError::NoRoom));
    }
}
