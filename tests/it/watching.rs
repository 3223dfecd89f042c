//! WatchWorkflow: in order, without gaps, live, and the same from wherever one begins.

use std::time::{Duration, Instant};

use herald::config::Secret;
use herald::pb::watch_workflow_response::Update;
use herald::pb::{self, CampaignState};
use jsonwebtoken::Algorithm;
use serde_json::json;
use tonic::Code;

use crate::support::site::{self, Answer};
use crate::support::token::{hs, now, production};
use crate::support::{
    TestApp, add_prospects, approve_all, auto_approve, config, folder, history, outbox_mailbox, reaches, reason, seams,
    start_campaign,
};

const SECRET: &str = "a secret of at least thirty-two bytes";

fn watch(after_seq: Option<i64>) -> pb::WatchWorkflowRequest {
    pb::WatchWorkflowRequest { campaign_id: String::new(), after_seq }
}

#[tokio::test]
async fn a_watcher_gets_the_same_history_from_any_number_across_a_restart_and_when_slow() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    // More events than a tail keeps in memory.
    add_prospects(&mut api, 300).await;
    let campaign = start_campaign(&mut api, &website).await;

    // Two live watchers from the first moment: a quick one, and one that reads an event now and then.
    let mut live = Vec::new();
    for pause in [Duration::ZERO, Duration::from_millis(2)] {
        let mut stream = api.workflow.watch_workflow(watch(Some(0))).await.expect("a stream").into_inner();
        live.push(tokio::spawn(async move {
            let mut events = Vec::new();
            while let Some(message) = stream.message().await.expect("the stream ends well") {
                if let Some(Update::Event(event)) = message.update {
                    events.push(event);
                }
                tokio::time::sleep(pause).await;
            }
            events
        }));
    }
    reaches(&mut api, CampaignState::WaitingApproval).await;
    approve_all(&mut api).await;
    let done = reaches(&mut api, CampaignState::Completed).await;

    let whole = history(&mut api, &campaign.id, 0).await;
    assert_eq!(whole.len() as i64, done.last_seq);
    assert!(whole.iter().zip(1..).all(|(event, seq)| event.seq == seq), "numbered from 1 without gaps");
    for watcher in live {
        assert!(watcher.await.expect("no panic") == whole, "live watchers are told the same");
    }
    let app = app.restart().await;
    let mut api = app.user("user_a").await;
    for after in [0, 1, 7, 255, 256, 300, whole.len() - 1, whole.len()] {
        assert!(history(&mut api, &campaign.id, after as i64).await == whole[after..], "from {after}");
    }
}

#[tokio::test]
async fn a_watcher_without_a_number_gets_a_snapshot_and_the_events_after_it() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 2).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    let mut stream = api.workflow.watch_workflow(watch(None)).await.expect("a stream").into_inner();
    let first = stream.message().await.expect("a message").expect("a message").update.expect("an update");
    let Update::Snapshot(snapshot) = first else { panic!("a snapshot comes first: {first:?}") };
    assert_eq!(snapshot.state(), CampaignState::WaitingApproval);
    approve_all(&mut api).await;
    let mut next = snapshot.last_seq;
    while let Some(message) = stream.message().await.expect("the stream ends well") {
        let Some(Update::Event(event)) = message.update else { panic!("events follow") };
        next += 1;
        assert_eq!(event.seq, next);
    }
    assert_eq!(next, reaches(&mut api, CampaignState::Completed).await.last_seq);
}

#[tokio::test]
async fn a_stream_ends_at_its_age_with_stream_expired() {
    let website = site::pages([("/", Answer::Silence)]).await;
    let data = folder();
    let mut config = config(&data);
    config.server.max_stream_seconds = 1;
    let app = TestApp::with(data, config, seams()).await;
    let mut api = app.user("user_a").await;
    start_campaign(&mut api, &website).await;
    let mut stream = api.workflow.watch_workflow(watch(None)).await.expect("a stream").into_inner();
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ends with a status"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "STREAM_EXPIRED".to_owned()));
}

#[tokio::test]
async fn a_stream_that_has_nothing_to_tell_says_that_it_is_alive() {
    let website = site::pages([("/", Answer::Silence)]).await;
    let data = folder();
    let mut config = config(&data);
    config.server.heartbeat_seconds = 1;
    let app = TestApp::with(data, config, seams()).await;
    let mut api = app.user("user_a").await;
    let campaign = start_campaign(&mut api, &website).await;
    let mut stream = api.workflow.watch_workflow(watch(None)).await.expect("a stream").into_inner();
    let (mut seen, mut beats) = (Vec::new(), Vec::new());
    while beats.len() < 2 {
        match stream.message().await.expect("alive").expect("more").update.expect("an update") {
            Update::Heartbeat(_) => beats.push(Instant::now()),
            other => seen.push(other),
        }
    }
    assert!(matches!(seen.first(), Some(Update::Snapshot(_))), "{seen:?}");
    let between = beats[1] - beats[0];
    assert!(between >= Duration::from_millis(900), "one a second: {between:?}");
    // It goes on after them.
    let cancel = pb::CancelWorkflowRequest { campaign_id: campaign.id };
    api.workflow.cancel_workflow(cancel).await.expect("cancelled");
    let mut ended = false;
    while let Some(message) = stream.message().await.expect("it ends well") {
        ended |= matches!(message.update, Some(Update::Event(_)));
    }
    assert!(ended);
}

/// The token is asked for anew: what has been taken back or has run out must not be listened with for longer.
#[tokio::test]
async fn a_stream_ends_when_its_token_does() {
    let website = site::pages([("/", Answer::Silence)]).await;
    let data = folder();
    let mut config = production(config(&data));
    config.auth.hs256_secret = Secret::new(SECRET);
    config.auth.leeway_seconds = 0;
    let app = TestApp::with(data, config, seams()).await;
    let token = hs(&json!({"sub": "user_a", "exp": now() + 3}), SECRET, Algorithm::HS256);
    let mut api = app.token(&token).await;
    outbox_mailbox(&mut api, "ruth@fernwick.example").await;
    start_campaign(&mut api, &website).await;
    let mut stream = api.workflow.watch_workflow(watch(None)).await.expect("a stream").into_inner();
    let end = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ends with a status"),
                Err(status) => break status,
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(10), end).await.expect("it ends with its token");
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "STREAM_EXPIRED".to_owned()));
}

#[tokio::test]
async fn another_tenant_watching_its_own_campaign_is_told_nothing_of_this_one() {
    let website = site::pages([("/", site::company())]).await;
    let app = TestApp::start().await;
    let (mut a, mut b) = (app.user("user_a").await, app.user("user_b").await);
    for api in [&mut a, &mut b] {
        add_prospects(api, 3).await;
        auto_approve(api).await;
    }
    let (of_a, of_b) = (start_campaign(&mut a, &website).await, start_campaign(&mut b, &website).await);
    reaches(&mut a, CampaignState::Completed).await;
    reaches(&mut b, CampaignState::Completed).await;
    let emails = |events: Vec<pb::CampaignEvent>| {
        let ids = events.into_iter().filter_map(|event| match event.kind {
            Some(pb::campaign_event::Kind::EmailChanged(change)) => Some(change.email_id),
            _ => None,
        });
        ids.collect::<std::collections::HashSet<_>>()
    };
    let (a, b) = (emails(history(&mut a, &of_a.id, 0).await), emails(history(&mut b, &of_b.id, 0).await));
    assert_eq!((a.len(), b.len()), (3, 3));
    assert!(a.is_disjoint(&b));
}
