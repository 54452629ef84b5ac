//! Changing an image by a list of operations: all or nothing.

use serde_json::Value;

use super::{
    Attribute, Catalog, CatalogError, CatalogErrorKind, MAX_TRIES, NameKind, NewLocation, Position, Rules,
    as_known, delete,
    locations::{Draft, Found, Stop},
    protection,
    usage::over_limit,
};
use crate::{
    identity::Caller,
    image::{Allowance, ChangeKind, Image, Location, Rejection, RemovalId, Status},
    janitor::DeleteErrorKind,
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
    /// Puts a location into the list.
    AddLocation(Position, NewLocation),
    /// Gives the image its first locations, or those that it has other metadata.
    ReplaceLocations(Vec<NewLocation>),
    /// Takes a location from the list, and deletes its data if that is the image's own.
    RemoveLocation(Position),
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
        Ok(Self::Add(Attribute::parse(name, value, rules)?, if_present))
    }

    /// Setting `name`, which is there, to the value.
    ///
    /// # Errors
    /// `ReadOnly`, `Reserved`, `Invalid`.
    pub fn replace(name: &str, value: Value, rules: &Rules) -> Result<Self, CatalogErrorKind> {
        Ok(Self::Replace(Attribute::parse(name, value, rules)?))
    }

    /// Taking `name` away.
    ///
    /// # Errors
    /// `ReadOnly`, `Reserved`.
    pub fn remove(name: &str) -> Result<Self, CatalogErrorKind> {
        let name = name.to_owned();
        match NameKind::of(&name) {
            NameKind::ReadOnly => Err(CatalogErrorKind::ReadOnly { name }),
            NameKind::Reserved | NameKind::Locations => Err(CatalogErrorKind::Reserved { name }),
            NameKind::Base | NameKind::Custom => Ok(Self::Remove { name }),
        }
    }
}

impl Catalog {
    /// Applies the operations in order and commits the result once. Without any, shows the image.
    ///
    /// # Errors
    /// Those of the first operation that fails, in which case none has been done: `NotFound`, `Denied`,
    /// `OwnerChange`, `FormatFixed`, those of locations, `Reserved` (a protected property), `NotRemovable`,
    /// `PropertyPresent`, `PropertyMissing`, `TooManyTags`, `TooManyProperties`. `InUse`, `HasSnapshots`; `Contended`;
    /// `Unavailable`, `Unknown`, `Broken`.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        operations: &[Operation],
    ) -> Result<Image, CatalogError> {
        if operations.is_empty() {
            return self.show(caller, id).await;
        }
        for _ in 0..MAX_TRIES {
            let current = self.read(id).await?;
            // Asked anew each time: whoever was faster may have removed what was found.
            let mut found = Found::default();
            let draft = self.draft(caller, id, &current, operations, &mut found).await?;
            if let Some(image) = self.commit_draft(id, &current, draft).await? {
                let policy = self.shared.policy.current();
                let access = self.shared.properties.access(&policy, caller);
                return Ok(access.shown(as_known(&policy, caller, image)));
            }
        }
        Err(CatalogErrorKind::Contended.into())
    }

    /// What the operations make of the image. Stores are asked for the data of new locations once that everything
    /// before them is permitted, and once each.
    async fn draft(
        &self,
        caller: &Caller,
        id: &str,
        current: &Image,
        operations: &[Operation],
        found: &mut Found,
    ) -> Result<Draft, CatalogError> {
        loop {
            match self.edit(caller, id, current, operations, found) {
                Ok(draft) => return Ok(draft),
                Err(Stop::Failed(error)) => return Err(*error),
                Err(Stop::LookUp(url)) => {
                    let location = self.look_up(&url, current.id).await;
                    found.remember(url, location);
                }
            }
        }
    }

    fn edit(
        &self,
        caller: &Caller,
        id: &str,
        current: &Image,
        operations: &[Operation],
        found: &Found,
    ) -> Result<Draft, Stop> {
        let mut draft = Draft::of(current);
        let policy = self.shared.policy.current();
        let access = self.shared.properties.access(&policy, caller);
        for operation in operations {
            self.permit(&policy, operation, caller, current, id)?;
            match operation {
                Operation::AddLocation(position, location) => {
                    self.add_location(&mut draft, *position, location, found)?;
                }
                Operation::ReplaceLocations(locations) => {
                    self.replace_locations(&mut draft, locations, found)?;
                }
                Operation::RemoveLocation(position) => self.remove_location(&mut draft, *position)?,
                operation => self.apply(&access, operation, &mut draft.image)?,
            }
        }
        let is_new = |name: &String| !current.properties.contains_key(name);
        if draft.image.properties.keys().any(is_new) {
            self.rules().check_properties(&draft.image)?;
        }
        Ok(draft)
    }

    /// The image with the draft; `None` when somebody else was faster.
    pub(super) async fn commit_draft(
        &self,
        id: &str,
        current: &Image,
        draft: Draft,
    ) -> Result<Option<Image>, CatalogError> {
        let expected = current.revision;
        let image = Box::new(draft.image);
        if image.locations == current.locations {
            return self
                .commit_once(current, ChangeKind::Update { expected, image })
                .await;
        }
        let is_removed = |old: &&Location| !image.locations.iter().any(|kept| kept.url == old.url);
        let removed: Vec<Location> = (current.locations.iter())
            .filter(is_removed)
            .filter(|old| old.is_own_of(current.id))
            .cloned()
            .collect();
        let grows = image.locations.len() > current.locations.len();
        let (owner, size) = (
            image.owner.clone(),
            draft
                .content
                .as_ref()
                .map_or(image.size(), |content| Some(content.size)),
        );
        let removal = RemovalId::random();
        let kind = ChangeKind::Relocate {
            expected,
            image,
            content: draft.content,
            removal,
        };
        let allowance = match grows {
            true => self.allowance_for_locations(owner.as_deref(), size).await?,
            false => Allowance::UNLIMITED,
        };
        if removed.is_empty() {
            return self.commit_once_within(current, kind, allowance).await;
        }
        self.withdraw(current, &kind).await?;
        let janitor = &self.janitor;
        match janitor
            .remove_locations(current, &removed, removal, (kind, allowance))
            .await
        {
            Ok(image) => {
                self.share(current, &image).await;
                Ok(Some(image))
            }
            Err(error) => match error.kind {
                DeleteErrorKind::Rejected(Rejection::Revision) => Ok(None),
                DeleteErrorKind::Rejected(Rejection::OverLimit(excess)) => {
                    Err(over_limit(owner.as_deref(), &excess))
                }
                _ => Err(delete::failure(error, id)),
            },
        }
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
            Operation::AddLocation(..) | Operation::ReplaceLocations(_) => {
                policy.authorize_set_locations(caller, current)
            }
            Operation::RemoveLocation(_) => policy.authorize_delete_locations(caller, current),
        };
        permission.map_err(|denied| self.denied(denied, id))?;
        match operation {
            // Glance forgets this for `add`, answers 403, and has changed the owner by then.
            Operation::Add(Attribute::Owner(_), _) | Operation::Replace(Attribute::Owner(_))
                if !policy.is_admin(caller) =>
            {
                Err(CatalogErrorKind::OwnerChange.into())
            }
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
            // They concern more than the image.
            Operation::AddLocation(..) | Operation::ReplaceLocations(_) | Operation::RemoveLocation(_) => {
                Ok(())
            }
        }
    }

    fn set(
        &self,
        access: &PropertyAccess<'_>,
        attribute: &Attribute,
        image: &mut Image,
    ) -> Result<(), CatalogError> {
        // Data that is on its way is held against them.
        let fixed = image.status != Status::Queued;
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
