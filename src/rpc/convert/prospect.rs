//! Prospects.

use super::{enumeration, id};
use crate::domain::error::{Error, Violation, Violations};
use crate::domain::id::CampaignId;
use crate::domain::mask::Mask;
use crate::domain::number::saturating_i32;
use crate::domain::prospect::{
    FIELDS, MAX_BATCH, Prospect, ProspectFields, ProspectFilter, ProspectOrder, ProspectStatus,
};
use crate::domain::reply::Engagement;
use crate::domain::text;
use crate::pb;
use crate::tenant::TenantId;

/// All of the prospect.
pub(in crate::rpc) fn out(prospect: Prospect, tenant: &TenantId) -> pb::Prospect {
    let etag = prospect.etag(tenant.as_str());
    let engagement = engagement(prospect.engagement());
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
        emails_sent: saturating_i32(prospect.emails_sent),
        last_contact_time: prospect.last_contact_time.map(Into::into),
        create_time: Some(prospect.create_time.into()),
        update_time: Some(prospect.update_time.into()),
        etag,
        conversion_probability: fields.conversion_probability.map(i32::from),
        priority_score: i32::from(fields.priority_score),
        next_action: fields.next_action,
        potential_interest: fields.potential_interest,
        discovery_context: fields.discovery_context,
        manual_intervention: fields.manual_intervention,
        auto_reply_enabled: Some(fields.auto_reply_enabled),
        time_zone: fields.time_zone,
        replies_received: saturating_i32(prospect.replies.received),
        last_reply: prospect.replies.last,
        last_reply_time: prospect.replies.last_time.map(Into::into),
        engagement: engagement.into(),
        delete_time: prospect.deleted.map(|deleted| deleted.time.into()),
        purge_time: prospect.deleted.map(|deleted| deleted.purge_time.into()),
        duplicate_of: prospect.duplicate_of.map(|id| id.to_string()).unwrap_or_default(),
    }
}

/// The view that is asked for, or `otherwise`.
pub(in crate::rpc) fn view(view: i32, otherwise: pb::ProspectView) -> Result<pb::ProspectView, Error> {
    Ok(match enumeration("view", view)? {
        pb::ProspectView::Unspecified => otherwise,
        view => view,
    })
}

/// So much of the prospect as the view tells.
pub(in crate::rpc) fn viewed(prospect: Prospect, tenant: &TenantId, view: pb::ProspectView) -> pb::Prospect {
    let full = out(prospect, tenant);
    if view == pb::ProspectView::Full {
        return full;
    }
    let none = String::new;
    pb::Prospect {
        notes: none(),
        discovery_context: none(),
        potential_interest: none(),
        next_action: none(),
        last_reply: none(),
        ..full
    }
}

/// What a list is asked for.
pub(in crate::rpc) fn filter(request: &pb::ListProspectsRequest) -> Result<ProspectFilter, Error> {
    let mut v = Violations::default();
    let mut line = |field: &str, text: &str| {
        let text = text::line(&mut v, field, text, text::SHORT);
        (!text.is_empty()).then_some(text)
    };
    let (tag, industry, query) =
        (line("tag", &request.tag), line("industry", &request.industry), line("query", &request.query));
    let order = v.take("order_by", ProspectOrder::parse(&request.order_by)).unwrap_or_default();
    v.done()?;
    let wanted: pb::Engagement = enumeration("engagement", request.engagement)?;
    let campaign = match request.campaign_id.as_str() {
        "" => None,
        text => Some(id("campaign_id", text, CampaignId::parse)?),
    };
    Ok(ProspectFilter {
        status: status_filter("status", request.status)?,
        campaign,
        tag,
        industry,
        query,
        engagement: Engagement::ALL.into_iter().find(|known| engagement(*known) == wanted),
        show_deleted: request.show_deleted,
        order,
    })
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

/// What would be refused in a row of a batch.
pub fn faults(row: pb::Prospect) -> Vec<Violation> {
    let mut v = Violations::default();
    fields(row, &mut v, "").check(&mut v, "", &Mask::all(FIELDS));
    match v.done() {
        Err(Error::Invalid(faults)) => faults.list().to_vec(),
        _ => Vec::new(),
    }
}

/// The masked fields of an update, checked.
pub(in crate::rpc) fn update(row: pb::Prospect, paths: &[String]) -> Result<(ProspectFields, Mask), Error> {
    let mask = Mask::parse(paths, FIELDS, set_fields(&row))?;
    let mut v = Violations::within("prospect.", mask.fields());
    let fields = fields(row, &mut v, "prospect.").check(&mut v, "prospect.", &mask);
    v.done().map(|()| (fields, mask))
}

/// The status to filter by; None for all.
pub(in crate::rpc) fn status_filter(field: &str, value: i32) -> Result<Option<ProspectStatus>, Error> {
    let wanted: pb::ProspectStatus = enumeration(field, value)?;
    Ok(ProspectStatus::ALL.into_iter().find(|s| status(*s) == wanted))
}

fn fields(row: pb::Prospect, v: &mut Violations, path: &str) -> ProspectFields {
    let status = v.part(status_filter(&format!("{path}status"), row.status)).flatten().unwrap_or_default();
    let mut percent = |name: &str, value: i32| {
        let percent = u8::try_from(value).ok().filter(|percent| *percent <= 100);
        v.take(&format!("{path}{name}"), percent.ok_or("must be between 0 and 100"))
    };
    let conversion_probability = row.conversion_probability.and_then(|n| percent("conversion_probability", n));
    let priority_score = percent("priority_score", row.priority_score).unwrap_or_default();
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
        conversion_probability,
        priority_score,
        next_action: row.next_action,
        potential_interest: row.potential_interest,
        discovery_context: row.discovery_context,
        manual_intervention: row.manual_intervention,
        auto_reply_enabled: row.auto_reply_enabled.unwrap_or(true),
        time_zone: row.time_zone,
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
        ("conversion_probability", row.conversion_probability.is_some()),
        ("priority_score", row.priority_score != 0),
        ("next_action", !row.next_action.is_empty()),
        ("potential_interest", !row.potential_interest.is_empty()),
        ("discovery_context", !row.discovery_context.is_empty()),
        ("manual_intervention", row.manual_intervention),
        ("auto_reply_enabled", row.auto_reply_enabled.is_some()),
        ("time_zone", !row.time_zone.is_empty()),
    ];
    set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
}

pub(in crate::rpc) fn counts(counts: Vec<(ProspectStatus, i64)>) -> pb::CountProspectsResponse {
    let count = |(of, count)| pb::ProspectCount { status: status(of).into(), count };
    let mut counts: Vec<_> = counts.into_iter().map(count).collect();
    counts.sort_by_key(|count| count.status);
    pb::CountProspectsResponse { total_count: counts.iter().map(|count| count.count).sum(), counts }
}

pub(in crate::rpc) fn status(status: ProspectStatus) -> pb::ProspectStatus {
    match status {
        ProspectStatus::Discovered => pb::ProspectStatus::Discovered,
        ProspectStatus::Contacted => pb::ProspectStatus::Contacted,
        ProspectStatus::Replied => pb::ProspectStatus::Replied,
        ProspectStatus::Converted => pb::ProspectStatus::Converted,
    }
}

fn engagement(engagement: Engagement) -> pb::Engagement {
    match engagement {
        Engagement::None => pb::Engagement::None,
        Engagement::Awaiting => pb::Engagement::Awaiting,
        Engagement::Engaged => pb::Engagement::Engaged,
        Engagement::Interested => pb::Engagement::Interested,
        Engagement::NotInterested => pb::Engagement::NotInterested,
    }
}
