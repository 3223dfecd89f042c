//! Letters to prospects as lists have them: whatever stands in a field, no letter shows that nobody has looked.

use std::path::Path;
use std::process::Command;

use herald::config::Secret;
use herald::connect::{DkimKey, Extras, message_with};
use herald::domain::agent_config::AgentSettings;
use herald::domain::clock::Timestamp;
use herald::domain::email::{Email, NamedAddress};
use herald::domain::id::{EmailId, ProspectId};
use herald::domain::letter::with_footer;
use herald::domain::letterhead::Letterhead;
use herald::domain::prospect::ProspectFields;
use herald::domain::state::Goal;
use herald::domain::website::WebsiteAnalysis;
use herald::pb::{self, CampaignState};
use jsonwebtoken::Algorithm;
use mail_parser::MessageParser;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{
    SECRET, TestApp, auto_approve, config, eml_files, folder, outbox_mailbox, reaches, reason, seams, site, token,
};

/// Names, companies and other values as forms, exports and scraped pages have them.
const NAMES: [&str; 23] = [
    "",
    "NULL",
    "n/a",
    "JOHN SMITH",
    "MEIER, Hans",
    "Prof. Dr. h.c. Anna von der Heide",
    "{{first_name}}",
    "<b>Anna</b> Berg",
    "🌸 Anna 🌸",
    "\u{202e}gnorw\u{202c} Anna",
    "李雷",
    "محمد علي",
    "Иванов Иван Иванович",
    "J. Smith",
    "Sales Team",
    "-",
    "anna@acme.example",
    "Anna &amp; Bert",
    "undefined",
    "O'NEIL, SEAN",
    "van Dijk",
    "*|FNAME|*",
    "12345",
];
const COMPANIES: [&str; 9] =
    ["", "NULL", "ACME GMBH", "{{company}}", "<p>Acme &amp; Sons</p>", "Acme 🚀", "例子公司", "\u{202e}emcA", "None"];
const OTHERS: [&str; 8] = ["", "N/A", "Gartenbau", "{% if x %}", "<br>tools", "IT 🚀", "农业", "-"];

fn ugly() -> Vec<pb::Prospect> {
    let mut rows = Vec::new();
    for (i, name) in NAMES.iter().enumerate() {
        for (j, company) in COMPANIES.iter().enumerate() {
            let other = |n: usize| OTHERS[(i + j + n) % OTHERS.len()].to_owned();
            rows.push(pb::Prospect {
                email: format!("p{i}.{j}@c{j}.example"),
                contact_name: (*name).into(),
                company: (*company).into(),
                industry: other(0),
                position: other(1),
                location: other(2),
                notes: other(3),
                language: ["", "en", "zh-CN", "de", "fr", "es"][(i + j) % 6].into(),
                ..Default::default()
            });
        }
    }
    rows
}

/// What shows in a letter that nobody has looked.
const WRONG: [&str; 27] = [
    "{{",
    "}}",
    "{%",
    "*|",
    "NULL",
    "N/A",
    "n/a",
    "None",
    "undefined",
    "<b>",
    "<p>",
    "<br>",
    "&amp;",
    "🌸",
    "🚀",
    "\u{202e}",
    "  ",
    " ,",
    " .",
    " ?",
    "()",
    "“”",
    "Dear ,",
    "12345",
    "Dear J.",
    "Dear van",
    "Dear MEIER",
];

fn assert_clean(letter: &str, of: &str) {
    for wrong in WRONG {
        // French has a blank before some marks, which no line may break at.
        assert!(!letter.contains(wrong), "{of}: {wrong:?} in\n{letter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_letter_shows_a_value_that_is_none_or_a_place_that_nobody_has_filled() {
    let website = site::example().await;
    let app = TestApp::start().await;
    let rows = ugly();
    assert!(rows.len() > 200);
    let templates = herald::domain::template::built_in();
    let mut seen = 0;
    for template in templates {
        let user = format!("user_{}", template.id);
        let mut api = app.user(&user).await;
        auto_approve(&mut api).await;
        let request = pb::BatchCreateProspectsRequest { prospects: rows.clone(), ..Default::default() };
        api.agent.batch_create_prospects(request).await.expect("created");
        let request = pb::StartWorkflowRequest {
            website: website.clone(),
            template_id: template.id.to_string(),
            ..Default::default()
        };
        api.workflow.start_workflow(request).await.expect("started");
        let done = reaches(&mut api, CampaignState::Completed).await;
        assert_eq!(done.emails.expect("counts").sent as usize, rows.len());
        for file in eml_files(&app.outbox(&user)) {
            let bytes = std::fs::read(app.outbox(&user).join(&file)).expect("a file");
            let mail = MessageParser::default().parse(&bytes).expect("a message");
            let raw = String::from_utf8_lossy(&bytes);
            assert!(raw.contains("\r\nMIME-Version: 1.0\r\n"), "{raw}");
            let to = mail.to().and_then(|to| to.first()).and_then(|to| to.name()).unwrap_or_default().to_owned();
            let all = format!("{to}\n{}\n{}", mail.subject().unwrap_or_default(), mail.body_text(0).expect("a text"));
            assert_clean(&all.replace("\r\n", "\n"), &format!("{} to {file}", template.id));
            seen += 1;
        }
    }
    assert_eq!(seen, rows.len() * templates.len());
}

#[test]
fn every_built_in_letter_in_every_language_and_for_every_goal_is_fit_for_ugly_lists() {
    let rows = ugly();
    let mut seen = 0;
    for template in herald::domain::template::built_in() {
        for text in &template.settings.texts {
            for goal in Goal::ALL {
                let website = WebsiteAnalysis {
                    url: "https://fernwick.example/".into(),
                    business_name: "Fernwick".into(),
                    product_type: "sensors".into(),
                    language: text.language.clone(),
                    ..Default::default()
                };
                let letterhead =
                    Letterhead::new(&template.settings.texts, AgentSettings::default(), website, goal, String::new());
                let letterhead = letterhead.expect("a letterhead");
                for row in &rows {
                    let prospect = ProspectFields {
                        email: row.email.clone(),
                        contact_name: row.contact_name.clone(),
                        company: row.company.clone(),
                        industry: row.industry.clone(),
                        position: row.position.clone(),
                        location: row.location.clone(),
                        notes: format!("Letter: {}", row.notes),
                        language: text.language.clone(),
                        ..Default::default()
                    };
                    let letter = letterhead.write(&prospect, None).expect("written");
                    let all = format!("{}\n{}", letter.subject, letter.body);
                    let of = format!("{} in {} for {}, {goal:?}", template.id, text.language, row.contact_name);
                    assert_clean(&all, &of);
                    assert!(herald::domain::reply::offers_way_out(&letter.body), "{of}");
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, rows.len() * 6 * 5 * 3);
}

#[tokio::test]
async fn without_a_mailbox_nothing_is_started_but_by_a_development_server_which_says_so() {
    let website = site::example().await;
    let start = |website: &str| pb::StartWorkflowRequest { website: website.to_owned(), ..Default::default() };
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let started = api.workflow.start_workflow(start(&website)).await.expect("started").into_inner();
    assert!(started.notes.iter().any(|note| note.contains("no mailbox is enabled")), "{:?}", started.notes);

    let data = folder();
    let mut settings = token::production(config(&data));
    settings.auth.hs256_secret = Secret::new(SECRET);
    let app = TestApp::with(data, settings, seams()).await;
    let claims = json!({ "sub": "user_a", "exp": token::now() + 600 });
    let mut api = app.token(&token::hs(&claims, SECRET, Algorithm::HS256)).await;
    let refused = api.workflow.start_workflow(start(&website)).await.expect_err("refused");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "MAILBOX_MISSING"));
    assert!(refused.message().contains("herald mailboxes"), "{}", refused.message());
    outbox_mailbox(&mut api, "ruth@fernwick.example").await;
    let started = api.workflow.start_workflow(start(&website)).await.expect("started").into_inner();
    assert!(started.notes.is_empty(), "{:?}", started.notes);
}

/// What Python's email package and dkimpy read in the messages of a folder.
pub fn read_by_python(folder: &Path, record: &str) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("target/venv/bin/python"));
    command.arg(root.join("tests/peers/read_mail.py")).arg(folder).arg(record);
    let output = command.output().expect("dkimpy is installed by `make test`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn a_letter_of_a_mailbox_is_read_by_others_as_it_was_meant_and_signed() {
    let injected = "Kim\r\nBcc: x@y.example\r\n\r\nbody";
    let encoded = "=?utf-8?q?=0D=0ABcc:_x=40y.example?= and more";
    let long = "long ".repeat(50);
    let fields = [
        "Kim Roth",
        injected,
        encoded,
        "李雷 (例子)",
        "\"Kim\", <x@y.example>,",
        "Kim; Roth: @a \\",
        &long,
        "a\u{202e}b\u{85}c",
        "ÄÖÜ é",
    ];
    let key = DkimKey::generate().expect("a key");
    let letters = folder();
    let mut expected = Vec::new();
    for (n, field) in fields.iter().enumerate() {
        for html in [true, false] {
            let file = format!("{n:02}{}.eml", if html { "h" } else { "t" });
            let body = format!(
                "Dear {field},\n\n.\nFrom here on:  two\tblanks \n\nhttps://a.example/?a=1&b=<2>\n\n{}",
                "x".repeat(1_200)
            );
            let email = Email {
                subject: (*field).to_owned(),
                body: with_footer(&body, "Anna Berg\nAcme", "1 High Street, London"),
                from: NamedAddress { name: (*field).to_owned(), address: "anna@bücher.example".into() },
                to: NamedAddress { name: (*field).to_owned(), address: "o'neil+x@acme.example".into() },
                unsubscribe: "stop@bücher.example".into(),
                message_id: format!("em_{n}@acme.example"),
                ..Email::blank(EmailId::parse("em_1").expect("an id"), ProspectId::parse("pr_1").expect("an id"))
            };
            let url = format!("https://herald.example/u/{}", "t".repeat(n * 20));
            let extras = Extras {
                reply_to: Some("answers@bücher.example".into()),
                html,
                unsubscribe_url: Some(url.parse().expect("a URL")),
            };
            let message = message_with(&email, Timestamp(1_800_000_000_000_000), &extras).expect("a message");
            let longest = message.split(|b| *b == b'\n').map(<[u8]>::len).max();
            assert!(message.is_ascii() && longest <= Some(999), "{file}: {longest:?}");
            // As long as lines are to be, but for a URL and for a name, which some readers take for another if it is folded.
            let head = String::from_utf8(message.clone()).expect("ASCII");
            let head = head.split("\r\n\r\n").next().expect("a head").lines();
            let has_to_be = |line: &str| ["List-", "From: \"", "To: \""].iter().any(|start| line.starts_with(start));
            assert!(head.clone().all(|line| line.len() <= 78 || has_to_be(line)), "{file}");
            // A clock that is ahead would be told of.
            let mut signed =
                key.sign("bücher.example", "herald", &message, Timestamp(1_700_000_000_000_000)).expect("signed");
            signed.extend(message);
            std::fs::write(letters.path().join(&file), &signed).expect("written");
            if n == 0 {
                // Whatever is added or changed on the way ends the signature.
                for (name, from, to) in [
                    ("body", "two", "three"),
                    ("subject", "Subject: Kim", "Subject: Tim"),
                    ("twice", "MIME-Version", "From: x@y.example\r\nMIME-Version"),
                    ("post", "One-Click", "Two-Clicks"),
                ] {
                    let changed = String::from_utf8(signed.clone()).expect("ASCII").replacen(from, to, 1);
                    std::fs::write(letters.path().join(format!("zz-{name}-{file}")), changed).expect("written");
                }
            }
            expected.push((file, *field, email, url, html));
        }
    }
    let read = read_by_python(letters.path(), &key.record().expect("a record"));
    let (read, changed) = read.split_at(expected.len());
    assert_eq!(changed.len(), 8);
    for mail in changed {
        assert_eq!(mail["signed"], false, "{}", mail["file"]);
    }
    let one_spaced = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (mail, (file, field, email, url, html)) in read.iter().zip(expected) {
        assert_eq!(
            (&mail["file"], &mail["defects"], &mail["signed"]),
            (&json!(file), &json!([]), &json!(true)),
            "{mail}"
        );
        assert_eq!(mail["asked"], json!(["herald._domainkey.xn--bcher-kva.example."]));
        let mut names =
            vec!["DKIM-Signature", "From", "To", "Subject", "Date", "Message-ID", "Reply-To", "List-Unsubscribe"];
        names.extend(["List-Unsubscribe-Post", "MIME-Version", "Content-Type"]);
        names.extend((!html).then_some("Content-Transfer-Encoding"));
        assert_eq!(mail["names"], json!(names), "{file}");
        let tame = one_spaced(&herald::domain::text::tame(field));
        assert_eq!(one_spaced(mail["subject"].as_str().expect("a text")), tame, "{file}");
        for (name, address) in [("From", "anna@xn--bcher-kva.example"), ("To", "o'neil+x@acme.example")] {
            assert_eq!(mail["addresses"][name], json!([[tame.replace("=?", "= ?"), address]]), "{file}");
        }
        assert_eq!(mail["addresses"]["Reply-To"], json!([["", "answers@xn--bcher-kva.example"]]));
        let unsubscribe = format!("<{url}>, <mailto:stop@xn--bcher-kva.example?subject=unsubscribe>");
        let values = json!({
            "List-Unsubscribe": unsubscribe, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Message-ID": format!("<{}>", email.message_id),
        });
        assert_eq!(mail["values"], values, "{file}");
        let text = format!("{}\n", herald::domain::text::clean(&email.body));
        assert_eq!(mail["parts"][0], json!(["text/plain", text]), "{file}");
        assert!(text.ends_with("\n\n-- \nAnna Berg\nAcme\n\n1 High Street, London\n"));
        let second = mail["parts"][1][1].as_str();
        assert_eq!(second.is_some(), html);
        assert!(
            second.is_none_or(|html| html.contains("<p dir=\"auto\">--<br>\nAnna Berg<br>\nAcme</p>")),
            "{second:?}"
        );
    }
}
