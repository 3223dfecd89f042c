//! Whom a development server answers, and the id that every answer has.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::HeaderMap;
use prost::Message as _;
use reqwest::Client;
use tonic::{Code, Status};

use super::{ALONE, Target};
use crate::support::process::herald;
use crate::support::{folder, reason};

/// The answer's headers to a call of that host, from that origin.
async fn called(target: &Target, host: &str, origin: Option<&str>, http2: bool, content_type: &str) -> HeaderMap {
    let port = target.port();
    let builder = Client::builder().resolve(host, ([127, 0, 0, 1], port).into());
    let client = if http2 { builder.http2_prior_knowledge() } else { builder.http1_only() }.build().expect("a client");
    let call = client.post(format!("http://{host}:{port}/herald.v1.TenantService/GetCaller"));
    let mut call = call.header("content-type", content_type).header("te", "trailers");
    if let Some(origin) = origin {
        call = call.header("origin", origin);
    }
    call.body(Bytes::from_static(&[0; 5])).send().await.expect("an answer").headers().clone()
}

/// A page of elsewhere whose name leads to this machine is refused, by whatever way it comes.
#[tokio::test]
async fn a_development_server_answers_this_machine_alone() {
    let target = Target::start(&[]).await;
    let here = ["localhost", "127.0.0.1"];
    let away = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"];
    let origins_here = [None, Some("http://localhost:3000"), Some("http://127.0.0.1")];
    let origins_away = [Some("http://evil.example"), Some("null"), Some("http://localhost.evil.example")];
    let refused = |headers: &HeaderMap| {
        let status = Status::from_header_map(headers)?;
        (status.code() != Code::Ok).then(|| (status.code(), reason(&status)))
    };
    let expected = Some((Code::PermissionDenied, "HOST_NOT_LOCAL".to_owned()));
    let mut without = BTreeSet::new();
    for (http2, kind) in
        [(true, "application/grpc"), (false, "application/grpc"), (false, "application/grpc-web+proto")]
    {
        for host in here {
            for origin in origins_here {
                let answer = called(&target, host, origin, http2, kind).await;
                assert_eq!(refused(&answer), None, "{host} from {origin:?}, {kind}");
            }
            for origin in origins_away {
                let answer = called(&target, host, origin, http2, kind).await;
                assert_eq!(refused(&answer), expected, "{host} from {origin:?}, {kind}");
                assert!(!answer.contains_key("access-control-allow-origin"), "{host} from {origin:?}, {kind}");
                without.extend((!answer.contains_key("x-request-id")).then(|| format!("{kind}, http2 {http2}")));
            }
        }
        for host in away {
            for origin in origins_here.iter().chain(&origins_away) {
                let answer = called(&target, host, *origin, http2, kind).await;
                assert_eq!(refused(&answer), expected, "{host} from {origin:?}, {kind}");
            }
        }
    }
    assert!(without.is_empty(), "refusals without x-request-id: {without:?}");
}

/// It answers callers on their word, so nothing of it is served beyond loopback.
#[tokio::test]
async fn a_development_server_that_listens_elsewhere_does_not_start() {
    let _alone = ALONE.lock().await;
    for (name, value) in
        [("HERALD_LISTEN", "0.0.0.0:0"), ("HERALD_ADMIN_LISTEN", "0.0.0.0:0"), ("HERALD_ADMIN_LISTEN", "[::]:0")]
    {
        let data = folder();
        let mut command = herald();
        command.args(["serve", "--dev", "--data-dir"]).arg(data.path());
        command.env("HERALD_LISTEN", "127.0.0.1:0").env(name, value);
        let output = tokio::time::timeout(
            std::time::Duration::from_secs(10),
            tokio::task::spawn_blocking(move || command.output().expect("the binary starts")),
        );
        let output = output.await.unwrap_or_else(|_| panic!("it serves on {name}={value}")).expect("no panic");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("loopback"), "{name}={value}: {}: {said}", output.status);
    }
}

/// Every answer has an id that no other has, and the log of a call that failed has it too.
#[tokio::test]
async fn every_answer_has_an_id_of_its_own_which_the_log_has_too() {
    let target = Target::start(&[("HERALD_LOG", "debug,h2=warn,hyper=warn"), ("HERALD_LOG_FORMAT", "json")]).await;
    let client = Client::builder().http2_prior_knowledge().build().expect("a client");
    let frame = |message: &[u8]| [&[0, 0, 0, 0, message.len() as u8], message].concat();
    let missing = herald::pb::GetProspectRequest { prospect_id: "pr_none".into(), view: 0 };
    let ok = frame(&[]);
    let calls = [
        ("ok", "/herald.v1.TenantService/GetCaller", "application/grpc", ok.clone(), None),
        (
            "refused",
            "/herald.v1.AgentService/GetProspect",
            "application/grpc",
            frame(&missing.encode_to_vec()),
            Some(5),
        ),
        ("no message", "/herald.v1.AgentService/GetProspect", "application/grpc", Vec::new(), Some(3)),
        ("unknown", "/herald.v1.TenantService/Nothing", "application/grpc", ok.clone(), Some(12)),
        ("unknown service", "/nobody.Knows/It", "application/grpc", ok.clone(), Some(12)),
        ("health", "/grpc.health.v1.Health/Check", "application/grpc", ok.clone(), None),
        (
            "reflection",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "application/grpc",
            ok.clone(),
            None,
        ),
        ("stream", "/herald.v1.WorkflowService/WatchWorkflow", "application/grpc", ok.clone(), Some(5)),
        ("gRPC-Web", "/herald.v1.TenantService/GetCaller", "application/grpc-web+proto", ok.clone(), None),
        ("gRPC-Web refused", "/herald.v1.WorkflowService/WatchWorkflow", "application/grpc-web+proto", ok, Some(5)),
    ];
    let mut ids = BTreeSet::new();
    let mut failed = Vec::new();
    let mut made = 0;
    for _ in 0..100 {
        for (what, path, kind, body, code) in &calls {
            let call = client.post(format!("http://{}{path}", target.server.address)).header("content-type", *kind);
            let call = call.header("te", "trailers").header("x-user-id", "user_a").body(Bytes::from(body.clone()));
            let answer = call.send().await.expect("an answer");
            let id = answer.headers().get("x-request-id").unwrap_or_else(|| panic!("{what}: no id: {answer:?}"));
            let id = id.to_str().expect("a text").to_owned();
            assert!((8..=64).contains(&id.len()), "{what}: {id}");
            if let Some(code) = code
                && let Some(status) = Status::from_header_map(answer.headers())
            {
                assert_eq!(status.code(), Code::from_i32(*code), "{what}: {status:?}");
                failed.push((*what, id.clone()));
            }
            made += 1;
            assert!(ids.insert(id.clone()), "{what}: {id} for the second time");
        }
    }
    assert_eq!((ids.len(), made), (1_000, 1_000));
    assert!(failed.len() >= 500, "{}", failed.len());
    // The log is written before the answer is sent.
    let log = target.log();
    let missing: BTreeSet<_> =
        failed.iter().filter(|(_, id)| !log.contains(id.as_str())).map(|(what, _)| *what).collect();
    assert!(missing.is_empty(), "calls that failed and whose id is in no line: {missing:?}");
}
