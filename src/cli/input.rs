//! What people name as a file. `-` is standard input. What is held in memory is read within a bound: a wrong name may lead to
//! anything.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

/// How much is read, and what to do with more.
pub(super) struct Bound {
    pub mib: u64,
    pub then: &'static str,
}

/// A list of addresses or prospects: a million addresses are less.
pub(super) const LIST: Bound = Bound { mib: 64, then: "part it, and give one after the other" };
/// The text of a letter, a password, or settings.
pub(super) const TEXT: Bound = Bound { mib: 1, then: "give the right file" };
/// What is kept of standard input.
const PIPED: Bound = Bound { mib: 1024, then: "give it as a file, which may be of any size" };

/// A file that can be read more than once. Standard input is kept in one that is removed afterwards.
pub(super) struct Source {
    /// What people call it.
    pub name: String,
    pub path: PathBuf,
    _kept: Option<NamedTempFile>,
}

/// Whether standard input, or standard output, is meant.
pub(super) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// What people call a file to read.
pub(super) fn name(path: &Path) -> String {
    if is_standard(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// The bytes of a file.
pub(super) fn bytes(path: &Path, bound: &Bound) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let name = name(path);
    within(open(path)?, &name, bound, |mut input| input.read_to_end(&mut bytes).map(|read| read as u64))?;
    Ok(bytes)
}

/// The same as a text.
pub(super) fn text(path: &Path, bound: &Bound) -> anyhow::Result<String> {
    String::from_utf8(bytes(path, bound)?).ok().with_context(|| format!("{} is not UTF-8", name(path)))
}

/// Reads, and refuses what goes beyond the bound.
fn within(
    input: Box<dyn Read>,
    name: &str,
    bound: &Bound,
    read: impl FnOnce(io::Take<Box<dyn Read>>) -> io::Result<u64>,
) -> anyhow::Result<()> {
    let most = bound.mib * 1024 * 1024;
    if read(input.take(most + 1)).with_context(|| format!("cannot read {name}"))? > most {
        bail!("{name} has more than {} MiB: {}", bound.mib, bound.then);
    }
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    if is_standard(path) {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Box::new(file))
}

impl Source {
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        let name = name(path);
        if !is_standard(path) {
            return Ok(Self { name, path: path.to_owned(), _kept: None });
        }
        let mut kept = NamedTempFile::new().context("cannot keep standard input in a file")?;
        within(open(path)?, &name, &PIPED, |mut input| io::copy(&mut input, kept.as_file_mut()))?;
        kept.flush()?;
        Ok(Self { name, path: kept.path().to_owned(), _kept: Some(kept) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_refused_beyond_it() {
        let file = NamedTempFile::new().expect("a file");
        let most = TEXT.mib * 1024 * 1024;
        file.as_file().set_len(most).expect("as long as that");
        assert_eq!(bytes(file.path(), &TEXT).expect("read").len() as u64, most);
        file.as_file().set_len(most + 1).expect("as long as that");
        let error = bytes(file.path(), &TEXT).expect_err("refused").to_string();
        assert!(error.ends_with("has more than 1 MiB: give the right file"), "{error}");
        // It never ends.
        assert!(text(Path::new("/dev/zero"), &TEXT).is_err());
    }
}
