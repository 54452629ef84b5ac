//! Unified limits: a real Keystone keeps them, and a change holds from the next request.

use super::url;
use crate::harness::{Account, Client, Cloud, CloudSetup, Fault, Keystone, Proxy};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// A Keystone with limits, and who may ask for them.
struct Limited {
    keystone: Keystone,
    asking: Account,
    service: String,
}

impl Limited {
    fn new() -> Self {
        let keystone = Keystone::own();
        let asking = keystone.account(&["member"]);
        keystone.grant_on_system(&asking.user_id, "reader");
        let services = keystone
            .administrator()
            .get("/v3/services?type=image")
            .expect_status(200)
            .json();
        let service = services["services"][0]["id"].as_str().unwrap().to_owned();
        Self {
            keystone,
            asking,
            service,
        }
    }

    /// The limit of every project that has none of its own.
    fn register(&self, resource: &str, limit: i64) {
        let limit = json!({"registered_limits": [{"service_id": self.service, "region_id": "RegionOne",
            "resource_name": resource, "default_limit": limit}]});
        self.keystone
            .administrator()
            .post("/v3/registered_limits", &limit)
            .expect_status(201);
    }

    fn register_all(&self) {
        for resource in [
            "image_size_total",
            "image_stage_total",
            "image_count_total",
            "image_count_uploading",
        ] {
            self.register(resource, 10);
        }
    }

    /// A project's own limit; its id.
    fn limit(&self, project: &str, resource: &str, limit: i64) -> String {
        let limit = json!({"limits": [{"service_id": self.service, "region_id": "RegionOne", "project_id": project,
            "resource_name": resource, "resource_limit": limit}]});
        let made = self
            .keystone
            .administrator()
            .post("/v3/limits", &limit)
            .expect_status(201)
            .json();
        made["limits"][0]["id"].as_str().unwrap().to_owned()
    }

    fn change(&self, id: &str, limit: i64) {
        let body = json!({"limit": {"resource_limit": limit}});
        self.keystone.change(&format!("/v3/limits/{id}"), &body);
    }

    fn setup(&self, auth_url: &str) -> CloudSetup<'_> {
        CloudSetup::alone(&self.keystone).glance(&format!(
            "[DEFAULT]\nuse_keystone_limits = true\n[oslo_limit]\nauth_type = password\nauth_url = {auth_url}\n\
             username = {}\nuser_domain_name = Default\npassword = {}\nsystem_scope = all\n\
             endpoint_service_type = image\nendpoint_region_name = RegionOne\ntimeout = 3\nconnect_retries = 0\n",
            self.asking.user, self.asking.password
        ))
    }

    fn start(&self) -> Cloud<'_> {
        self.setup(&self.keystone.url()).start()
    }
}

fn formats(name: &str) -> Value {
    json!({"name": name, "disk_format": "raw", "container_format": "bare"})
}

fn try_create(client: &Client) -> u16 {
    client.post("/v2/images", &formats("i")).status
}

fn create(client: &Client) -> String {
    client.create(&formats("i"))["id"].as_str().unwrap().to_owned()
}

#[test]
fn the_number_of_images_follows_the_limit_of_the_project() {
    let limited = Limited::new();
    limited.register_all();
    let cloud = limited.start();
    let account = limited.keystone.account(&["member"]);
    let id = limited.limit(&account.project_id, "image_count_total", 1);
    let user = cloud.login(&account.login());
    let first = create(&user);
    let refused = user.post("/v2/images", &formats("second")).expect_status(413);
    let expected = format!(
        "Project {} is over a limit for [Resource image_count_total is over limit of 1 due to current usage 1 and delta 1]",
        account.project_id
    );
    assert!(refused.text().contains(&expected), "{}", refused.text());
    limited.change(&id, 2);
    create(&user);
    assert_eq!(try_create(&user), 413);
    user.delete(&format!("/v2/images/{first}")).expect_status(204);
    create(&user);
    // Another project has the registered limit.
    let other = cloud.login(&limited.keystone.account(&["member"]).login());
    for _ in 0..10 {
        create(&other);
    }
    assert_eq!(try_create(&other), 413);
}

#[test]
fn the_size_of_images_follows_the_limit_and_is_shown() {
    let limited = Limited::new();
    limited.register_all();
    let cloud = limited.start();
    let account = limited.keystone.account(&["member"]);
    let id = limited.limit(&account.project_id, "image_size_total", 1);
    let user = cloud.login(&account.login());
    let data = vec![7; MIB];
    user.upload(&create(&user), &data).expect_status(204);
    let second = create(&user);
    user.upload(&second, &data).expect_status(413);
    assert_eq!(user.status(&second), "queued");
    limited.change(&id, 2);
    user.upload(&second, &data).expect_status(204);
    let usage = user.get("/v2/info/usage").expect_status(200).json();
    assert_eq!(
        usage,
        json!({"usage": {
            "image_size_total": {"usage": 2, "limit": 2},
            "image_stage_total": {"usage": 0, "limit": 10},
            "image_count_total": {"usage": 2, "limit": 10},
            "image_count_uploading": {"usage": 0, "limit": 10},
        }})
    );
    assert_eq!(user.download(&second).body, data);
}

#[test]
fn limits_that_are_not_registered_let_nothing_in_and_are_told_of() {
    let limited = Limited::new();
    let cloud = limited
        .setup(&limited.keystone.url())
        .expect_log("no registered limit")
        .start();
    let user = cloud.user("demo", "demo");
    assert_eq!(try_create(&user), 413);
    limited.register("image_count_total", 1);
    create(&user);
}

#[test]
fn without_keystone_nothing_is_added_and_the_rest_goes_on() {
    let limited = Limited::new();
    limited.register_all();
    let proxy = Proxy::http(limited.keystone.address());
    let cloud = limited
        .setup(&url(&proxy))
        .expect_log("limits of the project cannot be asked for")
        .start();
    // The catalog names Keystone itself: only the login passes here.
    proxy.set(Fault::Refuse);
    let user = cloud.user("demo", "demo");
    let refused = user.post("/v2/images", &formats("i")).expect_status(503);
    assert!(
        refused.text().contains("Nothing was changed"),
        "{}",
        refused.text()
    );
    user.get("/v2/images").expect_status(200);
    proxy.set(Fault::None);
    crate::harness::eventually("images are made again", || try_create(&user) == 201);
}

#[test]
fn a_login_that_may_not_ask_is_the_operators_to_mend() {
    let limited = Limited::new();
    let cloud = limited
        .setup(&limited.keystone.url())
        .glance("[oslo_limit]\npassword = wrong\n")
        .expect_log("limits of the project")
        .start();
    let answer = cloud
        .user("demo", "demo")
        .post("/v2/images", &formats("i"))
        .expect_status(500);
    assert!(!answer.text().contains("wrong"), "{}", answer.text());
    super::is_logged(&cloud, "Keystone refuses the login of user");
}
