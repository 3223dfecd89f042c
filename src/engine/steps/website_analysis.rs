//! Step 1: reads the website, first its home page, then a few pages that it links to, and works out what it says.
//!
//! The home page must be readable and hold words of the company: a challenge, an error page or an application without content
//! fails the step, with what was seen. Then what the tenant states by hand takes its place, if that says enough for a letter. A
//! further page that is not readable, or is none of the company's, is left out, and the log says so. A website with content that
//! gives itself no name makes the campaign wait until a person states it: letters are signed with it.

use url::Url;

use super::super::turn::{StepError, Turn};
use crate::connect::{ConnectError, Fetched};
use crate::domain::agent_config::AgentSettings;
use crate::domain::campaign::{Campaign, CampaignState, StepId, StepStatus};
use crate::domain::website::{Field, Page, WebsiteAnalysis, analyse, pages_to_read, seen};
use crate::heavy::heavy;
use crate::store::{Next, Work};

const STEP: StepId = StepId::WebsiteAnalysis;
pub(super) async fn run(turn: &mut Turn<'_>, campaign: &Campaign) -> Result<(), StepError> {
    let settings = turn.store().agent_config().await?.settings;
    // What was read before a person was asked for the name is not read again, once that is stated.
    if let Some(read) = turn.store().findings(&campaign.id).await?.analysis {
        let analysis = named_by(read, &settings);
        if !analysis.business_name.is_empty() {
            return finish(turn, analysis, vec!["going on with what was read and what is stated".to_owned()]).await;
        }
    }

    let url = Url::parse(&campaign.settings.website).map_err(|_| not_a_website(&campaign.settings.website))?;
    turn.advance(STEP, Work::None, vec![format!("reading {url}")], Next::Stay).await?;

    let mut log = Vec::new();
    let stated = &settings.website_analysis;
    let (home, page) = match turn.read_page(&url).await?.and_then(of_company) {
        Ok(read) => read,
        Err(error) => return unreadable(turn, campaign, error, stated).await,
    };
    log.push(told(&home));
    let mut pages = vec![page];

    let others = turn.resources().settings.max_pages.saturating_sub(1);
    for link in pages_to_read(&pages[0], others) {
        let Ok(link) = Url::parse(&link) else { continue };
        match turn.read_page(&link).await?.and_then(of_company) {
            Ok((fetched, page)) => {
                log.push(told(&fetched));
                pages.push(page);
            }
            Err(ConnectError::Passing(why) | ConnectError::Unclear(why) | ConnectError::Final(why)) => {
                log.push(format!("left out: {why}"))
            }
        }
    }

    let analysis = heavy(usize::MAX, || analyse(&pages)).corrected_by(stated);
    finish(turn, analysis, log).await
}

/// The page, if it holds words of the company.
fn of_company((fetched, page): (Fetched, Page)) -> Result<(Fetched, Page), ConnectError> {
    match heavy(usize::MAX, || seen(&page)) {
        None => Ok((fetched, page)),
        Some(what) if what.is_little() => {
            let so_far = if page.signs.broken_off { " as far as it could be read in its time" } else { "" };
            Err(ConnectError::Final(format!("{} has no content{so_far}: {what}", fetched.url)))
        }
        Some(what) => Err(ConnectError::Final(format!("{} is {what}, not the company's words", fetched.url))),
    }
}

/// Where there is nothing to read: goes on with what the tenant states, or says that it could.
async fn unreadable(
    turn: &Turn<'_>,
    campaign: &Campaign,
    error: ConnectError,
    stated: &WebsiteAnalysis,
) -> Result<(), StepError> {
    let why = match &error {
        ConnectError::Final(why) => why.clone(),
        _ if !turn.is_last_try() => return Err(StepError::Connect { error, patient: false }),
        ConnectError::Passing(why) | ConnectError::Unclear(why) => format!("{why} (tried {} times)", turn.tries()),
    };
    let missing = stated.missing();
    if !missing.is_empty() {
        return Err(StepError::Final(format!("{why}; {}", by_hand(&missing))));
    }
    let website = WebsiteAnalysis { url: campaign.settings.website.clone(), ..WebsiteAnalysis::default() };
    finish(turn, website.corrected_by(stated), vec![why, "going on with what is stated".to_owned()]).await
}

/// What a person can do where a website does not say enough, and some of what is needed is not stated either.
fn by_hand(missing: &[&str]) -> String {
    let fields: Vec<_> = missing.iter().map(|field| format!("`website_analysis.{field}`")).collect();
    let rest = if missing.len() == 1 { ", which alone is missing," } else { "" };
    format!("state {}{rest} in the configuration (`herald config set`), then resume", fields.join(" and "))
}

/// With what the tenant states. Whoever resumes a campaign that waits for the name has a sender's company stand for it, too; not
/// before that, since it may be an agency's.
fn named_by(read: WebsiteAnalysis, settings: &AgentSettings) -> WebsiteAnalysis {
    let mut stated = settings.website_analysis.clone();
    if stated.business_name.is_empty() && read.business_name.is_empty() {
        stated.business_name.clone_from(&settings.sender.company);
    }
    read.corrected_by(&stated)
}

/// Ends the step with the analysis, or has the campaign wait for a name.
async fn finish(turn: &Turn<'_>, analysis: WebsiteAnalysis, mut log: Vec<String>) -> Result<(), StepError> {
    log.extend(tell(&analysis));
    let summary = summary(&analysis);
    let next = if analysis.business_name.is_empty() {
        Next::Wait { summary, state: CampaignState::WaitingAnalysis }
    } else {
        Next::Done { status: StepStatus::Completed, summary }
    };
    turn.advance(STEP, Work::Analysis(Box::new(analysis)), log, next).await
}

fn told(fetched: &Fetched) -> String {
    let cut = if fetched.cut { ", cut at the size limit" } else { "" };
    format!("read {} ({} kB{cut})", fetched.url, fetched.size.div_ceil(1_000))
}

fn tell(analysis: &WebsiteAnalysis) -> Vec<String> {
    let facts = [
        ("name", analysis.business_name.clone()),
        ("product", analysis.product_type.clone()),
        ("industry", analysis.industry.clone()),
        ("audiences", analysis.audiences.iter().map(|a| a.title.as_str()).collect::<Vec<_>>().join("; ")),
        ("selling points", analysis.selling_points.join("; ")),
    ];
    let facts =
        facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}: {value}"));
    let name = analysis.sources.iter().find(|source| source.field == Field::BusinessName);
    let found = name.map(|source| format!("the name is from: {}", source.found_in.as_str()));
    facts.chain(found).collect()
}

fn summary(analysis: &WebsiteAnalysis) -> String {
    let pages = match analysis.pages.len() {
        0 => "none of its pages read".to_owned(),
        1 => "1 page read".to_owned(),
        count => format!("{count} pages read"),
    };
    if analysis.business_name.is_empty() {
        return format!(
            "the website does not say who it belongs to ({pages}): state `website_analysis.business_name`, then resume"
        );
    }
    let known = [analysis.business_name.as_str(), analysis.product_type.as_str()];
    let known = known.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    format!("{known} ({pages})")
}

fn not_a_website(text: &str) -> StepError {
    StepError::Final(format!("{text} is no web address"))
}
