//! `@herald/client` (`web/client`), in Node and in Chromium, against the real binary: its own tests do the work, and print what they saw.

use std::path::Path;
use std::process::Command;

fn client(program: &str, args: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/client");
    let output = Command::new(program).args(args).current_dir(folder).output().expect("installed by `make test`");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {args:?}:\n{told}\n{}", String::from_utf8_lossy(&output.stderr));
    told
}

#[test]
fn the_client_keeps_its_word_in_node_and_in_a_browser() {
    client("npm", &["run", "--silent", "build"]);
    let package = client("node", &["tests/package.mjs"]);
    let seen = client("node", &["tests/run.mjs", env!("CARGO_BIN_EXE_herald")]);
    println!("{package}{seen}");
    for place in ["node", "chromium"] {
        let lines = seen.lines().filter(|line| line.starts_with(place)).count();
        assert!(lines > 150, "{lines} things were seen in {place}");
    }
}
