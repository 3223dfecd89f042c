//! The protobuf types and services generated from `proto/`, and their descriptors.

#![expect(clippy::large_enum_variant, reason = "generated")]

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, MessageDescriptor, SerializeOptions};
use serde_json::Value;

tonic::include_proto!("herald.v1");

/// The encoded `FileDescriptorSet` of all protos, our own options included. Read by reflection and by the access policy.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The descriptor of a message of ours, by its full name.
pub fn descriptor(name: &str) -> Option<MessageDescriptor> {
    pool()?.get_message_by_name(name)
}

/// The descriptor of an enum of ours, by its full name.
pub fn enum_descriptor(name: &str) -> Option<EnumDescriptor> {
    pool()?.get_enum_by_name(name)
}

fn pool() -> Option<&'static DescriptorPool> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(DESCRIPTORS).ok()).as_ref()
}

/// A message of ours from protobuf's JSON mapping, or what is wrong with it. Unknown fields are refused.
pub fn from_json<M: Message + Default>(name: &str, value: Value) -> Result<M, String> {
    let descriptor = descriptor(name).ok_or_else(|| format!("no message {name}"))?;
    let dynamic = DynamicMessage::deserialize(descriptor, value).map_err(|error| error.to_string())?;
    M::decode(dynamic.encode_to_vec().as_slice()).map_err(|error| error.to_string())
}

/// A message of ours in protobuf's JSON mapping, default values included. None if `name` is not its full name.
pub fn json(name: &str, message: &impl Message) -> Option<Value> {
    let dynamic = DynamicMessage::decode(descriptor(name)?, message.encode_to_vec().as_slice()).ok()?;
    let options = SerializeOptions::new().skip_default_fields(false);
    dynamic.serialize_with_options(serde_json::value::Serializer, &options).ok()
}

/// The methods of all services of ours.
pub fn methods() -> Vec<String> {
    let services = pool().into_iter().flat_map(DescriptorPool::services);
    services.flat_map(|service| service.methods().map(|method| method.name().to_owned()).collect::<Vec<_>>()).collect()
}
