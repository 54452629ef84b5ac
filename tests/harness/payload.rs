//! Bytes to move, and their hashes.

use sha2::{Digest, Sha512};
use std::io::{self, Read};

/// Bytes that look random, always the same for a seed, and made while they are read. No byte has its high bit set: random
/// ones would now and then end their first sector as a boot record does (one in 65,536), and be refused for what
/// its partition table says.
pub(crate) struct Payload {
    state: u64,
    left: usize,
}

impl Payload {
    pub(crate) fn new(seed: u64, length: usize) -> Self {
        Self {
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            left: length,
        }
    }

    pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        Self::new(seed, length).read_to_end(&mut bytes).unwrap();
        bytes
    }
}

impl Read for Payload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.left);
        for chunk in buffer[..length].chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            chunk.copy_from_slice(&(self.state & 0x7f7f_7f7f_7f7f_7f7f).to_le_bytes()[..chunk.len()]);
        }
        self.left -= length;
        Ok(length)
    }
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    hex(&Sha512::digest(bytes))
}

pub(crate) fn md5(bytes: &[u8]) -> String {
    hex(&md5::Md5::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
