//! What a template can speak of.

use serde::Serialize;

use crate::domain::salutation::Salutation;
use crate::domain::website::WebsiteAnalysis;

/// What a letter is made of. What is not known is an empty text.
#[derive(Debug, Serialize)]
pub struct Values<'a> {
    /// That of the text, as the template names it.
    pub language: &'a str,
    pub salutation: Salutation,
    /// Who writes, in full sentences of the website, if they are in the letter's language.
    pub about: String,
    /// What is sold, without a full stop, if that is in the letter's language.
    pub offer: String,
    /// The first strong point, the same.
    pub strength: String,
    /// The prospect's industry within a sentence.
    pub field: String,
    /// The prospect's position, where the person is named.
    pub role: String,
    /// The sentence that the notes have for the letter.
    pub line: String,
    /// Name, position, company, address and website, a line each; the mailbox's signature, if it has one.
    pub signature: String,
    /// A sentence that offers a way out.
    pub way_out: &'static str,
    pub goal: &'a str,
    /// In full sentences.
    pub goal_detail: String,
    pub prospect: ProspectValues,
    pub sender: &'a Sender,
    /// What the tenant's configuration adds.
    pub data: &'a serde_json::Map<String, serde_json::Value>,
    pub website: &'a WebsiteAnalysis,
}

/// Who a letter is from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Sender {
    pub name: String,
    pub position: String,
    pub company: String,
    /// The From address.
    pub email: String,
    pub unsubscribe_email: String,
}

/// What a template can say about a prospect: what says something, and empty texts for the rest (`domain::names`).
#[derive(Debug, Default, Serialize)]
pub struct ProspectValues {
    pub contact_name: String,
    /// To greet by; empty where that is not clear.
    pub first_name: String,
    pub company: String,
    pub position: String,
    /// As it stands within a sentence.
    pub industry: String,
    pub location: String,
    pub notes: String,
}

/// The values by the names that templates use, and what each is, for people. `data` has what the configuration's
/// `template_data` has.
pub const VALUES: [(&str, &str); 30] = [
    ("language", "the language of the text"),
    ("salutation.formal", "the first line, such as \"Dear Ms Moreau,\"; never empty"),
    ("salutation.friendly", "the first line, such as \"Hello Claire,\"; never empty"),
    ("about", "who writes, in full sentences, as the website says it; empty in another language than the website's"),
    ("offer", "what is sold, without a full stop; the same"),
    ("strength", "the first strong point, without a full stop; the same"),
    ("field", "the prospect's industry within a sentence"),
    ("role", "the prospect's position, where a person is named"),
    ("line", "the line of the prospect's notes that begins with \"Letter:\""),
    ("signature", "the mailbox's signature, or name, company, address and website; never empty"),
    ("way_out", "a sentence that says how to get no more letters; never empty"),
    ("goal", "partnerships, customers or press"),
    ("goal_detail", "what the campaign says of its goal, in full sentences"),
    ("prospect.contact_name", "the person's name"),
    ("prospect.first_name", "the name to greet by"),
    ("prospect.company", "the company"),
    ("prospect.position", "what the person does there"),
    ("prospect.industry", "the company's industry within a sentence"),
    ("prospect.location", "where it is"),
    ("prospect.notes", "all notes"),
    ("sender.name", "who writes"),
    ("sender.position", "what that person does"),
    ("sender.company", "for which company; never empty"),
    ("sender.email", "the From address; never empty"),
    ("sender.unsubscribe_email", "where List-Unsubscribe points; never empty"),
    ("website.url", "the website; never empty"),
    ("website.business_name", "whose it is"),
    ("website.introduction", "its introduction, whatever its language"),
    ("website.selling_points", "a list of its strong points"),
    ("data", "the configuration's template_data"),
];

/// Whether a template may use the name: a value, a part of one, or what values are parts of.
pub(super) fn is_known(name: &str) -> bool {
    let is_part = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
    let is_open = |value: &str| value == "data" || value == "website.selling_points";
    name == "website"
        || OF_WEBSITE.iter().any(|field| name.strip_prefix("website.") == Some(field))
        || VALUES
            .iter()
            .any(|(value, _)| name == *value || is_part(value, name) || is_open(value) && is_part(name, value))
}

/// What else a website has.
const OF_WEBSITE: [&str; 7] =
    ["product_type", "language", "industry", "audiences", "pages", "logo_url", "benchmark_brands"];

/// All names, for people.
pub(super) fn names() -> String {
    VALUES.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_that_is_named_is_there_and_each_that_is_there_is_named() {
        let (sender, data, website) = (Sender::default(), serde_json::Map::new(), WebsiteAnalysis::default());
        let values = Values {
            language: "en",
            salutation: Salutation { formal: String::new(), friendly: String::new() },
            about: String::new(),
            offer: String::new(),
            strength: String::new(),
            field: String::new(),
            role: String::new(),
            line: String::new(),
            signature: String::new(),
            way_out: "",
            goal: "",
            goal_detail: String::new(),
            prospect: ProspectValues::default(),
            sender: &sender,
            data: &data,
            website: &website,
        };
        let json = serde_json::to_value(&values).expect("JSON");
        let mut there = Vec::new();
        for (name, value) in json.as_object().expect("an object") {
            match value.as_object().filter(|_| name != "data") {
                Some(parts) => there.extend(parts.keys().map(|part| format!("{name}.{part}"))),
                None => there.push(name.clone()),
            }
        }
        for (name, _) in VALUES {
            assert!(there.iter().any(|found| found == name), "{name}");
        }
        // Where each fact of the website stands is of no use in a letter.
        let unknown: Vec<_> = there.iter().filter(|name| !is_known(name)).collect();
        assert_eq!(unknown, ["website.sources"]);
        assert!(
            is_known("prospect")
                && is_known("data.phone.office")
                && !is_known("prospect.compny")
                && !is_known("prospects")
        );
    }
}
