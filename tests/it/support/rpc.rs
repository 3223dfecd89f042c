//! Calls of any RPC, made from the descriptors alone: what the isolation suites use, so that a new RPC is covered without
//! a line about it here.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use herald::pb;
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, SerializeOptions, Value,
};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Extensions, Request, Status, Streaming};

use super::TestApp;

/// An RPC of ours.
#[derive(Clone)]
pub struct Rpc {
    pub descriptor: MethodDescriptor,
    pub access: pb::Access,
}

pub fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(pb::DESCRIPTORS).expect("our descriptors"))
}

/// Every RPC of ours, in the order of the protos.
pub fn rpcs() -> Vec<Rpc> {
    let services = pool().services().filter(|service| service.package_name() == "herald.v1");
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).map(Rpc::new).collect()
}

/// What the id in this field names, if it is one.
pub fn names(field: &FieldDescriptor) -> Option<pb::Noun> {
    match extension(&field.options(), "herald.v1.names")? {
        Value::EnumNumber(number) => Some(pb::Noun::try_from(number).expect("a noun")),
        other => panic!("{other:?}"),
    }
}

/// The field's example, if it has one.
pub fn example(field: &FieldDescriptor) -> Option<String> {
    match extension(&field.options(), "herald.v1.example")? {
        Value::String(text) => Some(text),
        other => panic!("{other:?}"),
    }
}

fn extension(options: &DynamicMessage, name: &str) -> Option<Value> {
    let extension = pool().get_extension_by_name(name).expect("our option");
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}

/// A message in protobuf's JSON, fields with default values left out.
pub fn json(message: &DynamicMessage) -> serde_json::Value {
    let options = SerializeOptions::new();
    message.serialize_with_options(serde_json::value::Serializer, &options).expect("JSON")
}

/// Every string in a message, with its field.
pub fn strings(message: &DynamicMessage, found: &mut dyn FnMut(&FieldDescriptor, &str)) {
    for (field, value) in message.fields() {
        let values = match value {
            Value::List(values) => values.iter().collect(),
            Value::Map(values) => values.values().collect(),
            single => vec![single],
        };
        for value in values {
            match value {
                Value::String(text) => found(&field, text),
                Value::Message(inner) => strings(inner, found),
                _ => {}
            }
        }
    }
}

/// The fields of a request that hold ids, with what they name, however deep; of a oneof the first alone, as `filled` has it.
pub fn id_fields(message: &MessageDescriptor) -> Vec<(String, pb::Noun)> {
    let mut found = Vec::new();
    for field in message.fields().filter(is_filled) {
        found.extend(names(&field).map(|noun| (field.name().to_owned(), noun)));
        if let Kind::Message(inner) = field.kind()
            && inner.package_name() == "herald.v1"
        {
            let inner = id_fields(&inner).into_iter();
            found.extend(inner.map(|(path, noun)| (format!("{}.{path}", field.name()), noun)));
        }
    }
    found
}

fn is_filled(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_none_or(|oneof| oneof.fields().next().as_ref() == Some(field))
}

/// Every field of a message and of those inside it, by its path.
pub fn each_field(message: &MessageDescriptor, prefix: &str, found: &mut dyn FnMut(&str, &FieldDescriptor)) {
    for field in message.fields() {
        let path = format!("{prefix}{}", field.name());
        found(&path, &field);
        if let Kind::Message(inner) = field.kind()
            && inner.package_name() == "herald.v1"
        {
            each_field(&inner, &format!("{path}."), found);
        }
    }
}

/// A request that is well formed: ids by `id` (which is given the field's path), examples, the first value of enums, and
/// of a oneof the first field.
pub fn filled(message: &MessageDescriptor, id: &dyn Fn(&str, pb::Noun) -> String) -> DynamicMessage {
    fill(message, "", id).unwrap_or_else(|| DynamicMessage::new(message.clone()))
}

/// None if there is nothing to fill in.
fn fill(message: &MessageDescriptor, prefix: &str, id: &dyn Fn(&str, pb::Noun) -> String) -> Option<DynamicMessage> {
    let mut filled = DynamicMessage::new(message.clone());
    let mut marked = false;
    for field in message.fields() {
        if !is_filled(&field) {
            continue;
        }
        let path = format!("{prefix}{}", field.name());
        let value = if let Some(noun) = names(&field) {
            marked = true;
            Some(Value::String(id(&path, noun)))
        } else if let Some(text) = example(&field) {
            marked = true;
            Some(parsed(&field, &text))
        } else {
            match field.kind() {
                // A list of them filters; without any, everything is let through.
                Kind::Enum(_) if field.is_list() => None,
                Kind::Enum(kind) => {
                    kind.values().find(|value| value.number() != 0).map(|v| Value::EnumNumber(v.number()))
                }
                Kind::Message(inner) if inner.package_name() == "herald.v1" => {
                    let inner = fill(&inner, &format!("{path}."), id);
                    marked |= inner.is_some();
                    inner.map(Value::Message)
                }
                _ => None,
            }
        };
        if let Some(value) = value {
            filled.set_field(&field, if field.is_list() { Value::List(vec![value]) } else { value });
        }
    }
    (marked || message.fields().all(|field| matches!(field.kind(), Kind::Enum(_)))).then_some(filled)
}

fn parsed(field: &FieldDescriptor, text: &str) -> Value {
    match field.kind() {
        Kind::String => Value::String(text.to_owned()),
        Kind::Int32 => Value::I32(text.parse().expect("an example that fits")),
        Kind::Int64 => Value::I64(text.parse().expect("an example that fits")),
        Kind::Message(inner) => {
            let mut json = serde_json::Deserializer::from_str(text);
            Value::Message(DynamicMessage::deserialize(inner, &mut json).expect("an example in JSON"))
        }
        other => panic!("no examples of {other:?}"),
    }
}

// === impl Rpc ===

impl Rpc {
    fn new(descriptor: MethodDescriptor) -> Self {
        let Some(Value::EnumNumber(access)) = extension(&descriptor.options(), "herald.v1.access") else {
            panic!("{}: add `option (access) = ACCESS_…;` to it in its proto", descriptor.full_name());
        };
        Self { descriptor, access: pb::Access::try_from(access).expect("an access") }
    }

    /// Such as `AgentService/GetProspect`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.descriptor.parent_service().name(), self.descriptor.name())
    }

    /// Whether it takes something away or ends something, so that it is tried last.
    pub fn is_destructive(&self) -> bool {
        ["Delete", "Remove", "Reset", "Cancel", "Pause"].iter().any(|verb| self.descriptor.name().starts_with(verb))
    }

    /// Whether the id field says nothing: of a thing that is made.
    pub fn ignores(&self, field: &str) -> bool {
        self.is_create() && field.ends_with(".id")
    }

    /// Whether it only reads, as its option says.
    pub fn is_read(&self) -> bool {
        let options = self.descriptor.method_descriptor_proto().options.as_ref();
        options.is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects)
    }

    /// Whether it makes what its request holds; the id in there is then ignored (AIP-133).
    pub fn is_create(&self) -> bool {
        ["Create", "BatchCreate", "Add"].iter().any(|verb| self.descriptor.name().starts_with(verb))
    }

    pub fn is_stream(&self) -> bool {
        self.descriptor.is_server_streaming()
    }

    /// Opens the call; the answers come one by one.
    pub async fn open(
        &self,
        channel: &Channel,
        headers: &MetadataMap,
        message: DynamicMessage,
    ) -> Result<Streaming<DynamicMessage>, Status> {
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(64 * 1024 * 1024);
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let service = self.descriptor.parent_service();
        let path =
            PathAndQuery::try_from(format!("/{}/{}", service.full_name(), self.descriptor.name())).expect("a path");
        let request = Request::from_parts(headers.clone(), Extensions::new(), message);
        let answer = grpc.server_streaming(request, path, Dynamic { output: self.descriptor.output() }).await?;
        Ok(answer.into_inner())
    }

    /// The one answer, or the first of a stream; None if a stream has ended without any.
    pub async fn call(
        &self,
        channel: &Channel,
        headers: &MetadataMap,
        message: DynamicMessage,
    ) -> Result<Option<DynamicMessage>, Status> {
        let mut answers = self.open(channel, headers, message).await?;
        let answer = answers.message().await?;
        if !self.is_stream() {
            // The status comes after the message.
            assert!(answers.message().await?.is_none(), "one answer to a unary call");
        }
        Ok(answer)
    }
}

/// A development user that asks in JSON.
pub struct Asking {
    pub channel: Channel,
    pub headers: MetadataMap,
}

impl Asking {
    pub async fn of(app: &TestApp, user: &str) -> Self {
        Self { channel: app.channel().await, headers: headers(&[("x-user-id", user)]) }
    }

    /// All answers of a method such as `GetProspect`, which are one for all but streams, with the message that they are.
    pub async fn all(&self, method: &str, request: serde_json::Value) -> (MessageDescriptor, Vec<serde_json::Value>) {
        let rpc = rpcs().into_iter().find(|rpc| rpc.descriptor.name() == method).expect("a method of ours");
        let request = DynamicMessage::deserialize(rpc.descriptor.input(), request).expect("a request");
        let mut stream = rpc.open(&self.channel, &self.headers, request).await.expect(method);
        let mut answers = Vec::new();
        while let Some(answer) = stream.message().await.expect(method) {
            answers.push(json(&answer));
        }
        (rpc.descriptor.output(), answers)
    }

    /// The one answer.
    pub async fn ask(&self, method: &str, request: serde_json::Value) -> serde_json::Value {
        self.all(method, request).await.1.into_iter().next().expect("an answer")
    }
}

/// The headers of a call.
pub fn headers(pairs: &[(&'static str, &str)]) -> MetadataMap {
    let mut map = MetadataMap::new();
    for (name, value) in pairs {
        map.append(*name, value.parse().expect("a header value"));
    }
    map
}

/// What a refusal tells, all of it: code, message, details and trailers, but for the date and the id of the call.
pub fn told(status: &Status) -> BTreeMap<String, Vec<u8>> {
    let mut told = BTreeMap::from([
        ("code".to_owned(), format!("{:?}", status.code()).into_bytes()),
        ("message".to_owned(), status.message().as_bytes().to_vec()),
        ("details".to_owned(), status.details().to_vec()),
    ]);
    for (name, value) in status.metadata().as_ref() {
        if name != "date" && name != "x-request-id" {
            told.insert(format!("header {name}"), value.as_bytes().to_vec());
        }
    }
    told
}

/// Messages known by their descriptor alone.
struct Dynamic {
    output: MessageDescriptor,
}

struct DynamicDecoder(MessageDescriptor);
struct DynamicEncoder;

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicDecoder {
        DynamicDecoder(self.output.clone())
    }
}

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), buffer);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
