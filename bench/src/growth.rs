//! The same calls on twenty times the rows: a hundred thousand prospects, and two million.

use std::cell::RefCell;
use std::fs::File;
use std::time::Duration;

use herald::pb;

use crate::args::Args;
use crate::data::{Data, GET, LIST, get};
use crate::draws::Draws;
use crate::generator::{Call, Grpc, Target, framed, in_flight};
use crate::report::{Floor, Report};
use crate::servers::Server;
use crate::single::COLD;

/// Few, so that a call's time is its own and not that of a queue.
const CALLERS: usize = 2;

pub async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let (small, large) = (Data::of(100, 1_000).await?, Data::of(20_000, 100).await?);
    let time = Duration::from_secs(args.seconds);
    let copy = small.copy()?;
    let sizes = [("100,000", &small, copy.path()), ("2,000,000", &large, large.folder.as_path())];
    for round in 0..args.rounds {
        for (size, data, folder) in &sizes {
            // What is compared is the work and not the disk: the copy has just been written, the other may be long unread.
            std::io::copy(&mut File::open(folder.join("herald.db"))?, &mut std::io::sink())?;
            let server = Server::herald(folder, &[COLD])?;
            report.note(&format!("growth: start to ready at {size}"), "ms", server.start.as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(500)).await;
            report.note(&format!("growth: memory at rest at {size}"), "KiB", server.memory_kib()? as f64);
            // Nor is it how long a token takes that is seen for the first time: with twenty times the tenants, that is most.
            let mut grpc = Grpc::connect(server.port).await?;
            for tenant in &data.tenants {
                grpc.call(&Call::grpc(&tenant.token, GET, framed(&get(&tenant.prospects[0])))).await?;
            }
            for (name, path) in [("get", GET), ("list", LIST)] {
                let draws = RefCell::new(Draws::new(round as u64));
                let next = |_, _| {
                    let (tenant, id) = data.draw(&mut draws.borrow_mut());
                    let frame = match path {
                        GET => framed(&get(id)),
                        _ => framed(&pb::ListProspectsRequest::default()),
                    };
                    Call::grpc(&tenant.token, path, frame)
                };
                let outcome = in_flight(Target::Grpc(server.port), CALLERS, time, next).await?;
                let took = outcome.quantile(0.5).as_secs_f64() * 1e6;
                report.note(&format!("growth: {name} at {size}, median"), "µs", took);
            }
        }
    }
    report.ask("growth: start to ready at 2,000,000", Floor::AtMost(150.0));
    report.ask("growth: memory at rest at 2,000,000", Floor::AtMost(40.0 * 1024.0));
    let [of_get, of_list] =
        ["get", "list"].map(|name| ["2,000,000", "100,000"].map(|size| format!("growth: {name} at {size}, median")));
    report.ratio("growth_get", &of_get[0], &of_get[1], Floor::AtMost(1.3));
    report.ratio("growth_list", &of_list[0], &of_list[1], Floor::AtMost(1.3));
    Ok(())
}
