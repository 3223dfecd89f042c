//! The charset of a page, as the HTML standard has it ("determining the character encoding"): by its byte order mark, by the
//! header, by a prescan of its first bytes, by what a meta element says further on ("changing the encoding while parsing"), and
//! else by its bytes, as browsers guess it.
//!
//! Nothing is found by looking for the letters `charset`: a comment, a script or a description may have them.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::head::{self, Head};
use super::prescan::prescan;

/// As many as the standard encourages to prescan.
const PRESCANNED: usize = 1_024;
/// The bytes that a guess is made from.
const GUESSED_FROM: usize = 64 * 1024;

/// The text of a page, and what its head says. `header` is the charset of the Content-Type; `host` hints at a guess; a page that
/// was `cut` may end in the middle of a character.
pub(super) fn decode(
    bytes: &[u8],
    header: Option<&'static Encoding>,
    host: &str,
    cut: bool,
) -> (String, &'static Encoding, Head) {
    let mark = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    if let Some(certain) = mark.or(header) {
        let text = text(bytes, certain);
        let head = head::scan(&text);
        return (text, certain, head);
    }
    let tentative = prescan(&bytes[..bytes.len().min(PRESCANNED)]).unwrap_or_else(|| guess(bytes, host, cut));
    let decoded = text(bytes, tentative);
    let head = head::scan(&decoded);
    match head.charset {
        // A document in UTF-16 is it for certain: its elements would not have been found otherwise.
        Some(said) if said != tentative && ![UTF_16LE, UTF_16BE].contains(&tentative) => {
            let decoded = text(bytes, said);
            let head = head::scan(&decoded);
            (decoded, said, head)
        }
        _ => (decoded, tentative, head),
    }
}

fn text(bytes: &[u8], encoding: &'static Encoding) -> String {
    encoding.decode(bytes).0.into_owned()
}

/// UTF-8 if it is that, else what is likely. Firefox's way.
fn guess(bytes: &[u8], host: &str, cut: bool) -> &'static Encoding {
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => cut && error.error_len().is_none(),
    };
    if is_utf8 {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&bytes[..bytes.len().min(GUESSED_FROM)], true);
    // The detector panics at anything else.
    let is_label = |label: &&str| label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let domain = host.rsplit('.').next().filter(is_label).filter(|label| !label.is_empty());
    detector.guess(domain.map(str::as_bytes), Utf8Detection::Deny)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{GBK, SHIFT_JIS};

    use super::*;

    fn decoded(bytes: &[u8]) -> String {
        decode(bytes, None, "acme.example", false).0
    }

    #[test]
    fn a_mark_is_before_the_header_and_the_header_before_the_page() {
        let gbk: &[u8] = &[0xd6, 0xd0, 0xce, 0xc4];
        assert_eq!(decode(gbk, Some(GBK), "", false).0, "中文");
        let page = [b"<meta charset=utf-8>".as_slice(), gbk].concat();
        assert!(decode(&page, Some(GBK), "", false).0.ends_with("中文"));
        let marked = [b"\xef\xbb\xbf".as_slice(), "中文".as_bytes()].concat();
        assert_eq!(decode(&marked, Some(GBK), "", false).0, "中文");
        let page = [b"<meta charset=\"GB2312\">".as_slice(), gbk].concat();
        assert!(decoded(&page).ends_with("中文"));
    }

    #[test]
    fn a_meta_element_further_on_counts_as_long_as_nothing_is_certain() {
        let gbk: &[u8] = &[0xd6, 0xd0, 0xce, 0xc4];
        let far = format!("<!-- {} --><script>'<meta charset=big5>'</script><meta charset=gbk>", "x".repeat(2_000));
        assert!(decoded(&[far.as_bytes(), gbk].concat()).ends_with("中文"));
        // In a script it is none, although a prescan takes it for one.
        let near = b"<script>var a = '<meta charset=big5>'</script><meta charset=gbk>".as_slice();
        assert!(decoded(&[near, gbk].concat()).ends_with("中文"));
    }

    #[test]
    fn what_nobody_declares_is_guessed() {
        assert_eq!(decoded("中文".as_bytes()), "中文");
        assert_eq!(decoded(b"caf\xe9"), "café");
        assert_eq!(decode(&"中文".as_bytes()[..5], None, "", true).0, "中\u{fffd}");
        let (sjis, ..) = SHIFT_JIS.encode("北村ポンプ製作所は井戸と池のためのポンプを作っています。");
        assert!(decoded(&sjis).starts_with("北村ポンプ"));
    }
}
