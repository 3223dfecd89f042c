//! Unsubscribing by the link in a letter: from the letter's headers to the page in a browser, and what a stranger learns.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
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
    TestApp, auto_approve, config, eml_files, folder, outbox, outbox_mailbox, reaches, seams, site, start_campaign,
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
        self.rests().await;
        links(&self.app.outbox(tenant))
    }

    /// Waits until the engine has given back the campaigns that have ended, which changes their rows once more.
    async fn rests(&self) {
        let database = rusqlite::Connection::open(self.app.data.path().join("herald.db")).expect("the database");
        let held = "SELECT COUNT(*) FROM campaigns WHERE lease_owner IS NOT NULL";
        for _ in 0..1_000 {
            let held: i64 = database.query_row(held, [], |row| row.get(0)).expect("a count");
            if held == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the engine holds on to a campaign that has ended");
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
        assert!(office.get(path).await.status.is_success(), "{path}");
        // A proxy may leave the public URL's path as it is, or take it away.
        assert!(office.get(path.trim_start_matches("/x").trim_start_matches('x')).await.status.is_success());
        seen.push(link.to_owned());
    }
    assert_ne!(seen[0], seen[1]);
}

/// Scanners of mail servers open every link, some as a browser does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_changes_nothing_and_tells_browsers_to_keep_it_to_themselves() {
    let office = Office::open().await;
    let links = office.write_to("user_a", &[("kim@acme.example", "en")]).await;
    let path = &links["kim@acme.example"];
    let before = office.rows();
    for agent in ["Mozilla/5.0 (compatible; Googlebot/2.1)", "curl/8", "Barracuda Sentinel", ""] {
        for method in [Method::GET, Method::HEAD] {
            let request = office.client.request(method.clone(), format!("{}{path}", office.server));
            let response = request.header("user-agent", agent).send().await.expect("an answer");
            assert_eq!(response.status(), StatusCode::OK);
            let header = |name: &str| response.headers()[name].to_str().expect("a text").to_owned();
            assert_eq!(header("cache-control"), "no-store");
            assert_eq!(header("referrer-policy"), "no-referrer");
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("x-robots-tag"), "noindex, nofollow");
            assert_eq!(header("content-type"), "text/html; charset=utf-8");
            let policy = header("content-security-policy");
            for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "style-src 'sha256-"] {
                assert!(policy.contains(part), "{policy}");
            }
            assert!(!response.headers().contains_key("set-cookie"));
            let page = response.text().await.expect("a text");
            if method == Method::HEAD {
                assert_eq!(page, "");
                continue;
            }
            assert!(page.contains("k…@acme.example") && !page.contains("kim"), "{page}");
            assert!(!page.contains("<script") && !page.contains("action="), "{page}");
        }
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
        let request = office.client.request(method.clone(), format!("{}{path}", office.server));
        // As a browser asks before it lets a page of elsewhere call.
        let request = request.header("origin", "http://localhost:3000").header("access-control-request-method", "POST");
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()["allow"], "GET, HEAD, POST");
        assert!(!response.headers().contains_key("access-control-allow-origin"), "{method}");
    }
    assert_eq!(office.rows(), before, "nothing has changed");
    // A question behind the token is no part of it; over HTTP/2 it is the same page.
    assert!(office.get(&format!("{path}?utm_source=x")).await.status.is_success());
    let h2 = Client::builder().http2_prior_knowledge().build().expect("a client");
    let page =
        h2.get(format!("{}{path}", office.server)).send().await.expect("an answer").text().await.expect("a text");
    assert_eq!(page, office.get(path).await.page);
    assert_eq!(office.rows(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_suppresses_at_once_and_for_good_by_hand_and_by_a_mail_program() {
    let office = Office::open().await;
    let people = ["a", "b", "c", "d"].map(|name| format!("{name}@acme.example"));
    let people: Vec<_> = people.iter().map(|email| (email.as_str(), "en")).collect();
    let links = office.write_to("user_a", &people).await;
    let mut api = office.app.user("user_a").await;
    // By the button of the page.
    says(&office.post(&links["a@acme.example"], "").await, "You are unsubscribed");
    let found = suppressions(&mut api).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].email.as_str(), found[0].reason()), ("a@acme.example", SuppressionReason::Unsubscribed));
    assert!(found[0].source.starts_with("the link in em_"), "{}", found[0].source);
    // By RFC 8058, byte by byte: section 3.2, and with the form that it recommends.
    let boundary = "---FormBoundaryjWmhtjORrn";
    let multipart = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--{boundary}--\r\n"
    );
    let kinds = [
        ("b@acme.example", FORM.to_owned(), ONE_CLICK.to_owned()),
        ("c@acme.example", format!("multipart/form-data; boundary={boundary}"), multipart),
    ];
    for (email, kind, body) in kinds {
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: mail.example.com\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            links[email],
            body.len()
        );
        let answer = raw(&office.server, &[request.as_bytes()], Duration::ZERO).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(!answer.to_lowercase().contains("\r\nlocation:") && !answer.contains("\r\nset-cookie"), "{answer}");
        assert!(suppressions(&mut api).await.iter().any(|found| found.email == email), "{email}");
    }
    // Twice is once, and says the same.
    let (once, log) = (office.rows(), audited(&mut api, "").await);
    for path in ["a", "b", "c"].map(|name| &links[&format!("{name}@acme.example")]) {
        let first = office.post(path, ONE_CLICK).await;
        says(&first, "You are unsubscribed");
        assert_eq!((office.post(path, "").await, office.get(path).await), (Answer { ..first }, office.get(path).await));
    }
    assert_eq!((office.rows(), audited(&mut api, "").await), (once, log.clone()));
    let events = audited(&mut api, "unsubscribe").await;
    assert_eq!(events.len(), 3);
    for event in &events {
        assert_eq!((event.proof(), event.role(), event.subject.as_str()), (pb::Proof::Link, pb::Role::Unspecified, ""));
        assert_eq!((event.touched_count, event.ids.len()), (1, 1));
        assert!(event.ids[0].starts_with("em_") && !format!("{event:?}").contains('@'), "{event:?}");
    }
    // Whoever has unsubscribed is written to no more.
    assert_eq!(campaign(&mut api).await.sent, 1);

    // Taken back, once and again.
    let path = &links["a@acme.example"];
    for _ in 0..2 {
        says(&office.post(path, "undo=1").await, "Undone");
        assert!(suppressions(&mut api).await.iter().all(|found| found.email != "a@acme.example"));
    }
    assert_eq!(audited(&mut api, "undo unsubscribe").await.len(), 1);
    says(&office.get(path).await, "Unsubscribe");
    assert_eq!(campaign(&mut api).await.sent, 2);
    office.rests().await;
    says(&office.post(path, ONE_CLICK).await, "You are unsubscribed");
    assert_eq!(suppressions(&mut api).await.len(), 3);
    // Not without end: each adds to the audit log.
    for _ in 0..15 {
        office.post(path, "undo=1").await;
        says(&office.post(path, "").await, "You are unsubscribed");
    }
    assert_eq!(audited(&mut api, "undo unsubscribe").await.len(), 10);
    let last = office.post(path, "undo=1").await;
    says(&last, "You are unsubscribed");
    assert!(!last.page.contains("<form"), "{}", last.page);
    assert_eq!(suppressions(&mut api).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_takes_back_what_this_link_has_done_and_nothing_else() {
    let office = Office::open().await;
    let kim = "kim@acme.example";
    let first = office.write_to("user_a", &[(kim, "en")]).await[kim].clone();
    let mut api = office.app.user("user_a").await;
    let one = |reason: SuppressionReason, source: &str| pb::Suppression {
        email: kim.to_owned(),
        reason: reason.into(),
        source: source.to_owned(),
        ..Default::default()
    };
    // Before there is anything to take back.
    let untouched = office.rows();
    says(&office.post(&first, "undo=1").await, "Undone");
    assert_eq!(office.rows(), untouched);
    // Somebody has suppressed it before.
    suppress(&mut api, one(SuppressionReason::Manual, "a call")).await;
    let by_hand = office.rows();
    let done = office.post(&first, "").await;
    says(&done, "You are unsubscribed");
    assert!(!done.page.contains("undo"), "{}", done.page);
    says(&office.post(&first, "undo=1").await, "Nothing to undo");
    assert_eq!(office.rows(), by_hand);
    unsuppress(&mut api, kim).await;
    // Another link has.
    campaign(&mut api).await;
    let second = links(&office.app.outbox("user_a"));
    let all = std::fs::read_dir(office.app.outbox("user_a")).expect("a folder").count();
    assert_eq!((second.len(), all), (1, 2), "two letters to one address");
    let mut paths: Vec<_> = eml_files(&office.app.outbox("user_a"))
        .into_iter()
        .map(|name| std::fs::read_to_string(office.app.outbox("user_a").join(name)).expect("a letter"))
        .map(|text| {
            text.split("https://mail.example.com")
                .nth(1)
                .and_then(|rest| rest.split('>').next())
                .expect("a link")
                .to_owned()
        })
        .collect();
    paths.retain(|path| *path != first);
    let second = paths.remove(0);
    says(&office.post(&second, "").await, "You are unsubscribed");
    says(&office.post(&first, "").await, "You are unsubscribed");
    says(&office.post(&first, "undo=1").await, "Nothing to undo");
    assert_eq!(suppressions(&mut api).await.len(), 1);
    says(&office.post(&second, "undo=1").await, "Undone");
    assert_eq!(suppressions(&mut api).await.len(), 0);
    // What the link did was removed, and put back by hand, in the same words.
    says(&office.post(&first, "").await, "You are unsubscribed");
    let source = suppressions(&mut api).await[0].source.clone();
    unsuppress(&mut api, kim).await;
    says(&office.get(&first).await, "Unsubscribe");
    suppress(&mut api, one(SuppressionReason::Unsubscribed, &source)).await;
    says(&office.post(&first, "undo=1").await, "Nothing to undo");
    assert_eq!(suppressions(&mut api).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_acts_in_its_own_tenant_alone() {
    let office = Office::open().await;
    let kim = "kim@acme.example";
    let of_a = office.write_to("user_a", &[(kim, "en")]).await[kim].clone();
    let of_b = office.write_to("user_b", &[(kim, "en")]).await[kim].clone();
    let of_tenant = |tenant: &str| -> BTreeMap<String, Vec<String>> {
        let only = |rows: Vec<String>| {
            rows.into_iter().filter(|row| row.contains(&format!("Text({:?})", tenant.as_bytes()))).collect()
        };
        office.rows().into_iter().map(|(table, rows)| (table, only(rows))).collect()
    };
    let before = of_tenant("user_b");
    assert!(before["emails"].len() == 1 && before["unsubscribe_links"].len() == 1, "{before:?}");
    says(&office.post(&of_a, "").await, "You are unsubscribed");
    says(&office.post(&of_a, "undo=1").await, "Undone");
    says(&office.post(&of_a, "").await, "You are unsubscribed");
    assert_eq!(of_tenant("user_b"), before);
    says(&office.get(&of_b).await, "Unsubscribe");
    let (mut a, mut b) = (office.app.user("user_a").await, office.app.user("user_b").await);
    assert_eq!((suppressions(&mut a).await.len(), suppressions(&mut b).await.len()), (1, 0));
    // The id of one and the signature of the other is nobody's.
    let token = |path: &str| Token::parse(path.trim_start_matches("/u/")).expect("a token");
    let (a, b) = (token(&of_a), token(&of_b));
    for mixed in [Token { id: a.id, signature: b.signature }, Token { id: b.id, signature: a.signature }] {
        assert_eq!(office.post(&format!("/u/{mixed}"), "").await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(of_tenant("user_b"), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_guesses_learns_nothing_and_keeps_out_no_reader() {
    let office = Office::open().await;
    let path = office.write_to("user_a", &[("kim@acme.example", "en")]).await["kim@acme.example"].clone();
    let before = office.rows();
    let token = path.trim_start_matches("/u/");
    let mut wrong: Vec<String> = (0..token.len())
        .map(|at| {
            let mut other = token.to_owned().into_bytes();
            other[at] = if other[at] == b'A' { b'Q' } else { b'A' };
            String::from_utf8(other).expect("ASCII")
        })
        .collect();
    let mut shorter = token.to_owned();
    shorter.pop();
    wrong.extend([
        String::new(),
        shorter,
        format!("{token}A"),
        format!("{token}="),
        format!("{token}/"),
        format!("{token}%00"),
        "A".repeat(43),
        "%0d%0aSet-Cookie:%20a=b".to_owned(),
        "..%2f..%2fetc%2fpasswd".to_owned(),
        "A".repeat(8_000),
        "kim@acme.example".to_owned(),
    ]);
    // Each by itself first: one page for all of them, and about the same time.
    let mut pages = Vec::new();
    for wrong in wrong.iter().rev().take(12) {
        let begun = Instant::now();
        let answer = office.post(&format!("/u/{wrong}"), ONE_CLICK).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{wrong}");
        assert!(begun.elapsed() >= Duration::from_millis(100), "{wrong}: {:?}", begun.elapsed());
        pages.push(answer.page);
    }
    pages.dedup();
    assert_eq!(pages.len(), 1, "{pages:?}");
    assert!(pages[0].contains("This link does not work"), "{}", pages[0]);
    // Then all at once, over and over, beside a reader.
    let mut statuses = BTreeMap::new();
    for round in 0..3 {
        let wrong: Vec<_> = wrong.iter().map(|wrong| format!("/u/{wrong}")).collect();
        let guesses = join_all(wrong.iter().map(|path| office.get(path)));
        let reader = async {
            let begun = Instant::now();
            says(&office.get(&path).await, "Unsubscribe");
            begun.elapsed()
        };
        let (guesses, took) = tokio::join!(guesses, reader);
        assert!(took < Duration::from_secs(2), "a reader waits {took:?} in round {round}");
        for guess in guesses {
            assert_eq!(guess.page, pages[0]);
            *statuses.entry(guess.status.as_u16()).or_insert(0) += 1;
        }
    }
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [404, 429], "{statuses:?}");
    assert_eq!(statuses[&404], 8, "twenty in a minute, of which twelve were before: {statuses:?}");
    assert_eq!(office.rows(), before, "a guess changes nothing");
    says(&office.post(&path, ONE_CLICK).await, "You are unsubscribed");
    says(&office.post(&path, "undo=1").await, "Undone");
    // No header of a guess comes back.
    let answer = raw(&office.server, &[b"GET /u/%0d%0aX-Evil:1 HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n"], Duration::ZERO).await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("retry-after: 60"), "{answer}");
    assert!(!answer.to_lowercase().contains("evil"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_outlives_its_email_a_reset_and_a_purge_and_goes_with_its_tenant() {
    let office = Office::open().await;
    let kim = "kim@acme.example";
    let path = office.write_to("user_a", &[(kim, "en")]).await[kim].clone();
    let of_b = office.write_to("user_b", &[(kim, "en")]).await[kim].clone();
    let mut api = office.app.user("user_a").await;
    let everything = pb::ResetAgentRequest { scope: pb::ResetScope::Everything.into() };
    api.agent.reset_agent(everything).await.expect("reset");
    says(&office.get(&path).await, "Unsubscribe");
    change(
        office.app.data.path(),
        "PRAGMA foreign_keys = OFF; DELETE FROM emails WHERE tenant_id = 'user_a'; DELETE FROM prospects WHERE tenant_id = 'user_a'",
    );
    says(&office.post(&path, "").await, "You are unsubscribed");
    assert_eq!(suppressions(&mut api).await[0].email, kim);
    says(&office.post(&path, "undo=1").await, "Undone");
    let tables: Vec<_> = office.rows().into_keys().filter(|table| table != "tenants").collect();
    let all: String = tables.iter().map(|table| format!("DELETE FROM {table} WHERE tenant_id = 'user_a';")).collect();
    change(
        office.app.data.path(),
        &format!("PRAGMA foreign_keys = OFF; {all} DELETE FROM tenants WHERE id = 'user_a'"),
    );
    let gone = office.post(&path, "").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(gone, office.get("/u/none").await, "as if it had never been");
    says(&office.get(&of_b).await, "Unsubscribe");
}

/// `herald …` on a data folder.
fn run(args: &[&str], data: &Path, env: &[(&str, &str)]) {
    let mut command = herald();
    let output = command.args(args).envs(env.iter().copied()).arg("--data-dir").arg(data).output().expect("it ends");
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&told));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_outlives_another_master_key_and_a_backup() {
    const KEYS: [&str; 2] =
        ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="];
    let (data, place) = (folder(), folder());
    let start =
        |data: &Path, key: &str| serve(data, &[("HERALD_SERVER_PUBLIC_URL", PUBLIC), ("HERALD_MASTER_KEY", key)]);
    let mut server = start(data.path(), KEYS[0]);
    write_to(&mut server.user("user_a").await, &[("kim@acme.example", "en")]).await;
    let path = links(&outbox(data.path(), "user_a"))["kim@acme.example"].clone();
    // Sealed, and not as it is.
    let sealed = rows(data.path())["tenants"].concat();
    assert!(sealed.contains("Blob"), "{sealed}");
    server.signal(Signal::TERM);
    assert!(server.ended().await.success());

    let (old, new) = (("HERALD_MASTER_KEY", KEYS[0]), ("HERALD_NEW_MASTER_KEY", KEYS[1]));
    run(&["rotate-key"], data.path(), &[old, new]);
    let mut server = start(data.path(), KEYS[1]);
    let client = Client::new();
    let ask = async |server: &str, method: Method| {
        let answer = client.request(method, format!("http://{server}{path}")).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.expect("a text")
    };
    assert!(ask(&server.address, Method::GET).await.contains("<h1>Unsubscribe</h1>"));
    assert!(ask(&server.address, Method::POST).await.contains("<h1>You are unsubscribed</h1>"));
    // What is written after it has the same key.
    write_to(&mut server.user("user_a").await, &[("lee@acme.example", "en")]).await;
    let copy = place.path().join("copy");
    run(&["backup", copy.to_str().expect("a path")], data.path(), &[("HERALD_MASTER_KEY", KEYS[1])]);
    server.signal(Signal::TERM);
    assert!(server.ended().await.success());

    let restored = place.path().join("restored");
    run(&["restore", copy.to_str().expect("a path")], &restored, &[("HERALD_MASTER_KEY", KEYS[1])]);
    let server = start(&restored, KEYS[1]);
    assert!(ask(&server.address, Method::GET).await.contains("<h1>You are unsubscribed</h1>"));
    let path = &links(&outbox(data.path(), "user_a"))["lee@acme.example"];
    let url = format!("http://{}{path}", server.address);
    assert_eq!(client.post(url).send().await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(suppressions(&mut server.user("user_a").await).await.len(), 2);
}

#[test]
fn what_could_not_be_followed_is_refused_at_the_start() {
    let refused = |change: fn(&mut Config)| {
        let data = folder();
        let mut config = config(&data);
        change(&mut config);
        config.validate().expect_err("refused").to_string()
    };
    let long = refused(|config| config.server.public_url = format!("https://a.example/{}", "x".repeat(57)));
    assert!(long.contains("server.public_url") && long.contains("it has 75 characters and may have 74"), "{long}");
    let plain = refused(|config| config.server.public_url = "http://mail.example.com".to_owned());
    assert!(plain.contains("server.public_url") && plain.contains("https"), "{plain}");
    let secret = refused(|config| config.server.public_url = "https://u:s3cret@mail.example.com".to_owned());
    assert!(!secret.contains("s3cret"), "{secret}");
    let alone = refused(|config| config.server.links_listen = "127.0.0.1:0".to_owned());
    assert!(alone.contains("server.links_listen needs server.public_url"), "{alone}");
    let words = refused(|config| {
        config.server.public_url = PUBLIC.to_owned();
        config.server.links_listen = "localhost:1".to_owned();
    });
    assert!(words.contains("write 127.0.0.1:1"));
    let everybody = refused(|config| {
        config.server.public_url = PUBLIC.to_owned();
        config.server.links_listen = "0.0.0.0:1".to_owned();
    });
    assert!(everybody.contains("under dev nothing else is served"));
    let same = refused(|config| {
        config.server.public_url = PUBLIC.to_owned();
        config.admin.listen = format!("127.0.0.1:{}", free_port());
        config.server.links_listen.clone_from(&config.admin.listen);
    });
    assert!(same.contains("are the same address"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_port_that_asks_for_certificates_links_have_a_listener_of_their_own() {
    let files = Authority::new();
    let data = folder();
    let mut settings = config(&data);
    settings.tls.certificate_file = files.file("server.pem");
    settings.tls.key_file = files.file("server.key");
    settings.tls.client_ca_file = files.file("ca.pem");
    settings.server.public_url = PUBLIC.to_owned();
    let told = settings.validate().expect_err("refused").to_string();
    assert!(told.contains("server.public_url needs server.links_listen where tls.client_ca_file is set"), "{told}");

    let links_address = format!("127.0.0.1:{}", free_port());
    let mut office = Office::with(|config| config.server.links_listen.clone_from(&links_address)).await;
    let path = office.write_to("user_a", &[("kim@acme.example", "en")]).await["kim@acme.example"].clone();
    // The port has none of them then.
    assert_eq!(office.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(office.post(&path, "").await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let Office { app, .. } = office;
    let (data, _) = app.stop().await;
    settings.data_dir = data.path().to_owned();
    settings.server.links_listen.clone_from(&links_address);
    let app = TestApp::with(data, settings, seams()).await;
    office = Office { app, client: Client::new(), server: format!("http://{links_address}") };
    let https = format!("https://localhost:{}{path}", office.app.address.port());
    let authority = std::fs::read(files.path("ca.pem")).expect("a certificate");
    let authority = reqwest::Certificate::from_pem(&authority).expect("PEM");
    let reader = Client::builder().tls_certs_only([authority]).build().expect("a client");
    assert!(reader.get(https).send().await.is_err(), "a reader has no certificate");
    says(&office.post(&path, ONE_CLICK).await, "You are unsubscribed");
    for other in ["/", "/healthz", "/u", "/herald.v1.TenantService/GetCaller", "/metrics"] {
        assert_eq!(office.get(other).await.status, StatusCode::NOT_FOUND, "{other}");
    }
    let grpc = office.client.post(format!("{}/herald.v1.TenantService/GetCaller", office.server));
    let answer = grpc.header("content-type", "application/grpc").header("x-user-id", "user_a").send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(!answer.headers().contains_key("grpc-status"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_told_in_his_language_and_a_hostile_name_stays_a_name() {
    let office = Office::open().await;
    let mut api = office.app.user("user_a").await;
    let name = "<script>alert(1)</script> \"Fern\" & 'wick' <b>";
    let sender = pb::Sender { name: name.to_owned(), company: name.to_owned(), ..Default::default() };
    let settings = pb::AgentConfig { sender: Some(sender), ..Default::default() };
    let request = pb::UpdateAgentConfigRequest { config: Some(settings), update_mask: None };
    api.agent.update_agent_config(request).await.expect("configured");
    let readers = [
        ("de@acme.example", "de-AT", "de", ["Abmelden", "Sie sind abgemeldet", "Rückgängig gemacht"]),
        ("en@acme.example", "en-GB", "en", ["Unsubscribe", "You are unsubscribed", "Undone"]),
        ("es@acme.example", "es", "es", ["Darse de baja", "Baja realizada", "Baja anulada"]),
        ("fr@acme.example", "FR-ca", "fr", ["Se désabonner", "Désabonnement effectué", "Désabonnement annulé"]),
        ("it@acme.example", "it", "en", ["Unsubscribe", "You are unsubscribed", "Undone"]),
        ("no@acme.example", "", "en", ["Unsubscribe", "You are unsubscribed", "Undone"]),
        ("zh@acme.example", "zh-CN", "zh", ["退订", "您已退订", "已撤销"]),
    ];
    let people: Vec<_> = readers.iter().map(|(email, tag, ..)| (*email, *tag)).collect();
    let links = office.write_to("user_a", &people).await;
    for (email, _, language, [ask, done, undone]) in readers {
        let path = &links[email];
        let asks = [office.get(path).await, office.post(path, "").await, office.post(path, "undo=1").await];
        for (answer, title) in asks.iter().zip([ask, done, undone]) {
            says(answer, title);
            let page = &answer.page;
            assert!(page.contains(&format!("<html lang=\"{language}\" dir=\"ltr\">")), "{page}");
            assert!(
                page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &quot;Fern&quot; &amp; &#39;wick&#39; &lt;b&gt;"),
                "{page}"
            );
            assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        }
    }
    // Who has no link is answered in the language of the browser.
    let request = office.client.get(format!("{}/u/none", office.server)).header("accept-language", "de-CH,en;q=0.5");
    let page = request.send().await.expect("an answer").text().await.expect("a text");
    assert!(page.contains("<html lang=\"de\"") && page.contains("Dieser Link funktioniert nicht"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_body_is_bounded_in_bytes_and_in_time() {
    let office = Office::open().await;
    let path = office.write_to("user_a", &[("kim@acme.example", "en")]).await["kim@acme.example"].clone();
    let before = office.rows();
    let large = vec![b'a'; 1024 * 1024];
    let head = |more: &str| format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: {FORM}\r\n{more}\r\n\r\n");
    let stated = raw(&office.server, &[head("Content-Length: 1048576").as_bytes(), &large], Duration::ZERO).await;
    assert!(stated.starts_with("HTTP/1.1 413 "), "{stated}");
    let chunk = [b"100000\r\n", large.as_slice(), b"\r\n0\r\n\r\n"].concat();
    let chunked = raw(&office.server, &[head("Transfer-Encoding: chunked").as_bytes(), &chunk], Duration::ZERO).await;
    assert!(chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
    let h2 = Client::builder().http2_prior_knowledge().build().expect("a client");
    let answer = h2.post(format!("{}{path}", office.server)).body(large).send().await;
    // It may be told before it has sent all.
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == StatusCode::PAYLOAD_TOO_LARGE));
    let begun = Instant::now();
    let slow =
        raw(&office.server, &[head("Content-Length: 26").as_bytes(), b"List-"], Duration::from_millis(100)).await;
    assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");
    assert!((9..15).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(office.rows(), before, "nothing was done");
    let fits = format!("{ONE_CLICK}{}", " ".repeat(1_024 - ONE_CLICK.len()));
    says(&office.post(&path, &fits).await, "You are unsubscribed");
}

/// What a person does: looks, presses the button, takes it back; in Debian's Chromium, by Playwright.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_person_unsubscribes_in_a_browser_with_scripts_and_without() {
    let office = Office::open().await;
    let mut api = office.app.user("user_a").await;
    let sender = pb::Sender { name: "Anna Berg".to_owned(), ..Default::default() };
    let settings = pb::AgentConfig { sender: Some(sender), ..Default::default() };
    let request = pb::UpdateAgentConfigRequest { config: Some(settings), update_mask: None };
    api.agent.update_agent_config(request).await.expect("configured");
    outbox_mailbox(&mut api, "anna@fernwick.example").await;
    let links = office.write_to("user_a", &[("kim@acme.example", "en"), ("lee@acme.example", "zh")]).await;
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    for (email, scripts) in [("kim@acme.example", "with"), ("lee@acme.example", "without")] {
        for step in ["look", "unsubscribe", "undo"] {
            let before = office.rows();
            let mut command = Command::new("node");
            command.arg("unsubscribe.mjs").arg(format!("{}{}", office.server, links[email])).arg(scripts).arg(step);
            command.current_dir(&clients);
            let output =
                tokio::task::spawn_blocking(move || command.output().expect("node runs")).await.expect("no panic");
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{step} {scripts} scripts: {err}");
            let is_suppressed = suppressions(&mut api).await.iter().any(|found| found.email == email);
            assert_eq!(is_suppressed, step == "unsubscribe", "{step} {scripts} scripts: {out}");
            assert_eq!(office.rows() == before, step == "look", "{step} {scripts} scripts");
        }
    }
}
