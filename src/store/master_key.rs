//! The master key, and the tenants' data keys that it wraps.
//!
//! Each tenant has a random key of its own for its secrets. It is stored wrapped with AES-256-GCM under the master key,
//! bound to the tenant's id: 12 bytes of nonce, the sealed key, 16 bytes of tag. Destroying a tenant's row makes its
//! secrets unreadable everywhere, backups included.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::clock::Random;
use crate::domain::id::EmailId;
use crate::domain::link::{HALF, Token};
use crate::tenant::TenantId;

/// 256 bits.
pub(super) const KEY_BYTES: usize = 32;

/// Wraps and unwraps data keys. Never printed.
#[derive(Clone)]
pub struct MasterKey {
    bytes: [u8; KEY_BYTES],
}

/// A tenant's own key for its secrets. Never printed.
pub struct DataKey {
    bytes: [u8; KEY_BYTES],
}

/// What signs a tenant's links. Never printed.
pub(super) struct LinkKey(hmac::Key);

/// What a sealed link key is.
const LINK_KEY: &str = "link key";

/// Why a text is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 32 random bytes in base64: make one with `openssl rand -base64 32`")]
pub struct MasterKeyError;

// === impl MasterKey ===

impl MasterKey {
    /// Reads 32 bytes in base64.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| MasterKeyError)?;
        Ok(Self { bytes: bytes.try_into().map_err(|_| MasterKeyError)? })
    }

    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = [0; KEY_BYTES];
        random.fill(&mut bytes);
        Self { bytes }
    }

    /// As `parse` reads it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.bytes)
    }

    /// A new data key for the tenant, wrapped.
    pub fn new_data_key(&self, tenant: &TenantId, random: &dyn Random) -> Option<Vec<u8>> {
        let mut bytes = [0; KEY_BYTES];
        random.fill(&mut bytes);
        self.wrap(&DataKey { bytes }, tenant, random)
    }

    /// The data key, sealed for the tenant.
    pub fn wrap(&self, key: &DataKey, tenant: &TenantId, random: &dyn Random) -> Option<Vec<u8>> {
        seal(&self.bytes, tenant.as_str(), &key.bytes, random)
    }

    /// The data key, or None if it was not wrapped by this key for this tenant.
    pub fn unwrap_data_key(&self, tenant: &TenantId, wrapped: &[u8]) -> Option<DataKey> {
        let bytes = open(&self.bytes, tenant.as_str(), wrapped)?;
        Some(DataKey { bytes: bytes.try_into().ok()? })
    }
}

// === impl DataKey ===

impl DataKey {
    /// The secret, sealed; `what` it is must be told again to open it.
    pub fn seal(&self, what: &str, secret: &str, random: &dyn Random) -> Option<Vec<u8>> {
        seal(&self.bytes, what, secret.as_bytes(), random)
    }

    /// The secret, or None if this key did not seal it as `what`.
    pub fn open(&self, what: &str, sealed: &[u8]) -> Option<String> {
        String::from_utf8(open(&self.bytes, what, sealed)?).ok()
    }
}

impl DataKey {
    /// A new key for the tenant's links, and sealed.
    pub(super) fn new_link_key(&self, random: &dyn Random) -> Option<(LinkKey, Vec<u8>)> {
        let mut bytes = [0; KEY_BYTES];
        random.fill(&mut bytes);
        Some((LinkKey::new(&bytes), seal(&self.bytes, LINK_KEY, &bytes, random)?))
    }

    /// None if this key did not seal it.
    pub(super) fn open_link_key(&self, sealed: &[u8]) -> Option<LinkKey> {
        open(&self.bytes, LINK_KEY, sealed).map(|bytes| LinkKey::new(&bytes))
    }
}

// === impl LinkKey ===

impl LinkKey {
    fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The token of the link that has this id and is for this e-mail to this address.
    pub(super) fn sign(&self, id: [u8; HALF], email: &EmailId, address: &str) -> Token {
        // No id has a NUL, so that what is signed says where one ends.
        let signed = [id.as_slice(), email.as_str().as_bytes(), b"\0", address.as_bytes()].concat();
        let mut signature = [0; HALF];
        signature.copy_from_slice(&hmac::sign(&self.0, &signed).as_ref()[..HALF]);
        Token { id, signature }
    }

    /// Whether the token is the one that this key gives; how long that takes tells nothing.
    pub(super) fn verifies(&self, token: &Token, email: &EmailId, address: &str) -> bool {
        let signed = self.sign(token.id, email, address);
        verify_slices_are_equal(&signed.signature, &token.signature).is_ok()
    }
}

/// AES-256-GCM with a random nonce: the nonce, the sealed bytes, the tag. Bound to `context`.
fn seal(key: &[u8; KEY_BYTES], context: &str, bytes: &[u8], random: &dyn Random) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce);
    let mut sealed = bytes.to_vec();
    let aad = Aad::from(context.as_bytes());
    cipher(key)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
    Some([&nonce[..], &sealed].concat())
}

fn open(key: &[u8; KEY_BYTES], context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut sealed = sealed.to_vec();
    let opened = cipher(key)?.open_in_place(nonce, Aad::from(context.as_bytes()), &mut sealed).ok()?;
    Some(opened.to_vec())
}

fn cipher(key: &[u8; KEY_BYTES]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SystemRandom;

    #[test]
    fn a_data_key_opens_for_its_tenant_under_its_master_key_alone() {
        let (a, b) = (TenantId::parse("a").expect("an id"), TenantId::parse("b").expect("an id"));
        let master = MasterKey::generate(&SystemRandom);
        let wrapped = master.new_data_key(&a, &SystemRandom).expect("sealed");
        assert!(master.unwrap_data_key(&a, &wrapped).is_some());
        assert!(master.unwrap_data_key(&b, &wrapped).is_none());
        assert!(MasterKey::generate(&SystemRandom).unwrap_data_key(&a, &wrapped).is_none());
        assert!(master.unwrap_data_key(&a, &wrapped[..20]).is_none());
        let again = MasterKey::parse(&master.to_base64()).expect("its own text");
        let key = again.unwrap_data_key(&a, &wrapped).expect("its own");
        let sealed = key.seal("smtp password", "s3cret", &SystemRandom).expect("sealed");
        assert_eq!(key.open("smtp password", &sealed).as_deref(), Some("s3cret"));
        assert_eq!(key.open("another secret", &sealed), None);
        assert!(!sealed.windows(6).any(|part| part == b"s3cret"));
        let other = master.new_data_key(&a, &SystemRandom).and_then(|wrapped| master.unwrap_data_key(&a, &wrapped));
        assert_eq!(other.expect("a key").open("smtp password", &sealed), None);
        assert!(MasterKey::parse("c2hvcnQ=").is_err());
    }

    #[test]
    fn a_link_is_signed_for_its_email_and_its_address_by_its_tenants_key() {
        let tenant = TenantId::parse("a").expect("an id");
        let master = MasterKey::generate(&SystemRandom);
        let data_key = || {
            master.new_data_key(&tenant, &SystemRandom).and_then(|wrapped| master.unwrap_data_key(&tenant, &wrapped))
        };
        let (own, other) = (data_key().expect("a key"), data_key().expect("a key"));
        let (key, sealed) = own.new_link_key(&SystemRandom).expect("sealed");
        let (email, another) = (EmailId::parse("em_1").expect("an id"), EmailId::parse("em_12").expect("an id"));
        let token = key.sign([1; HALF], &email, "2@a.example");
        let again = own.open_link_key(&sealed).expect("its own");
        assert!(again.verifies(&token, &email, "2@a.example"));
        assert!(!key.verifies(&token, &another, "@a.example") && !key.verifies(&token, &another, "2@a.example"));
        assert!(!key.verifies(&token, &email, "2@b.example"));
        assert!(!key.verifies(&Token { id: [2; HALF], ..token }, &email, "2@a.example"));
        let (second, _) = own.new_link_key(&SystemRandom).expect("sealed");
        assert!(!second.verifies(&token, &email, "2@a.example"));
        assert!(other.open_link_key(&sealed).is_none());
    }
}
