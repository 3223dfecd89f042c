//! Step 6: hands the approved e-mails over, one by one: to the mail servers of the campaign's mailboxes, or into the outbox folder.
//!
//! Architecture invariant: no e-mail is sent twice. It is marked `sending`, on the disk, before anybody is spoken to, and its outcome
//! is recorded after. What a crash leaves in `sending` is looked for in the outbox folder; what a mail server may have taken nobody
//! knows, and that is never tried again by itself.

use async_trait::async_trait;
use url::Url;

use super::super::turn::{StepError, Turn};
use crate::config::Secret;
use crate::connect::smtp::{self, Account};
use crate::connect::{ConnectError, Connectors, Delivery, compose};
use crate::crash;
use crate::domain::campaign::{CampaignState, StepId, StepStatus};
use crate::domain::delivery::{Fate, Stage, Transcript};
use crate::domain::email::Email;
use crate::domain::mailbox::{Mailbox, MailboxKind, Secrets};
use crate::metrics::metrics;
use crate::store::{
    Claim, Lease, Next, Outcome, Scoped, SendAttempt, SendBegin, SendDone, Sending, Store, StoreError, Suspicion, Told,
    Work,
};

const STEP: StepId = StepId::EmailSending;
/// The e-mails of one turn.
const BATCH: usize = 10;

/// What became of an e-mail; without an outcome nobody can tell yet, and it is asked for again.
struct Handed {
    outcome: Option<Outcome>,
    transcript: Transcript,
    told: Option<Told>,
    /// In the place of the mailbox's own.
    refresh_token: Option<Secret>,
    /// Says to try again later.
    failure: Option<ConnectError>,
}

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), StepError> {
    settle_with(turn).await?;
    let store = turn.store();
    let links = turn.resources().settings.public_url.is_some();
    let pause_on_error = store.agent_config().await?.settings.controls.pause_on_error;
    let mut sent = 0;
    // Where a mailbox was not let in, another may have mail; if none has, the campaign is on hold, and is not taken off in between.
    while sent < BATCH {
        let mut next = match store.write(SendBegin { lease: turn.lease().clone(), links }).await? {
            SendAttempt::Email(sending) => Some(*sending),
            SendAttempt::Skipped => return Ok(()),
            SendAttempt::Later(until, why) => return Err(StepError::Wait { until, why }),
            SendAttempt::Held(why) => {
                return Err(StepError::Connect { error: ConnectError::Passing(why), patient: true });
            }
            SendAttempt::NoneLeft => return finish(turn).await,
        };
        crash::point("engine.sending.begun");
        let mut let_in = true;
        while let Some(sending) = next {
            sent += 1;
            // In a box: the talk with a mail server has much to remember, and every turn would have the room for it.
            let handed = Box::pin(hand_over(turn, &sending)).await;
            let Handed { outcome, transcript, told, refresh_token, failure } = handed;
            crash::point("engine.sending.delivered");
            let_in = !matches!(told, Some(Told::Away(_) | Told::Refused(_)));
            let told = sending.from.as_ref().map(|(mailbox, _)| mailbox.id.clone()).zip(told);
            next = match outcome {
                Some(outcome) => {
                    let begin_next = sent < BATCH && failure.is_none();
                    let (lease, email) = (turn.lease().clone(), sending.email.id);
                    let done = SendDone {
                        lease,
                        email,
                        outcome,
                        transcript,
                        told,
                        refresh_token,
                        pause_on_error,
                        begin_next,
                        links,
                    };
                    record(&store, done).await?
                }
                None => None,
            };
            crash::point("engine.sending.recorded");
            if let Some(error) = failure {
                return Err(StepError::Connect { error, patient: true });
            }
        }
        if let_in {
            return Ok(());
        }
    }
    Ok(())
}

/// Settles what a crash left in the middle of sending in a campaign that is not running.
pub(in crate::engine) async fn settle(store: &Store, connectors: &Connectors, claim: &Claim) -> Result<(), StepError> {
    let scoped = store.scope(&claim.scope);
    for email in scoped.emails_in_sending(&claim.lease.campaign).await? {
        let by_server = match &email.mailbox_id {
            Some(id) => scoped.mailbox(id).await?.is_none_or(|mailbox| mailbox.kind == MailboxKind::Smtp),
            None => false,
        };
        let delivery = if by_server {
            Delivery::Unknown
        } else {
            let delivery = connectors.mail.verify(&claim.scope, &email).await;
            delivery.map_err(|error| StepError::Connect { error, patient: true })?
        };
        let outcome = match delivery {
            Delivery::Delivered => Outcome::Sent(None),
            Delivery::NotDelivered => Outcome::NotSent,
            Delivery::Unknown => Outcome::Unknown,
        };
        let (lease, email, transcript) = (claim.lease.clone(), email.id, Transcript::default());
        let (told, refresh_token) = (None, None);
        let (pause_on_error, begin_next, links) = (false, false, false);
        let done =
            SendDone { lease, email, outcome, transcript, told, refresh_token, pause_on_error, begin_next, links };
        record(&scoped, done).await?;
    }
    Ok(())
}

async fn settle_with(turn: &Turn<'_>) -> Result<(), StepError> {
    let claim =
        Claim { scope: turn.scope().clone(), lease: turn.lease().clone(), suspicion: Suspicion::default(), tries: 0 };
    settle(&turn.resources().store, turn.connectors(), &claim).await
}

/// The next e-mail to send, if it was asked for.
async fn record(store: &Scoped<'_>, done: SendDone) -> Result<Option<Sending>, StoreError> {
    let (outcome, stage) = (done.outcome.name(), done.transcript.last().map_or("none", |line| line.stage.as_str()));
    let sent = matches!(done.outcome, Outcome::Sent(_));
    let next = store.write(done).await?;
    metrics().mail(outcome, stage);
    if sent {
        metrics().tenant_email(store.tenant());
    }
    Ok(next)
}

async fn hand_over(turn: &mut Turn<'_>, sending: &Sending) -> Handed {
    let Sending { email, from, link } = sending;
    let link = turn.resources().settings.public_url.as_ref().zip(link.as_ref()).map(|(base, token)| base.link(token));
    match from {
        Some((mailbox, secrets)) if mailbox.kind == MailboxKind::Smtp => {
            by_server(turn, email, link, mailbox, secrets).await
        }
        _ => into_outbox(turn, email, link.as_ref()).await,
    }
}

async fn into_outbox(turn: &Turn<'_>, email: &Email, link: Option<&Url>) -> Handed {
    if !turn.resources().settings.outbox {
        let why = "the deployment has no outbox folders any more (the setting mail.outbox)".to_owned();
        let (outcome, failure) = (Some(Outcome::NotSent), Some(ConnectError::Passing(why)));
        return Handed { outcome, transcript: Transcript::default(), told: None, refresh_token: None, failure };
    }
    let (outcome, failure) = match turn.connectors().mail.deliver(turn.scope(), email, link).await {
        Ok(()) => (Some(Outcome::Sent(None)), None),
        Err(ConnectError::Final(why)) => (Some(Outcome::Failed(why)), None),
        Err(error @ ConnectError::Passing(_)) => (Some(Outcome::NotSent), Some(error)),
        // It may have been taken, and the answer lost: the connector is asked. What it cannot tell now stays marked as being
        // sent, and is asked for again at the campaign's next turn.
        Err(error @ ConnectError::Unclear(_)) => match turn.connectors().mail.verify(turn.scope(), email).await {
            Ok(Delivery::Delivered) => (Some(Outcome::Sent(None)), None),
            Ok(Delivery::NotDelivered) => (Some(Outcome::NotSent), Some(error)),
            Ok(Delivery::Unknown) => (Some(Outcome::Unknown), None),
            Err(_) => (None, Some(error)),
        },
    };
    Handed { outcome, transcript: Transcript::default(), told: None, refresh_token: None, failure }
}

async fn by_server(
    turn: &mut Turn<'_>,
    email: &Email,
    unsubscribe_url: Option<Url>,
    mailbox: &Mailbox,
    secrets: &Secrets,
) -> Handed {
    let failed = |why: String| Handed {
        outcome: Some(Outcome::Failed(why)),
        transcript: Transcript::default(),
        told: None,
        refresh_token: None,
        failure: None,
    };
    let content = match compose(email, mailbox, secrets, unsubscribe_url, turn.resources().store.ids().now()) {
        Ok(content) => content,
        Err(error) => return failed(error.to_string()),
    };
    let account = match Account::of(mailbox, secrets) {
        Ok(account) => account,
        Err(why) => return failed(why),
    };
    let name = smtp::name(turn.scope().tenant(), &mailbox.id);
    let letter = smtp::Letter { from: &email.from.address, to: &email.to.address, content: &content };
    let lease = StillHeld { store: turn.store(), lease: turn.lease().clone() };
    let connections = turn.connectors().smtp.clone();
    let delivered = turn.handing_over(connections.deliver(&name, &account, &letter, &lease)).await;
    let words = delivered.transcript.last_words().unwrap_or_default();
    // Nothing of this e-mail was said yet.
    let at_the_door = delivered.transcript.last().is_none_or(|line| {
        matches!(
            line.stage,
            Stage::Connect | Stage::Tls | Stage::Greeting | Stage::Hello | Stage::Token | Stage::SignIn
        )
    });
    let (outcome, told) = match delivered.fate {
        Fate::Taken { server_id } => (Outcome::Sent(server_id), Told::Taken),
        Fate::Bounced => (Outcome::Bounced(words), Told::LetIn),
        Fate::Policy { blames_mailbox: true } => {
            (Outcome::Failed(words.clone()), Told::Pause(format!("its mail server refuses its mail: {words}")))
        }
        Fate::Policy { blames_mailbox: false } => (Outcome::Failed(words), Told::RefusedTo(email.to.address.clone())),
        Fate::Unfit => (Outcome::Failed(words), Told::LetIn),
        Fate::NotNow if at_the_door => (Outcome::NotSent, Told::Away(words)),
        Fate::NotNow => (Outcome::NotNow(words), Told::LetIn),
        Fate::SignInRefused => (Outcome::NotSent, Told::Refused(words)),
        Fate::Withdrawn => (Outcome::NotSent, Told::LetIn),
        Fate::Unclear => (Outcome::Unknown, Told::LetIn),
    };
    if let Told::Away(words) | Told::Refused(words) | Told::Pause(words) = &told {
        tracing::warn!(tenant = %turn.scope().tenant(), mailbox = %mailbox.id, %words, "mail.not_let_in");
    }
    let smtp::Delivered { transcript, refresh_token, .. } = delivered;
    Handed { outcome: Some(outcome), transcript, told: Some(told), refresh_token, failure: None }
}

/// Whether the campaign still runs and is still this worker's, looked at right before the mail server is given the letter.
struct StillHeld<'a> {
    store: Scoped<'a>,
    lease: Lease,
}

#[async_trait]
impl smtp::Lease for StillHeld<'_> {
    async fn holds(&self) -> bool {
        let campaign = self.store.campaign(Some(&self.lease.campaign)).await;
        campaign.is_ok_and(|campaign| {
            campaign
                .is_some_and(|campaign| campaign.fence == self.lease.fence && campaign.state == CampaignState::Running)
        })
    }
}

async fn finish(turn: &Turn<'_>) -> Result<(), StepError> {
    let Some(campaign) = turn.store().campaign(Some(&turn.lease().campaign)).await? else { return Ok(()) };
    let emails = campaign.emails;
    let tried = emails.sent + emails.failed + emails.unknown;
    let status = if tried == 0 { StepStatus::Skipped } else { StepStatus::Completed };
    let summary = emails.outcome();
    // If somebody has taken a decision back meanwhile, it waits for that first.
    turn.advance(STEP, Work::None, Vec::new(), Next::Done { status, summary }).await
}
