//! A refusal of the API in the words of the command line.
//!
//! The API speaks of its methods and fields, a person has commands and flags. What is told follows from the reason and the
//! fields that every refusal carries (`status.rs`); the message of the server stands where it says all that there is to say.

use std::collections::HashMap;
use std::fmt;

use clap::ValueEnum as _;
use tonic::Status;
use tonic_types::{FieldViolation, StatusExt as _};

use super::words::Word as _;
use crate::pb;
use crate::terminal::line;

/// No answer of Herald: the connection broke, or somebody else has answered. What was met is found out by asking (`peer`).
#[derive(Debug)]
pub(super) struct Unanswered {
    pub status: Status,
    /// What the person can do then; may be empty.
    pub then: String,
}

pub(super) const NO_TEMPLATE: &str = "there is no template of that id: `herald templates list` lists them";

/// A refusal in words, with the reason that programs go by; or that there was no answer.
pub(super) fn explain(status: &Status) -> anyhow::Error {
    explain_with(status, String::new())
}

/// The same, with what can be done where there was no answer.
pub(super) fn explain_with(status: &Status, then: String) -> anyhow::Error {
    let details = status.get_error_details();
    let Some(info) = details.error_info() else {
        return anyhow::Error::new(Unanswered { status: status.clone(), then });
    };
    let fields = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    let text = match fields {
        [] => own_words(&info.reason, &info.metadata).unwrap_or_else(|| line(status.message()).into_owned()),
        [one] => said_of(one),
        several => several.iter().map(said_of).collect::<Vec<_>>().join("\n  "),
    };
    let at = text.find('\n').unwrap_or(text.len());
    let (first, rest) = text.split_at(at);
    anyhow::Error::msg(format!("{first} [{}]{rest}", info.reason))
}

/// The reason of a refusal; empty if there was no answer.
pub(super) fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// What the command line says of a reason; None where the server's words name no method and no field.
fn own_words(reason: &str, facts: &HashMap<String, String>) -> Option<String> {
    let fact = |name: &str| facts.get(name).map(|fact| line(fact)).unwrap_or_default();
    Some(match reason {
        "CREDENTIALS_MISSING" | "CREDENTIALS_INVALID" => {
            let what = if reason == "CREDENTIALS_MISSING" { "the server wants" } else { "these are no valid" };
            format!("{what} credentials: give --token, or to a development server --user (HERALD_TOKEN, HERALD_USER)")
        }
        "NO_CAMPAIGN" => "there is no campaign: `herald campaign run` starts one".to_owned(),
        "CAMPAIGN_NOT_FOUND" => "there is no campaign of that id".to_owned(),
        "EMAIL_NOT_FOUND" => "there is no e-mail of that id: `herald campaign emails` lists them".to_owned(),
        "PROSPECT_NOT_FOUND" => "there is no prospect of that id: `herald prospects list` shows them".to_owned(),
        "TEMPLATE_NOT_FOUND" => NO_TEMPLATE.to_owned(),
        "TEMPLATE_BUILT_IN" => {
            "it is built in: `herald templates create --name NAME --from TEMPLATE` makes one of your own".to_owned()
        }
        "TEMPLATE_IN_USE" => format!(
            "live campaigns have letters to write from it: {}; wait until they are written, or cancel them",
            fact("campaign_ids").replace(',', ", ")
        ),
        "SENDER_MISSING" => {
            "nobody knows which company writes: `herald config set sender.company=NAME`, or give --campaign".to_owned()
        }
        "CACHE_KEY_NOT_FOUND" => "the key holds no value: `herald cache keys` prints those that do".to_owned(),
        "MAILBOX_NOT_FOUND" => "there is no mailbox of that id: `herald mailboxes list` shows them".to_owned(),
        "CAMPAIGN_LIVE" => live(&fact("campaign_ids")),
        "CAMPAIGN_AMBIGUOUS" => ambiguous(fact("campaign_ids").split(',')),
        "PROSPECTS_TAKEN" => format!("its prospects are in other campaigns by now: {}", live(&fact("campaign_ids"))),
        "CAMPAIGN_STATE" => {
            let state = word::<pb::CampaignState>("CAMPAIGN_STATE_", &fact("state"));
            let commands: Vec<_> = fact("allowed").split(',').filter_map(command).collect();
            match commands.as_slice() {
                [] => format!("the campaign is {state}, and nothing more can be done with it"),
                commands => format!("the campaign is {state}; possible now: {}", commands.join(", ")),
            }
        }
        "EMAIL_STATE" => {
            let (id, state) = (fact("email_id"), word::<pb::EmailStatus>("EMAIL_STATUS_", &fact("state")));
            format!("the e-mail {id} is {state} already; nothing was changed, of the others neither")
        }
        "EMAIL_UNWRITTEN" => {
            "it could not be written: its note says why (`herald campaign emails --status failed`)".to_owned()
        }
        "ETAG_MISMATCH" => {
            "the configuration is no longer the one of that --etag: look at it with `herald config get`".to_owned()
        }
        "DEADLINE_EXCEEDED" => {
            "the server took longer than a call may; what was asked for may have been done: look".to_owned()
        }
        "METHOD_UNKNOWN" => "the server does not know this command: is it an older Herald?".to_owned(),
        _ => return None,
    })
}

/// That campaigns stand in the way; the newest first, with commas between. Some may wait for a person: their status says so.
fn live(ids: &str) -> String {
    let all: Vec<_> = ids.split(',').collect();
    let (newest, are) = match all.as_slice() {
        [one] => (*one, format!("the campaign {one} is live")),
        [newest, ..] => (*newest, format!("the campaigns {} are live", all.join(", "))),
        [] => ("", String::new()),
    };
    format!(
        "{are}: what one waits for is told by `herald campaign status --campaign {newest}`, and it is ended by `herald campaign \
         cancel --campaign {newest}`"
    )
}

/// That several campaigns could be meant.
pub(super) fn ambiguous<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let ids: Vec<_> = ids.collect();
    format!("{} campaigns are live, name the one that you mean by --campaign: {}", ids.len(), ids.join(", "))
}

/// What is wrong with a field, by the name that it has here.
fn said_of(violation: &FieldViolation) -> String {
    let (field, what) = (line(&violation.field), line(&violation.description));
    format!("{} {}", name_of(&field), here(&what)).trim().to_owned()
}

/// What the command line calls a field of a request.
fn name_of(field: &str) -> String {
    let path = field.strip_prefix("recipients.").unwrap_or(field);
    let (list, rest) = path.split_once('[').unwrap_or((path, ""));
    let (number, inner) = rest.split_once(']').unwrap_or(("", ""));
    let row = number.parse::<usize>().map(|number| number + 1);
    match (list, inner.trim_start_matches('.')) {
        ("prospects", inner) if row.is_ok() => format!("row {}: {inner}", row.unwrap_or_default()),
        ("suppressions", _) if row.is_ok() => format!("address {}:", row.unwrap_or_default()),
        ("reviews", "email_id") => "EMAIL_ID".to_owned(),
        ("reviews", inner @ ("subject" | "body")) => format!("--{inner}"),
        (list, _) => match FLAGS.iter().find(|(name, _)| *name == list) {
            Some((_, flag)) => (*flag).to_owned(),
            None => path.strip_prefix("config.").unwrap_or(path).to_owned(),
        },
    }
}

/// The fields of requests that are flags or arguments of a command; all others are fields of the configuration or of rows.
const FLAGS: &[(&str, &str)] = &[
    ("website", "--website"),
    ("goal", "--goal"),
    ("goal_detail", "--goal-detail"),
    ("template_id", "--template"),
    ("template.name", "--name"),
    ("template.description", "--description"),
    ("template.texts", "--text"),
    ("language", "--language"),
    ("max_prospects", "--max-prospects"),
    ("tags", "--tag"),
    ("tag", "--tag"),
    ("statuses", "--status"),
    ("status", "--status"),
    ("industries", "--industry"),
    ("industry", "--industry"),
    ("prospect_ids", "--prospect"),
    ("sources", "--source"),
    ("languages", "--language"),
    ("min_score", "--min-score"),
    ("max_per_company", "--max-per-company"),
    ("not_again_days", "--not-again-days"),
    ("campaign_id", "--campaign"),
    ("email_id", "EMAIL_ID"),
    ("engagement", "--engagement"),
    ("query", "--query"),
    ("page_size", "--limit"),
    ("email", "ADDRESS"),
    ("key", "KEY"),
    ("prefix", "--prefix"),
    ("value", "VALUE"),
    ("ttl", "--ttl"),
    ("reason", "--reason"),
    ("mailbox_id", "MAILBOX"),
    ("mailbox.id", "MAILBOX"),
    ("mailbox.address", "--address"),
    ("mailbox.display_name", "--display-name"),
    ("mailbox.reply_to", "--reply-to"),
    ("mailbox.signature", "--signature"),
    ("mailbox.postal_address", "--postal-address"),
    ("mailbox.smtp.host", "--host"),
    ("mailbox.smtp.port", "--port"),
    ("mailbox.smtp.security", "--security"),
    ("mailbox.smtp.username", "--username"),
    ("mailbox.smtp.password", "--password-file"),
    ("mailbox.smtp.oauth.token_url", "--oauth"),
    ("mailbox.smtp.oauth.client_id", "--client-id"),
    ("mailbox.smtp.oauth.client_secret", "--client-secret-file"),
    ("mailbox.smtp.oauth.refresh_token", "--refresh-token-file"),
    ("mailbox.pace.max_emails_per_hour", "--per-hour"),
    ("mailbox.pace.max_emails_per_day", "--per-day"),
    ("mailbox.pace.min_pause_seconds", "--pause"),
    ("mailbox.pace.max_pause_seconds", "--pause"),
    ("mailbox.pace.ramp_start", "--ramp"),
    ("mailbox.pace.ramp_daily_increase", "--ramp"),
    ("mailbox.calendar.days", "--days"),
    ("mailbox.calendar.hours", "--hours"),
    ("mailbox.calendar.time_zone", "--time-zone"),
    ("mailbox.calendar.holidays", "--holiday"),
];

/// A description that names a field of the configuration says how it is set.
fn here(description: &str) -> String {
    const SILENT: &str = "is required, since the configuration has no target_website";
    if description == SILENT {
        return "is required, since the configuration has none (`herald config set target_website=URL`)".to_owned();
    }
    description.to_owned()
}

/// The word of a value, of which the server says the name without its enum.
fn word<E: super::words::Word + clap::ValueEnum>(prefix: &str, name: &str) -> String {
    let name = format!("{prefix}{name}");
    E::value_variants().iter().find(|value| value.api_name() == name).map_or_else(String::new, |value| value.word())
}

/// The command that does what the API allows.
fn command(allowed: &str) -> Option<&'static str> {
    let name = format!("CAMPAIGN_ACTION_{allowed}");
    let action = pb::CampaignAction::value_variants().iter().find(|action| action.api_name() == name)?;
    command_for(*action)
}

/// The command for an action.
pub(super) fn command_for(action: pb::CampaignAction) -> Option<&'static str> {
    Some(match action {
        pb::CampaignAction::Pause => "`herald campaign pause`",
        pb::CampaignAction::Resume => "`herald campaign resume`",
        pb::CampaignAction::Cancel => "`herald campaign cancel`",
        pb::CampaignAction::SelectTemplate => "`herald campaign select-template ID`",
        pb::CampaignAction::ReviewEmails => "`herald campaign review`",
        pb::CampaignAction::Unspecified => return None,
    })
}

// === impl Unanswered ===

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(self.status.message()))
    }
}

impl std::error::Error for Unanswered {}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;
    use crate::domain::id::CampaignId;
    use crate::domain::state::{Action, CampaignState};
    use crate::status;
    use crate::store::{Noun, StoreError};

    /// Every refusal that a command can meet.
    fn refusals() -> Vec<Status> {
        let nouns = [
            Noun::Prospect,
            Noun::Email,
            Noun::SentEmail,
            Noun::Campaign,
            Noun::AnyCampaign,
            Noun::Template,
            Noun::Suppression,
        ];
        let mut all: Vec<_> = nouns.into_iter().map(status::not_found).collect();
        all.extend([status::credentials_missing(), status::credentials_invalid(), status::keys_unavailable()]);
        all.extend([status::no_such_key(), status::no_such_method(), status::starting()]);
        all.extend([status::deadline_exceeded(), status::shutting_down(), status::host_not_local()]);
        all.extend([status::too_many_calls(), status::too_many_streams(), status::too_many_bytes()]);
        all.extend([status::role_too_low("viewer", "editor"), status::answer_too_large()]);
        for action in Action::ALL {
            for state in [CampaignState::Running, CampaignState::WaitingApproval, CampaignState::Completed] {
                all.extend(state.after(action).err().map(|refused| StoreError::CampaignState(refused).into()));
            }
        }
        let id = CampaignId::parse("cp_1").expect("an id");
        let two = vec![id.clone(), id];
        all.extend(
            [StoreError::CampaignsLive(two.clone()), StoreError::CampaignAmbiguous(two.clone())].map(Status::from),
        );
        all.extend(
            [StoreError::ProspectsTaken(two.clone()), StoreError::TooManyLive { live: two, max: 2 }].map(Status::from),
        );
        all.extend([StoreError::EtagMismatch, StoreError::DiskFull].map(Status::from));
        all.push(StoreError::EmailState { id: "em_1".to_owned(), status: "sent" }.into());
        all
    }

    #[test]
    fn no_refusal_names_a_method_or_a_field_of_the_api() {
        let methods = pb::methods();
        assert!(methods.len() > 40, "{}", methods.len());
        for status in refusals() {
            let told = explain(&status).to_string();
            let (words, reason) = told.rsplit_once(" [").expect("the reason behind the words");
            assert!(methods.iter().all(|method| !words.contains(method.as_str())), "{told}");
            let of_api = |word: &str| word.contains('_') && !word.starts_with("HERALD_") && !word.contains("_1");
            let bare = words.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
            assert!(bare.into_iter().all(|word| !of_api(word)), "{told}");
            assert!(reason.starts_with(|c: char| c.is_ascii_uppercase()), "{told}");
        }
    }

    #[test]
    fn each_campaign_in_the_way_is_named() {
        let ids: Vec<_> = ["cp_1", "cp_2", "cp_3"].map(|id| CampaignId::parse(id).expect("an id")).into();
        for (live, words) in [
            (ids.clone(), "the campaigns cp_1, cp_2, cp_3 are live: "),
            (ids[..1].to_vec(), "the campaign cp_1 is live: "),
        ] {
            let told = explain(&StoreError::TooManyLive { live, max: 3 }.into()).to_string();
            assert!(told.starts_with(words) && told.contains("`herald campaign status --campaign cp_1`"), "{told}");
        }
    }

    #[test]
    fn a_mail_that_was_sent_is_told_as_sent_and_a_campaign_by_its_commands() {
        let told = |status: Status| explain(&status).to_string();
        let sent = told(StoreError::EmailState { id: "em_1".to_owned(), status: "sent" }.into());
        assert!(sent.starts_with("the e-mail em_1 is sent already"), "{sent}");
        let refused = CampaignState::WaitingApproval.after(Action::SelectTemplate).expect_err("refused");
        let told = told(StoreError::CampaignState(refused).into());
        let expected = "the campaign is waiting-approval; possible now: `herald campaign review`, `herald campaign pause`, \
                        `herald campaign cancel` [CAMPAIGN_STATE]";
        assert_eq!(told, expected);
    }

    #[test]
    fn fields_are_told_by_their_flags() {
        for (field, name) in [
            ("recipients.not_again_days", "--not-again-days"),
            ("recipients.tags[3]", "--tag"),
            ("recipients.statuses[0]", "--status"),
            ("max_prospects", "--max-prospects"),
            ("reviews[1].email_id", "EMAIL_ID"),
            ("reviews[1].subject", "--subject"),
            ("prospects[3].email", "row 4: email"),
            ("suppressions[3].email", "address 4:"),
            ("mailbox.calendar.holidays[3]", "--holiday"),
            ("mailbox.smtp.oauth.token_url", "--oauth"),
            ("config.sender.email", "sender.email"),
            ("config.roles[0]", "roles[0]"),
        ] {
            assert_eq!(name_of(field), name);
        }
        let bad = vec![
            FieldViolation::new("recipients.min_score", "must be between 0 and 100"),
            FieldViolation::new("max_prospects", "must be between 1 and 10000"),
        ];
        let mut details = ErrorDetails::with_bad_request(bad);
        details.set_error_info("FIELD_INVALID", status::DOMAIN, HashMap::new());
        let status = Status::with_error_details(tonic::Code::InvalidArgument, "recipients.min_score is bad", details);
        let expected =
            "--min-score must be between 0 and 100 [FIELD_INVALID]\n  --max-prospects must be between 1 and 10000";
        assert_eq!(explain(&status).to_string(), expected);
    }

    #[test]
    fn each_flag_that_is_named_is_there() {
        use clap::CommandFactory as _;
        fn longs(command: &clap::Command, into: &mut Vec<String>) {
            into.extend(command.get_arguments().filter_map(|arg| arg.get_long()).map(|long| format!("--{long}")));
            command.get_subcommands().for_each(|inner| longs(inner, into));
        }
        let mut known = Vec::new();
        longs(&crate::cli::Cli::command(), &mut known);
        for (field, flag) in FLAGS {
            assert!(!flag.starts_with("--") || known.contains(&(*flag).to_owned()), "{field}: {flag}");
        }
    }
}
