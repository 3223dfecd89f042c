//! E-mails and addresses.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{CampaignId, EmailId, ProspectId, TemplateId};
use super::paging::RowCursor;
use super::reply::Intent;

/// The longest subject, in characters.
pub const MAX_SUBJECT: usize = 300;
/// The longest body, in characters.
pub const MAX_BODY: usize = 20_000;
/// The longest Message-ID, in characters (RFC 5322, 2.1.1, of a line).
pub const MAX_MESSAGE_ID: usize = 998;
/// The longest address, in bytes (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub const MAX_ADDRESS: usize = 254;

/// Where an e-mail stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailStatus {
    AwaitingApproval,
    Approved,
    Rejected,
    /// Handed to the mail connector, whose answer is not known yet.
    Sending,
    Sent,
    Failed,
    Skipped,
    /// The process died in the middle of sending and the connector cannot tell what became of it.
    Unknown,
    /// Came from the prospect.
    Received,
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
    pub from: Mailbox,
    pub to: Mailbox,
    /// Where List-Unsubscribe points.
    pub unsubscribe: String,
    pub status: EmailStatus,
    /// Why it failed or was skipped.
    pub note: String,
    /// Without angle brackets.
    pub message_id: String,
    pub edited: bool,
    pub sent_time: Option<Timestamp>,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
    /// Of one that was received.
    pub reply: Option<Received>,
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
pub struct Mailbox {
    pub name: String,
    pub address: String,
}

/// What a person decides about an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Approve,
    Reject,
}

/// A decision about one e-mail, with new texts where the person changed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    pub email_id: EmailId,
    pub decision: Decision,
    pub subject: Option<String>,
    pub body: Option<String>,
}

/// Why a text is no address, in words that fit behind a field's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("is required")]
    Empty,
    #[error("must be at most 254 bytes")]
    TooLong,
    #[error("must be an e-mail address such as anna@example.com")]
    Malformed,
}

/// The address, trimmed, if a mail server would take it.
///
/// Checked as RFC 5321 and 6531 write addresses (through lettre's parser, which also takes internationalised ones), and
/// the domain must have a dot, since mail to a bare host name goes nowhere from here.
pub fn parse_address(text: &str) -> Result<String, AddressError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.len() > MAX_ADDRESS {
        return Err(AddressError::TooLong);
    }
    let address: lettre::Address = text.parse().map_err(|_| AddressError::Malformed)?;
    let labels_fit = address.domain().split('.').all(|label| !label.is_empty() && label.len() <= 63);
    let plain = !address.user().contains(|c: char| c.is_control() || c.is_whitespace());
    if !address.domain().contains('.') || !labels_fit || !plain {
        return Err(AddressError::Malformed);
    }
    Ok(text.to_owned())
}

/// The address as uniqueness sees it.
pub fn address_key(address: &str) -> String {
    address.to_lowercase()
}

// === impl Email ===

impl Email {
    /// Where it stands among its prospect's, the newest first.
    pub fn place(&self) -> RowCursor {
        RowCursor { at: self.create_time.0, id: self.id.to_string() }
    }
}

// === impl EmailStatus ===

impl EmailStatus {
    pub const ALL: [Self; 9] = [
        Self::AwaitingApproval,
        Self::Approved,
        Self::Rejected,
        Self::Sending,
        Self::Sent,
        Self::Failed,
        Self::Skipped,
        Self::Unknown,
        Self::Received,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
            Self::Received => "received",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

// === impl Mailbox ===

/// As a mail program shows it: `Anna Berg <anna@example.com>`.
impl std::fmt::Display for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() { f.write_str(&self.address) } else { write!(f, "{} <{}>", self.name, self.address) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_a_mail_server_takes_are_taken() {
        for good in
            ["anna@example.com", " Anna.Berg+news@mail.example.co.uk ", "o'neil@example.org", "李雷@例子.example"]
        {
            assert_eq!(parse_address(good).as_deref(), Ok(good.trim()), "{good}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(250));
        assert_eq!(parse_address("  "), Err(AddressError::Empty));
        assert_eq!(parse_address(&long), Err(AddressError::TooLong));
        for bad in [
            "anna",
            "@example.com",
            "anna@",
            "anna@localhost",
            "a b@example.com",
            "anna@exa mple.com",
            "anna@.example.com",
            "anna@example..com",
            "anna@example.com\r\nBcc: x@example.com",
            "Anna <anna@example.com>",
            "a@b@example.com",
            "anna@example.com,bert@example.com",
        ] {
            assert_eq!(parse_address(bad), Err(AddressError::Malformed), "{bad}");
        }
    }
}
