//! What all HTTP clients share: whom they trust, and how much of a body they read.

use bytes::Bytes;
use reqwest::{Certificate, Client, ClientBuilder, Response};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// The body of a response up to a limit, in the pieces that come.
pub struct BoundedBody {
    response: Response,
    /// The bytes that may still come.
    left: usize,
    is_cut: bool,
}

/// A client made as `configure` says. It trusts the system's certificate authorities, or Mozilla's where the system has none, as
/// in a bare container.
pub fn client(configure: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Client> {
    let system = configure(Client::builder()).build();
    system.or_else(|error| {
        tracing::debug!(%error, "the system's certificate authorities cannot be used; Mozilla's are");
        let mozilla =
            TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>()?;
        configure(Client::builder()).tls_certs_only(mozilla).build()
    })
}

// === impl BoundedBody ===

impl BoundedBody {
    /// At most `max` bytes of the body.
    pub fn new(response: Response, max: usize) -> Self {
        Self { response, left: max, is_cut: false }
    }

    /// The next piece, cut to what may still come; None after the last.
    pub async fn next(&mut self) -> reqwest::Result<Option<Bytes>> {
        if self.is_cut {
            return Ok(None);
        }
        let Some(mut piece) = self.response.chunk().await? else { return Ok(None) };
        self.is_cut = piece.len() > self.left;
        piece.truncate(self.left);
        self.left -= piece.len();
        Ok(Some(piece))
    }

    /// Whether there was more than the limit; known once `next` has given None.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}
