//! Reads what an HTML page says into a [`Page`]: titles, meta elements, Open Graph, JSON-LD, headings with the text that
//! follows, paragraphs, list items, links of the same site; and the signs of what is no company's page.
//!
//! Any page must do: broken markup, none of the metadata, or nothing else. And whatever a page holds, what is made of it is
//! bounded in number, bytes and depth, and all of it has one deadline ([`effort`]); judging what was read is
//! `domain::website`'s. What a dialog says that asks for consent ([`consent`]) is left out here, where its form is seen.

mod consent;
mod effort;
mod graph;
mod json_ld;
mod kinds;
mod marks;
mod plain;
mod tree;

use std::collections::HashSet;

use ego_tree::iter::Edge;
use ego_tree::{NodeId, NodeRef};
use scraper::{ElementRef, Html, Node};
use serde_json::Value;
use url::Url;

use crate::domain::text::cut;
use crate::domain::website::{Entity, Link, Page, Section, consent as words};
use effort::Effort;
use plain::tidy;

/// The most pieces of each kind, and the longest piece in characters.
const MOST: usize = 500;
const LONGEST: usize = 2_000;
const SECTION_TEXT: usize = 600;
/// The bytes of all pieces.
const ALL_TEXT: usize = 512 * 1024;
/// The most nodes that one piece of text is gathered from.
const PIECE_NODES: usize = 4_000;
/// The values of all JSON-LD of a page.
const JSON_ELEMENTS: usize = 20_000;
/// The bytes of visible text in which signs are looked for.
const SIGNS_TEXT: usize = 8 * 1024;
/// The elements that may be dialogs of consent whose texts are looked at.
const DIALOGS: usize = 100;
/// The characters that a text in no paragraph must have to be one.
const LOOSE_TEXT: usize = 12;
/// The marks of guards that are kept.
const GUARDS: usize = 8;

/// What is never text.
const INVISIBLE: [&str; 7] = ["script", "style", "noscript", "template", "svg", "iframe", "head"];
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

/// What the page at `url` says, as far as the bounds allow. Broken off where `ended` says so.
pub fn read_page(url: &Url, html: &str, ended: &dyn Fn() -> bool) -> Page {
    let mut effort = Effort::new(ended);
    let document = tree::parse(html, &mut effort);
    let mut reader = Reader::new(url, effort);
    reader.read_head(&document);
    reader.find_dialogs(&document);
    reader.read_body(&document);
    reader.page.signs.broken_off = reader.effort.is_over();
    reader.page
}

struct Reader<'a> {
    url: &'a Url,
    base: Url,
    /// Whether a base element was found: the first counts.
    based: bool,
    host: String,
    page: Page,
    effort: Effort<'a>,
    /// The bytes of text that there is room for.
    room: usize,
    json_elements: usize,
    /// The elements that ask for consent.
    dialogs: HashSet<NodeId>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn new(url: &'a Url, effort: Effort<'a>) -> Self {
        let page = Page { url: cut(url.as_str(), LONGEST).to_owned(), ..Page::default() };
        let (base, host) = (url.clone(), plain_host(url));
        let (room, dialogs) = (ALL_TEXT, HashSet::new());
        Self { url, base, based: false, host, page, effort, room, json_elements: JSON_ELEMENTS, dialogs }
    }

    /// Titles, meta elements and JSON-LD, wherever in the document they are.
    fn read_head(&mut self, document: &Html) {
        let mut values = Vec::new();
        for element in document.tree.nodes().filter_map(ElementRef::wrap) {
            if !self.effort.spend(1) {
                break;
            }
            let tag = element.value();
            if let Some(id) = tag.attr("id") {
                self.page.signs.application |= marks::is_root(id);
                self.note_guard(id);
            }
            match tag.name() {
                "html" => self.page.language = cut(tag.attr("lang").unwrap_or_default().trim(), 35).to_owned(),
                "base" if !self.based => {
                    // A long one would be copied for every link.
                    let href = tag.attr("href");
                    self.based = href.is_some();
                    let href = href.filter(|href| href.len() <= LONGEST);
                    if let Some(base) = href.and_then(|href| self.base.join(href.trim()).ok()) {
                        self.base = base;
                    }
                }
                "title" if self.page.title.is_empty() && !in_svg(element) => self.page.title = self.text_of(element),
                "meta" => self.read_meta(element),
                "link" if self.page.icon.is_empty() && tag.attr("rel").is_some_and(is_icon) => {
                    self.page.icon = self.absolute(tag.attr("href").unwrap_or_default());
                }
                "noscript" => self.page.signs.application |= needs_scripts(element),
                "iframe" => self.note_guard(tag.attr("src").unwrap_or_default()),
                "script" => self.read_script(element, &mut values),
                name => self.page.signs.application |= marks::is_root_tag(name),
            }
        }
        let found = graph::read(&values, self.url, &self.base, &mut self.effort);
        let mut fits = |entity: &Entity| {
            let audiences = entity.audiences.iter().map(String::len).sum::<usize>();
            let size = entity.name.len() + entity.description.len() + audiences;
            let left = self.room.checked_sub(size);
            self.room = left.unwrap_or(self.room);
            left.is_some()
        };
        self.page.organizations = found.organizations.into_iter().filter(|entity| fits(entity)).collect();
        self.page.products = found.products.into_iter().filter(|entity| fits(entity)).collect();
        (self.page.website_names, self.page.brands) = (found.website_names, found.brands);
    }

    fn read_script(&mut self, element: ElementRef<'_>, values: &mut Vec<Value>) {
        let tag = element.value();
        let kind = tag.attr("type").unwrap_or_default();
        // Parameters may follow, such as a charset.
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let text: String = element.text().collect();
        if kind.eq_ignore_ascii_case("application/ld+json") {
            if self.effort.spend(text.len() / 16)
                && let Some((found, elements)) = json_ld::values(&text, self.json_elements)
            {
                self.json_elements -= elements;
                values.extend(found);
            }
            return;
        }
        self.page.signs.scripts = true;
        self.note_guard(tag.attr("src").unwrap_or_default());
        let scanned = &text[..text.floor_char_boundary(marks::SCANNED)];
        if self.effort.spend(scanned.len() / 16) {
            self.note_guard(scanned);
        }
    }

    fn note_guard(&mut self, text: &str) {
        let guards = &mut self.page.signs.guards;
        if let Some(guard) = marks::guard(text).filter(|guard| guards.len() < GUARDS && !guards.contains(guard)) {
            guards.push(guard);
        }
    }

    fn read_meta(&mut self, element: ElementRef<'_>) {
        let tag = element.value();
        let name = tag.attr("property").or_else(|| tag.attr("name")).unwrap_or_default();
        let name = cut(name, 40).to_lowercase();
        let content = tidy(cut(tag.attr("content").unwrap_or_default(), 4 * LONGEST));
        if content.is_empty() {
            return;
        }
        match name.as_str() {
            "description" => self.page.description = content,
            "og:description" if self.page.description.is_empty() => self.page.description = content,
            "og:site_name" if self.page.site_names.len() < 8 => self.page.site_names.push(content),
            "application-name" => self.page.application_name = content,
            "apple-mobile-web-app-title" if self.page.application_name.is_empty() => {
                self.page.application_name = content
            }
            "og:title" if self.page.title.is_empty() => self.page.title = content,
            "og:image" if self.page.image.is_empty() => self.page.image = self.absolute(&content),
            "robots" => self.page.signs.noindex |= content.to_lowercase().contains("noindex"),
            _ => {}
        }
    }

    /// Finds what asks for consent: by its form and its words; and around a text that speaks of this site's cookies, the
    /// element that has something to choose.
    fn find_dialogs(&mut self, document: &Html) {
        let mut looked_at = 0;
        for node in document.tree.nodes() {
            if !self.effort.spend(1) || looked_at >= DIALOGS {
                break;
            }
            if let Some(element) = ElementRef::wrap(node) {
                let Some(form) = consent::form(element) else { continue };
                looked_at += 1;
                // What holds the content is none, whatever its class says.
                if element.descendants().take(PIECE_NODES).any(|node| is_named(node, &["main", "article"])) {
                    continue;
                }
                let text = self.text_of(element);
                if consent::asks(form, &text) {
                    self.dialogs.insert(node.id());
                }
            } else if let Node::Text(text) = node.value()
                && text.len() >= 20
                && self.effort.spend(text.len().min(4 * LONGEST) / 8)
                && words::speaks_of_this_site(cut(text, LONGEST))
            {
                looked_at += 1;
                self.dialogs.extend(choice_around(node));
            }
        }
        self.page.signs.consent = !self.dialogs.is_empty();
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        let left = self.room.checked_sub(bytes);
        self.room = left.unwrap_or(self.room);
        left.is_some()
    }

    fn read_body(&mut self, document: &Html) {
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
    fn is_left_out(&self, element: ElementRef<'_>) -> bool {
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
            if !heading.is_empty() && self.page.sections.len() < MOST && self.has_room(heading.len() + SECTION_TEXT) {
                self.page.sections.push(Section { level, heading, text: String::new() });
            }
        } else if name == "p" && self.page.paragraphs.len() < MOST {
            let text = self.text_of(element);
            self.push(|page| &mut page.paragraphs, text);
        } else if name == "li" && self.page.list_items.len() < MOST {
            let text = self.text_of(element);
            self.push(|page| &mut page.list_items, text);
        } else if BOXES.contains(&name) && self.page.paragraphs.len() < MOST && self.has_loose_text(element) {
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
        if self.page.links.len() >= MOST || !self.effort.spend(16) {
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

    fn push(&mut self, list: impl Fn(&mut Page) -> &mut Vec<String>, text: String) {
        if !text.is_empty() && self.has_room(text.len()) {
            list(&mut self.page).push(text);
        }
    }

    /// The visible text of an element, as much of it as is kept; stops early in a huge one.
    fn text_of(&mut self, element: ElementRef<'_>) -> String {
        let mut out = String::new();
        let mut hidden = 0_usize;
        for edge in element.traverse().take(PIECE_NODES) {
            if !self.effort.spend(1) {
                break;
            }
            match edge {
                Edge::Open(node) => match node.value() {
                    // Inside a heading that was never closed, the next one.
                    Node::Element(_) if node != *element && level(*element).is_some() && level(node).is_some() => break,
                    Node::Element(_) => {
                        hidden +=
                            usize::from(node != *element && ElementRef::wrap(node).is_some_and(|e| self.is_left_out(e)))
                    }
                    Node::Text(text) if hidden == 0 => {
                        out.push_str(cut(text, 4 * LONGEST));
                        out.push(' ');
                        if out.len() > 4 * LONGEST {
                            break;
                        }
                    }
                    _ => {}
                },
                Edge::Close(node) => {
                    hidden -=
                        usize::from(node != *element && ElementRef::wrap(node).is_some_and(|e| self.is_left_out(e)))
                }
            }
        }
        tidy(&out)
    }

    fn absolute(&self, href: &str) -> String {
        absolute(&self.base, href)
    }
}

/// The web address that `href` is; empty if it is none, or too long.
fn absolute(base: &Url, href: &str) -> String {
    if href.len() > LONGEST {
        return String::new();
    }
    let url = base.join(href.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(|url| url.as_str().len() <= LONGEST).map(String::from).unwrap_or_default()
}

/// Host and port, without `www.`.
fn plain_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{}:{}", host.strip_prefix("www.").unwrap_or(host), url.port_or_known_default().unwrap_or(0))
}

fn is_hidden(element: ElementRef<'_>) -> bool {
    let tag = element.value();
    let is_closed = || tag.name() == "dialog" && tag.attr("open").is_none();
    let is_styled_away = || {
        let style = tag.attr("style").map(|style| cut(style, LONGEST)).unwrap_or_default();
        style.split(';').any(|rule| {
            let rule = rule.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
            rule.is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("display") && value.to_ascii_lowercase().starts_with("none")
            })
        })
    };
    INVISIBLE.contains(&tag.name())
        || tag.attr("hidden").is_some()
        || tag.attr("aria-hidden") == Some("true")
        || is_closed()
        || is_styled_away()
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

fn is_named(node: NodeRef<'_, Node>, names: &[&str]) -> bool {
    node.value().as_element().is_some_and(|element| names.contains(&element.name()))
}

/// The nearest element around a text that has something to choose, where that is no large part of the page; else the element
/// that the text is in.
fn choice_around(text: NodeRef<'_, Node>) -> Option<NodeId> {
    let is_choice = |node: NodeRef<'_, Node>| is_named(node, &["button", "input", "a"]);
    let holds_page = |node: NodeRef<'_, Node>| is_named(node, &["html", "body", "main", "article", "form"]);
    let mut around = text.ancestors().take(4).take_while(|node| !holds_page(*node) && node.value().is_element());
    let nearest =
        text.parent().filter(|parent| !holds_page(*parent) && parent.value().is_element()).map(|parent| parent.id());
    let chosen = around.find(|node| {
        let mut inside = node.descendants().take(60);
        inside.any(is_choice)
            && node.descendants().take(61).count() <= 60
            && !node.descendants().any(|node| is_named(node, &["main", "h1"]))
    });
    chosen.map(|node| node.id()).or(nearest)
}

/// Whether a note for readers without scripts says that the page needs them.
fn needs_scripts(noscript: ElementRef<'_>) -> bool {
    noscript.text().take(4).any(|text| cut(text, LONGEST).to_lowercase().contains("javascript"))
}

fn in_svg(element: ElementRef<'_>) -> bool {
    element.ancestors().filter_map(ElementRef::wrap).take(16).any(|a| a.value().name() == "svg")
}

/// 1 to 4 for h1 to h4.
fn level(node: NodeRef<'_, Node>) -> Option<u8> {
    match node.value().as_element()?.name() {
        "h1" => Some(1),
        "h2" => Some(2),
        "h3" => Some(3),
        "h4" => Some(4),
        _ => None,
    }
}

fn is_icon(rel: &str) -> bool {
    cut(rel, 100).to_lowercase().contains("icon")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::website::{WebsiteAnalysis, analyse, pages_to_read, seen};

    fn read(html: &str) -> Page {
        read_page(&Url::parse("https://www.acme-tools.example/").expect("a URL"), html, &|| false)
    }

    fn analysis(html: &str) -> WebsiteAnalysis {
        analyse(&[read(html)])
    }

    #[test]
    fn a_software_company_with_metadata_is_understood() {
        let found = analysis(
            r#"<!doctype html><html lang="en"><head><title>Home | Tallyhaus</title>
            <meta property="og:site_name" content="Tallyhaus"><meta property="og:image" content="/logo.png">
            <meta name="description" content="Tallyhaus is bookkeeping software for small restaurants. It closes your day in two minutes.">
            </head><body><nav><ul><li>Product tour</li></ul><a href="/product">Product</a></nav><h1>Close your day in two minutes</h1>
            <h2>Invoices that file themselves</h2><p>Photograph a receipt and it is booked.</p>
            <h2>Works offline</h2><p>The till goes on when the network is down.</p>
            <h2>Who it is for</h2><h3>Cafés</h3><p>One till, one owner.</p><h3>Restaurant groups</h3><p>Many tills.</p>
            <h2>Subscribe to our newsletter</h2><p>Monthly.</p></body></html>"#,
        );
        assert_eq!(found.business_name, "Tallyhaus");
        assert_eq!(found.logo_url, "https://www.acme-tools.example/logo.png");
        assert!(found.introduction.starts_with("Tallyhaus is bookkeeping software"), "{found:#?}");
        assert_eq!(found.selling_points[0], "Invoices that file themselves");
        assert!(
            found.selling_points.iter().any(|p| p == "Works offline – The till goes on when the network is down"),
            "{found:#?}"
        );
        assert!(!found.selling_points.iter().any(|p| p.contains("newsletter") || p.contains("Cafés")), "{found:#?}");
        assert_eq!(
            found.audiences.iter().map(|a| a.title.as_str()).collect::<Vec<_>>(),
            ["Cafés", "Restaurant groups"]
        );
    }

    #[test]
    fn json_ld_alone_is_enough() {
        let found = analysis(
            r#"<script type="application/ld+json">{"@context": "https://schema.org", "@graph": [
            {"@type": ["LegalService"], "name": "Okafor & Lindqvist", "description": "Employment lawyers in Malmö.", "logo": {"url": "/l.svg"},
             "audience": {"@type": "Audience", "audienceType": "Employees"}}, {"@type": "WebSite", "name": "x"}]}</script>
            <script type="application/ld+json">{broken</script>"#,
        );
        assert_eq!(found.business_name, "Okafor & Lindqvist");
        assert_eq!(
            (found.industry.as_str(), found.introduction.as_str()),
            ("Legal services", "Employment lawyers in Malmö.")
        );
        assert_eq!(found.logo_url, "https://www.acme-tools.example/l.svg");
        assert_eq!(found.audiences[0].title, "Employees");
    }

    #[test]
    fn a_chinese_manufacturer_is_understood() {
        let found = analysis(
            r#"<html lang="zh-CN"><title>华星传感器有限公司 - 首页</title>
            <meta name="description" content="华星传感器专业制造工业温湿度传感器，服务农业与食品工厂">
            <h2>十年质保</h2><p>每一只传感器都经过七十二小时老化测试。</p>
            <h2>适用行业</h2><h3>温室种植</h3><p>精准控制温湿度。</p><h3>食品工厂</h3><p>全程记录。</p></html>"#,
        );
        assert_eq!(found.business_name, "华星传感器有限公司");
        assert!(found.introduction.ends_with('。'), "{found:#?}");
        assert!(found.selling_points[0].starts_with("十年质保"), "{found:#?}");
        assert_eq!(found.audiences.iter().map(|a| a.title.as_str()).collect::<Vec<_>>(), ["温室种植", "食品工厂"]);
        assert_eq!(found.industry, "Electronics");
    }

    #[test]
    fn broken_and_empty_pages_give_what_there_is_and_invent_nothing() {
        let found = analysis("");
        assert_eq!(found.business_name, "", "an address is no name");
        assert!(found.introduction.is_empty() && found.industry.is_empty() && found.selling_points.is_empty());
        let found =
            analysis("<h1>Garden <b>tools<h2>Forged in Sheffield</h2><p>By hand, since 1911.<div><p hidden>secret</p>");
        assert!(found.selling_points.iter().any(|p| p.contains("Forged in Sheffield")), "{found:#?}");
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[test]
    fn a_page_of_another_time_is_read_too() {
        let found =
            analysis("<center><font size=7>Joe's Diner</font><br>The best pancakes in Tulsa since 1961.</center>");
        assert_eq!(found.introduction, "Joe's Diner The best pancakes in Tulsa since 1961.");
        let found = analysis("<h1>Joe's Diner</h1><p>Joe's Diner bakes the best pancakes in Tulsa since 1961.</p>");
        assert_eq!(found.business_name, "Joe's Diner");
        let found = analysis("<h1>Bread worth getting up for</h1><p>We bake the best bread in Tulsa.</p>");
        assert_eq!(found.business_name, "", "a slogan is no name");
    }

    #[test]
    fn the_pages_worth_reading_are_of_the_same_site_and_language() {
        let page = read(
            r##"<html lang="en"><a href="/about/">About us</a><a href="products.html#top">Products</a><a href="/about">About</a>
            <a href="https://acme-tools.example/pricing">Pricing</a><a href="https://other.example/about">Other</a>
            <a href="/login">Log in</a><a href="/catalogue.pdf">Product catalogue</a><a href="/de/produkte">Produkte</a>
            <a href="/blog/about-spades">About spades</a><a href="#about">About</a>"##,
        );
        let base = "https://www.acme-tools.example";
        let expected = [
            format!("{base}/about/"),
            format!("{base}/products.html"),
            "https://acme-tools.example/pricing".to_owned(),
        ];
        assert_eq!(pages_to_read(&page, 9), expected);
        assert_eq!(pages_to_read(&page, 1).len(), 1);
    }

    #[derive(serde::Deserialize)]
    struct Variants {
        page: Vec<Variant>,
    }

    #[derive(serde::Deserialize)]
    struct Variant {
        form: String,
        html: String,
        seen: Option<String>,
        #[serde(default)]
        name: String,
        introduction: Option<String>,
        logo: Option<String>,
        #[serde(default)]
        absent: Vec<String>,
    }

    #[test]
    fn pages_of_each_form_are_read_or_told_from_a_company_s() {
        let text = include_str!("../../tests/corpus/websites/variants.toml");
        let mut faults = Vec::new();
        for page in toml::from_str::<Variants>(text).expect("a list").page {
            let read = read_page(&Url::parse("http://127.0.0.1/").expect("a URL"), &page.html, &|| false);
            let seen = seen(&read).map(|seen| seen.to_string());
            let found = analyse(&[read]);
            let right = match (&page.seen, &seen) {
                (Some(words), Some(seen)) => seen.contains(words.as_str()),
                (None, None) => {
                    let logo = page.logo.as_ref().is_none_or(|end| match end.as_str() {
                        "" => found.logo_url.is_empty(),
                        end => found.logo_url.ends_with(end),
                    });
                    let all = format!("{found:?}");
                    found.business_name == page.name
                        && page.introduction.as_ref().is_none_or(|introduction| found.introduction == *introduction)
                        && logo
                        && !page.absent.iter().any(|absent| all.contains(absent.as_str()))
                }
                _ => false,
            };
            if !right {
                faults.push(format!("{}: seen as {seen:?}, {found:#?}", page.form));
            }
        }
        assert!(faults.is_empty(), "{} are read wrongly: {}", faults.len(), faults.join("\n"));
    }

    #[test]
    fn hostile_pages_cost_little() {
        let traps = [
            "<div>".repeat(100_000),
            "<b><i>".repeat(2_000),
            "<p>x</p>".repeat(50_000),
            format!("<p title='{}'>", "a".repeat(2_000_000)),
        ];
        for trap in traps {
            let begun = std::time::Instant::now();
            let page = std::thread::spawn(move || read(&trap)).join().expect("no overflow of the stack");
            assert!(page.paragraphs.len() <= MOST);
            assert!(begun.elapsed().as_secs() < 20, "{:?} in a debug build", begun.elapsed());
        }
    }
}
