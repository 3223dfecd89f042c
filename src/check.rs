//! `herald check`: looks whether a deployment is as it should be, and changes nothing.

use std::path::Path;
use std::time::Duration;

use tonic::transport::Channel;

use crate::auth::{Claimed, mint_token};
use crate::cache::TenantCache;
use crate::client::Credentials;
use crate::config::Config;
use crate::domain::clock::{Clock as _, SystemClock};
use crate::domain::finding::Finding;
use crate::files::{check_folder, database_of, dev_master_key_of, exposed};
use crate::pb;
use crate::pb::tenant_service_client::TenantServiceClient;
use crate::store::{MasterKey, check_database};

/// What is wrong with the data folder, its database, and the cache. `deep` reads every page of the database.
pub async fn check_data(config: &Config, deep: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = &config.data_dir;
    let database = database_of(root);
    let mut tenants = Vec::new();
    if database.exists() {
        let key = master_key(config, &mut findings);
        let (found, known) = check_database(&database, key.as_ref(), deep);
        findings.extend(found);
        tenants = known;
    } else {
        let wrong = format!("there is no database in the data folder {}", root.display());
        findings.push(Finding::new(wrong, "set --data-dir to the server's, or start the server once, which makes it"));
    }
    if root.exists() {
        findings.extend(check_folder(root, &tenants));
    }
    findings.extend(check_cache(config).await);
    findings
}

/// Which files beside the data folder others may read: the port's private key, and the configuration file that holds a
/// secret. One that cannot be looked at stops the start, with a sentence of its own.
pub fn check_private(config: &Config, secret_file: Option<&Path>) -> Vec<Finding> {
    let key = config.tls.is_on().then(|| ("tls.key_file", Path::new(&config.tls.key_file)));
    let file = secret_file.map(|path| ("the configuration file", path));
    let found = key.into_iter().chain(file).filter_map(|(what, path)| exposed(what, path).ok().flatten());
    found.map(Finding::from).collect()
}

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

/// The configured key, or the one that `--dev` keeps in the data folder.
fn master_key(config: &Config, findings: &mut Vec<Finding>) -> Option<MasterKey> {
    let text = match config.master_key.expose() {
        "" => dev_master_key_of(&config.data_dir)?,
        text => text.to_owned(),
    };
    let key = MasterKey::parse(&text);
    if let Err(error) = &key {
        let to_do = "set HERALD_MASTER_KEY to the key that the data folder was made with";
        findings.push(Finding::new(format!("the master key cannot be used: {error}"), to_do));
    }
    key.ok()
}

async fn check_cache(config: &Config) -> Option<Finding> {
    // What the settings have wrong is told by them.
    config.cache.validate().ok()?;
    let cache = match TenantCache::new(&config.cache, std::sync::Arc::new(SystemClock)) {
        Ok(cache) => cache,
        Err(error) => return Some(Finding::new(error.to_string(), "correct the settings of [cache]")),
    };
    // The connection is made in the background.
    let mut strangers = cache.strangers().await;
    for _ in 0..3 {
        if strangers.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        strangers = cache.strangers().await;
    }
    match strangers {
        Ok(keys) if keys.is_empty() => None,
        Ok(keys) => {
            let shown: Vec<_> = keys.iter().take(5).map(String::as_str).collect();
            let wrong = format!("{} keys of the cache belong to no possible tenant: {}", keys.len(), shown.join(", "));
            Some(Finding::new(wrong, "find out who writes them; Herald never does, and never reads them"))
        }
        Err(error) => {
            let to_do = "check cache.url, and that Redis runs; Herald serves without it, and publishes nothing";
            Some(Finding::new(format!("the cache: {error}"), to_do))
        }
    }
}
