//! What words want: the phrases of each sentence, and what the words around them do to them.
//!
//! The rule errs on the side of the writer. A refusal outweighs a wish for more; what is said of interest is none where a
//! negation, a condition or a "maybe" stands before it in its clause, and counts for nothing where it is not plain which of
//! them applies. What is not plain is `Other`.

use super::Intent;
use super::fold::fold;
use super::own_words::own_words;
use super::phrases::{COMMA, Hit, Kind, phrases, words};
use super::ways_out;

/// How far before a phrase a negation counts, in words.
const REACH: usize = 10;
/// How far behind it, as German has it: "das interessiert uns nicht".
const REACH_BEHIND: usize = 6;

/// What a sentence says, in the order of the letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Refuses,
    /// Refuses by a negation somewhere before it.
    Negated,
    Declines,
    Wants,
    Interested,
    Turns,
}

/// What all sentences say.
#[derive(Debug, Default)]
struct Tally {
    said: Vec<Said>,
    unsubscribe: bool,
    begone: bool,
    away: bool,
    leave: bool,
    machine: bool,
    bounce: bool,
    asks: bool,
}

struct Sentence {
    words: Vec<String>,
    asks: bool,
}

/// What the words of a reply want.
///
/// The subject is ours, behind `Re:`. Only a machine changes it, or who sends the empty mail that List-Unsubscribe asks for,
/// or who has nothing more to say.
pub fn judge(subject: &str, body: &str) -> Intent {
    let own = own_words(body);
    let (subject, answers) = subject_words(subject);
    let subject_asks = !answers && is_request(&subject);
    let mut tally = Tally::default();
    if !answers {
        tally.note_subject(&subject);
    }
    for sentence in sentences(&own) {
        tally.note(&sentence);
    }
    if subject_asks && !tally.machine && !tally.bounce {
        return Intent::Unsubscribe;
    }
    match tally.intent() {
        // Nothing but a subject, and not ours: that is the reply.
        Intent::Other if !answers && own.trim().is_empty() => {
            let mut tally = Tally::default();
            sentences(&subject).iter().for_each(|sentence| tally.note(sentence));
            match tally.intent() {
                refusal @ (Intent::Unsubscribe | Intent::NotInterested) => refusal,
                _ => Intent::Other,
            }
        }
        Intent::Other if ways_out::is_answer(&own) => Intent::NotInterested,
        intent => intent,
    }
}

/// Whether a mail's subject asks by itself never to be written to again: what List-Unsubscribe makes of an empty mail.
fn is_request(subject: &str) -> bool {
    let words = words(subject);
    let about = |hit: &Hit| matches!(hit.kind, Kind::Unsubscribe | Kind::Mention);
    let stops = !words.is_empty() && phrases().begins(&words, Kind::Stop).is_some_and(|hit| hit.to == words.len());
    stops
        || words.len() <= 12
            && phrases()
                .scan(&words)
                .first()
                .is_some_and(|hit| about(hit) && hit.from <= 1 && words.len() <= hit.to + 1)
}

/// The folded subject without what mail programs put before it, and whether they say that it answers another.
fn subject_words(subject: &str) -> (String, bool) {
    const ANSWERS: &[&str] = &[
        "re", "aw", "antw", "antwort", "sv", "vs", "rif", "ref", "odp", "回复", "答复", "回覆", "fw", "fwd", "wg",
        "tr", "rv", "转发", "re[2]",
    ];
    let folded = fold(subject);
    let mut rest = folded.trim();
    let mut answers = false;
    // Whoever answers answers puts one before the other; nobody needs more of them than a subject has characters.
    loop {
        if let Some((tag, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'))
            && matches!(tag, "external" | "ext" | "extern" | "spam" | "外部邮件")
        {
            rest = after.trim_start();
        } else if let Some((prefix, after)) = rest.split_once(':')
            && ANSWERS.contains(&prefix.trim())
        {
            answers = true;
            rest = after.trim_start();
        } else {
            return (rest.to_owned(), answers);
        }
    }
}

/// The sentences of a folded text. A line ends one, and so does a full stop that is none of an abbreviation.
fn sentences(text: &str) -> Vec<Sentence> {
    const SHORTENED: &[&str] =
        &["art", "abs", "nr", "dr", "mr", "mrs", "ms", "prof", "z", "b", "e", "g", "i", "d", "h", "ca", "bzw"];
    let mut out = Vec::new();
    let mut start = 0;
    let mut end = |from: usize, to: usize, asks: bool| {
        let words = words(&text[from..to]);
        if !words.is_empty() || asks {
            out.push(Sentence { words, asks });
        }
    };
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        let closed = next.is_none_or(|c| !c.is_ascii_alphanumeric() && !matches!(c, '=' | '&' | '/' | '%'));
        let ends = match c {
            '\n' | '。' | '…' => true,
            '!' | ';' => true,
            '?' => closed,
            '.' => {
                closed && {
                    let before = text[start..at].rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                    !SHORTENED.contains(&before)
                }
            }
            _ => false,
        };
        if ends {
            end(start, at, c == '?');
            start = at + c.len_utf8();
        }
    }
    end(start, text.len(), false);
    out
}

// === impl Tally ===

impl Tally {
    /// Takes up what the subject says of who wrote it.
    fn note_subject(&mut self, subject: &str) {
        let subject_words = words(subject);
        if subject_words.is_empty() {
            return;
        }
        let text: Vec<_> = subject_words.iter().filter(|word| *word != COMMA).cloned().collect();
        let named = |hit: &Hit| hit.kind == Kind::Away && subject.contains("out of");
        if !text.is_empty() && phrases().begins(&text, Kind::Subject).is_some()
            || phrases().scan(&text).iter().any(|hit| hit.kind == Kind::Bounce || named(hit))
        {
            self.machine = true;
        }
        self.bounce |= phrases().scan(&text).iter().any(|hit| hit.kind == Kind::Bounce);
    }

    /// Takes up what a sentence says.
    fn note(&mut self, sentence: &Sentence) {
        if sentence.words.is_empty() {
            self.asks |= sentence.asks;
            return;
        }
        let hits = phrases().scan(&sentence.words);
        let has = |kind: Kind| hits.iter().any(|hit| hit.kind == kind);
        self.asks |= sentence.asks || has(Kind::Asks);
        if phrases().begins(&sentence.words, Kind::Stop).is_some_and(|hit| hit.to == sentence.words.len()) {
            self.unsubscribe = true;
        }
        if let Some(said) = alone(sentence, &hits) {
            self.said.push(said);
            return;
        }
        // A doubt that "but" puts aside is none: "not sure about the price, but interested".
        let turns = hits.iter().rposition(|hit| hit.kind == Kind::Turns);
        let hedged = |n: usize| {
            let from = turns.filter(|turn| *turn < n).unwrap_or(0);
            hits[from..].iter().any(|hit| hit.kind == Kind::Hedges)
        };
        for (n, hit) in hits.iter().enumerate() {
            let context = Context { words: &sentence.words, hits: &hits, n };
            match hit.kind {
                Kind::Unsubscribe => self.unsubscribe = true,
                Kind::Begone => self.begone = true,
                Kind::Mention => self.unsubscribe |= context.asks_by_mention(),
                Kind::Refuses | Kind::Declines if context.is_taken_back() => {}
                Kind::Refuses => self.said.push(Said::Refuses),
                Kind::Declines => self.said.push(Said::Declines),
                Kind::Gladly => self.said.push(Said::Wants),
                Kind::Interest if hedged(n) => {}
                // "Interested?"
                Kind::Interest if sentence.asks && sentence.words.len() < 3 => {}
                Kind::Interest | Kind::Wants => self.said.extend(context.wanted()),
                Kind::Topic if context.wanted() == Some(Said::Negated) => self.said.push(Said::Negated),
                Kind::Turns => self.said.push(Said::Turns),
                Kind::Away => self.away = true,
                Kind::Leave => self.leave = true,
                Kind::Machine => self.machine = true,
                Kind::Bounce => self.bounce = true,
                _ => {}
            }
        }
    }

    fn intent(&self) -> Intent {
        let says = |said: Said| self.said.contains(&said);
        let absent = self.away || self.machine;
        let wants = says(Said::Wants) || says(Said::Interested);
        if self.bounce {
            Intent::Away
        } else if self.unsubscribe || self.begone && !absent {
            Intent::Unsubscribe
        } else if says(Said::Refuses) || says(Said::Negated) && !absent {
            if self.is_turned_after_refusal() { Intent::Other } else { Intent::NotInterested }
        } else if self.machine || self.leave && !self.away && !wants {
            Intent::Away
        } else if self.away {
            // A note that somebody is away wants nothing; a person who is away may well.
            let person = says(Said::Interested) || says(Said::Turns) && wants;
            if person { Intent::Other } else { Intent::Away }
        } else if says(Said::Declines) {
            if wants && !self.declines_last() { Intent::Other } else { Intent::NotInterested }
        } else if wants {
            Intent::Interested
        } else if self.asks {
            Intent::Question
        } else {
            Intent::Other
        }
    }

    /// Whether a refusal is followed by "but", and that by a wish: "not interested in buying, but let's talk about selling".
    fn is_turned_after_refusal(&self) -> bool {
        let refuses = |said: &Said| matches!(said, Said::Refuses | Said::Negated);
        let Some(last) = self.said.iter().rposition(refuses) else { return false };
        let mut after = self.said[last..].iter().skip_while(|said| **said != Said::Turns);
        after.any(|said| matches!(said, Said::Wants | Said::Interested))
    }

    /// Whether "but" and a refusal follow the last wish: "sounds good, but we have no budget".
    fn declines_last(&self) -> bool {
        let wants = |said: &Said| matches!(said, Said::Wants | Said::Interested);
        let after = self.said.iter().rposition(wants).map_or(&[][..], |last| &self.said[last..]);
        after.contains(&Said::Turns) && after.last() == Some(&Said::Declines)
    }
}

/// What a sentence says that is nothing but a yes or a no, with a word or two of courtesy.
fn alone(sentence: &Sentence, hits: &[Hit]) -> Option<Said> {
    const COURTESY: usize = 2;
    let words: Vec<String> = sentence.words.iter().filter(|word| *word != COMMA).cloned().collect();
    if words.is_empty() || sentence.asks {
        return None;
    }
    let negated = |from: usize| hits.iter().any(|hit| hit.kind == Kind::Negations && hit.from >= from);
    let more = |hit: &Hit| {
        let says_something = |other: &&Hit| !matches!(other.kind, Kind::Negations | Kind::Nothing | Kind::Interest);
        words.len() > hit.to + COURTESY || hits.iter().filter(says_something).any(|other| other.to > hit.to)
    };
    // A longer phrase that begins with the same word is another: "no problem".
    let longer = |hit: &Hit| hits.first().is_some_and(|first| first.from == 0 && first.to > hit.to);
    if let Some(yes) = phrases().begins(&words, Kind::Yes)
        && !more(&yes)
        && !longer(&yes)
    {
        return Some(if negated(yes.to) { Said::Declines } else { Said::Wants });
    }
    let no = phrases().begins(&words, Kind::No)?;
    (!more(&no) && !longer(&no)).then_some(Said::Declines)
}

/// A phrase among the others of its sentence.
struct Context<'a> {
    words: &'a [String],
    hits: &'a [Hit],
    /// The place of the phrase among `hits`.
    n: usize,
}

// === impl Context ===

impl Context<'_> {
    fn hit(&self) -> &Hit {
        &self.hits[self.n]
    }

    /// What a phrase of wanting says, given the words around it; None if that is not plain.
    fn wanted(&self) -> Option<Said> {
        let hit = self.hit();
        let mut far = false;
        let mut negations = 0;
        let mut open = false;
        for other in self.hits[..self.n].iter().rev() {
            if hit.from - other.to > REACH || other.kind == Kind::Turns {
                break;
            }
            far |= other.kind == Kind::Joins || self.words[other.to..hit.from].iter().any(|word| word == COMMA);
            match other.kind {
                // Whose negation it is, and whether of this, is not plain over a comma or an "and".
                Kind::Negations if far => open |= negations == 0 && self.is_opinion(other),
                Kind::Negations => negations += 1,
                Kind::Softens if !far => negations += 1,
                Kind::Conditions if !far => open = true,
                Kind::Maybes if !far && hit.kind == Kind::Interest && hit.from - other.to < 5 => open = true,
                Kind::Hedges if !far => open = true,
                _ => {}
            }
        }
        if open || negations > 1 || self.is_negated_behind() {
            return None;
        }
        Some(match (negations, hit.kind) {
            (0, Kind::Interest) => Said::Interested,
            (0, _) => Said::Wants,
            (_, Kind::Interest | Kind::Topic) => Said::Negated,
            _ => Said::Declines,
        })
    }

    /// Whether what is negated is what the writer thinks: "I don't think, at this time, that we are interested".
    fn is_opinion(&self, negation: &Hit) -> bool {
        const OPINIONS: &[&str] =
            &["think", "believe", "see", "feel", "say", "glaube", "denke", "sehe", "finde", "pense", "crois", "creo"];
        self.words[negation.to..self.hit().from].iter().take(3).any(|word| OPINIONS.contains(&word.as_str()))
    }

    /// Whether a negation stands behind the phrase: in its clause, or further on with no wish in between or after it.
    fn is_negated_behind(&self) -> bool {
        let hit = self.hit();
        let after = &self.hits[self.n + 1..];
        let wishes = |other: &Hit| matches!(other.kind, Kind::Wants | Kind::Interest | Kind::Gladly);
        if after.iter().any(|other| other.kind == Kind::Negations) && !after.iter().any(wishes) {
            return true;
        }
        let reach = if hit.kind == Kind::Interest { REACH_BEHIND } else { 3 };
        for other in &self.hits[self.n + 1..] {
            let parted = self.words[hit.to..other.from].iter().any(|word| word == COMMA);
            if parted || other.from - hit.to > reach || matches!(other.kind, Kind::Turns | Kind::Joins) {
                return false;
            }
            if other.kind == Kind::Negations {
                return true;
            }
        }
        false
    }

    /// Whether a refusal is none: "it's not that we are not interested", "if you are not interested".
    fn is_taken_back(&self) -> bool {
        let hit = self.hit();
        self.hits[..self.n]
            .iter()
            .rev()
            .take_while(|other| hit.from - other.to <= REACH && other.kind != Kind::Turns)
            .any(|other| {
                let parted = self.words[other.to..hit.from].iter().any(|word| word == COMMA);
                !parted && matches!(other.kind, Kind::Softens | Kind::Conditions)
            })
    }

    /// Whether to speak of unsubscribing is to ask for it: not where it is told to others, or is the name of a thing.
    fn asks_by_mention(&self) -> bool {
        const THINGS: &[&str] = &[
            "http",
            "click",
            "klicken",
            "our",
            "unseren",
            "unserem",
            "newsletter",
            "here",
            "hier",
            "link",
            "links",
            "rate",
            "rates",
            "requests",
            "button",
            "preferences",
            "page",
            "feature",
            "tool",
            "点",
            "链",
        ];
        let hit = self.hit();
        let thing = self.words.iter().any(|word| THINGS.contains(&word.as_str()));
        let negated = self.hits[..self.n].iter().any(|other| other.kind == Kind::Negations && hit.from - other.to < 4);
        !thing && !negated
    }
}
