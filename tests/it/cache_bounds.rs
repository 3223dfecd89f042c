//! What one tenant's cache may cost the others: a page of keys is as dear as the page, an answer as its weight, and what
//! only Redis knows is found within its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use herald::cache::{CacheError, SWEEP, TenantCache};
use herald::cli::Api;
use herald::config::{self, Config};
use herald::pb;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::redis::{RedisCluster, RedisServer, cache, patient, reachable, settings};
use crate::support::{Seeded, TestApp, config, folder, reason, scope, seams};

async fn on(cache: config::Cache) -> TestApp {
    let data = folder();
    let config = Config { cache, ..config(&data) };
    TestApp::with(data, config, seams()).await
}

/// Sets keys `k000000` to `k…` of a user, five hundred at a time.
async fn fill(app: &TestApp, user: &str, count: usize) {
    let scope = scope(user).await;
    let cache = app.ready.cache.scope(&scope);
    for from in (0..count).step_by(500) {
        let keys: Vec<_> = (from..count.min(from + 500)).map(|n| format!("k{n:06}")).collect();
        let pairs: Vec<_> = keys.iter().map(|key| (key.as_str(), json!(1))).collect();
        cache.set_many(&pairs, None).await.expect("set");
    }
}

/// The middle of the times that a page of a thousand keys takes, from the first on and from a token on.
async fn page_time(api: &mut Api) -> Duration {
    let mut times = Vec::new();
    for _ in 0..15 {
        let begun = Instant::now();
        let page = api.cache.list_cache_keys(pb::ListCacheKeysRequest::default()).await.expect("keys").into_inner();
        times.push(begun.elapsed());
        assert_eq!((page.keys.len(), page.keys[0].as_str(), page.keys[999].as_str()), (1_000, "k000000", "k000999"));
    }
    times.sort_unstable();
    times[times.len() / 2]
}

async fn a_page_costs_the_page(app: &TestApp, count: usize) {
    fill(app, "few", 1_000).await;
    fill(app, "many", count).await;
    let (mut few, mut many) = (app.user("few").await, app.user("many").await);
    let (few, many) = (page_time(&mut few).await, page_time(&mut many).await);
    assert!(many < few * 4 + Duration::from_millis(2), "{many:?} of {count} keys, {few:?} of 1,000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_keys_costs_the_page_and_not_the_tenant_in_memory() {
    let app = on(config::Cache { memory_bytes: 256 * 1024 * 1024, ..settings("") }).await;
    a_page_costs_the_page(&app, 250_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_keys_costs_the_page_and_not_the_tenant_in_redis() {
    let server = RedisServer::start(&[]);
    a_page_costs_the_page(&on(patient(&server.url())).await, 20_000).await;
}

/// A mebibyte of JSON that as a tree takes many times that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_values_of_many_elements_are_no_answer() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let scope = scope("user_a").await;
    let keys: Vec<_> = (0..16).map(|n| format!("k{n}")).collect();
    for key in &keys {
        app.ready.cache.scope(&scope).set(key, &json!(vec![json!([]); 90_000]), None).await.expect("set");
    }
    let answer = api.cache.batch_get_cache_entries(pb::BatchGetCacheEntriesRequest { keys }).await.map(drop);
    assert_eq!(reason(&answer.expect_err("too many elements")), "ANSWER_TOO_LARGE");
}

/// Sweeps often until it is dropped.
fn sweeping(cache: &Arc<TenantCache>) -> tokio_util::sync::DropGuard {
    let (cache, stop) = (cache.clone(), CancellationToken::new());
    let until = stop.clone();
    tokio::spawn(async move { cache.sweep_forever(Duration::from_millis(50), until).await });
    stop.drop_guard()
}

/// Waits until the tenant's keys are these.
async fn lists(cache: &TenantCache, user: &str, keys: &[&str]) {
    let scope = scope(user).await;
    let mut found = Ok(Vec::new());
    for _ in 0..200 {
        found = cache.scope(&scope).keys().await;
        if found.as_deref() == Ok(keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>().as_slice()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the keys of {user} are {found:?}, not {keys:?}");
}

/// The time between two sweeps, a sweep that has just passed the key, and the next one.
#[test]
fn a_key_is_listed_within_a_minute_if_a_sweep_takes_less_than_twenty_seconds() {
    assert!(SWEEP + Duration::from_secs(20) + Duration::from_secs(20) <= Duration::from_secs(60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_is_listed_by_the_next_sweep_also_after_redis_was_away_or_lost_an_index() {
    let mut server = RedisServer::start(&[]);
    let cache = Arc::new(cache(&patient(&server.url())));
    reachable(&cache).await;
    // In place of an index there is something else.
    server.cli(&["mset", "herald:keys:c", "no index", "user:c:x", "1"]);
    let _sweeping = sweeping(&cache);
    for key in ["user:a:one", "user:a:t:w:o", "user:b:x", "user::y", "user:a", "other:a:z"] {
        server.cli(&["set", key, "1"]);
    }
    lists(&cache, "a", &["one", "t:w:o"]).await;
    lists(&cache, "b", &["x"]).await;
    assert_eq!(server.cli(&["keys", "herald:*"]).len(), 3);
    // An index that is evicted is made again.
    server.cli(&["del", "herald:keys:a"]);
    lists(&cache, "a", &["one", "t:w:o"]).await;
    // Away, and back and empty.
    server.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.restart();
    server.cli(&["rpush", "user:a:three", "1"]);
    lists(&cache, "a", &["three"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_on_any_server_of_a_cluster_is_listed() {
    let cluster = RedisCluster::start();
    let (writer, reader) = (cache(&patient(&cluster.url())), Arc::new(cache(&patient(&cluster.url()))));
    reachable(&writer).await;
    reachable(&reader).await;
    let a = scope("a").await;
    let keys: Vec<_> = (0..50).map(|n| format!("k{n:02}")).collect();
    for key in &keys {
        writer.scope(&a).set(key, &json!(1), None).await.expect("set");
    }
    // As another backend would have left it: without an index.
    cluster.cli(&["del", "herald:keys:a"]);
    assert_eq!(reader.scope(&a).keys().await, Ok(Vec::new()));
    let _sweeping = sweeping(&reader);
    lists(&reader, "a", &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(writer.scope(&a).delete_all().await, Ok(50));
    assert_eq!(cluster.cli(&["exists", "herald:keys:a"]), ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_does_not_keep_what_is_gone() {
    let server = RedisServer::start(&[]);
    let cache = Arc::new(cache(&patient(&server.url())));
    reachable(&cache).await;
    let a = scope("a").await;
    let keys: Vec<_> = (0..2_500).map(|n| format!("k{n:04}")).collect();
    let set = async |ttl: u64| {
        for some in keys.chunks(500) {
            let pairs: Vec<_> = some.iter().map(|key| (key.as_str(), json!(1))).collect();
            cache.scope(&a).set_many(&pairs, Some(Duration::from_millis(ttl))).await.expect("set");
        }
    };
    let listed = || server.cli(&["zcard", "herald:keys:a"])[0].parse::<usize>().expect("a number");
    // By pages, each within its bound.
    set(100).await;
    cache.scope(&a).set("z", &json!(1), None).await.expect("set");
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(listed(), 2_501);
    let (mut request, mut pages) = (herald::domain::paging::PageRequest { size: 5, after: None }, 0);
    loop {
        let page = cache.scope(&a).keys_page("", &request).await.expect("a page");
        (request.after, pages) = (page.next, pages + 1);
        if request.after.is_none() {
            assert_eq!(page.rows, ["z"]);
            break;
        }
        assert!(page.rows.is_empty());
    }
    assert!((2..=4).contains(&pages), "{pages} pages");
    assert_eq!(listed(), 1);
    // By the sweep.
    set(100).await;
    let _sweeping = sweeping(&cache);
    for _ in 0..200 {
        if listed() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(listed(), 1);
    lists(&cache, "a", &["z"]).await;
}

/// Pages and sweeps take out what is gone beside a writer who brings it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_comes_and_goes_beside_pages_and_sweeps_in_the_end_what_is_there_is_listed() {
    let server = RedisServer::start(&[]);
    let cache = Arc::new(cache(&patient(&server.url())));
    reachable(&cache).await;
    let _sweeping = sweeping(&cache);
    let a = scope("a").await;
    let paging = tokio::spawn({
        let (cache, a) = (cache.clone(), a.clone());
        async move {
            loop {
                cache.scope(&a).keys().await.expect("keys");
            }
        }
    });
    let numbers = Seeded::new(1);
    let mut there = std::collections::BTreeSet::new();
    for _ in 0..3_000 {
        let key = format!("k{:02}", numbers.below(50));
        if numbers.below(2) == 0 {
            cache.scope(&a).set(&key, &json!(1), None).await.expect("set");
            there.insert(key);
        } else {
            assert_eq!(cache.scope(&a).delete(&key).await, Ok(there.remove(&key)));
        }
    }
    paging.abort();
    let there: Vec<_> = there.iter().map(String::as_str).collect();
    lists(&cache, "a", &there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_tenants_are_deleted_at_once_one_after_the_other() {
    let server = RedisServer::start(&[]);
    let cache = Arc::new(cache(&patient(&server.url())));
    reachable(&cache).await;
    let mut deleting = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (cache, scope) = (cache.clone(), scope(&format!("user_{n}")).await);
        let keys: Vec<_> = (0..300).map(|n| format!("k{n}")).collect();
        let pairs: Vec<_> = keys.iter().map(|key| (key.as_str(), json!(1))).collect();
        cache.scope(&scope).set_many(&pairs, None).await.expect("set");
        deleting.spawn(async move { cache.scope(&scope).delete_all().await });
    }
    assert_eq!(deleting.join_all().await, vec![Ok(300); 8]);
    assert_eq!(server.cli(&["dbsize"]), ["0"]);
}

/// Redis counts what it has sent: nothing of what does not fit is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_wrote_and_does_not_fit_is_not_read() {
    let server = RedisServer::start(&[]);
    let cache = cache(&patient(&server.url()));
    reachable(&cache).await;
    let a = scope("a").await;
    let a = cache.scope(&a);
    let make = |command: &str, key: &str, size: usize| {
        let script = format!("return redis.call('{command}', KEYS[1], string.rep('x', {size}))");
        server.cli(&["eval", &script, "1", key]);
    };
    const ROOM: usize = 16 * 1024 * 1024;
    make("set", "user:a:huge", 64 * 1024 * 1024);
    make("rpush", "user:a:list", 10);
    make("rpush", "user:a:list", 64 * 1024 * 1024);
    server.cli(&["set", "user:a:empty", ""]);
    let sent = || {
        let stats = server.cli(&["info", "stats"]);
        let line = stats.iter().find_map(|line| line.strip_prefix("total_net_output_bytes:")).expect("a count");
        line.trim().parse::<usize>().expect("a number")
    };
    let before = sent();
    assert_eq!(a.get("huge").await, Err(CacheError::NoRoom));
    assert_eq!(a.get_many(&["huge", "list", "none"], ROOM).await, Err(CacheError::NoRoom));
    assert_eq!(a.get_many(&["list", "none", "empty"], ROOM).await, Ok(vec![None, None, Some(json!(""))]));
    let page = a.items("list", 0, 10, ROOM).await.expect("the first item");
    assert_eq!((page.rows.len(), page.next), (1, Some(1)));
    assert_eq!(a.items("list", 1, 10, ROOM).await, Err(CacheError::NoRoom));
    assert_eq!(a.get("list").await, Ok(None));
    assert!(sent() - before < 100_000, "{} bytes were read", sent() - before);
    // What fits is read, of any size: a plain text has one element.
    make("set", "user:a:large", ROOM - 64);
    assert_eq!(
        a.get("large").await.map(|value| value.map(|value| value.as_str().map(str::len))),
        Ok(Some(Some(ROOM - 64)))
    );
    make("set", "user:a:large", ROOM - 63);
    assert_eq!(a.get("large").await, Err(CacheError::NoRoom));
}
