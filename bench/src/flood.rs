//! One tenant floods with 64 connections while another calls a hundred times a second, whatever it is answered.

use std::process::Stdio;
use std::time::{Duration, Instant};

use herald::pb;
use tonic::Code;

use crate::args::Args;
use crate::data::{Data, GET, LIST, get};
use crate::draws::Draws;
use crate::generator::{Call, Grpc, Outcome, framed};
use crate::report::{Floor, Report};
use crate::servers::Server;
use crate::token::token;

const CONNECTIONS: usize = 64;
/// The calls that each of the flood's connections keeps in flight.
const EACH: usize = 16;
/// The other tenant's calls per second.
const RATE: u32 = 100;
const FLOODING: &str = "tenant_00001";

/// As it is shipped.
const PROTECTED: &[(&str, &str)] = &[];
const UNPROTECTED: &[(&str, &str)] =
    &[("HERALD_FAIRNESS_MAX_CALLS", "0"), ("HERALD_FAIRNESS_MAX_STREAMS", "0"), ("HERALD_FAIRNESS_TURNS", "false")];

pub async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let data = Data::of(100, 1_000).await?;
    let time = Duration::from_secs(args.seconds.max(5));
    for round in 0..args.rounds {
        for (name, settings) in [("protected", PROTECTED), ("unprotected", UNPROTECTED)] {
            // New ones in each round: the read cache would come to know the flood's searches.
            let copy = data.copy()?;
            let server = Server::herald(copy.path(), settings)?;
            if settings == PROTECTED {
                let alone = steady(&data, server.port, time, round as u64).await?;
                report.note("flood: alone, p99", "ms", alone.quantile(0.99).as_secs_f64() * 1e3);
            }
            // In a process of its own, so that the measuring one is not what is late.
            let seconds = (time + Duration::from_secs(2)).as_secs().to_string();
            let flood = tokio::process::Command::new(std::env::current_exe()?)
                .args(["flood", &server.port.to_string(), &seconds])
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let flooded = steady(&data, server.port, time, round as u64).await?;
            report.note(&format!("flood: {name}, p50"), "ms", flooded.quantile(0.5).as_secs_f64() * 1e3);
            report.note(&format!("flood: {name}, p99"), "ms", flooded.quantile(0.99).as_secs_f64() * 1e3);
            let told = flood.wait_with_output().await?.stdout;
            let told: Vec<f64> =
                String::from_utf8_lossy(&told).split_whitespace().filter_map(|word| word.parse().ok()).collect();
            if let [answered, refused] = told[..] {
                report.note(&format!("flood: {name}, the flood's answers"), "calls/s", answered);
                report.note(&format!("flood: {name}, the flood's refusals"), "calls/s", refused);
            }
        }
    }
    if let Some(alone) = report.median("flood: alone, p99") {
        let allowed = (3.0 * alone).max(10.0);
        report.note("flood: allowed p99", "ms", allowed);
        report.ratio("flood_p99", "flood: protected, p99", "flood: allowed p99", Floor::AtMost(1.0));
    }
    Ok(())
}

/// An open loop: each call at its time, and timed from then, whether the one before it was answered or not.
async fn steady(data: &Data, port: u16, time: Duration, seed: u64) -> anyhow::Result<Outcome> {
    let grpc = Grpc::connect(port).await?;
    let tenant = &data.tenants[0];
    let mut draws = Draws::new(seed);
    let begun = Instant::now();
    let mut calls = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    while begun.elapsed() < time {
        let due = ticks.tick().await.into_std();
        let frame = framed(&get(&tenant.prospects[draws.below(tenant.prospects.len())]));
        let (mut grpc, token) = (grpc.clone(), tenant.token.clone());
        calls
            .push(tokio::spawn(async move { grpc.call(&Call::grpc(&token, GET, frame)).await.map(|_| due.elapsed()) }));
    }
    let mut latencies = Vec::new();
    for call in calls {
        latencies.push(call.await??);
    }
    latencies.sort_unstable();
    Ok(Outcome { per_second: f64::from(RATE), latencies })
}

/// The flood: lists with a search, each of which looks through a thousand rows; the read cache comes to know some of them.
/// A refused call is sent again at once.
pub async fn flood(port: u16, time: Duration) -> anyhow::Result<()> {
    let token = token(FLOODING)?;
    let begun = Instant::now();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Grpc::connect(port).await?);
    }
    let (token, connections) = (&token, &connections);
    let callers = (0..CONNECTIONS * EACH).map(|caller| async move {
        let mut grpc = connections[caller % CONNECTIONS].clone();
        let (mut answered, mut refused) = (0_u64, 0_u64);
        while begun.elapsed() < time {
            let query = format!("duarte.{}", answered % 1_000);
            let request = pb::ListProspectsRequest { query, page_size: 1 + caller as i32 % 100, ..Default::default() };
            match grpc.call(&Call::grpc(token, LIST, framed(&request))).await {
                Ok(_) => answered += 1,
                Err(status) if status.code() == Code::ResourceExhausted => refused += 1,
                Err(status) => return Err(anyhow::Error::from(status)),
            }
        }
        Ok((answered, refused))
    });
    let told = futures_util::future::try_join_all(callers).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let sum = |of: fn(&(u64, u64)) -> u64| told.iter().map(of).sum::<u64>() as f64 / seconds;
    println!("{} {}", sum(|told| told.0), sum(|told| told.1));
    Ok(())
}
