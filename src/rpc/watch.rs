//! The stream of WatchWorkflow.
//!
//! It pulls: the next events are read only when the client has taken the last ones, so a slow client costs nothing. It
//! ends with OK once the campaign has ended and everything was told, and with UNAVAILABLE at its age, at the
//! credential's expiry, or when the server stops; the client then goes on from its last number. When nothing happens it says that it
//! is alive, since a dead connection looks like a quiet campaign.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::convert;
use crate::domain::clock::Timestamp;
use crate::domain::event::Event;
use crate::domain::id::CampaignId;
use crate::pb;
use crate::pb::watch_workflow_response::Update;
use crate::status;
use crate::store::{Feed, Store};
use crate::tenant::Scope;

/// What a watcher is sent.
pub(super) type Updates = Pin<Box<dyn Stream<Item = Result<pb::WatchWorkflowResponse, Status>> + Send>>;

/// How long the streams of a server last.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    pub longest: Duration,
    /// After so much silence a stream tells that it is alive.
    pub heartbeat: Duration,
}

/// When a stream ends, whatever happens, and after how much silence it tells that it has not.
pub(super) struct Limits {
    stop: CancellationToken,
    end: Instant,
    heartbeat: Duration,
}

/// What a stream waits for.
enum Next {
    Events,
    Silence,
    Over,
}

struct Watch {
    store: Arc<Store>,
    scope: Scope,
    campaign: CampaignId,
    snapshot: Option<pb::Campaign>,
    feed: Feed,
    pending: VecDeque<Arc<Event>>,
    /// The number of the last event told.
    told: i64,
    /// Whether the campaign may have ended with what was told.
    may_be_over: bool,
    limits: Limits,
    over: bool,
}

// === impl Limits ===

impl Limits {
    /// Not past the credential's `expiry`.
    pub(super) fn new(stop: CancellationToken, streams: Streams, expiry: Option<Timestamp>, now: Timestamp) -> Self {
        let Streams { longest, heartbeat } = streams;
        let left = expiry.map(|expiry| Duration::from_micros(u64::try_from(expiry.0 - now.0).unwrap_or(0)));
        Self { stop, end: Instant::now() + left.unwrap_or(longest).min(longest), heartbeat }
    }
}

/// The snapshot, if there is one, and the events after number `after`.
pub(super) fn updates(
    store: Arc<Store>,
    scope: Scope,
    campaign: CampaignId,
    snapshot: Option<pb::Campaign>,
    after: i64,
    limits: Limits,
) -> Updates {
    let feed = Feed::open(store.clone(), scope.clone(), campaign.clone(), after);
    let watch = Watch {
        store,
        scope,
        campaign,
        snapshot,
        feed,
        pending: VecDeque::new(),
        told: after,
        may_be_over: true,
        limits,
        over: false,
    };
    Box::pin(stream::unfold(watch, |mut watch| async move { watch.next().await.map(|item| (item, watch)) }))
}

// === impl Watch ===

impl Watch {
    async fn next(&mut self) -> Option<Result<pb::WatchWorkflowResponse, Status>> {
        if self.over {
            return None;
        }
        if let Some(snapshot) = self.snapshot.take() {
            return Some(Ok(pb::WatchWorkflowResponse { update: Some(Update::Snapshot(snapshot)) }));
        }
        if self.pending.is_empty() {
            match self.refill().await {
                Ok(Next::Events) => {}
                Ok(Next::Silence) => {
                    let heartbeat = Some(Update::Heartbeat(pb::Heartbeat {}));
                    return Some(Ok(pb::WatchWorkflowResponse { update: heartbeat }));
                }
                Ok(Next::Over) => return None,
                Err(status) => {
                    self.over = true;
                    return Some(Err(status));
                }
            }
        }
        let event = self.pending.pop_front()?;
        self.told = event.seq;
        if !event.kind.may_follow_the_end() {
            self.may_be_over = event.kind.ends_campaign();
        }
        Some(Ok(pb::WatchWorkflowResponse { update: Some(Update::Event(convert::campaign::event(&event))) }))
    }

    /// Waits for the next events.
    async fn refill(&mut self) -> Result<Next, Status> {
        if self.may_be_over && self.is_over().await? {
            return Ok(Next::Over);
        }
        tokio::select! {
            biased;
            () = self.limits.stop.cancelled() => Err(status::shutting_down()),
            () = tokio::time::sleep_until(self.limits.end) => Err(status::stream_expired()),
            events = self.feed.next() => {
                self.pending = events?.into();
                Ok(Next::Events)
            }
            () = tokio::time::sleep(self.limits.heartbeat) => Ok(Next::Silence),
        }
    }

    async fn is_over(&self) -> Result<bool, Status> {
        let campaign = self.store.scope(&self.scope).campaign(Some(&self.campaign)).await?;
        Ok(campaign.is_none_or(|c| !c.state.is_live() && c.seq <= self.told))
    }
}
