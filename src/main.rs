//! The daemon and its tools.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Of this program alone, and not of the library: whoever else uses that has an allocator of their own.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Not in a process that converts an image: it must have one thread when it locks itself in.
    if arguments.next().is_some_and(|command| command == "serve") {
        // A daemon that is idle frees nothing, and would keep what it has freed before. Where there are no such threads that is so.
        let _ = tikv_jemalloc_ctl::background_thread::write(true);
    }
    saccade::cli::run(std::env::args_os())
}
