//! What a tenant's campaigns go by.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::address;
use super::clock::Timestamp;
use super::digest;
use super::error::Violations;
use super::id::TemplateId;
use super::mask::Mask;
use super::state::Goal;
use super::text;
use super::website::{Audience, WebsiteAnalysis};

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
    pub audience_type: String,
    pub company_size: String,
    pub business_type: String,
    /// What templates may use as `data`.
    pub template_data: Map<String, Value>,
    pub setup_complete: bool,
    /// What the tenant says of its own website; empty fields are left to the analysis.
    pub website_analysis: WebsiteAnalysis,
    pub controls: Controls,
}

/// How freely campaigns act.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Controls {
    pub auto_reply: bool,
    pub pause_on_error: bool,
}

/// Who the e-mails come from. Empty fields are filled from the website; the address is a mailbox's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sender {
    pub name: String,
    pub position: String,
    pub company: String,
    pub unsubscribe_email: String,
}

/// The settings and when they last changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentConfig {
    pub settings: AgentSettings,
    /// 0 until the first change.
    pub revision: i64,
    pub create_time: Option<Timestamp>,
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
    "sender.unsubscribe_email",
    "industries",
    "roles",
    "keywords",
    "location",
    "template_id",
    "auto_approve",
    "audience_type",
    "company_size",
    "business_type",
    "template_data",
    "setup_complete",
    "website_analysis.business_name",
    "website_analysis.logo_url",
    "website_analysis.introduction",
    "website_analysis.product_type",
    "website_analysis.selling_points",
    "website_analysis.audiences",
    "website_analysis.language",
    "website_analysis.industry",
    "website_analysis.benchmark_brands",
    "controls.auto_reply",
    "controls.pause_on_error",
];

/// The largest `template_data`, in bytes of JSON.
const MAX_TEMPLATE_DATA: usize = 16 * 1024;

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
        let lines: [(&str, &mut String); 7] = [
            ("sender.name", &mut out.sender.name),
            ("sender.position", &mut out.sender.position),
            ("sender.company", &mut out.sender.company),
            ("location", &mut out.location),
            ("audience_type", &mut out.audience_type),
            ("company_size", &mut out.company_size),
            ("business_type", &mut out.business_type),
        ];
        for (name, value) in lines {
            if mask.has(name) {
                *value = text::line(v, &format!("config.{name}"), value, text::SHORT);
            }
        }
        let unsubscribe = &mut out.sender.unsubscribe_email;
        if mask.has("sender.unsubscribe_email") && !unsubscribe.trim().is_empty() {
            *unsubscribe = v.take("config.sender.unsubscribe_email", address::parse(unsubscribe)).unwrap_or_default();
        }
        let lists: [(&str, &mut Vec<String>); 3] =
            [("industries", &mut out.industries), ("roles", &mut out.roles), ("keywords", &mut out.keywords)];
        for (name, value) in lists {
            if mask.has(name) {
                *value = text::lines(v, &format!("config.{name}"), value);
            }
        }
        if mask.has("template_data") {
            out.template_data = checked_data(v, out.template_data);
            let size = serde_json::to_string(&out.template_data).map_or(usize::MAX, |text| text.len());
            if size > MAX_TEMPLATE_DATA {
                v.add(
                    "config.template_data",
                    format!("must be at most {MAX_TEMPLATE_DATA} bytes of JSON; it has {size}"),
                );
            }
        }
        out.website_analysis = checked_analysis(v, out.website_analysis);
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
            "sender.unsubscribe_email" => sender.unsubscribe_email;
            "industries" => industries;
            "roles" => roles;
            "keywords" => keywords;
            "location" => location;
            "template_id" => template_id;
            "auto_approve" => auto_approve;
            "audience_type" => audience_type;
            "company_size" => company_size;
            "business_type" => business_type;
            "template_data" => template_data;
            "setup_complete" => setup_complete;
            "website_analysis.business_name" => website_analysis.business_name;
            "website_analysis.logo_url" => website_analysis.logo_url;
            "website_analysis.introduction" => website_analysis.introduction;
            "website_analysis.product_type" => website_analysis.product_type;
            "website_analysis.selling_points" => website_analysis.selling_points;
            "website_analysis.audiences" => website_analysis.audiences;
            "website_analysis.language" => website_analysis.language;
            "website_analysis.industry" => website_analysis.industry;
            "website_analysis.benchmark_brands" => website_analysis.benchmark_brands;
            "controls.auto_reply" => controls.auto_reply;
            "controls.pause_on_error" => controls.pause_on_error;
        }
    }
}

/// What templates may use, its texts checked as all are: they are written into letters.
fn checked_data(v: &mut Violations, data: Map<String, Value>) -> Map<String, Value> {
    let mut text = |text: String| text::bounded(v, "config.template_data", &text, MAX_TEMPLATE_DATA);
    data.into_iter().map(|(name, value)| (text(name), checked_value(&mut text, value))).collect()
}

fn checked_value(text: &mut impl FnMut(String) -> String, value: Value) -> Value {
    match value {
        Value::String(value) => Value::String(text(value)),
        Value::Array(items) => items.into_iter().map(|item| checked_value(text, item)).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (text(name), checked_value(text, value))).collect(),
        other => other,
    }
}

/// What a tenant may say of its website; what only the reading of it tells is left out.
fn checked_analysis(v: &mut Violations, stated: WebsiteAnalysis) -> WebsiteAnalysis {
    const AUDIENCES: usize = 20;
    let field = |name: &str| format!("config.website_analysis.{name}");
    let line = |v: &mut Violations, name: &str, text: &str, max| text::line(v, &field(name), text, max);
    let logo = stated.logo_url.trim();
    let logo_url = if logo.is_empty() { None } else { v.take(&field("logo_url"), text::web_url(logo)) };
    if stated.audiences.len() > AUDIENCES {
        v.add(field("audiences"), format!("must have at most {AUDIENCES} entries"));
    }
    let audiences = stated.audiences.iter().take(AUDIENCES).enumerate().map(|(i, audience)| Audience {
        title: line(v, &format!("audiences[{i}].title"), &audience.title, text::SHORT),
        description: line(v, &format!("audiences[{i}].description"), &audience.description, MAX_GOAL_DETAIL),
    });
    WebsiteAnalysis {
        audiences: audiences.collect(),
        business_name: line(v, "business_name", &stated.business_name, text::SHORT),
        logo_url: logo_url.map(String::from).unwrap_or_default(),
        introduction: line(v, "introduction", &stated.introduction, MAX_GOAL_DETAIL),
        product_type: line(v, "product_type", &stated.product_type, text::SHORT),
        industry: line(v, "industry", &stated.industry, text::SHORT),
        language: line(v, "language", &stated.language, 35),
        selling_points: text::lines(v, &field("selling_points"), &stated.selling_points),
        benchmark_brands: text::lines(v, &field("benchmark_brands"), &stated.benchmark_brands),
        ..WebsiteAnalysis::default()
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
                unsubscribe_email: "u@example.com".into(),
            },
            industries: vec!["i".into()],
            roles: vec!["r".into()],
            keywords: vec!["k".into()],
            location: "l".into(),
            template_id: TemplateId::parse("t").ok(),
            auto_approve: true,
            audience_type: "a".into(),
            company_size: "s".into(),
            business_type: "b".into(),
            template_data: Map::from_iter([("k".to_owned(), Value::Null)]),
            setup_complete: true,
            website_analysis: WebsiteAnalysis {
                business_name: "n".into(),
                logo_url: "l".into(),
                introduction: "i".into(),
                product_type: "p".into(),
                selling_points: vec!["s".into()],
                audiences: vec![Audience::default()],
                language: "en".into(),
                industry: "i".into(),
                benchmark_brands: vec!["b".into()],
                ..Default::default()
            },
            controls: Controls { auto_reply: true, pause_on_error: true },
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
