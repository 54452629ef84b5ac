use proptest::prelude::*;

use super::*;
use crate::inspect::{
    Archives, Declared, Inspection, Refusal, Rules,
    test_images::{DESCRIPTOR, Qcow2Image, VmdkImage},
};

const OVF: &str = r#"<Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References>
    <File ovf:href="disk.vmdk" ovf:id="file1"/></References></Envelope>"#;

fn member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block.extend(data);
    block.resize(block.len().next_multiple_of(BLOCK), 0);
    block
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u64 = block[..BLOCK].iter().map(|&byte| u64::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 2 * BLOCK]].concat()
}

fn rules() -> Rules {
    Rules {
        archives: Archives::Inspected,
        ..Rules::default()
    }
}

fn inspection() -> Inspection {
    Inspection::new(Declared::new("vmdk", "ova", rules()))
}

fn verdict_in(data: &[u8], chunk: usize) -> Result<(), Vec<Hazard>> {
    let mut inspection = inspection();
    let mut early = None;
    for piece in data.chunks(chunk) {
        inspection.push(piece);
        early = early.or(inspection.early_refusal());
    }
    match inspection.verdict() {
        Ok(accepted) => {
            assert_eq!((accepted.virtual_size, early), (None, None));
            Ok(())
        }
        Err(Refusal::UnsafeArchive { hazards }) => Err(hazards),
        Err(other) => panic!("{other}"),
    }
}

fn kinds(data: &[u8]) -> Vec<HazardKind> {
    let hazards = verdict_in(data, usize::MAX).err().unwrap_or_default();
    hazards.into_iter().map(|hazard| hazard.kind).collect()
}

#[test]
fn accepts_an_archive_of_a_description_and_the_disk_it_names() {
    let disk = VmdkImage::default().bytes();
    let data = archive(&[
        member("disk.ovf", b'0', OVF.as_bytes()),
        member("disk.mf", b'0', b"SHA256(disk.vmdk)= 00"),
        member("disk.vmdk", b'0', &disk),
    ]);
    for chunk in [1, 513, 65_536, usize::MAX] {
        assert_eq!(verdict_in(&data, chunk), Ok(()));
    }
    // Without its end, too: programs do not ask for it.
    assert_eq!(kinds(&data[..data.len() - 2 * BLOCK]), []);
}

#[test]
fn refuses_the_hazards_of_a_member_and_names_it() {
    let hint = VmdkImage::described(&format!("{DESCRIPTOR}parentFileNameHint=\"/etc/passwd\"\n")).bytes();
    let qcow2 = Qcow2Image {
        backing: Some((512, b"/etc/passwd".to_vec())),
        ..Qcow2Image::default()
    };
    let text = DESCRIPTOR.replace("monolithicSparse", "monolithicFlat");
    for (disk, kind) in [
        (hint, HazardKind::ParentReference),
        (qcow2.bytes(), HazardKind::BackingFile),
        (text.into_bytes(), HazardKind::TextDescriptor),
    ] {
        let data = archive(&[
            member("a.ovf", b'0', OVF.as_bytes()),
            member("b.vmdk", b'0', &disk),
        ]);
        let hazards = verdict_in(&data, 1000).unwrap_err();
        assert_eq!(hazards[0].kind, kind);
        assert!(hazards[0].to_string().contains("b.vmdk"), "{}", hazards[0]);
        assert!(hazards[0].offset >= 1536);
        // And before its end, if its beginning shows it.
        let mut inspection = inspection();
        inspection.push(&data[..data.len() - 1024]);
        assert!(inspection.early_refusal().is_some());
    }
}

#[test]
fn refuses_names_and_links_that_lead_out_of_the_archive() {
    for name in ["/etc/passwd", "../x", "a/../../x", "..", "a\\..\\x"] {
        assert_eq!(
            kinds(&archive(&[member(name, b'0', b"x")])),
            [HazardKind::ArchivePath]
        );
    }
    for kind in *b"12346" {
        assert_eq!(
            kinds(&archive(&[member("disk.vmdk", kind, b"")])),
            [HazardKind::ArchiveLink]
        );
    }
    let long = member("././@LongLink", b'L', b"../../etc/passwd\0");
    let path = member("PaxHeaders/x", b'x', b"21 path=/etc/passwd.\n");
    for record in [long, path] {
        let data = archive(&[record, member("short", b'0', b"x")]);
        assert_eq!(kinds(&data), [HazardKind::ArchivePath]);
    }
}

#[test]
fn refuses_descriptions_that_refer_to_other_files() {
    for (reference, kind) in [
        (r#"href="/etc/passwd""#, HazardKind::ArchivePath),
        (r#"href = 'file:///etc/passwd'"#, HazardKind::ArchivePath),
        (r#"HREF="../other.vmdk""#, HazardKind::ArchivePath),
        (r#"href="http://169.254.169.254/""#, HazardKind::ArchivePath),
        (r#"href="&x;""#, HazardKind::ArchivePath),
        (r#"href=".&#46;/.&#46;/etc/passwd""#, HazardKind::ArchivePath),
        (
            r#"href="x&#x2f;..&#x2f;..&#x2f;etc/passwd""#,
            HazardKind::ArchivePath,
        ),
        ("<!DOCTYPE x>", HazardKind::BadArchive),
        ("<!ENTITY x SYSTEM 'file:///etc/passwd'>", HazardKind::BadArchive),
        ("\0", HazardKind::BadArchive),
    ] {
        let text = format!("{OVF}{reference}");
        assert_eq!(
            kinds(&archive(&[member("x.OVF", b'0', text.as_bytes())])),
            [kind],
            "{reference}"
        );
    }
}

#[test]
fn only_references_that_every_document_has_stand_for_themselves() {
    assert!(!refers_to_characters(b"a &amp; b &lt;c&gt; &quot;&apos;"));
    for text in [&b"&#46;"[..], b"a&#x2f;b", b"a&dot;", b"a&", b"&amp;&#47;"] {
        assert!(refers_to_characters(text), "{text:?}");
    }
}

#[test]
fn a_description_of_many_references_costs_no_more_than_the_first_ones() {
    let text = r#"href="/"#.repeat(100_000);
    let found = kinds(&archive(&[member("x.ovf", b'0', text.as_bytes())]));
    assert_eq!(found.len(), FINDINGS_MAX);
}

#[test]
fn refuses_what_programs_unpack_in_different_ways() {
    let file = || member("a", b'0', b"x");
    let mut damaged = archive(&[file()]);
    damaged[0] = b'b';
    let mut hidden = archive(&[file()]);
    hidden.extend(file());
    let bad = [
        b"no archive".repeat(100),
        Vec::new(),
        vec![0; 4096],
        damaged,
        hidden,
        archive(&[file()])[..513].to_vec(),
        archive(&[file(), member("d", b'5', b"x")]),
        archive(&[member("s", b'S', b"x")]),
        archive(&[member("p", b'x', b"9 size=9\n"), file()]),
        archive(&[member("p", b'g', b"13 path=evil\n"), file()]),
        archive(&[member("p", b'x', b"99 size=1\n"), file()]),
        archive(&[member("p", b'x', b"22 GNU.sparse.major=1\n"), file()]),
        archive(&[member("p", b'x', &vec![b'0'; 2 << 20]), file()]),
        archive(&[member("x.ovf", b'0', &vec![b' '; 2 << 20])]),
    ];
    for (index, data) in bad.iter().enumerate() {
        assert_eq!(kinds(data), [HazardKind::BadArchive], "{index}");
        assert_eq!(verdict_in(data, 100), verdict_in(data, usize::MAX), "{index}");
    }
}

#[test]
fn reads_what_tar_writes() {
    let dir = tempfile::tempdir().unwrap();
    let long = "n".repeat(150);
    std::fs::write(dir.path().join("disk.vmdk"), VmdkImage::default().bytes()).unwrap();
    std::fs::write(dir.path().join("disk.ovf"), OVF).unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub").join(&long), b"x").unwrap();
    for format in ["gnu", "pax", "ustar"] {
        let output = std::process::Command::new("tar")
            .args(["--format", format, "-cf", "-", "disk.ovf", "disk.vmdk", "sub"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let made = output.status.success();
        assert!(
            made || format == "ustar",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        if made {
            assert_eq!(kinds(&output.stdout), [], "{format}");
        }
    }
}

#[test]
fn is_not_looked_into_by_default() {
    let declared = Declared::new("vmdk", "ova", Rules::default());
    assert!(!declared.is_inspected());
    let mut inspection = Inspection::new(declared);
    inspection.push(&archive(&[member("/etc/passwd", b'0', b"x")]));
    assert_eq!(inspection.early_refusal(), None);
    assert!(inspection.verdict().is_ok());
}

proptest! {
    #[test]
    fn the_answer_depends_on_no_chunks_and_nothing_panics(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::weighted(0.3, any::<proptest::sample::Index>()),
        chunk in 1_usize..3000,
    ) {
        let mut data = archive(&[
            member("p", b'x', b"18 path=disk.ovf.\n"),
            member("a.ovf", b'0', OVF.as_bytes()),
            member("b", b'0', &Qcow2Image { length: 2000, ..Qcow2Image::default() }.bytes()),
        ]);
        for (index, value) in changes {
            let at = index.index(data.len());
            data[at] = value;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        prop_assert_eq!(verdict_in(&data, chunk), verdict_in(&data, usize::MAX));
    }
}

#[test]
fn refuses_a_member_that_is_longer_than_any_file() {
    for size in [u64::MAX, u64::MAX - 511, u64::MAX - 512] {
        let mut data = member("disk.vmdk", b'0', b"x");
        data[124..136].copy_from_slice(&[&[0x80, 0, 0, 0][..], &size.to_be_bytes()].concat());
        seal(&mut data[..BLOCK]);
        assert_eq!(kinds(&data), [HazardKind::BadArchive], "{size}");
    }
}
