//! kill −9 where it hurts: at the boundary of every step and in the middle of sending. After a restart the campaign goes
//! on by itself, everything acknowledged is there, and nothing is sent twice. The outbox shows a mail that was handed
//! over twice as a second file.

use herald::pb::{self, CampaignState};

use crate::support::kill::{Kill, dies, killed};
use crate::support::process::serve;
use crate::support::site::{self, html};
use crate::support::{add_prospects, auto_approve, deep, eml_files, folder, history, outbox, reaches, start_campaign};

const PROSPECTS: usize = 25;

/// The crash points, and at which passing the process dies.
const POINTS: [(&str, u64); 15] = [
    ("engine.website_analysis.done", 1),
    ("engine.search_strategy.done", 1),
    ("engine.prospect_search.done", 1),
    ("engine.work_done", 1),
    ("engine.email_generation.done", 1),
    ("engine.email_review.done", 1),
    ("engine.sending.begun", 1),
    ("outbox.before_file", 1),
    ("outbox.after_file", 1),
    ("outbox.before_file", 13),
    ("outbox.after_file", 13),
    ("engine.sending.delivered", 7),
    ("engine.sending.recorded", 10),
    ("engine.sending.delivered", 25),
    ("engine.email_sending.done", 1),
];

/// Those that are passed again and again, and how often with 25 e-mails.
const AGAIN: [(&str, u64); 5] = [
    ("engine.sending.begun", 3),
    ("outbox.before_file", 25),
    ("outbox.after_file", 25),
    ("engine.sending.delivered", 25),
    ("engine.sending.recorded", 25),
];

#[tokio::test]
async fn a_campaign_survives_a_kill_at_every_crash_point_and_nothing_is_sent_twice() {
    let website = site::pages([("/", html("<title>Acme</title><h1>Acme tools</h1>"))]).await;
    // The deep run dies at every single passing.
    let everywhere = AGAIN.iter().flat_map(|(point, times)| (1..=*times).map(move |passing| (*point, passing)));
    let points = POINTS.into_iter().chain(everywhere.filter(|_| deep()));
    for (point, passing) in points {
        let data = folder();
        let at = Kill { point, passing };
        let (server, ()) = killed(data.path(), at, async |server| {
            let mut api = server.user("user_a").await;
            add_prospects(&mut api, PROSPECTS).await;
            auto_approve(&mut api).await;
            start_campaign(&mut api, &website).await;
        })
        .await;
        let mut api = server.user("user_a").await;
        let done = reaches(&mut api, CampaignState::Completed).await;
        let counts = done.emails.expect("counts");
        assert_eq!((counts.generated, counts.sent, counts.unknown), (PROSPECTS as i32, PROSPECTS as i32, 0), "{at}");
        let files = eml_files(&outbox(data.path(), "user_a"));
        assert_eq!(files.len(), PROSPECTS, "{at}: {files:?}");
        assert!(files.iter().all(|f| !f.ends_with(".2.eml")), "{at}: {files:?}");

        let events = history(&mut api, &done.id, 0).await;
        assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq), "{at}: gapless");
        assert_eq!(events.len() as i64, done.last_seq);
        let list = pb::ListProspectsRequest { page_size: 100, ..Default::default() };
        let prospects = api.agent.list_prospects(list).await.expect("a list").into_inner().prospects;
        assert!(prospects.len() == PROSPECTS && prospects.iter().all(|p| p.emails_sent == 1), "{at}");
    }
}

#[tokio::test]
async fn what_a_crash_leaves_in_the_middle_of_sending_is_settled_in_a_paused_campaign_too() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let at = Kill { point: "outbox.after_file", passing: 3 };
    dies(data.path(), at, async |server| {
        let mut api = server.user("user_a").await;
        add_prospects(&mut api, 5).await;
        auto_approve(&mut api).await;
        start_campaign(&mut api, &website).await;
    })
    .await;
    // As if the pause had come just before the crash: nothing may run again, and what was sent must be known.
    let database = format!("sqlite://{}", data.path().join("herald.db").display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&database).await.expect("the database");
    sqlx::query("UPDATE campaigns SET state = 'PAUSED', resume_to = 'RUNNING'")
        .execute(&mut connection)
        .await
        .expect("set");
    sqlx::Connection::close(connection).await.expect("closed");

    let server = serve(data.path(), &[]);
    let mut api = server.user("user_a").await;
    let paused = loop {
        let paused = reaches(&mut api, CampaignState::Paused).await;
        if paused.emails.expect("counts").sent == 3 {
            break paused;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(eml_files(&outbox(data.path(), "user_a")).len(), 3);
    let resume = pb::ResumeWorkflowRequest { campaign_id: paused.id };
    api.workflow.resume_workflow(resume).await.expect("resumed");
    reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(eml_files(&outbox(data.path(), "user_a")).len(), 5);
}
