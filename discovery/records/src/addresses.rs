//! Where a record's node can be reached over libp2p, and why not.

use crate::{EntryError, Multiaddr, MultiaddrError, Part, Record};

/// The libp2p addresses of a record, judged one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Libp2pAddrs {
    /// Those that can be dialed as they stand, with `/p2p`: QUIC first, then those of `multiaddrs` in their order.
    pub addresses: Vec<Multiaddr>,
    /// Why others cannot, or why a whole key gave none.
    pub faults: Vec<AddressFault>,
}

/// Why an address of a record is not dialed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// A key of addresses that cannot be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// An address that is none, or one through the node itself.
    #[error(transparent)]
    Multiaddr(#[from] MultiaddrError),
    /// Nobody listens at port 0.
    #[error("{address} has port 0")]
    PortZero {
        /// The address.
        address: Multiaddr,
    },
    /// Not over TCP, WebSocket or QUIC.
    #[error("{address} is not over a transport that we speak")]
    Transport {
        /// The address.
        address: Multiaddr,
    },
}

impl Record {
    /// Every libp2p address that the record gives, judged.
    pub fn libp2p(&self) -> Libp2pAddrs {
        let mut judged = Libp2pAddrs::default();
        match self.quic_addrs() {
            Ok(addrs) => addrs.into_iter().map(Multiaddr::quic).for_each(|addr| judged.take(&addr, self)),
            Err(error) => judged.faults.push(error.into()),
        }
        match self.multiaddrs() {
            Ok(listed) => {
                listed.addresses.iter().for_each(|addr| judged.take(addr, self));
                judged.faults.extend(listed.skipped.into_iter().map(AddressFault::Multiaddr));
            }
            Err(error) => judged.faults.push(error.into()),
        }
        judged
    }

    /// Every address at which libp2p can be dialed: [`Libp2pAddrs::addresses`] alone.
    pub fn libp2p_addrs(&self) -> Vec<Multiaddr> {
        self.libp2p().addresses
    }

    /// Those of them that go through relays, which keep a place for the node.
    pub fn relayed(&self) -> Vec<Multiaddr> {
        let mut addresses = self.libp2p_addrs();
        addresses.retain(|addr| addr.relay().is_some());
        addresses
    }
}

impl Libp2pAddrs {
    fn take(&mut self, carried: &Multiaddr, record: &Record) {
        match carried.to_dial(record.key()) {
            Ok(addr) if addr.is_dialable() => self.addresses.push(addr),
            Ok(address) if has_port_zero(&address) => self.faults.push(AddressFault::PortZero { address }),
            Ok(address) => self.faults.push(AddressFault::Transport { address }),
            Err(error) => self.faults.push(error.into()),
        }
    }
}

fn has_port_zero(addr: &Multiaddr) -> bool {
    addr.parts().iter().any(|part| matches!(part, Part::Tcp(0) | Part::Udp(0)))
}
