//! A real Postfix in a folder of its own, on a port of loopback that wants STARTTLS; stopped when dropped.
//!
//! It delivers to maildirs: what arrives is read by Python's email package (`tests/peers/read_maildir.py`). Who is unknown there is taken
//! first and then bounced to the sender, as most servers do; but one whose name is `refused` is refused at once.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use super::process::free_port;
use super::token::Authority;

/// A running Postfix.
pub struct Postfix {
    folder: TempDir,
    authority: Authority,
    child: Child,
    pub port: u16,
}

/// Names and values.
pub type Headers = Vec<(String, String)>;

/// A mail that has arrived.
#[derive(Debug, Clone, Deserialize)]
pub struct Arrived {
    /// In order, unfolded; without what was added on the way.
    pub headers: Headers,
    /// By its Date, in seconds since 1970; none without one.
    pub date: Option<i64>,
    pub body: String,
    /// Of a bounce.
    pub report: Option<Report>,
}

/// What a bounce says (RFC 3464).
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    pub action: String,
    pub status: String,
    pub recipient: String,
    pub diagnostic: String,
    /// The Message-ID of the mail that came back, as it is written there.
    pub message_id: String,
}

/// The services that it runs, as master.cf wants them: name, type, private, unprivileged, chroot, wakeup, limit, program.
const SERVICES: &str = "
pickup    unix  n - n 60  1 pickup
cleanup   unix  n - n -   0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n -   1 tlsmgr
rewrite   unix  - - n -   - trivial-rewrite
bounce    unix  - - n -   0 bounce
defer     unix  - - n -   0 bounce
trace     unix  - - n -   0 bounce
proxymap  unix  - - n -   - proxymap
error     unix  - - n -   - error
retry     unix  - - n -   - error
smtp      unix  - - n -   - smtp
virtual   unix  - n n -   - virtual
anvil     unix  - - n -   1 anvil
postlog   unix-dgram n - n - 1 postlogd
";

/// Debian's user `mail`, to whom the maildirs belong.
const MAIL: u32 = 8;

// === impl Postfix ===

impl Postfix {
    /// With a maildir for each of the addresses.
    pub fn start(addresses: &[&str]) -> Self {
        assert!(rustix::process::geteuid().is_root(), "Postfix is started by root alone: run the tests as root");
        let (folder, authority, port) = (tempfile::tempdir().expect("a folder"), Authority::new(), free_port());
        let root = folder.path().to_owned();
        std::fs::set_permissions(&root, PermissionsExt::from_mode(0o755)).expect("opened");
        for name in ["etc", "queue", "data", "mail"] {
            std::fs::create_dir(root.join(name)).expect("a folder");
        }
        chown(root.join("data"), Some(user_id()), None).expect("given to its user");
        chown(root.join("mail"), Some(MAIL), Some(MAIL)).expect("given to its user");
        let domains = addresses.iter().filter_map(|address| address.split_once('@'));
        let domains: BTreeSet<_> = domains.map(|(_, domain)| domain).collect();
        let domains = domains.into_iter().collect::<Vec<_>>().join(", ");
        let mut boxes = String::new();
        for address in addresses {
            write!(boxes, " {{ {address} = {address}/ }}").expect("a text");
        }
        let settings = [
            ("compatibility_level", "3.6".to_owned()),
            ("queue_directory", root.join("queue").display().to_string()),
            ("data_directory", root.join("data").display().to_string()),
            ("daemon_directory", "/usr/lib/postfix/sbin".to_owned()),
            ("maillog_file", root.join("log").display().to_string()),
            ("maillog_file_prefixes", root.display().to_string()),
            ("myhostname", "mail.postfix.example".to_owned()),
            ("mydestination", String::new()),
            ("inet_interfaces", "127.0.0.1".to_owned()),
            ("inet_protocols", "ipv4".to_owned()),
            ("disable_dns_lookups", "yes".to_owned()),
            ("smtp_host_lookup", "native".to_owned()),
            ("alias_maps", String::new()),
            // It adds no header that is missing, and changes none.
            ("local_header_rewrite_clients", String::new()),
            ("smtpd_tls_chain_files", format!("{}, {}", authority.file("server.key"), authority.file("server.pem"))),
            ("smtpd_tls_security_level", "encrypt".to_owned()),
            ("smtpd_reject_unlisted_recipient", "no".to_owned()),
            ("smtpd_relay_restrictions", "permit_mynetworks, reject".to_owned()),
            (
                "smtpd_recipient_restrictions",
                "check_recipient_access inline:{ { refused@ = reject_unlisted_recipient } }".to_owned(),
            ),
            ("virtual_mailbox_domains", domains),
            ("virtual_mailbox_base", root.join("mail").display().to_string()),
            ("virtual_mailbox_maps", format!("inline:{{{boxes} }}")),
            ("virtual_uid_maps", format!("static:{MAIL}")),
            ("virtual_gid_maps", format!("static:{MAIL}")),
            ("virtual_minimum_uid", "1".to_owned()),
        ];
        let settings: String = settings.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        std::fs::write(root.join("etc/main.cf"), settings).expect("written");
        let services = format!("127.0.0.1:{port} inet n - n - - smtpd{SERVICES}");
        std::fs::write(root.join("etc/master.cf"), services).expect("written");
        let checked = Command::new("postfix").arg("-c").arg(root.join("etc")).arg("check").output();
        let checked = checked.expect("`make test` installs Postfix");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let mut master = Command::new("/usr/lib/postfix/sbin/master");
        master.arg("-d").arg("-c").arg(root.join("etc")).process_group(0);
        let child = master.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let mut postfix = Self { folder, authority, child, port };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return postfix;
            }
            assert!(postfix.child.try_wait().expect("a child").is_none(), "it ended: {}", postfix.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("Postfix does not answer: {}", postfix.log());
    }

    /// The authority that has signed its certificate.
    pub fn authorities(&self) -> PathBuf {
        self.authority.path("ca.pem")
    }

    /// What has arrived at the address, once there is so much.
    pub async fn arrived(&self, address: &str, count: usize) -> Vec<Arrived> {
        let folder = self.folder.path().join("mail").join(address).join("new");
        let until = Instant::now() + Duration::from_secs(30);
        let there = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
        while there() < count {
            assert!(Instant::now() < until, "{} of {count} mails have come to {address}: {}", there(), self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        read(&folder)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // Its own children end with it.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// The mails of a folder, in the order in which they came.
fn read(folder: &Path) -> Vec<Arrived> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("target/venv/bin/python"));
    let output = command.arg(root.join("tests/peers/read_maildir.py")).arg(folder).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("a text");
    text.lines().map(|line| serde_json::from_str(line).expect("a mail")).collect()
}

/// Of the user that the package makes.
fn user_id() -> u32 {
    let printed = Command::new("id").args(["-u", "postfix"]).output().expect("id runs").stdout;
    String::from_utf8_lossy(&printed).trim().parse().expect("`make test` installs Postfix, with its user")
}
