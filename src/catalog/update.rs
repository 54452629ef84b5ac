//! Changing an image by a list of operations: all or nothing.

use serde_json::Value;

use super::{Attribute, Catalog, CatalogError, CatalogErrorKind, NameKind, Rules, protection};
use crate::{
    identity::Caller,
    image::{Image, Status},
    policy::{Policy, PropertyAccess},
};

/// One operation of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets an attribute or property, whether it is there or not.
    Add(Attribute, IfPresent),
    /// Sets an attribute, or a property that is there.
    Replace(Attribute),
    /// Takes a property away.
    Remove {
        /// Its name.
        name: String,
    },
    /// Anything with locations.
    Locations,
}

/// What [`Operation::Add`] does to what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfPresent {
    /// Overwrites it.
    Overwrite,
    /// Fails.
    Refuse,
}

impl Operation {
    /// Setting `name` to the value.
    ///
    /// # Errors
    /// `ReadOnly`, `Reserved`, `Invalid`.
    pub fn add(
        name: &str,
        value: Value,
        if_present: IfPresent,
        rules: &Rules,
    ) -> Result<Self, CatalogErrorKind> {
        Self::locations_or(name, |name| {
            Ok(Self::Add(Attribute::parse(name, value, rules)?, if_present))
        })
    }

    /// Setting `name`, which is there, to the value.
    ///
    /// # Errors
    /// `ReadOnly`, `Reserved`, `Invalid`.
    pub fn replace(name: &str, value: Value, rules: &Rules) -> Result<Self, CatalogErrorKind> {
        Self::locations_or(name, |name| {
            Ok(Self::Replace(Attribute::parse(name, value, rules)?))
        })
    }

    /// Taking `name` away.
    ///
    /// # Errors
    /// `ReadOnly`, `Reserved`.
    pub fn remove(name: &str) -> Result<Self, CatalogErrorKind> {
        Self::locations_or(name, |name| match NameKind::of(name) {
            NameKind::ReadOnly => Err(CatalogErrorKind::ReadOnly {
                name: name.to_owned(),
            }),
            NameKind::Reserved => Err(CatalogErrorKind::Reserved {
                name: name.to_owned(),
            }),
            _ => Ok(Self::Remove {
                name: name.to_owned(),
            }),
        })
    }

    fn locations_or(
        name: &str,
        other: impl FnOnce(&str) -> Result<Self, CatalogErrorKind>,
    ) -> Result<Self, CatalogErrorKind> {
        match NameKind::of(name) {
            NameKind::Locations => Ok(Self::Locations),
            _ => other(name),
        }
    }
}

impl Catalog {
    /// Applies the operations in order and commits the result once. Without any, shows the image.
    ///
    /// # Errors
    /// Those of the first operation that fails, in which case none has been done: `NotFound`, `Denied`,
    /// `OwnerChange`, `FormatFixed`, `Locations`, `Reserved` (a protected property), `NotRemovable`, `PropertyPresent`, `PropertyMissing`,
    /// `TooManyTags`, `TooManyProperties`. `Contended`; `Unavailable`, `Unknown`, `Broken`.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        operations: &[Operation],
    ) -> Result<Image, CatalogError> {
        if operations.is_empty() {
            return self.show(caller, id).await;
        }
        let properties = &self.shared.properties;
        let edit = |current: &Image| {
            let mut wanted = current.clone();
            let policy = self.shared.policy.current();
            let access = properties.access(&policy, caller);
            for operation in operations {
                self.permit(&policy, operation, caller, current, id)?;
                self.apply(&access, operation, &mut wanted)?;
            }
            let is_new = |name: &String| !current.properties.contains_key(name);
            if wanted.properties.keys().any(is_new) {
                self.rules().check_properties(&wanted)?;
            }
            Ok(Some(wanted))
        };
        let image = self.change(id, edit).await?;
        let policy = self.shared.policy.current();
        Ok(properties.access(&policy, caller).shown(image))
    }

    /// Whether the caller may do the operation to the image as it is stored.
    fn permit(
        &self,
        policy: &Policy,
        operation: &Operation,
        caller: &Caller,
        current: &Image,
        id: &str,
    ) -> Result<(), CatalogError> {
        let permission = match operation {
            Operation::Add(Attribute::Visibility(visibility), _)
            | Operation::Replace(Attribute::Visibility(visibility)) => {
                policy.authorize_visibility(caller, current, *visibility)
            }
            Operation::Add(..) | Operation::Replace(_) | Operation::Remove { .. } => {
                policy.authorize_modify(caller, current)
            }
            Operation::Locations => policy.authorize_set_locations(caller, current),
        };
        permission.map_err(|denied| self.denied(denied, id))?;
        match operation {
            // Glance forgets this for `add`, answers 403, and has changed the owner by then.
            Operation::Add(Attribute::Owner(_), _) | Operation::Replace(Attribute::Owner(_))
                if !policy.is_admin(caller) =>
            {
                Err(CatalogErrorKind::OwnerChange.into())
            }
            Operation::Locations => Err(CatalogErrorKind::Locations.into()),
            _ => Ok(()),
        }
    }

    fn apply(
        &self,
        access: &PropertyAccess<'_>,
        operation: &Operation,
        image: &mut Image,
    ) -> Result<(), CatalogError> {
        match operation {
            Operation::Add(attribute, if_present) => {
                if *if_present == IfPresent::Refuse
                    && let Some(name) = present(access, attribute, image)
                {
                    return Err(CatalogErrorKind::PropertyPresent { name }.into());
                }
                self.set(access, attribute, image)
            }
            Operation::Replace(Attribute::Property(name, _))
                if !protection::is_shown(access, name, image) =>
            {
                Err(CatalogErrorKind::PropertyMissing { name: name.clone() }.into())
            }
            Operation::Replace(attribute) => self.set(access, attribute, image),
            Operation::Remove { name } => match NameKind::of(name) {
                NameKind::Base => Err(CatalogErrorKind::NotRemovable { name: name.clone() }.into()),
                _ if !protection::is_shown(access, name, image) => {
                    Err(CatalogErrorKind::PropertyMissing { name: name.clone() }.into())
                }
                _ => {
                    protection::require_delete(access, name)?;
                    image.properties.remove(name);
                    Ok(())
                }
            },
            Operation::Locations => Err(CatalogErrorKind::Locations.into()),
        }
    }

    fn set(
        &self,
        access: &PropertyAccess<'_>,
        attribute: &Attribute,
        image: &mut Image,
    ) -> Result<(), CatalogError> {
        let fixed = !matches!(image.status, Status::Queued | Status::Importing);
        match attribute {
            Attribute::DiskFormat(_) if fixed => {
                return Err(CatalogErrorKind::FormatFixed { name: "disk_format" }.into());
            }
            Attribute::ContainerFormat(_) if fixed => {
                return Err(CatalogErrorKind::FormatFixed {
                    name: "container_format",
                }
                .into());
            }
            _ => {}
        }
        protection::require_set(access, attribute, image)?;
        attribute.set(image);
        if matches!(attribute, Attribute::Tags(_)) {
            self.rules().check_tags(image)?;
        }
        Ok(())
    }
}

/// The name of what is there already, as far as the caller may know: every attribute is.
fn present(access: &PropertyAccess<'_>, attribute: &Attribute, image: &Image) -> Option<String> {
    let name = match attribute {
        Attribute::Property(name, _) => {
            return protection::is_shown(access, name, image).then(|| name.clone());
        }
        Attribute::Name(_) => "name",
        Attribute::Visibility(_) => "visibility",
        Attribute::Protected(_) => "protected",
        Attribute::Hidden(_) => "os_hidden",
        Attribute::Owner(_) => "owner",
        Attribute::DiskFormat(_) => "disk_format",
        Attribute::ContainerFormat(_) => "container_format",
        Attribute::MinDisk(_) => "min_disk",
        Attribute::MinRam(_) => "min_ram",
        Attribute::Tags(_) => "tags",
    };
    Some(name.to_owned())
}
