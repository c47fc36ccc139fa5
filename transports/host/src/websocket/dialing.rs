//! Dialing WebSockets, with TLS and without.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use futures_rustls::TlsConnector;
use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol as Part,
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use soketto::handshake::{Client, ServerResponse};

use super::{Asking, Bytes, Carried, WebSocketError};
use crate::certificate;

/// TLS as a client: trusts the roots of the web and these, in DER.
pub(crate) fn connector(trusted_roots: &[Vec<u8>]) -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in trusted_roots {
        roots.add(root.clone().into())?;
    }
    let config = ClientConfig::builder_with_provider(certificate::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

/// Dials WebSockets, with TLS and without, over connections of `inner`, which may resolve names.
pub(crate) struct Dialing<T> {
    inner: T,
    connector: TlsConnector,
}

impl<T> Dialing<T> {
    pub(crate) fn new(inner: T, connector: TlsConnector) -> Self {
        Self { inner, connector }
    }
}

impl<T> Transport for Dialing<T>
where
    T: Transport + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::Output: Bytes + 'static,
{
    type Output = Carried;
    type Error = WebSocketError<T::Error>;
    type ListenerUpgrade = futures::future::Pending<Result<Self::Output, Self::Error>>;
    type Dial = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        if !address.iter().any(|part| matches!(part, Part::Ws(_) | Part::Wss(_))) {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        let Some(target) = Target::of(&address) else {
            return Err(TransportError::Other(WebSocketError::Address(address)));
        };
        let dial = match self.inner.dial(target.beneath.clone(), options) {
            Ok(dial) => dial,
            Err(error) => return Err(error.map(WebSocketError::Beneath)),
        };
        let connector = self.connector.clone();
        let dialing = async move {
            let socket = dial.await.map_err(WebSocketError::Beneath)?;
            let stream: Box<dyn Bytes> = match target.name.clone() {
                Some(name) => Box::new(connector.connect(name, socket).await.map_err(WebSocketError::Tls)?),
                None => Box::new(socket),
            };
            ask(stream, &target).await
        };
        Ok(dialing.boxed())
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Poll::Pending // it never listens
    }
}

/// Asks the server for a WebSocket.
pub(super) async fn ask<E>(stream: Box<dyn Bytes>, target: &Target) -> Result<Carried, WebSocketError<E>>
where
    E: std::error::Error + 'static,
{
    let (stream, agreed) = Asking::new(stream);
    let mut client = Client::new(stream, &target.host, &target.path);
    match client.handshake().await? {
        ServerResponse::Accepted { .. } => {}
        ServerResponse::Redirect { status_code, .. } | ServerResponse::Rejected { status_code } => {
            return Err(WebSocketError::Status(status_code));
        }
    }
    Ok(agreed.carry(client.into_builder()))
}

/// What an address says.
#[derive(Debug, PartialEq)]
pub(super) struct Target {
    /// The connection's own address, with the peer if it is named.
    pub(super) beneath: Multiaddr,
    /// Host and port, for the request.
    pub(super) host: String,
    pub(super) path: String,
    /// Whose certificate is to be shown, where there is TLS.
    pub(super) name: Option<ServerName<'static>>,
}

impl Target {
    /// `/ip4|ip6|dns…/tcp/N` and `/ws`, `/wss`, `/tls/ws` or `/tls/sni/NAME/ws`, perhaps with `/p2p/…` behind it.
    pub(super) fn of(address: &Multiaddr) -> Option<Self> {
        let mut parts = address.iter();
        let (place, port) = (parts.next()?, parts.next()?);
        let Part::Tcp(number) = port else { return None };
        let (host, default_name) = match &place {
            Part::Ip4(ip) => (format!("{ip}:{number}"), ServerName::IpAddress(IpAddr::V4(*ip).into())),
            Part::Ip6(ip) => (format!("[{ip}]:{number}"), ServerName::IpAddress(IpAddr::V6(*ip).into())),
            Part::Dns(name) | Part::Dns4(name) | Part::Dns6(name) => {
                (format!("{name}:{number}"), ServerName::try_from(name.to_string()).ok()?)
            }
            _ => return None,
        };
        let mut beneath = Multiaddr::from(place).with(port);
        let (path, name) = match parts.next()? {
            Part::Ws(path) => (path, None),
            Part::Wss(path) => (path, Some(default_name)),
            Part::Tls => match parts.next()? {
                Part::Ws(path) => (path, Some(default_name)),
                Part::Sni(name) => {
                    let name = ServerName::try_from(name.to_string()).ok()?;
                    let Part::Ws(path) = parts.next()? else { return None };
                    (path, Some(name))
                }
                _ => return None,
            },
            _ => return None,
        };
        match parts.next() {
            Some(peer @ Part::P2p(_)) => beneath.push(peer),
            Some(_) => return None,
            None => {}
        }
        parts.next().is_none().then(|| Self { beneath, host, path: path.into_owned(), name })
    }
}
