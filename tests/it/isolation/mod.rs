//! No tenant sees or changes another: the scenarios that the old system promised here, and what is generated from the
//! descriptors in the modules below.

mod matrix;
mod neighbours;
mod programs;

use herald::pb;
use tonic::Code;

use crate::support::site;
use crate::support::{TestApp, add_prospects, approve_all, newest, reaches, reason, start_campaign};

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
        a.agent.get_prospect(pb::GetProspectRequest { prospect_id: id.clone(), view: 0 }).await.expect("its own");
        let refused = b
            .agent
            .get_prospect(pb::GetProspectRequest { prospect_id: id.clone(), view: 0 })
            .await
            .expect_err("foreign");
        assert_eq!((refused.code(), reason(&refused)), (Code::NotFound, "PROSPECT_NOT_FOUND".to_owned()));
        let prospect = pb::Prospect { id: id.clone(), company: "Taken".into(), ..Default::default() };
        let change = pb::UpdateProspectRequest { prospect: Some(prospect), update_mask: None };
        assert_eq!(b.agent.update_prospect(change).await.expect_err("foreign").code(), Code::NotFound);
    }
    let kept =
        a.agent.get_prospect(pb::GetProspectRequest { prospect_id: of_a[0].clone(), view: 0 }).await.expect("its own");
    assert_eq!(kept.into_inner().prospect.expect("a prospect").company, "Company 0");
}

#[tokio::test]
async fn pausing_user_as_campaign_leaves_user_bs_running() {
    let site = site::pages([(
        "/",
        site::Answer::Slow(std::time::Duration::from_secs(2), b"<title>Slow</title><p>We take our time.</p>".to_vec()),
    )])
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
    reaches(&mut b, pb::CampaignState::WaitingApproval).await;
    assert_eq!(newest(&mut a).await.state(), pb::CampaignState::Paused);
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

/// Who does not want one tenant's mail may want another's.
#[tokio::test]
async fn a_suppression_of_one_tenant_holds_back_no_mail_of_another() {
    let site = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let (mut a, mut b) = (app.user("user_a").await, app.user("user_b").await);
    for api in [&mut a, &mut b] {
        add_prospects(api, 2).await;
    }
    let list = b.agent.list_prospects(pb::ListProspectsRequest::default()).await.expect("a list").into_inner();
    let suppressions = list.prospects.into_iter().map(|p| pb::Suppression { email: p.email, ..Default::default() });
    let request = pb::AddSuppressionsRequest { suppressions: suppressions.collect(), request_id: String::new() };
    assert_eq!(a.agent.add_suppressions(request).await.expect("added").into_inner().added_count, 2);
    start_campaign(&mut a, &site).await;
    let failed = reaches(&mut a, pb::CampaignState::Failed).await;
    assert!(failed.failure.contains("2 have an address that is not to be written to"), "{}", failed.failure);
    start_campaign(&mut b, &site).await;
    reaches(&mut b, pb::CampaignState::WaitingApproval).await;
    approve_all(&mut b).await;
    reaches(&mut b, pb::CampaignState::Completed).await;
    assert_eq!(newest(&mut b).await.emails.expect("counts").sent, 2);
}

/// Creates of several tenants wait for the same commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prospects_that_are_added_together_stay_apart() {
    const TENANTS: usize = 8;
    const ADDRESSES: usize = 12;
    let app = TestApp::start().await;
    let mut apis = Vec::new();
    for n in 0..TENANTS {
        let mut api = app.user(&format!("user_{n}")).await;
        add_prospects(&mut api, 1).await;
        apis.push(api);
    }
    // First addresses of each tenant's own, then the same for all, each twice.
    let mut created = Vec::new();
    for shared in [false, true] {
        let calls = (0..TENANTS * ADDRESSES).map(|n| {
            let (tenant, address) = (n % TENANTS, n / TENANTS);
            let address = if shared { address / 2 } else { address };
            let mut agent = apis[tenant].agent.clone();
            async move {
                let of = if shared { "all".to_owned() } else { tenant.to_string() };
                let email = format!("p{address}.of.{of}@example.com");
                let prospect =
                    pb::Prospect { email: email.clone(), company: format!("of {tenant}"), ..Default::default() };
                let request = pb::BatchCreateProspectsRequest { prospects: vec![prospect], request_id: String::new() };
                let mut answer = agent.batch_create_prospects(request).await.expect("created").into_inner();
                (tenant, email, answer.results.remove(0))
            }
        });
        created.extend(futures_util::future::join_all(calls).await);
    }
    for (n, api) in apis.iter_mut().enumerate() {
        let list = api.agent.list_prospects(pb::ListProspectsRequest::default()).await.expect("a list").into_inner();
        assert_eq!(list.prospects.len(), 1 + ADDRESSES * 3 / 2);
        assert!(list.prospects.iter().all(|p| p.company == format!("of {n}") || p.company == "Company 0"));
        let own: Vec<_> = created.iter().filter(|(tenant, ..)| *tenant == n).collect();
        assert_eq!(own.iter().filter(|(.., result)| !result.duplicate).count(), ADDRESSES * 3 / 2);
        for (_, email, result) in own {
            let holder = list.prospects.iter().find(|p| p.email == *email).expect("it was added");
            assert_eq!(holder.id, result.prospect_id, "user_{n} {email}");
        }
    }
}
