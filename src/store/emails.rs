//! E-mails: reading them. They are written by the engine's progress and by reviews.

use super::door::Scoped;
use super::error::{Noun, Result, StoreError};
use super::paging::highest_first;
use super::sql::{Cells, Json, Record, Unreadable, tenant_sql};
use super::tx::ScopedTx;
use crate::domain::delivery::Transcript;
use crate::domain::email::{Bounce, Email, EmailStatus, Mark, NamedAddress, Received};
use crate::domain::id::{CampaignId, EmailId, ProspectId};
use crate::domain::paging::{Page, PageRequest, RowCursor, page};

macro_rules! email_columns {
    () => {
        "id, prospect_id, campaign_id, template_id, position, subject, body, from_name, from_address, to_name, to_address,
         unsubscribe, status, note, message_id, edited, sent_time, create_time, update_time, received_time, intent,
         in_reply_to, mailbox_id, bounce_time, bounce_permanent, bounce_status, bounce_diagnostic, complaint_time,
         server_id, decided_by, decided_time, edited_by, edited_time"
    };
}

pub(super) use email_columns;

tenant_sql! {
    TRANSCRIPT = "SELECT transcript FROM emails WHERE tenant_id = $1 AND id = $2 AND transcript != ''";
    GET = concat!("SELECT ", email_columns!(), " FROM emails WHERE tenant_id = $1 AND id = $2");
    LIST_ALL = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND id > $2
         ORDER BY id
         LIMIT CAST($3 AS bigint)");
    LIST_OF_PROSPECT = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND prospect_id = $2 AND (create_time, id) < ($3, $4)
         ORDER BY create_time DESC, id DESC
         LIMIT CAST($5 AS bigint)");
    LIST_OF_CAMPAIGN = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND position > $3
         ORDER BY position
         LIMIT CAST($4 AS bigint)");
    LIST_OF_CAMPAIGN_BY_STATUS = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = CAST($5 AS text) AND position > $3
         ORDER BY position
         LIMIT CAST($4 AS bigint)");
}

impl Scoped<'_> {
    pub async fn email(&self, id: &EmailId) -> Result<Option<Email>> {
        self.row(GET, id.as_str()).await
    }

    /// The last talk about it with a mail server.
    pub async fn transcript(&self, id: &EmailId) -> Result<Transcript> {
        let row: Option<(Json<Transcript>,)> = self.query(TRANSCRIPT).bind(id.clone()).optional().await?;
        Ok(row.map(|(Json(transcript),)| transcript).unwrap_or_default())
    }

    /// All of the tenant's, in the order of their ids, from after one on.
    pub async fn emails_after(&self, after: Option<&EmailId>, max: u32) -> Result<Vec<Email>> {
        let after = after.map(|id| id.as_str().to_owned()).unwrap_or_default();
        self.query(LIST_ALL).bind(after).bind(max).all().await
    }

    /// Newest first. Whether the prospect exists is the caller's to check.
    pub async fn prospect_emails(
        &self,
        prospect: &ProspectId,
        request: &PageRequest<RowCursor>,
    ) -> Result<Page<Email, RowCursor>> {
        let (time, id) = highest_first(request);
        let query = self.query(LIST_OF_PROSPECT).bind(prospect.clone());
        let rows = query.bind(time).bind(id).bind(request.size + 1).all().await?;
        Ok(page(rows, request.size, Email::place))
    }

    /// In the order of the campaign's prospects. Whether the campaign exists is the caller's to check.
    pub async fn campaign_emails(
        &self,
        campaign: &CampaignId,
        request: &PageRequest<u32>,
        status: Option<EmailStatus>,
    ) -> Result<Page<Email, u32>> {
        let after = request.after.map_or(-1, i64::from);
        let sql = if status.is_some() { LIST_OF_CAMPAIGN_BY_STATUS } else { LIST_OF_CAMPAIGN };
        let mut query = self.query(sql).bind(campaign.clone()).bind(after).bind(request.size + 1);
        if let Some(status) = status {
            query = query.bind(status.as_str());
        }
        Ok(page(query.all().await?, request.size, |e: &Email| e.position))
    }
}

/// Who has done something, and when; None if nobody has.
fn mark(cells: &mut Cells<'_>) -> Result<Option<Mark>, Unreadable> {
    let (by, time): (String, Option<_>) = cells.take()?;
    Ok(time.map(|time| Mark { by, time }))
}

/// The e-mail, inside a write.
pub(super) fn find(tx: &mut ScopedTx<'_>, id: &EmailId) -> Result<Email> {
    tx.query(GET).bind(id).optional()?.ok_or(StoreError::NotFound(Noun::Email))
}

// === impl Email ===

/// In the order of `email_columns!`.
impl Record for Email {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        let (id, prospect_id, campaign_id) = cells.take()?;
        let (template_id, position) = (cells.named("template_id")?, cells.named::<Option<_>>("position")?);
        let (subject, body) = cells.take()?;
        let (from_name, from_address, to_name, to_address) = cells.take()?;
        let (unsubscribe, status, note, message_id) = cells.take()?;
        let (edited, sent_time) = (cells.named("edited")?, cells.named("sent_time")?);
        let (create_time, update_time) = (cells.named("create_time")?, cells.named("update_time")?);
        let (received, intent) = (cells.named::<Option<_>>("received_time")?, cells.named("intent")?);
        let (in_reply_to, mailbox_id) = (cells.named("in_reply_to")?, cells.named("mailbox_id")?);
        let (bounced, permanent) = (cells.named::<Option<_>>("bounce_time")?, cells.named("bounce_permanent")?);
        let (status_code, diagnostic) = (cells.named::<String>("bounce_status")?, cells.named("bounce_diagnostic")?);
        let bounce = bounced.map(|time| Bounce { time, permanent, status: status_code.parse().ok(), diagnostic });
        Ok(Self {
            id,
            prospect_id,
            campaign_id,
            template_id,
            position: position.unwrap_or(0),
            subject,
            body,
            from: NamedAddress { name: from_name, address: from_address },
            to: NamedAddress { name: to_name, address: to_address },
            unsubscribe,
            status,
            note,
            message_id,
            edited,
            sent_time,
            create_time,
            update_time,
            mailbox_id,
            reply: received.zip(intent).map(|(time, intent)| Received { time, intent, in_reply_to }),
            bounce,
            complaint_time: cells.named("complaint_time")?,
            server_id: cells.named("server_id")?,
            decision: mark(cells)?,
            edit: mark(cells)?,
        })
    }
}
