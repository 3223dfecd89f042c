//! Makes the message that a mail server or a mail program takes (RFC 5322) out of an e-mail.

use lettre::message::Mailbox as LettreMailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::{Address, Message};

use crate::domain::clock::Timestamp;
use crate::domain::email::{Email, Mailbox};

/// Why an e-mail cannot be made into a message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("{0} is no address that mail can be sent to or from")]
    Address(String),
    #[error("the message cannot be built: {0}")]
    Build(#[from] lettre::error::Error),
}

/// The message, with CRLF line ends: From, To, Subject, Date, Message-ID, List-Unsubscribe (RFC 2369), plain text in
/// UTF-8.
pub fn message(email: &Email, date: Timestamp) -> Result<Vec<u8>, MessageError> {
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_millis(date.unix_millis());
    let unsubscribe = format!("<mailto:{}?subject=unsubscribe>", escape(&email.unsubscribe));
    let built = Message::builder()
        .from(mailbox(&email.from)?)
        .to(mailbox(&email.to)?)
        .subject(email.subject.clone())
        .date(date)
        .message_id(Some(format!("<{}>", email.message_id)))
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("List-Unsubscribe"), unsubscribe))
        .header(ContentType::TEXT_PLAIN)
        .body(format!("{}\n", email.body.trim_end()))?;
    Ok(built.formatted())
}

fn mailbox(mailbox: &Mailbox) -> Result<LettreMailbox, MessageError> {
    let address: Address = mailbox.address.parse().map_err(|_| MessageError::Address(mailbox.address.clone()))?;
    let name = mailbox.name.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(LettreMailbox::new((!name.is_empty()).then_some(name), address))
}

/// As a mailto URL (RFC 6068) writes an address: what is special in a URL is percent-encoded.
fn escape(address: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"@.-_~+!$'*".contains(&b);
    address.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
