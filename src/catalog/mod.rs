//! What may be done to image records: create, show, list, update, tag, share, deactivate, delete. Asks policy and
//! quotas.
//!
//! * [`Catalog`]: one method per operation; each reads the record, asks policy, and commits one change
//! * `attribute`: the schema of an image: names, types and lengths of what clients may set
//! * `readdress`: locations in the one spelling that their stores have for them; `stores`: removing data from one store
//! * `locations`: which locations clients may give an image; `given`: what they say of them
//! * [`restore`]: undoing a deletion, for the operator
//! * `protection`: property protection
//! * `usage`: what a project's images take up, and how much they may
//! * `create`, `update`, `delete`, `list`, `tags`, `members`, `activation`: one operation each, or two that undo each
//!   other
//! * [`CatalogError`]: why not, in the client's terms
//!
//! A change is computed from the record as it was read and committed at that revision. When somebody else was faster,
//! the whole operation is done again, policy included: what is committed was permitted for the record it was
//! committed to.

mod activation;
mod attribute;
mod create;
mod delete;
mod describe;
mod error;
mod given;
mod list;
mod locations;
mod members;
mod protection;
mod readdress;
mod restore;
mod stores;
mod tags;
#[cfg(test)]
pub(crate) mod tests;
mod update;
mod usage;

use std::sync::Arc;

use saccade_store_contract::{OnBehalf, Readers};

pub use self::{
    attribute::{Attribute, NameKind},
    create::NewImage,
    error::{CatalogError, CatalogErrorKind},
    given::{GivenData, NewLocation, without_secrets},
    list::{ImageList, ListRequest},
    locations::Position,
    members::Membership,
    restore::restore,
    update::{IfPresent, Operation},
    usage::ResourceUsage,
};
pub use crate::metadata::{
    Comparison, Condition, Direction, Filter, Flag, Number, Order, SortKey, Text, TimeField,
};
use crate::{
    cache::Cache,
    identity::Caller,
    image::{
        Allowance, Change, ChangeKind, Entry, Image, ImageId, MemberChange, Rejection, Status, Timestamp,
    },
    janitor::{Janitor, are_fewer, readers_of},
    metadata::{Metadata, MetadataErrorKind},
    policy::{
        Authorized, Denied, Download, Import, ImportKind, LivePolicy, Policy, PropertyProtection, Rule,
        Stage, Upload,
    },
    quota::Limits,
    stores::Stores,
};

/// The images, and what may be done to them. Clones are handles to the same one.
#[derive(Clone)]
pub struct Catalog {
    shared: Arc<Parts>,
    /// As whoever asks may use them.
    stores: Stores,
    janitor: Janitor,
}

/// What the catalogue works with.
pub struct Parts {
    /// Where images are recorded.
    pub metadata: Arc<dyn Metadata>,
    /// Who may do what.
    pub policy: Arc<LivePolicy>,
    /// Who may do what to which properties.
    pub properties: PropertyProtection,
    /// How much projects may use.
    pub limits: Arc<dyn Limits>,
    /// Deletes images.
    pub janitor: Janitor,
    /// Where data is that clients give images by its address.
    pub stores: Stores,
    /// What holds of every image.
    pub rules: Rules,
    /// Holds data of images, and is told of those that are deleted.
    pub cache: Option<Cache>,
}

/// What an operator has decided of all images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The values that `disk_format` may have.
    pub disk_formats: Vec<String>,
    /// The values that `container_format` may have.
    pub container_formats: Vec<String>,
    /// The most properties of an image (`image_property_quota`); `None` is no limit.
    pub max_properties: Option<usize>,
    /// The most tags of an image (`image_tag_quota`); `None` is no limit.
    pub max_tags: Option<usize>,
    /// The most members of an image (`image_member_quota`); `None` is no limit.
    pub max_members: Option<usize>,
    /// The most locations of an image (`image_location_quota`); `None` is no limit.
    pub max_locations: Option<usize>,
    /// Whether images show their locations, and clients may change them (`show_multiple_locations`).
    pub show_locations: bool,
    /// The algorithm of `os_hash_value` (`hashing_algorithm`).
    pub hash_algorithm: String,
    /// The length of its hashes, in hexadecimal digits.
    pub hash_length: usize,
    /// Whether the data of deleted images is kept for a time (`delayed_delete`).
    pub deferred_deletion: bool,
    /// Images on a page when the client does not say (`limit_param_default`).
    pub page_default: usize,
    /// The most images on a page (`api_limit_max`).
    pub page_max: usize,
}

/// How often an operation is begun again because somebody else changed the image meanwhile. One of several writers
/// always succeeds, so that running out of tries takes as many others.
const MAX_TRIES: u32 = 16;

impl Catalog {
    /// The catalogue with the given parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            stores: parts.stores.clone(),
            janitor: parts.janitor.clone(),
            shared: Arc::new(parts),
        }
    }

    /// Whether any store acts in its callers' names, and so is to be told who calls.
    pub fn acts_for_callers(&self) -> bool {
        self.stores.are_per_caller()
    }

    /// The same, at stores that act in this caller's name.
    #[must_use]
    pub fn on_behalf(&self, caller: &OnBehalf) -> Self {
        let stores = self.shared.stores.on_behalf(caller);
        Self {
            shared: Arc::clone(&self.shared),
            janitor: self.janitor.at(stores.clone()),
            stores,
        }
    }

    /// What holds of every image.
    pub fn rules(&self) -> &Rules {
        &self.shared.rules
    }

    /// One image, with the properties that the caller may read.
    ///
    /// # Errors
    /// `NotFound` when there is none, or none that the caller may know of; `Unavailable`, `Broken`.
    pub async fn show(&self, caller: &Caller, id: &str) -> Result<Image, CatalogError> {
        let image = self.read(id).await?;
        let policy = self.shared.policy.current();
        let shown = policy.authorize_show(caller, &image);
        shown.map_err(|denied| self.denied(denied, id))?;
        let access = self.shared.properties.access(&policy, caller);
        Ok(access.shown(as_known(&policy, caller, image)))
    }

    /// An image that the caller may put data into, with the permission.
    ///
    /// # Errors
    /// `NotFound`, `Denied`; `Unavailable`, `Broken`.
    pub async fn authorize_upload(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(Authorized<Upload>, Image), CatalogError> {
        let mut image = self.read(id).await?;
        let permission = self.shared.policy.current().authorize_upload(caller, &image);
        let permission = permission.map_err(|denied| self.denied(denied, id))?;
        if image.status == Status::Saving && self.acts_for_callers() {
            // Perhaps of an upload that was interrupted, and could not be undone without its owner.
            self.janitor.finish_orphans_of(image.id).await;
            image = self.read(id).await?;
        }
        Ok((permission, image))
    }

    /// An image that the caller may know of, with everything in it: for whoever shows none of it.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`, `Broken`.
    pub async fn known(&self, caller: &Caller, id: &str) -> Result<Image, CatalogError> {
        let image = self.read(id).await?;
        let shown = self.shared.policy.current().authorize_show(caller, &image);
        shown.map_err(|_| not_found(id))?;
        Ok(image)
    }

    /// An image for whose import the caller may bring data, with the permission.
    ///
    /// # Errors
    /// `NotFound`, `Denied`; `Unavailable`, `Broken`.
    pub async fn authorize_stage(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(Authorized<Stage>, Image), CatalogError> {
        let image = self.read(id).await?;
        let permission = self.shared.policy.current().authorize_stage(caller, &image);
        Ok((permission.map_err(|denied| self.denied(denied, id))?, image))
    }

    /// Whether the caller may have data brought into the image, or into more stores.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub fn authorize_import(
        &self,
        caller: &Caller,
        image: &Image,
        kind: ImportKind,
    ) -> Result<Authorized<Import>, CatalogError> {
        let permission = self.shared.policy.current().authorize_import(caller, image, kind);
        permission.map_err(|denied| self.denied(denied, &image.id.to_string()))
    }

    /// Whether the caller is an administrator (`context_is_admin`).
    pub fn is_admin(&self, caller: &Caller) -> bool {
        self.shared.policy.current().is_admin(caller)
    }

    /// An image whose data the caller may read, with the permission.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Deactivated`; `Unavailable`, `Broken`.
    pub async fn authorize_download(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(Authorized<Download>, Image), CatalogError> {
        let image = self.read(id).await?;
        let permission = self.shared.policy.current().authorize_download(caller, &image);
        Ok((permission.map_err(|denied| self.denied(denied, id))?, image))
    }

    /// Whether the caller may say which store the image's data is to come from.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub fn authorize_store_choice(&self, caller: &Caller, image: &Image) -> Result<(), CatalogError> {
        let permission = self.shared.policy.current().authorize_store_choice(caller, image);
        permission.map_err(|denied| self.denied(denied, &image.id.to_string()))
    }

    /// Whether the caller may know of the stores what administrators and services may (`stores_info_detail`).
    ///
    /// # Errors
    /// `Denied`.
    pub fn authorize_store_details(&self, caller: &Caller) -> Result<(), CatalogError> {
        let permission = self
            .shared
            .policy
            .current()
            .authorize(Rule::StoresInfoDetail, caller);
        permission.map_err(|denied| self.denied(denied, ""))
    }

    /// Whether the caller may do what the rule is about to the image cache, or to what it holds of an image.
    ///
    /// # Errors
    /// `Denied`.
    pub fn authorize_cache(
        &self,
        caller: &Caller,
        rule: Rule,
        image: Option<&Image>,
    ) -> Result<(), CatalogError> {
        let policy = self.shared.policy.current();
        let permission = match image {
            // Whoever may not know of the image has not come here.
            Some(image) => policy.authorize_cache(rule, caller, image),
            None => policy.authorize(rule, caller),
        };
        permission.map_err(|denied| self.denied(denied, ""))
    }

    /// Whether the caller may use the tasks API (`tasks_api_access`).
    ///
    /// # Errors
    /// `Denied`.
    pub fn authorize_tasks(&self, caller: &Caller) -> Result<(), CatalogError> {
        let permission = self
            .shared
            .policy
            .current()
            .authorize(Rule::TasksApiAccess, caller);
        permission.map_err(|denied| self.denied(denied, ""))
    }

    /// The record under `id`, whoever asks.
    async fn read(&self, id: &str) -> Result<Image, CatalogError> {
        // The id that nobody can have is the id of no image.
        let parsed: ImageId = id.parse().map_err(|_| not_found(id))?;
        match self.shared.metadata.entry(parsed).await? {
            Some(Entry::Live(image)) => self.readdressed(image).await,
            Some(Entry::Deleted(_)) | None => Err(not_found(id)),
        }
    }

    /// Changes an image to what `edit` makes of it; `None` leaves it as it is. Otherwise as [`Self::commit`].
    async fn change(
        &self,
        id: &str,
        edit: impl Fn(&Image) -> Result<Option<Image>, CatalogError> + Send + Sync,
    ) -> Result<Image, CatalogError> {
        self.commit(id, |current| {
            let wanted = edit(current)?;
            Ok(wanted.map(|image| ChangeKind::Update {
                expected: current.revision,
                image: Box::new(image),
            }))
        })
        .await
    }

    /// Commits the change, at the revision it is computed from, that `decide` makes of an image; `None` leaves it as it
    /// is. `decide` asks policy; it is called again with the newer record when somebody else was faster.
    async fn commit(
        &self,
        id: &str,
        decide: impl Fn(&Image) -> Result<Option<ChangeKind>, CatalogError> + Send + Sync,
    ) -> Result<Image, CatalogError> {
        for _ in 0..MAX_TRIES {
            let current = self.read(id).await?;
            let Some(kind) = decide(&current)? else {
                return Ok(current);
            };
            if let Some(image) = self.commit_once(&current, kind).await? {
                return Ok(image);
            }
        }
        Err(CatalogErrorKind::Contended.into())
    }

    /// Commits a change that was computed from `current`; `None` when somebody else was faster.
    async fn commit_once(&self, current: &Image, kind: ChangeKind) -> Result<Option<Image>, CatalogError> {
        self.commit_once_within(current, kind, Allowance::UNLIMITED).await
    }

    /// The same for a change that may add to what its owner's images take up, so much at most.
    async fn commit_once_within(
        &self,
        current: &Image,
        kind: ChangeKind,
        allowance: Allowance,
    ) -> Result<Option<Image>, CatalogError> {
        let change = Change {
            id: current.id,
            at: Timestamp::now(),
            kind,
        };
        let id = current.id.to_string();
        let is_withdrawn = self.withdraw(current, &change.kind).await?;
        let committed = self.shared.metadata.commit_within(change, allowance).await;
        if is_withdrawn && committed.is_err() {
            // They have lost a right that the record may still give them.
            self.janitor.share_current(current.id).await;
        }
        match committed {
            Ok(Entry::Live(image)) => {
                self.share(current, &image).await;
                Ok(Some(image))
            }
            Ok(Entry::Deleted(_)) => Err(not_found(&id)),
            Err(error) => match error.kind {
                MetadataErrorKind::Rejected(Rejection::Revision) => Ok(None),
                MetadataErrorKind::Rejected(Rejection::OverLimit(excess)) => {
                    Err(usage::over_limit(current.owner.as_deref(), &excess))
                }
                _ => Err(error::of_change(error, &id)),
            },
        }
    }

    /// Takes the right to read the image's data from those whom a change takes it from, before it does; tells whether there
    /// are any.
    ///
    /// # Errors
    /// `Unavailable`: a store may not have done it. Nothing is changed; whoever has lost the right is served by the daemon.
    async fn withdraw(&self, current: &Image, change: &ChangeKind) -> Result<bool, CatalogError> {
        if !self.stores.are_per_caller() || current.locations.is_empty() {
            return Ok(false);
        }
        let after = match change {
            ChangeKind::Update { image, .. } | ChangeKind::Relocate { image, .. } => readers_of(image),
            ChangeKind::Member {
                project,
                change: MemberChange::Remove,
                ..
            } => match readers_of(current) {
                Readers::Projects(projects) => {
                    Readers::Projects(projects.into_iter().filter(|other| other != project).collect())
                }
                Readers::Everyone => return Ok(false),
            },
            _ => return Ok(false),
        };
        if !are_fewer(&after, &readers_of(current)) {
            return Ok(false);
        }
        let withdrawn = self.janitor.set_readers(current, &after).await;
        if let Err(error) = withdrawn {
            // Some stores may have done it.
            self.janitor.share_current(current.id).await;
            return Err(CatalogError::because(CatalogErrorKind::Unavailable, error));
        }
        Ok(true)
    }

    /// Says to the stores who may read the image's data, where a change has made that others, or the data is elsewhere.
    async fn share(&self, before: &Image, after: &Image) {
        if self.stores.are_per_caller()
            && (readers_of(before) != readers_of(after)
                || before.locations != after.locations
                || self.janitor.is_unshared(after.id))
        {
            self.janitor.share(after).await;
        }
    }

    fn denied(&self, denied: Denied, id: &str) -> CatalogError {
        match denied {
            Denied::NotFound => not_found(id),
            Denied::Forbidden { rule } => CatalogErrorKind::Denied { rule }.into(),
            Denied::Deactivated => CatalogErrorKind::Deactivated.into(),
        }
    }
}

/// An image as the caller may know it: where the data of a deactivated one is, administrators only (Glance 33,
/// `db/sqlalchemy/api.py`, `_normalize_locations`).
fn as_known(policy: &Policy, caller: &Caller, mut image: Image) -> Image {
    if image.status == Status::Deactivated && !policy.is_admin(caller) {
        image.locations.clear();
    }
    image
}

fn not_found(id: &str) -> CatalogError {
    CatalogErrorKind::NotFound { id: id.to_owned() }.into()
}
