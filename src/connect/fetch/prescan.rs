//! The HTML standard's prescan, "prescan a byte stream to determine its encoding": what the first meta element says, read from
//! bytes, with comments passed over and attributes told apart.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use super::meta::{in_content, is_space, of_element};

/// "Prescan a byte stream to determine its encoding".
pub(super) fn prescan(bytes: &[u8]) -> Option<&'static Encoding> {
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
    use encoding_rs::{GBK, SHIFT_JIS, UTF_8, WINDOWS_1252};

    use super::*;

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
}
