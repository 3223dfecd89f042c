//! `--json` of every command that has it: one document in one shape, the API's answer in protobuf's JSON; of what follows a
//! campaign a line for each event.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::folder;
use crate::support::process::{Server, herald, serve};
use crate::support::site;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// What `herald …` has printed as `user_a`, and whether that went well.
async fn run(server: &Server, args: &[&str]) -> (bool, String, String) {
    let mut command = herald();
    command.args(args).env("HERALD_SERVER", format!("http://{}", server.address)).env("HERALD_USER", "user_a");
    let output = tokio::task::spawn_blocking(move || command.output().expect("it ends")).await.expect("no panic");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// The commands whose help has `--json`, such as `campaign status`.
fn commands_with_json(path: &[String], into: &mut BTreeSet<String>) {
    let help = herald().args(path).arg("--help").output().expect("it ends");
    let help = text(help.stdout);
    let (_, commands) = help.split_once("\nCommands:\n").unwrap_or(("", ""));
    let names = commands.lines().take_while(|line| line.starts_with("  "));
    // The names stand at two blanks, what is said of them further in.
    let names = names.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names.filter(|name| *name != "help").collect();
    if names.is_empty() && help.contains("--json") {
        into.insert(path.join(" "));
    }
    for name in names {
        commands_with_json(&[path, &[name.to_owned()]].concat(), into);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_with_json_prints_the_answer_of_the_api_as_one_object() {
    let website = site::pages([("/", site::company())]).await;
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let path = |name: &str| files.path().join(name).display().to_string();
    std::fs::write(path("p.csv"), "email,company\na@b.example,Acme\nc@d.example,Beta\n").expect("written");
    std::fs::write(path("en.txt"), "Subject: Hello\n\n{{ salutation.formal }}\n").expect("written");
    let letter = format!("en={}", path("en.txt"));
    let (csv, folder_of_data) = (path("p.csv"), data.path().display().to_string());
    let mut walked = BTreeSet::new();
    let mut answers = Vec::new();
    for (command, args, fields) in [
        ("config set", &["sender.unsubscribe_email=grace@example.com", "sender.company=Acme"][..], &["config"][..]),
        ("config get", &[], &["config"]),
        ("prospects import", &[&csv], &["results", "createdCount"]),
        ("prospects list", &[], &["prospects", "nextPageToken"]),
        ("prospects count", &[], &["counts", "totalCount"]),
        ("suppressions add", &["x@y.example"], &["addedCount"]),
        ("mailboxes create", &["--outbox", "--address", "anna@bücher.example"], &["mailbox"]),
        ("mailboxes create", &["--outbox", "--address", "ruth@bücher.example"], &["mailbox"]),
        ("mailboxes list", &[], &["mailboxes"]),
        ("mailboxes get", &["anna@xn--bcher-kva.example"], &["mailbox"]),
        ("mailboxes update", &["Anna@bücher.example", "--html"], &["mailbox"]),
        ("mailboxes pause", &["anna@bücher.example", "--reason", "holidays"], &["mailbox"]),
        ("mailboxes resume", &["anna@bücher.example"], &["mailbox"]),
        ("mailboxes test", &["anna@bücher.example"], &["works", "transcript"]),
        ("mailboxes delete", &["anna@bücher.example"], &[]),
        ("suppressions list", &[], &["suppressions", "nextPageToken"]),
        ("suppressions remove", &["x@y.example"], &[]),
        ("cache get", &["k"], &["entry"]),
        ("cache keys", &[], &["keys", "nextPageToken"]),
        ("cache clear", &["--yes"], &["deletedCount"]),
        ("templates list", &[], &["templates", "values"]),
        ("templates values", &[], &["templates", "values"]),
        ("templates get", &["modern_tech"], &["template"]),
        ("templates create", &["--name", "Fairs", "--text", &letter], &["template"]),
        ("templates update", &["TEMPLATE", "--name", "Trade fairs"], &["template"]),
        ("templates preview", &["TEMPLATE"], &["language", "subject", "body", "message"]),
        ("campaign test", &["TEMPLATE", "--mailbox", "ruth@bücher.example"], &["messageId", "sent", "transcript"]),
        ("templates delete", &["TEMPLATE"], &[]),
        ("campaign preview", &[], &["prospectCount", "leftOut", "notes"]),
        ("campaign run", &["--website", &website], &[]),
        ("campaign watch", &[], &[]),
        ("campaign list", &[], &["campaigns", "nextPageToken"]),
        ("campaign status", &[], &["campaign"]),
        ("campaign select-template", &["modern_tech"], &["campaign"]),
        ("campaign watch", &[], &[]),
        ("campaign recipients", &[], &["recipients", "nextPageToken", "leftOut"]),
        ("campaign emails", &[], &["emails", "nextPageToken"]),
        ("campaign pause", &[], &["campaign"]),
        ("campaign resume", &[], &["campaign"]),
        ("campaign review", &["EMAIL", "--reject"], &["campaign", "rejectedCount", "reconsideredCount"]),
        ("campaign approve", &[], &["campaign", "approvedCount"]),
        ("campaign watch", &[], &[]),
        ("campaign results", &[], &["campaign", "analysis", "prospects"]),
        ("campaign retry", &[], &["campaign", "retriedCount", "unwrittenCount"]),
        ("campaign resolve", &["--all", "--drop"], &["campaign", "sentCount", "sentAgainCount", "droppedCount"]),
        ("campaign bounce", &["EMAIL", "--status", "4.2.2"], &["email", "suppressed"]),
        ("campaign complaint", &["--to", "nobody@acme.example"], &["suppressed"]),
        ("campaign run", &["--website", &website, "--not-again-days", "0"], &[]),
        ("campaign cancel", &[], &["campaign"]),
        ("audit list", &[], &["events", "nextPageToken"]),
        ("settings", &["--dev"], &["settings", "memoryBytes"]),
        ("check", &["--dev", "--data-dir", &folder_of_data], &["good", "looks"]),
        ("token", &["--subject", "user_a"], &["token"]),
    ] {
        if command == "cache get" {
            assert!(run(&server, &["cache", "set", "k", r#"{"n": 1}"#]).await.0);
        }
        let mut args: Vec<String> = command.split(' ').chain(args.iter().copied()).map(str::to_owned).collect();
        if let Some(place) = args.iter().position(|arg| arg == "TEMPLATE") {
            let (_, out, _) = run(&server, &["templates", "list", "--json"]).await;
            let templates: Value = serde_json::from_str(&out).expect("JSON");
            args[place] = templates["templates"][6]["id"].as_str().expect("an id").to_owned();
        }
        if let Some(place) = args.iter().position(|arg| arg == "EMAIL") {
            let (_, out, _) = run(&server, &["campaign", "emails", "--json"]).await;
            let emails: Value = serde_json::from_str(&out).expect("JSON");
            args[place] = emails["emails"][0]["id"].as_str().expect("an id").to_owned();
        }
        args.push("--json".to_owned());
        let mut told = herald();
        told.args(&args).env("HERALD_SERVER", format!("http://{}", server.address));
        if !["settings", "check", "token"].contains(&command) {
            told.env("HERALD_USER", "user_a");
        }
        if command == "token" {
            told.env("HERALD_AUTH_HS256_SECRET", crate::support::SECRET);
        }
        let output = tokio::task::spawn_blocking(move || told.output().expect("it ends")).await.expect("no panic");
        let (out, err) = (text(output.stdout), text(output.stderr));
        walked.insert(command.to_owned());
        if matches!(command, "campaign run" | "campaign watch") {
            let lines: Vec<Value> =
                out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
            assert!(!lines.is_empty(), "{err}");
            assert!(lines[0]["snapshot"]["id"].as_str().is_some_and(|id| id.starts_with("cp_")), "{}", lines[0]);
            let mut last: i64 = lines[0]["snapshot"]["lastSeq"].as_str().expect("a number").parse().expect("a number");
            for line in &lines[1..] {
                let seq: i64 = line["event"]["seq"].as_str().expect("an int64 is a text").parse().expect("a number");
                assert_eq!(seq, last + 1, "no event is left out");
                last = seq;
            }
            continue;
        }
        assert!(output.status.success(), "{args:?}: {out}{err}");
        let answer: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"));
        let object = answer.as_object().unwrap_or_else(|| panic!("{args:?}: an object: {out}"));
        for field in fields {
            assert!(object.contains_key(*field), "{args:?} has {field}: {out}");
        }
        answers.push((command, answer));
    }
    let mut known = BTreeSet::new();
    commands_with_json(&[], &mut known);
    assert_eq!(walked, known, "each command whose help has --json is walked");

    // Enums by their names, 64-bit numbers as texts, as protobuf's JSON has them.
    let of = |command: &str| &answers.iter().find(|(name, _)| *name == command).expect("walked").1;
    assert_eq!(of("campaign results")["campaign"]["state"], "CAMPAIGN_STATE_COMPLETED");
    assert_eq!(of("cache clear")["deletedCount"], "1");
    assert_eq!(of("mailboxes update")["mailbox"]["html"], true, "a mailbox is named by its address as well");
    assert_eq!(of("mailboxes pause")["mailbox"]["pauseReason"], "holidays");
    assert_eq!(of("mailboxes resume")["mailbox"]["state"], "MAILBOX_STATE_ENABLED");
    assert_eq!(of("prospects import")["createdCount"], 2);
    assert!(run(&server, &["prospects", "export", &path("p.json")]).await.0);
    let exported: Value = serde_json::from_slice(&std::fs::read(path("p.json")).expect("a file")).expect("JSON");
    assert_eq!(exported["prospects"].as_array().map(Vec::len), Some(2));
    assert_eq!(exported["nextPageToken"], "");
}
