//! What is said to a memcached and what it may answer, whichever protocol it is said in. Bytes only, no I/O.

use std::time::Duration;

use super::{binary, text};

/// The largest value that is stored or believed: memcached's own default, and python-memcached's.
pub(super) const MAX_VALUE: usize = 1 << 20;

/// A memcached's protocols, as far as they are spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Text, reading with the meta command `mg`, which tells how long an entry will live (memcached 1.6).
    Meta,
    /// Text, reading with `get`.
    Classic,
    /// Binary: the one that knows SASL.
    Binary,
}

/// What is asked of a server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Command<'c> {
    /// Read an entry.
    Get {
        /// Its name.
        key: &'c str,
    },
    /// Write an entry.
    Set {
        /// Its name.
        key: &'c str,
        /// Its value.
        value: &'c [u8],
        /// What kind of value it is.
        flags: u32,
        /// How long it lives, in whole seconds.
        seconds: u32,
    },
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The entry exists.
    Hit(Value),
    /// It does not.
    Miss,
    /// It was written.
    Stored,
    /// It was not done.
    Refused(Refusal),
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// Its bytes.
    pub(super) data: Vec<u8>,
    /// What kind of value its writer says it is.
    pub(super) flags: u32,
    /// How long it will live, where the server tells it.
    pub(super) remaining: Option<Duration>,
}

/// Why a server did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not know the command.
    Unknown,
    /// It wants SASL first, or other credentials.
    Unauthenticated,
    /// It cannot now: no memory, too large, busy.
    Unable,
}

/// How far an answer has come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not all of it: as many bytes at least are missing. Never 0, and bounded by [`MAX_VALUE`] and a line or two.
    Partial(usize),
    /// All of it.
    Complete {
        /// What it says.
        answer: Answer,
        /// Its length in bytes.
        length: usize,
    },
}

/// Bytes that no memcached answers to what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Garbage;

impl Dialect {
    /// `command`, to be sent; `opaque` comes back with the answer where the protocol has room for it.
    pub(super) fn request(self, command: &Command<'_>, opaque: u32) -> Vec<u8> {
        match self {
            Self::Meta | Self::Classic => text::request(self == Self::Meta, command),
            Self::Binary => binary::request(command, opaque),
        }
    }

    /// What `bytes`, all that came in since, say to it.
    ///
    /// # Errors
    /// [`Garbage`]: whatever comes after them, it is no answer.
    pub(super) fn answer(
        self,
        command: &Command<'_>,
        opaque: u32,
        bytes: &[u8],
    ) -> Result<Progress, Garbage> {
        match self {
            Self::Meta | Self::Classic => text::answer(self == Self::Meta, command, bytes),
            Self::Binary => binary::answer(command, opaque, bytes),
        }
    }
}
