//! Whom a campaign may write to, and whom it has chosen.

use super::campaigns::live_states;
use super::door::Scoped;
use super::error::{Result, StoreError};
use super::paging::highest_first;
use super::prospects::prospect_columns;
use super::sql::{Cells, Json, Record, Unreadable, json, tenant_sql};
use super::tx::ScopedTx;
use crate::domain::campaign::RankedProspect;
use crate::domain::clock::Timestamp;
use crate::domain::email::EmailStatus;
use crate::domain::id::{CampaignId, EmailId, ProspectId};
use crate::domain::paging::{Page, PageRequest, RowCursor, page};
use crate::domain::prospect::{Prospect, ProspectOrder};
use crate::domain::recipients::{Candidate, Choice, Counts, LeftOutOf, Recipient, RecipientRules};

tenant_sql! {
    /// With whether the address is suppressed, and when the mailbox was last written to by whomever.
    CANDIDATES = concat!(
        "SELECT ", prospect_columns!(), ",
             CASE WHEN EXISTS (SELECT 1 FROM suppressions s WHERE s.tenant_id = $1 AND s.email_key = p.email_key)
                 THEN 1 ELSE 0 END AS suppressed,
             (SELECT MAX(COALESCE(e.sent_time, e.update_time))
              FROM emails e
              WHERE e.tenant_id = $1 AND e.address_key = p.email_key AND e.status IN ('sent', 'sending', 'unknown')) AS written,
             CASE WHEN EXISTS (
                 SELECT 1
                 FROM campaign_prospects c
                 JOIN campaigns l ON l.tenant_id = $1 AND l.id = c.campaign_id AND l.state IN ", live_states!(), "
                 WHERE c.tenant_id = $1 AND c.prospect_id = p.id) THEN 1 ELSE 0 END AS in_campaign
         FROM prospects p
         WHERE p.tenant_id = $1 AND (p.create_time, p.id) < ($2, $3) AND p.delete_time IS NULL
         ORDER BY p.create_time DESC, p.id DESC
         LIMIT CAST($4 AS bigint)");
    LIST =
        "SELECT c.position, c.prospect_id, COALESCE(p.company, '') AS company, COALESCE(p.email, '') AS email, c.score,
             c.reasons, e.id AS email_id, e.status AS email_status
         FROM campaign_prospects c
         LEFT JOIN prospects p ON p.tenant_id = $1 AND p.id = c.prospect_id AND p.delete_time IS NULL
         LEFT JOIN emails e ON e.tenant_id = $1 AND e.campaign_id = c.campaign_id AND e.position = c.position
         WHERE c.tenant_id = $1 AND c.campaign_id = $2 AND c.position > $3
         ORDER BY c.position
         LIMIT CAST($4 AS bigint)";
    LEFT_OUT =
        "SELECT left_out
         FROM campaigns
         WHERE tenant_id = $1 AND id = $2";
    /// One of the prospects that is not there.
    MISSING =
        "SELECT k.value
         FROM {texts}($2) k
         WHERE NOT EXISTS (SELECT 1 FROM prospects p WHERE p.tenant_id = $1 AND p.id = k.value)
         LIMIT 1";
    /// The other live campaigns that have chosen a campaign's prospects.
    TAKEN = concat!(
        "SELECT DISTINCT l.id
         FROM campaign_prospects own
         CROSS JOIN campaign_prospects c
         CROSS JOIN campaigns l
         WHERE own.tenant_id = $1 AND own.campaign_id = $2
           AND c.tenant_id = $1 AND c.prospect_id = own.prospect_id AND c.campaign_id != $2
           AND l.tenant_id = $1 AND l.id = c.campaign_id AND l.state IN ", live_states!());
    /// When the mailbox was last written to by another campaign.
    WRITTEN =
        "SELECT MAX(COALESCE(sent_time, update_time))
         FROM emails
         WHERE tenant_id = $1 AND address_key = CAST($2 AS text) AND status IN ('sent', 'sending', 'unknown') AND campaign_id != CAST($3 AS text)";
}

/// The prospects that are looked at together.
const PAGE: u32 = 200;

impl Scoped<'_> {
    /// Looks at all of the tenant's prospects and chooses the best `max`; `rank` says how well one fits.
    pub async fn choose(
        &self,
        rules: &RecipientRules,
        max: u32,
        now: Timestamp,
        rank: impl Fn(Prospect) -> RankedProspect,
    ) -> Result<(Vec<RankedProspect>, Counts)> {
        let mut choice = Choice::new(rules, max as usize);
        let mut request: PageRequest<RowCursor> = PageRequest { size: PAGE, after: None };
        loop {
            let page = self.candidates(&request).await?;
            choice.look(page.rows, now, &rank);
            match page.next {
                Some(after) => request.after = Some(after),
                None => return Ok(choice.done()),
            }
        }
    }

    /// A page of the tenant's prospects with what decides whether they may be written to, the newest first.
    async fn candidates(&self, request: &PageRequest<RowCursor>) -> Result<Page<Candidate, RowCursor>> {
        let (time, id) = highest_first(request);
        let query = self.query(CANDIDATES).bind(time).bind(id).bind(request.size + 1);
        Ok(page(query.all().await?, request.size, |c: &Candidate| c.prospect.place(ProspectOrder::Newest)))
    }

    /// Those that a campaign has chosen, the best first. Whether the campaign exists is the caller's to check.
    pub async fn recipients(&self, campaign: &CampaignId, request: &PageRequest<u32>) -> Result<Page<Recipient, u32>> {
        let after = request.after.map_or(-1, i64::from);
        let query = self.query(LIST).bind(campaign.clone()).bind(after).bind(request.size + 1);
        Ok(page(query.all().await?, request.size, |r: &Recipient| r.position))
    }

    /// Whether all of these prospects are the tenant's.
    pub async fn has_prospects(&self, ids: &[ProspectId]) -> Result<bool> {
        if ids.is_empty() {
            return Ok(true);
        }
        let missing: Option<(String,)> = self.query(MISSING).bind(json(&ids)).optional().await?;
        Ok(missing.is_none())
    }

    /// Whom a campaign left out when it chose.
    pub async fn left_out(&self, campaign: &CampaignId) -> Result<Vec<LeftOutOf>> {
        let row: Option<(Option<Json<Vec<LeftOutOf>>>,)> =
            self.query(LEFT_OUT).bind(campaign.clone()).optional().await?;
        Ok(row.and_then(|(left_out,)| left_out).map(|Json(left_out)| left_out).unwrap_or_default())
    }
}

/// Refuses that a campaign has prospects which another live one has chosen, inside a write.
pub(super) fn refuse_taken(tx: &mut ScopedTx<'_>, campaign: &CampaignId) -> Result<()> {
    let by: Vec<(CampaignId,)> = tx.query(TAKEN).bind(campaign).all()?;
    if by.is_empty() { Ok(()) } else { Err(StoreError::ProspectsTaken(by.into_iter().map(|(id,)| id).collect())) }
}

/// When a mailbox was last written to by another campaign than this one, inside a write.
pub(super) fn written(tx: &mut ScopedTx<'_>, key: &str, campaign: &CampaignId) -> Result<Option<Timestamp>> {
    let row: Option<(Option<Timestamp>,)> = tx.query(WRITTEN).bind(key).bind(campaign).optional()?;
    Ok(row.and_then(|(time,)| time))
}

// === impl Candidate ===

impl Record for Candidate {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            prospect: cells.take()?,
            suppressed: cells.named("suppressed")?,
            written: cells.named("written")?,
            in_campaign: cells.named("in_campaign")?,
        })
    }
}

// === impl Recipient ===

impl Record for Recipient {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        let position = cells.named("position")?;
        let prospect = cells.take()?;
        let email: Option<EmailId> = cells.named("email_id")?;
        let status: Option<EmailStatus> = cells.named("email_status")?;
        Ok(Self { position, prospect, email: email.zip(status) })
    }
}
