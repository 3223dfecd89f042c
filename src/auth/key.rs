//! Public keys: what may verify a token, and the one in a PEM file.
//!
//! A file that holds something else is refused with what it holds: a private key above all, which whoever reads the server's
//! files could sign tokens with.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The configured key cannot be used: what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);

/// A key and the one algorithm that it verifies.
pub(super) struct Key {
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
}

/// The shortest RSA key, in bits (RFC 7518, 3.3).
pub(super) const MIN_RSA_BITS: usize = 2_048;

/// The public key in a PEM file, and the algorithm that goes with its type.
pub(super) fn public_key(path: &str) -> Result<Key, KeyError> {
    let refuse = |why: &str| KeyError(format!("auth.public_key_file {path}: {why}"));
    let pem = std::fs::read(path).map_err(|error| refuse(&error.to_string()))?;
    if let Some(why) = is_no_public_key(&String::from_utf8_lossy(&pem)) {
        return Err(refuse(&why));
    }
    let key = |algorithm, decoding| Key { algorithm, decoding };
    // A point of P-256, uncompressed, has 65 bytes; ES256 is that curve alone.
    let on_p256 = |key: &DecodingKey| key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == 65);
    let rsa = DecodingKey::from_rsa_pem(&pem).map(|decoding| key(Algorithm::RS256, decoding));
    let ec = || DecodingKey::from_ec_pem(&pem).ok().filter(on_p256).map(|decoding| key(Algorithm::ES256, decoding));
    let ed = || DecodingKey::from_ed_pem(&pem).ok().map(|decoding| key(Algorithm::EdDSA, decoding));
    let found = rsa.ok().or_else(ec).or_else(ed).ok_or_else(|| {
        refuse("is no public key in PEM for RS256 (RSA), ES256 (P-256) or EdDSA (Ed25519); make a key of one of these")
    })?;
    let jwk = Jwk::from_decoding_key(&found.decoding, Some(found.algorithm)).map(|jwk| jwk.algorithm);
    match jwk {
        Ok(AlgorithmParameters::RSA(rsa)) if rsa_bits(&rsa.n) < MIN_RSA_BITS => Err(refuse(&format!(
            "is an RSA key of {} bits; the issuer must sign with one of at least {MIN_RSA_BITS}, such as \
             `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072` makes",
            rsa_bits(&rsa.n)
        ))),
        Ok(_) => Ok(found),
        Err(error) => Err(refuse(&format!("its public key cannot be read: {error}"))),
    }
}

/// What the text is instead of one public key in PEM, and what to do.
fn is_no_public_key(text: &str) -> Option<String> {
    let label = |line: &str| Some(line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")?.to_owned());
    let labels: Vec<_> = text.lines().filter_map(label).collect();
    let to_do = "write the public key alone: `openssl pkey -in KEY -pubout`";
    let any = |word: &str| labels.iter().any(|label| label.contains(word));
    if labels.is_empty() {
        return Some(format!("holds no PEM block `-----BEGIN PUBLIC KEY-----`; {to_do}"));
    }
    if any("PRIVATE") {
        return Some(format!("is a private key, with which tokens can be made; keep it with the issuer, and {to_do}"));
    }
    if any("CERTIFICATE") {
        let to_do = "write its public key alone: `openssl x509 -in CERTIFICATE -pubkey -noout`";
        return Some(format!("is a certificate, whose dates and issuer nobody would look at; {to_do}"));
    }
    match &labels[..] {
        [label] if label == "PUBLIC KEY" || label == "RSA PUBLIC KEY" => None,
        [label] => Some(format!("holds a PEM block `{label}` and no public key; {to_do}")),
        more => Some(format!("holds {} PEM blocks; leave in it the one with the public key", more.len())),
    }
}

/// How long an RSA modulus is, from its base64 (RFC 7518, 6.3.1.1); 0 if it is none.
pub(super) fn rsa_bits(modulus: &str) -> usize {
    let bytes = URL_SAFE_NO_PAD.decode(modulus).unwrap_or_default();
    let zeros: usize = bytes.iter().take_while(|byte| **byte == 0).count();
    let first = bytes.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
    (bytes.len() - zeros) * 8 - first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_modulus_is_that_of_its_number() {
        let bits = |bytes: &[u8]| rsa_bits(&URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(bits(&[0xff; 256]), 2_048);
        assert_eq!(bits(&[[0x7f].as_slice(), &[0xff; 255]].concat()), 2_047);
        assert_eq!(bits(&[[0; 100].as_slice(), &[0x80; 128]].concat()), 1_024);
        assert_eq!((bits(&[0; 256]), bits(&[1]), rsa_bits(""), rsa_bits("?")), (0, 1, 0, 0));
    }

    #[test]
    fn what_is_no_public_key_is_told_by_what_it_is() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let told = |text: &str| is_no_public_key(text).unwrap_or_default();
        for label in ["PUBLIC KEY", "RSA PUBLIC KEY"] {
            assert_eq!(told(&block(label)), "");
            assert_eq!(told(&block(label).replace('\n', "\r\n")), "");
        }
        for label in
            ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"]
        {
            assert!(told(&block(label)).contains("is a private key"), "{label}");
            assert!(told(&(block("EC PARAMETERS") + &block(label))).contains("is a private key"), "{label}");
            assert!(told(&(block("PUBLIC KEY") + &block(label))).contains("is a private key"), "{label}");
        }
        assert!(told(&block("CERTIFICATE")).contains("is a certificate"));
        assert!(told(&block("TRUSTED CERTIFICATE")).contains("is a certificate"));
        assert!(told(&block("PUBLIC KEY").repeat(3)).contains("3 PEM blocks"));
        assert!(told(&block("X509 CRL")).contains("`X509 CRL`"));
        assert!(told("ssh-ed25519 AAAA").contains("holds no PEM"));
    }
}
