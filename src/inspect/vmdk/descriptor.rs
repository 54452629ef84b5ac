//! The text that describes a VMware disk.

/// Bytes that oslo.utils lets stand in a text, and all above ASCII: a descriptor with an umlaut in a
/// comment is still one to QEMU.
fn is_text(byte: u8) -> bool {
    matches!(byte, 0x09..=0x0d | 0x1c..=0x7e | 0x80..)
}

/// Bytes that must be text before a stream counts as a text.
const TEXT_START: usize = 512;

/// Whether the bytes begin with comments and blank lines up to `version=1`, `2` or `3`, which is how QEMU
/// tells a descriptor. `None`: not decided by these bytes.
pub(super) fn is_descriptor_start(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return None,
            [b'#', ..] => {
                let newline = rest.iter().position(|&byte| byte == b'\n')?;
                rest.get(newline + 1..)?
            }
            [b' ', after @ ..] | [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => after,
            _ => {
                let mark = b"version=";
                let Some(after) = rest.strip_prefix(mark) else {
                    return if mark.starts_with(rest) || rest == b"\r" {
                        None
                    } else {
                        Some(false)
                    };
                };
                return match after {
                    [] | [b'1'..=b'3'] | [b'1'..=b'3', b'\r'] => None,
                    [b'1'..=b'3', b'\n', ..] | [b'1'..=b'3', b'\r', b'\n', ..] => Some(true),
                    _ => Some(false),
                };
            }
        };
    }
}

/// Whether the bytes begin as text and, before any NUL, assign a `createType` in whatever case, which is
/// how oslo.utils tells a descriptor. `whole`: nothing follows the bytes. `None`: not decided by these bytes.
pub(super) fn names_create_type(bytes: &[u8], whole: bool) -> Option<bool> {
    let length = bytes.iter().position(|&byte| byte == 0);
    let text = length.and_then(|length| bytes.get(..length)).unwrap_or(bytes);
    let start = text.get(..TEXT_START).unwrap_or(text);
    if !start.iter().all(|&byte| is_text(byte)) {
        return Some(false);
    }
    if text.len() < TEXT_START && length.is_none() && !whole {
        return None;
    }
    let named = text.windows(KEY.len() + 1).enumerate().any(|(at, window)| {
        let (key, next) = window.split_at(KEY.len());
        key.eq_ignore_ascii_case(KEY)
            && match next {
                b"=" => true,
                b" " | b"\t" => {
                    let after = text.get(at + KEY.len()..).unwrap_or_default();
                    after.trim_ascii_start().starts_with(b"=")
                }
                _ => false,
            }
    });
    match (named, length) {
        (true, _) => Some(true),
        (false, Some(_)) => Some(false),
        (false, None) => None,
    }
}

const KEY: &[u8] = b"createType";

/// Extents kept, so that a hostile list costs no memory; a disk of 2 TiB split by 2 GiB has a thousand.
pub(super) const EXTENTS_MAX: usize = 1024;

/// A line that describes one extent.
#[derive(Debug)]
pub(super) struct ExtentLine<'a> {
    /// From the start of the image.
    pub(super) offset: u64,
    pub(super) line: &'a [u8],
    pub(super) sectors: u64,
    pub(super) kind: &'a [u8],
    pub(super) file: Option<&'a [u8]>,
}

impl ExtentLine<'_> {
    /// Whether the line could lead out of the descriptor's directory, or into a protocol of QEMU's.
    pub(super) fn has_path(&self) -> bool {
        self.line.iter().any(|byte| matches!(byte, b'/' | b'\\'))
            || self
                .file
                .is_some_and(|file| file == b".." || file.contains(&b':'))
    }
}

/// A descriptor's lines, sorted by what they are.
#[derive(Debug)]
pub(super) struct Descriptor<'a> {
    /// Where it begins in the image.
    pub(super) offset: u64,
    /// The values of the first two lines that read exactly `createType="…"`, with their places.
    pub(super) create_types: Vec<(u64, &'a [u8])>,
    /// The first [`EXTENTS_MAX`] of them.
    pub(super) extents: Vec<ExtentLine<'a>>,
    /// Whether there are more extents than that.
    pub(super) more_extents: bool,
    pub(super) unknown_line: Option<(u64, &'a [u8])>,
    pub(super) non_ascii: Option<u64>,
}

impl<'a> Descriptor<'a> {
    /// Sort the lines of `text`, which begins at `offset` in the image and holds no NUL.
    pub(super) fn parse(text: &'a [u8], offset: u64) -> Self {
        let non_ascii = text
            .iter()
            .position(|byte| !byte.is_ascii())
            .map(|at| offset + at as u64);
        let mut descriptor = Self {
            offset,
            create_types: Vec::new(),
            extents: Vec::new(),
            more_extents: false,
            unknown_line: None,
            non_ascii,
        };
        let mut at = offset;
        for line in text.split(|&byte| byte == b'\n') {
            descriptor.line(line.trim_ascii(), at);
            at += line.len() as u64 + 1;
        }
        descriptor
    }

    fn line(&mut self, line: &'a [u8], at: u64) {
        if line.is_empty() || line.starts_with(b"#") {
            return;
        }
        let key = line.split(|&byte| byte == b'=').next().unwrap_or_default();
        if line
            .get(..3)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"ddb"))
        {
            // The disk database: geometry and adapter, nothing that a reader follows.
        } else if key.len() < line.len() && !key.contains(&b' ') {
            // Only this spelling is read alike by all.
            let value = line
                .strip_prefix(b"createType=\"")
                .and_then(|rest| rest.strip_suffix(b"\""));
            if let Some(value) = value.filter(|value| !value.contains(&b'"') && self.create_types.len() < 2) {
                self.create_types.push((at, value));
            }
        } else if let Some(extent) = extent(line, at) {
            self.more_extents = self.extents.len() == EXTENTS_MAX;
            if !self.more_extents {
                self.extents.push(extent);
            }
        } else if self.unknown_line.is_none() {
            self.unknown_line = Some((at, line));
        }
    }

    /// The disk's type, if exactly one is given.
    pub(super) fn create_type(&self) -> Option<String> {
        match self.create_types.as_slice() {
            [(_, value)] => Some(crate::inspect::hazard::lossy(value)),
            _ => None,
        }
    }
}

/// `ACCESS SECTORS KIND ["FILE" [OFFSET …]]`
fn extent(line: &[u8], offset: u64) -> Option<ExtentLine<'_>> {
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let access = words.next()?;
    if ![&b"RW"[..], b"RDONLY", b"NOACCESS"]
        .iter()
        .any(|known| access.eq_ignore_ascii_case(known))
    {
        return None;
    }
    let sectors = words.next()?;
    let sectors = std::str::from_utf8(sectors).ok()?.parse().ok()?;
    let kind = words.next()?;
    let file = line.split(|&byte| byte == b'"').nth(1);
    Some(ExtentLine {
        offset,
        line,
        sectors,
        kind,
        file,
    })
}
