//! Links in letters, by which their readers unsubscribe: where they lead, what stands in them, what they have done.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use super::clock::Timestamp;
use super::id::EmailId;
use super::language::Language;
use super::suppression::{Suppression, SuppressionReason};
use super::text;

/// The longest address of a link, in characters: it stands on a line of its own in List-Unsubscribe, and none may fold it.
pub const MAX_ADDRESS: usize = 120;

/// How often a link takes back what it has done: each time adds to the tenant's audit log, and nobody is to fill it by one link.
const MAX_UNDOS: u32 = 10;

/// What stands between the public URL and the token.
pub const PATH: &str = "/u/";

/// Each half of a token, in bytes.
pub const HALF: usize = 16;

/// A token, in characters.
const TOKEN: usize = 43;

/// What a link holds: which one it is, at random, and the first half of its signature. 32 bytes, written in base64 for URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub id: [u8; HALF],
    pub signature: [u8; HALF],
}

/// Where readers of letters reach Herald; without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Url);

/// What is known of a link that was put into a letter. It knows this by itself: the letter may be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub email_id: EmailId,
    /// Whom the letter was sent to.
    pub address: String,
    pub language: Language,
    /// Who has written it, as a mail program shows that.
    pub sender: String,
    /// When it has suppressed the address; None if it has not, or that was taken back.
    pub use_time: Option<Timestamp>,
    /// How often that was taken back.
    pub undos: u32,
}

/// Whether a link's address is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    WrittenTo,
    /// It is not, since the link was followed.
    Unsubscribed,
    /// It is not, for another reason.
    Suppressed,
}

// === impl Token ===

impl Token {
    /// None if it is no token's text; there is one text for each.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != TOKEN {
            return None;
        }
        let bytes: [u8; 2 * HALF] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (id, signature) = bytes.split_at(HALF);
        Some(Self { id: id.try_into().ok()?, signature: signature.try_into().ok()? })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode([self.id, self.signature].concat()))
    }
}

// === impl PublicUrl ===

impl PublicUrl {
    /// Or what is wrong with the text.
    pub fn parse(stated: &str) -> Result<Self, String> {
        let url = Url::parse(stated).ok().filter(|url| url.has_host());
        let Some(mut url) = url else { return Err("it is no URL such as https://mail.example.com".to_owned()) };
        if !text::is_tls_or_here(&url) {
            return Err(
                "it must be an https URL, or mail programs do not offer the link; http only leads to 127.0.0.1 or \
                        localhost"
                    .to_owned(),
            );
        }
        let more = url.query().is_some() || url.fragment().is_some();
        if more || !url.username().is_empty() || url.password().is_some() {
            return Err("it has a host and may have a port and a path, and nothing else".to_owned());
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
        if !url.path().bytes().all(plain) {
            return Err("its path may have letters, digits and - . _ ~ / alone".to_owned());
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        let base = Self(url);
        let (most, length) = (MAX_ADDRESS - PATH.len() - TOKEN, base.as_str().len());
        if length > most {
            return Err(format!(
                "it has {length} characters and may have {most}: a link has {MAX_ADDRESS} at most, and the rest is its token"
            ));
        }
        Ok(base)
    }

    fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The address of a link.
    pub fn link(&self, token: &Token) -> Url {
        let mut link = self.0.clone();
        link.set_path(&format!("{}{PATH}{token}", self.path()));
        link
    }

    /// Without a slash at its end; empty for none.
    pub fn path(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }
}

// === impl Link ===

impl Link {
    /// What the suppression that it makes says of where it comes from.
    pub fn source(&self) -> String {
        format!("the link in {}", self.email_id)
    }

    /// Whether what it has done may be taken back once more.
    pub fn may_undo(&self) -> bool {
        self.undos < MAX_UNDOS
    }

    /// Whether its address is written to, by the address's suppression.
    pub fn standing(&self, suppression: Option<&Suppression>) -> Standing {
        match suppression {
            None => Standing::WrittenTo,
            Some(Suppression { reason: SuppressionReason::Unsubscribed, source, create_time, .. })
                if Some(*create_time) == self.use_time && *source == self.source() =>
            {
                Standing::Unsubscribed
            }
            Some(_) => Standing::Suppressed,
        }
    }
}

/// The address as its owner knows it and nobody else: a letter may be passed on.
pub fn masked(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let mut chars = local.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(_)) => format!("{first}…@{domain}"),
        _ => format!("…@{domain}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_text() {
        let token = Token { id: [7; HALF], signature: [255; HALF] };
        let text = token.to_string();
        assert_eq!((text.len(), Token::parse(&text)), (TOKEN, Some(token)));
        for at in 0..TOKEN {
            for c in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/.%" {
                let mut other = text.clone().into_bytes();
                other[at] = *c;
                let other = String::from_utf8(other).expect("ASCII");
                assert!(other == text || Token::parse(&other) != Some(token), "{other}");
            }
        }
        for bad in ["", "a", &text[1..], &format!("{text}A"), &format!("{}é", &text[2..])] {
            assert_eq!(Token::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_public_url_leaves_room_for_its_token() {
        let token = Token { id: [0; HALF], signature: [0; HALF] };
        let link = |text: &str| PublicUrl::parse(text).map(|base| base.link(&token).to_string());
        let of = |base: &str| Ok(format!("{base}/u/{token}"));
        assert_eq!(link("https://mail.example.com"), of("https://mail.example.com"));
        assert_eq!(link("https://mail.example.com:8443/"), of("https://mail.example.com:8443"));
        assert_eq!(link("https://Bücher.example/a/b//"), of("https://xn--bcher-kva.example/a/b"));
        assert_eq!(link("http://127.0.0.1:50051"), of("http://127.0.0.1:50051"));
        assert_eq!(PublicUrl::parse("https://a.example/x/").expect("one").path(), "/x");
        assert_eq!(PublicUrl::parse("https://a.example/").expect("one").path(), "");
        let longest = format!("https://a.example/{}", "x".repeat(74 - 18));
        assert_eq!(link(&longest).expect("it fits").len(), MAX_ADDRESS);
        let refused = |text: &str| PublicUrl::parse(text).expect_err("refused");
        assert!(refused(&format!("{longest}x")).contains("it has 75 characters and may have 74"));
        for (bad, why) in [
            ("mail.example.com", "no URL"),
            ("", "no URL"),
            ("mailto:a@b.example", "no URL"),
            ("http://mail.example.com", "https"),
            ("http://127.0.0.1.example", "https"),
            ("ftp://mail.example.com", "https"),
            ("https://u:p@mail.example.com", "nothing else"),
            ("https://mail.example.com/?a=1", "nothing else"),
            ("https://mail.example.com/#a", "nothing else"),
            ("https://mail.example.com/a,b", "its path"),
            ("https://mail.example.com/a%2Fb", "its path"),
        ] {
            assert!(refused(bad).contains(why), "{bad}: {}", refused(bad));
        }
    }

    #[test]
    fn an_address_is_shown_to_who_knows_it() {
        assert_eq!(masked("kim.roth@acme.example"), "k…@acme.example");
        assert_eq!(masked("k@acme.example"), "…@acme.example");
        assert_eq!(masked("李雷@例子.example"), "李…@例子.example");
        assert_eq!(masked("\"a@b\"@acme.example"), "\"…@acme.example");
    }
}
