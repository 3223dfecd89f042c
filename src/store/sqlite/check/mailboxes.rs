//! Looks at every tenant's mailboxes: that those that are enabled could send, and that what they sign in with still opens.

use rusqlite::Connection;

use crate::domain::error::Violations;
use crate::domain::finding::Finding;
use crate::domain::id::MailboxId;
use crate::domain::mailbox::{FIELDS, MailboxKind, MailboxSettings, MailboxState, Secrets, SignIn};
use crate::domain::mask::Mask;
use crate::store::error::Result;
use crate::store::mailboxes::SEALED;
use crate::store::master_key::MasterKey;
use crate::store::sql::{row, sqlite_sql};
use crate::tenant::TenantId;

sqlite_sql! {
    CHECK_MAILBOXES =
        "SELECT m.tenant_id, t.data_key, m.id, m.kind, m.state, m.settings, m.secrets
         FROM mailboxes m
         JOIN tenants t ON t.id = m.tenant_id
         ORDER BY m.tenant_id, m.id";
}

/// The findings that are told one by one.
const MAX_TOLD: usize = 100;

row! {
    struct Row {
        tenant_id: String,
        data_key: Vec<u8>,
        id: MailboxId,
        kind: MailboxKind,
        state: MailboxState,
        settings: String,
        secrets: Option<Vec<u8>>,
    }
}

/// How many mailboxes there are, how many of them are enabled outbox folders, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Mailboxes {
    pub count: usize,
    pub outboxes: usize,
    pub findings: Vec<Finding>,
}

/// Secrets are tried where the master key opens the tenant's own; that it does not is told elsewhere.
pub(super) fn look(connection: &Connection, master_key: Option<&MasterKey>) -> Result<Mailboxes> {
    let mut seen = Mailboxes::default();
    let rows: Vec<Row> = CHECK_MAILBOXES.on(connection).all()?;
    for Row { tenant_id: tenant, data_key, id, kind, state, settings, secrets: sealed } in rows {
        let name = format!("the mailbox {id} of {tenant}");
        let enabled = state == MailboxState::Enabled;
        seen.count += 1;
        seen.outboxes += usize::from(enabled && kind == MailboxKind::Outbox);
        let Ok(settings) = serde_json::from_str::<MailboxSettings>(&settings) else {
            seen.findings.push(Finding::new(
                format!("{name} has settings that this version cannot read"),
                "somebody else wrote into the database: put back the last backup",
            ));
            continue;
        };
        let tenant = TenantId::parse(&tenant).ok();
        let data_key = master_key.zip(tenant).and_then(|(key, tenant)| key.unwrap_data_key(&tenant, &data_key));
        let secrets = match (data_key, sealed) {
            (_, None) => Some(Secrets::default()),
            (None, Some(_)) => None,
            (Some(key), Some(sealed)) => {
                let opened = key.open(SEALED, &sealed).and_then(|text| serde_json::from_str::<Secrets>(&text).ok());
                if opened.is_none() {
                    seen.findings.push(Finding::new(
                        format!("{name} has sealed secrets that no longer open"),
                        format!("have its tenant set them anew (`herald mailboxes update {id}`), or put back the last backup"),
                    ));
                }
                opened
            }
        };
        if enabled {
            let secrets = secrets.as_ref();
            seen.findings.extend(cannot_send(&name, &id, kind, &settings));
            seen.findings.extend(secrets.and_then(|secrets| missing(&name, &id, kind, &settings, secrets)));
        }
    }
    let more = seen.findings.len().saturating_sub(MAX_TOLD);
    if more > 0 {
        seen.findings.truncate(MAX_TOLD);
        let to_do = "deal with those that are named, then look again";
        seen.findings.push(Finding::new(format!("{more} more findings about mailboxes"), to_do));
    }
    Ok(seen)
}

fn cannot_send(name: &str, id: &MailboxId, kind: MailboxKind, settings: &MailboxSettings) -> Option<Finding> {
    let mut violations = Violations::default();
    settings.clone().checked(&mut violations, &Mask::all(FIELDS)).check(kind, &mut violations);
    let wrong = violations.done().err()?;
    let to_do = format!("have its tenant correct them: `herald mailboxes update {id}`");
    Some(Finding::new(format!("{name} has settings with which it cannot send: {wrong}"), to_do))
}

/// What it signs in or signs letters with and does not have.
fn missing(
    name: &str,
    id: &MailboxId,
    kind: MailboxKind,
    settings: &MailboxSettings,
    secrets: &Secrets,
) -> Option<Finding> {
    let MailboxSettings { smtp, dkim, .. } = settings;
    let lacks = match smtp.sign_in {
        _ if kind == MailboxKind::Outbox => return None,
        SignIn::Password if !smtp.username.is_empty() && secrets.password.is_empty() => "password",
        SignIn::OAuth if secrets.refresh_token.is_empty() => "refresh token",
        _ if !dkim.selector.is_empty() && secrets.dkim_key.is_empty() => "DKIM key",
        _ => return None,
    };
    let to_do = format!("have its tenant set it: `herald mailboxes update {id}`");
    Some(Finding::warning(format!("{name} has no {lacks}"), to_do))
}
