//! The live end of each campaign's history, for those who watch it.
//!
//! The writer publishes events in the order in which they were committed. A campaign that is watched has a tail in
//! memory, shared by its watchers; a watcher that is behind it reads from the table. Watchers pull, so a slow one holds
//! up nobody and loses nothing, and nothing is kept for it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use crate::domain::event::Event;
use crate::domain::id::CampaignId;
use crate::tenant::TenantId;

type Key = (TenantId, CampaignId);

/// The events kept in memory per watched campaign.
const KEPT: usize = 256;

/// All tails.
#[derive(Default)]
pub(super) struct Tails {
    watched: Mutex<HashMap<Key, Weak<Tail>>>,
}

/// The newest events of one watched campaign.
pub(super) struct Tail {
    tails: Weak<Tails>,
    key: Key,
    /// Without gaps.
    kept: Mutex<VecDeque<Arc<Event>>>,
    newest: watch::Sender<i64>,
}

// === impl Tails ===

impl Tails {
    /// The campaign's tail, and what tells that it grew. Exists as long as somebody holds it.
    pub(super) fn watch(
        self: &Arc<Self>,
        tenant: &TenantId,
        campaign: &CampaignId,
    ) -> (Arc<Tail>, watch::Receiver<i64>) {
        let key = (tenant.clone(), campaign.clone());
        let mut watched = lock(&self.watched);
        let there = watched.get(&key).and_then(Weak::upgrade);
        let tail = there.unwrap_or_else(|| {
            let (newest, _) = watch::channel(0);
            let tail = Arc::new(Tail { tails: Arc::downgrade(self), key: key.clone(), kept: Mutex::default(), newest });
            watched.insert(key, Arc::downgrade(&tail));
            tail
        });
        drop(watched);
        let receiver = tail.newest.subscribe();
        (tail, receiver)
    }

    pub(super) fn publish(&self, events: Vec<(TenantId, CampaignId, Event)>) {
        for (tenant, campaign, event) in events {
            // The lock is given back before the tail is: dropping the last hold of a tail takes the lock again.
            let tail = lock(&self.watched).get(&(tenant, campaign)).and_then(Weak::upgrade);
            if let Some(tail) = tail {
                tail.push(event);
            }
        }
    }
}

// === impl Tail ===

impl Tail {
    /// The kept events from number `next` on; None if the tail does not reach back so far, or has none yet.
    pub(super) fn from(&self, next: i64) -> Option<Vec<Arc<Event>>> {
        let kept = lock(&self.kept);
        let first = kept.front()?.seq;
        let skip = usize::try_from(next.checked_sub(first)?).ok()?;
        Some(kept.iter().skip(skip).cloned().collect())
    }

    fn push(&self, event: Event) {
        let seq = event.seq;
        let mut kept = lock(&self.kept);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::new(event));
        drop(kept);
        self.newest.send_replace(seq);
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let Some(tails) = self.tails.upgrade() else { return };
        let mut watched = lock(&tails.watched);
        // Somebody may have begun to watch anew meanwhile, with a tail of their own.
        if watched.get(&self.key).is_some_and(|tail| tail.strong_count() == 0) {
            watched.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::event::EventKind;

    fn event(seq: i64) -> Event {
        let kind = EventKind::StateChanged { from: String::new(), to: "RUNNING".to_owned(), reason: String::new() };
        Event { seq, time: Timestamp(seq), kind }
    }

    #[test]
    fn a_tail_keeps_the_newest_events_without_gaps_and_is_gone_with_its_last_watcher() {
        let tails = Arc::new(Tails::default());
        let tenant = TenantId::parse("user_a").expect("an id");
        let campaign = CampaignId::parse("c").expect("an id");
        let (tail, receiver) = tails.watch(&tenant, &campaign);
        let (again, _) = tails.watch(&tenant, &campaign);
        assert!(Arc::ptr_eq(&tail, &again), "watchers of one campaign share its tail");
        assert!(tail.from(1).is_none(), "there is nothing yet");

        let last = 300;
        tails.publish((1..=last).map(|seq| (tenant.clone(), campaign.clone(), event(seq))).collect());
        assert_eq!(*receiver.borrow(), last);
        assert!(tail.from(44).is_none(), "older ones are in the table");
        let kept = tail.from(45).expect("kept");
        assert!(kept.iter().map(|event| event.seq).eq(45..=last));
        assert_eq!(tail.from(last + 1).expect("behind the newest").len(), 0);

        drop(tail);
        assert_eq!(lock(&tails.watched).len(), 1, "somebody watches still");
        drop(again);
        assert_eq!(lock(&tails.watched).len(), 0);
    }
}
