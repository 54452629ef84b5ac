//! The kernels: instructions of our own, since their order is what they are for. A compiler orders for one chain of dependencies.
#![allow(unsafe_code)]

use std::arch::naked_asm;

use super::{LANES, Md5Words};
use crate::{md5::x86::ADDED as MD5_ADDED, sha512::x86::ADDED as SHA512_ADDED};

/// What the kernels read besides the bytes.
#[repr(C, align(64))]
struct Table {
    /// What MD5 adds: of each round in the order of the message's words.
    md5: [u32; 64],
    /// What SHA-512 adds.
    sha512: [u64; 80],
    /// Turns the bytes of each word round.
    swap: [u8; 32],
}

static TABLE: Table = table();

#[allow(clippy::indexing_slicing)] // Evaluated by the compiler.
const fn table() -> Table {
    let mut table = Table {
        md5: [0; 64],
        sha512: SHA512_ADDED,
        swap: [0; 32],
    };
    let mut step = 0;
    while step < 64 {
        let word = match step / 16 {
            0 => step,
            1 => 5 * step + 1,
            2 => 3 * step + 5,
            _ => 7 * step,
        };
        table.md5[step / 16 * 16 + word % 16] = MD5_ADDED[step];
        step += 1;
    }
    let mut at = 0;
    while at < 32 {
        // Within each half of the register.
        table.swap[at] = (at as u8 % 16) ^ 7;
        at += 1;
    }
    table
}

/// Whether the processor and the system have what [`md5`] needs.
pub(crate) fn has_md5() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
}

/// Whether the processor and the system have what [`both`] needs.
pub(super) fn has_both() -> bool {
    has_md5() && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2")
}

/// Hashes whole blocks of 64 bytes with each of the states.
///
/// # Safety
/// [`has_md5`].
pub(crate) unsafe fn md5(states: &mut Md5Words, blocks: &[u8]) {
    let count = blocks.len() / 64;
    if count > 0 {
        // SAFETY: the caller's promise; the slice has as many blocks, and there is one.
        unsafe { md5_blocks(states, blocks.as_ptr(), count, &raw const TABLE) }
    }
}

/// Hashes whole blocks of 64 bytes with one state.
///
/// # Safety
/// [`has_md5`].
pub(crate) unsafe fn md5_alone(state: &mut [u32; 4], blocks: &[u8]) {
    let mut states = state.map(|word| [word; LANES]);
    // SAFETY: passed on.
    unsafe { md5(&mut states, blocks) };
    *state = states.map(|[word, ..]| word);
}

/// Hashes whole blocks of 128 bytes with each of the states.
///
/// # Safety
/// [`has_both`].
pub(super) unsafe fn both(md5: &mut Md5Words, sha512: &mut [u64; 8], blocks: &[u8]) {
    let count = blocks.len() / 128;
    if count > 0 {
        // SAFETY: as above.
        unsafe { both_blocks(md5, sha512, blocks.as_ptr(), count, &raw const TABLE) }
    }
}

/// # Safety
/// [`has_md5`]; `count` is not 0, and so many blocks of 64 bytes can be read.
#[unsafe(naked)]
unsafe extern "sysv64" fn md5_blocks(
    states: *mut [[u32; LANES]; 4],
    blocks: *const u8,
    count: usize,
    table: *const Table,
) {
    naked_asm!(
        include_str!("md5.s"),
        include_str!("md5_alone.s"),
        options(att_syntax, raw)
    )
}

/// # Safety
/// [`has_both`]; `count` is not 0, and so many blocks of 128 bytes can be read.
#[unsafe(naked)]
unsafe extern "sysv64" fn both_blocks(
    md5: *mut [[u32; LANES]; 4],
    sha512: *mut [u64; 8],
    blocks: *const u8,
    count: usize,
    table: *const Table,
) {
    naked_asm!(
        include_str!("md5.s"),
        include_str!("both.s"),
        options(att_syntax, raw)
    )
}
