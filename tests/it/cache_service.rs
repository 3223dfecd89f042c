//! CacheService: its limits at their edges, what it refuses, a Redis that the old server has filled, and one that is away.

use std::time::{Duration, Instant};

use herald::cli::Api;
use herald::config::{self, Config};
use herald::pb;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::redis::{RedisServer, patient, settings};
use crate::support::{TestApp, add_prospects, config, folder, reason, seams};

fn text(text: impl Into<String>) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

fn number(number: f64) -> Value {
    Value { kind: Some(Kind::NumberValue(number)) }
}

async fn set(api: &mut Api, key: &str, value: Value) -> Result<(), Status> {
    let request = pb::SetCacheEntryRequest { key: key.to_owned(), value: Some(value), ttl: None };
    api.cache.set_cache_entry(request).await.map(|_| ())
}

async fn get(api: &mut Api, key: &str) -> Result<pb::CacheEntry, Status> {
    let request = pb::GetCacheEntryRequest { key: key.to_owned() };
    Ok(api.cache.get_cache_entry(request).await?.into_inner().entry.expect("an entry"))
}

async fn increment(api: &mut Api, key: &str, delta: Option<i64>) -> Result<i64, Status> {
    let request = pb::IncrementCacheCounterRequest { key: key.to_owned(), delta };
    Ok(api.cache.increment_cache_counter(request).await?.into_inner().value)
}

async fn push(api: &mut Api, key: &str, value: Value) -> Result<i32, Status> {
    let request = pb::PushCacheListRequest { key: key.to_owned(), value: Some(value) };
    Ok(api.cache.push_cache_list(request).await?.into_inner().length)
}

/// Every item, in pages of a size.
async fn items(api: &mut Api, key: &str, page_size: i32) -> Result<Vec<Value>, Status> {
    let (mut items, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::GetCacheListRequest { key: key.to_owned(), page_size, page_token };
        let page = api.cache.get_cache_list(request).await?.into_inner();
        items.extend(page.items);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(items);
        }
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.expect_err("refused");
    (status.code(), reason(&status))
}

fn bad(reason: &str) -> (Code, String) {
    (Code::InvalidArgument, reason.to_owned())
}

async fn keeps_its_word(app: &TestApp) {
    let (mut a, mut b) = (app.user("user_a").await, app.user("user_b").await);
    // Values of every kind come back as they were.
    let object =
        Struct { fields: [("a".to_owned(), number(1.5)), ("例".to_owned(), text("子"))].into_iter().collect() };
    let list = ListValue { values: vec![number(1.0), Value { kind: Some(Kind::NullValue(0)) }] };
    for (n, kind) in [
        Kind::NullValue(0),
        Kind::BoolValue(false),
        Kind::NumberValue(-7.25),
        Kind::StringValue("=1+1".into()),
        Kind::StructValue(object),
        Kind::ListValue(list),
    ]
    .into_iter()
    .enumerate()
    {
        let (key, value) = (format!("v{n}"), Value { kind: Some(kind) });
        set(&mut a, &key, value.clone()).await.expect("set");
        let entry = get(&mut a, &key).await.expect("there");
        assert_eq!((entry.key, entry.value, entry.counter), (key.clone(), Some(value), None));
        assert_eq!(refused(get(&mut b, &key).await), (Code::NotFound, "CACHE_KEY_NOT_FOUND".into()));
    }
    let exists = |key: &str| pb::CacheEntryExistsRequest { key: key.to_owned() };
    assert!(a.cache.cache_entry_exists(exists("v0")).await.expect("asked").into_inner().exists);
    assert!(!b.cache.cache_entry_exists(exists("v0")).await.expect("asked").into_inner().exists);

    // Counters are exact 64-bit integers.
    assert_eq!(increment(&mut a, "n", None).await.expect("one"), 1);
    assert_eq!(increment(&mut a, "n", Some(-3)).await.expect("less"), -2);
    assert_eq!(increment(&mut a, "n", Some(0)).await.expect("read"), -2);
    assert_eq!(increment(&mut a, "n", Some(i64::MAX)).await.expect("much"), i64::MAX - 2);
    assert_eq!(get(&mut a, "n").await.expect("there").counter, Some(i64::MAX - 2));
    let kind = (Code::FailedPrecondition, "CACHE_KIND".to_owned());
    assert_eq!(refused(increment(&mut a, "n", Some(3)).await), kind, "it would be none");
    assert_eq!(get(&mut a, "n").await.expect("there").counter, Some(i64::MAX - 2), "and stays as it was");
    assert_eq!(refused(increment(&mut a, "v2", None).await), kind, "-7.25");
    assert_eq!(refused(increment(&mut a, "v3", None).await), kind, "a text");
    set(&mut a, "seven", number(7.0)).await.expect("set");
    assert_eq!(increment(&mut a, "seven", None).await.expect("a whole number"), 8);

    // Lists keep their order, in pages.
    for n in 0..7 {
        assert_eq!(push(&mut a, "list", number(f64::from(n))).await.expect("pushed"), n + 1);
    }
    let expected: Vec<_> = (0..7).map(|n| number(f64::from(n))).collect();
    for page_size in [0, 1, 3, 7, 8] {
        assert_eq!(items(&mut a, "list", page_size).await.expect("a list"), expected);
    }
    assert_eq!(items(&mut b, "list", 0).await.expect("none"), []);
    assert_eq!(refused(push(&mut a, "v3", number(1.0)).await), kind);
    assert_eq!(refused(items(&mut a, "v3", 0).await), kind);
    assert_eq!(refused(get(&mut a, "list").await), kind);

    // A time of its own.
    let ttl = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let with = |ttl| pb::SetCacheEntryRequest { key: "short".into(), value: Some(number(1.0)), ttl };
    for (bad_ttl, seconds, nanos) in [(true, 0, 0), (true, -1, 0), (true, 0, 999_999), (true, 31_536_001, 0)] {
        assert!(bad_ttl);
        assert_eq!(refused(a.cache.set_cache_entry(with(ttl(seconds, nanos))).await), bad("FIELD_INVALID"));
    }
    a.cache.set_cache_entry(with(ttl(31_536_000, 0))).await.expect("a year");
    a.cache.set_cache_entry(with(ttl(0, 200_000_000))).await.expect("a while");
    assert!(get(&mut a, "short").await.is_ok());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(refused(get(&mut a, "short").await).1, "CACHE_KEY_NOT_FOUND");

    // Batches keep the order asked for.
    let entry = |n: usize| pb::CacheEntry { key: format!("b{n:03}"), value: Some(number(n as f64)), counter: None };
    let entries: Vec<_> = (0..500).map(entry).collect();
    let batch = pb::BatchSetCacheEntriesRequest { entries, ttl: None };
    a.cache.batch_set_cache_entries(batch).await.expect("set");
    let keys: Vec<_> =
        (0..250).rev().map(|n| format!("b{n:03}")).chain(["none".to_owned(), "list".to_owned()]).collect();
    let asked = pb::BatchGetCacheEntriesRequest { keys: keys.clone() };
    let found = a.cache.batch_get_cache_entries(asked).await.expect("values").into_inner().entries;
    assert_eq!(found.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(), keys);
    assert_eq!((found[0].counter, found[249].counter), (Some(249), Some(0)));
    assert!(found[250..].iter().all(|entry| entry.value.is_none()));

    // Keys in pages, by a prefix that is no pattern.
    set(&mut a, "b*", number(1.0)).await.expect("set");
    let (mut keys, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListCacheKeysRequest { prefix: "b".into(), page_size: 100, page_token };
        let page = a.cache.list_cache_keys(request).await.expect("keys").into_inner();
        keys.extend(page.keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((keys.len(), keys[0].as_str(), keys[500].as_str()), (501, "b*", "b499"));
    let star = pb::ListCacheKeysRequest { prefix: "b*".into(), ..Default::default() };
    assert_eq!(a.cache.list_cache_keys(star).await.expect("keys").into_inner().keys, ["b*"]);

    set(&mut b, "kept", number(1.0)).await.expect("set");
    let delete = || pb::DeleteCacheEntryRequest { key: "b*".into() };
    assert!(a.cache.delete_cache_entry(delete()).await.expect("deleted").into_inner().deleted);
    assert!(!a.cache.delete_cache_entry(delete()).await.expect("gone").into_inner().deleted);
    let all =
        a.cache.delete_all_cache_entries(pb::DeleteAllCacheEntriesRequest {}).await.expect("deleted").into_inner();
    // Six values, two counters, a list, five hundred in a batch.
    assert_eq!(all.deleted_count, 509);
    assert!(get(&mut b, "kept").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_service_keeps_its_word_in_memory() {
    keeps_its_word(&TestApp::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_service_keeps_its_word_in_redis() {
    let server = RedisServer::start(&[]);
    keeps_its_word(&on(patient(&server.url())).await).await;
}

async fn on(cache: config::Cache) -> TestApp {
    let data = folder();
    let config = Config { cache, ..config(&data) };
    TestApp::with(data, config, seams()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_limit_holds_at_one_below_at_and_one_above() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    for (bytes, fits) in [(0, false), (1, true), (511, true), (512, true), (513, false)] {
        let key = "k".repeat(bytes);
        let results = [
            set(&mut api, &key, number(1.0)).await.err(),
            increment(&mut api, &format!("{}n", &key[..bytes.saturating_sub(1)]), None)
                .await
                .err()
                .filter(|_| bytes > 0),
            push(&mut api, &format!("{}l", &key[..bytes.saturating_sub(1)]), number(1.0))
                .await
                .err()
                .filter(|_| bytes > 0),
        ];
        for result in results.into_iter().filter(|_| bytes > 0) {
            assert_eq!(
                result.map(|status| reason(&status)),
                (!fits).then(|| "FIELD_INVALID".to_owned()),
                "{bytes} bytes"
            );
        }
        let asked = pb::BatchGetCacheEntriesRequest { keys: vec!["fine".into(), key.clone()] };
        let status = api.cache.batch_get_cache_entries(asked).await.err();
        let named = status
            .map(|status| status.get_error_details().bad_request().expect("fields").field_violations[0].field.clone());
        assert_eq!(named, (!fits).then(|| "keys[1]".to_owned()), "{bytes} bytes");
    }
    // A text has two quotes as JSON.
    const MIB: usize = 1024 * 1024;
    for (bytes, fits) in [(MIB - 1, true), (MIB, true), (MIB + 1, false)] {
        let result = set(&mut api, "large", text("x".repeat(bytes - 2))).await;
        assert_eq!(result.map_err(|status| reason(&status)), if fits { Ok(()) } else { Err("FIELD_INVALID".into()) });
    }
    for (count, fits) in [(0, false), (1, true), (499, true), (500, true), (501, false)] {
        let entry = |n: usize| pb::CacheEntry { key: format!("b{n}"), value: Some(number(1.0)), counter: None };
        let batch = pb::BatchSetCacheEntriesRequest { entries: (0..count).map(entry).collect(), ttl: None };
        let result = api.cache.batch_set_cache_entries(batch).await;
        assert_eq!(result.is_ok(), fits, "{count} entries");
        let asked = pb::BatchGetCacheEntriesRequest { keys: (0..count).map(|n| format!("b{n}")).collect() };
        assert_eq!(api.cache.batch_get_cache_entries(asked).await.is_ok(), fits, "{count} keys");
    }
    let mut pushing = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut api = api.clone();
        pushing.spawn(async move {
            for _ in 0..500 {
                push(&mut api, "full", number(1.0)).await.expect("room");
            }
        });
    }
    pushing.join_all().await;
    // An element of a list is one of the value's; the list is one too.
    let ones = |count: usize| Value { kind: Some(Kind::ListValue(ListValue { values: vec![number(1.0); count - 1] })) };
    for (count, fits) in [(99_999, true), (100_000, true), (100_001, false)] {
        let result = set(&mut api, "many", ones(count)).await;
        assert_eq!(result.map_err(|status| reason(&status)), if fits { Ok(()) } else { Err("FIELD_INVALID".into()) });
        let result = push(&mut api, "many items", ones(count)).await.map(drop);
        assert_eq!(result.map_err(|status| reason(&status)), if fits { Ok(()) } else { Err("FIELD_INVALID".into()) });
        let entry = pb::CacheEntry { key: "many".into(), value: Some(ones(count)), counter: None };
        let batch = pb::BatchSetCacheEntriesRequest { entries: vec![entry], ttl: None };
        let status = api.cache.batch_set_cache_entries(batch).await.err();
        let named =
            status.map(|s| s.get_error_details().bad_request().expect("fields").field_violations[0].field.clone());
        assert_eq!(named, (!fits).then(|| "entries[0].value".to_owned()));
        assert!(!fits || get(&mut api, "many").await.expect("what was set can be read").value == Some(ones(count)));
    }
    assert_eq!(items(&mut api, "many items", 0).await.expect("page by page"), [ones(99_999), ones(100_000)]);
    assert_eq!(
        refused(push(&mut api, "full", number(1.0)).await),
        (Code::FailedPrecondition, "CACHE_LIST_FULL".into())
    );
    assert_eq!(items(&mut api, "full", 10_000).await.expect("a list").len(), 10_000);
    assert_eq!(refused(items(&mut api, "full", 10_001).await), bad("FIELD_INVALID"));

    // What is wrong is named: a batch's bad entries, a key that is there twice, a value that is none.
    let entry = |key: &str, value: Option<Value>| pb::CacheEntry { key: key.into(), value, counter: None };
    let entries = vec![entry("a", Some(number(1.0))), entry("a", None), entry("", Some(number(f64::NAN)))];
    let status = api.cache.batch_set_cache_entries(pb::BatchSetCacheEntriesRequest { entries, ttl: None }).await;
    let status = status.expect_err("bad entries");
    let details = status.get_error_details();
    let named: Vec<_> =
        details.bad_request().expect("fields").field_violations.iter().map(|v| v.field.clone()).collect();
    assert_eq!(named, ["entries[1].key", "entries[2].key", "entries[1].value", "entries[2].value"]);
    assert_eq!(refused(get(&mut api, "a").await).1, "CACHE_KEY_NOT_FOUND", "and nothing of it is set");
    let none = pb::SetCacheEntryRequest { key: "a".into(), value: None, ttl: None };
    assert_eq!(refused(api.cache.set_cache_entry(none).await), bad("FIELD_INVALID"));

    // What does not fit into one answer.
    for n in 0..20 {
        set(&mut api, &format!("l{n}"), text("x".repeat(900_000))).await.expect("set");
    }
    let keys = |count: usize| pb::BatchGetCacheEntriesRequest { keys: (0..count).map(|n| format!("l{n}")).collect() };
    assert_eq!(api.cache.batch_get_cache_entries(keys(5)).await.expect("values").into_inner().entries.len(), 5);
    let large = refused(api.cache.batch_get_cache_entries(keys(20)).await);
    assert_eq!(large, (Code::ResourceExhausted, "ANSWER_TOO_LARGE".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_the_old_server_has_filled_is_read() {
    let server = RedisServer::start(&[]);
    server.cli(&["setex", "user:user_a:config", "3600", r#"{"goal":"partnerships","n":3}"#]);
    server.cli(&["set", "user:user_a:plain", "not JSON"]);
    server.cli(&["set", "user:user_a:visits", "41"]);
    server.cli(&["rpush", "user:user_a:pending", r#"{"id":1}"#, "two"]);
    server.cli(&["set", "user:user_b:config", "{}"]);
    server.cli(&["set", "agent:memory:1", "{}"]);
    let app = on(patient(&server.url())).await;
    let mut api = app.user("user_a").await;
    let config = get(&mut api, "config").await.expect("there").value.expect("a value");
    let Some(Kind::StructValue(object)) = config.kind else { panic!("an object") };
    assert_eq!(object.fields["n"], number(3.0));
    assert_eq!(get(&mut api, "plain").await.expect("there").value, Some(text("not JSON")));
    assert_eq!(increment(&mut api, "visits", None).await.expect("a counter"), 42);
    assert_eq!(items(&mut api, "pending", 0).await.expect("a list").len(), 2);
    let mut keys = Vec::new();
    for _ in 0..200 {
        keys = api.cache.list_cache_keys(pb::ListCacheKeysRequest::default()).await.expect("keys").into_inner().keys;
        if keys.len() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(keys, ["config", "pending", "plain", "visits"]);
    // What is written is what the old server would have written.
    set(&mut api, "new", number(7.0)).await.expect("set");
    assert_eq!(server.cli(&["get", "user:user_a:new"]), ["7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_the_cache_service_says_so_soon_and_all_others_go_on() {
    let mut server = RedisServer::start(&[]);
    let app = on(settings(&server.url())).await;
    let mut api = app.user("user_a").await;
    set(&mut api, "k", number(1.0)).await.expect("set");
    server.kill();
    for n in 0..20 {
        let begun = Instant::now();
        let status = match n % 4 {
            0 => set(&mut api, "k", number(2.0)).await.expect_err("away"),
            1 => get(&mut api, "k").await.expect_err("away"),
            2 => increment(&mut api, "n", None).await.expect_err("away"),
            _ => api.cache.list_cache_keys(pb::ListCacheKeysRequest::default()).await.expect_err("away"),
        };
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "CACHE_UNAVAILABLE"));
        assert!(status.get_error_details().retry_info().is_some_and(|info| info.retry_delay.is_some()));
        add_prospects(&mut api, 1).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    server.restart();
    for _ in 0..200 {
        if set(&mut api, "k", number(3.0)).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(get(&mut api, "k").await.expect("it is back").counter, Some(3));
}
