//! One operation of the ledger.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id of an operation; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OperationId(Uuid);

impl OperationId {
    /// A new operation.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// What was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// An attempt to bring data into an image.
    Upload(UploadEntry),
    /// The deletion of an image that has data.
    Deletion(DeletionEntry),
    /// The removal of locations from an image, with their data.
    Removal(RemovalEntry),
    /// Data that somebody else has written is being hashed, before it becomes an image's.
    Adoption(AdoptionEntry),
    /// Data that waits for an import, from its first byte to its removal.
    Staging(UploadEntry),
    /// An attempt to bring an image's data into one more store.
    Copy(UploadEntry),
}

/// An attempt to bring data into an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadEntry {
    /// The image.
    pub image: Uuid,
    /// The attempt.
    pub attempt: Uuid,
    /// The store that the bytes go to.
    pub store: String,
    /// What the store needs to find them again.
    pub handle: String,
}

/// The deletion of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionEntry {
    /// The image.
    pub image: Uuid,
    /// The revision of its record that was to be deleted.
    pub revision: u64,
    /// Where its bytes are.
    pub locations: Vec<StoredLocation>,
}

/// The removal of locations from an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalEntry {
    /// The image.
    pub image: Uuid,
    /// The revision of its record that they were to be removed from.
    pub revision: u64,
    /// The removal.
    pub removal: Uuid,
    /// Where the bytes are.
    pub locations: Vec<StoredLocation>,
}

/// An attempt to give an image data that is there already: it leaves no bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionEntry {
    /// The image.
    pub image: Uuid,
    /// The attempt.
    pub attempt: Uuid,
}

/// Where bytes of an image are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLocation {
    /// The store.
    pub store: String,
    /// The store's address of them; may hold credentials, so `Debug` leaves it out.
    pub url: String,
}

impl fmt::Debug for StoredLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredLocation")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Entry {
    /// The image that it is about.
    pub const fn image(&self) -> Uuid {
        match self {
            Self::Upload(upload) | Self::Staging(upload) | Self::Copy(upload) => upload.image,
            Self::Deletion(deletion) => deletion.image,
            Self::Removal(removal) => removal.image,
            Self::Adoption(adoption) => adoption.image,
        }
    }

    /// The attempt, of whatever brings data into an image.
    pub const fn attempt(&self) -> Option<Uuid> {
        match self {
            Self::Upload(upload) | Self::Staging(upload) | Self::Copy(upload) => Some(upload.attempt),
            Self::Adoption(adoption) => Some(adoption.attempt),
            Self::Deletion(_) | Self::Removal(_) => None,
        }
    }
}
