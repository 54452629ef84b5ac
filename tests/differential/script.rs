//! The requests, as data.

use super::difference::Differs;
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    fs,
    path::{Path, PathBuf},
};

/// Sections of `glance-api.conf`. An option without a value is left out.
type Sections = BTreeMap<String, BTreeMap<String, Option<String>>>;

/// Requests that build on each other, to a service of their own that is empty at first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    #[serde(skip)]
    pub(super) name: String,
    #[serde(skip)]
    pub(super) text: String,
    /// What is looked at, for people.
    #[serde(rename = "about")]
    _about: String,
    /// What is configured on both sides beside [`base`].
    #[serde(default)]
    configuration: Sections,
    /// Files by their names; `@FILES@` in the configuration is where they are.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// Parts of warnings that Saccade gives then.
    #[serde(default)]
    pub(super) expected_log: Vec<String>,
    pub(super) steps: Vec<Step>,
}

/// One request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Method and target. `${name}` is what was remembered by this name, `${a*300}` the letter a 300 times, `${web}` a web
    /// server's address.
    pub(super) ask: String,
    /// One of [`identity`].
    #[serde(rename = "as", default = "member")]
    pub(super) caller: String,
    /// Headers beside those of the body; without a value, one that is not sent.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Option<String>>,
    /// A body: JSON.
    pub(super) json: Option<Value>,
    /// A body said to be JSON.
    pub(super) raw: Option<String>,
    /// A body: image data.
    pub(super) bytes: Option<String>,
    /// The body is sent without its length.
    #[serde(default)]
    pub(super) chunked: bool,
    /// The request is repeated until its answer has these values at these JSON pointers (`null` is nothing), for a minute.
    #[serde(default)]
    pub(super) until: BTreeMap<String, Value>,
    /// Seconds to wait before it: Glance's times have no fractions.
    pub(super) pause: Option<f64>,
    /// Names for parts of the answer, by JSON pointers.
    #[serde(default)]
    pub(super) remember: BTreeMap<String, String>,
    pub(super) differs: Option<Differs>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (as {})", self.ask, self.caller)?;
        for (name, value) in &self.headers {
            write!(f, " {name}: {}", value.as_deref().unwrap_or("none"))?;
        }
        if let Some(json) = &self.json {
            write!(f, " {json}")?;
        }
        for body in [&self.raw, &self.bytes].into_iter().flatten() {
            write!(f, " {body:?}")?;
        }
        Ok(())
    }
}

fn member() -> String {
    "member".to_owned()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

impl Group {
    /// Those that are named, or all.
    pub(super) fn all(names: &str) -> Vec<Self> {
        let wanted: Vec<&str> = names.split_whitespace().collect();
        let mut paths: Vec<PathBuf> = fs::read_dir(directory().join("script"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        let groups: Vec<Self> = (paths.iter())
            .map(|path| Self::read(path))
            .filter(|group| wanted.is_empty() || wanted.contains(&group.name.as_str()))
            .collect();
        assert!(!groups.is_empty(), "no such group: {names}");
        groups
    }

    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut group: Self =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        group.name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        group.text = text;
        group
    }

    pub(super) fn recording(&self) -> PathBuf {
        directory().join("recorded").join(format!("{}.jsonl", self.name))
    }

    /// What both are configured with. `@ROOT@` stands for a directory of each one's own.
    pub(super) fn glance_api_conf(&self) -> String {
        let mut sections = base();
        for (section, options) in &self.configuration {
            let merged = sections.entry(section.clone()).or_default();
            merged.extend(options.clone());
        }
        let mut text = String::new();
        for (section, options) in &sections {
            // One that has lost its last option is none of the group's.
            if options.values().all(Option::is_none) {
                continue;
            }
            writeln!(text, "[{section}]").unwrap();
            for (name, value) in options {
                if let Some(value) = value {
                    writeln!(text, "{name} = {value}").unwrap();
                }
            }
        }
        text.replace("@FILES@", self.write_files().to_str().unwrap())
    }

    fn write_files(&self) -> PathBuf {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("differential-files")
            .join(&self.name);
        fs::create_dir_all(&directory).unwrap();
        for (name, text) in &self.files {
            fs::write(directory.join(name), text).unwrap();
        }
        directory
    }

    /// Ids that the script itself chooses.
    pub(super) fn own_ids(&self) -> Vec<String> {
        let pattern = Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap();
        (pattern.find_iter(&self.text))
            .map(|found| found.as_str().to_owned())
            .collect()
    }
}

/// One file store, named, as in OpenStack's install guide.
fn base() -> Sections {
    [
        ("DEFAULT", "enabled_backends", "fs:file"),
        ("glance_store", "default_backend", "fs"),
        ("fs", "filesystem_store_datadir", "@ROOT@/images"),
    ]
    .into_iter()
    .fold(Sections::new(), |mut sections, (section, name, value)| {
        let options = sections.entry(section.to_owned()).or_default();
        options.insert(name.to_owned(), Some(value.to_owned()));
        sections
    })
}

/// The headers of a caller: user, project and roles as behind Keystone, where a role comes with those it implies.
pub(super) fn identity(caller: &str) -> Vec<(&'static str, &'static str)> {
    const DEMO: &str = "demo";
    let (user, scope, roles) = match caller {
        "admin" => ("admin", ("X-Project-Id", "admin"), "admin,manager,member,reader"),
        "member" => ("user", ("X-Project-Id", DEMO), "member,reader"),
        "reader" => ("guest", ("X-Project-Id", DEMO), "reader"),
        "other" => ("other", ("X-Project-Id", "alt"), "member,reader"),
        "other_reader" => ("visitor", ("X-Project-Id", "alt"), "reader"),
        "third" => ("third", ("X-Project-Id", "third"), "member,reader"),
        "service" => ("nova", ("X-Project-Id", "service"), "service"),
        "foreign_role" => ("stranger", ("X-Project-Id", DEMO), "swiftoperator"),
        "member_without_reader" => ("odd", ("X-Project-Id", DEMO), "member"),
        "no_role" => ("bare", ("X-Project-Id", DEMO), ""),
        "system" => ("admin", ("OpenStack-System-Scope", "all"), "admin,member,reader"),
        "domain" => ("admin", ("X-Domain-Id", "default"), "admin,member,reader"),
        "unscoped" => ("user", ("X-User-Name", "user"), ""),
        "rejected" => return vec![("X-Identity-Status", "Invalid")],
        "nobody" => return Vec::new(),
        unknown => panic!("no caller is called {unknown}"),
    };
    vec![
        ("X-Identity-Status", "Confirmed"),
        ("X-User-Id", user),
        scope,
        ("X-Roles", roles),
    ]
}
