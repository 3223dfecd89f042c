//! The built-in templates, the same for every tenant: a file per letter and language.

use std::sync::OnceLock;

use super::{Template, TemplateSettings, TemplateText};
use crate::domain::id::TemplateId;

macro_rules! letter {
    ($id:literal) => {
        (
            $id,
            [
                ("en", include_str!(concat!("../templates/", $id, "/en.txt"))),
                ("de", include_str!(concat!("../templates/", $id, "/de.txt"))),
                ("fr", include_str!(concat!("../templates/", $id, "/fr.txt"))),
                ("es", include_str!(concat!("../templates/", $id, "/es.txt"))),
                ("zh", include_str!(concat!("../templates/", $id, "/zh.txt"))),
            ],
        )
    };
}

const LETTERS: [(&str, [(&str, &str); 5]); 6] = [
    letter!("professional_partnership"),
    letter!("modern_tech"),
    letter!("executive_outreach"),
    letter!("product_launch"),
    letter!("consultative_sales"),
    letter!("event_invitation"),
];

/// The built-in templates.
pub fn built_in() -> &'static [Template] {
    static TEMPLATES: OnceLock<Vec<Template>> = OnceLock::new();
    TEMPLATES.get_or_init(|| LETTERS.iter().filter_map(|(id, texts)| parse(id, texts)).collect())
}

/// The built-in template of that id.
pub fn find(id: &TemplateId) -> Option<&'static Template> {
    built_in().iter().find(|template| template.id == *id)
}

/// Reads `name:`, `description:` and `subject:` lines, a line `---`, and the body, of each language; name and description are those
/// of the first.
fn parse(id: &str, files: &[(&str, &str)]) -> Option<Template> {
    let mut settings = TemplateSettings::default();
    for (language, file) in files {
        let (head, body) = file.split_once("\n---\n")?;
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(known, _)| *known == name).map(|(_, value)| value.trim().to_owned())
        };
        if settings.texts.is_empty() {
            (settings.name, settings.description) = (field("name")?, field("description")?);
        }
        let (language, subject, body) = ((*language).to_owned(), field("subject")?, body.trim_end().to_owned());
        settings.texts.push(TemplateText { language, subject, body });
    }
    Some(Template { id: TemplateId::parse(id).ok()?, settings, own: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_six_built_in_templates_are_there_in_each_language() {
        let ids: Vec<_> = built_in().iter().map(|template| template.id.as_str()).collect();
        assert_eq!(ids, LETTERS.each_ref().map(|(id, _)| *id));
        for template in built_in() {
            let languages: Vec<_> = template.settings.texts.iter().map(|text| text.language.as_str()).collect();
            assert_eq!(languages, ["en", "de", "fr", "es", "zh"], "{}", template.id);
        }
    }
}
