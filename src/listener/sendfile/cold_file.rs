//! Files that are on the disk alone, for tests.
//!
//! Whoever asks whether a byte is cached makes the kernel read its page, and may be told that it is there when the disk is quicker than
//! the question. So what a test says of a file that is not cached it tries to see [more than once](eventually).

use rustix::{
    fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl},
    io::{Errno, pwrite},
};
use std::{fs::File, time::Duration};

const BLOCK: usize = 4096;

/// A file of so many sevens, a multiple of a block, of which nothing is in the page cache; and nothing comes there but what is asked for.
/// Beside the test itself: what lies there is on a file system that tells what is cached, more likely than under `/tmp`.
pub(super) fn cold_file(len: usize) -> File {
    let beside = std::env::current_exe().unwrap();
    let file = tempfile::tempfile_in(beside.parent().unwrap()).unwrap();
    fadvise(&file, 0, None, Advice::Random).unwrap();
    forget(&file, len);
    file
}

/// Writes it past the page cache, which then has nothing of it. (The kernel may keep pages that it is asked to drop, and asking
/// whether it has would make it read them.)
pub(super) fn forget(file: &File, len: usize) {
    assert_eq!(len % BLOCK, 0);
    let memory = vec![7; len + BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    let bytes = &memory[start..start + len];
    let flags = fcntl_getfl(file).unwrap();
    let direct = fcntl_setfl(file, flags | OFlags::DIRECT).is_ok();
    let mut at = 0;
    while at < len {
        match pwrite(file, &bytes[at..], at as u64) {
            Ok(written) => at += written,
            Err(Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
    }
    fcntl_setfl(file, flags).unwrap();
    file.sync_all().unwrap();
    // Where files are not written past it.
    for _ in 0..if direct { 0 } else { 5 } {
        fadvise(file, 0, None, Advice::DontNeed).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether one of many attempts sees what it is to see.
pub(super) async fn eventually(attempt: impl AsyncFn() -> bool) -> bool {
    for _ in 0..50 {
        if attempt().await {
            return true;
        }
    }
    false
}
