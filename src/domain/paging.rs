//! Pages of a list (keyset pagination): sizes, and tokens that hold where the next page begins.
//!
//! A token is the position of the last row (its place in the list's order) and a hash of everything that shaped the
//! query: the tenant, the list, its filters. Used with another query, or by another tenant, it is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::digest;
use super::error::Error;

/// What shapes a list, hashed: tokens of one shape mean nothing to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryShape(String);

/// How many rows, and after which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<C> {
    pub size: u32,
    pub after: Option<C>,
}

/// The rows of one page, and where the next begins if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    pub rows: Vec<T>,
    pub next: Option<C>,
}

/// The place of a row in a list ordered by a number, such as a time, the highest first, and then by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCursor {
    pub at: i64,
    pub id: String,
}

#[derive(Serialize, Deserialize)]
struct Token<C> {
    q: String,
    c: C,
}

// === impl QueryShape ===

impl QueryShape {
    pub fn new(tenant: &str, list: &str, filters: &[&str]) -> Self {
        let mut parts = vec![tenant.as_bytes(), list.as_bytes()];
        parts.extend(filters.iter().map(|f| f.as_bytes()));
        Self(digest::short(&parts))
    }

    pub fn token<C: Serialize>(&self, cursor: &C) -> String {
        let token = Token { q: self.0.clone(), c: cursor };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    pub fn cursor<C: DeserializeOwned>(&self, token: &str) -> Result<Option<C>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::PageToken)?;
        let token: Token<C> = serde_json::from_slice(&bytes).map_err(|_| Error::PageToken)?;
        if token.q == self.0 { Ok(Some(token.c)) } else { Err(Error::PageToken) }
    }
}

/// The page size that a request means: `default` for 0, refused when negative or over `max`.
pub fn page_size(field: &str, asked: i32, default: u32, max: u32) -> Result<u32, Error> {
    match u32::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) if size <= max => Ok(size),
        _ => Err(Error::field(field, format!("must be between 0 and {max}"))),
    }
}

/// Makes a page of `rows`, which were read with one row more than asked for.
pub fn page<T, C>(mut rows: Vec<T>, size: u32, cursor: impl Fn(&T) -> C) -> Page<T, C> {
    let size = size as usize;
    let more = rows.len() > size;
    rows.truncate(size);
    let next = if more { rows.last().map(cursor) } else { None };
    Page { rows, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_serves_only_the_query_that_it_came_from() {
        let shape = QueryShape::new("user_a", "prospects", &["contacted"]);
        let cursor = RowCursor { at: 7, id: "pr_1".into() };
        let token = shape.token(&cursor);
        assert_eq!(shape.cursor(&token), Ok(Some(cursor)));
        assert_eq!(shape.cursor::<RowCursor>(""), Ok(None));
        for other in [
            QueryShape::new("user_b", "prospects", &["contacted"]),
            QueryShape::new("user_a", "emails", &["contacted"]),
            QueryShape::new("user_a", "prospects", &[""]),
        ] {
            assert_eq!(other.cursor::<RowCursor>(&token), Err(Error::PageToken));
        }
        for broken in ["!", "AAAA", &token[1..], "e30"] {
            assert_eq!(shape.cursor::<RowCursor>(broken), Err(Error::PageToken), "{broken}");
        }
    }

    #[test]
    fn sizes_have_a_default_and_a_limit() {
        assert_eq!(page_size("page_size", 0, 50, 1_000), Ok(50));
        assert_eq!(page_size("page_size", 1_000, 50, 1_000), Ok(1_000));
        assert!(page_size("page_size", 1_001, 50, 1_000).is_err());
        assert!(page_size("page_size", -1, 50, 1_000).is_err());
    }
}
