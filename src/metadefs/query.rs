//! Lists.

use std::{cmp::Ordering, collections::BTreeSet};

use super::{Head, Tag, Visibility};
use crate::image::Viewer;

/// One page of the namespaces that a viewer sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceQuery {
    /// Who asks.
    pub viewer: Viewer,
    /// Only those of this visibility.
    pub visibility: Option<Visibility>,
    /// Only those for one of these resource types.
    pub resource_types: Option<BTreeSet<String>>,
    /// By what they are ordered; equal ones by creation, then by name.
    pub sort: SortKey,
    /// Which way, in all of that.
    pub direction: Direction,
    /// The page begins after where this one stands, whether or not it is there.
    pub after: Option<Box<Head>>,
    /// The most namespaces on the page.
    pub limit: usize,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePage {
    /// The namespaces, in order.
    pub namespaces: Vec<Head>,
    /// Whether the page is as long as it may be, so that more may follow.
    pub full: bool,
}

/// What namespaces are ordered by: the columns of Glance's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SortKey {
    Name,
    DisplayName,
    Description,
    Visibility,
    Protected,
    Owner,
    CreatedAt,
    UpdatedAt,
    /// In Glance, the number of the row: the order of creation.
    Id,
}

/// What tags are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TagKey {
    Name,
    CreatedAt,
    UpdatedAt,
    Id,
}

/// Which way an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Direction {
    Ascending,
    Descending,
}

impl SortKey {
    /// The key of this name in the API.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "namespace" => Self::Name,
            "display_name" => Self::DisplayName,
            "description" => Self::Description,
            "visibility" => Self::Visibility,
            "protected" => Self::Protected,
            "owner" => Self::Owner,
            "created_at" => Self::CreatedAt,
            "updated_at" => Self::UpdatedAt,
            "id" => Self::Id,
            _ => return None,
        })
    }
}

impl TagKey {
    /// The key of this name in the API.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "name" => Self::Name,
            "created_at" => Self::CreatedAt,
            "updated_at" => Self::UpdatedAt,
            "id" => Self::Id,
            _ => return None,
        })
    }
}

impl Direction {
    /// The direction of this name in the API.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "asc" => Some(Self::Ascending),
            "desc" => Some(Self::Descending),
            _ => None,
        }
    }

    const fn of(self, ordering: Ordering) -> Ordering {
        match self {
            Self::Ascending => ordering,
            Self::Descending => ordering.reverse(),
        }
    }
}

impl NamespaceQuery {
    fn holds(&self, head: &Head) -> bool {
        let wanted = |types: &BTreeSet<String>| {
            let mut associations = head.associations.iter();
            associations.any(|association| types.contains(&association.name))
        };
        head.is_visible_to(&self.viewer)
            && self
                .visibility
                .is_none_or(|visibility| visibility == head.visibility)
            && self.resource_types.as_ref().is_none_or(wanted)
            && self
                .after
                .as_ref()
                .is_none_or(|after| self.compare(after, head).is_lt())
    }

    fn compare(&self, a: &Head, b: &Head) -> Ordering {
        let by_key = match self.sort {
            SortKey::Name => a.name.cmp(&b.name),
            SortKey::DisplayName => a.display_name.cmp(&b.display_name),
            SortKey::Description => a.description.cmp(&b.description),
            SortKey::Visibility => a.visibility.cmp(&b.visibility),
            SortKey::Protected => a.protected.cmp(&b.protected),
            SortKey::Owner => a.owner.cmp(&b.owner),
            SortKey::UpdatedAt => a.updated_at.cmp(&b.updated_at),
            SortKey::CreatedAt | SortKey::Id => Ordering::Equal,
        };
        let ordering = by_key
            .then_with(|| a.created_at.cmp(&b.created_at))
            .then_with(|| a.name.cmp(&b.name));
        self.direction.of(ordering)
    }

    /// The page, drawn from all namespaces. Memory is bounded by a multiple of the limit, time is linear in their number.
    ///
    /// # Errors
    /// The first error that the iterator gives.
    pub fn page<E>(&self, all: impl IntoIterator<Item = Result<Head, E>>) -> Result<NamespacePage, E> {
        const SLACK: usize = 256;
        let mut found = Vec::new();
        let settle = |found: &mut Vec<Head>| {
            found.sort_by(|a, b| self.compare(a, b));
            found.truncate(self.limit);
        };
        if self.limit > 0 {
            for head in all {
                let head = head?;
                if self.holds(&head) {
                    found.push(head);
                }
                if found.len() >= self.limit.saturating_mul(2).max(SLACK) {
                    settle(&mut found);
                }
            }
        }
        settle(&mut found);
        Ok(NamespacePage {
            full: !found.is_empty() && found.len() >= self.limit,
            namespaces: found,
        })
    }
}

/// One page of a namespace's tags, after the tag `after`; `None` when there is no such tag.
pub fn page_of_tags<'t>(
    tags: &'t [Tag],
    (key, direction): (TagKey, Direction),
    after: Option<&str>,
    limit: Option<usize>,
) -> Option<Vec<&'t Tag>> {
    let mut ordered: Vec<(usize, &Tag)> = tags.iter().enumerate().collect();
    ordered.sort_by(|(place_a, a), (place_b, b)| {
        let by_key = match key {
            TagKey::Name => a.name.cmp(&b.name),
            TagKey::CreatedAt => a.created_at.cmp(&b.created_at),
            TagKey::UpdatedAt => a.updated_at.cmp(&b.updated_at),
            TagKey::Id => Ordering::Equal,
        };
        direction.of(by_key.then(place_a.cmp(place_b)))
    });
    let skipped = match after {
        None => 0,
        Some(after) => ordered
            .iter()
            .position(|(_, tag)| tag.name == after)?
            .saturating_add(1),
    };
    let page = ordered.into_iter().map(|(_, tag)| tag).skip(skipped);
    Some(page.take(limit.unwrap_or(usize::MAX)).collect())
}
