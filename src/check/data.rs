//! The data folder, its volume, its database, and the master key.

use super::report::Report;
use crate::app::AppError;
use crate::config::Config;
use crate::domain::clock::Timestamp;
use crate::domain::finding::Finding;
use crate::files::{DataDir, check_folder, database_of, dev_master_key_of};
use crate::store::{MasterKey, check_database};
use crate::volume::Volume;

/// Bytes of the volume below which campaigns are about to stand still, and below which that is near.
const TOO_LITTLE: u64 = 64 * MIB;
const LITTLE: u64 = 512 * MIB;
const MIB: u64 = 1024 * 1024;

/// The newest time that the database has, if it has one.
pub(super) fn look(config: &Config, deep: bool, report: &mut Report) -> Option<Timestamp> {
    let root = &config.data_dir;
    let name = root.display();
    let unfit = DataDir::look(root, config.dev).err();
    let wrong = unfit.as_ref().map(|error| Finding::of(error, "correct it, or choose another folder with --data-dir"));
    report.add(format!("the data folder {name}: that it can be used"), wrong);
    let key = master_key(config, report);
    if !root.is_dir() {
        let wrong = format!("there is no database in the data folder {name}");
        report.add("the database", [no_database(wrong)]);
        return None;
    }
    report.add(format!("the volume of {name}: its free space"), volume(&Volume::of(root)));
    let database = database_of(root);
    if !database.exists() {
        let wrong = format!("there is no database in the data folder {name}");
        report.add("the database", [no_database(wrong)]);
        report.add(format!("{name}: its modes, its owner, its tenants' folders"), check_folder(root, &[]));
        return None;
    }
    let seen = check_database(&database, key.as_ref(), deep);
    let how = if deep { ", every page" } else { "" };
    report.add(format!("{}: its schema, its tenants, its rows{how}", database.display()), seen.findings);
    report.add(format!("{name}: its modes, its owner, its tenants' folders"), check_folder(root, &seen.tenants));
    seen.newest
}

fn no_database(wrong: String) -> Finding {
    Finding::new(wrong, "set --data-dir to the server's, or start the server once, which makes it")
}

/// The configured key, or the one that `--dev` keeps in the data folder.
fn master_key(config: &Config, report: &mut Report) -> Option<MasterKey> {
    let text = match config.master_key.expose() {
        "" => dev_master_key_of(&config.data_dir)?,
        text => text.to_owned(),
    };
    let key = MasterKey::parse(&text).map_err(AppError::MasterKey);
    let to_do = "set HERALD_MASTER_KEY to the key that the data folder was made with";
    report.add("the master key", key.as_ref().err().map(|error| Finding::of(error, to_do)));
    key.ok()
}

fn volume(volume: &std::io::Result<Volume>) -> Option<Finding> {
    let volume = match volume {
        Ok(volume) => volume,
        Err(error) => return Some(Finding::of(error, "check --data-dir")),
    };
    let to_do = "make room, or move the data folder to a larger volume: a full one holds campaigns and refuses writes";
    let left = format!("the volume of the data folder has {} MiB left", volume.free / MIB);
    if volume.free < TOO_LITTLE {
        return Some(Finding::new(format!("{left}, less than {}", TOO_LITTLE / MIB), to_do));
    }
    if volume.free_files == Some(0) {
        return Some(Finding::new("the volume of the data folder has no room for another file", to_do));
    }
    (volume.free < LITTLE).then(|| Finding::warning(format!("{left}, less than {}", LITTLE / MIB), to_do))
}
