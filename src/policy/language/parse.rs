//! Rule text → [`Check`].
//!
//! Tokens are split as oslo.policy splits them: at white space, then parentheses off both ends of each word. The
//! grammar is the usual one: `not` binds tighter than `and`, `and` tighter than `or`.

use std::iter::Peekable;

use super::{Check, Fault, Template};

/// The longest rule that is read, in bytes. Real ones have a few hundred.
pub const MAX_RULE_BYTES: usize = 64 * 1024;

/// How deep `not` and parentheses may nest.
pub const MAX_NESTING: usize = 50;

/// A rule as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The rule; what was not understood is [`Check::Unusable`] in it.
    pub check: Check,
    /// What was not understood.
    pub faults: Vec<Fault>,
}

/// Reads a rule in the policy language. Takes time and memory proportional to the text.
pub fn parse(text: &str) -> Parsed {
    // Only the truly empty rule allows; one of spaces is a syntax error, as in oslo.policy.
    if text.is_empty() {
        return Parsed {
            check: Check::Always,
            faults: Vec::new(),
        };
    }
    let mut parser = Parser {
        faults: Vec::new(),
        nesting: 0,
    };
    let check = if text.len() > MAX_RULE_BYTES {
        Err(Fault::TooLong)
    } else {
        parser.whole(text)
    };
    let check = check.unwrap_or_else(|fault| {
        parser.faults.push(fault);
        Check::Unusable
    });
    Parsed {
        check,
        faults: parser.faults,
    }
}

/// Reads a rule in the old form, a list of lists of checks: the outer list is joined by `or`, the inner ones by
/// `and`. No list at all allows; nothing but empty lists denies.
pub fn parse_lists(lists: &[Vec<String>]) -> Parsed {
    let mut faults = Vec::new();
    let mut alternatives: Vec<Check> = lists
        .iter()
        .filter(|list| !list.is_empty())
        .map(|list| {
            let mut checks: Vec<Check> = list.iter().map(|text| single(text, &mut faults)).collect();
            match checks.pop() {
                Some(only) if checks.is_empty() => only,
                last => {
                    checks.extend(last);
                    Check::All(checks)
                }
            }
        })
        .collect();
    let check = match alternatives.pop() {
        None if lists.is_empty() => Check::Always,
        None => Check::Never,
        Some(only) if alternatives.is_empty() => only,
        Some(last) => {
            alternatives.push(last);
            Check::Any(alternatives)
        }
    };
    Parsed { check, faults }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    And,
    Or,
    Not,
    /// Means nothing in a rule.
    Quoted,
    Check(&'a str),
}

fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    // Python's `\s` has four separators that Unicode's White_Space has not.
    text.split(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
        .filter(|word| !word.is_empty())
        .flat_map(|word| {
            let unopened = word.trim_start_matches('(');
            let core = unopened.trim_end_matches(')');
            let opening = word.len().saturating_sub(unopened.len());
            let closing = unopened.len().saturating_sub(core.len());
            let core = (!core.is_empty()).then(|| classify(unopened, core));
            std::iter::repeat_n(Token::Open, opening)
                .chain(core)
                .chain(std::iter::repeat_n(Token::Close, closing))
        })
}

fn classify<'a>(unopened: &'a str, core: &'a str) -> Token<'a> {
    let quoted = |quote| unopened.len() >= 2 && unopened.starts_with(quote) && unopened.ends_with(quote);
    match core {
        _ if core.eq_ignore_ascii_case("and") => Token::And,
        _ if core.eq_ignore_ascii_case("or") => Token::Or,
        _ if core.eq_ignore_ascii_case("not") => Token::Not,
        _ if quoted('"') || quoted('\'') => Token::Quoted,
        _ => Token::Check(core),
    }
}

struct Parser {
    faults: Vec<Fault>,
    nesting: usize,
}

impl Parser {
    fn whole(&mut self, text: &str) -> Result<Check, Fault> {
        let mut tokens = tokens(text).peekable();
        let check = self.disjunction(&mut tokens)?;
        match tokens.next() {
            None => Ok(check),
            Some(_) => Err(Fault::Syntax),
        }
    }

    fn disjunction<'a>(
        &mut self,
        tokens: &mut Peekable<impl Iterator<Item = Token<'a>>>,
    ) -> Result<Check, Fault> {
        let first = self.conjunction(tokens)?;
        if tokens.peek() != Some(&Token::Or) {
            return Ok(first);
        }
        let mut checks = vec![first];
        while tokens.next_if_eq(&Token::Or).is_some() {
            checks.push(self.conjunction(tokens)?);
        }
        Ok(Check::Any(checks))
    }

    fn conjunction<'a>(
        &mut self,
        tokens: &mut Peekable<impl Iterator<Item = Token<'a>>>,
    ) -> Result<Check, Fault> {
        let first = self.unary(tokens)?;
        if tokens.peek() != Some(&Token::And) {
            return Ok(first);
        }
        let mut checks = vec![first];
        while tokens.next_if_eq(&Token::And).is_some() {
            checks.push(self.unary(tokens)?);
        }
        Ok(Check::All(checks))
    }

    fn unary<'a>(&mut self, tokens: &mut Peekable<impl Iterator<Item = Token<'a>>>) -> Result<Check, Fault> {
        let token = tokens.next().ok_or(Fault::Syntax)?;
        if let Token::Check(text) = token {
            return Ok(single(text, &mut self.faults));
        }
        if self.nesting == MAX_NESTING {
            return Err(Fault::TooDeep);
        }
        self.nesting += 1;
        let check = match token {
            Token::Not => Check::Not(Box::new(self.unary(tokens)?)),
            Token::Open => {
                let check = self.disjunction(tokens)?;
                tokens.next_if_eq(&Token::Close).ok_or(Fault::Syntax)?;
                check
            }
            Token::Close | Token::And | Token::Or | Token::Quoted | Token::Check(_) => {
                return Err(Fault::Syntax);
            }
        };
        self.nesting -= 1;
        Ok(check)
    }
}

/// One check: `@`, `!` or `left:right`.
fn single(text: &str, faults: &mut Vec<Fault>) -> Check {
    if text.len() > MAX_RULE_BYTES {
        faults.push(Fault::TooLong);
        return Check::Unusable;
    }
    comparison(text).unwrap_or_else(|fault| {
        faults.push(fault);
        Check::Unusable
    })
}

fn comparison(text: &str) -> Result<Check, Fault> {
    match text {
        "@" => return Ok(Check::Always),
        "!" => return Ok(Check::Never),
        _ => {}
    }
    let (left, right) = text
        .split_once(':')
        .ok_or_else(|| Fault::NoColon(text.to_owned()))?;
    match left {
        "rule" => Ok(Check::Rule(right.to_owned())),
        "role" => Ok(Check::Role(Template::parse(right)?.lower_case())),
        "http" | "https" => Err(Fault::Remote(text.to_owned())),
        _ => {
            let expected = Template::parse(right)?;
            Ok(match literal(left) {
                Some(value) => Check::Literal { value, expected },
                None => Check::Credential {
                    path: path(left).ok_or_else(|| Fault::Left(left.to_owned()))?,
                    expected,
                },
            })
        }
    }
}

/// A Python constant on the left side, as `str` prints it: a string without escapes, an integer, `True`, `False`,
/// `None`.
fn literal(left: &str) -> Option<String> {
    if matches!(left, "True" | "False" | "None") {
        return Some(left.to_owned());
    }
    for quote in ['\'', '"'] {
        let inner = left
            .strip_prefix(quote)
            .and_then(|inner| inner.strip_suffix(quote));
        if let Some(inner) = inner {
            return (!inner.contains([quote, '\\'])).then(|| inner.to_owned());
        }
    }
    let digits = left.strip_prefix('-').unwrap_or(left);
    let canonical = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    (canonical && !digits.is_empty() && left != "-0").then(|| left.to_owned())
}

/// The dotted name of an attribute. What Python would take for another kind of constant, or for no expression, is
/// refused: it could never be equal to what its author had in mind.
fn path(left: &str) -> Option<Vec<String>> {
    let plain = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
    };
    let names: Vec<String> = left.split('.').map(str::to_owned).collect();
    names.iter().all(|name| plain(name)).then_some(names)
}
