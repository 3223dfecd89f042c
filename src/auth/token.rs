//! Bearer tokens: JSON Web Tokens under the one key source that is configured.
//!
//! Which algorithm a key verifies is the key's and the configuration's choice, never the token's. The tenant of a token is
//! its organisation if it has one, else its subject. Clerk's session tokens are read in both their versions: `org_id` and
//! `org_role`, and the claim `o` with `id` and `rol`.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::jwks::{Jwks, KeysUnavailable};
use crate::call::leave;
use crate::config;
use crate::domain::clock::{Clock, Timestamp};
use crate::tenant::Role;

/// Verifies tokens.
pub struct TokenVerifier {
    keys: Keys,
    rules: Rules,
    /// What tokens have proved, by their SHA-256, until they expire: verifying RS256 costs tens of microseconds.
    remembered: Cache<[u8; 32], Verified>,
    clock: Arc<dyn Clock>,
}

/// What a credential proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub tenant: String,
    pub subject: String,
    pub role: Role,
    pub expiry: Option<Timestamp>,
}

/// Why a token cannot be verified now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Whatever is wrong with it.
    #[error("the token proves nothing")]
    Invalid,
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
}

/// The configured key cannot be used: what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);

/// A key and the one algorithm that it verifies.
pub(super) struct Key {
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
}

enum Keys {
    One(Key),
    Jwks(Arc<Jwks>),
}

/// What a token must say, and what its claims mean.
struct Rules {
    issuer: String,
    audience: String,
    authorized_parties: Vec<String>,
    leeway_seconds: u64,
    role_claim: String,
    admin_roles: Vec<String>,
    editor_roles: Vec<String>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    azp: Option<String>,
    /// Clerk: `pending` until a session's tasks are done.
    sts: Option<String>,
    org_id: Option<String>,
    org_role: Option<String>,
    o: Option<Organisation>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// The claim `o` of Clerk's second version.
#[derive(Deserialize)]
struct Organisation {
    id: String,
    rol: Option<String>,
}

/// The longest token, in bytes. Those of the usual issuers have one to four thousand.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The tokens that are remembered at most.
const REMEMBERED: u64 = 32_768;

// === impl TokenVerifier ===

impl TokenVerifier {
    /// The verifier of the configured key source; None if none is configured.
    pub fn new(settings: &config::Auth, clock: Arc<dyn Clock>) -> Result<Option<Self>, KeyError> {
        let keys = if !settings.hs256_secret.expose().is_empty() {
            let decoding = DecodingKey::from_secret(settings.hs256_secret.expose().as_bytes());
            Keys::One(Key { algorithm: Algorithm::HS256, decoding })
        } else if !settings.public_key_file.is_empty() {
            Keys::One(public_key(&settings.public_key_file)?)
        } else if !settings.jwks_url.is_empty() {
            Keys::Jwks(Jwks::new(settings)?)
        } else {
            return Ok(None);
        };
        let rules = Rules {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            authorized_parties: settings.authorized_parties.clone(),
            leeway_seconds: settings.leeway_seconds,
            role_claim: settings.role_claim.clone(),
            admin_roles: settings.admin_roles.clone(),
            editor_roles: settings.editor_roles.clone(),
        };
        Ok(Some(Self { keys, rules, remembered: Cache::new(REMEMBERED), clock }))
    }

    /// What the token proves.
    pub async fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Invalid);
        }
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(known) = self.remembered.get(&name) {
            if known.expiry.is_some_and(|expiry| self.clock.now() < self.rules.end(expiry)) {
                return Ok(known);
            }
            self.remembered.invalidate(&name);
            return Err(TokenError::Invalid);
        }
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        if !is_understood(&header) {
            return Err(TokenError::Invalid);
        }
        // A signature takes its time.
        leave().await;
        let verified = match &self.keys {
            Keys::One(key) => self.rules.verify(token, key)?,
            Keys::Jwks(jwks) => {
                let key = jwks.key(header.kid.as_deref()).await?.ok_or(TokenError::Invalid)?;
                self.rules.verify(token, &key)?
            }
        };
        self.remembered.insert(name, verified.clone());
        Ok(verified)
    }
}

// === impl Rules ===

impl Rules {
    fn verify(&self, token: &str, key: &Key) -> Result<Verified, TokenError> {
        let validation = self.validation(key.algorithm);
        let claims = decode::<Claims>(token, &key.decoding, &validation).map_err(|_| TokenError::Invalid)?.claims;
        if claims.sts.as_deref() == Some("pending") || !self.is_authorized(claims.azp.as_deref()) {
            return Err(TokenError::Invalid);
        }
        let role = self.role(&claims);
        let organisation = claims.o.map(|o| o.id).or(claims.org_id).filter(|id| !id.is_empty());
        Ok(Verified {
            tenant: organisation.unwrap_or_else(|| claims.sub.clone()),
            subject: claims.sub,
            role,
            expiry: Some(Timestamp(claims.exp.saturating_mul(1_000_000))),
        })
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.leeway_seconds;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if !self.issuer.is_empty() {
            validation.set_issuer(&[&self.issuer]);
            required.push("iss");
        }
        if !self.audience.is_empty() {
            validation.set_audience(&[&self.audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    fn is_authorized(&self, party: Option<&str>) -> bool {
        self.authorized_parties.is_empty()
            || party.is_some_and(|party| self.authorized_parties.iter().any(|known| known == party))
    }

    /// The owner of a personal tenant is admin, a member of an organisation what its role says, viewer if nothing does. A
    /// role that we do not know is no reason to give more than the least.
    fn role(&self, claims: &Claims) -> Role {
        let mut at = claims.others.get(self.role_claim.split('.').next().unwrap_or_default());
        for name in self.role_claim.split('.').skip(1) {
            at = at.and_then(|value| value.get(name));
        }
        let organisation = claims.o.as_ref().and_then(|o| o.rol.as_deref()).or(claims.org_role.as_deref());
        let is_personal = claims.o.is_none() && claims.org_id.as_deref().is_none_or(str::is_empty);
        match at.map(|value| value.as_str().unwrap_or_default()).or(organisation) {
            Some(name) if self.admin_roles.iter().any(|role| role == name) => Role::Admin,
            Some(name) if self.editor_roles.iter().any(|role| role == name) => Role::Editor,
            Some(_) => Role::Viewer,
            None if is_personal => Role::Admin,
            None => Role::Viewer,
        }
    }

    /// When a token with this `exp` is no longer taken.
    fn end(&self, expiry: Timestamp) -> Timestamp {
        expiry.plus_seconds(i64::try_from(self.leeway_seconds).unwrap_or(i64::MAX))
    }
}

/// Whether the header asks for nothing that must be understood (RFC 7515, 4.1.11; RFC 7797): we understand no extension.
fn is_understood(header: &Header) -> bool {
    header.crit.is_none() && header.extras.get::<Value>("b64") == Ok(None)
}

/// The public key in a PEM file, and the algorithm that goes with its type.
fn public_key(path: &str) -> Result<Key, KeyError> {
    let pem = std::fs::read(path).map_err(|error| KeyError(format!("auth.public_key_file {path}: {error}")))?;
    let key = |algorithm, decoding| Key { algorithm, decoding };
    // A point of P-256, uncompressed, has 65 bytes; ES256 is that curve alone.
    let on_p256 = |key: &DecodingKey| key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == 65);
    let rsa = DecodingKey::from_rsa_pem(&pem).map(|decoding| key(Algorithm::RS256, decoding));
    let ec = || DecodingKey::from_ec_pem(&pem).ok().filter(on_p256).map(|decoding| key(Algorithm::ES256, decoding));
    let ed = || DecodingKey::from_ed_pem(&pem).ok().map(|decoding| key(Algorithm::EdDSA, decoding));
    rsa.ok().or_else(ec).or_else(ed).ok_or_else(|| {
        KeyError(format!(
            "auth.public_key_file {path}: is no public key in PEM for RS256 (RSA), ES256 (P-256) or EdDSA (Ed25519)"
        ))
    })
}
