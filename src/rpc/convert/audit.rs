//! The audit log, and who calls.

use super::time;
use crate::domain::error::{Error, Violations};
use crate::domain::id::MAX_CHARS;
use crate::domain::text;
use crate::pb;
use crate::store::{AuditEvent, AuditFilter, MAX_SUBJECT};
use crate::tenant::{Proof, Role};

pub(in crate::rpc) fn filter(request: &pb::ListAuditEventsRequest) -> Result<AuditFilter, Error> {
    let mut v = Violations::default();
    let mut stated =
        |field, text, max| Some(text::line(&mut v, field, text, max)).filter(|text: &String| !text.is_empty());
    let method = stated("method", &request.method, MAX_CHARS);
    let subject = stated("subject", &request.subject, MAX_SUBJECT);
    let id = stated("touched", &request.touched, MAX_CHARS);
    let since = v.part(time("since", request.since)).flatten();
    let until = v.part(time("until", request.until)).flatten();
    v.done()?;
    Ok(AuditFilter { method, subject, id, since, until })
}

pub(in crate::rpc) fn out(event: AuditEvent) -> pb::AuditEvent {
    pb::AuditEvent {
        seq: event.seq,
        time: Some(event.time.into()),
        subject: event.subject,
        role: event.role.map_or(pb::Role::Unspecified, role).into(),
        proof: proof(event.proof).into(),
        method: event.method,
        touched_count: event.touched,
        ids: event.ids,
        fields: event.fields,
        call_id: event.call_id,
        request_id: event.request_id,
        unfinished: event.unfinished,
    }
}

pub(in crate::rpc) fn role(role: Role) -> pb::Role {
    match role {
        Role::Viewer => pb::Role::Viewer,
        Role::Editor => pb::Role::Editor,
        Role::Admin => pb::Role::Admin,
    }
}

pub(in crate::rpc) fn proof(proof: Proof) -> pb::Proof {
    match proof {
        Proof::Token => pb::Proof::Token,
        Proof::TrustedHeader => pb::Proof::TrustedHeader,
        Proof::DevHeader => pb::Proof::DevHeader,
        Proof::DevAnonymous => pb::Proof::DevAnonymous,
        Proof::Operator => pb::Proof::Operator,
        Proof::Link => pb::Proof::Link,
    }
}
