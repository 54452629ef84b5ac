//! Property protection: who may create, read, update and delete which custom properties (Glance 33,
//! `common/property_utils.py`, `api/property_protections.py`).
//!
//! * [`PropertyProtection`]: the operator's file, parsed once at the start
//! * [`PropertyAccess`]: it, as it concerns one caller
//! * `file`: the text → sections, by the rules of Python's `configparser`
//! * `pattern`: the name of a section → what it matches, by the rules of Python's `re`
//!
//! The first section whose pattern is found in a property's name decides, and where none is, nobody may do anything:
//! administrators are no exception. The service's own properties (`os_glance…`) are not protected: clients can neither
//! set nor remove them anyway.

mod error;
mod file;
mod pattern;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

pub use self::error::{PropertyProtectionError, SectionProblem};
use self::{file::Section as RawSection, pattern::Pattern};
use super::{MAX_FILE_BYTES, Place, Policy};
use crate::{
    identity::Caller,
    image::{INTERNAL_PROPERTY_PREFIX, Image},
};

/// What the values in the file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleFormat {
    /// Lists of roles.
    Roles,
    /// The name of one rule of the policy files.
    Policies,
}

/// What is done to a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyOperation {
    /// It was not there.
    Create,
    /// Its value is shown, or told by a filter.
    Read,
    /// It gets another value.
    Update,
    /// It is taken away.
    Delete,
}

/// Who may do what to which properties.
#[derive(Debug, Clone, Default)]
pub struct PropertyProtection {
    /// `None` protects nothing.
    sections: Option<Vec<Section>>,
}

#[derive(Debug, Clone)]
struct Section {
    place: Place,
    name: String,
    pattern: Pattern,
    create: Permission,
    read: Permission,
    update: Permission,
    delete: Permission,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Permission {
    Everybody,
    Nobody,
    /// In lower case.
    Roles(BTreeSet<String>),
    Rule(String),
}

/// Whether one caller may do something to a property.
#[derive(Clone, Copy)]
pub struct PropertyAccess<'a> {
    protection: &'a PropertyProtection,
    policy: &'a Policy,
    caller: &'a Caller,
}

impl PropertyOperation {
    const ALL: [Self; 4] = [Self::Create, Self::Read, Self::Update, Self::Delete];

    /// Its name in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl PropertyProtection {
    /// Protects nothing.
    pub const fn none() -> Self {
        Self { sections: None }
    }

    /// Reads the file. What works, and may not be what its author meant, comes back as warnings.
    ///
    /// # Errors
    /// It cannot be read, or not be understood to the end.
    pub fn load(path: &Path, format: RuleFormat) -> Result<(Self, Vec<String>), PropertyProtectionError> {
        let text = read(path).map_err(|source| PropertyProtectionError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text, format)
    }

    fn parse(
        path: &Path,
        text: &str,
        format: RuleFormat,
    ) -> Result<(Self, Vec<String>), PropertyProtectionError> {
        let mut warnings = Vec::new();
        let mut sections = Vec::new();
        for raw in file::parse(path, text)? {
            // Glance drops these, too: its own properties are nobody's to protect.
            if raw.name.starts_with(INTERNAL_PROPERTY_PREFIX) {
                warnings.push(format!(
                    "{}: [{}] has no effect: the service's own properties are not protected",
                    raw.place, raw.name
                ));
                continue;
            }
            sections.push(Section::new(raw, format, &mut warnings)?);
        }
        if sections.is_empty() {
            warnings.push(format!(
                "{} has no section: nobody can create, see, change or delete any property",
                path.display()
            ));
        }
        let sections = Some(sections);
        Ok((Self { sections }, warnings))
    }

    /// The rules of the policy files that the file names.
    pub fn rules(&self) -> Vec<String> {
        let rules = self.sections().flat_map(Section::rules);
        let names: BTreeSet<&str> = rules.map(|(_, name)| name).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Whether every rule that the file names is defined. In Glance the default rule stands in for one that is not,
    /// and lets everyone in.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self, policy: &Policy) -> Result<(), PropertyProtectionError> {
        for section in self.sections() {
            for (operation, rule) in section.rules() {
                if !policy.defines(rule) {
                    let rule = rule.to_owned();
                    return Err(section.error(operation, SectionProblem::UndefinedRule { rule }));
                }
            }
        }
        Ok(())
    }

    /// What it means for the caller, under one version of the policy.
    pub const fn access<'a>(&'a self, policy: &'a Policy, caller: &'a Caller) -> PropertyAccess<'a> {
        PropertyAccess {
            protection: self,
            policy,
            caller,
        }
    }

    fn sections(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().flatten()
    }
}

impl PropertyAccess<'_> {
    /// Whether the caller may do the operation to properties of this name. Takes time linear in the name's length for
    /// each section before the one that decides.
    pub fn may(&self, operation: PropertyOperation, name: &str) -> bool {
        if self.protection.sections.is_none() || name.starts_with(INTERNAL_PROPERTY_PREFIX) {
            return true;
        }
        let section = self
            .protection
            .sections()
            .find(|section| section.pattern.is_found_in(name));
        match section.map(|section| section.permission(operation)) {
            None | Some(Permission::Nobody) => false,
            Some(Permission::Everybody) => true,
            Some(Permission::Roles(roles)) => {
                let mut held = self.caller.roles.iter().chain(self.caller.service_roles());
                held.any(|role| roles.contains(role))
            }
            Some(Permission::Rule(rule)) => self.policy.allows_named(rule, self.caller),
        }
    }

    /// The image without the properties that the caller may not read.
    pub fn shown(&self, mut image: Image) -> Image {
        if self.protection.sections.is_some() {
            image
                .properties
                .retain(|name, _| self.may(PropertyOperation::Read, name));
        }
        image
    }
}

impl Section {
    fn new(
        raw: RawSection,
        format: RuleFormat,
        warnings: &mut Vec<String>,
    ) -> Result<Self, PropertyProtectionError> {
        let problem = |problem| PropertyProtectionError::Section {
            place: raw.place.clone(),
            section: raw.name.clone(),
            problem,
        };
        let pattern = Pattern::new(&raw.name).map_err(|error| problem(SectionProblem::Pattern(error)))?;
        for (option, place) in raw.unknown() {
            warnings.push(format!(
                "{place}: [{}] {option} is none of create, read, update and delete, and has no effect",
                raw.name
            ));
        }
        let mut permission = |operation: PropertyOperation| {
            let at = |problem_is| PropertyProtectionError::Operation {
                place: raw.place_of(operation.as_str()),
                section: raw.name.clone(),
                operation,
                problem: problem_is,
            };
            let text = raw.value(operation.as_str());
            let text = text.ok_or_else(|| at(SectionProblem::Missing))?;
            let permission = Permission::parse(text, format).map_err(at)?;
            if text.is_empty() {
                warnings.push(format!(
                    "{}: [{}] {} is empty: nobody may",
                    raw.place_of(operation.as_str()),
                    raw.name,
                    operation.as_str()
                ));
            }
            Ok(permission)
        };
        Ok(Self {
            create: permission(PropertyOperation::Create)?,
            read: permission(PropertyOperation::Read)?,
            update: permission(PropertyOperation::Update)?,
            delete: permission(PropertyOperation::Delete)?,
            pattern,
            place: raw.place,
            name: raw.name,
        })
    }

    const fn permission(&self, operation: PropertyOperation) -> &Permission {
        match operation {
            PropertyOperation::Create => &self.create,
            PropertyOperation::Read => &self.read,
            PropertyOperation::Update => &self.update,
            PropertyOperation::Delete => &self.delete,
        }
    }

    fn rules(&self) -> impl Iterator<Item = (PropertyOperation, &str)> {
        PropertyOperation::ALL
            .into_iter()
            .filter_map(|operation| match self.permission(operation) {
                Permission::Rule(rule) => Some((operation, rule.as_str())),
                _ => None,
            })
    }

    fn error(&self, operation: PropertyOperation, problem: SectionProblem) -> PropertyProtectionError {
        PropertyProtectionError::Operation {
            place: self.place.clone(),
            section: self.name.clone(),
            operation,
            problem,
        }
    }
}

impl Permission {
    fn parse(text: &str, format: RuleFormat) -> Result<Self, SectionProblem> {
        if text.contains('%') {
            return Err(SectionProblem::Interpolation);
        }
        let items: BTreeSet<String> = text
            .split(',')
            .map(|item| item.trim().to_lowercase())
            .filter(|item| !item.is_empty())
            .collect();
        if format == RuleFormat::Policies && text.contains(',') {
            return Err(SectionProblem::SeveralRules);
        }
        match (items.contains("@"), items.contains("!")) {
            (true, true) => Err(SectionProblem::EverybodyAndNobody),
            (true, false) => Ok(Self::Everybody),
            (false, true) => Ok(Self::Nobody),
            (false, false) if items.is_empty() => Ok(Self::Nobody),
            (false, false) => Ok(match format {
                RuleFormat::Roles => Self::Roles(items),
                // Names of rules have upper and lower case.
                RuleFormat::Policies => Self::Rule(text.trim().to_owned()),
            }),
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let message = format!("it is larger than {MAX_FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}
