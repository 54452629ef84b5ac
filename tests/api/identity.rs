//! As much of Keystone's v3 API as clients need, and the users behind it.

use crate::harness::{Answer, Body, Client, Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant},
};

/// `saccade user add`, and the random password that it prints.
pub(super) fn add_user(daemon: &Daemon, name: &str, project: &str, role: &str) -> Client {
    let printed = daemon
        .saccade(&["user", "add", name, "--project", project, "--role", role])
        .success();
    let password = printed
        .lines()
        .find_map(|line| line.strip_prefix("password"))
        .unwrap()
        .trim();
    daemon.login(name, password, project)
}

pub(super) fn add_project(daemon: &Daemon, name: &str) {
    daemon.saccade(&["project", "add", name]).success();
}

fn validate(api: &Client, method: &str, subject: &str) -> Answer {
    api.request(
        method,
        "/v3/auth/tokens",
        &[("X-Subject-Token", subject)],
        Body::None,
    )
}

#[test]
fn the_first_start_writes_credentials_for_its_owner_only() {
    let daemon = Daemon::fresh();
    for name in ["clouds.yaml", "openrc"] {
        let mode = fs::metadata(daemon.data_dir().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(daemon.data_dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "the data directory");
    let password = daemon.cloud()["auth"]["password"].as_str().unwrap().to_owned();
    assert!(password.len() >= 20);
    daemon.admin();
    let log = daemon.log().join("\n");
    assert!(!log.contains(&password), "the password is in the log");
}

#[test]
fn the_three_lines_to_type_are_printed() {
    let daemon = Daemon::fresh();
    let openrc = daemon.data_dir().join("openrc");
    eventually("they are printed", || {
        let printed = daemon.printed();
        let has = |text: &str| printed.iter().any(|line| line.trim().starts_with(text));
        has(&format!(". {}", openrc.display())) && has("openstack image create ") && has("glance image-list")
    });
}

#[test]
fn neither_passwords_nor_tokens_are_logged() {
    let daemon = Setup::default()
        .option("identity = local")
        .glance("[DEFAULT]\ndebug = true\n")
        .start();
    let admin = daemon.admin();
    admin.active("quiet", b"bytes");
    daemon
        .try_login("admin", "wrong-password", "admin")
        .expect_status(401);
    let log = daemon.log().join("\n");
    let password = daemon.cloud()["auth"]["password"].as_str().unwrap().to_owned();
    for secret in [admin.token(), &password, "wrong-password"] {
        assert!(!log.contains(secret));
    }
}

#[test]
fn a_restart_keeps_the_password_and_the_tokens() {
    let mut daemon = Daemon::fresh();
    let before = daemon.cloud();
    let admin = daemon.admin();
    daemon.stop();
    daemon.start();
    assert_eq!(daemon.cloud(), before);
    admin.get("/v2/images").expect_status(200);
}

#[test]
fn wrong_credentials_are_refused_alike() {
    let daemon = Daemon::fresh();
    let password = daemon.cloud()["auth"]["password"].as_str().unwrap().to_owned();
    let mut answers = Vec::new();
    for (user, password, project) in [
        ("admin", "wrong", "admin"),
        ("nobody", "wrong", "admin"),
        ("admin", &password, "no such project"),
    ] {
        let answer = daemon.try_login(user, password, project).expect_status(401);
        answers.push(answer.json()["error"]["message"].clone());
    }
    assert_eq!(answers[0], answers[1], "whether a user exists is not told");
}

#[test]
fn requests_need_a_token() {
    let daemon = Daemon::fresh();
    for api in [
        daemon.anonymous(),
        daemon.anonymous().with_token("gAAAAA-not-a-token"),
    ] {
        let answer = api.get("/v2/images").expect_status(401);
        assert!(
            answer.header("WWW-Authenticate").starts_with("Keystone uri="),
            "{answer:?}"
        );
    }
}

#[test]
fn a_token_says_who_where_and_until_when() {
    let daemon = Setup::default().option("token_lifetime = 2h").start();
    let cloud = daemon.cloud();
    let answer = daemon
        .try_login("admin", cloud["auth"]["password"].as_str().unwrap(), "admin")
        .expect_status(201);
    let token = &answer.json()["token"];
    assert_eq!(token["user"]["name"], "admin");
    assert_eq!(
        token["user"]["domain"],
        json!({"id": "default", "name": "Default"})
    );
    assert_eq!(token["project"]["name"], "admin");
    let roles: Vec<&str> = token["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| role["name"].as_str().unwrap())
        .collect();
    for role in ["admin", "member", "reader"] {
        assert!(roles.contains(&role), "{roles:?}");
    }
    let image = token["catalog"]
        .as_array()
        .unwrap()
        .iter()
        .find(|service| service["type"] == "image")
        .unwrap();
    let url = image["endpoints"][0]["url"].as_str().unwrap();
    assert_eq!(url.trim_end_matches('/'), format!("http://{}", daemon.address()));
    let time = |key: &str| token[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let lifetime = time("expires_at").duration_since(time("issued_at")).as_secs();
    assert!((7199..=7201).contains(&lifetime), "{lifetime}");
}

#[test]
fn a_token_is_shown_and_revoked() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let other = daemon.admin();
    assert_eq!(
        validate(&admin, "GET", other.token()).expect_status(200).json()["token"]["user"]["name"],
        "admin"
    );
    validate(&admin, "HEAD", other.token()).expect_status(200);
    validate(&admin, "DELETE", other.token()).expect_status(204);
    other.get("/v2/images").expect_status(401);
    validate(&admin, "GET", other.token()).expect_status(404);
    admin.get("/v2/images").expect_status(200);
}

/// The shortest lifetime that can be configured is a minute.
#[test]
fn a_token_ends_when_it_says() {
    let daemon = Setup::default().option("token_lifetime = 60s").start();
    let begun = Instant::now();
    let admin = daemon.admin();
    thread::sleep(Duration::from_secs(55).saturating_sub(begun.elapsed()));
    admin.get("/v2/images").expect_status(200);
    thread::sleep(Duration::from_millis(61_500).saturating_sub(begun.elapsed()));
    admin.get("/v2/images").expect_status(401);
    daemon.admin().get("/v2/images").expect_status(200);
}

#[test]
fn users_and_projects_are_added_while_the_daemon_runs() {
    let daemon = Daemon::fresh();
    add_project(&daemon, "physics");
    let erwin = add_user(&daemon, "erwin", "physics", "member");
    let image = erwin.create(&json!({"name": "box"}));
    let projects = daemon.admin().get("/v3/projects").expect_status(200).json();
    let physics = projects["projects"]
        .as_array()
        .unwrap()
        .iter()
        .find(|project| project["name"] == "physics")
        .unwrap();
    assert_eq!(image["owner"], physics["id"]);

    for (arguments, complaint) in [
        (&["user", "add", "erwin", "--project", "physics"][..], "erwin"),
        (&["user", "add", "paul", "--project", "chemistry"], "chemistry"),
        (
            &["user", "add", "paul", "--project", "physics", "--role", "king"],
            "king",
        ),
        (&["project", "add", "physics"], "physics"),
    ] {
        let error = daemon.saccade(arguments).failure();
        assert!(error.contains(complaint), "{arguments:?}: {error}");
    }
}

#[test]
fn users_are_added_while_the_daemon_is_stopped() {
    let mut daemon = Daemon::fresh();
    daemon.stop();
    add_project(&daemon, "physics");
    let printed = daemon
        .saccade(&["user", "add", "erwin", "--project", "physics"])
        .success();
    let password = printed
        .lines()
        .find_map(|line| line.strip_prefix("password"))
        .unwrap()
        .trim()
        .to_owned();
    daemon.start();
    daemon
        .login("erwin", &password, "physics")
        .get("/v2/images")
        .expect_status(200);
}

#[test]
fn a_new_password_ends_the_old_ones_tokens() {
    let daemon = Daemon::fresh();
    add_project(&daemon, "physics");
    let erwin = add_user(&daemon, "erwin", "physics", "member");
    daemon.saccade(&["user", "password", "erwin"]).success();
    erwin.get("/v2/images").expect_status(401);
}

#[test]
fn malformed_logins_are_refused() {
    let daemon = Daemon::fresh();
    let api = daemon.anonymous();
    for body in [
        json!({}),
        json!({"auth": {}}),
        json!({"auth": {"identity": {"methods": ["password"]}}}),
        json!([]),
        Value::Null,
    ] {
        assert_eq!(api.post("/v3/auth/tokens", &body).status, 400, "{body}");
    }
    let method = json!({"auth": {"identity": {"methods": ["totp"]}}});
    assert_eq!(api.post("/v3/auth/tokens", &method).status, 401);
}

#[test]
fn headers_of_a_proxy_are_believed_only_where_configured() {
    let headers = [
        ("X-Identity-Status", "Confirmed"),
        ("X-User-Id", "u1"),
        ("X-Project-Id", "p1"),
        ("X-Roles", "member,reader"),
    ];
    let create = |daemon: &Daemon, headers: &[(&str, &str)]| {
        daemon
            .anonymous()
            .request("POST", "/v2/images", headers, Body::Json(&json!({"name": "one"})))
    };
    let closed = Daemon::fresh();
    create(&closed, &headers).expect_status(401);

    let open = Setup::default().option("identity = trusted-headers").start();
    assert_eq!(create(&open, &headers).expect_status(201).json()["owner"], "p1");
    create(&open, &headers[1..]).expect_status(401);
    let invalid = [
        ("X-Identity-Status", "Invalid"),
        headers[1],
        headers[2],
        headers[3],
    ];
    create(&open, &invalid).expect_status(401);
}
