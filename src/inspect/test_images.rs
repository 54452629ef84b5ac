//! Material for the tests: headers built by hand, and images made by `qemu-img`.

use std::{path::Path, process::Command};

use super::{Declared, HazardKind, Inspector, Refusal, Report, Rules};

pub(super) fn inspect(data: &[u8]) -> Report {
    inspect_in(data, usize::MAX)
}

pub(super) fn inspect_in(data: &[u8], chunk: usize) -> Report {
    let mut inspector = Inspector::new();
    for piece in data.chunks(chunk) {
        inspector.push(piece);
    }
    inspector.finish()
}

pub(super) fn declared(disk_format: &str) -> Declared {
    Declared::new(disk_format, "bare", Rules::default())
}

pub(super) fn hazards(report: &Report) -> Vec<HazardKind> {
    report.hazards.iter().map(|hazard| hazard.kind).collect()
}

/// The refusal after the first `length` bytes, fed in pieces.
pub(super) fn early(data: &[u8], length: usize, disk_format: &str) -> Option<Refusal> {
    let mut inspector = Inspector::new();
    data[..length.min(data.len())]
        .chunks(100)
        .for_each(|piece| inspector.push(piece));
    inspector.early_refusal(&declared(disk_format))
}

/// The fields of a qcow2 header, and what follows it.
#[derive(Clone, Debug)]
pub(super) struct Qcow2Image {
    pub(super) version: u32,
    pub(super) backing: Option<(u64, Vec<u8>)>,
    pub(super) cluster_bits: u32,
    pub(super) size: u64,
    pub(super) incompatible: u64,
    pub(super) header_length: u32,
    pub(super) extensions: Vec<(u32, Vec<u8>)>,
    pub(super) length: usize,
}

impl Default for Qcow2Image {
    fn default() -> Self {
        Self {
            version: 3,
            backing: None,
            cluster_bits: 16,
            size: 1 << 30,
            incompatible: 0,
            header_length: 104,
            extensions: Vec::new(),
            length: 65536 * 4,
        }
    }
}

impl Qcow2Image {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (offset, name) = self.backing.clone().unwrap_or_default();
        let mut bytes = b"QFI\xfb".to_vec();
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend((name.len() as u32).to_be_bytes());
        bytes.extend(self.cluster_bits.to_be_bytes());
        bytes.extend(self.size.to_be_bytes());
        bytes.extend(0_u32.to_be_bytes());
        // As many L1 entries as the size takes, which is none where there are too many for a real image.
        let entries = self
            .size
            .checked_shr((2 * self.cluster_bits).saturating_sub(3))
            .unwrap_or(0)
            + 1;
        bytes.extend(u32::try_from(entries).unwrap_or(0).to_be_bytes());
        bytes.resize(72, 0);
        if self.version >= 3 {
            bytes.extend(self.incompatible.to_be_bytes());
            bytes.extend([0; 16]);
            bytes.extend(4_u32.to_be_bytes());
            bytes.extend(self.header_length.to_be_bytes());
            bytes.resize(self.header_length.max(104) as usize, 0);
        }
        for (kind, data) in &self.extensions {
            bytes.extend(kind.to_be_bytes());
            bytes.extend((data.len() as u32).to_be_bytes());
            bytes.extend(data);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        bytes.resize(self.length.max(bytes.len()), 0);
        if self.backing.is_some() {
            let end = offset as usize + name.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[offset as usize..end].copy_from_slice(&name);
        }
        bytes
    }
}

/// A sparse VMDK's header, its descriptor and perhaps a footer.
#[derive(Clone, Debug)]
pub(super) struct VmdkImage {
    pub(super) version: u32,
    /// In sectors.
    pub(super) capacity: u64,
    pub(super) descriptor_sector: u64,
    pub(super) descriptor_sectors: u64,
    pub(super) descriptor: Vec<u8>,
    /// The footer's capacity.
    pub(super) footer: Option<u64>,
}

pub(super) const DESCRIPTOR: &str = "# Disk DescriptorFile\nversion=1\nCID=7b5e9f3c\nparentCID=ffffffff\n\
    createType=\"monolithicSparse\"\n\n# Extent description\nRW 2048 SPARSE \"disk.vmdk\"\n\n\
    # The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"2\"\n";

impl Default for VmdkImage {
    fn default() -> Self {
        Self {
            version: 1,
            capacity: 2048,
            descriptor_sector: 1,
            descriptor_sectors: 20,
            descriptor: DESCRIPTOR.as_bytes().to_vec(),
            footer: None,
        }
    }
}

impl VmdkImage {
    pub(super) fn described(descriptor: &str) -> Self {
        Self {
            descriptor: descriptor.as_bytes().to_vec(),
            ..Self::default()
        }
    }

    fn header(&self, capacity: u64, grain_directory: u64) -> Vec<u8> {
        let mut bytes = b"KDMV".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(capacity.to_le_bytes());
        bytes.extend(128_u64.to_le_bytes());
        bytes.extend(self.descriptor_sector.to_le_bytes());
        bytes.extend(self.descriptor_sectors.to_le_bytes());
        bytes.extend(512_u32.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(grain_directory.to_le_bytes());
        bytes.extend(128_u64.to_le_bytes());
        bytes.extend(b"\0\n \r\n\x01\0");
        bytes.resize(512, 0);
        bytes
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let directory = if self.footer.is_some() { u64::MAX } else { 21 };
        let mut bytes = self.header(self.capacity, directory);
        bytes.extend(&self.descriptor);
        bytes.resize(bytes.len().max(512 * 128), 0);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        if let Some(capacity) = self.footer {
            bytes.extend(marker(3));
            bytes.extend(self.header(capacity, 40));
            bytes.extend(marker(0));
        }
        bytes
    }
}

fn marker(kind: u32) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    bytes.extend(kind.to_le_bytes());
    bytes.resize(512, 0);
    bytes
}

/// Run `qemu-img` with the arguments in `directory`.
pub(super) fn qemu_img(directory: &Path, arguments: &[&str]) {
    let output = Command::new("qemu-img")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("qemu-img is needed by these tests (package qemu-utils)");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
