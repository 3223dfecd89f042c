//! The connection to a server, as the command line needs it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::client::Credentials;
use crate::config::shown;
use crate::pb::agent_service_client::AgentServiceClient;
use crate::pb::cache_service_client::CacheServiceClient;
use crate::pb::tenant_service_client::TenantServiceClient;
use crate::pb::workflow_service_client::WorkflowServiceClient;
use crate::terminal::line;

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
    /// Connects; the error says what to do.
    pub(super) async fn channel(&self) -> anyhow::Result<Channel> {
        let server = &self.server;
        let is_url = server.starts_with("http://") || server.starts_with("https://");
        let endpoint = Endpoint::from_shared(server.clone()).ok().filter(|_| is_url);
        let shown = if server.contains('@') { shown(server) } else { server.clone() };
        let endpoint =
            endpoint.with_context(|| format!("--server {shown}: must be a URL such as http://127.0.0.1:50051"))?;
        let mut endpoint = endpoint.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
        if server.starts_with("https://") {
            endpoint = endpoint.tls_config(self.tls.config()?).context("--ca, --client-certificate, --client-key")?;
        }
        let channel = endpoint.connect().await;
        channel.with_context(|| format!("cannot reach {shown}: is `herald serve` running there?"))
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
}

/// A refusal in words: the message, the reason that programs go by, and each bad field.
pub(super) fn explain(status: &Status) -> anyhow::Error {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| format!(" [{}]", info.reason)).unwrap_or_default();
    let mut text = format!("{}{reason}", line(status.message()));
    if let Some(bad) = details.bad_request().filter(|bad| bad.field_violations.len() > 1) {
        for violation in &bad.field_violations {
            text.push_str(&format!("\n  {} {}", line(&violation.field), line(&violation.description)));
        }
    }
    if status.code() == Code::Unauthenticated {
        text.push_str("\n  give --token, or on a development server --user (HERALD_TOKEN, HERALD_USER)");
    }
    anyhow::Error::msg(text)
}

/// The reason of a refusal; empty if it has none, as where the connection broke.
pub(super) fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}
