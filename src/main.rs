//! The daemon and its tools.

use std::process::ExitCode;

fn main() -> ExitCode {
    saccade::cli::run(std::env::args_os())
}
