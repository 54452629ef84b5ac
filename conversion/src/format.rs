//! The formats that are converted, by Glance's names and QEMU's.

/// A format that is converted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFormat {
    /// The bytes of the disk.
    Raw,
    /// QEMU copy-on-write.
    Qcow2,
    /// VMware's.
    Vmdk,
    /// Virtual PC's, dynamic or fixed.
    Vhd,
    /// Hyper-V's.
    Vhdx,
    /// VirtualBox's.
    Vdi,
}

impl SourceFormat {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Raw,
        Self::Qcow2,
        Self::Vmdk,
        Self::Vhd,
        Self::Vhdx,
        Self::Vdi,
    ];

    /// Glance's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
        }
    }

    /// The format that Glance calls so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// QEMU's driver. The size of a VHD is the one in its footer and not its geometry, which some programs round down:
    /// the end of the disk would be lost.
    pub(crate) const fn driver(self) -> &'static str {
        match self {
            Self::Raw => "driver=raw",
            Self::Qcow2 => "driver=qcow2",
            Self::Vmdk => "driver=vmdk",
            Self::Vhd => "driver=vpc,force_size_calc=current_size",
            Self::Vhdx => "driver=vhdx",
            Self::Vdi => "driver=vdi",
        }
    }
}

/// A format that is converted to (`[image_conversion] output_format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetFormat {
    /// The bytes of the disk.
    Raw,
    /// QEMU copy-on-write, version 3.
    Qcow2,
    /// VMware's, `monolithicSparse`.
    Vmdk,
}

impl TargetFormat {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Qcow2, Self::Vmdk];

    /// Glance's name, and QEMU's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}
