//! Makes tokens for deployments that sign with a shared secret.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

use super::KeyError;
use crate::config;
use crate::domain::clock::Timestamp;
use crate::tenant::Role;

/// What a token says.
pub struct Claimed<'a> {
    pub subject: &'a str,
    pub organization: Option<&'a str>,
    pub role: Option<Role>,
    pub expiry: Timestamp,
}

/// A token that a server with the same settings takes. Needs `hs256_secret`.
pub fn mint_token(settings: &config::Auth, claimed: &Claimed<'_>) -> Result<String, KeyError> {
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), json!(claimed.subject));
    claims.insert("exp".to_owned(), json!(claimed.expiry.seconds()));
    let optional = [
        ("org_id", claimed.organization),
        ("iss", Some(settings.issuer.as_str())),
        ("aud", Some(settings.audience.as_str())),
        ("azp", settings.authorized_parties.first().map(String::as_str)),
    ];
    for (name, value) in optional {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            claims.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(role) = claimed.role {
        let name = match role {
            Role::Admin => settings.admin_roles.first().map(String::as_str),
            Role::Editor => settings.editor_roles.first().map(String::as_str),
            Role::Viewer => Some(role.as_str()),
        };
        let name = name.ok_or_else(|| KeyError(format!("no claim makes the role {}", role.as_str())))?;
        let (outer, inner) = settings.role_claim.split_once('.').unwrap_or((&settings.role_claim, ""));
        let nested = inner.rsplit('.').filter(|key| !key.is_empty());
        let value = nested.fold(json!(name), |value, key| Value::Object(Map::from_iter([(key.to_owned(), value)])));
        claims.insert(outer.to_owned(), value);
    }
    let key = EncodingKey::from_secret(settings.hs256_secret.expose().as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|error| KeyError(error.to_string()))
}
