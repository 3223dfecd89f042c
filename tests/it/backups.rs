//! A copy of a data folder that is in use, and what comes back of it: everything, and nothing that is sent twice.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use herald::cli::Api;
use herald::pb::{self, CampaignState, EmailStatus};
use rustix::process::Signal;

use crate::support::process::{Server, herald, serve};
use crate::support::site::{self, html};
use crate::support::{add_prospects, approve_all, eml_files, folder, newest, outbox, reaches, start_campaign};

/// `herald …` on a data folder: whether it went well, and what it said.
fn run(args: &[&str], data: &Path) -> (bool, String) {
    let output = herald().args(args).env("HERALD_DEV", "true").arg("--data-dir").arg(data).output().expect("it ends");
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8"))
}

async fn stopped(mut server: Server) {
    server.signal(Signal::TERM);
    assert!(server.ended().await.success());
}

async fn letters(api: &mut Api) -> Vec<pb::Email> {
    let list = pb::ListWorkflowEmailsRequest { page_size: 100, ..Default::default() };
    api.workflow.list_workflow_emails(list).await.expect("a list").into_inner().emails
}

async fn website() -> String {
    site::pages([("/", html("<title>Acme</title><h1>Acme tools</h1><p>We make tools for growers.</p>"))]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_approved_when_the_copy_was_made_is_not_sent_again_by_the_restored_server() {
    let (data, place) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let mut api = server.user("user_a").await;
    add_prospects(&mut api, 4).await;
    start_campaign(&mut api, &website().await).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    let written = letters(&mut api).await;
    let approve = pb::EmailReview {
        email_id: written[0].id.clone(),
        decision: pb::ReviewDecision::Approve.into(),
        ..Default::default()
    };
    let request = pb::ReviewEmailsRequest { reviews: vec![approve], ..Default::default() };
    api.workflow.review_emails(request).await.expect("approved");

    // While the server runs.
    let copy = place.path().join("copy");
    let (good, told) = run(&["backup", copy.to_str().expect("a path")], data.path());
    assert!(good && told.contains("it was read again and is good"), "{told}");
    for path in ["herald.db", "backup.json", "master.key"] {
        assert_eq!(std::fs::metadata(copy.join(path)).expect("there").permissions().mode() & 0o777, 0o600, "{path}");
    }
    assert_eq!(std::fs::metadata(&copy).expect("there").permissions().mode() & 0o777, 0o700);
    let (good, told) = run(&["backup", copy.to_str().expect("a path")], data.path());
    assert!(!good && told.contains("is there already"), "{told}");

    // After it, all are sent, and somebody unsubscribes.
    approve_all(&mut api).await;
    reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(eml_files(&outbox(data.path(), "user_a")).len(), 4);
    stopped(server).await;

    let restored = place.path().join("restored");
    let (good, told) = run(&["restore", copy.to_str().expect("a path")], &restored);
    assert!(good && told.contains("1 campaign paused; 4 e-mails held back"), "{told}");
    assert!(told.contains("suppressions that were added since") && told.contains("herald suppressions add"), "{told}");
    let (good, again) = run(&["restore", copy.to_str().expect("a path")], &restored);
    assert!(!good && again.contains("is not empty"), "{again}");

    let server = serve(&restored, &[]);
    let mut api = server.user("user_a").await;
    // Nor does the setting release it that approves everything.
    let config = pb::AgentConfig { auto_approve: true, ..Default::default() };
    let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
    api.agent.update_agent_config(request).await.expect("configured");
    let paused = newest(&mut api).await;
    assert_eq!(paused.state(), CampaignState::Paused);
    // Who did it, beside what the copy knows of: the campaign and its e-mails.
    let command = pb::ListAuditEventsRequest { method: "herald restore".to_owned(), ..Default::default() };
    let done = api.tenant.list_audit_events(command).await.expect("a list").into_inner().events;
    let ids: Vec<_> = [&paused.id].into_iter().chain(written.iter().map(|email| &email.id)).collect();
    assert_eq!((done.len(), done[0].touched_count, done[0].proof()), (1, 5, pb::Proof::Operator));
    assert_eq!((done[0].ids.iter().collect::<Vec<_>>(), done[0].seq, done[0].subject.as_str()), (ids, 4, ""));
    assert_eq!(paused.emails.expect("counts").awaiting_approval, 4);
    let held = letters(&mut api).await.remove(0);
    assert_eq!((held.id.as_str(), held.status()), (written[0].id.as_str(), EmailStatus::AwaitingApproval));
    assert!(held.note.starts_with("may have been sent since 20"), "{}", held.note);
    api.workflow.resume_workflow(pb::ResumeWorkflowRequest::default()).await.expect("resumed");
    reaches(&mut api, CampaignState::WaitingApproval).await;
    assert!(eml_files(&outbox(&restored, "user_a")).is_empty());

    // The command that the restore names.
    let mut command = herald();
    command.args([
        "suppressions",
        "add",
        "\"Person0\"@company0.example",
        "--user",
        "user_a",
        "--reason",
        "unsubscribed",
    ]);
    let output = command.args(["--server", &format!("http://{}", server.address)]).output().expect("it ends");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 suppression added"));
    approve_all(&mut api).await;
    let done = reaches(&mut api, CampaignState::Completed).await.emails.expect("counts");
    assert_eq!((done.sent, done.skipped), (3, 1));
    stopped(server).await;
    let (good, told) = run(&["check", "--deep"], &restored);
    assert!(good, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_was_sending_sends_nothing_by_itself_after_a_restore() {
    let (data, place) = (folder(), folder());
    // It dies with one letter in the middle of being sent.
    let env = [("HERALD_CRASH_AT", "engine.sending.delivered:2")];
    let mut server = serve(data.path(), &env);
    let mut api = server.user("user_a").await;
    add_prospects(&mut api, 5).await;
    start_campaign(&mut api, &website().await).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    let others = pb::ReviewDecision::Approve.into();
    let request = pb::ReviewEmailsRequest { others, ..Default::default() };
    let _ = api.workflow.review_emails(request).await;
    assert!(!server.ended().await.success(), "it was killed");
    let copy = place.path().join("copy");
    let (good, told) = run(&["backup", copy.to_str().expect("a path")], data.path());
    assert!(good, "{told}");
    let restored = place.path().join("restored");
    let (good, told) = run(&["restore", copy.to_str().expect("a path")], &restored);
    assert!(good && told.contains("1 campaign paused; 4 e-mails held back"), "{told}");
    let before = eml_files(&outbox(&restored, "user_a"));
    let server = serve(&restored, &[]);
    let mut api = server.user("user_a").await;
    api.workflow.resume_workflow(pb::ResumeWorkflowRequest::default()).await.expect("resumed");
    let waits = reaches(&mut api, CampaignState::WaitingApproval).await.emails.expect("counts");
    assert_eq!((waits.sent, waits.awaiting_approval), (1, 4));
    assert_eq!(eml_files(&outbox(&restored, "user_a")), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_changed_or_cut_short_is_not_put_back() {
    let (data, place) = (folder(), folder());
    let server = serve(data.path(), &[]);
    add_prospects(&mut server.user("user_a").await, 50).await;
    stopped(server).await;
    let copy = place.path().join("copy");
    assert!(run(&["backup", copy.to_str().expect("a path")], data.path()).0);
    let refused = |what: &str, why: &str| {
        let target = place.path().join("restored");
        let (good, told) = run(&["restore", copy.to_str().expect("a path")], &target);
        assert!(!good && told.contains(why), "{what}: {told}");
        assert!(!target.exists(), "{what}: nothing is put back");
    };
    let mut names: Vec<_> =
        std::fs::read_dir(&copy).expect("read").map(|entry| entry.expect("read").file_name()).collect();
    names.sort();
    assert_eq!(names, ["backup.json", "herald.db", "master.key", "users"], "and no file that the list does not name");
    let database = copy.join("herald.db");
    let bytes = std::fs::read(&database).expect("read");
    let mut other = bytes.clone();
    other[5_000] ^= 1;
    std::fs::write(&database, &other).expect("written");
    refused("one bit", "herald.db is not what it was");
    std::fs::write(&database, &bytes[..bytes.len() / 2]).expect("written");
    refused("cut short", "herald.db is not what it was");
    std::fs::write(&database, &bytes).expect("written");
    let list = std::fs::read_to_string(copy.join("backup.json")).expect("read");
    std::fs::write(copy.join("backup.json"), list.replace("\"master.key\"", "\"../master.key\"")).expect("written");
    refused("a path outside", "is no path below it");
    std::fs::write(copy.join("backup.json"), "{").expect("written");
    refused("a broken list", "backup.json cannot be read");
    std::fs::remove_file(copy.join("backup.json")).expect("removed");
    refused("no list", "is no whole backup");
    std::fs::write(copy.join("backup.json"), list).expect("written");
    let (good, told) = run(&["restore", copy.to_str().expect("a path")], &place.path().join("restored"));
    assert!(good, "{told}");
}

/// Each backup would hold those before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_within_the_data_folder_is_refused() {
    let data = folder();
    stopped(serve(data.path(), &[])).await;
    let around = folder();
    std::os::unix::fs::symlink(data.path(), around.path().join("link")).expect("linked");
    for to in [data.path().join("copy"), data.path().join("users/copy"), around.path().join("link/copy")] {
        let (good, told) = run(&["backup", to.to_str().expect("a path")], data.path());
        assert!(!good && told.contains("would be within the data folder") && !to.exists(), "{told}");
    }
}
