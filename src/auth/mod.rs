//! Credentials to a [`Caller`], and what each caller may call.
//!
//! Architecture invariant: a `Caller` is made here, from verified credentials, and nowhere else. There is no fallback
//! tenant: a call without valid credentials is UNAUTHENTICATED. Only `dev`, which serves loopback alone, takes the
//! `x-user-id` header on its word, and a call without any as the tenant `anonymous`.

mod layer;
mod policy;
mod token;

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::Status;

pub use layer::{TENANT_HEADER, authenticate};
pub use policy::{Access, Policy, PolicyError};
pub use token::{TokenVerifier, Verified};

use crate::config;
use crate::status;
use crate::tenant::{Caller, Origin, Proof, Role, Scope, TenantId};

/// The header that names the user on a development server.
pub const USER_HEADER: &str = "x-user-id";
const ANONYMOUS: &str = "anonymous";

/// Turns credentials into callers.
pub struct Authenticator {
    tokens: Option<TokenVerifier>,
    dev: bool,
}

/// The policy and the authenticator, as the layer needs them.
#[derive(Clone)]
pub struct Guard {
    pub policy: Arc<Policy>,
    pub authenticator: Arc<Authenticator>,
}

// === impl Authenticator ===

impl Authenticator {
    pub fn new(settings: &config::Auth, dev: bool) -> Self {
        let configured = !settings.hs256_secret.expose().is_empty();
        Self { tokens: configured.then(|| TokenVerifier::hs256(settings)), dev }
    }

    /// The caller that the headers prove. A header that is there twice proves nothing.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Status> {
        if let Some(header) = single(headers, AUTHORIZATION.as_str())? {
            let token = bearer(header).ok_or_else(status::credentials_invalid)?;
            let verified = self.tokens.as_ref().and_then(|tokens| tokens.verify(token));
            return mint(verified.ok_or_else(status::credentials_invalid)?, Proof::Token);
        }
        if !self.dev {
            return Err(status::credentials_missing());
        }
        let header = single(headers, USER_HEADER)?;
        let proof = if header.is_some() { Proof::DevHeader } else { Proof::DevAnonymous };
        let user = header.unwrap_or(ANONYMOUS);
        mint(Verified { tenant: user.to_owned(), subject: user.to_owned(), role: Role::Admin, expiry: None }, proof)
    }
}

#[expect(clippy::disallowed_methods, reason = "Origin::Credential: the credential was verified")]
fn mint(verified: Verified, proof: Proof) -> Result<Caller, Status> {
    let tenant = TenantId::parse(&verified.tenant).map_err(|error| status::tenant_id_invalid(&error.to_string()))?;
    let scope = Scope::mint(tenant, Origin::Credential);
    Ok(Caller::verified(scope, verified.subject, verified.role, proof, verified.expiry))
}

/// The header's value; refused if it is there more than once or is no text.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Status> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| status::credentials_invalid()),
        (Some(_), Some(_)) => Err(status::credentials_invalid()),
    }
}

/// The token of an `authorization` header; the scheme in any case (RFC 9110, 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
