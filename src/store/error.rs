//! What can go wrong in the store.

use std::fmt;
use std::time::Duration;

use crate::domain;
use crate::domain::id::CampaignId;
use crate::domain::state::CampaignState;
use crate::tenant::TenantId;

pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Refuses an etag that is stated and is not the row's own.
pub(super) fn refuse_stale(stated: &str, own: impl FnOnce() -> String) -> Result<()> {
    if stated.is_empty() || stated == own() { Ok(()) } else { Err(StoreError::EtagMismatch) }
}

/// What a row is about, where it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    Prospect,
    Email,
    /// The e-mail that a report is about.
    SentEmail,
    /// The campaign of that id.
    Campaign,
    /// No id was given, and the tenant has no such campaign.
    AnyCampaign,
    Template,
    Strategy,
    Suppression,
    Mailbox,
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
    /// What is asked needs that none is live.
    #[error("{} of the tenant's campaigns are live", .0.len())]
    CampaignsLive(Vec<CampaignId>),
    #[error("{} campaigns of the tenant are live, and no more than {max} may be", .live.len())]
    TooManyLive { live: Vec<CampaignId>, max: u32 },
    /// No id was given, and several campaigns could be meant.
    #[error("{} campaigns are live", .0.len())]
    CampaignAmbiguous(Vec<CampaignId>),
    /// These live campaigns have chosen some of a campaign's prospects.
    #[error("its prospects are in {} other live campaigns", .0.len())]
    ProspectsTaken(Vec<CampaignId>),
    #[error("another mailbox has this address")]
    MailboxExists,
    #[error("the tenant has as many mailboxes as it may")]
    TooManyMailboxes,
    #[error("the tenant has as many templates as it may")]
    TooManyTemplates,
    /// These live campaigns have letters to write from it.
    #[error("{} live campaigns have letters to write from the template", .0.len())]
    TemplateInUse(Vec<CampaignId>),
    #[error("the request id was used for another request")]
    RequestIdReused,
    #[error("the e-mail {id} is {status}")]
    EmailState { id: String, status: &'static str },
    #[error("the e-mail {0} was never written")]
    EmailUnwritten(String),
    #[error("the campaign is {}", .0.as_str())]
    NotSentAgain(CampaignState),
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
    #[error("the tenant has started {max_per_minute} campaigns within a minute, and may start no more")]
    TooManyStarts { max_per_minute: u32, retry: Duration },
    #[error("the master key does not open the data key of the tenant {0}")]
    WrongMasterKey(TenantId),
    #[error("the store is closed")]
    Closed,
    #[error("the store is inconsistent: {0}")]
    Inconsistent(#[from] Inconsistency),
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A row or a statement that cannot be: a fault of Herald's, or a database that somebody else has changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    #[error("{statement} changed {touched} rows instead of {expected}")]
    RowsTouched { statement: &'static str, expected: usize, touched: u64 },
    #[error("{statement} has {expected} parameters, {bound} were bound")]
    Parameters { statement: &'static str, expected: usize, bound: usize },
    #[error("the column {column} of {table}{} cannot be read", OfRow(.id))]
    Unreadable { table: &'static str, column: String, id: String },
    #[error("the row {id} of {table} changed while it was written")]
    Changed { table: &'static str, id: String },
    #[error("the engine worked on the step {worked} while the campaign is at {at}")]
    AnotherStep { worked: &'static str, at: &'static str },
    #[error("{0} is no change of a campaign's state, but a write of its own")]
    OwnWrite(&'static str),
    #[error("the link of the e-mail {0} is gone")]
    Link(String),
    #[error("the e-mail {0} was not in the middle of sending")]
    NotInSending(String),
    #[error("{0} could not be sealed")]
    NotSealed(&'static str),
    #[error("the data key of the tenant {0} does not open")]
    DataKey(TenantId),
    #[error("{0:?} is an invalid tenant id")]
    TenantId(String),
    #[error("the database has no file")]
    NoFile,
    #[error("the database is locked: try again when the server has started or stopped")]
    Locked,
    #[error("a read or a write panicked")]
    Panicked,
}

/// The id of a row, where it is known.
struct OfRow<'a>(&'a str);

impl fmt::Display for OfRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " in the row {}", self.0) }
    }
}

// === impl Noun ===

impl Noun {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prospect => "prospect",
            Self::Email | Self::SentEmail => "e-mail",
            Self::Campaign | Self::AnyCampaign => "campaign",
            Self::Template => "template",
            Self::Strategy => "marketing strategy",
            Self::Suppression => "suppression",
            Self::Mailbox => "mailbox",
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
