//! The tenant's configuration.

use super::campaign::{analysis, analysis_in, goal, goal_in};
use super::{enumeration, id, json};
use crate::config::Secret;
use crate::domain::agent_config::{
    AgentConfig, AgentSettings, Controls, FIELDS, MAX_PASSWORD, MAX_PER_HOUR, Sender, Smtp, SmtpSecurity,
};
use crate::domain::calendar::WorkingHours;
use crate::domain::error::{Error, Violations};
use crate::domain::id::TemplateId;
use crate::domain::mask::Mask;
use crate::domain::number::saturating_i32;
use crate::pb;
use crate::tenant::TenantId;

pub(in crate::rpc) fn out(config: AgentConfig, tenant: &TenantId) -> pb::AgentConfig {
    let etag = config.etag(tenant.as_str());
    let settings = config.settings;
    pb::AgentConfig {
        target_website: settings.target_website,
        goal: goal(settings.goal).into(),
        goal_detail: settings.goal_detail,
        sender: Some(pb::Sender {
            name: settings.sender.name,
            position: settings.sender.position,
            company: settings.sender.company,
            email: settings.sender.email,
            unsubscribe_email: settings.sender.unsubscribe_email,
        }),
        industries: settings.industries,
        roles: settings.roles,
        keywords: settings.keywords,
        location: settings.location,
        template_id: settings.template_id.map(|t| t.to_string()).unwrap_or_default(),
        auto_approve: settings.auto_approve,
        etag,
        update_time: config.update_time.map(Into::into),
        create_time: config.create_time.map(Into::into),
        audience_type: settings.audience_type,
        company_size: settings.company_size,
        business_type: settings.business_type,
        template_data: Some(json::object_out(settings.template_data)),
        smtp: Some(pb::SmtpConfig {
            host: settings.smtp.host,
            port: i32::from(settings.smtp.port),
            security: security(settings.smtp.security).into(),
            username: settings.smtp.username,
            password: String::new(),
            has_password: config.has_password,
        }),
        provider: settings.provider,
        setup_complete: settings.setup_complete,
        website_analysis: Some(analysis(settings.website_analysis)),
        controls: Some(pb::Controls {
            auto_reply: settings.controls.auto_reply,
            pause_on_error: settings.controls.pause_on_error,
            max_emails_per_hour: saturating_i32(settings.controls.max_emails_per_hour),
            working_hours: settings.controls.working_hours.map(hours),
            time_zone: settings.controls.time_zone,
        }),
    }
}

/// What an update of the configuration asks for, checked.
pub(in crate::rpc) struct Update {
    pub settings: AgentSettings,
    pub smtp_password: Secret,
    pub mask: Mask,
}

/// The masked fields of an update, checked.
pub(in crate::rpc) fn update(config: pb::AgentConfig, paths: &[String]) -> Result<Update, Error> {
    let mut mask = Mask::parse(paths, FIELDS, set_fields(&config))?;
    let stated = config.smtp.as_ref().is_some_and(|smtp| !smtp.password.is_empty());
    if !stated && !paths.iter().any(|path| path.trim() == "smtp.password") {
        // Reads leave the password out: what was read and is written back must not remove it.
        mask = mask.without("smtp.password");
    }
    let sender = config.sender.unwrap_or_default();
    let template_id = match config.template_id.as_str() {
        "" => None,
        text if mask.has("template_id") => Some(id("config.template_id", text, TemplateId::parse)?),
        _ => None,
    };
    let mut v = Violations::within("config.", mask.fields());
    let (smtp, controls) = (config.smtp.unwrap_or_default(), config.controls.unwrap_or_default());
    if mask.has("smtp.password") && smtp.password.chars().count() > MAX_PASSWORD {
        v.add("config.smtp.password", format!("must be at most {MAX_PASSWORD} characters"));
    }
    let template_data = config.template_data.map(json::object_in).transpose();
    let template_data = v.take("config.template_data", template_data).flatten().unwrap_or_default();
    let settings = AgentSettings {
        target_website: config.target_website,
        goal: v
            .take("config.goal", goal_in("", config.goal).map_err(|_| "has no such value"))
            .flatten()
            .unwrap_or_default(),
        goal_detail: config.goal_detail,
        sender: Sender {
            name: sender.name,
            position: sender.position,
            company: sender.company,
            email: sender.email,
            unsubscribe_email: sender.unsubscribe_email,
        },
        industries: config.industries,
        roles: config.roles,
        keywords: config.keywords,
        location: config.location,
        template_id,
        auto_approve: config.auto_approve,
        audience_type: config.audience_type,
        company_size: config.company_size,
        business_type: config.business_type,
        template_data,
        smtp: smtp_in(&mut v, &smtp),
        provider: config.provider,
        setup_complete: config.setup_complete,
        website_analysis: analysis_in(config.website_analysis.unwrap_or_default()),
        controls: controls_in(&mut v, controls),
    };
    let settings = settings.check(&mut v, &mask);
    v.done().map(|()| Update { settings, smtp_password: Secret::new(smtp.password), mask })
}

fn smtp_in(v: &mut Violations, smtp: &pb::SmtpConfig) -> Smtp {
    let port = u16::try_from(smtp.port).map_err(|_| "must be between 0 and 65535");
    Smtp {
        host: smtp.host.clone(),
        port: v.take("config.smtp.port", port).unwrap_or_default(),
        security: security_in(v, "config.smtp.security", smtp.security),
        username: smtp.username.clone(),
    }
}

fn controls_in(v: &mut Violations, controls: pb::Controls) -> Controls {
    let field = |name: &str| format!("config.controls.{name}");
    let max = u32::try_from(controls.max_emails_per_hour).map_err(|_| format!("must be between 0 and {MAX_PER_HOUR}"));
    Controls {
        auto_reply: controls.auto_reply,
        pause_on_error: controls.pause_on_error,
        max_emails_per_hour: v.take(&field("max_emails_per_hour"), max).unwrap_or_default(),
        working_hours: v.take(&field("working_hours"), hours_in(controls.working_hours)).flatten(),
        time_zone: controls.time_zone,
    }
}

pub(super) fn hours(hours: WorkingHours) -> pb::WorkingHours {
    let time = |minutes: u16| pb::TimeOfDay { hours: i32::from(minutes / 60), minutes: i32::from(minutes % 60) };
    pb::WorkingHours { start: Some(time(hours.start)), end: Some(time(hours.end)) }
}

/// None where neither end is stated.
pub(super) fn hours_in(hours: Option<pb::WorkingHours>) -> Result<Option<WorkingHours>, &'static str> {
    let time = |time: Option<pb::TimeOfDay>| time.map_or((0, 0), |time| (time.hours, time.minutes));
    let stated = hours.filter(|hours| hours.start.is_some() || hours.end.is_some());
    stated.map(|hours| WorkingHours::parse(time(hours.start), time(hours.end))).transpose()
}

pub(super) fn security(security: SmtpSecurity) -> pb::SmtpSecurity {
    match security {
        SmtpSecurity::Tls => pb::SmtpSecurity::Tls,
        SmtpSecurity::Starttls => pb::SmtpSecurity::Starttls,
        SmtpSecurity::None => pb::SmtpSecurity::None,
    }
}

/// Unspecified: STARTTLS.
pub(super) fn security_in(v: &mut Violations, field: &str, security: i32) -> SmtpSecurity {
    match v.part(enumeration(field, security)) {
        Some(pb::SmtpSecurity::Tls) => SmtpSecurity::Tls,
        Some(pb::SmtpSecurity::None) => SmtpSecurity::None,
        _ => SmtpSecurity::Starttls,
    }
}

fn set_fields(config: &pb::AgentConfig) -> Vec<&'static str> {
    let (sender, smtp, controls) = (config.sender.as_ref(), config.smtp.as_ref(), config.controls.as_ref());
    let stated = config.website_analysis.as_ref();
    let set = [
        ("target_website", !config.target_website.is_empty()),
        ("goal", config.goal != 0),
        ("goal_detail", !config.goal_detail.is_empty()),
        ("sender.name", sender.is_some_and(|s| !s.name.is_empty())),
        ("sender.position", sender.is_some_and(|s| !s.position.is_empty())),
        ("sender.company", sender.is_some_and(|s| !s.company.is_empty())),
        ("sender.email", sender.is_some_and(|s| !s.email.is_empty())),
        ("sender.unsubscribe_email", sender.is_some_and(|s| !s.unsubscribe_email.is_empty())),
        ("industries", !config.industries.is_empty()),
        ("roles", !config.roles.is_empty()),
        ("keywords", !config.keywords.is_empty()),
        ("location", !config.location.is_empty()),
        ("template_id", !config.template_id.is_empty()),
        ("auto_approve", config.auto_approve),
        ("audience_type", !config.audience_type.is_empty()),
        ("company_size", !config.company_size.is_empty()),
        ("business_type", !config.business_type.is_empty()),
        ("template_data", config.template_data.is_some()),
        ("smtp.host", smtp.is_some_and(|s| !s.host.is_empty())),
        ("smtp.port", smtp.is_some_and(|s| s.port != 0)),
        ("smtp.security", smtp.is_some_and(|s| s.security != 0)),
        ("smtp.username", smtp.is_some_and(|s| !s.username.is_empty())),
        ("smtp.password", smtp.is_some_and(|s| !s.password.is_empty())),
        ("provider", !config.provider.is_empty()),
        ("setup_complete", config.setup_complete),
        ("website_analysis.business_name", stated.is_some_and(|a| !a.business_name.is_empty())),
        ("website_analysis.logo_url", stated.is_some_and(|a| !a.logo_url.is_empty())),
        ("website_analysis.introduction", stated.is_some_and(|a| !a.introduction.is_empty())),
        ("website_analysis.product_type", stated.is_some_and(|a| !a.product_type.is_empty())),
        ("website_analysis.selling_points", stated.is_some_and(|a| !a.selling_points.is_empty())),
        ("website_analysis.audiences", stated.is_some_and(|a| !a.audiences.is_empty())),
        ("website_analysis.language", stated.is_some_and(|a| !a.language.is_empty())),
        ("website_analysis.industry", stated.is_some_and(|a| !a.industry.is_empty())),
        ("website_analysis.benchmark_brands", stated.is_some_and(|a| !a.benchmark_brands.is_empty())),
        ("controls.auto_reply", controls.is_some_and(|c| c.auto_reply)),
        ("controls.pause_on_error", controls.is_some_and(|c| c.pause_on_error)),
        ("controls.max_emails_per_hour", controls.is_some_and(|c| c.max_emails_per_hour != 0)),
        ("controls.working_hours", controls.is_some_and(|c| c.working_hours.is_some())),
        ("controls.time_zone", controls.is_some_and(|c| !c.time_zone.is_empty())),
    ];
    set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
}
