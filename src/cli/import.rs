//! Imports prospects, whatever they are read from.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use anyhow::{Context as _, anyhow};

use super::client::Api;
use super::output::counted;
use super::refusal::explain;
use super::render::Progress;
use crate::domain::address;
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

/// How many rows a file has, and which addresses stand in it more than once.
#[derive(Default)]
pub(super) struct Rows {
    pub count: u64,
    /// The first one, as an example of how the file is understood.
    pub first_row: Option<pb::Prospect>,
    /// What a row is counted by: `line` or `row`.
    unit: &'static str,
    /// Where each address stands first; by its hash, since a file may have any number.
    first: HashMap<u64, u64>,
    hasher: RandomState,
    /// The places that repeat one, with the first one.
    pub twice: Vec<(u64, u64)>,
    /// How many further rows are passed over since they are broken, and what is wrong with the first of them.
    pub broken: u64,
    pub faults: Vec<String>,
}

/// Rows to import, a batch at a time; None after the last.
pub(super) trait Batches: FnMut() -> anyhow::Result<Option<Vec<pb::Prospect>>> {}

impl<F: FnMut() -> anyhow::Result<Option<Vec<pb::Prospect>>>> Batches for F {}

// === impl Rows ===

impl Rows {
    pub(super) fn by(unit: &'static str) -> Self {
        Self { unit, ..Self::default() }
    }

    /// Takes a row at that place.
    pub(super) fn note(&mut self, row: &pb::Prospect, place: u64) {
        self.count += 1;
        self.first_row.get_or_insert_with(|| row.clone());
        let first = *self.first.entry(self.hasher.hash_one(address::key(&row.email))).or_insert(place);
        if first != place {
            self.twice.push((place, first));
        }
    }

    /// Passes over a row that has these faults.
    pub(super) fn note_broken(&mut self, faults: Vec<String>) {
        self.broken += 1;
        self.faults.extend(faults.into_iter().take(MOST_FAULTS - self.faults.len()));
    }

    /// What a person is told of the rows, a line each: those that are broken, and what stands there twice.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let broken = (self.broken > 0).then(|| {
            let shown = if self.faults.len() < MOST_FAULTS { "" } else { "; the first of them" };
            format!("passed over as broken: {}{shown}", counted(self.broken, "row"))
        });
        broken.into_iter().chain(self.faults.iter().map(|fault| format!("  {fault}"))).chain(self.told_twice())
    }

    /// How many prospects there are: of rows with one address the server takes the first.
    pub(super) fn prospects(&self) -> u64 {
        self.count - self.twice.len() as u64
    }

    /// What stands there twice, in words; nothing if nothing does.
    fn told_twice(&self) -> Option<String> {
        let (unit, more) = (self.unit, self.twice.len().saturating_sub(MOST_FAULTS));
        let told = self.twice.iter().take(MOST_FAULTS);
        let told =
            told.map(|(place, first)| format!("{unit} {place} (as {unit} {first})")).collect::<Vec<_>>().join(", ");
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        (!self.twice.is_empty()).then(|| format!("twice in the file, and taken once: {told}{more}"))
    }
}

/// Imports the rows. The answer is that of one large batch.
pub(super) async fn import(
    api: &mut Api,
    rows: &Rows,
    mut batches: impl Batches,
    progress: &Progress,
) -> anyhow::Result<pb::BatchCreateProspectsResponse> {
    let mut whole = pb::BatchCreateProspectsResponse::default();
    while let Some(prospects) = batches()? {
        let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
        let answer = api.agent.batch_create_prospects(request).await;
        let answer = answer
            .map_err(|s| explain(&s))
            .with_context(|| format!("{} of {} were imported", whole.created_count, counted(rows.count, "prospect")))?;
        let answer = answer.into_inner();
        whole.results.extend(answer.results);
        whole.created_count += answer.created_count;
    }
    let created = u64::try_from(whole.created_count).unwrap_or(0);
    let twice = rows.twice.len() as u64;
    let there = rows.count.saturating_sub(created + twice);
    let were = if there == 1 { "was" } else { "were" };
    let told = [
        (there, format!("{were} there already")),
        (twice, "twice in the file".to_owned()),
        (rows.broken, "passed over as broken".to_owned()),
    ];
    let told = told.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    progress.say(&format!("{} imported{}", counted(created, "prospect"), told.collect::<String>()));
    Ok(whole)
}
