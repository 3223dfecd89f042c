//! Access tokens of OAuth mailboxes, got with their refresh tokens (RFC 6749, 6).
//!
//! A token is kept in memory until shortly before it expires. For each mailbox one request is on its way at a time; who comes
//! meanwhile takes what it brings.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::account::OAuth;
use crate::budget::{TOKEN, TOKENS_KEPT};
use crate::config::Secret;
use crate::connect::address::literal;
use crate::connect::guard::Guard;
use crate::connect::http::{self, BoundedBody};
use crate::domain::finding::told;
use crate::domain::text;

/// The tokens of all mailboxes.
pub(super) struct Tokens {
    client: Client,
    guard: Guard,
    kept: Cache<String, Arc<Mutex<Option<Kept>>>>,
}

/// Why there is no token, in words for the tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// The token server gives none to this mailbox, however often it is asked.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Away(String),
}

pub(super) struct Token {
    pub(super) access: Secret,
    /// Whether it was kept, and so may have been revoked since.
    pub(super) is_kept: bool,
}

struct Kept {
    /// What it was got with.
    given: OAuth,
    /// Newer than the given one where the token server has changed it.
    refresh: Secret,
    access: Option<(Secret, Instant)>,
}

/// What a token server has given.
struct Given {
    access: Secret,
    refresh: Option<Secret>,
    lifetime: Duration,
}

/// A token that nobody has asked for so long is forgotten.
const IDLE: Duration = Duration::from_secs(2 * 3_600);
/// An answer is two tokens of at most a few KiB each.
const MAX_BYTES: usize = 64 * 1024;
/// What is taken off the time that a token is valid.
const MARGIN: Duration = Duration::from_secs(120);
/// How long a token is valid that does not say, and at most.
const LIFETIME: Duration = Duration::from_secs(300);
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3_600);

// === impl Tokens ===

impl Tokens {
    /// A request to a token server may take so long.
    pub(super) fn new(guard: Guard, time: Duration) -> reqwest::Result<Self> {
        let client = http::client(|builder| {
            let builder = builder.timeout(time).redirect(reqwest::redirect::Policy::none()).referer(false);
            builder.no_proxy().pool_max_idle_per_host(1).dns_resolver(guard.clone())
        })?;
        let kept = Cache::builder().max_capacity(TOKENS_KEPT).time_to_idle(IDLE).build();
        Ok(Self { client, guard, kept })
    }

    /// A token for the mailbox; never `refused`, which the mail server has not taken.
    pub(super) async fn get(
        &self,
        mailbox: &str,
        oauth: &OAuth,
        refused: Option<&Secret>,
    ) -> Result<Token, TokenError> {
        let place = self.kept.get_with_by_ref(mailbox, Arc::default);
        let mut kept = place.lock().await;
        let kept = match &mut *kept {
            Some(kept) if kept.given == *oauth => kept,
            // What the token server gave is stored now.
            Some(kept) if kept.is_renewed_as(oauth) => {
                kept.given = oauth.clone();
                kept
            }
            other => other.insert(Kept { given: oauth.clone(), refresh: oauth.refresh_token.clone(), access: None }),
        };
        if let Some((access, until)) = &kept.access
            && Instant::now() < *until
            && refused != Some(access)
        {
            return Ok(Token { access: access.clone(), is_kept: true });
        }
        kept.access = None;
        let given = self.ask(oauth, &kept.refresh).await?;
        if let Some(refresh) = given.refresh {
            kept.refresh = refresh;
        }
        let margin = MARGIN.min(given.lifetime / 2);
        kept.access = Some((given.access.clone(), Instant::now() + given.lifetime - margin));
        Ok(Token { access: given.access, is_kept: false })
    }

    /// The refresh token that the token server has given in the place of the mailbox's; it must be stored, or the mailbox ends with
    /// the old one.
    pub(super) async fn newer_refresh_token(&self, mailbox: &str, oauth: &OAuth) -> Option<Secret> {
        let place = self.kept.get(mailbox)?;
        let kept = place.lock().await;
        let kept = kept.as_ref().filter(|kept| kept.given == *oauth)?;
        (kept.refresh != oauth.refresh_token).then(|| kept.refresh.clone())
    }

    async fn ask(&self, oauth: &OAuth, refresh: &Secret) -> Result<Given, TokenError> {
        let url = &oauth.token_url;
        self.check(url)?;
        let request = self.client.post(url.clone()).header(ACCEPT, "application/json");
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(oauth, refresh));
        let away = |error: reqwest::Error| {
            TokenError::Away(format!("the token server cannot be asked: {}", told(&error.without_url())))
        };
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let Some(answer) = read(response).await.map_err(away)? else {
            return Err(TokenError::Away("the token server's answer is too long".to_owned()));
        };
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status.is_success() {
            return given(&answer).ok_or_else(|| TokenError::Away("the token server's answer has no token".to_owned()));
        }
        // RFC 6749, 5.2; the description is for a person.
        let word = |name: &str| text::cut(&text::tame(answer[name].as_str().unwrap_or_default()), 200).to_owned();
        let (error, description) = (word("error"), word("error_description"));
        let secrets = [oauth.client_secret.expose(), refresh.expose()].into_iter().filter(|secret| !secret.is_empty());
        let words = format!("the token server answers {}: {error} {description}", status.as_u16());
        let words = secrets.fold(words, |words, secret| words.replace(secret, "***"));
        let words = words.trim_end_matches([' ', ':']).to_owned();
        let passes = ["", "server_error", "temporarily_unavailable", "slow_down"].contains(&error.as_str());
        Err(if status.is_client_error() && !passes { TokenError::Refused(words) } else { TokenError::Away(words) })
    }

    /// What the resolver never sees: literal addresses, and secrets in plain text beyond this machine.
    fn check(&self, url: &Url) -> Result<(), TokenError> {
        let literal = literal(url);
        let is_here = literal.is_some_and(|address| address.to_canonical().is_loopback());
        let refused = |why: &str| Err(TokenError::Refused(format!("the token address {why}")));
        match url.scheme() {
            "https" => {}
            "http" if is_here => {}
            _ => return refused("must be an https URL"),
        }
        match literal {
            Some(address) if !self.guard.allows(address) => refused("is not on the public internet"),
            _ => Ok(()),
        }
    }
}

// === impl Kept ===

impl Kept {
    /// Whether these are what it was got with, but for the refresh token that came for the old one.
    fn is_renewed_as(&self, oauth: &OAuth) -> bool {
        self.refresh == oauth.refresh_token
            && OAuth { refresh_token: self.refresh.clone(), ..self.given.clone() } == *oauth
    }
}

fn form(oauth: &OAuth, refresh: &Secret) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token");
    form.append_pair("client_id", &oauth.client_id);
    form.append_pair("refresh_token", refresh.expose());
    if !oauth.client_secret.expose().is_empty() {
        form.append_pair("client_secret", oauth.client_secret.expose());
    }
    form.finish()
}

/// The body; None if it is too long.
async fn read(response: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let (mut body, mut bytes) = (BoundedBody::new(response, MAX_BYTES), Vec::new());
    while let Some(piece) = body.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok((!body.is_cut()).then_some(bytes))
}

fn given(answer: &Value) -> Option<Given> {
    let token = |name: &str| {
        let token = answer[name].as_str().filter(|token| (1..=TOKEN).contains(&token.len()))?;
        // RFC 6749, A.12: anything else would end the sign-in's line.
        token.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Secret::new(token))
    };
    // Some write the number as a text.
    let seconds = &answer["expires_in"];
    let seconds = seconds.as_u64().or_else(|| seconds.as_str()?.parse().ok());
    let lifetime = seconds.map_or(LIFETIME, Duration::from_secs).min(MAX_LIFETIME);
    Some(Given { access: token("access_token")?, refresh: token("refresh_token"), lifetime })
}
