//! Looks at a database without changing it, whether or not a server works on it: its schema, its tenants, its rows.

pub(super) mod mailboxes;

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::open::OpenError;
use crate::domain::clock::Timestamp;
use crate::domain::finding::{Finding, told};
use crate::store::error::{Result, StoreError};
use crate::store::master_key::MasterKey;
use crate::store::sql::sqlite_sql;
use crate::tenant::TenantId;
pub use mailboxes::Mailboxes;

sqlite_sql! {
    CHECK_MIGRATIONS = "SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version";
    CHECK_TABLES =
        "SELECT s.name, c.name, c.pk, c.\"notnull\"
         FROM sqlite_schema s JOIN pragma_table_info(s.name) c
         WHERE s.type = 'table' AND s.name NOT LIKE 'sqlite_%' AND s.name != '_sqlx_migrations'";
    CHECK_REFERENCES = "SELECT \"table\", COUNT(*) FROM pragma_foreign_key_check GROUP BY \"table\"";
    CHECK_TENANTS = "SELECT id, data_key FROM tenants ORDER BY id";
    CHECK_DUPLICATES =
        "SELECT tenant_id, id, duplicate_of
         FROM prospects
         WHERE duplicate_of IS NOT NULL AND delete_time IS NULL
         ORDER BY tenant_id, duplicate_of, id";
    CHECK_NEWEST = "SELECT max(coalesce((SELECT max(create_time) FROM tenants), 0), coalesce((SELECT max(update_time) FROM campaigns), 0))";
    CHECK_PAGES = "PRAGMA integrity_check(20)";
}

/// The tables of this version.
const TABLES: [&str; 17] = [
    "agent_configs",
    "agent_mail",
    "audit_events",
    "campaign_events",
    "campaign_prospects",
    "campaign_steps",
    "campaigns",
    "email_counts",
    "emails",
    "idempotency_keys",
    "mailboxes",
    "marketing_strategies",
    "prospect_counts",
    "prospects",
    "suppressions",
    "templates",
    "unsubscribe_links",
];

/// The duplicates that are named one by one.
const MAX_DUPLICATES: usize = 100;

/// What a look at a database has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub findings: Vec<Finding>,
    /// That the master key does not open what tenants have sealed.
    pub wrong_key: Option<Finding>,
    pub tenants: Vec<TenantId>,
    pub mailboxes: Mailboxes,
    /// The newest time of its tenants and campaigns.
    pub newest: Option<Timestamp>,
}

/// What is wrong with the database, and the tenants that it has. `deep` reads every page.
pub fn check_database(path: &Path, master_key: Option<&MasterKey>, deep: bool) -> Seen {
    let mut seen = Seen::default();
    let findings = &mut seen.findings;
    let mut look = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        check_migrations(path, &connection, findings)?;
        check_tables(&connection, findings)?;
        check_references(&connection, findings)?;
        check_duplicates(&connection, findings)?;
        (seen.tenants, seen.wrong_key) = check_tenants(&connection, master_key, findings)?;
        seen.mailboxes = mailboxes::look(&connection, master_key)?;
        let newest: Option<(i64,)> = CHECK_NEWEST.on(&connection).optional()?;
        seen.newest = newest.map(|(newest,)| Timestamp(newest));
        if deep {
            check_pages(&connection, findings)?;
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = look() {
        let wrong = format!("cannot open the database {}: {}", path.display(), told(&error));
        seen.findings.push(Finding::new(wrong, "stop the server and put back the last backup of the data folder"));
    }
    seen
}

/// What is wrong with a copy of a database, every page of which is read: whether it is whole, whatever its rows say.
pub fn check_copy(path: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    check_pages(&connection, &mut findings)?;
    check_references(&connection, &mut findings)?;
    Ok(findings)
}

fn check_migrations(path: &Path, connection: &Connection, findings: &mut Vec<Finding>) -> Result<()> {
    let applied: Vec<(i64, bool, Vec<u8>)> = CHECK_MIGRATIONS.on(connection).all()?;
    let applied: BTreeMap<_, _> =
        applied.into_iter().map(|(version, success, sum)| (version, (success, sum))).collect();
    let migrator = sqlx::migrate!("migrations/sqlite");
    // As the start says it, which stops there but for the first.
    let cannot = format!("cannot bring the database {} to this version's schema", path.display());
    for migration in migrator.iter() {
        let wrong = match applied.get(&migration.version) {
            None => format!("the schema is older than this version: migration {} was not applied", migration.version),
            Some((false, _)) => format!("{cannot}: migration {} was begun and not finished", migration.version),
            Some((_, sum)) if *sum != *migration.checksum => {
                format!("{cannot}: migration {} is another than this version's", migration.version)
            }
            Some(_) => continue,
        };
        findings.push(Finding::new(wrong, "start this version's server once, which brings the schema up to date; if that fails, put back the last backup"));
    }
    let newest = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    if let Some(version) = applied.keys().find(|version| **version > newest) {
        let wrong = format!("{cannot}: the schema is newer than this version: it has migration {version}");
        findings
            .push(Finding::new(wrong, "use the version of Herald that last served this data folder, or a newer one"));
    }
    Ok(())
}

fn check_tables(connection: &Connection, findings: &mut Vec<Finding>) -> Result<()> {
    let columns: Vec<(String, String, i64, bool)> = CHECK_TABLES.on(connection).all()?;
    let mut scoped: BTreeMap<String, bool> = BTreeMap::new();
    for (table, column, key, not_null) in columns {
        *scoped.entry(table).or_default() |= column == "tenant_id" && key == 1 && not_null;
    }
    for name in TABLES.iter().chain(&["tenants"]).filter(|name| !scoped.contains_key(**name)) {
        let wrong = format!("the table {name} is missing");
        findings.push(Finding::new(wrong, "put back the last backup of the data folder"));
    }
    for name in scoped.iter().filter(|(name, ok)| !**ok && name.as_str() != "tenants").map(|(name, _)| name) {
        let wrong = format!("the table {name} has no tenant_id at the head of its primary key");
        findings.push(Finding::new(
            wrong,
            format!("Herald makes no such table: move it out of this database (DROP TABLE {name})"),
        ));
    }
    Ok(())
}

fn check_references(connection: &Connection, findings: &mut Vec<Finding>) -> Result<()> {
    let broken: Vec<(String, i64)> = CHECK_REFERENCES.on(connection).all()?;
    for (table, rows) in broken {
        let wrong = format!("{rows} rows of {table} refer to a tenant, prospect, campaign or e-mail that is not there");
        findings.push(Finding::new(
            wrong,
            "somebody else wrote into the database: put back the last backup of the data folder",
        ));
    }
    Ok(())
}

/// The prospects that two spellings of one address made.
fn check_duplicates(connection: &Connection, findings: &mut Vec<Finding>) -> Result<()> {
    let pairs: Vec<(String, String, String)> = CHECK_DUPLICATES.on(connection).all()?;
    for (tenant, id, of) in &pairs[..pairs.len().min(MAX_DUPLICATES)] {
        findings.push(Finding::new(
            format!("the prospect {id} of {tenant} has the same mailbox as the older {of}, and is never written to"),
            "delete one of them, or change the address of the younger",
        ));
    }
    if pairs.len() > MAX_DUPLICATES {
        let wrong = format!("{} more prospects have the same mailbox as an older one", pairs.len() - MAX_DUPLICATES);
        findings.push(Finding::new(wrong, "deal with those that are named, then look again"));
    }
    Ok(())
}

fn check_tenants(
    connection: &Connection,
    master_key: Option<&MasterKey>,
    findings: &mut Vec<Finding>,
) -> Result<(Vec<TenantId>, Option<Finding>)> {
    let rows: Vec<(String, Vec<u8>)> = CHECK_TENANTS.on(connection).all()?;
    let mut tenants = Vec::new();
    let mut sealed = 0;
    for (id, data_key) in rows {
        let Ok(tenant) = TenantId::parse(&id) else {
            let wrong = format!("the tenant {id:?} has an id that no tenant can have");
            findings.push(Finding::new(wrong, "somebody else wrote into the database: put back the last backup"));
            continue;
        };
        sealed += usize::from(master_key.is_some_and(|key| key.unwrap_data_key(&tenant, &data_key).is_none()));
        tenants.push(tenant);
    }
    let wrong = format!("it does not open the data keys of {sealed} of {} tenants", tenants.len());
    let wrong_key = (sealed > 0).then(|| {
        let to_do = "look for the key where it is kept apart from the backups";
        Finding::new(format!("{}: {wrong}", OpenError::WrongMasterKey), to_do)
    });
    Ok((tenants, wrong_key))
}

fn check_pages(connection: &Connection, findings: &mut Vec<Finding>) -> Result<()> {
    let lines: Vec<(String,)> = CHECK_PAGES.on(connection).all()?;
    for (line,) in lines.into_iter().filter(|(line,)| line != "ok") {
        let wrong = format!("the database is damaged: {line}");
        findings.push(Finding::new(wrong, "stop the server and put back the last backup of the data folder"));
    }
    Ok(())
}
