//! E-mails.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::delivery::Enhanced;
use super::id::{CampaignId, EmailId, MailboxId, ProspectId, TemplateId};
use super::named_enum::named_enum;
use super::paging::RowCursor;
use super::reply::Intent;

/// The longest subject, in characters.
pub const MAX_SUBJECT: usize = 300;
/// The longest body, in characters.
pub const MAX_BODY: usize = 20_000;
/// The longest Message-ID, in characters (RFC 5322, 2.1.1, of a line).
pub const MAX_MESSAGE_ID: usize = 998;
/// The longest text of a bounce, in characters.
pub const MAX_DIAGNOSTIC: usize = 1_000;

named_enum! {
    /// Where an e-mail stands.
    pub enum EmailStatus {
        AwaitingApproval = "awaiting_approval",
        Approved = "approved",
        Rejected = "rejected",
        /// Handed to the mail connector, whose answer is not known yet.
        Sending = "sending",
        Sent = "sent",
        Failed = "failed",
        Skipped = "skipped",
        /// The process died in the middle of sending and the connector cannot tell what became of it.
        Unknown = "unknown",
        /// Came from the prospect.
        Received = "received",
    }
}

/// An e-mail to a prospect, or from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    pub id: EmailId,
    pub prospect_id: ProspectId,
    /// None for one that was received.
    pub campaign_id: Option<CampaignId>,
    /// None for one that was received.
    pub template_id: Option<TemplateId>,
    /// The rank of its prospect in the campaign, from 0. Of one that was received: 0.
    pub position: u32,
    pub subject: String,
    pub body: String,
    pub from: NamedAddress,
    pub to: NamedAddress,
    /// Where List-Unsubscribe points.
    pub unsubscribe: String,
    pub status: EmailStatus,
    /// Why it failed or was skipped.
    pub note: String,
    /// Without angle brackets.
    pub message_id: String,
    pub edited: bool,
    /// None: it goes into the tenant's outbox folder. None for one that was received.
    pub mailbox_id: Option<MailboxId>,
    pub sent_time: Option<Timestamp>,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
    /// Of one that was received.
    pub reply: Option<Received>,
    /// That it was not delivered.
    pub bounce: Option<Bounce>,
    /// When its recipient has complained about it.
    pub complaint_time: Option<Timestamp>,
    /// The id that the mail server has given it; empty: none that is known.
    pub server_id: String,
    /// Who has approved or rejected it.
    pub decision: Option<Mark>,
    /// Who has changed its text last.
    pub edit: Option<Mark>,
}

/// That an e-mail was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    pub time: Timestamp,
    /// For good; otherwise it may still be delivered.
    pub permanent: bool,
    pub status: Option<Enhanced>,
    /// What the mail server said.
    pub diagnostic: String,
}

named_enum! {
    /// What came back about an e-mail that was sent.
    pub enum Report {
        Bounced = "bounced",
        Delayed = "delayed",
        Complained = "complained",
    }
}

/// What is known of an e-mail that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub time: Timestamp,
    pub intent: Intent,
    /// The e-mail that it answers.
    pub in_reply_to: Option<EmailId>,
}

/// A name, which may be empty, and an address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NamedAddress {
    pub name: String,
    pub address: String,
}

/// Who has done something with an e-mail, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// As the token names them; empty: the configuration.
    pub by: String,
    pub time: Timestamp,
}

/// What a person says of an e-mail of which nobody knows whether it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    WasSent,
    SendAgain,
    /// Neither.
    Drop,
}

/// What a person decides about an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Approve,
    Reject,
    /// Takes the decision back.
    Reconsider,
}

/// A decision about one e-mail, if there is one yet, with new texts where the person changed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    pub email_id: EmailId,
    pub decision: Option<Decision>,
    pub subject: Option<String>,
    pub body: Option<String>,
}

// === impl Email ===

impl Email {
    /// One of no campaign that says nothing yet, for what makes letters by hand.
    pub fn blank(id: EmailId, prospect_id: ProspectId) -> Self {
        Self {
            id,
            prospect_id,
            campaign_id: None,
            template_id: None,
            position: 0,
            subject: String::new(),
            body: String::new(),
            from: NamedAddress::default(),
            to: NamedAddress::default(),
            unsubscribe: String::new(),
            status: EmailStatus::AwaitingApproval,
            note: String::new(),
            message_id: String::new(),
            edited: false,
            mailbox_id: None,
            sent_time: None,
            create_time: Timestamp(0),
            update_time: Timestamp(0),
            reply: None,
            bounce: None,
            complaint_time: None,
            server_id: String::new(),
            decision: None,
            edit: None,
        }
    }

    /// Where it stands among its prospect's, the newest first.
    pub fn place(&self) -> RowCursor {
        RowCursor { at: self.create_time.0, id: self.id.to_string() }
    }
}

// === impl Bounce ===

impl Bounce {
    /// Whether it says more than what is known: what is for good is not taken back.
    pub fn replaces(&self, known: Option<&Self>) -> bool {
        known.is_none_or(|known| self.permanent && !known.permanent)
    }

    pub fn report(&self) -> Report {
        if self.permanent { Report::Bounced } else { Report::Delayed }
    }
}

// === impl NamedAddress ===

/// As a mail program shows it: `Anna Berg <anna@example.com>`.
impl std::fmt::Display for NamedAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() { f.write_str(&self.address) } else { write!(f, "{} <{}>", self.name, self.address) }
    }
}
