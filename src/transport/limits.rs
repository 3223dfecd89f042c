//! How much of the server one caller may hold at once: calls in work, watch streams, bytes of requests and of answers.
//!
//! A call holds its place, and what it has of the bytes, until its answer has been taken or given up ([`Held`]).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::Status;

use crate::budget;
use crate::config::Fairness;
use crate::status;
use crate::tenant::TenantId;

/// Counts what is held; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Limits {
    held: Arc<Mutex<State>>,
    calls: u32,
    streams: u32,
}

/// Who holds something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Tenant(TenantId),
    /// Somebody who calls what is open to everybody.
    Address(Option<IpAddr>),
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Stream,
}

#[derive(Default)]
struct State {
    holders: HashMap<Holder, Use>,
    in_all: Use,
    /// Of what is open to everybody.
    open: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Use {
    calls: u32,
    streams: u32,
    requests: usize,
    answers: usize,
}

/// A place, and some of the bytes, until it is dropped.
pub(super) struct Held {
    limits: Limits,
    holder: Holder,
    kind: Kind,
    requests: usize,
    answers: usize,
    /// The bytes that the connection has not taken.
    connection: Arc<AtomicUsize>,
}

/// The calls of open services: of one address, and of all.
const OPEN_PER_ADDRESS: u32 = 32;
const OPEN: u32 = 128;

// === impl Limits ===

impl Limits {
    pub(super) fn new(settings: &Fairness) -> Self {
        Self { held: Arc::default(), calls: settings.max_calls, streams: settings.max_streams }
    }

    /// One more for the holder, refused if it holds as many as it may. `connection` counts what that has not taken.
    pub(super) fn hold(&self, holder: Holder, kind: Kind, connection: Arc<AtomicUsize>) -> Result<Held, Status> {
        let mut state = self.lock();
        let State { holders, in_all, open } = &mut *state;
        let is_open = matches!(holder, Holder::Address(_));
        let used = holders.entry(holder.clone()).or_default();
        let untaken = connection.load(Ordering::Relaxed) >= budget::ANSWERS_PER_CONNECTION
            || used.answers >= budget::ANSWERS_PER_TENANT
            || in_all.answers >= budget::ANSWERS;
        let refused = match kind {
            _ if untaken => Some(status::too_many_bytes()),
            _ if is_open => {
                (used.calls + used.streams >= OPEN_PER_ADDRESS || *open >= OPEN).then(status::too_many_open_calls)
            }
            Kind::Call => {
                (is_full(self.calls, used.calls) || in_all.calls >= budget::CALLS).then(status::too_many_calls)
            }
            Kind::Stream => is_full(self.streams, used.streams).then(status::too_many_streams),
        };
        if let Some(refused) = refused {
            if *used == Use::default() {
                holders.remove(&holder);
            }
            return Err(refused);
        }
        *used.count(kind) += 1;
        *in_all.count(kind) += 1;
        *open += u32::from(is_open);
        drop(state);
        Ok(Held { limits: self.clone(), holder, kind, requests: 0, answers: 0, connection })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there are as many as there may be; 0: any number.
fn is_full(max: u32, count: u32) -> bool {
    max > 0 && count >= max
}

impl State {
    /// Changes what a holder has that holds a place, and what all have.
    fn of(&mut self, holder: &Holder, change: impl Fn(&mut Use)) {
        change(&mut self.in_all);
        let Some(used) = self.holders.get_mut(holder) else { return };
        change(used);
        if *used == Use::default() {
            self.holders.remove(holder);
        }
    }
}

impl Use {
    fn count(&mut self, kind: Kind) -> &mut u32 {
        match kind {
            Kind::Call => &mut self.calls,
            Kind::Stream => &mut self.streams,
        }
    }
}

// === impl Held ===

impl Held {
    /// Whether there is room for so many more bytes of a request, which are held from then on. Small ones always have room:
    /// their number is bounded by that of the calls.
    pub(super) fn request(&mut self, bytes: usize) -> bool {
        if self.requests + bytes <= budget::SMALL {
            return true;
        }
        let mut state = self.limits.lock();
        let of_holder = state.holders.get(&self.holder).copied().unwrap_or_default();
        let fits = of_holder.requests + bytes <= budget::REQUESTS_PER_TENANT
            && state.in_all.requests + bytes <= budget::REQUESTS;
        if fits {
            state.of(&self.holder, |used| used.requests += bytes);
            self.requests += bytes;
        }
        fits
    }

    /// The request's bytes are no longer needed.
    pub(super) fn request_done(&mut self) {
        let bytes = std::mem::take(&mut self.requests);
        if bytes > 0 {
            self.limits.lock().of(&self.holder, |used| used.requests -= bytes);
        }
    }

    /// Whether there is room for an answer of so many bytes, which are held from then on. `must`: it is held in any case.
    pub(super) fn answer(&mut self, bytes: usize, must: bool) -> bool {
        if bytes <= budget::SMALL {
            return true;
        }
        let mut state = self.limits.lock();
        let of_holder = state.holders.get(&self.holder).copied().unwrap_or_default();
        let fits = of_holder.answers + bytes <= budget::ANSWERS_PER_TENANT
            && state.in_all.answers + bytes <= budget::ANSWERS
            && self.connection.load(Ordering::Relaxed) + bytes <= budget::ANSWERS_PER_CONNECTION;
        if fits || must {
            state.of(&self.holder, |used| used.answers += bytes);
            self.answers += bytes;
            self.connection.fetch_add(bytes, Ordering::Relaxed);
        }
        fits || must
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (kind, requests, answers) = (self.kind, self.requests, self.answers);
        self.connection.fetch_sub(answers, Ordering::Relaxed);
        let mut state = self.limits.lock();
        if matches!(self.holder, Holder::Address(_)) {
            state.open -= 1;
        }
        state.of(&self.holder, |used| {
            *used.count(kind) -= 1;
            used.requests -= requests;
            used.answers -= answers;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Holder {
        Holder::Tenant(TenantId::parse(name).expect("a tenant"))
    }

    #[test]
    fn a_tenant_holds_what_it_may_and_not_what_another_holds() {
        let limits = Limits::new(&Fairness { max_calls: 2, max_streams: 1, ..Fairness::default() });
        let hold = |name, kind| limits.hold(tenant(name), kind, Arc::default());
        let first = hold("a", Kind::Call).expect("one of two");
        let _second = hold("a", Kind::Call).expect("two of two");
        assert!(hold("a", Kind::Call).is_err());
        let _stream = hold("a", Kind::Stream).expect("counted by itself");
        assert!(hold("a", Kind::Stream).is_err());
        let _of_b = hold("b", Kind::Call).expect("another's");
        drop(first);
        drop(hold("a", Kind::Call).expect("one was given back"));
        assert_eq!(limits.lock().holders.len(), 2);
        let in_all = limits.lock().in_all;
        assert_eq!((in_all.calls, in_all.streams), (2, 1));
    }

    #[test]
    fn bytes_are_held_up_to_the_limits_and_given_back() {
        let limits = Limits::new(&Fairness::default());
        let connection = Arc::<AtomicUsize>::default();
        let hold = |name: &str| limits.hold(tenant(name), Kind::Call, connection.clone());
        let mut held = hold("a").expect("a place");
        assert!(held.request(budget::SMALL) && limits.lock().in_all.requests == 0, "small ones are not counted");
        assert!(held.request(budget::REQUESTS_PER_TENANT) && !held.request(1));
        let mut other = hold("b").expect("a place");
        assert!(other.request(budget::REQUESTS_PER_TENANT), "another tenant's");
        held.request_done();
        assert!(held.request(budget::REQUESTS_PER_TENANT));

        assert!(held.answer(budget::ANSWERS_PER_TENANT, false) && !held.answer(budget::SMALL + 1, false));
        assert!(!other.answer(budget::SMALL + 1, false), "the connection is full for everybody");
        assert!(other.answer(budget::SMALL + 1, true), "what was changed is told");
        assert!(hold("a").is_err() && hold("c").is_err());
        drop((held, other));
        let state = limits.lock();
        assert!(state.holders.is_empty());
        assert_eq!((state.in_all, connection.load(Ordering::Relaxed)), (Use::default(), 0));
    }

    #[test]
    fn open_services_have_places_of_their_own() {
        let limits = Limits::new(&Fairness::default());
        let hold = |last: u8| limits.hold(Holder::Address(Some([10, 0, 0, last].into())), Kind::Stream, Arc::default());
        let mut held: Vec<_> = (0..OPEN_PER_ADDRESS).map(|_| hold(1).expect("a place")).collect();
        assert!(hold(1).is_err());
        held.extend(
            (OPEN_PER_ADDRESS..OPEN)
                .map(|n| hold(u8::try_from(2 + n / OPEN_PER_ADDRESS).expect("few")).expect("a place")),
        );
        assert!(hold(99).is_err(), "and there are so many in all");
        drop(held);
        assert!(limits.lock().open == 0 && hold(1).is_ok());
    }
}
