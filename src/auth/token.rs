//! Bearer tokens: JSON Web Tokens under the one key source that is configured.
//!
//! Which algorithm a key verifies is the key's and the configuration's choice, never the token's. The tenant of a token is
//! its organisation if it has one, else its subject. Clerk's session tokens are read in both their versions: `org_id` and
//! `org_role`, and the claim `o` with `id` and `rol`. `claims` judges what a token says once its signature is right.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, decode, decode_header};
use moka::sync::Cache;
use serde_json::{Map, Value};

use super::claims::{Claims, Rules, Verified};
use super::jwks::{Jwks, KeysUnavailable};
use super::key::{Key, KeyError, public_key};
use super::refusals::Cause;
use crate::call::yield_connection_task;
use crate::config;
use crate::domain::clock::Clock;

/// Verifies tokens.
pub struct TokenVerifier {
    keys: Keys,
    rules: Rules,
    /// What tokens have proved, by their SHA-256, until they expire: verifying RS256 costs tens of microseconds.
    remembered: Cache<[u8; 32], Verified>,
    clock: Arc<dyn Clock>,
}

/// Why a token cannot be verified now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Whatever is wrong with it: the cause is for the log, not for the caller.
    #[error("the token proves nothing")]
    Refused(Cause),
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
}

enum Keys {
    One(Key),
    Jwks(Arc<Jwks>),
}

/// The longest token, in bytes. Those of the usual issuers have one to four thousand.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The tokens that are remembered at most.
const REMEMBERED: u64 = 32_768;

/// What tokens for calls are called in their header: any JWT, and access tokens (RFC 9068, 2.1). What an issuer signs for other
/// ends with the same key, such as `logout+jwt`, has another name (RFC 8725, 3.11).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

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
        Ok(Some(Self { keys, rules: Rules::new(settings), remembered: Cache::new(REMEMBERED), clock }))
    }

    /// What the token proves.
    pub async fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(Cause::Malformed.into());
        }
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(known) = self.remembered.get(&name) {
            if known.expiry.is_some_and(|expiry| self.clock.now() < self.rules.end(expiry)) {
                return Ok(known);
            }
            self.remembered.invalidate(&name);
            return Err(Cause::Expired.into());
        }
        let header = header(token)?;
        // A signature takes its time.
        yield_connection_task().await;
        let verified = match &self.keys {
            Keys::One(key) => self.verify_with(token, key)?,
            Keys::Jwks(jwks) => {
                let key = jwks.key(header.kid.as_deref()).await?.ok_or(Cause::Key)?;
                self.verify_with(token, &key)?
            }
        };
        self.remembered.insert(name, verified.clone());
        Ok(verified)
    }

    fn verify_with(&self, token: &str, key: &Key) -> Result<Verified, Cause> {
        let decoded = decode::<Claims>(token, &key.decoding, &Rules::signature_alone(key.algorithm));
        let claims = decoded.map_err(|error| match error.kind() {
            ErrorKind::InvalidAlgorithm => Cause::Algorithm,
            ErrorKind::InvalidSignature => Cause::Signature,
            ErrorKind::Json(_) => Cause::Claims,
            _ => Cause::Malformed,
        })?;
        self.rules.judge(claims.claims, self.clock.now())
    }
}

// === impl TokenError ===

impl From<Cause> for TokenError {
    fn from(cause: Cause) -> Self {
        Self::Refused(cause)
    }
}

/// The header, if it is that of a token for calls and asks for nothing that must be understood.
fn header(token: &str) -> Result<Header, Cause> {
    let header = decode_header(token).map_err(|_| Cause::Malformed)?;
    // The same again as it is there: `Header` takes null for nothing.
    let part = token.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).ok_or(Cause::Malformed)?;
    let fields: Map<String, Value> = serde_json::from_slice(&part).map_err(|_| Cause::Malformed)?;
    // RFC 7515, 4.1.11; RFC 7797: we understand no extension.
    if fields.contains_key("crit") || fields.contains_key("b64") {
        return Err(Cause::Critical);
    }
    if fields.get("kid").is_some_and(Value::is_null) {
        return Err(Cause::Malformed);
    }
    match fields.get("typ") {
        None => Ok(header),
        Some(Value::String(name)) if is_for_calls(name) => Ok(header),
        Some(_) => Err(Cause::Type),
    }
}

/// Names of media types know no case, and `application/` before them may be left out (RFC 7515, 4.1.9).
fn is_for_calls(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TYPES.contains(&name.strip_prefix("application/").unwrap_or(&name))
}
