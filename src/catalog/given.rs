//! What clients say of data that is there already: its address, and its hashes (Glance 33, `api/v2/images.py`,
//! `_validate_validation_data` and the schemas of locations).

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value, json};

use super::{CatalogErrorKind, Rules};
use crate::image::{Content, Image, Location, Status, StoreId};

/// The longest URL, in characters; Glance's schema.
const MAX_URL: usize = 255;

/// A location that a client wants an image to have. `Debug` shows no URL: it may carry credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct NewLocation {
    pub(super) url: String,
    pub(super) metadata: BTreeMap<String, String>,
    validation: Option<Validation>,
}

/// What a client says of the data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Validation {
    pub(super) checksum: Option<String>,
    pub(super) hash_algorithm: Option<String>,
    pub(super) hash_value: Option<String>,
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

    pub(super) fn at(&self, store: &StoreId, url: &str) -> Location {
        Location {
            store: Some(store.clone()),
            url: url.to_owned(),
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

/// An address without credentials, wherever they may end, and without its query, which may be a signature.
pub fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return String::new();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    format!("{scheme}://{rest}")
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
    pub(super) fn of(locations: &[NewLocation]) -> Result<Self, CatalogErrorKind> {
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
    pub(super) fn new_to(self, image: &Image, rules: &Rules) -> Result<Self, CatalogErrorKind> {
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
    pub(super) url: String,
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
    /// The request as a task shows it: without whatever in the address could be a secret.
    pub fn shown(&self, id: &str) -> Value {
        let mut validation = Map::new();
        if let Some((algorithm, hash)) = &self.hash {
            validation.insert("os_hash_algo".to_owned(), algorithm.as_str().into());
            validation.insert("os_hash_value".to_owned(), hash.as_str().into());
        }
        json!({"image_id": id, "loc_url": without_secrets(&self.url), "validation_data": validation})
    }

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
        if url.chars().count() > MAX_URL {
            return Err(wrong("url is longer than 255 characters"));
        }
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
