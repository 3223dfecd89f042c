//! Compiles the protos with protox (no protoc needed) and keeps the descriptor set for reflection and for the access
//! policy, which are read from the options in it.

use std::path::PathBuf;

const PROTOS: &[&str] = &[
    "herald/v1/agent.proto",
    "herald/v1/cache.proto",
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
    Ok(())
}
