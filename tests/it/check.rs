//! `herald check` finds what is planted, says what to do, and finds nothing where nothing is wrong.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use herald::pb;
use jsonwebtoken::Algorithm;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::files::S3;
use crate::full_volume::Mount;
use crate::support::process::{free_port, herald, serve, serve_with};
use crate::support::redis::RedisServer;
use crate::support::site;
use crate::support::token::{Authority, SigningKey, key_set, now, private_file};
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
    command.args(["check", "--dev", "--data-dir"]).arg(data).args(args);
    command.env("HERALD_LISTEN", "127.0.0.1:0").envs(env.iter().copied());
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
    let found_good = |(good, text): (bool, String)| {
        let only_good = text.lines().all(|line| line.starts_with("ok: ") || line == "everything is as it should be");
        assert!(good && only_good && text.ends_with("everything is as it should be\n"), "{text}");
        assert!(text.lines().count() > 7, "{text}");
    };
    let public_url = ("HERALD_SERVER_PUBLIC_URL", "https://mail.example.com");
    found_good(check(data.path(), &["--deep"], &[public_url]));
    let (good, text) = check(data.path(), &[], &[]);
    let warning = "warning: readers of letters unsubscribe by mail alone";
    assert!(good && text.contains(warning) && text.contains("   do: set server.public_url to"), "{text}");
    let secret = [("HERALD_AUTH_HS256_SECRET", SECRET), public_url];
    let server = serve(data.path(), &secret);
    let url = format!("http://{}", server.address);
    let users = ["--user", "user_a", "--user", "user_b", "--server", &url];
    found_good(check(data.path(), &users, &secret));
    finds(
        data.path(),
        &users,
        &[("HERALD_AUTH_HS256_SECRET", "another secret, also long enough for it"), public_url],
        "a call of user_a was refused",
        "runs with these settings",
    );
    drop(server);
    finds(data.path(), &users, &secret, "cannot reach", "start the server");
}

/// Whoever sets a deployment up looks before the first start; what cannot be made is wrong even then.
#[test]
fn before_the_first_start_there_is_nothing_wrong() {
    let around = folder();
    let key = [("HERALD_MASTER_KEY", KEY)];
    for data in [around.path().join("none"), around.path().to_owned()] {
        let (good, text) = check(&data, &[], &key);
        let yet = text.lines().find(|line| line.starts_with("ok: the database: there is none in "));
        assert!(good && yet.is_some_and(|line| line.ends_with("the first `herald serve` makes it")), "{text}");
        assert!(text.contains("ok: the master key: its form alone, since there is nothing yet to try it on"), "{text}");
        assert!(!data.join("herald.db").exists(), "nothing is changed");
    }
    let (_, text) = check(&around.path().join("none"), &[], &[("HERALD_MASTER_KEY", "c2hvcnQ=")]);
    assert!(text.contains("   do: make one with `openssl rand -base64 32`"), "{text}");
    let file = around.path().join("file");
    std::fs::write(&file, "no folder").expect("written");
    for data in [file.join("data"), "/proc/herald".into(), "/sys/herald".into()] {
        let (good, text) = check(&data, &[], &key);
        assert!(!good && text.contains("cannot use the data folder") && !text.contains("the first `herald"), "{text}");
    }
}

/// Whoever gives no server means the one of these settings, and is told what fits what is met there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_where_the_settings_listen() {
    let data = deployment().await;
    let user = ["--user", "user_a"];
    let (_, text) = check(data.path(), &user, &[]);
    assert!(text.contains("wrong: no server is at work in the data folder"), "{text}");
    let address = format!("127.0.0.1:{}", free_port());
    let listen = [("HERALD_LISTEN", address.as_str())];
    finds(data.path(), &user, &listen, &format!("cannot reach Herald at http://{address}"), "start the server");
    let server = serve(data.path(), &[]);
    let (good, text) = check(data.path(), &user, &[]);
    assert!(good && text.contains("ok: a call of user_a"), "by the lock of the folder: {text}");
    let (good, text) = check(data.path(), &user, &[("HERALD_LISTEN", &server.address)]);
    assert!(good && text.contains("ok: a call of user_a"), "{text}");
    drop(server);

    let files = Authority::new();
    let (certificate, key) = (files.file("server.pem"), files.file("server.key"));
    let tls = [("HERALD_TLS_CERTIFICATE_FILE", certificate.as_str()), ("HERALD_TLS_KEY_FILE", key.as_str())];
    let server = serve(data.path(), &tls);
    let port = server.address.rsplit(':').next().expect("a port");
    let (ca, by_name) = (files.file("ca.pem"), format!("https://localhost:{port}"));
    let at = format!("cannot reach Herald at https://{}", server.address);
    finds(data.path(), &user, &tls, &at, "do: name by --ca the authority");
    let trusting = [&user[..], &["--ca", &ca]].concat();
    finds(
        data.path(),
        &trusting,
        &tls,
        "is for another name",
        "do: name the server by --server as its certificate does",
    );
    let (good, text) = check(data.path(), &[&trusting[..], &["--server", &by_name]].concat(), &tls);
    assert!(good && text.contains("ok: a call of user_a"), "{text}");
}

/// Several at once: each is told, and so is whatever else is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_that_is_no_setting_hides_nothing() {
    let data = deployment().await;
    let env = [("HERALD_LISTN", "x"), ("HERALD_MASTERKEY", "x"), ("HERALD_ENGINE_WORKERS", "0")];
    let (good, text) = check(data.path(), &[], &env);
    assert!(!good && text.contains("ok: the volume of"), "{text}");
    for wrong in [
        "wrong: HERALD_LISTN is no setting of Herald: did you mean HERALD_LISTEN?",
        "wrong: HERALD_MASTERKEY is no setting of Herald: did you mean HERALD_MASTER_KEY?",
        "wrong: the settings: engine.workers must be at least 1",
    ] {
        assert!(text.lines().any(|line| line.starts_with(wrong)), "{wrong} in {text}");
    }
    // Nor does a value of another kind.
    let file = data.path().with_extension("toml");
    std::fs::write(&file, "dev = 'yes'\nlisten = 1\n[engine]\nworkrs = 1\n").expect("written");
    let config = file.display().to_string();
    let (_, text) = check(data.path(), &[], &[("HERALD_CONFIG", &config), ("HERALD_ENGINE_TRIES", "many")]);
    for wrong in ["dev must be true or false", "listen must be a text", "engine.tries (", "engine.workrs is no setting"]
    {
        let is_told = |line: &str| line.starts_with("wrong: ") && line.contains(wrong);
        assert_eq!(text.lines().filter(|line| is_told(line)).count(), 1, "{wrong} in {text}");
    }
    std::fs::remove_file(file).expect("removed");
}

/// The key is told of once: with the form that it has, and with what it opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_is_one_finding() {
    let data = deployment().await;
    let of_key = |env: &[(&str, &str)]| {
        let (_, text) = check(data.path(), &[], env);
        text.lines().filter(|line| line.contains("master key")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of_key(&[]), ["ok: the master key: that it opens what the tenants have sealed, 2 in all"]);
    for (key, wrong) in [
        (KEY, "wrong: the master key does not open this data folder"),
        ("c2hvcnQ=", "wrong: master_key (HERALD_MASTER_KEY): a master key is"),
    ] {
        let told = of_key(&[("HERALD_MASTER_KEY", key)]);
        assert!(told.len() == 1 && told[0].starts_with(wrong), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_planted_fault_in_the_data_folder_is_found() {
    let data = deployment().await;
    let mode = |path: &str, mode| {
        std::fs::set_permissions(data.path().join(path), std::fs::Permissions::from_mode(mode)).expect("set");
    };
    mode("herald.db", 0o644);
    finds(
        data.path(),
        &[],
        &[],
        "herald.db can be read by everybody on this machine: its mode is 0644",
        "chmod go-rwx",
    );
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
async fn what_keeps_a_mailbox_from_sending_is_found() {
    let data = folder();
    let mut server = serve(data.path(), &[]);
    let mailbox = pb::Mailbox {
        address: "anna@acme.example".to_owned(),
        smtp: Some(pb::SmtpServer {
            host: "smtp.acme.example".to_owned(),
            username: "anna".to_owned(),
            password: "a password".to_owned(),
            ..Default::default()
        }),
        dkim: Some(pb::Dkim { selector: "herald".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let request = pb::CreateMailboxRequest { mailbox: Some(mailbox), ..Default::default() };
    let mut api = server.user("user_a").await;
    let made = api.mailbox.create_mailbox(request).await.expect("created").into_inner().mailbox.expect("one");
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().await.success());
    let of = |text: &str| format!("the mailbox {} of user_a {text}", made.id);
    let (good, text) = check(data.path(), &[], &[]);
    assert!(
        good && text.contains("ok: the mailboxes, 1 in all: their settings, and that their sealed secrets open"),
        "{text}"
    );

    let update = format!("`herald mailboxes update {}`", made.id);
    for (sql, wrong) in [
        ("UPDATE mailboxes SET secrets = substr(secrets, 1, 30)", "has sealed secrets that no longer open"),
        (
            "UPDATE mailboxes SET settings = json_set(settings, '$.smtp.host', '')",
            "has settings with which it cannot send: mailbox.smtp.host is required",
        ),
        (
            "UPDATE mailboxes SET settings = json_set(settings, '$.calendar.time_zone', 'Mars/Olympus')",
            "mailbox.calendar.time_zone must be a time zone",
        ),
    ] {
        let copy = copied(data.path());
        execute(copy.path(), sql).await;
        finds(copy.path(), &[], &[], &of(""), wrong);
        finds(copy.path(), &[], &[], wrong, &update);
        // Who is paused keeps nobody waiting, and is looked at when it is resumed.
        execute(copy.path(), "UPDATE mailboxes SET state = 'paused'").await;
        assert_eq!(check(copy.path(), &[], &[]).0, !wrong.contains("sealed"), "{wrong}");
    }
    let copy = copied(data.path());
    execute(copy.path(), "UPDATE mailboxes SET settings = '{'").await;
    finds(copy.path(), &[], &[], &of("has settings that this version cannot read"), "put back the last backup");
    let copy = copied(data.path());
    execute(copy.path(), "UPDATE mailboxes SET secrets = NULL").await;
    let (good, text) = check(copy.path(), &[], &[]);
    assert!(good && text.contains(&format!("warning: {}", of("has no password"))) && text.contains(&update), "{text}");
    execute(copy.path(), "UPDATE mailboxes SET settings = json_set(settings, '$.smtp.username', '')").await;
    let (good, text) = check(copy.path(), &[], &[]);
    assert!(good && text.contains(&format!("warning: {}", of("has no DKIM key"))), "{text}");
}

/// The folder's database and key, in a folder of its own.
fn copied(data: &Path) -> TempDir {
    let copy = folder();
    for file in std::fs::read_dir(data).expect("a folder").flatten().filter(|file| file.path().is_file()) {
        std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("copied");
    }
    copy
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
    finds(data.path(), &[], &[], "cannot open the database", "backup");
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

/// What `serve` makes of a fault.
enum Serve {
    Refuses,
    Starts,
}

/// A fault: what is planted in a good deployment, what is found, and what `serve` makes of it.
struct Fault {
    name: &'static str,
    args: Vec<String>,
    env: Vec<(&'static str, String)>,
    found: &'static str,
    serve: Serve,
}

fn fault(name: &'static str, env: &[(&'static str, &str)], found: &'static str, serve: Serve) -> Fault {
    let env = env.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Fault { name, args: Vec::new(), env, found, serve }
}

impl Fault {
    fn command(&self, command: &str, data: &Path) -> std::process::Command {
        let mut herald = herald();
        herald.args([command, "--dev", "--data-dir"]).arg(data).env("HERALD_LISTEN", "127.0.0.1:0");
        herald.args(&self.args).envs(self.env.iter().map(|(name, value)| (*name, value)));
        herald
    }

    /// It is found, and `serve` does what it is said to do: the sentence is the same where it refuses.
    fn is_found(&self, data: &Path) {
        let output = self.command("check", data).output().expect("it ends");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
        let line = text.lines().find(|line| line.starts_with("wrong: ") && line.contains(self.found));
        assert!(line.is_some() && output.status.code() == Some(1), "{}: {:?} in\n{text}", self.name, self.found);
        assert!(text.lines().any(|line| line.starts_with("   do: ")), "{}: {text}", self.name);
        assert!(!text.contains("s3cret"), "{}: {text}", self.name);
        // For people: nothing twice, and nothing as programmers print it.
        let parts: Vec<_> = line.unwrap_or_default().split(": ").collect();
        assert!(parts.windows(2).all(|two| two[0] != two[1]), "{}: {text}", self.name);
        for word in ["Os {", "Custom {", "kind: ", "KeyMismatch", "InvalidCertificate"] {
            assert!(!text.contains(word), "{}: {word} in {text}", self.name);
        }
        let mut child = self.command("serve", data);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut ready).expect("read");
        let starts = ready.starts_with("herald serves");
        let _ = child.kill();
        let told = String::from_utf8(child.wait_with_output().expect("it has ended").stderr).expect("UTF-8");
        match self.serve {
            Serve::Starts => assert!(starts, "{}: serve does not start: {told}", self.name),
            Serve::Refuses => {
                assert!(!starts && told.contains(self.found), "{}: {:?} in\n{told}", self.name, self.found);
            }
        }
        println!("{}: found; serve {}", self.name, if starts { "starts" } else { "refuses" });
    }
}

/// A certificate of so many days before and after now, with its key.
fn certificate(folder: &Path, name: &str, from: i64, until: i64) -> (String, String) {
    let seconds = |days: i64| u64::try_from(now() + days * 24 * 60 * 60).expect("after 1970");
    let day = |days: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds(days));
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    (params.not_before, params.not_after) = (day(from), day(until));
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let file = |ending: &str, text: String| {
        let path = folder.join(format!("{name}.{ending}"));
        private_file(&path, &text);
        path.display().to_string()
    };
    (file("pem", certificate.pem()), file("key", key.serialize_pem()))
}

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_in_what_surrounds_the_server_is_found_as_serve_would_tell_it() {
    use Serve::{Refuses, Starts};
    let data = deployment().await;
    let files = folder();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        private_file(&path, text);
        path.display().to_string()
    };
    let nonsense = file("nonsense.pem", "nonsense");
    let misspelt = file("herald.toml", "log = 'info'\n[auth]\nhs256_secet = 's3cret'\n");
    let (good, good_key) = certificate(files.path(), "good", -1, 365);
    let (_, other_key) = certificate(files.path(), "other", -1, 365);
    let (expired, expired_key) = certificate(files.path(), "expired", -20, -10);
    let (early, early_key) = certificate(files.path(), "early", 10, 365);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let taken = taken.local_addr().map(|address| (address.to_string(), taken)).expect("an address");
    let same = format!("127.0.0.1:{}", free_port());
    let tls = |certificate: &str, key: &str| {
        [("HERALD_TLS_CERTIFICATE_FILE", certificate.to_owned()), ("HERALD_TLS_KEY_FILE", key.to_owned())]
    };
    let mut faults = vec![
        fault("a setting", &[("HERALD_ENGINE_WORKERS", "0")], "engine.workers must be at least 1", Refuses),
        fault("no number", &[("HERALD_ENGINE_TRIES", "many")], "is no whole number", Refuses),
        fault("a host's name", &[("HERALD_LISTEN", "localhost:1")], "write 127.0.0.1:1", Refuses),
        fault("no host", &[("HERALD_ADMIN_LISTEN", ":1")], "write 127.0.0.1:1 for this machine alone", Refuses),
        fault(
            "no such setting in the file",
            &[("HERALD_CONFIG", &misspelt)],
            "line 3, column 1: auth.hs256_secet is no setting of Herald: did you mean auth.hs256_secret?",
            Refuses,
        ),
        fault("a file without end", &[("HERALD_CONFIG", "/dev/zero")], "has more than 1 MiB", Refuses),
        fault("no file of settings", &[("HERALD_CONFIG", "/nowhere.toml")], "HERALD_CONFIG: /nowhere.toml", Refuses),
        fault("no such setting", &[("HERALD_LISTN", "x")], "HERALD_LISTN is no setting", Refuses),
        fault("a taken port", &[("HERALD_LISTEN", &taken.0)], "cannot listen on", Refuses),
        fault("a taken admin port", &[("HERALD_ADMIN_LISTEN", &taken.0)], "admin.listen: cannot listen on", Refuses),
        fault(
            "a public URL that leaves no room for a token",
            &[(
                "HERALD_SERVER_PUBLIC_URL",
                "https://mail.example.com/a-path-that-is-long-enough-to-leave-no-room-for-it",
            )],
            "it has 75 characters and may have 74",
            Refuses,
        ),
        fault(
            "a taken address for links",
            &[("HERALD_SERVER_PUBLIC_URL", "https://mail.example.com"), ("HERALD_SERVER_LINKS_LISTEN", &taken.0)],
            "server.links_listen: cannot listen on",
            Refuses,
        ),
        fault(
            "one port for both",
            &[("HERALD_LISTEN", &same), ("HERALD_ADMIN_LISTEN", &same)],
            "listen and admin.listen are the same address, 127.0.0.1:",
            Refuses,
        ),
        fault(
            "an address of another machine",
            &[("HERALD_ADMIN_LISTEN", "127.0.0.1:1x")],
            "admin.listen: \"127.0.0.1:1x\" is no address with a port",
            Refuses,
        ),
        fault(
            "a short master key",
            &[("HERALD_MASTER_KEY", "c2hvcnQ=")],
            "master_key (HERALD_MASTER_KEY): a master key is 32",
            Refuses,
        ),
        fault(
            "another master key",
            &[("HERALD_MASTER_KEY", KEY)],
            "the master key does not open this data folder",
            Refuses,
        ),
        fault(
            "no key file",
            &[("HERALD_AUTH_PUBLIC_KEY_FILE", "/nowhere.pem")],
            "auth.public_key_file /nowhere.pem",
            Refuses,
        ),
        fault("a key file without key", &[("HERALD_AUTH_PUBLIC_KEY_FILE", &nonsense)], "holds no PEM block", Refuses),
        fault("a private key as public", &[("HERALD_AUTH_PUBLIC_KEY_FILE", &good_key)], "is a private key", Refuses),
        fault(
            "no authorities of mail",
            &[("HERALD_MAIL_CA_FILE", "/nowhere.pem")],
            "mail.ca_file: /nowhere.pem",
            Refuses,
        ),
        fault("no such authorities", &[("HERALD_MAIL_CA_FILE", &nonsense)], "nonsense.pem", Refuses),
        fault("no Redis URL", &[("HERALD_CACHE_URL", "nonsense")], "cache.url", Refuses),
        fault(
            "no file of authorities",
            &[("HERALD_CACHE_URL", "rediss://localhost"), ("HERALD_CACHE_CA_FILE", "/nowhere.pem")],
            "cache.ca_file /nowhere.pem",
            Refuses,
        ),
        fault(
            "no S3 URL",
            &[
                ("HERALD_FILES_URL", "ftp://x"),
                ("HERALD_FILES_ACCESS_KEY_ID", "id"),
                ("HERALD_FILES_SECRET_ACCESS_KEY", "k"),
            ],
            "files.url: must be s3://bucket",
            Refuses,
        ),
        fault(
            "no Redis",
            &[("HERALD_CACHE_URL", "redis://user:s3cret@127.0.0.1:9")],
            "the cache at redis://***@127.0.0.1:9: the cache cannot be reached",
            Starts,
        ),
        fault(
            "no key set",
            &[("HERALD_AUTH_JWKS_URL", "http://user:s3cret@127.0.0.1:9/jwks.json")],
            "the key set at http://***@127.0.0.1:9/jwks.json cannot be used",
            Starts,
        ),
        fault(
            "no collector",
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:s3cret@127.0.0.1:9")],
            "the collector of OTEL_EXPORTER_OTLP_ENDPOINT: http://***@127.0.0.1:9 cannot be reached",
            Starts,
        ),
    ];
    for (name, certificate, key, found, serve) in [
        (
            "no certificate",
            "/nowhere.pem",
            good_key.as_str(),
            "tls.certificate_file /nowhere.pem: no certificate",
            Refuses,
        ),
        ("nonsense as certificate", &nonsense, &good_key, "nonsense.pem: no certificate in PEM can be read", Refuses),
        ("nonsense as key", &good, &nonsense, "nonsense.pem: no private key in PEM can be read", Refuses),
        ("a key as certificate", &good_key, &good_key, "has a private key and no certificate: are", Refuses),
        ("a certificate as key", &good, &good, "has a certificate and no private key: are", Refuses),
        ("another's key", &good, &other_key, "tls.certificate_file and tls.key_file do not fit each other", Refuses),
        ("an expired certificate", &expired, &expired_key, "expired 10 days ago", Starts),
        ("an early certificate", &early, &early_key, "is not valid for another", Starts),
    ] {
        let env = tls(certificate, key).to_vec();
        faults.push(Fault { name, args: Vec::new(), env, found, serve });
    }
    let mut env = tls(&good, &good_key).to_vec();
    env.push(("HERALD_TLS_CLIENT_CA_FILE", nonsense.clone()));
    let found = "tls.client_ca_file";
    faults.push(Fault { name: "nonsense as authority", args: Vec::new(), env, found, serve: Refuses });
    for fault in &faults {
        fault.is_found(data.path());
    }
    drop(taken.1);
    // One that soon expires is a warning.
    let (soon, soon_key) = certificate(files.path(), "soon", -1, 10);
    let env = [("HERALD_TLS_CERTIFICATE_FILE", soon.as_str()), ("HERALD_TLS_KEY_FILE", &soon_key)];
    let (good, text) = check(data.path(), &[], &env);
    assert!(
        good && text.contains("warning: a certificate in tls.certificate_file") && text.contains("expires in"),
        "{text}"
    );
    assert!(text.lines().any(|line| line == "   do: put a new one there and restart"), "{text}");
    // So are a key that its group may read, and clients' authorities of which none is one.
    std::fs::set_permissions(&soon_key, std::fs::Permissions::from_mode(0o640)).expect("set");
    let (good, text) = check(data.path(), &[], &[env[0], env[1], ("HERALD_TLS_CLIENT_CA_FILE", &soon)]);
    for told in ["soon.key can be read by its group: its mode is 0640", "soon.pem has no authority's certificate"] {
        let is_told = |line: &str| line.starts_with("warning: ") && line.contains(told);
        assert!(good && text.lines().any(is_told), "{told} in {text}");
    }
    // Of files that are swapped the mode of a certificate is no matter.
    std::fs::set_permissions(&soon, std::fs::Permissions::from_mode(0o644)).expect("set");
    let env = [("HERALD_TLS_CERTIFICATE_FILE", soon_key.as_str()), ("HERALD_TLS_KEY_FILE", &soon)];
    fault("swapped files", &env, "are tls.certificate_file and tls.key_file swapped?", Refuses).is_found(data.path());
    assert!(!check(data.path(), &[], &env).1.contains("can be read by"));
    // What the settings refuse is not asked.
    let env = [("HERALD_AUTH_JWKS_URL", "http://issuer.invalid/keys")];
    let (_, text) = check(data.path(), &[], &env);
    assert!(text.contains("must be an https URL") && !text.contains("the key set at"), "{text}");
    // So is an authority's own, which OpenSSL takes for a server's and rustls does not; the log tells the same.
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let authority = file("ca.pem", &params.self_signed(&key).expect("a certificate").pem());
    let authority_key = file("ca.key", &key.serialize_pem());
    let env = [("HERALD_TLS_CERTIFICATE_FILE", authority.as_str()), ("HERALD_TLS_KEY_FILE", &authority_key)];
    let (good, text) = check(data.path(), &[], &[env[0], env[1], ("HERALD_TLS_CLIENT_CA_FILE", &authority)]);
    assert!(!text.contains("has no authority's certificate"), "{text}");
    let told = "is an authority's own: many clients refuse it";
    assert!(
        good && text.contains("warning: the first certificate in tls.certificate_file") && text.contains(told),
        "{text}"
    );
    let log = files.path().join("log");
    let env = [env[0], env[1], ("HERALD_LOG", "warn")];
    let server = serve_with(data.path(), &env, std::fs::File::create(&log).expect("made").into());
    let log = std::fs::read_to_string(log).expect("read");
    assert!(log.contains(told) && log.contains("basicConstraints CA:FALSE"), "{log}");
    drop(server);
}

/// Whoever sets a server up meets several faults, and is told of all of them, and none of them spoils the folder.
#[test]
fn a_first_start_that_is_refused_leaves_nothing_that_is_broken() {
    let around = folder();
    let data = around.path().join("data");
    let serve = |env: &[(&str, &str)]| {
        let mut command = herald();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data).envs(env.iter().copied());
        let output = command.output().expect("it ends");
        assert!(!output.status.success(), "it starts");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let told = serve(&[("HERALD_ENGINE_TRIES", "0")]);
    for part in ["HERALD_AUTH_HS256_SECRET", "HERALD_MASTER_KEY", "engine.tries must be at least 1"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let (secret, key) = (("HERALD_AUTH_HS256_SECRET", SECRET), ("HERALD_MASTER_KEY", KEY));
    let (certificate_file, key_file) = certificate(around.path(), "good", -1, 365);
    let (_, other_key) = certificate(around.path(), "other", -1, 365);
    let tls =
        |key_file| [("HERALD_TLS_CERTIFICATE_FILE", certificate_file.as_str()), ("HERALD_TLS_KEY_FILE", key_file)];
    assert!(serve(&[[secret, key], tls(&other_key)].concat()).contains("do not fit"));
    assert!(serve(&[secret, ("HERALD_MASTER_KEY", "c2hvcnQ=")]).contains("a master key is 32"));
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o644)).expect("set");
    assert!(serve(&[[secret, key], tls(&key_file)].concat()).contains("can be read by everybody"));
    // What an older version has left after such a start.
    private_file(&data.join("herald.db"), "");
    let (good, text) = check(&data, &[], &[key]);
    assert!(good && text.contains("ok: the database: there is none in "), "{text}");
}

/// A development server on the folder of another would make a key that opens nothing, and that backups keep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_development_server_makes_no_key_for_the_folder_of_another() {
    let data = folder();
    let mut server = serve(data.path(), &[("HERALD_MASTER_KEY", KEY)]);
    add_prospects(&mut server.user("user_a").await, 1).await;
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().await.success());
    fault("no key", &[], "has a database and no master.key", Serve::Refuses).is_found(data.path());
    assert!(!data.path().join("master.key").exists(), "none is made");
    assert!(check(data.path(), &[], &[("HERALD_MASTER_KEY", KEY)]).0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_redis_is_found_by_its_cause_and_serve_starts() {
    let data = deployment().await;
    let server = RedisServer::start(&[]);
    let url = |user: &str| format!("redis://{user}@127.0.0.1:{}", server.port);
    server.cli(&["acl", "setuser", "herald", "on", ">s3cret", "~*", "+@all", "-eval"]);
    server.cli(&["acl", "setuser", "narrow", "on", ">s3cret", "~user:*", "+@all"]);
    let redis = |name, url: &str, found| fault(name, &[("HERALD_CACHE_URL", url)], found, Serve::Starts);
    redis("a wrong password", &url("herald:s3cret-not"), "WRONGPASS").is_found(data.path());
    redis("no right to EVAL", &url("herald:s3cret"), "EVAL is refused: NOPERM").is_found(data.path());
    redis("no right to the index", &url("narrow:s3cret"), "ZRANGEBYLEX is refused: NOPERM").is_found(data.path());
    // It answers what it does not understand at once, as web servers do.
    let web = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = web.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut client in web.incoming().flatten() {
            let _ = client.read(&mut [0; 64]).and_then(|_| client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    let web = format!("redis://{address}");
    redis("a web server", &web, "does not speak the protocol of Redis").is_found(data.path());
    redis("TLS where there is none", &server.url().replace("redis:", "rediss:"), "cannot be reached")
        .is_found(data.path());
    let main = server.port.to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &main]);
    while !replica.cli(&["info", "replication"]).iter().any(|line| line == "master_link_status:up") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    redis("a replica", &replica.url(), "SET is refused: READONLY").is_found(data.path());
    assert_eq!(server.cli(&["dbsize"]), ["0"], "nothing was written");
    server.cli(&["config", "set", "maxmemory", "1"]);
    redis("a full Redis", &server.url(), "SET is refused: OOM").is_found(data.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_the_store_of_files_and_of_the_clock_is_found_and_serve_starts() {
    let data = deployment().await;
    let s3 = S3::start().await;
    let made = reqwest::Client::new().put(format!("{}/herald", s3.endpoint)).send().await;
    assert!(made.expect("moto answers").status().is_success());
    let files = |url: &'static str, endpoint: &str| {
        vec![
            ("HERALD_FILES_URL", url.to_owned()),
            ("HERALD_FILES_ENDPOINT", endpoint.to_owned()),
            ("HERALD_FILES_ACCESS_KEY_ID", "id".to_owned()),
            ("HERALD_FILES_SECRET_ACCESS_KEY", "s3cret".to_owned()),
        ]
    };
    let good = files("s3://herald", &s3.endpoint);
    let env: Vec<_> = good.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (good, text) = check(data.path(), &[], &env);
    assert!(good && text.contains("ok: the files at s3://herald"), "{text}");
    for (name, env) in
        [("no such bucket", files("s3://none", &s3.endpoint)), ("no store", files("s3://herald", "http://127.0.0.1:9"))]
    {
        Fault { name, args: Vec::new(), env, found: "files.url: ", serve: Serve::Starts }.is_found(data.path());
    }

    // A key set whose clock is another: keys are read, and times differ.
    let keys = String::from_utf8(key_set(&[&SigningKey::new("k", Algorithm::EdDSA)])).expect("JSON");
    let answer = format!(
        "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{keys}",
        keys.len()
    );
    let issuer = site::Changing::serve(site::Answer::Raw(answer.into_bytes())).await;
    let url = [("HERALD_AUTH_JWKS_URL", issuer.url.as_str())];
    fault("another's clock", &url, "this machine's clock is", Serve::Starts).is_found(data.path());
    issuer.set(site::Answer::Page(200, "application/json", br#"{"keys": []}"#.to_vec()));
    fault("an empty key set", &url, "it answers no key that can be used", Serve::Starts).is_found(data.path());
    issuer.set(site::Answer::Page(500, "text/html", Vec::new()));
    fault("an issuer that fails", &url, "it answers 500", Serve::Starts).is_found(data.path());
    execute(data.path(), "UPDATE tenants SET create_time = create_time + 7200000000").await;
    fault("a clock that was ahead", &[], "the database has a time that is 7", Serve::Starts).is_found(data.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_the_data_folder_is_found_as_serve_would_tell_it() {
    use Serve::{Refuses, Starts};
    let around = folder();
    let path = around.path().join("file");
    std::fs::write(&path, "no folder").expect("written");
    fault("a file as folder", &[], "it is a file, and no folder", Refuses).is_found(&path);

    let data = deployment().await;
    let at = |name: &str| data.path().join(name);
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    mode(data.path(), 0o755);
    fault("an open folder", &[], "its mode is 0755", Refuses).is_found(data.path());
    mode(data.path(), 0o700);
    mode(&at("master.key"), 0o644);
    fault("an open master key", &[], "its mode is 0644", Refuses).is_found(data.path());
    mode(&at("master.key"), 0o600);
    std::fs::rename(at("herald.lock"), at("lock")).expect("renamed");
    std::os::unix::fs::symlink("lock", at("herald.lock")).expect("linked");
    fault("a link as lock", &[], "herald.lock is a symbolic link", Refuses).is_found(data.path());
    std::fs::rename(at("lock"), at("herald.lock")).expect("renamed");
    std::os::unix::fs::chown(at("herald.db"), Some(12_345), None).expect("owned");
    fault("another owner", &[], "belongs to the user 12345", Starts).is_found(data.path());
    std::os::unix::fs::chown(at("herald.db"), Some(0), None).expect("owned");
    execute(data.path(), "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    fault("another schema", &[], "cannot bring the database", Refuses).is_found(data.path());
    std::fs::write(
        at("herald.db"),
        "no database, and longer than a header of a hundred bytes, so that SQLite looks at it and says so".repeat(3),
    )
    .expect("written");
    fault("no database", &[], "cannot open the database", Refuses).is_found(data.path());

    // A small volume, nearly full, and then one that is read alone.
    let small = around.path().join("small");
    let Some(mount) = Mount::new(&small, "32m") else { return };
    drop(serve(&small, &[]));
    fault("a nearly full volume", &[], "less than 64", Starts).is_found(&small);
    let only = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(&small).status().expect("mount");
    if only.success() {
        fault("a read-only volume", &[], "Read-only file system", Refuses).is_found(&small);
        let wrong = "cannot use the data folder";
        fault("a folder that cannot be made", &[], wrong, Refuses).is_found(&small.join("new/data"));
    }
    drop(mount);
}

/// The ports that the folder's own server has are no fault, and another's are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_the_folders_own_server_is_no_fault() {
    let data = deployment().await;
    let admin = format!("127.0.0.1:{}", free_port());
    let server = serve(data.path(), &[("HERALD_ADMIN_LISTEN", &admin)]);
    let env = [("HERALD_LISTEN", server.address.as_str()), ("HERALD_ADMIN_LISTEN", &admin)];
    let (good, text) = check(data.path(), &[], &env);
    assert!(good && text.contains(&format!("process {}", server.pid())), "{text}");
    let other = deployment().await;
    let (good, text) = check(other.path(), &[], &env);
    assert!(!good && text.matches("Address already in use").count() == 2, "{text}");
    let (good, text) = check(data.path(), &["--json"], &env);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(good && json["good"] == true && json["looks"].as_array().is_some_and(|looks| looks.len() > 6), "{text}");
    let (good, text) = check(other.path(), &["--json"], &env);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let found = json["looks"].as_array().expect("looks").iter().find(|look| look["findings"][0]["severity"] == "wrong");
    assert!(
        !good && json["good"] == false && found.is_some_and(|look| look["findings"][0]["do"].is_string()),
        "{text}"
    );
}
