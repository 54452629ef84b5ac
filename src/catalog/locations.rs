//! The locations of an image, as clients change them (Glance 33, `api/v2/images.py`, `_do_add_locations` and its
//! neighbours; `location.py`, `StoreLocations`).
//!
//! Which data a location may be of: the store says of what is there how long it is, and data of other images is out of
//! bounds. Blobs are named after their image's id, so that in a store that deletes, an address with another image's id
//! is refused. Data of any other name may be given to many images, and is deleted with none of them.

use std::{collections::BTreeMap, fmt};

use saccade_store_contract::Location as Address;
use serde_json::{Map, Value};
use tracing::debug;

use super::{Catalog, CatalogError, CatalogErrorKind, Rules, as_known};
use crate::{
    identity::Caller,
    image::{AttemptId, Content, Image, ImageId, Location, Status, StoreId},
    policy::{Adopt, Authorized},
};

/// The longest URL, in characters; Glance's schema.
const MAX_URL: usize = 255;
/// Schemes whose addresses lead into the machine, or to what its configuration holds.
const RESTRICTED: [&str; 3] = ["file", "filesystem", "swift+config"];

/// The role of services.
const SERVICE: &str = "service";

/// A location that a client wants an image to have. `Debug` shows no URL: it may carry credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct NewLocation {
    url: String,
    metadata: BTreeMap<String, String>,
    validation: Option<Validation>,
}

/// What a client says of the data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Validation {
    checksum: Option<String>,
    hash_algorithm: Option<String>,
    hash_value: Option<String>,
}

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

impl fmt::Debug for NewLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewLocation").finish_non_exhaustive()
    }
}

impl NewLocation {
    /// The location that an object of the request's JSON describes.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn parse(value: Value) -> Result<Self, CatalogErrorKind> {
        let Value::Object(mut object) = value else {
            return Err(invalid("it is not an object"));
        };
        let url = match object.remove("url") {
            Some(Value::String(url)) if url.chars().count() <= MAX_URL => url,
            Some(Value::String(_)) => return Err(invalid("url is longer than 255 characters")),
            Some(_) => return Err(invalid("url is not a string")),
            None => return Err(invalid("'url' is a required property")),
        };
        let metadata = match object.remove("metadata") {
            Some(Value::Object(metadata)) => texts(metadata)?,
            Some(_) => return Err(invalid("metadata is not an object")),
            None => return Err(invalid("'metadata' is a required property")),
        };
        let validation = match object.remove("validation_data") {
            Some(Value::Object(fields)) => Some(Validation::parse(fields)?),
            Some(_) => return Err(invalid("validation_data is not an object")),
            None => None,
        };
        Ok(Self {
            url,
            metadata,
            validation,
        })
    }

    /// All locations of a list.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn parse_all(value: Value) -> Result<Vec<Self>, CatalogErrorKind> {
        match value {
            Value::Array(locations) => locations.into_iter().map(Self::parse).collect(),
            _ => Err(invalid("it is not an array")),
        }
    }

    fn at(&self, store: &StoreId) -> Location {
        Location {
            store: Some(store.clone()),
            url: self.url.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

/// Keys and values. The store is for us to say.
fn texts(metadata: Map<String, Value>) -> Result<BTreeMap<String, String>, CatalogErrorKind> {
    let named = metadata.into_iter().filter(|(name, _)| name != "store");
    let texts = named.map(|(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => Err(invalid("values of metadata are strings")),
    });
    texts.collect()
}

fn invalid(problem: &str) -> CatalogErrorKind {
    CatalogErrorKind::Invalid {
        name: "locations".to_owned(),
        problem: problem.to_owned(),
    }
}

impl Validation {
    fn parse(mut fields: Map<String, Value>) -> Result<Self, CatalogErrorKind> {
        let mut text = |name: &str, lengths: std::ops::RangeInclusive<usize>| match fields.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) if lengths.contains(&text.chars().count()) => Ok(Some(text)),
            Some(_) => Err(invalid(&format!("{name} is not a string of the right length"))),
        };
        let parsed = Self {
            checksum: text("checksum", 32..=32)?,
            hash_algorithm: text("os_hash_algo", 0..=64)?,
            hash_value: text("os_hash_value", 0..=128)?,
        };
        if !fields.is_empty() {
            return Err(invalid("validation_data has properties that it may not have"));
        }
        if parsed.hash_algorithm.is_none() || parsed.hash_value.is_none() {
            return Err(invalid("validation_data needs os_hash_algo and os_hash_value"));
        }
        Ok(parsed)
    }

    /// What all of them say together.
    fn of(locations: &[NewLocation]) -> Result<Self, CatalogErrorKind> {
        let mut all = Self::default();
        for said in locations
            .iter()
            .filter_map(|location| location.validation.as_ref())
        {
            agree(&mut all.checksum, said.checksum.as_ref(), "checksum")?;
            agree(
                &mut all.hash_algorithm,
                said.hash_algorithm.as_ref(),
                "os_hash_algo",
            )?;
            agree(&mut all.hash_value, said.hash_value.as_ref(), "os_hash_value")?;
        }
        Ok(all)
    }

    /// What of it is new to the image, if the client may say it.
    fn new_to(self, image: &Image, rules: &Rules) -> Result<Self, CatalogErrorKind> {
        let content = image.content.as_ref();
        let known = |field: fn(&Content) -> &Option<String>| content.and_then(|c| field(c).clone());
        let new = Self {
            checksum: new_value("checksum", self.checksum, known(|c| &c.checksum))?,
            hash_algorithm: new_value("os_hash_algo", self.hash_algorithm, known(|c| &c.hash_algorithm))?,
            hash_value: new_value("os_hash_value", self.hash_value, known(|c| &c.hash_value))?,
        };
        if new == Self::default() {
            return Ok(new);
        }
        if image.status != Status::Queued {
            let fields = [
                ("checksum", &new.checksum),
                ("os_hash_algo", &new.hash_algorithm),
                ("os_hash_value", &new.hash_value),
            ];
            let named = fields.iter().filter(|(_, value)| value.is_some());
            let names = named.map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            return Err(validation(format!(
                "New value(s) for {names} may only be provided when image status is 'queued'"
            )));
        }
        if let Some(checksum) = &new.checksum {
            hex("checksum", checksum, 32)?;
        }
        let wanted = &rules.hash_algorithm;
        if new.hash_algorithm.as_ref() != Some(wanted) {
            let got = new.hash_algorithm.as_deref().unwrap_or("None");
            return Err(validation(format!("os_hash_algo must be {wanted}, not {got}")));
        }
        hex(
            "os_hash_value",
            new.hash_value.as_deref().unwrap_or_default(),
            rules.hash_length,
        )?;
        Ok(new)
    }
}

fn validation(problem: String) -> CatalogErrorKind {
    CatalogErrorKind::Validation { problem }
}

fn agree(all: &mut Option<String>, said: Option<&String>, name: &str) -> Result<(), CatalogErrorKind> {
    match (&*all, said) {
        (Some(before), Some(said)) if before != said => {
            Err(validation(format!("Conflicting values for {name}")))
        }
        (_, Some(said)) => {
            *all = Some(said.clone());
            Ok(())
        }
        (_, None) => Ok(()),
    }
}

fn new_value(
    name: &str,
    said: Option<String>,
    known: Option<String>,
) -> Result<Option<String>, CatalogErrorKind> {
    match (said, known) {
        (said, known) if said == known => Ok(None),
        (Some(_), Some(_)) => Err(validation(format!(
            "{name} is already set with a different value"
        ))),
        (said, _) => Ok(said),
    }
}

fn hex(name: &str, value: &str, length: usize) -> Result<(), CatalogErrorKind> {
    if !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(validation(format!(
            "{name} ({value}) is not a valid hexadecimal value"
        )));
    }
    if value.len() != length {
        let bytes = length / 2;
        return Err(validation(format!(
            "{name} ({value}) is not the correct size (should be {bytes} bytes)"
        )));
    }
    Ok(())
}

/// Data that is there already, for a queued image (the locations API). `Debug` shows no URL.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenData {
    url: String,
    /// The algorithm and the hash.
    pub hash: Option<(String, String)>,
}

/// The algorithms that clients may say a hash of, with the digits of their hashes.
const SAID_HASHES: [(&str, usize); 4] = [("sha1", 40), ("sha256", 64), ("sha512", 128), ("md5", 32)];

impl fmt::Debug for GivenData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenData").finish_non_exhaustive()
    }
}

impl GivenData {
    /// What the request's JSON describes.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn parse(value: Value) -> Result<Self, CatalogErrorKind> {
        let wrong = |problem: &str| CatalogErrorKind::Invalid {
            name: "add_location".to_owned(),
            problem: problem.to_owned(),
        };
        let Value::Object(mut object) = value else {
            return Err(wrong("it is not an object"));
        };
        let Some(Value::String(url)) = object.remove("url") else {
            return Err(wrong("'url' is a required property, and a string"));
        };
        let mut said = match object.remove("validation_data") {
            None => Map::new(),
            Some(Value::Object(said)) => said,
            Some(_) => return Err(wrong("validation_data is not an object")),
        };
        let hash = match (said.remove("os_hash_algo"), said.remove("os_hash_value")) {
            (None, None) => None,
            (Some(Value::String(algorithm)), Some(Value::String(hash))) => Some((algorithm, hash)),
            _ => {
                return Err(wrong(
                    "os_hash_algo and os_hash_value are strings, and go together",
                ));
            }
        };
        if !said.is_empty() {
            return Err(wrong("validation_data has properties that it may not have"));
        }
        if let Some((algorithm, hash)) = &hash {
            let known = SAID_HASHES.iter().find(|(name, _)| name == algorithm);
            let Some((_, digits)) = known else {
                return Err(wrong("os_hash_algo is not one of sha1, sha256, sha512, md5"));
            };
            let problem = |problem: String| CatalogErrorKind::InvalidHash { problem };
            if hash.len() > 128 {
                return Err(wrong("os_hash_value is too long"));
            }
            if !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(problem(format!(
                    "os_hash_value ({hash}) is not a valid hexadecimal value"
                )));
            }
            if hash.len() != *digits {
                return Err(problem(format!(
                    "os_hash_value: ({hash}) is not the correct size for ({algorithm}) (should be ({}) bytes)",
                    digits / 2
                )));
            }
        }
        Ok(Self { url, hash })
    }
}

/// What stores have said of new locations.
#[derive(Default)]
pub(super) struct Found(BTreeMap<String, Option<(StoreId, u64)>>);

impl Found {
    pub(super) fn remember(&mut self, url: String, found: Option<(StoreId, u64)>) {
        self.0.insert(url, found);
    }

    fn of(&self, url: &str) -> Result<&(StoreId, u64), Stop> {
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
        let said = Validation::of(std::slice::from_ref(new))?.new_to(&draft.image, self.rules())?;
        let count = draft.image.locations.len();
        let at = match position {
            Position::End => count,
            // Python's lists take a place behind the end for the end.
            Position::At(at) => at.min(count),
            Position::Nowhere => return Err(CatalogErrorKind::LocationPosition { action: "adding" }.into()),
        };
        self.rules().check_locations(count.saturating_add(1))?;
        let (store, size) = found.of(&new.url)?;
        let location = new.at(store);
        if has(&draft.image.locations, &location) {
            return Err(CatalogErrorKind::DuplicateLocation.into());
        }
        draft.activate(*size, said)?;
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
        let old = &draft.image.locations;
        if !old.is_empty() {
            // The same places: only what is said of them changes.
            let sorted = |mut urls: Vec<String>| {
                urls.sort();
                urls
            };
            let urls = sorted(new.iter().map(|location| location.url.clone()).collect());
            if urls != sorted(old.iter().map(|location| location.url.clone()).collect()) {
                return Err(CatalogErrorKind::LocationsPresent.into());
            }
            let kept = new.iter().filter_map(|new| {
                let old = old.iter().find(|old| old.url == new.url)?;
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
            let (store, found) = found.of(&new.url)?;
            let location = new.at(store);
            if has(&locations, &location) {
                return Err(CatalogErrorKind::DuplicateLocation.into());
            }
            size.get_or_insert(*found);
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
    /// `NotFound`, `Denied`, `LocationsFixed`, `LocationForServices`, `BadLocation`; `Unavailable`, `Broken`.
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
        let mut stores = self.shared.stores.of_url(&data.url);
        if !is_service && !stores.any(|(_, store)| store.capabilities().kind == "http") {
            return Err(CatalogErrorKind::LocationForServices.into());
        }
        let found = self.look_up(&data.url, image.id).await;
        let (store, size) = found.ok_or(CatalogErrorKind::BadLocation)?;
        let location = Location {
            store: Some(store),
            url: data.url.clone(),
            metadata: BTreeMap::new(),
        };
        Ok((permission, image, location, size))
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

    /// The store that an address belongs to, with the length of what is there; nothing when there is nothing that the
    /// image may have. Asks the store.
    pub(super) async fn look_up(&self, url: &str, image: ImageId) -> Option<(StoreId, u64)> {
        let (scheme, _) = url.split_once("://")?;
        if RESTRICTED
            .iter()
            .any(|restricted| scheme.eq_ignore_ascii_case(restricted))
        {
            return None;
        }
        for (id, store) in self.shared.stores.of_url(url) {
            if store.capabilities().writable && !may_be_of(url, image) {
                continue;
            }
            match store.size(&Address::new(url)).await {
                Ok(size) if size > 0 => return Some((StoreId::new(id), size)),
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

fn has(locations: &[Location], location: &Location) -> bool {
    locations
        .iter()
        .any(|old| old.url == location.url && old.metadata == location.metadata)
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
