//! Lists that come in pages.

use crate::terminal::tell;

/// Reads pages of at most `max` rows until there are `limit` rows, or as many as there are; 0 means all. Gives the rows, and the token of
/// the next page.
pub(super) async fn rows<T>(
    limit: usize,
    max: usize,
    mut page: impl AsyncFnMut(i32, String) -> anyhow::Result<(Vec<T>, String)>,
) -> anyhow::Result<(Vec<T>, String)> {
    let wanted = if limit == 0 { usize::MAX } else { limit };
    let (mut rows, mut token) = (Vec::new(), String::new());
    loop {
        let size = i32::try_from((wanted - rows.len()).min(max)).unwrap_or(i32::MAX);
        let (some, next) = page(size, token).await?;
        rows.extend(some);
        token = next;
        if token.is_empty() || rows.len() >= wanted {
            return Ok((rows, token));
        }
    }
}

/// Tells that there are more rows than were shown.
pub(super) fn tell_rest(next_page_token: &str) {
    if !next_page_token.is_empty() {
        tell!("there are more; --limit 0 shows all");
    }
}
