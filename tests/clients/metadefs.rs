//! `glance md-*` of python-glanceclient, and `saccade metadefs load`.

use super::{json, openstack, with_openrc};
use crate::harness::{Daemon, Output, saccade};
use std::fs;

fn glance(daemon: &Daemon, words: &[&str]) -> Output {
    let mut all = vec!["glance"];
    all.extend(words);
    with_openrc(daemon, &all)
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn namespaces_are_made_listed_changed_and_deleted() {
    let daemon = Daemon::fresh();
    let made = glance(
        &daemon,
        &[
            "md-namespace-create",
            "--display-name",
            "Own",
            "--description",
            "Of our own",
            "--visibility",
            "public",
            "OS::Own",
        ],
    );
    holds(&made.success(), &["OS::Own", "Of our own", "public"]);
    holds(&glance(&daemon, &["md-namespace-list"]).success(), &["OS::Own"]);
    let changed = glance(
        &daemon,
        &[
            "md-namespace-update",
            "--display-name",
            "Other",
            "--protected",
            "True",
            "OS::Own",
        ],
    );
    holds(&changed.success(), &["Other", "True"]);
    let refused = glance(&daemon, &["md-namespace-delete", "OS::Own"]).failure();
    holds(&refused, &["403", "protected"]);
    glance(
        &daemon,
        &["md-namespace-update", "--protected", "False", "OS::Own"],
    )
    .success();
    holds(
        &glance(&daemon, &["md-namespace-show", "OS::Own"]).success(),
        &["False"],
    );
    glance(&daemon, &["md-namespace-delete", "OS::Own"]).success();
    holds(
        &glance(&daemon, &["md-namespace-show", "OS::Own"]).failure(),
        &["404"],
    );
}

#[test]
fn what_is_in_a_namespace_is_made_listed_changed_and_deleted() {
    let daemon = Daemon::fresh();
    let run = |words: &[&str]| glance(&daemon, words).success();
    run(&["md-namespace-create", "N"]);

    run(&[
        "md-property-create",
        "--name",
        "p",
        "--title",
        "P",
        "--type",
        "integer",
        "--schema",
        r#"{"minimum": 1}"#,
        "N",
    ]);
    holds(&run(&["md-property-list", "N"]), &["| p"]);
    run(&["md-property-update", "--title", "Renamed", "N", "p"]);
    holds(&run(&["md-property-show", "N", "p"]), &["Renamed", "minimum"]);
    run(&["md-property-delete", "N", "p"]);

    let schema = r#"{"description": "D", "properties": {"q": {"title": "Q", "type": "string"}}}"#;
    run(&["md-object-create", "--name", "o", "--schema", schema, "N"]);
    holds(&run(&["md-object-list", "N"]), &["| o", "D"]);
    holds(
        &run(&["md-object-property-show", "N", "o", "q"]),
        &["Q", "string"],
    );
    run(&["md-object-update", "--name", "o2", "N", "o"]);
    holds(&run(&["md-object-show", "N", "o2"]), &["o2", "D"]);
    run(&["md-object-delete", "N", "o2"]);

    run(&["md-tag-create", "--name", "t", "N"]);
    run(&["md-tag-update", "--name", "u", "N", "t"]);
    holds(&run(&["md-tag-list", "N"]), &["| u"]);
    // With --append, the client fails before it asks: it cannot write the header.
    run(&["md-tag-create-multiple", "--names", "v,w", "N"]);
    holds(&run(&["md-tag-list", "N"]), &["| v", "| w"]);
    holds(&run(&["md-tag-show", "N", "v"]), &["created_at"]);
    run(&["md-tag-delete", "N", "v"]);
    run(&["md-namespace-tags-delete", "N"]);
    assert!(!run(&["md-tag-list", "N"]).contains("| w"));

    run(&[
        "md-resource-type-associate",
        "--name",
        "OS::Nova::Flavor",
        "--prefix",
        "hw:",
        "N",
    ]);
    holds(
        &run(&["md-namespace-resource-type-list", "N"]),
        &["OS::Nova::Flavor", "hw:"],
    );
    holds(&run(&["md-resource-type-list"]), &["OS::Nova::Flavor"]);
    run(&["md-resource-type-deassociate", "N", "OS::Nova::Flavor"]);
    run(&["md-namespace-objects-delete", "N"]);
    run(&["md-namespace-properties-delete", "N"]);
}

#[test]
fn files_are_loaded_while_the_daemon_is_stopped_and_seen_by_every_client() {
    let mut daemon = Daemon::fresh();
    let directory = daemon.scratch().join("metadefs");
    fs::create_dir(&directory).unwrap();
    fs::write(
        directory.join("own.json"),
        r#"{"namespace": "OS::Own", "display_name": "Own", "visibility": "public", "protected": true,
            "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"}],
            "properties": {"p": {"title": "P", "type": "integer", "default": 8}},
            "objects": [{"name": "o", "required": ["q"], "properties": {"q": {"title": "Q", "type": "string"}}}]}"#,
    )
    .unwrap();
    let path = directory.to_str().unwrap();
    let refused = daemon.saccade(&["metadefs", "load", path]).failure();
    holds(&refused, &["in use by another saccade"]);
    daemon.stop();
    holds(
        &daemon.saccade(&["metadefs", "load", path]).success(),
        &["OS::Own: loaded"],
    );
    holds(
        &daemon.saccade(&["metadefs", "load", path]).success(),
        &["exists already"],
    );
    holds(
        &daemon
            .saccade(&["metadefs", "load", "--merge", "--prefer-new", path])
            .success(),
        &["OS::Own: merged"],
    );
    assert_eq!(
        saccade(&["metadefs", "load", "--prefer-new", path]).code,
        Some(64)
    );
    daemon.start();
    holds(&glance(&daemon, &["md-namespace-list"]).success(), &["OS::Own"]);
    let listed = json(openstack(
        &daemon,
        &["image", "metadef", "namespace", "list", "-f", "json"],
    ));
    assert_eq!(listed[0]["namespace"], "OS::Own");
    let shown = json(openstack(
        &daemon,
        &["image", "metadef", "namespace", "show", "OS::Own", "-f", "json"],
    ));
    assert_eq!(shown["display_name"], "Own");
    holds(
        &glance(&daemon, &["md-property-list", "OS::Own"]).success(),
        &["| p"],
    );
}
