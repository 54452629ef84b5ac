//! Starts workers, and watches them.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    ops::ControlFlow,
    os::unix::{fs::DirBuilderExt, process::ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    confine::Layers,
    format::{SourceFormat, TargetFormat},
    message::{KEPT, shown},
    order::{Job, Limits, Order, Sandbox},
    worker::NOT_BEGUN,
};

/// Address space of a worker, in bytes: `qemu-img` with its buffers, tables, threads and libraries, several times over.
const MEMORY: u64 = 1 << 30;

/// Threads whose processor time together a worker may use up.
const THREADS: u32 = 4;

/// The pause between two looks at a worker; at first they are shorter.
const PAUSE: Duration = Duration::from_millis(25);

/// How long a program may take to tell its version.
const CHECK_TIME: Duration = Duration::from_secs(30);

/// How workers are started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program that is a worker when it is given these arguments and then an order's.
    pub program: PathBuf,
    /// Those arguments.
    pub arguments: Vec<OsString>,
    /// `qemu-img`, by its real path.
    pub qemu_img: PathBuf,
    /// A directory that is made if need be, and stays empty: workers are in it, and files without a name.
    pub directory: PathBuf,
    /// What becomes of a worker that cannot lock itself in.
    pub sandbox: Sandbox,
    /// How long one conversion may take.
    pub time: Duration,
}

/// Starts workers.
#[derive(Debug)]
pub struct Converter {
    options: Options,
    layers: Layers,
    version: String,
}

/// One conversion.
#[derive(Debug, Clone, Copy)]
pub struct Conversion<'a> {
    /// The image: a regular file, read from its first byte on.
    pub source: &'a File,
    /// What it is. An inspection has found it to be so, safe, and whole in itself.
    pub from: SourceFormat,
    /// Takes the result: [`Converter::scratch`].
    pub destination: &'a File,
    /// What the result is.
    pub to: TargetFormat,
    /// The longest result, in bytes.
    pub most: u64,
}

/// Workers cannot be started here.
#[derive(Debug, thiserror::Error)]
pub enum UnusableError {
    /// Its directory cannot be used.
    #[error("{directory} cannot be used")]
    Directory {
        /// It.
        directory: PathBuf,
        #[allow(missing_docs)]
        source: io::Error,
    },
    /// `qemu-img`, locked in, does not work.
    #[error("{program} does not work when it is locked in: {source}")]
    Program {
        /// It.
        program: PathBuf,
        #[allow(missing_docs)]
        source: ConvertError,
    },
}

/// Why there is no result. What the destination holds then means nothing.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// No worker can be started, or watched.
    #[error("the process that converts cannot be started")]
    Start(#[source] io::Error),
    /// The worker could not lock itself in, and has touched nothing.
    #[error("the process that converts cannot be locked in: {0}")]
    NotConfined(String),
    /// The image cannot be converted, as `qemu-img` says.
    #[error("qemu-img: {0}")]
    Failed(String),
    /// The worker was killed, by the kernel or by another.
    #[error("qemu-img was killed by signal {signal}: {message}")]
    Killed {
        /// The number.
        signal: i32,
        /// What it had said.
        message: String,
    },
    /// It took too much time.
    #[error("the conversion was not done within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The result would be longer than it may be.
    #[error("the result would have more than {0} bytes")]
    TooLong(u64),
    /// Whoever watched it has ended it.
    #[error("the conversion was broken off")]
    Stopped,
}

/// The `qemu-img` of this machine, by its real path.
#[must_use]
pub fn find_qemu_img(path: Option<&OsString>) -> Option<PathBuf> {
    let found = env::split_paths(path?).map(|directory| directory.join("qemu-img"));
    found
        .filter(|path| path.is_absolute())
        .filter_map(|path| fs::canonicalize(path).ok())
        .find(|path| path.is_file())
}

impl Converter {
    /// Makes ready, and lets a worker show that it works. Blocks.
    ///
    /// # Errors
    /// See [`UnusableError`].
    pub fn open(options: Options) -> Result<Self, UnusableError> {
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&options.directory)
            .map_err(|source| UnusableError::Directory {
                directory: options.directory.clone(),
                source,
            })?;
        let mut converter = Self {
            options,
            layers: Layers {
                landlock: false,
                seccomp: false,
                namespaces: crate::Namespaces::Inherited,
            },
            version: String::new(),
        };
        let checked = converter.check().map_err(|source| UnusableError::Program {
            program: converter.options.qemu_img.clone(),
            source,
        });
        (converter.layers, converter.version) = checked?;
        Ok(converter)
    }

    /// What holds its workers.
    #[must_use]
    pub fn layers(&self) -> Layers {
        self.layers
    }

    /// What `qemu-img` says it is.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A file without a name, gone with its last handle, however the daemon ends. Blocks.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scratch(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.options.directory)
    }

    fn check(&self) -> Result<(Layers, String), ConvertError> {
        let order = self.order(Job::Check, 0, CHECK_TIME);
        let mut command = self.command(&order);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut told = Vec::new();
        let said = watch(command, CHECK_TIME, 0, Some(&mut told), &mut || {
            ControlFlow::Continue(())
        })?;
        let told = String::from_utf8_lossy(&told).into_owned();
        let first = said.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let layers = str::from_utf8(first).ok().and_then(|line| line.parse().ok());
        let layers = layers.ok_or_else(|| ConvertError::NotConfined(shown(&said)))?;
        let version = told.lines().next().unwrap_or_default();
        if !version.starts_with("qemu-img version ") {
            return Err(ConvertError::Failed(shown(told.as_bytes())));
        }
        Ok((layers, shown(version.as_bytes())))
    }

    /// Converts, and returns the length of the result in bytes. Blocks, and must be called on a thread that lives until it
    /// returns. `is_wanted` is asked again and again; when it says so, the worker is killed.
    ///
    /// # Errors
    /// See [`ConvertError`].
    pub fn convert(
        &self,
        conversion: &Conversion<'_>,
        is_wanted: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<u64, ConvertError> {
        let Conversion {
            source,
            from,
            destination,
            to,
            most,
        } = *conversion;
        let order = self.order(Job::Convert { from, to }, most, self.options.time);
        let handle = |file: &File| file.try_clone().map(Stdio::from).map_err(ConvertError::Start);
        let mut command = self.command(&order);
        command.stdin(handle(source)?).stdout(handle(destination)?);
        watch(command, self.options.time, most, None, is_wanted)?;
        destination
            .metadata()
            .map(|found| found.len())
            .map_err(ConvertError::Start)
    }

    fn order(&self, job: Job, file_size: u64, time: Duration) -> Order {
        Order {
            parent: std::process::id(),
            sandbox: self.options.sandbox,
            limits: Limits {
                cpu_seconds: time.saturating_mul(THREADS).as_secs().max(1),
                memory: MEMORY,
                file_size,
            },
            program: self.options.qemu_img.clone(),
            job,
        }
    }

    fn command(&self, order: &Order) -> Command {
        let mut command = Command::new(&self.options.program);
        command
            .args(&self.options.arguments)
            .args(order.to_arguments())
            .env_clear()
            .current_dir(&self.options.directory)
            .stderr(Stdio::piped());
        command
    }
}

/// Runs a worker to its end; returns what it has said.
fn watch(
    mut command: Command,
    time: Duration,
    most: u64,
    told: Option<&mut Vec<u8>>,
    is_wanted: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<u8>, ConvertError> {
    let mut child = Reaped(command.spawn().map_err(ConvertError::Start)?);
    let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
    thread::scope(|scope| {
        let said = scope.spawn(|| stderr.map(first_of).unwrap_or_default());
        let printed = scope.spawn(|| stdout.map(first_of).unwrap_or_default());
        let ended = wait(&mut child, time, is_wanted);
        // It is dead by now, and its pipes are closed.
        let said = said.join().unwrap_or_default();
        let printed = printed.join().unwrap_or_default();
        if let Some(told) = told {
            *told = printed;
        }
        judge(ended?, said, most)
    })
}

fn judge(status: ExitStatus, said: Vec<u8>, most: u64) -> Result<Vec<u8>, ConvertError> {
    let complaint = || {
        let mut lines = said.splitn(2, |&byte| byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let is_introduction = str::from_utf8(first).is_ok_and(|line| line.parse::<Layers>().is_ok());
        shown(match is_introduction {
            true => lines.next().unwrap_or_default(),
            false => &said,
        })
    };
    if let Some(signal) = status.signal() {
        return Err(match signal {
            libc::SIGXFSZ => ConvertError::TooLong(most),
            _ => ConvertError::Killed {
                signal,
                message: complaint(),
            },
        });
    }
    match status.code() {
        Some(0) => Ok(said),
        Some(code) if code == i32::from(NOT_BEGUN) => Err(ConvertError::NotConfined(complaint())),
        _ => Err(ConvertError::Failed(complaint())),
    }
}

/// A child that is killed if nobody has waited for its end.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(
    child: &mut Reaped,
    time: Duration,
    is_wanted: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<ExitStatus, ConvertError> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    let failed = loop {
        if let Some(status) = child.0.try_wait().map_err(ConvertError::Start)? {
            return Ok(status);
        }
        if begun.elapsed() >= time {
            break ConvertError::TimedOut(time);
        }
        if is_wanted().is_break() {
            break ConvertError::Stopped;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE);
    };
    // What cannot be killed is dead.
    let _ = child.0.kill();
    let _ = child.0.wait();
    Err(failed)
}

/// The first of what a pipe brings; the rest is read, so that nobody waits for it to be, and forgotten.
fn first_of(mut pipe: impl Read) -> Vec<u8> {
    let mut kept = Vec::with_capacity(KEPT);
    let mut buffer = [0; 4096];
    // A pipe that cannot be read has ended.
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        let room = KEPT.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
    kept
}
