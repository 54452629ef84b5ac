//! Reads the sections of Glance that Saccade honours.

use super::{
    error::{ErrorKind, OptionName, Warning},
    keystone,
    reader::Reader,
    settings::{
        Api, Deletion, Formats, Hashing, ImportMethod, Limits, Policy, PolicyFile, PropertyProtection,
        PropertyRuleFormat, Quotas,
    },
    value::{self, ByteSize, CountLimit, Rejected},
};
use std::{
    net::IpAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

const DEFAULT: &str = "DEFAULT";
const IMAGE_FORMAT: &str = "image_format";
const OSLO_POLICY: &str = "oslo_policy";
/// Glance's default.
const TASK_POOL_THREADS: NonZeroUsize = NonZeroUsize::new(16).unwrap();

pub(super) fn api(reader: &mut Reader<'_>) -> Api {
    const POSITIVE: fn(&str) -> Result<u64, Rejected> = |text| value::unsigned_within(1, u32::MAX)(text);
    use ImportMethod::{CopyImage, GlanceDirect, WebDownload};
    Api {
        limit_param_default: reader.or(DEFAULT, "limit_param_default", 25, POSITIVE),
        api_limit_max: reader.or(DEFAULT, "api_limit_max", 1000, POSITIVE),
        show_image_direct_url: reader.or(DEFAULT, "show_image_direct_url", false, value::boolean),
        show_multiple_locations: reader.or(DEFAULT, "show_multiple_locations", false, value::boolean),
        import_methods: reader.or(
            DEFAULT,
            "enabled_import_methods",
            vec![GlanceDirect, WebDownload, CopyImage],
            import_methods,
        ),
        task_time_to_live: reader.or(
            "task",
            "task_time_to_live",
            Duration::from_secs(48 * 3600),
            |text| {
                value::unsigned_within(0, u32::MAX)(text)
                    .map(|hours| Duration::from_secs(hours.saturating_mul(3600)))
            },
        ),
        imported_at_once: reader.or("wsgi", "task_pool_threads", TASK_POOL_THREADS, |text| {
            let n = usize::try_from(POSITIVE(text)?).ok().and_then(NonZeroUsize::new);
            n.ok_or_else(|| Rejected::accepts("a whole number from 1"))
        }),
        download_properties: reader.or(
            "glance_download_properties",
            "extra_properties",
            value::list("hw_,trait:,os_distro,os_secure_boot,os_type"),
            |text| {
                // Glance takes brackets alone, and shows its default without.
                let items = value::bounded_list(text).unwrap_or_else(|_| value::list(text));
                Ok(items.iter().map(|item| unquoted(item).to_owned()).collect())
            },
        ),
        worker_url: reader
            .optional(DEFAULT, "worker_self_reference_url", value::endpoint)
            .flatten(),
    }
}

pub(super) fn quotas(reader: &mut Reader<'_>) -> Quotas {
    let mut count = |name, default| reader.or(DEFAULT, name, CountLimit::AtMost(default), value::count_limit);
    Quotas {
        image_property_quota: count("image_property_quota", 128),
        image_tag_quota: count("image_tag_quota", 128),
        image_member_quota: count("image_member_quota", 128),
        image_location_quota: count("image_location_quota", 10),
        image_size_cap: reader.or(DEFAULT, "image_size_cap", ByteSize::from_bytes(1 << 40), |text| {
            value::integer_within(1, i64::MAX)(text).map(|n| ByteSize::from_bytes(n.unsigned_abs()))
        }),
    }
}

pub(super) fn deletion(reader: &mut Reader<'_>) -> Deletion {
    let seconds = value::unsigned_within(0, u32::MAX);
    Deletion {
        delayed: reader.or(DEFAULT, "delayed_delete", false, value::boolean),
        scrub_after: reader.or(DEFAULT, "scrub_time", Duration::ZERO, |text| {
            seconds(text).map(Duration::from_secs)
        }),
        scrub_side_by_side: reader.or(DEFAULT, "scrub_pool_size", 1, |text| {
            value::unsigned_within(1, 1000)(text).map(|n| usize::try_from(n).unwrap_or(1))
        }),
    }
}

/// `user_storage_quota`, unless Keystone keeps the limits; `None` when something is missing or wrong.
pub(super) fn limits(reader: &mut Reader<'_>) -> Option<Limits> {
    let quota = reader.or(DEFAULT, "user_storage_quota", None, value::storage_quota);
    if !reader.or(DEFAULT, "use_keystone_limits", false, value::boolean) {
        return Some(Limits::Configured(quota));
    }
    if quota.is_some() {
        reader.warnings.push(Warning {
            option: Some(OptionName::new(DEFAULT, "user_storage_quota")),
            origin: reader.origin(DEFAULT, "user_storage_quota"),
            message: "does not hold: use_keystone_limits takes its place".to_owned(),
        });
    }
    keystone::limits::read(reader).map(|limits| Limits::Keystone(Box::new(limits)))
}

pub(super) fn hashing(reader: &mut Reader<'_>) -> Option<Hashing> {
    let default = value::hash_algorithm("sha512").ok()?;
    Some(Hashing {
        algorithm: reader.or(DEFAULT, "hashing_algorithm", default, value::hash_algorithm),
        do_secure_hash: reader.or(DEFAULT, "do_secure_hash", true, value::boolean),
        retries: reader.or(DEFAULT, "http_retries", 3, |text| {
            value::unsigned_within(0, u32::MAX)(text).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
        }),
    })
}

pub(super) fn formats(reader: &mut Reader<'_>) -> Formats {
    let mut list = |name, default: &str| {
        reader.or(IMAGE_FORMAT, name, value::list(default), |text| {
            Ok(value::list(text))
        })
    };
    Formats {
        disk_formats: list(
            "disk_formats",
            "ami,ari,aki,vhd,vhdx,vmdk,raw,qcow2,vdi,iso,ploop",
        ),
        container_formats: list("container_formats", "ami,ari,aki,bare,ovf,ova,docker,compressed"),
        vmdk_allowed_types: list("vmdk_allowed_types", "streamOptimized,monolithicSparse"),
        gpt_safety_checks_nonfatal: list("gpt_safety_checks_nonfatal", ""),
        inspect_ova: reader.or("saccade", "inspect_ova", false, value::boolean),
        require_image_format_match: reader.or(
            IMAGE_FORMAT,
            "require_image_format_match",
            true,
            value::boolean,
        ),
    }
}

/// `bind_host` and `bind_port`, which Glance itself no longer has.
pub(super) fn bind(reader: &mut Reader<'_>) -> (Option<IpAddr>, Option<u16>) {
    let host = reader.optional(DEFAULT, "bind_host", |text| match text {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        text => text
            .parse()
            .map_err(|_| Rejected::accepts("an IP address, such as 0.0.0.0 or ::")),
    });
    let port = reader.optional(DEFAULT, "bind_port", |text| {
        u16::try_from(value::integer(text)?).map_err(|_| Rejected::accepts("a port from 0 to 65535"))
    });
    (host, port)
}

/// Where `/healthcheck` looks. Glance's own pipeline sets both options, so that they hold without a word in
/// the file.
pub(super) fn healthcheck(reader: &mut Reader<'_>, given: Given) -> Option<PathBuf> {
    let plugins = reader.optional("healthcheck", "backends", |text| {
        let plugins = value::list(text);
        match plugins.iter().all(|plugin| plugin == "disable_by_file") {
            true => Ok(plugins),
            false => Err(Rejected::accepts(
                "nothing, or disable_by_file: there is no other check here",
            )),
        }
    });
    let file = reader.optional("healthcheck", "disable_by_file_path", |text| {
        Ok(PathBuf::from(text))
    });
    if plugins.is_some_and(|plugins| plugins.is_empty()) {
        return None;
    }
    let stock = || (given == Given::Glance).then(|| PathBuf::from("/etc/glance/healthcheck_disable"));
    file.or_else(stock).filter(|path| !path.as_os_str().is_empty())
}

/// Whose configuration was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// A `glance-api.conf`, or variables that speak to it.
    Glance,
    /// `[saccade]` at most.
    OwnAtMost,
}

/// Where a file is looked for that an option names, as oslo.config does: in the configuration directories, beside
/// the configuration files, then in `/etc/glance`.
pub(super) fn places(reader: &Reader<'_>, config_dirs: &[PathBuf], given: Given) -> Vec<PathBuf> {
    let mut places = config_dirs.to_vec();
    places.extend(reader.raw.directories());
    if given == Given::Glance {
        places.push(PathBuf::from("/etc/glance"));
    }
    places
}

/// Unlike oslo.policy, a file that is named and missing stops the start: its rules would silently not hold.
pub(super) fn policy(reader: &mut Reader<'_>, config_dirs: &[PathBuf], given: Given) -> Policy {
    let places = places(reader, config_dirs, given);
    let candidates = |name: &str| -> Vec<PathBuf> {
        match Path::new(name) {
            name if name.is_absolute() => vec![name.to_owned()],
            name => places.iter().map(|place| place.join(name)).collect(),
        }
    };
    let stock = || PolicyFile::Stock([candidates("policy.yaml"), candidates("policy.json")].concat());
    let file = match reader.optional(OSLO_POLICY, "policy_file", value::not_empty) {
        None => stock(),
        // Spelling out the default does not make the file obligatory.
        Some(name) if name == "policy.yaml" => stock(),
        Some(name) => match candidates(&name).into_iter().find(|path| path.exists()) {
            Some(path) => PolicyFile::Named(path),
            None => {
                let message =
                    format!("{name:?} does not exist; the default rules would hold instead of yours");
                reader.refuse(ErrorKind::Conflict, OSLO_POLICY, "policy_file", message);
                stock()
            }
        },
    };
    let named = reader.repeated(OSLO_POLICY, "policy_dirs");
    let mut dirs = Vec::new();
    for dir in named.iter().flatten().filter(|dir| !dir.text.is_empty()) {
        let candidates = candidates(&dir.text);
        // Packages name the directory before there is one.
        if dir.text != "policy.d" && !candidates.iter().any(|path| path.is_dir()) {
            reader.warnings.push(Warning {
                option: Some(OptionName::new(OSLO_POLICY, "policy_dirs")),
                origin: dir.origin.clone(),
                message: format!("{} is no directory; no rules are read from there", dir.shown()),
            });
        }
        dirs.push(candidates);
    }
    if named.is_none() {
        dirs.push(candidates("policy.d"));
    }
    let default_rule = reader.or(
        OSLO_POLICY,
        "policy_default_rule",
        "default".to_owned(),
        value::not_empty,
    );
    let enforce_new_defaults = reader.or(OSLO_POLICY, "enforce_new_defaults", true, value::boolean);
    if !enforce_new_defaults {
        reader.warnings.push(Warning {
            option: Some(OptionName::new(OSLO_POLICY, "enforce_new_defaults")),
            origin: reader.origin(OSLO_POLICY, "enforce_new_defaults"),
            message: "the defaults before Glance's secure ones are permitted, too: nearly everyone may do nearly \
                      everything that ownership does not forbid; saccade policy list shows the rules that hold"
                .to_owned(),
        });
    }
    Policy {
        file,
        dirs,
        default_rule,
        enforce_new_defaults,
        properties: property_protection(reader, &candidates),
    }
}

/// As in Glance, a file that is not there stops the start.
fn property_protection(
    reader: &mut Reader<'_>,
    candidates: &dyn Fn(&str) -> Vec<PathBuf>,
) -> Option<PropertyProtection> {
    const FILE: &str = "property_protection_file";
    let format = reader.or(
        DEFAULT,
        "property_protection_rule_format",
        PropertyRuleFormat::Roles,
        |text| match text.to_lowercase().as_str() {
            "roles" => Ok(PropertyRuleFormat::Roles),
            "policies" => Ok(PropertyRuleFormat::Policies),
            _ => Err(Rejected::accepts("roles or policies")),
        },
    );
    let name = reader.optional(DEFAULT, FILE, |text| Ok(text.to_owned()))?;
    if name.is_empty() {
        return None;
    }
    let file = candidates(&name).into_iter().find(|path| path.exists());
    if file.is_none() {
        let message = format!("{name:?} does not exist; properties would be open to everyone");
        reader.refuse(ErrorKind::Conflict, DEFAULT, FILE, message);
    }
    file.map(|file| PropertyProtection { file, format })
}

/// An item of a list, which may stand in quotes of its own.
fn unquoted(item: &str) -> &str {
    let mut quotes = ['\'', '"'].iter();
    let quoted = quotes.find_map(|q| item.strip_prefix(*q).and_then(|rest| rest.strip_suffix(*q)));
    quoted.unwrap_or(item)
}

fn import_methods(text: &str) -> Result<Vec<ImportMethod>, Rejected> {
    let one = |item: &String| match unquoted(item) {
        "glance-direct" => Ok(ImportMethod::GlanceDirect),
        "web-download" => Ok(ImportMethod::WebDownload),
        "copy-image" => Ok(ImportMethod::CopyImage),
        "glance-download" => Ok(ImportMethod::GlanceDownload),
        _ => Err(Rejected::accepts(
            "glance-direct, web-download, copy-image, glance-download, in brackets",
        )),
    };
    value::bounded_list(text)?.iter().map(one).collect()
}
