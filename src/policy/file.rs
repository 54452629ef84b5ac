//! Policy files: YAML, or JSON as a part of YAML; names → rules.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Spanned, options::DuplicateKeyPolicy};

use super::{
    DEFAULT_RULE,
    language::{self, Fault, Parsed, RuleSet},
};

/// The largest policy file that is read, in bytes. One with every rule of every service has about 40 KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where changes to the default rules are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFiles {
    /// `policy_file`.
    pub file: PolicyFile,
    /// `policy_dirs`: every file in them that does not begin with a dot, in the order of names, after `file`.
    /// Directories that do not exist are left out, and directories within them.
    pub directories: Vec<PathBuf>,
    /// `policy_default_rule`: stands in for rules that are not defined.
    pub default_rule: String,
}

impl Default for PolicyFiles {
    fn default() -> Self {
        Self {
            file: PolicyFile::None,
            directories: Vec::new(),
            default_rule: DEFAULT_RULE.to_owned(),
        }
    }
}

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyFile {
    /// None.
    None,
    /// Read if it is there: the file of the default name.
    IfPresent(PathBuf),
    /// An error if it is not there: one that an operator named. (Glance goes on with its defaults then, which may
    /// allow more than the file would have.)
    Required(PathBuf),
}

/// Why the policy cannot be loaded. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file or directory cannot be read, or is not UTF-8.
    #[error("cannot read the policy file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any real one.
    #[error("the policy file {} is larger than {MAX_FILE_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not YAML (of which JSON is a part).
    #[error("the policy file {} is neither YAML nor JSON", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What and where.
        source: Box<serde_saphyr::Error>,
    },
    /// The file is not a mapping with names as its keys.
    #[error("the policy file {} is not a mapping from rule names to rules", path.display())]
    NotAMapping {
        /// The file.
        path: PathBuf,
    },
    /// A rule has no value, which Glance reads as "allow everyone", where `!` without quotes may have been meant.
    #[error(
        "rule {rule} in the policy file {} has no value: write \"\" to allow everyone, \"!\" to allow nobody",
        path.display()
    )]
    NoValue {
        /// The file.
        path: PathBuf,
        /// The rule.
        rule: String,
    },
    /// A rule is neither text nor a list.
    #[error("rule {rule} in the policy file {} is neither text nor a list of lists of text", path.display())]
    NotARule {
        /// The file.
        path: PathBuf,
        /// The rule.
        rule: String,
    },
}

/// Something in the policy that its author should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file it was found in; `None` when it is between rules of several.
    pub file: Option<PathBuf>,
    /// What it is.
    pub kind: WarningKind,
}

/// What a [`Warning`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WarningKind {
    /// Something in a rule is not understood; where it decides, the rule denies.
    Rule {
        /// The rule.
        rule: String,
        /// What it is.
        fault: Fault,
    },
    /// A rule is defined twice in the file; the last one holds.
    Duplicate {
        /// The rule.
        rule: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            WarningKind::Rule { rule, fault } => write!(f, "policy rule {rule}: {fault}")?,
            WarningKind::Duplicate { rule } => {
                write!(f, "policy rule {rule} is defined twice, and the last one holds")?;
            }
        }
        match &self.file {
            Some(file) => write!(f, " (in {})", file.display()),
            None => Ok(()),
        }
    }
}

/// Reads all files and defines their rules, later ones instead of earlier ones.
pub(super) fn load(files: &PolicyFiles, rules: &mut RuleSet) -> Result<Vec<Warning>, PolicyError> {
    let mut warnings = Vec::new();
    let main = match &files.file {
        PolicyFile::None => None,
        PolicyFile::IfPresent(path) => read(path).map_or_else(absent, |text| Ok(Some((path, text))))?,
        PolicyFile::Required(path) => Some((path, read(path)?)),
    };
    if let Some((path, text)) = main {
        define(path, &text, rules, &mut warnings)?;
    }
    for directory in &files.directories {
        for path in entries(directory)
            .map_or_else(absent, |paths| Ok(Some(paths)))?
            .unwrap_or_default()
        {
            define(&path, &read(&path)?, rules, &mut warnings)?;
        }
    }
    Ok(warnings)
}

/// Nothing instead of the error that there is nothing.
fn absent<T>(error: PolicyError) -> Result<Option<T>, PolicyError> {
    match error {
        PolicyError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Ok(None),
        error => Err(error),
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, PolicyError> {
    let failed = |source| PolicyError::Read {
        path: directory.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort_unstable();
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

/// Defines the rules in the text of one file.
fn define(
    path: &Path,
    text: &str,
    rules: &mut RuleSet,
    warnings: &mut Vec<Warning>,
) -> Result<(), PolicyError> {
    let mut seen = BTreeSet::new();
    for (name, node) in mapping(path, text)? {
        let Parsed { check, faults } = rule(path, &name, node)?;
        let warn = |kind| Warning {
            file: Some(path.to_owned()),
            kind,
        };
        warnings.extend(faults.into_iter().map(|fault| {
            warn(WarningKind::Rule {
                rule: name.clone(),
                fault,
            })
        }));
        if !seen.insert(name.clone()) {
            warnings.push(warn(WarningKind::Duplicate { rule: name.clone() }));
        }
        rules.define(name, check);
    }
    Ok(())
}

fn mapping(path: &Path, text: &str) -> Result<Vec<(String, Node)>, PolicyError> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        reject_unsupported_tags: true,
    };
    let not_a_mapping = || PolicyError::NotAMapping {
        path: path.to_owned(),
    };
    // A file of nothing but white space and comments holds no document at all.
    let document: Option<Node> =
        serde_saphyr::from_str_with_options(text, options).map_err(|source| PolicyError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
    match document {
        None | Some(Node::Null) => Ok(Vec::new()),
        Some(Node::Mapping(pairs)) => pairs
            .into_iter()
            .map(|(name, node)| match name {
                Node::Text(name) => Ok((name, node)),
                Node::Null | Node::Other | Node::List(_) | Node::Mapping(_) => Err(not_a_mapping()),
            })
            .collect(),
        Some(Node::Text(_) | Node::List(_) | Node::Other) => Err(not_a_mapping()),
    }
}

fn rule(path: &Path, name: &str, node: Node) -> Result<Parsed, PolicyError> {
    let not_a_rule = || PolicyError::NotARule {
        path: path.to_owned(),
        rule: name.to_owned(),
    };
    match node {
        Node::Text(text) => Ok(language::parse(&text)),
        Node::List(nodes) => {
            let lists: Option<Vec<Vec<String>>> = nodes.into_iter().map(Node::into_texts).collect();
            Ok(language::parse_lists(&lists.ok_or_else(not_a_rule)?))
        }
        Node::Null => Err(PolicyError::NoValue {
            path: path.to_owned(),
            rule: name.to_owned(),
        }),
        Node::Mapping(_) | Node::Other => Err(not_a_rule()),
    }
}

/// A YAML value, as far as policy files tell them apart.
#[derive(Debug)]
enum Node {
    Null,
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
    /// A number or a boolean.
    Other,
}

impl Node {
    /// An element of the outer list: a list of checks, or one check.
    fn into_texts(self) -> Option<Vec<String>> {
        match self {
            Self::Text(text) if text.is_empty() => Some(Vec::new()),
            Self::Text(text) => Some(vec![text]),
            Self::List(nodes) => nodes
                .into_iter()
                .map(|node| match node {
                    Self::Text(text) => Some(text),
                    Self::Null | Self::List(_) | Self::Mapping(_) | Self::Other => None,
                })
                .collect(),
            Self::Null | Self::Mapping(_) | Self::Other => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping from rule names to rules")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = sequence.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Node, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, value)) = mapping.next_entry::<Node, Spanned<Node>>()? {
            // `name: !` is a tag and no text: empty text that takes no space in the file.
            let value = match value.value {
                Node::Text(text) if text.is_empty() && value.defined.span().is_empty() => Node::Null,
                value => value,
            };
            pairs.push((key, value));
        }
        Ok(Node::Mapping(pairs))
    }
}
