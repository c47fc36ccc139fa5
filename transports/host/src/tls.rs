//! Secure WebSockets: our own TLS under the WebSocket transport, whose own cannot change its certificate.
//!
//! Noise and yamux run inside as everywhere: TLS is there for the rules of browsers, not for identity.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_rustls::TlsAcceptor;
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent},
    },
    multiaddr::Protocol as Part,
};
use rustls::ServerConfig;

use crate::certificate::{self, Identity};

/// What is spoken inside: the WebSocket begins with a request of HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// Takes TLS connections, showing the certificate of `identity` as it is at that time.
pub(crate) fn acceptor(identity: Arc<Identity>) -> Result<TlsAcceptor, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(certificate::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config).into())
}

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// Listens on `/tls/ws` by a WebSocket transport that has TLS under it and does not know of it.
pub(crate) struct SecureListeners {
    inner: Connections,
}

impl SecureListeners {
    pub(crate) fn new(inner: Connections) -> Self {
        Self { inner }
    }
}

impl Transport for SecureListeners {
    type Output = (PeerId, StreamMuxerBox);
    type Error = io::Error;
    type ListenerUpgrade = <Connections as Transport>::ListenerUpgrade;
    type Dial = <Connections as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        match without_tls(&address) {
            Some(inner) => self.inner.listen_on(id, inner),
            None => Err(TransportError::MultiaddrNotSupported(address)),
        }
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    /// The plain WebSocket transport dials the secure ones too.
    fn dial(
        &mut self,
        address: Multiaddr,
        _options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.inner).poll(cx).map(|event| match event {
            TransportEvent::NewAddress { listener_id, listen_addr } => {
                TransportEvent::NewAddress { listener_id, listen_addr: with_tls(listen_addr) }
            }
            TransportEvent::AddressExpired { listener_id, listen_addr } => {
                TransportEvent::AddressExpired { listener_id, listen_addr: with_tls(listen_addr) }
            }
            TransportEvent::Incoming { listener_id, upgrade, local_addr, send_back_addr } => {
                TransportEvent::Incoming {
                    listener_id,
                    upgrade,
                    local_addr: with_tls(local_addr),
                    send_back_addr: with_tls(send_back_addr),
                }
            }
            event @ (TransportEvent::ListenerClosed { .. } | TransportEvent::ListenerError { .. }) => event,
        })
    }
}

/// `…/tls/ws` as `…/ws`; `None` for every other address.
fn without_tls(address: &Multiaddr) -> Option<Multiaddr> {
    let mut rest = address.clone();
    let Some(Part::Ws(path)) = rest.pop() else { return None };
    let Some(Part::Tls) = rest.pop() else { return None };
    Some(rest.with(Part::Ws(path)))
}

/// `…/ws` as `…/tls/ws`.
fn with_tls(mut address: Multiaddr) -> Multiaddr {
    match address.pop() {
        Some(Part::Ws(path)) => address.with(Part::Tls).with(Part::Ws(path)),
        Some(other) => address.with(other),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_taken_out_of_an_address_and_put_back() {
        let outer: Multiaddr = "/ip4/127.0.0.1/tcp/443/tls/ws".parse().expect("multiaddr");

        let inner = without_tls(&outer).expect("secure");

        assert_eq!(inner, "/ip4/127.0.0.1/tcp/443/ws".parse().expect("multiaddr"));
        assert_eq!(with_tls(inner.clone()), outer);
        assert_eq!(without_tls(&inner), None);
        assert_eq!(without_tls(&"/ip4/127.0.0.1/tcp/443".parse().expect("multiaddr")), None);
    }
}
