//! The mailboxes that a tenant sends from.

use super::campaigns::live_states;
use super::door::Scoped;
use super::error::{Inconsistency, Noun, Result, StoreError, refuse_stale};
use super::events::record;
use super::request_id::{RequestId, once};
use super::sql::{Cells, Json, Record, Unreadable, json, tenant_sql};
use super::tx::ScopedTx;
use super::write::{CallWrite, OwnWrite, Touched, Write};
use crate::config::Secret;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Violations};
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, MailboxId};
use crate::domain::mailbox::{MAX_MAILBOXES, MAX_NOTE, Mailbox, MailboxKind, MailboxSettings, MailboxState, Secrets};
use crate::domain::mask::Mask;
use crate::domain::text;

macro_rules! columns {
    () => {
        "id, kind, settings, has_secrets, state, pause_reason, pause_time, trouble, revision, create_time, update_time"
    };
}

tenant_sql! {
    GET = concat!("SELECT ", columns!(), " FROM mailboxes WHERE tenant_id = $1 AND id = $2");
    LIST = concat!("SELECT ", columns!(), " FROM mailboxes WHERE tenant_id = $1 ORDER BY create_time, id");
    SECRETS_OF = "SELECT secrets FROM mailboxes WHERE tenant_id = $1 AND id = $2";
    WITH_ADDRESS = "SELECT id FROM mailboxes WHERE tenant_id = $1 AND address_key = $2";
    WAITING =
        "SELECT mailbox_id, COUNT(*)
         FROM emails
         WHERE tenant_id = $1 AND mailbox_id IS NOT NULL AND status IN ('awaiting_approval', 'approved')
         GROUP BY mailbox_id";
    /// Whose mail of the campaign is not sent yet.
    WITH_MAIL_OF =
        "SELECT m.id
         FROM mailboxes m
         WHERE m.tenant_id = $1 AND EXISTS (
             SELECT 1
             FROM emails e
             WHERE e.tenant_id = $1 AND e.campaign_id = $2 AND e.mailbox_id = m.id AND e.status IN ('awaiting_approval', 'approved'))";
    FIRST_SEND = "SELECT MIN(try_time) FROM emails WHERE tenant_id = $1 AND mailbox_id = $2 AND try_time IS NOT NULL";
    /// When a campaign that nobody works on is looked at again.
    DUE_TIME = "SELECT due_time FROM campaigns WHERE tenant_id = $1 AND id = $2 AND lease_owner IS NULL";
    IDS = "SELECT id FROM mailboxes WHERE tenant_id = $1";
    INSERT =
        "INSERT INTO mailboxes (tenant_id, id, address_key, kind, settings, secrets, has_secrets, state, pause_reason, revision,
             create_time, update_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'enabled', '', 1, $8, $8)";
    UPDATE =
        "UPDATE mailboxes
         SET address_key = $3, settings = $4, secrets = $5, has_secrets = $6, revision = revision + 1, update_time = $7,
             next_time = CASE WHEN failures > 0 THEN NULL ELSE next_time END, failures = 0, trouble = ''
         WHERE tenant_id = $1 AND id = $2";
    SET_STATE =
        "UPDATE mailboxes
         SET state = $3, pause_reason = $4, pause_time = $5, failures = 0, refused_sign_ins = 0, refusers = '[]', trouble = '', next_time = NULL,
             guard_time = CASE WHEN $3 = 'enabled' THEN CAST($6 AS bigint) ELSE guard_time END, revision = revision + 1, update_time = $6
         WHERE tenant_id = $1 AND id = $2";
    PAUSE_AFTER_TEST =
        "UPDATE mailboxes
         SET next_time = CASE WHEN next_time > $3 THEN next_time ELSE CAST($3 AS bigint) END
         WHERE tenant_id = $1 AND id = $2";
    SET_SECRETS = "UPDATE mailboxes SET secrets = $3 WHERE tenant_id = $1 AND id = $2";
    /// What waits for a time asks again.
    WAKE =
        "UPDATE campaigns
         SET due_time = $2
         WHERE tenant_id = $1 AND state = 'RUNNING' AND current_step = 'email_sending' AND lease_owner IS NULL AND due_time > $2";
    PAUSE =
        "UPDATE mailboxes
         SET state = 'paused', pause_reason = $3, pause_time = $4, revision = revision + 1, update_time = $4
         WHERE tenant_id = $1 AND id = $2 AND state = 'enabled'
         RETURNING id";
    /// The live campaigns that have mail of a mailbox.
    CAMPAIGNS_OF = concat!(
        "SELECT c.id
         FROM campaigns c
         WHERE c.tenant_id = $1 AND c.state IN ", live_states!(), " AND EXISTS (
             SELECT 1
             FROM emails e
             WHERE e.tenant_id = $1 AND e.campaign_id = c.id AND e.mailbox_id = $2
               AND e.status IN ('awaiting_approval', 'approved'))
         ORDER BY c.create_time, c.id");
    DELETE = "DELETE FROM mailboxes WHERE tenant_id = $1 AND id = $2";
}

/// What the sealed secrets are.
pub(super) const SEALED: &str = "mailbox secrets";

/// Adds a mailbox, enabled.
pub struct CreateMailbox {
    pub kind: MailboxKind,
    /// Checked.
    pub settings: MailboxSettings,
    pub secrets: Secrets,
    pub request_id: Option<RequestId>,
    /// For its selector, if it has one.
    pub dkim: Option<NewKey>,
}

/// A key of DKIM that a mailbox may get.
pub struct NewKey {
    /// PKCS #8 in base64.
    pub key: Secret,
    pub record: String,
}

/// Changes the fields that the mask names.
pub struct UpdateMailbox {
    pub id: MailboxId,
    /// None: as it is.
    pub kind: Option<MailboxKind>,
    /// Checked for the fields of the mask.
    pub settings: MailboxSettings,
    pub secrets: Secrets,
    pub mask: Mask,
    /// Empty: whatever is there.
    pub etag: String,
    /// For a selector that is new.
    pub dkim: Option<NewKey>,
}

/// Removes a mailbox and what it signs in with.
pub struct DeleteMailbox {
    pub id: MailboxId,
    /// Empty: whatever is there.
    pub etag: String,
}

/// Reads a mailbox with what it signs in with, which only a write can open.
pub struct OpenMailbox {
    pub id: MailboxId,
}

/// Opens a mailbox for a letter to itself, after which it pauses as after any other.
pub struct BeginTest {
    pub mailbox: MailboxId,
    pub message_id: String,
    pub request_id: Option<RequestId>,
}

/// What a test begins with.
pub struct Begun {
    pub mailbox: Mailbox,
    pub secrets: Secrets,
    /// That of the letter; an earlier one's, if this request was made before.
    pub message_id: String,
}

/// Pauses a mailbox, or lets it send again.
pub struct SetMailboxState {
    pub id: MailboxId,
    pub state: MailboxState,
    /// Of a pause.
    pub reason: String,
}

impl Scoped<'_> {
    pub async fn mailbox(&self, id: &MailboxId) -> Result<Option<Mailbox>> {
        self.query(GET).bind(id.clone()).optional().await
    }

    /// Each with how many mails wait to be decided on or sent from it. The oldest first.
    pub async fn mailboxes_with_mail(&self) -> Result<Vec<(Mailbox, u32)>> {
        let waiting: Vec<(MailboxId, u32)> = self.query(WAITING).all().await?;
        let of = |mailbox: Mailbox| {
            let waiting = waiting.iter().find(|(id, _)| *id == mailbox.id).map_or(0, |(_, count)| *count);
            (mailbox, waiting)
        };
        Ok(self.mailboxes().await?.into_iter().map(of).collect())
    }

    /// The oldest first.
    pub async fn mailboxes(&self) -> Result<Vec<Mailbox>> {
        self.query(LIST).all().await
    }
}

/// What a mailbox has to send, and has sent.
pub struct Load {
    pub mailbox: Mailbox,
    /// Mails of all campaigns that wait to be decided on or sent.
    pub waiting: u32,
    /// Its first mail, where its ramp asks for it.
    pub first: Option<Timestamp>,
}

impl Scoped<'_> {
    /// The mailboxes that have mail of the campaign to send.
    pub async fn loads_of(&self, campaign: &CampaignId) -> Result<Vec<Load>> {
        let ids: Vec<(MailboxId,)> = self.query(WITH_MAIL_OF).bind(campaign.clone()).all().await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut loads = Vec::new();
        for (mailbox, waiting) in self.mailboxes_with_mail().await? {
            if !ids.iter().any(|(id,)| *id == mailbox.id) {
                continue;
            }
            let mut first = None;
            if mailbox.settings.pace.ramp_start > 0 {
                let row: Option<(Option<Timestamp>,)> =
                    self.query(FIRST_SEND).bind(mailbox.id.clone()).optional().await?;
                first = row.and_then(|(first,)| first);
            }
            loads.push(Load { mailbox, waiting, first });
        }
        Ok(loads)
    }

    /// When the campaign is looked at again; None while it is worked on.
    pub async fn due_time(&self, campaign: &CampaignId) -> Result<Option<Timestamp>> {
        let row: Option<(Option<Timestamp>,)> = self.query(DUE_TIME).bind(campaign.clone()).optional().await?;
        Ok(row.and_then(|(due,)| due))
    }
}

/// The oldest first, inside a write.
pub(super) fn all(tx: &mut ScopedTx<'_>) -> Result<Vec<Mailbox>> {
    tx.query(LIST).all()
}

/// Whether the tenant has a mailbox of that address.
pub(super) fn has_address(tx: &mut ScopedTx<'_>, address: &str) -> Result<bool> {
    let found: Option<(MailboxId,)> = tx.query(WITH_ADDRESS).bind(address::key(address)).optional()?;
    Ok(found.is_some())
}

/// Pauses a mailbox that Herald does not let go on by itself, and tells the campaigns that have mail of it; nothing happens to one
/// that is paused, or gone.
pub(super) fn pause(tx: &mut ScopedTx<'_>, id: &MailboxId, reason: &str) -> Result<()> {
    let now = tx.now();
    let reason = text::cut(reason, MAX_NOTE).to_owned();
    let paused: Option<(MailboxId,)> = tx.query(PAUSE).bind(id).bind(reason.clone()).bind(now).optional()?;
    if paused.is_none() {
        return Ok(());
    }
    let address = find(tx, id)?.settings.address;
    let campaigns: Vec<(CampaignId,)> = tx.query(CAMPAIGNS_OF).bind(id).all()?;
    for (campaign,) in campaigns {
        let (mailbox_id, address, reason) = (id.clone(), address.clone(), reason.clone());
        record(tx, &campaign, vec![EventKind::MailboxPaused { mailbox_id, address, reason }])?;
    }
    Ok(())
}

/// Puts another refresh token in the place of the mailbox's, which may be gone meanwhile.
pub(super) fn set_refresh_token(tx: &mut ScopedTx<'_>, id: &MailboxId, token: &Secret) -> Result<()> {
    let secrets = Secrets { refresh_token: token.expose().to_owned(), ..open(tx, id)? };
    let sealed = seal(tx, &secrets)?;
    tx.query(SET_SECRETS).bind(id).bind(sealed).execute().map(|_| ())
}

fn find(tx: &mut ScopedTx<'_>, id: &MailboxId) -> Result<Mailbox> {
    tx.query(GET).bind(id.clone()).optional()?.ok_or(StoreError::NotFound(Noun::Mailbox))
}

/// The same, if it is as it was when its etag was read.
fn find_as_read(tx: &mut ScopedTx<'_>, id: &MailboxId, etag: &str) -> Result<Mailbox> {
    let mailbox = find(tx, id)?;
    refuse_stale(etag, || mailbox.etag(tx.tenant().as_str()))?;
    Ok(mailbox)
}

/// The address by which another mailbox would be told from this one; refused if another has it.
fn free_key(tx: &mut ScopedTx<'_>, id: &MailboxId, address: &str) -> Result<String> {
    let key = address::key(address);
    let found: Option<(MailboxId,)> = tx.query(WITH_ADDRESS).bind(key.clone()).optional()?;
    if found.is_some_and(|(other,)| other != *id) { Err(StoreError::MailboxExists) } else { Ok(key) }
}

fn seal(tx: &mut ScopedTx<'_>, secrets: &Secrets) -> Result<Option<Vec<u8>>> {
    if *secrets == Secrets::default() {
        return Ok(None);
    }
    let sealed = tx.data_key()?.seal(SEALED, &json(secrets), tx.ids().random());
    sealed.map(Some).ok_or_else(|| Inconsistency::NotSealed("the secrets of a mailbox").into())
}

pub(super) fn open(tx: &mut ScopedTx<'_>, id: &MailboxId) -> Result<Secrets> {
    let sealed: Option<(Option<Vec<u8>>,)> = tx.query(SECRETS_OF).bind(id.clone()).optional()?;
    let Some(sealed) = sealed.and_then(|(sealed,)| sealed) else { return Ok(Secrets::default()) };
    let opened = tx.data_key()?.open(SEALED, &sealed).and_then(|text| serde_json::from_str(&text).ok());
    opened.ok_or_else(|| Inconsistency::NotSealed("the secrets of a mailbox").into())
}

/// A selector that is new gets the new key; without one there is none. Refused if the key is missing since the selector has changed after
/// it was looked at: letters would go unsigned.
fn set_key(
    kind: MailboxKind,
    settings: &mut MailboxSettings,
    secrets: &mut Secrets,
    before: &str,
    new: Option<&NewKey>,
) -> Result<()> {
    if settings.dkim.selector == before {
        return Ok(());
    }
    let new = new.filter(|_| !settings.dkim.selector.is_empty());
    if new.is_none() && !settings.dkim.selector.is_empty() && kind == MailboxKind::Smtp {
        return Err(StoreError::EtagMismatch);
    }
    secrets.dkim_key = new.map(|new| new.key.expose().to_owned()).unwrap_or_default();
    settings.dkim.record = new.map(|new| new.record.clone()).unwrap_or_default();
    Ok(())
}

/// The campaigns that wait for the time of a mailbox look again when one of them may send.
pub(super) fn wake(tx: &mut ScopedTx<'_>) -> Result<()> {
    let now = tx.now();
    tx.query(WAKE).bind(now).execute().map(|_| ())
}

/// Whether it could send, as a whole.
fn check(mailbox: &Mailbox) -> Result<()> {
    let mut violations = Violations::default();
    mailbox.settings.check(mailbox.kind, &mut violations);
    Ok(violations.done()?)
}

// === impl CreateMailbox ===

impl Write for CreateMailbox {
    type Out = Mailbox;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Mailbox> {
        let id = once(tx, self.request_id.as_ref(), |tx| self.insert(tx))?;
        find(tx, &id)
    }
}

impl CreateMailbox {
    fn insert(&self, tx: &mut ScopedTx<'_>) -> Result<MailboxId> {
        let others: Vec<(MailboxId,)> = tx.query(IDS).all()?;
        if others.len() >= MAX_MAILBOXES {
            return Err(StoreError::TooManyMailboxes);
        }
        let id = MailboxId::make(tx.ids());
        let key = free_key(tx, &id, &self.settings.address)?;
        let (mut settings, mut secrets) = (self.settings.clone(), self.secrets.clone());
        set_key(self.kind, &mut settings, &mut secrets, "", self.dkim.as_ref())?;
        let (sealed, now) = (seal(tx, &secrets)?, tx.now());
        let insert = tx.query(INSERT).bind(id.clone()).bind(key).bind(self.kind.as_str());
        let insert = insert.bind(json(&settings)).bind(sealed).bind(json(&self.secrets.has()));
        insert.bind(now).execute_exactly(1)?;
        Ok(id)
    }
}

impl CallWrite for CreateMailbox {
    fn touched(&self, mailbox: &Mailbox) -> Touched {
        Touched::ids([&mailbox.id])
    }

    fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }
}

// === impl UpdateMailbox ===

impl Write for UpdateMailbox {
    type Out = Mailbox;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Mailbox> {
        let mut mailbox = find_as_read(tx, &self.id, &self.etag)?;
        if self.kind.is_some_and(|kind| kind != mailbox.kind) {
            return Err(Error::field("mailbox.kind", "cannot be changed: create another mailbox").into());
        }
        let selector = mailbox.settings.dkim.selector.clone();
        mailbox.settings.merge(&self.settings, &self.mask);
        check(&mailbox)?;
        let mut secrets = open(tx, &self.id)?;
        secrets.merge(&self.secrets, &self.mask);
        set_key(mailbox.kind, &mut mailbox.settings, &mut secrets, &selector, self.dkim.as_ref())?;
        let key = free_key(tx, &self.id, &mailbox.settings.address)?;
        let (sealed, now) = (seal(tx, &secrets)?, tx.now());
        let update = tx.query(UPDATE).bind(self.id.clone()).bind(key).bind(json(&mailbox.settings)).bind(sealed);
        update.bind(json(&secrets.has())).bind(now).execute_exactly(1)?;
        wake(tx)?;
        find(tx, &self.id)
    }
}

impl CallWrite for UpdateMailbox {
    fn touched(&self, mailbox: &Mailbox) -> Touched {
        Touched::ids([&mailbox.id]).with_fields(self.mask.fields().iter().copied())
    }
}

// === impl DeleteMailbox ===

impl Write for DeleteMailbox {
    type Out = ();

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        find_as_read(tx, &self.id, &self.etag)?;
        tx.query(DELETE).bind(self.id.clone()).execute_exactly(1)?;
        // What waits for its time is on hold now, and says so.
        wake(tx)
    }
}

impl CallWrite for DeleteMailbox {
    fn touched(&self, (): &()) -> Touched {
        Touched::ids([&self.id])
    }
}

// === impl BeginTest ===

impl Write for BeginTest {
    type Out = Begun;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Begun> {
        let message_id = once(tx, self.request_id.as_ref(), |tx| {
            let mailbox = find(tx, &self.mailbox)?;
            let pause = mailbox.settings.pace.pause(tx.ids().random());
            let until = Timestamp(tx.now().0.saturating_add(pause));
            tx.query(PAUSE_AFTER_TEST).bind(&self.mailbox).bind(until).execute_exactly(1)?;
            Ok(self.message_id.clone())
        })?;
        Ok(Begun { mailbox: find(tx, &self.mailbox)?, secrets: open(tx, &self.mailbox)?, message_id })
    }
}

impl CallWrite for BeginTest {
    fn touched(&self, _: &Begun) -> Touched {
        Touched::ids([&self.mailbox])
    }

    fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }
}

// === impl OpenMailbox ===

impl Write for OpenMailbox {
    type Out = (Mailbox, Secrets);

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<(Mailbox, Secrets)> {
        Ok((find(tx, &self.id)?, open(tx, &self.id)?))
    }
}

impl OwnWrite for OpenMailbox {}

// === impl SetMailboxState ===

/// The mailbox, and whether that has changed it.
impl Write for SetMailboxState {
    type Out = (Mailbox, bool);

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<(Mailbox, bool)> {
        let mailbox = find(tx, &self.id)?;
        if mailbox.state == self.state {
            return Ok((mailbox, false));
        }
        if self.state == MailboxState::Enabled {
            check(&mailbox)?;
        }
        let now = tx.now();
        let since = (self.state == MailboxState::Paused).then_some(now);
        let set = tx.query(SET_STATE).bind(self.id.clone()).bind(self.state.as_str()).bind(self.reason.clone());
        set.bind(since).bind(now).execute_exactly(1)?;
        if self.state == MailboxState::Enabled {
            wake(tx)?;
        }
        Ok((find(tx, &self.id)?, true))
    }
}

impl CallWrite for SetMailboxState {
    fn touched(&self, (mailbox, changed): &(Mailbox, bool)) -> Touched {
        if *changed { Touched::ids([&mailbox.id]).with_fields(["state"]) } else { Touched::default() }
    }
}

// === impl Mailbox ===

/// In the order of `columns!`.
impl Record for Mailbox {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            id: cells.named("id")?,
            kind: cells.named("kind")?,
            settings: cells.named::<Json<_>>("settings")?.0,
            has: cells.named::<Json<_>>("has_secrets")?.0,
            state: cells.named("state")?,
            pause_reason: cells.named("pause_reason")?,
            pause_time: cells.named("pause_time")?,
            trouble: cells.named("trouble")?,
            revision: cells.named("revision")?,
            create_time: cells.named("create_time")?,
            update_time: cells.named("update_time")?,
        })
    }
}
