//! SHA-512 and SHA-384 (FIPS 180-4): one compression function, which begins and is cut differently.

use std::sync::LazyLock;

use crate::{kernels::Kernels, openssl, stream::Stream};

/// A stream of SHA-512 or SHA-384.
pub type Sha512Stream = Stream<u64, 8, 128>;
/// The code for both.
pub type Sha512Kernels = Kernels<u64, 8, 128>;

const INITIAL_512: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];
const INITIAL_384: [u64; 8] = [
    0xcbbb_9d5d_c105_9ed8,
    0x629a_292a_367c_d507,
    0x9159_015a_3070_dd17,
    0x152f_ecd8_f70e_5939,
    0x6733_2667_ffc0_0b31,
    0x8eb4_4a87_6858_1511,
    0xdb0c_2e0d_64f9_8fa7,
    0x47b5_481d_befa_4fa4,
];

/// The fastest code for SHA-512 and SHA-384 that this processor runs.
#[must_use]
pub fn sha512() -> &'static Sha512Kernels {
    static KERNELS: LazyLock<Sha512Kernels> = LazyLock::new(|| {
        let fast = Sha512Kernels {
            name: "OpenSSL and SIMD lanes",
            scalar: openssl::sha512,
            scalar_name: "OpenSSL",
            #[cfg(target_arch = "x86_64")]
            wides: x86::kernels(),
            ..sha512_portable()
        };
        fast.checked(INITIAL_512, sha512_portable().scalar)
            .unwrap_or_else(sha512_portable)
    });
    &KERNELS
}

/// The code for both in plain Rust. It is what the other is compared with.
#[must_use]
pub fn sha512_portable() -> Sha512Kernels {
    Kernels {
        name: "sha2",
        scalar: |state, blocks| sha2::block_api::compress512(state, blocks.as_chunks().0),
        scalar_name: "sha2",
        wides: Vec::new(),
        length: |bits, field| field.copy_from_slice(&bits.to_be_bytes()),
        length_len: 16,
        bytes: |state| state.iter().flat_map(|word| word.to_be_bytes()).collect(),
    }
}

impl Sha512Kernels {
    /// A stream of SHA-512 of which nothing is hashed yet.
    #[must_use]
    pub fn start(&self) -> Sha512Stream {
        Self::begin(INITIAL_512, 64)
    }

    /// A stream of SHA-384 of which nothing is hashed yet.
    #[must_use]
    pub fn start_384(&self) -> Sha512Stream {
        Self::begin(INITIAL_384, 48)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    // Every index is a constant within an array.
    #![allow(unsafe_code, clippy::indexing_slicing)]

    use crate::{
        lanes::{MAX_LANES, Wide, WideState},
        vector::{Avx2, Avx512, Avx512Vl, Words64},
    };

    /// What is added in each step: the first bits of the fractional parts of the cube roots of the first 80 primes.
    pub(crate) const ADDED: [u64; 80] = [
        0x428a_2f98_d728_ae22,
        0x7137_4491_23ef_65cd,
        0xb5c0_fbcf_ec4d_3b2f,
        0xe9b5_dba5_8189_dbbc,
        0x3956_c25b_f348_b538,
        0x59f1_11f1_b605_d019,
        0x923f_82a4_af19_4f9b,
        0xab1c_5ed5_da6d_8118,
        0xd807_aa98_a303_0242,
        0x1283_5b01_4570_6fbe,
        0x2431_85be_4ee4_b28c,
        0x550c_7dc3_d5ff_b4e2,
        0x72be_5d74_f27b_896f,
        0x80de_b1fe_3b16_96b1,
        0x9bdc_06a7_25c7_1235,
        0xc19b_f174_cf69_2694,
        0xe49b_69c1_9ef1_4ad2,
        0xefbe_4786_384f_25e3,
        0x0fc1_9dc6_8b8c_d5b5,
        0x240c_a1cc_77ac_9c65,
        0x2de9_2c6f_592b_0275,
        0x4a74_84aa_6ea6_e483,
        0x5cb0_a9dc_bd41_fbd4,
        0x76f9_88da_8311_53b5,
        0x983e_5152_ee66_dfab,
        0xa831_c66d_2db4_3210,
        0xb003_27c8_98fb_213f,
        0xbf59_7fc7_beef_0ee4,
        0xc6e0_0bf3_3da8_8fc2,
        0xd5a7_9147_930a_a725,
        0x06ca_6351_e003_826f,
        0x1429_2967_0a0e_6e70,
        0x27b7_0a85_46d2_2ffc,
        0x2e1b_2138_5c26_c926,
        0x4d2c_6dfc_5ac4_2aed,
        0x5338_0d13_9d95_b3df,
        0x650a_7354_8baf_63de,
        0x766a_0abb_3c77_b2a8,
        0x81c2_c92e_47ed_aee6,
        0x9272_2c85_1482_353b,
        0xa2bf_e8a1_4cf1_0364,
        0xa81a_664b_bc42_3001,
        0xc24b_8b70_d0f8_9791,
        0xc76c_51a3_0654_be30,
        0xd192_e819_d6ef_5218,
        0xd699_0624_5565_a910,
        0xf40e_3585_5771_202a,
        0x106a_a070_32bb_d1b8,
        0x19a4_c116_b8d2_d0c8,
        0x1e37_6c08_5141_ab53,
        0x2748_774c_df8e_eb99,
        0x34b0_bcb5_e19b_48a8,
        0x391c_0cb3_c5c9_5a63,
        0x4ed8_aa4a_e341_8acb,
        0x5b9c_ca4f_7763_e373,
        0x682e_6ff3_d6b2_b8a3,
        0x748f_82ee_5def_b2fc,
        0x78a5_636f_4317_2f60,
        0x84c8_7814_a1f0_ab72,
        0x8cc7_0208_1a64_39ec,
        0x90be_fffa_2363_1e28,
        0xa450_6ceb_de82_bde9,
        0xbef9_a3f7_b2c6_7915,
        0xc671_78f2_e372_532b,
        0xca27_3ece_ea26_619c,
        0xd186_b8c7_21c0_c207,
        0xeada_7dd6_cde0_eb1e,
        0xf57d_4f7f_ee6e_d178,
        0x06f0_67aa_7217_6fba,
        0x0a63_7dc5_a2c8_98a6,
        0x113f_9804_bef9_0dae,
        0x1b71_0b35_131c_471b,
        0x28db_77f5_2304_7d84,
        0x32ca_ab7b_40c7_2493,
        0x3c9e_be0a_15c9_bebc,
        0x431d_67c4_9c10_0d4c,
        0x4cc5_d4be_cb3e_42b6,
        0x597f_299c_fc65_7e2a,
        0x5fcb_6fab_3ad6_faec,
        0x6c44_198c_4a47_5817,
    ];

    pub(super) fn kernels() -> Vec<Wide<u64, 8>> {
        let mut kernels = Vec::new();
        if Avx512::is_there() {
            kernels.extend([
                Wide {
                    name: "AVX-512, 8 lanes",
                    lanes: 8,
                    least: 5,
                    run: avx512,
                },
                Wide {
                    name: "AVX-512 in half registers, 4 lanes",
                    lanes: 4,
                    least: 2,
                    run: avx512vl,
                },
            ]);
        }
        if Avx2::is_there() {
            kernels.push(Wide {
                name: "AVX2, 4 lanes",
                lanes: 4,
                least: 3,
                run: avx2,
            });
        }
        kernels
    }

    /// # Safety
    /// As of [`compress`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn avx512(state: &mut WideState<u64, 8>, data: &[*const u8; MAX_LANES], blocks: usize) {
        // SAFETY: passed on.
        unsafe { compress::<Avx512>(state, data, blocks) }
    }

    /// # Safety
    /// As of [`compress`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn avx512vl(state: &mut WideState<u64, 8>, data: &[*const u8; MAX_LANES], blocks: usize) {
        // SAFETY: passed on.
        unsafe { compress::<Avx512Vl>(state, data, blocks) }
    }

    /// # Safety
    /// As of [`compress`].
    #[target_feature(enable = "avx2")]
    unsafe fn avx2(state: &mut WideState<u64, 8>, data: &[*const u8; MAX_LANES], blocks: usize) {
        // SAFETY: passed on.
        unsafe { compress::<Avx2>(state, data, blocks) }
    }

    /// The compression function, in a register of lanes for every word.
    ///
    /// # Safety
    /// The processor has the features of `V`; each of the first `V::LANES` pointers can be read for `blocks` blocks of 128 bytes.
    #[inline(always)]
    unsafe fn compress<V: Words64>(
        state: &mut WideState<u64, 8>,
        data: &[*const u8; MAX_LANES],
        blocks: usize,
    ) {
        // SAFETY: what the caller has promised is what each of these asks for; a state has room for all lanes there may be.
        unsafe {
            let mut now = [V::zero(); 8];
            for (words, word) in state.iter().zip(&mut now) {
                *word = V::load(words.as_ptr());
            }
            for block in 0..blocks {
                // The schedule, of which sixteen words are alive at a time.
                let mut w = V::transpose(data.as_ptr(), block * 128);
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = now;
                macro_rules! step {
                    ($a:ident, $b:ident, $c:ident, $d:ident, $e:ident, $f:ident, $g:ident, $h:ident, $w:expr, $k:expr) => {
                        let word = w[$w].add(V::splat(ADDED[$k]));
                        let mixed = $e
                            .rotate_right::<14, 50>()
                            .parity($e.rotate_right::<18, 46>(), $e.rotate_right::<41, 23>());
                        let first = $h.add(word).add(mixed.add($e.choose($f, $g)));
                        let mixed = $a
                            .rotate_right::<28, 36>()
                            .parity($a.rotate_right::<34, 30>(), $a.rotate_right::<39, 25>());
                        $d = $d.add(first);
                        $h = first.add(mixed.add($a.majority($b, $c)));
                    };
                }
                macro_rules! schedule {
                    ($($w:expr)*) => {$(
                        let near = w[($w + 1) % 16];
                        let near = near
                            .rotate_right::<1, 63>()
                            .parity(near.rotate_right::<8, 56>(), near.shift_right::<7>());
                        let far = w[($w + 14) % 16];
                        let far = far
                            .rotate_right::<19, 45>()
                            .parity(far.rotate_right::<61, 3>(), far.shift_right::<6>());
                        w[$w] = w[$w].add(w[($w + 9) % 16]).add(near.add(far));
                    )*};
                }
                macro_rules! eight {
                    ($w:expr, $k:expr) => {
                        step!(a, b, c, d, e, f, g, h, $w, $k);
                        step!(h, a, b, c, d, e, f, g, $w + 1, $k + 1);
                        step!(g, h, a, b, c, d, e, f, $w + 2, $k + 2);
                        step!(f, g, h, a, b, c, d, e, $w + 3, $k + 3);
                        step!(e, f, g, h, a, b, c, d, $w + 4, $k + 4);
                        step!(d, e, f, g, h, a, b, c, $w + 5, $k + 5);
                        step!(c, d, e, f, g, h, a, b, $w + 6, $k + 6);
                        step!(b, c, d, e, f, g, h, a, $w + 7, $k + 7);
                    };
                }
                eight!(0, 0);
                eight!(8, 8);
                for turn in 1..5 {
                    schedule!(0 1 2 3 4 5 6 7);
                    eight!(0, turn * 16);
                    schedule!(8 9 10 11 12 13 14 15);
                    eight!(8, turn * 16 + 8);
                }
                for (word, new) in now.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                    *word = word.add(new);
                }
            }
            for (words, word) in state.iter_mut().zip(now) {
                word.store(words.as_mut_ptr());
            }
        }
    }
}
