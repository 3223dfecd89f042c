//! Where a page of a list begins (keyset pagination).

use crate::domain::paging::{PageRequest, RowCursor};

/// The place after which a page of a list begins that has the highest first; before everything for the first.
pub(super) fn highest_first(request: &PageRequest<RowCursor>) -> (i64, String) {
    request.after.as_ref().map_or_else(|| (i64::MAX, String::new()), |c| (c.at, c.id.clone()))
}
