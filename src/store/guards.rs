//! Guards: a mailbox or a campaign pauses itself when too much of its mail comes back; `domain::reputation` has the rule.
//!
//! They look inside the write that records what may call for it: a bounce, a complaint, and the mail with which there are enough
//! to judge. What was sent before the last resume does not count, so that a person's word holds.

use super::campaigns::{self, CampaignRef, set_state_under_lease};
use super::error::Result;
use super::events::record;
use super::mailboxes;
use super::sql::tenant_sql;
use super::tx::ScopedTx;
use crate::domain::campaign::Action;
use crate::domain::clock::Timestamp;
use crate::domain::email::Email;
use crate::domain::id::{CampaignId, EmailId, MailboxId};
use crate::domain::reputation::{MAX_MAILS, MIN_MAILS, Record, WINDOW};

/// What came of the newest mails of those that the column names.
macro_rules! record_of {
    ($column:literal) => {
        concat!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(counted.bounce_permanent), 0) AS bigint), COUNT(counted.complaint_time)
             FROM (SELECT e.bounce_permanent, e.complaint_time
                   FROM emails e
                   WHERE e.tenant_id = $1 AND ",
            $column,
            " = $2 AND e.mailed_time > $3 AND e.mailed_time IS NOT NULL
                   ORDER BY e.mailed_time DESC
                   LIMIT CAST($4 AS bigint)) counted"
        )
    };
}

/// Whether anything has come back of the mails that the column names.
macro_rules! trouble_of {
    ($column:literal) => {
        concat!(
            "SELECT e.id
             FROM emails e
             WHERE e.tenant_id = $1 AND ",
            $column,
            " = $2 AND (e.bounce_permanent = 1 OR e.complaint_time IS NOT NULL)
             LIMIT 1"
        )
    };
}

tenant_sql! {
    TROUBLE_OF_MAILBOX = trouble_of!("e.mailbox_id");
    TROUBLE_OF_CAMPAIGN = trouble_of!("e.campaign_id");
    SINCE_OF_MAILBOX = "SELECT guard_time FROM mailboxes WHERE tenant_id = $1 AND id = $2 AND state = 'enabled'";
    SINCE_OF_CAMPAIGN = "SELECT guard_time FROM campaigns WHERE tenant_id = $1 AND id = $2";
    OF_MAILBOX = record_of!("e.mailbox_id");
    OF_CAMPAIGN = record_of!("e.campaign_id");
}

/// What a guard looks after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// A bounce or a complaint.
    Trouble,
    /// A mail that was taken: that matters only if it is the one with which there are enough to judge.
    Mail,
}

/// Looks after a report about an e-mail: its mailbox or its campaign may pause.
pub(super) fn after_report(tx: &mut ScopedTx<'_>, email: &Email) -> Result<()> {
    if let Some(mailbox) = &email.mailbox_id {
        look_at_mailbox(tx, mailbox, After::Trouble)?;
    }
    let Some(campaign) = &email.campaign_id else { return Ok(()) };
    let Some(why) = look_at_campaign(tx, campaign, After::Trouble)? else { return Ok(()) };
    let campaign = campaigns::get(tx, &CampaignRef::Id(campaign.clone()))?;
    let Ok(to) = campaign.state.after(Action::Pause) else { return Ok(()) };
    let event = set_state_under_lease(tx, &campaign, to, &why)?;
    record(tx, &campaign.id, vec![event])
}

/// Pauses a mailbox that must not go on.
pub(super) fn look_at_mailbox(tx: &mut ScopedTx<'_>, mailbox: &MailboxId, after: After) -> Result<()> {
    let trouble: Option<(EmailId,)> = tx.query(TROUBLE_OF_MAILBOX).bind(mailbox).optional()?;
    if trouble.is_none() {
        return Ok(());
    }
    let since: Option<(Option<Timestamp>,)> = tx.query(SINCE_OF_MAILBOX).bind(mailbox).optional()?;
    let Some((since,)) = since else { return Ok(()) };
    let (from, max) = (window(tx, since), after.max());
    let row = tx.query(OF_MAILBOX).bind(mailbox).bind(from).bind(max).optional()?;
    match after.judge(row.unwrap_or_default()) {
        Some(why) => mailboxes::pause(tx, mailbox, &why),
        None => Ok(()),
    }
}

/// Why a campaign must not go on; None if it may.
pub(super) fn look_at_campaign(tx: &mut ScopedTx<'_>, campaign: &CampaignId, after: After) -> Result<Option<String>> {
    let trouble: Option<(EmailId,)> = tx.query(TROUBLE_OF_CAMPAIGN).bind(campaign).optional()?;
    if trouble.is_none() {
        return Ok(None);
    }
    let since: Option<(Option<Timestamp>,)> = tx.query(SINCE_OF_CAMPAIGN).bind(campaign).optional()?;
    let (from, max) = (window(tx, since.and_then(|(since,)| since)), after.max());
    let row = tx.query(OF_CAMPAIGN).bind(campaign).bind(from).bind(max).optional()?;
    Ok(after.judge(row.unwrap_or_default()))
}

/// After when mails count.
fn window(tx: &ScopedTx<'_>, since: Option<Timestamp>) -> Timestamp {
    let window = tx.now().plus_seconds(-WINDOW);
    since.map_or(window, |since| since.max(window))
}

// === impl After ===

impl After {
    /// The mails that are counted at most.
    fn max(self) -> u32 {
        match self {
            Self::Trouble => MAX_MAILS,
            Self::Mail => MIN_MAILS + 1,
        }
    }

    fn judge(self, (mails, bounced, complained): (u32, u32, u32)) -> Option<String> {
        // With more than enough the last trouble has been looked at.
        let is_late = self == Self::Mail && mails > MIN_MAILS;
        Record { mails, bounced, complained }.trouble().filter(|_| !is_late)
    }
}
