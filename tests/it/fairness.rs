//! Nobody's work starves another's.

use std::time::Instant;

use herald::pb::CampaignState;

use crate::support::site::{self, html};
use crate::support::{TestApp, add_prospects, auto_approve, eml_files, newest, reaches, start_campaign};

/// 200 tenants with 10 prospects each, and one with 2,000 beside them: all finish, each with its own e-mails alone, and
/// the small ones do not wait for the big one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_small_campaigns_finish_beside_a_big_one_and_do_not_wait_for_it() {
    const SMALL: usize = 200;
    let website = site::pages([("/", html("<title>Acme</title>"))]).await;
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
