//! How much of the server one tenant may hold at once: calls in work, and watch streams.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::call::Response;
use crate::config::Fairness;
use crate::status;
use crate::tenant::TenantId;

/// Counts what each tenant holds; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Limits {
    held: Arc<Mutex<HashMap<(TenantId, Kind), u32>>>,
    calls: u32,
    streams: u32,
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Call,
    Stream,
}

/// One of what a tenant may hold, until it is dropped.
pub(super) struct Held {
    limits: Limits,
    key: (TenantId, Kind),
}

/// A stream that is held until it ends.
struct HeldBody {
    body: Body,
    _held: Held,
}

// === impl Limits ===

impl Limits {
    pub(super) fn new(settings: &Fairness) -> Self {
        Self { held: Arc::default(), calls: settings.max_calls, streams: settings.max_streams }
    }

    /// One more for the tenant; None if nothing is counted, refused if it holds as many as it may.
    pub(super) fn hold(&self, tenant: &TenantId, kind: Kind) -> Result<Option<Held>, Status> {
        let most = match kind {
            Kind::Call => self.calls,
            Kind::Stream => self.streams,
        };
        if most == 0 {
            return Ok(None);
        }
        let key = (tenant.clone(), kind);
        let mut held = self.lock();
        let count = held.entry(key.clone()).or_default();
        if *count >= most {
            return Err(match kind {
                Kind::Call => status::too_many_calls(),
                Kind::Stream => status::too_many_streams(),
            });
        }
        *count += 1;
        drop(held);
        Ok(Some(Held { limits: self.clone(), key }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(TenantId, Kind), u32>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Held ===

impl Held {
    /// Holds it for as long as the response's body lasts.
    pub(super) fn until_the_end_of(self, response: Response) -> Response {
        response.map(|body| Body::new(HeldBody { body, _held: self }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.limits.lock().entry(self.key.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

// === impl HeldBody ===

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_holds_what_it_may_and_not_what_another_holds() {
        let limits = Limits::new(&Fairness { max_calls: 2, max_streams: 1, ..Fairness::default() });
        let [a, b] = ["a", "b"].map(|name| TenantId::parse(name).expect("a tenant"));
        let first = limits.hold(&a, Kind::Call).expect("one of two");
        let _second = limits.hold(&a, Kind::Call).expect("two of two");
        assert!(limits.hold(&a, Kind::Call).is_err());
        let _stream = limits.hold(&a, Kind::Stream).expect("counted by itself");
        assert!(limits.hold(&a, Kind::Stream).is_err());
        let _of_b = limits.hold(&b, Kind::Call).expect("another's");
        drop(first);
        drop(limits.hold(&a, Kind::Call).expect("one was given back"));
        let counted = limits.lock().len();
        assert_eq!(counted, 3);
        // Nothing is counted where there is no limit.
        let limits = Limits::new(&Fairness { max_calls: 0, ..Fairness::default() });
        assert!(limits.hold(&a, Kind::Call).expect("no limit").is_none() && limits.lock().is_empty());
    }
}
