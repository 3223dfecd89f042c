//! Why an operation on the cache is refused, and the limits that the refusals state.

/// The longest key, in bytes; the largest value, in bytes of JSON, and the most elements in it, so that what was set can be
/// read; the longest list.
pub const MAX_KEY: usize = 512;
pub const MAX_VALUE: usize = 1024 * 1024;
pub const MAX_ELEMENTS: usize = 100_000;
pub const MAX_LIST: usize = 10_000;

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    #[error("must have 1 to {MAX_KEY} bytes")]
    Key,
    #[error("must have at most {MAX_VALUE} bytes as JSON")]
    TooLarge,
    #[error("must hold at most {MAX_ELEMENTS} elements: objects, arrays, texts, numbers, booleans and nulls")]
    TooManyElements,
    #[error("the list has {MAX_LIST} items, and may have no more")]
    ListFull,
    /// A counter or a list was asked for where something else is.
    #[error("the key holds a value of another kind")]
    Kind,
    /// What was asked for weighs more than the caller has room for.
    #[error("the values are too many or too large for one answer")]
    NoRoom,
    /// Redis has no room for it (OOM).
    #[error("the cache is full")]
    Full,
    /// Redis is there, and answers this one operation with an error of that code, such as NOPERM, READONLY or MOVED.
    #[error("Redis answers {0}")]
    Refused(String),
    #[error("the cache cannot be reached")]
    Unavailable,
}

pub type Result<T, E = CacheError> = std::result::Result<T, E>;
