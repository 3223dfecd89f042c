//! `herald backup` and `herald restore`: a copy of everything that a data folder holds, and the way back.

use std::path::Path;

use crate::config::Config;
use crate::domain::clock::{Clock as _, SystemClock, SystemRandom, Timestamp};
use crate::domain::id::Ids;
use crate::files::{
    BackupError, BackupList, DataDirError, copy_back, copy_files, database_in, database_of, dev_master_key_of,
    is_taken, new_file, settle, staging, verified,
};
use crate::store::{HeldBack, MasterKey, MasterKeyError, OpenError, Store, StoreError, check_copy, copy_database};

/// Why there is no backup, or it cannot be put back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no database in the data folder {0}: check --data-dir")]
    NoDatabase(String),
    #[error("{0} would be within the data folder, and so in the next backup: choose a folder outside of it")]
    Within(String),
    #[error("the data folder {0} is not empty: name another with --data-dir, or move what is there away")]
    NotEmpty(String),
    #[error("the copy is not good: {0}")]
    NotGood(String),
    #[error("the backup has no master key: set HERALD_MASTER_KEY to the key that it was made under")]
    NoMasterKey,
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error(transparent)]
    Files(#[from] BackupError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the database")]
    Store(#[from] StoreError),
}

/// What was put back, and what is held back in it.
#[derive(Debug)]
pub struct Restored {
    pub list: BackupList,
    pub held: HeldBack,
}

/// Copies the data folder to the new folder `to`, whether or not a server works on it, and looks at the copy.
pub fn back_up(config: &Config, to: &Path) -> Result<BackupList, Error> {
    let root = &config.data_dir;
    if database_in(root)?.is_none() {
        return Err(Error::NoDatabase(root.display().to_string()));
    }
    if is_within(to, root) {
        return Err(Error::Within(to.display().to_string()));
    }
    if is_taken(to) {
        return Err(BackupError::Exists(to.display().to_string()).into());
    }
    let staging = staging(to, "partial")?;
    let made = copy(root, &staging, SystemClock.now()).and_then(|list| Ok(settle(&staging, to).map(|()| list)?));
    if made.is_err() {
        // Half a backup is worth nothing, and the disk may be full of it.
        let _ = std::fs::remove_dir_all(&staging);
    }
    made
}

/// Whether a folder that is not there yet would be in `root`, whatever links lead there.
fn is_within(to: &Path, root: &Path) -> bool {
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (parent, root) = (parent.canonicalize(), root.canonicalize());
    parent.is_ok_and(|parent| root.is_ok_and(|root| parent.starts_with(root)))
}

/// The database first: whatever it knows of is among the files then.
fn copy(root: &Path, staging: &Path, time: Timestamp) -> Result<BackupList, Error> {
    let database = database_of(staging);
    new_file(&database)?;
    copy_database(&database_of(root), &database)?;
    good(&database)?;
    let list = copy_files(root, staging, env!("CARGO_PKG_VERSION"), time.0)?;
    Ok(list)
}

/// Whether a copy of a database is whole.
fn good(database: &Path) -> Result<(), Error> {
    let finding = check_copy(database)?.into_iter().next();
    finding.map_or(Ok(()), |finding| Err(Error::NotGood(finding.wrong)))
}

/// Puts the backup at `from` back as the data folder, which must not be there or be empty, with everything held back that
/// could go out.
pub async fn restore(config: &Config, from: &Path) -> Result<Restored, Error> {
    let root = &config.data_dir;
    if is_taken(root) {
        return Err(Error::NotEmpty(root.display().to_string()));
    }
    let list = verified(from)?;
    let staging = staging(root, "restoring")?;
    copy_back(from, &list, &staging)?;
    let database = database_of(&staging);
    good(&database)?;
    let configured = config.master_key.expose();
    let key = if configured.is_empty() { dev_master_key_of(&staging) } else { Some(configured.to_owned()) };
    let key = MasterKey::parse(key.ok_or(Error::NoMasterKey)?.trim())?;
    let ids = Ids::new(std::sync::Arc::new(SystemClock), std::sync::Arc::new(SystemRandom));
    let store = Store::open(&database, key, ids, true).await?;
    let held = store.hold_back(Timestamp(list.time)).await;
    store.close().await;
    drop(store);
    let held = held?;
    settle(&staging, root)?;
    Ok(Restored { list, held })
}
