use crate::harness::{Client, Daemon};
use serde_json::{Value, json};

/// Follows `next` from a first page on, and returns the names seen.
fn walk(api: &Client, first: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut path = first.to_owned();
    for _ in 0..100 {
        let page = api.get(&path).expect_status(200).json();
        assert!(
            page["first"].as_str().unwrap().starts_with("/v2/images"),
            "{page}"
        );
        assert_eq!(page["schema"], "/v2/schemas/images");
        for image in page["images"].as_array().unwrap() {
            names.push(image["name"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => return names,
        }
    }
    panic!("no last page");
}

fn many(api: &Client, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| {
            let name = format!("image-{number:03}");
            api.queued(&name);
            name
        })
        .collect()
}

#[test]
fn a_walk_through_the_pages_sees_every_image_once() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let names = many(&admin, 23);
    for limit in [1, 7, 23, 100] {
        assert_eq!(
            walk(&admin, &format!("/v2/images?limit={limit}&sort=name:asc")),
            names
        );
        let mut seen = walk(&admin, &format!("/v2/images?limit={limit}"));
        seen.sort();
        assert_eq!(seen, names);
    }
}

#[test]
fn a_walk_goes_on_when_its_marker_is_deleted() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    many(&admin, 6);
    let page = admin.get("/v2/images?limit=3&sort=name:asc").json();
    let marker = page["images"][2]["id"].as_str().unwrap();
    admin.delete(&format!("/v2/images/{marker}")).expect_status(204);
    let rest = walk(&admin, page["next"].as_str().unwrap());
    assert_eq!(rest, ["image-003", "image-004", "image-005"]);
}

#[test]
fn limits_are_those_of_glance() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    many(&admin, 27);
    assert_eq!(admin.list("").len(), 25, "limit_param_default");
    assert_eq!(admin.list("limit=0").len(), 0);
    assert_eq!(admin.list("limit=5000").len(), 27);
    for query in ["limit=-1", "limit=x"] {
        admin.get(&format!("/v2/images?{query}")).expect_status(400);
    }
}

#[test]
fn the_newest_comes_first_unless_asked_otherwise() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    for (name, size) in [("b", 3), ("a", 1), ("c", 2)] {
        admin.active(name, &vec![7; size]);
    }
    for (query, names) in [
        ("sort=name", ["c", "b", "a"]),
        ("sort=name:asc", ["a", "b", "c"]),
        ("sort_key=name&sort_dir=asc", ["a", "b", "c"]),
        ("sort_key=size&sort_dir=desc", ["b", "c", "a"]),
        ("sort=disk_format:asc,size:asc", ["a", "c", "b"]),
    ] {
        assert_eq!(admin.list_names(query), names, "{query}");
    }
    let times: Vec<String> = admin
        .list("")
        .iter()
        .map(|image| image["created_at"].as_str().unwrap().to_owned())
        .collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
}

#[test]
fn wrong_questions_are_refused() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    for query in [
        "sort=nothing:asc",
        "sort=name:sideways",
        "sort_key=nothing",
        "sort=name&sort_key=name",
        "marker=d0000000-0000-4000-8000-000000000000",
        "size_min=x",
        "visibility=secret",
        "protected=yes",
        "os_hidden=maybe",
        "changes-since=2020-01-01T00:00:00Z",
        "created_at=gt:yesterday",
        "status=neq:active",
        "member_status=unknown",
    ] {
        let answer = admin.get(&format!("/v2/images?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
}

#[test]
fn filters_pick_the_images() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    admin.active("small", b"1");
    admin.active("large", &[7; 1000]);
    for image in [
        json!({"name": "tagged", "tags": ["one", "two"], "os_distro": "debian"}),
        json!({"name": "public", "visibility": "public", "min_ram": 7}),
        json!({"name": "hidden", "os_hidden": true}),
        json!({"name": "protected", "protected": true, "disk_format": "qcow2", "container_format": "bare"}),
        json!({"name": "a,b"}),
    ] {
        admin.create(&image);
    }
    let small = admin.list("name=small")[0].clone();
    let (checksum, hash) = (
        small["checksum"].as_str().unwrap(),
        small["os_hash_value"].as_str().unwrap(),
    );
    let checksum = format!("checksum={checksum}");
    let hash = format!("os_hash_value={hash}");
    for (query, names) in [
        ("name=small", &["small"][..]),
        ("name=in:small,large", &["large", "small"]),
        ("name=in:%22a,b%22,small", &["a,b", "small"]),
        ("name=nothing", &[]),
        ("status=active", &["large", "small"]),
        ("status=in:active,saving", &["large", "small"]),
        ("disk_format=qcow2", &["protected"]),
        ("container_format=bare&status=queued", &["protected"]),
        ("size_min=2", &["large"]),
        ("size_max=2&status=active", &["small"]),
        ("tag=one", &["tagged"]),
        ("tag=one&tag=two", &["tagged"]),
        ("tag=one&tag=three", &[]),
        ("visibility=public", &["public"]),
        ("protected=true", &["protected"]),
        ("os_hidden=true", &["hidden"]),
        ("os_distro=debian", &["tagged"]),
        ("os_distro=fedora", &[]),
        ("min_ram=7", &["public"]),
        ("name=small&name=large", &["large"]),
        (&checksum, &["small"]),
        (&hash, &["small"]),
        ("created_at=gt:2020-01-01T00:00:00Z&name=small", &["small"]),
        ("created_at=lt:2020-01-01T00:00:00Z", &[]),
    ] {
        let mut found = admin.list_names(query);
        found.sort();
        assert_eq!(found, names, "{query}");
    }
    let visible = admin.list_names("");
    assert!(!visible.contains(&"hidden".to_owned()), "{visible:?}");
    assert_eq!(visible.len(), 6);
}

#[test]
fn next_keeps_the_question() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    many(&admin, 4);
    let page = admin.get("/v2/images?limit=2&sort=name:asc&status=queued").json();
    let next = page["next"].as_str().unwrap();
    let last = page["images"][1]["id"].as_str().unwrap();
    for part in ["limit=2", "status=queued", &format!("marker={last}")] {
        assert!(next.contains(part), "{next}");
    }
    let empty = admin.get("/v2/images?name=nothing").json();
    assert_eq!(empty["images"], json!([]));
    assert_eq!(empty["next"], Value::Null);
}
