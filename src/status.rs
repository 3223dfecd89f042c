//! The one place where an error becomes a gRPC status.
//!
//! Every error carries google.rpc.ErrorInfo with a stable reason and the domain `herald` (AIP-193), and where it fits
//! BadRequest, PreconditionFailure or RetryInfo. Messages are for people and may change; reasons do not.
//! What another tenant has answers with the bytes of what nobody has: no message holds an id or a name.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::cache::CacheError;
use crate::domain::error::{Error as RuleError, Violations};
use crate::domain::id::CampaignId;
use crate::domain::mailbox::MAX_MAILBOXES;
use crate::domain::state::CampaignState;
use crate::domain::template::MAX_TEMPLATES;
use crate::domain::text::cut;
use crate::files::FilesError;
use crate::store::{Noun, StoreError};
use crate::wire::FrameError;

/// The largest message of a service that is open to everybody, in bytes.
pub const MAX_OPEN_MESSAGE: usize = 4 * 1024;

/// The domain of every ErrorInfo.
pub const DOMAIN: &str = "herald";

/// Longer messages would endanger the header's limit; gRPC sends them percent-encoded in a trailer.
const MAX_MESSAGE: usize = 500;
/// The campaigns that an error names: 1,000 ids would be more than a client takes in its headers.
const MAX_NAMED: usize = 50;

/// A status with an ErrorInfo.
pub fn status(code: Code, reason: &str, message: &str) -> Status {
    with(code, reason, message, [], ErrorDetails::new())
}

/// The same, telling when to try again.
pub fn retry(code: Code, reason: &str, message: &str, after: Duration) -> Status {
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(after));
    with(code, reason, message, [], details)
}

/// UNAUTHENTICATED: no credentials were sent.
pub fn credentials_missing() -> Status {
    let message = "send credentials: the metadata `authorization: Bearer <token>`";
    status(Code::Unauthenticated, "CREDENTIALS_MISSING", message)
}

/// UNAUTHENTICATED: what was sent proves nothing. The same for every bad credential.
pub fn credentials_invalid() -> Status {
    let message = "the credentials are not valid: expired, not signed by a known key, or malformed";
    status(Code::Unauthenticated, "CREDENTIALS_INVALID", message)
}

/// UNAVAILABLE: the issuer's keys cannot be read, so that nothing can be said about a token.
pub fn keys_unavailable() -> Status {
    let message = "the token cannot be verified now: the issuer's keys cannot be read; try again";
    retry(Code::Unavailable, "KEYS_UNAVAILABLE", message, Duration::from_secs(5))
}

/// UNAUTHENTICATED: the credentials are valid, and give an invalid tenant id.
pub fn tenant_id_invalid(message: &str) -> Status {
    status(Code::Unauthenticated, "TENANT_ID_INVALID", message)
}

/// What tonic refuses a message for, before it reaches a service, with a reason of ours; None for all else.
pub fn of_message(refusal: &Status) -> Option<Status> {
    if !refusal.details().is_empty() {
        return None;
    }
    match refusal.code() {
        // Those of open services; others are read before.
        Code::OutOfRange => Some(of_frame(FrameError::TooLarge(MAX_OPEN_MESSAGE))),
        Code::Internal if refusal.message().contains("decod") => {
            let message = "the message is not one of this method's: compare the protos";
            Some(status(Code::InvalidArgument, "MESSAGE_INVALID", message))
        }
        Code::Unimplemented if refusal.message().contains("compressed") => Some(of_frame(FrameError::Compressed)),
        _ => None,
    }
}

/// PERMISSION_DENIED.
pub fn role_too_low(has: &str, needs: &str) -> Status {
    let message = format!("this call needs the role {needs}; the caller is {has}");
    status(Code::PermissionDenied, "ROLE_TOO_LOW", &message)
}

/// UNIMPLEMENTED: there is no such method.
pub fn no_such_method() -> Status {
    status(
        Code::Unimplemented,
        "METHOD_UNKNOWN",
        "there is no such method; list what there is with gRPC server reflection",
    )
}

/// UNAVAILABLE: the server has begun to listen, and its store is not ready.
pub fn starting() -> Status {
    retry(Code::Unavailable, "STARTING", "the server is starting; try again", Duration::from_secs(1))
}

/// RESOURCE_EXHAUSTED: the tenant has as many calls in work as it may.
pub fn too_many_calls() -> Status {
    let message = "the tenant has as many calls in work as it may: wait for answers, then try again";
    retry(Code::ResourceExhausted, "TOO_MANY_CALLS", message, Duration::from_millis(250))
}

/// RESOURCE_EXHAUSTED: the tenant has as many watch streams open as it may.
pub fn too_many_streams() -> Status {
    let message = "the tenant has as many watch streams open as it may: close some, then watch again";
    retry(Code::ResourceExhausted, "TOO_MANY_STREAMS", message, Duration::from_secs(5))
}

/// FAILED_PRECONDITION: there is no mailbox that letters could be sent from.
pub fn mailbox_missing() -> Status {
    let message = "there is no mailbox that is enabled, of those that the campaign may send from: add one or resume one \
                   (`herald mailboxes`, or CreateMailbox), then start again";
    precondition("MAILBOX_MISSING", "mailbox_ids", message)
}

/// FAILED_PRECONDITION: this deployment writes no mail into files.
pub fn outbox_closed() -> Status {
    let message = "this deployment has no outbox folders: give the mailbox an SMTP server, or set mail.outbox there";
    precondition("OUTBOX_CLOSED", "mailbox.kind", message)
}

/// INTERNAL: what went wrong is in the log.
pub fn internal(error: &dyn std::error::Error) -> Status {
    tracing::error!(error = %error, source = ?error.source(), "rpc.failed");
    status(Code::Internal, "INTERNAL", "an internal error; the server's log has more")
}

/// RESOURCE_EXHAUSTED: somebody without credentials has as many calls open as may be.
pub fn too_many_open_calls() -> Status {
    let message = "there are as many calls of this kind open as there may be: end some, then try again";
    retry(Code::ResourceExhausted, "TOO_MANY_CALLS", message, Duration::from_secs(1))
}

/// RESOURCE_EXHAUSTED: the tenant, the connection or the whole server has as many bytes in work or waiting to be taken as
/// may be.
pub fn too_many_bytes() -> Status {
    let message = "there are as many bytes in work, or of answers that wait to be taken, as there may be: take answers, \
                   send or ask for less at once, then try again";
    retry(Code::ResourceExhausted, "TOO_MANY_BYTES", message, Duration::from_millis(500))
}

/// Why a message could not be read.
pub(crate) fn of_frame(error: FrameError) -> Status {
    let message = error.to_string();
    match error {
        FrameError::TooLarge(_) => status(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", &message),
        FrameError::Compressed => status(Code::Unimplemented, "COMPRESSION_UNSUPPORTED", &message),
        FrameError::Malformed(_) => status(Code::InvalidArgument, "MESSAGE_INVALID", &message),
        FrameError::BrokenOff => status(Code::Cancelled, "MESSAGE_BROKEN_OFF", &message),
        FrameError::NoRoom => too_many_bytes(),
    }
}

/// PERMISSION_DENIED: a development server was called by a name that is not this machine's.
pub fn host_not_local() -> Status {
    let message = "a development server answers on this machine alone: call it as localhost, 127.0.0.1 or [::1], and from \
                   pages of those";
    status(Code::PermissionDenied, "HOST_NOT_LOCAL", message)
}

/// RESOURCE_EXHAUSTED: the tenant's files are being written, and others wait to write them again.
pub fn too_many_snapshots() -> Status {
    let message = "the tenant's files are being written, and a call waits to write them again: wait for its answer";
    retry(Code::ResourceExhausted, "TOO_MANY_SNAPSHOTS", message, Duration::from_secs(5))
}

/// DEADLINE_EXCEEDED: the call took longer than its client or the server allows.
pub fn deadline_exceeded() -> Status {
    let message = "the call took longer than it may; what it was to change may have been changed: look, or send the same \
                   request_id again";
    status(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message)
}

/// UNAVAILABLE: the server stops.
pub fn shutting_down() -> Status {
    retry(Code::Unavailable, "SHUTTING_DOWN", "the server is stopping; try again", Duration::from_secs(1))
}

/// UNAVAILABLE: a stream has reached its age.
pub fn stream_expired() -> Status {
    let message = "the stream has reached its age; watch again with after_seq set to the last number seen";
    retry(Code::Unavailable, "STREAM_EXPIRED", message, Duration::ZERO)
}

fn with<'a>(
    code: Code,
    reason: &str,
    message: &str,
    metadata: impl IntoIterator<Item = (&'a str, String)>,
    mut details: ErrorDetails,
) -> Status {
    let metadata: HashMap<_, _> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    details.set_error_info(reason, DOMAIN, metadata);
    Status::with_error_details(code, cut(message, MAX_MESSAGE), details)
}

impl From<RuleError> for Status {
    fn from(error: RuleError) -> Self {
        let message = error.to_string();
        match error {
            RuleError::Invalid(violations) => invalid(&message, &violations),
            RuleError::PageToken => {
                let message = "page_token: must be the next_page_token of a call with the same other fields";
                status(Code::InvalidArgument, "PAGE_TOKEN_INVALID", message)
            }
        }
    }
}

/// FAILED_PRECONDITION because of these campaigns, the newest first.
fn of_campaigns<const N: usize>(reason: &str, message: &str, live: &[CampaignId], more: [(&str, String); N]) -> Status {
    let ids = live.iter().take(MAX_NAMED).map(CampaignId::as_str).collect::<Vec<_>>().join(",");
    let mut details = ErrorDetails::new();
    details.add_precondition_failure_violation(reason, live.first().map_or("", CampaignId::as_str), message);
    let newest = live.first().map(ToString::to_string).unwrap_or_default();
    let metadata = [("campaign_id", newest), ("campaign_ids", ids)].into_iter().chain(more);
    with(Code::FailedPrecondition, reason, message, metadata, details)
}

fn campaign_state(state: CampaignState, message: &str) -> Status {
    let allowed = state.allowed().iter().map(|action| action.as_str()).collect::<Vec<_>>().join(",");
    let mut details = ErrorDetails::new();
    details.add_precondition_failure_violation("CAMPAIGN_STATE", state.as_str(), message);
    let metadata = [("state", state.as_str().to_owned()), ("allowed", allowed)];
    with(Code::FailedPrecondition, "CAMPAIGN_STATE", message, metadata, details)
}

fn invalid(message: &str, violations: &Violations) -> Status {
    let mut fields: Vec<_> =
        violations.list().iter().map(|v| FieldViolation::new(&v.field, cut(&v.description, MAX_MESSAGE))).collect();
    if violations.more() > 0 {
        fields.push(FieldViolation::new("", format!("and {} more", violations.more())));
    }
    with(Code::InvalidArgument, "FIELD_INVALID", message, [], ErrorDetails::with_bad_request(fields))
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound(noun) => not_found(noun),
            StoreError::Rule(error) => error.into(),
            StoreError::EtagMismatch => status(
                Code::Aborted,
                "ETAG_MISMATCH",
                "it has changed since this etag was read: read it again, then change it",
            ),
            StoreError::EmailTaken => {
                status(Code::AlreadyExists, "PROSPECT_EMAIL_TAKEN", "another prospect of the tenant has this address")
            }
            StoreError::MailboxExists => {
                status(Code::AlreadyExists, "MAILBOX_EXISTS", "another mailbox of the tenant has this address")
            }
            StoreError::TooManyMailboxes => {
                let message = format!("the tenant has {MAX_MAILBOXES} mailboxes, and no more may be: delete one first");
                status(Code::ResourceExhausted, "TOO_MANY_MAILBOXES", &message)
            }
            StoreError::TooManyTemplates => {
                let message = format!("the tenant has {MAX_TEMPLATES} templates, and no more may be: delete one first");
                status(Code::ResourceExhausted, "TOO_MANY_TEMPLATES", &message)
            }
            StoreError::TemplateInUse(campaigns) => {
                let message =
                    "live campaigns have letters to write from it: wait until they are written, or cancel them";
                of_campaigns("TEMPLATE_IN_USE", message, &campaigns, [])
            }
            StoreError::ProspectDeleted => {
                let message = "the prospect is deleted: bring it back with UndeleteProspect first";
                precondition("PROSPECT_DELETED", "prospect", message)
            }
            StoreError::ProspectNotDeleted => {
                status(Code::AlreadyExists, "PROSPECT_NOT_DELETED", "the prospect is there, and not deleted")
            }
            StoreError::CampaignsLive(live) => {
                let message = "campaigns of the tenant are live: finish or cancel them first";
                of_campaigns("CAMPAIGN_LIVE", message, &live, [])
            }
            StoreError::TooManyLive { live, max } => {
                let message = format!(
                    "{} campaigns of the tenant are live, of {max} that may be: finish or cancel one first",
                    live.len()
                );
                of_campaigns("CAMPAIGN_LIVE", &message, &live, [("max", max.to_string())])
            }
            StoreError::CampaignAmbiguous(live) => {
                let message = format!(
                    "{} campaigns of the tenant are live: name the one that is meant as campaign_id",
                    live.len()
                );
                of_campaigns("CAMPAIGN_AMBIGUOUS", &message, &live, [])
            }
            StoreError::ProspectsTaken(live) => {
                let message = "its prospects are in other live campaigns now: finish or cancel those first";
                of_campaigns("PROSPECTS_TAKEN", message, &live, [])
            }
            StoreError::RequestIdReused => {
                let message = "request_id: was used for another request within the last day; choose a new one";
                status(Code::InvalidArgument, "REQUEST_ID_REUSED", message)
            }
            StoreError::EmailState { id, status } => {
                let message =
                    format!("an e-mail is {} already; nothing of this review was done", status.replace('_', " "));
                let metadata = [("email_id", id.clone()), ("state", status.to_uppercase())];
                let mut details = ErrorDetails::new();
                details.add_precondition_failure_violation("EMAIL_STATE", id, format!("it is {status}"));
                with(Code::FailedPrecondition, "EMAIL_STATE", &message, metadata, details)
            }
            StoreError::EmailUnwritten(id) => {
                let message = format!(
                    "the e-mail {id} was never written: its note says why; correct that, and start another campaign"
                );
                precondition("EMAIL_UNWRITTEN", "email", &message)
            }
            StoreError::NotSentAgain(state) => {
                let message = format!("cannot send e-mails of a campaign again that is {}", state.as_str());
                campaign_state(state, &message)
            }
            StoreError::CampaignState(refused) => campaign_state(refused.state, &message),
            StoreError::DiskFull => disk_full(),
            StoreError::TooManyWrites => {
                let message = "the tenant has too many changes waiting; nothing was changed";
                retry(Code::ResourceExhausted, "TOO_MANY_WRITES", message, Duration::from_secs(1))
            }
            StoreError::TooManyStarts { retry: after, .. } => {
                retry(Code::ResourceExhausted, "TOO_MANY_STARTS", &message, after)
            }
            StoreError::Closed => shutting_down(),
            StoreError::StaleLease
            | StoreError::NotRunning
            | StoreError::WrongMasterKey(_)
            | StoreError::Inconsistent(_)
            | StoreError::Database(_) => internal(&error),
        }
    }
}

impl From<CacheError> for Status {
    fn from(error: CacheError) -> Self {
        let message = error.to_string();
        match error {
            CacheError::Key => RuleError::field("key", message).into(),
            CacheError::TooLarge | CacheError::TooManyElements => RuleError::field("value", message).into(),
            CacheError::Kind => precondition(
                "CACHE_KIND",
                "key",
                "the key holds something of another kind, or a number that would no longer fit",
            ),
            CacheError::ListFull => precondition("CACHE_LIST_FULL", "key", &format!("{message}; nothing was added")),
            CacheError::NoRoom => answer_too_large(),
            CacheError::Full => {
                let message = "the cache is full; nothing was changed";
                retry(Code::ResourceExhausted, "CACHE_FULL", message, Duration::from_secs(30))
            }
            CacheError::Refused(code) => {
                let message = format!("the cache is there and does not do this now: Redis answers {code}");
                retry(Code::Unavailable, "CACHE_REFUSED", &message, Duration::from_secs(5))
            }
            CacheError::Unavailable => {
                let message = "the cache cannot be reached now; try again";
                retry(Code::Unavailable, "CACHE_UNAVAILABLE", message, Duration::from_secs(1))
            }
        }
    }
}

impl From<FilesError> for Status {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::DiskFull => {
                let message = "the server's disk is full; each file is whole, as it was or as it is to be";
                retry(Code::ResourceExhausted, "DISK_FULL", message, Duration::from_secs(30))
            }
            FilesError::Unavailable(why) => {
                tracing::warn!(why, "files.unavailable");
                let message =
                    "the tenant's files cannot be reached now; each is whole, as it was or as it is to be; try again";
                retry(Code::Unavailable, "FILES_UNAVAILABLE", message, Duration::from_secs(5))
            }
        }
    }
}

/// NOT_FOUND: the cache has no value under that key.
pub fn no_such_key() -> Status {
    status(Code::NotFound, "CACHE_KEY_NOT_FOUND", "the key holds no value")
}

/// RESOURCE_EXHAUSTED: what was asked for does not fit into one answer.
pub fn answer_too_large() -> Status {
    let message = "the values do not fit into one answer: ask for fewer at once";
    status(Code::ResourceExhausted, "ANSWER_TOO_LARGE", message)
}

fn disk_full() -> Status {
    let message = "the server's disk is full; nothing was changed";
    retry(Code::ResourceExhausted, "DISK_FULL", message, Duration::from_secs(30))
}

/// FAILED_PRECONDITION, with what stands in the way.
fn precondition(reason: &str, subject: &str, message: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.add_precondition_failure_violation(reason, subject, message);
    with(Code::FailedPrecondition, reason, message, [], details)
}

pub fn template_built_in() -> Status {
    let message = "the built-in templates are everybody's and cannot be changed: create one of your own from it";
    precondition("TEMPLATE_BUILT_IN", "template", message)
}

pub fn sender_missing() -> Status {
    let message = "nobody knows which company writes: set `sender.company` in the configuration, or name a campaign";
    precondition("SENDER_MISSING", "sender.company", message)
}

/// NOT_FOUND, the same for what is another's and for what never was.
pub fn not_found(noun: Noun) -> Status {
    let (reason, message) = match noun {
        Noun::Prospect => ("PROSPECT_NOT_FOUND", "there is no such prospect"),
        Noun::Email => ("EMAIL_NOT_FOUND", "there is no such e-mail"),
        Noun::SentEmail => (
            "EMAIL_NOT_FOUND",
            "the tenant has sent no such e-mail: name it by its id or its Message-ID, or its recipient by address",
        ),
        Noun::Campaign => ("CAMPAIGN_NOT_FOUND", "there is no such campaign"),
        Noun::AnyCampaign => (
            "NO_CAMPAIGN",
            "the tenant has no such campaign: none was started, or none is live; StartWorkflow starts one",
        ),
        Noun::Template => ("TEMPLATE_NOT_FOUND", "there is no such template: see ListTemplates"),
        Noun::Strategy => ("STRATEGY_NOT_FOUND", "there is no such marketing strategy"),
        Noun::Mailbox => ("MAILBOX_NOT_FOUND", "there is no such mailbox: see ListMailboxes"),
        Noun::Suppression => ("SUPPRESSION_NOT_FOUND", "the address is not on the suppression list"),
    };
    status(Code::NotFound, reason, message)
}
