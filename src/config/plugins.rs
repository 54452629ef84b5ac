//! Reads what is done to every import: `[image_import_opts]` and the sections of its plugins.

use super::{
    error::ErrorKind,
    reader::Reader,
    settings::{ConversionSandbox, DiskTarget, ImportPlugin, Plugins},
    value::{self, Rejected},
};
use std::{collections::BTreeMap, time::Duration};

const OPTIONS: &str = "image_import_opts";
const INJECTION: &str = "inject_metadata_properties";
const SACCADE: &str = "saccade";

/// Names that are not properties but attributes, and cannot be injected.
const ATTRIBUTES: &[&str] = &[
    "checksum",
    "container_format",
    "created_at",
    "deleted",
    "deleted_at",
    "direct_url",
    "disk_format",
    "file",
    "id",
    "location",
    "locations",
    "min_disk",
    "min_ram",
    "name",
    "os_hash_algo",
    "os_hash_value",
    "os_hidden",
    "owner",
    "protected",
    "schema",
    "self",
    "size",
    "status",
    "stores",
    "tags",
    "updated_at",
    "virtual_size",
    "visibility",
];

/// How the names of the service's own properties begin.
const INTERNAL: &str = "os_glance";

pub(super) fn plugins(reader: &mut Reader<'_>) -> Plugins {
    let list = reader.or(OPTIONS, "image_import_plugins", Vec::new(), names);
    let inject = reader.or(INJECTION, "inject", BTreeMap::new(), properties);
    if list.contains(&ImportPlugin::InjectMetadata) && inject.is_empty() {
        let message = "image_import_plugins names inject_image_metadata, and there is nothing to inject";
        reader.refuse(ErrorKind::Conflict, INJECTION, "inject", message);
    }
    Plugins {
        list,
        inject,
        ignore_user_roles: reader.or(INJECTION, "ignore_user_roles", vec!["admin".to_owned()], roles),
        output_format: reader.or(
            "image_conversion",
            "output_format",
            DiskTarget::Raw,
            |text| match text {
                "raw" => Ok(DiskTarget::Raw),
                "qcow2" => Ok(DiskTarget::Qcow2),
                "vmdk" => Ok(DiskTarget::Vmdk),
                _ => Err(Rejected::accepts("raw, qcow2 or vmdk")),
            },
        ),
        sandbox: reader.or(
            SACCADE,
            "conversion_sandbox",
            ConversionSandbox::Required,
            |text| match text {
                "required" => Ok(ConversionSandbox::Required),
                "best-effort" => Ok(ConversionSandbox::BestEffort),
                _ => Err(Rejected::accepts("required or best-effort")),
            },
        ),
        conversion_time_limit: reader.or(
            SACCADE,
            "conversion_time_limit",
            Duration::from_secs(4 * 3600),
            value::duration_from(Duration::from_secs(1)),
        ),
    }
}

/// Each may stand in quotes of its own.
fn names(text: &str) -> Result<Vec<ImportPlugin>, Rejected> {
    let accepted = || {
        Rejected::accepts(
            "a list in brackets of inject_image_metadata, image_decompression, image_conversion, no_op, each once",
        )
    };
    let mut plugins = Vec::new();
    // As it would stand where nothing is set.
    if text.trim().is_empty() {
        return Ok(plugins);
    }
    for item in value::bounded_list(text).map_err(|_| accepted())? {
        let unquoted = ['\'', '"']
            .iter()
            .find_map(|q| item.strip_prefix(*q).and_then(|rest| rest.strip_suffix(*q)));
        let plugin = match unquoted.unwrap_or(&item) {
            "inject_image_metadata" => ImportPlugin::InjectMetadata,
            "image_decompression" => ImportPlugin::Decompression,
            "image_conversion" => ImportPlugin::Conversion,
            "no_op" => ImportPlugin::NoOp,
            // Glance leaves out what it does not know, and what is named twice fails every import.
            _ => return Err(accepted()),
        };
        if plugins.contains(&plugin) {
            return Err(accepted());
        }
        plugins.push(plugin);
    }
    Ok(plugins)
}

/// oslo.config's dictionaries: `name:value,name:value`.
fn properties(text: &str) -> Result<BTreeMap<String, String>, Rejected> {
    let mut properties = BTreeMap::new();
    for item in value::list(text) {
        let (name, value) = item
            .split_once(':')
            .ok_or_else(|| Rejected::accepts("properties as name:value, divided by commas"))?;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 255 {
            return Err(Rejected::accepts("names of 1 to 255 characters"));
        }
        if ATTRIBUTES.contains(&name) || name.starts_with(INTERNAL) {
            return Err(Rejected::accepts(format!(
                "properties: {name} is the service's own and cannot be injected"
            )));
        }
        properties.insert(name.to_owned(), value.trim().to_owned());
    }
    Ok(properties)
}

/// Brackets would become a part of the first and the last name.
fn roles(text: &str) -> Result<Vec<String>, Rejected> {
    let roles = value::list(text);
    match roles.iter().any(|role| role.contains(['[', ']'])) {
        true => Err(Rejected::accepts(
            "names of roles, divided by commas, without brackets",
        )),
        false => Ok(roles.into_iter().filter(|role| !role.is_empty()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_stand_in_brackets_in_their_order_and_once() {
        use ImportPlugin::{Conversion, Decompression, InjectMetadata, NoOp};
        for none in ["", "[]"] {
            assert_eq!(names(none).unwrap(), []);
        }
        assert_eq!(
            names("['image_decompression', \"image_conversion\",inject_image_metadata, no_op]").unwrap(),
            [Decompression, Conversion, InjectMetadata, NoOp]
        );
        for wrong in ["no_op", "[no_op,no_op]", "[image_conversions]", "[,]"] {
            assert!(names(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn properties_are_names_and_values() {
        let read = properties("a:1, b : x:y ,c:").unwrap();
        let pairs: Vec<_> = read.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x:y"), ("c", "")]);
        assert!(properties("").unwrap().is_empty());
        for wrong in [
            "a",
            ":1",
            "owner:me",
            "os_glance_import_task:1",
            "status:active",
            &format!("{}:1", "x".repeat(256)),
        ] {
            assert!(properties(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn roles_have_no_brackets() {
        assert_eq!(roles("admin, Member").unwrap(), ["admin", "Member"]);
        assert!(roles("").unwrap().is_empty());
        assert!(roles("[admin,member]").is_err());
    }
}
