//! `herald rotate-key`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;

use super::output::counted;
use super::settings::FolderSettings;
use crate::domain::clock::{SystemClock, SystemRandom};
use crate::domain::id::Ids;
use crate::files::{DataDir, database_in};
use crate::store::{MasterKey, rewrap_data_keys};
use crate::terminal::say;

/// Wraps the tenants' own keys anew, all or none, under the key in HERALD_NEW_MASTER_KEY instead of the one in
/// HERALD_MASTER_KEY. The server must be stopped; start it with the new key afterwards. Done twice, it changes nothing.
#[derive(Args)]
pub(super) struct RotateKeyArgs {
    #[command(flatten)]
    settings: FolderSettings,
}

const NEW: &str = "HERALD_NEW_MASTER_KEY";

pub(super) fn rotate_key(args: &RotateKeyArgs) -> anyhow::Result<ExitCode> {
    let config = args.settings.layers()?.config()?;
    if config.master_key.expose().is_empty() {
        bail!(
            "there is no HERALD_MASTER_KEY, the key to go from; a development server's is made by itself and is not rotated"
        );
    }
    // The error of a value that is no UTF-8 would repeat it.
    let new = std::env::var(NEW).ok();
    let new = new.with_context(|| format!("{NEW}: set it to the new key (`openssl rand -base64 32`)"))?;
    let old = MasterKey::parse(config.master_key.expose()).context("HERALD_MASTER_KEY")?;
    let new = MasterKey::parse(&new).context(NEW)?;
    let Some(database) = database_in(&config.data_dir)? else {
        bail!("there is no database in the data folder {}: check --data-dir", config.data_dir.display());
    };
    let _locked = DataDir::lock(&config.data_dir)?;
    let ids = Ids::new(Arc::new(SystemClock), Arc::new(SystemRandom));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rewrapped = runtime.block_on(rewrap_data_keys(&database, &old, &new, &ids));
    match rewrapped.context("no key was changed")? {
        Some(count) => {
            let tenants = counted(count as u64, "tenant");
            say!("the keys of {tenants} are under the new key; start the server with it as HERALD_MASTER_KEY")
        }
        None => say!("the keys are under the new key already; nothing was changed"),
    }
    Ok(ExitCode::SUCCESS)
}
