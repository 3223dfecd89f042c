//! Single calls: get, list, create, the mix, gRPC-Web, tokens, batches.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use herald::pb;
use http::Method;
use jsonwebtoken::EncodingKey;
use tempfile::TempDir;

use crate::args::Args;
use crate::collector::Collector;
use crate::data::{CREATE, Data, GET, LIST, Tenant, get, prospect, prospect_json};
use crate::draws::Draws;
use crate::echo;
use crate::generator::{Call, FRAME_BYTES, Grpc, Target, closed_loop, framed, in_flight};
use crate::h2load::{self, Load};
use crate::report::{Floor, Report};
use crate::servers::Server;
use crate::sqlite;
use crate::token::{Token, long_token, rs256_token};

const UPDATE: &str = "/herald.v1.AgentService/UpdateProspect";
const GRPC: &str = "application/grpc";
/// The list, as the Express server has it.
const PAGE: &str = "/api/agent/prospects?limit=50";

/// How often each kind of token is loaded in a round.
const TOKEN_TURNS: usize = 4;

/// Settings that turn the read cache off.
pub const COLD: (&str, &str) = ("HERALD_READ_CACHE_MEMORY_BYTES", "0");

/// A request of a kind, framed, and how many bytes the message has that answers it.
struct Sample {
    frame: Bytes,
    answer: usize,
}

/// Who is loaded, each on its own copy of the same rows. All are up at once, and idle while another is loaded.
struct Contestants {
    data: Data,
    time: Duration,
    echo: Server,
    herald: Server,
    cold: Server,
    rs256: Server,
    traced: Server,
    collector: Collector,
    express: Server,
    cached: Server,
    get: Sample,
    list: Sample,
    create: Sample,
    /// Signed with the key that `rs256` knows.
    rs256_token: Token,
    /// As long as that, signed as all others are.
    long_token: Token,
    database: PathBuf,
    _redis: Server,
    _copies: [TempDir; 7],
}

pub async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let contestants = Contestants::start(args.seconds).await?;
    for round in 0..args.rounds {
        println!("round {} of {}", round + 1, args.rounds);
        if args.wants("get") {
            contestants.get(report)?;
        }
        if args.wants("list") {
            contestants.list(report)?;
        }
        if args.wants("web") {
            contestants.web(report)?;
        }
        if args.wants("token") {
            contestants.token(report)?;
        }
        if args.wants("otlp") {
            contestants.otlp(report)?;
        }
        if args.wants("cross") {
            contestants.cross(report).await?;
        }
        if args.wants("mixed") {
            contestants.mixed(report, round).await?;
        }
    }
    // Last, and the batches after all else: whoever is faster has more rows after them.
    for round in 0..args.rounds {
        if args.wants("create") {
            println!("creates, round {} of {}", round + 1, args.rounds);
            contestants.create(report, round).await?;
        }
    }
    for round in 0..args.rounds {
        if args.wants("bulk") {
            println!("batches, round {} of {}", round + 1, args.rounds);
            contestants.bulk(report, round).await?;
        }
    }
    report.note("memory: herald, after single calls", "KiB", contestants.herald.memory_kib()? as f64);
    // The read cache, and 120 MiB.
    report.ask("memory: herald, after single calls", Floor::AtMost((64.0 + 120.0) * 1024.0));
    ratios(report);
    Ok(())
}

fn ratios(report: &mut Report) {
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
}

// === impl Contestants ===

impl Contestants {
    async fn start(seconds: u64) -> anyhow::Result<Self> {
        let data = Data::of(100, 1_000).await?;
        let copy = || data.copy();
        let copies = [copy()?, copy()?, copy()?, copy()?, copy()?, copy()?, copy()?];
        let [of_herald, of_cold, of_rs256, of_traced, of_express, of_cached, of_sqlite] =
            copies.each_ref().map(TempDir::path);
        let database = |folder: &Path| folder.join("herald.db");
        let key = of_rs256.join("key.pem");
        let private = rsa_key(&key)?;
        let herald = Server::herald(of_herald, &[])?;
        let redis = Server::redis()?;
        let redis_url = format!("redis://127.0.0.1:{}", redis.port);
        let collector = Collector::start()?;
        let endpoint = format!("http://127.0.0.1:{}", collector.port);
        let tenant = &data.tenants[0];
        let get = sample(&herald, &tenant.token, GET, framed(&get(&tenant.prospects[0]))).await?;
        let list = sample(&herald, &tenant.token, LIST, framed(&pb::ListProspectsRequest::default())).await?;
        let create = sample(&herald, &tenant.token, CREATE, created("sample")).await?;
        let rs256_token = rs256_token(&tenant.id, &private)?;
        println!("answers: get {}, list {}, create {} bytes", get.answer, list.answer, create.answer);
        Ok(Self {
            time: Duration::from_secs(seconds),
            echo: Server::echo()?,
            herald,
            cold: Server::herald(of_cold, &[COLD])?,
            rs256: Server::herald(of_rs256, &[("HERALD_AUTH_PUBLIC_KEY_FILE", &key.display().to_string())])?,
            traced: Server::herald(of_traced, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)])?,
            collector,
            express: Server::express(&database(of_express), None)?,
            cached: Server::express(&database(of_cached), Some(&redis_url))?,
            get,
            list,
            create,
            long_token: long_token(&tenant.id, rs256_token.as_str().len())?,
            rs256_token,
            database: database(of_sqlite),
            _redis: redis,
            data,
            _copies: copies,
        })
    }

    fn get(&self, report: &mut Report) -> anyhow::Result<()> {
        let path = format!("/api/agent/prospects/{}", self.tenant().prospects[0]);
        report.note("get: echo", "calls/s", self.limit(&self.get)?);
        report.note("get: herald", "calls/s", self.grpc(&self.herald, GET, &self.get)?);
        report.note("get: herald, cache off", "calls/s", self.grpc(&self.cold, GET, &self.get)?);
        report.note("get: express", "calls/s", self.http(&self.express, &path, 200)?);
        report.note("get: express, redis", "calls/s", self.http(&self.cached, &path, 200)?);
        Ok(())
    }

    fn list(&self, report: &mut Report) -> anyhow::Result<()> {
        report.note("list: echo", "calls/s", self.limit(&self.list)?);
        report.note("list: herald", "calls/s", self.grpc(&self.herald, LIST, &self.list)?);
        report.note("list: herald, cache off", "calls/s", self.grpc(&self.cold, LIST, &self.list)?);
        report.note("list: express", "calls/s", self.http(&self.express, PAGE, 10_000)?);
        report.note("list: express, redis", "calls/s", self.http(&self.cached, PAGE, 10_000)?);
        Ok(())
    }

    fn web(&self, report: &mut Report) -> anyhow::Result<()> {
        let web = "application/grpc-web+proto";
        report.note("web: grpc", "calls/s", self.grpc(&self.herald, GET, &self.get)?);
        let of_web = self.load(&self.herald, GET, &self.get, &self.tenant().token, web)?;
        report.note("web: grpc-web", "calls/s", of_web);
        Ok(())
    }

    /// Several times a round: two figures of the same differ by more than what is asked for.
    fn token(&self, report: &mut Report) -> anyhow::Result<()> {
        for _ in 0..TOKEN_TURNS {
            for (name, server, token) in [
                ("hs256", &self.herald, &self.tenant().token),
                ("rs256", &self.rs256, &self.rs256_token),
                ("hs256, as long as rs256", &self.herald, &self.long_token),
            ] {
                report.note(&format!("token: {name}"), "calls/s", self.load(server, GET, &self.get, token, GRPC)?);
            }
        }
        Ok(())
    }

    /// Spans and metrics that a collector is sent too.
    fn otlp(&self, report: &mut Report) -> anyhow::Result<()> {
        report.note("otlp: herald", "calls/s", self.grpc(&self.herald, GET, &self.get)?);
        let (begun, before) = (Instant::now(), self.collector.spans());
        report.note("otlp: herald, with a collector", "calls/s", self.grpc(&self.traced, GET, &self.get)?);
        let spans = (self.collector.spans() - before) as f64;
        ensure!(spans > 0.0, "the collector was sent nothing");
        report.note("otlp: spans that the collector was sent", "spans/s", spans / begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// The generator against h2load, on the same call.
    async fn cross(&self, report: &mut Report) -> anyhow::Result<()> {
        for (name, server, path, sample) in [
            ("list, cache off", &self.cold, LIST, &self.list),
            ("get, cache off", &self.cold, GET, &self.get),
            ("get", &self.herald, GET, &self.get),
        ] {
            let same = |_, _| Call::grpc(&self.tenant().token, path, sample.frame.clone());
            let ours = closed_loop(Target::Grpc(server.port), self.time, same).await?;
            report.note(&format!("cross: {name}, generator"), "calls/s", ours.per_second);
            report.note(&format!("cross: {name}, h2load"), "calls/s", self.grpc(server, path, sample)?);
        }
        Ok(())
    }

    async fn create(&self, report: &mut Report, round: usize) -> anyhow::Result<()> {
        let token = |caller: usize| &self.data.tenants[caller % self.data.tenants.len()].token;
        let frame = framed(&echoed(&self.create));
        let next = |caller, _| Call::grpc(token(caller), echo::PATH, frame.clone());
        let of_echo = closed_loop(Target::Grpc(self.echo.port), self.time, next).await?;
        report.note("create: echo", "calls/s", of_echo.per_second);
        let next = |caller, n| Call::grpc(token(caller), CREATE, created(&format!("r{round}.{caller}.{n}")));
        let of_herald = closed_loop(Target::Grpc(self.herald.port), self.time, next).await?;
        report.note("create: herald", "calls/s", of_herald.per_second);
        let next = |caller, n| Call {
            token: token(caller),
            method: Method::POST,
            path: Cow::Borrowed("/api/agent/prospects"),
            body: prospect_json(&format!("r{round}.{caller}.{n}")).to_string().into(),
        };
        let of_express = closed_loop(Target::Http(self.express.port), self.time, next).await?;
        report.note("create: express", "calls/s", of_express.per_second);
        Ok(())
    }

    async fn bulk(&self, report: &mut Report, round: usize) -> anyhow::Result<()> {
        for callers in [1, 4] {
            let next = |caller: usize, n: u64| {
                let frame = batch(&format!("b{round}.{callers}.{caller}.{n}"), 1_000);
                Call::grpc(&self.data.tenants[caller].token, CREATE, frame)
            };
            let of_herald = in_flight(Target::Grpc(self.herald.port), callers, self.time, next).await?;
            report.note(&format!("bulk: herald, {callers} callers"), "rows/s", of_herald.per_second * 1_000.0);
        }
        report.note("bulk: sqlite", "rows/s", sqlite::run(&self.database, self.time, round)?);
        Ok(())
    }

    async fn mixed(&self, report: &mut Report, round: usize) -> anyhow::Result<()> {
        for (name, server) in [("mixed: herald", &self.herald), ("mixed: herald, cache off", &self.cold)] {
            let draws = RefCell::new(Draws::new(round as u64));
            let next = |_, _| {
                let mut draws = draws.borrow_mut();
                let (tenant, id) = self.data.draw(&mut draws);
                let (path, frame) = match draws.below(10) {
                    0 => (LIST, framed(&pb::ListProspectsRequest::default())),
                    1 => (UPDATE, framed(&updated(id, draws.below(100)))),
                    _ => (GET, framed(&get(id))),
                };
                Call::grpc(&tenant.token, path, frame)
            };
            let outcome = closed_loop(Target::Grpc(server.port), self.time, next).await?;
            report.note(name, "calls/s", outcome.per_second);
        }
        for (name, server) in [("mixed: express", &self.express), ("mixed: express, redis", &self.cached)] {
            let draws = RefCell::new(Draws::new(round as u64));
            let next = |_, _| {
                let mut draws = draws.borrow_mut();
                let (tenant, id) = self.data.draw(&mut draws);
                let one = Cow::Owned(format!("/api/agent/prospects/{id}"));
                let (method, path, body) = match draws.below(10) {
                    0 => (Method::GET, Cow::Borrowed(PAGE), Bytes::new()),
                    1 => {
                        let (notes, priority) = change(draws.below(100));
                        let body = serde_json::json!({ "notes": notes, "priorityScore": priority });
                        (Method::PATCH, one, body.to_string().into())
                    }
                    _ => (Method::GET, one, Bytes::new()),
                };
                Call { token: &tenant.token, method, path, body }
            };
            let outcome = closed_loop(Target::Http(server.port), self.time, next).await?;
            report.note(name, "calls/s", outcome.per_second);
        }
        Ok(())
    }

    /// Whose token calls that are always the same carry.
    fn tenant(&self) -> &Tenant {
        &self.data.tenants[0]
    }

    /// What the server answers of one call, sent by h2load.
    fn grpc(&self, server: &Server, path: &str, sample: &Sample) -> anyhow::Result<f64> {
        self.load(server, path, sample, &self.tenant().token, GRPC)
    }

    /// What the echo answers of calls of that size.
    fn limit(&self, sample: &Sample) -> anyhow::Result<f64> {
        let sample = Sample { frame: framed(&echoed(sample)), answer: sample.answer };
        self.grpc(&self.echo, echo::PATH, &sample)
    }

    fn load(&self, server: &Server, path: &str, sample: &Sample, token: &Token, kind: &str) -> anyhow::Result<f64> {
        let grpc = h2load::Grpc { content_type: kind, body: &sample.frame };
        let load = Load { url: server.url() + path, token, grpc: Some(grpc) };
        h2load::run(&load, self.time.as_secs(), sample.answer)
    }

    /// The same of an Express server.
    fn http(&self, server: &Server, path: &str, answer: usize) -> anyhow::Result<f64> {
        let load = Load { url: server.url() + path, token: &self.tenant().token, grpc: None };
        h2load::run(&load, self.time.as_secs(), answer)
    }
}

/// What asks the echo for as much.
fn echoed(sample: &Sample) -> echo::pb::EchoRequest {
    echo::request(sample.frame.len() - FRAME_BYTES, sample.answer)
}

/// The request with the size that its answer has.
async fn sample(server: &Server, token: &Token, path: &'static str, frame: Bytes) -> anyhow::Result<Sample> {
    let answer = Grpc::connect(server.port).await?.call(&Call::grpc(token, path, frame.clone())).await?;
    Ok(Sample { frame, answer })
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
