//! Bounces and complaints.

use super::{id, recent};
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::delivery::{Enhanced, Fate, returned};
use crate::domain::email::{Bounce, MAX_DIAGNOSTIC, MAX_MESSAGE_ID, Report};
use crate::domain::error::{Error, Violations};
use crate::domain::id::{EmailId, Ids};
use crate::domain::text;
use crate::pb;
use crate::store::{RecordBounce, RecordComplaint, SentRef};

pub(in crate::rpc) fn out(bounce: Bounce) -> pb::Bounce {
    pb::Bounce {
        time: Some(bounce.time.into()),
        permanent: bounce.permanent,
        status: bounce.status.map(|status| status.to_string()).unwrap_or_default(),
        diagnostic: bounce.diagnostic,
    }
}

pub(in crate::rpc) fn report(report: Report) -> pb::EmailReport {
    match report {
        Report::Bounced => pb::EmailReport::Bounced,
        Report::Delayed => pb::EmailReport::Delayed,
        Report::Complained => pb::EmailReport::Complained,
    }
}

/// A bounce, checked.
pub(in crate::rpc) fn bounce(request: pb::RecordBounceRequest, ids: &Ids) -> Result<RecordBounce, Error> {
    let which = which(&request.email_id, &request.message_id, &request.address)?;
    let time = recent("time", request.time, ids)?;
    let mut v = Violations::default();
    let diagnostic = text::bounded(&mut v, "diagnostic", &request.diagnostic, MAX_DIAGNOSTIC);
    let status = match request.status.trim() {
        "" => None,
        text => v.take("status", status(text)),
    };
    let is_final = |status: Enhanced| status.class == 5;
    match (request.permanent, status) {
        (None, None) if request.status.is_empty() => {
            v.add("status", "is required, such as 5.1.1; or else permanent is");
        }
        (Some(stated), Some(status)) if stated != is_final(status) => {
            v.add("permanent", format!("must not say another thing than the status {status}: leave it out"));
        }
        _ => {}
    }
    v.done()?;
    let stated = status.map_or(request.permanent == Some(true), is_final);
    let fate = returned(stated, status, &diagnostic);
    let bounce = Bounce { time: Timestamp::default(), permanent: fate != Fate::NotNow, status, diagnostic };
    Ok(RecordBounce { which, time, bounce, suppresses: fate == Fate::Bounced })
}

/// A complaint, checked.
pub(in crate::rpc) fn complaint(request: &pb::RecordComplaintRequest, ids: &Ids) -> Result<RecordComplaint, Error> {
    let which = which(&request.email_id, &request.message_id, &request.address)?;
    Ok(RecordComplaint { which, time: recent("time", request.time, ids)? })
}

fn status(text: &str) -> Result<Enhanced, &'static str> {
    let read: Option<Enhanced> = text.parse().ok();
    read.filter(|status| status.class != 2)
        .ok_or("must be an enhanced status code that begins with 4 or 5, such as 5.1.1")
}

/// The e-mail that is meant: exactly one name of it.
fn which(email_id: &str, message_id: &str, address: &str) -> Result<SentRef, Error> {
    let bare = message_id.trim();
    let bare = bare.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(bare);
    match (email_id, bare, address) {
        (text, "", "") if !text.is_empty() => Ok(SentRef::Id(id("email_id", text, EmailId::parse)?)),
        ("", text, "") if !text.is_empty() => {
            let mut v = Violations::default();
            let text = text::line(&mut v, "message_id", text, MAX_MESSAGE_ID);
            v.done().map(|()| SentRef::MessageId(text))
        }
        ("", "", text) if !text.is_empty() => {
            let parsed = address::parse(text).map_err(|why| Error::field("address", why.to_string()));
            parsed.map(SentRef::Address)
        }
        _ => Err(Error::field("email_id", "is required, or message_id, or address; and only one of the three")),
    }
}
