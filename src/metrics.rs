//! What is counted, for Prometheus: one registry of the process, read on the admin port.
//!
//! The number of time series is bounded: methods, codes, steps and outcomes are few, and of the tenants the first hundred
//! have series of their own; the rest share `other`.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::tenant::TenantId;

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    calls: Family<Call, Counter>,
    call_seconds: Family<Method, Histogram>,
    tenant_calls: Family<Tenant, Counter>,
    tenants: Mutex<HashSet<TenantId>>,
    pub open_streams: Gauge,
    steps: Family<Step, Counter>,
    pub commit_writes: Histogram,
    pub waiting_writes: Gauge,
    pub waiting_campaigns: Gauge,
    cache: Family<Outcome, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    method: String,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    method: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tenant {
    tenant: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// What came of a cache operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    Hit,
    Miss,
    Unavailable,
}

/// The tenants that have series of their own.
const TENANTS: usize = 100;

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::new)
}

// === impl Metrics ===

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("herald");
        // 0.25 ms to 8 s.
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let call_seconds = Family::new_with_constructor(seconds as fn() -> Histogram);
        let metrics = Self {
            calls: Family::default(),
            call_seconds,
            tenant_calls: Family::default(),
            tenants: Mutex::default(),
            open_streams: Gauge::default(),
            steps: Family::default(),
            commit_writes: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            waiting_writes: Gauge::default(),
            waiting_campaigns: Gauge::default(),
            cache: Family::default(),
            registry: Registry::default(),
        };
        registry.register("calls", "Calls that have ended, by method and status code", metrics.calls.clone());
        registry.register_with_unit(
            "call_duration",
            "How long unary calls took, from the request's headers to the response's end",
            Unit::Seconds,
            metrics.call_seconds.clone(),
        );
        registry.register(
            "tenant_calls",
            "Calls by tenant; the first hundred, then other",
            metrics.tenant_calls.clone(),
        );
        registry.register("open_streams", "Watch streams that are open", metrics.open_streams.clone());
        registry.register("steps", "Steps of campaigns that have ended, by how", metrics.steps.clone());
        registry.register("commit_writes", "Writes that one commit took", metrics.commit_writes.clone());
        registry.register("waiting_writes", "Writes that wait for their commit", metrics.waiting_writes.clone());
        registry.register(
            "waiting_campaigns",
            "Claimed campaigns that wait for their turn",
            metrics.waiting_campaigns.clone(),
        );
        registry.register("cache_operations", "Reads of the tenants' caches, by outcome", metrics.cache.clone());
        Self { registry, ..metrics }
    }

    /// A call has ended.
    pub fn call(&self, method: &str, code: &'static str, took: Option<Duration>) {
        self.calls.get_or_create(&Call { method: method.to_owned(), code }).inc();
        if let Some(took) = took {
            self.call_seconds.get_or_create(&Method { method: method.to_owned() }).observe(took.as_secs_f64());
        }
    }

    /// A tenant has called.
    pub fn tenant(&self, tenant: &TenantId) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let own = tenants.contains(tenant) || (tenants.len() < TENANTS && tenants.insert(tenant.clone()));
        drop(tenants);
        let tenant = if own { tenant.as_str() } else { "other" }.to_owned();
        self.tenant_calls.get_or_create(&Tenant { tenant }).inc();
    }

    /// A step of a campaign has ended.
    pub fn step(&self, step: &'static str, status: &'static str) {
        self.steps.get_or_create(&Step { step, status }).inc();
    }

    pub fn cache(&self, outcome: CacheOutcome, count: usize) {
        let outcome = match outcome {
            CacheOutcome::Hit => "hit",
            CacheOutcome::Miss => "miss",
            CacheOutcome::Unavailable => "unavailable",
        };
        self.cache.get_or_create(&Outcome { outcome }).inc_by(count as u64);
    }

    /// All of it, as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
