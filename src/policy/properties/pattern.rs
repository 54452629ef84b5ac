//! The pattern of a section: written for Python's `re`, matched in linear time by `regex`.
//!
//! Most of the language is the same. What is written the same and means something else is translated or refused;
//! what `regex` does not have (look-around, references to groups) it refuses itself.

use regex::Regex;

/// A pattern that may be found anywhere in a name.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// # Errors
    /// Why it cannot be used, in one line.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let translated = translate(pattern)?;
        Regex::new(&translated).map(Self).map_err(|error| match error {
            // The message shows the pattern in lines of its own; its last line says what is wrong.
            regex::Error::Syntax(text) => {
                let last = text.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
            other => other.to_string(),
        })
    }

    pub(super) fn is_found_in(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// The pattern as `regex` writes it.
fn translate(pattern: &str) -> Result<String, String> {
    let mut translated = String::with_capacity(pattern.len() + 8);
    let mut in_class = false;
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, in_class) {
            ('\\', _) => match rest.next() {
                Some('Z') => translated.push_str(r"\z"),
                // Word boundaries there, the characters themselves here.
                Some(quoted @ ('<' | '>')) => translated.push(quoted),
                Some('b') if in_class => return Err(r"\b within [] is a backspace".to_owned()),
                Some('b') if rest.peek() == Some(&'{') => {
                    return Err(r"\b{ means something else in Python".to_owned());
                }
                Some(quoted) => translated.extend(['\\', quoted]),
                None => return Err("it ends with a backslash".to_owned()),
            },
            // Also before a line break at the end.
            ('$', false) => translated.push_str(r"(?:$|\n\z)"),
            ('[', false) => {
                translated.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    translated.push('^');
                }
                // The first one does not end the class.
                if rest.next_if_eq(&']').is_some() {
                    translated.push_str(r"\]");
                }
                in_class = true;
            }
            (']', true) => {
                translated.push(']');
                in_class = false;
            }
            // Classes within classes, and operations on classes: characters in Python.
            ('[' | '&' | '~', true) => translated.extend(['\\', c]),
            ('-', true) if rest.peek() == Some(&'-') => {
                return Err("-- within [] means something else in Python: write \\-".to_owned());
            }
            _ => translated.push(c),
        }
    }
    Ok(translated)
}
