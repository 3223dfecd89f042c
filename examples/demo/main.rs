//! What `make demo` runs: Herald on its embedded defaults, a mail server that keeps what it is given, and the story of two tenants
//! and of a reader who unsubscribes.
//!
//! Everything stays on loopback: the example website is served by Python, the servers pick free ports, and what was sent lies in
//! `target/demo/mail`.
#![expect(clippy::print_stdout, reason = "it shows what its own website, prospects and letters say")]

mod story;

use std::path::Path;

use anyhow::Context as _;
use story::Story;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("cannot remove the last demo's data")?;
    }
    let python = root.join("target/sink/bin/python");
    Story { folder, python, letters: 20 }.tell(&|line| println!("{line}")).await
}
