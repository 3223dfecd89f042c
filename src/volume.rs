//! The volume that a folder is on: what is left of it.

use std::io;
use std::path::Path;

/// What this user may still write.
#[derive(Debug, Clone, Copy)]
pub struct Volume {
    /// In bytes.
    pub free: u64,
    /// None where the file system has no limit.
    pub free_files: Option<u64>,
}

impl Volume {
    pub fn of(path: &Path) -> io::Result<Self> {
        let volume = rustix::fs::statvfs(path)?;
        let free_files = (volume.f_files > 0).then_some(volume.f_favail);
        Ok(Self { free: volume.f_bavail.saturating_mul(volume.f_frsize), free_files })
    }
}
