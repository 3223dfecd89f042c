//! Messages that are as large as they may be, and fields that hold one element more than they may: made from the
//! descriptors, in the bytes of the wire, so that what no client would send is sent too.

use std::collections::BTreeSet;
use std::time::Duration;

use herald::pb;
use herald::wire::Shapes;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use tonic::{Code, Status};

use super::{Target, call_bytes, call_web, reason_of, violations};
use crate::support::rpc::{Rpc, headers, pool, rpcs};
use crate::support::{deep, reason};

/// The largest message that is read.
const LARGEST: usize = 4 << 20;

/// The fields that lead to one, from a message's own on. No message type is entered within itself.
pub(super) type Place = Vec<FieldDescriptor>;

/// A message of one RPC.
struct Case {
    path: String,
    /// The field and what is done to it.
    name: String,
    bytes: Vec<u8>,
}

/// A field that may hold so many elements and no more.
struct Limit {
    path: String,
    /// As a violation names it.
    field: String,
    most: usize,
    /// Where its elements are.
    place: Place,
}

/// Every field of a message and of those inside it.
pub(super) fn places(message: &MessageDescriptor) -> Vec<Place> {
    let mut found = Vec::new();
    gather(message, &mut Vec::new(), &mut BTreeSet::new(), &mut found);
    found
}

fn gather(message: &MessageDescriptor, above: &mut Place, within: &mut BTreeSet<String>, found: &mut Vec<Place>) {
    if !within.insert(message.full_name().to_owned()) {
        return;
    }
    for field in message.fields() {
        above.push(field.clone());
        found.push(above.clone());
        if let Kind::Message(inner) = field.kind() {
            gather(&inner, above, within, found);
        }
        above.pop();
    }
    within.remove(message.full_name());
}

/// As a violation names it: the first element of what is repeated, and nothing of what is inside a well-known type. `last`:
/// also the first element of the field itself.
pub(super) fn name(place: &Place, last: bool) -> String {
    let mut name = String::new();
    for (i, field) in place.iter().enumerate() {
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(field.name());
        if is_many(field) && (last || i + 1 < place.len()) {
            name.push_str("[0]");
        }
        if is_well_known(field) {
            break;
        }
    }
    name
}

pub(super) fn is_many(field: &FieldDescriptor) -> bool {
    field.is_list() || field.is_map()
}

/// Whether its elements are counted together, at any depth.
fn is_well_known(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(message) if message.package_name() == "google.protobuf" && message.fields().any(|f| {
        is_many(&f) || matches!(f.kind(), Kind::Message(_))
    }))
}

/// One of our options, as the pool of the field has it.
fn option(field: &FieldDescriptor, name: &str) -> Option<Value> {
    let extension = field.parent_pool().get_extension_by_name(name).expect("our option");
    let options = field.options();
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}

/// Whether its texts, or those of a field around it, are the caller's own business.
pub(super) fn is_opaque(place: &[FieldDescriptor]) -> bool {
    place.iter().any(|field| option(field, "herald.v1.opaque") == Some(Value::Bool(true)))
}

fn path(rpc: &Rpc) -> String {
    format!("/{}/{}", rpc.descriptor.parent_service().full_name(), rpc.descriptor.name())
}

// === the wire ===

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field with bytes in it.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 12);
    varint(u64::from(number) << 3 | 2, &mut out);
    varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// A message in which this is the content of what the place leads to.
fn wrap(place: &[FieldDescriptor], content: Vec<u8>) -> Vec<u8> {
    place.iter().rev().fold(content, |inner, step| field(step.number(), &inner))
}

/// As often as it fits.
fn repeated(piece: &[u8], size: usize) -> Vec<u8> {
    piece.repeat(size / piece.len())
}

/// The number of a field that no message has, and one of it: a varint.
const UNKNOWN: u32 = 1_000;
const UNKNOWN_FIELD: [u8; 3] = [0xc0, 0x3e, 0];
/// The beginning of a group of that number, which never ends.
const UNKNOWN_GROUP: [u8; 2] = [0xc3, 0x3e];

/// What can be done to a field with a message of that size; with the name of what is done.
fn largest(place: &Place, size: usize) -> Vec<(&'static str, Vec<u8>)> {
    // What is around it, for contents of any size.
    let room = size - 12 * place.len();
    let (last, around) = place.split_last().expect("a field");
    let mut made = Vec::new();
    if let (true, Kind::Int32 | Kind::Int64 | Kind::Bool | Kind::Enum(_)) = (last.is_list(), last.kind()) {
        made.push(("packed zeros", wrap(place, vec![0; room])));
        return made;
    }
    let is_message = matches!(last.kind(), Kind::Message(_));
    if !is_message && !matches!(last.kind(), Kind::String | Kind::Bytes) {
        return made;
    }
    let one: &[u8] = if is_message { &UNKNOWN_FIELD } else { b"a" };
    if is_message || last.is_list() {
        made.push(("empty elements, each in pieces of its own", repeated(&wrap(place, Vec::new()), size)));
        if !around.is_empty() {
            let together = |one: &[u8]| wrap(around, repeated(&field(last.number(), one), room));
            made.push(("empty elements", together(&[])));
        }
        let together = wrap(around, repeated(&field(last.number(), one), room));
        made.push(("elements of one byte or one unknown field", together));
    }
    match last.kind() {
        Kind::Message(message) => {
            let mut cycle = Vec::new();
            if leads_to_itself(&message, &message, &mut cycle, &mut BTreeSet::new()) {
                let nested = |times| (0..times).fold(Vec::new(), |inner, _| wrap(&cycle, inner));
                made.push(("as deep as is read, again and again", repeated(&wrap(place, nested(40)), size)));
                made.push(("too deep", wrap(place, nested(2_000))));
            }
        }
        _ => made.push(("one text of all bytes", wrap(place, vec![b'a'; room]))),
    }
    made
}

/// The fields that lead from a message to another of its kind.
fn leads_to_itself(
    from: &MessageDescriptor,
    to: &MessageDescriptor,
    way: &mut Place,
    seen: &mut BTreeSet<String>,
) -> bool {
    from.fields().any(|field| {
        let Kind::Message(inner) = field.kind() else { return false };
        way.push(field);
        let there =
            inner == *to || (seen.insert(inner.full_name().to_owned()) && leads_to_itself(&inner, to, way, seen));
        if !there {
            way.pop();
        }
        there
    })
}

/// The largest messages of an RPC. `seen`: the fields that were there before, which are left out.
fn cases(rpc: &Rpc, seen: &mut BTreeSet<String>) -> Vec<Case> {
    let path = path(rpc);
    let case = |name: String, bytes| Case { path: path.clone(), name, bytes };
    let mut cases = vec![case("an unknown text".to_owned(), field(UNKNOWN, &vec![b'a'; LARGEST - 8]))];
    if deep() || seen.is_empty() {
        cases.push(case("unknown fields".to_owned(), repeated(&UNKNOWN_FIELD, LARGEST)));
        cases.push(case("unknown groups that never end".to_owned(), repeated(&UNKNOWN_GROUP, LARGEST)));
    }
    let mut texts = Vec::new();
    for place in places(&rpc.descriptor.input()) {
        let last = place.last().expect("a field");
        // How deep a field stands matters where elements are counted; to a message that is sent in pieces its kind.
        let known = match last.kind() {
            _ if is_many(last) => name(&place, false),
            Kind::Message(kind) => kind.full_name().to_owned(),
            _ => last.full_name().to_owned(),
        };
        if !seen.insert(known) && !deep() {
            continue;
        }
        if matches!(last.kind(), Kind::String | Kind::Bytes) && !is_many(last) && !deep() {
            texts.push(place);
            continue;
        }
        for (what, bytes) in largest(&place, LARGEST) {
            cases.push(case(format!("{}: {what}", name(&place, false)), bytes));
        }
    }
    // All of them share one message, but in the deep run.
    if !texts.is_empty() {
        let each = LARGEST / texts.len();
        let shares: Vec<_> = texts.iter().map(|place| wrap(place, vec![b'a'; each - 12 * place.len()])).collect();
        let names: Vec<_> = texts.iter().map(|place| name(place, false)).collect();
        cases.push(case(format!("{}: texts of {each} bytes", names.join(", ")), shares.concat()));
    }
    cases
}

// === limits ===

/// Every field of the request that the protos bound, once for each way to have elements in it.
fn limits(path: &str, message: &MessageDescriptor) -> Vec<Limit> {
    let mut limits = Vec::new();
    for place in places(message) {
        let bounded =
            place.iter().position(|field| option(field, "herald.v1.max_elements").is_some() && is_well_known(field));
        let last = place.last().expect("a field");
        let of = match bounded {
            // Elements of a well-known type count together, wherever they stand in it.
            Some(at) if at + 1 < place.len() && is_many(last) => &place[at],
            None if is_many(last) && !place[..place.len() - 1].iter().any(is_well_known) => last,
            _ => continue,
        };
        let Some(Value::U32(most)) = option(of, "herald.v1.max_elements") else { continue };
        let field = name(&place, false);
        limits.push(Limit { path: path.to_owned(), field, most: most as usize, place });
    }
    limits
}

impl Limit {
    /// A message with so many elements in the field; inside a well-known type those on the way there are of them.
    fn with(&self, count: usize) -> Vec<u8> {
        let (last, around) = self.place.split_last().expect("a field");
        let known = around.iter().position(is_well_known).map_or(around.len(), |at| at + 1);
        let on_the_way = around[known..].iter().filter(|field| is_many(field)).count();
        // Numbers are packed: without any in it, an occurrence of the field holds no element.
        let element: &[u8] = if matches!(last.kind(), Kind::Enum(_) | Kind::Int32 | Kind::Int64) { &[1] } else { &[] };
        wrap(around, field(last.number(), element).repeat(count - on_the_way))
    }

    /// Whether the refusal is that there are too many.
    fn is_named(&self, status: &Status) -> bool {
        let words = format!("at most {} elements", self.most);
        violations(status).iter().any(|(field, said)| *field == self.field && said.contains(&words))
    }
}

// === cases ===

/// Whatever fills a message, the answer is one that a program can read; the server grows by no more than the budget of
/// requests allows, and nobody else waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_messages_of_every_rpc_are_answered_and_take_no_memory() {
    let mut target = Target::start(&[]).await;
    let channel = target.channel().await;
    let headers = headers(&[("x-user-id", "attacker")]);
    let web = reqwest::Client::builder().http1_only().timeout(Duration::from_secs(60)).build().expect("a client");
    let bystander = target.bystander().await;
    let memory = target.memory();
    let mut seen = BTreeSet::new();
    let (mut count, mut refused, mut peak) = (0, 0, 0);
    for rpc in rpcs() {
        for case in cases(&rpc, &mut seen) {
            assert!(case.bytes.len() <= LARGEST, "{} {}", case.path, case.name);
            count += 1;
            let answer = if deep() {
                call_bytes(&channel, &headers, &case.path, case.bytes).await
            } else {
                call_web(&web, &target.server.address, &case.path, &case.bytes).await
            };
            let grown = memory.peak();
            if grown > peak + (8 << 20) {
                println!("{} MiB more after {} {}", grown >> 20, case.path, case.name);
                peak = grown;
            }
            let Err(status) = answer else { continue };
            refused += 1;
            let expected = [
                Code::InvalidArgument,
                Code::NotFound,
                Code::FailedPrecondition,
                Code::ResourceExhausted,
                Code::Aborted,
                Code::AlreadyExists,
            ];
            let told = reason_of(&status);
            assert!(expected.contains(&status.code()), "{} {}: {status:?}", case.path, case.name);
            assert!(told.is_some(), "{} {}: no ErrorInfo in {status:?}", case.path, case.name);
        }
    }
    target.assert_alive();
    memory.assert_bounded(&format!("{count} messages of which {refused} were refused"));
    bystander.assert_served("the largest messages");
    assert!(count > 100 && refused > count / 2, "{refused} of {count} were refused");
}

/// One element less than the limit and as many as it are no reason to refuse; one more is, and the field is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_limit_of_the_protos_holds_at_one_below_at_and_one_above() {
    let mut target = Target::start(&[]).await;
    let channel = target.channel().await;
    let headers = headers(&[("x-user-id", "attacker")]);
    let mut count = 0;
    for rpc in rpcs() {
        for limit in limits(&path(&rpc), &rpc.descriptor.input()) {
            let what = format!("{} {} ({})", limit.path, limit.field, limit.most);
            for fits in [limit.most - 1, limit.most] {
                if let Err(status) = call_bytes(&channel, &headers, &limit.path, limit.with(fits)).await {
                    assert!(!limit.is_named(&status), "{what} with {fits}: {status:?}");
                    assert!(reason_of(&status).is_some(), "{what} with {fits}: {status:?}");
                }
            }
            let refused = call_bytes(&channel, &headers, &limit.path, limit.with(limit.most + 1)).await;
            let refused = refused.expect_err("one more than there may be");
            assert_eq!(
                (refused.code(), reason(&refused)),
                (Code::InvalidArgument, "FIELD_INVALID".to_owned()),
                "{what}"
            );
            assert!(limit.is_named(&refused), "{what}: {:?}", violations(&refused));
            count += 1;
        }
    }
    target.assert_alive();
    println!("{count} limits");
    assert!(count > 20, "{count} limits");
}

/// Nobody has to touch this suite for a field that is added to the protos: planted ones have their cases, and the server's
/// own check refuses one element too many of them.
#[test]
fn a_field_that_is_added_to_the_protos_has_its_cases() {
    let planted = planted();
    let with_plants = DescriptorPool::decode(planted.as_slice()).expect("descriptors");
    let shapes = Shapes::read(&planted).expect("every field has its limit");
    let path = "/herald.v1.AgentService/GetProspect";
    let message = |pool: &DescriptorPool| pool.get_message_by_name("herald.v1.GetProspectRequest").expect("a request");
    assert!(limits(path, &message(pool())).is_empty(), "it has none without the plants");
    let limits = limits(path, &message(&with_plants));
    let found: BTreeSet<_> = limits.iter().map(|limit| (limit.field.as_str(), limit.most)).collect();
    assert_eq!(found, [("planted", 7), ("planted_struct", 5)].into());
    for limit in &limits {
        assert!(shapes.check(path, &limit.with(limit.most)).is_ok(), "{}", limit.field);
        let refused = shapes.check(path, &limit.with(limit.most + 1)).expect_err("one too many");
        assert!(refused.to_string().starts_with(&limit.field), "{refused}");
    }
    let places = places(&message(&with_plants));
    let all = |field: &str| -> Vec<_> {
        let of_it = places.iter().filter(|place| place[0].name() == field);
        of_it.flat_map(|place| largest(place, 64 << 10)).collect()
    };
    assert_eq!(all("planted").len(), 3, "many empty, many of a byte, one text");
    assert_eq!(all("planted_text").len(), 1);
    assert!(all("planted_struct").len() > 10, "and at any depth");
    for (what, bytes) in ["planted", "planted_text", "planted_struct"].iter().flat_map(|field| all(field)) {
        assert!(bytes.len() <= 64 << 10, "{what}: {}", bytes.len());
    }
    let text = places.iter().find(|place| place[0].name() == "planted_text").expect("a text");
    let escape = wrap(text, b"a\x1bb".to_vec());
    let refused = shapes.check(path, &escape).expect_err("a control character");
    assert_eq!(refused.to_string(), format!("{} must not contain control characters", name(text, true)));
}

/// Our descriptors with more fields in one request.
fn planted() -> Vec<u8> {
    let own = |name: &str| pool().get_message_by_name(&format!("google.protobuf.{name}")).expect("descriptors' own");
    let mut set = DynamicMessage::decode(own("FileDescriptorSet"), pb::DESCRIPTORS).expect("our descriptors");
    let plant = |json: serde_json::Value| {
        Value::Message(DynamicMessage::deserialize(own("FieldDescriptorProto"), json).expect("a field"))
    };
    let plants = [
        plant(serde_json::json!({ "name": "planted", "number": 9001, "label": "LABEL_REPEATED", "type": "TYPE_STRING",
            "jsonName": "planted", "options": { "[herald.v1.max_elements]": 7 } })),
        plant(
            serde_json::json!({ "name": "planted_text", "number": 9002, "label": "LABEL_OPTIONAL", "type": "TYPE_STRING",
            "jsonName": "plantedText" }),
        ),
        plant(serde_json::json!({ "name": "planted_struct", "number": 9003, "label": "LABEL_OPTIONAL",
            "type": "TYPE_MESSAGE", "typeName": ".google.protobuf.Struct", "jsonName": "plantedStruct",
            "options": { "[herald.v1.max_elements]": 5 } })),
    ];
    for file in set.get_field_by_name_mut("file").and_then(Value::as_list_mut).expect("files") {
        let file = file.as_message_mut().expect("a file");
        for message in file.get_field_by_name_mut("message_type").and_then(Value::as_list_mut).expect("messages") {
            let message = message.as_message_mut().expect("a message");
            let name = message.get_field_by_name("name").and_then(|name| name.as_str().map(str::to_owned));
            if name.as_deref() == Some("GetProspectRequest") {
                let fields = message.get_field_by_name_mut("field").and_then(Value::as_list_mut).expect("fields");
                fields.extend(plants.iter().cloned());
            }
        }
    }
    set.encode_to_vec()
}
