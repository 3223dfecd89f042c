//! Reads web pages over HTTP and HTTPS.
//!
//! Bounded in time and size. Herald follows redirects, and refreshes as browsers do, one by one, and checks each target like the
//! first. It checks addresses where it resolves names, so that it connects to what it checked (SSRF).
//!
//! reqwest undoes content encodings; Herald counts and bounds what comes out of that, and finds the charset as the HTML standard
//! has it ([`charset`]).

mod charset;
mod head;
mod media_type;
mod meta;
mod prescan;
mod refresh;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use encoding_rs::REPLACEMENT;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CONTENT_ENCODING, HeaderMap, LOCATION, REFRESH};
use reqwest::{Client, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::address::{is_allowed, literal, resolve};
use super::http::{self, BoundedBody};
use super::{ConnectError, Fetch, Fetched};
use crate::budget;
use crate::config;
use crate::heavy::heavy;
use media_type::MediaType;
use refresh::Refresh;

/// How many redirects and refreshes are followed; browsers follow 20, honest websites need two.
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
#[error(
    "{0} leads to no address on the public internet (the server's setting fetch.allow_private lets it read others)"
)]
struct NotPublic(String);

/// What an address has given.
enum Given {
    Page(Fetched),
    /// Another address, to be read instead.
    Onward(Url),
}

/// What room is counted in.
const UNIT: usize = 64 * 1024;

// === impl WebFetch ===

impl WebFetch {
    pub fn new(settings: &config::Fetch) -> reqwest::Result<Self> {
        let client = http::client(|builder| {
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
            let given = match response.status().is_redirection() {
                true => Given::Onward(location(&url, response.headers())?),
                false => self.read(url.clone(), response).await?,
            };
            match given {
                Given::Page(page) => return Ok(page),
                Given::Onward(next) => url = next,
            }
        }
        Err(ConnectError::Final(format!("{url} redirects more than {MAX_REDIRECTS} times")))
    }

    /// Refuses what the resolver never sees: other schemes and literal addresses.
    fn check(&self, url: &Url) -> Result<(), ConnectError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ConnectError::Final(format!("{url} is neither http nor https")));
        }
        match literal(url) {
            Some(address) if !is_allowed(address, self.allow_private) => {
                Err(ConnectError::Final(NotPublic(address.to_string()).to_string()))
            }
            _ => Ok(()),
        }
    }

    async fn read(&self, url: Url, response: Response) -> Result<Given, ConnectError> {
        let status = response.status();
        let guard = guard(response.headers());
        if !status.is_success() || guard.is_some() {
            let asks = guard.map(|who| format!(" with a challenge of {who}")).unwrap_or_default();
            let text = format!("{url} answers {status}{asks}");
            let passing = guard.is_none() && status.is_server_error()
                || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
            return Err(if passing { ConnectError::Passing(text) } else { ConnectError::Final(text) });
        }
        let media = MediaType::of(response.headers());
        if !media.is_page() {
            return Err(ConnectError::Final(format!("{url} is {}, not a web page", media.essence)));
        }
        if let Some(unknown) = unknown_encoding(response.headers()) {
            let text = format!("{url} is encoded as {unknown}, which was not asked for and cannot be read");
            return Err(ConnectError::Final(text));
        }
        let told = response.headers().get(REFRESH).and_then(|value| refresh::parse(&lossy(value.as_bytes())));
        let (mut body, mut bytes) = (BoundedBody::new(response, self.max_bytes), Vec::new());
        let mut room = self.take_room(UNIT).await;
        while let Some(piece) = body.next().await.map_err(|error| failure(&url, &error))? {
            let held = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * UNIT;
            let needed = bytes.len() + piece.len();
            if needed > held
                && let (Some(room), Some(more)) = (&mut room, self.take_room(needed - held).await)
            {
                room.merge(more);
            }
            bytes.extend_from_slice(&piece);
        }
        let (size, cut) = (bytes.len(), body.is_cut());
        let host = url.host_str().unwrap_or_default();
        let (html, encoding, head) = heavy(size, || charset::decode(&bytes, media.charset, host, cut));
        if encoding == REPLACEMENT {
            return Err(ConnectError::Final(format!("{url} is in a charset that no browser reads")));
        }
        let base = head.base.as_ref().and_then(|base| url.join(base).ok()).unwrap_or_else(|| url.clone());
        let onward = told.map(|told| (told, &url)).or(head.refresh.map(|said| (said, &base)));
        match onward.and_then(|(refresh, base)| target(&refresh, base)).filter(|next| is_another(next, &url)) {
            Some(next) => Ok(Given::Onward(next)),
            None => Ok(Given::Page(Fetched { html, size, url, cut, room })),
        }
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
            let allowed = resolve(&host, 0, |address| is_allowed(address, private)).await;
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

/// Where a redirect leads. A `Location` in raw UTF-8 is taken as it is meant, and in any other charset byte for byte: as browsers
/// do, whatever RFC 9110 has servers send.
fn location(url: &Url, headers: &HeaderMap) -> Result<Url, ConnectError> {
    let target = headers.get(LOCATION).and_then(|location| url.join(&lossless(location.as_bytes())).ok());
    target.ok_or_else(|| ConnectError::Final(format!("{url} redirects to nowhere")))
}

/// Bytes that are not UTF-8 are escaped one by one.
fn lossless(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold(String::new(), |mut text, byte| {
            match byte {
                0..0x80 => text.push(char::from(*byte)),
                _ => text.push_str(&format!("%{byte:02X}")),
            }
            text
        }),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The page that a refresh leads to, if it is followed.
fn target(refresh: &Refresh, base: &Url) -> Option<Url> {
    refresh.is_onward().then(|| base.join(&refresh.url).ok())?
}

/// A refresh that leads to its own page loads it anew.
fn is_another(next: &Url, url: &Url) -> bool {
    let plain = |url: &Url| {
        let mut url = url.clone();
        url.set_fragment(None);
        url
    };
    plain(next) != plain(url)
}

/// The content encodings that are left after reqwest has undone those that it knows, if there are any.
fn unknown_encoding(headers: &HeaderMap) -> Option<String> {
    let left = headers.get_all(CONTENT_ENCODING).iter().map(|value| lossy(value.as_bytes()));
    let left = left.collect::<Vec<_>>().join(", ");
    let names =
        left.split(',').map(str::trim).filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
    let names = names.map(|name| name.chars().take(40).collect::<String>()).take(4).collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then_some(names)
}

/// Who asks for a proof that a person reads, where the answer's head says so.
fn guard(headers: &HeaderMap) -> Option<&'static str> {
    const SAYS: [(&str, &[&str], &str); 3] = [
        ("cf-mitigated", &["challenge"], "Cloudflare"),
        ("x-amzn-waf-action", &["challenge", "captcha"], "AWS WAF"),
        ("x-vercel-mitigated", &["challenge"], "Vercel"),
    ];
    let says = |name: &str, words: &[&str]| {
        headers
            .get(name)
            .is_some_and(|value| words.iter().any(|word| value.as_bytes().eq_ignore_ascii_case(word.as_bytes())))
    };
    SAYS.iter().find(|(name, words, _)| says(name, words)).map(|(_, _, who)| *who)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &[u8])]) -> HeaderMap {
        let value = |value: &[u8]| reqwest::header::HeaderValue::from_bytes(value).expect("a value");
        list.iter().map(|(name, bytes)| (name.parse().expect("a name"), value(bytes))).collect()
    }

    #[test]
    fn locations_are_followed_whatever_their_bytes() {
        let base = Url::parse("https://acme.example/a/b").expect("a URL");
        for (location, right) in [
            ("/caf\u{e9}".as_bytes(), "https://acme.example/caf%C3%A9"),
            ("../首页?q=首".as_bytes(), "https://acme.example/%E9%A6%96%E9%A1%B5?q=%E9%A6%96"),
            (b"/caf\xe9", "https://acme.example/caf%E9"),
            ("//b\u{fc}cher.example".as_bytes(), "https://xn--bcher-kva.example/"),
        ] {
            assert_eq!(super::location(&base, &headers(&[("location", location)])).expect("a target").as_str(), right);
        }
        assert!(super::location(&base, &headers(&[])).is_err());
        assert!(super::location(&base, &headers(&[("location", b"https://")])).is_err());
    }

    #[test]
    fn content_encodings_that_are_left_are_named() {
        let named = |value: &'static [u8]| unknown_encoding(&headers(&[("content-encoding", value)]));
        assert_eq!(named(b"zstd").as_deref(), Some("zstd"));
        assert_eq!(named(b"gzip, compress").as_deref(), Some("gzip, compress"));
        assert_eq!((named(b"identity"), named(b""), unknown_encoding(&headers(&[]))), (None, None, None));
    }

    #[test]
    fn a_challenge_is_told_by_its_header() {
        assert_eq!(guard(&headers(&[("cf-mitigated", b"challenge")])), Some("Cloudflare"));
        assert_eq!(guard(&headers(&[("x-amzn-waf-action", b"captcha")])), Some("AWS WAF"));
        assert_eq!(guard(&headers(&[("x-amzn-waf-action", b"allow"), ("server", b"cloudflare")])), None);
    }
}
