//! What the tests stand on: the real daemon, started as an operator starts it, and ways to talk to it.

mod accounts;
mod certificates;
mod cli;
mod client;
mod cloud;
mod daemon;
mod disk_image;
mod haproxy;
mod keystone;
mod log;
mod memcached;
mod payload;
mod proxy;
mod raw;
mod s3;
mod servers;
mod service;
mod small_disk;
mod swift;
mod web;

pub(crate) use self::{
    accounts::{Account, Login},
    certificates::{Authority, Certificate},
    cli::{Output, run, saccade},
    client::{Answer, Body, Client},
    cloud::{Cloud, CloudSetup},
    daemon::{Daemon, Setup, free_address, names},
    disk_image::{qemu_img, unsafe_qcow2, unsafe_vmdk},
    haproxy::{ClientCertificate, HaProxy},
    keystone::{Keystone, clean, copy, keystone_python},
    memcached::Memcached,
    payload::{Payload, md5, sha512},
    proxy::{Fault, Proxy},
    raw::Connection,
    s3::{Bucket, NO_PARTS},
    service::{Service, command},
    small_disk::SmallDisk,
    swift::{Container, SwiftCloud, SwiftServer},
    web::WebServer,
};

use std::time::{Duration, Instant};

/// Asks again and again until the answer is yes.
///
/// # Panics
/// After ten seconds.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
