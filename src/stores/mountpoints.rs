//! `filesystem_store_metadata_file`: where the directories of a file store are for others, who mount them too. Locations
//! carry it as metadata, so that Nova may read files itself (glance_store, `filesystem.py`, `_get_metadata`).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use saccade_store_contract::Location;
use serde::Deserialize;
use tracing::warn;

/// A file that is longer is another one.
const LONGEST: u64 = 1 << 20;

/// What is known of some directories. The first that a file is in decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mountpoints(Vec<BTreeMap<String, String>>);

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MountpointsError {
    #[error("filesystem_store_metadata_file: {} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "filesystem_store_metadata_file: {} is not a JSON object, or a list of such, with the texts `id` and `mountpoint`",
        path.display()
    )]
    Form {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("filesystem_store_metadata_file: {} has an entry without {name}", path.display())]
    Missing { path: PathBuf, name: &'static str },
}

/// One object stands for a list of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    One(BTreeMap<String, String>),
    Several(Vec<BTreeMap<String, String>>),
}

impl Mountpoints {
    /// Reads the file; at most a MiB. Blocks.
    pub(super) fn read(path: &Path) -> Result<Self, MountpointsError> {
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST).read_to_end(&mut text))
            .map_err(|source| MountpointsError::Read {
                path: path.to_owned(),
                source,
            })?;
        let form = serde_json::from_slice(&text).map_err(|source| MountpointsError::Form {
            path: path.to_owned(),
            source,
        })?;
        let list = match form {
            Form::One(one) => vec![one],
            Form::Several(several) => several,
        };
        for entry in &list {
            if let Some(name) = ["id", "mountpoint"]
                .into_iter()
                .find(|name| !entry.contains_key(*name))
            {
                let path = path.to_owned();
                return Err(MountpointsError::Missing { path, name });
            }
        }
        Ok(Self(list))
    }

    /// What the location of a file carries.
    pub(super) fn of(&self, store: &str, location: &Location) -> BTreeMap<String, String> {
        let path = Path::new(location.as_str().split_once("://").map_or("", |(_, path)| path));
        let is_there = |entry: &&BTreeMap<String, String>| {
            entry
                .get("mountpoint")
                .is_some_and(|mountpoint| path.starts_with(mountpoint))
        };
        match self.0.iter().find(is_there) {
            Some(entry) => entry.clone(),
            None => {
                warn!(
                    store,
                    path = %path.display(),
                    "filesystem_store_metadata_file names no mount point that the image is under"
                );
                BTreeMap::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Mountpoints, MountpointsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Mountpoints::read(file.path())
    }

    fn id(mountpoints: &Mountpoints, url: &str) -> Option<String> {
        mountpoints.of("s", &Location::new(url)).get("id").cloned()
    }

    #[test]
    fn a_location_carries_the_mount_point_that_it_is_under() {
        let text = r#"[{"id": "a", "mountpoint": "/srv/a"}, {"id": "b", "mountpoint": "/srv", "more": "x"}]"#;
        let mountpoints = read(text).unwrap();
        assert_eq!(id(&mountpoints, "file:///srv/a/1").as_deref(), Some("a"));
        assert_eq!(id(&mountpoints, "file:///srv/ab/1").as_deref(), Some("b"));
        assert_eq!(id(&mountpoints, "file:///other/1"), None);
        assert_eq!(mountpoints.of("s", &Location::new("file:///srv/x"))["more"], "x");
    }

    #[test]
    fn one_object_is_a_list_of_one() {
        let mountpoints = read(r#"{"id": "a", "mountpoint": "/srv"}"#).unwrap();
        assert_eq!(id(&mountpoints, "file:///srv/1").as_deref(), Some("a"));
    }

    #[test]
    fn a_file_that_says_too_little_is_refused() {
        for (text, part) in [
            ("", "is not a JSON object"),
            ("[1]", "is not a JSON object"),
            (r#"{"id": 5, "mountpoint": "/srv"}"#, "is not a JSON object"),
            (r#"{"id": "a"}"#, "without mountpoint"),
            (r#"[{"mountpoint": "/srv"}]"#, "without id"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let missing = Mountpoints::read(Path::new("/nonexistent/m.json")).unwrap_err();
        assert!(missing.to_string().contains("cannot be read"));
    }
}
