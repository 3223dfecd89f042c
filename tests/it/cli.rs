//! The command line, as a stranger types it, against a real server.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use sqlx::Connection as _;

use crate::support::process::{Server, herald, serve};
use crate::support::site;
use crate::support::{eml_files, folder, outbox};

fn example_csv() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prospects.csv")
}

async fn campaign(server: &Server, user: &str, args: &[&str]) -> Output {
    let mut command = herald();
    command
        .arg("campaign")
        .args(args)
        .env("HERALD_SERVER", format!("http://{}", server.address))
        .env("HERALD_USER", user);
    tokio::task::spawn_blocking(move || command.output().expect("it ends")).await.expect("no panic")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_campaign_runs_to_its_end_and_prints_its_results() {
    let website = site::example().await;
    let data = folder();
    let server = serve(data.path(), &[]);
    let csv = example_csv();
    let run = [
        "run",
        "--website",
        &website,
        "--prospects",
        csv.to_str().expect("a path"),
        "--template",
        "modern_tech",
        "--approve-all",
    ];
    let output = campaign(&server, "user_a", &run).await;
    let (out, progress) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{progress}");
    assert!(out.contains("is completed") && out.contains("Fernwick Instruments") && out.contains("50 sent"), "{out}");
    assert!(progress.contains("50 prospects imported") && progress.contains("campaign completed"), "{progress}");
    assert_eq!(eml_files(&outbox(data.path(), "user_a")).len(), 50);
    // What was found alike is one line, with some of its pages.
    let sources: Vec<_> = out.lines().filter(|line| line.contains("from the words of the pages")).collect();
    assert!(sources.len() == 1 && sources[0].starts_with("  industry, product_type: from the words"), "{out}");
    assert!(sources[0].ends_with(" and 2 more (--json has them)"), "{out}");
    assert!(out.contains("all 50: `herald campaign recipients --limit 0 --campaign cp_"), "{out}");
    let last = out.lines().last().expect("a line");
    assert!(last.starts_with("next: its e-mails") && last.contains("`herald campaign emails --campaign cp_"), "{out}");

    // Machines read JSON; the same prospects again are duplicates.
    let json = [&run[..], &["--json", "--not-again-days", "0"]].concat();
    let output = campaign(&server, "user_a", &json).await;
    let events: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events.last().expect("events")["event"]["stateChanged"]["to"], "CAMPAIGN_STATE_COMPLETED");
    let results = campaign(&server, "user_a", &["results", "--json"]).await;
    let results: serde_json::Value = serde_json::from_slice(&results.stdout).expect("JSON");
    assert_eq!(results["campaign"]["id"], events[0]["snapshot"]["id"]);
    assert_eq!(results["analysis"]["businessName"], "Fernwick Instruments");
    assert!(text(&output.stderr).contains("0 prospects imported, 50 were there already"));

    // Another tenant sees nothing of it.
    let output = campaign(&server, "user_b", &["status"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("NO_CAMPAIGN"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_waits_says_what_to_do_and_does_it() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let server = serve(data.path(), &[]);
    let csv = example_csv();
    let run = ["run", "--website", &website, "--prospects", csv.to_str().expect("a path")];
    let output = campaign(&server, "user_a", &run).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("herald campaign select-template"), "{}", text(&output.stdout));
    assert!(client(&server, &["templates", "list"]).await.1.contains("event_invitation"));
    campaign(&server, "user_a", &["select-template", "event_invitation"]).await;
    let output = campaign(&server, "user_a", &["watch"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("herald campaign review"));
    assert!(text(&campaign(&server, "user_a", &["pause"]).await.stdout).contains("is paused"));
    assert!(text(&campaign(&server, "user_a", &["resume"]).await.stdout).contains("is waiting-approval"));
    assert!(campaign(&server, "user_a", &["approve"]).await.status.success());
    assert!(campaign(&server, "user_a", &["watch"]).await.status.success());
    let cancel = campaign(&server, "user_a", &["cancel"]).await;
    assert!(!cancel.status.success() && text(&cancel.stderr).contains("CAMPAIGN_STATE"), "{}", text(&cancel.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_end_with_what_to_do_and_tell_what_is_alike_once() {
    let website = site::pages([("/", site::company())]).await;
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let csv = files.path().join("alike.csv");
    let rows: String = (0..12).map(|n| format!("p{n}@b{n}.example,Kim Roth\n")).collect();
    std::fs::write(&csv, format!("email,contact_name\n{rows}")).expect("written");
    let csv = csv.display().to_string();
    let run = ["run", "--website", &website, "--prospects", &csv, "--template", "modern_tech"];
    let output = campaign(&server, "user_a", &run).await;
    let out = text(&output.stdout);
    let (_, best) = out.split_once("\nBest prospects\n").expect("the best");
    let lines: Vec<_> = best.lines().collect();
    assert_eq!(lines.len(), 8, "{out}");
    assert!(lines[1].starts_with("5 ") && lines[1].ends_with("  no particular reason"), "{out}");
    assert!(lines[4].starts_with("5 ") && lines[4].contains("and 9 more") && lines[4].ends_with("the same"), "{out}");
    assert!(lines[5].starts_with("all 12: `herald campaign recipients --limit 0 --campaign cp_"), "{out}");
    assert_eq!((lines[6], &lines[7][..6]), ("", "next: "), "{out}");
    let recipients = text(&campaign(&server, "user_a", &["recipients"]).await.stdout);
    assert_eq!(recipients.matches("no particular reason").count(), 12, "{recipients}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_without_prospects_says_to_import_some_and_then_goes_on() {
    let website = site::pages([("/", site::company())]).await;
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let output = campaign(&server, "user_a", &["run", "--website", &website, "--template", "modern_tech"]).await;
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    let next = out.lines().last().expect("a line");
    assert!(next.starts_with("next: import prospects") && next.contains("`herald prospects import FILE.csv`"), "{out}");
    assert!(next.contains("then `herald campaign resume --campaign cp_"), "{out}");
    let csv = files.path().join("one.csv");
    std::fs::write(&csv, "email\na@b.example\n").expect("written");
    assert!(client(&server, &["prospects", "import", &csv.display().to_string()]).await.0);
    assert!(campaign(&server, "user_a", &["resume"]).await.status.success());
    let watched = text(&campaign(&server, "user_a", &["watch"]).await.stdout);
    assert!(watched.contains("is waiting-approval"), "{watched}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csv_with_a_fault_is_refused_by_line_and_column_and_nothing_of_it_is_imported() {
    let data = folder();
    let server = serve(data.path(), &[]);
    let csv = data.path().join("bad.csv");
    let mut text_of = String::from("email,company\n");
    for n in 0..2_500 {
        text_of.push_str(&format!("person{n}@example.com,Company\n"));
    }
    text_of.push_str("nobody,Company\n");
    std::fs::write(&csv, text_of).expect("written");
    let run = ["run", "--website", "https://example.com", "--prospects", csv.to_str().expect("a path")];
    let output = campaign(&server, "user_a", &run).await;
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("bad.csv:2502: column \"email\": must be an e-mail address"), "{told}");
    let mut api = server.user("user_a").await;
    let list = api.agent.list_prospects(herald::pb::ListProspectsRequest::default()).await.expect("a list");
    assert!(list.into_inner().prospects.is_empty());
}

#[tokio::test]
async fn what_cannot_be_reached_or_read_is_told_with_what_to_do() {
    let told = |args: &[&str]| {
        let output = herald().args(args).output().expect("it ends");
        assert!(!output.status.success(), "{args:?}");
        text(&output.stderr)
    };
    assert!(
        told(&["campaign", "status", "--server", "http://127.0.0.1:1"]).contains("is `herald serve` running there?")
    );
    assert!(told(&["campaign", "status", "--server", "localhost"]).contains("--server localhost: must be a URL"));
    for (server, shown) in
        [("http://u:s3cret@127.0.0.1:1", "http://***@127.0.0.1:1"), ("u:s3cret@host", "--server ***")]
    {
        let told = told(&["campaign", "status", "--server", server]);
        assert!(told.contains(shown) && !told.contains("s3cret"), "{told}");
    }
    let missing = told(&["campaign", "run", "--website", "https://example.com", "--prospects", "/nowhere.csv"]);
    assert!(missing.contains("cannot open /nowhere.csv"), "{missing}");
    assert!(told(&["campaign", "run", "--server", "http://127.0.0.1:1"]).contains("is `herald serve` running there?"));
    let help = herald().args(["campaign", "run", "--help"]).output().expect("it ends");
    let help = text(&help.stdout);
    for word in ["--website", "--prospects", "--template", "--approve-all", "--json", "HERALD_TOKEN"] {
        assert!(help.contains(word), "{word} in:\n{help}");
    }
}

#[tokio::test]
async fn a_minted_token_is_taken_by_a_server_with_the_same_settings() {
    let data = folder();
    let mut config = crate::support::token::production(crate::support::config(&data));
    config.auth.hs256_secret = herald::config::Secret::new(crate::support::SECRET);
    config.auth.issuer = "https://issuer.example".to_owned();
    config.auth.audience = "herald".to_owned();
    config.auth.role_claim = "app.role".to_owned();
    let app = crate::support::TestApp::with(data, config, crate::support::seams()).await;
    let mint = |args: &[&str]| {
        let mut command = herald();
        command.arg("token").args(args).env("HERALD_AUTH_HS256_SECRET", crate::support::SECRET);
        command.env("HERALD_AUTH_ISSUER", "https://issuer.example").env("HERALD_AUTH_AUDIENCE", "herald");
        let output = command.env("HERALD_AUTH_ROLE_CLAIM", "app.role").output().expect("it ends");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    let configure = || herald::pb::UpdateAgentConfigRequest {
        config: Some(herald::pb::AgentConfig { location: "Mosel".into(), ..Default::default() }),
        update_mask: None,
    };
    let mut owner = app.token(&mint(&["--subject", "user_a"])).await;
    owner.agent.update_agent_config(configure()).await.expect("the owner may");
    for (role, may_configure, may_write) in [("viewer", false, false), ("editor", false, true), ("admin", true, true)] {
        let mut api = app.token(&mint(&["--subject", "user_a", "--organization", "org_1", "--role", role])).await;
        let configured = api.agent.update_agent_config(configure()).await.map_err(|status| status.code());
        assert_eq!(configured.is_ok(), may_configure, "{role}");
        // An empty one is refused after the role was looked at.
        let written = api.agent.batch_create_prospects(herald::pb::BatchCreateProspectsRequest::default()).await;
        let refused = written.expect_err("there is nothing in it");
        assert_eq!(refused.code() == tonic::Code::InvalidArgument, may_write, "{role}: {refused:?}");
        assert_eq!(refused.metadata().get("x-tenant-id").expect("stamped"), "org_1");
    }
    for (option, value, words) in [
        ("--token", "bad", "the server does not take this token: it may be signed with another secret"),
        ("--user", "user_a", "the server takes no --user, as development servers do: give --token"),
    ] {
        let mut command = herald();
        command.args(["campaign", "status", option, value, "--server", &format!("http://{}", app.address)]);
        let output = tokio::task::spawn_blocking(move || command.output().expect("it ends")).await.expect("no panic");
        let told = text(&output.stderr);
        assert!(told.contains(words) && !told.contains("or to a development server"), "{told}");
    }
    let output = herald().args(["token", "--subject", "user_a", "--role", "owner"]).output().expect("it ends");
    assert!(!output.status.success() && text(&output.stderr).contains("viewer"), "{}", text(&output.stderr));

    let output = herald().args(["token", "--subject", "user_a"]).output().expect("it ends");
    assert!(!output.status.success() && text(&output.stderr).contains("HERALD_AUTH_HS256_SECRET"));
}

#[test]
fn the_settings_in_force_and_completions_are_printed() {
    let output = herald().args(["settings", "--dev"]).env("HERALD_ENGINE_WORKERS", "3").output().expect("it ends");
    let out = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(out.contains("engine.workers = 3 # HERALD_ENGINE_WORKERS") && out.contains("dev = true # --dev"), "{out}");
    let output = herald().args(["settings"]).output().expect("it ends");
    assert!(!output.status.success() && text(&output.stderr).contains("no credentials are configured"));
    // A variable that is none is told behind all that are.
    let output = herald().args(["settings", "--dev"]).env("HERALD_LISTN", "x").output().expect("it ends");
    let (out, told) = (text(&output.stdout), text(&output.stderr));
    assert!(!output.status.success() && told.contains("did you mean HERALD_LISTEN?"), "{told}");
    assert!(out.contains("dev = true # --dev") && out.contains("# The memory"), "{out}");
    let output = herald().args(["config", "print", "--dev"]).output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("`herald settings` prints the server's settings"));
    for shell in ["bash", "zsh", "fish"] {
        let output = herald().args(["completions", shell]).output().expect("it ends");
        assert!(text(&output.stdout).contains("select-template"), "{shell}");
    }
}

#[test]
fn a_secret_is_in_no_error_whatever_is_wrong_beside_it() {
    use std::os::unix::ffi::OsStrExt as _;
    let told = |command: &mut std::process::Command| {
        let output = command.output().expect("it ends");
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
        told
    };
    let broken = std::ffi::OsStr::from_bytes(b"s3cret\xff");
    for name in ["HERALD_MASTER_KEY", "REDIS_URL"] {
        let error = told(herald().args(["serve", "--dev"]).env(name, broken));
        assert!(error.contains(&format!("{name}: is no UTF-8")), "{error}");
    }
    let old = ("HERALD_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let error = told(herald().arg("rotate-key").env(old.0, old.1).env("HERALD_NEW_MASTER_KEY", broken));
    assert!(error.contains("HERALD_NEW_MASTER_KEY"), "{error}");
    let files = folder();
    let file = files.path().join("herald.toml");
    std::fs::write(&file, "[auth]\nhs256_secret = 's3cret's\n").expect("written");
    for command in [&["serve"][..], &["settings"], &["check"], &["token", "--subject", "user_a"]] {
        let error = told(herald().args(command).arg("--config").arg(&file));
        assert!(error.contains("the configuration file, line 2, column 24"), "{error}");
    }
    let url = ("HERALD_CACHE_URL", "redis-cluster://u:s3cret@a:1?node=u:s3cret@b:2");
    assert!(told(herald().args(["serve", "--dev"]).env(url.0, url.1)).contains("cache.url"));
    assert!(told(herald().args(["settings", "--dev"]).env(url.0, url.1)).contains("cache.url = \"***\""));
    assert!(told(herald().args(["check", "--dev"]).env(url.0, url.1)).contains("cache.url"));
    let help =
        herald().args(["check", "--help"]).env("HERALD_SERVER", "http://u:s3cret@host").output().expect("it ends");
    assert!(!text(&help.stdout).contains("s3cret"));
}

async fn client(server: &Server, args: &[&str]) -> (bool, String, String) {
    client_with(server, args, "").await
}

/// A client command as `user_a`, with a text on its standard input.
async fn client_with(server: &Server, args: &[&str], input: &str) -> (bool, String, String) {
    let mut command = herald();
    command.args(args).env("HERALD_SERVER", format!("http://{}", server.address)).env("HERALD_USER", "user_a");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("it starts");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("written");
        child.wait_with_output().expect("it ends")
    });
    let output = output.await.expect("no panic");
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prospects_go_out_and_in_again_as_csv_that_is_safe_and_as_json_that_is_exact() {
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let path = |name: &str| files.path().join(name).display().to_string();
    let odd = "email,company,contact_name,notes,tags,priority_score,conversion_probability,status\n\
        a@example.com,'=HYPERLINK(1),+49 30,\"-1\nsecond, line\",@x;plain,7,0,contacted\n\
        b@example.com,\"例子, \"\"GmbH\"\"\",Anna,,,,,\n";
    std::fs::write(path("odd.csv"), odd).expect("written");
    let (ok, _, err) = client(&server, &["prospects", "import", &path("odd.csv")]).await;
    assert!(ok && err.contains("2 prospects imported"), "{err}");

    let (ok, out, err) = client(&server, &["prospects", "list", "--json"]).await;
    assert!(ok, "{err}");
    let rows: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let first = rows["prospects"]
        .as_array()
        .expect("rows")
        .iter()
        .find(|row| row["email"] == "a@example.com")
        .expect("the first");
    assert_eq!((&first["company"], &first["contactName"]), (&"=HYPERLINK(1)".into(), &"+49 30".into()));
    assert_eq!((&first["notes"], &first["conversionProbability"]), (&"-1\nsecond, line".into(), &0.into()));

    // No cell of the CSV begins with what a spreadsheet takes for a formula; JSON is exact.
    let (ok, _, err) = client(&server, &["prospects", "export", &path("out.csv")]).await;
    assert!(ok && err.contains("2 prospects exported"), "{err}");
    let csv = std::fs::read_to_string(path("out.csv")).expect("written");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    for record in reader.records() {
        for cell in &record.expect("a record") {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
        }
    }
    assert!(csv.contains("'=HYPERLINK(1)") && csv.contains("'+49 30") && csv.contains("'@x;plain"), "{csv}");
    let (ok, out, _) = client(&server, &["prospects", "export", "--format", "json"]).await;
    let exact: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert!(ok && exact == rows);
    std::fs::write(path("out.json"), &out).expect("written");

    // Both can be imported by another tenant, and are the same again.
    for name in ["out.csv", "out.json"] {
        let user = format!("user_of_{}", name.replace('.', "_"));
        let (ok, _, err) = client(&server, &["prospects", "import", &path(name), "--user", &user]).await;
        assert!(ok && err.contains("2 prospects imported"), "{name}: {err}");
        let (_, out, _) = client(&server, &["prospects", "list", "--json", "--user", &user]).await;
        let again: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let told = |rows: &serde_json::Value| {
            let told = |row: &serde_json::Value| {
                ["email", "company", "contactName", "notes", "tags", "priorityScore", "conversionProbability", "status"]
                    .map(|field| row[field].to_string())
            };
            let mut told: Vec<_> = rows["prospects"].as_array().expect("rows").iter().map(told).collect();
            told.sort();
            told
        };
        assert_eq!(told(&again), told(&rows), "{name}");
    }

    let (ok, out, _) = client(&server, &["prospects", "list", "--query", "例子"]).await;
    assert!(ok && out.starts_with("id ") && out.contains("b@example.com") && !out.contains("a@example.com"), "{out}");
    let (ok, out, _) = client(&server, &["prospects", "list", "--status", "contacted", "--urgent"]).await;
    assert!(ok && out.lines().count() == 2 && out.contains("contacted"), "{out}");

    // What is wrong is told by its row, and nothing of the file is imported.
    std::fs::write(path("bad.json"), r#"[{"email": "c@example.com"}, {"email": "nobody", "priorityScore": 101}]"#)
        .expect("written");
    let (ok, _, err) = client(&server, &["prospects", "import", &path("bad.json")]).await;
    assert!(
        !ok && err.contains("row 2: email: must be an e-mail address") && err.contains("row 2: priority_score"),
        "{err}"
    );
    for (name, text, told) in [
        ("none.json", "[]", "no prospects"),
        ("broken.json", "[{", "is no JSON"),
        ("object.json", "{}", "no list of prospects"),
        ("field.json", r#"[{"mail": "a@example.com"}]"#, "row 1"),
        ("prospects.txt", "", "ends with none of .csv, .tsv and .json: say what it is by --format"),
    ] {
        std::fs::write(path(name), text).expect("written");
        let (ok, _, err) = client(&server, &["prospects", "import", &path(name)]).await;
        assert!(!ok && err.contains(told), "{name}: {err}");
    }
    let (_, out, _) = client(&server, &["prospects", "list", "--json"]).await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&out).expect("JSON")["prospects"].as_array().map(Vec::len),
        Some(2)
    );
    let (ok, _, err) = client(&server, &["prospects", "export", "/nowhere/out.csv"]).await;
    assert!(!ok && err.contains("cannot write /nowhere/out.csv"), "{err}");
    let (ok, _, err) = client(&server, &["prospects", "export", &path("out.txt")]).await;
    assert!(!ok && err.contains("none of .csv, .tsv and .json: say what it is by --format"), "{err}");
}

/// Where a command takes a file, `-` is standard input or standard output, and no file of that name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dash_is_standard_input_or_output() {
    let website = site::pages([("/", site::company())]).await;
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let with = async |args: &[&str], input: &str| client_with(&server, args, input).await;
    let (ok, _, err) = with(&["prospects", "import", "-"], "email,company\na@b.example,Acme\n").await;
    assert!(ok && err.contains("1 prospect imported"), "{err}");
    let json = r#"[{"email": "c@d.example", "company": "Beta"}]"#;
    let (ok, _, err) = with(&["prospects", "import", "-", "--format", "json"], json).await;
    assert!(ok && err.contains("1 prospect imported"), "{err}");
    let (ok, _, err) = with(&["prospects", "import", "-"], "email\nnobody\n").await;
    assert!(!ok && err.contains("standard input:2: column \"email\": must be an e-mail address"), "{err}");
    let (ok, out, err) = with(&["suppressions", "add", "--file", "-"], "x@y.example\n").await;
    assert!(ok && out.starts_with("1 suppression added"), "{out}{err}");
    let run =
        ["campaign", "run", "--website", &website, "--template", "modern_tech", "--approve-all", "--prospects", "-"];
    let (ok, _, err) = with(&run, "email\ne@f.example\n").await;
    assert!(ok && err.contains("1 prospect imported") && err.contains("3 sent"), "{err}");

    for (format, begin) in [(&[][..], "email,company,"), (&["--format", "json"], "{\"prospects\": [\n{")] {
        let mut command = herald();
        command.current_dir(files.path()).args(["prospects", "export", "-"]).args(format);
        command.env("HERALD_SERVER", format!("http://{}", server.address)).env("HERALD_USER", "user_a");
        let output = tokio::task::spawn_blocking(move || command.output().expect("it ends")).await.expect("no panic");
        assert!(text(&output.stdout).starts_with(begin), "{output:?}");
    }
    assert_eq!(std::fs::read_dir(files.path()).expect("a folder").count(), 0, "no file is named -");
}

/// A wrong name leads to anything, and a pipe need not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_whole_is_read_within_a_bound() {
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let file = |name: &str, mib: u64| {
        let path = files.path().join(name);
        std::fs::File::create(&path).expect("a file").set_len(mib * 1024 * 1024 + 1).expect("as long as that");
        path.display().to_string()
    };
    let (list, letter, long) = (file("list.json", 64), file("letter.txt", 1), "x".repeat(1024 * 1024 + 1));
    for (args, input, told) in [
        (&["prospects", "import", &list][..], "", "list.json has more than 64 MiB: part it"),
        (&["suppressions", "add", "--file", &list], "", "list.json has more than 64 MiB: part it"),
        (&["campaign", "review", "em_1", "--body", &letter], "", "letter.txt has more than 1 MiB"),
        (&["campaign", "review", "em_1", "--body", "-"], &long, "standard input has more than 1 MiB"),
        (&["mailboxes", "update", "mb_1", "--password-file", "-"], &long, "standard input has more than"),
    ] {
        let (ok, _, err) = client_with(&server, args, input).await;
        assert!(!ok && err.contains(told), "{args:?}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_and_the_configuration_are_looked_at_and_changed() {
    let data = folder();
    let server = serve(data.path(), &[]);
    for (args, expected) in [
        (&["cache", "set", "k", r#"{"n": 1}"#][..], ""),
        (&["cache", "get", "k"], "{\n  \"n\": 1\n}\n"),
        (&["cache", "set", "plain", "a text", "--ttl", "60"], ""),
        (&["cache", "get", "plain"], "\"a text\"\n"),
        (&["cache", "set", "n", "9007199254740991"], ""),
        (&["cache", "get", "n"], "9007199254740991\n"),
        (&["cache", "keys"], "k\nn\nplain\n"),
        (
            &["cache", "keys", "--prefix", "p", "--json"],
            "{\n  \"keys\": [\n    \"plain\"\n  ],\n  \"nextPageToken\": \"\"\n}\n",
        ),
    ] {
        let (ok, out, err) = client(&server, args).await;
        assert_eq!((ok, out.as_str()), (true, expected), "{args:?}: {err}");
    }
    let (ok, _, err) = client(&server, &["cache", "get", "none"]).await;
    assert!(!ok && err.contains("CACHE_KEY_NOT_FOUND"), "{err}");
    let (ok, _, err) = client(&server, &["cache", "clear"]).await;
    assert!(!ok && err.contains("would delete 3 keys") && err.contains("--yes"), "{err}");
    let (ok, out, _) = client(&server, &["cache", "clear", "--yes"]).await;
    assert!(ok && out == "3 keys deleted\n", "{out}");

    let set = [
        "config",
        "set",
        "sender.unsubscribe_email=stop@example.com",
        "industries=Farming, Gardening",
        "goal=press",
        "auto_approve=true",
        r#"template_data={"booth":{"hall":9}}"#,
        "controls.pause_on_error=true",
    ];
    let (ok, out, err) = client(&server, &set).await;
    assert!(ok, "{out}{err}");
    for line in [
        "sender.unsubscribe_email = stop@example.com",
        "industries = Farming, Gardening",
        "goal = press",
        "auto_approve = true",
        "controls.pause_on_error = true",
    ] {
        assert!(out.lines().any(|told| told == line), "{line} in:\n{out}");
    }
    let (ok, out, _) = client(&server, &["config", "get"]).await;
    for (field, value) in [
        ("sender.unsubscribe_email", "stop@example.com"),
        ("industries", "Farming, Gardening"),
        ("goal", "press"),
        ("controls.pause_on_error", "true"),
    ] {
        let there = out.lines().any(|line| line.starts_with(field) && line.ends_with(value));
        assert!(ok && there, "{field} {value} in:\n{out}");
    }
    let (_, out, _) = client(&server, &["config", "get", "sender.unsubscribe_email"]).await;
    assert_eq!(out, "stop@example.com\n");
    let (_, out, _) = client(&server, &["config", "get", "--json"]).await;
    let config: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(config["config"]["templateData"]["booth"]["hall"], 9.0);
    let (ok, told, _) = client(&server, &["config", "set", "industries=", "sender.unsubscribe_email="]).await;
    assert_eq!(told, "industries is cleared\nsender.unsubscribe_email is cleared\n");
    let (_, out, _) = client(&server, &["config", "get"]).await;
    assert!(ok && !out.contains("Farming") && !out.contains("stop@"), "{out}");
    for (wrong, told) in [
        ("sender.nam=x", "no field \"nam\"; did you mean sender.name? known are: name, position, company"),
        ("location.x=y", "has no fields of its own"),
        ("sender.email=x", "of a mailbox: `herald mailboxes --help`"),
        ("smtp.password=x", "of a mailbox"),
        ("controls.time_zone=UTC", "of a mailbox"),
        ("auto_approve=perhaps", "true or false"),
        ("goal=fame", "must be one of: partnerships, customers, press"),
        ("industries", "FIELD=VALUE"),
        ("etag=x", "etag can be read and not set"),
        ("gaol=press", "did you mean goal? known are: target_website, goal"),
    ] {
        let (ok, _, err) = client(&server, &["config", "set", wrong]).await;
        assert!(!ok && err.contains(told), "{wrong}: {err}");
    }
    let (ok, _, err) = client(&server, &["config", "set", "location=x", "--etag", "stale"]).await;
    assert!(!ok && err.contains("ETAG_MISMATCH"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_is_rotated_whole_or_not_at_all() {
    const KEYS: [&str; 3] = [
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
    ];
    let data = folder();
    let rotate = |old: &str, new: Option<&str>| {
        let mut command = herald();
        command.args(["rotate-key", "--data-dir"]).arg(data.path()).env("HERALD_MASTER_KEY", old);
        if let Some(new) = new {
            command.env("HERALD_NEW_MASTER_KEY", new);
        }
        let output = command.output().expect("it ends");
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let starts = |key: &str| serve(data.path(), &[("HERALD_MASTER_KEY", key)]);
    let refused = |key: &str| {
        let mut command = herald();
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
        let output = command.env("HERALD_MASTER_KEY", key).output().expect("it ends");
        (output.status.success(), text(&output.stderr))
    };

    let (ok, _, err) = rotate(KEYS[0], Some(KEYS[1]));
    assert!(!ok && err.contains("there is no database"), "{err}");
    let mut server = starts(KEYS[0]);
    for user in ["user_a", "user_b"] {
        let create = ["mailboxes", "create", "--address", "anna@a.example", "--host", "mail.a.example", "--user", user];
        assert!(client(&server, &create).await.0);
        let set = ["mailboxes", "update", "anna@a.example", "--password-file", "-", "--user", user];
        let (ok, _, err) = client_with(&server, &set, "s3cret").await;
        assert!(ok, "{err}");
    }
    let (ok, _, err) = rotate(KEYS[0], Some(KEYS[1]));
    assert!(!ok && err.contains("another Herald works in the data folder"), "{err}");
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().await.success());

    for (old, new, told) in [
        (KEYS[0], None, "HERALD_NEW_MASTER_KEY"),
        (KEYS[0], Some("short"), "HERALD_NEW_MASTER_KEY"),
        ("short", Some(KEYS[1]), "HERALD_MASTER_KEY"),
        ("", Some(KEYS[1]), "there is no HERALD_MASTER_KEY"),
        (KEYS[2], Some(KEYS[1]), "does not open the data key of the tenant user_a"),
    ] {
        let (ok, out, err) = rotate(old, new);
        assert!(!ok && err.contains(told), "{told}: {out}{err}");
    }
    drop(starts(KEYS[0]));
    let (ok, out, err) = rotate(KEYS[0], Some(KEYS[1]));
    assert!(ok && out.contains("the keys of 2 tenants are under the new key"), "{out}{err}");
    let (ok, out, _) = rotate(KEYS[0], Some(KEYS[1]));
    assert!(ok && out.contains("under the new key already"), "{out}");

    // The old one opens it no more; the new one does, and what was sealed is still there.
    let (ok, err) = refused(KEYS[0]);
    assert!(!ok && err.contains("the master key does not open this data folder"), "{err}");
    let mut server = starts(KEYS[1]);
    let (_, out, _) = client(&server, &["mailboxes", "get", "anna@a.example", "--json"]).await;
    assert!(out.contains("\"hasPassword\": true"), "{out}");
    // Each tenant can see that it was done, and once.
    for user in ["user_a", "user_b"] {
        let (ok, out, err) = client(&server, &["audit", "list", "--user", user]).await;
        assert!(ok && out.starts_with("time") && out.matches("operator  herald rotate-key").count() == 1, "{out}{err}");
        assert!(out.contains("UpdateMailbox") && out.contains("smtp.password") && !out.contains("s3cret"), "{out}");
    }
    // A database of the version before there was an audit log is brought up to date first.
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().await.success());
    let database = rusqlite::Connection::open(data.path().join("herald.db")).expect("the database");
    let before = "DROP TABLE audit_events; DELETE FROM _sqlx_migrations WHERE version = 9";
    database.execute_batch(before).expect("as it was");
    drop(database);
    let (ok, out, err) = rotate(KEYS[1], Some(KEYS[2]));
    assert!(ok && out.contains("the keys of 2 tenants are under the new key"), "{out}{err}");
    let server = starts(KEYS[2]);
    let (_, out, _) = client(&server, &["audit", "list"]).await;
    assert_eq!(out.matches("operator  herald rotate-key").count(), 1, "{out}");
}

/// A title that a terminal obeys, and a colour.
const OWNED: &str = "\u{1b}]0;owned\u{7}Acme\u{9b}31m";

/// What was printed, all of it, if a terminal is safe from it.
fn safe(told: &(bool, String, String)) -> String {
    let all = format!("{}{}", told.1, told.2);
    let controls: Vec<char> = all.chars().filter(|c| c.is_control() && *c != '\n').collect();
    assert!(controls.is_empty(), "{controls:?} in {all:?}");
    assert_eq!(herald::domain::text::clean(&all), all, "a bidirectional control is closed on its line");
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_anybody_says_reaches_the_terminal_as_a_control_character() {
    let page = format!(
        r#"<title>{OWNED}</title><script type="application/ld+json">{{"@type": "Organization",
        "name": "\u001b]0;owned\u0007Acme\u009b31m", "description": "{OWNED} \u202etools"}}</script><h1>{OWNED}</h1><p>{OWNED} We make tools.</p>"#
    );
    let website = site::pages([("/", site::html(&page))]).await;
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let path = |name: &str| files.path().join(name).display().to_string();
    std::fs::write(path("good.csv"), "email,company\na@example.com,Acme\n").expect("written");
    for json in [&["--json"][..], &[]] {
        let csv = path("good.csv");
        let run = ["campaign", "run", "--website", &website, "--prospects", &csv, "--template", "modern_tech"];
        let always = ["--approve-all", "--not-again-days", "0"];
        let told = client(&server, &[&run[..], &always, json].concat()).await;
        assert!(told.0 && safe(&told).contains("Acme"), "{told:?}");
    }
    // An error's words are its causer's: a template, an address, a name of a file or a column, a flag.
    std::fs::write(path("bad.csv"), format!("email,company\n{OWNED}@,{OWNED}\n")).expect("written");
    std::fs::write(path("header.csv"), format!("email,{OWNED}\n")).expect("written");
    std::fs::write(path(OWNED) + ".json", format!("[{{\"email\": \"{OWNED}\"}}]")).expect("written");
    std::fs::write(path("field.json"), r#"[{"\u001b]0;owned\u0007\u009b31m": 1}, {"status": "\u009b31m"}]"#)
        .expect("written");
    let owned = path(OWNED);
    for args in [
        &["campaign", "select-template", OWNED][..],
        &["campaign", "results", "--campaign", OWNED],
        &["campaign", "run", "--website", OWNED],
        &["prospects", "import", &path("bad.csv")],
        &["prospects", "import", &path("header.csv")],
        &["prospects", "import", &(owned.clone() + ".json")],
        &["prospects", "import", &path("field.json")],
        &["prospects", "import", &owned],
        &["prospects", "list", "--campaign", OWNED],
        &["config", "get", OWNED],
        &["config", "set", &format!("{OWNED}=1")],
        &["cache", "get", OWNED],
        &["campaign", OWNED],
        &[OWNED],
    ] {
        let told = client(&server, args).await;
        assert!(!told.0 && !safe(&told).is_empty(), "{args:?}: {told:?}");
    }

    // A server that has worse in its rows, as one that is not Herald might.
    drop(server);
    let bad = format!("{OWNED}\r\u{7f}\u{85}\u{202e}\nforged");
    let url = format!("sqlite://{}", data.path().join("herald.db").display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.expect("the database");
    for text in [
        "UPDATE prospects SET company = $1, contact_name = $1",
        "UPDATE campaign_steps SET summary = $1",
        "UPDATE campaigns SET failure = $1",
    ] {
        assert!(sqlx::query(text).bind(&bad).execute(&mut database).await.expect(text).rows_affected() > 0);
    }
    database.close().await.expect("closed");
    let server = serve(data.path(), &[]);
    for args in [
        &["campaign", "status"][..],
        &["campaign", "watch"],
        &["campaign", "results"],
        &["prospects", "list"],
        &["prospects", "export", "--format", "json"],
    ] {
        let told = client(&server, args).await;
        assert!(safe(&told).contains("owned") && !told.1.contains("\nforged"), "{args:?}: {told:?}");
        if !args.contains(&"export") {
            let told = client(&server, &[args, &["--json"]].concat()).await;
            safe(&told);
            let lines = told.1.lines().map(serde_json::from_str::<serde_json::Value>).collect::<Result<Vec<_>, _>>();
            let value = serde_json::from_str(&told.1).or(lines.map(serde_json::Value::from)).expect("JSON");
            assert!(holds(&value, &bad), "{args:?}: the value is what it was: {told:?}");
        }
    }
    // Data for programs is exact.
    let told = client(&server, &["prospects", "export"]).await;
    assert!(told.0 && told.1.contains(&bad), "{told:?}");
}

fn holds(value: &serde_json::Value, text: &str) -> bool {
    match value {
        serde_json::Value::String(own) => own == text,
        serde_json::Value::Array(items) => items.iter().any(|item| holds(item, text)),
        serde_json::Value::Object(fields) => fields.values().any(|field| holds(field, text)),
        _ => false,
    }
}

#[test]
fn a_command_shows_the_options_that_it_uses_and_no_others() {
    let help = |command: &str| text(&herald().args([command, "--help"]).output().expect("it ends").stdout);
    for (command, none) in [("token", &["--dev", "--listen", "--data-dir"][..]), ("rotate-key", &["--dev", "--listen"])]
    {
        let help = help(command);
        assert!(help.contains("--config") && none.iter().all(|flag| !help.contains(flag)), "{help}");
    }
    assert!(help("rotate-key").contains("--data-dir"));
    let campaign = text(&herald().args(["campaign", "run", "--help"]).output().expect("it ends").stdout);
    assert!(campaign.contains("10,000 if left out"), "{campaign}");
}

#[test]
fn every_help_fits_into_forty_columns() {
    fn walk(path: &[String]) {
        for form in ["--help", "-h"] {
            let output = herald().args(path).arg(form).env("COLUMNS", "40").output().expect("it ends");
            let help = text(&output.stdout);
            for line in help.lines().filter(|line| line.chars().count() > 40) {
                // What cannot be broken, such as the name of a variable, is left whole.
                let words: Vec<_> = line.split_whitespace().collect();
                assert!(words.len() <= 2 || line.starts_with("Usage:"), "herald {} {form}: {line:?}", path.join(" "));
            }
            if form == "-h" {
                continue;
            }
            let (_, commands) = help.split_once("\nCommands:\n").unwrap_or(("", ""));
            let names = commands.lines().take_while(|line| line.starts_with("  ") || line.is_empty());
            let names = names.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
            for name in names.filter(|name| *name != "help") {
                walk(&[path, &[name.to_owned()]].concat());
            }
        }
    }
    walk(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_columns_suffice_and_nothing_is_said_by_colours_or_by_a_bar_alone() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let server = serve(data.path(), &[]);
    // A terminal of forty columns, whatever is written to it.
    const SCRIPT: &str = r#"
import os, pty, sys
os.environ["COLUMNS"] = "40"
sys.exit(os.waitstatus_to_exitcode(pty.spawn(["sh", "-c", "stty rows 24 cols 40; exec \"$@\"", "sh"] + sys.argv[1:])))
"#;
    let on_terminal = async |args: &[&str]| {
        let program = herald();
        let mut python = std::process::Command::new("python3");
        python.args(["-c", SCRIPT]).arg(program.get_program()).args(args).args(["--user", "user_a", "--server"]);
        python.arg(format!("http://{}", server.address)).stdin(Stdio::null()).env("NO_COLOR", "1");
        let output = tokio::task::spawn_blocking(move || python.output().expect("python3")).await.expect("no panic");
        (output.status.success(), text(&output.stdout))
    };
    let csv = example_csv();
    let csv = csv.to_str().expect("a path");
    let run =
        ["campaign", "run", "--website", &website, "--prospects", csv, "--template", "modern_tech", "--approve-all"];
    let (good, told) = on_terminal(&run).await;
    assert!(good, "{told}");
    // Each step's end is a line of its own, which no bar takes away, and no colour says anything.
    let lines: Vec<_> = told.lines().map(|line| line.rsplit("\u{1b}[2K").next().unwrap_or(line).trim()).collect();
    for step in
        ["website-analysis", "search-strategy", "prospect-search", "email-generation", "email-review", "email-sending"]
    {
        assert!(lines.contains(&format!("{step} completed").as_str()), "{step} in {lines:#?}");
    }
    assert!(told.contains("campaign completed"), "{told}");
    let colours = |part: &&str| {
        part.split_once('m').is_some_and(|(code, _)| code.chars().all(|c| c.is_ascii_digit() || c == ';'))
    };
    assert_eq!(told.split("\u{1b}[").skip(1).filter(colours).count(), 0, "{told:?}");

    let (good, list) = on_terminal(&["prospects", "list", "--limit", "2"]).await;
    assert!(good && list.contains("email: ") && list.contains("\r\n\r\n"), "{list}");
    assert!(list.lines().all(|line| !line.contains("…")), "nothing is cut: {list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_way_of_a_start_is_told() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let server = serve(data.path(), &[("HERALD_LIMITS_LIVE_CAMPAIGNS", "1")]);
    let csv = example_csv();
    let run = ["run", "--website", &website, "--prospects", csv.to_str().expect("a path")];
    let files = folder();
    let first = files.path().join("first.csv");
    std::fs::write(&first, "email,company\na@b.example,Acme\n").expect("written");
    let waits = ["run", "--website", &website, "--prospects", first.to_str().expect("a path")];
    assert_eq!(campaign(&server, "user_a", &waits).await.status.code(), Some(3));
    let output = campaign(&server, "user_a", &run).await;
    let told = text(&output.stderr);
    assert!(!output.status.success() && told.contains("CAMPAIGN_LIVE"), "{told}");
    assert!(told.contains("`herald campaign cancel --campaign cp_"), "{told}");
    assert!(told.contains("the imported prospects stay: the next start needs no --prospects"), "{told}");
    // A template that is none is told before anything is imported.
    let output = campaign(&server, "user_b", &[&run[..], &["--template", "none"]].concat()).await;
    assert!(text(&output.stderr).contains("[TEMPLATE_NOT_FOUND]"), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("imported"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_live_campaigns_are_listed_and_a_change_asks_which_is_meant() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let server = serve(data.path(), &[("HERALD_ENGINE_RETRY_MILLIS", "1")]);
    let files = folder();
    let failed = campaign(&server, "user_a", &["run", "--website", "http://127.0.0.1:1/"]).await;
    assert_eq!(failed.status.code(), Some(1));
    let failed = text(&campaign(&server, "user_a", &["list", "--state", "failed"]).await.stdout);
    let failed = failed.split_whitespace().find(|word| word.starts_with("cp_")).expect("an id").to_owned();
    for n in 1..=2 {
        let file = files.path().join("some.csv");
        std::fs::write(&file, format!("email\nkim{n}@b{n}.example\n")).expect("written");
        let run = ["run", "--website", &website, "--prospects", file.to_str().expect("a path")];
        assert_eq!(campaign(&server, "user_a", &run).await.status.code(), Some(3), "it waits for a template");
    }
    let listed = text(&campaign(&server, "user_a", &["list", "--state", "waiting-template"]).await.stdout);
    for column in ["started", "template", "prospects", "e-mails", "sent", "website"] {
        assert!(listed.lines().next().is_some_and(|header| header.contains(column)), "{listed}");
    }
    assert!(listed.contains(&website) && !listed.contains('…'), "nothing is cut in a pipe: {listed}");
    let ids: Vec<_> = listed.lines().skip(1).map(|line| line.split("  ").next().expect("a cell").to_owned()).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| id.starts_with("cp_")), "{listed}");
    let refused = text(&campaign(&server, "user_a", &["cancel"]).await.stderr);
    assert!(refused.contains("--campaign") && ids.iter().all(|id| refused.contains(id.as_str())), "{refused}");
    assert!(!refused.contains(&failed), "it cannot be cancelled: {refused}");
    let refused = text(&campaign(&server, "user_a", &["resume"]).await.stderr);
    assert!(refused.contains(&format!("failed, and can be resumed: {failed}")), "{refused}");
    assert!(campaign(&server, "user_a", &["cancel", "--campaign", &ids[0]]).await.status.success());
    // The newest has ended: what is shown without an id is not what a change would mean.
    let refused = text(&campaign(&server, "user_a", &["cancel"]).await.stderr);
    assert!(refused.contains("CAMPAIGN_AMBIGUOUS") && ids.iter().all(|id| refused.contains(id.as_str())), "{refused}");
    assert!(campaign(&server, "user_a", &["cancel", "--campaign", &ids[1]]).await.status.success());
    let none = text(&campaign(&server, "user_a", &["list", "--state", "running,waiting-template"]).await.stdout);
    assert_eq!(none, "no campaigns\n");
}

/// Whom the live campaigns have is told with the command that names those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prospects_of_another_campaign_are_told_with_how_to_find_it() {
    let website = site::pages([("/", site::company())]).await;
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let csv = files.path().join("one.csv");
    std::fs::write(&csv, "email\nkim@acme.example\n").expect("written");
    let run = ["run", "--website", &website, "--prospects", csv.to_str().expect("a path")];
    assert_eq!(campaign(&server, "user_a", &run).await.status.code(), Some(3));
    let live = "`herald campaign list --state running,paused,waiting-analysis,waiting-template,waiting-approval`";
    let told = text(&campaign(&server, "user_a", &["preview"]).await.stdout);
    assert!(told.contains("in-campaign") && told.contains(live), "{told}");
    let output = campaign(&server, "user_a", &run).await;
    let told = text(&output.stdout);
    assert!(output.status.code() == Some(1) && told.contains("1 are in another campaign"), "{told}");
    assert!(told.lines().last().is_some_and(|next| next.starts_with("next: ") && next.contains(live)), "{told}");
}

/// A command behind "next:" is pasted as it stands, by somebody with options and no variables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_command_works_as_it_is_pasted() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let server = serve(data.path(), &[]);
    let address = format!("http://{}", server.address);
    let csv = example_csv();
    let run = async |mut command: std::process::Command| {
        tokio::task::spawn_blocking(move || command.output().expect("it ends")).await.expect("no panic")
    };
    let mut first = herald();
    first.args(["campaign", "run", "--website", &website, "--prospects"]).arg(&csv);
    first.args(["--server", &address, "--user", "user_a"]);
    let told = text(&run(first).await.stdout);
    let next = told.lines().last().and_then(|line| line.split('`').nth(1)).expect("a command").to_owned();
    let expected = format!("herald campaign select-template ID --server {address} --user user_a --campaign cp_");
    assert!(next.starts_with(&expected), "{next}");
    let program = herald().get_program().display().to_string();
    let pasted = next.replacen("herald", &program, 1).replace(" ID ", " modern_tech ");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &pasted]);
    let output = run(shell).await;
    assert!(output.status.success(), "{pasted}: {}", text(&output.stderr));
    let mut refused = herald();
    refused.args(["campaign", "results", "--user", "user_b"]).env("HERALD_SERVER", &address);
    let told = text(&run(refused).await.stderr);
    assert!(told.contains("`herald campaign run --user user_b`"), "what stands in a variable is not repeated: {told}");
}

/// Somebody else approves, as `run --approve-all` does: the campaign does not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_follows_a_campaign_that_somebody_else_approves() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let server = serve(data.path(), &[]);
    let csv = example_csv();
    let run = ["run", "--website", &website, "--prospects", csv.to_str().expect("a path"), "--template", "modern_tech"];
    assert_eq!(campaign(&server, "user_a", &run).await.status.code(), Some(3));
    let approve = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        campaign(&server, "user_a", &["approve"]).await
    };
    let (watched, approved) = tokio::join!(campaign(&server, "user_a", &["watch"]), approve);
    assert!(approved.status.success() && watched.status.success(), "{}", text(&watched.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_and_where_is_taken_from_the_more_explicit_and_told_where_it_is_wrong() {
    // Of a token that was good until 1970.
    const OVER: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyX2EiLCJleHAiOjF9.c2lnbmF0dXJl";
    let data = folder();
    let server = serve(data.path(), &[("HERALD_AUTH_HS256_SECRET", crate::support::SECRET)]);
    let address = format!("http://{}", server.address);
    let told = async |env: &[(&str, &str)], args: &[&str]| {
        let mut command = herald();
        command.args(["campaign", "status"]).args(args).env("HERALD_SERVER", &address).envs(env.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output().expect("it ends")).await.expect("no panic");
        (output.status.code(), text(&output.stderr))
    };
    let none = "[NO_CAMPAIGN]";
    for (env, args, code, words) in [
        (&[("HERALD_TOKEN", "bad")][..], &["--user", "user_a"][..], 1, none),
        (&[("HERALD_USER", "user_a")], &["--token", "bad"], 1, "[CREDENTIALS_INVALID]"),
        (
            &[("HERALD_USER", "user_a")],
            &["--token", OVER],
            1,
            "the token has expired: make another with `herald token`",
        ),
        (&[("HERALD_USER", "user_a"), ("HERALD_TOKEN", "")], &[], 1, none),
        (&[("HERALD_USER", "user_a"), ("HERALD_TOKEN", "bad")], &[], 1, "HERALD_TOKEN and HERALD_USER both say who"),
        (&[], &["--user", "user_a", "--token", "bad"], 2, "--token and --user both say who calls"),
        (&[], &["--user", "org one"], 1, "--user \"org one\": give an id such as user_a: a tenant id is"),
        (&[], &["--server", "http://127.0.0.1:1/foo"], 1, "ends with the host or its port: leave /foo away"),
        (&[("HERALD_SERVER", "")], &[], 1, "http://127.0.0.1:50051"),
    ] {
        if words.ends_with(":50051") && std::net::TcpStream::connect("127.0.0.1:50051").is_ok() {
            continue;
        }
        let (ended, told) = told(env, args).await;
        assert!(ended == Some(code) && told.contains(words), "{env:?} {args:?}: {words} in {ended:?} {told}");
        assert!(!told.contains(OVER) && !told.contains("warning"), "{told}");
    }
    let (_, told) = told(&[("HERALD_SERVR", "x"), ("HERALD_USER", "user_a")], &[]).await;
    let warning = "warning: HERALD_SERVR is no setting of Herald: did you mean HERALD_SERVER?";
    assert!(told.starts_with(warning) && told.matches("warning").count() == 1 && told.contains(none), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_website_that_cannot_be_read_is_told_once_with_what_to_state() {
    let data = folder();
    let server = serve(data.path(), &[("HERALD_ENGINE_RETRY_MILLIS", "1")]);
    let output = campaign(&server, "user_a", &["run", "--website", "http://127.0.0.1:1/"]).await;
    let (out, progress) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    for told in [&out, &progress] {
        assert_eq!(told.matches("cannot be read").count(), 1, "{told}");
    }
    let next = out.lines().last().expect("a line");
    assert!(
        next.starts_with("next: ")
            && next.contains("`herald config set website_analysis.business_name=NAME")
            && next.contains("which counts for all your campaigns"),
        "{next}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_in_the_words_of_the_command_line() {
    let data = folder();
    let server = serve(data.path(), &[]);
    for (args, words) in [
        (&["campaign", "status"][..], "there is no campaign: `herald campaign run` starts one [NO_CAMPAIGN]"),
        (
            &["campaign", "run"],
            "--website is required, since the configuration has none (`herald config set target_website=URL`)",
        ),
        (
            &["campaign", "run", "--website", "https://a.example", "--not-again-days", "9999"],
            "--not-again-days must be between 0 and 3650",
        ),
        (
            &["campaign", "run", "--website", "https://a.example", "--template", "none"],
            "`herald templates list` lists them",
        ),
        (&["campaign", "preview", "--min-score", "101"], "--min-score must be between 0 and 100"),
        (&["campaign", "emails", "em_none"], "`herald campaign emails` lists them"),
        (&["cache", "get", "none"], "`herald cache keys`"),
        (&["audit", "list", "--method", "UpdateProspct"], "there is no such method: did you mean UpdateProspect?"),
        (&["audit", "list", "--method", "nothing"], "there is no such method\n"),
        (
            &["audit", "list", "--since", "2026-03-02T00:00:00Z", "--until", "2026-03-01T00:00:00Z"],
            "--since 2026-03-02T00:00:00Z is later than --until 2026-03-01T00:00:00Z",
        ),
        (&["prospects", "export", "all.xlsx"], "end the name with .csv (with --excel) or .json"),
        (&["config", "set", "sender.unsubscribe_email=nobody"], "sender.unsubscribe_email must be an e-mail address"),
        (&["suppressions", "add", "nobody"], "address 1: must be an e-mail address"),
        (&["mailboxes", "get", "mb_none"], "`herald mailboxes list`"),
        (&["mailboxes", "pause", "a@b.example"], "there is no mailbox a@b.example: `herald mailboxes list`"),
        (
            &["mailboxes", "create", "--address", "a@b.example", "--host", "h.example", "--time-zone", "Mars"],
            "--time-zone must be a time zone",
        ),
    ] {
        let (ok, _, err) = client(&server, args).await;
        assert!(!ok && err.contains(words), "{args:?}: {words} in: {err}");
        assert_eq!(err.matches("must be").count().max(1), 1, "nothing is said twice: {err}");
    }
}

/// As the log has it, as a log of calls has it, and as somebody types it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_asked_for_a_method_by_any_of_its_names() {
    let data = folder();
    let server = serve(data.path(), &[]);
    assert!(client(&server, &["config", "set", "location=Mosel"]).await.0);
    for name in ["UpdateAgentConfig", "updateagentconfig", "herald.v1.AgentService/UpdateAgentConfig"] {
        let (ok, out, err) = client(&server, &["audit", "list", "--method", name]).await;
        assert!(ok && out.contains("UpdateAgentConfig"), "{name}: {out}{err}");
    }
    let (ok, out, err) = client(&server, &["audit", "list", "--method", "Herald Restore"]).await;
    assert!(ok && out == "no events\n", "{out}{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suppressions_are_read_from_a_file_as_people_have_it() {
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let path = files.path().join("list.csv");
    let file = path.display().to_string();
    std::fs::write(&path, "\u{feff}E-Mail\r\na@b.example\r\nnobody\r\n").expect("written");
    let (ok, _, err) = client(&server, &["suppressions", "add", "--file", &file]).await;
    assert!(
        !ok && err.contains("list.csv:3: must be an e-mail address") && err.contains("nothing of it was added"),
        "{err}"
    );
    std::fs::write(&path, "\u{feff}E-Mail\r\na@b.example\r\nc@d.example\r\n").expect("written");
    let (ok, out, err) = client(&server, &["suppressions", "add", "--file", &file]).await;
    assert!(ok && out == "2 suppressions added, 0 there already\n", "{out}{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_says_what_it_did_or_why_nothing_can_be_done() {
    let website = site::pages([("/", site::company())]).await;
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let (csv, letter) = (files.path().join("two.csv"), files.path().join("letter.txt"));
    std::fs::write(&csv, "email,company\na@b.example,Acme\nc@d.example,Beta\n").expect("written");
    std::fs::write(&letter, "Dear Kim,\n\nall is new.\n").expect("written");
    let csv = csv.display().to_string();
    client(&server, &["campaign", "run", "--website", &website, "--prospects", &csv, "--template", "modern_tech"])
        .await;
    let (_, out, _) = client(&server, &["campaign", "emails", "--json"]).await;
    let emails: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let [one, other] = [0, 1].map(|n| emails["emails"][n]["id"].as_str().expect("an id").to_owned());
    let review = |args: &[&str]| [&["campaign", "review"], args].concat().into_iter().map(str::to_owned).collect();
    let told = async |args: &[&str]| {
        let args: Vec<String> = review(args);
        client(&server, &args.iter().map(String::as_str).collect::<Vec<_>>()).await
    };

    let (ok, out, err) = told(&[&one, "--body", &letter.display().to_string()]).await;
    assert!(ok && out == "1 changed, 2 left to decide\n", "{out}{err}");
    let (ok, _, err) = told(&[&one, "--subject", "Dear {{name}}"]).await;
    assert!(ok && err == "warning: {{name}} is sent as it stands there: write what it stands for\n", "{err}");
    let (ok, out, err) = told(&[&one, "--approve", "--subject", "New"]).await;
    assert!(ok && out == "1 approved, 1 changed, 1 left to decide\n", "{out}{err}");
    let (ok, _, err) = told(&["a@b.example", "--approve"]).await;
    assert!(
        !ok && err.contains("EMAIL_ID") && err.contains("is an address") && err.contains("`herald campaign emails`"),
        "{err}"
    );
    let (ok, _, err) = told(&[]).await;
    assert!(!ok && err.contains("no terminal to ask at"), "{err}");

    // After its end it is still the newest, and nothing of it is to be decided.
    assert!(told(&[&other, "--reject"]).await.0);
    assert!(client(&server, &["campaign", "watch"]).await.0);
    for decision in ["--approve", "--reconsider"] {
        let (ok, _, err) = told(&[&one, decision]).await;
        assert!(!ok && err.contains("the campaign is completed, and nothing more can be done with it"), "{err}");
    }
    let (ok, out, err) = told(&[]).await;
    assert!(
        ok && out.starts_with("nothing awaits approval: the campaign cp_") && out.ends_with(" is completed\n"),
        "{out}{err}"
    );
}

/// What cannot be is told with its setting, wherever it came from.
#[test]
fn each_error_of_a_setting_names_the_setting() {
    let (data, mut silent) = (folder(), Vec::new());
    for (key, wrong) in WRONG {
        let name = format!("HERALD_{}", key.to_uppercase().replace('.', "_"));
        let mut command = herald();
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path().join("new"));
        let needs: &[(&str, &str)] = match *key {
            "files.endpoint" | "files.region" => &[
                ("HERALD_FILES_URL", "s3://b"),
                ("HERALD_FILES_ACCESS_KEY_ID", "i"),
                ("HERALD_FILES_SECRET_ACCESS_KEY", "s"),
            ],
            "cache.ca_file" => &[("HERALD_CACHE_URL", "rediss://127.0.0.1:1")],
            "auth.trusted_peers" => &[("HERALD_AUTH_TRUSTED_HEADER", "x-user")],
            _ => &[],
        };
        command.envs(needs.iter().copied()).env(&name, wrong);
        if *key == "listen" {
            command = herald();
            command.args(["serve", "--dev", "--data-dir"]).arg(data.path().join("new")).env(&name, wrong);
        } else if *key == "data_dir" {
            command = herald();
            command.args(["serve", "--dev", "--listen", "127.0.0.1:0"]).env(&name, wrong);
        }
        // One that starts is ended; that is the fault.
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let is_over = (0..1_000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            child.try_wait().expect("a child of ours").is_some()
        });
        child.kill().expect("it may be killed");
        let output = child.wait_with_output().expect("it ends");
        let told = text(&output.stderr);
        let told_once = told.lines().filter(|line| line.starts_with("error: ")).count() == 1;
        if !is_over || output.status.success() || !told.contains(key) || !told_once {
            silent.push(format!("{key}={wrong}: {told}"));
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

/// A value for each setting with which no server starts; the others take any text.
const WRONG: &[(&str, &str)] = &[
    ("listen", "nowhere"),
    ("listen", "0.0.0.0:1"),
    ("data_dir", "/dev/null/data"),
    ("dev", "perhaps"),
    ("master_key", "short"),
    ("log", "=,="),
    ("log_format", "xml"),
    ("auth.hs256_secret", "short"),
    ("auth.public_key_file", "/nowhere.pem"),
    ("auth.jwks_url", "ftp://keys.example"),
    ("auth.jwks_max_age_seconds", "x"),
    ("auth.jwks_cooldown_seconds", "x"),
    ("auth.jwks_timeout_seconds", "0"),
    ("auth.leeway_seconds", "x"),
    ("auth.trusted_header", "x user"),
    ("auth.trusted_peers", "10.0.0.0/99"),
    ("tls.certificate_file", "/nowhere.pem"),
    ("tls.key_file", "/nowhere.key"),
    ("tls.client_ca_file", "/nowhere.pem"),
    ("server.cors_origins", "nowhere"),
    ("server.max_request_bytes", "x"),
    ("server.max_response_bytes", "x"),
    ("server.max_streams_per_connection", "0"),
    ("server.max_header_bytes", "x"),
    ("server.request_timeout_seconds", "0"),
    ("server.head_timeout_seconds", "0"),
    ("server.max_connections", "0"),
    ("server.max_connections_per_address", "x"),
    ("server.balancers", "x"),
    ("server.keepalive_seconds", "0"),
    ("server.max_stream_seconds", "0"),
    ("server.heartbeat_seconds", "0"),
    ("server.stop_seconds", "x"),
    ("fairness.max_calls", "x"),
    ("fairness.max_streams", "x"),
    ("fairness.starts_per_minute", "x"),
    ("fairness.turns", "x"),
    ("admin.listen", "nowhere"),
    ("admin.listen", "0.0.0.0:1"),
    ("engine.workers", "0"),
    ("engine.max_outside_calls", "0"),
    ("engine.max_outside_calls_per_tenant", "0"),
    ("engine.lease_seconds", "0"),
    ("engine.tries", "99999999999"),
    ("engine.retry_millis", "x"),
    ("fetch.allow_private", "perhaps"),
    ("fetch.timeout_seconds", "0"),
    ("fetch.max_bytes", "0"),
    ("fetch.max_pages", "0"),
    ("cache.url", "http://redis"),
    ("cache.ca_file", "/nowhere.pem"),
    ("cache.timeout_millis", "0"),
    ("cache.ttl_seconds", "0"),
    ("cache.memory_bytes", "x"),
    ("read_cache.memory_bytes", "x"),
    ("files.url", "nowhere"),
    ("files.endpoint", "nowhere"),
    ("retention.deleted_prospects_days", "99999999"),
    ("retention.audit_days", "0"),
    ("retention.audit_rows", "0"),
];
