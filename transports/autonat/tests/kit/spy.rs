//! A transport that notes what is dialed.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, PortUse, TransportError, TransportEvent},
    },
};

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// What was dialed, and from which port.
pub type Dials = Arc<Mutex<Vec<(Multiaddr, PortUse)>>>;

pub struct Spy {
    inner: Connections,
    dials: Dials,
}

impl Spy {
    pub fn new(inner: Connections, dials: Dials) -> Self {
        Self { inner, dials }
    }
}

impl Transport for Spy {
    type Output = (PeerId, StreamMuxerBox);
    type Error = std::io::Error;
    type ListenerUpgrade = <Connections as Transport>::ListenerUpgrade;
    type Dial = <Connections as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.dials.lock().expect("not poisoned").push((address.clone(), options.port_use));
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}
