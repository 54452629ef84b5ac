//! memcached's text protocol: `mg`, `get`, `set`.
//!
//! Source: memcached 1.6, `doc/protocol.txt`.

use std::time::Duration;

use super::wire::{Answer, Command, Garbage, MAX_VALUE, Progress, Refusal, Value};

/// The longest line that is read, line end included.
const MAX_LINE: usize = 512;

/// `command` as bytes to be sent.
pub(super) fn request(meta: bool, command: &Command<'_>) -> Vec<u8> {
    match command {
        Command::Get { key } if meta => format!("mg {key} k v f t\r\n").into_bytes(),
        Command::Get { key } => format!("get {key}\r\n").into_bytes(),
        Command::Set {
            key,
            value,
            flags,
            seconds,
        } => {
            let mut request = format!("set {key} {flags} {seconds} {}\r\n", value.len()).into_bytes();
            request.extend_from_slice(value);
            request.extend_from_slice(b"\r\n");
            request
        }
    }
}

/// What `bytes` answer to it.
///
/// # Errors
/// [`Garbage`].
pub(super) fn answer(meta: bool, command: &Command<'_>, bytes: &[u8]) -> Result<Progress, Garbage> {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_LINE {
            Ok(Progress::Partial(1))
        } else {
            Err(Garbage)
        };
    };
    let (line, rest) = bytes.split_at_checked(end + 1).ok_or(Garbage)?;
    let line = line.strip_suffix(b"\r\n").ok_or(Garbage)?;
    let line = std::str::from_utf8(line).map_err(|_| Garbage)?;
    let complete = |answer| {
        Ok(Progress::Complete {
            answer,
            length: end + 1,
        })
    };
    let mut words = line.split(' ');
    match (words.next(), command) {
        (Some("ERROR" | "CLIENT_ERROR"), _) => complete(Answer::Refused(
            // The one memcached says when it was started with an authfile.
            if line == "CLIENT_ERROR unauthenticated" {
                Refusal::Unauthenticated
            } else {
                Refusal::Unknown
            },
        )),
        (Some("SERVER_ERROR"), _) => complete(Answer::Refused(Refusal::Unable)),
        (Some("STORED"), Command::Set { .. }) if line == "STORED" => complete(Answer::Stored),
        (Some("NOT_STORED"), Command::Set { .. }) if line == "NOT_STORED" => {
            complete(Answer::Refused(Refusal::Unable))
        }
        (Some("END"), Command::Get { .. }) if !meta && line == "END" => complete(Answer::Miss),
        // Newer servers tell the key of what they do not have as well.
        (Some("EN"), Command::Get { key }) if meta => match words.next() {
            None => complete(Answer::Miss),
            Some(echo) if echo.strip_prefix('k') == Some(key) && words.next().is_none() => {
                complete(Answer::Miss)
            }
            Some(_) => Err(Garbage),
        },
        (Some("VA"), Command::Get { key }) if meta => {
            let found = meta_fields(words, key)?;
            match value(rest, end + 1, found.size, b"\r\n", found.flags, found.remaining)? {
                Progress::Complete { length, .. } if found.stale => Ok(Progress::Complete {
                    answer: Answer::Miss,
                    length,
                }),
                progress => Ok(progress),
            }
        }
        (Some("VALUE"), Command::Get { key }) if !meta => {
            if words.next() != Some(key) {
                return Err(Garbage);
            }
            let flags = number(words.next())?;
            let size = number(words.next())?;
            if words.next().is_some() {
                return Err(Garbage);
            }
            value(rest, end + 1, size, b"\r\nEND\r\n", flags, None)
        }
        _ => Err(Garbage),
    }
}

/// What `mg` tells of an entry before its value.
struct MetaFields {
    size: u32,
    flags: u32,
    remaining: Option<Duration>,
    stale: bool,
}

/// `<size> k<key> f<flags> t<seconds>`, in any order after the size.
fn meta_fields<'w>(mut words: impl Iterator<Item = &'w str>, key: &str) -> Result<MetaFields, Garbage> {
    let size = number(words.next())?;
    let (mut echo, mut flags, mut remaining, mut stale) = (None, None, None, false);
    for word in words {
        let mut characters = word.chars();
        match (characters.next(), characters.as_str()) {
            (Some('k'), key) => echo = Some(key),
            (Some('f'), number) => flags = Some(self::number(Some(number))?),
            // For ever.
            (Some('t'), "-1") => remaining = Some(Some(Duration::MAX)),
            (Some('t'), seconds) => {
                remaining = Some(Some(Duration::from_secs(number(Some(seconds))?.into())))
            }
            // Someone marked it as stale, and someone, perhaps we, is to write it anew.
            (Some('W' | 'X' | 'Z'), "") => stale = true,
            _ => return Err(Garbage),
        }
    }
    match (echo == Some(key), flags, remaining) {
        (true, Some(flags), Some(remaining)) => Ok(MetaFields {
            size,
            flags,
            remaining,
            stale,
        }),
        _ => Err(Garbage),
    }
}

/// An entry of `size` bytes that begins with `rest`, ends with `terminator` and stands after `line` bytes.
fn value(
    rest: &[u8],
    line: usize,
    size: u32,
    terminator: &[u8],
    flags: u32,
    remaining: Option<Duration>,
) -> Result<Progress, Garbage> {
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= MAX_VALUE)
        .ok_or(Garbage)?;
    let Some((data, end)) = rest.split_at_checked(size) else {
        return Ok(Progress::Partial(size - rest.len() + terminator.len()));
    };
    match end.split_at_checked(terminator.len()) {
        Some((end, _)) if end == terminator => Ok(Progress::Complete {
            answer: Answer::Hit(Value {
                data: data.to_vec(),
                flags,
                remaining,
            }),
            length: line + size + terminator.len(),
        }),
        None if terminator.starts_with(end) => Ok(Progress::Partial(terminator.len() - end.len())),
        _ => Err(Garbage),
    }
}

/// Digits alone: no sign, no blanks.
fn number(word: Option<&str>) -> Result<u32, Garbage> {
    word.filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|word| word.parse().ok())
        .ok_or(Garbage)
}
