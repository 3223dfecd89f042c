//! Logs, traces and the sending of metrics.
//!
//! Logs go to standard error, so that standard output stays for what a command answers. Spans name the tenant that they
//! work for. With `debug_tenants`, those tenants' lines are logged in detail, and nobody else's.
//!
//! Traces and metrics go to an OpenTelemetry collector if `OTEL_EXPORTER_OTLP_ENDPOINT` names one; the exporters read that
//! and the other variables of the OpenTelemetry specification themselves. The trace of a caller (W3C Trace Context) goes on
//! here, and in the calls that [`crate::client`] stamps.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::field::{Empty, Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt as log};

use crate::config::{Config, LogFormat};
use crate::domain::clock::Random;
use crate::metrics::{self, metrics};
use crate::tenant::TenantId;
use crate::terminal::{self, LogForm};

/// What the filter lets through, and besides it the detail of some tenants.
struct Detail {
    filter: EnvFilter,
    tenants: HashSet<String>,
}

/// On a span of a tenant whose detail is wanted.
struct Wanted;

/// Finds the field `tenant`.
#[derive(Default)]
struct TenantField(String);

/// Sends the last traces and metrics when it is told to stop.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    sends_metrics: bool,
}

/// The headers of a request, as the propagator reads and writes them.
struct Headers<'a>(&'a HeaderMap);
struct HeadersMut<'a>(&'a mut HeaderMap);

/// The id of one call: in its span and its lines, and in the answer's `x-request-id`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CallId(u64);

/// Makes the ids of calls: no two of a process are alike.
pub struct CallIds {
    seed: u64,
    made: AtomicU64,
}

/// Whether spans are exported.
static TRACED: AtomicBool = AtomicBool::new(false);

/// Where the OpenTelemetry specification has the collector's address: that of everything, and of one kind.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

/// Starts logging, tracing and the sending of metrics as the settings and the environment say; the error names what is wrong. Inside a runtime.
pub fn start(config: &Config) -> Result<Telemetry, String> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| format!("the setting `log`: {error}"))?;
    let detail = Detail { filter, tenants: config.debug_tenants.iter().cloned().collect() };
    let form = match config.log_format {
        LogFormat::Pretty if terminal::has_colours() => LogForm::Colours,
        LogFormat::Pretty => LogForm::Plain,
        LogFormat::Json => LogForm::Json,
    };
    let lines = log::layer().with_writer(move || terminal::log(form)).with_ansi(form == LogForm::Colours);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match form {
        LogForm::Json => lines.json().flatten_event(true).with_filter(detail).boxed(),
        // Every call's span has its fields formatted, whether or not there is a line: without colours that is cheap.
        LogForm::Plain => lines.fmt_fields(debug_fn(plain_field).delimited(" ")).with_filter(detail).boxed(),
        LogForm::Colours => lines.with_filter(detail).boxed(),
    };
    let mut layers = vec![lines];
    let (spans, counts) = exporters()?;
    let traces = spans.map(tracer);
    let sends_metrics = counts.is_some();
    if let Some(exporter) = counts {
        metrics::send_to(exporter, resource());
    }
    if let Some(provider) = &traces {
        TRACED.store(true, Ordering::Relaxed);
        // Our own spans; the exporter's calls must not make spans that are exported.
        let ours = filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("herald"));
        layers.push(tracing_opentelemetry::layer().with_tracer(provider.tracer("herald")).with_filter(ours).boxed());
    }
    // Already started by another test of the same process: that one serves.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(Telemetry { traces, sends_metrics })
}

/// A field of a line or a span, as it stands there.
fn plain_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        writer.write_str(field.name())?;
        writer.write_char('=')?;
    }
    write!(writer, "{value:?}")
}

/// What sends to the collectors that the environment names; the error says what it has wrong. Inside a runtime.
pub fn exporters() -> Result<(Option<SpanExporter>, Option<MetricExporter>), String> {
    let wanted = |endpoint| address(endpoint).is_some();
    let spans = wanted(TRACES_ENDPOINT).then(|| SpanExporter::builder().with_tonic().build()).transpose();
    let counts = wanted(METRICS_ENDPOINT).then(|| MetricExporter::builder().with_tonic().build()).transpose();
    let spans = spans.map_err(|error| format!("{TRACES_ENDPOINT}: {error}"))?;
    Ok((spans, counts.map_err(|error| format!("{METRICS_ENDPOINT}: {error}"))?))
}

/// The variables that name collectors, with their addresses, each address once.
pub fn collectors() -> Vec<(&'static str, String)> {
    let mut found: Vec<_> = [TRACES_ENDPOINT, METRICS_ENDPOINT].iter().filter_map(|name| address(name)).collect();
    found.dedup();
    found
}

/// The collector that the environment names for this kind, and the variable that does.
fn address(endpoint: &'static str) -> Option<(&'static str, String)> {
    let named =
        |name: &'static str| std::env::var(name).ok().filter(|address| !address.is_empty()).map(|it| (name, it));
    named(endpoint).or_else(|| named(ENDPOINT))
}

fn tracer(exporter: SpanExporter) -> SdkTracerProvider {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build()
}

/// What the spans and metrics are of: `herald`, unless the environment has another name for it.
fn resource() -> Resource {
    let named = Resource::builder().build().get(&Key::from_static_str("service.name"));
    let named = named.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("HERALD_VERSION")));
    if named { resource } else { resource.with_service_name("herald") }.build()
}

/// The span of a tenant's call, in the trace that the headers name, if they do.
pub(crate) fn call_span(path: &str, tenant: &TenantId, id: CallId, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "rpc",
        rpc.method = %path,
        tenant = %tenant,
        request_id = %id,
        otel.name = Empty,
        otel.kind = Empty,
        status = Empty,
    );
    // The log formats every value at once, so those of the exporter are given where there is one.
    if TRACED.load(Ordering::Relaxed) {
        span.record("otel.name", path.trim_start_matches('/'));
        span.record("otel.kind", "server");
        let context =
            opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
        // An error means that the span is not wanted.
        let _ = span.set_parent(context);
    }
    span
}

/// The call has ended so.
pub fn end_call(span: &Span, status: &'static str) {
    if TRACED.load(Ordering::Relaxed) {
        // A span ends where it was last entered.
        span.in_scope(|| span.record("status", status));
    }
}

/// Names the trace that we are in, if there is one, in the headers of a call.
pub fn pass_on(headers: &mut HeaderMap) {
    let context = Span::current().context();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeadersMut(headers));
    });
}

// === impl CallIds ===

impl CallIds {
    pub fn new(random: &dyn Random) -> Self {
        let mut seed = [0; 8];
        random.fill(&mut seed);
        Self { seed: u64::from_le_bytes(seed), made: AtomicU64::new(0) }
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), a bijection of the count.
    pub fn next(&self) -> CallId {
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        let mut z = self.seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        CallId(z ^ (z >> 31))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).map_err(|_| fmt::Error)?)
    }
}

impl CallId {
    /// As a header has it: one that no connection's table of headers keeps (RFC 7541, 7.1.3), since it never comes again.
    pub fn header(self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_bytes(&self.digits()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn digits(self) -> [u8; 16] {
        std::array::from_fn(|n| b"0123456789abcdef"[usize::try_from(self.0 >> (60 - 4 * n) & 0xf).unwrap_or(0)])
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// Sends what has not been sent. Blocks for some seconds at most.
    pub fn stop(self) {
        if let Some(Err(error)) = self.traces.map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
        if self.sends_metrics
            && let Err(error) = metrics().stop()
        {
            tracing::warn!(%error, "the last metrics could not be sent");
        }
    }
}

// === impl Headers ===

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

// === impl Detail ===

impl Detail {
    /// Whether a line of this kind may be the detail of some tenant.
    fn may_be_detail(&self, metadata: &Metadata<'_>) -> bool {
        !self.tenants.is_empty() && metadata.target().starts_with("herald") && *metadata.level() <= Level::DEBUG
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for Detail {
    fn enabled(&self, metadata: &Metadata<'_>, cx: &Context<'_, S>) -> bool {
        Filter::<S>::enabled(&self.filter, metadata, cx) || self.may_be_detail(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.may_be_detail(metadata) {
            Interest::sometimes()
        } else {
            Filter::<S>::callsite_enabled(&self.filter, metadata)
        }
    }

    fn event_enabled(&self, event: &Event<'_>, cx: &Context<'_, S>) -> bool {
        if Filter::<S>::enabled(&self.filter, event.metadata(), cx) {
            return true;
        }
        let mut scope = cx.event_scope(event).into_iter().flatten();
        scope.any(|span| span.extensions().get::<Wanted>().is_some())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let hint = Filter::<S>::max_level_hint(&self.filter);
        if self.tenants.is_empty() { hint } else { hint.map(|level| level.max(LevelFilter::DEBUG)) }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let mut tenant = TenantField::default();
        attributes.record(&mut tenant);
        if self.tenants.contains(&tenant.0)
            && let Some(span) = cx.span(id)
        {
            span.extensions_mut().replace(Wanted);
        }
        self.filter.on_new_span(attributes, id, cx);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        self.filter.on_record(id, values, cx);
    }

    fn on_enter(&self, id: &Id, cx: Context<'_, S>) {
        self.filter.on_enter(id, cx);
    }

    fn on_exit(&self, id: &Id, cx: Context<'_, S>) {
        self.filter.on_exit(id, cx);
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        self.filter.on_close(id, cx);
    }
}

// === impl TenantField ===

impl Visit for TenantField {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "tenant" {
            self.0 = format!("{value:?}");
        }
    }
}
