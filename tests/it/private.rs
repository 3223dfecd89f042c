//! What Herald alone should read: who else may stops the start, or is told.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::folder;
use crate::support::process::{herald, serve, serve_with};
use crate::support::token::Authority;

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
}

/// Why no server starts.
fn refused(data: &Path, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = herald();
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data).args(args);
    let mut child =
        command.envs(env.iter().copied()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let begun = Instant::now();
    while child.try_wait().expect("a child of ours").is_none() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    // One that has started would never end.
    child.kill().expect("gone now");
    let output = child.wait_with_output().expect("it has ended");
    let told = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{told}");
    told
}

/// What a server that starts has logged by then.
fn log_of(data: &Path, env: &[(&str, &str)]) -> String {
    let logs = folder();
    let log = logs.path().join("log");
    let env = [&[("HERALD_LOG", "warn")], env].concat();
    drop(serve_with(data, &env, Stdio::from(std::fs::File::create(&log).expect("a file"))));
    std::fs::read_to_string(&log).expect("a log")
}

fn check(data: &Path, env: &[(&str, &str)]) -> String {
    let mut command = herald();
    command.args(["check", "--dev", "--data-dir"]).arg(data).envs(env.iter().copied());
    String::from_utf8(command.output().expect("it ends").stdout).expect("UTF-8")
}

fn config_file(text: &str, mode: u32) -> (TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join("herald.toml");
    std::fs::write(&path, text).expect("written");
    set_mode(&path, mode);
    (folder, path)
}

#[test]
fn a_data_folder_that_everybody_may_read_stops_the_start() {
    for mode in [0o755, 0o777, 0o1777, 0o701, 0o2775, 0o704] {
        let data = folder();
        set_mode(data.path(), mode);
        let told = refused(data.path(), &[], &[]);
        let path = data.path().display().to_string();
        let said = format!("the data folder {path} can be read by everybody on this machine: its mode is {mode:04o}");
        assert!(told.contains(&said) && told.contains(&format!("chmod go-rwx {path}")), "{told}");
        assert!(std::fs::read_dir(data.path()).expect("a folder").next().is_none(), "nothing was made in it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_group_may_read_is_told_and_served() {
    let data = folder();
    set_mode(data.path(), 0o2770);
    let log = log_of(data.path(), &[]);
    assert!(log.contains("can be read by its group: its mode is 2770") && log.contains("chmod go-rwx"), "{log}");
    set_mode(data.path(), 0o700);
    assert_eq!(log_of(data.path(), &[]).matches("can be read by").count(), 0);
}

#[test]
fn a_folder_that_herald_makes_is_for_its_user_alone_in_one_that_is_open_to_all() {
    let around = folder();
    set_mode(around.path(), 0o777);
    let data = around.path().join("data");
    drop(serve(&data, &[]));
    assert_eq!(std::fs::metadata(&data).expect("made").permissions().mode() & 0o777, 0o700);
}

#[test]
fn the_development_key_is_for_its_user_alone() {
    let data = folder();
    drop(serve(data.path(), &[]));
    let key = data.path().join("master.key");
    set_mode(&key, 0o644);
    let told = refused(data.path(), &[], &[]);
    assert!(told.contains("master.key can be read by everybody") && told.contains("0644"), "{told}");
    set_mode(&key, 0o600);
    drop(serve(data.path(), &[]));
}

#[test]
fn a_configuration_file_with_a_secret_is_for_its_user_alone_and_one_without_is_not_looked_at() {
    let data = folder();
    let secret = "[auth]\nhs256_secret = 'a secret of the tests, long enough for HS256'\n";
    let (_folder, path) = config_file(secret, 0o644);
    let env = [("HERALD_CONFIG", path.to_str().expect("a path"))];
    let told = refused(data.path(), &[], &env);
    assert!(told.contains("the configuration file") && told.contains("holds a secret"), "{told}");
    assert!(told.contains("0644") && told.contains("chmod go-rwx") && !told.contains("of the tests"), "{told}");
    // It counts though another one is in force.
    let over = [env[0], ("HERALD_AUTH_HS256_SECRET", "another secret, also long enough for it")];
    assert!(refused(data.path(), &[], &over).contains("holds a secret"));
    set_mode(&path, 0o640);
    assert!(log_of(data.path(), &env).contains("can be read by its group: its mode is 0640"));
    set_mode(&path, 0o600);
    assert!(!log_of(data.path(), &env).contains("can be read by"));
    let (_folder, path) = config_file("[engine]\nworkers = 3\n", 0o644);
    assert!(!log_of(data.path(), &[("HERALD_CONFIG", path.to_str().expect("a path"))]).contains("can be read by"));
}

#[test]
fn the_port_s_private_key_is_for_its_user_alone_and_what_is_public_is_not_looked_at() {
    let (data, files) = (folder(), Authority::new());
    for public in ["server.pem", "ca.pem"] {
        set_mode(&files.path(public), 0o644);
    }
    let (certificate, key, authority) = (files.file("server.pem"), files.file("server.key"), files.file("ca.pem"));
    let env = [
        ("HERALD_TLS_CERTIFICATE_FILE", certificate.as_str()),
        ("HERALD_TLS_KEY_FILE", key.as_str()),
        ("HERALD_TLS_CLIENT_CA_FILE", authority.as_str()),
    ];
    set_mode(&files.path("server.key"), 0o644);
    let told = refused(data.path(), &[], &env);
    assert!(told.contains("tls.key_file") && told.contains("0644") && told.contains("chmod go-rwx"), "{told}");
    set_mode(&files.path("server.key"), 0o440);
    assert!(log_of(data.path(), &env).contains("can be read by its group: its mode is 0440"));
    set_mode(&files.path("server.key"), 0o400);
    assert!(!log_of(data.path(), &env).contains("can be read by"));
}

#[test]
fn the_check_finds_the_same() {
    let (data, files) = (folder(), Authority::new());
    drop(serve(data.path(), &[]));
    let (_folder, path) = config_file("master_key = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='\n", 0o644);
    set_mode(&files.path("server.key"), 0o640);
    let (certificate, key) = (files.file("server.pem"), files.file("server.key"));
    let env = [
        ("HERALD_CONFIG", path.to_str().expect("a path")),
        ("HERALD_TLS_CERTIFICATE_FILE", certificate.as_str()),
        ("HERALD_TLS_KEY_FILE", key.as_str()),
    ];
    set_mode(data.path(), 0o755);
    let found = check(data.path(), &env);
    for (path, mode) in [(data.path(), "0755"), (&path, "0644"), (files.path("server.key").as_path(), "0640")] {
        let who = if mode == "0640" { "its group" } else { "everybody on this machine" };
        let wrong = format!("{} can be read by {who}: its mode is {mode}", path.display());
        assert!(found.contains(&wrong) && found.contains(&format!("chmod go-rwx {}", path.display())), "{found}");
    }
}
