use crate::harness::{Body, Daemon, Setup};
use std::fs;

#[test]
fn answers_without_a_token() {
    let daemon = Daemon::fresh();
    let answer = daemon
        .anonymous()
        .request("GET", "/healthcheck", &[], Body::None)
        .expect_status(200);
    assert_eq!(answer.text(), "OK");
    let head = daemon
        .anonymous()
        .request("HEAD", "/healthcheck", &[], Body::None);
    assert!(matches!(head.status, 200 | 204), "{head:?}");
}

#[test]
fn a_file_takes_the_daemon_out_of_service_and_back() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("out-of-service");
    let daemon = Setup::default()
        .option("identity = local")
        .glance(&format!(
            "[healthcheck]\ndisable_by_file_path = {}",
            file.display()
        ))
        .start();
    let api = daemon.anonymous();
    api.get("/healthcheck").expect_status(200);
    fs::write(&file, "").unwrap();
    api.get("/healthcheck").expect_status(503);
    // Requests are served all the same: it is the load balancer that goes by it.
    api.get("/versions").expect_status(200);
    fs::remove_file(&file).unwrap();
    api.get("/healthcheck").expect_status(200);
}
