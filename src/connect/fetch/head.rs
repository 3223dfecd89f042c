//! What the elements at the top of a page say about how it is to be read: its charset, its base, and where it sends the reader on.
//!
//! Tokens are enough for that, made by the standard's tokenizer: what stands in comments, scripts and texts is no element.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use encoding_rs::Encoding;
use html5ever::TokenizerResult;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind::{Rawtext, Rcdata, ScriptData};
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};

use super::meta;
use super::refresh::{self, Refresh};

/// How much of a page is looked through. Heads with whole style sheets in them come close.
const SCANNED: usize = 256 * 1024;
/// How long that may take. An ordinary page takes a millisecond or two; but the tokenizer compares each attribute of a tag with
/// those before it.
const TIME: Duration = Duration::from_millis(100);

/// What was found; of each the first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub charset: Option<&'static Encoding>,
    pub base: Option<String>,
    pub refresh: Option<Refresh>,
}

#[derive(Default)]
struct Sink {
    found: RefCell<Head>,
    /// How many `template` elements are open: what is in them is not in the document.
    templates: Cell<usize>,
}

/// Looks through the first 256 KiB, for a tenth of a second at most.
pub(super) fn scan(text: &str) -> Head {
    let tokenizer = Tokenizer::new(Sink::default(), TokenizerOpts::default());
    let mut rest = &text[..text.floor_char_boundary(SCANNED)];
    let begun = Instant::now();
    while !rest.is_empty() && begun.elapsed() < TIME {
        let (piece, after) = rest.split_at(rest.ceil_char_boundary(1_024));
        let queue = BufferQueue::default();
        queue.push_back(StrTendril::from_slice(piece));
        // Nobody runs a script.
        while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
        rest = after;
    }
    tokenizer.sink.found.take()
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let Token::TagToken(tag) = token else { return TokenSinkResult::Continue };
        let name: &str = &tag.name;
        match (tag.kind, name) {
            (TagKind::StartTag, "template") => self.templates.set(self.templates.get() + 1),
            (TagKind::EndTag, "template") => self.templates.set(self.templates.get().saturating_sub(1)),
            (TagKind::EndTag, _) => {}
            (_, "title" | "textarea") => return TokenSinkResult::RawData(Rcdata),
            (_, "script") => return TokenSinkResult::RawData(ScriptData),
            (_, "style" | "xmp" | "iframe" | "noembed" | "noframes" | "noscript") => {
                return TokenSinkResult::RawData(Rawtext);
            }
            (_, "plaintext") => return TokenSinkResult::Plaintext,
            _ if self.templates.get() > 0 => {}
            (_, "base") => {
                let mut found = self.found.borrow_mut();
                found.base = found.base.take().or_else(|| attribute(&tag, "href"));
            }
            (_, "meta") => self.meta(&tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl Sink {
    fn meta(&self, tag: &Tag) {
        let mut found = self.found.borrow_mut();
        let content = attribute(tag, "content");
        let pragma = attribute(tag, "http-equiv").unwrap_or_default().to_ascii_lowercase();
        let named = match attribute(tag, "charset") {
            Some(label) => Encoding::for_label(label.as_bytes()),
            None if pragma == "content-type" => content.as_deref().map(str::as_bytes).and_then(meta::in_content),
            None => None,
        };
        found.charset = found.charset.or(named.map(meta::of_element));
        if pragma == "refresh" && found.refresh.is_none() {
            found.refresh = content.as_deref().and_then(refresh::parse);
        }
    }
}

fn attribute(tag: &Tag, name: &str) -> Option<String> {
    tag.attrs.iter().find(|attribute| *attribute.name.local == *name).map(|attribute| attribute.value.to_string())
}

#[cfg(test)]
mod tests {
    use encoding_rs::{GBK, UTF_8};

    use super::*;

    #[test]
    fn elements_count_and_what_looks_like_them_does_not() {
        let head = scan(
            "<!-- <base href=/no/> --><script>document.write('<meta http-equiv=refresh content=\"0;url=/no\">')</script>
             <title><meta charset=big5></title><noscript><meta http-equiv=refresh content='0; url=/no'></noscript>
             <template><meta charset=big5><base href=/no/></template><base target=x><base href=/a/><base href=/b/>
             <META CHARSET=gbk><meta charset=utf-8><body><meta HTTP-EQUIV=Refresh content='1; url=on?a=1&amp;b=2'>",
        );
        assert_eq!((head.charset, head.base.as_deref()), (Some(GBK), Some("/a/")));
        let refresh = head.refresh.expect("in the body it counts too");
        assert_eq!((refresh.seconds, refresh.url.as_str()), (1, "on?a=1&b=2"));
        assert_eq!(scan("<meta charset=unicode>").charset, Some(UTF_8));
        let first = scan("<meta http-equiv=refresh content=5><meta http-equiv=refresh content='0;/a'>").refresh;
        assert!(first.is_some_and(|refresh| !refresh.is_onward()), "the first counts, which loads the page anew");
        assert_eq!(scan(""), Head::default());
    }

    #[test]
    fn tags_without_end_cost_little() {
        let attributes: String = (0..300_000).map(|n| format!(" a{n}")).collect();
        for hostile in [
            format!("<b{attributes}>"),
            "<!--".repeat(500_000),
            "<title>".repeat(300_000),
            "<template>".repeat(200_000),
        ] {
            let begun = std::time::Instant::now();
            scan(&hostile);
            assert!(begun.elapsed().as_millis() < 1_000, "{:?} in a debug build", begun.elapsed());
        }
    }
}
