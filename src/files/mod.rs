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
//! Folders are readable by the service's user alone (0700), files too (0600). A symbolic link below the data folder is
//! refused, wherever it leads: Herald makes none, and nothing that a tenant causes may be written elsewhere.

mod check;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub use check::check_folder;

use crate::domain::digest;
use crate::tenant::{Scope, TenantId};

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
    #[error(
        "the data folder {0} is on a file system that takes upper and lower case for the same, so that two tenants could \
         share a folder: choose another with --data-dir, or use --dev on your own machine"
    )]
    FoldsCase(String),
}

const LOCK: &str = "herald.lock";
const DATABASE: &str = "herald.db";
const USERS: &str = "users";
/// A file's name has 255 bytes at most; what is added to it needs some.
const MAX_NAME: usize = 200;
const DEV_MASTER_KEY: &str = "master.key";

// === impl DataDir ===

impl DataDir {
    /// Makes the folder if it is not there, and locks it.
    pub fn lock(root: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Io { path: root.display().to_string(), source };
        make_dir(root).map_err(failed)?;
        for name in [LOCK, DATABASE, "herald.db-wal", "herald.db-shm", DEV_MASTER_KEY, USERS] {
            refuse_link(root, &root.join(name)).map_err(failed)?;
        }
        let lock = private().create(true).truncate(false).open(root.join(LOCK)).map_err(failed)?;
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

    /// Refuses a file system on which `Anna` and `anna` are one folder.
    pub fn tells_case(&self) -> Result<(), DataDirError> {
        if self.root.join(LOCK.to_uppercase()).exists() {
            return Err(DataDirError::FoldsCase(self.root.display().to_string()));
        }
        Ok(())
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
        let path = outbox_of(&self.root, scope.tenant());
        let below = |path: &&Path| path.starts_with(&self.root) && *path != self.root;
        path.ancestors().take_while(below).try_for_each(|path| refuse_link(&self.root, path))?;
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

/// The folder of a tenant's e-mails in the data folder `root`.
fn outbox_of(root: &Path, tenant: &TenantId) -> PathBuf {
    root.join(USERS).join(tenant.as_str()).join("outbox")
}

/// The name of the file that holds what has this id. Our own ids stay as they are; anything else in an imported one is
/// percent-encoded, so that nothing leaves its folder and no two ids meet. One that no file system would take as a name
/// is told by its hash, after two percent signs, which the encoding never makes.
pub fn file_name(id: &str, ending: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    let mut name: String =
        id.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    if name.len() > MAX_NAME {
        let hash: String = digest::full(&[id.as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect();
        name = format!("%%{hash}");
    }
    format!("{name}.{ending}")
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
        // What a crash left there, or a link that somebody put there, is not written through.
        if temporary.symlink_metadata().is_ok() {
            fs::remove_file(&temporary)?;
        }
        let mut file = private().create_new(true).open(&temporary)?;
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

/// Whether there is something at the path; a link counts, wherever it leads.
pub fn is_there(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The error names the path below `root` alone: a tenant may get to read it.
fn refuse_link(root: &Path, path: &Path) -> io::Result<()> {
    if !path.is_symlink() {
        return Ok(());
    }
    let below = path.strip_prefix(root).unwrap_or(path).display();
    Err(io::Error::other(format!("{below} is a symbolic link: see where it leads, and remove it")))
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
    use std::collections::HashMap;

    use super::*;
    use crate::testing::Numbers;

    #[test]
    fn the_database_is_readable_by_its_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let data = DataDir::lock(dir.path()).expect("free");
        assert_eq!(fs::metadata(data.database()).expect("made").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_million_pairs_of_tenant_and_id_make_no_two_paths_alike_and_none_leaves_the_tenants_folder() {
        let tenants: Vec<char> = "aA0_-.@|+".chars().collect();
        let ids: Vec<char> = "aA0:*?[]{}\\/.\0%é用".chars().collect();
        let root = Path::new("data");
        let mut numbers = Numbers::new(2);
        let mut made = HashMap::new();
        while made.len() < 1_000_000 {
            let Ok(tenant) = TenantId::parse(&numbers.text(&tenants, 4)) else { continue };
            let id = numbers.text(&ids, 6);
            let path = outbox_of(root, &tenant).join(file_name(&id, "eml"));
            let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_str().expect("a text")).collect();
            let [before @ .., name] = parts.as_slice() else { panic!("{path:?}") };
            assert_eq!(before, ["data", "users", tenant.as_str(), "outbox"]);
            assert!(!name.contains('\0') && !name.starts_with('.'), "{name:?}");
            if let Some(before) = made.insert(path.display().to_string(), (tenant.clone(), id.clone())) {
                assert_eq!(before, (tenant, id), "two pairs at one path");
            }
        }
    }

    #[test]
    fn an_id_that_is_too_long_for_a_name_has_a_name_all_the_same() {
        let dir = tempfile::tempdir().expect("a folder");
        let names = ["用".repeat(128), format!("{}b", "用".repeat(127))].map(|id| file_name(&id, "2.eml"));
        assert_ne!(names[0], names[1]);
        for name in &names {
            write_new(dir.path(), &dir.path().join(name), b"mail").expect("a name that can be");
        }
    }

    #[test]
    fn a_file_system_that_folds_case_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = DataDir::lock(dir.path()).expect("free");
        data.tells_case().expect("it does");
        // As such a file system shows it.
        fs::hard_link(dir.path().join("herald.lock"), dir.path().join("HERALD.LOCK")).expect("linked");
        assert!(data.tells_case().expect_err("it does not").to_string().contains("upper and lower case"));
    }

    #[test]
    fn symbolic_links_are_refused_and_not_written_through() {
        use std::os::unix::fs::symlink;
        let outside = tempfile::tempdir().expect("a folder");
        let kept = outside.path().join("kept");
        fs::write(&kept, b"kept").expect("written");
        for name in ["herald.lock", "herald.db", "herald.db-wal", "master.key", "users"] {
            let dir = tempfile::tempdir().expect("a folder");
            symlink(&kept, dir.path().join(name)).expect("linked");
            let error = DataDir::lock(dir.path()).expect_err("a link").to_string();
            assert!(error.contains(&format!("{name} is a symbolic link")), "{error}");
        }
        let dir = tempfile::tempdir().expect("a folder");
        symlink(&kept, dir.path().join(".a.eml.part")).expect("linked");
        write_new(dir.path(), &dir.path().join("a.eml"), b"one").expect("beside the link");
        symlink(outside.path().join("new"), dir.path().join("b.eml")).expect("linked");
        let there = write_new(dir.path(), &dir.path().join("b.eml"), b"two").expect_err("a link is there");
        assert_eq!(there.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&kept).expect("as it was"), b"kept");
        assert_eq!(fs::read_dir(outside.path()).expect("a folder").count(), 1);
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
