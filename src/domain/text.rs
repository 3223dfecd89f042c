//! Texts from callers: their limits, and the words that say so.

use std::borrow::Cow;
use std::collections::HashSet;

use url::{Host, Url};

use super::error::Violations;

/// A short text: a name, a place, an industry.
pub const SHORT: usize = 200;
/// The longest URL.
pub const URL_MAX: usize = 2_000;
/// The most entries of a list of short texts.
pub const LIST_MAX: usize = 50;

/// The text, trimmed and [`clean`], if it has at most `max` characters and no control characters other than line breaks
/// and tabs.
pub fn bounded(v: &mut Violations, field: &str, text: &str, max: usize) -> String {
    let text = clean(text.trim());
    // A character has four bytes at most; nobody counts the characters of megabytes.
    if text.len() > 4 * max || text.chars().count() > max {
        v.add(field, format!("must be at most {max} characters"));
    } else if text.chars().any(is_refused) {
        v.add(field, "must not contain control characters");
    }
    text.into_owned()
}

/// The same for a text of one line.
pub fn line(v: &mut Violations, field: &str, text: &str, max: usize) -> String {
    let text = bounded(v, field, text, max);
    if text.contains('\n') {
        v.add(field, "must be a single line");
    }
    text
}

/// Whether a character is refused in every text that is not opaque: control characters (C0, DEL, C1) other than line breaks
/// and tabs. A terminal obeys them, and a header of a mail ends with them.
pub fn is_refused(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

/// The text with `\n` for whatever breaks its lines (CRLF, a bare CR, U+2028, U+2029), and with every bidirectional control
/// closed on its line (UAX #9): what stands after the text is not turned around by it.
pub fn clean(text: &str) -> Cow<'_, str> {
    let breaks = |c| matches!(c, '\r' | '\u{2028}' | '\u{2029}');
    if !text.contains(|c| breaks(c) || is_bidi_control(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut open = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            c if c == '\n' || breaks(c) => {
                close(&mut out, &mut open);
                out.push('\n');
            }
            c if is_bidi_control(c) => bidi_control(c, &mut out, &mut open),
            c => out.push(c),
        }
    }
    close(&mut out, &mut open);
    Cow::Owned(out)
}

/// A text of somebody who asked for nothing, such as a website: clean, on one line, its control characters left out.
pub fn tame(text: &str) -> Cow<'_, str> {
    match clean(text) {
        text if !text.contains(char::is_control) => text,
        text => Cow::Owned(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()),
    }
}

/// As it stands in HTML, in an attribute too.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Embeddings, overrides and isolates, and their ends.
pub fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A Chinese character, which is a word by itself.
pub fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

const POP_FORMAT: char = '\u{202c}';
const POP_ISOLATE: char = '\u{2069}';
/// Deeper ones have no effect in any case (UAX #9, BD2: 125).
const MAX_BIDI: usize = 60;

/// Writes the control if it belongs to one of the text's own; `open` holds the ends of those that are open.
fn bidi_control(c: char, out: &mut String, open: &mut Vec<char>) {
    match c {
        POP_FORMAT if open.last() == Some(&POP_FORMAT) => {
            open.pop();
        }
        POP_ISOLATE if open.contains(&POP_ISOLATE) => while open.pop().is_some_and(|end| end != POP_ISOLATE) {},
        POP_FORMAT | POP_ISOLATE => return,
        _ if open.len() >= MAX_BIDI => return,
        '\u{2066}'..='\u{2068}' => open.push(POP_ISOLATE),
        _ => open.push(POP_FORMAT),
    }
    out.push(c);
}

fn close(out: &mut String, open: &mut Vec<char>) {
    out.extend(open.drain(..).rev());
}

/// At most fifty lines of at most two hundred characters; empty ones are left out.
pub fn lines(v: &mut Violations, field: &str, list: &[String]) -> Vec<String> {
    if list.len() > LIST_MAX {
        v.add(field, format!("must have at most {LIST_MAX} entries"));
        return Vec::new();
    }
    let checked = list.iter().enumerate().map(|(i, text)| line(v, &format!("{field}[{i}]"), text, SHORT));
    checked.filter(|text| !text.is_empty()).collect()
}

/// An absolute http or https URL with a host and without credentials in it.
pub fn web_url(text: &str) -> Result<Url, &'static str> {
    const EXPECTED: &str = "must be an http or https URL such as https://example.com";
    let text = text.trim();
    if text.chars().count() > URL_MAX {
        return Err("must be at most 2000 characters");
    }
    // Parsing leaves out tabs and line breaks, wherever they are; we would keep them.
    if text.contains(char::is_control) {
        return Err("must not contain control characters");
    }
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(EXPECTED);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user name or password");
    }
    Ok(url)
}

/// The name or address of a mail server; empty: none is stated.
pub fn mail_host(text: &str) -> Result<String, &'static str> {
    // RFC 1035, 2.3.4.
    const LONGEST: usize = 253;
    let host = text.trim();
    if !host.is_empty() && (host.len() > LONGEST || Host::parse(host).is_err()) {
        return Err("must be a host name or address such as smtp.example.com");
    }
    Ok(host.to_owned())
}

/// Whether nothing that is said to the host leaves this machine.
pub fn is_this_machine(host: &Host<impl AsRef<str>>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref() == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Whether nobody on the way reads or changes what comes from the URL: it is over TLS, or of this machine.
pub fn is_tls_or_here(url: &Url) -> bool {
    let is_here = || url.host().is_some_and(|host| is_this_machine(&host));
    url.scheme() == "https" || (url.scheme() == "http" && is_here())
}

/// On one line, its words one blank apart; but for the blank that French has before some marks.
pub fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() && c != '\u{a0}').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// The text cut to at most `max` characters, on a character boundary.
pub fn cut(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).map_or(text, |(end, _)| &text[..end])
}

/// The words of a text that say something: lower case, at least four letters (or any Chinese run), no stop words.
pub fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let mut seen = HashSet::new();
    lower
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .map(|w| w.trim_matches('-'))
        .filter(|w| w.chars().count() >= 4 || (w.chars().count() >= 2 && !w.is_ascii()))
        .filter(|w| !STOP_WORDS.contains(w) && !w.chars().all(|c| c.is_ascii_digit()))
        .filter(|w| seen.insert((*w).to_owned()))
        .map(str::to_owned)
        .collect()
}

const STOP_WORDS: &[&str] = &[
    "about",
    "after",
    "also",
    "among",
    "because",
    "been",
    "before",
    "being",
    "between",
    "both",
    "company",
    "could",
    "does",
    "each",
    "every",
    "everything",
    "from",
    "have",
    "help",
    "helps",
    "here",
    "into",
    "just",
    "know",
    "like",
    "made",
    "make",
    "makes",
    "many",
    "more",
    "most",
    "much",
    "need",
    "needs",
    "only",
    "other",
    "over",
    "people",
    "same",
    "should",
    "since",
    "some",
    "such",
    "than",
    "that",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "through",
    "under",
    "until",
    "very",
    "want",
    "well",
    "were",
    "what",
    "when",
    "where",
    "which",
    "while",
    "whose",
    "will",
    "with",
    "within",
    "without",
    "work",
    "would",
    "your",
    "yours",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_urls_have_a_web_scheme_a_host_and_no_credentials() {
        for good in ["https://example.com", "http://127.0.0.1:8080/a?b#c", " https://例子.example/页 "] {
            assert!(web_url(good).is_ok(), "{good}");
        }
        for bad in
            ["", "example.com", "ftp://example.com", "https://", "javascript:alert(1)", "https://u:p@example.com"]
        {
            assert!(web_url(bad).is_err(), "{bad}");
        }
        assert!(web_url(&format!("https://example.com/{}", "a".repeat(2_000))).is_err());
        for control in ['\0', '\r', '\n', '\t', '\u{1b}', '\u{9b}'] {
            assert!(web_url(&format!("https://example.com/{control}a")).is_err(), "{control:?}");
        }
    }

    #[test]
    fn line_breaks_are_one_and_bidirectional_controls_end_with_their_line() {
        for (text, right) in [
            ("a\r\nb\rc\u{2028}d\ne", "a\nb\nc\nd\ne"),
            ("plain", "plain"),
            ("\u{202e}evil", "\u{202e}evil\u{202c}"),
            ("\u{2067}a\u{202b}b", "\u{2067}a\u{202b}b\u{202c}\u{2069}"),
            ("\u{2067}a\u{202b}b\u{2069}c", "\u{2067}a\u{202b}b\u{2069}c"),
            ("a\u{2069}b\u{202c}c", "abc"),
            ("\u{202e}a\nb", "\u{202e}a\u{202c}\nb"),
        ] {
            assert_eq!(clean(text), right, "{text:?}");
            assert_eq!(clean(right), right, "it stays as it is");
        }
        assert_eq!(clean(&"\u{202e}".repeat(1_000)).chars().count(), 2 * MAX_BIDI);
        assert_eq!(tame("\u{1b}[31mred\u{9b}1m\0"), " [31mred 1m ");
    }

    #[test]
    fn control_characters_are_refused_and_a_text_of_one_line_has_one() {
        let refused = |check: fn(&mut Violations, &str, &str, usize) -> String, text: &str| {
            let mut v = Violations::default();
            check(&mut v, "f", text, 20);
            !v.is_empty()
        };
        for text in ["a\0b", "a\u{1b}[0m", "a\u{7f}", "a\u{9b}31m", "a\u{85}b"] {
            assert!(refused(bounded, text), "{text:?}");
        }
        for text in ["a\nb", "a\rb", "a\r\nb", "a\u{2028}b", "a\u{2029}b"] {
            assert!(!refused(bounded, text) && refused(line, text), "{text:?}");
        }
        assert!(!refused(line, "a\tb") && !refused(line, &"用".repeat(20)) && refused(line, &"a".repeat(21)));
    }

    #[test]
    fn cut_counts_characters() {
        assert_eq!(cut("日本語", 2), "日本");
        assert_eq!(cut("ab", 5), "ab");
    }
}
