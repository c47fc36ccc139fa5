//! WebSockets of others.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol as Part,
};
use soketto::handshake::{Server, server::Response};

use super::{Asking, Bytes, Carried, WebSocketError};

/// What is answered to those who ask for something else than a WebSocket.
const BAD_REQUEST: u16 = 400;

/// Listens for WebSockets on listeners of `inner`, and dials nothing.
pub(crate) struct Listening<T> {
    inner: T,
}

impl<T> Listening<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner }
    }
}

impl<T> Transport for Listening<T>
where
    T: Transport + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::ListenerUpgrade: Send + 'static,
    T::Output: Bytes + 'static,
{
    type Output = Carried;
    type Error = WebSocketError<T::Error>;
    type ListenerUpgrade = BoxFuture<'static, Result<Self::Output, Self::Error>>;
    type Dial = futures::future::Pending<Result<Self::Output, Self::Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        match beneath(&address) {
            Some(inner) => {
                self.inner.listen_on(id, inner).map_err(|error| error.map(WebSocketError::Beneath))
            }
            None => Err(TransportError::MultiaddrNotSupported(address)),
        }
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.inner).poll(cx).map(|event| match event {
            TransportEvent::NewAddress { listener_id, listen_addr } => {
                TransportEvent::NewAddress { listener_id, listen_addr: above(listen_addr) }
            }
            TransportEvent::AddressExpired { listener_id, listen_addr } => {
                TransportEvent::AddressExpired { listener_id, listen_addr: above(listen_addr) }
            }
            TransportEvent::Incoming { listener_id, upgrade, local_addr, send_back_addr } => {
                let accepting = async move {
                    let stream = upgrade.await.map_err(WebSocketError::Beneath)?;
                    accept(Box::new(stream)).await
                };
                TransportEvent::Incoming {
                    listener_id,
                    upgrade: accepting.boxed(),
                    local_addr: above(local_addr),
                    send_back_addr: above(send_back_addr),
                }
            }
            TransportEvent::ListenerClosed { listener_id, reason } => TransportEvent::ListenerClosed {
                listener_id,
                reason: reason.map_err(WebSocketError::Beneath),
            },
            TransportEvent::ListenerError { listener_id, error } => {
                TransportEvent::ListenerError { listener_id, error: WebSocketError::Beneath(error) }
            }
        })
    }
}

/// Takes a client's request for a WebSocket.
pub(super) async fn accept<E>(stream: Box<dyn Bytes>) -> Result<Carried, WebSocketError<E>>
where
    E: std::error::Error + 'static,
{
    let (stream, agreed) = Asking::new(stream);
    let mut server = Server::new(stream);
    let key = match server.receive_request().await {
        Ok(request) => request.key(),
        Err(error) => {
            // Perhaps a browser that was given the address as a link. If it is gone, that is fine.
            let _ = server.send_response(&Response::Reject { status_code: BAD_REQUEST }).await;
            return Err(error.into());
        }
    };
    server.send_response(&Response::Accept { key, protocol: None }).await?;
    Ok(agreed.carry(server.into_builder()))
}

/// `…/ws` without its last part; `None` for every other address.
fn beneath(address: &Multiaddr) -> Option<Multiaddr> {
    let mut inner = address.clone();
    match (inner.pop(), inner.iter().last()) {
        (Some(Part::Ws(_)), Some(Part::Tcp(_))) => Some(inner),
        _ => None,
    }
}

fn above(inner: Multiaddr) -> Multiaddr {
    inner.with(Part::Ws("/".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_websockets_are_listened_on() {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/80/ws".parse().expect("multiaddr");
        let inner = beneath(&address).expect("a WebSocket");
        assert_eq!(above(inner), address);
        for other in ["/ip4/127.0.0.1/tcp/80", "/ip4/127.0.0.1/tcp/80/tls/ws", "/ip4/127.0.0.1/tcp/80/wss"] {
            assert_eq!(beneath(&other.parse().expect("multiaddr")), None, "{other}");
        }
    }
}
