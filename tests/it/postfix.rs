//! A real Postfix as the mail server: what a campaign sends arrives in maildirs, header by header, and what comes back of it leads to
//! whom it should.

use std::collections::BTreeMap;

use herald::cli::Api;
use herald::pb;
use herald::pb::{CampaignState, EmailStatus, SuppressionReason};

use crate::support::postfix::{Arrived, Headers, Postfix};
use crate::support::token::now;
use crate::support::{TestApp, any_time, auto_approve, config, folder, reaches, seams, site, start_campaign};

const ANNA: &str = "anna@acme.example";
const ANSWERS: &str = "answers@acme.example";

/// A server whose tenant sends from Anna's mailbox through the Postfix.
async fn office(postfix: &Postfix) -> (TestApp, Api) {
    let data = folder();
    let mut config = config(&data);
    config.mail.allow_private = true;
    config.mail.ca_file = postfix.authorities().display().to_string();
    let app = TestApp::with(data, config, seams()).await;
    let mut api = app.user("user_a").await;
    let mailbox = pb::Mailbox {
        display_name: "Anna Berg".to_owned(),
        address: ANNA.to_owned(),
        reply_to: ANSWERS.to_owned(),
        smtp: Some(pb::SmtpServer {
            host: "localhost".to_owned(),
            port: i32::from(postfix.port),
            ..Default::default()
        }),
        ..any_time()
    };
    let create = pb::CreateMailboxRequest { mailbox: Some(mailbox), request_id: String::new() };
    api.mailbox.create_mailbox(create).await.expect("created");
    auto_approve(&mut api).await;
    (app, api)
}

/// Sends a campaign to them, by address and name, to its end; its e-mails by their recipients.
async fn send(api: &mut Api, people: &[(&str, &str)]) -> BTreeMap<String, pb::Email> {
    let prospect = |(n, (email, name)): (usize, &(&str, &str))| pb::Prospect {
        email: (*email).to_owned(),
        contact_name: (*name).to_owned(),
        company: format!("Gärtnerei {n} 例子"),
        ..Default::default()
    };
    let prospects = people.iter().enumerate().map(prospect).collect();
    let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
    api.agent.batch_create_prospects(request).await.expect("created");
    let website = site::pages([("/", site::company())]).await;
    start_campaign(api, &website).await;
    reaches(api, CampaignState::Completed).await;
    emails(api).await
}

async fn emails(api: &mut Api) -> BTreeMap<String, pb::Email> {
    let request = pb::ListWorkflowEmailsRequest { page_size: 100, ..Default::default() };
    let emails = api.workflow.list_workflow_emails(request).await.expect("listed").into_inner().emails;
    emails.into_iter().map(|email| (email.to.clone(), email)).collect()
}

async fn suppressed(api: &mut Api) -> BTreeMap<String, SuppressionReason> {
    let listed = api.agent.list_suppressions(pb::ListSuppressionsRequest::default()).await.expect("listed");
    listed.into_inner().suppressions.into_iter().map(|one| (one.email.clone(), one.reason())).collect()
}

/// Whether a letter has every header, each once, under its name and with its value; and the text.
fn is_as_sent(arrived: &Arrived, email: &pb::Email, name: &str, times: &std::ops::RangeInclusive<i64>) -> bool {
    let encodings = ["7bit", "quoted-printable", "base64"];
    let right = [
        ("From", format!("Anna Berg <{ANNA}>")),
        ("To", format!("{name} <{}>", email.to)),
        ("Subject", email.subject.clone()),
        ("Date", String::new()),
        ("Message-ID", format!("<{}>", email.message_id)),
        ("Reply-To", ANSWERS.to_owned()),
        ("List-Unsubscribe", format!("<mailto:{ANNA}?subject=unsubscribe>")),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", "text/plain; charset=\"utf-8\"".to_owned()),
        ("Content-Transfer-Encoding", String::new()),
    ];
    let same = |((name, value), (right_name, right)): (&(String, String), &(&str, String))| {
        name == right_name
            && match *right_name {
                // The time itself is in `date`.
                "Date" => !value.is_empty(),
                "Content-Transfer-Encoding" => encodings.contains(&value.as_str()),
                _ => value == right,
            }
    };
    let same = arrived.headers.len() == right.len() && arrived.headers.iter().zip(&right).all(same);
    let in_time = arrived.date.is_some_and(|date| times.contains(&date));
    same && in_time && arrived.body.trim_end() == email.body.trim_end() && arrived.report.is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaigns_letters_arrive_once_with_every_header_as_it_was_sent() {
    let people =
        [("kim@there.example", "Kim Roth"), ("asa@there.example", "Åsa Öst"), ("lei@elsewhere.example", "李雷")];
    let addresses: Vec<_> = people.iter().map(|(to, _)| *to).chain([ANNA]).collect();
    let postfix = Postfix::start(&addresses);
    let (_app, mut api) = office(&postfix).await;
    let (before, mut private) = (now(), 0);
    let sent = send(&mut api, &people).await;
    for (to, name) in people {
        let email = &sent[to];
        assert_eq!(email.status(), EmailStatus::Sent, "{to}: {}", email.note);
        let arrived = postfix.arrived(to, 1).await;
        let [letter] = arrived.as_slice() else { panic!("{to}: {arrived:#?}") };
        let times = before..=now();
        assert!(is_as_sent(letter, email, name, &times), "{letter:#?}\n{email:#?}");
        // A header that is lost, renamed, emptied or there twice would be seen.
        for n in 0..letter.headers.len() {
            let changed = |change: &dyn Fn(&mut Headers)| {
                let mut letter = letter.clone();
                change(&mut letter.headers);
                is_as_sent(&letter, email, name, &times)
            };
            assert!(!changed(&|headers| drop(headers.remove(n))), "{n}");
            assert!(!changed(&|headers| headers[n].0.insert_str(0, "X-")), "{n}");
            assert!(!changed(&|headers| headers[n].1.clear()), "{n}");
            assert!(!changed(&|headers| headers.push(headers[n].clone())), "{n}");
        }
        // Postfix has named it.
        let request = pb::GetEmailRequest { email_id: email.id.clone() };
        let email = api.agent.get_email(request).await.expect("found").into_inner().email.expect("one");
        private += email.transcript.iter().filter(|line| line.stage == "tls").count();
        assert!(email.server_id.len() >= 8, "{:?}", email.server_id);
    }
    assert!((1..=people.len()).contains(&private), "STARTTLS, once for each connection: {private}");
    assert!(postfix.arrived(ANNA, 0).await.is_empty(), "nothing came back");
}

/// One is refused at once; one is taken, and comes back as a bounce, which is recorded as it was read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_suppresses_whom_it_names() {
    let postfix = Postfix::start(&["kim@there.example", ANNA]);
    let (_app, mut api) = office(&postfix).await;
    let people =
        [("kim@there.example", "Kim"), ("nobody@there.example", "Nobody"), ("refused@there.example", "Refused")];
    let sent = send(&mut api, &people).await;
    let refused = &sent["refused@there.example"];
    let bounce = refused.bounce.clone().expect("a bounce");
    assert_eq!((refused.status(), bounce.permanent, bounce.status.as_str()), (EmailStatus::Failed, true, "5.1.1"));
    assert!(bounce.diagnostic.starts_with("recipient: 550 5.1.1 "), "{}", bounce.diagnostic);
    let nobody = &sent["nobody@there.example"];
    assert_eq!((nobody.status(), nobody.bounce.as_ref()), (EmailStatus::Sent, None), "it was taken");
    let refused_alone = BTreeMap::from([("refused@there.example".to_owned(), SuppressionReason::Bounced)]);
    assert_eq!(suppressed(&mut api).await, refused_alone);

    let mut came = postfix.arrived(ANNA, 1).await;
    let report = came.remove(0).report.expect("a bounce message");
    assert_eq!((report.action.as_str(), report.recipient.as_str()), ("failed", "nobody@there.example"));
    assert_eq!((came.len(), report.status.as_str()), (0, "5.1.1"));
    assert_eq!(report.message_id, format!("<{}>", nobody.message_id));
    let request = pb::RecordBounceRequest {
        message_id: report.message_id,
        status: report.status,
        diagnostic: report.diagnostic.clone(),
        ..Default::default()
    };
    let told = api.mailbox.record_bounce(request.clone()).await.expect("recorded").into_inner();
    let again = api.mailbox.record_bounce(request).await.expect("recorded").into_inner();
    assert_eq!((&again, told.suppressed), (&told, true));
    let nobody = emails(&mut api).await.remove("nobody@there.example").expect("one");
    assert_eq!(told.email.as_ref(), Some(&nobody));
    let bounce = nobody.bounce.clone().expect("a bounce");
    assert_eq!((nobody.status(), bounce.permanent, bounce.diagnostic), (EmailStatus::Sent, true, report.diagnostic));
    let both = ["nobody", "refused"].map(|name| (format!("{name}@there.example"), SuppressionReason::Bounced));
    assert_eq!(suppressed(&mut api).await, BTreeMap::from(both));
    assert_eq!(postfix.arrived("kim@there.example", 1).await.len(), 1);
    assert_eq!(emails(&mut api).await["kim@there.example"].bounce, None);
}
