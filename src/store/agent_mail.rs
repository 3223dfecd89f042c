//! Makes paused mailboxes of what stood in the configuration before there were mailboxes, when the database is opened.
//!
//! Each tenant's is one write, so that whoever is interrupted goes on where it was.

use serde::Deserialize;
use url::Url;

use super::door::Store;
use super::error::Result;
use super::mailboxes::{self, CreateMailbox};
use super::sql::{Json, system_sql, tenant_sql};
use super::tx::{ScopedTx, SystemTx};
use super::write::{SystemWrite, Write};
use crate::domain::address;
use crate::domain::calendar::{Calendar, WorkingHours};
use crate::domain::mailbox::{MailboxKind, MailboxSettings, Secrets, SmtpSecurity, SmtpServer};
use crate::domain::pace::Pace;
use crate::tenant::TenantId;

tenant_sql! {
    GET = "SELECT settings, smtp_password FROM agent_mail WHERE tenant_id = $1";
    DELETE = "DELETE FROM agent_mail WHERE tenant_id = $1";
}

system_sql! {
    AGENT_MAIL_TENANTS = "SELECT tenant_id FROM agent_mail";
}

/// What the sealed password is.
const PASSWORD: &str = "smtp password";
/// Why the mailbox is paused.
const REASON: &str = "made of the configuration, where its settings stood before there were mailboxes: look at them, test it, then resume it";

/// The tenants of whom something stands there.
struct Left;

/// Makes the tenant's mailbox.
struct Move;

/// The parts of a configuration that are of a mailbox.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Before {
    target_website: String,
    provider: String,
    sender: Sender,
    smtp: Smtp,
    controls: Controls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sender {
    email: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Smtp {
    host: String,
    port: u16,
    security: SmtpSecurity,
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Controls {
    max_emails_per_hour: u32,
    working_hours: Option<WorkingHours>,
    time_zone: String,
}

// === impl Store ===

impl Store {
    /// Makes the mailboxes; once it is done, there is nothing to do.
    pub(super) async fn move_agent_mail(&self) -> Result<()> {
        for tenant in self.write_system(Left).await? {
            self.queue.write(&tenant, Move).await?;
            tracing::info!(%tenant, "store.mailbox_made");
        }
        Ok(())
    }
}

// === impl Left ===

impl SystemWrite for Left {
    type Out = Vec<TenantId>;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Vec<TenantId>> {
        let rows: Vec<(String,)> = tx.query(AGENT_MAIL_TENANTS).all()?;
        Ok(rows.into_iter().filter_map(|(id,)| TenantId::parse(&id).ok()).collect())
    }
}

// === impl Move ===

impl Write for Move {
    type Out = ();

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        let row: Option<(Json<Before>, Option<Vec<u8>>)> = tx.query(GET).optional()?;
        let Some((Json(before), sealed)) = row else { return Ok(()) };
        let password = match sealed {
            Some(sealed) => tx.data_key()?.open(PASSWORD, &sealed).unwrap_or_default(),
            None => String::new(),
        };
        let settings = before.mailbox();
        let provider = match before.provider.as_str() {
            "" => String::new(),
            provider => format!(" (of {provider})"),
        };
        // A mailbox of this address was made by hand meanwhile: that one counts.
        if !mailboxes::has_address(tx, &settings.address)? {
            let secrets = Secrets { password, ..Secrets::default() };
            let create = CreateMailbox { kind: MailboxKind::Smtp, settings, secrets, request_id: None, dkim: None };
            let mailbox = create.run(tx)?;
            mailboxes::pause(tx, &mailbox.id, &format!("{REASON}{provider}"))?;
        }
        tx.query(DELETE).execute_exactly(1)
    }
}

// === impl Before ===

impl Before {
    fn mailbox(&self) -> MailboxSettings {
        let Smtp { host, port, security, username } = &self.smtp;
        let Controls { max_emails_per_hour, working_hours, time_zone } = &self.controls;
        MailboxSettings {
            address: self.address(),
            smtp: SmtpServer {
                host: host.clone(),
                port: *port,
                security: *security,
                username: username.clone(),
                ..SmtpServer::default()
            },
            pace: Pace { per_hour: Some(*max_emails_per_hour).filter(|most| *most > 0), ..Pace::default() },
            calendar: Calendar { hours: *working_hours, time_zone: time_zone.clone(), ..Calendar::default() },
            ..MailboxSettings::default()
        }
    }

    /// The From address that letters had; of nobody (RFC 6761) where that cannot be told.
    fn address(&self) -> String {
        let of = |text: &str| address::parse(text).ok();
        let website = Url::parse(&self.target_website).ok();
        let host = website.as_ref().and_then(Url::domain).map(|host| host.strip_prefix("www.").unwrap_or(host));
        let at_host = host.and_then(|host| of(&format!("hello@{host}")));
        let stated = of(&self.sender.email).or_else(|| of(&self.smtp.username));
        stated.or(at_host).unwrap_or_else(|| "hello@mailbox.invalid".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_one_that_letters_had() {
        let address = |json: &str| serde_json::from_str::<Before>(json).expect("JSON").address();
        let user = r#""smtp": {"username": "anna@acme.example"}, "target_website": "https://www.acme.example/""#;
        assert_eq!(address(&format!(r#"{{"sender": {{"email": "ruth@acme.example"}}, {user}}}"#)), "ruth@acme.example");
        assert_eq!(address(&format!("{{{user}}}")), "anna@acme.example");
        let site = r#"{"smtp": {"username": "anna"}, "target_website": "https://www.acme.example/"}"#;
        assert_eq!(address(site), "hello@acme.example");
        assert_eq!(address(r#"{"provider": "gmail"}"#), "hello@mailbox.invalid");
    }
}
