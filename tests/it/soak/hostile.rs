//! Clients that mean harm, or know no better: each kind in a task of its own, a few connections at a time.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Run, between};
use crate::support::Seeded;

/// Those that are at it.
pub struct Hostile(Vec<(&'static str, JoinHandle<u64>)>);

/// The connections of one attack, and the calls of one flood.
const CONNECTIONS: usize = 16;
const CALLS: usize = 100;
/// The largest message, less what stands before it.
const LARGEST: usize = 4 * 1024 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub fn start(run: &Run) -> Hostile {
    let half_heads: Vec<Vec<u8>> = vec![
        b"POST /herald.v1.AgentService/ListProspects HTTP/1.1\r\nHost: x\r\nx-user-id: us".to_vec(),
        PREFACE[..20].to_vec(),
        // Settings, and a HEADERS frame that says more than it has.
        [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 200, 1, 4, 0, 0, 0, 1, 0x82]].concat(),
    ];
    let one_byte = |random: &Seeded| vec![random.next() as u8];
    let heads = move |random: &Seeded| half_heads[random.below(half_heads.len())].clone();
    let garbage = |random: &Seeded| {
        let head = if random.below(2) == 0 { PREFACE } else { b"" };
        let bytes = (0..random.below(4_096)).map(|_| random.next() as u8);
        head.iter().copied().chain(bytes).collect()
    };
    Hostile(vec![
        ("connections that send one byte", tokio::spawn(silent(run.clone(), 1_001, one_byte))),
        ("connections that send half a head", tokio::spawn(silent(run.clone(), 1_002, heads))),
        ("connections that send garbage", tokio::spawn(silent(run.clone(), 1_003, garbage))),
        ("calls of unknown methods", tokio::spawn(unknown_methods(run.clone()))),
        ("messages of two million empty rows", tokio::spawn(empty_rows(run.clone()))),
        ("answers that are not taken", tokio::spawn(shut_windows(run.clone()))),
    ])
}

/// Connections that send something and then nothing, and go at some time.
async fn silent(run: Run, of: u64, bytes: impl Fn(&Seeded) -> Vec<u8>) -> u64 {
    let random = run.random(of);
    let mut count = 0;
    while !run.is_over() {
        let mut held = Vec::new();
        for _ in 0..=random.below(CONNECTIONS) {
            let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, run.port)).await else { break };
            if stream.write_all(&bytes(&random)).await.is_ok() {
                count += 1;
                held.push(stream);
            }
        }
        let mut answer = [0; 1_024];
        for stream in &mut held {
            let _ = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut answer)).await;
        }
        tokio::time::sleep(between(&random, Duration::from_millis(100), Duration::from_secs(3))).await;
    }
    count
}

fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().timeout(Duration::from_secs(10));
    client.build().expect("a client")
}

/// A call as `user`, whatever becomes of it; whether it was answered.
async fn call(client: &reqwest::Client, run: &Run, method: &str, message: Vec<u8>) -> bool {
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend(message);
    let call = client.post(format!("http://127.0.0.1:{}/herald.v1.AgentService/{method}", run.port));
    let call = call.header("content-type", "application/grpc").header("te", "trailers").header("x-user-id", "hostile");
    match call.body(body).send().await {
        Ok(answer) => answer.bytes().await.is_ok(),
        Err(_) => false,
    }
}

async fn unknown_methods(run: Run) -> u64 {
    let (client, random) = (client(), run.random(1_004));
    let mut count = 0;
    while !run.is_over() {
        let method = format!("NoSuchMethod{}", random.next());
        let calls = (0..CALLS).map(|_| call(&client, &run, &method, Vec::new()));
        count += futures_util::future::join_all(calls).await.into_iter().filter(|answered| *answered).count() as u64;
        tokio::time::sleep(between(&random, Duration::from_millis(200), Duration::from_secs(2))).await;
    }
    count
}

async fn empty_rows(run: Run) -> u64 {
    let (client, random) = (client(), run.random(1_005));
    // Field 1, of length 0, again and again.
    let message = [0x0a, 0x00].repeat((LARGEST - 16) / 2);
    let mut count = 0;
    while !run.is_over() {
        count += u64::from(call(&client, &run, "BatchCreateProspects", message.clone()).await);
        tokio::time::sleep(between(&random, Duration::from_millis(500), Duration::from_secs(3))).await;
    }
    count
}

/// By a client that is not ours: python's h2, whose windows stay shut.
async fn shut_windows(run: Run) -> u64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let random = run.random(1_006);
    let mut count = 0;
    while !run.is_over() {
        let mut command = Command::new(root.join("target/venv/bin/python"));
        command.arg(root.join("tests/clients/shut_window.py")).args([run.port.to_string(), "8".into(), "4".into()]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("no panic").expect("tests/setup.sh schemas installs it");
        count += String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().unwrap_or(0);
        tokio::time::sleep(between(&random, Duration::from_millis(200), Duration::from_secs(2))).await;
    }
    count
}

// === impl Hostile ===

impl Hostile {
    /// How often each kind was at it.
    pub async fn end(self) -> Vec<(&'static str, u64)> {
        let mut counts = Vec::new();
        for (what, task) in self.0 {
            counts.push((what, task.await.expect("no panic")));
        }
        counts
    }
}
