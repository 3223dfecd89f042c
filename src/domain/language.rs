//! The languages that Herald itself writes and speaks to readers of letters.

use super::named_enum::named_enum;

named_enum! {
    /// A language that Herald speaks to readers of letters.
    pub enum Language {
        Chinese = "zh",
        English = "en",
        French = "fr",
        German = "de",
        Spanish = "es",
    }
}

// === impl Language ===

impl Language {
    /// That of an IETF language tag, such as `de-AT`; English where Herald does not speak it.
    pub fn of_tag(tag: &str) -> Self {
        Self::spoken(tag).unwrap_or(Self::English)
    }

    /// That of an IETF language tag, if Herald speaks it.
    pub fn spoken(tag: &str) -> Option<Self> {
        Self::parse(&primary(tag))
    }
}

/// What an IETF language tag begins with, which names the language: `de` of `de-AT`.
pub fn primary(tag: &str) -> String {
    tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase()
}

/// Whether the text has the form of an IETF language tag (RFC 5646); the empty one passes.
pub fn is_tag(tag: &str) -> bool {
    let part = |p: &str| (1..=8).contains(&p.len()) && p.chars().all(|c| c.is_ascii_alphanumeric());
    let primary = |p: &str| (2..=8).contains(&p.len()) && p.chars().all(|c| c.is_ascii_alphabetic());
    let mut parts = tag.split('-');
    tag.is_empty() || (tag.len() <= 35 && parts.next().is_some_and(primary) && parts.all(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_that_of_its_tag() {
        for (tag, language) in [
            ("de-AT", Language::German),
            ("ZH-Hant-TW", Language::Chinese),
            ("en_US", Language::English),
            ("fr", Language::French),
            ("es-419", Language::Spanish),
            ("it", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::of_tag(tag), language, "{tag}");
        }
        assert_eq!((Language::spoken("it"), Language::spoken("en-GB")), (None, Some(Language::English)));
    }

    #[test]
    fn tags_have_their_form() {
        let long = |letters: usize| format!("en-aaaaaaaa-aaaaaaaa-aaaaaaaa-{}", "a".repeat(letters));
        assert_eq!((is_tag(&long(5)), is_tag(&long(6)), long(5).len()), (true, false, 35));
        for good in ["", "en", "zh-CN", "sr-Latn-RS", "de-1996"] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["e", "en_US", "en-", "日本", "english language"] {
            assert!(!is_tag(bad), "{bad}");
        }
    }
}
