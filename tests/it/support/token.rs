//! Tokens, the keys that sign them, and certificates.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use herald::config::{Config, Secret};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::folder;

/// A key of an issuer.
pub struct SigningKey {
    pub kid: String,
    algorithm: Algorithm,
    private: EncodingKey,
    pub public_pem: String,
}

pub fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "tokens expire by the real clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}

pub fn hs(claims: &Value, secret: &str, algorithm: Algorithm) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
}

/// A production server's settings, without a source of credentials.
pub fn production(mut config: Config) -> Config {
    config.dev = false;
    config.mail.outbox = true;
    config.auth.hs256_secret = Secret::default();
    config.master_key = Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    config
}

impl SigningKey {
    pub fn new(kid: &str, algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::RS256 => &rcgen::PKCS_RSA_SHA256,
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::ES384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            _ => &rcgen::PKCS_ED25519,
        };
        let pair = KeyPair::generate_for(kind).expect("a key");
        let pem = pair.serialize_pem();
        let private = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
            _ => EncodingKey::from_ed_pem(pem.as_bytes()),
        };
        let private = private.expect("a key");
        Self { kid: kid.to_owned(), algorithm, private, public_pem: pair.public_key_pem() }
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.private).expect("a token")
    }

    /// The same without the key's id.
    pub fn sign_unnamed(&self, claims: &Value) -> String {
        encode(&Header::new(self.algorithm), claims, &self.private).expect("a token")
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The signature of these bytes, in base64.
    pub fn sign_bytes(&self, bytes: &[u8]) -> String {
        jsonwebtoken::crypto::sign(bytes, &self.private, self.algorithm).expect("signed")
    }

    pub fn jwk(&self) -> Value {
        let pem = self.public_pem.as_bytes();
        let public = match self.algorithm {
            Algorithm::RS256 => DecodingKey::from_rsa_pem(pem),
            Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(pem),
            _ => DecodingKey::from_ed_pem(pem),
        };
        let mut jwk = Jwk::from_decoding_key(&public.expect("a key"), Some(self.algorithm)).expect("a public key");
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).expect("JSON")
    }
}

/// The key set of these keys.
pub fn key_set(keys: &[&SigningKey]) -> Vec<u8> {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

/// Writes a file that its user alone may read, as a key must be.
pub fn private_file(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("set");
}

/// When certificates are valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Now,
    Past,
    Future,
}

/// An authority with a server's and a client's certificate, as files.
pub struct Authority {
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        Self::with(Validity::Now)
    }

    /// The same with certificates that are valid then.
    pub fn with(validity: Validity) -> Self {
        let folder = folder();
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let write = |name: &str, text: String| private_file(&folder.path().join(name), &text);
        write("ca.pem", authority.pem());
        write("ca.key", authority.key().serialize_pem());
        for (name, subject) in [("server", "localhost"), ("client", "client.example")] {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(vec![subject.to_owned()]).expect("parameters");
            params.distinguished_name.push(DnType::CommonName, subject);
            match validity {
                Validity::Now => {}
                Validity::Past => params.not_after = rcgen::date_time_ymd(2020, 1, 1),
                Validity::Future => params.not_before = rcgen::date_time_ymd(2100, 1, 1),
            }
            let certificate = params.signed_by(&key, &authority).expect("a certificate");
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
