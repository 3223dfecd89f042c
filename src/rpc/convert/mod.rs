//! Between protobuf messages and domain types. What comes in is checked here, once; inside there are no raw strings.

pub(super) mod audit;
pub(super) mod bounce;
pub(super) mod campaign;
pub(super) mod config;
pub(super) mod email;
pub(super) mod json;
pub(super) mod mailbox;
pub(super) mod prospect;
pub(super) mod recipients;
pub(super) mod suppression;
pub(super) mod template;

use prost::Message;

use crate::domain::clock::Timestamp;
use crate::domain::digest;
use crate::domain::error::{Error, Violations};
use crate::domain::id::{CampaignId, IdError, Ids, MAX_CHARS};
use crate::domain::paging::{PageRequest, QueryShape, page_size};
use crate::domain::text;
use crate::store::{CampaignRef, RequestId};

/// How far a mail server's clock may be ahead of ours.
const AHEAD_SECONDS: i64 = 5 * 60;

/// A required id.
pub(super) fn id<T>(field: &str, text: &str, parse: impl Fn(&str) -> Result<T, IdError>) -> Result<T, Error> {
    parse(text).map_err(|error| Error::id(field, error))
}

/// The campaign that a request names; None for an empty id.
pub(super) fn campaign_id(text: &str) -> Result<Option<CampaignId>, Error> {
    if text.is_empty() { Ok(None) } else { id("campaign_id", text, CampaignId::parse).map(Some) }
}

/// The campaign that a change means; without an id the only live one.
pub(super) fn campaign_ref(text: &str) -> Result<CampaignRef, Error> {
    Ok(campaign_id(text)?.map_or(CampaignRef::Live, CampaignRef::Id))
}

/// The size and the place of a page.
pub(super) fn page_request<C: serde::de::DeserializeOwned>(
    size: i32,
    token: &str,
    shape: &QueryShape,
    default: u32,
    max: u32,
) -> Result<PageRequest<C>, Error> {
    let size = page_size("page_size", size, default, max)?;
    Ok(PageRequest { size, after: shape.cursor(token)? })
}

/// The request under its name, if it has one. `body` is the request without the name.
pub(super) fn request_id(method: &'static str, name: &str, body: &impl Message) -> Result<Option<RequestId>, Error> {
    let mut violations = Violations::default();
    let id = text::line(&mut violations, "request_id", name, MAX_CHARS);
    violations.done()?;
    let hash = digest::full(&[&body.encode_to_vec()]);
    Ok((!id.is_empty()).then_some(RequestId { method, id, hash }))
}

/// A time; None if it is absent.
pub(super) fn time(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Error> {
    let Some(time) = time else { return Ok(None) };
    let fits = (0..1_000_000_000).contains(&time.nanos);
    let micros = time.seconds.checked_mul(1_000_000).and_then(|s| s.checked_add(i64::from(time.nanos / 1_000)));
    match micros.filter(|micros| fits && *micros >= 0) {
        Some(micros) => Ok(Some(Timestamp(micros))),
        None => Err(Error::field(field, "must be a time from 1970 on")),
    }
}

/// When something has happened, by the clock of somebody else.
pub(super) fn recent(
    field: &str,
    value: Option<prost_types::Timestamp>,
    ids: &Ids,
) -> Result<Option<Timestamp>, Error> {
    let value = time(field, value)?;
    if value.is_some_and(|value| value > ids.now().plus_seconds(AHEAD_SECONDS)) {
        return Err(Error::field(field, "must be at most five minutes ahead of the server's clock"));
    }
    Ok(value)
}

/// An enum value that must be one of the known ones, or unspecified.
pub(super) fn enumeration<E: TryFrom<i32>>(field: &str, value: i32) -> Result<E, Error> {
    E::try_from(value).map_err(|_| Error::field(field, format!("has no value {value}")))
}
