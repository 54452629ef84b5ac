//! Keystone as a whole, in paused time against a fake one; over sockets in `network`.

mod caching;
mod faults;
mod network;
mod service_user;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::{
    fake::{FakeKeystone, FakeMemcached, options, token, wall},
    *,
};

const USER: &str = "user-token";
const SERVICE: &str = "token-of-nova";

fn keystone(fake: &FakeKeystone, options: KeystoneOptions) -> Keystone {
    Keystone::over(options, Arc::new(fake.clone()), None, wall).unwrap()
}

fn with_memcached(fake: &FakeKeystone, memcached: &FakeMemcached) -> Keystone {
    let memcached: Arc<dyn SharedCache> = Arc::new(memcached.clone());
    Keystone::over(options(), Arc::new(fake.clone()), Some(memcached), wall).unwrap()
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

async fn request(keystone: &Keystone, lines: &[(&str, &str)]) -> Result<Caller, Unidentified> {
    let headers = headers(lines);
    let request = RequestHead {
        method: &Method::GET,
        path: "/v2/images",
        headers: &headers,
    };
    keystone.identify(request).await
}

async fn identify(keystone: &Keystone, token: &str) -> Result<Caller, Unidentified> {
    request(keystone, &[("x-auth-token", token)]).await
}

async fn chained(keystone: &Keystone, user: &str, service: &str) -> Result<Caller, Unidentified> {
    request(keystone, &[("x-auth-token", user), ("x-service-token", service)]).await
}

fn is_unavailable<T: std::fmt::Debug>(outcome: &Result<T, Unidentified>) -> bool {
    matches!(outcome, Err(Unidentified::Unavailable(_)))
}

#[tokio::test(start_paused = true)]
async fn confirms_a_token_as_keystone_tells_it() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &["Member", "reader"], 3600));
    let keystone = keystone(&fake, options());
    let caller = identify(&keystone, USER).await.unwrap();
    assert_eq!(caller.user_id, "ada");
    assert_eq!(caller.project_id.as_deref(), Some("p1"));
    assert_eq!(caller.roles, ["member", "reader"]);
    assert_eq!(caller.service, None);

    let state = fake.state();
    let [call] = state.validations.as_slice() else {
        panic!()
    };
    assert_eq!(call.method, Method::GET);
    assert_eq!(
        call.url.as_str(),
        "http://internal:5000/identity/v3/auth/tokens",
        "from the catalog"
    );
    assert_eq!(call.headers["x-auth-token"], "service-token-1");
    assert_eq!(call.headers["x-subject-token"], USER);
    assert_eq!(call.headers["openstack-identity-access-rules"], "1");
    assert!(call.headers["x-subject-token"].is_sensitive());
    let login = &state.logins[0]["auth"]["identity"]["password"]["user"];
    assert_eq!(login["password"], "pass-of-glance");
}

#[tokio::test(start_paused = true)]
async fn forged_identity_headers_mean_nothing() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &["reader"], 3600));
    let keystone = keystone(&fake, options());
    let forged = [
        "x-identity-status",
        "x-service-identity-status",
        "x-user-id",
        "x-user",
        "x-user-name",
        "x-user-domain-id",
        "x-user-domain-name",
        "x-project-id",
        "x-project-name",
        "x-project-domain-id",
        "x-project-domain-name",
        "x-tenant",
        "x-tenant-id",
        "x-tenant-name",
        "x-domain-id",
        "x-domain-name",
        "x-roles",
        "x-role",
        "x-is-admin-project",
        "x-service-catalog",
        "x-service-user-id",
        "x-service-user-name",
        "x-service-user-domain-id",
        "x-service-project-id",
        "x-service-roles",
        "x-service-project-domain-id",
        "openstack-system-scope",
        "remote-user",
        "auth-type",
    ];
    let mut lines: Vec<_> = forged.iter().map(|name| (*name, "admin")).collect();
    assert_eq!(request(&keystone, &lines).await, Err(Unidentified::Missing));
    lines.push(("x-auth-token", USER));
    let honest = identify(&keystone, USER).await.unwrap();
    assert_eq!(request(&keystone, &lines).await, Ok(honest));
}

#[tokio::test(start_paused = true)]
async fn impossible_tokens_are_refused_unasked() {
    let fake = FakeKeystone::new();
    let keystone = keystone(&fake, options());
    let long = "a".repeat(8 * 1024 + 1);
    for lines in [
        vec![("x-auth-token", long.as_str())],
        vec![("x-auth-token", "tök")],
        vec![("x-auth-token", "a b")],
        vec![("x-auth-token", USER), ("x-auth-token", USER)],
        vec![("x-auth-token", USER), ("x-service-token", long.as_str())],
        vec![
            ("x-auth-token", USER),
            ("x-service-token", "s"),
            ("x-service-token", "s"),
        ],
        vec![("x-auth-token", USER), ("x-service-token", "a\"\u{e9}")],
    ] {
        assert_eq!(
            request(&keystone, &lines).await,
            Err(Unidentified::Invalid),
            "{lines:?}"
        );
    }
    for lines in [
        vec![],
        vec![("x-auth-token", "")],
        vec![("x-auth-token", "  ")],
        vec![("x-service-token", SERVICE)],
    ] {
        assert_eq!(
            request(&keystone, &lines).await,
            Err(Unidentified::Missing),
            "{lines:?}"
        );
    }
    assert_eq!((fake.logins(), fake.validations()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn white_space_around_a_token_is_none_of_it() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], 3600));
    let keystone = keystone(&fake, options());
    assert!(identify(&keystone, " user-token ").await.is_ok());
    let lines = [("x-storage-token", USER), ("x-service-token", "")];
    assert!(request(&keystone, &lines).await.is_ok());
    assert_eq!(fake.validations(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_may_carry_on_with_an_expired_token() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &["member"], -60));
    fake.knows(SERVICE, token("nova", &["Service"], 3600));
    let keystone = keystone(&fake, options());
    assert_eq!(identify(&keystone, USER).await, Err(Unidentified::Invalid));
    let caller = chained(&keystone, USER, SERVICE).await.unwrap();
    assert_eq!(fake.last_query().as_deref(), Some("allow_expired=1"));
    assert_eq!(caller.user_id, "ada");
    assert_eq!(caller.service_roles(), ["service"]);
    assert_eq!(caller.service.unwrap().user_id.as_deref(), Some("nova"));
    // Remembered now, and no better for it.
    assert_eq!(identify(&keystone, USER).await, Err(Unidentified::Invalid));
    let asked = fake.validations();
    assert!(chained(&keystone, USER, SERVICE).await.is_ok());
    assert_eq!(fake.validations(), asked);
}

#[tokio::test(start_paused = true)]
async fn an_expired_service_token_makes_no_service() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &["member"], 3600));
    fake.knows(SERVICE, token("nova", &["service"], 100));
    let keystone = keystone(&fake, options());
    assert!(chained(&keystone, USER, SERVICE).await.is_ok());
    tokio::time::advance(Duration::from_secs(101)).await;
    let caller = chained(&keystone, USER, SERVICE).await.unwrap();
    assert_eq!(caller.service, None, "the user acts alone");
}

#[tokio::test(start_paused = true)]
async fn a_token_without_the_role_is_no_service_token() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &["member"], 3600));
    fake.knows("expired", token("ada", &["member"], -60));
    fake.knows(SERVICE, token("eve", &["admin"], 3600));
    let strict = keystone(&fake, options());
    for service in [SERVICE, "unknown", USER] {
        let caller = chained(&strict, USER, service).await.unwrap();
        assert_eq!(caller.service, None, "{service}");
        assert_eq!(
            chained(&strict, "expired", service).await,
            Err(Unidentified::Invalid),
            "{service}"
        );
    }
    let lenient = keystone(
        &fake,
        KeystoneOptions {
            service_token_roles_required: false,
            ..options()
        },
    );
    let caller = chained(&lenient, USER, SERVICE).await.unwrap();
    assert_eq!(caller.service_roles(), ["admin"]);
    assert_eq!(
        chained(&lenient, "expired", SERVICE).await,
        Err(Unidentified::Invalid),
        "expired tokens take the role even then"
    );
    assert_eq!(fake.last_query(), None);
}

#[tokio::test(start_paused = true)]
async fn access_rules_restrict_requests() {
    let restricted = |rules: Value| {
        let mut body = token("ada", &["member"], 3600);
        body["token"]["application_credential"] = json!({"id": "c", "access_rules": rules});
        body
    };
    let list = json!([{"service": "image", "method": "GET", "path": "/v2/images"}]);
    let show = json!([{"service": "image", "method": "GET", "path": "/v2/images/{id}"}]);
    let fake = FakeKeystone::new();
    fake.knows("list", restricted(list.clone()))
        .knows("show", restricted(show))
        .knows("nothing", restricted(json!([])))
        .knows("all", restricted(Value::Null))
        .knows(SERVICE, token("nova", &["service"], 3600));
    let mut blind = restricted(list);
    blind["token"].as_object_mut().unwrap().remove("catalog");
    fake.knows("blind", blind);

    let knowing = keystone(&fake, options());
    for (token, outcome) in [
        ("list", true),
        ("all", true),
        ("show", false),
        ("nothing", false),
        ("blind", false),
    ] {
        assert_eq!(identify(&knowing, token).await.is_ok(), outcome, "{token}");
    }
    assert!(chained(&knowing, "show", SERVICE).await.is_ok());
    assert_eq!(
        chained(&knowing, "show", "unknown").await,
        Err(Unidentified::Invalid)
    );

    let unnamed = keystone(
        &fake,
        KeystoneOptions {
            service_type: None,
            ..options()
        },
    );
    assert_eq!(identify(&unnamed, "list").await, Err(Unidentified::Invalid));
    assert_eq!(
        chained(&unnamed, "list", SERVICE).await,
        Err(Unidentified::Invalid)
    );
    assert!(identify(&unnamed, "all").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_catalog_is_left_out_where_it_is_not_wanted() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], -60))
        .knows(SERVICE, token("nova", &["service"], 3600));
    let keystone = keystone(
        &fake,
        KeystoneOptions {
            include_service_catalog: false,
            ..options()
        },
    );
    assert!(chained(&keystone, USER, SERVICE).await.is_ok());
    assert_eq!(fake.last_query().as_deref(), Some("nocatalog&allow_expired=1"));
}

#[tokio::test(start_paused = true)]
async fn what_lets_the_daemon_act_elsewhere_is_asked_for_with_the_catalog_each_time() {
    let mut user = token("ada", &["member"], 3600);
    user["token"]["catalog"] = json!([{"type": "image", "endpoints": [
        {"interface": "public", "region": "Two", "region_id": "Two", "url": "http://glance.two"}]}]);
    let mut bare = token("bob", &[], 3600);
    bare["token"]["catalog"] = Value::Null;
    let fake = FakeKeystone::new();
    fake.knows(USER, user).knows("bare", bare);
    let keystone = keystone(
        &fake,
        KeystoneOptions {
            include_service_catalog: false,
            ..options()
        },
    );
    assert!(identify(&keystone, USER).await.is_ok());
    assert_eq!(fake.last_query().as_deref(), Some("nocatalog"));
    let delegation = async |token: &str| keystone.delegation(&headers(&[("x-auth-token", token)])).await;
    let found = delegation(USER).await.unwrap().unwrap();
    assert_eq!(fake.last_query(), None);
    assert_eq!(found.token().expose(), USER);
    assert_eq!(found.image_endpoint("two", "public"), Some("http://glance.two"));
    assert_eq!(found.image_endpoint("two", "internal"), None);
    assert!(delegation("bare").await.unwrap().is_none());
    assert!(matches!(delegation("unknown").await, Err(Unidentified::Invalid)));
    fake.state().always = Some(fake::Fault::Refused);
    assert!(is_unavailable(&delegation(USER).await));
}

#[tokio::test(start_paused = true)]
async fn a_bound_token_is_refused_unless_a_service_sends_it() {
    let mut bound = token("ada", &["member"], 3600);
    bound["token"]["bind"] = json!({"kerberos": "ada@REALM"});
    let mut bound_service = token("nova", &["service"], 3600);
    bound_service["token"]["bind"] = json!({"kerberos": "nova@REALM"});
    let fake = FakeKeystone::new();
    fake.knows(USER, bound)
        .knows(SERVICE, token("nova", &["service"], 3600))
        .knows("bound-service", bound_service);
    let keystone = keystone(&fake, options());
    assert_eq!(identify(&keystone, USER).await, Err(Unidentified::Invalid));
    assert!(chained(&keystone, USER, SERVICE).await.is_ok());
    assert_eq!(
        chained(&keystone, USER, "bound-service").await,
        Err(Unidentified::Invalid)
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_end_is_none() {
    let mut endless = token("ada", &["admin"], 3600);
    endless["token"].as_object_mut().unwrap().remove("expires_at");
    let fake = FakeKeystone::new();
    fake.knows(USER, endless);
    let keystone = keystone(&fake, options());
    assert_eq!(identify(&keystone, USER).await, Err(Unidentified::Invalid));
}

#[test]
fn the_challenge_holds_one_uri_and_nothing_else() {
    let fake = FakeKeystone::new();
    assert_eq!(
        keystone(&fake, options()).challenge(),
        "Keystone uri=\"http://public:5000/v3\""
    );
    let options = KeystoneOptions {
        www_authenticate_uri: None,
        ..options()
    };
    assert_eq!(
        keystone(&fake, options).challenge(),
        "Keystone uri=\"http://keystone:5000\""
    );
}

#[test]
fn an_auth_url_that_is_none_is_told_at_once() {
    for auth_url in [
        "",
        "keystone:5000/v3",
        "/v3",
        "ftp://keystone",
        "http://u:p@keystone",
    ] {
        let options = KeystoneOptions {
            auth_url: auth_url.to_owned(),
            ..options()
        };
        assert!(
            matches!(Keystone::new(options), Err(KeystoneError::AuthUrl(_))),
            "{auth_url}"
        );
    }
}
