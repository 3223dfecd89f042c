//! What is counted: read by Prometheus on the admin port, and sent to an OpenTelemetry collector where one is named.
//!
//! The number of time series is bounded: methods, codes, steps and outcomes are few, and of the tenants the first hundred
//! have series of their own; the rest share `other`.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{
    BoundCounter, BoundGauge, BoundHistogram, BoundUpDownCounter, Counter, Histogram, Meter, MeterProvider as _,
};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use tonic::Code;

use crate::tenant::TenantId;

/// Everything that is counted.
pub struct Metrics {
    provider: SdkMeterProvider,
    registry: Registry,
    calls: Counter<u64>,
    call_seconds: Histogram<f64>,
    tenant_calls: Counter<u64>,
    tenant_emails: Counter<u64>,
    steps: Counter<u64>,
    mails: Counter<u64>,
    links: Counter<u64>,
    mail: MailGauges,
    refused_connections: Counter<u64>,
    methods: RwLock<HashMap<String, Method>>,
    tenants: RwLock<HashMap<TenantId, Tenant>>,
    other_tenants: Tenant,
    open_streams: BoundUpDownCounter<i64>,
    commit_writes: BoundHistogram<u64>,
    waiting_writes: BoundUpDownCounter<i64>,
    waiting_campaigns: BoundUpDownCounter<i64>,
    read_cache: Outcomes,
    cache: Outcomes,
    refused_credentials: Counter<u64>,
}

/// The series of a method: found once, since looking one up with its attributes takes longer than counting.
struct Method {
    name: KeyValue,
    seconds: OnceLock<BoundHistogram<f64>>,
    /// By the code's number.
    calls: [OnceLock<BoundCounter<u64>>; CODES],
}

/// Those of a tenant.
struct Tenant {
    calls: BoundCounter<u64>,
    emails: BoundCounter<u64>,
}

/// How much mail waits, over all tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailLevels {
    /// Approved mails of campaigns that run, whenever they may go.
    pub waiting: u32,
    /// Campaigns whose next mail may go now.
    pub due: u32,
    /// Of those the ones that have done nothing for five minutes.
    pub late: u32,
    /// Of what waits the mails of mailboxes that are paused.
    pub held: u32,
    pub paused_mailboxes: u32,
}

struct MailGauges {
    waiting: BoundGauge<u64>,
    due: BoundGauge<u64>,
    late: BoundGauge<u64>,
    held: BoundGauge<u64>,
    paused_mailboxes: BoundGauge<u64>,
}

/// Those of a cache.
struct Outcomes {
    hits: BoundCounter<u64>,
    misses: BoundCounter<u64>,
    refused: BoundCounter<u64>,
    unavailable: BoundCounter<u64>,
}

/// What came of a cache operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    Hit,
    Miss,
    /// Redis has answered with an error.
    Refused,
    Unavailable,
}

/// The status codes of gRPC.
const CODES: usize = 17;

/// The tenants that have series of their own.
const TENANTS: usize = 100;

static METRICS: OnceLock<Metrics> = OnceLock::new();

/// Says what the allocator has given out, in bytes; the allocator is the program's, not the library's.
static ALLOCATED: OnceLock<fn() -> u64> = OnceLock::new();

/// Has that measured; before anything is counted.
pub fn allocated_by(read: fn() -> u64) {
    // A second one would say the same.
    let _ = ALLOCATED.set(read);
}

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
            level.bind(&[])
        };
        if let Some(read) = ALLOCATED.get() {
            let allocated = meter.u64_observable_gauge("herald.allocated_memory").with_unit("By");
            let allocated =
                allocated.with_description("Memory that the program has from its allocator; SQLite has its own");
            allocated.with_callback(|gauge| gauge.observe(read(), &[])).build();
        }
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
        let tenant_calls = counter("herald.tenant_calls", "Calls by tenant; the first hundred, then other");
        let tenant_emails = counter("herald.tenant_emails", "E-mails sent by tenant; the first hundred, then other");
        let read_cache =
            counter("herald.read_cache", "Reads whose answer was kept (hit), and those whose was not (miss)");
        let cache = counter(
            "herald.cache_operations",
            "Reads of the tenants' caches that hit or missed, and operations that Redis did not answer",
        );
        Self {
            calls: counter("herald.calls", "Calls that have ended, by method and status code"),
            call_seconds: call_seconds.build(),
            steps: counter("herald.steps", "Steps of campaigns that have ended, by how"),
            mails: counter(
                "herald.mails",
                "Mails that were handed over, by what became of them and where the talk ended",
            ),
            links: counter(
                "herald.unsubscribe_links",
                "Requests of the pages by which readers unsubscribe, by method and HTTP status",
            ),
            mail: MailGauges::new(&meter),
            refused_connections: counter(
                "herald.refused_connections",
                "Connections that had no place, or took one from another that had sent nothing, by why",
            ),
            methods: RwLock::default(),
            tenants: RwLock::default(),
            other_tenants: Tenant::new("other", &tenant_calls, &tenant_emails),
            tenant_calls,
            tenant_emails,
            open_streams: level("herald.open_streams", "Watch streams that are open"),
            commit_writes: commit_writes.build().bind(&[]),
            waiting_writes: level("herald.waiting_writes", "Writes that wait for their commit"),
            waiting_campaigns: level("herald.waiting_campaigns", "Claimed campaigns that wait for their turn"),
            read_cache: Outcomes::new(&read_cache),
            cache: Outcomes::new(&cache),
            refused_credentials: counter("herald.refused_credentials", "Credentials that were refused, by the cause"),
            provider,
            registry,
        }
    }

    /// A call has ended. `method`: one that there is, or `unknown`. `took`: unless it was a stream.
    pub fn call(&self, method: &str, code: Code, took: Option<Duration>) {
        let methods = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(method) = methods.get(method) {
            return method.count(self, code, took);
        }
        drop(methods);
        let mut methods = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        methods.entry(method.to_owned()).or_insert_with(|| Method::new(method)).count(self, code, took);
    }

    /// A tenant has called.
    pub fn tenant_call(&self, tenant: &TenantId) {
        self.of_tenant(tenant, |tenant| tenant.calls.add(1));
    }

    /// An e-mail of a tenant was sent.
    pub fn tenant_email(&self, tenant: &TenantId) {
        self.of_tenant(tenant, |tenant| tenant.emails.add(1));
    }

    fn of_tenant(&self, tenant: &TenantId, count: impl Fn(&Tenant)) {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let shared = (tenants.len() >= TENANTS).then_some(&self.other_tenants);
        if let Some(series) = tenants.get(tenant).or(shared) {
            return count(series);
        }
        drop(tenants);
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() < TENANTS {
            let new = || Tenant::new(tenant.as_str(), &self.tenant_calls, &self.tenant_emails);
            tenants.entry(tenant.clone()).or_insert_with(new);
        }
        drop(tenants);
        self.of_tenant(tenant, count);
    }

    /// A watch stream was opened (1) or has ended (-1).
    pub fn stream(&self, change: i64) {
        self.open_streams.add(change);
    }

    /// A connection had no place, or another's.
    pub fn refused_connection(&self, why: &'static str) {
        self.refused_connections.add(1, &[KeyValue::new("why", why)]);
    }

    /// Credentials were refused; the causes are few and fixed.
    pub fn refused_credentials(&self, cause: &'static str) {
        self.refused_credentials.add(1, &[KeyValue::new("cause", cause)]);
    }

    /// A step of a campaign has ended.
    pub fn step(&self, step: &'static str, status: &'static str) {
        self.steps.add(1, &[KeyValue::new("step", step), KeyValue::new("status", status)]);
    }

    /// A mail was handed over. `stage`: where the talk with its server ended, or `none`.
    pub fn mail(&self, outcome: &'static str, stage: &'static str) {
        self.mails.add(1, &[KeyValue::new("outcome", outcome), KeyValue::new("stage", stage)]);
    }

    /// How much mail waits now.
    pub fn mail_levels(&self, levels: &MailLevels) {
        let MailLevels { waiting, due, late, held, paused_mailboxes } = *levels;
        self.mail.waiting.record(waiting.into());
        self.mail.due.record(due.into());
        self.mail.late.record(late.into());
        self.mail.held.record(held.into());
        self.mail.paused_mailboxes.record(paused_mailboxes.into());
    }

    /// Somebody has come by a link that letters have. `method`: one of few.
    pub fn link(&self, method: &'static str, code: u16) {
        self.links.add(1, &[KeyValue::new("method", method), KeyValue::new("code", i64::from(code))]);
    }

    /// So many more writes wait for their commit.
    pub fn waiting_writes(&self, change: i64) {
        self.waiting_writes.add(change);
    }

    /// A commit took so many writes.
    pub fn commit(&self, writes: usize) {
        self.commit_writes.record(writes as u64);
    }

    /// So many more claimed campaigns wait for their turn.
    pub fn waiting_campaigns(&self, change: i64) {
        self.waiting_campaigns.add(change);
    }

    /// A read whose answers are kept has found one, or none.
    pub fn read_cache(&self, outcome: CacheOutcome) {
        self.read_cache.of(outcome).add(1);
    }

    pub fn cache(&self, outcome: CacheOutcome, count: usize) {
        self.cache.of(outcome).add(count as u64);
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

// === impl Method ===

impl Method {
    fn new(name: &str) -> Self {
        let name = KeyValue::new("method", name.to_owned());
        Self { name, seconds: OnceLock::new(), calls: [const { OnceLock::new() }; CODES] }
    }

    fn count(&self, metrics: &Metrics, code: Code, took: Option<Duration>) {
        if let Some(took) = took {
            let seconds = || metrics.call_seconds.bind(std::slice::from_ref(&self.name));
            self.seconds.get_or_init(seconds).record(took.as_secs_f64());
        }
        if let Some(calls) = self.calls.get(code as usize) {
            let bound = || metrics.calls.bind(&[self.name.clone(), KeyValue::new("code", code_name(code))]);
            calls.get_or_init(bound).add(1);
        }
    }
}

// === impl Tenant ===

impl Tenant {
    fn new(name: &str, calls: &Counter<u64>, emails: &Counter<u64>) -> Self {
        let name = [KeyValue::new("tenant", name.to_owned())];
        Self { calls: calls.bind(&name), emails: emails.bind(&name) }
    }
}

// === impl MailGauges ===

impl MailGauges {
    fn new(meter: &Meter) -> Self {
        let gauge = |name, help| meter.u64_gauge(name).with_description(help).build().bind(&[]);
        Self {
            waiting: gauge("herald.waiting_mails", "Approved mails of running campaigns, whenever they may go"),
            due: gauge("herald.due_mails", "Running campaigns whose next mail may go now"),
            late: gauge(
                "herald.late_mails",
                "Those whose next mail may go and that have done nothing for five minutes",
            ),
            held: gauge("herald.held_mails", "Approved mails of running campaigns whose mailbox is paused"),
            paused_mailboxes: gauge("herald.paused_mailboxes", "Mailboxes that are paused"),
        }
    }
}

// === impl Outcomes ===

impl Outcomes {
    fn new(counter: &Counter<u64>) -> Self {
        let bound = |outcome| counter.bind(&[KeyValue::new("outcome", outcome)]);
        Self { hits: bound("hit"), misses: bound("miss"), refused: bound("refused"), unavailable: bound("unavailable") }
    }

    fn of(&self, outcome: CacheOutcome) -> &BoundCounter<u64> {
        match outcome {
            CacheOutcome::Hit => &self.hits,
            CacheOutcome::Miss => &self.misses,
            CacheOutcome::Refused => &self.refused,
            CacheOutcome::Unavailable => &self.unavailable,
        }
    }
}

/// A code, as the gRPC specification writes it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
