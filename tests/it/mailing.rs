//! Campaigns that send from mailboxes, to a mail server that does as it is told: what becomes of each e-mail, of its recipient and of
//! the mailbox, and at which pace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use herald::app::Seams;
use herald::cli::Api;
use herald::client::Credentials;
use herald::config::Secret;
use herald::connect::smtp::Security;
use herald::domain::clock::Clock as _;
use herald::domain::delivery::Stage;
use herald::metrics::{MailLevels, metrics};
use herald::pb;
use herald::pb::campaign_event::Kind;
use herald::pb::mailbox_service_client::MailboxServiceClient;
use herald::pb::watch_workflow_response::Update;
use herald::pb::{CampaignState, EmailStatus, MailboxState};
use jsonwebtoken::Algorithm;
use serde_json::json;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::letters::read_by_python;
use crate::support::process::{free_port, peak_alone, serve};
use crate::support::smtp::{Rule, SmtpPeer, Taken};
use crate::support::token::{hs, production};
use crate::support::{
    SECRET, TestApp, TestClock, add_prospects, any_time, approve_all, auto_approve, config, deep, folder, newest,
    outbox_mailbox, reaches, reason, seams, site, start_campaign,
};

const PASSWORD: &str = "correct horse battery staple";
const DAY: u64 = 24 * 60 * 60;

type Mailboxes = MailboxServiceClient<InterceptedService<Channel, Credentials>>;

/// A server whose engine and clock move when they are told to, beside a mail server.
struct Office {
    app: TestApp,
    api: Api,
    mailboxes: Mailboxes,
    clock: Arc<TestClock>,
    seconds: u64,
    website: String,
}

// === impl Office ===

impl Office {
    async fn open(peer: &SmtpPeer) -> Self {
        peer.settings(json!({ "users": { "anna": PASSWORD } }));
        let data = folder();
        let mut config = config(&data);
        config.mail.allow_private = true;
        config.server.public_url = "https://mail.example.com".to_owned();
        config.mail.ca_file = peer.authorities().display().to_string();
        let clock = Arc::new(TestClock::new());
        let app = TestApp::with(data, config, Seams { clock: clock.clone(), run_engine: false, ..seams() }).await;
        let website = site::pages([("/", site::company())]).await;
        Self::of(app, clock, 0, website).await
    }

    async fn of(app: TestApp, clock: Arc<TestClock>, seconds: u64, website: String) -> Self {
        let api = app.user("user_a").await;
        let credentials = Credentials::user("user_a").expect("a user");
        let mailboxes = MailboxServiceClient::with_interceptor(app.channel().await, credentials);
        Self { app, api, mailboxes, clock, seconds, website }
    }

    /// A new server on the same folder, at the same time.
    async fn restarted(self) -> Self {
        let (data, config) = self.app.stop().await;
        let seams = Seams { clock: self.clock.clone(), run_engine: false, ..seams() };
        let app = TestApp::with(data, config, seams).await;
        Self::of(app, self.clock, self.seconds, self.website).await
    }

    async fn create(&mut self, mailbox: pb::Mailbox) -> pb::Mailbox {
        let request = pb::CreateMailboxRequest { mailbox: Some(mailbox), request_id: String::new() };
        self.mailboxes.create_mailbox(request).await.expect("created").into_inner().mailbox.expect("one")
    }

    async fn mailbox(&mut self, id: &str) -> pb::Mailbox {
        let request = pb::GetMailboxRequest { mailbox_id: id.to_owned() };
        self.mailboxes.get_mailbox(request).await.expect("found").into_inner().mailbox.expect("one")
    }

    /// Lets the engine do all that is due.
    async fn work(&self) {
        while self.app.ready.engine.claim().await.expect("claimed") > 0 {
            while self.app.ready.engine.step().await {}
        }
    }

    /// Lets so many seconds go by, in steps.
    async fn pass(&mut self, seconds: u64, step: u64) {
        for _ in 0..seconds / step {
            self.seconds += step;
            self.clock.set_after_start(Duration::from_secs(self.seconds));
            self.work().await;
        }
    }

    /// How the newest campaign's letters go out.
    async fn plan(&mut self) -> Option<pb::SendingPlan> {
        let answer = self.api.workflow.get_workflow(pb::GetWorkflowRequest::default()).await.expect("found");
        answer.into_inner().sending
    }

    async fn campaign(&mut self, id: &str) -> pb::Campaign {
        let request = pb::GetWorkflowRequest { campaign_id: id.to_owned() };
        self.api.workflow.get_workflow(request).await.expect("found").into_inner().campaign.expect("one")
    }

    async fn emails(&mut self) -> Vec<pb::Email> {
        let request = pb::ListWorkflowEmailsRequest { page_size: 1_000, ..Default::default() };
        self.api.workflow.list_workflow_emails(request).await.expect("listed").into_inner().emails
    }

    async fn bounced(&mut self, request: pb::RecordBounceRequest) -> pb::RecordBounceResponse {
        self.mailboxes.record_bounce(request).await.expect("recorded").into_inner()
    }

    async fn complained(&mut self, request: pb::RecordComplaintRequest) -> pb::RecordComplaintResponse {
        self.mailboxes.record_complaint(request).await.expect("recorded").into_inner()
    }

    async fn email(&mut self, id: &str) -> pb::Email {
        let request = pb::GetEmailRequest { email_id: id.to_owned() };
        self.api.agent.get_email(request).await.expect("found").into_inner().email.expect("one")
    }
}

/// From the peer, by a password, at any time and pace.
fn unpaced(peer: &SmtpPeer, address: &str) -> pb::Mailbox {
    let account = peer.account(Security::Starttls);
    pb::Mailbox {
        display_name: "Anna Berg".to_owned(),
        address: address.to_owned(),
        smtp: Some(pb::SmtpServer {
            host: account.host,
            port: i32::from(account.port),
            username: "anna".to_owned(),
            password: PASSWORD.to_owned(),
            ..Default::default()
        }),
        ..any_time()
    }
}

fn each_once(taken: &[Taken], count: usize) {
    let mut ids: Vec<_> = taken.iter().map(|taken| taken.message_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), taken.len()), (count, count), "each once");
}

/// The counts of e-mails by status.
fn by_status(emails: &[pb::Email], status: EmailStatus) -> usize {
    emails.iter().filter(|email| email.status() == status).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_sends_each_letter_once_from_its_mailboxes_and_tells_the_talk() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let anna = office.create(unpaced(&peer, "anna@acme.example")).await;
    let ben = office.create(pb::Mailbox { display_name: String::new(), ..unpaced(&peer, "ben@acme.example") }).await;
    let idle = office.create(unpaced(&peer, "idle@acme.example")).await;
    let pause = pb::PauseMailboxRequest { mailbox_id: idle.id.clone(), reason: String::new() };
    office.mailboxes.pause_mailbox(pause).await.expect("paused");
    add_prospects(&mut office.api, 25).await;
    auto_approve(&mut office.api).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    let done = newest(&mut office.api).await;
    assert_eq!((done.state(), done.emails.expect("counts").sent), (CampaignState::Completed, 25));
    each_once(&peer.taken(), 25);
    for Taken { raw, .. } in peer.taken() {
        assert!(raw.contains("List-Unsubscribe: <https://mail.example.com/u/"), "{raw}");
        assert!(raw.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"), "{raw}");
    }
    // Spread over those that are enabled, and over one connection each.
    let emails = office.emails().await;
    let of = |mailbox: &pb::Mailbox| emails.iter().filter(|email| email.mailbox_id == mailbox.id).count();
    assert_eq!((of(&anna) + of(&ben), of(&anna).abs_diff(of(&ben)), of(&idle)), (25, 1, 0));
    assert_eq!(peer.count("EHLO"), 4, "before and after STARTTLS");
    let first = emails.iter().find(|email| email.mailbox_id == anna.id).expect("one").clone();
    assert_eq!(first.from, "Anna Berg <anna@acme.example>");
    assert!(first.transcript.is_empty(), "lists are short");
    let told = office.email(&first.id).await.transcript;
    let last = told.last().expect("a talk");
    assert_eq!((last.stage.as_str(), last.code), (Stage::Content.as_str(), 250), "{told:?}");
    assert!(told.iter().any(|line| line.stage == "recipient" && line.code == 250));
    assert!(!format!("{told:?}").contains(PASSWORD) && !format!("{told:?}").contains(&first.body), "{told:?}");
    // Another tenant has none of them, and its letters go into its outbox.
    let mut other = office.app.user("user_b").await;
    add_prospects(&mut other, 1).await;
    auto_approve(&mut other).await;
    start_campaign(&mut other, &office.website).await;
    office.work().await;
    assert_eq!(newest(&mut other).await.emails.expect("counts").sent, 1);
    each_once(&peer.taken(), 25);
}

/// A hash of a password that somebody can guess tells it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_known_again_by_all_but_its_secrets_and_there_are_so_many_mailboxes_and_no_more() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let create = |address: &str, password: &str| {
        let mut mailbox = unpaced(&peer, address);
        mailbox.smtp.as_mut().expect("a server").password = password.to_owned();
        pb::CreateMailboxRequest { mailbox: Some(mailbox), request_id: "r1".to_owned() }
    };
    office.mailboxes.create_mailbox(create("anna@acme.example", "one")).await.expect("created");
    let mut database = office.app.database().await;
    let kept = "SELECT hex(request_hash) FROM idempotency_keys WHERE method = 'CreateMailbox'";
    let one: String = sqlx::query_scalar(kept).fetch_one(&mut database).await.expect("a hash");
    let again = office.mailboxes.create_mailbox(create("anna@acme.example", "another")).await.expect("the same");
    assert_eq!(again.into_inner().mailbox.expect("one").address, "anna@acme.example");
    let other = office.mailboxes.create_mailbox(create("ben@acme.example", "one")).await.expect_err("another request");
    assert_eq!(reason(&other), "REQUEST_ID_REUSED");
    let shown = pb::CreateMailboxRequest { request_id: String::new(), ..create("anna@acme.example", "one") };
    let of_all = herald::domain::digest::full(&[&prost::Message::encode_to_vec(&shown)]);
    let of_all: String = of_all.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_ne!(one, of_all);
    for n in 1..100 {
        office.create(unpaced(&peer, &format!("m{n}@acme.example"))).await;
    }
    let request = pb::CreateMailboxRequest { request_id: String::new(), ..create("ben@acme.example", "one") };
    let refused = office.mailboxes.create_mailbox(request).await.expect_err("one too many");
    assert_eq!(reason(&refused), "TOO_MANY_MAILBOXES");
}

/// Letters that were to go into an outbox wait where the deployment has none any more: nobody may take a file for mail that was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_into_an_outbox_that_the_deployment_does_not_have() {
    let (data, website) = (folder(), site::pages([("/", site::company())]).await);
    let mut config = production(config(&data));
    config.auth.hs256_secret = Secret::new(SECRET);
    let stepped = |clock: &Arc<TestClock>| Seams { clock: clock.clone(), run_engine: false, ..seams() };
    let clock = Arc::new(TestClock::new());
    let app = TestApp::with(data, config, stepped(&clock)).await;
    let exp = clock.now().seconds() + 6_000;
    let bearer = hs(&json!({ "sub": "user_a", "role": "admin", "exp": exp }), SECRET, Algorithm::HS256);
    let mut api = app.token(&bearer).await;
    add_prospects(&mut api, 1).await;
    let own = pb::AgentConfig { auto_approve: true, template_id: "modern_tech".to_owned(), ..Default::default() };
    let update = pb::UpdateAgentConfigRequest { config: Some(own), update_mask: None };
    api.agent.update_agent_config(update).await.expect("updated");
    outbox_mailbox(&mut api, "anna@acme.example").await;
    start_campaign(&mut api, &website).await;
    while newest(&mut api).await.emails.is_none_or(|counts| counts.approved != 1) {
        app.ready.engine.claim().await.expect("claimed");
        assert!(app.ready.engine.step().await, "the letter is never approved");
    }
    let (data, mut config) = app.stop().await;
    config.mail.outbox = false;
    let app = TestApp::with(data, config, stepped(&clock)).await;
    let mut api = app.token(&bearer).await;
    while app.ready.engine.claim().await.expect("claimed") > 0 {
        while app.ready.engine.step().await {}
    }
    let held = newest(&mut api).await;
    assert_eq!((held.state(), held.emails.expect("counts").approved), (CampaignState::Running, 1), "{}", held.hold);
    assert!(held.hold.contains("no outbox folders"), "{}", held.hold);
    assert_eq!(std::fs::read_dir(app.outbox("user_a")).map_or(0, Iterator::count), 0, "files in its outbox");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_answers_becomes_of_the_letter_and_of_its_recipient() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    office.create(unpaced(&peer, "anna@acme.example")).await;
    let ids = add_prospects(&mut office.api, 6).await;
    auto_approve(&mut office.api).await;
    let emails_to: Vec<String> = {
        let mut addresses = Vec::new();
        for id in &ids {
            let request = pb::GetProspectRequest { prospect_id: id.clone(), ..Default::default() };
            let prospect = office.api.agent.get_prospect(request).await.expect("found").into_inner().prospect;
            addresses.push(prospect.expect("one").email);
        }
        addresses
    };
    let [gone, policy, greylisted, lost, ..] = emails_to.as_slice() else { panic!("six") };
    peer.rules([
        Rule::at(Stage::Recipient).to(gone).answers("550 5.1.1 no such user here"),
        Rule::at(Stage::Recipient).to(policy).answers("550 5.7.1 not from you"),
        Rule::at(Stage::Recipient).to(greylisted).answers("451 4.7.1 come back later").times(2),
        Rule::at(Stage::Content).to(lost).drops(),
    ]);
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    let standing = |emails: &[pb::Email], to: &str| {
        let email = emails.iter().find(|email| email.to == to).expect("a letter");
        (email.status(), email.note.clone())
    };
    let emails = office.emails().await;
    assert_eq!(
        standing(&emails, gone),
        (EmailStatus::Failed, "bounced: recipient: 550 5.1.1 no such user here".to_owned())
    );
    assert_eq!(standing(&emails, policy), (EmailStatus::Failed, "recipient: 550 5.7.1 not from you".to_owned()));
    assert_eq!(
        standing(&emails, greylisted),
        (EmailStatus::Approved, "recipient: 451 4.7.1 come back later".to_owned())
    );
    assert_eq!(standing(&emails, lost), (EmailStatus::Unknown, "the mail server's answer to it was lost".to_owned()));
    assert_eq!(by_status(&emails, EmailStatus::Sent), 2);
    // Only who is not there is never written to again.
    let suppressed = office.api.agent.list_suppressions(pb::ListSuppressionsRequest::default()).await.expect("listed");
    let suppressed = suppressed.into_inner().suppressions;
    assert_eq!((suppressed.len(), suppressed[0].email.as_str()), (1, gone.as_str()));
    assert_eq!(suppressed[0].reason(), pb::SuppressionReason::Bounced);
    // Nothing happens before it is time, and nobody is asked twice what is unknown.
    let asked = peer.count("RCPT");
    office.pass(4 * 60, 60).await;
    assert_eq!(peer.count("RCPT"), asked);
    office.pass(2 * 60, 60).await;
    assert_eq!(peer.count("RCPT"), asked + 1, "again after five minutes");
    office.pass(31 * 60, 60).await;
    let done = newest(&mut office.api).await;
    let counts = done.emails.expect("counts");
    assert_eq!((done.state(), counts.sent, counts.failed, counts.unknown), (CampaignState::Completed, 3, 2, 1));
    assert_eq!(peer.count("RCPT"), asked + 2);
    // The metrics of the process, which other tests share.
    let counted = metrics().encode().expect("text");
    for (outcome, stage) in [
        ("sent", "content"),
        ("bounced", "recipient"),
        ("failed", "recipient"),
        ("not_now", "recipient"),
        ("unknown", "content"),
    ] {
        let series = format!("herald_mails_total{{outcome=\"{outcome}\",stage=\"{stage}\"}}");
        assert!(counted.contains(&series), "{series} in:\n{counted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_told_how_much_mail_waits_is_due_late_and_held() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let anna = office.create(unpaced(&peer, "anna@acme.example")).await;
    add_prospects(&mut office.api, 3).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    let levels = async |office: &Office| {
        let MailLevels { waiting, due, late, held, paused_mailboxes } =
            office.app.ready.store.mail_levels().await.expect("counted");
        [waiting, due, late, held, paused_mailboxes]
    };
    assert_eq!(levels(&office).await, [0; 5], "nothing is approved yet");
    approve_all(&mut office.api).await;
    assert_eq!(levels(&office).await, [3, 1, 0, 0, 0]);
    // Nobody works on it for a while.
    let sleep = |office: &mut Office, seconds| {
        office.seconds += seconds;
        office.clock.set_after_start(Duration::from_secs(office.seconds));
    };
    sleep(&mut office, 299);
    assert_eq!(levels(&office).await, [3, 1, 0, 0, 0]);
    sleep(&mut office, 2);
    assert_eq!(levels(&office).await, [3, 1, 1, 0, 0]);
    let pause = pb::PauseMailboxRequest { mailbox_id: anna.id.clone(), ..Default::default() };
    office.mailboxes.pause_mailbox(pause).await.expect("paused");
    office.work().await;
    assert_eq!(levels(&office).await, [3, 0, 0, 3, 1], "what is held is not due");
    office.mailboxes.resume_mailbox(pb::ResumeMailboxRequest { mailbox_id: anna.id }).await.expect("resumed");
    office.work().await;
    assert_eq!(levels(&office).await, [0; 5]);
    each_once(&peer.taken(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sends_again_what_failed_and_settles_what_is_unknown() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    office.create(unpaced(&peer, "anna@acme.example")).await;
    add_prospects(&mut office.api, 8).await;
    auto_approve(&mut office.api).await;
    let to = |n: usize| format!("person{n}@company{n}.example");
    let mut rules: Vec<_> =
        (0..3).map(|n| Rule::at(Stage::Recipient).to(&to(n)).answers("550 5.7.1 not from you")).collect();
    rules.push(Rule::at(Stage::Recipient).to(&to(3)).answers("550 5.1.1 no such user here"));
    rules.extend((4..7).map(|n| Rule::at(Stage::Content).to(&to(n)).drops()));
    peer.rules(rules);
    // So many refusals in a row would pause the mailbox.
    let campaign = start_campaign(&mut office.api, &office.website).await.id;
    for _ in 0..8 {
        office.work().await;
        office.pass(3_600, 3_600).await;
        for mailbox in
            office.mailboxes.list_mailboxes(pb::ListMailboxesRequest {}).await.expect("listed").into_inner().mailboxes
        {
            let resume = pb::ResumeMailboxRequest { mailbox_id: mailbox.id };
            office.mailboxes.resume_mailbox(resume).await.expect("resumed");
        }
    }
    let counts = |campaign: &pb::Campaign| {
        let emails = campaign.emails.expect("counts");
        (campaign.state(), emails.sent, emails.failed, emails.unknown, emails.skipped)
    };
    assert_eq!(counts(&office.campaign(&campaign).await), (CampaignState::Completed, 1, 4, 3, 0));
    let emails = office.emails().await;
    let id = |n: usize| emails.iter().find(|email| email.to == to(n)).expect("a letter").id.clone();
    let retry = |email_ids: Vec<String>, request_id: &str| pb::RetryEmailsRequest {
        campaign_id: campaign.clone(),
        email_ids,
        request_id: request_id.to_owned(),
    };

    // What has not failed is not sent again, and nothing of such a request is.
    let refused = office.api.workflow.retry_emails(retry(vec![id(0), id(7)], "")).await.expect_err("sent already");
    assert_eq!(reason(&refused), "EMAIL_STATE");
    let refused = office.api.workflow.retry_emails(retry(vec!["em_nobody".into()], "")).await.expect_err("not there");
    assert_eq!(reason(&refused), "EMAIL_NOT_FOUND");
    let mut other = office.app.user("user_b").await;
    let refused = other.workflow.retry_emails(retry(vec![id(0)], "")).await.expect_err("another's");
    assert_eq!(reason(&refused), "CAMPAIGN_NOT_FOUND");
    assert_eq!(office.campaign(&campaign).await.state(), CampaignState::Completed);
    // Nor while another campaign has its prospects, or as many are live as may be.
    start_campaign(&mut office.api, &office.website).await;
    let config = pb::AgentConfig { auto_approve: false, ..Default::default() };
    let mask = prost_types::FieldMask { paths: vec!["auto_approve".to_owned()] };
    let update = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: Some(mask) };
    office.api.agent.update_agent_config(update).await.expect("configured");
    office.work().await;
    let refused = office.api.workflow.retry_emails(retry(vec![], "")).await.expect_err("they are in another");
    assert_eq!(reason(&refused), "PROSPECTS_TAKEN");
    for _ in 1..10 {
        start_campaign(&mut office.api, &office.website).await;
    }
    let refused = office.api.workflow.retry_emails(retry(vec![], "")).await.expect_err("ten are live");
    assert_eq!(reason(&refused), "CAMPAIGN_LIVE");
    let cancelled = office.api.workflow.reset_workflow(pb::ResetWorkflowRequest {}).await.expect("cancelled");
    let cancelled = cancelled.into_inner().cancelled_campaigns;
    let of_cancelled = pb::RetryEmailsRequest { campaign_id: cancelled[0].id.clone(), ..Default::default() };
    let refused = office.api.workflow.retry_emails(of_cancelled).await.expect_err("it is cancelled");
    assert_eq!(reason(&refused), "CAMPAIGN_STATE");

    // One by name, twice under one name of the request: it goes once.
    peer.rules([]);
    for _ in 0..2 {
        let answer = office.api.workflow.retry_emails(retry(vec![id(0)], "again")).await.expect("again").into_inner();
        assert_eq!((answer.retried_count, answer.unwritten_count), (1, 0));
        office.work().await;
    }
    assert_eq!(counts(&office.campaign(&campaign).await), (CampaignState::Completed, 2, 3, 3, 0));
    // The others; who is not there is suppressed, and skipped.
    let answer = office.api.workflow.retry_emails(retry(vec![], "")).await.expect("again").into_inner();
    let running = answer.campaign.expect("a campaign");
    assert_eq!((answer.retried_count, running.state(), running.end_time), (3, CampaignState::Running, None));
    office.work().await;
    assert_eq!(counts(&office.campaign(&campaign).await), (CampaignState::Completed, 4, 0, 3, 1));

    // What is unknown: one was sent, one is sent again, one is dropped.
    let resolve =
        |of: &[(usize, pb::EmailResolution)], others: pb::EmailResolution, request_id: &str| pb::ResolveEmailsRequest {
            campaign_id: campaign.clone(),
            emails: of.iter().map(|(n, to)| pb::ResolvedEmail { email_id: id(*n), resolution: (*to).into() }).collect(),
            others: others.into(),
            request_id: request_id.to_owned(),
        };
    use pb::EmailResolution::{Drop, SendAgain, Unspecified, WasSent};
    let before = peer.taken().len();
    for _ in 0..2 {
        let request = resolve(&[(4, WasSent), (5, SendAgain)], Drop, "settled");
        let answer = office.api.workflow.resolve_emails(request).await.expect("settled").into_inner();
        assert_eq!((answer.sent_count, answer.sent_again_count, answer.dropped_count), (1, 1, 1));
        office.work().await;
    }
    assert_eq!(counts(&office.campaign(&campaign).await), (CampaignState::Completed, 6, 0, 0, 2));
    assert_eq!(peer.taken().len(), before + 1);
    let settled = office.email(&id(4)).await;
    assert_eq!((settled.status(), settled.sent_time.is_some(), settled.note.as_str()), (EmailStatus::Sent, true, ""));
    let refused =
        office.api.workflow.resolve_emails(resolve(&[(4, Drop)], Unspecified, "")).await.expect_err("settled");
    assert_eq!(reason(&refused), "EMAIL_STATE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_goes_to_the_mailbox_itself_once_for_each_request_and_as_a_preview_shows_it() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let paced = pb::Pace { min_pause_seconds: Some(600), max_pause_seconds: Some(600), ..Default::default() };
    let anna = office.create(pb::Mailbox { pace: Some(paced), ..unpaced(&peer, "anna@acme.example") }).await;
    let config = pb::AgentConfig {
        sender: Some(pb::Sender { company: "Acme".to_owned(), ..Default::default() }),
        auto_approve: true,
        ..Default::default()
    };
    let update = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
    office.api.agent.update_agent_config(update).await.expect("configured");
    let letter = pb::PreviewTemplateRequest {
        from: Some(pb::preview_template_request::From::TemplateId("professional_partnership".to_owned())),
        mailbox_id: anna.id.clone(),
        language: "de".to_owned(),
        ..Default::default()
    };
    let preview = office.api.workflow.preview_template(letter.clone()).await.expect("a letter").into_inner();
    let test = |letter: &pb::PreviewTemplateRequest, request_id: &str| pb::SendTestEmailRequest {
        letter: Some(letter.clone()),
        request_id: request_id.to_owned(),
    };
    let first = office.api.workflow.send_test_email(test(&letter, "once")).await.expect("sent").into_inner();
    assert!(first.sent && !first.repeated && first.transcript.iter().any(|line| line.stage == "content"));
    let again = office.api.workflow.send_test_email(test(&letter, "once")).await.expect("the same").into_inner();
    assert_eq!((again.message_id.as_str(), again.repeated, again.sent), (first.message_id.as_str(), true, false));
    let taken = peer.taken();
    assert_eq!(
        (taken.len(), taken[0].to.as_slice(), &taken[0].message_id),
        (1, &["anna@acme.example".to_owned()][..], &first.message_id)
    );
    // Its body is the preview's, byte for byte.
    let body = |raw: &str| raw.replace("\r\n", "\n").split_once("\n\n").expect("a head").1.trim_end().to_owned();
    assert_eq!(body(&taken[0].raw), body(&String::from_utf8(preview.message).expect("7 bits")));

    // It has nobody's place in a campaign, and the mailbox pauses after it.
    add_prospects(&mut office.api, 1).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    assert_eq!(peer.taken().len(), 1);
    office.pass(600, 60).await;
    assert_eq!(peer.taken().len(), 2);

    peer.rules([Rule::at(Stage::Recipient).answers("550 5.7.1 not from you")]);
    let refused = office.api.workflow.send_test_email(test(&letter, "")).await.expect("an answer").into_inner();
    let words = refused.transcript.iter().find(|line| line.code == 550).map(|line| line.words.as_str());
    assert_eq!((refused.sent, words), (false, Some("not from you")));
    assert_eq!(office.mailbox(&anna.id).await.state(), MailboxState::Enabled);
    let nowhere = pb::PreviewTemplateRequest { mailbox_id: String::new(), ..letter.clone() };
    let refused = office.api.workflow.send_test_email(test(&nowhere, "")).await.expect_err("from no mailbox");
    assert_eq!((refused.code(), reason(&refused).as_str()), (tonic::Code::InvalidArgument, "FIELD_INVALID"));
    let mut other = office.app.user("user_b").await;
    let refused = other.workflow.send_test_email(test(&letter, "")).await.expect_err("another's");
    assert_eq!(reason(&refused), "MAILBOX_NOT_FOUND");
}

/// By whatever it is named, in whatever order reports come, and from whomever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_is_recorded_once_and_suppresses_whom_it_should() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    office.create(unpaced(&peer, "anna@acme.example")).await;
    add_prospects(&mut office.api, 8).await;
    auto_approve(&mut office.api).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    let campaign = newest(&mut office.api).await;
    let emails = office.emails().await;
    let bounce = |status: &str| pb::RecordBounceRequest { status: status.to_owned(), ..Default::default() };
    let of = |n: usize, status: &str| pb::RecordBounceRequest { email_id: emails[n].id.clone(), ..bounce(status) };

    // For good, by its Message-ID in brackets; again by its id, and a delay that comes too late.
    let gone = pb::RecordBounceRequest {
        message_id: format!("<{}>", emails[0].message_id),
        diagnostic: "smtp; 550 5.1.1 no such user".to_owned(),
        ..bounce("5.1.1")
    };
    let told = office.bounced(gone.clone()).await;
    let email = told.email.clone().expect("one");
    let known = email.bounce.clone().expect("a bounce");
    assert_eq!((email.id.as_str(), email.status(), told.suppressed), (emails[0].id.as_str(), EmailStatus::Sent, true));
    assert_eq!((known.permanent, known.status.as_str()), (true, "5.1.1"));
    assert_eq!(known.diagnostic, "smtp; 550 5.1.1 no such user");
    assert_eq!(office.bounced(gone).await, told);
    assert_eq!(office.bounced(of(0, "5.1.1")).await, told);
    assert_eq!(office.bounced(of(0, "4.4.7")).await, told);
    assert_eq!(office.email(&emails[0].id).await.bounce.as_ref(), Some(&known));
    assert_eq!(office.emails().await[0].bounce.as_ref(), Some(&known));

    // Delayed, twice, and then for good.
    let late = office.bounced(of(1, "4.4.7")).await;
    assert_eq!((late.email.clone().and_then(|e| e.bounce).map(|b| b.permanent), late.suppressed), (Some(false), false));
    assert_eq!(office.bounced(of(1, "4.2.2")).await, late);
    assert!(office.bounced(of(1, "5.2.1")).await.suppressed);

    // For what is the sender's own fault nobody is suppressed; nor for what an odd class says of a limit.
    for (n, status, permanent) in [(2, "5.7.1", true), (3, "5.3.4", true), (4, "5.2.122", false)] {
        let told = office.bounced(of(n, status)).await;
        let bounce = told.email.and_then(|email| email.bounce).expect("a bounce");
        assert_eq!((bounce.permanent, told.suppressed), (permanent, false), "{status}");
    }
    // Without a status, by what is said.
    let said = |n: usize, diagnostic: &str| pb::RecordBounceRequest {
        permanent: Some(true),
        diagnostic: diagnostic.to_owned(),
        ..of(n, "")
    };
    assert!(!office.bounced(said(5, "550 blocked: listed at an RBL")).await.suppressed);
    assert!(office.bounced(said(6, "550 mailbox unavailable")).await.suppressed);

    // A complaint, where nothing but the address is known: once.
    let complaint = pb::RecordComplaintRequest { address: emails[7].to.to_uppercase(), ..Default::default() };
    let told = office.complained(complaint.clone()).await;
    let email = told.email.clone().expect("one");
    assert_eq!((email.id.as_str(), told.suppressed), (emails[7].id.as_str(), true));
    assert!(email.complaint_time.is_some() && email.bounce.is_none());
    office.pass(60, 60).await;
    assert_eq!(office.complained(complaint).await, told);
    // An address that nobody has written to is suppressed, and no e-mail is told.
    let unknown = pb::RecordBounceRequest { address: "gone@elsewhere.example".to_owned(), ..bounce("5.1.1") };
    assert_eq!(office.bounced(unknown).await, pb::RecordBounceResponse { email: None, suppressed: true });
    let unknown = pb::RecordBounceRequest { address: "late@elsewhere.example".to_owned(), ..bounce("4.4.1") };
    assert_eq!(office.bounced(unknown).await, pb::RecordBounceResponse { email: None, suppressed: false });

    let suppressed = office.api.agent.list_suppressions(pb::ListSuppressionsRequest::default()).await.expect("listed");
    let mut suppressed: Vec<_> =
        suppressed.into_inner().suppressions.into_iter().map(|one| (one.email.clone(), one.reason())).collect();
    suppressed.sort();
    let bounced = [0, 1, 6].map(|n| (emails[n].to.clone(), pb::SuppressionReason::Bounced));
    let complained = (emails[7].to.clone(), pb::SuppressionReason::Complained);
    let elsewhere = ("gone@elsewhere.example".to_owned(), pb::SuppressionReason::Bounced);
    let mut right: Vec<_> = bounced.into_iter().chain([complained, elsewhere]).collect();
    right.sort();
    assert_eq!(suppressed, right);

    // Who watches the campaign is told, in order and once each.
    let mut reports = Vec::new();
    let request = pb::WatchWorkflowRequest { campaign_id: campaign.id, after_seq: Some(campaign.last_seq) };
    let mut stream = office.api.workflow.watch_workflow(request).await.expect("watched").into_inner();
    while reports.len() < 9 {
        let told = stream.message().await.expect("told").expect("more").update;
        if let Some(Update::Event(pb::CampaignEvent { kind: Some(Kind::EmailReported(told)), .. })) = told {
            reports.push((told.report(), emails.iter().position(|email| email.id == told.email_id).expect("one")));
        }
    }
    use pb::EmailReport::{Bounced, Complained, Delayed};
    let right = [
        (Bounced, 0),
        (Delayed, 1),
        (Bounced, 1),
        (Bounced, 2),
        (Bounced, 3),
        (Delayed, 4),
        (Bounced, 5),
        (Bounced, 6),
        (Complained, 7),
    ];
    assert_eq!(reports, right);

    // Another tenant's e-mail is none, as is one that never was and a reply; whatever its name.
    let mut other = office.app.user("user_b").await;
    add_prospects(&mut other, 1).await;
    let none = other.mailbox.record_bounce(of(0, "5.1.1")).await.expect_err("another's");
    let by_name = pb::RecordBounceRequest { message_id: emails[0].message_id.clone(), ..bounce("5.1.1") };
    let never = pb::RecordBounceRequest { message_id: "never@acme.example".to_owned(), ..bounce("5.1.1") };
    let prospect_id = emails[5].prospect_id.clone();
    let reply = pb::RecordReplyRequest {
        prospect_id,
        body: "Hello".to_owned(),
        message_id: "r@x.example".to_owned(),
        ..Default::default()
    };
    let reply = office.api.agent.record_reply(reply).await.expect("recorded").into_inner().reply.expect("one");
    for (mut mailboxes, request) in [
        (other.mailbox.clone(), by_name),
        (office.mailboxes.clone(), never),
        (office.mailboxes.clone(), pb::RecordBounceRequest { email_id: reply.id, ..bounce("5.1.1") }),
        (office.mailboxes.clone(), pb::RecordBounceRequest { message_id: "r@x.example".to_owned(), ..bounce("5.1.1") }),
    ] {
        let refused = mailboxes.record_bounce(request).await.expect_err("no such e-mail");
        assert_eq!((reason(&refused), refused.message()), ("EMAIL_NOT_FOUND".to_owned(), none.message()));
    }
    // What says nothing, or two things.
    let two = pb::RecordBounceRequest { address: "a@b.example".to_owned(), ..of(0, "5.1.1") };
    let otherwise = pb::RecordBounceRequest { permanent: Some(true), ..of(0, "4.2.2") };
    for (request, field) in [
        (bounce("5.1.1"), "email_id"),
        (two, "email_id"),
        (of(0, ""), "status"),
        (of(0, "2.1.5"), "status"),
        (otherwise, "permanent"),
    ] {
        let refused = office.mailboxes.record_bounce(request).await.expect_err("refused");
        assert!(refused.message().contains(field), "{refused:?}");
    }
}

/// Some providers put an id of their own into the header, with a domain of theirs behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_known_again_by_what_its_mail_server_calls_it() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    office.create(unpaced(&peer, "anna@acme.example")).await;
    add_prospects(&mut office.api, 3).await;
    auto_approve(&mut office.api).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    let emails = office.emails().await;
    for (email, written) in emails.iter().zip(["", "<>", "<@eu-west-1.amazonses.com>"]) {
        let server_id = office.email(&email.id).await.server_id;
        assert!(server_id.starts_with('Q') && server_id.len() == 10, "{server_id}");
        let message_id = match written.split_once('<') {
            Some((_, rest)) => format!("<{server_id}{rest}"),
            None => server_id,
        };
        let request = pb::RecordComplaintRequest { message_id: message_id.clone(), ..Default::default() };
        assert_eq!(office.complained(request).await.email.expect("one").id, email.id, "{message_id}");
    }
    let mut other = office.app.user("user_b").await;
    let message_id = office.email(&emails[0].id).await.server_id;
    let refused = other.mailbox.record_complaint(pb::RecordComplaintRequest { message_id, ..Default::default() });
    assert_eq!(reason(&refused.await.expect_err("another's")), "EMAIL_NOT_FOUND");
}

/// What the campaign has told of pauses: its own and those of its mailboxes.
async fn pauses(api: &mut Api) -> Vec<String> {
    let campaign = newest(api).await;
    let request = pb::WatchWorkflowRequest { campaign_id: campaign.id, after_seq: Some(0) };
    let mut stream = api.workflow.watch_workflow(request).await.expect("watched").into_inner();
    let (mut told, mut seq) = (Vec::new(), 0);
    while seq < campaign.last_seq {
        let Some(Update::Event(event)) = stream.message().await.expect("told").expect("more").update else { continue };
        seq = event.seq;
        match event.kind {
            Some(Kind::MailboxPaused(paused)) => told.push(format!("{}: {}", paused.address, paused.reason)),
            Some(Kind::StateChanged(change)) if change.to() == CampaignState::Paused => told.push(change.reason),
            _ => {}
        }
    }
    told
}

/// Forty-nine prove nothing, however many of them bounced; the fiftieth mail does. A person's resume holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_and_a_campaign_pause_when_too_much_comes_back_and_a_resume_counts_anew() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let mut hourly = unpaced(&peer, "anna@acme.example");
    hourly.pace.as_mut().expect("a pace").max_emails_per_hour = Some(49);
    let anna = office.create(hourly).await;
    add_prospects_of(&mut office.api, "one", 110).await;
    auto_approve(&mut office.api).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    assert_eq!(peer.taken().len(), 49);
    let sent = |emails: &[pb::Email]| -> Vec<_> {
        emails.iter().filter(|email| email.status() == EmailStatus::Sent).map(|email| email.id.clone()).collect()
    };
    let first = sent(&office.emails().await);
    let bounce = |id: &str| pb::RecordBounceRequest {
        email_id: id.to_owned(),
        status: "5.1.1".to_owned(),
        ..Default::default()
    };
    for id in &first[..3] {
        office.bounced(bounce(id)).await;
    }
    assert_eq!(office.mailbox(&anna.id).await.state(), MailboxState::Enabled);
    assert_eq!(newest(&mut office.api).await.state(), CampaignState::Running);
    office.pass(62 * 60, 60).await;
    assert_eq!(peer.taken().len(), 50, "nothing after the fiftieth");
    let why = "3 of its last 50 mails bounced (6.0 %): it pauses from 5 % on";
    let paused = office.mailbox(&anna.id).await;
    assert_eq!((paused.state(), paused.pause_reason.as_str()), (MailboxState::Paused, why));
    assert_eq!(newest(&mut office.api).await.state(), CampaignState::Paused);
    let both = [format!("anna@acme.example: {why}"), why.to_owned()];
    assert_eq!(pauses(&mut office.api).await, both);

    // Both are resumed, over a restart: what bounced before, or bounces now of what was sent before, counts no more.
    office = office.restarted().await;
    let resume = pb::ResumeMailboxRequest { mailbox_id: anna.id.clone() };
    office.mailboxes.resume_mailbox(resume).await.expect("resumed");
    office.api.workflow.resume_workflow(pb::ResumeWorkflowRequest::default()).await.expect("resumed");
    office.bounced(bounce(&first[3])).await;
    office.pass(60, 60).await;
    let taken = peer.taken().len();
    assert!((80..=99).contains(&taken), "it goes on with those of the hour: {taken}");
    let new: Vec<_> = sent(&office.emails().await).into_iter().filter(|id| !first.contains(id)).skip(1).collect();
    assert!((30..50).contains(&new.len()));
    let complaint = |id: &str| pb::RecordComplaintRequest { email_id: id.to_owned(), ..Default::default() };
    office.complained(complaint(&new[0])).await;
    assert_eq!(pauses(&mut office.api).await, both, "fewer than fifty since");
    office.pass(62 * 60, 60).await;
    let why = "1 of its last 50 mails brought a complaint (2.0 %): it pauses from 0.3 % on";
    assert_eq!(pauses(&mut office.api).await[2..], [format!("anna@acme.example: {why}"), why.to_owned()]);
}

/// At the rate exactly, by reports, after its end; and what was sent more than a week ago counts no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_counts_the_mails_of_a_week_and_pauses_at_its_rate_exactly() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let anna = office.create(unpaced(&peer, "anna@acme.example")).await;
    auto_approve(&mut office.api).await;
    let bounce = |id: &str| pb::RecordBounceRequest {
        email_id: id.to_owned(),
        status: "5.1.1".to_owned(),
        ..Default::default()
    };
    add_prospects_of(&mut office.api, "old", 50).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    assert_eq!(newest(&mut office.api).await.state(), CampaignState::Completed);
    let old = office.emails().await;
    office.pass(7 * DAY + 60, 7 * DAY + 60).await;
    for email in &old[..10] {
        office.bounced(bounce(&email.id)).await;
    }
    assert_eq!(office.mailbox(&anna.id).await.state(), MailboxState::Enabled, "a week ago");
    add_prospects_of(&mut office.api, "new", 60).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    let new = office.emails().await;
    assert_eq!(new.len(), 100, "those who were not there are left out");
    office.pass(7 * DAY - 60, 7 * DAY - 60).await;
    let late = pb::RecordBounceRequest { status: "4.4.7".to_owned(), ..bounce(&new[5].id) };
    office.bounced(late).await;
    for email in &new[..4] {
        office.bounced(bounce(&email.id)).await;
        office.bounced(bounce(&email.id)).await;
    }
    assert_eq!(office.mailbox(&anna.id).await.state(), MailboxState::Enabled, "4 of 100, however often they are told");
    office.bounced(bounce(&new[4].id)).await;
    let paused = office.mailbox(&anna.id).await;
    let why = "5 of its last 100 mails bounced (5.0 %): it pauses from 5 % on";
    assert_eq!((paused.state(), paused.pause_reason.as_str()), (MailboxState::Paused, why));
    assert_eq!(newest(&mut office.api).await.state(), CampaignState::Completed, "what has ended stays so");
}

/// Refusals at RCPT are bounces; a campaign that sends into the outbox has its guard, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_recipients_count_as_bounces() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let anna = office.create(unpaced(&peer, "anna@acme.example")).await;
    add_prospects_of(&mut office.api, "one", 55).await;
    auto_approve(&mut office.api).await;
    peer.rules([Rule::at(Stage::Recipient).answers("550 5.1.1 no such user here").times(3)]);
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    let emails = office.emails().await;
    let counts =
        [EmailStatus::Sent, EmailStatus::Failed, EmailStatus::Approved].map(|status| by_status(&emails, status));
    assert_eq!(counts, [47, 3, 5]);
    let why = "3 of its last 50 mails bounced (6.0 %): it pauses from 5 % on";
    assert_eq!(office.mailbox(&anna.id).await.pause_reason, why);
    assert_eq!(pauses(&mut office.api).await, [format!("anna@acme.example: {why}"), why.to_owned()]);
}

/// One server's whim is its own; three in a row are the mailbox's, over a restart too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_pauses_when_three_domains_in_a_row_refuse_it_for_a_policy() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let mut slow = unpaced(&peer, "anna@acme.example");
    slow.pace.as_mut().expect("a pace").max_emails_per_hour = Some(1);
    let anna = office.create(slow).await;
    let prospect = |address: &str| pb::Prospect { email: address.to_owned(), ..Default::default() };
    let prospects = (1..=5)
        .map(|n| prospect(&format!("kim@d{n}.example")))
        .chain((1..=3).map(|n| prospect(&format!("n{n}@same.example"))));
    let request = pb::BatchCreateProspectsRequest { prospects: prospects.collect(), request_id: String::new() };
    office.api.agent.batch_create_prospects(request).await.expect("created");
    auto_approve(&mut office.api).await;
    start_campaign(&mut office.api, &office.website).await;
    let refusal = "550 5.7.1 not from you";
    let refuse = |addresses: &[&str]| -> Vec<_> {
        addresses.iter().map(|to| Rule::at(Stage::Recipient).to(to).answers(refusal)).collect()
    };
    peer.rules([Rule::at(Stage::Recipient).answers(refusal)]);
    office.work().await;
    office.pass(61 * 60, 60).await;
    let order: Vec<String> = office.emails().await.into_iter().map(|email| email.to).collect();
    let domain = |to: &str| to.rsplit_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default();
    let (two, rest) = order.split_at(2);
    assert_eq!(by_status(&office.emails().await, EmailStatus::Failed), 2);
    assert_eq!(office.mailbox(&anna.id).await.state(), MailboxState::Enabled, "{two:?}");
    // The third is taken, and then it takes three more, of different domains.
    peer.rules(refuse(&rest[1..].iter().map(String::as_str).collect::<Vec<_>>()));
    office.pass(61 * 60, 60).await;
    assert_eq!(peer.taken().len(), 1);
    let mut seen: Vec<String> = Vec::new();
    let mut refused = 2;
    for to in &rest[1..] {
        assert_eq!(office.mailbox(&anna.id).await.state(), MailboxState::Enabled, "{seen:?}");
        office = office.restarted().await;
        office.pass(61 * 60, 60).await;
        refused += 1;
        assert_eq!(by_status(&office.emails().await, EmailStatus::Failed), refused, "{to}");
        if !seen.contains(&domain(to)) {
            seen.push(domain(to));
        }
        if seen.len() == 3 {
            break;
        }
    }
    let why = format!("3 recipients' domains in a row refused its mail for a policy: {}", seen.join(", "));
    let paused = office.mailbox(&anna.id).await;
    assert_eq!((paused.state(), paused.pause_reason.as_str()), (MailboxState::Paused, why.as_str()));
    assert_eq!(pauses(&mut office.api).await, [format!("anna@acme.example: {why}")]);
    // A person's resume forgets them.
    let resume = pb::ResumeMailboxRequest { mailbox_id: anna.id.clone() };
    office.mailboxes.resume_mailbox(resume).await.expect("resumed");
    office.pass(61 * 60, 60).await;
    assert_eq!(by_status(&office.emails().await, EmailStatus::Failed), refused + 1);
    assert_eq!(office.mailbox(&anna.id).await.state(), MailboxState::Enabled);
}

/// A letter that its server has refused at once has bounced, and is told as one that came back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_recipient_is_a_bounce_that_is_known_already() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    office.create(unpaced(&peer, "anna@acme.example")).await;
    add_prospects(&mut office.api, 1).await;
    auto_approve(&mut office.api).await;
    peer.rules([Rule::at(Stage::Recipient).answers("550 5.1.1 no such user here")]);
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    let email = office.emails().await.remove(0);
    let bounce = email.bounce.clone().expect("a bounce");
    assert_eq!((email.status(), bounce.permanent, bounce.status.as_str()), (EmailStatus::Failed, true, "5.1.1"));
    assert_eq!(bounce.diagnostic, "recipient: 550 5.1.1 no such user here");
    let again =
        pb::RecordBounceRequest { email_id: email.id.clone(), status: "5.0.0".to_owned(), ..Default::default() };
    assert_eq!(office.bounced(again).await, pb::RecordBounceResponse { email: Some(email), suppressed: true });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_taken_fails_within_two_days() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    office.create(unpaced(&peer, "anna@acme.example")).await;
    add_prospects(&mut office.api, 1).await;
    auto_approve(&mut office.api).await;
    peer.rules([Rule::at(Stage::Recipient).answers("452 4.2.2 mailbox full")]);
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    office.pass(2 * DAY, 60 * 60).await;
    let emails = office.emails().await;
    assert_eq!((emails[0].status(), peer.count("RCPT")), (EmailStatus::Failed, 6), "once, and five times more");
    assert_eq!(emails[0].note, "not taken in 6 tries: recipient: 452 4.2.2 mailbox full");
    assert_eq!(newest(&mut office.api).await.state(), CampaignState::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_is_not_let_in_or_is_blamed_pauses_with_the_reason_and_holds_its_campaign() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let anna = office.create(unpaced(&peer, "anna@acme.example")).await;
    add_prospects(&mut office.api, 3).await;
    auto_approve(&mut office.api).await;
    peer.rules([Rule::at(Stage::SignIn).answers("535 5.7.8 bad credentials")]);
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    assert_eq!(office.mailbox(&anna.id).await.state(), MailboxState::Enabled, "once is no proof");
    office.pass(10 * 60, 30).await;
    assert_eq!(peer.count("AUTH"), 3);
    let paused = office.mailbox(&anna.id).await;
    let why = "its sign-in was refused 3 times: sign_in: 535 5.7.8 bad credentials";
    assert_eq!((paused.state(), paused.pause_reason.as_str()), (MailboxState::Paused, why));
    let held = newest(&mut office.api).await;
    let why = format!("the mailbox anna@acme.example is paused: {why}");
    assert_eq!((held.state(), held.hold), (CampaignState::Running, why));
    let tries: Vec<_> = office.emails().await;
    assert_eq!(by_status(&tries, EmailStatus::Approved), 3, "nothing is lost");

    // A person mends it, and the campaign goes on; then the server blames the mailbox.
    peer.rules([Rule::at(Stage::Sender).answers("550 5.7.30 basic authentication is off")]);
    let resume = pb::ResumeMailboxRequest { mailbox_id: anna.id.clone() };
    office.mailboxes.resume_mailbox(resume.clone()).await.expect("resumed");
    office.pass(2 * 60, 30).await;
    let paused = office.mailbox(&anna.id).await;
    assert_eq!(paused.state(), MailboxState::Paused);
    assert!(paused.pause_reason.contains("basic authentication is off"), "{}", paused.pause_reason);
    assert_eq!(by_status(&office.emails().await, EmailStatus::Failed), 1, "one e-mail, and not all");
    // Its test says the same, and that it works once the server has changed its mind; it sends nothing.
    peer.rules([Rule::at(Stage::SignIn).answers("535 5.7.8 bad credentials")]);
    let test = pb::TestMailboxRequest { mailbox_id: anna.id.clone() };
    let tested = office.mailboxes.test_mailbox(test.clone()).await.expect("tested").into_inner();
    let last = tested.transcript.last().expect("a talk");
    assert_eq!((tested.works, last.stage.as_str(), last.code), (false, "sign_in", 535));
    assert_eq!((last.enhanced_code.as_str(), last.words.as_str()), ("5.7.8", "bad credentials"));
    peer.rules([]);
    let tested = office.mailboxes.test_mailbox(test).await.expect("tested").into_inner();
    assert!(tested.works && tested.transcript.iter().any(|line| line.stage == "tls"), "{tested:?}");
    assert!(peer.taken().is_empty());
    office.mailboxes.resume_mailbox(resume).await.expect("resumed");
    office.pass(2 * 60, 30).await;
    let done = newest(&mut office.api).await;
    assert_eq!((done.state(), done.hold.as_str()), (CampaignState::Completed, ""));
    each_once(&peer.taken(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_costs_no_letter_a_try() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let mut away = unpaced(&peer, "anna@acme.example");
    let port = away.smtp.as_ref().expect("a server").port;
    away.smtp.as_mut().expect("a server").port = i32::from(free_port());
    let anna = office.create(away).await;
    add_prospects(&mut office.api, 2).await;
    auto_approve(&mut office.api).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    let told = office.mailbox(&anna.id).await.trouble;
    assert!(told.starts_with("connect: ") && told.contains("refused"), "{told}");
    let hold = format!("no mail goes from anna@acme.example, and it is tried again: {told}");
    let held = newest(&mut office.api).await;
    assert_eq!((held.state(), &held.hold), (CampaignState::Running, &hold));
    office.pass(3 * DAY, 60 * 60).await;
    assert_eq!(by_status(&office.emails().await, EmailStatus::Approved), 2);
    let later = newest(&mut office.api).await;
    assert_eq!((&later.hold, later.hold_time), (&hold, held.hold_time), "on hold all the time");
    assert_eq!(
        later.last_seq,
        held.last_seq + 2 * (3 * 24),
        "a try tells that it begins and that it has not gone, and no more"
    );
    let smtp = Some(pb::SmtpServer { port, ..Default::default() });
    let mailbox = Some(pb::Mailbox { id: anna.id.clone(), smtp, ..Default::default() });
    office.mailboxes.update_mailbox(pb::UpdateMailboxRequest { mailbox, update_mask: None }).await.expect("updated");
    // What was changed is tried at once.
    office.work().await;
    let done = newest(&mut office.api).await;
    assert_eq!((done.state(), done.hold.as_str()), (CampaignState::Completed, ""));
    assert_eq!(office.mailbox(&anna.id).await.trouble, "");
    each_once(&peer.taken(), 2);
}

/// Five a day and two an hour, on working days from nine to five in Berlin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pace_of_a_mailbox_holds_for_all_its_campaigns_and_over_restarts_and_clocks_that_jump() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let mut careful = unpaced(&peer, "anna@acme.example");
    careful.pace = Some(pb::Pace {
        max_emails_per_hour: Some(2),
        max_emails_per_day: Some(5),
        min_pause_seconds: Some(300),
        max_pause_seconds: Some(900),
        ..Default::default()
    });
    careful.calendar = Some(pb::Calendar { time_zone: "Europe/Berlin".to_owned(), ..Default::default() });
    office.create(careful).await;
    add_prospects(&mut office.api, 8).await;
    auto_approve(&mut office.api).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    add_prospects_of(&mut office.api, "second", 8).await;
    start_campaign(&mut office.api, &office.website).await;
    office.work().await;
    let mut times = Vec::new();
    for hour in 0..24 * 8_u64 {
        for _ in 0..12 {
            let before = peer.taken().len();
            office.pass(300, 300).await;
            for _ in before..peer.taken().len() {
                times.push(office.clock.now().seconds());
            }
        }
        match hour {
            // In the middle of a day's mail.
            20 => office = office.restarted().await,
            // A clock that is put forward by a day, and back.
            50 => office.seconds += DAY,
            60 => office.seconds -= DAY,
            _ => {}
        }
    }
    assert_eq!(times.len(), 16, "all within eight days");
    each_once(&peer.taken(), 16);
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").expect("a zone");
    for (i, time) in times.iter().enumerate() {
        let wall = zone.to_datetime(jiff::Timestamp::from_second(*time).expect("a time"));
        assert!((9..17).contains(&wall.hour()), "{wall}");
        assert!(wall.date().weekday().to_monday_one_offset() <= 5, "{wall}");
        let of_window = |seconds: i64| times.iter().filter(|other| **other > time - seconds && *other <= time).count();
        assert!(of_window(3_600) <= 2 && of_window(DAY as i64) <= 5, "mail {i} at {wall}: {times:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prospect_is_written_to_while_its_own_clocks_and_the_mailboxs_are_at_work() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let in_berlin = pb::Calendar { time_zone: "Europe/Berlin".to_owned(), ..Default::default() };
    office.create(pb::Mailbox { calendar: Some(in_berlin), ..unpaced(&peer, "anna@acme.example") }).await;
    // From which hour of Berlin's on, up to which one. Tokyo goes home when Berlin begins: the two never meet.
    let zones = [
        ("America/New_York", 15, 17),
        ("Asia/Kolkata", 9, 13),
        ("Europe/Berlin", 9, 17),
        ("Asia/Tokyo", 9, 17),
        ("", 9, 17),
    ];
    let domain = |zone: &str| format!("at{}.example", zone.to_lowercase().replace(['/', '_'], "-"));
    let prospect = |zone: &str, n: usize| pb::Prospect {
        email: format!("{n}@{}", domain(zone)),
        time_zone: zone.to_owned(),
        ..Default::default()
    };
    // So many in a far zone that they do not go through one write.
    let mut prospects: Vec<_> = (0..120).map(|n| prospect("America/New_York", n)).collect();
    prospects.extend(zones[1..].iter().flat_map(|(zone, ..)| (0..3).map(|n| prospect(zone, n))));
    let count = prospects.len();
    let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
    office.api.agent.batch_create_prospects(request).await.expect("created");
    auto_approve(&mut office.api).await;
    start_campaign(&mut office.api, &office.website).await;
    let berlin = jiff::tz::TimeZone::get("Europe/Berlin").expect("a zone");
    let mut hours: BTreeMap<String, Vec<i8>> = BTreeMap::new();
    office.work().await;
    for half_hour in 0..4 * 48 {
        let before = peer.taken().len();
        office.pass(1_800, 1_800).await;
        let wall = berlin.to_datetime(jiff::Timestamp::from_second(office.clock.now().seconds()).expect("a time"));
        for taken in &peer.taken()[before..] {
            let to = taken.to[0].split('@').nth(1).expect("a domain").to_owned();
            hours.entry(to).or_default().push(wall.hour());
        }
        if half_hour == 30 {
            office = office.restarted().await;
        }
    }
    each_once(&peer.taken(), count);
    for (zone, from, to) in zones {
        let sent = &hours[&domain(zone)];
        assert!(sent.iter().all(|hour| (from..to).contains(hour)), "{zone}: {sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_waits_for_a_mailbox_looks_again_when_that_is_changed_or_resumed() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let mut slow = unpaced(&peer, "anna@acme.example");
    slow.pace.as_mut().expect("a pace").max_emails_per_day = Some(1);
    let anna = office.create(slow).await;
    add_prospects(&mut office.api, 3).await;
    auto_approve(&mut office.api).await;
    start_campaign(&mut office.api, &office.website).await;
    office.pass(60 * 60, 60).await;
    assert_eq!(peer.taken().len(), 1, "the next is due tomorrow");
    let plan = office.plan().await.expect("two are left");
    let begun = office.clock.now().seconds() - 60 * 60;
    let after = |time: Option<prost_types::Timestamp>| time.expect("a time").seconds - begun;
    assert_eq!(plan.emails_per_day, Some(1));
    assert!((DAY as i64..DAY as i64 + 120).contains(&after(plan.next_email_time)), "{plan:?}");
    assert!((2 * DAY as i64..=2 * DAY as i64 + 120).contains(&after(plan.estimated_end_time)), "{plan:?}");
    let pause = pb::PauseMailboxRequest { mailbox_id: anna.id.clone(), reason: String::new() };
    office.mailboxes.pause_mailbox(pause).await.expect("paused");
    let paused = office.plan().await.expect("two are left");
    assert_eq!((paused.emails_per_day, paused.estimated_end_time), (Some(0), None), "none goes");
    let resume = pb::ResumeMailboxRequest { mailbox_id: anna.id.clone() };
    office.mailboxes.resume_mailbox(resume).await.expect("resumed");
    let pace = Some(pb::Pace { max_emails_per_day: Some(2), ..Default::default() });
    let mailbox = Some(pb::Mailbox { id: anna.id.clone(), pace, ..Default::default() });
    office.mailboxes.update_mailbox(pb::UpdateMailboxRequest { mailbox, update_mask: None }).await.expect("updated");
    office.pass(60, 60).await;
    assert_eq!(peer.taken().len(), 2);
    office.pass(DAY, 60 * 60).await;
    each_once(&peer.taken(), 3);
    assert_eq!(office.plan().await, None, "all is sent");
}

/// In a process of its own, which had 107 MiB at most when this was written: beside other tests nobody could tell.
#[test]
fn a_thousand_mailboxes_send_on_one_day_within_their_limits_and_none_is_left_out() {
    let name = "mailing::a_thousand_mailboxes_send_on_one_day_within_their_limits_and_none_is_left_out";
    if let Some(peak) = peak_alone(name, a_thousand_mailboxes_on_one_day) {
        assert!(peak < 160 * 1024, "a thousand mailboxes took {peak} KiB");
    }
}

/// Ten tenants with a hundred mailboxes each, which all have letters for the same day: one an hour and two a day, from nine to five.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_mailboxes_on_one_day() {
    const TENANTS: usize = 10;
    const MAILBOXES: usize = 100;
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let account = peer.account(Security::None);
    let mut apis = Vec::new();
    for tenant in 0..TENANTS {
        let mut api = office.app.user(&format!("tenant{tenant}")).await;
        for n in 0..MAILBOXES {
            let smtp = pb::SmtpServer {
                host: account.host.clone(),
                port: i32::from(account.port),
                security: pb::SmtpSecurity::None.into(),
                ..Default::default()
            };
            let pace = pb::Pace {
                max_emails_per_hour: Some(1),
                max_emails_per_day: Some(2),
                min_pause_seconds: Some(300),
                max_pause_seconds: Some(900),
                ..Default::default()
            };
            let mailbox = pb::Mailbox {
                address: format!("m{n}@t{tenant}.example"),
                smtp: Some(smtp),
                pace: Some(pace),
                ..Default::default()
            };
            let request = pb::CreateMailboxRequest { mailbox: Some(mailbox), request_id: String::new() };
            api.mailbox.create_mailbox(request).await.expect("created");
        }
        add_prospects_of(&mut api, &format!("p{tenant}x"), 2 * MAILBOXES).await;
        auto_approve(&mut api).await;
        start_campaign(&mut api, &office.website).await;
        apis.push(api);
    }
    // From the evening of a Thursday to that of the Friday.
    office.work().await;
    office.pass(DAY, 600).await;

    each_once(&peer.taken(), TENANTS * MAILBOXES * 2);
    for api in &mut apis {
        assert_eq!(newest(api).await.state(), CampaignState::Completed);
        let list = pb::ListWorkflowEmailsRequest { page_size: 1_000, ..Default::default() };
        let emails = api.workflow.list_workflow_emails(list).await.expect("listed").into_inner().emails;
        let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for email in emails {
            let sent = email.sent_time.expect("it is sent").seconds;
            times.entry(email.from).or_default().push(sent);
        }
        assert_eq!(times.len(), MAILBOXES);
        for (mailbox, mut times) in times {
            times.sort_unstable();
            let open = |time: &i64| (9 * 3_600..17 * 3_600).contains(&(time % DAY as i64));
            assert!(times.iter().all(open), "{mailbox}: {times:?}");
            assert!(times.len() == 2 && times[1] - times[0] >= 3_600, "{mailbox}: {times:?}");
        }
    }
}

/// By a key that Herald makes, and whose record it tells; dkimpy reads it there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_with_a_selector_signs_its_letters_by_a_key_that_stays_until_the_selector_changes() {
    let peer = SmtpPeer::start();
    let mut office = Office::open(&peer).await;
    let dkim = |selector: &str| Some(pb::Dkim { selector: selector.to_owned(), ..Default::default() });
    let anna = office.create(pb::Mailbox { dkim: dkim("Herald2026"), ..unpaced(&peer, "anna@bücher.example") }).await;
    let made = anna.dkim.clone().expect("a key");
    assert_eq!(
        (made.selector.as_str(), made.dns_name.as_str()),
        ("herald2026", "herald2026._domainkey.xn--bcher-kva.example")
    );
    assert!(made.dns_record.starts_with("v=DKIM1; k=rsa; p=MII"), "{made:?}");
    add_prospects(&mut office.api, 2).await;
    auto_approve(&mut office.api).await;
    start_campaign(&mut office.api, &office.website).await;
    office.pass(60, 60).await;
    let taken = peer.taken();
    each_once(&taken, 2);
    let letters = folder();
    for (n, letter) in taken.iter().enumerate() {
        std::fs::write(letters.path().join(format!("{n}.eml")), &letter.raw).expect("a file");
    }
    let read = read_by_python(letters.path(), &made.dns_record);
    assert_eq!(read.len(), 2);
    for letter in &read {
        assert_eq!((&letter["signed"], &letter["defects"]), (&json!(true), &json!([])), "{letter}");
    }

    let change = async |office: &mut Office, selector: &str| {
        let mailbox = Some(pb::Mailbox { id: anna.id.clone(), dkim: dkim(selector), ..Default::default() });
        let update_mask = Some(prost_types::FieldMask { paths: vec!["dkim".to_owned()] });
        let update = pb::UpdateMailboxRequest { mailbox, update_mask };
        office.mailboxes.update_mailbox(update).await.expect("updated").into_inner().mailbox.expect("one").dkim
    };
    let same = change(&mut office, "herald2026").await;
    assert_eq!(same, anna.dkim, "the key stays with its selector");
    let other = change(&mut office, "herald2027").await.expect("a key");
    assert_ne!(other.dns_record, made.dns_record);
    assert_eq!(change(&mut office, "").await, None);
    add_prospects_of(&mut office.api, "later", 1).await;
    start_campaign(&mut office.api, &office.website).await;
    office.pass(60, 60).await;
    let last = peer.taken().pop().expect("a letter");
    assert!(!last.raw.contains("DKIM-Signature"), "{}", last.raw);
}

/// Where a server dies, and how often a campaign passes that with eight letters.
const KILLS: [(&str, u64); 6] = [
    ("engine.sending.begun", 1),
    ("smtp.before_dot", 8),
    ("smtp.after_dot", 8),
    ("smtp.answered", 8),
    ("engine.sending.delivered", 8),
    ("engine.sending.recorded", 8),
];

/// Counted at the mail server: no letter twice, whatever stage the server is killed at; and only the one letter that had been begun,
/// and whose answer was not on the disk, is unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_at_any_stage_of_a_talk_sends_no_letter_twice() {
    const LETTERS: usize = 8;
    let peer = SmtpPeer::start();
    peer.settings(json!({ "users": { "anna": PASSWORD } }));
    let website = site::pages([("/", site::company())]).await;
    let authorities = peer.authorities().display().to_string();
    let env = [("HERALD_MAIL_ALLOW_PRIVATE", "true"), ("HERALD_MAIL_CA_FILE", authorities.as_str())];
    let kills = KILLS.iter().flat_map(|(point, times)| (1..=*times).map(move |passing| (*point, passing)));
    // Every second passing, and in the deep run each several times.
    let rounds = if deep() { 8 } else { 1 };
    let kills: Vec<_> = kills.filter(|(_, passing)| deep() || passing % 2 == 1).collect();
    let (mut unknown, mut dead) = (0, 0);
    for (point, passing) in (0..rounds).flat_map(|_| kills.clone()) {
        let at = format!("{point}:{passing}");
        let data = folder();
        let before = peer.taken().len();
        let mut server = serve(data.path(), &[env[0], env[1], ("HERALD_CRASH_AT", &at)]);
        {
            let channel = Channel::from_shared(format!("http://{}", server.address)).expect("an address");
            let channel = channel.connect().await.expect("connected");
            let credentials = Credentials::user("user_a").expect("a user");
            let mut mailboxes = MailboxServiceClient::with_interceptor(channel, credentials);
            let mailbox = Some(unpaced(&peer, "anna@acme.example"));
            let create = pb::CreateMailboxRequest { mailbox, request_id: String::new() };
            mailboxes.create_mailbox(create).await.expect("created");
            let mut api = server.user("user_a").await;
            add_prospects(&mut api, LETTERS).await;
            auto_approve(&mut api).await;
            start_campaign(&mut api, &website).await;
        }
        assert!(!server.ended().await.success(), "{at}");
        dead += 1;
        let server = serve(data.path(), &env);
        let mut api = server.user("user_a").await;
        let done = reaches(&mut api, CampaignState::Completed).await;
        let request = pb::ListWorkflowEmailsRequest { page_size: 100, ..Default::default() };
        let emails = api.workflow.list_workflow_emails(request).await.expect("listed").into_inner().emails;
        let taken = peer.taken().split_off(before);
        for email in &emails {
            let times = taken.iter().filter(|taken| taken.message_id == email.message_id).count();
            match email.status() {
                EmailStatus::Sent => assert_eq!(times, 1, "{at}: {}", email.id),
                EmailStatus::Unknown => assert!(times <= 1, "{at}: {}", email.id),
                other => panic!("{at}: {other:?}"),
            }
        }
        let counts = done.emails.expect("counts");
        assert_eq!(counts.sent + counts.unknown, LETTERS as i32, "{at}");
        assert!(counts.unknown <= 1, "{at}: {} unknown", counts.unknown);
        unknown += counts.unknown;
    }
    println!("{dead} kills, {unknown} unknown");
}

/// Prospects whose addresses begin so.
async fn add_prospects_of(api: &mut Api, name: &str, count: usize) {
    let prospect = |n| pb::Prospect { email: format!("{name}{n}@{name}{n}.example"), ..Default::default() };
    let prospects = (0..count).map(prospect).collect();
    let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
    api.agent.batch_create_prospects(request).await.expect("created");
}
