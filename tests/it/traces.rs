//! Traces, received by a collector: the spans of calls and of steps, with their tenant, in the trace of the caller.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use herald::pb::{self, CampaignState};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::support::process::serve;
use crate::support::{add_prospects, auto_approve, folder, loopback, reaches, site, start_campaign};

#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
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

impl Collector {
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
}

fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.clone()).and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        _ => String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_steps_are_traced_with_their_tenant_in_the_trace_of_the_caller() {
    let collector = Collector::default();
    let listener = TcpListener::bind(loopback()).await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let service = TraceServiceServer::new(collector.clone());
    let receiving = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(receiving.serve_with_incoming(TcpListenerStream::new(listener)));

    let data = folder();
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
    let mut server = serve(data.path(), &env);
    let mut api = server.user("user_a").await;
    let mut call = Request::new(pb::GetAgentConfigRequest {});
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    call.metadata_mut().insert("traceparent", format!("00-{trace}-{parent}-01").parse().expect("ascii"));
    api.agent.get_agent_config(call).await.expect("a configuration");
    let missing = pb::GetProspectRequest { prospect_id: "pr_none".into() };
    api.agent.get_prospect(missing).await.expect_err("there is none");

    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let spans = collector.find(|span| span.name == "herald.v1.AgentService/GetAgentConfig").await;
    assert_eq!((hex(&spans[0].trace_id), hex(&spans[0].parent_span_id)), (trace.to_owned(), parent.to_owned()));
    assert_eq!(
        (attribute(&spans[0], "tenant"), attribute(&spans[0], "status")),
        ("user_a".to_owned(), "Ok".to_owned())
    );
    let spans = collector.find(|span| span.name == "herald.v1.AgentService/GetProspect").await;
    assert_eq!(attribute(&spans[0], "status"), "NotFound");
    assert_ne!(hex(&spans[0].trace_id), trace);

    let website = site::pages([("/", site::html("<title>Acme</title>"))]).await;
    add_prospects(&mut api, 2).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::Completed).await;
    for step in ["website_analysis", "email_generation", "email_sending"] {
        let spans = collector.find(|span| span.name == "turn" && attribute(span, "step") == step).await;
        assert!(spans.iter().all(|span| attribute(span, "tenant") == "user_a"), "{step}");
    }

    // What happened last is sent before the end.
    let last = pb::ListProspectsRequest::default();
    api.agent.list_prospects(last).await.expect("a list");
    drop(api);
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().await.success());
    collector.find(|span| span.name == "herald.v1.AgentService/ListProspects").await;
}
