//! Imports of large images over connections that break, and of every way with the daemon killed in the middle.
//!
//! `DOWNLOAD_MIB=2048` asks for an image of that size, `CRASHES=50` for that many kills of each way, instead of what every run
//! of the tests has time for.

use crate::{
    crash::{crashes, random, seed},
    harness::{Body, Client, Daemon, Fault, Proxy, Setup, WebServer, eventually, names},
};
use serde_json::{Value, json};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// In bytes.
pub(crate) fn download_size() -> u64 {
    let mib: u64 = std::env::var("DOWNLOAD_MIB").map_or(64, |text| text.parse().expect("a number of MiB"));
    mib << 20
}

/// Waits for the end of an import of a large image, and returns how long it took.
pub(crate) fn imported(api: &Client, id: &str) -> Duration {
    let begun = Instant::now();
    while api.status(id) == "importing" {
        assert!(
            begun.elapsed() < Duration::from_secs(600),
            "the import does not end"
        );
        thread::sleep(Duration::from_millis(100));
    }
    begun.elapsed()
}

/// With these lines of `[DEFAULT]` and after.
fn open_to_this_machine(lines: &str) -> Setup {
    Setup::default().option("identity = local").glance(&format!(
        "[import_filtering_opts]\nallowed_hosts = 127.0.0.1\nallowed_ports =\n\
         [DEFAULT]\nenabled_import_methods = [glance-direct,web-download,copy-image,glance-download]\n{lines}"
    ))
}

#[test]
fn a_download_whose_connection_breaks_twenty_times_fetches_each_byte_once() {
    let size = download_size();
    let web = WebServer::with(size);
    let proxy = Proxy::http(web.address());
    let daemon = open_to_this_machine("").start();
    let api = daemon.admin();
    let id = api.queued("x");
    let after = usize::try_from(size / 21).unwrap();
    proxy.set(Fault::Cut { after, times: 20 });
    let uri = format!("http://{}/image", proxy.address());
    let method = json!({"method": {"name": "web-download", "uri": uri}});
    api.post(&format!("/v2/images/{id}/import"), &method)
        .expect_status(202);
    let took = imported(&api, &id);
    let image = api.show(&id);
    assert_eq!(
        (&image["status"], image["size"].as_u64()),
        (&json!("active"), Some(size))
    );
    assert_eq!(image["os_hash_value"], web.sha512());
    assert_eq!((proxy.cuts(), proxy.count("GET /image")), (20, 21));
    let fetched = proxy.passed();
    println!("web-download: {size} bytes in {took:?}, 20 connections broke, {fetched} bytes fetched");
    assert!(fetched <= size + size / 10, "{fetched} of {size}");
}

/// A way to import.
#[derive(Clone, Copy, Debug)]
enum Way {
    GlanceDirect,
    WebDownload,
    CopyImage,
    GlanceDownload,
    LegacyTask,
}

const WAYS: [Way; 5] = [
    Way::GlanceDirect,
    Way::WebDownload,
    Way::CopyImage,
    Way::GlanceDownload,
    Way::LegacyTask,
];

/// What a way needs, and the image that it is about.
struct Attempt {
    way: Way,
    id: Option<String>,
}

const SIZE: u64 = 12 << 20;

impl Attempt {
    fn prepare(way: Way, api: &Client, original: &str) -> Self {
        let id = match way {
            Way::LegacyTask => None,
            Way::CopyImage => Some(original.to_owned()),
            _ => Some(api.queued("x")),
        };
        Self { way, id }
    }

    /// Everything that the way asks for, as far as the daemon lives.
    fn ask(&mut self, api: &Client, web: &WebServer, original: &str) {
        let uri = format!("http://{}/image", web.address());
        let path = |id: &Option<String>| format!("/v2/images/{}", id.as_deref().unwrap());
        let method = match self.way {
            Way::GlanceDirect => {
                let bytes = vec![b'x'; usize::try_from(SIZE).unwrap()];
                let body = Body::Sized("application/octet-stream", &bytes);
                let staged = api.try_request("PUT", &format!("{}/stage", path(&self.id)), &[], body);
                if !staged.is_ok_and(|answer| answer.status == 204) {
                    return;
                }
                json!({"name": "glance-direct"})
            }
            Way::WebDownload => json!({"name": "web-download", "uri": uri}),
            Way::CopyImage => json!({"name": "copy-image"}),
            Way::GlanceDownload => {
                json!({"name": "glance-download", "glance_region": "regionone", "glance_image_id": original})
            }
            Way::LegacyTask => {
                let properties = json!({"name": "old", "disk_format": "raw", "container_format": "bare"});
                let input =
                    json!({"import_from": uri, "import_from_format": "raw", "image_properties": properties});
                let body = json!({"type": "import", "input": input});
                let _ = api.try_request("POST", "/v2/tasks", &[], Body::Json(&body));
                return;
            }
        };
        let mut body = json!({"method": method, "stores": ["one", "two"]});
        if let Way::CopyImage = self.way {
            body["stores"] = json!(["two"]);
        }
        let _ = api.try_request(
            "POST",
            &format!("{}/import", path(&self.id)),
            &[],
            Body::Json(&body),
        );
    }
}

fn images(api: &Client) -> Vec<Value> {
    api.list("limit=1000")
}

fn stores_of(image: &Value) -> Vec<&str> {
    let stores = image["stores"].as_str().unwrap_or_default();
    stores.split(',').filter(|store| !store.is_empty()).collect()
}

/// Everything that was begun has its end, and nothing is there that no image has.
fn settled(daemon: &Daemon, place: &Path, api: &Client, original: &str, seen: &mut [u64; 3]) {
    eventually("no image is between two states", || {
        images(api).iter().all(|image| {
            let status = image["status"].as_str().unwrap();
            ["active", "queued", "uploading"].contains(&status)
                && image.get("os_glance_import_task").is_none()
        })
    });
    eventually("every task has its end", || {
        let tasks = api.get("/v2/tasks?limit=1000").expect_status(200).json();
        let tasks = tasks["tasks"].as_array().unwrap().clone();
        tasks.iter().all(|task| task["status"] != "processing")
    });
    for image in images(api) {
        let (id, status) = (image["id"].as_str().unwrap(), image["status"].as_str().unwrap());
        seen[["active", "queued", "uploading"]
            .iter()
            .position(|known| *known == status)
            .unwrap()] += 1;
        let tasks = api
            .get(&format!("/v2/images/{id}/tasks"))
            .expect_status(200)
            .json();
        for task in tasks["tasks"].as_array().unwrap() {
            let end = if status == "active" { "success" } else { "failure" };
            assert!(id == original || task["status"] == end, "{image} {task}");
        }
        if status == "active" {
            assert!(!stores_of(&image).is_empty(), "{image}");
            let bytes = api.download(id).expect_status(200).body;
            assert_eq!(
                image["os_hash_value"],
                crate::harness::sha512(&bytes).as_str(),
                "{image}"
            );
        } else {
            assert_eq!(
                image.get("stores").and_then(Value::as_str).unwrap_or_default(),
                ""
            );
            assert_eq!(image["disk_format"], "raw");
        }
    }
    for store in ["one", "two"] {
        eventually("the stores have what the records say", || {
            let mut wanted: Vec<String> = (images(api).iter())
                .filter(|image| stores_of(image).contains(&store))
                .map(|image| image["id"].as_str().unwrap().to_owned())
                .collect();
            wanted.sort();
            names(&place.join(store)) == wanted
        });
    }
    eventually("only what waits is staged", || {
        let waiting = images(api)
            .iter()
            .filter(|image| image["status"] == "uploading")
            .count();
        // What waits keeps the name beside its own by which it can be undone.
        names(&daemon.data_dir().join("staging")).len() == 2 * waiting
    });
}

#[test]
fn an_import_of_any_way_that_is_killed_at_any_time_has_an_end_and_leaves_nothing() {
    let mut state = seed();
    let place = tempfile::tempdir().unwrap();
    let web = WebServer::with(SIZE);
    let mut daemon = open_to_this_machine(&format!(
        "enabled_backends = one:file, two:file\n[glance_store]\ndefault_backend = one\n\
             [one]\nfilesystem_store_datadir = {0}/one\n[two]\nfilesystem_store_datadir = {0}/two\n",
        place.path().display()
    ))
    .start();
    let bytes = vec![b'y'; usize::try_from(SIZE).unwrap()];
    let mut kills = 0;
    let mut seen = [0; 3];
    for way in WAYS {
        for _ in 0..crashes(3) {
            let api = daemon.admin();
            let original = api.active("original", &bytes);
            let mut attempt = Attempt::prepare(way, &api, &original);
            // Of the whole time that it takes, request included.
            let delay = Duration::from_millis(random(&mut state, 1000));
            thread::scope(|scope| {
                scope.spawn(|| attempt.ask(&api, &web, &original));
                thread::sleep(delay);
                daemon.kill();
            });
            kills += 1;
            daemon.start();
            let api = daemon.admin();
            settled(&daemon, place.path(), &api, &original, &mut seen);
            for image in images(&api) {
                api.delete(&format!("/v2/images/{}", image["id"].as_str().unwrap()))
                    .expect_status(204);
            }
            eventually("no byte is left", || {
                ["one", "two"]
                    .iter()
                    .all(|store| names(&place.path().join(store)).is_empty())
                    && names(&daemon.data_dir().join("staging")).is_empty()
            });
        }
        println!("{way:?}: {kills} kills so far; active, queued, uploading afterwards: {seen:?}");
    }
}
