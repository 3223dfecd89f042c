//! The command line, as a stranger types it, against a real server.

use std::path::Path;
use std::process::Output;

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

    // Machines read JSON; the same prospects again are duplicates.
    let json = [&run[..], &["--json"]].concat();
    let output = campaign(&server, "user_a", &json).await;
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(results["campaign"]["state"], "CAMPAIGN_STATE_COMPLETED");
    assert_eq!(results["analysis"]["businessName"], "Fernwick Instruments");
    assert!(text(&output.stderr).contains("0 prospects imported, 50 were there already"));

    // Another tenant sees nothing of it.
    let output = campaign(&server, "user_b", &["status"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("NO_CAMPAIGN"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_waits_says_what_to_do_and_does_it() {
    let website = site::pages([("/", site::html("<title>Acme</title>"))]).await;
    let data = folder();
    let server = serve(data.path(), &[]);
    let csv = example_csv();
    let run = ["run", "--website", &website, "--prospects", csv.to_str().expect("a path")];
    let output = campaign(&server, "user_a", &run).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("herald campaign select-template"), "{}", text(&output.stdout));
    assert!(text(&campaign(&server, "user_a", &["templates"]).await.stdout).contains("event_invitation"));
    campaign(&server, "user_a", &["select-template", "event_invitation"]).await;
    let output = campaign(&server, "user_a", &["watch"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("herald campaign approve"));
    assert!(text(&campaign(&server, "user_a", &["pause"]).await.stdout).contains("is paused"));
    assert!(text(&campaign(&server, "user_a", &["resume"]).await.stdout).contains("is waiting approval"));
    assert!(campaign(&server, "user_a", &["approve"]).await.status.success());
    assert!(campaign(&server, "user_a", &["watch"]).await.status.success());
    let cancel = campaign(&server, "user_a", &["cancel"]).await;
    assert!(!cancel.status.success() && text(&cancel.stderr).contains("CAMPAIGN_STATE"), "{}", text(&cancel.stderr));
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
    assert!(told(&["campaign", "status", "--server", "localhost"]).contains("must be a URL"));
    let missing = told(&["campaign", "run", "--website", "https://example.com", "--prospects", "/nowhere.csv"]);
    assert!(missing.contains("cannot open /nowhere.csv"), "{missing}");
    assert!(told(&["campaign", "run"]).contains("--website"));
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
    let mut editor = app.token(&mint(&["--subject", "user_a", "--organization", "org_1", "--role", "editor"])).await;
    let refused = editor.agent.update_agent_config(configure()).await.expect_err("an editor may not");
    assert_eq!(refused.metadata().get("x-tenant-id").expect("stamped"), "org_1");

    let output = herald().args(["token", "--subject", "user_a"]).output().expect("it ends");
    assert!(!output.status.success() && text(&output.stderr).contains("HERALD_AUTH_HS256_SECRET"));
}

#[test]
fn the_settings_in_force_and_completions_are_printed() {
    let output =
        herald().args(["config", "print", "--dev"]).env("HERALD_ENGINE_WORKERS", "3").output().expect("it ends");
    let out = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(out.contains("engine.workers = 3 # HERALD_ENGINE_WORKERS") && out.contains("dev = true # --dev"), "{out}");
    let output = herald().args(["config", "print"]).output().expect("it ends");
    assert!(!output.status.success() && text(&output.stderr).contains("no credentials are configured"));
    for shell in ["bash", "zsh", "fish"] {
        let output = herald().args(["completions", shell]).output().expect("it ends");
        assert!(text(&output.stdout).contains("select-template"), "{shell}");
    }
}
