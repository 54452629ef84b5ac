//! What an import changes of an image beside its data: what plugins have made of its formats, and what they add.

use std::collections::BTreeMap;

use super::{INTERNAL_PROPERTY_PREFIX, Image};

/// Changes that come with an import's data, in one step with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Amendments {
    /// The format that the disk has now.
    pub disk_format: Option<String>,
    /// The format that the container has now.
    pub container_format: Option<String>,
    /// Properties that are set, in the place of those of the same name.
    pub properties: BTreeMap<String, String>,
}

impl Amendments {
    /// The service's own properties stay as they are.
    pub(super) fn apply(&self, image: &mut Image) {
        if let Some(format) = &self.disk_format {
            image.disk_format = Some(format.clone());
        }
        if let Some(format) = &self.container_format {
            image.container_format = Some(format.clone());
        }
        let properties = self.properties.iter();
        let properties = properties.filter(|(name, _)| !name.starts_with(INTERNAL_PROPERTY_PREFIX));
        image
            .properties
            .extend(properties.map(|(name, value)| (name.clone(), value.clone())));
    }
}
