//! Reads what an HTML page says into a [`Page`]: titles, meta elements, Open Graph, JSON-LD, headings with the text that
//! follows, paragraphs, list items, links of the same site; and the signs of what is no company's page.
//!
//! Any page must do: broken markup, none of the metadata, or nothing else. And whatever a page holds, what is made of it is
//! bounded in number, bytes and depth, and all of it has one deadline ([`effort`]); judging what was read is
//! `domain::website`'s. What a dialog says that asks for consent ([`consent`]) is left out here, where its form is seen.

mod body;
mod consent;
mod effort;
mod graph;
mod head;
mod json_ld;
mod kinds;
mod marks;
mod plain;
mod tree;

use std::collections::HashSet;

use ego_tree::iter::Edge;
use ego_tree::{NodeId, NodeRef};
use scraper::{ElementRef, Node};
use url::Url;

use crate::domain::text::cut;
use crate::domain::website::Page;
use effort::Effort;
use plain::{LONGEST, tidy};

/// The most pieces of each kind.
const MAX_PIECES: usize = 500;
/// The bytes of all pieces.
const ALL_TEXT: usize = 512 * 1024;
/// The most nodes that one piece of text is gathered from.
const PIECE_NODES: usize = 4_000;
/// The values of all JSON-LD of a page.
const JSON_ELEMENTS: usize = 20_000;

/// What is never text.
const INVISIBLE: [&str; 7] = ["script", "style", "noscript", "template", "svg", "iframe", "head"];

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

    fn has_room(&mut self, bytes: usize) -> bool {
        let left = self.room.checked_sub(bytes);
        self.room = left.unwrap_or(self.room);
        left.is_some()
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

fn is_named(node: NodeRef<'_, Node>, names: &[&str]) -> bool {
    node.value().as_element().is_some_and(|element| names.contains(&element.name()))
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
            assert!(page.paragraphs.len() <= MAX_PIECES);
            assert!(begun.elapsed().as_secs() < 20, "{:?} in a debug build", begun.elapsed());
        }
    }
}
