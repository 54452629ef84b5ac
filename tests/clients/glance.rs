//! `glance`, of python-glanceclient.

use super::{client, disk, with_openrc};
use crate::harness::{Daemon, run, sha512, unsafe_qcow2};
use std::{fs, process::Command};

/// A value of the table that `glance` prints. Long ones go on in rows without a key.
fn field(table: &str, name: &str) -> String {
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match *cells.as_slice() {
            ["", key, value, ""] => Some((key, value)),
            _ => None,
        }
    });
    let mut rows = rows.skip_while(|(key, _)| *key != name);
    let (_, first) = rows.next().unwrap_or_else(|| panic!("no {name} in\n{table}"));
    let rest = rows.take_while(|(key, _)| key.is_empty()).map(|(_, value)| value);
    std::iter::once(first).chain(rest).collect()
}

#[test]
fn image_create_with_progress_uploads_every_format() {
    let daemon = Daemon::fresh();
    for format in ["qcow2", "raw", "vmdk"] {
        let file = disk(&daemon.scratch(), format);
        // The bar is drawn only on a terminal, and `script` is one.
        let line = format!(
            ". '{}' && exec '{}' image-create --progress --name {format} --disk-format {format} --container-format bare \
             --file '{}'",
            daemon.data_dir().join("openrc").display(),
            client("glance").display(),
            file.display()
        );
        let mut script = Command::new("script");
        script
            .args(["-q", "-e", "-c", &line, "/dev/null"])
            .env("SHELL", "/bin/sh");
        let printed = run(super::bare(&mut script, &daemon)).success();
        assert!(printed.contains("=>] 100%"), "{printed}");
        let printed = printed.replace('\r', "");
        assert_eq!(field(&printed, "status"), "active");
        let bytes = fs::read(&file).unwrap();
        assert_eq!(field(&printed, "size"), bytes.len().to_string());
        assert_eq!(field(&printed, "os_hash_value"), sha512(&bytes));
        assert_eq!(field(&printed, "virtual_size"), (24 << 20).to_string());

        let saved = daemon.scratch().join("saved");
        let id = field(&printed, "id");
        with_openrc(
            &daemon,
            &["glance", "image-download", "--file", saved.to_str().unwrap(), &id],
        )
        .success();
        assert!(fs::read(&saved).unwrap() == bytes, "{format}");
    }
}

#[test]
fn an_image_is_made_changed_tagged_and_deleted() {
    let daemon = Daemon::fresh();
    let glance = |words: &[&str]| {
        let mut all = vec!["glance"];
        all.extend(words);
        with_openrc(&daemon, &all)
    };
    let created = glance(&[
        "image-create",
        "--name",
        "first",
        "--disk-format",
        "raw",
        "--container-format",
        "bare",
        "--property",
        "os_distro=debian",
    ])
    .success();
    let id = field(&created, "id");
    assert_eq!(field(&created, "status"), "queued");
    assert_eq!(field(&created, "os_distro"), "debian");

    let file = disk(&daemon.scratch(), "raw");
    glance(&["image-upload", "--file", file.to_str().unwrap(), &id]).success();
    let updated = glance(&[
        "image-update",
        "--name",
        "second",
        "--remove-property",
        "os_distro",
        "--property",
        "a=b",
        &id,
    ])
    .success();
    assert_eq!(field(&updated, "name"), "second");
    assert_eq!(field(&updated, "a"), "b");
    assert!(!updated.contains("os_distro"), "{updated}");

    glance(&["image-tag-update", &id, "stable"]).success();
    assert_eq!(
        field(&glance(&["image-show", &id]).success(), "tags"),
        "[\"stable\"]"
    );
    glance(&["image-tag-delete", &id, "stable"]).success();
    let listed = glance(&["image-list"]).success();
    assert!(listed.contains(&id) && listed.contains("second"), "{listed}");
    glance(&["image-delete", &id]).success();
    assert!(!glance(&["image-list"]).success().contains(&id));
}

#[test]
fn errors_are_the_sentences_that_people_see() {
    let daemon = Daemon::fresh();
    let glance = |words: &[&str]| {
        let mut all = vec!["glance"];
        all.extend(words);
        with_openrc(&daemon, &all).failure()
    };
    let missing = glance(&["image-show", "d0000000-0000-4000-8000-000000000000"]);
    assert!(
        missing.contains("HTTP 404 Not Found: No image found with ID d0000000-0000-4000-8000-000000000000"),
        "{missing}"
    );

    let file = daemon.scratch().join("unsafe.qcow2");
    unsafe_qcow2(&daemon.scratch());
    let refused = glance(&[
        "image-create",
        "--name",
        "x",
        "--disk-format",
        "qcow2",
        "--container-format",
        "bare",
        "--file",
        file.to_str().unwrap(),
    ]);
    assert!(
        refused.contains("415") && refused.contains("backing"),
        "{refused}"
    );

    let admin = daemon.admin();
    let id = admin.active("full", b"bytes");
    let conflict = glance(&["image-upload", "--file", file.to_str().unwrap(), &id]);
    assert!(conflict.contains("409"), "{conflict}");
}

#[test]
fn an_image_is_shared_answered_and_taken_back() {
    let daemon = Daemon::fresh();
    let glance = |words: &[&str]| {
        let mut all = vec!["glance"];
        all.extend(words);
        with_openrc(&daemon, &all)
    };
    let id = daemon.admin().active("shared", b"bytes");
    let row = |table: &str, status: &str| {
        let line = table.lines().find(|line| line.contains("physics")).unwrap();
        assert!(line.contains(&id) && line.contains(status), "{table}");
    };
    row(&glance(&["member-create", &id, "physics"]).success(), "pending");
    row(
        &glance(&["member-update", &id, "physics", "accepted"]).success(),
        "accepted",
    );
    row(&glance(&["member-list", "--image-id", &id]).success(), "accepted");
    let shown = glance(&["member-get", &id, "physics"]).success();
    assert_eq!(field(&shown, "status"), "accepted");
    let twice = glance(&["member-create", &id, "physics"]).failure();
    assert!(
        twice.contains("409") && twice.contains("already shared"),
        "{twice}"
    );
    glance(&["member-delete", &id, "physics"]).success();
    let missing = glance(&["member-get", &id, "physics"]).failure();
    assert!(missing.contains("404"), "{missing}");
}

#[test]
fn an_image_is_deactivated_and_reactivated() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.active("used", b"bytes");
    for (command, status) in [
        ("image-deactivate", "deactivated"),
        ("image-reactivate", "active"),
    ] {
        with_openrc(&daemon, &["glance", command, &id]).success();
        assert_eq!(admin.status(&id), status);
    }
}

#[test]
fn what_the_service_offers_is_shown() {
    let daemon = Daemon::fresh();
    let info = with_openrc(&daemon, &["glance", "import-info"]).success();
    assert!(info.contains("Import methods available."), "{info}");
    let stores = with_openrc(&daemon, &["glance", "stores-info"]).failure();
    assert!(
        stores.contains("Multi Backend support is not enabled"),
        "{stores}"
    );
}
