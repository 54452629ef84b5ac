//! Permission as a value, and its absence.

use std::marker::PhantomData;

use crate::image::{Image, ImageId, Revision};

/// Permission for one caller to do `A` to one image, as the image was at one revision.
///
/// Only this module's parent can make one, by asking the rules: whoever asks for an `Authorized<Upload>` cannot be
/// called without the check. It says nothing of the image's status, and is not meant to be kept.
#[derive(Debug)]
#[must_use = "permission was asked for, and is not used"]
pub struct Authorized<A> {
    image_id: ImageId,
    revision: Revision,
    action: PhantomData<fn() -> A>,
}

impl<A> Authorized<A> {
    pub(super) fn new(image: &Image) -> Self {
        Self {
            image_id: image.id,
            revision: image.revision,
            action: PhantomData,
        }
    }

    /// The image that it was given for.
    pub fn image_id(&self) -> ImageId {
        self.image_id
    }

    /// The revision of the image that the rules looked at.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

/// Putting data into an image.
#[derive(Debug)]
pub enum Upload {}

/// Reading an image's data.
#[derive(Debug)]
pub enum Download {}

/// Giving an image data that is there already.
#[derive(Debug)]
pub enum Adopt {}

/// Keeping data for an import that comes later.
#[derive(Debug)]
pub enum Stage {}

/// Having data brought into an image.
#[derive(Debug)]
pub enum Import {}

/// Why a caller may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// To this caller there is no such image.
    #[error("there is no such image")]
    NotFound,
    /// The caller may know the image, and may not do this.
    #[error("{rule} is disallowed by policy")]
    Forbidden {
        /// The rule that said no, by its name in policy files.
        rule: &'static str,
    },
    /// The image is deactivated, and only an administrator reads its data then.
    #[error("the image has been deactivated: its data cannot be downloaded")]
    Deactivated,
}
