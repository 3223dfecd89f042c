//! Parses the command line and dispatches; besides it, only the allocator.

use tikv_jemalloc_ctl::{background_thread, epoch, stats};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    // Gives memory back in a thread of its own, also while nobody calls. Where that cannot be, calls do it as before.
    let _ = background_thread::write(true);
    herald::metrics::allocated_by(allocated);
    herald::cli::main()
}

/// The bytes that the program has, of what the allocator has from the system.
fn allocated() -> u64 {
    // The numbers are those of the last epoch.
    let _ = epoch::advance();
    stats::allocated::read().map_or(0, |bytes| bytes as u64)
}
