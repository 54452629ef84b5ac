use crate::harness::{Body, Daemon, Setup, eventually};
use serde_json::{Value, json};

#[test]
fn a_new_image_has_glances_defaults() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let answer = admin.post("/v2/images", &json!({})).expect_status(201);
    let image = answer.json();
    let id = image["id"].as_str().unwrap();
    assert_eq!(
        answer.header("Location"),
        format!("http://{}/v2/images/{id}", daemon.address())
    );
    for (key, value) in [
        ("name", Value::Null),
        ("status", "queued".into()),
        ("visibility", "shared".into()),
        ("protected", false.into()),
        ("os_hidden", false.into()),
        ("disk_format", Value::Null),
        ("container_format", Value::Null),
        ("min_disk", 0.into()),
        ("min_ram", 0.into()),
        ("size", Value::Null),
        ("virtual_size", Value::Null),
        ("checksum", Value::Null),
        ("os_hash_algo", Value::Null),
        ("os_hash_value", Value::Null),
        ("tags", json!([])),
        ("self", format!("/v2/images/{id}").into()),
        ("file", format!("/v2/images/{id}/file").into()),
        ("schema", "/v2/schemas/image".into()),
    ] {
        assert_eq!(image[key], value, "{key}");
    }
    for key in ["created_at", "updated_at"] {
        let time = image[key].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    }
    assert_eq!(admin.show(id), image);
}

#[test]
fn what_the_caller_sets_is_kept() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let wanted = json!({
        "id": "0f0e0d0c-0b0a-4908-8706-050403020100", "name": "Débian 🐧".replace(" 🐧", ""), "visibility": "public",
        "protected": true, "os_hidden": true, "disk_format": "qcow2", "container_format": "bare", "min_disk": 3,
        "min_ram": 512, "tags": ["a", "b"], "os_distro": "debian", "hw disk:bus": "scsi", "empty": "",
    });
    let image = admin.create(&wanted);
    for (key, value) in wanted.as_object().unwrap() {
        if key != "tags" {
            assert_eq!(&image[key], value, "{key}");
        }
    }
    let mut tags: Vec<&str> = image["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag.as_str().unwrap())
        .collect();
    tags.sort_unstable();
    assert_eq!(tags, ["a", "b"]);
}

#[test]
fn what_the_caller_may_not_set_is_refused() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    for (body, status) in [
        (json!({"status": "active"}), 403),
        (json!({"size": 1}), 403),
        (json!({"checksum": "d41d8cd98f00b204e9800998ecf8427e"}), 403),
        (json!({"self": "/x"}), 403),
        (json!({"direct_url": "file:///etc/passwd"}), 403),
        (
            json!({"locations": [{"url": "file:///etc/passwd", "metadata": {}}]}),
            403,
        ),
        (json!({"deleted": "true"}), 403),
        (json!({"os_glance_secret": "x"}), 403),
        (json!({"id": "not-a-uuid"}), 400),
        (json!({"name": "n".repeat(256)}), 400),
        (json!({"min_disk": -1}), 400),
        (json!({"min_ram": "512"}), 400),
        (json!({"disk_format": "floppy"}), 400),
        (json!({"container_format": "box"}), 400),
        (json!({"visibility": "secret"}), 400),
        (json!({"protected": "yes"}), 400),
        (json!({"tags": "a"}), 400),
        (json!({"property": 1}), 400),
        (json!({"k".repeat(256): "v"}), 400),
        (json!([]), 400),
    ] {
        let answer = admin.post("/v2/images", &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    assert_eq!(admin.list("").len(), 0);
}

#[test]
fn bodies_that_are_no_json_are_refused() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    for body in [
        &b"{"[..],
        b"nonsense",
        b"\"text\"",
        b"\xff\xfe",
        b"{\"name\":\"a\"} {}",
    ] {
        let body = Body::Sized("application/json", body);
        admin.request("POST", "/v2/images", &[], body).expect_status(400);
    }
    admin
        .request("POST", "/v2/images", &[], Body::None)
        .expect_status(400);
}

#[test]
fn deeply_nested_json_is_refused() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let nested = format!("{{\"tags\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let body = Body::Sized("application/json", nested.as_bytes());
    admin.request("POST", "/v2/images", &[], body).expect_status(400);
    daemon.anonymous().get("/healthcheck").expect_status(200);
}

#[test]
fn an_id_is_used_once_even_after_deletion() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let wanted = json!({"id": "0f0e0d0c-0b0a-4908-8706-050403020100"});
    admin.create(&wanted);
    admin.post("/v2/images", &wanted).expect_status(409);
    admin
        .delete("/v2/images/0f0e0d0c-0b0a-4908-8706-050403020100")
        .expect_status(204);
    admin.post("/v2/images", &wanted).expect_status(409);
}

#[test]
fn a_deleted_image_is_gone_with_its_file() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.active("short-lived", b"bytes");
    eventually("its file is there and nothing else", || {
        daemon.stored() == [id.as_str()]
    });
    let path = format!("/v2/images/{id}");
    admin.delete(&path).expect_status(204);
    admin.get(&path).expect_status(404);
    admin.download(&id).expect_status(404);
    admin.delete(&path).expect_status(404);
    admin.patch(&path, &json!([])).expect_status(404);
    assert_eq!(admin.list("").len(), 0);
    eventually("the file is gone", || daemon.stored().is_empty());
}

#[test]
fn a_protected_image_is_not_deleted() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.active("precious", b"bytes");
    let path = format!("/v2/images/{id}");
    let protect = |value: bool| json!([{"op": "replace", "path": "/protected", "value": value}]);
    admin.patch(&path, &protect(true)).expect_status(200);
    admin.delete(&path).expect_status(403);
    assert_eq!(admin.download(&id).expect_status(200).body, b"bytes");
    admin.patch(&path, &protect(false)).expect_status(200);
    admin.delete(&path).expect_status(204);
}

#[test]
fn a_body_where_none_belongs_is_refused() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("one");
    let path = format!("/v2/images/{id}");
    for method in ["GET", "DELETE"] {
        let body = Body::Json(&Value::Null);
        let answer = admin.request(method, &path, &[], body).expect_status(400);
        assert!(
            answer.text().contains("A body is not expected"),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn records_survive_a_restart() {
    let mut daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.active("kept", b"bytes");
    let deleted = admin.queued("deleted");
    admin.delete(&format!("/v2/images/{deleted}")).expect_status(204);
    let before = admin.show(&id);
    daemon.stop();
    daemon.start();
    let admin = daemon.admin();
    assert_eq!(admin.show(&id), before);
    assert_eq!(admin.download(&id).body, b"bytes");
    admin.get(&format!("/v2/images/{deleted}")).expect_status(404);
    admin
        .post("/v2/images", &json!({"id": deleted}))
        .expect_status(409);
}

#[test]
fn quotas_of_properties_and_tags_hold() {
    let daemon = Setup::default()
        .option("identity = local")
        .glance("[DEFAULT]\nimage_property_quota = 2\nimage_tag_quota = 2\n")
        .start();
    let admin = daemon.admin();
    admin.create(&json!({"a": "1", "b": "2", "tags": ["x", "y"]}));
    admin
        .post("/v2/images", &json!({"a": "1", "b": "2", "c": "3"}))
        .expect_status(413);
    admin
        .post("/v2/images", &json!({"tags": ["x", "y", "z"]}))
        .expect_status(413);
}
