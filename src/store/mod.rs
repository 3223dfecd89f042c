//! The tenants' rows.
//!
//! The one door is [`Store::scope`]: every read and write of a tenant goes through a [`Scope`](crate::tenant::Scope), and every
//! SQL text binds the scope's tenant as `$1` ([`sql`]). Here stand the nouns, what Herald stores of them and asks about them,
//! in texts that every engine is given; what one engine alone has stands in a folder of its own ([`sqlite`]).
//!
//! Deliberately absent: a generic layer over databases, and any way to run a text that is not a registered constant.

mod agent_configs;
mod agent_mail;
mod audit;
mod bounces;
mod campaigns;
mod changes;
mod door;
mod emails;
mod error;
mod events;
mod freshness;
mod guards;
mod hold_back;
mod leases;
mod links;
mod mail_levels;
mod mailboxes;
mod master_key;
mod paging;
mod progress;
mod prospects;
mod queue;
mod recipients;
mod rekey;
mod replies;
mod request_id;
mod reset;
mod retention;
pub mod sql;
mod sqlite;
mod strategies;
mod suppressions;
mod tail;
mod templates;
mod tenants;
mod tx;
mod write;

pub use agent_configs::UpdateAgentConfig;
pub use audit::{Acting, Actor, AuditEvent, AuditFilter, MAX_SUBJECT};
pub use bounces::{RecordBounce, RecordComplaint, SentRef};
pub use campaigns::{
    Again, CampaignRef, CancelAll, ResolveEmails, RetryEmails, ReviewEmails, Reviewed, StartCampaign, Transition,
};
pub use door::{Scoped, Store};
pub use error::{Inconsistency, Noun, StoreError};
pub use events::Feed;
pub use freshness::{Freshness, ReadSet, recorded};
pub use hold_back::HeldBack;
pub use leases::{Claim, Claims, Lease, Suspicion};
pub use links::Followed;
pub use mailboxes::{
    BeginTest, Begun, CreateMailbox, DeleteMailbox, Load, NewKey, OpenMailbox, SetMailboxState, UpdateMailbox,
};
pub use master_key::{MasterKey, MasterKeyError};
pub use progress::{
    Advance, MAX_DEATHS, Next, Outcome, ReadsAlone, Release, SendAttempt, SendBegin, SendDone, Sending, Told, Work,
    WrittenEmail,
};
pub use prospects::{CreateProspects, Created, DeleteProspect, UndeleteProspect, UpdateProspect};
pub use replies::RecordReply;
pub use request_id::RequestId;
pub use reset::{Removed, Reset, ResetScope};
pub use retention::AuditRetention;
pub use sql::Tables;
pub use sqlite::{
    Mailboxes, OpenError, Seen, check_copy, check_database, copy_database, rewrap_data_keys, sqlite_texts,
};
pub use suppressions::{AddSuppressions, RemoveSuppression};
pub use templates::{CreateTemplate, DeleteTemplate, UpdateTemplate};
pub use tx::ScopedTx;
pub use write::{CallWrite, OwnWrite, Touched, Write};

/// Every tenant text there is.
pub fn tenant_texts() -> Vec<sql::TenantSql> {
    [
        agent_configs::REGISTERED,
        agent_mail::REGISTERED,
        audit::REGISTERED,
        bounces::REGISTERED,
        campaigns::REGISTERED,
        campaigns::retry::REGISTERED,
        campaigns::review::REGISTERED,
        campaigns::transitions::REGISTERED,
        emails::REGISTERED,
        events::REGISTERED,
        guards::REGISTERED,
        hold_back::REGISTERED,
        links::REGISTERED,
        mailboxes::REGISTERED,
        templates::REGISTERED,
        progress::advance::REGISTERED,
        progress::lease::REGISTERED,
        progress::pacing::REGISTERED,
        progress::sending::REGISTERED,
        prospects::REGISTERED,
        prospects::writes::REGISTERED,
        recipients::REGISTERED,
        rekey::REGISTERED,
        replies::REGISTERED,
        request_id::REGISTERED,
        reset::REGISTERED,
        retention::REGISTERED,
        strategies::REGISTERED,
        suppressions::REGISTERED,
    ]
    .concat()
}

/// Every text that crosses tenants, or concerns none.
pub fn system_texts() -> Vec<sql::SystemSql> {
    [
        agent_mail::REGISTERED_SYSTEM,
        tenants::REGISTERED_SYSTEM,
        leases::REGISTERED_SYSTEM,
        retention::REGISTERED_SYSTEM,
        rekey::REGISTERED_SYSTEM,
        links::REGISTERED_SYSTEM,
        mail_levels::REGISTERED_SYSTEM,
    ]
    .concat()
}
