//! The data folder: its lock, its database, and the tenants' folders where the files are local.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use rustix::fs::{FsWord, PROC_SUPER_MAGIC};

use super::{Exposed, Folder, keep_private};
use crate::tenant::TenantId;

/// The data folder, locked: nobody else writes in it as long as this is held.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    lock: File,
}

/// Who has locked a data folder: a process, and the addresses that it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub process: u32,
    pub addresses: Vec<SocketAddr>,
}

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("another Herald works in the data folder {0}: stop it, or choose another folder with --data-dir")]
    Locked(String),
    #[error("data_dir: cannot use the data folder {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error(
        "the data folder {0} is on a file system that takes upper and lower case for the same, so that two tenants could \
         share a folder: choose another with --data-dir, or use --dev on your own machine"
    )]
    FoldsCase(String),
    #[error(
        "the data folder {0} has a database and no master.key, so that it is not one of --dev alone: set HERALD_MASTER_KEY to its \
         key, or choose another folder with --data-dir"
    )]
    NoDevKey(String),
    #[error(transparent)]
    Exposed(#[from] Exposed),
}

/// The file systems of /proc, /sys and control groups: root may write there, they say, and no file can be made.
const KERNELS: [FsWord; 4] = [PROC_SUPER_MAGIC, 0x6265_6572, 0x0027_e0eb, 0x6367_7270];

pub(super) const LOCK: &str = "herald.lock";
/// What is read of a lock, in bytes: a process and two addresses are far less.
const LONGEST_LOCK: u64 = 4_096;
pub(super) const DATABASE: &str = "herald.db";
pub(super) const WAL: &str = "herald.db-wal";
pub(super) const SHM: &str = "herald.db-shm";
pub(super) const USERS: &str = "users";
pub(super) const DEV_MASTER_KEY: &str = "master.key";

// === impl DataDir ===

impl DataDir {
    /// Makes the folder if it is not there, and locks it.
    pub fn lock(root: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Io { path: root.display().to_string(), source };
        make_dir(root).map_err(failed)?;
        refuse_unfit(root)?;
        let lock = private().read(true).create(true).truncate(false).open(root.join(LOCK)).map_err(failed)?;
        match lock.try_lock().or_else(|_| {
            // `holder` has it for a moment.
            sleep(Duration::from_millis(50));
            lock.try_lock()
        }) {
            Ok(()) => {
                make_dir(&root.join(USERS)).map_err(failed)?;
                Ok(Self { root: root.to_owned(), lock })
            }
            Err(TryLockError::WouldBlock) => Err(DataDirError::Locked(root.display().to_string())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Looks whether `lock` would take the folder, and changes nothing. One that is not there is made in the nearest one above
    /// that is.
    pub fn look(root: &Path, dev: bool) -> Result<(), DataDirError> {
        let failed = |source| DataDirError::Io { path: root.display().to_string(), source };
        if !root.try_exists().unwrap_or(true) {
            return look_above(root).map_err(failed);
        }
        // It is there, so that none is made: this fails if it is no folder.
        make_dir(root).map_err(failed)?;
        refuse_unfit(root)?;
        may_write(root).map_err(failed)?;
        if dev { Ok(()) } else { refuse_case_insensitive(root) }
    }

    /// Writes into the lock, for `holder`, which addresses are served. Without it the ports would seem to be somebody else's.
    pub fn tell(&self, addresses: &[SocketAddr]) -> io::Result<()> {
        let lines: String = addresses.iter().map(|address| format!("{address}\n")).collect();
        self.lock.set_len(0)?;
        (&self.lock).rewind()?;
        (&self.lock).write_all(format!("{}\n{lines}", std::process::id()).as_bytes())
    }

    /// Makes the database's file, empty, if it is not there. SQLite gives its other files the mode of this one.
    pub fn make_database(&self) -> Result<PathBuf, DataDirError> {
        let path = database_of(&self.root);
        let made = private().create(true).truncate(false).open(&path);
        made.map_err(|source| DataDirError::Io { path: self.root.display().to_string(), source })?;
        Ok(path)
    }

    /// Refuses a file system on which `Anna` and `anna` are one folder.
    pub fn refuse_case_insensitive(&self) -> Result<(), DataDirError> {
        refuse_case_insensitive(&self.root)
    }

    /// The text in `master.key`, which is made of `new()` if neither it nor a database is there.
    pub fn dev_master_key(&self, new: impl FnOnce() -> String) -> Result<String, DataDirError> {
        let path = self.root.join(DEV_MASTER_KEY);
        let failed = |source| DataDirError::Io { path: path.display().to_string(), source };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if database_in(&self.root)?.is_some() {
                    return Err(DataDirError::NoDevKey(self.root.display().to_string()));
                }
                let text = new();
                write_new(&self.root, &path, text.as_bytes()).map_err(failed)?;
                Ok(text)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The folder that holds the tenants'.
    pub(super) fn users(&self) -> PathBuf {
        self.root.join(USERS)
    }

    /// Makes a folder of the tenant, on the disk, if it is not there. Refuses symbolic links on the way.
    pub(super) fn make_folder(&self, tenant: &TenantId, folder: Folder) -> io::Result<()> {
        let path = self.root.join(USERS).join(tenant.as_str()).join(folder.name());
        let below = |path: &&Path| path.starts_with(&self.root) && *path != self.root;
        path.ancestors().take_while(below).try_for_each(|path| refuse_link(&self.root, path))?;
        if !path.is_dir() {
            make_dir(&path)?;
            // A folder is on the disk once the one that names it is.
            for parent in path.ancestors().skip(1).take_while(|parent| parent.starts_with(&self.root)) {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Removes what a killed process has left half-written in the tenants' folders: files of before `now`, whose names end
    /// with a number sign and a number.
    pub fn sweep(&self, now: SystemTime) -> io::Result<usize> {
        let mut swept = 0;
        let mut folders = vec![self.users()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(entry.path());
                }
                let name = entry.file_name().into_string().unwrap_or_default();
                let is_part = name.rsplit_once('#').is_some_and(|(_, n)| n.parse::<u32>().is_ok());
                if kind.is_file() && is_part && entry.metadata()?.modified()? < now {
                    fs::remove_file(entry.path())?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }
}

/// Whether a folder could be made that is not there.
fn look_above(root: &Path) -> io::Result<()> {
    let root = std::path::absolute(root)?;
    let above = root.ancestors().find(|above| above.try_exists().unwrap_or(true)).unwrap_or(Path::new("/"));
    // Fails where something other than a folder is in the way.
    make_dir(above)?;
    may_write(above)
}

/// Whether this user may make files there, and its file system lets them. To be sure, one would have to be made.
fn may_write(folder: &Path) -> io::Result<()> {
    if KERNELS.contains(&rustix::fs::statfs(folder)?.f_type) {
        return Err(io::Error::other("its file system shows the kernel's state, and takes no folders"));
    }
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
    Ok(())
}

/// Refuses a folder that others may read, or that has a link in it.
fn refuse_unfit(root: &Path) -> Result<(), DataDirError> {
    keep_private("the data folder", root)?;
    for name in [LOCK, DATABASE, WAL, SHM, DEV_MASTER_KEY, USERS] {
        let refused = refuse_link(root, &root.join(name));
        refused.map_err(|source| DataDirError::Io { path: root.display().to_string(), source })?;
    }
    Ok(keep_private("the master key", &root.join(DEV_MASTER_KEY))?)
}

fn refuse_case_insensitive(root: &Path) -> Result<(), DataDirError> {
    if root.join(LOCK.to_uppercase()).exists() {
        return Err(DataDirError::FoldsCase(root.display().to_string()));
    }
    Ok(())
}

/// Who has locked the data folder `root`; None if nobody has.
pub fn holder(root: &Path) -> Option<Holder> {
    let lock = File::open(root.join(LOCK)).ok()?;
    // A shared lock, given back at once.
    if lock.try_lock_shared().is_ok() {
        return None;
    }
    let mut text = String::new();
    lock.take(LONGEST_LOCK).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let process = lines.next()?.parse().ok()?;
    Some(Holder { process, addresses: lines.filter_map(|line| line.parse().ok()).collect() })
}

/// The database of the data folder `root`.
pub fn database_of(root: &Path) -> PathBuf {
    root.join(DATABASE)
}

/// The database of the data folder `root`, if it has one. A start that failed early may have left an empty file, which is none.
pub fn database_in(root: &Path) -> Result<Option<PathBuf>, DataDirError> {
    let path = database_of(root);
    match path.metadata() {
        Ok(file) => Ok((file.len() > 0).then_some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DataDirError::Io { path: root.display().to_string(), source }),
    }
}

/// The key that a development server keeps in the data folder `root`, if it does.
pub fn dev_master_key_of(root: &Path) -> Option<String> {
    fs::read_to_string(root.join(DEV_MASTER_KEY)).ok()
}

/// Writes a file that must not be there yet: whole or not at all, and on the disk when this returns.
fn write_new(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("part");
    // What a crash left there, or a link that somebody put there, is not written through.
    if temporary.symlink_metadata().is_ok() {
        fs::remove_file(&temporary)?;
    }
    let mut file = private().create_new(true).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(dir)?.sync_all()
}

/// The error names the path below `root` alone: a tenant may get to read it.
fn refuse_link(root: &Path, path: &Path) -> io::Result<()> {
    if !path.is_symlink() {
        return Ok(());
    }
    let below = path.strip_prefix(root).unwrap_or(path).display();
    Err(io::Error::other(format!("{below} is a symbolic link: see where it leads, and remove it")))
}

pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::new(error.kind(), "it is a file, and no folder"),
        _ => error,
    })
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
    use crate::testing::folder;

    #[test]
    fn the_database_is_readable_by_its_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = folder();
        let data = DataDir::lock(dir.path()).expect("free");
        let database = data.make_database().expect("made");
        assert_eq!(fs::metadata(database).expect("made").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_system_that_folds_case_is_found() {
        let dir = folder();
        let data = DataDir::lock(dir.path()).expect("free");
        data.refuse_case_insensitive().expect("it does");
        // As such a file system shows it.
        fs::hard_link(dir.path().join("herald.lock"), dir.path().join("HERALD.LOCK")).expect("linked");
        assert!(data.refuse_case_insensitive().expect_err("it does not").to_string().contains("upper and lower case"));
    }

    #[test]
    fn symbolic_links_are_refused_and_not_written_through() {
        use std::os::unix::fs::symlink;
        let outside = folder();
        let kept = outside.path().join("kept");
        fs::write(&kept, b"kept").expect("written");
        for name in ["herald.lock", "herald.db", "herald.db-wal", "master.key", "users"] {
            let dir = folder();
            symlink(&kept, dir.path().join(name)).expect("linked");
            let error = DataDir::lock(dir.path()).expect_err("a link").to_string();
            assert!(error.contains(&format!("{name} is a symbolic link")), "{error}");
        }
        let dir = folder();
        symlink(&kept, dir.path().join("master.part")).expect("linked");
        let data = DataDir::lock(dir.path()).expect("free");
        data.dev_master_key(|| "a key".into()).expect("beside the link");
        assert_eq!(fs::read(&kept).expect("as it was"), b"kept");
        assert_eq!(fs::read_dir(outside.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn a_second_process_is_refused_while_the_first_holds_the_folder() {
        let dir = folder();
        let first = DataDir::lock(dir.path()).expect("free");
        assert!(matches!(DataDir::lock(dir.path()), Err(DataDirError::Locked(_))));
        drop(first);
        DataDir::lock(dir.path()).expect("free again");
    }

    #[test]
    fn a_folder_tells_who_has_locked_it_and_where_they_serve() {
        let dir = folder();
        assert_eq!(holder(dir.path()), None);
        let data = DataDir::lock(dir.path()).expect("free");
        let addresses = ["127.0.0.1:50051", "[::1]:50052"].map(|address| address.parse().expect("an address"));
        data.tell(&addresses).expect("told");
        data.tell(&addresses[..1]).expect("told");
        let told = Holder { process: std::process::id(), addresses: addresses[..1].to_vec() };
        assert_eq!(holder(dir.path()), Some(told));
        drop(data);
        assert_eq!(holder(dir.path()), None);
    }

    #[test]
    fn the_development_key_is_made_once() {
        let dir = folder();
        let data = DataDir::lock(dir.path()).expect("free");
        assert_eq!(data.dev_master_key(|| "one".into()).expect("made"), "one");
        assert_eq!(data.dev_master_key(|| "two".into()).expect("kept"), "one");
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir.path().join("master.key")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
