//! What a project's images take up, and how much they may (`glance/db/sqlalchemy/api.py`, `_image_get_*_by_owner`).

use super::{IMPORTING_TO, Image, Rejection, Status};

const MEBIBYTE: u64 = 1 << 20;

/// What the images of one project take up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Usage {
    /// Images that are there, whatever is in them.
    pub images: u64,
    /// Images whose data is on its way.
    pub uploading: u64,
    /// Bytes in stores: of each image, as often as it has locations.
    pub stored: u64,
    /// Bytes that wait for an import.
    pub staged: u64,
}

impl Usage {
    /// Nothing.
    pub const NONE: Self = Self {
        images: 0,
        uploading: 0,
        stored: 0,
        staged: 0,
    };

    /// Whom the image is charged to, and what. An image that nobody owns is charged to nobody.
    pub fn of(image: &Image) -> Option<(&str, Self)> {
        let owner = image.owner.as_deref()?;
        if matches!(
            image.status,
            Status::Killed | Status::Deleted | Status::PendingDelete
        ) {
            return Some((owner, Self::NONE));
        }
        let size = image.size().unwrap_or(0);
        let copying = image
            .properties
            .get(IMPORTING_TO)
            .is_some_and(|stores| !stores.is_empty());
        let staged = copying || matches!(image.status, Status::Uploading | Status::Importing);
        Some((
            owner,
            Self {
                images: 1,
                uploading: u64::from(staged || image.status == Status::Saving),
                stored: size.saturating_mul(u64::try_from(image.locations.len()).unwrap_or(u64::MAX)),
                staged: if staged { size } else { 0 },
            },
        ))
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            images: self.images.saturating_add(other.images),
            uploading: self.uploading.saturating_add(other.uploading),
            stored: self.stored.saturating_add(other.stored),
            staged: self.staged.saturating_add(other.staged),
        }
    }

    /// Without the other.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            images: self.images.saturating_sub(other.images),
            uploading: self.uploading.saturating_sub(other.uploading),
            stored: self.stored.saturating_sub(other.stored),
            staged: self.staged.saturating_sub(other.staged),
        }
    }

    /// The figure of one resource, in the resource's unit: of unified limits, which count MiB in whole ones.
    pub const fn of_resource(&self, resource: Resource) -> u64 {
        match resource {
            Resource::ImageCountTotal => self.images,
            Resource::ImageCountUploading => self.uploading,
            Resource::ImageSizeTotal => self.stored / MEBIBYTE,
            Resource::ImageStageTotal => self.staged / MEBIBYTE,
        }
    }
}

/// What Keystone keeps limits on (`glance/quota/keystone.py`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The names are Glance's own.
pub enum Resource {
    ImageSizeTotal,
    ImageStageTotal,
    ImageCountTotal,
    ImageCountUploading,
}

impl Resource {
    /// All of them, in Glance's order.
    pub const ALL: [Self; 4] = [
        Self::ImageSizeTotal,
        Self::ImageStageTotal,
        Self::ImageCountTotal,
        Self::ImageCountUploading,
    ];

    /// Its name in Keystone and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImageSizeTotal => "image_size_total",
            Self::ImageStageTotal => "image_stage_total",
            Self::ImageCountTotal => "image_count_total",
            Self::ImageCountUploading => "image_count_uploading",
        }
    }
}

/// How much a change may add to what its owner's images take up. Part of the change: it is judged in the same
/// transaction, against what every change before it has left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Allowance {
    /// The most images (`image_count_total`).
    pub images: Option<u64>,
    /// The most uploads at once, this one included (`image_count_uploading`).
    pub uploading: Option<u64>,
    /// The most data.
    pub stored: Option<StorageBound>,
}

/// The most data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageBound {
    /// Together no more than so many bytes (`user_storage_quota`).
    Bytes(u64),
    /// `image_size_total`, as Glance applies it: an upload whose size was declared has to fit, in whole MiB; one of
    /// unknown size may go beyond the limit, but none may begin, or end, when it is exceeded already.
    Mebibytes {
        /// The limit.
        limit: u64,
        /// Whether the size was declared.
        declared: bool,
    },
}

/// What would be too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Excess {
    /// More data than `user_storage_quota` leaves room for.
    Storage {
        /// What was to be added, in bytes; `None` when it is not known.
        size: Option<u64>,
        /// What may be, in bytes.
        remaining: u64,
    },
    /// More than a unified limit.
    Resource {
        /// Of what, in its unit.
        resource: Resource,
        /// The limit.
        limit: u64,
        /// What there is.
        usage: u64,
        /// What was to be added.
        delta: u64,
    },
}

impl std::fmt::Display for Excess {
    /// In the words of Glance and oslo.limit.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Storage { size, remaining } => {
                let size = size.map_or_else(|| "None".to_owned(), |size| size.to_string());
                write!(
                    f,
                    "The size of the data {size} will exceed the limit. {remaining} bytes remaining."
                )
            }
            Self::Resource {
                resource,
                limit,
                usage,
                delta,
            } => write!(
                f,
                "Resource {} is over limit of {limit} due to current usage {usage} and delta {delta}",
                resource.name()
            ),
        }
    }
}

impl Allowance {
    /// Whatever.
    pub const UNLIMITED: Self = Self {
        images: None,
        uploading: None,
        stored: None,
    };

    /// Whether the owner's images may go from `before` to `after`. What a change does not add to is not looked at:
    /// what is too much already can always become less.
    ///
    /// # Errors
    /// [`Rejection::OverLimit`].
    pub fn check(&self, before: &Usage, after: &Usage) -> Result<(), Rejection> {
        for (limit, resource, before, after) in [
            (
                self.images,
                Resource::ImageCountTotal,
                before.images,
                after.images,
            ),
            (
                self.uploading,
                Resource::ImageCountUploading,
                before.uploading,
                after.uploading,
            ),
        ] {
            if let Some(limit) = limit.filter(|limit| after > before && after > *limit) {
                return Err(Rejection::OverLimit(Excess::Resource {
                    resource,
                    limit,
                    usage: before,
                    delta: after.saturating_sub(before),
                }));
            }
        }
        let added = after.stored.saturating_sub(before.stored);
        match self.stored {
            Some(bound) if added > 0 => bound
                .check(before.stored, Some(added))
                .map_err(Rejection::OverLimit),
            _ => Ok(()),
        }
    }
}

impl StorageBound {
    /// Whether `added` bytes may come to those that there are; `None`: an unknown number, of which there must be room
    /// for one.
    ///
    /// # Errors
    /// What would be too much.
    pub fn check(&self, stored: u64, added: Option<u64>) -> Result<(), Excess> {
        match *self {
            Self::Bytes(limit) => {
                let remaining = limit.saturating_sub(stored);
                if added.unwrap_or(1) > remaining {
                    return Err(Excess::Storage {
                        size: added,
                        remaining,
                    });
                }
            }
            Self::Mebibytes { limit, declared } => {
                let usage = stored / MEBIBYTE;
                let delta = added.filter(|_| declared).map_or(0, |added| added / MEBIBYTE);
                if usage.saturating_add(delta) > limit {
                    return Err(Excess::Resource {
                        resource: Resource::ImageSizeTotal,
                        limit,
                        usage,
                        delta,
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{AttemptId, Content, ImageId, Location, Timestamp};

    const MIB: u64 = MEBIBYTE;

    fn image(status: Status, size: Option<u64>, locations: usize) -> Image {
        let location = Location {
            store: None,
            url: "file:///x".into(),
            metadata: Default::default(),
        };
        Image {
            owner: Some("us".into()),
            status,
            content: size.map(|size| Content {
                attempt: AttemptId::random(),
                size,
                virtual_size: None,
                checksum: None,
                hash_algorithm: None,
                hash_value: None,
            }),
            locations: vec![location; locations],
            ..Image::new(ImageId::random(), Timestamp::now())
        }
    }

    fn charged(image: &Image) -> Usage {
        Usage::of(image).unwrap().1
    }

    #[test]
    fn images_are_charged_by_status_size_and_locations() {
        let usage = |images, uploading, stored, staged| Usage {
            images,
            uploading,
            stored,
            staged,
        };
        for (image, expected) in [
            (image(Status::Queued, None, 0), usage(1, 0, 0, 0)),
            (image(Status::Saving, None, 0), usage(1, 1, 0, 0)),
            (image(Status::Active, Some(7), 1), usage(1, 0, 7, 0)),
            (image(Status::Active, Some(7), 3), usage(1, 0, 21, 0)),
            (image(Status::Deactivated, Some(7), 1), usage(1, 0, 7, 0)),
            (image(Status::Uploading, Some(7), 0), usage(1, 1, 0, 7)),
            (image(Status::Importing, Some(7), 1), usage(1, 1, 7, 7)),
            (image(Status::Killed, Some(7), 1), Usage::NONE),
            (image(Status::PendingDelete, Some(7), 1), Usage::NONE),
            (image(Status::Active, Some(u64::MAX), 2), usage(1, 0, u64::MAX, 0)),
        ] {
            assert_eq!(charged(&image), expected, "{:?}", image.status);
        }
        let mut copying = image(Status::Active, Some(7), 1);
        copying.properties.insert(IMPORTING_TO.into(), "b".into());
        assert_eq!(charged(&copying), usage(1, 1, 7, 7));
        copying.properties.insert(IMPORTING_TO.into(), String::new());
        assert_eq!(charged(&copying), usage(1, 0, 7, 0));
        copying.owner = None;
        assert_eq!(Usage::of(&copying), None);
    }

    #[test]
    fn bytes_have_to_fit_exactly() {
        let bound = StorageBound::Bytes(10);
        assert_eq!(bound.check(3, Some(7)), Ok(()));
        let excess = bound.check(3, Some(8)).unwrap_err();
        assert_eq!(
            excess.to_string(),
            "The size of the data 8 will exceed the limit. 7 bytes remaining."
        );
        assert_eq!(bound.check(9, None), Ok(()));
        assert!(bound.check(10, None).is_err());
        assert_eq!(bound.check(11, Some(0)), Ok(()));
    }

    #[test]
    fn mebibytes_are_counted_as_glance_counts_them() {
        let bound = |declared| StorageBound::Mebibytes { limit: 1, declared };
        assert_eq!(bound(true).check(0, Some(2 * MIB - 1)), Ok(()));
        assert_eq!(bound(true).check(MIB, Some(MIB - 1)), Ok(()));
        let excess = bound(true).check(MIB, Some(MIB)).unwrap_err();
        assert_eq!(
            excess.to_string(),
            "Resource image_size_total is over limit of 1 due to current usage 1 and delta 1"
        );
        // Of unknown size: at the limit one more, beyond it none.
        assert_eq!(bound(false).check(2 * MIB - 1, Some(90 * MIB)), Ok(()));
        assert!(bound(false).check(2 * MIB, Some(1)).is_err());
        assert!(bound(false).check(2 * MIB, None).is_err());
    }

    #[test]
    fn what_is_too_much_already_may_become_less_and_other_things_may_change() {
        let allowance = Allowance {
            images: Some(1),
            uploading: Some(0),
            stored: Some(StorageBound::Bytes(5)),
        };
        let much = Usage {
            images: 9,
            uploading: 9,
            stored: 9,
            staged: 9,
        };
        assert_eq!(allowance.check(&much, &much), Ok(()));
        let less = much.minus(charged(&image(Status::Active, Some(1), 1)));
        assert_eq!(allowance.check(&much, &less), Ok(()));
        for (more, resource) in [
            (image(Status::Queued, None, 0), Resource::ImageCountTotal),
            (image(Status::Saving, None, 0), Resource::ImageCountTotal),
        ] {
            let after = much.plus(charged(&more));
            assert!(matches!(
                allowance.check(&much, &after),
                Err(Rejection::OverLimit(Excess::Resource { resource: found, .. })) if found == resource
            ));
        }
    }
}
