//! A copy of the files of a data folder in a folder of its own, with a list that says what belongs to it.
//!
//! The list (`backup.json`) is written last, so that a folder without one is no backup, and holds the SHA-256 of every file,
//! so that a copy that was damaged or cut short on its way is found before it is used.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::data_dir::{DATABASE, DEV_MASTER_KEY, USERS, make_dir};

/// What belongs to a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupList {
    /// The version of Herald that made it.
    pub version: String,
    /// In microseconds since 1970: everything that was acknowledged before is in it.
    pub time: i64,
    pub files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// From the backup's folder, with `/`.
    pub path: String,
    pub size: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

/// Why a backup cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{0} is there already: name a folder that is not")]
    Exists(String),
    #[error("{0} is no whole backup: it has no {LIST}, which is written last")]
    NotWhole(String),
    #[error("the backup's {LIST} cannot be read: {0}")]
    List(String),
    #[error("the backup is damaged: {0}; use another one")]
    Damaged(String),
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
}

type Result<T> = std::result::Result<T, BackupError>;

const LIST: &str = "backup.json";
/// A list larger than that was not made by Herald.
const MAX_LIST: u64 = 1 << 30;

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::Io { path: path.display().to_string(), source }
}

/// A folder beside `to`, empty, for what is not whole yet. What an earlier try has left there is removed.
pub fn staging(to: &Path, ending: &str) -> Result<PathBuf> {
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let staging = to.with_file_name(format!("{name}.{ending}"));
    if staging.symlink_metadata().is_ok() {
        fs::remove_dir_all(&staging).map_err(failed(&staging))?;
    }
    make_dir(&staging).map_err(failed(&staging))?;
    Ok(staging)
}

/// Gives the folder its name, which nothing has yet, or an empty folder.
pub fn settle(staging: &Path, to: &Path) -> Result<()> {
    if to.is_dir() {
        // Refused if it holds something.
        fs::remove_dir(to).map_err(failed(to))?;
    }
    fs::rename(staging, to).map_err(failed(to))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed(parent))
}

/// Whether something is at `path` but an empty folder.
pub fn is_taken(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.symlink_metadata().is_ok(),
    }
}

/// Copies the tenants' files and a development key of the data folder `root`; its database has been copied to `to` already.
/// Whole when this returns.
pub fn copy_files(root: &Path, to: &Path, version: &str, time: i64) -> Result<BackupList> {
    let mut files = vec![listed(to, Path::new(DATABASE))?];
    let key = Path::new(DEV_MASTER_KEY);
    if root.join(key).exists() {
        files.extend(copied(root, to, key)?);
    }
    let mut folders = vec![PathBuf::from(USERS)];
    while let Some(folder) = folders.pop() {
        make_dir(&to.join(&folder)).map_err(failed(&folder))?;
        let entries = match fs::read_dir(root.join(&folder)) {
            Ok(entries) => entries,
            // There is none, or a tenant has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&folder)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed(&folder))?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(failed(&path))?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && !is_part(&path) {
                files.extend(copied(root, to, &path)?);
            }
        }
    }
    let list = BackupList { version: version.to_owned(), time, files };
    let text = serde_json::to_vec_pretty(&list).map_err(|error| BackupError::List(error.to_string()))?;
    let path = to.join(LIST);
    let mut file = create(&path).map_err(failed(&path))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed(&path))?;
    Ok(list)
}

/// What is half-written, by this or an earlier process.
fn is_part(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".part") || name.rsplit_once('#').is_some_and(|(_, n)| n.parse::<u32>().is_ok())
}

/// None if the file is gone.
fn copied(root: &Path, to: &Path, path: &Path) -> Result<Option<BackupFile>> {
    let mut from = match File::open(root.join(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path)(error)),
    };
    let target = to.join(path);
    let mut file = create(&target).map_err(failed(&target))?;
    io::copy(&mut from, &mut file).and_then(|_| file.sync_all()).map_err(failed(&target))?;
    listed(to, path).map(Some)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// What is at `path` below the folder, as the list has it.
fn listed(folder: &Path, path: &Path) -> Result<BackupFile> {
    let whole = folder.join(path);
    let (size, sha256) = hashed(&whole).map_err(failed(&whole))?;
    Ok(BackupFile { path: path.to_string_lossy().into_owned(), size, sha256 })
}

fn hashed(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut context, mut size) = (File::open(path)?, Context::new(&SHA256), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            let digits = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok((size, digits));
        }
        size += read as u64;
        context.update(&buffer[..read]);
    }
}

/// An empty file that is not there yet, for its user alone.
pub fn new_file(path: &Path) -> Result<()> {
    create(path).map(drop).map_err(failed(path))
}

/// What belongs to the backup, each file of which is there and as it was.
pub fn verified(folder: &Path) -> Result<BackupList> {
    let path = folder.join(LIST);
    let size = fs::metadata(&path).map_err(|_| BackupError::NotWhole(folder.display().to_string()))?.len();
    if size > MAX_LIST {
        return Err(BackupError::List("it is too large".to_owned()));
    }
    let text = fs::read(&path).map_err(failed(&path))?;
    let list: BackupList = serde_json::from_slice(&text).map_err(|error| BackupError::List(error.to_string()))?;
    for file in &list.files {
        let path = Path::new(&file.path);
        // Nothing outside of the folder is read, or written by `copy_back`.
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(BackupError::List(format!("{:?} is no path below it", file.path)));
        }
        let whole = folder.join(path);
        let is_link = whole.ancestors().take_while(|above| *above != folder).any(Path::is_symlink);
        match hashed(&whole) {
            Ok(found) if !is_link && found == (file.size, file.sha256.clone()) => {}
            Ok(_) => return Err(BackupError::Damaged(format!("{} is not what it was", file.path))),
            Err(error) => return Err(BackupError::Damaged(format!("{}: {error}", file.path))),
        }
    }
    if !list.files.iter().any(|file| file.path == DATABASE) {
        return Err(BackupError::Damaged(format!("it has no {DATABASE}")));
    }
    Ok(list)
}

/// Copies a verified backup's files to a new data folder.
pub fn copy_back(folder: &Path, list: &BackupList, to: &Path) -> Result<()> {
    for file in &list.files {
        let path = Path::new(&file.path);
        if let Some(parent) = path.parent() {
            make_dir(&to.join(parent)).map_err(failed(path))?;
        }
        let copy = copied(folder, to, path)?;
        if copy.as_ref() != Some(file) {
            return Err(BackupError::Damaged(format!("{} changed while it was read", file.path)));
        }
    }
    Ok(())
}
