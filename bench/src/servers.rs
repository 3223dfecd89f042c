//! The contestants: each a process of its own on a free port, ended when it is dropped.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::token::SECRET;

/// A running server.
pub struct Server {
    child: Child,
    pub port: u16,
    /// From its start until it answered.
    pub start: Duration,
}

/// The key that wraps the tenants' own, of this bench alone.
const MASTER_KEY: &str = "aGVyYWxkLWJlbmNoLW1hc3Rlci1rZXktMDAwMDAwMDA=";

/// Where the project is.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned)
}

// === impl Server ===

impl Server {
    /// Herald as it is shipped, on the data folder; `settings` are environment variables.
    pub fn herald(data: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        // A data folder is for its user alone, or Herald does not start.
        std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700))?;
        let program = std::env::current_exe()?.with_file_name("herald");
        let mut command = Command::new(program);
        command.arg("serve").env("HERALD_LISTEN", "127.0.0.1:0").env("HERALD_DATA_DIR", data);
        command.env("HERALD_MASTER_KEY", MASTER_KEY).env("HERALD_ADMIN_LISTEN", "127.0.0.1:0");
        if !settings.iter().any(|(name, _)| name.starts_with("HERALD_AUTH_")) {
            command.env("HERALD_AUTH_HS256_SECRET", SECRET);
        }
        command.envs(settings.iter().copied());
        Self::start(command)
    }

    /// The bare tonic server.
    pub fn echo() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("echo");
        Self::start(command)
    }

    /// The Express server on the database, with its cache in the Redis at `redis`.
    pub fn express(database: &Path, redis: Option<&str>) -> anyhow::Result<Self> {
        let mut command = Command::new("node");
        command.arg(root().join("bench/peers/express/server.js")).arg(database).env("HS256_SECRET", SECRET);
        command.env("NODE_ENV", "production");
        if let Some(redis) = redis {
            command.env("REDIS_URL", redis);
        }
        Self::start(command)
    }

    /// A Redis that keeps nothing on the disk.
    pub fn redis() -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let begun = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("redis-server")?;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                bail!("redis-server does not listen");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { child, port, start: begun.elapsed() })
    }

    /// Starts it, and waits for the line that ends with its port.
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let name = command.get_program().to_string_lossy().into_owned();
        std::fs::create_dir_all(root().join("target/bench"))?;
        let log = std::fs::File::options().create(true).append(true).open(root().join("target/bench/servers.log"))?;
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().with_context(|| name.clone())?;
        let out = child.stdout.take().context("no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let port = line.trim_end().rsplit([' ', ':']).next().and_then(|port| port.parse().ok());
        let Some(port) = port else {
            let _ = child.kill();
            bail!("{name} did not start: look at target/bench/servers.log");
        };
        Ok(Self { child, port, start: begun.elapsed() })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it holds in memory now, in KiB.
    pub fn memory_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Herald checkpoints its write-ahead log when it is asked to end; the others may be cut.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        for _ in 0..1_000 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
