//! Texts from callers: their limits, and the words that say so.

use std::collections::HashSet;

use url::Url;

use super::error::Violations;

/// A short text: a name, a place, an industry.
pub const SHORT: usize = 200;
/// The longest URL.
pub const URL_MAX: usize = 2_000;
/// The most entries of a list of short texts.
pub const LIST_MAX: usize = 50;

/// The text, trimmed, if it has at most `most` characters and no control characters other than line breaks and tabs.
pub fn bounded(v: &mut Violations, field: &str, text: &str, most: usize) -> String {
    let text = text.trim();
    if text.chars().count() > most {
        v.add(field, format!("must be at most {most} characters"));
    } else if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        v.add(field, "must not contain control characters");
    }
    text.to_owned()
}

/// The same for a text of one line.
pub fn line(v: &mut Violations, field: &str, text: &str, most: usize) -> String {
    let text = bounded(v, field, text, most);
    if text.contains(['\n', '\r']) {
        v.add(field, "must be a single line");
    }
    text
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
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(EXPECTED);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user name or password");
    }
    Ok(url)
}

/// The part of an enum's name that says something, for people: `PROSPECT_STATUS_CONTACTED` is `contacted`.
pub fn lower_name(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase().replace('_', " ")
}

/// The text cut to at most `most` characters, on a character boundary.
pub fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
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
    }

    #[test]
    fn cut_counts_characters() {
        assert_eq!(cut("日本語", 2), "日本");
        assert_eq!(cut("ab", 5), "ab");
    }
}
