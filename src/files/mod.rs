//! The data folder, and each tenant's files: in that folder, or in an S3-compatible store.
//!
//! ```text
//! data/
//!   herald.lock          held by the one process that writes here
//!   herald.db            the database
//!   master.key           under --dev only
//!   users/{tenant}/      a tenant's files; with an object store they are under {prefix}/{tenant}/ there
//!     config.json  campaign-config.json  prospects.json  emails.json
//!     outbox/            e-mails as .eml files
//! ```
//!
//! Architecture invariant: this is the only place where a path is made. A tenant's id is its folder's name as it is: its
//! alphabet has no separator and it cannot begin with a dot, so no two tenants share a folder and none leaves `users/`.
//! Folders are readable by the service's user alone (0700), files too (0600); `modes` looks whether that is so. A symbolic
//! link below the data folder is refused, wherever it leads: Herald makes none, and nothing that a tenant causes may be
//! written elsewhere.

mod backup;
mod check;
mod data_dir;
mod locks;
mod modes;
mod store;

pub use backup::{
    BackupError, BackupFile, BackupList, copy_back, copy_files, is_taken, new_file, settle, staging, verified,
};
pub use check::check_folder;
pub use data_dir::{DataDir, DataDirError, Holder, database_in, database_of, dev_master_key_of, holder};
pub use modes::{Exposed, exposed, keep_private};
pub use store::{FileWriter, Files, FilesConfigError, FilesError, TenantFiles, look_at_store};

use crate::domain::digest;

/// A folder of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// The tenant's own.
    Root,
    /// E-mails as .eml files.
    Outbox,
}

/// A copy of what the tenant has, for people and programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshot {
    Config,
    CampaignConfig,
    Prospects,
    Emails,
}

/// A file's name has 255 bytes at most; what is added to it needs some.
const MAX_NAME: usize = 200;

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

// === impl Folder ===

impl Folder {
    fn name(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Outbox => "outbox",
        }
    }
}

// === impl Snapshot ===

impl Snapshot {
    pub const ALL: [Self; 4] = [Self::Config, Self::CampaignConfig, Self::Prospects, Self::Emails];

    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config.json",
            Self::CampaignConfig => "campaign-config.json",
            Self::Prospects => "prospects.json",
            Self::Emails => "emails.json",
        }
    }
}
