//! A database of an older version is brought up to date with everything that is in it.

use herald::config::Secret;
use herald::domain::clock::SystemRandom;
use herald::pb;
use herald::store::MasterKey;
use herald::tenant::TenantId;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::support::kill::assert_whole;
use crate::support::{TestApp, add_prospects, config, folder, newest, seams};

/// What a tenant of the first version may have: two campaigns, one over, with an e-mail each.
const ROWS: &str = "
    INSERT INTO counters VALUES ('user_a', 'prospects', 2), ('user_a', 'emails', 2), ('user_a', 'campaigns', 2), ('user_b', 'prospects', 1);
    INSERT INTO agent_configs VALUES ('user_a', '{\"location\": \"Mosel\"}', 3, 7);
    INSERT INTO prospects VALUES
        ('user_a', 'pr_1', 'Anna@Example.com', 'anna@example.com', 'Acme', 'Anna', '', 'Farming', '', '', '', '', '', '[\"x\"]', '',
         'contacted', 1, 5, 1, 1, 2),
        ('user_a', 'pr_2', 'b@example.com', 'b@example.com', '例子', '', '', '', '', '', '', '', '', '[]', '',
         'discovered', 0, NULL, 2, 2, 1),
        ('user_b', 'pr_1', 'anna@example.com', 'anna@example.com', 'Other', '', '', '', '', '', '', '', '', '[]', '',
         'discovered', 0, NULL, 1, 1, 1);
    INSERT INTO campaigns (tenant_id, id, state, settings, current_step, prospect_count, seq, create_time, update_time, end_time)
    SELECT 'user_a', value ->> '$[0]', value ->> '$[1]',
        '{\"website\":\"https://example.com/\",\"goal\":\"partnerships\",\"goal_detail\":\"\",\"template_id\":\"modern_tech\",\"max_prospects\":10}',
        'email_sending', 1, 1, value ->> '$[2]', 1, value ->> '$[3]'
    FROM json_each('[[\"cp_1\", \"COMPLETED\", 1, 9], [\"cp_2\", \"CANCELLED\", 2, 9]]');
    INSERT INTO campaign_steps (tenant_id, campaign_id, step, status, progress, summary)
    SELECT 'user_a', c.value, s.value, 'completed', 100, ''
    FROM json_each('[\"cp_1\", \"cp_2\"]') c, json_each('[\"website_analysis\", \"search_strategy\", \"prospect_search\",
        \"email_generation\", \"email_review\", \"email_sending\"]') s;
    INSERT INTO campaign_prospects VALUES ('user_a', 'cp_1', 0, 'pr_1', 80, '[\"a reason\"]'), ('user_a', 'cp_2', 0, 'pr_2', 1, '[]');
    INSERT INTO emails (tenant_id, id, prospect_id, campaign_id, position, template_id, subject, body, from_name, from_address,
        to_name, to_address, unsubscribe, status, message_id, sent_time, create_time, update_time)
    VALUES
        ('user_a', 'em_1', 'pr_1', 'cp_1', 0, 'modern_tech', 'S', 'B', '', 'a@a.example', '', 'anna@example.com', 'a@a.example',
         'sent', 'm1@a.example', 5, 1, 5),
        ('user_a', 'em_2', 'pr_2', 'cp_2', 0, 'modern_tech', 'S', 'B', '', 'a@a.example', '', 'b@example.com', 'a@a.example',
         'approved', 'm2@a.example', NULL, 2, 2);
";

#[tokio::test]
async fn a_database_of_the_first_version_keeps_everything_that_is_in_it() {
    let (data, first) = (folder(), folder());
    let migration = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/0001_initial.sql");
    std::fs::copy(migration, first.path().join("0001_initial.sql")).expect("copied");
    let path = data.path().join("herald.db");
    let mut database =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.expect("a database");
    let migrator = Migrator::new(first.path()).await.expect("a migration");
    migrator.run(&mut database).await.expect("the first schema");
    let master_key = MasterKey::generate(&SystemRandom);
    for tenant in ["user_a", "user_b"] {
        let id = TenantId::parse(tenant).expect("an id");
        let insert = sqlx::query("INSERT INTO tenants (id, data_key, create_time) VALUES ($1, $2, 1)").bind(tenant);
        let insert = insert.bind(master_key.new_data_key(&id, &SystemRandom).expect("sealed"));
        insert.execute(&mut database).await.expect("a tenant");
    }
    #[expect(clippy::disallowed_methods, reason = "rows of a test")]
    sqlx::raw_sql(ROWS).execute(&mut database).await.expect("rows");
    // As servers of that version left it when they ended.
    sqlx::query("ANALYZE").execute(&mut database).await.expect("statistics");
    assert_eq!(statistics(&mut database).await, ["sqlite_stat1", "sqlite_stat4"]);
    database.close().await.expect("closed");

    let mut settings = config(&data);
    settings.master_key = Secret::new(master_key.to_base64());
    let app = TestApp::with(data, settings, seams()).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    let list = pb::ListProspectsRequest { query: "anna@example".into(), ..Default::default() };
    let found = api.agent.list_prospects(list).await.expect("a list").into_inner().prospects;
    assert_eq!((found.len(), found[0].company.as_str(), found[0].auto_reply_enabled), (1, "Acme", Some(true)));
    assert_eq!((found[0].conversion_probability, found[0].engagement()), (None, pb::Engagement::Awaiting));
    let list = pb::ListProspectsRequest { industry: "FARMING".into(), tag: "x".into(), ..Default::default() };
    assert_eq!(api.agent.list_prospects(list).await.expect("a list").into_inner().prospects.len(), 1);
    let newest = newest(&mut api).await;
    assert_eq!((newest.id.as_str(), newest.emails.expect("counts").approved), ("cp_2", 1));
    let results = pb::GetWorkflowResultsRequest { campaign_id: "cp_1".into() };
    let results = api.workflow.get_workflow_results(results).await.expect("results").into_inner();
    assert_eq!(results.prospects[0].reasons, ["a reason"]);
    let email = pb::GetEmailRequest { email_id: "em_1".into() };
    let email = api.agent.get_email(email).await.expect("there").into_inner().email.expect("an e-mail");
    assert_eq!(
        (email.status(), email.campaign_id.as_str(), email.message_id.as_str()),
        (pb::EmailStatus::Sent, "cp_1", "m1@a.example")
    );
    let config = api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.expect("there").into_inner().config;
    let config = config.expect("a configuration");
    assert!(config.location == "Mosel" && config.create_time.is_some());
    assert_whole(app.data.path()).await;
    let mut database =
        SqliteConnectOptions::new().filename(app.data.path().join("herald.db")).connect().await.expect("it");
    assert!(statistics(&mut database).await.is_empty(), "with statistics, every call plans its query anew");
}

async fn statistics(database: &mut SqliteConnection) -> Vec<String> {
    let tables = "SELECT name FROM sqlite_schema WHERE name LIKE 'sqlite_stat%' ORDER BY name";
    sqlx::query_scalar(tables).fetch_all(database).await.expect("the schema")
}
