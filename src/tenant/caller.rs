//! Who is calling.

use super::{Scope, TenantId};
use crate::domain::clock::Timestamp;
use crate::domain::named_enum::named_enum;

named_enum! {
    /// What a caller may do inside its tenant. Each role includes the ones before it.
    #[derive(PartialOrd, Ord)]
    pub enum Role {
        Viewer = "viewer",
        Editor = "editor",
        Admin = "admin",
    }
}

named_enum! {
    /// How somebody proved who he is.
    pub enum Proof {
        Token = "token",
        TrustedHeader = "trusted_header",
        DevHeader = "dev_header",
        DevAnonymous = "dev_anonymous",
        /// Who can run an offline command has the data folder, and is no caller.
        Operator = "operator",
        /// Who follows the link in a letter has its token, and is no caller.
        Link = "link",
    }
}

/// A verified caller. Made only by `auth`, from verified credentials.
#[derive(Debug, Clone)]
pub struct Caller {
    scope: Scope,
    subject: String,
    role: Role,
    proof: Proof,
    /// When the credential stops being valid; None if it does not.
    expiry: Option<Timestamp>,
}

// === impl Caller ===

impl Caller {
    /// For `auth` alone, which has verified what it says here: the scope is the proof.
    pub(crate) fn verified(scope: Scope, subject: String, role: Role, proof: Proof, expiry: Option<Timestamp>) -> Self {
        Self { scope, subject, role, proof, expiry }
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    pub fn tenant(&self) -> &TenantId {
        self.scope.tenant()
    }

    /// The user or service that calls.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// When the credential stops being valid; None if it does not.
    pub fn expiry(&self) -> Option<Timestamp> {
        self.expiry
    }
}
