//! Reads what was given (files, directories, environment) into layers of text. Knows no option.

use super::{
    error::{ConfigError, ErrorKind, OptionName, Origin},
    ini,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// No configuration is larger; a wrong path such as a disk image must not fill the memory.
const LARGEST_FILE: u64 = 4 << 20;

/// Everything that a configuration is made of. Its `Debug` shows no value of the environment.
#[derive(Clone, Default)]
pub struct Sources {
    /// In order: a later file wins.
    pub files: Vec<PathBuf>,
    /// Their `*.conf`, sorted by name, are read after `files`.
    pub dirs: Vec<PathBuf>,
    /// `OS_<GROUP>__<OPTION>` overrides files, as in oslo.config; `HOME` and `XDG_DATA_HOME` place the
    /// default data directory.
    pub env: Vec<(String, String)>,
    /// Who runs the daemon: places the default data directory.
    pub user: User,
    /// Applied last.
    pub overrides: Overrides,
}

/// Who runs the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum User {
    /// The superuser: data goes under `/var/lib`.
    Root,
    /// Anyone else: data goes under their home.
    #[default]
    Unprivileged,
}

/// What the command line says over the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--bind HOST:PORT`, unchecked.
    pub bind: Option<String>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            files,
            dirs,
            env,
            user,
            overrides,
        } = self;
        let env: Vec<&String> = env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sources")
            .field("files", files)
            .field("dirs", dirs)
            .field("env", &env)
            .field("user", user)
            .field("overrides", overrides)
            .finish()
    }
}

impl Sources {
    /// These files and directories, with the environment and the user of this process.
    pub fn of_process(files: Vec<PathBuf>, dirs: Vec<PathBuf>, overrides: Overrides) -> Self {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        let env = std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
        let user = if rustix::process::geteuid().is_root() {
            User::Root
        } else {
            User::Unprivileged
        };
        Self {
            files,
            dirs,
            env,
            user,
            overrides,
        }
    }
}

/// The files that Glance reads from its configuration directory (`/etc/glance`, or what
/// `OS_GLANCE_CONFIG_DIR` names), in its order. The first is optional; the second is listed even when
/// missing, so that reading it says so.
pub fn glance_files(directory: &Path) -> Vec<PathBuf> {
    let import = directory.join("glance-image-import.conf");
    let api = directory.join("glance-api.conf");
    if import.exists() {
        vec![import, api]
    } else {
        vec![api]
    }
}

/// One value as written. It may be a secret, so that neither it nor what holds it has a `Debug`.
pub(super) struct Setting {
    pub(super) text: String,
    pub(super) origin: Origin,
}

struct Layer {
    path: PathBuf,
    sections: BTreeSet<String>,
    settings: BTreeMap<OptionName, Vec<Setting>>,
}

/// What the sources say, option by option, before any meaning.
#[derive(Default)]
pub(super) struct Raw {
    /// Oldest first.
    layers: Vec<Layer>,
    env: BTreeMap<OptionName, Setting>,
}

impl Raw {
    /// Reads all sources; what cannot be read is left out and reported.
    pub(super) fn read(sources: &Sources) -> (Self, Vec<ConfigError>) {
        let mut raw = Self {
            layers: Vec::new(),
            env: environment(&sources.env),
        };
        let mut errors = Vec::new();
        let mut paths = sources.files.clone();
        for dir in &sources.dirs {
            match conf_files(dir) {
                Ok(found) => paths.extend(found),
                Err(error) => errors.push(ConfigError::unreadable(dir.clone(), error)),
            }
        }
        for path in paths {
            match read_text(&path) {
                Ok(text) => raw.add(path, &text, &mut errors),
                Err(error) => errors.push(ConfigError::unreadable(path, error)),
            }
        }
        (raw, errors)
    }

    pub(super) fn add(&mut self, path: PathBuf, text: &str, errors: &mut Vec<ConfigError>) {
        let shared = Arc::new(path.clone());
        let at = |line| Origin::File {
            path: Arc::clone(&shared),
            line,
        };
        let document = ini::parse(text);
        // The line itself is not shown: it may hold a password.
        errors.extend(
            document
                .errors
                .iter()
                .map(|e| ConfigError::new(ErrorKind::Syntax, at(e.line), e.problem)),
        );
        let mut settings = BTreeMap::<OptionName, Vec<Setting>>::new();
        for assignment in document.assignments {
            settings
                .entry(OptionName::new(group(&assignment.section), assignment.key))
                .or_default()
                .push(Setting {
                    text: assignment.value,
                    origin: at(assignment.line),
                });
        }
        let sections = document.sections.iter().map(|name| group(name)).collect();
        self.layers.push(Layer {
            path,
            sections,
            settings,
        });
    }

    /// The value in effect of an option with these names, the present one first. As in oslo.config: the
    /// environment, under the present name; then the newest file that has any of the names, and in it the
    /// first name, and of that the last.
    pub(super) fn last(&self, names: &[OptionName]) -> Option<&Setting> {
        let from_env = names.first().and_then(|name| self.env.get(name));
        from_env.or_else(|| {
            self.layers.iter().rev().find_map(|layer| {
                names
                    .iter()
                    .find_map(|name| layer.settings.get(name).and_then(|found| found.last()))
            })
        })
    }

    /// The values of an option that may be repeated, oldest first; the environment's alone when it has one.
    pub(super) fn all(&self, names: &[OptionName]) -> Vec<&Setting> {
        if let Some(setting) = names.first().and_then(|name| self.env.get(name)) {
            return vec![setting];
        }
        let layers = self.layers.iter();
        layers
            .flat_map(|layer| {
                names
                    .iter()
                    .rev()
                    .filter_map(|name| layer.settings.get(name))
                    .flatten()
            })
            .collect()
    }

    /// Every option that is set anywhere, with the first place where it is.
    pub(super) fn options(&self) -> BTreeMap<&OptionName, &Setting> {
        let mut found = BTreeMap::new();
        let in_files = self.layers.iter().flat_map(|layer| &layer.settings);
        for (name, setting) in in_files
            .filter_map(|(name, all)| Some((name, all.first()?)))
            .chain(&self.env)
        {
            found.entry(name).or_insert(setting);
        }
        found
    }

    /// Whether any source speaks to Glance: a file that has more in it than `[saccade]`, or none of it; or a
    /// variable.
    pub(super) fn configures_glance(&self, is_known: impl Fn(&OptionName) -> bool) -> bool {
        self.layers
            .iter()
            .any(|layer| layer.sections.iter().ne(["saccade"]))
            || self
                .env
                .keys()
                .any(|name| name.group != "saccade" && is_known(name))
    }

    /// The last file that speaks to Glance: the one that oslo.config names a paste file after.
    pub(super) fn last_of_glance(&self) -> Option<&Path> {
        let mut of_glance = self.layers.iter().rev();
        let layer = of_glance.find(|layer| layer.sections.iter().ne(["saccade"]))?;
        Some(&layer.path)
    }

    /// The directories of the files, the last first: where oslo.config looks for a file named by an option.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for directory in self.layers.iter().rev().filter_map(|layer| layer.path.parent()) {
            if !found.iter().any(|known| known == directory) {
                found.push(directory.to_owned());
            }
        }
        found
    }
}

/// Sections are compared in lower case, but for `[DEFAULT]`: to oslo.config, `[default]` is another one.
pub(super) fn group(section: &str) -> String {
    if section == "DEFAULT" {
        section.to_owned()
    } else {
        section.to_lowercase()
    }
}

fn environment(variables: &[(String, String)]) -> BTreeMap<OptionName, Setting> {
    let mut found = BTreeMap::new();
    for (variable, value) in variables {
        let Some((section, name)) = variable
            .strip_prefix("OS_")
            .and_then(|rest| rest.split_once("__"))
        else {
            continue;
        };
        if section.is_empty() || name.is_empty() || *variable != variable.to_uppercase() {
            continue;
        }
        let origin = Origin::Environment {
            variable: variable.clone(),
        };
        found.insert(
            OptionName::new(group(section), name.to_lowercase()),
            Setting {
                text: value.clone(),
                origin,
            },
        );
    }
    found
}

/// As the shell's `*.conf`: hidden files are not meant.
fn conf_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "conf") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A file of at most 4 MiB.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LARGEST_FILE).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read < LARGEST_FILE) {
        Ok(text)
    } else {
        Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than any configuration (4 MiB)",
        ))
    }
}
