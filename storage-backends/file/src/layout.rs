//! Names: of blobs, attempts, locations and handles. Pure.

use std::path::{Component, Path, PathBuf};

use saccade_store_contract::{Attempt, BlobName, Error, ErrorKind, Handle, Location, Operation};
use uuid::Uuid;

use crate::errors::refused;

/// What the names of attempts begin with, and no blob's.
pub(crate) const RESERVED: &str = ".saccade.";

/// Version of the handle's form.
const HANDLE_FORM: &str = "file:1";

/// The directory and how names in it are made.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// As configured, without a slash at the end; for locations, which must read as glance_store's do.
    text: String,
    directory: PathBuf,
}

/// The names of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptNames {
    pub(crate) blob: BlobName,
    pub(crate) attempt: Attempt,
    /// Where it writes.
    pub(crate) temporary: PathBuf,
    /// Where it publishes.
    pub(crate) published: PathBuf,
}

impl Layout {
    /// The layout of a directory, or why a location could not name it.
    ///
    /// glance_store does not escape paths and parses locations as URLs: what stands after `?` or `#` is lost, and so are
    /// blanks at both ends.
    pub(crate) fn new(directory: &Path) -> Result<Self, &'static str> {
        let text = directory.to_str().ok_or("it is not valid UTF-8")?;
        if !text.starts_with('/') {
            return Err("it is not an absolute path");
        }
        if text.contains(['?', '#', '\0', '\n', '\r', '\t']) {
            return Err("it contains '?', '#' or a control character, which no location can name");
        }
        if text.trim() != text {
            return Err("it ends in a blank, which no location can name");
        }
        if !is_plain(directory) {
            return Err("it contains '..'");
        }
        Ok(Self {
            text: text.trim_end_matches('/').to_owned(),
            directory: directory.components().collect(),
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn attempt(&self, blob: BlobName, attempt: Attempt) -> AttemptNames {
        AttemptNames {
            blob,
            attempt,
            temporary: self.directory.join(format!("{RESERVED}{blob}.{attempt}")),
            published: self.directory.join(blob.to_string()),
        }
    }

    pub(crate) fn location(&self, blob: BlobName) -> Location {
        Location::new(format!("file://{}/{blob}", self.text))
    }

    /// The file that a location names: directly in this directory, or the location is not this store's.
    pub(crate) fn resolve(&self, location: &Location, operation: Operation) -> Result<PathBuf, Error> {
        let invalid = |reason| {
            // A file location carries no credentials, but what is no file location may.
            refused(ErrorKind::Invalid, operation, "a location", reason)
        };
        let uri = location.as_str();
        let path = uri
            .strip_prefix("file://")
            .or_else(|| uri.strip_prefix("filesystem://"))
            .ok_or_else(|| invalid("it does not begin with file:// or filesystem://"))?;
        if path.contains(['?', '#', '\0']) || path.ends_with('/') || !path.starts_with('/') {
            return Err(invalid("it does not name an absolute path"));
        }
        let path = Path::new(path);
        let name = path.file_name().and_then(|name| name.to_str());
        let here = is_plain(path) && path.parent().is_some_and(|parent| parent == self.directory);
        // `Path` passes over a last `.`, which in a location would be a second spelling of it.
        let spelled = |name: &str| uri.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'));
        match name {
            Some(name) if here && spelled(name) && !name.starts_with(RESERVED) => {
                Ok(self.directory.join(name))
            }
            _ => Err(invalid("it does not name a blob in this store's directory")),
        }
    }

    /// A location in the form of those that this store makes, if it names a blob here.
    pub(crate) fn canonical(&self, location: &Location) -> Option<Location> {
        let path = self.resolve(location, Operation::Size).ok()?;
        let name = path.file_name()?.to_str()?;
        Some(Location::new(format!("file://{}/{name}", self.text)))
    }

    pub(crate) fn parse_handle(&self, handle: &Handle, operation: Operation) -> Result<AttemptNames, Error> {
        let parts = || {
            let rest = handle.as_str().strip_prefix(HANDLE_FORM)?.strip_prefix(':')?;
            let (blob, attempt) = rest.split_once(':')?;
            Some((BlobName(hyphenated(blob)?), Attempt(hyphenated(attempt)?)))
        };
        match parts() {
            Some((blob, attempt)) => Ok(self.attempt(blob, attempt)),
            None => Err(refused(
                ErrorKind::Invalid,
                operation,
                "a handle",
                "it was not made by a file store",
            )),
        }
    }
}

impl AttemptNames {
    /// The text for the ledger.
    pub(crate) fn handle(&self, operation: Operation) -> Result<Handle, Error> {
        Handle::new(format!("{HANDLE_FORM}:{}:{}", self.blob, self.attempt)).map_err(|error| {
            Error::new(ErrorKind::Invalid, operation, self.blob.to_string()).caused_by(error)
        })
    }
}

/// Only the one form that handles are made in, so that one attempt has one handle.
fn hyphenated(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(id)
}

/// Whether a path leads where it says, without `..`.
fn is_plain(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "3f1a0a5e-9d0e-4c6d-8f4b-0d4b6a2e7c11";

    fn layout(directory: &str) -> Layout {
        Layout::new(Path::new(directory)).unwrap()
    }

    fn resolve(uri: &str) -> Result<PathBuf, ErrorKind> {
        layout("/var/lib/glance/images")
            .resolve(&Location::new(uri), Operation::Read)
            .map_err(|error| error.kind())
    }

    #[test]
    fn locations_read_as_those_of_glance_store() {
        let name = BlobName(ID.parse().unwrap());
        let expected = format!("file:///var/lib/glance/images/{ID}");
        for directory in ["/var/lib/glance/images", "/var/lib/glance/images/"] {
            assert_eq!(layout(directory).location(name).as_str(), expected);
        }
        assert_eq!(layout("/").location(name).as_str(), format!("file:///{ID}"));
        assert_eq!(
            layout("/srv/my images%20").location(name).as_str(),
            format!("file:///srv/my images%20/{ID}")
        );
    }

    #[test]
    fn both_schemes_of_glance_store_are_read() {
        let expected = PathBuf::from(format!("/var/lib/glance/images/{ID}"));
        for scheme in ["file", "filesystem"] {
            assert_eq!(
                resolve(&format!("{scheme}:///var/lib/glance/images/{ID}")),
                Ok(expected.clone())
            );
        }
        // A data directory that was once configured with a slash too many.
        assert_eq!(
            resolve(&format!("file:///var/lib/glance//images/{ID}")),
            Ok(expected)
        );
    }

    #[test]
    fn locations_that_lead_elsewhere_are_refused() {
        for uri in [
            "",
            "file://",
            "file:///",
            "file:///etc/passwd",
            "file:///var/lib/glance/images",
            "file:///var/lib/glance/images/",
            "file:///var/lib/glance/images/..",
            "file:///var/lib/glance/images/../images/x",
            "file:///var/lib/glance/images/../../../../etc/passwd",
            "file:///var/lib/glance/images/a/b",
            "file:///var/lib/glance/images/a/",
            "file:///var/lib/glance/images/a/.",
            "file:///var/lib/glance/images/a?b",
            "file:///var/lib/glance/images/a#b",
            "file:///var/lib/glance/images/a\0b",
            "file://var/lib/glance/images/a",
            "file://localhost/var/lib/glance/images/a",
            "file:/var/lib/glance/images/a",
            "FILE:///var/lib/glance/images/a",
            "http:///var/lib/glance/images/a",
            "/var/lib/glance/images/a",
            "file:///var/lib/glance/images/.saccade.x.y",
        ] {
            assert_eq!(resolve(uri), Err(ErrorKind::Invalid), "{uri:?}");
        }
    }

    #[test]
    fn directories_that_no_location_can_name_are_refused() {
        for directory in ["images", "", "/a/../b", "/a?b", "/a#b", "/a ", "/a\nb"] {
            assert!(Layout::new(Path::new(directory)).is_err(), "{directory:?}");
        }
    }

    #[test]
    fn handles_come_back_and_others_are_refused() {
        let layout = layout("/d");
        let names = layout.attempt(BlobName(Uuid::new_v4()), Attempt(Uuid::new_v4()));
        let handle = names.handle(Operation::Create).unwrap();
        let again = layout.parse_handle(&handle, Operation::Discard).unwrap();
        assert_eq!(again.temporary, names.temporary);
        assert_eq!(again.published, names.published);
        for text in [
            "".to_owned(),
            format!("file:2:{ID}:{ID}"),
            format!("1:{ID}:{ID}"),
            format!("file:1:{ID}"),
            format!("file:1:{ID}:{ID}:{ID}"),
            format!("file:1:{}:{ID}", ID.to_uppercase()),
            format!("file:1:{ID}:../x"),
        ] {
            let handle = Handle::new(&*text).unwrap();
            let error = layout.parse_handle(&handle, Operation::Discard).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_resolves_is_directly_in_the_directory(uri in "(file|filesystem):///d/[./a%s]{0,12}") {
            if let Ok(path) = layout("/d").resolve(&Location::new(uri), Operation::Read) {
                prop_assert_eq!(path.parent(), Some(Path::new("/d")));
                prop_assert_ne!(path.file_name().and_then(|name| name.to_str()), Some(".."));
            }
        }
    }
}
