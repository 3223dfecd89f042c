//! A call of a user, as a client makes it.

use tonic::transport::Channel;

use crate::auth::{Claimed, mint_token};
use crate::client::Credentials;
use crate::config::Config;
use crate::domain::clock::{Clock as _, SystemClock};
use crate::domain::finding::Finding;
use crate::pb;
use crate::pb::tenant_service_client::TenantServiceClient;

/// Whether the server takes a call of the user for what it is.
pub async fn check_call(config: &Config, channel: Channel, user: &str) -> Option<Finding> {
    let credentials = match credentials(config, user) {
        Ok(credentials) => credentials,
        Err(finding) => return Some(finding),
    };
    let mut client = TenantServiceClient::with_interceptor(channel, credentials);
    let to_do = "check that the server runs with these settings";
    match client.get_caller(pb::GetCallerRequest {}).await {
        Ok(answer) => {
            let tenant = answer.into_inner().caller.unwrap_or_default().tenant_id;
            let wrong = format!("a call of {user} was taken for one of the tenant {tenant:?}");
            (tenant != user).then(|| Finding::new(wrong, to_do))
        }
        Err(status) => Some(Finding::new(format!("a call of {user} was refused: {}", status.message()), to_do)),
    }
}

fn credentials(config: &Config, user: &str) -> Result<Credentials, Finding> {
    let wrong = |why: &dyn std::fmt::Display| {
        let to_do = "give users whose tokens can be made here: under auth.hs256_secret, or under --dev";
        Finding::new(format!("no credentials can be made for {user}: {why}"), to_do)
    };
    if !config.auth.hs256_secret.expose().is_empty() {
        let expiry = SystemClock.now().plus_seconds(60);
        let claimed = Claimed { subject: user, organization: None, role: None, expiry };
        let token = mint_token(&config.auth, &claimed).map_err(|error| wrong(&error))?;
        Credentials::bearer(&token).map_err(|error| wrong(&error))
    } else if config.dev {
        Credentials::user(user).map_err(|error| wrong(&error))
    } else {
        Err(wrong(&"there is no auth.hs256_secret"))
    }
}
