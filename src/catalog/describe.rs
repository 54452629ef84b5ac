//! What an image of another cloud, or of another region, says of its data becomes this image's own.

use serde_json::Value;

use super::{Attribute, Catalog, CatalogError, NameKind, protection};
use crate::{
    identity::Caller,
    image::{Amendments, Image},
};

impl Catalog {
    /// What the image takes over of what another says: the formats, if they are of those that images may have here, and the
    /// properties. Names of attributes and of the service's own properties are left out.
    ///
    /// # Errors
    /// `Invalid` for a format or the name of a property, `Reserved` for a property that the caller may not set,
    /// `TooManyProperties`.
    pub fn describe(
        &self,
        caller: &Caller,
        image: &Image,
        disk_format: Option<String>,
        container_format: Option<String>,
        properties: impl Iterator<Item = (String, String)>,
    ) -> Result<Amendments, CatalogError> {
        let rules = self.rules();
        let policy = self.shared.policy.current();
        let access = self.shared.properties.access(&policy, caller);
        let formats = [
            ("disk_format", &disk_format),
            ("container_format", &container_format),
        ];
        for (name, format) in formats {
            if let Some(format) = format {
                Attribute::parse(name, Value::from(format.as_str()), rules)?;
            }
        }
        let mut draft = image.clone();
        let mut description = Amendments {
            disk_format,
            container_format,
            ..Amendments::default()
        };
        for (name, value) in properties.filter(|(name, _)| NameKind::of(name) == NameKind::Custom) {
            let attribute = Attribute::parse(&name, Value::from(value.as_str()), rules)?;
            protection::require_set(&access, &attribute, image)?;
            attribute.set(&mut draft);
            description.properties.insert(name, value);
        }
        rules.check_properties(&draft)?;
        Ok(description)
    }
}
