//! What the log tells, and of whom.

use std::process::Stdio;

use herald::pb::CampaignState;
use serde_json::Value;

use crate::support::process::serve_with;
use crate::support::{add_prospects, auto_approve, folder, reaches, site, start_campaign};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenant_is_logged_in_detail_and_nobody_else() {
    let data = folder();
    let log = data.path().join("log");
    let env = [("HERALD_DEBUG_TENANTS", "user_a"), ("HERALD_LOG_FORMAT", "json"), ("HERALD_LOG", "warn")];
    let file = std::fs::File::create(&log).expect("a file");
    let server = serve_with(data.path(), &env, Stdio::from(file));
    let website = site::pages([("/", site::html("<title>Acme</title>"))]).await;
    for user in ["user_a", "user_b"] {
        let mut api = server.user(user).await;
        add_prospects(&mut api, 2).await;
        auto_approve(&mut api).await;
        start_campaign(&mut api, &website).await;
        reaches(&mut api, CampaignState::Completed).await;
    }
    drop(server);
    let text = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let debug: Vec<_> = lines.iter().filter(|line| line["level"] == "DEBUG").collect();
    for message in ["rpc.answered", "turn.ended"] {
        let found = debug.iter().find(|line| line["message"] == message);
        assert_eq!(found.expect(message)["span"]["tenant"], "user_a", "{message}");
    }
    assert!(debug.iter().all(|line| line["span"]["tenant"] == "user_a"), "{text}");
    assert!(!text.contains("user_b"), "{text}");
}
