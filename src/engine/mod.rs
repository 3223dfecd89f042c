//! Works on campaigns: claims them, runs their steps in fair turns, and keeps at it after a crash.
//!
//! Work is cut into turns: one bounded piece of one campaign. Tenants take turns ([`board`]), so a tenant with thousands
//! of prospects delays another by one piece at most. A turn that waits for an external call gives its worker to others
//! meanwhile ([`turn`]). Each turn writes under the lease of its claim, with a fencing token; a worker whose lease was
//! taken over can write nothing.
//!
//! Deliberately absent: state. What the engine knows is in the store; what it holds in memory (which campaigns it has
//! claimed, which of them a full disk holds) can be lost at any time.

mod board;
mod holds;
mod reading;
mod resources;
mod steps;
mod test_letter;
mod turn;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use crate::connect::Connectors;
use crate::domain::campaign::{Campaign, StepId};
use crate::domain::clock::Timestamp;
use crate::domain::id::CampaignId;
use crate::domain::link::PublicUrl;
use crate::metrics::metrics;
use crate::store::{Claim, Claims, Release, Store, StoreError};
use crate::tenant::TenantId;
use board::{Board, Job};
use resources::Resources;
use turn::{Turn, Verdict};

pub use resources::Settings;
pub use test_letter::{TestRefused, TestSent};

/// The engine of one process.
pub struct Engine {
    resources: Resources,
    /// Names this process in leases.
    worker: String,
    board: Board,
    tasks: TaskTracker,
}

/// The campaigns that this process claims for each worker: one at work, and one that is ready when that turn ends.
const CLAIMED_PER_WORKER: usize = 2;
/// How often to look for leases that have run out; whatever happens in this process is told at once.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const PURGE_EVERY: Duration = Duration::from_secs(60 * 60);
const COUNT_EVERY: Duration = Duration::from_secs(15);

// === impl Engine ===

impl Engine {
    /// Whether letters may go into the outbox folder.
    pub fn has_outbox(&self) -> bool {
        self.resources.settings.outbox
    }

    /// Where the links of letters lead, if they have any.
    pub fn public_url(&self) -> Option<&PublicUrl> {
        self.resources.settings.public_url.as_ref()
    }

    /// Whether they do so without a mailbox, from an address that is made up.
    pub fn has_default_outbox(&self) -> bool {
        self.resources.settings.default_outbox
    }

    pub fn new(store: Arc<Store>, connectors: Connectors, settings: Settings) -> Arc<Self> {
        let mut name = [0; 8];
        store.ids().random().fill(&mut name);
        Arc::new(Self {
            worker: name.iter().map(|b| format!("{b:02x}")).collect(),
            resources: Resources::new(store, connectors, settings),
            board: Board::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// Says that a campaign may have become runnable.
    pub fn wake(&self) {
        self.resources.due.notify_one();
    }

    /// A caller has changed a campaign: it may have become runnable, and if it has ended, what is under way for it ends.
    pub fn changed(&self, tenant: &TenantId, campaign: &Campaign) {
        if !campaign.state.is_live() {
            self.board.end(&(tenant.clone(), campaign.id.clone()));
        }
        self.wake();
    }

    /// Why a campaign stands still although it is running.
    pub fn hold(&self, tenant: &TenantId, campaign: &CampaignId) -> Option<String> {
        self.resources.holds.reason(tenant, campaign)
    }

    /// Works until [`Engine::stop`].
    pub fn start(self: &Arc<Self>) {
        self.tasks.spawn(self.clone().claim_forever());
        self.tasks.spawn(self.clone().work_forever());
        self.tasks.spawn(self.clone().renew_forever());
        self.tasks.spawn(self.clone().purge_forever());
        self.tasks.spawn(self.clone().count_mail_forever());
    }

    /// Begins nothing more, and waits for the turns that have begun. Interrupts external calls, except the handing over of
    /// an e-mail.
    pub async fn stop(&self) {
        self.resources.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.resources.store.unsuspect(&self.worker).await {
            // Then they read alone at the next start.
            tracing::warn!(%error, "what campaigns were reading cannot be noted as harmless");
        }
    }

    /// Claims what is due, as far as there is room; how many campaigns that were.
    pub async fn claim(&self) -> Result<usize, StoreError> {
        Ok(self.claim_for_room().await?.0)
    }

    /// The same, and how long until there may be more to claim.
    async fn claim_for_room(&self) -> Result<(usize, Duration), StoreError> {
        let Settings { workers, max_external_calls, lease, .. } = self.resources.settings;
        // Whoever waits for an external call has given its worker up.
        let external = self.resources.in_external_calls.load(Ordering::Relaxed).min(max_external_calls);
        let room = (CLAIMED_PER_WORKER * workers + external).saturating_sub(self.board.len());
        if room == 0 {
            self.resources.others_wait.store(true, Ordering::Relaxed);
            return Ok((0, LOOK_EVERY));
        }
        let store = &self.resources.store;
        let Claims { claims, next_due } =
            store.claim_due(&self.worker, lease, u32::try_from(room).unwrap_or(u32::MAX)).await?;
        let count = claims.len();
        self.resources.others_wait.store(count == room, Ordering::Relaxed);
        for claim in claims {
            self.board.put(Job::new(claim));
        }
        let now = store.ids().now();
        let wait = next_due.map(|due| Duration::from_micros(due.0.saturating_sub(now.0).unsigned_abs()));
        Ok((count, wait.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)))
    }

    /// Works on one turn, if there is one; false if there is none. For tests that step the engine; `start` does the
    /// same, all the time.
    pub async fn step(self: &Arc<Self>) -> bool {
        self.take_this_turn(self.board.take()).await
    }

    /// The same for one tenant, whoever's turn it is.
    pub async fn step_of(self: &Arc<Self>, tenant: &TenantId) -> bool {
        self.take_this_turn(self.board.take_of(tenant)).await
    }

    async fn take_this_turn(self: &Arc<Self>, job: Option<Job>) -> bool {
        let Some(job) = job else { return false };
        if let Ok(permit) = self.resources.workers.clone().acquire_owned().await {
            self.clone().take_turn(job, permit).await;
        }
        true
    }

    async fn claim_forever(self: Arc<Self>) {
        self.settle_interrupted().await;
        loop {
            let wait = match self.claim_for_room().await {
                Ok((_, wait)) => wait,
                Err(error) => {
                    tracing::error!(%error, "campaigns cannot be claimed");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = self.resources.stop.cancelled() => return,
                () = self.resources.due.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Settles what a crash left in the middle of sending in campaigns that are not running.
    async fn settle_interrupted(&self) {
        let claims = match self.resources.store.claim_interrupted(&self.worker, self.resources.settings.lease).await {
            Ok(claims) => claims,
            Err(error) => return tracing::error!(%error, "interrupted e-mails cannot be looked at"),
        };
        for claim in claims {
            if let Err(error) = steps::settle(&self.resources.store, &self.resources.connectors, &claim).await {
                tracing::error!(tenant = %claim.scope.tenant(), %error, "interrupted e-mails cannot be settled");
            }
            self.release(&claim).await;
        }
    }

    async fn work_forever(self: Arc<Self>) {
        loop {
            // First the job: a permit that waits for one would be missing to a turn that comes back from an external call.
            tokio::select! {
                () = self.resources.stop.cancelled() => return,
                () = self.board.ready() => {}
            }
            let permit = tokio::select! {
                () = self.resources.stop.cancelled() => return,
                permit = self.resources.workers.clone().acquire_owned() => permit,
            };
            let Ok(permit) = permit else { return };
            let Some(job) = self.board.take() else { continue };
            self.tasks.spawn(self.clone().take_turn(job, permit));
        }
    }

    async fn renew_forever(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.resources.stop.cancelled() => return,
                () = tokio::time::sleep(self.resources.settings.lease / 3) => {}
            }
            if let Err(error) = self.resources.store.renew_leases(&self.worker, self.resources.settings.lease).await {
                tracing::warn!(%error, "leases cannot be renewed");
            }
        }
    }

    async fn purge_forever(self: Arc<Self>) {
        loop {
            if let Err(error) = self.resources.store.purge_request_ids().await {
                tracing::warn!(%error, "old request ids cannot be purged");
            }
            loop {
                match self.resources.store.purge_prospects().await {
                    Ok(0) => break,
                    Ok(count) => tracing::info!(count, "prospects.purged"),
                    Err(error) => {
                        tracing::warn!(%error, "deleted prospects cannot be purged");
                        break;
                    }
                }
            }
            let purged = tokio::select! {
                () = self.resources.stop.cancelled() => return,
                purged = self.resources.store.purge_audit(self.resources.settings.audit) => purged,
            };
            if let Err(error) = purged {
                tracing::warn!(%error, "audit logs cannot be purged");
            }
            tokio::select! {
                () = self.resources.stop.cancelled() => return,
                () = tokio::time::sleep(PURGE_EVERY) => {}
            }
        }
    }

    /// Counts the mail that waits, for the operator's metrics.
    async fn count_mail_forever(self: Arc<Self>) {
        loop {
            match self.resources.store.mail_levels().await {
                Ok(levels) => metrics().mail_levels(&levels),
                Err(error) => tracing::warn!(%error, "the mail that waits cannot be counted"),
            }
            tokio::select! {
                () = self.resources.stop.cancelled() => return,
                () = tokio::time::sleep(COUNT_EVERY) => {}
            }
        }
    }

    async fn take_turn(self: Arc<Self>, mut job: Job, permit: OwnedSemaphorePermit) {
        let mut step = job.step.take();
        let verdict = self.work(&job, &mut step, permit).await;
        job.step = step;
        let key = job.key();
        match verdict {
            Verdict::Again if self.resources.others_wait.load(Ordering::Relaxed) => self.release(&job.claim).await,
            Verdict::Again => {
                job.tries = 0;
                self.board.put(job);
            }
            Verdict::Later(wait) => self.come_back(job, wait).await,
            Verdict::Until(time) => {
                self.release_until(&job.claim, Some(time)).await;
                // It may be due before what the next claim waits for.
                self.wake();
            }
            Verdict::LaterHere(wait) => self.keep(job, wait),
            Verdict::Release => {
                self.release(&job.claim).await;
                // It may have been resumed between the look and the release.
                self.wake();
            }
            Verdict::Drop => {}
        }
        self.board.finish(&key);
        if self.board.len() <= self.resources.settings.workers {
            self.resources.room_came();
        }
    }

    /// Gives the campaign back until it is due again, which costs nothing and no worker meanwhile.
    async fn come_back(self: &Arc<Self>, job: Job, wait: Duration) {
        let store = &self.resources.store;
        let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        let due = Some(Timestamp(store.ids().now().0.saturating_add(micros)));
        let release = Release { lease: job.claim.lease.clone(), due, tries: job.tries + 1 };
        match store.scope(&job.claim.scope).write(release).await {
            Ok(()) => self.wake(),
            Err(error) => {
                tracing::warn!(tenant = %job.claim.scope.tenant(), %error, "a lease cannot be released");
                self.keep(job, wait);
            }
        }
    }

    /// Keeps the campaign, whose database cannot be written to, until its next try.
    fn keep(self: &Arc<Self>, mut job: Job, wait: Duration) {
        job.tries += 1;
        let engine = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = engine.resources.stop.cancelled() => {}
                () = tokio::time::sleep(wait) => engine.board.put(job),
                // If that is what it waits for, it is; else it tries a little sooner.
                () = engine.resources.store.room() => engine.board.put(job),
            }
        });
    }

    /// Does one piece of work on the campaign, in the span of its step.
    async fn work(&self, job: &Job, step: &mut Option<(StepId, Span)>, permit: OwnedSemaphorePermit) -> Verdict {
        let mut turn = Turn::new(&self.resources, job, permit);
        let campaign = match turn.begin().await {
            Ok(campaign) => campaign,
            Err(verdict) => return verdict,
        };
        let current = campaign.current_step;
        let (_, span) = match step.take_if(|(of, _)| *of == current) {
            Some(same) => step.insert(same),
            None => step.insert((current, step_span(&job.claim, current))),
        };
        async {
            let result = steps::run(&mut turn, &campaign).await;
            let verdict = turn.end(&campaign, result).await;
            tracing::debug!(?verdict, "turn.ended");
            verdict
        }
        .instrument(span.clone())
        .await
    }

    async fn release(&self, claim: &Claim) {
        self.release_until(claim, None).await;
    }

    /// Gives the campaign back, which may be claimed again from then on; None: now.
    async fn release_until(&self, claim: &Claim, due: Option<Timestamp>) {
        self.resources.holds.clear(claim.scope.tenant(), &claim.lease.campaign);
        let release = Release { lease: claim.lease.clone(), due, tries: 0 };
        if let Err(error) = self.resources.store.scope(&claim.scope).write(release).await {
            // The lease runs out by itself.
            tracing::warn!(tenant = %claim.scope.tenant(), %error, "a lease cannot be released");
        }
    }
}

fn step_span(claim: &Claim, step: StepId) -> Span {
    tracing::info_span!(
        "step",
        otel.name = step.as_str(),
        tenant = %claim.scope.tenant(),
        campaign = %claim.lease.campaign,
        step = step.as_str(),
        status = tracing::field::Empty,
    )
}
