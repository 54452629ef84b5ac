//! What Saccade does with each option that Glance knows. What is named nowhere here is guarded: configuration
//! never fails open.

mod table;

pub(super) use table::{STAGING, UNUSED_DRIVER};

use super::{
    glance_options::{Kind, OptionSpec},
    value,
};
use table::{ALL, DRIVER_PREFIXES, FILE_TUNING, GUARDED, HARMLESS, HONOURED, Names, OTHER_DRIVER};

/// What Saccade does with an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// It is read, checked and acted on.
    Honoured,
    /// It changes neither what is stored, nor who may act, nor who is told.
    Harmless {
        /// What becomes of it.
        because: &'static str,
    },
    /// Set to another value than these, it stops the start.
    Guarded {
        /// What would go wrong, and what to do.
        because: &'static str,
        /// Values as safe as Glance's default.
        also: &'static [&'static str],
    },
}

/// What becomes of an option.
pub(super) fn support(spec: &OptionSpec) -> Support {
    let group = spec.group;
    if HONOURED
        .iter()
        .any(|(g, names)| *g == group && names.contains(&spec.name))
    {
        return Support::Honoured;
    }
    let matches = |g: &str, names: Names| g == group && (names == ALL || names.contains(&spec.name));
    if let Some((_, _, because, also)) = GUARDED.iter().find(|(g, names, ..)| matches(g, names)) {
        return Support::Guarded { because, also };
    }
    if let Some((_, _, because)) = HARMLESS.iter().find(|(g, names, _)| matches(g, names)) {
        return Support::Harmless { because };
    }
    if group == "glance_store" || group == "<backend>" {
        if FILE_TUNING.contains(&spec.name) {
            return Support::Harmless {
                because: "Saccade reads and writes in its own way",
            };
        }
        if DRIVER_PREFIXES.iter().any(|prefix| spec.name.starts_with(prefix)) {
            return Support::Harmless {
                because: OTHER_DRIVER,
            };
        }
    }
    Support::Guarded {
        because: "Saccade does not support it yet",
        also: &[],
    }
}

/// Whether these values (one, unless the option may be repeated) mean something else than Glance's default
/// and the values `also` allowed. Empty text means the same as nothing: Glance asks such options for their
/// truth only.
pub(super) fn is_changed(spec: &OptionSpec, values: &[&str], also: &[&str]) -> bool {
    let given = canonical(spec.kind, values);
    let default = canonical(spec.kind, spec.default.as_slice());
    !(given == default || also.iter().any(|text| canonical(spec.kind, &[text]) == given))
}

/// One spelling for all texts of the same meaning.
fn canonical(kind: Kind, values: &[&str]) -> Vec<String> {
    let one = |text: &str| match kind {
        Kind::Boolean => vec![value::boolean(text).map_or(text.to_owned(), |b| b.to_string())],
        Kind::Integer => vec![value::integer(text).map_or(text.to_owned(), |n| n.to_string())],
        Kind::Float => vec![
            text.trim()
                .parse::<f64>()
                .map_or(text.to_owned(), |n| n.to_string()),
        ],
        Kind::List => value::bounded_list(text).unwrap_or_else(|_| value::list(text)),
        Kind::Dict => {
            let mut items = value::list(text);
            items.sort();
            items
        }
        Kind::Text | Kind::Multi => vec![text.trim().to_owned()],
    };
    values
        .iter()
        .flat_map(|text| one(text))
        .filter(|text| !text.is_empty())
        .collect()
}

/// Whether an option is honoured where the driver that it belongs to is in use, and means nothing elsewhere.
pub(super) fn is_of_a_store(spec: &OptionSpec) -> bool {
    matches!(spec.group, "glance_store" | "<backend>") && support(spec) == Support::Honoured
}

#[cfg(test)]
mod tests {
    use super::{
        super::{error::OptionName, glance_options::Catalogue},
        *,
    };

    fn spec(group: &str, name: &str) -> OptionSpec {
        Catalogue::new([])
            .find(&OptionName::new(group, name))
            .unwrap()
            .spec
    }

    #[test]
    fn every_classified_name_is_an_option_of_glance() {
        let catalogue = Catalogue::new([]);
        let known = |group: &str, name: &str| {
            catalogue
                .specs()
                .any(|spec| spec.group == group && (name == "*" || spec.name == name))
        };
        let honoured = HONOURED.iter().map(|(group, names)| (*group, *names));
        let guarded = GUARDED.iter().map(|(group, names, ..)| (*group, *names));
        let harmless = HARMLESS.iter().map(|(group, names, _)| (*group, *names));
        for (group, names) in honoured.chain(guarded).chain(harmless) {
            for name in names {
                assert!(known(group, name), "{group}.{name}");
            }
        }
    }

    #[test]
    fn an_option_named_nowhere_is_guarded() {
        let mut unheard = spec("DEFAULT", "debug");
        unheard.name = "brand_new";
        assert!(matches!(support(&unheard), Support::Guarded { .. }));
        assert!(matches!(
            support(&spec("barbican", "barbican_endpoint")),
            Support::Guarded { .. }
        ));
    }

    #[test]
    fn spelling_does_not_make_a_value_differ_from_the_default() {
        assert!(!is_changed(&spec("DEFAULT", "delayed_delete"), &["Off"], &[]));
        assert!(is_changed(&spec("DEFAULT", "delayed_delete"), &["on"], &[]));
        assert!(!is_changed(
            &spec("image_import_opts", "image_import_plugins"),
            &["[]"],
            &[]
        ));
        assert!(!is_changed(
            &spec("import_filtering_opts", "allowed_ports"),
            &["[80, 443]"],
            &[]
        ));
        assert!(is_changed(
            &spec("import_filtering_opts", "allowed_ports"),
            &["[80]"],
            &[]
        ));
        assert!(!is_changed(
            &spec("DEFAULT", "property_protection_file"),
            &[""],
            &[]
        ));
        assert!(!is_changed(
            &spec("oslo_messaging_notifications", "driver"),
            &["noop"],
            &["noop"]
        ));
        assert!(is_changed(
            &spec("oslo_messaging_notifications", "driver"),
            &["noop", "messagingv2"],
            &["noop"]
        ));
    }
}
