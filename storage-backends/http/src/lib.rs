//! Blobs that are files on web servers, as glance_store's `http` driver knows them: read, never written and never deleted.
//!
//! A location is the file's URL, `http(s)://[user:password@]host[:port]/path[?query]`. What is recorded was judged by the
//! operator's filter when it was recorded; at every read the addresses are checked again, and redirects whole
//! ([`saccade_outgoing`]). Credentials are sent to the origin that the URL names, and are in no error and no log.
//!
//! **Length.** The seam needs it before the first byte: from `Content-Length`, `Content-Range` or a `HEAD`. A server that
//! tells it nowhere is `Unsupported`.
//!
//! **Ranges.** A `206` is believed when its `Content-Range` says what was asked for. A server without ranges is read from
//! the start up to [`MAX_SKIP`] bytes before the range; further in, the range is `Unsupported`.
//!
//! **Changes.** Every range of a file within ten minutes must come from the same version, as far as strong entity tags
//! and lengths tell, or it is `Corrupt`: nobody puts an image together from two files unnoticed. Tags are compared between
//! answers, not sent as `If-Range`: a 206 must carry the tag, and a server that redirects to mirrors would be asked for
//! one with another's.
//!
//! **Failures.** An opening is tried again where that can help, honouring `Retry-After`; a body that has begun is not.
//!
//! Memory: one HTTP/1 connection's buffer for each reader, less than half a MiB, and at most 5 MiB of versions.

mod body;
mod config;
mod errors;
mod open;
mod store;
mod versions;

pub use self::{
    config::{HttpStoreConfig, OpenError},
    open::MAX_SKIP,
    store::HttpStore,
};
