//! What was looked at, and what was found wrong with it.

use crate::domain::finding::{Finding, Severity};

/// All that was looked at, in order.
#[derive(Debug, Default)]
pub struct Report {
    pub looks: Vec<Look>,
}

/// One thing that was looked at; good without findings.
#[derive(Debug)]
pub struct Look {
    pub what: String,
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn add(&mut self, what: impl Into<String>, findings: impl IntoIterator<Item = Finding>) {
        self.looks.push(Look { what: what.into(), findings: findings.into_iter().collect() });
    }

    /// Whether nothing is wrong; there may be warnings.
    pub fn is_good(&self) -> bool {
        self.looks.iter().flat_map(|look| &look.findings).all(|finding| finding.severity != Severity::Wrong)
    }
}
