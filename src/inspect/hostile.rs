//! The known ways to smuggle a reference, or another size, past the guard: each is refused, and this is what the
//! person who uploads one is told. They are made from what `qemu-img` makes, where it makes anything.

use std::fs;

use super::test_images::{DESCRIPTOR, Qcow2Image, VmdkImage, declared, inspect, inspect_in, qemu_img};

/// What `qemu-img create` makes, with the given arguments before the name.
fn made(arguments: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    qemu_img(
        dir.path(),
        &[&["create", "-q"], arguments, &["image", "8M"]].concat(),
    );
    fs::read(dir.path().join("image")).unwrap()
}

fn patched(mut data: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    data[at..at + bytes.len()].copy_from_slice(bytes);
    data
}

/// Where `needle` begins.
fn find(data: &[u8], needle: &[u8]) -> usize {
    let found = data.windows(needle.len()).position(|window| window == needle);
    found.expect("it is there")
}

/// The message, which does not depend on the chunks; also when the data is declared raw, which Glance takes as
/// anything.
#[track_caller]
fn refused(data: &[u8], disk_format: &str, message: &str) {
    for chunk in [1, 4096, usize::MAX] {
        // One byte at a time takes long, for megabytes.
        if chunk > 1 || data.len() < 100_000 {
            let report = inspect_in(data, chunk);
            let refusal = report.verdict(&declared(disk_format)).expect_err("it is refused");
            let before = format!("the {disk_format} image failed safety checks: ");
            assert_eq!(refusal.to_string().strip_prefix(&before), Some(message));
        }
    }
    assert!(inspect(data).verdict(&declared("raw")).is_err());
}

#[test]
fn a_qcow2_with_a_backing_file() {
    let data = made(&["-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw"]);
    refused(
        &data,
        "qcow2",
        "backing_file: the image reads through to another file; flatten it first (qemu-img convert) \
         (backing_file_offset = \"/etc/passwd\", byte 8)",
    );
}

#[test]
fn a_qcow2_with_a_backing_file_of_no_name() {
    let data = patched(Qcow2Image::default().bytes(), 8, &512_u64.to_be_bytes());
    refused(
        &data,
        "qcow2",
        "backing_file: the image reads through to another file; flatten it first (qemu-img convert) \
         (backing_file_offset, byte 8)",
    );
}

#[test]
fn a_qcow2_with_a_backing_file_that_is_a_program_for_qemu() {
    let image = Qcow2Image {
        backing: Some((
            512,
            b"json:{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}".to_vec(),
        )),
        ..Qcow2Image::default()
    };
    refused(
        &image.bytes(),
        "qcow2",
        "backing_file: the image reads through to another file; flatten it first (qemu-img convert) \
         (backing_file_offset = \
         \"json:{\\\"driver\\\":\\\"file\\\",\\\"filename\\\":\\\"/etc/shadow\\\"}\", byte 8)",
    );
}

#[test]
fn a_qcow2_with_its_data_in_another_file() {
    let data = made(&["-f", "qcow2", "-o", "data_file=elsewhere.raw,data_file_raw=on"]);
    refused(
        &data,
        "qcow2",
        "data_file: the guest's data lies in another file (bit 2) (incompatible_features = 0x4, byte 72)",
    );
}

#[test]
fn a_qcow2_that_names_a_data_file_which_its_feature_bit_denies() {
    let image = Qcow2Image {
        extensions: vec![(0x4441_5441, b"/etc/passwd".to_vec())],
        ..Qcow2Image::default()
    };
    refused(
        &image.bytes(),
        "qcow2",
        "data_file: the image names another file for its data, though its feature bit says there is none \
         (external data file name = \"/etc/passwd\", byte 104)",
    );
}

#[test]
fn a_qcow2_shorter_than_a_sector() {
    let image = Qcow2Image {
        backing: Some((104, b"/etc/passwd".to_vec())),
        length: 115,
        ..Qcow2Image::default()
    };
    assert_eq!(image.bytes().len(), 115);
    refused(
        &image.bytes(),
        "qcow2",
        "backing_file: the image reads through to another file; flatten it first (qemu-img convert) \
         (backing_file_offset = \"/etc/passwd\", byte 8)",
    );
}

#[test]
fn a_qcow2_with_extended_l2_entries() {
    let data = made(&["-f", "qcow2", "-o", "extended_l2=on"]);
    refused(
        &data,
        "qcow2",
        "unknown_incompatible_features: extended L2 entries (bit 4) are not accepted; convert with \
         extended_l2=off (incompatible_features = 0x10, byte 72)",
    );
}

#[test]
fn a_qcow2_that_requires_unknown_features() {
    let image = Qcow2Image {
        incompatible: 1 << 63,
        ..Qcow2Image::default()
    };
    refused(
        &image.bytes(),
        "qcow2",
        "unknown_incompatible_features: the image requires features that are not known \
         (incompatible_features = 0x8000000000000000, byte 72)",
    );
}

#[test]
fn a_qcow2_of_version_1() {
    let data = made(&["-f", "qcow"]);
    refused(
        &data,
        "qcow2",
        "version: only versions 2 and 3 are accepted (version = 1, byte 4)",
    );
}

#[test]
fn a_qcow2_of_version_2_is_not_misread_as_one_with_a_data_file() {
    // Where version 3 has its features, version 2 has extensions, whose lengths may look like any bit.
    let image = Qcow2Image {
        version: 2,
        extensions: vec![(0xe279_2aca, b"qcow".to_vec())],
        ..Qcow2Image::default()
    };
    assert!(inspect(&image.bytes()).verdict(&declared("qcow2")).is_ok());
}

#[test]
fn a_qed() {
    refused(
        &made(&["-f", "qed"]),
        "qed",
        "banned_format: QED images may read through to other files, and the format is abandoned; convert \
         it to qcow2 (magic = QED, byte 0)",
    );
}

#[test]
fn a_vmdk_with_a_parent() {
    let text = DESCRIPTOR.to_owned() + "parentFileNameHint=\"/etc/passwd\"\n";
    refused(
        &VmdkImage::described(&text).bytes(),
        "vmdk",
        "parent_reference: the image reads through to a parent; merge it with its parent first \
         (parentFileNameHint = \"/etc/passwd\", byte 739)",
    );
}

#[test]
fn a_vmdk_with_a_change_tracking_file() {
    let text = DESCRIPTOR.to_owned() + "changeTrackPath=\"disk-ctk.vmdk\"\n";
    refused(
        &VmdkImage::described(&text).bytes(),
        "vmdk",
        "change_track_path: the image names a change-tracking file (changeTrackPath, byte 739)",
    );
}

#[test]
fn a_vmdk_with_two_create_types_that_differ_in_case() {
    let text = DESCRIPTOR.replace(
        "createType=\"monolithicSparse\"",
        "CREATETYPE=\"monolithicSparse\"\ncreateType=\"monolithicFlat\"",
    );
    refused(
        &VmdkImage::described(&text).bytes(),
        "vmdk",
        "two_create_types: readers differ on which of several counts (createType = 2 times, byte 512); \
         create_type: only monolithicSparse and streamOptimized images hold all their data (createType = \
         \"monolithicFlat\", byte 606)",
    );
}

#[test]
fn a_vmdk_that_is_a_description_in_disguise() {
    // Without a capacity, QEMU follows the descriptor, to a file beside the image.
    let text = DESCRIPTOR.replace("RW 2048 SPARSE \"disk.vmdk\"", "RW 2048 FLAT \"sibling\" 0");
    let image = VmdkImage {
        capacity: 0,
        ..VmdkImage::described(&text)
    };
    refused(
        &image.bytes(),
        "vmdk",
        "zero_capacity: without a capacity, the image is a mere description of data in other files \
         (capacity = 0, byte 12); extent: an extent inside a sparse image must be SPARSE (extent = \"RW \
         2048 FLAT \\\"sibling\\\" 0\", byte 628)",
    );
}

#[test]
fn a_vmdk_whose_footer_has_another_capacity() {
    let image = VmdkImage {
        footer: Some(1 << 30),
        ..VmdkImage::default()
    };
    refused(
        &image.bytes(),
        "vmdk",
        "footer_mismatch: header and footer contradict each other (capacity = 1073741824, but 2048 in the \
         header, byte 66048)",
    );
}

#[test]
fn a_vmdk_whose_footer_is_cut() {
    let image = VmdkImage {
        footer: Some(2048),
        ..VmdkImage::default()
    };
    let data = image.bytes();
    refused(
        &data[..data.len() - 512],
        "vmdk",
        "footer_mismatch: the header says that a footer follows the data, but none is there: the upload \
         may be incomplete (footer = 66560 bytes received, byte 65024)",
    );
}

#[test]
fn a_vmdk_in_several_files() {
    refused(
        &made(&["-f", "vmdk", "-o", "subformat=monolithicFlat"]),
        "vmdk",
        "text_descriptor: the image is only a description of data in other files; upload a streamOptimized \
         image (descriptor, byte 0)",
    );
}

#[test]
fn a_vmdk_descriptor_that_claims_to_be_sparse() {
    refused(
        DESCRIPTOR.as_bytes(),
        "vmdk",
        "text_descriptor: the image is only a description of data in other files; upload a streamOptimized \
         image (descriptor, byte 0)",
    );
}

#[test]
fn a_vmdk_descriptor_with_one_letter_beyond_ascii() {
    let text = DESCRIPTOR.replace("# Disk", "# D\u{ef}sk");
    refused(
        text.as_bytes(),
        "vmdk",
        "text_descriptor: the image is only a description of data in other files; upload a streamOptimized \
         image (descriptor, byte 0); bad_descriptor: it is not plain ASCII text (descriptor, byte 3)",
    );
}

#[test]
fn a_vmdk_descriptor_behind_kilobytes_of_comments() {
    let text = "# nothing to see\n".repeat(1000) + "createType=\"monolithicFlat\"\nRW 1 FLAT \"sibling\" 0\n";
    refused(
        text.as_bytes(),
        "vmdk",
        "text_descriptor: the image is only a description of data in other files; upload a streamOptimized \
         image (descriptor, byte 0)",
    );
}

#[test]
fn a_vmdk_of_the_old_esx_format() {
    let mut data = b"COWD\x01\0\0\0".to_vec();
    data.resize(4096, 0);
    refused(
        &data,
        "vmdk",
        "create_type: ESX copy-on-write extents belong to a disk in several files; convert it to \
         streamOptimized (magic = COWD, byte 0)",
    );
}

#[test]
fn a_vmdk_whose_extent_names_a_path() {
    let text = DESCRIPTOR.replace("disk.vmdk", "/dev/sda");
    refused(
        &VmdkImage::described(&text).bytes(),
        "vmdk",
        "extent_path: an extent names a path, not a file beside the descriptor (extent = \"RW 2048 SPARSE \
         \\\"/dev/sda\\\"\", byte 628)",
    );
}

#[test]
fn a_vmdk_without_extents() {
    let text = DESCRIPTOR.replace("RW 2048 SPARSE \"disk.vmdk\"\n", "");
    refused(
        &VmdkImage::described(&text).bytes(),
        "vmdk",
        "bad_descriptor: the descriptor lists no extent (extents, byte 512)",
    );
}

#[test]
fn a_vmdk_whose_descriptor_length_overflows() {
    let image = VmdkImage {
        descriptor_sectors: 1 << 55,
        ..VmdkImage::default()
    };
    refused(
        &image.bytes(),
        "vmdk",
        "truncated: the image ends inside its header or descriptor (image = 65536 bytes, byte 65536)",
    );
}

#[test]
fn a_differencing_vhd() {
    let data = patched(made(&["-f", "vpc"]), 60, &4_u32.to_be_bytes());
    let last = data.len() - 512;
    refused(
        &patched(data, last + 60, &4_u32.to_be_bytes()),
        "vhd",
        "parent_reference: the image reads through to a parent; merge it with its parent first (diskType, byte 60)",
    );
}

#[test]
fn a_vhd_that_is_a_differencing_one_only_at_its_end() {
    let data = made(&["-f", "vpc"]);
    let last = data.len() - 512;
    refused(
        &patched(data, last + 60, &4_u32.to_be_bytes()),
        "vhd",
        "copies_differ: the footer and its copy in front contradict each other (diskType = 4, but 3 in \
         front, byte 2108)",
    );
}

const FILE_PARAMETERS: [u8; 4] = [0x37, 0x67, 0xa1, 0xca];
const VIRTUAL_SIZE: [u8; 4] = [0x24, 0x42, 0xa5, 0x2f];

#[test]
fn a_differencing_vhdx() {
    let data = made(&["-f", "vhdx"]);
    let entry = find(&data, &FILE_PARAMETERS);
    let offset = u32::from_le_bytes(data[entry + 16..entry + 20].try_into().unwrap());
    let item = find(&data, b"metadata") + offset as usize;
    refused(
        &patched(data, item + 4, &2_u32.to_le_bytes()),
        "vhdx",
        "parent_reference: the image reads through to a parent; merge it with its parent first (HasParent, \
         byte 3211268)",
    );
}

#[test]
fn a_vhdx_with_a_log_that_changes_it() {
    let mut data = made(&["-f", "vhdx"]);
    for header in [65_536, 2 * 65_536] {
        data[header + 48] = 1;
    }
    refused(
        &data,
        "vhdx",
        "dirty_log: the image was not closed properly: its log is yet to be written over what was \
         examined; open and close it once where it was made, or convert it (LogGuid, byte 65584)",
    );
}

#[test]
fn a_vhdx_with_two_sizes() {
    let data = made(&["-f", "vhdx"]);
    let (size, other) = (find(&data, &VIRTUAL_SIZE), find(&data, &FILE_PARAMETERS));
    let entry: Vec<u8> = data[size..size + 16].to_vec();
    let copied = patched(data.clone(), find(&data, &[0xab, 0x12, 0xca, 0xbe]), &entry);
    assert_ne!(size, other);
    refused(
        &copied,
        "vhdx",
        "copies_differ: there are several, and readers differ on which counts (metadata item = \
         2FA54224-CD1B-4876-B211-5DBED83BF4B8, byte 3145824)",
    );
}

#[test]
fn a_vhdx_that_requires_an_unknown_item() {
    let data = made(&["-f", "vhdx"]);
    let at = find(&data, &[0xab, 0x12, 0xca, 0xbe]);
    refused(
        &patched(data, at, &[1, 2, 3, 4]),
        "vhdx",
        "unknown_incompatible_features: the image requires what nobody has judged (metadata item = \
         04030201-B2E6-4523-93EF-C309E000C746, byte 3145824)",
    );
}

#[test]
fn a_vhdx_whose_metadata_lies_where_the_stream_has_passed() {
    let mut data = made(&["-f", "vhdx"]);
    for table in [3 * 65_536, 4 * 65_536] {
        data[table + 48 + 16..table + 48 + 24].copy_from_slice(&100_000_u64.to_le_bytes());
    }
    refused(
        &data,
        "vhdx",
        "bad_structure: it is not where it can be read; without it nobody can say what the image refers to \
         (metadata table, byte 100000)",
    );
}

#[test]
fn a_differencing_vdi() {
    let data = patched(made(&["-f", "vdi"]), 0x4c, &4_u32.to_le_bytes());
    refused(
        &data,
        "vdi",
        "parent_reference: the image reads through to a parent; merge it with its parent first (type, byte 76)",
    );
}

#[test]
fn a_vdi_with_a_parent() {
    let data = patched(made(&["-f", "vdi"]), 0x1b8, &[0xab; 16]);
    refused(
        &data,
        "vdi",
        "parent_reference: the image reads through to a parent; merge it with its parent first \
         (uuidParentModify = \"abababababababababababababababab\", byte 440)",
    );
}

#[test]
fn a_luks_volume_of_version_2() {
    let mut data = b"LUKS\xba\xbe\0\x02".to_vec();
    data.resize(8192, 0x55);
    refused(
        &data,
        "luks",
        "version: only LUKS version 1 is accepted (version = 2, byte 6)",
    );
}

#[test]
fn a_luks_volume_whose_payload_is_behind_its_end_has_no_size_rather_than_a_negative_one() {
    let mut data = b"LUKS\xba\xbe\0\x01".to_vec();
    data.resize(8192, 0);
    let accepted = inspect(&patched(data, 104, &[0xff; 4])).verdict(&declared("luks"));
    assert_eq!(accepted.unwrap().virtual_size, None);
}

/// A protective record and, in its second slot, what is given.
fn disk(second: &[u8]) -> Vec<u8> {
    let mut data = patched(vec![0; 40_000], 510, &[0x55, 0xaa]);
    data[446..458].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    patched(data, 462, second)
}

#[test]
fn a_hybrid_partition_table() {
    refused(
        &disk(&[0x80, 1, 1, 0, 0x07]),
        "gpt",
        "mbr: beside a GUID partition table there must be no other partitions (OSType = 2 partitions, byte 446)",
    );
}

#[test]
fn a_boot_record_that_is_no_partition_table() {
    refused(
        &disk(&[0x7f]),
        "gpt",
        "mbr: the boot indicator must be 00 or 80: this is no partition table (BootIndicator = 0x7f, byte 462)",
    );
}

#[test]
fn a_qcow2_that_is_a_partitioned_disk_as_well() {
    let data = patched(Qcow2Image::default().bytes(), 510, &[0x55, 0xaa]);
    refused(
        &data,
        "qcow2",
        "multiple_formats: the data is several formats at once, and programs will differ on which (magic = \
         qcow2, gpt, byte 0)",
    );
}

#[test]
fn a_fixed_vhd_whose_contents_are_an_image() {
    let mut data = Qcow2Image::default().bytes();
    let fixed = made(&["-f", "vpc", "-o", "subformat=fixed"]);
    data.extend(&fixed[fixed.len() - 512..]);
    let refusal = inspect(&data).verdict(&declared("vhd")).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the data is qcow2, but disk_format is vhd: upload vhd data, or set disk_format to qcow2"
    );
}

#[test]
fn a_compressed_image_under_the_name_of_what_it_holds() {
    let data = [&[0x1f, 0x8b, 8][..], &[7; 4000]].concat();
    let refusal = inspect(&data).verdict(&declared("qcow2")).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the data is raw (gzip), but disk_format is qcow2: upload qcow2 data, unpacked"
    );
}
