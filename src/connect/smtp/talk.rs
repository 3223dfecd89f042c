//! A talk with a mail server: from the connection to the sign-in, and then letter by letter.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use lettre::Address;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::account::{Account, Security};
use super::sign_in::sign_in;
use super::token::Tokens;
use super::wire::{Deadlines, Offers, Stream, Wire, millis};
use crate::connect::guard::Guard;
use crate::domain::address;
use crate::domain::delivery::{Fate, Stage, Transcript};

/// A letter and whom it goes to.
pub struct Letter<'a> {
    pub from: &'a str,
    pub to: &'a str,
    /// The message in 7-bit characters, its lines ending with CRLF.
    pub content: &'a [u8],
}

/// The right to send an e-mail, which is held for a time.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Whether it still holds, and will for as long as it takes to send the letter: a few minutes
    /// ([`Deadlines::content`]). Asked before the letter is announced, and again right before it is sent.
    async fn holds(&self) -> bool;
}

/// What all talks share.
pub(super) struct Means {
    pub(super) guard: Guard,
    pub(super) deadlines: Deadlines,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) tokens: Tokens,
}

/// A connection on which the mailbox is signed in.
pub(super) struct Talk {
    wire: Wire,
    offers: Offers,
    /// The letters that were begun.
    pub(super) letters: u32,
    pub(super) account: Account,
}

// === impl Talk ===

impl Talk {
    /// Connects and signs in.
    pub(super) async fn open(
        means: &Means,
        mailbox: &str,
        account: &Account,
        notes: &mut Transcript,
    ) -> Result<Self, Fate> {
        let mut stream: Box<dyn Stream> = Box::new(means.connect(account, notes).await?);
        if account.security == Security::Tls {
            stream = means.secure(account, stream, notes).await?;
        }
        let mut wire = Wire::new(stream, means.deadlines);
        wire.greeting(notes).await?;
        let mut offers = wire.hello(&account.hello_name, notes).await?;
        if account.security == Security::Starttls {
            if !offers.starttls {
                notes.noted(Stage::Tls, "the server does not offer STARTTLS; without it nothing is sent", 0);
                return Err(Fate::SignInRefused);
            }
            wire.ask(Stage::Tls, "STARTTLS", notes).await?;
            let Some(stream) = wire.into_stream() else {
                notes.noted(Stage::Tls, "something in plain text follows the server's answer to STARTTLS", 0);
                return Err(Fate::SignInRefused);
            };
            wire = Wire::new(means.secure(account, stream, notes).await?, means.deadlines);
            offers = wire.hello(&account.hello_name, notes).await?;
        }
        sign_in(&mut wire, &offers, &account.sign_in, (&means.tokens, mailbox), notes).await?;
        Ok(Self { wire, offers, letters: 0, account: account.clone() })
    }

    /// Sends a letter. After anything but success the server is told to forget it, so that the next one can follow.
    pub(super) async fn send(&mut self, letter: &Letter<'_>, lease: &dyn Lease, notes: &mut Transcript) -> Fate {
        self.letters += 1;
        let (Ok(fate) | Err(fate)) = self.offer(letter, lease, notes).await;
        if fate == Fate::Unclear {
            self.wire.lose();
        }
        let is_taken = matches!(fate, Fate::Taken { .. });
        if !is_taken && !self.wire.is_lost() && self.wire.ask(Stage::Reset, "RSET", notes).await.is_err() {
            self.wire.lose();
        }
        fate
    }

    pub(super) fn is_lost(&self) -> bool {
        self.wire.is_lost()
    }

    pub(super) async fn quit(self) {
        if !self.is_lost() {
            self.wire.quit().await;
        }
    }

    /// What becomes of the letter, by whatever way it ends.
    async fn offer(&mut self, letter: &Letter<'_>, lease: &dyn Lease, notes: &mut Transcript) -> Result<Fate, Fate> {
        let utf8 = self.fit(letter).map_err(|why| {
            notes.noted(Stage::Sender, why, 0);
            Fate::Unfit
        })?;
        let [from, to] = [letter.from, letter.to].map(address::for_header);
        let smtputf8 = if utf8 { " SMTPUTF8" } else { "" };
        self.wire.ask(Stage::Sender, &format!("MAIL FROM:<{from}>{smtputf8}"), notes).await?;
        self.wire.ask(Stage::Recipient, &format!("RCPT TO:<{to}>"), notes).await?;
        if !self.may_send(lease).await {
            return Err(Fate::Withdrawn);
        }
        let answer = self.wire.ask(Stage::Data, "DATA", notes).await?;
        if answer.code != 354 {
            self.wire.lose();
            return Err(Fate::NotNow);
        }
        if !self.may_send(lease).await {
            // What is not ended with a dot is not taken.
            self.wire.lose();
            return Err(Fate::Withdrawn);
        }
        Ok(self.wire.content(letter.content, notes).await)
    }

    /// Who cannot say that the lease holds has lost it.
    async fn may_send(&self, lease: &dyn Lease) -> bool {
        timeout(self.wire.deadlines().answer, lease.holds()).await.unwrap_or(false)
    }

    /// Whether the server can take the letter, and whether only with SMTPUTF8 (RFC 6531).
    fn fit(&self, letter: &Letter<'_>) -> Result<bool, &'static str> {
        let [from, to] = [letter.from, letter.to].map(address::for_header);
        if [&from, &to].into_iter().any(|address| address.parse::<Address>().is_err()) {
            return Err("no mail can be sent to or from such an address");
        }
        let head = letter.content.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(letter.content.len());
        let (head, body) = letter.content.split_at(head);
        // Reply-To may be the only address beyond ASCII.
        let utf8 = !from.is_ascii() || !to.is_ascii() || !head.is_ascii();
        if utf8 && !self.offers.smtputf8 {
            return Err("the server does not take addresses with other than ASCII characters before the @ (SMTPUTF8)");
        }
        if !body.is_ascii() {
            return Err("the letter is not in 7-bit characters");
        }
        if has_bare_break(letter.content) {
            return Err("the letter has a line that does not end with CRLF");
        }
        if self.offers.size > 0 && letter.content.len() > self.offers.size {
            return Err("the letter is larger than the server takes");
        }
        Ok(utf8)
    }
}

/// Whether a line ends otherwise than with CRLF, which two servers may read in two ways (SMTP smuggling).
fn has_bare_break(content: &[u8]) -> bool {
    let bare = |pair: &[u8]| (pair[0] == b'\r') != (pair[1] == b'\n');
    content.first() == Some(&b'\n') || content.last() == Some(&b'\r') || content.windows(2).any(bare)
}

// === impl Means ===

impl Means {
    /// Connects to one of the server's addresses that may be connected to.
    async fn connect(&self, account: &Account, notes: &mut Transcript) -> Result<TcpStream, Fate> {
        let began = Instant::now();
        let connected = timeout(self.deadlines.connect, self.connect_any(account)).await;
        let connected = connected.unwrap_or_else(|_| Err("it does not answer in time".to_owned()));
        let words = match &connected {
            Ok(stream) => {
                stream.peer_addr().map_or_else(|_| "connected".to_owned(), |peer| format!("connected to {peer}"))
            }
            Err(why) => why.clone(),
        };
        notes.noted(Stage::Connect, &words, millis(began));
        connected.map_err(|_| Fate::NotNow)
    }

    async fn connect_any(&self, account: &Account) -> Result<TcpStream, String> {
        let addresses = self.guard.resolve(&account.host, account.port).await.map_err(|error| error.to_string())?;
        let mut last = String::new();
        for address in addresses {
            if account.security == Security::None && !address.ip().to_canonical().is_loopback() {
                return Err("plain text is spoken to this machine alone: set TLS or STARTTLS".to_owned());
            }
            // One that is silent leaves time for the next.
            match timeout(self.deadlines.connect / 2, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Commands are small, and each waits for its answer.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = format!("{address}: {error}"),
                Err(_) => last = format!("{address} does not answer in time"),
            }
        }
        Err(last)
    }

    /// TLS with a server whose certificate is its own.
    async fn secure(
        &self,
        account: &Account,
        stream: Box<dyn Stream>,
        notes: &mut Transcript,
    ) -> Result<Box<dyn Stream>, Fate> {
        let began = Instant::now();
        let secured = async {
            let name = ServerName::try_from(account.host.clone()).map_err(io::Error::other)?;
            TlsConnector::from(self.tls.clone()).connect(name, stream).await
        };
        match timeout(self.deadlines.connect, secured).await {
            Ok(Ok(stream)) => {
                let version = stream.get_ref().1.protocol_version();
                let words = version.and_then(|version| version.as_str()).unwrap_or("TLS").replace('_', ".");
                notes.noted(Stage::Tls, &words, millis(began));
                Ok(Box::new(stream))
            }
            Ok(Err(error)) => {
                // A certificate that is not its own, or no TLS at all, does not pass by itself.
                let stays = error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>());
                notes.noted(Stage::Tls, &format!("no TLS with the server: {error}"), millis(began));
                Err(if stays { Fate::SignInRefused } else { Fate::NotNow })
            }
            Err(_) => {
                notes.noted(Stage::Tls, "no TLS with the server in time", millis(began));
                Err(Fate::NotNow)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_both() {
        for good in ["", "a", "a\r\n", "\r\n", "a\r\n\r\nb"] {
            assert!(!has_bare_break(good.as_bytes()), "{good:?}");
        }
        for bad in ["\n", "\r", "a\nb", "a\rb", "a\r\r\n", "a\r\n\nb", "a\r\n\rb", "a\n"] {
            assert!(has_bare_break(bad.as_bytes()), "{bad:?}");
        }
    }
}
