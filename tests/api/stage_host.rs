//! Nodes that know of data which waits for its import on another node.

use crate::harness::{Body, Client, Daemon, Payload, Setup, eventually, free_address, md5, names, run};
use serde_json::json;
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
};

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// A node that others reach at this URL.
fn node(url: &str) -> Setup {
    Setup::default().option("identity = local").glance_api(&format!(
        "[DEFAULT]\nworker_self_reference_url = {url}\n[glance_store]\nfilesystem_store_datadir = @ROOT@/images\n"
    ))
}

fn stage(api: &Client, bytes: &[u8]) -> String {
    let id = api.queued("x");
    let body = Body::Sized("application/octet-stream", bytes);
    api.request("PUT", &format!("/v2/images/{id}/stage"), &[], body)
        .expect_status(204);
    id
}

fn import(api: &Client, id: &str) -> (u16, String) {
    let path = format!("/v2/images/{id}/import");
    let answer = api.post(&path, &json!({"method": {"name": "glance-direct"}}));
    (answer.status, answer.text())
}

fn path(id: &str) -> String {
    format!("/v2/images/{id}")
}

/// A copy of a node's directory, as an operator makes it: files keep their other names.
fn directory_of(node: &Daemon) -> impl FnOnce(&Path) {
    let from = node.data_dir();
    move |to| {
        run(Command::new("cp").arg("-a").arg(&from).arg(to)).success();
    }
}

/// The same, without what waits there: as of a catalogue that several nodes have.
fn catalogue_of(node: &Daemon) -> impl FnOnce(&Path) {
    let make = directory_of(node);
    move |to| {
        make(to);
        for name in names(&to.join("staging")) {
            fs::remove_file(to.join("staging").join(name)).unwrap();
        }
    }
}

#[test]
fn what_waits_on_another_node_is_imported_and_deleted_there_or_here_if_that_node_is_gone() {
    let (here, there) = (free_address(), free_address());
    let bytes = Payload::bytes(1, 3_000_000);
    let mut first = node(&url(there)).at(there).start();
    let (api, mut ids) = (first.admin(), Vec::new());
    for _ in 0..3 {
        ids.push(stage(&api, &bytes));
    }
    let [imported, deleted, left] = &ids[..] else {
        panic!("three images")
    };
    first.stop();
    let mut second = node(&url(here))
        .at(here)
        .expect_log("is deleted here: the data that waits for its import is left to its node")
        .expect_log("a request failed")
        .start_with(catalogue_of(&first));
    first.start();
    let there = first.anonymous().with_token(api.token());
    let here = second.anonymous().with_token(api.token());
    assert_eq!(here.status(imported), "uploading");
    assert_eq!(here.show(imported).get("os_glance_stage_host"), None);

    let asked = here.request(
        "POST",
        &format!("{}/import", path(imported)),
        &[("X-Openstack-Request-Id", "req-everywhere")],
        Body::Json(&json!({"method": {"name": "glance-direct"}})),
    );
    assert_eq!((asked.status, asked.body.as_slice()), (202, &b""[..]));
    assert_eq!(asked.header("X-Openstack-Request-Id"), "req-everywhere");
    eventually("the image is active", || there.status(imported) == "active");
    assert_eq!(there.show(imported)["checksum"], md5(&bytes));
    for daemon in [&first, &second] {
        assert!(daemon.log().iter().any(|line| line.contains("req-everywhere")));
        assert!(daemon.log().iter().all(|line| !line.contains(api.token())));
    }
    // What that node has against it is told here.
    let (status, text) = import(&here, imported);
    assert_eq!(status, 409, "{text}");
    assert!(
        text.contains("Image with status active cannot be target for import"),
        "{text}"
    );

    let waiting = || names(&first.data_dir().join("staging"));
    let two = waiting().len();
    here.delete(&path(deleted)).expect_status(204);
    there.get(&path(deleted)).expect_status(404);
    here.get(&path(deleted)).expect_status(404);
    assert_eq!(waiting().len() * 2, two, "{:?}", waiting());

    first.stop();
    let (status, text) = import(&here, left);
    assert_eq!(status, 504, "{text}");
    assert!(text.contains("Stage host is unavailable"), "{text}");
    assert_eq!(here.status(left), "uploading");
    here.delete(&path(left)).expect_status(204);
    here.get(&path(left)).expect_status(404);
    second.stop();
}

#[test]
fn requests_that_come_back_are_not_sent_on_again() {
    // The first node's URL was that of both; by now it leads to the second.
    let shared = free_address();
    let mut first = node(&url(shared)).start();
    let api = first.admin();
    let id = stage(&api, b"data");
    first.stop();
    let mut second = node("http://second.example:9292")
        .at(shared)
        .expect_log("another node has sent on a request here")
        .expect_log("is deleted here: the data that waits for its import is left to its node")
        .expect_log("a request failed")
        .start_with(catalogue_of(&first));
    let here = second.anonymous().with_token(api.token());
    let (status, text) = import(&here, &id);
    assert_eq!(status, 502, "{text}");
    assert!(text.contains("a node that cannot be found"), "{text}");
    assert_eq!(here.status(&id), "uploading");
    here.delete(&path(&id)).expect_status(204);
    here.get(&path(&id)).expect_status(404);
    second.stop();
}

#[test]
fn a_node_that_got_another_url_has_what_waited_before() {
    // Where nobody answers: it would be noticed.
    let old = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut first = node(&url(old.local_addr().unwrap())).start();
    let api = first.admin();
    let ids = [stage(&api, b"data"), stage(&api, b"more")];
    first.stop();
    let mut renamed = node("http://renamed.example:9292").start_with(directory_of(&first));
    let here = renamed.anonymous().with_token(api.token());
    assert_eq!(import(&here, &ids[0]), (202, String::new()));
    eventually("the image is active", || here.status(&ids[0]) == "active");
    here.delete(&path(&ids[1])).expect_status(204);
    let staging = renamed.data_dir().join("staging");
    eventually("nothing waits any more", || names(&staging).is_empty());
    renamed.stop();
    old.set_nonblocking(true).unwrap();
    assert!(old.accept().is_err(), "somebody was asked");
}
