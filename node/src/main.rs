//! The one binary of both roles.

use std::process::ExitCode;

/// Set up in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    aiemp_node::cli::Cli::main()
}
