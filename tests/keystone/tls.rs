//! A Keystone behind TLS.

use super::{KEYSTONE_FAILS, is_logged};
use crate::harness::{ClientCertificate, CloudSetup, HaProxy, Keystone, Login};

fn setup(proxy: &HaProxy) -> CloudSetup<'static> {
    CloudSetup::new(Keystone::shared())
        .keystone_at(&proxy.url())
        .authtoken("http_connect_timeout = 5")
        .authtoken("http_request_max_retries = 0")
}

fn status(setup: CloudSetup<'static>) -> u16 {
    let cloud = setup.start();
    let answer = cloud.login(&Login::of("demo", "demo")).get("/v2/images");
    if answer.status == 503 {
        is_logged(&cloud, KEYSTONE_FAILS);
    }
    answer.status
}

#[test]
fn keystone_is_believed_with_a_certificate_of_the_named_authority_only() {
    let proxy = HaProxy::before(Keystone::shared().address());
    let cafile = format!("cafile = {}", proxy.authority().file().display());
    assert_eq!(status(setup(&proxy).authtoken(&cafile)), 200);

    let wrong = format!("cafile = {}", proxy.stranger().file().display());
    for line in [wrong.as_str(), ""] {
        let cloud = setup(&proxy).authtoken(line).expect_log(KEYSTONE_FAILS).start();
        let api = cloud.login(&Login::of("demo", "demo"));
        api.get("/v2/images").expect_status(503);
        is_logged(&cloud, KEYSTONE_FAILS);
        let log = cloud.log();
        let line = log.iter().find(|line| line.contains(KEYSTONE_FAILS)).unwrap();
        assert!(line.to_lowercase().contains("certificate"), "{line}");
    }
}

#[test]
fn insecure_believes_whoever_answers_and_says_so() {
    let proxy = HaProxy::before(Keystone::shared().address());
    let setup = setup(&proxy).authtoken("insecure = true").expect_log("insecure");
    assert_eq!(status(setup), 200);
}

#[test]
fn a_keystone_that_asks_for_a_certificate_is_given_it() {
    let proxy = HaProxy::new(Keystone::shared().address(), ClientCertificate::Required);
    let cafile = format!("cafile = {}", proxy.authority().file().display());
    let own = proxy.authority().issue("glance");
    let apart = [
        format!("certfile = {}", own.certificate.display()),
        format!("keyfile = {}", own.key.display()),
    ];
    let with = setup(&proxy)
        .authtoken(&cafile)
        .authtoken(&apart[0])
        .authtoken(&apart[1]);
    assert_eq!(status(with), 200);
    let together = format!("certfile = {}", own.both.display());
    assert_eq!(status(setup(&proxy).authtoken(&cafile).authtoken(&together)), 200);
    let without = setup(&proxy).authtoken(&cafile).expect_log(KEYSTONE_FAILS);
    assert_eq!(status(without), 503);
}
