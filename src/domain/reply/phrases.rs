//! Phrases that say what a reply wants, from a table for each language, and where they stand in a sentence.
//!
//! A table (`phrases/*.txt`) has sections, and a phrase in each line. A phrase is words in their order:
//!
//! - `a|b` is one of them, and `_` binds the words of such a choice: `no|do_not`;
//! - `(a)` may be missing;
//! - `..` is a few words of any kind;
//! - `,` is a comma or a dash, and `$` is where a clause ends.
//!
//! Chinese characters are words by themselves, and need no spaces. Tables are folded ([`super::fold`]) like what they are
//! compared with, so they are written as people write.
//!
//! Of the phrases that begin at a word the longest counts, and what it holds is not looked at again: "can't wait" is no
//! negation, and "interested in unsubscribing" no interest. The work is bounded by the words of the text times the phrases
//! that begin with the same word; each of those looks a few words ahead, and no further.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::fold::fold;
use crate::domain::named_enum::named_enum;
use crate::domain::text::is_chinese;

named_enum! {
    /// What a phrase says.
    pub(super) enum Kind {
        /// Asks never to be written to again, or to be forgotten.
        Unsubscribe = "unsubscribe",
        /// The same; but notes of people who are away say it as well.
        Begone = "begone",
        /// A reply that says nothing else asks for it.
        Stop = "stop",
        /// Speaks of unsubscribing, and asks for it unless the sentence is about something else.
        Mention = "mention",
        /// Refuses.
        Refuses = "refuses",
        /// Refuses, for now or by the way; not beside a wish for more.
        Declines = "declines",
        /// A sentence that is nothing else refuses.
        No = "no",
        /// Wants to talk, to read, to meet.
        Wants = "wants",
        /// Speaks of interest, which words around it may negate.
        Interest = "interest",
        /// Names interest and says nothing of it, unless a negation does.
        Topic = "topic",
        /// Wants more in words that look like a negation.
        Gladly = "gladly",
        /// A sentence that is nothing else agrees.
        Yes = "yes",
        /// Says nothing, whatever its words say elsewhere.
        Nothing = "nothing",
        Negations = "negations",
        /// Takes the refusal back that follows.
        Softens = "softens",
        Conditions = "conditions",
        /// Leaves the whole sentence open.
        Hedges = "hedges",
        /// Leaves open what follows.
        Maybes = "maybes",
        /// What follows is set against what stands before.
        Turns = "turns",
        Joins = "joins",
        /// Nobody is there to read.
        Away = "away",
        /// The same, as people say it too who then answer.
        Leave = "leave",
        /// A machine writes.
        Machine = "machine",
        /// A mail server writes.
        Bounce = "bounce",
        /// Begins the subject of what a machine writes.
        Subject = "subject",
        Asks = "asks",
    }
}

/// A phrase in a sentence, by the places of its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub kind: Kind,
    pub from: usize,
    pub to: usize,
}

/// The phrases of all languages.
pub(super) struct Phrases {
    phrases: Vec<Phrase>,
    /// By the word that a phrase begins with.
    by_word: HashMap<String, Vec<usize>>,
    /// What a gap does not reach over.
    turns: HashSet<String>,
    negations: HashSet<String>,
}

struct Phrase {
    kind: Kind,
    parts: Vec<Part>,
}

enum Part {
    /// One of these; each is words.
    Words {
        choices: Vec<Vec<String>>,
        optional: bool,
    },
    Gap,
    End,
}

/// A comma, a dash, a colon or a bracket, as a word.
pub(super) const COMMA: &str = ",";

/// What a gap may hold: a word costs three, a Chinese character two.
const GAP: usize = 12;

const TABLES: [&str; 5] = [
    include_str!("phrases/en.txt"),
    include_str!("phrases/de.txt"),
    include_str!("phrases/zh.txt"),
    include_str!("phrases/fr.txt"),
    include_str!("phrases/es.txt"),
];

/// The tables, read once.
pub(super) fn phrases() -> &'static Phrases {
    static PHRASES: OnceLock<Phrases> = OnceLock::new();
    PHRASES.get_or_init(|| Phrases::read(&TABLES))
}

/// The words of a folded text, in order; a comma stands for whatever parts a clause from the next.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for chunk in text.replace("e-mail", "email").split_whitespace() {
        if chunk.contains("://") || chunk.starts_with("www.") {
            out.push("http".to_owned());
        } else if chunk.find('@').is_some_and(|at| at > 0 && chunk[at..].contains('.')) {
            out.push("addr".to_owned());
            if chunk.ends_with(',') {
                out.push(COMMA.to_owned());
            }
        } else {
            chunk_words(chunk, &mut out);
        }
    }
    out
}

fn chunk_words(chunk: &str, out: &mut Vec<String>) {
    let mut word = String::new();
    let end = |word: &mut String, out: &mut Vec<String>| {
        if !word.is_empty() {
            out.push(std::mem::take(word));
        }
    };
    for c in chunk.chars() {
        match c {
            c if is_chinese(c) => {
                end(&mut word, out);
                out.push(c.to_string());
            }
            c if c.is_alphanumeric() => word.push(c),
            // "l'offre" is two words, "don't" is one.
            '\'' if matches!(word.as_str(), "l" | "d" | "n" | "j" | "s" | "c" | "m" | "t" | "qu") => {
                end(&mut word, out)
            }
            '\'' => {}
            ',' | '—' | ':' | '(' | ')' | '|' => {
                end(&mut word, out);
                out.push(COMMA.to_owned());
            }
            // A dash between spaces.
            '-' if chunk.len() == 1 => out.push(COMMA.to_owned()),
            _ => end(&mut word, out),
        }
    }
    end(&mut word, out);
}

// === impl Phrases ===

impl Phrases {
    fn read(tables: &[&str]) -> Self {
        let mut out =
            Self { phrases: Vec::new(), by_word: HashMap::new(), turns: HashSet::new(), negations: HashSet::new() };
        for table in tables {
            let mut kind = None;
            for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                    kind = Kind::parse(name);
                } else if let Some(kind) = kind {
                    out.add(Phrase { kind, parts: parts(line) });
                }
            }
        }
        out
    }

    fn add(&mut self, phrase: Phrase) {
        let number = self.phrases.len();
        for part in &phrase.parts {
            let Part::Words { choices, optional } = part else { break };
            for word in choices.iter().filter_map(|choice| choice.first()) {
                let numbers = self.by_word.entry(word.clone()).or_default();
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
            if !optional {
                break;
            }
        }
        if let [Part::Words { choices, .. }] = phrase.parts.as_slice() {
            let single = choices.iter().filter(|choice| choice.len() == 1).flatten().cloned();
            match phrase.kind {
                Kind::Turns => self.turns.extend(single),
                Kind::Negations => self.negations.extend(single),
                _ => {}
            }
        }
        self.phrases.push(phrase);
    }

    /// What a sentence says, from its first word to its last; no word belongs to two phrases. What is told by a whole
    /// sentence or a subject is left out.
    pub(super) fn scan(&self, words: &[String]) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let hit =
                self.longest(words, at, |kind| !matches!(kind, Kind::Yes | Kind::No | Kind::Stop | Kind::Subject));
            at = hit.map_or(at + 1, |hit| hit.to);
            hits.extend(hit);
        }
        hits
    }

    /// The phrase of that kind that the words begin with.
    pub(super) fn begins(&self, words: &[String], kind: Kind) -> Option<Hit> {
        self.longest(words, 0, |known| known == kind)
    }

    fn longest(&self, words: &[String], from: usize, wanted: impl Fn(Kind) -> bool) -> Option<Hit> {
        let mut best: Option<Hit> = None;
        for number in self.by_word.get(&words[from])? {
            let phrase = &self.phrases[*number];
            if !wanted(phrase.kind) {
                continue;
            }
            if let Some(to) = self.end(phrase.kind, &phrase.parts, words, from)
                && to > from
                && best.is_none_or(|best| to > best.to)
            {
                best = Some(Hit { kind: phrase.kind, from, to });
            }
        }
        best
    }

    /// Where the phrase ends at the latest that begins at `at`.
    fn end(&self, kind: Kind, parts: &[Part], words: &[String], at: usize) -> Option<usize> {
        let Some((part, rest)) = parts.split_first() else { return Some(at) };
        match part {
            Part::End => {
                let ends = words.get(at).is_none_or(|word| word == COMMA);
                if ends { self.end(kind, rest, words, at) } else { None }
            }
            Part::Words { choices, optional } => {
                let fits = |choice: &&Vec<String>| words[at..].starts_with(choice);
                let taken = choices
                    .iter()
                    .filter(fits)
                    .filter_map(|choice| self.end(kind, rest, words, at + choice.len()))
                    .max();
                let without = if *optional { self.end(kind, rest, words, at) } else { None };
                taken.max(without)
            }
            Part::Gap => {
                let mut best = self.end(kind, rest, words, at);
                let mut cost = 0;
                for (place, word) in words.iter().enumerate().skip(at) {
                    cost += if word.starts_with(is_chinese) { 2 } else { 3 };
                    // What is wanted is not wanted where a "not" stands between.
                    let blocked = matches!(kind, Kind::Wants | Kind::Interest) && self.negations.contains(word);
                    if cost > GAP || word == COMMA || self.turns.contains(word) || blocked {
                        break;
                    }
                    best = best.max(self.end(kind, rest, words, place + 1));
                }
                best
            }
        }
    }
}

fn parts(line: &str) -> Vec<Part> {
    let mut out = Vec::new();
    for text in fold(line).split_whitespace() {
        let (text, optional) = match text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
            Some(inner) => (inner, true),
            None => (text, false),
        };
        match text {
            ".." => out.push(Part::Gap),
            "$" => out.push(Part::End),
            "," => out.push(Part::Words { choices: vec![vec![COMMA.to_owned()]], optional }),
            text => {
                let choices = text.split('|').map(|choice| words(&choice.replace('_', " "))).collect();
                out.push(Part::Words { choices, optional });
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_tables_is_a_phrase_in_a_section() {
        for table in TABLES {
            let mut section = false;
            for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                    assert!(Kind::parse(name).is_some(), "[{name}]");
                    section = true;
                    continue;
                }
                assert!(section, "{line}");
                let parts = parts(line);
                // One that begins with a gap would never be found, and one that may be empty says nothing.
                assert!(matches!(parts.first(), Some(Part::Words { .. })), "{line}");
                assert!(parts.iter().any(|part| matches!(part, Part::Words { optional: false, .. })), "{line}");
                for part in &parts {
                    if let Part::Words { choices, .. } = part {
                        assert!(choices.iter().all(|choice| !choice.is_empty()), "{line}");
                    }
                }
                assert!(!line.contains("()") && line.matches('(').count() == line.matches(')').count(), "{line}");
            }
        }
    }

    #[test]
    fn the_longest_phrase_counts_and_no_word_counts_twice() {
        let kinds = |text: &str| phrases().scan(&words(&fold(text))).iter().map(|hit| hit.kind).collect::<Vec<_>>();
        assert_eq!(kinds("interested"), [Kind::Interest]);
        assert_eq!(kinds("Not interested"), [Kind::Refuses]);
        assert_eq!(kinds("interested in unsubscribing"), [Kind::Unsubscribe]);
        assert_eq!(kinds("We can’t wait"), [Kind::Gladly]);
        assert_eq!(kinds("不感興趣"), [Kind::Refuses]);
    }
}
