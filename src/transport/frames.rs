//! Follows HTTP/2's frames (RFC 9113, 4.1) far enough to tell whether a request's head is on its way.

/// Where in a client's bytes we are.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// How much of the preface has come; [`NOT_HTTP_2`] if something else has.
    preface: u8,
    /// The header of the frame that is being read, as far as it has come.
    header: [u8; HEADER],
    filled: usize,
    /// The bytes of the frame that are still to come after its header.
    left: usize,
    /// Whether the head that was begun has more frames to come.
    open: bool,
    /// Whether the frame that is being read is of a head.
    of_head: bool,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const NOT_HTTP_2: u8 = u8::MAX;
/// Length (3 bytes), type, flags, stream (4 bytes).
const HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

// === impl Frames ===

impl Frames {
    /// Whether a head, or a frame that may be of one, has begun and not ended.
    pub(super) fn within_head(&self) -> bool {
        self.open || self.filled > 0 || (self.left > 0 && self.of_head)
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some(next) = bytes.first() {
            if self.preface == NOT_HTTP_2 {
                return;
            }
            let wanted = PREFACE.get(usize::from(self.preface));
            if let Some(wanted) = wanted {
                self.preface = if wanted == next { self.preface + 1 } else { NOT_HTTP_2 };
                bytes = &bytes[1..];
                continue;
            }
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = &bytes[taken..];
                continue;
            }
            let taken = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER {
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        self.filled = 0;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.of_head = matches!(kind, HEADERS | CONTINUATION);
        if self.of_head {
            self.open = flags & END_HEADERS == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn a_head_is_on_its_way_from_its_first_byte_to_its_last() {
        let head =
            [frame(HEADERS, 0, b"abc"), frame(CONTINUATION, 0, b""), frame(CONTINUATION, END_HEADERS, b"de")].concat();
        for pieces in [1, 2, 5, 100] {
            let mut frames = Frames::default();
            [PREFACE, &frame(4, 0, b"sixsix")].concat().chunks(pieces).for_each(|piece| frames.read(piece));
            assert!(!frames.within_head(), "settings are none");
            for byte in &head[..head.len() - 1] {
                frames.read(&[*byte]);
                assert!(frames.within_head());
            }
            frames.read(&head[head.len() - 1..]);
            assert!(!frames.within_head());
            frames.read(&frame(0, 0, b"data")[..11]);
            assert!(!frames.within_head(), "a message is none");
            frames.read(&[b't', b'a', 0]);
            assert!(frames.within_head(), "what begins may be one");
        }
    }

    #[test]
    fn what_is_not_http_2_is_not_followed() {
        let mut frames = Frames::default();
        frames.read(b"POST / HTTP/1.1\r\n");
        frames.read(&[0, 0, 5, HEADERS, 0]);
        assert!(!frames.within_head());
    }
}
