//! The tenants' files, over `object_store`: a local folder or an S3-compatible store.
//!
//! A file is replaced whole or stays as it was. Locally it is written beside its place, brought to the disk (fsync of the
//! file and of its folder) and renamed; a store does the same by its own means.

use std::error::Error as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::{Path, PathPart};
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::locks::{Held, Locks};
use super::{DataDir, Folder, Snapshot};
use crate::config;
use crate::tenant::{Scope, TenantId};

/// All tenants' files.
pub struct Files {
    store: Arc<dyn ObjectStore>,
    /// What comes before the tenant's id, in a store; none in the local folder.
    prefix: Path,
    /// The data folder, if the files are in it.
    local: Option<Arc<DataDir>>,
    locks: Locks,
}

/// One tenant's files.
#[derive(Clone, Copy)]
pub struct TenantFiles<'a> {
    files: &'a Files,
    scope: &'a Scope,
}

/// Writes a file piece by piece; nothing is seen of it before `finish`.
pub struct FileWriter {
    writer: BufWriter,
    size: u64,
}

/// Why a file was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("the disk is full")]
    DiskFull,
    #[error("the files cannot be reached: {0}")]
    Unavailable(String),
}

/// The settings name no store that could be used: what to do.
#[derive(Debug, thiserror::Error)]
#[error("files.{setting}: {wrong}")]
pub struct FilesConfigError {
    setting: &'static str,
    wrong: String,
}

type Result<T, E = FilesError> = std::result::Result<T, E>;

/// How long one request to a store may take, and all its tries together.
const REQUEST: Duration = Duration::from_secs(30);
const ALL_TRIES: Duration = Duration::from_secs(60);

// === impl Files ===

impl Files {
    /// In the store that the settings name, else in the data folder. A store is not asked before it is used.
    pub fn new(settings: &config::Files, data: Arc<DataDir>) -> Result<Self, FilesConfigError> {
        if settings.url.is_empty() {
            let local = LocalFileSystem::new_with_prefix(data.users()).map_err(|error| wrong("url", error))?;
            let store = Arc::new(local.with_fsync(true));
            return Ok(Self { store, prefix: Path::default(), local: Some(data), locks: Locks::default() });
        }
        let retry = RetryConfig { max_retries: 3, retry_timeout: ALL_TRIES, ..RetryConfig::default() };
        let (store, prefix) = bucket(settings, retry, REQUEST)?;
        Ok(Self { store, prefix, local: None, locks: Locks::default() })
    }

    /// In a store that is there already. For tests, and for those who embed Herald.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, prefix: Path::default(), local: None, locks: Locks::default() }
    }

    /// The one door: the scope's tenant's files.
    pub fn scope<'a>(&'a self, scope: &'a Scope) -> TenantFiles<'a> {
        TenantFiles { files: self, scope }
    }

    fn path(&self, tenant: &TenantId, folder: Folder, name: &str) -> Result<Path> {
        let mut path = self.prefix.clone();
        for part in [tenant.as_str(), folder.name(), name].into_iter().filter(|part| !part.is_empty()) {
            // As it is: `|` in a tenant's id, and our own encoding in a file's name, stay what they are.
            let part = PathPart::parse(part).map_err(|error| FilesError::Unavailable(error.to_string()))?;
            path = path.join(part);
        }
        Ok(path)
    }
}

/// The bucket that the settings name, and what comes before the tenants' ids in it.
fn bucket(
    settings: &config::Files,
    retry: RetryConfig,
    timeout: Duration,
) -> Result<(Arc<dyn ObjectStore>, Path), FilesConfigError> {
    let url = Url::parse(&settings.url).ok().filter(|url| url.scheme() == "s3");
    let (url, bucket) = url
        .and_then(|url| url.host_str().map(str::to_owned).map(|bucket| (url, bucket)))
        .ok_or_else(|| wrong("url", "must be s3://bucket or s3://bucket/prefix"))?;
    let client = ClientOptions::new().with_timeout(timeout).with_allow_http(is_plain(&settings.endpoint));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&settings.region)
        .with_access_key_id(settings.access_key_id.expose())
        .with_secret_access_key(settings.secret_access_key.expose())
        .with_retry(retry)
        .with_client_options(client);
    if !settings.endpoint.is_empty() {
        builder = builder.with_endpoint(&settings.endpoint);
    }
    let store = builder.build().map_err(|error| wrong("url", error))?;
    let prefix = Path::parse(url.path()).map_err(|error| wrong("url", error))?;
    Ok((Arc::new(store), prefix))
}

/// Looks whether the store that the settings name is there and lists what it has, once and for so long.
pub async fn look_at_store(settings: &config::Files, timeout: Duration) -> Result<(), FilesConfigError> {
    let retry = RetryConfig { max_retries: 0, retry_timeout: timeout, ..RetryConfig::default() };
    let (store, prefix) = bucket(settings, retry, timeout)?;
    let listed = store.list(Some(&prefix)).next().await;
    listed.transpose().map(drop).map_err(|error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        wrong("url", cause)
    })
}

fn wrong(setting: &'static str, wrong: impl std::fmt::Display) -> FilesConfigError {
    FilesConfigError { setting, wrong: wrong.to_string() }
}

fn is_plain(endpoint: &str) -> bool {
    endpoint.starts_with("http://")
}

// === impl TenantFiles ===

impl TenantFiles<'_> {
    /// Begins to write a file that replaces the one that is there.
    pub async fn writer(&self, file: Snapshot) -> Result<FileWriter> {
        let path = self.made(Folder::Root, file.name()).await?;
        Ok(FileWriter { writer: BufWriter::new(self.files.store.clone(), path), size: 0 })
    }

    /// Writes a file that must not be there yet; false, and nothing is written, if it is.
    pub async fn create(&self, folder: Folder, name: &str, bytes: Vec<u8>) -> Result<bool> {
        let path = self.made(folder, name).await?;
        let bytes = Bytes::from(bytes);
        let options = PutOptions::from(PutMode::Create);
        match self.files.store.put_opts(&path, bytes.clone().into(), options).await {
            Ok(_) => Ok(true),
            // A store may have taken it at the first of several tries whose answer was lost.
            Err(object_store::Error::AlreadyExists { .. }) if self.files.local.is_none() => {
                self.holds(&path, &bytes).await
            }
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn exists(&self, folder: Folder, name: &str) -> Result<bool> {
        let path = self.made(folder, name).await?;
        match self.files.store.head(&path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Held by whoever writes the copies, from before the first of what goes into them is read.
    pub async fn lock_snapshot(&self) -> Held {
        self.files.locks.of(self.scope.tenant()).await
    }

    /// The same for those who can come again: None if one of them waits already.
    pub async fn lock_snapshot_soon(&self) -> Option<Held> {
        self.files.locks.of_few(self.scope.tenant()).await
    }

    /// Removes the copies of what the tenant has. Its outbox stays.
    pub async fn remove_snapshot(&self) -> Result<()> {
        let _held = self.lock_snapshot().await;
        for file in Snapshot::ALL {
            let path = self.made(Folder::Root, file.name()).await?;
            match self.files.store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn holds(&self, path: &Path, bytes: &Bytes) -> Result<bool> {
        Ok(self.files.store.get(path).await?.bytes().await? == bytes)
    }

    /// The path of a file, in a folder that is there.
    async fn made(&self, folder: Folder, name: &str) -> Result<Path> {
        let tenant = self.scope.tenant();
        if let Some(data) = self.files.local.clone() {
            let tenant = tenant.clone();
            let made = tokio::task::spawn_blocking(move || data.make_folder(&tenant, folder)).await;
            made.unwrap_or_else(|error| Err(std::io::Error::other(error)))?;
        }
        self.files.path(tenant, folder, name)
    }
}

// === impl FileWriter ===

impl FileWriter {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.size += bytes.len() as u64;
        Ok(self.writer.write_all(bytes).await?)
    }

    /// Puts the file in its place; its size in bytes.
    pub async fn finish(mut self) -> Result<u64> {
        self.writer.shutdown().await?;
        Ok(self.size)
    }

    /// Leaves what is there as it is.
    pub async fn abort(mut self) {
        // What is left over is swept at the next start.
        let _ = self.writer.abort().await;
    }
}

// === impl FilesError ===

impl From<std::io::Error> for FilesError {
    fn from(error: std::io::Error) -> Self {
        let is_full = |kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        if is_full(error.kind()) {
            return Self::DiskFull;
        }
        let mut source = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
        while let Some(cause) = source {
            if cause.downcast_ref::<std::io::Error>().is_some_and(|inner| is_full(inner.kind())) {
                return Self::DiskFull;
            }
            source = cause.source();
        }
        Self::Unavailable(error.to_string())
    }
}

impl From<object_store::Error> for FilesError {
    fn from(error: object_store::Error) -> Self {
        let text = match error.source() {
            Some(cause) => cause.to_string(),
            None => error.to_string(),
        };
        match Self::from(std::io::Error::other(error)) {
            Self::DiskFull => Self::DiskFull,
            Self::Unavailable(_) => Self::Unavailable(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::files::file_name;
    use crate::testing::{Numbers, folder};

    fn files() -> (tempfile::TempDir, Files) {
        let dir = folder();
        let data = Arc::new(DataDir::lock(dir.path()).expect("free"));
        let files = Files::new(&config::Files::default(), data).expect("a folder");
        (dir, files)
    }

    #[test]
    fn a_million_pairs_of_tenant_and_id_make_no_two_paths_alike_and_none_leaves_the_tenants_folder() {
        let tenants: Vec<char> = "aA0_-.@|+".chars().collect();
        let ids: Vec<char> = "aA0:*?[]{}\\/.\0%é用".chars().collect();
        let (_dir, files) = files();
        let mut numbers = Numbers::new(2);
        let mut made = HashMap::new();
        while made.len() < 1_000_000 {
            let Ok(tenant) = TenantId::parse(&numbers.text(&tenants, 4)) else { continue };
            let id = numbers.text(&ids, 6);
            let path = files.path(&tenant, Folder::Outbox, &file_name(&id, "eml")).expect("a path");
            let parts: Vec<_> = path.as_ref().split('/').collect();
            let [before @ .., name] = parts.as_slice() else { panic!("{path:?}") };
            assert_eq!(before, [tenant.as_str(), "outbox"]);
            assert!(!name.contains('\0') && !name.starts_with('.'), "{name:?}");
            if let Some(before) = made.insert(path.to_string(), (tenant.clone(), id.clone())) {
                assert_eq!(before, (tenant, id), "two pairs at one path");
            }
        }
    }

    #[test]
    fn an_id_that_is_too_long_for_a_name_has_a_name_all_the_same() {
        let names = ["用".repeat(128), format!("{}b", "用".repeat(127))].map(|id| file_name(&id, "2.eml"));
        assert_ne!(names[0], names[1]);
        assert!(names.iter().all(|name| name.len() < 255 && name.ends_with(".2.eml")), "{names:?}");
    }

    #[test]
    fn settings_that_name_no_store_are_refused() {
        let refused = |url: &str| {
            let dir = folder();
            let data = Arc::new(DataDir::lock(dir.path()).expect("free"));
            let settings = config::Files { url: url.to_owned(), ..config::Files::default() };
            Files::new(&settings, data).err().map(|error| error.to_string())
        };
        for url in ["nonsense", "http://bucket", "s3://", "/tmp"] {
            assert!(refused(url).expect("refused").contains("files.url"), "{url}");
        }
        assert_eq!(refused("s3://bucket/a/b"), None);
    }
}
