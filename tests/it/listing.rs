//! A list is stable while rows come and go between its pages: no row is there twice, and none is left out that was there
//! all the time.

use std::collections::{BTreeMap, BTreeSet};

use herald::cli::Api;
use herald::pb;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{TestApp, add_prospects, reaches, site, start_campaign};

/// What happens between two pages.
#[derive(Debug, Clone)]
enum Change {
    Create {
        priority: i32,
    },
    /// Of the rows that there are, counted from the newest.
    Delete(usize),
    Undelete(usize),
    /// Changes what the list is not ordered by.
    Touch(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..4).prop_map(|priority| Change::Create { priority }),
        (0..40usize).prop_map(Change::Delete),
        (0..40usize).prop_map(Change::Undelete),
        (0..40usize).prop_map(Change::Touch),
    ]
}

/// The rows as they should be: each id with whether it is deleted.
type Model = BTreeMap<String, bool>;

async fn create(api: &mut Api, model: &mut Model, priority: i32) {
    let email = format!("p{}@example.com", model.len());
    let prospect = pb::Prospect { email, priority_score: priority, ..Default::default() };
    let request = pb::BatchCreateProspectsRequest { prospects: vec![prospect], request_id: String::new() };
    let result = api.agent.batch_create_prospects(request).await.expect("created").into_inner().results.remove(0);
    model.insert(result.prospect_id, false);
}

fn nth(model: &Model, deleted: bool, n: usize) -> Option<String> {
    let rows: Vec<_> = model.iter().rev().filter(|(_, is)| **is == deleted).map(|(id, _)| id.clone()).collect();
    (!rows.is_empty()).then(|| rows[n % rows.len()].clone())
}

async fn apply(api: &mut Api, model: &mut Model, change: &Change) {
    match change {
        Change::Create { priority } => create(api, model, *priority).await,
        Change::Delete(n) => {
            let Some(prospect_id) = nth(model, false, *n) else { return };
            model.insert(prospect_id.clone(), true);
            let request = pb::DeleteProspectRequest { prospect_id, etag: String::new() };
            api.agent.delete_prospect(request).await.expect("deleted");
        }
        Change::Undelete(n) => {
            let Some(prospect_id) = nth(model, true, *n) else { return };
            model.insert(prospect_id.clone(), false);
            let request = pb::UndeleteProspectRequest { prospect_id, etag: String::new() };
            api.agent.undelete_prospect(request).await.expect("back");
        }
        Change::Touch(n) => {
            let Some(id) = nth(model, false, *n) else { return };
            let prospect = pb::Prospect { id, company: format!("Company {n}"), ..Default::default() };
            let request = pb::UpdateProspectRequest { prospect: Some(prospect), update_mask: None };
            api.agent.update_prospect(request).await.expect("changed");
        }
    }
}

async fn pages(mut api: Api, first: usize, page_size: i32, urgent: bool, changes: Vec<Vec<Change>>) {
    let mut model = Model::new();
    for n in 0..first {
        create(&mut api, &mut model, (n % 4) as i32).await;
    }
    let order_by = if urgent { "priority_score desc" } else { "" };
    let mut throughout: BTreeSet<String> = model.keys().cloned().collect();
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    let mut changes = changes.into_iter();
    loop {
        let request =
            pb::ListProspectsRequest { page_size, page_token, order_by: order_by.to_owned(), ..Default::default() };
        let page = api.agent.list_prospects(request).await.expect("a page").into_inner();
        assert!(page.prospects.iter().all(|p| p.delete_time.is_none() && !model[&p.id]), "none that is deleted");
        seen.extend(page.prospects.into_iter().map(|prospect| prospect.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        for change in changes.next().into_iter().flatten() {
            apply(&mut api, &mut model, &change).await;
            throughout.retain(|id| !model[id]);
        }
    }
    let distinct: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "no row twice: {seen:?}");
    let lost: Vec<_> = throughout.difference(&distinct).collect();
    assert!(lost.is_empty(), "none lost that was there throughout: {lost:?}");
}

#[test]
fn pages_hold_no_row_twice_and_lose_none_while_rows_come_and_go() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let app = runtime.block_on(TestApp::start());
    let cases = if crate::support::deep() { 2_000 } else { 50 };
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    let tenant = std::cell::Cell::new(0);
    let changes = prop::collection::vec(prop::collection::vec(change(), 0..4), 0..12);
    runner
        .run(&(0..30usize, 1..8i32, any::<bool>(), changes), |(first, page_size, urgent, changes)| {
            tenant.set(tenant.get() + 1);
            runtime.block_on(async {
                let api = app.user(&format!("user_{}", tenant.get())).await;
                pages(api, first, page_size, urgent, changes).await;
            });
            Ok(())
        })
        .expect("the law holds");
}

/// Every list but that of prospects, in pages of two: each row once, in the order of the whole, and as it is by itself.
#[tokio::test]
async fn each_list_comes_in_pages() {
    macro_rules! pages {
        ($client:expr, $method:ident, $request:expr, $rows:ident) => {{
            let (mut found, mut sizes, mut request) = (Vec::new(), Vec::new(), $request);
            request.page_size = MOST;
            let whole = $client.$method(request.clone()).await.expect("a list").into_inner();
            assert_eq!(whole.next_page_token, "");
            request.page_size = 2;
            loop {
                let page = $client.$method(request.clone()).await.expect("a page").into_inner();
                sizes.push(page.$rows.len());
                found.extend(page.$rows);
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(found, whole.$rows);
            (found, sizes)
        }};
    }
    const MOST: i32 = 100;
    let site = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let prospects = add_prospects(&mut api, 5).await;
    for _ in 0..3 {
        start_campaign(&mut api, &site).await;
        reaches(&mut api, pb::CampaignState::WaitingApproval).await;
        if campaigns(&mut api).await < 3 {
            api.workflow.cancel_workflow(pb::CancelWorkflowRequest::default()).await.expect("cancelled");
        }
    }
    let (campaigns, sizes) = pages!(api.workflow, list_workflows, pb::ListWorkflowsRequest::default(), campaigns);
    assert_eq!(sizes, [2, 1]);
    assert!(
        campaigns.is_sorted_by(
            |a, b| a.create_time.map(|t| (t.seconds, t.nanos)) > b.create_time.map(|t| (t.seconds, t.nanos))
        )
    );

    let list = pb::ListWorkflowEmailsRequest::default();
    let (emails, sizes) = pages!(api.workflow, list_workflow_emails, list.clone(), emails);
    assert_eq!(sizes, [2, 2, 1]);
    for email in &emails {
        let get = pb::GetEmailRequest { email_id: email.id.clone() };
        assert_eq!(api.agent.get_email(get).await.expect("an e-mail").into_inner().email.as_ref(), Some(email));
    }
    let review = pb::EmailReview {
        email_id: emails[2].id.clone(),
        decision: pb::ReviewDecision::Reject.into(),
        ..Default::default()
    };
    let review = pb::ReviewEmailsRequest { reviews: vec![review], ..Default::default() };
    api.workflow.review_emails(review).await.expect("reviewed");
    let awaiting = pb::ListWorkflowEmailsRequest { status: pb::EmailStatus::AwaitingApproval.into(), ..list };
    let (awaiting, sizes) = pages!(api.workflow, list_workflow_emails, awaiting, emails);
    assert_eq!(sizes, [2, 2]);
    assert!(awaiting.iter().all(|email| email.id != emails[2].id));

    // Of each prospect: its e-mail of each campaign, and a reply.
    let prospect_id = prospects[0].clone();
    let body = "Thank you, this sounds good.".to_owned();
    let reply = pb::RecordReplyRequest { prospect_id: prospect_id.clone(), body, ..Default::default() };
    api.agent.record_reply(reply).await.expect("recorded");
    let list = pb::ListProspectEmailsRequest { prospect_id, ..Default::default() };
    let (_, sizes) = pages!(api.agent, list_prospect_emails, list, emails);
    assert_eq!(sizes, [2, 2]);

    let (_, sizes) = pages!(
        api.agent,
        list_marketing_strategies,
        pb::ListMarketingStrategiesRequest::default(),
        marketing_strategies
    );
    assert_eq!(sizes, [2, 1]);
    let suppressions = (0..3).map(|n| pb::Suppression { email: format!("no{n}@example.com"), ..Default::default() });
    let add = pb::AddSuppressionsRequest { suppressions: suppressions.collect(), request_id: String::new() };
    api.agent.add_suppressions(add).await.expect("added");
    let (_, sizes) = pages!(api.agent, list_suppressions, pb::ListSuppressionsRequest::default(), suppressions);
    assert_eq!(sizes, [2, 1]);
}

async fn campaigns(api: &mut Api) -> usize {
    let request = pb::ListWorkflowsRequest::default();
    api.workflow.list_workflows(request).await.expect("a list").into_inner().campaigns.len()
}
