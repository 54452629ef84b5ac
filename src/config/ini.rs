//! The file syntax of oslo.config: sections, assignments, continuation lines. Knows no option.

/// One `key = value` as it stands in a file. The value may be a secret: there is no `Debug`.
pub(super) struct Assignment {
    /// As written between the brackets, spaces included.
    pub(super) section: String,
    pub(super) key: String,
    /// Continuation lines are joined with `\n`, as oslo.config does.
    pub(super) value: String,
    /// Where the key stands; the first line is 1.
    pub(super) line: usize,
}

/// A line that oslo.config would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) problem: &'static str,
}

/// What a file says, with every line that could not be read.
#[derive(Default)]
pub(super) struct Document {
    pub(super) sections: Vec<String>,
    pub(super) assignments: Vec<Assignment>,
    pub(super) errors: Vec<SyntaxError>,
}

/// Reads the syntax of oslo.config 10.7 (`iniparser.py`). Unlike it, goes on after a wrong line, so that all
/// of them are reported at once.
///
/// A comment starts only in the first column, and ends a value: an indented `#` line continues the value
/// above it.
pub(super) fn parse(text: &str) -> Document {
    let mut document = Document::default();
    let mut section: Option<String> = None;
    let mut pending: Option<Assignment> = None;
    for (index, raw) in lines(text).enumerate() {
        let number = index.saturating_add(1);
        let line = raw.trim_end();
        let mut refuse = |problem| {
            document.errors.push(SyntaxError {
                line: number,
                problem,
            })
        };
        if line.is_empty() {
            document.assignments.extend(pending.take());
        } else if line.starts_with([' ', '\t']) {
            match &mut pending {
                Some(assignment) => {
                    assignment.value.push('\n');
                    assignment.value.push_str(line.trim_start());
                }
                None => refuse("an indented line continues the value above it, and there is none"),
            }
        } else if let Some(inside) = line.strip_prefix('[') {
            document.assignments.extend(pending.take());
            match inside.strip_suffix(']') {
                None => refuse("a section must end with `]`, and nothing may follow it"),
                Some("") => refuse("a section needs a name"),
                Some(name) => {
                    document.sections.push(name.to_owned());
                    section = Some(name.to_owned());
                }
            }
        } else if line.starts_with(['#', ';']) {
            document.assignments.extend(pending.take());
        } else {
            document.assignments.extend(pending.take());
            match (split(line), &section) {
                (None, _) => refuse("neither a section, a comment, nor `option = value`"),
                (Some(("", _)), _) => refuse("the name of the option is missing before `=`"),
                (Some(_), None) => refuse("an option stands before the first section, such as `[DEFAULT]`"),
                (Some((key, value)), Some(section)) => {
                    pending = Some(Assignment {
                        section: section.clone(),
                        key: key.to_owned(),
                        value: unquoted(value).to_owned(),
                        line: number,
                    });
                }
            }
        }
    }
    document.assignments.extend(pending);
    document
}

/// `\n`, `\r\n` and a lone `\r` end a line, as in Python's text mode.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn split(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(['=', ':'])?;
    Some((key.trim(), value.trim()))
}

/// One pair of equal quotes around the whole first line is dropped; a lone quote is such a pair to
/// oslo.config.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return if rest.is_empty() {
                rest
            } else {
                rest.strip_suffix(quote).unwrap_or(value)
            };
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn values(text: &str) -> Vec<(String, String, String)> {
        let document = parse(text);
        assert_eq!(document.errors, []);
        document
            .assignments
            .into_iter()
            .map(|a| (a.section, a.key, a.value))
            .collect()
    }

    fn only(text: &str) -> String {
        let mut found = values(&format!("[DEFAULT]\n{text}"));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0).2
    }

    #[test]
    fn the_first_of_colon_and_equal_sign_divides() {
        assert_eq!(only("b: v=1"), "v=1");
        assert_eq!(only("b=k:v"), "k:v");
        assert_eq!(only("b ="), "");
    }

    #[test]
    fn indented_lines_continue_a_value_even_when_they_look_like_comments() {
        assert_eq!(only("a =\n  one\n\ttwo"), "\none\ntwo");
        assert_eq!(only("a = 1\n  # not a comment"), "1\n# not a comment");
    }

    #[test]
    fn quotes_around_the_first_line_are_dropped_as_oslo_does() {
        assert_eq!(only("a = \"x y \""), "x y ");
        assert_eq!(only("a = '''x'''"), "''x''");
        assert_eq!(only("a = \""), "");
        assert_eq!(only("a = \"x'"), "\"x'");
        assert_eq!(only("a = \"x\"\n  y"), "x\ny");
    }

    #[test]
    fn comments_and_blank_lines_end_a_value() {
        let document = parse("[DEFAULT]\na = 1\n# c\n  2\n\n  3\n; d\n");
        assert_eq!(document.assignments.len(), 1);
        assert_eq!(document.errors.iter().map(|e| e.line).collect::<Vec<_>>(), [4, 6]);
    }

    #[test]
    fn every_wrong_line_is_reported_with_its_number() {
        let document = parse("a = 1\r\n[x\r\n[]\r\nword\r\n[g] # c\r\n[ok]\r\n= 1\r\nb = 2\r\n");
        assert_eq!(
            document.errors.iter().map(|e| e.line).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 7]
        );
        assert_eq!(document.assignments.len(), 1);
        assert_eq!(document.assignments[0].line, 8);
    }

    proptest! {
        #[test]
        fn never_panics_and_never_makes_up_lines(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let text = String::from_utf8_lossy(&bytes);
            let count = lines(&text).count();
            for assignment in parse(&text).assignments {
                assert!(assignment.line >= 1 && assignment.line <= count);
                assert!(!assignment.key.is_empty());
            }
        }

        #[test]
        fn never_panics_on_text_made_of_its_own_signs(text in "[\\[\\]=:#; \t\n\r\"'a$\\{\\}]{0,200}") {
            parse(&text);
        }
    }
}
