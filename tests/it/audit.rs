//! Who did what: every call of every RPC that changes rows adds one row to the audit log, and no other call adds any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use herald::app::Seams;
use herald::pb::{self, Noun};
use herald::store::{Actor, AuditRetention, Reset, ResetScope};
use prost_reflect::{DynamicMessage, Value as Field};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::rpc::{self, Rpc, filled, headers, rpcs};
use crate::support::token::{hs, now};
use crate::support::{SECRET, TestApp, TestClock, add_prospects, caller, config, folder, prospects, seams, site};

/// A tenant whose every call is looked at. The engine moves when it is told to.
struct Walk {
    app: TestApp,
    channel: tonic::transport::Channel,
    database: Connection,
    site: String,
    /// The RPCs that were answered, and those that have changed rows.
    called: BTreeSet<String>,
    changed: BTreeSet<String>,
}

/// What is looked at: a row of the audit log by the names of its columns.
type Row = BTreeMap<String, Value>;

const TENANT: &str = "user_a";

impl Walk {
    async fn start() -> Self {
        let data = folder();
        let settings = config(&data);
        let app = TestApp::with(data, settings, Seams { run_engine: false, ..seams() }).await;
        let channel = app.channel().await;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(app.data.path().join("herald.db"), flags).expect("the database");
        let site = site::pages([("/", site::company())]).await;
        Self { app, channel, database, site, called: BTreeSet::new(), changed: BTreeSet::new() }
    }

    /// Leaves an e-mail in this status, behind the server's back.
    fn leave(&self, email: &str, status: &str) {
        let database = Connection::open(self.app.data.path().join("herald.db")).expect("the database");
        let update = "UPDATE emails SET status = ?2 WHERE tenant_id = ?3 AND id = ?1";
        assert_eq!(database.execute(update, [email, status, TENANT]).expect("changed"), 1);
    }

    /// The rows of a table that the tenant has, by the names of their columns.
    fn table(&self, table: &str) -> Vec<Row> {
        let text = format!("SELECT * FROM {table} WHERE tenant_id = ?1");
        let mut statement = self.database.prepare(&text).expect("a text");
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let row = |row: &rusqlite::Row<'_>| {
            let cell = |n: usize| match row.get_ref(n).expect("a cell") {
                rusqlite::types::ValueRef::Integer(n) => json!(n),
                rusqlite::types::ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
                other => json!(format!("{other:?}")),
            };
            Ok(names.iter().enumerate().map(|(n, name)| (name.clone(), cell(n))).collect())
        };
        statement.query_map([TENANT], row).expect("rows").map(|row| row.expect("a row")).collect()
    }

    /// All rows that the tenant has, but for its audit log.
    fn rows(&self) -> BTreeMap<String, Vec<Row>> {
        let text = "SELECT t.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
            WHERE t.type = 'table' AND c.name = 'tenant_id' AND t.name != 'audit_events'";
        let mut statement = self.database.prepare(text).expect("a text");
        let tables = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        let tables: Vec<_> = tables.map(|name| name.expect("a name")).collect();
        assert!(tables.len() >= 10, "{tables:?}");
        tables.into_iter().map(|table| (table.clone(), self.table(&table))).collect()
    }

    fn log(&self) -> Vec<Row> {
        self.table("audit_events")
    }

    /// Calls the RPC, and looks: rows have changed if and only if there is one more row in the log, which is of this call.
    async fn send(&mut self, rpc: &Rpc, request: DynamicMessage) -> (Result<Value, Status>, Option<Row>) {
        let (before, log) = (self.rows(), self.log());
        let answer = rpc.call(&self.channel, &headers(&[("x-user-id", TENANT)]), request).await;
        let (has_changed, mut new) = (self.rows() != before, self.log());
        let name = rpc.name();
        assert!(new.len() >= log.len() && new[..log.len()] == log[..], "{name} leaves the rows before it as they are");
        new.drain(..log.len());
        let told = format!(
            "{name} {} rows, and the audit log has {new:#?}",
            if has_changed { "changes" } else { "changes no" }
        );
        assert_eq!(new.len(), usize::from(has_changed), "{told}");
        assert!(answer.is_ok() || !has_changed, "{told}, and it is refused: {answer:?}");
        let row = new.pop();
        if let Some(row) = &row {
            assert_eq!(row["method"], rpc.descriptor.name(), "{told}");
            assert_eq!(
                (&row["subject"], &row["role"], &row["proof"]),
                (&json!(TENANT), &json!("admin"), &json!("dev_header"))
            );
            assert_eq!((row["call_id"].as_str().map(str::len), &row["unfinished"]), (Some(16), &json!(0)), "{told}");
            self.changed.insert(name.clone());
        }
        if answer.is_ok() {
            self.called.insert(name);
        }
        (answer.map(|answer| answer.as_ref().map(rpc::json).unwrap_or_default()), row)
    }

    async fn ask(&mut self, method: &str, request: Value) -> (Result<Value, Status>, Option<Row>) {
        let rpc = rpcs().into_iter().find(|rpc| rpc.descriptor.name() == method).expect("a method of ours");
        let request = DynamicMessage::deserialize(rpc.descriptor.input(), request).expect("a request");
        self.send(&rpc, request).await
    }

    /// Of a call that changes rows: its answer, how many things it has touched, which, and which of their fields.
    async fn change(&mut self, method: &str, request: Value) -> (Value, i64, Vec<String>, Vec<String>) {
        let asked = request["requestId"].as_str().unwrap_or_default().to_owned();
        let (answer, row) = self.ask(method, request).await;
        let answer = answer.unwrap_or_else(|status| panic!("{method}: {status:?}"));
        let row = row.unwrap_or_else(|| panic!("{method} changes nothing"));
        assert_eq!(row["request_id"], asked, "{method}");
        let list = |name: &str| serde_json::from_str(row[name].as_str().expect("a text")).expect("a list of texts");
        (answer, row["touched"].as_i64().expect("a number"), list("ids"), list("fields"))
    }

    /// A call that finds everything as it is to be.
    async fn no_change(&mut self, method: &str, request: Value) {
        let (answer, row) = self.ask(method, request).await;
        assert!(answer.is_ok() && row.is_none(), "{method}: {answer:?} {row:?}");
    }

    async fn refused(&mut self, method: &str, request: Value, code: Code) {
        let (answer, row) = self.ask(method, request).await;
        assert_eq!((answer.expect_err(method).code(), row), (code, None), "{method}");
    }

    /// Lets the engine do all that it can. Its own writes have no rows.
    async fn work(&self) {
        let log = self.log();
        self.app.ready.engine.claim().await.expect("claimed");
        while self.app.ready.engine.step().await {}
        assert_eq!(self.log(), log, "what the engine does is no caller's");
    }
}

fn id(value: &Value) -> String {
    value.as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_every_rpc_that_changes_rows_adds_one_row_and_no_other_does() {
    let mut walk = Walk::start().await;
    let none = Vec::<String>::new();

    // The configuration: by the paths of its fields, never what is in them.
    let set =
        json!({ "config": { "location": "Mosel", "sender": { "name": "Ruth" } }, "updateMask": "location,sender" });
    let (_, touched, ids, fields) = walk.change("UpdateAgentConfig", set).await;
    assert_eq!((touched, &ids), (1, &none));
    assert!(fields.contains(&"location".to_owned()) && fields.contains(&"sender.name".to_owned()), "{fields:?}");
    walk.refused("UpdateAgentConfig", json!({ "config": { "etag": "stale", "location": "x" } }), Code::Aborted).await;

    // Prospects, by their ids: the first twenty.
    let rows =
        |from: usize, to: usize| (from..to).map(|n| json!({ "email": format!("p{n}@a.example") })).collect::<Vec<_>>();
    let create = json!({ "prospects": rows(0, 25), "requestId": "r1" });
    let (answer, touched, ids, fields) = walk.change("BatchCreateProspects", create.clone()).await;
    let made: Vec<_> =
        answer["results"].as_array().expect("results").iter().map(|row| id(&row["prospectId"])).collect();
    assert_eq!((touched, &ids[..], &fields), (25, &made[..20], &none));
    walk.no_change("BatchCreateProspects", create).await;
    walk.no_change("BatchCreateProspects", json!({ "prospects": rows(0, 3) })).await;
    let (_, touched, ids, _) = walk.change("BatchCreateProspects", json!({ "prospects": rows(24, 26) })).await;
    assert_eq!((touched, ids.len()), (1, 1), "the duplicate is not touched");
    // Nothing but that the request was made: the result is kept under its name.
    let (_, touched, ids, _) =
        walk.change("BatchCreateProspects", json!({ "prospects": rows(0, 3), "requestId": "r2" })).await;
    assert_eq!((touched, ids), (0, none.clone()));
    walk.refused("BatchCreateProspects", json!({ "prospects": [{ "email": "nobody" }] }), Code::InvalidArgument).await;

    let change =
        json!({ "prospect": { "id": made[0], "notes": "n", "company": "Acme" }, "updateMask": "notes,company" });
    let (_, touched, ids, fields) = walk.change("UpdateProspect", change).await;
    assert_eq!((touched, &ids[..], fields), (1, &made[..1], vec!["company".to_owned(), "notes".to_owned()]));
    walk.refused("UpdateProspect", json!({ "prospect": { "id": "pr_none", "notes": "n" } }), Code::NotFound).await;
    let (_, touched, ids, _) = walk.change("DeleteProspect", json!({ "prospectId": made[1] })).await;
    assert_eq!((touched, &ids[..]), (1, &made[1..2]));
    walk.no_change("DeleteProspect", json!({ "prospectId": made[1] })).await;
    walk.change("UndeleteProspect", json!({ "prospectId": made[1] })).await;
    walk.refused("UndeleteProspect", json!({ "prospectId": made[1] }), Code::AlreadyExists).await;

    // Suppressions are counted: their addresses stand nowhere.
    let add = json!({ "suppressions": [{ "email": "x@y.example" }, { "email": "z@y.example" }], "requestId": "r1" });
    let (_, touched, ids, _) = walk.change("AddSuppressions", add.clone()).await;
    assert_eq!((touched, &ids), (2, &none));
    walk.no_change("AddSuppressions", add).await;
    walk.no_change("AddSuppressions", json!({ "suppressions": [{ "email": "X@y.example" }] })).await;
    let (_, touched, ids, _) = walk.change("RemoveSuppression", json!({ "email": "x@y.example" })).await;
    assert_eq!((touched, &ids), (1, &none));
    walk.refused("RemoveSuppression", json!({ "email": "x@y.example" }), Code::NotFound).await;

    // Mailboxes, by their ids and their fields; of a secret only that it was changed.
    let smtp = json!({ "host": "mail.a.example", "password": "s3cret" });
    let mailbox = json!({ "address": "anna@a.example", "kind": "MAILBOX_KIND_OUTBOX", "smtp": smtp });
    let create = json!({ "mailbox": mailbox, "requestId": "r1" });
    let (answer, touched, ids, _) = walk.change("CreateMailbox", create.clone()).await;
    let mailbox = id(&answer["mailbox"]["id"]);
    assert_eq!((touched, &ids), (1, &vec![mailbox.clone()]));
    walk.no_change("CreateMailbox", create).await;
    let change = json!({ "mailbox": { "id": mailbox, "smtp": { "password": "s3cret" }, "html": true } });
    let (_, _, ids, fields) = walk.change("UpdateMailbox", change).await;
    assert_eq!((ids, fields), (vec![mailbox.clone()], vec!["html".to_owned(), "smtp.password".to_owned()]));
    let (_, _, ids, fields) = walk.change("PauseMailbox", json!({ "mailboxId": mailbox })).await;
    assert_eq!((ids, fields), (vec![mailbox.clone()], vec!["state".to_owned()]));
    walk.no_change("PauseMailbox", json!({ "mailboxId": mailbox })).await;
    walk.change("ResumeMailbox", json!({ "mailboxId": mailbox })).await;
    walk.refused("DeleteMailbox", json!({ "mailboxId": mailbox, "etag": "stale" }), Code::Aborted).await;

    let text = json!({ "language": "en", "subject": "Hello", "body": "{{ salutation.formal }}" });
    let create = json!({ "template": { "name": "Ours", "texts": [text] }, "requestId": "r1" });
    let (answer, _, ids, _) = walk.change("CreateTemplate", create.clone()).await;
    let template = id(&answer["template"]["id"]);
    assert_eq!(ids, std::slice::from_ref(&template));
    walk.no_change("CreateTemplate", create).await;
    let change = json!({ "template": { "id": template, "name": "Fairs" } });
    let (_, _, ids, fields) = walk.change("UpdateTemplate", change).await;
    assert_eq!((ids, fields), (vec![template.clone()], vec!["name".to_owned()]));
    let sender = json!({ "config": { "sender": { "company": "Acme" } } });
    walk.change("UpdateAgentConfig", sender).await;
    walk.no_change("PreviewTemplate", json!({ "templateId": template })).await;
    let test = json!({ "letter": { "templateId": template, "mailboxId": mailbox }, "requestId": "r1" });
    let (answer, _, ids, _) = walk.change("SendTestEmail", test.clone()).await;
    assert_eq!((ids, &answer["sent"]), (vec![mailbox.clone()], &json!(true)));
    walk.no_change("SendTestEmail", test).await;
    walk.refused("DeleteTemplate", json!({ "templateId": "modern_tech" }), Code::FailedPrecondition).await;
    let (_, _, ids, _) = walk.change("DeleteTemplate", json!({ "templateId": template })).await;
    assert_eq!(ids, [template]);

    // A campaign, from the start to its end. It stands still between the calls.
    let start = json!({ "website": walk.site, "requestId": "r1" });
    let (answer, touched, ids, _) = walk.change("StartWorkflow", start.clone()).await;
    let campaign = id(&answer["campaign"]["id"]);
    assert_eq!((touched, ids), (1, vec![campaign.clone()]));
    walk.no_change("StartWorkflow", start).await;
    walk.work().await;
    let select = json!({ "templateId": "modern_tech" });
    let (_, _, ids, fields) = walk.change("SelectTemplate", select.clone()).await;
    assert_eq!((ids, fields), (vec![campaign.clone()], vec!["template_id".to_owned()]));
    walk.refused("SelectTemplate", select, Code::FailedPrecondition).await;
    walk.work().await;
    walk.change("PauseWorkflow", json!({})).await;
    walk.refused("PauseWorkflow", json!({}), Code::FailedPrecondition).await;
    walk.change("ResumeWorkflow", json!({ "campaignId": campaign })).await;
    let (listed, _) = walk.ask("ListWorkflowEmails", json!({ "pageSize": 100 })).await;
    let letters = listed.expect("a list")["emails"].as_array().expect("letters").clone();
    let letter = |n: usize| id(&letters[n]["id"]);
    let edit = json!({ "reviews": [{ "emailId": letter(0), "subject": "New" }, { "emailId": letter(1), "decision": "REVIEW_DECISION_REJECT" }] });
    let (_, touched, ids, fields) = walk.change("ReviewEmails", edit).await;
    assert_eq!((touched, ids), (3, vec![campaign.clone(), letter(0), letter(1)]));
    assert_eq!(fields, ["subject"]);
    let (_, touched, ids, _) = walk.change("ReviewEmails", json!({ "others": "REVIEW_DECISION_APPROVE" })).await;
    assert_eq!((touched, ids.len()), (letters.len() as i64, 20), "the campaign, and all letters but the rejected one");
    walk.work().await;
    let reply = json!({ "prospectId": made[0], "body": "Please remove me from your list.", "requestId": "r1" });
    let (answer, touched, ids, _) = walk.change("RecordReply", reply.clone()).await;
    assert_eq!((touched, ids), (2, vec![id(&answer["reply"]["id"]), made[0].clone()]));
    walk.no_change("RecordReply", reply).await;

    // What did not go out, as a mail server that refuses one and loses the answer to another would leave it.
    for (n, status) in [(4, "failed"), (5, "unknown")] {
        walk.leave(&letter(n), status);
    }
    let retry = json!({ "campaignId": campaign, "requestId": "r1" });
    let (_, touched, ids, _) = walk.change("RetryEmails", retry.clone()).await;
    assert_eq!((touched, ids), (2, vec![campaign.clone(), letter(4)]));
    walk.no_change("RetryEmails", retry).await;
    walk.no_change("RetryEmails", json!({ "campaignId": campaign })).await;
    walk.work().await;
    let resolve = json!({ "campaignId": campaign, "others": "EMAIL_RESOLUTION_DROP", "requestId": "r1" });
    let (_, touched, ids, _) = walk.change("ResolveEmails", resolve.clone()).await;
    assert_eq!((touched, ids), (2, vec![campaign.clone(), letter(5)]));
    walk.no_change("ResolveEmails", resolve).await;

    // What comes back of letters that were sent; and for addresses that none was sent to.
    let bounce = |which: &str, name: String| json!({ which: name, "status": "5.1.1" });
    let (_, touched, ids, _) = walk.change("RecordBounce", bounce("emailId", letter(2))).await;
    assert_eq!((touched, ids), (1, vec![letter(2)]));
    walk.no_change("RecordBounce", bounce("emailId", letter(2))).await;
    walk.no_change("RecordBounce", bounce("messageId", id(&letters[2]["messageId"]))).await;
    walk.refused("RecordBounce", bounce("messageId", "nobody@a.example".to_owned()), Code::NotFound).await;
    let (_, touched, ids, _) = walk.change("RecordBounce", bounce("address", "gone@z.example".to_owned())).await;
    assert_eq!((touched, &ids), (1, &none));
    walk.no_change("RecordBounce", bounce("address", "gone@z.example".to_owned())).await;
    walk.no_change("RecordBounce", json!({ "address": "late@z.example", "status": "4.4.1" })).await;
    let (_, touched, ids, _) = walk.change("RecordComplaint", json!({ "emailId": letter(3) })).await;
    assert_eq!((touched, ids), (1, vec![letter(3)]));
    walk.no_change("RecordComplaint", json!({ "emailId": letter(3) })).await;

    // Whatever is not named above, with what its descriptor says; a new RPC is here by being there.
    let (strategies, _) = walk.ask("ListMarketingStrategies", json!({})).await;
    let strategy = id(&strategies.expect("a list")["marketingStrategies"][0]["id"]);
    let known = BTreeMap::from([
        (Noun::Prospect, made[0].clone()),
        (Noun::Email, letter(0)),
        (Noun::Campaign, campaign.clone()),
        (Noun::Template, "modern_tech".to_owned()),
        (Noun::Strategy, strategy),
        (Noun::Mailbox, mailbox),
    ]);
    const LATER: [&str; 3] = ["CancelWorkflow", "ResetWorkflow", "ResetAgent"];
    let mut rest: Vec<_> = rpcs().into_iter().filter(|rpc| !LATER.contains(&rpc.descriptor.name())).collect();
    rest.retain(|rpc| !walk.called.contains(&rpc.name()));
    rest.sort_by_key(Rpc::is_destructive);
    for rpc in rest {
        let mut request = filled(&rpc.descriptor.input(), &|_, noun| known[&noun].clone());
        if let Some(website) = rpc.descriptor.input().get_field_by_name("website") {
            request.set_field(&website, Field::String(walk.site.clone()));
        }
        let (answer, _) = walk.send(&rpc, request).await;
        let told = "give it a call above that is answered, or its fields their `example`";
        // What was never kept there cannot be got.
        let is_absent = answer
            .as_ref()
            .is_err_and(|status| rpc.name().starts_with("CacheService") && status.code() == Code::NotFound);
        assert!(answer.is_ok() || is_absent, "{}: {answer:?}: {told}", rpc.name());
        walk.called.insert(rpc.name());
    }

    walk.change("StartWorkflow", json!({ "website": walk.site, "recipients": { "notAgainDays": 0 } })).await;
    walk.refused("ResetAgent", json!({ "scope": "RESET_SCOPE_PROSPECTS" }), Code::FailedPrecondition).await;
    walk.change("CancelWorkflow", json!({})).await;
    walk.no_change("ResetWorkflow", json!({})).await;
    let mut live = BTreeSet::new();
    for _ in 0..2 {
        let (answer, ..) = walk.change("StartWorkflow", json!({ "website": walk.site })).await;
        live.insert(id(&answer["campaign"]["id"]));
    }
    let (_, touched, ids, _) = walk.change("ResetWorkflow", json!({})).await;
    assert_eq!((touched, ids.into_iter().collect()), (2, live));
    let (_, touched, ids, fields) = walk.change("ResetAgent", json!({ "scope": "RESET_SCOPE_CONFIGURATION" })).await;
    assert_eq!((touched, &ids, fields), (1, &none, vec!["config".to_owned(), "mailboxes".to_owned()]));
    walk.no_change("ResetAgent", json!({ "scope": "RESET_SCOPE_CONFIGURATION" })).await;
    let before = walk.log().len();
    let (answer, touched, ..) = walk.change("ResetAgent", json!({ "scope": "RESET_SCOPE_EVERYTHING" })).await;
    let removed =
        ["prospects", "emails", "campaigns", "marketingStrategies"].map(|part| answer[part].as_i64().unwrap_or(0));
    assert_eq!((touched, walk.log().len()), (removed.iter().sum(), before + 1), "{answer}");

    let all: BTreeSet<_> = rpcs().iter().map(Rpc::name).collect();
    assert_eq!(walk.called, all, "every RPC was called");
    // What only reads changes nothing; the cache, the tenant's files and mail servers are not the database.
    let may_change = rpcs().into_iter().filter(|rpc| !rpc.is_read() && !rpc.name().starts_with("CacheService"));
    let mut may_change: BTreeSet<_> = may_change.map(|rpc| rpc.name()).collect();
    for outside in ["TenantService/WriteSnapshot", "MailboxService/TestMailbox"] {
        may_change.remove(outside);
    }
    assert_eq!(walk.changed, may_change, "each of them was seen to change something");

    // Numbered without gaps, and without a word of what was changed.
    let log = walk.log();
    let numbers: Vec<_> = log.iter().map(|row| row["seq"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=log.len() as u64).collect::<Vec<_>>());
    let text = serde_json::to_string(&log).expect("JSON");
    for secret in ["s3cret", "mail.example", "@", "Acme"] {
        assert!(!text.contains(secret), "{secret}");
    }
    println!("{} calls with a row, of {} RPCs of {}", log.len(), walk.changed.len(), all.len());
}

fn retention(days: u64, rows: u64) -> AuditRetention {
    AuditRetention { days, rows }
}

async fn events(app: &TestApp, user: &str, request: pb::ListAuditEventsRequest) -> Vec<pb::AuditEvent> {
    let mut api = app.user(user).await;
    api.tenant.list_audit_events(request).await.expect("a list").into_inner().events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_of_many_slices_has_one_row_which_says_so_if_it_is_interrupted() {
    let app = TestApp::start().await;
    let mut api = app.user(TENANT).await;
    add_prospects(&mut api, 2_500).await;
    let all = pb::ListAuditEventsRequest::default;
    let before = events(&app, TENANT, all()).await.len();
    // As if the process had died after the first slice, and another call went on with it.
    let actor = Actor { caller: caller(TENANT).await, method: "ResetAgent".to_owned(), call_id: "0".repeat(16) };
    let removed = app.ready.store.by(&actor).write(Reset { scope: ResetScope::Prospects }).await.expect("a slice");
    assert!(removed.more);
    let interrupted = events(&app, TENANT, all()).await.remove(0);
    assert_eq!((interrupted.unfinished, interrupted.touched_count), (true, 1_000));
    let request = pb::ResetAgentRequest { scope: pb::ResetScope::Prospects.into() };
    let answer = api.agent.reset_agent(request).await.expect("reset").into_inner();
    assert_eq!(answer.prospects, 1_500);
    let found = events(&app, TENANT, all()).await;
    assert_eq!((found[0].unfinished, found[0].touched_count, found.len()), (false, 1_500, before + 2));
    assert_eq!(found[1], interrupted, "that of the other call stays as it was");
    assert_eq!(found[0].fields, ["prospects"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_says_who_has_called_and_by_which_call() {
    let app = TestApp::start().await;
    let token = |subject: &str, role: &str| {
        let claims = json!({ "sub": subject, "org_id": "org_1", "role": role, "exp": now() + 60 });
        hs(&claims, SECRET, jsonwebtoken::Algorithm::HS256)
    };
    let long = "s".repeat(600);
    let mut ids = Vec::new();
    for (subject, role) in [("grace", "editor"), (&*long, "admin")] {
        let mut api = app.token(&token(subject, role)).await;
        let prospects = vec![pb::Prospect { email: format!("{role}@a.example"), ..Default::default() }];
        let request = pb::BatchCreateProspectsRequest { prospects, request_id: format!("by {role}") };
        let answer = api.agent.batch_create_prospects(request).await.expect("created");
        ids.push(answer.metadata().get("x-request-id").expect("its id").to_str().expect("ASCII").to_owned());
    }
    let mut api = app.token(&token("hedy", "admin")).await;
    let list = pb::ListAuditEventsRequest::default();
    let found = api.tenant.list_audit_events(list).await.expect("a list").into_inner().events;
    let told = |event: &pb::AuditEvent| {
        let (role, proof) = (event.role(), event.proof());
        (event.subject.clone(), role, proof, event.call_id.clone(), event.request_id.clone(), event.seq)
    };
    let expected = |subject: &str, role, n: usize, name: &str| {
        (subject.to_owned(), role, pb::Proof::Token, ids[n].clone(), format!("by {name}"), n as i64 + 1)
    };
    let expected =
        [expected(&long[..512], pb::Role::Admin, 1, "admin"), expected("grace", pb::Role::Editor, 0, "editor")];
    assert_eq!(found.iter().map(told).collect::<Vec<_>>(), expected);

    let mut editor = app.token(&token("grace", "editor")).await;
    let refused = editor.tenant.list_audit_events(pb::ListAuditEventsRequest::default()).await.expect_err("too low");
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_and_pages_find_a_tenants_own_events_and_nobody_elses() {
    let clock = Arc::new(TestClock::new());
    let hour = |n: u64| clock.set_after_start(Duration::from_secs(3_600 * n));
    let data = folder();
    let settings = config(&data);
    let app = TestApp::with(data, settings, Seams { clock: clock.clone(), ..seams() }).await;
    let mut api = app.user(TENANT).await;
    let made = add_prospects(&mut api, 3).await;
    let mut other = app.user("user_b").await;
    let others = add_prospects(&mut other, 1).await;
    for n in 1..=6_u64 {
        hour(n);
        let prospect = pb::Prospect { id: made[n as usize % 3].clone(), notes: n.to_string(), ..Default::default() };
        let request = pb::UpdateProspectRequest { prospect: Some(prospect), update_mask: None };
        api.agent.update_prospect(request).await.expect("changed");
    }
    let at = |hours: i64| {
        let seconds = TestClock::START / 1_000_000 + 3_600 * hours;
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    };
    let all = pb::ListAuditEventsRequest::default;
    let numbers = async |request: pb::ListAuditEventsRequest| {
        events(&app, TENANT, request).await.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!(numbers(all()).await, [7, 6, 5, 4, 3, 2, 1]);
    let update = || "UpdateProspect".to_owned();
    for (request, expected) in [
        (pb::ListAuditEventsRequest { method: update(), ..all() }, &[7, 6, 5, 4, 3, 2][..]),
        (pb::ListAuditEventsRequest { method: "BatchCreateProspects".to_owned(), ..all() }, &[1]),
        (pb::ListAuditEventsRequest { method: "Update".to_owned(), ..all() }, &[]),
        (pb::ListAuditEventsRequest { subject: TENANT.to_owned(), page_size: 2, ..all() }, &[7, 6]),
        (pb::ListAuditEventsRequest { subject: "user_b".to_owned(), ..all() }, &[]),
        (pb::ListAuditEventsRequest { touched: made[1].clone(), ..all() }, &[5, 2, 1]),
        (pb::ListAuditEventsRequest { touched: others[0].clone(), ..all() }, &[]),
        (pb::ListAuditEventsRequest { since: at(4), ..all() }, &[7, 6, 5]),
        (pb::ListAuditEventsRequest { until: at(4), ..all() }, &[4, 3, 2, 1]),
        (pb::ListAuditEventsRequest { since: at(2), until: at(4), method: update(), ..all() }, &[4, 3]),
        (pb::ListAuditEventsRequest { since: at(4), until: at(2), ..all() }, &[]),
    ] {
        assert_eq!(numbers(request.clone()).await, expected, "{request:?}");
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListAuditEventsRequest { page_size: 3, page_token, since: at(1), ..all() };
        let page = api.tenant.list_audit_events(request).await.expect("a page").into_inner();
        found.extend(page.events.iter().map(|event| event.seq));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        // Another's token, and one of another list, are refused.
        for request in [
            pb::ListAuditEventsRequest { page_token: page_token.clone(), ..all() },
            pb::ListAuditEventsRequest { page_token: page_token.clone(), since: at(2), ..all() },
        ] {
            let refused = api.tenant.list_audit_events(request).await.expect_err("another list's");
            assert_eq!(crate::support::reason(&refused), "PAGE_TOKEN_INVALID");
        }
        let request =
            pb::ListAuditEventsRequest { page_size: 3, page_token: page_token.clone(), since: at(1), ..all() };
        let refused = other.tenant.list_audit_events(request).await.expect_err("another's");
        assert_eq!(crate::support::reason(&refused), "PAGE_TOKEN_INVALID");
    }
    assert_eq!(found, [7, 6, 5, 4, 3, 2]);
    assert_eq!(events(&app, "user_b", all()).await.len(), 1);

    // A clock that was set back: what was written before and after is found.
    hour(5);
    let request = pb::DeleteProspectRequest { prospect_id: made[0].clone(), etag: String::new() };
    api.agent.delete_prospect(request).await.expect("deleted");
    assert_eq!(numbers(pb::ListAuditEventsRequest { since: at(6), ..all() }).await, [7]);
    assert_eq!(numbers(pb::ListAuditEventsRequest { since: at(5), ..all() }).await, [8, 7, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_go_when_their_time_has_come_or_there_are_too_many() {
    let clock = Arc::new(TestClock::new());
    let day = |n: u64| clock.set_after_start(Duration::from_secs(24 * 3_600 * n));
    let data = folder();
    let settings = config(&data);
    let app = TestApp::with(data, settings, Seams { clock: clock.clone(), run_engine: false, ..seams() }).await;
    let mut api = app.user(TENANT).await;
    let mut other = app.user("user_b").await;
    for n in 0..5_u64 {
        day(n);
        add_prospects(&mut other, 1 + n as usize).await;
        for row in prospects(2 * n as usize + 2).drain(2 * n as usize..) {
            let request = pb::BatchCreateProspectsRequest { prospects: vec![row], ..Default::default() };
            api.agent.batch_create_prospects(request).await.expect("created");
        }
    }
    let store = &app.ready.store;
    let numbers = async |user: &str| {
        let found = events(&app, user, pb::ListAuditEventsRequest::default()).await;
        found.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    // Days 0 to 4, two each; on the fourth, those of the first two are older than two days.
    store.purge_audit(retention(2, 100)).await.expect("purged");
    assert_eq!((numbers(TENANT).await, numbers("user_b").await), ((5..=10).rev().collect(), vec![5, 4, 3]));
    store.purge_audit(retention(400, 4)).await.expect("purged");
    assert_eq!((numbers(TENANT).await, numbers("user_b").await), (vec![10, 9, 8, 7], vec![5, 4, 3]));
    store.purge_audit(retention(400, 4)).await.expect("nothing to do");
    add_prospects(&mut other, 9).await;
    assert_eq!(numbers("user_b").await, [6, 5, 4, 3], "numbers go on");
    day(900);
    store.purge_audit(retention(400, 100)).await.expect("purged");
    assert_eq!((numbers(TENANT).await, numbers("user_b").await), (vec![], vec![]));

    // More than one write removes.
    let prospect_id = add_prospects(&mut api, 11).await.remove(10);
    let actor = Actor { caller: caller(TENANT).await, method: "m".to_owned(), call_id: String::new() };
    for n in 0..1_300 {
        let fields = herald::domain::prospect::ProspectFields { notes: n.to_string(), ..Default::default() };
        let update = herald::store::UpdateProspect {
            id: herald::domain::id::ProspectId::parse(&prospect_id).expect("an id"),
            fields,
            mask: herald::domain::mask::Mask::all(&["notes"]),
            etag: String::new(),
            seen: None,
        };
        store.by(&actor).write(update).await.expect("changed");
    }
    store.purge_audit(retention(400, 7)).await.expect("purged");
    assert_eq!(numbers(TENANT).await.len(), 7);
}
