//! The keys of an issuer, from its JWKS address (RFC 7517).
//!
//! Herald keeps the keys, and reads them again when they are old or a token names one that is not among them: by one request at
//! a time, not more often than the cooldown allows, whoever asks. All that come meanwhile share its result (single-flight). While the address
//! is down, hangs, or answers nonsense, the keys that are there go on being used, and of tokens with other keys nothing
//! can be said: they may come again. Whoever sends such tokens holds a few places for the time of one reading, and no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Client;
use reqwest::header::{ACCEPT, DATE};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use url::Url;

use super::key::{Key, KeyError, MIN_RSA_BITS, rsa_bits};
use crate::config;
use crate::connect::http::{self, BoundedBody};
use crate::domain::finding::told;

/// The keys of one issuer.
pub(super) struct Jwks {
    url: Url,
    client: Client,
    timeout: Duration,
    max_age: Duration,
    cooldown: Duration,
    state: RwLock<State>,
    /// The reading that is under way, or was the last: the channel is closed when it ends.
    reading: Mutex<Option<watch::Receiver<()>>>,
    /// Of those who wait for it.
    places: Semaphore,
}

/// The keys could not be read, so that nothing can be said about a token that none of the known ones has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the issuer's keys cannot be read")]
pub struct KeysUnavailable;

#[derive(Default)]
struct State {
    keys: HashMap<String, Arc<Key>>,
    read: Option<Instant>,
    asked: Option<Instant>,
    /// Whether the last reading that was begun has ended well.
    is_current: bool,
}

/// A key set has a few keys of a few hundred bytes.
const MAX_BYTES: usize = 1024 * 1024;
const MAX_KEYS: usize = 100;

/// The tokens that wait for one reading, at most.
const MAX_WAITING: usize = 256;

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
            timeout,
            max_age: Duration::from_secs(settings.jwks_max_age_seconds),
            cooldown: Duration::from_secs(settings.jwks_cooldown_seconds),
            state: RwLock::default(),
            reading: Mutex::default(),
            places: Semaphore::new(MAX_WAITING),
        }))
    }

    /// The key of that id; without an id the only key there is.
    pub(super) async fn key(self: &Arc<Self>, kid: Option<&str>) -> Result<Option<Arc<Key>>, KeysUnavailable> {
        if let Some(key) = self.find(kid) {
            if self.is_old() {
                // Nobody waits for news of a key that is known.
                self.read_again();
            }
            return Ok(Some(key));
        }
        if let Some(mut reading) = self.read_again() {
            let Ok(_place) = self.places.try_acquire() else { return Err(KeysUnavailable) };
            // Ended, or it has taken too long: what is known then tells.
            let _ = timeout(self.timeout, reading.changed()).await;
        }
        match self.find(kid) {
            None if !self.state().is_current => Err(KeysUnavailable),
            found => Ok(found),
        }
    }

    fn find(&self, kid: Option<&str>) -> Option<Arc<Key>> {
        let state = self.state();
        match kid {
            Some(kid) => state.keys.get(kid).cloned(),
            None if state.keys.len() == 1 => state.keys.values().next().cloned(),
            None => None,
        }
    }

    fn is_old(&self) -> bool {
        self.state().read.is_none_or(|read| read.elapsed() > self.max_age)
    }

    /// The reading that is under way, or is begun; None if the last one was just now.
    fn read_again(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let mut last = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = last.as_ref().filter(|reading| reading.has_changed().is_ok()) {
            return Some(reading.clone());
        }
        if self.state().asked.is_some_and(|asked| asked.elapsed() < self.cooldown) {
            return None;
        }
        let mut state = self.state_mut();
        state.asked = Some(Instant::now());
        state.is_current = false;
        drop(state);
        let (under_way, reading) = watch::channel(());
        *last = Some(reading.clone());
        // In a task of its own: a caller that gives up must not break off what others wait for.
        let own = self.clone();
        tokio::spawn(async move {
            own.read().await;
            drop(under_way);
        });
        Some(reading)
    }

    async fn read(&self) {
        match self.fetch().await {
            Ok((keys, _)) => {
                let mut state = self.state_mut();
                state.keys = keys;
                state.read = Some(Instant::now());
                state.is_current = true;
            }
            Err(why) => tracing::warn!(url = config::shown(self.url.as_str()), why, "auth.jwks.unavailable"),
        }
    }

    /// The keys, and the time that the answer tells.
    async fn fetch(&self) -> Result<(HashMap<String, Arc<Key>>, Option<String>), String> {
        // An error of reqwest's names the address, with whatever stands in it.
        let told = |error: reqwest::Error| told(&error.without_url());
        let sent = self.client.get(self.url.clone()).header(ACCEPT, "application/json").send().await;
        let response = sent.map_err(told)?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
        let (mut body, mut bytes) = (BoundedBody::new(response, MAX_BYTES), Vec::new());
        while let Some(piece) = body.next().await.map_err(told)? {
            bytes.extend_from_slice(&piece);
        }
        if body.is_cut() {
            return Err("it answers more than 1 MiB".to_owned());
        }
        let set: Value = serde_json::from_slice(&bytes).map_err(|_| "it answers no JSON".to_owned())?;
        let keys = self.usable(set["keys"].as_array().map_or(&[], Vec::as_slice));
        if keys.is_empty() { Err("it answers no key that can be used".to_owned()) } else { Ok((keys, date)) }
    }

    fn usable(&self, set: &[Value]) -> HashMap<String, Arc<Key>> {
        let url = config::shown(self.url.as_str());
        if set.len() > MAX_KEYS {
            tracing::warn!(url, keys = set.len(), taken = MAX_KEYS, "auth.jwks.too_many_keys");
        }
        let read: Vec<_> =
            set.iter().take(MAX_KEYS).filter_map(|key| serde_json::from_value(key.clone()).ok()).collect();
        let (weak, strong): (Vec<Jwk>, Vec<Jwk>) = read.into_iter().partition(is_weak);
        if !weak.is_empty() {
            tracing::warn!(url, keys = weak.len(), at_least = MIN_RSA_BITS, "auth.jwks.short_rsa_keys");
        }
        strong.iter().filter_map(usable).collect()
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the key set of the settings once, as the first call does; the time that the answer tells, or why no key is of use.
pub async fn look_at_key_set(settings: &config::Auth) -> Result<Option<String>, String> {
    let jwks = Jwks::new(settings).map_err(|error| error.to_string())?;
    jwks.fetch().await.map(|(_, date)| date)
}

fn is_weak(jwk: &Jwk) -> bool {
    matches!(&jwk.algorithm, AlgorithmParameters::RSA(rsa) if rsa_bits(&rsa.n) < MIN_RSA_BITS)
}

/// The key with its id, if it is for signatures of an algorithm that we take (RFC 7517, 4.2 to 4.4). Others are passed over,
/// as a set may hold keys for other uses.
fn usable(jwk: &Jwk) -> Option<(String, Arc<Key>)> {
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
    let common = &jwk.common;
    let fits = common.key_algorithm.is_none_or(|alg| alg == named);
    let signs = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let decoding = DecodingKey::from_jwk(jwk).ok().filter(|_| fits && signs && verifies)?;
    Some((common.key_id.clone().unwrap_or_default(), Arc::new(Key { algorithm, decoding })))
}
