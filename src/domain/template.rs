//! E-mail templates: the built-in ones and those of tenants, and how a template becomes an e-mail.
//!
//! Templates are minijinja (a Jinja dialect) with no access to anything but the values given. Rendering is bounded in
//! steps and in size, so that a template cannot hold up anyone.

mod built_in;
mod values;

pub use built_in::{built_in, find};
pub use values::{ProspectValues, Sender, VALUES, Values};

use std::collections::BTreeSet;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::digest;
use super::email::{MAX_BODY, MAX_SUBJECT};
use super::error::Violations;
use super::id::TemplateId;
use super::language::{Language, is_tag, primary};
use super::mask::Mask;
use super::text;

/// A letter in one or more languages, with places for what is known about a prospect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub id: TemplateId,
    pub settings: TemplateSettings,
    /// Of one of a tenant's own.
    pub own: Option<Own>,
}

/// What a tenant may write of a template. Its texts are stored as one JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TemplateSettings {
    pub name: String,
    /// When to use it.
    pub description: String,
    /// Each language once.
    pub texts: Vec<TemplateText>,
}

/// The letter in one language.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TemplateText {
    /// An IETF tag, as it was written.
    pub language: String,
    pub subject: String,
    pub body: String,
}

/// What is stored of a tenant's own template beside what the tenant writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    pub revision: i64,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
}

/// A subject and a body, ready to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub subject: String,
    pub body: String,
}

/// Why a template gave no e-mail, and where that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    pub language: String,
    pub part: Part,
    /// Line and column, from 1, where they are known.
    pub place: Option<(usize, usize)>,
    pub what: String,
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Subject,
    Body,
}

/// The templates that a tenant may have of its own.
pub const MAX_TEMPLATES: usize = 100;
/// The languages of a template.
pub const MAX_TEXTS: usize = 20;
/// The longest description, and the longest texts before their places are filled, in characters.
const MAX_DESCRIPTION: usize = 500;
const MAX_SUBJECT_SOURCE: usize = 2_000;
const MAX_BODY_SOURCE: usize = 20_000;
/// The longest place or condition, in bytes, and so many of them.
const MAX_TAG: usize = 500;
const MAX_TAGS: usize = 300;
/// The paths that an update mask may name.
pub const FIELDS: &[&str] = &["name", "description", "texts"];

/// Instructions of one rendering; the built-in templates take a few hundred.
const FUEL: u64 = 50_000;

/// Renders templates; made once and used for a batch.
pub struct Renderer {
    env: Environment<'static>,
    texts: Vec<TemplateText>,
}

// === impl Template ===

impl Template {
    /// Changes whenever the template does; empty for one that nobody can change.
    pub fn etag(&self, tenant: &str) -> String {
        self.own.map(|own| digest::etag(tenant, "template", self.id.as_str(), own.revision)).unwrap_or_default()
    }
}

// === impl TemplateSettings ===

impl TemplateSettings {
    /// Checks and trims the fields that the mask names; the others stay as they are and must not be used.
    pub fn check(mut self, v: &mut Violations, mask: &Mask) -> Self {
        if mask.has("name") {
            self.name = text::line(v, "template.name", &self.name, text::SHORT);
            if self.name.is_empty() {
                v.add("template.name", "is required");
            }
        }
        if mask.has("description") {
            self.description = text::bounded(v, "template.description", &self.description, MAX_DESCRIPTION);
        }
        if mask.has("texts") {
            self.check_texts(v);
        }
        self
    }

    /// Takes over the fields that the mask names.
    pub fn merge(&mut self, from: &Self, mask: &Mask) {
        if mask.has("name") {
            self.name.clone_from(&from.name);
        }
        if mask.has("description") {
            self.description.clone_from(&from.description);
        }
        if mask.has("texts") {
            self.texts.clone_from(&from.texts);
        }
    }

    fn check_texts(&mut self, v: &mut Violations) {
        let before = v.list().len() + v.more();
        if self.texts.is_empty() || self.texts.len() > MAX_TEXTS {
            v.add("template.texts", format!("must be 1 to {MAX_TEXTS}, one for each language"));
            return;
        }
        let mut seen = Vec::new();
        for (n, one) in self.texts.iter_mut().enumerate() {
            let field = |name: &str| format!("template.texts[{n}].{name}");
            one.language = one.language.trim().to_owned();
            if one.language.is_empty() || !is_tag(&one.language) {
                v.add(field("language"), "must be an IETF language tag such as en or zh-CN");
            } else if seen.contains(&one.language.to_ascii_lowercase()) {
                v.add(field("language"), "is there twice");
            }
            seen.push(one.language.to_ascii_lowercase());
            one.subject = text::line(v, &field("subject"), &one.subject, MAX_SUBJECT_SOURCE);
            one.body = text::bounded(v, &field("body"), &one.body, MAX_BODY_SOURCE);
            for (name, text) in [("subject", &one.subject), ("body", &one.body)] {
                if text.trim().is_empty() {
                    v.add(field(name), "is required");
                }
            }
        }
        if v.list().len() + v.more() > before {
            return;
        }
        for (n, one) in self.texts.iter().enumerate() {
            for fault in faults(one) {
                let name = fault.part.as_str();
                v.add(format!("template.texts[{n}].{name}"), fault.in_its_part());
            }
        }
    }
}

/// What is wrong with a text before anybody is written to: its grammar, and values that there are not.
fn faults(text: &TemplateText) -> Vec<TemplateError> {
    let renderer = match Renderer::new(std::slice::from_ref(text)) {
        Ok(renderer) => renderer,
        Err(error) => return vec![error],
    };
    let mut found = Vec::new();
    for part in Part::ALL {
        let source = part.of(text);
        let Ok(template) = renderer.env.get_template(&part.name(&text.language)) else { continue };
        let mut unknown: Vec<_> =
            template.undeclared_variables(true).into_iter().filter(|name| !values::is_known(name)).collect();
        unknown.sort_unstable();
        for name in unknown {
            let place = source.find(&name).map(|at| place(source, at));
            let what = format!("there is no value {name}; the values are {}", values::names());
            found.push(TemplateError { language: text.language.clone(), part, place, what });
        }
        let mut named = BTreeSet::new();
        for (at, name) in filters(source).into_iter().filter(|(_, name)| named.insert(*name)) {
            let tried = renderer.env.compile_expression(&format!("''|{name}")).and_then(|tried| tried.eval(()));
            if tried.is_err_and(|error| error.kind() == ErrorKind::UnknownFilter) {
                let (place, what) = (Some(place(source, at)), format!("unknown filter: {name}"));
                found.push(TemplateError { language: text.language.clone(), part, place, what });
            }
        }
    }
    found
}

/// Refuses what the engine would follow too far down: it goes one step deeper for each operator of a tag, and for each tag within
/// another one or after an `elif`.
fn refuse_deep(text: &TemplateText, part: Part) -> Result<(), TemplateError> {
    let source = part.of(text);
    let wrong = |at, what: String| {
        Err(TemplateError { language: text.language.clone(), part, place: Some(place(source, at)), what })
    };
    for (n, (begin, end)) in tags(source).enumerate() {
        if end - begin > MAX_TAG {
            return wrong(begin, format!("a place or a condition may have {MAX_TAG} bytes"));
        }
        if n >= MAX_TAGS {
            return wrong(begin, format!("there may be {MAX_TAGS} places and conditions"));
        }
    }
    Ok(())
}

/// The places and conditions of a text, each from its first brace to before its closing ones.
fn tags(source: &str) -> impl Iterator<Item = (usize, usize)> {
    let (bytes, mut at) = (source.as_bytes(), 0);
    std::iter::from_fn(move || {
        while at + 1 < bytes.len() {
            let close: &[u8] = match &bytes[at..at + 2] {
                b"{{" => b"}}",
                b"{%" => b"%}",
                b"{#" => b"#}",
                _ => {
                    at += 1;
                    continue;
                }
            };
            let (begin, mut quote) = (at, None);
            at += 2;
            while at < bytes.len() {
                match (quote, bytes[at]) {
                    (Some(_), b'\\') => at += 1,
                    (Some(open), byte) if byte == open => quote = None,
                    (None, byte @ (b'"' | b'\'')) if close != b"#}" => quote = Some(byte),
                    (None, _) if bytes[at..].starts_with(close) => break,
                    _ => {}
                }
                at += 1;
            }
            if close != b"#}" {
                return Some((begin, at.min(bytes.len())));
            }
        }
        None
    })
}

/// The filters that a text names, and where: the engine looks for them only when it comes to them, which may be for few readers.
fn filters(source: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (begin, end) in tags(source) {
        let (mut quote, mut bytes) = (None, source.bytes().enumerate().take(end).skip(begin));
        while let Some((at, byte)) = bytes.next() {
            match (quote, byte) {
                (Some(_), b'\\') => _ = bytes.next(),
                (Some(open), byte) if byte == open => quote = None,
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'|') => {
                    let rest = source.get(at + 1..end).unwrap_or_default();
                    let name = rest.trim_start();
                    let at = at + 1 + rest.len() - name.len();
                    let is_name = |c: char| c.is_alphanumeric() || c == '_';
                    let length = name.find(|c| !is_name(c)).unwrap_or(name.len());
                    found.extend((length > 0).then(|| (at, &name[..length])));
                }
                _ => {}
            }
        }
    }
    found
}

/// Line and column of a byte of the text, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

// === impl Renderer ===

impl Renderer {
    pub fn new(texts: &[TemplateText]) -> Result<Self, TemplateError> {
        let mut env = Environment::new();
        env.set_debug(false);
        // It tells all that the engine knows.
        env.remove_global("debug");
        env.set_fuel(Some(FUEL));
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
            env.set_syntax(syntax);
        }
        for text in texts {
            for part in Part::ALL {
                refuse_deep(text, part)?;
                let added = env.add_template_owned(part.name(&text.language), part.of(text).to_owned());
                added.map_err(|error| TemplateError::new(text, part, &error))?;
            }
        }
        Ok(Self { env, texts: texts.to_vec() })
    }

    /// The text for a prospect of that language: its own, or else that of the website's language, or English, or the first.
    pub fn choose(&self, prospect: &str, website: &str) -> &TemplateText {
        let of = |wanted: &str| {
            let exact = self.texts.iter().find(|text| text.language.eq_ignore_ascii_case(wanted));
            exact.or_else(|| self.texts.iter().find(|text| primary(&text.language) == primary(wanted)))
        };
        let found = [prospect, website, "en"].into_iter().filter(|wanted| !wanted.is_empty()).find_map(of);
        // A template has at least one text.
        found.or(self.texts.first()).unwrap_or(&EMPTY)
    }

    pub fn render(&self, text: &TemplateText, values: &Values<'_>) -> Result<Rendered, TemplateError> {
        let values = Value::from(Serde(values));
        let part = |part: Part, max: usize| {
            let wrong = |what: String| TemplateError { language: text.language.clone(), part, place: None, what };
            let mut out = Bounded { text: Vec::new(), left: max.saturating_mul(4) + 1_024 };
            let template = self.env.get_template(&part.name(&text.language));
            let rendered = template.and_then(|template| template.render_captured_to(values.clone(), &mut out));
            let too_long = || wrong(format!("it comes out longer than {max} characters"));
            if let Err(error) = rendered {
                return Err(if out.left == 0 { too_long() } else { TemplateError::new(text, part, &error) });
            }
            let rendered = String::from_utf8_lossy(&out.text);
            let rendered = rendered.trim();
            if rendered.is_empty() {
                return Err(wrong("it comes out empty".to_owned()));
            }
            if rendered.chars().count() > max {
                return Err(too_long());
            }
            Ok(rendered.to_owned())
        };
        let subject = part(Part::Subject, MAX_SUBJECT)?;
        // A header is one line, whatever a value holds.
        let subject = text::one_line(&subject);
        Ok(Rendered { subject, body: part(Part::Body, MAX_BODY)? })
    }
}

/// A sentence for the end of a letter that says what to answer to get no more of them.
pub fn way_out(language: Language) -> &'static str {
    match language {
        Language::Chinese => "如果您不希望再收到我们的来信，回复“不用了”即可。",
        Language::English => "If you would rather not hear from us again, just reply \"no thanks\".",
        Language::French => {
            "Si vous ne souhaitez plus recevoir nos messages, répondez simplement «\u{a0}non merci\u{a0}»."
        }
        Language::German => "Wenn Sie keine weiteren Nachrichten von uns wünschen, antworten Sie bitte „Nein danke“.",
        Language::Spanish => "Si prefiere no recibir más mensajes nuestros, responda «no, gracias».",
    }
}

static EMPTY: TemplateText = TemplateText { language: String::new(), subject: String::new(), body: String::new() };

/// Takes so many bytes and no more.
struct Bounded {
    text: Vec<u8>,
    left: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if piece.len() > self.left {
            self.left = 0;
            return Err(io::Error::other("too long"));
        }
        self.left -= piece.len();
        self.text.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Part ===

impl Part {
    const ALL: [Self; 2] = [Self::Subject, Self::Body];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Body => "body",
        }
    }

    fn of(self, text: &TemplateText) -> &str {
        match self {
            Self::Subject => &text.subject,
            Self::Body => &text.body,
        }
    }

    fn name(self, language: &str) -> String {
        format!("{}:{language}", self.as_str())
    }
}

// === impl TemplateError ===

impl TemplateError {
    fn new(text: &TemplateText, part: Part, error: &minijinja::Error) -> Self {
        let source = part.of(text);
        let at = error.range().map(|range| range.start).filter(|at| source.is_char_boundary(*at));
        let place = at.map(|at| place(source, at)).or(error.line().map(|line| (line, 1)));
        let what = match error.kind() {
            ErrorKind::OutOfFuel => "it takes too many steps".to_owned(),
            ErrorKind::UndefinedError => format!("there is no such value; the values are {}", values::names()),
            kind => match error.detail() {
                Some(detail) => format!("{kind}: {detail}"),
                None => kind.to_string(),
            },
        };
        Self { language: text.language.clone(), part, place, what }
    }

    /// What is wrong, and where in its part.
    pub fn in_its_part(&self) -> String {
        match self.place {
            Some((line, column)) => format!("line {line}, column {column}: {}", self.what),
            None => self.what.clone(),
        }
    }
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the template's {} in {}: {}", self.part.as_str(), self.language, self.in_its_part())
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::domain::id::TemplateId;
    use crate::domain::salutation::Salutation;
    use crate::domain::website::WebsiteAnalysis;

    fn text(subject: &str, body: &str) -> TemplateText {
        TemplateText { language: "en".into(), subject: subject.into(), body: body.into() }
    }

    fn rendered(subject: &str, body: &str) -> Result<Rendered, TemplateError> {
        let sender = Sender { company: "Fernwick".into(), ..Sender::default() };
        let website = WebsiteAnalysis { selling_points: vec!["a".into(), "b".into()], ..Default::default() };
        let data = serde_json::json!({ "phone": "123" }).as_object().cloned().unwrap_or_default();
        let values = Values {
            language: "en",
            salutation: Salutation { formal: "Good day,".into(), friendly: "Hello,".into() },
            about: String::new(),
            offer: String::new(),
            strength: String::new(),
            field: "horticulture".into(),
            role: String::new(),
            line: String::new(),
            signature: "Fernwick".into(),
            way_out: way_out(Language::English),
            goal: "press",
            goal_detail: String::new(),
            prospect: ProspectValues {
                company: "Acme\r\nBcc: x@y.example".into(),
                notes: "n".repeat(4_000),
                ..Default::default()
            },
            sender: &sender,
            data: &data,
            website: &website,
        };
        let text = text(subject, body);
        let renderer = Renderer::new(std::slice::from_ref(&text))?;
        renderer.render(renderer.choose("en", ""), &values)
    }

    #[test]
    fn a_template_says_what_its_values_are_and_its_subject_is_one_line() {
        let body = "{{ salutation.formal }}\n{% if line %}\n{{ line }}\n{% endif %}\n{% for point in website.selling_points %}\n- {{ point|upper }}\n{% endfor %}\n{{ data.phone }}";
        let rendered = rendered("For {{ prospect.company }}", body).expect("it renders");
        assert_eq!(rendered.subject, "For Acme Bcc: x@y.example");
        assert_eq!(rendered.body, "Good day,\n- A\n- B\n123");
    }

    #[test]
    fn a_template_has_no_way_to_hold_anybody_up_or_to_read_what_is_not_given() {
        let begun = Instant::now();
        for body in [
            "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
            "{{ 'x' * 1000000000 }}",
            "{{ [1] * 1000000000 }}",
            "{% set a = 'xxxxxxxxxx' %}{% set a = a*999 %}{% set a = a*999 %}{{ a*999 }}",
            "{{ range(1000000000)|join('x') }}",
            "{{ '%1000000000d'|format(1) }}",
            "{{ 'a'|replace('a', 'b' * 100000)|replace('b', 'c' * 100000) }}",
            "{% for i in range(20000) %}{{ prospect.notes }}{% endfor %}",
            "{{ 10 ** 10 ** 10 }}",
            "{% include '/etc/passwd' %}",
            "{% import 'subject:en' as x %}",
            "{% extends 'subject:en' %}",
            "{% macro x() %}{{ x() }}{% endmacro %}{{ x() }}",
            "{{ self }}{{ __class__ }}",
            "{{ ''.__class__.__mro__ }}",
            "{{ prospect.email }}",
            "{{ environment }}{{ namespace() }}",
            "{{ debug() }}",
            "{{ lipsum() }}",
            "",
            "{# nothing #}",
            &format!("{}x{}", "{% if true %}".repeat(2_000), "{% endif %}".repeat(2_000)),
            &format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000)),
            &format!("{{{{ {} }}}}", "not ".repeat(5_000)),
            &format!("{{{{ 1{} }}}}", "+1".repeat(9_000)),
            &format!("{{{{ x{} }}}}", "[0]".repeat(5_000)),
            &format!("{{% if line %}}a{}{{% endif %}}", "{% elif line %}a".repeat(1_200)),
            &format!("{{{{ '}}}}' ~ 1{} }}}}", "+1".repeat(9_000)),
            &format!("{{# ' #}}{{{{ 1{} }}}}", "+1".repeat(9_000)),
            &format!("{{{{ '\\'' ~ 1{} }}}}", "+1".repeat(9_000)),
            &format!("{{% raw %}}{{{{ '{{% endraw %}}{{{{ 1{} }}}}", "+1".repeat(9_000)),
            &"x".repeat(MAX_BODY + 1),
        ] {
            let shown = &body[..body.len().min(60)];
            // A number that is long, or what a depth allows, may come out; nothing else does.
            if let Ok(rendered) = rendered("S", body) {
                assert!(
                    rendered.body.chars().all(|c| c.is_ascii_digit() || c == 'x'),
                    "{shown}: {}",
                    rendered.body.len()
                );
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_text_of_nothing_but_filters_is_looked_through_at_once() {
        let names: Vec<_> = (0..3_600).map(|n| format!("{n:x}")).map(|name| format!("f{name}")).collect();
        let tag = |names: &[String]| format!("{{{{ 'x'|{} }}}}", names.join("|"));
        let body: String = names.chunks(90).map(tag).collect();
        assert!(body.len() <= MAX_BODY, "{}", body.len());
        let begun = Instant::now();
        assert_eq!(faults(&text("S", &body)).len(), names.len(), "each is named");
        assert_eq!(faults(&text("S", &tag(&["shout".to_owned()]).repeat(200))).len(), 1, "once");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[test]
    fn each_bound_is_kept_and_one_beyond_it_is_refused() {
        let place = |bytes: usize| format!("{{{{ '{}' }}}}", "x".repeat(bytes - 6));
        let condition = |bytes: usize| format!("x{{% if '{}' %}}{{% endif %}}", "x".repeat(bytes - 9));
        let tall = |letter: &str, count: usize| format!("{{{{ '{letter}' * {count} }}}}");
        type Made = Box<dyn Fn(usize) -> (String, String)>;
        let body = |made: Box<dyn Fn(usize) -> String>| -> Made { Box::new(move |n| ("S".to_owned(), made(n))) };
        for (bound, made, why) in [
            (MAX_TAG, body(Box::new(place)), "may have 500 bytes"),
            (MAX_TAG, body(Box::new(condition)), "may have 500 bytes"),
            (MAX_TAGS, body(Box::new(|count| "{{ 1 }}".repeat(count))), "may be 300 places"),
            (MAX_BODY, body(Box::new(move |count| tall("x", count))), "comes out longer than 20000"),
            // A character has four bytes at most.
            (MAX_BODY, body(Box::new(move |count| tall("🌸", count))), "comes out longer than 20000"),
            (MAX_SUBJECT, Box::new(move |count| (tall("x", count), "B".to_owned())), "comes out longer than 300"),
        ] {
            let ((subject, body), (one_more_subject, one_more_body)) = (made(bound), made(bound + 1));
            assert!(rendered(&subject, &body).is_ok(), "{bound} {why}: {:?}", rendered(&subject, &body));
            let refused = rendered(&one_more_subject, &one_more_body).expect_err("one beyond");
            assert!(refused.what.contains(why), "{refused}");
        }
    }

    #[test]
    fn a_fault_is_named_with_its_place_and_the_values_that_there_are() {
        for (subject, body, part, place, what) in [
            (
                "S",
                "Hello\n  {{ prospect.compny }}",
                Part::Body,
                (2, 6),
                "there is no value prospect.compny; the values are language, salutation.formal",
            ),
            ("{{ company }}", "B", Part::Subject, (1, 4), "there is no value company; the values are"),
            ("S", "a\nb {% if line %}\nc", Part::Body, (3, 1), "syntax error"),
            ("S", "Hi {{ line", Part::Body, (1, 7), "syntax error"),
            ("S", "Hi {{ line|shout }}", Part::Body, (1, 12), "unknown filter"),
            (
                "S",
                "{% if false %}{{ 'a|b' ~ (field | upper\n|  shout) }}{% endif %}",
                Part::Body,
                (2, 4),
                "unknown filter: shout",
            ),
            ("S", "é {% frob %}", Part::Body, (1, 6), "unknown statement frob"),
        ] {
            let found = match faults(&text(subject, body)).into_iter().next() {
                Some(fault) => fault,
                None => rendered(subject, body).expect_err("a fault"),
            };
            assert_eq!((found.part, found.place), (part, Some(place)), "{subject} {body}: {found}");
            assert!(found.what.contains(what), "{found}");
        }
        assert_eq!(faults(&text("{{ goal }}", "{% set x = field %}{{ x }}{{ data.any.thing }}{{ website.url }}")), []);
    }

    #[test]
    fn settings_are_checked_by_language_and_bound() {
        let settings = |texts: Vec<TemplateText>| TemplateSettings { name: "N".into(), texts, ..Default::default() };
        let check = |settings: TemplateSettings| {
            let mut v = Violations::default();
            settings.check(&mut v, &Mask::all(FIELDS));
            v.list().iter().map(|v| format!("{} {}", v.field, v.description)).collect::<Vec<_>>()
        };
        let good = text("S", "B");
        let of = |language: &str| TemplateText { language: language.into(), ..good.clone() };
        assert_eq!(check(settings(vec![good.clone(), of("de"), of("de-AT")])), [""; 0]);
        assert_eq!(check(settings(vec![])), ["template.texts must be 1 to 20, one for each language"]);
        assert_eq!(check(settings(vec![of("en"), of("EN")])), ["template.texts[1].language is there twice"]);
        assert_eq!(check(settings(vec![of("english please")])).len(), 1);
        let long = |subject: usize, body: usize| text(&"s".repeat(subject), &"b".repeat(body));
        assert_eq!(check(settings(vec![long(MAX_SUBJECT_SOURCE, MAX_BODY_SOURCE)])), [""; 0]);
        assert_eq!(check(settings(vec![long(MAX_SUBJECT_SOURCE + 1, MAX_BODY_SOURCE + 1)])).len(), 2);
        let many = |count: usize| settings((0..count).map(|n| of(&format!("aa-x{n}"))).collect());
        assert_eq!((check(many(MAX_TEXTS)).len(), check(many(MAX_TEXTS + 1)).len()), (0, 1));
        let named = |name: usize, description: usize| TemplateSettings {
            name: "n".repeat(name),
            description: "d".repeat(description),
            ..settings(vec![good.clone()])
        };
        assert_eq!(check(named(text::SHORT, MAX_DESCRIPTION)), [""; 0]);
        assert_eq!(check(named(text::SHORT + 1, MAX_DESCRIPTION + 1)).len(), 2);
        let nameless = TemplateSettings { name: " ".into(), ..settings(vec![good.clone()]) };
        assert_eq!(check(nameless), ["template.name is required"]);
        let template =
            Template { id: TemplateId::parse("t").expect("an id"), settings: settings(vec![good]), own: None };
        assert_eq!(template.etag("user_a"), "");
    }
}
