//! How many transfers run at once, who waits, and what many slow clients do to others.

use super::identity::{add_project, add_user};
use crate::harness::{Body, Client, Connection, Daemon, Setup, eventually};
use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Larger than what counts for no download, and than what the sockets in between hold.
const LARGE: usize = 24 << 20;

/// A member of a project of its own.
fn member(daemon: &Daemon, project: &str) -> Client {
    add_project(daemon, project);
    add_user(daemon, &format!("member-of-{project}"), project, "member")
}

/// The head of an upload of so many bytes.
fn head(client: &Client, id: &str, bytes: usize, more: &str) -> String {
    format!(
        "PUT /v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}\r\nContent-Type: \
         application/octet-stream\r\nContent-Length: {bytes}\r\n{more}\r\n",
        client.token()
    )
}

/// An upload that has begun, and goes on only when the test says so.
fn begun(daemon: &Daemon, client: &Client, name: &str) -> (Connection, String) {
    let id = client.queued(name);
    let mut connection = Connection::open(daemon.address());
    connection.send(head(client, &id, 4, "").as_bytes());
    connection.send(b"ab");
    eventually("the upload begins", || client.status(&id) == "saving");
    (connection, id)
}

#[test]
fn at_the_limit_an_upload_waits_without_touching_its_image_and_then_goes() {
    let daemon = Setup::default().option("max_uploads = 1").start();
    let admin = daemon.admin();
    let (mut first, _) = begun(&daemon, &admin, "first");
    let id = admin.queued("second");
    let mut second = Connection::open(daemon.address());
    second.send(head(&admin, &id, 4, "Expect: 100-continue\r\n").as_bytes());
    // Nobody asks for its data, and the image is as it was.
    assert!(second.is_silent(Duration::from_millis(400)));
    assert_eq!(admin.status(&id), "queued");
    first.send(b"cd");
    assert_eq!(first.answer().0.status, 204);
    assert_eq!(second.head().status, 100);
    second.send(b"abcd");
    assert_eq!(second.answer().0.status, 204);
    assert_eq!(admin.status(&id), "active");
}

#[test]
fn an_upload_whose_turn_does_not_come_gets_503_and_a_time_to_come_back() {
    let daemon = Setup::default()
        .option("max_uploads = 1\ntransfer_queue_timeout = 1s")
        .expect_log("uploads are refused")
        .start();
    let admin = daemon.admin();
    let (mut first, _) = begun(&daemon, &admin, "first");
    let id = admin.queued("second");
    let start = Instant::now();
    let answer = admin.upload(&id, b"abcd").expect_status(503);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(answer.header("Retry-After"), "1");
    assert!(
        answer
            .text()
            .contains("the server has as many uploads under way as it may"),
        "{}",
        answer.text()
    );
    assert_eq!(admin.status(&id), "queued");
    first.send(b"cd");
    assert_eq!(first.answer().0.status, 204);
    admin.upload(&id, b"abcd").expect_status(204);
}

#[test]
fn uploads_of_one_project_that_wait_do_not_delay_those_of_another() {
    let daemon = Setup::default().option("max_uploads = 1").start();
    let (a, b) = (member(&daemon, "physics"), member(&daemon, "chemistry"));
    let (mut first, _) = begun(&daemon, &a, "first");
    let (done, order) = mpsc::channel();
    let mut waiting = Vec::new();
    for (client, project) in [(&a, "a"), (&a, "a"), (&a, "a"), (&a, "a"), (&a, "a"), (&b, "b")] {
        let id = client.queued("waits");
        let mut connection = Connection::open(daemon.address());
        connection.send(head(client, &id, 4, "Expect: 100-continue\r\n").as_bytes());
        // In this order, and all of them before the first one ends.
        assert!(connection.is_silent(Duration::from_millis(300)));
        let done = done.clone();
        waiting.push(thread::spawn(move || {
            assert_eq!(connection.head().status, 100);
            done.send(project).unwrap();
            connection.send(b"abcd");
            assert_eq!(connection.answer().0.status, 204);
        }));
    }
    first.send(b"cd");
    assert_eq!(first.answer().0.status, 204);
    waiting.into_iter().for_each(|thread| thread.join().unwrap());
    let order: Vec<_> = order.try_iter().collect();
    assert_eq!(order, ["b", "a", "a", "a", "a", "a"]);
}

#[test]
fn a_limit_of_each_project_is_no_other_projects() {
    let daemon = Setup::default()
        .option("max_uploads_per_project = 1\ntransfer_queue_timeout = 0s")
        .expect_log("uploads are refused")
        .start();
    let (a, b) = (member(&daemon, "physics"), member(&daemon, "chemistry"));
    let (_first, _) = begun(&daemon, &a, "first");
    let id = a.queued("second");
    let answer = a.upload(&id, b"abcd").expect_status(503);
    assert!(
        answer
            .text()
            .contains("your project has as many uploads under way as it may"),
        "{}",
        answer.text()
    );
    b.active("of another", b"abcd");
}

#[test]
fn a_client_that_goes_away_while_it_waits_leaves_the_line() {
    let daemon = Setup::default()
        .option("max_uploads = 1\ntransfer_queue_length = 1")
        .expect_log("uploads are refused")
        .start();
    let admin = daemon.admin();
    let (mut first, _) = begun(&daemon, &admin, "first");
    let id = admin.queued("leaves");
    let mut leaves = Connection::open(daemon.address());
    // With a part of its data on its way already.
    leaves.send(head(&admin, &id, 1000, "").as_bytes());
    leaves.send(b"something");
    assert!(leaves.is_silent(Duration::from_millis(300)));
    let full = admin.queued("finds the line full");
    admin.upload(&full, b"abcd").expect_status(503);
    drop(leaves);
    // There is room in the line again: who comes now waits, and is not refused.
    thread::sleep(Duration::from_secs(2));
    let mut next = Connection::open(daemon.address());
    next.send(head(&admin, &full, 4, "").as_bytes());
    next.send(b"abcd");
    assert!(next.is_silent(Duration::from_millis(300)));
    first.send(b"cd");
    assert_eq!(first.answer().0.status, 204);
    assert_eq!(next.answer().0.status, 204);
    assert_eq!(admin.status(&id), "queued");
}

#[test]
fn a_download_holds_its_place_to_its_last_byte_and_small_ones_need_none() {
    let daemon = Setup::default()
        .option("max_downloads = 1\ntransfer_queue_timeout = 1s")
        .expect_log("downloads are refused")
        .start();
    let admin = daemon.admin();
    let (large, small) = (
        admin.active("large", &vec![7; LARGE]),
        admin.active("small", b"abcd"),
    );
    let get = |id: &str| {
        let mut connection = Connection::open(daemon.address());
        let token = admin.token();
        connection.send(
            format!("GET /v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        );
        connection
    };
    let mut slow = get(&large);
    assert_eq!(slow.head().status, 200);
    let answer = admin.download(&large).expect_status(503);
    assert_eq!(answer.header("Retry-After"), "1");
    assert!(answer.text().contains("downloads under way"), "{}", answer.text());
    assert_eq!(admin.download(&small).expect_status(200).body, b"abcd");
    let path = format!("/v2/images/{large}/file");
    let range = [("Range", "bytes=0-1048575")];
    let part = admin.request("GET", &path, &range, Body::None);
    assert_eq!(part.expect_status(206).body.len(), 1 << 20);
    assert_eq!(slow.rest().len(), LARGE);
    assert_eq!(admin.download(&large).expect_status(200).body.len(), LARGE);
}

#[test]
fn hundreds_of_clients_that_stand_still_hold_nobody_up() {
    let daemon = Setup::default().option("transfer_memory = 8MiB").start();
    let (a, b) = (member(&daemon, "physics"), member(&daemon, "chemistry"));
    let large = b.active("large", &vec![7; LARGE]);
    let before = resident(&daemon);
    let mut still = Vec::new();
    for number in 0..200 {
        let id = a.queued("stands still");
        let mut connection = Connection::open(daemon.address());
        connection.send(head(&a, &id, 1 << 20, "").as_bytes());
        // Some have sent more than a buffer.
        connection.send(&vec![7; if number % 4 == 0 { 300 << 10 } else { 10 }]);
        still.push(connection);
    }
    let own = a.active("read slowly", &vec![7; LARGE]);
    for _ in 0..100 {
        let mut connection = Connection::open(daemon.address());
        let token = a.token();
        connection.send(
            format!("GET /v2/images/{own}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n\r\n")
                .as_bytes(),
        );
        assert_eq!(connection.head().status, 200);
        still.push(connection);
    }
    let start = Instant::now();
    let id = b.queued("goes through");
    b.upload(&id, &vec![9; LARGE]).expect_status(204);
    assert_eq!(b.download(&large).expect_status(200).body.len(), LARGE);
    assert!(
        start.elapsed() < Duration::from_secs(40),
        "took {:?}",
        start.elapsed()
    );
    let grown = resident(&daemon).saturating_sub(before);
    println!(
        "resident: {before} KiB before, {grown} KiB more with {} that stand still",
        still.len()
    );
    // An upload may have the buffer of its connection, and a frame as long: 512 KiB. What downloads hold is bounded for all of
    // them, also where files cannot be sent without reading them.
    assert!(grown < (200 / 2 + 64 + 100 / 8) << 10, "{grown} KiB");
}

/// The memory of the daemon's process, in KiB.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

/// Measures, and says so: `cargo test --test integration -- --ignored --nocapture connections_and_what`.
#[test]
#[ignore = "measures: 2,000 connections need more open files than some systems allow"]
fn connections_and_what_they_take() {
    let daemon = Setup::default().option("request_header_timeout = 10m").start();
    let admin = daemon.admin();
    let measure = |what: &str, connections: u64, before: u64| {
        thread::sleep(Duration::from_secs(1));
        let now = resident(&daemon);
        println!("{what}: {} KiB each", now.saturating_sub(before) / connections);
        now
    };
    let token = format!("X-Auth-Token: {}\r\n", admin.token());
    // The pool of buffers is full and the threads are there before anything is measured.
    admin.active("first", &vec![7; LARGE]);
    let mut now = resident(&daemon);
    println!("start: {now} KiB");
    let mut uploaded = Vec::new();
    for _ in 0..200 {
        let id = admin.queued("uploaded");
        let mut connection = Connection::open(daemon.address());
        connection.send(head(&admin, &id, 2 << 20, "").as_bytes());
        connection.send(&vec![7; 2 << 20]);
        assert_eq!(connection.answer().0.status, 204);
        uploaded.push(connection);
    }
    now = measure("idle after a fast upload", 200, now);
    let mut open = Vec::new();
    for _ in 0..2000 {
        let mut connection = Connection::open(daemon.address());
        connection.send(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n");
        connection.answer();
        open.push(connection);
    }
    now = measure("idle after a request", 2000, now);
    for connection in &mut open {
        connection.send(format!("POST /v2/images HTTP/1.1\r\nHost: x\r\n{token}X-Long: ").as_bytes());
        connection.send(&vec![b'x'; 100 << 10]);
    }
    measure("within a head of 100 KiB", 2000, now);
}
