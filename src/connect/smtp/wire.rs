//! The bytes of a talk with a mail server (RFC 5321): lines out, answers in, each within its time and its bounds.
//!
//! Herald reads and writes them itself, since of lettre's connection nobody learns what the server has said in its greeting, or
//! whether the final dot was sent; and it reads lines without end, takes an answer that is not UTF-8 for a broken connection, and
//! goes on after STARTTLS with what came in plain text.

use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use crate::crash;
use crate::domain::delivery::{Answer, Fate, Stage, Transcript, fate};

/// How long each part of a talk may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// The connection; and then TLS.
    pub connect: Duration,
    /// The answer to a command, or the greeting (RFC 5321, 4.5.3.2, has five minutes for a client without a person waiting).
    pub answer: Duration,
    /// The letter, until the server has taken it all but for the final dot.
    pub content: Duration,
    /// The answer to the final dot (RFC 5321, 4.5.3.2.6): a shorter time sends e-mails twice.
    pub end: Duration,
    /// The goodbye, which nobody waits for.
    pub quit: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let [connect, answer, content, end, quit] = [30, 120, 180, 600, 5].map(Duration::from_secs);
        Self { connect, answer, content, end, quit }
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// A connection to a mail server.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    /// What was read and not yet looked at.
    ahead: Vec<u8>,
    deadlines: Deadlines,
    /// What nobody may read, should the server repeat it.
    hidden: Vec<String>,
    is_lost: bool,
}

/// What the server offers (the answer to EHLO).
#[derive(Debug, Default)]
pub(super) struct Offers {
    pub(super) starttls: bool,
    pub(super) smtputf8: bool,
    /// The largest letter, in bytes; 0 says nothing.
    pub(super) size: usize,
    /// In capitals.
    pub(super) sign_ins: Vec<String>,
}

/// A reply as it was read: its code, and its lines without it.
struct Reply {
    code: u16,
    lines: Vec<String>,
}

/// The longest line of an answer, in bytes (RFC 5321, 4.5.3.1.5, has 512; some write more), and the most lines of one.
const MAX_LINE: usize = 4_096;
const MAX_LINES: usize = 100;
/// A word of an answer that long is looked for in what was sent to sign in.
const MIN_ECHO: usize = 8;

// === impl Wire ===

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>, deadlines: Deadlines) -> Self {
        Self { stream, ahead: Vec::new(), deadlines, hidden: Vec::new(), is_lost: false }
    }

    /// The stream, to go on with over TLS; None if there is something in plain text that would be taken for what came over TLS.
    pub(super) fn into_stream(self) -> Option<Box<dyn Stream>> {
        self.ahead.is_empty().then_some(self.stream)
    }

    pub(super) fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Whether nothing more can be said.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    pub(super) fn lose(&mut self) {
        self.is_lost = true;
    }

    /// Keeps a text out of every transcript.
    pub(super) fn hide(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.hidden.push(secret.to_owned());
        }
    }

    pub(super) async fn greeting(&mut self, notes: &mut Transcript) -> Result<(), Fate> {
        self.exchange(Stage::Greeting, None, notes).await.map(drop)
    }

    pub(super) async fn hello(&mut self, name: &str, notes: &mut Transcript) -> Result<Offers, Fate> {
        let (_, reply) = self.exchange(Stage::Hello, Some(&format!("EHLO {name}")), notes).await?;
        Ok(Offers::read(&reply.lines))
    }

    /// Sends a command. The answer, unless it refuses.
    pub(super) async fn ask(&mut self, stage: Stage, command: &str, notes: &mut Transcript) -> Result<Answer, Fate> {
        self.exchange(stage, Some(command), notes).await.map(|(answer, _)| answer)
    }

    pub(super) async fn quit(mut self) {
        let time = self.deadlines.quit;
        let bye = async {
            self.send("QUIT").await?;
            self.reply().await?;
            self.stream.shutdown().await
        };
        let _ = timeout(time, bye).await;
    }

    /// Sends the letter, and tells what became of it. Whatever goes wrong before the final dot leaves nothing taken; after it nobody
    /// knows.
    pub(super) async fn content(&mut self, content: &[u8], notes: &mut Transcript) -> Fate {
        let began = Instant::now();
        let letter = stuffed(content);
        let written = async {
            self.stream.write_all(&letter).await?;
            self.stream.flush().await
        };
        let written = in_time(self.deadlines.content, written).await;
        // Who speaks or hangs up before the dot does not take the letter.
        let written = written.and_then(|()| match self.fill().now_or_never() {
            None => Ok(()),
            Some(heard) => heard.and(Err(io::Error::other("the server answers before the end of the letter"))),
        });
        if let Err(error) = written {
            self.lost(Stage::Content, &error, began, notes);
            return Fate::NotNow;
        }
        crash::point("smtp.before_dot");
        let answered = in_time(self.deadlines.end, async {
            self.stream.write_all(b".\r\n").await?;
            self.stream.flush().await?;
            crash::point("smtp.after_dot");
            self.reply().await
        });
        match answered.await {
            Ok(reply) => {
                crash::point("smtp.answered");
                let answer = self.heard(Stage::Content, &reply, began, notes);
                fate(Stage::Content, &answer)
            }
            Err(error) => {
                self.lost(Stage::Content, &error, began, notes);
                Fate::Unclear
            }
        }
    }

    /// Sends a command, if there is one, and reads the reply to it.
    async fn exchange(
        &mut self,
        stage: Stage,
        command: Option<&str>,
        notes: &mut Transcript,
    ) -> Result<(Answer, Reply), Fate> {
        let began = Instant::now();
        let answered = in_time(self.deadlines.answer, async {
            if let Some(command) = command {
                self.send(command).await?;
            }
            self.reply().await
        });
        match answered.await {
            Ok(reply) => {
                let answer = self.heard(stage, &reply, began, notes);
                if answer.code < 400 { Ok((answer, reply)) } else { Err(fate(stage, &answer)) }
            }
            Err(error) => {
                self.lost(stage, &error, began, notes);
                Err(Fate::NotNow)
            }
        }
    }

    /// Notes a reply.
    fn heard(&mut self, stage: Stage, reply: &Reply, began: Instant, notes: &mut Transcript) -> Answer {
        let lines: Vec<_> = reply.lines.iter().map(|line| self.without_secrets(line)).collect();
        let mut answer = Answer::new(reply.code, &lines);
        if stage == Stage::SignIn && answer.code == 334 {
            // A question of the sign-in, in base64.
            answer.text.clear();
        }
        notes.answered(stage, &answer, millis(began));
        // "I am about to close the connection."
        self.is_lost |= answer.code == 421;
        answer
    }

    fn lost(&mut self, stage: Stage, error: &io::Error, began: Instant, notes: &mut Transcript) {
        self.is_lost = true;
        notes.noted(stage, &error.to_string(), millis(began));
    }

    fn without_secrets(&self, line: &str) -> String {
        let line = self.hidden.iter().fold(line.to_owned(), |line, secret| line.replace(secret, "***"));
        let is_echo = |word: &str| word.len() >= MIN_ECHO && self.hidden.iter().any(|hidden| hidden.contains(word));
        let words = line.split(' ').map(|word| if is_echo(word) { "***" } else { word });
        words.collect::<Vec<_>>().join(" ")
    }

    async fn send(&mut self, command: &str) -> io::Result<()> {
        // A line break would begin another command.
        if command.contains(char::is_control) {
            return Err(io::Error::other("a control character cannot be sent"));
        }
        self.stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        let no_smtp = || io::Error::other("the answer is none of a mail server's");
        let mut reply = Reply { code: 0, lines: Vec::new() };
        loop {
            let line = self.line().await?;
            let (digits, rest) = line.split_at_checked(3).ok_or_else(no_smtp)?;
            let code = digits.parse().ok().filter(|code| (200..600).contains(code)).ok_or_else(no_smtp)?;
            if reply.lines.len() == MAX_LINES || !reply.lines.is_empty() && code != reply.code {
                return Err(no_smtp());
            }
            let (is_last, text) = match rest.strip_prefix('-') {
                Some(text) => (false, text),
                None if rest.is_empty() || rest.starts_with(' ') => (true, rest.trim_start()),
                None => return Err(no_smtp()),
            };
            reply.code = code;
            reply.lines.push(text.to_owned());
            if is_last {
                return Ok(reply);
            }
        }
    }

    /// The next line, without its end, whatever its charset.
    async fn line(&mut self) -> io::Result<String> {
        loop {
            let end = self.ahead.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.ahead.len() >= MAX_LINE {
                return Err(io::Error::other("the answer has a line that does not end"));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 1_024];
        match self.stream.read(&mut piece).await? {
            0 => Err(io::Error::other("the server has closed the connection")),
            count => {
                self.ahead.extend_from_slice(&piece[..count]);
                Ok(())
            }
        }
    }
}

async fn in_time<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || Err(io::Error::other(format!("no answer within {} seconds", time.as_secs_f32())));
    timeout(time, work).await.unwrap_or_else(|_| late())
}

pub(super) fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The letter with a second dot where a line begins with one (RFC 5321, 4.5.2), ending with its line.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 64);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

// === impl Offers ===

impl Offers {
    /// The first line greets; keywords may be spelled in any case.
    fn read(lines: &[String]) -> Self {
        let mut offers = Self::default();
        for line in lines.iter().skip(1) {
            // Old servers write AUTH=LOGIN.
            let line = line.to_ascii_uppercase().replace("AUTH=", "AUTH ");
            let mut words = line.split_whitespace();
            match words.next() {
                Some("STARTTLS") => offers.starttls = true,
                Some("SMTPUTF8") => offers.smtputf8 = true,
                Some("SIZE") => offers.size = words.next().and_then(|size| size.parse().ok()).unwrap_or(0),
                Some("AUTH") => offers.sign_ins.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::MAX_WORDS;

    /// A server that says so, whatever it is told.
    fn wire(answers: &[u8]) -> Wire {
        let stream = tokio::io::join(io::Cursor::new(answers.to_vec()), tokio::io::sink());
        Wire::new(Box::new(stream), Deadlines::default())
    }

    #[tokio::test]
    async fn answers_are_read_within_their_bounds() {
        let lines = |count: usize| [b"250-a\r\n".repeat(count - 1), b"250 b\r\n".to_vec()].concat();
        let said = |count: usize| [vec!["a"; count - 1].join(" "), "b".to_owned()].join(" ");
        let line = |bytes: usize| format!("250 {}\r\n", "x".repeat(bytes - 6));
        for (bytes, right) in [
            (&b"250 ok\r\n"[..], Ok((250, "ok"))),
            (b"250\r\n", Ok((250, ""))),
            (b"250-2.0.0 a\r\n250 2.0.0 b\n", Ok((250, "a b"))),
            (b"250 \xd3\xff\r\n", Ok((250, "\u{fffd}\u{fffd}"))),
            (b"", Err("the server has closed the connection")),
            (b"250-half\r\n", Err("the server has closed the connection")),
            (b"250-a\r\n251 b\r\n", Err("the answer is none of a mail server's")),
            (b"HTTP/1.1 400 Bad Request\r\n", Err("the answer is none of a mail server's")),
            (b"99 a\r\n", Err("the answer is none of a mail server's")),
            (b"+25 a\r\n", Err("the answer is none of a mail server's")),
            (&lines(MAX_LINES), Ok((250, said(MAX_LINES).as_str()))),
            (&lines(MAX_LINES + 1), Err("the answer is none of a mail server's")),
            (line(MAX_LINE).as_bytes(), Ok((250, "x".repeat(MAX_WORDS).as_str()))),
            (line(MAX_LINE + 1).as_bytes(), Err("the answer has a line that does not end")),
        ] {
            let reply = wire(bytes).reply().await;
            let read = reply.map(|reply| Answer::new(reply.code, &reply.lines)).map_err(|error| error.to_string());
            let read = read.as_ref().map(|answer| (answer.code, answer.text.as_str())).map_err(String::as_str);
            assert_eq!(read, right, "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
        }
    }

    #[tokio::test]
    async fn nothing_that_was_hidden_is_noted_and_no_line_is_smuggled() {
        let mut wire = wire(b"500 what is AGFubmEAaHVudGVyMg== and AGFubmEAaHV and hunter2?\r\n");
        wire.hide("hunter2");
        wire.hide("AGFubmEAaHVudGVyMg==");
        let mut notes = Transcript::default();
        assert_eq!(wire.ask(Stage::SignIn, "AUTH", &mut notes).await, Err(Fate::SignInRefused));
        assert_eq!(notes.lines[0].words, "what is *** and *** and ***?");
        assert_eq!(wire.ask(Stage::Sender, "MAIL FROM:<a>\r\nDATA", &mut notes).await, Err(Fate::NotNow));
        assert!(wire.is_lost());
    }

    #[test]
    fn dots_are_doubled_and_the_last_line_ends() {
        for (content, right) in [
            (&b"a\r\n.\r\n..b\r\nc"[..], &b"a\r\n..\r\n...b\r\nc\r\n"[..]),
            (b".a\r\n", b"..a\r\n"),
            (b"a.\r\n", b"a.\r\n"),
            (b"", b""),
        ] {
            assert_eq!(stuffed(content), right);
        }
    }

    #[test]
    fn offers_are_read_in_any_case() {
        let lines = ["mx.example.com SMTPUTF8", "size 1000", "Auth plain", "AUTH=LOGIN", "StartTLS"].map(str::to_owned);
        let offers = Offers::read(&lines);
        assert!(offers.starttls && !offers.smtputf8 && offers.size == 1_000);
        assert_eq!(offers.sign_ins, ["PLAIN", "LOGIN"]);
    }
}
