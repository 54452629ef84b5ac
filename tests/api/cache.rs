//! The image cache before a bucket of a real S3 server.

use crate::{
    clients::{bare, client},
    harness::{Body, Bucket, Client, Payload, Proxy, Setup, SmallDisk, eventually, names, run, saccade},
};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path, process::Command, thread};

/// One part, and more than the last mebibyte, which readers have to wait for.
const LEN: usize = 3_000_000;

/// Images in the bucket, a cache in this directory.
fn setup(bucket: &Bucket, at: SocketAddr, cache: &Path) -> Setup {
    let text = format!(
        "[DEFAULT]\nenabled_backends = cold:s3\nimage_cache_dir = {}\nimage_cache_max_size = 100000000\n\
         worker_self_reference_url = http://this-node:9292\n[paste_deploy]\nflavor = cachemanagement\n\
         [glance_store]\ndefault_backend = cold\n[cold]\n{}",
        cache.display(),
        bucket.options(at)
    );
    Setup::default().option("identity = local").glance(&text)
}

fn put(api: &Client, bytes: &[u8]) -> String {
    let id = api.queued("x");
    let body = Body::Sized("application/octet-stream", bytes);
    let path = format!("/v2/images/{id}/file");
    api.request("PUT", &path, &[], body).expect_status(204);
    id
}

fn cached(api: &Client) -> Vec<Value> {
    let state = api.get("/v2/cache").expect_status(200).json();
    state["cached_images"].as_array().unwrap().clone()
}

/// How often the object was asked for.
fn reads(proxy: &Proxy, bucket: &Bucket, id: &str) -> usize {
    proxy.count(&format!("GET /{}/{id}", bucket.name()))
}

fn files(cache: &Path, directory: &str) -> Vec<String> {
    names(&cache.join("saccade-cache").join(directory))
}

#[test]
fn two_hundred_readers_cost_a_bucket_one_read_of_an_image() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    let proxy = Proxy::http(bucket.address());
    let mut daemon = setup(&bucket, proxy.address(), place.path()).start();
    let admin = daemon.admin();
    let bytes = Payload::bytes(21, LEN);
    let id = put(&admin, &bytes);
    thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| assert!(admin.download(&id).expect_status(200).body == bytes));
        }
    });
    eventually("the image is cached", || cached(&admin).len() == 1);
    assert!(admin.download(&id).expect_status(200).body == bytes);
    let path = format!("/v2/images/{id}/file");
    let part = admin.request("GET", &path, &[("Range", "bytes=100-199")], Body::None);
    assert!(part.expect_status(206).body == bytes[100..200]);
    assert_eq!(reads(&proxy, &bucket, &id), 1);

    // As it was after a stop, and after a kill.
    daemon.stop();
    daemon.start();
    let admin = daemon.admin();
    let shown = cached(&admin);
    assert_eq!(shown[0]["image_id"], id.as_str());
    assert!(shown[0]["hits"].as_u64().unwrap() >= 2, "{shown:?}");
    daemon.kill();
    daemon.start();
    let admin = daemon.admin();
    assert!(admin.download(&id).expect_status(200).body == bytes);
    assert_eq!(reads(&proxy, &bucket, &id), 1);
    let nodes = admin
        .get(&format!("/v2/cache/nodes/{id}"))
        .expect_status(200)
        .json();
    assert_eq!(nodes, json!(["http://this-node:9292"]));

    admin.delete(&format!("/v2/images/{id}")).expect_status(204);
    assert_eq!(cached(&admin), Vec::<Value>::new());
    eventually("its file is removed", || files(place.path(), "data").is_empty());
    daemon.stop();
}

#[test]
fn killed_while_it_fills_the_cache_it_starts_clean() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    fs::create_dir(place.path().join("queue")).unwrap();
    fs::write(place.path().join("queue/of-glance"), "stays").unwrap();
    let mut daemon = setup(&bucket, bucket.address(), place.path()).start();
    let admin = daemon.admin();
    let bytes = Payload::bytes(22, 60_000_000);
    let id = put(&admin, &bytes);
    for _ in 0..3 {
        let admin = daemon.admin();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let path = format!("/v2/images/{id}/file");
                // It breaks off, or has come to its end before.
                let _ = admin.try_request("GET", &path, &[], Body::None);
            });
            eventually("it is being filled, or was", || {
                !files(place.path(), "incomplete").is_empty() || !files(place.path(), "data").is_empty()
            });
            daemon.kill();
            reader.join().unwrap();
        });
        daemon.start();
        assert_eq!(files(place.path(), "incomplete"), Vec::<String>::new());
        let admin = daemon.admin();
        assert_eq!(files(place.path(), "data").len(), cached(&admin).len());
        assert!(admin.download(&id).expect_status(200).body == bytes);
        eventually("the image is cached", || cached(&admin).len() == 1);
        admin.delete("/v2/cache").expect_status(204);
        eventually("it is cached no more", || files(place.path(), "data").is_empty());
    }
    let of_glance = fs::read_to_string(place.path().join("queue/of-glance")).unwrap();
    assert_eq!(of_glance, "stays");
    daemon.stop();
}

#[test]
fn the_stock_client_manages_the_cache() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    let mut daemon = setup(&bucket, bucket.address(), place.path()).start();
    let admin = daemon.admin();
    let glance = |words: &[&str]| {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#". "$0" && exec "$@" <&-"#])
            .arg(daemon.data_dir().join("openrc"))
            .arg(client("glance"))
            .args(words);
        run(bare(&mut command, &daemon)).success()
    };
    let bytes = Payload::bytes(23, 1000);
    let id = put(&admin, &bytes);
    glance(&["cache-queue", &id]);
    eventually("the image is cached", || cached(&admin).len() == 1);
    let listed = glance(&["cache-list"]);
    assert!(listed.contains(&id) && listed.contains("cached"), "{listed}");
    let saved = daemon.scratch().join("saved");
    glance(&["image-download", "--file", saved.to_str().unwrap(), &id]);
    assert!(fs::read(&saved).unwrap() == bytes);
    glance(&["cache-delete", &id]);
    assert_eq!(cached(&admin), Vec::<Value>::new());
    glance(&["cache-queue", &id]);
    eventually("the image is cached again", || cached(&admin).len() == 1);
    glance(&["cache-clear", "--target", "cache"]);
    assert_eq!(cached(&admin), Vec::<Value>::new());
    daemon.stop();
}

#[test]
fn a_full_disk_under_the_cache_is_no_readers_trouble() {
    let bucket = Bucket::new();
    // The least that can be reserved, and room for one image.
    let disk = SmallDisk::of_mib(24);
    let mut daemon = disk
        .setup(setup(&bucket, bucket.address(), &disk.path()))
        .option("free_space_reserve = 16MiB")
        .expect_log("image cache: an image is not cached, so that free_space_reserve stays free there")
        .start();
    let admin = daemon.admin();
    let small = Payload::bytes(24, LEN);
    let large = Payload::bytes(25, 20_000_000);
    let (small_id, large_id) = (put(&admin, &small), put(&admin, &large));
    for _ in 0..2 {
        assert!(admin.download(&large_id).expect_status(200).body == large);
        assert!(admin.download(&small_id).expect_status(200).body == small);
    }
    eventually("what fits is cached", || cached(&admin).len() == 1);
    assert_eq!(cached(&admin)[0]["image_id"], small_id.as_str());
    daemon.stop();
}

#[test]
fn a_disk_in_trouble_at_the_start_costs_the_cache_and_no_more() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    // Nobody can open it as a file.
    fs::create_dir_all(place.path().join("saccade-cache/lock")).unwrap();
    let mut daemon = setup(&bucket, bucket.address(), place.path())
        .expect_log("there is no image cache until the next start")
        .start();
    let admin = daemon.admin();
    let bytes = Payload::bytes(26, LEN);
    let id = put(&admin, &bytes);
    assert!(admin.download(&id).expect_status(200).body == bytes);
    admin.get("/v2/cache").expect_status(404);
    daemon.stop();
}

#[test]
fn a_cache_that_cannot_be_used_stops_the_start() {
    let (bucket, place) = (Bucket::new(), tempfile::tempdir().unwrap());
    let file = place.path().join("a-file");
    fs::write(&file, "").unwrap();
    let mut daemon = setup(&bucket, bucket.address(), place.path()).start();
    let refused = |cache: &Path| {
        let configuration = place.path().join("other.conf");
        let text = format!(
            "[DEFAULT]\nimage_cache_dir = {}\n[saccade]\nidentity = local\nmetrics_bind = none\n",
            cache.display()
        );
        fs::write(&configuration, text).unwrap();
        let data_dir = place.path().join("other");
        let paths = [&configuration, &data_dir].map(|path| path.to_str().unwrap());
        let [configuration, data_dir] = paths;
        let words = [
            "serve",
            "--config-file",
            configuration,
            "--data-dir",
            data_dir,
            "--bind",
            "127.0.0.1:0",
        ];
        saccade(&words).failure()
    };
    let said = refused(&file);
    assert!(said.contains("image_cache_dir: cannot create"), "{said}");
    let said = refused(place.path());
    assert!(said.contains("is in use by another saccade"), "{said}");
    daemon.stop();
}
