//! A Keystone that is dead, slow or mad.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    super::fake::{FakeKeystone, Fault, options, token},
    super::{KeystoneOptions, Unidentified},
    SERVICE, USER, chained, identify, is_unavailable, keystone,
};

const SECOND: Duration = Duration::from_secs(1);

/// Logged in, and knows `USER`.
async fn ready() -> (FakeKeystone, super::Keystone) {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], 360_000));
    let keystone = keystone(&fake, options());
    keystone.warm_up().await;
    (fake, keystone)
}

#[tokio::test(start_paused = true)]
async fn a_dead_keystone_costs_one_request_its_patience() {
    let (fake, keystone) = ready().await;
    fake.state().always = Some(Fault::Refused);
    let begun = Instant::now();
    assert!(is_unavailable(&identify(&keystone, USER).await));
    assert_eq!(fake.validations(), 4, "once, and three retries");
    assert!(
        begun.elapsed() <= Duration::from_millis(1750),
        "{:?}",
        begun.elapsed()
    );

    let begun = Instant::now();
    for number in 0..50 {
        assert!(is_unavailable(&identify(&keystone, &format!("t{number}")).await));
    }
    assert_eq!((fake.validations(), begun.elapsed()), (4, Duration::ZERO));

    tokio::time::sleep(SECOND).await;
    for number in 0..50 {
        assert!(is_unavailable(&identify(&keystone, &format!("t{number}")).await));
    }
    assert_eq!(fake.validations(), 5, "one tried, once");

    fake.state().always = None;
    assert!(is_unavailable(&identify(&keystone, USER).await));
    tokio::time::sleep(SECOND).await;
    assert!(identify(&keystone, USER).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn remembered_tokens_outlive_a_dead_keystone() {
    let (fake, keystone) = ready().await;
    assert!(identify(&keystone, USER).await.is_ok());
    fake.state().always = Some(Fault::Refused);
    assert!(is_unavailable(&identify(&keystone, "other").await));
    assert!(identify(&keystone, USER).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn short_failures_are_not_noticed() {
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(429),
        Fault::Body("<html>"),
        Fault::Body(""),
        Fault::Refused,
        Fault::Hang,
    ] {
        let (fake, keystone) = ready().await;
        fake.fails([fault]);
        assert!(identify(&keystone, USER).await.is_ok());
        assert_eq!(fake.validations(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_breaks_keystone_locks_nobody_else_out() {
    let log = Log::default();
    let _guard = log.start();
    let (fake, keystone) = ready().await;
    for (number, fault) in [Fault::Status(500), Fault::Body("<html>"), Fault::Status(400)]
        .into_iter()
        .enumerate()
    {
        fake.fails([fault.clone(), fault]);
        assert!(is_unavailable(&identify(&keystone, "poison").await));
        fake.state().faults.clear();
        let other = format!("other-{number}");
        fake.knows(&other, token("ada", &[], 3600));
        assert!(identify(&keystone, &other).await.is_ok());
    }
    assert_eq!(log.warnings(), [""; 0]);
    fake.state().always = Some(Fault::Status(500));
    for _ in 0..5 {
        assert!(is_unavailable(&identify(&keystone, "poison").await));
    }
    assert_eq!(log.warnings().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn lasting_failures_are_unavailable_and_never_invalid() {
    for (fault, tries) in [
        (Fault::Status(500), 2),
        (Fault::Status(503), 2),
        (Fault::Status(429), 2),
        (Fault::Body("<html>"), 2),
        (Fault::Status(400), 1),
        (Fault::Status(403), 1),
        (Fault::Status(409), 1),
        (Fault::Redirect("http://evil/".to_owned()), 1),
        (Fault::Status(204), 1),
    ] {
        let (fake, keystone) = ready().await;
        fake.state().always = Some(fault);
        assert!(is_unavailable(&identify(&keystone, USER).await));
        assert_eq!(fake.validations(), tries);
    }
}

#[tokio::test(start_paused = true)]
async fn words_about_no_token_are_no_confirmation() {
    for body in [
        "{}",
        r#"{"token": {}}"#,
        "null",
        "[]",
        r#"{"token": {"expires_at": "2099-01-01T00:00:00Z"}}"#,
    ] {
        let (fake, keystone) = ready().await;
        fake.fails([Fault::Body(Box::leak(body.to_owned().into_boxed_str()))]);
        assert_eq!(
            identify(&keystone, USER).await,
            Err(Unidentified::Invalid),
            "{body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_keystone_is_waited_for_within_bounds() {
    let (fake, keystone) = ready().await;
    fake.state().always = Some(Fault::Hang);
    let begun = Instant::now();
    assert!(is_unavailable(&identify(&keystone, USER).await));
    assert!(begun.elapsed() <= 20 * SECOND, "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert!(is_unavailable(&identify(&keystone, USER).await));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn both_tokens_of_a_request_share_its_time() {
    let (fake, keystone) = ready().await;
    fake.knows(SERVICE, token("nova", &["service"], 3600));
    fake.fails([
        Fault::Hang,
        Fault::Late(Duration::from_millis(9000)),
        Fault::Hang,
        Fault::Hang,
    ]);
    let begun = Instant::now();
    assert!(is_unavailable(&chained(&keystone, USER, SERVICE).await));
    assert_eq!(begun.elapsed(), 20 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_service_token_that_cannot_be_checked_is_not_waved_through() {
    let (fake, keystone) = ready().await;
    assert!(identify(&keystone, USER).await.is_ok());
    fake.state().always = Some(Fault::Refused);
    assert!(is_unavailable(&chained(&keystone, USER, SERVICE).await));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_login_is_bounded_too_and_mends_itself() {
    let fake = FakeKeystone::new();
    fake.knows(USER, token("ada", &[], 360_000));
    let keystone = keystone(&fake, options());
    fake.state().always = Some(Fault::Hang);
    let begun = Instant::now();
    assert!(is_unavailable(&identify(&keystone, USER).await));
    assert!(begun.elapsed() <= 20 * SECOND);
    fake.state().always = None;
    tokio::time::sleep(2 * SECOND).await;
    assert!(identify(&keystone, USER).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_retries_there_is_one_try() {
    for fault in [Fault::Refused, Fault::Status(500), Fault::Hang, Fault::Body("x")] {
        let fake = FakeKeystone::new();
        let options = KeystoneOptions {
            max_retries: 0,
            ..options()
        };
        let keystone = keystone(&fake, options);
        keystone.warm_up().await;
        fake.state().always = Some(fault);
        assert!(is_unavailable(&identify(&keystone, USER).await));
        assert_eq!(fake.validations(), 1);
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// What is logged in this thread until the guard goes.
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn warnings(&self) -> Vec<String> {
        let text = self.text();
        text.lines()
            .filter(|line| line.contains(" WARN "))
            .map(str::to_owned)
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_secret_is_ever_logged_or_told() {
    let log = Log::default();
    let _guard = log.start();
    let (fake, keystone) = ready().await;
    fake.knows(SERVICE, token("nova", &["service"], 3600));
    let mut told = Vec::new();
    told.push(format!("{:?}", chained(&keystone, USER, SERVICE).await));
    for fault in [
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(500),
        Fault::Refused,
        Fault::Body(r#"{"token": "user-token pass-of-glance"}"#),
        Fault::Body("user-token pass-of-glance"),
        Fault::Redirect("http://evil/user-token".to_owned()),
    ] {
        fake.state().always = Some(fault);
        told.push(format!("{:?}", identify(&keystone, "another-user-token").await));
        tokio::time::advance(3600 * SECOND).await;
    }
    told.push(log.text());
    told.push(format!("{:?}", options()));
    let told = told.join("\n");
    assert!(told.contains("Keystone knows a token"), "{told}");
    for secret in ["user-token", "token-of-nova", "service-token", "pass-of-glance"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_once_and_so_is_its_end() {
    let log = Log::default();
    let _guard = log.start();
    let (fake, keystone) = ready().await;
    assert!(
        log.text().contains("user=\"glance-id (glance-id)\""),
        "{}",
        log.text()
    );
    fake.state().always = Some(Fault::Refused);
    for _ in 0..30 {
        assert!(is_unavailable(&identify(&keystone, USER).await));
        tokio::time::sleep(SECOND).await;
    }
    let warnings = log.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("http://internal:5000/identity/v3/auth/tokens"),
        "{warnings:?}"
    );
    fake.state().always = None;
    for _ in 0..3 {
        assert!(identify(&keystone, USER).await.is_ok());
    }
    assert_eq!(log.text().matches("validates tokens again").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_told_at_the_start_by_its_options() {
    let log = Log::default();
    let _guard = log.start();
    let fake = FakeKeystone::new();
    let keystone = keystone(&fake, options());
    fake.state().always = Some(Fault::Status(401));
    keystone.warm_up().await;
    assert!(is_unavailable(&identify(&keystone, USER).await));
    let warnings = log.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for word in [
        "\"glance\"",
        "username",
        "user_domain_name",
        "password",
        "project_name",
        "401",
    ] {
        assert!(warnings[0].contains(word), "{word} in {warnings:?}");
    }
}
