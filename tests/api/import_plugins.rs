//! Imports with plugins, by the real daemon and the real `qemu-img`, and the daemon killed while it works.

use crate::harness::{Body, Client, Daemon, Setup, eventually, names, qemu_img};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

const PLUGINS: &str = "[image_import_opts]\nimage_import_plugins = ['image_decompression', 'image_conversion', 'inject_image_metadata']\n\
                       [inject_metadata_properties]\ninject = os_distro:debian\nignore_user_roles = nobody\n";

/// A daemon that converts to this format.
fn converting_to(format: &str) -> Setup {
    Setup::default()
        .option("identity = local")
        .glance(PLUGINS)
        .glance(&format!("[image_conversion]\noutput_format = {format}"))
        .glance("[import_filtering_opts]\nallowed_hosts = 127.0.0.1\nallowed_ports =\n")
}

fn queued(api: &Client, disk: &str, container: &str) -> String {
    let image = api.create(&json!({"name": "x", "disk_format": disk, "container_format": container}));
    image["id"].as_str().unwrap().to_owned()
}

/// A new image of this format with this data, whose import is under way.
fn imported(api: &Client, disk: &str, bytes: &[u8]) -> String {
    let id = queued(api, disk, "bare");
    let body = Body::Sized("application/octet-stream", bytes);
    api.request("PUT", &format!("/v2/images/{id}/stage"), &[], body)
        .expect_status(204);
    import(api, &id, &json!({"name": "glance-direct"}));
    id
}

fn import(api: &Client, id: &str, method: &Value) {
    api.post(&format!("/v2/images/{id}/import"), &json!({ "method": method }))
        .expect_status(202);
}

fn task(api: &Client, id: &str) -> Value {
    let tasks = api
        .get(&format!("/v2/images/{id}/tasks"))
        .expect_status(200)
        .json();
    tasks["tasks"][0].clone()
}

fn end(api: &Client, id: &str) -> Value {
    eventually("the import has an end", || {
        task(api, id)["status"] != "processing"
    });
    api.show(id)
}

#[track_caller]
fn active(api: &Client, id: &str) -> Value {
    let image = end(api, id);
    assert_eq!(image["status"], "active", "{}", task(api, id));
    image
}

/// Why the import has failed, with nothing left of it.
#[track_caller]
fn failure(daemon: &Daemon, api: &Client, id: &str) -> String {
    assert_eq!(end(api, id)["status"], "queued");
    nothing_is_left(daemon);
    task(api, id)["message"].as_str().unwrap().to_owned()
}

fn nothing_is_left(daemon: &Daemon) {
    eventually("no byte is left", || {
        let directories = ["staging", "conversion"].map(|name| daemon.data_dir().join(name));
        daemon.stored().is_empty() && directories.iter().all(|directory| names(directory).is_empty())
    });
}

/// A disk with something at its beginning and at its end.
fn disk(directory: &Path) -> PathBuf {
    let path = directory.join("disk.raw");
    let file = fs::File::create(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    let data: Vec<u8> = (0..1_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8 | 1)
        .collect();
    file.write_all_at(&data, 4096).unwrap();
    file.write_all_at(&data, (8 << 20) - data.len() as u64).unwrap();
    path
}

/// The disk in another format.
fn made(directory: &Path, format: &str, options: &[&str]) -> Vec<u8> {
    let to = ["convert", "-f", "raw", "-O", format];
    qemu_img(directory, &[&to[..], options, &["disk.raw", "image"]].concat());
    fs::read(directory.join("image")).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}

fn data(api: &Client, id: &str) -> Vec<u8> {
    api.download(id).expect_status(200).body
}

#[test]
fn every_format_is_stored_as_the_disk_that_it_holds() {
    let daemon = converting_to("raw").start();
    let api = daemon.admin();
    let directory = daemon.scratch();
    let raw = fs::read(disk(&directory)).unwrap();
    for (format, driver, options) in [
        ("raw", "raw", &[][..]),
        ("qcow2", "qcow2", &["-c"]),
        ("vmdk", "vmdk", &["-o", "subformat=streamOptimized"]),
        ("vhd", "vpc", &["-o", "force_size=on"]),
        ("vhd", "vpc", &["-o", "subformat=fixed,force_size=on"]),
        ("vhdx", "vhdx", &[]),
        ("vdi", "vdi", &[]),
    ] {
        let id = imported(&api, format, &made(&directory, driver, options));
        let image = active(&api, &id);
        assert_eq!(
            [
                &image["disk_format"],
                &image["container_format"],
                &image["size"],
                &image["virtual_size"]
            ],
            [
                &json!("raw"),
                &json!("bare"),
                &json!(raw.len()),
                &json!(raw.len())
            ],
            "{format}"
        );
        assert_eq!(image["os_distro"], "debian");
        assert!(data(&api, &id) == raw, "{format}");
        api.delete(&format!("/v2/images/{id}")).expect_status(204);
    }
    nothing_is_left(&daemon);
}

#[test]
fn what_another_server_sends_packed_is_unpacked_and_converted() {
    let daemon = converting_to("raw").start();
    let api = daemon.admin();
    let directory = daemon.scratch();
    let raw = fs::read(disk(&directory)).unwrap();
    let body = gzip(&made(&directory, "qcow2", &[]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!(
        "http://127.0.0.1:{}/image.gz",
        listener.local_addr().unwrap().port()
    );
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut asked = BufReader::new(socket.try_clone().unwrap());
        let mut line = String::new();
        while asked.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(&body).unwrap();
        // Until the other end has read all, and goes.
        let _ = asked.read_line(&mut line);
    });
    let id = queued(&api, "qcow2", "bare");
    import(&api, &id, &json!({"name": "web-download", "uri": uri}));
    assert_eq!(active(&api, &id)["disk_format"], "raw");
    assert!(data(&api, &id) == raw);
}

/// With local users, the other region is this one.
#[test]
fn an_image_of_another_region_is_converted_whatever_format_it_has_there() {
    let methods = "[DEFAULT]\nenabled_import_methods = [glance-direct,glance-download]\n";
    let daemon = converting_to("raw").glance(methods).start();
    let api = daemon.admin();
    let directory = daemon.scratch();
    let raw = fs::read(disk(&directory)).unwrap();
    // Uploads are left alone.
    let original = queued(&api, "qcow2", "bare");
    let image = made(&directory, "qcow2", &[]);
    let body = Body::Sized("application/octet-stream", &image);
    api.request("PUT", &format!("/v2/images/{original}/file"), &[], body)
        .expect_status(204);
    assert_eq!(api.show(&original)["disk_format"], "qcow2");
    let id = queued(&api, "vmdk", "bare");
    let method =
        json!({"name": "glance-download", "glance_region": "RegionOne", "glance_image_id": original});
    import(&api, &id, &method);
    let converted = active(&api, &id);
    assert_eq!(
        [&converted["disk_format"], &converted["size"]],
        [&json!("raw"), &json!(raw.len())]
    );
    assert!(data(&api, &id) == raw);
    assert_eq!(data(&api, &original), image);
}

#[test]
fn a_disk_becomes_the_format_that_is_configured() {
    for format in ["qcow2", "vmdk"] {
        let daemon = converting_to(format).start();
        let api = daemon.admin();
        let directory = daemon.scratch();
        let raw = fs::read(disk(&directory)).unwrap();
        let id = imported(&api, "raw", &raw);
        let image = active(&api, &id);
        assert_eq!(
            [&image["disk_format"], &image["virtual_size"]],
            [&json!(format), &json!(raw.len())]
        );
        let stored = data(&api, &id);
        fs::write(directory.join("stored"), &stored).unwrap();
        qemu_img(
            &directory,
            &["compare", "-f", "raw", "-F", format, "disk.raw", "stored"],
        );
        // What has the format already stays as it is, to the byte.
        let again = imported(&api, format, &stored);
        assert_eq!(active(&api, &again)["checksum"], image["checksum"]);
    }
}

#[test]
fn what_is_not_to_be_opened_is_not_converted() {
    let daemon = converting_to("raw").start();
    let api = daemon.admin();
    let directory = daemon.scratch();
    disk(&directory);
    let image = directory.join("hostile");
    let file = image.to_str().unwrap();
    let create = |arguments: &[&str]| {
        let _ = fs::remove_file(&image);
        qemu_img(&directory, &[&["create", "-q"], arguments].concat());
        fs::read(&image).unwrap()
    };
    let backed = |name: &str| create(&["-f", "qcow2", "-u", "-b", name, "-F", "raw", file, "1M"]);
    let json_name = r#"json:{"driver":"file","filename":"/etc/passwd"}"#;
    let good = made(&directory, "qcow2", &[]);
    let mut huge = good.clone();
    huge[36..40].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut enormous = good.clone();
    enormous[24..32].copy_from_slice(&(1_u64 << 50).to_be_bytes());
    let encrypted = create(&[
        "-f",
        "qcow2",
        "--object",
        "secret,id=s,data=abc",
        "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
        file,
        "1M",
    ]);
    for (what, format, bytes, reason) in [
        (
            "a backing file",
            "qcow2",
            backed("/etc/passwd"),
            "failed safety checks",
        ),
        (
            "a file descriptor",
            "qcow2",
            backed("fd:0"),
            "failed safety checks",
        ),
        (
            "a description",
            "qcow2",
            backed(json_name),
            "failed safety checks",
        ),
        ("a sibling", "qcow2", backed("hostile"), "failed safety checks"),
        ("encryption", "qcow2", encrypted, "encrypted"),
        (
            "a table of 2^32 entries",
            "qcow2",
            huge,
            "image_conversion has failed: qemu-img",
        ),
        ("a disk of a pebibyte", "qcow2", enormous, "image_size_cap"),
        (
            "another format",
            "qcow2",
            fs::read(directory.join("disk.raw")).unwrap(),
            "the data is raw",
        ),
        ("hidden in raw", "raw", good.clone(), "the data is qcow2"),
        (
            "a description of files",
            "vmdk",
            create(&["-f", "vmdk", "-o", "subformat=monolithicFlat", file, "1M"]),
            "failed safety checks",
        ),
        (
            "half an image",
            "qcow2",
            good[..100].to_vec(),
            "failed safety checks",
        ),
        (
            "a format without disk",
            "aki",
            vec![1; 5000],
            "cannot be converted",
        ),
    ] {
        let id = imported(&api, format, &bytes);
        let why = failure(&daemon, &api, &id);
        assert!(why.contains(reason), "{what}: {why}");
    }
    // Named by a disk of its own: what a guest has written is not what its owner may make of the image.
    fs::write(directory.join("inner"), &good).unwrap();
    qemu_img(
        &directory,
        &["convert", "-f", "raw", "-O", "qcow2", "inner", "outer"],
    );
    let id = imported(&api, "qcow2", &fs::read(directory.join("outer")).unwrap());
    let why = failure(&daemon, &api, &id);
    assert!(
        why.contains("image_conversion") && why.contains("the data is qcow2"),
        "{why}"
    );
}

#[test]
fn an_installation_medium_stays_one() {
    let daemon = converting_to("raw").start();
    let api = daemon.admin();
    let mut medium = vec![0; 1 << 20];
    medium[32_768..32_774].copy_from_slice(b"\x01CD001");
    medium[34_816..34_822].copy_from_slice(b"\xffCD001");
    let id = imported(&api, "iso", &medium);
    assert_eq!(active(&api, &id)["disk_format"], "iso");
    let id = imported(&api, "raw", &medium);
    assert_eq!(end(&api, &id)["status"], "queued");
}

#[test]
fn a_conversion_that_is_killed_leaves_nothing_and_nobody_behind() {
    let mut daemon = converting_to("qcow2").option("claim_lease = 10s").start();
    let directory = daemon.scratch();
    disk(&directory);
    // Far more to do than there is time.
    let large = fs::File::create(directory.join("large")).unwrap();
    let block: Vec<u8> = (0..1_u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 9) as u8)
        .collect();
    for at in 0..192 {
        large.write_all_at(&block, at << 20).unwrap();
    }
    qemu_img(
        &directory,
        &["convert", "-f", "raw", "-O", "vdi", "large", "large.vdi"],
    );
    let bytes = fs::read(directory.join("large.vdi")).unwrap();
    let api = daemon.admin();
    let id = imported(&api, "vdi", &bytes);
    let workers = || workers_in(&daemon.data_dir().join("conversion"));
    eventually("it is being converted", || !workers().is_empty());
    let found = workers();
    daemon.kill();
    eventually("its process is gone", || {
        found
            .iter()
            .all(|worker| !Path::new("/proc").join(worker).join("cwd").exists())
    });
    daemon.start();
    let api = daemon.admin();
    eventually("the image is queued", || api.status(&id) == "queued");
    eventually("the task has failed", || task(&api, &id)["status"] == "failure");
    nothing_is_left(&daemon);
    let small = imported(&api, "vdi", &made(&directory, "vdi", &[]));
    assert_eq!(active(&api, &small)["disk_format"], "qcow2");
}

/// Processes in this directory.
fn workers_in(directory: &Path) -> Vec<String> {
    let directory = fs::canonicalize(directory).unwrap();
    names(Path::new("/proc"))
        .into_iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|name| {
            fs::read_link(Path::new("/proc").join(name).join("cwd")).is_ok_and(|cwd| cwd == directory)
        })
        .collect()
}

#[test]
fn the_start_is_refused_where_nothing_can_convert() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("saccade.conf");
    fs::write(
        &file,
        format!("[saccade]\nidentity = local\nmetrics_bind = none\n{PLUGINS}"),
    )
    .unwrap();
    let data = directory.path().join("data");
    for command in [&["config", "check"][..], &["serve"]] {
        let said = Command::new(env!("CARGO_BIN_EXE_saccade"))
            .args(command)
            .args(["--bind", "127.0.0.1:0", "--config-file"])
            .arg(&file)
            .arg("--data-dir")
            .arg(&data)
            .env_clear()
            .env("PATH", directory.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(
            !said.status.success() && text.contains("no qemu-img in PATH"),
            "{command:?}: {text}"
        );
    }
}
