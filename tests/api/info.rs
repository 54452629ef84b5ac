use crate::harness::{Daemon, Setup};
use serde_json::json;

#[test]
fn no_import_method_is_offered_that_is_not_there() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let info = admin.get("/v2/info/import").expect_status(200).json();
    assert_eq!(info["import-methods"]["type"], "array");
    assert_eq!(
        info["import-methods"]["value"],
        json!(["glance-direct", "web-download", "copy-image"])
    );
    let created = admin.post("/v2/images", &json!({})).expect_status(201);
    assert_eq!(
        created.header("OpenStack-image-import-methods"),
        "glance-direct,web-download,copy-image"
    );
}

#[test]
fn a_store_without_id_is_not_spoken_of() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    admin.get("/v2/info/stores").expect_status(404);
    admin.get("/v2/info/stores/detail").expect_status(404);
    assert_eq!(
        admin.get("/v2/info/usage").expect_status(200).json(),
        json!({"usage": {}})
    );
    daemon.anonymous().get("/v2/info/usage").expect_status(401);
}

#[test]
fn a_store_with_an_id_is_described() {
    let place = tempfile::tempdir().unwrap();
    let datadir = place.path().join("fast");
    std::fs::create_dir(&datadir).unwrap();
    let daemon = Setup::default()
        .option("identity = local")
        .glance("[DEFAULT]\nenabled_backends = fast:file\n[glance_store]\ndefault_backend = fast\n[fast]")
        .glance(&format!("filesystem_store_datadir = {}", datadir.display()))
        .glance("store_description = quick\nweight = 7")
        .start();
    let admin = daemon.admin();
    assert_eq!(
        admin.get("/v2/info/stores").expect_status(200).json(),
        json!({"stores": [{"id": "fast", "description": "quick", "default": "true"}]})
    );
    let detail = admin.get("/v2/info/stores/detail").expect_status(200).json();
    assert_eq!(
        detail["stores"][0],
        json!({
            "id": "fast", "description": "quick", "default": "true", "type": "file", "weight": 7,
            "properties": {"data_dir": datadir, "thin_provisioning": false},
        })
    );
    super::identity::add_project(&daemon, "red");
    let red = super::identity::add_user(&daemon, "rita", "red", "member");
    red.get("/v2/info/stores").expect_status(200);
    red.get("/v2/info/stores/detail").expect_status(403);
}
