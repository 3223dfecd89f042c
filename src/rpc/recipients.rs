//! Whom a campaign with certain rules would write to, and whether those rules name prospects of the tenant.

use tonic::Status;

use super::convert;
use crate::domain::campaign::RankedProspect;
use crate::domain::clock::Timestamp;
use crate::domain::number::saturating_i32;
use crate::domain::prospect::Prospect;
use crate::domain::recipients::RecipientRules;
use crate::pb;
use crate::status::not_found;
use crate::store::{Noun, Scoped, StoreError};

/// Refuses rules that name prospects which the tenant does not have.
pub(super) async fn refuse_unknown(store: &Scoped<'_>, rules: &RecipientRules) -> Result<(), Status> {
    if store.has_prospects(&rules.prospect_ids).await? { Ok(()) } else { Err(not_found(Noun::Prospect)) }
}

/// What whoever starts with these rules should know.
pub(super) fn notes(rules: &RecipientRules) -> Vec<String> {
    let again = "people who were written to before are written to again, however lately";
    (rules.not_again_days == 0).then(|| again.to_owned()).into_iter().collect()
}

/// Whom a campaign with these rules would write to now, as far as that can be known without scores.
pub(super) async fn preview(
    store: &Scoped<'_>,
    rules: &RecipientRules,
    max: u32,
    now: Timestamp,
) -> Result<pb::PreviewRecipientsResponse, StoreError> {
    let rules = RecipientRules { min_score: 0, ..rules.clone() };
    let (chosen, counts) = store.choose(&rules, max, now, unranked).await?;
    Ok(pb::PreviewRecipientsResponse {
        prospect_count: saturating_i32(counts.seen),
        fitting_count: saturating_i32(counts.fitting()),
        recipient_count: saturating_i32(chosen.len()),
        left_out: counts.left_out().into_iter().map(convert::recipients::left_out).collect(),
        notes: notes(&rules),
    })
}

fn unranked(prospect: Prospect) -> RankedProspect {
    let Prospect { id, fields, .. } = prospect;
    RankedProspect { prospect_id: id, company: fields.company, email: fields.email, score: 0, reasons: Vec::new() }
}
