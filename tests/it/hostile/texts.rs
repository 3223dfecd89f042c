//! Texts that a terminal, a mail program or a page would obey: refused where they stand, or harmless where they come out.

use std::sync::atomic::{AtomicUsize, Ordering};

use herald::pb::{self, CampaignState};
use mail_parser::{MessageParser, MimeHeaders as _};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::wire::{Place, is_opaque, name, places};
use super::{Target, violations};
use crate::support::rpc::{Rpc, filled, headers, rpcs};
use crate::support::{add_prospects, auto_approve, eml_files, outbox, reaches, reason, site, start_campaign};

/// Refused in every text that is not opaque.
const CONTROLS: [&str; 9] =
    ["a\0b", "\x1b[2Ja", "a\x07", "a\x08b", "a\x0bb", "\x1fa", "a\x7fb", "a\u{80}b", "a\u{9b}2Jb"];

/// Refused or made harmless.
const OTHERS: [&str; 8] = [
    "a\rb",
    "a\r\nb",
    "a\u{2028}b\u{2029}c",
    "\u{202e}a",
    "\u{2066}\u{202b}a\u{2069}",
    "\u{2067}a\nb",
    "\u{202c}\u{2069}a",
    "=?utf-8?q?a=0D=0ABcc:_x@y.example?=",
];

/// The tenant who sends them.
struct Sender {
    channel: Channel,
    ids: Ids,
}

/// One id of each kind that it has.
#[derive(Default)]
struct Ids {
    prospect: String,
    email: String,
    campaign: String,
}

// === impl Sender ===

impl Sender {
    /// A tenant whose campaign waits for approval.
    async fn new(target: &Target, website: &str) -> Self {
        let mut api = target.user("attacker").await;
        let prospect = add_prospects(&mut api, 1).await.remove(0);
        start_campaign(&mut api, website).await;
        let campaign = reaches(&mut api, CampaignState::WaitingApproval).await.id;
        let emails =
            api.workflow.list_workflow_emails(pb::ListWorkflowEmailsRequest::default()).await.expect("e-mails");
        let email = emails.into_inner().emails.remove(0).id;
        Self { channel: target.channel().await, ids: Ids { prospect, email, campaign } }
    }

    fn id(&self, noun: pb::Noun) -> String {
        match noun {
            pb::Noun::Prospect => self.ids.prospect.clone(),
            pb::Noun::Email => self.ids.email.clone(),
            pb::Noun::Campaign => self.ids.campaign.clone(),
            pb::Noun::Template => crate::support::TEMPLATE.to_owned(),
            _ => String::new(),
        }
    }

    /// The answer to a request that is as it should be but for the text at the place.
    async fn send(&self, rpc: &Rpc, place: &Place, text: &str) -> Result<Option<DynamicMessage>, Status> {
        static SENT: AtomicUsize = AtomicUsize::new(0);
        let mut request = filled(&rpc.descriptor.input(), &|_, noun| self.id(noun));
        let nth = SENT.fetch_add(1, Ordering::Relaxed);
        unlike(&mut request, nth);
        put(&mut request, place, text);
        rpc.call(&self.channel, &headers(&[("x-user-id", "attacker")]), request).await
    }
}

/// Gives each row an address that no other has.
fn unlike(message: &mut DynamicMessage, nth: usize) {
    for field in message.descriptor().fields() {
        match message.get_field_mut(&field) {
            Value::String(text) if text == "ada@example.com" => *text = format!("ada{nth}@example.com"),
            Value::List(list) => {
                list.iter_mut().filter_map(Value::as_message_mut).for_each(|inner| unlike(inner, nth));
            }
            _ => {}
        }
    }
}

/// Sets a text, in the first element of whatever is repeated.
fn put(message: &mut DynamicMessage, place: &[FieldDescriptor], text: &str) {
    let (field, rest) = place.split_first().expect("a place");
    if rest.is_empty() {
        let text = Value::String(text.to_owned());
        message.set_field(field, if field.is_list() { Value::List(vec![text]) } else { text });
        return;
    }
    let Kind::Message(kind) = field.kind() else { panic!("{} leads to nothing", field.full_name()) };
    if field.is_map() {
        let value = kind.map_entry_value_field();
        let (key, inner) = match value.kind() {
            Kind::Message(inner) if rest.len() > 1 => {
                let mut inner = DynamicMessage::new(inner);
                put(&mut inner, &rest[1..], text);
                ("k".to_owned(), Value::Message(inner))
            }
            Kind::Message(inner) => (text.to_owned(), Value::Message(DynamicMessage::new(inner))),
            _ => (text.to_owned(), Value::String(text.to_owned())),
        };
        message.set_field(field, Value::Map([(prost_reflect::MapKey::String(key), inner)].into()));
        return;
    }
    let there = match message.get_field(field).into_owned() {
        Value::Message(inner) if message.has_field(field) => Some(inner),
        Value::List(list) => list.into_iter().next().and_then(|first| first.as_message().cloned()),
        _ => None,
    };
    let mut inner = there.unwrap_or_else(|| DynamicMessage::new(kind));
    put(&mut inner, rest, text);
    let inner = Value::Message(inner);
    message.set_field(field, if field.is_list() { Value::List(vec![inner]) } else { inner });
}

/// Every text of a message that is not opaque, with where it stands.
fn texts(message: &DynamicMessage, above: &str, found: &mut dyn FnMut(&str, &str)) {
    for (field, value) in message.fields() {
        if is_opaque(std::slice::from_ref(&field)) {
            continue;
        }
        let here = format!("{above}.{}", field.name());
        let values: Vec<_> = match value {
            Value::List(values) => values.iter().collect(),
            Value::Map(values) => {
                values.keys().filter_map(|key| key.as_str()).for_each(|key| found(&here, key));
                values.values().collect()
            }
            single => vec![single],
        };
        for value in values {
            match value {
                Value::String(text) => found(&here, text),
                Value::Message(inner) => texts(inner, &here, found),
                _ => {}
            }
        }
    }
}

/// What is wrong with a text that came out.
fn fault(text: &str) -> Option<&'static str> {
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Some("a control character");
    }
    if text.contains(['\u{2028}', '\u{2029}']) {
        return Some("a line break that is none");
    }
    // Each line by itself: UAX #9 ends what is open with it.
    text.split('\n').find_map(|line| {
        let mut open = Vec::new();
        for c in line.chars() {
            match c {
                '\u{202a}'..='\u{202b}' | '\u{202d}'..='\u{202e}' => open.push('\u{202c}'),
                '\u{2066}'..='\u{2068}' => open.push('\u{2069}'),
                '\u{202c}' if open.last() == Some(&c) => drop(open.pop()),
                // It ends all that was begun inside its isolate (X6a).
                '\u{2069}' if open.contains(&c) => while open.pop().is_some_and(|end| end != c) {},
                '\u{202c}' | '\u{2069}' => return Some("the end of what was never begun"),
                _ => {}
            }
        }
        (!open.is_empty()).then_some("a direction that is not ended")
    })
}

#[test]
fn faults_are_found() {
    let fine = [
        "",
        "a\tb\nc",
        "\u{202e}a\u{202c}b",
        "\u{2066}\u{202b}a\u{202c}\u{2069}",
        "\u{2066}\u{202b}a\u{2069}",
        "=?utf-8?q?a?=",
    ];
    for text in fine {
        assert_eq!(fault(text), None, "{text:?}");
    }
    for text in ["a\rb", "\x1b", "\u{85}", "\u{2028}", "\u{202e}a", "\u{2067}a\nb\u{2069}", "\u{202c}"] {
        assert!(fault(text).is_some(), "{text:?}");
    }
}

/// Every text of every request: control characters are refused with the field's name, unless the proto has it opaque; what
/// else is accepted comes back without any, and with every direction ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_of_any_request_brings_out_what_a_terminal_obeys() {
    let odd = "<title>A\u{202e}cme \x1b[2J</title><meta name=description content='a&#27;b&#x9b;c \u{2067}d'><h1>Acme\u{85}\
               tools \u{202b}</h1><p>We make tools\u{7} for makers &#x202e; of all kinds, and \u{0}more.</p>";
    let website = site::pages([("/", site::html(odd))]).await;
    let target = Target::start(&[("HERALD_FAIRNESS_STARTS_PER_MINUTE", "0")]).await;
    let sender = Sender::new(&target, &website).await;
    // Those that end or remove something last.
    let mut all = rpcs();
    all.sort_by_key(|rpc| (rpc.is_destructive(), rpc.descriptor.name() == "ReviewEmails"));
    let (mut sent, mut accepted, mut faults) = (0, 0, Vec::new());
    for rpc in all.iter().filter(|rpc| !rpc.is_destructive()) {
        for place in places(&rpc.descriptor.input()) {
            if !matches!(place.last().map(FieldDescriptor::kind), Some(Kind::String)) {
                continue;
            }
            let (field, opaque) = (name(&place, true), is_opaque(&place));
            for text in CONTROLS {
                sent += 1;
                let answer = sender.send(rpc, &place, text).await;
                let what = format!("{} {field} = {text:?}", rpc.name());
                if opaque {
                    // Refused for something else, maybe.
                    let named = answer.as_ref().err().map(violations).unwrap_or_default();
                    let control = named.iter().any(|(_, said)| said.contains("control characters"));
                    assert!(!control, "{what}: {named:?}");
                    continue;
                }
                let Err(status) = answer else { panic!("{what} is accepted") };
                assert_eq!(
                    (status.code(), reason(&status).as_str()),
                    (Code::InvalidArgument, "FIELD_INVALID"),
                    "{what}"
                );
                let named = violations(&status);
                assert!(named.iter().any(|(named, _)| *named == field), "{what}: {named:?}");
            }
            for text in OTHERS {
                sent += 1;
                match sender.send(rpc, &place, text).await {
                    Err(status) => assert!(!reason(&status).is_empty()),
                    Ok(answer) => {
                        accepted += 1;
                        let mut look = |at: &str, text: &str| {
                            faults.extend(fault(text).map(|fault| format!("{}{at}: {fault} in {text:?}", rpc.name())));
                        };
                        answer.iter().for_each(|answer| texts(answer, "", &mut look));
                    }
                }
            }
        }
    }
    // All that was stored, as every read tells it.
    let mut told = 0;
    for rpc in all.iter().filter(|rpc| rpc.is_read()) {
        let request = filled(&rpc.descriptor.input(), &|_, noun| sender.id(noun));
        for request in [request, DynamicMessage::new(rpc.descriptor.input())] {
            let answer = rpc.call(&sender.channel, &headers(&[("x-user-id", "attacker")]), request).await;
            let Ok(Some(answer)) = answer else { continue };
            texts(&answer, "", &mut |at, text| {
                told += 1;
                faults.extend(fault(text).map(|fault| format!("{}{at}: {fault} in {text:?}", rpc.name())));
            });
        }
    }
    println!("{sent} texts, {accepted} accepted, {told} told");
    assert!(accepted > 100 && told > 100, "{sent} texts, {accepted} accepted, {told} told");
    faults.sort();
    faults.dedup();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let mails = outbox(target.data.path(), "attacker");
    for file in eml_files(&mails) {
        assert_harmless(&std::fs::read(mails.join(&file)).expect("a mail"), &file);
    }
}

/// The headers that Herald writes.
const HEADERS: [&str; 11] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "reply-to",
    "auto-submitted",
];

/// Nothing in the mail that Herald did not put there; its lines end as a mail's do.
fn assert_harmless(mail: &[u8], what: &str) {
    let shown = String::from_utf8_lossy(mail);
    let lone = mail.iter().enumerate().any(|(i, byte)| match byte {
        b'\r' => mail.get(i + 1) != Some(&b'\n'),
        b'\n' => i == 0 || mail[i - 1] != b'\r',
        _ => false,
    });
    assert!(!lone, "{what}: a bare CR or LF:\n{shown}");
    let parsed = MessageParser::default().parse(mail).unwrap_or_else(|| panic!("{what} is no mail:\n{shown}"));
    let mut names: Vec<_> = parsed.headers().iter().map(|header| header.name().to_lowercase()).collect();
    for name in &names {
        assert!(HEADERS.contains(&name.as_str()), "{what}: a header {name}:\n{shown}");
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "{what}: a header twice:\n{shown}");
    assert_eq!(parsed.attachment_count(), 0, "{what}:\n{shown}");
    assert!(parsed.parts.iter().all(|part| part.attachment_name().is_none()));
}

/// Through ReviewEmails into the mail: a subject is shown as it was written, whatever a mail program might read out of it, and
/// neither it nor the text makes a header.
#[tokio::test]
async fn what_a_reviewer_writes_makes_no_header_and_is_shown_as_it_is() {
    let subjects = [
        "=?utf-8?q?a=0D=0ABcc:_x@y.example?=",
        "=?utf-8?B?YQ0KQmNjOiB4QHkuZXhhbXBsZQ==?=",
        "plain =?iso-8859-1?q?=E4?= =?utf-8?q?=0A?= and more",
        "=?utf-8?q?open",
        "?= =? ü =?utf-8?q?b?=",
        "a: b; c=\"d\" <x@y.example>, \u{202e}turned",
    ];
    let bodies = [
        "one\rtwo",
        "\r\rBcc: x@y.example\r\r",
        "a\r\n\r\n.\r\nb\n.\nc",
        "From x\n--\n",
        "=?utf-8?q?a?=\u{2028}b",
        "x",
    ];
    let website = site::pages([("/", site::html("<title>Acme</title><h1>Acme tools</h1>"))]).await;
    let target = Target::start(&[]).await;
    let mut api = target.user("attacker").await;
    add_prospects(&mut api, subjects.len()).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    let emails = api.workflow.list_workflow_emails(pb::ListWorkflowEmailsRequest::default()).await.expect("e-mails");
    let emails = emails.into_inner().emails;
    assert_eq!(emails.len(), subjects.len());
    for ((email, subject), body) in emails.iter().zip(subjects).zip(bodies) {
        let review = pb::EmailReview {
            email_id: email.id.clone(),
            decision: pb::ReviewDecision::Approve.into(),
            subject: Some(subject.to_owned()),
            body: Some(body.to_owned()),
        };
        let request = pb::ReviewEmailsRequest { reviews: vec![review], ..Default::default() };
        api.workflow.review_emails(request).await.unwrap_or_else(|status| panic!("{subject:?} {body:?}: {status}"));
    }
    reaches(&mut api, CampaignState::Completed).await;
    for ((email, subject), body) in emails.iter().zip(subjects).zip(bodies) {
        let file = outbox(target.data.path(), "attacker").join(format!("{}.eml", email.id));
        let mail = std::fs::read(&file).expect("it was sent");
        assert_harmless(&mail, subject);
        let parsed = MessageParser::default().parse(&mail).expect("a mail");
        let shown = String::from_utf8_lossy(&mail);
        let stored = api.agent.get_email(pb::GetEmailRequest { email_id: email.id.clone() }).await.expect("an e-mail");
        let stored = stored.into_inner().email.expect("an e-mail");
        assert_eq!(fault(&stored.subject).or(fault(&stored.body)), None, "{stored:?}");
        assert!(stored.subject.starts_with(subject.trim()), "{subject:?} became {:?}", stored.subject);
        assert_eq!(parsed.subject(), Some(stored.subject.as_str()), "{subject:?}:\n{shown}");
        let text = parsed.body_text(0).expect("a text").replace("\r\n", "\n");
        assert_eq!(text.trim_end(), stored.body.trim_end(), "{body:?}:\n{shown}");
    }
}

/// Whatever a website says, a campaign and its mails are harmless.
#[tokio::test]
async fn what_a_website_says_makes_no_header() {
    let odd = "<title>Acme =?utf-8?q?=0D=0ABcc:_x@y.example?=</title><meta property=og:site_name content='Acme&#13;&#10;Bcc: \
               x@y.example&#13;'><h1>Acme&#13;Bcc: x@y.example</h1><p>We make\u{202e} tools &#x1b;[2J for makers.</p>";
    let website = site::pages([("/", site::html(odd))]).await;
    let target = Target::start(&[]).await;
    let mut api = target.user("attacker").await;
    add_prospects(&mut api, 2).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::Completed).await;
    let mails = outbox(target.data.path(), "attacker");
    let files = eml_files(&mails);
    assert_eq!(files.len(), 2);
    for file in files {
        assert_harmless(&std::fs::read(mails.join(&file)).expect("a mail"), &file);
    }
}
