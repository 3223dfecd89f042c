//! Makes the message that a mail server or a mail program takes (RFC 5322) out of an e-mail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::message::Mailbox as LettreMailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::{Address, Message};

use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::email::{Email, NamedAddress};
use crate::domain::text;

/// Why an e-mail cannot be made into a message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("{0} is no address that mail can be sent to or from")]
    Address(String),
    #[error("the message cannot be built: {0}")]
    Build(#[from] lettre::error::Error),
}

/// The message, with CRLF line ends: From, To, Subject, Date, Message-ID, List-Unsubscribe (RFC 2369), MIME-Version,
/// plain text in UTF-8.
pub fn message(email: &Email, date: Timestamp) -> Result<Vec<u8>, MessageError> {
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_millis(date.unix_millis());
    let unsubscribe = format!("<mailto:{}?subject=unsubscribe>", escape(&address::for_header(&email.unsubscribe)));
    let built = Message::builder()
        .from(mailbox(&email.from)?)
        .to(mailbox(&email.to)?)
        .raw_header(subject(&email.subject))
        .date(date)
        .message_id(Some(format!("<{}>", email.message_id)))
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("List-Unsubscribe"), unsubscribe))
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN)
        .body(format!("{}\n", text::clean(&email.body).trim_end()))?;
    Ok(built.formatted())
}

fn mailbox(mailbox: &NamedAddress) -> Result<LettreMailbox, MessageError> {
    let address: Address =
        address::for_header(&mailbox.address).parse().map_err(|_| MessageError::Address(mailbox.address.clone()))?;
    // Nobody is called so; a mail program would take it for an encoded word and show what that holds.
    let name = text::tame(&mailbox.name).replace("=?", "= ?");
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(LettreMailbox::new((!name.is_empty()).then_some(name), address))
}

/// The subject, shown as it stands: what looks like an encoded word (RFC 2047) is encoded itself, for it could decode to
/// line breaks and headers.
fn subject(subject: &str) -> HeaderValue {
    let (name, subject) = (HeaderName::new_from_ascii_str("Subject"), text::tame(subject).into_owned());
    if !subject.contains("=?") {
        return HeaderValue::new(name, subject);
    }
    let mut words = Vec::new();
    let mut rest = subject.as_str();
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(ENCODED_WORD));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    let encoded = words.join("\r\n ");
    HeaderValue::dangerous_new_pre_encoded(name, subject, encoded)
}

/// The bytes of an encoded word, which has 75 characters at most (RFC 2047, 2).
const ENCODED_WORD: usize = 45;

/// As a mailto URL (RFC 6068) writes an address: what is special in a URL is percent-encoded.
fn escape(address: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"@.-_~+!$'*".contains(&b);
    address.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
