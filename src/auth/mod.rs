//! Credentials to a [`Caller`], and what each caller may call.
//!
//! Architecture invariant: a `Caller` is made here, from verified credentials, and nowhere else. There is no fallback
//! tenant: a call without valid credentials is UNAUTHENTICATED. Only `dev`, which serves loopback alone, takes the
//! `x-user-id` header on its word, and a call without any as the tenant `anonymous`.

mod admission;
mod jwks;
mod mint;
mod policy;
mod token;

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use ipnet::IpNet;
use tonic::Status;

pub(crate) use admission::authenticate;
pub use admission::{Answered, TENANT_HEADER};
pub use mint::{Claimed, mint_token};
pub use policy::{Access, Method, Policy, PolicyError};
pub use token::{KeyError, MAX_TOKEN, TokenError, TokenVerifier, Verified};

use crate::config;
use crate::domain::clock::Clock;
use crate::status;
use crate::tenant::{Caller, Origin, Proof, Role, Scope, TenantId};

/// The header that names the user on a development server.
pub const USER_HEADER: &str = "x-user-id";
const ANONYMOUS: &str = "anonymous";

/// Turns credentials into callers.
pub struct Authenticator {
    tokens: Option<TokenVerifier>,
    trusted: Option<TrustedHeader>,
    dev: bool,
}

/// A header whose word is taken when it comes from a peer in one of the networks.
struct TrustedHeader {
    name: String,
    peers: Vec<IpNet>,
}

/// The policy and the authenticator, as `authenticate` needs them.
#[derive(Clone)]
pub struct Guard {
    pub policy: Arc<Policy>,
    pub authenticator: Arc<Authenticator>,
}

// === impl Authenticator ===

impl Authenticator {
    pub fn new(settings: &config::Auth, dev: bool, clock: Arc<dyn Clock>) -> Result<Self, KeyError> {
        let trusted = (!settings.trusted_header.is_empty())
            .then(|| TrustedHeader { name: settings.trusted_header.clone(), peers: settings.trusted_peers.clone() });
        Ok(Self { tokens: TokenVerifier::new(settings, clock)?, trusted, dev })
    }

    /// The caller that the headers prove. A header that is there twice proves nothing.
    pub async fn caller(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, Status> {
        if let Some(header) = single(headers, AUTHORIZATION.as_str())? {
            let token = bearer(header).ok_or_else(status::credentials_invalid)?;
            let tokens = self.tokens.as_ref().ok_or_else(status::credentials_invalid)?;
            return mint(tokens.verify(token).await?, Proof::Token);
        }
        if let Some(user) = self.trusted.as_ref().filter(|trusted| trusted.trusts(peer)) {
            let user = single(headers, &user.name)?.ok_or_else(status::credentials_missing)?;
            return mint(Verified::owner(user), Proof::TrustedHeader);
        }
        if !self.dev {
            return Err(status::credentials_missing());
        }
        let header = single(headers, USER_HEADER)?;
        let proof = if header.is_some() { Proof::DevHeader } else { Proof::DevAnonymous };
        mint(Verified::owner(header.unwrap_or(ANONYMOUS)), proof)
    }
}

// === impl TrustedHeader ===

impl TrustedHeader {
    fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.peers.iter().any(|net| net.contains(&peer.to_canonical())))
    }
}

// === impl Verified ===

impl Verified {
    /// The owner of a personal tenant, on somebody's word.
    fn owner(user: &str) -> Self {
        Self { tenant: user.to_owned(), subject: user.to_owned(), role: Role::Admin, expiry: None }
    }
}

impl From<TokenError> for Status {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => status::credentials_invalid(),
            TokenError::KeysUnavailable(_) => status::keys_unavailable(),
        }
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
