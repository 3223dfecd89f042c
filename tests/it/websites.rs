//! Websites as they are: a corpus of pages in the forms that public reports show, each read by a real campaign over HTTP.
//!
//! `tests/corpus/websites/readings.toml` has the right reading of each page, and how it is served.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use herald::cli::Api;
use herald::pb::{self, CampaignState, StepStatus};
use serde::Deserialize;

use crate::support::site::{self, Answer};
use crate::support::{TestApp, newest, start_campaign};

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
    #[expect(dead_code, reason = "the analysis does not say yet where a field was found")]
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

/// Says how many of the corpus are read rightly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_corpus_is_read() {
    let app = TestApp::start().await;
    let (mut faults, mut wrong) = (Vec::new(), 0);
    let corpus = corpus();
    for (n, page) in corpus.iter().enumerate() {
        let website = page.serve().await;
        let mut api = app.user(&format!("user_{n}")).await;
        let (campaign, analysis) = reads(&mut api, &website).await;
        let found = page.faults(&campaign, &analysis);
        wrong += usize::from(!found.is_empty());
        faults.extend(found);
    }
    println!("{} of {} pages are read rightly", corpus.len() - wrong, corpus.len());
    println!("{}", faults.join("\n"));
}
