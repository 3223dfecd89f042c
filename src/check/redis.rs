//! Redis: whether it is there, lets Herald in, and does what Herald asks of it.

use std::sync::Arc;

use super::report::Report;
use crate::cache::TenantCache;
use crate::config::{self, Config};
use crate::domain::clock::SystemClock;
use crate::domain::finding::Finding;

pub(super) async fn look(config: &Config, report: &mut Report) {
    // What the settings have wrong is told by them.
    if config.cache.url.expose().is_empty() || config.cache.validate().is_err() {
        return;
    }
    let name = config::shown(config.cache.url.expose());
    let cache = match TenantCache::new(&config.cache, Arc::new(SystemClock)) {
        Ok(cache) => cache,
        Err(error) => return report.add("Redis", [Finding::of(&error, "correct the settings of [cache]")]),
    };
    if let Err(why) = cache.probe().await {
        let to_do = "check cache.url (rediss:// is TLS, redis:// is not), and that Redis runs and is for this user; Herald serves without it, and publishes nothing";
        return report.add(format!("Redis at {name}"), [Finding::new(format!("the cache at {name}: {why}"), to_do)]);
    }
    let strangers = match cache.strangers().await {
        Ok(keys) if keys.is_empty() => None,
        Ok(keys) => {
            let shown: Vec<_> = keys.iter().take(5).map(String::as_str).collect();
            let wrong = format!("{} keys of the cache belong to no possible tenant: {}", keys.len(), shown.join(", "));
            Some(Finding::new(wrong, "find out who writes them; Herald never does, and never reads them"))
        }
        Err(error) => Some(Finding::new(format!("the cache at {name}: {error}"), "look at the log of Redis")),
    };
    report.add(format!("Redis at {name}: that it takes what Herald asks, and its keys"), strangers);
}
