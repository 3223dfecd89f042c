//! Whom a campaign may write to: its rules, and those that were chosen and left out.

use super::{email, prospect};
use crate::domain::campaign::RankedProspect;
use crate::domain::error::Violations;
use crate::domain::id::ProspectId;
use crate::domain::number::saturating_i32;
use crate::domain::prospect::ProspectStatus;
use crate::domain::recipients::{
    LeftOut, LeftOutOf, MAX_IDS, MAX_NOT_AGAIN_DAYS, NOT_AGAIN_DAYS, Recipient, RecipientRules,
};
use crate::pb;

/// The most of a company that can be asked for.
const MAX_PER_COMPANY: u32 = 10_000;

/// The rules of a start, checked; every prospect that was not written to lately, where there are none.
pub(in crate::rpc) fn rules(rules: Option<pb::RecipientRules>, v: &mut Violations) -> RecipientRules {
    let Some(rules) = rules else { return RecipientRules::default() };
    let path = "recipients.";
    let number = |v: &mut Violations, name: &str, value: i32, max: u32| {
        let number = u32::try_from(value).ok().filter(|number| *number <= max);
        v.take(&format!("{path}{name}"), number.ok_or_else(|| format!("must be between 0 and {max}"))).unwrap_or(0)
    };
    let min_score = number(v, "min_score", rules.min_score, 100);
    let max_per_company = number(v, "max_per_company", rules.max_per_company, MAX_PER_COMPANY);
    let not_again_days = match rules.not_again_days {
        Some(days) => number(v, "not_again_days", days, MAX_NOT_AGAIN_DAYS),
        None => NOT_AGAIN_DAYS,
    };
    if rules.prospect_ids.len() > MAX_IDS {
        v.add(format!("{path}prospect_ids"), format!("must have at most {MAX_IDS} entries: give them a tag instead"));
    }
    let ids = rules.prospect_ids.iter().take(MAX_IDS).enumerate().filter_map(|(n, id)| {
        v.take(&format!("{path}prospect_ids[{n}]"), ProspectId::parse(id).map_err(|error| error.to_string()))
    });
    let prospect_ids = ids.collect();
    let statuses: Vec<ProspectStatus> = rules
        .statuses
        .iter()
        .enumerate()
        .filter_map(|(n, status)| {
            let field = format!("{path}statuses[{n}]");
            let known = v.part(prospect::status_filter(&field, *status))?;
            if known.is_none() {
                v.add(field, "must be a status");
            }
            known
        })
        .collect();
    RecipientRules {
        tags: rules.tags,
        statuses,
        industries: rules.industries,
        prospect_ids,
        sources: rules.sources,
        languages: rules.languages,
        min_score: u8::try_from(min_score).unwrap_or(100),
        max_per_company,
        not_again_days,
    }
    .check(v, path)
}

pub(super) fn rules_out(rules: RecipientRules) -> pb::RecipientRules {
    pb::RecipientRules {
        tags: rules.tags,
        statuses: rules.statuses.into_iter().map(|status| prospect::status(status).into()).collect(),
        industries: rules.industries,
        prospect_ids: rules.prospect_ids.iter().map(ToString::to_string).collect(),
        sources: rules.sources,
        languages: rules.languages,
        min_score: rules.min_score.into(),
        max_per_company: saturating_i32(rules.max_per_company),
        not_again_days: Some(saturating_i32(rules.not_again_days)),
    }
}

pub(in crate::rpc) fn ranked(prospect: RankedProspect) -> pb::RankedProspect {
    pb::RankedProspect {
        prospect_id: prospect.prospect_id.to_string(),
        company: prospect.company,
        email: prospect.email,
        score: i32::from(prospect.score),
        reasons: prospect.reasons,
    }
}

pub(in crate::rpc) fn left_out(left_out: LeftOutOf) -> pb::LeftOut {
    let reason = match left_out.why {
        LeftOut::Filtered => pb::LeftOutReason::Filtered,
        LeftOut::Suppressed => pb::LeftOutReason::Suppressed,
        LeftOut::Refused => pb::LeftOutReason::Refused,
        LeftOut::Converted => pb::LeftOutReason::Converted,
        LeftOut::TakenOver => pb::LeftOutReason::TakenOver,
        LeftOut::Duplicate => pb::LeftOutReason::Duplicate,
        LeftOut::WrittenRecently => pb::LeftOutReason::WrittenRecently,
        LeftOut::InCampaign => pb::LeftOutReason::InCampaign,
        LeftOut::LowScore => pb::LeftOutReason::LowScore,
        LeftOut::CompanyFull => pb::LeftOutReason::CompanyFull,
        LeftOut::BeyondMaximum => pb::LeftOutReason::BeyondMaximum,
    };
    pb::LeftOut { reason: reason.into(), count: saturating_i32(left_out.count), examples: left_out.examples }
}

pub(in crate::rpc) fn out(recipient: Recipient) -> pb::Recipient {
    let (email_id, status) =
        recipient.email.map(|(id, status)| (id.to_string(), email::status(status))).unwrap_or_default();
    pb::Recipient {
        prospect: Some(ranked(recipient.prospect)),
        position: saturating_i32(recipient.position),
        email_id,
        email_status: status.into(),
    }
}
