use crate::harness::{Body, Client, Daemon};
use serde_json::{Value, json};

const V21: &str = "application/openstack-images-v2.1-json-patch";

fn image(api: &Client) -> String {
    let image = api.create(&json!({
        "name": "before", "disk_format": "raw", "container_format": "bare", "color": "red", "tags": ["old"],
    }));
    format!("/v2/images/{}", image["id"].as_str().unwrap())
}

#[test]
fn operations_change_what_they_name() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let path = image(&admin);
    let changed = admin
        .patch(
            &path,
            &json!([
                {"op": "replace", "path": "/name", "value": "after"},
                {"op": "add", "path": "/min_ram", "value": 64},
                {"op": "add", "path": "/shape", "value": "round"},
                {"op": "replace", "path": "/tags", "value": ["new", "newer"]},
                {"op": "remove", "path": "/color"},
                {"op": "add", "path": "/with~1slash~0tilde", "value": "x"},
            ]),
        )
        .expect_status(200)
        .json();
    assert_eq!(changed["name"], "after");
    assert_eq!(changed["min_ram"], 64);
    assert_eq!(changed["shape"], "round");
    assert_eq!(changed["color"], Value::Null);
    assert_eq!(changed["with/slash~tilde"], "x");
    assert_eq!(changed["tags"].as_array().unwrap().len(), 2);
    assert_eq!(admin.get(&path).json(), changed);
}

#[test]
fn a_request_changes_all_or_nothing() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let path = image(&admin);
    let before = admin.get(&path).json();
    admin
        .patch(
            &path,
            &json!([
                {"op": "replace", "path": "/name", "value": "after"},
                {"op": "remove", "path": "/nothing"},
            ]),
        )
        .expect_status(409);
    assert_eq!(admin.get(&path).json(), before);
}

#[test]
fn an_empty_list_of_operations_changes_nothing() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let path = image(&admin);
    let before = admin.get(&path).json();
    assert_eq!(admin.patch(&path, &json!([])).expect_status(200).json(), before);
}

#[test]
fn the_older_form_is_understood() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let path = image(&admin);
    let older = [("Content-Type", "application/openstack-images-v2.0-json-patch")];
    let ask = |operations: Value| admin.request("PATCH", &path, &older, Body::Json(&operations));
    let changed = ask(json!([{"replace": "/name", "value": "after"}]))
        .expect_status(200)
        .json();
    assert_eq!(changed["name"], "after");
    ask(json!([{"add": "/color", "value": "blue"}])).expect_status(409);
    ask(json!([{"op": "add", "path": "/color", "value": "blue"}])).expect_status(400);
}

#[test]
fn what_is_not_allowed_is_refused_with_its_reason() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let path = image(&admin);
    for (operation, status) in [
        (
            json!({"op": "replace", "path": "/status", "value": "active"}),
            403,
        ),
        (json!({"op": "replace", "path": "/size", "value": 1}), 403),
        (json!({"op": "replace", "path": "/checksum", "value": "x"}), 403),
        (json!({"op": "replace", "path": "/id", "value": "x"}), 403),
        (json!({"op": "replace", "path": "/created_at", "value": "x"}), 403),
        (json!({"op": "add", "path": "/os_glance_x", "value": "x"}), 403),
        (json!({"op": "remove", "path": "/name"}), 403),
        (json!({"op": "remove", "path": "/absent"}), 409),
        (json!({"op": "replace", "path": "/absent", "value": "x"}), 409),
        (json!({"op": "replace", "path": "/name", "value": 1}), 400),
        (json!({"op": "replace", "path": "/min_disk", "value": -1}), 400),
        (
            json!({"op": "replace", "path": "/visibility", "value": "secret"}),
            400,
        ),
        (json!({"op": "add", "path": "/color", "value": 1}), 400),
        (json!({"op": "move", "path": "/name", "value": "x"}), 400),
        (json!({"op": "replace", "path": "name", "value": "x"}), 400),
        (json!({"op": "replace", "path": "/name/", "value": "x"}), 400),
        (json!({"op": "replace", "path": "/name//x", "value": "x"}), 400),
        (json!({"op": "replace", "path": "/na~me", "value": "x"}), 400),
        (json!({"op": "add", "path": "/tags/-", "value": "x"}), 400),
        (json!({"op": "replace", "path": "/name"}), 400),
        (json!("text"), 400),
    ] {
        let answer = admin.patch(&path, &json!([operation]));
        assert_eq!(answer.status, status, "{operation}: {}", answer.text());
    }
    admin.patch(&path, &json!({"op": "add"})).expect_status(400);
}

#[test]
fn other_media_types_are_refused_with_those_accepted() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let path = image(&admin);
    for content_type in ["application/json", "application/json-patch+json", "text/plain"] {
        let headers = [("Content-Type", content_type)];
        let answer = admin
            .request("PATCH", &path, &headers, Body::Json(&json!([])))
            .expect_status(415);
        assert_eq!(
            answer.header("Accept-Patch"),
            format!("application/openstack-images-v2.0-json-patch, {V21}")
        );
    }
}

#[test]
fn formats_are_fixed_once_there_is_data() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.active("data", b"bytes");
    let path = format!("/v2/images/{id}");
    for key in ["/disk_format", "/container_format"] {
        let operation = json!([{"op": "replace", "path": key, "value": "ami"}]);
        admin.patch(&path, &operation).expect_status(403);
    }
}

#[test]
fn a_change_is_newer_than_what_it_changed() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let path = image(&admin);
    let before = admin.get(&path).json();
    let after = admin
        .patch(
            &path,
            &json!([{"op": "replace", "path": "/name", "value": "after"}]),
        )
        .json();
    assert_eq!(after["created_at"], before["created_at"]);
    assert!(after["updated_at"].as_str() >= before["updated_at"].as_str());
}

#[test]
fn many_writers_of_one_image_lose_nothing_silently() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let path = image(&admin);
    let written: Vec<String> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (admin, path) = (&admin, &path);
                scope.spawn(move || {
                    let mut written = Vec::new();
                    for number in 0..5 {
                        let key = format!("key-{writer}-{number}");
                        let operation = json!([{"op": "add", "path": format!("/{key}"), "value": "here"}]);
                        let answer = admin.patch(path, &operation);
                        match answer.status {
                            200 => written.push(key),
                            409 => {}
                            _ => panic!("{}", answer.text()),
                        }
                    }
                    written
                })
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    assert!(!written.is_empty());
    let image = admin.get(&path).json();
    for key in written {
        assert_eq!(image[&key], "here", "{key} was acknowledged");
    }
}
