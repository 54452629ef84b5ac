//! The syntax of a paste file: Python's ConfigParser, as far as a paste file needs it.

use super::{super::error::ErrorKind, resolve::Problem};
use std::collections::BTreeMap;

/// One `key = value`. The value may be a secret: there is no `Debug`.
pub(super) struct Item {
    pub(super) key: String,
    /// The first line, and those that continue it, divided by `\n`.
    pub(super) value: String,
    pub(super) line: usize,
}

/// What stands under one heading.
pub(super) struct Section {
    pub(super) line: usize,
    pub(super) items: Vec<Item>,
}

impl Section {
    pub(super) fn item(&self, key: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.key == key)
    }
}

/// Sections by their whole names, such as `filter:authtoken`.
pub(super) struct PasteFile {
    pub(super) sections: BTreeMap<String, Section>,
}

impl PasteFile {
    /// # Errors
    /// The first line that ConfigParser would not take, or take in a way that is easily misread: sections and keys
    /// that come twice.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut sections = BTreeMap::<String, Section>::new();
        let mut current: Option<String> = None;
        let mut continues = false;
        for (index, raw) in text.lines().enumerate() {
            let line = index.saturating_add(1);
            let problem = |message: &str| Problem {
                kind: ErrorKind::Syntax,
                line,
                message: message.to_owned(),
            };
            let content = raw.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            let section = current.as_ref().and_then(|name| sections.get_mut(name));
            if raw.starts_with([' ', '\t']) {
                let item = section.and_then(|section| section.items.last_mut());
                let Some(item) = item.filter(|_| continues) else {
                    return Err(problem(
                        "an indented line continues the value above it, and there is none",
                    ));
                };
                item.value.push('\n');
                item.value.push_str(content);
            } else if let Some(inside) = content.strip_prefix('[') {
                let name = inside.strip_suffix(']').map(str::trim);
                let name = name.filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| problem("a section needs a name, and must end with `]`"))?;
                let items = Vec::new();
                if sections
                    .insert(name.to_owned(), Section { line, items })
                    .is_some()
                {
                    return Err(problem("this section stands in the file twice"));
                }
                current = Some(name.to_owned());
                continues = false;
            } else {
                let (key, value) = content
                    .split_once(['=', ':'])
                    .map(|(key, value)| (key.trim(), value.trim()))
                    .filter(|(key, _)| !key.is_empty())
                    .ok_or_else(|| problem("neither a section, a comment, nor `option = value`"))?;
                let section = section.ok_or_else(|| problem("an option stands before the first section"))?;
                if section.item(key).is_some() {
                    return Err(problem("this option stands in its section twice"));
                }
                section.items.push(Item {
                    key: key.to_owned(),
                    value: value.to_owned(),
                    line,
                });
                continues = true;
            }
        }
        Ok(Self { sections })
    }
}
