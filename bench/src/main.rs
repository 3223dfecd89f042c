//! Measures Herald beside what it is compared with. `make bench` builds everything and runs it; README.md says what each
//! figure means.

mod campaigns;
mod data;
mod echo;
mod flood;
mod generator;
mod growth;
mod h2load;
mod report;
mod servers;
mod single;
mod sqlite;

use std::time::Duration;

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

/// The parts that share the servers of `single`.
const SINGLE: [&str; 8] = ["get", "list", "web", "token", "create", "bulk", "mixed", "cross"];

#[derive(Subcommand)]
enum Command {
    /// Serves the bare echo.
    Echo,
    /// Floods the server on a port of this machine.
    Flood { port: u16, seconds: u64 },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.command {
        Some(Command::Echo) => threads()?.block_on(echo::serve()),
        Some(Command::Flood { port, seconds }) => threads()?.block_on(flood::flood(port, Duration::from_secs(seconds))),
        // On one thread, as h2load is: handing calls from thread to thread takes more of the machine than making them.
        None => tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&args)),
    }
}

fn threads() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let mut report = Report::default();
    if SINGLE.iter().any(|part| args.wants(part)) {
        single::run(args, &mut report).await?;
    }
    if args.wants("growth") {
        growth::run(args, &mut report).await?;
    }
    if args.wants("flood") {
        flood::run(args, &mut report).await?;
    }
    if args.wants("campaigns") {
        campaigns::run(args, &mut report).await?;
    }
    report.write(args.only.is_empty())
}

impl Args {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| part.starts_with(only))
    }
}
