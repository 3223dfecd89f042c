//! The port over TLS, with and without client certificates, for our client and for another's.

use std::path::Path;
use std::process::Command;

use herald::cli::{Api, Connection, Tls};
use herald::pb;

use crate::support::token::Authority;
use crate::support::{TestApp, config, folder, seams};

async fn start(files: &Authority, mutual: bool) -> TestApp {
    let data = folder();
    let mut config = config(&data);
    config.tls.certificate_file = files.file("server.pem");
    config.tls.key_file = files.file("server.key");
    if mutual {
        config.tls.client_ca_file = files.file("ca.pem");
    }
    TestApp::with(data, config, seams()).await
}

async fn connect(app: &TestApp, tls: Tls) -> anyhow::Result<Api> {
    let server = format!("https://localhost:{}", app.address.port());
    Connection { server, token: None, user: Some("user_a".to_owned()), tls }.open().await
}

async fn call(app: &TestApp, tls: Tls) -> anyhow::Result<()> {
    connect(app, tls).await?.agent.get_agent_config(pb::GetAgentConfigRequest {}).await?;
    Ok(())
}

/// Who `@grpc/grpc-js` is told that it is, or what it could not do.
async fn grpc_js(app: &TestApp, files: &Authority, certificate: bool) -> Result<String, String> {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mut command = Command::new("node");
    command.arg("grpc_js_tls.mjs").arg(format!("localhost:{}", app.address.port())).arg(files.path("ca.pem"));
    if certificate {
        command.arg(files.path("client.pem")).arg(files.path("client.key"));
    }
    command.current_dir(clients);
    let output = tokio::task::spawn_blocking(move || command.output().expect("node runs")).await.expect("no panic");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_with_a_certificate_speaks_tls_alone() {
    let files = Authority::new();
    let app = start(&files, false).await;
    let trusting = Tls { ca: Some(files.path("ca.pem")), ..Tls::default() };
    call(&app, trusting).await.expect("the authority is trusted");
    call(&app, Tls::default()).await.expect_err("an authority that nobody knows");
    assert_eq!(grpc_js(&app, &files, false).await.as_deref(), Ok("user_a"));
    let plain = Connection {
        server: format!("http://{}", app.address),
        token: None,
        user: Some("user_a".to_owned()),
        tls: Tls::default(),
    };
    let answer = match plain.open().await {
        Ok(mut api) => api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answer, "plain text is not answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_authority_asks_for_a_certificate_and_identity_still_comes_from_the_credential() {
    let (files, others) = (Authority::new(), Authority::new());
    let app = start(&files, true).await;
    let with = |from: &Authority| Tls {
        ca: Some(files.path("ca.pem")),
        client_certificate: Some(from.path("client.pem")),
        client_key: Some(from.path("client.key")),
    };
    call(&app, with(&files)).await.expect("a certificate of the authority");
    call(&app, with(&others)).await.expect_err("a certificate of another authority");
    call(&app, Tls { ca: Some(files.path("ca.pem")), ..Tls::default() }).await.expect_err("no certificate");
    assert_eq!(grpc_js(&app, &files, true).await.as_deref(), Ok("user_a"));
    grpc_js(&app, &files, false).await.expect_err("no certificate");
}
