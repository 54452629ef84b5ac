//! The kernels read no byte before or behind what they are given. What instructions of our own read, AddressSanitizer does not see:
//! here the pages around cannot be read.
#![cfg(unix)]
#![allow(unsafe_code, clippy::unwrap_used)]

use std::{ptr, slice};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use saccade_digest_kernels::{Job, md5, one_pass, sha512};

const PAGE: usize = 4096;
const PAGES: usize = 3;

/// Calls `with` with the bytes of a page between two that cannot be read.
fn between_guards(with: impl FnOnce(&[u8])) {
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: new memory, of which the middle page is readable and zeroed as long as `bytes` lives; it is unmapped behind its last use.
    unsafe {
        let start = mmap_anonymous(ptr::null_mut(), PAGES * PAGE, access, flags).unwrap();
        for guard in [0, PAGES - 1] {
            mprotect(start.byte_add(guard * PAGE), PAGE, MprotectFlags::empty()).unwrap();
        }
        let bytes = slice::from_raw_parts(start.byte_add(PAGE).cast::<u8>(), PAGE);
        with(bytes);
        munmap(start, PAGES * PAGE).unwrap();
    }
}

#[test]
fn no_kernel_reads_beside_its_bytes() {
    between_guards(|bytes| {
        for len in [64, 128, 192, 256, 1000, PAGE] {
            let (first, _) = bytes.split_at(len);
            let (_, last) = bytes.split_at(PAGE - len);
            for bytes in [first, last] {
                for kernels in md5().each() {
                    let mut streams: Vec<_> = (0..5).map(|_| kernels.start()).collect();
                    let mut jobs: Vec<_> = streams.iter_mut().map(|stream| Job::new(stream, bytes)).collect();
                    kernels.update_many(&mut jobs);
                }
                for kernels in sha512().each() {
                    let mut streams: Vec<_> = (0..5).map(|_| kernels.start()).collect();
                    let mut jobs: Vec<_> = streams.iter_mut().map(|stream| Job::new(stream, bytes)).collect();
                    kernels.update_many(&mut jobs);
                }
                let (mut whole, mut part) = (md5().start(), md5().start());
                one_pass().md5([&mut whole, &mut part], bytes);
                one_pass().both([&mut whole, &mut part], &mut sha512().start(), bytes);
            }
        }
    });
}
