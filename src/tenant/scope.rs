//! The proof that work may be done for one tenant.

use super::TenantId;

/// The proof, held in code, that work may be done for one tenant. SQLite has no row-level security: every statement binds the
/// tenant of a scope instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    tenant: TenantId,
    origin: Origin,
}

/// Where a scope comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The auth layer verified a caller's credential.
    Credential,
    /// The engine claimed a campaign of the tenant.
    Claim,
    /// Somebody followed a link that was put into a letter of the tenant's, and its signature was verified.
    SignedLink,
}

// === impl Scope ===

impl Scope {
    /// Banned by clippy: each place that may call it says so with an `#[expect]`, and a test lists them.
    pub(crate) fn mint(tenant: TenantId, origin: Origin) -> Self {
        Self { tenant, origin }
    }

    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub fn origin(&self) -> Origin {
        self.origin
    }
}
