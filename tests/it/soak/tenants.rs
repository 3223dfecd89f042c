//! The tenants: what they call, and a ledger of what they were answered.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use herald::cli::{Api, Connection};
use herald::pb;
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Run, between, binary};
use crate::support::process::command;
use crate::support::{Seeded, TEMPLATE, folder};

/// Those that call, those of them that run campaigns, and who watches them.
pub const TENANTS: usize = 20;
pub const CAMPAIGNERS: usize = 6;
const WATCHERS: usize = 8;
/// The prospects of a tenant; what comes on top would only make the run longer.
const MOST: usize = 3_000;
/// What each tenant begins with, and the length of their notes: together more than what SQLite keeps of its file, which is full
/// then before anything is measured.
const FIRST: usize = 1_000;
const NOTES: usize = 3_000;
/// The rows of a batch and of an imported file, and the prospects of a campaign.
const BATCH: usize = 10;
const CAMPAIGN: i32 = 20;
/// The rows of a page, and how many rows are read one by one: all of the file passes SQLite's caches within a minute.
const PAGE: i32 = 100;
const GETS: usize = 10;

/// Everybody's work.
pub struct Everybody {
    writers: Vec<JoinHandle<Ledger>>,
    campaigners: Vec<JoinHandle<Ledger>>,
    watchers: Vec<JoinHandle<u64>>,
}

/// What one was answered.
#[derive(Default)]
pub struct Ledger {
    user: String,
    /// The id of each address that was created.
    created: HashMap<String, String>,
    /// The addresses that an import said to have brought.
    imported: HashSet<String>,
    /// The last company that was acknowledged, of each id.
    company: HashMap<String, String>,
    /// How many mails each campaign said to have sent.
    sent: HashMap<String, usize>,
    /// Where the next page of its list begins.
    page_token: String,
    batches: u64,
    replies: u64,
    calls: u64,
    cache_calls: u64,
}

pub struct Ledgers {
    all: Vec<Ledger>,
    watched: u64,
}

pub fn user(n: usize) -> String {
    format!("tenant{n}")
}

/// Tries again until it is answered. None if that took too long, or the answer is a refusal that should not be.
async fn insist<T, F: Future<Output = Result<T, Status>>>(run: &Run, what: &str, call: impl Fn() -> F) -> Option<T> {
    loop {
        match call().await {
            Ok(answer) => return Some(answer),
            Err(status) if passes(&status) && Instant::now() < run.patience => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(status) => {
                run.fault(format!("{what}: {:?}: {}", status.code(), status.message()));
                return None;
            }
        }
    }
}

/// Whether it is no fault to be answered so: the server is away, or has too much to do.
fn passes(status: &Status) -> bool {
    let broken = status.get_error_details().error_info().is_none();
    broken || matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
}

async fn connect(run: &Run, user: &str) -> Option<Api> {
    loop {
        let server = format!("http://127.0.0.1:{}", run.port);
        let connection = Connection { user: Some(user.to_owned()), ..Connection::to(server) };
        match connection.open().await {
            Ok(api) => return Some(api),
            Err(_) if Instant::now() < run.patience => tokio::time::sleep(Duration::from_millis(200)).await,
            Err(error) => {
                run.fault(format!("{user}: {error:#}"));
                return None;
            }
        }
    }
}

fn batch(user: &str, of: &str, round: u64, rows: usize, notes: usize) -> pb::BatchCreateProspectsRequest {
    let prospect = |n| pb::Prospect {
        email: format!("{of}{n}.{round}@{user}.example"),
        company: format!("Company {n}"),
        industry: "Horticulture".to_owned(),
        notes: "x".repeat(notes),
        ..Default::default()
    };
    pb::BatchCreateProspectsRequest {
        prospects: (0..rows).map(prospect).collect(),
        request_id: format!("{of} {round}"),
    }
}

async fn watch(run: Run, n: u64) -> u64 {
    let random = run.random(500 + n);
    let mut watched = 0;
    while !run.is_over() {
        let Some(api) = connect(&run, &user(random.below(CAMPAIGNERS))).await else { break };
        let after_seq = (random.below(2) == 0).then_some(0);
        let (most, time) = (random.below(40), between(&random, Duration::from_millis(50), Duration::from_secs(4)));
        let follow = async {
            let request = pb::WatchWorkflowRequest { campaign_id: String::new(), after_seq };
            let Ok(answer) = api.workflow.clone().watch_workflow(request).await else { return false };
            let mut stream = answer.into_inner();
            for _ in 0..most {
                if !matches!(stream.message().await, Ok(Some(_))) {
                    break;
                }
            }
            true
        };
        // Cut off in the middle, as a browser is closed.
        watched += u64::from(tokio::time::timeout(time, follow).await.unwrap_or(true));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    watched
}

// === impl Everybody ===

impl Everybody {
    pub fn start(run: &Run, website: &str) -> Self {
        let of = |n| Ledger { user: user(n), ..Ledger::default() };
        let campaign = |n| tokio::spawn(of(n).campaigns(run.clone(), n as u64, website.to_owned()));
        Self {
            writers: (0..TENANTS).map(|n| tokio::spawn(of(n).write(run.clone(), n as u64))).collect(),
            campaigners: (0..CAMPAIGNERS).map(campaign).collect(),
            watchers: (0..WATCHERS).map(|n| tokio::spawn(watch(run.clone(), n as u64))).collect(),
        }
    }

    /// Once the run is over and all have ended what they were at.
    pub async fn end(self) -> Ledgers {
        let mut ledgers = Ledgers { all: Vec::new(), watched: 0 };
        for task in self.writers.into_iter().chain(self.campaigners) {
            ledgers.all.push(task.await.expect("no panic"));
        }
        for task in self.watchers {
            ledgers.watched += task.await.expect("no panic");
        }
        ledgers
    }
}

// === impl Ledger ===

impl Ledger {
    /// Calls of all kinds, one after the other.
    async fn write(mut self, run: Run, n: u64) -> Self {
        let random = run.random(n);
        let files = folder();
        let Some(api) = connect(&run, &self.user).await else { return self };
        self.create(&run, &api, batch(&self.user, "first", 0, FIRST, NOTES)).await;
        for round in 0.. {
            if run.is_over() {
                break;
            }
            match random.below(100) {
                0..10 if self.created.len() + self.imported.len() < MOST => {
                    self.create(&run, &api, batch(&self.user, "p", round, BATCH, 0)).await;
                }
                10..30 => self.update(&run, &api, &random, round).await,
                30..55 => {
                    for _ in 0..GETS {
                        self.get(&run, &api, &random).await;
                    }
                }
                55..65 => self.list(&run, &api).await,
                65..68 => self.reply(&run, &api, &random, round).await,
                68..99 => self.cache(&run, &api, &random).await,
                _ if self.created.len() + self.imported.len() < MOST => self.import(&run, files.path(), round).await,
                _ => {}
            }
            tokio::time::sleep(between(&random, Duration::from_millis(20), Duration::from_millis(120))).await;
        }
        self
    }

    async fn create(&mut self, run: &Run, api: &Api, request: pb::BatchCreateProspectsRequest) {
        let call = || async { api.agent.clone().batch_create_prospects(request.clone()).await };
        let Some(answer) = insist(run, "BatchCreateProspects", call).await else { return };
        let ids = answer.into_inner().results.into_iter().map(|result| result.prospect_id);
        let emails = request.prospects.iter().map(|prospect| prospect.email.clone());
        for (email, id) in emails.zip(ids) {
            if id.is_empty() {
                run.fault(format!("{email} is new, and has no id"));
            }
            self.created.insert(email, id);
        }
        self.batches += 1;
        self.calls += 1;
    }

    /// One that there is.
    fn any(&self, random: &Seeded) -> Option<(String, String)> {
        let (email, id) = self.created.iter().nth(random.below(self.created.len().max(1)))?;
        Some((email.clone(), id.clone()))
    }

    async fn update(&mut self, run: &Run, api: &Api, random: &Seeded, round: u64) {
        let Some((_, id)) = self.any(random) else { return };
        let company = format!("Company of round {round}");
        let prospect = pb::Prospect { id: id.clone(), company: company.clone(), ..Default::default() };
        let request = pb::UpdateProspectRequest { prospect: Some(prospect), update_mask: None };
        // It may have been written without an answer.
        self.company.remove(&id);
        let call = || async { api.agent.clone().update_prospect(request.clone()).await };
        if insist(run, "UpdateProspect", call).await.is_some() {
            self.company.insert(id, company);
            self.calls += 1;
        }
    }

    async fn get(&mut self, run: &Run, api: &Api, random: &Seeded) {
        let Some((email, id)) = self.any(random) else { return };
        let request = pb::GetProspectRequest { prospect_id: id, view: 0 };
        let call = || async { api.agent.clone().get_prospect(request.clone()).await };
        let Some(answer) = insist(run, "GetProspect", call).await else { return };
        let found = answer.into_inner().prospect.unwrap_or_default();
        if found.email != email {
            run.fault(format!("{email} was acknowledged, and {found:?} is found"));
        }
        self.calls += 1;
    }

    async fn list(&mut self, run: &Run, api: &Api) {
        let (page_token, view) = (std::mem::take(&mut self.page_token), pb::ProspectView::Full.into());
        let request = pb::ListProspectsRequest { page_size: PAGE, page_token, view, ..Default::default() };
        let call = || async { api.agent.clone().list_prospects(request.clone()).await };
        let Some(answer) = insist(run, "ListProspects", call).await else { return };
        let (answer, own) = (answer.into_inner(), format!("@{}.example", self.user));
        self.page_token = answer.next_page_token;
        for prospect in answer.prospects {
            if !prospect.email.ends_with(&own) {
                run.fault(format!("{} lists {}", self.user, prospect.email));
            }
        }
        self.calls += 1;
    }

    async fn reply(&mut self, run: &Run, api: &Api, random: &Seeded, round: u64) {
        let Some((_, prospect_id)) = self.any(random) else { return };
        let body = "Thank you, this sounds good. When can we talk?".to_owned();
        let request_id = format!("reply {round}");
        let request = pb::RecordReplyRequest { prospect_id, body, request_id, ..Default::default() };
        let call = || async { api.agent.clone().record_reply(request.clone()).await };
        if insist(run, "RecordReply", call).await.is_some() {
            self.replies += 1;
            self.calls += 1;
        }
    }

    /// Redis may be away: what is cached is promised to nobody.
    async fn cache(&mut self, run: &Run, api: &Api, random: &Seeded) {
        let key = format!("key{}", random.below(50));
        let mut cache = api.cache.clone();
        let done = match random.below(4) {
            0 => {
                let text = prost_types::value::Kind::StringValue("x".repeat(random.below(2_000)));
                let value = Some(prost_types::Value { kind: Some(text) });
                let ttl = Some(prost_types::Duration { seconds: 60, nanos: 0 });
                cache.set_cache_entry(pb::SetCacheEntryRequest { key, value, ttl }).await.map(drop)
            }
            1 => cache.get_cache_entry(pb::GetCacheEntryRequest { key }).await.map(drop),
            2 => {
                let key = format!("counter{}", random.below(5));
                cache.increment_cache_counter(pb::IncrementCacheCounterRequest { key, delta: None }).await.map(drop)
            }
            _ => cache.delete_cache_entry(pb::DeleteCacheEntryRequest { key }).await.map(drop),
        };
        match done {
            Ok(()) => self.cache_calls += 1,
            Err(status) if passes(&status) || status.code() == Code::NotFound => {}
            Err(status) => run.fault(format!("the cache: {:?}: {}", status.code(), status.message())),
        }
    }

    /// By the command line, as a person does it.
    async fn import(&mut self, run: &Run, files: &Path, round: u64) {
        let (mut csv, mut emails) = ("email,company\n".to_owned(), Vec::new());
        for n in 0..BATCH {
            let email = format!("i{n}.{round}@{}.example", self.user);
            writeln!(csv, "{email},Company {n}").expect("a string");
            emails.push(email);
        }
        let file = files.join("import.csv");
        std::fs::write(&file, csv).expect("written");
        let mut command = command(&binary());
        command.args(["prospects", "import"]).arg(&file).args(["--user", &self.user]);
        command.env("HERALD_SERVER", format!("http://127.0.0.1:{}", run.port));
        let output = tokio::task::spawn_blocking(move || command.output().expect("it ends")).await.expect("no panic");
        // Otherwise the server was away; nothing was said to be there.
        if output.status.success() {
            self.imported.extend(emails);
            self.calls += 1;
        }
    }

    /// One campaign after the other, each reviewed, to its end.
    async fn campaigns(mut self, run: Run, n: u64, website: String) -> Self {
        let random = run.random(100 + n);
        let Some(api) = connect(&run, &self.user).await else { return self };
        for round in 0.. {
            if run.is_over() {
                break;
            }
            if round < 4 {
                self.create(&run, &api, batch(&self.user, "c", round, BATCH, 0)).await;
            }
            self.campaign(&run, &api, &website, round).await;
            // At most ten starts a minute are let through.
            tokio::time::sleep(between(&random, Duration::from_secs(6), Duration::from_secs(12))).await;
        }
        self
    }

    async fn campaign(&mut self, run: &Run, api: &Api, website: &str, round: u64) -> Option<()> {
        let start = pb::StartWorkflowRequest {
            website: website.to_owned(),
            template_id: TEMPLATE.to_owned(),
            max_prospects: CAMPAIGN,
            request_id: format!("campaign {round}"),
            ..Default::default()
        };
        let call = || async { api.workflow.clone().start_workflow(start.clone()).await };
        let campaign_id = insist(run, "StartWorkflow", call).await?.into_inner().campaign?.id;
        loop {
            let get = pb::GetWorkflowRequest { campaign_id: campaign_id.clone() };
            let call = || async { api.workflow.clone().get_workflow(get.clone()).await };
            let now = insist(run, "GetWorkflow", call).await?.into_inner().campaign?;
            if now.state() == pb::CampaignState::WaitingApproval {
                self.review(run, api, &campaign_id).await?;
            } else if now.state() == pb::CampaignState::Completed {
                break;
            } else if now.end_time.is_some() || Instant::now() > run.patience {
                run.fault(format!("a campaign of {} ends as {:?}: {}", self.user, now.state(), now.failure));
                return None;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let sent = self.emails(run, api, &campaign_id, pb::EmailStatus::Sent).await?.len();
        self.sent.insert(campaign_id, sent);
        Some(())
    }

    async fn emails(&self, run: &Run, api: &Api, campaign: &str, status: pb::EmailStatus) -> Option<Vec<pb::Email>> {
        let campaign_id = campaign.to_owned();
        let list = pb::ListWorkflowEmailsRequest {
            campaign_id,
            page_size: 1_000,
            status: status.into(),
            ..Default::default()
        };
        let call = || async { api.workflow.clone().list_workflow_emails(list.clone()).await };
        Some(insist(run, "ListWorkflowEmails", call).await?.into_inner().emails)
    }

    /// One rejected, one with words of one's own, the others as they are.
    async fn review(&mut self, run: &Run, api: &Api, campaign: &str) -> Option<()> {
        let emails = self.emails(run, api, campaign, pb::EmailStatus::Unspecified).await?;
        let mut reviews = Vec::new();
        if let [first, second, ..] = &emails[..] {
            let review = |email: &pb::Email, decision: pb::ReviewDecision| pb::EmailReview {
                email_id: email.id.clone(),
                decision: decision.into(),
                ..Default::default()
            };
            reviews.push(review(first, pb::ReviewDecision::Reject));
            let own = Some("In words of one's own.".to_owned());
            reviews.push(pb::EmailReview { body: own, ..review(second, pb::ReviewDecision::Approve) });
        }
        let others = pb::ReviewDecision::Approve.into();
        let request = pb::ReviewEmailsRequest { campaign_id: campaign.to_owned(), reviews, others };
        loop {
            match api.workflow.clone().review_emails(request.clone()).await {
                Ok(_) => break,
                // Done, and not answered: the campaign has gone on.
                Err(status) if status.code() == Code::FailedPrecondition => break,
                Err(status) if passes(&status) && Instant::now() < run.patience => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(status) => {
                    run.fault(format!("ReviewEmails: {:?}: {}", status.code(), status.message()));
                    return None;
                }
            }
        }
        self.calls += 1;
        Some(())
    }
}

// === impl Ledgers ===

impl Ledgers {
    /// Compares what is there with what was acknowledged.
    pub async fn check(&self, run: &Run) {
        for ledger in &self.all {
            let Some(api) = connect(run, &ledger.user).await else { continue };
            let mut there = HashMap::new();
            let mut page_token = String::new();
            loop {
                let page = pb::ListProspectsRequest { page_size: 1_000, page_token, ..Default::default() };
                let page = api.agent.clone().list_prospects(page).await.expect("a list").into_inner();
                there.extend(page.prospects.into_iter().map(|prospect| (prospect.email.clone(), prospect)));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            for (email, id) in &ledger.created {
                match there.get(email) {
                    Some(found) if found.id == *id => {
                        let company = ledger.company.get(id);
                        if company.is_some_and(|company| *company != found.company) {
                            run.fault(format!("{email}: {}, not the acknowledged {company:?}", found.company));
                        }
                    }
                    other => run.fault(format!("{email} was acknowledged as {id}, and is {other:?}")),
                }
            }
            for email in ledger.imported.iter().filter(|email| !there.contains_key(*email)) {
                run.fault(format!("{email} was imported, and is lost"));
            }
        }
    }

    /// How many mails each campaigner was told to have been sent.
    pub fn sent(&self) -> Vec<(String, usize)> {
        let campaigners = self.all.iter().filter(|ledger| !ledger.sent.is_empty());
        campaigners.map(|ledger| (ledger.user.clone(), ledger.sent.values().sum())).collect()
    }

    pub fn rows(&self) -> Vec<(String, String)> {
        let sum = |of: fn(&Ledger) -> u64| self.all.iter().map(of).sum::<u64>().to_string();
        vec![
            ("calls answered, but for the cache".into(), sum(|ledger| ledger.calls)),
            ("calls of the cache answered".into(), sum(|ledger| ledger.cache_calls)),
            ("batches acknowledged".into(), sum(|ledger| ledger.batches)),
            ("prospects acknowledged, all there".into(), sum(|ledger| ledger.created.len() as u64)),
            ("prospects imported by hand, all there".into(), sum(|ledger| ledger.imported.len() as u64)),
            ("replies recorded".into(), sum(|ledger| ledger.replies)),
            ("campaigns to their end".into(), sum(|ledger| ledger.sent.len() as u64)),
            ("mails said to be sent".into(), sum(|ledger| ledger.sent.values().sum::<usize>() as u64)),
            ("streams watched".into(), self.watched.to_string()),
        ]
    }
}
