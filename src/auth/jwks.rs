//! The keys of an issuer, from its JWKS address (RFC 7517).
//!
//! Keys are kept and read again when they are old or a token names one that is not among them: by one request at a time,
//! not more often than the cooldown allows, whoever asks. While the address is down, hangs, or answers nonsense, the keys
//! that are there go on being used.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Client;
use reqwest::header::ACCEPT;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::key::{Key, KeyError};
use crate::config;
use crate::connect::http;

/// The keys of one issuer.
pub(super) struct Jwks {
    url: Url,
    client: Client,
    max_age: Duration,
    cooldown: Duration,
    state: RwLock<State>,
    /// Held by the one request that is under way.
    asking: Mutex<()>,
}

/// No key was ever read, so that nothing can be said about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the issuer's keys cannot be read")]
pub struct KeysUnavailable;

#[derive(Default)]
struct State {
    keys: HashMap<String, Arc<Key>>,
    read: Option<Instant>,
    asked: Option<Instant>,
}

/// A key set has a few keys of a few hundred bytes.
const MAX_BYTES: usize = 1024 * 1024;

// === impl Jwks ===

impl Jwks {
    pub(super) fn new(settings: &config::Auth) -> Result<Arc<Self>, KeyError> {
        let url = Url::parse(&settings.jwks_url).map_err(|error| KeyError(format!("auth.jwks_url: {error}")))?;
        let timeout = Duration::from_secs(settings.jwks_timeout_seconds);
        let client = http::client(|builder| builder.timeout(timeout).redirect(reqwest::redirect::Policy::none()));
        let client = client.map_err(|error| KeyError(format!("auth.jwks_url: {error}")))?;
        Ok(Arc::new(Self {
            url,
            client,
            max_age: Duration::from_secs(settings.jwks_max_age_seconds),
            cooldown: Duration::from_secs(settings.jwks_cooldown_seconds),
            state: RwLock::default(),
            asking: Mutex::default(),
        }))
    }

    /// The key of that id; without an id the only key there is.
    pub(super) async fn key(self: &Arc<Self>, kid: Option<&str>) -> Result<Option<Arc<Key>>, KeysUnavailable> {
        if let Some(key) = self.find(kid) {
            if self.is_old() {
                // Nobody waits for news of a key that is known.
                let own = self.clone();
                tokio::spawn(async move { own.ask(|own| !own.is_old()).await });
            }
            return Ok(Some(key));
        }
        // In a task of its own: a caller that gives up must not break off what others wait for.
        let (own, wanted) = (self.clone(), kid.map(str::to_owned));
        let asking = tokio::spawn(async move { own.ask(|own| own.find(wanted.as_deref()).is_some()).await });
        let _ = asking.await;
        let key = self.find(kid);
        if key.is_none() && self.read().read.is_none() {
            return Err(KeysUnavailable);
        }
        Ok(key)
    }

    fn find(&self, kid: Option<&str>) -> Option<Arc<Key>> {
        let state = self.read();
        match kid {
            Some(kid) => state.keys.get(kid).cloned(),
            None if state.keys.len() == 1 => state.keys.values().next().cloned(),
            None => None,
        }
    }

    fn is_old(&self) -> bool {
        self.read().read.is_none_or(|read| read.elapsed() > self.max_age)
    }

    /// Reads the keys again, unless that is `done` by the time it is our turn, or was tried just now.
    async fn ask(&self, done: impl FnOnce(&Self) -> bool) {
        let _asking = self.asking.lock().await;
        let just_now = self.read().asked.is_some_and(|asked| asked.elapsed() < self.cooldown);
        if done(self) || just_now {
            return;
        }
        self.write().asked = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                let mut state = self.write();
                state.keys = keys;
                state.read = Some(Instant::now());
            }
            Err(why) => tracing::warn!(url = %self.url, why, "auth.jwks.unavailable"),
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, Arc<Key>>, String> {
        let sent = self.client.get(self.url.clone()).header(ACCEPT, "application/json").send().await;
        let mut response = sent.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            if bytes.len() + chunk.len() > MAX_BYTES {
                return Err("it answers more than 1 MiB".to_owned());
            }
            bytes.extend_from_slice(&chunk);
        }
        let set: Value = serde_json::from_slice(&bytes).map_err(|_| "it answers no JSON".to_owned())?;
        let keys: HashMap<_, _> = set["keys"].as_array().into_iter().flatten().filter_map(usable).collect();
        if keys.is_empty() { Err("it answers no key that can be used".to_owned()) } else { Ok(keys) }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key of the set with its id, if it is for signatures of an algorithm that we take. Others are passed over, as a set may
/// hold keys for other uses.
fn usable(value: &Value) -> Option<(String, Arc<Key>)> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let fits = jwk.common.key_algorithm.is_none_or(|alg| alg == named);
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let decoding = DecodingKey::from_jwk(&jwk).ok().filter(|_| fits && signs)?;
    Some((jwk.common.key_id.unwrap_or_default(), Arc::new(Key { algorithm, decoding })))
}
