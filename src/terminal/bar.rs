//! A bar on standard error, which shows what it is told as everything else is shown.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place: what the bar is given is one line without control characters"
)]

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::line;

/// Of something that is done by the hundred.
pub struct Bar(ProgressBar);

impl Bar {
    /// Below those that are there; `label` stands before its name.
    pub fn new(label: &str, name: &str, bars: &MultiProgress) -> Self {
        let style = ProgressStyle::with_template("{prefix} {bar:24} {pos:>3}%  {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bars.add(ProgressBar::new(100));
        bar.set_style(style.progress_chars("━╸─"));
        let head = if label.is_empty() { String::new() } else { format!("[{label}] ") };
        bar.set_prefix(line(&format!("{head}{name:16}")).into_owned());
        Self(bar)
    }

    /// How far it is, and what there is to say.
    pub fn show(&self, position: u64, message: &str) {
        self.0.set_position(position);
        self.0.set_message(line(message).into_owned());
    }

    /// Does something while the bars are out of the way.
    pub fn suspend(&self, work: impl FnOnce()) {
        self.0.suspend(work);
    }

    /// Leaves it as it stands.
    pub fn leave(&self) {
        self.0.abandon();
    }
}
