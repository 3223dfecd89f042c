//! Whom a campaign writes to: the filters of a start, nobody again too soon, a few of each company, and one mailbox once
//! however its address is spelled.

use std::sync::Arc;

use async_trait::async_trait;
use herald::cli::Api;
use herald::connect::{ConnectError, Connectors, Delivery, Mail, WebFetch};
use herald::domain::email::Email;
use herald::pb::{self, CampaignState, LeftOutReason};
use herald::tenant::Scope;
use tonic::Code;
use tonic_types::StatusExt as _;

use url::Url;

use crate::support::{TestApp, auto_approve, config, folder, no_smtp, reaches, reason, seams, site};

/// An address, a tag, an industry.
async fn add(api: &mut Api, rows: &[(&str, &str, &str)]) {
    let prospect = |(email, tag, industry): &(&str, &str, &str)| pb::Prospect {
        email: (*email).into(),
        company: format!("Company of {email}"),
        contact_name: "Anna Berg".into(),
        industry: (*industry).into(),
        tags: vec![(*tag).into()],
        ..Default::default()
    };
    let prospects = rows.iter().map(prospect).collect();
    let request = pb::BatchCreateProspectsRequest { prospects, ..Default::default() };
    let created = api.agent.batch_create_prospects(request).await.expect("created").into_inner();
    assert_eq!(created.results.iter().filter(|result| result.duplicate).count(), 0);
}

fn rules(tag: &str) -> pb::RecipientRules {
    let tags = if tag.is_empty() { Vec::new() } else { vec![tag.to_owned()] };
    pb::RecipientRules { tags, ..Default::default() }
}

async fn start(api: &mut Api, website: &str, recipients: pb::RecipientRules) -> pb::StartWorkflowResponse {
    let request = pb::StartWorkflowRequest {
        website: website.to_owned(),
        template_id: "modern_tech".into(),
        recipients: Some(recipients),
        ..Default::default()
    };
    api.workflow.start_workflow(request).await.expect("started").into_inner()
}

/// The addresses that a campaign has chosen, the best first, and how many each rule left out.
async fn chosen(api: &mut Api) -> (Vec<String>, Vec<(LeftOutReason, i32)>) {
    let (mut emails, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListRecipientsRequest { page_size: 2, page_token, ..Default::default() };
        let page = api.workflow.list_recipients(request).await.expect("a page").into_inner();
        emails.extend(page.recipients.into_iter().map(|r| r.prospect.expect("a prospect").email));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return (emails, page.left_out.iter().map(|of| (of.reason(), of.count)).collect());
        }
    }
}

#[tokio::test]
async fn the_next_campaign_writes_to_the_others_and_not_to_the_same_again() {
    let website = site::example().await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    auto_approve(&mut api).await;
    add(
        &mut api,
        &[
            ("a@one.example", "x", "Horticulture"),
            ("b@two.example", "x", "Horticulture"),
            ("c@three.example", "x", "Horticulture"),
        ],
    )
    .await;
    let two = |website: &str| pb::StartWorkflowRequest {
        website: website.to_owned(),
        template_id: "modern_tech".into(),
        max_prospects: 2,
        ..Default::default()
    };
    api.workflow.start_workflow(two(&website)).await.expect("started");
    reaches(&mut api, CampaignState::Completed).await;
    let (first, left_out) = chosen(&mut api).await;
    assert_eq!((first.len(), left_out), (2, vec![(LeftOutReason::BeyondMaximum, 1)]));

    // Deleted and imported again under another spelling, they are the same mailboxes.
    let list = api.agent.list_prospects(pb::ListProspectsRequest::default()).await.expect("a list").into_inner();
    for prospect in list.prospects.iter().filter(|p| first.contains(&p.email)) {
        let request = pb::DeleteProspectRequest { prospect_id: prospect.id.clone(), ..Default::default() };
        api.agent.delete_prospect(request).await.expect("deleted");
        let respelled = prospect.email.to_uppercase();
        add(&mut api, &[(&respelled, "x", "Horticulture")]).await;
    }
    api.workflow.start_workflow(two(&website)).await.expect("started");
    reaches(&mut api, CampaignState::Completed).await;
    let (second, left_out) = chosen(&mut api).await;
    assert_eq!((second.len(), left_out), (1, vec![(LeftOutReason::WrittenRecently, 2)]));
    assert!(!first.contains(&second[0]));

    // Nobody is left; the failure says why.
    api.workflow.start_workflow(two(&website)).await.expect("started");
    let failed = reaches(&mut api, CampaignState::Failed).await;
    assert!(failed.failure.contains("3 were written to or have answered recently"), "{}", failed.failure);

    // Unless the start says so, and then the answer says it too.
    let again = start(&mut api, &website, pb::RecipientRules { not_again_days: Some(0), ..rules("") }).await;
    assert!(again.notes[0].contains("written to again"), "{:?}", again.notes);
    let settings = again.campaign.expect("a campaign").settings.expect("settings");
    assert_eq!(settings.recipients.expect("rules").not_again_days, Some(0));
    reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(chosen(&mut api).await.0.len(), 3);
}

/// Takes a mail, perhaps.
struct Vague;

#[async_trait]
impl Mail for Vague {
    async fn deliver(&self, _: &Scope, _: &Email, _: Option<&Url>) -> Result<(), ConnectError> {
        Err(ConnectError::Unclear("the line broke".to_owned()))
    }

    async fn verify(&self, _: &Scope, _: &Email) -> Result<Delivery, ConnectError> {
        Ok(Delivery::Unknown)
    }
}

#[tokio::test]
async fn mail_of_which_nobody_knows_whether_it_was_sent_counts_as_written() {
    let website = site::example().await;
    let data = folder();
    let settings = config(&data);
    let fetch = Arc::new(WebFetch::new(&settings.fetch).expect("a fetcher"));
    let mut seams = seams();
    seams.connectors = Some(Connectors { fetch, mail: Arc::new(Vague), smtp: no_smtp() });
    let app = TestApp::with(data, settings, seams).await;
    let mut api = app.user("user_a").await;
    auto_approve(&mut api).await;
    add(&mut api, &[("a@one.example", "x", "Horticulture")]).await;
    start(&mut api, &website, rules("")).await;
    assert_eq!(reaches(&mut api, CampaignState::Completed).await.emails.expect("counts").unknown, 1);
    start(&mut api, &website, rules("")).await;
    let failed = reaches(&mut api, CampaignState::Failed).await;
    assert!(failed.failure.contains("1 were written to or have answered recently"), "{}", failed.failure);
}

#[tokio::test]
async fn filters_scores_and_companies_say_who_is_written_to_before_and_after_the_start() {
    let website = site::example().await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    auto_approve(&mut api).await;
    add(
        &mut api,
        &[
            ("a@mail.acme.co.uk", "growers", "Horticulture"),
            ("b@acme.co.uk", "growers", "Horticulture"),
            ("c@sales.acme.co.uk", "growers", "Horticulture"),
            ("d@gmail.com", "growers", "Horticulture"),
            ("e@gmail.com", "growers", "Horticulture"),
            ("f@insurer.example", "insurers", "Insurance"),
            ("g@stopped.example", "growers", "Horticulture"),
        ],
    )
    .await;
    let stopped = pb::AddSuppressionsRequest {
        suppressions: vec![pb::Suppression { email: "\"G\"@Stopped.example".into(), ..Default::default() }],
        ..Default::default()
    };
    api.agent.add_suppressions(stopped).await.expect("suppressed");

    let recipients = pb::RecipientRules { max_per_company: 1, ..rules("Growers") };
    let preview = pb::PreviewRecipientsRequest { recipients: Some(recipients.clone()), max_prospects: 2 };
    let preview = api.workflow.preview_recipients(preview).await.expect("a preview").into_inner();
    let expected = vec![
        (LeftOutReason::Filtered, 1),
        (LeftOutReason::Suppressed, 1),
        (LeftOutReason::CompanyFull, 2),
        (LeftOutReason::BeyondMaximum, 1),
    ];
    let told: Vec<_> = preview.left_out.iter().map(|of| (of.reason(), of.count)).collect();
    assert_eq!((preview.prospect_count, preview.fitting_count, preview.recipient_count), (7, 6, 2));
    assert_eq!(told, expected);
    assert_eq!(preview.left_out[0].examples, ["f@insurer.example"]);

    start(&mut api, &website, pb::RecipientRules { max_per_company: 2, min_score: 1, ..rules("growers") }).await;
    let done = reaches(&mut api, CampaignState::Completed).await;
    let (emails, left_out) = chosen(&mut api).await;
    assert_eq!(emails.len(), 4, "{emails:?}");
    assert!(left_out.contains(&(LeftOutReason::CompanyFull, 1)), "{left_out:?}");
    assert_eq!(done.prospect_count, 4);
    let request = pb::ListRecipientsRequest::default();
    let list = api.workflow.list_recipients(request).await.expect("a list").into_inner().recipients;
    assert!(list.iter().all(|r| r.email_status() == pb::EmailStatus::Sent && !r.email_id.is_empty()), "{list:#?}");
    assert!(list.iter().enumerate().all(|(n, r)| r.position == n as i32), "{list:#?}");
}

#[tokio::test]
async fn a_wrong_rule_is_named_and_starts_nothing() {
    let website = site::example().await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    for (recipients, field) in [
        (pb::RecipientRules { min_score: 101, ..rules("") }, "recipients.min_score"),
        (pb::RecipientRules { min_score: -1, ..rules("") }, "recipients.min_score"),
        (pb::RecipientRules { max_per_company: -1, ..rules("") }, "recipients.max_per_company"),
        (pb::RecipientRules { not_again_days: Some(3_651), ..rules("") }, "recipients.not_again_days"),
        (pb::RecipientRules { statuses: vec![0], ..rules("") }, "recipients.statuses[0]"),
        (pb::RecipientRules { statuses: vec![99], ..rules("") }, "recipients.statuses[0]"),
        (pb::RecipientRules { tags: vec!["x".repeat(201)], ..rules("") }, "recipients.tags[0]"),
        (pb::RecipientRules { prospect_ids: vec!["x".repeat(129)], ..rules("") }, "recipients.prospect_ids[0]"),
    ] {
        let request = pb::StartWorkflowRequest {
            website: website.clone(),
            recipients: Some(recipients.clone()),
            ..Default::default()
        };
        let started = api.workflow.start_workflow(request).await.expect_err("refused");
        let request = pb::PreviewRecipientsRequest { recipients: Some(recipients), ..Default::default() };
        let previewed = api.workflow.preview_recipients(request).await.expect_err("refused");
        for status in [started, previewed] {
            let bad = status.get_error_details().bad_request().expect("fields").field_violations.clone();
            assert_eq!((status.code(), bad[0].field.as_str()), (Code::InvalidArgument, field), "{status:?}");
        }
    }
    let recipients = pb::RecipientRules { prospect_ids: vec!["pr_of_nobody".into()], ..rules("") };
    let request =
        pb::StartWorkflowRequest { website: website.clone(), recipients: Some(recipients), ..Default::default() };
    let unknown = api.workflow.start_workflow(request).await.expect_err("refused");
    assert_eq!(reason(&unknown), "PROSPECT_NOT_FOUND");
    let none = api.workflow.get_workflow(pb::GetWorkflowRequest::default()).await.expect_err("nothing was started");
    assert_eq!(reason(&none), "NO_CAMPAIGN");
}

#[tokio::test]
async fn addresses_that_cannot_be_are_refused_with_their_reasons_everywhere() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    for (email, why) in [
        ("kim3@ac\u{200b}me.example", "invisible characters (U+200B)"),
        ("kim3@acme.example\u{feff}", "invisible characters (U+FEFF)"),
        ("kim@\u{202e}acme.example", "turn the direction"),
        ("kim@[192.0.2.1]", "not at an IP address"),
        ("kim@acme.123", "top-level domain"),
        ("kim@acme.x", "top-level domain"),
        ("kim@xn--a.example", "UTS #46"),
        ("kim@ac_me.example", "no part of one"),
        ("Kim Roth <kim@acme.example>", "the address alone"),
    ] {
        let prospects = vec![pb::Prospect { email: email.into(), ..Default::default() }];
        let create = pb::BatchCreateProspectsRequest { prospects, ..Default::default() };
        let suppressions = vec![pb::Suppression { email: email.into(), ..Default::default() }];
        let suppress = pb::AddSuppressionsRequest { suppressions, ..Default::default() };
        for status in [
            api.agent.batch_create_prospects(create).await.expect_err("refused"),
            api.agent.add_suppressions(suppress).await.expect_err("refused"),
        ] {
            let bad = status.get_error_details().bad_request().expect("fields").field_violations.clone();
            assert!(bad[0].field.ends_with("[0].email") && bad[0].description.contains(why), "{email:?}: {bad:?}");
        }
    }
}
