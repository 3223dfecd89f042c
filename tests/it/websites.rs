//! Websites as they are: a corpus of pages in the forms that public reports show, each read by a real campaign over HTTP.
//!
//! `tests/corpus/websites/readings.toml` has the right reading of each page, and how it is served.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use herald::cli::Api;
use herald::pb::{self, CampaignState, StepStatus};
use serde::Deserialize;

use crate::support::site::{self, Answer, Changing};
use crate::support::{TestApp, add_prospects, auto_approve, newest, reaches, reason, start_campaign};

#[derive(Deserialize)]
struct Corpus {
    page: Vec<Reading>,
}

/// A page, how it is served, and what it says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    file: String,
    /// What is special about it.
    form: String,
    /// Who shows the form.
    source: String,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default = "text_html")]
    content_type: String,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    also: BTreeMap<String, String>,
    #[serde(default = "read")]
    state: String,
    name: Option<String>,
    introduction: Option<String>,
    language: Option<String>,
    #[serde(default)]
    points: Vec<String>,
    logo: Option<String>,
    #[serde(default)]
    absent: Vec<String>,
    #[serde(default)]
    failure: Vec<String>,
    #[serde(default)]
    found: BTreeMap<String, String>,
}

fn ok() -> u16 {
    200
}

fn text_html() -> String {
    "text/html".to_owned()
}

fn read() -> String {
    "READ".to_owned()
}

/// What the pages of the corpus have in place of the address that they are served at.
const SELF: &str = "https://self.example/";
const WITHIN: Duration = Duration::from_secs(60);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/websites")
}

fn corpus() -> Vec<Reading> {
    let text = std::fs::read_to_string(folder().join("readings.toml")).expect("the readings");
    toml::from_str::<Corpus>(&text).expect("readings").page
}

impl Reading {
    /// Serves the page; its address.
    async fn serve(&self) -> String {
        site::made(|url| {
            let file = |name: &String| {
                let bytes = std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
                replace(&bytes, SELF.as_bytes(), url.as_bytes())
            };
            let kind = format!("content-type: {}\r\n", self.content_type);
            let headers: String = self.headers.iter().map(|header| format!("{header}\r\n")).collect();
            let home = answer(self.status, &(kind + &headers), &file(&self.file));
            let others = self.also.iter().map(|(path, name)| {
                (path.clone(), answer(200, "content-type: text/html; charset=utf-8\r\n", &file(name)))
            });
            others.chain([("/".to_owned(), home)]).collect::<HashMap<_, _>>()
        })
        .await
    }

    /// What is wrong with what a campaign has read.
    fn faults(&self, campaign: &pb::Campaign, analysis: &pb::WebsiteAnalysis) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |what: &str, right: bool, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
            if !right {
                faults.push(format!("{}: {what} is {found:?}, not {expected:?}", self.file));
            }
        };
        let state = if campaign.steps[0].status() == StepStatus::Completed {
            read()
        } else {
            campaign.state().as_str_name().trim_start_matches("CAMPAIGN_STATE_").to_owned()
        };
        check("the state", state == self.state, &state, &self.state);
        for (what, found, expected) in [
            ("the name", &analysis.business_name, &self.name),
            ("the introduction", &analysis.introduction, &self.introduction),
            ("the language", &analysis.language, &self.language),
        ] {
            check(what, expected.as_ref().is_none_or(|expected| found == expected), found, expected);
        }
        let logo = self.logo.as_ref().is_none_or(|end| analysis.logo_url.ends_with(end.as_str()));
        check("the logo", logo, &analysis.logo_url, &self.logo);
        for point in &self.points {
            let has = analysis.selling_points.iter().any(|found| found.contains(point.as_str()));
            check("no point", has, &analysis.selling_points, point);
        }
        let all = format!("{analysis:?}");
        for absent in &self.absent {
            check("what is found", !all.contains(absent.as_str()), &all, &format!("without {absent}"));
        }
        for (field, expected) in &self.found {
            let mut sources = analysis.sources.iter().filter(|source| source.field == *field);
            let has = sources.any(|source| source.found_in.contains(expected.as_str()) && !source.page.is_empty());
            check("the source", has, &analysis.sources, expected);
        }
        for words in &self.failure {
            check("the failure", campaign.failure.contains(words.as_str()), &campaign.failure, words);
        }
        faults
    }
}

fn answer(status: u16, headers: &str, body: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    Answer::Raw([head.as_bytes(), body].concat())
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Has a campaign of its own tenant read the website, to the end of its first step.
async fn reads(api: &mut Api, website: &str) -> (pb::Campaign, pb::WebsiteAnalysis) {
    start_campaign(api, website).await;
    let begun = std::time::Instant::now();
    let campaign = loop {
        let now = newest(api).await;
        let done = now.steps[0].status() == StepStatus::Completed;
        if done || now.state() != CampaignState::Running {
            break now;
        }
        assert!(begun.elapsed() < WITHIN, "{website} is read for ever: {now:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let results = api.workflow.get_workflow_results(pb::GetWorkflowResultsRequest::default()).await.expect("results");
    (campaign, results.into_inner().analysis.unwrap_or_default())
}

/// The rules that a corpus must keep to be worth something.
#[test]
fn the_corpus_is_large_and_names_its_sources() {
    let corpus = corpus();
    assert!(corpus.len() >= 45, "{} pages", corpus.len());
    let public = corpus.iter().filter(|page| page.state == "READ" && page.source.starts_with("https://")).count();
    assert!(2 * public >= corpus.len(), "{public} of {} that must be read have a public source", corpus.len());
    for page in &corpus {
        assert!(!page.source.is_empty() && !page.form.is_empty(), "{}", page.file);
    }
}

/// Every page of the corpus is read as the readings have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_corpus_is_read() {
    let app = TestApp::start().await;
    let mut faults = Vec::new();
    for (n, page) in corpus().iter().enumerate() {
        let website = page.serve().await;
        let mut api = app.user(&format!("user_{n}")).await;
        let (campaign, analysis) = reads(&mut api, &website).await;
        faults.extend(page.faults(&campaign, &analysis));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

const NAMELESS: &str = "<title>Home</title><meta name=description content='Pumps for wells and ponds since 1971.'>
    <h2>Ten years of warranty on every pump</h2><p>Each pump runs for three days on our bench.</p>";

async fn configure(api: &mut Api, config: pb::AgentConfig) {
    let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
    api.agent.update_agent_config(request).await.expect("configured");
}

fn stated(business_name: &str, introduction: &str) -> pb::AgentConfig {
    let (business_name, introduction) = (business_name.to_owned(), introduction.to_owned());
    let analysis = pb::WebsiteAnalysis { business_name, introduction, ..Default::default() };
    pb::AgentConfig { website_analysis: Some(analysis), ..Default::default() }
}

async fn resume(api: &mut Api) -> pb::Campaign {
    let campaign_id = newest(api).await.id;
    let resumed = api.workflow.resume_workflow(pb::ResumeWorkflowRequest { campaign_id }).await.expect("resumed");
    resumed.into_inner().campaign.expect("a campaign")
}

async fn analysis(api: &mut Api) -> pb::WebsiteAnalysis {
    let results = api.workflow.get_workflow_results(pb::GetWorkflowResultsRequest::default()).await.expect("results");
    results.into_inner().analysis.expect("an analysis")
}

/// Where the field was found.
fn found_in(analysis: &pb::WebsiteAnalysis, field: &str) -> Vec<String> {
    let of = analysis.sources.iter().filter(|source| source.field == field);
    of.map(|source| source.found_in.clone()).collect()
}

#[tokio::test]
async fn a_website_without_a_name_makes_the_campaign_wait_until_the_name_is_stated() {
    let website = Changing::serve(site::html(NAMELESS)).await;
    let app = TestApp::with_live_campaigns(1).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 2).await;
    auto_approve(&mut api).await;
    let started = start_campaign(&mut api, &website.url).await;
    let waiting = reaches(&mut api, CampaignState::WaitingAnalysis).await;
    assert_eq!(waiting.missing_fields, ["website_analysis.business_name"]);
    assert!(waiting.steps[0].summary.contains("`website_analysis.business_name`"), "{waiting:#?}");
    assert_eq!((waiting.steps[0].status(), waiting.end_time), (StepStatus::InProgress, None));
    use pb::CampaignAction::{Cancel, Pause, Resume};
    assert_eq!(waiting.allowed_actions().collect::<Vec<_>>(), [Resume, Pause, Cancel]);
    // What was read is there to be looked at, and it is live.
    let read = analysis(&mut api).await;
    assert_eq!(
        (read.business_name.as_str(), found_in(&read, "introduction")),
        ("", vec!["the meta description".into()])
    );
    let another = pb::StartWorkflowRequest { website: website.url.clone(), ..Default::default() };
    assert_eq!(reason(&api.workflow.start_workflow(another).await.expect_err("one is live")), "CAMPAIGN_LIVE");
    // A pause returns to where it was, and says what is missing all the while.
    let paused = api.workflow.pause_workflow(pb::PauseWorkflowRequest::default()).await.expect("paused");
    assert_eq!(paused.into_inner().campaign.expect("one").missing_fields, waiting.missing_fields);
    assert_eq!(resume(&mut api).await.state(), CampaignState::WaitingAnalysis);

    // Without a name the site is read again, since it may have been mended.
    website.asked();
    resume(&mut api).await;
    while website.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reaches(&mut api, CampaignState::WaitingAnalysis).await;
    website.asked();
    configure(&mut api, stated("Norden Pumpen", "")).await;
    resume(&mut api).await;
    let done = reaches(&mut api, CampaignState::Completed).await;
    assert_eq!((done.emails.expect("counts").sent, done.missing_fields.len()), (2, 0));
    assert_eq!(website.asked(), 0, "what was read is not read again");
    let read = analysis(&mut api).await;
    assert_eq!(read.business_name, "Norden Pumpen");
    assert_eq!(found_in(&read, "business_name"), ["stated in the configuration"]);
    assert_eq!(read.introduction, "Pumps for wells and ponds since 1971.");
    // Whoever watches is told of the wait, with what is missing.
    let events = crate::support::history(&mut api, &started.id, 0).await;
    let waits = |event: &pb::CampaignEvent| match &event.kind {
        Some(pb::campaign_event::Kind::StateChanged(change)) => {
            change.to() == CampaignState::WaitingAnalysis && change.reason.contains("business_name")
        }
        _ => false,
    };
    assert_eq!(events.iter().filter(|event| waits(event)).count(), 2);
}

#[tokio::test]
async fn a_campaign_that_waits_for_a_name_can_be_ended_or_take_the_sender_s_company() {
    let website = site::pages([("/", site::html(NAMELESS))]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::WaitingAnalysis).await;
    let reset = api.workflow.reset_workflow(pb::ResetWorkflowRequest {}).await.expect("reset").into_inner();
    let cancelled = reset.cancelled_campaign.expect("one was live");
    assert_eq!((cancelled.state(), cancelled.missing_fields.len()), (CampaignState::Cancelled, 0));

    // It may be an agency's, so that a person is asked all the same.
    let sender = pb::Sender { company: "Norden".into(), ..Default::default() };
    configure(&mut api, pb::AgentConfig { sender: Some(sender), ..Default::default() }).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::WaitingAnalysis).await;
    resume(&mut api).await;
    reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(analysis(&mut api).await.business_name, "Norden");
}

#[tokio::test]
async fn a_challenge_fails_the_step_and_what_is_stated_by_hand_takes_its_place() {
    let challenge = "<title>Just a moment...</title><h2>Verifying you are human. This may take a few seconds.</h2>
        <script>window._cf_chl_opt = {};</script>";
    let website = site::pages([("/", site::html(challenge))]).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    auto_approve(&mut api).await;
    start_campaign(&mut api, &website).await;
    let failed = reaches(&mut api, CampaignState::Failed).await;
    for words in [
        "a challenge of Cloudflare",
        "not the company's words",
        "`website_analysis.business_name` and `website_analysis.introduction`",
        "then resume",
    ] {
        assert!(failed.failure.contains(words), "{words} in {:?}", failed.failure);
    }
    // A name alone says too little for a letter.
    configure(&mut api, stated("Norden Pumpen", "")).await;
    resume(&mut api).await;
    let failed = reaches(&mut api, CampaignState::Failed).await;
    let missing = "state `website_analysis.introduction`, which alone is missing,";
    assert!(failed.failure.contains(missing), "{}", failed.failure);
    configure(&mut api, stated("Norden Pumpen", "Norden builds pumps.")).await;
    resume(&mut api).await;
    let done = reaches(&mut api, CampaignState::Completed).await;
    assert!(done.steps[0].summary.contains("none of its pages read"), "{done:#?}");
    let read = analysis(&mut api).await;
    assert_eq!((read.introduction.as_str(), read.url.as_str()), ("Norden builds pumps.", website.as_str()));
    assert!(read.sources.iter().all(|source| source.found_in == "stated in the configuration"), "{read:#?}");
}

/// Where a website is away, what is stated by hand takes its place after the last try.
#[tokio::test]
async fn a_website_that_is_away_is_tried_before_what_is_stated_takes_its_place() {
    let website = Changing::serve(Answer::Page(503, "text/html", Vec::new())).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    auto_approve(&mut api).await;
    configure(&mut api, stated("Norden Pumpen", "Norden builds pumps.")).await;
    start_campaign(&mut api, &website.url).await;
    reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(website.asked(), 3);
}

/// What is followed is checked like the first address, and followed only so often.
#[tokio::test]
async fn refreshes_are_followed_within_bounds() {
    let refresh = |to: &str| site::html(&format!("<meta http-equiv=refresh content='0; url={to}'><p>Wait.</p>"));
    for (home, words) in [
        (refresh("http://169.254.169.254/latest/"), "no address on the public internet"),
        (refresh("ftp://example.com/"), "neither http nor https"),
        (refresh("/?again"), "redirects more than 5 times"),
        (
            Answer::Raw(
                b"HTTP/1.1 302 X\r\nlocation: //169.254.169.254/\xc3\xa9\r\ncontent-length: 0\r\n\r\n".to_vec(),
            ),
            "public internet",
        ),
    ] {
        let website = site::pages([("/", home), ("/?again", refresh("/?more")), ("/?more", refresh("/?again"))]).await;
        let app = TestApp::start().await;
        let mut api = app.user("user_a").await;
        let (campaign, _) = reads(&mut api, &website).await;
        assert!(campaign.failure.contains(words), "{words} in {:?}", campaign.failure);
    }
    // One that leads to its own page, or comes late, is none.
    for content in ["0", "0; url=/#top", "600; url=/elsewhere"] {
        let page = format!("<title>Acme</title><meta http-equiv=refresh content='{content}'><p>We make tools.</p>");
        let website = site::pages([("/", site::html(&page))]).await;
        let app = TestApp::start().await;
        let mut api = app.user("user_a").await;
        let (_, read) = reads(&mut api, &website).await;
        assert_eq!((read.business_name.as_str(), read.url.as_str()), ("Acme", website.as_str()), "{content}");
    }
}

/// A page that is not the company's is left out among the others.
#[tokio::test]
async fn a_further_page_that_is_no_company_s_is_left_out() {
    let home = "<title>Acme</title><p>We make tools for gardeners.</p><a href=/about>About us</a><a href=/products>Products</a>";
    let error = "<title>Page not found</title><h1>Page not found</h1><p>It may have been moved.</p>";
    let products = "<title>Products</title><h2>Spades that are forged by hand</h2><p>In Sheffield, since 1911.</p>";
    let pages = [("/", home), ("/about", error), ("/products", products)];
    let website = site::pages(pages.map(|(path, page)| (path, site::html(page)))).await;
    let app = TestApp::start().await;
    let mut api = app.user("user_a").await;
    let (_, read) = reads(&mut api, &website).await;
    assert_eq!(read.pages, [website.clone(), format!("{website}products")]);
    let points = read.sources.iter().find(|source| source.field == "selling_points").expect("found somewhere");
    assert_eq!((points.page.clone(), points.found_in.as_str()), (format!("{website}products"), "headings"));
    let step = pb::GetWorkflowStepRequest { step: pb::StepId::WebsiteAnalysis.into(), ..Default::default() };
    let log = api.workflow.get_workflow_step(step).await.expect("a step").into_inner().log;
    assert!(log.iter().any(|line| line.text.contains("left out") && line.text.contains("an error page")), "{log:#?}");
}
