//! What the client is told, and when: a header that is not accepted is answered while most of the image is yet to
//! come, and the client reads the answer, not a reset.

use crate::harness::{Client, Connection, Daemon, Setup, eventually, qemu_img, unsafe_qcow2};
use serde_json::{Value, json};
use std::fs;

/// How long images are said to be.
const ANNOUNCED: u64 = 256 << 20;
/// By when the answer must have come, in bytes sent.
const SOON: usize = 1 << 20;

/// How the data of an upload is framed.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Sized,
    Chunked,
}

impl Framing {
    const BOTH: [Self; 2] = [Self::Sized, Self::Chunked];

    fn header(self) -> String {
        match self {
            Self::Sized => format!("Content-Length: {ANNOUNCED}"),
            Self::Chunked => "Transfer-Encoding: chunked".to_owned(),
        }
    }

    fn frame(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sized => bytes.to_vec(),
            Self::Chunked => [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat(),
        }
    }
}

fn image(api: &Client, disk_format: &str, container_format: &str) -> String {
    let image = api.create(&json!({"disk_format": disk_format, "container_format": container_format}));
    image["id"].as_str().unwrap().to_owned()
}

fn put(api: &Client, id: &str, framing: Framing) -> Vec<u8> {
    format!(
        "PUT /v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}\r\n\
         Content-Type: application/octet-stream\r\n{}\r\n\r\n",
        api.token(),
        framing.header()
    )
    .into_bytes()
}

/// The image is as it was, and can be uploaded.
fn nothing_happened(daemon: &Daemon, api: &Client, id: &str) {
    eventually("the image is queued again", || api.status(id) == "queued");
    eventually("no byte is left", || daemon.stored().is_empty());
    assert_eq!(api.show(id)["size"], Value::Null);
}

/// A qcow2 header in front of zeros.
fn unsafe_image(daemon: &Daemon) -> Vec<u8> {
    let mut data = unsafe_qcow2(&daemon.scratch());
    data.resize(SOON, 0);
    data
}

#[test]
fn an_unsafe_header_is_answered_within_its_first_mebibyte() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    for framing in Framing::BOTH {
        let id = image(&admin, "qcow2", "bare");
        let mut connection = Connection::open(daemon.address());
        connection.send(&put(&admin, &id, framing));
        // And then nothing: the answer must not wait for more.
        connection.send(&framing.frame(&unsafe_image(&daemon)));
        let (head, body) = connection.answer();
        assert_eq!(head.status, 415, "{framing:?}");
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("backing_file: "), "{text}");
        nothing_happened(&daemon, &admin, &id);
    }
}

#[test]
fn a_header_of_another_format_is_answered_within_its_first_mebibyte() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let raw = vec![7; SOON];
    for framing in Framing::BOTH {
        for format in ["qcow2", "vmdk", "vhdx", "vdi", "iso"] {
            let id = image(&admin, format, "bare");
            let mut connection = Connection::open(daemon.address());
            connection.send(&put(&admin, &id, framing));
            connection.send(&framing.frame(&raw));
            let (head, body) = connection.answer();
            assert_eq!(head.status, 415, "{format}, {framing:?}");
            let text = String::from_utf8(body).unwrap();
            assert!(text.contains(&format!("disk_format is {format}")), "{text}");
            nothing_happened(&daemon, &admin, &id);
        }
    }
}

#[test]
fn a_client_that_goes_on_sending_reads_the_answer_and_no_reset() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    for framing in Framing::BOTH {
        let id = image(&admin, "qcow2", "bare");
        let mut connection = Connection::open(daemon.address());
        connection.send(&put(&admin, &id, framing));
        connection.send(&framing.frame(&unsafe_image(&daemon)));
        // Most clients read only after they have sent all: what they send must be taken until then.
        let more = framing.frame(&vec![0; 4 << 20]);
        for _ in 0..32 {
            connection.send(&more);
        }
        let (head, _) = connection.answer();
        assert_eq!(head.status, 415, "{framing:?}");
        nothing_happened(&daemon, &admin, &id);
    }
}

#[test]
fn what_shows_only_at_the_end_is_refused_before_the_image_is_active() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let scratch = daemon.scratch();
    qemu_img(&scratch, &["create", "-q", "-f", "vpc", "dynamic.vhd", "8M"]);
    let mut vhd = fs::read(scratch.join("dynamic.vhd")).unwrap();
    let kind = vhd.len() - 512 + 63;
    vhd[kind] = 4;
    let id = image(&admin, "vhd", "bare");
    let answer = admin.upload(&id, &vhd).expect_status(415);
    assert!(answer.text().contains("copies_differ: "), "{}", answer.text());
    nothing_happened(&daemon, &admin, &id);

    vhd[kind] = 3;
    admin.upload(&id, &vhd).expect_status(204);
    assert_eq!(admin.status(&id), "active");
}

#[test]
fn a_fixed_vhd_is_one_where_it_is_declared() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let scratch = daemon.scratch();
    let options = "subformat=fixed,force_size=on";
    qemu_img(
        &scratch,
        &["create", "-q", "-f", "vpc", "-o", options, "fixed.vhd", "4M"],
    );
    let data = fs::read(scratch.join("fixed.vhd")).unwrap();
    for (format, size) in [("vhd", 4 << 20), ("raw", (4 << 20) + 512)] {
        let id = image(&admin, format, "bare");
        admin.upload(&id, &data).expect_status(204);
        assert_eq!(admin.show(&id)["virtual_size"], size, "{format}");
    }
    let id = image(&admin, "vhd", "bare");
    admin.upload(&id, &data[..data.len() - 1024]).expect_status(415);
}

#[test]
fn packed_ramdisks_pass_as_glance_lets_them() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let gzip = [&[0x1f, 0x8b, 8, 0][..], &[3; 5000]].concat();
    for format in ["ari", "aki", "ami", "raw"] {
        let container = if format == "raw" { "bare" } else { format };
        for container in [container, "bare"] {
            let id = image(&admin, format, container);
            admin.upload(&id, &gzip).expect_status(204);
        }
    }
    let id = image(&admin, "qcow2", "bare");
    let answer = admin.upload(&id, &gzip).expect_status(415);
    let told = "the data is raw (gzip), but disk_format is qcow2: upload qcow2 data, unpacked";
    assert!(answer.text().contains(told), "{}", answer.text());
}

/// An OVA with a disk that names a file of the host.
fn unsafe_ova(daemon: &Daemon) -> Vec<u8> {
    let scratch = daemon.scratch();
    fs::write(scratch.join("disk.vmdk"), unsafe_qcow2(&scratch)).unwrap();
    fs::write(
        scratch.join("disk.ovf"),
        "<Envelope><File href=\"disk.vmdk\"/></Envelope>",
    )
    .unwrap();
    let mut command = std::process::Command::new("tar");
    command
        .args(["-cf", "-", "disk.ovf", "disk.vmdk"])
        .current_dir(&scratch);
    command.output().unwrap().stdout
}

#[test]
fn archives_pass_unlooked_at_as_in_glance_unless_the_operator_says_otherwise() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let ova = unsafe_ova(&daemon);
    let id = image(&admin, "vmdk", "ova");
    admin.upload(&id, &ova).expect_status(204);

    let daemon = Setup::default().option("inspect_ova = true").start();
    let admin = daemon.admin();
    let id = image(&admin, "vmdk", "ova");
    let answer = admin.upload(&id, &ova).expect_status(415);
    assert!(answer.text().contains("disk.vmdk"), "{}", answer.text());
    nothing_happened(&daemon, &admin, &id);
}

#[test]
fn the_options_of_glance_decide_what_passes() {
    let strict = Daemon::fresh();
    let lenient = Setup::default()
        .option("identity = local")
        .glance(
            "[image_format]\nrequire_image_format_match = false\nvmdk_allowed_types = streamOptimized\n\
             gpt_safety_checks_nonfatal = mbr\ndisk_formats = raw,qcow2,vmdk,gpt\ncontainer_formats = bare\n",
        )
        .start();
    let scratch = strict.scratch();
    qemu_img(&scratch, &["create", "-q", "-f", "vmdk", "sparse", "1M"]);
    let sparse = fs::read(scratch.join("sparse")).unwrap();
    let mut disk = vec![0; 40_000];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);

    let status = |daemon: &Daemon, format: &str, data: &[u8]| {
        let admin = daemon.admin();
        let id = image(&admin, format, "bare");
        admin.upload(&id, data).status
    };
    assert_eq!(status(&strict, "qcow2", &vec![7; 5000]), 415);
    assert_eq!(status(&lenient, "qcow2", &vec![7; 5000]), 204);
    assert_eq!(status(&strict, "vmdk", &sparse), 204);
    assert_eq!(status(&lenient, "vmdk", &sparse), 415);
    assert_eq!(status(&strict, "raw", &disk), 415);
    assert_eq!(status(&lenient, "gpt", &disk), 204);
    // What is not listed cannot be declared.
    for (format, container) in [("vdi", "bare"), ("raw", "ova")] {
        let wanted = json!({"disk_format": format, "container_format": container});
        lenient.admin().post("/v2/images", &wanted).expect_status(400);
    }
}

#[test]
fn a_client_that_waits_for_100_continue_learns_of_the_format_first() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = image(&admin, "qcow2", "bare");
    let mut connection = Connection::open(daemon.address());
    let head = put(&admin, &id, Framing::Sized);
    let head = String::from_utf8(head)
        .unwrap()
        .replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    connection.send(head.as_bytes());
    assert_eq!(connection.head().status, 100);
    connection.send(&unsafe_image(&daemon));
    assert_eq!(connection.head().status, 415);
}
