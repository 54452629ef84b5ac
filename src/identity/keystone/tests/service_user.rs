//! The service's own login.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::fake::{FakeKeystone, Fault, options, token},
    super::{Interface, KeystoneOptions, Unidentified},
    SERVICE, USER, chained, identify, is_unavailable, keystone,
};

const SECOND: Duration = Duration::from_secs(1);

/// Knows more users than any test needs.
fn fake() -> FakeKeystone {
    let fake = FakeKeystone::new();
    for number in 0..40 {
        fake.knows(&format!("t{number}"), token("ada", &[], 360_000));
    }
    fake
}

#[tokio::test(start_paused = true)]
async fn nobody_logs_in_before_there_is_a_reason() {
    let fake = fake();
    let keystone = keystone(&fake, options());
    tokio::time::sleep(SECOND).await;
    assert_eq!(fake.logins(), 0);
    keystone.warm_up().await;
    assert_eq!((fake.logins(), fake.validations()), (1, 0));
    assert!(identify(&keystone, "t1").await.is_ok());
    assert_eq!(fake.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_login_is_renewed_in_the_background_ahead_of_its_end() {
    let fake = fake();
    let keystone = keystone(&fake, options());
    assert!(identify(&keystone, "t1").await.is_ok());
    tokio::time::advance(3239 * SECOND).await;
    assert!(identify(&keystone, "t2").await.is_ok());
    assert_eq!(fake.logins(), 1);
    tokio::time::advance(2 * SECOND).await;
    fake.state().login_faults.push_back(Fault::Late(5 * SECOND));
    let begun = tokio::time::Instant::now();
    for name in ["t3", "t4", "t5"] {
        assert!(identify(&keystone, name).await.is_ok());
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waits for it");
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(fake.logins(), 2);
    fake.state().accepted.remove(0);
    assert!(identify(&keystone, "t6").await.is_ok());
    assert_eq!(fake.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_cannot_be_renewed_is_used_to_its_end() {
    let fake = fake();
    let keystone = keystone(&fake, options());
    assert!(identify(&keystone, "t1").await.is_ok());
    tokio::time::advance(3300 * SECOND).await;
    for _ in 0..10 {
        fake.state().login_faults.push_back(Fault::Status(401));
    }
    for number in 2..20 {
        assert!(identify(&keystone, &format!("t{number}")).await.is_ok());
        tokio::time::sleep(SECOND).await;
    }
    assert!(fake.logins() <= 4, "{}", fake.logins());
    tokio::time::advance(3600 * SECOND).await;
    assert!(is_unavailable(&identify(&keystone, "t30").await));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_login_is_replaced_once_and_the_request_keeps_its_kind() {
    let fake = fake();
    fake.knows(USER, token("ada", &[], -60))
        .knows(SERVICE, token("nova", &["service"], 3600));
    let keystone = keystone(&fake, options());
    assert!(chained(&keystone, "t1", SERVICE).await.is_ok());
    fake.state().accepted.clear();
    assert!(chained(&keystone, USER, SERVICE).await.is_ok());
    assert_eq!(fake.last_query().as_deref(), Some("allow_expired=1"));
    assert_eq!(fake.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_keystone_that_rejects_its_own_tokens_is_not_hammered() {
    let fake = fake();
    let keystone = keystone(&fake, options());
    fake.state().always = None;
    assert!(identify(&keystone, "t0").await.is_ok());
    for _ in 0..100 {
        fake.fails([Fault::Status(401)]);
    }
    for number in 1..20 {
        assert!(is_unavailable(&identify(&keystone, &format!("t{number}")).await));
    }
    assert_eq!(fake.logins(), 2, "the new token fares no better");
    tokio::time::advance(6 * SECOND).await;
    for number in 1..20 {
        assert!(is_unavailable(&identify(&keystone, &format!("t{number}")).await));
    }
    assert_eq!(fake.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_unavailable_and_not_hammered() {
    let fake = fake();
    let keystone = keystone(&fake, options());
    for _ in 0..100 {
        fake.state().login_faults.push_back(Fault::Status(401));
    }
    let mut attempts = Vec::new();
    for second in 0..100 {
        let before = fake.logins();
        for number in 0..3 {
            let outcome = identify(&keystone, &format!("t{number}")).await;
            let Err(Unidentified::Unavailable(why)) = outcome else {
                panic!("{outcome:?}")
            };
            assert!(!why.contains("glance") && !why.contains("keystone:5000"), "{why}");
        }
        if fake.logins() > before {
            assert_eq!(fake.logins(), before + 1);
            attempts.push(second);
        }
        tokio::time::advance(SECOND).await;
    }
    assert_eq!(attempts, [0, 5, 15, 35, 75]);
    assert_eq!(fake.validations(), 0);
    fake.state().login_faults.clear();
    tokio::time::advance(60 * SECOND).await;
    assert!(identify(&keystone, "t1").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_catalog_without_the_endpoint_is_unavailable_and_not_hammered() {
    for catalog in [
        json!([]),
        json!([{"type": "identity", "endpoints": [
            {"interface": "internal", "region_id": "R2", "url": "http://internal:5000"}]}]),
        json!([{"type": "identity", "endpoints": [
            {"interface": "public", "region_id": "R1", "url": "http://internal:5000"}]}]),
        json!([{"type": "identity", "endpoints": [
            {"interface": "internal", "region_id": "R1", "url": "/identity"}]}]),
    ] {
        let fake = fake();
        fake.state().catalog = Some(catalog);
        let keystone = keystone(&fake, options());
        for number in 0..5 {
            assert!(is_unavailable(&identify(&keystone, &format!("t{number}")).await));
        }
        assert_eq!((fake.logins(), fake.validations()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_catalog_tokens_are_validated_where_the_service_logs_in() {
    let fake = fake();
    fake.state().catalog = Some(Value::Null);
    let options = KeystoneOptions {
        interface: Interface::Admin,
        ..options()
    };
    let keystone = keystone(&fake, options);
    assert!(identify(&keystone, "t1").await.is_ok());
    let url = fake.state().validations[0].url.to_string();
    assert_eq!(url, "http://keystone:5000/v3/auth/tokens");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_seconds_are_good_enough() {
    let fake = fake();
    fake.state().life = 8;
    let keystone = keystone(&fake, options());
    for number in 0..30 {
        assert!(identify(&keystone, &format!("t{number}")).await.is_ok());
        tokio::time::sleep(SECOND).await;
    }
    assert!((4..=9).contains(&fake.logins()), "{}", fake.logins());
}
