//! Images in the accounts of those who bring them: a whole cloud with Keystone and Swift, and the stock client in it.

use crate::{
    clients::{bare, client, json},
    harness::{Daemon, Output, Payload, Setup, SwiftCloud, run, sha512},
};
use std::{fs, process::Command};

/// glance_store's MB, in which segments are measured.
const MB: usize = 1_024_000;

const DEMO: (&str, &str) = ("demo", "demo");
const ALT_DEMO: (&str, &str) = ("alt_demo", "alt_demo");

/// As an operator has it, with segments as short as they may be.
fn setup(cloud: &SwiftCloud, container: &str) -> Setup {
    let keystone = cloud.keystone();
    Setup::default().glance_api(&format!(
        "[DEFAULT]
enabled_backends = deep:swift
[keystone_authtoken]
www_authenticate_uri = {keystone}
auth_url = {keystone}
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = glance
password = glance-password
[paste_deploy]
flavor = keystone
[glance_store]
default_backend = deep
[deep]
swift_store_multi_tenant = true
swift_store_container = {container}
swift_store_region = RegionOne
swift_store_auth_address = {keystone}
swift_store_user = service:glance
swift_store_key = glance-password
swift_store_large_object_size = 1
swift_store_large_object_chunk_size = 1
"
    ))
}

/// `openstack image` of somebody in a project. The catalogue, which is everybody's, does not say where the daemon is.
fn image(cloud: &SwiftCloud, daemon: &Daemon, (user, project): (&str, &str), words: &[&str]) -> Output {
    let mut command = Command::new(client("openstack"));
    bare(&mut command, daemon).arg("image").args(words).envs([
        ("OS_AUTH_URL", cloud.keystone().to_owned()),
        ("OS_IDENTITY_API_VERSION", "3".to_owned()),
        ("OS_REGION_NAME", "RegionOne".to_owned()),
        (
            "OS_IMAGE_ENDPOINT_OVERRIDE",
            format!("http://{}", daemon.address()),
        ),
        ("OS_USER_DOMAIN_NAME", "Default".to_owned()),
        ("OS_PROJECT_DOMAIN_NAME", "Default".to_owned()),
        ("OS_USERNAME", user.to_owned()),
        ("OS_PROJECT_NAME", project.to_owned()),
        ("OS_PASSWORD", format!("{user}-password")),
    ]);
    run(&mut command)
}

#[test]
fn an_image_is_in_its_projects_account_is_read_by_members_and_leaves_nothing() {
    let cloud = SwiftCloud::up();
    let container = format!("test{}", uuid::Uuid::new_v4().simple());
    let mut daemon = setup(&cloud, &container).start();
    let owner = cloud.log_in("demo", "demo");
    let member = cloud.log_in("alt_demo", "alt_demo");
    let service = cloud.log_in("glance", "service");
    let (file, saved) = (daemon.scratch().join("disk.raw"), daemon.scratch().join("saved"));
    let (file_name, saved_name) = (file.to_str().unwrap(), saved.to_str().unwrap());
    // One object; and a manifest with four segments, the last short.
    for (length, objects) in [(1000, 1), (3 * MB + 1000, 5)] {
        let bytes = Payload::bytes(9, length);
        fs::write(&file, &bytes).unwrap();
        let create = [
            "create",
            "-f",
            "json",
            "--disk-format",
            "raw",
            "--container-format",
            "bare",
            "--shared",
            "--file",
            file_name,
            "kept",
        ];
        let created = json(image(&cloud, &daemon, DEMO, &create));
        let id = created["id"].as_str().unwrap();
        let shown = json(image(&cloud, &daemon, DEMO, &["show", "-f", "json", id]));
        assert_eq!(shown["status"], "active");
        assert_eq!(shown["properties"]["os_hash_value"], sha512(&bytes));

        let place = format!("{container}_{id}");
        let found = owner.inventory(&container);
        assert_eq!(found.len(), 1 + objects, "{found:?}");
        assert_eq!((&found[0], &found[1]), (&place, &format!("{place}/{id}")));
        for other in [&member, &service] {
            assert_eq!(other.inventory(&container), Vec::<String>::new());
        }

        let save = ["save", "--file", saved_name, id];
        image(&cloud, &daemon, ALT_DEMO, &save).failure();
        assert_eq!(member.reads(&owner, &found[1]), 403);
        image(&cloud, &daemon, DEMO, &["add", "project", id, member.project()]).success();
        image(&cloud, &daemon, ALT_DEMO, &["set", "--accept", id]).success();
        image(&cloud, &daemon, ALT_DEMO, &save).success();
        assert!(fs::read(&saved).unwrap() == bytes);
        assert_eq!(member.reads(&owner, &found[1]), 200);
        image(&cloud, &daemon, ALT_DEMO, &["delete", id]).failure();
        image(
            &cloud,
            &daemon,
            DEMO,
            &["remove", "project", id, member.project()],
        )
        .success();
        image(&cloud, &daemon, ALT_DEMO, &save).failure();
        assert_eq!(member.reads(&owner, &found[1]), 403);
        fs::remove_file(&saved).unwrap();

        image(&cloud, &daemon, DEMO, &save).success();
        assert!(fs::read(&saved).unwrap() == bytes);
        image(&cloud, &daemon, DEMO, &["delete", id]).success();
        assert_eq!(owner.inventory(&container), Vec::<String>::new());
        fs::remove_file(&saved).unwrap();
    }
    let log = daemon.log().join("\n");
    assert!(
        !log.contains("gAAAA") && !log.contains("glance-password"),
        "{log}"
    );
    daemon.stop();
}
