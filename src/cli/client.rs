//! The connection to a server, as the command line needs it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::peer::{Place, meet};
use super::refusal::Unanswered;
use crate::client::Credentials;
use crate::config::shown;
use crate::pb::agent_service_client::AgentServiceClient;
use crate::pb::cache_service_client::CacheServiceClient;
use crate::pb::tenant_service_client::TenantServiceClient;
use crate::pb::workflow_service_client::WorkflowServiceClient;

/// Which server, and as whom.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The server.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "HERALD_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:50051"
    )]
    pub server: String,
    /// A bearer token.
    #[arg(long, global = true, env = "HERALD_TOKEN", hide_env_values = true, conflicts_with = "user")]
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

type Stamped = InterceptedService<Channel, Credentials>;

/// The services of a server.
#[derive(Clone)]
pub struct Api {
    pub agent: AgentServiceClient<Stamped>,
    pub cache: CacheServiceClient<Stamped>,
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let error = match work(self.open().await?).await {
                Ok(code) => return Ok(code),
                Err(error) => error,
            };
            let Some(unanswered) = error.downcast_ref::<Unanswered>() else { return Err(error) };
            let met = self.met(Some(&unanswered.status)).await;
            // What was being done stands before it, without the words of the client's layers.
            let done = error.chain().take_while(|cause| !cause.is::<Unanswered>()).map(ToString::to_string);
            let then = if unanswered.then.is_empty() { String::new() } else { format!("\n  {}", unanswered.then) };
            Err(anyhow!("{}{then}", done.chain([format!("{met:#}")]).collect::<Vec<_>>().join(": ")))
        })
    }

    /// Connects; the error says what to do.
    pub(super) async fn channel(&self) -> anyhow::Result<Channel> {
        let server = &self.server;
        let is_url = server.starts_with("http://") || server.starts_with("https://");
        let endpoint = Endpoint::from_shared(server.clone()).ok().filter(|_| is_url);
        let endpoint = endpoint
            .with_context(|| format!("--server {}: must be a URL such as http://127.0.0.1:50051", self.shown()))?;
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

    /// Who is at the server's address, where Herald did not answer: a [`Met`], if it could be looked at.
    async fn met(&self, status: Option<&Status>) -> anyhow::Error {
        let uri: http::Uri = self.server.parse().unwrap_or_default();
        let is_tls = uri.scheme_str() == Some("https");
        let tls = match is_tls.then(|| self.tls.client()).transpose() {
            Ok(tls) => tls,
            Err(error) => return error,
        };
        let place = Place {
            host: uri.host().unwrap_or_default(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            tls,
            shows_certificate: self.tls.client_certificate.is_some(),
        };
        anyhow::Error::new(meet(&place, status).await).context(format!("cannot reach Herald at {}", self.shown()))
    }

    /// The server's address without a user.
    fn shown(&self) -> String {
        if self.server.contains('@') { shown(&self.server) } else { self.server.clone() }
    }

    /// Connects, as whom the flags say.
    pub async fn open(&self) -> anyhow::Result<Api> {
        let channel = self.channel().await?;
        let credentials = match (&self.token, &self.user) {
            (Some(token), _) => Credentials::bearer(token).context("--token")?,
            (None, Some(user)) => Credentials::user(user).context("--user")?,
            (None, None) => Credentials::none(),
        };
        Ok(Api {
            agent: AgentServiceClient::with_interceptor(channel.clone(), credentials.clone())
                .max_decoding_message_size(MAX_ANSWER),
            cache: CacheServiceClient::with_interceptor(channel.clone(), credentials.clone())
                .max_decoding_message_size(MAX_ANSWER),
            tenant: TenantServiceClient::with_interceptor(channel.clone(), credentials.clone()),
            workflow: WorkflowServiceClient::with_interceptor(channel, credentials)
                .max_decoding_message_size(MAX_ANSWER),
        })
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
