//! `herald backup` and `herald restore`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::counted;
use super::settings::FolderSettings;
use crate::backup::{back_up, restore};
use crate::domain::clock::Timestamp;
use crate::terminal::{line, say};

/// Copies the data folder, its database as it is at one moment, to a new folder, while the server runs or not, and looks
/// whether the copy is good. The copy can be read by its user alone, and holds what HERALD_MASTER_KEY protects, but not that
/// key: keep the two apart.
#[derive(Args)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    settings: FolderSettings,
    /// The new folder.
    #[arg(value_name = "DIR")]
    to: PathBuf,
}

/// Puts a backup back as the data folder, which must not be there or be empty. What was approved or being sent awaits
/// approval again, since it may have been sent after the backup was made, and live campaigns are paused.
#[derive(Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    settings: FolderSettings,
    /// The backup's folder.
    #[arg(value_name = "DIR")]
    from: PathBuf,
}

pub(super) fn run_backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let config = args.settings.layers()?.config()?;
    let list = back_up(&config, &args.to)?;
    let size: u64 = list.files.iter().map(|file| file.size).sum();
    let (files, kib) = (counted(list.files.len() as u64, "file"), size.div_ceil(1_024));
    say!("{} has {files}, {kib} KiB, of {}; it was read again and is good", shown(&args.to), Timestamp(list.time));
    if !config.files.url.is_empty() {
        say!("the tenants' files are in {}, which is not copied", line(&config.files.url));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run_restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let config = args.settings.layers()?.config()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let restored = runtime.block_on(restore(&config, &args.from))?;
    let since = Timestamp(restored.list.time);
    let (campaigns, emails) =
        (counted(restored.held.campaigns as u64, "campaign"), counted(restored.held.emails as u64, "e-mail"));
    say!("{} is what it was at {since}", shown(&config.data_dir));
    say!(
        "{campaigns} paused; {emails} held back, which may have been sent since: compare your mail server's log before you approve"
    );
    say!(
        "suppressions that were added since {since} are missing, replies too: before you start the server for others, add"
    );
    say!(
        "them again with `herald suppressions add ADDRESS…` (see who unsubscribed in your mailbox and your mail server's log)"
    );
    Ok(ExitCode::SUCCESS)
}

fn shown(path: &std::path::Path) -> String {
    line(&path.display().to_string()).into_owned()
}
