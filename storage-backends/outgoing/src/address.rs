//! Which addresses no stranger may send the daemon to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// 127.0.0.0/8, `::1`.
    #[error("it is this machine")]
    Loopback,
    /// 169.254.0.0/16, `fe80::/10`: among them the metadata service of most clouds.
    #[error("it is link-local, as the metadata service is")]
    LinkLocal,
    /// A cloud's metadata service elsewhere.
    #[error("it is a cloud's metadata service")]
    Metadata,
    /// 0.0.0.0/8, `::`: Linux connects them to itself.
    #[error("it is unspecified")]
    Unspecified,
    /// Multicast, broadcast, and what is reserved: nobody's server.
    #[error("it is no host's address")]
    NoHost,
}

/// Metadata services that are not link-local: Alibaba, Oracle, Azure's wire server.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// Metadata services that are not link-local: AWS, Google.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Why nobody may be sent to `address`; `None` for those of the Internet and of private networks, which private clouds
/// fetch from (Glance, `resolve_pinned_address`).
pub(crate) fn forbidden(address: IpAddr) -> Option<Forbidden> {
    faces(address).find_map(|face| match face {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6),
    })
}

fn forbidden_v4(address: Ipv4Addr) -> Option<Forbidden> {
    let [first, ..] = address.octets();
    if address.is_loopback() {
        Some(Forbidden::Loopback)
    } else if address.is_link_local() {
        Some(Forbidden::LinkLocal)
    } else if METADATA_V4.contains(&address) {
        Some(Forbidden::Metadata)
    } else if first == 0 {
        Some(Forbidden::Unspecified)
    } else if first >= 224 {
        Some(Forbidden::NoHost)
    } else {
        None
    }
}

fn forbidden_v6(address: Ipv6Addr) -> Option<Forbidden> {
    if address.is_loopback() {
        Some(Forbidden::Loopback)
    } else if address.is_unicast_link_local() {
        Some(Forbidden::LinkLocal)
    } else if METADATA_V6.contains(&address) {
        Some(Forbidden::Metadata)
    } else if address.is_unspecified() {
        Some(Forbidden::Unspecified)
    } else if address.is_multicast() {
        Some(Forbidden::NoHost)
    } else {
        None
    }
}

/// The address, and the IPv4 addresses that a kernel, a tunnel or a translator may make of it.
pub(crate) fn faces(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let embedded = match address {
        IpAddr::V4(_) => Vec::new(),
        IpAddr::V6(v6) => embedded(v6),
    };
    std::iter::once(address).chain(embedded.into_iter().map(IpAddr::V4))
}

fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let [_, _, b2, b3, b4, b5, b6, b7, _, b9, b10, b11, b12, b13, b14, b15] = address.octets();
    let last = Ipv4Addr::new(b12, b13, b14, b15);
    match address.segments() {
        // Those have meanings of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        // IPv4-compatible and IPv4-mapped (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            vec![last]
        }
        // NAT64 of the operator's own (RFC 8215): the length of the prefix cannot be known (RFC 6052, 2.2). A face of
        // zeroes is only the padding of another form.
        [0x64, 0xff9b, 1, ..] => [
            last,
            Ipv4Addr::new(b6, b7, b9, b10),
            Ipv4Addr::new(b7, b9, b10, b11),
            Ipv4Addr::new(b9, b10, b11, b12),
        ]
        .into_iter()
        .filter(|face| face.octets().first() != Some(&0) && face.octets().first() < Some(&224))
        .collect(),
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![Ipv4Addr::new(b2, b3, b4, b5)],
        // Teredo (RFC 4380): its server, and the client's address in complement.
        [0x2001, 0, ..] => vec![
            Ipv4Addr::new(b4, b5, b6, b7),
            Ipv4Addr::new(!b12, !b13, !b14, !b15),
        ],
        // ISATAP (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => vec![last],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Forbidden> {
        forbidden(text.parse().unwrap())
    }

    #[test]
    fn the_internet_and_private_networks_are_open() {
        for text in [
            "192.0.2.1",
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "100.64.0.1",
            "8.8.8.8",
            "2001:db8::1",
            "2606:4700::1111",
            "fd00::1",
            "fc00:1::2",
            "::ffff:10.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn this_machine_its_link_and_metadata_are_not() {
        for (text, why) in [
            ("127.0.0.1", Forbidden::Loopback),
            ("127.255.255.254", Forbidden::Loopback),
            ("::1", Forbidden::Loopback),
            ("169.254.169.254", Forbidden::LinkLocal),
            ("fe80::a9fe:a9fe", Forbidden::LinkLocal),
            ("febf::1", Forbidden::LinkLocal),
            ("fd00:ec2::254", Forbidden::Metadata),
            ("fd20:ce::254", Forbidden::Metadata),
            ("100.100.100.200", Forbidden::Metadata),
            ("168.63.129.16", Forbidden::Metadata),
            ("0.0.0.0", Forbidden::Unspecified),
            ("0.1.2.3", Forbidden::Unspecified),
            ("::", Forbidden::Unspecified),
            ("224.0.0.1", Forbidden::NoHost),
            ("255.255.255.255", Forbidden::NoHost),
            ("ff02::1", Forbidden::NoHost),
        ] {
            assert_eq!(of(text), Some(why), "{text}");
        }
    }

    #[test]
    fn wrapped_addresses_are_unwrapped() {
        for text in [
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::127.0.0.1",
            "64:ff9b:1:7f00:0:100::",
            "64:ff9b:1:7f:0:1::",
            "64:ff9b:1:0:7f:0:100::",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "2001:0:808:808::80ff:fffe",
            "2001:db8::5efe:127.0.0.1",
        ] {
            assert_eq!(of(text), Some(Forbidden::Loopback), "{text}");
        }
        assert_eq!(of("::ffff:169.254.169.254"), Some(Forbidden::LinkLocal));
        assert_eq!(of("64:ff9b::a9fe:a9fe"), Some(Forbidden::LinkLocal));
        assert_eq!(of("::ffff:0.0.0.0"), Some(Forbidden::Unspecified));
    }
}
