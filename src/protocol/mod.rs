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
//! ```
//!
//! *begin* and *forget* write this node's ledger; *claim*, *commit metadata*, *fence*, *release*, *tombstone* and *touch*
//! are [`crate::image::Change`]s; the rest is done by the store.
//!
//! The rules that the order embodies:
//! * The ledger knows of an attempt before its first byte, and of a deletion before its tombstone; it forgets them when
//!   nothing is left to do.
//! * Nobody removes an attempt's bytes before its *fence*: the one atomic step that both tells whether the attempt has
//!   committed and makes sure that it never will. So a commit whose outcome is unknown, or which is still on its way,
//!   can do no harm.
//! * The record returns to `queued` only after the bytes are gone.
//! * *touch* is the fence of a deletion: after it, a tombstone that is still on its way no longer applies.
//! * Recovery begins where failure does, at the fence, whether the uploader failed, was dropped, or its process
//!   died: there is one way back.
//!
//! The model test explores every interleaving of two uploads, a deletion and a PATCH with crashes, abandoned tasks,
//! failures, and outcomes that are unknown or come late.

mod deletion;
#[cfg(test)]
mod model;
mod upload;

pub use self::{
    deletion::{Deletion, DeletionEnd, DeletionStep},
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
