//! The one way to the terminal: standard output, standard error, the bars and the log.
//!
//! What Herald prints is full of other people's words: a website's name for its company, a prospect's name, the message of
//! a server. A terminal obeys the control characters in them, up to typing commands for the person who looks. So nothing
//! gets through but line breaks and tabs; everything else is [`shown`]. Clippy bans the other ways (`clippy.toml`,
//! `print_stdout`, `print_stderr`).
//!
//! Absent on purpose: colours of our own, and a way around for "our own" texts. The bars' and the log's come from their crates,
//! which are given texts that hold none.

mod bar;
mod shown;

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

pub use bar::Bar;
pub use shown::{json, line, text};

use shown::logged;

/// Writes a line to standard output.
macro_rules! say {
    ($($arg:tt)*) => {
        $crate::terminal::out(format_args!($($arg)*))
    };
}

/// Writes a line to standard error.
macro_rules! tell {
    ($($arg:tt)*) => {
        $crate::terminal::err(format_args!($($arg)*))
    };
}

pub(crate) use {say, tell};

/// How the log writes a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// For people, without colours.
    Plain,
    /// For people, with the colours of the formatter.
    Colours,
    Json,
}

/// The lines of a log, each given to `write` whole, as tracing-subscriber does.
pub struct LogLines<W> {
    to: W,
    form: LogForm,
}

/// Shows, line by line, what is written to it.
struct Shows<W: Write> {
    to: W,
    /// What came after the last line break.
    rest: Vec<u8>,
}

/// What a shell tells of a program that a closed pipe has ended (128 and SIGPIPE).
const PIPE_CLOSED: i32 = 141;

/// A line to standard output. A reader that has gone away ends the process quietly, as it does other programs.
pub fn out(line: fmt::Arguments<'_>) {
    if try_out(line).is_err() {
        std::process::exit(PIPE_CLOSED);
    }
}

/// The same, for those who go on without a reader.
pub fn try_out(line: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{}", text(&line.to_string()))?;
    out.flush()
}

/// A line to standard error. Where nobody reads it, there is nobody to tell.
pub fn err(line: fmt::Arguments<'_>) {
    let _ = writeln!(stderr().lock(), "{}", text(&line.to_string()));
}

/// Standard output for the data of programs: exact, but for a terminal, where it is shown.
pub fn data() -> Box<dyn Write> {
    let out = stdout();
    if out.is_terminal() { Box::new(Shows { to: out, rest: Vec::new() }) } else { Box::new(out.lock()) }
}

/// Whether a person looks at standard error.
pub fn is_watched() -> bool {
    stderr().is_terminal()
}

/// The columns of a person's screen: what COLUMNS says, or the terminal that standard output is; very many if neither is there.
pub fn width() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let found = || rustix::termios::tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col));
    said.or_else(found).filter(|columns| *columns > 0).unwrap_or(usize::MAX)
}

/// Whether standard error shows colours to a person who has not asked for none (no-color.org).
pub fn has_colours() -> bool {
    is_watched() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Standard error for the log.
pub fn log(form: LogForm) -> LogLines<io::Stderr> {
    LogLines { to: stderr(), form }
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
fn stdout() -> io::Stdout {
    io::stdout()
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
fn stderr() -> io::Stderr {
    io::stderr()
}

// === impl LogLines ===

impl<W: Write> Write for LogLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let all = String::from_utf8_lossy(bytes);
        let (line, end) = all.strip_suffix('\n').map_or((&*all, ""), |line| (line, "\n"));
        let line = logged(line, self.form);
        self.to.write_all(format!("{line}{end}").as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

// === impl Shows ===

impl<W: Write> Shows<W> {
    /// The first `end` bytes of what is held; characters are whole there.
    fn show(&mut self, end: usize) -> io::Result<()> {
        let lines: Vec<u8> = self.rest.drain(..end).collect();
        self.to.write_all(text(&String::from_utf8_lossy(&lines)).as_bytes())
    }
}

impl<W: Write> Write for Shows<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        if let Some(last) = self.rest.iter().rposition(|byte| *byte == b'\n') {
            self.show(last + 1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.show(self.rest.len())?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    struct Writer(Kept, LogForm);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Writer {
        type Writer = LogLines<Kept>;

        fn make_writer(&'a self) -> Self::Writer {
            LogLines { to: self.0.clone(), form: self.1 }
        }
    }

    const BAD: &str = "\u{1b}]0;owned\u{7}Acme\u{9b}31m\u{7f}\0\r\u{e}\u{202e}\nINFO all is well\u{2028}\t";

    fn logged_by(form: LogForm) -> String {
        let kept = Kept::default();
        let writer = Writer(kept.clone(), form);
        let lines = tracing_subscriber::fmt().with_writer(writer).with_ansi(form == LogForm::Colours);
        let log = || {
            let span = tracing::info_span!("span", shown = %BAD, debug = BAD);
            span.in_scope(|| tracing::error!(shown = %BAD, debug = ?BAD, text = BAD, "{BAD}"));
        };
        match form {
            LogForm::Json => tracing::subscriber::with_default(lines.json().flatten_event(true).finish(), log),
            _ => tracing::subscriber::with_default(lines.finish(), log),
        }
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_logged_is_one_line_and_no_control_character() {
        for form in [LogForm::Plain, LogForm::Colours, LogForm::Json] {
            let told = logged_by(form);
            let line = told.strip_suffix('\n').expect("a line");
            assert!(line.contains("Acme") && line.contains("owned"), "{line:?}");
            let mut plain = line.to_owned();
            if form == LogForm::Colours {
                assert!(line.contains("\u{1b}[31mERROR\u{1b}[0m"), "{line:?}");
                for colour in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[3m", "\u{1b}[31m"] {
                    plain = plain.replace(colour, "");
                }
            }
            let controls: Vec<char> = plain.chars().filter(|c| c.is_control() && *c != '\t').collect();
            assert!(controls.is_empty() && !plain.contains(['\u{2028}', '\u{202e}']), "{controls:?} in {line:?}");
            if form == LogForm::Json {
                let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
                // tracing-subscriber itself leaves nothing out of a text.
                assert_eq!(event["text"], BAD);
            }
        }
    }

    #[test]
    fn data_on_a_terminal_is_shown_however_it_is_cut() {
        let data = "email,company\na@example.com,\"Acme\u{9b}31m\n例子\u{1b}\"\nlast\u{7f}";
        for size in 1..8 {
            let kept = Kept::default();
            let mut shows = Shows { to: kept.clone(), rest: Vec::new() };
            data.as_bytes().chunks(size).for_each(|part| shows.write_all(part).unwrap());
            shows.flush().unwrap();
            let shown = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            assert_eq!(shown, text(data), "{size}");
        }
    }
}
