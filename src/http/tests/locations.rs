//! Locations of images over HTTP. The stores: files; `memory:///NAME`, which deletes; `http://web/NAME`, which does not.

use saccade_store_contract::BlobName;
use serde_json::json;

use super::*;
use crate::image::Status;

const NAME: &str = "0c0ffee0-0000-4000-8000-000000000001";
const OTHER: &str = "0c0ffee0-0000-4000-8000-000000000002";

fn visible() -> App {
    App::with(Settings {
        show_locations: true,
        show_direct_url: true,
        ..settings()
    })
}

fn name(text: &str) -> BlobName {
    BlobName(text.parse().unwrap())
}

/// A page of the web with these bytes; its URL.
fn page(app: &App, text: &str, bytes: &'static [u8]) -> String {
    app.fixture.web.plant(name(text), Bytes::from_static(bytes));
    format!("http://web/{text}")
}

/// Something that somebody has put into the store that deletes, under this name; its URL.
fn object(app: &App, text: &str, bytes: &'static [u8]) -> String {
    app.fixture.elsewhere.plant(name(text), Bytes::from_static(bytes));
    format!("memory:///{text}")
}

async fn queued(app: &App) -> (String, String) {
    let path = app
        .create(&json!({"disk_format": "raw", "container_format": "bare"}))
        .await;
    let id = path.strip_prefix("/v2/images/").unwrap().to_owned();
    (path, id)
}

fn add(place: &str, url: &str) -> Value {
    json!({"op": "add", "path": format!("/locations/{place}"), "value": {"url": url, "metadata": {}}})
}

async fn patch(app: &App, path: &str, operations: Value) -> Answer {
    app.patch(path, ADMIN, &operations).await
}

async fn status(app: &App, path: &str, operations: Value) -> u16 {
    patch(app, path, operations).await.status.as_u16()
}

fn urls(image: &Value) -> Vec<&str> {
    let locations = image["locations"].as_array().unwrap();
    locations
        .iter()
        .map(|location| location["url"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_location_makes_a_queued_image_active_and_its_data_is_downloaded() {
    let app = visible();
    let (path, _) = queued(&app).await;
    let url = page(&app, NAME, b"hello");
    let value = json!({"url": url, "metadata": {"k": "v", "store": "mine"}, "validation_data": {
        "checksum": "0".repeat(32), "os_hash_algo": "sha512", "os_hash_value": "1".repeat(128),
    }});
    let operation = json!([{"op": "add", "path": "/locations/-", "value": value}]);
    // A member of the project may.
    let answer = app.patch(&path, MEMBER, &operation).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let image = answer.json();
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(5)));
    assert_eq!(image["checksum"], "0".repeat(32));
    assert_eq!(image["os_hash_value"], "1".repeat(128));
    assert_eq!(image["locations"], json!([{"url": url, "metadata": {"k": "v"}}]));
    assert_eq!(image["direct_url"], url);
    assert_eq!(app.get(&format!("{path}/file")).await.text(), "hello");
    let listed = app.get("/v2/images").await.json();
    assert_eq!(listed["images"][0]["locations"], image["locations"]);
}

#[tokio::test]
async fn locations_are_neither_shown_nor_changed_unless_the_operator_says_so() {
    let app = App::new();
    let (path, _) = queued(&app).await;
    let url = page(&app, NAME, b"hello");
    let one = json!([{"url": url, "metadata": {}}]);
    for operation in [
        add("-", &url),
        json!({"op": "replace", "path": "/locations", "value": one}),
        json!({"op": "remove", "path": "/locations/0"}),
    ] {
        let answer = patch(&app, &path, json!([operation])).await;
        assert_eq!(answer.status, 403);
        assert!(
            answer.text().contains("if locations are invisible"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(app.get(&path).await.json().get("locations"), None);
}

#[tokio::test]
async fn what_is_no_location_is_refused_with_the_status_of_glance() {
    let app = visible();
    let (path, _) = queued(&app).await;
    page(&app, NAME, b"hello");
    app.fixture.web.plant(name(OTHER), Bytes::new());
    for url in [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "filesystem:///etc/passwd",
        "swift+config://ref/container/object",
        "gopher://hole",
        "nothing",
        "",
        // Nothing is there; something without length.
        "http://web/0c0ffee0-0000-4000-8000-000000000009",
        &format!("http://web/{OTHER}"),
    ] {
        assert_eq!(status(&app, &path, json!([add("-", url)])).await, 400, "{url}");
    }
    let long = format!("http://web/{}", "x".repeat(255));
    for value in [
        json!({}),
        json!("http://web"),
        json!({"url": 1, "metadata": {}}),
        json!({"url": "http://web/x"}),
        json!({"url": "http://web/x", "metadata": []}),
        json!({"url": "http://web/x", "metadata": {"k": 1}}),
        json!({"url": long, "metadata": {}}),
        json!({"url": "http://web/x", "metadata": {}, "validation_data": {"os_hash_algo": "sha512"}}),
        json!({"url": "http://web/x", "metadata": {}, "validation_data": {"os_hash_algo": "sha512",
            "os_hash_value": "00", "more": 1}}),
    ] {
        let operation = json!([{"op": "add", "path": "/locations/0", "value": value}]);
        assert_eq!(status(&app, &path, operation).await, 400, "{value}");
    }
    let good = format!("http://web/{NAME}");
    assert_eq!(status(&app, &path, json!([add("x", &good)])).await, 400);
    let empty = json!([{"op": "replace", "path": "/locations", "value": []}]);
    assert_eq!(status(&app, &path, empty).await, 403);
    let nothing = json!([{"op": "replace", "path": "/locations", "value": null}]);
    assert_eq!(status(&app, &path, nothing).await, 400);
    assert_eq!(
        app.patch(&path, READER, &json!([add("-", &good)])).await.status,
        403
    );
    assert_eq!(
        app.patch(&path, STRANGER, &json!([add("-", &good)])).await.status,
        404
    );
    let formatless = app.create(&json!({})).await;
    assert_eq!(status(&app, &formatless, json!([add("-", &good)])).await, 400);
    assert_eq!(app.get(&path).await.json()["status"], "queued");
    let saving = app.fixture.put(|image| image.status = Status::Saving).await;
    let saving = format!("/v2/images/{saving}");
    assert_eq!(status(&app, &saving, json!([add("-", &good)])).await, 409);
}

#[tokio::test]
async fn what_is_said_of_the_data_has_to_hold() {
    let app = visible();
    let url = page(&app, NAME, b"hello");
    let said = |data: Value| json!([{"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}, "validation_data": data}}]);
    let (path, _) = queued(&app).await;
    for wrong in [
        json!({"os_hash_algo": "sha256", "os_hash_value": "0".repeat(64)}),
        json!({"os_hash_algo": "sha512", "os_hash_value": "0".repeat(126)}),
        json!({"os_hash_algo": "sha512", "os_hash_value": "x".repeat(128)}),
        json!({"checksum": "x".repeat(32), "os_hash_algo": "sha512", "os_hash_value": "0".repeat(128)}),
    ] {
        assert_eq!(status(&app, &path, said(wrong.clone())).await, 409, "{wrong}");
    }
    let two = |first: &str, second: &str| {
        let one = |value: &str| {
            json!({"url": url, "metadata": {"n": value}, "validation_data": {
            "os_hash_algo": "sha512", "os_hash_value": value.repeat(128)}})
        };
        json!([{"op": "replace", "path": "/locations", "value": [one(first), one(second)]}])
    };
    assert_eq!(status(&app, &path, two("0", "1")).await, 409);
    let good = json!({"os_hash_algo": "sha512", "os_hash_value": "0".repeat(128)});
    assert_eq!(status(&app, &path, said(good)).await, 200);
    let again = page(&app, OTHER, b"hello");
    let said = |value: &str| {
        json!([{"op": "add", "path": "/locations/-", "value": {"url": again, "metadata": {},
        "validation_data": {"os_hash_algo": "sha512", "os_hash_value": value.repeat(128)}}}])
    };
    assert_eq!(status(&app, &path, said("1")).await, 409);
    assert_eq!(status(&app, &path, said("0")).await, 200);
}

#[tokio::test]
async fn locations_are_put_where_the_pointer_says_and_no_more_than_allowed() {
    let app = visible();
    let (path, _) = queued(&app).await;
    let url = page(&app, NAME, b"hello");
    let with = |place: &str, n: &str| {
        json!({"op": "add", "path": format!("/locations/{place}"),
            "value": {"url": url, "metadata": {"n": n}}})
    };
    let operations = json!([with("-", "a"), with("0", "b"), with("1", "c"), with("99", "d")]);
    let image = patch(&app, &path, operations).await.json();
    let order: Vec<&str> = (image["locations"].as_array().unwrap().iter())
        .map(|location| location["metadata"]["n"].as_str().unwrap())
        .collect();
    assert_eq!(order, ["b", "c", "a", "d"]);
    assert_eq!(status(&app, &path, json!([with("-", "a")])).await, 413);
    let remove = |place: &str| json!({"op": "remove", "path": format!("/locations/{place}")});
    assert_eq!(status(&app, &path, json!([remove("4")])).await, 400);
    assert_eq!(status(&app, &path, json!([remove("x")])).await, 400);
    let left = patch(&app, &path, json!([remove("-"), remove("0"), with("-", "c")])).await;
    assert_eq!(left.status, 400, "a duplicate");
    let left = patch(&app, &path, json!([remove("-"), remove("0"), remove("0")])).await;
    assert_eq!(left.json()["locations"][0]["metadata"], json!({"n": "a"}));
    assert_eq!(status(&app, &path, json!([remove("0")])).await, 403);
    // Removing is for administrators.
    assert_eq!(app.patch(&path, MEMBER, &json!([remove("0")])).await.status, 403);
}

#[tokio::test]
async fn locations_are_replaced_where_there_are_none_or_the_same() {
    let app = visible();
    let (path, _) = queued(&app).await;
    let (one, two) = (page(&app, NAME, b"hello"), page(&app, OTHER, b"hello"));
    let replace = |locations: &[(&str, &str)]| {
        let locations: Vec<Value> = locations
            .iter()
            .map(|(url, n)| json!({"url": url, "metadata": {"n": n}}))
            .collect();
        json!([{"op": "replace", "path": "/locations", "value": locations}])
    };
    assert_eq!(
        status(&app, &path, replace(&[(&one, "1"), (&one, "1")])).await,
        400
    );
    let first = patch(&app, &path, replace(&[(&one, "1"), (&two, "2")]))
        .await
        .json();
    assert_eq!((&first["status"], &first["size"]), (&json!("active"), &json!(5)));
    assert_eq!(status(&app, &path, replace(&[(&one, "1")])).await, 400);
    let second = patch(&app, &path, replace(&[(&two, "3"), (&one, "4")]))
        .await
        .json();
    assert_eq!(urls(&second), [two, one]);
    assert_eq!(second["locations"][0]["metadata"], json!({"n": "3"}));
}

#[tokio::test]
async fn data_of_another_image_cannot_be_had_and_is_never_deleted() {
    let app = visible();
    let (path, id) = queued(&app).await;
    let (_, other) = queued(&app).await;
    let theirs = object(&app, &other, b"secret");
    let nobodys = object(&app, NAME, b"secret");
    for url in [
        theirs.clone(),
        nobodys,
        theirs.to_uppercase().replace("MEMORY", "memory"),
        format!("memory:///{id}/../{other}"),
        format!("memory:///{id}/%2e%2e/{other}"),
        format!("memory://{other}"),
        format!("memory:///{other}-00001"),
    ] {
        assert_eq!(status(&app, &path, json!([add("-", &url)])).await, 400, "{url}");
    }
    assert_eq!(app.fixture.elsewhere.inventory().len(), 2);
}

#[tokio::test]
async fn own_data_goes_with_its_location_and_cannot_come_back_while_it_goes() {
    let app = visible();
    let (path, id) = queued(&app).await;
    let own = object(&app, &id, b"hello");
    let foreign = page(&app, NAME, b"hello");
    let both = json!([add("-", &own), add("-", &foreign)]);
    assert_eq!(urls(&patch(&app, &path, both).await.json()), [&own, &foreign]);
    let renamed =
        json!([{"op": "remove", "path": "/locations/0"}, {"op": "replace", "path": "/name", "value": "n"}]);
    let image = patch(&app, &path, renamed).await.json();
    assert_eq!((urls(&image), &image["name"]), (vec![&*foreign], &json!("n")));
    assert_eq!(app.fixture.elsewhere.inventory(), Vec::<String>::new());
    // Nothing is there any more.
    assert_eq!(status(&app, &path, json!([add("-", &own)])).await, 400);
    // Somebody has put it there again: it is another blob.
    object(&app, &id, b"hello");
    assert_eq!(status(&app, &path, json!([add("-", &own)])).await, 200);
    let other = json!([{"op": "remove", "path": "/locations/0"}]);
    assert_eq!(status(&app, &path, other).await, 200);
    assert_eq!(app.fixture.web.inventory().len(), 1, "what is only read stays");
    assert_eq!(app.get(&format!("{path}/file")).await.text(), "hello");
}

#[tokio::test]
async fn a_deleted_image_takes_its_own_data_with_it_and_leaves_the_rest() {
    let app = visible();
    let (path, id) = queued(&app).await;
    let (second, _) = queued(&app).await;
    let (own, foreign) = (object(&app, &id, b"hello"), page(&app, NAME, b"hello"));
    let both = json!([add("-", &own), add("-", &foreign)]);
    assert_eq!(status(&app, &path, both).await, 200);
    assert_eq!(status(&app, &second, json!([add("-", &foreign)])).await, 200);
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    assert_eq!(app.fixture.elsewhere.inventory(), Vec::<String>::new());
    assert_eq!(app.get(&format!("{second}/file")).await.text(), "hello");
    assert_eq!(app.call(Method::DELETE, &second).await.status, 204);
    assert_eq!(app.fixture.web.inventory().len(), 1);
}

#[tokio::test]
async fn uploaded_data_goes_with_its_location() {
    let app = visible();
    let (path, id) = queued(&app).await;
    let mut upload = request(Method::PUT, &format!("{path}/file"), MEMBER);
    upload
        .headers_mut()
        .insert("content-type", "application/octet-stream".parse().unwrap());
    *upload.body_mut() = Body::from("hello");
    assert_eq!(app.send(upload).await.status, 204);
    let file = app.fixture.datadir().join(&id);
    assert!(file.exists());
    let foreign = page(&app, NAME, b"hello");
    let moved = json!([add("-", &foreign), {"op": "remove", "path": "/locations/0"}]);
    assert_eq!(urls(&patch(&app, &path, moved).await.json()), [foreign]);
    assert!(!file.exists());
    assert_eq!(app.get(&format!("{path}/file")).await.text(), "hello");
}

#[tokio::test]
async fn where_the_data_of_a_deactivated_image_is_administrators_know_alone() {
    let app = visible();
    let (path, _) = queued(&app).await;
    let url = page(&app, NAME, b"hello");
    assert_eq!(status(&app, &path, json!([add("-", &url)])).await, 200);
    let deactivate = format!("{path}/actions/deactivate");
    assert_eq!(app.call(Method::POST, &deactivate).await.status, 204);
    let image = app.get(&path).await.json();
    assert_eq!((&image["locations"], image.get("direct_url")), (&json!([]), None));
    let seen = app.send(request(Method::GET, &path, ADMIN)).await.json();
    assert_eq!(urls(&seen), [&url]);
    assert_eq!(status(&app, &path, json!([add("-", &url)])).await, 409);
    let remove = json!([{"op": "remove", "path": "/locations/0"}]);
    assert_eq!(status(&app, &path, remove).await, 409);
}

const SERVICE: &str = "services:service";
/// Of `hello`.
const MD5: &str = "5d41402abc4b2a76b9719d911017c592";
const SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

async fn give(app: &App, path: &str, token: &str, body: &Value) -> u16 {
    let path = format!("{path}/locations");
    let answer = app.json(Method::POST, &path, token, body).await;
    assert!(answer.status != 202 || answer.body.is_empty());
    answer.status.as_u16()
}

/// The image once it is so.
async fn once(app: &App, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..500 {
        let image = app.send(request(Method::GET, path, ADMIN)).await.json();
        if is_so(&image) {
            return image;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{}", app.get(path).await.text());
}

/// Waits until what was begun is finished.
async fn nothing_is_left(app: &App) {
    for _ in 0..500 {
        if app.fixture.ledger.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        app.fixture.janitor.sweep().await;
    }
    panic!("{:?}", app.fixture.ledger.orphans());
}

fn said(url: &str, hash: &str) -> Value {
    json!({"url": url, "validation_data": {"os_hash_algo": "sha256", "os_hash_value": hash}})
}

#[tokio::test]
async fn data_that_is_there_is_given_to_an_image_once_its_hash_was_found_to_be_true() {
    let app = App::new();
    let (path, _) = queued(&app).await;
    let url = page(&app, NAME, b"hello");
    assert_eq!(give(&app, &path, MEMBER, &said(&url, SHA256)).await, 202);
    let image = once(&app, &path, |image| image["status"] == "active").await;
    assert_eq!(
        (
            &image["checksum"],
            &image["os_hash_algo"],
            &image["os_hash_value"]
        ),
        (&json!(MD5), &json!("sha256"), &json!(SHA256))
    );
    assert_eq!(image["size"], 5);
    assert_eq!(app.get(&format!("{path}/file")).await.text(), "hello");
    assert_eq!(give(&app, &path, MEMBER, &json!({"url": url})).await, 409);
}

#[tokio::test]
async fn data_that_has_another_hash_is_not_given_and_stays_where_it_is() {
    let app = App::new();
    let (path, id) = queued(&app).await;
    let url = object(&app, &id, b"hello");
    let wrong = said(&url, &"0".repeat(64));
    assert_eq!(
        give(&app, &path, SERVICE, &wrong).await,
        404,
        "not the service's to see"
    );
    let service = "us:service,reader,member";
    assert_eq!(give(&app, &path, service, &wrong).await, 202);
    once(&app, &path, |image| image["status"] == "queued").await;
    assert_eq!(app.fixture.elsewhere.inventory().len(), 1);
    assert_eq!(give(&app, &path, service, &said(&url, SHA256)).await, 202);
    once(&app, &path, |image| image["status"] == "active").await;
    nothing_is_left(&app).await;
}

#[tokio::test]
async fn hashes_that_nobody_has_said_follow() {
    let app = App::new();
    let (path, _) = queued(&app).await;
    let url = page(&app, NAME, b"hello");
    assert_eq!(give(&app, &path, MEMBER, &json!({"url": url})).await, 202);
    let image = once(&app, &path, |image| image["os_hash_value"].is_string()).await;
    assert_eq!(
        (&image["status"], &image["checksum"], &image["os_hash_algo"]),
        (&json!("active"), &json!(MD5), &json!("sha512"))
    );
}

#[tokio::test]
async fn what_cannot_be_given_is_refused() {
    let app = App::new();
    let (path, id) = queued(&app).await;
    let url = page(&app, NAME, b"hello");
    for body in [
        json!({}),
        json!([]),
        json!({"url": 1}),
        json!({"url": url, "validation_data": null}),
        json!({"url": url, "validation_data": {"os_hash_algo": "sha256"}}),
        json!({"url": url, "validation_data": {"os_hash_value": "00"}}),
        json!({"url": url, "validation_data": {"checksum": MD5}}),
        json!({"url": url, "validation_data": {"os_hash_algo": "sha384", "os_hash_value": "0".repeat(96)}}),
        said(&url, "00"),
        said(&url, &"x".repeat(64)),
        json!({"url": "http://web/0c0ffee0-0000-4000-8000-000000000009"}),
    ] {
        assert_eq!(give(&app, &path, MEMBER, &body).await, 400, "{body}");
    }
    let own = json!({"url": object(&app, &id, b"hello")});
    assert_eq!(give(&app, &path, MEMBER, &own).await, 403, "for services");
    assert_eq!(give(&app, &path, READER, &json!({"url": url})).await, 403);
    assert_eq!(give(&app, &path, STRANGER, &json!({"url": url})).await, 404);
    let formatless = app.create(&json!({})).await;
    assert_eq!(give(&app, &formatless, MEMBER, &json!({"url": url})).await, 400);
    assert_eq!(app.get(&path).await.json()["status"], "queued");
    let other = app.call(Method::PUT, &format!("{path}/locations")).await;
    assert_eq!(
        (other.status.as_u16(), other.header("allow")),
        (405, Some("GET, POST"))
    );
}

#[tokio::test]
async fn where_the_data_is_services_are_told() {
    let app = App::new();
    let (path, _) = queued(&app).await;
    let locations = format!("{path}/locations");
    let fetch = |token| app.send(request(Method::GET, &locations, token));
    assert_eq!(fetch(ADMIN).await.text(), "[]");
    let url = page(&app, NAME, b"hello");
    assert_eq!(give(&app, &path, MEMBER, &json!({"url": url})).await, 202);
    once(&app, &path, |image| image["status"] == "active").await;
    assert_eq!(fetch(ADMIN).await.json(), json!([{"url": url, "metadata": {}}]));
    assert_eq!(fetch("us:service,reader").await.status, 200);
    assert_eq!(fetch(MEMBER).await.status, 403);
    assert_eq!(fetch(STRANGER).await.status, 404);
}

#[tokio::test]
async fn an_image_deleted_while_its_data_is_hashed_stays_deleted() {
    let app = App::new();
    let (path, _) = queued(&app).await;
    let url = page(&app, NAME, b"hello");
    assert_eq!(give(&app, &path, MEMBER, &said(&url, SHA256)).await, 202);
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    nothing_is_left(&app).await;
    assert_eq!(app.get(&path).await.status, 404);
}

#[tokio::test]
async fn an_adoption_that_a_crash_cut_off_leaves_the_image_queued() {
    let app = App::new();
    let (path, id) = queued(&app).await;
    let id: crate::image::ImageId = id.parse().unwrap();
    let claim = crate::image::Claim {
        attempt: crate::image::AttemptId::random(),
        node: app.fixture.node,
        expires_at: crate::image::Timestamp::from_micros(u64::MAX),
        phase: crate::image::ClaimPhase::Open,
    };
    let entry = crate::ledger::Entry::Adoption(crate::ledger::AdoptionEntry {
        image: id.as_uuid(),
        attempt: claim.attempt.as_uuid(),
    });
    drop(app.fixture.ledger.begin(entry).await.unwrap());
    app.fixture
        .commit(id, crate::image::ChangeKind::Adopt(claim))
        .await;
    assert_eq!(app.get(&path).await.json()["status"], "importing");
    app.fixture.janitor.sweep().await;
    assert_eq!(app.get(&path).await.json()["status"], "queued");
    assert!(app.fixture.ledger.is_empty());
}
