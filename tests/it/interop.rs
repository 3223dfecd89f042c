//! The same calls from clients that nobody here wrote: `buf curl` by reflection, `@grpc/grpc-js`, Connect-Web's gRPC-Web
//! transport under Node. `make` installs them into `tests/clients`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{TestApp, site};

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

async fn run(mut command: Command) -> (bool, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().expect("installed by `make test`"))
        .await
        .expect("no panic");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

async fn buf_curl(
    app: &TestApp,
    protocol: &str,
    method: &str,
    data: &str,
    user: Option<&str>,
) -> (bool, String, String) {
    let mut command = Command::new(clients().join("node_modules/.bin/buf"));
    command.args(["curl", "--protocol", protocol, "--data", data]);
    if protocol == "grpc" {
        command.arg("--http2-prior-knowledge");
    }
    // Reflection is a stream in both directions, which gRPC-Web has not.
    if protocol == "grpcweb" {
        command.arg("--schema").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("proto"));
    }
    if let Some(user) = user {
        command.args(["--header", &format!("x-user-id: {user}")]);
    }
    command.arg(format!("http://{}/{method}", app.address));
    run(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buf_curl_calls_by_reflection_and_over_grpc_web() {
    let app = TestApp::start().await;
    for protocol in ["grpc", "grpcweb"] {
        let (ok, out, err) = buf_curl(&app, protocol, "herald.v1.TenantService/GetCaller", "{}", Some("user_a")).await;
        assert!(ok, "{err}");
        let answer: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(answer["caller"]["tenantId"], "user_a");
        let prospects = format!(r#"{{"prospects": [{{"email": "{protocol}@example.com", "company": "例子"}}]}}"#);
        let method = "herald.v1.AgentService/BatchCreateProspects";
        let (ok, out, err) = buf_curl(&app, protocol, method, &prospects, Some("user_a")).await;
        assert!(ok && out.contains("createdCount"), "{out}{err}");
        let method = "herald.v1.AgentService/GetProspect";
        let (ok, _, err) = buf_curl(&app, protocol, method, r#"{"prospectId": "pr_none"}"#, Some("user_b")).await;
        assert!(!ok && err.contains("not_found"), "{err}");
    }
}

async fn node(script: &str, app: &TestApp) {
    let website = site::pages([("/", site::company())]).await;
    let mut command = Command::new("node");
    command.arg(clients().join(script)).arg(app.address.to_string()).arg(website);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("proto")).current_dir(clients());
    let (ok, out, err) = run(command).await;
    assert!(ok, "{script}:\n{out}{err}");
    assert!(out.contains("all as expected"), "{script}:\n{out}{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_js_runs_a_campaign() {
    node("grpc_js.mjs", &TestApp::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_js_calls_every_rpc_but_for_the_campaigns() {
    node("agent.mjs", &TestApp::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connect_web_runs_a_campaign_over_grpc_web() {
    node("connect_web.mjs", &TestApp::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_of_a_rust_backend_stamps_its_calls() {
    let app = TestApp::start().await;
    let example = Path::new(env!("CARGO_BIN_EXE_herald")).with_file_name("examples").join("client");
    for user in ["user_a", "user_b"] {
        let mut command = Command::new(&example);
        command.arg(format!("http://{}", app.address)).arg(user).env_remove("HERALD_TOKEN");
        let (ok, out, err) = run(command).await;
        assert!(ok, "{err}");
        assert!(out.contains(&format!("of tenant {user}")) && out.contains("1 prospect created"), "{out}");
        assert_eq!(out.matches("ines.duarte@").count(), 1, "{user} sees its own alone:\n{out}");
    }
}
