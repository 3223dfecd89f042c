//! From when to when a certificate is valid (RFC 5280, 4.1.2.5), read from its DER: rustls looks at those of its peers, and never
//! at its own.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A certificate's two times, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// Which file it is in.
    pub what: String,
    pub from: i64,
    pub until: i64,
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;

impl Validity {
    /// None if the bytes are no certificate.
    pub(super) fn of(what: &str, certificate: &[u8]) -> Option<Self> {
        let (_, certificate, _) = element(certificate)?;
        let (tag, mut rest, _) = element(certificate)?;
        if tag != SEQUENCE {
            return None;
        }
        if rest.first() == Some(&VERSION) {
            rest = element(rest)?.2;
        }
        // The serial number, the algorithm, the issuer.
        for _ in 0..3 {
            rest = element(rest)?.2;
        }
        let (_, validity, _) = element(rest)?;
        let (from_tag, from, rest) = element(validity)?;
        let (until_tag, until, _) = element(rest)?;
        Some(Self { what: what.to_owned(), from: seconds(from_tag, from)?, until: seconds(until_tag, until)? })
    }
}

/// The first element: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // So many bytes of length follow.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, in which 50 is 1950, or with four digits of the year.
fn seconds(tag: u8, time: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    let text = match (tag, text.get(..2)?.parse::<u8>().ok()?) {
        (UTC_TIME, 50..) => format!("19{text}"),
        (UTC_TIME, _) => format!("20{text}"),
        _ => text.to_owned(),
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    Some(TimeZone::UTC.to_timestamp(time).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dates_of_certificates_are_read_and_of_nothing_else() {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("parameters");
        for (from, until) in
            [((2026, 1, 2), (2027, 3, 4)), ((1975, 1, 1), (2049, 12, 31)), ((2020, 2, 29), (2061, 5, 6))]
        {
            params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
            params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
            let key = rcgen::KeyPair::generate().expect("a key");
            let der = params.self_signed(&key).expect("a certificate").der().to_vec();
            let expected = Validity {
                what: "it".to_owned(),
                from: params.not_before.unix_timestamp(),
                until: params.not_after.unix_timestamp(),
            };
            assert_eq!(Validity::of("it", &der), Some(expected));
            for end in 0..der.len() {
                let _ = Validity::of("it", &der[..end]);
            }
        }
        assert_eq!(Validity::of("it", b"no certificate"), None);
    }
}
