//! A database of an older version is brought up to date with everything that is in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use herald::cli::Api;
use herald::config::Secret;
use herald::domain::clock::SystemRandom;
use herald::pb;
use herald::store::MasterKey;
use herald::tenant::TenantId;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::support::kill::assert_whole;
use crate::support::process::{herald, serve};
use crate::support::{TestApp, add_prospects, config, folder, newest, scope, seams};

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

/// A data folder whose database has the first migrations alone, and two tenants.
async fn older(migrations: usize) -> (TempDir, MasterKey, SqliteConnection) {
    let data = folder();
    let options = SqliteConnectOptions::new().filename(data.path().join("herald.db")).create_if_missing(true);
    let mut database = options.connect().await.expect("a database");
    migrate(&mut database, migrations).await;
    let master_key = MasterKey::generate(&SystemRandom);
    for tenant in ["user_a", "user_b"] {
        let id = TenantId::parse(tenant).expect("an id");
        let insert = sqlx::query("INSERT INTO tenants (id, data_key, create_time) VALUES ($1, $2, 1)").bind(tenant);
        let insert = insert.bind(master_key.new_data_key(&id, &SystemRandom).expect("sealed"));
        insert.execute(&mut database).await.expect("a tenant");
    }
    (data, master_key, database)
}

fn all_migrations() -> Vec<PathBuf> {
    let all = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite")).expect("a folder");
    let mut all: Vec<_> = all.map(|entry| entry.expect("a file").path()).collect();
    all.sort();
    all
}

/// Brings the database to the version that had so many migrations.
async fn migrate(database: &mut SqliteConnection, migrations: usize) {
    let some = folder();
    for migration in &all_migrations()[..migrations] {
        std::fs::copy(migration, some.path().join(migration.file_name().expect("a name"))).expect("copied");
    }
    let migrator = Migrator::new(some.path()).await.expect("migrations");
    migrator.run(database).await.expect("an older schema");
}

#[tokio::test]
async fn a_database_of_every_version_keeps_everything_that_is_in_it() {
    let versions = all_migrations().len();
    assert!(versions > 7);
    for version in 1..versions {
        keeps_everything(version).await;
    }
}

/// That what came with the first version, and was served by one that had so many migrations, is there.
async fn keeps_everything(migrations: usize) {
    let (data, master_key, mut database) = older(1).await;
    #[expect(clippy::disallowed_methods, reason = "rows of a test")]
    sqlx::raw_sql(ROWS).execute(&mut database).await.expect("rows");
    if migrations == 1 {
        // As servers of that version left it when they ended.
        sqlx::query("ANALYZE").execute(&mut database).await.expect("statistics");
        assert_eq!(statistics(&mut database).await, ["sqlite_stat1", "sqlite_stat4"]);
    }
    migrate(&mut database, migrations).await;
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
    let counts = api.agent.count_prospects(pb::CountProspectsRequest {}).await.expect("counts").into_inner();
    assert_eq!(counts.total_count, 3);
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

/// The configuration of a version before there were mailboxes: what is of a mailbox, and what stays.
const MAIL: &str = r#"{"location": "Mosel", "provider": "other", "sender": {"name": "Anna", "email": "anna@a.example"},
    "smtp": {"host": "mail.a.example", "port": 2525, "security": "tls", "username": "anna"},
    "controls": {"pause_on_error": true, "max_emails_per_hour": 7, "time_zone": "Europe/Berlin", "working_hours": {"start": 480, "end": 1080}}}"#;

#[tokio::test]
async fn what_stood_in_the_configuration_is_a_paused_mailbox() {
    let (data, master_key, mut database) = older(11).await;
    let insert =
        "INSERT INTO agent_configs (tenant_id, settings, revision, update_time, create_time) VALUES ($1, $2, 3, 7, 7)";
    for (tenant, settings) in [("user_a", MAIL), ("user_b", r#"{"location": "Elbe", "controls": {"time_zone": ""}}"#)] {
        sqlx::query(insert).bind(tenant).bind(settings).execute(&mut database).await.expect("a row");
    }
    let tenant = TenantId::parse("user_a").expect("an id");
    let wrapped: Vec<u8> = sqlx::query_scalar("SELECT data_key FROM tenants WHERE id = 'user_a'")
        .fetch_one(&mut database)
        .await
        .expect("a key");
    let key = master_key.unwrap_data_key(&tenant, &wrapped).expect("its key");
    let sealed = key.seal("smtp password", "s3cret", &SystemRandom).expect("sealed");
    let update = sqlx::query("UPDATE agent_configs SET smtp_password = $1 WHERE tenant_id = 'user_a'").bind(sealed);
    update.execute(&mut database).await.expect("a password");
    database.close().await.expect("closed");

    let mut settings = config(&data);
    settings.master_key = Secret::new(master_key.to_base64());
    let app = TestApp::with(data, settings, seams()).await;
    let mut api = app.user("user_a").await;
    let list = api.mailbox.list_mailboxes(pb::ListMailboxesRequest {}).await.expect("a list").into_inner().mailboxes;
    let [mailbox] = list.as_slice() else { panic!("one mailbox: {list:?}") };
    let smtp = mailbox.smtp.as_ref().expect("a server");
    assert_eq!((mailbox.address.as_str(), mailbox.state()), ("anna@a.example", pb::MailboxState::Paused));
    assert!(mailbox.pause_reason.contains("look at them, test it, then resume it"), "{}", mailbox.pause_reason);
    assert!(mailbox.pause_reason.ends_with("(of other)"), "{}", mailbox.pause_reason);
    assert_eq!((smtp.host.as_str(), smtp.port, smtp.security()), ("mail.a.example", 2525, pb::SmtpSecurity::Tls));
    assert_eq!((smtp.username.as_str(), smtp.has_password), ("anna", true));
    assert_eq!(mailbox.pace.as_ref().expect("a pace").max_emails_per_hour, Some(7));
    let calendar = mailbox.calendar.as_ref().expect("a calendar");
    let hours = calendar.hours.as_ref().expect("hours");
    let ends = [hours.start, hours.end].map(|time| time.expect("a time").hours);
    assert_eq!((calendar.time_zone.as_str(), ends), ("Europe/Berlin", [8, 18]));
    let open = herald::store::OpenMailbox { id: herald::domain::id::MailboxId::parse(&mailbox.id).expect("an id") };
    let (_, secrets) = app.ready.store.scope(&scope("user_a").await).write(open).await.expect("opened");
    assert_eq!(secrets.password, "s3cret");
    let config = api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.expect("there").into_inner().config;
    let config = config.expect("a configuration");
    assert_eq!((config.location.as_str(), config.sender.expect("a sender").name.as_str()), ("Mosel", "Anna"));
    assert!(config.controls.expect("controls").pause_on_error);
    let resume = pb::ResumeMailboxRequest { mailbox_id: mailbox.id.clone() };
    api.mailbox.resume_mailbox(resume).await.expect("it is whole");

    // Where nothing stood, nothing is made.
    let mut other = app.user("user_b").await;
    let list = other.mailbox.list_mailboxes(pb::ListMailboxesRequest {}).await.expect("a list").into_inner().mailboxes;
    assert!(list.is_empty(), "{list:?}");
}

#[tokio::test]
async fn a_mailbox_of_an_address_alone_is_resumed_once_it_has_a_server() {
    let (data, master_key, mut database) = older(11).await;
    let settings = r#"{"sender": {"email": "anna@a.example"}}"#;
    let insert = "INSERT INTO agent_configs (tenant_id, settings, revision, update_time, create_time) VALUES ('user_a', $1, 3, 7, 7)";
    sqlx::query(insert).bind(settings).execute(&mut database).await.expect("a row");
    database.close().await.expect("closed");
    let mut settings = config(&data);
    settings.master_key = Secret::new(master_key.to_base64());
    let app = TestApp::with(data, settings, seams()).await;
    let mut api = app.user("user_a").await;
    let list = api.mailbox.list_mailboxes(pb::ListMailboxesRequest {}).await.expect("a list").into_inner().mailboxes;
    let mailbox_id = list[0].id.clone();
    let resume = pb::ResumeMailboxRequest { mailbox_id: mailbox_id.clone() };
    let refused = api.mailbox.resume_mailbox(resume.clone()).await.expect_err("it has no server");
    assert!(refused.message().contains("mailbox.smtp.host"), "{refused:?}");
    let smtp = Some(pb::SmtpServer { host: "mail.a.example".into(), ..Default::default() });
    let mailbox = Some(pb::Mailbox { id: mailbox_id, smtp, ..Default::default() });
    api.mailbox.update_mailbox(pb::UpdateMailboxRequest { mailbox, update_mask: None }).await.expect("updated");
    api.mailbox.resume_mailbox(resume).await.expect("resumed");
}

async fn statistics(database: &mut SqliteConnection) -> Vec<String> {
    let tables = "SELECT name FROM sqlite_schema WHERE name LIKE 'sqlite_stat%' ORDER BY name";
    sqlx::query_scalar(tables).fetch_all(database).await.expect("the schema")
}

/// A prospect of a version that took every spelling for an address of its own.
fn prospect(n: usize, email: &str, created: usize) -> (String, String, String, usize) {
    (format!("pr_{n:06}"), email.to_owned(), email.to_lowercase(), created)
}

/// Adds them for both tenants, with suppressions of the same addresses for the second.
async fn add_older(database: &mut SqliteConnection, prospects: &[(String, String, String, usize)]) {
    let rows = serde_json::to_string(prospects).expect("JSON");
    for sql in [
        "INSERT INTO prospects (tenant_id, id, email, email_key, company, contact_name, position, industry, location,
             business_size, source, source_url, notes, tags, language, status, emails_sent, create_time, update_time, revision)
         SELECT t.id, value ->> '$[0]', value ->> '$[1]', value ->> '$[2]', '', '', '', '', '', '', '', '', '', '[]', '',
             'discovered', 0, value ->> '$[3]', 1, 1
         FROM tenants t, json_each($1)",
        "INSERT INTO suppressions (tenant_id, email_key, email, reason, source, create_time)
         SELECT 'user_b', value ->> '$[2]', value ->> '$[1]', 'manual', '', value ->> '$[3]'
         FROM json_each($1)",
    ] {
        sqlx::query(sql).bind(&rows).execute(&mut *database).await.expect("rows");
    }
}

const SPELLINGS: usize = 4;

/// The mailbox `n` as people spell it.
fn spelled(n: usize, how: usize) -> String {
    match how {
        0 => format!("kim{n}@bücher.example"),
        1 => format!("Kim{n}@XN--BCHER-KVA.example"),
        2 => format!("ｋｉｍ{n}@bu\u{308}cher.example"),
        _ => format!("kim{n}@bü\u{200b}cher.example"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spellings_of_one_mailbox_become_one_wherever_the_work_is_interrupted() {
    // 900 mailboxes, each in four spellings; which of them came first differs.
    let all: Vec<_> = (0..900 * SPELLINGS)
        .map(|n| prospect(n, &spelled(n / SPELLINGS, n % SPELLINGS), (n * 7 + n / SPELLINGS) % SPELLINGS + 1))
        .collect();
    let mut states = Vec::new();
    for crash in [None, Some("store.committed:4"), Some("store.begun:6"), Some("store.committed:9")] {
        let (data, master_key, mut database) = older(4).await;
        add_older(&mut database, &all).await;
        database.close().await.expect("closed");
        let key = master_key.to_base64();
        let env = [("HERALD_MASTER_KEY", key.as_str())];
        if let Some(at) = crash {
            let mut command = herald();
            command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
            let ended = command.envs(env).env("HERALD_CRASH_AT", at).output().expect("it ends").status;
            assert!(!ended.success() && ended.code().is_none(), "it dies at {at}: {ended}");
        }
        let server = serve(data.path(), &env);
        states.push(state(&server.user("user_b").await, &data).await);
        drop(server);
    }
    let (holders, duplicates, suppressions) = &states[0];
    assert_eq!((holders.len(), duplicates.len(), *suppressions), (900, 900 * (SPELLINGS - 1), 900));
    let mut mailboxes: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for row in &all {
        mailboxes.entry(herald::domain::address::key(&row.1)).or_default().push(row);
    }
    for (key, holder) in holders {
        let same = &mailboxes[key];
        let oldest = same.iter().min_by_key(|row| (row.3, &row.0)).expect("one");
        assert_eq!(oldest.0, *holder, "the oldest has the key");
        assert!(same.iter().filter(|row| row.0 != *holder).all(|row| duplicates[&row.0] == *holder), "{key}");
    }
    assert!(states.iter().all(|state| state == &states[0]), "an interrupted run ends as a clean one does");
}

type State = (BTreeMap<String, String>, BTreeMap<String, String>, i64);

/// Who holds which key, who is whose duplicate, and how many suppressions there are.
async fn state(api: &Api, data: &TempDir) -> State {
    let mut database = SqliteConnectOptions::new().filename(data.path().join("herald.db")).connect().await.expect("it");
    let rows = "SELECT email_key, id, duplicate_of FROM prospects WHERE tenant_id = 'user_b'";
    let rows: Vec<(String, String, Option<String>)> =
        sqlx::query_as(rows).fetch_all(&mut database).await.expect("rows");
    let suppressions = "SELECT COUNT(*) FROM suppressions";
    let suppressions: i64 = sqlx::query_scalar(suppressions).fetch_one(&mut database).await.expect("a count");
    database.close().await.expect("closed");
    let mut agent = api.agent.clone();
    for how in 0..SPELLINGS - 1 {
        let prospect = pb::Prospect { email: spelled(7, how), ..Default::default() };
        let batch = pb::BatchCreateProspectsRequest { prospects: vec![prospect], ..Default::default() };
        let made = agent.batch_create_prospects(batch).await.expect("answered").into_inner();
        assert!(made.results[0].duplicate, "{}", spelled(7, how));
    }
    let holders = rows.iter().filter(|row| row.2.is_none()).map(|row| (row.0.clone(), row.1.clone())).collect();
    let duplicates = rows.iter().filter_map(|row| Some((row.1.clone(), row.2.clone()?))).collect();
    (holders, duplicates, suppressions)
}
