//! Finishing what was begun: interrupted uploads and deletions, by this node's ledger; and deleting images.
//!
//! The janitor acts only on operations of its own ledger, and on claims of its own node or of nodes whose lease has run
//! out. No listing of a directory or bucket tells it what to remove. An operation that cannot be finished now (a
//! store does not answer) is tried again, at growing intervals, as long as it takes.
//!
//! * `recovery`: one interrupted attempt
//! * `deletion`: one deletion, from its start or interrupted
//! * `removal`: one removal of locations, likewise
//! * `bytes`: the data that goes with them
//! * `scrub`: deleting for good what was kept for a time
//! * `share`: who may read an image's data where it is kept
//! * `sweep`: the loop over all of them

mod bytes;
mod deletion;
mod recovery;
mod removal;
mod scrub;
mod share;
mod sweep;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use saccade_store_contract::ErrorKind;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use self::{
    deletion::{DeleteError, DeleteErrorKind},
    scrub::Scrubbing,
    share::{are_fewer, readers_of},
};
use crate::{
    image::{Change, ChangeKind, ImageId, NodeId, Timestamp},
    ledger::Ledger,
    metadata::{Metadata, MetadataError, MetadataErrorKind},
    protocol::Outcome,
    stores::Stores,
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Finishes what was begun. Clones are handles to the same one.
#[derive(Clone)]
pub struct Janitor {
    shared: Arc<Shared>,
    /// As whoever asks may use them; by itself, as the daemon may.
    stores: Stores,
}

struct Shared {
    ledger: Ledger,
    metadata: Arc<dyn Metadata>,
    node: NodeId,
    /// What a stop waits for.
    tasks: TaskTracker,
    /// Of which images it was said that a store refuses access, and to what.
    refused: Mutex<HashSet<(Uuid, String, &'static str)>>,
    /// Of which images a store was not told who may read them.
    unshared: Mutex<HashSet<ImageId>>,
}

/// What was refused is remembered of so many images, and then anew.
const REFUSED: usize = 10_000;

impl Janitor {
    /// The janitor of this node. `tasks` gets every deletion, so that a stop can wait for them.
    pub fn new(
        ledger: Ledger,
        stores: Stores,
        metadata: Arc<dyn Metadata>,
        node: NodeId,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                ledger,
                metadata,
                node,
                tasks,
                refused: Mutex::default(),
                unshared: Mutex::default(),
            }),
            stores,
        }
    }

    /// Whether this was said before: a store that refuses access goes on to do so, each time that it is tried.
    fn was_said(
        &self,
        image: Uuid,
        store: &str,
        operation: &'static str,
        error: &(dyn std::error::Error + Send + Sync + 'static),
    ) -> bool {
        let error: &(dyn std::error::Error + 'static) = error;
        let is_denied = |error: &(dyn std::error::Error + 'static)| {
            let error = error.downcast_ref::<saccade_store_contract::Error>();
            error.is_some_and(|error| error.kind() == ErrorKind::Denied)
        };
        if !std::iter::successors(Some(error), |error| error.source()).any(is_denied) {
            return false;
        }
        let mut refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= REFUSED {
            refused.clear();
        }
        !refused.insert((image, store.to_owned(), operation))
    }

    /// The next refusal is said again.
    fn has_gone_well(&self, image: Uuid, store: &str, operation: &'static str) {
        let mut refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.remove(&(image, store.to_owned(), operation));
    }

    /// The same at these stores, which are its own in some caller's name.
    #[must_use]
    pub fn at(&self, stores: Stores) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            stores,
        }
    }

    async fn change(&self, id: ImageId, kind: ChangeKind) -> (Outcome, Option<MetadataError>) {
        match self
            .shared
            .metadata
            .commit(Change {
                id,
                at: Timestamp::now(),
                kind,
            })
            .await
        {
            Ok(_) => (Outcome::Done, None),
            Err(error) => (outcome_of(&error), Some(error)),
        }
    }
}

/// What a change that was not acknowledged means to the protocol.
pub fn outcome_of(error: &MetadataError) -> Outcome {
    match error.kind {
        MetadataErrorKind::Rejected(rejection) => Outcome::Refused(rejection),
        MetadataErrorKind::OutcomeUnknown => Outcome::Unknown,
        MetadataErrorKind::UnknownMarker
        | MetadataErrorKind::Full
        | MetadataErrorKind::Unavailable
        | MetadataErrorKind::Corrupt => Outcome::Failed,
    }
}

/// The error with all its causes, for the log.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
