//! What holds for the code as a whole: every SQL text finds its rows through an index that begins with the tenant, every
//! method has an access option, scopes are minted in the named places alone, modules import only from below, no files take
//! from each other in a circle.

mod circles;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use herald::auth::{Access, Policy, PolicyError};
use herald::store::{system_texts, tenant_texts};
use herald::wire::Shapes;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use sqlx::Row as _;

use crate::support::TestApp;
use crate::support::rpc::rpcs;
use circles::Ties;

#[tokio::test]
async fn every_tenant_query_reaches_every_table_through_an_index_on_the_tenant() {
    let app = TestApp::start().await;
    let mut connection = app.database().await;
    let texts = tenant_texts();
    assert!(texts.len() > 30, "the texts are registered: {}", texts.len());
    for sql in texts {
        #[expect(clippy::disallowed_methods, reason = "EXPLAIN before a registered text; nothing is run")]
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.0.sqlite));
        let plan =
            sqlx::query(explain).fetch_all(&mut connection).await.unwrap_or_else(|e| panic!("{}: {e}", sql.0.name));
        for row in plan {
            let detail: String = row.get("detail");
            let by_tenant = detail.starts_with("SEARCH") && detail.contains("(tenant_id=?");
            // What is no table: the parameter's JSON, a subquery's own result, the order of evaluation.
            let no_table =
                detail.contains("VIRTUAL TABLE") || detail.contains("SUBQUERY") || detail.contains("CO-ROUTINE");
            let made = detail.starts_with("SCAN (subquery")
                || ["SCAN counted", "SCAN slice"].contains(&detail.as_str())
                || detail.starts_with("USE TEMP B-TREE FOR");
            let fk = detail.starts_with("LIST SUBQUERY")
                || detail.starts_with("CREATE BLOOM FILTER")
                || detail.contains("CONSTANT ROW");
            assert!(
                by_tenant || no_table || made || fk,
                "{} does not go by tenant: {detail}\n{}",
                sql.0.name,
                sql.0.sqlite
            );
        }
    }
}

/// What the read cache goes by: which tables a text names, and whether it changes rows.
#[tokio::test]
async fn every_text_names_the_tables_that_sqlite_opens_for_it() {
    let app = TestApp::start().await;
    let mut connection = app.database().await;
    let pages = sqlx::query("SELECT rootpage, tbl_name FROM sqlite_schema WHERE rootpage > 0");
    let pages = pages.fetch_all(&mut connection).await.expect("the schema");
    let pages: BTreeMap<i64, String> = pages.iter().map(|row| (row.get(0), row.get(1))).collect();
    let of_tenants = tenant_texts().into_iter().map(|sql| (sql.0.name, sql.0.sqlite, sql.0.tables, sql.0.changes));
    let of_all = system_texts().into_iter().map(|sql| (sql.0.name, sql.0.sqlite, sql.0.tables, sql.0.changes));
    for (name, text, tables, changes) in of_tenants.chain(of_all) {
        #[expect(clippy::disallowed_methods, reason = "EXPLAIN before a registered text; nothing is run")]
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {text}"));
        let program = sqlx::query(explain).fetch_all(&mut connection).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        let named: Vec<_> = tables.names().collect();
        for row in program {
            let (opcode, database): (String, i64) = (row.get("opcode"), row.get("p3"));
            let writes = opcode == "OpenWrite";
            let table = pages.get(&row.get::<i64, _>("p2"));
            let Some(table) = table.filter(|_| database == 0 && (writes || opcode == "OpenRead")) else { continue };
            assert!(changes || !writes, "{name} changes {table}, and begins as a query does");
            // What a foreign key is checked against is not what the text gives or changes.
            let counts = writes || !changes;
            let is_named = named.contains(&table.as_str()) || ["tenants", "sqlite_schema"].contains(&table.as_str());
            assert!(
                !counts || is_named || table.starts_with("_sqlx"),
                "{name} opens {table}, which freshness.rs does not know"
            );
        }
    }
}

/// SQLite plans a text anew where its plan hangs on what is bound, as it does for `LIMIT $1` (not for `LIMIT +$1`), or for
/// anything once it has statistics. For a list that is a fifth of the time.
#[test]
fn no_text_is_planned_anew_for_other_values() {
    let connection = rusqlite::Connection::open_in_memory().expect("a database");
    let mut migrations: Vec<_> = std::fs::read_dir("migrations/sqlite").expect("there").flatten().collect();
    migrations.sort_by_key(std::fs::DirEntry::path);
    for migration in migrations {
        let text = std::fs::read_to_string(migration.path()).expect("a migration");
        connection.execute_batch(&text).expect("applied");
    }
    let of_tenants = tenant_texts().into_iter().map(|sql| (sql.0.name, sql.0.sqlite));
    let of_all = system_texts().into_iter().map(|sql| (sql.0.name, sql.0.sqlite));
    let mut planned_anew = Vec::new();
    for (name, text) in of_tenants.chain(of_all).filter(|(_, text)| text.contains("$1")) {
        let mut statement = connection.prepare(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        for value in 1..=3 {
            for n in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(n, value).expect("bound");
            }
            // Most are refused: it is their plan that is looked at.
            let _ = statement.raw_query().next();
        }
        if statement.get_status(rusqlite::StatementStatus::RePrepare) > 0 {
            planned_anew.push(name);
        }
    }
    assert!(planned_anew.is_empty(), "write +$1 where the plan hangs on the value: {planned_anew:?}");
}

#[test]
fn texts_that_cross_tenants_are_few_and_return_no_data() {
    let names: Vec<_> = system_texts().iter().map(|sql| sql.0.name).collect();
    let known = [
        "AGENT_MAIL_TENANTS",
        "TENANT_EXISTS",
        "TENANT_INSERT",
        "TENANT_DATA_KEY",
        "ANY_DATA_KEY",
        "ALL_DATA_KEYS",
        "REPLACE_DATA_KEY",
        "ALL_TENANTS",
        "TENANT_LINK_KEY",
        "SET_LINK_KEY",
        "CLAIM_DUE",
        "NEXT_DUE",
        "CLAIM_INTERRUPTED",
        "RENEW_LEASES",
        "FREE_LEASES",
        "ONE_READ_ALONE",
        "SUSPECT",
        "UNSUSPECT",
        "PURGE_REQUEST_IDS",
        "PURGE_DUE",
        "PURGE_CHOICES",
        "PURGE_EMAILS",
        "PURGE_PROSPECT",
        "UNKEYED_TENANTS",
        "LINK_OWNER",
        "MAIL_LEVELS",
    ];
    assert_eq!(names, known, "a new text that crosses tenants is looked at by a person, who then adds it here");
}

#[test]
fn every_method_has_an_access_option() {
    let policy = Policy::load().expect("every method has one");
    assert!(policy.methods().count() >= 23);
    assert_eq!(policy.method("/grpc.health.v1.Health/Check").map(|method| method.access), Some(Access::Open));
    for unknown in ["/herald.v1.AgentService/NoSuchMethod", "/grpc.health.v1.Health/NoSuchMethod"] {
        assert_eq!(policy.method(unknown), None);
    }

    // Without its option, a method is found out by name.
    let mut set = prost_types::FileDescriptorSet::decode(herald::pb::DESCRIPTORS).expect("descriptors");
    for file in set.file.iter_mut().filter(|f| f.name() == "herald/v1/tenant.proto") {
        file.service[0].method[0].options = None;
    }
    // prost drops the extensions of the other methods too, so that one of them is named.
    let error = Policy::read(&set.encode_to_vec()).expect_err("an option is missing");
    assert!(matches!(&error, PolicyError::Missing(path) if path.starts_with("/herald.v1.")), "{error}");
    assert!(error.to_string().contains("add `option (access)"), "{error}");
}

/// Clients repeat by themselves what changes nothing.
#[test]
fn every_method_that_a_viewer_may_call_says_that_it_changes_nothing() {
    for rpc in rpcs() {
        let reads = rpc.access == herald::pb::Access::Viewer || rpc.descriptor.name() == "ListAuditEvents";
        assert_eq!(rpc.is_read(), reads, "{}: `option idempotency_level = NO_SIDE_EFFECTS`", rpc.name());
    }
}

#[test]
fn every_field_of_many_elements_says_how_many() {
    Shapes::load().expect("every field says it");

    let mut set = prost_types::FileDescriptorSet::decode(herald::pb::DESCRIPTORS).expect("descriptors");
    let fields = set.file.iter_mut().flat_map(|file| &mut file.message_type).flat_map(|message| &mut message.field);
    fields.filter(|field| field.name() == "tags").for_each(|field| field.options = None);
    let error = Shapes::read(&set.encode_to_vec()).expect_err("an option is missing");
    assert!(error.to_string().contains("add `[(max_elements) = …]`"), "{error}");
}

#[test]
fn every_id_field_of_a_request_says_what_it_names() {
    let pool = DescriptorPool::decode(herald::pb::DESCRIPTORS).expect("descriptors");
    let names = pool.get_extension_by_name("herald.v1.names").expect("the option");
    for message in pool.all_messages().filter(|m| m.full_name().starts_with("herald.v1.")) {
        for field in message.fields() {
            let is_id = field.name() == "id" || field.name().ends_with("_id");
            // The campaign step's id is an enum; the caller's tenant is no id that a request may hold; an OAuth client's and a mail server's are another's.
            let exempt = field.kind().as_enum().is_some()
                || ["tenant_id", "request_id", "message_id", "server_id", "call_id", "client_id"]
                    .contains(&field.name());
            if is_id && !exempt {
                assert!(field.options().has_extension(&names), "{} needs `[(names) = NOUN_…]`", field.full_name());
            }
        }
        let request = message.name().ends_with("Request");
        let tells_tenant = message.fields().any(|f| f.name().contains("tenant") || f.name().contains("user_id"));
        assert!(!(request && tells_tenant), "{} names a tenant; identity comes from credentials", message.full_name());
    }
}

#[test]
fn scopes_are_minted_in_the_named_places_alone() {
    let mints: Vec<_> =
        sources("src").into_iter().filter(|(_, text)| text.contains("Scope::mint(")).map(|(path, _)| path).collect();
    assert_eq!(
        mints,
        ["src/auth/mod.rs", "src/engine/board.rs", "src/store/leases.rs", "src/store/links.rs"],
        "engine/board.rs: in its tests"
    );
    let callers: Vec<_> = sources("src")
        .into_iter()
        .filter(|(_, text)| text.contains("Caller::verified("))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(callers, ["src/auth/mod.rs"]);
    let made = |text: &str| text.contains("Actor { caller:");
    let actors: Vec<_> = sources("src").into_iter().filter(|(_, text)| made(text)).map(|(path, _)| path).collect();
    assert_eq!(actors, ["src/rpc/mod.rs"], "who the audit log says it was comes from the verified caller alone");
}

#[test]
fn sql_stays_in_the_store_and_paths_in_files() {
    for (path, text) in sources("src") {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if !path.starts_with("src/store/") {
            assert!(!code.contains("SELECT "), "{path} has SQL");
        }
        if !path.starts_with("src/store/sqlite/") {
            assert!(!["sqlx::", "rusqlite::"].iter().any(|driver| code.contains(driver)), "{path} knows the driver");
        }
        if !path.starts_with("src/files/") {
            assert!(!code.contains("\"users\""), "{path} makes a tenant's path");
        }
        if path != "src/store/sql/mod.rs" {
            assert!(!code.contains("TenantSql::new("), "{path} makes a text that is not registered");
        }
    }
}

#[test]
fn every_planted_fault_still_fits_the_sources() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let entries =
        std::fs::read_dir(root.join("tests/mutants")).expect("a folder").map(|entry| entry.expect("an entry"));
    let patches: Vec<_> =
        entries.map(|e| e.path()).filter(|path| path.extension().is_some_and(|e| e == "patch")).collect();
    assert!(patches.len() >= 14, "the patches are found");
    for patch in patches {
        let mut apply = Command::new("git");
        apply.args(["apply", "--check"]).arg(&patch).current_dir(&root);
        let output = apply.output().expect("git is there");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} no longer plants what it says: {why}", patch.display());
    }
}

/// The ranks, from below; a module imports only from ranks below its own, or from itself.
const RANKS: &[&[&str]] = &[
    &["domain", "crash", "heavy", "volume"],
    &["tenant", "terminal"],
    &["config", "metrics", "pb", "turns"],
    &["telemetry", "budget"],
    &["store", "files", "cache", "wire"],
    &["connect"],
    &["engine"],
    &["status", "call"],
    &["auth"],
    &["rpc", "client", "read_cache"],
    &["transport", "publish"],
    &["app", "backup"],
    &["check"],
    &["cli"],
];

/// Modules without a rank: what unit tests share, and the roots of the library and the program.
const UNRANKED: &[&str] = &["testing", "lib", "main"];

#[test]
fn modules_import_only_from_ranks_below() {
    let rank: BTreeMap<_, _> =
        RANKS.iter().enumerate().flat_map(|(i, row)| row.iter().map(move |name| (*name, i))).collect();
    let sources = sources("src");
    let (_, root) = sources.iter().find(|(path, _)| path == "src/lib.rs").expect("the library's root");
    let declared = root.lines().filter_map(|line| line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod "));
    for module in declared.map(|name| name.trim_end_matches(';')) {
        assert!(rank.contains_key(module) || UNRANKED.contains(&module), "src/lib.rs: give {module} a rank in RANKS");
    }
    for (path, text) in sources {
        let own = path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default().to_owned();
        if UNRANKED.contains(&own.as_str()) {
            continue;
        }
        let Some(mine) = rank.get(own.as_str()) else { panic!("{path}: give {own} a rank in RANKS") };
        let code: String =
            text.lines().filter(|l| !l.trim_start().starts_with("//")).map(|l| format!("{l}\n")).collect();
        for part in code.split("crate::").skip(1) {
            let used: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // What is no module is a macro.
            let Some(theirs) = rank.get(used.as_str()) else { continue };
            assert!(used == own || theirs < mine, "{path} imports crate::{used}, which does not stand below {own}");
        }
    }
}

#[test]
fn no_files_take_from_each_other_in_a_circle() {
    for (folder, root) in [("src", "src/lib.rs"), ("bench/src", "bench/src/main.rs")] {
        let ties = Ties::read(root, &sources(folder));
        assert!(ties.count() > 40, "{folder}: paths are followed to the files that they name");
        let circles = ties.circles();
        assert!(circles.is_empty(), "move what ties them to where both can take it from:\n{}", circles.join("\n"));
    }
}

/// The path, from the project's folder, and the text of every source file of a folder, sorted.
pub fn sources(folder: &str) -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut out = Vec::new();
    collect(&root, &root.join(folder), &mut out);
    out.sort();
    assert!(out.len() > 10, "the sources are found");
    out
}

fn collect(root: &Path, dir: &Path, out: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            out.push((name, std::fs::read_to_string(&path).expect("a text")));
        }
    }
}
