use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::*;

const SMALL: Ratio = Ratio {
    free: 1 << 20,
    times: 100,
};

/// What comes out, if it does, with the input in pieces of that length.
fn unpack_in(
    compression: Compression,
    input: &[u8],
    piece: usize,
    ratio: Ratio,
) -> Result<Vec<u8>, DecompressError> {
    struct Pieces<'a>(&'a [u8], usize);
    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len());
            self.0.read(&mut buffer[..length])
        }
    }
    let mut all = Vec::new();
    let length = decompress(compression, Pieces(input, piece), ratio, &mut |bytes| {
        all.extend_from_slice(bytes);
        ControlFlow::Continue(())
    })?;
    assert_eq!(length, all.len() as u64);
    Ok(all)
}

fn unpack(input: &[u8]) -> Result<Vec<u8>, DecompressError> {
    unpack_in(Compression::of(input).unwrap(), input, usize::MAX, Ratio::DEFAULT)
}

/// What a program makes of its input.
fn packed(command: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("these tests need {}: {error}", command[0]));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    })
}

/// A ZIP archive of these members, by Python's `zipfile`.
fn zip(script: &str, input: &[u8]) -> Vec<u8> {
    let program = format!(
        "import sys, io, zipfile\ndata = sys.stdin.buffer.read()\nout = io.BytesIO()\n{script}\nsys.stdout.buffer.write(out.getvalue())"
    );
    packed(&["python3", "-c", &program], input)
}

const ONE: &str = "with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('disk', data)";
const STORED: &str = "with zipfile.ZipFile(out, 'w', zipfile.ZIP_STORED) as z: z.writestr('disk', data)";
const WIDE: &str = "with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:\n with z.open('disk', 'w', force_zip64=True) as f: f.write(data)";
const WIDE_STORED: &str =
    "with zipfile.ZipFile(out, 'w') as z:\n with z.open('disk', 'w', force_zip64=True) as f: f.write(data)";
const UNSEEKABLE: &str = "class S:\n def write(self, b): return out.write(b)\n def flush(self): pass\n\
    with zipfile.ZipFile(S(), 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('disk', data)";
const WIDE_UNSEEKABLE: &str = "class S:\n def write(self, b): return out.write(b)\n def flush(self): pass\n\
    with zipfile.ZipFile(S(), 'w', zipfile.ZIP_DEFLATED) as z:\n with z.open('disk', 'w', force_zip64=True) as f: f.write(data)";

/// An LHA archive of a file that is not compressed, with a header of level 0.
fn lha(method: &[u8; 5], name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut checksum = delharc::crc::Crc16::default();
    checksum.digest(data);
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    let header = [
        method.as_slice(),
        &length,
        &length,
        &[0, 0, 0, 0, 0x20, 0, u8::try_from(name.len()).unwrap()],
        name,
        &checksum.sum16().to_le_bytes(),
    ]
    .concat();
    let sum = header.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let size = u8::try_from(header.len()).unwrap();
    [&[size, sum], header.as_slice(), data, &[0]].concat()
}

/// What LHa for UNIX 1.14i-ac (`lha ao5q`, `lha co61q`, `lha co72q`; the digit behind `c` and the method is the header's level) has made
/// of [`sparse`].
const BY_LHA: [&[u8]; 4] = [
    include_bytes!("archives/lh5-level0.lzh"),
    include_bytes!("archives/lh5-level2.lzh"),
    include_bytes!("archives/lh6-level1.lzh"),
    include_bytes!("archives/lh7-level2.lzh"),
];

/// 24 MiB of zeroes, likewise, by `lha co51q`.
const ZEROES_BY_LHA: &[u8] = include_bytes!("archives/zeroes.lzh");

/// The same noise twice, with nothing between, and farther apart than the windows of LHA but the largest.
fn sparse() -> Vec<u8> {
    let mut state = 12345_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12345) & 0x7fff_ffff;
        (state >> 16) as u8
    })
    .take(200)
    .collect();
    [noise.as_slice(), &[0; 40_000], &noise].concat()
}

fn data() -> Vec<u8> {
    (0..700_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> (i % 29)) as u8)
        .collect()
}

/// The same data, by everything that packs it.
fn everything(data: &[u8]) -> Vec<(&'static str, Compression, Vec<u8>)> {
    vec![
        ("gzip", Compression::Gzip, packed(&["gzip", "-c"], data)),
        ("xz", Compression::Xz, packed(&["xz", "-c"], data)),
        (
            "xz -9, sha256",
            Compression::Xz,
            packed(&["xz", "-9", "-C", "sha256", "-c"], data),
        ),
        ("zstd", Compression::Zstd, packed(&["zstd", "-c"], data)),
        (
            "zstd without checksum",
            Compression::Zstd,
            packed(&["zstd", "--no-check", "-19", "-c"], data),
        ),
        ("bzip2", Compression::Bzip2, packed(&["bzip2", "-c"], data)),
        ("zip", Compression::Zip, zip(ONE, data)),
        ("zip, stored", Compression::Zip, zip(STORED, data)),
        ("zip64", Compression::Zip, zip(WIDE, data)),
        ("zip64, stored", Compression::Zip, zip(WIDE_STORED, data)),
        ("zip of a stream", Compression::Zip, zip(UNSEEKABLE, data)),
        ("zip64 of a stream", Compression::Zip, zip(WIDE_UNSEEKABLE, data)),
        ("lha, stored", Compression::Lha, lha(b"-lh0-", b"disk", data)),
    ]
}

#[test]
fn gives_back_what_was_packed_however_it_comes() {
    let data = data();
    for (what, compression, packed) in everything(&data) {
        assert_eq!(Compression::of(&packed), Some(compression), "{what}");
        for piece in [1, 7, 4096, usize::MAX] {
            let unpacked = unpack_in(compression, &packed, piece, Ratio::DEFAULT);
            assert!(
                unpacked.unwrap_or_else(|error| panic!("{what}: {error}")) == data,
                "{what}, {piece}"
            );
        }
    }
}

#[test]
fn nothing_at_all_can_be_packed() {
    for (what, compression, packed) in everything(&[]) {
        if compression == Compression::Bzip2 {
            // There is no block by which it could be told.
            assert_eq!(Compression::of(&packed), None);
            continue;
        }
        assert_eq!(unpack(&packed).unwrap(), b"", "{what}");
    }
}

#[test]
fn several_streams_one_after_another_are_one() {
    let (a, b) = (data(), b"and more".to_vec());
    for program in ["gzip", "xz", "zstd", "bzip2"] {
        let both = [packed(&[program, "-c"], &a), packed(&[program, "-c"], &b)].concat();
        assert!(
            unpack(&both).unwrap() == [a.clone(), b.clone()].concat(),
            "{program}"
        );
    }
    let padded = [packed(&["gzip", "-c"], &b), vec![0; 1000]].concat();
    assert_eq!(unpack(&padded).unwrap(), b);
    let skipped = [
        packed(&["zstd", "-c"], &b),
        b"\x5a\x2a\x4d\x18\x03\0\0\0abc".to_vec(),
    ]
    .concat();
    assert_eq!(unpack(&skipped).unwrap(), b);
}

#[test]
fn what_is_cut_off_is_damaged_wherever_it_is_cut() {
    let data = data();
    for (what, compression, packed) in everything(&data) {
        for kept in [
            packed.len() - 1,
            packed.len() - 9,
            packed.len() / 2,
            packed.len() / 3,
            40,
            12,
        ] {
            // What follows the last record of a ZIP archive's end is its comment.
            let result = unpack_in(compression, &packed[..kept], usize::MAX, Ratio::DEFAULT);
            let is_tail_of_zip = compression == Compression::Zip && kept + 22 > packed.len();
            assert!(
                is_tail_of_zip || matches!(result, Err(DecompressError::Damaged(..))),
                "{what}, {kept}: {:?}",
                result.map(|bytes| bytes.len())
            );
        }
    }
}

#[test]
fn what_was_changed_on_its_way_is_damaged() {
    let data = data();
    for (what, compression, packed) in everything(&data) {
        if what == "zstd without checksum" {
            continue;
        }
        let mut changed = packed.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 0x10;
        let result = unpack_in(compression, &changed, usize::MAX, Ratio::DEFAULT);
        assert!(
            matches!(result, Err(DecompressError::Damaged(..))),
            "{what}: {:?}",
            result.map(|bytes| bytes.len())
        );
    }
}

#[test]
fn what_follows_the_end_is_no_image() {
    for program in ["gzip", "xz", "zstd"] {
        let followed = [packed(&[program, "-c"], b"x"), b"garbage behind it".to_vec()].concat();
        assert!(
            matches!(unpack(&followed), Err(DecompressError::Damaged(..))),
            "{program}"
        );
    }
    let followed = [zip(ONE, b"x"), vec![1; TOO_MUCH]].concat();
    assert!(matches!(unpack(&followed), Err(DecompressError::Damaged(..))));
}

const TOO_MUCH: usize = 2 << 20;

#[test]
fn a_bomb_is_noticed_before_it_has_unfolded() {
    let zeroes = vec![0; 24 << 20];
    for (what, compression, packed) in [
        ("gzip", Compression::Gzip, packed(&["gzip", "-9", "-c"], &zeroes)),
        ("xz", Compression::Xz, packed(&["xz", "-0", "-c"], &zeroes)),
        ("zstd", Compression::Zstd, packed(&["zstd", "-c"], &zeroes)),
        ("bzip2", Compression::Bzip2, packed(&["bzip2", "-c"], &zeroes)),
        ("zip", Compression::Zip, zip(ONE, &zeroes)),
        ("lha", Compression::Lha, ZEROES_BY_LHA.to_vec()),
    ] {
        let mut most = 0;
        let result = decompress(compression, &packed[..], SMALL, &mut |bytes| {
            most += bytes.len();
            ControlFlow::Continue(())
        });
        assert!(
            matches!(result, Err(DecompressError::Bomb { .. })),
            "{what}: {result:?}"
        );
        assert!(most <= 16 << 20, "{what}: {most} bytes came out");
        // As a disk that is small, it passes.
        assert_eq!(unpack(&packed).unwrap().len(), zeroes.len(), "{what}");
    }
}

#[test]
fn a_bomb_within_a_bomb_is_unpacked_once() {
    let inner = packed(&["gzip", "-9", "-c"], &vec![0; 4 << 20]);
    let outer = packed(&["gzip", "-9", "-c"], &inner);
    assert_eq!(unpack(&outer).unwrap(), inner);
}

#[test]
fn windows_larger_than_the_bound_are_refused() {
    // A frame whose window is 2^41 bytes, of which nothing is there.
    let huge = b"\x28\xb5\x2f\xfd\x00\xf8\x01\0\0";
    assert!(matches!(unpack(huge), Err(DecompressError::Damaged(..))));
    let wide = packed(&["xz", "-c", "--format=xz", "--lzma2=preset=0,dict=256MiB"], b"x");
    let error = unpack(&wide).unwrap_err();
    assert!(error.to_string().contains("mem"), "{error}");
}

#[test]
fn an_archive_has_one_file_whatever_it_is_called() {
    let named = |name: &str| {
        zip(
            &format!("with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('{name}', data)"),
            b"disk",
        )
    };
    for name in ["../../etc/passwd", "/etc/passwd", "a/b/c", "\\\\x00"] {
        assert_eq!(unpack(&named(name)).unwrap(), b"disk", "{name}");
    }
    let refused = |archive: &[u8], why: &str| {
        let error = unpack(archive).unwrap_err();
        assert!(matches!(error, DecompressError::Unsupported(_)), "{why}: {error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    let two = "with zipfile.ZipFile(out, 'w') as z:\n z.writestr('a', data)\n z.writestr('b', data)";
    refused(&zip(two, b"disk"), "more than one");
    refused(&named("folder/"), "directory");
    for (method, name) in [(12, "ZIP_BZIP2"), (14, "ZIP_LZMA")] {
        let script = format!("with zipfile.ZipFile(out, 'w', zipfile.{name}) as z: z.writestr('a', data)");
        refused(&zip(&script, b"disk"), &format!("method {method}"));
    }
    let mut encrypted = named("a");
    encrypted[6] |= 1;
    refused(&encrypted, "encrypted");
}

#[test]
fn an_archive_whose_list_says_otherwise_is_damaged() {
    let archive = zip(ONE, b"disk");
    let list = archive
        .windows(4)
        .position(|bytes| bytes == b"PK\x01\x02")
        .unwrap();
    for at in [list + 16, list + 24] {
        let mut changed = archive.clone();
        changed[at] ^= 1;
        assert!(matches!(unpack(&changed), Err(DecompressError::Damaged(..))));
    }
}

#[test]
fn archives_of_lha_are_unpacked_whatever_their_headers_and_windows() {
    let sparse = sparse();
    for archive in BY_LHA {
        for piece in [1, 7, usize::MAX] {
            let unpacked = unpack_in(Compression::Lha, archive, piece, Ratio::DEFAULT);
            assert!(unpacked.unwrap() == sparse);
        }
        for kept in 0..archive.len() {
            let cut = unpack_in(Compression::Lha, &archive[..kept], usize::MAX, Ratio::DEFAULT);
            assert!(
                matches!(cut, Err(DecompressError::Damaged(..))),
                "{kept}: {:?}",
                cut.map(|bytes| bytes.len())
            );
        }
    }
}

#[test]
fn an_archive_of_lha_has_one_file() {
    let one = lha(b"-lh0-", b"../../etc/passwd", b"disk");
    assert_eq!(unpack(&one).unwrap(), b"disk");
    let two = [&one[..one.len() - 1], &one].concat();
    let followed = [one.as_slice(), b"x"].concat();
    for (archive, why) in [
        (two, "more than one file"),
        (lha(b"-lhd-", b"folder", b""), "directory"),
        (lha(b"-lh1-", b"disk", b"disk"), "method -lh1-"),
        (lha(b"-lhx-", b"disk", b"disk"), "method -lhx-"),
    ] {
        let error = unpack(&archive).unwrap_err();
        assert!(matches!(error, DecompressError::Unsupported(_)), "{why}: {error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(matches!(unpack(&followed), Err(DecompressError::Damaged(..))));
}

#[test]
fn a_header_of_lha_without_end_is_not_kept() {
    // Level 1: each part of the header says how long the next one is.
    let mut head = b"\x1a\0-lh0-\xff\xff\xff\xff\0\0\0\0\0\0\0\0\x20\x01\x01x\0\0U\xff\xff".to_vec();
    head[0] = u8::try_from(head.len() - 2).unwrap();
    head[1] = head[2..].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let part = [&[0x3f][..], &[b'x'; 0xfffc], &[0xff, 0xff]].concat();
    let mut gone_in = 0_u64;
    struct Endless<'a>(Vec<u8>, Vec<u8>, &'a mut u64);
    impl Read for Endless<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                self.0.clone_from(&self.1);
            }
            let length = self.0.len().min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            *self.2 += length as u64;
            Ok(length)
        }
    }
    let endless = Endless(head, part, &mut gone_in);
    let result = decompress(Compression::Lha, endless, SMALL, &mut |_| {
        ControlFlow::Continue(())
    });
    assert!(matches!(result, Err(DecompressError::Damaged(..))), "{result:?}");
    assert!(gone_in < 1 << 20, "{gone_in}");
}

#[test]
fn disks_are_not_taken_for_compressed() {
    for head in [
        &b"QFI\xfb\0\0\0\x03"[..],
        b"KDMV\x01\0\0\0",
        b"",
        b"P",
        b"BZh9 is a word",
        &[0; 512],
        b"\x1f\x8b",
    ] {
        assert_eq!(Compression::of(head), None, "{head:?}");
    }
}

#[test]
fn an_input_that_breaks_off_is_not_called_damaged() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the line is dead"))
        }
    }
    let packed = packed(&["gzip", "-c"], &data());
    let result = decompress(
        Compression::Gzip,
        packed[..1000].chain(Broken),
        Ratio::DEFAULT,
        &mut |_| ControlFlow::Continue(()),
    );
    assert!(matches!(result, Err(DecompressError::Input(_))), "{result:?}");
}

#[test]
fn stops_when_nobody_wants_more() {
    let packed = packed(&["gzip", "-c"], &vec![0; 8 << 20]);
    let mut times = 0;
    let result = decompress(Compression::Gzip, &packed[..], Ratio::DEFAULT, &mut |_| {
        times += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(result, Err(DecompressError::Unwanted)));
    assert_eq!(times, 1);
}

#[test]
fn random_bytes_behind_every_magic_do_no_harm() {
    let mut state = 1_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    let mut samples = everything(&data()[..5000]);
    samples.extend(BY_LHA.map(|archive| ("lha", Compression::Lha, archive.to_vec())));
    for round in 0..60 {
        for (_, compression, packed) in &samples {
            let mut bytes = packed.clone();
            for _ in 0..=round % 8 {
                let at = usize::from(byte()) * bytes.len() / 256;
                bytes[at] = byte();
            }
            // An answer, whatever it is.
            let _ = unpack_in(*compression, &bytes, usize::MAX, SMALL);
        }
    }
}

#[test]
fn many_members_are_one_file_as_long_as_something_is_in_them() {
    // Blocks of nothing but zeroes, as of a disk that is empty.
    let zeroes = vec![0; 64 << 10];
    for program in ["gzip", "zstd", "bzip2"] {
        let member = packed(&[program, "-c"], &zeroes);
        let whole = unpack(&member.repeat(1100)).unwrap();
        assert_eq!(whole.len(), 1100 * zeroes.len(), "{program}");
        assert!(whole.iter().all(|&byte| byte == 0), "{program}");
    }
}

#[test]
fn refuses_members_without_number_that_hold_nothing() {
    for (program, compression) in [
        ("gzip", Compression::Gzip),
        ("zstd", Compression::Zstd),
        ("bzip2", Compression::Bzip2),
    ] {
        let member = packed(&[program, "-c"], b"");
        let unpack = |times| unpack_in(compression, &member.repeat(times), usize::MAX, Ratio::DEFAULT);
        assert_eq!(unpack(900).unwrap(), b"", "{program}");
        let error = unpack(20_000).unwrap_err();
        assert!(
            error.to_string().contains("next to nothing"),
            "{program}: {error}"
        );
    }
    // Frames that are to be skipped, each with nothing in it.
    let mut skipped = packed(&["zstd", "-c"], b"");
    skipped.extend([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0].repeat(100_000));
    assert!(matches!(unpack(&skipped), Err(DecompressError::Unsupported(_))));
}
