//! Starting to listen, with errors that say what to do.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, bail};
use libp2p::{Multiaddr, Swarm, multiaddr::Protocol};

use super::{addresses, behaviour::Behaviour};

/// Listens on each address, or on none.
pub(super) fn listen(swarm: &mut Swarm<Behaviour>, addresses: &[Multiaddr]) -> anyhow::Result<()> {
    for address in addresses {
        addresses::parse_listen(&address.to_string())?;
        probe(address).with_context(|| refusal(address))?;
    }
    for address in addresses {
        if let Err(error) = swarm.listen_on(address.clone()) {
            bail!("{} ({error})", refusal(address));
        }
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

fn refusal(address: &Multiaddr) -> String {
    let port = socket_address(address).map_or(0, |socket| socket.port());
    format!(
        "cannot listen on {address}: if the port is in use, stop the other program (`ss -ltnp sport = :{port}` names \
         it) or start with another --listen"
    )
}
