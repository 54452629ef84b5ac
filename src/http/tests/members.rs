//! Members of images, and (de)activation, over HTTP.

use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::image::{Member, MemberStatus, Status, Timestamp, Visibility};

const MEMBER_READER: &str = "them:reader";
const OTHERS: &str = "others:reader,member";

/// An image of `us`, shared with `them`; the path of its members.
async fn shared(app: &App) -> String {
    let members = format!("{}/members", app.create(&json!({})).await);
    let added = app
        .json(Method::POST, &members, MEMBER, &json!({"member": "them"}))
        .await;
    assert_eq!(added.status, 200, "{added:?}");
    members
}

async fn answer(app: &App, path: &str, token: &str, body: &Value) -> u16 {
    app.json(Method::PUT, path, token, body).await.status.as_u16()
}

async fn status(app: &App, method: Method, path: &str, token: &str) -> u16 {
    app.send(request(method, path, token)).await.status.as_u16()
}

#[tokio::test]
async fn members_are_answered_as_glance_answers() {
    let app = App::new();
    let image = app.create(&json!({})).await;
    let members = format!("{image}/members");
    let empty = app.get(&members).await;
    assert_eq!(empty.text(), r#"{"members":[],"schema":"/v2/schemas/members"}"#);

    let body = json!({"member": "them", "status": "accepted", "p": 1});
    let added = app.json(Method::POST, &members, MEMBER, &body).await;
    assert_eq!(
        (added.status.as_u16(), added.header("content-type")),
        (200, Some("application/json"))
    );
    let member = added.json();
    let time = member["created_at"].as_str().unwrap();
    let id = image.strip_prefix("/v2/images/").unwrap();
    assert_eq!(
        added.text(),
        format!(
            r#"{{"member_id":"them","image_id":"{id}","status":"pending","created_at":"{time}","updated_at":"{time}","schema":"/v2/schemas/member"}}"#
        )
    );
    let one = format!("{members}/them");
    assert_eq!(app.get(&one).await.json(), member);
    assert_eq!(
        app.get(&members).await.json(),
        json!({"members": [member], "schema": "/v2/schemas/members"})
    );
    let accepted = app
        .json(Method::PUT, &one, STRANGER, &json!({"status": "accepted"}))
        .await;
    assert_eq!(
        (accepted.status.as_u16(), &accepted.json()["status"]),
        (200, &json!("accepted"))
    );
    let removed = app.call(Method::DELETE, &one).await;
    assert_eq!((removed.status.as_u16(), removed.body.len()), (204, 0));
    assert_eq!(app.get(&members).await.text(), empty.text());
}

#[tokio::test]
async fn the_owner_offers_and_takes_back_and_the_member_alone_answers() {
    let app = App::new();
    let members = shared(&app).await;
    let them = format!("{members}/them");
    let accept = json!({"status": "accepted"});
    // Nobody who sees neither image nor membership learns of them.
    assert_eq!(status(&app, Method::GET, &members, OTHERS).await, 404);
    assert_eq!(status(&app, Method::GET, &them, OTHERS).await, 404);
    assert_eq!(answer(&app, &them, OTHERS, &accept).await, 404);
    assert_eq!(status(&app, Method::DELETE, &them, OTHERS).await, 404);
    // The owner does not answer; the member does, and its readers do not.
    assert_eq!(answer(&app, &them, MEMBER, &accept).await, 403);
    assert_eq!(answer(&app, &them, MEMBER_READER, &accept).await, 403);
    assert_eq!(answer(&app, &them, STRANGER, &accept).await, 200);
    assert_eq!(
        answer(&app, &them, ADMIN, &json!({"status": "rejected"})).await,
        200
    );
    // A member neither shares on nor leaves.
    let add = json!({"member": "others"});
    let shared_on = app.json(Method::POST, &members, STRANGER, &add).await;
    assert_eq!(shared_on.status, 403);
    assert_eq!(status(&app, Method::DELETE, &them, STRANGER).await, 403);
    // The owner's readers look only.
    let by_reader = app.json(Method::POST, &members, READER, &add).await;
    assert_eq!(by_reader.status, 403);
    assert_eq!(status(&app, Method::GET, &members, READER).await, 200);
    assert_eq!(status(&app, Method::DELETE, &them, READER).await, 403);
    assert_eq!(status(&app, Method::DELETE, &them, ADMIN).await, 204);
    assert_eq!(status(&app, Method::DELETE, &them, MEMBER).await, 404);
    assert_eq!(answer(&app, &them, ADMIN, &accept).await, 404);
}

#[tokio::test]
async fn a_member_knows_of_itself_alone() {
    let app = App::new();
    let members = shared(&app).await;
    app.json(Method::POST, &members, MEMBER, &json!({"member": "others"}))
        .await;
    let seen = async |token: &str| -> Vec<String> {
        let listed = app.send(request(Method::GET, &members, token)).await.json();
        let listed = listed["members"].as_array().unwrap();
        let id = |member: &Value| member["member_id"].as_str().unwrap().to_owned();
        listed.iter().map(id).collect()
    };
    assert_eq!(seen(MEMBER).await, ["them", "others"]);
    assert_eq!(seen(ADMIN).await, ["them", "others"]);
    assert_eq!(seen(STRANGER).await, ["them"]);
    assert_eq!(seen(OTHERS).await, ["others"]);
    let others = format!("{members}/others");
    assert_eq!(status(&app, Method::GET, &others, STRANGER).await, 404);
    assert_eq!(
        answer(&app, &others, STRANGER, &json!({"status": "accepted"})).await,
        404
    );
    assert_eq!(status(&app, Method::DELETE, &others, STRANGER).await, 404);
}

#[tokio::test]
async fn only_shared_images_have_members() {
    let app = App::new();
    for visibility in [Visibility::Private, Visibility::Public, Visibility::Community] {
        let id = app.fixture.put(|image| {
            image.visibility = visibility;
            let at = Timestamp::now();
            let member = Member {
                status: MemberStatus::Pending,
                created_at: at,
                updated_at: at,
            };
            image.members.insert("them".to_owned(), member);
        });
        let members = format!("/v2/images/{}/members", id.await);
        let them = format!("{members}/them");
        let refused = app.get(&members).await;
        assert_eq!(refused.status, 403);
        assert!(refused.text().contains("'shared'"), "{refused:?}");
        let add = json!({"member": "a"});
        let added = app.json(Method::POST, &members, MEMBER, &add).await;
        assert_eq!(added.status, 403);
        assert_eq!(status(&app, Method::GET, &them, MEMBER).await, 404);
        assert_eq!(
            answer(&app, &them, ADMIN, &json!({"status": "accepted"})).await,
            403
        );
        assert_eq!(status(&app, Method::DELETE, &them, MEMBER).await, 403);
        let expected = if visibility == Visibility::Private {
            404
        } else {
            403
        };
        assert_eq!(status(&app, Method::GET, &members, STRANGER).await, expected);
    }
}

#[tokio::test]
async fn bodies_that_name_no_member_are_400() {
    let app = App::new();
    let members = shared(&app).await;
    let long = "m".repeat(256);
    for body in [
        json!({}),
        json!({"name": "them"}),
        json!({"member": ""}),
        json!({"member": null}),
        json!({"member": 5}),
        json!({"member": ["them"]}),
        json!({"member": long}),
        json!({"member": "\u{1f4be}"}),
        json!(["member"]),
        json!("member"),
    ] {
        let refused = app.json(Method::POST, &members, MEMBER, &body).await;
        assert_eq!(refused.status, 400, "{body}");
    }
    assert_eq!(app.call(Method::POST, &members).await.status, 400);
    let longest = json!({"member": "é".repeat(255)});
    assert_eq!(
        app.json(Method::POST, &members, MEMBER, &longest).await.status,
        200
    );
}

#[tokio::test]
async fn bodies_that_name_no_status_are_400_to_those_who_may_set_one() {
    let app = App::new();
    let them = format!("{}/them", shared(&app).await);
    for body in [json!({}), json!({"member": "them"}), json!(["accepted"])] {
        assert_eq!(answer(&app, &them, STRANGER, &body).await, 400, "{body}");
        assert_eq!(answer(&app, &them, MEMBER, &body).await, 400, "{body}");
    }
    for body in [
        json!({"status": "blocked"}),
        json!({"status": ""}),
        json!({"status": null}),
        json!({"status": 1}),
    ] {
        assert_eq!(answer(&app, &them, STRANGER, &body).await, 400, "{body}");
        assert_eq!(answer(&app, &them, MEMBER, &body).await, 403, "{body}");
    }
    assert_eq!(app.call(Method::PUT, &them).await.status, 400);
}

#[tokio::test]
async fn a_member_is_added_once_and_no_more_than_there_may_be() {
    let app = App::new();
    let members = shared(&app).await;
    let add = async |project: &str| {
        let body = json!({"member": project});
        app.json(Method::POST, &members, MEMBER, &body).await
    };
    let twice = add("them").await;
    assert_eq!(twice.status, 409);
    assert!(twice.text().contains("already shared"), "{twice:?}");
    let added = join_all((0..8).map(async |number| add(&format!("p{number}")).await.status.as_u16())).await;
    assert_eq!(added.iter().filter(|status| **status == 200).count(), 2);
    assert_eq!(added.iter().filter(|status| **status == 413).count(), 6);
    let full = add("them").await;
    assert_eq!(full.status, 413);
    assert!(full.text().contains("Attempted: 4, Maximum: 3"), "{full:?}");
}

#[tokio::test]
async fn an_image_is_deactivated_and_reactivated() {
    let app = App::new();
    let image = app.fixture.put(|image| image.status = Status::Active).await;
    let image = format!("/v2/images/{image}");
    let act = async |action: &str, token: &str| {
        status(&app, Method::POST, &format!("{image}/actions/{action}"), token).await
    };
    assert_eq!(act("deactivate", STRANGER).await, 404);
    assert_eq!(act("deactivate", READER).await, 403);
    for (action, expected) in [("deactivate", "deactivated"), ("reactivate", "active")] {
        for _ in 0..2 {
            assert_eq!(act(action, MEMBER).await, 204);
            assert_eq!(app.get(&image).await.json()["status"], expected);
        }
    }
    assert_eq!(act("deactivate", ADMIN).await, 204);
    assert_eq!(act("explode", MEMBER).await, 404);
    let renamed = json!([{"op": "replace", "path": "/name", "value": "n"}]);
    assert_eq!(app.patch(&image, MEMBER, &renamed).await.status, 200);
    assert_eq!(status(&app, Method::DELETE, &image, MEMBER).await, 204);
    assert_eq!(act("reactivate", MEMBER).await, 404);
}

#[tokio::test]
async fn images_without_data_are_neither_deactivated_nor_reactivated() {
    let app = App::new();
    for from in [Status::Queued, Status::Killed, Status::PendingDelete] {
        let id = app.fixture.put(|image| image.status = from).await;
        for action in ["deactivate", "reactivate"] {
            let path = format!("/v2/images/{id}/actions/{action}");
            let refused = app.call(Method::POST, &path).await;
            assert_eq!(refused.status, 403);
            let expected = format!("Not allowed to {action} image in status '{from}'");
            let text = refused.text().replace("&#x27;", "'").replace("&#39;", "'");
            assert!(text.contains(&expected), "{text}");
        }
    }
}
