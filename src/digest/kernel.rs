//! The code that computes each hash, behind one small trait.
//!
//! Which code computes what, and the measurements behind it: `docs/decisions/0005-digest-kernels.md`.

use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use sha2::Digest;

use super::algorithm::Algorithm;

/// One hash in progress.
pub(super) trait Kernel: Send {
    /// Hashes `bytes` after those before. After an error the kernel must not be used further.
    fn update(&mut self, bytes: &[u8]) -> Result<(), ErrorStack>;

    /// The digest of all bytes hashed.
    fn finish(self: Box<Self>) -> Result<Vec<u8>, ErrorStack>;
}

impl Algorithm {
    /// A kernel that has hashed nothing yet: the fastest this process can have.
    pub(super) fn kernel(self) -> Box<dyn Kernel> {
        let library = match self {
            Self::Md5 => Some(MessageDigest::md5()),
            Self::Sha384 => Some(MessageDigest::sha384()),
            Self::Sha512 => Some(MessageDigest::sha512()),
            _ => None,
        };
        // A host in FIPS mode has OpenSSL refuse MD5. The checksum is no security measure there, and Glance
        // computes it on such hosts too (`usedforsecurity=False`): so the portable kernel does.
        match library.map(Hasher::new) {
            Some(Ok(hasher)) => Box::new(OpenSsl(hasher)),
            Some(Err(_)) | None => self.portable_kernel(),
        }
    }

    /// A kernel in Rust: there on every host.
    pub(super) fn portable_kernel(self) -> Box<dyn Kernel> {
        match self {
            Self::Md5 => Portable::<md5::Md5>::start(),
            Self::Sha1 => Portable::<sha1::Sha1>::start(),
            Self::Sha224 => Portable::<sha2::Sha224>::start(),
            Self::Sha256 => Portable::<sha2::Sha256>::start(),
            Self::Sha384 => Portable::<sha2::Sha384>::start(),
            Self::Sha512 => Portable::<sha2::Sha512>::start(),
            Self::Sha3_224 => Portable::<sha3::Sha3_224>::start(),
            Self::Sha3_256 => Portable::<sha3::Sha3_256>::start(),
            Self::Sha3_384 => Portable::<sha3::Sha3_384>::start(),
            Self::Sha3_512 => Portable::<sha3::Sha3_512>::start(),
            Self::Blake2b => Portable::<blake2::Blake2b512>::start(),
            Self::Blake2s => Portable::<blake2::Blake2s256>::start(),
            Self::Blake3 => Box::new(Blake3(blake3::Hasher::new())),
        }
    }
}

struct OpenSsl(Hasher);

impl Kernel for OpenSsl {
    fn update(&mut self, bytes: &[u8]) -> Result<(), ErrorStack> {
        self.0.update(bytes)
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>, ErrorStack> {
        self.0.finish().map(|digest| digest.to_vec())
    }
}

struct Portable<D>(D);

impl<D: Digest + Send + 'static> Portable<D> {
    fn start() -> Box<dyn Kernel> {
        Box::new(Self(D::new()))
    }
}

impl<D: Digest + Send> Kernel for Portable<D> {
    fn update(&mut self, bytes: &[u8]) -> Result<(), ErrorStack> {
        self.0.update(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, ErrorStack> {
        Ok(self.0.finalize().to_vec())
    }
}

struct Blake3(blake3::Hasher);

impl Kernel for Blake3 {
    fn update(&mut self, bytes: &[u8]) -> Result<(), ErrorStack> {
        self.0.update(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, ErrorStack> {
        Ok(self.0.finalize().as_bytes().to_vec())
    }
}
