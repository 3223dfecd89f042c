//! Connectors: external calls behind traits, which read websites and hand over mail.
//!
//! Every call has a time limit and a size limit of its own. The engine decides whether and when to retry it.

mod address;
mod compose;
mod dkim;
mod fetch;
mod guard;
mod html;
pub mod http;
mod message;
mod outbox;
pub mod page;
pub mod smtp;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

pub use compose::{ComposeError, compose, extras};
pub use dkim::{DkimError, DkimKey};
pub use fetch::WebFetch;
pub use guard::{Guard, NotAllowed};
pub use message::{Extras, MessageError, message, message_with};
pub use outbox::Outbox;

use crate::domain::email::Email;
use crate::tenant::Scope;

/// The connectors that campaigns work with.
#[derive(Clone)]
pub struct Connectors {
    pub fetch: Arc<dyn Fetch>,
    /// The outbox folders.
    pub mail: Arc<dyn Mail>,
    pub smtp: Arc<smtp::Connections>,
}

/// Reads web pages.
#[async_trait]
pub trait Fetch: Send + Sync {
    async fn fetch(&self, url: &Url) -> Result<Fetched, ConnectError>;
}

/// A page as it was read.
#[derive(Debug)]
pub struct Fetched {
    /// After redirects.
    pub url: Url,
    pub html: String,
    /// As it came, in bytes.
    pub size: usize,
    /// The room that it takes among all pages that were fetched.
    pub room: Option<OwnedSemaphorePermit>,
    /// True if the page is longer than what is read of one.
    pub cut: bool,
}

/// Hands mail over.
#[async_trait]
pub trait Mail: Send + Sync {
    /// Hands the e-mail over, with the link by which its reader unsubscribes, if it has one. Sends it again if it was handed over
    /// before: to ask first is the engine's part.
    async fn deliver(&self, scope: &Scope, email: &Email, link: Option<&Url>) -> Result<(), ConnectError>;

    /// What became of an e-mail whose handing over was interrupted.
    async fn verify(&self, scope: &Scope, email: &Email) -> Result<Delivery, ConnectError>;
}

/// What a connector knows of an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Delivered,
    NotDelivered,
    /// The connector has no way to know.
    Unknown,
}

/// Why an external call failed, in words for the tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// It was not done, and may work later.
    #[error("{0}")]
    Passing(String),
    /// It may have been done or not: the answer was lost. It may work later.
    #[error("{0}")]
    Unclear(String),
    /// It will not work, however often it is tried.
    #[error("{0}")]
    Final(String),
}
