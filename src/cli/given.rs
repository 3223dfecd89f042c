//! What the person has given as options, for what follows from it: a command that is named as the next thing to do takes over how the
//! server was reached, so that it works as it is pasted, and an option counts before a variable.

use std::sync::OnceLock;

use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;

/// What a further command needs as well. What stands in the environment it finds there by itself.
const OPTIONS: [&str; 7] = ["server", "user", "token", "ca", "client_certificate", "client_key", "campaign"];
/// The commands that are clients of a server.
const CLIENTS: [&str; 7] = ["campaign", "prospects", "mailboxes", "suppressions", "cache", "config", "audit"];
/// Those of `herald campaign` that take a campaign.
const OF_ONE: [&str; 11] = [
    "status",
    "watch",
    "pause",
    "resume",
    "cancel",
    "results",
    "select-template",
    "emails",
    "review",
    "approve",
    "recipients",
];

/// The options on the command line, each with its value.
static GIVEN: OnceLock<Vec<(&str, String)>> = OnceLock::new();

/// Notes what stands on the command line; two ways to say who calls are refused.
pub(super) fn note(matches: &ArgMatches) -> Result<(), clap::Error> {
    let mut innermost = matches;
    while let Some((_, inner)) = innermost.subcommand() {
        innermost = inner;
    }
    let value = |name| {
        let is_given =
            innermost.ids().any(|id| id == name) && innermost.value_source(name) == Some(ValueSource::CommandLine);
        let value = is_given.then(|| innermost.get_raw(name)?.next()).flatten()?;
        Some((name, value.to_string_lossy().into_owned()))
    };
    let given: Vec<_> = OPTIONS.into_iter().filter_map(value).collect();
    let has = |name| given.iter().any(|(option, _)| *option == name);
    if has("token") && has("user") {
        let told = "--token and --user both say who calls: give one of them\n";
        return Err(clap::Error::raw(ErrorKind::ArgumentConflict, told));
    }
    let _ = GIVEN.set(given);
    Ok(())
}

/// Whether an option stands on the command line.
pub(super) fn has(name: &str) -> bool {
    GIVEN.get().is_some_and(|given| given.iter().any(|(option, _)| *option == name))
}

/// A text with each command of a client in it, which stands in backticks, as it works when pasted.
pub(super) fn pasteable(text: &str) -> String {
    completed(text, GIVEN.get().map(Vec::as_slice).unwrap_or_default())
}

/// The same, where the commands are about this campaign.
pub(super) fn pasteable_for(campaign: &str, text: &str) -> String {
    let given = GIVEN.get().into_iter().flatten().filter(|(name, _)| *name != "campaign").cloned();
    completed(text, &given.chain([("campaign", campaign.to_owned())]).collect::<Vec<_>>())
}

fn completed(text: &str, given: &[(&str, String)]) -> String {
    let parts = text.split('`').enumerate();
    // Every other part stands between two backticks.
    let parts = parts.map(|(n, part)| if n % 2 == 1 { command(part, given) } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("`")
}

fn command(command: &str, given: &[(&str, String)]) -> String {
    let words: Vec<_> = command.split(' ').collect();
    let (noun, verb) = match words.as_slice() {
        ["herald", noun, verb, ..] if CLIENTS.contains(noun) => (*noun, *verb),
        _ => return command.to_owned(),
    };
    let mut command = command.to_owned();
    for (name, value) in given {
        let option = format!("--{}", name.replace('_', "-"));
        let takes = *name != "campaign" || (noun == "campaign" && OF_ONE.contains(&verb));
        if takes && !words.contains(&option.as_str()) {
            command = format!("{command} {option} {}", shown(name, value));
        }
    }
    command
}

/// A value as a shell takes it. What is secret in it the person puts in again.
fn shown(name: &str, value: &str) -> String {
    let value = match name {
        "token" => return "TOKEN".to_owned(),
        _ if value.contains('@') && name == "server" => crate::config::shown(value),
        _ => value.to_owned(),
    };
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:@%+=,[]".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) { value } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_completed_by_what_was_given_and_by_no_token() {
        let given = [
            ("server", "https://u:s3cret@herald.example".to_owned()),
            ("token", "s3cret".to_owned()),
            ("ca", "my ca's.pem".to_owned()),
            ("campaign", "cp_1".to_owned()),
        ];
        let told =
            completed("go on with `herald campaign resume`, or `herald serve`, or `herald campaign run`", &given);
        let options = r"--server 'https://***@herald.example' --token TOKEN --ca 'my ca'\''s.pem'";
        let expected = format!(
            "go on with `herald campaign resume {options} --campaign cp_1`, or `herald serve`, or `herald campaign run {options}`"
        );
        assert_eq!(told, expected);
        let told = completed("`herald campaign watch --campaign cp_2`; `herald config` alone", &given[3..]);
        assert_eq!(told, "`herald campaign watch --campaign cp_2`; `herald config` alone");
    }
}
