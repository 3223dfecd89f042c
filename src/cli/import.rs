//! Imports prospects, whatever they are read from.

use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::client::{Api, explain};
use super::output::counted;
use super::render::Progress;
use crate::pb;

/// The faults that are told before the rest is only counted.
pub(super) const MOST_FAULTS: usize = 20;
/// The rows and about the bytes of one batch: the server's limits, with room for what goes around the rows.
pub(super) const BATCH_ROWS: usize = 1_000;
pub(super) const BATCH_BYTES: usize = 3 * 1024 * 1024;

/// That a file is refused: its first faults, and how many more of the `count` there are.
pub(super) fn refusal(file: &Path, mut faults: Vec<String>, count: usize) -> anyhow::Error {
    if count > faults.len() {
        faults.push(format!("and {} more", count - faults.len()));
    }
    anyhow!("{} cannot be imported, and nothing of it was:\n  {}", file.display(), faults.join("\n  "))
}

/// Rows to import, a batch at a time; None after the last.
pub(super) trait Batches: FnMut() -> anyhow::Result<Option<Vec<pb::Prospect>>> {}

impl<F: FnMut() -> anyhow::Result<Option<Vec<pb::Prospect>>>> Batches for F {}

/// Imports that many rows.
pub(super) async fn import(
    api: &mut Api,
    rows: u64,
    mut batches: impl Batches,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut created = 0;
    while let Some(prospects) = batches()? {
        let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
        let answer = api.agent.batch_create_prospects(request).await;
        let answer = answer
            .map_err(|s| explain(&s))
            .with_context(|| format!("{created} of {} were imported", counted(rows, "prospect")))?;
        created += u64::try_from(answer.into_inner().created_count).unwrap_or(0);
    }
    let there = rows - created;
    let there = if there == 0 { String::new() } else { format!(", {there} were there already") };
    progress.say(&format!("{} imported{there}", counted(created, "prospect")));
    Ok(())
}
