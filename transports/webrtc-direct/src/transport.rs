//! The transport: listeners, and the certificate that all of them show.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::{StreamExt, stream::SelectAll};
use libp2p_core::{
    multiaddr::Multiaddr,
    transport::{DialOpts, ListenerId, TransportError, TransportEvent},
};
use libp2p_identity::PeerId;
use libp2p_noise as noise;

use crate::{
    address::{self, Kind},
    certificate::Certhash,
    config::Config,
    endpoint::Shown,
    error::Error,
    gate::{Gate, GateReport},
    listener::{Listener, Upgrade},
    machine::Terms,
    session::Session,
};

/// libp2p's WebRTC-direct, listening side. Needs a tokio runtime.
///
/// It yields `(PeerId, Session)`: who the peer is, and the muxer. No further upgrade is needed or possible.
pub struct Transport {
    config: Config,
    shown: Shown,
    terms: Terms,
    gate: Gate,
    listeners: SelectAll<Listener>,
    waker: Option<Waker>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("config", &self.config)
            .field("listeners", &self.listeners.len())
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// A transport without listeners.
    ///
    /// # Errors
    /// If Noise refuses the identity, or DTLS the limits.
    pub fn new(config: Config) -> Result<Self, Error> {
        let noise = noise::Config::new(&config.identity).map_err(Error::Identity)?;
        Ok(Self {
            shown: Shown { noise, digest: *config.certificate.digest() },
            terms: Terms::new(config.certificate.dtls(), &config.limits)?,
            gate: Gate::new(config.limits),
            listeners: SelectAll::new(),
            waker: None,
            config,
        })
    }

    /// Tells what holds now, also once the transport has gone into a swarm.
    pub fn handle(&self) -> Handle {
        Handle { gate: self.gate.clone(), hash: self.config.certificate.hash() }
    }
}

impl libp2p_core::Transport for Transport {
    type Output = (PeerId, Session);
    type Error = Error;
    type ListenerUpgrade = Upgrade;
    type Dial = std::future::Pending<Result<Self::Output, Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Error>> {
        let socket = match address::kind(&address) {
            Kind::Listen(socket) => socket,
            Kind::Dial => return Err(TransportError::Other(Error::CerthashInListenAddress)),
            Kind::Other => return Err(TransportError::MultiaddrNotSupported(address)),
        };
        let listener = Listener::new(
            id,
            socket,
            self.config.certificate.hash(),
            self.shown.clone(),
            self.terms.clone(),
            (self.config.limits, self.gate.clone()),
        )
        .map_err(TransportError::Other)?;
        self.listeners.push(listener);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let listener = self.listeners.iter_mut().find(|listener| listener.id() == id);
        listener.map(Listener::close).is_some()
    }

    /// Always an error: [`Error::DialingUnsupported`] for addresses of WebRTC-direct, and for others the one
    /// that lets another transport try.
    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<Error>> {
        match address::kind(&address) {
            Kind::Listen(_) | Kind::Dial => Err(TransportError::Other(Error::DialingUnsupported)),
            Kind::Other => Err(TransportError::MultiaddrNotSupported(address)),
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Error>> {
        if let Poll::Ready(Some(event)) = self.listeners.poll_next_unpin(cx) {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Tells what holds now in a [`Transport`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    gate: Gate,
    hash: Certhash,
}

impl Handle {
    /// How full it is.
    pub fn report(&self) -> GateReport {
        self.gate.report()
    }

    /// The hash of the certificate in an address.
    pub fn certhash(&self) -> Certhash {
        self.hash
    }

    /// An address of ours that ends in `/webrtc-direct`, with the hash; `None` if it does not.
    ///
    /// Peers observe our address without it, and without it nobody can dial it.
    pub fn complete(&self, address: &Multiaddr) -> Option<Multiaddr> {
        address::complete(address, self.hash)
    }
}
