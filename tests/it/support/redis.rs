//! Real redis-servers on free ports, alone or as a cluster, killed when dropped; and tenants' caches on them.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use herald::cache::TenantCache;
use herald::config::{self, Secret};
use herald::domain::clock::SystemClock;
use tempfile::TempDir;

use super::process::free_port;
use super::{folder, scope};

pub struct RedisServer {
    child: Option<Child>,
    folder: TempDir,
    args: Vec<String>,
    pub port: u16,
}

/// Three masters that share the slots.
pub struct RedisCluster {
    servers: Vec<RedisServer>,
}

/// Of the cache at `url`, as shipped; in memory if it is empty.
pub fn settings(url: &str) -> config::Cache {
    config::Cache { url: Secret::new(url), ..config::Cache::default() }
}

/// The same for what is not about time: a machine busy with tests may take long over an operation.
pub fn patient(url: &str) -> config::Cache {
    config::Cache { timeout_millis: 5_000, ..settings(url) }
}

pub fn cache(settings: &config::Cache) -> TenantCache {
    TenantCache::new(settings, Arc::new(SystemClock)).expect("settings that work")
}

/// Waits until the cache answers, as it does soon after its Redis is there.
pub async fn reachable(cache: &TenantCache) {
    let scope = scope("probe").await;
    for _ in 0..200 {
        if cache.scope(&scope).exists("x").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the cache does not answer");
}

/// A cluster's own port lies 10,000 above, and must exist.
fn low_port() -> u16 {
    std::iter::repeat_with(free_port).find(|port| *port < 55_000).expect("a free port")
}

impl RedisServer {
    pub fn start(args: &[&str]) -> Self {
        let port = low_port();
        let mut all = vec!["--port".to_owned(), port.to_string()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        Self::with(port, all)
    }

    /// With TLS alone, by the files `server.pem` and `server.key` in a folder, and a password.
    pub fn tls(files: &Path, password: &str) -> Self {
        let port = low_port();
        let file = |name: &str| files.join(name).display().to_string();
        let args =
            ["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no", "--requirepass", password]
                .map(str::to_owned)
                .into_iter()
                .chain([
                    "--tls-cert-file".to_owned(),
                    file("server.pem"),
                    "--tls-key-file".to_owned(),
                    file("server.key"),
                ])
                .chain(["--tls-ca-cert-file".to_owned(), file("ca.pem")]);
        Self::with(port, args.collect())
    }

    fn with(port: u16, args: Vec<String>) -> Self {
        let mut server = Self { child: None, folder: folder(), args, port };
        server.restart();
        server
    }

    /// Starts it, again if it was killed, empty, on the same port.
    pub fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(&self.args).args(["--save", "", "--bind", "127.0.0.1", "--dir"]).arg(self.folder.path());
        let child = command.stdout(Stdio::null()).spawn().expect("redis-server is installed by `make test`");
        self.child = Some(child);
        for _ in 0..500 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not listen");
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is there");
            child.wait().expect("it ends");
        }
    }

    /// It keeps its connections, and answers nothing until it is let go on.
    pub fn hang(&mut self) {
        self.signal("-STOP");
    }

    pub fn go_on(&mut self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What redis-cli answers, a line each.
    pub fn cli(&self, args: &[&str]) -> Vec<String> {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port, "--raw"]).args(args).output().expect("redis-cli");
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl RedisCluster {
    pub fn start() -> Self {
        let args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let servers: Vec<_> = (0..3).map(|_| RedisServer::start(&args)).collect();
        let nodes: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        let create = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(&nodes)
            .args(["--cluster-replicas", "0", "--cluster-yes"])
            .output()
            .expect("redis-cli");
        assert!(create.status.success(), "{}", String::from_utf8_lossy(&create.stdout));
        for server in &servers {
            while !server.cli(&["cluster", "info"]).iter().any(|line| line == "cluster_state:ok") {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Self { servers }
    }

    pub fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.servers[0].port)
    }

    /// Asks the same of each server.
    pub fn each(&self, args: &[&str]) {
        self.servers.iter().for_each(|server| drop(server.cli(args)));
    }

    /// What redis-cli answers, a line each, from whichever server has the key.
    pub fn cli(&self, args: &[&str]) -> Vec<String> {
        self.servers[0].cli(&[&["-c"], args].concat())
    }
}
