//! Permits for which tenants take turns, such as those of readers, external calls and large answers: a fair semaphore.
//!
//! A tenant that asks for a thousand lists at once delays another's single read by the reads that run already and by one
//! turn, not by a thousand. And it never has all places: some are left for the others, who find them free.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::domain::fair_queue::FairQueue;
use crate::tenant::TenantId;

pub(crate) struct Turns {
    state: Mutex<State>,
    /// False: whoever came first is first, as if all were one tenant's.
    fair: bool,
}

struct State {
    free: usize,
    /// How many each has.
    held: HashMap<Key, usize>,
    /// How many one may have.
    max: usize,
    waiting: FairQueue<Key, oneshot::Sender<()>>,
}

/// None: as if all were one tenant's.
type Key = Option<TenantId>;

/// The right to one place; it is given on when it is dropped.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    key: Key,
}

/// Somebody who waits, and may give up.
struct Waiter {
    turns: Arc<Turns>,
    key: Key,
    called: oneshot::Receiver<()>,
}

// === impl Turns ===

impl Turns {
    /// So many places, of which one tenant has at most `per_tenant`. Unless it is to be `fair`: whoever came first is first.
    pub(crate) fn new(places: usize, per_tenant: usize, fair: bool) -> Arc<Self> {
        let max = if fair { per_tenant.clamp(1, places.max(1)) } else { places };
        let state = State { free: places, held: HashMap::new(), max, waiting: FairQueue::default() };
        Arc::new(Self { state: Mutex::new(state), fair })
    }

    /// Waits for the tenant's turn.
    pub(crate) async fn take(self: &Arc<Self>, tenant: &TenantId) -> Turn {
        let key = self.fair.then(|| tenant.clone());
        let mut waiting = {
            let mut state = self.lock();
            if state.free > 0 && state.may_have(&key) {
                state.hold(&key);
                return Turn { turns: self.clone(), key };
            }
            let (call, called) = oneshot::channel();
            state.waiting.push(key.clone(), call);
            Waiter { turns: self.clone(), key, called }
        };
        // The sender is not dropped before it has called.
        let _ = (&mut waiting.called).await;
        Turn { turns: self.clone(), key: waiting.key.clone() }
    }

    fn give_back(&self, key: &Key) {
        let mut state = self.lock();
        state.free += 1;
        if let Some(held) = state.held.get_mut(key) {
            *held -= 1;
            if *held == 0 {
                state.held.remove(key);
            }
        }
        state.call_next();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn may_have(&self, key: &Key) -> bool {
        self.held.get(key).is_none_or(|held| *held < self.max)
    }

    fn hold(&mut self, key: &Key) {
        self.free -= 1;
        *self.held.entry(key.clone()).or_default() += 1;
    }

    /// Calls those whose turn it is, as long as there are places. Whoever has given up is passed over, and so is for
    /// now whoever has as many as it may.
    fn call_next(&mut self) {
        let mut passed = 0;
        while self.free > 0 && passed < self.waiting.keys() {
            let Some(key) = self.waiting.next_key().cloned() else { return };
            if !self.may_have(&key) {
                self.waiting.pass();
                passed += 1;
                continue;
            }
            if let Some((key, call)) = self.waiting.pop()
                && call.send(()).is_ok()
            {
                self.hold(&key);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.give_back(&self.key);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.called.close();
        // Called, and gone before it could hear: the next one is called instead.
        if self.called.try_recv().is_ok() {
            self.turns.give_back(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("a tenant")
    }

    /// Who gets the one place, where `big` asks five times before `small` does once.
    async fn order(fair: bool) -> Vec<&'static str> {
        let turns = Turns::new(1, 1, fair);
        let order = Mutex::new(Vec::new());
        let held = turns.take(&tenant("other")).await;
        let ask = |name: &'static str| {
            let (turns, order) = (&turns, &order);
            async move {
                let _turn = turns.take(&tenant(name)).await;
                order.lock().expect("unpoisoned").push(name);
            }
        };
        let asked = futures_util::future::join_all(["big", "big", "big", "big", "big", "small"].map(ask));
        tokio::join!(asked, async {
            tokio::task::yield_now().await;
            drop(held);
        });
        order.into_inner().expect("unpoisoned")
    }

    #[tokio::test]
    async fn tenants_take_turns_unless_they_are_not_to() {
        assert_eq!(order(true).await, ["big", "small", "big", "big", "big", "big"]);
        assert_eq!(order(false).await.last(), Some(&"small"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn those_who_give_up_lose_no_place() {
        let turns = Turns::new(2, 2, true);
        let tasks = (0..400).map(|n| {
            let turns = turns.clone();
            tokio::spawn(async move {
                let take = async {
                    let _turn = turns.take(&tenant(&format!("t{}", n % 7))).await;
                    tokio::time::sleep(Duration::from_micros(n % 5 * 50)).await;
                };
                let _ = tokio::time::timeout(Duration::from_micros(n % 11 * 100), take).await;
            })
        });
        futures_util::future::join_all(tasks.collect::<Vec<_>>()).await;
        let state = turns.lock();
        assert_eq!((state.free, state.held.len(), state.waiting.len()), (2, 0, 0));
    }

    #[tokio::test]
    async fn who_is_called_and_gone_before_it_hears_gives_its_turn_on() {
        let (turns, b) = (Turns::new(1, 1, true), tenant("b"));
        let held = turns.take(&tenant("a")).await;
        let mut called = Box::pin(turns.take(&b));
        assert!(futures_util::poll!(&mut called).is_pending());
        drop(held);
        assert_eq!(turns.lock().free, 0, "it is b's");
        drop(called);
        assert!(futures_util::poll!(Box::pin(turns.take(&tenant("c")))).is_ready());
    }

    #[tokio::test]
    async fn one_tenant_never_has_all_places() {
        let (turns, big) = (Turns::new(8, 6, true), tenant("big"));
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(turns.take(&big).await);
        }
        let mut seventh = Box::pin(turns.take(&big));
        assert!(futures_util::poll!(&mut seventh).is_pending());
        // Another's find the rest free, and what comes back is the big one's again.
        let small = [turns.take(&tenant("small")).await, turns.take(&tenant("small")).await];
        drop(small);
        assert!(futures_util::poll!(&mut seventh).is_pending());
        held.pop();
        assert!(futures_util::poll!(&mut seventh).is_ready());
    }
}
