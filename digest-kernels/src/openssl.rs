//! One stream with OpenSSL's hand-written code, on states of our own.
//!
//! Its usual interface keeps the state to itself. The older one (`openssl/md5.h`, `openssl/sha.h`) has it in a plain
//! structure of the caller's, whose layout is part of its binary interface since version 0.9.8 (SHA-512) and before
//! (MD5). OpenSSL 3 calls it deprecated and has it still. It asks no provider: a host in FIPS mode computes MD5, too, which is
//! a checksum here and no security measure.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_void};

// Nothing of it is called here: it finds the library and links it.
use openssl_sys as _;

/// `MD5_CTX` of `openssl/md5.h`.
#[repr(C)]
struct Md5Context {
    state: [u32; 4],
    length: [u32; 2],
    data: [u32; 16],
    num: c_uint,
}

/// `SHA512_CTX` of `openssl/sha.h`.
#[repr(C)]
struct Sha512Context {
    state: [u64; 8],
    length: [u64; 2],
    data: [u64; 16],
    num: c_uint,
    digest_len: c_uint,
}

unsafe extern "C" {
    fn MD5_Update(context: *mut Md5Context, data: *const c_void, len: usize) -> c_int;
    fn SHA512_Update(context: *mut Sha512Context, data: *const c_void, len: usize) -> c_int;
}

/// Hashes whole blocks of 64 bytes.
pub(crate) fn md5(state: &mut [u32; 4], blocks: &[u8]) {
    debug_assert_eq!(blocks.len() % 64, 0);
    let mut context = Md5Context {
        state: *state,
        length: [0; 2],
        data: [0; 16],
        num: 0,
    };
    // SAFETY: the context is what the library's own initialisation leaves (`num` 0: no bytes are waiting), but for the state, for
    // which it takes any words. The slice is valid for its length, and is only read.
    unsafe {
        MD5_Update(&raw mut context, blocks.as_ptr().cast(), blocks.len());
    }
    *state = context.state;
}

/// Hashes whole blocks of 128 bytes.
pub(crate) fn sha512(state: &mut [u64; 8], blocks: &[u8]) {
    debug_assert_eq!(blocks.len() % 128, 0);
    let mut context = Sha512Context {
        state: *state,
        length: [0; 2],
        data: [0; 16],
        num: 0,
        digest_len: 64,
    };
    // SAFETY: as above.
    unsafe {
        SHA512_Update(&raw mut context, blocks.as_ptr().cast(), blocks.len());
    }
    *state = context.state;
}
