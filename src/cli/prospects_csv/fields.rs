//! The fields of a prospect as the texts of cells, there and back.

use clap::ValueEnum as _;

use super::languages::tag;
use crate::cli::words::Word as _;
use crate::pb;

/// The columns that are written, in that order, and the fields that a column may be read as; `email` is required.
pub(super) const COLUMNS: [&str; 21] = [
    "email",
    "company",
    "contact_name",
    "position",
    "industry",
    "location",
    "business_size",
    "source_url",
    "notes",
    "tags",
    "language",
    "time_zone",
    "source",
    "status",
    "conversion_probability",
    "priority_score",
    "next_action",
    "potential_interest",
    "discovery_context",
    "manual_intervention",
    "auto_reply_enabled",
];

/// The field of a row, as `set` reads it.
pub(super) fn get(row: &pb::Prospect, field: &str) -> String {
    match field {
        "email" => row.email.clone(),
        "company" => row.company.clone(),
        "contact_name" => row.contact_name.clone(),
        "position" => row.position.clone(),
        "industry" => row.industry.clone(),
        "location" => row.location.clone(),
        "business_size" => row.business_size.clone(),
        "source_url" => row.source_url.clone(),
        "notes" => row.notes.clone(),
        "language" => row.language.clone(),
        "time_zone" => row.time_zone.clone(),
        "source" => row.source.clone(),
        "status" if row.status == 0 => String::new(),
        "status" => row.status().word(),
        "conversion_probability" => row.conversion_probability.map(|n| n.to_string()).unwrap_or_default(),
        "priority_score" if row.priority_score == 0 => String::new(),
        "priority_score" => row.priority_score.to_string(),
        "next_action" => row.next_action.clone(),
        "potential_interest" => row.potential_interest.clone(),
        "discovery_context" => row.discovery_context.clone(),
        "manual_intervention" if !row.manual_intervention => String::new(),
        "manual_intervention" => "true".to_owned(),
        "auto_reply_enabled" => row.auto_reply_enabled.map(|on| on.to_string()).unwrap_or_default(),
        // A tag that holds what separates tags, or that begins as an array does, would be read as something else.
        _ if row.tags.iter().any(|tag| tag.contains(';') || tag.starts_with('[')) => {
            serde_json::json!(row.tags).to_string()
        }
        _ => row.tags.join(";"),
    }
}

/// The fields of a row that hold something.
pub(in crate::cli) fn filled(row: &pb::Prospect) -> impl Iterator<Item = (&'static str, String)> {
    COLUMNS.into_iter().map(|field| (field, get(row, field))).filter(|(_, text)| !text.is_empty())
}

/// Sets a field to what a cell holds; `text` has no blanks around it. The error says what is wrong with it.
pub(super) fn set(row: &mut pb::Prospect, field: &str, text: &str) -> Result<(), String> {
    let number = || text.parse::<i32>().map_err(|_| "must be a whole number".to_owned());
    match field {
        "source" => text.clone_into(&mut row.source),
        "status" if text.is_empty() => {}
        "status" => {
            let status = pb::ProspectStatus::from_str(text, true);
            row.status = status.map_err(|_| "must be discovered, contacted, replied or converted")?.into();
        }
        "conversion_probability" if text.is_empty() => {}
        "conversion_probability" => row.conversion_probability = Some(number()?),
        "priority_score" if text.is_empty() => {}
        "priority_score" => row.priority_score = number()?,
        "next_action" => text.clone_into(&mut row.next_action),
        "potential_interest" => text.clone_into(&mut row.potential_interest),
        "discovery_context" => text.clone_into(&mut row.discovery_context),
        "manual_intervention" if text.is_empty() => {}
        "manual_intervention" => row.manual_intervention = boolean(text)?,
        "auto_reply_enabled" if text.is_empty() => {}
        "auto_reply_enabled" => row.auto_reply_enabled = Some(boolean(text)?),
        "email" => text.clone_into(&mut row.email),
        "company" => text.clone_into(&mut row.company),
        "contact_name" => text.clone_into(&mut row.contact_name),
        "position" => text.clone_into(&mut row.position),
        "industry" => text.clone_into(&mut row.industry),
        "location" => text.clone_into(&mut row.location),
        "business_size" => text.clone_into(&mut row.business_size),
        // As address books have it, which leave out what every website begins with.
        "source_url" if text.contains('.') && !text.contains(':') => row.source_url = format!("https://{text}"),
        "source_url" => text.clone_into(&mut row.source_url),
        "notes" => text.clone_into(&mut row.notes),
        "language" => row.language = tag(text),
        "time_zone" => text.clone_into(&mut row.time_zone),
        _ => match serde_json::from_str::<Vec<String>>(text) {
            Ok(tags) => row.tags = tags,
            Err(_) => row.tags = text.split(';').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect(),
        },
    }
    Ok(())
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}
