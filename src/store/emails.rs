//! E-mails: reading them. They are written by the engine's progress and by reviews.

use serde::Deserialize;

use super::Scoped;
use super::error::{Noun, Result, StoreError};
use super::prospects::highest_first;
use super::sql::{row, tenant_sql};
use super::tx::ScopedTx;
use crate::domain::clock::Timestamp;
use crate::domain::email::{Email, EmailStatus, Mailbox, Received};
use crate::domain::id::{CampaignId, EmailId, ProspectId, TemplateId};
use crate::domain::paging::{Page, PageRequest, RowCursor, page};
use crate::domain::reply::Intent;

macro_rules! email_columns {
    () => {
        "id, prospect_id, campaign_id, template_id, position, subject, body, from_name, from_address, to_name, to_address,
         unsubscribe, status, note, message_id, edited, sent_time, create_time, update_time, received_time, intent,
         in_reply_to"
    };
}

pub(super) use email_columns;

tenant_sql! {
    GET = concat!("SELECT json_array(", email_columns!(), ") FROM emails WHERE tenant_id = $1 AND id = $2");
    LIST_ALL = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND id > $2
         ORDER BY id
         LIMIT +$3");
    LIST_OF_PROSPECT = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND prospect_id = $2 AND (create_time, id) < ($3, $4)
         ORDER BY create_time DESC, id DESC
         LIMIT +$5");
    LIST_OF_CAMPAIGN = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND position > $3
         ORDER BY position
         LIMIT +$4");
    LIST_OF_CAMPAIGN_BY_STATUS = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = +$5 AND position > $3
         ORDER BY position
         LIMIT +$4");
}

row! {
    /// In the order of `email_columns!`.
    #[derive(Deserialize)]
    pub(super) struct EmailRow {
        id: EmailId,
        prospect_id: ProspectId,
        campaign_id: Option<CampaignId>,
        template_id: Option<TemplateId>,
        position: Option<i64>,
        subject: String,
        body: String,
        from_name: String,
        from_address: String,
        to_name: String,
        to_address: String,
        unsubscribe: String,
        status: String,
        note: String,
        message_id: String,
        edited: i64,
        sent_time: Option<i64>,
        create_time: i64,
        update_time: i64,
        received_time: Option<i64>,
        intent: Option<String>,
        in_reply_to: Option<EmailId>,
    }
}

impl Scoped<'_> {
    pub async fn email(&self, id: &EmailId) -> Result<Option<Email>> {
        let row: Option<EmailRow> = self.row(GET, id.as_str()).await?;
        row.map(EmailRow::email).transpose()
    }

    /// All of the tenant's, in the order of their ids, from after one on.
    pub async fn emails_after(&self, after: Option<&EmailId>, most: u32) -> Result<Vec<Email>> {
        let after = after.map(|id| id.as_str().to_owned()).unwrap_or_default();
        let rows: Vec<EmailRow> = self.query(LIST_ALL).bind(after).bind(most).all().await?;
        rows.into_iter().map(EmailRow::email).collect()
    }

    /// Newest first. Whether the prospect exists is the caller's to check.
    pub async fn prospect_emails(
        &self,
        prospect: &ProspectId,
        request: &PageRequest<RowCursor>,
    ) -> Result<Page<Email, RowCursor>> {
        let (time, id) = highest_first(request);
        let query = self.query(LIST_OF_PROSPECT).bind(prospect.clone());
        let rows: Vec<EmailRow> = query.bind(time).bind(id).bind(request.size + 1).all().await?;
        let rows = rows.into_iter().map(EmailRow::email).collect::<Result<_>>()?;
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
        let rows: Vec<EmailRow> = query.all().await?;
        let rows = rows.into_iter().map(EmailRow::email).collect::<Result<_>>()?;
        Ok(page(rows, request.size, |e: &Email| e.position))
    }
}

/// The e-mail, inside a write.
pub(super) fn find(tx: &mut ScopedTx<'_>, id: &EmailId) -> Result<Email> {
    let row: Option<EmailRow> = tx.query(GET).bind(id.clone()).json()?;
    row.ok_or(StoreError::NotFound(Noun::Email))?.email()
}

impl EmailRow {
    pub(super) fn email(self) -> Result<Email> {
        let broken = |what: &str| StoreError::Broken(format!("e-mail {} has a {what} that cannot be", self.id));
        let status = EmailStatus::parse(&self.status).ok_or_else(|| broken("status"))?;
        let position = u32::try_from(self.position.unwrap_or(0)).map_err(|_| broken("position"))?;
        let reply = match (self.received_time, self.intent.as_deref()) {
            (Some(time), Some(intent)) => {
                let intent = Intent::parse(intent).ok_or_else(|| broken("intent"))?;
                Some(Received { time: Timestamp(time), intent, in_reply_to: self.in_reply_to })
            }
            _ => None,
        };
        Ok(Email {
            prospect_id: self.prospect_id,
            campaign_id: self.campaign_id,
            template_id: self.template_id,
            position,
            subject: self.subject,
            body: self.body,
            from: Mailbox { name: self.from_name, address: self.from_address },
            to: Mailbox { name: self.to_name, address: self.to_address },
            unsubscribe: self.unsubscribe,
            status,
            note: self.note,
            message_id: self.message_id,
            edited: self.edited != 0,
            sent_time: self.sent_time.map(Timestamp),
            create_time: Timestamp(self.create_time),
            update_time: Timestamp(self.update_time),
            reply,
            id: self.id,
        })
    }
}
