//! Writes the letters of a campaign: from a template, to a prospect, from a mailbox. Previews are written by the same.

use serde_json::{Map, Value};
use url::{Host, Url};

use super::agent_config::{self, AgentSettings};
use super::email::NamedAddress;
use super::language::{Language, primary};
use super::letter::with_footer;
use super::mailbox::Mailbox;
use super::names;
use super::prospect::ProspectFields;
use super::reply;
use super::salutation::Salutation;
use super::state::Goal;
use super::template::{Renderer, Sender, TemplateError, TemplateText, Values, way_out};
use super::text::is_chinese;
use super::website::WebsiteAnalysis;

/// What every letter of a campaign is written with.
pub struct Letterhead {
    renderer: Renderer,
    /// Its company is known.
    sender: agent_config::Sender,
    data: Map<String, Value>,
    website: WebsiteAnalysis,
    goal: Goal,
    goal_detail: String,
}

/// A letter to one prospect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// That of the text, as the template names it.
    pub language: String,
    pub subject: String,
    pub body: String,
}

/// Why no letter can be written to anybody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    #[error("the website does not say who it belongs to: set `sender.company` in the configuration, then resume")]
    NoCompany,
    #[error(transparent)]
    Template(#[from] TemplateError),
}

// === impl Letterhead ===

impl Letterhead {
    pub fn new(
        texts: &[TemplateText],
        settings: AgentSettings,
        website: WebsiteAnalysis,
        goal: Goal,
        goal_detail: String,
    ) -> Result<Self, Unwritable> {
        let renderer = Renderer::new(texts)?;
        let mut sender = settings.sender;
        if sender.company.is_empty() {
            sender.company.clone_from(&website.business_name);
        }
        if sender.company.is_empty() {
            return Err(Unwritable::NoCompany);
        }
        Ok(Self { renderer, sender, data: settings.template_data, website, goal, goal_detail })
    }

    /// Of a letter from the mailbox; None: under an invented address, into the outbox folder.
    pub fn sender(&self, mailbox: Option<&Mailbox>) -> Sender {
        let agent_config::Sender { name, position, company, unsubscribe_email } = self.sender.clone();
        let (name, email) = match mailbox {
            Some(Mailbox { settings, .. }) => {
                let name = Some(settings.display_name.clone()).filter(|name| !name.is_empty()).unwrap_or(name);
                (name, settings.address.clone())
            }
            None => (name, format!("hello@{}", mail_domain(&self.website))),
        };
        let unsubscribe_email = if unsubscribe_email.is_empty() { email.clone() } else { unsubscribe_email };
        Sender { name, position, company, email, unsubscribe_email }
    }

    /// The letter as it is sent, with the way out and the footer that it may lack.
    pub fn write(&self, prospect: &ProspectFields, mailbox: Option<&Mailbox>) -> Result<Written, TemplateError> {
        let sender = self.sender(mailbox);
        let text = self.renderer.choose(&prospect.language, &self.website.language);
        let language = Language::of_tag(&text.language);
        let values = self.values(prospect, mailbox, &sender, &text.language);
        let mail = self.renderer.render(text, &values)?;
        let mut body = mail.body;
        if !reply::offers_way_out(&body) {
            body = format!("{body}\n\n{}", way_out(language));
        }
        if let Some(Mailbox { settings, .. }) = mailbox {
            body = with_footer(&body, &settings.signature, &settings.postal_address);
        }
        Ok(Written { language: text.language.clone(), subject: mail.subject, body })
    }

    fn values<'a>(
        &'a self,
        prospect: &ProspectFields,
        mailbox: Option<&Mailbox>,
        sender: &'a Sender,
        language: &'a str,
    ) -> Values<'a> {
        let spoken = Language::of_tag(language);
        // Little of a website is quoted in a letter of another language.
        let website = self.speaks(language).then_some(&self.website);
        let told = prospect.values(language);
        let role = if told.first_name.is_empty() { String::new() } else { told.position.clone() };
        let own = mailbox.map(|mailbox| mailbox.settings.signature.trim().to_owned()).filter(|own| !own.is_empty());
        let stop = ['.', ' ', ';', '!', '。', '；', '！'];
        let strength = website.and_then(|website| website.selling_points.first()).map(|point| match spoken {
            // After a colon they go on in lower case.
            Language::French | Language::Spanish => names::within_sentence(point.trim_matches(stop), language),
            _ => point.trim_matches(stop).to_owned(),
        });
        Values {
            language,
            salutation: Salutation::of(spoken, &prospect.contact_name, &prospect.company),
            about: website.map(|website| in_sentences(&website.introduction)).unwrap_or_default(),
            offer: website.map(|website| website.product_type.trim_end_matches(stop).to_owned()).unwrap_or_default(),
            strength: strength.unwrap_or_default(),
            field: told.industry.clone(),
            role,
            line: in_sentences(&prospect.line_for_letter()),
            signature: own.unwrap_or_else(|| signature(sender, &self.website.url, spoken)),
            way_out: way_out(spoken),
            goal: self.goal.as_str(),
            goal_detail: in_sentences(&self.goal_detail),
            prospect: told,
            sender,
            data: &self.data,
            website: &self.website,
        }
    }

    /// Whether the website is in that language, as far as one can tell.
    fn speaks(&self, language: &str) -> bool {
        let is_chinese = self.website.introduction.contains(is_chinese);
        match (self.website.language.as_str(), is_chinese) {
            ("", true) => primary(language) == "zh",
            ("", false) => primary(language) == "en",
            (known, _) => primary(known) == primary(language),
        }
    }
}

/// The From of a letter.
pub fn from(sender: &Sender) -> NamedAddress {
    let name = if sender.name.is_empty() { &sender.company } else { &sender.name };
    NamedAddress { name: name.clone(), address: sender.email.clone() }
}

/// The To of a letter.
pub fn to(prospect: &ProspectFields) -> NamedAddress {
    NamedAddress { name: names::person(&prospect.contact_name), address: prospect.email.clone() }
}

/// Who writes, below a letter.
fn signature(sender: &Sender, website: &str, language: Language) -> String {
    let Sender { name, position, company, email, .. } = sender;
    let person = match (name.as_str(), position.as_str(), language) {
        ("", ..) => company.clone(),
        (name, "", _) => format!("{name}\n{company}"),
        (name, position, Language::Chinese) => format!("{name}（{position}）\n{company}"),
        (name, position, _) => format!("{name}\n{position}, {company}"),
    };
    format!("{person}\n{email}\n{website}")
}

/// With the full stop that its last sentence may lack.
fn in_sentences(text: &str) -> String {
    let text = text.trim();
    match text.chars().next_back() {
        None | Some('.' | '!' | '?' | '…' | '。' | '！' | '？' | '"' | '”' | '»' | '“' | ':' | '：') => {
            text.to_owned()
        }
        Some(last) if is_chinese(last) => format!("{text}。"),
        Some(_) => format!("{text}."),
    }
}

/// The website's domain; `website.invalid`, which can belong to nobody (RFC 6761), where it has none.
fn mail_domain(website: &WebsiteAnalysis) -> String {
    let url = Url::parse(&website.url).ok();
    match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) if name.contains('.') => name.strip_prefix("www.").unwrap_or(name).to_owned(),
        _ => "website.invalid".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TemplateId;
    use crate::domain::template::{Template, TemplateSettings, built_in};

    fn fernwick() -> WebsiteAnalysis {
        WebsiteAnalysis {
            url: "https://fernwick.example/".into(),
            business_name: "Fernwick".into(),
            introduction: "Fernwick makes soil sensors".into(),
            product_type: "soil sensors".into(),
            selling_points: vec!["Ten-year batteries.".into()],
            language: "en".into(),
            ..Default::default()
        }
    }

    fn letterhead(template: &Template, website: WebsiteAnalysis, goal: Goal, detail: &str) -> Letterhead {
        let sender =
            agent_config::Sender { name: "Ruth Adler".into(), position: "Founder".into(), ..Default::default() };
        let settings = AgentSettings { sender, ..Default::default() };
        Letterhead::new(&template.settings.texts, settings, website, goal, detail.to_owned())
            .expect("it can be written")
    }

    fn own(texts: &[(&str, &str)]) -> Template {
        let text = |(language, body): &(&str, &str)| TemplateText {
            language: (*language).to_owned(),
            subject: "S".to_owned(),
            body: (*body).to_owned(),
        };
        let settings = TemplateSettings { texts: texts.iter().map(text).collect(), ..Default::default() };
        Template { id: TemplateId::parse("tp_1").expect("an id"), settings, own: None }
    }

    #[test]
    fn an_invented_address_is_of_the_websites_domain() {
        let at = |url: &str| mail_domain(&WebsiteAnalysis { url: url.to_owned(), ..Default::default() });
        assert_eq!(at("https://www.fernwick.example/en/"), "fernwick.example");
        assert_eq!(at("http://127.0.0.1:8000/"), "website.invalid");
    }

    #[test]
    fn the_prospects_language_decides_and_then_the_websites_and_then_english() {
        let template = own(&[("fr", "fr"), ("en", "en"), ("de-AT", "de")]);
        let of = |prospect: &str, website: &str| {
            let website = WebsiteAnalysis { language: website.into(), ..fernwick() };
            let prospect = ProspectFields { language: prospect.into(), ..Default::default() };
            letterhead(&template, website, Goal::Customers, "").write(&prospect, None).expect("written").language
        };
        for (prospect, website, language) in [
            ("de", "fr", "de-AT"),
            ("de-CH", "fr", "de-AT"),
            ("DE-at", "", "de-AT"),
            ("", "fr-CA", "fr"),
            ("it", "fr", "fr"),
            ("it", "nl", "en"),
            ("", "", "en"),
        ] {
            assert_eq!(of(prospect, website), language, "{prospect:?} {website:?}");
        }
        let template = own(&[("it", "it")]);
        let letter = letterhead(&template, fernwick(), Goal::Press, "").write(&ProspectFields::default(), None);
        assert_eq!(letter.expect("written").language, "it", "the only one there is");
    }

    #[test]
    fn a_letter_that_offers_no_way_out_gets_one_in_its_language() {
        for (language, body, is_added) in [
            ("en", "Hello", true),
            ("en", "Hello\n\n{{ way_out }}", false),
            ("de", "Hallo „Welt“", true),
            ("de", "Hallo. Zum Abbestellen genügt ein Wort.", false),
            ("fr", "Bonjour, répondez « non merci » et c'est tout.", false),
            ("es", "Hola", true),
            ("zh", "您好", true),
            ("zh", "您好，回复“退订”即可", false),
        ] {
            let template = own(&[(language, body)]);
            let prospect = ProspectFields { language: language.into(), ..Default::default() };
            let letter = letterhead(&template, fernwick(), Goal::Press, "").write(&prospect, None).expect("written");
            let way_out = way_out(Language::of_tag(language));
            let source = body.replace("{{ way_out }}", way_out);
            let right = if is_added { format!("{source}\n\n{way_out}") } else { source };
            assert_eq!(letter.body, right, "{language}");
        }
    }

    /// Everything that may be known, and nothing.
    fn prospects(language: &str) -> [ProspectFields; 2] {
        let full = ProspectFields {
            contact_name: "Ms Claire Moreau".into(),
            company: "Greenleaf".into(),
            position: "Head of Operations".into(),
            industry: "Horticulture".into(),
            notes: "Letter: Kim Roth suggested that we write to you".into(),
            language: language.into(),
            ..Default::default()
        };
        [full, ProspectFields { language: language.into(), ..Default::default() }]
    }

    #[test]
    fn every_built_in_letter_reads_well_with_everything_and_with_nothing() {
        let bare = WebsiteAnalysis {
            url: "https://fernwick.example/".into(),
            business_name: "Fernwick".into(),
            ..Default::default()
        };
        let mut seen = std::collections::HashSet::new();
        for template in built_in() {
            for text in &template.settings.texts {
                for goal in Goal::ALL {
                    let full = WebsiteAnalysis { language: text.language.clone(), ..fernwick() };
                    let detail = "We would like to hear how you measure today";
                    let pairs = [(full, detail), (bare.clone(), "")];
                    for ((website, detail), prospect) in pairs.into_iter().zip(prospects(&text.language)) {
                        let is_full = !detail.is_empty();
                        let letter =
                            letterhead(template, website, goal, detail).write(&prospect, None).expect("written");
                        let all = format!("{}\n{}", letter.subject, letter.body);
                        let name = format!("{} in {}, {goal:?}:\n{all}", template.id, text.language);
                        assert_eq!(letter.language, text.language);
                        for ugly in ["  ", " ,", " .", "\n\n\n", "{{", "{%", "none", "undefined", "()", "..", "。."] {
                            assert!(!all.contains(ugly), "{ugly:?} in {name}");
                        }
                        assert!(letter.subject.chars().count() <= 78, "{name}");
                        assert!(
                            all.contains("Fernwick") && all.ends_with(letter.body.lines().last().expect("a line")),
                            "{name}"
                        );
                        for known in [
                            "Moreau",
                            "Greenleaf",
                            "Fernwick makes soil sensors.",
                            "en-year batteries",
                            "Kim Roth",
                            detail,
                        ] {
                            let is_told = all.contains(known) || known == "Moreau" && all.contains("Claire");
                            assert!(!is_full || is_told, "{known} is not in {name}");
                        }
                        // Its reader finds the way out at the end, once.
                        let last = letter.body.lines().last().expect("a line");
                        assert!(reply::offers_way_out(last), "{name}");
                        assert!(
                            !letter.body.contains(way_out(Language::of_tag(&text.language)))
                                || letter.body.ends_with(last)
                        );
                        assert!(seen.insert(all), "the same letter twice: {name}");
                    }
                }
            }
        }
    }
}
