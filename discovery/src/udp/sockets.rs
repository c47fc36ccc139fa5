//! The sockets, bound before our record is signed, so that the real port can go into it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use super::UdpError;

/// Ports that the system offers until one is free on both families.
const PORT_TRIES: usize = 16;

/// What the kernel may queue for us while we compute: a burst of some hundred packets.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// One socket for each address family, both on the same port.
#[derive(Debug)]
pub struct Sockets {
    v4: Option<Bound>,
    v6: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    socket: UdpSocket,
    addr: SocketAddr,
}

impl Sockets {
    /// Binds to `addr`.
    ///
    /// `::` takes every address of both families, on two sockets, as discv5 does not take v4 addresses mapped
    /// into v6; on a host without IPv6 it is v4 alone. Port 0 takes a port that is free on each family.
    ///
    /// # Errors
    /// [`UdpError::Bind`]
    pub fn bind(addr: SocketAddr) -> Result<Self, UdpError> {
        let bind = |addr| bound(addr).map_err(|source| UdpError::Bind { addr, source });
        match addr.ip() {
            IpAddr::V4(_) => Ok(Self { v4: Some(bind(addr)?), v6: None }),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => both(addr.port()),
            IpAddr::V6(_) => Ok(Self { v4: None, v6: Some(bind(addr)?) }),
        }
    }

    /// The port, the same on each family.
    pub fn port(&self) -> u16 {
        self.v4().or_else(|| self.v6()).map_or(0, |addr| addr.port())
    }

    /// Where the v4 socket is bound.
    pub fn v4(&self) -> Option<SocketAddr> {
        self.v4.as_ref().map(|bound| bound.addr)
    }

    /// Where the v6 socket is bound.
    pub fn v6(&self) -> Option<SocketAddr> {
        self.v6.as_ref().map(|bound| bound.addr)
    }

    /// The sockets themselves, v4 and v6.
    pub(super) fn into_std(self) -> (Option<UdpSocket>, Option<UdpSocket>) {
        (self.v4.map(|bound| bound.socket), self.v6.map(|bound| bound.socket))
    }
}

fn both(port: u16) -> Result<Sockets, UdpError> {
    let v4_addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let mut tries = if port == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let v4 = bound(v4_addr).map_err(|source| UdpError::Bind { addr: v4_addr, source })?;
        let v6_addr = SocketAddr::from((Ipv6Addr::UNSPECIFIED, v4.addr.port()));
        match bound(v6_addr) {
            Ok(v6) => return Ok(Sockets { v4: Some(v4), v6: Some(v6) }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(UdpError::Bind { addr: v6_addr, source: error });
            }
            Err(error) => {
                debug!(%error, "no IPv6 here: discovery is on IPv4 alone");
                return Ok(Sockets { v4: Some(v4), v6: None });
            }
        }
    }
}

fn bound(addr: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER); // the system may allow less
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    let socket = UdpSocket::from(socket);
    let addr = socket.local_addr()?;
    Ok(Bound { socket, addr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_the_socket_of_its_family() {
        let v4 = Sockets::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");

        assert!(v4.port() != 0 && v4.v6().is_none());
        assert_eq!(v4.v4().map(|addr| addr.port()), Some(v4.port()));
    }

    #[test]
    fn every_address_takes_one_port_on_both_families() {
        let sockets = Sockets::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).expect("a port");

        let v4 = sockets.v4().expect("v4 is always taken");
        assert_eq!(v4.port(), sockets.port());
        // A host without IPv6 has the one socket alone.
        let has_v6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        assert_eq!(sockets.v6().map(|addr| addr.port()), has_v6.then_some(sockets.port()));
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let first = Sockets::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let taken = first.v4().expect("bound");

        let error = Sockets::bind(taken).expect_err("taken");

        assert!(error.to_string().contains(&taken.to_string()), "{error}");
    }
}
