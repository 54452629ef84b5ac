//! What is remembered, for how long, and who waits for whom.

use std::time::Duration;

use serde_json::json;

use super::{
    super::fake::{FakeKeystone, FakeMemcached, Fault, options, token},
    super::{KeystoneOptions, Unidentified},
    SERVICE, USER, chained, identify, is_unavailable, keystone, with_memcached,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_revoked_token_works_for_the_cache_time_and_no_longer() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], 36_000));
    let keystone = keystone(&fake, options());
    assert!(identify(&keystone, USER).await.is_ok());
    fake.state().tokens.clear();
    tokio::time::advance(299 * SECOND).await;
    assert!(identify(&keystone, USER).await.is_ok());
    assert_eq!(fake.validations(), 1);
    tokio::time::advance(SECOND).await;
    assert_eq!(identify(&keystone, USER).await, Err(Unidentified::Invalid));
    assert_eq!(fake.validations(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_still_expires() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], 20));
    let keystone = keystone(&fake, options());
    assert!(identify(&keystone, USER).await.is_ok());
    tokio::time::advance(21 * SECOND).await;
    assert_eq!(identify(&keystone, USER).await, Err(Unidentified::Invalid));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_is_asked_for_each_time() {
    let fake = FakeKeystone::new();
    let keystone = keystone(&fake, options());
    assert_eq!(identify(&keystone, USER).await, Err(Unidentified::Invalid));
    fake.knows(USER, token("ada", &[], 3600));
    assert!(identify(&keystone, USER).await.is_ok());
    assert_eq!((fake.validations(), fake.logins()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_cache_time_nothing_is_remembered() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], 3600));
    let options = KeystoneOptions {
        token_cache_time: None,
        ..options()
    };
    let memcached = FakeMemcached::default();
    let shared: std::sync::Arc<dyn super::SharedCache> = std::sync::Arc::new(memcached.clone());
    let transport = std::sync::Arc::new(fake.clone());
    let keystone = super::Keystone::over(options, transport, Some(shared), super::wall).unwrap();
    for asked in 1..4 {
        assert!(identify(&keystone, USER).await.is_ok());
        assert_eq!(fake.validations(), asked);
    }
    assert!(memcached.state().written.is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_requests_with_one_token_ask_once() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], 3600));
    fake.fails([Fault::Late(SECOND)]);
    let keystone = keystone(&fake, options());
    let all = futures_util::future::join_all((0..200).map(|_| identify(&keystone, USER)));
    assert!(all.await.iter().all(Result::is_ok));
    assert_eq!((fake.validations(), fake.logins()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_first_client_going_away_fails_nobody_else() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], 3600));
    fake.fails([Fault::Late(SECOND)]);
    let keystone = keystone(&fake, options());
    let first = tokio::time::timeout(SECOND / 2, identify(&keystone, USER)).await;
    assert!(first.is_err());
    assert!(identify(&keystone, USER).await.is_ok());
    assert_eq!(fake.validations(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_allow_expired_is_none_for_a_service() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], -60))
        .knows(SERVICE, token("nova", &["service"], 3600));
    let keystone = keystone(&fake, options());
    assert!(chained(&keystone, "other", SERVICE).await.is_err());
    fake.fails([Fault::Late(SECOND), Fault::Late(2 * SECOND)]);
    let (plain, service) =
        futures_util::future::join(identify(&keystone, USER), chained(&keystone, USER, SERVICE)).await;
    assert_eq!(plain, Err(Unidentified::Invalid));
    assert!(service.is_ok());
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_validations_are_under_way() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], 3600));
    let keystone = keystone(&fake, options());
    assert!(identify(&keystone, USER).await.is_ok());
    fake.state().always = Some(Fault::Late(SECOND));
    let tokens: Vec<_> = (0..300).map(|number| format!("token-{number}")).collect();
    for token_of in &tokens {
        fake.knows(token_of, token("ada", &[], 3600));
    }
    let all = futures_util::future::join_all(tokens.iter().map(|token| identify(&keystone, token)));
    assert!(all.await.iter().all(Result::is_ok));
    assert_eq!(fake.state().most_under_way, 64);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_tokens_is_refused_before_it_takes_the_memory() {
    let fake = FakeKeystone::new();
    fake.state().always = Some(Fault::Hang);
    let keystone = keystone(&fake, options());
    let tokens: Vec<_> = (0..3000).map(|number| format!("token-{number}")).collect();
    let begun = tokio::time::Instant::now();
    let all = futures_util::future::join_all(tokens.iter().map(|token| identify(&keystone, token))).await;
    assert!(all.iter().all(is_unavailable));
    assert!(begun.elapsed() <= 20 * SECOND, "{:?}", begun.elapsed());
    assert!(fake.state().most_under_way <= 64);
}

/// Another service put it there, which believes tokens for longer than we are to.
#[tokio::test(start_paused = true)]
async fn a_token_that_stays_in_memcached_for_longer_is_asked_for() {
    let (fake, memcached) = (FakeKeystone::new(), FakeMemcached::default());
    let body = token("ada", &["member"], 36_000);
    for (name, remaining) in [("hour", 3600 * SECOND), ("for-ever", Duration::MAX)] {
        memcached.holds(name, &body.to_string(), Some(remaining));
        let keystone = with_memcached(&fake, &memcached);
        assert_eq!(identify(&keystone, name).await, Err(Unidentified::Invalid));
    }
    assert_eq!(fake.validations(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_in_memcached_needs_no_keystone() {
    let (fake, memcached) = (FakeKeystone::new(), FakeMemcached::default());
    fake.state().always = Some(Fault::Refused);
    let body = token("ada", &["member"], 36_000).to_string();
    memcached.holds(USER, &body, Some(50 * SECOND));
    memcached.holds("undated", &body, None);
    memcached.holds("longer", &body, Some(300 * SECOND));
    let keystone = with_memcached(&fake, &memcached);
    for token in [USER, "undated", "longer"] {
        assert_eq!(identify(&keystone, token).await.unwrap().user_id, "ada");
    }
    memcached.state().bodies.clear();
    // What is not known any more takes up to two seconds of tries.
    for (wait, known) in [
        (9, [true, true, true]),
        (3, [true, false, true]),
        (30, [true, false, true]),
        (12, [false, false, true]),
        (235, [false, false, true]),
        (20, [false, false, false]),
    ] {
        tokio::time::advance(wait * SECOND).await;
        for (token, known) in [USER, "undated", "longer"].into_iter().zip(known) {
            assert_eq!(
                identify(&keystone, token).await.is_ok(),
                known,
                "{token} after {wait}"
            );
        }
    }
    assert!(memcached.state().written.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_memcached_holds_is_read_with_the_same_care() {
    let (fake, memcached) = (FakeKeystone::new(), FakeMemcached::default());
    let mut blind = token("eve", &["admin"], 3600);
    blind["token"]["application_credential"] = json!({"access_rules": []});
    blind["token"].as_object_mut().unwrap().remove("catalog");
    for (number, body) in ["", "{}", "\"x\"", r#"{"token": {}}"#, "\u{0}", &blind.to_string()]
        .into_iter()
        .enumerate()
    {
        let name = format!("token-{number}");
        memcached.holds(&name, body, Some(SECOND));
        fake.knows(&name, token("ada", &[], 3600));
    }
    memcached.holds("expired", &token("ada", &[], -1).to_string(), Some(SECOND));
    let keystone = with_memcached(&fake, &memcached);
    for number in 0..6 {
        let caller = identify(&keystone, &format!("token-{number}")).await.unwrap();
        assert_eq!(caller.user_id, "ada", "{number}");
    }
    assert_eq!(fake.validations(), 6);
    assert_eq!(identify(&keystone, "expired").await, Err(Unidentified::Invalid));
}

#[tokio::test(start_paused = true)]
async fn what_keystone_tells_is_left_for_others() {
    let (fake, memcached) = (FakeKeystone::new(), FakeMemcached::default());
    let (long, short) = (token("ada", &[], 3600), token("ada", &[], 100));
    fake.knows(USER, long.clone())
        .knows("short", short)
        .knows("expired", token("ada", &[], -60))
        .knows(SERVICE, token("nova", &["service"], 3600));
    let keystone = with_memcached(&fake, &memcached);
    assert!(identify(&keystone, USER).await.is_ok());
    assert!(identify(&keystone, "short").await.is_ok());
    assert!(chained(&keystone, "expired", SERVICE).await.is_ok());
    assert!(identify(&keystone, "unknown").await.is_err());
    tokio::time::sleep(SECOND).await;
    let state = memcached.state();
    let written: Vec<_> = state
        .written
        .iter()
        .map(|(token, _, ttl)| (token.as_str(), *ttl))
        .collect();
    assert_eq!(written[0], (USER, 300 * SECOND));
    assert_eq!(written[1].0, "short");
    assert!(written[1].1 <= 100 * SECOND && written[1].1 > 98 * SECOND);
    assert_eq!(written[2].0, SERVICE);
    assert_eq!(written.len(), 3, "{written:?}");
    assert_eq!(state.written[0].1, long.to_string().as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_slow_memcached_is_overtaken() {
    let (fake, memcached) = (FakeKeystone::new(), FakeMemcached::default());
    fake.knows(USER, token("ada", &[], 3600));
    memcached.state().pause = 3 * SECOND;
    let keystone = with_memcached(&fake, &memcached);
    let begun = tokio::time::Instant::now();
    assert!(identify(&keystone, USER).await.is_ok());
    assert_eq!(begun.elapsed(), Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_slow_memcached_still_helps_when_keystone_does_not() {
    let (fake, memcached) = (FakeKeystone::new(), FakeMemcached::default());
    memcached.holds(USER, &token("ada", &[], 3600).to_string(), Some(SECOND));
    memcached.holds("second", &token("ada", &[], 3600).to_string(), Some(SECOND));
    memcached.state().pause = 3 * SECOND;
    let keystone = with_memcached(&fake, &memcached);
    for (fault, token) in [(Fault::Refused, USER), (Fault::Hang, "second")] {
        fake.state().always = Some(fault);
        let begun = tokio::time::Instant::now();
        assert!(identify(&keystone, token).await.is_ok());
        assert_eq!(begun.elapsed(), 3 * SECOND);
    }
}

#[tokio::test]
async fn a_remembered_token_costs_microseconds() {
    let fake = FakeKeystone::new();
    let name = "g".repeat(200);
    fake.knows(&name, token("ada", &["member", "reader"], 3600));
    let keystone = keystone(&fake, options());
    assert!(identify(&keystone, &name).await.is_ok());
    let headers = super::headers(&[("x-auth-token", &name)]);
    let request = super::RequestHead {
        method: &http::Method::GET,
        path: "/v2/images",
        headers: &headers,
    };
    let rounds = 500;
    let mut best = Duration::MAX;
    for _ in 0..40 {
        let begun = std::time::Instant::now();
        for _ in 0..rounds {
            super::Identity::identify(&keystone, request).await.unwrap();
        }
        best = best.min(begun.elapsed() / rounds);
    }
    println!("a hit takes {best:?}");
    assert_eq!(fake.validations(), 1);
    // Many times what it takes: this is a debug build.
    assert!(best < Duration::from_micros(100), "{best:?}");
}
