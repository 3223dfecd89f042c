//! Something that is wrong with a deployment, and what to do about it.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub wrong: String,
    pub to_do: String,
}

impl Finding {
    pub fn new(wrong: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { wrong: wrong.into(), to_do: to_do.into() }
    }
}
