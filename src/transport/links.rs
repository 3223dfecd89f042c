//! The pages by which readers of letters unsubscribe: `/u/{token}`, over plain HTTP/1.1 and HTTP/2, for browsers and for mail
//! programs that ask by themselves (RFC 8058).
//!
//! A GET changes nothing, since scanners follow every link; a POST does, whatever its body says, unless it says `undo=1`. Whoever
//! has a link's token is its reader: there is no cookie, and no script.
//!
//! Architecture invariant: a token that is no link's is told nothing but that, by the same page after the same time, however it is
//! wrong. One that is a link's is served to everybody who has it, whatever else came from that address.

mod page;
mod strangers;
mod words;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use http::header::{ACCEPT_LANGUAGE, ALLOW, CONNECTION, CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tonic::body::Body;
use tower::Service;

use super::inline;
use crate::call::{Peer, Request, Response, yield_connection_task};
use crate::domain::language::Language;
use crate::domain::link::{self, PublicUrl, Standing, Token};
use crate::metrics::metrics;
use crate::store::{Followed, Store, StoreError};
use page::Page;
use strangers::Strangers;

/// Serves links; cheap to clone.
#[derive(Clone)]
pub(crate) struct Links(Arc<Parts>);

struct Parts {
    /// What stands before `/u/` where a proxy leaves the public URL's path as it is.
    path: String,
    /// There once it is open.
    store: OnceLock<Arc<Store>>,
    strangers: Strangers,
}

/// Serves links, and has all else served by another; cheap to clone.
#[derive(Clone)]
pub(super) struct WithLinks<S> {
    pub links: Option<Links>,
    pub rest: S,
}

/// Serves nothing.
#[derive(Clone)]
pub(super) struct NothingElse;

/// The body of a POST, in bytes; a form of a mail program has less than 300.
const MAX_BODY: usize = 1_024;
/// How long the body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long all of it may take.
const LONGEST: Duration = Duration::from_secs(30);
/// When a token that is no link's is answered, so that the time tells nothing of how it is wrong, and whoever asks again at once
/// keeps nobody busy.
const REFUSED_AFTER: Duration = Duration::from_millis(100);
/// Before a write is tried again for which the tenant has too many waiting.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// In seconds.
const RETRY: HeaderValue = HeaderValue::from_static("60");

/// Why a POST was not done.
enum Refused {
    /// There is no such link any more.
    Gone,
    Body(StatusCode),
    Store(StoreError),
}

// === impl Links ===

impl Links {
    pub(crate) fn new(public_url: &PublicUrl) -> Self {
        let path = public_url.path().to_owned();
        Self(Arc::new(Parts { path, store: OnceLock::new(), strangers: Strangers::default() }))
    }

    /// From now on, links are looked up.
    pub(crate) fn open(&self, store: Arc<Store>) {
        // A second opening would change nothing.
        let _ = self.0.store.set(store);
    }

    /// What stands in the place of the token, if the path is one of links.
    fn token<'a>(&self, path: &'a str) -> Option<&'a str> {
        let below = path.strip_prefix(self.0.path.as_str()).and_then(|path| path.strip_prefix(link::PATH));
        below.or_else(|| path.strip_prefix(link::PATH))
    }

    async fn answer(self, request: Request) -> Response {
        let until = Instant::now() + LONGEST;
        inline::cut_at(until + Duration::from_secs(2));
        yield_connection_task().await;
        let language = accepted(request.headers());
        let is_head = request.method() == Method::HEAD;
        let method = match *request.method() {
            Method::POST => "POST",
            Method::GET | Method::HEAD => "GET",
            _ => "other",
        };
        let answered = timeout_at(until, self.answer_in_time(request, language)).await;
        let response = answered.unwrap_or_else(|_| later(language));
        metrics().link(method, response.status().as_u16());
        if is_head { response.map(|_| Body::empty()) } else { response }
    }

    async fn answer_in_time(&self, request: Request, language: Language) -> Response {
        let answered_at = Instant::now() + REFUSED_AFTER;
        let (parts, body) = request.into_parts();
        let is_post = parts.method == Method::POST;
        if !is_post && parts.method != Method::GET && parts.method != Method::HEAD {
            let mut response = Page::NoLink(language).response(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            return response;
        }
        let Some(store) = self.0.store.get() else { return later(language) };
        let token = self.token(parts.uri.path()).and_then(Token::parse);
        let followed = match token {
            Some(token) => store.link(token).await,
            None => Ok(None),
        };
        let followed = match followed {
            Ok(Some(followed)) => followed,
            Ok(None) => {
                drop(body);
                let address = parts.extensions.get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.address);
                return self.refuse(address, language, answered_at).await;
            }
            Err(error) => {
                tracing::warn!(%error, "a link cannot be looked up");
                return later(language);
            }
        };
        let link = &followed.link;
        if !is_post {
            return match followed.standing {
                Standing::WrittenTo => Page::Ask(link),
                Standing::Unsubscribed => Page::Done { link, undo: link.may_undo() },
                Standing::Suppressed => Page::Done { link, undo: false },
            }
            .response(StatusCode::OK);
        }
        match follow(store, &followed, &parts.headers, body).await {
            Ok((standing, undo)) => match standing {
                Standing::WrittenTo => Page::Undone(link),
                Standing::Suppressed if undo => Page::Still(link),
                standing => Page::Done { link, undo: standing == Standing::Unsubscribed && link.may_undo() },
            }
            .response(StatusCode::OK),
            Err(Refused::Gone) => Page::NoLink(link.language).response(StatusCode::NOT_FOUND),
            Err(Refused::Body(status)) => {
                let mut response = Page::Later(link.language).response(status);
                // The rest of the body is not read.
                if parts.version < http::Version::HTTP_2 {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
            Err(Refused::Store(error)) => {
                tracing::warn!(%error, tenant = %followed.tenant(), email = %link.email_id, "a link could not be followed");
                later(link.language)
            }
        }
    }

    /// The answer to a token that is no link's.
    async fn refuse(&self, address: IpAddr, language: Language, at: Instant) -> Response {
        let too_many = self.0.strangers.refused(address, Instant::now());
        sleep_until(at).await;
        if !too_many {
            return Page::NoLink(language).response(StatusCode::NOT_FOUND);
        }
        let mut response = Page::NoLink(language).response(StatusCode::TOO_MANY_REQUESTS);
        response.headers_mut().insert(RETRY_AFTER, RETRY);
        response
    }
}

/// Does what the POST asks for; how the address stands then, and whether it asked to undo.
async fn follow(
    store: &Store,
    followed: &Followed,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Standing, bool), Refused> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(Refused::Body(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let body = timeout_at(Instant::now() + BODY_TIME, Limited::new(body, MAX_BODY).collect()).await;
    let body = body.map_err(|_| Refused::Body(StatusCode::REQUEST_TIMEOUT))?;
    let body = body.map_err(|error| {
        let is_long = error.is::<http_body_util::LengthLimitError>();
        Refused::Body(if is_long { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST })
    })?;
    let undo = body.to_bytes() == Bytes::from_static(b"undo=1");
    loop {
        match followed.follow(store, undo).await {
            Ok(Some(standing)) => {
                tracing::info!(tenant = %followed.tenant(), email = %followed.link.email_id, undo, "link.followed");
                return Ok((standing, undo));
            }
            Ok(None) => return Err(Refused::Gone),
            // Whoever unsubscribes waits for the tenant's other writes, and is not refused.
            Err(StoreError::TooManyWrites) => sleep(AGAIN_AFTER).await,
            Err(error) => return Err(Refused::Store(error)),
        }
    }
}

fn later(language: Language) -> Response {
    let mut response = Page::Later(language).response(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, RETRY);
    response
}

/// The language that a browser names first.
fn accepted(headers: &HeaderMap) -> Language {
    let named = headers.get(ACCEPT_LANGUAGE).and_then(|named| named.to_str().ok()).unwrap_or_default();
    Language::of_tag(named.split([',', ';']).next().unwrap_or_default().trim())
}

// === impl WithLinks ===

impl<S> Service<Request> for WithLinks<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<BoxFuture<'static, Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.rest.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.links.as_ref().filter(|links| links.token(request.uri().path()).is_some()) {
            Some(links) => {
                let links = links.clone();
                Either::Left(Box::pin(async move { Ok(links.answer(request).await) }))
            }
            None => Either::Right(self.rest.call(request)),
        }
    }
}

// === impl NothingElse ===

impl Service<Request> for NothingElse {
    type Response = Response;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        std::future::ready(Ok(Page::NoLink(accepted(request.headers())).response(StatusCode::NOT_FOUND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_found_with_the_public_urls_path_and_without() {
        let links = |url: &str| Links::new(&PublicUrl::parse(url).expect("a URL"));
        let bare = links("https://a.example");
        assert_eq!(bare.token("/u/abc"), Some("abc"));
        assert_eq!(bare.token("/u/"), Some(""));
        for other in ["/u", "/", "", "/x/u/abc", "/herald.v1.AgentService/GetAgentConfig"] {
            assert_eq!(bare.token(other), None, "{other}");
        }
        let below = links("https://a.example/mail/");
        assert_eq!(below.token("/mail/u/abc"), Some("abc"));
        assert_eq!(below.token("/u/abc"), Some("abc"), "where a proxy has taken it away");
        assert_eq!(below.token("/other/u/abc"), None);
        let twice = links("https://a.example/u");
        assert_eq!((twice.token("/u/u/abc"), twice.token("/u/abc")), (Some("abc"), Some("abc")));
    }

    #[test]
    fn the_language_that_is_named_first_is_taken() {
        let of =
            |value: &'static str| accepted(&HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(value))]));
        assert_eq!(of("de-AT,de;q=0.9,en;q=0.8"), Language::German);
        assert_eq!(
            (of(" fr;q=1"), of("*"), accepted(&HeaderMap::new())),
            (Language::French, Language::English, Language::English)
        );
    }
}
