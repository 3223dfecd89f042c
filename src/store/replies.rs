//! Replies of prospects, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};

use super::campaigns::{self, CampaignRef};
use super::emails;
use super::error::{Noun, Result, StoreError};
use super::events::record;
use super::prospects;
use super::request_id::{RequestId, once};
use super::sql::{json, row, tenant_sql};
use super::suppressions;
use super::tx::ScopedTx;
use super::write::{CallWrite, Touched, Write};
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::email::{Email, EmailStatus};
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, EmailId, ProspectId};
use crate::domain::prospect::{LAST_REPLY, Prospect, ProspectStatus};
use crate::domain::reply::Intent;
use crate::domain::suppression::{Suppression, SuppressionReason};
use crate::domain::text;

tenant_sql! {
    INSERT =
        "INSERT INTO emails (
             tenant_id, id, prospect_id, subject, body, from_name, from_address, to_name, to_address, unsubscribe, status,
             message_id, create_time, update_time, received_time, intent, in_reply_to, address_key)
         VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, '', 'received', $9, $10, $10, $11, $12, $13, $14)";
    BEFORE =
        "SELECT id
         FROM emails
         WHERE tenant_id = $1 AND prospect_id = $2 AND status = 'received' AND message_id = $3";
    /// The last reply that says whether its writer wants more. One whose sender's clock is ahead came when it was recorded: it
    /// must not outdo what is answered in the minutes after it.
    DECIDED =
        "SELECT intent
         FROM emails
         WHERE tenant_id = $1 AND prospect_id = $2 AND intent IN ('interested', 'not_interested', 'unsubscribe')
         ORDER BY {least}(received_time, create_time) DESC, id DESC
         LIMIT 1";
    NOTE =
        "UPDATE prospects
         SET replies_received = $4, last_reply = $5, last_reply_time = $6, decided_intent = $7, status = $8,
             update_time = $9, revision = revision + 1
         WHERE tenant_id = $1 AND id = $2 AND revision = $3";
    /// What was written to these mailboxes and not begun to be sent, of whatever campaign.
    WAITING =
        "SELECT e.id, e.prospect_id, e.campaign_id
         FROM {texts}($2) k
         CROSS JOIN emails e
         WHERE e.tenant_id = $1 AND e.address_key = k.value AND e.status IN ('awaiting_approval', 'approved')";
    SKIP_WAITING =
        "UPDATE emails
         SET status = 'skipped', note = $3, update_time = $4
         WHERE tenant_id = $1 AND id = $2 AND status IN ('awaiting_approval', 'approved')";
}

/// Records what a prospect has answered.
pub struct RecordReply {
    /// The one that it gets.
    pub id: EmailId,
    pub prospect: ProspectId,
    /// The e-mail that it answers.
    pub in_reply_to: Option<EmailId>,
    /// Checked.
    pub subject: String,
    pub body: String,
    pub message_id: String,
    /// None: now. It may be a little ahead of our clock.
    pub received: Option<Timestamp>,
    pub intent: Intent,
    pub request_id: Option<RequestId>,
}

row! {
    struct Waiting {
        id: EmailId,
        prospect_id: ProspectId,
        campaign_id: CampaignId,
    }
}

// === impl RecordReply ===

impl Write for RecordReply {
    type Out = (Email, Prospect);

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<(Email, Prospect)> {
        let id = once(tx, self.request_id.as_ref(), |tx| self.record(tx))?;
        self.as_it_is(tx, &id)
    }
}

impl CallWrite for RecordReply {
    fn touched(&self, (reply, prospect): &Self::Out) -> Touched {
        Touched::ids([reply.id.as_str(), prospect.id.as_str()])
    }

    fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }
}

impl RecordReply {
    /// The reply, or one with the same Message-ID that was recorded before.
    fn record(&self, tx: &mut ScopedTx<'_>) -> Result<EmailId> {
        let prospect = prospects::find(tx, &self.prospect, "")?;
        if let Some(before) = self.before(tx)? {
            return Ok(before);
        }
        let mut addresses = vec![prospect.fields.email.clone()];
        let to = match &self.in_reply_to {
            Some(id) => {
                let answered = emails::find(tx, id)?;
                if answered.prospect_id != prospect.id {
                    return Err(StoreError::NotFound(Noun::Email));
                }
                // One of its own goes on with what it was written to before.
                if answered.reply.is_some() {
                    answered.to.address
                } else {
                    // The one that was written to, which may not be the prospect's any more.
                    addresses.push(answered.to.address);
                    answered.from.address
                }
            }
            None => String::new(),
        };
        let now = tx.now();
        let received = self.received.unwrap_or(now);
        let insert = tx.query(INSERT).bind(self.id.clone()).bind(prospect.id.clone());
        let insert = insert.bind(self.subject.clone()).bind(self.body.clone());
        let insert = insert.bind(prospect.fields.contact_name.clone()).bind(prospect.fields.email.clone()).bind(to);
        let insert = insert.bind(self.message_id.clone()).bind(now).bind(received).bind(self.intent.as_str());
        let insert = insert.bind(self.in_reply_to.clone()).bind(address::key(&prospect.fields.email));
        insert.execute_exactly(1)?;
        self.note(tx, &prospect, received.min(now))?;
        if self.intent.is_personal() {
            self.skip_waiting(tx, &addresses)?;
        }
        if self.intent == Intent::Unsubscribe {
            let suppression = |email| Suppression {
                email,
                reason: SuppressionReason::Unsubscribed,
                source: "reply".to_owned(),
                create_time: now,
            };
            suppressions::add(tx, &addresses.into_iter().map(suppression).collect::<Vec<_>>())?;
        }
        Ok(self.id.clone())
    }

    /// A reply with the same Message-ID that was recorded before.
    fn before(&self, tx: &mut ScopedTx<'_>) -> Result<Option<EmailId>> {
        if self.message_id.is_empty() {
            return Ok(None);
        }
        let query = tx.query(BEFORE).bind(self.prospect.clone()).bind(self.message_id.clone());
        let row: Option<(EmailId,)> = query.optional()?;
        Ok(row.map(|(id,)| id))
    }

    fn as_it_is(&self, tx: &mut ScopedTx<'_>, id: &EmailId) -> Result<(Email, Prospect)> {
        Ok((emails::find(tx, id)?, prospects::find(tx, &self.prospect, "")?))
    }

    /// Whoever has answered is not written to as if they had not: what still waits for one of their addresses, in whichever
    /// campaign, is not sent. A campaign that waited for nothing else goes on.
    fn skip_waiting(&self, tx: &mut ScopedTx<'_>, addresses: &[String]) -> Result<()> {
        let keys: BTreeSet<_> = addresses.iter().map(|address| address::key(address)).collect();
        let waiting: Vec<Waiting> = tx.query(WAITING).bind(json(&keys)).all()?;
        let mut skipped: BTreeMap<String, (CampaignId, Vec<EventKind>)> = BTreeMap::new();
        let now = tx.now();
        for email in waiting {
            let skip = tx.query(SKIP_WAITING).bind(email.id.clone()).bind(self.why_skipped()).bind(now);
            skip.execute_exactly(1)?;
            let status = EmailStatus::Skipped;
            let event = EventKind::EmailChanged { email_id: email.id, prospect_id: email.prospect_id, status };
            let of_campaign = skipped.entry(email.campaign_id.to_string());
            of_campaign.or_insert_with(|| (email.campaign_id, Vec::new())).1.push(event);
        }
        for (campaign, mut events) in skipped.into_values() {
            let campaign = campaigns::get(tx, &CampaignRef::Id(campaign))?;
            campaigns::review::end_review_if_none_waits(tx, &campaign, &mut events)?;
            record(tx, &campaign.id, events)?;
        }
        Ok(())
    }

    fn why_skipped(&self) -> String {
        match self.intent {
            Intent::Unsubscribe => format!("not sent: {}", SuppressionReason::Unsubscribed.in_words()),
            Intent::NotInterested => "not sent: the prospect has refused".to_owned(),
            _ => "not sent: the prospect has replied".to_owned(),
        }
    }

    /// What follows for the prospect.
    fn note(&self, tx: &mut ScopedTx<'_>, prospect: &Prospect, received: Timestamp) -> Result<()> {
        let decided: Option<(String,)> = tx.query(DECIDED).bind(prospect.id.clone()).optional()?;
        let replies = &prospect.replies;
        let personal = self.intent.is_personal();
        let is_last = personal && replies.last_time.is_none_or(|last| last <= received);
        let (last, last_time) = if is_last {
            (text::cut(&self.body, LAST_REPLY).to_owned(), Some(received))
        } else {
            (replies.last.clone(), replies.last_time)
        };
        let status = match prospect.fields.status {
            ProspectStatus::Discovered | ProspectStatus::Contacted if personal => ProspectStatus::Replied,
            status => status,
        };
        let now = tx.now();
        let query = tx.query(NOTE).bind(prospect.id.clone()).bind(prospect.revision);
        let query = query.bind(replies.received + u32::from(personal)).bind(last).bind(last_time);
        let query = query.bind(decided.map(|(intent,)| intent)).bind(status.as_str()).bind(now);
        query.execute_exactly(1)
    }
}
