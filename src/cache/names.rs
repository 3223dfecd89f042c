//! What a tenant's keys are called, here and in Redis.
//!
//! Architecture invariant: this is the only place where a cache key is made: `user:{tenant}:{key}`, as other backends know
//! them. A tenant id has no colon, so the second colon ends it, and no two pairs of tenant and key make the same one. In Redis
//! each tenant's keys are also listed in an index of its own, `herald:keys:{tenant}`, which begins as no tenant's key does.

use crate::tenant::TenantId;

/// What a tenant's things are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// What all its keys begin with, and no other's.
    pub(super) prefix: String,
    /// The index of its keys, in Redis.
    pub(super) index: String,
}

/// What every key begins with, and every index.
pub(super) const PREFIX: &str = "user:";
pub(super) const INDEX: &str = "herald:keys:";

// === impl Names ===

impl Names {
    pub(super) fn of(tenant: &TenantId) -> Self {
        Self { prefix: format!("{PREFIX}{tenant}:"), index: format!("{INDEX}{tenant}") }
    }

    pub(super) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The tenant's, and its key, from one that is in Redis; None if it is no possible tenant's.
    pub(super) fn split(key: &str) -> Option<(Self, &str)> {
        let (tenant, key) = key.strip_prefix(PREFIX)?.split_once(':')?;
        let tenant = TenantId::parse(tenant).ok()?;
        (!key.is_empty()).then(|| (Self::of(&tenant), key))
    }

    /// Those of the tenant with that index.
    pub(super) fn of_index(index: &str) -> Option<Self> {
        TenantId::parse(index.strip_prefix(INDEX)?).ok().map(|tenant| Self::of(&tenant))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::testing::Numbers;

    #[test]
    fn a_million_pairs_of_tenant_and_key_make_no_two_keys_alike() {
        // Short ones of few characters, so that pairs that could be mistaken for each other meet.
        let tenants: Vec<char> = "aA0_-.@|+".chars().collect();
        let keys: Vec<char> = "aA0:*?[]{}\\/.\0é用".chars().collect();
        let mut numbers = Numbers::new(1);
        let mut made = HashMap::new();
        while made.len() < 1_000_000 {
            let Ok(tenant) = TenantId::parse(&numbers.text(&tenants, 4)) else { continue };
            let key = numbers.text(&keys, 6);
            let names = Names::of(&tenant);
            let stored = names.key(&key);
            assert_eq!(Names::split(&stored), Some((names.clone(), key.as_str())));
            assert_eq!(Names::of_index(&names.index), Some(names));
            if let Some(before) = made.insert(stored, (tenant.clone(), key.clone())) {
                assert_eq!(before, (tenant, key), "two pairs under one key");
            }
        }
    }
}
