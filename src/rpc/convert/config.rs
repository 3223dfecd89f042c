//! The tenant's configuration.

use super::campaign::{goal, goal_in};
use super::id;
use crate::domain::agent_config::{AgentConfig, AgentSettings, FIELDS, Sender};
use crate::domain::error::{Error, Violations};
use crate::domain::id::TemplateId;
use crate::domain::mask::Mask;
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
    }
}

/// The masked fields of an update, checked.
pub(in crate::rpc) fn update(config: pb::AgentConfig, paths: &[String]) -> Result<(AgentSettings, Mask), Error> {
    let mask = Mask::parse(paths, FIELDS, set_fields(&config))?;
    let sender = config.sender.unwrap_or_default();
    let template_id = match config.template_id.as_str() {
        "" => None,
        text if mask.has("template_id") => Some(id("config.template_id", text, TemplateId::parse)?),
        _ => None,
    };
    let settings = AgentSettings {
        target_website: config.target_website,
        goal: goal_in("config.goal", config.goal)?.unwrap_or_default(),
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
    };
    let mut v = Violations::default();
    let settings = settings.check(&mut v, &mask);
    v.done().map(|()| (settings, mask))
}

fn set_fields(config: &pb::AgentConfig) -> Vec<&'static str> {
    let sender = config.sender.as_ref();
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
    ];
    set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
}
