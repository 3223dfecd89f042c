//! Every RPC, with every kind of credentials, and with every kind of id in each of its id fields.
//!
//! Generated from the descriptors: what a role may do is the RPC's `access` option, what a field names its `names` option,
//! and requests are filled in by [`rpc::filled`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use herald::app::Seams;
use herald::config::Secret;
use herald::domain::clock::Clock as _;
use herald::pb::{Access, Noun};
use jsonwebtoken::Algorithm;
use prost_reflect::DynamicMessage;
use serde_json::json;
use sqlx::{Connection as _, Row as _};
use tempfile::TempDir;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::rpc::{self, Rpc, each_field, filled, headers, id_fields, rpcs, told};
use crate::support::token::{hs, production};
use crate::support::{SECRET, Seeded, TestApp, TestClock, config, folder, reason, seams, site};

/// The ids that a tenant was told, by what they name.
type Ids = BTreeMap<Noun, BTreeSet<String>>;

/// What a refusal tells, by RPC, field and id.
type Told = BTreeMap<(String, String, String), BTreeMap<String, Vec<u8>>>;

const ROLES: [(&str, Access); 3] = [("viewer", Access::Viewer), ("editor", Access::Editor), ("admin", Access::Admin)];

/// A server whose ids come out the same each time, and whose engine moves when it is told to.
struct Bench {
    app: TestApp,
    channel: Channel,
    site: String,
}

impl Bench {
    async fn start() -> Self {
        Self::on(folder(), 7).await
    }

    /// On a data folder, with ids of that seed.
    async fn on(data: TempDir, seed: u64) -> Self {
        let mut settings = production(config(&data));
        settings.auth.hs256_secret = Secret::new(SECRET);
        settings.auth.role_claim = "role".to_owned();
        let clock = Arc::new(TestClock::new());
        let seams = Seams { clock, random: Arc::new(Seeded::new(seed)), run_engine: false, ..seams() };
        let app = TestApp::with(data, settings, seams).await;
        let channel = app.channel().await;
        let site = site::pages([("/", site::html("<title>Acme</title><h1>Acme tools</h1>"))]).await;
        Self { app, channel, site }
    }

    fn token(&self, tenant: &str, role: &str, lasts: i64, secret: &str) -> String {
        // By the clock of the server, which stands.
        let exp = TestClock::new().now().seconds() + lasts;
        hs(&json!({ "sub": tenant, "role": role, "exp": exp }), secret, Algorithm::HS256)
    }

    /// A call's headers; they also claim another tenant, which nobody may believe.
    fn headers(&self, tenant: &str, role: &str) -> MetadataMap {
        let bearer = format!("Bearer {}", self.token(tenant, role, 600, SECRET));
        headers(&[("authorization", &bearer), ("x-tenant-id", "user_a"), ("x-user-id", "user_a")])
    }

    fn request(&self, rpc: &Rpc, id: &dyn Fn(&str, Noun) -> String) -> DynamicMessage {
        let mut request = filled(&rpc.descriptor.input(), id);
        if let Some(website) = rpc.descriptor.input().get_field_by_name("website") {
            request.set_field(&website, prost_reflect::Value::String(self.site.clone()));
        }
        request
    }

    async fn call(
        &self,
        rpc: &Rpc,
        tenant: &str,
        id: &dyn Fn(&str, Noun) -> String,
    ) -> Result<Option<DynamicMessage>, Status> {
        rpc.call(&self.channel, &self.headers(tenant, "admin"), self.request(rpc, id)).await
    }

    /// Has the tenant make one of everything; the ids that it was told.
    async fn populate(&self, tenant: &str) -> Ids {
        let mut ids = Ids::new();
        // Reads tell what the making needs; then the engine works, and reads tell what came of it.
        let (reads, makes): (Vec<_>, Vec<_>) =
            rpcs().into_iter().filter(|rpc| !rpc.is_destructive()).partition(Rpc::is_read);
        for round in [&reads, &makes, &reads] {
            for rpc in round {
                let known = ids.clone();
                let id = |_: &str, noun| latest(&known, noun);
                if let Ok(Some(answer)) = self.call(rpc, tenant, &id).await {
                    rpc::strings(&answer, &mut |field, text| {
                        if let Some(noun) = rpc::names(field)
                            && !text.is_empty()
                        {
                            ids.entry(noun).or_default().insert(text.to_owned());
                        }
                    });
                }
            }
            self.app.ready.engine.claim().await.expect("claimed");
            while self.app.ready.engine.step().await {}
        }
        ids
    }

    /// Asks, as `tenant`, for `ids` in each id field of each RPC, the other id fields as the tenant's own.
    async fn ask(&self, tenant: &str, own: &Ids, ids: &Ids) -> Told {
        let mut told_all = Told::new();
        for rpc in sorted() {
            for (field, noun) in id_fields(&rpc.descriptor.input()) {
                for id in &ids[&noun] {
                    let fill = |path: &str, noun| {
                        if path == field { id.clone() } else { latest(own, noun) }
                    };
                    let told = match self.call(&rpc, tenant, &fill).await {
                        // A thing is made under an id of the server's own, whatever its message holds.
                        Err(status) if rpc.ignores(&field) => {
                            assert!(!status.message().contains(id), "{}: {status:?}", rpc.name());
                            continue;
                        }
                        Err(status) => told(&status),
                        Ok(answer) => {
                            let answer = answer.map(|answer| rpc::json(&answer)).unwrap_or_default().to_string();
                            let ignored = rpc.ignores(&field) && !answer.contains(id);
                            assert!(ignored, "{} gives {tenant} an answer for {field} = {id}: {answer}", rpc.name());
                            continue;
                        }
                    };
                    told_all.insert((rpc.name(), field.clone(), id.clone()), told);
                }
            }
        }
        told_all
    }
}

/// Those that end or remove something last.
fn sorted() -> Vec<Rpc> {
    let mut all = rpcs();
    all.sort_by_key(Rpc::is_destructive);
    all
}

/// The last that was made: of e-mails one that a campaign wrote, and no reply.
fn latest(ids: &Ids, noun: Noun) -> String {
    ids.get(&noun).and_then(|ids| ids.last().cloned()).unwrap_or_default()
}

/// The nouns whose ids every tenant has alike, such as the built-in templates, left out of `ids`.
fn without(ids: &Ids, common: &Ids) -> Ids {
    let rest = |noun: &Noun, ids: &BTreeSet<String>| match common.get(noun) {
        Some(common) => ids.difference(common).cloned().collect(),
        None => ids.clone(),
    };
    ids.iter().map(|(noun, ids)| (*noun, rest(noun, ids))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_not_the_callers_own_answers_with_the_bytes_that_it_gave_before_anyone_made_it() {
    // What user_a is going to be told, from a server that does the same.
    let rehearsal = Bench::start().await;
    let common = rehearsal.populate("user_c").await;
    let own = rehearsal.populate("user_b").await;
    rehearsal.ask("user_b", &own, &never(&without(&own, &common))).await;
    let foreseen = rehearsal.populate("user_a").await;

    let bench = Bench::start().await;
    let shared: Ids = intersection(&bench.populate("user_c").await, &common);
    let own = bench.populate("user_b").await;
    let shared = intersection(&shared, &own);
    for noun in nouns() {
        let found = own.get(&noun).is_some_and(|ids| !ids.is_empty());
        assert!(
            found,
            "no answer to {} holds an id of {noun:?}: let some RPC that makes one be callable with its fields' `example` options alone",
            "populate"
        );
    }
    let once_own = foreseen.clone();
    let foreseen = without(&foreseen, &shared);
    let before = bench.ask("user_b", &own, &foreseen).await;
    for ((rpc, field, id), told) in &before {
        assert_eq!(told["code"], b"NotFound", "{rpc}: {field} = {id}, which nobody has made, told {}", words(told));
    }
    let made = without(&bench.populate("user_a").await, &shared);
    assert_eq!(made, foreseen, "the same ids as in the rehearsal");

    // Now they are there, and another's.
    assert_eq!(bench.ask("user_b", &own, &foreseen).await, before);
    // And when they are gone again, for their owner too.
    let bench = forget(bench, "user_a").await;
    assert_eq!(bench.ask("user_b", &own, &foreseen).await, before);
    let gone = bench.ask("user_a", &once_own, &foreseen).await;
    for (case, told) in &gone {
        assert_eq!(told["code"], b"NotFound", "{case:?} of a deleted tenant: {}", words(told));
    }
    // An id that nobody ever has tells the same.
    let never = bench.ask("user_b", &own, &never(&own)).await;
    for ((rpc, field, id), told) in &never {
        assert_eq!(told["code"], b"NotFound", "{rpc}: {field} = {id}: {}", words(told));
        for (_, of_another) in before.iter().filter(|((r, f, _), _)| (r, f) == (rpc, field)) {
            assert_eq!(of_another, told, "{rpc}: {field}");
        }
    }
    let asked = |told: &Told| told.keys().map(|(rpc, field, _)| (rpc.clone(), field.clone())).collect::<BTreeSet<_>>();
    let ignored = |rpc: &Rpc, field: &str| rpc.ignores(field);
    let fields = rpcs().into_iter().flat_map(|rpc| {
        let fields = id_fields(&rpc.descriptor.input());
        fields.into_iter().map(move |(field, _)| (rpc.clone(), field))
    });
    let fields: BTreeSet<_> = fields.filter(|(r, f)| !ignored(r, f)).map(|(r, f)| (r.name(), f)).collect();
    assert_eq!(asked(&never), fields, "every id field was asked");
    println!("{} cases in {} id fields", before.len() * 3 + gone.len() + never.len(), fields.len());
}

/// Ids of the same shape that nobody has or will have.
fn never(ids: &Ids) -> Ids {
    let never = |(n, id): (usize, &String)| format!("{}_{n:032}", id.split('_').next().unwrap_or_default());
    ids.iter().map(|(noun, ids)| (*noun, ids.iter().enumerate().map(never).collect())).collect()
}

fn intersection(a: &Ids, b: &Ids) -> Ids {
    let both = |noun: &Noun, of_a: &BTreeSet<String>| match b.get(noun) {
        Some(of_b) => of_a.intersection(of_b).cloned().collect(),
        None => BTreeSet::new(),
    };
    a.iter().map(|(noun, ids)| (*noun, both(noun, ids))).collect()
}

/// Every noun that some id field of a request names.
fn nouns() -> BTreeSet<Noun> {
    rpcs().iter().flat_map(|rpc| id_fields(&rpc.descriptor.input())).map(|(_, noun)| noun).collect()
}

fn words(told: &BTreeMap<String, Vec<u8>>) -> String {
    format!("{} {}", String::from_utf8_lossy(&told["code"]), String::from_utf8_lossy(&told["message"]))
}

/// Removes all rows of a tenant while the server is stopped.
async fn forget(bench: Bench, tenant: &str) -> Bench {
    let (data, _) = bench.app.stop().await;
    let url = format!("sqlite://{}", data.path().join("herald.db").display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.expect("the database");
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut database).await.expect("off");
    for table in tables(&mut database).await {
        #[expect(clippy::disallowed_methods, reason = "the table's name is the schema's")]
        let delete = sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE tenant_id = $1"));
        sqlx::query(delete).bind(tenant).execute(&mut database).await.expect("deleted");
    }
    database.close().await.expect("closed");
    Bench::on(data, 8).await
}

/// The tables with a `tenant_id`.
pub(super) async fn tables(database: &mut sqlx::SqliteConnection) -> Vec<String> {
    let query = "SELECT t.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
        WHERE t.type = 'table' AND c.name = 'tenant_id' ORDER BY t.name";
    let rows = sqlx::query(query).fetch_all(database).await.expect("the schema");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_asks_for_its_credentials_and_its_role_before_it_looks_at_anything() {
    let bench = Bench::start().await;
    let own = bench.populate("user_b").await;
    let others = bench.populate("user_a").await;
    let unknown = never(&own);
    let mut cases = 0;
    for rpc in sorted() {
        for (whose, ids) in [("own", &own), ("another's", &others), ("nobody's", &unknown)] {
            let request = || bench.request(&rpc, &|_: &str, noun| latest(ids, noun));
            // Without valid credentials nothing is told but that.
            let bad = [
                (None, "CREDENTIALS_MISSING"),
                (Some(bench.token("user_b", "admin", -120, SECRET)), "CREDENTIALS_INVALID"),
                (
                    Some(bench.token("user_b", "admin", 600, "another secret, long enough for HS256")),
                    "CREDENTIALS_INVALID",
                ),
            ];
            for (token, expected) in bad {
                let sent = match token {
                    Some(token) => headers(&[("authorization", &format!("Bearer {token}"))]),
                    None => headers(&[("x-tenant-id", "user_b"), ("x-user-id", "user_b")]),
                };
                let refused = rpc.call(&bench.channel, &sent, request()).await.expect_err("no credentials");
                let what = (refused.code(), reason(&refused));
                assert_eq!(what, (Code::Unauthenticated, expected.to_owned()), "{} with {whose} ids", rpc.name());
                cases += 1;
            }
            for (role, access) in ROLES {
                let headers = bench.headers("user_b", role);
                if (access as i32) < rpc.access as i32 {
                    let refused = rpc.call(&bench.channel, &headers, request()).await.expect_err("too low a role");
                    let what = (refused.code(), reason(&refused));
                    assert_eq!(
                        what,
                        (Code::PermissionDenied, "ROLE_TOO_LOW".to_owned()),
                        "{} by a {role} with {whose} ids",
                        rpc.name()
                    );
                    cases += 1;
                } else if whose == "own" {
                    let answer = rpc.call(&bench.channel, &headers, request()).await;
                    assert_own(&rpc, role, answer);
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} cases");
}

/// An allowed call with ids of one's own is answered, or refused for what they are, not for whose.
fn assert_own(rpc: &Rpc, role: &str, answer: Result<Option<DynamicMessage>, Status>) {
    let Err(status) = answer else { return };
    let fields = || {
        let mut names = Vec::new();
        each_field(&rpc.descriptor.input(), "", &mut |path, _| names.push(path.to_owned()));
        names.join(", ")
    };
    assert!(
        status.code() != Code::InvalidArgument,
        "the request made for {} is refused: {}. Give the field an `example` option in its proto (one of {})",
        rpc.name(),
        status.message(),
        fields()
    );
    let allowed = matches!(
        status.code(),
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists | Code::ResourceExhausted
    );
    // A lower role has removed it before.
    let allowed = allowed || rpc.is_destructive() && status.code() == Code::NotFound;
    assert!(allowed, "{} by a {role} with ids of its own: {status:?}", rpc.name());
}
