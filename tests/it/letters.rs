//! Letters to prospects as lists have them: whatever stands in a field, no letter shows that nobody has looked.

use herald::config::Secret;
use herald::pb::{self, CampaignState};
use jsonwebtoken::Algorithm;
use mail_parser::MessageParser;
use serde_json::json;
use tonic::Code;

use crate::support::{SECRET, TestApp, auto_approve, config, eml_files, folder, reaches, reason, seams, site, token};

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
                language: ["", "en", "zh-CN", "de"][(i + j) % 4].into(),
                ..Default::default()
            });
        }
    }
    rows
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
            for wrong in [
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
            ] {
                let body = all.replace("\r\n", "\n");
                assert!(!body.contains(wrong), "{}: {wrong:?} in {file}:\n{body}", template.id);
            }
            seen += 1;
        }
    }
    assert_eq!(seen, rows.len() * templates.len());
}

#[tokio::test]
async fn without_a_sender_nothing_is_started_but_by_a_development_server_which_says_so() {
    let website = site::example().await;
    let start = |website: &str| pb::StartWorkflowRequest { website: website.to_owned(), ..Default::default() };
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let started = api.workflow.start_workflow(start(&website)).await.expect("started").into_inner();
    assert!(started.notes.iter().any(|note| note.contains("sender.email is not set")), "{:?}", started.notes);

    let data = folder();
    let mut settings = token::production(config(&data));
    settings.auth.hs256_secret = Secret::new(SECRET);
    let app = TestApp::with(data, settings, seams()).await;
    let claims = json!({ "sub": "user_a", "exp": token::now() + 600 });
    let mut api = app.token(&token::hs(&claims, SECRET, Algorithm::HS256)).await;
    let refused = api.workflow.start_workflow(start(&website)).await.expect_err("refused");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "SENDER_MISSING"));
    assert!(refused.message().contains("herald config set sender.email="), "{}", refused.message());
    let sender = pb::Sender { email: "ruth@fernwick.example".into(), ..Default::default() };
    let config = pb::AgentConfig { sender: Some(sender), ..Default::default() };
    let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
    api.agent.update_agent_config(request).await.expect("configured");
    let started = api.workflow.start_workflow(start(&website)).await.expect("started").into_inner();
    assert!(started.notes.is_empty(), "{:?}", started.notes);
}
