//! Blobs as objects in one S3 bucket, in the layout of glance_store's `s3` driver: the key is the image's id, and what
//! either has written the other reads.
//!
//! A location is `s3://host/bucket/id` or `s3+https://host/bucket/id`. It is read only if it is in the configured bucket at
//! the configured host; credentials that old ones carry are passed over, and the store's own are used. No error and no
//! log shows any.
//!
//! **Publication.** Nothing is under the key before commit: a small image is one `PUT`, a larger one an upload in parts,
//! which S3 shows only when it is complete. Both carry `If-None-Match: *`; for servers that do not know it the key is
//! looked at just before. Every object has the attempt's id in its metadata, and while an attempt is not settled, a mark
//! stands beside it, `.saccade.<image id>.<attempt>`, with the id of its upload: only both together let `discard`
//! delete an object.
//!
//! The keys need the right to list the bucket, as glance_store's do: without it, Amazon answers 403 where nothing is.
//!
//! **Reading.** A body that breaks off is continued from the same version. An object that is deleted while it is being
//! read is read to its end as far as the server allows that: what breaks off then cannot be continued.
//!
//! **Payloads** are signed over http; over https TLS guards them, unless
//! `s3_store_request_checksum_calculation = when_supported` is in force.
//!
//! **Failures** that may pass are tried again up to five times, after pauses that grow, or as `Retry-After` says up to half a
//! minute. The end of an upload in parts, with which servers take minutes, has ten minutes with all of its tries: if there is no
//! answer then, what is under the key decides, and if that is nothing, the attempt has failed and `discard` undoes it.
//!
//! Memory: `s3_store_large_object_chunk_size` for each writer (10 MiB), and 96 MiB that all writers of a store share, of which
//! parts of usual length take half: 16 at once hold at most 208 MiB. Parts that are longer (of images beyond 100 GB, or beyond 5 GB where the size is not told)
//! take it as long as it is free, and are shorter otherwise. One that cannot be (the image would have more than 10,000)
//! waits a minute for it, and then the upload fails; one of an image beyond a TiB takes all of it, and is longer still. A reader holds the buffer of one HTTP/1 connection, less than half a MiB.

mod attempt;
mod body;
mod client;
mod config;
mod endpoint;
mod failure;
mod object;
mod parts;
mod publish;
mod store;
mod undo;
mod writer;
mod xml;

pub use self::{
    config::{BucketUrlFormat, Checksums, OpenError, S3StoreConfig, Secret},
    store::S3Store,
};
