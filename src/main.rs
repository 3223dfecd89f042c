//! Parses the command line and dispatches; besides it, only the allocator.

use tikv_jemalloc_ctl::{epoch, stats};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    herald::metrics::allocated_by(allocated);
    herald::cli::main()
}

/// The bytes that the program has, of what the allocator has from the system.
fn allocated() -> u64 {
    // The numbers are those of the last epoch.
    let _ = epoch::advance();
    stats::allocated::read().map_or(0, |bytes| bytes as u64)
}
