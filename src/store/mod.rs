//! The tenants' rows, in SQLite.
//!
//! The one door is [`Store::scope`]: every read and write of a tenant goes through a [`Scope`], and every SQL text binds
//! the scope's tenant as `$1` ([`sql`]). Reads use a pool of read-only connections; writes go through the one writer,
//! which commits in groups and answers only after the commit ([`writer`]). WAL, `synchronous=FULL`: what was answered is
//! on the disk.
//!
//! Deliberately absent: a generic layer over databases, and any way to run a text that is not a registered constant.

mod agent_configs;
mod backup;
mod campaigns;
mod changes;
mod check;
mod checkpoints;
mod emails;
mod error;
mod events;
mod freshness;
mod idempotency;
mod master_key;
mod progress;
mod prospects;
mod recipients;
mod rekey;
mod replies;
mod reset;
mod rows;
pub mod sql;
mod strategies;
mod suppressions;
mod system;
mod tail;
mod transaction;
mod tx;
mod writer;

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};
use tokio::sync::{Notify, oneshot};

pub use agent_configs::UpdateAgentConfig;
pub use backup::{HeldBack, copy_database};
pub use campaigns::{CampaignRef, ReviewEmails, Reviewed, StartCampaign, Transition};
pub use check::{check_copy, check_database};
pub use error::{Noun, StoreError};
pub use events::Feed;
pub use freshness::{Freshness, Reads, Tables, recorded};
pub use idempotency::RequestId;
pub use master_key::{MasterKey, MasterKeyError};
pub use progress::{Advance, Begun, MAX_DEATHS, Next, Outcome, ReadsAlone, SendBegin, SendDone, Work, WrittenEmail};
pub use prospects::{CreateProspects, Created, DeleteProspect, UndeleteProspect, UpdateProspect};
pub use replies::RecordReply;
pub use reset::{Removed, Reset, ResetScope};
pub use suppressions::{AddSuppressions, RemoveSuppression};
pub use system::{Claim, Lease, Suspicion};
pub use tx::ScopedTx;
pub use writer::Write;

use crate::domain::clock::{Random, Timestamp};
use crate::domain::id::Ids;
use crate::tenant::{Scope, TenantId};
use crate::turns::Turns;
use error::Result;
use sql::{Query, TenantSql};

/// Read connections for each of the machine's cores, each connection a thread. On two cores, 2 and 4 and 8 connections gave
/// 5,060, 5,360 and 5,290 lists a second, and calls beside a flood of searches waited 9, 11 and 17 ms for a core at p99.
const READERS_PER_CORE: usize = 2;

/// All tenants' rows.
pub struct Store {
    readers: Readers,
    queue: Arc<writer::Queue>,
    tails: Arc<tail::Tails>,
    changes: changes::Changes,
    freshness: Arc<Freshness>,
    ids: Ids,
    /// Tells when a full volume has room again.
    room: Arc<Notify>,
    /// Tells when the writer has ended.
    writer: tokio::sync::Mutex<Option<oneshot::Receiver<()>>>,
}

/// The connections that read: those for single rows, and those at which tenants take turns.
struct Readers {
    rows: rows::Rows,
    pool: SqlitePool,
    turns: Arc<Turns>,
}

/// One tenant's rows.
#[derive(Clone)]
pub struct Scoped<'a> {
    store: &'a Store,
    scope: &'a Scope,
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open the database {path}")]
    Open { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot bring the database {path} to this version's schema")]
    Migrate { path: String, source: sqlx::migrate::MigrateError },
    #[error("the master key does not open this data folder: set HERALD_MASTER_KEY to the key that it was made with")]
    WrongMasterKey,
    #[error("cannot start the writer's thread")]
    Thread(#[source] std::io::Error),
    #[error("cannot read the database")]
    Read(#[from] StoreError),
}

// === impl Store ===

impl Store {
    /// Opens the database, brings its schema up to date, and starts the writer. Frees all leases.
    ///
    /// The caller holds the data folder's lock: nobody else writes, so migrations cannot race and no lease is alive.
    ///
    /// `fair`: tenants take turns at the connections that read.
    pub async fn open(path: &Path, master_key: MasterKey, ids: Ids, fair: bool) -> Result<Arc<Self>, OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Open {
            path: path.display().to_string(),
            source,
        };
        let migrating = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(|error| failed(error.into()))?;
        sqlx::migrate!("migrations/sqlite")
            .run(&migrating)
            .await
            .map_err(|source| OpenError::Migrate { path: path.display().to_string(), source })?;
        migrating.close().await;
        let connection = transaction::connect(path).map_err(|error| failed(error.into()))?;
        if !transaction::opens(&master_key, &connection)? {
            return Err(OpenError::WrongMasterKey);
        }
        let beside = transaction::connect(path).map_err(|error| failed(error.into()))?;
        let most = READERS_PER_CORE * std::thread::available_parallelism().map_or(2, NonZero::get).max(2);
        let pool = SqlitePoolOptions::new()
            .max_connections(u32::try_from(most).unwrap_or(u32::MAX))
            .min_connections(1)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(|error| failed(error.into()))?;

        let rows = rows::Rows::new(path.to_owned());
        let readers = Readers { rows, pool, turns: Turns::new(most, most - most / 4, fair) };
        let queue = Arc::new(writer::Queue::new());
        let tails = Arc::new(tail::Tails::default());
        let freshness = Freshness::new();
        let room = Arc::new(Notify::new());
        let parts = (queue.clone(), tails.clone(), freshness.clone());
        let task = writer::Writer::new(connection, parts, ids.clone(), master_key, room.clone());
        let writer = tokio::sync::Mutex::new(Some(task.spawn(beside).map_err(OpenError::Thread)?));
        let changes = changes::Changes::default();
        let store = Arc::new(Self { readers, queue, tails, changes, freshness, ids, room, writer });
        store.queue.write_system(system::FreeLeases).await?;
        store.rekey().await?;
        Ok(store)
    }

    /// Brings the keys of stored addresses to this version's; once it is done, there is nothing to do.
    async fn rekey(&self) -> Result<()> {
        for tenant in self.queue.write_system(rekey::Unkeyed).await? {
            let mut rows = 0;
            loop {
                match self.queue.write(&tenant, rekey::Rekey).await? {
                    0 => break,
                    more => rows += more,
                }
            }
            tracing::info!(%tenant, rows, "store.rekeyed");
        }
        Ok(())
    }

    /// Holds back, for all tenants, what could go out of a database that was put back; `since` is the backup's time.
    pub async fn hold_back(&self, since: Timestamp) -> Result<HeldBack> {
        let mut held = HeldBack::default();
        for tenant in self.queue.write_system(backup::AllTenants).await? {
            let of_tenant = self.queue.write(&tenant, backup::HoldBack { since }).await?;
            held.campaigns += of_tenant.campaigns;
            held.emails += of_tenant.emails;
        }
        Ok(held)
    }

    /// The door to one tenant's rows.
    pub fn scope<'a>(&'a self, scope: &'a Scope) -> Scoped<'a> {
        Scoped { store: self, scope }
    }

    /// Which reads still hold.
    pub fn freshness(&self) -> &Arc<Freshness> {
        &self.freshness
    }

    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Claims at most `most` running campaigns whose lease is free or has run out, the longest waiting first.
    pub async fn claim_due(&self, worker: &str, lease: Duration, most: u32) -> Result<Vec<Claim>> {
        let (now, until) = self.lease_times(lease);
        self.queue.write_system(system::ClaimDue { worker: worker.to_owned(), now, until, most }).await
    }

    /// Claims the campaigns that are not running and have e-mails in the middle of sending: a crash left them so.
    pub async fn claim_interrupted(&self, worker: &str, lease: Duration) -> Result<Vec<Claim>> {
        let (_, until) = self.lease_times(lease);
        self.queue.write_system(system::ClaimInterrupted { worker: worker.to_owned(), until }).await
    }

    /// Keeps the worker's leases for another `lease`.
    pub async fn renew_leases(&self, worker: &str, lease: Duration) -> Result<()> {
        let (now, until) = self.lease_times(lease);
        self.queue.write_system(system::RenewLeases { worker: worker.to_owned(), now, until }).await
    }

    /// Takes back what would be held against the worker's campaigns if the process died now: it ends by itself.
    pub async fn unsuspect(&self, worker: &str) -> Result<()> {
        self.queue.write_system(system::Unsuspect { worker: worker.to_owned() }).await
    }

    /// Forgets the request ids that are older than a day.
    pub async fn purge_request_ids(&self) -> Result<u64> {
        let before = self.ids.now().plus_seconds(-idempotency::KEPT_SECONDS);
        self.queue.write_system(system::PurgeIdempotency { before }).await
    }

    /// Purges deleted prospects whose time has come, some at a time; how many.
    pub async fn purge_prospects(&self) -> Result<usize> {
        self.queue.write_system(system::PurgeProspects { now: self.ids.now() }).await
    }

    /// Waits until a full volume has room again.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// Waits until campaigns have changed; the scopes of their tenants, each once.
    pub async fn changed_campaigns(&self) -> Vec<Scope> {
        self.changes.next().await
    }

    /// The same without waiting; there may be none.
    pub fn take_changed_campaigns(&self) -> Vec<Scope> {
        self.changes.take()
    }

    /// Writes what waits, and closes the database.
    pub async fn close(&self) {
        self.queue.close();
        self.readers.rows.close();
        self.readers.pool.close().await;
        if let Some(writer) = self.writer.lock().await.take() {
            let _ = writer.await;
        }
    }

    fn lease_times(&self, lease: Duration) -> (Timestamp, Timestamp) {
        let now = self.ids.now();
        (now, now.plus_seconds(i64::try_from(lease.as_secs()).unwrap_or(i64::MAX)))
    }
}

impl Drop for Store {
    /// Without [`Store::close`] too, the writer's thread ends once it has written what waits.
    fn drop(&mut self) {
        self.queue.close();
    }
}

// === impl Readers ===

impl Readers {
    async fn row<T: DeserializeOwned>(&self, sql: TenantSql, tenant: &TenantId, id: &str) -> Result<Option<T>> {
        match self.rows.read(sql, tenant, id) {
            Ok(found) => found.map(|json| sql::parse(sql.name, &json)).transpose(),
            Err(_) => sql.query(self, tenant).bind(id.to_owned()).json().await,
        }
    }
}

// === impl Scoped ===

impl<'a> Scoped<'a> {
    pub fn tenant(&self) -> &'a TenantId {
        self.scope.tenant()
    }

    /// Waits until the write is on the disk.
    pub async fn write<W: Write>(&self, write: W) -> Result<W::Out> {
        let out = self.store.queue.write(self.tenant(), write).await?;
        if W::CHANGES_CAMPAIGN {
            self.store.changes.note(self.scope);
        }
        Ok(out)
    }

    fn query(&self, sql: TenantSql) -> Query<'a> {
        self.store.freshness.reading(self.tenant(), sql.tables);
        sql.query(&self.store.readers, self.tenant())
    }

    /// The JSON that a text gives of one row alone, the one that has this id, which is bound as `$2`.
    async fn row<T: DeserializeOwned>(&self, sql: TenantSql, id: &str) -> Result<Option<T>> {
        self.store.freshness.reading_row(self.tenant(), sql.tables, id);
        self.store.readers.row(sql, self.tenant(), id).await
    }
}

/// Wraps the data keys of the database at `path` anew: under `new` instead of under `old`. How many tenants there are; None,
/// and nothing is done, if they are under `new` already. The caller holds the data folder's lock.
pub fn rewrap_data_keys(path: &Path, old: &MasterKey, new: &MasterKey, random: &dyn Random) -> Result<Option<usize>> {
    let connection = transaction::connect(path)?;
    let rewrapped = transaction::rewrap(&connection, old, new, random);
    transaction::close(connection);
    rewrapped
}

/// Every tenant text there is.
pub fn tenant_texts() -> Vec<sql::TenantSql> {
    [
        agent_configs::REGISTERED,
        backup::REGISTERED,
        campaigns::REGISTERED,
        emails::REGISTERED,
        events::REGISTERED,
        idempotency::REGISTERED,
        progress::REGISTERED,
        prospects::REGISTERED,
        recipients::REGISTERED,
        rekey::REGISTERED,
        replies::REGISTERED,
        reset::REGISTERED,
        strategies::REGISTERED,
        suppressions::REGISTERED,
    ]
    .concat()
}

/// Every text that crosses tenants, or concerns none.
pub fn system_texts() -> Vec<sql::SystemSql> {
    [
        transaction::REGISTERED_SYSTEM,
        system::REGISTERED_SYSTEM,
        rekey::REGISTERED_SYSTEM,
        backup::REGISTERED_SYSTEM,
        check::REGISTERED_SYSTEM,
    ]
    .concat()
}
