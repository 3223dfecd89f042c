//! Whom a campaign writes to: the rules that a start may give, who is left out by which, and which of the others are chosen.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::address;
use super::clock::Timestamp;
use super::email::EmailStatus;
use super::error::Violations;
use super::id::{EmailId, ProspectId};
use super::prospect::{Prospect, ProspectStatus};
use super::ranking::RankedProspect;
use super::text;

/// The most prospects that a start may name one by one; for more there are tags.
pub const MAX_IDS: usize = 1_000;
/// For how long nobody is written to again, unless a start says otherwise, and the longest that it may say.
pub const NOT_AGAIN_DAYS: u32 = 90;
pub const MAX_NOT_AGAIN_DAYS: u32 = 3_650;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Who may be chosen. An empty list means: whatever it is. Stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecipientRules {
    /// Has one of these tags.
    pub tags: Vec<String>,
    /// Has got as far as one of these.
    pub statuses: Vec<ProspectStatus>,
    /// Is in one of these industries, in whatever case.
    pub industries: Vec<String>,
    pub prospect_ids: Vec<ProspectId>,
    /// Came from one of these sources.
    pub sources: Vec<String>,
    /// Reads one of these languages: `de` stands for `de-AT` too.
    pub languages: Vec<String>,
    /// 0 to 100.
    pub min_score: u8,
    /// The most of one company; 0: any number.
    pub max_per_company: u32,
    /// Nobody who was written to within so many days; 0: that does not matter.
    pub not_again_days: u32,
}

/// What is known of a prospect besides itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub prospect: Prospect,
    /// Its address is not to be written to.
    pub suppressed: bool,
    /// When its mailbox was last written to, by whatever campaign and under whatever prospect.
    pub written: Option<Timestamp>,
    /// A live campaign has chosen it.
    pub in_campaign: bool,
}

/// Why somebody is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// Does not fit the filters.
    Filtered,
    Suppressed,
    Refused,
    Converted,
    /// A person has taken over.
    TakenOver,
    /// An older prospect has the same mailbox.
    Duplicate,
    WrittenRecently,
    /// Another live campaign has chosen it.
    InCampaign,
    LowScore,
    /// Others of its company are chosen.
    CompanyFull,
    /// Others fit better, and there are as many as there may be.
    BeyondMaximum,
}

/// Those that a rule has left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutOf {
    pub why: LeftOut,
    pub count: usize,
    /// The addresses of some.
    pub examples: Vec<String>,
}

/// A prospect that a campaign has chosen, with its e-mail once that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Its rank, from 0.
    pub position: u32,
    pub prospect: RankedProspect,
    pub email: Option<(EmailId, EmailStatus)>,
}

/// Who was left out by which rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many were looked at.
    pub seen: usize,
    by_rule: HashMap<LeftOut, (usize, Vec<String>)>,
}

/// Those chosen so far.
#[derive(Debug)]
pub struct Choice<'a> {
    rules: &'a RecipientRules,
    /// The most that are chosen.
    max: usize,
    /// The best first; among equals the one that was there first.
    chosen: Vec<(RankedProspect, (i64, ProspectId))>,
    pub counts: Counts,
}

/// How many of those that a rule leaves out are named.
const EXAMPLES: usize = 5;

/// Hosts whose users have nothing in common, so that their domain is no company.
const FREE_MAIL: [&str; 36] = [
    "126.com",
    "139.com",
    "163.com",
    "aol.com",
    "bluewin.ch",
    "email.com",
    "fastmail.com",
    "foxmail.com",
    "free.fr",
    "freenet.de",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hotmail.com",
    "icloud.com",
    "laposte.net",
    "live.com",
    "mail.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "orange.fr",
    "outlook.com",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "sina.com",
    "t-online.de",
    "web.de",
    "yahoo.com",
    "yandex.ru",
    "zoho.com",
];

// === impl RecipientRules ===

impl Default for RecipientRules {
    fn default() -> Self {
        Self {
            tags: Vec::new(),
            statuses: Vec::new(),
            industries: Vec::new(),
            prospect_ids: Vec::new(),
            sources: Vec::new(),
            languages: Vec::new(),
            min_score: 0,
            max_per_company: 0,
            not_again_days: NOT_AGAIN_DAYS,
        }
    }
}

impl RecipientRules {
    /// The same with its texts checked and trimmed. `path` is put before each field's name.
    pub fn check(mut self, v: &mut Violations, path: &str) -> Self {
        for (name, list) in [
            ("tags", &mut self.tags),
            ("industries", &mut self.industries),
            ("sources", &mut self.sources),
            ("languages", &mut self.languages),
        ] {
            *list = text::lines(v, &format!("{path}{name}"), list);
        }
        self
    }

    /// Why the prospect is not to be written to, whatever its score; None if it may be.
    pub fn leave_out(&self, candidate: &Candidate, now: Timestamp) -> Option<LeftOut> {
        let prospect = &candidate.prospect;
        if !self.fits(prospect) {
            return Some(LeftOut::Filtered);
        }
        if prospect.duplicate_of.is_some() {
            return Some(LeftOut::Duplicate);
        }
        if candidate.suppressed {
            return Some(LeftOut::Suppressed);
        }
        if prospect.fields.status == ProspectStatus::Converted {
            return Some(LeftOut::Converted);
        }
        if prospect.fields.manual_intervention {
            return Some(LeftOut::TakenOver);
        }
        if prospect.exclusion_reason().is_some() {
            return Some(LeftOut::Refused);
        }
        // Whoever has answered lately is in a conversation, in which a first letter would be the wrong one.
        let contact = candidate.written.max(prospect.replies.last_time);
        if self.written_recently(contact, now) {
            return Some(LeftOut::WrittenRecently);
        }
        candidate.in_campaign.then_some(LeftOut::InCampaign)
    }

    /// Whether a mailbox that was last written to then is not to be written to now.
    pub fn written_recently(&self, written: Option<Timestamp>, now: Timestamp) -> bool {
        let since = now.plus_seconds(-DAY_SECONDS * i64::from(self.not_again_days));
        self.not_again_days > 0 && written.is_some_and(|written| written >= since)
    }

    fn fits(&self, prospect: &Prospect) -> bool {
        let fields = &prospect.fields;
        let any = |list: &[String], text: &str| list.is_empty() || list.iter().any(|one| same(one, text));
        let speaks = |tag: &String| {
            let (tag, language) = (tag.to_lowercase(), fields.language.to_lowercase());
            language.strip_prefix(&tag).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
        };
        (self.tags.is_empty() || self.tags.iter().any(|tag| fields.tags.iter().any(|own| same(own, tag))))
            && (self.statuses.is_empty() || self.statuses.contains(&fields.status))
            && any(&self.industries, &fields.industry)
            && (self.prospect_ids.is_empty() || self.prospect_ids.contains(&prospect.id))
            && any(&self.sources, &fields.source)
            && (self.languages.is_empty() || self.languages.iter().any(speaks))
    }
}

fn same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// The company that an address belongs to, by its registrable domain (the Public Suffix List); None of a free mail host's.
pub fn company_of(email: &str) -> Option<String> {
    let domain = address::domain(email).to_lowercase();
    let registrable = psl::domain_str(&domain).unwrap_or(&domain);
    let is_free = FREE_MAIL.contains(&registrable)
        // Of those that have a domain in each country.
        || ["gmx.", "hotmail.", "live.", "outlook.", "yahoo."].iter().any(|host| registrable.starts_with(host));
    (!registrable.is_empty() && !is_free).then(|| registrable.to_owned())
}

// === impl Choice ===

impl<'a> Choice<'a> {
    pub fn new(rules: &'a RecipientRules, max: usize) -> Self {
        Self { rules, max, chosen: Vec::new(), counts: Counts::default() }
    }

    /// Looks at some more. `rank` says how well one fits.
    pub fn look(&mut self, candidates: Vec<Candidate>, now: Timestamp, rank: impl Fn(Prospect) -> RankedProspect) {
        for candidate in candidates {
            self.counts.seen += 1;
            if let Some(why) = self.rules.leave_out(&candidate, now) {
                self.counts.add(why, &candidate.prospect.fields.email);
                continue;
            }
            let age = (candidate.prospect.create_time.0, candidate.prospect.id.clone());
            let ranked = rank(candidate.prospect);
            if ranked.score < self.rules.min_score {
                self.counts.add(LeftOut::LowScore, &ranked.email);
            } else {
                self.chosen.push((ranked, age));
            }
        }
        self.keep_the_best();
    }

    /// Whoever is left out here stays out: only better ones can come.
    fn keep_the_best(&mut self) {
        self.chosen.sort_by(|(a, age), (b, than)| b.score.cmp(&a.score).then_with(|| age.cmp(than)));
        let mut of_company: HashMap<String, u32> = HashMap::new();
        let (rules, counts) = (self.rules, &mut self.counts);
        self.chosen.retain(|(ranked, _)| {
            if rules.max_per_company == 0 {
                return true;
            }
            let Some(company) = company_of(&ranked.email) else { return true };
            let others = of_company.entry(company).or_default();
            *others += 1;
            let fits = *others <= rules.max_per_company;
            if !fits {
                counts.add(LeftOut::CompanyFull, &ranked.email);
            }
            fits
        });
        for (ranked, _) in self.chosen.drain(self.chosen.len().min(self.max)..) {
            self.counts.add(LeftOut::BeyondMaximum, &ranked.email);
        }
    }

    /// The chosen, the best first.
    pub fn done(self) -> (Vec<RankedProspect>, Counts) {
        (self.chosen.into_iter().map(|(ranked, _)| ranked).collect(), self.counts)
    }
}

// === impl Counts ===

impl Counts {
    fn add(&mut self, why: LeftOut, email: &str) {
        let (count, examples) = self.by_rule.entry(why).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(email.to_owned());
        }
    }

    /// The rules that left somebody out, with how many and some of them.
    pub fn left_out(&self) -> Vec<LeftOutOf> {
        let of = |why| {
            let (count, examples) = self.by_rule.get(&why)?.clone();
            Some(LeftOutOf { why, count, examples })
        };
        LeftOut::ALL.into_iter().filter_map(of).collect()
    }

    /// How many have passed the filters.
    pub fn fitting(&self) -> usize {
        self.seen - self.by_rule.get(&LeftOut::Filtered).map_or(0, |(count, _)| *count)
    }
}

// === impl LeftOut ===

impl LeftOut {
    pub const ALL: [Self; 11] = [
        Self::Filtered,
        Self::Suppressed,
        Self::Refused,
        Self::Converted,
        Self::TakenOver,
        Self::Duplicate,
        Self::WrittenRecently,
        Self::InCampaign,
        Self::LowScore,
        Self::CompanyFull,
        Self::BeyondMaximum,
    ];

    /// Behind a number of prospects.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Filtered => "do not fit the filters",
            Self::Suppressed => "have an address that is not to be written to",
            Self::Refused => "have refused",
            Self::Converted => "have converted",
            Self::TakenOver => "are a person's, who has taken over",
            Self::Duplicate => "have the mailbox of an older prospect",
            Self::WrittenRecently => "were written to or have answered recently",
            Self::InCampaign => "are in another campaign that is live",
            Self::LowScore => "fit less well than the least score asks",
            Self::CompanyFull => "are of a company of which enough are chosen",
            Self::BeyondMaximum => "fit less well than those that were chosen",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::prospect::{ProspectFields, Replies};
    use super::*;

    const NOW: Timestamp = Timestamp(1_000 * DAY_SECONDS * 1_000_000);

    fn candidate(n: i64, fields: ProspectFields) -> Candidate {
        let prospect = Prospect {
            id: ProspectId::parse(&format!("pr_{n}")).expect("an id"),
            fields,
            emails_sent: 0,
            last_contact_time: None,
            replies: Replies::default(),
            create_time: Timestamp(n),
            update_time: Timestamp(n),
            deleted: None,
            duplicate_of: None,
            revision: 1,
        };
        Candidate { prospect, suppressed: false, written: None, in_campaign: false }
    }

    fn at(email: &str) -> ProspectFields {
        ProspectFields { email: email.to_owned(), ..Default::default() }
    }

    /// The score stands in the notes.
    fn rank(prospect: Prospect) -> RankedProspect {
        let score = prospect.fields.notes.parse().unwrap_or(0);
        let (company, email) = (String::new(), prospect.fields.email);
        RankedProspect { prospect_id: prospect.id, company, email, score, reasons: Vec::new() }
    }

    #[test]
    fn each_filter_lets_through_what_fits_one_of_its_values() {
        let list = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let prospect = candidate(
            1,
            ProspectFields {
                tags: list(&["Growers", "vip"]),
                industry: "Horticulture".into(),
                source: "fair".into(),
                language: "de-AT".into(),
                ..at("a@acme.example")
            },
        );
        let fits = |rules: RecipientRules| rules.leave_out(&prospect, NOW).is_none();
        let none = RecipientRules::default;
        assert!(fits(none()));
        assert!(fits(RecipientRules { tags: list(&["x", "growers"]), ..none() }));
        assert!(!fits(RecipientRules { tags: list(&["grower"]), ..none() }));
        assert!(fits(RecipientRules { industries: list(&["HORTICULTURE"]), ..none() }));
        assert!(!fits(RecipientRules { industries: list(&["insurance"]), ..none() }));
        assert!(fits(RecipientRules { sources: list(&["fair"]), ..none() }));
        assert!(!fits(RecipientRules { sources: list(&["web"]), ..none() }));
        assert!(fits(RecipientRules { languages: list(&["en", "DE"]), ..none() }));
        assert!(!fits(RecipientRules { languages: list(&["d"]), ..none() }));
        assert!(fits(RecipientRules { statuses: vec![ProspectStatus::Discovered], ..none() }));
        assert!(!fits(RecipientRules { statuses: vec![ProspectStatus::Replied], ..none() }));
        let ids = |id| vec![ProspectId::parse(id).expect("an id")];
        assert!(fits(RecipientRules { prospect_ids: ids("pr_1"), ..none() }));
        assert!(!fits(RecipientRules { prospect_ids: ids("pr_2"), ..none() }));
        // All of them together.
        assert!(!fits(RecipientRules { tags: list(&["vip"]), sources: list(&["web"]), ..none() }));
    }

    #[test]
    fn nobody_is_written_to_again_before_the_days_are_over() {
        let ago =
            |seconds: i64| Candidate { written: Some(NOW.plus_seconds(-seconds)), ..candidate(1, at("a@b.example")) };
        let rules = |days| RecipientRules { not_again_days: days, ..Default::default() };
        let why = |days, seconds| rules(days).leave_out(&ago(seconds), NOW);
        assert_eq!(why(90, 90 * DAY_SECONDS), Some(LeftOut::WrittenRecently));
        assert_eq!(why(90, 90 * DAY_SECONDS + 1), None);
        assert_eq!(why(1, 0), Some(LeftOut::WrittenRecently));
        assert_eq!(why(0, 0), None);
        let mut answered = candidate(1, at("a@b.example"));
        answered.prospect.replies.last_time = Some(NOW.plus_seconds(-DAY_SECONDS));
        assert_eq!(rules(90).leave_out(&answered, NOW), Some(LeftOut::WrittenRecently));
        assert_eq!(rules(90).leave_out(&candidate(1, at("a@b.example")), NOW), None);
        assert_eq!(RecipientRules::default().not_again_days, 90);
    }

    #[test]
    fn a_company_is_its_registrable_domain_and_a_free_mail_host_is_none() {
        for (email, company) in [
            ("a@mail.acme.co.uk", Some("acme.co.uk")),
            ("a@ACME.co.uk", Some("acme.co.uk")),
            ("a@Bücher.example", Some("xn--bcher-kva.example")),
            ("a@gmail.com", None),
            ("a@yahoo.co.jp", None),
            ("a@163.com", None),
            ("a@notgmail.com", Some("notgmail.com")),
        ] {
            assert_eq!(company_of(email).as_deref(), company, "{email}");
        }
    }

    #[test]
    fn the_best_are_chosen_in_whatever_order_they_are_looked_at() {
        let scored = |n, email: &str, score: u8| candidate(n, ProspectFields { notes: score.to_string(), ..at(email) });
        let all = [
            scored(1, "a@acme.example", 50),
            scored(2, "b@acme.example", 60),
            scored(3, "c@mail.acme.example", 70),
            scored(4, "d@gmail.com", 40),
            scored(5, "e@gmail.com", 40),
            scored(6, "f@gmail.com", 40),
            scored(7, "g@other.example", 10),
            scored(8, "h@third.example", 30),
        ];
        let rules = RecipientRules { min_score: 20, max_per_company: 2, ..Default::default() };
        let choose = |order: &[usize], page: usize| {
            let mut choice = Choice::new(&rules, 4);
            for some in order.chunks(page) {
                choice.look(some.iter().map(|n| all[*n].clone()).collect(), NOW, rank);
            }
            choice.done()
        };
        let (chosen, counts) = choose(&[0, 1, 2, 3, 4, 5, 6, 7], 8);
        let emails: Vec<_> = chosen.iter().map(|p| p.email.as_str()).collect();
        assert_eq!(emails, ["c@mail.acme.example", "b@acme.example", "d@gmail.com", "e@gmail.com"]);
        let told: Vec<_> = counts.left_out().iter().map(|of| (of.why, of.count)).collect();
        assert_eq!(told, [(LeftOut::LowScore, 1), (LeftOut::CompanyFull, 1), (LeftOut::BeyondMaximum, 2)]);
        assert_eq!((counts.seen, counts.fitting()), (8, 8));
        for (order, page) in [([7, 6, 5, 4, 3, 2, 1, 0], 1), ([3, 0, 7, 1, 5, 2, 4, 6], 3)] {
            let (again, counts) = choose(&order, page);
            assert_eq!(again, chosen);
            let left_out: usize = counts.left_out().iter().map(|of| of.count).sum();
            assert_eq!(left_out + again.len(), counts.seen);
        }
    }
}
