//! The admin port: health, readiness and what Prometheus reads, of a server in a process of its own.

use std::net::{Ipv4Addr, TcpListener};

use herald::pb::{self, CampaignState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::process::serve;
use crate::support::{add_prospects, auto_approve, folder, reaches, site, start_campaign};

async fn get(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("the admin port");
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (code, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
}

/// The value of a series, labels and all in the order of their names.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    let number = line.and_then(|line| line.rsplit(' ').next()).and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{series} in:\n{metrics}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_calls_by_method_and_status_steps_commits_and_a_bounded_number_of_tenants() {
    let port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.local_addr().expect("an address").port()
    };
    let data = folder();
    let server = serve(data.path(), &[("HERALD_ADMIN_LISTEN", &format!("127.0.0.1:{port}"))]);
    assert_eq!(get(port, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(port, "/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(get(port, "/nothing").await.0, 404);

    let website = site::pages([("/", site::company())]).await;
    let mut api = server.user("user_a").await;
    add_prospects(&mut api, 3).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::Completed).await;
    let missing = pb::GetProspectRequest { prospect_id: "pr_none".into(), view: 0 };
    api.agent.get_prospect(missing).await.expect_err("there is none");
    let watch = pb::WatchWorkflowRequest::default();
    let mut stream = api.workflow.watch_workflow(watch).await.expect("watched").into_inner();
    while stream.message().await.expect("a message").is_some() {}
    for n in 0..120 {
        let mut other = server.user(&format!("tenant_{n}")).await;
        other.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.expect("a configuration");
    }

    let (code, metrics) = get(port, "/metrics").await;
    assert_eq!(code, 200);
    let call = |method: &str, code: &str| {
        value(&metrics, &format!("herald_calls_total{{code=\"{code}\",method=\"herald.v1.{method}\"}}"))
    };
    assert_eq!(call("AgentService/GetProspect", "NOT_FOUND"), 1.0);
    assert_eq!(call("WorkflowService/StartWorkflow", "OK"), 1.0);
    assert_eq!(call("WorkflowService/WatchWorkflow", "OK"), 1.0);
    assert_eq!(call("AgentService/GetAgentConfig", "OK"), 120.0);
    let timed = "herald_call_duration_seconds_count{method=\"herald.v1.AgentService/GetAgentConfig\"}";
    assert_eq!(value(&metrics, timed), 120.0);
    for step in ["website_analysis", "prospect_search", "email_sending"] {
        assert_eq!(value(&metrics, &format!("herald_steps_total{{status=\"completed\",step=\"{step}\"}}")), 1.0);
    }
    assert!(value(&metrics, "herald_commit_writes_count") > 5.0);
    assert_eq!(value(&metrics, "herald_mails_total{outcome=\"sent\",stage=\"none\"}"), 3.0);
    for idle in ["herald_open_streams", "herald_waiting_writes", "herald_waiting_campaigns", "herald_late_mails"] {
        assert_eq!(value(&metrics, idle), 0.0, "{idle}");
    }
    let tenants: Vec<_> = metrics.lines().filter(|line| line.starts_with("herald_tenant_calls_total{")).collect();
    assert_eq!(tenants.len(), 101, "a hundred and the others");
    assert_eq!(value(&metrics, "herald_tenant_calls_total{tenant=\"other\"}"), 21.0);
    assert_eq!(value(&metrics, "herald_tenant_emails_total{tenant=\"user_a\"}"), 3.0);
    assert!(
        value(
            &metrics,
            "herald_call_duration_seconds_bucket{method=\"herald.v1.AgentService/GetAgentConfig\",le=\"0.256\"}"
        ) > 100.0
    );
}
