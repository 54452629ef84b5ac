//! AVX-512 in whole registers: 16 words of 32 bits, 8 of 64.
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

/// A register of 512 bits.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512i);

impl Avx512 {
    /// Whether the processor and the system have what this and [`Avx512Vl`](super::Avx512Vl) need.
    pub(crate) fn is_there() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
    }
}

impl Words32 for Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self(_mm512_setzero_si512()) }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        unsafe { Self(_mm512_set1_epi32(word.cast_signed())) }
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> Self {
        unsafe { Self(_mm512_loadu_si512(words.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, words: *mut u32) {
        unsafe { _mm512_storeu_si512(words.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm512_add_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn transpose(data: *const *const u8, offset: usize) -> [Self; 16] {
        unsafe {
            let mut rows = [_mm512_setzero_si512(); 16];
            for (lane, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_si512((*data.add(lane)).add(offset).cast());
            }
            // Words of two rows, then of four, in each quarter of a register.
            let mut two = [_mm512_setzero_si512(); 16];
            for at in 0..8 {
                two[2 * at] = _mm512_unpacklo_epi32(rows[2 * at], rows[2 * at + 1]);
                two[2 * at + 1] = _mm512_unpackhi_epi32(rows[2 * at], rows[2 * at + 1]);
            }
            let mut four = [_mm512_setzero_si512(); 16];
            for at in 0..4 {
                four[4 * at] = _mm512_unpacklo_epi64(two[4 * at], two[4 * at + 2]);
                four[4 * at + 1] = _mm512_unpackhi_epi64(two[4 * at], two[4 * at + 2]);
                four[4 * at + 2] = _mm512_unpacklo_epi64(two[4 * at + 1], two[4 * at + 3]);
                four[4 * at + 3] = _mm512_unpackhi_epi64(two[4 * at + 1], two[4 * at + 3]);
            }
            // Quarters of all rows.
            let mut words = [Self(_mm512_setzero_si512()); 16];
            for at in 0..4 {
                let even = _mm512_shuffle_i32x4::<0x88>(four[at], four[4 + at]);
                let odd = _mm512_shuffle_i32x4::<0xdd>(four[at], four[4 + at]);
                let even_below = _mm512_shuffle_i32x4::<0x88>(four[8 + at], four[12 + at]);
                let odd_below = _mm512_shuffle_i32x4::<0xdd>(four[8 + at], four[12 + at]);
                words[at] = Self(_mm512_shuffle_i32x4::<0x88>(even, even_below));
                words[4 + at] = Self(_mm512_shuffle_i32x4::<0x88>(odd, odd_below));
                words[8 + at] = Self(_mm512_shuffle_i32x4::<0xdd>(even, even_below));
                words[12 + at] = Self(_mm512_shuffle_i32x4::<0xdd>(odd, odd_below));
            }
            words
        }
    }

    #[inline(always)]
    unsafe fn rotate_left<const BY: i32, const BACK: i32>(self) -> Self {
        unsafe { Self(_mm512_rol_epi32::<BY>(self.0)) }
    }

    #[inline(always)]
    unsafe fn choose(self, c: Self, d: Self) -> Self {
        unsafe { Self(_mm512_ternarylogic_epi32::<0xca>(self.0, c.0, d.0)) }
    }

    #[inline(always)]
    unsafe fn choose_by_last(self, c: Self, d: Self) -> Self {
        unsafe { Self(_mm512_ternarylogic_epi32::<0xca>(d.0, self.0, c.0)) }
    }

    #[inline(always)]
    unsafe fn parity(self, c: Self, d: Self) -> Self {
        unsafe { Self(_mm512_ternarylogic_epi32::<0x96>(self.0, c.0, d.0)) }
    }

    #[inline(always)]
    unsafe fn or_not(self, c: Self, d: Self) -> Self {
        unsafe { Self(_mm512_ternarylogic_epi32::<0x39>(self.0, c.0, d.0)) }
    }
}

impl Words64 for Avx512 {
    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self(_mm512_setzero_si512()) }
    }

    #[inline(always)]
    unsafe fn splat(word: u64) -> Self {
        unsafe { Self(_mm512_set1_epi64(word.cast_signed())) }
    }

    #[inline(always)]
    unsafe fn load(words: *const u64) -> Self {
        unsafe { Self(_mm512_loadu_si512(words.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, words: *mut u64) {
        unsafe { _mm512_storeu_si512(words.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm512_add_epi64(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn transpose(data: *const *const u8, offset: usize) -> [Self; 16] {
        unsafe {
            let swap =
                _mm512_broadcast_i32x4(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
            let mut words = [Self(_mm512_setzero_si512()); 16];
            for half in 0..2 {
                let mut rows = [_mm512_setzero_si512(); 8];
                for (lane, row) in rows.iter_mut().enumerate() {
                    let bytes = _mm512_loadu_si512((*data.add(lane)).add(offset + half * 64).cast());
                    *row = _mm512_shuffle_epi8(bytes, swap);
                }
                // Words of two rows, in each quarter of a register.
                let mut two = [_mm512_setzero_si512(); 8];
                for at in 0..4 {
                    two[2 * at] = _mm512_unpacklo_epi64(rows[2 * at], rows[2 * at + 1]);
                    two[2 * at + 1] = _mm512_unpackhi_epi64(rows[2 * at], rows[2 * at + 1]);
                }
                for at in 0..2 {
                    let even = _mm512_shuffle_i64x2::<0x88>(two[at], two[2 + at]);
                    let odd = _mm512_shuffle_i64x2::<0xdd>(two[at], two[2 + at]);
                    let even_below = _mm512_shuffle_i64x2::<0x88>(two[4 + at], two[6 + at]);
                    let odd_below = _mm512_shuffle_i64x2::<0xdd>(two[4 + at], two[6 + at]);
                    words[8 * half + at] = Self(_mm512_shuffle_i64x2::<0x88>(even, even_below));
                    words[8 * half + 2 + at] = Self(_mm512_shuffle_i64x2::<0x88>(odd, odd_below));
                    words[8 * half + 4 + at] = Self(_mm512_shuffle_i64x2::<0xdd>(even, even_below));
                    words[8 * half + 6 + at] = Self(_mm512_shuffle_i64x2::<0xdd>(odd, odd_below));
                }
            }
            words
        }
    }

    #[inline(always)]
    unsafe fn rotate_right<const BY: i32, const BACK: i32>(self) -> Self {
        unsafe { Self(_mm512_ror_epi64::<BY>(self.0)) }
    }

    #[inline(always)]
    unsafe fn shift_right<const BY: i32>(self) -> Self {
        // Its own count is unsigned, unlike that of the half registers; from one to the other only the compiler converts.
        unsafe { Self(_mm512_srl_epi64(self.0, _mm_cvtsi32_si128(BY))) }
    }

    #[inline(always)]
    unsafe fn choose(self, f: Self, g: Self) -> Self {
        unsafe { Self(_mm512_ternarylogic_epi64::<0xca>(self.0, f.0, g.0)) }
    }

    #[inline(always)]
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        unsafe { Self(_mm512_ternarylogic_epi64::<0xe8>(self.0, b.0, c.0)) }
    }

    #[inline(always)]
    unsafe fn parity(self, b: Self, c: Self) -> Self {
        unsafe { Self(_mm512_ternarylogic_epi64::<0x96>(self.0, b.0, c.0)) }
    }
}
