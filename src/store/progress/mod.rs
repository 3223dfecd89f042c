//! What the engine writes while it works on a campaign.
//!
//! Every write here carries a lease and changes nothing once another worker has claimed the campaign: the first
//! statement finds the campaign by its fence. State, cursor and events go into one transaction. A write that moves the
//! work on is also refused once a user has paused or ended the campaign; only what became of an e-mail that was already
//! handed to the mail connector is always recorded.

pub(super) mod advance;
pub(super) mod lease;
pub(super) mod pacing;
pub(super) mod sending;

pub use advance::{Advance, Next, Work, WrittenEmail};
pub use lease::{MAX_DEATHS, ReadsAlone, Release};
pub use pacing::Told;
pub use sending::{Outcome, SendAttempt, SendBegin, SendDone, Sending};

use super::write::OwnWrite;

impl OwnWrite for Advance {}
impl OwnWrite for ReadsAlone {}
impl OwnWrite for SendBegin {}
impl OwnWrite for SendDone {}
impl OwnWrite for lease::Release {}
