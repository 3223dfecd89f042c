//! The bytes of a file as UTF-8, whatever it is written in.
//!
//! A byte order mark decides first, then what the person says (`--encoding`); otherwise the bytes go on as they are and the
//! reader of the cells checks them, since it knows the line. Nothing is guessed from the bytes: Windows-1252 and its neighbours
//! differ in letters that no program can tell apart.

use std::fs::File;
use std::io::{self, Read as _};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

/// The bytes that are read at once.
const PIECE: usize = 64 * 1024;

pub(super) struct Decoded {
    file: File,
    encoding: &'static Encoding,
    /// None for UTF-8.
    decoder: Option<Decoder>,
    raw: Vec<u8>,
    /// How much of `raw` is decoded.
    done: usize,
    is_over: bool,
    /// What is told from now on, after the bytes before it are taken.
    next: Option<Piece>,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Bytes,
    /// The next bytes are none of the encoding's.
    Malformed,
    End,
}

/// The encoding of a label of the Encoding Standard.
pub(super) fn encoding(label: &str) -> Result<&'static Encoding, String> {
    let known = Encoding::for_label_no_replacement(label.as_bytes());
    known.ok_or_else(|| {
        "is no encoding that is known; such are utf-8, utf-16, windows-1252, gb18030, big5, shift_jis, euc-kr"
            .to_owned()
    })
}

impl Decoded {
    pub(super) fn new(mut file: File, asked: Option<&'static Encoding>) -> io::Result<Self> {
        let mut raw = Vec::new();
        file.by_ref().take(3).read_to_end(&mut raw)?;
        let (encoding, mark) = Encoding::for_bom(&raw).unwrap_or((asked.unwrap_or(UTF_8), 0));
        let decoder = (encoding != UTF_8).then(|| encoding.new_decoder_without_bom_handling());
        Ok(Self { file, encoding, decoder, raw, done: mark, is_over: false, next: None })
    }

    /// What the file is read as.
    pub(super) fn encoding(&self) -> &'static Encoding {
        self.encoding
    }

    /// Puts the next bytes into `into`, in place of what is there.
    pub(super) fn more(&mut self, into: &mut Vec<u8>) -> io::Result<Piece> {
        into.clear();
        loop {
            if let Some(piece) = self.next {
                return Ok(piece);
            }
            if self.done == self.raw.len() && !self.is_over {
                self.refill()?;
            }
            let Some(decoder) = &mut self.decoder else {
                into.extend_from_slice(&self.raw[self.done..]);
                self.done = self.raw.len();
                return Ok(if into.is_empty() { Piece::End } else { Piece::Bytes });
            };
            into.resize(PIECE, 0);
            let rest = &self.raw[self.done..];
            let (result, read, written) = decoder.decode_to_utf8_without_replacement(rest, into, self.is_over);
            self.done += read;
            into.truncate(written);
            match result {
                // A decoder that was told of the end must not be asked again.
                DecoderResult::InputEmpty if self.is_over => self.next = Some(Piece::End),
                DecoderResult::Malformed(..) => self.next = Some(Piece::Malformed),
                DecoderResult::InputEmpty | DecoderResult::OutputFull => {}
            }
            if !into.is_empty() {
                return Ok(Piece::Bytes);
            }
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.raw.resize(PIECE, 0);
        self.done = 0;
        let read = loop {
            match self.file.read(&mut self.raw) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.raw.truncate(read);
        self.is_over = read == 0;
        Ok(())
    }
}
