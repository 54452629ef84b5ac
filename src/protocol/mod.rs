//! How uploads and deletions keep their promises, as pure state machines: which step comes next, given how
//! the last one ended. No I/O, no time, no identity of anything; whoever drives a machine does the steps.
//!
//! ```text
//!  upload    begin ──► claim ──► stream ──► commit blob ──► commit metadata ──► settle ──► forget
//!               │         │         │            │                 │              ▲          ▲
//!               │         └─────────┴────────────┴─────────────────┤              │          │
//!               │                  anything but «done»             ▼              │          │
//!  recovery     │                                                fence ──────────►┘          │
//!               │                                                  │    «has committed»       │
//!               │                                                  ▼                         │
//!               │                                               discard ──► release ────────►┤
//!               └────────────────────────────────────────────────────────────────────────────┘
//!
//!  deletion  prepare ──► begin ──► tombstone ──► bytes ──► forget
//!                                      │ unknown   ▲
//!                                      ▼           │ «was deleted»
//!  recovery                          touch ────────┴──────► forget
//!
//!  removal   prepare ──► begin ──► retire ──► bytes ──► erase ──► forget
//!  of                                │ unknown  ▲
//!  locations                         ▼          │ «has retired them»
//!  recovery                        touch ──► look ──► forget
//! ```
//!
//! *begin* and *forget* write this node's ledger; *claim*, *commit metadata*, *fence*, *release*, *tombstone*, *touch*,
//! *retire* and *erase* are [`crate::image::Change`]s, and *look* reads the record; the rest is done by the store.
//!
//! A deletion whose data is kept for a time is a deletion without bytes: its tombstone can be turned back. Scrubbing it is a
//! deletion with bytes that begins at this tombstone; at its revision, so that a restored image is not deleted.
//!
//! The rules that the order embodies:
//! * The ledger knows of an attempt before its first byte, and of a deletion before its tombstone; it forgets them when
//!   nothing is left to do.
//! * Nobody removes an attempt's bytes before its *fence*: the one atomic step that both tells whether the attempt has
//!   committed and makes sure that it never will. So a commit whose outcome is unknown, or which is still on its way,
//!   can do no harm.
//! * The record returns to `queued` only after the bytes are gone.
//! * *touch* is the fence of a deletion: after it, a tombstone that is still on its way no longer applies.
//! * What was removed stays in the record, *retired*, until its bytes are gone: so the record tells a recovery what to do,
//!   and nobody gives the image a location whose bytes are about to go. Touch before look: the answer stays true.
//! * An attempt that brings data to several stores has an entry in the ledger, and a recovery, for each; the last one that ends
//!   releases the record.
//! * Recovery begins where failure does, at the fence, whether the uploader failed, was dropped, or its process
//!   died: there is one way back.
//!
//! The model test explores every interleaving of two uploads, a deletion, a PATCH, removals and restorations with crashes, abandoned tasks,
//! failures, and outcomes that are unknown or come late.

mod deletion;
#[cfg(test)]
mod model;
mod part;
mod removal;
mod upload;

pub use self::{
    deletion::{Deletion, DeletionEnd, DeletionStep},
    part::Brings,
    removal::{Removal, RemovalEnd, RemovalStep},
    upload::{Recovery, RecoveryEnd, RecoveryStep, Upload, UploadStep},
};
use crate::image::Rejection;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done.
    Done,
    /// A change to the record was refused; nothing was changed.
    Refused(Rejection),
    /// It was not done.
    Failed,
    /// It may have been done, in part or whole, or may yet be.
    Unknown,
}
