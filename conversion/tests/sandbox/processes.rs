//! Starting, watching and ending workers.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Write},
    ops::ControlFlow,
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use saccade_conversion::{
    Conversion, ConvertError, Converter, Namespaces, Options, Sandbox, SourceFormat, TargetFormat,
    UnusableError, confine, worker,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::{converter, directory, options, this_program, trial, unnamed};

/// A worker that tells what surrounds it, where `qemu-img` tells its version.
pub fn spy() -> ExitCode {
    let variables = env::vars_os().count();
    let around = fs::read_dir(".").unwrap().count();
    println!("{variables} variables, {around} files around");
    eprintln!("confined true true true");
    ExitCode::SUCCESS
}

/// A process that starts an idle worker, says its number, and lives on.
pub fn daemon() -> ExitCode {
    let mut child = Command::new(this_program())
        .arg("idle")
        .arg(std::process::id().to_string())
        .spawn()
        .unwrap();
    println!("{}", child.id());
    let _ = child.wait();
    ExitCode::SUCCESS
}

/// A worker that does nothing, for a long time.
pub fn idle(arguments: &[OsString]) -> ExitCode {
    let parent = arguments[0].to_str().unwrap().parse().unwrap();
    confine::hold_to_parent(parent).unwrap();
    thread::sleep(Duration::from_secs(600));
    ExitCode::SUCCESS
}

/// A worker on a kernel without this system call.
pub fn on_a_kernel_without(call: i64, arguments: &[OsString]) -> ExitCode {
    deny(call);
    worker::run(arguments)
}

/// This process is on a kernel without this system call from now on.
pub fn deny(call: i64) {
    let filter = SeccompFilter::new(
        [(call, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
}

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_worker_is_checked_before_it_is_used", || {
            let directory = directory();
            let converter = converter(&directory);
            assert!(converter.layers().landlock && converter.layers().seccomp);
            assert!(
                converter.version().starts_with("qemu-img version "),
                "{}",
                converter.version()
            );
        }),
        trial("a_worker_has_no_environment_and_an_empty_directory", || {
            let directory = directory();
            match Converter::open(options(&directory, "spy")).map(drop) {
                Err(UnusableError::Program {
                    source: ConvertError::Failed(told),
                    ..
                }) => assert_eq!(told, "0 variables, 0 files around"),
                other => panic!("{other:?}"),
            }
        }),
        trial("a_program_that_is_not_qemu_img_is_refused", || {
            let directory = directory();
            let options = Options {
                qemu_img: "/bin/echo".into(),
                ..options(&directory, "convert-worker")
            };
            let error = Converter::open(options).map(drop).unwrap_err();
            assert!(error.to_string().contains("/bin/echo"), "{error}");
        }),
        trial("refuses_to_work_where_landlock_is_missing_and_required", || {
            let directory = directory();
            let error = Converter::open(options(&directory, "old-kernel"))
                .map(drop)
                .unwrap_err();
            let UnusableError::Program {
                source: ConvertError::NotConfined(reason),
                ..
            } = error
            else {
                panic!("{error:?}");
            };
            assert!(reason.contains("Landlock"), "{reason}");
        }),
        trial("works_without_landlock_where_that_is_allowed", || {
            let directory = directory();
            let converter = Converter::open(Options {
                sandbox: Sandbox::BestEffort,
                ..options(&directory, "old-kernel")
            });
            let layers = converter.unwrap().layers();
            assert!(!layers.landlock && layers.seccomp);
            let mut missing = vec!["Landlock"];
            if layers.namespaces == Namespaces::Inherited {
                missing.push("user and network namespaces");
            }
            assert_eq!(layers.missing(), missing);
        }),
        trial("needs_no_namespaces", || {
            let directory = directory();
            let converter = Converter::open(options(&directory, "no-namespaces")).unwrap();
            assert_eq!(converter.layers().missing(), ["user and network namespaces"]);
            let source = unnamed();
            source.set_len(1 << 20).unwrap();
            run(&converter, &source, &mut || ControlFlow::Continue(())).unwrap();
        }),
        trial("is_killed_when_it_takes_too_long", || {
            let directory = directory();
            let converter = Converter::open(Options {
                time: Duration::ZERO,
                ..options(&directory, "convert-worker")
            });
            let source = unnamed();
            source.set_len(1 << 30).unwrap();
            let outcome = run(&converter.unwrap(), &source, &mut || ControlFlow::Continue(()));
            assert!(matches!(outcome, Err(ConvertError::TimedOut(_))), "{outcome:?}");
        }),
        trial("is_killed_when_nobody_wants_it_any_more", || {
            let directory = directory();
            let source = unnamed();
            source.set_len(1 << 30).unwrap();
            let outcome = run(&converter(&directory), &source, &mut || ControlFlow::Break(()));
            assert!(matches!(outcome, Err(ConvertError::Stopped)), "{outcome:?}");
        }),
        trial("leaves_nothing_in_its_directory", || {
            let directory = directory();
            let converter = converter(&directory);
            let mut scratch = converter.scratch().unwrap();
            scratch.write_all(b"data").unwrap();
            assert_eq!(fs::read_dir(directory.path().join("empty")).unwrap().count(), 0);
        }),
        trial("dies_with_the_daemon", || {
            let mut daemon = Command::new(this_program())
                .arg("daemon")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(daemon.stdout.take().unwrap())
                .read_line(&mut line)
                .unwrap();
            let worker = format!("/proc/{}", line.trim());
            // It may not have asked for the signal yet.
            thread::sleep(Duration::from_millis(300));
            assert!(Path::new(&worker).exists());
            daemon.kill().unwrap();
            daemon.wait().unwrap();
            let begun = Instant::now();
            while is_alive(&worker) {
                assert!(
                    begun.elapsed() < Duration::from_secs(10),
                    "{worker} is still there"
                );
                thread::sleep(Duration::from_millis(10));
            }
        }),
        trial("does_not_begin_for_another_parent", || {
            let started = Command::new(this_program())
                .args([
                    "convert-worker",
                    "1",
                    "1",
                    "1",
                    "1",
                    "required",
                    "check",
                    "check",
                    "/bin/true",
                ])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert_eq!(started.status.code(), Some(i32::from(worker::NOT_BEGUN)));
            assert!(
                String::from_utf8_lossy(&started.stderr).contains("is gone"),
                "{started:?}"
            );
        }),
    ]
}

/// A process that nobody has waited for yet is dead as well.
fn is_alive(directory: &str) -> bool {
    let state = fs::read_to_string(format!("{directory}/stat"));
    match state {
        Err(error) => error.kind() != io::ErrorKind::NotFound,
        Ok(state) => !state.contains(") Z "),
    }
}

fn run(
    converter: &Converter,
    source: &fs::File,
    is_wanted: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<u64, ConvertError> {
    let destination = converter.scratch().unwrap();
    let conversion = Conversion {
        source,
        from: SourceFormat::Raw,
        destination: &destination,
        to: TargetFormat::Qcow2,
        most: 1 << 30,
    };
    converter.convert(&conversion, is_wanted)
}
