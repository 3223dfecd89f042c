//! Traces and metrics, received by a collector: the spans of calls and of steps with their tenant, in the trace of the
//! caller, and what is counted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use herald::pb::{self, CampaignState};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;
use tracing::instrument::WithSubscriber as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::process::serve;
use crate::support::{add_prospects, auto_approve, folder, loopback, reaches, site, start_campaign};

/// Keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    /// What was sent last.
    metrics: Arc<Mutex<Vec<Metric>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.lock().expect("no panic").extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        *self.metrics.lock().expect("no panic") = scopes.flat_map(|scope| scope.metrics).collect();
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Collector {
    /// Its address.
    async fn listen(&self) -> String {
        let listener = TcpListener::bind(loopback()).await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let receiving = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(MetricsServiceServer::new(self.clone()));
        tokio::spawn(receiving.serve_with_incoming(TcpListenerStream::new(listener)));
        endpoint
    }

    /// The spans that fit, once there are some.
    async fn find(&self, fits: impl Fn(&Span) -> bool) -> Vec<Span> {
        for _ in 0..300 {
            let found: Vec<_> =
                self.spans.lock().expect("no panic").iter().filter(|span| fits(span)).cloned().collect();
            if !found.is_empty() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let names: Vec<_> = self.spans.lock().expect("no panic").iter().map(|span| span.name.clone()).collect();
        panic!("no such span among {names:?}");
    }

    /// The sum of the points of a counter that fit, as last sent.
    fn sum(&self, name: &str, fits: impl Fn(&[KeyValue]) -> bool) -> i64 {
        let metrics = self.metrics.lock().expect("no panic");
        let data = metrics.iter().filter(|metric| metric.name == name).filter_map(|metric| metric.data.as_ref());
        let points = data.flat_map(|data| match data {
            Data::Sum(sum) => sum.data_points.as_slice(),
            _ => &[],
        });
        points
            .filter(|point| fits(&point.attributes))
            .map(|point| match point.value {
                Some(Number::AsInt(n)) => n,
                other => panic!("{other:?}"),
            })
            .sum()
    }
}

fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.clone()).and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        _ => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_steps_are_traced_with_their_tenant_in_the_trace_of_the_caller_and_counted() {
    let collector = Collector::default();
    let endpoint = collector.listen().await;
    let data = folder();
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
    let mut server = serve(data.path(), &env);
    let mut api = server.user("user_a").await;
    let mut call = Request::new(pb::GetAgentConfigRequest {});
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    call.metadata_mut().insert("traceparent", format!("00-{trace}-{parent}-01").parse().expect("ascii"));
    api.agent.get_agent_config(call).await.expect("a configuration");
    let missing = pb::GetProspectRequest { prospect_id: "pr_none".into(), view: 0 };
    api.agent.get_prospect(missing).await.expect_err("there is none");

    let spans = collector.find(|span| span.name == "herald.v1.AgentService/GetAgentConfig").await;
    assert_eq!((hex(&spans[0].trace_id), hex(&spans[0].parent_span_id)), (trace.to_owned(), parent.to_owned()));
    let told = |span: &Span| ["tenant", "rpc.method", "status"].map(|name| attribute(&span.attributes, name));
    assert_eq!(told(&spans[0]), ["user_a", "/herald.v1.AgentService/GetAgentConfig", "OK"]);
    let spans = collector.find(|span| span.name == "herald.v1.AgentService/GetProspect").await;
    assert_eq!(told(&spans[0]), ["user_a", "/herald.v1.AgentService/GetProspect", "NOT_FOUND"]);
    assert_ne!(hex(&spans[0].trace_id), trace);

    let website = site::pages([("/", site::company())]).await;
    add_prospects(&mut api, 2).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, &website).await;
    let watch = pb::WatchWorkflowRequest::default();
    let mut stream = api.workflow.watch_workflow(watch).await.expect("watched").into_inner();
    while stream.message().await.expect("a message").is_some() {}
    reaches(&mut api, CampaignState::Completed).await;
    for step in ["website_analysis", "search_strategy", "prospect_search", "email_generation", "email_sending"] {
        let spans = collector.find(|span| span.name == step).await;
        assert_eq!(spans.len(), 1, "{step}: {spans:?}");
        let told = ["tenant", "step", "status"].map(|name| attribute(&spans[0].attributes, name));
        assert_eq!(told, ["user_a", step, "completed"]);
    }
    // A stream's span ends with the stream.
    let spans = collector.find(|span| span.name == "herald.v1.WorkflowService/WatchWorkflow").await;
    assert_eq!(attribute(&spans[0].attributes, "status"), "OK");
    let sending = collector.find(|span| span.name == "email_sending").await;
    assert!(spans[0].end_time_unix_nano > sending[0].start_time_unix_nano);

    // What happened last is sent before the end.
    let last = pb::ListProspectsRequest::default();
    api.agent.list_prospects(last).await.expect("a list");
    drop(api);
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().await.success());
    collector.find(|span| span.name == "herald.v1.AgentService/ListProspects").await;

    let of = |name: &'static str, value: &'static str| move |of: &[KeyValue]| attribute(of, name) == value;
    assert_eq!(collector.sum("herald.tenant_emails", of("tenant", "user_a")), 2);
    assert!(collector.sum("herald.tenant_calls", of("tenant", "user_a")) > 5);
    assert_eq!(collector.sum("herald.tenant_calls", |of| attribute(of, "tenant") != "user_a"), 0);
    assert_eq!(collector.sum("herald.calls", of("code", "NOT_FOUND")), 1);
    assert_eq!(collector.sum("herald.steps", of("step", "email_sending")), 1);
    assert_eq!(collector.sum("herald.open_streams", |_| true), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_interceptor_sends_the_trace_of_its_caller_on() {
    let collector = Collector::default();
    let endpoint = collector.listen().await;
    let data = folder();
    let env = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
    let server = serve(data.path(), &env);

    // A caller that is traced itself.
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let tracer = SdkTracerProvider::builder().build().tracer("caller");
    let subscriber = tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
    let mut api = server.user("user_a").await;
    let trace = async {
        let span = tracing::info_span!("caller");
        api.agent.get_agent_config(pb::GetAgentConfigRequest {}).instrument(span.clone()).await.expect("answered");
        let context = span.context();
        opentelemetry::trace::TraceContextExt::span(&context).span_context().trace_id().to_string()
    };
    let trace = trace.with_subscriber(subscriber).await;
    let spans = collector.find(|span| span.name == "herald.v1.AgentService/GetAgentConfig").await;
    assert_eq!(hex(&spans[0].trace_id), trace);
    assert!(collector.metrics.lock().expect("no panic").is_empty(), "only traces were asked for");
}
