//! Images of another region of the same cloud.

use std::sync::{Arc, Mutex};

use super::{super::import_plugins::with, *};
use crate::{import::plugins::Plugin, metadata::Metadata};

const ID: &str = "0c0a9a0b-3a3c-4a5e-8f5b-1b2a3c4d5e6f";
const DATA: &[u8] = b"hello, world";

/// The image service of another region: answers requests with these texts, one connection each.
struct Region {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Region {
    async fn of(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let asked = heads.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                asked.lock().unwrap().push(String::from_utf8(head).unwrap());
                socket.write_all(&answer).await.unwrap();
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}/"),
            heads,
        }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn record(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut record = json!({
        "id": ID, "name": "theirs", "status": "active", "size": 12, "visibility": "public",
        "disk_format": "raw", "container_format": "bare", "min_disk": 7, "tags": ["t"],
        "checksum": "e4d7f1b4ed2e42d15898f4b27b019da4", "os_hash_algo": "sha256",
        "os_hash_value": "09ca7e4eaa6e8ae9c7d261167129184883644d07dfba7cbfbc4c8a2e08360d5b",
        "hw_disk_bus": "scsi", "os_type": "linux", "os_hidden": true, "os_glance_x": "y", "colour": "red",
    });
    change(&mut record);
    let text = record.to_string();
    answer(
        "200 OK",
        &format!("Content-Length: {}", text.len()),
        text.as_bytes(),
    )
}

fn file() -> Vec<u8> {
    answer("200 OK", "Content-Length: 12", DATA)
}

fn wanted(region: &str) -> Value {
    json!({"method": {"name": "glance-download", "glance_region": region, "glance_image_id": ID}})
}

async fn ask(app: &App, path: &str, region: Option<&str>, body: &Value) -> Answer {
    let mut request = request(Method::POST, &format!("{path}/import"), MEMBER);
    let text = body.to_string();
    request.headers_mut().insert("content-length", text.len().into());
    if let Some(region) = region {
        request.headers_mut().insert("x-region", region.parse().unwrap());
    }
    *request.body_mut() = Body::from(text);
    app.send(request).await
}

async fn download(app: &App, path: &str, region: &Region) -> Answer {
    ask(
        app,
        path,
        Some(&format!("There {}", region.url)),
        &wanted("there"),
    )
    .await
}

#[tokio::test]
async fn an_image_of_another_region_brings_its_formats_and_what_it_may_bring_of_its_properties() {
    let app = App::new();
    let path = queued(&app, "qcow2").await;
    let region = Region::of(vec![record(|_| {}), file()]).await;
    let answer = download(&app, &path, &region).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (202, ""), "{answer:?}");
    let image = end(&app, &path).await;
    assert_eq!(
        (&image["status"], &image["size"]),
        (&json!("active"), &json!(12)),
        "{image}"
    );
    assert_eq!(image["checksum"], "e4d7f1b4ed2e42d15898f4b27b019da4");
    assert_eq!(image["os_hash_algo"], "sha512");
    assert_eq!(
        (&image["disk_format"], &image["hw_disk_bus"], &image["os_type"]),
        (&json!("raw"), &json!("scsi"), &json!("linux"))
    );
    for (name, own) in [
        ("colour", Value::Null),
        ("os_glance_x", Value::Null),
        ("os_hidden", json!(false)),
        ("min_disk", json!(0)),
        ("name", Value::Null),
        ("visibility", json!("shared")),
    ] {
        assert_eq!(image.get(name).cloned().unwrap_or_default(), own, "{name}");
    }
    let heads = region.heads();
    for (head, line) in heads.iter().zip([
        format!("GET /v2/images/{ID} "),
        format!("GET /v2/images/{ID}/file "),
    ]) {
        assert!(head.starts_with(&line), "{head}");
        assert!(head.contains(&format!("x-auth-token: {MEMBER}\r\n")), "{head}");
    }
    assert_eq!(heads.len(), 2);
    let task = task(&app, &path).await;
    assert_eq!(task["status"], "success");
    let shown = json!({"name": "glance-download", "glance_region": "there", "glance_image_id": ID,
        "glance_service_interface": "public"});
    assert_eq!(task["input"]["import_req"], json!({"method": shown}));
    assert!(!task.to_string().contains(MEMBER), "{task}");
    forgotten(&app).await;
}

#[tokio::test]
async fn a_broken_connection_to_another_region_is_taken_up_again_with_the_token() {
    let app = App::new();
    let path = queued(&app, "raw").await;
    let part = |range: &str, data| {
        let headers = format!("Content-Length: {}\r\nContent-Range: bytes {range}/12", 12 - 5);
        answer("206 Partial Content", &headers, data)
    };
    let region = Region::of(vec![
        record(|_| {}),
        answer("200 OK", "Content-Length: 12", b"hello"),
        part("5-11", b", world"),
    ])
    .await;
    assert_eq!(download(&app, &path, &region).await.status, 202);
    let image = end(&app, &path).await;
    assert_eq!(image["status"], "active", "{}", task(&app, &path).await);
    assert_eq!(image["checksum"], "e4d7f1b4ed2e42d15898f4b27b019da4");
    let last = region.heads().pop().unwrap();
    assert!(last.contains("range: bytes=5-\r\n"), "{last}");
    assert!(last.contains(&format!("x-auth-token: {MEMBER}\r\n")), "{last}");
}

#[tokio::test]
async fn an_image_that_cannot_be_taken_over_leaves_everything_as_it_was() {
    let redirect = |to: &str| answer("302 Found", &format!("Location: {to}\r\nContent-Length: 0"), b"");
    let empty = |status: &str| answer(status, "Content-Length: 0", b"");
    let cases = [
        (
            vec![record(|record| record["status"] = json!("queued"))],
            "Source image status should be active instead of queued",
        ),
        (
            vec![record(|record| record["size"] = Value::Null)],
            "could not be determined",
        ),
        (
            vec![record(|record| record["disk_format"] = json!("floppy"))],
            "disk_format",
        ),
        (
            vec![record(|record| {
                for n in 0..5 {
                    record[format!("hw_{n}")] = json!("x");
                }
            })],
            "properties",
        ),
        (vec![empty("404 Not Found")], "has no image"),
        (vec![empty("401 Unauthorized")], "does not take your token"),
        (vec![empty("403 Forbidden")], "does not let you"),
        (vec![redirect("http://127.0.0.1:1/elsewhere")], "redirects"),
        (
            vec![answer("200 OK", "Content-Length: 1", b"{")],
            "sends no image",
        ),
        (vec![record(|_| {}), redirect("/v2/other")], "redirects"),
        (vec![record(|_| {}), empty("204 No Content")], "has no data"),
        (
            vec![record(|_| {}), answer("200 OK", "Content-Length: 4", b"data")],
            "has 4 bytes, and its image says 12",
        ),
        (
            vec![
                record(|record| record["checksum"] = json!("0".repeat(32))),
                file(),
            ],
            "md5",
        ),
        (
            vec![
                record(|record| record["os_hash_value"] = json!("0".repeat(64))),
                file(),
            ],
            "sha256",
        ),
        (
            vec![record(|record| record["disk_format"] = json!("qcow2")), file()],
            "disk_format",
        ),
    ];
    for (answers, reason) in cases {
        let app = App::new();
        let path = queued(&app, "iso").await;
        let before = app.get(&path).await.json();
        let region = Region::of(answers).await;
        assert_eq!(download(&app, &path, &region).await.status, 202, "{reason}");
        let image = end(&app, &path).await;
        let task = task(&app, &path).await;
        assert_eq!(task["status"], "failure", "{reason}: {task}");
        let message = task["message"].as_str().unwrap();
        assert!(message.contains(reason), "{reason}: {message}");
        assert!(!message.contains(MEMBER), "{message}");
        for name in ["status", "disk_format", "container_format", "size", "hw_disk_bus"] {
            assert_eq!(image.get(name), before.get(name), "{reason}: {name}");
        }
        emptied(&app, "images").await;
        forgotten(&app).await;
    }
}

/// What is stored is not what came then: it is hashed before plugins have it.
#[tokio::test(flavor = "multi_thread")]
async fn what_plugins_get_is_what_the_other_region_says_it_has() {
    let with_plugins = || with([Plugin::Decompression]);
    let app = with_plugins();
    let path = queued(&app, "qcow2").await;
    let region = Region::of(vec![record(|_| {}), file()]).await;
    assert_eq!(download(&app, &path, &region).await.status, 202);
    let image = end(&app, &path).await;
    assert_eq!(
        (&image["status"], &image["disk_format"]),
        (&json!("active"), &json!("raw"))
    );
    for (field, wrong, algorithm) in [
        ("checksum", "0".repeat(32), "md5"),
        ("os_hash_value", "0".repeat(64), "sha256"),
    ] {
        let app = with_plugins();
        let path = queued(&app, "qcow2").await;
        let region = Region::of(vec![record(|record| record[field] = json!(wrong)), file()]).await;
        assert_eq!(download(&app, &path, &region).await.status, 202);
        let image = end(&app, &path).await;
        assert_eq!(
            (&image["status"], &image["disk_format"]),
            (&json!("queued"), &json!("qcow2"))
        );
        let task = task(&app, &path).await;
        let message = task["message"].as_str().unwrap();
        assert!(
            message.contains("not what the source image says") && message.contains(algorithm),
            "{message}"
        );
        emptied(&app, "images").await;
        forgotten(&app).await;
    }
}

#[tokio::test]
async fn a_region_that_the_catalog_does_not_name_is_not_asked() {
    let app = App::new();
    let region = "There http://127.0.0.1:9/";
    for (region, body, reason) in [
        (None, wanted("there"), "no catalog"),
        (
            Some(region),
            wanted("nowhere"),
            "public glance endpoint not found for region nowhere",
        ),
        (
            Some(region),
            json!({"method": {"name": "glance-download", "glance_region": "There", "glance_image_id": ID,
                "glance_service_interface": "admin"}}),
            "admin glance endpoint not found for region There",
        ),
        (Some("There ftp://inner"), wanted("There"), "is no address"),
    ] {
        let path = queued(&app, "raw").await;
        assert_eq!(ask(&app, &path, region, &body).await.status, 202);
        assert_eq!(end(&app, &path).await["status"], "queued");
        let task = task(&app, &path).await;
        assert_eq!(task["message"], reason_of(&task, reason), "{task}");
    }
    let path = queued(&app, "raw").await;
    assert_eq!(ask(&app, &path, Some("down"), &wanted("there")).await.status, 503);
    assert_eq!(app.get(&format!("{path}/tasks")).await.json()["tasks"], json!([]));
}

/// The message itself where it contains the reason.
fn reason_of(task: &Value, reason: &str) -> Value {
    match task["message"].as_str() {
        Some(message) if message.contains(reason) => json!(message),
        _ => json!(reason),
    }
}

#[tokio::test]
async fn what_is_missing_is_said_after_what_the_image_lacks() {
    let app = App::new();
    let formatless = app.create(&json!({})).await;
    let waiting = staged(&app, b"data").await;
    let path = queued(&app, "raw").await;
    let method = |fields: Value| {
        let mut method = json!({"name": "glance-download"});
        method
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!({ "method": method })
    };
    for (path, body, status, reason) in [
        (
            &waiting,
            method(json!({})),
            409,
            "Image needs to be in 'queued' state to use 'glance-download' method",
        ),
        (
            &formatless,
            method(json!({})),
            409,
            "'container_format' needs to be set before import",
        ),
        (
            &path,
            method(json!({})),
            400,
            "'glance_region' needs to be set for glance-download import method",
        ),
        (
            &path,
            method(json!({"glance_region": "R"})),
            400,
            "'glance_image_id' needs to be set for glance-download import method",
        ),
        (
            &path,
            method(json!({"glance_region": "R", "glance_image_id": "7"})),
            400,
            "Remote image id does not look like a UUID: 7",
        ),
    ] {
        let answer = ask(&app, path, None, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert!(answer.text().contains(reason), "{answer:?}");
    }
}

#[tokio::test]
async fn where_staged_data_waits_is_in_the_record_until_it_is_imported_and_in_no_answer() {
    let app = App::new();
    let path = staged(&app, b"data").await;
    let id: crate::image::ImageId = path.rsplit('/').next().unwrap().parse().unwrap();
    let host = async || {
        let entry = app.fixture.metadata.entry(id).await.unwrap().unwrap();
        entry
            .live()
            .unwrap()
            .properties
            .get("os_glance_stage_host")
            .cloned()
    };
    assert_eq!(host().await.as_deref(), Some("http://here:9292"));
    assert_eq!(app.get(&path).await.json().get("os_glance_stage_host"), None);
    assert_eq!(import(&app, &path, direct()).await.status, 202);
    assert_eq!(host().await, None);
    assert_eq!(end(&app, &path).await["status"], "active");
}
