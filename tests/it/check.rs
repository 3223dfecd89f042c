//! `herald check` finds what is planted, says what to do, and finds nothing where nothing is wrong.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::support::process::{herald, serve};
use crate::support::redis::RedisServer;
use crate::support::{SECRET, add_prospects, folder};

/// A data folder that a server has worked in and left.
async fn deployment() -> TempDir {
    let data = folder();
    let mut server = serve(data.path(), &[]);
    add_prospects(&mut server.user("user_a").await, 5).await;
    add_prospects(&mut server.user("user_b").await, 5).await;
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().await.success());
    data
}

fn check(data: &Path, args: &[&str], env: &[(&str, &str)]) -> (bool, String) {
    let mut command = herald();
    command.args(["check", "--dev", "--data-dir"]).arg(data).args(args).envs(env.iter().copied());
    let output = command.output().expect("it ends");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    (output.status.success(), text)
}

fn finds(data: &Path, args: &[&str], env: &[(&str, &str)], wrong: &str, to_do: &str) {
    let (good, text) = check(data, args, env);
    assert!(!good && text.contains(wrong) && text.contains(to_do), "{wrong:?} and {to_do:?} in:\n{text}");
}

async fn execute(data: &Path, sql: &'static str) {
    let database = format!("sqlite://{}", data.join("herald.db").display());
    let mut connection = SqliteConnection::connect(&database).await.expect("the database");
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut connection).await.expect("set");
    sqlx::query(sql).execute(&mut connection).await.expect("done");
    connection.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_deployment_is_found_good_beside_its_server_too() {
    let data = deployment().await;
    assert_eq!(check(data.path(), &["--deep"], &[]), (true, "everything is as it should be\n".to_owned()));
    let secret = [("HERALD_AUTH_HS256_SECRET", SECRET)];
    let server = serve(data.path(), &secret);
    let url = format!("http://{}", server.address);
    let users = ["--user", "user_a", "--user", "user_b", "--server", &url];
    assert_eq!(check(data.path(), &users, &secret), (true, "everything is as it should be\n".to_owned()));
    finds(
        data.path(),
        &users,
        &[("HERALD_AUTH_HS256_SECRET", "another secret, also long enough for it")],
        "a call of user_a was refused",
        "runs with these settings",
    );
    drop(server);
    finds(data.path(), &users, &secret, "cannot reach", "start the server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_planted_fault_in_the_data_folder_is_found() {
    let nowhere = folder();
    finds(&nowhere.path().join("none"), &[], &[], "there is no database", "--data-dir");

    let data = deployment().await;
    let mode = |path: &str, mode| {
        std::fs::set_permissions(data.path().join(path), std::fs::Permissions::from_mode(mode)).expect("set");
    };
    mode("herald.db", 0o644);
    finds(data.path(), &[], &[], "herald.db can be read by others: its mode is 0644", "chmod go-rwx");
    mode("herald.db", 0o600);
    finds(
        data.path(),
        &[],
        &[("HERALD_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")],
        "does not open the data keys of 2 of 2 tenants",
        "HERALD_MASTER_KEY",
    );
    finds(data.path(), &[], &[("HERALD_ENGINE_WORKERS", "0")], "engine.workers", "herald settings");

    let users = data.path().join("users");
    std::fs::create_dir_all(users.join("stranger")).expect("made");
    finds(data.path(), &[], &[], "stranger belongs to no tenant", "move it elsewhere");
    std::fs::remove_dir(users.join("stranger")).expect("removed");
    std::os::unix::fs::symlink("/", users.join("user_a")).expect("linked");
    finds(data.path(), &[], &[], "user_a is a symbolic link", "remove it");
    std::fs::remove_file(users.join("user_a")).expect("removed");
    assert!(check(data.path(), &["--deep"], &[]).0, "as it was");

    for (sql, wrong, to_do) in [
        (
            "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)",
            "the table notes has no tenant_id",
            "DROP TABLE notes",
        ),
        ("DROP TABLE campaign_steps", "the table campaign_steps is missing", "backup"),
        ("DELETE FROM tenants WHERE id = 'user_b'", "5 rows of prospects refer to a tenant", "backup"),
        ("UPDATE tenants SET id = '../etc' WHERE id = 'user_a'", "the tenant \"../etc\"", "backup"),
        ("UPDATE _sqlx_migrations SET checksum = x'00'", "is another than this version's", "backup"),
        (
            "UPDATE _sqlx_migrations SET version = 99999999999999 WHERE version = 1",
            "the schema is newer",
            "a newer one",
        ),
    ] {
        let data = deployment().await;
        execute(data.path(), sql).await;
        finds(data.path(), &[], &[], wrong, to_do);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_page_is_found_by_reading_every_page() {
    let data = deployment().await;
    let path = data.path().join("herald.db");
    let mut bytes = std::fs::read(&path).expect("read");
    // The index of prospects by address: a page that the shallow look does not read.
    let place = bytes.windows(24).rposition(|window| window == b"person0@company0.example").expect("an address");
    bytes[place..place + 6].copy_from_slice(b"broken");
    std::fs::write(&path, &bytes).expect("written");
    finds(data.path(), &["--deep"], &[], "the database is damaged", "backup");
    std::fs::write(
        &path,
        b"this is no database, and longer than a header of a hundred bytes, so that SQLite looks at it and says so",
    )
    .expect("written");
    finds(data.path(), &[], &[], "cannot be read", "backup");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_keys_in_redis_and_a_redis_that_is_away_are_found() {
    let data = deployment().await;
    let mut server = RedisServer::start(&[]);
    let url = server.url();
    let env = [("HERALD_CACHE_URL", url.as_str())];
    server.cli(&["set", "user:user_a:config", "{}"]);
    server.cli(&["set", "other application", "1"]);
    assert!(check(data.path(), &[], &env).0);
    server.cli(&["set", "user:../etc:config", "{}"]);
    finds(data.path(), &[], &env, "user:../etc:config", "who writes them");
    server.kill();
    finds(data.path(), &[], &env, "the cache cannot be reached", "cache.url");
}
