//! In front of every method: who calls, and may they.
//!
//! It removes any `x-tenant-id` that a client sends, verifies the credential, checks the role against the policy, and
//! stamps the caller into the request's extensions, and its tenant onto the request's metadata, the span and the
//! response. Handlers read the extension, never the metadata.

use std::net::IpAddr;
use std::time::Instant;

use http::{Extensions, HeaderMap, HeaderValue};
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tracing::{Instrument as _, Span};

use super::{Access, Guard};
use crate::call::{Request, Response};
use crate::status;
use crate::telemetry;
use crate::tenant::{Caller, Role, TenantId};

/// Names the tenant on every authenticated response.
pub const TENANT_HEADER: &str = "x-tenant-id";

/// A response, and to whom: the tenant, and the span of the call, which lasts as long as the call does.
pub struct Answered {
    pub response: Response,
    pub caller: Option<(TenantId, Span)>,
}

/// Has `next` answer the request if its caller may call.
pub async fn authenticate<Next, Answer>(guard: &Guard, mut request: Request, next: Next) -> Answered
where
    Next: FnOnce(Request) -> Answer,
    Answer: Future<Output = Response>,
{
    request.headers_mut().remove(TENANT_HEADER);
    let (path, peer) = (request.uri().path(), peer(request.extensions()));
    let (caller, needed) = match identify(guard, path, request.headers(), peer).await {
        Ok(Some(found)) => found,
        Ok(None) => return Answered { response: next(request).await, caller: None },
        Err(status) => return Answered { response: refuse(path, status), caller: None },
    };
    let tenant = caller.tenant().clone();
    let span = telemetry::call_span(path, &tenant, request.headers());
    // A tenant id is printable ASCII, so it is always a header value.
    let stamp = HeaderValue::from_str(tenant.as_str()).ok();
    let mut response = if caller.role() < needed {
        span.in_scope(|| refuse(path, status::role_too_low(caller.role().as_str(), needed.as_str())))
    } else {
        if let Some(stamp) = stamp.clone() {
            request.headers_mut().insert(TENANT_HEADER, stamp);
        }
        request.extensions_mut().insert(caller);
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
    path: &str,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
) -> Result<Option<(Caller, Role)>, Status> {
    match guard.policy.access(path) {
        None => Err(status::no_such_method()),
        Some(Access::Open) => Ok(None),
        Some(Access::Role(needed)) => {
            let caller = guard.authenticator.caller(headers, peer).await?;
            Ok(Some((caller, needed)))
        }
    }
}

/// The address at the other end of the connection.
fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<TcpConnectInfo>()?.remote_addr().map(|address| address.ip())
}

fn refuse(path: &str, status: Status) -> Response {
    tracing::info!(rpc.method = %path, code = ?status.code(), reason = status.message(), "rpc.refused");
    status.into_http()
}
