//! Unpacks what was compressed, as a stream: in bounded memory, and without a file.
//!
//! * [`Compression::of`]: what it is, by its first bytes
//! * [`decompress`]: what was in it; `zip`, `lha`: archives of one file, `zstd`: frames one after another
//!
//! Memory: a decoder's window, at most 128 MiB (zstd; gzip, ZIP and LHA 64 KiB, bzip2 4 MiB, XZ 68 MiB), and two buffers.
//! What needs more is refused. How much comes out is bounded by a [`Ratio`], and by whoever takes it.

mod lha;
#[cfg(test)]
mod tests;
mod zip;
mod zstd;

use std::{
    cell::Cell,
    fmt,
    io::{self, BufRead, BufReader, Read},
    mem,
    ops::ControlFlow,
};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;

/// The length of what is handed on at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// So many members of gzip, streams of bzip2 and frames of zstd may follow one another in anything; more only if there is one for so
/// many bytes that have gone in, or come out: programs that work on blocks of 64 KiB (BGZF) pass, also with disks that are empty.
const FREE_MEMBERS: u64 = 1000;
const MEMBER_IN: u64 = 1 << 10;
const MEMBER_OUT: u64 = 16 << 10;

/// For the window of XZ, in KiB: that of `xz -9`, and what the decoder itself needs.
const XZ_MEMORY: u32 = 68 * 1024;

/// How something is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952; several members one after another are one file.
    Gzip,
    /// An archive of one file.
    Zip,
    /// The .xz format.
    Xz,
    /// RFC 8878.
    Zstd,
    /// bzip2.
    Bzip2,
    /// An archive of one file, by LHA (`.lzh`).
    Lha,
}

impl Compression {
    /// So many bytes tell what it is.
    pub const HEAD: usize = 10;

    /// What begins with these bytes. Gzip, ZIP and LHA as Glance 33 tells them (`image_decompression.py`).
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Some(Self::Gzip),
            [b'P', b'K', 3, 4, ..] => Some(Self::Zip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            // The name, a digit, and how blocks begin.
            [
                b'B',
                b'Z',
                b'h',
                b'1'..=b'9',
                0x31,
                0x41,
                0x59,
                0x26,
                0x53,
                0x59,
                ..,
            ] => Some(Self::Bzip2),
            [_, _, b'-', b'l', b'h', ..] => Some(Self::Lha),
            _ => None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zip => "ZIP",
            Self::Xz => "XZ",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lha => "LHA",
        })
    }
}

/// How much more may come out than goes in: a few kilobytes can stand for terabytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// So many bytes may come out of anything.
    pub free: u64,
    /// More than those, so many times what has gone in.
    pub times: u64,
}

impl Ratio {
    /// A disk that is mostly empty is a few hundred times as large as its compressed form: that passes up to 16 GiB, whatever
    /// its ratio, and beyond as long as it is not more than gzip's best, a thousand.
    pub const DEFAULT: Self = Self {
        free: 16 << 30,
        times: 1024,
    };

    fn permits(self, gone_in: u64, come_out: u64) -> bool {
        come_out <= self.free.max(gone_in.saturating_mul(self.times))
    }
}

/// Why something cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// It is not whole, or not what it claims to be.
    #[error("the {0} data is damaged or incomplete: {1}")]
    Damaged(Compression, String),
    /// It is, but nothing that is unpacked here.
    #[error("{0}")]
    Unsupported(String),
    /// Too much comes out of too little.
    #[error(
        "{gone_in} bytes of {compression} data have become more than {come_out}: that is no disk image. Upload it uncompressed"
    )]
    Bomb {
        /// What it is.
        compression: Compression,
        /// Bytes read.
        gone_in: u64,
        /// Bytes that would have come out.
        come_out: u64,
    },
    /// What is to be unpacked breaks off.
    #[error("the compressed data broke off")]
    Input(#[source] io::Error),
    /// Nobody takes what comes out.
    #[error("nobody wants it any more")]
    Unwanted,
}

/// Reads `input` to its end, and gives `sink` what was in it, in pieces. Blocks.
///
/// # Errors
/// See [`DecompressError`]; what `sink` was given then is worth nothing.
pub fn decompress(
    compression: Compression,
    input: impl Read,
    ratio: Ratio,
    sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<u64, DecompressError> {
    let gone_in = Cell::new(0_u64);
    let mut broken = None;
    let counted = Counted {
        input,
        count: &gone_in,
        broken: &mut broken,
    };
    let mut come_out = Output {
        compression,
        ratio,
        gone_in: &gone_in,
        come_out: 0,
        members: 0,
        buffer: vec![0; CHUNK],
        sink,
    };
    let mut input = BufReader::with_capacity(CHUNK, counted);
    let result = match compression {
        Compression::Gzip => gzip(&mut input, &mut come_out),
        Compression::Zip => zip::unpack(&mut input, &mut come_out),
        Compression::Xz => {
            let mut decoder = XzReader::new_mem_limit(&mut input, true, XZ_MEMORY);
            come_out
                .drain(&mut decoder)
                .and_then(|()| at_end(&mut input, compression))
        }
        Compression::Zstd => zstd::unpack(&mut input, &mut come_out),
        Compression::Bzip2 => bzip2(&mut input, &mut come_out),
        Compression::Lha => lha::unpack(&mut input, &mut come_out),
    };
    let length = come_out.come_out;
    drop(input);
    // Whatever a decoder makes of it, that is why.
    match broken {
        Some(error) => Err(DecompressError::Input(error)),
        None => result.map(|()| length),
    }
}

/// Members one after another; zeroes behind them fill a tape's last block.
fn gzip(input: &mut impl BufRead, output: &mut Output<'_>) -> Result<(), DecompressError> {
    loop {
        output.begin_member()?;
        output.drain(&mut GzDecoder::new(&mut *input))?;
        loop {
            let rest = input.fill_buf().map_err(|error| output.damaged(error))?;
            match rest.iter().position(|&byte| byte != 0) {
                Some(zeroes) => {
                    input.consume(zeroes);
                    break;
                }
                None if rest.is_empty() => return Ok(()),
                None => {
                    let zeroes = rest.len();
                    input.consume(zeroes);
                }
            }
        }
    }
}

/// Streams one after another.
fn bzip2(input: &mut impl BufRead, output: &mut Output<'_>) -> Result<(), DecompressError> {
    loop {
        output.begin_member()?;
        output.drain(&mut BzDecoder::new(&mut *input))?;
        let rest = input.fill_buf().map_err(|error| output.damaged(error))?;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// Nothing follows.
fn at_end(input: &mut impl BufRead, compression: Compression) -> Result<(), DecompressError> {
    let damaged = |why: String| DecompressError::Damaged(compression, why);
    match input.fill_buf() {
        Ok([]) => Ok(()),
        Ok(_) => Err(damaged("something follows its end".to_owned())),
        Err(error) => Err(damaged(error.to_string())),
    }
}

/// Counts what is read, and keeps the reason why no more can be.
struct Counted<'a, R> {
    input: R,
    count: &'a Cell<u64>,
    broken: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer) {
            Ok(read) => {
                self.count.set(self.count.get().saturating_add(read as u64));
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                *self.broken = Some(error);
                Err(told)
            }
        }
    }
}

/// What comes out.
struct Output<'a> {
    compression: Compression,
    ratio: Ratio,
    gone_in: &'a Cell<u64>,
    come_out: u64,
    members: u64,
    /// Used for every member again.
    buffer: Vec<u8>,
    sink: &'a mut dyn FnMut(&[u8]) -> ControlFlow<()>,
}

impl Output<'_> {
    /// Another one of the compressed files that follow one another. Each takes a decoder, however little is in it.
    fn begin_member(&mut self) -> Result<(), DecompressError> {
        self.members = self.members.saturating_add(1);
        let worth = (self.gone_in.get() / MEMBER_IN).saturating_add(self.come_out / MEMBER_OUT);
        if self.members > FREE_MEMBERS.saturating_add(worth) {
            return Err(DecompressError::Unsupported(format!(
                "the {} data consists of more than {} pieces that hold next to nothing: compress the image as one",
                self.compression,
                self.members.saturating_sub(1)
            )));
        }
        Ok(())
    }

    /// Hands on all that the decoder has.
    fn drain(&mut self, decoder: &mut dyn Read) -> Result<(), DecompressError> {
        let mut buffer = mem::take(&mut self.buffer);
        let drained = self.drain_through(decoder, &mut buffer);
        self.buffer = buffer;
        drained
    }

    fn drain_through(&mut self, decoder: &mut dyn Read, buffer: &mut [u8]) -> Result<(), DecompressError> {
        loop {
            let filled = fill(decoder, buffer).map_err(|error| self.damaged(error))?;
            if filled == 0 {
                return Ok(());
            }
            self.hand_on(buffer.get(..filled).unwrap_or_default())?;
        }
    }

    fn hand_on(&mut self, bytes: &[u8]) -> Result<(), DecompressError> {
        self.come_out = self.come_out.saturating_add(bytes.len() as u64);
        let gone_in = self.gone_in.get();
        if !self.ratio.permits(gone_in, self.come_out) {
            return Err(DecompressError::Bomb {
                compression: self.compression,
                gone_in,
                come_out: self.come_out,
            });
        }
        match (self.sink)(bytes) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(DecompressError::Unwanted),
        }
    }

    fn damaged(&self, why: impl fmt::Display) -> DecompressError {
        DecompressError::Damaged(self.compression, why.to_string())
    }
}

/// Reads until the buffer is full, or nothing is left.
fn fill(decoder: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match decoder.read(room) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
