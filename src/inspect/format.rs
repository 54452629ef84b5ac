//! The names of disk formats.

use std::fmt;

/// A disk format that can be told from an image's bytes.
///
/// `Display` is the name Glance uses in `disk_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Bytes that no other format claims.
    Raw,
    /// QEMU copy-on-write, versions 2 and 3 (version 1 is named so too, and always refused).
    Qcow2,
    /// VMware disk: sparse, stream-optimized, COWD, or a bare text descriptor.
    Vmdk,
    /// Virtual PC disk with its footer's copy in front (dynamic or differencing). A fixed one is data with a
    /// footer, which counts only where it is declared: see [`super::Report::fixed_vhd`].
    Vhd,
    /// Hyper-V disk.
    Vhdx,
    /// VirtualBox disk.
    Vdi,
    /// ISO 9660 or UDF volume, partitioned or not.
    Iso,
    /// A disk that begins with a master boot record, protective or not.
    Gpt,
    /// LUKS encrypted volume.
    Luks,
    /// QEMU enhanced disk: recognised only to be refused.
    Qed,
    /// Parallels disk. Glance cannot tell it from raw data: see [`Format::counts_as_raw`].
    Ploop,
}

impl Format {
    /// Every format, `Raw` first.
    pub const ALL: [Self; 11] = [
        Self::Raw,
        Self::Qcow2,
        Self::Vmdk,
        Self::Vhd,
        Self::Vhdx,
        Self::Vdi,
        Self::Iso,
        Self::Gpt,
        Self::Luks,
        Self::Qed,
        Self::Ploop,
    ];

    /// Glance's name of the format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Iso => "iso",
            Self::Gpt => "gpt",
            Self::Luks => "luks",
            Self::Qed => "qed",
            Self::Ploop => "ploop",
        }
    }

    /// Whether the format passes wherever raw data does, as it does in Glance, which does not know it.
    #[must_use]
    pub const fn counts_as_raw(self) -> bool {
        matches!(self, Self::Raw | Self::Ploop)
    }

    /// The format of that name, if the inspector can tell it from bytes (`ami` and the like: no).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
