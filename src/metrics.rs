//! What is counted: read by Prometheus on the admin port, and sent to an OpenTelemetry collector where one is named.
//!
//! The number of time series is bounded: methods, codes, steps and outcomes are few, and of the tenants the first hundred
//! have series of their own; the rest share `other`.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, MeterProvider as _, UpDownCounter};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use crate::tenant::TenantId;

/// Everything that is counted.
pub struct Metrics {
    provider: SdkMeterProvider,
    registry: Registry,
    tenants: Mutex<HashSet<TenantId>>,
    calls: Counter<u64>,
    call_seconds: Histogram<f64>,
    tenant_calls: Counter<u64>,
    tenant_emails: Counter<u64>,
    open_streams: UpDownCounter<i64>,
    steps: Counter<u64>,
    commit_writes: Histogram<u64>,
    waiting_writes: UpDownCounter<i64>,
    waiting_campaigns: UpDownCounter<i64>,
    read_cache: Counter<u64>,
    cache: Counter<u64>,
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

static METRICS: OnceLock<Metrics> = OnceLock::new();

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    METRICS.get_or_init(|| Metrics::new(None))
}

/// Has the metrics sent to a collector too; before anything is counted. Inside a runtime.
pub fn send_to(exporter: MetricExporter, resource: Resource) {
    // Already counting, in another test of the same process: that goes on.
    METRICS.get_or_init(|| Metrics::new(Some((exporter, resource))));
}

// === impl Metrics ===

impl Metrics {
    fn new(collector: Option<(MetricExporter, Resource)>) -> Self {
        let registry = Registry::new();
        let mut provider = SdkMeterProvider::builder();
        let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        match reader.without_target_info().scope_info_enabled(false).build() {
            Ok(reader) => provider = provider.with_reader(reader),
            Err(error) => tracing::error!(%error, "there are no metrics for Prometheus"),
        }
        if let Some((exporter, resource)) = collector {
            provider = provider.with_periodic_exporter(exporter).with_resource(resource);
        }
        let provider = provider.build();
        let meter = provider.meter("herald");
        let counter = |name, help| meter.u64_counter(name).with_description(help).build();
        let level = |name, help| {
            let level = meter.i64_up_down_counter(name).with_description(help).build();
            level.add(0, &[]);
            level
        };
        let call_seconds = meter
            .f64_histogram("herald.call.duration")
            .with_unit("s")
            .with_description("How long unary calls took, from the request's headers to the response's end")
            // 0.25 ms to 8 s.
            .with_boundaries((0..16).map(|n| 0.000_25 * f64::from(1 << n)).collect());
        let commit_writes = meter
            .u64_histogram("herald.commit_writes")
            .with_description("Writes that one commit took")
            .with_boundaries((0..9).map(|n| f64::from(1 << n)).collect());
        Self {
            tenants: Mutex::default(),
            calls: counter("herald.calls", "Calls that have ended, by method and status code"),
            call_seconds: call_seconds.build(),
            tenant_calls: counter("herald.tenant_calls", "Calls by tenant; the first hundred, then other"),
            tenant_emails: counter("herald.tenant_emails", "E-mails sent by tenant; the first hundred, then other"),
            open_streams: level("herald.open_streams", "Watch streams that are open"),
            steps: counter("herald.steps", "Steps of campaigns that have ended, by how"),
            commit_writes: commit_writes.build(),
            waiting_writes: level("herald.waiting_writes", "Writes that wait for their commit"),
            waiting_campaigns: level("herald.waiting_campaigns", "Claimed campaigns that wait for their turn"),
            read_cache: counter(
                "herald.read_cache",
                "Reads whose answer was kept (hit), and those whose was not (miss)",
            ),
            cache: counter(
                "herald.cache_operations",
                "Reads of the tenants' caches that hit or missed, and operations that Redis did not answer",
            ),
            provider,
            registry,
        }
    }

    /// A call has ended. `took`: unless it was a stream.
    pub fn call(&self, method: &str, code: &'static str, took: Option<Duration>) {
        let method = KeyValue::new("method", method.to_owned());
        if let Some(took) = took {
            self.call_seconds.record(took.as_secs_f64(), std::slice::from_ref(&method));
        }
        self.calls.add(1, &[method, KeyValue::new("code", code)]);
    }

    /// A tenant has called.
    pub fn tenant_call(&self, tenant: &TenantId) {
        self.tenant_calls.add(1, &[self.tenant(tenant)]);
    }

    /// An e-mail of a tenant was sent.
    pub fn tenant_email(&self, tenant: &TenantId) {
        self.tenant_emails.add(1, &[self.tenant(tenant)]);
    }

    fn tenant(&self, tenant: &TenantId) -> KeyValue {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let own = tenants.contains(tenant) || (tenants.len() < TENANTS && tenants.insert(tenant.clone()));
        drop(tenants);
        KeyValue::new("tenant", if own { tenant.as_str() } else { "other" }.to_owned())
    }

    /// A watch stream was opened (1) or has ended (-1).
    pub fn stream(&self, change: i64) {
        self.open_streams.add(change, &[]);
    }

    /// A step of a campaign has ended.
    pub fn step(&self, step: &'static str, status: &'static str) {
        self.steps.add(1, &[KeyValue::new("step", step), KeyValue::new("status", status)]);
    }

    /// So many more writes wait for their commit.
    pub fn waiting_writes(&self, change: i64) {
        self.waiting_writes.add(change, &[]);
    }

    /// A commit took so many writes.
    pub fn commit(&self, writes: usize) {
        self.commit_writes.record(writes as u64, &[]);
    }

    /// So many more claimed campaigns wait for their turn.
    pub fn waiting_campaigns(&self, change: i64) {
        self.waiting_campaigns.add(change, &[]);
    }

    /// A read whose answers are kept has found one, or none.
    pub fn read_cache(&self, outcome: CacheOutcome) {
        self.read_cache.add(1, &[outcome.attribute()]);
    }

    pub fn cache(&self, outcome: CacheOutcome, count: usize) {
        self.cache.add(count as u64, &[outcome.attribute()]);
    }

    /// All of it in Prometheus' text format 0.0.4.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Sends what has not been sent, if it is sent anywhere, and ends the counting. Blocks for some seconds at most.
    pub(crate) fn stop(&self) -> OTelSdkResult {
        self.provider.shutdown()
    }
}

// === impl CacheOutcome ===

impl CacheOutcome {
    fn attribute(self) -> KeyValue {
        let outcome = match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Unavailable => "unavailable",
        };
        KeyValue::new("outcome", outcome)
    }
}
