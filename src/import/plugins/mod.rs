//! What an operator has done to every import (`[image_import_opts] image_import_plugins`; Glance 33,
//! `async_/flows/plugins`), in the order of the list. Copies are left alone, as in Glance.
//!
//! * `inject`: properties
//! * `decompress`: compressed data, as a stream
//! * `convert`: another disk format, by a process that is locked in
//! * `space`: what they write to the node's disk, of all together
//! * `guard`: that data is what it is said to be, and nothing else

mod convert;
mod decompress;
mod guard;
mod inject;
mod space;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use self::{convert::Conversions, inject::Injection};
use crate::{
    identity::Caller,
    image::Amendments,
    transfer::{Plugin as Step, Treatment},
};

/// What is done to every import.
#[derive(Debug, Clone, Default)]
pub struct Plugins {
    steps: Vec<Arc<dyn Step>>,
    injection: Option<Injection>,
}

/// A plugin, with what it needs.
#[derive(Debug)]
pub enum Plugin {
    /// `inject_image_metadata`: properties that images of most callers get.
    InjectMetadata(Injection),
    /// `image_decompression`: what is compressed is stored unpacked.
    Decompression,
    /// `image_conversion`: every image is stored in one format.
    Conversion(Conversions),
    /// `no_op`: nothing.
    NoOp,
}

impl Plugins {
    /// These, in this order.
    pub fn new(plugins: impl IntoIterator<Item = Plugin>) -> Self {
        let mut all = Self::default();
        for plugin in plugins {
            match plugin {
                Plugin::InjectMetadata(injection) => all.injection = Some(injection),
                Plugin::Decompression => all.steps.push(Arc::new(decompress::Decompression::new(Arc::new(
                    Semaphore::new(decompress::AT_ONCE),
                )))),
                Plugin::Conversion(conversions) => all.steps.push(Arc::new(conversions)),
                Plugin::NoOp => {}
            }
        }
        all
    }

    /// What is done to an import that this caller has asked for.
    pub(super) fn for_import_of(&self, caller: &Caller) -> Treatment {
        let properties = self.injection.as_ref().map(|injection| injection.of(caller));
        Treatment {
            plugins: self.steps.clone(),
            amendments: Amendments {
                properties: properties.unwrap_or_default(),
                ..Amendments::default()
            },
        }
    }
}
