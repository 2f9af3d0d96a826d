//! Starting to listen, with errors that say what to do.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, anyhow};
use libp2p::{Multiaddr, Swarm, multiaddr::Protocol};

use super::{addresses, behaviour::Behaviour};

/// Listens on each address, or on none.
pub(super) fn listen(swarm: &mut Swarm<Behaviour>, addresses: &[Multiaddr]) -> anyhow::Result<()> {
    for address in addresses {
        addresses::parse_listen(&address.to_string())?;
        probe(address).map_err(|error| refusal(address, &error))?;
    }
    for address in addresses {
        swarm.listen_on(address.clone()).with_context(|| format!("cannot listen on {address}"))?;
    }
    Ok(())
}

/// Binds and lets go. libp2p listens with `SO_REUSEPORT`, with which two nodes of one user would share a port in
/// silence and take each other's connections.
fn probe(address: &Multiaddr) -> io::Result<()> {
    match socket_address(address) {
        Some(socket) if socket.port() != 0 => TcpListener::bind(socket).map(drop),
        Some(_) | None => Ok(()),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "libp2p knows some forty protocols")]
fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    Some(SocketAddr::new(ip, port))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "io knows some forty kinds")]
fn refusal(address: &Multiaddr, error: &io::Error) -> anyhow::Error {
    let port = socket_address(address).map_or(0, |socket| socket.port());
    let fix = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the port is in use; stop the other program (`ss -ltnp sport = :{port}` names it) or start with another \
             --listen"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine does not have the address; to listen on all it has, --listen /ip4/0.0.0.0/tcp/{port}")
        }
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 is for the service manager to give; start with another --listen".to_owned()
        }
        _ => error.to_string(),
    };
    anyhow!("cannot listen on {address}: {fix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        let address = "/ip4/192.0.2.7/tcp/443".parse().unwrap();
        for (kind, text) in [
            (
                io::ErrorKind::AddrInUse,
                "the port is in use; stop the other program (`ss -ltnp sport = :443` names it) or start with another \
                 --listen",
            ),
            (
                io::ErrorKind::AddrNotAvailable,
                "this machine does not have the address; to listen on all it has, --listen /ip4/0.0.0.0/tcp/443",
            ),
            (
                io::ErrorKind::PermissionDenied,
                "a port below 1024 is for the service manager to give; start with another --listen",
            ),
        ] {
            let expected = format!("cannot listen on /ip4/192.0.2.7/tcp/443: {text}");
            assert_eq!(refusal(&address, &kind.into()).to_string(), expected);
        }
        assert!(probe(&address).is_err());
    }
}
