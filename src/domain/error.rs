//! What the rules refuse.

use super::id::IdError;

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's path, such as `prospects[3].email`.
    pub field: String,
    /// What is wrong and what would be right, such as "must be at most 200 characters".
    pub description: String,
}

/// The bad fields of one request, gathered so that a caller hears of all of them at once.
///
/// A request can have millions; the first [`MAX_VIOLATIONS`] are kept, and the rest counted, while they are gathered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    list: Vec<Violation>,
    more: usize,
    /// The prefix of a message's fields, and those of them that are heard of; None: all are.
    within: Option<(&'static str, Vec<&'static str>)>,
}

/// A rule's refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{}", .0.describe())]
    Invalid(Violations),
    #[error("a page token of another query, or none of ours")]
    PageToken,
}

/// How many bad fields one error names; headers have a limit.
pub const MAX_VIOLATIONS: usize = 50;

// === impl Violations ===

impl Violations {
    /// Of the fields whose names begin with `prefix`, hears only of the named ones.
    pub fn within(prefix: &'static str, fields: &[&'static str]) -> Self {
        Self { within: Some((prefix, fields.to_vec())), ..Self::default() }
    }

    /// Notes a bad field. The texts are made only where they are kept.
    pub fn add(&mut self, field: impl AsRef<str>, description: impl Into<String>) {
        if !self.hears_of(field.as_ref()) {
            return;
        }
        if self.list.len() < MAX_VIOLATIONS {
            self.list.push(Violation { field: field.as_ref().to_owned(), description: description.into() });
        } else {
            self.more += 1;
        }
    }

    /// The value, or a violation noted for it.
    pub fn take<T, E: std::fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// The value, or the violations that name their fields themselves.
    pub fn part<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(Error::Invalid(part)) => part.list.into_iter().for_each(|v| self.add(v.field, v.description)),
            Err(error) => self.add("", error.to_string()),
        }
        None
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Those that are kept.
    pub fn list(&self) -> &[Violation] {
        &self.list
    }

    /// How many more there are.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Ok if nothing was noted.
    pub fn done(self) -> Result<(), Error> {
        if self.list.is_empty() { Ok(()) } else { Err(Error::Invalid(self)) }
    }

    fn hears_of(&self, field: &str) -> bool {
        let Some((prefix, fields)) = &self.within else { return true };
        let path = field.strip_prefix(prefix);
        path.is_none_or(|path| fields.contains(&path.split('[').next().unwrap_or(path)))
    }

    fn describe(&self) -> String {
        match self.list.as_slice() {
            [] => "invalid request".to_owned(),
            [one] => format!("{} {}", one.field, one.description),
            [first, rest @ ..] => {
                format!("{} {} (and {} more)", first.field, first.description, rest.len() + self.more)
            }
        }
    }
}

// === impl Error ===

impl Error {
    /// One bad field.
    pub fn field(field: impl AsRef<str>, description: impl Into<String>) -> Self {
        let mut violations = Violations::default();
        violations.add(field, description);
        Self::Invalid(violations)
    }

    /// An id field that holds no id.
    pub fn id(field: &str, error: IdError) -> Self {
        Self::field(field, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_the_first_are_kept_and_the_rest_counted() {
        let mut violations = Violations::default();
        (0..1_000_000).for_each(|i| violations.add(format!("rows[{i}]"), "is bad"));
        assert_eq!((violations.list().len(), violations.more()), (50, 999_950));
        let error = violations.done().expect_err("there are some");
        assert_eq!(error.to_string(), "rows[0] is bad (and 999999 more)");
    }

    #[test]
    fn what_is_not_named_takes_no_place() {
        let mut violations = Violations::within("config.", &["tags"]);
        (0..100).for_each(|_| violations.add("config.goal", "is bad"));
        violations.add("config.tags[3]", "is bad");
        violations.add("request_id", "is bad");
        let fields: Vec<_> = violations.list().iter().map(|v| v.field.as_str()).collect();
        assert_eq!((fields, violations.more()), (vec!["config.tags[3]", "request_id"], 0));
    }
}
