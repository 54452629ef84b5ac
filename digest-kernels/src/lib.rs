//! MD5 and SHA-2 of one stream as fast as the processor computes them, and of many streams several times faster: in
//! the lanes of SIMD registers.
//!
//! Both hashes are serial: a block cannot begin before the one before it. So one stream leaves most of a core idle,
//! and streams that have nothing to do with each other fill it: lane 3 of every register belongs to stream 3.
//!
//! A [`Stream`] is plain words, a length and less than a block of bytes, whatever code works on it. It can go on alone
//! or beside others with every piece: [`Kernels::update_many`] takes what there is, and pads the lanes for which
//! there is nothing. Which code runs is decided once, when [`md5`] or [`sha512`] is called first.
//!
//! Several hashes of the *same* bytes go through them in [one pass](OnePass), which costs little more than the slowest of them.
//!
//! The crate starts no threads and allocates nothing while it hashes.

mod kernels;
mod lanes;
mod md5;
mod one_pass;
mod openssl;
mod sha512;
mod stream;
#[cfg(target_arch = "x86_64")]
mod vector;

pub use kernels::Kernels;
pub use lanes::MAX_LANES;
pub use md5::{Md5Kernels, Md5Stream, md5, md5_openssl, md5_portable};
pub use one_pass::{OnePass, one_pass, one_pass_portable};
pub use sha512::{Sha512Kernels, Sha512Stream, sha512, sha512_portable};
pub use stream::{Job, Stream};
