//! What a company's website says: the rules from pages to an analysis.
//!
//! Pure and by rule: every output is text of the pages, except the product type and the industry, which name the row of
//! a keyword table that the pages' words fit best, and stay empty where none fits clearly. Reading HTML is `connect`'s.

mod industries;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use url::Url;

use super::text::cut;

/// What one page says, before any judgement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    pub url: String,
    /// The `lang` of the document; may be empty.
    pub language: String,
    pub title: String,
    pub description: String,
    pub site_name: String,
    /// `og:image` or an icon, absolute.
    pub image: String,
    /// From JSON-LD: who is behind the page, and what it sells.
    pub organizations: Vec<Entity>,
    pub products: Vec<Entity>,
    /// Headings with the text that follows.
    pub sections: Vec<Section>,
    pub paragraphs: Vec<String>,
    pub list_items: Vec<String>,
    /// Of the same site.
    pub links: Vec<Link>,
}

/// A thing that JSON-LD describes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entity {
    /// Its `@type`, such as `Restaurant`.
    pub kind: String,
    pub name: String,
    pub description: String,
    pub logo: String,
    pub audiences: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Section {
    /// 1 to 4.
    pub level: u8,
    pub heading: String,
    pub text: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Link {
    /// Absolute.
    pub url: String,
    pub text: String,
}

impl Page {
    /// The sections that speak of the company and not of its customers.
    fn own_sections(&self) -> impl Iterator<Item = &Section> {
        let mut of_customers: Option<u8> = None;
        self.sections.iter().filter(move |section| {
            if of_customers.is_none_or(|level| section.level <= level) {
                of_customers = is_audience_heading(&section.heading).then_some(section.level);
            }
            of_customers.is_none()
        })
    }
}

/// What a website says about its company. Stored as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebsiteAnalysis {
    /// The address that was read, after redirects.
    pub url: String,
    pub business_name: String,
    pub logo_url: String,
    /// One or two sentences, at most 400 characters.
    pub introduction: String,
    pub product_type: String,
    /// At most six.
    pub selling_points: Vec<String>,
    /// At most five.
    pub audiences: Vec<Audience>,
    pub language: String,
    pub pages: Vec<String>,
    pub industry: String,
    /// Only as the tenant states them.
    pub benchmark_brands: Vec<String>,
}

/// A kind of people whom a website speaks to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    pub title: String,
    pub description: String,
}

impl WebsiteAnalysis {
    /// With what the tenant itself says, where it says something.
    pub fn corrected_by(mut self, stated: &Self) -> Self {
        let texts: [(&mut String, &String); 6] = [
            (&mut self.business_name, &stated.business_name),
            (&mut self.logo_url, &stated.logo_url),
            (&mut self.introduction, &stated.introduction),
            (&mut self.product_type, &stated.product_type),
            (&mut self.industry, &stated.industry),
            (&mut self.language, &stated.language),
        ];
        for (found, stated) in texts.into_iter().filter(|(_, stated)| !stated.is_empty()) {
            found.clone_from(stated);
        }
        if !stated.selling_points.is_empty() {
            self.selling_points.clone_from(&stated.selling_points);
        }
        if !stated.audiences.is_empty() {
            self.audiences.clone_from(&stated.audiences);
        }
        if !stated.benchmark_brands.is_empty() {
            self.benchmark_brands.clone_from(&stated.benchmark_brands);
        }
        self
    }
}

const MAX_POINTS: usize = 6;
/// In characters.
const MAX_POINT: usize = 140;
const MAX_AUDIENCES: usize = 5;

/// The pages worth reading next, the best first: those that tell of the company, its products and its customers.
pub fn pages_to_read(home: &Page, most: usize) -> Vec<String> {
    let mut seen = HashSet::from([canonical(&home.url)]);
    let mut ranked: Vec<(u8, &Link)> = home.links.iter().filter_map(|link| Some((worth(link, home)?, link))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let fresh = ranked.into_iter().filter(|(_, link)| seen.insert(canonical(&link.url)));
    fresh.take(most).map(|(_, link)| link.url.clone()).collect()
}

/// The analysis of a website's pages, the home page first. Of no pages, nothing.
pub fn analyse(pages: &[Page]) -> WebsiteAnalysis {
    let Some(home) = pages.first() else { return WebsiteAnalysis::default() };
    let (industry, product_type) = industries::classify(pages);
    WebsiteAnalysis {
        url: home.url.clone(),
        business_name: business_name(pages),
        logo_url: logo(pages),
        introduction: introduction(pages),
        product_type,
        selling_points: selling_points(pages),
        audiences: audiences(pages),
        language: home.language.clone(),
        pages: pages.iter().map(|page| page.url.clone()).collect(),
        industry,
        benchmark_brands: Vec::new(),
    }
}

/// How much a link promises, the least first; None for what is not worth reading.
fn worth(link: &Link, home: &Page) -> Option<u8> {
    const SKIP: [&str; 22] = [
        "login",
        "signin",
        "sign-in",
        "signup",
        "register",
        "account",
        "cart",
        "checkout",
        "privacy",
        "terms",
        "legal",
        "imprint",
        "impressum",
        "cookie",
        "datenschutz",
        "agb",
        "blog/",
        "news/",
        "careers",
        "jobs",
        "search",
        "logout",
    ];
    const FILES: [&str; 9] = [".pdf", ".zip", ".png", ".jpg", ".jpeg", ".svg", ".xml", ".doc", ".mp4"];
    const WORTH: [&[&str]; 5] = [
        &[
            "about",
            "company",
            "who-we-are",
            "ueber",
            "uber-uns",
            "über uns",
            "unternehmen",
            "a-propos",
            "关于",
            "公司简介",
            "会社",
        ],
        &[
            "product",
            "service",
            "solution",
            "platform",
            "leistung",
            "produkt",
            "menu",
            "practice",
            "产品",
            "服务",
            "解决方案",
        ],
        &["feature", "how-it-works", "technology", "why", "功能", "技术"],
        &["customer", "client", "industr", "use-case", "case-stud", "portfolio", "kunden", "客户", "案例", "行业"],
        &["pricing", "plans", "preise", "价格"],
    ];
    let url = Url::parse(&link.url).ok()?;
    let path = format!("{}/", url.path().trim_end_matches('/').to_lowercase());
    if SKIP.iter().any(|skip| path.contains(skip)) || FILES.iter().any(|end| path.ends_with(&format!("{end}/"))) {
        return None;
    }
    // Translations of the home page's own language say the same again.
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let own = home.language.get(..2).unwrap_or_default().to_lowercase();
    let is_language = |s: &str| s.len() == 2 || (s.len() == 5 && s.as_bytes().get(2) == Some(&b'-'));
    if is_language(first) && !first.starts_with(&own) {
        return None;
    }
    let text = link.text.to_lowercase();
    let rank = WORTH.iter().position(|words| words.iter().any(|w| path.contains(w) || text.contains(w)))?;
    u8::try_from(rank).ok()
}

/// The address as a set sees it: without fragment, query, trailing slash and index page.
fn canonical(url: &str) -> String {
    let bare = url.split(['#', '?']).next().unwrap_or_default();
    let bare = bare.strip_suffix("index.html").or_else(|| bare.strip_suffix("index.php")).unwrap_or(bare);
    bare.trim_end_matches('/').to_lowercase()
}

fn business_name(pages: &[Page]) -> String {
    let from_data = pages.iter().flat_map(|p| &p.organizations).map(|o| o.name.as_str());
    let named = from_data.chain(pages.iter().map(|p| p.site_name.as_str())).find(|name| !name.is_empty());
    let heading = || pages[0].sections.iter().find(|s| s.level == 1).map(|s| cut(&s.heading, 80).to_owned());
    let name = named.map(str::to_owned).or_else(|| name_in_titles(pages)).or_else(heading);
    name.unwrap_or_else(|| name_of_host(&pages[0].url))
}

/// The part of the home page's title that other titles share or the host's name holds; else its first part.
fn name_in_titles(pages: &[Page]) -> Option<String> {
    const GENERIC: [&str; 8] = ["home", "homepage", "home page", "welcome", "start", "startseite", "首页", "主页"];
    let parts = |title: &str| -> Vec<String> {
        let split = title
            .split(['|', '–', '—', '·', '•', '«', '»', '｜', '_'])
            .flat_map(|p| p.split(" - "))
            .flat_map(|p| p.split(": "));
        let tidy = split.map(|p| p.trim().trim_start_matches("Welcome to ").to_owned());
        tidy.filter(|p| !p.is_empty() && !GENERIC.contains(&p.to_lowercase().as_str())).collect()
    };
    let own = parts(&pages[0].title);
    let shared = own.iter().find(|part| pages[1..].iter().any(|p| parts(&p.title).contains(part)));
    let host = name_of_host(&pages[0].url).to_lowercase().replace(['-', ' '], "");
    let like_host = own.iter().find(|part| {
        let plain: String = part.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
        plain.len() > 2 && host.len() > 2 && (plain.contains(&host) || host.contains(&plain))
    });
    shared.or(like_host).or(own.first()).map(|name| cut(name, 80).to_owned())
}

fn name_of_host(url: &str) -> String {
    let host = Url::parse(url).ok().and_then(|u| u.domain().map(str::to_owned)).unwrap_or_default();
    let name = host.trim_start_matches("www.").split('.').next().unwrap_or_default().replace('-', " ");
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn logo(pages: &[Page]) -> String {
    let logos = pages.iter().flat_map(|p| &p.organizations).map(|o| o.logo.as_str());
    logos.chain(pages.iter().map(|p| p.image.as_str())).find(|l| !l.is_empty()).unwrap_or_default().to_owned()
}

fn introduction(pages: &[Page]) -> String {
    let home = &pages[0];
    let described =
        [home.description.as_str()].into_iter().chain(home.organizations.iter().map(|o| o.description.as_str()));
    let told = home.paragraphs.iter().map(String::as_str).filter(|p| says_something(p) && !is_boilerplate(p));
    let others = pages[1..].iter().map(|p| p.description.as_str());
    let text = described.filter(|t| t.chars().count() >= 12).chain(told).chain(others).find(|t| !t.is_empty());
    sentences(text.unwrap_or_default(), 400)
}

/// Long enough for a sentence about a company; Chinese needs fewer characters.
fn says_something(text: &str) -> bool {
    text.chars().count() >= if text.chars().any(is_chinese) { 14 } else { 40 }
}

/// The text up to the last sentence that ends within `most` characters; with a mark at its end in any case.
fn sentences(text: &str, most: usize) -> String {
    let text = text.trim();
    let head = cut(text, most);
    if head.len() == text.len() {
        let ended = text.is_empty() || text.ends_with(ENDS);
        let stop = if ended {
            ""
        } else if text.chars().any(is_chinese) {
            "。"
        } else {
            "."
        };
        return format!("{text}{stop}");
    }
    match sentence_ends(text).take_while(|end| *end <= head.len()).last() {
        Some(end) => text[..end].to_owned(),
        None => format!("{}…", cut(head, most - 1).trim_end()),
    }
}

const ENDS: [char; 6] = ['.', '!', '?', '。', '！', '？'];

/// Where sentences end, in bytes. A full stop in the middle of a number or a name is no end.
fn sentence_ends(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices(ENDS).filter_map(|(at, mark)| {
        let end = at + mark.len();
        let free = !mark.is_ascii() || text[end..].chars().next().is_none_or(char::is_whitespace);
        free.then_some(end)
    })
}

fn selling_points(pages: &[Page]) -> Vec<String> {
    let mut points = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |text: String| {
        if points.len() < MAX_POINTS && seen.insert(text.to_lowercase()) {
            points.push(text);
        }
    };
    for page in pages {
        // A point is a heading that something is said about.
        let told = page.own_sections().filter(|s| s.level >= 2 && !s.text.is_empty() && is_of_its_own(&s.heading));
        told.filter_map(point).for_each(&mut add);
    }
    for item in pages[0].list_items.iter().filter(|i| (20..=140).contains(&i.chars().count()) && is_of_its_own(i)) {
        add(item.clone());
    }
    points
}

/// The heading; where it is too short to be understood alone, with the first sentence of its text, or None if that is
/// none that fits.
fn point(section: &Section) -> Option<String> {
    let heading = section.heading.trim_end_matches(['.', '。', ':']);
    let length = heading.chars().count();
    if length >= if heading.chars().any(is_chinese) { 6 } else { 18 } {
        return Some(cut(heading, MAX_POINT).to_owned());
    }
    let text = section.text.trim();
    let said = &text[..sentence_ends(text).next()?];
    if said.ends_with(['?', '？']) {
        return Some(heading.to_owned());
    }
    let fits = length + 3 + said.chars().count() <= MAX_POINT;
    let between = if heading.chars().any(is_chinese) { "，" } else { " – " };
    fits.then(|| format!("{heading}{between}{}", said.trim_end_matches(['.', '。', '!', '！'])))
}

fn audiences(pages: &[Page]) -> Vec<Audience> {
    let mut found: Vec<Audience> = Vec::new();
    let mut add = |title: &str, description: &str| {
        let title = cut(title.trim(), 80);
        let known = found.iter().any(|a| a.title.eq_ignore_ascii_case(title));
        if found.len() < MAX_AUDIENCES && !title.is_empty() && !known {
            found.push(Audience { title: title.to_owned(), description: sentences(description, 240) });
        }
    };
    for page in pages {
        for audience in page.organizations.iter().chain(&page.products).flat_map(|e| &e.audiences) {
            add(audience, "");
        }
        let mut inside: Option<u8> = None;
        for section in &page.sections {
            match inside {
                Some(level) if section.level > level => {
                    add(&section.heading, &section.text);
                    continue;
                }
                _ => inside = None,
            }
            if is_audience_heading(&section.heading) {
                inside = Some(section.level);
            } else if let Some(whom) = for_whom(&section.heading) {
                add(whom, &section.text);
            }
        }
    }
    if found.is_empty()
        && let Some(whom) = pages.iter().find_map(|p| described_for(&p.description))
    {
        found.push(Audience { title: whom, description: String::new() });
    }
    found
}

fn is_audience_heading(heading: &str) -> bool {
    const HEADINGS: [&str; 16] = [
        "who it is for",
        "who it's for",
        "who is it for",
        "who we serve",
        "who we help",
        "who we work with",
        "built for",
        "made for",
        "designed for",
        "industries",
        "our customers",
        "für wen",
        "branchen",
        "适用",
        "面向",
        "服务对象",
    ];
    let heading = heading.to_lowercase();
    HEADINGS.iter().any(|h| heading.starts_with(h) || (!h.is_ascii() && heading.contains(h)))
}

/// "For greenhouse growers" → "greenhouse growers".
fn for_whom(heading: &str) -> Option<&str> {
    let rest = heading.strip_prefix("For ").or_else(|| heading.strip_prefix("Für "))?;
    (rest.split_whitespace().count() <= 5).then_some(rest)
}

/// "Sensors for commercial growers and researchers." → "commercial growers and researchers".
fn described_for(description: &str) -> Option<String> {
    let (_, rest) = description.split_once(" for ")?;
    let end = rest.find(['.', ',', ';', '!', '–', '—']).unwrap_or(rest.len());
    let whom = rest[..end].trim();
    let plural = whom.split_whitespace().next_back().is_some_and(|w| w.ends_with('s'));
    (plural && (1..=6).contains(&whom.split_whitespace().count())).then(|| whom.to_owned())
}

/// Text that every website has and that says nothing about the company.
fn is_boilerplate(text: &str) -> bool {
    const WORDS: [&str; 9] =
        ["cookie", "newsletter", "privacy", "datenschutz", "all rights", "©", "javascript", "版权", "备案"];
    let lower = text.to_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
}

fn is_of_its_own(text: &str) -> bool {
    !is_boilerplate(text) && !is_common_heading(text)
}

/// Headings and lines of lists that every website has.
fn is_common_heading(text: &str) -> bool {
    const WORDS: [&str; 21] = [
        "subscribe",
        "contact",
        "follow us",
        "log in",
        "sign up",
        "menu",
        "navigation",
        "read more",
        "learn more",
        "latest news",
        "testimonial",
        "faq",
        "questions",
        "get in touch",
        "opening hours",
        "find us",
        "blog",
        "kontakt",
        "impressum",
        "联系我们",
        "新闻",
    ];
    const WHOLE: [&str; 8] = ["about us", "about", "welcome", "home", "über uns", "willkommen", "关于我们", "首页"];
    let lower = text.to_lowercase();
    text.chars().count() > 160 || WORDS.iter().any(|word| lower.contains(word)) || WHOLE.contains(&lower.as_str())
}

fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}')
}
