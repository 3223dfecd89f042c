//! Nobody's work starves another's.

use std::time::{Duration, Instant};

use herald::pb::{self, CampaignState};
use sqlx::Connection as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::site;
use crate::support::{
    TestApp, add_prospects, auto_approve, config, eml_files, folder, newest, reaches, reason, seams, start_campaign,
};

/// 200 tenants with 10 prospects each, and one with 2,000 beside them: all finish, each with its own e-mails alone, and
/// the small ones do not wait for the big one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_small_campaigns_finish_beside_a_big_one_and_do_not_wait_for_it() {
    const SMALL: usize = 200;
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut big = app.user("big").await;
    add_prospects(&mut big, 2_000).await;
    auto_approve(&mut big).await;

    let mut small = Vec::new();
    for n in 0..SMALL {
        let mut api = app.user(&format!("small_{n}")).await;
        add_prospects(&mut api, 10).await;
        auto_approve(&mut api).await;
        small.push(api);
    }
    let begun = Instant::now();
    start_campaign(&mut big, &website).await;
    let starts = small.iter_mut().map(|api| start_campaign(api, &website));
    futures_util::future::join_all(starts).await;
    for api in &mut small {
        reaches(api, CampaignState::Completed).await;
    }
    let small_took = begun.elapsed();
    let of_big = newest(&mut big).await.emails.expect("counts").sent;
    assert!(of_big < 2_000, "the small ones were done before the big one");
    let done = reaches(&mut big, CampaignState::Completed).await;
    let big_took = begun.elapsed();
    assert_eq!(done.emails.expect("counts").sent, 2_000);
    println!(
        "200 small campaigns took {small_took:?}, the big one {big_took:?}; it had sent {of_big} when they were done"
    );

    assert_eq!(eml_files(&app.outbox("big")).len(), 2_000);
    for (n, api) in small.iter_mut().enumerate() {
        let tenant = format!("small_{n}");
        let files = eml_files(&app.outbox(&tenant));
        let request = herald::pb::ListWorkflowEmailsRequest::default();
        let emails = api.workflow.list_workflow_emails(request).await.expect("a list").into_inner().emails;
        let mut own: Vec<_> = emails.iter().map(|e| format!("{}.eml", e.id)).collect();
        own.sort();
        assert_eq!(files, own, "{tenant} has its own e-mails and no other's");
    }
}

/// While the disk keeps writes waiting, a tenant has as many calls in work as it may; what comes on top is refused, and
/// another tenant's are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_so_many_calls_in_work_and_no_more() {
    const MOST: usize = 3;
    let data = folder();
    let mut settings = config(&data);
    settings.fairness.max_calls = MOST as u32;
    let app = TestApp::with(data, settings, seams()).await;
    let (mut big, mut small) = (app.user("big").await, app.user("small").await);
    for api in [&mut big, &mut small] {
        add_prospects(api, 1).await;
    }
    let url = format!("sqlite://{}", app.data.path().join("herald.db").display());
    let mut lock = sqlx::SqliteConnection::connect(&url).await.expect("the database");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut lock).await.expect("locked");
    let agent = big.agent.clone();
    let create = move |n: usize| {
        let mut agent = agent.clone();
        let prospect = pb::Prospect { email: format!("p{n}@example.com"), ..Default::default() };
        let request = pb::BatchCreateProspectsRequest { prospects: vec![prospect], request_id: String::new() };
        async move { agent.batch_create_prospects(request).await }
    };
    let patient = |n: usize| {
        let create = create.clone();
        async move {
            // The question below may be in work too, and take one's place.
            while create(n).await.is_err_and(|status| reason(&status) == "TOO_MANY_CALLS") {}
        }
    };
    let waiting: Vec<_> = (0..MOST).map(|n| tokio::spawn(patient(n))).collect();
    let refused = loop {
        // Until all of them are in work.
        match big.agent.get_agent_config(pb::GetAgentConfigRequest {}).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "TOO_MANY_CALLS"));
    let after = refused.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert!(after.is_some_and(|delay| delay > Duration::ZERO), "{refused:?}");
    assert_eq!(create(MOST).await.expect_err("one too many").code(), Code::ResourceExhausted);
    small.agent.list_prospects(pb::ListProspectsRequest::default()).await.expect("another's");
    sqlx::query("ROLLBACK").execute(&mut lock).await.expect("unlocked");
    for answer in waiting {
        answer.await.expect("created");
    }
    // What was refused did nothing, and what was given back is there again.
    let list = big.agent.list_prospects(pb::ListProspectsRequest::default()).await.expect("a list").into_inner();
    assert_eq!(list.prospects.len(), 1 + MOST);
}

#[tokio::test]
async fn a_tenant_has_so_many_streams_open_and_no_more() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let mut settings = config(&data);
    settings.fairness.max_streams = 2;
    let app = TestApp::with(data, settings, seams()).await;
    let (mut big, mut small) = (app.user("big").await, app.user("small").await);
    for api in [&mut big, &mut small] {
        add_prospects(api, 1).await;
        start_campaign(api, &website).await;
        reaches(api, CampaignState::WaitingApproval).await;
    }
    let watch = pb::WatchWorkflowRequest::default;
    let first = big.workflow.watch_workflow(watch()).await.expect("one of two").into_inner();
    let _second = big.workflow.watch_workflow(watch()).await.expect("two of two").into_inner();
    let refused = big.workflow.watch_workflow(watch()).await.expect_err("one too many");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "TOO_MANY_STREAMS"));
    assert!(refused.get_error_details().retry_info().is_some());
    // Neither its calls nor another's streams are counted with them.
    newest(&mut big).await;
    small.workflow.watch_workflow(watch()).await.expect("another's");
    drop(first);
    for _ in 0..500 {
        if big.workflow.watch_workflow(watch()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a stream that was closed counts still");
}
