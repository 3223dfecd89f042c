//! Whose website it is: the name that it gives itself, or none.
//!
//! The owner is its publisher, or the organisation that it names as itself; never the brand of what it sells. A name is never
//! made up from the address: a letter is signed with it.

use url::Url;

use super::page::{Entity, Page, Role};
use super::sources::FoundIn;
use crate::domain::text::{cut, is_chinese};

/// In characters.
const LONGEST: usize = 80;

/// A name, and the page and what of it says it.
pub(super) struct Named<'a> {
    pub name: String,
    pub page: &'a Page,
    pub found_in: FoundIn,
}

/// The organisation of the site, and the page that describes it, the home page first.
pub(super) fn owner(pages: &[Page]) -> Option<(&Entity, &Page)> {
    pages.iter().find_map(|page| owner_on(page, pages).map(|entity| (entity, page)))
}

/// The name that the site gives itself.
pub(super) fn name(pages: &[Page]) -> Option<Named<'_>> {
    let named = |name: &str, page, found_in| {
        let name = name.trim();
        (!name.is_empty() && !is_generic(name)).then(|| Named { name: cut(name, LONGEST).to_owned(), page, found_in })
    };
    let of_owner = || {
        let (entity, page) = owner(pages).filter(|(entity, _)| !entity.name.is_empty())?;
        let publisher = matches!(entity.role, Role::Publisher | Role::PublisherOfPage);
        named(&entity.name, page, if publisher { FoundIn::Publisher } else { FoundIn::Organization })
    };
    let of_website = || {
        let names = pages.iter().flat_map(|page| page.website_names.iter().map(move |name| (name, page)));
        names.filter(|(name, _)| is_short(name)).find_map(|(name, page)| named(name, page, FoundIn::Website))
    };
    // Of several, one has the title of the page in it.
    let of_site = || {
        pages.iter().find_map(|page| {
            let names = page.site_names.iter().filter(|name| !is_generic(name));
            named(names.min_by_key(|name| name.chars().count())?, page, FoundIn::SiteName)
        })
    };
    let of_application = || pages.iter().find_map(|page| named(&page.application_name, page, FoundIn::ApplicationName));
    let in_title = || named(&in_titles(pages)?, pages.first()?, FoundIn::Title);
    let of_copyright = || pages.iter().find_map(|page| named(holder(&page.copyright)?, page, FoundIn::Copyright));
    // A heading is a slogan more often than a name, unless something speaks for it.
    let in_heading = || {
        let home = pages.first()?;
        let heading = &home.sections.iter().find(|section| section.level == 1)?.heading;
        let speaks = is_like_host(heading, &home.url) || has_legal_form(heading) || is_subject(heading, home);
        (speaks && is_short(heading)).then(|| named(heading, home, FoundIn::Headings))?
    };
    let first = of_owner().or_else(of_website).or_else(of_site).or_else(of_application);
    first.or_else(in_title).or_else(of_copyright).or_else(in_heading)
}

fn owner_on<'a>(page: &'a Page, pages: &[Page]) -> Option<&'a Entity> {
    let of = |role: Role| page.organizations.iter().filter(move |entity| entity.role == role);
    let near = [Role::Publisher, Role::Subject, Role::OfSite, Role::PublisherOfPage];
    if let Some(entity) = near.into_iter().find_map(|role| of(role).next()) {
        return Some(entity);
    }
    // One that is only told of is the site's if there is no other, or if the site says its name elsewhere, too.
    let mut told = of(Role::Told);
    let first = told.next();
    let several = told.any(|other| first.is_some_and(|first| first.name != other.name));
    let is_said = |entity: &&Entity| is_said(&entity.name, pages);
    first.filter(|_| !several).or_else(|| of(Role::Told).find(is_said)).or_else(|| of(Role::OfOther).find(is_said))
}

/// Whether the site says the name in its titles, names, notices, or address.
fn is_said(name: &str, pages: &[Page]) -> bool {
    let wanted = plain(name);
    let says = |text: &str| !wanted.is_empty() && plain(text).contains(&wanted);
    pages.iter().any(|page| {
        says(&page.title)
            || page.site_names.iter().any(|name| says(name))
            || says(&page.copyright)
            || is_like_host(name, &page.url)
    })
}

/// The part of the home page's title that is most like a name, if one is.
fn in_titles(pages: &[Page]) -> Option<String> {
    let home = pages.first()?;
    let parts = parts(&home.title);
    let last = parts.len().saturating_sub(1);
    let scored = parts.iter().enumerate().filter_map(|(at, part)| {
        let foreign = home
            .products
            .iter()
            .map(|product| &product.name)
            .chain(&home.brands)
            .any(|name| plain(name) == plain(part));
        if is_generic(part) || foreign {
            return None;
        }
        Some((score(part, at == 0, at == last, pages), part))
    });
    // Of equals the first.
    let best = scored.rev().max_by_key(|(score, _)| *score);
    best.filter(|(score, _)| *score >= LIKE_A_NAME).map(|(_, part)| part.clone())
}

/// From this score on a part of a title is taken for a name.
const LIKE_A_NAME: i32 = 3;

/// What speaks for a part of a title being a name, and what against it.
fn score(part: &str, first: bool, last: bool, pages: &[Page]) -> i32 {
    let home = &pages[0];
    let words = part.split_whitespace().count();
    let mut score = if first { 3 } else { 0 } + if last { 2 } else { 0 };
    score += match words {
        0..=3 => 2,
        4..=5 => 1,
        _ => -4,
    };
    // What others say of it weighs more than its form.
    let shared = pages[1..].iter().any(|page| parts(&page.title).iter().any(|other| plain(other) == plain(part)));
    let held = pages.iter().filter_map(|page| holder(&page.copyright)).any(|holder| plain(holder) == plain(part));
    let told = pages.iter().flat_map(|page| &page.organizations).any(|entity| plain(&entity.name) == plain(part));
    for (says, weight) in [
        (shared, 5),
        (held, 8),
        (told, 5),
        (is_like_host(part, &home.url), 6),
        (has_legal_form(part), 6),
        (is_subject(part, home), 5),
    ] {
        score += if says { weight } else { 0 };
    }
    if part.ends_with(['.', '!', '?', '。', '！', '？', '…']) {
        score -= 6;
    }
    if !is_in_names_case(part) {
        score -= 6;
    }
    score
}

/// The parts of a title, without a welcome.
fn parts(title: &str) -> Vec<String> {
    let split = title.split(['|', '–', '—', '·', '•', '«', '»', '｜', '_', '‖']);
    let split = split
        .flat_map(|part| part.split(" - "))
        .flat_map(|part| part.split(": "))
        .flat_map(|part| part.split(" :: "))
        .flat_map(|part| part.split(" / "));
    // Chinese and Japanese have no spaces around a hyphen.
    let split = split.flat_map(|part| part.split(if part.contains(is_chinese) { '-' } else { '\0' }));
    let tidy = split.map(|part| {
        let part = part.trim();
        let welcomes = ["Welcome to ", "Willkommen bei ", "Bienvenue chez ", "Bienvenido a ", "欢迎光临", "欢迎来到"];
        let whom = welcomes.iter().find_map(|welcome| part.strip_prefix(welcome));
        whom.map_or(part, |whom| whom.trim_end_matches(['!', '！'])).trim().to_owned()
    });
    tidy.filter(|part| !part.is_empty()).collect()
}

/// Whether the home page's own words begin a sentence with it: "Norden builds pumps".
fn is_subject(part: &str, home: &Page) -> bool {
    let begins = |text: &str| {
        let rest = text.strip_prefix(part);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\'', '’', ',']) || !part.is_ascii())
    };
    part.chars().count() >= 2
        && std::iter::once(&home.description).chain(&home.paragraphs).any(|text| begins(text) && text != part)
}

/// Names have their words in upper case, but for small ones; one or two words may be all in lower case.
fn is_in_names_case(part: &str) -> bool {
    const SMALL: [&str; 30] = [
        "of", "and", "the", "de", "du", "des", "der", "die", "das", "la", "le", "les", "el", "los", "di", "da", "del",
        "van", "von", "vom", "und", "et", "y", "e", "&", "+", "n", "zu", "zum", "a",
    ];
    const NEVER: [&str; 26] = [
        "for", "für", "pour", "para", "per", "with", "mit", "avec", "con", "from", "your", "our", "we", "you", "best",
        "in", "aus", "ihr", "ihre", "unser", "unsere", "notre", "votre", "nuestro", "su", "to",
    ];
    let words: Vec<_> = part.split_whitespace().collect();
    let is_low = |word: &str| word.chars().next().is_some_and(char::is_lowercase);
    let never = words.iter().any(|word| NEVER.contains(&word.to_lowercase().as_str()));
    let low = words.iter().filter(|word| is_low(word) && !SMALL.contains(&word.to_lowercase().as_str())).count();
    !never && (low == 0 || (low == words.len() && low <= 2))
}

/// The ends and beginnings that the law gives to names.
fn has_legal_form(part: &str) -> bool {
    const FORMS: [&str; 34] = [
        "gmbh",
        "ag",
        "kg",
        "ohg",
        "ug",
        "e.k.",
        "ek",
        "se",
        "ltd",
        "limited",
        "llc",
        "llp",
        "inc",
        "incorporated",
        "corp",
        "corporation",
        "plc",
        "pty",
        "co",
        "sarl",
        "sas",
        "sa",
        "s.a.",
        "s.l.",
        "sl",
        "srl",
        "spa",
        "bv",
        "nv",
        "ab",
        "oy",
        "as",
        "aps",
        "sro",
    ];
    const CJK: [&str; 8] = ["公司", "集团", "株式会社", "有限会社", "製作所", "工厂", "厂", "事務所"];
    let ends = |word: &str| FORMS.contains(&word.to_lowercase().trim_end_matches(['.', ',']));
    let mut words = part.split_whitespace();
    let (count, last) = (words.clone().count(), words.next_back());
    (count > 1 && last.is_some_and(ends)) || CJK.iter().any(|form| part.ends_with(form) || part.starts_with(form))
}

/// "© 2026 Norden Pumpen GmbH. All rights reserved." → "Norden Pumpen GmbH".
fn holder(notice: &str) -> Option<&str> {
    let at =
        notice.find(['©', '\u{24b8}']).map(|at| at + '©'.len_utf8()).or_else(|| notice.find("(c)").map(|at| at + 3));
    let rest = notice.get(at?..)?;
    let is_year = |c: char| c.is_ascii_digit() || matches!(c, '-' | '–' | ',' | ' ' | '\u{a0}' | '.' | ':' | '|');
    let rest = rest.trim_start_matches(is_year);
    let rest = rest.strip_prefix("Copyright").unwrap_or(rest).trim_start_matches(is_year);
    let rest = rest.strip_prefix("by ").unwrap_or(rest);
    let lower = rest.to_ascii_lowercase();
    let stops = [
        "all rights",
        " alle rechte",
        " tous droits",
        "todos los",
        "版权",
        " powered by",
        " 20",
        " 19",
        " | ",
        " · ",
        " – ",
        " - ",
        ", ",
        ". ",
    ];
    let end = stops.iter().filter_map(|stop| lower.find(stop)).min().unwrap_or(rest.len());
    let name = rest.get(..end)?.trim().trim_end_matches(['.', ',', '|', '-', '–', '·']).trim();
    (name.chars().count() >= 2 && is_short(name)).then_some(name)
}

fn is_short(name: &str) -> bool {
    name.split_whitespace().count() <= 8 && name.chars().count() <= LONGEST
}

/// Whether the name and that of the host hold one another.
fn is_like_host(name: &str, url: &str) -> bool {
    let host = Url::parse(url).ok().and_then(|url| url.domain().map(str::to_owned)).unwrap_or_default();
    let host = host.strip_prefix("www.").unwrap_or(&host).split('.').next().map(plain).unwrap_or_default();
    let name = plain(name);
    name.len() > 2 && host.len() > 2 && (name.contains(&host) || host.contains(&name))
}

/// Letters and digits alone, in lower case.
fn plain(text: &str) -> String {
    text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
}

/// What stands where a name does, and is none.
pub(super) fn is_generic(name: &str) -> bool {
    const GENERIC: [&str; 62] = [
        "home",
        "homepage",
        "home page",
        "welcome",
        "start",
        "startseite",
        "start page",
        "index",
        "main",
        "main page",
        "untitled",
        "untitled document",
        "document",
        "new page",
        "page",
        "website",
        "web site",
        "my website",
        "my site",
        "my blog",
        "site title",
        "site",
        "react app",
        "vite app",
        "create next app",
        "next app",
        "vue app",
        "nuxt app",
        "svelte app",
        "angular app",
        "app",
        "test",
        "loading",
        "redirecting",
        "wordpress",
        "just another wordpress site",
        "accueil",
        "inicio",
        "willkommen",
        "bienvenue",
        "bienvenidos",
        "about",
        "about us",
        "contact",
        "contact us",
        "products",
        "services",
        "shop",
        "online shop",
        "store",
        "blog",
        "news",
        "login",
        "sign in",
        "official site",
        "official website",
        "首页",
        "主页",
        "网站首页",
        "ホーム",
        "トップページ",
        "главная",
    ];
    let name = name.trim().trim_end_matches(['.', '!', '…']).to_lowercase();
    GENERIC.contains(&name.as_str()) || (name.starts_with("vite + ") || name.starts_with("redirecting to"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_title(title: &str) -> Option<String> {
        name(&[Page { url: "http://127.0.0.1/".to_owned(), title: title.to_owned(), ..Page::default() }])
            .map(|named| named.name)
    }

    #[test]
    fn titles_give_names_and_slogans_do_not() {
        for (title, right) in [
            ("Norden Pumpen", Some("Norden Pumpen")),
            ("Home | Norden Pumpen", Some("Norden Pumpen")),
            ("Welcome to Norden Pumpen!", Some("Norden Pumpen")),
            ("Welcome to Norden Pumpen", Some("Norden Pumpen")),
            ("Norden Pumpen – Pumps for wells and ponds", Some("Norden Pumpen")),
            ("The pumps that run for you. | Norden", Some("Norden")),
            ("Brunnenpumpen aus Kiel - Norden Pumpen GmbH", Some("Norden Pumpen GmbH")),
            ("Pumps for wells and ponds", None),
            ("Ten years of warranty on every pump", None),
            ("acme tools", Some("acme tools")),
            ("Joe's Diner", Some("Joe's Diner")),
            ("House of Pumps & Wells", Some("House of Pumps & Wells")),
            ("华星传感器有限公司 - 首页", Some("华星传感器有限公司")),
            ("Home", None),
            ("React App", None),
            ("Vite + React", None),
            ("", None),
        ] {
            assert_eq!(of_title(title).as_deref(), right, "{title}");
        }
    }

    #[test]
    fn the_holder_of_a_copyright_is_found_in_its_notice() {
        for (notice, right) in [
            ("© 2026 Norden Pumpen GmbH. All rights reserved.", Some("Norden Pumpen GmbH")),
            ("Copyright © 2011–2026 Norden Pumpen | Imprint", Some("Norden Pumpen")),
            ("© Norden Pumpen 2026", Some("Norden Pumpen")),
            ("© 2026", None),
            ("All rights reserved", None),
        ] {
            assert_eq!(holder(notice), right, "{notice}");
        }
    }

    #[test]
    fn an_organisation_that_is_told_of_is_the_owner_if_nothing_speaks_against_it() {
        let entity = |name: &str, role| Entity { name: name.to_owned(), role, ..Entity::default() };
        let page = |organizations| Page { title: "Pump Shop Leeds".to_owned(), organizations, ..Page::default() };
        let found = |organizations| name(&[page(organizations)]).map(|named| named.name);
        assert_eq!(found(vec![entity("Norden", Role::Told)]).as_deref(), Some("Norden"));
        let two = vec![entity("Norden", Role::Told), entity("Pump Shop Leeds", Role::Told)];
        assert_eq!(found(two).as_deref(), Some("Pump Shop Leeds"), "the one that the title names");
        assert_eq!(found(vec![entity("Agency", Role::OfOther)]).as_deref(), Some("Pump Shop Leeds"));
        let both = vec![entity("Pump Shop Leeds", Role::Told), entity("Norden", Role::Publisher)];
        assert_eq!(found(both).as_deref(), Some("Norden"));
    }
}
