//! The port and the process: health, limits, CORS, the graceful stop, the data folder's lock, the start's refusals.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use herald::pb;
use prost::Message as _;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::support::process::{herald as binary, serve};
use crate::support::site::{self, Answer};
use crate::support::{TestApp, add_prospects, config, folder, reason, seams, start_campaign};

#[tokio::test]
async fn health_says_not_serving_until_the_store_is_ready_and_calls_are_told_to_wait() {
    let data = folder();
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").port();
    // A database that is locked by somebody else cannot be opened yet.
    let url = format!("sqlite://{}?mode=rwc", data.path().join("herald.db").display());
    let mut blocker = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.expect("the database");
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut blocker).await.expect("locked");

    let mut command = binary();
    command.args(["serve", "--dev", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"]).arg(data.path());
    let mut child =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("started");
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("a URL");
    let mut channel = endpoint.connect().await;
    for _ in 0..200 {
        if channel.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        channel = endpoint.connect().await;
    }
    let channel = channel.expect("it listens");
    let mut health = HealthClient::new(channel.clone());
    let mut tenant = pb::tenant_service_client::TenantServiceClient::new(channel);
    for service in ["", "herald.v1.AgentService", "herald.v1.WorkflowService"] {
        let check = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(check).await.expect("health answers").into_inner().status();
        assert_eq!(status, ServingStatus::NotServing, "{service:?}");
    }
    let refused = tenant.get_caller(pb::GetCallerRequest {}).await.expect_err("not yet");
    assert_eq!((refused.code(), reason(&refused)), (Code::Unavailable, "STARTING".to_owned()));

    sqlx::query("COMMIT").execute(&mut blocker).await.expect("unlocked");
    let check = HealthCheckRequest { service: "herald.v1.WorkflowService".to_owned() };
    let mut status = ServingStatus::NotServing;
    for _ in 0..300 {
        status = health.check(check.clone()).await.expect("health answers").into_inner().status();
        if status == ServingStatus::Serving {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status, ServingStatus::Serving);
    tenant.get_caller(pb::GetCallerRequest {}).await.expect("now");
    child.kill().expect("killed");
    child.wait().expect("ended");
}

#[tokio::test]
async fn a_stop_with_open_streams_and_calls_under_way_ends_within_its_deadline() {
    let website = site::pages([("/", Answer::Silence)]).await;
    let data = folder();
    let mut server = serve(data.path(), &[("HERALD_SERVER_STOP_SECONDS", "3")]);
    let mut api = server.user("user_a").await;
    start_campaign(&mut api, &website).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let request = pb::WatchWorkflowRequest::default();
        streams.push(api.workflow.watch_workflow(request).await.expect("a stream").into_inner());
    }
    // A connection that never speaks, and one in the middle of its request.
    let _silent = TcpStream::connect(&server.address).await.expect("connected");
    let mut half = TcpStream::connect(&server.address).await.expect("connected");
    half.write_all(b"POST /herald.v1.TenantService/GetCaller HTTP/1.1\r\nhost: localhost\r\n").await.expect("written");
    let begun = Instant::now();
    server.signal(Signal::TERM);
    for stream in &mut streams {
        let status = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream tells why it ends"),
                Err(status) => break status,
            }
        };
        assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "SHUTTING_DOWN".to_owned()));
    }
    let status = server.ended().await;
    let took = begun.elapsed();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(6), "it took {took:?}");
}

#[tokio::test]
async fn an_application_that_has_stopped_holds_none_of_its_files_open() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 3).await;
    let request = pb::ListProspectsRequest { page_size: 2, ..Default::default() };
    api.agent.list_prospects(request).await.expect("a page");
    let folder = app.data.path().to_owned();
    let open = || {
        let links = std::fs::read_dir("/proc/self/fd").expect("this process's files");
        let paths = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        paths.filter(|path| path.starts_with(&folder)).collect::<Vec<_>>()
    };
    assert!(!open().is_empty());
    let (data, _) = app.stop().await;
    assert_eq!(open(), Vec::<PathBuf>::new());
    drop(data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_past_its_time_is_told_so_and_one_that_waits_holds_up_no_other_of_its_connection() {
    let data = folder();
    let mut config = config(&data);
    config.server.request_timeout_seconds = 2;
    let app = TestApp::with(data, config, seams()).await;
    let mut api = app.user("user_a").await;
    let id = add_prospects(&mut api, 1).await.remove(0);
    // Writes wait for whoever holds the database.
    let url = format!("sqlite://{}", app.data.path().join("herald.db").display());
    let mut blocker = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.expect("the database");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut blocker).await.expect("locked");

    let write = |name: &str| {
        let prospects = vec![pb::Prospect { email: format!("{name}@example.com"), ..Default::default() }];
        pb::BatchCreateProspectsRequest { prospects, ..Default::default() }
    };
    // By hand, since a client of tonic's gives up by itself.
    let mut late = Vec::new();
    let (native, web) = ("application/grpc", "application/grpc-web+proto");
    for (time, allowed, kind) in [("300m", 300, native), ("1H", 2_000, native), ("soon", 2_000, web)] {
        let message = write(time).encode_to_vec();
        let frame = [&[0, 0, 0, 0, u8::try_from(message.len()).expect("short")][..], &message].concat();
        let call = app.by_hand("AgentService/BatchCreateProspects", kind);
        let call = call.header("x-user-id", "user_a").header("grpc-timeout", time).body(frame);
        late.push(tokio::spawn(async move {
            let begun = Instant::now();
            let answer = call.send().await.expect("answered");
            assert_eq!(answer.headers()["content-type"], kind);
            assert_eq!(answer.headers()["x-tenant-id"], "user_a");
            let refused = Status::from_header_map(answer.headers()).expect("a status");
            (refused, begun.elapsed(), Duration::from_millis(allowed))
        }));
    }
    let (mut agent, request) = (api.agent.clone(), write("beside"));
    let beside = tokio::spawn(async move { agent.batch_create_prospects(request).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..20 {
        let request = pb::GetProspectRequest { prospect_id: id.clone(), ..Default::default() };
        api.agent.get_prospect(request).await.expect("read beside one that waits, on the same connection");
    }
    assert!(!beside.is_finished());
    for late in late {
        let (refused, took, allowed) = late.await.expect("no panic");
        assert_eq!((refused.code(), reason(&refused)), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
        assert!((allowed..allowed + Duration::from_millis(1_500)).contains(&took), "{took:?} of {allowed:?}");
    }
    let refused = beside.await.expect("no panic").expect_err("it waits for longer than it may");
    assert_eq!(refused.code(), Code::DeadlineExceeded);
    sqlx::query("COMMIT").execute(&mut blocker).await.expect("unlocked");
    api.agent.batch_create_prospects(write("after")).await.expect("written");
}

#[tokio::test]
async fn a_connection_that_never_speaks_is_closed() {
    let data = folder();
    let mut config = config(&data);
    config.server.head_timeout_seconds = 1;
    let app = TestApp::with(data, config, seams()).await;
    let mut silent = TcpStream::connect(app.address).await.expect("connected");
    let mut buffer = [0; 16];
    let read = tokio::time::timeout(Duration::from_secs(5), silent.read(&mut buffer)).await.expect("closed in time");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let notes = "x".repeat(5 * 1024 * 1024);
    let prospects = vec![pb::Prospect { email: "a@example.com".into(), notes, ..Default::default() }];
    let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
    let refused = api.agent.batch_create_prospects(request).await.expect_err("too large");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    // What is no message of the method at all.
    let garbage = [0, 0, 0, 0, 3, 0x0a, 0xff, 0xff];
    let call = app.by_hand("AgentService/GetProspect", "application/grpc");
    let answer = call.header("x-user-id", "user_a").body(garbage.to_vec()).send().await.expect("answered");
    let refused = Status::from_header_map(answer.headers()).expect("a status");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "MESSAGE_INVALID"));
}

/// A page that would be larger than an answer may be is cut, and goes on with the next.
#[tokio::test]
async fn a_page_of_long_rows_is_cut_to_what_one_answer_holds() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    // 900 rows of 24,000 bytes are more than 16 MiB.
    for round in 0..6 {
        let row = |n: usize| pb::Prospect {
            email: format!("p{n}.{round}@example.com"),
            notes: "仪".repeat(4_000),
            discovery_context: "器".repeat(4_000),
            ..Default::default()
        };
        let request = pb::BatchCreateProspectsRequest { prospects: (0..150).map(row).collect(), ..Default::default() };
        api.agent.batch_create_prospects(request).await.expect("created");
    }
    let (mut seen, mut pages, mut page_token) = (std::collections::BTreeSet::new(), 0, String::new());
    loop {
        let view = pb::ProspectView::Full.into();
        let request = pb::ListProspectsRequest { page_size: 1_000, page_token, view, ..Default::default() };
        let page = api.agent.list_prospects(request).await.expect("it fits").into_inner();
        seen.extend(page.prospects.into_iter().map(|prospect| prospect.id));
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((seen.len(), pages), (900, 2));
}

async fn raw(app: &TestApp, request: &str) -> String {
    let mut stream = TcpStream::connect(app.address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).to_lowercase()
}

#[tokio::test]
async fn browsers_may_call_from_localhost_under_dev_and_from_configured_origins() {
    let data = folder();
    let mut config = config(&data);
    config.server.cors_origins = vec!["https://app.example.com".into()];
    config.server.cors_headers = vec!["X-Datadog-Trace-Id".into()];
    let app = TestApp::with(data, config, seams()).await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /herald.v1.TenantService/GetCaller HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\nconnection: close\r\n\
             access-control-request-method: POST\r\naccess-control-request-headers: x-grpc-web,authorization\r\n\r\n"
        )
    };
    for origin in ["http://localhost:3000", "https://app.example.com"] {
        let answer = raw(&app, &preflight(origin)).await;
        assert!(answer.contains(&format!("access-control-allow-origin: {origin}")), "{answer}");
        assert!(answer.contains("x-grpc-web"), "{answer}");
    }
    for origin in ["https://evil.example", "https://app.example.com.evil.example", "http://localhost.evil.example"] {
        let answer = raw(&app, &preflight(origin)).await;
        assert!(!answer.contains("access-control-allow-origin"), "{origin}: {answer}");
    }
    // What browsers' tracing adds to every call, and what is configured.
    let with = |headers: &str| preflight("http://localhost:3000").replace("x-grpc-web,authorization", headers);
    for header in ["baggage", "sentry-trace", "traceparent", "tracestate", "x-datadog-trace-id"] {
        let answer = raw(&app, &with(header)).await;
        let taken = answer.lines().find(|line| line.starts_with("access-control-allow-headers:")).unwrap_or_default();
        assert!(taken.split([':', ',']).any(|taken| taken.trim() == header), "{header}: {answer}");
    }
    assert!(!raw(&app, &with("x-other")).await.contains("x-other"));
    // A refusal reaches the browser: in gRPC-Web's content type, with the headers that let a page read it.
    let body = "\0\0\0\0\0";
    let answer = raw(
        &app,
        &format!(
            "POST /herald.v1.TenantService/GetCaller HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost:3000\r\n\
             connection: close\r\ncontent-type: application/grpc-web+proto\r\nauthorization: Bearer x\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .await;
    assert!(answer.contains("content-type: application/grpc-web"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: http://localhost:3000"), "{answer}");
    assert!(answer.contains("grpc-status"), "{answer}");
}

#[tokio::test]
async fn what_is_no_method_is_unimplemented_and_a_page_is_told_what_this_is() {
    let app = TestApp::start().await;
    let answer = raw(&app, "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("http/1.1 404") && answer.contains("grpc"), "{answer}");
    let json = "POST /herald.v1.TenantService/GetCaller HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let answer = raw(&app, json).await;
    assert!(answer.starts_with("http/1.1 415") && answer.contains("grpc"), "{answer}");
    let call = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/grpc-web+proto\r\n\
             content-length: 5\r\n\r\n\0\0\0\0\0"
        )
    };
    let answer = raw(&app, &call("/herald.v1.AgentService/NoSuchMethod")).await;
    assert!(answer.contains("grpc-status: 12") || answer.contains("grpc-status:12"), "{answer}");
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused_by_name() {
    let data = folder();
    let _first = serve(data.path(), &[]);
    let mut command = binary();
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
    let second = command.output().expect("it ends");
    assert!(!second.status.success());
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(told.contains("another Herald works in the data folder"), "{told}");
}

#[tokio::test]
async fn a_start_that_cannot_work_says_what_to_do() {
    let data = folder();
    let run = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = binary();
        command.arg("serve").args(args).arg("--data-dir").arg(data.path()).envs(env.iter().copied());
        let output = command.output().expect("it ends");
        assert!(!output.status.success(), "{args:?} {env:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let secret = ("HERALD_AUTH_HS256_SECRET", "0123456789abcdef0123456789abcdef");
    assert!(run(&["--dev", "--listen", "0.0.0.0:0"], &[]).contains("loopback"));
    assert!(run(&["--listen", "127.0.0.1:0"], &[]).contains("HERALD_AUTH_HS256_SECRET"));
    assert!(run(&["--listen", "127.0.0.1:0"], &[secret]).contains("HERALD_MASTER_KEY"));
    assert!(run(&["--listen", "127.0.0.1:0"], &[secret, ("HERALD_MASTER_KEY", "short")]).contains("32 random bytes"));
    assert!(run(&["--dev", "--config", "/nowhere.toml"], &[]).contains("/nowhere.toml"));
    assert!(run(&["--dev", "--listen", "nowhere"], &[]).contains("is no address with a port"));
    assert!(run(&["--dev"], &[("HERALD_LISTN", "x")]).contains("HERALD_LISTN"));

    // A master key that is not the folder's.
    let key = |byte: u8| base64_of(&[byte; 32]);
    let own = folder();
    let mut first = binary();
    first.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(own.path());
    let server = serve(own.path(), &[("HERALD_MASTER_KEY", &key(1))]);
    let mut api = server.user("user_a").await;
    crate::support::add_prospects(&mut api, 1).await;
    drop(server);
    let mut command = binary();
    command
        .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(own.path())
        .env("HERALD_MASTER_KEY", key(2));
    let output = command.output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("HERALD_MASTER_KEY"), "{told}");
}

#[tokio::test]
async fn a_machine_without_certificate_authorities_will_do() {
    let data = folder();
    let server = serve(data.path(), &[("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")]);
    let mut api = server.user("user_a").await;
    api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.expect("answered");
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
