//! Looks at every option that is set, read or not: here it is held that configuration never fails open.

use super::{
    error::{ConfigError, ErrorKind, OptionName, Origin, Warning},
    glance_options::{Known, NameIs, RESERVED_BACKENDS},
    identity::Kind,
    keystone,
    reader::Reader,
    sources::Setting,
    substitute::Resolved,
    support::{self, Support},
    value,
};
use std::collections::{BTreeMap, BTreeSet};

/// An option that is set and has no effect.
#[derive(Clone, Debug)]
pub(super) struct Ignored {
    pub(super) option: OptionName,
    pub(super) values: Vec<Resolved>,
    pub(super) because: &'static str,
    pub(super) accepted: Accepted,
}

/// Why an option without effect does not stop the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It is harmless.
    ByNature,
    /// `accept_unsupported` names it.
    ByOperator,
}

/// Refuses guarded options that are changed, and collects what else an operator should know.
pub(super) fn every_option(reader: &mut Reader<'_>, callers: Option<Kind>) -> (Vec<Warning>, Vec<Ignored>) {
    let accepted: BTreeSet<String> = reader
        .optional("saccade", "accept_unsupported", |text| Ok(value::list(text)))
        .into_iter()
        .flatten()
        .collect();
    let mut warnings = std::mem::take(&mut reader.warnings);
    let mut ignored = Vec::new();
    let mut set = BTreeMap::<OptionName, Known>::new();
    let mut unknown_groups = BTreeSet::new();
    for (option, setting) in reader.raw.options() {
        match reader.catalogue.find(option) {
            Some(known) => {
                if known.name_is == NameIs::Deprecated {
                    let message = format!("is the former name of {}", known.option);
                    warnings.push(warning(option, setting, message));
                }
                set.insert(known.option.clone(), known);
            }
            None if option.group == "saccade" => {
                let error = ConfigError::new(
                    ErrorKind::Value,
                    setting.origin.clone(),
                    "there is no such option",
                );
                reader.errors.push(error.of(option.clone()));
            }
            None if !reader.catalogue.has_group(&option.group) => {
                // One line for a section: those of unused backends hold many options.
                if unknown_groups.insert(&option.group) && matches!(setting.origin, Origin::File { .. }) {
                    let message = "neither Glance nor Saccade knows this section; it is ignored".to_owned();
                    let section = format!("[{}] ", option.group);
                    warnings.push(Warning {
                        option: None,
                        origin: setting.origin.clone(),
                        message: section + &message,
                    });
                }
            }
            None => {
                let message = "neither Glance nor Saccade knows this option; it is ignored".to_owned();
                warnings.push(warning(option, setting, message));
            }
        }
    }
    let mut useless: BTreeSet<&str> = accepted.iter().map(String::as_str).collect();
    let mut keystone = None;
    for known in set.into_values().filter(|known| known.option.group != "saccade") {
        let (because, also, guarded) = match unread(reader, &known, callers) {
            Some(because) => (because, &[][..], false),
            None => match support::support(&known.spec) {
                Support::Honoured => continue,
                Support::Harmless { because } => (because, &[][..], false),
                Support::Guarded { because, also } => (because, also, true),
            },
        };
        let values = match in_effect(reader, &known) {
            Ok(values) => values,
            Err(error) if guarded => {
                reader.errors.push(error);
                continue;
            }
            Err(_) => continue,
        };
        let texts: Vec<&str> = values.iter().map(|value| value.text.as_str()).collect();
        if !support::is_changed(&known.spec, &texts, also) {
            continue;
        }
        let origin = values
            .last()
            .map_or(Origin::Default, |value| value.origin.clone());
        if known.spec.group == keystone::SECTION && callers != Some(Kind::Keystone) {
            keystone.get_or_insert(origin.clone());
        }
        let option = known.option;
        let dotted = option.dotted();
        useless.remove(dotted.as_str());
        let by = match (guarded, accepted.contains(&dotted)) {
            (false, _) => Accepted::ByNature,
            (true, true) => {
                let message = format!("has no effect, and accept_unsupported lets that pass: {because}");
                warnings.push(Warning {
                    option: Some(option.clone()),
                    origin,
                    message,
                });
                Accepted::ByOperator
            }
            (true, false) => {
                let shown: Vec<String> = values.iter().map(Resolved::shown).collect();
                let message = format!(
                    "{} would have no effect: {because}. Remove it, or to start all the same set `[saccade] \
                     accept_unsupported = {dotted}`",
                    shown.join(", ")
                );
                reader
                    .errors
                    .push(ConfigError::new(ErrorKind::Unsupported, origin, message).of(option));
                continue;
            }
        };
        ignored.push(Ignored {
            option,
            values,
            because,
            accepted: by,
        });
    }
    // Without a choice, the error says enough.
    if let Some(origin) = keystone.filter(|_| callers.is_some()) {
        let message =
            "[keystone_authtoken] is ignored: [saccade] identity says who the callers are".to_owned();
        warnings.push(Warning {
            option: None,
            origin,
            message,
        });
    }
    let origin = reader.origin("saccade", "accept_unsupported");
    for name in useless {
        let option = Some(OptionName::new("saccade", "accept_unsupported"));
        let message = format!("{name} needs no acceptance: it is not set, or stops nothing");
        warnings.push(Warning {
            option,
            origin: origin.clone(),
            message,
        });
    }
    (warnings, ignored)
}

/// Why an option does nothing in this configuration, in Glance no more than here.
fn unread(reader: &Reader<'_>, known: &Known, callers: Option<Kind>) -> Option<&'static str> {
    let option = &known.option;
    if known.spec.group == keystone::SECTION {
        match callers {
            // Without a choice the start is refused anyway, and more errors would only hide why.
            None => return Some("who the callers are is not settled"),
            Some(Kind::Keystone) => {
                let honoured = support::support(&known.spec) == Support::Honoured;
                let read = reader.effective.contains_key(option);
                return (honoured && !read).then_some("the service does not log in with it");
            }
            Some(_) => return Some("[saccade] identity says who the callers are, and it is not Keystone"),
        }
    }
    if known.spec.group == keystone::limits::SECTION {
        return keystone::limits::unread(reader, option);
    }
    if RESERVED_BACKENDS.contains(&option.group.as_str()) {
        return Some(support::STAGING);
    }
    let has_backends = reader
        .effective
        .contains_key(&OptionName::new("DEFAULT", "enabled_backends"));
    let stores_alone = option.group == "glance_store" && option.name != "default_backend";
    if has_backends && stores_alone {
        return Some("has no meaning beside enabled_backends");
    }
    let is_read = reader.effective.contains_key(option);
    (support::is_of_a_store(&known.spec) && !is_read).then_some(support::UNUSED_DRIVER)
}

fn in_effect(reader: &Reader<'_>, known: &Known) -> Result<Vec<Resolved>, ConfigError> {
    let resolver = reader.resolver();
    if known.spec.kind == super::glance_options::Kind::Multi {
        resolver.all(known)
    } else {
        Ok(resolver.last(known)?.into_iter().collect())
    }
}

fn warning(option: &OptionName, setting: &Setting, message: String) -> Warning {
    Warning {
        option: Some(option.clone()),
        origin: setting.origin.clone(),
        message,
    }
}
