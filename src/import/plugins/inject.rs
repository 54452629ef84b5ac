//! `inject_image_metadata`: properties that images get when they are imported, unless their importer has a role that is
//! trusted with them (Glance 33, `inject_image_metadata.py`). They come in the change that makes the image active: an import
//! that fails has set none.

use std::collections::BTreeMap;

use crate::identity::Caller;

/// Properties, and who is spared them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Injection {
    /// What is set.
    pub properties: BTreeMap<String, String>,
    /// Whoever has one of these roles is spared.
    pub ignore_user_roles: Vec<String>,
}

impl Injection {
    pub(super) fn of(&self, caller: &Caller) -> BTreeMap<String, String> {
        // Roles are in lower case everywhere.
        let mut ignored = self.ignore_user_roles.iter();
        match ignored.any(|role| caller.has_role(&role.to_lowercase())) {
            true => BTreeMap::new(),
            false => self.properties.clone(),
        }
    }
}
