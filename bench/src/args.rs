//! What is measured, how often and for how long.

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures Herald beside what it is compared with")]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How often each contestant is loaded; with fewer than 5 rounds, nothing is written down
    #[arg(long, default_value = "5", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub rounds: usize,
    /// How long each load lasts, in seconds; with less than 2, nothing is written down
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Only these parts; then nothing is written down
    #[arg(long, value_delimiter = ',', value_parser = PARTS)]
    pub only: Vec<String>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Serves the bare echo.
    #[command(hide = true)]
    Echo,
    /// Floods the server on a port of this machine.
    #[command(hide = true)]
    Flood { port: u16, seconds: u64 },
}

const PARTS: [&str; 13] = [
    "get",
    "list",
    "web",
    "token",
    "otlp",
    "cross",
    "mixed",
    "create",
    "bulk",
    "growth",
    "flood",
    "campaigns",
    "sending",
];
/// Those that share the servers of `single`.
pub const SINGLE: &[&str] = PARTS.split_at(9).0;

impl Args {
    pub fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}
