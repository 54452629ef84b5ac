//! A door for `fuzz/`: what locations, handles, manifests and files of references name.

use std::sync::LazyLock;

use saccade_store_contract::{Attempt, BlobName, Handle, Location, Operation};
use url::Url;
use uuid::Uuid;

use crate::{
    config::{Secret, SwiftStoreConfig},
    location::{AttemptNames, Names, Standing, url},
    references,
};

/// The key of the one account that there is, at `https://keystone/v3`, of `service:glance`.
pub const KEY: &str = "sesame";

/// What the URLs of objects begin with here.
pub const STORAGE: &str = "http://swift/v1/AUTH_a/";

fn names() -> Option<&'static Names> {
    static NAMES: LazyLock<Option<Names>> = LazyLock::new(|| {
        let mut config = SwiftStoreConfig::new("fuzz");
        config.swift_store_auth_address = Some("https://keystone/v3".to_owned());
        config.swift_store_user = Some("service:glance".to_owned());
        config.swift_store_key = Some(Secret::new(KEY));
        let accounts = references::load(&config).ok()?;
        Names::new(&config, accounts).ok()
    });
    NAMES.as_ref()
}

/// The URL of the object that a location names, and whether a client may name it; `None` when it is not the store's.
pub fn resolve(location: &str) -> Option<(Url, bool)> {
    let (place, standing) = names()?.resolve(&Location::new(location), Operation::Read).ok()?;
    let storage = Url::parse(STORAGE).ok()?;
    let url = url(&storage, &place.container, Some(&place.object), &[]);
    Some((url, standing == Standing::KnowsTheKey))
}

/// The handle of the attempt that a handle names; `None` when it is not the store's.
pub fn handle(text: &str) -> Option<String> {
    let names = names()?;
    let handle = Handle::new(text).ok()?;
    let attempt = names.parse_handle(&handle, Operation::Discard).ok()?;
    Some(names.handle(&attempt).ok()?.as_str().to_owned())
}

/// What the names of the segments begin with that go with a blob whose manifest this is.
pub fn segments(blob: Uuid, manifest: &str) -> Option<String> {
    let place = names()?.place(BlobName(blob));
    Some(place.segments_of(manifest)?.1)
}

/// The manifest that an attempt writes, and what the names of its segments begin with.
pub fn manifest(blob: Uuid, attempt: Uuid) -> Option<(String, String)> {
    let place = names()?.place(BlobName(blob));
    let names = AttemptNames::new(place, BlobName(blob), Attempt(attempt));
    Some((names.manifest(), names.prefix))
}

/// How many sections a file of references has.
pub fn references(text: &str) -> usize {
    references::sections(text).len()
}
