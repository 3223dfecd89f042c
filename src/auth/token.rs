//! Bearer tokens: JSON Web Tokens under a shared secret (HS256).
//!
//! The algorithm is the configuration's choice, never the token's. The tenant of a token is its organisation (`org_id`)
//! if it has one, else its subject. The role is the claim `role` (viewer, editor, admin); without it the owner of a
//! personal tenant is admin, and a member of an organisation is viewer.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use crate::config;
use crate::domain::clock::Timestamp;
use crate::tenant::Role;

/// Verifies tokens under one key.
pub struct TokenVerifier {
    key: DecodingKey,
    validation: Validation,
}

/// What a credential proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub tenant: String,
    pub subject: String,
    pub role: Role,
    pub expiry: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    org_id: Option<String>,
    role: Option<String>,
}

// === impl TokenVerifier ===

impl TokenVerifier {
    pub fn hs256(settings: &config::Auth) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = settings.leeway_seconds;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if !settings.issuer.is_empty() {
            validation.set_issuer(&[&settings.issuer]);
            required.push("iss");
        }
        if !settings.audience.is_empty() {
            validation.set_audience(&[&settings.audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Self { key: DecodingKey::from_secret(settings.hs256_secret.expose().as_bytes()), validation }
    }

    /// What the token proves; None if it proves nothing, whatever the reason.
    pub fn verify(&self, token: &str) -> Option<Verified> {
        let claims = decode::<Claims>(token, &self.key, &self.validation).ok()?.claims;
        let organisation = claims.org_id.filter(|org| !org.is_empty());
        let default = if organisation.is_some() { Role::Viewer } else { Role::Admin };
        // A role that we do not know is not a reason to give more than the least.
        let role = claims.role.map_or(default, |name| Role::parse(&name).unwrap_or(Role::Viewer));
        Some(Verified {
            tenant: organisation.unwrap_or_else(|| claims.sub.clone()),
            subject: claims.sub,
            role,
            expiry: Some(Timestamp(claims.exp.saturating_mul(1_000_000))),
        })
    }
}
