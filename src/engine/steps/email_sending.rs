//! Step 6: hands the approved e-mails to the mail connector, one by one.
//!
//! Architecture invariant: no e-mail is sent twice. It is marked `sending`, on the disk, before the connector is spoken
//! to, and its outcome is recorded after. What a crash leaves in `sending` is put to the connector, which knows or does
//! not; what nobody knows is never tried again by itself.

use super::super::turn::{StepError, Turn};
use crate::connect::{ConnectError, Connectors, Delivery};
use crate::crash;
use crate::domain::campaign::{StepId, StepStatus};
use crate::domain::email::Email;
use crate::metrics::metrics;
use crate::store::{
    Claim, Next, Outcome, Scoped, SendAttempt, SendBegin, SendDone, Store, StoreError, Suspicion, Work,
};

const STEP: StepId = StepId::EmailSending;
/// The e-mails of one turn.
const BATCH: usize = 10;

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), StepError> {
    settle_with(turn).await?;
    let store = turn.store();
    let pause_on_error = store.agent_config().await?.settings.controls.pause_on_error;
    let mut next = match store.write(SendBegin { lease: turn.lease().clone() }).await? {
        SendAttempt::Email(email) => Some(*email),
        SendAttempt::Skipped => return Ok(()),
        SendAttempt::NoneLeft => return finish(turn).await,
    };
    crash::point("engine.sending.begun");
    let mut sent = 0;
    while let Some(email) = next {
        sent += 1;
        let (outcome, failure) = deliver(turn, &email).await;
        crash::point("engine.sending.delivered");
        next = match outcome {
            Some(outcome) => {
                let begin_next = sent < BATCH && failure.is_none();
                let (lease, email) = (turn.lease().clone(), email.id);
                record(&store, SendDone { lease, email, outcome, pause_on_error, begin_next }).await?
            }
            None => None,
        };
        crash::point("engine.sending.recorded");
        if let Some(error) = failure {
            return Err(StepError::Connect { error, patient: true });
        }
    }
    Ok(())
}

/// Settles what a crash left in the middle of sending in a campaign that is not running.
pub(in crate::engine) async fn settle(store: &Store, connectors: &Connectors, claim: &Claim) -> Result<(), StepError> {
    let scoped = store.scope(&claim.scope);
    for email in scoped.emails_in_sending(&claim.lease.campaign).await? {
        let delivery = connectors.mail.verify(&claim.scope, &email).await;
        let delivery = delivery.map_err(|error| StepError::Connect { error, patient: true })?;
        let outcome = match delivery {
            Delivery::Delivered => Outcome::Sent,
            Delivery::NotDelivered => Outcome::NotSent,
            Delivery::Unknown => Outcome::Unknown,
        };
        let (lease, email) = (claim.lease.clone(), email.id);
        record(&scoped, SendDone { lease, email, outcome, pause_on_error: false, begin_next: false }).await?;
    }
    Ok(())
}

async fn settle_with(turn: &Turn<'_>) -> Result<(), StepError> {
    let claim =
        Claim { scope: turn.scope().clone(), lease: turn.lease().clone(), suspicion: Suspicion::default(), tries: 0 };
    settle(&turn.resources().store, turn.connectors(), &claim).await
}

/// The next e-mail to send, if it was asked for.
async fn record(store: &Scoped<'_>, done: SendDone) -> Result<Option<Email>, StoreError> {
    let sent = matches!(done.outcome, Outcome::Sent);
    let next = store.write(done).await?;
    if sent {
        metrics().tenant_email(store.tenant());
    }
    Ok(next)
}

/// The outcome, and the failure that says to try again later.
async fn deliver(turn: &Turn<'_>, email: &Email) -> (Option<Outcome>, Option<ConnectError>) {
    match turn.connectors().mail.deliver(turn.scope(), email).await {
        Ok(()) => (Some(Outcome::Sent), None),
        Err(ConnectError::Final(why)) => (Some(Outcome::Failed(why)), None),
        Err(error @ ConnectError::Passing(_)) => (Some(Outcome::NotSent), Some(error)),
        // It may have been taken, and the answer lost: the connector is asked. What it cannot tell now stays marked as being
        // sent, and is asked for again at the campaign's next turn.
        Err(error @ ConnectError::Unclear(_)) => match turn.connectors().mail.verify(turn.scope(), email).await {
            Ok(Delivery::Delivered) => (Some(Outcome::Sent), None),
            Ok(Delivery::NotDelivered) => (Some(Outcome::NotSent), Some(error)),
            Ok(Delivery::Unknown) => (Some(Outcome::Unknown), None),
            Err(_) => (None, Some(error)),
        },
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
