//! Where a memcached listens, as `memcached_servers` writes it.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use super::MemcachedError;

const DEFAULT_PORT: u16 = 11211;

/// Where a memcached listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A TCP port.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// Which of the host's addresses may be used.
        family: Family,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Which of a host's addresses may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4, as python-memcached does, and only where there is none of it IPv6.
    PreferV4,
    /// IPv6 alone (`inet6:`).
    V6,
}

impl Family {
    /// Those of `addresses` that may be used.
    pub(super) fn choose(self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let v4_exists = addresses.iter().any(SocketAddr::is_ipv4);
        addresses.retain(|address| match self {
            Self::PreferV4 => address.is_ipv4() || !v4_exists,
            Self::V6 => address.is_ipv6(),
        });
        addresses
    }
}

impl Address {
    /// Understands what python-memcached (`unix:`, `inet:`, `inet6:`, host) and python-binary-memcached (a path,
    /// IPv6 with and without brackets) understand: keystonemiddleware passes the text to either.
    ///
    /// # Errors
    /// [`MemcachedError::Server`].
    pub(super) fn parse(server: &str) -> Result<Self, MemcachedError> {
        let refuse = |problem| MemcachedError::Server {
            server: server.to_owned(),
            problem,
        };
        if server.starts_with('/') {
            return Ok(Self::Unix(server.into()));
        }
        if let Some(path) = server.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(refuse("names no socket"));
            }
            return Ok(Self::Unix(path.into()));
        }
        if server.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self::Tcp {
                host: server.to_owned(),
                port: DEFAULT_PORT,
                family: Family::V6,
            });
        }
        let (bracketed, rest) = match server.strip_prefix("inet6:") {
            Some(rest) => (true, rest),
            None => (server.starts_with('['), server),
        };
        let (host, port, family) = if bracketed {
            let (host, port) = rest
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'))
                .ok_or_else(|| refuse("must hold the host in brackets"))?;
            (host, port, Family::V6)
        } else {
            let rest = rest.strip_prefix("inet:").unwrap_or(rest);
            let (host, port) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
            (host, port, Family::PreferV4)
        };
        if host.is_empty() {
            return Err(refuse("names no host"));
        }
        if host.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '[' | ']' | '/')) {
            return Err(refuse("is not a host name or address"));
        }
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port != 0)
            }
            None if port.is_empty() => Some(DEFAULT_PORT),
            _ => None,
        };
        Ok(Self::Tcp {
            host: host.to_owned(),
            port: port.ok_or_else(|| refuse("has no port from 1 to 65535 after the host"))?,
            family,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, family: Family) -> Address {
        Address::Tcp {
            host: host.into(),
            port,
            family,
        }
    }

    #[test]
    fn understands_what_either_python_client_understands() {
        for (text, address) in [
            ("controller", tcp("controller", 11211, Family::PreferV4)),
            ("controller:11212", tcp("controller", 11212, Family::PreferV4)),
            ("inet:10.0.0.1:1", tcp("10.0.0.1", 1, Family::PreferV4)),
            ("inet:10.0.0.1", tcp("10.0.0.1", 11211, Family::PreferV4)),
            ("inet6:[::1]:11212", tcp("::1", 11212, Family::V6)),
            ("inet6:[::1]", tcp("::1", 11211, Family::V6)),
            ("inet6:[localhost]:9", tcp("localhost", 9, Family::V6)),
            ("[fd00::2]:11212", tcp("fd00::2", 11212, Family::V6)),
            ("[fd00::2]", tcp("fd00::2", 11211, Family::V6)),
            ("fd00::2", tcp("fd00::2", 11211, Family::V6)),
            (
                "unix:/run/memcached.sock",
                Address::Unix("/run/memcached.sock".into()),
            ),
            ("/run/memcached.sock", Address::Unix("/run/memcached.sock".into())),
        ] {
            assert_eq!(Address::parse(text).unwrap(), address, "{text}");
        }
    }

    #[test]
    fn refuses_everything_else_and_says_what_it_read() {
        for text in [
            "",
            ":11211",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "host:11211:1",
            "inet:",
            "inet6:::1:11211",
            "inet6:[]:1",
            "[::1",
            "[::1]x",
            "unix:",
            "a b:1",
            "a\n:1",
            "http://a:1",
            "inet:[::1]:1",
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with("memcached_servers: ") && error.contains(&format!("{text:?}")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_name_is_used_at_ipv4_if_it_has_any() {
        let (v4, v6): (SocketAddr, SocketAddr) =
            (([127, 0, 0, 1], 1).into(), (Ipv6Addr::LOCALHOST, 1).into());
        assert_eq!(Family::PreferV4.choose(vec![v6, v4]), [v4]);
        assert_eq!(Family::PreferV4.choose(vec![v6]), [v6]);
        assert_eq!(Family::V6.choose(vec![v4, v6]), [v6]);
        assert!(Family::V6.choose(vec![v4]).is_empty());
    }
}
