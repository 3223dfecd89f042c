//! Which addresses a tenant's mail server and token server may have: those on the public internet, and those inside that the
//! operator allows. Names are resolved here, so that what is connected to is what was checked (SSRF).

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{is_allowed, resolve};

/// The addresses that may be connected to.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Every address inside, too.
    pub private: bool,
    /// The networks inside that are allowed, such as that of a relay.
    pub networks: Vec<IpNet>,
}

/// A name that leads nowhere that may be connected to, whether or not it leads anywhere: who asks must not learn which names there
/// are inside.
#[derive(Debug, thiserror::Error)]
#[error("{0} leads to no address on the public internet, and to none inside that the server's settings allow")]
pub struct NotAllowed(String);

/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

// === impl Guard ===

impl Guard {
    pub fn allows(&self, address: IpAddr) -> bool {
        let inside = self.private || self.networks.iter().any(|network| network.contains(&address.to_canonical()));
        is_allowed(address, inside)
    }

    /// The addresses of a name, or of a literal address, that may be connected to.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, NotAllowed> {
        let mut allowed = resolve(host, port, |address| self.allows(address)).await;
        allowed.truncate(MAX_ADDRESSES);
        if allowed.is_empty() { Err(NotAllowed(host.to_owned())) } else { Ok(allowed) }
    }
}

/// For an HTTP client; literal addresses never come here.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move { Ok(Box::new(Guard::resolve(&guard, name.as_str(), 0).await?.into_iter()) as Addrs) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_network_inside_is_reached_where_it_is_allowed_and_credentials_never() {
        let inside = Guard { networks: vec!["10.1.0.0/16".parse().expect("a network")], ..Guard::default() };
        let [here, beside, public, metadata] =
            ["10.1.2.3", "10.2.0.1", "1.1.1.1", "169.254.169.254"].map(|a| a.parse().expect("an address"));
        let allowed = |guard: &Guard| [here, beside, public, metadata].map(|address| guard.allows(address));
        assert_eq!(allowed(&inside), [true, false, true, false]);
        assert_eq!(allowed(&Guard::default()), [false, false, true, false]);
        assert_eq!(allowed(&Guard { private: true, ..Guard::default() }), [true, true, true, false]);
        assert!(inside.resolve("localhost", 25).await.is_err());
        assert_eq!(inside.resolve("10.1.2.3", 25).await.expect("allowed"), ["10.1.2.3:25".parse().expect("one")]);
    }
}
