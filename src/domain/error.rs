//! What the rules refuse.

use super::id::IdError;
use super::mask::Mask;

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's path, such as `prospects[3].email`.
    pub field: String,
    /// What is wrong and what would be right, such as "must be at most 200 characters".
    pub description: String,
}

/// The bad fields of one request, gathered so that a caller hears of all of them at once.
#[derive(Debug, Default)]
pub struct Violations {
    list: Vec<Violation>,
}

/// A rule's refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{}", describe(.0))]
    Invalid(Vec<Violation>),
    #[error("a page token of another query, or none of ours")]
    PageToken,
}

/// How many bad fields one error names; a batch of 1,000 rows may have more, and headers have a limit.
const MOST_REPORTED: usize = 50;

// === impl Violations ===

impl Violations {
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.list.push(Violation { field: field.into(), description: description.into() });
    }

    /// The value, or a violation noted for it.
    pub fn take<T, E: std::fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// Forgets what was noted of fields that the mask does not name; `prefix` stands before their names.
    pub fn only_of(&mut self, prefix: &str, mask: &Mask) {
        self.list.retain(|violation| {
            let path = violation.field.strip_prefix(prefix);
            path.is_none_or(|path| mask.has(path.split('[').next().unwrap_or(path)))
        });
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Ok if nothing was noted.
    pub fn done(self) -> Result<(), Error> {
        if self.list.is_empty() { Ok(()) } else { Err(Error::Invalid(self.list)) }
    }
}

// === impl Error ===

impl Error {
    /// One bad field.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.into(), description: description.into() }])
    }

    /// An id field that holds no id.
    pub fn id(field: &str, error: IdError) -> Self {
        Self::field(field, error.to_string())
    }
}

/// What one error tells of its violations: the first fifty, and how many more there are.
pub fn reported(violations: &[Violation]) -> (&[Violation], usize) {
    let shown = violations.len().min(MOST_REPORTED);
    (&violations[..shown], violations.len() - shown)
}

fn describe(violations: &[Violation]) -> String {
    match violations {
        [] => "invalid request".to_owned(),
        [one] => format!("{} {}", one.field, one.description),
        [first, rest @ ..] => format!("{} {} (and {} more)", first.field, first.description, rest.len()),
    }
}
