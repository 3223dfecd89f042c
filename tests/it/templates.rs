//! Templates of a tenant's own: what is stored, what is refused, and that a preview is the letter that is sent.

use herald::cli::Api;
use herald::pb::preview_template_request::From;
use herald::pb::{self, CampaignState, EmailStatus};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{TestApp, auto_approve, config, eml_files, folder, outbox_mailbox, reaches, reason, seams, site};

/// The fields that a refusal names, and what is wrong with each.
fn fields(status: &Status) -> Vec<(String, String)> {
    let details = status.get_error_details();
    let named = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    named.into_iter().map(|violation| (violation.field, violation.description)).collect()
}

fn text(language: &str, subject: &str, body: &str) -> pb::TemplateText {
    pb::TemplateText { language: language.into(), subject: subject.into(), body: body.into() }
}

fn template(texts: Vec<pb::TemplateText>) -> pb::Template {
    pb::Template { name: "Ours".into(), description: "For trade fairs".into(), texts, ..Default::default() }
}

async fn create(api: &mut Api, texts: Vec<pb::TemplateText>) -> pb::Template {
    let request = pb::CreateTemplateRequest { template: Some(template(texts)), ..Default::default() };
    api.workflow.create_template(request).await.expect("created").into_inner().template.expect("one")
}

async fn start(api: &mut Api, website: &str, template: &str) {
    let request = pb::StartWorkflowRequest {
        website: website.to_owned(),
        template_id: template.to_owned(),
        recipients: Some(pb::RecipientRules { not_again_days: Some(0), ..Default::default() }),
        ..Default::default()
    };
    api.workflow.start_workflow(request).await.expect("started");
}

async fn emails(api: &mut Api) -> Vec<pb::Email> {
    let request = pb::ListWorkflowEmailsRequest { page_size: 1_000, ..Default::default() };
    api.workflow.list_workflow_emails(request).await.expect("listed").into_inner().emails
}

async fn add(api: &mut Api, prospects: Vec<pb::Prospect>) -> Vec<String> {
    let request = pb::BatchCreateProspectsRequest { prospects, ..Default::default() };
    let answer = api.agent.batch_create_prospects(request).await.expect("created").into_inner();
    answer.results.into_iter().map(|result| result.prospect_id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_is_created_once_read_changed_and_deleted() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let texts =
        vec![text("en", "For {{ prospect.company }}", "Hello"), text("de", "Für {{ prospect.company }}", "Hallo")];
    let request = pb::CreateTemplateRequest { template: Some(template(texts)), request_id: "once".into() };
    let first =
        api.workflow.create_template(request.clone()).await.expect("created").into_inner().template.expect("one");
    let again = api.workflow.create_template(request).await.expect("the same").into_inner().template.expect("one");
    assert_eq!(first, again);
    assert!(first.id.starts_with("tp_") && !first.etag.is_empty() && !first.built_in && first.create_time.is_some());

    let list = api.workflow.list_templates(pb::ListTemplatesRequest {}).await.expect("listed").into_inner();
    assert_eq!((list.templates.len(), list.templates[6].clone()), (7, first.clone()));
    assert!(list.templates[..6].iter().all(|template| template.built_in && template.texts.len() == 5));
    assert!(list.values.iter().any(|value| value.name == "salutation.formal" && !value.description.is_empty()));

    let update = |template: pb::Template| pb::UpdateTemplateRequest { template: Some(template), update_mask: None };
    let renamed = pb::Template { name: "Fairs".into(), texts: vec![], description: String::new(), ..first.clone() };
    let renamed =
        api.workflow.update_template(update(renamed)).await.expect("updated").into_inner().template.expect("one");
    assert_eq!((renamed.name.as_str(), &renamed.texts), ("Fairs", &first.texts));
    let stale = api.workflow.update_template(update(first.clone())).await.expect_err("stale");
    assert_eq!((stale.code(), reason(&stale).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let get = |id: &str| pb::GetTemplateRequest { template_id: id.into() };
    let read = api.workflow.get_template(get(&first.id)).await.expect("found").into_inner().template;
    assert_eq!(read, Some(renamed.clone()));
    assert!(
        api.workflow
            .get_template(get("modern_tech"))
            .await
            .expect("found")
            .into_inner()
            .template
            .expect("one")
            .built_in
    );

    let delete = |etag: &str| pb::DeleteTemplateRequest { template_id: first.id.clone(), etag: etag.into() };
    let stale = api.workflow.delete_template(delete(&first.etag)).await.expect_err("stale");
    assert_eq!(reason(&stale), "ETAG_MISMATCH");
    api.workflow.delete_template(delete(&renamed.etag)).await.expect("deleted");
    for refused in [
        api.workflow.get_template(get(&first.id)).await.expect_err("gone"),
        api.workflow.delete_template(delete("")).await.expect_err("gone"),
        api.workflow.update_template(update(renamed)).await.expect_err("gone"),
    ] {
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "TEMPLATE_NOT_FOUND"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_template_is_told_with_its_place() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let create = |texts| pb::CreateTemplateRequest { template: Some(template(texts)), ..Default::default() };
    for (texts, field, what) in [
        (vec![], "template.texts", "must be 1 to 20"),
        (
            vec![text("en", "S", "Hi\n {{ prospect.compny }}")],
            "template.texts[0].body",
            "line 2, column 5: there is no value prospect.compny; the values are language,",
        ),
        (vec![text("en", "S", "B"), text("de", "{{ x", "B")], "template.texts[1].subject", "line 1, column"),
        (vec![text("en", "S", "{% include 'x' %}")], "template.texts[0].body", "line 1, column"),
        (vec![text("en", "", "B")], "template.texts[0].subject", "is required"),
        (vec![text("", "S", "B")], "template.texts[0].language", "IETF"),
        (vec![text("en", "S", "B"), text("EN", "S", "B")], "template.texts[1].language", "twice"),
        (vec![text("en", "S", &"x".repeat(20_001))], "template.texts[0].body", "20000"),
        (
            vec![text("en", "S", &format!("{{{{ 1{} }}}}", "+1".repeat(9_000)))],
            "template.texts[0].body",
            "may have 500 bytes",
        ),
    ] {
        let refused = api.workflow.create_template(create(texts)).await.expect_err("refused");
        let told = fields(&refused);
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(told.iter().any(|(name, why)| name == field && why.contains(what)), "{field} {what}: {told:?}");
    }
    let built_in = pb::Template { id: "modern_tech".into(), name: "Mine".into(), ..Default::default() };
    let update = pb::UpdateTemplateRequest { template: Some(built_in), update_mask: None };
    let delete = pb::DeleteTemplateRequest { template_id: "modern_tech".into(), etag: String::new() };
    for refused in [
        api.workflow.update_template(update).await.expect_err("refused"),
        api.workflow.delete_template(delete).await.expect_err("refused"),
    ] {
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "TEMPLATE_BUILT_IN"));
    }
    for _ in 0..100 {
        api.workflow.create_template(create(vec![text("en", "S", "B")])).await.expect("created");
    }
    let refused = api.workflow.create_template(create(vec![text("en", "S", "B")])).await.expect_err("too many");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "TOO_MANY_TEMPLATES"));
    // Another tenant has room of its own, and sees none of them.
    let mut other = app.user("user_b").await;
    other.workflow.create_template(create(vec![text("en", "S", "B")])).await.expect("created");
    let list = other.workflow.list_templates(pb::ListTemplatesRequest {}).await.expect("listed").into_inner();
    assert_eq!(list.templates.len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_does_not_fit_one_prospect_fails_that_letter_alone_and_is_kept_while_it_is_needed() {
    let website = site::example().await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    auto_approve(&mut api).await;
    let body = "{{ salutation.formal }}\n\n{% if prospect.company %}\nFine.\n{% else %}\n{{ prospect.company|first|upper ~ data.missing }}\n{% endif %}";
    let ours = create(&mut api, vec![text("en", "Hello", body)]).await;
    let prospect = |n: usize, company: &str| pb::Prospect {
        email: format!("p{n}@c{n}.example"),
        company: company.into(),
        ..Default::default()
    };
    add(&mut api, vec![prospect(0, "Acme"), prospect(1, ""), prospect(2, "Initech")]).await;
    start(&mut api, &website, &ours.id).await;
    reaches(&mut api, CampaignState::Completed).await;
    let emails = emails(&mut api).await;
    let failed: Vec<_> = emails.iter().filter(|email| email.status() == EmailStatus::Failed).collect();
    assert_eq!((emails.len(), failed.len()), (3, 1));
    assert_eq!(failed[0].to, "p1@c1.example");
    assert!(failed[0].note.starts_with("not written: the template's body in en: line 6, column"), "{}", failed[0].note);
    assert_eq!(emails.iter().filter(|email| email.status() == EmailStatus::Sent).count(), 2);
    // The way out that it lacks stands below it.
    let sent = emails.iter().find(|email| email.status() == EmailStatus::Sent).expect("one");
    assert!(sent.body.ends_with("just reply \"no thanks\"."), "{}", sent.body);

    // A campaign that has letters to write from it holds it; one whose letters are written does not.
    let get = pb::GetAgentConfigRequest {};
    let config = api.agent.get_agent_config(get).await.expect("a configuration").into_inner().config.expect("one");
    let manual = pb::AgentConfig { auto_approve: false, ..config };
    let mask = prost_types::FieldMask { paths: vec!["auto_approve".into()] };
    let update = pb::UpdateAgentConfigRequest { config: Some(manual), update_mask: Some(mask) };
    api.agent.update_agent_config(update).await.expect("updated");
    start(&mut api, &website, &ours.id).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    let delete = pb::DeleteTemplateRequest { template_id: ours.id.clone(), etag: String::new() };
    api.workflow.delete_template(delete).await.expect("its letters are written");
    let refused = api
        .workflow
        .start_workflow(pb::StartWorkflowRequest { website, template_id: ours.id, ..Default::default() })
        .await;
    assert_eq!(reason(&refused.expect_err("gone")), "TEMPLATE_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_a_campaign_waits_for_is_not_deleted() {
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let ours = create(&mut api, vec![text("en", "S", "B")]).await;
    add(&mut api, vec![pb::Prospect { email: "p@c.example".into(), ..Default::default() }]).await;
    // Nobody answers there, so that no letter is written.
    start(&mut api, "http://127.0.0.1:1/", &ours.id).await;
    let delete = pb::DeleteTemplateRequest { template_id: ours.id.clone(), etag: String::new() };
    let refused = api.workflow.delete_template(delete).await.expect_err("in use");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "TEMPLATE_IN_USE"));
}

/// Without what is another one in each message: the date, and the ids.
fn without_ids(message: &[u8]) -> String {
    let text = String::from_utf8(message.to_vec()).expect("7 bits");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let kept = head.split("\r\n").filter(|line| !line.starts_with("Date: ") && !line.starts_with("Message-ID: "));
    let token =
        |line: &str| match line.split_once("/u/").and_then(|(before, rest)| Some((before, rest.split_once('>')?.1))) {
            Some((before, after)) => format!("{before}/u/TOKEN>{after}"),
            None => line.to_owned(),
        };
    format!("{}\r\n\r\n{body}", kept.map(token).collect::<Vec<_>>().join("\r\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_is_the_letter_that_is_sent() {
    let website = site::example().await;
    let data = folder();
    let mut settings = config(&data);
    settings.server.public_url = "https://mail.example.com".to_owned();
    let app = TestApp::with(data, settings, seams()).await;
    let mut api = app.user("user_a").await;
    auto_approve(&mut api).await;
    outbox_mailbox(&mut api, "ruth@fernwick.example").await;
    let languages = ["", "en", "de-AT", "fr", "es", "zh-CN"];
    let prospect = |(n, language): (usize, &&str)| pb::Prospect {
        email: format!("claire{n}@greenleaf.example"),
        contact_name: "Ms Claire Moreau".into(),
        company: "Greenleaf".into(),
        position: "Head of Operations".into(),
        industry: "Horticulture".into(),
        notes: "Letter: Kim Roth suggested that we write".into(),
        language: (*language).into(),
        ..Default::default()
    };
    let ids = add(&mut api, languages.iter().enumerate().map(prospect).collect()).await;
    let own = create(
        &mut api,
        vec![text("en", "For {{ prospect.company }}", "{{ salutation.formal }}\n\n{{ line }}\n\n{{ signature }}")],
    )
    .await;
    for template_id in ["professional_partnership", "modern_tech", &own.id] {
        start(&mut api, &website, template_id).await;
        let campaign = reaches(&mut api, CampaignState::Completed).await;
        let mut previews = Vec::new();
        for prospect_id in &ids {
            let request = pb::PreviewTemplateRequest {
                from: Some(From::TemplateId(template_id.to_owned())),
                prospect_id: prospect_id.clone(),
                campaign_id: campaign.id.clone(),
                ..Default::default()
            };
            let preview = api.workflow.preview_template(request).await.expect("a letter").into_inner();
            assert!(!preview.subject.is_empty() && preview.body.contains("Kim Roth suggested that we write."));
            previews.push(without_ids(&preview.message));
        }
        let folder = app.outbox("user_a");
        let mut sent: Vec<_> = eml_files(&folder)
            .iter()
            .map(|file| without_ids(&std::fs::read(folder.join(file)).expect("a file")))
            .collect();
        for file in eml_files(&folder) {
            std::fs::remove_file(folder.join(file)).expect("removed");
        }
        previews.sort();
        sent.sort();
        assert_eq!(previews, sent, "{template_id}");
    }
    // Of what is not stored, to somebody who is not there, in any language; a draft needs no name.
    let draft =
        pb::Template { texts: vec![text("de", "S", "{{ salutation.formal }}\n{{ way_out }}")], ..Default::default() };
    let request =
        pb::PreviewTemplateRequest { from: Some(From::Template(draft)), language: "de".into(), ..Default::default() };
    let refused = api.workflow.preview_template(request.clone()).await.expect_err("nobody knows who writes");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "SENDER_MISSING"));
    let config = pb::AgentConfig {
        sender: Some(pb::Sender { company: "Fernwick".into(), ..Default::default() }),
        ..Default::default()
    };
    let update = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
    api.agent.update_agent_config(update).await.expect("updated");
    let preview = api.workflow.preview_template(request).await.expect("a letter").into_inner();
    assert_eq!((preview.language.as_str(), preview.body.lines().next()), ("de", Some("Sehr geehrte Frau Moreau,")));
    let broken = pb::Template { texts: vec![text("de", "S", "{{ nothing }}")], ..Default::default() };
    let request = pb::PreviewTemplateRequest { from: Some(From::Template(broken)), ..Default::default() };
    let refused = api.workflow.preview_template(request).await.expect_err("a fault");
    assert_eq!(fields(&refused)[0].0, "template.texts[0].body");
}
