//! What can go wrong in the store.

use std::time::Duration;

use crate::domain;
use crate::domain::id::CampaignId;
use crate::tenant::TenantId;

pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What a row is about, where it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    Prospect,
    Email,
    /// The campaign of that id.
    Campaign,
    /// No id was given, and the tenant has no such campaign.
    AnyCampaign,
    Template,
    Strategy,
    Suppression,
}

/// Why a read or a write was not done. A write that fails has changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no such {}", .0.as_str())]
    NotFound(Noun),
    #[error(transparent)]
    Rule(#[from] domain::error::Error),
    #[error(transparent)]
    CampaignState(#[from] domain::state::Refused),
    #[error("the row has changed since its etag was read")]
    EtagMismatch,
    #[error("another prospect has this address")]
    EmailTaken,
    #[error("the prospect is deleted")]
    ProspectDeleted,
    #[error("the prospect is not deleted")]
    ProspectNotDeleted,
    #[error("the campaign {0} is live")]
    CampaignLive(CampaignId),
    #[error("the request id was used for another request")]
    RequestIdReused,
    #[error("the e-mail {id} is {status}")]
    EmailState { id: String, status: &'static str },
    /// Another worker has claimed the campaign since.
    #[error("the lease on the campaign is no longer held")]
    StaleLease,
    /// A user paused or ended the campaign since.
    #[error("the campaign is no longer running")]
    NotRunning,
    #[error("the disk is full")]
    DiskFull,
    #[error("the tenant has too many writes waiting")]
    TooManyWrites,
    #[error("the tenant has started {most_per_minute} campaigns within a minute, and may start no more")]
    TooManyStarts { most_per_minute: u32, retry: Duration },
    #[error("the master key does not open the data key of the tenant {0}")]
    WrongMasterKey(TenantId),
    #[error("the store is closed")]
    Closed,
    /// A row or a statement that cannot be: a fault of ours, or a database changed by somebody else.
    #[error("the store is inconsistent: {0}")]
    Broken(String),
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

// === impl Noun ===

impl Noun {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prospect => "prospect",
            Self::Email => "e-mail",
            Self::Campaign | Self::AnyCampaign => "campaign",
            Self::Template => "template",
            Self::Strategy => "marketing strategy",
            Self::Suppression => "suppression",
        }
    }
}

// === impl StoreError ===

impl StoreError {
    /// True if the write may succeed later without anybody changing it: the engine then holds and tries again.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::DiskFull | Self::TooManyWrites | Self::Database(_))
    }
}

/// SQLite's result codes for a full volume: by the primary code in the low byte, and where the log's index cannot grow.
const SQLITE_FULL: i32 = 13;
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

fn is_full(code: i32) -> bool {
    code & 0xff == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|e| e.code()).and_then(|c| c.parse::<i32>().ok());
        if code.is_some_and(is_full) { Self::DiskFull } else { Self::Database(error.into()) }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|error| error.extended_code);
        if code.is_some_and(is_full) { Self::DiskFull } else { Self::Database(error.into()) }
    }
}
