//! Answers that are kept are those that the rows would give: the same programs give the same answers with the cache on and
//! off, and beside writers nobody reads what is older than an answered write, or goes back to what was before.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use futures_util::future::join_all;
use herald::app::Seams;
use herald::cli::Api;
use herald::pb;
use tonic::{Response, Status};

use crate::support::{Seeded, TestApp, TestClock, config, deep, folder, seams, seeds};

const TENANTS: [&str; 3] = ["user_a", "user_b", "user_c"];

/// A server whose times and ids are the same for the same calls.
async fn server(cache: u64, seed: u64) -> TestApp {
    let data = folder();
    let mut settings = config(&data);
    settings.read_cache.memory_bytes = cache;
    let seams =
        Seams { clock: Arc::new(TestClock::new()), random: Arc::new(Seeded::new(seed)), run_engine: false, ..seams() };
    TestApp::with(data, settings, seams).await
}

/// What a call gives, in bytes.
fn words<M: prost::Message>(answer: Result<Response<M>, Status>) -> Vec<u8> {
    match answer {
        Ok(answer) => answer.into_inner().encode_to_vec(),
        Err(status) => format!("{:?} {}", status.code(), status.message()).into_bytes(),
    }
}

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() })
}

/// Runs a program of calls for three tenants in turn; what each was answered. Reads come more than once, and each tenant
/// asks for the others' prospects too.
async fn program(app: &TestApp, seed: u64, calls: usize) -> Vec<Vec<u8>> {
    let draws = Seeded::new(seed);
    let mut apis = Vec::new();
    for tenant in TENANTS {
        apis.push(app.user(tenant).await);
    }
    let mut ids: Vec<String> = Vec::new();
    let mut answers = Vec::new();
    for n in 0..calls {
        let agent = &mut apis[draws.below(TENANTS.len())].agent;
        let id = if ids.is_empty() { "pr_none".to_owned() } else { ids[draws.below(ids.len())].clone() };
        let answer = match draws.below(18) {
            0 | 1 => {
                let prospect = |n: usize| pb::Prospect {
                    email: format!("p{n}@example.com"),
                    priority_score: n as i32 % 7,
                    tags: vec!["one".to_owned()],
                    ..Default::default()
                };
                let prospects = (0..=draws.below(3)).map(|more| prospect(draws.below(40) + more)).collect();
                let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
                let answer = agent.batch_create_prospects(request).await;
                if let Ok(created) = &answer {
                    ids.extend(created.get_ref().results.iter().map(|result| result.prospect_id.clone()));
                }
                words(answer)
            }
            2 | 3 => {
                let prospect = pb::Prospect {
                    id,
                    notes: format!("note {n}"),
                    priority_score: draws.below(7) as i32,
                    ..Default::default()
                };
                let update_mask = mask(&["notes", "priority_score"]);
                words(agent.update_prospect(pb::UpdateProspectRequest { prospect: Some(prospect), update_mask }).await)
            }
            4 => words(agent.delete_prospect(pb::DeleteProspectRequest { prospect_id: id, etag: String::new() }).await),
            5 => words(
                agent.undelete_prospect(pb::UndeleteProspectRequest { prospect_id: id, etag: String::new() }).await,
            ),
            6 => {
                let request = pb::RecordReplyRequest {
                    prospect_id: id,
                    body: if draws.below(2) == 0 { "Yes, please call me" } else { "Please stop writing to me" }
                        .to_owned(),
                    ..Default::default()
                };
                words(agent.record_reply(request).await)
            }
            7 => {
                let config = pb::AgentConfig { goal_detail: format!("detail {n}"), ..Default::default() };
                let request =
                    pb::UpdateAgentConfigRequest { config: Some(config), update_mask: mask(&["goal_detail"]) };
                words(agent.update_agent_config(request).await)
            }
            8 if draws.below(6) == 0 => {
                words(agent.reset_agent(pb::ResetAgentRequest { scope: pb::ResetScope::Everything.into() }).await)
            }
            8 | 9 => words(agent.get_agent_config(pb::GetAgentConfigRequest {}).await),
            10 => words(
                agent
                    .list_prospect_emails(pb::ListProspectEmailsRequest { prospect_id: id, ..Default::default() })
                    .await,
            ),
            11..=13 => {
                let request = pb::ListProspectsRequest {
                    page_size: draws.below(4) as i32,
                    order_by: ["", "priority_score desc"][draws.below(2)].to_owned(),
                    show_deleted: draws.below(3) == 0,
                    view: draws.below(3) as i32,
                    ..Default::default()
                };
                words(agent.list_prospects(request).await)
            }
            _ => {
                let view = draws.below(3) as i32;
                words(agent.get_prospect(pb::GetProspectRequest { prospect_id: id, view }).await)
            }
        };
        answers.push(answer);
    }
    answers
}

#[tokio::test]
async fn the_same_calls_give_the_same_answers_with_the_cache_on_and_off() {
    for seed in seeds(if deep() { 500 } else { 8 }) {
        let (on, off) = (server(64 * 1024 * 1024, seed).await, server(0, seed).await);
        let (with, without) = (program(&on, seed, 400).await, program(&off, seed, 400).await);
        for (n, (with, without)) in with.iter().zip(&without).enumerate() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(text(with), text(without), "seed {seed}, call {n}");
        }
        let rows = without.iter().filter(|answer| answer.len() > 200).count();
        assert!(rows > 20, "seed {seed}: the program reads something: {rows}");
    }
}

/// A prospect whose notes are counted up: what was sent, and what was answered.
struct Row {
    id: String,
    sent: AtomicI32,
    answered: AtomicI32,
}

fn count(prospect: &pb::Prospect) -> i32 {
    prospect.notes.parse().unwrap_or_default()
}

/// Reads the row, by itself or in the list.
async fn read(api: &mut Api, row: &Row, listed: bool) -> i32 {
    if !listed {
        let request = pb::GetProspectRequest { prospect_id: row.id.clone(), view: pb::ProspectView::Full.into() };
        let answer = api.agent.get_prospect(request).await.expect("there").into_inner();
        return count(&answer.prospect.expect("a prospect"));
    }
    let request = pb::ListProspectsRequest { view: pb::ProspectView::Full.into(), ..Default::default() };
    let answer = api.agent.list_prospects(request).await.expect("a list").into_inner();
    count(answer.prospects.iter().find(|prospect| prospect.id == row.id).expect("it is in the list"))
}

/// Each tenant counts up the notes of its rows while others of the tenant read them. What is read is at least what was
/// answered before the reading began, at least what the same reader saw before, and at most what was sent.
async fn counted(cache: u64, writes: i32) {
    let data = folder();
    let mut settings = config(&data);
    settings.read_cache.memory_bytes = cache;
    let app = TestApp::with(data, settings, Seams { run_engine: false, ..seams() }).await;
    let app = &app;
    join_all(TENANTS.map(|tenant| async move {
        let mut writer = app.user(tenant).await;
        let ids = crate::support::add_prospects(&mut writer, 4).await;
        let rows: Vec<_> =
            ids.into_iter().map(|id| Row { id, sent: AtomicI32::new(0), answered: AtomicI32::new(0) }).collect();
        let (rows, draws) = (&rows, &Seeded::new(1));
        let write = async {
            for n in 1..=writes {
                let row = &rows[draws.below(rows.len())];
                row.sent.store(n, Ordering::SeqCst);
                let prospect = pb::Prospect { id: row.id.clone(), notes: n.to_string(), ..Default::default() };
                let request = pb::UpdateProspectRequest { prospect: Some(prospect), update_mask: mask(&["notes"]) };
                writer.agent.update_prospect(request).await.expect("updated");
                row.answered.store(n, Ordering::SeqCst);
            }
        };
        let readers = (0..3).map(|_| async {
            let mut api = app.user(tenant).await;
            let mut seen = vec![0; rows.len()];
            let mut reads = 0;
            while rows.iter().map(|row| row.answered.load(Ordering::SeqCst)).max() < Some(writes) {
                let n = draws.below(rows.len());
                let least = rows[n].answered.load(Ordering::SeqCst).max(seen[n]);
                let found = read(&mut api, &rows[n], draws.below(3) == 0).await;
                let most = rows[n].sent.load(Ordering::SeqCst);
                assert!((least..=most).contains(&found), "{tenant} reads {found}, not {least} to {most}");
                seen[n] = found;
                reads += 1;
            }
            reads
        });
        let ((), reads) = futures_util::join!(write, join_all(readers));
        assert!(reads.iter().sum::<i32>() > 0);
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_writers_nobody_reads_what_is_older_than_an_answered_write() {
    let writes = if deep() { 5_000 } else { 300 };
    counted(64 * 1024 * 1024, writes).await;
    counted(0, writes).await;
}

/// The bytes of a call, on the wire: two methods may be asked with the same bytes, and so may two tenants.
#[tokio::test]
async fn what_is_kept_is_kept_for_one_tenant_and_one_method() {
    let app = TestApp::start().await;
    let (mut a, mut b) = (app.user("user_a").await, app.user("user_b").await);
    crate::support::add_prospects(&mut a, 2).await;
    for _ in 0..2 {
        let list = |answer: Response<pb::ListProspectsResponse>| answer.into_inner().prospects.len();
        assert_eq!(list(a.agent.list_prospects(pb::ListProspectsRequest::default()).await.expect("a list")), 2);
        assert_eq!(list(b.agent.list_prospects(pb::ListProspectsRequest::default()).await.expect("a list")), 0);
        let config = a.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.expect("a configuration");
        assert!(config.metadata().get("x-tenant-id").is_some_and(|tenant| tenant == "user_a"));
        assert!(config.into_inner().config.is_some());
    }
}

/// A request that is larger than what is looked at, or not one of the method's, is the service's to answer.
#[tokio::test]
async fn odd_requests_are_answered_as_without_the_cache() {
    let (on, off) = (server(64 * 1024 * 1024, 1).await, server(0, 1).await);
    for app in [&on, &off] {
        crate::support::add_prospects(&mut app.user("user_a").await, 1).await;
    }
    let long = pb::ListProspectsRequest { query: "x".repeat(10_000), ..Default::default() };
    let tag = pb::ListProspectsRequest { tag: "y".repeat(150), ..Default::default() };
    for request in [long, tag] {
        let mut answers = Vec::new();
        for app in [&on, &on, &off] {
            let mut api = app.user("user_a").await;
            answers.push(words(api.agent.list_prospects(request.clone()).await));
        }
        assert!(answers.iter().all(|answer| *answer == answers[2]), "{answers:?}");
    }
}
