//! The stores of image data: `enabled_backends` and a section for each, or the one store of `[glance_store]`.

use super::{
    OptionName,
    error::ErrorKind,
    glance_options::RESERVED_BACKENDS,
    reader::Reader,
    settings::{FileStore, HttpStore, Store, StoreDriver, StoreNaming, Stores, UrlFilter},
    sources,
    value::{self, Rejected},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

const DEFAULT: &str = "DEFAULT";
const GLANCE_STORE: &str = "glance_store";
const FILTERS: &str = "import_filtering_opts";
/// The ids of the stores where `enabled_backends` is not set, as glance_store has them.
const SINGLE: &str = "file";
const HTTP: &str = "http";

/// A driver that stores are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DriverKind {
    File,
    Http,
}

impl DriverKind {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "file" | "filesystem" => Some(Self::File),
            "http" | "https" => Some(Self::Http),
            _ => None,
        }
    }
}

/// One of `enabled_backends`.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    id: String,
    driver: DriverKind,
}

/// `enabled_backends`, before anything else is read: it makes sections of other names into backends. `None` when it is not
/// set; what is wrong in it is left out.
pub(super) fn enabled_backends(reader: &mut Reader<'_>) -> Option<Vec<Backend>> {
    let pairs = reader.optional(DEFAULT, "enabled_backends", |text| {
        let pairs: Option<Vec<(String, String)>> = value::list(text)
            .iter()
            .map(|item| item.split_once(':'))
            .map(|pair| pair.map(|(id, driver)| (id.trim().to_owned(), driver.trim().to_owned())))
            .collect();
        pairs
            .filter(|pairs| {
                pairs
                    .iter()
                    .all(|(id, driver)| !id.is_empty() && !driver.is_empty())
            })
            .ok_or_else(|| Rejected::accepts("pairs of a name and a driver, such as local:file"))
    })?;
    if pairs.is_empty() {
        return None;
    }
    let mut groups = BTreeSet::new();
    let mut backends = Vec::new();
    for (id, driver) in pairs {
        let group = sources::group(&id);
        reader.catalogue.add_backend(&group);
        if id.starts_with("os_glance_") {
            let reserved = RESERVED_BACKENDS.join(", ");
            let message =
                format!("the store {id}: names that begin with os_glance_ are reserved ({reserved})");
            reader.refuse(ErrorKind::Value, DEFAULT, "enabled_backends", message);
        } else if !groups.insert(group) {
            let message = format!("names the store {id} twice: capitals make no difference");
            reader.refuse(ErrorKind::Value, DEFAULT, "enabled_backends", message);
        } else if let Some(driver) = DriverKind::parse(&driver) {
            backends.push(Backend { id, driver });
        } else {
            let message = format!(
                "the store {id} wants the driver {driver}; available are `file` and `http`, as in {id}:file"
            );
            reader.refuse(ErrorKind::Unsupported, DEFAULT, "enabled_backends", message);
        }
    }
    Some(backends)
}

/// The stores; images stand in `fallback` when nothing says where.
pub(super) fn stores(reader: &mut Reader<'_>, backends: Option<Vec<Backend>>, fallback: PathBuf) -> Stores {
    let filter = url_filter(reader);
    match backends {
        Some(backends) => named(reader, &backends, fallback, filter),
        None => single(reader, fallback, filter),
    }
}

fn named(reader: &mut Reader<'_>, backends: &[Backend], fallback: PathBuf, url_filter: UrlFilter) -> Stores {
    let default = reader
        .text(GLANCE_STORE, "default_backend")
        .map(|found| found.text);
    let writable: Vec<&str> = backends
        .iter()
        .filter(|backend| backend.driver != DriverKind::Http)
        .map(|backend| backend.id.as_str())
        .collect();
    if !writable.iter().any(|id| default.as_deref() == Some(id)) && !backends.is_empty() {
        let message = match writable.as_slice() {
            [] => "there is no store that can be written: name one of the driver `file` in enabled_backends"
                .to_owned(),
            [one] => {
                format!("must be set to {one}, the only store of enabled_backends that can be written")
            }
            several => format!(
                "must be set to one of {}, the stores of enabled_backends that can be written",
                several.join(", ")
            ),
        };
        reader.refuse(ErrorKind::Conflict, GLANCE_STORE, "default_backend", message);
    }
    let mut directories = BTreeSet::new();
    let mut list = Vec::new();
    for backend in backends {
        let section = sources::group(&backend.id);
        let driver = match backend.driver {
            DriverKind::File => StoreDriver::File(file(reader, &section, fallback.clone())),
            DriverKind::Http => StoreDriver::Http(http(reader, &section)),
        };
        if let StoreDriver::File(file) = &driver
            && !directories.insert(normal(&file.datadir))
        {
            let message = format!(
                "{} is another store's directory already: each needs one of its own",
                file.datadir.display()
            );
            reader.refuse(ErrorKind::Conflict, &section, "filesystem_store_datadir", message);
        }
        list.push(Store {
            id: backend.id.clone(),
            description: reader.optional(&section, "store_description", |text| Ok(text.to_owned())),
            weight: reader.or(&section, "weight", 0, value::integer),
            driver,
        });
    }
    Stores {
        naming: StoreNaming::Named,
        default: default.unwrap_or_default(),
        list,
        url_filter,
    }
}

/// Without what makes no difference in a path; links are not followed: the directory need not be there yet.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

/// `[glance_store]` as of old: `http` reads what others serve, and is on in Glance by default; it stores nothing.
fn single(reader: &mut Reader<'_>, fallback: PathBuf, url_filter: UrlFilter) -> Stores {
    let is_empty = reader
        .effective
        .contains_key(&OptionName::new(DEFAULT, "enabled_backends"));
    let mut with_http = true;
    if !is_empty {
        for name in ["stores", "default_store"] {
            if let Some(drivers) = drivers(reader, name) {
                match name {
                    "stores" => with_http = drivers.contains(&DriverKind::Http),
                    _ if drivers.as_slice() == [DriverKind::File] => {}
                    _ => reader.refuse(
                        ErrorKind::Conflict,
                        GLANCE_STORE,
                        name,
                        "must be `file`, where images are kept",
                    ),
                }
                if name == "stores" && !drivers.contains(&DriverKind::File) {
                    let message = "must hold `file`, where images are kept";
                    reader.refuse(ErrorKind::Conflict, GLANCE_STORE, name, message);
                }
            }
        }
    }
    let store = |id: &str, driver| Store {
        id: id.to_owned(),
        description: None,
        weight: 0,
        driver,
    };
    let mut list = vec![store(
        SINGLE,
        StoreDriver::File(file(reader, GLANCE_STORE, fallback)),
    )];
    // Read whether in use or not: an error in it is one.
    let http = StoreDriver::Http(http(reader, GLANCE_STORE));
    if with_http {
        list.push(store(HTTP, http));
    }
    Stores {
        naming: StoreNaming::Single,
        default: SINGLE.to_owned(),
        list,
        url_filter,
    }
}

/// The drivers that an option names; `None` when it is not set, or names one that is not there.
fn drivers(reader: &mut Reader<'_>, name: &str) -> Option<Vec<DriverKind>> {
    let found = reader.text(GLANCE_STORE, name)?;
    let mut drivers = Vec::new();
    for driver in value::list(&found.text) {
        let Some(kind) = DriverKind::parse(&driver) else {
            let message = format!("asks for the driver {driver}; available are `file` and `http`");
            reader.refuse(ErrorKind::Unsupported, GLANCE_STORE, name, message);
            return None;
        };
        drivers.push(kind);
    }
    Some(drivers)
}

fn file(reader: &mut Reader<'_>, section: &str, fallback: PathBuf) -> FileStore {
    FileStore {
        datadir: reader
            .optional(section, "filesystem_store_datadir", value::not_empty)
            .map_or(fallback, PathBuf::from),
        file_mode: reader.or(section, "filesystem_store_file_perm", None, value::file_mode),
        thin_provisioning: reader.or(section, "filesystem_thin_provisioning", false, value::boolean),
    }
}

fn http(reader: &mut Reader<'_>, section: &str) -> HttpStore {
    HttpStore {
        ca_certificates_file: reader
            .optional(section, "https_ca_certificates_file", value::not_empty)
            .map(PathBuf::from),
        // Glance's default.
        insecure: reader.or(section, "https_insecure", true, value::boolean),
        proxies: reader.or(section, "http_proxy_information", Vec::new(), |text| {
            let pairs: Option<Vec<_>> = value::list(text)
                .iter()
                .map(|item| item.split_once(':'))
                .map(|pair| {
                    pair.map(|(scheme, address)| (scheme.trim().to_owned(), address.trim().to_owned()))
                })
                .collect();
            pairs
                .ok_or_else(|| Rejected::accepts("pairs of a scheme and a proxy, such as http:10.0.0.1:3128"))
        }),
    }
}

/// `[import_filtering_opts]`: where users may send the daemon.
fn url_filter(reader: &mut Reader<'_>) -> UrlFilter {
    let mut texts = |name: &str, default: &[&str]| -> Vec<String> {
        let default = default.iter().map(|&item| item.to_owned()).collect();
        reader.or(FILTERS, name, default, list_in_brackets_or_not)
    };
    let allowed_schemes = texts("allowed_schemes", &["http", "https"]);
    let disallowed_schemes = texts("disallowed_schemes", &[]);
    let allowed_hosts = texts("allowed_hosts", &[]);
    let disallowed_hosts = texts("disallowed_hosts", &[]);
    let mut ports = |name: &str, default: &[u16]| {
        reader.or(FILTERS, name, default.to_vec(), |text| {
            let ports = list_in_brackets_or_not(text)?;
            let ports = ports.iter().map(|port| port.parse().ok()).collect();
            Option::ok_or_else(ports, || Rejected::accepts("ports, such as [80, 443]"))
        })
    };
    UrlFilter {
        allowed_ports: ports("allowed_ports", &[80, 443]),
        disallowed_ports: ports("disallowed_ports", &[]),
        allowed_schemes,
        disallowed_schemes,
        allowed_hosts,
        disallowed_hosts,
    }
}

/// Glance wants brackets around these lists; they are easily forgotten.
fn list_in_brackets_or_not(text: &str) -> Result<Vec<String>, Rejected> {
    let items = match text.trim_start().starts_with('[') {
        true => value::bounded_list(text)?,
        false => value::list(text),
    };
    let quotes = ['\'', '"'];
    let unquoted = items.into_iter().map(|item| {
        let inner = quotes
            .iter()
            .find_map(|quote| item.strip_prefix(*quote)?.strip_suffix(*quote));
        inner.map(str::to_owned).unwrap_or(item)
    });
    Ok(unquoted.collect())
}
