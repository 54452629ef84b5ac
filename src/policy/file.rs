//! The text of one policy file, YAML or JSON as a part of YAML → names and rules.

use std::{collections::BTreeSet, fmt, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned, options::DuplicateKeyPolicy};

use super::{
    Place, PolicyError, Warning, WarningKind,
    language::{self, Check, Parsed},
};

/// A rule as a file has it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) place: Place,
    /// As it was written, or what the old form of lists comes to.
    pub(super) text: String,
    pub(super) check: Check,
}

/// The rules in the text of one file, in its order.
pub(super) fn parse(path: &Path, text: &str, warnings: &mut Vec<Warning>) -> Result<Vec<Entry>, PolicyError> {
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    for (name, place, node) in mapping(path, text)? {
        let (text, Parsed { check, faults }) = rule(&place, &name, node)?;
        let mut warn = |kind| {
            warnings.push(Warning {
                rule: name.clone(),
                place: Some(place.clone()),
                kind,
            });
        };
        faults
            .into_iter()
            .for_each(|fault| warn(WarningKind::Fault(fault)));
        if !seen.insert(name.clone()) {
            warn(WarningKind::Duplicate);
        }
        entries.push(Entry {
            name,
            place,
            text,
            check,
        });
    }
    Ok(entries)
}

fn mapping(path: &Path, text: &str) -> Result<Vec<(String, Place, Node)>, PolicyError> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        reject_unsupported_tags: true,
        // One line for the log.
        with_snippet: false,
    };
    let at = |location: Option<Location>| Place {
        path: path.to_owned(),
        line: location.map_or(0, |location| location.line()),
    };
    // A file of nothing but white space and comments holds no document at all.
    let document: Option<Node> =
        serde_saphyr::from_str_with_options(text, options).map_err(|source| PolicyError::Malformed {
            place: at(source.location()),
            source: Box::new(source),
        })?;
    match document {
        None | Some(Node::Null) => Ok(Vec::new()),
        Some(Node::Mapping(pairs)) => pairs
            .into_iter()
            .map(|(name, node)| {
                let place = at(Some(name.referenced));
                match name.value {
                    Node::Text(name) => Ok((name, place, node)),
                    Node::Null | Node::Other | Node::List(_) | Node::Mapping(_) => {
                        Err(PolicyError::NotAMapping { place })
                    }
                }
            })
            .collect(),
        Some(Node::Text(_) | Node::List(_) | Node::Other) => {
            Err(PolicyError::NotAMapping { place: at(None) })
        }
    }
}

fn rule(place: &Place, name: &str, node: Node) -> Result<(String, Parsed), PolicyError> {
    let not_a_rule = || PolicyError::NotARule {
        place: place.clone(),
        rule: name.to_owned(),
    };
    match node {
        Node::Text(text) => {
            let parsed = language::parse(&text);
            Ok((text, parsed))
        }
        Node::List(nodes) => {
            let lists: Option<Vec<Vec<String>>> = nodes.into_iter().map(Node::into_texts).collect();
            let parsed = language::parse_lists(&lists.ok_or_else(not_a_rule)?);
            Ok((parsed.check.to_string(), parsed))
        }
        Node::Null => Err(PolicyError::NoValue {
            place: place.clone(),
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
    /// Keys with the lines that they are on, and their values.
    Mapping(Vec<(Spanned<Node>, Node)>),
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
        while let Some((key, value)) = mapping.next_entry::<Spanned<Node>, Spanned<Node>>()? {
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
