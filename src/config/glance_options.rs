//! Every option that a `glance-api.conf` may carry, from Glance's own registration (`glance_options.tsv`).

use super::error::OptionName;
use std::collections::{BTreeSet, HashMap};

const TABLE: &str = include_str!("glance_options.tsv");
/// Stands in the table for the section of a store backend.
const BACKEND: &str = "<backend>";
/// Sections that Glance reserves for its own file stores.
pub(super) const RESERVED_BACKENDS: [&str; 2] = ["os_glance_staging_store", "os_glance_tasks_store"];

/// How oslo.config reads a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Boolean,
    Integer,
    Float,
    List,
    Dict,
    /// Repeated keys add up.
    Multi,
}

/// One option that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OptionSpec {
    /// `<backend>` for the section of any store backend.
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As it would stand in a file.
    pub(super) default: Option<&'static str>,
    secret: bool,
    /// `group.name`, divided by commas.
    aliases: &'static str,
}

impl OptionSpec {
    /// Whether its value must never be shown. What Glance marks is not all: old samples mark nothing.
    pub(super) fn is_secret(&self) -> bool {
        self.secret || sounds_secret(self.name)
    }
}

/// Whether an option of this name may hold a secret.
fn sounds_secret(name: &str) -> bool {
    const SIGNS: [&str; 9] = [
        "password",
        "secret",
        "passphrase",
        "private",
        "credential",
        "connection",
        "transport_url",
        "_key",
        "proxy_information",
    ];
    let name = name.to_lowercase();
    // Paths and switches whose names merely touch a secret.
    let plain = name.ends_with("key_file") || name.ends_with("_debug") || name.ends_with("_time");
    !plain && SIGNS.iter().any(|sign| name.contains(sign))
}

/// The known options, with the sections that this configuration gives a meaning of its own.
#[derive(Debug)]
pub(super) struct Catalogue {
    specs: HashMap<(&'static str, &'static str), OptionSpec>,
    /// Deprecated group and name → present group and name.
    renamed: HashMap<(String, String), (&'static str, &'static str)>,
    backends: BTreeSet<String>,
    /// The section that `[keystone_authtoken] auth_section` names.
    auth_section: Option<String>,
}

/// An option of the catalogue as one configuration names it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) spec: OptionSpec,
    /// The present name, with the real section of a backend.
    pub(super) option: OptionName,
    pub(super) name_is: NameIs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameIs {
    Present,
    Deprecated,
}

impl Catalogue {
    /// Glance's options and `ours`, all of them text.
    pub(super) fn new(ours: impl IntoIterator<Item = (&'static str, Option<&'static str>)>) -> Self {
        let mut specs = HashMap::new();
        let mut renamed = HashMap::new();
        for spec in TABLE.lines().filter_map(parse_row) {
            specs.insert((spec.group, spec.name), spec);
            for (group, name) in spec.aliases.split(',').filter_map(|alias| alias.split_once('.')) {
                renamed.insert((group.to_owned(), name.to_owned()), (spec.group, spec.name));
            }
        }
        for (name, default) in ours {
            let spec = OptionSpec {
                group: "saccade",
                name,
                kind: Kind::Text,
                default,
                secret: false,
                aliases: "",
            };
            specs.insert((spec.group, name), spec);
        }
        let backends = RESERVED_BACKENDS.map(str::to_owned).into();
        Self {
            specs,
            renamed,
            backends,
            auth_section: None,
        }
    }

    /// From now on `[section]` holds the options of a store backend.
    pub(super) fn add_backend(&mut self, section: &str) {
        self.backends.insert(section.to_owned());
    }

    /// From now on `[section]` holds the credentials of `[keystone_authtoken]`.
    pub(super) fn set_auth_section(&mut self, section: &str) {
        self.auth_section = Some(section.to_owned());
    }

    /// The option that goes by this name, now or formerly. What the section has by itself comes before what this
    /// configuration makes of it: a store or an `auth_section` named `database` hides no option of `[database]`.
    pub(super) fn find(&self, option: &OptionName) -> Option<Known> {
        let of_itself = option.group.as_str();
        [of_itself, self.group_in_table(of_itself)]
            .into_iter()
            .find_map(|group| self.find_in(group, option))
    }

    fn find_in(&self, group: &str, option: &OptionName) -> Option<Known> {
        if let Some(spec) = self.specs.get(&(group, option.name.as_str())) {
            return Some(Known {
                spec: *spec,
                option: option.clone(),
                name_is: NameIs::Present,
            });
        }
        let (renamed, name) = self.renamed.get(&(group.to_owned(), option.name.clone()))?;
        let spec = self.specs.get(&(*renamed, *name))?;
        let section = if spec.group == BACKEND || spec.group == group {
            &option.group
        } else {
            spec.group
        };
        Some(Known {
            spec: *spec,
            option: OptionName::new(section, spec.name),
            name_is: NameIs::Deprecated,
        })
    }

    /// The names under which the option may stand, the present one first.
    pub(super) fn names(&self, known: &Known) -> Vec<OptionName> {
        let mut names = vec![known.option.clone()];
        for (group, name) in known
            .spec
            .aliases
            .split(',')
            .filter_map(|alias| alias.split_once('.'))
        {
            let group = if group == known.spec.group {
                known.option.group.as_str()
            } else {
                group
            };
            names.push(OptionName::new(group, name));
        }
        names
    }

    /// Whether any option of this section is known.
    pub(super) fn has_group(&self, group: &str) -> bool {
        let groups = [group, self.group_in_table(group)];
        self.specs.keys().any(|(known, _)| groups.contains(known))
    }

    fn group_in_table<'a>(&self, group: &'a str) -> &'a str {
        if self.backends.contains(group) {
            BACKEND
        } else if self.auth_section.as_deref() == Some(group) {
            "keystone_authtoken"
        } else {
            group
        }
    }

    #[cfg(test)]
    pub(super) fn specs(&self) -> impl Iterator<Item = &OptionSpec> {
        self.specs.values()
    }
}

fn parse_row(line: &'static str) -> Option<OptionSpec> {
    if line.starts_with('#') {
        return None;
    }
    let mut columns = line.split('\t');
    let (group, name) = (columns.next()?, columns.next()?);
    let kind = match columns.next()? {
        "bool" => Kind::Boolean,
        "int" | "port" => Kind::Integer,
        "float" => Kind::Float,
        "list" => Kind::List,
        "dict" => Kind::Dict,
        "multi" => Kind::Multi,
        _ => Kind::Text,
    };
    // Saccade listens on the loopback unless told otherwise, so that Glance's default is a change.
    let is_ours = (group, name) == ("DEFAULT", "bind_host");
    let default = Some(columns.next()?).filter(|text| *text != "<None>" && !is_ours);
    let secret = columns.next()? == "secret";
    let aliases = Some(columns.next()?)
        .filter(|text| *text != "-")
        .unwrap_or_default();
    Some(OptionSpec {
        group,
        name,
        kind,
        default,
        secret,
        aliases,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        Catalogue::new([])
    }

    #[test]
    fn every_row_of_the_table_is_read() {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(catalogue().specs().count(), rows);
        assert!(rows > 700, "{rows}");
    }

    #[test]
    fn a_deprecated_name_leads_to_the_present_one() {
        let known = catalogue()
            .find(&OptionName::new("DEFAULT", "disk_formats"))
            .unwrap();
        assert_eq!(known.option, OptionName::new("image_format", "disk_formats"));
        assert_eq!(known.name_is, NameIs::Deprecated);
        assert_eq!(
            catalogue().names(&known)[1],
            OptionName::new("DEFAULT", "disk_formats")
        );
    }

    #[test]
    fn a_backend_section_has_the_options_of_all_drivers() {
        let mut catalogue = catalogue();
        let option = OptionName::new("ceph1", "rbd_store_pool");
        assert!(catalogue.find(&option).is_none());
        catalogue.add_backend("ceph1");
        assert_eq!(catalogue.find(&option).unwrap().option, option);
    }

    #[test]
    fn what_holds_credentials_is_secret() {
        let catalogue = catalogue();
        for (group, name) in [
            ("keystone_authtoken", "password"),
            ("DEFAULT", "admin_password"),
            ("DEFAULT", "transport_url"),
            ("DEFAULT", "metadata_encryption_key"),
            ("database", "connection"),
            ("database", "slave_connection"),
            ("glance_store", "s3_store_secret_key"),
            ("glance_store", "s3_store_access_key"),
            ("glance_store", "swift_store_key"),
            ("glance_store", "cinder_store_password"),
            ("keystone_authtoken", "memcache_secret_key"),
        ] {
            assert!(
                catalogue
                    .find(&OptionName::new(group, name))
                    .unwrap()
                    .spec
                    .is_secret(),
                "{group}.{name}"
            );
        }
        assert!(
            !catalogue
                .find(&OptionName::new("DEFAULT", "key_file"))
                .unwrap()
                .spec
                .is_secret()
        );
    }
}
