//! The Content-Type of an answer, as the MIME Sniffing standard parses it, and the Fetch standard where there are several.

use encoding_rs::Encoding;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

/// What an answer is, and in which charset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MediaType {
    /// Such as `text/html`, in lower case; empty if the answer does not say it.
    pub essence: String,
    pub charset: Option<&'static Encoding>,
}

impl MediaType {
    /// The last that is one counts; its charset may be that of the one before.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut last = Self::default();
        for value in headers.get_all(CONTENT_TYPE) {
            let text = String::from_utf8_lossy(value.as_bytes());
            let Some(next) = parse(&text) else { continue };
            let charset = next.charset.or(last.charset.filter(|_| next.essence == last.essence));
            last = Self { charset, ..next };
        }
        last
    }

    /// Whether it is a web page, or may be one since it does not say what it is.
    pub(super) fn is_page(&self) -> bool {
        ["", "text/html", "application/xhtml+xml"].contains(&self.essence.as_str())
    }
}

fn parse(text: &str) -> Option<MediaType> {
    let (essence, mut rest) = text.split_once(';').unwrap_or((text, ""));
    let essence = essence.trim().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    if kind.is_empty() || subtype.is_empty() || essence == "*/*" || essence.contains(char::is_whitespace) {
        return None;
    }
    let mut charset = None;
    loop {
        rest = rest.trim_start();
        let Some(end) = rest.find([';', '=']) else { break };
        let (name, after) = (rest[..end].trim(), &rest[end + 1..]);
        if rest.as_bytes()[end] == b';' {
            rest = after;
            continue;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => until_quote(quoted),
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim_end().to_owned(), after)
            }
        };
        // The first counts.
        if name.eq_ignore_ascii_case("charset") && charset.is_none() && !value.is_empty() {
            charset = Some(value);
        }
        rest = after;
    }
    let charset = charset.and_then(|label| Encoding::for_label(label.as_bytes()));
    Some(MediaType { essence, charset })
}

/// The text of a quoted string, and what follows the parameter it is of.
fn until_quote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text[at + 1..].split_once(';').map_or("", |(_, rest)| rest)),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use encoding_rs::{GBK, UTF_8};

    use super::*;

    #[test]
    fn parameters_are_read_and_letters_are_not_looked_for() {
        for (text, essence, charset) in [
            ("text/html", "text/html", None),
            (" Text/HTML ; Charset=GBK", "text/html", Some(GBK)),
            ("text/html;charset=\"gbk\"", "text/html", Some(GBK)),
            ("text/html;charset=\"g\\bk\";x", "text/html", Some(GBK)),
            ("text/html; charset=gbk; charset=utf-8", "text/html", Some(GBK)),
            ("text/html;;x;charset=gbk", "text/html", Some(GBK)),
            ("text/html; x-charset=gbk", "text/html", None),
            ("text/html; x=\"; charset=gbk\"; charset=utf-8", "text/html", Some(UTF_8)),
            ("text/html; charset=none", "text/html", None),
            ("text/html; charset", "text/html", None),
        ] {
            assert_eq!(parse(text), Some(MediaType { essence: essence.to_owned(), charset }), "{text}");
        }
        for none in ["", "html", "text/", "*/*", "a b/c"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn of_several_the_last_counts() {
        let mut headers = HeaderMap::new();
        for value in ["text/html; charset=gbk", "nonsense", "text/html"] {
            headers.append(CONTENT_TYPE, value.parse().expect("a header"));
        }
        assert_eq!(MediaType::of(&headers).charset, Some(GBK));
        headers.append(CONTENT_TYPE, "text/plain".parse().expect("a header"));
        assert_eq!(MediaType::of(&headers), MediaType { essence: "text/plain".to_owned(), charset: None });
    }
}
