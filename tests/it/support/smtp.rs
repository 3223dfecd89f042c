//! A mail server that does as it is told (`tests/peers/smtp_peer.py`), with a token server beside it.
//!
//! ```ignore
//! let peer = SmtpPeer::start();
//! peer.rules([Rule::at(Stage::Recipient).to("kim@").answers("550 5.1.1 no such user")]);
//! // … send from peer.account(Security::Starttls), trusting peer.authorities() …
//! assert_eq!(peer.taken().len(), 1);
//! ```

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use herald::config::Secret;
use herald::connect::smtp::{Account, OAuth, Security, SignIn};
use herald::domain::delivery::Stage;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::token::Authority;

/// A running peer; killed when dropped.
pub struct SmtpPeer {
    child: Child,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    ports: BTreeMap<String, u16>,
    authority: Authority,
}

/// What the peer does at a stage, in the place of what it would do.
#[derive(Clone)]
pub struct Rule(Map<String, Value>);

/// A letter that the peer has taken.
#[derive(Debug, Clone, Deserialize)]
pub struct Taken {
    pub from: String,
    pub to: Vec<String>,
    /// Such as SMTPUTF8, of MAIL FROM.
    pub options: Vec<String>,
    /// Without brackets.
    pub message_id: String,
    /// As it was sent, without the doubled dots.
    pub raw: String,
    /// PLAIN, LOGIN or XOAUTH2, and who signed in by it.
    pub mechanism: Option<String>,
    pub user: Option<String>,
    pub tls: bool,
    pub hello: String,
    /// Its number, from 1.
    pub connection: u64,
}

/// A command that came, without what signs in.
#[derive(Debug, Clone, Deserialize)]
pub struct Came {
    pub connection: u64,
    pub command: String,
}

// === impl SmtpPeer ===

impl SmtpPeer {
    pub fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let authority = Authority::new();
        let mut command = Command::new(root.join("target/venv/bin/python"));
        command
            .arg(root.join("tests/peers/smtp_peer.py"))
            .args(["server.pem", "server.key"].map(|n| authority.path(n)));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("aiosmtpd is installed by `make test`");
        let input = child.stdin.take().expect("its input");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let ports = serde_json::from_str(&line).expect("its ports");
        Self { child, talk: Mutex::new((input, output)), ports, authority }
    }

    /// Puts these rules in the place of those that held.
    pub fn rules(&self, rules: impl IntoIterator<Item = Rule>) {
        let rules: Vec<_> = rules.into_iter().map(|rule| rule.0).collect();
        self.order::<()>(&json!({ "do": "rules", "rules": rules }));
    }

    /// The settings that the peer has by their names, for connections to come; the others are as at first.
    pub fn settings(&self, settings: Value) {
        self.order::<()>(&json!({ "do": "settings", "settings": settings }));
    }

    /// The letters that were taken, in order.
    pub fn taken(&self) -> Vec<Taken> {
        self.order(&json!({ "do": "taken" }))
    }

    pub fn log(&self) -> Vec<Came> {
        self.order(&json!({ "do": "log" }))
    }

    /// How often a command that begins so has come.
    pub fn count(&self, command: &str) -> usize {
        self.log().iter().filter(|came| came.command.starts_with(command)).count()
    }

    /// The forms that the token server was sent.
    pub fn token_requests(&self) -> Vec<BTreeMap<String, String>> {
        self.order(&json!({ "do": "tokens" }))
    }

    /// Takes back every access token.
    pub fn revoke(&self) {
        self.order::<()>(&json!({ "do": "revoke" }));
    }

    /// A mailbox that needs no sign-in here.
    pub fn account(&self, security: Security) -> Account {
        let name = match security {
            Security::None => "plain",
            Security::Starttls => "starttls",
            Security::Tls => "tls",
        };
        Account {
            host: "localhost".to_owned(),
            port: self.ports[name],
            security,
            sign_in: SignIn::None,
            hello_name: "herald.test".to_owned(),
        }
    }

    /// The same with a password.
    pub fn with_password(&self, security: Security, username: &str, secret: &str) -> Account {
        let sign_in = SignIn::Password { username: username.to_owned(), secret: Secret::new(secret) };
        Account { sign_in, ..self.account(security) }
    }

    /// The same mailbox, whose refresh token is another now.
    pub fn with_refresh_token(&self, account: &Account, refresh_token: &str) -> Account {
        let SignIn::OAuth { username, oauth } = account.sign_in.clone() else { panic!("it has tokens") };
        let oauth = OAuth { refresh_token: Secret::new(refresh_token), ..oauth };
        Account { sign_in: SignIn::OAuth { username, oauth }, ..account.clone() }
    }

    /// The same with tokens of the token server.
    pub fn with_tokens(&self, security: Security, username: &str) -> Account {
        let oauth = OAuth {
            client_id: "client-id".to_owned(),
            client_secret: Secret::new("client-secret"),
            refresh_token: Secret::new("refresh-token-0"),
            token_url: format!("http://127.0.0.1:{}/token", self.ports["tokens"]).parse().expect("a URL"),
        };
        Account { sign_in: SignIn::OAuth { username: username.to_owned(), oauth }, ..self.account(security) }
    }

    /// The file of the authority that has signed the peer's certificate.
    pub fn authorities(&self) -> PathBuf {
        self.authority.path("ca.pem")
    }

    fn order<T: DeserializeOwned>(&self, order: &Value) -> T {
        let mut talk = self.talk.lock().expect("no panic");
        writeln!(talk.0, "{order}").expect("the peer is there");
        let mut line = String::new();
        talk.1.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{order}: {error}: {line:?}"))
    }
}

impl Drop for SmtpPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Rule ===

impl Rule {
    pub fn at(stage: Stage) -> Self {
        Self(Map::new()).with("at", stage.as_str())
    }

    /// Only for recipients in whose address this is.
    pub fn to(self, part: &str) -> Self {
        self.with("to", part)
    }

    /// Holds so often, and no more.
    pub fn times(self, times: u32) -> Self {
        self.with("times", times)
    }

    /// Lets so many pass first.
    pub fn skip(self, skip: u32) -> Self {
        self.with("skip", skip)
    }

    /// Lines split by `|`.
    pub fn answers(self, answer: &str) -> Self {
        self.with("answer", answer)
    }

    /// Closes the connection after the answer.
    pub fn closes(self) -> Self {
        self.with("close", true)
    }

    /// Lets the connection drop: after the answer, if there is one.
    pub fn drops(self) -> Self {
        self.with("drop", true)
    }

    /// At the content: takes the letter all the same.
    pub fn taken(self) -> Self {
        self.with("taken", true)
    }

    pub fn late(self, delay: Duration) -> Self {
        self.with("delay", delay.as_secs_f64())
    }

    /// Answers byte by byte.
    pub fn in_pieces(self) -> Self {
        self.with("pieces", true)
    }

    /// Of the token server.
    pub fn token_answer(status: u16, body: &str) -> Self {
        Self::at(Stage::Token).with("status", status).with("body", body)
    }

    /// Of the token server: an answer of so many bytes.
    pub fn token_bytes(bytes: usize) -> Self {
        Self::at(Stage::Token).with("bytes", bytes)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }
}
