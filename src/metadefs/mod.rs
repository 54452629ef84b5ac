//! Metadata definitions: what properties images, flavors and volumes may be given, for people and dashboards. Plain data and
//! rules, no I/O and no async.
//!
//! * [`Namespace`]: a named collection of [`Property`], [`Object`] (a group of properties) and [`Tag`] definitions, and of the
//!   resource types it is for ([`Association`]); the unit of visibility, protection, storage and change
//! * [`NamespaceDraft`] and its parts: what a client or a file says, checked against Glance's schemas
//! * [`Change`]: one atomic change to one namespace, a pure value with its preconditions
//! * [`NamespaceQuery`]: one page of a list
//! * [`merge`]: how a file becomes part of a namespace that exists
//!
//! Names are told apart by letter case, as in Glance on PostgreSQL and SQLite (on MySQL its collation ignores it).

mod change;
mod draft;
mod fields;
mod merge;
mod model;
mod property;
mod query;
#[cfg(test)]
mod tests;

pub use self::{
    change::{Change, ChangeKind, Rejection},
    draft::{
        AssociationDraft, DraftError, NamespaceDraft, ObjectDraft, parse_property, parse_tag, parse_tags,
    },
    fields::Invalid,
    merge::{Precedence, merge},
    model::{
        Association, Duplicate, Head, Kind, Namespace, NamespaceId, Object, ResourceType, Tag, Version,
        Visibility,
    },
    property::{Items, Property, PropertyType},
    query::{Direction, NamespacePage, NamespaceQuery, SortKey, TagKey, page_of_tags},
};
