//! Blobs as files in one directory, in glance_store's layout: `<datadir>/<image id>`, location
//! `file://<datadir>/<image id>`. It reads and deletes what glance_store's filesystem driver wrote there.
//!
//! What makes the contract's promises true here:
//!
//! * An attempt writes to `<datadir>/.saccade.<image id>.<attempt>`, whose name is made durable before anything else.
//!   No location leads to such a name.
//! * Commit syncs the bytes and then gives the same file its second name, the blob's, with `link(2)`, which never
//!   replaces. Both names stay until the attempt is settled: that they are one file is the proof, after any crash, that
//!   the published file is this attempt's and may be removed with it.
//! * Nothing is listed and nothing is guessed: the store touches the names that a handle or a location spells, only.
//!
//! It needs a file system with hard links, and says so when it is opened on another.
//!
//! Blocking calls run on tokio's pool of blocking threads, one per writer at a time and a bounded number per store, so that
//! a file system that hangs leaves the pool to others; the store must be used within a tokio runtime. Memory: a writer holds up to four chunks, or one if it is of a MiB or more, that are being written, and
//! as many that wait; a reader holds an open file, and up to 64 files that were read a
//! moment ago stay open for a second, on file systems of this machine. No byte of them is copied on its way to a disk that takes it directly.

mod attempt;
mod engine;
mod errors;
mod extent;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod layout;
mod locks;
mod mode;
mod open;
mod opened;
mod queue;
mod several;
mod store;
mod threads;
mod undo;
mod writer;

pub use self::{
    engine::{Engine, EngineKind, NotCompiledIn},
    mode::WriteChoice,
    open::{FileStoreConfig, OpenError},
    several::{DataDirectory, FileStores},
    store::FileStore,
};
