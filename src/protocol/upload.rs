//! One attempt to bring data into an image, and finishing one that was interrupted.

use super::Outcome;
use crate::image::Rejection;

/// The way forward of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Upload {
    step: UploadStep,
}

/// What an upload does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UploadStep {
    /// Write the attempt to the ledger, durably.
    Begin,
    /// Claim the image: queued → saving.
    Claim,
    /// Bring the bytes to the writer, and verify them.
    Stream,
    /// Publish the blob. From here on, nothing may drop the driver.
    CommitBlob,
    /// Put content and location into the record: saving → active.
    CommitMetadata,
    /// Nothing was promised to anybody: the rest is this recovery's.
    HandOver(Recovery),
}

impl Upload {
    /// An attempt that has done nothing yet.
    pub const fn new() -> Self {
        Self {
            step: UploadStep::Begin,
        }
    }

    /// What to do next.
    pub const fn step(&self) -> UploadStep {
        self.step
    }

    /// Goes on from the step that [`Upload::step`] named. After [`UploadStep::HandOver`] nothing changes any more.
    pub const fn on(&mut self, outcome: Outcome) {
        use UploadStep::{Begin, Claim, CommitBlob, CommitMetadata, HandOver, Stream};
        self.step = match (self.step, outcome) {
            (Begin, Outcome::Done) => Claim,
            // The record knows nothing of the attempt and no byte was written.
            (Begin, _) | (Claim, Outcome::Refused(_) | Outcome::Failed) => HandOver(Recovery::FORGET),
            (Claim, Outcome::Done) => Stream,
            (Stream, Outcome::Done) => CommitBlob,
            (CommitBlob, Outcome::Done) => CommitMetadata,
            (CommitMetadata, Outcome::Done) => HandOver(Recovery::SETTLE),
            (Claim | Stream | CommitBlob | CommitMetadata, _) => HandOver(Recovery::FENCE),
            (HandOver(recovery), _) => HandOver(recovery),
        };
    }
}

impl Default for Upload {
    fn default() -> Self {
        Self::new()
    }
}

/// Finishing an attempt that no uploader will finish: keeping its blob if the record has it, else removing every
/// trace of it. Every step is idempotent, so that a recovery cut short is simply begun again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recovery {
    step: RecoveryStep,
    /// Whether the record is still to be released once the bytes are gone.
    holds: bool,
    end: RecoveryEnd,
}

/// What a recovery does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecoveryStep {
    /// Fence the attempt in the record.
    Fence,
    /// Remove the attempt's bytes.
    Discard,
    /// Release the record: saving → queued.
    Release,
    /// Keep the blob, and remove what served only to undo it.
    Settle,
    /// Remove the attempt from the ledger.
    Forget,
    /// Nothing.
    Finished(RecoveryEnd),
}

/// What has become of the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecoveryEnd {
    /// Its content is the image's.
    Kept,
    /// Nothing of it is left.
    Removed,
    /// Its content is the image's, but the ledger still has it: to be settled later.
    KeptUnsettled,
    /// Something did not work: it is to be begun again later. The ledger still has it.
    Unfinished,
}

impl Recovery {
    /// The recovery of an attempt of which only the ledger knows how far it came.
    pub const FENCE: Self = Self {
        step: RecoveryStep::Fence,
        holds: true,
        end: RecoveryEnd::Removed,
    };

    /// The end of an attempt that has committed.
    pub const SETTLE: Self = Self {
        step: RecoveryStep::Settle,
        holds: false,
        end: RecoveryEnd::Kept,
    };

    /// The end of an attempt that the record never knew and that wrote no byte.
    pub const FORGET: Self = Self {
        step: RecoveryStep::Forget,
        holds: false,
        end: RecoveryEnd::Removed,
    };

    /// What to do next.
    pub const fn step(&self) -> RecoveryStep {
        self.step
    }

    /// Goes on from the step that [`Recovery::step`] named. After [`RecoveryStep::Finished`] nothing changes any more.
    pub const fn on(&mut self, outcome: Outcome) {
        use RecoveryStep::{Discard, Fence, Finished, Forget, Release, Settle};
        self.step = match (self.step, outcome) {
            (Fence, Outcome::Done) => Discard,
            (Fence, Outcome::Refused(Rejection::Committed)) => {
                self.end = RecoveryEnd::Kept;
                Settle
            }
            // The record is not the attempt's, nor will it be: its commit needs a claim that it no longer has.
            (Fence, Outcome::Refused(_)) => {
                self.holds = false;
                Discard
            }
            (Discard, Outcome::Done) if self.holds => Release,
            (Discard, Outcome::Done)
            | (Release, Outcome::Done | Outcome::Refused(_))
            | (Settle, Outcome::Done) => Forget,
            (Settle, _) => Finished(RecoveryEnd::KeptUnsettled),
            (Fence | Discard | Release, _) => Finished(RecoveryEnd::Unfinished),
            // An entry that is still there is recovered once more, to no effect.
            (Forget, _) => Finished(self.end),
            (Finished(end), _) => Finished(end),
        };
    }
}
