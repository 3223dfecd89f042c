//! The connection to a server, as the command line needs it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::client::Credentials;
use crate::pb::agent_service_client::AgentServiceClient;
use crate::pb::workflow_service_client::WorkflowServiceClient;

/// Which server, and as whom.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The server.
    #[arg(long, global = true, value_name = "URL", env = "HERALD_SERVER", default_value = "http://127.0.0.1:50051")]
    pub server: String,
    /// A bearer token.
    #[arg(long, global = true, env = "HERALD_TOKEN", hide_env_values = true, conflicts_with = "user")]
    pub token: Option<String>,
    /// A user id, which development servers take on its word.
    #[arg(long, global = true, env = "HERALD_USER")]
    pub user: Option<String>,
}

type Stamped = InterceptedService<Channel, Credentials>;

/// The services of a server.
#[derive(Clone)]
pub struct Api {
    pub agent: AgentServiceClient<Stamped>,
    pub workflow: WorkflowServiceClient<Stamped>,
}

/// Results of a campaign with many prospects are larger than tonic's default of 4 MiB.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

impl Connection {
    /// Connects; the error says what to do.
    pub async fn open(&self) -> anyhow::Result<Api> {
        let server = &self.server;
        if server.starts_with("https://") {
            bail!("--server {server}: this version speaks http:// only; put TLS in front of it, or use a tunnel");
        }
        let endpoint = Endpoint::from_shared(server.clone()).ok().filter(|_| server.starts_with("http://"));
        let endpoint =
            endpoint.with_context(|| format!("--server {server}: must be a URL such as http://127.0.0.1:50051"))?;
        let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
        let channel = endpoint.connect().await;
        let channel = channel.with_context(|| format!("cannot reach {server}: is `herald serve` running there?"))?;
        let credentials = match (&self.token, &self.user) {
            (Some(token), _) => Credentials::bearer(token).context("--token")?,
            (None, Some(user)) => Credentials::user(user).context("--user")?,
            (None, None) => Credentials::none(),
        };
        Ok(Api {
            agent: AgentServiceClient::with_interceptor(channel.clone(), credentials.clone())
                .max_decoding_message_size(MAX_ANSWER),
            workflow: WorkflowServiceClient::with_interceptor(channel, credentials)
                .max_decoding_message_size(MAX_ANSWER),
        })
    }
}

/// A refusal in words: the message, the reason that programs go by, and each bad field.
pub(super) fn explain(status: &Status) -> anyhow::Error {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| format!(" [{}]", info.reason)).unwrap_or_default();
    let mut text = format!("{}{reason}", status.message());
    if let Some(bad) = details.bad_request().filter(|bad| bad.field_violations.len() > 1) {
        for violation in &bad.field_violations {
            text.push_str(&format!("\n  {} {}", violation.field, violation.description));
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
