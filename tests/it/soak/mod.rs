//! Hours of everything at once, on the binary as it is shipped: nothing acknowledged is lost, nothing is sent twice, and
//! neither memory nor open files grow.
//!
//! `make soak` takes an hour, `HERALD_SOAK_MINUTES=10 make soak` ten minutes. In the first part of the first half the server is
//! killed again and again; the second half is measured. All of it is on loopback, bounded in count and time, and ends only
//! processes that it has started. `HERALD_SOAK_SEED` repeats the choices of a run, not its timing.

mod figures;
mod hostile;
mod tenants;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use herald::domain::clock::{Random as _, SystemRandom};

use crate::support::process::{Server, command, free_port, herald, serve_by};
use crate::support::redis::RedisServer;
use crate::support::site::{self, html};
use crate::support::{Seeded, eml_files, folder, outbox};

use figures::{Figures, Samples};
use tenants::{CAMPAIGNERS, Everybody, TENANTS, user};

/// What everybody in the run needs to know.
#[derive(Clone)]
pub struct Run {
    pub port: u16,
    pub seed: u64,
    /// When the load ends, and when whoever is in the middle of something gives it up.
    pub until: Instant,
    pub patience: Instant,
    /// What should not have happened.
    pub faults: Arc<Mutex<Vec<String>>>,
}

/// The server, started again on its port whenever it was killed.
struct Service {
    data: PathBuf,
    port: u16,
    admin: u16,
    redis: String,
    server: Option<Server>,
    kills: u64,
}

/// The most kills of a run.
const MAX_KILLS: u64 = 60;
/// A fault more is one too many; what follows the first ones tells nothing new.
const MAX_FAULTS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "an hour: make soak"]
async fn hours_of_everything_lose_nothing_send_nothing_twice_and_grow_nothing() {
    let whole = Duration::from_secs(60 * number("HERALD_SOAK_MINUTES").unwrap_or(60).clamp(1, 24 * 60));
    let seed = number("HERALD_SOAK_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 4];
        SystemRandom.fill(&mut bytes);
        u32::from_le_bytes(bytes).into()
    });
    println!("{} minutes, HERALD_SOAK_SEED={seed}", whole.as_secs() / 60);

    let version = command(&binary()).arg("--version").output().expect("it ends").stdout;
    let size = binary().metadata().expect("a file").len() / 1024 / 1024;
    println!("{}, {size} MiB", String::from_utf8_lossy(&version).trim());
    assert!(version.contains(&b'+') && size < 64, "a release tells its commit and carries no debugging tables");

    let data = folder();
    let mut redis = RedisServer::start(&[]);
    let website = site::pages([("/", html("<title>Acme</title><h1>Acme tools for growers</h1>"))]).await;
    let mut service = Service::start(data.path(), redis.url());
    let begun = Instant::now();
    let until = begun + whole;
    let patience = until + Duration::from_secs(120);
    let run = Run { port: service.port, seed, until, patience, faults: Arc::default() };
    let everybody = Everybody::start(&run, &website);
    let hostile = hostile::start(&run);

    let random = Seeded::new(seed);
    let mut figures = Figures::default();
    let mut samples = Samples::default();
    let mut next_kill = begun + between(&random, whole / 40, whole / 12);
    let mut next_redis = begun + between(&random, whole / 20, whole / 8);
    let mut next_sample = begun + whole / 2;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = Instant::now();
        // The last tenth of the first half warms up what is measured.
        if now >= next_kill && now < begun + whole * 9 / 20 && service.kills < MAX_KILLS {
            service.kill_and_start();
            next_kill = Instant::now() + between(&random, whole / 40, whole / 12);
        }
        if now >= next_redis {
            redis.kill();
            tokio::time::sleep(between(&random, Duration::ZERO, Duration::from_secs(2))).await;
            redis.restart();
            figures.redis_restarts += 1;
            next_redis = Instant::now() + between(&random, whole / 20, whole / 8);
        }
        if now >= next_sample {
            samples.take(now - begun, service.pid(), service.admin).await;
            next_sample += Duration::from_secs(5);
        }
    }

    let ledgers = everybody.end().await;
    figures.hostile = hostile.end().await;
    figures.kills = service.kills;
    figures.quiet_handles = samples.quiet(service.pid()).await;
    ledgers.check(&run).await;
    drop(service.server.take());
    figures.mails = mails(data.path(), &ledgers.sent());
    let findings = check(data.path(), &redis.url());
    figures.print(&ledgers, &samples);
    assert!(findings.is_empty(), "herald check found: {findings}");
    let faults = run.faults.lock().expect("no panic").clone();
    assert!(faults.is_empty(), "what should not have happened: {faults:#?}");
    samples.judge(figures.quiet_handles);
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}, not a number")))
}

/// A time between the two.
pub fn between(random: &Seeded, least: Duration, most: Duration) -> Duration {
    least + Duration::from_millis(random.below((most - least).as_millis().max(1) as usize) as u64)
}

/// Counts the mails of all outboxes; each is there once, and so is each that was said to be sent.
fn mails(data: &Path, sent: &[(String, usize)]) -> usize {
    let mut ids = HashSet::new();
    let mut count = 0;
    for n in 0..TENANTS {
        let outbox = outbox(data, &user(n));
        let files = eml_files(&outbox);
        let twice: Vec<_> = files.iter().filter(|name| name.ends_with(".2.eml")).collect();
        assert!(twice.is_empty(), "sent twice by {}: {twice:?}", user(n));
        for file in &files {
            let bytes = std::fs::read(outbox.join(file)).expect("a mail");
            let mail = mail_parser::MessageParser::default().parse(&bytes).expect("a mail");
            let id = mail.message_id().expect("a Message-ID").to_owned();
            assert!(ids.insert(id.clone()), "sent twice by {}: {id}", user(n));
        }
        if let Some((_, sent)) = sent.iter().find(|(of, _)| *of == user(n)) {
            assert_eq!(files.len(), *sent, "the mails of {}: in its outbox, and said to be sent", user(n));
        }
        count += files.len();
    }
    assert!(count > 0 || CAMPAIGNERS == 0, "campaigns have sent something");
    count
}

/// What `herald check --deep` finds.
fn check(data: &Path, redis: &str) -> String {
    let mut command = herald();
    command.args(["check", "--dev", "--deep", "--data-dir"]).arg(data).env("HERALD_CACHE_URL", redis);
    let output = command.output().expect("it ends");
    if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stdout).into_owned() }
}

// === impl Run ===

impl Run {
    /// A random source of one's own.
    pub fn random(&self, of: u64) -> Seeded {
        Seeded::new(self.seed.wrapping_mul(1_000).wrapping_add(of))
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    pub fn fault(&self, what: String) {
        let mut faults = self.faults.lock().expect("no panic");
        if faults.len() < MAX_FAULTS {
            faults.push(what);
        }
    }
}

// === impl Service ===

impl Service {
    fn start(data: &Path, redis: String) -> Self {
        let [port, admin] = [free_port(), free_port()];
        let mut service = Self { data: data.to_owned(), port, admin, redis, server: None, kills: 0 };
        service.serve();
        service
    }

    fn serve(&mut self) {
        let listen = format!("127.0.0.1:{}", self.port);
        let admin = format!("127.0.0.1:{}", self.admin);
        let env = [
            ("HERALD_CACHE_URL", self.redis.as_str()),
            ("HERALD_ADMIN_LISTEN", admin.as_str()),
            // What is kept of answers is bounded; a small bound is reached before anything is measured.
            ("HERALD_READ_CACHE_MEMORY_BYTES", "8388608"),
        ];
        self.server = Some(serve_by(command(&binary()), &listen, &self.data, &env, Stdio::inherit()));
    }

    /// SIGKILL, in the middle of whatever it does.
    fn kill_and_start(&mut self) {
        drop(self.server.take());
        self.kills += 1;
        self.serve();
    }

    fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").pid()
    }
}

/// What `cargo build --release` has made, beside what the tests are made of; or another, by HERALD_SOAK_BINARY.
pub fn binary() -> PathBuf {
    let debug = Path::new(env!("CARGO_BIN_EXE_herald"));
    let release = debug.parent().and_then(Path::parent).expect("a target folder").join("release/herald");
    let binary = std::env::var_os("HERALD_SOAK_BINARY").map_or(release, PathBuf::from);
    assert!(binary.exists(), "{} is not there: make soak builds it", binary.display());
    binary
}
