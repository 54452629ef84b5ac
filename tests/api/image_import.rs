//! Imports, with the daemon killed in the middle of them.

use crate::harness::{Body, Client, Daemon, Payload, Setup, eventually, md5, names};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

fn stage(api: &Client, id: &str, bytes: &[u8]) {
    let body = Body::Sized("application/octet-stream", bytes);
    api.request("PUT", &format!("/v2/images/{id}/stage"), &[], body)
        .expect_status(204);
}

fn import(api: &Client, id: &str, method: &Value) {
    let answer = api.post(&format!("/v2/images/{id}/import"), &json!({ "method": method }));
    assert_eq!(answer.expect_status(202).text(), "");
}

fn direct() -> Value {
    json!({"name": "glance-direct"})
}

fn task(api: &Client, id: &str) -> Value {
    api.get(&format!("/v2/images/{id}/tasks"))
        .expect_status(200)
        .json()["tasks"][0]
        .clone()
}

fn nothing_is_left(daemon: &Daemon) {
    eventually("no byte is left", || {
        daemon.stored().is_empty() && names(&daemon.data_dir().join("staging")).is_empty()
    });
}

#[test]
fn what_was_staged_survives_a_kill_and_is_imported() {
    let mut daemon = Daemon::fresh();
    let api = daemon.admin();
    let bytes = Payload::bytes(1, 3_000_000);
    let id = api.queued("x");
    stage(&api, &id, &bytes);
    daemon.kill();
    daemon.start();
    let api = daemon.admin();
    assert_eq!(api.status(&id), "uploading");
    import(&api, &id, &direct());
    eventually("the image is active", || api.status(&id) == "active");
    assert_eq!(api.show(&id)["checksum"], md5(&bytes));
    eventually("the task has succeeded", || {
        task(&api, &id)["status"] == "success"
    });
    eventually("what was staged is gone", || {
        names(&daemon.data_dir().join("staging")).is_empty()
    });
}

#[test]
fn an_import_that_is_killed_is_active_or_queued_and_never_between() {
    let mut daemon = Daemon::fresh();
    let bytes = Payload::bytes(2, 30_000_000);
    for _ in 0..3 {
        let api = daemon.admin();
        let id = api.queued("x");
        stage(&api, &id, &bytes);
        import(&api, &id, &direct());
        daemon.kill();
        daemon.start();
        let api = daemon.admin();
        eventually("the import has an end", || {
            ["active", "queued"].contains(&api.status(&id).as_str())
        });
        let is_active = api.status(&id) == "active";
        let end = if is_active { "success" } else { "failure" };
        eventually("the task has it, too", || task(&api, &id)["status"] == end);
        if !is_active {
            stage(&api, &id, &bytes);
            import(&api, &id, &direct());
            eventually("the image is active", || api.status(&id) == "active");
        }
        assert_eq!(api.show(&id)["checksum"], md5(&bytes));
        api.delete(&format!("/v2/images/{id}")).expect_status(204);
        nothing_is_left(&daemon);
    }
}

#[test]
fn a_download_that_is_killed_leaves_the_image_queued() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://127.0.0.1:{}/image", listener.local_addr().unwrap().port());
    // It begins, and never ends.
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nthe beginning");
            thread::spawn(move || while socket.read(&mut [0; 1]).is_ok_and(|read| read > 0) {});
        }
    });
    let mut daemon = Setup::default()
        .option("identity = local")
        .glance("[import_filtering_opts]\nallowed_hosts = 127.0.0.1\nallowed_ports =\n")
        .start();
    let api = daemon.admin();
    let id = api.queued("x");
    import(&api, &id, &json!({"name": "web-download", "uri": uri}));
    assert_eq!(api.status(&id), "importing");
    daemon.kill();
    daemon.start();
    let api = daemon.admin();
    eventually("the image is queued again", || api.status(&id) == "queued");
    eventually("the task has failed", || task(&api, &id)["status"] == "failure");
    let message = task(&api, &id)["message"].clone();
    assert!(message.as_str().unwrap().contains("stopped"), "{message}");
    nothing_is_left(&daemon);
    let bytes = Payload::bytes(3, 1000);
    api.upload(&id, &bytes).expect_status(204);
}

#[test]
fn a_copy_that_is_killed_is_there_or_not_and_its_image_is_active_all_the_time() {
    let place = tempfile::tempdir().unwrap();
    let text = format!(
        "[DEFAULT]\nenabled_backends = one:file, two:file\n[glance_store]\ndefault_backend = one\n\
         [one]\nfilesystem_store_datadir = {0}/one\n[two]\nfilesystem_store_datadir = {0}/two\n",
        place.path().display()
    );
    let mut daemon = Setup::default().option("identity = local").glance(&text).start();
    let bytes = Payload::bytes(4, 30_000_000);
    let id = daemon.admin().active("x", &bytes);
    let in_two = || names(&place.path().join("two"));
    for _ in 0..6 {
        let api = daemon.admin();
        let body = json!({"method": {"name": "copy-image"}, "stores": ["two"]});
        api.post(&format!("/v2/images/{id}/import"), &body)
            .expect_status(202);
        daemon.kill();
        daemon.start();
        let api = daemon.admin();
        assert_eq!(api.status(&id), "active");
        eventually("the copy has an end", || {
            api.show(&id).get("os_glance_import_task").is_none()
        });
        let is_copied = api.show(&id)["stores"] == "one,two";
        eventually("the store has what the record says", || {
            in_two() == if is_copied { vec![id.clone()] } else { Vec::new() }
        });
        let end = if is_copied { "success" } else { "failure" };
        eventually("the tasks have ends, too", || {
            let tasks = api
                .get(&format!("/v2/images/{id}/tasks"))
                .expect_status(200)
                .json();
            let mut tasks = tasks["tasks"].as_array().unwrap().clone();
            tasks.sort_by_key(|task| task["created_at"].to_string());
            tasks.iter().all(|task| task["status"] != "processing") && tasks.last().unwrap()["status"] == end
        });
        assert_eq!(api.download(&id).expect_status(200).body, bytes);
        if is_copied {
            break;
        }
    }
    let api = daemon.admin();
    api.delete(&format!("/v2/images/{id}")).expect_status(204);
    eventually("no byte is left", || {
        in_two().is_empty() && names(&place.path().join("one")).is_empty()
    });
}
