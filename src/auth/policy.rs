//! Who may call what, as the protos say it: the option `herald.v1.access` of each RPC.

use std::collections::HashMap;
use std::sync::Arc;

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

/// A method that there is.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// Such as `/herald.v1.AgentService/GetProspect`.
    pub path: String,
    pub access: Access,
    /// Whether its answer is a stream, which lasts as long as somebody watches.
    pub streams: bool,
    /// Whether more than one message may come with a call.
    pub takes_stream: bool,
}

/// Every method, by its path.
#[derive(Debug)]
pub struct Policy {
    methods: HashMap<String, Arc<Method>>,
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
const OPEN_SERVICES: [&[u8]; 3] = [
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

// === impl Method ===

impl Method {
    /// As the metrics name it: without the first slash.
    pub fn name(&self) -> &str {
        self.path.trim_start_matches('/')
    }

    /// Whether it changes nothing: whoever may see, may call it.
    pub fn only_reads(&self) -> bool {
        self.access == Access::Role(Role::Viewer)
    }
}

// === impl Policy ===

impl Policy {
    /// Reads the policy from the descriptors of our protos, and adds the services of others that we serve.
    pub fn load() -> Result<Self, PolicyError> {
        let mut policy = Self::read(pb::DESCRIPTORS)?;
        for descriptors in OPEN_SERVICES {
            policy.add(descriptors, |_, _| Some(Access::Open))?;
        }
        Ok(policy)
    }

    /// The policy of any encoded descriptor set that holds `herald.v1.access`.
    pub fn read(descriptors: &[u8]) -> Result<Self, PolicyError> {
        let mut policy = Self { methods: HashMap::new() };
        policy.add(descriptors, access)?;
        Ok(policy)
    }

    fn add(
        &mut self,
        descriptors: &[u8],
        access: impl Fn(&DescriptorPool, &MethodDescriptor) -> Option<Access>,
    ) -> Result<(), PolicyError> {
        let pool = DescriptorPool::decode(descriptors).map_err(|error| PolicyError::Descriptors(error.to_string()))?;
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let access = access(&pool, &method).ok_or_else(|| PolicyError::Missing(path.clone()))?;
            let streams = method.is_server_streaming();
            let takes_stream = method.is_client_streaming();
            self.methods.insert(path.clone(), Arc::new(Method { path, access, streams, takes_stream }));
        }
        Ok(())
    }

    /// The method of this path; None if there is none.
    pub fn method(&self, path: &str) -> Option<&Arc<Method>> {
        self.methods.get(path)
    }

    /// Every method.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.values().map(|method| &**method)
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
