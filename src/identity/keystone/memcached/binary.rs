//! memcached's binary protocol: get, set, and SASL PLAIN.
//!
//! Source: memcached's `doc/protocol-binary.txt` and `doc/SASL.txt`; what of it python-binary-memcached 0.33 uses.

use zeroize::Zeroizing;

use super::{
    super::options::Sasl,
    wire::{Answer, Command, Garbage, MAX_VALUE, Progress, Refusal, Value},
};

const REQUEST: u8 = 0x80;
const RESPONSE: u8 = 0x81;
const GET: u8 = 0x00;
const SET: u8 = 0x01;
const AUTHENTICATE: u8 = 0x21;
const HEADER: usize = 24;
/// The longest text that comes with a refusal.
const MAX_MESSAGE: usize = 512;

/// `command` as bytes to be sent.
pub(super) fn request(command: &Command<'_>, opaque: u32) -> Vec<u8> {
    match command {
        Command::Get { key } => packet(GET, opaque, &[], key.as_bytes(), &[]),
        Command::Set {
            key,
            value,
            flags,
            seconds,
        } => {
            let mut extras = [0; 8];
            for (to, from) in extras
                .iter_mut()
                .zip(flags.to_be_bytes().into_iter().chain(seconds.to_be_bytes()))
            {
                *to = from;
            }
            packet(SET, opaque, &extras, key.as_bytes(), value)
        }
    }
}

/// The request that logs in with SASL PLAIN.
pub(super) fn login(sasl: &Sasl, opaque: u32) -> Zeroizing<Vec<u8>> {
    let (username, password) = (sasl.username.as_bytes(), sasl.password.expose().as_bytes());
    // In full at once: a vector that grows leaves copies of the password behind.
    let mut message = Zeroizing::new(Vec::with_capacity(username.len() + password.len() + 2));
    for part in [&[0], username, &[0], password] {
        message.extend_from_slice(part);
    }
    Zeroizing::new(packet(AUTHENTICATE, opaque, &[], b"PLAIN", &message))
}

fn packet(opcode: u8, opaque: u32, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    // Keys are short and values at most MAX_VALUE: nothing saturates.
    let key_length = u16::try_from(key.len()).unwrap_or(u16::MAX);
    let extras_length = u8::try_from(extras.len()).unwrap_or(u8::MAX);
    let body = extras.len() + key.len() + value.len();
    let mut packet = Vec::with_capacity(HEADER + body);
    packet.extend_from_slice(&[REQUEST, opcode]);
    packet.extend_from_slice(&key_length.to_be_bytes());
    packet.extend_from_slice(&[extras_length, 0, 0, 0]);
    packet.extend_from_slice(&u32::try_from(body).unwrap_or(u32::MAX).to_be_bytes());
    packet.extend_from_slice(&opaque.to_be_bytes());
    packet.extend_from_slice(&[0; 8]);
    for part in [extras, key, value] {
        packet.extend_from_slice(part);
    }
    packet
}

/// What `bytes` answer to `command`.
///
/// # Errors
/// [`Garbage`].
pub(super) fn answer(command: &Command<'_>, opaque: u32, bytes: &[u8]) -> Result<Progress, Garbage> {
    match command {
        Command::Get { .. } => parse(GET, opaque, bytes),
        Command::Set { .. } => parse(SET, opaque, bytes),
    }
}

/// What `bytes` answer to a login: [`Answer::Stored`] when it is accepted.
///
/// # Errors
/// [`Garbage`].
pub(super) fn login_answer(opaque: u32, bytes: &[u8]) -> Result<Progress, Garbage> {
    parse(AUTHENTICATE, opaque, bytes)
}

fn parse(opcode: u8, opaque: u32, bytes: &[u8]) -> Result<Progress, Garbage> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(Progress::Partial(HEADER - bytes.len()));
    };
    let &[
        magic,
        echo,
        k0,
        k1,
        extras,
        _,
        s0,
        s1,
        b0,
        b1,
        b2,
        b3,
        o0,
        o1,
        o2,
        o3,
        ..,
    ] = header;
    let key = u16::from_be_bytes([k0, k1]);
    let status = u16::from_be_bytes([s0, s1]);
    let length = usize::try_from(u32::from_be_bytes([b0, b1, b2, b3])).map_err(|_| Garbage)?;
    if magic != RESPONSE || echo != opcode || u32::from_be_bytes([o0, o1, o2, o3]) != opaque {
        return Err(Garbage);
    }
    let found = opcode == GET && status == 0;
    if length > if found { MAX_VALUE + 4 } else { MAX_MESSAGE } || (found && (key != 0 || extras != 4)) {
        return Err(Garbage);
    }
    let Some((body, _)) = rest.split_at_checked(length) else {
        return Ok(Progress::Partial(length - rest.len()));
    };
    let answer = match status {
        0 if found => {
            let (flags, data) = body.split_first_chunk::<4>().ok_or(Garbage)?;
            Answer::Hit(Value {
                data: data.to_vec(),
                flags: u32::from_be_bytes(*flags),
                remaining: None,
            })
        }
        0 => Answer::Stored,
        // Not found.
        0x01 if opcode == GET => Answer::Miss,
        // Too large, not stored, not my bucket, no memory, not supported, internal error, busy, later.
        0x03 | 0x05 | 0x07 | 0x82..=0x86 => Answer::Refused(Refusal::Unable),
        // Authentication: wrong (0x08 in python-binary-memcached), more steps.
        0x08 | 0x20 | 0x21 => Answer::Refused(Refusal::Unauthenticated),
        0x81 => Answer::Refused(Refusal::Unknown),
        _ => return Err(Garbage),
    };
    Ok(Progress::Complete {
        answer,
        length: HEADER + length,
    })
}
