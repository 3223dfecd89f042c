//! The cells of a CSV file and where each stands: the one grammar, for what is read and for what errors say.
//!
//! It is RFC 4180's, and wider where files are: a line ends with LF, CRLF or CR alone, also all of them in one file, and the
//! last one need not end; a quote within a cell that did not begin with one is a character. Line breaks within quotes become
//! LF, as the server stores them. A row is bounded before its memory is taken.
//!
//! The csv crate is not used here since it counts no lines that end with CR, has no bounds, and does not tell a quote that is
//! never closed, which would swallow the rows behind it.

use std::io;

use super::decode::{Decoded, Piece};

/// The most columns, and the most bytes of a row. A message to the server may have 4 MiB.
const MOST_COLUMNS: usize = 4_096;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Reads rows.
pub(super) struct Cells {
    from: Decoded,
    separator: u8,
    buffer: Vec<u8>,
    /// How much of the buffer is read.
    at: usize,
    /// The line of the next byte, from 1.
    line: u64,
    after_cr: bool,
    /// The bytes of the cell that is being read.
    cell: Vec<u8>,
}

/// The cells of a row, and the line on which each begins.
#[derive(Default)]
pub(super) struct Row {
    text: String,
    ends: Vec<usize>,
    lines: Vec<u64>,
}

/// Why reading stops.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    /// The bytes are none of the encoding that the file is read as.
    Encoding {
        line: u64,
        column: usize,
        what: String,
    },
    /// The rows cannot be told apart, or are too large.
    Grammar {
        line: u64,
        column: usize,
        what: String,
    },
}

/// Where in a cell the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Unquoted,
    Quoted,
    /// Behind a quote that closes the cell, unless another follows.
    Quote,
    /// Behind blanks after the quote that closes the cell.
    Closed,
}

// === impl Cells ===

impl Cells {
    pub(super) fn new(from: Decoded, separator: u8) -> Self {
        Self { from, separator, buffer: Vec::new(), at: 0, line: 1, after_cr: false, cell: Vec::new() }
    }

    /// Reads the next row, in place of what is there; false at the end of the file.
    pub(super) fn read(&mut self, row: &mut Row) -> Result<bool, Fault> {
        row.clear(self.line);
        self.cell.clear();
        let (mut at, mut begun, mut opened) = (At::Start, false, 0);
        loop {
            let Some(byte) = self.next(row)? else {
                if at == At::Quoted {
                    return Err(row.fault(opened, "a quote is opened here and never closed".to_owned()));
                }
                if begun {
                    self.end(row)?;
                }
                return Ok(begun);
            };
            begun = true;
            at = match (at, byte) {
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) => self.push(byte, At::Quoted),
                (At::Start, b'"') => {
                    opened = self.line;
                    At::Quoted
                }
                (_, b'\n') => {
                    self.end(row)?;
                    return Ok(true);
                }
                (_, _) if byte == self.separator => {
                    self.end(row)?;
                    if row.ends.len() >= MOST_COLUMNS {
                        let what = format!("there are more than {MOST_COLUMNS} columns");
                        return Err(row.fault(self.line, what));
                    }
                    row.lines.push(self.line);
                    At::Start
                }
                (At::Quote, b'"') => self.push(byte, At::Quoted),
                (At::Quote | At::Closed, b' ') => self.push(byte, At::Closed),
                // On one line it is somebody's `"Acme" GmbH`; over several, rows would be swallowed.
                (At::Quote | At::Closed, _) if self.line != opened => {
                    let what = format!(
                        "a quote is opened here and closed on line {}, where more text follows; a quote is missing, or not \
                         written twice",
                        self.line
                    );
                    return Err(row.fault(opened, what));
                }
                _ => self.push(byte, At::Unquoted),
            };
            if row.text.len() + self.cell.len() > MOST_BYTES {
                let (line, what) = match at {
                    At::Quoted => (opened, "a quote is opened here, and not closed within 4 MiB"),
                    _ => (row.line(), "the row has more than 4 MiB"),
                };
                return Err(row.fault(line, what.to_owned()));
            }
        }
    }

    fn push(&mut self, byte: u8, then: At) -> At {
        self.cell.push(byte);
        then
    }

    /// Ends the cell.
    fn end(&mut self, row: &mut Row) -> Result<(), Fault> {
        match std::str::from_utf8(&self.cell) {
            Ok(text) => row.text.push_str(text),
            Err(error) => {
                let (before, _) = self.cell.split_at(error.valid_up_to());
                let breaks = before.iter().filter(|byte| **byte == b'\n').count() as u64;
                let what = "is not UTF-8; if the file comes from an older Windows program, add --encoding windows-1252 for \
                            Western Europe, gb18030 or big5 for Chinese, shift_jis for Japanese, euc-kr for Korean, \
                            windows-1251 for Cyrillic";
                let line = row.lines.last().map_or(self.line, |line| line + breaks);
                return Err(Fault::Encoding { line, column: row.lines.len(), what: what.to_owned() });
            }
        }
        row.ends.push(row.text.len());
        self.cell.clear();
        Ok(())
    }

    /// The next byte, LF for whatever ends a line; None at the end.
    fn next(&mut self, row: &Row) -> Result<Option<u8>, Fault> {
        let fault = |line, what| Fault::Encoding { line, column: row.lines.len(), what };
        loop {
            let Some(byte) = self.buffer.get(self.at).copied() else {
                self.at = 0;
                match self.from.more(&mut self.buffer).map_err(Fault::Io)? {
                    Piece::Bytes => continue,
                    Piece::End => return Ok(None),
                    Piece::Malformed => {
                        let what = format!(
                            "is not {}; --encoding names what the file is written in",
                            self.from.encoding().name()
                        );
                        return Err(fault(self.line, what));
                    }
                }
            };
            self.at += 1;
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => {
                    self.after_cr = byte == b'\r';
                    self.line += 1;
                    return Ok(Some(b'\n'));
                }
                0 => {
                    let what = "holds a zero byte, as UTF-16 does; if it is that, add --encoding utf-16le or utf-16be";
                    return Err(fault(self.line, what.to_owned()));
                }
                byte => return Ok(Some(byte)),
            }
        }
    }
}

// === impl Fault ===

impl Fault {
    /// How many columns the reader had come to.
    pub(super) fn column(&self) -> usize {
        match self {
            Self::Io(_) => 0,
            Self::Encoding { column, .. } | Self::Grammar { column, .. } => *column,
        }
    }
}

// === impl Row ===

impl Row {
    fn clear(&mut self, line: u64) {
        self.text.clear();
        self.ends.clear();
        self.lines.clear();
        self.lines.push(line);
    }

    /// How many cells there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The line on which the row begins.
    pub(super) fn line(&self) -> u64 {
        self.line_of(0)
    }

    /// The line on which a cell begins.
    pub(super) fn line_of(&self, cell: usize) -> u64 {
        self.lines.get(cell).copied().unwrap_or_default()
    }

    /// A cell, without the blanks around it; empty where there is none.
    pub(super) fn cell(&self, cell: usize) -> &str {
        let begin = if cell == 0 { Some(0) } else { self.ends.get(cell - 1).copied() };
        let range = begin.zip(self.ends.get(cell).copied());
        range.and_then(|(begin, end)| self.text.get(begin..end)).unwrap_or_default().trim()
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|cell| self.cell(cell))
    }

    /// Whether nothing stands in it.
    pub(super) fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    fn fault(&self, line: u64, what: String) -> Fault {
        Fault::Grammar { line, column: self.lines.len(), what }
    }
}
