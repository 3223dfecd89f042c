//! Mailboxes.

use super::{enumeration, id};
use crate::domain::address;
use crate::domain::calendar::{Calendar, WorkingHours, parse_day};
use crate::domain::error::{Error, Violations};
use crate::domain::id::MailboxId;
use crate::domain::mailbox::{
    Dkim, FIELDS, HasSecrets, Mailbox, MailboxKind, MailboxSettings, MailboxState, OAuthClient, OAuthProvider, SECRETS,
    Secrets, SignIn, SmtpSecurity, SmtpServer,
};
use crate::domain::mask::Mask;
use crate::domain::number::saturating_i32;
use crate::domain::pace::Pace;
use crate::pb;
use crate::store::UpdateMailbox;
use crate::tenant::TenantId;

pub(in crate::rpc) fn out(mailbox: Mailbox, tenant: &TenantId) -> pb::Mailbox {
    let etag = mailbox.etag(tenant.as_str());
    let is_smtp = mailbox.kind == MailboxKind::Smtp;
    let MailboxSettings {
        display_name,
        address,
        reply_to,
        signature,
        postal_address,
        html,
        smtp,
        pace,
        calendar,
        dkim,
    } = mailbox.settings;
    let dns_name = match dkim.selector.as_str() {
        "" => String::new(),
        selector => format!("{selector}._domainkey.{}", address::domain(&address)),
    };
    let dkim = pb::Dkim { selector: dkim.selector, dns_name, dns_record: dkim.record };
    let state = match mailbox.state {
        MailboxState::Enabled => pb::MailboxState::Enabled,
        MailboxState::Paused => pb::MailboxState::Paused,
    };
    pb::Mailbox {
        id: mailbox.id.to_string(),
        display_name,
        address,
        reply_to,
        signature,
        postal_address,
        html,
        kind: if is_smtp { pb::MailboxKind::Smtp } else { pb::MailboxKind::Outbox }.into(),
        smtp: is_smtp.then(|| smtp_out(smtp, mailbox.has)),
        pace: is_smtp.then(|| pace_out(pace)),
        calendar: is_smtp.then(|| calendar_out(calendar)),
        dkim: (is_smtp && !dkim.selector.is_empty()).then_some(dkim),
        state: state.into(),
        pause_reason: mailbox.pause_reason,
        pause_time: mailbox.pause_time.map(Into::into),
        trouble: mailbox.trouble,
        etag,
        create_time: Some(mailbox.create_time.into()),
        update_time: Some(mailbox.update_time.into()),
    }
}

fn smtp_out(smtp: SmtpServer, has: HasSecrets) -> pb::SmtpServer {
    let provider = match smtp.oauth.provider {
        OAuthProvider::Other => pb::OAuthProvider::Other,
        OAuthProvider::Google => pb::OAuthProvider::Google,
        OAuthProvider::Microsoft => pb::OAuthProvider::Microsoft,
    };
    let oauth = (smtp.sign_in == SignIn::OAuth || smtp.oauth != OAuthClient::default()).then(|| pb::OAuthClient {
        provider: provider.into(),
        token_url: smtp.oauth.token_url,
        client_id: smtp.oauth.client_id,
        client_secret: String::new(),
        refresh_token: String::new(),
        has_client_secret: has.client_secret,
        has_refresh_token: has.refresh_token,
    });
    pb::SmtpServer {
        host: smtp.host,
        port: i32::from(smtp.port),
        security: security(smtp.security).into(),
        sign_in: match smtp.sign_in {
            SignIn::Password => pb::SignIn::Password,
            SignIn::OAuth => pb::SignIn::Oauth,
        }
        .into(),
        username: smtp.username,
        password: String::new(),
        has_password: has.password,
        oauth,
    }
}

fn pace_out(pace: Pace) -> pb::Pace {
    let (least, most) = pace.pauses();
    let limit = |limit: Option<u32>| Some(saturating_i32(limit.unwrap_or(0)));
    pb::Pace {
        max_emails_per_hour: limit(pace.hourly()),
        max_emails_per_day: limit(pace.settled_daily()),
        min_pause_seconds: limit(Some(least)),
        max_pause_seconds: limit(Some(most)),
        ramp_start: saturating_i32(pace.ramp_start),
        ramp_daily_increase: saturating_i32(pace.ramp_daily_increase),
    }
}

fn calendar_out(calendar: Calendar) -> pb::Calendar {
    pb::Calendar {
        days: calendar.days().iter().map(|day| i32::from(*day)).collect(),
        hours: Some(hours(calendar.hours())),
        time_zone: calendar.time_zone,
        holidays: calendar.holidays.iter().map(ToString::to_string).collect(),
    }
}

/// What a request is known again by: a hash of its secrets, which anybody could try guesses on, is kept nowhere.
pub(in crate::rpc) fn without_secrets(request: &pb::CreateMailboxRequest) -> pb::CreateMailboxRequest {
    let mut request = request.clone();
    if let Some(smtp) = request.mailbox.as_mut().and_then(|mailbox| mailbox.smtp.as_mut()) {
        smtp.password.clear();
        if let Some(oauth) = &mut smtp.oauth {
            oauth.client_secret.clear();
            oauth.refresh_token.clear();
        }
    }
    request
}

/// A new mailbox, checked.
pub(in crate::rpc) fn new(mailbox: pb::Mailbox) -> Result<(MailboxKind, MailboxSettings, Secrets), Error> {
    let mut v = Violations::default();
    let kind = v.part(kind(mailbox.kind)).flatten().unwrap_or_default();
    let (settings, secrets) = settings(&mut v, mailbox, &Mask::all(FIELDS));
    if v.is_empty() {
        settings.check(kind, &mut v);
    }
    v.done().map(|()| (kind, settings, secrets))
}

/// What an update of a mailbox asks for, checked.
pub(in crate::rpc) fn update(mailbox: pb::Mailbox, paths: &[String]) -> Result<UpdateMailbox, Error> {
    let id = id("mailbox.id", &mailbox.id, MailboxId::parse)?;
    let stated = set_fields(&mailbox);
    let mut mask = Mask::parse(paths, FIELDS, stated.clone())?;
    for secret in SECRETS.iter().filter(|secret| !stated.contains(secret)) {
        // Reads leave secrets out: what was read and is written back must not remove them.
        if !paths.iter().any(|path| path.trim() == *secret) {
            mask = mask.without(secret);
        }
    }
    let (etag, kind) = (mailbox.etag.clone(), kind(mailbox.kind)?);
    let mut v = Violations::within("mailbox.", mask.fields());
    let (settings, secrets) = settings(&mut v, mailbox, &mask);
    v.done().map(|()| UpdateMailbox { id, kind, settings, secrets, mask, etag, dkim: None })
}

/// None if unspecified.
fn kind(kind: i32) -> Result<Option<MailboxKind>, Error> {
    Ok(match enumeration("mailbox.kind", kind)? {
        pb::MailboxKind::Unspecified => None,
        pb::MailboxKind::Smtp => Some(MailboxKind::Smtp),
        pb::MailboxKind::Outbox => Some(MailboxKind::Outbox),
    })
}

fn settings(v: &mut Violations, mailbox: pb::Mailbox, mask: &Mask) -> (MailboxSettings, Secrets) {
    let smtp = mailbox.smtp.unwrap_or_default();
    let oauth = smtp.oauth.clone().unwrap_or_default();
    let secrets = Secrets {
        password: smtp.password.clone(),
        client_secret: oauth.client_secret.clone(),
        refresh_token: oauth.refresh_token.clone(),
        dkim_key: String::new(),
    };
    secrets.check(v, mask);
    let settings = MailboxSettings {
        display_name: mailbox.display_name,
        address: mailbox.address,
        reply_to: mailbox.reply_to,
        signature: mailbox.signature,
        postal_address: mailbox.postal_address,
        html: mailbox.html,
        smtp: smtp_in(v, smtp, oauth),
        pace: pace_in(v, mailbox.pace.unwrap_or_default()),
        calendar: calendar_in(v, mailbox.calendar.unwrap_or_default()),
        dkim: Dkim { selector: mailbox.dkim.unwrap_or_default().selector, record: String::new() },
    };
    (settings.checked(v, mask), secrets)
}

fn smtp_in(v: &mut Violations, smtp: pb::SmtpServer, oauth: pb::OAuthClient) -> SmtpServer {
    let port = u16::try_from(smtp.port).map_err(|_| "must be between 0 and 65535");
    let security = security_in(v, "mailbox.smtp.security", smtp.security);
    let sign_in = match v.part(enumeration("mailbox.smtp.sign_in", smtp.sign_in)) {
        Some(pb::SignIn::Oauth) => SignIn::OAuth,
        _ => SignIn::Password,
    };
    let provider = match v.part(enumeration("mailbox.smtp.oauth.provider", oauth.provider)) {
        Some(pb::OAuthProvider::Google) => OAuthProvider::Google,
        Some(pb::OAuthProvider::Microsoft) => OAuthProvider::Microsoft,
        _ => OAuthProvider::Other,
    };
    SmtpServer {
        host: smtp.host,
        port: v.take("mailbox.smtp.port", port).unwrap_or_default(),
        security,
        sign_in,
        username: smtp.username,
        oauth: OAuthClient { provider, token_url: oauth.token_url, client_id: oauth.client_id },
    }
}

fn pace_in(v: &mut Violations, pace: pb::Pace) -> Pace {
    let mut number = |name: &str, value: i32| {
        let value = u32::try_from(value).map_err(|_| "must not be negative");
        v.take(&format!("mailbox.pace.{name}"), value)
    };
    let per_hour = pace.max_emails_per_hour.and_then(|value| number("max_emails_per_hour", value));
    let per_day = pace.max_emails_per_day.and_then(|value| number("max_emails_per_day", value));
    let min_pause = pace.min_pause_seconds.and_then(|value| number("min_pause_seconds", value));
    let max_pause = pace.max_pause_seconds.and_then(|value| number("max_pause_seconds", value));
    let ramp_start = number("ramp_start", pace.ramp_start).unwrap_or_default();
    let ramp_daily_increase = number("ramp_daily_increase", pace.ramp_daily_increase).unwrap_or_default();
    Pace { per_hour, per_day, min_pause, max_pause, ramp_start, ramp_daily_increase }
}

fn calendar_in(v: &mut Violations, calendar: pb::Calendar) -> Calendar {
    let day = |day: &i32| i8::try_from(*day).ok().filter(|day| (1..=7).contains(day));
    if calendar.days.iter().any(|of| day(of).is_none()) {
        v.add("mailbox.calendar.days", "must be days of the week");
    }
    let holidays = calendar.holidays.iter().enumerate();
    let holidays = holidays.filter_map(|(i, day)| v.take(&format!("mailbox.calendar.holidays[{i}]"), parse_day(day)));
    let holidays = holidays.collect();
    Calendar {
        days: calendar.days.iter().filter_map(day).collect(),
        hours: v.take("mailbox.calendar.hours", hours_in(calendar.hours)).flatten(),
        time_zone: calendar.time_zone,
        holidays,
    }
}

fn set_fields(mailbox: &pb::Mailbox) -> Vec<&'static str> {
    let smtp = mailbox.smtp.as_ref();
    let oauth = smtp.and_then(|smtp| smtp.oauth.as_ref());
    let (pace, calendar) = (mailbox.pace.as_ref(), mailbox.calendar.as_ref());
    let set = [
        ("display_name", !mailbox.display_name.is_empty()),
        ("address", !mailbox.address.is_empty()),
        ("reply_to", !mailbox.reply_to.is_empty()),
        ("signature", !mailbox.signature.is_empty()),
        ("postal_address", !mailbox.postal_address.is_empty()),
        ("html", mailbox.html),
        ("smtp.host", smtp.is_some_and(|s| !s.host.is_empty())),
        ("smtp.port", smtp.is_some_and(|s| s.port != 0)),
        ("smtp.security", smtp.is_some_and(|s| s.security != 0)),
        ("smtp.sign_in", smtp.is_some_and(|s| s.sign_in != 0)),
        ("smtp.username", smtp.is_some_and(|s| !s.username.is_empty())),
        ("smtp.password", smtp.is_some_and(|s| !s.password.is_empty())),
        ("smtp.oauth.provider", oauth.is_some_and(|o| o.provider != 0)),
        ("smtp.oauth.token_url", oauth.is_some_and(|o| !o.token_url.is_empty())),
        ("smtp.oauth.client_id", oauth.is_some_and(|o| !o.client_id.is_empty())),
        ("smtp.oauth.client_secret", oauth.is_some_and(|o| !o.client_secret.is_empty())),
        ("smtp.oauth.refresh_token", oauth.is_some_and(|o| !o.refresh_token.is_empty())),
        ("pace.max_emails_per_hour", pace.is_some_and(|p| p.max_emails_per_hour.is_some())),
        ("pace.max_emails_per_day", pace.is_some_and(|p| p.max_emails_per_day.is_some())),
        ("pace.min_pause_seconds", pace.is_some_and(|p| p.min_pause_seconds.is_some())),
        ("pace.max_pause_seconds", pace.is_some_and(|p| p.max_pause_seconds.is_some())),
        ("pace.ramp_start", pace.is_some_and(|p| p.ramp_start != 0)),
        ("pace.ramp_daily_increase", pace.is_some_and(|p| p.ramp_daily_increase != 0)),
        ("calendar.days", calendar.is_some_and(|c| !c.days.is_empty())),
        ("calendar.hours", calendar.is_some_and(|c| c.hours.is_some())),
        ("calendar.time_zone", calendar.is_some_and(|c| !c.time_zone.is_empty())),
        ("calendar.holidays", calendar.is_some_and(|c| !c.holidays.is_empty())),
        ("dkim.selector", mailbox.dkim.as_ref().is_some_and(|dkim| !dkim.selector.is_empty())),
    ];
    set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
}

fn hours(hours: WorkingHours) -> pb::WorkingHours {
    let time = |minutes: u16| pb::TimeOfDay { hours: i32::from(minutes / 60), minutes: i32::from(minutes % 60) };
    pb::WorkingHours { start: Some(time(hours.start)), end: Some(time(hours.end)) }
}

/// None where neither end is stated.
fn hours_in(hours: Option<pb::WorkingHours>) -> Result<Option<WorkingHours>, &'static str> {
    let time = |time: Option<pb::TimeOfDay>| time.map_or((0, 0), |time| (time.hours, time.minutes));
    let stated = hours.filter(|hours| hours.start.is_some() || hours.end.is_some());
    stated.map(|hours| WorkingHours::parse(time(hours.start), time(hours.end))).transpose()
}

fn security(security: SmtpSecurity) -> pb::SmtpSecurity {
    match security {
        SmtpSecurity::Tls => pb::SmtpSecurity::Tls,
        SmtpSecurity::Starttls => pb::SmtpSecurity::Starttls,
        SmtpSecurity::None => pb::SmtpSecurity::None,
    }
}

/// Unspecified: STARTTLS.
fn security_in(v: &mut Violations, field: &str, security: i32) -> SmtpSecurity {
    match v.part(enumeration(field, security)) {
        Some(pb::SmtpSecurity::Tls) => SmtpSecurity::Tls,
        Some(pb::SmtpSecurity::None) => SmtpSecurity::None,
        _ => SmtpSecurity::Starttls,
    }
}
