//! Imports with plugins, over HTTP; those that start a process are in `tests/api/import_plugins.rs`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::json;

use super::{
    import::{answer, direct, emptied, end, forgotten, from, import, mirror, queued, stage, task},
    *,
};
use crate::{
    import::plugins::{Injection, Plugin, Plugins},
    policy::PropertyProtection,
    quota::Configured,
};

pub(super) fn with(plugins: impl IntoIterator<Item = Plugin>) -> App {
    over(Fixture::new(rules()), plugins)
}

fn over(mut fixture: Fixture, plugins: impl IntoIterator<Item = Plugin>) -> App {
    fixture.imports = fixture.imports.with_plugins(Plugins::new(plugins));
    App::over(fixture, settings())
}

fn packed(program: &[&str], data: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(data).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}

fn injection() -> Plugin {
    Plugin::InjectMetadata(Injection {
        properties: [("os_distro".to_owned(), "debian".to_owned())].into(),
        ignore_user_roles: vec!["admin".to_owned()],
    })
}

/// A new image of these formats with this data, imported; its path.
async fn imported(app: &App, disk: &str, container: &str, data: Vec<u8>) -> String {
    let body = json!({"disk_format": disk, "container_format": container});
    let path = app.create(&body).await;
    stage(app, &path, data).await;
    assert_eq!(import(app, &path, direct()).await.status, 202);
    path
}

/// The import has failed, and left nothing; why, as the task says it.
async fn failure(app: &App, path: &str) -> String {
    let image = end(app, path).await;
    assert_eq!(
        (&image["status"], &image["size"]),
        (&json!("queued"), &Value::Null),
        "{image}"
    );
    let task = task(app, path).await;
    assert_eq!(task["status"], "failure", "{task}");
    emptied(app, "staging").await;
    emptied(app, "images").await;
    forgotten(app).await;
    task["message"].as_str().unwrap().to_owned()
}

fn disk() -> Vec<u8> {
    (0..3_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> (i % 29)) as u8)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compressed_is_stored_unpacked() {
    let app = with([Plugin::Decompression]);
    let disk = disk();
    for program in ["gzip", "xz", "zstd", "bzip2"] {
        let path = imported(&app, "raw", "bare", packed(&[program, "-c"], &disk)).await;
        let image = end(&app, &path).await;
        assert_eq!(image["status"], "active", "{program}: {image}");
        assert_eq!(image["size"], disk.len());
        assert_eq!(image["virtual_size"], disk.len());
        assert_eq!(image["container_format"], "bare");
        assert!(app.get(&format!("{path}/file")).await.body == disk, "{program}");
    }
    emptied(&app, "staging").await;
    forgotten(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_lha_is_stored_unpacked() {
    let app = with([Plugin::Decompression]);
    let archive = include_bytes!("../../../conversion/src/decompress/archives/zeroes.lzh");
    let path = imported(&app, "raw", "bare", archive.to_vec()).await;
    let image = end(&app, &path).await;
    assert_eq!(
        (&image["status"], &image["size"]),
        (&json!("active"), &json!(24 << 20)),
        "{image}"
    );
    let body = app.get(&format!("{path}/file")).await.body;
    assert!(body.len() == 24 << 20 && body.iter().all(|byte| *byte == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_sends_is_unpacked_on_its_way() {
    let app = with([Plugin::Decompression]);
    let disk = disk();
    let body = packed(&["gzip", "-c"], &disk);
    let length = format!("Content-Length: {}", body.len());
    let uri = mirror(vec![answer("200 OK", &length, &body)]).await;
    let path = queued(&app, "raw").await;
    assert_eq!(import(&app, &path, from(&uri)).await.status, 202);
    assert_eq!(end(&app, &path).await["status"], "active");
    assert!(app.get(&format!("{path}/file")).await.body == disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_be_compressed_or_is_not_stays_as_it_is() {
    let app = with([Plugin::Decompression]);
    let packed = packed(&["gzip", "-c"], &disk());
    for (container, data) in [
        ("compressed", packed),
        ("bare", disk()),
        ("bare", b"1234".to_vec()),
        ("bare", Vec::new()),
    ] {
        let path = imported(&app, "raw", container, data.clone()).await;
        assert_eq!(end(&app, &path).await["status"], "active");
        assert!(app.get(&format!("{path}/file")).await.body == data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_out_is_held_against_its_format_and_inspected() {
    let app = with([Plugin::Decompression]);
    let mut unsafe_image = vec![0; 65_536];
    unsafe_image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    unsafe_image[15] = 0xf0;
    unsafe_image[19] = 11;
    unsafe_image[23] = 16;
    unsafe_image[30] = 1;
    unsafe_image[0xf0..0xf0 + 11].copy_from_slice(b"/etc/passwd");
    for format in ["qcow2", "raw"] {
        let path = imported(&app, format, "bare", packed(&["gzip", "-c"], &unsafe_image)).await;
        let why = failure(&app, &path).await;
        assert!(
            why.contains("failed safety checks") && why.contains("/etc/passwd"),
            "{why}"
        );
    }
    let path = imported(&app, "qcow2", "bare", packed(&["gzip", "-c"], &disk())).await;
    let why = failure(&app, &path).await;
    assert!(why.contains("the data is raw"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_unpacked_fails_the_import_and_says_why() {
    let app = with([Plugin::Decompression]);
    let whole = packed(&["gzip", "-c"], &disk());
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for (data, reason) in [
        (whole[..whole.len() / 2].to_vec(), "damaged or incomplete"),
        (changed, "damaged or incomplete"),
        (
            b"\x21\0-lh5-\0\0\0\0\0".to_vec(),
            "the LHA data is damaged or incomplete",
        ),
        (b"PK\x03\x04\x14\0\x01\0\x08\0".to_vec(), "ZIP data is damaged"),
    ] {
        let path = imported(&app, "raw", "bare", data).await;
        let why = failure(&app, &path).await;
        assert!(
            why.contains("import plugin image_decompression has failed"),
            "{why}"
        );
        assert!(why.contains(reason), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_stops_at_the_owners_limit() {
    let limits = Arc::new(Configured {
        storage: Some(1 << 20),
    });
    let fixture = Fixture::with(rules(), PropertyProtection::none(), limits);
    let app = over(fixture, [Plugin::Decompression]);
    let bomb = packed(&["gzip", "-c"], &vec![0; 64 << 20]);
    assert!(bomb.len() < 1 << 17);
    let path = imported(&app, "raw", "bare", bomb).await;
    let why = failure(&app, &path).await;
    assert!(!why.contains("plugin"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_come_with_the_data_and_not_with_a_failure() {
    let app = with([Plugin::Decompression, injection(), Plugin::NoOp]);
    let path = imported(&app, "raw", "bare", disk()).await;
    assert_eq!(end(&app, &path).await["os_distro"], "debian");
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    let path = imported(&app, "raw", "bare", b"\x1f\x8b\x08 no gzip".to_vec()).await;
    failure(&app, &path).await;
    assert_eq!(app.get(&path).await.json().get("os_distro"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_role_that_is_spared_gets_no_properties() {
    let app = with([injection()]);
    let path = app
        .create(&json!({"disk_format": "raw", "container_format": "bare"}))
        .await;
    stage(&app, &path, "data").await;
    let body = direct();
    let answer = app
        .json(Method::POST, &format!("{path}/import"), ADMIN, &body)
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let image = end(&app, &path).await;
    assert_eq!(
        (&image["status"], image.get("os_distro")),
        (&json!("active"), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_left_alone() {
    let app = with([Plugin::Decompression, injection()]);
    let path = queued(&app, "raw").await;
    let data = packed(&["gzip", "-c"], b"data");
    let mut upload = request(Method::PUT, &format!("{path}/file"), MEMBER);
    let octets = "application/octet-stream".parse().unwrap();
    upload.headers_mut().insert("content-type", octets);
    *upload.body_mut() = Body::from(data.clone());
    assert_eq!(app.send(upload).await.status, 204);
    assert!(app.get(&format!("{path}/file")).await.body == data);
    assert_eq!(app.get(&path).await.json().get("os_distro"), None);
}
