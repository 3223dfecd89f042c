//! Prospects: reading them. What changes them is in `writes`.

pub(super) mod writes;

pub(super) use writes::contacted;
pub use writes::{CreateProspects, Created, DeleteProspect, UndeleteProspect, UpdateProspect};

use super::door::Scoped;
use super::error::{Noun, Result, StoreError, refuse_stale};
use super::paging::highest_first;
use super::sql::{Cells, Json, Record, Unreadable, tenant_sql};
use super::tx::ScopedTx;
use crate::domain::clock::Timestamp;
use crate::domain::id::ProspectId;
use crate::domain::paging::{Page, PageRequest, RowCursor, page};
use crate::domain::prospect::{
    Deleted, Prospect, ProspectFields, ProspectFilter, ProspectOrder, ProspectStatus, Replies,
};
use crate::domain::reply::Engagement;
use crate::tenant::TenantId;

/// The columns of a prospect, of the table named `p`.
macro_rules! prospect_columns {
    () => {
        "p.id, p.email, p.company, p.contact_name, p.position, p.industry, p.location, p.business_size, p.source,
         p.source_url, p.notes, p.tags, p.language, p.status, p.conversion_probability, p.priority_score, p.next_action,
         p.potential_interest, p.discovery_context, p.manual_intervention, p.auto_reply_enabled, p.time_zone,
         p.emails_sent,
         p.last_contact_time, p.replies_received, p.last_reply, p.last_reply_time, p.decided_intent, p.create_time,
         p.update_time, p.delete_time, p.purge_time, p.duplicate_of, p.revision"
    };
}

pub(super) use prospect_columns;

/// The filters of a list. The engagement is that of `Engagement::of`.
macro_rules! filtered {
    () => {
        "(CAST($5 AS text) IS NULL OR p.status = $5)
           AND (CAST($6 AS text) IS NULL OR EXISTS (
               SELECT 1
               FROM campaign_prospects c
               WHERE c.tenant_id = $1 AND c.prospect_id = p.id AND c.campaign_id = $6))
           AND (CAST($7 AS text) IS NULL OR EXISTS (SELECT 1 FROM {texts}(CAST(p.tags AS {json})) t WHERE t.value = $7))
           AND (CAST($8 AS text) IS NULL OR p.industry_key = $8)
           AND (CAST($9 AS text) IS NULL OR {position}(p.search_key, $9) > 0)
           AND (CAST($10 AS text) IS NULL OR $10 = CASE
               WHEN p.decided_intent = 'interested' THEN 'interested'
               WHEN p.decided_intent IN ('not_interested', 'unsubscribe') THEN 'not_interested'
               WHEN p.replies_received > 0 THEN 'engaged'
               WHEN p.emails_sent > 0 THEN 'awaiting'
               ELSE 'none' END)
           AND (CAST($11 AS bigint) = 1 OR p.delete_time IS NULL)"
    };
}

tenant_sql! {
    GET = concat!("SELECT ", prospect_columns!(), " FROM prospects p WHERE p.tenant_id = $1 AND p.id = $2");
    COUNTS =
        "SELECT status, count
         FROM prospect_counts
         WHERE tenant_id = $1 AND count > 0";
    LIST_NEWEST = concat!(
        "SELECT ", prospect_columns!(), "
         FROM prospects p
         WHERE p.tenant_id = $1 AND (p.create_time, p.id) < ($2, $3) AND ", filtered!(), "
         ORDER BY p.create_time DESC, p.id DESC
         LIMIT CAST($4 AS bigint)");
    LIST_MOST_URGENT = concat!(
        "SELECT ", prospect_columns!(), "
         FROM prospects p
         WHERE p.tenant_id = $1 AND (p.priority_score, p.id) < ($2, $3) AND ", filtered!(), "
         ORDER BY p.priority_score DESC, p.id DESC
         LIMIT CAST($4 AS bigint)");
}

impl Scoped<'_> {
    pub async fn prospect(&self, id: &ProspectId) -> Result<Option<Prospect>> {
        self.row(GET, id.as_str()).await
    }

    /// How many there are of each status; those that are deleted count for none.
    pub async fn prospect_counts(&self) -> Result<Vec<(ProspectStatus, i64)>> {
        self.query(COUNTS).all().await
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
        Ok(page(query.all().await?, request.size, |p: &Prospect| p.place(filter.order)))
    }
}

/// The prospect, inside a write; refused if the etag is given and not its own.
pub(super) fn find(tx: &mut ScopedTx<'_>, id: &ProspectId, etag: &str) -> Result<Prospect> {
    let prospect: Option<Prospect> = tx.query(GET).bind(id).optional()?;
    let prospect = prospect.ok_or(StoreError::NotFound(Noun::Prospect))?;
    check_etag(tx.tenant(), &prospect, etag)?;
    Ok(prospect)
}

fn check_etag(tenant: &TenantId, prospect: &Prospect, etag: &str) -> Result<()> {
    refuse_stale(etag, || prospect.etag(tenant.as_str()))
}

// === impl Prospect ===

/// In the order of `prospect_columns!`.
impl Record for Prospect {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        let id = cells.named("id")?;
        let email = cells.named("email")?;
        let (company, contact_name, position) = cells.take()?;
        let (industry, location, business_size) = cells.take()?;
        let (source, source_url, notes) = cells.take()?;
        let tags = cells.named::<Json<_>>("tags")?.0;
        let (language, status) = (cells.named("language")?, cells.named("status")?);
        let (conversion_probability, priority_score) = cells.take()?;
        let (next_action, potential_interest, discovery_context) = cells.take()?;
        let manual_intervention = cells.named("manual_intervention")?;
        let auto_reply_enabled = cells.named("auto_reply_enabled")?;
        let time_zone = cells.named("time_zone")?;
        let (emails_sent, last_contact_time) = (cells.named("emails_sent")?, cells.named("last_contact_time")?);
        let (received, last, last_time, decided) = cells.take()?;
        let (create_time, update_time) = (cells.named("create_time")?, cells.named("update_time")?);
        let (time, purge): (Option<Timestamp>, Option<Timestamp>) = cells.take()?;
        Ok(Self {
            id,
            fields: ProspectFields {
                email,
                company,
                contact_name,
                position,
                industry,
                location,
                business_size,
                source,
                source_url,
                notes,
                tags,
                language,
                status,
                conversion_probability,
                priority_score,
                next_action,
                potential_interest,
                discovery_context,
                manual_intervention,
                auto_reply_enabled,
                time_zone,
            },
            emails_sent,
            last_contact_time,
            replies: Replies { received, last, last_time, decided },
            create_time,
            update_time,
            deleted: time.zip(purge).map(|(time, purge_time)| Deleted { time, purge_time }),
            duplicate_of: cells.named("duplicate_of")?,
            revision: cells.named("revision")?,
        })
    }
}
