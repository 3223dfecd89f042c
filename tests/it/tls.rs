//! The port over TLS, with and without client certificates, for our client and for another's.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use herald::cli::{Api, Connection, Tls};
use herald::pb;

use crate::support::token::{Authority, private_file};
use crate::support::{TestApp, config, folder, refused_start};

async fn connect(app: &TestApp, tls: Tls) -> anyhow::Result<Api> {
    let server = format!("https://localhost:{}", app.address.port());
    Connection { user: Some("user_a".to_owned()), tls, ..Connection::to(server) }.open().await
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
    let app = TestApp::over_tls(&files, false).await;
    let trusting = Tls { ca: Some(files.path("ca.pem")), ..Tls::default() };
    call(&app, trusting).await.expect("the authority is trusted");
    call(&app, Tls::default()).await.expect_err("an authority that nobody knows");
    assert_eq!(grpc_js(&app, &files, false).await.as_deref(), Ok("user_a"));
    let server = Connection::to(format!("http://{}", app.address));
    let plain = Connection { user: Some("user_a".to_owned()), ..server };
    let answer = match plain.open().await {
        Ok(mut api) => api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answer, "plain text is not answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_authority_asks_for_a_certificate_and_identity_still_comes_from_the_credential() {
    let (files, others) = (Authority::new(), Authority::new());
    let app = TestApp::over_tls(&files, true).await;
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

#[tokio::test]
async fn a_browser_without_http_2_is_answered_too() {
    let files = Authority::new();
    let app = TestApp::over_tls(&files, false).await;
    let authority = std::fs::read(files.path("ca.pem")).expect("a certificate");
    let client = reqwest::Client::builder()
        .http1_only()
        .tls_certs_only([reqwest::Certificate::from_pem(&authority).expect("PEM")])
        .build()
        .expect("a client");
    let url = format!("https://localhost:{}/herald.v1.TenantService/GetCaller", app.address.port());
    let call = client.post(url).header("content-type", "application/grpc-web+proto").header("x-user-id", "user_a");
    let answer = call.body(vec![0; 5]).send().await.expect("answered");
    assert_eq!(
        (answer.version(), answer.headers()["x-tenant-id"].as_bytes()),
        (http::Version::HTTP_11, &b"user_a"[..])
    );
    assert!(String::from_utf8_lossy(&answer.bytes().await.expect("a body")).contains("user_a"));
}

#[tokio::test]
async fn a_connection_that_has_said_nothing_does_not_keep_the_server_from_stopping() {
    let app = TestApp::over_tls(&Authority::new(), false).await;
    let _silent = tokio::net::TcpStream::connect(app.address).await.expect("connected");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    app.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn files_that_are_no_certificate_and_key_stop_the_start() {
    let (files, others, scraps) = (Authority::new(), Authority::new(), folder());
    let scrap = |name: &str, text: &str| {
        let path = scraps.path().join(name);
        private_file(&path, text);
        path.display().to_string()
    };
    let nonsense = scrap("nonsense.pem", "nonsense");
    let (certificate, key) = (files.file("server.pem"), files.file("server.key"));
    for (certificate, key, authority, told) in [
        ("/nowhere.pem", key.as_str(), "", "tls.certificate_file /nowhere.pem: no certificate in PEM can be read"),
        (&nonsense, &key, "", "nonsense.pem: no certificate in PEM can be read"),
        (&certificate, &nonsense, "", "nonsense.pem: no private key in PEM can be read"),
        (&certificate, &others.file("server.key"), "", "tls.certificate_file and tls.key_file do not fit each other"),
        (&certificate, &key, &nonsense, "tls.client_ca_file"),
    ] {
        let data = folder();
        let mut config = config(&data);
        config.tls.certificate_file = certificate.to_owned();
        config.tls.key_file = key.to_owned();
        config.tls.client_ca_file = authority.to_owned();
        let error = refused_start(config).await;
        assert!(error.contains(told), "{told}: {error}");
    }
}
