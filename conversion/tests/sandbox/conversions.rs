//! What becomes of images, made by `qemu-img` itself or by hand.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek},
    net::TcpListener,
    ops::ControlFlow,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use libtest_mimic::Trial;
use saccade_conversion::{Conversion, ConvertError, Converter, SourceFormat, TargetFormat};

use crate::{converter, directory, qemu_img, trial};

const MIB: u64 = 1 << 20;

/// A disk with data at its beginning, in its middle and at its very end, and nothing between.
fn disk(directory: &Path, length: u64) -> PathBuf {
    let path = directory.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(length).unwrap();
    for (at, seed) in [(0, 1_u8), (length / 2, 7), (length - 65_536, 13)] {
        let data: Vec<u8> = (0..65_536_u32)
            .map(|i| (i.wrapping_mul(31) >> 3) as u8 ^ seed)
            .collect();
        file.write_all_at(&data, at).unwrap();
    }
    path
}

fn qemu(arguments: &[&str]) {
    let output = Command::new(qemu_img()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// The disk in another format.
fn made(disk: &Path, format: &str, options: &[&str]) -> PathBuf {
    let path = disk.with_file_name("image");
    let _ = fs::remove_file(&path);
    let (from, to) = (disk.to_str().unwrap(), path.to_str().unwrap());
    qemu(&[&["convert", "-f", "raw", "-O", format], options, &[from, to]].concat());
    path
}

fn convert_to(
    converter: &Converter,
    image: &Path,
    from: SourceFormat,
    to: TargetFormat,
    most: u64,
) -> Result<File, ConvertError> {
    let mut destination = converter.scratch().unwrap();
    let conversion = Conversion {
        source: &File::open(image).unwrap(),
        from,
        destination: &destination,
        to,
        most,
    };
    let length = converter.convert(&conversion, &mut || ControlFlow::Continue(()))?;
    assert_eq!(length, destination.metadata().unwrap().len());
    destination.rewind().unwrap();
    Ok(destination)
}

fn to_raw(converter: &Converter, image: &Path, from: SourceFormat) -> Result<Vec<u8>, ConvertError> {
    let mut bytes = Vec::new();
    convert_to(converter, image, from, TargetFormat::Raw, 64 * MIB)?
        .read_to_end(&mut bytes)
        .unwrap();
    Ok(bytes)
}

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "every_format_becomes_the_disk_that_it_was_made_from",
            every_format,
        ),
        trial("a_raw_disk_becomes_every_format", every_target),
        trial(
            "a_vhd_keeps_the_end_that_its_geometry_does_not_reach",
            vhd_geometry,
        ),
        trial("what_refers_to_other_files_reads_none", references),
        trial("what_refers_to_a_server_reaches_none", servers),
        trial(
            "what_lies_about_itself_is_refused_in_bounded_time_and_memory",
            liars,
        ),
        trial("a_result_that_would_be_too_long_is_refused", too_long),
    ]
}

fn every_format() {
    let directory = directory();
    let converter = converter(&directory);
    let disk = disk(directory.path(), 16 * MIB);
    let expected = fs::read(&disk).unwrap();
    let cases: &[(SourceFormat, &str, &[&str])] = &[
        (SourceFormat::Raw, "raw", &[]),
        (SourceFormat::Qcow2, "qcow2", &[]),
        (SourceFormat::Qcow2, "qcow2", &["-o", "compat=0.10"]),
        (SourceFormat::Qcow2, "qcow2", &["-c"]),
        (
            SourceFormat::Qcow2,
            "qcow2",
            &["-c", "-o", "compression_type=zstd"],
        ),
        (
            SourceFormat::Qcow2,
            "qcow2",
            &["-o", "cluster_size=2M,lazy_refcounts=on"],
        ),
        (SourceFormat::Vmdk, "vmdk", &[]),
        (SourceFormat::Vmdk, "vmdk", &["-o", "subformat=streamOptimized"]),
        (SourceFormat::Vhd, "vpc", &["-o", "force_size=on"]),
        (SourceFormat::Vhd, "vpc", &["-o", "subformat=fixed,force_size=on"]),
        (SourceFormat::Vhdx, "vhdx", &[]),
        (SourceFormat::Vhdx, "vhdx", &["-o", "subformat=fixed"]),
        (SourceFormat::Vdi, "vdi", &[]),
        (SourceFormat::Vdi, "vdi", &["-o", "static=on"]),
    ];
    for (from, format, options) in cases {
        let image = made(&disk, format, options);
        let raw =
            to_raw(&converter, &image, *from).unwrap_or_else(|error| panic!("{format} {options:?}: {error}"));
        assert!(
            raw == expected,
            "{format} {options:?}: another disk of {} bytes",
            raw.len()
        );
    }
}

fn every_target() {
    let directory = directory();
    let converter = converter(&directory);
    let disk = disk(directory.path(), 16 * MIB);
    for to in TargetFormat::ALL {
        let mut result = convert_to(&converter, &disk, SourceFormat::Raw, to, 64 * MIB).unwrap();
        let path = directory.path().join("result");
        std::io::copy(&mut result, &mut File::create(&path).unwrap()).unwrap();
        let (disk, path) = (disk.to_str().unwrap(), path.to_str().unwrap());
        qemu(&["compare", "-f", "raw", "-F", to.name(), disk, path]);
    }
}

fn vhd_geometry() {
    let directory = directory();
    let converter = converter(&directory);
    let disk = disk(directory.path(), 16 * MIB);
    let image = made(&disk, "vpc", &["-o", "subformat=fixed,force_size=on"]);
    let file = OpenOptions::new().read(true).write(true).open(&image).unwrap();
    let at = file.metadata().unwrap().len() - 512;
    // Of a creator by whose images QEMU goes by the geometry: and that says less than the size.
    let mut footer = [0; 512];
    file.read_exact_at(&mut footer, at).unwrap();
    footer[28..32].copy_from_slice(b"vbox");
    footer[56..60].copy_from_slice(&[0, 10, 4, 17]);
    footer[64..68].fill(0);
    let sum = !footer.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    footer[64..68].copy_from_slice(&sum.to_be_bytes());
    file.write_all_at(&footer, at).unwrap();
    let raw = to_raw(&converter, &image, SourceFormat::Vhd).unwrap();
    assert!(raw == fs::read(&disk).unwrap(), "{} bytes", raw.len());
}

/// Names that a hostile image may give a file that it reads through to.
fn references() {
    let directory = directory();
    let converter = converter(&directory);
    let secret = directory.path().join("secret");
    fs::write(&secret, vec![0x5a; 65_536]).unwrap();
    let secret = secret.to_str().unwrap();
    let json = format!(r#"json:{{"driver":"raw","file":{{"driver":"file","filename":"{secret}"}}}}"#);
    let file = format!("file:{secret}");
    for name in [
        secret,
        &json,
        &file,
        "secret",
        "../secret",
        "fd:0",
        "/dev/fd/0",
        "/proc/self/environ",
        "fat:/",
        "/dev/zero",
    ] {
        let image = directory.path().join("image");
        let _ = fs::remove_file(&image);
        qemu(&[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-u",
            "-b",
            name,
            "-F",
            "raw",
            image.to_str().unwrap(),
            "65536",
        ]);
        let outcome = to_raw(&converter, &image, SourceFormat::Qcow2);
        match &outcome {
            Err(ConvertError::Failed(_)) => {}
            // The image itself: no secret.
            Ok(raw) if name.ends_with("fd/0") => assert!(!raw.contains(&0x5a)),
            _ => panic!("{name}: {:?}", outcome.map(|raw| raw.len())),
        }
    }
    let image = directory.path().join("image");
    fs::remove_file(&image).unwrap();
    let options = format!("data_file={secret},data_file_raw=on");
    qemu(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        &options,
        image.to_str().unwrap(),
        "65536",
    ]);
    let outcome = to_raw(&converter, &image, SourceFormat::Qcow2).map(|raw| raw.len());
    assert!(matches!(outcome, Err(ConvertError::Failed(_))), "{outcome:?}");
    let descriptor = format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
         RW 128 FLAT \"{secret}\" 0\n"
    );
    fs::write(&image, descriptor).unwrap();
    let outcome = to_raw(&converter, &image, SourceFormat::Vmdk).map(|raw| raw.len());
    assert!(matches!(outcome, Err(ConvertError::Failed(_))), "{outcome:?}");
}

fn servers() {
    let directory = directory();
    let converter = converter(&directory);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    for name in [
        format!("nbd://{address}/x"),
        format!("http://{address}/x"),
        format!("ssh://{address}/x"),
    ] {
        let image = directory.path().join("image");
        let _ = fs::remove_file(&image);
        qemu(&[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-u",
            "-b",
            &name,
            "-F",
            "raw",
            image.to_str().unwrap(),
            "65536",
        ]);
        let outcome = to_raw(&converter, &image, SourceFormat::Qcow2).map(|raw| raw.len());
        assert!(
            matches!(outcome, Err(ConvertError::Failed(_))),
            "{name}: {outcome:?}"
        );
    }
    let arrived = listener.accept().map(drop).unwrap_err();
    assert_eq!(arrived.kind(), std::io::ErrorKind::WouldBlock);
}

fn liars() {
    let directory = directory();
    let converter = converter(&directory);
    let disk = disk(directory.path(), 16 * MIB);
    let image = made(&disk, "qcow2", &[]);
    let whole = fs::read(&image).unwrap();
    let be32 = |value: u32| value.to_be_bytes().to_vec();
    let be64 = |value: u64| value.to_be_bytes().to_vec();
    for (what, at, bytes) in [
        ("a table of 2^31 entries", 36, be32(i32::MAX as u32)),
        ("2^31 clusters of reference counts", 56, be32(i32::MAX as u32)),
        ("an enormous disk", 24, be64(1 << 62)),
        ("clusters of 2^31 bytes", 20, be32(31)),
        ("2^16 snapshots", 60, be32(1 << 16)),
        ("a feature that nobody knows", 72, be64(1 << 60)),
        ("encryption", 32, be32(2)),
    ] {
        let mut liar = whole.clone();
        liar[at..at + bytes.len()].copy_from_slice(&bytes);
        fs::write(&image, liar).unwrap();
        let outcome = to_raw(&converter, &image, SourceFormat::Qcow2).map(|raw| raw.len());
        assert!(
            matches!(outcome, Err(ConvertError::Failed(_))),
            "{what}: {outcome:?}"
        );
    }
    let mut outside = whole.clone();
    outside[40..48].copy_from_slice(&be64(1 << 60));
    let mut longer = whole.clone();
    longer[36..40].copy_from_slice(&be32(1 << 22));
    for (what, bytes) in [
        ("a table of 2^22 entries that is not there", &longer[..]),
        ("a table outside the file", &outside[..]),
        ("nothing", &[][..]),
        ("half a header", &whole[..52]),
        ("a header", &whole[..104]),
        ("half of it", &whole[..whole.len() / 2]),
        ("another format", b"conectix".as_slice()),
    ] {
        fs::write(&image, bytes).unwrap();
        let outcome = to_raw(&converter, &image, SourceFormat::Qcow2);
        // QEMU takes what is not there for zeroes: then nothing of it may be anybody else's.
        let is_harmless = outcome.as_ref().is_ok_and(|raw| raw.len() as u64 == 16 * MIB);
        assert!(
            is_harmless || matches!(outcome, Err(ConvertError::Failed(_))),
            "{what}"
        );
    }
}

fn too_long() {
    let directory = directory();
    let converter = converter(&directory);
    let disk = disk(directory.path(), 16 * MIB);
    for (to, most) in [
        (TargetFormat::Raw, 16 * MIB - 1),
        (TargetFormat::Qcow2, 4096),
        (TargetFormat::Vmdk, 4096),
    ] {
        let outcome = convert_to(&converter, &disk, SourceFormat::Raw, to, most).map(drop);
        assert!(
            matches!(outcome, Err(ConvertError::Failed(_) | ConvertError::TooLong(_))),
            "{to:?}: {outcome:?}"
        );
    }
    let whole = convert_to(&converter, &disk, SourceFormat::Raw, TargetFormat::Raw, 16 * MIB).unwrap();
    assert_eq!(whole.metadata().unwrap().len(), 16 * MIB);
}
