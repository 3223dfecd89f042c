//! Every refused input: its code and the reason in its ErrorInfo.

use herald::cli::Api;
use herald::pb;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::token::{hs as token, now};
use crate::support::{SECRET, TestApp, add_prospects, config, folder, prospects, reason, seams};

fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, expected: &str) -> Status {
    let status = result.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{status:?}");
    status
}

/// Refused as INVALID_ARGUMENT, naming exactly these fields.
fn bad_fields<T: std::fmt::Debug>(result: Result<T, Status>, fields: &[&str]) {
    let status = refused(result, Code::InvalidArgument, "FIELD_INVALID");
    let details = status.get_error_details();
    let named = &details.bad_request().expect("it names fields").field_violations;
    let named: Vec<_> = named.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(named, fields, "{status:?}");
}

#[tokio::test]
async fn credentials_that_prove_nothing_are_refused_alike() {
    let data = folder();
    let mut config = config(&data);
    config.dev = false;
    config.master_key = herald::config::Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let app = TestApp::with(data, config, seams()).await;
    async fn call(mut api: Api) -> Result<pb::GetAgentConfigResponse, Status> {
        api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.map(tonic::Response::into_inner)
    }
    refused(call(app.api(None, None).await).await, Code::Unauthenticated, "CREDENTIALS_MISSING");
    // A production server does not look at the development header.
    refused(call(app.user("user_a").await).await, Code::Unauthenticated, "CREDENTIALS_MISSING");

    let claims = json!({"sub": "user_a", "exp": now() + 60});
    let good = token(&claims, SECRET, Algorithm::HS256);
    call(app.token(&good).await).await.expect("a good token");
    let unsigned = good.rsplit_once('.').expect("three parts").0.to_owned() + ".";
    let bad = [
        "nonsense".to_owned(),
        unsigned,
        good[..good.len() - 2].to_owned(),
        token(&claims, "another secret, also long enough for it", Algorithm::HS256),
        token(&claims, SECRET, Algorithm::HS512),
        token(&json!({"sub": "user_a", "exp": now() - 60}), SECRET, Algorithm::HS256),
        token(&json!({"sub": "user_a", "exp": now() + 60, "nbf": now() + 30}), SECRET, Algorithm::HS256),
        token(&json!({"sub": "user_a"}), SECRET, Algorithm::HS256),
        token(&json!({"exp": now() + 60}), SECRET, Algorithm::HS256),
        token(&json!({"sub": "", "exp": now() + 60}), SECRET, Algorithm::HS256),
        token(&json!({"sub": "user_a", "exp": now() + 60, "aud": "another service"}), SECRET, Algorithm::HS256),
    ];
    let mut answers = Vec::new();
    for token in bad {
        let status = refused(call(app.token(&token).await).await, Code::Unauthenticated, "CREDENTIALS_INVALID");
        answers.push((status.message().to_owned(), status.details().to_vec()));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "nobody learns what was wrong");

    for tenant in ["_x", "a/b", "a b", "é", "..", &"a".repeat(129)] {
        let claims = json!({"sub": tenant, "exp": now() + 60});
        let token = token(&claims, SECRET, Algorithm::HS256);
        refused(call(app.token(&token).await).await, Code::Unauthenticated, "TENANT_ID_INVALID");
    }
}

#[tokio::test]
async fn roles_and_organisations_come_from_the_token() {
    let app = TestApp::start().await;
    let bearer = |claims: Value| token(&claims, SECRET, Algorithm::HS256);
    let exp = now() + 60;
    let mut viewer = app.token(&bearer(json!({"sub": "u1", "org_id": "org_1", "exp": exp}))).await;
    let mut editor = app.token(&bearer(json!({"sub": "u2", "org_id": "org_1", "role": "editor", "exp": exp}))).await;
    let mut owner = app.token(&bearer(json!({"sub": "u3", "exp": exp}))).await;
    let mut odd = app.token(&bearer(json!({"sub": "u4", "role": "emperor", "exp": exp}))).await;
    let create = || pb::BatchCreateProspectsRequest { prospects: prospects(1), ..Default::default() };
    refused(viewer.agent.batch_create_prospects(create()).await, Code::PermissionDenied, "ROLE_TOO_LOW");
    refused(odd.agent.batch_create_prospects(create()).await, Code::PermissionDenied, "ROLE_TOO_LOW");
    editor.agent.batch_create_prospects(create()).await.expect("an editor may");
    let configure = || pb::UpdateAgentConfigRequest { config: Some(pb::AgentConfig::default()), update_mask: None };
    refused(editor.agent.update_agent_config(configure()).await, Code::PermissionDenied, "ROLE_TOO_LOW");
    owner.agent.update_agent_config(configure()).await.expect("the owner of a personal tenant may");
    // Members of one organisation share its prospects; the owner of another tenant does not see them.
    let list = pb::ListProspectsRequest::default;
    assert_eq!(viewer.agent.list_prospects(list()).await.expect("a list").into_inner().prospects.len(), 1);
    assert!(owner.agent.list_prospects(list()).await.expect("a list").into_inner().prospects.is_empty());
    // A role that is too low is told before existence is looked at.
    let change = pb::UpdateProspectRequest {
        prospect: Some(pb::Prospect { id: "pr_none".into(), ..Default::default() }),
        update_mask: None,
    };
    refused(viewer.agent.update_prospect(change).await, Code::PermissionDenied, "ROLE_TOO_LOW");
}

#[tokio::test]
async fn development_headers_that_are_no_tenant_are_refused() {
    let app = TestApp::start().await;
    for user in ["_x", "a/b", "a b", &"a".repeat(129)] {
        let mut api = app.api(None, None).await;
        let mut call = tonic::Request::new(pb::GetAgentConfigRequest {});
        call.metadata_mut().insert("x-user-id", user.parse().expect("ascii"));
        let refusal = api.agent.get_agent_config(call).await;
        refused(refusal, Code::Unauthenticated, "TENANT_ID_INVALID");
    }
    // Twice-sent headers prove nothing; a client's own x-tenant-id never survives.
    let mut api = app.user("user_a").await;
    let mut twice = tonic::Request::new(pb::GetAgentConfigRequest {});
    twice.metadata_mut().append("authorization", "Bearer x".parse().expect("ascii"));
    twice.metadata_mut().append("authorization", "Bearer y".parse().expect("ascii"));
    refused(api.agent.get_agent_config(twice).await, Code::Unauthenticated, "CREDENTIALS_INVALID");
    // A token is sent by the scheme Bearer, in any case, and by no other.
    let valid = token(&json!({"sub": "user_a", "exp": now() + 60}), SECRET, Algorithm::HS256);
    for (scheme, is_taken) in [("Bearer", true), ("bEARER", true), ("Basic", false), ("Token", false)] {
        let mut call = tonic::Request::new(pb::GetAgentConfigRequest {});
        call.metadata_mut().insert("authorization", format!("{scheme} {valid}").parse().expect("ascii"));
        assert_eq!(api.agent.get_agent_config(call).await.is_ok(), is_taken, "{scheme}");
    }
    let mut forged = tonic::Request::new(pb::GetAgentConfigRequest {});
    forged.metadata_mut().insert("x-tenant-id", "user_b".parse().expect("ascii"));
    let answer = api.agent.get_agent_config(forged).await.expect("answered");
    assert_eq!(answer.metadata().get("x-tenant-id").expect("stamped"), "user_a");
}

#[tokio::test]
async fn prospects_that_cannot_be_are_refused_field_by_field_and_nothing_is_written() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let batch = |prospects| pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
    let mut rows = prospects(4);
    rows[1].email = "nobody".into();
    rows[2].company = "x".repeat(201);
    rows[2].source_url = "javascript:alert(1)".into();
    rows[3].language = "english language".into();
    rows[3].status = 99;
    let bad = [
        "prospects[1].email",
        "prospects[2].company",
        "prospects[2].source_url",
        "prospects[3].status",
        "prospects[3].language",
    ];
    bad_fields(api.agent.batch_create_prospects(batch(rows)).await, &bad);
    bad_fields(api.agent.batch_create_prospects(batch(Vec::new())).await, &["prospects"]);
    bad_fields(api.agent.batch_create_prospects(batch(prospects(1_001))).await, &["prospects"]);
    let list = pb::ListProspectsRequest { page_size: 1_000, ..Default::default() };
    assert!(api.agent.list_prospects(list.clone()).await.expect("a list").into_inner().prospects.is_empty());

    // The largest batch fits, twice is a duplicate, upper and lower case alike.
    assert_eq!(
        api.agent.batch_create_prospects(batch(prospects(1_000))).await.expect("fits").into_inner().created_count,
        1_000
    );
    let mut again = prospects(2);
    again[0].email = again[0].email.to_uppercase();
    again[1].email = "new@example.com".into();
    again.push(again[1].clone());
    let answer = api.agent.batch_create_prospects(batch(again)).await.expect("created").into_inner();
    let duplicates: Vec<_> = answer.results.iter().map(|r| r.duplicate).collect();
    assert_eq!((answer.created_count, duplicates), (1, vec![true, false, true]));
    assert_eq!(answer.results[1].prospect_id, answer.results[2].prospect_id);

    let id = |prospect_id: &str| pb::GetProspectRequest { prospect_id: prospect_id.into(), view: 0 };
    bad_fields(api.agent.get_prospect(id("")).await, &["prospect_id"]);
    bad_fields(api.agent.get_prospect(id(&"x".repeat(129))).await, &["prospect_id"]);
    refused(api.agent.get_prospect(id("pr_none")).await, Code::NotFound, "PROSPECT_NOT_FOUND");
}

#[tokio::test]
async fn updates_check_mask_etag_and_address() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let ids = add_prospects(&mut api, 2).await;
    let update = |prospect: pb::Prospect, paths: &[&str]| pb::UpdateProspectRequest {
        prospect: Some(prospect),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() }),
    };
    let prospect = |company: &str, email: &str, etag: &str| pb::Prospect {
        id: ids[0].clone(),
        company: company.into(),
        email: email.into(),
        etag: etag.into(),
        ..Default::default()
    };
    let none = pb::UpdateProspectRequest { prospect: None, update_mask: None };
    bad_fields(api.agent.update_prospect(none).await, &["prospect"]);
    bad_fields(api.agent.update_prospect(update(prospect("A", "", ""), &["compani"])).await, &["update_mask"]);
    bad_fields(api.agent.update_prospect(update(prospect("A", "", ""), &["id"])).await, &["update_mask"]);
    bad_fields(api.agent.update_prospect(update(prospect("A", "x", ""), &["email"])).await, &["prospect.email"]);
    let taken = update(prospect("A", "PERSON1@company1.example", ""), &["email"]);
    refused(api.agent.update_prospect(taken).await, Code::AlreadyExists, "PROSPECT_EMAIL_TAKEN");
    let stale = update(prospect("A", "", "stale"), &["company"]);
    refused(api.agent.update_prospect(stale).await, Code::Aborted, "ETAG_MISMATCH");

    let changed =
        api.agent.update_prospect(update(prospect("A", "", ""), &["company", "notes"])).await.expect("changed");
    let changed = changed.into_inner().prospect.expect("a prospect");
    assert_eq!((changed.company.as_str(), changed.email.as_str()), ("A", "person0@company0.example"));
    let with_etag = update(prospect("B", "", &changed.etag), &["company"]);
    api.agent.update_prospect(with_etag.clone()).await.expect("the etag is the current one");
    refused(api.agent.update_prospect(with_etag).await, Code::Aborted, "ETAG_MISMATCH");

    let config = |config: pb::AgentConfig, paths: &[&str]| pb::UpdateAgentConfigRequest {
        config: Some(config),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() }),
    };
    let bad = pb::AgentConfig {
        target_website: "example.com".into(),
        goal_detail: "x".repeat(1_001),
        sender: Some(pb::Sender { unsubscribe_email: "nobody".into(), ..Default::default() }),
        roles: vec!["x".repeat(201)],
        ..Default::default()
    };
    let fields = ["config.target_website", "config.goal_detail", "config.sender.unsubscribe_email", "config.roles[0]"];
    bad_fields(api.agent.update_agent_config(config(bad, &["*"])).await, &fields);
    bad_fields(api.agent.update_agent_config(config(pb::AgentConfig::default(), &["smtps"])).await, &["update_mask"]);
    let unknown = pb::AgentConfig { template_id: "none".into(), ..Default::default() };
    refused(
        api.agent.update_agent_config(config(unknown, &["template_id"])).await,
        Code::NotFound,
        "TEMPLATE_NOT_FOUND",
    );
    let none = pb::UpdateAgentConfigRequest { config: None, update_mask: None };
    bad_fields(api.agent.update_agent_config(none).await, &["config"]);
}

#[tokio::test]
async fn pages_have_their_limits_and_tokens_their_query() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let mut newest_first = add_prospects(&mut api, 7).await;
    newest_first.reverse();
    let list = |page_size, page_token: &str| pb::ListProspectsRequest {
        page_size,
        page_token: page_token.into(),
        ..Default::default()
    };
    bad_fields(api.agent.list_prospects(list(1_001, "")).await, &["page_size"]);
    bad_fields(api.agent.list_prospects(list(-1, "")).await, &["page_size"]);
    refused(api.agent.list_prospects(list(5, "nonsense")).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let mut other = list(5, &api.agent.list_prospects(list(5, "")).await.expect("a page").into_inner().next_page_token);
    other.status = pb::ProspectStatus::Contacted.into();
    refused(api.agent.list_prospects(other).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    bad_fields(api.agent.list_prospects(pb::ListProspectsRequest { status: 42, ..list(5, "") }).await, &["status"]);

    // Page by page, each prospect once; the rows of one batch keep their order.
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = api.agent.list_prospects(list(3, &token)).await.expect("a page").into_inner();
        seen.extend(page.prospects.into_iter().map(|p| p.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, newest_first);

    let emails = |prospect_id: &str, page_size| pb::ListProspectEmailsRequest {
        prospect_id: prospect_id.into(),
        page_size,
        page_token: String::new(),
    };
    refused(api.agent.list_prospect_emails(emails("pr_none", 0)).await, Code::NotFound, "PROSPECT_NOT_FOUND");
    bad_fields(api.agent.list_prospect_emails(emails(&seen[0], 1_001)).await, &["page_size"]);
    bad_fields(api.agent.get_email(pb::GetEmailRequest { email_id: String::new() }).await, &["email_id"]);
    refused(
        api.agent.get_email(pb::GetEmailRequest { email_id: "em".into() }).await,
        Code::NotFound,
        "EMAIL_NOT_FOUND",
    );
    let workflows = pb::ListWorkflowsRequest { page_size: 101, ..Default::default() };
    bad_fields(api.workflow.list_workflows(workflows).await, &["page_size"]);
}

#[tokio::test]
async fn campaigns_that_cannot_be_are_refused() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let w = &mut api.workflow;
    let start = |website: &str| pb::StartWorkflowRequest { website: website.into(), ..Default::default() };
    for website in [
        "",
        "example.com",
        "ftp://example.com",
        "https://user:pass@example.com",
        &format!("https://e.com/{}", "x".repeat(2_000)),
    ] {
        bad_fields(w.start_workflow(start(website)).await, &["website"]);
    }
    let many = pb::StartWorkflowRequest {
        goal: 9,
        goal_detail: "x".repeat(1_001),
        max_prospects: 10_001,
        ..start("https://example.com")
    };
    bad_fields(w.start_workflow(many).await, &["goal", "goal_detail", "max_prospects"]);
    let template = pb::StartWorkflowRequest { template_id: "none".into(), ..start("https://example.com") };
    refused(w.start_workflow(template).await, Code::NotFound, "TEMPLATE_NOT_FOUND");
    let request_id = pb::StartWorkflowRequest { request_id: "x".repeat(129), ..start("https://example.com") };
    bad_fields(w.start_workflow(request_id).await, &["request_id"]);

    // Without any campaign, an empty id finds none.
    refused(w.get_workflow(pb::GetWorkflowRequest::default()).await, Code::NotFound, "NO_CAMPAIGN");
    refused(w.pause_workflow(pb::PauseWorkflowRequest::default()).await, Code::NotFound, "NO_CAMPAIGN");
    refused(w.resume_workflow(pb::ResumeWorkflowRequest::default()).await, Code::NotFound, "NO_CAMPAIGN");
    refused(w.cancel_workflow(pb::CancelWorkflowRequest::default()).await, Code::NotFound, "NO_CAMPAIGN");
    refused(w.get_workflow_results(pb::GetWorkflowResultsRequest::default()).await, Code::NotFound, "NO_CAMPAIGN");
    refused(w.list_workflow_emails(pb::ListWorkflowEmailsRequest::default()).await, Code::NotFound, "NO_CAMPAIGN");
    refused(w.watch_workflow(pb::WatchWorkflowRequest::default()).await.map(|_| ()), Code::NotFound, "NO_CAMPAIGN");
    let long = pb::GetWorkflowRequest { campaign_id: "x".repeat(129) };
    bad_fields(w.get_workflow(long).await, &["campaign_id"]);
    bad_fields(w.get_workflow_step(pb::GetWorkflowStepRequest::default()).await, &["step"]);
    bad_fields(w.get_workflow_step(pb::GetWorkflowStepRequest { step: 7, ..Default::default() }).await, &["step"]);
    let negative = pb::WatchWorkflowRequest { campaign_id: String::new(), after_seq: Some(-1) };
    bad_fields(w.watch_workflow(negative).await.map(|_| ()), &["after_seq"]);

    let select =
        |template_id: &str| pb::SelectTemplateRequest { template_id: template_id.into(), ..Default::default() };
    bad_fields(w.select_template(select("")).await, &["template_id"]);
    refused(w.select_template(select("none")).await, Code::NotFound, "TEMPLATE_NOT_FOUND");

    let review = |reviews| pb::ReviewEmailsRequest { reviews, ..Default::default() };
    let one = |id: &str, decision| pb::EmailReview { email_id: id.into(), decision, ..Default::default() };
    bad_fields(w.review_emails(review(Vec::new())).await, &["reviews"]);
    bad_fields(w.review_emails(review(vec![one("a", 1); 1_001])).await, &["reviews"]);
    let empty = pb::EmailReview { subject: Some(String::new()), body: Some("x".repeat(20_001)), ..one("c", 2) };
    let rows = vec![one("a", 0), one("", 1), one("a", 1), empty];
    let fields =
        ["reviews[0].decision", "reviews[1].email_id", "reviews[2].email_id", "reviews[3].subject", "reviews[3].body"];
    bad_fields(w.review_emails(review(rows)).await, &fields);
    bad_fields(w.review_emails(pb::ReviewEmailsRequest { others: 7, ..Default::default() }).await, &["others"]);
}

#[tokio::test]
async fn an_email_is_decided_once_and_a_review_is_done_whole_or_not_at_all() {
    let website = crate::support::site::pages([("/", crate::support::site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 3).await;
    crate::support::start_campaign(&mut api, &website).await;
    crate::support::reaches(&mut api, pb::CampaignState::WaitingApproval).await;
    let emails = api.workflow.list_workflow_emails(pb::ListWorkflowEmailsRequest::default()).await.expect("a list");
    let ids: Vec<_> = emails.into_inner().emails.into_iter().map(|e| e.id).collect();
    let review = |ids: &[&String], decision| pb::ReviewEmailsRequest {
        reviews: ids
            .iter()
            .map(|id| pb::EmailReview { email_id: (*id).clone(), decision, ..Default::default() })
            .collect(),
        ..Default::default()
    };
    api.workflow.review_emails(review(&[&ids[0]], 2)).await.expect("one is rejected");
    let twice = api.workflow.review_emails(review(&[&ids[1], &ids[0]], 1)).await;
    refused(twice, Code::FailedPrecondition, "EMAIL_STATE");
    let now = crate::support::newest(&mut api).await.emails.expect("counts");
    assert_eq!(
        (now.awaiting_approval, now.rejected, now.approved),
        (2, 1, 0),
        "nothing of the refused review was done"
    );
    let unknown = api.workflow.review_emails(review(&[&"em_none".to_owned()], 1)).await;
    refused(unknown, Code::NotFound, "EMAIL_NOT_FOUND");
    // Once the last is decided the campaign goes on; with all rejected there is nothing to send.
    let rest = api.workflow.review_emails(review(&[&ids[1], &ids[2]], 2)).await.expect("rejected").into_inner();
    assert_eq!(rest.rejected_count, 2);
    let done = crate::support::reaches(&mut api, pb::CampaignState::Completed).await;
    assert_eq!(done.steps[5].status(), pb::StepStatus::Skipped);
    assert!(crate::support::eml_files(&app.outbox("user_a")).is_empty());
}
