//! Reads web pages over HTTP and HTTPS.
//!
//! Bounded in time and size; redirects are followed here, one by one, so that each target is checked like the first.
//! Addresses are checked where names are resolved: what is connected to is what was checked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Client, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::{Host, Url};

use super::address::is_allowed;
use super::{ConnectError, Fetch, Fetched};
use crate::budget;
use crate::config;

/// How many redirects are followed; browsers follow 20, honest websites need two.
const MAX_REDIRECTS: usize = 5;
const USER_AGENT: &str = concat!("Herald/", env!("CARGO_PKG_VERSION"));

/// Reads pages through reqwest.
pub struct WebFetch {
    client: Client,
    timeout: Duration,
    max_bytes: usize,
    allow_private: bool,
    /// What the pages that were fetched may take together, in units of [`UNIT`] bytes.
    room: Arc<Semaphore>,
}

/// Resolves names as the system does, and refuses what they must not lead to.
struct Allowed {
    private: bool,
}

/// A name that leads nowhere that may be read, whether or not it leads anywhere; kept as a type so that it is told from
/// other failures. Who asks must not learn which names there are inside.
#[derive(Debug, thiserror::Error)]
#[error("{0} leads to no address on the public internet")]
struct NotPublic(String);

/// What room is counted in.
const UNIT: usize = 64 * 1024;

// === impl WebFetch ===

impl WebFetch {
    pub fn new(settings: &config::Fetch) -> reqwest::Result<Self> {
        let client = super::http::client(|builder| {
            let builder = builder
                .user_agent(USER_AGENT)
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                // A proxy would connect for us to what we have not checked.
                .no_proxy()
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(Duration::from_secs(10));
            builder.dns_resolver(Allowed { private: settings.allow_private })
        })?;
        Ok(Self {
            client,
            timeout: Duration::from_secs(settings.timeout_seconds),
            max_bytes: settings.max_bytes,
            allow_private: settings.allow_private,
            room: Arc::new(Semaphore::new(budget::PAGES / UNIT)),
        })
    }

    async fn follow(&self, url: &Url) -> Result<Fetched, ConnectError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            self.check(&url)?;
            let request =
                self.client.get(url.clone()).header(ACCEPT, "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5");
            let response = request.send().await.map_err(|error| failure(&url, &error))?;
            if !response.status().is_redirection() {
                return self.read(url, response).await;
            }
            let target = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
            let target = target.and_then(|l| url.join(l).ok());
            url = target.ok_or_else(|| ConnectError::Final(format!("{url} redirects to nowhere")))?;
        }
        Err(ConnectError::Final(format!("{url} redirects more than {MAX_REDIRECTS} times")))
    }

    /// Refuses what the resolver never sees: other schemes and literal addresses.
    fn check(&self, url: &Url) -> Result<(), ConnectError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ConnectError::Final(format!("{url} is neither http nor https")));
        }
        let literal = match url.host() {
            Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
            Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
            _ => None,
        };
        match literal {
            Some(address) if !is_allowed(address, self.allow_private) => {
                Err(ConnectError::Final(NotPublic(address.to_string()).to_string()))
            }
            _ => Ok(()),
        }
    }

    async fn read(&self, url: Url, mut response: Response) -> Result<Fetched, ConnectError> {
        let status = response.status();
        if !status.is_success() {
            let text = format!("{url} answers {status}");
            let passing = status.is_server_error()
                || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
            return Err(if passing { ConnectError::Passing(text) } else { ConnectError::Final(text) });
        }
        let content_type = content_type(response.headers());
        if !content_type.is_empty() && !content_type.contains("html") {
            return Err(ConnectError::Final(format!("{url} is {content_type}, not a web page")));
        }
        let mut bytes = Vec::new();
        let mut cut = false;
        let mut room = self.take_room(UNIT).await;
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&url, &error))? {
            let left = self.max_bytes - bytes.len();
            let taken = &chunk[..chunk.len().min(left)];
            let held = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * UNIT;
            if bytes.len() + taken.len() > held
                && let (Some(room), Some(more)) = (&mut room, self.take_room(bytes.len() + taken.len() - held).await)
            {
                room.merge(more);
            }
            bytes.extend_from_slice(taken);
            if chunk.len() > left {
                cut = true;
                break;
            }
        }
        Ok(Fetched { html: decode(&bytes, &content_type, cut), size: bytes.len(), url, cut, room })
    }

    /// Room for so many bytes, once there is some; the page's time goes on meanwhile.
    async fn take_room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.room.clone().acquire_many_owned(units).await.ok()
    }
}

#[async_trait]
impl Fetch for WebFetch {
    async fn fetch(&self, url: &Url) -> Result<Fetched, ConnectError> {
        let late = || ConnectError::Passing(format!("{url} took longer than {} seconds", self.timeout.as_secs()));
        tokio::time::timeout(self.timeout, self.follow(url)).await.unwrap_or_else(|_| Err(late()))
    }
}

// === impl Allowed ===

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await;
            let found = found.map(Iterator::collect::<Vec<SocketAddr>>).unwrap_or_default();
            let allowed: Vec<_> = found.into_iter().filter(|a| is_allowed(a.ip(), private)).collect();
            if allowed.is_empty() {
                return Err(NotPublic(host).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The failure of a request, in words; a refused address is final, anything else of the network may pass.
fn failure(url: &Url, error: &reqwest::Error) -> ConnectError {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    let mut last = String::new();
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<NotPublic>() {
            return ConnectError::Final(refused.to_string());
        }
        last = error.to_string();
        cause = error.source();
    }
    ConnectError::Passing(format!("{url} cannot be read: {last}"))
}

/// In lower case; empty if there is none.
fn content_type(headers: &HeaderMap) -> String {
    headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_ascii_lowercase()
}

/// The text in the charset that the header names, or a byte order mark, or the page's own meta element; else UTF-8 if it
/// is that, else windows-1252, as browsers do.
fn decode(bytes: &[u8], content_type: &str, cut: bool) -> String {
    let named = label(content_type).or_else(|| {
        let head = &bytes[..bytes.len().min(1024)];
        label(&String::from_utf8_lossy(head).to_ascii_lowercase())
    });
    let guess = || if is_utf8(bytes, cut) { UTF_8 } else { WINDOWS_1252 };
    named.unwrap_or_else(guess).decode(bytes).0.into_owned()
}

/// The encoding after `charset=` in a lower-case text.
fn label(text: &str) -> Option<&'static Encoding> {
    let (_, rest) = text.split_once("charset")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c))).unwrap_or(rest.len());
    Encoding::for_label(&rest.as_bytes()[..end])
}

/// Whether the bytes are UTF-8; those of a page that was cut may end in the middle of a character.
fn is_utf8(bytes: &[u8], cut: bool) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => cut && error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_in_the_charset_that_they_say() {
        let gbk: &[u8] = &[0xd6, 0xd0, 0xce, 0xc4];
        assert_eq!(decode(gbk, "text/html; charset=gbk", false), "中文");
        let page = [b"<meta charset=\"GB2312\">".as_slice(), gbk].concat();
        assert!(decode(&page, "text/html", false).ends_with("中文"));
        assert_eq!(decode("中文".as_bytes(), "text/html", false), "中文");
        assert_eq!(decode(b"caf\xe9", "text/html", false), "café");
        assert_eq!(decode(&"中文".as_bytes()[..5], "", true), "中\u{fffd}");
        let meta = b"<meta http-equiv=content-type content='text/html; charset = iso-8859-1'>\xe9";
        assert!(decode(meta, "", false).ends_with('é'));
    }
}
