//! How well a prospect fits a strategy, with the reasons in words.
//!
//! A sum of plain rules, so that a person can follow it: industry up to 35, role up to 25, keywords up to 20, place 10,
//! and 5 each for the company's size, a known name and known facts to write about. 100 at most.

use serde::{Deserialize, Serialize};

use super::id::ProspectId;
use super::prospect::Prospect;
use super::strategy::SearchStrategy;
use super::text::{self, words};

/// A score and what speaks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// 0 to 100.
    pub score: u8,
    pub reasons: Vec<String>,
}

/// A prospect that a campaign has chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankedProspect {
    pub prospect_id: ProspectId,
    pub company: String,
    pub email: String,
    /// 0 to 100.
    pub score: u8,
    pub reasons: Vec<String>,
}

pub fn fit(prospect: &Prospect, strategy: &SearchStrategy) -> Fit {
    let fields = &prospect.fields;
    let mut score = 0;
    let mut reasons = Vec::new();
    let mut count = |points: u8, reason: Option<String>| {
        score += points;
        reasons.extend(reason);
    };

    let about = [&fields.industry, &fields.company, &fields.notes].map(|t| t.to_lowercase()).join(" ");
    let tags = fields.tags.join(" ").to_lowercase();

    if let Some((rank, industry)) = best(&strategy.industries, |i| same_words(&fields.industry, i)) {
        count(35 - rank.min(5) * 2, Some(format!("in an industry you look for: {industry}")));
    } else if let Some((rank, industry)) = best(&strategy.industries, |i| shares_word(&format!("{about} {tags}"), i)) {
        count(22 - rank.min(5) * 2, Some(format!("close to an industry you look for: {industry}")));
    }

    if let Some((rank, role)) = best(&strategy.roles, |r| same_words(&fields.position, r)) {
        count(25 - rank.min(5), Some(format!("{} fits the role {role}", text::cut(&fields.position, 80))));
    }

    let matching: Vec<_> =
        strategy.keywords.iter().filter(|k| has_word(&about, k) || has_word(&tags, k)).take(4).collect();
    if !matching.is_empty() {
        let list = matching.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", ");
        count(5 * u8::try_from(matching.len()).unwrap_or(4), Some(format!("mentions {list}")));
    }

    if !strategy.location.is_empty() && fields.location.to_lowercase().contains(&strategy.location.to_lowercase()) {
        count(10, Some(format!("in {}", fields.location)));
    }
    if !strategy.company_size.is_empty() && fields.business_size.eq_ignore_ascii_case(&strategy.company_size) {
        count(5, Some(format!("of the size you look for: {}", strategy.company_size)));
    }
    if !fields.contact_name.is_empty() {
        count(5, None);
    }
    if !fields.notes.is_empty() {
        count(5, None);
    }
    Fit { score: score.min(100), reasons }
}

/// The first entry that matches, with its rank.
fn best(list: &[String], matches: impl Fn(&str) -> bool) -> Option<(u8, &str)> {
    let found = list.iter().enumerate().find(|(_, entry)| matches(entry))?;
    Some((u8::try_from(found.0).unwrap_or(u8::MAX), found.1))
}

/// Whether one text's words are all among the other's: "Head of Marketing" and "marketing" match.
fn same_words(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let split = |t: &str| {
        t.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let (a, b) = (split(&a), split(&b));
    let within = |x: &[String], y: &[String]| !x.is_empty() && x.iter().all(|w| y.iter().any(|v| same_word(v, w)));
    within(&a, &b) || within(&b, &a)
}

fn shares_word(text: &str, entry: &str) -> bool {
    words(entry).iter().any(|w| has_word(text, w))
}

/// Whether the lower-case text has the word, in the singular or the plural. Scripts without spaces match anywhere.
fn has_word(text: &str, word: &str) -> bool {
    if !word.is_ascii() || word.contains(' ') {
        return text.contains(word);
    }
    text.split(|c: char| !c.is_alphanumeric() && c != '-').any(|w| same_word(w, word))
}

fn same_word(a: &str, b: &str) -> bool {
    stem(a) == stem(b)
}

/// Without the ending of an English plural: tomatoes, boxes, growers.
fn stem(word: &str) -> &str {
    let takes_es = |stem: &&str| ["o", "x", "ch", "sh", "ss"].iter().any(|end| stem.ends_with(end));
    let es = word.strip_suffix("es").filter(takes_es);
    es.or_else(|| word.strip_suffix('s')).filter(|stem| stem.len() > 2).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::super::clock::Timestamp;
    use super::super::prospect::{ProspectFields, Replies};
    use super::*;

    fn prospect(fields: ProspectFields) -> Prospect {
        let id = ProspectId::parse("p").expect("an id");
        let t = Timestamp(0);
        Prospect {
            id,
            fields,
            emails_sent: 0,
            last_contact_time: None,
            replies: Replies::default(),
            create_time: t,
            update_time: t,
            deleted: None,
            duplicate_of: None,
            revision: 1,
        }
    }

    fn strategy() -> SearchStrategy {
        SearchStrategy {
            industries: vec!["Greenhouse growers".into(), "Horticulture".into()],
            roles: vec!["Operations".into(), "CEO".into()],
            keywords: vec!["greenhouse".into(), "tomatoes".into(), "番茄".into()],
            location: "Netherlands".into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_good_fit_says_why() {
        let fit = fit(
            &prospect(ProspectFields {
                industry: "Horticulture".into(),
                position: "Head of Operations".into(),
                location: "Venlo, Netherlands".into(),
                contact_name: "Daan Vos".into(),
                notes: "Grows tomato under glass in two greenhouses".into(),
                ..Default::default()
            }),
            &strategy(),
        );
        assert_eq!(fit.score, 33 + 25 + 10 + 10 + 5 + 5);
        assert_eq!(
            fit.reasons,
            [
                "in an industry you look for: Horticulture",
                "Head of Operations fits the role Operations",
                "mentions greenhouse, tomatoes",
                "in Venlo, Netherlands",
            ]
        );
    }

    #[test]
    fn a_poor_fit_has_no_reasons() {
        let fit = fit(&prospect(ProspectFields { industry: "Banking".into(), ..Default::default() }), &strategy());
        assert_eq!(fit, Fit { score: 0, reasons: vec![] });
    }

    #[test]
    fn words_match_whole_and_chinese_anywhere() {
        assert!(!has_word("ceometry", "ceo"));
        assert!(has_word("我们种植番茄和黄瓜", "番茄"));
        assert!(same_words("CEO", "ceo") && !same_words("", "ceo"));
    }
}
