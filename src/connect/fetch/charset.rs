//! The charset of a page, as the HTML standard has it ("determining the character encoding"): by its byte order mark, by the
//! header, by a prescan of its first bytes, by what a meta element says further on ("changing the encoding while parsing"), and
//! else by its bytes, as browsers guess it.
//!
//! Nothing is found by looking for the letters `charset`: a comment, a script or a description may have them.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

use super::head::{self, Head};

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

/// What the encoding that an element names stands for: whoever could read the name did not read UTF-16.
pub(super) fn of_element(named: &'static Encoding) -> &'static Encoding {
    if named == UTF_16LE || named == UTF_16BE {
        UTF_8
    } else if named == X_USER_DEFINED {
        WINDOWS_1252
    } else {
        named
    }
}

/// "Extracting a character encoding from a meta element": the label behind `charset` and `=` in a `content`.
pub(super) fn in_content(content: &[u8]) -> Option<&'static Encoding> {
    let mut rest = content;
    loop {
        let at = rest.windows(7).position(|window| window.eq_ignore_ascii_case(b"charset"))?;
        rest = &rest[at + 7..];
        if let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") {
            let value = value.trim_ascii_start();
            let label = match value.first() {
                Some(quote @ (b'"' | b'\'')) => {
                    let value = &value[1..];
                    &value[..value.iter().position(|byte| byte == quote)?]
                }
                _ => {
                    let ends = |byte: &u8| is_space(*byte) || *byte == b';';
                    &value[..value.iter().position(ends).unwrap_or(value.len())]
                }
            };
            return Encoding::for_label(label);
        }
    }
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

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

/// "Prescan a byte stream to determine its encoding".
fn prescan(bytes: &[u8]) -> Option<&'static Encoding> {
    // XML declarations in UTF-16 without a mark.
    if bytes.starts_with(b"<\0?\0x\0") {
        return Some(UTF_16LE);
    }
    if bytes.starts_with(b"\0<\0?\0x") {
        return Some(UTF_16BE);
    }
    Scanner { bytes, at: 0 }.meta().or_else(|| xml_encoding(bytes))
}

/// "Get an XML encoding", in an XML declaration that stands first.
fn xml_encoding(bytes: &[u8]) -> Option<&'static Encoding> {
    let declaration = bytes.strip_prefix(b"<?xml")?;
    let declaration = &declaration[..declaration.iter().position(|byte| *byte == b'>')?];
    let at = declaration.windows(8).position(|window| window == b"encoding")?;
    let trim = |bytes: &'_ [u8]| bytes.iter().position(|byte| *byte > b' ').unwrap_or(bytes.len());
    let rest = &declaration[at + 8..];
    let rest = rest[trim(rest)..].strip_prefix(b"=")?;
    let rest = &rest[trim(rest)..];
    let quote = rest.first().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let label = &rest[1..];
    let label = &label[..label.iter().position(|byte| byte == quote)?];
    (!label.iter().any(|byte| *byte <= b' ')).then(|| Encoding::for_label(label).map(of_element)).flatten()
}

/// Where the prescan stands. To run out of bytes ends it.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// The encoding that the first meta element with a known one names.
    fn meta(&mut self) -> Option<&'static Encoding> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            let tag_follows = |rest: &[u8]| rest.first().is_some_and(u8::is_ascii_alphabetic);
            if rest.starts_with(b"<!--") {
                // The hyphens of its end may be those of its beginning, as in `<!-->`.
                let end = rest[2..].windows(3).position(|window| window == b"-->")?;
                self.at += 2 + end + 3;
            } else if rest.len() > 5
                && rest[..5].eq_ignore_ascii_case(b"<meta")
                && (is_space(rest[5]) || rest[5] == b'/')
            {
                self.at += 6;
                if let Some(found) = self.encoding_of_meta()? {
                    return Some(found);
                }
            } else if rest.starts_with(b"<")
                && (tag_follows(&rest[1..]) || rest[1..].strip_prefix(b"/").is_some_and(tag_follows))
            {
                let name_ends = |byte: &u8| is_space(*byte) || *byte == b'>';
                self.at += rest.iter().position(name_ends)?;
                while self.attribute()?.is_some() {}
                self.at += 1;
            } else if [b"<!".as_slice(), b"</", b"<?"].iter().any(|opened| rest.starts_with(opened)) {
                self.at += rest.iter().position(|byte| *byte == b'>')? + 1;
            } else {
                self.at += 1;
            }
        }
    }

    /// The encoding that the meta element names whose attributes follow; Some(None) if it names none.
    fn encoding_of_meta(&mut self) -> Option<Option<&'static Encoding>> {
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let (mut got_pragma, mut needs_pragma, mut charset) = (false, None, None);
        while let Some((name, value)) = self.attribute()? {
            if seen.contains(&name) {
                continue;
            }
            match name.as_slice() {
                b"http-equiv" => got_pragma |= value == b"content-type",
                b"content" if charset.is_none() => {
                    if let Some(found) = in_content(&value) {
                        (charset, needs_pragma) = (Some(found), Some(true));
                    }
                }
                b"charset" => (charset, needs_pragma) = (Encoding::for_label(&value), Some(false)),
                _ => {}
            }
            seen.push(name);
        }
        self.at += 1;
        Some(match needs_pragma {
            Some(true) if !got_pragma => None,
            Some(_) => charset.map(of_element),
            None => None,
        })
    }

    /// "Get an attribute": its name and value in lower case; Some(None) if there is none before the tag's end.
    fn attribute(&mut self) -> Option<Option<(Vec<u8>, Vec<u8>)>> {
        while is_space(self.byte()?) || self.byte()? == b'/' {
            self.at += 1;
        }
        if self.byte()? == b'>' {
            return Some(None);
        }
        let mut name = Vec::new();
        let has_value = loop {
            match self.byte()? {
                b'=' if !name.is_empty() => break true,
                byte if is_space(byte) => {
                    self.skip_spaces()?;
                    break self.byte()? == b'=';
                }
                b'/' | b'>' => return Some(Some((name, Vec::new()))),
                byte => name.push(byte.to_ascii_lowercase()),
            }
            self.at += 1;
        };
        if !has_value {
            return Some(Some((name, Vec::new())));
        }
        self.at += 1;
        self.skip_spaces()?;
        let mut value = Vec::new();
        match self.byte()? {
            quote @ (b'"' | b'\'') => loop {
                self.at += 1;
                match self.byte()? {
                    byte if byte == quote => {
                        self.at += 1;
                        return Some(Some((name, value)));
                    }
                    byte => value.push(byte.to_ascii_lowercase()),
                }
            },
            b'>' => Some(Some((name, value))),
            _ => loop {
                match self.byte()? {
                    byte if is_space(byte) || byte == b'>' => return Some(Some((name, value))),
                    byte => value.push(byte.to_ascii_lowercase()),
                }
                self.at += 1;
            },
        }
    }

    fn skip_spaces(&mut self) -> Option<()> {
        while is_space(self.byte()?) {
            self.at += 1;
        }
        Some(())
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{GBK, SHIFT_JIS};

    use super::*;

    fn decoded(bytes: &[u8]) -> String {
        decode(bytes, None, "acme.example", false).0
    }

    #[test]
    fn the_prescan_reads_elements_and_nothing_else() {
        for (page, right) in [
            ("<meta charset=gbk>", Some(GBK)),
            ("<META\nCHARSET = 'Shift_JIS' >", Some(SHIFT_JIS)),
            ("<meta/charset=\"gbk\"/>", Some(GBK)),
            ("<meta http-equiv=Content-Type content='text/html; charset=gb2312'>", Some(GBK)),
            ("<meta content=\"charset=gbk\" x http-equiv=\"content-type\">", Some(GBK)),
            ("<meta content='text/html; charset=\"gbk\"' http-equiv=content-type>", Some(GBK)),
            // A pragma of another kind, or none.
            ("<meta http-equiv=refresh content='0; url=/?charset=gbk'>", None),
            ("<meta name=description content='We print in charset=gbk'>", None),
            ("<meta charset=none><meta charset=gbk>", Some(GBK)),
            ("<meta charset=none charset=gbk>", None),
            ("<meta charset=utf-16>", Some(UTF_8)),
            ("<meta charset=unicode>", Some(UTF_8)),
            ("<meta charset=x-user-defined>", Some(WINDOWS_1252)),
            // Comments, and what is none.
            ("<!-- <meta charset=gbk> -->", None),
            ("<!--><meta charset=gbk>", Some(GBK)),
            ("<a title='<meta charset=gbk>'>", None),
            ("</p title='<meta charset=gbk>'><meta charset=shift_jis>", Some(SHIFT_JIS)),
            ("<!doctype html><?php > <meta charset=gbk>", Some(GBK)),
            ("<metal charset=gbk>", None),
            // Broken off within the element.
            ("<meta charset=gbk", None),
            ("<meta charset=gbk ", None),
            ("<?xml version='1.0' encoding = 'gbk'?><html>", Some(GBK)),
            ("<?xml version='1.0' encoding='gbk'?><meta charset=shift_jis>", Some(SHIFT_JIS)),
            ("<?xml version='1.0' encoding='utf-16'?>", Some(UTF_8)),
            ("charset=gbk", None),
            ("", None),
        ] {
            assert_eq!(prescan(page.as_bytes()), right, "{page}");
        }
        assert_eq!(prescan(b"<\0?\0x\0m\0l\0"), Some(UTF_16LE));
        // No end of bytes is a fault, and nothing is read behind it.
        let all = b"<!-- x --><?xml encoding='a'?></p a='b'><p/ a = b c=\"d\"><meta charset=gbk>";
        for end in 0..all.len() {
            assert_eq!(prescan(&all[..end]), None);
        }
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
