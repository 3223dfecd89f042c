//! Reads what a reader of the page sees: headings with the text that follows, paragraphs, texts in no paragraph, links.

use ego_tree::iter::Edge;
use scraper::{ElementRef, Html, Node};

use super::plain::{LONGEST, tidy};
use super::{MAX_PIECES, PIECE_NODES, Reader, is_hidden, is_named, level, plain_host};
use crate::domain::text::cut;
use crate::domain::website::{Link, Section};

const SECTION_TEXT: usize = 600;
/// The bytes of visible text in which signs are looked for.
const SIGNS_TEXT: usize = 8 * 1024;
/// The characters that a text in no paragraph must have to be one.
const LOOSE_TEXT: usize = 12;
/// What stands around the content: its links count, its text does not.
const AROUND: [&str; 4] = ["nav", "footer", "aside", "button"];
/// What may hold text without a paragraph.
const BOXES: [&str; 11] =
    ["div", "section", "article", "main", "td", "center", "dd", "blockquote", "body", "figcaption", "form"];
/// What such text may be in; a link alone is none.
const INLINE: [&str; 11] = ["font", "b", "i", "em", "strong", "span", "u", "big", "small", "tt", "mark"];
/// What ends such a text.
const BLOCKS: [&str; 21] = [
    "div",
    "section",
    "article",
    "main",
    "td",
    "tr",
    "table",
    "center",
    "dd",
    "dl",
    "blockquote",
    "p",
    "ul",
    "ol",
    "li",
    "h1",
    "h2",
    "h3",
    "h4",
    "form",
    "nav",
];

impl Reader<'_> {
    pub(super) fn read_body(&mut self, document: &Html) {
        let (mut hidden, mut around) = (0_usize, 0_usize);
        let mut in_heading = 0_usize;
        for edge in document.tree.root().traverse() {
            if !self.effort.spend(1) {
                break;
            }
            match edge {
                Edge::Open(node) => match node.value() {
                    Node::Element(_) => {
                        let Some(element) = ElementRef::wrap(node) else { continue };
                        hidden += usize::from(self.is_left_out(element));
                        around += usize::from(is_around(element));
                        if hidden > 0 {
                            continue;
                        }
                        match element.value().name() {
                            // A heading that was never closed ends where its text plainly begins.
                            "p" | "ul" | "ol" | "table" => in_heading = 0,
                            _ => in_heading += usize::from(level(node).is_some()),
                        }
                        self.open(element, around > 0);
                    }
                    Node::Text(text) if hidden == 0 => {
                        self.note_copyright(text);
                        if around == 0 {
                            self.note_text(text);
                            if in_heading == 0 {
                                self.section_text(text);
                            }
                        }
                    }
                    _ => {}
                },
                Edge::Close(node) => {
                    if let Some(element) = ElementRef::wrap(node) {
                        in_heading = in_heading.saturating_sub(usize::from(hidden == 0 && level(node).is_some()));
                        hidden -= usize::from(self.is_left_out(element));
                        around -= usize::from(is_around(element));
                    }
                }
            }
        }
        for section in &mut self.page.sections {
            section.text = tidy(&section.text);
        }
        let text = tidy(&self.page.signs.text);
        // A page of another time, without anything that is told apart: all its text is one.
        let page = &self.page;
        if page.paragraphs.is_empty() && page.sections.is_empty() && page.list_items.is_empty() {
            self.push(|page| &mut page.paragraphs, text.clone());
        }
        self.page.signs.text = text;
    }

    /// Whether nobody sees it, or it asks for consent.
    pub(super) fn is_left_out(&self, element: ElementRef<'_>) -> bool {
        is_hidden(element) || self.dialogs.contains(&element.id())
    }

    fn note_text(&mut self, text: &str) {
        let signs = &mut self.page.signs;
        let text = text.trim();
        signs.length = signs.length.saturating_add(text.chars().count());
        if signs.text.len() < SIGNS_TEXT && !text.is_empty() {
            signs.text.push_str(cut(text, LONGEST));
            signs.text.push(' ');
        }
    }

    fn note_copyright(&mut self, text: &str) {
        if self.page.copyright.is_empty() && text.len() <= LONGEST && text.contains('©') {
            self.page.copyright = tidy(cut(text, 200));
        }
    }

    fn open(&mut self, element: ElementRef<'_>, around: bool) {
        let name = element.value().name();
        if name == "a" {
            self.link(element);
        }
        // The notice may be in several pieces.
        if around && name == "footer" && self.page.copyright.is_empty() {
            let text = self.text_of(element);
            if let Some(at) = text.find('©') {
                self.page.copyright = cut(&text[at..], 200).to_owned();
            }
        }
        if around {
            return;
        }
        if let Some(level) = level(*element) {
            let heading = self.text_of(element);
            if !heading.is_empty()
                && self.page.sections.len() < MAX_PIECES
                && self.has_room(heading.len() + SECTION_TEXT)
            {
                self.page.sections.push(Section { level, heading, text: String::new() });
            }
        } else if name == "p" && self.page.paragraphs.len() < MAX_PIECES {
            let text = self.text_of(element);
            self.push(|page| &mut page.paragraphs, text);
        } else if name == "li" && self.page.list_items.len() < MAX_PIECES {
            let text = self.text_of(element);
            self.push(|page| &mut page.list_items, text);
        } else if BOXES.contains(&name) && self.page.paragraphs.len() < MAX_PIECES && self.has_loose_text(element) {
            let text = self.loose_text(element);
            self.push(|page| &mut page.paragraphs, text);
        }
    }

    /// Whether the element has text of its own, in no paragraph.
    fn has_loose_text(&mut self, element: ElementRef<'_>) -> bool {
        element.children().any(|child| {
            self.effort.spend(1);
            let is_long = |text: &str| text.trim().chars().nth(LOOSE_TEXT - 1).is_some();
            match child.value() {
                Node::Text(text) => is_long(text),
                Node::Element(inner) if INLINE.contains(&inner.name()) => {
                    let mut inside = child.descendants().take(30);
                    self.effort.spend(4);
                    inside.clone().all(|node| !is_named(node, &BLOCKS))
                        && inside.any(|node| node.value().as_text().is_some_and(|text| is_long(text)))
                }
                _ => false,
            }
        })
    }

    /// The element's own text with what stands in its lines.
    fn loose_text(&mut self, element: ElementRef<'_>) -> String {
        let mut out = String::new();
        for child in element.children().take(PIECE_NODES) {
            if !self.effort.spend(1) || out.len() > 4 * LONGEST {
                break;
            }
            if let Some(text) = child.value().as_text() {
                out.push_str(cut(text, 4 * LONGEST));
            } else if let Some(inner) = ElementRef::wrap(child)
                && !BLOCKS.contains(&inner.value().name())
                && !AROUND.contains(&inner.value().name())
                && !self.is_left_out(inner)
            {
                out.push_str(&self.text_of(inner));
                out.push(' ');
            }
        }
        tidy(&out)
    }

    fn section_text(&mut self, text: &str) {
        if let Some(section) = self.page.sections.last_mut()
            && section.text.len() < SECTION_TEXT
        {
            section.text.push(' ');
            section.text.push_str(cut(text, SECTION_TEXT));
        }
    }

    fn link(&mut self, element: ElementRef<'_>) {
        let href = element.value().attr("href").map(str::trim).filter(|href| href.len() <= LONGEST);
        if self.page.links.len() >= MAX_PIECES || !self.effort.spend(16) {
            return;
        }
        let Some(mut url) = href.and_then(|href| self.base.join(href).ok()) else { return };
        let same_site = matches!(url.scheme(), "http" | "https") && plain_host(&url) == self.host;
        if same_site && url.as_str().len() <= LONGEST {
            url.set_fragment(None);
            let text = cut(&self.text_of(element), 200).to_owned();
            if self.has_room(url.as_str().len() + text.len()) {
                self.page.links.push(Link { url: url.to_string(), text });
            }
        }
    }
}

/// Whether it stands around the content: menus, dialogs of any kind, and forms, but those that hold the page.
fn is_around(element: ElementRef<'_>) -> bool {
    let tag = element.value();
    let name = tag.name();
    let is_dialog = || tag.attr("role").is_some_and(|role| ["dialog", "alertdialog"].contains(&role));
    let is_menu = || tag.attr("role").is_some_and(|role| ["navigation", "contentinfo"].contains(&role));
    let holds_page = || element.descendants().take(500).any(|node| is_named(node, &["main", "h1", "h2", "article"]));
    AROUND.contains(&name) || name == "dialog" || is_dialog() || is_menu() || (name == "form" && !holds_page())
}
