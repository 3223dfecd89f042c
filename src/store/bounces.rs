//! What comes back about e-mails that were sent: bounces and complaints.
//!
//! A report is recorded whatever Herald knows of the e-mail: one that waits for a decision may have been sent before a backup was
//! put back. Reports come more than once, and from strangers' servers in any order; what is known already changes nothing.

use super::emails::{self, email_columns};
use super::error::{Noun, Result, StoreError};
use super::events::record;
use super::guards;
use super::sql::tenant_sql;
use super::suppressions;
use super::tx::ScopedTx;
use super::write::{CallWrite, Touched, Write};
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::email::{Bounce, Email, Report};
use crate::domain::event::EventKind;
use crate::domain::id::EmailId;
use crate::domain::suppression::{Suppression, SuppressionReason};

tenant_sql! {
    BY_MESSAGE_ID = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND message_id = $2 AND campaign_id IS NOT NULL
         LIMIT 1");
    BY_SERVER_ID = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND server_id = CAST($2 AS text) AND server_id != ''
         ORDER BY sent_time DESC, id DESC
         LIMIT 1");
    NEWEST_TO = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND address_key = CAST($2 AS text) AND status = 'sent'
         ORDER BY sent_time DESC, id DESC
         LIMIT 1");
    SET_BOUNCE =
        "UPDATE emails
         SET bounce_time = $3, bounce_permanent = $4, bounce_status = $5, bounce_diagnostic = $6, update_time = $7,
             mailed_time = COALESCE(mailed_time, try_time, $3)
         WHERE tenant_id = $1 AND id = $2";
    SET_COMPLAINT =
        "UPDATE emails
         SET complaint_time = $3, update_time = $4, mailed_time = COALESCE(mailed_time, try_time, $3)
         WHERE tenant_id = $1 AND id = $2";
}

/// How a report names the e-mail that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentRef {
    Id(EmailId),
    /// Without angle brackets; ours, or the one that the mail server has given it.
    MessageId(String),
    /// Its recipient's address: the newest that was sent to it.
    Address(String),
}

/// Records that an e-mail was not delivered.
pub struct RecordBounce {
    pub which: SentRef,
    /// None: now. It may be a little ahead of our clock.
    pub time: Option<Timestamp>,
    /// Checked; its time is the one above.
    pub bounce: Bounce,
    /// Whether nobody is reached at the address.
    pub suppresses: bool,
}

/// Records that the recipient of an e-mail has complained about it.
pub struct RecordComplaint {
    pub which: SentRef,
    /// None: now. It may be a little ahead of our clock.
    pub time: Option<Timestamp>,
}

/// What is known once a report is recorded.
#[derive(Debug)]
pub struct Reported {
    /// None: only an address was known.
    pub email: Option<Email>,
    /// Whether the address is suppressed now.
    pub suppressed: bool,
    /// Whether anything is new.
    changed: bool,
}

/// The e-mail that is meant; none if only an address is known.
fn find(tx: &mut ScopedTx<'_>, which: &SentRef) -> Result<Option<Email>> {
    let found: Option<Email> = match which {
        SentRef::Id(id) => match emails::find(tx, id) {
            Err(StoreError::NotFound(_)) => None,
            found => Some(found?).filter(|email| email.reply.is_none()),
        },
        SentRef::MessageId(id) => by_message_id(tx, id)?,
        SentRef::Address(to) => return tx.query(NEWEST_TO).bind(address::key(to)).optional(),
    };
    found.map(Some).ok_or(StoreError::NotFound(Noun::SentEmail))
}

/// The e-mail of a Message-ID, or of an id of the mail server's, which some servers write into the header with a domain behind.
fn by_message_id(tx: &mut ScopedTx<'_>, id: &str) -> Result<Option<Email>> {
    let ours = tx.query(BY_MESSAGE_ID).bind(id.to_owned()).optional()?;
    if ours.is_some() {
        return Ok(ours);
    }
    let bare = id.split_once('@').map(|(bare, _)| bare);
    for id in [Some(id), bare].into_iter().flatten() {
        let theirs = tx.query(BY_SERVER_ID).bind(id.to_owned()).optional()?;
        if theirs.is_some() {
            return Ok(theirs);
        }
    }
    Ok(None)
}

/// Suppresses whom the report is about. Whether that is new.
fn suppress(
    tx: &mut ScopedTx<'_>,
    which: &SentRef,
    email: Option<&Email>,
    reason: SuppressionReason,
    what: &str,
) -> Result<bool> {
    let Some(address) = recipient(which, email) else { return Ok(false) };
    let source = email.map_or_else(|| format!("a {what}"), |email| format!("a {what}, of {}", email.id));
    let suppression = Suppression { email: address.to_owned(), reason, source, create_time: tx.now() };
    Ok(suppressions::add(tx, &[suppression])? > 0)
}

fn recipient<'a>(which: &'a SentRef, email: Option<&'a Email>) -> Option<&'a str> {
    match (email, which) {
        (Some(email), _) => Some(&email.to.address),
        (None, SentRef::Address(address)) => Some(address),
        (None, _) => None,
    }
}

/// Tells the watchers of its campaign what came back of an e-mail.
fn tell(tx: &mut ScopedTx<'_>, email: &Email, report: Report) -> Result<()> {
    let Some(campaign) = &email.campaign_id else { return Ok(()) };
    let (email_id, prospect_id) = (email.id.clone(), email.prospect_id.clone());
    record(tx, campaign, vec![EventKind::EmailReported { email_id, prospect_id, report }])
}

fn reported(tx: &mut ScopedTx<'_>, which: &SentRef, email: Option<Email>, changed: bool) -> Result<Reported> {
    let email = email.map(|email| emails::find(tx, &email.id)).transpose()?;
    let suppressed = match recipient(which, email.as_ref()) {
        Some(address) => suppressions::find(tx, address)?.is_some(),
        None => false,
    };
    Ok(Reported { email, suppressed, changed })
}

/// Keeps what is known of a bounce of an e-mail.
pub(super) fn set_bounce(tx: &mut ScopedTx<'_>, email: &EmailId, bounce: &Bounce) -> Result<()> {
    let now = tx.now();
    let status = bounce.status.map(|status| status.to_string()).unwrap_or_default();
    let set = tx.query(SET_BOUNCE).bind(email.clone()).bind(bounce.time).bind(i64::from(bounce.permanent));
    set.bind(status).bind(bounce.diagnostic.clone()).bind(now).execute_exactly(1)
}

// === impl RecordBounce ===

impl Write for RecordBounce {
    type Out = Reported;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Reported> {
        let email = find(tx, &self.which)?;
        let now = tx.now();
        let bounce = Bounce { time: self.time.unwrap_or(now).min(now), ..self.bounce.clone() };
        let is_new = email.as_ref().is_none_or(|email| bounce.replaces(email.bounce.as_ref()));
        let mut changed = false;
        if is_new && self.suppresses {
            changed |= suppress(tx, &self.which, email.as_ref(), SuppressionReason::Bounced, "bounce")?;
        }
        if let Some(email) = email.as_ref().filter(|_| is_new) {
            set_bounce(tx, &email.id, &bounce)?;
            tell(tx, email, bounce.report())?;
            if bounce.permanent {
                guards::after_report(tx, email)?;
            }
            changed = true;
        }
        reported(tx, &self.which, email, changed)
    }
}

impl CallWrite for RecordBounce {
    fn touched(&self, reported: &Reported) -> Touched {
        reported.touched()
    }
}

// === impl RecordComplaint ===

impl Write for RecordComplaint {
    type Out = Reported;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Reported> {
        let email = find(tx, &self.which)?;
        let now = tx.now();
        let is_new = email.as_ref().is_none_or(|email| email.complaint_time.is_none());
        let mut changed = false;
        if is_new {
            changed |= suppress(tx, &self.which, email.as_ref(), SuppressionReason::Complained, "complaint")?;
        }
        if let Some(email) = email.as_ref().filter(|_| is_new) {
            let time = self.time.unwrap_or(now).min(now);
            tx.query(SET_COMPLAINT).bind(email.id.clone()).bind(time).bind(now).execute_exactly(1)?;
            tell(tx, email, Report::Complained)?;
            guards::after_report(tx, email)?;
            changed = true;
        }
        reported(tx, &self.which, email, changed)
    }
}

impl CallWrite for RecordComplaint {
    fn touched(&self, reported: &Reported) -> Touched {
        reported.touched()
    }
}

// === impl Reported ===

impl Reported {
    fn touched(&self) -> Touched {
        match &self.email {
            Some(email) if self.changed => Touched::ids([&email.id]),
            None if self.changed => Touched::count(1),
            _ => Touched::default(),
        }
    }
}
