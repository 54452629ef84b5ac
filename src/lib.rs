//! Saccade keeps a cloud's disk images and moves them at the speed of the hardware: a drop-in replacement for
//! OpenStack Glance.

pub mod http;
pub mod identity;
pub mod image;
pub mod metadata;
