//! The text of a property protection file → its sections, as Python's `configparser` reads it: `=` or `:` between
//! option and value, options in any case, comments in lines of their own, values that go on in indented lines,
//! `[DEFAULT]` for what sections leave out, and nothing twice.

use std::{collections::BTreeMap, path::Path};

use super::{Place, PropertyOperation, PropertyProtectionError, SectionProblem};

const DEFAULT: &str = "DEFAULT";

/// A section as it is written, completed by `[DEFAULT]`.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) place: Place,
    options: Options,
}

type Options = BTreeMap<String, (String, Place)>;

impl Section {
    /// The value of an option, without spaces around it.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(|(value, _)| value.trim())
    }

    /// Where an option stands; the section itself when it is not there.
    pub(super) fn place_of(&self, option: &str) -> Place {
        let option = self.options.get(option);
        option.map_or_else(|| self.place.clone(), |(_, place)| place.clone())
    }

    /// Options that are no operation.
    pub(super) fn unknown(&self) -> impl Iterator<Item = (&str, &Place)> {
        let is_known = |name: &str| PropertyOperation::ALL.iter().any(|it| it.as_str() == name);
        self.options
            .iter()
            .filter(move |(name, _)| !is_known(name))
            .map(|(name, (_, place))| (name.as_str(), place))
    }
}

/// The sections in the file's order, without `[DEFAULT]`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Section>, PropertyProtectionError> {
    let mut reader = Reader::default();
    for (line, number) in text.lines().zip(1_u64..) {
        let place = Place {
            path: path.to_owned(),
            line: number,
        };
        reader.line(line, place)?;
    }
    let Reader {
        mut sections,
        defaults,
        ..
    } = reader;
    for section in &mut sections {
        for (name, value) in &defaults {
            section
                .options
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
    }
    Ok(sections)
}

#[derive(Default)]
struct Reader {
    sections: Vec<Section>,
    defaults: Options,
    within: Within,
    /// The option whose value an indented line goes on with, and the option's own indentation.
    last: Option<(String, usize)>,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Within {
    #[default]
    Nothing,
    Defaults,
    Section,
}

impl Reader {
    fn line(&mut self, line: &str, place: Place) -> Result<(), PropertyProtectionError> {
        let text = line.trim();
        if text.is_empty() || text.starts_with(['#', ';']) {
            return Ok(());
        }
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        if let Some((name, at)) = &self.last
            && indent > *at
        {
            let name = name.clone();
            if let Some((value, _)) = self.options().and_then(|options| options.get_mut(&name)) {
                value.push('\n');
                value.push_str(text);
            }
            return Ok(());
        }
        match text.strip_prefix('[') {
            Some(rest) => self.section(rest, place),
            None => self.option(text, indent, place),
        }
    }

    fn section(&mut self, rest: &str, place: Place) -> Result<(), PropertyProtectionError> {
        let name = rest.strip_suffix(']').filter(|name| !name.is_empty());
        let Some(name) = name else {
            let problem = "a section is its pattern in square brackets, and nothing after it";
            return Err(PropertyProtectionError::Line { place, problem });
        };
        self.last = None;
        if name == DEFAULT {
            self.within = Within::Defaults;
            return Ok(());
        }
        if self.sections.iter().any(|section| section.name == name) {
            return Err(PropertyProtectionError::Section {
                place,
                section: name.to_owned(),
                problem: SectionProblem::Twice,
            });
        }
        self.within = Within::Section;
        self.sections.push(Section {
            name: name.to_owned(),
            place,
            options: Options::new(),
        });
        Ok(())
    }

    fn option(&mut self, text: &str, indent: usize, place: Place) -> Result<(), PropertyProtectionError> {
        let line = |problem| PropertyProtectionError::Line {
            place: place.clone(),
            problem,
        };
        let (name, value) = text
            .split_once(['=', ':'])
            .ok_or_else(|| line("neither a section nor an option with a value, such as read = member"))?;
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            return Err(line("there is no option before the value"));
        }
        let options = self
            .options()
            .ok_or_else(|| line("an option stands before the first section"))?;
        if options.contains_key(&name) {
            return Err(line("the option is there twice"));
        }
        options.insert(name.clone(), (value.trim().to_owned(), place));
        self.last = Some((name, indent));
        Ok(())
    }

    fn options(&mut self) -> Option<&mut Options> {
        match self.within {
            Within::Nothing => None,
            Within::Defaults => Some(&mut self.defaults),
            Within::Section => self.sections.last_mut().map(|section| &mut section.options),
        }
    }
}
