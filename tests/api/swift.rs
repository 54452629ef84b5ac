//! Images in a container of a real Swift, and of Ceph's gateway, beside files.

use crate::{
    clients::{bare, client},
    harness::{
        Body, Client, Container, Daemon, Fault, Payload, Proxy, Setup, SwiftServer, eventually, names, run,
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

/// glance_store's MB, in which segments are measured.
const MB: usize = 1_024_000;

/// Seven segments, of which the last is short.
const LARGE: usize = 7_000_000;

const SERVERS: [SwiftServer; 2] = [SwiftServer::OpenStack, SwiftServer::Rgw];

/// Stores of files (the default), and of objects at this address.
fn setup(container: &Container, at: SocketAddr, files: &Path) -> Setup {
    with(files, &container.options(at))
}

/// The same, with these options of the store of objects.
fn with(files: &Path, options: &str) -> Setup {
    let text = format!(
        "[DEFAULT]\nenabled_backends = local:file, deep:swift\nshow_multiple_locations = true\n\
         show_image_direct_url = true\n[glance_store]\ndefault_backend = local\n\
         [local]\nfilesystem_store_datadir = {}\nweight = 5\n\
         [deep]\nstore_description = far and wide\nweight = 9\n{options}",
        files.display(),
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

/// The key of the configuration is nowhere in what the daemon says.
fn no_secret(daemon: &Daemon, container: &Container) {
    let log = daemon.log().join("\n");
    let (user, key) = container.credentials();
    assert!(
        !log.contains(&format!("{user}:{key}")) && !log.contains(key),
        "{log}"
    );
}

#[test]
fn the_stock_clients_keep_images_in_a_container() {
    for server in SERVERS {
        let (container, place) = (Container::new(server), tempfile::tempdir().unwrap());
        let mut daemon = setup(&container, container.address(), place.path()).start();
        let admin = daemon.admin();
        let (file, saved) = (daemon.scratch().join("disk.raw"), daemon.scratch().join("saved"));
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
        // One object; and a manifest with seven segments.
        for (length, objects) in [(1000, 1), (LARGE, 8)] {
            let bytes = Payload::bytes(3, length);
            fs::write(&file, &bytes).unwrap();
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
                "deep",
                "--file",
                &path(&file),
            ]);
            let listed = admin.get("/v2/images?name=kept").expect_status(200).json();
            let id = listed["images"][0]["id"].as_str().unwrap().to_owned();
            let shown = admin.show(&id);
            assert_eq!(
                (&shown["status"], &shown["stores"]),
                (&json!("active"), &json!("deep"))
            );
            assert_eq!(shown["os_hash_value"], sha512(&bytes));
            let found = container.inventory();
            assert_eq!(found.len(), objects, "{found:?}");
            assert_eq!(found[0], id);
            assert!(
                found[1..].iter().all(|name| name.starts_with(&format!("{id}."))),
                "{found:?}"
            );
            assert_eq!(names(place.path()), Vec::<String>::new());
            stock(&["glance", "image-download", "--file", &path(&saved), &id]);
            assert!(fs::read(&saved).unwrap() == bytes);
            stock(&["openstack", "image", "delete", &id]);
            assert_eq!(container.inventory(), Vec::<String>::new());
        }
        no_secret(&daemon, &container);
        daemon.stop();
    }
}

#[test]
fn ranges_and_whole_images_are_read_from_a_container() {
    for server in SERVERS {
        let (container, place) = (Container::new(server), tempfile::tempdir().unwrap());
        let mut daemon = setup(&container, container.address(), place.path()).start();
        let admin = daemon.admin();
        for length in [1, 1000, LARGE] {
            let bytes = Payload::bytes(5, length);
            let (id, status) = put(&admin, "deep", &bytes);
            assert_eq!(status, 204);
            assert!(admin.download(&id).expect_status(200).body == bytes);
            let last = length - 1;
            let mut ranges = vec![(0, 0), (last, last), (last / 2, last)];
            if length == LARGE {
                // At, before and behind where segments meet.
                ranges.extend([(MB - 1, MB), (MB, MB), (MB - 1, 3 * MB), (2 * MB, 2 * MB + 9)]);
            }
            for (first, end) in ranges {
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
        assert_eq!(container.inventory(), Vec::<String>::new());
        daemon.stop();
    }
}

#[test]
fn administrators_are_told_what_glance_tells_of_a_container() {
    let container = Container::new(SwiftServer::OpenStack);
    let place = tempfile::tempdir().unwrap();
    let mut daemon = setup(&container, container.address(), place.path()).start();
    let detail = daemon.admin().get("/v2/info/stores/detail").expect_status(200);
    let deep: Value = detail.json()["stores"][1].clone();
    assert_eq!(
        deep,
        json!({
            "id": "deep", "description": "far and wide", "type": "swift", "weight": 9,
            "properties": {
                "container": container.name(),
                "large_object_size": MB,
                "large_object_chunk_size": MB,
            },
        })
    );
    daemon.stop();
}

#[test]
fn an_account_of_the_file_of_references_is_used_and_its_container_made() {
    let container = Container::missing(SwiftServer::OpenStack);
    let place = tempfile::tempdir().unwrap();
    let (user, key) = container.credentials();
    let references = place.path().join("swift.conf");
    let text = format!(
        "[theirs]\nuser = other:one\nkey = x\nauth_address = http://127.0.0.1:9\n\
         [ours]\nuser = {user}\nkey = {key}\nauth_version = 1\nauth_address = {}\n",
        container.auth(container.address())
    );
    fs::write(&references, text).unwrap();
    let files = place.path().join("files");
    let options = format!(
        "swift_store_config_file = {}\ndefault_swift_reference = ours\nswift_store_container = {}\n\
         swift_store_create_container_on_put = true\n",
        references.display(),
        container.name()
    );
    let mut daemon = with(&files, &options).start();
    let admin = daemon.admin();
    let bytes = Payload::bytes(4, LARGE);
    let (id, status) = put(&admin, "deep", &bytes);
    assert_eq!(status, 204);
    assert!(admin.download(&id).expect_status(200).body == bytes);
    let shown = admin.show(&id);
    let url = format!("swift+config://ours/{}/{id}", container.name());
    assert_eq!(shown["locations"][0]["url"], url);
    assert_eq!(shown["direct_url"], url);
    admin.delete(&format!("/v2/images/{id}")).expect_status(204);
    assert_eq!(container.inventory(), Vec::<String>::new());
    no_secret(&daemon, &container);
    daemon.stop();
}

#[test]
fn a_location_with_a_key_in_it_is_taken_and_never_shown_with_it() {
    let container = Container::new(SwiftServer::OpenStack);
    let place = tempfile::tempdir().unwrap();
    let mut daemon = setup(&container, container.address(), place.path()).start();
    let admin = daemon.admin();
    let id = admin.queued("x");
    container.plant(&id);
    let (user, key) = container.credentials();
    let at = |credentials: &str| {
        let auth = container.auth(container.address());
        let (_, auth) = auth.split_once("://").unwrap();
        format!("swift+http://{credentials}{auth}/{}/{id}", container.name())
    };
    let add = |url: &str| {
        let value = json!({"url": url, "metadata": {}});
        admin.patch(
            &format!("/v2/images/{id}"),
            &json!([{"op": "add", "path": "/locations/-", "value": value}]),
        )
    };
    let user = user.replace(':', "%3A");
    // Whoever does not know the key names nothing in the account.
    for refused in [
        at(""),
        at(&format!("{user}:guessed@")),
        format!("swift+config://ref1/{}/{id}", container.name()),
    ] {
        assert_ne!(add(&refused).status, 200, "{refused}");
        assert_eq!(admin.status(&id), "queued");
    }
    let answer = add(&at(&format!("{user}:{key}@"))).expect_status(200);
    assert!(!answer.text().contains(key), "{}", answer.text());
    let shown = admin.get(&format!("/v2/images/{id}")).expect_status(200);
    assert!(!shown.text().contains(key), "{}", shown.text());
    let shown = shown.json();
    assert_eq!(
        (&shown["status"], &shown["stores"]),
        (&json!("active"), &json!("deep"))
    );
    let url = format!("swift+config://ref1/{}/{id}", container.name());
    assert_eq!(shown["locations"][0]["url"], url);
    assert_eq!(admin.download(&id).expect_status(200).body, b"planted");
    admin.delete(&format!("/v2/images/{id}")).expect_status(204);
    assert_eq!(container.inventory(), Vec::<String>::new());
    no_secret(&daemon, &container);
    daemon.stop();
}

#[test]
fn a_server_that_does_not_answer_stops_only_what_needs_it_and_nothing_is_lost() {
    let container = Container::new(SwiftServer::OpenStack);
    let place = tempfile::tempdir().unwrap();
    let proxy = Proxy::http(container.address());
    proxy.set(Fault::Refuse);
    let mut daemon = expecting_outages(setup(&container, proxy.address(), place.path())).start();
    let admin = daemon.admin();
    let bytes = Payload::bytes(7, LARGE);
    let (refused, status) = put(&admin, "deep", &bytes);
    assert_eq!((status, admin.status(&refused).as_str()), (503, "queued"));
    let (local, status) = put(&admin, "local", &bytes);
    assert_eq!(status, 204);
    admin.delete(&format!("/v2/images/{local}")).expect_status(204);

    proxy.set(Fault::None);
    let (deep, status) = put(&admin, "deep", &bytes);
    assert_eq!(status, 204);

    proxy.set(Fault::Refuse);
    admin.download(&deep).expect_status(503);
    admin.delete(&format!("/v2/images/{deep}")).expect_status(503);
    assert_eq!(admin.status(&deep), "active");
    daemon.kill();
    daemon.start();

    proxy.set(Fault::None);
    let admin = daemon.admin();
    assert!(admin.download(&deep).expect_status(200).body == bytes);
    for id in [&deep, &refused] {
        admin.delete(&format!("/v2/images/{id}")).expect_status(204);
    }
    // What could not be settled before the server went is tried again after a pause.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !container.inventory().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", container.inventory());
        thread::sleep(Duration::from_millis(100));
    }
    no_secret(&daemon, &container);
    daemon.stop();
}

#[test]
fn an_upload_that_was_killed_is_cleared_up_once_the_server_answers_again() {
    let container = Container::new(SwiftServer::OpenStack);
    let place = tempfile::tempdir().unwrap();
    container.plant("somebody-elses");
    let proxy = Proxy::http(container.address());
    let mut daemon = expecting_outages(setup(&container, proxy.address(), place.path())).start();
    let api = daemon.admin();
    let id = api.queued("x");
    thread::scope(|scope| {
        let (api, id) = (api.clone(), id.clone());
        scope.spawn(move || {
            // It never ends.
            let mut source = Endless;
            let body = Body::Chunked("application/octet-stream", &mut source);
            let path = format!("/v2/images/{id}/file");
            let _ = api.try_request("PUT", &path, &[("X-Image-Meta-Store", "deep")], body);
        });
        eventually("segments are sent", || container.inventory().len() > 3);
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
    assert_eq!(container.inventory(), ["somebody-elses"]);
    let bytes = Payload::bytes(8, 1000);
    let body = Body::Sized("application/octet-stream", &bytes);
    let path = format!("/v2/images/{id}/file");
    api.request("PUT", &path, &[("X-Image-Meta-Store", "deep")], body)
        .expect_status(204);
    assert!(api.download(&id).expect_status(200).body == bytes);
    daemon.stop();
}

/// Some megabytes a second, for ever.
struct Endless;

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        thread::sleep(Duration::from_millis(5));
        let length = buffer.len().min(64 << 10);
        buffer[..length].fill(7);
        Ok(length)
    }
}
