//! The locations of an image, as clients change them (Glance 33, `api/v2/images.py`, `_do_add_locations` and its
//! neighbours; `location.py`, `StoreLocations`).
//!
//! Which data a location may be of: the store says of what is there how long it is, and data of other images is out of
//! bounds. Blobs are named after their image's id, so that in a store that deletes, an address with another image's id
//! is refused. Data of any other name may be given to many images, and is deleted with none of them.

use std::collections::BTreeMap;

use saccade_store_contract::{ErrorKind, Location as Address};
use tracing::debug;

use super::{
    Catalog, CatalogError, CatalogErrorKind, Rules, as_known,
    given::{GivenData, NewLocation, Validation},
};
use crate::{
    identity::Caller,
    image::{AttemptId, Content, Image, ImageId, Location, Status, StoreId},
    policy::{Adopt, Authorized},
};

/// Schemes whose addresses lead into the machine, or to what its configuration holds.
const RESTRICTED: [&str; 3] = ["file", "filesystem", "swift+config"];

/// The longest data, in bytes: 8 PiB. A server may say any number, and what a project stores is a sum of such.
const MAX_SIZE: u64 = 1 << 53;

/// The role of services.
const SERVICE: &str = "service";

/// A place in the list of locations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The last one, or the one behind it.
    End,
    /// The one of this number.
    At(usize),
    /// None.
    Nowhere,
}

impl Position {
    /// The place that a token of a pointer names.
    pub fn parse(token: &str) -> Self {
        match token {
            "-" => Self::End,
            // A number that is too large for any list is behind its end, too.
            digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Self::At(digits.parse().unwrap_or(usize::MAX))
            }
            _ => Self::Nowhere,
        }
    }
}

/// What a store has said of a new location.
pub(super) struct Known {
    store: StoreId,
    /// As the store spells it.
    url: String,
    /// In bytes.
    size: u64,
}

/// What stores have said of new locations, by what clients have said of them.
#[derive(Default)]
pub(super) struct Found(BTreeMap<String, Option<Known>>);

impl Found {
    pub(super) fn remember(&mut self, url: String, found: Option<Known>) {
        self.0.insert(url, found);
    }

    fn of(&self, url: &str) -> Result<&Known, Stop> {
        match self.0.get(url) {
            None => Err(Stop::LookUp(url.to_owned())),
            Some(None) => Err(CatalogErrorKind::BadLocation.into()),
            Some(Some(found)) => Ok(found),
        }
    }
}

/// Why a change cannot be computed.
pub(super) enum Stop {
    /// It is not to be.
    Failed(Box<CatalogError>),
    /// A store has to say first what there is at an address.
    LookUp(String),
}

impl From<CatalogError> for Stop {
    fn from(error: CatalogError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<CatalogErrorKind> for Stop {
    fn from(kind: CatalogErrorKind) -> Self {
        CatalogError::from(kind).into()
    }
}

/// What operations have made of an image so far.
pub(super) struct Draft {
    pub(super) image: Image,
    /// What is known of the data that it gets.
    pub(super) content: Option<Content>,
}

impl Draft {
    pub(super) fn of(image: &Image) -> Self {
        Self {
            image: image.clone(),
            content: None,
        }
    }

    /// That locations may be changed now; `also` is a status that allows it beside `active`.
    fn check(
        &self,
        rules: &Rules,
        action: [&'static str; 2],
        also: Option<Status>,
    ) -> Result<(), CatalogErrorKind> {
        let [invisible, fixed] = action;
        let status = self.image.status;
        if !rules.show_locations {
            return Err(CatalogErrorKind::LocationsInvisible { action: invisible });
        }
        if status != Status::Active && Some(status) != also {
            return Err(CatalogErrorKind::LocationsFixed {
                action: fixed,
                status,
            });
        }
        Ok(())
    }

    /// What a queued image names was found to be other data than it should be.
    fn leave_out_wrong(&mut self) {
        if self.image.status == Status::Queued && self.content.is_none() {
            self.image.locations.clear();
        }
    }

    /// A queued image that has a location is active.
    fn activate(&mut self, size: u64, said: Validation) -> Result<(), CatalogErrorKind> {
        if self.image.status != Status::Queued {
            return Ok(());
        }
        if self.image.disk_format.is_none() || self.image.container_format.is_none() {
            return Err(CatalogErrorKind::FormatMissing);
        }
        let content = Content {
            attempt: AttemptId::random(),
            size,
            virtual_size: None,
            checksum: said.checksum,
            hash_algorithm: said.hash_algorithm,
            hash_value: said.hash_value,
        };
        self.image.status = Status::Active;
        self.image.content = Some(content.clone());
        self.content = Some(content);
        Ok(())
    }
}

impl Catalog {
    pub(super) fn add_location(
        &self,
        draft: &mut Draft,
        position: Position,
        new: &NewLocation,
        found: &Found,
    ) -> Result<(), Stop> {
        draft.check(self.rules(), ["add", "add"], Some(Status::Queued))?;
        draft.leave_out_wrong();
        let said = Validation::of(std::slice::from_ref(new))?.new_to(&draft.image, self.rules())?;
        let count = draft.image.locations.len();
        let at = match position {
            Position::End => count,
            // Python's lists take a place behind the end for the end.
            Position::At(at) => at.min(count),
            Position::Nowhere => return Err(CatalogErrorKind::LocationPosition { action: "adding" }.into()),
        };
        self.rules().check_locations(count.saturating_add(1))?;
        let known = found.of(&new.url)?;
        let location = new.at(&known.store, &known.url);
        if self.has(&draft.image.locations, &location) {
            return Err(CatalogErrorKind::DuplicateLocation.into());
        }
        // All locations of an image have the same data: where one is found to be away, another stands in for it.
        if draft.image.size().is_some_and(|size| size != known.size) {
            return Err(CatalogErrorKind::BadLocation.into());
        }
        draft.activate(known.size, said)?;
        draft.image.locations.insert(at, location);
        Ok(())
    }

    pub(super) fn replace_locations(
        &self,
        draft: &mut Draft,
        new: &[NewLocation],
        found: &Found,
    ) -> Result<(), Stop> {
        draft.check(self.rules(), ["update", "replace"], Some(Status::Queued))?;
        let said = Validation::of(new)?.new_to(&draft.image, self.rules())?;
        self.rules().check_locations(new.len())?;
        draft.leave_out_wrong();
        let old = &draft.image.locations;
        if !old.is_empty() {
            // The same places: only what is said of them changes.
            let sorted = |mut urls: Vec<String>| {
                urls.sort();
                urls
            };
            let spelled = |url: &str| self.stores.spelled(None, url).1;
            let urls = sorted(new.iter().map(|location| spelled(&location.url)).collect());
            if urls != sorted(old.iter().map(|location| location.url.clone()).collect()) {
                return Err(CatalogErrorKind::LocationsPresent.into());
            }
            let kept = new.iter().filter_map(|new| {
                let url = spelled(&new.url);
                let old = old.iter().find(|old| old.url == url)?;
                Some(Location {
                    metadata: new.metadata.clone(),
                    ..old.clone()
                })
            });
            draft.image.locations = kept.collect();
            return Ok(());
        }
        let (mut locations, mut size) = (Vec::new(), None);
        for new in new {
            let known = found.of(&new.url)?;
            let location = new.at(&known.store, &known.url);
            if self.has(&locations, &location) {
                return Err(CatalogErrorKind::DuplicateLocation.into());
            }
            if *size.get_or_insert(known.size) != known.size {
                return Err(CatalogErrorKind::BadLocation.into());
            }
            locations.push(location);
        }
        if let Some(size) = size {
            draft.activate(size, said)?;
        }
        draft.image.locations = locations;
        Ok(())
    }

    pub(super) fn remove_location(&self, draft: &mut Draft, position: Position) -> Result<(), Stop> {
        draft.check(self.rules(), ["remove", "remove"], None)?;
        let count = draft.image.locations.len();
        if count <= 1 {
            return Err(CatalogErrorKind::LastLocation.into());
        }
        let at = match position {
            Position::End => count.checked_sub(1),
            Position::At(at) => Some(at).filter(|at| *at < count),
            Position::Nowhere => None,
        };
        let at = at.ok_or(CatalogErrorKind::LocationPosition { action: "removing" })?;
        draft.image.locations.remove(at);
        Ok(())
    }

    /// A queued image that the caller may give this data, with the permission, where the data is and how long it is, in
    /// bytes. Asks the store.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `LocationsFixed`, `LocationForServices`, `BadLocation`, `AddressRefused`; `Unavailable`, `Broken`.
    pub async fn authorize_adoption(
        &self,
        caller: &Caller,
        id: &str,
        data: &GivenData,
    ) -> Result<(Authorized<Adopt>, Image, Location, u64), CatalogError> {
        let image = self.read(id).await?;
        let permission = self
            .shared
            .policy
            .current()
            .authorize_add_location(caller, &image);
        let permission = permission.map_err(|denied| self.denied(denied, id))?;
        if image.status != Status::Queued {
            let (action, status) = ("add", image.status);
            return Err(CatalogErrorKind::LocationsFixed { action, status }.into());
        }
        let is_service =
            caller.has_role(SERVICE) || caller.service_roles().iter().any(|role| role == SERVICE);
        let stores = self.stores.of_url(&data.url);
        if !is_service
            && !stores
                .iter()
                .any(|(_, store)| store.capabilities().kind == "http")
        {
            return Err(CatalogErrorKind::LocationForServices.into());
        }
        let Some(known) = self.look_up(&data.url, image.id).await else {
            return Err(self.why_not(&data.url).await.into());
        };
        let location = Location {
            store: Some(known.store),
            url: known.url,
            metadata: BTreeMap::new(),
        };
        Ok((permission, image, location, known.size))
    }

    /// Where the data of an image is (`fetch_image_location`).
    ///
    /// # Errors
    /// `NotFound`, `Denied`; `Unavailable`, `Broken`.
    pub async fn fetch_locations(&self, caller: &Caller, id: &str) -> Result<Vec<Location>, CatalogError> {
        let image = self.read(id).await?;
        let permission = self
            .shared
            .policy
            .current()
            .authorize_fetch_locations(caller, &image);
        permission.map_err(|denied| self.denied(denied, id))?;
        Ok(as_known(&self.shared.policy.current(), caller, image).locations)
    }

    /// Why nothing can be had from an address: that the operator does not allow it is no secret.
    async fn why_not(&self, url: &str) -> CatalogErrorKind {
        let address = Address::new(url);
        for (_, store) in self.stores.of_url(url) {
            if matches!(store.admit(&address).await, Err(error) if error.kind() == ErrorKind::Denied) {
                return CatalogErrorKind::AddressRefused;
            }
        }
        CatalogErrorKind::BadLocation
    }

    fn has(&self, locations: &[Location], location: &Location) -> bool {
        locations.iter().any(|old| self.is_same(old, location))
    }

    /// The store that an address belongs to, with the length of what is there; nothing when there is nothing that the
    /// image may have. Asks the store.
    pub(super) async fn look_up(&self, url: &str, image: ImageId) -> Option<Known> {
        let (scheme, _) = url.split_once("://")?;
        if RESTRICTED
            .iter()
            .any(|restricted| scheme.eq_ignore_ascii_case(restricted))
        {
            return None;
        }
        for (id, store) in self.stores.of_url(url) {
            if store.capabilities().writable && !may_be_of(url, image) {
                continue;
            }
            let address = Address::new(url);
            if let Err(error) = store.admit(&address).await {
                debug!(%image, store = id, %error, "a location is not admitted");
                continue;
            }
            match store.size(&address).await {
                Ok(size) if (1..=MAX_SIZE).contains(&size) => {
                    let (_, url) = self.stores.spelled(Some(id), url);
                    let store = StoreId::new(id);
                    return Some(Known { store, url, size });
                }
                Ok(_) => {}
                Err(error) => debug!(%image, store = id, %error, "nothing is found at a location"),
            }
        }
        None
    }
}

/// Whether a blob of this address is no other image's: its name has no UUID but the image's own. An address that could be
/// read in more than one way is nobody's.
fn may_be_of(url: &str, image: ImageId) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    // Behind the host, or whatever stands in its place, with its credentials.
    let (_, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'?' | b'#' | b'\\');
    let is_step = |segment: &str| matches!(segment, "" | "." | "..");
    path.bytes().all(is_plain) && !path.split('/').any(is_step) && uuids(path).all(|id| id == image)
}

/// Every UUID that stands somewhere in the text.
fn uuids(text: &str) -> impl Iterator<Item = ImageId> {
    let windows = text.as_bytes().windows(36);
    windows.filter_map(|window| std::str::from_utf8(window).ok()?.parse().ok())
}

impl Rules {
    fn check_locations(&self, attempted: usize) -> Result<(), CatalogErrorKind> {
        match self.max_locations {
            Some(maximum) if attempted > maximum => {
                Err(CatalogErrorKind::TooManyLocations { attempted, maximum })
            }
            _ => Ok(()),
        }
    }
}
