//! `filesystem_*`: files in one or more directories.

use super::super::{
    error::{ErrorKind, OptionName, Warning},
    reader::Reader,
    settings::{DataDirectory, FileEngine, FileStore, FileWriteMode, Store, StoreDriver},
    value::{self, Rejected},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The option that a clash of two stores is reported at.
pub(super) const PLACE: &str = DIRECTORY;
const DIRECTORY: &str = "filesystem_store_datadir";
const DIRECTORIES: &str = "filesystem_store_datadirs";

/// The store of a section.
pub(super) fn read(reader: &mut Reader<'_>, section: &str, fallback: &Path) -> FileStore {
    FileStore {
        datadirs: directories(reader, section, fallback),
        metadata_file: reader
            .optional(section, "filesystem_store_metadata_file", |text| {
                Ok(text.to_owned())
            })
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
        file_mode: reader.or(section, "filesystem_store_file_perm", None, value::file_mode),
        thin_provisioning: reader.or(section, "filesystem_thin_provisioning", false, value::boolean),
        write_mode: FileWriteMode::default(),
    }
}

const SACCADE: &str = "saccade";
const WRITE_MODE: &str = "file_write_mode";

/// `[saccade] file_engine`.
pub(super) fn engine(reader: &mut Reader<'_>) -> FileEngine {
    let built_without = |feature: &str| {
        let accepted = format!("another: this program was built without the cargo feature {feature}");
        Err(Rejected::accepts(accepted))
    };
    reader.or(SACCADE, "file_engine", FileEngine::default(), |text| match text {
        "pwrite" => Ok(FileEngine::Pwrite),
        "tokio-uring" if cfg!(feature = "tokio-uring") => Ok(FileEngine::TokioUring),
        "glommio" if cfg!(feature = "glommio") => Ok(FileEngine::Glommio),
        feature @ ("tokio-uring" | "glommio") => built_without(feature),
        _ => Err(Rejected::accepts("pwrite, tokio-uring or glommio")),
    })
}

/// `[saccade] file_write_mode`: one for all stores, others for some of them. Here and not in their sections, which are Glance's.
pub(super) fn write_modes(reader: &mut Reader<'_>, stores: &mut [Store]) {
    let Some((all, mut of)) = reader.optional(SACCADE, WRITE_MODE, modes) else {
        return;
    };
    for store in stores {
        if let StoreDriver::File(file) = &mut store.driver {
            file.write_mode = of.remove(&store.id).unwrap_or(all);
        }
    }
    if let Some(id) = of.into_keys().next() {
        let message = format!("names {id}, which is no store of files");
        reader.refuse(ErrorKind::Value, SACCADE, WRITE_MODE, message);
    }
}

fn modes(text: &str) -> Result<(FileWriteMode, BTreeMap<String, FileWriteMode>), Rejected> {
    let mode = |text: &str| {
        Some(match text.trim() {
            "auto" => FileWriteMode::Auto,
            "buffered" => FileWriteMode::Buffered,
            "dontcache" => FileWriteMode::DontCache,
            "direct" => FileWriteMode::Direct,
            _ => return None,
        })
    };
    let rejected = || {
        Rejected::accepts(
            "auto, buffered, dontcache or direct, and such for single stores, as in auto, slow:buffered",
        )
    };
    let (mut all, mut of) = (None, BTreeMap::new());
    for item in value::list(text) {
        let is_new = match item.split_once(':') {
            None => all.replace(mode(&item).ok_or_else(rejected)?).is_none(),
            Some((id, text)) => {
                let mode = mode(text).ok_or_else(rejected)?;
                of.insert(id.trim().to_owned(), mode).is_none()
            }
        };
        if !is_new {
            return Err(rejected());
        }
    }
    Ok((all.unwrap_or_default(), of))
}

/// Its directories, without what makes no difference in a path; links are not followed: they need not be there yet.
pub(super) fn places(file: &FileStore) -> Vec<String> {
    let directories = file.datadirs.iter();
    directories
        .map(|directory| normal(&directory.path).display().to_string())
        .collect()
}

fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

/// One directory, or several with priorities; Glance refuses both at once, too.
fn directories(reader: &mut Reader<'_>, section: &str, fallback: &Path) -> Vec<DataDirectory> {
    let one = reader.optional(section, DIRECTORY, |text| Ok(text.to_owned()));
    let several = reader.repeated(section, DIRECTORIES).unwrap_or_default();
    let is_said = one.as_ref().is_some_and(|path| !path.is_empty());
    let mut found: Vec<DataDirectory> = Vec::new();
    for text in several {
        match directory(&text.text) {
            None => {
                let option = OptionName::new(section, DIRECTORIES);
                reader.wrong(
                    option,
                    &text,
                    "a directory and a priority, such as /srv/images:10",
                );
            }
            Some(new) => match found.iter().find(|old| normal(&old.path) == normal(&new.path)) {
                None => found.push(new),
                Some(old) if old.priority == new.priority => reader.warnings.push(Warning {
                    option: Some(OptionName::new(section, DIRECTORIES)),
                    origin: text.origin.clone(),
                    message: format!("{} is named twice", text.shown()),
                }),
                Some(_) => {
                    let message = format!("{} has two priorities", new.path.display());
                    reader.refuse(ErrorKind::Conflict, section, DIRECTORIES, message);
                }
            },
        }
    }
    match (found.is_empty(), one) {
        (false, _) if is_said => {
            let message = format!("cannot be set beside {DIRECTORY}: say either");
            reader.refuse(ErrorKind::Conflict, section, DIRECTORIES, message);
            found
        }
        (false, _) => found,
        (true, Some(path)) if !path.is_empty() => vec![DataDirectory {
            path: PathBuf::from(path),
            priority: 0,
        }],
        (true, Some(_)) => {
            reader.refuse(
                ErrorKind::Value,
                section,
                DIRECTORY,
                "\"\" is not accepted; give a directory",
            );
            Vec::new()
        }
        (true, None) => vec![DataDirectory {
            path: fallback.to_owned(),
            priority: 0,
        }],
    }
}

/// `path` or `path:priority`; what stands behind the last colon is a priority (glance_store, `filesystem.py`,
/// `_get_datadir_path_and_priority`).
fn directory(text: &str) -> Option<DataDirectory> {
    let (path, priority) = match text.rsplit_once(':') {
        None => (text.trim(), 0),
        Some((path, priority)) if priority.trim().is_empty() => (path.trim(), 0),
        Some((path, priority)) => (path.trim(), value::integer(priority).ok()?),
    };
    let path = PathBuf::from(path);
    (!path.as_os_str().is_empty()).then_some(DataDirectory { path, priority })
}
