//! Templates.

use super::id;
use crate::domain::error::{Error, Violations};
use crate::domain::id::TemplateId;
use crate::domain::mask::Mask;
use crate::domain::template::{FIELDS, Template, TemplateError, TemplateSettings, TemplateText, VALUES};
use crate::pb;
use crate::store::UpdateTemplate;
use crate::tenant::TenantId;

pub(in crate::rpc) fn out(template: Template, tenant: &TenantId) -> pb::Template {
    let etag = template.etag(tenant.as_str());
    let TemplateSettings { name, description, texts } = template.settings;
    let text = |TemplateText { language, subject, body }| pb::TemplateText { language, subject, body };
    pb::Template {
        id: template.id.to_string(),
        name,
        description,
        texts: texts.into_iter().map(text).collect(),
        built_in: template.own.is_none(),
        etag,
        create_time: template.own.map(|own| own.create_time.into()),
        update_time: template.own.map(|own| own.update_time.into()),
    }
}

/// What templates may use.
pub(in crate::rpc) fn values() -> Vec<pb::TemplateValue> {
    let value = |(name, description): (&str, &str)| pb::TemplateValue {
        name: name.to_owned(),
        description: description.to_owned(),
    };
    VALUES.map(value).to_vec()
}

/// A template that is to be stored, checked.
pub(in crate::rpc) fn new(template: pb::Template) -> Result<TemplateSettings, Error> {
    checked(template, &Mask::all(FIELDS))
}

/// The texts of one that is not stored, checked.
pub(in crate::rpc) fn draft(template: pb::Template) -> Result<Vec<TemplateText>, Error> {
    let mask = Mask::parse(&["texts".to_owned()], FIELDS, Vec::new())?;
    checked(template, &mask).map(|settings| settings.texts)
}

/// The masked fields of an update, checked.
pub(in crate::rpc) fn update(template: pb::Template, paths: &[String]) -> Result<UpdateTemplate, Error> {
    let id = id("template.id", &template.id, TemplateId::parse)?;
    let set = [
        ("name", !template.name.is_empty()),
        ("description", !template.description.is_empty()),
        ("texts", !template.texts.is_empty()),
    ];
    let set = set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect();
    let mask = Mask::parse(paths, FIELDS, set)?;
    let etag = template.etag.clone();
    let settings = checked(template, &mask)?;
    Ok(UpdateTemplate { id, settings, mask, etag })
}

/// What is wrong with a letter, in the field of the template that holds it.
pub(in crate::rpc) fn fault(texts: &[TemplateText], error: &TemplateError) -> Error {
    let n = texts.iter().position(|text| text.language == error.language).unwrap_or_default();
    Error::field(format!("template.texts[{n}].{}", error.part.as_str()), error.in_its_part())
}

fn checked(template: pb::Template, mask: &Mask) -> Result<TemplateSettings, Error> {
    let text = |pb::TemplateText { language, subject, body }| TemplateText { language, subject, body };
    let pb::Template { name, description, texts, .. } = template;
    let settings = TemplateSettings { name, description, texts: texts.into_iter().map(text).collect() };
    let mut v = Violations::default();
    let settings = settings.check(&mut v, mask);
    v.done().map(|()| settings)
}
