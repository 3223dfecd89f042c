//! Several live campaigns of one tenant: how many there may be, which one a change means, and who is in which.

use std::collections::BTreeSet;
use std::time::Duration;

use herald::cli::Api;
use herald::pb;
use herald::pb::CampaignState;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::site::Answer;
use crate::support::{TestApp, add_prospects, becomes, campaign, reason, site};

/// Starts one that stops where it needs a template.
async fn start(api: &mut Api, website: &str) -> String {
    let request = pb::StartWorkflowRequest { website: website.to_owned(), ..Default::default() };
    campaign(api.workflow.start_workflow(request).await.expect("started").into_inner().campaign).id
}

async fn stop_at(api: &mut Api, id: &str, state: CampaignState) -> pb::Campaign {
    becomes(api, id, |now| now.state() == state).await
}

/// What the error's metadata has under the name.
fn fact(status: &Status, name: &str) -> String {
    let details = status.get_error_details();
    details.error_info().expect("a reason").metadata.get(name).cloned().unwrap_or_default()
}

async fn list(api: &mut Api, states: &[CampaignState]) -> Vec<String> {
    let states = states.iter().map(|state| i32::from(*state)).collect();
    let request = pb::ListWorkflowsRequest { states, ..Default::default() };
    let page = api.workflow.list_workflows(request).await.expect("a page").into_inner();
    page.campaigns.into_iter().map(|campaign| campaign.id).collect()
}

async fn recipients(api: &mut Api, id: &str) -> BTreeSet<String> {
    let request = pb::ListRecipientsRequest { campaign_id: id.to_owned(), page_size: 1_000, ..Default::default() };
    let page = api.workflow.list_recipients(request).await.expect("a page").into_inner();
    page.recipients
        .into_iter()
        .filter_map(|recipient| recipient.prospect)
        .map(|prospect| prospect.prospect_id)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_are_live_as_may_be_whoever_starts_them_at_once() {
    let slow = Answer::Slow(Duration::from_secs(5), b"<title>Acme</title>".to_vec());
    let website = site::pages([("/", slow)]).await;
    let app = TestApp::with_live_campaigns(3).await;
    let starts = (0..9).map(|_| {
        let request = pb::StartWorkflowRequest { website: website.clone(), ..Default::default() };
        async {
            let mut api = app.user("user_a").await;
            api.workflow.start_workflow(request).await.map(|started| campaign(started.into_inner().campaign).id)
        }
    });
    let starts = futures_util::future::join_all(starts).await;
    let (started, refused): (Vec<_>, Vec<_>) = starts.into_iter().partition(Result::is_ok);
    assert_eq!((started.len(), refused.len()), (3, 6));
    let started: BTreeSet<_> = started.into_iter().map(|start| start.expect("started")).collect();
    for refused in refused {
        let refused = refused.expect_err("refused");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "CAMPAIGN_LIVE"));
        let named: BTreeSet<_> = fact(&refused, "campaign_ids").split(',').map(str::to_owned).collect();
        assert_eq!((named, fact(&refused, "max").as_str()), (started.clone(), "3"));
    }
    // Another tenant's do not count.
    let mut other = app.user("user_b").await;
    start(&mut other, &website).await;
    // One that has ended makes room for one.
    let mut api = app.user("user_a").await;
    let campaign_id = started.first().expect("one").clone();
    let cancel = pb::CancelWorkflowRequest { campaign_id };
    api.workflow.cancel_workflow(cancel).await.expect("cancelled");
    start(&mut api, &website).await;
    let again = pb::StartWorkflowRequest { website, ..Default::default() };
    assert_eq!(reason(&api.workflow.start_workflow(again).await.expect_err("full")), "CAMPAIGN_LIVE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_without_an_id_means_the_only_live_one_and_a_read_the_newest() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        add_prospects(&mut api, ids.len() + 1).await;
        let id = start(&mut api, &website).await;
        stop_at(&mut api, &id, CampaignState::WaitingTemplate).await;
        ids.insert(0, id);
    }
    let w = &mut api.workflow;
    let template_id = "modern_tech".to_owned();
    let refused = [
        w.pause_workflow(pb::PauseWorkflowRequest::default()).await.expect_err("several"),
        w.resume_workflow(pb::ResumeWorkflowRequest::default()).await.expect_err("several"),
        w.cancel_workflow(pb::CancelWorkflowRequest::default()).await.expect_err("several"),
        w.select_template(pb::SelectTemplateRequest { template_id, ..Default::default() }).await.expect_err("several"),
        w.review_emails(pb::ReviewEmailsRequest { others: 1, ..Default::default() }).await.expect_err("several"),
    ];
    for refused in refused {
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "CAMPAIGN_AMBIGUOUS"));
        assert_eq!(fact(&refused, "campaign_ids"), ids.join(","), "the newest first");
    }
    let read = w.get_workflow(pb::GetWorkflowRequest::default()).await.expect("a read").into_inner();
    assert_eq!(campaign(read.campaign).id, ids[0]);

    // Named, each is changed alone; and once one is left, it is the one that is meant.
    w.pause_workflow(pb::PauseWorkflowRequest { campaign_id: ids[1].clone() }).await.expect("paused");
    w.cancel_workflow(pb::CancelWorkflowRequest { campaign_id: ids[2].clone() }).await.expect("cancelled");
    assert_eq!(list(&mut api, &[CampaignState::WaitingTemplate]).await, ids[..1]);
    assert_eq!(list(&mut api, &[CampaignState::Paused, CampaignState::Cancelled]).await, ids[1..]);
    assert_eq!(list(&mut api, &[CampaignState::Completed]).await, [""; 0]);
    assert_eq!(list(&mut api, &[]).await, ids);
    let w = &mut api.workflow;
    w.cancel_workflow(pb::CancelWorkflowRequest { campaign_id: ids[0].clone() }).await.expect("cancelled");
    let resumed = w.resume_workflow(pb::ResumeWorkflowRequest::default()).await.expect("the only one").into_inner();
    assert_eq!(campaign(resumed.campaign).id, ids[1]);

    for states in [vec![0], vec![99], vec![1, 0]] {
        let refused = api.workflow.list_workflows(pb::ListWorkflowsRequest { states, ..Default::default() }).await;
        assert_eq!(refused.expect_err("no such state").code(), Code::InvalidArgument);
    }
    // A page's token goes with its filter.
    let first = pb::ListWorkflowsRequest { page_size: 1, states: vec![7], ..Default::default() };
    let page = api.workflow.list_workflows(first.clone()).await.expect("a page").into_inner();
    assert_eq!(page.campaigns[0].id, ids[0]);
    let next = pb::ListWorkflowsRequest { page_token: page.next_page_token.clone(), ..first };
    let page = api.workflow.list_workflows(next.clone()).await.expect("a page").into_inner();
    assert_eq!(page.campaigns[0].id, ids[2]);
    let other = pb::ListWorkflowsRequest { states: vec![1], ..next };
    assert_eq!(reason(&api.workflow.list_workflows(other).await.expect_err("of another list")), "PAGE_TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_cancels_all_that_are_live_and_answers_them() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let (mut api, mut other) = (app.user("user_a").await, app.user("user_b").await);
    let theirs = start(&mut other, &website).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        add_prospects(&mut api, ids.len() + 1).await;
        let id = start(&mut api, &website).await;
        stop_at(&mut api, &id, CampaignState::WaitingTemplate).await;
        ids.insert(0, id);
    }
    api.workflow.pause_workflow(pb::PauseWorkflowRequest { campaign_id: ids[2].clone() }).await.expect("paused");
    api.workflow.cancel_workflow(pb::CancelWorkflowRequest { campaign_id: ids[3].clone() }).await.expect("cancelled");
    let reset = api.workflow.reset_workflow(pb::ResetWorkflowRequest {}).await.expect("reset").into_inner();
    let cancelled: Vec<_> = reset.cancelled_campaigns.iter().map(|campaign| campaign.id.clone()).collect();
    assert_eq!((cancelled.as_slice(), campaign(reset.cancelled_campaign).id), (&ids[..3], ids[0].clone()));
    assert!(reset.cancelled_campaigns.iter().all(|campaign| campaign.state() == CampaignState::Cancelled));
    let again = api.workflow.reset_workflow(pb::ResetWorkflowRequest {}).await.expect("reset").into_inner();
    assert_eq!((again.cancelled_campaign, again.cancelled_campaigns.len()), (None, 0));
    let request = pb::GetWorkflowRequest { campaign_id: theirs };
    let theirs = campaign(other.workflow.get_workflow(request).await.expect("there").into_inner().campaign);
    assert_ne!(theirs.state(), CampaignState::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prospect_is_in_one_live_campaign_at_a_time() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 3).await;
    let first = start(&mut api, &website).await;
    stop_at(&mut api, &first, CampaignState::WaitingTemplate).await;
    let taken = recipients(&mut api, &first).await;
    assert_eq!(taken.len(), 3);

    let preview = api.workflow.preview_recipients(pb::PreviewRecipientsRequest::default()).await.expect("one");
    let preview = preview.into_inner();
    let left_out: Vec<_> = preview.left_out.iter().map(|left_out| (left_out.reason(), left_out.count)).collect();
    assert_eq!((preview.recipient_count, left_out), (0, vec![(pb::LeftOutReason::InCampaign, 3)]));
    let second = start(&mut api, &website).await;
    let failed = stop_at(&mut api, &second, CampaignState::Failed).await;
    assert!(failed.failure.contains("3 are in another campaign that is live"), "{}", failed.failure);

    // Those that come are the other's.
    add_prospects(&mut api, 5).await;
    api.workflow.resume_workflow(pb::ResumeWorkflowRequest { campaign_id: second.clone() }).await.expect("resumed");
    stop_at(&mut api, &second, CampaignState::WaitingTemplate).await;
    let theirs = recipients(&mut api, &second).await;
    assert_eq!((theirs.len(), theirs.intersection(&taken).count()), (2, 0));

    // One that failed with prospects chosen does not take them from the one that has them now.
    let mut database = app.database().await;
    sqlx::query("UPDATE campaigns SET state = 'FAILED' WHERE id = $1")
        .bind(&first)
        .execute(&mut database)
        .await
        .expect("failed");
    let third = start(&mut api, &website).await;
    stop_at(&mut api, &third, CampaignState::WaitingTemplate).await;
    assert_eq!(recipients(&mut api, &third).await, taken);
    let resume = pb::ResumeWorkflowRequest { campaign_id: first };
    let refused = api.workflow.resume_workflow(resume.clone()).await.expect_err("taken");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "PROSPECTS_TAKEN"));
    assert_eq!(fact(&refused, "campaign_ids"), third);
    api.workflow.cancel_workflow(pb::CancelWorkflowRequest { campaign_id: third }).await.expect("cancelled");
    api.workflow.resume_workflow(resume).await.expect("they are free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn campaigns_that_choose_at_once_choose_nobody_twice() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 400).await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        let request = pb::StartWorkflowRequest { website: website.clone(), max_prospects: 60, ..Default::default() };
        let started = api.workflow.start_workflow(request).await.expect("started").into_inner();
        ids.push(campaign(started.campaign).id);
    }
    let mut all = BTreeSet::new();
    let mut count = 0;
    for id in &ids {
        becomes(&mut api, id, |now| matches!(now.state(), CampaignState::WaitingTemplate | CampaignState::Failed))
            .await;
        let chosen = recipients(&mut api, id).await;
        count += chosen.len();
        all.extend(chosen);
    }
    // Six have sixty, the seventh the forty that are left, the eighth nobody.
    assert_eq!((all.len(), count), (400, 400));
}
