//! What a company's website says: the rules from pages to an analysis.
//!
//! Pure and by rule: every output is text of the pages, except the product type and the industry, which name the row of
//! a keyword table that the pages' words fit best, and stay empty where none fits clearly. Each field says where it was found.
//! What is nobody's words ([`seen`]) or the law's ([`consent`]) is no output. Reading HTML is `connect`'s.

pub mod consent;
mod industries;
mod names;
mod page;
mod seen;
mod sources;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use url::Url;

use super::text::{cut, is_chinese};
use page::is_audience_heading;
pub use page::{Entity, Guard, Link, Page, Role, Section, Signs};
pub use seen::{Seen, seen};
use sources::Sources;
pub use sources::{Field, FieldSource, FoundIn};

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
    /// Where each field was found; one that is empty was found nowhere.
    pub sources: Vec<FieldSource>,
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
        let mut corrected = Vec::new();
        let texts: [(Field, &mut String, &String); 6] = [
            (Field::BusinessName, &mut self.business_name, &stated.business_name),
            (Field::LogoUrl, &mut self.logo_url, &stated.logo_url),
            (Field::Introduction, &mut self.introduction, &stated.introduction),
            (Field::ProductType, &mut self.product_type, &stated.product_type),
            (Field::Industry, &mut self.industry, &stated.industry),
            (Field::Language, &mut self.language, &stated.language),
        ];
        for (field, found, stated) in texts.into_iter().filter(|(.., stated)| !stated.is_empty()) {
            found.clone_from(stated);
            corrected.push(field);
        }
        if !stated.selling_points.is_empty() {
            self.selling_points.clone_from(&stated.selling_points);
            corrected.push(Field::SellingPoints);
        }
        if !stated.audiences.is_empty() {
            self.audiences.clone_from(&stated.audiences);
            corrected.push(Field::Audiences);
        }
        if !stated.benchmark_brands.is_empty() {
            self.benchmark_brands.clone_from(&stated.benchmark_brands);
            corrected.push(Field::BenchmarkBrands);
        }
        self.sources.retain(|source| !corrected.contains(&source.field));
        let stated = |field| FieldSource { field, page: String::new(), found_in: FoundIn::Stated };
        self.sources.extend(corrected.into_iter().map(stated));
        self
    }

    /// What is missing for a letter to be written from what the tenant states alone: who the company is, and something of it.
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.business_name.is_empty() {
            missing.push("business_name");
        }
        if self.introduction.is_empty() && self.product_type.is_empty() && self.selling_points.is_empty() {
            missing.push("introduction");
        }
        missing
    }
}

const MAX_POINTS: usize = 6;
/// In characters.
const MAX_POINT: usize = 140;
const MAX_AUDIENCES: usize = 5;

/// The pages worth reading next, the best first: those that tell of the company, its products and its customers.
pub fn pages_to_read(home: &Page, max: usize) -> Vec<String> {
    let mut seen = HashSet::from([canonical(&home.url)]);
    let mut ranked: Vec<(u8, &Link)> = home.links.iter().filter_map(|link| Some((worth(link, home)?, link))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let fresh = ranked.into_iter().filter(|(_, link)| seen.insert(canonical(&link.url)));
    fresh.take(max).map(|(_, link)| link.url.clone()).collect()
}

/// The analysis of a website's pages, the home page first. Of no pages, nothing. The name is empty where the site gives itself none.
pub fn analyse(pages: &[Page]) -> WebsiteAnalysis {
    let Some(home) = pages.first() else { return WebsiteAnalysis::default() };
    let mut sources = Sources::default();
    let name = names::name(pages);
    if let Some(named) = &name {
        sources.note(Field::BusinessName, &named.page.url, named.found_in);
    }
    if !home.language.is_empty() {
        sources.note(Field::Language, &home.url, FoundIn::Lang);
    }
    let (industry, product_type) = industries::classify(pages, &mut sources);
    WebsiteAnalysis {
        url: home.url.clone(),
        business_name: name.map(|named| named.name).unwrap_or_default(),
        logo_url: logo(pages, &mut sources),
        introduction: introduction(pages, &mut sources),
        product_type,
        selling_points: selling_points(pages, &mut sources),
        audiences: audiences(pages, &mut sources),
        language: home.language.clone(),
        pages: pages.iter().map(|page| page.url.clone()).collect(),
        industry,
        benchmark_brands: Vec::new(),
        sources: sources.into_list(),
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

fn logo(pages: &[Page], sources: &mut Sources) -> String {
    let owner = names::owner(pages).map(|(owner, page)| (&owner.logo, page, FoundIn::Organization));
    let images = pages.iter().map(|page| (&page.image, page, FoundIn::Image));
    let icons = pages.iter().map(|page| (&page.icon, page, FoundIn::Icon));
    let found = owner.into_iter().chain(images).chain(icons).find(|(logo, ..)| !logo.is_empty());
    let Some((logo, page, found_in)) = found else { return String::new() };
    sources.note(Field::LogoUrl, &page.url, found_in);
    logo.clone()
}

fn introduction(pages: &[Page], sources: &mut Sources) -> String {
    let home = &pages[0];
    let owner = names::owner(pages).map(|(owner, page)| (&owner.description, page, FoundIn::Organization));
    let described = [(&home.description, home, FoundIn::Description)].into_iter().chain(owner);
    let described = described.filter(|(text, ..)| text.chars().count() >= 12 && !consent::speaks_of_this_site(text));
    let told = |page| move |text| (text, page, FoundIn::Paragraph);
    let of_home = home.paragraphs.iter().filter(|p| says_something(p) && !is_boilerplate(p)).map(told(home));
    let others = pages[1..].iter().map(|page| (&page.description, page, FoundIn::Description));
    let found = described.chain(of_home).chain(others).find(|(text, ..)| !text.is_empty());
    let Some((text, page, found_in)) = found else { return String::new() };
    sources.note(Field::Introduction, &page.url, found_in);
    sentences(text, 400)
}

/// Long enough for a sentence about a company; Chinese needs fewer characters.
fn says_something(text: &str) -> bool {
    text.chars().count() >= if text.chars().any(is_chinese) { 14 } else { 40 }
}

/// The text up to the last sentence that ends within `max` characters; with a mark at its end in any case.
fn sentences(text: &str, max: usize) -> String {
    let text = text.trim();
    let head = cut(text, max);
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
        None => format!("{}…", cut(head, max - 1).trim_end()),
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

fn selling_points(pages: &[Page], sources: &mut Sources) -> Vec<String> {
    let mut points = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |text: String, page: &Page, found_in| {
        if points.len() < MAX_POINTS && seen.insert(text.to_lowercase()) {
            points.push(text);
            sources.note(Field::SellingPoints, &page.url, found_in);
        }
    };
    for page in pages {
        // A point is a heading that something is said about.
        let told = page.own_sections().filter(|s| s.level >= 2 && !s.text.is_empty() && is_of_its_own(&s.heading));
        told.filter_map(point).for_each(|point| add(point, page, FoundIn::Headings));
    }
    for item in pages[0].list_items.iter().filter(|i| (20..=140).contains(&i.chars().count()) && is_of_its_own(i)) {
        add(item.clone(), &pages[0], FoundIn::ListItems);
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

fn audiences(pages: &[Page], sources: &mut Sources) -> Vec<Audience> {
    let mut found: Vec<Audience> = Vec::new();
    let mut add = |title: &str, description: &str, page: &Page, found_in| {
        let title = cut(title.trim(), 80);
        let known = found.iter().any(|a| a.title.eq_ignore_ascii_case(title));
        if found.len() < MAX_AUDIENCES && !title.is_empty() && !known {
            found.push(Audience { title: title.to_owned(), description: sentences(description, 240) });
            sources.note(Field::Audiences, &page.url, found_in);
        }
    };
    let owner = names::owner(pages).map(|(owner, _)| owner);
    for page in pages {
        let things = page.products.iter().chain(page.organizations.iter().filter(|entity| owner == Some(*entity)));
        for audience in things.flat_map(|thing| &thing.audiences) {
            add(audience, "", page, FoundIn::AudienceOfThing);
        }
        let mut inside: Option<u8> = None;
        for section in &page.sections {
            match inside {
                Some(level) if section.level > level => {
                    add(&section.heading, &section.text, page, FoundIn::Headings);
                    continue;
                }
                _ => inside = None,
            }
            if is_audience_heading(&section.heading) {
                inside = Some(section.level);
            } else if let Some(whom) = for_whom(&section.heading) {
                add(whom, &section.text, page, FoundIn::Headings);
            }
        }
    }
    if found.is_empty()
        && let Some((whom, page)) = pages.iter().find_map(|page| Some((described_for(&page.description)?, page)))
    {
        found.push(Audience { title: whom, description: String::new() });
        sources.note(Field::Audiences, &page.url, FoundIn::Description);
    }
    found
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
    const WORDS: [&str; 17] = [
        "newsletter",
        "cookie policy",
        "cookie settings",
        "cookie-einstellungen",
        "privacy policy",
        "privacy notice",
        "datenschutzerklärung",
        "all rights reserved",
        "alle rechte vorbehalten",
        "©",
        "enable javascript",
        "javascript is disabled",
        "requires javascript",
        "javascript aktivieren",
        "activer javascript",
        "版权",
        "备案",
    ];
    let lower = text.to_lowercase();
    WORDS.iter().any(|word| lower.contains(word)) || consent::speaks_of_this_site(text)
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
    const WHOLE: [&str; 11] = [
        "about us",
        "about",
        "welcome",
        "home",
        "privacy",
        "cookies",
        "datenschutz",
        "über uns",
        "willkommen",
        "关于我们",
        "首页",
    ];
    let lower = text.to_lowercase();
    text.chars().count() > 160 || WORDS.iter().any(|word| lower.contains(word)) || WHOLE.contains(&lower.as_str())
}
