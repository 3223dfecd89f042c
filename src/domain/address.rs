//! E-mail addresses: which a mail server would take, how a header writes them, and the key by which two spellings are one
//! mailbox.
//!
//! People and files spell one mailbox in many ways: in capitals, in full width, with the domain in its own script or as
//! A-labels, in quotes, with an invisible character that came along from a web page. Whatever decides whether somebody may be
//! written to compares [`key`]s, never spellings. A key that takes two mailboxes for one leaves a letter unsent; one that takes
//! one mailbox for two writes to somebody who said no. So in doubt it takes them for one.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// The longest address, in bytes (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub const MAX_ADDRESS: usize = 254;
/// The longest local part, in bytes (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL: usize = 64;

/// Why a text is no address, in words that fit behind a field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("is required")]
    Empty,
    #[error("must be at most 254 bytes, of which at most 64 stand before the @")]
    TooLong,
    #[error("must be an e-mail address such as anna@example.com")]
    Malformed,
    #[error("must be the address alone, without a name or angle brackets: anna@example.com")]
    Named,
    #[error("must not contain control characters")]
    Control,
    #[error("must not contain characters that turn the direction of a text around (U+{0:04X}): type the address anew")]
    Bidi(u32),
    #[error("must not contain invisible characters (U+{0:04X}): type the address anew")]
    Invisible(u32),
    #[error("must be one mailbox: * stands for no other addresses, add each of them")]
    Wildcard,
    #[error("must be at a domain, not at an IP address")]
    IpLiteral,
    #[error("must be at a domain with a dot, such as example.com")]
    NoDot,
    #[error("must be at a domain whose end is a top-level domain such as com; {0:?} is none")]
    TopLevel(String),
    #[error("must be at a domain that there can be: the part {0:?} is no international name (UTS #46)")]
    International(String),
    #[error(
        "must be at a domain that there can be: {0:?} is no part of one (letters, digits and inner hyphens, at most 63)"
    )]
    Label(String),
}

/// The address, trimmed, if a mail server would take it.
///
/// Checked as RFC 5321 and 6531 write addresses (through lettre's parser, which also takes internationalised ones). The domain
/// must be one that a host can have (RFC 1123, 2.1; RFC 5891; UTS #46 with its rules for hosts), with a dot, since mail to a
/// bare host name goes nowhere from here, and with a top-level domain that is no number (RFC 3696, 2).
pub fn parse(text: &str) -> Result<String, AddressError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.len() > MAX_ADDRESS {
        return Err(AddressError::TooLong);
    }
    text.chars().try_for_each(visible)?;
    if text.ends_with('>') && text.contains('<') {
        return Err(AddressError::Named);
    }
    let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Malformed)?;
    if local.is_empty() || domain.is_empty() || local.contains(char::is_whitespace) {
        return Err(AddressError::Malformed);
    }
    if local == "*" {
        return Err(AddressError::Wildcard);
    }
    if domain.starts_with('[') {
        return Err(AddressError::IpLiteral);
    }
    if domain.contains(|c: char| c.is_whitespace() || "@,;:<>()\"\\/".contains(c)) {
        return Err(AddressError::Malformed);
    }
    let domain = host(domain)?;
    if local.len() > MAX_LOCAL || local.len() + 1 + domain.len() > MAX_ADDRESS {
        return Err(AddressError::TooLong);
    }
    format!("{local}@{domain}").parse::<lettre::Address>().map_err(|_| AddressError::Malformed)?;
    Ok(text.to_owned())
}

/// Refuses what nobody sees.
fn visible(c: char) -> Result<(), AddressError> {
    match c {
        c if c.is_control() => Err(AddressError::Control),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Err(AddressError::Bidi(c.into()))
        }
        c if is_invisible(c) => Err(AddressError::Invisible(c.into())),
        _ => Ok(()),
    }
}

/// Unicode's Default_Ignorable_Code_Point (UAX #44), interlinear annotations, and what stands for a lost character.
fn is_invisible(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) || matches!(c, '\u{fff9}'..='\u{fffd}')
}

/// The domain in A-labels, if it can be that of a host.
fn host(domain: &str) -> Result<String, AddressError> {
    if !domain.contains(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']) {
        return Err(AddressError::NoDot);
    }
    let ascii = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| wrong_label(domain))?;
    let top = ascii.rsplit('.').next().unwrap_or_default();
    if top.len() < 2 || top.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressError::TopLevel(top.to_owned()));
    }
    Ok(ascii.into_owned())
}

/// Which of the parts of a domain is wrong, and how.
fn wrong_label(domain: &str) -> AddressError {
    let is_wrong = |label: &&str| {
        let label = label.as_bytes();
        Uts46::new().to_ascii(label, AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify).is_err()
    };
    let mut labels = domain.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']);
    match labels.find(is_wrong) {
        Some("") => AddressError::Malformed,
        Some(label) if !label.is_ascii() || label.to_ascii_lowercase().starts_with("xn--") => {
            AddressError::International(label.to_owned())
        }
        Some(label) => AddressError::Label(label.to_owned()),
        // Each may be, and all of them are too long together, or of directions that do not mix.
        None => AddressError::Malformed,
    }
}

/// The address as a header has it: its local part as it is spelled, its domain in A-labels.
pub fn for_header(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", ascii(domain)),
        None => address.to_owned(),
    }
}

/// The address's domain in A-labels.
pub fn domain(address: &str) -> String {
    address.rsplit_once('@').map_or_else(String::new, |(_, domain)| ascii(domain))
}

fn ascii(domain: &str) -> String {
    let ascii = Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore);
    ascii.map_or_else(|_| domain.to_owned(), Into::into)
}

/// What two spellings of one mailbox have in common: uniqueness, suppressions, and who was written to go by it.
///
/// The domain is in A-labels (UTS #46, as browsers do), the local part case-folded in the normal form NFKC, without the quotes
/// and without anything invisible. Any text has a key, since stored rows may hold what is refused today; a key is its own key.
pub fn key(address: &str) -> String {
    if address.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"@.+-_".contains(&b))
        && !address.contains("xn--")
        && !address.ends_with('.')
    {
        // Nearly all are so, and are their own key.
        return address.to_owned();
    }
    // Taking the quotes off can bring letters together that fold into others; texts that are no address can do so again.
    let mut key = fold(address);
    for _ in 0..8 {
        let Some((local, domain)) = key.rsplit_once('@') else { break };
        let next = fold(&format!("{}@{}", unquoted(local), ascii(domain.trim_end_matches('.'))));
        if next == key {
            break;
        }
        key = next;
    }
    key
}

/// NFKC_Casefold (The Unicode Standard, 3.13, R5) of the text, and without its blanks' ends.
fn fold(text: &str) -> String {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let mut text: String = text.chars().filter(|c| !is_invisible(*c) && !c.is_control()).collect();
    // Once folds nearly every text; what that brings up can be folded again.
    for _ in 0..4 {
        let normal = nfkc.normalize(&text);
        let next = nfkc.normalize(&CaseMapper::new().fold_string(&normal)).into_owned();
        let next: String = next.chars().filter(|c| !is_invisible(*c)).collect();
        if next == text {
            break;
        }
        text = next;
    }
    text.trim().to_owned()
}

/// A quoted string without its quotes and backslashes (RFC 5321, 4.1.2): they are no part of the name.
fn unquoted(local: &str) -> String {
    let Some(inner) = local.strip_prefix('"').and_then(|local| local.strip_suffix('"')) else {
        return local.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_that_a_mail_server_takes_are_taken() {
        for good in [
            "anna@example.com",
            " Anna.Berg+news@mail.example.co.uk ",
            "sean.o'neil@example.org",
            "\"kim.roth\"@acme.example",
            "李雷@例子.example",
            "info@bücher.example",
            "info@xn--bcher-kva.example",
            "a@r3---sn-a.example",
        ] {
            assert_eq!(parse(good).as_deref(), Ok(good.trim()), "{good}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        let malformed = || AddressError::Malformed;
        let label = |text: &str| AddressError::Label(text.to_owned());
        let long = "a".repeat(64);
        for (bad, why) in [
            ("  ".to_owned(), AddressError::Empty),
            (format!("{}@example.com", "a".repeat(250)), AddressError::TooLong),
            (format!("a{long}@example.com"), AddressError::TooLong),
            ("anna".into(), malformed()),
            ("@example.com".into(), malformed()),
            ("anna@".into(), malformed()),
            ("a b@example.com".into(), malformed()),
            ("anna@exa mple.com".into(), malformed()),
            ("anna@.example.com".into(), malformed()),
            ("anna@example..com".into(), malformed()),
            ("anna@example.com.".into(), malformed()),
            ("kim.@acme.example".into(), malformed()),
            ("a@b@example.com".into(), malformed()),
            ("anna@example.com,bert@example.com".into(), malformed()),
            ("anna@example.com\r\nBcc: x@example.com".into(), AddressError::Control),
            ("Anna <anna@example.com>".into(), AddressError::Named),
            ("<anna@example.com>".into(), AddressError::Named),
            ("*@acme.example".into(), AddressError::Wildcard),
            ("anna@localhost".into(), AddressError::NoDot),
            ("kim@[192.0.2.1]".into(), AddressError::IpLiteral),
            ("kim@[IPv6:2001:db8::1]".into(), AddressError::IpLiteral),
            ("kim@192.0.2.1".into(), AddressError::TopLevel("1".into())),
            ("kim@acme.123".into(), AddressError::TopLevel("123".into())),
            ("kim@acme.x".into(), AddressError::TopLevel("x".into())),
            ("kim@xn--a.example".into(), AddressError::International("xn--a".into())),
            ("kim@ac_me.example".into(), label("ac_me")),
            ("kim@-acme.example".into(), label("-acme")),
            ("kim@acme-.example".into(), label("acme-")),
            (format!("kim@{long}.example"), label(&long)),
            ("kim3@ac\u{200b}me.example".into(), AddressError::Invisible(0x200b)),
            ("kim3@acme.example\u{feff}".into(), AddressError::Invisible(0xfeff)),
            ("ki\u{ad}m@acme.example".into(), AddressError::Invisible(0xad)),
            ("kim\u{202e}@acme.example".into(), AddressError::Bidi(0x202e)),
            ("kim\u{200f}@acme.example".into(), AddressError::Bidi(0x200f)),
        ] {
            assert_eq!(parse(&bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn spellings_of_one_mailbox_have_one_key() {
        for (one, others) in [
            (
                "kim.roth@acme.example",
                &["\"kim.roth\"@acme.example", "KIM.Roth@ACME.example.", "kim.roth@acme。example"] as &[_],
            ),
            (
                "kim3@acme.example",
                &["kim3@ac\u{200b}me.example", "kim3@acme.example\u{feff}", "\u{200f}kim3@acme.example"],
            ),
            ("kim4@acme.example", &["kim4@\u{ff41}cme.example", "ｋｉｍ４＠ａｃｍｅ．ｅｘａｍｐｌｅ"]),
            (
                "info@xn--bcher-kva.example",
                &["info@bücher.example", "info@bu\u{308}cher.example", "INFO@XN--BCHER-KVA.example"],
            ),
            ("strasse@acme.example", &["Straße@acme.example", "STRASSE@acme.example"]),
        ] {
            for other in others {
                assert_eq!(key(other), key(one), "{other}");
            }
        }
        assert_ne!(key("kim@acme.example"), key("kim+news@acme.example"));
        assert_ne!(key("kim@acme.example"), key("kim@acme.test"));
    }

    #[test]
    fn a_header_keeps_the_spelling_and_has_the_domain_in_a_labels() {
        assert_eq!(for_header("Kim.Roth@Bücher.example"), "Kim.Roth@xn--bcher-kva.example");
        assert_eq!(domain("\"a@b\"@bücher.example"), "xn--bcher-kva.example");
    }

    /// An address and how somebody else spells it.
    fn respelled() -> impl Strategy<Value = (String, String)> {
        let local = "[a-zA-Z0-9äöüßéñçΑ-Ωα-ωа-я李雷]{1,12}(\\.[a-z0-9ÄÖÜ]{1,8})?";
        let label = "[a-z0-9äöüéñ例子а-я]{1,10}";
        let ways = proptest::collection::vec((0..7u8, any::<proptest::sample::Index>()), 0..6);
        (local, label, "(example|test|com|de)", ways).prop_map(|(local, label, top, ways)| {
            let address = format!("{local}@{label}.{top}");
            let other = ways.into_iter().fold(address.clone(), |spelled, (way, at)| respell(&spelled, way, at));
            (address, other)
        })
    }

    fn respell(address: &str, way: u8, at: proptest::sample::Index) -> String {
        let (local, domain) = address.rsplit_once('@').expect("an @");
        let wide = |c: char| match c {
            '!'..='~' if c != '@' => char::from_u32(u32::from(c) + 0xfee0).expect("a character"),
            c => c,
        };
        match way {
            0 => format!("{local}@{}", domain.to_uppercase()),
            // Not of a text whose capitals are those of another.
            1 => format!("{}@{domain}", local.to_uppercase()),
            2 => icu_normalizer::DecomposingNormalizerBorrowed::new_nfd().normalize(address).into_owned(),
            3 => format!(
                "{local}@{}",
                Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow).0
            ),
            4 if !local.starts_with('"') => format!("\"{local}\"@{domain}"),
            5 => {
                let wide_local: String = local.chars().map(wide).collect();
                format!("{wide_local}@{}", domain.chars().map(wide).collect::<String>())
            }
            _ => {
                let mut chars: Vec<_> = address.chars().collect();
                chars.insert(
                    at.index(chars.len() + 1),
                    ['\u{200b}', '\u{ad}', '\u{2060}', '\u{feff}', '\u{200e}'][at.index(5)],
                );
                chars.into_iter().collect()
            }
        }
    }

    proptest! {
        #[test]
        fn however_an_address_is_respelled_it_has_its_key((address, other) in respelled()) {
            prop_assert_eq!(key(&address), key(&other));
        }

        #[test]
        fn a_key_is_its_own_key(text in "\\PC{0,40}", with in "\\PC{0,20}@\\PC{0,20}") {
            for text in [text, with] {
                prop_assert_eq!(key(&key(&text)), key(&text));
            }
        }

        #[test]
        fn what_is_taken_can_stand_in_a_header(text in "[\\PC]{1,20}@[\\PC]{1,20}\\.[a-z]{2,5}") {
            if let Ok(address) = parse(&text) {
                prop_assert!(for_header(&address).parse::<lettre::Address>().is_ok());
                prop_assert!(domain(&address).is_ascii());
            }
        }
    }
}
