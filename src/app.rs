//! Puts the parts together: from a [`Config`], everything that serves.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;

use crate::auth::{Authenticator, Guard, KeyError, Policy, PolicyError};
use crate::cache::{RedisError, SWEEP, TenantCache};
use crate::config::{self, Config};
use crate::connect::{self, Connectors, Outbox, WebFetch, smtp};
use crate::domain::clock::{Clock, Random, SystemClock, SystemRandom};
use crate::domain::id::Ids;
use crate::engine::{self, Engine};
use crate::files::{DataDir, DataDirError, Exposed, Files, FilesConfigError, keep_private};
use crate::pb;
use crate::publish::{Places, publish_states};
use crate::read_cache::ReadCache;
use crate::rpc;
use crate::status::MAX_OPEN_MESSAGE;
use crate::store::{MasterKey, MasterKeyError, OpenError, Store};
use crate::telemetry::CallIds;
use crate::transport::{self, Doors, Front, Gate, Links, Readiness, TlsError};
use crate::wire::{ShapeError, Shapes};

/// The seams: what tests put in place of the real world.
#[derive(Clone)]
pub struct Seams {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// None: those that the configuration names.
    pub connectors: Option<Connectors>,
    /// None: where the configuration says.
    pub files: Option<Arc<Files>>,
    /// False: nothing happens by itself; a test steps the engine, and publishes.
    pub run_engine: bool,
}

/// Why the server did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("master_key (HERALD_MASTER_KEY)")]
    MasterKey(#[from] MasterKeyError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error(transparent)]
    Cache(#[from] RedisError),
    #[error(transparent)]
    Files(#[from] FilesConfigError),
    #[error("mail.ca_file")]
    Smtp(#[from] smtp::SetupError),
    #[error("the HTTP client cannot be made")]
    Fetch(#[from] reqwest::Error),
    #[error("the descriptors cannot be served")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("admin.listen: cannot listen on {address}")]
    Admin { address: String, source: std::io::Error },
    #[error("server.links_listen: cannot listen on {address}")]
    Links { address: String, source: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Exposed(#[from] Exposed),
    #[error("the port is no longer served")]
    Port(#[from] tokio::task::JoinError),
}

/// What is there once the server is ready; for tests and for those who embed it.
#[derive(Clone)]
pub struct Ready {
    pub store: Arc<Store>,
    pub engine: Arc<Engine>,
    pub cache: Arc<TenantCache>,
    pub files: Arc<Files>,
}

/// How long the engine's turns may take to end, once calls have.
const ENGINE_STOP: Duration = Duration::from_secs(5);

/// How long answers on the admin port may take to end, last of all.
const ADMIN_STOP: Duration = Duration::from_millis(500);

impl Default for Seams {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            connectors: None,
            files: None,
            run_engine: true,
        }
    }
}

/// Serves on the listener until `stop` is cancelled. `ready` is called once calls are answered.
///
/// The data folder is locked before anything else; health is served, as NOT_SERVING, while the store opens.
pub async fn run(
    config: Config,
    seams: Seams,
    listener: TcpListener,
    stop: CancellationToken,
    ready: impl FnOnce(Ready),
) -> Result<(), AppError> {
    let data = Arc::new(DataDir::lock(&config.data_dir)?);
    let begun = UNIX_EPOCH + Duration::from_millis(SystemClock.now().unix_millis());
    if !config.dev {
        data.refuse_case_insensitive()?;
    }
    let master_key = master_key(&config, &data, &*seams.random)?;

    let (health, health_service) = tonic_health::server::health_reporter();
    for service in SERVICES {
        health.set_service_status(service, ServingStatus::NotServing).await;
    }
    let mut open = Routes::builder();
    open.add_service(health_service.max_decoding_message_size(MAX_OPEN_MESSAGE));
    open.add_service(reflection().build_v1()?.max_decoding_message_size(MAX_OPEN_MESSAGE));
    open.add_service(reflection().build_v1alpha()?.max_decoding_message_size(MAX_OPEN_MESSAGE));

    let guard = Guard {
        policy: Arc::new(Policy::load()?),
        authenticator: Arc::new(Authenticator::new(&config.auth, config.dev, seams.clock.clone())?),
    };
    // What the settings may have wrong comes before anything is served.
    let tls = tls(&config)?;
    let mail_servers = mail_servers(&config.mail)?;
    let cache = Arc::new(TenantCache::new(&config.cache, seams.clock.clone())?);
    let files = match seams.files {
        Some(files) => files,
        None => Arc::new(Files::new(&config.files, data.clone())?),
    };
    let ready_now = Readiness::default();
    let admin_until = CancellationToken::new();
    let admin = listen_admin(&config).await?;
    let links_listener = listen_for_links(&config).await?;
    let links = config.public_url().map(|public_url| Links::new(&public_url));
    let addresses: Vec<_> = [Some(&listener), admin.as_ref(), links_listener.as_ref()]
        .into_iter()
        .flatten()
        .flat_map(TcpListener::local_addr)
        .collect();
    if let Err(error) = data.tell(&addresses) {
        tracing::warn!(%error, "the lock does not say which ports are served; `herald check` takes them for somebody else's");
    }
    let admin =
        admin.map(|listener| tokio::spawn(transport::serve_admin(listener, ready_now.clone(), admin_until.clone())));

    let gate = Gate::new(&config.server, &config.fairness, Shapes::load()?);
    let longest = Duration::from_secs(config.server.request_timeout_seconds);
    let call_ids = CallIds::new(&*seams.random);
    let front = Front::new(open.routes(), gate.clone(), guard, longest, call_ids, config.dev);
    let served_until = CancellationToken::new();
    let mut serving = {
        let doors = Doors { listener, front, tls, links: links.clone(), links_listener };
        let (settings, dev, until) = (config.server.clone(), config.dev, served_until.clone());
        tokio::spawn(async move { transport::serve(doors, &settings, dev, until).await })
    };

    let ids = Ids::new(seams.clock.clone(), seams.random.clone());
    let store = Store::open(&data.make_database()?, master_key, ids, config.fairness.turns).await?;
    let connectors = match seams.connectors {
        Some(connectors) => connectors,
        None => Connectors {
            fetch: Arc::new(WebFetch::new(&config.fetch)?),
            mail: Arc::new(Outbox::new(files.clone(), seams.clock.clone())),
            smtp: Arc::new(mail_servers),
        },
    };
    let settings = engine::Settings::new(
        &config.engine,
        &config.fetch,
        &config.retention,
        config.has_outbox(),
        config.dev,
        config.public_url(),
    );
    let smtp = connectors.smtp.clone();
    let engine = Engine::new(store.clone(), connectors, settings);
    let publish_until = CancellationToken::new();
    let streams_until = CancellationToken::new();
    let places = Places { store: store.clone(), engine: engine.clone(), cache: cache.clone(), files: files.clone() };
    let reads = ReadCache::new(config.read_cache.memory_bytes, store.freshness().clone());
    if let Some(links) = links {
        links.open(store.clone());
    }
    gate.open(services(&config, &places, smtp.clone(), &streams_until), reads);
    let mut publisher = None;
    if seams.run_engine {
        engine.start();
        publisher = Some(tokio::spawn(publish_states(places, publish_until.clone())));
        let asked = cache.clone();
        tokio::spawn(async move { asked.tell_if_away().await });
        let (swept, until) = (cache.clone(), publish_until.clone());
        tokio::spawn(async move { swept.sweep_forever(SWEEP, until).await });
        tokio::task::spawn_blocking(move || sweep(&data, begun));
    }
    for service in SERVICES {
        health.set_service_status(service, ServingStatus::Serving).await;
    }
    ready_now.store(true, Ordering::Relaxed);
    ready(Ready { store: store.clone(), engine: engine.clone(), cache, files });

    let ended = tokio::select! {
        () = stop.cancelled() => None,
        ended = &mut serving => Some(ended),
    };
    for service in SERVICES {
        health.set_service_status(service, ServingStatus::NotServing).await;
    }
    ready_now.store(false, Ordering::Relaxed);
    streams_until.cancel();
    served_until.cancel();
    let ended = match ended {
        Some(ended) => ended,
        None => serving.await,
    };
    if tokio::time::timeout(ENGINE_STOP, engine.stop()).await.is_err() {
        tracing::warn!("turns had not ended when the engine's time to stop was up; the next start goes on with them");
    }
    smtp.close().await;
    publish_until.cancel();
    if let Some(publisher) = publisher {
        let _ = publisher.await;
    }
    store.close().await;
    admin_until.cancel();
    if let Some(admin) = admin {
        // It ends within a moment; a client that keeps its connection is not waited for.
        let _ = tokio::time::timeout(ADMIN_STOP, admin).await;
    }
    Ok(ended?)
}

/// Binds the port of the settings.
pub async fn listen(config: &Config) -> Result<TcpListener, AppError> {
    let address = config.listen;
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, source })
}

/// Binds the admin port, if one is configured.
pub async fn listen_admin(config: &Config) -> Result<Option<TcpListener>, AppError> {
    let address = &config.admin.listen;
    if address.is_empty() {
        return Ok(None);
    }
    let failed = |source| AppError::Admin { address: address.clone(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    tracing::info!(address = %listener.local_addr().map_err(failed)?, "admin.ready");
    Ok(Some(listener))
}

/// Binds the address of links alone, if one is configured.
pub async fn listen_for_links(config: &Config) -> Result<Option<TcpListener>, AppError> {
    let address = &config.server.links_listen;
    if address.is_empty() {
        return Ok(None);
    }
    let failed = |source| AppError::Links { address: address.clone(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    tracing::info!(address = %listener.local_addr().map_err(failed)?, "links.ready");
    Ok(Some(listener))
}

/// What accepts connections over TLS; None for plain text.
pub fn tls(config: &Config) -> Result<Option<TlsAcceptor>, AppError> {
    // First what the files are: the mode of a certificate that stands in the key's place is no matter.
    let tls = transport::tls(&config.tls)?;
    if tls.is_some() {
        keep_private("tls.key_file", Path::new(&config.tls.key_file))?;
    }
    Ok(tls)
}

/// What health is told of; the empty name is the whole server's.
const SERVICES: [&str; 6] = [
    "",
    pb::agent_service_server::SERVICE_NAME,
    pb::cache_service_server::SERVICE_NAME,
    pb::mailbox_service_server::SERVICE_NAME,
    pb::tenant_service_server::SERVICE_NAME,
    pb::workflow_service_server::SERVICE_NAME,
];

/// What talks with the mail servers of the tenants' mailboxes.
pub fn mail_servers(mail: &config::Mail) -> Result<smtp::Connections, AppError> {
    let guard = connect::Guard { private: mail.allow_private, networks: mail.networks.clone() };
    let authorities = (!mail.ca_file.is_empty()).then(|| PathBuf::from(&mail.ca_file));
    Ok(smtp::Connections::new(smtp::Settings { guard, authorities, ..smtp::Settings::default() })?)
}

/// Removes what a killed process has left half-written.
fn sweep(data: &DataDir, begun: SystemTime) {
    match data.sweep(begun) {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "files.swept"),
        Err(error) => tracing::warn!(%error, "what a killed process has left half-written cannot be removed"),
    }
}

fn services(config: &Config, places: &Places, smtp: Arc<smtp::Connections>, stop: &CancellationToken) -> Routes {
    let Places { store, engine, cache, files } = places;
    let streams = rpc::Streams {
        longest: Duration::from_secs(config.server.max_stream_seconds),
        heartbeat: Duration::from_secs(config.server.heartbeat_seconds),
    };
    let (most_in, most_out) = (config.server.max_request_bytes, config.server.max_response_bytes);
    let keep_deleted = Duration::from_secs(config.retention.deleted_prospects_days * 24 * 60 * 60);
    let answers = rpc::Answers::new(most_out);
    let agent = rpc::Agent::new(store.clone(), cache.clone(), files.clone(), keep_deleted, answers.clone());
    let agent = pb::agent_service_server::AgentServiceServer::new(agent);
    let cache = pb::cache_service_server::CacheServiceServer::new(rpc::Cache::new(cache.clone(), answers.clone()));
    let mailboxes = rpc::Mailboxes::new(store.clone(), smtp, config.has_outbox());
    let mailboxes = pb::mailbox_service_server::MailboxServiceServer::new(mailboxes);
    let tenant = rpc::Tenant::new(store.clone(), files.clone(), answers.clone());
    let tenant = pb::tenant_service_server::TenantServiceServer::new(tenant);
    let starts = rpc::StartLimits { per_minute: config.fairness.starts_per_minute, live: config.limits.live_campaigns };
    let workflow = rpc::Workflow::new(store.clone(), engine.clone(), stop.clone(), streams, starts, answers);
    let workflow = pb::workflow_service_server::WorkflowServiceServer::new(workflow);
    let mut routes = Routes::builder();
    routes.add_service(agent.max_decoding_message_size(most_in).max_encoding_message_size(most_out));
    routes.add_service(cache.max_decoding_message_size(most_in).max_encoding_message_size(most_out));
    routes.add_service(mailboxes.max_decoding_message_size(most_in).max_encoding_message_size(most_out));
    routes.add_service(tenant.max_decoding_message_size(most_in).max_encoding_message_size(most_out));
    routes.add_service(workflow.max_decoding_message_size(most_in).max_encoding_message_size(most_out));
    routes.routes().prepare()
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
}

/// The configured key; under `dev` one that is made in the data folder.
fn master_key(config: &Config, data: &DataDir, random: &dyn Random) -> Result<MasterKey, AppError> {
    let configured = config.master_key.expose();
    if !configured.is_empty() {
        return Ok(MasterKey::parse(configured)?);
    }
    let text = data.dev_master_key(|| MasterKey::generate(random).to_base64())?;
    Ok(MasterKey::parse(&text)?)
}

/// Cancelled by SIGTERM or Ctrl-C.
pub fn stop_on_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
