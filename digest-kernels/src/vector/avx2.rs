//! AVX2: 8 words of 32 bits, 4 of 64.
//!
// In every method: the caller promises the features and the pointers that the traits ask for. Indices are constants.
#![allow(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    clippy::indexing_slicing,
    clippy::wildcard_imports
)]

use std::arch::x86_64::*;

use super::{Words32, Words64};

/// A register of 256 bits.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(pub(super) __m256i);

impl Avx2 {
    /// Whether the processor and the system have it.
    pub(crate) fn is_there() -> bool {
        is_x86_feature_detected!("avx2")
    }
}

impl Words32 for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self(_mm256_setzero_si256()) }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        unsafe { Self(_mm256_set1_epi32(word.cast_signed())) }
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> Self {
        unsafe { Self(_mm256_loadu_si256(words.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, words: *mut u32) {
        unsafe { _mm256_storeu_si256(words.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn transpose(data: *const *const u8, offset: usize) -> [Self; 16] {
        unsafe {
            let mut words = [Self(_mm256_setzero_si256()); 16];
            for half in 0..2 {
                let mut rows = [_mm256_setzero_si256(); 8];
                for (lane, row) in rows.iter_mut().enumerate() {
                    *row = _mm256_loadu_si256((*data.add(lane)).add(offset + half * 32).cast());
                }
                // Words of two rows, then of four, in each half of a register.
                let mut two = [_mm256_setzero_si256(); 8];
                for at in 0..4 {
                    two[2 * at] = _mm256_unpacklo_epi32(rows[2 * at], rows[2 * at + 1]);
                    two[2 * at + 1] = _mm256_unpackhi_epi32(rows[2 * at], rows[2 * at + 1]);
                }
                let mut four = [_mm256_setzero_si256(); 8];
                for at in 0..2 {
                    four[4 * at] = _mm256_unpacklo_epi64(two[4 * at], two[4 * at + 2]);
                    four[4 * at + 1] = _mm256_unpackhi_epi64(two[4 * at], two[4 * at + 2]);
                    four[4 * at + 2] = _mm256_unpacklo_epi64(two[4 * at + 1], two[4 * at + 3]);
                    four[4 * at + 3] = _mm256_unpackhi_epi64(two[4 * at + 1], two[4 * at + 3]);
                }
                for at in 0..4 {
                    words[8 * half + at] = Self(_mm256_permute2x128_si256::<0x20>(four[at], four[4 + at]));
                    words[8 * half + 4 + at] =
                        Self(_mm256_permute2x128_si256::<0x31>(four[at], four[4 + at]));
                }
            }
            words
        }
    }

    #[inline(always)]
    unsafe fn rotate_left<const BY: i32, const BACK: i32>(self) -> Self {
        unsafe {
            let (up, down) = (_mm256_slli_epi32::<BY>(self.0), _mm256_srli_epi32::<BACK>(self.0));
            Self(_mm256_or_si256(up, down))
        }
    }

    #[inline(always)]
    unsafe fn choose(self, c: Self, d: Self) -> Self {
        unsafe {
            Self(_mm256_xor_si256(
                d.0,
                _mm256_and_si256(self.0, _mm256_xor_si256(c.0, d.0)),
            ))
        }
    }

    #[inline(always)]
    unsafe fn choose_by_last(self, c: Self, d: Self) -> Self {
        unsafe { Words32::choose(d, self, c) }
    }

    #[inline(always)]
    unsafe fn parity(self, c: Self, d: Self) -> Self {
        unsafe { Self(_mm256_xor_si256(_mm256_xor_si256(self.0, c.0), d.0)) }
    }

    #[inline(always)]
    unsafe fn or_not(self, c: Self, d: Self) -> Self {
        unsafe {
            let not_d = _mm256_xor_si256(d.0, _mm256_set1_epi32(-1));
            Self(_mm256_xor_si256(c.0, _mm256_or_si256(self.0, not_d)))
        }
    }
}

impl Words64 for Avx2 {
    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self(_mm256_setzero_si256()) }
    }

    #[inline(always)]
    unsafe fn splat(word: u64) -> Self {
        unsafe { Self(_mm256_set1_epi64x(word.cast_signed())) }
    }

    #[inline(always)]
    unsafe fn load(words: *const u64) -> Self {
        unsafe { Self(_mm256_loadu_si256(words.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, words: *mut u64) {
        unsafe { _mm256_storeu_si256(words.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_epi64(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn transpose(data: *const *const u8, offset: usize) -> [Self; 16] {
        unsafe {
            let swap = _mm256_broadcastsi128_si256(_mm_set_epi8(
                8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7,
            ));
            let mut words = [Self(_mm256_setzero_si256()); 16];
            for quarter in 0..4 {
                let mut rows = [_mm256_setzero_si256(); 4];
                for (lane, row) in rows.iter_mut().enumerate() {
                    let bytes = _mm256_loadu_si256((*data.add(lane)).add(offset + quarter * 32).cast());
                    *row = _mm256_shuffle_epi8(bytes, swap);
                }
                let (low, high) = (
                    _mm256_unpacklo_epi64(rows[0], rows[1]),
                    _mm256_unpackhi_epi64(rows[0], rows[1]),
                );
                let (low_below, high_below) = (
                    _mm256_unpacklo_epi64(rows[2], rows[3]),
                    _mm256_unpackhi_epi64(rows[2], rows[3]),
                );
                words[4 * quarter] = Self(_mm256_permute2x128_si256::<0x20>(low, low_below));
                words[4 * quarter + 1] = Self(_mm256_permute2x128_si256::<0x20>(high, high_below));
                words[4 * quarter + 2] = Self(_mm256_permute2x128_si256::<0x31>(low, low_below));
                words[4 * quarter + 3] = Self(_mm256_permute2x128_si256::<0x31>(high, high_below));
            }
            words
        }
    }

    #[inline(always)]
    unsafe fn rotate_right<const BY: i32, const BACK: i32>(self) -> Self {
        unsafe {
            let (down, up) = (_mm256_srli_epi64::<BY>(self.0), _mm256_slli_epi64::<BACK>(self.0));
            Self(_mm256_or_si256(down, up))
        }
    }

    #[inline(always)]
    unsafe fn shift_right<const BY: i32>(self) -> Self {
        unsafe { Self(_mm256_srli_epi64::<BY>(self.0)) }
    }

    #[inline(always)]
    unsafe fn choose(self, f: Self, g: Self) -> Self {
        unsafe {
            Self(_mm256_xor_si256(
                g.0,
                _mm256_and_si256(self.0, _mm256_xor_si256(f.0, g.0)),
            ))
        }
    }

    #[inline(always)]
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        unsafe {
            let two = _mm256_and_si256(b.0, c.0);
            Self(_mm256_xor_si256(
                _mm256_and_si256(self.0, _mm256_xor_si256(b.0, c.0)),
                two,
            ))
        }
    }

    #[inline(always)]
    unsafe fn parity(self, b: Self, c: Self) -> Self {
        unsafe { Self(_mm256_xor_si256(_mm256_xor_si256(self.0, b.0), c.0)) }
    }
}
