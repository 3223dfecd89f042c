//! The claimed campaigns that wait for their turn.
//!
//! Tenants take turns, and a campaign has one turn at a time in this process: one that is claimed anew while a turn of
//! it has not ended (its lease ran out, say) waits for that end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::domain::campaign::StepId;
use crate::domain::fair_queue::FairQueue;
use crate::domain::id::CampaignId;
use crate::metrics::metrics;
use crate::store::Claim;
use crate::tenant::TenantId;

pub(super) type Key = (TenantId, CampaignId);

/// A claimed campaign.
pub(super) struct Job {
    pub claim: Claim,
    /// How often its present piece of work has failed in passing.
    pub tries: u32,
    /// The step that is being worked on, and its span, which lasts until the step ends or the campaign is released.
    pub step: Option<(StepId, Span)>,
    /// Cancelled when the campaign has ended.
    pub ended: CancellationToken,
}

#[derive(Default)]
pub(super) struct Board {
    state: Mutex<State>,
    put: Notify,
}

#[derive(Default)]
struct State {
    ready: FairQueue<TenantId, Job>,
    /// Those with a turn that has not ended; cancelled if there is no more to be done for the campaign.
    at_work: HashMap<Key, CancellationToken>,
    /// Claimed anew meanwhile.
    parked: HashMap<Key, Job>,
}

// === impl Job ===

impl Job {
    pub(super) fn new(claim: Claim) -> Self {
        Self { tries: claim.tries, claim, step: None, ended: CancellationToken::new() }
    }

    pub(super) fn key(&self) -> Key {
        (self.claim.scope.tenant().clone(), self.claim.lease.campaign.clone())
    }
}

// === impl Board ===

impl Board {
    pub(super) fn put(&self, job: Job) {
        self.lock().ready.push(job.claim.scope.tenant().clone(), job);
        metrics().waiting_campaigns(1);
        self.put.notify_one();
    }

    /// The next job, if one waits; its campaign is at work until [`Board::finish`].
    pub(super) fn take(&self) -> Option<Job> {
        self.take_next(FairQueue::pop)
    }

    /// The next job of a tenant, whoever's turn it is.
    pub(super) fn take_of(&self, tenant: &TenantId) -> Option<Job> {
        self.take_next(|ready| ready.pop_of(tenant))
    }

    fn take_next(&self, pop: impl Fn(&mut FairQueue<TenantId, Job>) -> Option<(TenantId, Job)>) -> Option<Job> {
        let mut state = self.lock();
        while let Some((_, job)) = pop(&mut state.ready) {
            metrics().waiting_campaigns(-1);
            let key = job.key();
            match state.at_work.entry(key.clone()) {
                Entry::Vacant(place) => {
                    place.insert(job.ended.clone());
                    return Some(job);
                }
                Entry::Occupied(_) => state.parked.insert(key, job),
            };
        }
        None
    }

    /// How many campaigns this process has claimed and not given back.
    pub(super) fn len(&self) -> usize {
        let state = self.lock();
        state.ready.len() + state.at_work.len() + state.parked.len()
    }

    /// Waits until a job waits.
    pub(super) async fn ready(&self) {
        while self.lock().ready.is_empty() {
            self.put.notified().await;
        }
    }

    /// The campaign has ended: what its turn waits for or computes is of no use any more.
    pub(super) fn end(&self, key: &Key) {
        if let Some(turn) = self.lock().at_work.get(key) {
            turn.cancel();
        }
    }

    /// The campaign's turn has ended.
    pub(super) fn finish(&self, key: &Key) {
        let mut state = self.lock();
        state.at_work.remove(key);
        let parked = state.parked.remove(key);
        drop(state);
        match parked {
            Some(job) => self.put(job),
            // What was put back during the turn may be waiting for this end.
            None => self.put.notify_one(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Lease, Suspicion};
    use crate::tenant::{Origin, Scope};

    #[expect(clippy::disallowed_methods, reason = "a scope for a test of the board, which opens no door")]
    fn job(tenant: &str, campaign: &str, fence: i64) -> Job {
        let scope = Scope::mint(TenantId::parse(tenant).expect("an id"), Origin::Claim);
        let campaign = CampaignId::parse(campaign).expect("an id");
        Job::new(Claim { scope, lease: Lease { campaign, fence }, suspicion: Suspicion::default(), tries: 0 })
    }

    #[test]
    fn tenants_take_turns_and_a_campaign_has_one_turn_at_a_time() {
        let board = Board::default();
        for (tenant, campaign, fence) in [("a", "1", 1), ("a", "2", 1), ("b", "3", 1), ("a", "1", 2)] {
            board.put(job(tenant, campaign, fence));
        }
        let take =
            || board.take().map(|j| (j.key().0.to_string(), j.claim.lease.campaign.to_string(), j.claim.lease.fence));
        let mine = |t: &str, c: &str, f| Some((t.to_owned(), c.to_owned(), f));
        assert_eq!(take(), mine("a", "1", 1));
        assert_eq!(take(), mine("b", "3", 1));
        assert_eq!(take(), mine("a", "2", 1));
        assert_eq!(take(), None, "the second claim of campaign 1 waits for the first turn's end");
        board.finish(&job("a", "1", 1).key());
        assert_eq!(take(), mine("a", "1", 2));
    }
}
