//! Imports prospects, whatever they are read from.

use anyhow::{Context as _, anyhow};

use super::client::Api;
use super::output::counted;
use super::refusal::explain;
use super::render::Progress;
use crate::pb;

/// The faults that are told before the rest is only counted.
pub(super) const MOST_FAULTS: usize = 20;
/// The rows and about the bytes of one batch: the server's limits, with room for what goes around the rows.
pub(super) const BATCH_ROWS: usize = 1_000;
pub(super) const BATCH_BYTES: usize = 3 * 1024 * 1024;

/// That a file is refused: its first faults, and how many more of the `count` there are.
pub(super) fn refusal(name: &str, faults: Vec<String>, count: usize) -> anyhow::Error {
    faulty(&format!("{name} cannot be imported, and nothing of it was"), faults, count)
}

/// The first faults of a file, and how many more of the `count` there are.
pub(super) fn faulty(what: &str, mut faults: Vec<String>, count: usize) -> anyhow::Error {
    if count > faults.len() {
        faults.push(format!("and {} more", count - faults.len()));
    }
    anyhow!("{what}:\n  {}", faults.join("\n  "))
}

/// Rows to import, a batch at a time; None after the last.
pub(super) trait Batches: FnMut() -> anyhow::Result<Option<Vec<pb::Prospect>>> {}

impl<F: FnMut() -> anyhow::Result<Option<Vec<pb::Prospect>>>> Batches for F {}

/// Imports that many rows. The answer is that of one large batch.
pub(super) async fn import(
    api: &mut Api,
    rows: u64,
    mut batches: impl Batches,
    progress: &Progress,
) -> anyhow::Result<pb::BatchCreateProspectsResponse> {
    let mut whole = pb::BatchCreateProspectsResponse::default();
    while let Some(prospects) = batches()? {
        let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
        let answer = api.agent.batch_create_prospects(request).await;
        let answer = answer
            .map_err(|s| explain(&s))
            .with_context(|| format!("{} of {} were imported", whole.created_count, counted(rows, "prospect")))?;
        let answer = answer.into_inner();
        whole.results.extend(answer.results);
        whole.created_count += answer.created_count;
    }
    let created = u64::try_from(whole.created_count).unwrap_or(0);
    let there = rows - created;
    let there = if there == 0 { String::new() } else { format!(", {there} were there already") };
    progress.say(&format!("{} imported{there}", counted(created, "prospect")));
    Ok(whole)
}
