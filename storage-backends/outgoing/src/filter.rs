//! `[import_filtering_opts]`: where Glance's operator lets users send it.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use url::Host;

use crate::{
    Forbidden, Target,
    address::{faces, forbidden},
};

/// An allow list, or a block list where there is none. Glance ignores a block list beside an allow list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lists<T> {
    /// These alone.
    Only(BTreeSet<T>),
    /// All but these.
    AllBut(BTreeSet<T>),
}

impl<T: Ord> Lists<T> {
    /// From both options.
    pub fn of(allowed: impl IntoIterator<Item = T>, disallowed: impl IntoIterator<Item = T>) -> Self {
        let allowed: BTreeSet<_> = allowed.into_iter().collect();
        if allowed.is_empty() {
            Self::AllBut(disallowed.into_iter().collect())
        } else {
            Self::Only(allowed)
        }
    }

    /// Whether it passes.
    pub fn admit(&self, item: &T) -> bool {
        match self {
            Self::Only(allowed) => allowed.contains(item),
            Self::AllBut(disallowed) => !disallowed.contains(item),
        }
    }

    fn names(&self, item: &T) -> bool {
        matches!(self, Self::Only(allowed) if allowed.contains(item))
    }
}

/// A host as it is compared: an address, or a name in lower case and ASCII without a last dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostName(Known);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Address(IpAddr),
    Name(String),
}

/// The text is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a host name nor an address")]
pub struct InvalidHost(String);

impl HostName {
    /// A host as an operator writes it: a name, `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`.
    ///
    /// # Errors
    /// [`InvalidHost`].
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(text.to_owned());
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<Ipv6Addr>() {
            return Ok(Self(Known::Address(address.into())));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self(Known::Address(address.into())));
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) if !name.trim_end_matches('.').is_empty() => Ok(Self::of_name(&name)),
            _ => Err(invalid()),
        }
    }

    pub(crate) fn of_name(name: &str) -> Self {
        Self(Known::Name(
            name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
        ))
    }

    fn of(target: &Target) -> Option<Self> {
        Some(match target.url().host()? {
            Host::Domain(name) => Self::of_name(name),
            Host::Ipv4(address) => Self(Known::Address(address.into())),
            Host::Ipv6(address) => Self(Known::Address(address.into())),
        })
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Known::Address(address) => address.fmt(f),
            Known::Name(name) => f.write_str(name),
        }
    }
}

/// The options of `[import_filtering_opts]`, by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // They are Glance's.
pub struct FilterOptions {
    pub allowed_schemes: Vec<String>,
    pub disallowed_schemes: Vec<String>,
    pub allowed_hosts: Vec<String>,
    pub disallowed_hosts: Vec<String>,
    pub allowed_ports: Vec<u16>,
    pub disallowed_ports: Vec<u16>,
}

impl Default for FilterOptions {
    /// Glance's.
    fn default() -> Self {
        Self {
            allowed_schemes: vec!["http".to_owned(), "https".to_owned()],
            disallowed_schemes: Vec::new(),
            allowed_hosts: Vec::new(),
            disallowed_hosts: Vec::new(),
            allowed_ports: vec![80, 443],
            disallowed_ports: Vec::new(),
        }
    }
}

/// What the operator lets others send the daemon to. Whatever is in the lists, no scheme but http and https is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    schemes: Lists<String>,
    hosts: Lists<HostName>,
    ports: Lists<u16>,
    addresses: Addresses,
}

/// Whether it matters what kind an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addresses {
    Checked,
    Any,
}

/// Why nothing is asked of a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// By `allowed_schemes` or `disallowed_schemes`.
    #[error("the scheme {0} is not allowed")]
    Scheme(String),
    /// By `allowed_hosts` or `disallowed_hosts`.
    #[error("the host {0} is not allowed")]
    Host(HostName),
    /// By `allowed_ports` or `disallowed_ports`.
    #[error("the port {0} is not allowed")]
    Port(u16),
    /// No address of the host may be connected to; why the first may not.
    #[error("{host} leads to {address}, which is not allowed unless the host is in allowed_hosts")]
    Address {
        /// The host.
        host: HostName,
        /// Its address.
        address: IpAddr,
        /// What kind it is.
        #[source]
        why: Forbidden,
    },
    /// All addresses of the host are in `disallowed_hosts`.
    #[error("{host} leads to {address}, which is in disallowed_hosts")]
    DisallowedAddress {
        /// The host.
        host: HostName,
        /// Its address.
        address: IpAddr,
    },
}

impl Filter {
    /// From the options.
    ///
    /// # Errors
    /// The first host of the lists that is none.
    pub fn new(options: FilterOptions) -> Result<Self, InvalidHost> {
        let lower = |schemes: Vec<String>| schemes.into_iter().map(|scheme| scheme.to_ascii_lowercase());
        let hosts = |hosts: &[String]| -> Result<Vec<_>, _> {
            hosts.iter().map(|host| HostName::parse(host)).collect()
        };
        Ok(Self {
            schemes: Lists::of(lower(options.allowed_schemes), lower(options.disallowed_schemes)),
            hosts: Lists::of(hosts(&options.allowed_hosts)?, hosts(&options.disallowed_hosts)?),
            ports: Lists::of(options.allowed_ports, options.disallowed_ports),
            addresses: Addresses::Checked,
        })
    }

    /// Lets everything pass, to loopback addresses, too: for URLs that are the operator's own word. What such a server
    /// redirects to is not, so that a client with this filter is to follow no redirects.
    pub fn none() -> Self {
        Self {
            schemes: Lists::of([], []),
            hosts: Lists::of([], []),
            ports: Lists::of([], []),
            addresses: Addresses::Any,
        }
    }

    /// Judges what a URL says: scheme, host, and the port if it names one (Glance asks no more of a port).
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn admit(&self, target: &Target) -> Result<(), Refusal> {
        let scheme = target.scheme().to_owned();
        if !self.schemes.admit(&scheme) {
            return Err(Refusal::Scheme(scheme));
        }
        let host = HostName::of(target);
        if let Some(host) = host.filter(|host| !self.hosts.admit(host)) {
            return Err(Refusal::Host(host));
        }
        match target.named_port().filter(|port| !self.ports.admit(port)) {
            Some(port) => Err(Refusal::Port(port)),
            None => Ok(()),
        }
    }

    /// Judges the address of a URL that has one in place of a name, which no resolver sees.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub fn admit_literal(&self, target: &Target) -> Result<(), Refusal> {
        match HostName::of(target) {
            Some(HostName(Known::Address(address))) => {
                self.admit_address(&HostName(Known::Address(address)), address)
            }
            _ => Ok(()),
        }
    }

    /// Judges an address that a host has.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub fn admit_address(&self, host: &HostName, address: IpAddr) -> Result<(), Refusal> {
        if self.addresses == Addresses::Any || self.hosts.names(host) {
            return Ok(());
        }
        if let Some(why) = forbidden(address) {
            let host = host.clone();
            return Err(Refusal::Address { host, address, why });
        }
        let mut faces = faces(address).map(|face| HostName(Known::Address(face)));
        match &self.hosts {
            Lists::AllBut(disallowed) if faces.any(|face| disallowed.contains(&face)) => {
                let host = host.clone();
                Err(Refusal::DisallowedAddress { host, address })
            }
            _ => Ok(()),
        }
    }
}

impl Default for Filter {
    /// Glance's.
    fn default() -> Self {
        let FilterOptions {
            allowed_schemes,
            allowed_ports,
            ..
        } = FilterOptions::default();
        Self {
            schemes: Lists::of(allowed_schemes, []),
            hosts: Lists::of([], []),
            ports: Lists::of(allowed_ports, []),
            addresses: Addresses::Checked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(change: impl FnOnce(&mut FilterOptions)) -> Filter {
        let mut options = FilterOptions::default();
        change(&mut options);
        Filter::new(options).unwrap()
    }

    fn admits(filter: &Filter, url: &str) -> bool {
        let target = Target::parse(url).unwrap();
        filter
            .admit(&target)
            .and_then(|()| filter.admit_literal(&target))
            .is_ok()
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn the_operators_own_word_needs_no_filter() {
        for url in ["http://127.0.0.1:9292/", "https://[::1]/", "http://glance:9292/"] {
            assert!(admits(&Filter::none(), url), "{url}");
        }
    }

    #[test]
    fn the_defaults_are_glances() {
        let filter = Filter::default();
        assert_eq!(filter, self::filter(|_| {}));
        for (url, pass) in [
            ("http://example.org/x", true),
            ("https://example.org:443/x", true),
            ("http://10.0.0.1:80/x", true),
            ("http://example.org:22/x", false),
            ("http://127.0.0.1/", false),
            ("http://169.254.169.254/", false),
            ("http://[::1]/", false),
            ("http://[::ffff:127.0.0.1]/", false),
        ] {
            assert_eq!(admits(&filter, url), pass, "{url}");
        }
    }

    #[test]
    fn an_allow_list_wins() {
        let filter = filter(|options| {
            options.allowed_hosts = texts(&["good.example"]);
            options.disallowed_hosts = texts(&["good.example"]);
            options.allowed_ports = vec![8080];
            options.disallowed_ports = vec![8080];
            options.allowed_schemes = texts(&["https"]);
            options.disallowed_schemes = texts(&["https"]);
        });
        assert!(admits(&filter, "https://good.example:8080/"));
        // The port counts where it is named.
        assert!(admits(&filter, "https://good.example/"));
        assert!(!admits(&filter, "https://good.example:443/"));
        assert!(!admits(&filter, "http://good.example:8080/"));
        assert!(!admits(&filter, "https://bad.example:8080/"));
    }

    #[test]
    fn without_allow_lists_the_block_lists_hold() {
        let filter = filter(|options| {
            options.allowed_schemes.clear();
            options.allowed_ports.clear();
            options.disallowed_schemes = texts(&["http"]);
            options.disallowed_hosts = texts(&["Bad.Example", "192.0.2.1", "b\u{fc}cher.example"]);
            options.disallowed_ports = vec![22];
        });
        assert!(admits(&filter, "https://good.example:1234/"));
        for url in [
            "http://good.example/",
            "https://bad.example/",
            "https://BAD.example./",
            "https://xn--bcher-kva.example/",
            "https://good.example:22/",
            "https://192.0.2.1/",
            "https://[::ffff:192.0.2.1]/",
            "https://[64:ff9b::192.0.2.1]/",
        ] {
            assert!(!admits(&filter, url), "{url}");
        }
    }

    #[test]
    fn addresses_pass_for_hosts_that_are_allowed_by_name() {
        let filter = filter(|options| options.allowed_hosts = texts(&["127.0.0.1", "images.local", "[::1]"]));
        assert!(admits(&filter, "http://127.0.0.1/"));
        assert!(admits(&filter, "http://[::1]/"));
        let loopback = Ipv4Addr::LOCALHOST.into();
        let admit = |name| filter.admit_address(&HostName::of_name(name), loopback).is_ok();
        assert!(admit("images.local"));
        assert!(!admit("other.local"));
    }

    #[test]
    fn what_is_no_host_is_refused_in_the_lists() {
        for host in ["", ".", "127.1", "0x7f000001", "a b", "http://h/"] {
            let options = FilterOptions {
                disallowed_hosts: texts(&[host]),
                ..FilterOptions::default()
            };
            assert_eq!(Filter::new(options), Err(InvalidHost(host.to_owned())));
        }
    }
}
