//! Doors for `fuzz/`: what memcached servers answer, and what is made of it.

use std::time::Duration;

use super::{
    address::Address,
    binary, body,
    placement::Placement,
    protection::Entry,
    value,
    wire::{self, Command, Progress, Value},
};
use crate::identity::keystone::Protection;

/// The three protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Dialect {
    Meta,
    Classic,
    Binary,
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Answer {
    Hit {
        data: Vec<u8>,
        flags: u32,
        remaining: Option<Duration>,
    },
    Miss,
    Stored,
    Refused,
}

/// How far an answer has come in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Step {
    Partial(usize),
    Complete { answer: Answer, length: usize },
    Garbage,
}

/// What `bytes` say to `get KEY` (or, with a value, to `set`).
pub fn answer(dialect: Dialect, key: &str, set: bool, opaque: u32, bytes: &[u8]) -> Step {
    let dialect = match dialect {
        Dialect::Meta => wire::Dialect::Meta,
        Dialect::Classic => wire::Dialect::Classic,
        Dialect::Binary => wire::Dialect::Binary,
    };
    let command = if set {
        Command::Set {
            key,
            value: b"",
            flags: 0,
            seconds: 0,
        }
    } else {
        Command::Get { key }
    };
    step(dialect.answer(&command, opaque, bytes))
}

/// What `bytes` say to a login, which the binary protocol alone has.
pub fn login_answer(opaque: u32, bytes: &[u8]) -> Step {
    step(binary::login_answer(opaque, bytes))
}

fn step(read: Result<Progress, wire::Garbage>) -> Step {
    match read {
        Err(wire::Garbage) => Step::Garbage,
        Ok(Progress::Partial(missing)) => Step::Partial(missing),
        Ok(Progress::Complete { answer, length }) => Step::Complete {
            answer: match answer {
                wire::Answer::Hit(Value {
                    data,
                    flags,
                    remaining,
                }) => Answer::Hit {
                    data,
                    flags,
                    remaining,
                },
                wire::Answer::Miss => Answer::Miss,
                wire::Answer::Stored => Answer::Stored,
                wire::Answer::Refused(_) => Answer::Refused,
            },
            length,
        },
    }
}

/// The token's body in a value that memcached gave for `token`.
pub fn entry(
    token: &str,
    protection: &Protection,
    replicated: bool,
    flags: u32,
    data: Vec<u8>,
) -> Option<Vec<u8>> {
    let placement = if replicated {
        Placement::Replicated
    } else {
        Placement::Hashed
    };
    let value = Value {
        data,
        flags,
        remaining: None,
    };
    let bytes = value::bytes(value, placement).ok()?;
    let entry = Entry::of(token, protection).ok()?;
    body::token_body(entry.unprotect(bytes).ok()?)
}

/// A body as it is stored for `token`.
pub fn protected(token: &str, protection: &Protection, body: &[u8]) -> Option<Vec<u8>> {
    Entry::of(token, protection).ok()?.protect(body).ok()
}

/// `Debug` of the address of a server, or why it is none.
pub fn address(text: &str) -> Result<String, String> {
    Address::parse(text)
        .map(|address| format!("{address:?}"))
        .map_err(|error| error.to_string())
}
