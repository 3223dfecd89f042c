//! What our own letters offer to those who do not want them, and what they ask them to answer.
//!
//! Both are read from the built-in letters themselves, so that a letter which is added, or put in other words, is known to
//! the judge without anybody thinking of it.

use std::sync::OnceLock;

use super::fold::fold;
use crate::domain::language::Language;
use crate::domain::template;

/// What one letter says in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WayOut {
    /// Its last paragraph, folded, on one line.
    pub text: String,
    /// What it asks its reader to answer, folded.
    pub answers: Vec<String>,
}

/// Of every built-in letter in every language.
pub(super) fn ways_out() -> &'static [WayOut] {
    static WAYS_OUT: OnceLock<Vec<WayOut>> = OnceLock::new();
    WAYS_OUT.get_or_init(|| {
        let texts = template::built_in().iter().flat_map(|letter| &letter.settings.texts);
        let letters = texts.filter_map(|text| text.body.lines().next_back());
        letters.chain(Language::ALL.map(template::way_out)).map(WayOut::read).collect()
    })
}

/// The folded text without the ways out that stand in it.
pub(super) fn without(text: &str) -> String {
    let mut text = text.to_owned();
    for way_out in ways_out().iter().filter(|way_out| !way_out.answers.is_empty()) {
        if text.contains(way_out.text.as_str()) {
            text = text.replace(way_out.text.as_str(), "\n");
        }
    }
    text
}

/// Whether these words are what a letter of ours asks for, and nothing else.
pub(super) fn is_answer(words: &str) -> bool {
    let plain = |c: char| !c.is_alphanumeric();
    let words = words.trim_matches(plain);
    ways_out().iter().flat_map(|way_out| &way_out.answers).any(|answer| answer.trim_matches(plain) == words)
}

// === impl WayOut ===

impl WayOut {
    fn read(text: &str) -> Self {
        let text = fold(text).split_whitespace().collect::<Vec<_>>().join(" ");
        // What stands between quotation marks is what is to be answered.
        let answers = text.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        Self { text, answers }
    }
}
