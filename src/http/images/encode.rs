//! An image, and a page of images, as JSON (Glance 33, `api/v2/images.py`, `ResponseSerializer`).

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use crate::{
    catalog::{ImageList, NameKind},
    http::{Settings, StoreNames, query::QueryPairs},
    image::{Image, ImageId, Location},
};

/// Glance's own properties that only its nodes look at.
const HIDDEN: [&str; 2] = ["os_glance_stage_host", "os_glance_hash_op_host"];

/// Where an image is, without host.
pub(super) fn href(id: ImageId) -> String {
    Href(id).to_string()
}

struct Href(ImageId);

impl fmt::Display for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/images/{}", self.0)
    }
}

struct FileHref(ImageId);

impl fmt::Display for FileHref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/images/{}/file", self.0)
    }
}

/// Text that is written to where it is going.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An image as its viewers see it: properties and attributes in one flat object.
pub(super) struct ImageView<'a> {
    image: &'a Image,
    settings: &'a Settings,
}

impl<'a> ImageView<'a> {
    pub(super) fn new(image: &'a Image, settings: &'a Settings) -> Self {
        Self { image, settings }
    }
}

impl Serialize for ImageView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { image, settings } = *self;
        let content = image.content.as_ref();
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &image.properties {
            // A property of an old database may have the name of an attribute, which wins.
            let is_shadowed = matches!(
                NameKind::of(name),
                NameKind::Base | NameKind::ReadOnly | NameKind::Locations
            );
            if !is_shadowed && !HIDDEN.contains(&name.as_str()) {
                map.serialize_entry(name, value)?;
            }
        }
        map.serialize_entry("name", &image.name)?;
        map.serialize_entry("disk_format", &image.disk_format)?;
        map.serialize_entry("container_format", &image.container_format)?;
        map.serialize_entry("visibility", image.visibility.as_str())?;
        map.serialize_entry("size", &image.size())?;
        map.serialize_entry("virtual_size", &content.and_then(|content| content.virtual_size))?;
        map.serialize_entry("status", image.status.as_str())?;
        map.serialize_entry("checksum", &content.and_then(|content| content.checksum.as_ref()))?;
        map.serialize_entry("protected", &image.protected)?;
        map.serialize_entry("min_ram", &image.min_ram)?;
        map.serialize_entry("min_disk", &image.min_disk)?;
        map.serialize_entry("owner", &image.owner)?;
        map.serialize_entry("os_hidden", &image.hidden)?;
        map.serialize_entry(
            "os_hash_algo",
            &content.and_then(|content| content.hash_algorithm.as_ref()),
        )?;
        map.serialize_entry(
            "os_hash_value",
            &content.and_then(|content| content.hash_value.as_ref()),
        )?;
        map.serialize_entry("id", &Shown(image.id))?;
        map.serialize_entry("created_at", &Shown(image.created_at))?;
        map.serialize_entry("updated_at", &Shown(image.updated_at))?;
        if settings.show_locations {
            map.serialize_entry("locations", &LocationsView::new(&image.locations, settings))?;
        }
        if settings.show_direct_url
            && let Some(best) = settings.best_first(&image.locations).first()
        {
            map.serialize_entry("direct_url", &best.shown_url())?;
        }
        map.serialize_entry("tags", &image.tags)?;
        map.serialize_entry("self", &Shown(Href(image.id)))?;
        map.serialize_entry("file", &Shown(FileHref(image.id)))?;
        map.serialize_entry("schema", "/v2/schemas/image")?;
        if let StoreNames::Shown(_) = settings.stores {
            let stores: Vec<&str> = settings
                .best_first(&image.locations)
                .into_iter()
                .filter_map(|location| Some(location.store.as_ref()?.as_str()))
                .collect();
            if !stores.is_empty() {
                map.serialize_entry("stores", &stores.join(","))?;
            }
        }
        map.end()
    }
}

/// Locations as clients see them.
pub(in crate::http) struct LocationsView<'a> {
    locations: &'a [Location],
    settings: &'a Settings,
}

impl<'a> LocationsView<'a> {
    pub(in crate::http) fn new(locations: &'a [Location], settings: &'a Settings) -> Self {
        Self { locations, settings }
    }
}

impl Serialize for LocationsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let are_named = self.settings.stores != StoreNames::Hidden;
        let mut list = serializer.serialize_seq(Some(self.locations.len()))?;
        for location in self.locations {
            let mut metadata = location.metadata.clone();
            if let Some(store) = location.store.as_ref().filter(|_| are_named) {
                metadata.insert("store".to_owned(), store.as_str().to_owned());
            }
            list.serialize_element(
                &serde_json::json!({ "url": location.shown_url(), "metadata": metadata }),
            )?;
        }
        list.end()
    }
}

/// A page of images with the links to the first page and, where there may be one, the next.
pub(super) struct ListView<'a> {
    list: &'a ImageList,
    query: &'a QueryPairs,
    settings: &'a Settings,
}

impl<'a> ListView<'a> {
    pub(super) fn new(list: &'a ImageList, query: &'a QueryPairs, settings: &'a Settings) -> Self {
        Self {
            list,
            query,
            settings,
        }
    }
}

/// The images of a page.
struct ImageViews<'a>(&'a ListView<'a>);

impl Serialize for ImageViews<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(ListView { list, settings, .. }) = self;
        serializer.collect_seq(list.images.iter().map(|image| ImageView::new(image, settings)))
    }
}

impl Serialize for ListView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("images", &ImageViews(self))?;
        map.serialize_entry("first", &self.query.link(super::LIST, "marker", None))?;
        map.serialize_entry("schema", "/v2/schemas/images")?;
        if let Some(next) = self.list.next {
            let marker = next.to_string();
            let link = self.query.link(super::LIST, "marker", Some(("marker", &marker)));
            map.serialize_entry("next", &link)?;
        }
        map.end()
    }
}
