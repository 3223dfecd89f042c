//! The protobuf types and services generated from `proto/`, and their descriptors.

#![expect(clippy::large_enum_variant, reason = "generated")]

tonic::include_proto!("herald.v1");

/// The encoded `FileDescriptorSet` of all protos, our own options included. Read by reflection and by the access policy.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
