//! Which mailbox of a campaign sends next, and when: its pace and calendar hold for all campaigns that share it.
//!
//! What it has sent is read from the e-mails themselves, so that a restart changes nothing, and a clock that is put back counts
//! what was sent before as sent now.

use crate::domain::clock::Timestamp;
use crate::domain::id::{CampaignId, MailboxId};
use crate::domain::mailbox::{Mailbox, MailboxKind, MailboxState, Secrets};
use crate::domain::pace::Sends;
use crate::domain::reputation::Refusers;
use crate::store::error::Result;
use crate::store::mailboxes;
use crate::store::sql::{Json, json, tenant_sql};
use crate::store::tx::ScopedTx;

tenant_sql! {
    FIRST_DUE =
        "SELECT COALESCE(retry_time, 0)
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'approved' AND mailbox_id = $3
         ORDER BY COALESCE(retry_time, 0)
         LIMIT 1";
    FIRST_SEND = "SELECT MIN(try_time) FROM emails WHERE tenant_id = $1 AND mailbox_id = $2 AND try_time IS NOT NULL";
    /// The one that is so many mails ago.
    EARLIER_SEND =
        "SELECT try_time
         FROM emails
         WHERE tenant_id = $1 AND mailbox_id = $2 AND try_time IS NOT NULL
         ORDER BY try_time DESC
         LIMIT 1 OFFSET CAST($3 AS bigint)";
    NEXT_TIME = "SELECT next_time FROM mailboxes WHERE tenant_id = $1 AND id = $2";
    SET_NEXT_TIME = "UPDATE mailboxes SET next_time = $3 WHERE tenant_id = $1 AND id = $2";
    LET_IN = "UPDATE mailboxes SET failures = 0, refused_sign_ins = 0, trouble = '' WHERE tenant_id = $1 AND id = $2 AND failures + refused_sign_ins > 0";
    TAKEN = "UPDATE mailboxes SET failures = 0, refused_sign_ins = 0, refusers = '[]', trouble = '' WHERE tenant_id = $1 AND id = $2 AND (failures + refused_sign_ins > 0 OR refusers != '[]')";
    REFUSERS = "SELECT refusers FROM mailboxes WHERE tenant_id = $1 AND id = $2";
    SET_REFUSERS = "UPDATE mailboxes SET refusers = $3 WHERE tenant_id = $1 AND id = $2";
    AWAY = "UPDATE mailboxes SET failures = failures + 1, trouble = $3 WHERE tenant_id = $1 AND id = $2 RETURNING failures";
    REFUSED = "UPDATE mailboxes SET refused_sign_ins = refused_sign_ins + 1 WHERE tenant_id = $1 AND id = $2 RETURNING refused_sign_ins";
}

/// What a campaign's mailboxes may do now.
pub(super) enum Ready {
    Now(Box<Mailbox>),
    /// None before that time; why, unless that is its pace and its calendar.
    At(Timestamp, String),
    /// All that have mail are paused; why the first of them is.
    Never(String),
    /// None has mail.
    NoMail,
}

/// What the talk about an e-mail tells of the mailbox that it was sent from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Its server has let it in.
    LetIn,
    /// Its server has taken a mail.
    Taken,
    /// Its server, or the recipient's behind it, has refused a mail to this address for a policy.
    RefusedTo(String),
    /// Its server was not reached, and what was seen of it.
    Away(String),
    /// Its server has refused its sign-in, and with which words.
    Refused(String),
    /// It must not go on by itself, and why.
    Pause(String),
}

/// How often a sign-in may be refused until the mailbox pauses: providers lock those who go on.
const MAX_REFUSED: i64 = 3;
/// The waits for a server that is away, in seconds: the first, doubled for each that failed, up to the longest.
const AWAY_SECONDS: (i64, i64) = (60, 60 * 60);

/// Which of the mailboxes that have mail of the campaign sends first.
pub(super) fn ready(tx: &mut ScopedTx<'_>, campaign: &CampaignId, now: Timestamp) -> Result<Ready> {
    let (mut first, mut paused): (Option<(Timestamp, Mailbox)>, _) = (None, None);
    for mailbox in mailboxes::all(tx)? {
        let first_due: Option<(Timestamp,)> = tx.query(FIRST_DUE).bind(campaign).bind(&mailbox.id).optional()?;
        let Some((due,)) = first_due else { continue };
        if mailbox.state == MailboxState::Paused {
            let Mailbox { settings, pause_reason, .. } = mailbox;
            let why = if pause_reason.is_empty() { String::new() } else { format!(": {pause_reason}") };
            paused.get_or_insert(format!("the mailbox {} is paused{why}", settings.address));
            continue;
        }
        let Some(time) = next(tx, &mailbox, due.max(now))? else { continue };
        if first.as_ref().is_none_or(|(earliest, _)| time < *earliest) {
            first = Some((time, mailbox));
        }
    }
    Ok(match (first, paused) {
        (Some((time, mailbox)), _) if time <= now => Ready::Now(Box::new(mailbox)),
        (Some((time, Mailbox { trouble, settings, .. })), _) => {
            let why = format!("no mail goes from {}, and it is tried again: {trouble}", settings.address);
            Ready::At(time, if trouble.is_empty() { String::new() } else { why })
        }
        (None, Some(why)) => Ready::Never(why),
        (None, None) => Ready::NoMail,
    })
}

/// When the mailbox may send its next mail, from `from` on.
fn next(tx: &mut ScopedTx<'_>, mailbox: &Mailbox, from: Timestamp) -> Result<Option<Timestamp>> {
    if mailbox.kind == MailboxKind::Outbox {
        return Ok(Some(from));
    }
    let (pace, calendar) = (&mailbox.settings.pace, &mailbox.settings.calendar);
    let first: Option<(Option<Timestamp>,)> = tx.query(FIRST_SEND).bind(&mailbox.id).optional()?;
    let first = first.and_then(|(first,)| first);
    let next: Option<(Option<Timestamp>,)> = tx.query(NEXT_TIME).bind(&mailbox.id).optional()?;
    let mut sends = Sends { first, next: next.and_then(|(next,)| next), hour_ago: None, day_ago: None };
    if let Some(limit) = pace.hourly() {
        sends.hour_ago = earlier_send(tx, &mailbox.id, limit)?;
    }
    let window = calendar.window();
    let first_day = first.map(|first| window.day(first));
    if let Some(limit) = pace.daily(first_day, window.day(from)) {
        sends.day_ago = earlier_send(tx, &mailbox.id, limit)?;
    }
    Ok(pace.next(calendar, &sends, from))
}

/// When the mailbox sent the mail that is so many mails ago.
fn earlier_send(tx: &mut ScopedTx<'_>, mailbox: &MailboxId, mails: u32) -> Result<Option<Timestamp>> {
    let row: Option<(Timestamp,)> = tx.query(EARLIER_SEND).bind(mailbox).bind(mails.saturating_sub(1)).optional()?;
    Ok(row.map(|(time,)| time))
}

/// The mailbox begins to send, and pauses before its next mail. What it signs in with.
pub(super) fn begin(tx: &mut ScopedTx<'_>, mailbox: Mailbox, now: Timestamp) -> Result<(Mailbox, Secrets)> {
    if mailbox.kind == MailboxKind::Outbox {
        return Ok((mailbox, Secrets::default()));
    }
    let pause = mailbox.settings.pace.pause(tx.ids().random());
    tx.query(SET_NEXT_TIME).bind(&mailbox.id).bind(Timestamp(now.0.saturating_add(pause))).execute_exactly(1)?;
    let secrets = mailboxes::open(tx, &mailbox.id)?;
    Ok((mailbox, secrets))
}

/// Notes what a talk tells of the mailbox, which may be gone meanwhile.
pub(super) fn note(tx: &mut ScopedTx<'_>, mailbox: &MailboxId, told: &Told) -> Result<()> {
    match told {
        Told::LetIn => tx.query(LET_IN).bind(mailbox).execute().map(|_| ()),
        Told::Taken => tx.query(TAKEN).bind(mailbox).execute().map(|_| ()),
        Told::RefusedTo(address) => {
            note(tx, mailbox, &Told::LetIn)?;
            refused(tx, mailbox, address)
        }
        Told::Away(words) => {
            let failures: Option<(i64,)> = tx.query(AWAY).bind(mailbox).bind(words.as_str()).optional()?;
            let Some((failures,)) = failures else { return Ok(()) };
            let (first, longest) = AWAY_SECONDS;
            let wait = first.saturating_mul(1 << (failures.clamp(1, 10) - 1)).min(longest);
            let until = tx.now().plus_seconds(wait);
            tx.query(SET_NEXT_TIME).bind(mailbox).bind(until).execute().map(|_| ())
        }
        Told::Refused(words) => {
            let refused: Option<(i64,)> = tx.query(REFUSED).bind(mailbox).optional()?;
            if refused.is_some_and(|(refused,)| refused >= MAX_REFUSED) {
                return mailboxes::pause(tx, mailbox, &format!("its sign-in was refused {MAX_REFUSED} times: {words}"));
            }
            note(tx, mailbox, &Told::Away(words.clone()))
        }
        Told::Pause(why) => mailboxes::pause(tx, mailbox, why),
    }
}

/// Notes that a mail to this address was refused for a policy. The mailbox pauses when recipients' domains do so in a row.
fn refused(tx: &mut ScopedTx<'_>, mailbox: &MailboxId, address: &str) -> Result<()> {
    let known: Option<(Json<Refusers>,)> = tx.query(REFUSERS).bind(mailbox).optional()?;
    let Some((Json(mut refusers),)) = known else { return Ok(()) };
    refusers.add(address);
    tx.query(SET_REFUSERS).bind(mailbox).bind(json(&refusers)).execute_exactly(1)?;
    match refusers.trouble() {
        Some(why) => mailboxes::pause(tx, mailbox, &why),
        None => Ok(()),
    }
}
