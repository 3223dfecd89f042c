//! Letters to the tenant's own mail server.
//!
//! One connection of a mailbox at a time ([`Connections`]), and over it a talk with a deadline for each stage, after which it is
//! known whether the letter was taken, refused, or may have been either; what a refusal means is [`crate::domain::delivery`]'s
//! part. When to try again, whom to suppress and which mailbox to pause is for who asks.

mod account;
mod connections;
mod sign_in;
mod talk;
mod token;
mod wire;

pub use account::{Account, GOOGLE_TOKENS, MICROSOFT_TOKENS, OAuth, Security, SignIn};
pub use connections::{Connections, Delivered, Settings, SetupError};
pub use talk::{Lease, Letter};
pub use wire::Deadlines;

use crate::domain::id::MailboxId;
use crate::tenant::TenantId;

/// A mailbox's name among all tenants'.
pub fn name(tenant: &TenantId, mailbox: &MailboxId) -> String {
    format!("{tenant}/{mailbox}")
}
