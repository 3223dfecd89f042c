//! E-mails.

use super::enumeration;
use crate::domain::email::{Decision, Email, EmailStatus, MAX_BODY, MAX_SUBJECT, Review};
use crate::domain::error::{Error, Violations};
use crate::domain::id::EmailId;
use crate::domain::text;
use crate::pb;

pub(in crate::rpc) fn out(email: Email) -> pb::Email {
    pb::Email {
        id: email.id.to_string(),
        prospect_id: email.prospect_id.to_string(),
        campaign_id: email.campaign_id.to_string(),
        template_id: email.template_id.to_string(),
        subject: email.subject,
        body: email.body,
        from: email.from.to_string(),
        to: email.to.address,
        status: status(email.status).into(),
        note: email.note,
        message_id: email.message_id,
        edited: email.edited,
        sent_time: email.sent_time.map(Into::into),
        create_time: Some(email.create_time.into()),
        update_time: Some(email.update_time.into()),
    }
}

pub(in crate::rpc) fn status(status: EmailStatus) -> pb::EmailStatus {
    match status {
        EmailStatus::AwaitingApproval => pb::EmailStatus::AwaitingApproval,
        EmailStatus::Approved => pb::EmailStatus::Approved,
        EmailStatus::Rejected => pb::EmailStatus::Rejected,
        EmailStatus::Sending => pb::EmailStatus::Sending,
        EmailStatus::Sent => pb::EmailStatus::Sent,
        EmailStatus::Failed => pb::EmailStatus::Failed,
        EmailStatus::Skipped => pb::EmailStatus::Skipped,
        EmailStatus::Unknown => pb::EmailStatus::Unknown,
    }
}

/// The status to filter by; None for all.
pub(in crate::rpc) fn status_filter(value: i32) -> Result<Option<EmailStatus>, Error> {
    let wanted: pb::EmailStatus = enumeration("status", value)?;
    Ok(EmailStatus::ALL.into_iter().find(|s| status(*s) == wanted))
}

/// The decisions of a review; no e-mail twice.
pub(in crate::rpc) fn reviews(reviews: Vec<pb::EmailReview>) -> Result<Vec<Review>, Error> {
    const MOST: usize = 1_000;
    if reviews.len() > MOST {
        return Err(Error::field("reviews", format!("must be at most {MOST}; call again for the rest")));
    }
    let mut v = Violations::default();
    let mut seen = std::collections::HashSet::new();
    let mut out = Vec::with_capacity(reviews.len());
    for (i, review) in reviews.into_iter().enumerate() {
        let field = |name: &str| format!("reviews[{i}].{name}");
        let email_id = v.take(&field("email_id"), EmailId::parse(&review.email_id));
        if !seen.insert(review.email_id) {
            v.add(field("email_id"), "is there twice");
        }
        let decision = match decision(&field("decision"), review.decision) {
            Ok(Some(decision)) => Some(decision),
            Ok(None) | Err(_) => {
                v.add(field("decision"), "must be REVIEW_DECISION_APPROVE or REVIEW_DECISION_REJECT");
                None
            }
        };
        let subject = review.subject.map(|s| required(&mut v, &field("subject"), text::line, &s, MAX_SUBJECT));
        let body = review.body.map(|b| required(&mut v, &field("body"), text::bounded, &b, MAX_BODY));
        if let (Some(email_id), Some(decision)) = (email_id, decision) {
            out.push(Review { email_id, decision, subject, body });
        }
    }
    v.done().map(|()| out)
}

/// None if unspecified.
pub(in crate::rpc) fn decision(field: &str, value: i32) -> Result<Option<Decision>, Error> {
    Ok(match enumeration(field, value)? {
        pb::ReviewDecision::Unspecified => None,
        pb::ReviewDecision::Approve => Some(Decision::Approve),
        pb::ReviewDecision::Reject => Some(Decision::Reject),
    })
}

fn required(
    v: &mut Violations,
    field: &str,
    check: impl Fn(&mut Violations, &str, &str, usize) -> String,
    text: &str,
    most: usize,
) -> String {
    let text = check(v, field, text, most);
    if text.is_empty() {
        v.add(field, "must not be empty; leave it out to keep the text");
    }
    text
}
