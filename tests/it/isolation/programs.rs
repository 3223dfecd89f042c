//! Non-interference: whatever others do, a tenant's calls have the same answers and leave the same behind.
//!
//! A program is a random sequence of calls of all RPCs, turns of the engine and operations on the cache by three tenants,
//! made from a seed. It is run as it is, and again with the calls of the observed tenant alone, at the same times. What
//! that tenant was answered, and its rows, events, files and keys at the end, must be the same but for the names of ids. A
//! program for which they are not is shrunk, and printed.
//!
//! Requests are made from the descriptors, so a new RPC takes part by being there.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use herald::app::{Ready, Seams};
use herald::domain::id::CampaignId;
use herald::publish::{Places, WORKFLOW_STATE, publish_changes};
use herald::tenant::{Scope, TenantId};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde_json::json;
use sqlx::{Column as _, Connection as _, Row as _, TypeInfo as _, ValueRef as _};
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

use super::matrix::tables;
use crate::support::redis::{RedisServer, patient};
use crate::support::rpc::{self, Rpc, example, headers, names, rpcs, told};
use crate::support::{Seeded, TestApp, TestClock, config, deep, folder, scope, seams, seeds, site};

/// The observed tenant, and two others.
const B: usize = 0;
const WHO: [&str; 3] = ["B", "A", "C"];

/// How many operations each tenant has in a program.
const LENGTH: usize = 90;
/// The time between two operations.
const TICK: Duration = Duration::from_millis(7);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Op {
    who: usize,
    /// Its place in the whole program, which is its time.
    at: usize,
    act: Act,
    /// What the rest of it is made of.
    seed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    /// Of the RPC with this number.
    Call(usize),
    /// So many turns of the tenant's campaigns.
    Turns(usize),
    Cache,
}

/// A server on which programs are run, one after another.
struct Stage {
    app: TestApp,
    channel: Channel,
    clock: Arc<TestClock>,
    rpcs: Vec<Rpc>,
    sites: Vec<String>,
    runs: AtomicU64,
    /// How often each RPC was answered, and not refused.
    answered: Mutex<BTreeMap<String, usize>>,
    _redis: Option<RedisServer>,
}

/// What is observed, ids by other names; and what was done, to be read by people.
struct Run {
    observed: Vec<String>,
    done: Vec<String>,
}

/// What a tenant has been told that it can tell again: ids by what they name, etags, page tokens.
type Pool = HashMap<String, Vec<String>>;

/// Other names for what is different in each run.
#[derive(Default)]
struct Names {
    known: BTreeMap<String, String>,
}

struct Watching {
    campaign: CampaignId,
    /// The number of the last event that was told.
    seq: i64,
    stream: Streaming<DynamicMessage>,
    told: Vec<String>,
    ended: bool,
    line: usize,
}

fn program(seed: u64, rpcs: &[Rpc]) -> Vec<Op> {
    let random = Seeded::new(seed);
    let number = |name: &str| rpcs.iter().position(|rpc| rpc.descriptor.name() == name).expect("an RPC");
    // What makes the rest worth while comes first, often.
    let first = ["BatchCreateProspects", "ListTemplates", "StartWorkflow", "CreateMailbox"].map(number);
    let mut left = [LENGTH; 3];
    let mut ops = Vec::new();
    while left.iter().any(|left| *left > 0) {
        let who = random.below(3);
        if left[who] == 0 {
            continue;
        }
        let begun = LENGTH - left[who];
        left[who] -= 1;
        let act = match random.below(20) {
            _ if begun < first.len() => Act::Call(first[begun]),
            0..=5 => Act::Turns(1 + random.below(6)),
            6 => Act::Cache,
            _ => Act::Call(any_rpc(&random, rpcs)),
        };
        ops.push(Op { who, at: ops.len(), act, seed: random.next() });
    }
    ops
}

/// What changes something comes more often than what reads, and what ends something less often than what goes on.
fn any_rpc(random: &Seeded, rpcs: &[Rpc]) -> usize {
    loop {
        let any = random.below(rpcs.len());
        let rpc = &rpcs[any];
        let weight = match rpc.descriptor.parent_service().name() {
            _ if rpc.is_destructive() => 4,
            "CacheService" => 3,
            _ if rpc.is_read() => 4,
            _ => 12,
        };
        if random.below(12) < weight {
            return any;
        }
    }
}

// === impl Stage ===

impl Stage {
    async fn start(with_redis: bool) -> Self {
        let data = folder();
        let mut settings = config(&data);
        let redis = with_redis.then(|| RedisServer::start(&[]));
        if let Some(redis) = &redis {
            settings.cache = patient(&redis.url());
        }
        let clock = Arc::new(TestClock::new());
        let seams = Seams { clock: clock.clone(), run_engine: false, ..seams() };
        let app = TestApp::with(data, settings, seams).await;
        let channel = app.channel().await;
        let pages = ["<title>Acme</title><h1>Tools for gardens</h1>", "<title>Bank &amp; Sons</title><p>Banking</p>"];
        let mut sites = Vec::new();
        for page in pages {
            sites.push(site::pages([("/", site::html(page))]).await);
        }
        Self {
            app,
            channel,
            clock,
            rpcs: rpcs(),
            sites,
            runs: AtomicU64::new(0),
            answered: Mutex::default(),
            _redis: redis,
        }
    }

    /// Runs those operations of a program that `takes_part` lets, as tenants that nobody has been before.
    async fn run(&self, program: &[Op], takes_part: impl Fn(usize) -> bool) -> Run {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let tenants = WHO.map(|who| format!("{who}{run:06}"));
        let mut scopes = Vec::new();
        for tenant in &tenants {
            scopes.push(scope(tenant).await);
        }
        let mut names = Names::default();
        names.add(&tenants[B], "tenant B");
        let mut pools: [Pool; 3] = Default::default();
        let mut watching = Vec::new();
        let mut run = Run { observed: Vec::new(), done: Vec::new() };
        for op in program.iter().filter(|op| takes_part(op.who)) {
            self.clock.set_after_start(TICK * op.at as u32);
            let tenant = &tenants[op.who];
            let mut what = format!("{:?}", op.act);
            let (done, answer) = match &op.act {
                Act::Turns(count) => {
                    let id = TenantId::parse(tenant).expect("an id");
                    let mut taken = 0;
                    while taken < *count && self.app.ready.engine.step_of(&id).await {
                        taken += 1;
                    }
                    (format!("{count} turns of the engine"), taken.to_string())
                }
                Act::Cache => self.cache(&scopes[op.who], op.seed).await,
                Act::Call(number) => {
                    let rpc = &self.rpcs[*number];
                    let random = Seeded::new(op.seed);
                    let fill = Fill {
                        random: &random,
                        who: op.who,
                        pools: &pools,
                        sites: &self.sites,
                        foreign: Cell::new(false),
                        careful: random.below(2) == 0,
                    };
                    let request = fill.message(&rpc.descriptor.input());
                    what = rpc.name();
                    let mut done = format!("{what} {}", rpc::json(&request));
                    // Sometimes a header that nobody may believe.
                    let mut sent = headers(&[("x-user-id", tenant)]);
                    if random.below(4) == 0 {
                        let other = (op.who + 1 + random.below(2)) % 3;
                        sent.insert("x-tenant-id", tenants[other].parse().expect("ascii"));
                        let _ = write!(done, " with x-tenant-id: {}", WHO[other]);
                    }
                    let line = run.observed.len();
                    let answer = self.answer(rpc, &sent, request, op.who, &mut names, &mut pools, |watching_one| {
                        if op.who == B {
                            watching.push(Watching { line, ..watching_one });
                        }
                    });
                    (done, answer.await)
                }
            };
            run.done.push(format!("{}: {done}", WHO[op.who]));
            if op.who == B {
                // Not the request, which may hold what another was told.
                run.observed.push(format!("{} {what} -> {answer}", op.at));
            }
            // What could happen by itself happens now, whoever's it is.
            let ready = &self.app.ready;
            ready.engine.claim().await.expect("claimed");
            publish_changes(&places(ready)).await;
            // A stream ends if the campaign has ended when it looks: it looks before the next operation.
            for watching in &mut watching {
                self.listen(watching, &scopes[B]).await;
            }
        }
        // The end is at one time too, whoever's operation came last.
        self.clock.set_after_start(TICK * program.last().map_or(0, |op| op.at) as u32);
        for watching in watching {
            let _ = write!(run.observed[watching.line], " and then {}", watching.told.join(", "));
        }
        run.observed.extend(self.left_behind(&tenants[B], &scopes[B]).await);
        // There is room for all campaigns of three tenants, but not for those of earlier runs, whose turns would end early.
        let reset = self.rpcs.iter().find(|rpc| rpc.descriptor.name() == "ResetWorkflow").expect("an RPC");
        for tenant in &tenants {
            let sent = headers(&[("x-user-id", tenant)]);
            let answer = reset.call(&self.channel, &sent, DynamicMessage::new(reset.descriptor.input())).await;
            answer.expect("the server goes on");
        }
        while self.app.ready.engine.step().await {}
        for line in &mut run.observed {
            *line = names.rename(line);
        }
        run
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one call")]
    async fn answer(
        &self,
        rpc: &Rpc,
        sent: &tonic::metadata::MetadataMap,
        request: DynamicMessage,
        who: usize,
        names: &mut Names,
        pools: &mut [Pool; 3],
        watch: impl FnOnce(Watching),
    ) -> String {
        let campaign = request.get_field_by_name("campaign_id").and_then(|id| id.as_str().map(str::to_owned));
        let after = request.get_field_by_name("after_seq").and_then(|after| after.as_i64());
        let has_after = request.has_field_by_name("after_seq");
        let answer = match rpc.open(&self.channel, sent, request).await {
            Err(status) => Err(status),
            Ok(mut stream) if rpc.is_stream() => {
                let (campaign, after) = (campaign.unwrap_or_default(), after.filter(|_| has_after));
                let campaign = if campaign.is_empty() { self.newest(sent).await } else { campaign };
                let first = if after.is_none() { stream.message().await } else { Ok(None) };
                let of = first.as_ref().ok().and_then(Option::as_ref).map(rpc::json).unwrap_or_default();
                let seq = after.unwrap_or_else(|| number(&of["snapshot"]["lastSeq"]));
                if let Ok(id) = CampaignId::parse(&campaign) {
                    let campaign = id;
                    watch(Watching { campaign, seq, stream, told: Vec::new(), ended: false, line: 0 });
                }
                first
            }
            Ok(mut stream) => stream.message().await,
        };
        match answer {
            Ok(Some(answer)) => {
                *self.answered.lock().expect("no panic").entry(rpc.name()).or_default() += 1;
                learn(&answer, who, names, pools);
                timeless(rpc::json(&answer)).to_string()
            }
            Ok(None) => "a stream".to_owned(),
            Err(status) => refusal(&status),
        }
    }

    /// The id of the caller's newest campaign.
    async fn newest(&self, sent: &tonic::metadata::MetadataMap) -> String {
        let get = self.rpcs.iter().find(|rpc| rpc.descriptor.name() == "GetWorkflow").expect("an RPC");
        let answer = get.call(&self.channel, sent, DynamicMessage::new(get.descriptor.input())).await;
        let answer = answer.ok().flatten().map(|answer| rpc::json(&answer)).unwrap_or_default();
        answer["campaign"]["id"].as_str().unwrap_or_default().to_owned()
    }

    /// Reads what a stream tells until all has been told that has happened, and its end if the campaign has ended.
    async fn listen(&self, watching: &mut Watching, scope: &Scope) {
        let campaign = self.app.ready.store.scope(scope).campaign(Some(&watching.campaign)).await.expect("read");
        let Some(campaign) = campaign else { return };
        while !watching.ended
            && (watching.seq < campaign.seq || (watching.seq == campaign.seq && !campaign.state.is_live()))
        {
            let message = match tokio::time::timeout(Duration::from_secs(5), watching.stream.message()).await {
                Ok(Ok(Some(message))) => {
                    let message = rpc::json(&message);
                    watching.seq = number(&message["event"]["seq"]);
                    message.to_string()
                }
                Ok(Ok(None)) => "the end".to_owned(),
                Ok(Err(status)) => refusal(&status),
                Err(_) => "nothing more".to_owned(),
            };
            watching.ended = !message.starts_with('{');
            watching.told.push(message);
        }
    }

    /// One operation on the cache.
    async fn cache(&self, scope: &Scope, seed: u64) -> (String, String) {
        const KEYS: [&str; 6] = ["k", "a:b", "*", "user:A000001:k", "[k]", "k\n"];
        let random = Seeded::new(seed);
        let cache = self.app.ready.cache.scope(scope);
        let key = KEYS[random.below(KEYS.len())];
        let value = json!({ "n": random.below(9) });
        let (done, answer) = match random.below(10) {
            0..=1 => (format!("set {key:?} {value}"), format!("{:?}", cache.set(key, &value, None).await)),
            2 => (format!("get {key:?}"), format!("{:?}", cache.get(key).await)),
            3 => (format!("delete {key:?}"), format!("{:?}", cache.delete(key).await)),
            4 => (format!("increment {key:?}"), format!("{:?}", cache.increment(key, 2).await)),
            5 => (format!("push {key:?}"), format!("{:?}", cache.push(key, &value).await)),
            6 => (format!("list {key:?}"), format!("{:?}", cache.list(key, 0, usize::MAX, usize::MAX).await)),
            7 => ("keys".to_owned(), format!("{:?}", cache.keys().await)),
            8 => {
                let answer = cache.get_many(&[KEYS[0], WORKFLOW_STATE, key], usize::MAX).await;
                (format!("get three, {key:?} last"), format!("{answer:?}"))
            }
            _ => ("delete all".to_owned(), format!("{:?}", cache.delete_all().await)),
        };
        (format!("cache: {done}"), answer)
    }

    /// The tenant's rows, files and keys.
    async fn left_behind(&self, tenant: &str, scope: &Scope) -> Vec<String> {
        let mut left = Vec::new();
        let data = self.app.data.path();
        let url = format!("sqlite://{}?mode=ro", data.join("herald.db").display());
        let mut database = sqlx::SqliteConnection::connect(&url).await.expect("the database");
        for table in tables(&mut database).await {
            #[expect(clippy::disallowed_methods, reason = "the table's name is the schema's")]
            let select = sqlx::AssertSqlSafe(format!("SELECT * FROM {table} WHERE tenant_id = $1"));
            for row in sqlx::query(select).bind(tenant).fetch_all(&mut database).await.expect("rows") {
                left.push(format!("row of {table}: {}", columns(&row)));
            }
        }
        files(&data.join("users").join(tenant), &mut left);
        let cache = self.app.ready.cache.scope(scope);
        for key in cache.keys().await.expect("keys") {
            let list = cache.list(&key, 0, usize::MAX, usize::MAX).await;
            left.push(format!("key {key:?}: {:?} {list:?}", cache.get(&key).await));
        }
        left
    }

    /// The first difference that others make to B, if there is one.
    async fn difference(&self, program: &[Op]) -> Option<(Run, String)> {
        let together = Box::pin(self.run(program, |_| true)).await;
        let alone = Box::pin(self.run(program, |who| who == B)).await;
        let none = "nothing".to_owned();
        let length = together.observed.len().max(alone.observed.len());
        let line = |run: &Run, n: usize| run.observed.get(n).unwrap_or(&none).clone();
        let n = (0..length).find(|n| line(&together, *n) != line(&alone, *n))?;
        let told = format!("together: {}\n   alone: {}", line(&together, n), line(&alone, n));
        Some((together, told))
    }

    /// Panics with a short program if others make a difference to B.
    async fn check(&self, seed: u64) {
        let mut program = program(seed, &self.rpcs);
        let Some(mut found) = self.difference(&program).await else { return };
        // Leaves out ever smaller pieces as long as a difference remains, for a minute at most.
        let until = Instant::now() + Duration::from_secs(60);
        let mut piece = program.len() / 2;
        while piece > 0 {
            let mut from = 0;
            while from < program.len() && Instant::now() < until {
                let mut shorter = program.clone();
                shorter.drain(from..(from + piece).min(program.len()));
                match self.difference(&shorter).await {
                    Some(still) => (program, found) = (shorter, still),
                    None => from += piece,
                }
            }
            piece /= 2;
        }
        let (run, told) = found;
        panic!("seed {seed}: others make a difference to B.\n{told}\nThe program:\n  {}", run.done.join("\n  "));
    }
}

fn places(ready: &Ready) -> Places {
    let Ready { store, engine, cache, files } = ready.clone();
    Places { store, engine, cache, files }
}

/// A 64-bit number in protobuf's JSON; 0 if it is not there.
fn number(value: &serde_json::Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// All that a refusal tells, its headers too.
fn refusal(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info();
    // A protobuf map has no order.
    let metadata: Option<BTreeMap<_, _>> = info.map(|info| info.metadata.iter().collect());
    let rest = (details.bad_request(), details.precondition_failure(), details.retry_info(), details.quota_failure());
    let headers = told(status).into_iter().filter(|(name, _)| name.starts_with("header"));
    let headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(&value))).collect();
    let (code, reason) = (status.code(), info.map(|info| &info.reason));
    format!("refused ({code:?} {reason:?} {metadata:?} {:?} {rest:?} {headers:?})", status.message())
}

/// Without how long a mail server took, which is another time in each run.
fn timeless(mut answer: serde_json::Value) -> serde_json::Value {
    for line in answer["transcript"].as_array_mut().into_iter().flatten() {
        line.as_object_mut().map(|line| line.remove("durationMillis"));
    }
    answer
}

/// Takes up what an answer tells.
fn learn(answer: &DynamicMessage, who: usize, names: &mut Names, pools: &mut [Pool; 3]) {
    rpc::strings(answer, &mut |field, text| {
        if let Some(kind) = kind(field)
            && !text.is_empty()
        {
            let known = pools[who].entry(kind.clone()).or_default();
            // What was told last is at the end.
            if let Some(place) = known.iter().position(|known| known == text) {
                known[place..].rotate_left(1);
            } else {
                known.push(text.to_owned());
                if who == B && ["etag", "page_token", "call_id", "dns_record"].contains(&kind.as_str()) {
                    names.add(text, &format!("{kind} {}", known.len()));
                }
            }
        }
    });
}

/// What can be told again, and where: an id by what it names, an etag, a page token.
fn kind(field: &FieldDescriptor) -> Option<String> {
    match (names(field), field.name()) {
        (Some(noun), _) => Some(format!("{noun:?}")),
        (None, "etag") => Some("etag".to_owned()),
        (None, "page_token" | "next_page_token") => Some("page_token".to_owned()),
        // Another one in each run, since others call too.
        (None, "call_id") => Some("call_id".to_owned()),
        // Of a key that is made by chance.
        (None, "dns_record") => Some("dns_record".to_owned()),
        _ => None,
    }
}

fn columns(row: &sqlx::sqlite::SqliteRow) -> String {
    let column = |column: &sqlx::sqlite::SqliteColumn| {
        let (at, name) = (column.ordinal(), column.name());
        let value = row.try_get_raw(at).expect("a value");
        let text = match value.type_info().name() {
            "NULL" => "null".to_owned(),
            "INTEGER" => row.get::<i64, _>(at).to_string(),
            "TEXT" => row.get::<String, _>(at),
            // They may hold a key that is made by chance, whose length is too.
            "BLOB" if name == "secrets" => "sealed".to_owned(),
            // A hash of a request, with ids in it.
            "BLOB" => format!("{} bytes", row.get::<Vec<u8>, _>(at).len()),
            other => panic!("{other} in a STRICT table"),
        };
        format!("{name}={text}")
    };
    // What is due is claimed at any operation, and when the next one is depends on whose they are; a mailbox pauses by chance.
    let left_out = ["call_id", "fence", "lease_owner", "due_time", "next_time"];
    let told = row.columns().iter().filter(|column| !left_out.contains(&column.name()));
    told.map(column).collect::<Vec<_>>().join(" ")
}

/// The files below a folder, by name, with what is in them.
fn files(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, found);
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned();
            found.push(format!("file {}: {text}", path.display()));
        }
    }
}

// === impl Names ===

impl Names {
    fn add(&mut self, text: &str, name: &str) {
        self.known.insert(text.to_owned(), format!("<{name}>"));
    }

    /// The text with other names for what is known, and for ids in the order in which they come.
    fn rename(&mut self, text: &str) -> String {
        let mut renamed = text.to_owned();
        for (known, name) in self.known.iter().filter(|(known, _)| !is_id(known)) {
            renamed = renamed.replace(known, name);
        }
        let mut out = String::with_capacity(renamed.len());
        let mut rest = renamed.as_str();
        while let Some(at) = rest.find('_') {
            let id = at.checked_sub(2).and_then(|from| rest.get(from..at + 33)).filter(|id| is_id(id));
            match id {
                Some(id) => {
                    let next = format!("<{} {}>", &id[..2], self.known.len());
                    let name = self.known.entry(id.to_owned()).or_insert(next);
                    out.push_str(&rest[..at - 2]);
                    out.push_str(name);
                    rest = &rest[at + 33..];
                }
                None => {
                    out.push_str(&rest[..=at]);
                    rest = &rest[at + 1..];
                }
            }
        }
        out + rest
    }
}

/// Such as `pr_` and 32 hexadecimal digits.
fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 35
        && bytes[..2].iter().all(u8::is_ascii_lowercase)
        && bytes[2] == b'_'
        && bytes[3..].iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
}

/// Makes requests of random parts.
struct Fill<'a> {
    random: &'a Seeded,
    who: usize,
    pools: &'a [Pool; 3],
    sites: &'a [String],
    /// Whether something of another's is in it.
    foreign: Cell<bool>,
    /// Whether it names what is its tenant's own alone: a request with several ids is seldom answered otherwise.
    careful: bool,
}

// === impl Fill ===

impl Fill<'_> {
    fn message(&self, of: &MessageDescriptor) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        for field in of.fields() {
            let percent = match field.kind() {
                _ if names(&field).is_some() => 85,
                _ if field.is_list() || example(&field).is_some() => 75,
                Kind::Enum(_) | Kind::Message(_) => 50,
                _ if kind(&field).is_some() => 20,
                _ => 15,
            };
            if self.random.below(100) >= percent {
                continue;
            }
            if field.is_list() {
                let count = self.random.below(4);
                message.set_field(&field, Value::List((0..count).map(|_| self.value(of, &field)).collect()));
            } else {
                message.set_field(&field, self.value(of, &field));
            }
        }
        message
    }

    fn value(&self, of: &MessageDescriptor, field: &FieldDescriptor) -> Value {
        const WORDS: [&str; 7] = ["Acme", "garden", "例子", "a%_'\"; --", "Ünï", "{{ name }}", "  spaces  "];
        const NUMBERS: [i32; 16] = [0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 50, 100, 7, -1];
        match field.kind() {
            Kind::String => Value::String(match (kind(field), example(field)) {
                (Some(kind), _) => self.known(&kind),
                (None, Some(example)) if example.starts_with("https://example.com") => {
                    self.sites[self.random.below(self.sites.len())].clone()
                }
                // Few, so that they meet.
                (None, Some(example)) if example.contains('@') => format!("p{}.{example}", self.random.below(5)),
                (None, Some(example)) => example,
                (None, None) if field.name() == "request_id" => format!("r{}", self.random.below(2)),
                (None, None) => WORDS[self.random.below(WORDS.len())].to_owned(),
            }),
            Kind::Bool => Value::Bool(self.random.below(2) == 0),
            Kind::Enum(values) => {
                let numbers: Vec<_> = values.values().map(|value| value.number()).collect();
                Value::EnumNumber(numbers[self.random.below(numbers.len())])
            }
            Kind::Int32 => Value::I32(NUMBERS[self.random.below(NUMBERS.len())]),
            Kind::Int64 => Value::I64(i64::from(NUMBERS[self.random.below(NUMBERS.len())])),
            Kind::Message(inner) if inner.full_name() == "google.protobuf.FieldMask" => {
                let mut mask = DynamicMessage::new(inner);
                mask.set_field_by_name("paths", Value::List(self.paths(of)));
                Value::Message(mask)
            }
            Kind::Message(inner) if inner.package_name() == "google.protobuf" => {
                // A time of now, a while, a value of a few.
                let texts = match inner.name() {
                    "Timestamp" => ["\"2026-01-02T03:04:05Z\"", "\"2026-02-03T04:05:06Z\"", "\"2026-02-03T04:05:07Z\""],
                    // Redis has a clock of its own, which goes on.
                    "Duration" => ["\"7200s\"", "\"3600s\"", "\"-1s\""],
                    "Value" => ["null", "7", "{\"a\": [1, \"b\"]}"],
                    "Struct" => ["{}", "{\"a\": 1}", "{\"b\": {\"c\": null}}"],
                    other => panic!("{}: teach this test to make values of {other}", field.full_name()),
                };
                let mut json = serde_json::Deserializer::from_str(texts[self.random.below(texts.len())]);
                Value::Message(DynamicMessage::deserialize(inner, &mut json).expect("a text of ours"))
            }
            Kind::Message(inner) => Value::Message(self.message(&inner)),
            other => panic!("{}: teach this test to make values of {other:?}", field.full_name()),
        }
    }

    /// Some fields of the message beside the mask.
    fn paths(&self, of: &MessageDescriptor) -> Vec<Value> {
        let masked = of.fields().find_map(|field| match field.kind() {
            Kind::Message(inner) if inner.package_name() == "herald.v1" => Some(inner),
            _ => None,
        });
        let fields: Vec<_> = masked.iter().flat_map(MessageDescriptor::fields).collect();
        let count = self.random.below(3);
        (0..count).map(|_| Value::String(fields[self.random.below(fields.len())].name().to_owned())).collect()
    }

    /// Something that the caller was told, or another, or nobody.
    fn known(&self, kind: &str) -> String {
        let (whose, which) = (self.random.below(20), self.random.next());
        let never = || format!("no_{}", "0".repeat(32));
        let pick = |who: usize| {
            // What all tenants know alike, such as the built-in templates, is not another's.
            let anothers = |text: &&String| who == self.who || is_id(text) || kind == "etag" || kind == "page_token";
            let mut known: Vec<_> = self.pools[who].get(kind).into_iter().flatten().filter(anothers).collect();
            if self.careful && known.iter().any(|text| is_id(text)) {
                known.retain(|text| is_id(text));
            }
            if known.is_empty() && who == self.who {
                format!("no_{}", "1".repeat(32))
            } else if known.is_empty() {
                never()
            } else if which % 2 == 0 {
                // Often what was told last, so that calls go on with what others have begun.
                known[known.len() - 1].clone()
            } else {
                known[(which / 2 % known.len() as u64) as usize].clone()
            }
        };
        match whose {
            _ if self.careful => pick(self.who),
            18.. => String::new(),
            // Once in a request: two could be the same, and be told to be, where nobody's are not.
            13.. if self.foreign.replace(true) => pick(self.who),
            13..=14 => pick((self.who + 1) % 3),
            15..=16 => pick((self.who + 2) % 3),
            17 => never(),
            _ => pick(self.who),
        }
    }
}

async fn check_seeds(with_redis: bool) {
    let stage = Stage::start(with_redis).await;
    let seeds = seeds(if deep() { 10_000 } else { 160 });
    let few = seeds.clone().count() < 160;
    for seed in seeds.filter(|seed| seed.is_multiple_of(2) == with_redis) {
        stage.check(seed).await;
    }
    // Programs that are only refused would prove little. Both stages together answer every RPC.
    static ANSWERED: Mutex<(usize, BTreeMap<String, usize>)> = Mutex::new((0, BTreeMap::new()));
    let mut all = ANSWERED.lock().expect("no panic");
    all.0 += 1;
    for (name, count) in stage.answered.lock().expect("no panic").iter() {
        *all.1.entry(name.clone()).or_default() += count;
    }
    if all.0 == 2 {
        println!("{:?}", all.1);
        let never: Vec<_> = stage.rpcs.iter().map(Rpc::name).filter(|name| !all.1.contains_key(name)).collect();
        assert!(
            few || never.is_empty(),
            "never answered, only refused: {never:?}; give their fields `example` options"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_do_makes_no_difference_with_the_cache_in_memory() {
    Box::pin(check_seeds(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_do_makes_no_difference_with_the_cache_in_redis() {
    Box::pin(check_seeds(true)).await;
}
