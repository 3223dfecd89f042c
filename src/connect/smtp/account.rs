//! How a mailbox is reached at its mail server.

use url::Url;

use crate::config::Secret;

/// Where Google gives out access tokens.
pub const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";
/// And Microsoft.
pub const MICROSOFT_TOKENS: &str = "https://login.microsoftonline.com/common/oauth2/v2.0/token";

/// A mailbox's server, and the sign-in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub sign_in: SignIn,
    /// Who we are, in EHLO: a domain, or an address in brackets.
    pub hello_name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte on (port 465).
    Tls,
    /// From plain text to TLS (port 587), and never on without it.
    Starttls,
    /// Plain text, to a server on this machine alone.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// A relay that knows its clients by their addresses.
    None,
    /// PLAIN or LOGIN, as the server offers.
    Password { username: String, secret: Secret },
    /// XOAUTH2.
    OAuth { username: String, oauth: OAuth },
}

/// What gets access tokens (RFC 6749, 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    pub client_id: String,
    /// Empty for a client that has none.
    pub client_secret: Secret,
    pub refresh_token: Secret,
    pub token_url: Url,
}
