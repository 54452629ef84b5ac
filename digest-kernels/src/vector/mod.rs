//! SIMD registers as rows of words, each in a lane of its own.
//!
//! What the kernels do with words is written once, over these traits. Every method is inlined into a function that enables
//! the features; called from elsewhere it would be a function call for each instruction.

mod avx2;
mod avx512;
mod avx512vl;

pub(crate) use avx2::Avx2;
pub(crate) use avx512::Avx512;
pub(crate) use avx512vl::Avx512Vl;

/// A register of 32-bit words.
///
/// # Safety of its methods
/// The processor has the features of the type. Pointers can be read, or written, for `LANES` words; those to the data of the lanes for
/// 64 bytes from the offset on.
#[allow(unsafe_code)]
pub(crate) trait Words32: Copy {
    const LANES: usize;
    unsafe fn zero() -> Self;
    unsafe fn splat(word: u32) -> Self;
    unsafe fn load(words: *const u32) -> Self;
    unsafe fn store(self, words: *mut u32);
    /// Of each lane the 16 little-endian words at `offset` of its data.
    unsafe fn transpose(data: *const *const u8, offset: usize) -> [Self; 16];
    unsafe fn add(self, other: Self) -> Self;
    /// `BACK` is 32 less `BY`.
    unsafe fn rotate_left<const BY: i32, const BACK: i32>(self) -> Self;
    /// Of each bit `c` where this is set, otherwise `d` (F of RFC 1321).
    unsafe fn choose(self, c: Self, d: Self) -> Self;
    /// Of each bit this where `d` is set, otherwise `c` (G).
    unsafe fn choose_by_last(self, c: Self, d: Self) -> Self;
    /// Whether an odd number is set (H).
    unsafe fn parity(self, c: Self, d: Self) -> Self;
    /// `c ^ (self | !d)` (I).
    unsafe fn or_not(self, c: Self, d: Self) -> Self;
}

/// A register of 64-bit words.
///
/// # Safety of its methods
/// As of [`Words32`], with 128 bytes of data.
#[allow(unsafe_code)]
pub(crate) trait Words64: Copy {
    unsafe fn zero() -> Self;
    unsafe fn splat(word: u64) -> Self;
    unsafe fn load(words: *const u64) -> Self;
    unsafe fn store(self, words: *mut u64);
    /// Of each lane the 16 big-endian words at `offset` of its data.
    unsafe fn transpose(data: *const *const u8, offset: usize) -> [Self; 16];
    unsafe fn add(self, other: Self) -> Self;
    /// `BACK` is 64 less `BY`.
    unsafe fn rotate_right<const BY: i32, const BACK: i32>(self) -> Self;
    unsafe fn shift_right<const BY: i32>(self) -> Self;
    /// Of each bit `f` where this is set, otherwise `g`.
    unsafe fn choose(self, f: Self, g: Self) -> Self;
    /// Of each bit what two of the three are.
    unsafe fn majority(self, b: Self, c: Self) -> Self;
    /// Whether an odd number is set.
    unsafe fn parity(self, b: Self, c: Self) -> Self;
}
