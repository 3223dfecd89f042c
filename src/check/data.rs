//! The data folder, its volume, its database, and the master key.

use super::report::Report;
use crate::app::AppError;
use crate::config::Config;
use crate::domain::clock::Timestamp;
use crate::domain::finding::Finding;
use crate::files::{DataDir, DataDirError, check_folder, database_in, dev_master_key_of};
use crate::store::{Mailboxes, MasterKey, Seen, check_database};
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
    let is_unfit = unfit.is_some();
    let wrong = unfit.map(|error| Finding::of(&error, "correct it, or choose another folder with --data-dir"));
    report.add(format!("the data folder {name}: that it can be used"), wrong);
    let key = master_key(config).map(|text| MasterKey::parse(&text).map_err(AppError::MasterKey)).transpose();
    let is_there = root.is_dir();
    if is_there {
        report.add(format!("the volume of {name}: its free space"), volume(&Volume::of(root)));
    }
    let mut seen = Seen::default();
    let database = database_in(root);
    let has_database = matches!(database, Ok(Some(_)));
    match database {
        Ok(Some(database)) => {
            seen = check_database(&database, key.as_ref().ok().and_then(Option::as_ref), deep);
            let how = if deep { ", every page" } else { "" };
            report.add(format!("{}: its schema, its tenants, its rows{how}", database.display()), seen.findings);
            mailboxes(config, seen.mailboxes, report);
        }
        // That the folder cannot be used is told already.
        _ if is_unfit => {}
        Ok(None) => {
            report.add(format!("the database: there is none in {name} yet; the first `herald serve` makes it"), [])
        }
        Err(error) => report.add("the database", [Finding::of(&error, "run this as the user of the data folder")]),
    }
    let tried = match seen.tenants.len() {
        0 => "its form alone, since there is nothing yet to try it on".to_owned(),
        count => format!("that it opens what the tenants have sealed, {count} in all"),
    };
    match key {
        Ok(None) if config.dev && has_database => {
            let error = DataDirError::NoDevKey(name.to_string());
            report.add("the master key", [Finding::of(&error, "find the key where it is kept safe")]);
        }
        Ok(None) => {}
        Ok(Some(_)) => report.add(format!("the master key: {tried}"), seen.wrong_key),
        Err(error) => {
            let to_do = if has_database || is_unfit {
                "set HERALD_MASTER_KEY to the key that the data folder was made with"
            } else {
                "make one with `openssl rand -base64 32`, set HERALD_MASTER_KEY to it and keep it safe"
            };
            report.add("the master key", [Finding::of(&error, to_do)]);
        }
    }
    if is_there {
        report.add(format!("{name}: its modes, its owner, its tenants' folders"), check_folder(root, &seen.tenants));
    }
    seen.newest
}

fn mailboxes(config: &Config, seen: Mailboxes, report: &mut Report) {
    let Mailboxes { count, outboxes, mut findings } = seen;
    if outboxes > 0 && !config.has_outbox() {
        findings.push(Finding::warning(
            format!("{outboxes} mailboxes are outbox folders, which this deployment does not have: nothing is sent from them"),
            "set mail.outbox, or have their tenants make mailboxes with a mail server",
        ));
    }
    report.add(format!("the mailboxes, {count} in all: their settings, and that their sealed secrets open"), findings);
}

/// The text of the configured key, or of the one that `--dev` keeps in the data folder.
fn master_key(config: &Config) -> Option<String> {
    match config.master_key.expose() {
        "" => dev_master_key_of(&config.data_dir),
        text => Some(text.to_owned()),
    }
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
