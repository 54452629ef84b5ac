//! Images that come from another region of the same cloud, with their users' own tokens.

use crate::{
    api::image_import_faults::{download_size, imported},
    harness::{Body, Cloud, CloudSetup, Fault, Keystone, Payload, Proxy, eventually, names},
};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// A daemon in one region, one in another, and a proxy before the first, which the catalogue names.
struct Regions {
    there: Cloud<'static>,
    here: Cloud<'static>,
    proxy: Proxy,
    /// The first one's.
    name: String,
}

impl Regions {
    fn start() -> Self {
        let keystone = Keystone::shared();
        let there = CloudSetup::new(keystone).start();
        let proxy = Proxy::http(there.address());
        let name = keystone.image_region(&format!("http://{}", proxy.address()));
        let here = CloudSetup::new(keystone)
            .glance("[DEFAULT]\nenabled_import_methods = [glance-download]\n")
            .start();
        Self {
            there,
            here,
            proxy,
            name,
        }
    }

    fn wanted(&self, id: &str) -> Value {
        let region = self.name.to_uppercase();
        json!({"method": {"name": "glance-download", "glance_region": region, "glance_image_id": id,
            "glance_service_interface": "internal"}})
    }
}

/// Whether any file below a directory has these bytes.
fn is_written(directory: &Path, bytes: &[u8]) -> bool {
    names(directory).iter().any(|name| {
        let path = directory.join(name);
        if path.is_dir() {
            return is_written(&path, bytes);
        }
        let text = fs::read(&path).unwrap_or_default();
        text.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn an_image_comes_from_another_region_whose_connections_break() {
    let regions = Regions::start();
    let size = download_size();
    let there = regions.there.user("demo", "demo");
    let original = there.create(&json!({
        "name": "theirs", "disk_format": "raw", "container_format": "bare", "hw_disk_bus": "scsi",
        "colour": "red", "min_ram": 4,
    }));
    let original = original["id"].as_str().unwrap();
    let body = &mut Payload::new(5, usize::try_from(size).unwrap());
    let body = Body::Chunked("application/octet-stream", body);
    there
        .request("PUT", &format!("/v2/images/{original}/file"), &[], body)
        .expect_status(204);

    let here = regions.here.user("demo", "demo");
    let methods = here.get("/v2/info/import").expect_status(200).json();
    assert_eq!(methods["import-methods"]["value"], json!(["glance-download"]));
    let image = here.create(&json!({"disk_format": "iso", "container_format": "ovf"}));
    let id = image["id"].as_str().unwrap();
    let after = usize::try_from(size / 21).unwrap();
    regions.proxy.set(Fault::Cut { after, times: 20 });
    here.post(&format!("/v2/images/{id}/import"), &regions.wanted(original))
        .expect_status(202);
    let took = imported(&here, id);
    let image = here.show(id);
    let theirs = there.show(original);
    assert_eq!(image["status"], "active", "{image}");
    for same in [
        "size",
        "checksum",
        "os_hash_value",
        "disk_format",
        "container_format",
        "hw_disk_bus",
    ] {
        assert_eq!(image[same], theirs[same], "{same}");
    }
    assert_eq!((image.get("colour"), &image["min_ram"]), (None, &json!(0)));
    let fetched = regions.proxy.passed();
    println!(
        "glance-download: {size} bytes in {took:?}, {} connections broke, {fetched} bytes fetched",
        regions.proxy.cuts()
    );
    assert_eq!(regions.proxy.cuts(), 20);
    assert!(fetched <= size + size / 10, "{fetched} of {size}");

    let token = here.token();
    for head in regions.proxy.requests() {
        let line = format!("x-auth-token: {}", token.to_lowercase());
        assert!(head.to_lowercase().contains(&line), "asked without the token");
    }
    for daemon in [&regions.here, &regions.there] {
        assert!(daemon.log().iter().all(|line| !line.contains(token)));
        assert!(!is_written(&daemon.data_dir(), token.as_bytes()));
    }
    // The task is written, so that a token in it would have been found.
    assert!(is_written(&regions.here.data_dir(), original.as_bytes()));
}

#[test]
fn a_download_from_another_region_that_is_killed_leaves_the_image_queued() {
    let Regions {
        there,
        here,
        proxy,
        name,
    } = Regions::start();
    let bytes = Payload::bytes(6, 8 << 20);
    let original = there.user("demo", "demo").active("theirs", &bytes);
    let login = here.user("demo", "demo");
    let id = login.queued("ours");
    proxy.set(Fault::Stall { after: 4 << 20 });
    let method =
        json!({"method": {"name": "glance-download", "glance_region": name, "glance_image_id": original}});
    login
        .post(&format!("/v2/images/{id}/import"), &method)
        .expect_status(202);
    eventually("half of it is there", || proxy.passed() >= 4 << 20);
    assert_eq!(login.status(&id), "importing");
    let token = login.token().to_owned();
    let mut here = here.into_daemon();
    here.kill();
    here.start();
    let api = here.anonymous().with_token(&token);
    eventually("the image is queued again", || api.status(&id) == "queued");
    let task = || {
        let tasks = api.get(&format!("/v2/images/{id}/tasks")).expect_status(200);
        tasks.json()["tasks"][0].clone()
    };
    eventually("the task has failed", || task()["status"] == "failure");
    assert!(task()["message"].as_str().unwrap().contains("stopped"));
    proxy.set(Fault::None);
    api.post(&format!("/v2/images/{id}/import"), &method)
        .expect_status(202);
    eventually("the image is active", || api.status(&id) == "active");
    assert_eq!(api.download(&id).expect_status(200).body, bytes);
}

#[test]
fn an_image_that_its_user_may_not_see_there_does_not_come() {
    let regions = Regions::start();
    let original = regions
        .there
        .user("alt_demo", "alt_demo")
        .active("theirs", b"data");
    let api = regions.here.user("demo", "demo");
    let id = api.queued("ours");
    api.post(&format!("/v2/images/{id}/import"), &regions.wanted(&original))
        .expect_status(202);
    eventually("the import has failed", || api.status(&id) == "queued");
    let tasks = api.get(&format!("/v2/images/{id}/tasks"));
    let message = tasks.expect_status(200).json()["tasks"][0]["message"].clone();
    assert!(message.as_str().unwrap().contains("has no image"), "{message}");
}
