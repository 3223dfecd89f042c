//! The data folder: its lock, and each tenant's files in it.
//!
//! ```text
//! data/
//!   herald.lock          held by the one process that writes here
//!   herald.db            the database
//!   master.key           under --dev only
//!   users/{tenant}/      a tenant's files
//!     outbox/            e-mails as .eml files
//! ```
//!
//! Architecture invariant: this is the only place where a path is made. A tenant's id is its folder's name as it is: its
//! alphabet has no separator and it cannot begin with a dot, so no two tenants share a folder and none leaves `users/`.
//! Folders are readable by the service's user alone (0700), files too (0600).

mod check;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub use check::check_folder;

use crate::tenant::Scope;

/// The data folder, locked: nobody else writes in it as long as this is held.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: File,
}

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("another Herald works in the data folder {0}: stop it, or choose another folder with --data-dir")]
    Locked(String),
    #[error("cannot use the data folder {path}: {source}")]
    Io { path: String, source: io::Error },
}

const DATABASE: &str = "herald.db";
const USERS: &str = "users";
const DEV_MASTER_KEY: &str = "master.key";

// === impl DataDir ===

impl DataDir {
    /// Makes the folder if it is not there, and locks it.
    pub fn lock(root: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Io { path: root.display().to_string(), source };
        make_dir(root).map_err(failed)?;
        let lock = private().create(true).truncate(false).open(root.join("herald.lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {
                // SQLite gives its other files the mode of this one.
                private().create(true).truncate(false).open(root.join(DATABASE)).map_err(failed)?;
                Ok(Self { root: root.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(DataDirError::Locked(root.display().to_string())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    pub fn database(&self) -> PathBuf {
        database_of(&self.root)
    }

    /// The text in `master.key`, which is made of `new()` if it is not there.
    pub fn dev_master_key(&self, new: impl FnOnce() -> String) -> Result<String, DataDirError> {
        let path = self.root.join(DEV_MASTER_KEY);
        let failed = |source| DataDirError::Io { path: path.display().to_string(), source };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = new();
                write_new(&self.root, &path, text.as_bytes()).map_err(failed)?;
                Ok(text)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The folder of a tenant's e-mails, made if it is not there.
    pub fn outbox(&self, scope: &Scope) -> io::Result<PathBuf> {
        let path = self.root.join(USERS).join(scope.tenant().as_str()).join("outbox");
        if !path.is_dir() {
            make_dir(&path)?;
            // A folder is on the disk once the one that names it is.
            for parent in path.ancestors().skip(1).take_while(|parent| parent.starts_with(&self.root)) {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(path)
    }
}

/// The database of the data folder `root`.
pub fn database_of(root: &Path) -> PathBuf {
    root.join(DATABASE)
}

/// The key that a development server keeps in the data folder `root`, if it does.
pub fn dev_master_key_of(root: &Path) -> Option<String> {
    fs::read_to_string(root.join(DEV_MASTER_KEY)).ok()
}

/// Writes a file that must not be there yet: whole or not at all, and on the disk when this returns.
///
/// `AlreadyExists` if it is there; it is then left as it was.
pub fn write_new(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().and_then(|n| n.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = dir.join(format!(".{name}.part"));
    let written = (|| {
        let mut file = private().create(true).truncate(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // A hard link, unlike a rename, refuses to replace what is there.
        fs::hard_link(&temporary, path)?;
        File::open(dir)?.sync_all().inspect_err(|_| {
            let _ = fs::remove_file(path);
        })
    })();
    // Whatever became of it: a leftover does no harm and is overwritten by the next try.
    let _ = fs::remove_file(&temporary);
    written
}

fn make_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_readable_by_its_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let data = DataDir::lock(dir.path()).expect("free");
        assert_eq!(fs::metadata(data.database()).expect("made").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_second_process_is_refused_while_the_first_holds_the_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = DataDir::lock(dir.path()).expect("free");
        assert!(matches!(DataDir::lock(dir.path()), Err(DataDirError::Locked(_))));
        drop(first);
        DataDir::lock(dir.path()).expect("free again");
    }

    #[test]
    fn a_file_is_written_once_and_by_its_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.eml");
        write_new(dir.path(), &path, b"one").expect("new");
        let again = write_new(dir.path(), &path, b"two").expect_err("it is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("it is there"), b"one");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1, "nothing half-written is left");
    }

    #[test]
    fn the_development_key_is_made_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = DataDir::lock(dir.path()).expect("free");
        assert_eq!(data.dev_master_key(|| "one".into()).expect("made"), "one");
        assert_eq!(data.dev_master_key(|| "two".into()).expect("kept"), "one");
    }
}
