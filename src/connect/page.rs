//! Reads what an HTML page says into a [`Page`]: titles, meta elements, Open Graph, JSON-LD, headings with the text that
//! follows, paragraphs, list items, links of the same site.
//!
//! Any page must do: broken markup, none of the metadata, or nothing else. And whatever a page holds, what is made of it is
//! bounded in number, bytes and depth, and all of it has one deadline ([`effort`]); judging what was read is
//! `domain::website`'s.

mod effort;
mod tree;

use ego_tree::NodeRef;
use ego_tree::iter::Edge;
use scraper::{ElementRef, Html, Node};
use serde_json::Value;
use url::Url;

use crate::domain::json;
use crate::domain::text::{self, cut};
use crate::domain::website::{Entity, Link, Page, Section};
use effort::Effort;

/// The most pieces of each kind, and the longest piece in characters.
const MOST: usize = 500;
const LONGEST: usize = 2_000;
const SECTION_TEXT: usize = 600;
/// The bytes of all pieces.
const ALL_TEXT: usize = 512 * 1024;
/// The most nodes that one piece of text is gathered from.
const PIECE_NODES: usize = 4_000;
/// The values of all JSON-LD of a page, and how deep it is looked into.
const JSON_ELEMENTS: usize = 20_000;
const JSON_DEPTH: usize = 6;
/// The types, names and audiences of a thing in JSON-LD.
const JSON_TEXTS: usize = 8;

/// What is never text.
const INVISIBLE: [&str; 7] = ["script", "style", "noscript", "template", "svg", "iframe", "head"];
/// What stands around the content: its links count, its text does not.
const AROUND: [&str; 5] = ["nav", "footer", "aside", "form", "button"];

/// What the page at `url` says, as far as the bounds allow. Broken off where `ended` says so.
pub fn read_page(url: &Url, html: &str, ended: &dyn Fn() -> bool) -> Page {
    let mut effort = Effort::new(ended);
    let document = tree::parse(html, &mut effort);
    let mut reader = Reader::new(url, effort);
    reader.read_head(&document);
    reader.read_body(&document);
    reader.page
}

struct Reader<'a> {
    base: Url,
    host: String,
    page: Page,
    effort: Effort<'a>,
    /// The bytes of text that there is room for.
    room: usize,
    json_elements: usize,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn new(url: &Url, effort: Effort<'a>) -> Self {
        let page = Page { url: cut(url.as_str(), LONGEST).to_owned(), ..Page::default() };
        let (base, host) = (url.clone(), plain_host(url));
        Self { base, host, page, effort, room: ALL_TEXT, json_elements: JSON_ELEMENTS }
    }

    /// Titles, meta elements and JSON-LD, wherever in the document they are.
    fn read_head(&mut self, document: &Html) {
        let mut icon = String::new();
        for element in document.tree.nodes().filter_map(ElementRef::wrap) {
            if !self.effort.spend(1) {
                break;
            }
            let tag = element.value();
            match tag.name() {
                "html" => self.page.language = cut(tag.attr("lang").unwrap_or_default().trim(), 35).to_owned(),
                "base" => {
                    // A long one would be copied for every link.
                    let href = tag.attr("href").filter(|href| href.len() <= LONGEST);
                    if let Some(base) = href.and_then(|href| self.base.join(href).ok()) {
                        self.base = base;
                    }
                }
                "title" if self.page.title.is_empty() && !in_svg(element) => self.page.title = self.text_of(element),
                "meta" => self.read_meta(element),
                "link" if icon.is_empty() && tag.attr("rel").is_some_and(is_icon) => {
                    icon = self.absolute(tag.attr("href").unwrap_or_default());
                }
                "script" if tag.attr("type").is_some_and(|t| t.trim().eq_ignore_ascii_case("application/ld+json")) => {
                    let text: String = element.text().collect();
                    // Counted first: as a tree it takes many times its bytes.
                    let elements = json::elements(text.trim().as_bytes());
                    if elements <= self.json_elements
                        && self.effort.spend(text.len() / 16)
                        && let Ok(value) = serde_json::from_str(text.trim())
                    {
                        self.json_elements -= elements;
                        self.read_json(&value, 0);
                    }
                }
                _ => {}
            }
        }
        if self.page.image.is_empty() {
            self.page.image = icon;
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
            "og:site_name" => self.page.site_name = content,
            "og:title" if self.page.title.is_empty() => self.page.title = content,
            "og:image" => self.page.image = self.absolute(&content),
            _ => {}
        }
    }

    /// Organisations and products, at any depth of a JSON-LD value.
    fn read_json(&mut self, value: &Value, depth: usize) {
        if depth > JSON_DEPTH || !self.effort.spend(1) {
            return;
        }
        match value {
            Value::Array(list) => list.iter().take(MOST).for_each(|value| self.read_json(value, depth + 1)),
            Value::Object(map) => {
                self.read_entity(value);
                for key in [
                    "@graph",
                    "publisher",
                    "brand",
                    "mainEntity",
                    "manufacturer",
                    "provider",
                    "about",
                    "itemOffered",
                    "makesOffer",
                ] {
                    if let Some(inner) = map.get(key) {
                        self.read_json(inner, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    /// The thing, once, if it is of a kind that is looked for.
    fn read_entity(&mut self, value: &Value) {
        let is_product = |kind: &str| {
            matches!(kind, "Product" | "Service" | "SoftwareApplication" | "WebApplication" | "MobileApplication")
        };
        let kinds = texts(value.get("@type"));
        let Some(kind) = kinds.into_iter().find(|kind| is_product(kind) || is_organization(kind, value)) else {
            return;
        };
        let list = if is_product(&kind) { &self.page.products } else { &self.page.organizations };
        if list.len() >= MOST {
            return;
        }
        let product = is_product(&kind);
        let entity = self.entity(kind, value);
        let size =
            entity.name.len() + entity.description.len() + entity.audiences.iter().map(String::len).sum::<usize>();
        if self.has_room(size) {
            let list = if product { &mut self.page.products } else { &mut self.page.organizations };
            list.push(entity);
        }
    }

    fn entity(&self, kind: String, value: &Value) -> Entity {
        let text = |key: &str| texts(value.get(key)).into_iter().next().unwrap_or_default();
        let logo = text("logo");
        let audiences = match value.get("audience") {
            Some(Value::Array(list)) => list.iter().take(JSON_TEXTS).flat_map(audience).take(JSON_TEXTS).collect(),
            Some(one) => audience(one),
            None => Vec::new(),
        };
        Entity {
            kind,
            name: text("name"),
            description: text("description"),
            logo: if logo.is_empty() { logo } else { self.absolute(&logo) },
            audiences,
        }
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
                        hidden += usize::from(is_hidden(element));
                        around += usize::from(AROUND.contains(&element.value().name()));
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
                    Node::Text(text) if hidden == 0 && around == 0 && in_heading == 0 => self.section_text(text),
                    _ => {}
                },
                Edge::Close(node) => {
                    if let Some(element) = ElementRef::wrap(node) {
                        in_heading = in_heading.saturating_sub(usize::from(hidden == 0 && level(node).is_some()));
                        hidden -= usize::from(is_hidden(element));
                        around -= usize::from(AROUND.contains(&element.value().name()));
                    }
                }
            }
        }
        for section in &mut self.page.sections {
            section.text = tidy(&section.text);
        }
        // A page of another time, without paragraphs or headings: all its text is one.
        if self.page.paragraphs.is_empty() && self.page.sections.is_empty() {
            let text = self.text_of(document.root_element());
            self.push(|page| &mut page.paragraphs, text);
        }
    }

    fn open(&mut self, element: ElementRef<'_>, around: bool) {
        let name = element.value().name();
        if name == "a" {
            self.link(element);
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
        }
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
                        hidden += usize::from(node != *element && ElementRef::wrap(node).is_some_and(is_hidden))
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
                    hidden -= usize::from(node != *element && ElementRef::wrap(node).is_some_and(is_hidden))
                }
            }
        }
        tidy(&out)
    }

    fn absolute(&self, href: &str) -> String {
        if href.len() > LONGEST {
            return String::new();
        }
        let url = self.base.join(href.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.filter(|url| url.as_str().len() <= LONGEST).map(String::from).unwrap_or_default()
    }
}

/// Host and port, without `www.`.
fn plain_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{}:{}", host.strip_prefix("www.").unwrap_or(host), url.port_or_known_default().unwrap_or(0))
}

fn is_hidden(element: ElementRef<'_>) -> bool {
    let tag = element.value();
    INVISIBLE.contains(&tag.name()) || tag.attr("hidden").is_some() || tag.attr("aria-hidden") == Some("true")
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

/// With single spaces, none before punctuation, without control characters, cut to the longest piece.
fn tidy(text: &str) -> String {
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

/// The texts of a JSON-LD value: itself, a list's, or an object's name, URL or identifier; eight in all.
fn texts(value: Option<&Value>) -> Vec<String> {
    let mut out = Vec::new();
    gather(value, &mut out, 0);
    out
}

fn gather(value: Option<&Value>, out: &mut Vec<String>, depth: usize) {
    if out.len() >= JSON_TEXTS || depth > JSON_DEPTH {
        return;
    }
    match value {
        Some(Value::String(text)) => out.push(tidy(cut(text, 4 * LONGEST))),
        Some(Value::Array(list)) => list.iter().take(JSON_TEXTS).for_each(|item| gather(Some(item), out, depth + 1)),
        Some(Value::Object(map)) => {
            let told = map.get("name").or_else(|| map.get("url")).or_else(|| map.get("@value"));
            gather(told, out, depth + 1);
        }
        _ => {}
    }
}

fn audience(value: &Value) -> Vec<String> {
    match value.get("audienceType") {
        Some(kind) => texts(Some(kind)),
        None => texts(Some(value)),
    }
}

fn is_icon(rel: &str) -> bool {
    cut(rel, 100).to_lowercase().contains("icon")
}

/// Types that tell who is behind a page: organisations, businesses, places of business. Not articles, pages or people.
fn is_organization(kind: &str, value: &Value) -> bool {
    const ENDINGS: [&str; 17] = [
        "Organization",
        "Business",
        "Corporation",
        "Service",
        "Store",
        "Restaurant",
        "Bakery",
        "Hotel",
        "School",
        "University",
        "Hospital",
        "Clinic",
        "NGO",
        "Attorney",
        "Dentist",
        "Physician",
        "Agency",
    ];
    const NOT: [&str; 8] =
        ["WebSite", "WebPage", "Article", "BlogPosting", "NewsArticle", "Person", "BreadcrumbList", "ImageObject"];
    let place = value.get("address").is_some() || value.get("telephone").is_some();
    !NOT.contains(&kind) && (place || ENDINGS.iter().any(|end| kind.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::website::{WebsiteAnalysis, analyse, pages_to_read};

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
        assert_eq!(found.business_name, "Acme tools", "the host's name");
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
        let found = read_page(&Url::parse("http://127.0.0.1/").expect("a URL"), "<h1>Joe's Diner</h1>", &|| false);
        assert_eq!(analyse(&[found]).business_name, "Joe's Diner");
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
