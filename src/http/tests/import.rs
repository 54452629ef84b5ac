//! Imports over HTTP.

mod elsewhere;
mod region;

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{image::ChangeKind, janitor::Janitor};

fn stores(ids: &[&str]) -> StoreNames {
    let all = ids.iter().map(|id| {
        let StoreNames::Shown(mut one) = store(id) else {
            panic!("a store that is shown")
        };
        one.remove(0)
    });
    StoreNames::Shown(all.collect())
}

fn named(ids: &[&str]) -> App {
    App::with(Settings {
        stores: stores(ids),
        ..settings()
    })
}

pub(super) async fn queued(app: &App, disk_format: &str) -> String {
    app.create(&json!({"disk_format": disk_format, "container_format": "bare"}))
        .await
}

fn put(path: &str, token: &str, data: impl Into<Body>) -> Request<Body> {
    let mut request = request(Method::PUT, &format!("{path}/stage"), token);
    let octets = "application/octet-stream".parse().unwrap();
    request.headers_mut().insert("content-type", octets);
    *request.body_mut() = data.into();
    request
}

pub(super) async fn stage(app: &App, path: &str, data: impl Into<Body>) {
    let answer = app.send(put(path, MEMBER, data)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""), "{answer:?}");
}

async fn staged(app: &App, data: &'static [u8]) -> String {
    let path = queued(app, "raw").await;
    stage(app, &path, data).await;
    path
}

pub(super) async fn import(app: &App, path: &str, body: Value) -> Answer {
    app.json(Method::POST, &format!("{path}/import"), MEMBER, &body)
        .await
}

pub(super) fn direct() -> Value {
    json!({"method": {"name": "glance-direct"}})
}

pub(super) fn from(uri: &str) -> Value {
    json!({"method": {"name": "web-download", "uri": uri}})
}

/// The image once it is not being imported any more.
pub(super) async fn end(app: &App, path: &str) -> Value {
    for _ in 0..500 {
        let image = app.get(path).await.json();
        if image["status"] != "importing" {
            return image;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the import does not end")
}

/// The image's only task, at its end.
pub(super) async fn task(app: &App, path: &str) -> Value {
    for _ in 0..500 {
        let tasks = app.get(&format!("{path}/tasks")).await.json();
        assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1, "{tasks}");
        if tasks["tasks"][0]["status"] != "processing" {
            return tasks["tasks"][0].clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the task does not end")
}

fn files(app: &App, directory: &str) -> Vec<String> {
    let directory = std::fs::read_dir(app.fixture.dir.path().join(directory)).unwrap();
    let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

pub(super) async fn emptied(app: &App, directory: &str) {
    for _ in 0..200 {
        if files(app, directory).is_empty() {
            return;
        }
        app.fixture.janitor.sweep().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("left in {directory}: {:?}", files(app, directory));
}

/// Nothing is left to do: the last entries are forgotten after the last bytes are gone.
pub(super) async fn forgotten(app: &App) {
    for _ in 0..200 {
        if app.fixture.ledger.is_empty() {
            return;
        }
        app.fixture.janitor.sweep().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("left: {:?}", app.fixture.ledger.orphans());
}

/// Answers requests with these texts, one connection each, as long as there are any; returns its address.
pub(super) async fn mirror(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            socket.write_all(&answer).await.unwrap();
        }
    });
    format!("http://mirror:{port}/image")
}

pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn what_was_staged_waits_and_is_then_imported() {
    let app = App::new();
    let path = staged(&app, b"hello, world").await;
    let image = app.get(&path).await.json();
    assert_eq!(
        (&image["status"], &image["size"]),
        (&json!("uploading"), &json!(12))
    );
    assert_eq!(image["checksum"], Value::Null);
    app.fixture.janitor.sweep().await;
    assert_eq!(app.get(&path).await.json()["status"], "uploading");

    let answer = import(&app, &path, direct()).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (202, ""), "{answer:?}");
    let image = end(&app, &path).await;
    assert_eq!(
        (&image["status"], &image["size"]),
        (&json!("active"), &json!(12)),
        "{image}"
    );
    assert_eq!(image["checksum"], "e4d7f1b4ed2e42d15898f4b27b019da4");
    assert_eq!(image["os_glance_importing_to_stores"], "");
    assert_eq!(image["os_glance_failed_import"], "");
    assert_eq!(image.get("os_glance_import_task"), None);
    assert_eq!(app.get(&format!("{path}/file")).await.text(), "hello, world");
    emptied(&app, "staging").await;
    forgotten(&app).await;

    let task = task(&app, &path).await;
    assert_eq!(task["status"], "success", "{task}");
    assert_eq!(task["input"]["import_req"], direct());
    assert_eq!(
        task["request_id"],
        answer.header("x-openstack-request-id").unwrap()
    );
    assert_eq!(task["deleted"], false);
    let id = task["id"].as_str().unwrap();
    let shown = app
        .send(request(Method::GET, &format!("/v2/tasks/{id}"), ADMIN))
        .await
        .json();
    assert_eq!(shown["result"]["image_id"], image["id"]);
    let listed = app
        .send(request(Method::GET, "/v2/tasks?limit=1", ADMIN))
        .await
        .json();
    assert_eq!(listed["tasks"][0]["id"], id);
    assert_eq!(listed["tasks"][0].get("input"), None);
    assert_eq!(listed["next"], format!("/v2/tasks?limit=1&marker={id}"));
    let filtered = app
        .send(request(Method::GET, "/v2/tasks?status=failure", ADMIN))
        .await
        .json();
    assert_eq!(filtered["tasks"], json!([]));
}

#[tokio::test]
async fn staging_is_refused_where_it_cannot_be() {
    let app = App::new();
    let path = staged(&app, b"data").await;
    let with = |mut request: Request<Body>, name: &'static str, value: &str| {
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let other = queued(&app, "raw").await;
    for (expected, request) in [
        (409, put(&path, MEMBER, "data")),
        (403, put(&other, READER, "data")),
        (404, put(&other, STRANGER, "data")),
        (
            415,
            with(put(&other, MEMBER, "data"), "content-type", "text/plain"),
        ),
        (
            400,
            with(put(&other, MEMBER, "data"), "x-openstack-image-size", "many"),
        ),
        (
            400,
            with(put(&other, MEMBER, "data"), "x-openstack-image-size", "3"),
        ),
        (
            400,
            with(put(&other, MEMBER, "data"), "x-openstack-image-size", "5"),
        ),
        (
            413,
            with(
                put(&other, MEMBER, "data"),
                "x-openstack-image-size",
                "9000000000000",
            ),
        ),
    ] {
        let answer = app.send(request).await;
        assert_eq!(answer.status.as_u16(), expected, "{answer:?}");
        assert_eq!(app.get(&other).await.json()["status"], "queued");
    }
    // An upload in the ordinary way is not possible now, and does no harm.
    let mut upload = put(&path, MEMBER, "data");
    *upload.uri_mut() = format!("{path}/file").parse().unwrap();
    assert_eq!(app.send(upload).await.status, 409);
    assert_eq!(import(&app, &path, direct()).await.status, 202);
    assert_eq!(end(&app, &path).await["status"], "active");
}

#[tokio::test]
async fn an_import_is_refused_in_the_order_of_the_reasons() {
    let app = App::new();
    let path = queued(&app, "raw").await;
    let formatless = app.create(&json!({})).await;
    let active = staged(&app, b"data").await;
    import(&app, &active, direct()).await;
    end(&app, &active).await;
    for (path, body, expected, reason) in [
        (&path, json!({}), 400, "requires a 'method'"),
        (
            &path,
            json!({"method": {"name": "x"}}),
            400,
            "Unknown import method",
        ),
        (&path, direct(), 409, "needs to be staged"),
        (&active, direct(), 409, "status active"),
        (
            &formatless,
            from("http://127.0.0.1/"),
            409,
            "'container_format' needs",
        ),
        (
            &path,
            from("http://127.0.0.1/"),
            400,
            "does not pass filtering: http://127.0.0.1/",
        ),
        (&path, from("ftp://mirror/x"), 400, "does not pass filtering"),
        (&path, from("http://mirror:22/x"), 400, "does not pass filtering"),
        (&path, from("http://elsewhere/x"), 400, "does not pass filtering"),
        (
            &path,
            json!({"method": {"name": "web-download"}}),
            400,
            "does not pass filtering: None",
        ),
    ] {
        let answer = import(&app, path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), expected, "{body}: {answer:?}");
        assert!(answer.text().contains(reason), "{body}: {answer:?}");
    }
    let as_whom = async |token: &str| {
        let answer = app
            .json(
                Method::POST,
                &format!("{path}/import"),
                token,
                &from("http://mirror/"),
            )
            .await;
        answer.status.as_u16()
    };
    assert_eq!(as_whom(READER).await, 403);
    assert_eq!(as_whom(STRANGER).await, 404);
    let partial = json!({"method": {"name": "glance-direct"}, "all_stores_must_succeed": false});
    let waiting = staged(&app, b"data").await;
    assert_eq!(import(&app, &waiting, partial).await.status, 400);
    assert_eq!(app.get(&format!("{path}/tasks")).await.json()["tasks"], json!([]));
}

#[tokio::test]
async fn data_that_is_not_what_the_image_says_leaves_it_queued() {
    let app = App::new();
    let path = queued(&app, "qcow2").await;
    stage(&app, &path, vec![0; 4096]).await;
    assert_eq!(import(&app, &path, direct()).await.status, 202);
    let image = end(&app, &path).await;
    assert_eq!(
        (&image["status"], &image["size"]),
        (&json!("queued"), &Value::Null)
    );
    let task = task(&app, &path).await;
    assert_eq!(task["status"], "failure");
    assert!(
        task["message"].as_str().unwrap().contains("disk_format"),
        "{task}"
    );
    emptied(&app, "staging").await;
    emptied(&app, "images").await;
    // And it can be staged again.
    stage(&app, &path, vec![1; 10]).await;
}

#[tokio::test]
async fn an_import_goes_to_all_stores_that_are_named() {
    let app = named(&["one", "two", "three"]);
    let path = staged(&app, b"data").await;
    let unknown = json!({"method": {"name": "glance-direct"}, "stores": ["four"]});
    assert_eq!(import(&app, &path, unknown).await.status, 409);
    let all = json!({"method": {"name": "glance-direct"}, "all_stores": true});
    assert_eq!(import(&app, &path, all).await.status, 202);
    let image = end(&app, &path).await;
    assert_eq!(image["stores"], "one,two,three", "{image}");
    assert_eq!(image["os_glance_failed_import"], "");
    let id = image["id"].as_str().unwrap();
    // The names that would have undone it go after the record was changed.
    forgotten(&app).await;
    for directory in ["images", "two", "three"] {
        assert_eq!(files(&app, directory), [id], "{directory}");
    }
    let answer = app.call(Method::DELETE, &path).await;
    assert_eq!(answer.status, 204);
    for directory in ["images", "two", "three"] {
        emptied(&app, directory).await;
    }
}

#[tokio::test]
async fn a_store_that_fails_fails_the_import_unless_it_need_not_succeed() {
    let app = named(&["one", "two"]);
    let both = |must: bool| json!({"method": {"name": "glance-direct"}, "all_stores": true, "all_stores_must_succeed": must});
    for (must, status, stores, failed) in [
        (true, "queued", Value::Null, "one,two"),
        (false, "active", json!("one"), "two"),
    ] {
        let path = staged(&app, b"data").await;
        // Something of somebody else's is there already: commit never replaces.
        let id = path.rsplit('/').next().unwrap();
        let obstacle = app.fixture.dir.path().join("two").join(id);
        std::fs::write(&obstacle, "theirs").unwrap();
        assert_eq!(import(&app, &path, both(must)).await.status, 202);
        let image = end(&app, &path).await;
        assert_eq!(image["status"], status, "{image}");
        assert_eq!(image.get("stores").cloned().unwrap_or_default(), stores);
        assert_eq!(image["os_glance_failed_import"], failed);
        assert_eq!(std::fs::read(&obstacle).unwrap(), b"theirs");
        std::fs::remove_file(&obstacle).unwrap();
        emptied(&app, "staging").await;
        emptied(&app, "two").await;
        forgotten(&app).await;
    }
}

#[tokio::test]
async fn an_image_comes_from_the_web() {
    let app = App::new();
    let path = queued(&app, "raw").await;
    let uri = mirror(vec![answer("200 OK", "Content-Length: 12", b"hello, world")]).await;
    assert_eq!(import(&app, &path, from(&uri)).await.status, 202);
    let image = end(&app, &path).await;
    assert_eq!(image["checksum"], "e4d7f1b4ed2e42d15898f4b27b019da4", "{image}");
    assert_eq!(task(&app, &path).await["status"], "success");
}

#[tokio::test]
async fn a_broken_download_is_taken_up_again_where_it_broke() {
    let app = App::new();
    let path = queued(&app, "raw").await;
    let tag = "ETag: \"a\"";
    let uri = mirror(vec![
        answer("200 OK", &format!("Content-Length: 12\r\n{tag}"), b"hello"),
        answer(
            "206 Partial Content",
            &format!("Content-Length: 7\r\nContent-Range: bytes 5-11/12\r\n{tag}"),
            b", world",
        ),
    ])
    .await;
    assert_eq!(import(&app, &path, from(&uri)).await.status, 202);
    let image = end(&app, &path).await;
    assert_eq!(image["checksum"], "e4d7f1b4ed2e42d15898f4b27b019da4", "{image}");
}

#[tokio::test]
async fn the_rest_of_another_file_is_not_taken_for_the_rest() {
    let first = || answer("200 OK", "Content-Length: 12\r\nETag: \"a\"", b"hello");
    let part = |headers: &str| {
        let headers = format!("Content-Length: 7\r\n{headers}");
        answer("206 Partial Content", &headers, b", world")
    };
    for second in [
        part("Content-Range: bytes 5-11/12\r\nETag: \"b\""),
        part("Content-Range: bytes 5-11/13\r\nETag: \"a\""),
        part("Content-Range: bytes 4-10/12\r\nETag: \"a\""),
        answer("200 OK", "Content-Length: 12\r\nETag: \"a\"", b"hello, world"),
        answer("404 Not Found", "Content-Length: 0", b""),
    ] {
        let app = App::new();
        let path = queued(&app, "raw").await;
        let uri = mirror(vec![first(), second]).await;
        assert_eq!(import(&app, &path, from(&uri)).await.status, 202);
        let image = end(&app, &path).await;
        assert_eq!(image["status"], "queued", "{image}");
        let task = task(&app, &path).await;
        assert_eq!(task["status"], "failure");
        assert!(task["message"].as_str().unwrap().contains("broke off"), "{task}");
        emptied(&app, "images").await;
    }
}

#[tokio::test]
async fn a_server_that_has_nothing_or_not_its_end_fails_the_import() {
    for (answer, reason) in [
        (answer("404 Not Found", "Content-Length: 0", b""), "answered 404"),
        (
            answer("200 OK", "X-Y: z", b"data"),
            "does not say where its file ends",
        ),
        (
            answer("200 OK", "Content-Length: 9000000000000", b"data"),
            "larger than",
        ),
    ] {
        let app = App::new();
        let path = queued(&app, "raw").await;
        let uri = mirror(vec![answer]).await;
        assert_eq!(import(&app, &path, from(&uri)).await.status, 202);
        assert_eq!(end(&app, &path).await["status"], "queued");
        let task = task(&app, &path).await;
        assert!(task["message"].as_str().unwrap().contains(reason), "{task}");
    }
}

#[tokio::test]
async fn staged_data_goes_with_its_image_and_with_nothing_else() {
    let app = App::new();
    let path = staged(&app, b"data").await;
    std::fs::write(app.fixture.dir.path().join("staging/theirs"), "x").unwrap();
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    app.fixture.janitor.sweep().await;
    assert_eq!(files(&app, "staging"), ["theirs"]);
    forgotten(&app).await;
}

#[tokio::test]
async fn an_image_whose_staged_data_the_ledger_has_lost_is_queued_again() {
    let app = App::new();
    let path = staged(&app, b"data").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let ledger = crate::ledger::Ledger::open(elsewhere.path(), Arc::new(saccade_disk::RealDisk)).unwrap();
    let janitor = Janitor::new(
        ledger.ledger,
        crate::stores::Stores::of([], "none"),
        app.fixture.metadata.clone(),
        app.fixture.node,
        Default::default(),
    );
    janitor.sweep().await;
    let image = app.get(&path).await.json();
    assert_eq!(
        (&image["status"], &image["size"]),
        (&json!("queued"), &Value::Null)
    );
    // Its file is removed by whose ledger knows it.
    emptied(&app, "staging").await;
}

#[tokio::test]
async fn an_import_whose_staged_file_is_gone_says_so() {
    let app = App::new();
    let path = staged(&app, b"data").await;
    for file in files(&app, "staging") {
        std::fs::remove_file(app.fixture.dir.path().join("staging").join(file)).unwrap();
    }
    assert_eq!(import(&app, &path, direct()).await.status, 202);
    assert_eq!(end(&app, &path).await["status"], "queued");
    assert!(
        task(&app, &path).await["message"]
            .as_str()
            .unwrap()
            .contains("stage it again")
    );
}

#[tokio::test]
async fn a_method_that_is_not_offered_is_not_there() {
    let app = App::new();
    let path = queued(&app, "raw").await;
    let unknown = json!({"method": {"name": "conversion"}});
    let answer = import(&app, &path, unknown).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("Unknown import method name 'conversion'."));
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    // What waits for its import is held by its attempt, and by no other.
    let nobody = crate::image::AttemptId::random();
    let at = crate::image::Timestamp::now();
    let kind = ChangeKind::Unstage { attempt: nobody };
    let change = crate::image::Change { id, at, kind };
    assert!(
        crate::metadata::Metadata::commit(&*app.fixture.metadata, change)
            .await
            .is_err()
    );
}

fn copy(stores: &Value) -> Value {
    json!({"method": {"name": "copy-image"}, "stores": stores})
}

async fn import_as(app: &App, token: &str, path: &str, body: Value) -> Answer {
    app.json(Method::POST, &format!("{path}/import"), token, &body)
        .await
}

/// An active image in the store `one`.
async fn in_one(app: &App, data: &'static [u8]) -> String {
    let path = staged(app, data).await;
    let to = json!({"method": {"name": "glance-direct"}, "stores": ["one"]});
    assert_eq!(import(app, &path, to).await.status, 202);
    assert_eq!(end(app, &path).await["stores"], "one");
    emptied(app, "staging").await;
    forgotten(app).await;
    path
}

/// The image once it is not being copied any more.
async fn copied(app: &App, path: &str) -> Value {
    for _ in 0..500 {
        let image = app.get(path).await.json();
        assert_eq!(image["status"], "active", "all the time");
        if image.get("os_glance_import_task").is_none() {
            return image;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the copy does not end")
}

#[tokio::test]
async fn an_active_image_is_copied_to_more_stores() {
    let app = named(&["one", "two", "three"]);
    let path = in_one(&app, b"data").await;
    let id = path.rsplit('/').next().unwrap();
    let two = import_as(&app, ADMIN, &path, copy(&json!(["two"]))).await;
    assert_eq!((two.status.as_u16(), two.text()), (202, ""));
    let image = copied(&app, &path).await;
    assert_eq!(
        (&image["stores"], &image["os_glance_failed_import"]),
        (&json!("one,two"), &json!(""))
    );
    let all = json!({"method": {"name": "copy-image"}, "all_stores": true});
    assert_eq!(import_as(&app, ADMIN, &path, all.clone()).await.status, 202);
    assert_eq!(copied(&app, &path).await["stores"], "one,two,three");
    for directory in ["images", "two", "three"] {
        assert_eq!(files(&app, directory), [id], "{directory}");
    }
    // It is in all of them: nothing is to be done, and no task is made.
    let tasks = |answer: Answer| answer.json()["tasks"].as_array().unwrap().len();
    let before = tasks(
        app.send(request(Method::GET, &format!("{path}/tasks"), ADMIN))
            .await,
    );
    assert_eq!(import_as(&app, ADMIN, &path, all).await.status, 202);
    assert_eq!(
        tasks(
            app.send(request(Method::GET, &format!("{path}/tasks"), ADMIN))
                .await
        ),
        before
    );
    forgotten(&app).await;
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    for directory in ["images", "two", "three"] {
        emptied(&app, directory).await;
    }
}

#[tokio::test]
async fn a_copy_is_refused_where_it_cannot_be() {
    let app = named(&["one", "two"]);
    let path = in_one(&app, b"data").await;
    let answer = import(&app, &path, copy(&json!(["two"]))).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let answer = import_as(&app, ADMIN, &path, copy(&json!(["one", "two"]))).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("Image is already present at store 'one'"));
    let queued = queued(&app, "raw").await;
    let answer = import_as(&app, ADMIN, &queued, copy(&json!(["two"]))).await;
    assert_eq!(answer.status, 409);
    assert!(
        answer
            .text()
            .contains("Only images with status active can be targeted for copying")
    );
    let single = App::new();
    let path = staged(&single, b"data").await;
    assert_eq!(import(&single, &path, direct()).await.status, 202);
    end(&single, &path).await;
    let answer = import_as(&single, ADMIN, &path, json!({"method": {"name": "copy-image"}})).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("enabled_backends"), "{answer:?}");
}

#[tokio::test]
async fn a_copy_that_fails_leaves_the_image_as_it_was_and_nothing_behind() {
    let app = named(&["one", "two", "three"]);
    for (must, stores, failed) in [(true, "one", "two,three"), (false, "one,three", "two")] {
        let path = in_one(&app, b"data").await;
        let id = path.rsplit('/').next().unwrap();
        let obstacle = app.fixture.dir.path().join("two").join(id);
        std::fs::write(&obstacle, "theirs").unwrap();
        let both = json!({"method": {"name": "copy-image"}, "stores": ["two", "three"], "all_stores_must_succeed": must});
        assert_eq!(import_as(&app, ADMIN, &path, both).await.status, 202);
        let image = copied(&app, &path).await;
        assert_eq!(image["stores"], stores, "{image}");
        assert_eq!(image["os_glance_failed_import"], failed);
        assert_eq!(std::fs::read(&obstacle).unwrap(), b"theirs");
        std::fs::remove_file(&obstacle).unwrap();
        forgotten(&app).await;
        emptied(&app, "two").await;
        assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
        emptied(&app, "three").await;
    }
}

#[tokio::test]
async fn what_is_not_the_images_data_any_more_is_not_copied() {
    let app = named(&["one", "two"]);
    let path = in_one(&app, b"data").await;
    let id = path.rsplit('/').next().unwrap();
    std::fs::write(app.fixture.dir.path().join("images").join(id), "DATA").unwrap();
    assert_eq!(
        import_as(&app, ADMIN, &path, copy(&json!(["two"]))).await.status,
        202
    );
    assert_eq!(copied(&app, &path).await["stores"], "one");
    let tasks = app
        .send(request(Method::GET, &format!("{path}/tasks"), ADMIN))
        .await
        .json();
    let message = |task: &Value| task["message"].as_str().unwrap().contains("another hash");
    for _ in 0..100 {
        let tasks = app
            .send(request(Method::GET, &format!("{path}/tasks"), ADMIN))
            .await
            .json();
        if tasks["tasks"].as_array().unwrap().iter().any(message) {
            forgotten(&app).await;
            assert!(files(&app, "two").is_empty());
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{tasks}");
}

#[tokio::test]
async fn a_task_of_old_makes_an_image_and_brings_its_data() {
    let app = App::new();
    let uri = mirror(vec![answer("200 OK", "Content-Length: 4", b"data")]).await;
    let properties =
        json!({"name": "old", "disk_format": "raw", "container_format": "bare", "colour": "red"});
    let input = json!({"import_from": uri, "import_from_format": "raw", "image_properties": properties});
    let body = json!({"type": "import", "input": input});
    assert_eq!(
        app.json(Method::POST, "/v2/tasks", MEMBER, &body).await.status,
        403
    );
    let made = app.json(Method::POST, "/v2/tasks", ADMIN, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let task = made.json();
    assert_eq!((&task["type"], &task["input"]), (&json!("import"), &input));
    let path = task["self"].as_str().unwrap();
    assert!(
        made.headers["location"].to_str().unwrap().ends_with(path),
        "{made:?}"
    );
    let mut task = task.clone();
    for _ in 0..500 {
        task = app.send(request(Method::GET, path, ADMIN)).await.json();
        if task["status"] != "processing" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(task["status"], "success", "{task}");
    let image = format!("/v2/images/{}", task["result"]["image_id"].as_str().unwrap());
    let image = app.send(request(Method::GET, &image, ADMIN)).await.json();
    assert_eq!(
        (&image["status"], &image["name"], &image["colour"]),
        (&json!("active"), &json!("old"), &json!("red"))
    );
    assert_eq!(image["checksum"], "8d777f385d3dfec8815d20f7496026dc");
}

/// A server that sends the beginning of four bytes, and the rest when it is told to.
async fn slow_mirror() -> (String, tokio::sync::oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (go, gone) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        socket
            .write_all(&answer("200 OK", "Content-Length: 4", b"da"))
            .await
            .unwrap();
        gone.await.unwrap();
        socket.write_all(b"ta").await.unwrap();
    });
    (format!("http://mirror:{port}/image"), go)
}

#[tokio::test]
async fn the_formats_that_data_is_held_against_stay_until_it_is_there() {
    let app = App::new();
    let path = queued(&app, "raw").await;
    let (uri, go) = slow_mirror().await;
    assert_eq!(import(&app, &path, from(&uri)).await.status, 202);
    for name in ["disk_format", "container_format"] {
        let patch = json!([{"op": "replace", "path": format!("/{name}"), "value": "ami"}]);
        let answer = app.patch(&path, MEMBER, &patch).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.text().contains(name), "{answer:?}");
    }
    go.send(()).unwrap();
    assert_eq!(end(&app, &path).await["status"], "active");
}

#[tokio::test]
async fn a_task_keeps_of_a_request_what_is_known_and_no_secret() {
    let app = App::new();
    let path = queued(&app, "raw").await;
    let (uri, go) = slow_mirror().await;
    let uri = uri.replace("http://", "http://me:secret@") + "?signature=secret";
    let body =
        json!({"method": {"name": "web-download", "uri": uri, "more": "x"}, "padding": "x".repeat(100_000)});
    assert_eq!(import(&app, &path, body).await.status, 202);
    let tasks = app.get(&format!("{path}/tasks")).await;
    let text = tasks.text();
    assert!(!text.contains("secret") && !text.contains("xxx"), "{text}");
    let request = tasks.json()["tasks"][0]["input"]["import_req"].clone();
    assert_eq!(request["method"]["name"], "web-download");
    assert!(
        request["method"]["uri"]
            .as_str()
            .unwrap()
            .starts_with("http://mirror:"),
        "{request}"
    );
    drop(go);
    end(&app, &path).await;
}

#[tokio::test]
async fn a_store_that_is_still_being_cleared_up_takes_no_copy() {
    let app = named(&["one", "two"]);
    let path = in_one(&app, b"data").await;
    let id: crate::image::ImageId = path.rsplit('/').next().unwrap().parse().unwrap();
    let left = crate::ledger::Entry::Copy(crate::ledger::UploadEntry {
        image: id.as_uuid(),
        attempt: uuid::Uuid::new_v4(),
        store: "two".to_owned(),
        handle: "x".to_owned(),
    });
    let held = app.fixture.ledger.begin(left).await.unwrap();
    let answer = import_as(&app, ADMIN, &path, copy(&json!(["two"]))).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.text().contains("still being removed"), "{answer:?}");
    held.forget().await.unwrap();
    assert_eq!(
        import_as(&app, ADMIN, &path, copy(&json!(["two"]))).await.status,
        202
    );
    assert_eq!(copied(&app, &path).await["stores"], "one,two");
}
