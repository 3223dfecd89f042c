//! A Rust backend that calls Herald: an interceptor stamps each call with the user's credentials.
//!
//! ```sh
//! herald serve --dev
//! cargo run --example client -- http://127.0.0.1:50051 user_a
//! ```
//!
//! Against a real deployment, set HERALD_TOKEN to the user's bearer token and leave the user id out.
#![expect(clippy::print_stdout, reason = "an example, which prints its own prospects")]

use anyhow::Context as _;
use herald::client::Credentials;
use herald::pb;
use herald::pb::agent_service_client::AgentServiceClient;
use herald::pb::tenant_service_client::TenantServiceClient;
use tonic::transport::Endpoint;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let server = args.next().context("usage: client URL [USER]")?;
    let credentials = match (std::env::var("HERALD_TOKEN"), args.next()) {
        (Ok(token), _) => Credentials::bearer(&token)?,
        (Err(_), Some(user)) => Credentials::user(&user)?,
        (Err(_), None) => Credentials::none(),
    };
    // One channel for all services and tasks: it is cheap to clone and carries many calls at once.
    let channel = Endpoint::from_shared(server)?.connect().await?;
    let mut tenant = TenantServiceClient::with_interceptor(channel.clone(), credentials.clone());
    let mut agent = AgentServiceClient::with_interceptor(channel, credentials);

    let caller = tenant.get_caller(pb::GetCallerRequest {}).await?.into_inner().caller.unwrap_or_default();
    println!("I am {} of tenant {}", caller.subject, caller.tenant_id);

    let prospect = pb::Prospect {
        email: "ines.duarte@estufas-duarte.example".to_owned(),
        company: "Estufas Duarte".to_owned(),
        ..Default::default()
    };
    let batch = pb::BatchCreateProspectsRequest { prospects: vec![prospect], request_id: String::new() };
    let created = agent.batch_create_prospects(batch).await?.into_inner();
    println!("{} prospect created", created.created_count);

    let list = agent.list_prospects(pb::ListProspectsRequest::default()).await?.into_inner();
    for prospect in list.prospects {
        println!("{}  {}  {}", prospect.id, prospect.email, prospect.company);
    }
    Ok(())
}
