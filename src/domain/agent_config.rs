//! What a tenant's campaigns go by.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::digest;
use super::email;
use super::error::Violations;
use super::id::TemplateId;
use super::mask::Mask;
use super::state::Goal;
use super::text;

/// The longest goal in the tenant's own words, in characters.
pub const MAX_GOAL_DETAIL: usize = 1_000;

/// The settings themselves; stored as one JSON text, so that a field is added without a migration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSettings {
    pub target_website: String,
    pub goal: Goal,
    pub goal_detail: String,
    pub sender: Sender,
    pub industries: Vec<String>,
    pub roles: Vec<String>,
    pub keywords: Vec<String>,
    pub location: String,
    pub template_id: Option<TemplateId>,
    pub auto_approve: bool,
}

/// Who the e-mails come from. Empty fields are filled from the website.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sender {
    pub name: String,
    pub position: String,
    pub company: String,
    pub email: String,
    pub unsubscribe_email: String,
}

/// The settings and when they last changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentConfig {
    pub settings: AgentSettings,
    /// 0 until the first change.
    pub revision: i64,
    pub update_time: Option<Timestamp>,
}

/// The paths that an update mask may name.
pub const FIELDS: &[&str] = &[
    "target_website",
    "goal",
    "goal_detail",
    "sender.name",
    "sender.position",
    "sender.company",
    "sender.email",
    "sender.unsubscribe_email",
    "industries",
    "roles",
    "keywords",
    "location",
    "template_id",
    "auto_approve",
];

// === impl AgentConfig ===

impl AgentConfig {
    pub fn etag(&self, tenant: &str) -> String {
        digest::etag(tenant, "agent_config", "", self.revision)
    }
}

// === impl AgentSettings ===

impl AgentSettings {
    /// Checks and trims the fields that the mask names. The template is checked by whoever knows the templates.
    pub fn check(self, v: &mut Violations, mask: &Mask) -> Self {
        let mut out = self;
        if mask.has("target_website") && !out.target_website.trim().is_empty() {
            let url = v.take("config.target_website", text::web_url(&out.target_website));
            out.target_website = url.map(String::from).unwrap_or_default();
        }
        if mask.has("goal_detail") {
            out.goal_detail = text::line(v, "config.goal_detail", &out.goal_detail, MAX_GOAL_DETAIL);
        }
        let lines: [(&str, &mut String); 4] = [
            ("sender.name", &mut out.sender.name),
            ("sender.position", &mut out.sender.position),
            ("sender.company", &mut out.sender.company),
            ("location", &mut out.location),
        ];
        for (name, value) in lines {
            if mask.has(name) {
                *value = text::line(v, &format!("config.{name}"), value, text::SHORT);
            }
        }
        let addresses: [(&str, &mut String); 2] =
            [("sender.email", &mut out.sender.email), ("sender.unsubscribe_email", &mut out.sender.unsubscribe_email)];
        for (name, value) in addresses {
            if mask.has(name) && !value.trim().is_empty() {
                *value = v.take(&format!("config.{name}"), email::parse_address(value)).unwrap_or_default();
            }
        }
        let lists: [(&str, &mut Vec<String>); 3] =
            [("industries", &mut out.industries), ("roles", &mut out.roles), ("keywords", &mut out.keywords)];
        for (name, value) in lists {
            if mask.has(name) {
                *value = text::lines(v, &format!("config.{name}"), value);
            }
        }
        out
    }

    /// Takes over the fields that the mask names.
    pub fn merge(&mut self, from: &Self, mask: &Mask) {
        macro_rules! take {
            ($($path:literal => $($field:ident).+;)*) => {
                $(if mask.has($path) { self.$($field).+.clone_from(&from.$($field).+); })*
            };
        }
        take! {
            "target_website" => target_website;
            "goal" => goal;
            "goal_detail" => goal_detail;
            "sender.name" => sender.name;
            "sender.position" => sender.position;
            "sender.company" => sender.company;
            "sender.email" => sender.email;
            "sender.unsubscribe_email" => sender.unsubscribe_email;
            "industries" => industries;
            "roles" => roles;
            "keywords" => keywords;
            "location" => location;
            "template_id" => template_id;
            "auto_approve" => auto_approve;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_mask_is_merged() {
        let full = AgentSettings {
            target_website: "https://example.com/".into(),
            goal: Goal::Press,
            goal_detail: "d".into(),
            sender: Sender {
                name: "n".into(),
                position: "p".into(),
                company: "c".into(),
                email: "e@example.com".into(),
                unsubscribe_email: "u@example.com".into(),
            },
            industries: vec!["i".into()],
            roles: vec!["r".into()],
            keywords: vec!["k".into()],
            location: "l".into(),
            template_id: TemplateId::parse("t").ok(),
            auto_approve: true,
        };
        let mut all = AgentSettings::default();
        for path in FIELDS {
            let mask = Mask::parse(&[(*path).to_owned()], FIELDS, Vec::new()).expect("known");
            let before = all.clone();
            all.merge(&full, &mask);
            assert_ne!(before, all, "{path} is merged");
        }
        assert_eq!(all, full, "nothing is left out");
    }
}
