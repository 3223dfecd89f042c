//! Measures Herald beside what it is compared with. `make bench` builds everything and runs it; README.md says what each
//! figure means.

mod campaigns;
mod collector;
mod data;
mod draws;
mod echo;
mod flood;
mod generator;
mod growth;
mod h2load;
mod report;
mod servers;
mod single;
mod sqlite;
mod token;

use std::time::Duration;

use clap::{Parser, Subcommand};

use report::Report;

/// Herald's, so that the echo is the limit of what both are made of.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(about = "Measures Herald beside what it is compared with")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// How often each contestant is loaded; with fewer than 5 rounds, nothing is written down
    #[arg(long, default_value = "5", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    rounds: usize,
    /// How long each load lasts, in seconds; with less than 2, nothing is written down
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Only these parts; then nothing is written down
    #[arg(long, value_delimiter = ',', value_parser = PARTS)]
    only: Vec<String>,
}

const PARTS: [&str; 12] =
    ["get", "list", "web", "token", "otlp", "cross", "mixed", "create", "bulk", "growth", "flood", "campaigns"];
/// Those that share the servers of `single`.
const SINGLE: &[&str] = PARTS.split_at(9).0;
/// The rounds of a whole run, which is written down, and the seconds of its loads.
const WHOLE: usize = 5;
const LONG: u64 = 2;

#[derive(Subcommand)]
enum Command {
    /// Serves the bare echo.
    #[command(hide = true)]
    Echo,
    /// Floods the server on a port of this machine.
    #[command(hide = true)]
    Flood { port: u16, seconds: u64 },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // The echo is the limit: it must not pay for spans that nobody wants, nor must the generator.
    tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::new())?;
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
    data::sweep()?;
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
    report.write(args.only.is_empty() && args.rounds >= WHOLE && args.seconds >= LONG)
}

impl Args {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}
