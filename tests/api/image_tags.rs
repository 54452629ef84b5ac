use crate::harness::{Body, Daemon};
use serde_json::json;

#[test]
fn tags_are_added_and_removed_one_by_one() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("tagged");
    let tag = |method: &str, tag: &str| {
        admin
            .request(method, &format!("/v2/images/{id}/tags/{tag}"), &[], Body::None)
            .status
    };
    assert_eq!(tag("PUT", "one"), 204);
    assert_eq!(tag("PUT", "one"), 204, "again is the same");
    assert_eq!(tag("PUT", "with%20space"), 204);
    let mut tags: Vec<String> = serde_json::from_value(admin.show(&id)["tags"].clone()).unwrap();
    tags.sort();
    assert_eq!(tags, ["one", "with space"]);
    assert_eq!(tag("DELETE", "one"), 204);
    assert_eq!(tag("DELETE", "one"), 404);
    assert_eq!(admin.show(&id)["tags"], json!(["with space"]));
}

#[test]
fn tags_that_cannot_be_are_refused() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("tagged");
    let put = |path: &str| admin.request("PUT", path, &[], Body::None).status;
    assert_eq!(put(&format!("/v2/images/{id}/tags/{}", "t".repeat(256))), 400);
    assert_eq!(put(&format!("/v2/images/{id}/tags/a%2Fb")), 404);
    assert_eq!(put("/v2/images/d0000000-0000-4000-8000-000000000000/tags/a"), 404);
    assert_eq!(admin.show(&id)["tags"], json!([]));
}
