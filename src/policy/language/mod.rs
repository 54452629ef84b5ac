//! The policy language of oslo.policy: text → [`Check`] once, then [`evaluate`] as often as needed.
//!
//! Pure: no I/O, no clock, nothing of images or callers. Follows oslo.policy 6.0.1 (`_parser.py`, `_checks.py`),
//! except that what cannot be understood is *unknown* instead of false; see `docs/decisions/0006-policy-engine.md`.

mod ast;
mod evaluate;
mod fault;
#[cfg(test)]
mod oracle;
mod parse;
mod rule_set;
mod template;
#[cfg(test)]
mod tests;

pub use self::{
    ast::Check,
    evaluate::{Attributes, MAX_CHECKS, MAX_DEPTH, Value, Verdict, evaluate},
    fault::Fault,
    parse::{MAX_NESTING, MAX_RULE_BYTES, Parsed, parse, parse_lists},
    rule_set::RuleSet,
    template::Template,
};
