//! Hashing a stream of bytes with several algorithms at once, off the async threads and in bounded memory.
//!
//! A [`DigestPool`] is a fixed set of threads. [`DigestPool::start`] opens a [`DigestStream`], to which the owner
//! [pushes](DigestStream::push) chunks and from which it takes the [`Digests`] by
//! [finishing](DigestStream::finish) it. Each algorithm of each stream is a unit of work of its own: the units of
//! one stream run side by side, and units of different streams take turns of one chunk. Units of MD5, and of SHA-512, that are
//! ready at the same time take their turn together, in the lanes of SIMD registers. With fewer streams than threads, MD5 and SHA-512 of
//! a stream are one unit instead, where the host has code that computes both in one pass.
//!
//! A stream can have [parts](PartDigests), each with an MD5 of its own. Its blocks go through two lanes then, side by side: one for all
//! of the stream, one for the part.
//!
//! The module knows nothing of images, HTTP or stores.

mod algorithm;
mod crowd;
mod digests;
mod error;
mod kernel;
mod parts;
mod pool;
mod run_queue;
mod stream;
#[cfg(test)]
mod tests;
mod track;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use digests::Digests;
pub use error::DigestError;
pub use parts::{PartDigests, PartLengths};
pub use pool::DigestPool;
pub use stream::{DigestStream, MAX_CHUNKS_BEHIND};
