//! The code that computes each hash, and which hashes in progress can be computed side by side.
//!
//! Which code computes what, and the measurements behind it: `docs/decisions/0005-digest-kernels.md`.

use std::mem;

use arrayvec::ArrayVec;
use bytes::Bytes;
use saccade_digest_kernels::{Job, MAX_LANES, Md5Stream, Sha512Stream, md5, one_pass, sha512};
use sha2::Digest;

use super::algorithm::Algorithm;

/// A hash in progress, or two of the same bytes.
pub(super) enum Kernel {
    Md5(Box<Md5>),
    /// SHA-512 or SHA-384.
    Sha512(Box<Sha512Stream>),
    /// Both, in one pass over the bytes.
    Both(Box<Md5>, Box<Sha512Stream>),
    /// One that is computed for each stream by itself.
    Alone(Box<dyn Hash>),
}

/// MD5 of a stream, and of one part of it after the other, where it has parts: of the same bytes, side by side.
pub(super) struct Md5 {
    whole: Md5Stream,
    part: Option<Md5Stream>,
}

/// Which hashes in progress can be computed side by side: those of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Md5,
    Sha512,
    Both,
    Alone,
}

/// A hash in progress that has no lanes.
pub(super) trait Hash: Send {
    /// Hashes `bytes` after those before.
    fn update(&mut self, bytes: &[u8]);

    /// The digest of all bytes hashed.
    fn finish(self: Box<Self>) -> Vec<u8>;
}

/// Kernels of one family with the chunk that is next for each.
pub(super) type Turn<'a> = ArrayVec<(&'a mut Kernel, &'a Bytes), MAX_LANES>;

impl Family {
    pub(super) const ALL: [Self; 4] = [Self::Md5, Self::Sha512, Self::Both, Self::Alone];

    /// How many are computed side by side at most.
    pub(super) fn lanes(self) -> usize {
        let lanes = match self {
            Self::Md5 => md5().most_lanes(),
            Self::Sha512 => sha512().most_lanes(),
            Self::Both | Self::Alone => 1,
        };
        lanes.min(MAX_LANES)
    }
}

impl Kernel {
    pub(super) fn family(&self) -> Family {
        match self {
            Self::Md5(_) => Family::Md5,
            Self::Sha512(_) => Family::Sha512,
            Self::Both(..) => Family::Both,
            Self::Alone(_) => Family::Alone,
        }
    }

    /// Hashes a chunk after those before with each of the kernels: side by side where they are of a family.
    pub(super) fn update_many(mut turn: Turn<'_>) {
        if let [(Self::Md5(md5), chunk)] = turn.as_mut_slice() {
            return md5.update(chunk);
        }
        // Two for each kernel at most. What there are no lanes for comes after the others.
        let mut md5_jobs = ArrayVec::<_, { 2 * MAX_LANES }>::new();
        let mut sha512_jobs = ArrayVec::<_, MAX_LANES>::new();
        for (kernel, chunk) in turn {
            match kernel {
                Self::Md5(md5) => {
                    md5_jobs.push(Job::new(&mut md5.whole, chunk));
                    md5_jobs.extend(md5.part.as_mut().map(|part| Job::new(part, chunk)));
                }
                Self::Sha512(stream) => sha512_jobs.push(Job::new(stream, chunk)),
                Self::Both(md5, sha512) => md5.update_with(sha512, chunk),
                Self::Alone(hash) => hash.update(chunk),
            }
        }
        md5().update_many(&mut md5_jobs);
        sha512().update_many(&mut sha512_jobs);
    }

    fn md5(part: Option<Md5Stream>) -> Self {
        let whole = md5().start();
        Self::Md5(Box::new(Md5 { whole, part }))
    }

    /// MD5 of a stream and of its parts, of which nothing is hashed yet.
    pub(super) fn md5_with_parts() -> Self {
        Self::md5(Some(md5().start()))
    }

    /// Two of one stream as one, which goes on from where both are; as they were, if there is no code for both.
    pub(super) fn together(self, other: Self) -> Result<Self, (Self, Self)> {
        match (self, other) {
            (Self::Md5(md5), Self::Sha512(sha512)) => Ok(Self::Both(md5, sha512)),
            others => Err(others),
        }
    }

    /// The first, and the second of two.
    pub(super) fn apart(self) -> (Self, Option<Self>) {
        match self {
            Self::Both(md5, sha512) => (Self::Md5(md5), Some(Self::Sha512(sha512))),
            one => (one, None),
        }
    }

    /// The digest of the open part, if there are parts; the next one begins.
    pub(super) fn end_part(&mut self) -> Option<Vec<u8>> {
        let (Self::Md5(streams) | Self::Both(streams, _)) = self else {
            return None;
        };
        let part = streams.part.as_mut()?;
        Some(md5().finish(mem::replace(part, md5().start())))
    }

    /// The digest of all bytes hashed; of two, the first.
    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Md5(streams) | Self::Both(streams, _) => md5().finish(streams.whole),
            Self::Sha512(stream) => sha512().finish(*stream),
            Self::Alone(hash) => hash.finish(),
        }
    }
}

impl Md5 {
    fn update(&mut self, bytes: &[u8]) {
        match &mut self.part {
            Some(part) => one_pass().md5([&mut self.whole, part], bytes),
            None => md5().update(&mut self.whole, bytes),
        }
    }

    fn update_with(&mut self, sha512: &mut Sha512Stream, bytes: &[u8]) {
        match &mut self.part {
            Some(part) => one_pass().both([&mut self.whole, part], sha512, bytes),
            None => one_pass().both([&mut self.whole], sha512, bytes),
        }
    }
}

impl Algorithm {
    /// A kernel that has hashed nothing yet: the fastest this process can have.
    pub(super) fn kernel(self) -> Kernel {
        match self {
            Self::Md5 => Kernel::md5(None),
            Self::Sha384 => Kernel::Sha512(Box::new(sha512().start_384())),
            Self::Sha512 => Kernel::Sha512(Box::new(sha512().start())),
            _ => self.portable_kernel(),
        }
    }

    /// A kernel in Rust: there on every host.
    pub(super) fn portable_kernel(self) -> Kernel {
        Kernel::Alone(match self {
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
        })
    }
}

struct Portable<D>(D);

impl<D: Digest + Send + 'static> Portable<D> {
    fn start() -> Box<dyn Hash> {
        Box::new(Self(D::new()))
    }
}

impl<D: Digest + Send> Hash for Portable<D> {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

struct Blake3(blake3::Hasher);

impl Hash for Blake3 {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().as_bytes().to_vec()
    }
}
