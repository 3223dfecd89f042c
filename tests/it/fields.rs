//! Field by field, by the descriptors: what a wrong value is told, what an update changes, and that each value of an enum comes
//! back as it was sent.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value as Sent};
use serde_json::{Value, json};
use tonic_types::StatusExt as _;

use crate::golden::golden;
use crate::support::rpc::{self, Asking, Rpc};
use crate::support::{TEMPLATE, TestApp};

/// What no field of the kind takes.
fn wrong(field: &FieldDescriptor) -> Vec<(&'static str, Sent)> {
    match field.kind() {
        Kind::String => vec![
            ("a control character", Sent::String("\u{7}".to_owned())),
            ("70,000 letters", Sent::String("x".repeat(70_000))),
        ],
        Kind::Int32 => vec![("-1", Sent::I32(-1)), ("2147483647", Sent::I32(i32::MAX))],
        Kind::Int64 => vec![("-1", Sent::I64(-1))],
        Kind::Enum(_) => vec![("99", Sent::EnumNumber(99))],
        _ => vec![],
    }
}

/// The message with the value at the path, in the first element of lists.
fn with(message: &mut DynamicMessage, path: &str, value: Sent) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.descriptor().get_field_by_name(name).expect("a field");
    let Some(rest) = rest else {
        return message.set_field(&field, if field.is_list() { Sent::List(vec![value]) } else { value });
    };
    let Kind::Message(inner) = field.kind() else { panic!("{path} goes on below a value") };
    let kept = message.get_field(&field).into_owned();
    let kept = if let Sent::List(items) = kept { items.into_iter().next() } else { Some(kept) };
    let mut inside = match kept {
        Some(Sent::Message(inside)) => inside,
        _ => DynamicMessage::new(inner),
    };
    with(&mut inside, rest, value);
    let inside = Sent::Message(inside);
    message.set_field(&field, if field.is_list() { Sent::List(vec![inside]) } else { inside });
}

async fn told(rpc: &Rpc, tenant: &Asking, message: DynamicMessage) -> String {
    let Err(status) = rpc.call(&tenant.channel, &tenant.headers, message).await else { return "taken".to_owned() };
    let details = status.get_error_details();
    let mut told = format!("{:?} {}", status.code(), details.error_info().map_or("", |info| info.reason.as_str()));
    for violation in details.bad_request().map_or(&[][..], |bad| &bad.field_violations) {
        write!(told, " {}: {}", violation.field, violation.description).expect("a text");
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_value_in_any_field_is_told_with_the_field() {
    let app = TestApp::start().await;
    let tenant = Asking::of(&app, "user_a").await;
    let id = |_: &str, noun: herald::pb::Noun| match noun {
        herald::pb::Noun::Prospect => "pr_00000000000000000000000000000001".to_owned(),
        herald::pb::Noun::Email => "em_00000000000000000000000000000001".to_owned(),
        herald::pb::Noun::Campaign => "cp_00000000000000000000000000000001".to_owned(),
        herald::pb::Noun::Strategy => "ms_00000000000000000000000000000001".to_owned(),
        _ => TEMPLATE.to_owned(),
    };
    let mut text = String::new();
    for rpc in rpc::rpcs() {
        let mut fields = Vec::new();
        rpc::each_field(&rpc.descriptor.input(), "", &mut |path, field| fields.push((path.to_owned(), field.clone())));
        for (path, field) in fields {
            for (what, value) in wrong(&field) {
                let mut message = rpc::filled(&rpc.descriptor.input(), &id);
                with(&mut message, &path, value);
                let told = told(&rpc, &tenant, message).await;
                writeln!(text, "{} {path} = {what}: {told}", rpc.name()).expect("a text");
            }
        }
    }
    golden("refusals.txt", &text);
}

/// The paths of what is set, as masks name them; lists and open structures are one value.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    const WHOLE: [&str; 2] = ["templateData", "controls.workingHours"];
    match value {
        Value::Object(fields) if !WHOLE.contains(&path) => {
            for (name, value) in fields {
                leaves(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

/// An object with this one value.
fn alone(path: &str, value: &Value) -> Value {
    path.rsplit('.').fold(value.clone(), |inner, name| json!({ (name): inner }))
}

/// Sends each value of `other` by itself, first with a mask and then without one, onto what has `first`; `update` gives what
/// is there afterwards.
async fn each_alone(first: &Value, other: &Value, mut update: impl AsyncFnMut(Value, Option<&str>) -> Value) {
    let mut paths = Vec::new();
    leaves(other, "", &mut paths);
    for path in &paths {
        for mask in [Some(path.as_str()), None] {
            let before = update(first.clone(), Some("*")).await;
            let value = other.pointer(&pointer(path)).expect("set");
            let after = update(alone(path, value), mask).await;
            let mut expected = before.clone();
            for part in 1..path.split('.').count() {
                let parent: Vec<_> = path.split('.').take(part).collect();
                let parent = expected.pointer_mut(&pointer(&parent.join("."))).map(|_| ());
                assert!(parent.is_some(), "{path}: the first values have what is around it");
            }
            let (around, name) = path.rsplit_once('.').unwrap_or(("", path));
            let around =
                if around.is_empty() { &mut expected } else { expected.pointer_mut(&pointer(around)).expect("there") };
            around[name] = value.clone();
            assert_ne!(expected, before, "{path} has another value");
            assert_eq!(after, expected, "{path}, with the mask {mask:?}");
        }
    }
}

/// Without what changes by itself.
fn settled(mut value: Value) -> Value {
    for name in ["etag", "createTime", "updateTime"] {
        value.as_object_mut().expect("an object").remove(name);
    }
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_the_configuration_changes_what_it_names_and_nothing_else() {
    let app = TestApp::start().await;
    let tenant = Asking::of(&app, "user_a").await;
    let first = json!({
        "targetWebsite": "https://one.example/", "goal": "CAMPAIGN_GOAL_PARTNERSHIPS", "goalDetail": "one",
        "sender": { "name": "One", "position": "One", "company": "One",
                    "unsubscribeEmail": "stop@one.example" },
        "industries": ["one"], "roles": ["one"], "keywords": ["one"], "location": "one", "templateId": "modern_tech",
        "audienceType": "one", "companySize": "one", "businessType": "one", "templateData": { "one": 1 },
        "websiteAnalysis": { "businessName": "One", "logoUrl": "https://one.example/1.png", "introduction": "one",
                             "productType": "one", "sellingPoints": ["one"], "audiences": [{ "title": "one" }],
                             "language": "en", "industry": "one", "benchmarkBrands": ["one"] },
        "controls": {}
    });
    let other = json!({
        "targetWebsite": "https://two.example/", "goal": "CAMPAIGN_GOAL_PRESS", "goalDetail": "two",
        "sender": { "name": "Two", "position": "Two", "company": "Two",
                    "unsubscribeEmail": "stop@two.example" },
        "industries": ["two"], "roles": ["two"], "keywords": ["two"], "location": "two", "templateId": "product_launch",
        "audienceType": "two", "companySize": "two", "businessType": "two", "templateData": { "two": { "2": [null, 2.5, "x"] } },
        "autoApprove": true, "setupComplete": true,
        "websiteAnalysis": { "businessName": "Two", "logoUrl": "https://two.example/2.png", "introduction": "two",
                             "productType": "two", "sellingPoints": ["two"],
                             "audiences": [{ "title": "two", "description": "second" }],
                             "language": "de", "industry": "two", "benchmarkBrands": ["two"] },
        "controls": { "autoReply": true, "pauseOnError": true }
    });
    each_alone(&first, &other, async |config, mask| {
        let answer = tenant.ask("UpdateAgentConfig", masked("config", config, mask)).await;
        settled(answer["config"].clone())
    })
    .await;
}

/// A request with a resource and, unless there is none, the mask.
fn masked(name: &str, value: Value, mask: Option<&str>) -> Value {
    let mut request = json!({ (name): value });
    if let Some(mask) = mask {
        request["updateMask"] = mask.into();
    }
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_a_prospect_changes_what_it_names_and_nothing_else() {
    let app = TestApp::start().await;
    let tenant = Asking::of(&app, "user_a").await;
    let created = tenant.ask("BatchCreateProspects", json!({ "prospects": [{ "email": "one@one.example" }] })).await;
    let id = &created["results"][0]["prospectId"];
    let row = |n: &str, number: i64, status: &str, engaged: bool| {
        json!({ "email": format!("{n}@{n}.example"), "company": n, "contactName": n, "position": n, "industry": n, "location": n,
            "businessSize": n, "source": n, "sourceUrl": format!("https://{n}.example/"), "notes": n, "tags": [n],
            "language": if number == 1 { "en" } else { "de" },
            "timeZone": if number == 1 { "Europe/Berlin" } else { "Asia/Tokyo" }, "status": format!("PROSPECT_STATUS_{status}"),
            "conversionProbability": number, "priorityScore": number, "nextAction": n, "potentialInterest": n,
            "discoveryContext": n, "autoReplyEnabled": engaged })
    };
    let (first, mut other) = (row("one", 1, "DISCOVERED", true), row("two", 2, "CONTACTED", false));
    other["manualIntervention"] = true.into();
    each_alone(&first, &other, async |mut prospect, mask| {
        prospect["id"] = id.clone();
        let answer = tenant.ask("UpdateProspect", masked("prospect", prospect, mask)).await;
        let mut found = settled(answer["prospect"].clone());
        // It follows from the status.
        found.as_object_mut().expect("an object").remove("engagement");
        found
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_value_of_an_enum_comes_back_and_filters() {
    let app = TestApp::start().await;
    let tenant = Asking::of(&app, "user_a").await;
    let values = |name: &str| -> Vec<String> {
        let kind = rpc::pool().get_enum_by_name(&format!("herald.v1.{name}")).expect("an enum of ours");
        kind.values().filter(|value| value.number() != 0).map(|value| value.name().to_owned()).collect()
    };
    for value in values("CampaignGoal") {
        let answer = tenant.ask("UpdateAgentConfig", json!({ "config": { "goal": value } })).await;
        assert_eq!(answer["config"]["goal"], json!(value));
    }
    let mut seen = BTreeSet::new();
    for (n, value) in values("SuppressionReason").into_iter().enumerate() {
        let email = format!("{n}@never.example");
        let row = json!([{ "email": email, "reason": value }]);
        tenant.ask("AddSuppressions", json!({ "suppressions": row })).await;
        let by_reason = tenant.ask("ListSuppressions", json!({ "reason": value })).await;
        let by_address = tenant.ask("ListSuppressions", json!({ "email": email, "reason": value })).await;
        let neither = tenant
            .ask("ListSuppressions", json!({ "email": "0@never.example", "reason": "SUPPRESSION_REASON_REFUSED" }))
            .await;
        for found in [&by_reason, &by_address] {
            assert_eq!(found["suppressions"][0]["email"], email.as_str(), "{value}: {found}");
            assert_eq!(found["suppressions"].as_array().map(Vec::len), Some(1), "{value}: {found}");
        }
        assert_eq!(neither, json!({}));
        seen.insert(value);
    }
    assert!(seen.len() > 4);
    for status in values("ProspectStatus") {
        let rows = json!([{ "email": format!("{}@row.example", status.to_lowercase()), "status": status }]);
        tenant.ask("BatchCreateProspects", json!({ "prospects": rows })).await;
        let found = tenant.ask("ListProspects", json!({ "status": status })).await;
        assert_eq!(found["prospects"][0]["status"], status.as_str());
        assert_eq!(found["prospects"].as_array().map(Vec::len), Some(1), "{status}: {found}");
    }
    let found = tenant.ask("ListProspects", json!({ "pageSize": 1 })).await;
    for intent in values("ReplyIntent") {
        let reply = json!({ "prospectId": found["prospects"][0]["id"], "body": "Hello", "intent": intent });
        assert_eq!(tenant.ask("RecordReply", reply).await["reply"]["intent"], intent.as_str());
    }
}
