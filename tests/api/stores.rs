//! Several stores: where data goes, where it is read from, and what clients are told of it.

use crate::harness::{Body, Client, Daemon, Setup, names};
use serde_json::json;
use std::{fs, path::PathBuf};

/// Three stores with directories of their own, the second the default, the last for what web servers have.
fn daemon() -> (Daemon, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    let (fast, big) = (place.path().join("fast"), place.path().join("big"));
    for directory in [&fast, &big] {
        fs::create_dir(directory).unwrap();
    }
    let text = format!(
        "[DEFAULT]\nenabled_backends = fast:file, big:file, web:http\n[glance_store]\ndefault_backend = big\n\
         [fast]\nfilesystem_store_datadir = {}\nstore_description = small and quick\nweight = 5\n\
         [big]\nfilesystem_store_datadir = {}\n[web]\nstore_description = what others serve\n",
        fast.display(),
        big.display()
    );
    (
        Setup::default().option("identity = local").glance(&text).start(),
        place,
    )
}

fn upload_to(api: &Client, store: Option<&str>, bytes: &[u8]) -> (String, u16, String) {
    let id = api.queued("image");
    let headers: Vec<(&str, &str)> = store.iter().map(|store| ("X-Image-Meta-Store", *store)).collect();
    let body = Body::Sized("application/octet-stream", bytes);
    let answer = api.request("PUT", &format!("/v2/images/{id}/file"), &headers, body);
    (id, answer.status, answer.text())
}

#[test]
fn data_goes_to_the_store_that_the_client_names_or_to_the_default_one() {
    let (mut daemon, place) = daemon();
    let admin = daemon.admin();
    let in_store = |store: &str| -> Vec<String> { names(&PathBuf::from(place.path()).join(store)) };
    let (default, status, text) = upload_to(&admin, None, b"in the big one");
    assert_eq!(status, 204, "{text}");
    let (chosen, status, text) = upload_to(&admin, Some("fast"), b"in the quick one");
    assert_eq!(status, 204, "{text}");
    assert!(in_store("big").contains(&default) && in_store("fast").contains(&chosen));
    assert_eq!(admin.show(&default)["stores"], "big");
    assert_eq!(admin.show(&chosen)["stores"], "fast");
    assert_eq!(
        admin.download(&chosen).expect_status(200).body,
        b"in the quick one"
    );
    let preferred = admin.get(&format!("/v2/images/{chosen}/file?prefer=big"));
    assert_eq!(
        preferred.expect_status(200).body,
        b"in the quick one",
        "the others come after"
    );
    for (store, part) in [("nowhere", "there are fast, big, web"), ("web", "read only")] {
        let (id, status, text) = upload_to(&admin, Some(store), b"x");
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(part), "{text}");
        assert_eq!(admin.status(&id), "queued");
    }
    admin.delete(&format!("/v2/images/{chosen}")).expect_status(204);
    assert!(!in_store("fast").contains(&chosen));
    daemon.stop();
}

#[test]
fn clients_are_told_which_stores_there_are() {
    let (mut daemon, _place) = daemon();
    let admin = daemon.admin();
    let stores = admin.get("/v2/info/stores").expect_status(200).json();
    assert_eq!(
        stores["stores"],
        json!([
            {"id": "fast", "description": "small and quick"},
            {"id": "big", "default": "true"},
            {"id": "web", "description": "what others serve", "read-only": "true"},
        ])
    );
    let detail = admin.get("/v2/info/stores/detail").expect_status(200).json();
    assert_eq!(detail["stores"][0]["weight"], 5);
    assert_eq!(detail["stores"][2]["type"], "http");
    let created = admin.post("/v2/images", &json!({"name": "x"})).expect_status(201);
    assert_eq!(created.header("OpenStack-image-store-ids"), "fast,big,web");
    daemon.stop();
}
