//! Who else on this machine may read what Herald alone should.
//!
//! The database, keys and secrets are as safe as the modes of their files. What everybody may read stops the start, with what
//! to run. What a group may read is told and served: a volume of Kubernetes with an `fsGroup` is so by itself, and whoever
//! runs the machine may have put the backup's user into the group. Public keys and certificates are for everybody.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::domain::finding::Finding;

/// Others may read what is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {} can be read by {}: its mode is {mode:04o}; run `{}`", path.display(), self.readers(), self.to_do())]
pub struct Exposed {
    what: &'static str,
    path: PathBuf,
    mode: u32,
}

/// What is at `path`, a `what`, if others than its user may read it.
pub fn exposed(what: &'static str, path: &Path) -> io::Result<Option<Exposed>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    Ok((mode & 0o077 != 0).then(|| Exposed { what, path: path.to_owned(), mode }))
}

/// Refuses what everybody may read, and warns of what its group may. What cannot be looked at is for those who use it to say.
pub fn keep_private(what: &'static str, path: &Path) -> Result<(), Exposed> {
    match exposed(what, path) {
        Ok(Some(exposed)) if exposed.is_to_everybody() => Err(exposed),
        Ok(Some(exposed)) => {
            tracing::warn!("{exposed}");
            Ok(())
        }
        _ => Ok(()),
    }
}

// === impl Exposed ===

impl Exposed {
    fn is_to_everybody(&self) -> bool {
        self.mode & 0o007 != 0
    }

    fn readers(&self) -> &'static str {
        if self.is_to_everybody() { "everybody on this machine" } else { "its group" }
    }

    fn to_do(&self) -> String {
        format!("chmod go-rwx {}", self.path.display())
    }
}

impl From<Exposed> for Finding {
    fn from(exposed: Exposed) -> Self {
        let Exposed { path, mode, .. } = &exposed;
        let wrong = format!("{} can be read by {}: its mode is {mode:04o}", path.display(), exposed.readers());
        if exposed.is_to_everybody() {
            Self::new(wrong, exposed.to_do())
        } else {
            Self::warning(wrong, format!("nothing, if nobody else is in that group; otherwise {}", exposed.to_do()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_refused_a_group_is_told_and_the_user_is_neither() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, "").expect("written");
        for mode in 0..=0o777 {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let found = exposed("the key", &path).expect("it can be looked at");
            assert_eq!(found.is_some(), mode & 0o077 != 0, "{mode:o}");
            assert_eq!(keep_private("the key", &path).is_err(), mode & 0o007 != 0, "{mode:o}");
        }
        let told = keep_private("the key", &path).expect_err("0777").to_string();
        assert!(told.starts_with("the key ") && told.contains("everybody on this machine: its mode is 0777"), "{told}");
        assert!(told.ends_with(&format!("run `chmod go-rwx {}`", path.display())), "{told}");
        keep_private("the key", &folder.path().join("none")).expect("whoever reads it says so");
    }
}
