//! A real PostgreSQL in a folder of its own, reached by a socket there, stopped when dropped.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub struct Postgres {
    folder: TempDir,
    child: Child,
}

/// What `psql` printed.
pub struct Printed {
    pub out: String,
    pub err: String,
}

impl Postgres {
    /// Starts one with an empty database `herald`.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // It refuses to run as root.
        if let Some((uid, gid)) = ids() {
            chown(folder.path(), Some(uid), Some(gid)).expect("given to its user");
        }
        let data = folder.path().join("data");
        let mut make = as_its_user("initdb");
        make.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data);
        let made = make.output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let log = File::create(folder.path().join("log")).expect("a log");
        let mut serve = as_its_user("postgres");
        serve.arg("-D").arg(&data).arg("-k").arg(folder.path());
        serve.args(["-c", "listen_addresses=", "-c", "fsync=off"]).stdout(Stdio::null()).stderr(log);
        let mut postgres = Self { child: serve.spawn().expect("postgres runs"), folder };
        for _ in 0..300 {
            if postgres.run("postgres", "CREATE DATABASE herald;").err.is_empty() {
                return postgres;
            }
            assert!(postgres.child.try_wait().expect("a child").is_none(), "it ended: {}", postgres.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("PostgreSQL does not answer: {}", postgres.log());
    }

    /// Runs a script, which goes on after errors, and gives what was printed: rows without any frame, errors apart.
    pub fn psql(&self, script: &str) -> Printed {
        self.run("herald", script)
    }

    fn run(&self, database: &str, script: &str) -> Printed {
        let mut psql = Command::new(programs().join("psql"));
        psql.arg("-h").arg(self.folder.path()).args(["-U", "postgres", "-X", "-q", "-A", "-t", "-d", database]);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql");
        let mut input = psql.stdin.take().expect("an input");
        let script = script.to_owned();
        // It may end before it has read all.
        let writing = std::thread::spawn(move || drop(input.write_all(script.as_bytes())));
        let printed = psql.wait_with_output().expect("it ends");
        writing.join().expect("written");
        let text = |bytes| String::from_utf8(bytes).expect("a text");
        Printed { out: text(printed.stdout), err: text(printed.stderr) }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where its programs are: of the newest version that is installed, or in PATH.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    versions.retain(|programs| programs.join("initdb").exists());
    versions.pop().unwrap_or_default()
}

fn as_its_user(program: &str) -> Command {
    let program = programs().join(program);
    if ids().is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program).current_dir(Path::new("/"));
    command
}

/// Of the user that the package makes, where we are root.
fn ids() -> Option<(u32, u32)> {
    let number = |who: &[&str]| -> u32 {
        let printed = Command::new("id").args(who).output().expect("id runs").stdout;
        String::from_utf8(printed)
            .expect("a text")
            .trim()
            .parse()
            .expect("`make test` installs PostgreSQL, with its user")
    };
    (number(&["-u"]) == 0).then(|| (number(&["-u", "postgres"]), number(&["-g", "postgres"])))
}
