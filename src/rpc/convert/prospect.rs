//! Prospects.

use super::enumeration;
use crate::domain::error::{Error, Violations};
use crate::domain::mask::Mask;
use crate::domain::prospect::{FIELDS, MAX_BATCH, Prospect, ProspectFields, ProspectStatus};
use crate::pb;
use crate::tenant::TenantId;

pub(in crate::rpc) fn out(prospect: Prospect, tenant: &TenantId) -> pb::Prospect {
    let etag = prospect.etag(tenant.as_str());
    let fields = prospect.fields;
    pb::Prospect {
        id: prospect.id.to_string(),
        email: fields.email,
        company: fields.company,
        contact_name: fields.contact_name,
        position: fields.position,
        industry: fields.industry,
        location: fields.location,
        business_size: fields.business_size,
        source: fields.source,
        source_url: fields.source_url,
        notes: fields.notes,
        tags: fields.tags,
        language: fields.language,
        status: status(fields.status).into(),
        emails_sent: i32::try_from(prospect.emails_sent).unwrap_or(i32::MAX),
        last_contact_time: prospect.last_contact_time.map(Into::into),
        create_time: Some(prospect.create_time.into()),
        update_time: Some(prospect.update_time.into()),
        etag,
    }
}

/// The checked rows of a batch; if any is bad, every bad one is named.
pub(in crate::rpc) fn batch(rows: Vec<pb::Prospect>) -> Result<Vec<ProspectFields>, Error> {
    if rows.is_empty() || rows.len() > MAX_BATCH {
        return Err(Error::field("prospects", format!("must be 1 to {MAX_BATCH}; there are {}", rows.len())));
    }
    let mut v = Violations::default();
    let mask = Mask::all(FIELDS);
    let checked = rows.into_iter().enumerate().map(|(i, row)| {
        let path = format!("prospects[{i}].");
        fields(row, &mut v, &path).check(&mut v, &path, &mask)
    });
    let checked = checked.collect();
    v.done().map(|()| checked)
}

/// The masked fields of an update, checked.
pub(in crate::rpc) fn update(row: pb::Prospect, paths: &[String]) -> Result<(ProspectFields, Mask), Error> {
    let mask = Mask::parse(paths, FIELDS, set_fields(&row))?;
    let mut v = Violations::default();
    let fields = fields(row, &mut v, "prospect.").check(&mut v, "prospect.", &mask);
    v.done().map(|()| (fields, mask))
}

/// The status to filter by; None for all.
pub(in crate::rpc) fn status_filter(value: i32) -> Result<Option<ProspectStatus>, Error> {
    let wanted: pb::ProspectStatus = enumeration("status", value)?;
    Ok(ProspectStatus::ALL.into_iter().find(|s| status(*s) == wanted))
}

fn fields(row: pb::Prospect, v: &mut Violations, path: &str) -> ProspectFields {
    let status = v.take(&format!("{path}status"), status_filter(row.status)).flatten().unwrap_or_default();
    ProspectFields {
        email: row.email,
        company: row.company,
        contact_name: row.contact_name,
        position: row.position,
        industry: row.industry,
        location: row.location,
        business_size: row.business_size,
        source: row.source,
        source_url: row.source_url,
        notes: row.notes,
        tags: row.tags,
        language: row.language,
        status,
    }
}

/// The fields that are not empty, as an absent mask means them (AIP-134).
fn set_fields(row: &pb::Prospect) -> Vec<&'static str> {
    let set = [
        ("email", !row.email.is_empty()),
        ("company", !row.company.is_empty()),
        ("contact_name", !row.contact_name.is_empty()),
        ("position", !row.position.is_empty()),
        ("industry", !row.industry.is_empty()),
        ("location", !row.location.is_empty()),
        ("business_size", !row.business_size.is_empty()),
        ("source", !row.source.is_empty()),
        ("source_url", !row.source_url.is_empty()),
        ("notes", !row.notes.is_empty()),
        ("tags", !row.tags.is_empty()),
        ("language", !row.language.is_empty()),
        ("status", row.status != 0),
    ];
    set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
}

fn status(status: ProspectStatus) -> pb::ProspectStatus {
    match status {
        ProspectStatus::Discovered => pb::ProspectStatus::Discovered,
        ProspectStatus::Contacted => pb::ProspectStatus::Contacted,
        ProspectStatus::Replied => pb::ProspectStatus::Replied,
        ProspectStatus::Converted => pb::ProspectStatus::Converted,
    }
}
