//! Letters as files that a person edits: the subject on the first line, and the text after an empty one.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::input;

/// A subject and a text as one file.
pub(super) fn written(subject: &str, body: &str) -> String {
    format!("Subject: {subject}\n\n{body}\n")
}

/// The subject and the text that a file holds.
pub(super) fn read(file: &str) -> anyhow::Result<(String, String)> {
    let file = file.strip_prefix('\u{feff}').unwrap_or(file);
    let (first, body) = file.split_once('\n').unwrap_or((file, ""));
    let subject = first.strip_prefix("Subject:").context("the first line must begin with \"Subject:\"")?;
    Ok((subject.trim().to_owned(), body.replace("\r\n", "\n").trim().to_owned()))
}

/// The text after a person has edited it; None if it is as it was.
pub(super) fn edited(before: &str) -> anyhow::Result<Option<String>> {
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|e| !e.is_empty()));
    let editor = editor.context("say which editor to use: set EDITOR")?;
    let mut file = tempfile::Builder::new().prefix("herald-").suffix(".txt").tempfile().context("a file to edit")?;
    file.write_all(before.as_bytes())?;
    // As a shell reads it: an editor may have arguments.
    let status = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(file.path()).status();
    let status = status.with_context(|| format!("cannot start {editor}"))?;
    if !status.success() {
        bail!("{editor} ended with {status}; the letter is as it was");
    }
    let after = input::text(file.path(), &input::TEXT).context("what was edited")?;
    Ok((after != before).then_some(after))
}
