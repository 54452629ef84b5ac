//! Converts disk images with `qemu-img`, in a process that can reach nothing but the two files.
//!
//! Whoever converts an image lets a stranger's bytes drive a large program written in C. So the daemon starts itself
//! again (the *worker*) with two open files and nothing else; the worker locks itself in, and only then becomes `qemu-img`:
//!
//! ```text
//!  Converter (daemon) ── source, destination, stderr ──► worker::run ─► confine ─► exec qemu-img
//! ```
//!
//! * [`Converter`]: starts workers, watches them, and says in words what came of it
//! * [`worker`]: what the started process does
//! * [`confine`]: how it locks itself in
//! * [`Order`]: what the one tells the other
//! * [`decompress`]: what comes before, in the daemon itself: streams, in memory-safe code
//!
//! No name that an image holds is ever opened by the daemon, and the worker could not open it.

pub mod confine;
mod converter;
pub mod decompress;
mod format;
mod message;
mod order;
mod os;
pub mod worker;

pub use self::{
    confine::{Layers, Namespaces},
    converter::{Conversion, ConvertError, Converter, Options, UnusableError, find_qemu_img},
    format::{SourceFormat, TargetFormat},
    order::{Job, Limits, Order, Sandbox},
};
