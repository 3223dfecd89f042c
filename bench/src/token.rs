//! The tokens that calls carry, and the secret that the servers verify them by.

use anyhow::Context as _;
use herald::domain::clock::{Clock as _, SystemClock};
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

use crate::draws::Draws;

/// Signs the tokens of the bench.
pub const SECRET: &str = "the secret of the bench, forty bytes long";

const BEARER: &str = "Bearer ";

/// A bearer token, made ready once for all calls that carry it.
#[derive(Clone)]
pub struct Token(HeaderValue);

// === impl Token ===

impl Token {
    fn new(token: &str) -> anyhow::Result<Self> {
        let mut header = HeaderValue::try_from(format!("{BEARER}{token}"))?;
        // Sent in full with every call, as h2load does.
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// For the authorization header.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Without the scheme.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default().trim_start_matches(BEARER)
    }
}

/// A token of the tenant's owner, good for a day.
pub fn token(tenant: &str) -> anyhow::Result<Token> {
    hs256(&claims(tenant))
}

/// The same signed with an RSA key.
pub fn rs256_token(tenant: &str, key: &EncodingKey) -> anyhow::Result<Token> {
    signed(&claims(tenant), Algorithm::RS256, key)
}

/// The same signed as all are, with a claim that makes it at least that long.
pub fn long_token(tenant: &str, length: usize) -> anyhow::Result<Token> {
    let (mut draws, mut padding) = (Draws::new(0), String::new());
    loop {
        let mut claims = claims(tenant);
        claims["padding"] = padding.as_str().into();
        let token = hs256(&claims)?;
        if token.as_str().len() >= length {
            return Ok(token);
        }
        padding.extend(char::from_digit(draws.below(36) as u32, 36));
    }
}

fn claims(tenant: &str) -> serde_json::Value {
    let expiry = SystemClock.now().plus_seconds(24 * 60 * 60).seconds();
    serde_json::json!({ "sub": tenant, "exp": expiry })
}

fn hs256(claims: &serde_json::Value) -> anyhow::Result<Token> {
    signed(claims, Algorithm::HS256, &EncodingKey::from_secret(SECRET.as_bytes()))
}

fn signed(claims: &serde_json::Value, algorithm: Algorithm, key: &EncodingKey) -> anyhow::Result<Token> {
    Token::new(&encode(&Header::new(algorithm), claims, key).context("a token")?)
}
