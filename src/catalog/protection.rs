//! Property protection, applied: before anything is written, and to everything that is shown.

use super::{Attribute, CatalogErrorKind, Condition, Filter};
use crate::{
    image::Image,
    policy::{PropertyAccess, PropertyOperation},
};

/// Whether the caller may give a new image the attribute.
///
/// # Errors
/// `Reserved` with the property's name.
pub(super) fn require_create(
    access: &PropertyAccess<'_>,
    attribute: &Attribute,
) -> Result<(), CatalogErrorKind> {
    match attribute {
        Attribute::Property(name, _) => require(access, PropertyOperation::Create, name),
        _ => Ok(()),
    }
}

/// Whether the caller may give the image, as it is, the attribute.
///
/// To a caller who may not read a property it is not there, so that setting it needs `create`, as in Glance. Here it
/// needs `update`, too: Glance lets whoever may create such a property overwrite what it may not even see.
///
/// # Errors
/// `Reserved` with the property's name.
pub(super) fn require_set(
    access: &PropertyAccess<'_>,
    attribute: &Attribute,
    image: &Image,
) -> Result<(), CatalogErrorKind> {
    let Attribute::Property(name, _) = attribute else {
        return Ok(());
    };
    if image.properties.contains_key(name) {
        require(access, PropertyOperation::Update, name)?;
    }
    if !is_shown(access, name, image) {
        require(access, PropertyOperation::Create, name)?;
    }
    Ok(())
}

/// Whether the caller may take away a property that it sees.
///
/// # Errors
/// `Reserved` with the property's name.
pub(super) fn require_delete(access: &PropertyAccess<'_>, name: &str) -> Result<(), CatalogErrorKind> {
    require(access, PropertyOperation::Delete, name)
}

/// Whether the image has the property as far as the caller may know.
pub(super) fn is_shown(access: &PropertyAccess<'_>, name: &str, image: &Image) -> bool {
    image.properties.contains_key(name) && access.may(PropertyOperation::Read, name)
}

/// Whether the filter asks for a property that the caller may not read: whatever it asks, no image has it.
pub(super) fn asks_for_hidden(access: &PropertyAccess<'_>, filter: &Filter) -> bool {
    filter.0.iter().any(|condition| match condition {
        Condition::Property(name, _) => !access.may(PropertyOperation::Read, name),
        _ => false,
    })
}

fn require(
    access: &PropertyAccess<'_>,
    operation: PropertyOperation,
    name: &str,
) -> Result<(), CatalogErrorKind> {
    if access.may(operation, name) {
        Ok(())
    } else {
        Err(CatalogErrorKind::Reserved {
            name: name.to_owned(),
        })
    }
}
