//! The connection to a server, as the command line needs it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::given;
use super::peer::{Met, Place, meet, step_by_step};
use super::refusal::Unanswered;
use crate::client::Credentials;
use crate::config::{Layers, shown};
use crate::domain::clock::{Clock as _, SystemClock};
use crate::pb::agent_service_client::AgentServiceClient;
use crate::pb::cache_service_client::CacheServiceClient;
use crate::pb::mailbox_service_client::MailboxServiceClient;
use crate::pb::tenant_service_client::TenantServiceClient;
use crate::pb::workflow_service_client::WorkflowServiceClient;
use crate::tenant::TenantId;
use crate::terminal::tell;

const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";

/// Which server, and as whom; what is empty is as if it were not given.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The server.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "HERALD_SERVER",
        hide_env_values = true,
        default_value = DEFAULT_SERVER,
        value_parser = server
    )]
    pub server: String,
    /// A bearer token.
    #[arg(long, global = true, env = "HERALD_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// A user id, which development servers take on its word.
    #[arg(long, global = true, env = "HERALD_USER")]
    pub user: Option<String>,
    /// How long a call may take; following a campaign takes as long as it takes.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = Connection::TIMEOUT, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    #[command(flatten)]
    pub tls: Tls,
}

/// For https:// servers.
#[derive(Args, Clone, Debug, Default)]
pub struct Tls {
    /// A PEM file with the authorities to trust instead of the public ones.
    #[arg(long, global = true, value_name = "FILE", env = "HERALD_CA")]
    pub ca: Option<PathBuf>,
    /// A PEM file with the certificate to show to servers that ask for one.
    #[arg(long, global = true, value_name = "FILE", env = "HERALD_CLIENT_CERTIFICATE", requires = "client_key")]
    pub client_certificate: Option<PathBuf>,
    /// A PEM file with its private key.
    #[arg(long, global = true, value_name = "FILE", env = "HERALD_CLIENT_KEY", requires = "client_certificate")]
    pub client_key: Option<PathBuf>,
}

fn server(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(if text.is_empty() { DEFAULT_SERVER } else { text }.to_owned())
}

type Stamped = InterceptedService<Channel, Credentials>;

/// The services of a server.
#[derive(Clone)]
pub struct Api {
    pub agent: AgentServiceClient<Stamped>,
    pub cache: CacheServiceClient<Stamped>,
    pub mailbox: MailboxServiceClient<Stamped>,
    pub tenant: TenantServiceClient<Stamped>,
    pub workflow: WorkflowServiceClient<Stamped>,
}

/// Results of a campaign with many prospects are larger than tonic's default of 4 MiB.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

impl Connection {
    /// To the server, as nobody, with what else is usual.
    pub fn to(server: String) -> Self {
        Self { server, token: None, user: None, timeout: Self::TIMEOUT, tls: Tls::default() }
    }

    /// How long a call may take where nothing is said, in seconds; longer than a server gives it, where nothing is set.
    pub const TIMEOUT: u64 = 60;

    /// Runs a command against the server. Where nobody answered it, the error says who is there instead.
    pub(super) fn run(&self, work: impl AsyncFnOnce(Api) -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
        warn_of_variables();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let error = match work(self.open().await?).await {
                Ok(code) => return Ok(code),
                Err(error) => error,
            };
            if error.to_string().contains("[CREDENTIALS_") {
                return Err(self.refused(error));
            }
            let Some(unanswered) = error.downcast_ref::<Unanswered>() else { return Err(error) };
            let met = self.met(Some(&unanswered.status)).await;
            // What was being done stands before it, without the words of the client's layers.
            let done = error.chain().take_while(|cause| !cause.is::<Unanswered>()).map(ToString::to_string);
            let then = if unanswered.then.is_empty() { String::new() } else { format!("\n  {}", unanswered.then) };
            Err(anyhow!("{}{then}", done.chain([format!("{met:#}")]).collect::<Vec<_>>().join(": ")))
        })
    }

    /// What is wrong with the credentials that were given; the error itself, if none were.
    fn refused(&self, error: anyhow::Error) -> anyhow::Error {
        let is_invalid = error.to_string().contains("[CREDENTIALS_INVALID]");
        match (self.token(), self.user.as_deref().filter(|user| !user.is_empty())) {
            (Some(_), _) if is_invalid && self.token_is_over() => {
                anyhow!(
                    "the token has expired: make another with `herald token`, or sign in again [CREDENTIALS_INVALID]"
                )
            }
            (Some(_), _) if is_invalid => anyhow!(
                "the server does not take this token: it may be signed with another secret, or be for another issuer or audience \
                 [CREDENTIALS_INVALID]"
            ),
            (None, Some(_)) if !is_invalid => anyhow!(
                "the server takes no --user, as development servers do: give --token (HERALD_TOKEN) [CREDENTIALS_MISSING]"
            ),
            _ => error,
        }
    }

    /// Connects; the error says what to do.
    pub(super) async fn channel(&self) -> anyhow::Result<Channel> {
        let server = &self.server;
        let is_url = server.starts_with("http://") || server.starts_with("https://");
        let endpoint = Endpoint::from_shared(server.clone()).ok().filter(|_| is_url);
        let endpoint =
            endpoint.with_context(|| format!("--server {}: must be a URL such as {DEFAULT_SERVER}", self.shown()))?;
        let path = endpoint.uri().path_and_query().map_or("/", |path| path.as_str());
        if path != "/" {
            bail!("--server {}: ends with the host or its port: leave {path} away", self.shown());
        }
        let mut endpoint = endpoint
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(self.timeout))
            .tcp_nodelay(true);
        if server.starts_with("https://") {
            // What is wrong with the files is told in our words.
            self.tls.client()?;
            endpoint = endpoint.tls_config(self.tls.config()?).context("--ca, --client-certificate, --client-key")?;
        }
        match endpoint.connect().await {
            Ok(channel) => Ok(channel),
            Err(_) => Err(self.met(None).await),
        }
    }

    /// Looks whether HTTP/2 is spoken at the server's address, as it is to be; the error says who is there instead: a [`Met`], if it
    /// could be looked at.
    pub(super) async fn look(&self) -> anyhow::Result<()> {
        let uri = self.uri();
        step_by_step(&self.place(&uri)?).await.map_err(|met| self.unreached(met))
    }

    /// Who is at the server's address, where Herald did not answer: the same.
    async fn met(&self, status: Option<&Status>) -> anyhow::Error {
        let uri = self.uri();
        match self.place(&uri) {
            Ok(place) => self.unreached(meet(&place, status).await),
            Err(error) => error,
        }
    }

    fn unreached(&self, met: Met) -> anyhow::Error {
        anyhow::Error::new(met).context(format!("cannot reach Herald at {}", self.shown()))
    }

    fn uri(&self) -> http::Uri {
        self.server.parse().unwrap_or_default()
    }

    fn place<'a>(&self, uri: &'a http::Uri) -> anyhow::Result<Place<'a>> {
        let is_tls = uri.scheme_str() == Some("https");
        Ok(Place {
            host: uri.host().unwrap_or_default(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            tls: is_tls.then(|| self.tls.client()).transpose()?,
            shows_certificate: self.tls.client_certificate.is_some(),
        })
    }

    /// The server's address without a user.
    fn shown(&self) -> String {
        if self.server.contains('@') { shown(&self.server) } else { self.server.clone() }
    }

    /// Connects, as whom the flags say.
    pub async fn open(&self) -> anyhow::Result<Api> {
        let channel = self.channel().await?;
        let credentials = self.credentials()?;
        Ok(Api {
            agent: AgentServiceClient::with_interceptor(channel.clone(), credentials.clone())
                .max_decoding_message_size(MAX_ANSWER),
            cache: CacheServiceClient::with_interceptor(channel.clone(), credentials.clone())
                .max_decoding_message_size(MAX_ANSWER),
            mailbox: MailboxServiceClient::with_interceptor(channel.clone(), credentials.clone()),
            tenant: TenantServiceClient::with_interceptor(channel.clone(), credentials.clone()),
            workflow: WorkflowServiceClient::with_interceptor(channel, credentials)
                .max_decoding_message_size(MAX_ANSWER),
        })
    }
}

impl Connection {
    /// As whom the flags and variables say: of one of each the flag counts.
    fn credentials(&self) -> anyhow::Result<Credentials> {
        match (self.token(), self.user.as_deref().filter(|user| !user.is_empty())) {
            (Some(_), Some(_)) if !given::has("token") && !given::has("user") => {
                bail!("HERALD_TOKEN and HERALD_USER both say who calls: unset one of them, or give --token or --user")
            }
            (Some(token), user) if user.is_none() || !given::has("user") => {
                Credentials::bearer(token).context("--token")
            }
            (_, Some(user)) => {
                let wrong = || format!("--user {user:?}: give an id such as user_a");
                TenantId::parse(user).with_context(wrong)?;
                Credentials::user(user).context("--user")
            }
            _ => Ok(Credentials::none()),
        }
    }

    fn token(&self) -> Option<&str> {
        self.token.as_deref().filter(|token| !token.is_empty())
    }

    /// Whether the token says itself that its time is over. Whether it is good besides only the server can say.
    fn token_is_over(&self) -> bool {
        let payload = self.token().and_then(|token| URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok());
        let claims = payload.and_then(|payload| serde_json::from_slice::<serde_json::Value>(&payload).ok());
        let expiry = claims.and_then(|claims| claims["exp"].as_f64());
        expiry.is_some_and(|expiry| expiry < SystemClock.now().seconds() as f64)
    }
}

/// Tells of variables that look like ours and are none, which would do nothing in silence.
fn warn_of_variables() {
    let env =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    // Those of the server are wrong or right for the server alone.
    if let Ok(layers) = Layers::read(None, env, &[]) {
        layers.unknown().iter().for_each(|wrong| tell!("warning: {wrong}"));
    }
}

impl Tls {
    fn config(&self) -> anyhow::Result<ClientTlsConfig> {
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let mut config = match &self.ca {
            Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
            None => ClientTlsConfig::new().with_webpki_roots(),
        };
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(config)
    }

    /// The same for a look at who is there.
    fn client(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let found = found.ok().filter(|found| !found.is_empty());
                let found =
                    found.with_context(|| format!("--ca {}: no certificate in PEM can be read", path.display()))?;
                roots.add_parsable_certificates(found);
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => {
                let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let chain = chain.with_context(|| format!("--client-certificate {}", certificate.display()))?;
                let key =
                    PrivateKeyDer::from_pem_file(key).with_context(|| format!("--client-key {}", key.display()))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => {
                        anyhow!("--client-certificate and --client-key do not fit each other")
                    }
                    other => anyhow!("--client-certificate and --client-key cannot be used: {other}"),
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
