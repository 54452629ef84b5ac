//! What a worker can reach, shown by trying; and what it makes of images, good and hostile.
//!
//! The processes that are started are this program again: its first argument says what it is then.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

#[path = "sandbox/conversions.rs"]
mod conversions;
#[path = "sandbox/probes.rs"]
mod probes;
#[path = "sandbox/processes.rs"]
mod processes;

use std::{env, ffi::OsString, fs::File, path::PathBuf, process::ExitCode, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};
use saccade_conversion::{Converter, Limits, Options, Sandbox, find_qemu_img, worker};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let (role, rest) = match &arguments[..] {
        [_, role, rest @ ..] => (role.to_str().unwrap_or_default(), rest),
        _ => ("", &[][..]),
    };
    match role {
        "convert-worker" => worker::run(rest),
        "probe" => probes::run(rest),
        "spy" => processes::spy(),
        "daemon" => processes::daemon(),
        "idle" => processes::idle(rest),
        "old-kernel" => processes::on_a_kernel_without(libc::SYS_landlock_create_ruleset, rest),
        "no-namespaces" => processes::on_a_kernel_without(libc::SYS_unshare, rest),
        _ => {
            let trials = [probes::trials(), processes::trials(), conversions::trials()];
            libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit_code()
        }
    }
}

/// A test.
fn trial(name: &'static str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok::<(), Failed>(())
    })
}

fn this_program() -> PathBuf {
    env::current_exe().unwrap()
}

fn qemu_img() -> PathBuf {
    find_qemu_img(env::var_os("PATH").as_ref()).expect("these tests need qemu-img (package qemu-utils)")
}

const LIMITS: Limits = Limits {
    cpu_seconds: 20,
    memory: 1 << 30,
    file_size: 1 << 20,
};

/// A converter whose workers are this program in that role.
fn options(directory: &tempfile::TempDir, role: &str) -> Options {
    Options {
        program: this_program(),
        arguments: vec![role.into()],
        qemu_img: qemu_img(),
        directory: directory.path().join("empty"),
        sandbox: Sandbox::Required,
        time: Duration::from_secs(60),
    }
}

fn converter(directory: &tempfile::TempDir) -> Converter {
    Converter::open(options(directory, "convert-worker")).unwrap()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn unnamed() -> File {
    tempfile::tempfile().unwrap()
}
