//! The tenants' files: in a folder, in an S3-compatible store, and in a store that is full.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use herald::app::Seams;
use herald::cli::Api;
use herald::config::Secret;
use herald::files::Files;
use herald::pb::{self, CampaignState};
use object_store::memory::InMemory;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use serde_json::Value;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::process::serve;
use crate::support::site;
use crate::support::{
    TestApp, add_prospects, approve_all, auto_approve, config, eml_files, folder, outbox, prospects, reaches, reason,
    scope, seams, start_campaign,
};

const NAMES: [&str; 4] = ["campaign-config.json", "config.json", "emails.json", "prospects.json"];

/// A campaign to its end, with a password that must not be seen.
async fn run_campaign(api: &mut Api, website: &str) {
    add_prospects(api, 3).await;
    let smtp = pb::SmtpServer { password: "correct horse battery".into(), ..Default::default() };
    let outbox = pb::MailboxKind::Outbox.into();
    let mailbox =
        pb::Mailbox { address: "ruth@a.example".into(), kind: outbox, smtp: Some(smtp), ..Default::default() };
    let create = pb::CreateMailboxRequest { mailbox: Some(mailbox), request_id: String::new() };
    api.mailbox.create_mailbox(create).await.expect("created");
    let config = pb::AgentConfig { auto_approve: true, location: "Mosel".into(), ..Default::default() };
    let update = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
    api.agent.update_agent_config(update).await.expect("changed");
    start_campaign(api, website).await;
    reaches(api, CampaignState::Completed).await;
}

/// What the files of a tenant must hold after [`run_campaign`].
fn check(files: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), NAMES);
    let json = |name: &str| serde_json::from_slice::<Value>(&files[name]).expect("JSON");
    let all: Vec<u8> = files.values().flatten().copied().collect();
    assert!(!String::from_utf8_lossy(&all).contains("correct horse"), "no secret is in a file");
    let config = json("config.json");
    assert_eq!(config["location"], "Mosel");
    assert_eq!(json("campaign-config.json")["templateId"], crate::support::TEMPLATE);
    let (prospects, emails) = (json("prospects.json"), json("emails.json"));
    assert_eq!(prospects.as_array().map(Vec::len), Some(3));
    assert_eq!(prospects[0]["status"], "PROSPECT_STATUS_CONTACTED");
    let emails = emails.as_array().expect("an array");
    assert!(emails.len() == 3 && emails.iter().all(|email| email["status"] == "EMAIL_STATUS_SENT"));
}

/// The files in a tenant's folder, its outbox aside. The server works beside the look: a name may be renamed or gone
/// before it is read.
pub fn local_files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let mut files = BTreeMap::new();
    for path in entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()) {
        match std::fs::read(&path) {
            Ok(bytes) => files.insert(path.file_name().expect("a name").to_string_lossy().into_owned(), bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => panic!("{}: {error}", path.display()),
        };
    }
    files
}

/// Waits until the files are written, soon after the campaign's end.
async fn written(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    for _ in 0..500 {
        let files = local_files(folder);
        if files.get("emails.json").is_some_and(|emails| String::from_utf8_lossy(emails).contains("EMAIL_STATUS_SENT"))
        {
            return files;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no files in {}", folder.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaigns_end_writes_the_tenants_files_for_the_services_user_alone() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    let server = serve(data.path(), &[]);
    for user in ["user_a", "auth0|5f7c"] {
        run_campaign(&mut server.user(user).await, &website).await;
        let own = data.path().join("users").join(user);
        check(&written(&own).await);
        assert_eq!(eml_files(&outbox(data.path(), user)).len(), 3);
        let mut paths: Vec<PathBuf> = vec![own.clone(), own.join("outbox")];
        paths.extend(NAMES.iter().map(|name| own.join(name)));
        paths.extend(eml_files(&own.join("outbox")).iter().map(|name| own.join("outbox").join(name)));
        for path in paths {
            let mode = std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
            assert_eq!(mode & 0o077, 0, "{} is {mode:o}", path.display());
        }
    }
    // When they are asked for, what has changed since is in them.
    let mut api = server.user("user_a").await;
    let more = pb::BatchCreateProspectsRequest { prospects: prospects(5), request_id: String::new() };
    api.agent.batch_create_prospects(more).await.expect("created");
    let answer = api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect("written").into_inner();
    let files = local_files(&data.path().join("users/user_a"));
    let sizes: BTreeMap<_, _> = answer.files.into_iter().map(|file| (file.name, file.size_bytes)).collect();
    assert_eq!(sizes, files.iter().map(|(name, bytes)| (name.clone(), bytes.len() as i64)).collect());
    let prospects: Value = serde_json::from_slice(&files["prospects.json"]).expect("JSON");
    assert_eq!(prospects.as_array().map(Vec::len), Some(5));

    // A tenant that has nothing yet has files that say so.
    let mut empty = server.user("empty").await;
    empty.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect("written");
    let files = local_files(&data.path().join("users/empty"));
    assert_eq!((&files["campaign-config.json"][..], &files["emails.json"][..]), (&b"null"[..], &b"[]\n"[..]));
}

#[tokio::test]
async fn what_a_killed_process_left_half_written_is_swept_at_the_next_start() {
    let data = folder();
    let own = data.path().join("users/user_a");
    std::fs::create_dir_all(own.join("outbox")).expect("made");
    for name in ["prospects.json#1", "config.json#12", "outbox/em_1.eml#1", "outbox/em_2.eml", "notes#x"] {
        std::fs::write(own.join(name), "half").expect("written");
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let settings = config(&data);
    let app = TestApp::with(data, settings, seams()).await;
    let left = || {
        let mut left: Vec<_> =
            local_files(&own).into_keys().chain(local_files(&own.join("outbox")).into_keys()).collect();
        left.sort();
        left
    };
    for _ in 0..250 {
        if left() == ["em_2.eml", "notes#x"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left(), ["em_2.eml", "notes#x"]);
    drop(app);
}

/// A real S3 API, moto's server.
pub struct S3 {
    child: Child,
    pub endpoint: String,
}

impl S3 {
    pub async fn start() -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("it").port();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/moto_server");
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto is installed by `make test`");
        let server = Self { child, endpoint: format!("http://127.0.0.1:{port}") };
        for _ in 0..1_000 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("moto does not listen");
    }

    fn client(&self) -> object_store::aws::AmazonS3 {
        object_store::aws::AmazonS3Builder::new()
            .with_bucket_name("herald")
            .with_region("us-east-1")
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_access_key_id("id")
            .with_secret_access_key("secret")
            .build()
            .expect("a client")
    }

    /// What is under the prefix, by its key.
    async fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        use futures_util::TryStreamExt as _;
        let client = self.client();
        let listed: Vec<ObjectMeta> = client.list(None).try_collect().await.expect("a list");
        let mut objects = BTreeMap::new();
        for object in listed {
            let bytes = client.get(&object.location).await.expect("it is there").bytes().await.expect("its bytes");
            objects.insert(object.location.to_string(), bytes.to_vec());
        }
        objects
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_s3(data: &tempfile::TempDir, endpoint: &str) -> herald::config::Config {
    let mut settings = config(data);
    settings.files.url = "s3://herald/some/prefix".to_owned();
    settings.files.endpoint = endpoint.to_owned();
    settings.files.access_key_id = Secret::new("id");
    settings.files.secret_access_key = Secret::new("secret");
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_s3_compatible_store_holds_the_same_files() {
    let website = site::pages([("/", site::company())]).await;
    let s3 = S3::start().await;
    // The bucket is made by hand, as an operator does.
    let made = reqwest::Client::new().put(format!("{}/herald", s3.endpoint)).send().await;
    assert!(made.expect("moto answers").status().is_success());

    let data = folder();
    let settings = in_s3(&data, &s3.endpoint);
    let app = TestApp::with(data, settings, seams()).await;
    for user in ["user_a", "auth0|5f7c"] {
        let mut api = app.user(user).await;
        run_campaign(&mut api, &website).await;
        api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect("written");
    }
    let objects = s3.objects().await;
    for user in ["user_a", "auth0|5f7c"] {
        let prefix = format!("some/prefix/{user}/");
        let own: BTreeMap<_, _> = objects
            .iter()
            .filter_map(|(key, bytes)| key.strip_prefix(&prefix).map(|name| (name.to_owned(), bytes.clone())))
            .collect();
        let (mail, files): (BTreeMap<_, _>, BTreeMap<_, _>) =
            own.into_iter().partition(|(name, _)| name.starts_with("outbox/"));
        check(&files);
        assert_eq!(mail.len(), 3, "{:?}", mail.keys());
        for bytes in mail.values() {
            assert!(mail_parser::MessageParser::default().parse(bytes).is_some_and(|mail| mail.message_id().is_some()));
        }
    }
    assert_eq!(objects.len(), 14, "{:?}", objects.keys());
    assert!(std::fs::read_dir(app.data.path().join("users")).expect("a folder").next().is_none(), "nothing local");
    // A reset removes the copies, and the outbox stays.
    let reset = pb::ResetAgentRequest { scope: pb::ResetScope::Everything.into() };
    let mut api = app.user("user_a").await;
    let mut left = Vec::new();
    // The files of the campaign's end may be written after the first reset, of what there is by then.
    for _ in 0..50 {
        api.agent.reset_agent(reset).await.expect("reset");
        left = s3.objects().await.into_keys().collect();
        if left.len() == 10 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_is_told_and_everything_else_goes_on() {
    let website = site::pages([("/", site::company())]).await;
    let data = folder();
    // Nobody listens there.
    let settings = in_s3(&data, "http://127.0.0.1:9");
    let app = TestApp::with(data, settings, seams()).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 1).await;
    let status = api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect_err("away");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "FILES_UNAVAILABLE"));
    assert!(!status.message().contains("127.0.0.1"), "{}", status.message());
    auto_approve(&mut api).await;
    start_campaign(&mut api, &website).await;
    let held = crate::support::held(&mut api).await;
    assert!(held.hold.starts_with("the outbox cannot be used"), "{}", held.hold);
    add_prospects(&mut app.user("user_b").await, 1).await;
}

/// A store whose disk can be full.
#[derive(Debug)]
struct Full {
    inner: InMemory,
    is_full: Arc<AtomicBool>,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full")
    }
}

#[async_trait]
impl ObjectStore for Full {
    async fn put_opts(&self, at: &StorePath, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        if self.is_full.load(Ordering::SeqCst) {
            // As the local store tells it: the cause is further down.
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(object_store::Error::Generic { store: "Full", source: Box::new(full) });
        }
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &StorePath,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &StorePath, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<StorePath>>,
    ) -> BoxStream<'static, StoreResult<StorePath>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_holds_the_campaign_and_leaves_the_old_files_whole() {
    let website = site::pages([("/", site::company())]).await;
    let is_full = Arc::new(AtomicBool::new(false));
    let store: Arc<dyn ObjectStore> = Arc::new(Full { inner: InMemory::new(), is_full: is_full.clone() });
    let data = folder();
    let settings = config(&data);
    let files = Some(Arc::new(Files::over(store.clone())));
    let app = TestApp::with(data, settings, Seams { files, ..seams() }).await;
    let mut api = app.user("user_a").await;
    add_prospects(&mut api, 2).await;
    start_campaign(&mut api, &website).await;
    reaches(&mut api, CampaignState::WaitingApproval).await;
    api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect("written");
    let file = StorePath::from("user_a/prospects.json");
    let old = store.get(&file).await.expect("there").bytes().await.expect("bytes");

    is_full.store(true, Ordering::SeqCst);
    add_prospects(&mut api, 3).await;
    let status = api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect_err("full");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "DISK_FULL"));
    assert_eq!(store.get(&file).await.expect("there").bytes().await.expect("bytes"), old);
    approve_all(&mut api).await;
    let held = crate::support::held(&mut api).await;
    assert_eq!((held.state(), held.hold.as_str()), (CampaignState::Running, "the disk is full"));
    is_full.store(false, Ordering::SeqCst);
    let done = reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(done.emails.expect("counts").sent, 2);
    api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect("there is room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_snapshot_is_written_one_more_waits_and_further_ones_are_refused_at_once() {
    let app = TestApp::start().await;
    let (writing, api) = (scope("user_a").await, app.user("user_a").await);
    let write =
        |mut api: Api| tokio::spawn(async move { api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await });
    for round in 0..2 {
        let held = app.ready.files.scope(&writing).lock_snapshot().await;
        let calls: Vec<_> = (0..10).map(|_| write(api.clone())).collect();
        // All but one answer while it is held.
        for _ in 0..250 {
            if calls.iter().filter(|call| call.is_finished()).count() == 9 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Another tenant minds nothing, and neither do those who always wait.
        app.user("user_b").await.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect("written");
        let waits = app.ready.files.scope(&writing);
        assert!(tokio::time::timeout(Duration::from_millis(20), waits.lock_snapshot()).await.is_err());
        drop(held);
        let (mut written, mut refused) = (0, 0);
        for call in calls {
            match call.await.expect("no panic") {
                Ok(_) => written += 1,
                Err(status) => {
                    assert_eq!(
                        (status.code(), reason(&status).as_str()),
                        (Code::ResourceExhausted, "TOO_MANY_SNAPSHOTS")
                    );
                    let after = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
                    assert_eq!(after, Some(Duration::from_secs(5)));
                    refused += 1;
                }
            }
        }
        assert_eq!((written, refused), (1, 9), "round {round}");
    }
}
