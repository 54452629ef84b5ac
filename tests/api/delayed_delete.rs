use crate::harness::{Daemon, Setup, eventually};
use serde_json::json;

/// A daemon that keeps deleted images for so many seconds.
fn keeping(seconds: u32) -> Daemon {
    Setup::default()
        .option("identity = local")
        .glance_api(&format!(
            "[DEFAULT]\ndelayed_delete = true\nscrub_time = {seconds}\n\
             [glance_store]\nfilesystem_store_datadir = @ROOT@/data/images\n"
        ))
        .start()
}

#[test]
fn a_deleted_image_survives_a_kill_and_is_restored_with_and_without_a_daemon() {
    let mut daemon = keeping(3600);
    let api = daemon.admin();
    let id = api.active("kept", b"bytes");
    let path = format!("/v2/images/{id}");
    api.patch(&path, &json!([{"op": "add", "path": "/p", "value": "v"}]))
        .expect_status(200);
    api.delete(&path).expect_status(204);
    daemon.kill();
    daemon.start();

    let api = daemon.admin();
    assert_eq!(api.get(&path).status, 404);
    assert_eq!(api.list_names(""), Vec::<String>::new());
    let again = json!({"id": id, "name": "again"});
    assert_eq!(api.post("/v2/images", &again).status, 409);
    assert!(daemon.stored().contains(&id));
    let told = daemon.saccade(&["restore", &id]).success();
    assert_eq!(told, format!("{id}: restored, active\n"));
    assert_eq!(api.download(&id).expect_status(200).body, b"bytes");
    assert_eq!(api.show(&id)["p"], "v");
    let told = daemon.saccade(&["restore", &id]).failure();
    assert!(told.contains("cannot restore the image from active"), "{told}");

    api.delete(&path).expect_status(204);
    daemon.stop();
    daemon.saccade(&["restore", &id]).success();
    daemon.start();
    let api = daemon.admin();
    assert_eq!(api.download(&id).expect_status(200).body, b"bytes");
    let nobodys = "d0000000-0000-4000-8000-000000000000";
    let told = daemon.saccade(&["restore", nobodys]).failure();
    assert!(told.contains("No image found"), "{told}");
}

#[test]
fn a_deleted_image_is_scrubbed_after_its_time_whatever_happened_in_between() {
    let mut daemon = keeping(2);
    let api = daemon.admin();
    let (id, kept) = (api.active("gone", b"bytes"), api.active("kept", b"bytes"));
    api.delete(&format!("/v2/images/{id}")).expect_status(204);
    assert!(daemon.stored().contains(&id));
    daemon.kill();
    daemon.start();
    eventually("the data is deleted", || !daemon.stored().contains(&id));
    assert!(daemon.stored().contains(&kept));
    let told = daemon.saccade(&["restore", &id]).failure();
    assert!(told.contains("cannot restore the image from deleted"), "{told}");
    assert_eq!(daemon.admin().download(&kept).expect_status(200).body, b"bytes");
}
