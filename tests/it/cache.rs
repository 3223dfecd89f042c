//! The tenants' caches: one contract for memory, Redis, Redis with a password and TLS, and a cluster of three; and what a
//! Redis that is down costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use herald::cache::{CacheError, MAX_ELEMENTS, MAX_KEY, MAX_LIST, MAX_VALUE, ScopedCache, TenantCache};
use herald::config::{self, Config, Secret};
use herald::domain::clock::SystemClock;
use herald::domain::paging::PageRequest;
use herald::pb::{self, CampaignState};
use serde_json::{Value, json};

use crate::support::redis::{RedisCluster, RedisServer, cache, patient, reachable, settings};
use crate::support::site;
use crate::support::token::Authority;
use crate::support::{TestApp, add_prospects, approve_all, config, folder, reaches, scope, seams, start_campaign};

/// What holds whatever is behind the cache.
async fn keeps_the_contract(cache: &TenantCache) {
    reachable(cache).await;
    let (a, b) = (scope("user_a").await, scope("user_a.b|c+d@e-f").await);
    let (a, b) = (cache.scope(&a), cache.scope(&b));

    // Values of every kind, under keys of every kind, each tenant its own.
    let values = [json!(null), json!(true), json!(-7), json!("例子"), json!([1, {"x": []}]), json!({"a": {"b": 1.5}})];
    for (n, value) in values.iter().enumerate() {
        for key in [format!("v{n}"), format!("k:{n}"), format!("*?[{n}]\\ {{x}} é\n\0")] {
            a.set(&key, value, None).await.expect("set");
            assert_eq!(a.get(&key).await, Ok(Some(value.clone())), "{key}");
            assert_eq!(b.get(&key).await, Ok(None), "{key}");
        }
    }
    assert_eq!(a.keys().await.expect("keys").len(), 18);
    assert_eq!(b.keys().await, Ok(Vec::new()));
    assert_eq!((a.exists("v0").await, b.exists("v0").await), (Ok(true), Ok(false)));
    assert_eq!((a.delete("v0").await, a.delete("v0").await, a.exists("v0").await), (Ok(true), Ok(false), Ok(false)));

    // Counters.
    assert_eq!(
        (a.increment("n", 5).await, a.increment("n", -7).await, b.increment("n", 1).await),
        (Ok(5), Ok(-2), Ok(1))
    );
    assert_eq!(a.get("n").await, Ok(Some(json!(-2))));
    a.set("most", &json!(i64::MAX), None).await.expect("set");
    assert_eq!(a.increment("most", 1).await, Err(CacheError::Kind));
    assert_eq!(a.increment("v3", 1).await, Err(CacheError::Kind), "a text is no counter");

    // Lists.
    for n in 1..=3 {
        assert_eq!(a.push("list", &json!({ "n": n })).await, Ok(n));
    }
    assert_eq!(
        a.list("list", 0, MAX_LIST, usize::MAX).await,
        Ok(vec![json!({"n": 1}), json!({"n": 2}), json!({"n": 3})])
    );
    assert_eq!(
        (a.list("none", 0, MAX_LIST, usize::MAX).await, b.list("list", 0, MAX_LIST, usize::MAX).await),
        (Ok(Vec::new()), Ok(Vec::new()))
    );
    assert_eq!(a.push("v3", &json!(1)).await, Err(CacheError::Kind));
    assert_eq!(a.list("v3", 0, MAX_LIST, usize::MAX).await, Err(CacheError::Kind));
    assert_eq!(a.increment("list", 1).await, Err(CacheError::Kind));
    assert_eq!(a.get("list").await, Ok(None), "a list has no value");

    // Batches keep their order.
    let keys: Vec<_> = (0..50).map(|n| format!("batch{n}")).collect();
    let pairs: Vec<(&str, Value)> = keys.iter().enumerate().map(|(n, key)| (key.as_str(), json!(n))).collect();
    a.set_many(&pairs, None).await.expect("set");
    let asked: Vec<&str> = keys.iter().rev().map(String::as_str).chain(["none", "list"]).collect();
    let expected: Vec<_> = (0..50).rev().map(|n| Some(json!(n))).chain([None, None]).collect();
    assert_eq!(a.get_many(&asked, usize::MAX).await, Ok(expected));

    // A time of its own, after which it is gone; a counter and a list keep theirs.
    a.set("short", &json!(1), Some(Duration::from_millis(300))).await.expect("set");
    a.increment("short", 1).await.expect("it is there");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!((a.get("short").await, a.exists("short").await), (Ok(None), Ok(false)));

    // Limits, at one below, at, and one above.
    for (key, fits) in [(1, true), (MAX_KEY - 1, true), (MAX_KEY, true), (MAX_KEY + 1, false), (0, false)] {
        let done = a.set(&"k".repeat(key), &json!(1), None).await;
        assert_eq!(done, if fits { Ok(()) } else { Err(CacheError::Key) }, "{key} bytes");
    }
    for (size, fits) in [(MAX_VALUE - 1, true), (MAX_VALUE, true), (MAX_VALUE + 1, false)] {
        let done = a.set("large", &json!("x".repeat(size - 2)), None).await;
        assert_eq!(done, if fits { Ok(()) } else { Err(CacheError::TooLarge) }, "{size} bytes");
    }
    for (count, fits) in [(MAX_ELEMENTS - 1, true), (MAX_ELEMENTS, true), (MAX_ELEMENTS + 1, false)] {
        let many = json!(vec![1; count - 1]);
        let refused = (!fits).then_some(CacheError::TooManyElements);
        assert_eq!(a.set("many", &many, None).await.err(), refused, "{count} elements");
        assert_eq!(a.push("many items", &many).await.err(), refused, "{count} elements");
        assert_eq!(a.set_many(&[("many", many.clone())], None).await.err(), refused, "{count} elements");
        // What was set can be read.
        assert!(!fits || a.get("many").await == Ok(Some(many)), "{count} elements");
    }
    weighs_what_it_gives(&a).await;
    pages_its_keys(&a).await;
    for n in 0..MAX_LIST {
        b.push("full", &json!(n)).await.expect("room");
    }
    for _ in 0..2 {
        assert_eq!(b.push("full", &json!("more")).await, Err(CacheError::ListFull));
    }
    for (from, most) in [(0, MAX_LIST + 10), (0, MAX_LIST), (1, 8), (7, 500), (MAX_LIST - 3, 9), (MAX_LIST, 9), (5, 0)]
    {
        let expected = (0..MAX_LIST).skip(from).take(most).map(|n| json!(n)).collect();
        assert_eq!(b.list("full", from, most, usize::MAX).await, Ok(expected), "{most} from {from}");
    }

    // Deleting a tenant's leaves those of neighbours whose ids begin alike.
    let near = scope("user_a2").await;
    cache.scope(&near).set("x", &json!(1), None).await.expect("set");
    let count = a.keys().await.expect("keys").len() as u64;
    assert_eq!(a.delete_all().await, Ok(count));
    assert_eq!(a.keys().await, Ok(Vec::new()));
    assert_eq!(b.keys().await.expect("keys"), ["full", "n"]);
    assert_eq!(cache.scope(&near).get("x").await, Ok(Some(json!(1))));
}

/// An answer holds what its room weighs: a byte for a byte of JSON, 64 for an element.
async fn weighs_what_it_gives(a: &ScopedCache<'_>) {
    let value = json!([1, [], "a"]);
    let weight = value.to_string().len() + 4 * 64;
    for n in 0..3 {
        a.set(&format!("w{n}"), &value, None).await.expect("set");
        a.push("weights", &value).await.expect("pushed");
    }
    for (room, fit) in [
        (weight - 1, 0),
        (weight, 1),
        (weight + 1, 1),
        (2 * weight - 1, 1),
        (2 * weight, 2),
        (2 * weight + 1, 2),
        (3 * weight - 1, 2),
        (3 * weight, 3),
        (3 * weight + 1, 3),
    ] {
        for count in 1..=3 {
            let keys: Vec<_> = (0..count).map(|n| format!("w{n}")).chain(["none".to_owned()]).collect();
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            let found = a.get_many(&keys, room).await.map(|found| found.iter().flatten().count());
            assert_eq!(found, if count <= fit { Ok(count) } else { Err(CacheError::NoRoom) }, "{count} in {room}");
        }
        // A list is cut where no more fits.
        let page = a.items("weights", 0, 10, room).await.map(|page| (page.rows.len(), page.next));
        let expected = if fit == 0 { Err(CacheError::NoRoom) } else { Ok((fit, (fit < 3).then_some(fit))) };
        assert_eq!(page, expected, "items in {room}");
    }
    for (from, most, expected) in [(0, 3, (3, None)), (0, 2, (2, Some(2))), (2, 1, (1, None)), (3, 1, (0, None))] {
        let page = a.items("weights", from, most, usize::MAX).await.expect("a page");
        assert_eq!((page.rows.len(), page.next), expected, "{most} from {from}");
    }
}

/// Keys that begin with brackets, signs and the like lie in the order of their bytes, in pages of any size.
async fn pages_its_keys(a: &ScopedCache<'_>) {
    let mut keys: Vec<_> =
        ["p", "p(", "p(a", "p+", "p-", "p[", "p[a", "p\0", "p\u{10ffff}", "p\u{10ffff}x", "p用", "p*"]
            .map(str::to_owned)
            .into();
    for key in &keys {
        a.set(key, &json!(1), None).await.expect("set");
    }
    for near in ["(", "+", "-", "[", "(p", "o", "q"] {
        a.set(near, &json!(1), None).await.expect("set");
    }
    keys.sort_unstable();
    for size in [1, 2, keys.len() - 1, keys.len(), 1_000] {
        let (mut found, mut request) = (Vec::new(), PageRequest { size: size as u32, after: None });
        loop {
            let page = a.keys_page("p", &request).await.expect("a page");
            assert!(page.rows.len() <= size);
            found.extend(page.rows);
            request.after = page.next;
            if request.after.is_none() {
                break;
            }
        }
        assert_eq!(found, keys, "in pages of {size}");
    }
    for prefix in ["(", "+", "-", "["] {
        let page = a.keys_page(prefix, &PageRequest { size: 100, after: None }).await.expect("a page");
        assert_eq!(
            page.rows,
            a.keys().await.expect("keys").into_iter().filter(|key| key.starts_with(prefix)).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    keeps_the_contract(&cache(&settings(""))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_the_contract() {
    let server = RedisServer::start(&[]);
    keeps_the_contract(&cache(&patient(&server.url()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_with_a_password_and_tls_keeps_the_contract() {
    let files = Authority::new();
    let server = RedisServer::tls(files.folder(), "s3cret");
    let mut settings = patient(&format!("rediss://:s3cret@localhost:{}", server.port));
    settings.ca_file = files.file("ca.pem");
    keeps_the_contract(&cache(&settings)).await;
    // Neither a wrong password nor an authority that nobody knows gets in.
    settings.timeout_millis = 250;
    settings.url = Secret::new(format!("rediss://:wrong@localhost:{}", server.port));
    let scope = scope("user_a").await;
    assert_eq!(cache(&settings).scope(&scope).get("x").await, Err(CacheError::Unavailable));
    settings.url = Secret::new(format!("rediss://:s3cret@localhost:{}", server.port));
    settings.ca_file = String::new();
    assert_eq!(cache(&settings).scope(&scope).get("x").await, Err(CacheError::Unavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_keeps_the_contract() {
    let cluster = RedisCluster::start();
    keeps_the_contract(&cache(&patient(&cluster.url()))).await;
}

/// The third of the old server's scenarios.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_users_caches_are_scoped_and_deleting_as_leaves_bs() {
    let server = RedisServer::start(&[]);
    let cache = cache(&patient(&server.url()));
    reachable(&cache).await;
    let (a, b) = (scope("user_a").await, scope("user_b").await);
    cache.scope(&a).set("config", &json!({"owner": "a"}), None).await.expect("set");
    cache.scope(&b).set("config", &json!({"owner": "b"}), None).await.expect("set");
    // As the old server wrote them, and for its default time.
    assert_eq!(server.cli(&["get", "user:user_a:config"]), [r#"{"owner":"a"}"#]);
    assert_eq!(server.cli(&["get", "user:user_b:config"]), [r#"{"owner":"b"}"#]);
    let ttl: i64 = server.cli(&["ttl", "user:user_a:config"])[0].parse().expect("a number");
    assert!((3_590..=3_600).contains(&ttl), "{ttl}");

    assert_eq!(cache.scope(&a).delete_all().await, Ok(1));
    assert_eq!(server.cli(&["keys", "user:*"]), ["user:user_b:config"]);
    assert_eq!(cache.scope(&b).get("config").await, Ok(Some(json!({"owner": "b"}))));
    // What the old server left is read.
    server.cli(&["set", "user:user_a:plain", "not JSON"]);
    server.cli(&["rpush", "user:user_a:queue", r#"{"id":1}"#, "two"]);
    assert_eq!(cache.scope(&a).get("plain").await, Ok(Some(json!("not JSON"))));
    assert_eq!(cache.scope(&a).list("queue", 0, MAX_LIST, usize::MAX).await, Ok(vec![json!({"id": 1}), json!("two")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_costs_its_timeout_once_and_is_used_again_when_it_is_back() {
    costs_its_timeout_once(RedisServer::kill, RedisServer::restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_costs_its_timeout_once_and_is_used_again_when_it_goes_on() {
    costs_its_timeout_once(RedisServer::hang, RedisServer::go_on).await;
}

async fn costs_its_timeout_once(goes: fn(&mut RedisServer), comes_back: fn(&mut RedisServer)) {
    let mut server = RedisServer::start(&[]);
    let cache = Arc::new(cache(&settings(&server.url())));
    reachable(&cache).await;
    goes(&mut server);
    let mut handles = Vec::new();
    for n in 0..20 {
        let (cache, scope) = (cache.clone(), scope(&format!("user_{n}")).await);
        handles.push(tokio::spawn(async move {
            let (mut slow, mut slowest) = (0, Duration::ZERO);
            for _ in 0..50 {
                let begun = Instant::now();
                assert_eq!(cache.scope(&scope).set("x", &json!(1), None).await, Err(CacheError::Unavailable));
                slow += usize::from(begun.elapsed() > Duration::from_millis(50));
                slowest = slowest.max(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            (slow, slowest)
        }));
    }
    let mut slow = 0;
    for handle in handles {
        let (own, slowest) = handle.await.expect("no panic");
        assert!(slowest < Duration::from_millis(400), "{slowest:?}");
        slow += own;
    }
    // Not even what may take long, since it looks through all keys.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let begun = Instant::now();
    let someone = scope("user_a").await;
    assert_eq!(cache.scope(&someone).delete_all().await, Err(CacheError::Unavailable));
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    assert!(slow <= 25, "{slow} of 1,000 operations waited for a Redis that was known to be down");
    comes_back(&mut server);
    reachable(&cache).await;
    let scope = scope("user_a").await;
    cache.scope(&scope).set("x", &json!(1), None).await.expect("it is back");
    assert_eq!(server.cli(&["get", "user:user_a:x"]), ["1"]);
}

/// Other backends read where each tenant's newest campaign stands, as they did from the old server; and no call minds a
/// Redis that is killed and started under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn campaigns_are_published_and_no_call_minds_a_redis_that_comes_and_goes() {
    let mut server = RedisServer::start(&[]);
    let data = folder();
    let config = Config { cache: settings(&server.url()), ..config(&data) };
    let app = TestApp::with(data, config, seams()).await;
    let website = site::pages([("/", site::company())]).await;
    let state = |server: &RedisServer, user: &str| {
        let lines = server.cli(&["get", &format!("user:{user}:workflow_state")]);
        serde_json::from_str::<Value>(&lines.concat()).unwrap_or_default()
    };
    let published = async |server: &RedisServer, user: &str, wanted: &str| {
        for _ in 0..200 {
            let state = state(server, user);
            if state["state"] == wanted {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{wanted} is not published for {user}: {}", state(server, user));
    };

    let (mut a, mut b) = (app.user("user_a").await, app.user("user_b").await);
    for api in [&mut a, &mut b] {
        add_prospects(api, 5).await;
        start_campaign(api, &website).await;
    }
    let waiting = published(&server, "user_a", "CAMPAIGN_STATE_WAITING_APPROVAL").await;
    assert_eq!(waiting["emails"]["awaitingApproval"], 5);
    published(&server, "user_b", "CAMPAIGN_STATE_WAITING_APPROVAL").await;
    assert_eq!(server.cli(&["keys", "user:*"]).len(), 2);
    let ttl: i64 = server.cli(&["ttl", "user:user_a:workflow_state"])[0].parse().expect("a number");
    assert!((3_500..=3_600).contains(&ttl), "{ttl}");

    // Under load: a tenant's writes go on. A call that waited for the cache would take one of its timeouts, and all of them
    // would until it is back; a few may be slow because the machine is busy.
    let mut loading = app.user("user_c").await;
    let load = tokio::spawn(async move {
        let mut slow = 0;
        for n in 0..300 {
            let begun = Instant::now();
            let location = format!("place {n}");
            let config = pb::AgentConfig { location, ..Default::default() };
            let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
            loading.agent.update_agent_config(request).await.expect("no call fails");
            slow += u32::from(begun.elapsed() > Duration::from_millis(250));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slow
    });
    server.kill();
    approve_all(&mut a).await;
    reaches(&mut a, CampaignState::Completed).await;
    server.restart();
    let slow = load.await.expect("no panic");
    assert!(slow <= 5, "{slow} of 300 calls waited for a Redis that comes and goes");
    // It is told what it has missed, and what changes from now on.
    let missed = published(&server, "user_a", "CAMPAIGN_STATE_COMPLETED").await;
    assert_eq!(missed["emails"]["sent"], 5);
    approve_all(&mut b).await;
    let done = published(&server, "user_b", "CAMPAIGN_STATE_COMPLETED").await;
    assert_eq!(done["emails"]["sent"], 5);
}

#[tokio::test]
async fn memory_is_bounded_and_a_tenant_that_fills_it_pushes_out_its_own() {
    let cache = cache(&config::Cache { memory_bytes: 200_000, ..settings("") });
    let (small, greedy) = (scope("small").await, scope("greedy").await);
    cache.scope(&small).set("x", &json!(1), None).await.expect("set");
    for n in 0..1_000 {
        cache.scope(&greedy).set(&format!("k{n}"), &json!("x".repeat(1_000)), None).await.expect("set");
    }
    assert_eq!(cache.scope(&small).get("x").await, Ok(Some(json!(1))));
    let kept = cache.scope(&greedy).keys().await.expect("keys");
    assert!((100..200).contains(&kept.len()) && kept.contains(&"k999".to_owned()), "{}", kept.len());
}

#[test]
fn settings_that_name_no_redis_are_refused() {
    let refused =
        |url: &str| TenantCache::new(&settings(url), Arc::new(SystemClock)).err().expect("refused").to_string();
    assert!(refused("nonsense").contains("cache.url"));
    let settings = config::Cache {
        ca_file: folder().path().join("none.pem").display().to_string(),
        ..settings("rediss://localhost")
    };
    assert!(
        TenantCache::new(&settings, Arc::new(SystemClock))
            .err()
            .expect("refused")
            .to_string()
            .contains("cache.ca_file")
    );
}
