//! The Agent service: the configuration, prospects, replies, strategies, suppressions, and what is reset.

use std::sync::Arc;
use std::time::Duration;

use herald::cli::Api;
use herald::pb::{self, CampaignState, EmailStatus, Engagement, ProspectStatus, ReplyIntent, ResetScope};
use tonic::{Code, Status};

use crate::support::site;
use crate::support::{
    TestApp, TestClock, add_prospects, approve_all, auto_approve, config, eml_files, folder, reaches, reason, seams,
    start_campaign,
};

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.expect_err("refused");
    (status.code(), reason(&status))
}

async fn configure(api: &mut Api, config: pb::AgentConfig, paths: &[&str]) -> Result<pb::AgentConfig, Status> {
    let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: mask(paths) };
    Ok(api.agent.update_agent_config(request).await?.into_inner().config.expect("a configuration"))
}

async fn configuration(api: &mut Api) -> pb::AgentConfig {
    let answer = api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.expect("a configuration");
    answer.into_inner().config.expect("a configuration")
}

async fn prospect(api: &mut Api, id: &str) -> pb::Prospect {
    let request = pb::GetProspectRequest { prospect_id: id.to_owned(), view: 0 };
    api.agent.get_prospect(request).await.expect("it is there").into_inner().prospect.expect("a prospect")
}

async fn list(api: &mut Api, request: pb::ListProspectsRequest) -> Vec<pb::Prospect> {
    api.agent.list_prospects(request).await.expect("a list").into_inner().prospects
}

async fn create(api: &mut Api, prospects: Vec<pb::Prospect>) -> Vec<String> {
    let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
    let results = api.agent.batch_create_prospects(request).await.expect("created").into_inner().results;
    results.into_iter().map(|result| result.prospect_id).collect()
}

async fn delete(api: &mut Api, id: &str, etag: &str) -> Result<pb::Prospect, Status> {
    let request = pb::DeleteProspectRequest { prospect_id: id.to_owned(), etag: etag.to_owned() };
    Ok(api.agent.delete_prospect(request).await?.into_inner().prospect.expect("a prospect"))
}

async fn undelete(api: &mut Api, id: &str) -> Result<pb::Prospect, Status> {
    let request = pb::UndeleteProspectRequest { prospect_id: id.to_owned(), etag: String::new() };
    Ok(api.agent.undelete_prospect(request).await?.into_inner().prospect.expect("a prospect"))
}

async fn reply(api: &mut Api, id: &str, body: &str) -> pb::RecordReplyResponse {
    let request = pb::RecordReplyRequest { prospect_id: id.to_owned(), body: body.to_owned(), ..Default::default() };
    api.agent.record_reply(request).await.expect("recorded").into_inner()
}

async fn suppress(api: &mut Api, email: &str) -> i32 {
    let suppression = pb::Suppression { email: email.to_owned(), ..Default::default() };
    let request = pb::AddSuppressionsRequest { suppressions: vec![suppression], request_id: String::new() };
    api.agent.add_suppressions(request).await.expect("added").into_inner().added_count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_changes_by_mask_and_etag() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let full = pb::AgentConfig {
        audience_type: "distributors".into(),
        company_size: "11-50".into(),
        business_type: "instruments".into(),
        template_data: Some(prost_types::Struct::default()),
        setup_complete: true,
        website_analysis: Some(pb::WebsiteAnalysis { business_name: "Acme".into(), ..Default::default() }),
        controls: Some(pb::Controls { auto_reply: true, pause_on_error: true }),
        ..Default::default()
    };
    let set = configure(&mut api, full.clone(), &[]).await.expect("changed");
    assert_eq!(set.controls, full.controls);
    assert_eq!(set, configuration(&mut api).await);
    assert!(set.create_time.is_some() && set.update_time.is_some());

    // One field of a message, and the rest stays; an old etag is refused, the own one is not.
    let change = pb::AgentConfig { controls: Some(pb::Controls::default()), ..Default::default() };
    let changed = configure(&mut api, change, &["controls.auto_reply"]).await.expect("changed");
    let controls = changed.controls.expect("controls");
    assert_eq!((controls.auto_reply, controls.pause_on_error), (false, true));
    let stale = pb::AgentConfig { location: "late".into(), etag: set.etag.clone(), ..Default::default() };
    assert_eq!(refused(configure(&mut api, stale, &[]).await), (Code::Aborted, "ETAG_MISMATCH".into()));
    let fresh = pb::AgentConfig { location: "in time".into(), etag: changed.etag, ..Default::default() };
    assert_eq!(configure(&mut api, fresh, &[]).await.expect("changed").location, "in time");
    // The mask names it and it is empty: cleared.
    let none = configure(&mut api, pb::AgentConfig::default(), &["location"]).await.expect("changed");
    assert_eq!(none.location, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailboxs_password_is_nowhere_in_the_data_folder() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let smtp = pb::SmtpServer {
        host: "smtp.example.com".into(),
        username: "grace".into(),
        password: "correct horse battery".into(),
        ..Default::default()
    };
    let mailbox = pb::Mailbox { address: "grace@example.com".into(), smtp: Some(smtp), ..Default::default() };
    let create = pb::CreateMailboxRequest { mailbox: Some(mailbox), request_id: "once".into() };
    let made = api.mailbox.create_mailbox(create).await.expect("created").into_inner().mailbox.expect("a mailbox");
    assert!(made.smtp.expect("a server").has_password);
    api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect("written");
    let (data, _) = app.stop().await;
    let mut folders = vec![data.path().to_owned()];
    while let Some(path) = folders.pop() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("a file");
            assert!(!bytes.windows(13).any(|part| part == b"correct horse"), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn every_field_of_the_configuration_has_its_limits() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let data = |size: usize| {
        let text = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("x".repeat(size))) };
        let fields = [("k".to_owned(), text)].into_iter().collect();
        pb::AgentConfig { template_data: Some(prost_types::Struct { fields }), ..Default::default() }
    };
    let size = |size: usize| pb::AgentConfig { company_size: "x".repeat(size), ..Default::default() };
    let logo = |url: &str| pb::AgentConfig {
        website_analysis: Some(pb::WebsiteAnalysis { logo_url: url.into(), ..Default::default() }),
        ..Default::default()
    };
    let cases: Vec<(&str, pb::AgentConfig, bool)> = vec![
        ("company_size", size(199), true),
        ("company_size", size(200), true),
        ("company_size", size(201), false),
        ("template_data", data(16 * 1024 - 9), true),
        ("template_data", data(16 * 1024 - 8), true),
        ("template_data", data(16 * 1024 - 7), false),
        ("website_analysis", logo("https://example.com/logo.png"), true),
        ("website_analysis", logo("ftp://example.com/logo.png"), false),
    ];
    for (n, (path, change, fits)) in cases.into_iter().enumerate() {
        let result = configure(&mut api, change, &[path]).await;
        match (fits, result) {
            (true, result) => drop(result.unwrap_or_else(|status| panic!("case {n}, {path}: {status:?}"))),
            (false, Ok(_)) => panic!("case {n}: {path} is taken"),
            (false, Err(status)) => {
                assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "FIELD_INVALID"));
                assert!(status.message().contains(&format!("config.{path}")), "case {n}: {}", status.message());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_configuration_says_acts_in_the_campaign() {
    let website = site::pages([("/", site::html("<title>Acme</title><h1>Acme tools</h1>"))]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let stated = pb::AgentConfig {
        website_analysis: Some(pb::WebsiteAnalysis {
            business_name: "Fernwick".into(),
            benchmark_brands: vec!["Rivals".into()],
            ..Default::default()
        }),
        audience_type: "orchards".into(),
        company_size: "11-50".into(),
        ..Default::default()
    };
    configure(&mut api, stated, &[]).await.expect("changed");
    let of_size = |n: usize, size: &str| pb::Prospect {
        email: format!("p{n}@example.com"),
        business_size: size.into(),
        ..Default::default()
    };
    let ids = create(&mut api, vec![of_size(0, "500+"), of_size(1, "11-50")]).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    let results = api.workflow.get_workflow_results(pb::GetWorkflowResultsRequest::default()).await.expect("results");
    let results = results.into_inner();
    let analysis = results.analysis.expect("an analysis");
    assert_eq!((analysis.business_name.as_str(), analysis.benchmark_brands), ("Fernwick", vec!["Rivals".to_owned()]));
    assert!(results.strategy.expect("a strategy").keywords.contains(&"orchards".to_owned()));
    assert_eq!(results.prospects[0].prospect_id, ids[1], "of the size that is looked for");

    // The strategy is kept, and found by its id, its website and its goal; another goal has none.
    let strategies = api.agent.list_marketing_strategies(pb::ListMarketingStrategiesRequest::default()).await;
    let strategies = strategies.expect("a list").into_inner().marketing_strategies;
    assert_eq!(strategies.len(), 1);
    assert_eq!(strategies[0].analysis.as_ref().expect("an analysis").business_name, "Fernwick");
    let get = |strategy_id: String, website: &str, goal: pb::CampaignGoal| pb::GetMarketingStrategyRequest {
        strategy_id,
        website: website.to_owned(),
        goal: goal.into(),
    };
    for request in [
        get(strategies[0].id.clone(), "", pb::CampaignGoal::Unspecified),
        get(String::new(), &website, pb::CampaignGoal::Unspecified),
        get(String::new(), &website, pb::CampaignGoal::Partnerships),
        get(String::new(), "", pb::CampaignGoal::Partnerships),
    ] {
        let found = api.agent.get_marketing_strategy(request).await.expect("found").into_inner();
        assert_eq!(found.marketing_strategy.as_ref(), Some(&strategies[0]));
    }
    let press = get(String::new(), &website, pb::CampaignGoal::Press);
    assert_eq!(refused(api.agent.get_marketing_strategy(press).await), (Code::NotFound, "STRATEGY_NOT_FOUND".into()));
    let neither = get(String::new(), "", pb::CampaignGoal::Unspecified);
    assert_eq!(refused(api.agent.get_marketing_strategy(neither).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn prospects_are_filtered_ordered_and_viewed() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let row = |email: &str, company: &str, industry: &str, tags: &[&str], priority: i32| pb::Prospect {
        email: email.into(),
        company: company.into(),
        contact_name: "Anna Berg".into(),
        industry: industry.into(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        priority_score: priority,
        notes: "A long story".into(),
        next_action: "Call".into(),
        ..Default::default()
    };
    let ids = create(
        &mut api,
        vec![
            row("a@example.com", "ÄPFEL & Söhne", "Farming", &["fair", "fair 2026"], 10),
            row("b@example.com", "上海仪器有限公司", "仪器", &["fair 2026"], 90),
            row("C@Example.com", "Gamma_50%", "FARMING", &[], 0),
            row("d@example.com", "Delta", "Banking", &["fair"], 90),
        ],
    )
    .await;
    let of = |found: Vec<pb::Prospect>| {
        let place = |p: pb::Prospect| ids.iter().position(|id| *id == p.id).expect("one of ours");
        found.into_iter().map(place).collect::<Vec<_>>()
    };
    let all = pb::ListProspectsRequest::default;
    let mut cases = vec![
        (all(), vec![3, 2, 1, 0]),
        (pb::ListProspectsRequest { order_by: "create_time desc".into(), ..all() }, vec![3, 2, 1, 0]),
        (pb::ListProspectsRequest { order_by: "priority_score  desc".into(), ..all() }, vec![3, 1, 0, 2]),
        (pb::ListProspectsRequest { tag: "fair".into(), ..all() }, vec![3, 0]),
        (pb::ListProspectsRequest { tag: "fair 2026".into(), ..all() }, vec![1, 0]),
        (pb::ListProspectsRequest { industry: "farming".into(), ..all() }, vec![2, 0]),
        (pb::ListProspectsRequest { industry: "仪器".into(), ..all() }, vec![1]),
        (pb::ListProspectsRequest { status: ProspectStatus::Contacted.into(), ..all() }, vec![]),
        (pb::ListProspectsRequest { engagement: Engagement::None.into(), ..all() }, vec![3, 2, 1, 0]),
        (pb::ListProspectsRequest { tag: "fair".into(), industry: "banking".into(), ..all() }, vec![3]),
    ];
    for (query, found) in [
        ("äpfel", vec![0]),
        ("SÖHNE", vec![0]),
        ("仪器", vec![1]),
        ("海仪", vec![1]),
        ("c@example", vec![2]),
        ("_50%", vec![2]),
        ("%", vec![2]),
        ("anna berg", vec![3, 2, 1, 0]),
        ("' OR 1=1 --", vec![]),
        ("long story", vec![]),
    ] {
        cases.push((pb::ListProspectsRequest { query: query.into(), ..all() }, found));
    }
    for (request, expected) in cases {
        assert_eq!(of(list(&mut api, request.clone()).await), expected, "{request:?}");
        // The same a row at a time.
        let (mut paged, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListProspectsRequest { page_size: 1, page_token, ..request.clone() };
            let page = api.agent.list_prospects(request).await.expect("a page").into_inner();
            paged.extend(page.prospects);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(of(paged), expected, "{request:?} in pages");
    }

    // BASIC leaves out the long texts, and is the list's own.
    let basic = list(&mut api, all()).await.remove(0);
    assert_eq!((basic.notes.as_str(), basic.next_action.as_str(), basic.company.as_str()), ("", "", "Delta"));
    let full =
        list(&mut api, pb::ListProspectsRequest { view: pb::ProspectView::Full.into(), ..all() }).await.remove(0);
    assert_eq!((full.notes.as_str(), full.next_action.as_str()), ("A long story", "Call"));
    let one = pb::GetProspectRequest { prospect_id: ids[3].clone(), view: pb::ProspectView::Basic.into() };
    let one = api.agent.get_prospect(one).await.expect("there").into_inner().prospect.expect("a prospect");
    assert_eq!(one.notes, "");
    assert_eq!(prospect(&mut api, &ids[3]).await.notes, "A long story");

    for bad in [
        pb::ListProspectsRequest { order_by: "name".into(), ..all() },
        pb::ListProspectsRequest { query: "x".repeat(201), ..all() },
        pb::ListProspectsRequest { view: 7, ..all() },
        pb::ListProspectsRequest { engagement: 77, ..all() },
        pb::ListProspectsRequest { page_size: 1_001, ..all() },
    ] {
        assert_eq!(refused(api.agent.list_prospects(bad).await), (Code::InvalidArgument, "FIELD_INVALID".into()));
    }
    let none = pb::ListProspectsRequest { campaign_id: "cp_none".into(), ..all() };
    assert_eq!(refused(api.agent.list_prospects(none).await), (Code::NotFound, "CAMPAIGN_NOT_FOUND".into()));
    // A token of one order is none of the other.
    let first = pb::ListProspectsRequest { page_size: 1, ..all() };
    let page_token = api.agent.list_prospects(first).await.expect("a page").into_inner().next_page_token;
    let other = pb::ListProspectsRequest { page_size: 1, page_token, order_by: "priority_score desc".into(), ..all() };
    assert_eq!(refused(api.agent.list_prospects(other).await).1, "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn a_probability_that_nobody_stated_is_absent() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let with = |n: usize, conversion_probability| pb::Prospect {
        email: format!("p{n}@example.com"),
        conversion_probability,
        ..Default::default()
    };
    let ids = create(&mut api, vec![with(0, None), with(1, Some(0)), with(2, Some(100))]).await;
    for (id, expected) in ids.iter().zip([None, Some(0), Some(100)]) {
        assert_eq!(prospect(&mut api, id).await.conversion_probability, expected);
    }
    for bad in [-1, 101] {
        let request = pb::BatchCreateProspectsRequest { prospects: vec![with(3, Some(bad))], ..Default::default() };
        let status = api.agent.batch_create_prospects(request).await.expect_err("no percentage");
        assert!(status.message().contains("prospects[0].conversion_probability"), "{}", status.message());
    }
    // Taken away again by a mask that names it.
    let change = pb::Prospect { id: ids[2].clone(), ..Default::default() };
    let request = pb::UpdateProspectRequest { prospect: Some(change), update_mask: mask(&["conversion_probability"]) };
    let changed = api.agent.update_prospect(request).await.expect("changed").into_inner().prospect;
    let changed = changed.expect("a prospect");
    assert_eq!(changed.conversion_probability, None);
    assert_eq!(changed, prospect(&mut api, &ids[2]).await, "with the etag and the time that it has now");
}

#[tokio::test]
async fn a_deleted_prospect_is_out_of_lists_can_come_back_and_is_purged_in_time() {
    let data = folder();
    let mut settings = config(&data);
    settings.retention.deleted_prospects_days = 2;
    let clock = Arc::new(TestClock::new());
    let seams = herald::app::Seams { clock: clock.clone(), run_engine: false, ..seams() };
    let app = TestApp::with(data, settings, seams).await;
    let mut api = app.user("user_a").await;
    let ids = add_prospects(&mut api, 3).await;
    let before = prospect(&mut api, &ids[0]).await;
    assert_eq!(refused(delete(&mut api, &ids[0], "stale").await), (Code::Aborted, "ETAG_MISMATCH".into()));
    let deleted = delete(&mut api, &ids[0], &before.etag).await.expect("deleted");
    let times = (deleted.delete_time.expect("when").seconds, deleted.purge_time.expect("until").seconds);
    assert_eq!(times.1 - times.0, 2 * 24 * 60 * 60);
    assert_ne!(deleted.etag, before.etag);
    assert_eq!(delete(&mut api, &ids[0], "").await.expect("again"), deleted, "twice changes nothing");
    assert_eq!(prospect(&mut api, &ids[0]).await, deleted, "it can still be looked at");

    let listed = |found: Vec<pb::Prospect>| found.into_iter().map(|p| p.id).collect::<Vec<_>>();
    let all = list(&mut api, pb::ListProspectsRequest::default()).await;
    assert_eq!(listed(all), [ids[2].clone(), ids[1].clone()]);
    let shown = list(&mut api, pb::ListProspectsRequest { show_deleted: true, ..Default::default() }).await;
    assert_eq!(shown.len(), 3);
    let change = pb::Prospect { id: ids[0].clone(), company: "New".into(), ..Default::default() };
    let change = pb::UpdateProspectRequest { prospect: Some(change), update_mask: None };
    assert_eq!(refused(api.agent.update_prospect(change).await), (Code::FailedPrecondition, "PROSPECT_DELETED".into()));

    // It comes back, unless somebody has its address by now.
    let back = undelete(&mut api, &ids[0]).await.expect("back");
    assert_eq!((back.delete_time, back.purge_time, &back.company), (None, None, &before.company));
    assert_eq!(refused(undelete(&mut api, &ids[0]).await), (Code::AlreadyExists, "PROSPECT_NOT_DELETED".into()));
    delete(&mut api, &ids[0], "").await.expect("deleted");
    let again = create(&mut api, vec![pb::Prospect { email: before.email.to_uppercase(), ..Default::default() }]).await;
    assert_ne!(again[0], ids[0], "the address is free");
    assert_eq!(refused(undelete(&mut api, &ids[0]).await), (Code::AlreadyExists, "PROSPECT_EMAIL_TAKEN".into()));

    // A moment before its time, and at it.
    let day = Duration::from_secs(24 * 60 * 60);
    clock.set_after_start(2 * day - Duration::from_micros(1));
    assert_eq!(app.ready.store.purge_prospects().await.expect("looked"), 0);
    clock.set_after_start(2 * day);
    assert_eq!(app.ready.store.purge_prospects().await.expect("purged"), 1);
    assert_eq!(refused(undelete(&mut api, &ids[0]).await), (Code::NotFound, "PROSPECT_NOT_FOUND".into()));
    assert_eq!(list(&mut api, pb::ListProspectsRequest { show_deleted: true, ..Default::default() }).await.len(), 3);
    crate::support::kill::assert_whole(app.data.path()).await;
}

#[tokio::test]
async fn engagement_follows_from_replies_and_a_refusal_is_never_interest() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let ids = add_prospects(&mut api, 1).await;
    let id = ids[0].as_str();
    let engagement = |answer: &pb::RecordReplyResponse| answer.prospect.as_ref().expect("a prospect").engagement();
    assert_eq!(prospect(&mut api, id).await.engagement(), Engagement::None);

    let away = reply(&mut api, id, "I am out of office until Monday.").await;
    assert_eq!(
        (engagement(&away), away.reply.as_ref().expect("a reply").intent()),
        (Engagement::None, ReplyIntent::Away)
    );
    assert_eq!(away.prospect.as_ref().expect("a prospect").status(), ProspectStatus::Discovered);
    let question = reply(&mut api, id, "Who are you?").await;
    assert_eq!(engagement(&question), Engagement::Engaged);
    assert_eq!(question.prospect.as_ref().expect("a prospect").status(), ProspectStatus::Replied);
    assert_eq!(engagement(&reply(&mut api, id, "Sounds good, tell me more!").await), Engagement::Interested);
    assert_eq!(engagement(&reply(&mut api, id, "We are not interested any more.").await), Engagement::NotInterested);
    // A question after it does not undo the refusal; wanting more does.
    assert_eq!(engagement(&reply(&mut api, id, "How did you get my address?").await), Engagement::NotInterested);
    let last = reply(&mut api, id, "Let's talk after all, we are interested").await;
    assert_eq!(engagement(&last), Engagement::Interested);
    let now = last.prospect.expect("a prospect");
    assert_eq!((now.replies_received, now.last_reply.as_str()), (5, "Let's talk after all, we are interested"));

    // An old reply that comes late is not the last.
    let late = pb::RecordReplyRequest {
        prospect_id: id.to_owned(),
        body: "No thanks".into(),
        received_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        message_id: "late@example.com".into(),
        ..Default::default()
    };
    let answer = api.agent.record_reply(late.clone()).await.expect("recorded").into_inner();
    assert_eq!(answer.prospect.as_ref().expect("a prospect").last_reply, now.last_reply);
    assert_eq!(engagement(&answer), Engagement::Interested);
    // Its Message-ID was recorded before: the same again.
    let again = api.agent.record_reply(late).await.expect("again").into_inner();
    assert_eq!(again, answer);
    // So does a request id.
    let named = pb::RecordReplyRequest {
        prospect_id: id.to_owned(),
        body: "Hello again".into(),
        intent: ReplyIntent::Other.into(),
        request_id: "r1".into(),
        ..Default::default()
    };
    let first = api.agent.record_reply(named.clone()).await.expect("recorded").into_inner();
    assert_eq!(api.agent.record_reply(named.clone()).await.expect("again").into_inner(), first);
    let other = pb::RecordReplyRequest { body: "Another".into(), ..named };
    assert_eq!(refused(api.agent.record_reply(other).await), (Code::InvalidArgument, "REQUEST_ID_REUSED".into()));

    // They are among its e-mails, newest first.
    let emails = pb::ListProspectEmailsRequest { prospect_id: id.to_owned(), ..Default::default() };
    let emails = api.agent.list_prospect_emails(emails).await.expect("a list").into_inner().emails;
    assert_eq!(emails.len(), 8);
    assert!(emails.iter().all(|email| email.status() == EmailStatus::Received && email.received_time.is_some()));
    assert_eq!(emails[0].body, "Hello again");
    let filtered =
        |engagement: Engagement| pb::ListProspectsRequest { engagement: engagement.into(), ..Default::default() };
    assert_eq!(list(&mut api, filtered(Engagement::Interested)).await.len(), 1);
    assert_eq!(list(&mut api, filtered(Engagement::NotInterested)).await.len(), 0);

    // Who asks for it is never written to again.
    reply(&mut api, id, "Please remove me from your list").await;
    let suppressions = api.agent.list_suppressions(pb::ListSuppressionsRequest::default()).await.expect("a list");
    let suppressions = suppressions.into_inner().suppressions;
    assert_eq!((suppressions.len(), suppressions[0].email.as_str()), (1, "person0@company0.example"));
    assert_eq!(suppressions[0].reason(), pb::SuppressionReason::Unsubscribed);

    for (bad, field) in [
        (pb::RecordReplyRequest { prospect_id: id.to_owned(), body: "x".repeat(20_001), ..Default::default() }, "body"),
        (
            pb::RecordReplyRequest {
                prospect_id: id.to_owned(),
                body: "x".into(),
                received_time: Some(prost_types::Timestamp { seconds: 4_102_444_800, nanos: 0 }),
                ..Default::default()
            },
            "received_time",
        ),
    ] {
        let status = api.agent.record_reply(bad).await.expect_err("bad");
        assert!(status.code() == Code::InvalidArgument && status.message().starts_with(field), "{status:?}");
    }
    // What it answers is an e-mail of the same prospect.
    let another = add_prospects(&mut api, 2).await.remove(1);
    let answered = reply(&mut api, &another, "Hello").await.reply.expect("a reply").id;
    let to = |prospect_id: &str| pb::RecordReplyRequest {
        prospect_id: prospect_id.to_owned(),
        email_id: answered.clone(),
        body: "And again".into(),
        ..Default::default()
    };
    assert_eq!(refused(api.agent.record_reply(to(id)).await), (Code::NotFound, "EMAIL_NOT_FOUND".into()));
    api.agent.record_reply(to(&another)).await.expect("recorded");
    let nobody = pb::RecordReplyRequest { prospect_id: "pr_none".into(), body: "x".into(), ..Default::default() };
    assert_eq!(refused(api.agent.record_reply(nobody).await), (Code::NotFound, "PROSPECT_NOT_FOUND".into()));
}

#[tokio::test]
async fn the_engagement_that_is_shown_and_the_one_that_is_filtered_by_are_the_same() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let filtered =
        |engagement: Engagement| pb::ListProspectsRequest { engagement: engagement.into(), ..Default::default() };
    let texts =
        ["", "Out of office", "Who are you?", "Tell me more", "Not interested", "Unsubscribe", "Sounds good", "Hm"];
    for (n, first) in texts.iter().enumerate() {
        let one = pb::Prospect { email: format!("e{n}@engagement.example"), ..Default::default() };
        let id = create(&mut api, vec![one]).await.remove(0);
        for text in [*first, texts[(n * 3 + 1) % texts.len()]].into_iter().filter(|text| !text.is_empty()) {
            reply(&mut api, &id, text).await;
        }
        let shown = prospect(&mut api, &id).await.engagement();
        for engagement in [
            Engagement::None,
            Engagement::Awaiting,
            Engagement::Engaged,
            Engagement::Interested,
            Engagement::NotInterested,
        ] {
            let listed = list(&mut api, filtered(engagement)).await.iter().any(|p| p.id == id);
            assert_eq!(listed, engagement == shown, "{first:?}: {shown:?} and {engagement:?}");
        }
    }
}

#[tokio::test]
async fn a_reply_may_be_dated_five_minutes_ahead_of_our_clock_and_no_more() {
    let clock = Arc::new(TestClock::new());
    let seams = herald::app::Seams { clock: clock.clone(), run_engine: false, ..seams() };
    let data = folder();
    let settings = config(&data);
    let app = TestApp::with(data, settings, seams).await;
    let mut api = app.user("user_a").await;
    let id = add_prospects(&mut api, 1).await.remove(0);
    let dated = |body: &str, ahead: Duration| {
        let micros = TestClock::START + i64::try_from(ahead.as_micros()).expect("a short time");
        pb::RecordReplyRequest {
            prospect_id: id.clone(),
            body: body.to_owned(),
            received_time: Some(herald::domain::clock::Timestamp(micros).into()),
            ..Default::default()
        }
    };
    let five = Duration::from_secs(5 * 60);
    let late =
        api.agent.record_reply(dated("Hello", five + Duration::from_micros(1))).await.expect_err("too far ahead");
    assert_eq!(late.code(), Code::InvalidArgument);
    assert_eq!(late.message(), "received_time must be at most five minutes ahead of the server's clock");
    let taken = api.agent.record_reply(dated("Sounds good, tell me more", five)).await.expect("taken").into_inner();
    assert_eq!(taken.reply.expect("a reply").received_time, dated("", five).received_time);
    assert_eq!(taken.prospect.expect("a prospect").engagement(), Engagement::Interested);
    // What is answered a minute later is later, whatever the first one's clock said.
    clock.set_after_start(Duration::from_secs(60));
    let refusal = reply(&mut api, &id, "Not interested after all.").await.prospect.expect("a prospect");
    assert_eq!(
        (refusal.engagement(), refusal.last_reply.as_str()),
        (Engagement::NotInterested, "Not interested after all.")
    );
}

#[tokio::test]
async fn an_empty_mail_is_what_its_subject_asks_for() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let ids = add_prospects(&mut api, 4).await;
    let empty = |id: &str, subject: &str| pb::RecordReplyRequest {
        prospect_id: id.to_owned(),
        subject: subject.to_owned(),
        ..Default::default()
    };
    for (id, subject, intent) in [
        (&ids[0], "unsubscribe", ReplyIntent::Unsubscribe),
        (&ids[1], "Re: A possible partnership", ReplyIntent::Other),
        (&ids[2], "", ReplyIntent::Other),
        (&ids[3], "No thanks", ReplyIntent::NotInterested),
    ] {
        let answer = api.agent.record_reply(empty(id, subject)).await.expect("recorded").into_inner();
        let reply = answer.reply.expect("a reply");
        assert_eq!((reply.intent(), reply.body.as_str()), (intent, ""), "{subject:?}");
        assert_eq!(answer.prospect.expect("a prospect").replies_received, 1);
    }
    let suppressions = api.agent.list_suppressions(pb::ListSuppressionsRequest::default()).await.expect("a list");
    let suppressed: Vec<_> = suppressions.into_inner().suppressions.into_iter().map(|s| s.email).collect();
    assert_eq!(suppressed, ["person0@company0.example"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_reply_skips_what_still_waits_for_the_address_in_all_campaigns() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let (mut api, mut other) = (app.user("user_a").await, app.user("user_b").await);
    let ids = add_prospects(&mut api, 3).await;
    add_prospects(&mut other, 3).await;
    start_campaign(&mut other, &website).await;
    reaches(&mut other, CampaignState::WaitingApproval).await;
    // The first campaign's e-mails wait for ever, unless it is known why they do not.
    start_campaign(&mut api, &website).await;
    let first = reaches(&mut api, CampaignState::WaitingApproval).await.id;
    api.workflow.cancel_workflow(pb::CancelWorkflowRequest::default()).await.expect("cancelled");
    // The address comes back under another prospect, to whom the second campaign writes.
    delete(&mut api, &ids[0], "").await.expect("deleted");
    let again = pb::Prospect { email: "Person0@company0.example".into(), ..Default::default() };
    let again = create(&mut api, vec![again]).await.remove(0);
    start_campaign(&mut api, &website).await;
    let second = reaches(&mut api, CampaignState::WaitingApproval).await.id;
    let statuses = async |api: &mut Api, campaign: &str| {
        let request = pb::ListWorkflowEmailsRequest { campaign_id: campaign.to_owned(), ..Default::default() };
        let emails = api.workflow.list_workflow_emails(request).await.expect("a list").into_inner().emails;
        let mut all: Vec<_> = emails.iter().map(|e| (e.to.to_lowercase(), e.status(), e.note.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, status, note)| (status, note)).collect::<Vec<_>>()
    };
    let waits = (EmailStatus::AwaitingApproval, String::new());
    let skipped = |note: &str| (EmailStatus::Skipped, note.to_owned());

    // A machine is nobody who has read it.
    reply(&mut api, &again, "I am out of office until Monday.").await;
    for campaign in [&first, &second] {
        assert_eq!(statuses(&mut api, campaign).await, vec![waits.clone(); 3]);
    }
    reply(&mut api, &again, "Who are you?").await;
    let replied = skipped("not sent: the prospect has replied");
    for campaign in [&first, &second] {
        assert_eq!(statuses(&mut api, campaign).await, [replied.clone(), waits.clone(), waits.clone()]);
    }
    // What was approved and not begun waits as well; the pause keeps the engine from it.
    api.workflow.pause_workflow(pb::PauseWorkflowRequest::default()).await.expect("paused");
    reply(&mut api, &ids[1], "Not interested").await;
    reply(&mut api, &ids[2], "Please remove me from your list").await;
    let (refused, gone) =
        (skipped("not sent: the prospect has refused"), skipped("not sent: its owner has unsubscribed"));
    for campaign in [&first, &second] {
        assert_eq!(statuses(&mut api, campaign).await, [replied.clone(), refused.clone(), gone.clone()]);
    }
    // Nothing waits for a person any more, so that the campaign goes on once it may.
    assert_eq!(crate::support::newest(&mut api).await.state(), CampaignState::Paused);
    api.workflow.resume_workflow(pb::ResumeWorkflowRequest::default()).await.expect("resumed");
    let counts = reaches(&mut api, CampaignState::Completed).await.emails.expect("counts");
    assert_eq!((counts.sent, counts.skipped), (0, 3));
    assert_eq!(eml_files(&app.outbox("user_a")).len(), 0);
    let theirs = crate::support::newest(&mut other).await;
    assert_eq!(theirs.emails.expect("counts").awaiting_approval, 3, "another tenant's e-mails wait");
    crate::support::kill::assert_whole(app.data.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_ends_with_the_last_e_mail_that_a_reply_skips() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let ids = add_prospects(&mut api, 2).await;
    start_campaign(&mut api, &website).await;
    let waiting = reaches(&mut api, CampaignState::WaitingApproval).await;
    let emails = pb::ListWorkflowEmailsRequest::default();
    let emails = api.workflow.list_workflow_emails(emails).await.expect("a list").into_inner().emails;
    let approved = emails.iter().find(|email| email.prospect_id == ids[0]).expect("an e-mail").id.clone();
    let approve =
        pb::EmailReview { email_id: approved, decision: pb::ReviewDecision::Approve.into(), ..Default::default() };
    let approve = pb::ReviewEmailsRequest { reviews: vec![approve], ..Default::default() };
    api.workflow.review_emails(approve).await.expect("reviewed");
    reply(&mut api, &ids[1], "Sounds good, tell me more").await;
    let done = reaches(&mut api, CampaignState::Completed).await;
    let counts = done.emails.expect("counts");
    assert_eq!((done.id, counts.sent, counts.skipped), (waiting.id, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_suppressed_deleted_or_taken_over_by_then_is_not_sent() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let ids = add_prospects(&mut api, 6).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    // After the e-mails were written, and before they are sent.
    assert_eq!(suppress(&mut api, "PERSON0@company0.example").await, 1);
    assert_eq!(suppress(&mut api, "person0@company0.example").await, 0, "it is there");
    delete(&mut api, &ids[1], "").await.expect("deleted");
    let taken = pb::Prospect { id: ids[2].clone(), manual_intervention: true, ..Default::default() };
    let taken = pb::UpdateProspectRequest { prospect: Some(taken), update_mask: None };
    api.agent.update_prospect(taken).await.expect("changed");
    reply(&mut api, &ids[3], "Not interested").await;
    approve_all(&mut api).await;
    let done = reaches(&mut api, CampaignState::Completed).await;
    let counts = done.emails.expect("counts");
    assert_eq!((counts.sent, counts.skipped, counts.failed), (2, 4, 0));
    assert_eq!(eml_files(&app.outbox("user_a")).len(), 2);
    let skipped = pb::ListWorkflowEmailsRequest { status: EmailStatus::Skipped.into(), ..Default::default() };
    let skipped = api.workflow.list_workflow_emails(skipped).await.expect("a list").into_inner().emails;
    let note = |id: &str| skipped.iter().find(|email| email.prospect_id == id).map(|email| email.note.clone());
    assert_eq!(note(&ids[0]).as_deref(), Some("not sent: on the suppression list"));
    assert_eq!(note(&ids[1]).as_deref(), Some("not sent: the prospect was deleted"));
    assert_eq!(note(&ids[2]).as_deref(), Some("not sent: a person has taken over"));
    assert_eq!(note(&ids[3]).as_deref(), Some("not sent: the prospect has refused"));

    // A refusal outlives its prospect, whose address comes back.
    delete(&mut api, &ids[3], "").await.expect("deleted");
    let again =
        create(&mut api, vec![pb::Prospect { email: "person3@company3.example".into(), ..Default::default() }]).await;
    assert_ne!(again[0], ids[3]);
    let refusals = pb::ListSuppressionsRequest { reason: pb::SuppressionReason::Refused.into(), ..Default::default() };
    assert_eq!(api.agent.list_suppressions(refusals).await.expect("a list").into_inner().suppressions.len(), 1);

    // The next campaign chooses none of them, and the suppressed one once its suppression is removed.
    auto_approve(&mut api).await;
    start_campaign(&mut api, &website).await;
    let next = reaches(&mut api, CampaignState::Completed).await;
    assert_eq!((next.prospect_count, next.emails.expect("counts").sent), (2, 2));
    let chosen = pb::ListProspectsRequest { campaign_id: next.id, ..Default::default() };
    assert_eq!(list(&mut api, chosen).await.len(), 2);
    let remove = || pb::RemoveSuppressionRequest { email: "Person0@company0.example".into() };
    api.agent.remove_suppression(remove()).await.expect("removed");
    let gone = refused(api.agent.remove_suppression(remove()).await);
    assert_eq!(gone, (Code::NotFound, "SUPPRESSION_NOT_FOUND".into()));
    start_campaign(&mut api, &website).await;
    assert_eq!(reaches(&mut api, CampaignState::Completed).await.emails.expect("counts").sent, 3);
    crate::support::kill::assert_whole(app.data.path()).await;
}

#[tokio::test]
async fn suppressions_come_in_batches_and_pages() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let entries = |from: usize, count: usize| {
        let one = |n: usize| pb::Suppression {
            email: format!("p{n:05}@example.com"),
            reason: (n % 6) as i32,
            source: "import".into(),
            create_time: None,
        };
        (from..from + count).map(one).collect::<Vec<_>>()
    };
    let add =
        |suppressions, request_id: &str| pb::AddSuppressionsRequest { suppressions, request_id: request_id.to_owned() };
    for (from, count) in [(0, 999), (1_000, 1_000)] {
        let answer = api.agent.add_suppressions(add(entries(from, count), "")).await.expect("added").into_inner();
        assert_eq!(answer.added_count as usize, count);
    }
    for (wrong, why) in [(entries(0, 1_001), "must have at most 1000 elements"), (Vec::new(), "must be 1 to 1000")] {
        let status = api.agent.add_suppressions(add(wrong, "")).await.expect_err("too many or none");
        assert!(status.message().contains(why), "{}", status.message());
    }
    // One bad entry, and nothing is added.
    let mut bad = entries(5_000, 3);
    bad[1].email = "nobody".into();
    bad[2].reason = 17;
    let status = api.agent.add_suppressions(add(bad, "")).await.expect_err("bad entries");
    assert!(status.message().contains("suppressions[1].email"), "{}", status.message());
    // Under a name it is done once.
    for _ in 0..2 {
        let answer = api.agent.add_suppressions(add(entries(6_000, 2), "twice")).await.expect("added").into_inner();
        assert_eq!(answer.added_count, 2);
    }
    let (mut seen, mut page_token) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let request = pb::ListSuppressionsRequest { page_size: 300, page_token, ..Default::default() };
        let page = api.agent.list_suppressions(request).await.expect("a page").into_inner();
        seen.extend(page.suppressions.into_iter().map(|suppression| suppression.email));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 2_001);
    let bounced = pb::ListSuppressionsRequest {
        page_size: 1_000,
        reason: pb::SuppressionReason::Bounced.into(),
        ..Default::default()
    };
    let bounced = api.agent.list_suppressions(bounced).await.expect("a list").into_inner().suppressions;
    assert_eq!(bounced.len(), 332);
    let one = pb::ListSuppressionsRequest { email: "P00007@EXAMPLE.com".into(), ..Default::default() };
    assert_eq!(api.agent.list_suppressions(one).await.expect("a list").into_inner().suppressions.len(), 1);
}

#[tokio::test]
async fn prospects_are_counted_by_status_whatever_becomes_of_them() {
    let app = TestApp::start().await;
    let (mut api, mut other) = (app.user("user_a").await, app.user("user_b").await);
    async fn counts(api: &mut Api) -> (Vec<(ProspectStatus, i64)>, i64) {
        let answer = api.agent.count_prospects(pb::CountProspectsRequest {}).await.expect("counts").into_inner();
        (answer.counts.iter().map(|of| (of.status(), of.count)).collect(), answer.total_count)
    }
    use ProspectStatus::{Converted, Discovered};
    assert_eq!(counts(&mut api).await, (vec![], 0));
    let ids = add_prospects(&mut api, 5).await;
    add_prospects(&mut other, 2).await;
    // Duplicates are none.
    add_prospects(&mut api, 5).await;
    assert_eq!(counts(&mut api).await, (vec![(Discovered, 5)], 5));
    let prospect = Some(pb::Prospect { id: ids[0].clone(), status: Converted.into(), ..Default::default() });
    let update_mask = Some(prost_types::FieldMask { paths: vec!["status".to_owned()] });
    let update = pb::UpdateProspectRequest { prospect, update_mask };
    api.agent.update_prospect(update).await.expect("changed");
    let delete = pb::DeleteProspectRequest { prospect_id: ids[1].clone(), ..Default::default() };
    api.agent.delete_prospect(delete.clone()).await.expect("deleted");
    api.agent.delete_prospect(delete).await.expect("deleted already");
    assert_eq!(counts(&mut api).await, (vec![(Discovered, 3), (Converted, 1)], 4));
    let undelete = pb::UndeleteProspectRequest { prospect_id: ids[1].clone(), ..Default::default() };
    api.agent.undelete_prospect(undelete).await.expect("back");
    assert_eq!(counts(&mut api).await, (vec![(Discovered, 4), (Converted, 1)], 5));
    let reset = pb::ResetAgentRequest { scope: ResetScope::Prospects.into() };
    api.agent.reset_agent(reset).await.expect("reset");
    assert_eq!(counts(&mut api).await, (vec![], 0));
    assert_eq!(counts(&mut other).await, (vec![(Discovered, 2)], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_removes_what_its_scope_says_and_never_the_record_of_mail() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let mut other = app.user("user_b").await;
    add_prospects(&mut other, 2).await;
    let ids = add_prospects(&mut api, 3).await;
    auto_approve(&mut api).await;
    suppress(&mut api, "never@example.com").await;
    let reset = |scope: ResetScope| pb::ResetAgentRequest { scope: scope.into() };
    start_campaign(&mut api, &website).await;
    let live = api.agent.reset_agent(reset(ResetScope::Everything)).await.map(|_| ());
    // It may have ended by now; then it is no refusal.
    if let Err(status) = live {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "CAMPAIGN_LIVE"));
    }
    let sent = reaches(&mut api, CampaignState::Completed).await;
    let etag = configuration(&mut api).await.etag;
    // A campaign that sends nothing.
    configure(&mut api, pb::AgentConfig::default(), &["auto_approve"]).await.expect("changed");
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    let refusal = refused(api.agent.reset_agent(reset(ResetScope::Prospects)).await);
    assert_eq!(refusal, (Code::FailedPrecondition, "CAMPAIGN_LIVE".into()));
    api.workflow.cancel_workflow(pb::CancelWorkflowRequest::default()).await.expect("cancelled");
    assert_eq!(refused(api.agent.reset_agent(reset(ResetScope::Unspecified)).await).0, Code::InvalidArgument);

    let removed = api.agent.reset_agent(reset(ResetScope::Configuration)).await.expect("reset").into_inner();
    assert_eq!(removed, pb::ResetAgentResponse { configuration: true, ..Default::default() });
    let stale = pb::AgentConfig { location: "Mosel".into(), etag, ..Default::default() };
    assert_eq!(refused(configure(&mut api, stale, &[]).await).1, "ETAG_MISMATCH", "an etag from before fits nothing");
    assert!(!configuration(&mut api).await.auto_approve);

    api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect("written");
    let folder = app.data.path().join("users/user_a");
    assert!(folder.join("prospects.json").exists());
    let value = Some(prost_types::Value { kind: Some(prost_types::value::Kind::BoolValue(true)) });
    let set = pb::SetCacheEntryRequest { key: "k".into(), value, ttl: None };
    api.cache.set_cache_entry(set).await.expect("set");

    let removed = api.agent.reset_agent(reset(ResetScope::Everything)).await.expect("reset").into_inner();
    assert_eq!((removed.prospects, removed.emails, removed.campaigns, removed.marketing_strategies), (3, 3, 1, 2));
    assert!(list(&mut api, pb::ListProspectsRequest { show_deleted: true, ..Default::default() }).await.is_empty());
    assert!(!folder.join("prospects.json").exists() && !folder.join("config.json").exists());
    let keys = api.cache.list_cache_keys(pb::ListCacheKeysRequest::default()).await.expect("keys").into_inner().keys;
    assert!(!keys.contains(&"k".to_owned()), "{keys:?}");

    // What stays: the campaign that sent, its e-mails, the files of the outbox, suppressions, and what others have.
    let campaigns = api.workflow.list_workflows(pb::ListWorkflowsRequest::default()).await.expect("a list");
    let campaigns = campaigns.into_inner().campaigns;
    assert_eq!((campaigns.len(), campaigns[0].id.as_str()), (1, sent.id.as_str()));
    let emails = pb::ListWorkflowEmailsRequest { campaign_id: sent.id.clone(), ..Default::default() };
    let emails = api.workflow.list_workflow_emails(emails).await.expect("a list").into_inner().emails;
    assert_eq!(emails.iter().filter(|email| email.status() == EmailStatus::Sent).count(), 3);
    assert!(emails.iter().all(|email| ids.contains(&email.prospect_id)));
    assert_eq!(eml_files(&app.outbox("user_a")).len(), 3);
    let suppressions = api.agent.list_suppressions(pb::ListSuppressionsRequest::default()).await.expect("a list");
    assert_eq!(suppressions.into_inner().suppressions.len(), 1);
    assert_eq!(list(&mut other, pb::ListProspectsRequest::default()).await.len(), 2);
    crate::support::kill::assert_whole(app.data.path()).await;
    // And it begins anew.
    add_prospects(&mut api, 2).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
}

/// A reset is done in slices of a thousand rows; its answer counts them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_of_many_slices_removes_and_counts_all_of_it() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let ids = add_prospects(&mut api, 1_600).await;
    let named = |email: &str| pb::BatchCreateProspectsRequest {
        prospects: vec![pb::Prospect { email: email.into(), ..Default::default() }],
        request_id: "named".into(),
    };
    let created = api.agent.batch_create_prospects(named("named@example.com")).await.expect("created").into_inner();
    for _ in 0..2 {
        start_campaign(&mut api, &website).await;
        let waiting = reaches(&mut api, CampaignState::WaitingApproval).await;
        assert_eq!(waiting.emails.expect("counts").generated, 1_601);
        api.workflow.cancel_workflow(pb::CancelWorkflowRequest::default()).await.expect("cancelled");
    }
    // Who refuses is remembered, in whichever slice.
    for id in [&ids[0], &ids[999], &ids[1_000], &ids[1_599]] {
        reply(&mut api, id, "Please remove me from your list").await;
    }
    delete(&mut api, &ids[3], "").await.expect("deleted");

    let reset = pb::ResetAgentRequest { scope: ResetScope::Everything.into() };
    let removed = api.agent.reset_agent(reset).await.expect("reset").into_inner();
    let all = pb::ResetAgentResponse {
        configuration: false,
        prospects: 1_601,
        emails: 2 * 1_601,
        campaigns: 2,
        marketing_strategies: 2,
    };
    assert_eq!(removed, all);
    crate::support::kill::assert_whole(app.data.path()).await;
    let suppressions = api.agent.list_suppressions(pb::ListSuppressionsRequest::default()).await.expect("a list");
    assert_eq!(suppressions.into_inner().suppressions.len(), 4);
    // Nothing is left to remove, and a request's name means nothing any more.
    let again = api.agent.reset_agent(reset).await.expect("reset").into_inner();
    assert_eq!(again, pb::ResetAgentResponse::default());
    let anew = api.agent.batch_create_prospects(named("named@example.com")).await.expect("created").into_inner();
    assert!(!anew.results[0].duplicate && anew.results[0].prospect_id != created.results[0].prospect_id);
}
