//! A conversion qcow2 → raw in the locked-in process, beside `qemu-img convert` by itself: time, processor time and memory.
//!
//! `cargo bench -p saccade-conversion`; `MIB=512` for a smaller image than 4 GiB, `DIR=…` for another disk. The two take
//! turns, the other one first in every second round; the medians are shown, and the ratios within the rounds. The image
//! is read from the page cache, and the result is written to the same disk by both.

use std::{
    env,
    error::Error,
    ffi::OsString,
    fs::{self, File},
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use saccade_conversion::{
    Conversion, Converter, Options, Sandbox, SourceFormat, TargetFormat, find_qemu_img, worker,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 5;
const WORKER: &str = "convert-worker";

/// What one run has cost.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    cpu_seconds: f64,
    /// Peak resident memory of the converting process.
    kib: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    if let [_, role, rest @ ..] = arguments.as_slice()
        && role == WORKER
    {
        return worker::run(rest);
    }
    match compare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<()> {
    let mib: u64 = env::var("MIB").map_or(Ok(4096), |text| text.parse())?;
    let qemu_img = find_qemu_img(env::var_os("PATH").as_ref()).ok_or("qemu-img is needed (qemu-utils)")?;
    let home = env::var_os("DIR").map_or_else(env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(home)?;
    let converter = Converter::open(Options {
        program: env::current_exe()?,
        arguments: vec![WORKER.into()],
        qemu_img: qemu_img.clone(),
        directory: directory.path().join("work"),
        sandbox: Sandbox::Required,
        time: Duration::from_secs(3600),
    })?;
    println!("{}, held by {}", converter.version(), converter.layers());
    println!("{mib} MiB, {ROUNDS} rounds; median seconds, processor seconds, MiB of memory");
    let raw = directory.path().join("disk.raw");
    write_disk(&raw, mib)?;
    for (name, options) in [
        ("qcow2, full of data", &[][..]),
        ("qcow2, zstd", &["-c", "-o", "compression_type=zstd"]),
    ] {
        let image = directory.path().join("disk.qcow2");
        run(Command::new(&qemu_img)
            .args(["convert", "-f", "raw", "-O", "qcow2"])
            .args(options)
            .args([&raw, &image]))?;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let mut both = [true, false];
            both.rotate_left(round % 2);
            for locked_in in both {
                match locked_in {
                    true => ours.push(convert_locked_in(&converter, &image, mib << 20)?),
                    false => bare.push(convert_bare(
                        &qemu_img,
                        &image,
                        &directory.path().join("bare.raw"),
                    )?),
                }
            }
        }
        report(name, &ours, &bare);
    }
    Ok(())
}

/// Data that no one can leave out, three quarters of it hard to compress.
fn write_disk(path: &Path, mib: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut block = vec![0; 1 << 20];
    for _ in 0..mib {
        for (index, word) in block.chunks_exact_mut(8).enumerate() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = if index % 4 == 0 {
                0x0101_0101_0101_0101
            } else {
                state
            };
            word.copy_from_slice(&value.to_le_bytes());
        }
        file.write_all(&block)?;
    }
    Ok(())
}

fn convert_locked_in(converter: &Converter, image: &Path, most: u64) -> Result<Cost> {
    let destination = converter.scratch()?;
    let source = File::open(image)?;
    let conversion = Conversion {
        source: &source,
        from: SourceFormat::Qcow2,
        destination: &destination,
        to: TargetFormat::Raw,
        most,
    };
    measured(|| {
        Ok(converter
            .convert(&conversion, &mut || ControlFlow::Continue(()))
            .map(drop)?)
    })
}

fn convert_bare(qemu_img: &Path, image: &Path, into: &Path) -> Result<Cost> {
    let cost = measured(|| {
        run(Command::new(qemu_img)
            .args(["convert", "-f", "qcow2", "-O", "raw"])
            .args([image, into]))
    });
    fs::remove_file(into)?;
    cost
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status()?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| status.to_string().into())
}

/// Watches the children of this process while `work` waits for one.
fn measured(work: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let (over, kib) = (AtomicBool::new(false), AtomicU64::new(0));
    let (begun, used) = (Instant::now(), children_seconds()?);
    let worked = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                kib.fetch_max(peak_of_children(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(3));
            }
        });
        let worked = work();
        over.store(true, Ordering::Relaxed);
        worked
    });
    worked?;
    Ok(Cost {
        seconds: begun.elapsed().as_secs_f64(),
        cpu_seconds: children_seconds()? - used,
        kib: kib.into_inner(),
    })
}

/// Processor time of all children that have ended, in seconds (`proc_pid_stat(5)`).
fn children_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The greatest peak of resident memory among the children, in KiB.
fn peak_of_children() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    children
        .flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok())
        // Before it becomes qemu-img it is this program.
        .filter(|status| status.starts_with("Name:\tqemu-img"))
        .filter_map(|status| {
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            peak.split_whitespace().next()?.parse().ok()
        })
        .max()
        .unwrap_or(0)
}

fn report(name: &str, ours: &[Cost], bare: &[Cost]) {
    println!("{name}");
    let line = |who: &str, costs: &[Cost]| {
        let median = |of: fn(&Cost) -> f64| middle(costs.iter().map(of).collect());
        println!(
            "  {who:<10} {:6.2} {:6.2} {:5.0}",
            median(|cost| cost.seconds),
            median(|cost| cost.cpu_seconds),
            median(|cost| cost.kib as f64 / 1024.0)
        );
    };
    line("locked in", ours);
    line("bare", bare);
    let ratio = |of: fn(&Cost) -> f64| middle(ours.iter().zip(bare).map(|(a, b)| of(a) / of(b)).collect());
    println!(
        "  ratio      {:6.2} {:6.2}",
        ratio(|cost| cost.seconds),
        ratio(|cost| cost.cpu_seconds)
    );
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
