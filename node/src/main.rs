//! The one binary of both roles.

use std::process::ExitCode;

fn main() -> ExitCode {
    aiemp_node::cli::Cli::main()
}
