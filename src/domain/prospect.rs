//! Prospects: people at companies who may be written to.

use super::address;
use super::calendar;
use super::clock::Timestamp;
use super::digest;
use super::error::Violations;
use super::id::{CampaignId, ProspectId};
use super::language;
use super::mask::Mask;
use super::named_enum::named_enum;
use super::names;
use super::paging::RowCursor;
use super::reply::{Engagement, Intent};
use super::template::ProspectValues;
use super::text;

/// The most rows of one batch.
pub const MAX_BATCH: usize = 1_000;

named_enum! {
    /// How far things have gone with a prospect.
    #[derive(Default)]
    pub enum ProspectStatus {
        #[default]
        Discovered = "discovered",
        Contacted = "contacted",
        Replied = "replied",
        Converted = "converted",
    }
}

/// What a tenant may write about a prospect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProspectFields {
    pub email: String,
    pub company: String,
    pub contact_name: String,
    pub position: String,
    pub industry: String,
    pub location: String,
    pub business_size: String,
    pub source: String,
    pub source_url: String,
    pub notes: String,
    pub tags: Vec<String>,
    pub language: String,
    pub status: ProspectStatus,
    /// In percent; None where nobody has said.
    pub conversion_probability: Option<u8>,
    /// 0 to 100, the most urgent first.
    pub priority_score: u8,
    pub next_action: String,
    pub potential_interest: String,
    pub discovery_context: String,
    /// A person has taken over.
    pub manual_intervention: bool,
    pub auto_reply_enabled: bool,
    /// A name of the IANA database; empty: nobody knows.
    pub time_zone: String,
}

/// A prospect as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospect {
    pub id: ProspectId,
    pub fields: ProspectFields,
    pub emails_sent: u32,
    pub last_contact_time: Option<Timestamp>,
    pub replies: Replies,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
    /// When it was deleted, and when it is purged.
    pub deleted: Option<Deleted>,
    /// The older prospect of the same mailbox, where two were made before both spellings had one key.
    pub duplicate_of: Option<ProspectId>,
    pub revision: i64,
}

/// What a prospect has answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replies {
    /// Those that people wrote.
    pub received: u32,
    /// The beginning of the last one.
    pub last: String,
    pub last_time: Option<Timestamp>,
    /// What the last one wants that says whether its writer wants more.
    pub decided: Option<Intent>,
}

/// When a prospect was deleted, and when it is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    pub time: Timestamp,
    pub purge_time: Timestamp,
}

/// Which prospects a list holds: those that fit all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProspectFilter {
    pub status: Option<ProspectStatus>,
    pub campaign: Option<CampaignId>,
    pub tag: Option<String>,
    pub industry: Option<String>,
    /// A part of the name, the company or the address.
    pub query: Option<String>,
    pub engagement: Option<Engagement>,
    pub show_deleted: bool,
    pub order: ProspectOrder,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProspectOrder {
    #[default]
    Newest,
    MostUrgent,
}

/// The paths that an update mask may name.
pub const FIELDS: &[&str] = &[
    "email",
    "company",
    "contact_name",
    "position",
    "industry",
    "location",
    "business_size",
    "source",
    "source_url",
    "notes",
    "tags",
    "language",
    "status",
    "conversion_probability",
    "priority_score",
    "next_action",
    "potential_interest",
    "discovery_context",
    "manual_intervention",
    "auto_reply_enabled",
    "time_zone",
];

/// What a line of the notes begins with that is meant for the letter.
const FOR_LETTER: &str = "letter";
/// The longest beginning of a reply that is kept with the prospect, in characters.
pub const LAST_REPLY: usize = 1_000;
/// The longest texts: a sentence or two, and a page.
const SENTENCES: usize = 1_000;
const PAGE: usize = 4_000;

// === impl ProspectFields ===

impl ProspectFields {
    /// Checks and trims the fields that the mask names; the others stay as they are and must not be used.
    ///
    /// `path` is put before each field's name, such as `prospects[3].`.
    pub fn check(self, v: &mut Violations, path: &str, mask: &Mask) -> Self {
        let mut out = self;
        let field = |name: &str| format!("{path}{name}");
        if mask.has("email") {
            out.email = v.take(&field("email"), address::parse(&out.email)).unwrap_or_default();
        }
        let short: [(&str, &mut String); 7] = [
            ("company", &mut out.company),
            ("contact_name", &mut out.contact_name),
            ("position", &mut out.position),
            ("industry", &mut out.industry),
            ("location", &mut out.location),
            ("business_size", &mut out.business_size),
            ("source", &mut out.source),
        ];
        for (name, value) in short {
            if mask.has(name) {
                *value = text::line(v, &field(name), value, text::SHORT);
            }
        }
        if mask.has("source_url") && !out.source_url.trim().is_empty() {
            let url = v.take(&field("source_url"), text::web_url(&out.source_url));
            out.source_url = url.map(|_| out.source_url.trim().to_owned()).unwrap_or_default();
        }
        let long: [(&str, &mut String, usize); 4] = [
            ("notes", &mut out.notes, PAGE),
            ("discovery_context", &mut out.discovery_context, PAGE),
            ("next_action", &mut out.next_action, SENTENCES),
            ("potential_interest", &mut out.potential_interest, SENTENCES),
        ];
        for (name, value, max) in long {
            if mask.has(name) {
                *value = text::bounded(v, &field(name), value, max);
            }
        }
        if mask.has("tags") {
            out.tags = text::lines(v, &field("tags"), &out.tags);
        }
        if mask.has("language") {
            out.language = out.language.trim().to_owned();
            if !language::is_tag(&out.language) {
                v.add(field("language"), "must be an IETF language tag such as en or zh-CN");
            }
        }
        if mask.has("time_zone") {
            out.time_zone = v.take(&field("time_zone"), calendar::parse_zone(&out.time_zone)).unwrap_or_default();
        }
        out
    }

    /// Takes over the fields that the mask names.
    pub fn merge(&mut self, from: &Self, mask: &Mask) {
        let texts: [(&str, &mut String, &String); 15] = [
            ("email", &mut self.email, &from.email),
            ("company", &mut self.company, &from.company),
            ("contact_name", &mut self.contact_name, &from.contact_name),
            ("position", &mut self.position, &from.position),
            ("industry", &mut self.industry, &from.industry),
            ("location", &mut self.location, &from.location),
            ("business_size", &mut self.business_size, &from.business_size),
            ("source", &mut self.source, &from.source),
            ("source_url", &mut self.source_url, &from.source_url),
            ("notes", &mut self.notes, &from.notes),
            ("language", &mut self.language, &from.language),
            ("next_action", &mut self.next_action, &from.next_action),
            ("potential_interest", &mut self.potential_interest, &from.potential_interest),
            ("discovery_context", &mut self.discovery_context, &from.discovery_context),
            ("time_zone", &mut self.time_zone, &from.time_zone),
        ];
        for (name, value, new) in texts {
            if mask.has(name) {
                value.clone_from(new);
            }
        }
        if mask.has("tags") {
            self.tags.clone_from(&from.tags);
        }
        if mask.has("status") {
            self.status = from.status;
        }
        if mask.has("conversion_probability") {
            self.conversion_probability = from.conversion_probability;
        }
        if mask.has("priority_score") {
            self.priority_score = from.priority_score;
        }
        if mask.has("manual_intervention") {
            self.manual_intervention = from.manual_intervention;
        }
        if mask.has("auto_reply_enabled") {
            self.auto_reply_enabled = from.auto_reply_enabled;
        }
    }

    /// What a search looks through: name, company and address, in lower case.
    pub fn search_key(&self) -> String {
        format!("{}\n{}\n{}", self.contact_name, self.company, self.email).to_lowercase()
    }

    /// What a letter in that language may say of it.
    pub fn values(&self, language: &str) -> ProspectValues {
        ProspectValues {
            contact_name: names::person(&self.contact_name),
            first_name: names::greeting(&self.contact_name),
            company: names::told(&self.company),
            position: names::told(&self.position),
            industry: names::within_sentence(&names::told(&self.industry), language),
            location: names::told(&self.location),
            notes: names::told(&self.notes),
        }
    }

    /// The line of the notes that is meant for the letter, which begins with `Letter:`.
    pub fn line_for_letter(&self) -> String {
        let meant = self.notes.lines().find_map(|line| {
            let (name, text) = line.trim().split_once([':', '：'])?;
            name.trim().eq_ignore_ascii_case(FOR_LETTER).then(|| names::told(text))
        });
        meant.unwrap_or_default()
    }
}

// === impl Prospect ===

impl Prospect {
    /// Changes whenever the prospect does, and is another one for every tenant and prospect.
    pub fn etag(&self, tenant: &str) -> String {
        digest::etag(tenant, "prospect", self.id.as_str(), self.revision)
    }

    /// Where it stands in a list of that order.
    pub fn place(&self, order: ProspectOrder) -> RowCursor {
        let at = match order {
            ProspectOrder::Newest => self.create_time.0,
            ProspectOrder::MostUrgent => i64::from(self.fields.priority_score),
        };
        RowCursor { at, id: self.id.to_string() }
    }

    pub fn engagement(&self) -> Engagement {
        Engagement::of(self.emails_sent, self.replies.received, self.replies.decided)
    }

    /// Why campaigns do not write to it; None if they may.
    pub fn exclusion_reason(&self) -> Option<&'static str> {
        if self.deleted.is_some() {
            Some("the prospect was deleted")
        } else if self.duplicate_of.is_some() {
            Some("another prospect has the same mailbox")
        } else if self.fields.status == ProspectStatus::Converted {
            Some("the prospect has converted")
        } else if self.fields.manual_intervention {
            Some("a person has taken over")
        } else if self.engagement() == Engagement::NotInterested {
            Some("the prospect has refused")
        } else {
            None
        }
    }
}

// === impl ProspectOrder ===

impl ProspectOrder {
    /// As the API writes it (AIP-132); the first for an empty text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] | ["create_time", "desc"] => Ok(Self::Newest),
            ["priority_score", "desc"] => Ok(Self::MostUrgent),
            _ => Err("must be `create_time desc` or `priority_score desc`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_masked_fields_are_checked_and_taken() {
        let mut v = Violations::default();
        let mask = Mask::parse(&["company".to_owned()], FIELDS, Vec::new()).expect("known");
        let input = ProspectFields { email: "bad".into(), company: " Acme ".into(), ..Default::default() };
        let checked = input.check(&mut v, "prospect.", &mask);
        v.done().expect("the bad e-mail is not in the mask");
        let mut row = ProspectFields { email: "a@example.com".into(), ..Default::default() };
        row.merge(&checked, &mask);
        assert_eq!((row.email.as_str(), row.company.as_str()), ("a@example.com", "Acme"));
    }

    #[test]
    fn one_line_of_the_notes_is_meant_for_the_letter() {
        for (notes, line) in [
            ("Pays late.\nLetter: Kim Roth suggested that we write.\nLetter: no", "Kim Roth suggested that we write."),
            ("letter：李雷建议我们联系您。", "李雷建议我们联系您。"),
            ("A letter: is not meant", ""),
            ("Letter: {{name}}", ""),
            ("", ""),
        ] {
            let fields = ProspectFields { notes: notes.to_owned(), ..Default::default() };
            assert_eq!(fields.line_for_letter(), line, "{notes}");
        }
    }
}
