//! Each probe is a process that locks itself in as a worker does, and then tries something.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::Path,
    process::{Command, ExitCode, Output, Stdio},
    sync::{Mutex, OnceLock},
    thread,
};

use libtest_mimic::Trial;
use rustix::{
    fs::{FallocateFlags, Mode, OFlags},
    io::Errno,
    process::{Pid, test_kill_process},
};
use saccade_conversion::{Job, Limits, Order, Sandbox, SourceFormat, TargetFormat, confine};

use crate::{LIMITS, directory, processes, qemu_img, this_program, trial, unnamed};

/// `Ok` is what must not be.
type Probe = fn(&str) -> io::Result<()>;

const PROBES: &[(&str, Probe)] = &[
    ("read", |path| fs::read(path).map(drop)),
    ("list", |path| fs::read_dir(path).map(drop)),
    ("write", |path| {
        OpenOptions::new().write(true).open(path).map(drop)
    }),
    ("create", |path| File::create_new(path).map(drop)),
    ("truncate", |path| {
        OpenOptions::new().write(true).truncate(true).open(path).map(drop)
    }),
    ("truncate-reading", |path| {
        missing(rustix::fs::open(path, OFlags::RDONLY | OFlags::TRUNC, Mode::empty()).map(drop))
    }),
    ("truncate-neither", |path| {
        // The fourth access mode: neither reading nor writing.
        let neither = OFlags::from_bits_retain(libc::O_ACCMODE.unsigned_abs());
        missing(rustix::fs::open(path, neither | OFlags::TRUNC, Mode::empty()).map(drop))
    }),
    ("remove", |path| fs::remove_file(path)),
    ("link", |path| fs::hard_link("/proc/self/fd/0", path)),
    ("symlink", |path| std::os::unix::fs::symlink("/etc", path)),
    ("rename", |path| fs::rename(path, format!("{path}.moved"))),
    ("change-mode", |path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777))
    }),
    ("tcp", |address| TcpStream::connect(address).map(drop)),
    ("listen", |address| TcpListener::bind(address).map(drop)),
    ("udp", |address| {
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", address).map(drop)
    }),
    ("unix", |path| UnixStream::connect(path).map(drop)),
    ("process", |program| Command::new(program).status().map(drop)),
    ("program", |program| {
        Err(Command::new(program).arg("-c").arg("exit 0").exec())
    }),
    ("signal", |pid| {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        Ok(test_kill_process(pid)?)
    }),
    ("signal-by-file", |pid| {
        let (pipe, _other) = rustix::pipe::pipe()?;
        missing(command(&pipe, libc::F_SETOWN, pid.parse().unwrap()))
    }),
    ("choose-signal", |_| {
        missing(command(&io::stdin(), F_SETSIG, libc::SIGKILL))
    }),
    ("lease", |_| {
        missing(command(&io::stdin(), libc::F_SETLEASE, libc::F_RDLCK))
    }),
    ("driver", |_| {
        // Harmless, and possible without a filter.
        missing(rustix::io::ioctl_fionbio(io::stdin(), false))
    }),
    ("allocate", |_| {
        missing(rustix::fs::fallocate(
            io::stdout(),
            FallocateFlags::empty(),
            0,
            4096,
        ))
    }),
    ("clone", |_| {
        missing(rustix::fs::ioctl_ficlone(io::stdout(), io::stdin()))
    }),
    ("rights", |sets| none_of(sets)),
    ("rights-without-namespaces", |sets| none_of(sets)),
    ("memory", |bytes| {
        let mut memory: Vec<u8> = Vec::new();
        memory
            .try_reserve_exact(bytes.parse().unwrap())
            .map_err(|_| io::ErrorKind::OutOfMemory.into())
    }),
    ("threads", |_| {
        // Their number is limited, and each has its stack in the address space.
        let all = (0..100_000).map(|_| {
            thread::Builder::new()
                .stack_size(1 << 20)
                .spawn(|| thread::sleep(std::time::Duration::from_secs(600)))
        });
        all.collect::<io::Result<Vec<_>>>().map(drop)
    }),
    ("privileges", |_| Ok(rustix::thread::set_no_new_privs(false)?)),
    ("burn", |_| {
        loop {
            std::hint::black_box(0);
        }
    }),
    ("fill", |_| {
        let mut destination = OpenOptions::new().write(true).open("/proc/self/fd/1")?;
        let block = [1; 1 << 16];
        for _ in 0..1024 {
            destination.write_all(&block)?;
        }
        Ok(())
    }),
    // What it must be able to do.
    ("source", |_| {
        let mut read = String::new();
        File::open("/proc/self/fd/0")?.read_to_string(&mut read)?;
        if read == "source" {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }),
    ("destination", |_| {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .truncate(true)
            .open("/proc/self/fd/1")?;
        file.write_all(b"written")
    }),
    ("thread", |_| {
        let thread = thread::Builder::new().spawn(|| 1)?;
        thread.join().map(drop).map_err(|_| io::ErrorKind::Other.into())
    }),
    ("inherited", |_| unreachable!("looked at before it is locked in")),
];

/// Of linux/fcntl.h: which signal is sent.
const F_SETSIG: i32 = 10;

/// The filter of system calls has refused it, and nothing else that would have, too.
fn missing(outcome: rustix::io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(Errno::NOSYS) => Err(Errno::NOSYS.into()),
        _ => Ok(()),
    }
}

#[allow(unsafe_code)]
fn command(file: &impl AsFd, command: i32, argument: i32) -> rustix::io::Result<()> {
    // Safety: the commands that are tried take a number.
    match unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, argument) } {
        -1 => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap()),
        _ => Ok(()),
    }
}

/// It has no rights of the super-user in any of these sets.
fn none_of(sets: &str) -> io::Result<()> {
    let mut status = String::new();
    STATUS
        .get()
        .unwrap()
        .lock()
        .unwrap()
        .read_to_string(&mut status)?;
    let is_empty = |set: &str| status.contains(&format!("{set}:\t0000000000000000\n"));
    match sets.split(',').all(is_empty) {
        true => Err(io::Error::other("there are none")),
        false => Ok(()),
    }
}

/// `/proc/self/status`, which cannot be opened later.
static STATUS: OnceLock<Mutex<File>> = OnceLock::new();

/// The process itself: its arguments are the probe, what it is tried on, and an order.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let [name, target, order @ ..] = arguments else {
        return ExitCode::from(90);
    };
    let (name, target) = (name.to_str().unwrap(), target.to_str().unwrap());
    let order = Order::parse(order).unwrap();
    confine::hold_to_parent(order.parent).unwrap();
    confine::keep_only_stdio().unwrap();
    if name == "inherited" {
        return ExitCode::from(if is_anything_inherited() { 1 } else { 0 });
    }
    STATUS
        .set(Mutex::new(File::open("/proc/self/status").unwrap()))
        .unwrap();
    if name == "rights-without-namespaces" {
        processes::deny(libc::SYS_unshare);
    }
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let files = confine::Files {
        source: &stdin,
        destination: &stdout,
    };
    let layers = confine::confine(&order, Some(files)).unwrap();
    assert!(layers.landlock && layers.seccomp, "{layers:?}");
    let (_, probe) = PROBES.iter().find(|(known, _)| *known == name).unwrap();
    match probe(target) {
        Ok(()) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::SUCCESS
        }
    }
}

/// Whether anything but the standard files would stay open in another program.
fn is_anything_inherited() -> bool {
    const CLOSED: u32 = 0o2_000_000;
    let open = fs::read_dir("/proc/self/fdinfo").unwrap();
    open.filter_map(Result::ok).any(|entry| {
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let told = fs::read_to_string(entry.path()).unwrap_or_default();
        let flags = told.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.map(|flags| u32::from_str_radix(flags.trim(), 8).unwrap());
        number > 2 && flags.is_some_and(|flags| flags & CLOSED == 0)
    })
}

struct Tried {
    output: Output,
    destination: File,
}

fn attempt(name: &str, target: impl AsRef<std::ffi::OsStr>, limits: Limits) -> Tried {
    let mut source = unnamed();
    source.write_all(b"source").unwrap();
    let destination = unnamed();
    let order = Order {
        parent: std::process::id(),
        sandbox: Sandbox::Required,
        limits,
        program: qemu_img(),
        job: Job::Convert {
            from: SourceFormat::Raw,
            to: TargetFormat::Raw,
        },
    };
    let output = Command::new(this_program())
        .args(["probe", name])
        .arg(target)
        .args(order.to_arguments())
        .stdin(Stdio::from(source))
        .stdout(Stdio::from(destination.try_clone().unwrap()))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    Tried { output, destination }
}

/// The probe was made, and failed.
#[track_caller]
fn refused(name: &str, target: impl AsRef<std::ffi::OsStr>) {
    let tried = attempt(name, target, LIMITS);
    assert_eq!(tried.output.status.code(), Some(0), "{name}: {:?}", tried.output);
    assert!(
        !tried.output.stderr.is_empty(),
        "{name}: it does not say why it failed"
    );
}

#[track_caller]
fn possible(name: &str) -> File {
    let tried = attempt(name, "", LIMITS);
    assert_eq!(tried.output.status.code(), Some(1), "{name}: {:?}", tried.output);
    tried.destination
}

pub fn trials() -> Vec<Trial> {
    vec![
        trial("reads_and_writes_its_two_files", || {
            possible("source");
            assert_eq!(possible("destination").metadata().unwrap().len(), 7);
            possible("thread");
        }),
        trial("opens_no_other_file", || {
            refused("read", "/etc/passwd");
            refused("read", "/proc/self/environ");
            refused("read", "/dev/zero");
            refused("list", "/");
            refused("list", "/proc/self/fd");
            let directory = directory();
            let secret = directory.path().join("secret");
            fs::write(&secret, "secret").unwrap();
            refused("read", &secret);
        }),
        trial("changes_no_other_file", || {
            let directory = directory();
            let victim = directory.path().join("victim");
            fs::write(&victim, "data").unwrap();
            for attempt in ["write", "truncate", "remove", "rename", "change-mode"] {
                refused(attempt, &victim);
            }
            for attempt in ["create", "link", "symlink"] {
                refused(attempt, directory.path().join("new"));
            }
            refused("create", "new");
            assert_eq!(fs::read(&victim).unwrap(), b"data");
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        }),
        trial("does_not_write_the_source", || {
            refused("write", "/proc/self/fd/0");
            refused("truncate", "/proc/self/fd/0");
            // Neither by system calls, where Landlock does not know of it.
            for file in ["/proc/self/fd/0", "/proc/self/fd/1"] {
                refused("truncate-reading", file);
                refused("truncate-neither", file);
            }
        }),
        trial("follows_no_symbolic_link_to_another_file", || {
            let directory = directory();
            let link = directory.path().join("link");
            std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
            refused("read", &link);
        }),
        trial("reaches_no_socket", || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            refused("tcp", &address);
            refused("udp", &address);
            refused("listen", "127.0.0.1:0");
            let directory = directory();
            let path = directory.path().join("socket");
            let unix = UnixListener::bind(&path).unwrap();
            refused("unix", &path);
            for arrived in [listener.set_nonblocking(true), unix.set_nonblocking(true)] {
                arrived.unwrap();
            }
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert_eq!(unix.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }),
        trial("starts_no_process_and_no_other_program", || {
            refused("process", "/bin/sh");
            refused("process", qemu_img());
            refused("program", "/bin/sh");
        }),
        trial("signals_nobody", || {
            refused("signal", std::process::id().to_string());
            // As this process itself may.
            assert!(test_kill_process(rustix::process::getpid()).is_ok());
        }),
        trial("has_no_signal_sent_about_an_open_file", || {
            refused("signal-by-file", std::process::id().to_string());
            refused("choose-signal", "");
            refused("lease", "");
        }),
        trial("asks_drivers_only_what_it_needs_to", || {
            refused("driver", "");
            refused("clone", "");
        }),
        trial("takes_no_space_but_by_writing", || {
            refused("allocate", "");
        }),
        trial("gains_no_rights", || refused("privileges", "")),
        trial("has_no_rights_of_the_super_user", || {
            refused("rights", "CapInh,CapPrm,CapEff,CapAmb");
            // Only who has rights can bound those of others.
            refused(
                "rights-without-namespaces",
                match rustix::process::geteuid().is_root() {
                    true => "CapInh,CapPrm,CapEff,CapBnd,CapAmb",
                    false => "CapInh,CapPrm,CapEff,CapAmb",
                },
            );
        }),
        trial("has_an_end_of_memory_and_threads", || {
            refused("memory", (2_u64 << 30).to_string());
            refused("threads", "");
        }),
        trial("has_an_end_of_processor_time", || {
            let limits = Limits {
                cpu_seconds: 1,
                ..LIMITS
            };
            let tried = attempt("burn", "", limits);
            let killed = tried.output.status.signal();
            assert!(
                [Some(libc::SIGXCPU), Some(libc::SIGKILL)].contains(&killed),
                "{:?}",
                tried.output
            );
        }),
        trial("writes_no_more_than_it_may", || {
            let tried = attempt("fill", "", LIMITS);
            assert_eq!(
                tried.output.status.signal(),
                Some(libc::SIGXFSZ),
                "{:?}",
                tried.output
            );
            assert_eq!(tried.destination.metadata().unwrap().len(), LIMITS.file_size);
        }),
        trial("inherits_nothing_that_was_left_open", || {
            // Without the flag that closes it.
            let left = rustix::io::dup(unnamed()).unwrap();
            let tried = attempt("inherited", "", LIMITS);
            drop(left);
            assert_eq!(tried.output.status.code(), Some(0), "{:?}", tried.output);
        }),
        trial("what_is_refused_is_possible_otherwise", || {
            // So that a refusal above says something.
            assert!(fs::read("/etc/passwd").is_ok());
            assert!(Path::new("/bin/sh").exists());
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            assert!(TcpStream::connect(listener.local_addr().unwrap()).is_ok());
        }),
    ]
}
