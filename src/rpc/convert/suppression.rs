//! Suppressions.

use super::enumeration;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Violations};
use crate::domain::suppression::{MAX_BATCH, Suppression, SuppressionReason};
use crate::pb;

pub(in crate::rpc) fn out(suppression: Suppression) -> pb::Suppression {
    pb::Suppression {
        email: suppression.email,
        reason: reason(suppression.reason).into(),
        source: suppression.source,
        create_time: Some(suppression.create_time.into()),
    }
}

/// The checked entries of a batch; if any is bad, every bad one is named.
pub(in crate::rpc) fn batch(rows: Vec<pb::Suppression>) -> Result<Vec<Suppression>, Error> {
    if rows.is_empty() || rows.len() > MAX_BATCH {
        return Err(Error::field("suppressions", format!("must be 1 to {MAX_BATCH}; there are {}", rows.len())));
    }
    let mut v = Violations::default();
    let checked = rows.into_iter().enumerate().map(|(i, row)| {
        let path = format!("suppressions[{i}].");
        let reason = v.take(&format!("{path}reason"), reason_in(row.reason)).flatten();
        let suppression = Suppression {
            email: row.email,
            reason: reason.unwrap_or(SuppressionReason::Manual),
            source: row.source,
            create_time: Timestamp::default(),
        };
        suppression.check(&mut v, &path)
    });
    let checked = checked.collect();
    v.done().map(|()| checked)
}

/// None if unspecified.
pub(in crate::rpc) fn reason_filter(value: i32) -> Result<Option<SuppressionReason>, Error> {
    reason_in(value).map_err(|why| Error::field("reason", why))
}

fn reason_in(value: i32) -> Result<Option<SuppressionReason>, String> {
    let wanted: pb::SuppressionReason = enumeration("", value).map_err(|_| format!("has no value {value}"))?;
    Ok(SuppressionReason::ALL.into_iter().find(|known| reason(*known) == wanted))
}

fn reason(reason: SuppressionReason) -> pb::SuppressionReason {
    match reason {
        SuppressionReason::Manual => pb::SuppressionReason::Manual,
        SuppressionReason::Unsubscribed => pb::SuppressionReason::Unsubscribed,
        SuppressionReason::Bounced => pb::SuppressionReason::Bounced,
        SuppressionReason::Complained => pb::SuppressionReason::Complained,
        SuppressionReason::Refused => pb::SuppressionReason::Refused,
    }
}
