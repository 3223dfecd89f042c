//! Makes the pages of lists whose rows may be long: a few rows at a time, until the page or the answer is full.
//!
//! A thousand of the longest rows are eighty megabytes. So rows are read in pieces, and a call that wants more than one has a
//! place among the large answers.

use tonic::Status;

use super::answers::Answers;
use crate::budget::PAGE_ROWS;
use crate::domain::paging::{Page, PageRequest};
use crate::heavy::heavy;
use crate::store::StoreError;
use crate::tenant::TenantId;
use crate::turns::Turn;

/// The bytes that are read at once where rows turn out to be short, and the most rows.
const PIECE: usize = 512 * 1024;
const MAX_ROWS: usize = 500;

/// A page, about its bytes, and the place that it has.
pub(super) struct MadePage<M, C> {
    pub rows: Vec<M>,
    pub next: Option<C>,
    pub size: usize,
    pub place: Option<Turn>,
}

/// How rows become messages.
pub(super) struct Rows<P, V, S> {
    /// The place of a row, from which the next page goes on.
    pub place: P,
    pub convert: V,
    /// What the message takes in an answer, in bytes.
    pub size: S,
}

impl Answers {
    /// The page that `request` asks for, or as much of it as fits into an answer.
    pub(super) async fn page<R, C: Clone, M, Read: Future<Output = Result<Page<R, C>, StoreError>>>(
        &self,
        tenant: &TenantId,
        mut request: PageRequest<C>,
        read: impl Fn(PageRequest<C>) -> Read,
        rows: Rows<impl Fn(&R) -> C, impl Fn(R) -> Result<M, Status>, impl Fn(&M) -> usize>,
    ) -> Result<MadePage<M, C>, Status> {
        let wanted = request.size as usize;
        let place = if request.size > PAGE_ROWS { Some(self.large(tenant).await) } else { None };
        // A page token goes with the rows.
        let room = self.max.saturating_sub(4 * 1024);
        let mut made = Page { rows: Vec::new(), next: None };
        let mut left = room;
        let done = |page: Page<M, C>, left| MadePage { rows: page.rows, next: page.next, size: room - left, place };
        let mut piece = PAGE_ROWS as usize;
        loop {
            request.size = u32::try_from(piece.min(wanted - made.rows.len())).unwrap_or(PAGE_ROWS);
            let read = read(request.clone()).await?;
            let before = left;
            let size = if made.rows.is_empty() { 0 } else { PIECE };
            if !heavy(size, || add(&mut made, read, &mut left, &rows))? {
                return Ok(done(made, left));
            }
            let Some(next) = made.next.clone().filter(|_| made.rows.len() < wanted) else {
                return Ok(done(made, left));
            };
            request.after = Some(next);
            let row = (before - left) / request.size.max(1) as usize;
            piece = (PIECE / row.max(1)).clamp(PAGE_ROWS as usize, MAX_ROWS);
        }
    }
}

/// Adds what was read to the page; false if the answer is full.
fn add<R, C, M>(
    made: &mut Page<M, C>,
    read: Page<R, C>,
    left: &mut usize,
    rows: &Rows<impl Fn(&R) -> C, impl Fn(R) -> Result<M, Status>, impl Fn(&M) -> usize>,
) -> Result<bool, Status> {
    for row in read.rows {
        let place = (rows.place)(&row);
        let message = (rows.convert)(row)?;
        match left.checked_sub((rows.size)(&message)) {
            Some(rest) => *left = rest,
            // One row is answered whatever its size.
            None if made.rows.is_empty() => *left = 0,
            None => return Ok(false),
        }
        made.rows.push(message);
        made.next = Some(place);
    }
    made.next = read.next;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::domain::paging::page;

    /// The page of `wanted` rows after `after`, of rows 1 to `rows` of `size` bytes each, and how many rows each read asked
    /// for.
    async fn made(rows: u32, size: usize, room: usize, wanted: u32, after: u32) -> (Page<u32, u32>, Vec<u32>) {
        let asked = RefCell::new(Vec::new());
        let read = |request: PageRequest<u32>| {
            asked.borrow_mut().push(request.size);
            let from = request.after.unwrap_or(0) + 1;
            let found = (from..=rows).take(request.size as usize + 1).collect();
            async move { Ok(page(found, request.size, |row| *row)) }
        };
        let tenant = TenantId::parse("a").expect("a tenant");
        let shown = Rows { place: |row: &u32| *row, convert: Ok, size: |_: &u32| size };
        let request = PageRequest { size: wanted, after: Some(after) };
        let page = Answers::new(room + 4 * 1024).page(&tenant, request, read, shown).await.expect("a page");
        (Page { rows: page.rows, next: page.next }, asked.into_inner())
    }

    #[tokio::test]
    async fn a_page_is_read_in_pieces_until_it_is_full() {
        let (page, asked) = made(1_000, 100, usize::MAX / 2, 120, 7).await;
        assert_eq!((page.rows, page.next), ((8..=127).collect(), Some(127)));
        assert_eq!(asked, [50, 70], "short rows are read more at once");
        let (page, asked) = made(1_000, 20_000, usize::MAX / 2, 120, 0).await;
        assert_eq!((page.rows.len(), page.next, asked), (120, Some(120), vec![50, 50, 20]));
        let (page, _) = made(60, 100, usize::MAX / 2, 120, 0).await;
        assert_eq!((page.rows.len(), page.next), (60, None));
        let (page, _) = made(50, 100, usize::MAX / 2, 50, 0).await;
        assert_eq!((page.rows.len(), page.next), (50, None));
    }

    #[tokio::test]
    async fn a_page_is_cut_before_what_does_not_fit_and_goes_on_there() {
        for (room, count) in [(100, 1_u32), (199, 1), (200, 2), (6_000, 60), (6_001, 60), (99, 1)] {
            let (page, _) = made(1_000, 100, room, 200, 0).await;
            assert_eq!((page.rows.len(), page.next), (count as usize, Some(count)), "{room}");
        }
    }
}
