//! One atomic change to one namespace: a pure value that carries its preconditions, so that it can be replayed whole.
//!
//! | change | needs | does |
//! |---|---|---|
//! | create | no namespace of the name | the record, at its first revision |
//! | replace | the expected version; a new name that is free | the record, perhaps under another name |
//! | delete | the expected version | nothing is left but the resource types |
//!
//! Every resource type that a namespace names is known from then on.

use super::{Namespace, Version};
use crate::image::Timestamp;

/// What a namespace may weigh at most, in bytes: more than one request can carry.
const MAX_WEIGHT: usize = 16 << 20;

/// One change to one namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When it was asked for; resource types that it names first are as old.
    pub at: Timestamp,
    /// What is to be done.
    pub kind: ChangeKind,
}

/// What a [`Change`] does; the table above has the preconditions.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum ChangeKind {
    Create(Box<Namespace>),
    Replace {
        /// The name that it has now.
        name: String,
        expected: Version,
        /// Its identity is that of the version, whatever is given here.
        namespace: Box<Namespace>,
    },
    Delete {
        name: String,
        expected: Version,
    },
}

/// Why a change does not apply. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is a namespace of this name.
    #[error("a namespace of this name exists already")]
    Exists,
    /// There is none, or another, or it was changed since.
    #[error("the namespace was changed or deleted meanwhile")]
    Version,
    /// It would be larger than a namespace may be.
    #[error("the namespace would hold more than {} MiB", MAX_WEIGHT >> 20)]
    TooLarge,
}

impl Change {
    /// The name that the namespace has before the change, or, when it is new, after it.
    pub fn name(&self) -> &str {
        match &self.kind {
            ChangeKind::Create(namespace) => &namespace.head.name,
            ChangeKind::Replace { name, .. } | ChangeKind::Delete { name, .. } => name,
        }
    }

    /// The name that the change gives it, where that is another.
    pub fn new_name(&self) -> Option<&str> {
        match &self.kind {
            ChangeKind::Replace { name, namespace, .. } if namespace.head.name != *name => {
                Some(&namespace.head.name)
            }
            _ => None,
        }
    }

    /// What follows: the namespace, or nothing when it is deleted. `current` is the namespace of [`Self::name`]; `other` is that
    /// of [`Self::new_name`], where there is one. Pure: every metadata store calls it, inside its own transaction.
    ///
    /// # Errors
    /// The first precondition that does not hold.
    pub fn apply(
        self,
        current: Option<&Namespace>,
        other: Option<&Namespace>,
    ) -> Result<Option<Namespace>, Rejection> {
        let (current, next) = match self.kind {
            ChangeKind::Create(namespace) => match current {
                Some(_) => return Err(Rejection::Exists),
                None => (None, namespace),
            },
            ChangeKind::Replace {
                expected, namespace, ..
            } => (Some(at_version(current, expected)?), namespace),
            ChangeKind::Delete { expected, .. } => {
                at_version(current, expected)?;
                return Ok(None);
            }
        };
        if other.is_some() {
            return Err(Rejection::Exists);
        }
        if next.weight() > MAX_WEIGHT {
            return Err(Rejection::TooLarge);
        }
        let version = current.map_or(next.version(), Namespace::version);
        Ok(Some(Namespace {
            id: version.id,
            revision: current.map_or(1, |current| current.revision.saturating_add(1)),
            ..*next
        }))
    }
}

fn at_version(current: Option<&Namespace>, expected: Version) -> Result<&Namespace, Rejection> {
    current
        .filter(|current| current.version() == expected)
        .ok_or(Rejection::Version)
}
