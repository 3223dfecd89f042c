//! Counts as signed numbers, which the API, SQLite and Redis have: the largest one stands for whatever is larger.

pub fn saturating_i32(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

pub fn saturating_i64(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
