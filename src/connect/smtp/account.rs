//! How a mailbox is reached at its mail server.

use url::Url;

use crate::config::Secret;
use crate::domain::address;
use crate::domain::mailbox::{self, Mailbox, OAuthProvider, Secrets, SmtpSecurity};

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

// === impl Account ===

impl Account {
    /// Whether it is the same but for the refresh token, which a token server may have changed meanwhile.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        let (SignIn::OAuth { username, oauth }, SignIn::OAuth { oauth: own, .. }) = (&other.sign_in, &self.sign_in)
        else {
            return self == other;
        };
        let oauth = OAuth { refresh_token: own.refresh_token.clone(), ..oauth.clone() };
        let sign_in = SignIn::OAuth { username: username.clone(), oauth };
        *self == Self { sign_in, ..other.clone() }
    }

    /// How a tenant's mailbox is reached; else what is missing, in words.
    pub fn of(mailbox: &Mailbox, secrets: &Secrets) -> Result<Self, String> {
        let smtp = &mailbox.settings.smtp;
        let (security, usual) = match smtp.security {
            SmtpSecurity::Tls => (Security::Tls, 465),
            SmtpSecurity::Starttls => (Security::Starttls, 587),
            SmtpSecurity::None => (Security::None, 25),
        };
        let sign_in = match smtp.sign_in {
            _ if smtp.username.is_empty() => SignIn::None,
            mailbox::SignIn::Password => {
                SignIn::Password { username: smtp.username.clone(), secret: Secret::new(&secrets.password) }
            }
            mailbox::SignIn::OAuth => {
                let url = match smtp.oauth.provider {
                    OAuthProvider::Google => GOOGLE_TOKENS,
                    OAuthProvider::Microsoft => MICROSOFT_TOKENS,
                    OAuthProvider::Other => &smtp.oauth.token_url,
                };
                let token_url = Url::parse(url).map_err(|error| format!("the mailbox's token_url: {error}"))?;
                let oauth = OAuth {
                    client_id: smtp.oauth.client_id.clone(),
                    client_secret: Secret::new(&secrets.client_secret),
                    refresh_token: Secret::new(&secrets.refresh_token),
                    token_url,
                };
                SignIn::OAuth { username: smtp.username.clone(), oauth }
            }
        };
        let port = if smtp.port == 0 { usual } else { smtp.port };
        let hello_name = address::domain(&mailbox.settings.address);
        Ok(Self { host: smtp.host.clone(), port, security, sign_in, hello_name })
    }
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
