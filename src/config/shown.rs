//! URLs as they may be shown: the host tells an operator which one it is, and nobody needs the password in it.

use serde::{Serialize, Serializer};
use url::Url;

use super::secret::Secret;

/// The URL with `***` in place of its user and password, and of what follows a question mark, where keys may stand too. What
/// is no URL, or may have a part of a password behind its host, is shown as `***` whole.
pub fn shown(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    let hidden = || "***".to_owned();
    let Ok(parsed) = Url::parse(url) else { return hidden() };
    let Some(host) = parsed.host_str() else { return hidden() };
    let path = parsed.path();
    // A `/`, `?` or `#` in a password ends what a parser takes for the host.
    if [Some(path), parsed.query(), parsed.fragment()].into_iter().flatten().any(|rest| rest.contains('@')) {
        return hidden();
    }
    let has_user = !parsed.username().is_empty() || parsed.password().is_some();
    let user = if has_user { "***@" } else { "" };
    let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
    // A slash that the parser has added is no news.
    let path = if path == "/" && !url.ends_with('/') { "" } else { path };
    let rest = if parsed.query().is_some() || parsed.fragment().is_some() { "?***" } else { "" };
    format!("{}://{user}{host}{port}{path}{rest}", parsed.scheme())
}

/// For serde: the URL as it may be shown.
pub(super) fn text<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(url))
}

/// The same of a URL that is a secret because of its password.
pub(super) fn secret<S: Serializer>(url: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(url.expose()))
}

/// The same of several.
pub(super) fn texts<S: Serializer>(urls: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    urls.iter().map(|url| shown(url)).collect::<Vec<_>>().serialize(serializer)
}
