//! Texts of a page as people read them: on one line, without markup, with what entities stand for.

use std::cell::RefCell;

use html5ever::TokenizerResult;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{BufferQueue, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};

use crate::domain::text::{self, cut};

/// The longest piece of text, in characters.
pub(super) const LONGEST: usize = 2_000;

/// What is escaped once more than it should be, is found so twice at most: by a template and by whoever filled it.
const UNESCAPES: usize = 2;

/// With single spaces, none before punctuation, without control characters, cut to the longest piece.
pub(super) fn tidy(text: &str) -> String {
    let mut out = String::new();
    for word in text::tame(text).split_whitespace() {
        let joins = out.is_empty() || word.starts_with(['.', ',', ';', '!', '?', ')', '。', '，', '、']);
        if !joins {
            out.push(' ');
        }
        out.push_str(word);
    }
    cut(&out, LONGEST).to_owned()
}

/// A text of JSON-LD, whose markup and entities nobody has taken for such: HTML decodes nothing within a script element.
pub(super) fn plain(text: &str) -> String {
    let text = cut(text, 4 * LONGEST);
    let mut text = text.to_owned();
    for _ in 0..UNESCAPES {
        if !text.contains(['&', '<']) {
            break;
        }
        text = characters(&text);
    }
    tidy(&text)
}

/// What the standard's tokenizer takes for characters, with a space for each tag.
pub(super) fn characters(text: &str) -> String {
    let tokenizer = Tokenizer::new(Characters::default(), TokenizerOpts::default());
    let queue = BufferQueue::default();
    queue.push_back(StrTendril::from_slice(text));
    while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink.0.take()
}

#[derive(Default)]
struct Characters(RefCell<String>);

impl TokenSink for Characters {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::CharacterTokens(text) => self.0.borrow_mut().push_str(&text),
            Token::TagToken(_) => self.0.borrow_mut().push(' '),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_and_markup_become_what_people_read() {
        for (text, right) in [
            ("Hart &amp; Daughter&#039;s", "Hart & Daughter's"),
            ("A &amp;amp; B", "A & B"),
            ("&lt;p&gt;Pumps for &lt;b&gt;wells&lt;/b&gt;.&lt;/p&gt;", "Pumps for wells."),
            ("<p>Pumps</p><p>Wells</p>", "Pumps Wells"),
            ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
            ("AT&T, R&D", "AT&T, R&D"),
            ("&NotEqualTilde; &hellip; &nope;", "≂̸ … &nope;"),
            ("a\u{1b}[0m &#27;[1m", "a [0m [1m"),
        ] {
            assert_eq!(plain(text), right, "{text}");
        }
    }
}
