//! The real binary as a child process, which a test may kill.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use herald::cli::{Api, Connection};

/// The binary, with an environment of its own; another build of it where `TEST_BINARY` names one.
pub fn herald() -> Command {
    let other = std::env::var_os("TEST_BINARY").map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    command(other.as_deref().unwrap_or(Path::new(env!("CARGO_BIN_EXE_herald"))))
}

/// The same, of another binary.
pub fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HERALD_") || name == "REDIS_URL") {
        command.env_remove(name);
    }
    command
}

/// A development server; killed when dropped.
pub struct Server {
    child: Child,
    pub address: String,
}

/// A port that nobody has, for a process that is told which one to take.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Starts a development server on the folder, with further environment.
pub fn serve(data: &Path, env: &[(&str, &str)]) -> Server {
    serve_with(data, env, Stdio::inherit())
}

/// The same, with its log in `log`.
pub fn serve_with(data: &Path, env: &[(&str, &str)], log: Stdio) -> Server {
    serve_by(herald(), "127.0.0.1:0", data, env, log)
}

/// The same by a command that takes the arguments of the binary, on a port of one's own.
pub fn serve_by(mut command: Command, listen: &str, data: &Path, env: &[(&str, &str)], log: Stdio) -> Server {
    command.args(["serve", "--dev", "--listen", listen, "--data-dir"]).arg(data);
    command.env("HERALD_FETCH_ALLOW_PRIVATE", "true").env("HERALD_LOG", "error").envs(env.iter().copied());
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
    assert!(address.contains(':'), "the ready line names the address: {line:?}");
    Server { child, address }
}

impl Server {
    pub async fn user(&self, user: &str) -> Api {
        self.user_if_there(user).await.expect("the server can be reached")
    }

    /// The same; None if the server is gone.
    pub async fn user_if_there(&self, user: &str) -> Option<Api> {
        let server = format!("http://{}", self.address);
        let connection = Connection { user: Some(user.to_owned()), ..Connection::to(server) };
        connection.open().await.ok()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    /// How it has ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Waits for its end, a while.
    pub async fn ended(&mut self) -> ExitStatus {
        for _ in 0..3_000 {
            if let Some(status) = self.has_ended() {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the server does not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the body of the test of that name in a process of its own, and tells the most memory that this has had, in KiB; None in that
/// process itself.
pub fn peak_alone(test: &str, body: impl FnOnce()) -> Option<u64> {
    const ALONE: &str = "TEST_ALONE";
    const PEAK: &str = "VmHWM:";
    if std::env::var_os(ALONE).is_some() {
        body();
        println!("{}", std::fs::read_to_string("/proc/self/status").expect("of this process"));
        return None;
    }
    let mut alone = Command::new(std::env::current_exe().expect("this test"));
    let output = alone.args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    let peak = told.lines().find_map(|line| line.strip_prefix(PEAK)?.trim().strip_suffix(" kB")?.parse().ok());
    Some(peak.unwrap_or_else(|| panic!("{test} has not run alone: {told}")))
}
