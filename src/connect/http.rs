//! The HTTP clients' trust: the system's certificate authorities, or Mozilla's where the system has none, as in a bare
//! container.

use reqwest::{Certificate, Client, ClientBuilder};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// A client made as `configure` says.
pub fn client(configure: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Client> {
    let system = configure(Client::builder()).build();
    system.or_else(|error| {
        tracing::debug!(%error, "the system's certificate authorities cannot be used; Mozilla's are");
        let mozilla =
            TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>()?;
        configure(Client::builder()).tls_certs_only(mozilla).build()
    })
}
