//! ZIP archives of one file (PKWARE's APPNOTE.TXT 6.3.10), as a stream: the file first, and then what the archive says of
//! itself, which has to agree. The file's name means nothing here, and is not looked at beyond its last character.

use std::io::{BufRead, Read};

use flate2::bufread::DeflateDecoder;

use super::{DecompressError, Output};

const LOCAL_FILE: [u8; 4] = *b"PK\x03\x04";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
const CENTRAL_FILE: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const ZIP64_END: [u8; 4] = *b"PK\x06\x06";

/// Stands for a number that is in an extra field of 64 bits.
const ELSEWHERE: u32 = u32::MAX;
/// The extra field of 64-bit numbers.
const ZIP64: u16 = 1;

/// Bytes that may follow the list of files: the records at the end, and a comment.
const TAIL: u64 = 1 << 20;

/// What a header says of the file.
struct Header {
    is_encrypted: bool,
    /// Checksum and sizes follow the data.
    has_descriptor: bool,
    method: u16,
    checksum: u32,
    packed: u32,
    unpacked: u32,
}

pub(super) fn unpack(input: &mut impl BufRead, output: &mut Output<'_>) -> Result<(), DecompressError> {
    let mut archive = Archive { input };
    if archive.signature(output)? != LOCAL_FILE {
        return Err(output.damaged("it does not begin with a file"));
    }
    // The version that is needed: what counts is what follows from it.
    archive.number::<2>(output)?;
    let header = archive.header(output)?;
    let (name, extra) = (archive.number::<2>(output)?, archive.number::<2>(output)?);
    let name = archive.bytes(name, output)?;
    let extra = archive.bytes(extra, output)?;
    let unsupported = |what: &str| Err(DecompressError::Unsupported(format!("the ZIP archive {what}")));
    if name.ends_with(b"/") {
        return unsupported("begins with a directory: pack one file alone");
    }
    if header.is_encrypted {
        return unsupported("is encrypted");
    }
    let begin = output.come_out;
    let checksum = match header.method {
        0 if header.has_descriptor => {
            return unsupported("holds its file uncompressed, and does not say where it ends");
        }
        0 => {
            let length = match header.packed {
                ELSEWHERE => wide(&extra, header.unpacked == ELSEWHERE)
                    .ok_or_else(|| output.damaged("its size is missing"))?,
                length => u64::from(length),
            };
            let mut data = Checked::new(archive.input.by_ref().take(length));
            output.drain(&mut data)?;
            if data.length != length {
                return Err(output.damaged("it ends in the file"));
            }
            data.checksum.finalize()
        }
        8 => {
            let mut data = Checked::new(DeflateDecoder::new(&mut *archive.input));
            output.drain(&mut data)?;
            data.checksum.finalize()
        }
        method => {
            return unsupported(&format!(
                "is compressed by method {method}: use deflate, as most programs do"
            ));
        }
    };
    let length = output.come_out.saturating_sub(begin);
    let (told, next) = match header.has_descriptor {
        true => archive.descriptor(output)?,
        false => (header.checksum, archive.signature(output)?),
    };
    if told != checksum {
        return Err(output.damaged("the file has another checksum than it says"));
    }
    archive.end(next, checksum, length, output)
}

/// The 64-bit size of the packed file; behind that of the unpacked one, if that is there, too.
fn wide(extra: &[u8], behind_unpacked: bool) -> Option<u64> {
    let mut rest = extra;
    while let [id0, id1, len0, len1, more @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*len0, *len1]));
        let (field, following) = more.split_at_checked(length)?;
        if u16::from_le_bytes([*id0, *id1]) == ZIP64 {
            let at = if behind_unpacked { 8 } else { 0 };
            let number = field.get(at..)?.first_chunk::<8>()?;
            return Some(u64::from_le_bytes(*number));
        }
        rest = following;
    }
    None
}

struct Archive<'a, R> {
    input: &'a mut R,
}

impl<R: BufRead> Archive<'_, R> {
    fn array<const N: usize>(&mut self, output: &Output<'_>) -> Result<[u8; N], DecompressError> {
        let mut bytes = [0; N];
        let read = self.input.read_exact(&mut bytes);
        read.map_err(|_| output.damaged("it ends too soon"))?;
        Ok(bytes)
    }

    fn signature(&mut self, output: &Output<'_>) -> Result<[u8; 4], DecompressError> {
        self.array(output)
    }

    /// A number of `N` bytes, at most 4.
    fn number<const N: usize>(&mut self, output: &Output<'_>) -> Result<u32, DecompressError> {
        let bytes = self.array::<N>(output)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| (sum << 8) | u32::from(*byte)))
    }

    /// So many bytes, at most 65535: their number is one of 16 bits.
    fn bytes(&mut self, length: u32, output: &Output<'_>) -> Result<Vec<u8>, DecompressError> {
        let mut bytes = vec![0; usize::try_from(length.min(0xffff)).unwrap_or(0)];
        let read = self.input.read_exact(&mut bytes);
        read.map_err(|_| output.damaged("it ends too soon"))?;
        Ok(bytes)
    }

    /// What local and central headers have in common.
    fn header(&mut self, output: &Output<'_>) -> Result<Header, DecompressError> {
        let flags = self.number::<2>(output)?;
        let method = self.number::<2>(output)?;
        // When it was changed.
        self.number::<4>(output)?;
        Ok(Header {
            is_encrypted: flags & 1 != 0,
            has_descriptor: flags & 8 != 0,
            method: u16::try_from(method).unwrap_or(u16::MAX),
            checksum: self.number::<4>(output)?,
            packed: self.number::<4>(output)?,
            unpacked: self.number::<4>(output)?,
        })
    }

    /// The checksum behind the data, and the signature that follows: whether the sizes between have 32 or 64 bits shows only
    /// by that.
    fn descriptor(&mut self, output: &Output<'_>) -> Result<(u32, [u8; 4]), DecompressError> {
        let checksum = match self.signature(output)? {
            DESCRIPTOR => self.number::<4>(output)?,
            checksum => u32::from_le_bytes(checksum),
        };
        self.array::<8>(output)?;
        let mut next = self.signature(output)?;
        if next != CENTRAL_FILE && next != LOCAL_FILE {
            self.array::<4>(output)?;
            next = self.signature(output)?;
        }
        Ok((checksum, next))
    }

    /// The list of files, which is that file alone, behind its signature, and the end.
    fn end(
        &mut self,
        list: [u8; 4],
        checksum: u32,
        length: u64,
        output: &Output<'_>,
    ) -> Result<(), DecompressError> {
        let several = || {
            DecompressError::Unsupported(
                "the ZIP archive holds more than one file: pack one alone".to_owned(),
            )
        };
        match list {
            CENTRAL_FILE => {}
            LOCAL_FILE => return Err(several()),
            _ => return Err(output.damaged("its list of files does not follow the file")),
        }
        self.array::<4>(output)?;
        let header = self.header(output)?;
        let is_other_length = header.unpacked != ELSEWHERE && u64::from(header.unpacked) != length;
        if header.checksum != checksum || is_other_length {
            return Err(output.damaged("its list of files does not agree with the file"));
        }
        let (name, extra, comment) = (
            self.number::<2>(output)?,
            self.number::<2>(output)?,
            self.number::<2>(output)?,
        );
        self.array::<12>(output)?;
        for length in [name, extra, comment] {
            self.bytes(length, output)?;
        }
        match self.signature(output)? {
            END | ZIP64_END => {}
            CENTRAL_FILE => return Err(several()),
            _ => return Err(output.damaged("its list of files has no end")),
        }
        let tail = std::io::copy(&mut self.input.by_ref().take(TAIL), &mut std::io::sink());
        match tail {
            Ok(tail) if tail < TAIL => Ok(()),
            Ok(_) => Err(output.damaged("too much follows its end")),
            Err(error) => Err(output.damaged(error)),
        }
    }
}

/// Data with its checksum.
struct Checked<R> {
    data: R,
    checksum: crc32fast::Hasher,
    length: u64,
}

impl<R> Checked<R> {
    fn new(data: R) -> Self {
        Self {
            data,
            checksum: crc32fast::Hasher::new(),
            length: 0,
        }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.data.read(buffer)?;
        self.checksum.update(buffer.get(..read).unwrap_or_default());
        self.length = self.length.saturating_add(read as u64);
        Ok(read)
    }
}
