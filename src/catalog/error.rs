//! Why an operation on an image was not done.

use crate::{
    image::{Rejection, Status},
    metadata::{MetadataError, MetadataErrorKind},
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation was not done. Unless the kind says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct CatalogError {
    kind: CatalogErrorKind,
    #[source]
    source: Option<Cause>,
}

/// What went wrong, in the client's terms. The messages are Glance's where clients are known to show them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The fields are those of the message.
pub enum CatalogErrorKind {
    /// There is no such image, or none that the caller may know of.
    #[error("No image found with ID {id}")]
    NotFound { id: String },
    /// The image does not have the tag.
    #[error("The image has no tag {tag}.")]
    TagNotFound { tag: String },
    /// A value is not what the schema says.
    #[error("Provided object does not match schema 'image': {name}: {problem}")]
    Invalid { name: String, problem: String },
    /// A marker that was never an image.
    #[error("No image found with ID {marker}: it cannot be the marker of a list")]
    UnknownMarker { marker: String },
    /// A rule says no.
    #[error("You are not authorized to complete {rule} action.")]
    Denied { rule: &'static str },
    /// An image for another project.
    #[error("You are not permitted to create images owned by '{owner}'.")]
    ForeignOwner { owner: String },
    /// Only administrators give images away.
    #[error("Owner can't be updated by non admin.")]
    OwnerChange,
    /// The server alone sets it.
    #[error("Attribute '{name}' is read-only.")]
    ReadOnly { name: String },
    /// The name is Glance's own.
    #[error("Attribute '{name}' is reserved.")]
    Reserved { name: String },
    /// It is a part of every image.
    #[error("Property {name} may not be removed.")]
    NotRemovable { name: String },
    /// The data would not be what the record says.
    #[error("Attribute {name} can be only replaced for a queued image.")]
    FormatFixed { name: &'static str },
    /// The operator has not set `show_multiple_locations`.
    #[error("It's not allowed to {action} locations if locations are invisible.")]
    LocationsInvisible { action: &'static str },
    /// The image has no data that locations could be of, or not for everybody.
    #[error("It's not allowed to {action} locations if image status is {status}.")]
    LocationsFixed { action: &'static str, status: Status },
    /// No place in the list of locations.
    #[error("Invalid position for {action} a location.")]
    LocationPosition { action: &'static str },
    /// Nothing can be there for the image. Which of the reasons it is, is not told: it could be a secret of another.
    #[error("Invalid location")]
    BadLocation,
    /// The operator's rules for addresses that clients give.
    #[error(
        "URI for add location does not pass filtering: the operator of this service does not allow its host, port or scheme"
    )]
    AddressRefused,
    /// The image has it.
    #[error("The location already exists")]
    DuplicateLocation,
    /// Locations are replaced where there are none, or their metadata is.
    #[error("Original locations is not empty")]
    LocationsPresent,
    /// An image that has data keeps a location.
    #[error("Cannot remove last location in the image.")]
    LastLocation,
    /// The same, said of a store.
    #[error(
        "Cannot delete image data from the only store containing it. Consider deleting the image instead."
    )]
    OnlyStore,
    /// Only an active image's data is removed from a store.
    #[error("It's not allowed to remove image data from store if image status is not 'active'")]
    StoreFixed,
    /// None of the image's data is there.
    #[error("Image {id} is not stored in store {store}.")]
    NotInStore { id: String, store: String },
    /// It was removed from this image a moment ago.
    #[error("The location was removed from the image, and its data is being deleted.")]
    LocationRetired,
    /// Locations cannot be added meanwhile.
    #[error("The image {id} is being copied to other stores: add locations when that is done.")]
    Busy { id: String },
    /// What the client says of the data does not hold.
    #[error("{problem}")]
    Validation { problem: String },
    /// What the client says of the data has not the right form.
    #[error("{problem}")]
    InvalidHash { problem: String },
    /// Data needs both.
    #[error("Properties disk_format, container_format must be set prior to saving data.")]
    FormatMissing,
    /// Only services give images data of other stores.
    #[error("http store must be enabled to use location API by normal user.")]
    LocationForServices,
    /// Only images that wait to be deleted are restored.
    #[error("cannot restore the image from {status} (wanted pending_delete)")]
    NotPending { status: Status },
    /// The marker is an image that the caller does not see.
    #[error("The marker {marker} is an image that you may not see.")]
    MarkerInvisible { marker: String },
    /// Its data is for administrators only.
    #[error("The requested image has been deactivated. Image data download is forbidden.")]
    Deactivated,
    /// Protected from deletion.
    #[error("Image {id} is protected and cannot be deleted.")]
    Protected { id: String },
    /// The id is, or was, another image's.
    #[error("Image ID {id} already exists!")]
    Exists { id: String },
    /// `add` of the older patch format does not overwrite.
    #[error("Property {name} already present.")]
    PropertyPresent { name: String },
    /// There is nothing to replace or remove.
    #[error("Property {name} does not exist.")]
    PropertyMissing { name: String },
    /// Others changed the image each time that this change was tried.
    #[error("The image is being changed by others. Try again.")]
    Contended,
    /// The store says that the data is in use.
    #[error("Image {id} could not be deleted because it is in use.")]
    InUse { id: String },
    /// The store says that the data has snapshots.
    #[error("Image {id} could not be deleted because it has snapshots.")]
    HasSnapshots { id: String },
    /// The status machine has no such move.
    #[error("Image status transition from {from} to {to} is not allowed")]
    Transition { from: Status, to: Status },
    /// More properties than an image may have.
    #[error(
        "The limit has been exceeded on the number of allowed image properties. Attempted: {attempted}, Maximum: {maximum}"
    )]
    TooManyProperties { attempted: usize, maximum: usize },
    /// More tags than an image may have.
    #[error(
        "The limit has been exceeded on the number of allowed image tags. Attempted: {attempted}, Maximum: {maximum}"
    )]
    TooManyTags { attempted: usize, maximum: usize },
    /// More locations than an image may have.
    #[error(
        "The limit has been exceeded on the number of allowed image locations. Attempted: {attempted}, Maximum: {maximum}"
    )]
    TooManyLocations { attempted: usize, maximum: usize },
    /// Only shared images have members.
    #[error("Image {id} has no members: only images whose visibility is 'shared' have.")]
    NotShared { id: String },
    /// The project is no member, or none that the caller may know of.
    #[error("{member} not found in the member list of the image {id}.")]
    MemberNotFound { id: String, member: String },
    /// The project is a member already.
    #[error("Image {id} is already shared with this member.")]
    MemberExists { id: String },
    /// No project has such an id.
    #[error("Invalid member: {problem}.")]
    InvalidMember { problem: String },
    /// The status is none that a member can have.
    #[error("Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".")]
    InvalidMemberStatus,
    /// More members than an image may have.
    #[error(
        "The limit has been exceeded on the number of allowed image members for image {id}. Attempted: {attempted}, Maximum: {maximum}"
    )]
    TooManyMembers {
        id: String,
        attempted: usize,
        maximum: usize,
    },
    /// The image is neither active nor deactivated.
    #[error("Not allowed to {action} image in status '{status}'")]
    Activation { action: &'static str, status: Status },
    /// More than the owner's limits allow.
    #[error("{explanation}")]
    OverLimit { explanation: String },
    /// The owner's limits are not known now.
    #[error("The limits of the project cannot be asked for now. Nothing was changed; try again in a moment.")]
    Limits,
    /// The owner's limits cannot be known before the operator has changed something.
    #[error("The limits of the project are not set up. The operator has to look at the log.")]
    LimitsMisconfigured,
    /// There is no room for another record.
    #[error(
        "There is no room left for image records. The operator has to free space on the disk of the metadata."
    )]
    Full,
    /// Something does not answer.
    #[error("The image service is not available now. Try again later.")]
    Unavailable,
    /// It is not known whether the change was made: read the image.
    #[error("It is not known whether the change was made. Read the image to find out.")]
    Unknown,
    /// Something is wrong on the server.
    #[error("The image's record cannot be read.")]
    Broken,
}

impl CatalogError {
    /// What went wrong, in the client's terms.
    pub const fn kind(&self) -> &CatalogErrorKind {
        &self.kind
    }

    pub(super) fn because(kind: CatalogErrorKind, source: impl Into<Cause>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }
}

impl From<CatalogErrorKind> for CatalogError {
    fn from(kind: CatalogErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<MetadataError> for CatalogError {
    fn from(error: MetadataError) -> Self {
        let kind = match error.kind {
            MetadataErrorKind::Full => CatalogErrorKind::Full,
            MetadataErrorKind::Unavailable => CatalogErrorKind::Unavailable,
            MetadataErrorKind::OutcomeUnknown => CatalogErrorKind::Unknown,
            // Whoever can be rejected looks at that first.
            MetadataErrorKind::Corrupt
            | MetadataErrorKind::UnknownMarker
            | MetadataErrorKind::Rejected(_) => CatalogErrorKind::Broken,
        };
        Self::because(kind, error)
    }
}

/// What it means that a change to the image `id` was not committed.
pub(super) fn of_change(error: MetadataError, id: &str) -> CatalogError {
    match error.kind {
        MetadataErrorKind::Rejected(rejection) => of_rejection(rejection, id).into(),
        _ => error.into(),
    }
}

/// What it means to the client that a change to the image `id` was rejected.
pub(super) fn of_rejection(rejection: Rejection, id: &str) -> CatalogErrorKind {
    let id = id.to_owned();
    match rejection {
        Rejection::NotFound | Rejection::Deleted | Rejection::Pending => CatalogErrorKind::NotFound { id },
        Rejection::Retired => CatalogErrorKind::LocationRetired,
        Rejection::Busy => CatalogErrorKind::Busy { id },
        Rejection::LastLocation => CatalogErrorKind::LastLocation,
        Rejection::FormatMissing => CatalogErrorKind::FormatMissing,
        Rejection::Exists => CatalogErrorKind::Exists { id },
        Rejection::Status { from, to } => CatalogErrorKind::Transition { from, to },
        Rejection::Protected => CatalogErrorKind::Protected { id },
        Rejection::NotShared => CatalogErrorKind::NotShared { id },
        Rejection::MemberExists => CatalogErrorKind::MemberExists { id },
        Rejection::TooManyMembers { attempted, maximum } => CatalogErrorKind::TooManyMembers {
            id,
            attempted,
            maximum,
        },
        _ => CatalogErrorKind::Contended,
    }
}
