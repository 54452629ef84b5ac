//! Archives of disks: tar headers, attributes, descriptions, and a disk in each member.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade_fuzz::image;

const BLOCK: usize = 512;

fuzz_target!(|input: &[u8]| {
    // An odd first byte: the checksums of all blocks that could be headers are put right.
    let Some((&repair, archive)) = input.split_first() else {
        return;
    };
    let mut archive = archive.to_vec();
    if repair & 1 == 1 {
        for block in archive.chunks_exact_mut(BLOCK) {
            if block[257..].starts_with(b"ustar") {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
    }
    let accepted = image::check_archive(&archive, input.len() as u64);
    // What is accepted is a tar archive, and holds no link.
    if accepted {
        assert_eq!(archive.get(257..262), Some(&b"ustar"[..]));
        assert!(!matches!(archive[156], b'1'..=b'4' | b'6'));
    }
});
