//! Load of one body: h2load, of nghttp2.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::generator::{CONNECTIONS, IN_FLIGHT};
use crate::token::Token;

/// What h2load is to send.
pub struct Load<'a> {
    pub url: String,
    pub token: &'a Token,
    /// None: a GET over HTTP/1.1.
    pub grpc: Option<Grpc<'a>>,
}

pub struct Grpc<'a> {
    pub content_type: &'a str,
    /// The framed message.
    pub body: &'a [u8],
}

/// Requests per second, of `seconds` after a warm-up of one. `answer` is the least that an answer's body must have, in
/// bytes: gRPC tells a refusal in a trailer that h2load does not look at, and such an answer has no body.
pub fn run(load: &Load<'_>, seconds: u64, answer: usize) -> anyhow::Result<f64> {
    let mut body = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("h2load");
    command.args(["-t", "1", "-D", &seconds.to_string(), "--warm-up-time", "1"]);
    command.args(["-H", &format!("authorization: Bearer {}", load.token.as_str())]);
    match &load.grpc {
        Some(grpc) => {
            body.write_all(grpc.body)?;
            command.args(["-c", &CONNECTIONS.to_string(), "-m", &(IN_FLIGHT / CONNECTIONS).to_string()]);
            command.args(["-H", &format!("content-type: {}", grpc.content_type), "-H", "te: trailers"]);
            command.arg("-d").arg(body.path());
        }
        None => {
            command.args(["--h1", "-c", &IN_FLIGHT.to_string(), "-m", "1"]);
        }
    }
    let output = command.arg(&load.url).output().context("h2load: install nghttp2-client")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = Found::of(&text).with_context(|| format!("h2load said: {text}"))?;
    if found.failed > 0 || found.succeeded == 0 {
        bail!("{}: {} of the requests failed: {text}", load.url, found.failed);
    }
    let each = found.data / found.succeeded;
    if each < answer as u64 {
        bail!("{}: answers have {each} bytes, expected at least {answer}", load.url);
    }
    Ok(found.per_second)
}

struct Found {
    per_second: f64,
    succeeded: u64,
    failed: u64,
    data: u64,
}

impl Found {
    fn of(text: &str) -> Option<Self> {
        let line = |start: &str| text.lines().find(|line| line.starts_with(start));
        let number = |part: &str| -> Option<u64> {
            let digits: String = part.chars().filter(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        let before =
            |line: &str, word: &str| -> Option<u64> { number(line.split(word).next()?.rsplit([',', ':']).next()?) };
        let finished = line("finished in")?;
        let per_second = finished.split(',').nth(1)?.trim().strip_suffix(" req/s")?.parse().ok()?;
        let requests = line("requests:")?;
        let statuses = line("status codes:")?;
        let traffic = line("traffic:")?;
        // … (bytes) data
        let data = number(traffic.rsplit('(').next()?)?;
        Some(Self {
            per_second,
            succeeded: before(statuses, "2xx")?,
            failed: before(requests, "failed")? + before(requests, "errored")? + before(requests, "timeout")?,
            data,
        })
    }
}
