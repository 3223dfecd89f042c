//! What stands in the place of a company's page: challenges, errors, listings, placeholders, applications without content. None
//! of it is the company's words.
//!
//! Those who sell protection from bots, write about errors, or are called like a challenge must be read. So one sign alone decides
//! little: the more a page says of its own, the more signs it takes.

mod signs;

use super::page::{Guard, Page, Section};
use super::{consent, is_boilerplate};
use crate::domain::text::{cut, is_chinese};
use signs::{
    CHALLENGE_TEXTS, CHALLENGE_TITLES, COMING_SOON, DEFAULT_HEADINGS, DEFAULTS, ERROR_TEXTS, ERRORS, GUARDS, LISTINGS,
    MAINTENANCE, PARKED,
};

/// Why a page is not the company's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Seen {
    #[error("a challenge{}: it asks for a proof that a person reads", by(.who))]
    Challenge { who: Option<&'static str> },
    #[error("an error page (“{0}”)")]
    Error(String),
    #[error("the listing of a folder")]
    Listing,
    #[error("the page that a web server or an installation comes with (“{0}”)")]
    Default(String),
    #[error("the page of a domain that is parked or for sale")]
    Parked,
    #[error("a note that the website is away for maintenance (“{0}”)")]
    Maintenance(String),
    #[error("a note that the website is not there yet, such as coming soon (“{0}”)")]
    ComingSoon(String),
    #[error("a dialog that asks for consent, with nothing else")]
    ConsentAlone,
    #[error("an application without content, which scripts would have to make{}", titled(.title))]
    Application { title: String },
    #[error("{}", told(.title, .description))]
    Nothing { title: String, description: String },
}

fn by(who: &Option<&'static str>) -> String {
    who.map(|who| format!(" of {who}")).unwrap_or_default()
}

fn titled(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!(" (“{title}”)") }
}

fn told(title: &str, description: &str) -> String {
    match (title, description) {
        ("", "") => "nothing at all".to_owned(),
        (title, "") => format!("a title alone (“{title}”)"),
        ("", description) => format!("a description alone (“{description}”)"),
        (title, description) => format!("a title and a description alone (“{title}”, “{description}”)"),
    }
}

impl Seen {
    /// Whether what little the page says is the company's own.
    pub fn is_little(&self) -> bool {
        matches!(self, Self::Nothing { .. })
    }
}

/// Up to how many characters a page is small, and little is its own.
const SMALL: usize = 1_000;
const LITTLE: usize = 120;
/// What a heading may have behind the phrase that it begins with, in bytes.
const LONGER: usize = 16;
/// The letters that a text must have to be content.
const CONTENT: usize = 5;
/// What a quotation may have of a title or a description, in characters.
const QUOTED: usize = 120;

/// What the page is, if it is not the company's words.
pub fn seen(page: &Page) -> Option<Seen> {
    let about = About::new(page);
    about
        .challenge()
        .or_else(|| about.default())
        .or_else(|| about.error())
        .or_else(|| about.placeholder())
        .or_else(|| about.empty())
}

/// A page with the forms of its texts in which signs are looked for.
struct About<'a> {
    page: &'a Page,
    /// In lower case, without what ends a sentence.
    titles: Vec<String>,
    headings: Vec<String>,
    text: String,
}

impl<'a> About<'a> {
    fn new(page: &'a Page) -> Self {
        let parts = page.title.split(['|', '–', '—', '·', '•']).flat_map(|part| part.split(" - "));
        let titles = std::iter::once(page.title.as_str()).chain(parts).map(bare);
        let titles: Vec<_> = titles.filter(|part| !part.is_empty()).collect();
        // The first heading, and the one behind the company's name, if nothing is said before it.
        let sections = &page.sections;
        let is_name =
            |section: &&Section| titles.contains(&bare(&section.heading)) && section.text.chars().count() < 40;
        let behind = sections.get(sections.iter().take_while(is_name).count());
        let headings = sections.first().into_iter().chain(behind).map(|section| bare(&section.heading)).collect();
        Self { page, titles, headings, text: page.signs.text.to_lowercase().replace('’', "'") }
    }

    fn is_small(&self) -> bool {
        self.page.signs.length < SMALL
    }

    /// The characters of texts that have none of the phrases in them.
    fn own(&self, phrases: &[&str]) -> usize {
        let page = self.page;
        let sections = page.sections.iter().flat_map(|section| [&section.heading, &section.text]);
        let texts = sections.chain(&page.paragraphs).chain(&page.list_items);
        let is_own = |text: &&String| {
            let lower = text.to_lowercase().replace('’', "'");
            !phrases.iter().any(|phrase| lower.contains(phrase)) && !self.titles.contains(&bare(text))
        };
        let mut seen = std::collections::HashSet::new();
        texts.filter(is_own).filter(|text| seen.insert(text.as_str())).map(|text| text.chars().count()).sum()
    }

    fn says(&self, phrases: &[&str]) -> usize {
        phrases.iter().filter(|phrase| self.text.contains(*phrase)).count()
    }

    fn challenge(&self) -> Option<Seen> {
        let page = self.page;
        let guards = &page.signs.guards;
        if let Some(Guard { who, .. }) = guards.iter().find(|guard| guard.sure) {
            return Some(Seen::Challenge { who: Some(who) });
        }
        let is_titled = |title: &String| {
            CHALLENGE_TITLES.iter().any(|sign| title == sign || (!sign.is_ascii() && title.contains(sign)))
                || CHALLENGE_TEXTS.iter().any(|sign| title.contains(sign))
        };
        let titled = self.titles.iter().any(is_titled);
        let said = self.says(&CHALLENGE_TEXTS);
        let guard = guards.first().map(|guard| guard.who);
        // A café may be called Just a Moment.
        if (said == 0 && guard.is_none() && !(titled && page.signs.length < 20)) || page.signs.length > 3 * SMALL {
            return None;
        }
        let unnamed = self.titles.first().is_none_or(|title| !title.contains(' ') && title.contains('.'));
        let points = [
            (titled, 3),
            (guard.is_some(), 2),
            (said > 0, 2),
            (said > 1, 1),
            (unnamed, 1),
            (page.description.is_empty() || page.description == "px-captcha", 1),
            (page.links.is_empty(), 1),
            (page.signs.length < 400, 1),
            (page.signs.noindex, 1),
            (!page.site_names.is_empty() || !page.organizations.is_empty(), -2),
            (page.links.len() >= 3, -2),
            (self.own(&CHALLENGE_TEXTS) >= 160, -2),
            (!titled && !unnamed && guard.is_none() && page.sections.len() > 1, -1),
        ];
        let score: i32 = points.into_iter().filter(|(holds, _)| *holds).map(|(_, points)| points).sum();
        let named =
            || GUARDS.iter().find(|(sign, _)| self.text.contains(sign) || self.titles.iter().any(|t| t.contains(sign)));
        (score >= 6).then(|| Seen::Challenge { who: guard.or_else(|| named().map(|(_, who)| *who)) })
    }

    fn default(&self) -> Option<Seen> {
        let begins = |text: &String, with: &[&str]| with.iter().any(|start| text.starts_with(start));
        // The title is the whole of such a page, not a part of it.
        let title = self.titles.first().cloned().unwrap_or_default();
        let heading = self.headings.first().cloned().unwrap_or_default();
        if begins(&title, &LISTINGS) || begins(&heading, &LISTINGS) || self.text.contains("[to parent directory]") {
            return Some(Seen::Listing);
        }
        let is_default = begins(&title, &DEFAULTS) || (self.is_small() && DEFAULT_HEADINGS.contains(&heading.as_str()));
        let fresh = self.titles.iter().any(|title| title == "just another wordpress site")
            && self.text.contains("this is your first post");
        (is_default || fresh).then(|| Seen::Default(self.quoted()))
    }

    fn error(&self) -> Option<Seen> {
        let small = self.page.signs.length < 3 * SMALL;
        let titled = small && self.titles.iter().any(|title| is_error(title));
        // A heading says it where the title is the site's.
        let headed = self.is_small() && self.headings.first().is_some_and(|heading| is_error(heading));
        let told = self.is_small() && self.says(&ERROR_TEXTS) > 0 && self.own(&ERROR_TEXTS) < LITTLE;
        (titled || headed || told).then(|| Seen::Error(self.quoted()))
    }

    /// Parked domains, and sites that are not there yet or for a while.
    fn placeholder(&self) -> Option<Seen> {
        let in_title = |title: &String| PARKED.iter().any(|phrase| title.contains(phrase)) || is_for_sale(title);
        if self.is_small() && (self.says(&PARKED) > 0 || self.titles.iter().any(in_title)) {
            return Some(Seen::Parked);
        }
        // What it is about, its title or its first headings say; a note in passing is nothing, but where nothing else is said.
        let says = |phrases: &[&str]| {
            let begins = |text: &String| {
                phrases.iter().any(|phrase| text.starts_with(phrase) && text.len() <= phrase.len() + LONGER)
            };
            let headed = self.titles.iter().chain(&self.headings).any(begins);
            let own = self.own(phrases);
            self.is_small() && ((headed && own < LITTLE) || (self.says(phrases) > 0 && own < LITTLE / 3))
        };
        if says(&MAINTENANCE) {
            return Some(Seen::Maintenance(self.quoted()));
        }
        says(&COMING_SOON).then(|| Seen::ComingSoon(self.quoted()))
    }

    /// A page without content.
    fn empty(&self) -> Option<Seen> {
        if self.has_content() {
            return None;
        }
        let page = self.page;
        let (title, description) = (quote(&page.title), quote(&page.description));
        Some(match () {
            () if page.signs.consent => Seen::ConsentAlone,
            () if page.signs.application && page.signs.scripts => Seen::Application { title },
            () if title.is_empty() && description.is_empty() && page.signs.scripts => Seen::Application { title },
            () => Seen::Nothing { title, description },
        })
    }

    /// Words of the company: any text of the page that says something besides its title, or what JSON-LD says of the company.
    fn has_content(&self) -> bool {
        let page = self.page;
        let sections = page.sections.iter().flat_map(|section| [&section.heading, &section.text]);
        let texts = sections.chain(&page.paragraphs).chain(&page.list_items);
        let letters: usize = texts.filter(|text| self.says_something(text)).map(|text| letters(text)).sum();
        let described =
            page.organizations.iter().chain(&page.products).any(|thing| letters_of_thing(&thing.description));
        letters >= CONTENT || described
    }

    fn says_something(&self, text: &str) -> bool {
        let bare = bare(text);
        !bare.is_empty()
            && !self.titles.contains(&bare)
            && !is_placeholder(&bare)
            && !is_boilerplate(text)
            && !consent::speaks_of_this_site(text)
    }

    /// What names the page, for people.
    fn quoted(&self) -> String {
        let heading = self.page.sections.first().map(|section| section.heading.as_str());
        let title = Some(self.page.title.as_str()).filter(|title| !title.is_empty());
        quote(title.or(heading).unwrap_or(&self.page.signs.text))
    }
}

fn quote(text: &str) -> String {
    cut(text.trim(), QUOTED).to_owned()
}

fn letters(text: &str) -> usize {
    // A character of Chinese says as much as a few letters.
    text.chars().filter(|c| c.is_alphabetic()).map(|c| if is_chinese(c) { 3 } else { 1 }).sum()
}

fn letters_of_thing(description: &str) -> bool {
    letters(description) >= 4 * CONTENT
}

fn bare(text: &str) -> String {
    let text = text.trim().to_lowercase().replace('’', "'");
    text.trim_end_matches(['.', '!', '…', ':', '。', '！', ' ']).to_owned()
}

/// What stands where content will be.
fn is_placeholder(bare: &str) -> bool {
    const WORDS: [&str; 22] = [
        "loading",
        "please wait",
        "redirecting",
        "wird geladen",
        "lädt",
        "laden",
        "bitte warten",
        "chargement",
        "chargement en cours",
        "cargando",
        "caricamento",
        "加载中",
        "正在加载",
        "读取中",
        "載入中",
        "読み込み中",
        "skip to content",
        "skip to main content",
        "zum inhalt springen",
        "back to top",
        "menu",
        "toggle navigation",
    ];
    let needs_scripts = bare.contains("javascript")
        && ["enable", "disabled", "requires", "need", "aktivier", "activ", "habilit", "启用"]
            .iter()
            .any(|word| bare.contains(word));
    // Such as `Loading, please wait`; not such as `Loading ramps for lorries`.
    const OF_LOADING: [&str; 12] =
        ["loading", "please", "wait", "a", "moment", "just", "page", "content", "app", "application", "the", "your"];
    let mut words = bare.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    let loads = words.peek() == Some(&"loading") && words.all(|word| OF_LOADING.contains(&word));
    WORDS.contains(&bare) || loads || needs_scripts
}

/// Such as `norden.example is for sale`.
fn is_for_sale(title: &str) -> bool {
    let (name, rest) = title.split_once(' ').unwrap_or((title, ""));
    let sells = ["is for sale", "steht zum verkauf", "zu verkaufen", "est à vendre", "está en venta", "in vendita"];
    name.contains('.') && sells.iter().any(|phrase| rest.starts_with(phrase))
}

fn is_error(text: &str) -> bool {
    if ERRORS.contains(&text) {
        return true;
    }
    // Such as `404`, `Error 404`, `404 Not Found`, `503 Service Temporarily Unavailable`; not such as `500 Startups`.
    let rest = ["http error ", "http ", "error ", "fehler ", "erreur "]
        .iter()
        .find_map(|word| text.strip_prefix(word))
        .unwrap_or(text);
    let (Some(number), rest) = (rest.get(..3), rest.get(3..).unwrap_or_default()) else { return false };
    let is_status = number.parse::<u16>().is_ok_and(|status| (400..600).contains(&status));
    let rest = rest.trim_start_matches([' ', '-', ':', '.', '–', '|']);
    is_status && (rest.is_empty() || ERRORS.iter().any(|error| rest.starts_with(error)))
}

#[cfg(test)]
mod tests {
    use super::super::page::Section;
    use super::*;

    fn page(title: &str, paragraphs: &[&str]) -> Page {
        let paragraphs: Vec<_> = paragraphs.iter().map(|text| (*text).to_owned()).collect();
        let mut page = Page { title: title.to_owned(), ..Page::default() };
        (page.signs.text, page.paragraphs) = (paragraphs.join(" "), paragraphs);
        page.signs.length = page.signs.text.chars().count();
        page
    }

    #[test]
    fn errors_are_told_from_names_that_begin_like_them() {
        for error in [
            "404",
            "error 404",
            "404 not found",
            "404 - page not found",
            "503 service temporarily unavailable",
            "page not found",
            "http error 500",
        ] {
            assert!(is_error(error), "{error}");
        }
        for name in ["404 media", "500 startups", "501 tools", "errorless", "404media", "20", ""] {
            assert!(!is_error(name), "{name}");
        }
    }

    #[test]
    fn what_has_words_of_its_own_is_read() {
        let own = "Norden builds pumps for wells and ponds, in Kiel.";
        for title in ["Just a moment...", "Coming soon", "Access Denied", "Norden"] {
            let long = format!("{own} ").repeat(30);
            assert_eq!(seen(&page(title, &[&long])), None, "{title}");
        }
        assert_eq!(seen(&page("Norden", &[own])), None);
        assert_eq!(seen(&page("404 Media", &[own])), None);
        assert_eq!(seen(&page("Just a Moment", &["A café in Leeds with twelve tables."])), None);
        let about =
            "Our article explains why a site says “verify you are human”, and what that costs its owners every year.";
        let mut vendor = page("Botwall – bot protection", &[about]);
        vendor.description = "Botwall tells people from bots.".to_owned();
        assert_eq!(seen(&vendor), None);
    }

    #[test]
    fn what_stands_in_a_company_s_place_is_named() {
        let waf = page("norden.example", &["Please verify you are a human to go on."]);
        assert_eq!(seen(&waf), Some(Seen::Challenge { who: None }));
        assert!(matches!(seen(&page("Page not found – Norden", &["It may have been moved."])), Some(Seen::Error(_))));
        assert_eq!(seen(&page("Index of /", &["pumps.pdf"])), Some(Seen::Listing));
        assert!(matches!(seen(&page("Welcome to nginx!", &["It is installed."])), Some(Seen::Default(_))));
        assert_eq!(seen(&page("norden.example", &["This domain is for sale."])), Some(Seen::Parked));
        assert!(matches!(seen(&page("Norden", &["Our website is under maintenance."])), Some(Seen::Maintenance(_))));
        let mut soon = page("Norden", &["Leave your address."]);
        soon.sections.push(Section { level: 1, heading: "Coming soon!".to_owned(), ..Section::default() });
        assert!(matches!(seen(&soon), Some(Seen::ComingSoon(_))));
        let mut app = page("Norden", &["You need to enable JavaScript to run this app."]);
        (app.signs.application, app.signs.scripts) = (true, true);
        assert_eq!(seen(&app), Some(Seen::Application { title: "Norden".to_owned() }));
        let nothing = Page { description: "Pumps.".to_owned(), ..page("Norden", &["Norden"]) };
        assert!(seen(&nothing).is_some_and(|seen| seen.to_string().contains("a title and a description alone")));
    }
}
