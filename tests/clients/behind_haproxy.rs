//! The stock clients through HAProxy with TLS.

use super::{openstack_as, with_openrc};
use crate::harness::{Daemon, HaProxy, eventually, unsafe_qcow2};
use std::fs;

/// How long the image is: what does not fit into buffers on its way.
const LENGTH: usize = 192 << 20;

#[test]
fn an_unsafe_image_is_refused_and_the_client_reads_why() {
    let daemon = Daemon::fresh();
    let proxy = HaProxy::before(daemon.address());
    let authority = proxy.authority().file();
    let authority = authority.to_str().unwrap();
    let file = daemon.scratch().join("unsafe.qcow2");
    let mut data = unsafe_qcow2(&daemon.scratch());
    data.resize(LENGTH, 0);
    fs::write(&file, data).unwrap();
    let file = file.to_str().unwrap();

    let url = proxy.url();
    let words = [
        "glance",
        "--os-cacert",
        authority,
        "--os-image-url",
        &url,
        "image-create",
        "--name",
        "x",
        "--disk-format",
        "qcow2",
        "--container-format",
        "bare",
        "--file",
        file,
    ];
    let refused = with_openrc(&daemon, &words).failure();
    assert!(
        refused.contains("415") && refused.contains("backing"),
        "{refused}"
    );

    let clouds = fs::read_to_string(daemon.data_dir().join("clouds.yaml")).unwrap();
    let auth = clouds.find("    auth:").expect("the cloud's login");
    let (before, after) = clouds.split_at(auth);
    let clouds = format!("{before}    cacert: {authority}\n    image_endpoint_override: {url}\n{after}");
    let elsewhere = daemon.scratch().join("clouds.yaml");
    fs::write(&elsewhere, clouds).unwrap();
    let words = ["image", "create", "--disk-format", "qcow2", "--file", file, "x"];
    let refused = openstack_as(&daemon, &elsewhere, &words).failure();
    // This client shows of every error its status alone.
    assert!(refused.contains("415"), "{refused}");

    // It came this way, and nothing of it is left.
    let log = daemon.log().join("\n");
    assert_eq!(log.matches("\"status\":415").count(), 2, "{log}");
    eventually("no byte is left", || daemon.stored().is_empty());
}
