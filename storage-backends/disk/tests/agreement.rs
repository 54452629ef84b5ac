//! The simulated disk answers as the disk of this machine does, where no power is cut.

#![cfg(feature = "simulated")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    fmt::Debug,
    io::{self, Read, Seek},
    os::unix::fs::symlink,
    path::Path,
};

use saccade_disk::{BLOCK, Disk, RealDisk, WriteMode, refuses_mode, simulated::SimulatedDisk};
use tempfile::TempDir;

/// What a call said, comparably.
fn said<T: Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// Makes the same calls on a disk, below a directory, and notes what it says.
fn transcript(disk: &dyn Disk, directory: &Path) -> Vec<String> {
    let at = |name: &str| directory.join(name);
    let size = |name: &str| disk.stat(&at(name)).map(|stat| (stat.len, stat.is_file));
    let same = |one: &str, other: &str| {
        let (one, other) = (disk.stat(&at(one)), disk.stat(&at(other)));
        one.and_then(|one| Ok(one.identity == other?.identity))
    };
    let nothing = |result: io::Result<_>| said(result.map(|_: Box<dyn saccade_disk::DiskFile>| ()));
    let mut notes = vec![
        nothing(disk.open(&at("a"))),
        nothing(disk.create_new(&at("missing/a"), 0o600)),
        said(disk.stat(&at("a"))),
        said(disk.unlink(&at("a"))),
        said(disk.link(&at("a"), &at("b"))),
        said(disk.rename(&at("a"), &at("b"))),
        said(disk.sync_dir(&at("missing"))),
        said(disk.check_writable(&at("missing"))),
        said(disk.check_writable(directory)),
        said(disk.space(&at("missing"))),
        said(disk.space(directory).map(|space| space.free <= space.total)),
        said(disk.create_dir(&at("d"))),
        said(disk.create_dir(&at("d"))),
        said(disk.create_dir(&at("missing/d"))),
        nothing(disk.create_new(&at("d"), 0o600)),
    ];
    let file = disk.create_new(&at("a"), 0o600).unwrap();
    let mut buffer = [7; 4];
    notes.extend([
        nothing(disk.create_new(&at("a"), 0o600)),
        nothing(disk.open_writable(&at("a/b"))),
        said(file.write_all_at(b"abcdef", 2)),
        said(file.size()),
        said(file.read_at(&mut buffer, 1)),
        format!("{buffer:?}"),
        said(file.read_at(&mut buffer, 6)),
        said(file.read_at(&mut buffer, 100)),
        said(file.write_pieces_at(&[b"gh", b"", b"i"], 7, WriteMode::Buffered)),
        said(file.write_pieces_at(&[], 20, WriteMode::Buffered)),
        said(file.size()),
        said(file.read_at(&mut buffer, 6)),
        format!("{buffer:?}"),
        said(file.set_len(4)),
        said(file.set_len(9)),
        said(file.reserve(100)),
        said(file.set_mode(0o640)),
        said(file.sync_data()),
        said(size("a")),
        said(disk.link(&at("a"), &at("b"))),
        said(disk.link(&at("a"), &at("b"))),
        said(disk.link(&at("a"), &at("missing/b"))),
        said(same("a", "b")),
        said(same("a", "d")),
        said(disk.rename(&at("a"), &at("b"))),
        said(size("a")),
        said(disk.unlink(&at("a"))),
        said(size("b")),
        said(disk.rename(&at("b"), &at("d/c"))),
        said(size("b")),
        said(size("d/c")),
        said(disk.stat(&at("d")).map(|stat| stat.is_file)),
        said(disk.sync_dir(&at("d"))),
    ]);
    disk.create_new(&at("e"), 0o600)
        .unwrap()
        .write_all_at(b"new", 0)
        .unwrap();
    notes.push(said(disk.rename(&at("e"), &at("d/c"))));
    notes.push(said(size("d/c")));
    // What is open is there although its name is gone.
    notes.push(said(file.size()));
    let opened = disk.open(&at("d/c")).unwrap();
    notes.push(said(disk.unlink(&at("d/c"))));
    let mut lent = &*opened.as_file().unwrap();
    let mut text = String::new();
    lent.rewind().unwrap();
    notes.push(said(lent.read_to_string(&mut text)));
    notes.push(text);
    notes
}

#[test]
fn both_disks_say_the_same() {
    let directory = TempDir::new().unwrap();
    let real = transcript(&RealDisk, directory.path());
    let simulated = transcript(&SimulatedDisk::new(), Path::new("/"));
    assert_eq!(real, simulated);
}

#[test]
fn the_real_disk_opens_regular_files_only_and_follows_no_link() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("file"), b"x").unwrap();
    symlink(at("file"), at("link")).unwrap();
    assert!(RealDisk.open(&at("file")).is_ok());
    assert!(RealDisk.open(&at("link")).is_err());
    assert!(!RealDisk.stat(&at("link")).unwrap().is_file);
    let of_a_directory = RealDisk.open(directory.path()).map(drop).unwrap_err();
    assert_eq!(of_a_directory.kind(), io::ErrorKind::InvalidInput);
    assert!(RealDisk.open_writable(&at("link")).is_err());
}

#[test]
fn the_real_disk_opens_for_reading_what_it_may_only_read() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    RealDisk.create_new(&path, 0o444).unwrap();
    let file = RealDisk.open(&path).unwrap();
    let denied = file.write_all_at(b"x", 0).unwrap_err();
    assert_eq!(
        denied.raw_os_error(),
        Some(rustix::io::Errno::BADF.raw_os_error())
    );
}

#[test]
fn both_disks_refuse_direct_writes_that_are_not_whole_blocks_and_take_others() {
    let directory = TempDir::new().unwrap();
    if !RealDisk.favours_direct_writes(directory.path()) {
        return;
    }
    let memory = vec![7; 4 * BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    let whole = &memory[start..start + 2 * BLOCK];
    let simulated = SimulatedDisk::new();
    let disks: [(&dyn Disk, &Path); 2] = [(&RealDisk, directory.path()), (&simulated, Path::new("/"))];
    for (disk, directory) in disks {
        let file = disk.create_new(&directory.join("direct"), 0o600).unwrap();
        let write = |bytes: &[u8], offset| file.write_pieces_at(&[bytes], offset, WriteMode::Direct);
        write(whole, 4096).unwrap();
        assert_eq!(file.size().unwrap(), 4096 + whole.len() as u64);
        for (bytes, offset) in [(whole, 100), (&whole[..700], 0), (&whole[10..10 + BLOCK], 0)] {
            let error = write(bytes, offset).unwrap_err();
            assert!(refuses_mode(&error), "{disk:?}: {error}");
        }
    }
}

#[test]
fn all_descriptors_of_a_file_lead_to_it_also_when_its_name_does_not() {
    let directory = TempDir::new().unwrap();
    let file = RealDisk
        .create_new(&directory.path().join("file"), 0o600)
        .unwrap();
    let same = |mode| {
        let descriptor = file.writable(mode).unwrap();
        descriptor.map(|descriptor| std::os::unix::fs::MetadataExt::ino(&descriptor.metadata().unwrap()))
    };
    let inode = same(WriteMode::Buffered).unwrap();
    assert_eq!(same(WriteMode::DontCache).unwrap(), inode);
    // Its name may lead to another file meanwhile.
    std::fs::rename(directory.path().join("file"), directory.path().join("away")).unwrap();
    std::fs::write(directory.path().join("file"), b"another").unwrap();
    assert_eq!(same(WriteMode::Direct).unwrap(), inode);
}
