//! Makes of an e-mail the message that its mailbox sends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::dkim::{DkimError, DkimKey};
use super::message::{Extras, MessageError, message_with};
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::email::Email;
use crate::domain::mailbox::{Mailbox, MailboxKind, MailboxSettings, Secrets};

/// Why an e-mail is no message.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error(transparent)]
    Signature(#[from] DkimError),
}

/// What the mailbox adds to a message, with the link by which its reader unsubscribes; an outbox folder adds nothing else.
pub fn extras(mailbox: Option<&Mailbox>, unsubscribe_url: Option<Url>) -> Extras {
    match mailbox.filter(|mailbox| mailbox.kind == MailboxKind::Smtp) {
        Some(Mailbox { settings: MailboxSettings { reply_to, html, .. }, .. }) => {
            let reply_to = Some(reply_to.clone()).filter(|address| !address.is_empty());
            Extras { reply_to, html: *html, unsubscribe_url }
        }
        None => Extras { unsubscribe_url, ..Extras::default() },
    }
}

/// The message, signed if the mailbox has a key.
pub fn compose(
    email: &Email,
    mailbox: &Mailbox,
    secrets: &Secrets,
    link: Option<Url>,
    now: Timestamp,
) -> Result<Vec<u8>, ComposeError> {
    let content = message_with(email, now, &extras(Some(mailbox), link))?;
    if secrets.dkim_key.is_empty() {
        return Ok(content);
    }
    let key = STANDARD.decode(&secrets.dkim_key).map_err(|_| DkimError::Key)?;
    let MailboxSettings { address, dkim, .. } = &mailbox.settings;
    let header = DkimKey::from_pkcs8(&key)?.sign(&address::domain(address), &dkim.selector, &content, now)?;
    Ok([header, content].concat())
}
