//! Looks at a data folder without changing it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::data_dir::{DATABASE, DEV_MASTER_KEY, LOCK, SHM, USERS, WAL};
use super::modes::exposed;
use crate::domain::finding::Finding;
use crate::tenant::TenantId;

/// What is wrong with the folder, its files' modes and owner, and the tenants' folders in it; `known` are the database's tenants.
pub fn check_folder(root: &Path, known: &[TenantId]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = look(root, known, &mut findings) {
        let wrong = format!("the data folder {} cannot be read: {error}", root.display());
        findings.push(Finding::new(wrong, "check --data-dir and run this as the user that the server runs as"));
    }
    findings
}

fn look(root: &Path, known: &[TenantId], findings: &mut Vec<Finding>) -> io::Result<()> {
    check_mode(root, findings)?;
    let owner = fs::metadata(root)?.uid();
    for name in [LOCK, DATABASE, WAL, SHM, DEV_MASTER_KEY, USERS] {
        let path = root.join(name);
        if !path.try_exists()? {
            continue;
        }
        check_owner(&path, owner, findings)?;
        if [DATABASE, DEV_MASTER_KEY].contains(&name) {
            check_mode(&path, findings)?;
        }
    }
    let users = root.join(USERS);
    if !users.try_exists()? {
        return Ok(());
    }
    for entry in fs::read_dir(&users)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if entry.file_type()?.is_symlink() {
            let wrong = format!("{} is a symbolic link", path.display());
            findings.push(Finding::new(wrong, "Herald makes none: look where it leads, and remove it"));
            continue;
        }
        match name.to_str().and_then(|name| TenantId::parse(name).ok()) {
            Some(tenant) if known.contains(&tenant) => check_mode(&path, findings)?,
            _ => {
                let wrong = format!("{} belongs to no tenant of the database", path.display());
                findings.push(Finding::new(wrong, "move it elsewhere, or put back the database that it belongs to"));
            }
        }
    }
    Ok(())
}

/// The service's user has made all of them.
fn check_owner(path: &Path, owner: u32, findings: &mut Vec<Finding>) -> io::Result<()> {
    let own = fs::metadata(path)?.uid();
    if own != owner {
        let wrong = format!("{} belongs to the user {own}, and the data folder to {owner}", path.display());
        findings.push(Finding::new(wrong, format!("chown {owner} {}", path.display())));
    }
    Ok(())
}

/// For the user of the service alone.
fn check_mode(path: &Path, findings: &mut Vec<Finding>) -> io::Result<()> {
    findings.extend(exposed("", path)?.map(Finding::from));
    Ok(())
}
