use crate::harness::{
    Body, Client, Connection, Daemon, Payload, Setup, eventually, md5, qemu_img, sha512, unsafe_qcow2,
    unsafe_vmdk,
};
use serde_json::{Value, json};
use std::{fs, thread, time::Duration};

const OCTETS: &str = "application/octet-stream";

/// The head of an upload that the test then sends as it likes.
fn put(api: &Client, id: &str, more: &str) -> Vec<u8> {
    format!(
        "PUT /v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}\r\nContent-Type: {OCTETS}\r\n{more}\r\n\r\n",
        api.token()
    )
    .into_bytes()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend(bytes);
    chunk.extend(b"\r\n");
    chunk
}

/// Queued, and nothing left on disk of what was sent.
fn nothing_happened(daemon: &Daemon, api: &Client, id: &str) {
    eventually("the image is queued again", || api.status(id) == "queued");
    eventually("no byte is left", || daemon.stored().is_empty());
    let image = api.show(id);
    for key in ["size", "virtual_size", "checksum", "os_hash_value"] {
        assert_eq!(image[key], Value::Null, "{key}");
    }
    api.download(id).expect_status(204);
}

/// Whoever failed once succeeds the next time.
fn can_be_uploaded(api: &Client, id: &str) {
    let bytes = Payload::bytes(99, 100_000);
    api.upload(id, &bytes).expect_status(204);
    assert_eq!(api.download(id).body, bytes);
}

fn has_hashes_of(image: &Value, bytes: &[u8]) {
    assert_eq!(image["status"], "active");
    assert_eq!(image["size"], bytes.len());
    assert_eq!(image["checksum"], md5(bytes).as_str());
    assert_eq!(image["os_hash_algo"], "sha512");
    assert_eq!(image["os_hash_value"], sha512(bytes).as_str());
}

#[test]
fn a_sized_upload_comes_back_byte_for_byte() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    // Around the sizes of buffers and hash blocks.
    for size in [
        1,
        63,
        64,
        65_535,
        65_536,
        65_537,
        1 << 20,
        (1 << 20) + 1,
        9_999_999,
    ] {
        let bytes = Payload::bytes(size as u64, size);
        let id = admin.active("sized", &bytes);
        has_hashes_of(&admin.show(&id), &bytes);
        let answer = admin.download(&id).expect_status(200);
        assert_eq!(answer.header("Content-Type"), OCTETS);
        assert_eq!(answer.header("Content-Length"), size.to_string());
        assert_eq!(answer.header("Content-MD5"), md5(&bytes));
        assert!(answer.body == bytes, "{size} bytes differ");
        assert_eq!(
            fs::read(daemon.images_dir().join(&id)).unwrap(),
            bytes,
            "as Glance stores it"
        );
    }
}

#[test]
fn a_chunked_upload_comes_back_byte_for_byte() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let bytes = Payload::bytes(1, 5_000_001);
    let id = admin.queued("chunked");
    let path = format!("/v2/images/{id}/file");
    admin
        .request("PUT", &path, &[], Body::Chunked(OCTETS, &mut bytes.as_slice()))
        .expect_status(204);
    has_hashes_of(&admin.show(&id), &bytes);
    assert!(admin.download(&id).body == bytes);
}

#[test]
fn uploads_at_once_do_not_mix() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    thread::scope(|scope| {
        for seed in 0..8 {
            let admin = &admin;
            scope.spawn(move || {
                let bytes = Payload::bytes(seed, 8 << 20);
                let id = admin.active("one of many", &bytes);
                has_hashes_of(&admin.show(&id), &bytes);
                assert!(admin.download(&id).body == bytes);
            });
        }
    });
}

#[test]
fn an_image_without_data_has_no_content() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("empty");
    let answer = admin.download(&id).expect_status(204);
    assert!(answer.body.is_empty());
}

#[test]
fn data_needs_its_formats_first() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let image = admin.create(&json!({"name": "no formats"}));
    let id = image["id"].as_str().unwrap();
    admin.upload(id, b"bytes").expect_status(400);
    nothing_happened(&daemon, &admin, id);
}

#[test]
fn data_is_written_once() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.active("once", b"first");
    admin.upload(&id, b"second").expect_status(409);
    assert_eq!(admin.download(&id).body, b"first");
}

#[test]
fn only_octets_are_taken() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("typed");
    let path = format!("/v2/images/{id}/file");
    for content_type in [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
    ] {
        admin
            .request("PUT", &path, &[], Body::Sized(content_type, b"bytes"))
            .expect_status(415);
    }
    let mut untyped = Connection::open(daemon.address());
    untyped.send(
        format!(
            "PUT {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}\r\nContent-Length: 5\r\n\r\nbytes",
            admin.token()
        )
        .as_bytes(),
    );
    assert_eq!(untyped.answer().0.status, 415);
    nothing_happened(&daemon, &admin, &id);
    can_be_uploaded(&admin, &id);
}

#[test]
fn a_size_that_is_not_as_declared_is_refused() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("declared");
    let path = format!("/v2/images/{id}/file");
    for (declared, bytes) in [
        ("6", &b"bytes"[..]),
        ("4", b"bytes"),
        ("99999999999999999999", b"bytes"),
        ("x", b"bytes"),
    ] {
        let headers = [("x-openstack-image-size", declared)];
        admin
            .request("PUT", &path, &headers, Body::Sized(OCTETS, bytes))
            .expect_status(400);
        nothing_happened(&daemon, &admin, &id);
    }
    let headers = [("x-openstack-image-size", "5")];
    admin
        .request("PUT", &path, &headers, Body::Sized(OCTETS, b"bytes"))
        .expect_status(204);
}

#[test]
fn the_size_cap_holds_for_sized_and_chunked() {
    let daemon = Setup::default()
        .option("identity = local")
        .glance("[DEFAULT]\nimage_size_cap = 1000000\n")
        .start();
    let admin = daemon.admin();
    let id = admin.queued("capped");
    let path = format!("/v2/images/{id}/file");
    admin
        .request(
            "PUT",
            &path,
            &[("x-openstack-image-size", "1000001")],
            Body::Sized(OCTETS, &[7; 1_000_001]),
        )
        .expect_status(413);
    let mut connection = Connection::open(daemon.address());
    connection.send(&put(&admin, &id, "Transfer-Encoding: chunked"));
    connection.send(&chunk(&[7; 1_000_000]));
    connection.send_what_is_taken(&chunk(b"!"));
    connection.send_what_is_taken(b"0\r\n\r\n");
    assert_eq!(connection.answer().0.status, 413);
    drop(connection);
    eventually("no byte is left", || daemon.stored().is_empty());
    admin.upload(&id, &[7; 1_000_000]).expect_status(204);
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("polite");
    let mut connection = Connection::open(daemon.address());
    connection.send(&put(&admin, &id, "Expect: 100-continue\r\nContent-Length: 5"));
    assert_eq!(connection.head().status, 100);
    connection.send(b"bytes");
    assert_eq!(connection.answer().0.status, 204);
    assert_eq!(admin.download(&id).body, b"bytes");
}

#[test]
fn a_client_that_waits_for_100_continue_is_refused_before_it_sends() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let active = admin.active("full", b"bytes");
    let nobody = "d0000000-0000-4000-8000-000000000000";
    for (id, status) in [(active.as_str(), 409), (nobody, 404)] {
        let mut connection = Connection::open(daemon.address());
        connection.send(&put(&admin, id, "Expect: 100-continue\r\nContent-Length: 5"));
        assert_eq!(connection.head().status, status, "{id}");
    }
    let stranger = daemon.anonymous().with_token("wrong");
    let mut connection = Connection::open(daemon.address());
    connection.send(&put(
        &stranger,
        &active,
        "Expect: 100-continue\r\nContent-Length: 5",
    ));
    assert_eq!(connection.head().status, 401);
}

#[test]
fn a_client_that_hangs_up_leaves_nothing() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("cut");
    let half = Payload::bytes(1, 3_000_000);
    for more in ["Content-Length: 6000000", "Transfer-Encoding: chunked"] {
        let mut connection = Connection::open(daemon.address());
        connection.send(&put(&admin, &id, more));
        let bytes = if more.starts_with("Transfer") {
            chunk(&half)
        } else {
            half.clone()
        };
        connection.send(&bytes);
        eventually("the upload is under way", || admin.status(&id) == "saving");
        drop(connection);
        nothing_happened(&daemon, &admin, &id);
    }
    can_be_uploaded(&admin, &id);
}

#[test]
fn a_client_that_stalls_is_broken_off() {
    let daemon = Setup::default().option("transfer_idle_timeout = 1s").start();
    let admin = daemon.admin();
    let id = admin.queued("stalled");
    let mut connection = Connection::open(daemon.address());
    connection.send(&put(&admin, &id, "Content-Length: 6000000"));
    connection.send(&Payload::bytes(1, 300_000));
    let answer = String::from_utf8_lossy(&connection.rest()).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    nothing_happened(&daemon, &admin, &id);
    can_be_uploaded(&admin, &id);
}

#[test]
fn a_slow_client_that_keeps_sending_is_served() {
    let daemon = Setup::default().option("transfer_idle_timeout = 1s").start();
    let admin = daemon.admin();
    let id = admin.queued("slow");
    let mut connection = Connection::open(daemon.address());
    connection.send(&put(&admin, &id, "Content-Length: 6"));
    for byte in b"slowly" {
        connection.send(&[*byte]);
        thread::sleep(Duration::from_millis(400));
    }
    assert_eq!(connection.answer().0.status, 204);
    assert_eq!(admin.download(&id).body, b"slowly");
}

#[test]
fn malformed_chunks_leave_nothing() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("malformed");
    for body in [
        &b"5\r\nbytesXX"[..],
        b"zz\r\n",
        b"fffffffffffffffff\r\n",
        b"-1\r\n",
    ] {
        let mut connection = Connection::open(daemon.address());
        connection.send(&put(&admin, &id, "Transfer-Encoding: chunked"));
        connection.send(body);
        connection.finish_sending();
        let answer = String::from_utf8_lossy(&connection.rest()).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
        nothing_happened(&daemon, &admin, &id);
    }
    can_be_uploaded(&admin, &id);
}

#[test]
fn of_two_uploads_one_wins() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("contended");
    let first = Payload::bytes(1, 1_000_000);
    let mut connection = Connection::open(daemon.address());
    connection.send(&put(&admin, &id, "Content-Length: 1000000"));
    connection.send(&first[..500_000]);
    eventually("the first is under way", || admin.status(&id) == "saving");
    admin.upload(&id, b"second").expect_status(409);
    connection.send(&first[500_000..]);
    assert_eq!(connection.answer().0.status, 204);
    assert!(admin.download(&id).body == first);
}

#[test]
fn a_change_during_an_upload_stays_and_does_not_disturb_it() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("before");
    let mut connection = Connection::open(daemon.address());
    connection.send(&put(&admin, &id, "Content-Length: 5"));
    connection.send(b"by");
    eventually("the upload is under way", || admin.status(&id) == "saving");
    let operations = json!([{"op": "replace", "path": "/name", "value": "after"}]);
    admin
        .patch(&format!("/v2/images/{id}"), &operations)
        .expect_status(200);
    connection.send(b"tes");
    assert_eq!(connection.answer().0.status, 204);
    let image = admin.show(&id);
    assert_eq!(
        (&image["name"], &image["status"]),
        (&"after".into(), &"active".into())
    );
}

#[test]
fn an_image_deleted_during_its_upload_is_gone() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("deleted");
    let mut connection = Connection::open(daemon.address());
    connection.send(&put(&admin, &id, "Content-Length: 5"));
    connection.send(b"by");
    eventually("the upload is under way", || admin.status(&id) == "saving");
    admin.delete(&format!("/v2/images/{id}")).expect_status(204);
    connection.send_what_is_taken(b"tes");
    assert_eq!(connection.answer().0.status, 410);
    admin.get(&format!("/v2/images/{id}")).expect_status(404);
    eventually("no byte is left", || daemon.stored().is_empty());
}

#[test]
fn a_download_finishes_although_the_image_is_deleted() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    // More than the buffers of both sides hold.
    let bytes = Payload::bytes(1, 32 << 20);
    let id = admin.active("read", &bytes);
    let mut connection = Connection::open(daemon.address());
    connection.send(&get(&admin, &id, "\r\nConnection: close"));
    assert_eq!(connection.head().status, 200);
    admin.delete(&format!("/v2/images/{id}")).expect_status(204);
    admin.download(&id).expect_status(404);
    assert!(connection.rest() == bytes);
}

/// The head of a request for the data that the test then reads as it likes.
fn get(api: &Client, id: &str, more: &str) -> Vec<u8> {
    format!(
        "GET /v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}{more}\r\n\r\n",
        api.token()
    )
    .into_bytes()
}

#[test]
fn one_connection_carries_many_downloads_and_the_log_says_what_was_sent() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let bytes = Payload::bytes(1, 9_999_999);
    let id = admin.active("large", &bytes);
    let mut connection = Connection::open(daemon.address());
    let whole = get(&admin, &id, "");
    let part = get(&admin, &id, "\r\nRange: bytes=4097-9000000");
    // Three requests ahead of the first answer.
    connection.send(&[&whole[..], &part[..], &whole[..]].concat());
    for expected in [&bytes[..], &bytes[4097..=9_000_000], &bytes[..]] {
        let (head, body) = connection.answer();
        assert_eq!(head.header("Content-MD5"), Some(md5(&bytes).as_str()));
        assert!(body == expected);
    }
    connection.send(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.answer().1, b"OK");
    eventually("each download is in the log with its length", || {
        let log = daemon.log().join("\n");
        log.matches("\"sent\":9999999,").count() == 2 && log.matches("\"sent\":8995904,").count() == 1
    });
}

#[test]
fn a_file_that_is_cut_short_breaks_its_download_and_nothing_else() {
    let daemon = Setup::default()
        .expect_log("a download broke off: its file cannot be read")
        .start();
    let admin = daemon.admin();
    // More than the buffers of both sides hold.
    let bytes = Payload::bytes(1, 32 << 20);
    let id = admin.active("cut short", &bytes);
    let other = admin.active("another", &bytes[..100_000]);
    let mut connection = Connection::open(daemon.address());
    connection.send(&get(&admin, &id, ""));
    let head = connection.head();
    assert_eq!(
        head.header("Content-Length"),
        Some(bytes.len().to_string().as_str())
    );
    let file = fs::OpenOptions::new()
        .write(true)
        .open(daemon.images_dir().join(&id))
        .unwrap();
    file.set_len(16 << 20).unwrap();
    let rest = connection.rest();
    assert!(rest.len() <= 16 << 20 && rest == bytes[..rest.len()]);
    assert!(admin.download(&other).body == bytes[..100_000]);
}

#[test]
fn unsafe_images_are_refused_and_can_be_uploaded_again() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let scratch = daemon.scratch();
    for (format, bytes) in [("qcow2", unsafe_qcow2(&scratch)), ("vmdk", unsafe_vmdk(&scratch))] {
        let image = admin.create(&json!({"disk_format": format, "container_format": "bare"}));
        let id = image["id"].as_str().unwrap();
        let answer = admin.upload(id, &bytes).expect_status(415);
        assert!(
            !answer.text().contains("/etc/passwd") || answer.text().contains("backing"),
            "{}",
            answer.text()
        );
        nothing_happened(&daemon, &admin, id);

        let good = scratch.join("good");
        qemu_img(
            &scratch,
            &["create", "-q", "-f", format, good.to_str().unwrap(), "1M"],
        );
        admin.upload(id, &fs::read(&good).unwrap()).expect_status(204);
        assert_eq!(admin.show(id)["virtual_size"], 1 << 20);
        admin.delete(&format!("/v2/images/{id}")).expect_status(204);
        eventually("the file is gone", || daemon.stored().is_empty());
    }
}

#[test]
fn an_unsafe_header_is_refused_before_the_rest_is_sent() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let image = admin.create(&json!({"disk_format": "qcow2", "container_format": "bare"}));
    let id = image["id"].as_str().unwrap();
    let mut connection = Connection::open(daemon.address());
    connection.send(&put(&admin, id, "Content-Length: 1000000000"));
    connection.send_what_is_taken(&unsafe_qcow2(&daemon.scratch()));
    connection.send_what_is_taken(&vec![0; 2 << 20]);
    assert_eq!(connection.head().status, 415);
    drop(connection);
    nothing_happened(&daemon, &admin, id);
}

#[test]
fn a_format_that_is_not_as_declared_is_refused() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    for (format, bytes) in [
        ("qcow2", Payload::bytes(1, 100_000)),
        ("vmdk", Payload::bytes(1, 100_000)),
        ("iso", vec![0; 100_000]),
    ] {
        let image = admin.create(&json!({"disk_format": format, "container_format": "bare"}));
        let id = image["id"].as_str().unwrap();
        admin.upload(id, &bytes).expect_status(415);
        nothing_happened(&daemon, &admin, id);
    }
}

#[test]
fn the_virtual_size_is_that_of_the_disk() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let scratch = daemon.scratch();
    for (format, options, virtual_size) in [
        ("qcow2", "compat=0.10", 3 << 30),
        ("qcow2", "compat=1.1", 5 << 30),
        ("vmdk", "subformat=monolithicSparse", 7 << 30),
        ("vmdk", "subformat=streamOptimized", 1_u64 << 30),
    ] {
        let file = scratch.join("disk");
        let size = virtual_size.to_string();
        qemu_img(
            &scratch,
            &[
                "create",
                "-q",
                "-f",
                format,
                "-o",
                options,
                file.to_str().unwrap(),
                &size,
            ],
        );
        let bytes = fs::read(&file).unwrap();
        let image = admin.create(&json!({"disk_format": format, "container_format": "bare"}));
        let id = image["id"].as_str().unwrap();
        admin.upload(id, &bytes).expect_status(204);
        let image = admin.show(id);
        assert_eq!(image["virtual_size"], virtual_size, "{format} {options}");
        has_hashes_of(&image, &bytes);
    }
}

#[test]
fn ranges_are_cut_out_of_the_image() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let bytes = Payload::bytes(1, 3_000_000);
    let last = bytes.len() - 1;
    let id = admin.active("ranged", &bytes);
    let path = format!("/v2/images/{id}/file");
    for (range, first, end) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=0-9".to_owned(), 0, 10),
        ("bytes=1048575-1048576".to_owned(), 1_048_575, 1_048_577),
        ("bytes=2999990-".to_owned(), 2_999_990, bytes.len()),
        ("bytes=-10".to_owned(), 2_999_990, bytes.len()),
        (format!("bytes={last}-{last}"), last, bytes.len()),
        ("bytes=5-99999999999".to_owned(), 5, bytes.len()),
        ("bytes=-99999999999".to_owned(), 0, bytes.len()),
        ("bytes=0-".to_owned(), 0, bytes.len()),
    ] {
        let answer = admin
            .request("GET", &path, &[("Range", &range)], Body::None)
            .expect_status(206);
        assert_eq!(
            answer.header("Content-Range"),
            format!("bytes {first}-{}/{}", end - 1, bytes.len()),
            "{range}"
        );
        assert_eq!(
            answer.header("Content-Length"),
            (end - first).to_string(),
            "{range}"
        );
        assert!(answer.body == bytes[first..end], "{range}");
    }
    for (range, status) in [
        ("bytes=0-1,5-6".to_owned(), 400),
        (format!("bytes={}-", bytes.len()), 416),
        ("bytes=9-5".to_owned(), 416),
        ("bytes=x".to_owned(), 416),
        ("lines=1-2".to_owned(), 416),
    ] {
        let answer = admin.request("GET", &path, &[("Range", &range)], Body::None);
        assert_eq!(answer.status, status, "{range}: {}", answer.text());
    }
}

#[test]
fn a_missing_file_is_an_error_and_not_an_empty_image() {
    let daemon = Setup::default().expect_log("its data is nowhere").start();
    let admin = daemon.admin();
    let id = admin.active("lost", b"bytes");
    fs::remove_file(daemon.images_dir().join(&id)).unwrap();
    admin.download(&id).expect_status(404);
    assert_eq!(admin.status(&id), "active");
    admin.delete(&format!("/v2/images/{id}")).expect_status(204);
}

#[test]
fn other_hashes_are_computed_where_configured() {
    let daemon = Setup::default()
        .option("identity = local")
        .glance("[DEFAULT]\nhashing_algorithm = sha256\n")
        .start();
    let admin = daemon.admin();
    let id = admin.active("hashed", b"abc");
    let image = admin.show(&id);
    assert_eq!(image["os_hash_algo"], "sha256");
    assert_eq!(
        image["os_hash_value"],
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}
