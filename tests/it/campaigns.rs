//! Campaigns from end to end: through template and approval to .eml files, pauses, refusals, and what a crash or a full
//! disk must not spoil.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use herald::connect::{ConnectError, Connectors, Delivery, Mail, WebFetch};
use herald::domain::email::Email;
use herald::pb::campaign_event::Kind;
use herald::pb::{self, CampaignState};
use herald::tenant::Scope;
use mail_parser::MessageParser;
use tonic::Code;
use tonic_types::StatusExt as _;

use url::Url;

use crate::support::no_smtp;
use crate::support::site::{self, Answer, html};
use crate::support::{
    TestApp, add_prospects, approve_all, auto_approve, campaign, config, eml_files, folder, held, history, newest,
    outbox_mailbox, reaches, reason, seams, start_campaign,
};

#[tokio::test]
async fn a_full_campaign_goes_through_template_and_approval_to_fifty_eml_files() {
    let site = site::example().await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let sender = pb::Sender { name: "Ruth Adler".into(), ..Default::default() };
    let config = pb::AgentConfig { sender: Some(sender), ..Default::default() };
    let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
    api.agent.update_agent_config(request).await.expect("configured");
    outbox_mailbox(&mut api, "ruth@fernwick.example").await;
    add_prospects(&mut api, 50).await;

    let request = pb::StartWorkflowRequest { website: site, ..Default::default() };
    api.workflow.start_workflow(request).await.expect("started");
    let waiting = reaches(&mut api, CampaignState::WaitingTemplate).await;
    assert_eq!(waiting.prospect_count, 50);
    let select = pb::SelectTemplateRequest { template_id: "modern_tech".into(), ..Default::default() };
    api.workflow.select_template(select).await.expect("selected");
    let waiting = reaches(&mut api, CampaignState::WaitingApproval).await;
    assert_eq!(waiting.emails.expect("counts").awaiting_approval, 50);

    // One is rejected, one is edited, the rest are approved as they are.
    let list = pb::ListWorkflowEmailsRequest { page_size: 100, ..Default::default() };
    let emails = api.workflow.list_workflow_emails(list.clone()).await.expect("a list").into_inner().emails;
    let edited = pb::EmailReview {
        email_id: emails[0].id.clone(),
        decision: pb::ReviewDecision::Approve.into(),
        subject: Some("Ünïcode: 你好".into()),
        body: Some(
            "A line.\n\n.A line that begins with a dot, and one of more than a thousand characters: ".to_owned()
                + &"x".repeat(1_200),
        ),
    };
    let reviews = vec![edited.clone()];
    let others = pb::ReviewDecision::Approve.into();
    let review = pb::ReviewEmailsRequest { reviews, others, ..Default::default() };
    let reviewed = api.workflow.review_emails(review).await.expect("reviewed").into_inner();
    assert_eq!((reviewed.approved_count, reviewed.rejected_count), (50, 0));

    let done = reaches(&mut api, CampaignState::Completed).await;
    let counts = done.emails.expect("counts");
    assert_eq!((counts.generated, counts.sent, counts.failed, counts.unknown), (50, 50, 0, 0));
    assert!(done.steps.iter().all(|s| s.progress == 100 && s.status() == pb::StepStatus::Completed), "{done:#?}");

    // Each file says what the API says.
    let emails = api.workflow.list_workflow_emails(list).await.expect("a list").into_inner().emails;
    let by_id: HashMap<_, _> = emails.iter().map(|e| (e.message_id.clone(), e)).collect();
    let files = eml_files(&app.outbox("user_a"));
    assert_eq!(files.len(), 50);
    for file in &files {
        let bytes = std::fs::read(app.outbox("user_a").join(file)).expect("a file");
        let mail = MessageParser::default().parse(&bytes).expect("a message");
        let email = by_id[mail.message_id().expect("a Message-ID")];
        assert_eq!(*file, format!("{}.eml", email.id));
        assert_eq!(mail.subject(), Some(email.subject.as_str()));
        assert_eq!(mail.body_text(0).expect("a text").replace("\r\n", "\n").trim_end(), email.body);
        let address = |a: Option<&mail_parser::Address>| a.and_then(|a| a.first()?.address().map(str::to_owned));
        assert_eq!(address(mail.to()), Some(email.to.clone()));
        assert_eq!(address(mail.from()), Some("ruth@fernwick.example".to_owned()));
        assert!(mail.date().is_some());
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("List-Unsubscribe: <mailto:ruth@fernwick.example?subject=unsubscribe>"), "{text}");
    }
    assert_eq!(emails[0].subject, "Ünïcode: 你好");
    assert!(emails[0].edited && !emails[1].edited);

    let get = pb::GetProspectRequest { prospect_id: emails[0].prospect_id.clone(), view: 0 };
    let prospect = api.agent.get_prospect(get).await.expect("a prospect").into_inner().prospect.expect("a prospect");
    assert_eq!((prospect.emails_sent, prospect.status()), (1, pb::ProspectStatus::Contacted));

    let results = api.workflow.get_workflow_results(pb::GetWorkflowResultsRequest::default()).await.expect("results");
    let results = results.into_inner();
    assert_eq!(results.analysis.expect("an analysis").business_name, "Fernwick Instruments");
    assert_eq!(results.prospects.len(), 50);
    assert!(results.prospects.is_sorted_by_key(|p| -p.score));
}

#[tokio::test]
async fn a_website_that_the_rules_have_never_seen_gives_a_sensible_analysis() {
    let home = html(
        "<html lang=en><head><title>Harbour Lane Bakery | Sourdough in Leith</title>
         <meta name=description content='A neighbourhood bakery in Leith, baking sourdough bread and pastries every morning.'></head>
         <body><nav><a href=/about>About us</a><a href=/login>Log in</a></nav>
         <h1>Bread worth getting up for</h1><h2>Forty-hour sourdough</h2><p>Our dough rests for forty hours, for a deeper flavour.</p>
         <h2>Organic Scottish flour</h2><p>Milled twenty miles from the shop.</p></body></html>",
    );
    let about = html("<title>About us | Harbour Lane Bakery</title><h1>About us</h1><p>We opened in 2011.</p>");
    let site = site::pages([("/", home), ("/about", about)]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    start_campaign(&mut api, &site).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    let results = api.workflow.get_workflow_results(pb::GetWorkflowResultsRequest::default()).await.expect("results");
    let analysis = results.into_inner().analysis.expect("an analysis");
    assert_eq!(analysis.business_name, "Harbour Lane Bakery");
    assert!(analysis.introduction.contains("neighbourhood bakery"), "{analysis:#?}");
    assert!(analysis.selling_points.iter().any(|p| p.contains("sourdough")), "{analysis:#?}");
    assert_eq!(analysis.pages, [site.clone(), format!("{site}about")]);
    let step = pb::GetWorkflowStepRequest { step: pb::StepId::WebsiteAnalysis.into(), ..Default::default() };
    let step = api.workflow.get_workflow_step(step).await.expect("a step").into_inner();
    assert!(step.log.iter().any(|line| line.text.contains("name: Harbour Lane Bakery")), "{step:#?}");
}

#[tokio::test]
async fn a_website_that_cannot_be_read_fails_with_the_reason_and_can_be_tried_again() {
    let far = site::pages([("/", Answer::Redirect("ftp://example.com/".into()))]).await;
    for (answer, expected) in [
        (Answer::Page(404, "text/html", Vec::new()), "404"),
        (Answer::Page(200, "image/png", b"\x89PNG".to_vec()), "not a web page"),
        (Answer::Redirect("/".into()), "redirects more than 5 times"),
        (Answer::Redirect(far), "neither http nor https"),
        (Answer::Page(503, "text/html", Vec::new()), "tried 3 times"),
    ] {
        let site = site::pages([("/", answer)]).await;
        let app = TestApp::start().await;
        let mut api = app.user("user_a").await;
        add_prospects(&mut api, 1).await;
        start_campaign(&mut api, &site).await;
        let failed = reaches(&mut api, CampaignState::Failed).await;
        assert!(failed.failure.contains(expected), "{expected} in {:?}", failed.failure);
        assert_eq!(failed.allowed_actions().collect::<Vec<_>>(), [pb::CampaignAction::Resume]);
        let resume = pb::ResumeWorkflowRequest { campaign_id: failed.id };
        api.workflow.resume_workflow(resume).await.expect("it is tried again");
        reaches(&mut api, CampaignState::Failed).await;
    }
}

#[tokio::test]
async fn private_addresses_are_refused_unless_configured_by_name_by_literal_and_on_redirects() {
    let data = folder();
    let mut config = config(&data);
    config.fetch.allow_private = false;
    let app = TestApp::with(data, config, seams()).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    let site = site::pages([("/", html("<title>Secret</title>"))]).await;
    let by_name = site.replace("127.0.0.1", "localhost");
    for url in [
        site.as_str(),
        by_name.as_str(),
        "http://[::1]:9/",
        "http://169.254.169.254/latest/meta-data/",
        "http://2130706433/",
    ] {
        start_campaign(&mut api, url).await;
        let failed = reaches(&mut api, CampaignState::Failed).await;
        assert!(failed.failure.contains("no address on the public internet"), "{url}: {}", failed.failure);
    }
}

#[tokio::test]
async fn a_huge_page_is_cut_and_a_silent_one_times_out() {
    let mut huge = b"<title>Huge Works</title><p>We build what is huge.</p>".to_vec();
    huge.resize(3 * 1024 * 1024, b' ');
    let data = folder();
    let mut config = config(&data);
    config.fetch.timeout_seconds = 1;
    config.engine.tries = 2;
    let app = TestApp::with(data, config, seams()).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    start_campaign(&mut api, &site::pages([("/", Answer::Page(200, "text/html", huge))]).await).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    let step = pb::GetWorkflowStepRequest { step: 1, ..Default::default() };
    let log = api.workflow.get_workflow_step(step).await.expect("a step").into_inner().log;
    assert!(log.iter().any(|l| l.text.contains("cut at the size limit")), "{log:#?}");
    api.workflow.reset_workflow(pb::ResetWorkflowRequest {}).await.expect("reset");

    start_campaign(&mut api, &site::pages([("/", Answer::Silence)]).await).await;
    let failed = reaches(&mut api, CampaignState::Failed).await;
    assert!(failed.failure.contains("took longer than 1 seconds (tried 2 times)"), "{}", failed.failure);
}

#[tokio::test]
async fn a_campaign_without_prospects_says_what_to_do() {
    let site = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let started = start_campaign(&mut api, &site).await;
    let failed = reaches(&mut api, CampaignState::Failed).await;
    assert!(failed.failure.contains("import some, then resume"), "{}", failed.failure);
    assert!(failed.end_time.is_some());
    use pb::StepStatus::{Cancelled, Completed, Failed, InProgress, Pending};
    assert_eq!(steps(&failed), [Completed, Completed, Failed, Pending, Pending, Pending]);
    add_prospects(&mut api, 5).await;
    let resume = pb::ResumeWorkflowRequest { campaign_id: started.id };
    let resumed = campaign(api.workflow.resume_workflow(resume).await.expect("resumed").into_inner().campaign);
    assert_eq!(steps(&resumed), [Completed, Completed, InProgress, Pending, Pending, Pending]);
    let waiting = reaches(&mut api, CampaignState::WaitingApproval).await;
    assert_eq!((waiting.failure.as_str(), waiting.end_time), ("", None));

    // A review in parts says how far it is; what is cancelled keeps what it has reached.
    assert_eq!(steps(&waiting), [Completed, Completed, Completed, Completed, InProgress, Pending]);
    assert!(waiting.steps[..4].iter().all(|step| step.progress == 100), "{waiting:#?}");
    let list = pb::ListWorkflowEmailsRequest::default();
    let emails = api.workflow.list_workflow_emails(list).await.expect("a list").into_inner().emails;
    let review = |n: usize, decision: pb::ReviewDecision| pb::EmailReview {
        email_id: emails[n].id.clone(),
        decision: decision.into(),
        ..Default::default()
    };
    // All of a review or nothing: the first of these is good, the second is not there.
    let nobody = pb::EmailReview { email_id: "em_none".into(), ..review(1, pb::ReviewDecision::Approve) };
    let reviews = vec![review(0, pb::ReviewDecision::Approve), nobody];
    let refused = api.workflow.review_emails(pb::ReviewEmailsRequest { reviews, ..Default::default() }).await;
    assert_eq!(reason(&refused.expect_err("one is not there")), "EMAIL_NOT_FOUND");
    let unchanged = newest(&mut api).await;
    assert_eq!((unchanged.last_seq, unchanged.emails), (waiting.last_seq, waiting.emails));
    let reviews = vec![review(0, pb::ReviewDecision::Approve), review(1, pb::ReviewDecision::Reject)];
    let request = pb::ReviewEmailsRequest { reviews, ..Default::default() };
    let reviewed = api.workflow.review_emails(request).await.expect("reviewed").into_inner();
    assert_eq!((reviewed.approved_count, reviewed.rejected_count), (1, 1));
    let step = campaign(reviewed.campaign).steps[4].clone();
    assert_eq!((step.status(), step.progress, step.summary.as_str()), (InProgress, 40, "3 left to decide"));
    let cancel = pb::CancelWorkflowRequest::default();
    let cancelled = campaign(api.workflow.cancel_workflow(cancel).await.expect("cancelled").into_inner().campaign);
    assert_eq!(steps(&cancelled), [Completed, Completed, Completed, Completed, Cancelled, Pending]);
    assert_eq!(cancelled.steps[4].progress, 40);
    assert!(cancelled.end_time.is_some());
}

fn steps(campaign: &pb::Campaign) -> Vec<pb::StepStatus> {
    campaign.steps.iter().map(pb::CampaignStep::status).collect()
}

/// Each step begins once, at 0, comes closer to its end with each change, and ends once; the states are told in between.
#[tokio::test]
async fn the_history_tells_each_step_from_its_beginning_to_its_end() {
    let site = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 120).await;
    start_campaign(&mut api, &site).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    approve_all(&mut api).await;
    let done = reaches(&mut api, CampaignState::Completed).await;
    let (mut told, mut states) = (HashMap::<_, Vec<_>>::new(), Vec::new());
    for (n, event) in crate::support::history(&mut api, &done.id, 0).await.into_iter().enumerate() {
        assert_eq!(event.seq, n as i64 + 1);
        match event.kind.expect("something happened") {
            Kind::StepChanged(step) => {
                told.entry(step.step()).or_default().push((step.status(), step.progress, step.summary))
            }
            Kind::StateChanged(state) => states.push((state.from(), state.to())),
            _ => {}
        }
    }
    use pb::StepStatus::{Completed, InProgress};
    assert_eq!(told.len(), 6);
    for (step, changes) in &told {
        let (last, before) = changes.split_last().expect("changes");
        assert_eq!((last.0, last.1), (Completed, 100), "{step:?}: {changes:?}");
        assert!(before.iter().all(|(status, ..)| *status == InProgress), "{step:?}: {changes:?}");
        assert_eq!(before[0], (InProgress, 0, String::new()), "{step:?}: {changes:?}");
        assert!(changes.is_sorted_by(|a, b| a.1 <= b.1 && a != b), "{step:?}: {changes:?}");
    }
    // Mail goes out one by one, and e-mails are written a few at a time.
    assert!(told[&pb::StepId::EmailSending].len() > 50, "{told:?}");
    assert!(told[&pb::StepId::EmailGeneration].len() > 2, "{told:?}");
    use CampaignState::{Completed as Ended, Running, Unspecified, WaitingApproval};
    assert_eq!(
        states,
        [(Unspecified, Running), (Running, WaitingApproval), (WaitingApproval, Running), (Running, Ended)]
    );
}

/// Mail that counts its deliveries and takes its time; the world outside, as slow as a test wants it.
struct SlowMail {
    delivered: AtomicUsize,
    time: Duration,
}

#[async_trait]
impl Mail for SlowMail {
    async fn deliver(&self, _: &Scope, _: &Email, _: Option<&Url>) -> Result<(), ConnectError> {
        tokio::time::sleep(self.time).await;
        self.delivered.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn verify(&self, _: &Scope, _: &Email) -> Result<Delivery, ConnectError> {
        Ok(Delivery::Unknown)
    }
}

#[tokio::test]
async fn a_pause_takes_hold_and_resume_goes_on_from_the_next_prospect() {
    let site = site::pages([("/", site::company())]).await;
    let data = folder();
    let config = config(&data);
    let mail = Arc::new(SlowMail { delivered: AtomicUsize::new(0), time: Duration::from_millis(30) });
    let fetch = Arc::new(WebFetch::new(&config.fetch).expect("a client"));
    let connectors = Some(Connectors { fetch, mail: mail.clone(), smtp: no_smtp() });
    let app = TestApp::with(data, config, herald::app::Seams { connectors, ..seams() }).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 30).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, &site).await;
    while mail.delivered.load(Ordering::SeqCst) < 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Pause and resume at once, while a delivery is under way: nobody else begins it.
    for _ in 0..3 {
        api.workflow.pause_workflow(pb::PauseWorkflowRequest::default()).await.expect("paused");
        api.workflow.resume_workflow(pb::ResumeWorkflowRequest::default()).await.expect("resumed");
    }
    api.workflow.pause_workflow(pb::PauseWorkflowRequest::default()).await.expect("paused");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let at_pause = mail.delivered.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(mail.delivered.load(Ordering::SeqCst), at_pause, "nothing is sent during a pause");
    let paused = newest(&mut api).await;
    assert_eq!(paused.emails.expect("counts").sent as usize, at_pause, "what was under way is recorded");
    assert!(at_pause < 30);

    api.workflow.resume_workflow(pb::ResumeWorkflowRequest::default()).await.expect("resumed");
    let done = reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(done.emails.expect("counts").sent, 30);
    assert_eq!(mail.delivered.load(Ordering::SeqCst), 30, "nothing is sent twice");
}

/// Mail that is away at first, then refuses one address for good.
struct FlakyMail {
    tries: AtomicUsize,
}

#[async_trait]
impl Mail for FlakyMail {
    async fn deliver(&self, _: &Scope, email: &Email, _: Option<&Url>) -> Result<(), ConnectError> {
        if self.tries.fetch_add(1, Ordering::SeqCst) < 3 {
            return Err(ConnectError::Passing("the mail server is away".into()));
        }
        if email.to.address.starts_with("person1@") {
            return Err(ConnectError::Final("550 no such mailbox".into()));
        }
        Ok(())
    }

    async fn verify(&self, _: &Scope, _: &Email) -> Result<Delivery, ConnectError> {
        Ok(Delivery::Unknown)
    }
}

#[tokio::test]
async fn a_campaign_that_is_to_pause_on_an_error_does_and_goes_on_when_it_is_resumed() {
    let site = site::pages([("/", site::company())]).await;
    let data = folder();
    let config = config(&data);
    let fetch = Arc::new(WebFetch::new(&config.fetch).expect("a client"));
    let connectors =
        Some(Connectors { fetch, mail: Arc::new(FlakyMail { tries: AtomicUsize::new(3) }), smtp: no_smtp() });
    let app = TestApp::with(data, config, herald::app::Seams { connectors, ..seams() }).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 3).await;
    let controls = Some(pb::Controls { pause_on_error: true, ..Default::default() });
    let config = pb::AgentConfig { auto_approve: true, controls, ..Default::default() };
    let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
    api.agent.update_agent_config(request).await.expect("configured");
    let started = start_campaign(&mut api, &site).await;
    let paused = reaches(&mut api, CampaignState::Paused).await;
    let counts = paused.emails.expect("counts");
    assert_eq!((counts.failed, counts.sent + counts.approved), (1, 2));
    api.workflow.resume_workflow(pb::ResumeWorkflowRequest::default()).await.expect("resumed");
    let done = reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(done.emails.expect("counts").sent, 2);
    let events = crate::support::history(&mut api, &started.id, 0).await;
    let told = events.iter().any(|event| match &event.kind {
        Some(pb::campaign_event::Kind::StateChanged(change)) => {
            change.to() == CampaignState::Paused && change.reason == "an e-mail was refused: 550 no such mailbox"
        }
        _ => false,
    });
    assert!(told, "the history says why");
}

#[tokio::test]
async fn a_connector_that_is_away_is_a_hold_and_a_refusal_fails_one_email_alone() {
    let site = site::pages([("/", site::company())]).await;
    let data = folder();
    let mut config = config(&data);
    config.engine.retry_millis = 100;
    let fetch = Arc::new(WebFetch::new(&config.fetch).expect("a client"));
    let connectors =
        Some(Connectors { fetch, mail: Arc::new(FlakyMail { tries: AtomicUsize::new(0) }), smtp: no_smtp() });
    let app = TestApp::with(data, config, herald::app::Seams { connectors, ..seams() }).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 3).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, &site).await;
    let held = held(&mut api).await;
    assert_eq!((held.state(), held.hold.as_str()), (CampaignState::Running, "the mail server is away"));
    let done = reaches(&mut api, CampaignState::Completed).await;
    let counts = done.emails.expect("counts");
    assert_eq!((counts.sent, counts.failed, done.hold.as_str()), (2, 1, ""));
    let holds = history(&mut api, &done.id, 0).await.into_iter().filter_map(|event| match event.kind {
        Some(Kind::HoldChanged(hold)) => Some(hold.reason),
        _ => None,
    });
    assert_eq!(holds.collect::<Vec<_>>(), ["the mail server is away", ""], "the hold is told once, and so is its end");
    let failed = pb::ListWorkflowEmailsRequest { status: pb::EmailStatus::Failed.into(), ..Default::default() };
    let failed = api.workflow.list_workflow_emails(failed).await.expect("a list").into_inner().emails;
    assert_eq!(failed[0].note, "550 no such mailbox");
}

#[tokio::test]
async fn each_illegal_transition_answers_failed_precondition_and_names_what_is_allowed() {
    let slow = site::pages([("/", Answer::Slow(Duration::from_secs(3), b"<title>Acme</title>".to_vec()))]).await;
    let quick = site::pages([("/", site::company())]).await;
    let app = TestApp::with_live_campaigns(1).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;

    // Every action on a campaign in a state: those that are not allowed are refused, and the refusal names those that are.
    async fn check(api: &mut herald::cli::Api, id: &str, state: &str, allowed: &[&str]) {
        let campaign_id = id.to_owned();
        let w = &mut api.workflow;
        for action in ["PAUSE", "RESUME", "CANCEL", "SELECT_TEMPLATE", "REVIEW_EMAILS"] {
            if allowed.contains(&action) {
                continue;
            }
            let campaign_id = campaign_id.clone();
            let refused = match action {
                "PAUSE" => w.pause_workflow(pb::PauseWorkflowRequest { campaign_id }).await.err(),
                "RESUME" => w.resume_workflow(pb::ResumeWorkflowRequest { campaign_id }).await.err(),
                "CANCEL" => w.cancel_workflow(pb::CancelWorkflowRequest { campaign_id }).await.err(),
                "SELECT_TEMPLATE" => {
                    let template_id = "modern_tech".to_owned();
                    w.select_template(pb::SelectTemplateRequest { campaign_id, template_id }).await.err()
                }
                _ => {
                    let request = pb::ReviewEmailsRequest { campaign_id, others: 1, ..Default::default() };
                    w.review_emails(request).await.err()
                }
            };
            let refused = refused.unwrap_or_else(|| panic!("{action} of a campaign that is {state} is refused"));
            assert_eq!((refused.code(), reason(&refused)), (Code::FailedPrecondition, "CAMPAIGN_STATE".to_owned()));
            let details = refused.get_error_details();
            let metadata = &details.error_info().expect("checked by reason").metadata;
            assert_eq!((metadata["state"].as_str(), metadata["allowed"].as_str()), (state, allowed.join(",").as_str()));
        }
    }

    let running = start_campaign(&mut api, &slow).await;
    check(&mut api, &running.id, "RUNNING", &["PAUSE", "CANCEL"]).await;
    let another = api.workflow.start_workflow(pb::StartWorkflowRequest { website: slow.clone(), ..Default::default() });
    let refused = another.await.expect_err("one is live");
    assert_eq!((refused.code(), reason(&refused)), (Code::FailedPrecondition, "CAMPAIGN_LIVE".to_owned()));
    assert_eq!(refused.get_error_details().error_info().expect("checked").metadata["campaign_id"], running.id);
    api.workflow.pause_workflow(pb::PauseWorkflowRequest::default()).await.expect("paused");
    check(&mut api, &running.id, "PAUSED", &["RESUME", "CANCEL"]).await;
    api.workflow.cancel_workflow(pb::CancelWorkflowRequest::default()).await.expect("cancelled");
    check(&mut api, &running.id, "CANCELLED", &[]).await;

    let nameless = site::pages([("/", html("<p>We make tools for gardeners.</p>"))]).await;
    let waiting = start_campaign(&mut api, &nameless).await;
    reaches(&mut api, CampaignState::WaitingAnalysis).await;
    check(&mut api, &waiting.id, "WAITING_ANALYSIS", &["RESUME", "PAUSE", "CANCEL"]).await;
    api.workflow.cancel_workflow(pb::CancelWorkflowRequest::default()).await.expect("cancelled");

    let request = pb::StartWorkflowRequest { website: quick, ..Default::default() };
    let waiting = api.workflow.start_workflow(request).await.expect("started").into_inner().campaign.expect("one");
    reaches(&mut api, CampaignState::WaitingTemplate).await;
    check(&mut api, &waiting.id, "WAITING_TEMPLATE", &["SELECT_TEMPLATE", "PAUSE", "CANCEL"]).await;
    let select = pb::SelectTemplateRequest { template_id: "event_invitation".into(), ..Default::default() };
    api.workflow.select_template(select).await.expect("selected");
    reaches(&mut api, CampaignState::WaitingApproval).await;
    check(&mut api, &waiting.id, "WAITING_APPROVAL", &["REVIEW_EMAILS", "PAUSE", "CANCEL"]).await;
    approve_all(&mut api).await;
    reaches(&mut api, CampaignState::Completed).await;
    check(&mut api, &waiting.id, "COMPLETED", &[]).await;

    let missing = site::pages([]).await;
    let failed = start_campaign(&mut api, &missing).await;
    reaches(&mut api, CampaignState::Failed).await;
    check(&mut api, &failed.id, "FAILED", &["RESUME"]).await;
    // What failed cannot be resumed while another is live.
    start_campaign(&mut api, &slow).await;
    let resume = pb::ResumeWorkflowRequest { campaign_id: failed.id };
    assert_eq!(reason(&api.workflow.resume_workflow(resume).await.expect_err("one is live")), "CAMPAIGN_LIVE");
    // A reset clears the way, and is welcome to find nothing.
    let reset = api.workflow.reset_workflow(pb::ResetWorkflowRequest {}).await.expect("reset").into_inner();
    assert_eq!(reset.cancelled_campaign.expect("one was live").state(), CampaignState::Cancelled);
    let reset = api.workflow.reset_workflow(pb::ResetWorkflowRequest {}).await.expect("reset").into_inner();
    assert!(reset.cancelled_campaign.is_none());
}

#[tokio::test]
async fn the_same_request_id_starts_one_campaign_and_creates_prospects_once() {
    let site = site::pages([("/", Answer::Silence)]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let start = |website: &str| pb::StartWorkflowRequest {
        website: website.into(),
        request_id: "r1".into(),
        ..Default::default()
    };
    let first = api.workflow.start_workflow(start(&site)).await.expect("started").into_inner().campaign.expect("one");
    let again = api.workflow.start_workflow(start(&site)).await.expect("the same").into_inner().campaign.expect("one");
    assert_eq!(first.id, again.id);
    let other = api.workflow.start_workflow(start("https://other.example")).await.expect_err("another request");
    assert_eq!((other.code(), reason(&other)), (Code::InvalidArgument, "REQUEST_ID_REUSED".to_owned()));

    let create =
        || pb::BatchCreateProspectsRequest { prospects: crate::support::prospects(2), request_id: "r1".into() };
    let first = api.agent.batch_create_prospects(create()).await.expect("created").into_inner();
    let again = api.agent.batch_create_prospects(create()).await.expect("the same").into_inner();
    assert_eq!(first, again);
    // The same name in another tenant is another name.
    let mut b = app.user("user_b").await;
    let of_b = b.agent.batch_create_prospects(create()).await.expect("created").into_inner();
    assert_ne!(first.results[0].prospect_id, of_b.results[0].prospect_id);
}

#[tokio::test]
async fn a_second_worker_with_a_stale_fence_can_write_nothing() {
    use herald::domain::campaign::{CampaignState as State, StepId, StepStatus};
    use herald::domain::id::CampaignId;
    use herald::store::{Advance, Next, Release, SendBegin, StoreError, Work};

    let data = folder();
    let config = config(&data);
    let app = TestApp::with(data, config, herald::app::Seams { run_engine: false, ..seams() }).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    let started = start_campaign(&mut api, "https://example.com").await;
    let store = &app.ready.store;
    let first = store.claim_due("worker 1", Duration::ZERO, 10).await.expect("claimed").claims.remove(0);
    tokio::time::sleep(Duration::from_millis(5)).await;
    // The first worker's lease has run out; a second one takes over.
    let second = store.claim_due("worker 2", Duration::from_secs(30), 10).await.expect("claimed").claims.remove(0);
    assert!(second.lease.fence > first.lease.fence);
    assert!(store.claim_due("worker 3", Duration::from_secs(30), 10).await.expect("claimed").claims.is_empty());

    let id = CampaignId::parse(&started.id).expect("an id");
    let before = store.scope(&first.scope).campaign(Some(&id)).await.expect("read");
    let works: [fn() -> (Work, Next); 5] = [
        || (Work::None, Next::Stay),
        || (Work::Analysis(Box::default()), Next::Done { status: StepStatus::Completed, summary: String::new() }),
        || (Work::ApproveAll, Next::Stay),
        || (Work::Hold { reason: "x".into() }, Next::Wait { summary: String::new(), state: State::WaitingApproval }),
        || (Work::None, Next::Fail { reason: "x".into() }),
    ];
    for work in works {
        let (work, next) = work();
        let stale =
            Advance { lease: first.lease.clone(), step: StepId::WebsiteAnalysis, work, log: vec!["x".into()], next };
        let refused = store.scope(&first.scope).write(stale).await;
        assert!(matches!(refused, Err(StoreError::StaleLease)), "{refused:?}");
    }
    let refused = store.scope(&first.scope).write(SendBegin { lease: first.lease.clone(), links: false }).await;
    assert!(matches!(refused, Err(StoreError::StaleLease)));
    store
        .scope(&first.scope)
        .write(Release { lease: first.lease.clone(), due: None, tries: 0 })
        .await
        .expect("a release that is too late does nothing");
    assert_eq!(store.scope(&first.scope).campaign(Some(&id)).await.expect("read"), before);

    let own = Advance {
        lease: second.lease,
        step: StepId::WebsiteAnalysis,
        work: Work::None,
        log: vec!["x".into()],
        next: Next::Stay,
    };
    store.scope(&second.scope).write(own).await.expect("the holder writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_further_try_of_a_website_comes_after_twice_the_wait() {
    let site = site::Changing::serve(Answer::Page(503, "text/html", Vec::new())).await;
    let data = folder();
    let mut config = config(&data);
    (config.engine.retry_millis, config.engine.tries) = (150, 4);
    let app = TestApp::with(data, config, seams()).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    start_campaign(&mut api, &site.url).await;
    let mut asked = Vec::new();
    while asked.len() < 4 {
        if site.asked() > 0 {
            asked.push(std::time::Instant::now());
            // A try asks for more than one page.
            tokio::time::sleep(Duration::from_millis(80)).await;
            site.asked();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_ne!((asked.len(), newest(&mut api).await.state()), (0, CampaignState::Failed));
    }
    let waits: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, least) in waits.iter().zip([150, 300, 600]) {
        let least = Duration::from_millis(least);
        assert!(*wait >= least, "{waits:?}");
    }
}
