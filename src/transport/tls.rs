//! The certificate of the port, and whose certificates its clients show.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::validity::Validity;
use crate::config;

/// What the settings name cannot be served with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{setting} {path}: no {what} in PEM can be read")]
    Pem { setting: &'static str, path: String, what: &'static str, source: pem::Error },
    #[error("{setting} {path} has a {instead} and no {what}: are tls.certificate_file and tls.key_file swapped?")]
    Swapped { setting: &'static str, path: String, what: &'static str, instead: &'static str },
    #[error("tls.certificate_file and tls.key_file do not fit each other")]
    Pair,
    #[error("tls.certificate_file and tls.key_file cannot be used")]
    Unusable(#[source] rustls::Error),
    #[error("tls.client_ca_file {path}: no client can be verified with it")]
    Authority { path: String, source: VerifierBuilderError },
}

/// What accepts connections over TLS; None for plain text.
pub fn tls(settings: &config::Tls) -> Result<Option<TlsAcceptor>, TlsError> {
    if !settings.is_on() {
        return Ok(None);
    }
    let certificates = certificates("tls.certificate_file", &settings.certificate_file)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key_file)
        .map_err(|source| no_pem("tls.key_file", &settings.key_file, "private key", source))?;
    let builder = ServerConfig::builder();
    let builder = if settings.client_ca_file.is_empty() {
        builder.with_no_client_auth()
    } else {
        let path = &settings.client_ca_file;
        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(self::certificates("tls.client_ca_file", path)?);
        let verifier = WebPkiClientVerifier::builder(authorities.into()).build();
        let verifier = verifier.map_err(|source| TlsError::Authority { path: path.clone(), source })?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Pair,
        other => TlsError::Unusable(other),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// From when to when the certificates are valid that the settings name.
pub fn validities(settings: &config::Tls) -> Result<Vec<Validity>, TlsError> {
    let mut found = Vec::new();
    let files =
        [("tls.certificate_file", &settings.certificate_file), ("tls.client_ca_file", &settings.client_ca_file)];
    for (setting, path) in files.into_iter().filter(|(_, path)| !path.is_empty()) {
        let what = format!("a certificate in {setting} {path}");
        found.extend(certificates(setting, path)?.iter().filter_map(|certificate| Validity::of(&what, certificate)));
    }
    Ok(found)
}

/// What the first certificate of `tls.certificate_file` is, if careful clients do not take that for a server's, whichever
/// authority they trust: rustls asks itself, as such a client would.
pub fn misissued(settings: &config::Tls) -> Option<&'static str> {
    let certificates = certificates("tls.certificate_file", &settings.certificate_file).ok()?;
    let (first, others) = certificates.split_first()?;
    not_for_a_server(&refusal(first, others)?)
}

/// Whether `tls.client_ca_file` has certificates, and none of them is an authority's.
pub fn has_no_authority(settings: &config::Tls) -> bool {
    let is_none = |of: &CertificateDer<'_>| refusal(of, &[]).is_some_and(|error| not_for_a_server(&error).is_none());
    let certificates = certificates("tls.client_ca_file", &settings.client_ca_file);
    certificates.is_ok_and(|certificates| certificates.iter().all(is_none))
}

/// Why a client refuses a server with this certificate, if not for its authority or its dates: at least for its name.
fn refusal(first: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Option<CertificateError> {
    let mut authorities = RootCertStore::empty();
    authorities.add(first.clone().into_owned()).ok()?;
    let verifier = WebPkiServerVerifier::builder(authorities.into()).build().ok()?;
    let name = ServerName::try_from("nobody.invalid").ok()?;
    // Its dates are told apart from this.
    let begun = Validity::of("", first)?.from.try_into().ok()?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(begun));
    match verifier.verify_server_cert(first, others, &name, &[], now) {
        Err(rustls::Error::InvalidCertificate(error)) => Some(error),
        _ => None,
    }
}

/// What a certificate is that the error says is not for a server. What only webpki has a word for, it says itself.
pub fn not_for_a_server(error: &CertificateError) -> Option<&'static str> {
    let CertificateError::Other(error) = error else { return None };
    match error.to_string().as_str() {
        "CaUsedAsEndEntity" => Some("an authority's own"),
        "UnsupportedCertVersion" => Some("of X.509 version 1, which says no host"),
        _ => None,
    }
}

fn certificates(setting: &'static str, path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.and_then(|found| if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) });
    found.map_err(|source| no_pem(setting, path, "certificate", source))
}

fn no_pem(setting: &'static str, path: &str, what: &'static str, source: pem::Error) -> TlsError {
    let path = path.to_owned();
    let instead = match what {
        "certificate" => PrivateKeyDer::from_pem_file(&path).is_ok().then_some("private key"),
        _ => CertificateDer::from_pem_file(&path).is_ok().then_some("certificate"),
    };
    match instead {
        Some(instead) => TlsError::Swapped { setting, path, what, instead },
        None => TlsError::Pem { setting, path, what, source },
    }
}
