//! Step 1: reads the website, first its home page, then a few pages that it links to, and works out what it says.
//!
//! The home page must be readable; a further page that is not is left out, and the log says so.

use url::Url;

use super::super::turn::{StepError, Turn};
use crate::connect::{ConnectError, Fetched};
use crate::domain::campaign::{Campaign, StepId, StepStatus};
use crate::domain::website::{WebsiteAnalysis, analyse, pages_to_read};
use crate::heavy::heavy;
use crate::store::{Next, Work};

const STEP: StepId = StepId::WebsiteAnalysis;

pub(super) async fn run(turn: &mut Turn<'_>, campaign: &Campaign) -> Result<(), StepError> {
    let url = Url::parse(&campaign.settings.website).map_err(|_| not_a_website(&campaign.settings.website))?;
    turn.advance(STEP, Work::None, vec![format!("reading {url}")], Next::Stay).await?;

    let mut log = Vec::new();
    let (home, page) = turn.read_page(&url).await?.map_err(|error| StepError::Connect { error, patient: false })?;
    log.push(told(&home));
    let mut pages = vec![page];

    let others = turn.engine().settings.max_pages.saturating_sub(1);
    for link in pages_to_read(&pages[0], others) {
        let Ok(link) = Url::parse(&link) else { continue };
        match turn.read_page(&link).await? {
            Ok((fetched, page)) => {
                log.push(told(&fetched));
                pages.push(page);
            }
            Err(ConnectError::Passing(why) | ConnectError::Unclear(why) | ConnectError::Final(why)) => {
                log.push(format!("left out: {why}"))
            }
        }
    }

    let stated = turn.store().agent_config().await?.settings.website_analysis;
    let analysis = heavy(usize::MAX, || analyse(&pages)).corrected_by(&stated);
    log.extend(tell(&analysis));
    let summary = summary(&analysis);
    turn.advance(STEP, Work::Analysis(Box::new(analysis)), log, Next::Done { status: StepStatus::Completed, summary })
        .await
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
    facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}: {value}")).collect()
}

fn summary(analysis: &WebsiteAnalysis) -> String {
    let known = [analysis.business_name.as_str(), analysis.product_type.as_str()];
    let known = known.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    let what = if known.is_empty() { "the website does not say who it belongs to" } else { &known };
    let pages = analysis.pages.len();
    format!("{what} ({pages} page{} read)", if pages == 1 { "" } else { "s" })
}

fn not_a_website(text: &str) -> StepError {
    StepError::Final(format!("{text} is no web address"))
}
