//! Images in a bucket of a real S3 server, beside files and what web servers have.

use crate::{
    clients::{bare, client},
    harness::{
        Body, Bucket, Client, Connection, Daemon, Fault, Payload, Proxy, Setup, eventually, names, run,
        sha512,
    },
};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Two parts, of which the second is short.
const LARGE: usize = 7_000_000;

/// Stores of files (the default), of objects at this address, and of the web.
fn setup(bucket: &Bucket, at: SocketAddr, files: &Path) -> Setup {
    let text = format!(
        "[DEFAULT]\nenabled_backends = local:file, cold:s3, web:http\n[glance_store]\ndefault_backend = local\n\
         [local]\nfilesystem_store_datadir = {}\nweight = 5\n\
         [cold]\nstore_description = cheap\nweight = 9\n{}[web]\nstore_description = what others serve\n",
        files.display(),
        bucket.options(at)
    );
    Setup::default().option("identity = local").glance(&text)
}

/// What a store says that does not answer, and what is said of it.
fn expecting_outages(setup: Setup) -> Setup {
    [
        "the store cannot clear up after an upload yet",
        "a failed upload is not undone yet",
        "the bytes of a deleted image cannot be removed yet",
        "a store has failed a download",
        "a request failed",
    ]
    .into_iter()
    .fold(setup, Setup::expect_log)
}

fn put(api: &Client, store: &str, bytes: &[u8]) -> (String, u16) {
    let id = api.queued("x");
    let body = Body::Sized("application/octet-stream", bytes);
    let path = format!("/v2/images/{id}/file");
    let answer = api.request("PUT", &path, &[("X-Image-Meta-Store", store)], body);
    (id, answer.status)
}

/// An image that is in both stores.
fn in_both(api: &Client, bytes: &[u8]) -> String {
    let id = api.queued("both");
    let body = Body::Sized("application/octet-stream", bytes);
    api.request("PUT", &format!("/v2/images/{id}/stage"), &[], body)
        .expect_status(204);
    let import = json!({"method": {"name": "glance-direct"}, "stores": ["local", "cold"]});
    api.post(&format!("/v2/images/{id}/import"), &import)
        .expect_status(202);
    eventually("the image is imported", || api.status(&id) == "active");
    id
}

/// A secret of the configuration is nowhere in what the daemon says.
fn no_secret(daemon: &Daemon, bucket: &Bucket) {
    let log = daemon.log().join("\n");
    let (access_key, secret_key) = bucket.keys();
    assert!(!log.contains(access_key) && !log.contains(secret_key), "{log}");
}

#[test]
fn the_stock_clients_keep_images_in_a_bucket() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    let mut daemon = setup(&bucket, bucket.address(), place.path()).start();
    let admin = daemon.admin();
    let bytes = Payload::bytes(3, LARGE);
    let (file, saved) = (daemon.scratch().join("disk.raw"), daemon.scratch().join("saved"));
    fs::write(&file, &bytes).unwrap();
    let stock = |words: &[&str]| {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#". "$0" && exec "$@" <&-"#])
            .arg(daemon.data_dir().join("openrc"))
            .arg(client(words[0]))
            .args(&words[1..]);
        run(bare(&mut command, &daemon)).success()
    };
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    stock(&[
        "glance",
        "image-create",
        "--name",
        "kept",
        "--disk-format",
        "raw",
        "--container-format",
        "bare",
        "--store",
        "cold",
        "--file",
        &path(&file),
    ]);
    let listed = admin.get("/v2/images?name=kept").expect_status(200).json();
    let id = listed["images"][0]["id"].as_str().unwrap().to_owned();
    let shown = admin.show(&id);
    assert_eq!(
        (&shown["status"], &shown["stores"]),
        (&json!("active"), &json!("cold"))
    );
    assert_eq!(shown["os_hash_value"], sha512(&bytes));
    assert_eq!(bucket.inventory(), [id.as_str()]);
    assert_eq!(names(place.path()), Vec::<String>::new());
    stock(&["glance", "image-download", "--file", &path(&saved), &id]);
    assert!(fs::read(&saved).unwrap() == bytes);
    stock(&["openstack", "image", "delete", &id]);
    assert_eq!(bucket.inventory(), Vec::<String>::new());
    no_secret(&daemon, &bucket);
    daemon.stop();
}

#[test]
fn ranges_and_whole_images_are_read_from_a_bucket() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    let mut daemon = setup(&bucket, bucket.address(), place.path()).start();
    let admin = daemon.admin();
    for length in [1, 1000, LARGE] {
        let bytes = Payload::bytes(5, length);
        let (id, status) = put(&admin, "cold", &bytes);
        assert_eq!(status, 204);
        assert!(admin.download(&id).expect_status(200).body == bytes);
        let last = length - 1;
        for (first, end) in [(0, 0), (last, last), (last / 2, last)] {
            let range = format!("bytes={first}-{end}");
            let answer = admin.request(
                "GET",
                &format!("/v2/images/{id}/file"),
                &[("Range", &range)],
                Body::None,
            );
            assert_eq!(answer.status, 206);
            assert!(answer.body == bytes[first..=end], "{range} of {length}");
        }
        admin.delete(&format!("/v2/images/{id}")).expect_status(204);
        admin.download(&id).expect_status(404);
    }
    assert_eq!(bucket.inventory(), Vec::<String>::new());
    daemon.stop();
}

#[test]
fn administrators_are_told_what_glance_tells_of_a_bucket() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    let mut daemon = setup(&bucket, bucket.address(), place.path()).start();
    let detail = daemon.admin().get("/v2/info/stores/detail").expect_status(200);
    assert!(!detail.text().contains(bucket.keys().1));
    let cold: Value = detail.json()["stores"][1].clone();
    assert_eq!(
        cold,
        json!({
            "id": "cold", "description": "cheap", "type": "s3", "weight": 9,
            "properties": {
                "s3_store_large_object_size": 5 << 20,
                "s3_store_large_object_chunk_size": 5 << 20,
                "s3_store_thread_pools": 10,
            },
        })
    );
    daemon.stop();
}

#[test]
fn an_image_in_two_stores_is_removed_from_one() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    let mut daemon = setup(&bucket, bucket.address(), place.path()).start();
    let admin = daemon.admin();
    let bytes = Payload::bytes(6, LARGE);
    let id = in_both(&admin, &bytes);
    // The mark of the attempt goes after the record is active.
    eventually("only the image is left", || bucket.inventory() == [id.as_str()]);
    assert_eq!(names(place.path()), [id.as_str()]);
    assert_eq!(admin.show(&id)["stores"], "cold,local", "by falling weight");
    admin.delete(&format!("/v2/stores/cold/{id}")).expect_status(204);
    eventually("nothing is left", || bucket.inventory().is_empty());
    assert_eq!(admin.show(&id)["stores"], "local");
    admin.delete(&format!("/v2/stores/cold/{id}")).expect_status(403);
    admin.delete(&format!("/v2/stores/web/{id}")).expect_status(403);
    assert!(admin.download(&id).expect_status(200).body == bytes);
    daemon.stop();
}

#[test]
fn a_server_that_does_not_answer_stops_only_what_needs_it_and_nothing_is_lost() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    let proxy = Proxy::http(bucket.address());
    proxy.set(Fault::Refuse);
    let mut daemon = expecting_outages(setup(&bucket, proxy.address(), place.path())).start();
    let admin = daemon.admin();
    let bytes = Payload::bytes(7, LARGE);
    let (refused, status) = put(&admin, "cold", &bytes);
    assert_eq!((status, admin.status(&refused).as_str()), (503, "queued"));
    let (local, status) = put(&admin, "local", &bytes);
    assert_eq!(status, 204);
    admin.delete(&format!("/v2/images/{local}")).expect_status(204);

    proxy.set(Fault::None);
    let (cold, status) = put(&admin, "cold", &bytes);
    assert_eq!(status, 204);
    let both = in_both(&admin, &bytes);

    proxy.set(Fault::Refuse);
    admin.download(&cold).expect_status(503);
    admin.delete(&format!("/v2/images/{cold}")).expect_status(503);
    assert_eq!(admin.status(&cold), "active");
    // From the store of the smaller weight.
    assert!(admin.download(&both).expect_status(200).body == bytes);
    admin
        .delete(&format!("/v2/stores/cold/{both}"))
        .expect_status(503);
    daemon.kill();
    daemon.start();

    proxy.set(Fault::None);
    let admin = daemon.admin();
    assert!(admin.download(&cold).expect_status(200).body == bytes);
    for id in [&cold, &both, &refused] {
        admin.delete(&format!("/v2/images/{id}")).expect_status(204);
    }
    // What could not be settled before the server went is tried again after a pause.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !bucket.inventory().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", bucket.inventory());
        thread::sleep(Duration::from_millis(100));
    }
    no_secret(&daemon, &bucket);
    daemon.stop();
}

#[test]
fn a_download_goes_on_from_files_when_the_server_is_gone_in_the_middle_of_it() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    let proxy = Proxy::http(bucket.address());
    let mut daemon = expecting_outages(setup(&bucket, proxy.address(), place.path())).start();
    let admin = daemon.admin();
    // Much more than waits in the buffers of all connections on the way.
    let bytes = Payload::bytes(9, 32_000_000);
    let id = in_both(&admin, &bytes);
    let mut connection = Connection::open(daemon.address());
    let token = admin.token();
    let request = format!(
        "GET /v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nConnection: close\r\n\r\n"
    );
    connection.send(request.as_bytes());
    assert_eq!(connection.head().status, 200);
    proxy.set(Fault::Refuse);
    assert!(connection.rest() == bytes);
    let log = daemon.log();
    let said = |text: &str| {
        log.iter()
            .any(|line| line.contains(text) && line.contains("\"store\":"))
    };
    assert!(said("a store has failed a download") && said("the download goes on from another store"));
    proxy.set(Fault::None);
    admin.delete(&format!("/v2/images/{id}")).expect_status(204);
    assert_eq!(bucket.inventory(), Vec::<String>::new());
    daemon.stop();
}

#[test]
fn an_upload_that_was_killed_is_cleared_up_once_the_server_answers_again() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    bucket.plant("somebody-elses");
    let proxy = Proxy::http(bucket.address());
    let mut daemon = expecting_outages(setup(&bucket, proxy.address(), place.path())).start();
    let api = daemon.admin();
    let id = api.queued("x");
    thread::scope(|scope| {
        let (api, id) = (api.clone(), id.clone());
        scope.spawn(move || {
            // It never ends.
            let mut source = Endless;
            let body = Body::Chunked("application/octet-stream", &mut source);
            let path = format!("/v2/images/{id}/file");
            let _ = api.try_request("PUT", &path, &[("X-Image-Meta-Store", "cold")], body);
        });
        eventually("parts are sent", || bucket.inventory().len() > 2);
        proxy.set(Fault::Refuse);
        daemon.kill();
    });
    daemon.start();
    let api = daemon.admin();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(api.status(&id), "saving", "its bytes may be there still");
    api.delete("/v2/images/none").expect_status(404);
    proxy.set(Fault::None);
    let deadline = Instant::now() + Duration::from_secs(60);
    while api.status(&id) != "queued" {
        assert!(Instant::now() < deadline, "the upload is not undone");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(bucket.inventory(), ["somebody-elses"]);
    let bytes = Payload::bytes(8, 1000);
    let body = Body::Sized("application/octet-stream", &bytes);
    let path = format!("/v2/images/{id}/file");
    api.request("PUT", &path, &[("X-Image-Meta-Store", "cold")], body)
        .expect_status(204);
    assert!(api.download(&id).expect_status(200).body == bytes);
    daemon.stop();
}

/// A megabyte every tenth of a second, for ever.
struct Endless;

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        thread::sleep(Duration::from_millis(5));
        let length = buffer.len().min(64 << 10);
        buffer[..length].fill(7);
        Ok(length)
    }
}
