//! MailboxService: the addresses that a tenant sends from.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tonic::{Request, Response, Status};

use super::{actor, caller, convert};
use crate::config::Secret;
use crate::connect::{DkimError, DkimKey, smtp};
use crate::domain::error::{Error, Violations};
use crate::domain::id::MailboxId;
use crate::domain::mailbox::{MAX_NOTE, MailboxKind, MailboxSettings, MailboxState};
use crate::domain::text;
use crate::pb;
use crate::pb::mailbox_service_server::MailboxService;
use crate::status::{internal, not_found, outbox_closed};
use crate::store::{
    Actor, CreateMailbox, DeleteMailbox, NewKey, Noun, OpenMailbox, SetMailboxState, Store, UpdateMailbox,
};

/// MailboxService.
pub struct Mailboxes {
    store: Arc<Store>,
    smtp: Arc<smtp::Connections>,
    /// Whether this deployment has outbox folders.
    outbox: bool,
}

// === impl Mailboxes ===

impl Mailboxes {
    pub fn new(store: Arc<Store>, smtp: Arc<smtp::Connections>, outbox: bool) -> Self {
        Self { store, smtp, outbox }
    }

    async fn set_state(
        &self,
        actor: &Actor,
        id: &str,
        state: MailboxState,
        reason: String,
    ) -> Result<Option<pb::Mailbox>, Status> {
        let id = convert::id("mailbox_id", id, MailboxId::parse)?;
        let (mailbox, _) = self.store.by(actor).write(SetMailboxState { id, state, reason }).await?;
        Ok(Some(convert::mailbox::out(mailbox, actor.caller.tenant())))
    }
}

#[tonic::async_trait]
impl MailboxService for Mailboxes {
    async fn create_mailbox(
        &self,
        request: Request<pb::CreateMailboxRequest>,
    ) -> Result<Response<pb::CreateMailboxResponse>, Status> {
        let actor = actor(&request)?;
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.request_id);
        let request_id = convert::request_id("CreateMailbox", &name, &convert::mailbox::without_secrets(&request))?;
        let mailbox = request.mailbox.ok_or_else(|| Error::field("mailbox", "is required"))?;
        let (kind, settings, secrets) = convert::mailbox::new(mailbox)?;
        if kind == MailboxKind::Outbox && !self.outbox {
            return Err(outbox_closed());
        }
        let dkim = new_key(kind, &settings).await?;
        let create = CreateMailbox { kind, settings, secrets, request_id, dkim };
        let mailbox = self.store.by(&actor).write(create).await?;
        let mailbox = Some(convert::mailbox::out(mailbox, actor.caller.tenant()));
        Ok(Response::new(pb::CreateMailboxResponse { mailbox }))
    }

    async fn get_mailbox(
        &self,
        request: Request<pb::GetMailboxRequest>,
    ) -> Result<Response<pb::GetMailboxResponse>, Status> {
        let caller = caller(&request)?;
        let id = convert::id("mailbox_id", &request.get_ref().mailbox_id, MailboxId::parse)?;
        let mailbox = self.store.scope(caller.scope()).mailbox(&id).await?;
        let mailbox = mailbox.ok_or_else(|| not_found(Noun::Mailbox))?;
        let mailbox = Some(convert::mailbox::out(mailbox, caller.tenant()));
        Ok(Response::new(pb::GetMailboxResponse { mailbox }))
    }

    async fn list_mailboxes(
        &self,
        request: Request<pb::ListMailboxesRequest>,
    ) -> Result<Response<pb::ListMailboxesResponse>, Status> {
        let caller = caller(&request)?;
        let mailboxes = self.store.scope(caller.scope()).mailboxes().await?;
        let mailboxes = mailboxes.into_iter().map(|mailbox| convert::mailbox::out(mailbox, caller.tenant())).collect();
        Ok(Response::new(pb::ListMailboxesResponse { mailboxes }))
    }

    async fn update_mailbox(
        &self,
        request: Request<pb::UpdateMailboxRequest>,
    ) -> Result<Response<pb::UpdateMailboxResponse>, Status> {
        let actor = actor(&request)?;
        let request = request.into_inner();
        let mailbox = request.mailbox.ok_or_else(|| Error::field("mailbox", "is required"))?;
        let update = convert::mailbox::update(mailbox, &request.update_mask.unwrap_or_default().paths)?;
        let store = self.store.by(&actor);
        let mut dkim = None;
        if update.mask.has("dkim.selector") {
            let before = store.mailbox(&update.id).await?.ok_or_else(|| not_found(Noun::Mailbox))?;
            if before.settings.dkim.selector != update.settings.dkim.selector {
                dkim = new_key(before.kind, &update.settings).await?;
            }
        }
        let mailbox = store.write(UpdateMailbox { dkim, ..update }).await?;
        let mailbox = Some(convert::mailbox::out(mailbox, actor.caller.tenant()));
        Ok(Response::new(pb::UpdateMailboxResponse { mailbox }))
    }

    async fn delete_mailbox(
        &self,
        request: Request<pb::DeleteMailboxRequest>,
    ) -> Result<Response<pb::DeleteMailboxResponse>, Status> {
        let actor = actor(&request)?;
        let request = request.into_inner();
        let id = convert::id("mailbox_id", &request.mailbox_id, MailboxId::parse)?;
        self.store.by(&actor).write(DeleteMailbox { id, etag: request.etag }).await?;
        Ok(Response::new(pb::DeleteMailboxResponse {}))
    }

    async fn pause_mailbox(
        &self,
        request: Request<pb::PauseMailboxRequest>,
    ) -> Result<Response<pb::PauseMailboxResponse>, Status> {
        let actor = actor(&request)?;
        let pb::PauseMailboxRequest { mailbox_id, reason } = request.into_inner();
        let mut violations = Violations::default();
        let reason = text::line(&mut violations, "reason", &reason, MAX_NOTE);
        violations.done()?;
        let mailbox = self.set_state(&actor, &mailbox_id, MailboxState::Paused, reason).await?;
        Ok(Response::new(pb::PauseMailboxResponse { mailbox }))
    }

    async fn test_mailbox(
        &self,
        request: Request<pb::TestMailboxRequest>,
    ) -> Result<Response<pb::TestMailboxResponse>, Status> {
        let caller = caller(&request)?;
        let id = convert::id("mailbox_id", &request.get_ref().mailbox_id, MailboxId::parse)?;
        let (mailbox, secrets) = self.store.scope(caller.scope()).write(OpenMailbox { id }).await?;
        if mailbox.kind == MailboxKind::Outbox {
            return Ok(Response::new(pb::TestMailboxResponse { works: true, transcript: Vec::new() }));
        }
        let name = smtp::name(caller.tenant(), &mailbox.id);
        let account = smtp::Account::of(&mailbox, &secrets).map_err(|why| Error::field("mailbox.smtp", why))?;
        let (tested, transcript) = self.smtp.test(&name, &account).await;
        let transcript = transcript.lines.into_iter().map(convert::email::line).collect();
        Ok(Response::new(pb::TestMailboxResponse { works: tested.is_ok(), transcript }))
    }

    async fn record_bounce(
        &self,
        request: Request<pb::RecordBounceRequest>,
    ) -> Result<Response<pb::RecordBounceResponse>, Status> {
        let actor = actor(&request)?;
        let bounce = convert::bounce::bounce(request.into_inner(), self.store.ids())?;
        let reported = self.store.by(&actor).write(bounce).await?;
        let (email, suppressed) = (reported.email.map(convert::email::out), reported.suppressed);
        Ok(Response::new(pb::RecordBounceResponse { email, suppressed }))
    }

    async fn record_complaint(
        &self,
        request: Request<pb::RecordComplaintRequest>,
    ) -> Result<Response<pb::RecordComplaintResponse>, Status> {
        let actor = actor(&request)?;
        let complaint = convert::bounce::complaint(request.get_ref(), self.store.ids())?;
        let reported = self.store.by(&actor).write(complaint).await?;
        let (email, suppressed) = (reported.email.map(convert::email::out), reported.suppressed);
        Ok(Response::new(pb::RecordComplaintResponse { email, suppressed }))
    }

    async fn resume_mailbox(
        &self,
        request: Request<pb::ResumeMailboxRequest>,
    ) -> Result<Response<pb::ResumeMailboxResponse>, Status> {
        let actor = actor(&request)?;
        let id = &request.get_ref().mailbox_id;
        let mailbox = self.set_state(&actor, id, MailboxState::Enabled, String::new()).await?;
        Ok(Response::new(pb::ResumeMailboxResponse { mailbox }))
    }
}

/// A key for a selector that may be new.
async fn new_key(kind: MailboxKind, settings: &MailboxSettings) -> Result<Option<NewKey>, Status> {
    if kind == MailboxKind::Outbox || settings.dkim.selector.is_empty() {
        return Ok(None);
    }
    // The search for primes takes a while.
    let made = tokio::task::spawn_blocking(|| -> Result<NewKey, DkimError> {
        let key = DkimKey::generate()?;
        Ok(NewKey { key: Secret::new(STANDARD.encode(key.to_pkcs8()?)), record: key.record()? })
    });
    let made = made.await.map_err(|error| internal(&error))?;
    made.map(Some).map_err(|error| internal(&error))
}
