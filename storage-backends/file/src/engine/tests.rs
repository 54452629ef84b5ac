//! Every engine that is compiled in, on files of this machine.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::Mutex,
    thread,
};

use saccade_disk::{BLOCK, Disk, RealDisk};
use tempfile::TempDir;
use tracing::{Event, Metadata, Subscriber, span};

use super::*;

const KINDS: [EngineKind; 3] = [EngineKind::Pwrite, EngineKind::TokioUring, EngineKind::Glommio];

/// Those that are compiled in. All must start, unless whoever runs the tests says that this machine forbids io_uring.
fn engines() -> Vec<Engine> {
    let is_forbidden = std::env::var_os("SACCADE_TEST_WITHOUT_IO_URING").is_some();
    let started = KINDS
        .into_iter()
        .filter_map(|kind| Engine::start(kind).ok().map(|engine| (kind, engine)));
    started
        .filter(|(kind, engine)| {
            let is_itself = engine.to_string() == kind.name();
            assert!(is_itself || is_forbidden, "{kind:?} has not started");
            is_itself
        })
        .map(|(_, engine)| engine)
        .collect()
}

fn made(directory: &Path, name: &str) -> Arc<dyn DiskFile> {
    RealDisk.create_new(&directory.join(name), 0o600).unwrap().into()
}

/// At a whole block in memory.
fn aligned(seed: u8, len: usize) -> Bytes {
    let mut memory = vec![0; len + BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    for (at, byte) in memory[start..].iter_mut().enumerate() {
        *byte = (at % 253) as u8 ^ seed;
    }
    Bytes::from(memory).slice(start..start + len)
}

fn write(pieces: &[Bytes], offset: u64, mode: WriteMode) -> Write {
    Write {
        pieces: pieces.to_vec(),
        offset,
        mode,
    }
}

#[test]
fn several_writes_at_once_are_all_in_the_file() {
    for engine in engines() {
        let directory = TempDir::new().unwrap();
        let mut modes = vec![WriteMode::Buffered];
        if RealDisk.favours_direct_writes(directory.path()) {
            modes.push(WriteMode::Direct);
        }
        for mode in modes {
            let name = format!("{engine} {mode}");
            let file = made(directory.path(), &name);
            let attached = engine.attach(&file);
            let pieces: Vec<Bytes> = (0..12).map(|seed| aligned(seed, 3 * BLOCK)).collect();
            let two = |at: usize| &pieces[2 * at..2 * at + 2];
            // From the last to the first.
            let under_way: Vec<Submitted> = (0..6)
                .rev()
                .map(|at| attached.submit(write(two(at), (at * 6 * BLOCK) as u64, mode)))
                .collect();
            for write in under_way {
                write.wait().unwrap();
            }
            attached.sync_data().unwrap();
            let found = fs::read(directory.path().join(&name)).unwrap();
            assert!(found == pieces.concat(), "{name}");
        }
    }
}

#[test]
fn a_piece_larger_than_any_buffer_is_written_whole() {
    for engine in engines() {
        let directory = TempDir::new().unwrap();
        let file = made(directory.path(), "file");
        let attached = engine.attach(&file);
        let large = aligned(1, (5 << 20) + 123);
        let small = aligned(2, 7);
        let pieces = [large.clone(), small.clone()];
        attached
            .submit(write(&pieces, 11, WriteMode::Buffered))
            .wait()
            .unwrap();
        let found = fs::read(directory.path().join("file")).unwrap();
        assert!(found[11..] == [large, small].concat(), "{engine}");
    }
}

/// A file of this machine whose writes go to another one, and those of engines to a third.
#[derive(Debug)]
struct Elsewhere(Arc<dyn DiskFile>, Arc<File>, Arc<File>);

#[deny(clippy::missing_trait_methods)]
impl DiskFile for Elsewhere {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_pieces_at(&[bytes], offset, WriteMode::Buffered)
    }

    fn write_pieces_at(&self, pieces: &[&[u8]], offset: u64, _mode: WriteMode) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&*self.1, &pieces.concat(), offset)
    }

    fn writable(&self, _mode: WriteMode) -> Option<io::Result<Arc<File>>> {
        Some(Ok(Arc::clone(&self.2)))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.0.set_mode(mode)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.1.sync_data()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.0.reserve(len)
    }

    fn write_behind(&self, offset: u64, len: u64) {
        self.0.write_behind(offset, len);
    }

    fn as_file(&self) -> io::Result<Arc<File>> {
        self.0.as_file()
    }
}

#[test]
fn errors_of_the_system_come_back_as_they_are() {
    for engine in engines() {
        let directory = TempDir::new().unwrap();
        let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let file = made(directory.path(), "file");
        let file: Arc<dyn DiskFile> = Arc::new(Elsewhere(file, Arc::clone(&full), full));
        let attached = engine.attach(&file);
        let written = attached.submit(write(&[aligned(1, 100)], 0, WriteMode::Buffered));
        let error = written.wait().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{engine}: {error}");
        // A device that has nothing to sync.
        let error = attached.sync_data().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{engine}: {error}");
        // The engine serves others as before.
        let file = made(directory.path(), "another");
        let attached = engine.attach(&file);
        attached
            .submit(write(&[aligned(1, 100)], 0, WriteMode::Buffered))
            .wait()
            .unwrap();
        attached.sync_data().unwrap();
    }
}

#[cfg(feature = "glommio")]
#[test]
fn what_an_engine_cannot_open_is_written_here() {
    for engine in engines() {
        if engine.to_string() != EngineKind::Glommio.name() {
            continue;
        }
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        let file = made(directory.path(), "file");
        let here = Arc::new(File::options().write(true).open(&path).unwrap());
        // No socket is opened a second time.
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = Arc::new(File::from(std::os::fd::OwnedFd::from(socket)));
        let attached = engine.attach(&(Arc::new(Elsewhere(file, here, socket)) as Arc<dyn DiskFile>));
        let piece = aligned(4, 5000);
        attached
            .submit(write(std::slice::from_ref(&piece), 0, WriteMode::Buffered))
            .wait()
            .unwrap();
        attached.sync_data().unwrap();
        assert!(fs::read(path).unwrap() == piece);
    }
}

/// A pipe takes as much at once as it has room for, and the rest later.
#[cfg(feature = "tokio-uring")]
#[test]
fn writes_that_end_early_go_on_where_they_ended() {
    use std::io::Read;

    for engine in engines() {
        if engine.to_string() != EngineKind::TokioUring.name() {
            continue;
        }
        let directory = TempDir::new().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let writer = Arc::new(File::from(std::os::fd::OwnedFd::from(writer)));
        let file = made(directory.path(), "file");
        let file: Arc<dyn DiskFile> = Arc::new(Elsewhere(file, Arc::clone(&writer), writer));
        let attached = engine.attach(&file);
        let pieces = [100_000, 0, 7, 300_000, 1].map(|len| aligned(len as u8, len));
        let expected = pieces.concat();
        let len = expected.len();
        let read = thread::spawn(move || {
            let mut found = vec![0; len];
            reader.read_exact(&mut found).unwrap();
            found
        });
        attached
            .submit(write(&pieces, 0, WriteMode::Buffered))
            .wait()
            .unwrap();
        assert!(read.join().unwrap() == expected);
    }
}

#[test]
fn what_is_no_whole_block_is_refused_as_a_mode() {
    for engine in engines() {
        let directory = TempDir::new().unwrap();
        if !RealDisk.favours_direct_writes(directory.path()) {
            return;
        }
        let file = made(directory.path(), "file");
        let attached = engine.attach(&file);
        let piece = aligned(1, 100);
        let error = attached
            .submit(write(&[piece], 0, WriteMode::Direct))
            .wait()
            .unwrap_err();
        assert!(saccade_disk::refuses_mode(&error), "{engine}: {error}");
    }
}

#[test]
fn nothing_stays_open_when_the_last_writer_has_gone() {
    for engine in engines() {
        let directory = TempDir::new().unwrap();
        let file = made(directory.path(), "file");
        let attached = engine.attach(&file);
        attached
            .submit(write(&[aligned(1, 100)], 0, WriteMode::Buffered))
            .wait()
            .unwrap();
        drop((attached, file));
        let path = directory.path().join("file");
        let is_open = || {
            fs::read_dir("/proc/self/fd")
                .unwrap()
                .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
                .any(|open| open == path)
        };
        for _ in 0..200 {
            if !is_open() {
                break;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(!is_open(), "{engine}");
    }
}

#[test]
fn an_engine_that_is_not_compiled_in_is_refused_by_name() {
    for (kind, is_in) in [
        (EngineKind::Pwrite, true),
        (EngineKind::TokioUring, cfg!(feature = "tokio-uring")),
        (EngineKind::Glommio, cfg!(feature = "glommio")),
    ] {
        match Engine::start(kind) {
            Ok(_) => assert!(is_in, "{kind:?}"),
            Err(error) => {
                assert!(!is_in, "{kind:?}");
                assert!(error.to_string().contains(kind.name()), "{error}");
            }
        }
    }
}

/// Notes what is logged.
#[derive(Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Forbids io_uring to this thread and those that it starts, as Docker does.
fn forbid_io_uring() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let setup = 425;
    let filter = SeccompFilter::new(
        [(setup, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(rustix::io::Errno::PERM.raw_os_error().cast_unsigned()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

#[test]
fn where_io_uring_is_forbidden_files_are_written_with_pwrite_and_one_line_says_so() {
    let run = || {
        forbid_io_uring();
        for kind in KINDS {
            let log = Log::default();
            let lines = Arc::clone(&log.0);
            let started = tracing::subscriber::with_default(log, || Engine::start(kind));
            let Ok(engine) = started else {
                continue;
            };
            assert_eq!(engine.to_string(), "pwrite", "{kind:?}");
            let lines = lines.lock().unwrap();
            if kind == EngineKind::Pwrite {
                assert!(lines.is_empty(), "{lines:?}");
            } else {
                assert_eq!(lines.len(), 1, "{lines:?}");
                assert!(lines[0].contains(kind.name()), "{lines:?}");
            }
            let directory = TempDir::new().unwrap();
            let file = made(directory.path(), "file");
            let attached = engine.attach(&file);
            attached
                .submit(write(&[aligned(3, 100)], 0, WriteMode::Buffered))
                .wait()
                .unwrap();
            attached.sync_data().unwrap();
            assert_eq!(file.size().unwrap(), 100);
        }
    };
    // The filter stays with the thread.
    thread::spawn(run).join().unwrap();
}
