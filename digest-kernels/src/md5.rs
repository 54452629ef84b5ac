//! MD5 (RFC 1321).

use std::sync::LazyLock;

use crate::{kernels::Kernels, openssl, stream::Stream};

/// A stream of MD5.
pub type Md5Stream = Stream<u32, 4, 64>;
/// The code for MD5.
pub type Md5Kernels = Kernels<u32, 4, 64>;

const INITIAL: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The fastest code for MD5 that this processor runs.
#[must_use]
pub fn md5() -> &'static Md5Kernels {
    static KERNELS: LazyLock<Md5Kernels> = LazyLock::new(|| {
        #[allow(unused_mut)]
        let mut kernels = md5_openssl();
        #[cfg(target_arch = "x86_64")]
        if crate::one_pass::x86::has_md5() {
            kernels.name = "SIMD";
            kernels.scalar_name = "AVX-512, one lane";
            #[allow(unsafe_code)]
            // SAFETY: what it needs was just found to be there.
            let scalar =
                |state: &mut _, blocks: &_| unsafe { crate::one_pass::x86::md5_alone(state, blocks) };
            kernels.scalar = scalar;
        }
        kernels
    });
    &KERNELS
}

/// The code for MD5 with OpenSSL's for one stream: the fastest on most hosts without AVX-512.
#[must_use]
pub fn md5_openssl() -> Md5Kernels {
    let fast = Md5Kernels {
        name: "OpenSSL and SIMD lanes",
        scalar: openssl::md5,
        scalar_name: "OpenSSL",
        #[cfg(target_arch = "x86_64")]
        wides: x86::kernels(),
        ..md5_portable()
    };
    fast.checked(INITIAL, md5_portable().scalar)
        .unwrap_or_else(md5_portable)
}

/// The code for MD5 in plain Rust. It is what the other is compared with.
#[must_use]
pub fn md5_portable() -> Md5Kernels {
    Kernels {
        name: "md-5",
        scalar: |state, blocks| md5::block_api::compress(state, blocks.as_chunks().0),
        scalar_name: "md-5",
        wides: Vec::new(),
        // The length counts modulo 2^64.
        length: |bits, field| field.copy_from_slice(&(bits as u64).to_le_bytes()),
        length_len: 8,
        bytes: |state| state.iter().flat_map(|word| word.to_le_bytes()).collect(),
    }
}

impl Md5Kernels {
    /// A stream of which nothing is hashed yet.
    #[must_use]
    pub fn start(&self) -> Md5Stream {
        Self::begin(INITIAL, 16)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    // Every index is a constant within an array.
    #![allow(unsafe_code, clippy::indexing_slicing)]

    use crate::{
        lanes::{MAX_LANES, Wide, WideState},
        vector::{Avx2, Avx512, Avx512Vl, Words32},
    };

    /// What is added in each step: 2^32 times the sine of its number, from 1.
    pub(crate) const ADDED: [u32; 64] = [
        0xd76a_a478,
        0xe8c7_b756,
        0x2420_70db,
        0xc1bd_ceee,
        0xf57c_0faf,
        0x4787_c62a,
        0xa830_4613,
        0xfd46_9501,
        0x6980_98d8,
        0x8b44_f7af,
        0xffff_5bb1,
        0x895c_d7be,
        0x6b90_1122,
        0xfd98_7193,
        0xa679_438e,
        0x49b4_0821,
        0xf61e_2562,
        0xc040_b340,
        0x265e_5a51,
        0xe9b6_c7aa,
        0xd62f_105d,
        0x0244_1453,
        0xd8a1_e681,
        0xe7d3_fbc8,
        0x21e1_cde6,
        0xc337_07d6,
        0xf4d5_0d87,
        0x455a_14ed,
        0xa9e3_e905,
        0xfcef_a3f8,
        0x676f_02d9,
        0x8d2a_4c8a,
        0xfffa_3942,
        0x8771_f681,
        0x6d9d_6122,
        0xfde5_380c,
        0xa4be_ea44,
        0x4bde_cfa9,
        0xf6bb_4b60,
        0xbebf_bc70,
        0x289b_7ec6,
        0xeaa1_27fa,
        0xd4ef_3085,
        0x0488_1d05,
        0xd9d4_d039,
        0xe6db_99e5,
        0x1fa2_7cf8,
        0xc4ac_5665,
        0xf429_2244,
        0x432a_ff97,
        0xab94_23a7,
        0xfc93_a039,
        0x655b_59c3,
        0x8f0c_cc92,
        0xffef_f47d,
        0x8584_5dd1,
        0x6fa8_7e4f,
        0xfe2c_e6e0,
        0xa301_4314,
        0x4e08_11a1,
        0xf753_7e82,
        0xbd3a_f235,
        0x2ad7_d2bb,
        0xeb86_d391,
    ];

    pub(super) fn kernels() -> Vec<Wide<u32, 4>> {
        let mut kernels = Vec::new();
        if Avx512::is_there() {
            kernels.extend([
                Wide {
                    name: "AVX-512, 16 lanes",
                    lanes: 16,
                    least: 9,
                    run: avx512,
                },
                Wide {
                    name: "AVX-512 in half registers, 8 lanes",
                    lanes: 8,
                    least: 2,
                    run: avx512vl,
                },
            ]);
        }
        if Avx2::is_there() {
            kernels.extend([
                Wide {
                    name: "AVX2, 2x8 lanes",
                    lanes: 16,
                    least: 9,
                    run: avx2::<2>,
                },
                Wide {
                    name: "AVX2, 8 lanes",
                    lanes: 8,
                    least: 2,
                    run: avx2::<1>,
                },
            ]);
        }
        kernels
    }

    /// # Safety
    /// As of [`compress`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn avx512(state: &mut WideState<u32, 4>, data: &[*const u8; MAX_LANES], blocks: usize) {
        // SAFETY: passed on.
        unsafe { compress::<Avx512, 1>(state, data, blocks) }
    }

    /// # Safety
    /// As of [`compress`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn avx512vl(state: &mut WideState<u32, 4>, data: &[*const u8; MAX_LANES], blocks: usize) {
        // SAFETY: passed on.
        unsafe { compress::<Avx512Vl, 1>(state, data, blocks) }
    }

    /// # Safety
    /// As of [`compress`].
    #[target_feature(enable = "avx2")]
    unsafe fn avx2<const SETS: usize>(
        state: &mut WideState<u32, 4>,
        data: &[*const u8; MAX_LANES],
        blocks: usize,
    ) {
        // SAFETY: passed on.
        unsafe { compress::<Avx2, SETS>(state, data, blocks) }
    }

    /// The compression function, in `SETS` registers of lanes for every word: a set's steps fill the time that another's take to
    /// finish.
    ///
    /// # Safety
    /// The processor has the features of `V`; each of the first `SETS` times `V::LANES` pointers can be read for `blocks` blocks of
    /// 64 bytes; as many lanes there are in `state`.
    #[inline(always)]
    unsafe fn compress<V: Words32, const SETS: usize>(
        state: &mut WideState<u32, 4>,
        data: &[*const u8; MAX_LANES],
        blocks: usize,
    ) {
        // SAFETY: what the caller has promised is what each of these asks for.
        unsafe {
            let mut now = [[V::zero(); SETS]; 4];
            for (words, sets) in state.iter().zip(&mut now) {
                for (set, word) in sets.iter_mut().enumerate() {
                    *word = V::load(words.as_ptr().add(set * V::LANES));
                }
            }
            for block in 0..blocks {
                let mut m = [[V::zero(); 16]; SETS];
                for (set, words) in m.iter_mut().enumerate() {
                    *words = V::transpose(data.as_ptr().add(set * V::LANES), block * 64);
                }
                let [mut a, mut b, mut c, mut d] = now;
                macro_rules! step {
                    ($f:ident, $a:ident, $b:ident, $c:ident, $d:ident, $m:expr, $k:expr, $s:expr) => {
                        let added = V::splat(ADDED[$k]);
                        for set in 0..SETS {
                            let word = m[set][$m].add(added);
                            let sum = $a[set].add(word).add($b[set].$f($c[set], $d[set]));
                            $a[set] = sum.rotate_left::<{ $s }, { 32 - $s }>().add($b[set]);
                        }
                    };
                }
                macro_rules! four {
                    ($f:ident, [$m0:expr, $m1:expr, $m2:expr, $m3:expr], $k:expr, [$s0:expr, $s1:expr, $s2:expr, $s3:expr]) => {
                        step!($f, a, b, c, d, $m0, $k, $s0);
                        step!($f, d, a, b, c, $m1, $k + 1, $s1);
                        step!($f, c, d, a, b, $m2, $k + 2, $s2);
                        step!($f, b, c, d, a, $m3, $k + 3, $s3);
                    };
                }
                four!(choose, [0, 1, 2, 3], 0, [7, 12, 17, 22]);
                four!(choose, [4, 5, 6, 7], 4, [7, 12, 17, 22]);
                four!(choose, [8, 9, 10, 11], 8, [7, 12, 17, 22]);
                four!(choose, [12, 13, 14, 15], 12, [7, 12, 17, 22]);
                four!(choose_by_last, [1, 6, 11, 0], 16, [5, 9, 14, 20]);
                four!(choose_by_last, [5, 10, 15, 4], 20, [5, 9, 14, 20]);
                four!(choose_by_last, [9, 14, 3, 8], 24, [5, 9, 14, 20]);
                four!(choose_by_last, [13, 2, 7, 12], 28, [5, 9, 14, 20]);
                four!(parity, [5, 8, 11, 14], 32, [4, 11, 16, 23]);
                four!(parity, [1, 4, 7, 10], 36, [4, 11, 16, 23]);
                four!(parity, [13, 0, 3, 6], 40, [4, 11, 16, 23]);
                four!(parity, [9, 12, 15, 2], 44, [4, 11, 16, 23]);
                four!(or_not, [0, 7, 14, 5], 48, [6, 10, 15, 21]);
                four!(or_not, [12, 3, 10, 1], 52, [6, 10, 15, 21]);
                four!(or_not, [8, 15, 6, 13], 56, [6, 10, 15, 21]);
                four!(or_not, [4, 11, 2, 9], 60, [6, 10, 15, 21]);
                for (sets, new) in now.iter_mut().zip([a, b, c, d]) {
                    for (word, new) in sets.iter_mut().zip(new) {
                        *word = word.add(new);
                    }
                }
            }
            for (words, sets) in state.iter_mut().zip(now) {
                for (set, word) in sets.into_iter().enumerate() {
                    word.store(words.as_mut_ptr().add(set * V::LANES));
                }
            }
        }
    }
}
