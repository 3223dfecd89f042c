//! An error that a real Redis answers proves that it is there: it fails the operation that it answers and nothing else. And
//! clusters that do not say where their nodes are.

use std::process::Stdio;
use std::time::Duration;

use herald::cache::CacheError;
use herald::config::Config;
use herald::pb::{self, CampaignState};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::process::serve_with;
use crate::support::redis::{RedisCluster, RedisServer, cache, patient, reachable, settings};
use crate::support::site;
use crate::support::{TestApp, add_prospects, config, folder, reaches, reason, scope, seams, start_campaign};

/// Asks often, within less than the breaker would stay open: the refused operation is refused each time, another is done.
async fn refuses_alone(url: &str, wanted: &CacheError) {
    let cache = cache(&patient(url));
    let (a, b) = (scope("user_a").await, scope("user_b").await);
    reachable(&cache).await;
    for _ in 0..20 {
        assert_eq!(cache.scope(&a).set("x", &json!("y".repeat(1_000)), None).await.as_ref(), Err(wanted));
        cache.scope(&b).exists("x").await.expect("others go on, and at once");
        cache.scope(&a).exists("y").await.expect("and so does whoever was refused");
    }
}

fn refused(code: &str) -> CacheError {
    CacheError::Refused(code.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_refuses_what_takes_room_and_answers_the_rest() {
    let server = RedisServer::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    refuses_alone(&server.url(), &CacheError::Full).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_refuses_writes_and_answers_reads() {
    let main = RedisServer::start(&[]);
    let port = main.port.to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]);
    while !replica.cli(&["info", "replication"]).iter().any(|line| line == "master_link_status:up") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    refuses_alone(&replica.url(), &refused("READONLY")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_rights_is_refused_what_they_are_for() {
    let server = RedisServer::start(&[]);
    server.cli(&["acl", "setuser", "reader", "on", ">s3cret", "~*", "+@read", "+@connection", "-eval"]);
    let url = format!("redis://reader:s3cret@127.0.0.1:{}", server.port);
    refuses_alone(&url, &refused("NOPERM")).await;
    let cache = cache(&patient(&url));
    reachable(&cache).await;
    server.cli(&["rpush", "user:user_a:list", "1"]);
    let a = scope("user_a").await;
    assert_eq!(cache.scope(&a).list("list", 0, 10, 1_000).await, Err(refused("NOPERM")), "a list is read by a script");
    cache.scope(&a).exists("x").await.expect("others go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_a_cluster_asked_as_if_it_were_alone_answers_for_its_own_keys() {
    let cluster = RedisCluster::start();
    let cache = cache(&patient(&cluster.url().replace("redis-cluster", "redis")));
    let a = scope("user_a").await;
    let (mut moved, mut answered) = (0, 0);
    for n in 0..50 {
        match cache.scope(&a).exists(&format!("k{n}")).await {
            Ok(_) => answered += 1,
            Err(CacheError::Refused(code)) if code == "MOVED" => moved += 1,
            // The first ones come before the connection.
            Err(error) => assert!(n < 3, "{error:?}"),
        }
    }
    assert!(moved > 5 && answered > 5, "{moved} moved, {answered} answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_script_runs_redis_is_busy_and_not_away() {
    let server = RedisServer::start(&["--busy-reply-threshold", "1"]);
    let cache = cache(&patient(&server.url()));
    reachable(&cache).await;
    let port = server.port.to_string();
    let mut script = std::process::Command::new("redis-cli")
        .args(["-p", &port, "eval", "while true do end", "0"])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-cli");
    let a = scope("user_a").await;
    let busy = async {
        while cache.scope(&a).exists("x").await != Err(refused("BUSY")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), busy).await.expect("it says so");
    server.cli(&["script", "kill"]);
    script.wait().expect("it ends");
    cache.scope(&a).exists("x").await.expect("at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_are_told_by_code_and_reason() {
    let server = RedisServer::start(&[]);
    server.cli(&["acl", "setuser", "default", "-incrby"]);
    let data = folder();
    let config = Config { cache: patient(&server.url()), ..config(&data) };
    let app = TestApp::with(data, config, seams()).await;
    let mut api = app.user("user_a").await;
    let set = |key: &str| pb::SetCacheEntryRequest {
        key: key.into(),
        value: Some(prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(1.0)) }),
        ttl: None,
    };
    api.cache.set_cache_entry(set("x")).await.expect("set");
    let increment = pb::IncrementCacheCounterRequest { key: "n".into(), delta: Some(1) };
    let status = api.cache.increment_cache_counter(increment).await.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "CACHE_REFUSED"));
    assert!(status.message().contains("NOPERM") && !status.message().contains("incrby"), "{}", status.message());
    assert!(status.get_error_details().retry_info().is_some());
    server.cli(&["config", "set", "maxmemory", "1"]);
    let status = api.cache.set_cache_entry(set("y")).await.expect_err("full");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "CACHE_FULL"));
    assert!(status.get_error_details().retry_info().is_some());
}

/// What is published for others waits for Redis to take it, and one tenant whose key never is taken keeps nobody waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_refused_is_published_once_it_is_taken_and_holds_up_nobody() {
    let server = RedisServer::start(&[]);
    // Whatever is about `poisoned` is refused, and everything while there is no room.
    server.cli(&["acl", "setuser", "herald", "on", ">s3cret", "+@all", "resetkeys"]);
    server.cli(&["acl", "setuser", "herald", "~user:user_*", "~herald:keys:*"]);
    let url = format!("redis://herald:s3cret@127.0.0.1:{}", server.port);
    let data = folder();
    let config = Config { cache: settings(&url), ..config(&data) };
    let app = TestApp::with(data, config, seams()).await;
    let website = site::pages([("/", site::company())]).await;
    server.cli(&["config", "set", "maxmemory", "1"]);
    for user in ["poisoned", "user_a", "user_b", "user_c"] {
        let mut api = app.user(user).await;
        add_prospects(&mut api, 2).await;
        start_campaign(&mut api, &website).await;
        reaches(&mut api, CampaignState::WaitingApproval).await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(server.cli(&["keys", "user:*"]).concat(), "");
    server.cli(&["config", "set", "maxmemory", "0"]);
    for user in ["user_a", "user_b", "user_c"] {
        let key = format!("user:{user}:workflow_state");
        let published = async {
            while !server.cli(&["get", &key]).concat().contains("WAITING_APPROVAL") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), published).await.unwrap_or_else(|_| panic!("{user} is not told"));
    }
    server.cli(&["acl", "setuser", "herald", "~*"]);
    let published = async {
        while server.cli(&["get", "user:poisoned:workflow_state"]).concat().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), published).await.expect("it is told too");
}

/// Behind an address that is another from within: each node is where it was asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_without_an_endpoint_are_found_at_the_address_that_was_asked() {
    let cluster = RedisCluster::start();
    cluster.each(&["config", "set", "cluster-preferred-endpoint-type", "unknown-endpoint"]);
    let cache = cache(&patient(&cluster.url()));
    reachable(&cache).await;
    let a = scope("user_a").await;
    for n in 0..50 {
        let key = format!("k{n}");
        cache.scope(&a).set(&key, &json!(n), None).await.expect("set");
        assert_eq!(cache.scope(&a).get(&key).await, Ok(Some(json!(n))));
    }
}

/// The client of Redis takes these for names; the log says what to set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_host_is_empty_or_a_question_mark_are_told_of_plainly() {
    let named = RedisCluster::start();
    named.each(&["config", "set", "cluster-preferred-endpoint-type", "hostname"]);
    // One that has met no other knows no address of its own.
    let alone = RedisServer::start(&["--cluster-enabled", "yes"]);
    alone.cli(&["cluster", "addslotsrange", "0", "16383"]);
    for url in [named.url(), format!("redis-cluster://127.0.0.1:{}", alone.port)] {
        let data = folder();
        let path = data.path().join("log");
        let log = std::fs::File::create(&path).expect("made");
        let env = [("HERALD_CACHE_URL", url.as_str()), ("HERALD_LOG", "warn")];
        let server = serve_with(data.path(), &env, log.into());
        let mut api = server.user("user_a").await;
        let told = async {
            loop {
                let asked = pb::CacheEntryExistsRequest { key: "x".into() };
                if api.cache.cache_entry_exists(asked).await.is_ok() {
                    return;
                }
                let log = std::fs::read_to_string(&path).expect("a log");
                if log.contains("the cluster gives a node no host: set cluster-announce-ip") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), told).await.unwrap_or_else(|_| {
            panic!("{url}: {}", std::fs::read_to_string(&path).expect("a log"));
        });
    }
}
