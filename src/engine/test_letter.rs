//! Hands one letter over that is of no campaign: a test, to the mailbox that it is sent from.

use async_trait::async_trait;
use url::Url;

use super::Engine;
use crate::connect::smtp::{self, Account};
use crate::connect::{ConnectError, compose};
use crate::domain::delivery::{Fate, Transcript};
use crate::domain::email::Email;
use crate::domain::mailbox::{Mailbox, MailboxKind, Secrets};
use crate::tenant::Scope;

/// What became of a test.
#[derive(Debug)]
pub struct TestSent {
    pub is_sent: bool,
    /// Empty for an outbox folder.
    pub transcript: Transcript,
}

/// Why a test could not be handed over at all.
#[derive(Debug, thiserror::Error)]
pub enum TestRefused {
    #[error("the deployment has no outbox folders")]
    OutboxClosed,
    #[error("{0}")]
    Unsendable(String),
}

impl Engine {
    /// Once it has begun, it is brought to its end, whoever asked for it.
    pub async fn send_test(
        &self,
        scope: &Scope,
        mailbox: Mailbox,
        secrets: Secrets,
        email: Email,
        link: Option<Url>,
    ) -> Result<TestSent, TestRefused> {
        let connectors = self.resources.connectors.clone();
        if mailbox.kind == MailboxKind::Outbox {
            if !self.has_outbox() {
                return Err(TestRefused::OutboxClosed);
            }
            let delivered = connectors.mail.deliver(scope, &email, link.as_ref()).await;
            let failed = |error: ConnectError| TestRefused::Unsendable(error.to_string());
            return delivered.map(|()| TestSent { is_sent: true, transcript: Transcript::default() }).map_err(failed);
        }
        let unsendable = |why: String| TestRefused::Unsendable(why);
        let now = self.resources.store.ids().now();
        let content = compose(&email, &mailbox, &secrets, link, now).map_err(|error| unsendable(error.to_string()))?;
        let account = Account::of(&mailbox, &secrets).map_err(unsendable)?;
        let name = smtp::name(scope.tenant(), &mailbox.id);
        let talk = self.tasks.spawn(async move {
            let letter = smtp::Letter { from: &email.from.address, to: &email.to.address, content: &content };
            connectors.smtp.deliver(&name, &account, &letter, &Always).await
        });
        let delivered = talk.await.map_err(|error| unsendable(error.to_string()))?;
        let is_sent = matches!(delivered.fate, Fate::Taken { .. });
        Ok(TestSent { is_sent, transcript: delivered.transcript })
    }
}

/// A test has nobody who could take it back.
struct Always;

#[async_trait]
impl smtp::Lease for Always {
    async fn holds(&self) -> bool {
        true
    }
}
