//! `herald mailboxes …`: the addresses that the tenant sends from, on a running server.
//!
//! Each option is a field of `herald.v1.Mailbox`; an update changes those that are given. Secrets are read from files, for a command
//! line is seen by everybody on the machine.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, Subcommand, ValueEnum as _};

use super::client::{Api, Connection};
use super::input;
use super::output::{Json, say_json, say_list, table};
use super::refusal::explain;
use super::words::Word as _;
use crate::domain::address;
use crate::pb;
use crate::terminal::{line, say, tell};

#[derive(Args)]
pub(super) struct MailboxesArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List them, the oldest first.
    List {
        #[command(flatten)]
        form: Json,
    },
    /// Print a mailbox. Its secrets never come out.
    Get {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        form: Json,
    },
    /// Add a mailbox, enabled.
    #[command(group(ArgGroup::new("server_of_it").args(["host", "outbox"]).required(true)))]
    Create {
        /// Its mail goes into the tenant's outbox folder, as files.
        #[arg(long)]
        outbox: bool,
        #[command(flatten)]
        settings: Box<Settings>,
        #[command(flatten)]
        form: Json,
    },
    /// Change what the options name; an empty value (--reply-to '') clears.
    Update {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        settings: Box<Settings>,
        #[command(flatten)]
        form: Json,
    },
    /// Remove a mailbox and its secrets.
    Delete {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        form: Json,
    },
    /// Send nothing from a mailbox until it is resumed.
    Pause {
        #[command(flatten)]
        which: Which,
        /// Why.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        form: Json,
    },
    /// Connect to a mailbox's server and sign in, without sending a letter, and say what the server answered; exits with 1 if it does
    /// not let the mailbox in.
    Test {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        form: Json,
    },
    /// Let a paused mailbox send again.
    Resume {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        form: Json,
    },
}

#[derive(Args)]
struct Which {
    /// Its id or its address.
    #[arg(value_name = "MAILBOX")]
    mailbox: String,
}

#[derive(Args)]
struct Settings {
    /// The address in From.
    #[arg(long)]
    address: Option<String>,
    /// The name in From.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Where answers go, if not to the address.
    #[arg(long, value_name = "ADDRESS")]
    reply_to: Option<String>,
    /// A file with what stands below each letter.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Where the sender can be found, which stands below each letter too.
    #[arg(long, value_name = "TEXT")]
    postal_address: Option<String>,
    /// Send an HTML form of each letter beside its text.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    html: Option<bool>,
    /// The mail server.
    #[arg(long)]
    host: Option<String>,
    /// Its port; if left out or 0, the usual one of the security.
    #[arg(long)]
    port: Option<u16>,
    /// How the talk with it is kept private; if left out, by starttls. None is for a server on the same machine.
    #[arg(long)]
    security: Option<pb::SmtpSecurity>,
    /// Whom to sign in as; nobody signs in without.
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// A file with the password; an empty one removes it.
    #[arg(long, value_name = "FILE", conflicts_with = "oauth")]
    password_file: Option<PathBuf>,
    /// Sign in by OAuth: google, microsoft, or the https URL that gives the tokens of another.
    #[arg(long, value_name = "google|microsoft|URL")]
    oauth: Option<String>,
    /// The id of the OAuth client.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file with the secret of the OAuth client; an empty one removes it.
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// A file with the refresh token that the user's consent has given; an empty one removes it.
    #[arg(long, value_name = "FILE")]
    refresh_token_file: Option<PathBuf>,
    /// At most so many letters within any 60 minutes; 0 means no limit. If left out, 10.
    #[arg(long, value_name = "N")]
    per_hour: Option<i32>,
    /// At most so many within any 24 hours; 0 means no limit. If left out, 30.
    #[arg(long, value_name = "N")]
    per_day: Option<i32>,
    /// The pause between two, in seconds, a random one between the two numbers. If left out, 60-180.
    #[arg(long, value_name = "MIN-MAX", value_parser = pause)]
    pause: Option<(i32, i32)>,
    /// So many on the first day of a new mailbox, and so many more on each day after, until --per-day; 0+0 ends it.
    #[arg(long, value_name = "START+DAILY", value_parser = ramp)]
    ramp: Option<(i32, i32)>,
    /// The days on which it sends, such as mon-fri or mon,wed. If left out, mon-fri.
    #[arg(long, value_parser = days)]
    days: Option<Days>,
    /// The hours in which it sends. If left out, 9:00-17:00.
    #[arg(long, value_name = "9:00-17:00", value_parser = hours)]
    hours: Option<pb::WorkingHours>,
    /// By which clocks, such as Europe/Berlin. If left out, UTC.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// A day without mail, such as 2026-12-25; once for each. Those that were there go.
    #[arg(long, value_name = "DATE")]
    holiday: Option<Vec<String>>,
    /// Sign its letters by DKIM, with a new key under this name, such as herald2026; empty: no more. `get` prints the record for DNS.
    #[arg(long, value_name = "SELECTOR")]
    dkim: Option<String>,
}

#[derive(Clone)]
struct Days(Vec<pb::DayOfWeek>);

pub(super) fn mailboxes(args: MailboxesArgs) -> anyhow::Result<ExitCode> {
    // A bad file is told before a server is needed.
    let request = match &args.command {
        Command::Create { outbox, settings, .. } => {
            let (mut mailbox, _) = settings.read()?;
            mailbox.kind = if *outbox { pb::MailboxKind::Outbox } else { pb::MailboxKind::Smtp }.into();
            Some((mailbox, Vec::new()))
        }
        Command::Update { settings, .. } => Some(settings.read()?).filter(|(_, paths)| !paths.is_empty()),
        _ => None,
    };
    args.connection.run(async |mut api| match (args.command, request) {
        (Command::List { form }, _) => list(&mut api, form).await,
        (Command::Get { which, form }, _) => {
            let mailbox_id = which.id(&mut api).await?;
            let request = pb::GetMailboxRequest { mailbox_id };
            let answer = api.mailbox.get_mailbox(request).await.map_err(|s| explain(&s))?.into_inner();
            if form.json {
                return say_json(&answer);
            }
            say!("{}", table(["field", "value"], &rows(&answer.mailbox.unwrap_or_default())));
            Ok(ExitCode::SUCCESS)
        }
        (Command::Create { form, .. }, Some((mailbox, _))) => {
            let request = pb::CreateMailboxRequest { mailbox: Some(mailbox), request_id: String::new() };
            let answer = api.mailbox.create_mailbox(request).await.map_err(|s| explain(&s))?.into_inner();
            if form.json {
                return say_json(&answer);
            }
            done(answer.mailbox, "is added")
        }
        (Command::Update { which, form, .. }, Some((mut mailbox, paths))) => {
            mailbox.id = which.id(&mut api).await?;
            let update_mask = Some(prost_types::FieldMask { paths });
            let request = pb::UpdateMailboxRequest { mailbox: Some(mailbox), update_mask };
            let answer = api.mailbox.update_mailbox(request).await.map_err(|s| explain(&s))?.into_inner();
            if form.json {
                return say_json(&answer);
            }
            done(answer.mailbox, "is changed")
        }
        (Command::Create { .. } | Command::Update { .. }, _) => {
            bail!("nothing is to be changed: `herald mailboxes update --help` lists the options")
        }
        (Command::Delete { which, form }, _) => {
            let mailbox_id = which.id(&mut api).await?;
            let request = pb::DeleteMailboxRequest { mailbox_id, etag: String::new() };
            let answer = api.mailbox.delete_mailbox(request).await.map_err(|s| explain(&s))?.into_inner();
            if form.json {
                return say_json(&answer);
            }
            say!("{} is removed, with its secrets", which.mailbox);
            Ok(ExitCode::SUCCESS)
        }
        (Command::Pause { which, reason, form }, _) => {
            let mailbox_id = which.id(&mut api).await?;
            let request = pb::PauseMailboxRequest { mailbox_id, reason };
            let answer = api.mailbox.pause_mailbox(request).await.map_err(|s| explain(&s))?.into_inner();
            if form.json {
                return say_json(&answer);
            }
            done(answer.mailbox, "is paused")
        }
        (Command::Test { which, form }, _) => {
            let request = pb::TestMailboxRequest { mailbox_id: which.id(&mut api).await? };
            let answer = api.mailbox.test_mailbox(request).await.map_err(|s| explain(&s))?.into_inner();
            if form.json {
                say_json(&answer)?;
            } else {
                answer.transcript.iter().for_each(|line| say!("{}", spoken(line)));
                say!("{}", if answer.works { "the mailbox works" } else { "the mailbox does not work" });
            }
            Ok(if answer.works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        (Command::Resume { which, form }, _) => {
            let request = pb::ResumeMailboxRequest { mailbox_id: which.id(&mut api).await? };
            let answer = api.mailbox.resume_mailbox(request).await.map_err(|s| explain(&s))?.into_inner();
            if form.json {
                return say_json(&answer);
            }
            done(answer.mailbox, "is enabled")
        }
    })
}

/// One stage of a talk, such as `sign_in: 535 5.7.8 bad credentials`.
pub(super) fn spoken(said: &pb::DeliveryLine) -> String {
    let code = if said.code == 0 { String::new() } else { said.code.to_string() };
    let parts = [&code, &said.enhanced_code, &said.words].into_iter().filter(|part| !part.is_empty());
    let words = parts.map(String::as_str).collect::<Vec<_>>().join(" ");
    format!("{}: {}", said.stage.replace('_', " "), line(&words))
}

/// The id of the mailbox that people name by that or by its address.
pub(super) async fn id(api: &mut Api, mailbox: &str) -> anyhow::Result<String> {
    if !mailbox.contains('@') {
        return Ok(mailbox.to_owned());
    }
    let key = address::key(mailbox);
    let found = all(api).await?.mailboxes.into_iter().find(|one| address::key(&one.address) == key);
    let missing = || format!("there is no mailbox {mailbox}: `herald mailboxes list` shows them");
    found.map(|one| one.id).with_context(missing)
}

async fn all(api: &mut Api) -> anyhow::Result<pb::ListMailboxesResponse> {
    Ok(api.mailbox.list_mailboxes(pb::ListMailboxesRequest {}).await.map_err(|s| explain(&s))?.into_inner())
}

async fn list(api: &mut Api, form: Json) -> anyhow::Result<ExitCode> {
    let whole = all(api).await?;
    if form.json {
        return say_json(&whole);
    }
    let why = |m: &pb::Mailbox| if m.pause_reason.is_empty() { m.trouble.clone() } else { m.pause_reason.clone() };
    let row = |m: &pb::Mailbox| [m.id.clone(), m.address.clone(), m.state().word(), server(m), why(m)];
    let rows: Vec<_> = whole.mailboxes.iter().map(row).collect();
    say_list("mailboxes", ["id", "address", "state", "server", "reason"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// Says what has become of a mailbox, by its address.
fn done(mailbox: Option<pb::Mailbox>, what: &str) -> anyhow::Result<ExitCode> {
    let pb::Mailbox { id, address, .. } = mailbox.unwrap_or_default();
    say!("{address} {what} ({id})");
    Ok(ExitCode::SUCCESS)
}

// === impl Which ===

impl Which {
    /// Its id. An id has no @.
    async fn id(&self, api: &mut Api) -> anyhow::Result<String> {
        id(api, &self.mailbox).await
    }
}

// === impl Settings ===

impl Settings {
    /// What the options say, and the paths of the fields that they say it of.
    fn read(&self) -> anyhow::Result<(pb::Mailbox, Vec<String>)> {
        let files = [&self.signature, &self.password_file, &self.client_secret_file, &self.refresh_token_file];
        if files.into_iter().flatten().filter(|path| input::is_standard(path)).count() > 1 {
            bail!("standard input can be one file only");
        }
        let mut mailbox = pb::Mailbox::default();
        let (mut smtp, mut oauth) = (pb::SmtpServer::default(), pb::OAuthClient::default());
        let (mut pace, mut calendar) = (pb::Pace::default(), pb::Calendar::default());
        let mut dkim = pb::Dkim::default();
        let mut paths = Vec::new();
        macro_rules! set {
            ($($option:expr => $path:literal, $place:expr;)*) => {
                $(if let Some(value) = $option {
                    $place = value;
                    paths.push($path.to_owned());
                })*
            };
        }
        let provider = self.oauth.as_deref().map(|whose| match whose {
            "google" => (pb::OAuthProvider::Google, ""),
            "microsoft" => (pb::OAuthProvider::Microsoft, ""),
            url => (pb::OAuthProvider::Unspecified, url),
        });
        let signs_in = match (&self.oauth, &self.password_file) {
            (Some(whose), _) if !whose.is_empty() => Some(pb::SignIn::Oauth),
            (None, None) => None,
            _ => Some(pb::SignIn::Password),
        };
        set! {
            self.address.clone() => "address", mailbox.address;
            self.display_name.clone() => "display_name", mailbox.display_name;
            self.reply_to.clone() => "reply_to", mailbox.reply_to;
            self.signature.as_deref().map(|path| input::text(path, &input::TEXT)).transpose()? => "signature", mailbox.signature;
            self.postal_address.clone() => "postal_address", mailbox.postal_address;
            self.html => "html", mailbox.html;
            self.host.clone() => "smtp.host", smtp.host;
            self.port.map(i32::from) => "smtp.port", smtp.port;
            self.security.map(i32::from) => "smtp.security", smtp.security;
            signs_in.map(i32::from) => "smtp.sign_in", smtp.sign_in;
            self.username.clone() => "smtp.username", smtp.username;
            secret(&self.password_file)? => "smtp.password", smtp.password;
            provider.map(|(whose, _)| whose.into()) => "smtp.oauth.provider", oauth.provider;
            provider.map(|(_, url)| url.to_owned()) => "smtp.oauth.token_url", oauth.token_url;
            self.client_id.clone() => "smtp.oauth.client_id", oauth.client_id;
            secret(&self.client_secret_file)? => "smtp.oauth.client_secret", oauth.client_secret;
            secret(&self.refresh_token_file)? => "smtp.oauth.refresh_token", oauth.refresh_token;
            self.per_hour.map(Some) => "pace.max_emails_per_hour", pace.max_emails_per_hour;
            self.per_day.map(Some) => "pace.max_emails_per_day", pace.max_emails_per_day;
            self.pause.map(|(least, _)| Some(least)) => "pace.min_pause_seconds", pace.min_pause_seconds;
            self.pause.map(|(_, most)| Some(most)) => "pace.max_pause_seconds", pace.max_pause_seconds;
            self.ramp.map(|(start, _)| start) => "pace.ramp_start", pace.ramp_start;
            self.ramp.map(|(_, daily)| daily) => "pace.ramp_daily_increase", pace.ramp_daily_increase;
            self.days.clone().map(|days| days.0.into_iter().map(i32::from).collect()) => "calendar.days", calendar.days;
            self.hours.map(Some) => "calendar.hours", calendar.hours;
            self.time_zone.clone() => "calendar.time_zone", calendar.time_zone;
            self.holiday.clone().map(|days| days.into_iter().filter(|day| !day.is_empty()).collect()) => "calendar.holidays", calendar.holidays;
            self.dkim.clone() => "dkim.selector", dkim.selector;
        }
        let has = |part: &str| paths.iter().any(|path: &String| path.starts_with(part));
        smtp.oauth = has("smtp.oauth.").then_some(oauth);
        mailbox.smtp = has("smtp.").then_some(smtp);
        mailbox.pace = has("pace.").then_some(pace);
        mailbox.calendar = has("calendar.").then_some(calendar);
        mailbox.dkim = has("dkim.").then_some(dkim);
        Ok((mailbox, paths))
    }
}

/// A secret out of a file, without the line end that editors put behind it.
fn secret(path: &Option<PathBuf>) -> anyhow::Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    if input::is_standard(path) && std::io::stdin().is_terminal() {
        tell!("the secret, then Ctrl-D:");
    }
    let text = input::text(Path::new(path), &input::TEXT)?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn two(text: &str, between: char) -> Option<(i32, i32)> {
    let (one, other) = text.split_once(between)?;
    Some((one.trim().parse().ok()?, other.trim().parse().ok()?))
}

fn pause(text: &str) -> Result<(i32, i32), &'static str> {
    two(text, '-').filter(|(least, most)| least <= most).ok_or("write seconds as MIN-MAX, such as 60-180")
}

fn ramp(text: &str) -> Result<(i32, i32), &'static str> {
    two(text, '+').ok_or("write START+DAILY, such as 5+2")
}

/// Days by their names, of which three letters suffice; a range may go over the end of the week.
fn days(text: &str) -> Result<Days, String> {
    let week = pb::DayOfWeek::value_variants();
    let day = |name: &str| {
        let name = name.trim().to_lowercase();
        let found = week.iter().position(|day| name.len() >= 3 && day.word().starts_with(&name));
        found.ok_or_else(|| format!("{name:?} is no day: write mon-fri or mon,wed"))
    };
    let mut days = Vec::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + week.len() - first) % week.len() + 1;
        days.extend(week.iter().cycle().skip(first).take(count));
    }
    Ok(Days(days))
}

fn hours(text: &str) -> Result<pb::WorkingHours, &'static str> {
    if text.is_empty() {
        return Ok(pb::WorkingHours::default());
    }
    let time = |text: &str| {
        let (hours, minutes) = two(text, ':').or_else(|| Some((text.trim().parse().ok()?, 0)))?;
        Some(pb::TimeOfDay { hours, minutes })
    };
    let times = text.split_once('-').and_then(|(start, end)| Some((time(start)?, time(end)?)));
    let (start, end) = times.ok_or("write 9:00-17:00")?;
    Ok(pb::WorkingHours { start: Some(start), end: Some(end) })
}

/// Where its mail goes.
fn server(mailbox: &pb::Mailbox) -> String {
    match &mailbox.smtp {
        None => mailbox.kind().word(),
        Some(smtp) if smtp.port == 0 => smtp.host.clone(),
        Some(smtp) => format!("{}:{}", smtp.host, smtp.port),
    }
}

/// A mailbox by the names of the options, without what is empty.
fn rows(mailbox: &pb::Mailbox) -> Vec<[String; 2]> {
    let text = |text: &str| text.to_owned();
    let mut rows = vec![
        ("id", text(&mailbox.id)),
        ("address", text(&mailbox.address)),
        ("state", mailbox.state().word()),
        ("reason", text(&mailbox.pause_reason)),
        ("trouble", text(&mailbox.trouble)),
        ("display-name", text(&mailbox.display_name)),
        ("reply-to", text(&mailbox.reply_to)),
        ("signature", text(&mailbox.signature)),
        ("postal-address", text(&mailbox.postal_address)),
        ("html", if mailbox.html { text("true") } else { String::new() }),
        ("server", server(mailbox)),
    ];
    if let Some(dkim) = &mailbox.dkim {
        rows.extend([
            ("dkim", text(&dkim.selector)),
            ("dns name", text(&dkim.dns_name)),
            ("dns TXT", text(&dkim.dns_record)),
        ]);
    }
    if let Some(smtp) = &mailbox.smtp {
        let oauth = smtp.oauth.clone().unwrap_or_default();
        let is_oauth = smtp.sign_in() == pb::SignIn::Oauth;
        let whose = if oauth.token_url.is_empty() { oauth.provider().word() } else { oauth.token_url };
        let held = |has: bool| if has { text("stored") } else { String::new() };
        rows.extend([
            ("security", smtp.security().word()),
            ("username", text(&smtp.username)),
            ("password", held(smtp.has_password)),
            ("oauth", if is_oauth { whose } else { String::new() }),
            ("client-id", oauth.client_id),
            ("client-secret", held(oauth.has_client_secret)),
            ("refresh-token", held(oauth.has_refresh_token)),
        ]);
    }
    if let Some(pace) = &mailbox.pace {
        let limit = |limit: i32| if limit == 0 { text("no limit") } else { limit.to_string() };
        let ramp = format!("{}+{}", pace.ramp_start, pace.ramp_daily_increase);
        rows.extend([
            ("per-hour", limit(pace.max_emails_per_hour())),
            ("per-day", limit(pace.max_emails_per_day())),
            ("pause", format!("{}-{}", pace.min_pause_seconds(), pace.max_pause_seconds())),
            ("ramp", if pace.ramp_start == 0 { String::new() } else { ramp }),
        ]);
    }
    if let Some(calendar) = &mailbox.calendar {
        let short = |day: pb::DayOfWeek| day.word().chars().take(3).collect::<String>();
        let days: Vec<_> = calendar.days().map(short).collect();
        let time =
            |time: Option<pb::TimeOfDay>| time.map(|t| format!("{}:{:02}", t.hours, t.minutes)).unwrap_or_default();
        let hours = calendar.hours.map(|hours| format!("{}-{}", time(hours.start), time(hours.end)));
        rows.extend([
            ("days", days.join(",")),
            ("hours", hours.unwrap_or_default()),
            ("time-zone", if calendar.time_zone.is_empty() { text("UTC") } else { text(&calendar.time_zone) }),
            ("holiday", calendar.holidays.join(", ")),
        ]);
    }
    rows.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| [text(name), value]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_hours_are_written_as_people_write_them() {
        let numbers = |text: &str| days(text).map(|days| days.0.into_iter().map(i32::from).collect::<Vec<_>>());
        assert_eq!(numbers("mon-fri"), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(numbers("Tuesday, sat-mon"), Ok(vec![2, 6, 7, 1]));
        assert_eq!(numbers(""), Ok(vec![]));
        assert!(numbers("mo").is_err() && numbers("mon-").is_err() && numbers("xyz").is_err());
        let times =
            |text| hours(text).map(|h| (h.start.map(|t| (t.hours, t.minutes)), h.end.map(|t| (t.hours, t.minutes))));
        assert_eq!(times("8:30-17"), Ok((Some((8, 30)), Some((17, 0)))));
        assert_eq!(times(""), Ok((None, None)));
        assert!(times("9").is_err() && times("a-b").is_err());
        assert_eq!((pause("60-180"), ramp("5+2")), (Ok((60, 180)), Ok((5, 2))));
        assert!(pause("60").is_err() && pause("180-60").is_err() && ramp("5").is_err());
    }
}
