//! What raw data seems to hold: compressed data and archives, and formats that QEMU probes for and that refer to
//! nothing else. For information only, as in Glance: a compressed ramdisk is a raw image.

use std::fmt;

use super::window::Evidence;

/// What raw data seems to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Content {
    /// A gzip stream (RFC 1952).
    Gzip,
    /// An xz stream.
    Xz,
    /// A Zstandard frame (RFC 8878).
    Zstd,
    /// A bzip2 stream.
    Bzip2,
    /// A POSIX or GNU tar archive, which an OVA is.
    Tar,
    /// A zip archive.
    Zip,
    /// A cpio archive in the format of Linux's initial ramdisks.
    Cpio,
    /// A disk of the Bochs emulator.
    Bochs,
    /// A compressed loop image.
    Cloop,
    /// An Apple disk image, known by its trailer.
    Dmg,
}

impl Content {
    const MARKS: [(Self, u64, &'static [u8]); 11] = [
        (Self::Gzip, 0, &[0x1f, 0x8b, 8]),
        (Self::Xz, 0, b"\xfd7zXZ\0"),
        (Self::Zstd, 0, &[0x28, 0xb5, 0x2f, 0xfd]),
        (Self::Bzip2, 0, b"BZh"),
        (Self::Zip, 0, b"PK\x03\x04"),
        (Self::Cpio, 0, b"070701"),
        (Self::Cpio, 0, b"070702"),
        (Self::Bochs, 0, b"Bochs Virtual HD Image"),
        (Self::Cloop, 0, b"#!/bin/sh\n#V2.0 Format\n"),
        (Self::Tar, 257, b"ustar\0"),
        (Self::Tar, 257, b"ustar "),
    ];

    /// Whether the data may become an image of another format when it is unpacked.
    pub(super) const fn is_packed(self) -> bool {
        !matches!(self, Self::Cpio | Self::Bochs | Self::Cloop | Self::Dmg)
    }

    /// A stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Tar => "tar",
            Self::Zip => "zip",
            Self::Cpio => "cpio",
            Self::Bochs => "bochs",
            Self::Cloop => "cloop",
            Self::Dmg => "dmg",
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Length of an Apple disk image's trailer.
const DMG_TRAILER: usize = 512;

/// What the stream seems to hold, as far as it was received.
pub(super) fn of(evidence: &Evidence) -> Option<Content> {
    let marked = Content::MARKS
        .into_iter()
        .find(|(_, offset, mark)| evidence.bytes(*offset, mark.len()) == *mark)
        .map(|(content, ..)| content);
    marked.or_else(|| {
        let tail = evidence.tail()?;
        let trailer = tail.get(tail.len().checked_sub(DMG_TRAILER)?..)?;
        trailer.starts_with(b"koly").then_some(Content::Dmg)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{
        Format,
        test_images::{declared, inspect},
    };

    #[test]
    fn names_what_raw_data_holds_and_takes_it_as_raw() {
        for (content, offset, mark) in Content::MARKS {
            let mut data = vec![0; 2048];
            data[offset as usize..offset as usize + mark.len()].copy_from_slice(mark);
            let report = inspect(&data);
            assert_eq!((report.format, report.content), (Format::Raw, Some(content)));
            assert_eq!(report.to_json()["content"], content.name());
            for accepted in ["raw", "ari", "aki", "ami", "ploop"] {
                assert!(
                    report.verdict(&declared(accepted)).is_ok(),
                    "{content} as {accepted}"
                );
            }
            let refusal = report.verdict(&declared("qcow2")).unwrap_err().to_string();
            assert!(refusal.contains(content.name()), "{refusal}");
        }
    }

    #[test]
    fn sees_an_apple_image_by_its_end() {
        let mut data = vec![7; 3000];
        data[3000 - 512..3000 - 508].copy_from_slice(b"koly");
        assert_eq!(inspect(&data).content, Some(Content::Dmg));
        assert_eq!(inspect(&data[..2999]).content, None);
        assert_eq!(inspect(b"koly").content, None);
    }
}
