//! What the command line says where something else than Herald is met, or where it goes away: each against what is really there.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::process::{free_port, herald, serve, serve_by};
use crate::support::site;
use crate::support::token::{Authority, Validity};
use crate::support::{TestApp, folder};

/// `herald campaign status` at that address: what it says, without an exit code of success.
async fn told(server: &str, args: &[&str]) -> String {
    let told = told_by(server, args).await;
    assert!(told.starts_with(&format!("error: cannot reach Herald at {server}: ")), "{told}");
    for layer in ["transport error", "tcp connect", "os error", "status:", "Status {", "h2 protocol"] {
        assert!(!told.contains(layer), "{layer} in: {told}");
    }
    told
}

async fn told_by(server: &str, args: &[&str]) -> String {
    let mut command = herald();
    command.args(["campaign", "status", "--user", "user_a", "--timeout", "2", "--server", server]).args(args);
    let output = output(command).await;
    assert_eq!(output.status.code(), Some(1), "{server}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("it ends")).await.expect("no panic")
}

fn says(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "{word} in: {told}");
    }
}

/// Answers each connection with these bytes once something has been said, for as long as the test runs.
fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(bytes);
                let _ = stream.shutdown(std::net::Shutdown::Write);
                // Closed with something unread, it would be reset.
                let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                while stream.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {}
            });
        }
    });
    port
}

/// A port that speaks TLS with a certificate of its own authority; answers nothing.
fn speaking_tls(files: &Authority, name: &str) -> u16 {
    let certificates = CertificateDer::pem_file_iter(files.path(&format!("{name}.pem"))).expect("a file");
    let certificates: Vec<_> = certificates.map(|one| one.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(files.path(&format!("{name}.key"))).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).expect("they fit");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = rustls::ServerConnection::new(config.clone()).expect("a connection");
            std::thread::spawn(move || {
                let _ = tls.complete_io(&mut stream);
                std::thread::sleep(Duration::from_millis(100));
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_is_the_name_the_port_or_the_silence_is_told() {
    let port = free_port();
    says(
        &told(&format!("http://127.0.0.1:{port}"), &[]).await,
        &["nothing listens there", "is `herald serve` running there?"],
    );
    says(&told(&format!("https://127.0.0.1:{port}"), &[]).await, &["nothing listens there"]);
    says(&told("http://no-such-host.invalid:50051", &[]).await, &["no address is known for no-such-host.invalid"]);
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().map(|address| (silent, address.port())).expect("an address");
    says(&told(&format!("http://127.0.0.1:{}", silent.1), &[]).await, &["nothing answers there within"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_and_tls_are_told_from_each_other() {
    let files = Authority::new();
    let app = TestApp::over_tls(&files, false).await;
    let port = app.address.port();
    says(&told(&format!("http://localhost:{port}"), &[]).await, &["speaks TLS", "https:// in place of http://"]);
    let data = folder();
    let server = serve(data.path(), &[]);
    says(
        &told(&format!("https://{}", server.address), &[]).await,
        &["speaks plain text", "http:// in place of https://"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_certificate_is_told_with_the_flag_for_it() {
    let (files, others) = (Authority::new(), Authority::new());
    let app = TestApp::over_tls(&files, false).await;
    let (ca, other_ca) = (files.file("ca.pem"), others.file("ca.pem"));
    let port = app.address.port();
    let server = format!("https://localhost:{port}");
    says(&told(&server, &[]).await, &["certificate is not trusted", "--ca"]);
    says(&told(&server, &["--ca", &other_ca]).await, &["certificate is not trusted", "--ca"]);
    let by_address = told(&format!("https://127.0.0.1:{port}"), &["--ca", &ca]).await;
    says(&by_address, &["certificate is for another name than 127.0.0.1"]);
    for (validity, words) in [(Validity::Past, "has expired"), (Validity::Future, "is not valid yet")] {
        let files = Authority::with(validity);
        let port = speaking_tls(&files, "server");
        says(&told(&format!("https://localhost:{port}"), &["--ca", &files.file("ca.pem")]).await, &[words]);
    }

    // Made good by the command that the message ends with.
    let port = speaking_tls(&files, "ca");
    let told_of = told(&format!("https://localhost:{port}"), &["--ca", &ca]).await;
    says(&told_of, &["certificate is an authority's own, and not for a server", "issue another"]);
    assert!(!told_of.contains("is not known"), "{told_of}");
    let openssl = told_of.lines().find(|line| line.trim_start().starts_with("openssl ")).expect("a command").to_owned();
    let issued = Command::new("sh").args(["-c", &openssl]).current_dir(files.path("")).output().expect("sh");
    assert!(issued.status.success(), "{issued:?}");
    let app = TestApp::over_tls(&files, false).await;
    let reached = told_by(&format!("https://localhost:{}", app.address.port()), &["--ca", &ca]).await;
    assert!(reached.contains("NO_CAMPAIGN"), "{reached}");

    let app = TestApp::over_tls(&files, true).await;
    let server = format!("https://localhost:{}", app.address.port());
    let wanted = told(&server, &["--ca", &ca]).await;
    says(&wanted, &["wants a client certificate", "--client-certificate and --client-key"]);
    let (certificate, key) = (others.file("client.pem"), others.file("client.key"));
    let shown = ["--ca", &ca, "--client-certificate", &certificate, "--client-key", &key];
    says(&told(&server, &shown).await, &["does not accept the client certificate (its authority"]);
    let shown = ["--ca", &ca, "--client-certificate", &certificate, "--client-key", &files.file("client.key")];
    let unfit = told_by(&server, &shown).await;
    says(&unfit, &["--client-certificate and --client-key do not fit each other"]);
    assert!(!unfit.contains("KeyMismatch"), "{unfit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_without_grpc_is_told_as_such() {
    let port = free_port();
    let mut python = Command::new("python3");
    python.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]);
    let files = folder();
    let python = python.current_dir(files.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("python3");
    let _python = Ended(python);
    for _ in 0..200 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let told_of = told(&format!("http://127.0.0.1:{port}"), &[]).await;
    says(&told_of, &["only HTTP/1 is spoken there (HTTP 200)", "gRPC needs HTTP/2"]);

    // A web server that speaks HTTP/2, and a proxy in front of nothing.
    for (status, words) in [
        (404, "HTTP is spoken there, but no gRPC (HTTP 404)"),
        (200, "but no gRPC"),
        (502, "a proxy is there that does not reach Herald (HTTP 502)"),
        (503, "(HTTP 503)"),
    ] {
        let address = site::any_http(status).await;
        says(&told(&format!("http://{address}"), &[]).await, &[words]);
    }
    let proxy = answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    says(
        &told(&format!("http://127.0.0.1:{proxy}"), &[]).await,
        &["a proxy is there that does not reach Herald (HTTP 502)"],
    );
    let mail = answering(b"220 mail.example ESMTP\r\n");
    says(&told(&format!("http://127.0.0.1:{mail}"), &[]).await, &["neither HTTP nor TLS is spoken there"]);
}

/// Ends what it holds.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command is told how the campaign can be followed again, and that it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_the_middle_is_told_with_how_to_watch_the_campaign() {
    let data = folder();
    let listen = format!("127.0.0.1:{}", free_port());
    let server = serve_by(herald(), &listen, data.path(), &[], Stdio::inherit());
    let mut api = server.user("user_a").await;
    let campaign = crate::support::start_campaign(&mut api, &hanging_site()).await.id;
    let mut watch = herald();
    watch.args(["campaign", "watch", "--user", "user_a", "--server"]).arg(format!("http://{listen}"));
    let watching = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(server);
    let output =
        tokio::task::spawn_blocking(move || watching.wait_with_output().expect("it ends")).await.expect("no panic");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{told}");
    says(
        &told,
        &[
            "the server went away",
            "nothing listens there",
            "The campaign goes on as soon as the server is back",
            &format!("`herald campaign watch --campaign {campaign} --server http://{listen} --user user_a`"),
        ],
    );
    // And so it does.
    let server = serve_by(herald(), &listen, data.path(), &[], Stdio::inherit());
    let mut again = herald();
    again.args(["campaign", "status", "--user", "user_a", "--campaign", &campaign, "--server"]);
    again.arg(format!("http://{}", server.address));
    let again = String::from_utf8(again.output().expect("it ends").stdout).expect("UTF-8");
    assert!(again.contains(&format!("campaign {campaign} is running")), "{again}");
}

/// What was to be approved without a look waits from then on, and that is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_interrupted_says_that_it_approves_no_more() {
    let data = folder();
    let server = serve(data.path(), &[]);
    let mut run = herald();
    run.args(["campaign", "run", "--approve-all", "--website", &hanging_site()]);
    run.env("HERALD_USER", "user_a").env("HERALD_SERVER", format!("http://{}", server.address));
    let running = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    let output =
        tokio::task::spawn_blocking(move || running.wait_with_output().expect("it ends")).await.expect("no panic");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{told}");
    let words =
        ["--approve-all ends here", "`herald campaign approve --campaign cp_", "`herald campaign watch --campaign cp_"];
    says(&told, &words);
}

/// `herald check` meets what is there as the clients do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_tls_as_the_clients_do() {
    let (files, data) = (Authority::new(), folder());
    let app = TestApp::over_tls(&files, false).await;
    let mut check = herald();
    check.args(["check", "--dev", "--user", "user_a", "--data-dir"]).arg(data.path());
    check.args(["--server", &format!("http://localhost:{}", app.address.port())]);
    let told = String::from_utf8(output(check).await.stdout).expect("UTF-8");
    says(&told, &["the server speaks TLS: write https:// in place of http://"]);
    assert!(!told.contains("transport error"), "{told}");
}

/// A website that takes connections and never answers.
fn hanging_site() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let held: Vec<_> = listener.incoming().flatten().collect();
        drop(held);
    });
    url
}
