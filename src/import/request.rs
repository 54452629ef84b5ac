//! What a client asks for: the body of an import (Glance 33, `api/v2/images.py`, `_validate_import_body` and
//! `common/utils.py`, `get_stores_from_request`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{ImportError, Method};
use crate::{catalog::without_secrets, image::Image};

/// Names of stores that a task shows of a request that repeats some.
const MAX_SHOWN: usize = 16;

/// The longest name of a region or an interface, in bytes. Keystone keeps at most 255 characters.
const MAX_NAME: usize = 1024;

/// An import as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportRequest {
    method: Method,
    pub(super) uri: Option<String>,
    /// `glance_region`, `glance_image_id`, `glance_service_interface`, which are looked at only when the image's state allows
    /// the import.
    original: [Option<Value>; 3],
    pub(super) all_stores: bool,
    pub(super) all_stores_must_succeed: bool,
    says_all_stores: bool,
    says_must_succeed: bool,
    pub(super) stores: Option<Vec<String>>,
}

/// A store as imports know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedStore {
    /// Its id.
    pub id: String,
    /// Whether it takes data.
    pub writable: bool,
}

/// An image in another region of the same cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OriginalImage {
    pub(super) region: String,
    /// Its id there: a UUID with hyphens, in the case that it was written in.
    pub(super) id: String,
    pub(super) interface: String,
}

impl ImportRequest {
    /// How.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Reads a body; only the methods that are offered are methods.
    ///
    /// # Errors
    /// `Invalid` with the reason.
    pub fn parse(body: Value, offered: &[Method]) -> Result<Self, ImportError> {
        let method = body
            .get("method")
            .ok_or_else(|| invalid("Import request requires a 'method' field."))?;
        let name = method
            .get("name")
            .ok_or_else(|| invalid("Import request requires a 'name' field."))?;
        let shown = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        let method_of = |name: &str| offered.iter().find(|method| method.as_str() == name).copied();
        let wanted =
            method_of(&shown).ok_or_else(|| invalid(format!("Unknown import method name '{shown}'.")))?;
        let flag = |name: &str, default| match body.get(name) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(invalid(format!("'{name}' must be boolean value only"))),
        };
        let all_stores_must_succeed = flag("all_stores_must_succeed", true)?;
        let all_stores = flag("all_stores", false)?;
        let stores = body.get("stores").map(store_names).transpose()?;
        let uri = match method.get("uri") {
            None | Some(Value::Null) => None,
            Some(Value::String(uri)) => Some(uri.clone()),
            Some(other) => Some(other.to_string()),
        };
        let original = ORIGINAL.map(|name| method.get(name).cloned());
        Ok(Self {
            method: wanted,
            uri,
            original,
            all_stores,
            all_stores_must_succeed,
            says_all_stores: body.get("all_stores").is_some(),
            says_must_succeed: body.get("all_stores_must_succeed").is_some(),
            stores,
        })
    }

    /// The image of another region that is meant (Glance 33, `import_image`).
    ///
    /// # Errors
    /// `Invalid` with the reason.
    pub(super) fn original_image(&self) -> Result<OriginalImage, ImportError> {
        let [region, id, interface] = &self.original;
        let needed = |name: &str| {
            invalid(format!(
                "'{name}' needs to be set for glance-download import method"
            ))
        };
        let region = region.as_ref().ok_or_else(|| needed("glance_region"))?;
        let id = id.as_ref().ok_or_else(|| needed("glance_image_id"))?;
        let shown = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let uuid = Uuid::try_parse(&shown)
            .map_err(|_| invalid(format!("Remote image id does not look like a UUID: {shown}")))?;
        let hyphenated = uuid.hyphenated().to_string();
        Ok(OriginalImage {
            region: name("glance_region", region)?,
            // Ids in capitals are others than those in small letters.
            id: match shown.eq_ignore_ascii_case(&hyphenated) {
                true => shown,
                false => hyphenated,
            },
            interface: match interface {
                Some(interface) => name("glance_service_interface", interface)?,
                None => "public".to_owned(),
            },
        })
    }

    /// The request as its task shows it: what is known of it, in bounded length, and without what could be a secret.
    pub(super) fn shown(&self) -> Value {
        let mut method = Map::from_iter([("name".to_owned(), self.method.as_str().into())]);
        if let Some(uri) = &self.uri {
            method.insert("uri".to_owned(), without_secrets(uri).into());
        }
        if self.method == Method::GlanceDownload
            && let Ok(original) = self.original_image()
        {
            let OriginalImage {
                region,
                id,
                interface,
            } = original;
            let shown = ORIGINAL.into_iter().zip([region, id, interface]);
            method.extend(shown.map(|(name, value)| (name.to_owned(), value.into())));
        }
        let stores = self.stores.as_ref().map(|stores| {
            let known: BTreeSet<&String> = stores.iter().collect();
            let kept = stores.iter().take(known.len().max(MAX_SHOWN));
            kept.cloned().collect()
        });
        self.with(method, stores)
    }

    /// The request as it is made once more: of what was staged, where it waits.
    pub(super) fn of_staged(&self) -> Value {
        let method = Map::from_iter([("name".to_owned(), self.method.as_str().into())]);
        let stores = self
            .stores
            .as_ref()
            .map(|stores| stores.iter().cloned().collect());
        self.with(method, stores)
    }

    fn with(&self, method: Map<String, Value>, stores: Option<Value>) -> Value {
        let mut shown = Map::from_iter([("method".to_owned(), method.into())]);
        if let Some(stores) = stores {
            shown.insert("stores".to_owned(), stores);
        }
        for (name, value, is_said) in [
            ("all_stores", self.all_stores, self.says_all_stores),
            (
                "all_stores_must_succeed",
                self.all_stores_must_succeed,
                self.says_must_succeed,
            ),
        ] {
            if is_said {
                shown.insert(name.to_owned(), value.into());
            }
        }
        shown.into()
    }

    /// The stores that are meant, where stores have names; `header` is `X-Image-Meta-Store`. None is the default one.
    ///
    /// # Errors
    /// `Invalid` for names given twice over and for stores that take no data, `Conflict` for one that is not there.
    pub(super) fn stores(
        &self,
        header: Option<&str>,
        default: &str,
        named: &[NamedStore],
    ) -> Result<Vec<String>, ImportError> {
        if self.all_stores {
            if self.stores.is_some() || header.is_some() {
                return Err(invalid(
                    "All_stores parameter can't be used with x-image-meta-store header or stores parameter",
                ));
            }
            let writable = named.iter().filter(|store| store.writable);
            return Ok(writable.map(|store| store.id.clone()).collect());
        }
        let wanted = match (&self.stores, header) {
            (Some(_), Some(_)) => {
                return Err(invalid(
                    "Stores parameter and x-image-meta-store header can't be both specified",
                ));
            }
            (Some(stores), None) if stores.is_empty() => return Err(invalid("'stores' names no store")),
            (Some(stores), None) => stores.clone(),
            (None, header) => vec![header.unwrap_or(default).to_owned()],
        };
        let mut stores: Vec<String> = Vec::new();
        for wanted in wanted {
            match named.iter().find(|store| store.id == wanted) {
                None => {
                    return Err(ImportError::Conflict(format!(
                        "Unknown store {wanted:?}: nothing was imported"
                    )));
                }
                Some(store) if !store.writable => {
                    return Err(invalid(format!(
                        "The store {wanted:?} is read only: name another"
                    )));
                }
                Some(_) if stores.contains(&wanted) => {}
                Some(_) => stores.push(wanted),
            }
        }
        Ok(stores)
    }
}

impl ImportRequest {
    /// Leaves out the stores that the image is in already, where all stores are meant.
    ///
    /// # Errors
    /// `Invalid` for one that was named; so it is with all where stores have no names.
    pub(super) fn leave_out_present(
        &self,
        image: &Image,
        stores: &mut Vec<String>,
    ) -> Result<(), ImportError> {
        if stores.is_empty() {
            return Err(invalid(
                "an image can be copied where there are several stores: this service has one ('enabled_backends')",
            ));
        }
        let is_in = |store: &String| {
            let mut there = image
                .locations
                .iter()
                .filter_map(|location| location.store.as_ref());
            there.any(|there| there.as_str() == store)
        };
        match stores.iter().find(|store| is_in(store)) {
            Some(present) if !self.all_stores => {
                Err(invalid(format!("Image is already present at store '{present}'")))
            }
            _ => {
                stores.retain(|store| !is_in(store));
                Ok(())
            }
        }
    }
}

/// The names of what says where an image is.
const ORIGINAL: [&str; 3] = ["glance_region", "glance_image_id", "glance_service_interface"];

fn name(option: &str, value: &Value) -> Result<String, ImportError> {
    let name = value.as_str().filter(|name| name.len() <= MAX_NAME);
    let name = name.ok_or_else(|| invalid(format!("'{option}' must be a name")));
    name.map(str::to_owned)
}

fn store_names(value: &Value) -> Result<Vec<String>, ImportError> {
    let names = value
        .as_array()
        .map(|names| names.iter().map(|name| name.as_str().map(str::to_owned)));
    let names = names.and_then(|names| names.collect::<Option<Vec<_>>>());
    names.ok_or_else(|| invalid("'stores' must be a list of names of stores"))
}

fn invalid(reason: impl Into<String>) -> ImportError {
    ImportError::Invalid(reason.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<ImportRequest, String> {
        let offered = [Method::GlanceDirect, Method::WebDownload];
        ImportRequest::parse(body, &offered).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_in_order() {
        for (body, reason) in [
            (json!({}), "requires a 'method'"),
            (json!([]), "requires a 'method'"),
            (json!({"method": {}}), "requires a 'name'"),
            (json!({"method": "x"}), "requires a 'name'"),
            (
                json!({"method": {"name": "copy-image"}}),
                "Unknown import method name 'copy-image'.",
            ),
            (json!({"method": {"name": 1}}), "Unknown import method name '1'."),
            (
                json!({"method": {"name": "glance-direct"}, "all_stores_must_succeed": "yes"}),
                "'all_stores_must_succeed' must be boolean value only",
            ),
            (
                json!({"method": {"name": "glance-direct"}, "all_stores": 1}),
                "'all_stores' must be boolean value only",
            ),
            (
                json!({"method": {"name": "glance-direct"}, "stores": "a"}),
                "must be a list",
            ),
        ] {
            let error = parse(body.clone()).unwrap_err();
            assert!(error.contains(reason), "{body}: {error}");
        }
    }

    #[test]
    fn the_image_of_another_region_is_named_as_in_glance() {
        let ask = |method: Value| {
            let mut body = json!({"method": {"name": "glance-download"}});
            let fields = method.as_object().unwrap().clone();
            body["method"].as_object_mut().unwrap().extend(fields);
            let request = ImportRequest::parse(body, &[Method::GlanceDownload]).unwrap();
            request.original_image().map_err(|error| error.to_string())
        };
        let id = "0C0A9A0B-3a3c-4a5e-8f5b-1b2a3c4d5e6f";
        for (method, reason) in [
            (
                json!({}),
                "'glance_region' needs to be set for glance-download import method",
            ),
            (
                json!({"glance_region": "R"}),
                "'glance_image_id' needs to be set for glance-download import method",
            ),
            (
                json!({"glance_region": "R", "glance_image_id": "x/../y"}),
                "Remote image id does not look like a UUID: x/../y",
            ),
            (
                json!({"glance_region": "R", "glance_image_id": 7}),
                "Remote image id does not look like a UUID: 7",
            ),
            (
                json!({"glance_region": 1, "glance_image_id": id}),
                "'glance_region' must be a name",
            ),
            (
                json!({"glance_region": "R", "glance_image_id": id, "glance_service_interface": null}),
                "'glance_service_interface' must be a name",
            ),
        ] {
            assert_eq!(ask(method.clone()), Err(reason.to_owned()), "{method}");
        }
        let asked = ask(json!({"glance_region": "R", "glance_image_id": id})).unwrap();
        assert_eq!(
            (&*asked.region, &*asked.id, &*asked.interface),
            ("R", id, "public")
        );
        let bare = id.replace('-', "");
        let asked =
            ask(json!({"glance_region": "R", "glance_image_id": bare, "glance_service_interface": "admin"}));
        assert_eq!(asked.as_ref().unwrap().id, id.to_lowercase());
        assert_eq!(asked.unwrap().interface, "admin");
    }

    #[test]
    fn stores_are_named_once_and_have_to_be_there() {
        let named = |id: &str, writable| NamedStore {
            id: id.to_owned(),
            writable,
        };
        let named = [named("a", true), named("b", true), named("web", false)];
        let ask = |mut body: Value, header| {
            body["method"] = json!({"name": "glance-direct"});
            parse(body)
                .unwrap()
                .stores(header, "a", &named)
                .map_err(|error| error.to_string())
        };
        assert_eq!(ask(json!({}), None).unwrap(), ["a"]);
        assert_eq!(ask(json!({}), Some("b")).unwrap(), ["b"]);
        assert_eq!(ask(json!({"stores": ["b", "a", "b"]}), None).unwrap(), ["b", "a"]);
        assert_eq!(ask(json!({"all_stores": true}), None).unwrap(), ["a", "b"]);
        assert!(ask(json!({"all_stores": true}), Some("a")).is_err());
        assert!(ask(json!({"all_stores": true, "stores": ["a"]}), None).is_err());
        assert!(ask(json!({"stores": ["a"]}), Some("a")).is_err());
        assert!(ask(json!({"stores": []}), None).is_err());
        assert!(
            ask(json!({"stores": ["c"]}), None)
                .unwrap_err()
                .contains("Unknown store")
        );
        assert!(
            ask(json!({"stores": ["web"]}), None)
                .unwrap_err()
                .contains("read only")
        );
    }
}
