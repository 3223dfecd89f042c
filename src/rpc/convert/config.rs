//! The tenant's configuration.

use super::campaign::{analysis, analysis_in, goal, goal_in};
use super::{id, json};
use crate::domain::agent_config::{AgentConfig, AgentSettings, Controls, FIELDS, Sender};
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
        setup_complete: settings.setup_complete,
        website_analysis: Some(analysis(settings.website_analysis)),
        controls: Some(pb::Controls {
            auto_reply: settings.controls.auto_reply,
            pause_on_error: settings.controls.pause_on_error,
        }),
    }
}

/// What an update of the configuration asks for, checked.
pub(in crate::rpc) struct Update {
    pub settings: AgentSettings,
    pub mask: Mask,
}

/// The masked fields of an update, checked.
pub(in crate::rpc) fn update(config: pb::AgentConfig, paths: &[String]) -> Result<Update, Error> {
    let mask = Mask::parse(paths, FIELDS, set_fields(&config))?;
    let sender = config.sender.unwrap_or_default();
    let template_id = match config.template_id.as_str() {
        "" => None,
        text if mask.has("template_id") => Some(id("config.template_id", text, TemplateId::parse)?),
        _ => None,
    };
    let mut v = Violations::within("config.", mask.fields());
    let controls = config.controls.unwrap_or_default();
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
        setup_complete: config.setup_complete,
        website_analysis: analysis_in(config.website_analysis.unwrap_or_default()),
        controls: Controls { auto_reply: controls.auto_reply, pause_on_error: controls.pause_on_error },
    };
    let settings = settings.check(&mut v, &mask);
    v.done().map(|()| Update { settings, mask })
}

fn set_fields(config: &pb::AgentConfig) -> Vec<&'static str> {
    let (sender, controls) = (config.sender.as_ref(), config.controls.as_ref());
    let stated = config.website_analysis.as_ref();
    let set = [
        ("target_website", !config.target_website.is_empty()),
        ("goal", config.goal != 0),
        ("goal_detail", !config.goal_detail.is_empty()),
        ("sender.name", sender.is_some_and(|s| !s.name.is_empty())),
        ("sender.position", sender.is_some_and(|s| !s.position.is_empty())),
        ("sender.company", sender.is_some_and(|s| !s.company.is_empty())),
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
    ];
    set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
}
