//! A page that kills the process whatever bounds there are: it may do so a few times, and then never again; and nobody else is
//! taken for its owner.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use herald::pb::{self, CampaignState};
use sqlx::{Connection as _, Row as _};

use super::ALONE;
use crate::support::process::{Server, serve};
use crate::support::site::{self, Answer};
use crate::support::{add_prospects, auto_approve, folder, newest, start_campaign};

const POISON: (&str, &str) = ("HERALD_CRASH_ON", "/poison");
/// After so many deaths it would never end.
const MOST_DEATHS: u32 = 8;

/// What the database has on each tenant's campaign: how it stands with it, and its lone deaths.
async fn suspicions(data: &Path) -> Vec<(String, i64, i64)> {
    let url = format!("sqlite://{}?mode=ro", data.join("herald.db").display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.expect("the database");
    let query = "SELECT tenant_id, suspicion, deaths FROM campaigns ORDER BY tenant_id";
    let rows = sqlx::query(query).fetch_all(&mut database).await.expect("campaigns");
    let rows = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    database.close().await.expect("closed");
    rows
}

async fn start(server: &Server, user: &str, website: &str) {
    let mut api = server.user(user).await;
    add_prospects(&mut api, 1).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, website).await;
}

/// The newest campaign of each user, if the server is there.
async fn states(server: &Server, users: &[&str]) -> Option<Vec<pb::Campaign>> {
    let mut states = Vec::new();
    for user in users {
        let mut api = server.user_if_there(user).await?;
        let request = pb::GetWorkflowRequest::default();
        states.push(api.workflow.get_workflow(request).await.ok()?.into_inner().campaign?);
    }
    Some(states)
}

/// Starts the server as often as it dies, until every user's campaign has ended; how often it died.
async fn until_ended(server: &mut Server, data: &Path, users: &[&str]) -> (u32, Vec<pb::Campaign>) {
    let (mut deaths, begun) = (0, Instant::now());
    loop {
        if let Some(status) = server.has_ended() {
            assert_eq!(status.signal(), Some(9), "it dies of the poison alone: {status}");
            deaths += 1;
            assert!(deaths <= MOST_DEATHS, "it dies again and again: {:?}", suspicions(data).await);
            *server = serve(data, &[POISON]);
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{deaths} deaths, {:?}", suspicions(data).await);
        let ended =
            |campaign: &pb::Campaign| matches!(campaign.state(), CampaignState::Completed | CampaignState::Failed);
        match states(server, users).await {
            Some(states) if states.iter().all(ended) => return (deaths, states),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_kills_the_process_does_so_three_times_alone_and_blames_nobody_else() {
    let _alone = ALONE.lock().await;
    let page = || b"<title>Acme</title><h1>Acme tools</h1><p>We make tools.</p>".to_vec();
    let website = site::pages([
        ("/", Answer::Slow(Duration::from_secs(1), page())),
        ("/poison", Answer::Slow(Duration::from_millis(500), page())),
    ])
    .await;
    let poison = format!("{website}poison");
    let data = folder();
    let mut server = serve(data.path(), &[POISON]);
    let others = ["other_a", "other_b", "other_c"];
    for user in others {
        start(&server, user, &website).await;
    }
    start(&server, "attacker", &poison).await;
    let all = ["attacker", "other_a", "other_b", "other_c"];
    let (deaths, states) = until_ended(&mut server, data.path(), &all).await;
    let told = suspicions(data.path()).await;
    println!("{deaths} deaths, {told:?}");
    assert_eq!(states[0].state(), CampaignState::Failed, "{:#?}", states[0]);
    assert!(states[0].failure.contains("three times"), "{}", states[0].failure);
    for (user, campaign) in others.iter().zip(&states[1..]) {
        assert_eq!(campaign.state(), CampaignState::Completed, "{user}: {}", campaign.failure);
        assert_eq!(campaign.emails.expect("counts").sent, 1, "{user}");
    }
    // The first may have been anybody's of those who read; then there are three of its own.
    assert_eq!(deaths, 4, "{told:?}");
    assert!(told.iter().all(|(tenant, _, deaths)| tenant == "attacker" || *deaths == 0), "{told:?}");

    // Whoever resumes it has one more try, alone.
    let resume = async |server: &Server| {
        let mut api = server.user("attacker").await;
        let campaign_id = newest(&mut api).await.id;
        api.workflow.resume_workflow(pb::ResumeWorkflowRequest { campaign_id }).await.map(|_| ())
    };
    resume(&server).await.expect("resumed");
    let (deaths, states) = until_ended(&mut server, data.path(), &["attacker"]).await;
    assert_eq!((deaths, states[0].state()), (1, CampaignState::Failed), "{}", states[0].failure);
    assert!(states[0].failure.contains("three times"), "{}", states[0].failure);

    // Without the poison it is an ordinary page.
    server.signal(rustix::process::Signal::TERM);
    server.ended().await;
    server = serve(data.path(), &[]);
    resume(&server).await.expect("resumed");
    let (deaths, states) = until_ended(&mut server, data.path(), &["attacker"]).await;
    assert_eq!((deaths, states[0].state()), (0, CampaignState::Completed), "{}", states[0].failure);
}

/// Whoever reads when the server is stopped is no suspect, and nobody has to read alone after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_a_campaign_reads_makes_it_no_suspect() {
    let _alone = ALONE.lock().await;
    let page = b"<title>Acme</title><h1>Acme tools</h1>".to_vec();
    let website = site::pages([("/", Answer::Slow(Duration::from_secs(2), page))]).await;
    let data = folder();
    let mut server = serve(data.path(), &[]);
    for user in ["user_a", "user_b"] {
        start(&server, user, &website).await;
    }
    let mut noted = Vec::new();
    for _ in 0..100 {
        noted = suspicions(data.path()).await;
        if noted.iter().all(|(_, suspicion, _)| *suspicion == 1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(noted.iter().all(|(_, suspicion, _)| *suspicion == 1), "that they read is noted: {noted:?}");
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().await.success());
    let told = suspicions(data.path()).await;
    assert!(told.iter().all(|(_, suspicion, deaths)| (*suspicion, *deaths) == (0, 0)), "{told:?}");
    let mut server = serve(data.path(), &[]);
    let (deaths, states) = until_ended(&mut server, data.path(), &["user_a", "user_b"]).await;
    assert_eq!(deaths, 0);
    assert!(states.iter().all(|campaign| campaign.state() == CampaignState::Completed), "{states:#?}");
}
