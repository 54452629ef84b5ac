//! `openstack image`, of python-openstackclient.

use super::{disk, json, openstack, with_openrc};
use crate::harness::{Daemon, sha512, unsafe_vmdk};
use serde_json::Value;
use std::fs;

#[test]
fn an_image_lives_from_create_to_delete() {
    let daemon = Daemon::fresh();
    let file = disk(&daemon.scratch(), "qcow2");
    let bytes = fs::read(&file).unwrap();
    let created = json(openstack(
        &daemon,
        &[
            "image",
            "create",
            "-f",
            "json",
            "--disk-format",
            "qcow2",
            "--container-format",
            "bare",
            "--file",
            file.to_str().unwrap(),
            "--property",
            "hw_disk_bus=scsi",
            "--tag",
            "stable",
            "--min-ram",
            "64",
            "jammy",
        ],
    ));
    let id = created["id"].as_str().unwrap();
    assert_eq!(created["name"], "jammy");

    let shown = json(openstack(&daemon, &["image", "show", "-f", "json", "jammy"]));
    assert_eq!(shown["id"], id);
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["size"], bytes.len());
    assert_eq!(shown["min_ram"], 64);
    assert_eq!(shown["tags"], serde_json::json!(["stable"]));
    assert_eq!(shown["properties"]["hw_disk_bus"], "scsi");
    assert_eq!(shown["properties"]["os_hash_algo"], "sha512");
    assert_eq!(shown["properties"]["os_hash_value"], sha512(&bytes));

    openstack(
        &daemon,
        &[
            "image",
            "set",
            "--name",
            "noble",
            "--property",
            "os_distro=ubuntu",
            "--tag",
            "new",
            "--min-disk",
            "3",
            "--public",
            id,
        ],
    )
    .success();
    openstack(
        &daemon,
        &[
            "image",
            "unset",
            "--tag",
            "stable",
            "--property",
            "hw_disk_bus",
            id,
        ],
    )
    .success();
    let changed = json(openstack(&daemon, &["image", "show", "-f", "json", id]));
    assert_eq!(changed["name"], "noble");
    assert_eq!(changed["visibility"], "public");
    assert_eq!(changed["min_disk"], 3);
    assert_eq!(changed["tags"], serde_json::json!(["new"]));
    assert_eq!(changed["properties"]["os_distro"], "ubuntu");
    assert_eq!(changed["properties"]["hw_disk_bus"], Value::Null);

    let listed = json(openstack(
        &daemon,
        &["image", "list", "-f", "json", "--property", "os_distro=ubuntu"],
    ));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(
        (&listed[0]["ID"], &listed[0]["Status"]),
        (&id.into(), &"active".into())
    );

    let saved = daemon.scratch().join("saved");
    openstack(
        &daemon,
        &["image", "save", "--file", saved.to_str().unwrap(), "noble"],
    )
    .success();
    assert_eq!(sha512(&fs::read(&saved).unwrap()), sha512(&bytes));

    openstack(&daemon, &["image", "delete", "noble"]).success();
    assert_eq!(
        json(openstack(&daemon, &["image", "list", "-f", "json"])),
        serde_json::json!([])
    );
}

#[test]
fn the_second_and_third_printed_lines_work_after_the_first() {
    let daemon = Daemon::fresh();
    let file = disk(&daemon.scratch(), "raw");
    with_openrc(
        &daemon,
        &[
            "openstack",
            "image",
            "create",
            "--disk-format",
            "raw",
            "--container-format",
            "bare",
            "--file",
            file.to_str().unwrap(),
            "first",
        ],
    )
    .success();
    assert!(
        with_openrc(&daemon, &["glance", "image-list"])
            .success()
            .contains("first")
    );
}

#[test]
fn errors_are_the_sentences_that_people_see() {
    let daemon = Daemon::fresh();
    let missing = openstack(&daemon, &["image", "show", "nothing"]).failure();
    assert!(missing.contains("No Image found for nothing"), "{missing}");

    let file = daemon.scratch().join("unsafe.vmdk");
    unsafe_vmdk(&daemon.scratch());
    let words = [
        "image",
        "create",
        "--disk-format",
        "vmdk",
        "--file",
        file.to_str().unwrap(),
        "unsafe",
    ];
    let refused = openstack(&daemon, &words).failure();
    assert!(refused.contains("415"), "{refused}");

    let id = daemon
        .admin()
        .create(&serde_json::json!({"name": "kept", "protected": true}))["id"]
        .clone();
    let protected = openstack(&daemon, &["image", "delete", id.as_str().unwrap()]).failure();
    assert!(protected.contains("protected"), "{protected}");
}

#[test]
fn users_and_projects_are_looked_up_by_name() {
    let daemon = Daemon::fresh();
    daemon.saccade(&["project", "add", "physics"]).success();
    let projects = json(openstack(&daemon, &["project", "list", "-f", "json"]));
    let names: Vec<&str> = projects
        .as_array()
        .unwrap()
        .iter()
        .map(|project| project["Name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"physics") && names.contains(&"admin"),
        "{names:?}"
    );
    openstack(
        &daemon,
        &[
            "image",
            "create",
            "--project",
            "physics",
            "--project-domain",
            "default",
            "theirs",
        ],
    )
    .success();
    let owner = json(openstack(&daemon, &["image", "show", "-f", "json", "theirs"]))["owner"].clone();
    let physics = json(openstack(&daemon, &["project", "show", "-f", "json", "physics"]))["id"].clone();
    assert_eq!(owner, physics);
    json(openstack(&daemon, &["token", "issue", "-f", "json"]));
}

#[test]
fn a_wrong_password_is_told_as_such() {
    let daemon = Daemon::fresh();
    let refused = openstack(&daemon, &["--os-password", "wrong", "image", "list"]).failure();
    assert!(refused.contains("401"), "{refused}");
}

/// `openstack` as a user of another project than the administrator's.
fn as_user(daemon: &Daemon, name: &str, project: &str, words: &[&str]) -> crate::harness::Output {
    let printed = daemon
        .saccade(&["user", "add", name, "--project", project, "--role", "member"])
        .success();
    let password = printed
        .lines()
        .find_map(|line| line.strip_prefix("password"))
        .unwrap()
        .trim();
    let login = [
        "--os-username",
        name,
        "--os-password",
        password,
        "--os-project-name",
        project,
    ];
    openstack(daemon, &[&login[..], words].concat())
}

#[test]
fn an_image_is_shared_accepted_and_taken_back() {
    let daemon = Daemon::fresh();
    daemon.saccade(&["project", "add", "physics"]).success();
    let id = daemon.admin().active("shared", b"bytes");
    let added = json(openstack(
        &daemon,
        &["image", "add", "project", "-f", "json", "shared", "physics"],
    ));
    assert_eq!(
        (&added["image_id"], &added["status"]),
        (&id.as_str().into(), &"pending".into())
    );
    as_user(&daemon, "ada", "physics", &["image", "set", "--accept", &id]).success();
    let members = json(openstack(
        &daemon,
        &["image", "member", "list", "-f", "json", "shared"],
    ));
    assert_eq!(members[0]["Member ID"], added["member_id"]);
    assert_eq!(members[0]["Status"], "accepted");
    let listed = json(as_user(
        &daemon,
        "bob",
        "physics",
        &["image", "list", "-f", "json", "--shared"],
    ));
    assert_eq!(listed[0]["ID"], id);
    openstack(&daemon, &["image", "remove", "project", "shared", "physics"]).success();
    let members = openstack(&daemon, &["image", "member", "list", "-f", "json", "shared"]);
    assert_eq!(json(members), serde_json::json!([]));
}

#[test]
fn an_image_is_deactivated_and_activated() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.active("used", b"bytes");
    openstack(&daemon, &["image", "set", "--deactivate", "used"]).success();
    assert_eq!(admin.status(&id), "deactivated");
    openstack(&daemon, &["image", "set", "--activate", "used"]).success();
    assert_eq!(admin.status(&id), "active");
}
