//! What a person does with letters: an edit without a decision, a decision that is taken back, and what is told of a campaign
//! that was stopped on the way.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use herald::cli::Api;
use herald::connect::{ConnectError, Connectors, Delivery, Mail, WebFetch};
use herald::domain::email::Email;
use herald::pb::{self, CampaignState, EmailStatus, ReviewDecision, StepStatus};
use herald::tenant::Scope;
use tonic::Code;

use url::Url;

use crate::support::no_smtp;
use crate::support::process::{Server, herald, serve};
use crate::support::site::{self, html};
use crate::support::{
    TestApp, add_prospects, approve_all, campaign, config, folder, newest, outbox, reaches, reason, seams,
    start_campaign,
};

/// Takes so many mails, and then waits until it is opened.
#[derive(Clone)]
struct Slow {
    taken: Arc<AtomicUsize>,
    at_once: usize,
    open: Arc<AtomicBool>,
}

#[async_trait]
impl Mail for Slow {
    async fn deliver(&self, _: &Scope, _: &Email, _: Option<&Url>) -> Result<(), ConnectError> {
        while self.taken.load(Ordering::SeqCst) >= self.at_once && !self.open.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.taken.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn verify(&self, _: &Scope, _: &Email) -> Result<Delivery, ConnectError> {
        Ok(Delivery::NotDelivered)
    }
}

async fn slow(at_once: usize) -> (TestApp, Slow) {
    let data = folder();
    let settings = config(&data);
    let mail = Slow { taken: Arc::default(), at_once, open: Arc::default() };
    let mut seams = seams();
    let fetch = Arc::new(WebFetch::new(&settings.fetch).expect("a fetcher"));
    seams.connectors = Some(Connectors { fetch, mail: Arc::new(mail.clone()), smtp: no_smtp() });
    (TestApp::with(data, settings, seams).await, mail)
}

async fn emails(api: &mut Api) -> Vec<pb::Email> {
    let list = pb::ListWorkflowEmailsRequest { page_size: 100, ..Default::default() };
    api.workflow.list_workflow_emails(list).await.expect("a list").into_inner().emails
}

fn review(email: &pb::Email, decision: ReviewDecision) -> pb::EmailReview {
    pb::EmailReview { email_id: email.id.clone(), decision: decision.into(), ..Default::default() }
}

async fn decide(api: &mut Api, reviews: Vec<pb::EmailReview>) -> Result<pb::ReviewEmailsResponse, tonic::Status> {
    let request = pb::ReviewEmailsRequest { reviews, ..Default::default() };
    api.workflow.review_emails(request).await.map(tonic::Response::into_inner)
}

async fn waiting(api: &mut Api, prospects: usize) -> Vec<pb::Email> {
    let website =
        site::pages([("/", html("<title>Acme</title><h1>Acme tools</h1><p>We make tools for growers.</p>"))]).await;
    add_prospects(api, prospects).await;
    start_campaign(api, &website).await;
    reaches(api, CampaignState::WaitingApproval).await;
    emails(api).await
}

fn step(campaign: &pb::Campaign, id: pb::StepId) -> pb::CampaignStep {
    campaign.steps.iter().find(|step| step.id() == id).expect("a step").clone()
}

#[tokio::test]
async fn an_edit_is_saved_without_a_decision_and_a_decision_can_be_taken_back() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let letters = waiting(&mut api, 3).await;
    let edit = pb::EmailReview { subject: Some("Another".into()), ..review(&letters[0], ReviewDecision::Unspecified) };
    let edited = decide(&mut api, vec![edit]).await.expect("saved");
    assert_eq!((edited.approved_count, edited.rejected_count, edited.reconsidered_count), (0, 0, 0));
    let nothing = decide(&mut api, vec![review(&letters[0], ReviewDecision::Unspecified)]).await.expect_err("refused");
    assert_eq!(nothing.code(), Code::InvalidArgument);
    let now = &emails(&mut api).await[0];
    assert_eq!((now.subject.as_str(), now.status(), now.edited), ("Another", EmailStatus::AwaitingApproval, true));
    assert_eq!((now.edited_by.as_str(), now.edited_time.is_some(), now.decided_time), ("user_a", true, None));

    decide(&mut api, vec![review(&letters[0], ReviewDecision::Reject)]).await.expect("rejected");
    let now = &emails(&mut api).await[0];
    assert_eq!((now.decided_by.as_str(), now.decided_time.is_some()), ("user_a", true));
    let back = decide(&mut api, vec![review(&letters[0], ReviewDecision::Reconsider)]).await.expect("taken back");
    assert_eq!(back.reconsidered_count, 1);
    let now = &emails(&mut api).await[0];
    assert_eq!((now.status(), now.decided_by.as_str(), now.decided_time), (EmailStatus::AwaitingApproval, "", None));
    let twice = decide(&mut api, vec![review(&letters[0], ReviewDecision::Reconsider)]).await.expect_err("refused");
    assert_eq!(reason(&twice), "EMAIL_STATE");
    approve_all(&mut api).await;
    let done = reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(done.emails.expect("counts").sent, 3);
    assert!(emails(&mut api).await.iter().all(|email| email.decided_by == "user_a"));
    let late = decide(&mut api, vec![review(&letters[0], ReviewDecision::Reconsider)]).await.expect_err("it is sent");
    assert_eq!(reason(&late), "NO_CAMPAIGN", "none is live");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_back_while_the_campaign_sends_is_waited_for_after_the_others() {
    let (app, mail) = slow(2).await;
    let mut api = app.user("user_a").await;
    let letters = waiting(&mut api, 6).await;
    approve_all(&mut api).await;
    while mail.taken.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Two are sent, the third is being sent, the last has not begun.
    let sent = decide(&mut api, vec![review(&letters[0], ReviewDecision::Reconsider)]).await.expect_err("it is sent");
    assert_eq!(reason(&sent), "EMAIL_STATE");
    assert_eq!(sent.message(), "an e-mail is sent already; nothing of this review was done");
    let mixed = vec![review(&letters[5], ReviewDecision::Reconsider), review(&letters[4], ReviewDecision::Approve)];
    assert_eq!(reason(&decide(&mut api, mixed).await.expect_err("it does not wait")), "CAMPAIGN_STATE");
    let back = decide(&mut api, vec![review(&letters[5], ReviewDecision::Reconsider)]).await.expect("taken back");
    assert_eq!(back.campaign.as_ref().expect("a campaign").state(), CampaignState::Running);
    mail.open.store(true, Ordering::SeqCst);
    let waits = reaches(&mut api, CampaignState::WaitingApproval).await;
    let counts = waits.emails.expect("counts");
    assert_eq!((counts.sent, counts.awaiting_approval), (5, 1));
    decide(&mut api, vec![review(&letters[5], ReviewDecision::Approve)]).await.expect("approved");
    let done = reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(done.emails.expect("counts").sent, 6);
    assert_eq!(
        step(&done, pb::StepId::EmailReview).summary,
        "6 approved, 0 rejected",
        "those that were sent before, too"
    );
    assert_eq!(mail.taken.load(Ordering::SeqCst), 6, "nothing was sent twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_is_stopped_on_the_way_says_how_far_it_came() {
    let (app, mail) = slow(3).await;
    let mut api = app.user("user_a").await;
    waiting(&mut api, 8).await;
    approve_all(&mut api).await;
    while mail.taken.load(Ordering::SeqCst) < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pause = api.workflow.pause_workflow(pb::PauseWorkflowRequest::default()).await.expect("paused").into_inner();
    let sending = step(&campaign(pause.campaign), pb::StepId::EmailSending);
    assert_eq!(sending.status(), StepStatus::InProgress);
    assert!(sending.summary.starts_with("paused: 3 sent, 5 approved and not sent"), "{}", sending.summary);
    mail.open.store(true, Ordering::SeqCst);
    // The one that was being sent is sent, and told.
    while !step(&newest(&mut api).await, pb::StepId::EmailSending).summary.contains("4 sent, 4 approved") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let cancel =
        api.workflow.cancel_workflow(pb::CancelWorkflowRequest::default()).await.expect("cancelled").into_inner();
    let cancelled = campaign(cancel.campaign);
    let sending = step(&cancelled, pb::StepId::EmailSending);
    assert_eq!(sending.status(), StepStatus::Cancelled, "not skipped");
    assert_eq!(sending.summary, "cancelled: 4 sent, 4 approved and not sent");
    let results = pb::GetWorkflowResultsRequest::default();
    let results = api.workflow.get_workflow_results(results).await.expect("results").into_inner();
    assert_eq!(step(&campaign(results.campaign), pb::StepId::EmailSending), sending);
}

/// `herald campaign …` as the user, with standard input.
fn run(server: &Server, args: &[&str], input: &str) -> (bool, String) {
    let mut command = herald();
    command.arg("campaign").args(args).args(["--user", "user_a", "--server", &format!("http://{}", server.address)]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_shown_and_decided_on_by_hand() {
    let data = folder();
    let server = serve(data.path(), &[]);
    let mut api = server.user("user_a").await;
    let letters = waiting(&mut api, 3).await;
    let ids: Vec<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();

    let (good, list) = run(&server, &["emails"], "");
    assert!(good && ids.iter().all(|id| list.contains(id)) && list.contains("awaiting-approval"), "{list}");
    let (good, one) = run(&server, &["emails", ids[0]], "");
    assert!(good && one.contains("Subject: ") && one.contains("Kind regards"), "{one}");
    let (good, none) = run(&server, &["emails", "--status", "sent"], "");
    assert!(good && none == "no e-mails\n", "{none}");

    let (good, told) = run(&server, &["review"], "");
    assert!(!good && told.contains("no terminal"), "{told}");
    let (good, told) = run(&server, &["review", ids[0]], "");
    assert!(!good && told.contains("--approve"), "{told}");
    let (good, told) = run(&server, &["review", "--approve"], "");
    assert!(!good && told.contains("name the letters"), "{told}");

    let (good, told) =
        run(&server, &["review", ids[0], "--subject", "By hand", "--body", "-"], "Good day,\n\nby hand.\n");
    assert!(good && told.contains("3 left to decide"), "{told}");
    let (good, told) = run(&server, &["review", ids[1], "--reject"], "");
    assert!(good && told.contains("1 rejected, 2 left to decide"), "{told}");
    let (good, told) = run(&server, &["review", ids[1], "--reconsider"], "");
    assert!(good && told.contains("1 taken back, 3 left to decide"), "{told}");

    // On a terminal each is asked about; the editor adds a line to the second.
    const SCRIPT: &str = r#"
import os, pty, sys
answers, seen = iter([b"x\n", b"a\n", b"e\n", b"a\n", b"?\n", b"r\n"]), b""
def read(fd):
    global seen
    data = os.read(fd, 65536)
    seen += data
    while b"(q)uit?" in seen:
        seen = seen.split(b"(q)uit?", 1)[1]
        os.write(fd, next(answers))
    return data
os.environ["EDITOR"] = "printf 'Edited.\\n' >>"
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], read)))
"#;
    let program = herald();
    let mut python = std::process::Command::new("python3");
    python.args(["-c", SCRIPT]).arg(program.get_program()).args(["campaign", "review", "--user", "user_a", "--server"]);
    let output = python.arg(format!("http://{}", server.address)).stdin(Stdio::null()).output().expect("python3");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("2 approved, 1 rejected, 1 changed, 0 left to decide"), "{told}");
    assert_eq!(told.matches("a sends it, r keeps it from being sent").count(), 2, "{told}");
    reaches(&mut api, CampaignState::Completed).await;
    let sent = outbox(data.path(), "user_a");
    let first = std::fs::read_to_string(sent.join(format!("{}.eml", ids[0]))).expect("sent");
    assert!(first.contains("Subject: By hand\r\n") && first.contains("by hand."), "{first}");
    let second = std::fs::read_to_string(sent.join(format!("{}.eml", ids[1]))).expect("sent");
    assert!(second.contains("Edited."), "{second}");
    assert!(!sent.join(format!("{}.eml", ids[2])).exists(), "it was rejected");
}

/// What nobody decided on before the end is not listed as if somebody still could.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_a_cancelled_campaign_are_listed_as_such() {
    let data = folder();
    let server = serve(data.path(), &[]);
    let mut api = server.user("user_a").await;
    waiting(&mut api, 2).await;
    assert!(!run(&server, &["emails"], "").1.contains("cancelled"));
    assert!(run(&server, &["cancel"], "").0);
    let (good, list) = run(&server, &["emails"], "");
    assert!(good && list.matches("awaiting-approval (cancelled)").count() == 2, "{list}");
    let (good, list) = run(&server, &["recipients"], "");
    assert!(good && list.matches("awaiting-approval (cancelled)").count() == 2, "{list}");
}
