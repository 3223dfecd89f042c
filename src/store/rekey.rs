//! Brings the keys of stored addresses to this version's (`domain::address`), a batch at a time, when the database is opened.
//!
//! Each row says whether its key is of this version, so that whoever is interrupted goes on where it was. Two prospects whose
//! addresses turn out to be one mailbox both stay: the older one keeps the key, the other is marked as its duplicate, and is
//! never written to. Suppressions that meet become one.

use super::door::Store;
use super::error::Result;
use super::sql::{json, row, system_sql, tenant_sql};
use super::tx::{ScopedTx, SystemTx};
use super::write::{SystemWrite, Write};
use crate::domain::address;
use crate::domain::id::{EmailId, ProspectId};
use crate::tenant::TenantId;

tenant_sql! {
    /// The oldest first: it is whom the others are duplicates of.
    UNKEYED_PROSPECTS =
        "SELECT p.id, p.email, p.email_key, p.create_time, p.delete_time
         FROM prospects p
         WHERE p.tenant_id = $1 AND p.keyed = 0
         ORDER BY p.create_time, p.id
         LIMIT CAST($2 AS bigint)";
    HOLDER =
        "SELECT p.id, p.create_time
         FROM prospects p
         WHERE p.tenant_id = $1 AND p.email_key = $2 AND p.delete_time IS NULL AND p.duplicate_of IS NULL";
    SET_DUPLICATE =
        "UPDATE prospects
         SET duplicate_of = $3, revision = revision + 1
         WHERE tenant_id = $1 AND id = $2";
    SET_PROSPECT_KEY =
        "UPDATE prospects
         SET email_key = $3, duplicate_of = COALESCE($4, duplicate_of), revision = revision + 1, keyed = 1
         WHERE tenant_id = $1 AND id = $2";
    KEEP_PROSPECT_KEYS =
        "UPDATE prospects
         SET keyed = 1
         FROM {texts}($2) k
         WHERE tenant_id = $1 AND prospects.id = k.value";
    UNKEYED_SUPPRESSIONS =
        "SELECT email_key, email
         FROM suppressions
         WHERE tenant_id = $1 AND keyed = 0
         ORDER BY email_key
         LIMIT CAST($2 AS bigint)";
    /// Nothing where another suppression has the key.
    SET_SUPPRESSION_KEY =
        "UPDATE suppressions
         SET email_key = $3, keyed = 1
         WHERE tenant_id = $1 AND email_key = $2
           AND NOT EXISTS (SELECT 1 FROM suppressions s WHERE s.tenant_id = $1 AND s.email_key = $3 AND s.email_key != $2)";
    DELETE_SUPPRESSION = "DELETE FROM suppressions WHERE tenant_id = $1 AND email_key = $2";
    UNKEYED_EMAILS =
        "SELECT id, CASE status WHEN 'received' THEN from_address ELSE to_address END
         FROM emails
         WHERE tenant_id = $1 AND address_key = ''
         LIMIT CAST($2 AS bigint)";
    SET_EMAIL_KEYS =
        "UPDATE emails
         SET address_key = k.value ->> {1}
         FROM {elements}($2) k
         WHERE tenant_id = $1 AND emails.id = k.value ->> {0}";
}

system_sql! {
    /// Whose rows have keys of an earlier version.
    UNKEYED_TENANTS =
        "SELECT t.id
         FROM tenants t
         WHERE EXISTS (SELECT 1 FROM prospects p WHERE p.tenant_id = t.id AND p.keyed = 0)
            OR EXISTS (SELECT 1 FROM suppressions s WHERE s.tenant_id = t.id AND s.keyed = 0)
            OR EXISTS (SELECT 1 FROM emails e WHERE e.tenant_id = t.id AND e.address_key = '')";
}

/// The rows of each kind that one write brings up to date.
const BATCH: u32 = 1_000;

/// The tenants whose rows have keys of an earlier version.
struct Unkeyed;

/// Brings some rows of a tenant up to date; how many.
struct Rekey;

row! {
    struct UnkeyedProspect {
        id: ProspectId,
        email: String,
        email_key: String,
        create_time: i64,
        delete_time: Option<i64>,
    }
}

// === impl Store ===

impl Store {
    /// Brings the keys of stored addresses to this version's; once it is done, there is nothing to do.
    pub(super) async fn rekey(&self) -> Result<()> {
        for tenant in self.write_system(Unkeyed).await? {
            let mut rows = 0;
            loop {
                match self.queue.write(&tenant, Rekey).await? {
                    0 => break,
                    more => rows += more,
                }
            }
            tracing::info!(%tenant, rows, "store.rekeyed");
        }
        Ok(())
    }
}

// === impl Unkeyed ===

impl SystemWrite for Unkeyed {
    type Out = Vec<TenantId>;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Vec<TenantId>> {
        let rows: Vec<(String,)> = tx.query(UNKEYED_TENANTS).all()?;
        Ok(rows.into_iter().filter_map(|(id,)| TenantId::parse(&id).ok()).collect())
    }
}

// === impl Rekey ===

impl Write for Rekey {
    type Out = usize;

    fn weight(&self) -> usize {
        BATCH as usize
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<usize> {
        Ok(prospects(tx)? + suppressions(tx)? + emails(tx)?)
    }
}

fn prospects(tx: &mut ScopedTx<'_>) -> Result<usize> {
    let rows: Vec<UnkeyedProspect> = tx.query(UNKEYED_PROSPECTS).bind(BATCH).all()?;
    let mut kept = Vec::new();
    for row in &rows {
        let key = address::key(&row.email);
        if key == row.email_key {
            kept.push(row.id.as_str());
            continue;
        }
        let duplicate_of = if row.delete_time.is_none() { make_room(tx, row, &key)? } else { None };
        tx.query(SET_PROSPECT_KEY).bind(row.id.clone()).bind(key).bind(duplicate_of).execute_exactly(1)?;
    }
    tx.query(KEEP_PROSPECT_KEYS).bind(json(&kept)).execute()?;
    Ok(rows.len())
}

/// Sees to it that the key is free for the prospect, or says whose duplicate it is.
fn make_room(tx: &mut ScopedTx<'_>, prospect: &UnkeyedProspect, key: &str) -> Result<Option<ProspectId>> {
    let holder: Option<(ProspectId, i64)> = tx.query(HOLDER).bind(key).optional()?;
    match holder {
        Some((holder, since)) if (since, &holder) < (prospect.create_time, &prospect.id) => Ok(Some(holder)),
        Some((younger, _)) if younger != prospect.id => {
            tx.query(SET_DUPLICATE).bind(younger).bind(prospect.id.clone()).execute_exactly(1)?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

fn suppressions(tx: &mut ScopedTx<'_>) -> Result<usize> {
    let rows: Vec<(String, String)> = tx.query(UNKEYED_SUPPRESSIONS).bind(BATCH).all()?;
    for (before, email) in &rows {
        let set = tx.query(SET_SUPPRESSION_KEY).bind(before.as_str()).bind(address::key(email)).execute()?;
        if set == 0 {
            tx.query(DELETE_SUPPRESSION).bind(before.as_str()).execute_exactly(1)?;
        }
    }
    Ok(rows.len())
}

fn emails(tx: &mut ScopedTx<'_>) -> Result<usize> {
    let rows: Vec<(EmailId, String)> = tx.query(UNKEYED_EMAILS).bind(BATCH).all()?;
    // A row without an address was never written by Herald; it must not come up again and again.
    let key = |email: &str| Some(address::key(email)).filter(|key| !key.is_empty()).unwrap_or_else(|| "?".to_owned());
    let keys: Vec<_> = rows.iter().map(|(id, email)| (id.as_str(), key(email))).collect();
    tx.query(SET_EMAIL_KEYS).bind(json(&keys)).execute()?;
    Ok(rows.len())
}
