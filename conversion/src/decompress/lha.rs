//! LHA archives of one file, as a stream: with the methods that `lhafile` knows, by which Glance unpacks them, and `-lh4-`, which is
//! `-lh5-` with a smaller window. The file's name means nothing here, and is not looked at.

use std::io::{self, BufRead, Read};

use delharc::{
    CompressionMethod, LhaError, LhaHeader, Take,
    crc::Crc16,
    decode::{Decoder, DecoderAny},
};

use super::{DecompressError, Output, at_end, fill};

/// The longest header that is kept, in bytes. One of level 2 has at most 64 KiB; others could go on for ever.
const MAX_HEADER: u64 = 128 * 1024;

/// Follows the last file.
const END: u8 = 0;

pub(super) fn unpack(input: &mut impl BufRead, output: &mut Output<'_>) -> Result<(), DecompressError> {
    let mut source = Source(&mut *input);
    let mut head = delharc::Read::take(&mut source, MAX_HEADER);
    let header = LhaHeader::read(&mut head).map_err(|error| output.damaged(error))?;
    let header = header.ok_or_else(|| output.damaged("it does not begin with a file"))?;
    let unsupported = |what: &str| Err(DecompressError::Unsupported(format!("the LHA archive {what}")));
    match header.compression_method() {
        Ok(
            CompressionMethod::Lh0
            | CompressionMethod::Lh4
            | CompressionMethod::Lh5
            | CompressionMethod::Lh6
            | CompressionMethod::Lh7,
        ) => {}
        Ok(CompressionMethod::Lhd) => return unsupported("begins with a directory: pack one file alone"),
        Ok(_) | Err(_) => {
            let method = header.compression.escape_ascii();
            return unsupported(&format!(
                "is compressed by method {method}: use -lh5-, as most programs do"
            ));
        }
    }
    let mut unpacked = Unpacked {
        decoder: DecoderAny::new_from_header(&header, source),
        left: header.original_size,
        checksum: Crc16::default(),
    };
    output.drain(&mut unpacked)?;
    if unpacked.checksum.sum16() != header.file_crc {
        return Err(output.damaged("the file has another checksum than it says"));
    }
    // The decoder stops where it has all.
    let rest = unpacked.decoder.into_inner().limit();
    let skipped = io::copy(&mut input.by_ref().take(rest), &mut io::sink());
    let mut next = [END];
    let ended = skipped.and_then(|_| input.read_exact(&mut next));
    ended.map_err(|_| output.damaged("it ends too soon"))?;
    match next {
        [END] => at_end(input, output.compression),
        _ => unsupported("holds more than one file: pack one alone"),
    }
}

/// As the decoder reads.
struct Source<R>(R);

impl<R: Read> delharc::Read for Source<R> {
    type Error = io::Error;

    fn unexpected_eof() -> io::Error {
        io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too soon")
    }

    fn read_all(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        fill(&mut self.0, buffer)
    }
}

/// What comes out, with its checksum.
struct Unpacked<R> {
    decoder: DecoderAny<Take<R>>,
    /// Bytes that are to come.
    left: u64,
    checksum: Crc16,
}

impl<R: delharc::Read<Error = io::Error>> Read for Unpacked<R> {
    /// All that there is room for, or the rest.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let Some(room) = buffer.get_mut(..length) else {
            return Ok(0);
        };
        self.decoder.fill_buffer(room).map_err(|error| match error {
            LhaError::Io(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
        })?;
        self.checksum.digest(room);
        self.left = self.left.saturating_sub(length as u64);
        Ok(length)
    }
}
