//! Credentials to a [`Caller`], and what each caller may call.
//!
//! Architecture invariant: a `Caller` is made here, from verified credentials, and nowhere else. There is no fallback
//! tenant: a call without valid credentials is UNAUTHENTICATED. Only `dev`, which serves loopback alone, takes the
//! `x-user-id` header on its word, and a call without any as the tenant `anonymous`.

mod admission;
mod claims;
mod jwks;
mod key;
mod mint;
mod policy;
mod refusals;
mod token;

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, AsHeaderName};
use ipnet::IpNet;
use tonic::Status;

use refusals::Refusals;

pub(crate) use admission::authenticate;
pub use admission::{Answered, TENANT_HEADER};
pub use claims::Verified;
pub use jwks::look_at_key_set;
pub use key::KeyError;
pub use mint::{Claimed, mint_token};
pub use policy::{Access, Method, Policy, PolicyError};
pub use refusals::Cause;
pub use token::{MAX_TOKEN, TokenError, TokenVerifier};

use crate::config;
use crate::domain::clock::Clock;
use crate::status;
use crate::telemetry::CallId;
use crate::tenant::{Caller, Origin, Proof, Role, Scope, TenantId, TenantIdError};

/// The header that names the user on a development server.
pub const USER_HEADER: &str = "x-user-id";
const ANONYMOUS: &str = "anonymous";

/// Turns credentials into callers.
pub struct Authenticator {
    tokens: Option<TokenVerifier>,
    trusted: Option<TrustedHeader>,
    dev: bool,
    refusals: Refusals,
}

/// Why there is no caller.
enum Refused {
    Credentials(Cause),
    Tenant(TenantIdError),
    KeysUnavailable,
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
        Ok(Self { tokens: TokenVerifier::new(settings, clock.clone())?, trusted, dev, refusals: Refusals::new(clock) })
    }

    /// The caller that the headers prove. A refusal is told by its cause in the log and counted, and answered in the same way
    /// whatever the cause.
    pub async fn caller(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, Status> {
        self.caller_of(None, headers, peer).await
    }

    /// The same, for the call of that id.
    async fn caller_of(&self, id: Option<CallId>, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, Status> {
        self.identify(headers, peer).await.map_err(|refused| {
            if let Some(cause) = refused.cause() {
                self.refusals.tell(cause, peer, id);
            }
            refused.into()
        })
    }

    /// A header that is there twice proves nothing.
    async fn identify(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, Refused> {
        if let Some(header) = single(headers, AUTHORIZATION)? {
            let token = bearer(header)?;
            let tokens = self.tokens.as_ref().ok_or(Cause::Unconfigured)?;
            return mint(tokens.verify(token).await?, Proof::Token);
        }
        if let Some(user) = self.trusted.as_ref().filter(|trusted| trusted.trusts(peer)) {
            let user = single(headers, user.name.as_str())?.ok_or(Cause::Missing)?;
            return mint(Verified::owner(user), Proof::TrustedHeader);
        }
        if !self.dev {
            return Err(Cause::Missing.into());
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

// === impl Refused ===

impl Refused {
    /// What is wrong with the credentials; None if that is not known.
    fn cause(&self) -> Option<Cause> {
        match self {
            Self::Credentials(cause) => Some(*cause),
            Self::Tenant(_) => Some(Cause::Tenant),
            Self::KeysUnavailable => None,
        }
    }
}

impl From<Cause> for Refused {
    fn from(cause: Cause) -> Self {
        Self::Credentials(cause)
    }
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Refused(cause) => Self::Credentials(cause),
            TokenError::KeysUnavailable(_) => Self::KeysUnavailable,
        }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Credentials(Cause::Missing) => status::credentials_missing(),
            Refused::Credentials(_) => status::credentials_invalid(),
            Refused::Tenant(error) => status::tenant_id_invalid(&error.to_string()),
            Refused::KeysUnavailable => status::keys_unavailable(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "Origin::Credential: the credential was verified")]
fn mint(verified: Verified, proof: Proof) -> Result<Caller, Refused> {
    let tenant = TenantId::parse(&verified.tenant).map_err(Refused::Tenant)?;
    let scope = Scope::mint(tenant, Origin::Credential);
    Ok(Caller::verified(scope, verified.subject, verified.role, proof, verified.expiry))
}

/// The header's value; refused if it is there more than once or is no text.
fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&str>, Cause> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Cause::Malformed),
        (Some(_), Some(_)) => Err(Cause::Malformed),
    }
}

/// The token of an `authorization` header: the scheme in any case, and one blank or more (RFC 9110, 11.1 and 11.4).
fn bearer(header: &str) -> Result<&str, Cause> {
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Cause::Scheme);
    }
    Some(token.trim_start_matches(' ')).filter(|token| !token.is_empty()).ok_or(Cause::Malformed)
}
