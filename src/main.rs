//! Parses the command line and dispatches; nothing else.

fn main() -> std::process::ExitCode {
    herald::cli::main()
}
