//! What changes prospects.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{check_etag, find};
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::id::{Ids, ProspectId};
use crate::domain::mask::Mask;
use crate::domain::prospect::{Deleted, Prospect, ProspectFields};
use crate::domain::reply::Engagement;
use crate::domain::suppression::{Suppression, SuppressionReason};
use crate::store::error::{Inconsistency, Result, StoreError};
use crate::store::request_id::{RequestId, once};
use crate::store::sql::{json, tenant_sql};
use crate::store::suppressions;
use crate::store::tx::ScopedTx;
use crate::store::write::{CallWrite, Touched, Write};
use crate::tenant::TenantId;

/// Changes the row that has this id and this revision to what a JSON array of one row, as `values` gives it, says. The
/// argument is what else is set.
macro_rules! changed {
    ($more:literal) => {
        concat!(
            "UPDATE prospects
             SET company = value ->> {3}, contact_name = value ->> {4}, position = value ->> {5},
                 industry = value ->> {6}, location = value ->> {7}, business_size = value ->> {8},
                 source = value ->> {9}, source_url = value ->> {10}, notes = value ->> {11},
                 tags = value ->> {12}, language = value ->> {13}, status = value ->> {14},
                 conversion_probability = CAST(value ->> {15} AS bigint), priority_score = CAST(value ->> {16} AS bigint),
                 next_action = value ->> {17}, potential_interest = value ->> {18},
                 discovery_context = value ->> {19}, manual_intervention = CAST(value ->> {20} AS bigint),
                 auto_reply_enabled = CAST(value ->> {21} AS bigint), search_key = value ->> {22}, industry_key = value ->> {23},
                 time_zone = value ->> {24},
                 update_time = $4, revision = revision + 1", $more, "
             FROM {elements}($5)
             WHERE tenant_id = $1 AND prospects.id = $2 AND revision = $3"
        )
    };
}

tenant_sql! {
    /// From the addresses to their holders: the other way round, SQLite looks through all of the tenant's.
    HOLDERS =
        "SELECT p.email_key, p.id
         FROM {texts}($2) k
         CROSS JOIN prospects p
         WHERE p.tenant_id = $1 AND p.email_key = k.value AND p.delete_time IS NULL AND p.duplicate_of IS NULL";
    /// Adds the rows of a JSON array, each as `values` gives it; one whose address is held is passed over.
    INSERT =
        "INSERT INTO prospects (
             tenant_id, id, email, email_key, company, contact_name, position, industry, location, business_size,
             source, source_url, notes, tags, language, status, conversion_probability, priority_score, next_action,
             potential_interest, discovery_context, manual_intervention, auto_reply_enabled, search_key, industry_key,
             time_zone, emails_sent, create_time, update_time, revision, keyed)
         SELECT $1, value ->> {0}, value ->> {1}, value ->> {2}, value ->> {3},
             value ->> {4}, value ->> {5}, value ->> {6}, value ->> {7}, value ->> {8},
             value ->> {9}, value ->> {10}, value ->> {11}, value ->> {12}, value ->> {13},
             value ->> {14}, CAST(value ->> {15} AS bigint), CAST(value ->> {16} AS bigint), value ->> {17}, value ->> {18},
             value ->> {19}, CAST(value ->> {20} AS bigint), CAST(value ->> {21} AS bigint), value ->> {22}, value ->> {23},
             value ->> {24}, 0, $2, $2, 1, 1
         FROM {elements}($3)
         WHERE true
         ON CONFLICT (tenant_id, email_key) WHERE delete_time IS NULL AND duplicate_of IS NULL DO NOTHING";
    UPDATE = changed!("");
    /// Touches the index of addresses, which the other need not.
    UPDATE_EMAIL = changed!(", email = value ->> {1}, email_key = value ->> {2}, duplicate_of = NULL");
    CONTACTED =
        "UPDATE prospects
         SET emails_sent = emails_sent + 1, last_contact_time = $3, update_time = $3, revision = revision + 1,
             status = CASE status WHEN 'discovered' THEN 'contacted' ELSE status END
         WHERE tenant_id = $1 AND id = $2";
    SET_DELETED =
        "UPDATE prospects
         SET delete_time = $4, purge_time = $5, update_time = $6, duplicate_of = NULL, revision = revision + 1
         WHERE tenant_id = $1 AND id = $2 AND revision = $3";
}

/// A mail has gone to the prospect, which may be purged meanwhile.
pub(in crate::store) fn contacted(tx: &mut ScopedTx<'_>, id: &ProspectId) -> Result<()> {
    let now = tx.now();
    tx.query(CONTACTED).bind(id).bind(now).execute().map(|_| ())
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
            let holder =
                holders.get(key).ok_or_else(|| Inconsistency::Changed { table: "prospects", id: id.to_string() })?;
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
        once(tx, self.request_id.as_ref(), |tx| self.add(tx))
    }
}

impl CreateProspects {
    fn add(&self, tx: &mut ScopedTx<'_>) -> Result<Vec<Created>> {
        let now = tx.now();
        let added = tx.query(INSERT).bind(now).bind(self.values.as_str()).execute()?;
        if added == self.rows.len() as u64 {
            return Ok(self.rows.iter().map(|(id, _)| Created { id: id.clone(), duplicate: false }).collect());
        }
        self.found(tx)
    }
}

impl CallWrite for CreateProspects {
    fn touched(&self, created: &Vec<Created>) -> Touched {
        Touched::ids(created.iter().filter(|created| !created.duplicate).map(|created| &created.id))
    }

    fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
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
        changed.ok_or_else(|| Inconsistency::Changed { table: "prospects", id: self.id.to_string() }.into())
    }
}

impl CallWrite for UpdateProspect {
    fn touched(&self, _: &Prospect) -> Touched {
        Touched::ids([&self.id]).with_fields(self.mask.fields().iter().copied())
    }
}

impl UpdateProspect {
    /// Whether it may give the prospect another address.
    fn changes_email(&self) -> bool {
        self.mask.has("email")
    }

    /// The prospect as it was just now, where that is enough to change it.
    fn as_seen(&self, tenant: &TenantId) -> Option<&Prospect> {
        self.seen.as_ref().filter(|seen| !self.changes_email() && self.allows(tenant, seen).is_ok())
    }

    fn allows(&self, tenant: &TenantId, prospect: &Prospect) -> Result<()> {
        check_etag(tenant, prospect, &self.etag)?;
        if prospect.deleted.is_some() { Err(StoreError::ProspectDeleted) } else { Ok(()) }
    }

    /// The prospect as it is after the change.
    fn changed(&self, mut prospect: Prospect, now: Timestamp) -> Prospect {
        prospect.fields.merge(&self.fields, &self.mask);
        if self.changes_email() {
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
        if self.changes_email() {
            refuse_if_taken(tx, &prospect)?;
        }
        let query = tx.change_row(if self.changes_email() { UPDATE_EMAIL } else { UPDATE }, prospect.id.as_str());
        let values = json(&[values(&prospect.id, &prospect.fields)]);
        let changed = query.bind(revision).bind(now).bind(values).execute()?;
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

impl CallWrite for DeleteProspect {
    fn touched(&self, _: &Prospect) -> Touched {
        Touched::ids([&self.id])
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

impl CallWrite for UndeleteProspect {
    fn touched(&self, _: &Prospect) -> Touched {
        Touched::ids([&self.id])
    }
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
    let query = query.bind(deleted.map(|d| d.time)).bind(deleted.map(|d| d.purge_time));
    query.bind(prospect.update_time).execute_exactly(1)?;
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
        f.time_zone.as_str().into(),
    ]
}
