//! The protobuf types and services generated from `proto/`, and their descriptors.

#![expect(clippy::large_enum_variant, reason = "generated")]

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

tonic::include_proto!("herald.v1");

/// The encoded `FileDescriptorSet` of all protos, our own options included. Read by reflection and by the access policy.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// A message of ours in protobuf's JSON mapping, default values included. None if `name` is not its full name.
pub fn json(name: &str, message: &impl Message) -> Option<Value> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| DescriptorPool::decode(DESCRIPTORS).ok()).as_ref()?;
    let dynamic = DynamicMessage::decode(pool.get_message_by_name(name)?, message.encode_to_vec().as_slice()).ok()?;
    let options = SerializeOptions::new().skip_default_fields(false);
    dynamic.serialize_with_options(serde_json::value::Serializer, &options).ok()
}
