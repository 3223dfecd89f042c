//! E-mails.

use super::{bounce, enumeration, id, recent};
use crate::domain::delivery::Line;
use crate::domain::email::{Decision, Email, EmailStatus, MAX_BODY, MAX_MESSAGE_ID, MAX_SUBJECT, Resolution, Review};
use crate::domain::error::{Error, Violations};
use crate::domain::id::{EmailId, Ids, ProspectId};
use crate::domain::number::saturating_i64;
use crate::domain::reply::{Intent, judge};
use crate::domain::text;
use crate::pb;
use crate::store::{RecordReply, RequestId};

/// The e-mails that one call may name.
const MAX_AT_ONCE: usize = 1_000;

pub(in crate::rpc) fn out(email: Email) -> pb::Email {
    let (received_time, intent, in_reply_to) = match email.reply {
        Some(reply) => (Some(reply.time.into()), intent(reply.intent), reply.in_reply_to),
        None => (None, pb::ReplyIntent::Unspecified, None),
    };
    pb::Email {
        id: email.id.to_string(),
        prospect_id: email.prospect_id.to_string(),
        campaign_id: email.campaign_id.map(|id| id.to_string()).unwrap_or_default(),
        template_id: email.template_id.map(|id| id.to_string()).unwrap_or_default(),
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
        received_time,
        intent: intent.into(),
        in_reply_to: in_reply_to.map(|id| id.to_string()).unwrap_or_default(),
        mailbox_id: email.mailbox_id.map(|id| id.to_string()).unwrap_or_default(),
        transcript: Vec::new(),
        bounce: email.bounce.map(bounce::out),
        complaint_time: email.complaint_time.map(Into::into),
        server_id: email.server_id,
        decided_time: email.decision.as_ref().map(|mark| mark.time.into()),
        decided_by: email.decision.map(|mark| mark.by).unwrap_or_default(),
        edited_time: email.edit.as_ref().map(|mark| mark.time.into()),
        edited_by: email.edit.map(|mark| mark.by).unwrap_or_default(),
    }
}

pub(in crate::rpc) fn line(line: Line) -> pb::DeliveryLine {
    pb::DeliveryLine {
        stage: line.stage.as_str().to_owned(),
        code: line.code.map_or(0, i32::from),
        enhanced_code: line.enhanced.map(|code| code.to_string()).unwrap_or_default(),
        duration_millis: saturating_i64(line.millis),
        words: line.words,
    }
}

/// A reply, checked.
pub(in crate::rpc) fn reply(
    request: pb::RecordReplyRequest,
    request_id: Option<RequestId>,
    ids: &Ids,
) -> Result<RecordReply, Error> {
    let prospect = id("prospect_id", &request.prospect_id, ProspectId::parse)?;
    let in_reply_to = match request.email_id.as_str() {
        "" => None,
        text => Some(id("email_id", text, EmailId::parse)?),
    };
    let received = recent("received_time", request.received_time, ids)?;
    let mut v = Violations::default();
    let subject = text::line(&mut v, "subject", &request.subject, MAX_SUBJECT);
    let body = text::bounded(&mut v, "body", &request.body, MAX_BODY);
    let message_id = text::line(&mut v, "message_id", &request.message_id, MAX_MESSAGE_ID);
    v.done()?;
    let intent = intent_in(request.intent, &subject, &body)?;
    let id = EmailId::make(ids);
    Ok(RecordReply { id, prospect, in_reply_to, subject, body, message_id, received, intent, request_id })
}

/// What a reply wants: as the caller says, or by its words.
fn intent_in(value: i32, subject: &str, body: &str) -> Result<Intent, Error> {
    let wanted: pb::ReplyIntent = enumeration("intent", value)?;
    let stated = Intent::ALL.into_iter().find(|known| intent(*known) == wanted);
    Ok(stated.unwrap_or_else(|| judge(subject, body)))
}

fn intent(intent: Intent) -> pb::ReplyIntent {
    match intent {
        Intent::Interested => pb::ReplyIntent::Interested,
        Intent::NotInterested => pb::ReplyIntent::NotInterested,
        Intent::Unsubscribe => pb::ReplyIntent::Unsubscribe,
        Intent::Question => pb::ReplyIntent::Question,
        Intent::Away => pb::ReplyIntent::Away,
        Intent::Other => pb::ReplyIntent::Other,
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
        EmailStatus::Received => pb::EmailStatus::Received,
    }
}

/// The status to filter by; None for all.
pub(in crate::rpc) fn status_filter(value: i32) -> Result<Option<EmailStatus>, Error> {
    let wanted: pb::EmailStatus = enumeration("status", value)?;
    Ok(EmailStatus::ALL.into_iter().find(|s| status(*s) == wanted))
}

/// The decisions of a review; no e-mail twice.
pub(in crate::rpc) fn reviews(reviews: Vec<pb::EmailReview>) -> Result<Vec<Review>, Error> {
    if reviews.len() > MAX_AT_ONCE {
        return Err(Error::field("reviews", format!("must be at most {MAX_AT_ONCE}; call again for the rest")));
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
        let decision = v.part(decision(&field("decision"), review.decision));
        if decision == Some(None) && review.subject.is_none() && review.body.is_none() {
            v.add(field("decision"), "must be APPROVE, REJECT or RECONSIDER, unless there is a new subject or body");
        }
        let subject = review.subject.map(|s| required(&mut v, &field("subject"), text::line, &s, MAX_SUBJECT));
        let body = review.body.map(|b| required(&mut v, &field("body"), text::bounded, &b, MAX_BODY));
        if let Some(email_id) = email_id {
            out.push(Review { email_id, decision: decision.flatten(), subject, body });
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
        pb::ReviewDecision::Reconsider => Some(Decision::Reconsider),
    })
}

/// E-mails, each once; `part` is what stands behind a place of the list.
pub(in crate::rpc) fn ids(list: &str, part: &str, ids: &[String]) -> Result<Vec<EmailId>, Error> {
    if ids.len() > MAX_AT_ONCE {
        return Err(Error::field(list, format!("must be at most {MAX_AT_ONCE}; call again for the rest")));
    }
    let mut v = Violations::default();
    let mut seen = std::collections::HashSet::new();
    let mut out = Vec::with_capacity(ids.len());
    for (i, id) in ids.iter().enumerate() {
        let field = format!("{list}[{i}]{part}");
        if !seen.insert(id) {
            v.add(&field, "is there twice");
        }
        out.extend(v.take(&field, EmailId::parse(id)));
    }
    v.done().map(|()| out)
}

pub(in crate::rpc) fn resolutions(emails: &[pb::ResolvedEmail]) -> Result<Vec<(EmailId, Resolution)>, Error> {
    let named: Vec<_> = emails.iter().map(|email| email.email_id.clone()).collect();
    let ids = ids("emails", ".email_id", &named)?;
    let mut v = Violations::default();
    let mut out = Vec::with_capacity(ids.len());
    for (i, (id, email)) in ids.into_iter().zip(emails).enumerate() {
        let field = format!("emails[{i}].resolution");
        match v.part(resolution(&field, email.resolution)) {
            Some(Some(resolution)) => out.push((id, resolution)),
            Some(None) => v.add(field, "must be WAS_SENT, SEND_AGAIN or DROP"),
            None => {}
        }
    }
    v.done().map(|()| out)
}

/// None if unspecified.
pub(in crate::rpc) fn resolution(field: &str, value: i32) -> Result<Option<Resolution>, Error> {
    Ok(match enumeration(field, value)? {
        pb::EmailResolution::Unspecified => None,
        pb::EmailResolution::WasSent => Some(Resolution::WasSent),
        pb::EmailResolution::SendAgain => Some(Resolution::SendAgain),
        pb::EmailResolution::Drop => Some(Resolution::Drop),
    })
}

fn required(
    v: &mut Violations,
    field: &str,
    check: impl Fn(&mut Violations, &str, &str, usize) -> String,
    text: &str,
    max: usize,
) -> String {
    let text = check(v, field, text, max);
    if text.is_empty() {
        v.add(field, "must not be empty; leave it out to keep the text");
    }
    text
}
