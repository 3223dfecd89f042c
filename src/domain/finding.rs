//! Something that is wrong with a deployment, and what to do about it.

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The server does not start, or something of it does not work.
    Wrong,
    /// All works, for the time being.
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub wrong: String,
    pub to_do: String,
}

impl Finding {
    pub fn new(wrong: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { severity: Severity::Wrong, wrong: wrong.into(), to_do: to_do.into() }
    }

    pub fn warning(wrong: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::new(wrong, to_do) }
    }

    /// What an error tells, with its causes.
    pub fn of(error: &dyn std::error::Error, to_do: impl Into<String>) -> Self {
        Self::new(told(error), to_do)
    }
}

/// The error and its causes, as one sentence, each once: many a cause is told by what it has caused.
pub fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string);
    causes.fold(error.to_string(), |told, cause| if told.contains(&cause) { told } else { format!("{told}: {cause}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let error = anyhow::anyhow!("refused").context("connect error: refused").context("cannot reach it");
        assert_eq!(told(error.as_ref()), "cannot reach it: connect error: refused");
    }
}
