//! The stores of image data: `enabled_backends` and a section for each, or the stores of `[glance_store]`.

mod file;
mod s3;
mod swift;
#[cfg(test)]
mod tests;

use super::{
    OptionName,
    error::ErrorKind,
    glance_options::RESERVED_BACKENDS,
    reader::Reader,
    settings::{FileEngine, HttpStore, Store, StoreDriver, StoreNaming, Stores, UrlFilter},
    sources,
    value::{self, Rejected},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

const DEFAULT: &str = "DEFAULT";
const GLANCE_STORE: &str = "glance_store";
const FILTERS: &str = "import_filtering_opts";

/// Where files are that the options leave open.
pub(super) struct Places {
    /// Holds images when nothing says where.
    pub(super) images: PathBuf,
    /// Where a file is looked for that an option names without its directory.
    pub(super) files: Vec<PathBuf>,
}

/// A driver that stores are made of. To add one: its name, its arms here and in [`taken_by`], and its options in the table of
/// what is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DriverKind {
    File,
    Http,
    S3,
    Swift,
}

impl DriverKind {
    const ALL: [Self; 4] = [Self::File, Self::Http, Self::S3, Self::Swift];

    fn parse(name: &str) -> Option<Self> {
        match name {
            "file" | "filesystem" => Some(Self::File),
            "http" | "https" => Some(Self::Http),
            "s3" => Some(Self::S3),
            "swift" => Some(Self::Swift),
            _ => None,
        }
    }

    /// In the configuration; and the id of the store where `enabled_backends` is not set, as glance_store has it.
    const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Http => "http",
            Self::S3 => "s3",
            Self::Swift => "swift",
        }
    }

    fn is_writable(self) -> bool {
        self != Self::Http
    }

    /// The options of one store.
    fn read(self, reader: &mut Reader<'_>, section: &str, places: &Places) -> StoreDriver {
        match self {
            Self::File => StoreDriver::File(file::read(reader, section, &places.images)),
            Self::Http => StoreDriver::Http(http(reader, section)),
            Self::S3 => StoreDriver::S3(Box::new(s3::read(reader, section))),
            Self::Swift => StoreDriver::Swift(Box::new(swift::read(reader, section, &places.files))),
        }
    }
}

/// Where a store keeps its data, in one spelling of each place, with the option that says so: no two stores may share one.
fn taken_by(driver: &StoreDriver) -> (&'static str, Vec<String>) {
    match driver {
        StoreDriver::File(file) => (file::PLACE, file::places(file)),
        StoreDriver::Http(_) => ("", Vec::new()),
        StoreDriver::S3(s3) => (s3::PLACE, vec![s3::place(s3)]),
        StoreDriver::Swift(swift) => (swift::PLACE, swift::place(swift).into_iter().collect()),
    }
}

/// `file`, `http` and so on, for people.
fn available(wanted: fn(DriverKind) -> bool) -> String {
    let kinds = DriverKind::ALL.into_iter().filter(|kind| wanted(*kind));
    let names: Vec<String> = kinds.map(|kind| format!("`{}`", kind.name())).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
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
                "the store {id} wants the driver {driver}; available are {}, as in {id}:file",
                available(|_| true)
            );
            reader.refuse(ErrorKind::Unsupported, DEFAULT, "enabled_backends", message);
        }
    }
    Some(backends)
}

/// The stores.
pub(super) fn stores(reader: &mut Reader<'_>, backends: Option<Vec<Backend>>, places: &Places) -> Stores {
    let filter = url_filter(reader);
    let mut stores = match backends {
        Some(backends) => named(reader, &backends, places, filter),
        None => single(reader, places, filter),
    };
    stores.file_engine = file::engine(reader);
    file::write_modes(reader, &mut stores.list);
    stores
}

fn named(reader: &mut Reader<'_>, backends: &[Backend], places: &Places, url_filter: UrlFilter) -> Stores {
    let default = reader
        .text(GLANCE_STORE, "default_backend")
        .map(|found| found.text);
    let writable: Vec<&str> = backends
        .iter()
        .filter(|backend| backend.driver.is_writable())
        .map(|backend| backend.id.as_str())
        .collect();
    if !writable.iter().any(|id| default.as_deref() == Some(id)) && !backends.is_empty() {
        let message = match writable.as_slice() {
            [] => format!(
                "there is no store that can be written: name one of the drivers {} in enabled_backends",
                available(DriverKind::is_writable)
            ),
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
    let mut taken = BTreeMap::new();
    let mut list = Vec::new();
    for backend in backends {
        let section = sources::group(&backend.id);
        let driver = backend.driver.read(reader, &section, places);
        let (option, taken_here) = taken_by(&driver);
        for place in taken_here {
            let owner = taken.entry(place).or_insert(&backend.id);
            if *owner != &backend.id {
                let message = match &driver {
                    StoreDriver::Swift(_) => format!(
                        "is the container of the store {owner}, too, with the same default_swift_reference: locations would \
                         not tell whose they are. Give each a container of its own"
                    ),
                    _ => format!("is where the store {owner} keeps its data: each needs a place of its own"),
                };
                reader.refuse(ErrorKind::Conflict, &section, option, message);
            }
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
        file_engine: FileEngine::default(),
    }
}

/// `[glance_store]` as of old: one store of each of the drivers in `stores`.
fn single(reader: &mut Reader<'_>, places: &Places, url_filter: UrlFilter) -> Stores {
    let is_empty = reader
        .effective
        .contains_key(&OptionName::new(DEFAULT, "enabled_backends"));
    let stock = vec![DriverKind::File, DriverKind::Http];
    let (kinds, default) = match is_empty {
        true => (stock, DriverKind::File),
        false => {
            let before = reader.errors.len();
            let kinds = drivers(reader, "stores").unwrap_or(stock);
            let default = drivers(reader, "default_store");
            // What is wrong already is enough.
            if reader.errors.len() == before {
                check_single(reader, &kinds, default.as_deref());
            }
            let first = default.and_then(|kinds| kinds.first().copied());
            let default = first.unwrap_or(DriverKind::File);
            // Where it is none of them, that is an error already: options of its own are not asked for.
            match kinds.contains(&default) {
                true => (kinds, default),
                false => (vec![DriverKind::File], DriverKind::File),
            }
        }
    };
    let mut list: Vec<Store> = Vec::new();
    // The one that is written first.
    for kind in std::iter::once(default).chain(kinds) {
        if list.iter().all(|store| store.id != kind.name()) {
            list.push(Store {
                id: kind.name().to_owned(),
                description: None,
                weight: 0,
                driver: kind.read(reader, GLANCE_STORE, places),
            });
        }
    }
    Stores {
        naming: StoreNaming::Single,
        default: default.name().to_owned(),
        list,
        url_filter,
        file_engine: FileEngine::default(),
    }
}

/// That the default store is one of the stores, and can be written.
fn check_single(reader: &mut Reader<'_>, kinds: &[DriverKind], default: Option<&[DriverKind]>) {
    let writable: Vec<String> = (kinds.iter().filter(|kind| kind.is_writable()))
        .map(|kind| format!("`{}`", kind.name()))
        .collect();
    if writable.is_empty() {
        let available = available(DriverKind::is_writable);
        let message = format!("there is no store that can be written: add one of {available}");
        reader.refuse(ErrorKind::Conflict, GLANCE_STORE, "stores", message);
        return;
    }
    let is_one = match default.unwrap_or(&[DriverKind::File]) {
        [one] => one.is_writable() && kinds.contains(one),
        _ => false,
    };
    if !is_one {
        let message = format!(
            "must be {}: a store of `stores` that can be written",
            writable.join(" or ")
        );
        reader.refuse(ErrorKind::Conflict, GLANCE_STORE, "default_store", message);
    }
}

/// The drivers that an option names; `None` when it is not set, or names one that is not there.
fn drivers(reader: &mut Reader<'_>, name: &str) -> Option<Vec<DriverKind>> {
    let found = reader.text(GLANCE_STORE, name)?;
    let mut drivers = Vec::new();
    for driver in value::list(&found.text) {
        let Some(kind) = DriverKind::parse(&driver) else {
            let available = available(|_| true);
            let message = format!("asks for the driver {driver}; available are {available}");
            reader.refuse(ErrorKind::Unsupported, GLANCE_STORE, name, message);
            return None;
        };
        drivers.push(kind);
    }
    Some(drivers)
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
