//! What an operator has after OpenStack's install guide, and what the people of two projects see of each other.

use super::services::get;
use crate::{
    clients::{bare, client, json},
    harness::{
        Answer, Body, Client, Cloud, CloudSetup, HaProxy, Keystone, Memcached, Output, Payload, run, sha512,
    },
};
use serde_json::{Value, json};
use std::{fs, process::Command};

/// A stock client as a user of a project.
fn stock(cloud: &Cloud<'_>, (user, project): (&str, &str), words: &[&str]) -> Output {
    let mut command = Command::new(client(words[0]));
    bare(&mut command, cloud)
        .args(&words[1..])
        .envs(cloud.environment(user, project));
    run(&mut command)
}

const ADMIN: (&str, &str) = ("admin", "admin");
const DEMO: (&str, &str) = ("demo", "demo");
const DEMO_READER: (&str, &str) = ("demo_reader", "demo");
const ALT_DEMO: (&str, &str) = ("alt_demo", "alt_demo");
const ALT_DEMO_READER: (&str, &str) = ("alt_demo_reader", "alt_demo");

/// Names in what `openstack image list -f json` prints.
fn names(output: Output) -> Vec<String> {
    let list = json(output);
    let mut names: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["Name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_stock_clients_work_as_after_the_install_guide() {
    let (keystone, memcached) = (Keystone::own(), Memcached::start());
    let cloud = CloudSetup::alone(&keystone).memcached([&memcached]).start();
    let file = cloud.scratch().join("disk.raw");
    let bytes = Payload::bytes(1, 3 << 20);
    fs::write(&file, &bytes).unwrap();
    let file = file.to_str().unwrap();
    let create = |whose, name, visibility| {
        let words = [
            "openstack",
            "image",
            "create",
            "-f",
            "json",
            "--disk-format",
            "raw",
            "--container-format",
            "bare",
            "--file",
            file,
            visibility,
            name,
        ];
        stock(&cloud, whose, &words)
    };
    let private = json(create(DEMO, "private", "--private"));
    create(ADMIN, "public", "--public").success();
    let refused = create(DEMO_READER, "refused", "--private").failure();
    assert!(refused.contains("403"), "{refused}");
    let refused = create(DEMO, "refused", "--public").failure();
    assert!(refused.contains("403"), "{refused}");

    let list = ["openstack", "image", "list", "-f", "json"];
    for (whose, seen) in [
        (DEMO, &["private", "public"][..]),
        (DEMO_READER, &["private", "public"]),
        (ALT_DEMO, &["public"]),
        (ADMIN, &["private", "public"]),
    ] {
        assert_eq!(names(stock(&cloud, whose, &list)), seen, "{whose:?}");
    }
    let id = private["id"].as_str().unwrap();
    let shown = json(stock(
        &cloud,
        DEMO_READER,
        &["openstack", "image", "show", "-f", "json", id],
    ));
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["properties"]["os_hash_value"], sha512(&bytes));
    let hidden = stock(&cloud, ALT_DEMO, &["openstack", "image", "show", id]).failure();
    assert!(hidden.contains("No Image found for"), "{hidden}");

    let made = stock(
        &cloud,
        ALT_DEMO,
        &[
            "glance",
            "image-create",
            "--name",
            "theirs",
            "--disk-format",
            "raw",
            "--container-format",
            "bare",
            "--file",
            file,
        ],
    );
    assert!(made.success().contains("active"));
    let listed = stock(&cloud, ALT_DEMO, &["glance", "image-list"]).success();
    assert!(listed.contains("theirs") && listed.contains("public") && !listed.contains("private"));
    let kept = stock(&cloud, DEMO_READER, &["openstack", "image", "delete", "private"]).failure();
    assert!(kept.contains("403"), "{kept}");
    stock(&cloud, DEMO, &["openstack", "image", "delete", "private"]).success();
    assert_eq!(names(stock(&cloud, DEMO, &list)), ["public"]);
    let wrong = stock(
        &cloud,
        DEMO,
        &["openstack", "--os-password", "wrong", "image", "list"],
    );
    assert!(wrong.failure().contains("401"));
    assert!(
        memcached.keys().iter().any(|key| key.starts_with("tokens/")),
        "{:?}",
        memcached.keys()
    );
}

#[test]
fn the_stock_clients_work_through_haproxy_with_tls() {
    let keystone = Keystone::own();
    let cloud = CloudSetup::alone(&keystone)
        .glance("[oslo_middleware]\nenable_proxy_headers_parsing = true")
        .start();
    let proxy = HaProxy::before(cloud.address());
    cloud.is_found_at(&proxy.url());
    let file = cloud.scratch().join("disk.raw");
    fs::write(&file, Payload::bytes(2, 1 << 20)).unwrap();
    let authority = proxy.authority().file();
    let openstack = |words: &[&str]| {
        let mut all = vec!["openstack", "--os-cacert", authority.to_str().unwrap()];
        all.extend(words);
        stock(&cloud, DEMO, &all)
    };
    let file = file.to_str().unwrap();
    openstack(&["image", "create", "--disk-format", "raw", "--file", file, "one"]).success();
    assert_eq!(names(openstack(&["image", "list", "-f", "json"])), ["one"]);
    openstack(&["image", "delete", "one"]).success();
    let untrusted = stock(&cloud, DEMO, &["openstack", "image", "list"]).failure();
    assert!(
        untrusted.contains("Failed to contact the endpoint"),
        "{untrusted}"
    );

    let versions = get(proxy.address(), proxy.authority(), None).unwrap();
    assert!(
        versions.contains(r#""href": "https://"#) || versions.contains(r#""href":"https://"#),
        "{versions}"
    );
}

/// Who may do what with a demo's private image.
#[test]
fn each_project_sees_and_changes_its_own() {
    let cloud = CloudSetup::new(Keystone::shared()).start();
    let api = |(user, project)| cloud.user(user, project);
    let (admin, demo, reader) = (api(ADMIN), api(DEMO), api(DEMO_READER));
    let (other, other_reader) = (api(ALT_DEMO), api(ALT_DEMO_READER));
    let id = demo.active("private", b"bytes");
    assert_eq!(demo.show(&id)["visibility"], "shared");

    let show = |api: &Client| api.get(&format!("/v2/images/{id}"));
    let download = |api: &Client| api.download(&id);
    let rename = |api: &Client| {
        let operation = json!([{"op": "replace", "path": "/name", "value": "renamed"}]);
        api.patch(&format!("/v2/images/{id}"), &operation)
    };
    let publish = |api: &Client| {
        let operation = json!([{"op": "replace", "path": "/visibility", "value": "public"}]);
        api.patch(&format!("/v2/images/{id}"), &operation)
    };
    let delete = |api: &Client| api.delete(&format!("/v2/images/{id}"));
    type Action<'a> = &'a dyn Fn(&Client) -> Answer;
    let table: [(&str, Action<'_>, [u16; 4]); 4] = [
        //                     reader, other, other_reader, demo
        ("show", &show, [200, 404, 404, 200]),
        ("download", &download, [403, 404, 404, 200]),
        ("rename", &rename, [403, 404, 404, 200]),
        ("publish", &publish, [403, 404, 404, 403]),
    ];
    for (name, action, statuses) in table {
        for (who, status) in [&reader, &other, &other_reader, &demo].into_iter().zip(statuses) {
            let answer = action(who);
            assert_eq!(answer.status, status, "{name}: {}", answer.text());
        }
    }
    publish(&admin).expect_status(200);
    for who in [&reader, &other, &other_reader, &demo, &admin] {
        show(who).expect_status(200);
        assert_eq!(who.list_names("visibility=public"), ["renamed"]);
    }
    for (who, status) in [(&other, 403), (&reader, 403), (&demo, 204)] {
        delete(who).expect_status(status);
    }
}

#[test]
fn owners_are_the_projects_of_keystone() {
    let keystone = Keystone::shared();
    let account = keystone.account(&["member"]);
    let cloud = CloudSetup::new(keystone).start();
    let image = cloud.login(&account.login()).create(&json!({"name": "one"}));
    assert_eq!(image["owner"], account.project_id.as_str());

    let answer = cloud.anonymous().get("/v2/images").expect_status(401);
    assert_eq!(
        answer.header("WWW-Authenticate"),
        format!("Keystone uri=\"{}\"", keystone.url())
    );
    let answer: Value = cloud
        .anonymous()
        .request("GET", "/", &[], Body::None)
        .expect_status(300)
        .json();
    assert!(answer["versions"].is_array(), "versions need no token");
}
