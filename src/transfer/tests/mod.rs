//! Uploads and downloads over real and faulty stores. What interleavings can do is the protocol's model test; here are the
//! steps themselves, and what is on disk after each.

mod cached;
mod downloads;
mod fail_over;
mod faults;
mod power_cuts;
mod quota;
mod rig;
mod uploads;

pub(super) use rig::{noise, slow_body};
