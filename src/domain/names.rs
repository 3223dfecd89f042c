//! What a letter may say of what people have written about a prospect: values that say something, and the name to greet by.
//!
//! Lists come from forms, exports and scraped pages. They hold `NULL`, `{{first_name}}`, tags of HTML, capitals all over, names
//! in every order. A letter that repeats such a value shows that nobody has looked; one that greets by a family name, or by
//! half of a name, is worse than one that greets by none. So what is not clear is left out.

use icu_properties::CodePointSetData;
use icu_properties::props::{DefaultIgnorableCodePoint, ExtendedPictographic};

use super::language::primary;
use super::text;

/// The longest name that is greeted by, in characters.
const LONGEST: usize = 40;

/// What stands in a field that has no value, in lower case.
const PLACEHOLDERS: [&str; 44] = [
    "#n/a",
    "#name?",
    "#null!",
    "#ref!",
    "#value!",
    "#wert!",
    "#nv",
    "(blank)",
    "(none)",
    "(unknown)",
    "-",
    "--",
    "---",
    ".",
    "..",
    "...",
    "?",
    "??",
    "_",
    "company",
    "company name",
    "company_name",
    "contact_name",
    "empty",
    "first name",
    "first_name",
    "firstname",
    "k. a.",
    "k.a.",
    "keine angabe",
    "last name",
    "n. a.",
    "n.a.",
    "n/a",
    "na",
    "nan",
    "nil",
    "none",
    "null",
    "tbd",
    "undefined",
    "unknown",
    "xxx",
    "无",
];

/// Signs of a place that nobody has filled.
const UNFILLED: [&str; 9] = ["{{", "}}", "{%", "%}", "${", "*|", "|*", "[[", "%%"];

/// Words before a name that are none, in lower case and without dots.
const TITLES: [&str; 46] = [
    "dr",
    "prof",
    "professor",
    "doctor",
    "doktor",
    "mr",
    "mrs",
    "ms",
    "miss",
    "mx",
    "sir",
    "dame",
    "lord",
    "lady",
    "rev",
    "herr",
    "frau",
    "hr",
    "fr",
    "mag",
    "ing",
    "dipl",
    "dipl-ing",
    "dipl-kfm",
    "univ-prof",
    "pd",
    "priv-doz",
    "hc",
    "med",
    "rer",
    "nat",
    "phil",
    "jur",
    "habil",
    "m",
    "mme",
    "mlle",
    "madame",
    "monsieur",
    "sr",
    "sra",
    "señor",
    "señora",
    "don",
    "doña",
    "capt",
];

/// How somebody has begun a letter in a field for a name, in lower case.
const SALUTATIONS: [&str; 7] = ["dear", "hi", "hello", "hallo", "hey", "liebe", "lieber"];

/// Titles that a family name alone can follow in a greeting.
const GREETED: [&str; 9] = ["dr", "prof", "professor", "mr", "mrs", "ms", "mx", "herr", "frau"];

/// What follows a name and is none, in lower case and without dots.
const DEGREES: [&str; 22] = [
    "phd", "md", "mba", "msc", "bsc", "ma", "ba", "llm", "llb", "jr", "sr", "ii", "iii", "iv", "esq", "cpa", "cfa",
    "pmp", "dds", "dvm", "mdl", "rn",
];

/// Words that begin a family name.
const PARTICLES: [&str; 26] = [
    "van", "von", "vom", "zu", "zum", "zur", "de", "der", "den", "del", "della", "di", "da", "dal", "do", "dos", "du",
    "des", "la", "le", "el", "al", "bin", "ibn", "ten", "ter",
];

/// Words that are of no person, in lower case.
const NO_PERSON: [&str; 62] = [
    "there",
    "madam",
    "or",
    "unknown",
    "null",
    "none",
    "test",
    "user",
    "anonymous",
    "deleted",
    "duplicate",
    "accounts",
    "payable",
    "not",
    "customer service",
    "accounting",
    "admin",
    "administration",
    "ag",
    "assistant",
    "bureau",
    "ceo",
    "co",
    "company",
    "contact",
    "corp",
    "customer",
    "department",
    "director",
    "einkauf",
    "empfang",
    "gbr",
    "geschäftsführung",
    "gmbh",
    "hello",
    "help",
    "hr",
    "inc",
    "info",
    "kg",
    "kontakt",
    "limited",
    "llc",
    "ltd",
    "manager",
    "marketing",
    "office",
    "ohg",
    "owner",
    "personal",
    "purchasing",
    "reception",
    "sales",
    "se",
    "sekretariat",
    "service",
    "support",
    "team",
    "the",
    "vertrieb",
    "webmaster",
    "zentrale",
];

/// The value as a letter may show it: on one line, without tags, entities, pictures and invisible characters; empty where it
/// says nothing.
pub fn told(value: &str) -> String {
    let value = text::tame(value);
    let trimmed = value.trim();
    let bracketed = ['[', '(', '{', '<'].into_iter().zip([']', ')', '}', '>']);
    if UNFILLED.iter().any(|sign| value.contains(sign))
        // "[Company]" is a place, "(deleted)" a remark, "=A1" a formula, an address of a page no name.
        || bracketed.into_iter().any(|(open, close)| trimmed.starts_with(open) && trimmed.ends_with(close) && trimmed.matches(open).count() == 1)
        || trimmed.starts_with(['=', '@'])
        || ["http://", "https://", "www."].iter().any(|start| trimmed.to_lowercase().starts_with(start) && !trimmed.contains(' '))
        || is_garbled(trimmed)
    {
        return String::new();
    }
    let value = without_tags(&value);
    let kept: String = value.chars().map(|c| if is_picture(c) { ' ' } else { c }).filter(|c| !is_hidden(*c)).collect();
    let value = kept.split_whitespace().collect::<Vec<_>>().join(" ");
    let value = value.trim_matches(['"', '\'', '`', ',', ';', '|', '<', '>']).trim();
    let says_nothing = PLACEHOLDERS.contains(&value.to_lowercase().as_str()) || !value.contains(char::is_alphabetic);
    if says_nothing { String::new() } else { value.to_owned() }
}

/// The name of a person as a letter may show it; empty where it is none.
pub fn person(name: &str) -> String {
    Some(told(name)).filter(|name| name.contains(char::is_alphabetic) && !name.contains('@')).unwrap_or_default()
}

/// A told value as it stands within a sentence of that language: nouns keep their capital in German alone.
pub fn within_sentence(value: &str, language: &str) -> String {
    let mut letters = value.chars();
    match letters.next() {
        // What has more capitals keeps them, such as `IT services` and `SaaS`.
        Some(first) if primary(language) != "de" && !letters.clone().any(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => value.to_owned(),
    }
}

/// UTF-8 that somebody has read as Windows-1252: "MÃ¼ller".
fn is_garbled(value: &str) -> bool {
    let chars: Vec<char> = value.chars().collect();
    chars.windows(2).any(|pair| matches!(pair, ['Ã' | 'Â', '\u{80}'..='\u{bf}' | '€' | 'Å' | 'Ÿ' | '„' | '‚']))
}

fn is_picture(c: char) -> bool {
    !c.is_ascii() && !matches!(c, '©' | '®' | '™') && CodePointSetData::new::<ExtendedPictographic>().contains(c)
        || matches!(c, '\u{1f1e6}'..='\u{1f1ff}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{20e3}' | '\u{fffd}')
}

/// What nobody sees; but for the joiners, which some scripts are written with.
fn is_hidden(c: char) -> bool {
    !matches!(c, '\u{200c}' | '\u{200d}') && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Without what stands in angle brackets as a tag does, and with the entities that exports write resolved.
fn without_tags(value: &str) -> String {
    let value = ["&nbsp;", "&#160;"].iter().fold(value.to_owned(), |value, space| value.replace(space, " "));
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&amp;", "&")];
    let mut value = entities.iter().fold(value, |value, (entity, sign)| value.replace(entity, sign));
    // What a browser runs or draws by is no text.
    for tag in ["script", "style"] {
        while let Some(at) = value.to_ascii_lowercase().find(&format!("<{tag}")) {
            let rest = value[at..].to_ascii_lowercase();
            let end = rest.find(&format!("</{tag}")).map_or(value.len(), |end| at + end);
            value.replace_range(at..end, "");
            if end == value.len() || at == end {
                break;
            }
        }
    }
    let mut out = String::with_capacity(value.len());
    while let Some((before, rest)) = value.split_once('<') {
        let is_tag = rest.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
        match rest.split_once('>').filter(|_| is_tag) {
            Some((_, after)) => {
                out.push_str(before);
                out.push(' ');
                value = after.to_owned();
            }
            None => {
                out.push_str(before);
                out.push(' ');
                value = rest.to_owned();
            }
        }
    }
    out + &value
}

/// The name to greet a person by who is written as `name`; empty where that is not clear.
pub fn greeting(name: &str) -> String {
    let Some(name) = plain(name) else { return String::new() };
    let name = name.as_str();
    if name.contains(is_han) {
        // The family name comes first, and both are said.
        return if name.chars().count() <= 6 && !name.contains(char::is_whitespace) {
            name.to_owned()
        } else {
            String::new()
        };
    }
    if !is_cased(name) {
        return String::new();
    }
    let found = match name.split_once(',') {
        Some((before, after)) => match words(after).iter().find(|word| !is_title(word) && !is_degree(word)) {
            // "Meier, Hans"; or "Hans Meier, PhD".
            Some(given) if is_given(given) => Some((*given).to_owned()),
            Some(_) => None,
            None => in_order(before),
        },
        None => in_order(name),
    };
    found.filter(|found| found.chars().count() <= LONGEST).unwrap_or_default()
}

/// The name alone, if it may be one person's.
pub(super) fn plain(name: &str) -> Option<String> {
    let name = told(name);
    let name = name.split(['(', '[', '{', '|']).next().unwrap_or_default().trim();
    let strange = |c: char| c.is_numeric() || "@&+:;=_!?*#<>/\\".contains(c);
    let is_one = !name.is_empty() && !name.contains(strange) && !is_several(name);
    is_one.then(|| name.to_owned())
}

/// Whether it is written in a script whose names have an order that can be told.
pub(super) fn is_cased(name: &str) -> bool {
    name.chars().all(|c| is_cased_script(c) || c.is_whitespace() || "'’-‑.,".contains(c) || is_mark(c))
}

/// Whether one of the words is of no person.
pub(super) fn is_no_person(words: &[&str]) -> bool {
    words.iter().any(|word| NO_PERSON.contains(&word.to_lowercase().trim_matches('.')))
}

/// Whether somebody has begun a letter with it, in a field for a name.
pub(super) fn is_salutation(word: &str) -> bool {
    SALUTATIONS.contains(&bare(word).as_str())
}

/// The word as a part of a family name.
pub(super) fn of_family(word: &str) -> String {
    if is_particle(word) { word.to_lowercase() } else { cased(word) }
}

pub(super) fn is_particle(word: &str) -> bool {
    PARTICLES.contains(&word.to_lowercase().as_str())
}

/// The given name of one that is written in its usual order.
fn in_order(name: &str) -> Option<String> {
    let mut all = words(name);
    all.retain(|word| !is_salutation(word));
    let rest: Vec<&str> = all.iter().copied().filter(|word| !is_title(word) && !is_degree(word)).collect();
    if is_no_person(&rest) {
        return None;
    }
    let (first, more) = rest.split_first()?;
    if more.is_empty() {
        let title = all.iter().find(|word| is_title(word));
        return match title {
            // "Dr. Okafor" is greeted so.
            Some(title) if GREETED.contains(&bare(title).as_str()) => {
                is_given(first).then(|| format!("{} {}", as_written(title), cased(first)))
            }
            Some(_) => None,
            // "MEIER" is a family name more often than not.
            None => (is_given(first) && !is_shouted(first)).then(|| cased(first)),
        };
    }
    // "ИВАНОВ Иван Иванович": the patronymic comes last.
    if more.len() == 2 && is_patronymic(more[1]) {
        return is_given(more[0]).then(|| cased(more[0]));
    }
    // "DUPONT Jean": the family name is the one in capitals.
    let quiet = rest.iter().position(|word| !is_shouted(word) && word.chars().count() > 1);
    let first = match quiet {
        Some(at) if at > 0 && rest[..at].iter().all(|word| is_shouted(word)) => rest[at],
        _ => first,
    };
    is_given(first).then(|| cased(first))
}

pub(super) fn is_patronymic(word: &str) -> bool {
    ["вич", "вна", "чна"].iter().any(|end| word.to_lowercase().ends_with(end))
}

pub(super) fn words(name: &str) -> Vec<&str> {
    name.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).collect()
}

/// In lower case, without dots.
pub(super) fn bare(word: &str) -> String {
    word.to_lowercase().replace('.', "")
}

pub(super) fn is_title(word: &str) -> bool {
    // "h.c." and the like; an initial has one letter.
    TITLES.contains(&bare(word).as_str()) && (word.chars().count() > 1 || word == "M") || word.matches('.').count() > 1
}

pub(super) fn is_degree(word: &str) -> bool {
    DEGREES.contains(&bare(word).as_str()) && word.chars().count() > 1
}

/// Whether it can be the name that somebody is called by: not an initial, not the beginning of a family name.
pub(super) fn is_given(word: &str) -> bool {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    letters > 1 && !word.contains('.') && !is_particle(word)
}

/// Two people, or a greeting that somebody has written for us.
fn is_several(name: &str) -> bool {
    let lower = name.to_lowercase();
    [" and ", " und ", " et ", " y ", " e ", " u. "].iter().any(|and| lower.contains(and))
}

pub(super) fn is_shouted(word: &str) -> bool {
    word.chars().filter(|c| c.is_uppercase()).count() > 1 && !word.contains(char::is_lowercase)
}

/// A title as people write it.
fn as_written(title: &str) -> String {
    let bare = cased(title.trim_end_matches('.'));
    if title.ends_with('.') || ["Dr", "Prof"].contains(&bare.as_str()) { bare + "." } else { bare }
}

/// `ANNA-LENA` and `anna-lena` as `Anna-Lena`; what has both cases stays.
pub(super) fn cased(word: &str) -> String {
    let (upper, lower) = (word.contains(char::is_uppercase), word.contains(char::is_lowercase));
    if upper && lower {
        return word.to_owned();
    }
    let mut begins = true;
    word.chars()
        .flat_map(|c| {
            let cased: String = if begins { c.to_uppercase().collect() } else { c.to_lowercase().collect() };
            begins = !c.is_alphabetic() && !is_mark(c);
            cased.chars().collect::<Vec<_>>()
        })
        .collect()
}

pub(super) fn is_han(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

/// Latin, Greek and Cyrillic, whose names are written in orders that can be told.
fn is_cased_script(c: char) -> bool {
    c.is_alphabetic()
        && matches!(c, 'A'..='Z' | 'a'..='z' | '\u{aa}'..='\u{24f}' | '\u{370}'..='\u{52f}' | '\u{1e00}'..='\u{1fff}')
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_greeted_by_the_name_they_are_called_by_or_by_none() {
        for (name, greeted) in [
            ("Anna Berg", "Anna"),
            ("Anna", "Anna"),
            ("Dr. Anna Berg", "Anna"),
            ("Prof. Dr. h.c. Anna von der Heide", "Anna"),
            ("Dipl.-Ing. Jörg Müller", "Jörg"),
            ("MEIER, Hans", "Hans"),
            ("Müller, Dr. Jörg", "Jörg"),
            ("JOHN SMITH", "John"),
            ("john smith", "John"),
            ("JEAN-PIERRE DUPONT", "Jean-Pierre"),
            ("DUPONT Jean", "Jean"),
            ("Jean DUPONT", "Jean"),
            ("Hans Meier, PhD", "Hans"),
            ("Smith, Jr.", "Smith"),
            ("Anna M. Berg", "Anna"),
            ("O'Neil, Sean", "Sean"),
            ("Kim Roth (she/her)", "Kim"),
            ("  Kim\u{200b}  Roth ", "Kim"),
            ("🌸 Anna Berg 🌸", "Anna"),
            ("<b>Anna</b> Berg", "Anna"),
            ("Иван Петров", "Иван"),
            ("Иванов Иван Иванович", "Иван"),
            ("李雷", "李雷"),
            ("Dr. Okafor", "Dr. Okafor"),
            ("Frau Meier", "Frau Meier"),
            // Not clear.
            ("", ""),
            ("NULL", ""),
            ("n/a", ""),
            ("{{first_name}}", ""),
            ("MEIER", ""),
            ("J. Smith", ""),
            ("J Smith", ""),
            ("VAN DER BERG", ""),
            ("von der Heide", ""),
            ("anna@example.com", ""),
            ("Anna & Bert Meier", ""),
            ("Anna und Bert Meier", ""),
            ("Sales Team", ""),
            ("Acme GmbH", ""),
            ("12345", ""),
            ("محمد علي", ""),
            ("🙂", ""),
            ("-", ""),
            ("<script>alert(1)</script>Eve Adams", "Eve"),
            ("Dear John", "John"),
            ("Dear Sir or Madam", ""),
            ("Hi there", ""),
            ("Unknown Unknown", ""),
            ("Test User", ""),
            ("Accounts Payable", ""),
            ("DO NOT CONTACT", ""),
            ("Hans Meier / Anna Schulz", ""),
        ] {
            assert_eq!(greeting(name), greeted, "{name:?}");
        }
    }

    #[test]
    fn a_value_within_a_sentence_is_written_as_its_language_does() {
        for (value, language, written) in [
            ("Insurance", "en", "insurance"),
            ("Field vegetables", "", "field vegetables"),
            ("IT services", "en", "IT services"),
            ("Assurances", "fr-CA", "assurances"),
            ("Gartenbau", "de", "Gartenbau"),
            ("国际贸易", "zh", "国际贸易"),
            ("", "", ""),
        ] {
            assert_eq!(within_sentence(value, language), written);
        }
    }

    #[test]
    fn a_value_that_says_nothing_is_none() {
        for (value, shown) in [
            ("Acme", "Acme"),
            ("  Acme\n& Sons ", "Acme & Sons"),
            ("Acme&amp;Sons", "Acme&Sons"),
            ("<p>Acme <br/>Tools</p>", "Acme Tools"),
            ("a < b", "a b"),
            ("Acme 🚀", "Acme"),
            ("Acme™", "Acme™"),
            ("\u{202e}Acme", "Acme"),
            ("ACME", "ACME"),
            ("NULL", ""),
            ("None", ""),
            ("#N/A", ""),
            ("undefined", ""),
            ("{{company}}", ""),
            ("*|COMPANY|*", ""),
            ("---", ""),
            ("🙂", ""),
            ("例子", "例子"),
            ("[Company]", ""),
            ("(deleted)", ""),
            ("https://www.acme.example/", ""),
            ("MÃ¼ller GmbH", ""),
            ("Müller GmbH", "Müller GmbH"),
            ("=cmd|' /C calc'!A0", ""),
            ("0", ""),
            ("Acme (Leeds)", "Acme (Leeds)"),
        ] {
            assert_eq!(told(value), shown, "{value:?}");
        }
    }
}
