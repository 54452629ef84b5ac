//! What the tests stand on: the real daemon, started as an operator starts it, and ways to talk to it.

mod cli;
mod client;
mod daemon;
mod disk_image;
mod log;
mod payload;
mod raw;
mod small_disk;

pub(crate) use self::{
    cli::{Output, run, saccade},
    client::{Answer, Body, Client},
    daemon::{Daemon, Setup, names},
    disk_image::{qemu_img, unsafe_qcow2, unsafe_vmdk},
    payload::{Payload, md5, sha512},
    raw::Connection,
    small_disk::SmallDisk,
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
