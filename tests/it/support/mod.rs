//! What the suites share: a server of their own each, its clients, a website, and child processes.

pub mod kill;
pub mod postfix;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod rpc;
pub mod site;
pub mod smtp;
pub mod token;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use herald::app::{self, AppError, Ready, Seams};
use herald::auth::Authenticator;
use herald::cli::{Api, Connection};
use herald::config::{Auth, Config, Secret};
use herald::domain::clock::{Clock, Random, SystemClock, SystemRandom, Timestamp};
use herald::pb;
use herald::tenant::{Caller, Scope};
use http::HeaderMap;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use token::Authority;

pub const SECRET: &str = "a secret of the tests, long enough for HS256";

/// A server in this process, with a data folder and a port of its own.
pub struct TestApp {
    pub address: SocketAddr,
    pub ready: Ready,
    pub data: TempDir,
    config: Config,
    /// Dropped with it, so that an application that a test is done with ends.
    stop: DropGuard,
    served: JoinHandle<Result<(), AppError>>,
}

/// A development server's settings in the folder: quick retries, private addresses allowed.
pub fn config(data: &TempDir) -> Config {
    let mut config = Config { listen: loopback(), data_dir: data.path().to_owned(), dev: true, ..Config::default() };
    config.auth.hs256_secret = Secret::new(SECRET);
    config.fetch.allow_private = true;
    config.engine.retry_millis = 20;
    config
}

/// The scope of a development user, as the auth layer makes it.
pub async fn scope(user: &str) -> Scope {
    caller(user).await.scope().clone()
}

/// A development user as the auth layer makes it.
pub async fn caller(user: &str) -> Caller {
    let authenticator = Authenticator::new(&Auth::default(), true, Arc::new(SystemClock)).expect("no keys");
    let mut headers = HeaderMap::new();
    headers.insert("x-user-id", user.parse().expect("a header"));
    authenticator.caller(&headers, None).await.expect("a caller")
}

pub fn seams() -> Seams {
    Seams {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        connectors: None,
        files: None,
        run_engine: true,
    }
}

/// A clock that stands until it is set.
pub struct TestClock(AtomicI64);

/// Random bytes that are the same for the same seed: SplitMix64.
pub struct Seeded(AtomicU64);

impl TestClock {
    /// Some time in 2026.
    pub const START: i64 = 1_780_000_000_000_000;

    pub fn new() -> Self {
        Self(AtomicI64::new(Self::START))
    }

    pub fn set_after_start(&self, time: Duration) {
        self.0.store(Self::START + time.as_micros() as i64, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Whether the full counts are asked for, as `make test-deep` does.
pub fn deep() -> bool {
    std::env::var_os("TEST_DEEP").is_some()
}

/// The seeds of this run: `HERALD_SEEDS=from..to`, or the first `count`.
pub fn seeds(count: u64) -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("HERALD_SEEDS") else { return 0..count };
    let ends = range.split_once("..").map(|(from, to)| (from.parse(), to.parse()));
    let Some((Ok(from), Ok(to))) = ends else { panic!("HERALD_SEEDS is {range}, not such as 100..200") };
    from..to
}

/// For its user alone, as a data folder must be.
pub fn folder() -> TempDir {
    let mode = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(mode).tempdir().expect("a temporary folder")
}

/// Why no server starts with these settings.
pub async fn refused_start(config: Config) -> String {
    let listener = TcpListener::bind(config.listen).await.expect("a free port");
    let run = app::run(config, seams(), listener, CancellationToken::new(), |_| ());
    run.await.expect_err("it starts").to_string()
}

impl TestApp {
    pub async fn start() -> Self {
        let data = folder();
        let config = config(&data);
        Self::with(data, config, seams()).await
    }

    /// One whose tenants may have so many live campaigns.
    pub async fn with_live_campaigns(max: u32) -> Self {
        let data = folder();
        let mut config = config(&data);
        config.limits.live_campaigns = max;
        Self::with(data, config, seams()).await
    }

    pub async fn with(data: TempDir, config: Config, seams: Seams) -> Self {
        let listener = TcpListener::bind(config.listen).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let (tell, told) = oneshot::channel();
        let run = app::run(config.clone(), seams, listener, stop.clone(), |ready| {
            let _ = tell.send(ready);
        });
        let served = tokio::spawn(run);
        let Ok(ready) = told.await else { panic!("the server does not become ready: {:?}", served.await) };
        Self { address, ready, data, config, stop: stop.drop_guard(), served }
    }

    /// Its database, beside it.
    pub async fn database(&self) -> SqliteConnection {
        let url = format!("sqlite://{}", self.data.path().join("herald.db").display());
        SqliteConnection::connect(&url).await.expect("the database")
    }

    /// The same over TLS, with the files of the authority; if `mutual`, clients must show a certificate.
    pub async fn over_tls(files: &Authority, mutual: bool) -> Self {
        let data = folder();
        let mut config = config(&data);
        config.tls.certificate_file = files.file("server.pem");
        config.tls.key_file = files.file("server.key");
        if mutual {
            config.tls.client_ca_file = files.file("ca.pem");
        }
        Self::with(data, config, seams()).await
    }

    /// The services, as the development user `user`.
    pub async fn user(&self, user: &str) -> Api {
        self.api(None, Some(user)).await
    }

    pub async fn token(&self, token: &str) -> Api {
        self.api(Some(token), None).await
    }

    pub async fn api(&self, token: Option<&str>, user: Option<&str>) -> Api {
        let (token, user) = (token.map(str::to_owned), user.map(str::to_owned));
        let connection = Connection { token, user, ..Connection::to(format!("http://{}", self.address)) };
        connection.open().await.expect("the server can be reached")
    }

    /// A connection for [`rpc`]'s calls.
    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("an address");
        endpoint.connect().await.expect("the server can be reached")
    }

    /// A call whose headers and body are made by hand, of a method such as `AgentService/GetProspect`.
    pub fn by_hand(&self, method: &str, content_type: &str) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
        let call = client.post(format!("http://{}/herald.v1.{method}", self.address));
        call.header("content-type", content_type).header("te", "trailers")
    }

    /// Stops, and gives back the folder.
    pub async fn stop(self) -> (TempDir, Config) {
        drop(self.stop);
        self.served.await.expect("no panic").expect("a clean stop");
        (self.data, self.config)
    }

    /// Stops and starts again on the same folder.
    pub async fn restart(self) -> Self {
        let (data, config) = self.stop().await;
        Self::with(data, config, seams()).await
    }

    pub fn outbox(&self, tenant: &str) -> PathBuf {
        outbox(self.data.path(), tenant)
    }
}

pub fn outbox(data: &std::path::Path, tenant: &str) -> PathBuf {
    data.join("users").join(tenant).join("outbox")
}

/// The names of the .eml files in a folder, sorted; none if the folder is not there.
pub fn eml_files(outbox: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(outbox) else { return Vec::new() };
    let names = entries.map(|e| e.expect("an entry").file_name().into_string().expect("a plain name"));
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".eml")).collect();
    names.sort();
    names
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The reason of a refusal's ErrorInfo.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"));
    assert_eq!(info.domain, "herald");
    info.reason.clone()
}

/// `count` prospects, the first with a good fit.
pub fn prospects(count: usize) -> Vec<pb::Prospect> {
    let one = |n: usize| pb::Prospect {
        email: format!("person{n}@company{n}.example"),
        company: format!("Company {n}"),
        contact_name: format!("Person {n}"),
        industry: if n.is_multiple_of(2) { "Horticulture".to_owned() } else { "Banking".to_owned() },
        position: "Head of Operations".to_owned(),
        ..Default::default()
    };
    (0..count).map(one).collect()
}

pub async fn add_prospects(api: &mut Api, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for chunk in prospects(count).chunks(1_000) {
        let request = pb::BatchCreateProspectsRequest { prospects: chunk.to_vec(), request_id: String::new() };
        let answer = api.agent.batch_create_prospects(request).await.expect("created").into_inner();
        ids.extend(answer.results.into_iter().map(|r| r.prospect_id));
    }
    ids
}

pub const TEMPLATE: &str = "professional_partnership";

/// Starts a campaign with a template, on the website at `website`, which writes to everybody, again too.
pub async fn start_campaign(api: &mut Api, website: &str) -> pb::Campaign {
    let request = pb::StartWorkflowRequest {
        website: website.to_owned(),
        template_id: TEMPLATE.to_owned(),
        recipients: Some(pb::RecipientRules { not_again_days: Some(0), ..Default::default() }),
        ..Default::default()
    };
    campaign(api.workflow.start_workflow(request).await.expect("started").into_inner().campaign)
}

pub async fn auto_approve(api: &mut Api) {
    let config = pb::AgentConfig { auto_approve: true, ..Default::default() };
    let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
    api.agent.update_agent_config(request).await.expect("configured");
}

pub async fn approve_all(api: &mut Api) -> pb::Campaign {
    let request = pb::ReviewEmailsRequest { others: pb::ReviewDecision::Approve.into(), ..Default::default() };
    campaign(api.workflow.review_emails(request).await.expect("reviewed").into_inner().campaign)
}

/// The newest campaign.
pub async fn newest(api: &mut Api) -> pb::Campaign {
    let request = pb::GetWorkflowRequest { campaign_id: String::new() };
    campaign(api.workflow.get_workflow(request).await.expect("there is one").into_inner().campaign)
}

/// Waits until the newest campaign is in the state.
pub async fn reaches(api: &mut Api, state: pb::CampaignState) -> pb::Campaign {
    becomes(api, "", |now| now.state() == state).await
}

/// Waits until a campaign, the newest for an empty id, is as it is to be.
pub async fn becomes(api: &mut Api, id: &str, is_so: impl Fn(&pb::Campaign) -> bool) -> pb::Campaign {
    let mut last = None;
    for _ in 0..1_500 {
        let request = pb::GetWorkflowRequest { campaign_id: id.to_owned() };
        let now = campaign(api.workflow.get_workflow(request).await.expect("a campaign").into_inner().campaign);
        if is_so(&now) {
            return now;
        }
        last = Some(now);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the campaign does not become what it is to be: {last:#?}");
}

/// The newest campaign, once it is on hold.
pub async fn held(api: &mut Api) -> pb::Campaign {
    becomes(api, "", |now| !now.hold.is_empty()).await
}

pub fn campaign(campaign: Option<pb::Campaign>) -> pb::Campaign {
    campaign.expect("an answer holds its campaign")
}

/// The whole history of a campaign that has ended, from after `after`.
pub async fn history(api: &mut Api, campaign_id: &str, after: i64) -> Vec<pb::CampaignEvent> {
    let request = pb::WatchWorkflowRequest { campaign_id: campaign_id.to_owned(), after_seq: Some(after) };
    let mut stream = api.workflow.watch_workflow(request).await.expect("a stream").into_inner();
    let mut events = Vec::new();
    while let Some(message) = stream.message().await.expect("the stream ends well") {
        match message.update {
            Some(pb::watch_workflow_response::Update::Event(event)) => events.push(event),
            other => panic!("an event was expected: {other:?}"),
        }
    }
    events
}

/// A mailbox that sends at any time, as fast as it can.
pub fn any_time() -> pb::Mailbox {
    let time = |hours| Some(pb::TimeOfDay { hours, minutes: 0 });
    pb::Mailbox {
        pace: Some(pb::Pace {
            max_emails_per_hour: Some(0),
            max_emails_per_day: Some(0),
            min_pause_seconds: Some(0),
            max_pause_seconds: Some(0),
            ..Default::default()
        }),
        calendar: Some(pb::Calendar {
            days: (1..=7).collect(),
            hours: Some(pb::WorkingHours { start: time(0), end: time(24) }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A mailbox of that address, whose mail goes into the outbox folder.
pub async fn outbox_mailbox(api: &mut Api, address: &str) {
    let (address, kind) = (address.to_owned(), pb::MailboxKind::Outbox.into());
    let mailbox = Some(pb::Mailbox { address, kind, ..Default::default() });
    api.mailbox.create_mailbox(pb::CreateMailboxRequest { mailbox, ..Default::default() }).await.expect("created");
}

/// For connectors that talk with no mail server.
pub fn no_smtp() -> Arc<herald::connect::smtp::Connections> {
    Arc::new(herald::connect::smtp::Connections::new(herald::connect::smtp::Settings::default()).expect("set up"))
}
