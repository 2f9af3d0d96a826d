//! Addresses as people write them and as libp2p reads them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::{Multiaddr, multiaddr::Protocol};
use thiserror::Error;

/// The port of a Cloud node unless another is named.
pub const DEFAULT_PORT: u16 = 4001;

/// Why text is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not a listening address.
    #[error("`{0}` is no address to listen on; write it as /ip4/0.0.0.0/tcp/4001 or /ip6/::/tcp/4001")]
    Listen(String),
    /// Not a host.
    #[error("`{0}` is no host; write HOST, HOST:PORT or [IPV6]:PORT, as in cloud.example.org:4001")]
    Host(String),
    /// Not a port.
    #[error("`{0}` is no port; a port is a number from 1 to 65535")]
    Port(String),
}

/// Reads an address to listen on: exactly `/ip4|ip6/ADDRESS/tcp/PORT`; port 0 takes a free one.
pub fn parse_listen(text: &str) -> Result<Multiaddr, AddressError> {
    let refused = || AddressError::Listen(text.to_owned());
    let address: Multiaddr = text.parse().map_err(|_| refused())?;
    let mut parts = address.iter();
    let is_ip = matches!(parts.next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_)));
    let is_tcp = matches!(parts.next(), Some(Protocol::Tcp(_)));
    if is_ip && is_tcp && parts.next().is_none() { Ok(address) } else { Err(refused()) }
}

/// Reads the address under which others reach this node: `HOST`, `HOST:PORT`, `IPV6` or `[IPV6]:PORT`.
pub fn announced(host_port: &str) -> Result<Multiaddr, AddressError> {
    let text = host_port.trim();
    let (host, port) = split(text)?;
    let host = if let Ok(address) = host.parse::<Ipv4Addr>() {
        Protocol::Ip4(address)
    } else if let Ok(address) = host.parse::<Ipv6Addr>() {
        Protocol::Ip6(address)
    } else if is_name(host) {
        Protocol::Dns(host.to_owned().into())
    } else {
        return Err(AddressError::Host(text.to_owned()));
    };
    Ok(Multiaddr::empty().with(host).with(Protocol::Tcp(port)))
}

/// Whether only machines nearby can reach the address: loopback, private, link-local and shared ranges, local names.
pub fn is_private(address: &Multiaddr) -> bool {
    let Some(first) = address.iter().next() else { return true };
    if let Protocol::Ip4(ip) = first {
        is_private_ip(ip.into())
    } else if let Protocol::Ip6(ip) = first {
        is_private_ip(ip.into())
    } else if let Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) = first {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_local = |suffix: &&str| name.ends_with(*suffix);
        !name.contains('.') || [".local", ".localhost", ".lan", ".internal", ".home.arpa"].iter().any(is_local)
    } else {
        false
    }
}

fn split(text: &str) -> Result<(&str, u16), AddressError> {
    let refused = || AddressError::Host(text.to_owned());
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(refused)?;
        host.parse::<Ipv6Addr>().map_err(|_| refused())?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((host, parse_port(port)?)),
            None if port.is_empty() => Ok((host, DEFAULT_PORT)),
            None => Err(refused()),
        };
    }
    match text.split_once(':') {
        // More than one colon is an IPv6 address without brackets, or nothing.
        Some((_, rest)) if rest.contains(':') => Ok((text, DEFAULT_PORT)),
        Some((host, port)) => Ok((host, parse_port(port)?)),
        None => Ok((text, DEFAULT_PORT)),
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| AddressError::Port(text.to_owned()))
}

/// Host names of RFC 1123; one whose last label is a number would be a mistyped IPv4 address.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let last_is_number = text.rsplit('.').next().is_none_or(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= 253 && !last_is_number && text.split('.').all(is_label)
}

fn is_private_ip(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            // 100.64.0.0/10 is the shared range of carrier-grade NAT, RFC 6598.
            let is_shared = first == 100 && (64..128).contains(&second);
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_becomes_a_multiaddress() {
        for (written, read) in [
            ("cloud.example.org", "/dns/cloud.example.org/tcp/4001"),
            (" cloud.example.org:443 ", "/dns/cloud.example.org/tcp/443"),
            ("192.0.2.7", "/ip4/192.0.2.7/tcp/4001"),
            ("192.0.2.7:80", "/ip4/192.0.2.7/tcp/80"),
            ("[2001:db8::1]:443", "/ip6/2001:db8::1/tcp/443"),
            ("[2001:db8::1]", "/ip6/2001:db8::1/tcp/4001"),
            ("2001:db8::1", "/ip6/2001:db8::1/tcp/4001"),
        ] {
            assert_eq!(announced(written).expect("reads").to_string(), read);
        }
    }

    #[test]
    fn what_is_no_host_or_port_is_refused() {
        for text in ["", ":4001", "a b", "-a.org", "a..org", "192.0.2.300", "[::1", "[host]:1", "/ip4/1.2.3.4", "::g"] {
            assert_eq!(announced(text), Err(AddressError::Host(text.to_owned())));
        }
        for port in ["0", "65536", "http", ""] {
            assert_eq!(announced(&format!("host.org:{port}")), Err(AddressError::Port(port.to_owned())));
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        assert_eq!(
            AddressError::Listen("4001".into()).to_string(),
            "`4001` is no address to listen on; write it as /ip4/0.0.0.0/tcp/4001 or /ip6/::/tcp/4001"
        );
        assert_eq!(
            AddressError::Host("a b".into()).to_string(),
            "`a b` is no host; write HOST, HOST:PORT or [IPV6]:PORT, as in cloud.example.org:4001"
        );
        assert_eq!(AddressError::Port("x".into()).to_string(), "`x` is no port; a port is a number from 1 to 65535");
    }

    #[test]
    fn only_plain_tcp_addresses_are_listened_on() {
        for text in ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/0"] {
            assert_eq!(parse_listen(text).expect("reads").to_string(), text);
        }
        for text in ["", "0.0.0.0:4001", "/dns/a.org/tcp/1", "/ip4/0.0.0.0/udp/1", "/ip4/0.0.0.0/tcp/1/ws", "/tcp/1"] {
            assert_eq!(parse_listen(text), Err(AddressError::Listen(text.to_owned())));
        }
    }

    #[test]
    fn private_ranges_and_names_are_known() {
        for host in
            ["10.0.0.1", "127.0.0.1", "100.64.0.1", "169.254.1.1", "fd00::1", "fe80::1", "::1", "nas", "a.local"]
        {
            assert!(is_private(&announced(host).expect("reads")), "{host}");
        }
        for host in ["192.0.2.7", "100.128.0.1", "2001:db8::1", "cloud.example.org"] {
            assert!(!is_private(&announced(host).expect("reads")), "{host}");
        }
    }
}
