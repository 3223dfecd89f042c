//! Signs messages for the domain that they come from (DKIM, RFC 6376), by RSA-2048, which every receiver can check.
//!
//! Own code, since what signs for every server is this one page: mail-auth, which would do it, brings a second stack of
//! cryptography, a DNS resolver and a parser of mail; lettre signs neither headers that are missing nor any a second time.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::address;
use crate::domain::clock::Timestamp;

/// The key of a domain's selector.
#[derive(Debug)]
pub struct DkimKey(KeyPair);

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum DkimError {
    #[error("this is no private key of RSA with 2048 bits")]
    Key,
    #[error("{0:?} can stand in no domain name")]
    Name(String),
    #[error("the message cannot be signed")]
    Sign,
}

/// Signed once more than they are there: nobody can add one on the way.
const ALWAYS: [&str; 8] = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Reply-To"];
/// Signed if they are there (RFC 8058, 4); lists add their own.
const WHERE_THERE: [&str; 2] = ["List-Unsubscribe", "List-Unsubscribe-Post"];
/// The characters of a signature on one line of the header.
const FOLD: usize = 72;

// === impl DkimKey ===

impl DkimKey {
    /// A new key.
    pub fn generate() -> Result<Self, DkimError> {
        KeyPair::generate(KeySize::Rsa2048).map(Self).map_err(|_| DkimError::Key)
    }

    /// A key that is stored (PKCS #8, DER).
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, DkimError> {
        let key = KeyPair::from_pkcs8(der).map_err(|_| DkimError::Key)?;
        if key.public_modulus_len() == KeySize::Rsa2048.len() { Ok(Self(key)) } else { Err(DkimError::Key) }
    }

    /// As it is to be stored, sealed.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, DkimError> {
        let der: Pkcs8V1Der<'_> = self.0.as_der().map_err(|_| DkimError::Key)?;
        Ok(der.as_ref().to_vec())
    }

    /// The text of the TXT record at `{selector}._domainkey.{domain}`. DNS holds it in strings of at most 255 characters.
    pub fn record(&self) -> Result<String, DkimError> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().map_err(|_| DkimError::Key)?;
        Ok(format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(der.as_ref())))
    }

    /// The header to put before a message, with its CRLF. The message has CRLF line ends and goes on unchanged.
    pub fn sign(&self, domain: &str, selector: &str, message: &[u8], now: Timestamp) -> Result<Vec<u8>, DkimError> {
        let domain = address::domain(&format!("@{domain}"));
        for name in [domain.as_str(), selector] {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
                return Err(DkimError::Name(name.to_owned()));
            }
        }
        let (headers, body) = parts(message);
        let chosen = chosen(&headers);
        let names: Vec<_> = chosen.iter().map(|(name, _)| *name).collect();
        let unsigned = format!(
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain};\r\n s={selector}; t={};\r\n h={};\r\n bh={};\r\n b=",
            now.seconds(),
            names.chunks(4).map(|some| some.join(":")).collect::<Vec<_>>().join(":\r\n "),
            STANDARD.encode(digest(&SHA256, &relaxed_body(body))),
        );
        let mut signed = Vec::new();
        for (_, header) in chosen {
            if let Some(header) = header {
                signed.extend(relaxed_header(header));
                signed.extend(b"\r\n");
            }
        }
        signed.extend(relaxed_header(unsigned.as_bytes()));
        let mut signature = vec![0; self.0.public_modulus_len()];
        let random = SystemRandom::new();
        self.0.sign(&RSA_PKCS1_SHA256, &random, &signed, &mut signature).map_err(|_| DkimError::Sign)?;
        let mut header = unsigned.into_bytes();
        for (n, line) in STANDARD.encode(signature).as_bytes().chunks(FOLD).enumerate() {
            header.extend_from_slice(if n == 0 { b"" } else { b"\r\n " });
            header.extend_from_slice(line);
        }
        header.extend_from_slice(b"\r\n");
        Ok(header)
    }
}

/// The headers of a message, each with what it is folded into and without its last line end; and its body.
fn parts(message: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (mut headers, mut rest) = (Vec::new(), message);
    while !rest.is_empty() {
        if let Some(body) = rest.strip_prefix(b"\r\n") {
            return (headers, body);
        }
        let ends = |at: &usize| rest[*at..].starts_with(b"\r\n") && !matches!(rest.get(at + 2), Some(b' ' | b'\t'));
        let end = (0..rest.len()).find(ends).unwrap_or(rest.len());
        headers.push(&rest[..end]);
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    (headers, rest)
}

/// Which headers are signed, in order: those of a name from the last to the first (5.4.2), and none where there is no more.
fn chosen<'a>(headers: &[&'a [u8]]) -> Vec<(&'static str, Option<&'a [u8]>)> {
    let is = |header: &[u8], name: &str| {
        header
            .iter()
            .position(|b| *b == b':')
            .is_some_and(|at| header[..at].trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut chosen = Vec::new();
    for name in ALWAYS.into_iter().chain(WHERE_THERE) {
        chosen.extend(headers.iter().rev().filter(|header| is(header, name)).map(|header| (name, Some(*header))));
        if ALWAYS.contains(&name) {
            chosen.push((name, None));
        }
    }
    chosen
}

/// A header in relaxed form (3.4.2), without its line end.
fn relaxed_header(header: &[u8]) -> Vec<u8> {
    let colon = header.iter().position(|b| *b == b':').unwrap_or(header.len());
    let (name, value) = (&header[..colon], header.get(colon + 1..).unwrap_or_default());
    let mut out = name.trim_ascii().to_ascii_lowercase();
    out.push(b':');
    let unfolded: Vec<_> = value.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
    out.extend(single_spaced(&unfolded).trim_ascii());
    out
}

/// A body in relaxed form (3.4.4).
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut empty_lines = 0;
    for line in body.split_inclusive(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = single_spaced(line.strip_suffix(b"\r").unwrap_or(line));
        let line = line.trim_ascii_end();
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        for _ in 0..std::mem::take(&mut empty_lines) {
            out.extend(b"\r\n");
        }
        out.extend(line);
        out.extend(b"\r\n");
    }
    out
}

/// With one blank for each run of blanks and tabs.
fn single_spaced(line: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(line.len());
    for byte in line {
        match byte {
            b' ' | b'\t' if out.last() == Some(&b' ') => {}
            b' ' | b'\t' => out.push(b' '),
            byte => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relaxed_forms_are_those_of_the_rfc() {
        // RFC 6376, 3.4.5.
        let message = b"A: X \r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n";
        let (headers, body) = parts(message);
        let relaxed: Vec<_> = headers.iter().map(|header| relaxed_header(header)).collect();
        assert_eq!(relaxed, [b"a:X".to_vec(), b"b:Y Z".to_vec()]);
        assert_eq!(relaxed_body(body), b" C\r\nD E\r\n");
        assert_eq!(relaxed_body(b"\r\n\r\n"), b"");
        assert_eq!(relaxed_body(b"a\r\n\r\nb"), b"a\r\n\r\nb\r\n");
    }

    #[test]
    fn a_key_is_the_same_after_it_was_stored_and_no_name_breaks_the_header() {
        let key = DkimKey::generate().expect("a key");
        let stored = key.to_pkcs8().expect("DER");
        let again = DkimKey::from_pkcs8(&stored).expect("the key");
        assert_eq!(again.record().expect("a record"), key.record().expect("a record"));
        assert!(DkimKey::from_pkcs8(b"none").is_err());
        let small = KeyPair::generate(KeySize::Rsa4096).expect("a key");
        let small: Pkcs8V1Der<'_> = small.as_der().expect("DER");
        assert!(DkimKey::from_pkcs8(small.as_ref()).is_err(), "no record of this length is asked for");
        for (domain, selector) in
            [("a.example;\r\nX: y", "s"), ("a.example", "s; d=b.example"), ("", "s"), ("a.example", "")]
        {
            assert!(matches!(key.sign(domain, selector, b"", Timestamp(0)), Err(DkimError::Name(_))), "{domain}");
        }
        let signed =
            key.sign("bücher.example", "herald", b"From: a@b.example\r\n\r\nHi\r\n", Timestamp(0)).expect("signed");
        let signed = String::from_utf8(signed).expect("ASCII");
        assert!(
            signed.contains(" d=xn--bcher-kva.example;") && signed.lines().all(|line| line.len() <= 100),
            "{signed}"
        );
        assert!(signed.contains("h=From:From:To:Subject:\r\n Date:"), "{signed}");
    }
}
