use super::identity::{add_project, add_user};
use crate::harness::{Body, Client, Daemon};
use serde_json::json;

fn act(api: &Client, id: &str, action: &str) -> u16 {
    let path = format!("/v2/images/{id}/actions/{action}");
    api.request("POST", &path, &[], Body::None).status
}

#[test]
fn the_data_of_a_deactivated_image_is_for_administrators() {
    let mut daemon = Daemon::fresh();
    add_project(&daemon, "red");
    let red = add_user(&daemon, "rita", "red", "member");
    let reader = add_user(&daemon, "rob", "red", "reader");
    let id = red.active("red's", b"bytes");
    assert_eq!(act(&reader, &id, "deactivate"), 403);
    assert_eq!(act(&red, &id, "deactivate"), 204);
    assert_eq!(act(&red, &id, "deactivate"), 204);
    daemon.kill();
    daemon.start();

    let (admin, red) = (daemon.admin(), add_user(&daemon, "rosa", "red", "member"));
    assert_eq!(red.status(&id), "deactivated");
    let refused = red.download(&id);
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("deactivated"), "{}", refused.text());
    assert_eq!(admin.download(&id).expect_status(200).body, b"bytes");
    assert_eq!(red.list_names("status=deactivated"), ["red's"]);
    assert_eq!(red.upload(&id, b"other").status, 409);
    let renamed = json!([{"op": "replace", "path": "/name", "value": "renamed"}]);
    red.patch(&format!("/v2/images/{id}"), &renamed)
        .expect_status(200);

    assert_eq!(act(&red, &id, "reactivate"), 204);
    assert_eq!(red.download(&id).expect_status(200).body, b"bytes");
    assert_eq!(act(&red, &id, "deactivate"), 204);
    red.delete(&format!("/v2/images/{id}")).expect_status(204);
    assert_eq!(act(&red, &id, "reactivate"), 404);
}

#[test]
fn an_image_without_data_is_neither_deactivated_nor_reactivated() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("empty");
    assert_eq!(act(&admin, &id, "deactivate"), 403);
    assert_eq!(act(&admin, &id, "reactivate"), 403);
    assert_eq!(admin.status(&id), "queued");
    admin.upload(&id, b"bytes").expect_status(204);
    assert_eq!(
        act(&admin, "d0000000-0000-4000-8000-000000000000", "deactivate"),
        404
    );
    let path = format!("/v2/images/{id}/actions/deactivate");
    assert_eq!(admin.post(&path, &json!({})).status, 400);
    let other_method = admin.get(&path);
    assert_eq!((other_method.status, other_method.header("Allow")), (405, "POST"));
}
