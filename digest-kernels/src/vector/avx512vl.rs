//! AVX-512's instructions in half registers: 8 words of 32 bits, 4 of 64. Fewer lanes than in whole ones, each of them faster: for few
//! streams.
//!
// In every method: the caller promises the features and the pointers that the traits ask for. Indices are constants.
#![allow(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    clippy::indexing_slicing,
    clippy::wildcard_imports
)]

use std::arch::x86_64::*;

use super::{Avx2, Words32, Words64};

/// A register of 256 bits, with the instructions of [`Avx512`](super::Avx512).
#[derive(Clone, Copy)]
pub(crate) struct Avx512Vl(__m256i);

impl Words32 for Avx512Vl {
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
        let mut words = [Self(unsafe { _mm256_setzero_si256() }); 16];
        let others = unsafe { <Avx2 as Words32>::transpose(data, offset) };
        for (word, other) in words.iter_mut().zip(others) {
            word.0 = other.0;
        }
        words
    }

    #[inline(always)]
    unsafe fn rotate_left<const BY: i32, const BACK: i32>(self) -> Self {
        unsafe { Self(_mm256_rol_epi32::<BY>(self.0)) }
    }

    #[inline(always)]
    unsafe fn choose(self, c: Self, d: Self) -> Self {
        unsafe { Self(_mm256_ternarylogic_epi32::<0xca>(self.0, c.0, d.0)) }
    }

    #[inline(always)]
    unsafe fn choose_by_last(self, c: Self, d: Self) -> Self {
        unsafe { Self(_mm256_ternarylogic_epi32::<0xca>(d.0, self.0, c.0)) }
    }

    #[inline(always)]
    unsafe fn parity(self, c: Self, d: Self) -> Self {
        unsafe { Self(_mm256_ternarylogic_epi32::<0x96>(self.0, c.0, d.0)) }
    }

    #[inline(always)]
    unsafe fn or_not(self, c: Self, d: Self) -> Self {
        unsafe { Self(_mm256_ternarylogic_epi32::<0x39>(self.0, c.0, d.0)) }
    }
}

impl Words64 for Avx512Vl {
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
        let mut words = [Self(unsafe { _mm256_setzero_si256() }); 16];
        let others = unsafe { <Avx2 as Words64>::transpose(data, offset) };
        for (word, other) in words.iter_mut().zip(others) {
            word.0 = other.0;
        }
        words
    }

    #[inline(always)]
    unsafe fn rotate_right<const BY: i32, const BACK: i32>(self) -> Self {
        unsafe { Self(_mm256_ror_epi64::<BY>(self.0)) }
    }

    #[inline(always)]
    unsafe fn shift_right<const BY: i32>(self) -> Self {
        unsafe { Self(_mm256_srli_epi64::<BY>(self.0)) }
    }

    #[inline(always)]
    unsafe fn choose(self, f: Self, g: Self) -> Self {
        unsafe { Self(_mm256_ternarylogic_epi64::<0xca>(self.0, f.0, g.0)) }
    }

    #[inline(always)]
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        unsafe { Self(_mm256_ternarylogic_epi64::<0xe8>(self.0, b.0, c.0)) }
    }

    #[inline(always)]
    unsafe fn parity(self, b: Self, c: Self) -> Self {
        unsafe { Self(_mm256_ternarylogic_epi64::<0x96>(self.0, b.0, c.0)) }
    }
}
