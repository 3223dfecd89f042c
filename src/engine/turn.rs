//! One turn: one bounded piece of work on one campaign, and what follows from how it went.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use url::Url;

use super::board::Job;
use super::resources::Resources;
use crate::connect::{ConnectError, Connectors, Fetched, page};
use crate::crash;
use crate::domain::campaign::{Campaign, CampaignState, StepId, StepStatus};
use crate::domain::clock::Timestamp;
use crate::domain::website::Page;
use crate::metrics::metrics;
use crate::store::{Advance, Lease, MAX_DEATHS, Next, ReadsAlone, Scoped, StoreError, Work};
use crate::tenant::Scope;

/// The turn of a claimed campaign.
pub(super) struct Turn<'a> {
    resources: &'a Resources,
    job: &'a Job,
    /// The permit of a worker; given up while the turn waits for an external call.
    permit: Option<OwnedSemaphorePermit>,
}

/// What is to become of the campaign after the turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It waits for its next turn.
    Again,
    /// Its work failed in passing and is due again after this time.
    Later(Duration),
    /// The same, and that cannot be written down: this process keeps it.
    LaterHere(Duration),
    /// Nothing to do until a caller acts.
    Release,
    /// It waits for a time.
    Until(Timestamp),
    /// Another worker has it.
    Drop,
}

/// Why a piece of work was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A connector said no. `patient`: for as long as it takes; otherwise the step fails after some tries.
    #[error("{error}")]
    Connect { error: ConnectError, patient: bool },
    /// The step cannot be done.
    #[error("{0}")]
    Final(String),
    /// There is nothing to do before that time; `why`, if it is on hold until then.
    #[error("it waits until {until}")]
    Wait { until: Timestamp, why: String },
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

/// The longest wait between tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

// === impl Turn ===

impl<'a> Turn<'a> {
    pub(super) fn new(resources: &'a Resources, job: &'a Job, permit: OwnedSemaphorePermit) -> Self {
        Self { resources, job, permit: Some(permit) }
    }

    /// The claimed campaign if it is to be worked on; else what is to become of it.
    pub(super) async fn begin(&mut self) -> Result<Campaign, Verdict> {
        let campaign = match self.store().campaign(Some(&self.lease().campaign)).await {
            Ok(Some(campaign)) => campaign,
            Ok(None) => return Err(Verdict::Drop),
            Err(error) => return Err(self.failed(None, error.into()).await),
        };
        if campaign.fence != self.lease().fence {
            return Err(Verdict::Drop);
        }
        if campaign.state != CampaignState::Running {
            return Err(Verdict::Release);
        }
        if self.job.claim.suspicion.deaths >= MAX_DEATHS {
            let reason = "reading the website has stopped the server three times: have its pages looked at; resuming the campaign tries once more";
            return Err(self.fail_with(&campaign, |reason| Next::FailSuspect { reason }, reason.to_owned()).await);
        }
        Ok(campaign)
    }

    /// What follows from how the work on the campaign went.
    pub(super) async fn end(mut self, campaign: &Campaign, result: Result<(), StepError>) -> Verdict {
        match result {
            Ok(()) => {
                self.unhold(campaign).await;
                Verdict::Again
            }
            Err(error) => self.failed(Some(campaign), error).await,
        }
    }

    pub(super) fn scope(&self) -> &'a Scope {
        &self.job.claim.scope
    }

    pub(super) fn lease(&self) -> &'a Lease {
        &self.job.claim.lease
    }

    pub(super) fn store(&self) -> Scoped<'a> {
        self.resources.store.scope(&self.job.claim.scope)
    }

    pub(super) fn resources(&self) -> &'a Resources {
        self.resources
    }

    pub(super) fn connectors(&self) -> &'a Connectors {
        &self.resources.connectors
    }

    /// How often the piece of work was tried, this time among them.
    pub(super) fn tries(&self) -> u32 {
        self.job.tries + 1
    }

    /// Whether it is not tried again where it fails in passing.
    pub(super) fn is_last_try(&self) -> bool {
        self.tries() >= self.resources.settings.tries
    }

    /// Moves the campaign on.
    pub(super) async fn advance(
        &self,
        step: StepId,
        work: Work,
        log: Vec<String>,
        next: Next,
    ) -> Result<(), StepError> {
        let boundary = !matches!(next, Next::Stay);
        let ended = match &next {
            Next::Done { status, .. } => Some(*status),
            Next::DoneThenWait { .. } => Some(StepStatus::Completed),
            Next::Fail { .. } | Next::FailSuspect { .. } => Some(StepStatus::Failed),
            _ => None,
        };
        self.store().write(Advance { lease: self.lease().clone(), step, work, log, next }).await?;
        if let Some(status) = ended {
            Span::current().record("status", status.as_str());
            metrics().step(step.as_str(), status.as_str());
        }
        crash::point(if boundary { crash_point(step) } else { "engine.work_done" });
        Ok(())
    }

    /// Makes an external call without keeping anybody from their turn. Interrupted when the server stops or the campaign ends.
    pub(super) async fn external_call<T>(&mut self, call: impl Future<Output = T>) -> Result<T, StepError> {
        self.permit = None;
        let _external = External::begin(self.resources);
        let result = tokio::select! {
            () = self.resources.stop.cancelled() => Err(StepError::Stopping),
            () = self.job.ended.cancelled() => Err(StepError::Store(StoreError::NotRunning)),
            result = async {
                let _turn = self.resources.external_calls.take(self.scope().tenant()).await;
                call.await
            } => Ok(result),
        };
        self.permit = self.resources.workers.clone().acquire_owned().await.ok();
        result
    }

    /// Has an e-mail handed over without keeping anybody from their turn. It is not interrupted: what was said to a mail server cannot
    /// be taken back.
    pub(super) async fn handing_over<T>(&mut self, call: impl Future<Output = T>) -> T {
        self.permit = None;
        let external = External::begin(self.resources);
        let handed = {
            let _turn = self.resources.external_calls.take(self.scope().tenant()).await;
            call.await
        };
        drop(external);
        self.permit = self.resources.workers.clone().acquire_owned().await.ok();
        handed
    }

    /// Has a page fetched and read, alone if it must be (`engine::reading`). Interrupted when the campaign ends.
    pub(super) async fn read_page(&mut self, url: &Url) -> Result<Result<(Fetched, Page), ConnectError>, StepError> {
        let alone = self.job.claim.suspicion.reads_alone;
        let fetch = self.connectors().fetch.clone();
        let (resources, ended) = (self.resources, self.job.ended.clone());
        let lease = self.lease().clone();
        let store = self.store();
        self.external_call(async {
            if !alone {
                let mut fetched = match fetch.fetch(url).await {
                    Ok(fetched) => fetched,
                    Err(error) => return Ok(Err(error)),
                };
                let _right = resources.reading.right(false).await;
                return Ok(Ok(read(&mut fetched, ended).await.map(|page| (fetched, page))?));
            }
            let _right = resources.reading.right(true).await;
            store.write(ReadsAlone { lease: lease.clone(), begins: true }).await?;
            let read = match fetch.fetch(url).await {
                Ok(mut fetched) => read(&mut fetched, ended).await.map(|page| Ok((fetched, page))),
                Err(error) => Ok(Err(error)),
            };
            store.write(ReadsAlone { lease, begins: false }).await?;
            read
        })
        .await?
    }

    async fn failed(&mut self, campaign: Option<&Campaign>, error: StepError) -> Verdict {
        match error {
            StepError::Stopping => Verdict::Drop,
            StepError::Wait { until, why } => {
                match campaign {
                    Some(campaign) if why.is_empty() => self.unhold(campaign).await,
                    _ => self.say_held(campaign, &why).await,
                }
                Verdict::Until(until)
            }
            StepError::Store(StoreError::StaleLease) => Verdict::Drop,
            StepError::Store(StoreError::NotRunning) => Verdict::Release,
            StepError::Store(StoreError::Closed) => Verdict::Drop,
            // Another campaign has chosen some of them since this one looked: it looks again.
            StepError::Store(StoreError::ProspectsTaken(_)) => Verdict::Again,
            StepError::Store(error) if error.is_passing() => {
                tracing::warn!(tenant = %self.scope().tenant(), campaign = %self.lease().campaign, %error, "a campaign is on hold");
                let reason =
                    if matches!(error, StoreError::DiskFull) { "the disk is full" } else { "the store is busy" };
                self.resources.holds.set(self.scope().tenant(), &self.lease().campaign, reason);
                Verdict::LaterHere(self.wait())
            }
            StepError::Store(error) => {
                tracing::error!(tenant = %self.scope().tenant(), campaign = %self.lease().campaign, %error, "a step failed");
                self.fail(campaign, "an internal error; see the server's log".to_owned()).await
            }
            StepError::Connect {
                error: ConnectError::Passing(reason) | ConnectError::Unclear(reason),
                patient: true,
            } => self.hold(campaign, &reason).await,
            StepError::Connect {
                error: ConnectError::Passing(reason) | ConnectError::Unclear(reason),
                patient: false,
            } => {
                if self.is_last_try() {
                    return self.fail(campaign, format!("{reason} (tried {} times)", self.tries())).await;
                }
                self.note(campaign, format!("{reason}; trying again")).await;
                Verdict::Later(self.wait())
            }
            StepError::Connect { error: ConnectError::Final(reason), .. } | StepError::Final(reason) => {
                self.fail(campaign, reason).await
            }
        }
    }

    /// The campaign says why it stands still, until its work goes well.
    async fn hold(&self, campaign: Option<&Campaign>, reason: &str) -> Verdict {
        self.say_held(campaign, reason).await;
        Verdict::Later(self.wait())
    }

    async fn say_held(&self, campaign: Option<&Campaign>, reason: &str) {
        if let Some(campaign) = campaign
            && campaign.hold.as_ref().is_none_or(|hold| hold.reason != reason)
        {
            let work = Work::Hold { reason: reason.to_owned() };
            let _ = self.advance(campaign.current_step, work, Vec::new(), Next::Stay).await;
        }
    }

    /// After a turn that went well.
    async fn unhold(&self, campaign: &Campaign) {
        self.resources.holds.clear(self.scope().tenant(), &self.lease().campaign);
        if campaign.hold.is_some() {
            let work = Work::Hold { reason: String::new() };
            // Where the campaign has moved on meanwhile, its next events say so.
            let _ = self.advance(campaign.current_step, work, Vec::new(), Next::Stay).await;
        }
    }

    async fn fail(&self, campaign: Option<&Campaign>, reason: String) -> Verdict {
        let Some(campaign) = campaign else { return Verdict::Later(self.wait()) };
        self.fail_with(campaign, |reason| Next::Fail { reason }, reason).await
    }

    async fn fail_with(&self, campaign: &Campaign, next: impl FnOnce(String) -> Next, reason: String) -> Verdict {
        let log = vec![reason.clone()];
        match self.advance(campaign.current_step, Work::None, log, next(reason)).await {
            Ok(()) => Verdict::Release,
            Err(StepError::Store(StoreError::StaleLease | StoreError::Closed)) => Verdict::Drop,
            Err(StepError::Store(StoreError::NotRunning)) => Verdict::Release,
            Err(error) => {
                tracing::error!(tenant = %self.scope().tenant(), campaign = %campaign.id, %error, "a failure cannot be recorded");
                Verdict::Later(self.wait())
            }
        }
    }

    async fn note(&self, campaign: Option<&Campaign>, line: String) {
        if let Some(campaign) = campaign {
            let _ = self.advance(campaign.current_step, Work::None, vec![line], Next::Stay).await;
        }
    }

    fn wait(&self) -> Duration {
        wait_before(self.resources.settings.retry, self.job.tries)
    }
}

/// A turn at an external call, counted until that ends.
struct External<'a>(&'a AtomicUsize);

impl<'a> External<'a> {
    fn begin(resources: &'a Resources) -> Self {
        resources.in_external_calls.fetch_add(1, Ordering::Relaxed);
        // It has given its worker up.
        resources.room_came();
        Self(&resources.in_external_calls)
    }
}

impl Drop for External<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The wait before the next try (exponential backoff): the first one, doubled for each try that failed before, up to the longest.
fn wait_before(first: Duration, tries: u32) -> Duration {
    first.saturating_mul(1 << tries.min(10)).min(LONGEST_WAIT)
}

/// Reads a page on a thread that may be kept for as long as it takes.
async fn read(fetched: &mut Fetched, ended: CancellationToken) -> Result<Page, StepError> {
    let (url, html) = (fetched.url.clone(), std::mem::take(&mut fetched.html));
    let read = tokio::task::spawn_blocking(move || {
        crash::poison(url.as_str());
        page::read_page(&url, &html, &|| ended.is_cancelled())
    });
    read.await.map_err(|_| StepError::Final("the page could not be read".to_owned()))
}

/// The crash point that is passed once the end of the step is on the disk.
fn crash_point(step: StepId) -> &'static str {
    match step {
        StepId::WebsiteAnalysis => "engine.website_analysis.done",
        StepId::SearchStrategy => "engine.search_strategy.done",
        StepId::ProspectSearch => "engine.prospect_search.done",
        StepId::EmailGeneration => "engine.email_generation.done",
        StepId::EmailReview => "engine.email_review.done",
        StepId::EmailSending => "engine.email_sending.done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_the_longest() {
        let waits = [0, 1, 2, 3, 5, 6, 7, 1_000].map(|tries| wait_before(Duration::from_secs(1), tries).as_secs());
        assert_eq!(waits, [1, 2, 4, 8, 32, 60, 60, 60]);
    }
}
