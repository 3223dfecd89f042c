//! Opens the database.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::{Mutex, Notify};

use super::connection;
use super::readers::Readers;
use super::writer::Writer;
use crate::domain::id::Ids;
use crate::store::audit;
use crate::store::changes::Changes;
use crate::store::door::Store;
use crate::store::error::StoreError;
use crate::store::freshness::Freshness;
use crate::store::master_key::MasterKey;
use crate::store::queue::Queue;
use crate::store::tail::Tails;
use crate::store::tenants;

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

impl Store {
    /// Opens the database, brings its schema up to date, and starts the writer. Frees all leases.
    ///
    /// The caller holds the data folder's lock: nobody else writes, so migrations cannot race and no lease is alive.
    ///
    /// `fair`: tenants take turns at the connections that read.
    pub async fn open(path: &Path, master_key: MasterKey, ids: Ids, fair: bool) -> Result<Arc<Self>, OpenError> {
        migrate(path).await?;
        let failed =
            |source: rusqlite::Error| OpenError::Open { path: path.display().to_string(), source: source.into() };
        let connection = connection::connect(path).map_err(failed)?;
        if !tenants::opens(&master_key, &connection)? {
            return Err(OpenError::WrongMasterKey);
        }
        let beside = connection::connect(path).map_err(failed)?;
        let queue = Arc::new(Queue::new());
        let tails = Arc::new(Tails::default());
        let freshness = Freshness::new();
        let room = Arc::new(Notify::new());
        let parts = (queue.clone(), tails.clone(), freshness.clone());
        let writer = Writer::new(connection, parts, ids.clone(), master_key.clone(), room.clone());
        let writer = Mutex::new(Some(writer.spawn(beside).map_err(OpenError::Thread)?));
        let (readers, changes) = (Readers::new(path.to_owned(), fair), Changes::default());
        let store = Arc::new(Self { readers, queue, tails, changes, freshness, ids, master_key, room, writer });
        store.free_leases().await?;
        store.rekey().await?;
        store.move_agent_mail().await?;
        Ok(store)
    }
}

/// Makes the database if it is not there, and brings its schema to this version's.
async fn migrate(path: &Path) -> Result<(), OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let connection = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
    let connection =
        connection.map_err(|error| OpenError::Open { path: path.display().to_string(), source: error.into() })?;
    let migrated = sqlx::migrate!("migrations/sqlite").run(&connection).await;
    connection.close().await;
    migrated.map_err(|source| OpenError::Migrate { path: path.display().to_string(), source })
}

/// The command that wraps the data keys anew, as the audit log has it.
const ROTATE: &str = "herald rotate-key";

/// Wraps the data keys of the database at `path` anew, whose schema is this version's afterwards: under `new` instead of under
/// `old`. How many tenants there are; None, and nothing is done, if they are under `new` already. The caller holds the data
/// folder's lock.
pub async fn rewrap_data_keys(
    path: &Path,
    old: &MasterKey,
    new: &MasterKey,
    ids: &Ids,
) -> Result<Option<usize>, OpenError> {
    migrate(path).await?;
    let connection = connection::connect(path).map_err(StoreError::from)?;
    let rewrapped = connection::in_transaction(&connection, || {
        let rewrapped = tenants::rewrap(&connection, old, new, ids.random())?;
        if rewrapped.is_some() {
            for tenant in tenants::all(&connection)? {
                audit::add_operators_on(&connection, &tenant, ROTATE, ids.now())?;
            }
        }
        Ok(rewrapped)
    });
    connection::close(connection);
    Ok(rewrapped?)
}
