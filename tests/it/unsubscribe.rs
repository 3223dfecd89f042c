//! Unsubscribing by the link in a letter: from the letter's headers to the page in a browser, and what a stranger learns.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use herald::app::Seams;
use herald::cli::Api;
use herald::config::Config;
use herald::domain::link::Token;
use herald::pb::{self, CampaignState, SuppressionReason};
use reqwest::{Client, Method, StatusCode};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::letters::read_by_python;
use crate::support::process::{free_port, herald, serve};
use crate::support::token::Authority;
use crate::support::{
    TestApp, auto_approve, config, eml_files, folder, outbox, reaches, refused_start, seams, site, start_campaign,
};

const PUBLIC: &str = "https://mail.example.com";
/// As RFC 8058 has it.
const ONE_CLICK: &str = "List-Unsubscribe=One-Click";
const FORM: &str = "application/x-www-form-urlencoded";

/// A server whose letters have links, and the letters that its tenants have sent.
struct Office {
    app: TestApp,
    client: Client,
    /// Where links are served.
    server: String,
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: StatusCode,
    page: String,
}

// === impl Office ===

impl Office {
    async fn open() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let data = folder();
        let mut config = config(&data);
        config.server.public_url = PUBLIC.to_owned();
        change(&mut config);
        let app = TestApp::with(data, config, seams()).await;
        let server = format!("http://{}", app.address);
        Self { app, client: Client::new(), server }
    }

    /// Sends a letter to each, of a tenant; the paths of their links by address.
    async fn write_to(&self, tenant: &str, prospects: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut api = self.app.user(tenant).await;
        write_to(&mut api, prospects).await;
        links(&self.app.outbox(tenant))
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.server));
        let request = if body.is_empty() { request } else { request.header("content-type", FORM) };
        let response = request.body(body.to_owned()).send().await.expect("an answer");
        Answer { status: response.status(), page: response.text().await.expect("a text") }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "").await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(Method::POST, path, body).await
    }

    fn rows(&self) -> BTreeMap<String, Vec<String>> {
        rows(self.app.data.path())
    }
}

/// Every row of every table.
fn rows(data: &Path) -> BTreeMap<String, Vec<String>> {
    let database = rusqlite::Connection::open(data.join("herald.db")).expect("the database");
    let mut tables = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'")
        .expect("a query");
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).expect("rows").map(|name| name.expect("a name"));
    let all = |table: String| {
        let mut rows = database.prepare(&format!("SELECT * FROM {table}")).expect("a query");
        let columns = rows.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            Ok((0..columns).map(|n| format!("{:?}", row.get_ref(n).expect("a value"))).collect::<Vec<_>>().join("|"))
        };
        let rows = rows.query_map([], row).expect("rows").map(|row| row.expect("a row")).collect();
        (table, rows)
    };
    tables.map(all).collect()
}

fn change(data: &Path, text: &str) {
    let database = rusqlite::Connection::open(data.join("herald.db")).expect("the database");
    database.busy_timeout(Duration::from_secs(5)).expect("set");
    database.execute_batch(text).expect("done");
}

/// Adds prospects, each with an address and a language, and has a campaign write to them.
async fn write_to(api: &mut Api, prospects: &[(&str, &str)]) {
    let prospect = |(email, language): &(&str, &str)| pb::Prospect {
        email: (*email).to_owned(),
        language: (*language).to_owned(),
        company: "Acme".to_owned(),
        ..Default::default()
    };
    let prospects = prospects.iter().map(prospect).collect();
    let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
    api.agent.batch_create_prospects(request).await.expect("created");
    auto_approve(api).await;
    campaign(api).await;
}

/// Runs a campaign to its end.
async fn campaign(api: &mut Api) -> pb::EmailCounts {
    let website = site::pages([("/", site::company())]).await;
    start_campaign(api, &website).await;
    reaches(api, CampaignState::Completed).await.emails.expect("counts")
}

/// The paths of the links in the letters of a folder, by the address that each went to.
fn links(outbox: &Path) -> BTreeMap<String, String> {
    let of_file = |name: String| {
        let text = std::fs::read_to_string(outbox.join(name)).expect("a letter");
        let to = text.lines().find(|line| line.starts_with("To: ")).expect("a recipient");
        let to = to.rsplit([' ', '<']).next().expect("an address").trim_end_matches('>').to_owned();
        let (_, link) = text.split_once("\r\nList-Unsubscribe: <https://mail.example.com").expect("a link");
        (to, link.split('>').next().expect("its path").to_owned())
    };
    eml_files(outbox).into_iter().map(of_file).collect()
}

async fn suppressions(api: &mut Api) -> Vec<pb::Suppression> {
    let request = pb::ListSuppressionsRequest { page_size: 100, ..Default::default() };
    api.agent.list_suppressions(request).await.expect("listed").into_inner().suppressions
}

async fn suppress(api: &mut Api, suppression: pb::Suppression) {
    let request = pb::AddSuppressionsRequest { suppressions: vec![suppression], request_id: String::new() };
    api.agent.add_suppressions(request).await.expect("added");
}

async fn unsuppress(api: &mut Api, email: &str) {
    let request = pb::RemoveSuppressionRequest { email: email.to_owned() };
    api.agent.remove_suppression(request).await.expect("removed");
}

async fn audited(api: &mut Api, method: &str) -> Vec<pb::AuditEvent> {
    let request = pb::ListAuditEventsRequest { method: method.to_owned(), ..Default::default() };
    api.tenant.list_audit_events(request).await.expect("listed").into_inner().events
}

fn says(answer: &Answer, title: &str) {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert!(answer.page.contains(&format!("<h1>{title}</h1>")), "{title}: {}", answer.page);
}

/// Sends bytes as they are, and reads what is answered until the other end closes.
async fn raw(server: &str, parts: &[&[u8]], pause: Duration) -> String {
    let mut stream = TcpStream::connect(server.trim_start_matches("http://")).await.expect("connected");
    for part in parts {
        // Who was answered may be cut off.
        let _ = stream.write_all(part).await;
        tokio::time::sleep(pause).await;
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_has_its_link_on_a_line_of_its_own_before_the_address() {
    let long = format!("https://a.example/{}", "x".repeat(56));
    let office = Office::with(|config| config.server.public_url.clone_from(&long)).await;
    let mut api = office.app.user("user_a").await;
    write_to(&mut api, &[("kim@acme.example", "en"), ("lee@acme.example", "de")]).await;
    let outbox = office.app.outbox("user_a");
    let read = tokio::task::spawn_blocking(move || read_by_python(&outbox, "v=DKIM1; p=")).await.expect("no panic");
    assert_eq!(read.len(), 2);
    let mut seen = Vec::new();
    for mail in &read {
        assert_eq!(mail["defects"], Value::Array(Vec::new()), "{mail}");
        assert_eq!(mail["values"]["List-Unsubscribe-Post"], ONE_CLICK);
        let value = mail["values"]["List-Unsubscribe"].as_str().expect("a text");
        let (link, rest) = value.strip_prefix('<').and_then(|rest| rest.split_once('>')).expect("a link");
        assert_eq!(link.len(), 120, "{link}");
        assert!(rest.starts_with(", <mailto:"), "{value}");
        assert!(!value.contains("user_a"), "{value}");
        let path = link.strip_prefix("https://a.example").expect("its base");
        says(&office.get(path).await, if seen.is_empty() { "Unsubscribe" } else { "Abmelden" });
        says(&office.get(path.trim_start_matches(|c| c == '/' || c == 'x').trim_start_matches("/")).await_with_slash(), "");
        seen.push(link.to_owned());
    }
    assert_ne!(seen[0], seen[1]);
}
