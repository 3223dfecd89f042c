//! When campaigns are worked on: what is due is claimed, tenants in turn and as far as there is room; what waits costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use herald::app::Seams;
use herald::connect::{ConnectError, Connectors, Delivery, Mail, WebFetch};
use herald::domain::email::Email;
use herald::pb;
use herald::pb::CampaignState;
use herald::store::{Claim, Release, tenant_texts};
use herald::tenant::Scope;
use sqlx::Row as _;

use url::Url;

use crate::support::{
    TestApp, TestClock, add_prospects, auto_approve, config, folder, held, newest, no_smtp, reaches, seams, site,
    start_campaign,
};

/// Mail that is away for as long as a test says, and counts who asked for it.
#[derive(Default)]
struct Away {
    is_back: AtomicBool,
    tries: AtomicUsize,
}

#[async_trait]
impl Mail for Away {
    async fn deliver(&self, _: &Scope, _: &Email, _: Option<&Url>) -> Result<(), ConnectError> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        if self.is_back.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(ConnectError::Passing("the mail server is away".into()))
        }
    }

    async fn verify(&self, _: &Scope, _: &Email) -> Result<Delivery, ConnectError> {
        Ok(Delivery::NotDelivered)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_told_with_its_time_outlives_a_restart_and_ends_with_its_cause() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let mut config = config(&data);
    config.engine.retry_millis = 200;
    let mail = Arc::new(Away::default());
    let connectors = |config: &herald::config::Config| {
        let fetch = Arc::new(WebFetch::new(&config.fetch).expect("a client"));
        Some(Connectors { fetch, mail: mail.clone(), smtp: no_smtp() })
    };
    let seams_of = |config| Seams { connectors: connectors(config), ..seams() };
    let app = TestApp::with(data, config.clone(), seams_of(&config)).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, &website).await;
    held(&mut api).await;
    // Each wait is twice the one before, and nothing but the try happens.
    while mail.tries.load(Ordering::SeqCst) < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let now = newest(&mut api).await;
    assert_eq!((now.state(), now.hold.as_str()), (CampaignState::Running, "the mail server is away"));
    let since = now.hold_time.expect("since when");
    assert!(since.seconds >= now.create_time.expect("a time").seconds);
    let mut database = app.database().await;
    loop {
        let row = sqlx::query("SELECT lease_owner, tries, due_time - update_time FROM campaigns");
        let row = row.fetch_one(&mut database).await.expect("a row");
        let (owner, tries, wait): (Option<String>, i64, i64) = (row.get(0), row.get(1), row.get(2));
        if owner.is_none() && tries >= 3 {
            assert!(wait >= 400_000, "no worker has it until its next try: {wait} µs");
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(database);

    let (data, config) = app.stop().await;
    let tried = mail.tries.load(Ordering::SeqCst);
    let app = TestApp::with(data, config.clone(), seams_of(&config)).await;
    let mut api = app.user("user_a").await;
    let after = newest(&mut api).await;
    assert_eq!((after.hold.as_str(), after.hold_time), ("the mail server is away", Some(since)), "{tried} tries");
    mail.is_back.store(true, Ordering::SeqCst);
    let done = reaches(&mut api, CampaignState::Completed).await;
    assert_eq!((done.hold.as_str(), done.hold_time, done.emails.expect("counts").sent), ("", None, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_is_held_is_tried_at_once_when_it_is_resumed_and_a_pause_ends_the_hold() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let mut config = config(&data);
    config.engine.retry_millis = 30_000;
    let mail = Arc::new(Away::default());
    let fetch = Arc::new(WebFetch::new(&config.fetch).expect("a client"));
    let connectors = Some(Connectors { fetch, mail: mail.clone(), smtp: no_smtp() });
    let app = TestApp::with(data, config, Seams { connectors, ..seams() }).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, &website).await;
    held(&mut api).await;
    mail.is_back.store(true, Ordering::SeqCst);
    let paused = api.workflow.pause_workflow(pb::PauseWorkflowRequest::default()).await.expect("paused").into_inner();
    let paused = paused.campaign.expect("one");
    assert_eq!((paused.hold.as_str(), paused.hold_time), ("", None), "it is the user's pause that it stands still for");
    // The release of its last turn may come after the pause.
    tokio::time::sleep(Duration::from_millis(100)).await;
    api.workflow.resume_workflow(pb::ResumeWorkflowRequest::default()).await.expect("resumed");
    // Not half a minute later.
    reaches(&mut api, CampaignState::Completed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_take_tenants_in_turn_and_no_more_than_there_is_room_for() {
    let data = folder();
    let mut config = config(&data);
    config.limits.live_campaigns = 50;
    config.fairness.starts_per_minute = 0;
    let clock = Arc::new(TestClock::new());
    let app = TestApp::with(data, config, Seams { clock: clock.clone(), run_engine: false, ..seams() }).await;
    let store = &app.ready.store;
    // The big one was there first, with forty; four others have one each.
    let counts = [("big", 40), ("w", 1), ("x", 1), ("y", 1), ("z", 2)];
    for (n, (user, count)) in counts.into_iter().enumerate() {
        clock.set_after_start(Duration::from_secs(n as u64));
        let mut api = app.user(user).await;
        for _ in 0..count {
            start_campaign(&mut api, "http://127.0.0.1:1/").await;
        }
    }
    clock.set_after_start(Duration::from_secs(60));
    let claim = async |max| store.claim_due("worker", Duration::from_secs(30), max).await.expect("claimed").claims;
    let by_tenant = |claims: &[Claim]| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for claim in claims {
            *counts.entry(claim.scope.tenant().to_string()).or_default() += 1;
        }
        counts.into_iter().collect::<Vec<_>>()
    };
    let own = |user: &str, count| (user.to_owned(), count);
    let first = claim(6).await;
    assert_eq!(by_tenant(&first), [own("big", 2), own("w", 1), own("x", 1), own("y", 1), own("z", 1)]);
    let second = claim(6).await;
    assert_eq!(by_tenant(&second), [own("big", 5), own("z", 1)], "nobody else has any left");
    let all: BTreeSet<_> = first.iter().chain(&second).map(|claim| claim.lease.campaign.to_string()).collect();
    assert_eq!(all.len(), 12, "none is claimed twice");

    // One that is given back for later is claimed then, and not before; its tries come back with it.
    let given = &first[0];
    let due = Some(herald::domain::clock::Timestamp(TestClock::START + 70_000_000));
    let release = Release { lease: given.lease.clone(), due, tries: 2 };
    store.scope(&given.scope).write(release).await.expect("given back");
    let rest = claim(1_000).await;
    assert_eq!(rest.len(), 45 - 12);
    let next = store.claim_due("worker", Duration::from_secs(30), 10).await.expect("claimed");
    assert_eq!((next.claims.len(), next.next_due), (0, due));
    clock.set_after_start(Duration::from_secs(71));
    let again = claim(1_000).await;
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0].lease.campaign, again[0].tries), (&given.lease.campaign, 2));
    assert!(again[0].lease.fence > given.lease.fence);
    // A lease that is no longer held gives nothing back.
    let late = Release { lease: given.lease.clone(), due: None, tries: 9 };
    store.scope(&given.scope).write(late).await.expect("nothing happens");
    assert!(claim(1_000).await.is_empty());
    // Leases that are not renewed run out, one that is renewed does not.
    clock.set_after_start(Duration::from_secs(80));
    store.renew_leases("worker", Duration::from_secs(600)).await.expect("renewed");
    clock.set_after_start(Duration::from_secs(120));
    assert!(claim(1_000).await.is_empty());
    // What has ended is due no more.
    clock.set_after_start(Duration::from_secs(10_000));
    let tenant = again[0].scope.tenant().to_string();
    let mut api = app.user(&tenant).await;
    api.workflow.reset_workflow(pb::ResetWorkflowRequest {}).await.expect("cancelled");
    assert!(by_tenant(&claim(1_000).await).iter().all(|(user, _)| *user != tenant));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_more_campaigns_than_room_each_is_given_back_after_its_turn_and_all_end() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let mut config = config(&data);
    config.engine.workers = 1;
    let app = TestApp::with(data, config, seams()).await;
    let mut apis = Vec::new();
    for n in 0..12 {
        let mut api = app.user(&format!("user_{n}")).await;
        add_prospects(&mut api, 30).await;
        auto_approve(&mut api).await;
        apis.push(api);
    }
    for api in &mut apis {
        start_campaign(api, &website).await;
    }
    for api in &mut apis {
        let done = reaches(api, CampaignState::Completed).await;
        assert_eq!(done.emails.expect("counts").sent, 30);
    }
    // One that had kept its claim to the end would have a fence of 1.
    let fences: Vec<(i64,)> =
        sqlx::query_as("SELECT fence FROM campaigns").fetch_all(&mut app.database().await).await.expect("rows");
    let again = fences.iter().filter(|(fence,)| *fence > 2).count();
    assert!(again >= 6, "{fences:?}");
}

/// The index that claims go by has what changes with a claim alone: the others leave it as it is.
#[tokio::test]
async fn ordinary_updates_of_a_campaign_leave_the_index_of_claims_alone() {
    let app = TestApp::start().await;
    let mut database = app.database().await;
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'campaigns_due'";
    let (root,): (i64,) = sqlx::query_as(root).fetch_one(&mut database).await.expect("the index");
    let mut touching = BTreeSet::new();
    for sql in tenant_texts() {
        #[expect(clippy::disallowed_methods, reason = "EXPLAIN before a registered text; nothing is run")]
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {}", sql.0.sqlite));
        let program = sqlx::query(explain).fetch_all(&mut database).await.expect("a program");
        let opens = |row: &sqlx::sqlite::SqliteRow| {
            row.get::<String, _>("opcode") == "OpenWrite" && row.get::<i64, _>("p2") == root
        };
        if program.iter().any(opens) {
            touching.insert(sql.0.name);
        }
    }
    // By name: another text that has to do with it is added by a person.
    assert_eq!(touching, ["CAMPAIGNS", "INSERT", "RELEASE", "SET_STATE", "SET_STATE_UNDER_LEASE", "WAKE"].into());
}
