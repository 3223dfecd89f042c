//! Which reads still hold: what lets answers be kept and yet never be older than an answered write. A seqlock for each thing
//! that can be read.
//!
//! Every table of every tenant, and every row that is read by itself, has a cell with a version. A write bumps the cells of
//! its write set twice: before its commit to an odd number, after it to the next even one. A read notes its read set, the
//! versions that it found before it read; what was made of it holds as long as they stand where they stood. So nobody is
//! given what was before a commit once anybody may have seen what is after it, and a read that ran beside a commit is not
//! kept at all.
//!
//! Nothing has to be remembered by whoever writes a query: a text names its tables ([`super::sql`]), and the doors note
//! them. Where a query touches one row alone, it may say so, and leaves the answers about other rows standing.
//!
//! There are fewer cells than rows: two that share a cell are bumped together, which costs a read and nothing else.
//! Which ones do is random in each process, so that no tenant can choose whose answers it drops.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::sql::Tables;
use crate::tenant::TenantId;

/// 4 MiB, which the system gives only as they are written.
const CELLS: usize = 1 << 20;

/// The versions of everything.
pub struct Freshness {
    cells: Box<[AtomicU32]>,
    hasher: RandomState,
}

/// The cells of what a group of writes changes.
pub(super) struct WriteSet {
    freshness: Arc<Freshness>,
    cells: Vec<u32>,
}

/// What an answer was made of: cells, with the versions that they had before they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadSet {
    versions: Vec<(u32, u32)>,
}

/// What has a cell.
#[derive(Hash)]
enum Place<'a> {
    /// A tenant's table: bumped by every change in it.
    Table(&'a str, u32),
    /// A tenant's row: bumped by the changes that touch it alone.
    Row(&'a str, u32, &'a str),
    /// All of a tenant's rows of a table: bumped by changes that do not say which they touch.
    Rows(&'a str, u32),
    /// A table of all tenants: bumped by changes that cross tenants.
    Everybody(u32),
}

tokio::task_local! {
    static RECORDING: RefCell<ReadSet>;
}

/// Runs the future, and tells what it has read.
pub async fn recorded<F: Future>(future: F) -> (F::Output, ReadSet) {
    RECORDING
        .scope(RefCell::default(), async move {
            let output = future.await;
            (output, RECORDING.with(RefCell::take))
        })
        .await
}

// === impl Freshness ===

impl Freshness {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { cells: (0..CELLS).map(|_| AtomicU32::new(0)).collect(), hasher: RandomState::new() })
    }

    /// Whether nothing has been changed since.
    pub fn holds(&self, reads: &ReadSet) -> bool {
        reads.versions.iter().all(|&(cell, version)| self.version(cell) == version)
    }

    /// To be called before these tables are read.
    pub(super) fn reading(&self, tenant: &TenantId, tables: Tables) {
        self.note(|note| {
            for table in tables.each() {
                note(self.cell(&Place::Table(tenant.as_str(), table)));
                note(self.cell(&Place::Everybody(table)));
            }
        });
    }

    /// To be called before this row of the tables is read, and nothing else of them.
    pub(super) fn reading_row(&self, tenant: &TenantId, tables: Tables, id: &str) {
        self.note(|note| {
            for table in tables.each() {
                note(self.cell(&Place::Row(tenant.as_str(), table, id)));
                note(self.cell(&Place::Rows(tenant.as_str(), table)));
                note(self.cell(&Place::Everybody(table)));
            }
        });
    }

    fn note(&self, places: impl FnOnce(&mut dyn FnMut(u32))) {
        // Whoever's answers are not kept is not recorded.
        let _ = RECORDING.try_with(|reads| {
            let mut reads = reads.borrow_mut();
            places(&mut |cell| reads.versions.push((cell, self.version(cell))));
        });
    }

    fn version(&self, cell: u32) -> u32 {
        self.cells[cell as usize].load(Ordering::SeqCst)
    }

    fn cell(&self, place: &Place<'_>) -> u32 {
        u32::try_from(self.hasher.hash_one(place) % CELLS as u64).unwrap_or(0)
    }
}

// === impl WriteSet ===

impl WriteSet {
    pub(super) fn new(freshness: Arc<Freshness>) -> Self {
        Self { freshness, cells: Vec::new() }
    }

    /// Rows of the tenant's tables are changed.
    pub(super) fn tables(&mut self, tenant: &TenantId, tables: Tables) {
        for table in tables.each() {
            self.push(&Place::Table(tenant.as_str(), table));
            self.push(&Place::Rows(tenant.as_str(), table));
        }
    }

    /// This row of the tenant's tables is changed, and nothing else of them.
    pub(super) fn row(&mut self, tenant: &TenantId, tables: Tables, id: &str) {
        for table in tables.each() {
            self.push(&Place::Table(tenant.as_str(), table));
            self.push(&Place::Row(tenant.as_str(), table, id));
        }
    }

    /// Rows of whatever tenants are changed.
    pub(super) fn everybody(&mut self, tables: Tables) {
        for table in tables.each() {
            self.push(&Place::Everybody(table));
        }
    }

    /// The commit begins: from here on, nothing that was read before is given any more.
    pub(super) fn begin(&mut self) {
        self.cells.sort_unstable();
        self.cells.dedup();
        self.bump();
    }

    /// The commit has ended, whichever way, and nobody has been told of it yet.
    pub(super) fn end(&mut self) {
        self.bump();
    }

    fn push(&mut self, place: &Place<'_>) {
        self.cells.push(self.freshness.cell(place));
    }

    fn bump(&mut self) {
        for &cell in &self.cells {
            self.freshness.cells[cell as usize].fetch_add(1, Ordering::SeqCst);
        }
    }
}

// === impl ReadSet ===

impl ReadSet {
    /// Whether an answer made of these may be kept: it has read something, and no commit was under way there.
    pub fn settled(&self) -> bool {
        !self.versions.is_empty() && self.versions.iter().all(|(_, version)| version % 2 == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("a tenant")
    }

    async fn read(freshness: &Freshness, name: &str, tables: Tables, row: Option<&str>) -> ReadSet {
        let read = async {
            match row {
                Some(id) => freshness.reading_row(&tenant(name), tables, id),
                None => freshness.reading(&tenant(name), tables),
            }
        };
        recorded(read).await.1
    }

    #[tokio::test]
    async fn a_change_bumps_what_it_writes_and_nothing_else() {
        let freshness = Freshness::new();
        let (prospects, emails) = (Tables::named_in("prospects"), Tables::named_in("emails"));
        let list = read(&freshness, "a", prospects, None).await;
        let row = read(&freshness, "a", prospects, Some("pr_1")).await;
        let other_row = read(&freshness, "a", prospects, Some("pr_2")).await;
        let others = [
            read(&freshness, "b", prospects, None).await,
            read(&freshness, "b", prospects, Some("pr_1")).await,
            read(&freshness, "a", emails, None).await,
        ];
        let holding = |reads: &[&ReadSet]| reads.iter().map(|reads| freshness.holds(reads)).collect::<Vec<_>>();
        let commit = |write: &dyn Fn(&mut WriteSet)| {
            let mut written = WriteSet::new(freshness.clone());
            write(&mut written);
            written.begin();
            written.end();
        };

        commit(&|written| written.row(&tenant("a"), prospects, "pr_1"));
        assert_eq!(holding(&[&list, &row, &other_row]), [false, false, true]);
        commit(&|written| written.tables(&tenant("a"), prospects));
        assert_eq!(holding(&[&other_row]), [false]);
        assert!(others.iter().all(|reads| freshness.holds(reads)));
        commit(&|written| written.everybody(prospects));
        assert_eq!(holding(&[&others[0], &others[1], &others[2]]), [false, false, true]);
    }

    #[tokio::test]
    async fn what_is_read_beside_a_commit_is_not_kept() {
        let freshness = Freshness::new();
        let tables = Tables::named_in("prospects");
        let before = read(&freshness, "a", tables, None).await;
        let mut written = WriteSet::new(freshness.clone());
        // Twice in one commit, as two writes of a group may.
        written.tables(&tenant("a"), tables);
        written.tables(&tenant("a"), tables);
        written.begin();
        assert!(before.settled() && !freshness.holds(&before));
        let beside = read(&freshness, "a", tables, None).await;
        assert!(!beside.settled());
        written.end();
        let after = read(&freshness, "a", tables, None).await;
        assert!(after.settled() && freshness.holds(&after) && !freshness.holds(&beside));
    }

    #[tokio::test]
    async fn what_reads_nothing_is_not_kept() {
        let ((), reads) = recorded(async {}).await;
        assert!(!reads.settled());
    }
}
