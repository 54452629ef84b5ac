//! Why an operation on definitions was not done.

use crate::{
    metadata::{DefineError, MetadataError, MetadataErrorKind},
    metadefs::{Duplicate, Kind, Rejection},
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation was not done. Unless the kind says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct DefinitionError {
    kind: DefinitionErrorKind,
    #[source]
    source: Option<Cause>,
}

/// What went wrong, in the client's terms. The messages are Glance's where it has them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The fields are those of the message.
pub enum DefinitionErrorKind {
    /// There is no such namespace, or none that the caller may know of.
    #[error("Metadata definition namespace={name} was not found.")]
    NamespaceNotFound { name: String },
    /// The namespace has no such thing.
    #[error("{}", not_found(*kind, name))]
    NotFound { kind: Kind, name: String },
    /// Properties are asked for by what they are called on a resource, and this one is not.
    #[error(
        "Property {property} does not start with the expected resource type association prefix of '{prefix}'."
    )]
    Prefix { property: String, prefix: String },
    /// To this caller there are no definitions.
    #[error("The resource could not be found.")]
    Hidden,
    /// A rule says no.
    #[error("You are not authorized to complete {rule} action.")]
    Denied { rule: &'static str },
    /// The namespace keeps it from deletion.
    #[error("Metadata definition {} {name} is protected and cannot be deleted.", noun(*kind))]
    Protected { kind: Kind, name: String },
    /// The namespace is kept from deletion, and all that is in it.
    #[error("Metadata definition namespace {name} is protected and cannot be deleted.")]
    NamespaceProtected { name: String },
    /// The name is taken.
    #[error("The metadata definition namespace={name} already exists.")]
    NamespaceExists { name: String },
    /// The name is taken within the namespace.
    #[error(transparent)]
    Exists(#[from] Duplicate),
    /// A name is not what the schema says.
    #[error("Provided object does not match schema 'tag': the name is longer than {limit} characters")]
    TagTooLong { limit: usize },
    /// It would be larger than a namespace may be.
    #[error("{0}")]
    TooLarge(Rejection),
    /// Others changed the namespace each time that this change was tried.
    #[error("The namespace is being changed by others. Try again.")]
    Contended,
    /// There is no room for another record.
    #[error(
        "There is no room left for metadata definitions. The operator has to free space on the disk of the metadata."
    )]
    Full,
    /// Something does not answer.
    #[error("The image service is not available now. Try again later.")]
    Unavailable,
    /// It is not known whether the change was made.
    #[error("It is not known whether the change was made. Read the namespace to find out.")]
    Unknown,
    /// Something is wrong on the server.
    #[error("The record of a metadata definition cannot be read.")]
    Broken,
}

fn not_found(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Object => format!("Could not find metadata object {name}"),
        Kind::Property => format!("Could not find property {name}"),
        Kind::Tag => format!("Could not find metadata tag {name}"),
        Kind::ResourceType => format!("Failed to find resource type {name}"),
    }
}

const fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Object => "object",
        Kind::Property => "property",
        Kind::Tag => "tag",
        Kind::ResourceType => "resource-type-association",
    }
}

impl DefinitionError {
    /// What went wrong, in the client's terms.
    pub const fn kind(&self) -> &DefinitionErrorKind {
        &self.kind
    }

    fn because(kind: DefinitionErrorKind, source: impl Into<Cause>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }
}

impl From<DefinitionErrorKind> for DefinitionError {
    fn from(kind: DefinitionErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<MetadataError> for DefinitionError {
    fn from(error: MetadataError) -> Self {
        let kind = match error.kind {
            MetadataErrorKind::Full => DefinitionErrorKind::Full,
            MetadataErrorKind::Unavailable => DefinitionErrorKind::Unavailable,
            MetadataErrorKind::OutcomeUnknown => DefinitionErrorKind::Unknown,
            // The others are of images.
            _ => DefinitionErrorKind::Broken,
        };
        Self::because(kind, error)
    }
}

/// What it means that a namespace was not made, or not given the name `name`.
pub(super) fn of_change(error: DefineError, name: &str) -> DefinitionError {
    match error {
        DefineError::Rejected(Rejection::Exists) => DefinitionErrorKind::NamespaceExists {
            name: name.to_owned(),
        }
        .into(),
        DefineError::Rejected(Rejection::Version) => DefinitionErrorKind::Contended.into(),
        DefineError::Rejected(rejection @ Rejection::TooLarge) => {
            DefinitionErrorKind::TooLarge(rejection).into()
        }
        DefineError::Store(error) => error.into(),
    }
}
