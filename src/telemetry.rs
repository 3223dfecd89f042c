//! Logs: to standard error, so that standard output stays for what a command answers.

use tracing_subscriber::EnvFilter;

/// Starts logging as `filter` says; the error names what is wrong with the filter.
pub fn start(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("the setting `log`: {error}"))?;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    // Already started by another test of the same process: that one serves.
    let _ = logs.try_init();
    Ok(())
}
