//! Makes the message that a mail server or a mail program takes (RFC 5322) out of an e-mail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{MultiPart, MultiPartKind, SinglePart};
use lettre::{Address, Message};
use url::Url;

use super::html;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::digest;
use crate::domain::email::{Email, NamedAddress};
use crate::domain::text;

/// What the mailbox that a letter goes from adds to it.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Where answers go, if not to From.
    pub reply_to: Option<String>,
    /// An HTML form of the letter beside its text.
    pub html: bool,
    /// The https URL that takes the recipient off the list by one POST (RFC 8058); http for one of this machine, to try it.
    pub unsubscribe_url: Option<Url>,
}

/// Why an e-mail cannot be made into a message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("{0} is no address that mail can be sent to or from")]
    Address(String),
    #[error("{0:?} is no Message-ID")]
    MessageId(String),
    #[error("{0} is no https URL for List-Unsubscribe, of at most {MAX_URL} characters")]
    UnsubscribeUrl(String),
    #[error("the message cannot be built: {0}")]
    Build(#[from] lettre::error::Error),
}

/// The bytes of an encoded word, which has 75 characters at most (RFC 2047, 2); the first is on the line with the name.
const ENCODED_WORD: usize = 42;
/// The longest line that is not folded without need (RFC 5322, 2.1.1).
const LINE: usize = 78;
/// A URL in List-Unsubscribe stands on one line, which has 998 characters at most.
const MAX_URL: usize = 900;
/// A Message-ID too.
const MAX_ID: usize = 980;

/// The message, with CRLF line ends: From, To, Subject, Date, Message-ID, List-Unsubscribe (RFC 2369), MIME-Version,
/// plain text in UTF-8.
pub fn message(email: &Email, date: Timestamp) -> Result<Vec<u8>, MessageError> {
    message_with(email, date, &Extras::default())
}

/// The same with what the mailbox adds. It is in 7-bit characters but for local parts that are not, which go only to servers that
/// take them (RFC 6531).
pub fn message_with(email: &Email, date: Timestamp, extras: &Extras) -> Result<Vec<u8>, MessageError> {
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_millis(date.unix_millis());
    let mut builder = Message::builder()
        .raw_header(mailbox("From", &email.from)?)
        .raw_header(mailbox("To", &email.to)?)
        .raw_header(subject(&email.subject))
        .date(date)
        .message_id(Some(format!("<{}>", message_id(&email.message_id)?)));
    if let Some(address) = &extras.reply_to {
        let reply_to = NamedAddress { name: String::new(), address: address.clone() };
        builder = builder.raw_header(mailbox("Reply-To", &reply_to)?);
    }
    builder = builder.raw_header(unsubscribe(&email.unsubscribe, extras.unsubscribe_url.as_ref())?);
    if extras.unsubscribe_url.is_some() {
        let name = HeaderName::new_from_ascii_str("List-Unsubscribe-Post");
        builder = builder.raw_header(HeaderValue::new(name, "List-Unsubscribe=One-Click".to_owned()));
    }
    let text = format!("{}\n", text::clean(&email.body).trim_end());
    if !extras.html {
        return Ok(builder.header(MIME_VERSION_1_0).header(ContentType::TEXT_PLAIN).body(text)?.formatted());
    }
    let html = html::of_text(&text);
    // The same for the same letter, and nothing can hold its own digest.
    let boundary = format!("=_{}", digest::short(&[email.message_id.as_bytes(), text.as_bytes()]));
    let part = MultiPart::builder().kind(MultiPartKind::Alternative).boundary(boundary);
    let part = part.singlepart(SinglePart::plain(text)).singlepart(SinglePart::html(html));
    Ok(builder.multipart(part)?.formatted())
}

/// The name, if there is one, and the address. A name in ASCII is never folded: some readers take the fold for another blank.
fn mailbox(header: &'static str, mailbox: &NamedAddress) -> Result<HeaderValue, MessageError> {
    let address = address::for_header(&mailbox.address);
    address.parse::<Address>().map_err(|_| MessageError::Address(mailbox.address.clone()))?;
    // Nobody is called so; a mail program would take it for an encoded word and show what that holds.
    let name = one_spaced(&mailbox.name).replace("=?", "= ?");
    let phrase = match name.as_str() {
        "" => return Ok(ready(header, address.clone(), address)),
        name if name.is_ascii() => {
            format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
        }
        name => encoded_words(name),
    };
    let last = phrase.rsplit('\n').next().map_or(0, str::len);
    let fits = header.len() + last + address.len() + ":  <>".len() <= LINE;
    let value = format!("{phrase}{}<{address}>", if fits { " " } else { "\r\n " });
    Ok(ready(header, address, value))
}

/// The subject, shown as it stands: what looks like an encoded word (RFC 2047) is encoded itself, for it could decode to
/// line breaks and headers.
fn subject(subject: &str) -> HeaderValue {
    let subject = one_spaced(subject);
    if !subject.contains("=?") {
        return HeaderValue::new(HeaderName::new_from_ascii_str("Subject"), subject);
    }
    let encoded = encoded_words(&subject);
    ready("Subject", subject, encoded)
}

fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(ENCODED_WORD));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words.join("\r\n ")
}

/// A header whose value stands on the wire as `value`.
fn ready(header: &'static str, meant: String, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(header), meant, value)
}

/// In one line, without the blanks that would be lost where it is folded or put into encoded words.
fn one_spaced(text: &str) -> String {
    text::one_line(&text::tame(text))
}

/// Ours always is one; it is a text of the database all the same.
fn message_id(id: &str) -> Result<&str, MessageError> {
    let is_plain = id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b));
    let is_id = is_plain && (1..=MAX_ID).contains(&id.len());
    if is_id { Ok(id) } else { Err(MessageError::MessageId(id.to_owned())) }
}

/// List-Unsubscribe, each of its URLs whole on a line: some servers take it apart where it is folded.
fn unsubscribe(address: &str, url: Option<&Url>) -> Result<HeaderValue, MessageError> {
    let mailto = format!("<mailto:{}?subject=unsubscribe>", escape(&address::for_header(address)));
    let value = match url {
        None => mailto,
        Some(url) => {
            let has_break = |b: u8| !b.is_ascii_graphic() || b"<>,".contains(&b);
            let is_safe = text::is_tls_or_here(url);
            let url = url.as_str();
            if !is_safe || url.len() > MAX_URL || url.bytes().any(has_break) {
                return Err(MessageError::UnsubscribeUrl(url.to_owned()));
            }
            let fits = "List-Unsubscribe".len() + url.len() + mailto.len() + ": <>, ".len() <= LINE;
            format!("<{url}>,{}{mailto}", if fits { " " } else { "\r\n " })
        }
    };
    Ok(ready("List-Unsubscribe", value.replace("\r\n", ""), value))
}

/// As a mailto URL (RFC 6068) writes an address: what is special in a URL is percent-encoded.
fn escape(address: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"@.-_~+!$'*".contains(&b);
    address.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use mail_parser::{Message as Parsed, MessageParser};
    use proptest::prelude::*;

    use super::*;
    use crate::domain::id::{EmailId, ProspectId};

    fn email() -> Email {
        let named = |name: &str, address: &str| NamedAddress { name: name.to_owned(), address: address.to_owned() };
        Email {
            subject: "A question".to_owned(),
            body: "Dear Kim,\n\nsee https://acme.example/.\n".to_owned(),
            from: named("Anna Berg", "anna@bücher.example"),
            to: named("Kim Roth", "kim@acme.example"),
            unsubscribe: "stop@acme.example".to_owned(),
            message_id: "em_1@acme.example".to_owned(),
            ..Email::blank(EmailId::parse("em_1").expect("an id"), ProspectId::parse("pr_1").expect("an id"))
        }
    }

    fn text(email: &Email, extras: &Extras) -> String {
        String::from_utf8(message_with(email, Timestamp(0), extras).expect("a message")).expect("UTF-8")
    }

    fn url(length: usize) -> Url {
        Url::parse(&format!("https://h.example/u/{}", "t".repeat(length))).expect("a URL")
    }

    #[test]
    fn a_mailbox_adds_its_headers_and_an_html_form() {
        let reply_to = Some("answers@bücher.example".to_owned());
        let extras = Extras { reply_to, html: true, unsubscribe_url: Some(url(60)) };
        let sent = text(&email(), &extras);
        let wanted = format!(
            "\r\nReply-To: answers@xn--bcher-kva.example\r\nList-Unsubscribe: <{}>,\r\n <mailto:stop@acme.example?subject=unsubscribe>\r\n\
             List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative;",
            url(60)
        );
        assert!(sent.contains(&wanted), "{sent}");
        let mail = MessageParser::default().parse(sent.as_bytes()).expect("a message");
        assert_eq!(mail.body_text(0).as_deref(), Some("Dear Kim,\r\n\r\nsee https://acme.example/.\r\n"));
        let html = mail.body_html(0).expect("HTML");
        assert!(html.contains("<a href=\"https://acme.example/\">https://acme.example/</a>."), "{html}");
        assert_eq!(sent, text(&email(), &extras), "the same for the same letter");

        let plain = text(&email(), &Extras::default());
        assert!(!plain.contains("List-Unsubscribe-Post") && !plain.contains("Reply-To"), "{plain}");
        let short = text(
            &email(),
            &Extras { unsubscribe_url: Some(Url::parse("https://h.example/").expect("a URL")), ..Extras::default() },
        );
        assert!(short.contains("List-Unsubscribe: <https://h.example/>,\r\n <mailto:"), "{short}");
    }

    #[test]
    fn what_cannot_stand_in_its_header_is_refused() {
        let refused = |email: &Email, extras: &Extras| message_with(email, Timestamp(0), extras).expect_err("refused");
        let with_url =
            |url: &str| Extras { unsubscribe_url: Some(Url::parse(url).expect("a URL")), ..Extras::default() };
        for bad in ["http://h.example/u", "https://h.example/a,b", url(MAX_URL).as_str()] {
            assert!(matches!(refused(&email(), &with_url(bad)), MessageError::UnsubscribeUrl(_)), "{bad}");
        }
        for bad in ["", "a b@c", "a@b>\r\nBcc: x@y.example", "ä@b.example", &"a".repeat(MAX_ID + 1)] {
            let email = Email { message_id: bad.to_owned(), ..email() };
            assert!(matches!(refused(&email, &Extras::default()), MessageError::MessageId(_)), "{bad}");
        }
        let extras = Extras { reply_to: Some("a@b.example>\r\nBcc: x@y.example".to_owned()), ..Extras::default() };
        assert!(matches!(refused(&email(), &extras), MessageError::Address(_)));
    }

    #[test]
    fn only_a_local_part_beyond_ascii_stays_as_it_is() {
        assert!(text(&email(), &Extras::default()).is_ascii(), "its domain is in A-labels");
        let mut ours = email();
        ours.to.address = "李雷@例子.example".to_owned();
        assert!(text(&ours, &Extras::default()).contains("<李雷@xn--fsqu00a.example>\r\n"));
        let extras = Extras { reply_to: Some("jürgen@a.example".to_owned()), ..Extras::default() };
        assert!(text(&email(), &extras).contains("Reply-To: jürgen@a.example\r\n"));
    }

    /// Texts that somebody could put into a field to end a header, begin another, or be decoded into one.
    fn hostile(most: usize) -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "\\PC{0,8}",
            "[a-zA-Z ]{1,12}",
            "(\r\n|\r|\n|\u{2028}|\u{85}|\t|\\x00|\\x0b|\\x7f)",
            "(\r\nBcc: x@y\\.example|\r\n\r\nbody|=\\?utf-8\\?q\\?=0D=0ABcc:x\\?=|=\\?|\\?=|<|>|\"|\\\\|,|;|:|@|\\(|\\))",
            "(李雷|محمد|🚀|é|\u{202e})",
        ];
        proptest::collection::vec(piece, 0..12).prop_map(move |pieces| pieces.concat().chars().take(most).collect())
    }

    fn names(mail: &Parsed<'_>) -> Vec<String> {
        mail.headers_raw().map(|(name, _)| name.to_owned()).collect()
    }

    proptest! {
        #[test]
        fn no_field_breaks_the_structure_of_a_message(
            (from, to, subject) in (hostile(200), hostile(200), hostile(300)),
            (id, token, reply_to) in (hostile(60), hostile(100), hostile(60)),
            body in hostile(300),
            (html, local) in (any::<bool>(), "[a-z!#$%&'*+/=?^_`{|}~-]{1,20}"),
        ) {
            let mut ours = Email { subject: subject.clone(), body, unsubscribe: format!("{local}@acme.example"), ..email() };
            ours.from.name = from.clone();
            ours.to = NamedAddress { name: to.clone(), address: format!("{local}@acme.example") };
            let mut link = url(1);
            link.query_pairs_mut().append_pair("t", &token);
            let mut extras = Extras { reply_to: None, html, unsubscribe_url: Some(link.clone()) };
            // These are taken as they are or refused.
            for address in [reply_to.clone(), format!("{reply_to}@a.example"), format!("a@{reply_to}.example")] {
                extras.reply_to = Some(address.clone());
                if let Ok(sent) = message_with(&ours, Timestamp(0), &extras) {
                    let mail = MessageParser::default().parse(&sent).expect("a message");
                    let read = mail.reply_to().and_then(|list| list.first()).and_then(|one| one.address().map(str::to_owned));
                    prop_assert_eq!(read, Some(address::for_header(&address)));
                }
            }
            extras.reply_to = Some("answers@acme.example".to_owned());
            if message_with(&Email { message_id: id.clone(), ..ours.clone() }, Timestamp(0), &extras).is_ok() {
                ours.message_id = id;
            }
            let sent = text(&ours, &extras);
            prop_assert!(sent.is_ascii());
            prop_assert!(sent.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "{}", sent);
            let mail = MessageParser::default().parse(sent.as_bytes()).expect("a message");
            let mut expected = vec!["From", "To", "Subject", "Date", "Message-ID", "Reply-To", "List-Unsubscribe",
                "List-Unsubscribe-Post", "MIME-Version", "Content-Type"];
            if !html {
                expected.push("Content-Transfer-Encoding");
            }
            prop_assert_eq!(names(&mail), expected);
            let raw = |name: &str| mail.header_raw(name).map(|value| value.replace("\r\n ", " ").trim().to_owned()).unwrap_or_default();
            let name_of = |list: Option<&mail_parser::Address<'_>>| {
                list.and_then(|list| list.first()).and_then(|one| one.name()).unwrap_or_default().to_owned()
            };
            for (told, meant) in [(name_of(mail.from()), from), (name_of(mail.to()), to)] {
                prop_assert_eq!(told, one_spaced(&meant).replace("=?", "= ?"), "{}", sent);
            }
            prop_assert_eq!(mail.subject().unwrap_or_default(), one_spaced(&subject), "{}", sent);
            prop_assert_eq!(mail.message_id(), Some(ours.message_id.as_str()));
            let mailto = format!("mailto:{}?subject=unsubscribe", escape(&ours.unsubscribe));
            prop_assert_eq!(raw("List-Unsubscribe"), format!("<{link}>, <{mailto}>"));
            prop_assert_eq!(raw("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
            let body = mail.body_text(0).expect("a text").replace("\r\n", "\n");
            prop_assert_eq!(body, format!("{}\n", text::clean(&ours.body).trim_end()));
            prop_assert_eq!(mail.parts.len(), if html { 3 } else { 1 });
        }
    }
}
