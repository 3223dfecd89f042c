//! What the log tells, and of whom.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use herald::cli::{Api, Connection};
use herald::pb::{self, CampaignState};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::support::process::{Server, free_port, serve_with};
use crate::support::token::{hs, now};
use crate::support::{SECRET, add_prospects, auto_approve, folder, reaches, site, start_campaign};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenant_is_logged_in_detail_and_nobody_else() {
    let data = folder();
    let log = data.path().join("log");
    let env = [("HERALD_DEBUG_TENANTS", "user_a"), ("HERALD_LOG_FORMAT", "json"), ("HERALD_LOG", "warn")];
    let file = std::fs::File::create(&log).expect("a file");
    let server = serve_with(data.path(), &env, Stdio::from(file));
    let website = site::pages([("/", site::company())]).await;
    for user in ["user_a", "user_b"] {
        let mut api = server.user(user).await;
        add_prospects(&mut api, 2).await;
        auto_approve(&mut api).await;
        start_campaign(&mut api, &website).await;
        reaches(&mut api, CampaignState::Completed).await;
    }
    drop(server);
    let text = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let debug: Vec<_> = lines.iter().filter(|line| line["level"] == "DEBUG").collect();
    for message in ["rpc.answered", "turn.ended"] {
        let found = debug.iter().find(|line| line["message"] == message);
        assert_eq!(found.expect(message)["span"]["tenant"], "user_a", "{message}");
    }
    assert!(debug.iter().all(|line| line["span"]["tenant"] == "user_a"), "{text}");
    assert!(!text.contains("user_b"), "{text}");
}

/// The start does not wait for it, and whoever looks at the log need not wait for a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_at_the_start_is_told_once() {
    let (data, logs) = (folder(), folder());
    let log = logs.path().join("log");
    let url = format!("redis://127.0.0.1:{}", free_port());
    let file = std::fs::File::create(&log).expect("a file");
    let _server = serve_with(data.path(), &[("HERALD_CACHE_URL", &url), ("HERALD_LOG", "warn")], Stdio::from(file));
    let told = || std::fs::read_to_string(&log).expect("a log");
    for _ in 0..500 {
        if told().contains("cache.unavailable") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The connection is tried again meanwhile.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(told().matches("cache.unavailable").count(), 1, "{}", told());
    assert!(told().contains("the cache cannot be reached: nothing listens there"), "{}", told());
}

async fn connect(server: &Server, token: &str) -> Api {
    let server = Connection::to(format!("http://{}", server.address));
    let connection = Connection { token: Some(token.to_owned()), ..server };
    connection.open().await.expect("the server can be reached")
}

/// Whether a call with this token is taken.
async fn is_taken(server: &Server, token: &str) -> bool {
    connect(server, token).await.tenant.get_caller(pb::GetCallerRequest {}).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_are_told_by_their_cause_in_few_lines_and_counted_all() {
    let port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.local_addr().expect("an address").port()
    };
    let (data, logs) = (folder(), folder());
    let log = logs.path().join("log");
    let (admin, secret) = (format!("127.0.0.1:{port}"), SECRET);
    let env = [
        ("HERALD_ADMIN_LISTEN", admin.as_str()),
        ("HERALD_AUTH_HS256_SECRET", secret),
        ("HERALD_LOG_FORMAT", "json"),
        ("HERALD_LOG", "info"),
    ];
    let server = serve_with(data.path(), &env, Stdio::from(std::fs::File::create(&log).expect("a file")));
    let signed = |claims: Value| hs(&claims, SECRET, Algorithm::HS256);
    let of = |name: &str, value: Value| {
        let mut claims = json!({ "sub": "somebody", "exp": now() + 60 });
        claims[name] = value;
        signed(claims)
    };
    let causes = [
        (of("exp", json!(now() - 60)), "expired"),
        (of("nbf", json!(now() + 60)), "not_yet"),
        (of("aud", json!("other")), "audience"),
        (of("sts", json!("pending")), "pending"),
        (of("sub", json!("../somebody")), "tenant"),
        (of("sub", json!(5)), "claims"),
        (hs(&json!({ "sub": "somebody" }), "another secret, also long enough for it", Algorithm::HS256), "signature"),
        (hs(&json!({ "sub": "somebody" }), SECRET, Algorithm::HS512), "algorithm"),
    ];
    for (token, _) in &causes {
        assert!(!is_taken(&server, token).await);
    }
    // More than can be written in the time that they take, on any machine.
    let mut tries = connect(&server, "no.such.token").await;
    for _ in 0..200 {
        tries.tenant.get_caller(pb::GetCallerRequest {}).await.expect_err("it proves nothing");
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(!is_taken(&server, "no.such.token").await);
    assert!(is_taken(&server, &of("x", json!("y"))).await);

    let metrics = reqwest::get(format!("http://{admin}/metrics")).await.expect("answered").text().await.expect("text");
    drop(server);
    let text = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told = |cause: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["message"] == "auth.refused" && line["cause"] == cause).collect()
    };
    for (_, cause) in &causes {
        let told = told(cause);
        assert_eq!(told.len(), 1, "{cause} in:\n{text}");
        assert_eq!((&told[0]["level"], &told[0]["peer"]), (&json!("INFO"), &json!("127.0.0.1")));
        assert!(metrics.contains(&format!("herald_refused_credentials_total{{cause=\"{cause}\"}} 1\n")), "{metrics}");
    }
    let malformed = told("malformed");
    let left_out: u64 = malformed.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    assert!(malformed.len() < 201 && malformed.len() as u64 + left_out == 201, "{malformed:?}");
    assert!(metrics.contains("herald_refused_credentials_total{cause=\"malformed\"} 201\n"), "{metrics}");
    assert!(!text.contains("somebody") && !text.contains("no.such") && !text.contains("eyJ"), "{text}");
}
