//! The master key, and the tenants' data keys that it wraps.
//!
//! Each tenant has a random key of its own for its secrets. It is stored wrapped with AES-256-GCM under the master key,
//! bound to the tenant's id: 12 bytes of nonce, the sealed key, 16 bytes of tag. Destroying a tenant's row makes its
//! secrets unreadable everywhere, backups included.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::clock::Random;
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
}
