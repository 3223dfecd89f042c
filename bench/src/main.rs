//! Measures Herald beside what it is compared with. `make bench` builds everything and runs it; README.md says what each
//! figure means.

mod data;
mod echo;
mod generator;
mod h2load;
mod report;
mod servers;
mod single;
mod sqlite;

use clap::{Parser, Subcommand};

use report::Report;

#[derive(Parser)]
#[command(about = "Measures Herald beside what it is compared with")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// How often each contestant is loaded.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only the parts whose names begin so.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the bare echo.
    Echo,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Command::Echo) = args.command {
        return echo::serve().await;
    }
    let mut report = Report::default();
    single::run(&args, &mut report).await?;
    report.write()
}

impl Args {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| part.starts_with(only))
    }
}
