//! In front of every method: who calls, and may they.
//!
//! It removes any `x-tenant-id` that a client sends, verifies the credential, checks the role against the policy, and
//! stamps the caller into the request's extensions, and its tenant onto the request's metadata, the span and the
//! response. Handlers read the extension, never the metadata.

use std::net::IpAddr;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};
use tracing::{Instrument as _, Span};

use super::{Access, Guard, Method};
use crate::call::{Peer, Request, Response};
use crate::status;
use crate::telemetry::{self, CallId};
use crate::tenant::{Caller, Role, TenantId};

/// Names the tenant on every authenticated response.
pub const TENANT_HEADER: HeaderName = HeaderName::from_static("x-tenant-id");

/// A response, and to whom: the tenant, and the span of the call, which lasts as long as the call does.
pub struct Answered {
    pub response: Response,
    pub caller: Option<(TenantId, Span)>,
}

/// Has `next` answer the request if its caller may call the method.
pub(crate) async fn authenticate<Next, Answer>(
    guard: &Guard,
    method: Option<&Method>,
    id: CallId,
    mut request: Request,
    next: Next,
) -> Answered
where
    Next: FnOnce(Request) -> Answer,
    Answer: Future<Output = Response>,
{
    request.headers_mut().remove(TENANT_HEADER);
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
    // A method that nobody knows can have any name, of any length.
    let path = method.map_or("unknown", |method| &method.path);
    let (caller, needed) = match identify(guard, method, id, request.headers(), peer).await {
        Ok(Some(found)) => found,
        Ok(None) => return Answered { response: next(request).await, caller: None },
        Err(status) => return Answered { response: refuse(path, id, status), caller: None },
    };
    let tenant = caller.tenant().clone();
    let span = telemetry::call_span(path, &tenant, id, request.headers());
    // A tenant id is printable ASCII, so it is always a header value.
    let stamp = HeaderValue::from_str(tenant.as_str()).ok();
    let mut response = if caller.role() < needed {
        span.in_scope(|| refuse_role(path, id, &caller, needed))
    } else {
        if let Some(stamp) = stamp.clone() {
            request.headers_mut().insert(TENANT_HEADER, stamp);
        }
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(id);
        async {
            let begun = Instant::now();
            let response = next(request).await;
            // What a stream comes to later is told by its span and the metrics.
            let status = Status::from_header_map(response.headers());
            let code = status.as_ref().map_or(Code::Ok, Status::code);
            tracing::debug!(took = ?begun.elapsed(), status = ?code, "rpc.answered");
            match status.as_ref().and_then(status::of_message) {
                Some(status) => status.into_http(),
                None => response,
            }
        }
        .instrument(span.clone())
        .await
    };
    if let Some(stamp) = stamp {
        response.headers_mut().insert(TENANT_HEADER, stamp);
    }
    Answered { response, caller: Some((tenant, span)) }
}

/// The caller and the role that the method needs, or None where anybody may call.
async fn identify(
    guard: &Guard,
    method: Option<&Method>,
    id: CallId,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
) -> Result<Option<(Caller, Role)>, Status> {
    match method.map(|method| method.access) {
        None => Err(status::no_such_method()),
        Some(Access::Open) => Ok(None),
        Some(Access::Role(needed)) => {
            let caller = guard.authenticator.caller_of(Some(id), headers, peer).await?;
            Ok(Some((caller, needed)))
        }
    }
}

fn refuse(path: &str, id: CallId, status: Status) -> Response {
    // A stranger must not fill the log: refused credentials have lines of their own, and not without number (`refusals`).
    tracing::debug!(rpc.method = %path, request_id = %id, code = ?status.code(), "rpc.refused");
    status.into_http()
}

/// Whoever it is has been verified, so that the line may say it.
fn refuse_role(path: &str, id: CallId, caller: &Caller, needed: Role) -> Response {
    let status = status::role_too_low(caller.role().as_str(), needed.as_str());
    let (code, reason) = (status.code(), status.message());
    tracing::info!(rpc.method = %path, request_id = %id, subject = caller.subject(), ?code, reason, "rpc.refused");
    status.into_http()
}
