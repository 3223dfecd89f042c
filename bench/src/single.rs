//! Single calls: get, list, create, the mix, gRPC-Web, tokens, batches.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use herald::pb;
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey};

use crate::Args;
use crate::data::{Data, Draws, FRAME_BYTES, Token, framed, prospect, prospect_json, signed};
use crate::echo;
use crate::generator::{Call, Grpc, Target, closed_loop, in_flight};
use crate::h2load::{self, Load};
use crate::report::{Floor, Report};
use crate::servers::Server;
use crate::sqlite;

pub const GET: &str = "/herald.v1.AgentService/GetProspect";
pub const LIST: &str = "/herald.v1.AgentService/ListProspects";
pub const CREATE: &str = "/herald.v1.AgentService/BatchCreateProspects";
const UPDATE: &str = "/herald.v1.AgentService/UpdateProspect";
const GRPC: &str = "application/grpc";

/// Settings that turn the read cache off.
pub const COLD: (&str, &str) = ("HERALD_READ_CACHE_MEMORY_BYTES", "0");

/// A request of a kind, framed, and how many bytes the message has that answers it.
struct Sample {
    frame: Bytes,
    answer: usize,
}

pub async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let data = Data::of(100, 1_000).await?;
    let (tenant, id) = (&data.tenants[0], &data.tenants[0].prospects[0]);
    let seconds = args.seconds;
    let time = Duration::from_secs(args.seconds);

    // Every contestant has its own copy; all are up at once, and idle while another is loaded.
    let (of_herald, of_cold, of_express, of_sqlite) = (data.copy()?, data.copy()?, data.copy()?, data.copy()?);
    let of_rs256 = data.copy()?;
    let key = of_rs256.path().join("key.pem");
    let private = rsa_key(&key)?;
    let herald = Server::herald(of_herald.path(), &[])?;
    let cold = Server::herald(of_cold.path(), &[COLD])?;
    let rs256 = Server::herald(of_rs256.path(), &[("HERALD_AUTH_PUBLIC_KEY_FILE", &key.display().to_string())])?;
    let echo = Server::echo()?;
    let redis = Server::redis()?;
    let express = Server::express(&of_express.path().join("herald.db"), None)?;
    let of_cached = data.copy()?;
    let redis_url = format!("redis://127.0.0.1:{}", redis.port);
    let cached = Server::express(&of_cached.path().join("herald.db"), Some(&redis_url))?;

    let get = sample(&herald, &tenant.token, GET, framed(&get(id))).await?;
    let list = sample(&herald, &tenant.token, LIST, framed(&pb::ListProspectsRequest::default())).await?;
    let create = sample(&herald, &tenant.token, CREATE, created("sample")).await?;
    println!("answers: get {}, list {}, create {} bytes", get.answer, list.answer, create.answer);

    // What one body will do for.
    let grpc = |server: &Server, path: &str, token: &Token, sample: &Sample, kind: &str| {
        let load = h2load::Grpc { content_type: kind, body: &sample.frame };
        h2load::run(&Load { url: server.url() + path, token, grpc: Some(load) }, seconds, sample.answer)
    };
    let echoed = |sample: &Sample| framed(&echo::request(sample.frame.len() - FRAME_BYTES, sample.answer));
    let limit = |sample: &Sample| {
        let body = echoed(sample);
        let load = h2load::Grpc { content_type: GRPC, body: &body };
        h2load::run(
            &Load { url: echo.url() + echo::PATH, token: &tenant.token, grpc: Some(load) },
            seconds,
            sample.answer,
        )
    };
    let http = |server: &Server, path: &str, answer: usize| {
        h2load::run(&Load { url: server.url() + path, token: &tenant.token, grpc: None }, seconds, answer)
    };
    let one = format!("/api/agent/prospects/{id}");
    let page = "/api/agent/prospects?limit=50";
    for round in 0..args.rounds {
        println!("round {} of {}", round + 1, args.rounds);
        if args.wants("get") {
            report.note("get: echo", "calls/s", limit(&get)?);
            report.note("get: herald", "calls/s", grpc(&herald, GET, &tenant.token, &get, GRPC)?);
            report.note("get: herald, cache off", "calls/s", grpc(&cold, GET, &tenant.token, &get, GRPC)?);
            report.note("get: express", "calls/s", http(&express, &one, 200)?);
            report.note("get: express, redis", "calls/s", http(&cached, &one, 200)?);
        }
        if args.wants("list") {
            report.note("list: echo", "calls/s", limit(&list)?);
            report.note("list: herald", "calls/s", grpc(&herald, LIST, &tenant.token, &list, GRPC)?);
            report.note("list: herald, cache off", "calls/s", grpc(&cold, LIST, &tenant.token, &list, GRPC)?);
            report.note("list: express", "calls/s", http(&express, page, 10_000)?);
            report.note("list: express, redis", "calls/s", http(&cached, page, 10_000)?);
        }
        if args.wants("web") {
            let web = "application/grpc-web+proto";
            report.note("web: grpc", "calls/s", grpc(&herald, GET, &tenant.token, &get, GRPC)?);
            report.note("web: grpc-web", "calls/s", grpc(&herald, GET, &tenant.token, &get, web)?);
        }
        if args.wants("token") {
            let token = signed(&tenant.id, Algorithm::RS256, &private)?;
            report.note("token: hs256", "calls/s", grpc(&herald, GET, &tenant.token, &get, GRPC)?);
            report.note("token: rs256", "calls/s", grpc(&rs256, GET, &token, &get, GRPC)?);
        }
        if args.wants("create") {
            let frame = echoed(&create);
            let same = |_, _| Call::grpc(&tenant.token, echo::PATH, frame.clone());
            let of_echo = closed_loop(Target::Grpc(echo.port), time, same).await?;
            report.note("create: echo", "calls/s", of_echo.per_second);
            let next = |caller: usize, n: u64| {
                let token = &data.tenants[caller % data.tenants.len()].token;
                Call::grpc(token, CREATE, created(&format!("r{round}.{caller}.{n}")))
            };
            let of_herald = closed_loop(Target::Grpc(herald.port), time, next).await?;
            report.note("create: herald", "calls/s", of_herald.per_second);
            let next = |caller: usize, n: u64| Call {
                token: &data.tenants[caller % data.tenants.len()].token,
                method: Method::POST,
                path: Cow::Borrowed("/api/agent/prospects"),
                body: prospect_json(&format!("r{round}.{caller}.{n}")).to_string().into(),
            };
            let of_express = closed_loop(Target::Http(express.port), time, next).await?;
            report.note("create: express", "calls/s", of_express.per_second);
        }
        if args.wants("bulk") {
            for callers in [1, 4] {
                let next = |caller: usize, n: u64| {
                    let frame = batch(&format!("b{round}.{callers}.{caller}.{n}"), 1_000);
                    Call::grpc(&data.tenants[caller].token, CREATE, frame)
                };
                let of_herald = in_flight(Target::Grpc(herald.port), callers, time, next).await?;
                report.note(&format!("bulk: herald, {callers} callers"), "rows/s", of_herald.per_second * 1_000.0);
            }
            report.note("bulk: sqlite", "rows/s", sqlite::run(&of_sqlite.path().join("herald.db"), time, round)?);
        }
        if args.wants("mixed") {
            let draws = RefCell::new(Draws::new(round as u64));
            let next = |_, _| {
                let mut draws = draws.borrow_mut();
                let (tenant, id) = data.draw(&mut draws);
                let (path, frame) = match draws.below(10) {
                    0 => (LIST, framed(&pb::ListProspectsRequest::default())),
                    1 => (UPDATE, framed(&updated(id, draws.below(100)))),
                    _ => (GET, framed(&self::get(id))),
                };
                Call::grpc(&tenant.token, path, frame)
            };
            let of_herald = closed_loop(Target::Grpc(herald.port), time, next).await?;
            report.note("mixed: herald", "calls/s", of_herald.per_second);
            let of_cold = closed_loop(Target::Grpc(cold.port), time, next).await?;
            report.note("mixed: herald, cache off", "calls/s", of_cold.per_second);
            for (name, server) in [("mixed: express", &express), ("mixed: express, redis", &cached)] {
                let draws = RefCell::new(Draws::new(round as u64));
                let next = |_, _| {
                    let mut draws = draws.borrow_mut();
                    let (tenant, id) = data.draw(&mut draws);
                    let one = Cow::Owned(format!("/api/agent/prospects/{id}"));
                    let (method, path, body) = match draws.below(10) {
                        0 => (Method::GET, Cow::Borrowed(page), Bytes::new()),
                        1 => {
                            let (notes, priority) = change(draws.below(100));
                            let body = serde_json::json!({ "notes": notes, "priorityScore": priority });
                            (Method::PATCH, one, body.to_string().into())
                        }
                        _ => (Method::GET, one, Bytes::new()),
                    };
                    Call { token: &tenant.token, method, path, body }
                };
                let of_express = closed_loop(Target::Http(server.port), time, next).await?;
                report.note(name, "calls/s", of_express.per_second);
            }
        }
        if args.wants("cross") {
            // The generator against h2load, on the same call.
            let same = |_, _| Call::grpc(&tenant.token, LIST, list.frame.clone());
            let ours = closed_loop(Target::Grpc(cold.port), time, same).await?;
            report.note("cross: list, cache off, generator", "calls/s", ours.per_second);
            report.note("cross: list, cache off, h2load", "calls/s", grpc(&cold, LIST, &tenant.token, &list, GRPC)?);
            let same = |_, _| Call::grpc(&tenant.token, GET, get.frame.clone());
            let ours = closed_loop(Target::Grpc(herald.port), time, same).await?;
            report.note("cross: get, generator", "calls/s", ours.per_second);
            report.note("cross: get, h2load", "calls/s", grpc(&herald, GET, &tenant.token, &get, GRPC)?);
        }
    }
    report.note("memory: herald, after single calls", "KiB", herald.memory_kib()? as f64);
    // The read cache, and 120 MiB.
    report.ask("memory: herald, after single calls", Floor::AtMost((64.0 + 120.0) * 1024.0));

    report.ratio("get_warm_echo", "get: herald", "get: echo", Floor::AtLeast(0.75));
    report.ratio("list_warm_echo", "list: herald", "list: echo", Floor::AtLeast(0.5));
    report.ratio("create_echo", "create: herald", "create: echo", Floor::AtLeast(0.2));
    // Warm against the faster of the two Express servers: a get from SQLite may cost it less than one from Redis.
    let faster = |report: &Report, part: &str| {
        let names = [format!("{part}: express"), format!("{part}: express, redis")];
        let [direct, cached] = names.each_ref().map(|name| report.median(name).unwrap_or(0.0));
        let [plain, with_redis] = names;
        if direct >= cached { plain } else { with_redis }
    };
    let (get, list, mixed) = (faster(report, "get"), faster(report, "list"), faster(report, "mixed"));
    report.ratio("get_warm_express", "get: herald", &get, Floor::AtLeast(9.0));
    report.ratio("list_warm_express", "list: herald", &list, Floor::AtLeast(8.0));
    report.ratio("get_cold_express", "get: herald, cache off", "get: express", Floor::AtLeast(3.0));
    report.ratio("list_cold_express", "list: herald, cache off", "list: express", Floor::AtLeast(2.0));
    report.ratio("create_express", "create: herald", "create: express", Floor::AtLeast(5.0));
    report.ratio("bulk_sqlite", "bulk: herald, 4 callers", "bulk: sqlite", Floor::AtLeast(0.5));
    report.ratio("grpcweb_grpc", "web: grpc-web", "web: grpc", Floor::AtLeast(0.85));
    report.ratio("mixed_express", "mixed: herald", &mixed, Floor::AtLeast(5.0));
    report.ratio("rs256_hs256", "token: rs256", "token: hs256", Floor::AtLeast(0.97));
    Ok(())
}

/// The request with the size that its answer has.
async fn sample(server: &Server, token: &Token, path: &'static str, frame: Bytes) -> anyhow::Result<Sample> {
    let answer = Grpc::connect(server.port).await?.call(&Call::grpc(token, path, frame.clone())).await?;
    Ok(Sample { frame, answer })
}

pub fn get(id: &str) -> pb::GetProspectRequest {
    pb::GetProspectRequest { prospect_id: id.to_owned(), view: 0 }
}

fn created(name: &str) -> Bytes {
    batch(name, 1)
}

fn batch(name: &str, rows: usize) -> Bytes {
    let prospects = (0..rows).map(|n| prospect(&format!("{name}.{n}"))).collect();
    framed(&pb::BatchCreateProspectsRequest { prospects, request_id: String::new() })
}

/// What an update changes.
fn change(draw: usize) -> (String, i32) {
    (format!("Called again; wants an offer for {draw} greenhouses."), i32::try_from(draw).unwrap_or(0))
}

fn updated(id: &str, draw: usize) -> pb::UpdateProspectRequest {
    let (notes, priority_score) = change(draw);
    let prospect = pb::Prospect { id: id.to_owned(), notes, priority_score, ..Default::default() };
    let mask = mask(&["notes", "priority_score"]);
    pb::UpdateProspectRequest { prospect: Some(prospect), update_mask: Some(mask) }
}

fn mask(paths: &[&str]) -> prost_types::FieldMask {
    prost_types::FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() }
}

/// An RSA key pair: the public half in the file, the private half to sign with.
fn rsa_key(public: &std::path::Path) -> anyhow::Result<EncodingKey> {
    let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)?;
    std::fs::write(public, pair.public_key_pem())?;
    Ok(EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes())?)
}
