//! Logs: to standard error, so that standard output stays for what a command answers.
//!
//! Spans name the tenant that they work for. With `debug_tenants`, those tenants' lines are logged in detail, and nobody
//! else's.

use std::collections::HashSet;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt as log};

use crate::config::{Config, LogFormat};

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

/// Starts logging as the settings say; the error names what is wrong with the filter.
pub fn start(config: &Config) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| format!("the setting `log`: {error}"))?;
    let detail = Detail { filter, tenants: config.debug_tenants.iter().cloned().collect() };
    let lines = log::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Pretty => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_ansi(ansi).with_filter(detail).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_filter(detail).boxed(),
    };
    // Already started by another test of the same process: that one serves.
    let _ = tracing_subscriber::registry().with(lines).try_init();
    Ok(())
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
