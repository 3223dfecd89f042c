//! Prospects.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;

use super::Scoped;
use super::error::{Noun, Result, StoreError};
use super::events::json;
use super::idempotency::RequestId;
use super::sql::tenant_sql;
use super::suppressions;
use super::tx::ScopedTx;
use super::writer::Write;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::id::{Ids, ProspectId};
use crate::domain::mask::Mask;
use crate::domain::paging::{Page, PageRequest, RowCursor, page};
use crate::domain::prospect::{
    Deleted, Prospect, ProspectFields, ProspectFilter, ProspectOrder, ProspectStatus, Replies,
};
use crate::domain::reply::{Engagement, Intent};
use crate::domain::suppression::{Suppression, SuppressionReason};
use crate::tenant::TenantId;

/// The columns of a prospect, of the table named `p`.
macro_rules! prospect_columns {
    () => {
        "p.id, p.email, p.company, p.contact_name, p.position, p.industry, p.location, p.business_size, p.source,
         p.source_url, p.notes, p.tags, p.language, p.status, p.conversion_probability, p.priority_score, p.next_action,
         p.potential_interest, p.discovery_context, p.manual_intervention, p.auto_reply_enabled, p.emails_sent,
         p.last_contact_time, p.replies_received, p.last_reply, p.last_reply_time, p.decided_intent, p.create_time,
         p.update_time, p.delete_time, p.purge_time, p.duplicate_of, p.revision"
    };
}

pub(super) use prospect_columns;

/// A prospect of the table named `p` as one value, which is what a reader gives away fastest: a JSON array in the order of
/// `ProspectRow`.
macro_rules! prospect_json {
    () => {
        concat!("json_array(", prospect_columns!(), ")")
    };
}

/// The filters of a list. The engagement is that of `Engagement::of`.
macro_rules! filtered {
    () => {
        "($5 IS NULL OR p.status = $5)
           AND ($6 IS NULL OR EXISTS (
               SELECT 1
               FROM campaign_prospects c
               WHERE c.tenant_id = $1 AND c.prospect_id = p.id AND c.campaign_id = $6))
           AND ($7 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.tags) WHERE value = $7))
           AND ($8 IS NULL OR p.industry_key = $8)
           AND ($9 IS NULL OR instr(p.search_key, $9) > 0)
           AND ($10 IS NULL OR $10 = CASE
               WHEN p.decided_intent = 'interested' THEN 'interested'
               WHEN p.decided_intent IN ('not_interested', 'unsubscribe') THEN 'not_interested'
               WHEN p.replies_received > 0 THEN 'engaged'
               WHEN p.emails_sent > 0 THEN 'awaiting'
               ELSE 'none' END)
           AND ($11 OR p.delete_time IS NULL)"
    };
}

/// Changes the row that has this id and this revision to what a JSON array of one row, as `values` gives it, says. The
/// argument is what else is set.
macro_rules! changed {
    ($more:literal) => {
        concat!(
            "UPDATE prospects
             SET company = value ->> '$[3]', contact_name = value ->> '$[4]', position = value ->> '$[5]',
                 industry = value ->> '$[6]', location = value ->> '$[7]', business_size = value ->> '$[8]',
                 source = value ->> '$[9]', source_url = value ->> '$[10]', notes = value ->> '$[11]',
                 tags = value ->> '$[12]', language = value ->> '$[13]', status = value ->> '$[14]',
                 conversion_probability = value ->> '$[15]', priority_score = value ->> '$[16]',
                 next_action = value ->> '$[17]', potential_interest = value ->> '$[18]',
                 discovery_context = value ->> '$[19]', manual_intervention = value ->> '$[20]',
                 auto_reply_enabled = value ->> '$[21]', search_key = value ->> '$[22]', industry_key = value ->> '$[23]',
                 update_time = $4, revision = revision + 1", $more, "
             FROM jsonb_each($5)
             WHERE tenant_id = $1 AND prospects.id = $2 AND revision = $3"
        )
    };
}

tenant_sql! {
    GET = concat!("SELECT ", prospect_json!(), " FROM prospects p WHERE p.tenant_id = $1 AND p.id = $2");
    LIST_NEWEST = concat!(
        "SELECT '[' || ifnull(group_concat(page.prospect), '') || ']'
         FROM (
             SELECT ", prospect_json!(), " AS prospect
             FROM prospects p
             WHERE p.tenant_id = $1 AND (p.create_time, p.id) < ($2, $3) AND ", filtered!(), "
             ORDER BY p.create_time DESC, p.id DESC
             LIMIT +$4) page");
    LIST_MOST_URGENT = concat!(
        "SELECT '[' || ifnull(group_concat(page.prospect), '') || ']'
         FROM (
             SELECT ", prospect_json!(), " AS prospect
             FROM prospects p
             WHERE p.tenant_id = $1 AND (p.priority_score, p.id) < ($2, $3) AND ", filtered!(), "
             ORDER BY p.priority_score DESC, p.id DESC
             LIMIT +$4) page");
    /// From the addresses to their holders: the other way round, SQLite looks through all of the tenant's.
    HOLDERS =
        "SELECT p.email_key, p.id
         FROM json_each($2) k
         CROSS JOIN prospects p
         WHERE p.tenant_id = $1 AND p.email_key = k.value AND p.delete_time IS NULL AND p.duplicate_of IS NULL";
    /// Adds the rows of a JSON array, each as `values` gives it; one whose address is held is passed over.
    INSERT =
        "INSERT INTO prospects (
             tenant_id, id, email, email_key, company, contact_name, position, industry, location, business_size,
             source, source_url, notes, tags, language, status, conversion_probability, priority_score, next_action,
             potential_interest, discovery_context, manual_intervention, auto_reply_enabled, search_key, industry_key,
             emails_sent, create_time, update_time, revision, keyed)
         SELECT $1, value ->> '$[0]', value ->> '$[1]', value ->> '$[2]', value ->> '$[3]',
             value ->> '$[4]', value ->> '$[5]', value ->> '$[6]', value ->> '$[7]', value ->> '$[8]',
             value ->> '$[9]', value ->> '$[10]', value ->> '$[11]', value ->> '$[12]', value ->> '$[13]',
             value ->> '$[14]', value ->> '$[15]', value ->> '$[16]', value ->> '$[17]', value ->> '$[18]',
             value ->> '$[19]', value ->> '$[20]', value ->> '$[21]', value ->> '$[22]', value ->> '$[23]',
             0, $2, $2, 1, 1
         FROM jsonb_each($3)
         WHERE true
         ON CONFLICT (tenant_id, email_key) WHERE delete_time IS NULL AND duplicate_of IS NULL DO NOTHING";
    UPDATE = changed!("");
    /// Touches the index of addresses, which the other need not.
    UPDATE_EMAIL = changed!(", email = value ->> '$[1]', email_key = value ->> '$[2]', duplicate_of = NULL");
    SET_DELETED =
        "UPDATE prospects
         SET delete_time = $4, purge_time = $5, update_time = $6, duplicate_of = NULL, revision = revision + 1
         WHERE tenant_id = $1 AND id = $2 AND revision = $3";
}

/// Adds prospects; a row whose address is held already is a duplicate.
pub struct CreateProspects {
    /// The id that each row gets if it is new, and the key of its address.
    rows: Vec<(ProspectId, String)>,
    /// All that is written of them, made where the call is and not in the writer, for whom everybody waits.
    values: String,
    request_id: Option<RequestId>,
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The prospect that was made, or the one that holds the address.
    pub id: ProspectId,
    pub duplicate: bool,
}

/// Deletes a prospect softly; nothing happens if it is deleted already.
pub struct DeleteProspect {
    pub id: ProspectId,
    /// Empty: whatever is there.
    pub etag: String,
    /// How long it can be brought back.
    pub keep: Duration,
}

/// Brings a deleted prospect back.
pub struct UndeleteProspect {
    pub id: ProspectId,
    /// Empty: whatever is there.
    pub etag: String,
}

/// Changes the fields that the mask names.
pub struct UpdateProspect {
    pub id: ProspectId,
    /// Checked for the fields of the mask.
    pub fields: ProspectFields,
    pub mask: Mask,
    /// Empty: whatever is there.
    pub etag: String,
    /// The prospect as it was just now: if it still is, the writer, whom everybody waits for, need not read it.
    pub seen: Option<Prospect>,
}

/// In the order of `prospect_columns!`.
#[derive(FromRow, Deserialize)]
pub(super) struct ProspectRow {
    id: ProspectId,
    email: String,
    company: String,
    contact_name: String,
    position: String,
    industry: String,
    location: String,
    business_size: String,
    source: String,
    source_url: String,
    notes: String,
    tags: String,
    language: String,
    status: String,
    conversion_probability: Option<i64>,
    priority_score: i64,
    next_action: String,
    potential_interest: String,
    discovery_context: String,
    manual_intervention: i64,
    auto_reply_enabled: i64,
    emails_sent: i64,
    last_contact_time: Option<i64>,
    replies_received: i64,
    last_reply: String,
    last_reply_time: Option<i64>,
    decided_intent: Option<String>,
    create_time: i64,
    update_time: i64,
    delete_time: Option<i64>,
    purge_time: Option<i64>,
    duplicate_of: Option<ProspectId>,
    revision: i64,
}

impl Scoped<'_> {
    pub async fn prospect(&self, id: &ProspectId) -> Result<Option<Prospect>> {
        let row: Option<ProspectRow> = self.row(GET, id.as_str()).await?;
        row.map(ProspectRow::prospect).transpose()
    }

    /// In the filter's order.
    pub async fn prospects(
        &self,
        request: &PageRequest<RowCursor>,
        filter: &ProspectFilter,
    ) -> Result<Page<Prospect, RowCursor>> {
        let (at, id) = highest_first(request);
        let query = match filter.order {
            ProspectOrder::Newest => self.query(LIST_NEWEST),
            ProspectOrder::MostUrgent => self.query(LIST_MOST_URGENT),
        };
        let query = query.bind(at).bind(id).bind(request.size + 1);
        let query = query.bind(filter.status.map(ProspectStatus::as_str)).bind(filter.campaign.clone());
        let query = query.bind(filter.tag.clone()).bind(filter.industry.as_ref().map(|text| text.to_lowercase()));
        let query = query.bind(filter.query.as_ref().map(|text| text.to_lowercase()));
        let query = query.bind(filter.engagement.map(Engagement::as_str)).bind(filter.show_deleted);
        let rows: Option<Vec<ProspectRow>> = query.json().await?;
        let rows = rows.into_iter().flatten().map(ProspectRow::prospect).collect::<Result<_>>()?;
        Ok(page(rows, request.size, |p: &Prospect| p.place(filter.order)))
    }
}

/// The place after which a page of a list begins that has the highest first; before everything for the first.
pub(super) fn highest_first(request: &PageRequest<RowCursor>) -> (i64, String) {
    request.after.as_ref().map_or_else(|| (i64::MAX, String::new()), |c| (c.at, c.id.clone()))
}

impl CreateProspects {
    /// Gives each row, which has been checked, its id; they sort as the rows do.
    pub fn new(rows: Vec<ProspectFields>, request_id: Option<RequestId>, ids: &Ids) -> Self {
        let mut made: Vec<_> = rows.iter().map(|_| ProspectId::make(ids)).collect();
        made.sort_unstable();
        let values: Vec<_> = made.iter().zip(&rows).map(|(id, fields)| values(id, fields)).collect();
        let keys = rows.iter().map(|fields| address::key(&fields.email));
        Self { values: json(&values), rows: made.into_iter().zip(keys).collect(), request_id }
    }

    /// Which rows are there now: their own, or the ones that held their addresses.
    fn found(&self, tx: &mut ScopedTx<'_>) -> Result<Vec<Created>> {
        let keys: Vec<_> = self.rows.iter().map(|(_, key)| key).collect();
        let holders: Vec<(String, ProspectId)> = tx.query(HOLDERS).bind(json(&keys)).all()?;
        let holders: HashMap<_, _> = holders.into_iter().collect();
        let found = self.rows.iter().map(|(id, key)| {
            let holder = holders.get(key).ok_or_else(|| StoreError::Broken("a prospect was not added".to_owned()))?;
            Ok(Created { id: holder.clone(), duplicate: holder != id })
        });
        found.collect()
    }
}

impl Write for CreateProspects {
    type Out = Vec<Created>;

    fn weight(&self) -> usize {
        self.rows.len()
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Vec<Created>> {
        if let Some(request_id) = &self.request_id
            && let Some(before) = request_id.find(tx)?
        {
            return Ok(before);
        }
        let now = tx.now();
        let added = tx.query(INSERT).bind(now.0).bind(self.values.as_str()).execute()?;
        tx.count("prospects", i64::try_from(added).unwrap_or(i64::MAX));
        let results = if added == self.rows.len() as u64 {
            self.rows.iter().map(|(id, _)| Created { id: id.clone(), duplicate: false }).collect()
        } else {
            self.found(tx)?
        };
        if let Some(request_id) = &self.request_id {
            request_id.keep(tx, &results)?;
        }
        Ok(results)
    }
}

impl Write for UpdateProspect {
    type Out = Prospect;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Prospect> {
        // It may no longer be what was seen.
        if let Some(seen) = self.as_seen(tx.tenant())
            && let Some(changed) = self.change(tx, seen.clone())?
        {
            return Ok(changed);
        }
        let prospect = find(tx, &self.id, "")?;
        self.allows(tx.tenant(), &prospect)?;
        let changed = self.change(tx, prospect)?;
        changed.ok_or_else(|| StoreError::Broken("a prospect changed while it was written".to_owned()))
    }
}

impl UpdateProspect {
    /// Whether it may give the prospect another address.
    fn moves(&self) -> bool {
        self.mask.has("email")
    }

    /// The prospect as it was just now, where that is enough to change it.
    fn as_seen(&self, tenant: &TenantId) -> Option<&Prospect> {
        self.seen.as_ref().filter(|seen| !self.moves() && self.allows(tenant, seen).is_ok())
    }

    fn allows(&self, tenant: &TenantId, prospect: &Prospect) -> Result<()> {
        check_etag(tenant, prospect, &self.etag)?;
        if prospect.deleted.is_some() { Err(StoreError::ProspectDeleted) } else { Ok(()) }
    }

    /// The prospect as it is after the change.
    fn changed(&self, mut prospect: Prospect, now: Timestamp) -> Prospect {
        prospect.fields.merge(&self.fields, &self.mask);
        if self.moves() {
            prospect.duplicate_of = None;
        }
        prospect.update_time = now;
        prospect.revision += 1;
        prospect
    }

    /// Changes the row; None, and nothing is done, if it is no longer the one that is given.
    fn change(&self, tx: &mut ScopedTx<'_>, prospect: Prospect) -> Result<Option<Prospect>> {
        let (now, revision) = (tx.now(), prospect.revision);
        let prospect = self.changed(prospect, now);
        if self.moves() {
            refuse_if_taken(tx, &prospect)?;
        }
        let query = tx.change_row(if self.moves() { UPDATE_EMAIL } else { UPDATE }, prospect.id.as_str());
        let values = json(&[values(&prospect.id, &prospect.fields)]);
        let changed = query.bind(revision).bind(now.0).bind(values).execute()?;
        Ok((changed == 1).then_some(prospect))
    }
}

impl Write for DeleteProspect {
    type Out = Prospect;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Prospect> {
        let prospect = find(tx, &self.id, "")?;
        if prospect.deleted.is_some() {
            // Whatever the etag: the answer of the first time may have been lost.
            return Ok(prospect);
        }
        check_etag(tx.tenant(), &prospect, &self.etag)?;
        if prospect.engagement() == Engagement::NotInterested {
            // The refusal outlives the prospect, whose address may come back under another id.
            let suppression = Suppression {
                email: prospect.fields.email.clone(),
                reason: SuppressionReason::Refused,
                source: "deleted prospect".to_owned(),
                create_time: tx.now(),
            };
            suppressions::add(tx, &[suppression])?;
        }
        let time = tx.now();
        let keep = i64::try_from(self.keep.as_secs()).unwrap_or(i64::MAX);
        set_deleted(tx, prospect, Some(Deleted { time, purge_time: time.plus_seconds(keep) }))
    }
}

impl Write for UndeleteProspect {
    type Out = Prospect;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Prospect> {
        let prospect = find(tx, &self.id, &self.etag)?;
        if prospect.deleted.is_none() {
            return Err(StoreError::ProspectNotDeleted);
        }
        refuse_if_taken(tx, &prospect)?;
        set_deleted(tx, prospect, None)
    }
}

/// The prospect, inside a write; refused if the etag is given and not its own.
pub(super) fn find(tx: &mut ScopedTx<'_>, id: &ProspectId, etag: &str) -> Result<Prospect> {
    let row: Option<ProspectRow> = tx.query(GET).bind(id.clone()).json()?;
    let prospect = row.ok_or(StoreError::NotFound(Noun::Prospect))?.prospect()?;
    check_etag(tx.tenant(), &prospect, etag)?;
    Ok(prospect)
}

fn check_etag(tenant: &TenantId, prospect: &Prospect, etag: &str) -> Result<()> {
    let fits = etag.is_empty() || etag == prospect.etag(tenant.as_str());
    if fits { Ok(()) } else { Err(StoreError::EtagMismatch) }
}

/// An address belongs to one prospect among those that are not deleted.
fn refuse_if_taken(tx: &mut ScopedTx<'_>, prospect: &Prospect) -> Result<()> {
    let keys = [address::key(&prospect.fields.email)];
    let holders: Vec<(String, ProspectId)> = tx.query(HOLDERS).bind(json(&keys)).all()?;
    if holders.iter().any(|(_, holder)| *holder != prospect.id) { Err(StoreError::EmailTaken) } else { Ok(()) }
}

fn set_deleted(tx: &mut ScopedTx<'_>, mut prospect: Prospect, deleted: Option<Deleted>) -> Result<Prospect> {
    prospect.deleted = deleted;
    prospect.duplicate_of = None;
    prospect.update_time = tx.now();
    let query = tx.change_row(SET_DELETED, prospect.id.as_str()).bind(prospect.revision);
    let query = query.bind(deleted.map(|d| d.time.0)).bind(deleted.map(|d| d.purge_time.0));
    query.bind(prospect.update_time.0).execute_exactly(1)?;
    prospect.revision += 1;
    Ok(prospect)
}

/// What is written of a prospect, in the order in which `INSERT` and `UPDATE` read it.
fn values(id: &ProspectId, f: &ProspectFields) -> Vec<Value> {
    vec![
        id.as_str().into(),
        f.email.as_str().into(),
        address::key(&f.email).into(),
        f.company.as_str().into(),
        f.contact_name.as_str().into(),
        f.position.as_str().into(),
        f.industry.as_str().into(),
        f.location.as_str().into(),
        f.business_size.as_str().into(),
        f.source.as_str().into(),
        f.source_url.as_str().into(),
        f.notes.as_str().into(),
        json(&f.tags).into(),
        f.language.as_str().into(),
        f.status.as_str().into(),
        f.conversion_probability.into(),
        f.priority_score.into(),
        f.next_action.as_str().into(),
        f.potential_interest.as_str().into(),
        f.discovery_context.as_str().into(),
        // SQLite's JSON has booleans, its tables 0 and 1.
        u8::from(f.manual_intervention).into(),
        u8::from(f.auto_reply_enabled).into(),
        f.search_key().into(),
        f.industry.to_lowercase().into(),
    ]
}

impl ProspectRow {
    pub(super) fn prospect(self) -> Result<Prospect> {
        let broken = |what: &str| StoreError::Broken(format!("prospect {} has a {what} that cannot be", self.id));
        let status = ProspectStatus::parse(&self.status).ok_or_else(|| broken("status"))?;
        let tags = serde_json::from_str(&self.tags).map_err(|_| broken("list of tags"))?;
        let percent = |n: i64, what| u8::try_from(n).map_err(|_| broken(what));
        let decided = match self.decided_intent.as_deref() {
            Some(name) => Some(Intent::parse(name).ok_or_else(|| broken("intent"))?),
            None => None,
        };
        let deleted = self.delete_time.zip(self.purge_time);
        Ok(Prospect {
            fields: ProspectFields {
                email: self.email,
                company: self.company,
                contact_name: self.contact_name,
                position: self.position,
                industry: self.industry,
                location: self.location,
                business_size: self.business_size,
                source: self.source,
                source_url: self.source_url,
                notes: self.notes,
                tags,
                conversion_probability: self.conversion_probability.map(|n| percent(n, "probability")).transpose()?,
                priority_score: percent(self.priority_score, "priority")?,
                language: self.language,
                status,
                next_action: self.next_action,
                potential_interest: self.potential_interest,
                discovery_context: self.discovery_context,
                manual_intervention: self.manual_intervention != 0,
                auto_reply_enabled: self.auto_reply_enabled != 0,
            },
            emails_sent: u32::try_from(self.emails_sent).unwrap_or(0),
            last_contact_time: self.last_contact_time.map(Timestamp),
            replies: Replies {
                received: u32::try_from(self.replies_received).unwrap_or(0),
                last: self.last_reply,
                last_time: self.last_reply_time.map(Timestamp),
                decided,
            },
            duplicate_of: self.duplicate_of,
            deleted: deleted.map(|(time, purge)| Deleted { time: Timestamp(time), purge_time: Timestamp(purge) }),
            create_time: Timestamp(self.create_time),
            update_time: Timestamp(self.update_time),
            revision: self.revision,
            id: self.id,
        })
    }
}
