//! Mailboxes: the addresses that a tenant sends from.

use serde::{Deserialize, Serialize};
use url::Host;

use super::address;
use super::calendar::{Calendar, parse_zone};
use super::clock::Timestamp;
use super::digest;
use super::error::Violations;
use super::id::MailboxId;
use super::mask::Mask;
use super::named_enum::named_enum;
use super::pace::Pace;
use super::text;

/// The mailboxes of a tenant.
pub const MAX_MAILBOXES: usize = 100;
/// The longest signature, in characters.
const MAX_SIGNATURE: usize = 1_000;
/// The longest postal address, and the longest reason of a pause, in characters.
pub const MAX_NOTE: usize = 500;
/// The longest user name, in characters: an address.
const MAX_USERNAME: usize = 254;
/// The longest secret of OAuth, in characters.
const MAX_TOKEN: usize = 4_000;
/// The longest password, in characters.
const MAX_PASSWORD: usize = 1_000;
/// A day, in seconds.
const MAX_PAUSE: u32 = 86_400;
const MAX_PER_HOUR: u32 = 10_000;
const MAX_PER_DAY: u32 = 100_000;
const MAX_HOLIDAYS: usize = 400;
/// The longest selector: a label of DNS.
const MAX_SELECTOR: usize = 63;

named_enum! {
    /// Where its mail goes.
    #[derive(Default)]
    pub enum MailboxKind {
        #[default]
        Smtp = "smtp",
        /// Into the tenant's outbox folder.
        Outbox = "outbox",
    }
}

named_enum! {
    /// Whether it sends.
    pub enum MailboxState {
        Enabled = "enabled",
        Paused = "paused",
    }
}

/// How the talk with a mail server is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    Tls,
    #[default]
    Starttls,
    None,
}

named_enum! {
    /// How to prove to the mail server who one is.
    #[derive(Default)]
    pub enum SignIn {
        #[default]
        Password = "password",
        OAuth = "oauth",
    }
}

named_enum! {
    /// Whose OAuth it is.
    #[derive(Default)]
    pub enum OAuthProvider {
        #[default]
        Other = "other",
        Google = "google",
        Microsoft = "microsoft",
    }
}

/// The settings of a mailbox; stored as one JSON text, so that a field is added without a migration. Its secrets are stored
/// sealed, apart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MailboxSettings {
    pub display_name: String,
    pub address: String,
    pub reply_to: String,
    pub signature: String,
    pub postal_address: String,
    /// Send an HTML form beside the text.
    pub html: bool,
    pub smtp: SmtpServer,
    pub pace: Pace,
    pub calendar: Calendar,
    pub dkim: Dkim,
}

/// How its letters are signed; not at all without a selector.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Dkim {
    pub selector: String,
    /// What DNS is to say at the selector. Made with the key, never stated.
    pub record: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SmtpServer {
    pub host: String,
    /// 0: the usual one.
    pub port: u16,
    pub security: SmtpSecurity,
    pub sign_in: SignIn,
    /// Empty: nobody signs in.
    pub username: String,
    pub oauth: OAuthClient,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OAuthClient {
    pub provider: OAuthProvider,
    /// Of another provider.
    pub token_url: String,
    pub client_id: String,
}

/// What a mailbox signs in with. Sealed as one JSON text; never printed.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Secrets {
    pub password: String,
    pub client_secret: String,
    pub refresh_token: String,
    /// The private key of DKIM (PKCS #8) in base64. Made, never stated.
    pub dkim_key: String,
}

/// Which secrets there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HasSecrets {
    pub password: bool,
    pub client_secret: bool,
    pub refresh_token: bool,
}

/// A mailbox of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub id: MailboxId,
    pub kind: MailboxKind,
    pub settings: MailboxSettings,
    pub has: HasSecrets,
    pub state: MailboxState,
    pub pause_reason: String,
    pub pause_time: Option<Timestamp>,
    /// What its server has said, or failed to say, since it last let the mailbox in; empty: nothing.
    pub trouble: String,
    pub revision: i64,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
}

/// The paths that an update mask may name.
pub const FIELDS: &[&str] = &[
    "display_name",
    "address",
    "reply_to",
    "signature",
    "postal_address",
    "html",
    "smtp.host",
    "smtp.port",
    "smtp.security",
    "smtp.sign_in",
    "smtp.username",
    "smtp.password",
    "smtp.oauth.provider",
    "smtp.oauth.token_url",
    "smtp.oauth.client_id",
    "smtp.oauth.client_secret",
    "smtp.oauth.refresh_token",
    "pace.max_emails_per_hour",
    "pace.max_emails_per_day",
    "pace.min_pause_seconds",
    "pace.max_pause_seconds",
    "pace.ramp_start",
    "pace.ramp_daily_increase",
    "calendar.days",
    "calendar.hours",
    "calendar.time_zone",
    "calendar.holidays",
    "dkim.selector",
];

/// Those of them that are secrets.
pub const SECRETS: &[&str] = &["smtp.password", "smtp.oauth.client_secret", "smtp.oauth.refresh_token"];

// === impl Mailbox ===

impl Mailbox {
    pub fn etag(&self, tenant: &str) -> String {
        digest::etag(tenant, "mailbox", self.id.as_str(), self.revision)
    }

    /// Whether a campaign may send from it that names these mailboxes, or none, in a deployment that has outbox folders or not.
    pub fn may_send(&self, named: &[MailboxId], has_outbox: bool) -> bool {
        let is_open = self.kind != MailboxKind::Outbox || has_outbox;
        self.state == MailboxState::Enabled && is_open && (named.is_empty() || named.contains(&self.id))
    }

    /// Until when a mail has to wait that it may send now, since the recipient's clocks, in `zone`, are not at work; None: it need not.
    pub fn sleeps_until(&self, zone: &str, now: Timestamp) -> Option<Timestamp> {
        if self.kind == MailboxKind::Outbox || zone.is_empty() {
            return None;
        }
        self.settings.calendar.next_open(now, zone).filter(|open| *open > now)
    }
}

// === impl MailboxSettings ===

impl MailboxSettings {
    /// Checks what only all of them tell: whether a mailbox of that kind could send.
    pub fn check(&self, kind: MailboxKind, v: &mut Violations) {
        let Self { address, smtp, pace, .. } = self;
        if address.is_empty() {
            v.add("mailbox.address", "is required");
        }
        if let (Some(least), Some(most)) = (pace.min_pause, pace.max_pause)
            && least > most
        {
            v.add("mailbox.pace.min_pause_seconds", "must not be more than max_pause_seconds");
        }
        if kind == MailboxKind::Outbox {
            return;
        }
        if smtp.host.is_empty() {
            v.add("mailbox.smtp.host", "is required");
        } else if smtp.security == SmtpSecurity::None
            && !Host::parse(&smtp.host).is_ok_and(|host| text::is_this_machine(&host))
        {
            v.add(
                "mailbox.smtp.security",
                "may be none only for localhost: what is said there, everybody on the way could read",
            );
        }
        if smtp.sign_in == SignIn::OAuth {
            let oauth = &smtp.oauth;
            let url = "mailbox.smtp.oauth.token_url";
            match oauth.provider {
                OAuthProvider::Other if oauth.token_url.is_empty() => {
                    v.add(url, "is required, unless provider is given")
                }
                OAuthProvider::Google | OAuthProvider::Microsoft if !oauth.token_url.is_empty() => {
                    v.add(url, "is for other providers: leave it empty");
                }
                _ => {}
            }
            for (field, value) in [("username", &smtp.username), ("oauth.client_id", &oauth.client_id)] {
                if value.is_empty() {
                    v.add(format!("mailbox.smtp.{field}"), "is required for a sign-in by OAuth");
                }
            }
        }
    }

    /// Checks and trims the fields that the mask names.
    pub fn checked(mut self, v: &mut Violations, mask: &Mask) -> Self {
        let lines: [(&str, &mut String, usize); 3] = [
            ("display_name", &mut self.display_name, text::SHORT),
            ("smtp.username", &mut self.smtp.username, MAX_USERNAME),
            ("smtp.oauth.client_id", &mut self.smtp.oauth.client_id, MAX_NOTE),
        ];
        for (name, value, max) in lines.into_iter().filter(|(name, ..)| mask.has(name)) {
            *value = text::line(v, &format!("mailbox.{name}"), value, max);
        }
        let paragraphs: [(&str, &mut String, usize); 2] =
            [("signature", &mut self.signature, MAX_SIGNATURE), ("postal_address", &mut self.postal_address, MAX_NOTE)];
        for (name, value, max) in paragraphs.into_iter().filter(|(name, ..)| mask.has(name)) {
            *value = text::bounded(v, &format!("mailbox.{name}"), value, max);
        }
        let addresses = [("address", &mut self.address), ("reply_to", &mut self.reply_to)];
        for (name, value) in addresses.into_iter().filter(|(name, value)| mask.has(name) && !value.trim().is_empty()) {
            *value = v.take(&format!("mailbox.{name}"), address::parse(value)).unwrap_or_default();
        }
        if mask.has("smtp.host") {
            self.smtp.host = v.take("mailbox.smtp.host", text::mail_host(&self.smtp.host)).unwrap_or_default();
        }
        if mask.has("smtp.oauth.token_url") && !self.smtp.oauth.token_url.trim().is_empty() {
            let url = text::web_url(&self.smtp.oauth.token_url);
            let url = url.and_then(|url| if url.scheme() == "https" { Ok(url) } else { Err("must be an https URL") });
            self.smtp.oauth.token_url =
                v.take("mailbox.smtp.oauth.token_url", url).map(String::from).unwrap_or_default();
        }
        if mask.has("dkim.selector") {
            self.dkim.selector = v.take("mailbox.dkim.selector", selector(&self.dkim.selector)).unwrap_or_default();
        }
        self.check_pace(v, mask);
        self.check_calendar(v, mask);
        self
    }

    fn check_pace(&self, v: &mut Violations, mask: &Mask) {
        let Pace { per_hour, per_day, min_pause, max_pause, ramp_start, ramp_daily_increase } = self.pace;
        for (name, value, max) in [
            ("pace.max_emails_per_hour", per_hour.unwrap_or(0), MAX_PER_HOUR),
            ("pace.max_emails_per_day", per_day.unwrap_or(0), MAX_PER_DAY),
            ("pace.min_pause_seconds", min_pause.unwrap_or(0), MAX_PAUSE),
            ("pace.max_pause_seconds", max_pause.unwrap_or(0), MAX_PAUSE),
            ("pace.ramp_start", ramp_start, MAX_PER_DAY),
            ("pace.ramp_daily_increase", ramp_daily_increase, 1_000),
        ] {
            if mask.has(name) && value > max {
                v.add(format!("mailbox.{name}"), format!("must be between 0 and {max}"));
            }
        }
    }

    fn check_calendar(&mut self, v: &mut Violations, mask: &Mask) {
        let calendar = &mut self.calendar;
        if mask.has("calendar.time_zone") {
            let zone = parse_zone(&calendar.time_zone);
            calendar.time_zone = v.take("mailbox.calendar.time_zone", zone).unwrap_or_default();
        }
        calendar.days.sort_unstable();
        calendar.days.dedup();
        calendar.holidays.sort_unstable();
        calendar.holidays.dedup();
        if calendar.holidays.len() > MAX_HOLIDAYS {
            v.add("mailbox.calendar.holidays", format!("must have at most {MAX_HOLIDAYS} entries"));
        }
    }

    /// Takes over the fields that the mask names.
    pub fn merge(&mut self, from: &Self, mask: &Mask) {
        macro_rules! take {
            ($($path:literal => $($field:ident).+;)*) => {
                $(if mask.has($path) { self.$($field).+.clone_from(&from.$($field).+); })*
            };
        }
        // The secrets are not here: they are sealed apart.
        take! {
            "display_name" => display_name;
            "address" => address;
            "reply_to" => reply_to;
            "signature" => signature;
            "postal_address" => postal_address;
            "html" => html;
            "smtp.host" => smtp.host;
            "smtp.port" => smtp.port;
            "smtp.security" => smtp.security;
            "smtp.sign_in" => smtp.sign_in;
            "smtp.username" => smtp.username;
            "smtp.oauth.provider" => smtp.oauth.provider;
            "smtp.oauth.token_url" => smtp.oauth.token_url;
            "smtp.oauth.client_id" => smtp.oauth.client_id;
            "pace.max_emails_per_hour" => pace.per_hour;
            "pace.max_emails_per_day" => pace.per_day;
            "pace.min_pause_seconds" => pace.min_pause;
            "pace.max_pause_seconds" => pace.max_pause;
            "pace.ramp_start" => pace.ramp_start;
            "pace.ramp_daily_increase" => pace.ramp_daily_increase;
            "calendar.days" => calendar.days;
            "calendar.hours" => calendar.hours;
            "calendar.time_zone" => calendar.time_zone;
            "calendar.holidays" => calendar.holidays;
            "dkim.selector" => dkim.selector;
        }
    }
}

// === impl Secrets ===

impl Secrets {
    /// Checks those that the mask names.
    pub fn check(&self, v: &mut Violations, mask: &Mask) {
        for (name, value, max) in [
            ("smtp.password", &self.password, MAX_PASSWORD),
            ("smtp.oauth.client_secret", &self.client_secret, MAX_TOKEN),
            ("smtp.oauth.refresh_token", &self.refresh_token, MAX_TOKEN),
        ] {
            if mask.has(name) && value.chars().count() > max {
                v.add(format!("mailbox.{name}"), format!("must be at most {max} characters"));
            }
        }
    }

    /// Takes over those that the mask names.
    pub fn merge(&mut self, from: &Self, mask: &Mask) {
        let pairs = [
            ("smtp.password", &mut self.password, &from.password),
            ("smtp.oauth.client_secret", &mut self.client_secret, &from.client_secret),
            ("smtp.oauth.refresh_token", &mut self.refresh_token, &from.refresh_token),
        ];
        pairs.into_iter().filter(|(name, ..)| mask.has(name)).for_each(|(_, to, from)| to.clone_from(from));
    }

    pub fn has(&self) -> HasSecrets {
        HasSecrets {
            password: !self.password.is_empty(),
            client_secret: !self.client_secret.is_empty(),
            refresh_token: !self.refresh_token.is_empty(),
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(***)")
    }
}

/// A name below `_domainkey`, in lower case.
fn selector(text: &str) -> Result<String, &'static str> {
    let text = text.trim().to_ascii_lowercase();
    let is_label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let fits = text.len() <= MAX_SELECTOR && text.split('.').all(is_label);
    if text.is_empty() || fits {
        Ok(text)
    } else {
        Err("must be at most 63 letters, digits, hyphens and dots, as in a domain")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::{WorkingHours, parse_day};

    #[test]
    fn every_field_of_the_mask_is_merged() {
        let full = MailboxSettings {
            display_name: "d".into(),
            address: "a@example.com".into(),
            reply_to: "r@example.com".into(),
            signature: "s".into(),
            postal_address: "p".into(),
            html: true,
            smtp: SmtpServer {
                host: "h".into(),
                port: 1,
                security: SmtpSecurity::Tls,
                sign_in: SignIn::OAuth,
                username: "u".into(),
                oauth: OAuthClient { provider: OAuthProvider::Google, token_url: "t".into(), client_id: "c".into() },
            },
            pace: Pace {
                per_hour: Some(1),
                per_day: Some(2),
                min_pause: Some(3),
                max_pause: Some(4),
                ramp_start: 5,
                ramp_daily_increase: 6,
            },
            calendar: Calendar {
                days: vec![6],
                hours: Some(WorkingHours { start: 1, end: 2 }),
                time_zone: "Europe/Berlin".into(),
                holidays: vec![parse_day("2026-12-25").expect("a day")],
            },
            dkim: Dkim { selector: "s".into(), record: String::new() },
        };
        let secrets = Secrets {
            password: "p".into(),
            client_secret: "c".into(),
            refresh_token: "r".into(),
            ..Secrets::default()
        };
        let (mut all, mut all_secrets) = (MailboxSettings::default(), Secrets::default());
        for path in FIELDS {
            let mask = Mask::parse(&[(*path).to_owned()], FIELDS, Vec::new()).expect("known");
            let before = (all.clone(), all_secrets.clone());
            all.merge(&full, &mask);
            all_secrets.merge(&secrets, &mask);
            assert_ne!(before, (all.clone(), all_secrets.clone()), "{path} is merged");
        }
        assert_eq!((all, all_secrets), (full, secrets), "nothing is left out");
    }

    #[test]
    fn a_campaign_sends_from_what_is_enabled_named_and_open() {
        let id = |text: &str| MailboxId::parse(text).expect("an id");
        let mailbox = |kind, state| Mailbox {
            id: id("mb_1"),
            kind,
            settings: MailboxSettings::default(),
            has: HasSecrets::default(),
            state,
            pause_reason: String::new(),
            pause_time: None,
            trouble: String::new(),
            revision: 1,
            create_time: Timestamp(0),
            update_time: Timestamp(0),
        };
        use MailboxKind::{Outbox, Smtp};
        use MailboxState::{Enabled, Paused};
        for (kind, state, named, has_outbox, right) in [
            (Smtp, Enabled, vec![], false, true),
            (Smtp, Enabled, vec![id("mb_2"), id("mb_1")], false, true),
            (Smtp, Enabled, vec![id("mb_2")], false, false),
            (Smtp, Paused, vec![], true, false),
            (Outbox, Enabled, vec![], true, true),
            (Outbox, Enabled, vec![id("mb_1")], false, false),
        ] {
            assert_eq!(mailbox(kind, state).may_send(&named, has_outbox), right, "{kind:?} {state:?} {named:?}");
        }
    }

    #[test]
    fn each_bound_is_taken_and_one_beyond_it_is_refused() {
        type Set = fn(&mut MailboxSettings, &mut Secrets, usize);
        let bounds: [(&str, usize, Set); 15] = [
            ("dkim.selector", MAX_SELECTOR, |s, _, n| s.dkim.selector = "x".repeat(n)),
            ("display_name", text::SHORT, |s, _, n| s.display_name = "x".repeat(n)),
            ("signature", MAX_SIGNATURE, |s, _, n| s.signature = "x".repeat(n)),
            ("postal_address", MAX_NOTE, |s, _, n| s.postal_address = "x".repeat(n)),
            ("smtp.username", MAX_USERNAME, |s, _, n| s.smtp.username = "x".repeat(n)),
            ("smtp.oauth.client_id", MAX_NOTE, |s, _, n| s.smtp.oauth.client_id = "x".repeat(n)),
            ("smtp.password", MAX_PASSWORD, |_, s, n| s.password = "x".repeat(n)),
            ("smtp.oauth.client_secret", MAX_TOKEN, |_, s, n| s.client_secret = "x".repeat(n)),
            ("smtp.oauth.refresh_token", MAX_TOKEN, |_, s, n| s.refresh_token = "x".repeat(n)),
            ("pace.max_emails_per_hour", 10_000, |s, _, n| s.pace.per_hour = u32::try_from(n).ok()),
            ("pace.max_emails_per_day", 100_000, |s, _, n| s.pace.per_day = u32::try_from(n).ok()),
            ("pace.min_pause_seconds", 86_400, |s, _, n| s.pace.min_pause = u32::try_from(n).ok()),
            ("pace.max_pause_seconds", 86_400, |s, _, n| s.pace.max_pause = u32::try_from(n).ok()),
            ("pace.ramp_start", 100_000, |s, _, n| s.pace.ramp_start = u32::try_from(n).expect("it fits")),
            ("pace.ramp_daily_increase", 1_000, |s, _, n| {
                s.pace.ramp_daily_increase = u32::try_from(n).expect("it fits");
            }),
        ];
        let mask = Mask::all(FIELDS);
        let refused = |set: Set, n: usize| {
            let (mut settings, mut secrets) = (MailboxSettings::default(), Secrets::default());
            set(&mut settings, &mut secrets, n);
            let mut v = Violations::default();
            secrets.check(&mut v, &mask);
            settings.checked(&mut v, &mask);
            v.list().iter().map(|violation| violation.field.clone()).collect::<Vec<_>>()
        };
        for bad in ["a b", "a..b", "-a", "a-", "ä", "a;b", "."] {
            assert!(selector(bad).is_err(), "{bad}");
        }
        assert_eq!(selector(" Herald.2026-B "), Ok("herald.2026-b".to_owned()));
        for (field, bound, set) in bounds {
            assert_eq!(refused(set, bound), Vec::<String>::new(), "{field}");
            assert_eq!(refused(set, bound + 1), [format!("mailbox.{field}")]);
        }
    }
}
