//! Connections that do what no client does: they take no answer, end no head, take back every call. `attack.py` makes them,
//! with a library whose rules can be broken. Others are served meanwhile, and once they are gone, so is all that they held.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use herald::cli::Api;
use herald::pb;
use serde_json::Value;
use tonic::Code;

use super::{Memory, Target};
use crate::support::{deep, prospects, reason};

/// Connections of one kind, until they are let go.
struct Attack {
    name: &'static str,
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

/// How long the head of a request may take, in these cases, in seconds.
const HEAD: u64 = 2;
/// And a call.
const CALL: u64 = 5;
/// What a loaded machine may take longer, in seconds.
const SLACK: f64 = 2.0;

// === impl Attack ===

impl Attack {
    /// That many connections, each in its place when this returns.
    async fn start(target: &Target, name: &'static str, count: usize) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join("target/venv/bin/python"));
        command.arg(root.join("tests/it/hostile/attack.py")).args([
            name,
            &target.port().to_string(),
            &count.to_string(),
        ]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("h2 is installed by `make test`");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            output.read_line(&mut line).expect("a line");
            assert_eq!(line, "ready\n", "{name}");
            Self { name, child, output }
        })
        .await
        .expect("no panic")
    }

    /// Lets go; what became of each connection.
    async fn end(mut self) -> Vec<Value> {
        tokio::task::spawn_blocking(move || {
            drop(self.child.stdin.take());
            let mut told = String::new();
            self.output.read_to_string(&mut told).expect("a text");
            let _ = self.child.wait();
            serde_json::from_str(&told).unwrap_or_else(|error| panic!("{}: {error}: {told}", self.name))
        })
        .await
        .expect("no panic")
    }
}

/// What the server held before an attack.
struct Before {
    handles: Vec<String>,
    memory: Memory,
}

impl Before {
    fn of(target: &Target) -> Self {
        Self { handles: target.handles(), memory: target.memory() }
    }

    /// Handles and places are given back in ten seconds, memory in a minute.
    async fn assert_given_back(&self, target: &Target, api: &mut Api, what: &str) {
        let begun = Instant::now();
        // Beside connections there are those of the database, some of which it opens when they are first needed.
        let sockets = |handles: &[String]| handles.iter().filter(|handle| handle.starts_with("socket:")).count();
        loop {
            let now = target.handles();
            if sockets(&now) <= sockets(&self.handles) && now.len() <= self.handles.len() + 8 {
                break;
            }
            let before = self.handles.len();
            assert!(begun.elapsed() < Duration::from_secs(10), "{what}: {before} handles before, and now {now:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // As many calls at once as the tenant may have.
        let calls = (0..100).map(|_| {
            let mut tenant = api.tenant.clone();
            async move { tenant.get_caller(pb::GetCallerRequest {}).await }
        });
        for answer in futures_util::future::join_all(calls).await {
            answer.unwrap_or_else(|status| panic!("{what}: the tenant's places are not given back: {status:?}"));
        }
        let handles = begun.elapsed();
        while self.memory.now() > 32 << 20 {
            let now = self.memory.now() >> 20;
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {now} MiB more than before, a minute later");
            api.tenant.get_caller(pb::GetCallerRequest {}).await.expect("an answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("{what}: handles given back after {handles:?}, memory after {:?}", begun.elapsed());
    }
}

/// The seconds after which a connection was closed.
fn closed(told: &Value) -> Option<f64> {
    told["closed"].as_f64()
}

fn answers(told: &Value) -> Vec<&str> {
    told["answers"].as_array().expect("answers").iter().filter_map(Value::as_str).collect()
}

/// The attacker's own calls, on a connection that was there before.
async fn attacker(target: &Target) -> Api {
    let mut api = target.user("attacker").await;
    api.tenant.get_caller(pb::GetCallerRequest {}).await.expect("an answer");
    api
}

/// Answers that nobody takes are held up to a budget and for the time of a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_stay_shut_hold_no_memory_and_nobody_up() {
    let mut target = Target::start(&[("HERALD_SERVER_REQUEST_TIMEOUT_SECONDS", &CALL.to_string())]).await;
    let mut api = attacker(&target).await;
    let text = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("a".repeat((1 << 20) - 100))) };
    let entry = pb::SetCacheEntryRequest { key: "large".to_owned(), value: Some(text), ttl: None };
    api.cache.set_cache_entry(entry).await.expect("set");
    let mut rows = prospects(200);
    for row in &mut rows {
        (row.notes, row.discovery_context) = ("n".repeat(4_000), "d".repeat(4_000));
    }
    let rows = pb::BatchCreateProspectsRequest { prospects: rows, ..Default::default() };
    api.agent.batch_create_prospects(rows).await.expect("created");
    let bystander = target.bystander().await;
    let before = Before::of(&target);
    let attack = Attack::start(&target, "windows", if deep() { 40 } else { 8 }).await;
    // Also while they are still there, the calls end with their time.
    tokio::time::sleep(Duration::from_secs(CALL)).await;
    let begun = Instant::now();
    while let Err(status) = api.cache.get_cache_entry(pb::GetCacheEntryRequest { key: "large".to_owned() }).await {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "TOO_MANY_BYTES"));
        assert!(begun.elapsed() < Duration::from_secs(CALL), "calls outlive their time: {status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let told = attack.end().await;
    let all: Vec<_> = told.iter().flat_map(answers).collect();
    println!("{} calls were refused or ended: {:?}", all.len(), &all[..all.len().min(8)]);
    target.assert_alive();
    before.memory.assert_bounded("shut windows");
    before.assert_given_back(&target, &mut api, "shut windows").await;
    bystander.assert_served("shut windows");
}

/// Whatever of a head has come, its rest has its time; then the connection is closed, and at no time before is anybody else
/// held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_do_not_end_end_their_connections() {
    let mut target = Target::start(&[("HERALD_SERVER_HEAD_TIMEOUT_SECONDS", &HEAD.to_string())]).await;
    let mut api = attacker(&target).await;
    let bystander = target.bystander().await;
    let before = Before::of(&target);
    let names = [
        "one_byte",
        "half_preface",
        "half_frame",
        "half_head",
        "half_payload",
        "later_half_head",
        "later_half_frame",
        "http1_half_head",
        "http1_later_half_head",
        "dripping_head",
        "later_dripping_head",
        "http1_dripping_head",
        "http1_later_dripping_head",
        "no_call",
    ];
    let mut attacks = Vec::new();
    for name in names {
        attacks.push(Attack::start(&target, name, 5).await);
    }
    tokio::time::sleep(Duration::from_secs(HEAD + 3)).await;
    let mut faults = Vec::new();
    for attack in attacks {
        let name = attack.name;
        for told in attack.end().await {
            let late = HEAD as f64 + SLACK;
            if closed(&told).is_none_or(|seconds| seconds > late) {
                faults.push(format!("{name}: {told}"));
            }
        }
    }
    target.assert_alive();
    assert!(faults.is_empty(), "connections that are not closed in {HEAD} seconds: {faults:#?}");
    before.memory.assert_bounded("half heads");
    before.assert_given_back(&target, &mut api, "half heads").await;
    bystander.assert_served("half heads");
}

/// A head without end is cut off long before it is large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_end_is_cut_off() {
    let mut target = Target::start(&[("HERALD_SERVER_HEAD_TIMEOUT_SECONDS", &HEAD.to_string())]).await;
    let mut api = attacker(&target).await;
    let bystander = target.bystander().await;
    let before = Before::of(&target);
    let told = Attack::start(&target, "endless_head", 4).await.end().await;
    target.assert_alive();
    for told in &told {
        assert!(closed(told).is_some() && told["sent"].as_u64().is_some_and(|sent| sent < 16 << 20), "{told}");
    }
    before.memory.assert_bounded("endless heads");
    before.assert_given_back(&target, &mut api, "endless heads").await;
    bystander.assert_served("endless heads");
}

/// Frames that ask for answers, by somebody who reads none: what cannot be sent is not gathered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_frames_that_nobody_reads_are_not_gathered() {
    let mut target = Target::start(&[]).await;
    let mut api = attacker(&target).await;
    let bystander = target.bystander().await;
    let before = Before::of(&target);
    for name in ["pings", "settings"] {
        let told = Attack::start(&target, name, 3).await.end().await;
        println!("{name}: {told:?}");
    }
    target.assert_alive();
    before.memory.assert_bounded("unread frames");
    before.assert_given_back(&target, &mut api, "unread frames").await;
    bystander.assert_served("unread frames");
}

/// A message that drips has the time of its call, and no memory is kept for what it announces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_drip_are_given_up_with_their_time() {
    let mut target = Target::start(&[("HERALD_SERVER_REQUEST_TIMEOUT_SECONDS", "3")]).await;
    let mut api = attacker(&target).await;
    let bystander = target.bystander().await;
    let before = Before::of(&target);
    let attack = Attack::start(&target, "slow_body", 3).await;
    tokio::time::sleep(Duration::from_secs(3 + SLACK as u64 + 1)).await;
    let told = attack.end().await;
    target.assert_alive();
    // 4: its time is over. 8: as many bytes are announced as a tenant may send at once.
    let all: Vec<_> = told.iter().flat_map(answers).collect();
    let count = |code: &str| all.iter().filter(|answer| **answer == code).count();
    println!("{} calls were past their time, {} too many", count("4"), count("8"));
    assert!(all.len() == 60 && count("4") + count("8") == 60 && count("4") > 0, "{told:?}");
    before.memory.assert_bounded("dripping messages");
    before.assert_given_back(&target, &mut api, "dripping messages").await;
    bystander.assert_served("dripping messages");
}

/// Calls that are taken back at once, of methods that are there and of those that nobody has: no memory, and no names of
/// strangers among the metrics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_taken_back_leave_nothing() {
    let mut target = Target::start(&[]).await;
    let mut api = attacker(&target).await;
    let bystander = target.bystander().await;
    let before = Before::of(&target);
    for name in ["resets", "names"] {
        let told = Attack::start(&target, name, if deep() { 20 } else { 4 }).await.end().await;
        let made: u64 = told.iter().filter_map(|told| told["made"].as_u64()).sum();
        println!("{name}: {made} calls");
        assert!(made > 100, "{told:?}");
    }
    target.assert_alive();
    let metrics = target.metrics().await;
    println!("{} bytes of metrics", metrics.len());
    assert!(!metrics.contains("planted") && metrics.len() < 256 << 10, "{} bytes of metrics", metrics.len());
    before.memory.assert_bounded("calls that are taken back");
    before.assert_given_back(&target, &mut api, "calls that are taken back").await;
    bystander.assert_served("calls that are taken back");
}

/// More connections than there are file handles: some are kept back, so that who is served stays served, files too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_file_handles_leave_handles_for_files() {
    let mut target = Target::with_files(256, &[]).await;
    let mut api = attacker(&target).await;
    let mut other = target.user("other").await;
    other.tenant.get_caller(pb::GetCallerRequest {}).await.expect("an answer");
    let bystander = target.bystander().await;
    let before = Before::of(&target);
    let attack = Attack::start(&target, "crowd", 300).await;
    let handles = target.handles().len();
    for _ in 0..5 {
        other.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect("files are written");
    }
    let told = attack.end().await;
    let taken = told.iter().filter(|told| told["taken"] == true).count();
    println!("{taken} of 300 were taken, {handles} handles");
    assert!((100..=128).contains(&taken) && handles < 250, "{taken} of 300 were taken, {handles} handles");
    target.assert_alive();
    before.memory.assert_bounded("a crowd");
    before.assert_given_back(&target, &mut api, "a crowd").await;
    bystander.assert_served("a crowd");
}

/// One address has its share of the connections; another's client is let in, and its files are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_from_one_address_keeps_out_no_other_address() {
    let env = [("HERALD_SERVER_MAX_CONNECTIONS_PER_ADDRESS", "50")];
    let mut target = Target::with_files(256, &env).await;
    let attack = Attack::start(&target, "crowd", 300).await;
    // All of 127.0.0.0/8 is this machine.
    let client =
        reqwest::Client::builder().http2_prior_knowledge().local_address(std::net::IpAddr::from([127, 0, 0, 2]));
    let client = client.build().expect("a client");
    for method in ["GetCaller", "WriteSnapshot"] {
        let url = format!("http://{}/herald.v1.TenantService/{method}", target.server.address);
        let call = client.post(url).header("content-type", "application/grpc").header("te", "trailers");
        let answer = call.header("x-user-id", "other").body(vec![0_u8; 5]).send().await.expect("it is let in");
        assert_eq!(answer.headers().get("grpc-status"), None, "{method}: {answer:?}");
        assert!(answer.bytes().await.expect("a message").len() >= 5);
    }
    let told = attack.end().await;
    let taken = told.iter().filter(|told| told["taken"] == true).count();
    assert_eq!(taken, 50, "of one address");
    target.assert_alive();
    let metrics = target.metrics().await;
    assert!(metrics.lines().any(|line| line.contains("refused_connection") && line.contains("address")), "{metrics}");
}
