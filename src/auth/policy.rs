//! Who may call what, as the protos say it: the option `herald.v1.access` of each RPC.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, MethodDescriptor, Value};

use crate::pb;
use crate::tenant::Role;

/// The least that a caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No credentials.
    Open,
    Role(Role),
}

/// The access of every method, by its path, such as `/herald.v1.AgentService/GetProspect`.
#[derive(Debug)]
pub struct Policy {
    methods: HashMap<String, Access>,
}

/// A method of ours without an access option.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("{0} has no access option: add `option (access) = ACCESS_…;` to it in its proto")]
    Missing(String),
    #[error("the descriptors cannot be read: {0}")]
    Descriptors(String),
}

/// Services of others that we serve, open to everybody.
const OPEN_SERVICES: [&str; 3] =
    ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

// === impl Policy ===

impl Policy {
    /// Reads the policy from the descriptors of our protos.
    pub fn load() -> Result<Self, PolicyError> {
        Self::read(pb::DESCRIPTORS)
    }

    /// The same from any encoded descriptor set that holds `herald.v1.access`.
    pub fn read(descriptors: &[u8]) -> Result<Self, PolicyError> {
        let pool = DescriptorPool::decode(descriptors).map_err(|error| PolicyError::Descriptors(error.to_string()))?;
        let mut methods = HashMap::new();
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let access = access(&pool, &method).ok_or_else(|| PolicyError::Missing(path.clone()))?;
            methods.insert(path, access);
        }
        Ok(Self { methods })
    }

    /// What a call of this path needs; None if there is no such method.
    pub fn access(&self, path: &str) -> Option<Access> {
        if OPEN_SERVICES.iter().any(|service| path.starts_with(service)) {
            return Some(Access::Open);
        }
        self.methods.get(path).copied()
    }

    /// Every method of ours.
    pub fn methods(&self) -> impl Iterator<Item = (&str, Access)> {
        self.methods.iter().map(|(path, access)| (path.as_str(), *access))
    }
}

fn access(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<Access> {
    let extension = pool.get_extension_by_name("herald.v1.access")?;
    let options = method.options();
    let value = options.get_extension(&extension);
    let Value::EnumNumber(number) = *value else { return None };
    match pb::Access::try_from(number).ok()? {
        pb::Access::Unspecified => None,
        pb::Access::Open => Some(Access::Open),
        pb::Access::Viewer => Some(Access::Role(Role::Viewer)),
        pb::Access::Editor => Some(Access::Role(Role::Editor)),
        pb::Access::Admin => Some(Access::Role(Role::Admin)),
    }
}
