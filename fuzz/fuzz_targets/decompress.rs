//! Compressed images: the first bytes say how.

#![no_main]

use std::{
    io::{self, Read},
    ops::ControlFlow,
};

use libfuzzer_sys::fuzz_target;
use saccade_conversion::decompress::{Compression, DecompressError, Ratio, decompress};

/// What a few bytes may unfold to, in bytes: more takes longer, and shows nothing else.
const MOST: u64 = 256 << 10;

struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.min(buffer.len());
        self.0.read(&mut buffer[..length])
    }
}

fn unpack(compression: Compression, input: &[u8], piece: usize) -> Result<Vec<u8>, DecompressError> {
    let mut all = Vec::new();
    let ratio = Ratio { free: MOST, times: 0 };
    let length = decompress(compression, Pieces(input, piece), ratio, &mut |bytes| {
        all.extend_from_slice(bytes);
        ControlFlow::Continue(())
    })?;
    assert_eq!(length, all.len() as u64);
    assert!(length <= MOST);
    Ok(all)
}

fuzz_target!(|input: &[u8]| {
    let Some(compression) = Compression::of(input) else {
        return;
    };
    let (whole, cut) = (
        unpack(compression, input, usize::MAX),
        unpack(compression, input, 5),
    );
    assert_eq!(whole.is_ok(), cut.is_ok(), "{whole:?} {cut:?}");
    assert_eq!(whole.ok(), cut.ok());
});
