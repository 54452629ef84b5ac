//! What the inspector sees of disk images, beside what QEMU and Glance's own inspector see; and what a client sees of
//! it.

mod images;
mod others;
mod uploads;
