//! What must hold in the model: always, and when nothing can happen any more.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::world::{Actor, Deleter, FIRST, Patcher, Published, SECOND, Told, Uploader, World, attempt};
use crate::image::{Entry, Image, Status};

/// Whether an image of this status has data.
fn has_data(status: Status) -> bool {
    matches!(
        status,
        Status::Active | Status::Deactivated | Status::PendingDelete
    )
}

/// Whether the image says that its own data is where it was put.
fn has_own_data(image: &Image) -> bool {
    let mut locations = image.locations.iter();
    has_data(image.status) && locations.any(|location| location.is_own_of(image.id))
}

impl World {
    pub(super) fn told_success(&self, actor: Actor) -> bool {
        matches!(
            self.uploads.get(&actor),
            Some(Uploader::Back(_, Told::Success) | Uploader::Ended(Told::Success))
        )
    }

    /// The image, or what is left of it.
    fn image(&self) -> Option<&Image> {
        match self.entry.as_deref()? {
            Entry::Live(image) => Some(image),
            Entry::Deleted(tombstone) => Some(&tombstone.image),
        }
    }

    /// Holds in every state.
    pub(super) fn check_always(&self, foreign: bool) {
        if let Some(image) = self.image()
            && has_own_data(image)
        {
            let Some(Published::By(actor)) = self.store.published else {
                panic!("{} without bytes", image.status)
            };
            let content = image.content.as_ref().expect("data without content");
            assert_eq!(
                content.attempt,
                attempt(actor),
                "data with another attempt's bytes"
            );
        }
        assert!(
            !foreign || self.store.published == Some(Published::Foreign),
            "a foreign blob was touched"
        );
        assert!(
            !(self.told_success(FIRST) && self.told_success(SECOND)),
            "two uploads succeeded"
        );
        for actor in [FIRST, SECOND] {
            let image = match self.entry.as_deref().expect("the record is gone") {
                Entry::Live(image) => image,
                Entry::Deleted(tombstone) => &tombstone.image,
            };
            let has_it = image
                .content
                .as_ref()
                .is_some_and(|content| content.attempt == attempt(actor));
            assert!(
                !self.told_success(actor) || has_it,
                "an acknowledged upload was lost"
            );
        }
        if self.patcher == Patcher::Ended(Told::Success) {
            let name = match self.entry.as_deref().expect("the record is gone") {
                Entry::Live(image) => &image.name,
                Entry::Deleted(tombstone) => &tombstone.image.name,
            };
            assert_eq!(name.as_deref(), Some("renamed"), "an acknowledged PATCH was lost");
        }
        if self.deleter == Deleter::Ended(Told::Success) && !self.defers {
            assert!(
                matches!(self.entry.as_deref(), Some(Entry::Deleted(_))),
                "an acknowledged deletion was undone"
            );
        }
    }

    /// Holds when nothing can happen any more of itself.
    pub(super) fn check_at_rest(&self) {
        assert!(self.ledger.is_empty(), "the ledger was not emptied");
        assert!(self.store.temporaries.is_empty(), "a temporary was left");
        let (kept, claimed) = match self.image() {
            Some(image) => (has_own_data(image), image.claim.is_some()),
            None => (false, false),
        };
        if let Some(image) = self.image().filter(|image| image.status != Status::Deleted) {
            assert!(image.retired.is_empty(), "a location stays retired");
            let waits = image.status == Status::PendingDelete;
            assert!(
                !waits || self.scrubber_is_tired(),
                "a deleted image was not scrubbed"
            );
        }
        if let Some(Entry::Live(image)) = self.entry.as_deref() {
            assert!(
                !image.status.is_transient(),
                "the image hangs in {}",
                image.status
            );
        }
        assert!(!claimed, "a claim was left");
        assert!(
            kept || !matches!(self.store.published, Some(Published::By(_))),
            "bytes were left"
        );
    }

    pub(super) fn fingerprint(&self) -> (u64, u64) {
        let mut one = DefaultHasher::new();
        self.hash(&mut one);
        let mut other = DefaultHasher::new();
        (0x05AC_CADE_u32, self).hash(&mut other);
        (one.finish(), other.finish())
    }
}
