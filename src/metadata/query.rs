//! What a list asks for: plain data and the pure functions every implementation shares.

use std::cmp::Ordering;

use crate::image::{Image, ImageId, Listing, Status, Timestamp};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which images the list is drawn from.
    pub listing: Listing,
    /// Which of them are wanted.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// The page begins after this image; it may have been deleted meanwhile.
    pub marker: Option<ImageId>,
    /// The most images on the page; 0 gives an empty one.
    pub limit: usize,
}

impl Query {
    /// Whether the image belongs to the list, wherever it stands in it. Killed images are in no list.
    pub fn holds(&self, image: &Image) -> bool {
        image.status != Status::Killed && self.listing.holds(image) && self.filter.matches(image)
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The images, in order.
    pub images: Vec<Image>,
    /// Whether the page is as long as it may be, so that more may follow (Glance then gives `next`, even when nothing
    /// does).
    pub full: bool,
}

impl Page {
    /// The page with these images, of at most `limit`; an empty page is never full.
    pub fn of(images: Vec<Image>, limit: usize) -> Self {
        let full = !images.is_empty() && images.len() >= limit;
        Self { images, full }
    }
}

/// A column that lists are sorted by. Absent values sort as the empty string or 0, as in Glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The names are the API's own.
pub enum SortKey {
    Name,
    Status,
    ContainerFormat,
    DiskFormat,
    Size,
    Id,
    CreatedAt,
    UpdatedAt,
}

impl SortKey {
    /// All keys, in the order of the API's documentation.
    pub const ALL: [Self; 8] = [
        Self::Name,
        Self::Status,
        Self::ContainerFormat,
        Self::DiskFormat,
        Self::Size,
        Self::Id,
        Self::CreatedAt,
        Self::UpdatedAt,
    ];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Status => "status",
            Self::ContainerFormat => "container_format",
            Self::DiskFormat => "disk_format",
            Self::Size => "size",
            Self::Id => "id",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
        }
    }

    /// How two images compare by this key, ascending. Text compares by its bytes.
    pub fn compare(self, a: &Image, b: &Image) -> Ordering {
        fn text(value: &Option<String>) -> &str {
            value.as_deref().unwrap_or_default()
        }
        match self {
            Self::Name => text(&a.name).cmp(text(&b.name)),
            Self::Status => a.status.as_str().cmp(b.status.as_str()),
            Self::ContainerFormat => text(&a.container_format).cmp(text(&b.container_format)),
            Self::DiskFormat => text(&a.disk_format).cmp(text(&b.disk_format)),
            Self::Size => a.size().unwrap_or(0).cmp(&b.size().unwrap_or(0)),
            Self::Id => a.id.cmp(&b.id),
            Self::CreatedAt => a.created_at.cmp(&b.created_at),
            Self::UpdatedAt => a.updated_at.cmp(&b.updated_at),
        }
    }
}

/// Ascending or descending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Direction {
    Ascending,
    Descending,
}

impl Direction {
    /// `ordering` as it is ascending, reversed descending.
    pub const fn apply(self, ordering: Ordering) -> Ordering {
        match self {
            Self::Ascending => ordering,
            Self::Descending => ordering.reverse(),
        }
    }
}

/// A total order of images: the keys asked for, then `created_at` and `id`, so that no two images are equal in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Vec<(SortKey, Direction)>);

impl Order {
    /// The order by `keys`, completed as Glance does (`glance/db/sqlalchemy/api.py`, `image_get_all`): the tie-breakers
    /// take the direction that is common to all keys when only one was given, else descending. The caller says
    /// which by `tie_breakers`.
    pub fn by(keys: impl IntoIterator<Item = (SortKey, Direction)>, tie_breakers: Direction) -> Self {
        let mut order: Vec<(SortKey, Direction)> = Vec::new();
        let completed = keys
            .into_iter()
            .chain([(SortKey::CreatedAt, tie_breakers), (SortKey::Id, tie_breakers)]);
        for (key, direction) in completed {
            if !order.iter().any(|(known, _)| *known == key) {
                order.push((key, direction));
            }
        }
        Self(order)
    }

    /// The default: newest first.
    pub fn newest_first() -> Self {
        Self::by([], Direction::Descending)
    }

    /// The keys with their directions, tie-breakers included.
    pub fn keys(&self) -> &[(SortKey, Direction)] {
        &self.0
    }

    /// The key and direction when this order is that of one index, walked forwards or backwards: one key, and
    /// tie-breakers `created_at`, `id` in the same direction.
    pub fn single(&self) -> Option<(SortKey, Direction)> {
        let (key, direction) = *self.0.first()?;
        (Self::by([(key, direction)], direction) == *self).then_some((key, direction))
    }

    /// How two images compare in this order; equal only when they are one.
    pub fn compare(&self, a: &Image, b: &Image) -> Ordering {
        self.0
            .iter()
            .map(|(key, direction)| direction.apply(key.compare(a, b)))
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// Which images are wanted: all conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter(pub Vec<Condition>);

impl Filter {
    /// The one owner whose images can match, where a condition says so.
    pub fn owner(&self) -> Option<&str> {
        self.0.iter().find_map(|condition| match condition {
            Condition::OneOf(Text::Owner, owners) => match owners.as_slice() {
                [owner] => Some(owner.as_str()),
                _ => None,
            },
            _ => None,
        })
    }

    /// Whether all conditions hold.
    pub fn matches(&self, image: &Image) -> bool {
        self.0.iter().all(|condition| condition.matches(image))
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The text is one of these.
    OneOf(Text, Vec<String>),
    /// The number is at least this; absent numbers are not.
    AtLeast(Number, u64),
    /// The number is at most this; absent numbers are not.
    AtMost(Number, u64),
    /// The number is this.
    Exactly(Number, u64),
    /// The time compares so, in whole seconds.
    Time(TimeField, Comparison, Timestamp),
    /// The flag is so.
    Is(Flag, bool),
    /// The image has the tag.
    Tag(String),
    /// The custom property has this value.
    Property(String, String),
}

/// Text to filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Text {
    Id,
    Name,
    Status,
    Owner,
    ContainerFormat,
    DiskFormat,
    Checksum,
    HashAlgorithm,
    HashValue,
}

/// A number to filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Number {
    Size,
    VirtualSize,
    MinDisk,
    MinRam,
}

/// A time to filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TimeField {
    CreatedAt,
    UpdatedAt,
}

/// A flag to filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Flag {
    Protected,
    Hidden,
}

/// How a time compares with the one that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

impl Condition {
    /// Whether the condition holds.
    pub fn matches(&self, image: &Image) -> bool {
        match self {
            Self::OneOf(Text::Id, wanted) => {
                let id = image.id.to_string();
                wanted.contains(&id)
            }
            Self::OneOf(field, wanted) => field
                .of(image)
                .is_some_and(|value| wanted.iter().any(|wanted| wanted == value)),
            Self::AtLeast(field, least) => field.of(image).is_some_and(|value| value >= *least),
            Self::AtMost(field, most) => field.of(image).is_some_and(|value| value <= *most),
            Self::Exactly(field, wanted) => field.of(image) == Some(*wanted),
            Self::Time(field, comparison, wanted) => {
                comparison.holds(field.of(image).as_seconds().cmp(&wanted.as_seconds()))
            }
            Self::Is(Flag::Protected, wanted) => image.protected == *wanted,
            Self::Is(Flag::Hidden, wanted) => image.hidden == *wanted,
            Self::Tag(tag) => image.tags.contains(tag),
            Self::Property(name, value) => image.properties.get(name) == Some(value),
        }
    }
}

impl Text {
    fn of(self, image: &Image) -> Option<&str> {
        let content = image.content.as_ref();
        match self {
            // Compared by the caller: it is not kept as text.
            Self::Id => None,
            Self::Name => image.name.as_deref(),
            Self::Status => Some(image.status.as_str()),
            Self::Owner => image.owner.as_deref(),
            Self::ContainerFormat => image.container_format.as_deref(),
            Self::DiskFormat => image.disk_format.as_deref(),
            Self::Checksum => content.and_then(|content| content.checksum.as_deref()),
            Self::HashAlgorithm => content.and_then(|content| content.hash_algorithm.as_deref()),
            Self::HashValue => content.and_then(|content| content.hash_value.as_deref()),
        }
    }
}

impl Number {
    fn of(self, image: &Image) -> Option<u64> {
        match self {
            Self::Size => image.size(),
            Self::VirtualSize => image.content.as_ref().and_then(|content| content.virtual_size),
            Self::MinDisk => Some(u64::from(image.min_disk)),
            Self::MinRam => Some(u64::from(image.min_ram)),
        }
    }
}

impl TimeField {
    const fn of(self, image: &Image) -> Timestamp {
        match self {
            Self::CreatedAt => image.created_at,
            Self::UpdatedAt => image.updated_at,
        }
    }
}

impl Comparison {
    const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
        }
    }
}
