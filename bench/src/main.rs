//! Measures Herald beside what it is compared with. `make bench` builds everything and runs it; README.md says what each
//! figure means.

mod args;
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
mod sending;
mod servers;
mod single;
mod sink;
mod sqlite;
mod token;

use std::time::Duration;

use clap::Parser as _;

use args::{Args, Command, SINGLE};
use report::Report;

/// Herald's, so that the echo is the limit of what both are made of.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The rounds of a whole run, which is written down, and the seconds of its loads.
const WHOLE: usize = 5;
const LONG: u64 = 2;

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
    if args.wants("sending") {
        sending::run(args, &mut report).await?;
    }
    report.write(args.only.is_empty() && args.rounds >= WHOLE && args.seconds >= LONG)
}
