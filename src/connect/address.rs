//! Which network addresses a tenant's website may have.
//!
//! A tenant names the website, so Herald must not become its arm into the private network: every address that is not on
//! the public internet is refused, wherever it comes from: a name, a literal, a redirect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// From IANA's special-purpose registry for IPv4 (RFC 6890 and its successors), with multicast and the reserved rest.
const NOT_PUBLIC_V4: [(Ipv4Addr, u8); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, reserved, broadcast: 224.0.0.0 to 255.255.255.255.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Global unicast is 2000::/3; inside it these are special.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const NOT_PUBLIC_V6: [(Ipv6Addr, u8); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4 and NAT64 carry an IPv4 address inside; the latter lies outside 2000::/3.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Addresses that are refused whatever the settings allow: link-local ones, under which clouds serve the credentials of their
/// machines, and the clouds' others of that kind.
const NEVER_V4: [(Ipv4Addr, u8); 2] = [
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Alibaba Cloud's metadata.
    (Ipv4Addr::new(100, 100, 100, 200), 32),
];
const NEVER_V6: [(Ipv6Addr, u8); 2] = [
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    // Amazon's metadata and its other services of the machine.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
];
/// Networks whose addresses end with one of IPv4 (NAT64 of RFC 6052, and IPv4-compatible ones of RFC 4291).
const WITH_V4: [(Ipv6Addr, u8); 2] =
    [(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96), (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 96)];

/// The address that a URL names by itself, which no resolver ever sees.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host() {
        Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
        Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
        _ => None,
    }
}

/// The addresses of a name, as the system resolves it, that are allowed.
pub(super) async fn resolve(host: &str, port: u16, allows: impl Fn(IpAddr) -> bool) -> Vec<SocketAddr> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map(Iterator::collect::<Vec<SocketAddr>>).unwrap_or_default();
    found.into_iter().filter(|found| allows(found.ip())).collect()
}

/// Whether a website may have the address; `private`: one that is not on the public internet, too.
pub(super) fn is_allowed(address: IpAddr, private: bool) -> bool {
    !is_never(address) && (private || is_public(address))
}

fn is_never(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => NEVER_V4.iter().any(|net| in_v4(v4, *net)),
        IpAddr::V6(v6) => {
            let carried = WITH_V4.iter().any(|net| in_v6(v6, *net)).then(|| {
                let [.., a, b, c, d] = v6.octets();
                Ipv4Addr::new(a, b, c, d)
            });
            let of_6to4 = (v6.segments()[0] == 0x2002).then(|| {
                let [_, _, a, b, c, d, ..] = v6.octets();
                Ipv4Addr::new(a, b, c, d)
            });
            let v4 = carried.or(of_6to4);
            NEVER_V6.iter().any(|net| in_v6(v6, *net))
                || v4.is_some_and(|v4| NEVER_V4.iter().any(|net| in_v4(v4, *net)))
        }
    }
}

/// Whether the address is on the public internet.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4.iter().any(|net| in_v4(v4, *net)),
        IpAddr::V6(v6) => in_v6(v6, GLOBAL_V6) && !NOT_PUBLIC_V6.iter().any(|net| in_v6(v6, *net)),
    }
}

fn in_v4(address: Ipv4Addr, (net, prefix): (Ipv4Addr, u8)) -> bool {
    Ipv4Net::new(net, prefix).is_ok_and(|net| net.contains(&address))
}

fn in_v6(address: Ipv6Addr, (net, prefix): (Ipv6Addr, u8)) -> bool {
    Ipv6Net::new(net, prefix).is_ok_and(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for public in ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1"] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "100::1",
        ] {
            assert!(!is_public(private.parse().expect("an address")), "{private}");
        }
    }

    #[test]
    fn the_machines_own_credentials_are_never_read() {
        for never in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
        ] {
            let address = never.parse().expect("an address");
            assert!(!is_allowed(address, true) && !is_allowed(address, false), "{never}");
        }
        for private in ["127.0.0.1", "::1", "10.0.0.1", "fd00::1", "100.100.100.201"] {
            let address = private.parse().expect("an address");
            assert!(is_allowed(address, true) && !is_allowed(address, false), "{private}");
        }
    }
}
