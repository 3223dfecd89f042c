//! Requests that are wrong in very many places, that are no messages, or that prove nothing: each is answered with a reason,
//! and no answer is large.

use bytes::Bytes;
use herald::pb;
use http::HeaderMap;
use prost::Message as _;
use reqwest::Client;
use tonic::{Code, Status};

use super::{Target, call_bytes, violations};
use crate::support::reason;
use crate::support::rpc::headers;

/// The fields that one refusal names, and the one that counts the rest.
const MOST_FIELDS: usize = 51;
/// The largest refusal, all its headers.
const LARGEST_REFUSAL: usize = 64 << 10;

#[tokio::test]
async fn a_request_with_very_many_faults_is_refused_in_few_words() {
    let target = Target::start(&[]).await;
    let rows = |count: usize| -> Vec<_> {
        let long = "ä".repeat(1_000);
        let row = |_| pb::Prospect {
            email: long.clone(),
            company: long.clone(),
            tags: vec![long.clone(); 50],
            ..Default::default()
        };
        (0..count).map(row).collect()
    };
    let paths = |count: usize| -> Vec<_> { (0..count).map(|n| format!("{n}{}", "unknown".repeat(2_000))).collect() };
    let mask = |count| Some(prost_types::FieldMask { paths: paths(count) });
    let suppression =
        pb::Suppression { email: "nobody at all".repeat(300), source: "x".repeat(3_000), ..Default::default() };
    let review = pb::EmailReview { email_id: "?".repeat(3_000), subject: Some(String::new()), ..Default::default() };
    let key = |n: usize| format!("{n}{}", "k".repeat(600));
    let short = Some(prost_types::FieldMask { paths: (0..100).map(|n| format!("unknown{n}")).collect() });
    let prospect = Some(pb::Prospect { id: "pr_none".to_owned(), ..Default::default() });
    let config = Some(pb::AgentConfig::default());
    let cases = [
        ("UpdateProspect", pb::UpdateProspectRequest { prospect, update_mask: short.clone() }.encode_to_vec()),
        ("UpdateAgentConfig", pb::UpdateAgentConfigRequest { config, update_mask: short }.encode_to_vec()),
        ("UpdateProspect", pb::UpdateProspectRequest { prospect: None, update_mask: mask(100) }.encode_to_vec()),
        ("UpdateAgentConfig", pb::UpdateAgentConfigRequest { config: None, update_mask: mask(100) }.encode_to_vec()),
        (
            "BatchCreateProspects",
            pb::BatchCreateProspectsRequest { prospects: rows(30), ..Default::default() }.encode_to_vec(),
        ),
        ("BatchCreateProspects", bad_rows(1_000).encode_to_vec()),
        (
            "AddSuppressions",
            pb::AddSuppressionsRequest { suppressions: vec![suppression; 500], ..Default::default() }.encode_to_vec(),
        ),
        (
            "ReviewEmails",
            pb::ReviewEmailsRequest { reviews: vec![review; 1_000], ..Default::default() }.encode_to_vec(),
        ),
        ("BatchGetCacheEntries", pb::BatchGetCacheEntriesRequest { keys: (0..500).map(key).collect() }.encode_to_vec()),
    ];
    for (name, message) in cases {
        assert!(message.len() < 4 << 20, "{name}: {}", message.len());
        let service = match name {
            "ReviewEmails" => "WorkflowService",
            "BatchGetCacheEntries" => "CacheService",
            _ => "AgentService",
        };
        let answer = post(&target, &format!("/herald.v1.{service}/{name}"), framed(&message), &[]).await;
        let size: usize = answer.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let status = Status::from_header_map(&answer).expect("a refusal");
        assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "FIELD_INVALID".to_owned()), "{name}");
        let fields = violations(&status);
        println!("{name}: {} fields in {size} bytes", fields.len());
        assert!(size < LARGEST_REFUSAL && fields.len() <= MOST_FIELDS, "{name}: {} fields, {size} bytes", fields.len());
        if fields.len() == MOST_FIELDS {
            let (field, said) = fields.last().expect("the rest");
            assert!(field.is_empty() && said.starts_with("and ") && said.ends_with(" more"), "{name}: {field} {said}");
        } else {
            assert!(fields.len() < 50 && !fields.is_empty(), "{name}: {fields:?}");
        }
    }
}

/// Rows without a good address.
fn bad_rows(count: usize) -> pb::BatchCreateProspectsRequest {
    let row = |n| pb::Prospect { email: format!("nobody {n}"), ..Default::default() };
    pb::BatchCreateProspectsRequest { prospects: (0..count).map(row).collect(), ..Default::default() }
}

/// A message in its frame.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat()
}

/// The headers of the answer to a body made by hand, its trailers among them.
async fn post(target: &Target, path: &str, body: Vec<u8>, more: &[(&str, &str)]) -> HeaderMap {
    let client = Client::builder().http2_prior_knowledge().build().expect("a client");
    let call = client.post(format!("http://{}{path}", target.server.address)).header("te", "trailers");
    let mut call = call.header("content-type", "application/grpc");
    if !more.iter().any(|(name, _)| *name == "authorization") {
        call = call.header("x-user-id", "attacker");
    }
    for (name, value) in more {
        call = call.header(*name, *value);
    }
    let answer = call.body(Bytes::from(body)).send().await.expect("an answer");
    answer.headers().clone()
}

/// Whatever comes in place of a message, and to whatever service, the refusal says why.
#[tokio::test]
async fn what_is_no_message_is_refused_with_a_reason() {
    let target = Target::start(&[]).await;
    let bystander = target.bystander().await;
    let whole = framed(&pb::GetCacheEntryRequest { key: "k".to_owned() }.encode_to_vec());
    let mut compressed = whole.clone();
    compressed[0] = 1;
    let mut odd = whole.clone();
    odd[0] = 7;
    let large = (64_u32 << 20).to_be_bytes();
    let bodies: [(&str, Vec<u8>); 9] = [
        ("none", Vec::new()),
        ("half a header", whole[..3].to_vec()),
        ("half a message", whole[..whole.len() - 1].to_vec()),
        ("two messages", whole.repeat(2)),
        ("more after it", [&whole[..], b"more"].concat()),
        ("compressed", compressed),
        ("of an odd kind", odd),
        ("too large", [&[0], &large[..], b"a"].concat()),
        ("no protobuf", framed(&[0xff; 40])),
    ];
    let paths = [
        "/herald.v1.CacheService/GetCacheEntry",
        "/herald.v1.WorkflowService/WatchWorkflow",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/herald.v1.CacheService/Nothing",
    ];
    let mut without = Vec::new();
    for path in paths {
        for (what, body) in &bodies {
            for encoding in [None, Some("gzip")] {
                let more: Vec<_> = encoding.map(|encoding| ("grpc-encoding", encoding)).into_iter().collect();
                let answer = post(&target, path, body.clone(), &more).await;
                // A stream of questions may end without one, and tells what is wrong with them in its trailers.
                let Some(status) = Status::from_header_map(&answer) else { continue };
                // A service that is not there is health's own answer, by its protocol.
                let is_health = status.code() == Code::NotFound && path.starts_with("/grpc.health");
                if status.code() != Code::Ok && !is_health && super::reason_of(&status).is_none() {
                    without.push(format!("{path}, {what}, {encoding:?}: {status:?}"));
                }
            }
        }
    }
    assert!(without.is_empty(), "{} refusals without a reason:\n{}", without.len(), without.join("\n"));
    bystander.assert_served("what is no message");
}

/// A question of four megabytes to the reflection, which anybody may ask, is refused; nothing of it is sent back.
#[tokio::test]
async fn large_questions_of_strangers_are_refused() {
    let mut target = Target::start(&[]).await;
    let bystander = target.bystander().await;
    let memory = target.memory();
    let host = "h".repeat((4 << 20) - 100);
    let question = |host: &str| {
        let mut bytes = Vec::new();
        prost::encoding::string::encode(1, &host.to_owned(), &mut bytes);
        prost::encoding::string::encode(7, &"*".to_owned(), &mut bytes);
        bytes
    };
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for channel in [target.channel().await, target.channel().await] {
        let small = call_bytes(&channel, &headers(&[]), path, question("here")).await.expect("an answer");
        assert!(small.is_some_and(|answer| answer.len() < 64 << 10));
        let calls = (0..20).map(|_| {
            let (channel, question) = (channel.clone(), question(&host));
            async move { call_bytes(&channel, &headers(&[]), path, question).await }
        });
        for answer in futures_util::future::join_all(calls).await {
            // Reflection ends its answers without a word.
            match answer {
                Ok(answer) => assert_eq!(answer, None, "it is too large"),
                Err(status) => assert!(super::reason_of(&status).is_some(), "{status:?}"),
            }
        }
    }
    target.assert_alive();
    memory.assert_bounded("forty large questions");
    bystander.assert_served("large questions");
}

/// Whatever stands in place of a token, the refusal is the same.
#[tokio::test]
async fn bad_tokens_are_refused_alike() {
    let target = Target::start(&[("HERALD_AUTH_HS256_SECRET", crate::support::SECRET)]).await;
    let bystander = target.bystander().await;
    let memory = target.memory();
    let huge = format!("Bearer {}", "a".repeat(60_000));
    let dots = format!("Bearer {}", ".".repeat(10_000));
    let json = format!("Bearer {}.e30.e30", "eyJh".repeat(5_000));
    let tokens =
        ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer eyJhbGciOiJub25lIn0.e30.", &huge, &dots, &json];
    let path = "/herald.v1.TenantService/GetCaller";
    for _ in 0..20 {
        for token in tokens {
            let answer = post(&target, path, framed(&[]), &[("authorization", token)]).await;
            let status = Status::from_header_map(&answer).expect("a refusal");
            let shown = &token[..token.len().min(60)];
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::Unauthenticated, "CREDENTIALS_INVALID"),
                "{shown}"
            );
        }
    }
    memory.assert_bounded("bad tokens");
    bystander.assert_served("bad tokens");
}
