//! The files of deploy/, against what reads them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use herald::budget;
use herald::config::{Config, Layers};
use herald::metrics::{CacheOutcome, MailLevels, metrics};
use herald::tenant::TenantId;
use tonic::Code;

use crate::support::folder;
use crate::support::process::{herald, serve_with};

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

#[test]
fn the_example_configuration_shows_every_setting_with_its_default() {
    let text = std::fs::read_to_string(deploy("herald.toml")).expect("a file");
    Layers::read(Some(&text), [], &[]).expect("it can be used as it is");
    // Each commented line that sets something, set.
    let set: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let shown = Layers::read(Some(&set), [], &[]).expect("every line is a setting");
    let described = |layers: &Layers| layers.describe().expect("valid");
    let values = |text: &str| text.lines().map(|l| l.split(" # ").next().unwrap_or(l).to_owned()).collect::<Vec<_>>();
    let defaults = Layers::read(None, [], &[]).expect("defaults");
    assert_eq!(values(&described(&shown)), values(&described(&defaults)), "the defaults");
    let left_out: Vec<_> = described(&shown).lines().filter(|l| l.ends_with("# default")).map(str::to_owned).collect();
    assert!(left_out.is_empty(), "not shown: {left_out:?}");
    assert_eq!(shown.config().expect("valid").listen, Config::default().listen);
    let manual = std::fs::read_to_string(deploy("../docs/configuration.md")).expect("a file");
    for line in described(&defaults).lines() {
        let setting = line.split(" = ").next().unwrap_or(line);
        assert!(
            manual.contains(&format!("| `{setting}` | `HERALD_")),
            "docs/configuration.md has no row for {setting}"
        );
    }
}

/// The manual's table and the container's limit follow from the code's own limits.
#[test]
fn the_manual_and_the_manifest_say_how_much_memory_there_must_be() {
    const MIB: u64 = 1024 * 1024;
    let config = Config::default();
    let manual = std::fs::read_to_string(deploy("../docs/operating.md")).expect("the manual");
    let mib = |bytes: u64| format!("{} MiB", bytes.div_ceil(MIB));
    let mut rows: Vec<_> = budget::parts(&config)
        .iter()
        .map(|part| {
            format!("| {} | {} | {} |", part.name, mib(part.in_all), part.per_tenant.map(mib).unwrap_or_default())
        })
        .collect();
    let sum = budget::sum(&config);
    rows.push(format!("| **in all** | {} | |", mib(sum)));
    for row in &rows {
        assert!(manual.contains(row), "the manual's table lacks a row; it should have:\n{}", rows.join("\n"));
    }
    let manifest = std::fs::read_to_string(deploy("kubernetes/herald.yaml")).expect("the manifest");
    let limit = sum.div_ceil(256 * MIB) * 256;
    assert!(manifest.contains(&format!("memory: {limit}Mi")), "the limit should be {limit}Mi");
}

#[test]
fn systemd_takes_the_unit() {
    let unit = std::fs::read_to_string(deploy("herald.service")).expect("a file");
    assert!(unit.contains("ExecStart=/usr/local/bin/herald serve --config"));
    // The check looks for the program, which is not installed here.
    let unit = unit.replace("/usr/local/bin/herald", env!("CARGO_BIN_EXE_herald"));
    let folder = folder();
    let path = folder.path().join("herald.service");
    std::fs::write(&path, unit).expect("written");
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().expect("installed by `make test`");
    let told = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert!(output.status.success() && !told.contains("herald.service"), "{told}");
}

#[test]
fn the_service_links_of_an_orchestrator_are_told_and_do_not_stop_the_start() {
    let links = [
        ("HERALD_SERVICE_HOST", "10.96.0.7"),
        ("HERALD_SERVICE_PORT_GRPC", "50051"),
        ("HERALD_PORT", "tcp://10.96.0.7:50051"),
        ("HERALD_PORT_50051_TCP_ADDR", "10.96.0.7"),
        ("HERALD_LOG", "warn"),
    ];
    let (data, logs) = (folder(), folder());
    let log = logs.path().join("log");
    drop(serve_with(data.path(), &links, Stdio::from(std::fs::File::create(&log).expect("a file"))));
    let told = std::fs::read_to_string(&log).expect("a log");
    assert!(told.contains("service links, not settings") && told.contains("others=3"), "{told}");
    assert!(!told.contains("10.96.0.7"), "{told}");
}

#[test]
fn any_other_unknown_variable_stops_the_start_and_is_named() {
    let data = folder();
    for (name, hint) in [("HERALD_PORT", "HERALD_LISTEN"), ("HERALD_PORTS", "see docs/configuration.md")] {
        let mut command = herald();
        let output = command.args(["serve", "--dev", "--data-dir"]).arg(data.path()).env(name, "50051").output();
        let output = output.expect("it ends");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(&format!("{name} is no setting")) && told.contains(hint), "{told}");
    }
}

#[test]
fn the_data_folder_of_each_deployment_is_for_its_user_alone() {
    let text = |name: &str| std::fs::read_to_string(deploy(name)).expect("a file");
    // The root of a volume has the mode that its maker gives it; a folder in it is made by Herald.
    let (image, kubernetes) = (text("Dockerfile"), text("kubernetes/herald.yaml"));
    assert!(image.contains("VOLUME /var/lib/herald\n") && image.contains("HERALD_DATA_DIR=/var/lib/herald/data "));
    assert!(
        kubernetes.contains("mountPath: /var/lib/herald\n") && kubernetes.contains("value: /var/lib/herald/data\n")
    );
    assert!(kubernetes.contains("fsGroupChangePolicy: OnRootMismatch"));
    assert!(text("compose.yaml").contains("- data:/var/lib/herald\n") && !text("compose.yaml").contains("DATA_DIR"));
    let unit = text("herald.service");
    assert!(unit.contains("StateDirectoryMode=0700") && unit.contains("--data-dir /var/lib/herald\n"));
}

#[test]
fn the_yaml_files_fit_their_schemas() {
    let checkers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin");
    let check = |program: &str, args: &[&str], file: &str| {
        let output = Command::new(checkers.join(program)).args(args).arg(deploy(file)).output();
        let output = output.expect("installed by `make test`");
        let told = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
        assert!(output.status.success(), "{file}: {told}");
    };
    check("check-jsonschema", &["--builtin-schema", "vendor.compose-spec"], "compose.yaml");
    check("kubernetes-validate", &["--strict"], "kubernetes/herald.yaml");
    check("hadolint", &[], "Dockerfile");
}

#[test]
fn what_the_dashboard_the_alerts_and_the_manual_show_is_counted() {
    let m = metrics();
    m.call("m", Code::Ok, Some(Duration::ZERO));
    let tenant = TenantId::parse("user_a").expect("an id");
    m.tenant_call(&tenant);
    m.tenant_email(&tenant);
    m.step("email_sending", "completed");
    m.mail("sent", "content");
    m.mail_levels(&MailLevels::default());
    m.link("POST", 200);
    m.cache(CacheOutcome::Hit, 1);
    m.read_cache(CacheOutcome::Hit);
    m.commit(1);
    m.refused_credentials("expired");
    m.refused_connection("in_all");
    let counted = m.encode().expect("text");
    let dashboard = std::fs::read_to_string(deploy("grafana/herald.json")).expect("a file");
    serde_json::from_str::<serde_json::Value>(&dashboard).expect("JSON");
    let alerts = std::fs::read_to_string(deploy("prometheus/alerts.yaml")).expect("a file");
    let manual = std::fs::read_to_string(deploy("../docs/operating.md")).expect("a file");
    let settings = std::fs::read_to_string(deploy("../docs/configuration.md")).expect("a file");
    let mut seen = 0;
    for text in [dashboard, alerts, manual, settings] {
        for part in text.split("herald_").skip(1) {
            let name: String = part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let family = name.trim_end_matches("_bucket");
            assert!(counted.contains(&format!("# TYPE herald_{family} ")), "herald_{name} is not counted:\n{counted}");
            seen += 1;
        }
    }
    assert!(seen > 30);
}

#[test]
fn each_alert_fires_for_its_trouble_alone_and_the_manual_says_what_to_do() {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/prometheus/usr/bin/promtool");
    let promtool = if unpacked.exists() { unpacked } else { "promtool".into() };
    let alerts = deploy("prometheus/alerts.yaml");
    let cases = deploy("../tests/alerts.yaml");
    for (verb, file) in [("check", &alerts), ("test", &cases)] {
        let output =
            Command::new(&promtool).args([verb, "rules"]).arg(file).output().expect("installed by `make test`");
        let told = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
        assert!(output.status.success(), "{verb}: {told}");
    }
    let [alerts, cases] = [alerts, cases].map(|file| std::fs::read_to_string(file).expect("a file"));
    let manual = std::fs::read_to_string(deploy("../docs/operating.md")).expect("a file");
    let names: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 10);
    for name in names {
        assert!(manual.contains(&format!("| `{name}` |")), "docs/operating.md does not explain {name}");
        assert!(cases.contains(&format!("alertname=\"{name}\"")), "tests/alerts.yaml has no case for {name}");
    }
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The lines of a document outside its blocks of code.
fn prose(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let outside = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !fence && !in_code
    };
    text.lines().filter(outside).collect()
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "tests/README.md", "bench/README.md"]
            .map(|name| root.join(name))
            .into();
    let docs = std::fs::read_dir(root.join("docs")).expect("a folder").map(|entry| entry.expect("an entry").path());
    documents.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    let mut seen = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document).expect("a document");
        for line in prose(&text) {
            for rest in line.split("](").skip(1) {
                let link = rest.split(')').next().unwrap_or(rest);
                if link.contains("://") || link.starts_with("mailto:") {
                    continue;
                }
                let (file, wanted) = link.split_once('#').unwrap_or((link, ""));
                let folder = document.parent().expect("a folder");
                let target = if file.is_empty() { document.clone() } else { folder.join(file) };
                assert!(target.exists(), "{}: nothing is at {link}", document.display());
                seen += 1;
                if wanted.is_empty() {
                    continue;
                }
                let text = std::fs::read_to_string(&target).expect("a document");
                let headings = prose(&text).into_iter().filter(|line| line.starts_with('#'));
                let found = headings.map(|line| anchor(line.trim_start_matches('#'))).any(|found| found == wanted);
                assert!(found, "{}: no heading is at {link}", document.display());
            }
        }
    }
    assert!(seen > 60, "{seen} links");
}
