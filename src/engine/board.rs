//! The claimed campaigns that wait for their turn.
//!
//! Tenants take turns, and a campaign has one turn at a time in this process: one that is claimed anew while a turn of
//! it has not ended (its lease ran out, say) waits for that end.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
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
}

#[derive(Default)]
pub(super) struct Board {
    state: Mutex<State>,
    put: Notify,
}

#[derive(Default)]
struct State {
    ready: FairQueue<TenantId, Job>,
    /// Those with a turn that has not ended.
    at_work: HashSet<Key>,
    /// Claimed anew meanwhile.
    parked: HashMap<Key, Job>,
}

// === impl Job ===

impl Job {
    pub(super) fn new(claim: Claim) -> Self {
        Self { claim, tries: 0, step: None }
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
            if state.at_work.insert(key.clone()) {
                return Some(job);
            }
            state.parked.insert(key, job);
        }
        None
    }

    /// Waits for the next job.
    pub(super) async fn next(&self) -> Job {
        loop {
            if let Some(job) = self.take() {
                return job;
            }
            self.put.notified().await;
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
    use crate::store::Lease;
    use crate::tenant::{Origin, Scope};

    #[expect(clippy::disallowed_methods, reason = "a scope for a test of the board, which opens no door")]
    fn job(tenant: &str, campaign: &str, fence: i64) -> Job {
        let scope = Scope::mint(TenantId::parse(tenant).expect("an id"), Origin::Claim);
        let campaign = CampaignId::parse(campaign).expect("an id");
        Job::new(Claim { scope, lease: Lease { campaign, fence } })
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
