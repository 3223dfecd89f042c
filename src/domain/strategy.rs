//! Works out whom to look for, by rule: from what the website says and what the tenant's configuration asks for.
//!
//! What the configuration says comes first; what it leaves open is taken from the website. Nothing is invented: roles
//! alone have defaults, by goal, because a website never says whom to ask for.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::agent_config::AgentSettings;
use super::clock::Timestamp;
use super::id::{CampaignId, StrategyId};
use super::state::Goal;
use super::text::words;
use super::website::WebsiteAnalysis;

/// Whom to look for, and how. All lists have the best first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SearchStrategy {
    pub queries: Vec<String>,
    pub industries: Vec<String>,
    pub roles: Vec<String>,
    /// Lower case.
    pub keywords: Vec<String>,
    pub location: String,
    /// Such as `11-50`; empty where any will do.
    #[serde(default)]
    pub company_size: String,
}

/// What a campaign has worked out for a website and a goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketingStrategy {
    pub id: StrategyId,
    pub website: String,
    pub goal: Goal,
    /// It may be gone.
    pub campaign_id: CampaignId,
    pub analysis: WebsiteAnalysis,
    pub strategy: SearchStrategy,
    pub create_time: Timestamp,
}

const MAX_QUERIES: usize = 12;
const MAX_KEYWORDS: usize = 30;

pub fn plan(analysis: &WebsiteAnalysis, settings: &AgentSettings, goal: Goal) -> SearchStrategy {
    let industries = first_given(&settings.industries, || industries_of(analysis));
    let roles = first_given(&settings.roles, || default_roles(goal).iter().map(|r| (*r).to_owned()).collect());
    // What the tenant says it looks for, and what it is, comes with its keywords.
    let stated = words(&settings.audience_type).into_iter().chain(words(&settings.business_type));
    let given: Vec<_> = settings.keywords.iter().cloned().chain(stated).collect();
    let keywords = keywords_of(analysis, &given);
    let location = settings.location.clone();
    let queries = queries(&industries, &roles, &location, goal);
    SearchStrategy { queries, industries, roles, keywords, location, company_size: settings.company_size.clone() }
}

fn first_given(given: &[String], otherwise: impl FnOnce() -> Vec<String>) -> Vec<String> {
    if given.is_empty() { otherwise() } else { given.to_vec() }
}

/// Whom the website speaks to, then the trade that it is in itself.
fn industries_of(analysis: &WebsiteAnalysis) -> Vec<String> {
    let audiences = analysis.audiences.iter().map(|a| a.title.clone());
    let own = [analysis.industry.clone(), analysis.product_type.clone()];
    dedup(audiences.chain(own)).into_iter().take(8).collect()
}

fn keywords_of(analysis: &WebsiteAnalysis, given: &[String]) -> Vec<String> {
    let audiences = analysis.audiences.iter().flat_map(|a| words(&a.title).into_iter().chain(words(&a.description)));
    let product = words(&analysis.product_type).into_iter().chain(words(&analysis.industry));
    let intro = words(&analysis.introduction);
    let given = given.iter().map(|k| k.to_lowercase());
    dedup(given.chain(product).chain(audiences).chain(intro)).into_iter().take(MAX_KEYWORDS).collect()
}

fn queries(industries: &[String], roles: &[String], location: &str, goal: Goal) -> Vec<String> {
    let what = match goal {
        Goal::Partnerships => "partners",
        Goal::Customers => "companies",
        Goal::Press => "magazine",
    };
    let broad = industries.iter().map(|i| [i, what, location].join(" "));
    let narrow =
        industries.iter().take(3).flat_map(|i| roles.iter().take(3).map(move |r| [r, i.as_str(), location].join(" ")));
    let tidy = broad.chain(narrow).map(|q| q.split_whitespace().collect::<Vec<_>>().join(" "));
    dedup(tidy).into_iter().take(MAX_QUERIES).collect()
}

fn default_roles(goal: Goal) -> &'static [&'static str] {
    match goal {
        Goal::Partnerships => &["Partnerships", "Business Development", "Managing Director", "Founder", "CEO"],
        Goal::Customers => &["Operations", "Purchasing", "Managing Director", "Technical Director", "Owner", "CEO"],
        Goal::Press => &["Editor", "Journalist", "Reporter", "Content", "Communications"],
    }
}

/// Without empty ones and repetitions; upper and lower case alike.
fn dedup(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    texts.filter(|t| !t.trim().is_empty() && seen.insert(t.trim().to_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::website::Audience;
    use super::*;

    fn analysis() -> WebsiteAnalysis {
        WebsiteAnalysis {
            product_type: "Sensors".into(),
            industry: "Agriculture".into(),
            introduction: "We make sensors for growers.".into(),
            audiences: vec![Audience { title: "Greenhouse growers".into(), description: String::new() }],
            ..Default::default()
        }
    }

    #[test]
    fn what_the_tenant_says_comes_first() {
        let settings = AgentSettings {
            industries: vec!["Wine".into()],
            roles: vec!["Cellar Master".into()],
            keywords: vec!["Riesling".into()],
            location: "Mosel".into(),
            ..Default::default()
        };
        let plan = plan(&analysis(), &settings, Goal::Customers);
        assert_eq!(plan.industries, ["Wine"]);
        assert_eq!(plan.keywords[0], "riesling");
        assert_eq!(plan.queries, ["Wine companies Mosel", "Cellar Master Wine Mosel"]);
    }

    #[test]
    fn what_the_tenant_leaves_open_comes_from_the_website() {
        let plan = plan(&analysis(), &AgentSettings::default(), Goal::Press);
        assert_eq!(plan.industries, ["Greenhouse growers", "Agriculture", "Sensors"]);
        assert_eq!(plan.roles[0], "Editor");
        assert_eq!(plan.queries[0], "Greenhouse growers magazine");
        assert!(plan.keywords.contains(&"growers".to_owned()) && !plan.keywords.contains(&"make".to_owned()));
    }

    #[test]
    fn a_website_that_says_nothing_still_gives_a_plan() {
        let plan = plan(&WebsiteAnalysis::default(), &AgentSettings::default(), Goal::Partnerships);
        assert!(plan.industries.is_empty() && plan.queries.is_empty());
        assert!(!plan.roles.is_empty());
    }
}
