//! A bar on standard error, which shows what it is told as everything else is shown.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place: what the bar is given is one line without control characters"
)]

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::line;

/// Of something that is done by the hundred.
pub struct Bar {
    bar: ProgressBar,
    label: String,
}

impl Bar {
    /// Below those that are there; `label` stands before what is done. A narrow terminal cuts the end of it.
    pub fn new(label: &str, bars: &MultiProgress) -> Self {
        let style = ProgressStyle::with_template("{pos:>3}% {bar:10} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bars.add(ProgressBar::new(100));
        bar.set_style(style.progress_chars("━╸─"));
        Self { bar, label: if label.is_empty() { String::new() } else { format!("[{label}] ") } }
    }

    /// What is done, how far it is, and what there is to say.
    pub fn show(&self, what: &str, position: u64, message: &str) {
        if self.bar.is_finished() {
            self.bar.reset();
        }
        self.bar.set_message(line(&format!("{}{what} {message}", self.label)).trim_end().to_owned());
        self.bar.set_position(position);
    }

    /// Does something while the bars are out of the way.
    pub fn suspend(&self, work: impl FnOnce()) {
        self.bar.suspend(work);
    }

    /// Takes it off the screen until it is shown again.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
