//! No tenant sees or changes another: the scenarios that the old system promised.

mod matrix;
mod neighbours;
mod programs;

use herald::pb;
use tonic::Code;

use crate::support::site;
use crate::support::{TestApp, add_prospects, newest, reason, start_campaign};

#[tokio::test]
async fn two_users_prospects_are_apart() {
    let app = TestApp::start().await;
    let (mut a, mut b) = (app.user("user_a").await, app.user("user_b").await);
    let of_a = add_prospects(&mut a, 3).await;
    let of_b = add_prospects(&mut b, 2).await;

    let list = |ids: Vec<pb::Prospect>| ids.into_iter().map(|p| p.id).collect::<std::collections::HashSet<_>>();
    let seen = a.agent.list_prospects(pb::ListProspectsRequest::default()).await.expect("a list").into_inner();
    assert_eq!(list(seen.prospects), of_a.iter().cloned().collect());
    let seen = b.agent.list_prospects(pb::ListProspectsRequest::default()).await.expect("a list").into_inner();
    assert_eq!(list(seen.prospects), of_b.iter().cloned().collect());

    // Each sees its own, and neither can read or change the other's.
    for id in &of_a {
        a.agent.get_prospect(pb::GetProspectRequest { prospect_id: id.clone() }).await.expect("its own");
        let refused =
            b.agent.get_prospect(pb::GetProspectRequest { prospect_id: id.clone() }).await.expect_err("foreign");
        assert_eq!((refused.code(), reason(&refused)), (Code::NotFound, "PROSPECT_NOT_FOUND".to_owned()));
        let prospect = pb::Prospect { id: id.clone(), company: "Taken".into(), ..Default::default() };
        let change = pb::UpdateProspectRequest { prospect: Some(prospect), update_mask: None };
        assert_eq!(b.agent.update_prospect(change).await.expect_err("foreign").code(), Code::NotFound);
    }
    let kept = a.agent.get_prospect(pb::GetProspectRequest { prospect_id: of_a[0].clone() }).await.expect("its own");
    assert_eq!(kept.into_inner().prospect.expect("a prospect").company, "Company 0");
}

#[tokio::test]
async fn pausing_user_as_campaign_leaves_user_bs_running() {
    let site =
        site::pages([("/", site::Answer::Slow(std::time::Duration::from_secs(2), b"<title>Slow</title>".to_vec()))])
            .await;
    let app = TestApp::start().await;
    let (mut a, mut b) = (app.user("user_a").await, app.user("user_b").await);
    for api in [&mut a, &mut b] {
        add_prospects(api, 1).await;
        start_campaign(api, &site).await;
    }
    a.workflow.pause_workflow(pb::PauseWorkflowRequest::default()).await.expect("paused");
    assert_eq!(newest(&mut a).await.state(), pb::CampaignState::Paused);
    assert_eq!(newest(&mut b).await.state(), pb::CampaignState::Running);
    crate::support::reaches(&mut b, pb::CampaignState::WaitingApproval).await;
    assert_eq!(newest(&mut a).await.state(), pb::CampaignState::Paused);
}

#[tokio::test]
async fn a_foreign_id_answers_with_the_bytes_that_it_gave_before_anyone_made_it() {
    let site = site::pages([("/", site::html("<title>Acme</title>"))]).await;
    let app = TestApp::start().await;
    let (mut a, mut b) = (app.user("user_a").await, app.user("user_b").await);
    add_prospects(&mut a, 1).await;
    let made = start_campaign(&mut a, &site).await;
    crate::support::reaches(&mut a, pb::CampaignState::WaitingApproval).await;
    let emails = a.workflow.list_workflow_emails(pb::ListWorkflowEmailsRequest::default()).await.expect("a list");
    let email = emails.into_inner().emails.remove(0);

    let bytes = |status: tonic::Status| (status.code(), status.message().to_owned(), status.details().to_vec());
    let never = |prefix: &str| format!("{prefix}_never_made");
    macro_rules! same {
        ($call:ident, $client:ident, $request:expr, $foreign:expr, $never:expr) => {
            let foreign = b.$client.$call($request($foreign.clone())).await.expect_err("foreign");
            let never = b.$client.$call($request($never)).await.expect_err("never made");
            assert_eq!(foreign.code(), Code::NotFound);
            assert_eq!(bytes(foreign), bytes(never), stringify!($call));
        };
    }
    same!(get_prospect, agent, |prospect_id| pb::GetProspectRequest { prospect_id }, email.prospect_id, never("pr"));
    same!(
        list_prospect_emails,
        agent,
        |prospect_id| pb::ListProspectEmailsRequest { prospect_id, ..Default::default() },
        email.prospect_id,
        never("pr")
    );
    same!(
        update_prospect,
        agent,
        |id| pb::UpdateProspectRequest { prospect: Some(pb::Prospect { id, ..Default::default() }), update_mask: None },
        email.prospect_id,
        never("pr")
    );
    same!(get_email, agent, |email_id| pb::GetEmailRequest { email_id }, email.id, never("em"));
    same!(get_workflow, workflow, |campaign_id| pb::GetWorkflowRequest { campaign_id }, made.id, never("cp"));
    same!(pause_workflow, workflow, |campaign_id| pb::PauseWorkflowRequest { campaign_id }, made.id, never("cp"));
    same!(resume_workflow, workflow, |campaign_id| pb::ResumeWorkflowRequest { campaign_id }, made.id, never("cp"));
    same!(cancel_workflow, workflow, |campaign_id| pb::CancelWorkflowRequest { campaign_id }, made.id, never("cp"));
    same!(
        get_workflow_results,
        workflow,
        |campaign_id| pb::GetWorkflowResultsRequest { campaign_id },
        made.id,
        never("cp")
    );
    same!(
        get_workflow_step,
        workflow,
        |campaign_id| pb::GetWorkflowStepRequest { campaign_id, step: 1 },
        made.id,
        never("cp")
    );
    same!(
        select_template,
        workflow,
        |campaign_id| pb::SelectTemplateRequest { campaign_id, template_id: "modern_tech".into() },
        made.id,
        never("cp")
    );
    same!(
        list_workflow_emails,
        workflow,
        |campaign_id| pb::ListWorkflowEmailsRequest { campaign_id, ..Default::default() },
        made.id,
        never("cp")
    );
    same!(
        review_emails,
        workflow,
        |campaign_id| pb::ReviewEmailsRequest { campaign_id, others: 1, ..Default::default() },
        made.id,
        never("cp")
    );
    same!(
        watch_workflow,
        workflow,
        |campaign_id| pb::WatchWorkflowRequest { campaign_id, after_seq: Some(0) },
        made.id,
        never("cp")
    );
    // An e-mail of another tenant inside a campaign of one's own.
    add_prospects(&mut b, 1).await;
    start_campaign(&mut b, &site).await;
    crate::support::reaches(&mut b, pb::CampaignState::WaitingApproval).await;
    let review = |email_id: String| pb::ReviewEmailsRequest {
        reviews: vec![pb::EmailReview { email_id, decision: 1, ..Default::default() }],
        ..Default::default()
    };
    same!(review_emails, workflow, review, email.id, never("em"));
}

#[tokio::test]
async fn page_tokens_and_etags_of_one_tenant_mean_nothing_to_another() {
    let app = TestApp::start().await;
    let (mut a, mut b) = (app.user("user_a").await, app.user("user_b").await);
    add_prospects(&mut a, 3).await;
    add_prospects(&mut b, 3).await;
    let page = |token: String| pb::ListProspectsRequest { page_size: 1, page_token: token, ..Default::default() };
    let token = a.agent.list_prospects(page(String::new())).await.expect("a page").into_inner().next_page_token;
    a.agent.list_prospects(page(token.clone())).await.expect("its own token");
    let refused = b.agent.list_prospects(page(token)).await.expect_err("another's token");
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");

    let config = a.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.expect("a configuration").into_inner();
    let etag = config.config.expect("a configuration").etag;
    let change = pb::AgentConfig { location: "Mosel".into(), etag, ..Default::default() };
    let change = pb::UpdateAgentConfigRequest { config: Some(change), update_mask: None };
    let refused = b.agent.update_agent_config(change.clone()).await.expect_err("another's etag");
    assert_eq!((refused.code(), reason(&refused)), (Code::Aborted, "ETAG_MISMATCH".to_owned()));
    a.agent.update_agent_config(change).await.expect("its own etag");
}
