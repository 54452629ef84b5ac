//! Where policy files may be, which of them are there, and what is in them.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{DEFAULT_RULE, Defaults, MAX_FILE_BYTES, PolicyError};

/// Where changes to the default rules are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFiles {
    /// `policy_file`.
    pub file: PolicyFile,
    /// `policy_dirs`: every file in them that does not begin with a dot, in the order of names, after `file`. Each is
    /// the first of several places that is a directory, or left out; directories within them are left out, too.
    pub directories: Vec<Vec<PathBuf>>,
    /// `policy_default_rule`: stands in for rules that are not defined.
    pub default_rule: String,
    /// What holds where the files say nothing.
    pub defaults: Defaults,
    /// Rules that others than the API ask for by name.
    pub asked: Vec<String>,
}

impl Default for PolicyFiles {
    fn default() -> Self {
        Self {
            file: PolicyFile::FirstOf(Vec::new()),
            directories: Vec::new(),
            default_rule: DEFAULT_RULE.to_owned(),
            defaults: Defaults::default(),
            asked: Vec::new(),
        }
    }
}

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyFile {
    /// The first of these that is there, if one is: files of the default name.
    FirstOf(Vec<PathBuf>),
    /// An error if it is not there: one that an operator named. (Glance goes on with its defaults then, which may
    /// allow more than the file would have.)
    Required(PathBuf),
}

/// `policy_file`, or one of `policy_dirs`.
pub(super) struct Source<'a> {
    places: &'a [PathBuf],
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    RequiredFile,
    Directory,
}

impl PolicyFiles {
    /// In the order in which they are read.
    pub(super) fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        let file = match &self.file {
            PolicyFile::FirstOf(places) => Source {
                places,
                kind: Kind::File,
            },
            PolicyFile::Required(path) => Source {
                places: std::slice::from_ref(path),
                kind: Kind::RequiredFile,
            },
        };
        let directories = self.directories.iter().map(|places| Source {
            places,
            kind: Kind::Directory,
        });
        std::iter::once(file).chain(directories)
    }
}

impl<'a> Source<'a> {
    /// Which of the places counts. What cannot be looked at does, so that reading it fails.
    pub(super) fn found(&self) -> Option<usize> {
        if self.kind == Kind::RequiredFile {
            return Some(0);
        }
        self.places.iter().position(|path| match fs::metadata(path) {
            Ok(metadata) => self.kind == Kind::File || metadata.is_dir(),
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ),
        })
    }

    /// The place of this number.
    pub(super) fn place(&self, index: usize) -> Option<&'a Path> {
        self.places.get(index).map(PathBuf::as_path)
    }

    /// The places up to the one that counts: if nothing changes there, the same one counts.
    pub(super) fn decisive(&self, found: Option<usize>) -> &'a [PathBuf] {
        found
            .and_then(|index| self.places.get(..=index))
            .unwrap_or(self.places)
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// What is in all files, at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Which place counted, for each source.
    pub(super) found: Vec<Option<usize>>,
    /// Paths and texts, in the order in which they hold.
    pub(super) texts: Vec<(PathBuf, String)>,
}

impl Contents {
    pub(super) fn read(files: &PolicyFiles) -> Result<Self, PolicyError> {
        let mut contents = Self::default();
        for source in files.sources() {
            let found = source.found();
            contents.found.push(found);
            let Some(path) = found.and_then(|index| source.place(index)) else {
                continue;
            };
            let paths = if source.is_directory() {
                files_in(path)?
            } else {
                vec![path.to_owned()]
            };
            for path in paths {
                let text = read(&path)?;
                contents.texts.push((path, text));
            }
        }
        Ok(contents)
    }
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, PolicyError> {
    let mut paths = entries(directory).map_err(|source| PolicyError::Read {
        path: directory.to_owned(),
        source,
    })?;
    paths.retain(|path| !path.is_dir());
    paths.sort_unstable();
    Ok(paths)
}

/// What is in a directory and does not begin with a dot.
pub(super) fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn read(path: &Path) -> Result<String, PolicyError> {
    let failed = |source| PolicyError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(failed)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= MAX_FILE_BYTES) {
        Ok(text)
    } else {
        Err(PolicyError::TooLarge {
            path: path.to_owned(),
        })
    }
}
