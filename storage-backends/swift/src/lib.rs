//! Blobs as objects in Swift containers (OpenStack Swift, Ceph RGW), in the layout of glance_store's `swift` driver: the object
//! is the image's id, and what either has written the other reads and deletes.
//!
//! A location is written as `swift+config://reference/container/id`. Those with an address of a log-in instead,
//! `swift+https://tenant:user:key@host/v3/container/id`, are read if that is a configured account; their keys are passed
//! over, and the account's own is used. No error and no log shows any.
//!
//! **Publication.** Nothing is under the name before commit: a small image is one `PUT`, a larger one segments and a
//! manifest (DLO), which is written when the container's listing shows every segment as it was sent. Both carry
//! `If-None-Match: *`; for servers that do not know it the name is looked at just before. Every object has the attempt's
//! id in its metadata, and while an attempt is not settled a mark stands beside it, `.saccade.<image id>.<attempt>`: only
//! both together let `discard` delete an object. Segments are `<image id>.<attempt>-00001` and so on.
//!
//! **Segments** are as long as `swift_store_large_object_chunk_size` says, and sent while they come. One of up to 8 MiB is
//! kept until it is there, and sent again if it must be; of longer ones the first 8 MiB are kept for that, and what breaks
//! off later fails the attempt. The hash of each (MD5) is compared; it is computed here, or by whoever hashes the whole blob
//! ([`BlobWriter::use_sums`](saccade_store_contract::BlobWriter::use_sums)).
//!
//! **Reading.** A body that breaks off is continued from the same version. An object in segments that is deleted while
//! it is being read breaks off where the first segment is gone.
//!
//! **Failures** that may pass are tried again up to five times, after pauses that grow, or as `Retry-After` says up to half a
//! minute. A token is replaced before it ends, and when a server does not take it any more.
//!
//! Memory: 8 MiB for each writer, and 48 MiB that all writers of a store share: 16 at once hold at most 176 MiB. A reader
//! holds the buffer of one HTTP/1 connection, less than half a MiB; a deletion, up to 16 MiB of a listing.

mod account;
mod attempt;
mod body;
mod client;
mod config;
mod deletion;
mod failure;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod location;
mod multi_tenant;
mod plan;
mod publish;
mod references;
mod requests;
mod segment;
mod store;
mod tenant;
mod tenant_address;
mod undo;
mod writer;

pub use self::{
    config::{EndpointType, OpenError, Secret, SwiftStoreConfig},
    multi_tenant::MultiTenantStore,
    store::SwiftStore,
};
