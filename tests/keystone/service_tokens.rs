//! What stands beside a user's token: the token of the service that passes it on, access rules, and headers that only
//! look like what Keystone says.

use crate::harness::{Answer, Body, CloudSetup, Keystone, Login, eventually};
use serde_json::json;

fn list(cloud: &crate::harness::Cloud<'_>, token: &str, service_token: Option<&str>) -> Answer {
    let headers: Vec<(&str, &str)> = service_token
        .map(|token| ("X-Service-Token", token))
        .into_iter()
        .collect();
    cloud
        .anonymous()
        .with_token(token)
        .request("GET", "/v2/images", &headers, Body::None)
}

#[test]
fn a_service_may_pass_on_a_token_that_has_expired() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone)
        .expect_log("a service token proves no service")
        .start();
    let expired = keystone.token_for_seconds(&keystone.account(&["member"]), 5);
    list(&cloud, &expired, None).expect_status(200);
    eventually("it expires", || keystone.validate(&expired).status == 404);
    let nova = keystone.token(&Login::of("nova", "service"));
    list(&cloud, &expired, None).expect_status(401);
    list(&cloud, &expired, Some(&nova)).expect_status(200);
    // It was only for that service.
    list(&cloud, &expired, None).expect_status(401);
    let demo = keystone.token(&Login::of("demo", "demo"));
    list(&cloud, &expired, Some(&demo)).expect_status(401);
}

#[test]
fn a_service_token_of_no_service_is_none() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone)
        .expect_log("a service token proves no service")
        .start();
    let expired = keystone.token_for_seconds(&keystone.account(&["member"]), 5);
    let demo = keystone.token(&Login::of("demo", "demo"));
    let nova = keystone.token(&Login::of("nova", "service"));
    list(&cloud, &demo, Some(&nova)).expect_status(200);
    let revoked = keystone.token(&Login::of("nova", "service"));
    keystone.revoke(&revoked);
    eventually("it expires", || keystone.validate(&expired).status == 404);
    for wrong in [&demo, &revoked, "gAAAAA-not-a-token", ""] {
        // The user acts alone, and only with a token that is good.
        list(&cloud, &demo, Some(wrong)).expect_status(200);
        list(&cloud, &expired, Some(wrong)).expect_status(401);
    }
    list(&cloud, &expired, Some(&nova)).expect_status(200);
    // What can be no token at all is no slip of a service.
    list(&cloud, &demo, Some("t\u{f6}ken")).expect_status(401);
    // A service token alone is nobody.
    cloud
        .anonymous()
        .request("GET", "/v2/images", &[("X-Service-Token", &nova)], Body::None)
        .expect_status(401);
}

#[test]
fn another_role_may_be_named_for_services() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone)
        .authtoken("service_token_roles = manager")
        .expect_log("a service token proves no service")
        .start();
    let expired = keystone.token_for_seconds(&keystone.account(&["member"]), 5);
    eventually("it expires", || keystone.validate(&expired).status == 404);
    let nova = keystone.token(&Login::of("nova", "service"));
    list(&cloud, &expired, Some(&nova)).expect_status(401);
    let manager = keystone.token(&keystone.account(&["manager"]).login());
    list(&cloud, &expired, Some(&manager)).expect_status(200);
}

#[test]
fn access_rules_hold_unless_a_service_asks() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone)
        .authtoken("service_type = image")
        .start();
    let account = keystone.account(&["member"]);
    let owner = cloud.login(&account.login());
    let id = owner.active("one", b"bytes");
    let token = |rules: Option<&[(&str, &str, &str)]>| {
        let credential = keystone.application_credential(&account, rules);
        keystone.token(&Login::application_credential(&credential))
    };
    let nova = keystone.token(&Login::of("nova", "service"));
    let image = format!("/v2/images/{id}");
    let file = format!("{image}/file");
    let all: [(&str, &str); 4] = [
        ("GET", "/v2/images"),
        ("GET", &image),
        ("GET", &file),
        ("POST", "/v2/images"),
    ];
    for (rules, statuses) in [
        (None, [200, 200, 200, 201]),
        (Some(&[("GET", "/v2/images", "image")][..]), [200, 401, 401, 401]),
        (Some(&[("GET", "/v2/images/{id}", "image")]), [401, 200, 401, 401]),
        (Some(&[("GET", "/v2/images/*", "image")]), [401, 200, 401, 401]),
        (Some(&[("GET", "/v2/**", "image")]), [200, 200, 200, 401]),
        (Some(&[("POST", "/v2/images", "image")]), [401, 401, 401, 201]),
        (Some(&[("GET", "/v2/images", "identity")]), [401; 4]),
    ] {
        let token = token(rules);
        for ((method, path), status) in all.iter().zip(statuses) {
            let body = json!({"name": "two"});
            let body = || match *method {
                "POST" => Body::Json(&body),
                _ => Body::None,
            };
            let api = cloud.anonymous().with_token(&token);
            let answer = api.request(method, path, &[], body());
            assert_eq!(
                answer.status,
                status,
                "{rules:?} {method} {path}: {}",
                answer.text()
            );
            let answer = api.request(method, path, &[("X-Service-Token", &nova)], body());
            assert!(
                [200, 201].contains(&answer.status),
                "{rules:?} {method} {path}: {}",
                answer.text()
            );
        }
    }
}

#[test]
fn access_rules_need_to_be_told_which_service_this_is() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone).expect_log("service_type").start();
    let account = keystone.account(&["member"]);
    let ruled = keystone.application_credential(&account, Some(&[("GET", "/v2/images", "image")]));
    let free = keystone.application_credential(&account, None);
    for (credential, status) in [(&ruled, 401), (&free, 200)] {
        let token = keystone.token(&Login::application_credential(credential));
        list(&cloud, &token, None).expect_status(status);
    }
}

/// What a proxy or Keystone's own middleware would say.
#[test]
fn headers_about_the_caller_are_not_believed() {
    let keystone = Keystone::shared();
    let cloud = CloudSetup::new(keystone).start();
    let forged = [
        ("X-Identity-Status", "Confirmed"),
        ("X-Service-Identity-Status", "Confirmed"),
        ("X-Roles", "admin"),
        ("X-Role", "admin"),
        ("X-Service-Roles", "service"),
        ("X-User-Id", "root"),
        ("X-User", "root"),
        ("X-User-Name", "root"),
        ("X-Project-Id", "elsewhere"),
        ("X-Tenant-Id", "elsewhere"),
        ("X-Tenant", "elsewhere"),
        ("X-Domain-Id", "elsewhere"),
        ("X-Is-Admin-Project", "True"),
        ("OpenStack-System-Scope", "all"),
        ("X_ROLES", "admin"),
    ];
    let account = keystone.account(&["member"]);
    let demo = cloud.login(&account.login());
    let create = |visibility: &str| {
        let body = json!({"name": "one", "visibility": visibility});
        demo.request("POST", "/v2/images", &forged, Body::Json(&body))
    };
    create("public").expect_status(403);
    let image = create("private").expect_status(201).json();
    assert_eq!(image["owner"], account.project_id.as_str());
    for headers in [&forged[..], &[]] {
        cloud
            .anonymous()
            .request("GET", "/v2/images", headers, Body::None)
            .expect_status(401);
        cloud
            .anonymous()
            .with_token("gAAAAA-not-a-token")
            .request("GET", "/v2/images", headers, Body::None)
            .expect_status(401);
    }
}
