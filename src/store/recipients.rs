//! Whom a campaign may write to, and whom it has chosen.

use serde::Deserialize;

use super::Scoped;
use super::error::{Result, StoreError};
use super::events::json;
use super::prospects::{ProspectRow, highest_first, prospect_columns};
use super::sql::{row, tenant_sql};
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
        "SELECT '[' || ifnull(group_concat(page.candidate), '') || ']'
         FROM (
             SELECT json_array(
                 json_array(", prospect_columns!(), "),
                 EXISTS (SELECT 1 FROM suppressions s WHERE s.tenant_id = $1 AND s.email_key = p.email_key),
                 (SELECT MAX(COALESCE(e.sent_time, e.update_time))
                  FROM emails e
                  WHERE e.tenant_id = $1 AND e.address_key = p.email_key AND e.status IN ('sent', 'sending', 'unknown'))
                 ) AS candidate
             FROM prospects p
             WHERE p.tenant_id = $1 AND (p.create_time, p.id) < ($2, $3) AND p.delete_time IS NULL
             ORDER BY p.create_time DESC, p.id DESC
             LIMIT +$4) page");
    LIST =
        "SELECT c.position, c.prospect_id, COALESCE(p.company, '') AS company, COALESCE(p.email, '') AS email, c.score,
             c.reasons, e.id AS email_id, e.status AS email_status
         FROM campaign_prospects c
         LEFT JOIN prospects p ON p.tenant_id = $1 AND p.id = c.prospect_id AND p.delete_time IS NULL
         LEFT JOIN emails e ON e.tenant_id = $1 AND e.campaign_id = c.campaign_id AND e.position = c.position
         WHERE c.tenant_id = $1 AND c.campaign_id = $2 AND c.position > $3
         ORDER BY c.position
         LIMIT +$4";
    LEFT_OUT =
        "SELECT left_out
         FROM campaigns
         WHERE tenant_id = $1 AND id = $2";
    /// One of the prospects that is not there.
    MISSING =
        "SELECT k.value
         FROM json_each($2) k
         WHERE NOT EXISTS (SELECT 1 FROM prospects p WHERE p.tenant_id = $1 AND p.id = k.value)
         LIMIT 1";
    /// When the mailbox was last written to by another campaign.
    WRITTEN =
        "SELECT MAX(COALESCE(sent_time, update_time))
         FROM emails
         WHERE tenant_id = $1 AND address_key = +$2 AND status IN ('sent', 'sending', 'unknown') AND campaign_id != +$3";
}

/// The prospects that are looked at together.
const PAGE: u32 = 200;

row! {
    struct RecipientRow {
        position: i64,
        prospect_id: ProspectId,
        company: String,
        email: String,
        score: i64,
        reasons: String,
        email_id: Option<EmailId>,
        email_status: Option<String>,
    }
}

#[derive(Deserialize)]
struct CandidateRow(ProspectRow, i64, Option<i64>);

impl Scoped<'_> {
    /// Looks at all of the tenant's prospects and chooses the best `most`; `rank` says how well one fits.
    pub async fn choose(
        &self,
        rules: &RecipientRules,
        most: u32,
        now: Timestamp,
        rank: impl Fn(Prospect) -> RankedProspect,
    ) -> Result<(Vec<RankedProspect>, Counts)> {
        let mut choice = Choice::new(rules, most as usize);
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
        let rows: Option<Vec<CandidateRow>> = query.json().await?;
        let rows = rows.into_iter().flatten().map(CandidateRow::candidate).collect::<Result<_>>()?;
        Ok(page(rows, request.size, |c: &Candidate| c.prospect.place(ProspectOrder::Newest)))
    }

    /// Those that a campaign has chosen, the best first. Whether the campaign exists is the caller's to check.
    pub async fn recipients(&self, campaign: &CampaignId, request: &PageRequest<u32>) -> Result<Page<Recipient, u32>> {
        let after = request.after.map_or(-1, i64::from);
        let query = self.query(LIST).bind(campaign.clone()).bind(after).bind(request.size + 1);
        let rows: Vec<RecipientRow> = query.all().await?;
        let rows = rows.into_iter().map(RecipientRow::recipient).collect::<Result<_>>()?;
        Ok(page(rows, request.size, |r: &Recipient| r.position))
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
        let row: Option<(Option<String>,)> = self.query(LEFT_OUT).bind(campaign.clone()).optional().await?;
        match row.and_then(|(text,)| text) {
            Some(text) => serde_json::from_str(&text)
                .map_err(|_| StoreError::Broken("a campaign's left_out is broken".to_owned())),
            None => Ok(Vec::new()),
        }
    }
}

/// When a mailbox was last written to by another campaign than this one, inside a write.
pub(super) fn written(tx: &mut ScopedTx<'_>, key: &str, campaign: &CampaignId) -> Result<Option<Timestamp>> {
    let row: Option<(Option<i64>,)> = tx.query(WRITTEN).bind(key).bind(campaign.clone()).optional()?;
    Ok(row.and_then(|(time,)| time).map(Timestamp))
}

impl CandidateRow {
    fn candidate(self) -> Result<Candidate> {
        let Self(prospect, suppressed, written) = self;
        Ok(Candidate { prospect: prospect.prospect()?, suppressed: suppressed != 0, written: written.map(Timestamp) })
    }
}

impl RecipientRow {
    fn recipient(self) -> Result<Recipient> {
        let broken = |what: &str| StoreError::Broken(format!("a recipient has a {what} that cannot be"));
        let reasons = serde_json::from_str(&self.reasons).map_err(|_| broken("list of reasons"))?;
        let status = |name: String| EmailStatus::parse(&name).ok_or_else(|| broken("status"));
        Ok(Recipient {
            position: u32::try_from(self.position).map_err(|_| broken("position"))?,
            prospect: RankedProspect {
                prospect_id: self.prospect_id,
                company: self.company,
                email: self.email,
                score: u8::try_from(self.score).unwrap_or(0),
                reasons,
            },
            email: self.email_id.zip(self.email_status.map(status).transpose()?),
        })
    }
}
