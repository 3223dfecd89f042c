//! The layer in front of every method: who calls, and may they.
//!
//! It removes any `x-tenant-id` that a client sends, verifies the credential, checks the role against the policy, and
//! stamps the caller into the request's extensions, and its tenant onto the request's metadata, the span and the
//! response. Handlers read the extension, never the metadata.

use std::net::IpAddr;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Extensions, HeaderMap, HeaderValue};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::{Access, Guard};
use crate::status;
use crate::telemetry;
use crate::tenant::{Caller, Role};

/// Names the tenant on every authenticated response.
pub const TENANT_HEADER: &str = "x-tenant-id";

/// The layer.
pub async fn authenticate(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    request.headers_mut().remove(TENANT_HEADER);
    let path = request.uri().path().to_owned();
    let (caller, needed) = match identify(&guard, &path, request.headers(), peer(request.extensions())).await {
        Ok(Some(found)) => found,
        Ok(None) => return next.run(request).await,
        Err(status) => return refuse(&path, status),
    };
    let span = tracing::info_span!(
        "rpc",
        otel.name = %path.trim_start_matches('/'),
        otel.kind = "server",
        rpc.method = %path,
        tenant = %caller.tenant(),
        status = tracing::field::Empty,
    );
    telemetry::go_on(&span, request.headers());
    // A tenant id is printable ASCII, so it is always a header value.
    let stamp = HeaderValue::from_str(caller.tenant().as_str()).ok();
    let mut response = if caller.role() < needed {
        span.in_scope(|| refuse(&path, status::role_too_low(caller.role().as_str(), needed.as_str())))
    } else {
        if let Some(stamp) = stamp.clone() {
            request.headers_mut().insert(TENANT_HEADER, stamp);
        }
        request.extensions_mut().insert(caller);
        async {
            let begun = Instant::now();
            let response = next.run(request).await;
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
    // It ends with the call, which may be after this: a stream's messages are yet to come.
    response.extensions_mut().insert(span);
    if let Some(stamp) = stamp {
        response.headers_mut().insert(TENANT_HEADER, stamp);
    }
    response
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
    let plain = extensions.get::<TcpConnectInfo>();
    let info = plain.or_else(|| extensions.get::<TlsConnectInfo<TcpConnectInfo>>().map(TlsConnectInfo::get_ref))?;
    info.remote_addr().map(|address| address.ip())
}

fn refuse(path: &str, status: Status) -> Response {
    tracing::info!(rpc.method = %path, code = ?status.code(), reason = status.message(), "rpc.refused");
    status.into_http()
}
