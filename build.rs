//! Compiles the protos with protox (no protoc needed) and keeps the descriptor set for reflection and for the access
//! policy, which are read from the options in it. Tells the crate its version: a release's with the commit.

use std::path::PathBuf;
use std::process::Command;

const PROTOS: &[&str] = &[
    "herald/v1/agent.proto",
    "herald/v1/cache.proto",
    "herald/v1/mailbox.proto",
    "herald/v1/options.proto",
    "herald/v1/tenant.proto",
    "herald/v1/types.proto",
    "herald/v1/workflow.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(PROTOS)?;

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // The encoded form keeps our own options, which prost's types would drop.
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    // Messages know their names, by which their descriptors are found.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure().compile_fds_with_config(compiler.file_descriptor_set(), config)?;

    println!("cargo:rustc-env=HERALD_VERSION={}", version());
    Ok(())
}

/// `0.1.0+a1b2c3d4e5f6`, with `.dirty` after the commit where files differ from it. Only a release asks git, so that a
/// commit makes no debug build anew; where there is no repository, as in a container, `HERALD_COMMIT` may tell it.
fn version() -> String {
    println!("cargo:rerun-if-env-changed=HERALD_COMMIT");
    let version = env!("CARGO_PKG_VERSION");
    let told = std::env::var("HERALD_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|name| name == "release");
    let commit = told.or_else(|| if is_release { asked() } else { None });
    commit.map_or_else(|| version.to_owned(), |commit| format!("{version}+{commit}"))
}

fn asked() -> Option<String> {
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    for changes in [log.as_str(), "src", "Cargo.lock", "build.rs"] {
        println!("cargo:rerun-if-changed={changes}");
    }
    git(&["describe", "--always", "--dirty=.dirty", "--abbrev=12", "--exclude=*"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
