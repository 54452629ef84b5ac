use super::identity::{add_project, add_user};
use crate::harness::{Body, Client, Daemon, Setup};
use serde_json::{Value, json};
use std::thread;

/// Members of two projects, and the id of the second.
struct Sharing {
    red: Client,
    blue: Client,
    blue_id: String,
}

fn sharing(daemon: &Daemon) -> Sharing {
    for project in ["red", "blue"] {
        add_project(daemon, project);
    }
    let blue = add_user(daemon, "bea", "blue", "member");
    let own = blue.create(&json!({"name": "own"}));
    let own_path = own["self"].as_str().unwrap();
    blue.delete(own_path).expect_status(204);
    Sharing {
        red: add_user(daemon, "rita", "red", "member"),
        blue_id: own["owner"].as_str().unwrap().to_owned(),
        blue,
    }
}

fn add(api: &Client, id: &str, project: &str) -> u16 {
    let path = format!("/v2/images/{id}/members");
    api.post(&path, &json!({"member": project})).status
}

fn answer(api: &Client, id: &str, project: &str, status: &str) -> u16 {
    let path = format!("/v2/images/{id}/members/{project}");
    let body = json!({"status": status, "member": project});
    api.request("PUT", &path, &[], Body::Json(&body)).status
}

#[test]
fn a_shared_image_is_used_by_id_at_once_and_listed_when_accepted() {
    let daemon = Daemon::fresh();
    let Sharing { red, blue, blue_id } = sharing(&daemon);
    let id = red.active("red's", b"bytes");
    assert_eq!(blue.download(&id).status, 404);
    assert_eq!(add(&red, &id, &blue_id), 200);

    let listed = |status: &str| blue.list_names(&format!("visibility=shared&member_status={status}"));
    let none: [&str; 0] = [];
    for (now, others) in [
        ("pending", ["accepted", "rejected"]),
        ("accepted", ["pending", "rejected"]),
        ("rejected", ["pending", "accepted"]),
    ] {
        if now != "pending" {
            assert_eq!(answer(&blue, &id, &blue_id, now), 200);
        }
        assert_eq!(listed(now), ["red's"]);
        assert_eq!(listed("all"), ["red's"]);
        for other in others {
            assert_eq!(listed(other), none, "{now} {other}");
        }
        let by_default: &[&str] = if now == "accepted" { &["red's"] } else { &none };
        assert_eq!(blue.list_names(""), by_default, "{now}");
        assert_eq!(blue.download(&id).expect_status(200).body, b"bytes", "{now}");
        assert_eq!(red.list_names(""), ["red's"]);
    }
    assert_eq!(blue.get("/v2/images?member_status=other").status, 400);

    red.delete(&format!("/v2/images/{id}/members/{blue_id}"))
        .expect_status(204);
    assert_eq!(blue.download(&id).status, 404);
    assert_eq!(listed("all"), none);
}

#[test]
fn members_outlive_a_crash_and_do_not_touch_the_images_time() {
    let mut daemon = Daemon::fresh();
    let Sharing { red, blue, blue_id } = sharing(&daemon);
    let id = red.queued("red's");
    let before = red.show(&id);
    assert_eq!(add(&red, &id, &blue_id), 200);
    assert_eq!(answer(&blue, &id, &blue_id, "accepted"), 200);
    daemon.kill();
    daemon.start();
    let admin = daemon.admin();
    let members = admin.get(&format!("/v2/images/{id}/members")).json();
    assert_eq!(members["schema"], "/v2/schemas/members");
    let member: &Value = &members["members"][0];
    assert_eq!(
        (&member["member_id"], &member["image_id"], &member["status"]),
        (&json!(blue_id), &json!(id), &json!("accepted"))
    );
    assert_eq!(admin.show(&id)["updated_at"], before["updated_at"]);
}

#[test]
fn the_quota_of_members_holds_however_many_are_added_at_once() {
    let daemon = Setup::default()
        .option("identity = local")
        .glance("[DEFAULT]\nimage_member_quota = 5")
        .start();
    let admin = daemon.admin();
    let id = admin.queued("shared");
    let additions: Vec<_> = (0..16)
        .map(|number| {
            let (admin, id) = (admin.clone(), id.clone());
            thread::spawn(move || add(&admin, &id, &format!("project-{number}")))
        })
        .collect();
    let statuses: Vec<u16> = additions
        .into_iter()
        .map(|addition| addition.join().unwrap())
        .collect();
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(200), count(413)), (5, 11), "{statuses:?}");
    let members = admin.get(&format!("/v2/images/{id}/members")).json();
    assert_eq!(members["members"].as_array().unwrap().len(), 5);
}

#[test]
fn sharing_during_an_upload_does_not_fail_it() {
    let daemon = Daemon::fresh();
    let Sharing { red, blue, blue_id } = sharing(&daemon);
    let id = red.queued("red's");
    let (uploader, image) = (red.clone(), id.clone());
    let (sender, receiver) = std::sync::mpsc::channel::<Vec<u8>>();
    let upload = thread::spawn(move || {
        let mut body = Chunks {
            receiver,
            rest: Vec::new(),
        };
        let body = Body::Chunked("application/octet-stream", &mut body);
        uploader
            .request("PUT", &format!("/v2/images/{image}/file"), &[], body)
            .status
    });
    sender.send(b"first ".to_vec()).unwrap();
    while red.status(&id) != "saving" {
        thread::yield_now();
    }
    assert_eq!(add(&red, &id, &blue_id), 200);
    sender.send(b"second".to_vec()).unwrap();
    drop(sender);
    assert_eq!(upload.join().unwrap(), 204);
    assert_eq!(blue.download(&id).expect_status(200).body, b"first second");
}

/// A body that comes as it is sent.
struct Chunks {
    receiver: std::sync::mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl std::io::Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.receiver.recv().unwrap_or_default();
        }
        let length = self.rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(length)
    }
}
