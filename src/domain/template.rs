//! E-mail templates: the built-in ones, and how a template becomes an e-mail.
//!
//! Templates are minijinja (a Jinja dialect) with no access to anything but the values given. Rendering is bounded in
//! steps and in size, so that a template cannot hold up anyone.

use std::sync::OnceLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

use super::email::{MAX_BODY, MAX_SUBJECT};
use super::id::TemplateId;
use super::website::WebsiteAnalysis;

/// A text with places for what is known about a prospect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub id: TemplateId,
    pub name: String,
    /// When to use it.
    pub description: String,
    pub subject: String,
    pub body: String,
}

/// What a template can speak of.
#[derive(Debug, Serialize)]
pub struct Values<'a> {
    pub prospect: ProspectValues,
    pub sender: &'a Sender,
    /// What the tenant's configuration adds.
    pub data: &'a serde_json::Map<String, serde_json::Value>,
    pub website: &'a WebsiteAnalysis,
    pub goal: &'a str,
    pub goal_detail: &'a str,
    /// Write in Chinese.
    pub chinese: bool,
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
#[derive(Debug, Serialize)]
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

/// A subject and a body, ready to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub subject: String,
    pub body: String,
}

/// Why a template gave no e-mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the template cannot be used: {0}")]
pub struct TemplateError(pub String);

/// Instructions of one rendering; the built-in templates take a few hundred.
const FUEL: u64 = 50_000;

/// The built-in templates, the same for every tenant.
pub fn built_in() -> &'static [Template] {
    static TEMPLATES: OnceLock<Vec<Template>> = OnceLock::new();
    TEMPLATES.get_or_init(|| BUILT_IN.iter().filter_map(|(id, text)| parse(id, text)).collect())
}

/// The built-in template of that id.
pub fn find(id: &TemplateId) -> Option<&'static Template> {
    built_in().iter().find(|t| t.id == *id)
}

/// How the letter ends in each of its languages: the line that offers a way out. It is the last one of each branch of the
/// outermost condition of the body, which chooses the language.
pub fn ways_out(body: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut depth, mut last) = (0_usize, "");
    for line in body.lines().map(str::trim) {
        let (opens, closes) = (line.matches("{% if ").count(), line.matches("{% endif %}").count());
        let turns = line.starts_with("{% el") && opens == 0;
        if depth == 1 && !last.is_empty() && (turns || closes > opens) {
            out.push(std::mem::take(&mut last));
        }
        depth = (depth + opens).saturating_sub(closes);
        if !line.is_empty() && !line.starts_with("{%") {
            last = line;
        }
    }
    out
}

/// Renders templates; made once and used for a batch.
pub struct Renderer {
    env: Environment<'static>,
}

const BUILT_IN: [(&str, &str); 6] = [
    ("professional_partnership", include_str!("templates/professional_partnership.txt")),
    ("modern_tech", include_str!("templates/modern_tech.txt")),
    ("executive_outreach", include_str!("templates/executive_outreach.txt")),
    ("product_launch", include_str!("templates/product_launch.txt")),
    ("consultative_sales", include_str!("templates/consultative_sales.txt")),
    ("event_invitation", include_str!("templates/event_invitation.txt")),
];

// === impl Renderer ===

impl Renderer {
    pub fn new(template: &Template) -> Result<Self, TemplateError> {
        let mut env = Environment::new();
        env.set_fuel(Some(FUEL));
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(wrong)?;
        env.set_syntax(syntax);
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.add_template_owned("subject", template.subject.clone()).map_err(wrong)?;
        env.add_template_owned("body", template.body.clone()).map_err(wrong)?;
        Ok(Self { env })
    }

    pub fn render(&self, values: &Values<'_>) -> Result<Rendered, TemplateError> {
        let values = Value::from(Serde(values));
        let part = |name, max: usize| {
            let text = self.env.get_template(name).and_then(|t| t.render(values.clone())).map_err(wrong)?;
            let text = text.trim();
            if text.is_empty() {
                return Err(TemplateError(format!("its {name} comes out empty")));
            }
            if text.chars().count() > max {
                return Err(TemplateError(format!("its {name} comes out longer than {max} characters")));
            }
            Ok(text.to_owned())
        };
        let subject = part("subject", MAX_SUBJECT)?;
        // A header is one line, whatever a value holds.
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Rendered { subject, body: part("body", MAX_BODY)? })
    }
}

fn wrong(error: minijinja::Error) -> TemplateError {
    TemplateError(error.to_string())
}

/// Reads `name:`, `description:` and `subject:` lines, a line `---`, and the body.
fn parse(id: &str, text: &str) -> Option<Template> {
    let (head, body) = text.split_once("\n---\n")?;
    let field =
        |name: &str| head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(|v| v.trim().to_owned());
    Some(Template {
        id: TemplateId::parse(id).ok()?,
        name: field("name")?,
        description: field("description")?,
        subject: field("subject")?,
        body: body.trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'a>(sender: &'a Sender, website: &'a WebsiteAnalysis, filled: bool, chinese: bool) -> Values<'a> {
        static DATA: std::sync::OnceLock<serde_json::Map<String, serde_json::Value>> = std::sync::OnceLock::new();
        let some = |text: &str| if filled { text.to_owned() } else { String::new() };
        Values {
            prospect: ProspectValues {
                contact_name: some("Anna Berg"),
                first_name: some("Anna"),
                company: some("Greenleaf"),
                position: some("Head of Operations"),
                industry: some("horticulture"),
                location: some("Venlo"),
                notes: some("Grows tomatoes."),
            },
            sender,
            data: DATA.get_or_init(Default::default),
            website,
            goal: "customers",
            goal_detail: if filled { "We would like to hear how you measure soil moisture today." } else { "" },
            chinese,
        }
    }

    #[test]
    fn the_six_built_in_templates_are_there() {
        let ids: Vec<_> = built_in().iter().map(|t| t.id.as_str()).collect();
        assert_eq!(ids, BUILT_IN.map(|(id, _)| id));
    }

    #[test]
    fn every_built_in_template_reads_well_with_everything_and_with_nothing() {
        let sender =
            Sender { company: "Fernwick".into(), email: "hello@fernwick.example".into(), ..Default::default() };
        let named = Sender { name: "Ruth Adler".into(), position: "Founder".into(), ..sender.clone() };
        let bare = WebsiteAnalysis { url: "https://fernwick.example/".into(), ..Default::default() };
        let told = WebsiteAnalysis {
            introduction: "Fernwick makes soil sensors.".into(),
            product_type: "sensors".into(),
            selling_points: vec!["Ten-year batteries".into()],
            ..bare.clone()
        };
        for template in built_in() {
            let renderer = Renderer::new(template).expect("it parses");
            for (sender, website, filled) in [(&named, &told, true), (&sender, &bare, false)] {
                for chinese in [true, false] {
                    let mail = renderer.render(&values(sender, website, filled, chinese)).expect("it renders");
                    let all = format!("{}\n{}", mail.subject, mail.body);
                    for ugly in ["  ", " ,", " .", "\n\n\n", "{{", "{%", "none", "undefined"] {
                        assert!(!all.contains(ugly), "{} has {ugly:?}:\n{all}", template.id);
                    }
                    assert_eq!(all.contains("Anna"), filled, "{} greets by name:\n{all}", template.id);
                }
            }
        }
    }

    #[test]
    fn a_template_that_runs_away_is_stopped() {
        let template = Template {
            id: TemplateId::parse("t").expect("an id"),
            name: String::new(),
            description: String::new(),
            subject: "x".into(),
            body: "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}".into(),
        };
        let (sender, website) = (Sender::default(), WebsiteAnalysis::default());
        let error = Renderer::new(&template).expect("it parses").render(&values(&sender, &website, true, false));
        assert!(error.expect_err("out of fuel").to_string().contains("fuel"));
    }
}
