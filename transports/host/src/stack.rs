//! The transports put together: TCP and WebSocket with their security and muxer, QUIC, names resolved.

use std::{io, sync::Arc, time::Duration};

use causeway_wire::heartbeat;
use futures::{AsyncRead, AsyncWrite, FutureExt, TryFutureExt, future, future::BoxFuture};
use libp2p::{
    PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::Boxed,
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, SelectUpgrade, UpgradeInfo, Version},
    },
    dns,
    identity::Keypair,
    noise, quic, relay, tcp, tls as libp2p_tls, yamux,
};
use tracing::warn;

use crate::{
    HostError, HostLimits, Listen,
    certificate::Identity,
    convert::in_full,
    guard::{Doorman, Guarded, Marked, Naming},
    tls::{self, SecureListeners},
    websocket::{self, Dialing, Listening},
};

/// More streams than these yamux does not take: their smallest windows would pass its limit of a connection.
const MOST_YAMUX_STREAMS: usize = 4096;

/// What a QUIC peer may send on one stream before we read; thousands of stalled peers may pin it all.
const QUIC_STREAM_WINDOW: u32 = 1024 * 1024;

/// What a QUIC peer may send on all streams of a connection before we read.
const QUIC_CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// Silence after which a QUIC connection is given up; short outages of a phone's network survive.
const QUIC_IDLE: Duration = Duration::from_secs(30);

/// Silence after which QUIC asks whether the peer is there.
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How much longer than the longest heartbeat a quiet QUIC connection is kept: two pings may be missed first.
const QUIC_GRACE: Duration = Duration::from_secs(90);

/// Makes AWS-LC the process's TLS provider, unless one is installed already.
///
/// Two providers are compiled in (libp2p's TLS and QUIC bring AWS-LC, its WebSocket brings ring); who asks rustls
/// for the default then panics unless one was chosen. Call it first thing in `main` and in every test.
pub fn install_crypto_provider() {
    // An error says that another one was installed before, which is just as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

pub(crate) type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// What secure WebSockets need.
#[derive(Debug)]
pub(crate) struct Secrets {
    /// Shown to who connects; none where none is listened for.
    pub(crate) identity: Option<Arc<Identity>>,
    /// Trusted beside the roots of the web when dialing; DER.
    pub(crate) trusted_roots: Vec<Vec<u8>>,
}

/// WebSocket over TLS or TCP, TCP, and QUIC as one transport; `naming` tells it whose word each dial is.
///
/// Without a readable resolver configuration the host still runs; only names cannot be dialed then.
pub(crate) fn build(
    keypair: &Keypair,
    limits: &HostLimits,
    doorman: &Doorman,
    naming: Naming,
    secrets: Secrets,
    listen: &[Listen],
    circuits: relay::client::Transport,
) -> Result<Connections, HostError> {
    let Secrets { identity, trusted_roots } = secrets;
    let connector = websocket::connector(&trusted_roots).map_err(|error| setup("wss", &error))?;
    let (websockets, direct) = match (
        dns::tokio::Transport::system(plain_tcp(doorman)),
        dns::tokio::Transport::system(direct(keypair, limits, doorman, listen)?),
    ) {
        (Ok(tcp), Ok(direct)) => {
            let dialing = Dialing::new(tcp, connector);
            (secured_websocket(dialing, keypair, limits)?, direct.boxed())
        }
        (Err(error), _) | (_, Err(error)) => {
            warn!(reason = %error, "no name resolution: addresses with DNS names cannot be dialed");
            let dialing = Dialing::new(plain_tcp(doorman), connector);
            (secured_websocket(dialing, keypair, limits)?, direct(keypair, limits, doorman, listen)?)
        }
    };
    let listening = websocket_listeners(plain_tcp(doorman), keypair, limits)?;
    let dialing = either(websockets, either(listening, direct));
    let all = match identity {
        Some(identity) => either(secure_listeners(identity, keypair, limits)?, dialing),
        None => dialing,
    };
    // Before QUIC, which takes every address that begins as one of its own.
    let all = if listen.iter().any(|listen| matches!(listen, Listen::WebTransport(_))) {
        either(web_transport(keypair, limits)?, all)
    } else {
        all
    };
    let all = if listen.iter().any(|listen| matches!(listen, Listen::WebRtcDirect(_))) {
        either(webrtc_direct(keypair, limits)?, all)
    } else {
        all
    };
    // Before all: the others would take such an address as that of the relay.
    let all = either(secured_circuits(circuits, keypair, limits)?, all);
    Ok(Marked::new(all, naming).boxed())
}

/// WebSocket comes first and has resolved names itself: for TLS it needs the name, not the address behind it.
fn either(first: Connections, second: Connections) -> Connections {
    first.or_transport(second).map(|either, _| either.into_inner()).boxed()
}

fn direct(
    keypair: &Keypair,
    limits: &HostLimits,
    doorman: &Doorman,
    listen: &[Listen],
) -> Result<Connections, HostError> {
    let quic = quic::tokio::Transport::new(quic_config(keypair, limits, listen))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .boxed();
    Ok(either(secured_tcp(keypair, limits, doorman)?, Guarded::new(quic, doorman.clone()).boxed()))
}

/// Circuits are byte streams to the peer behind the relay, who proves who he is within.
fn secured_circuits(
    circuits: relay::client::Transport,
    keypair: &Keypair,
    limits: &HostLimits,
) -> Result<Connections, HostError> {
    Ok(circuits
        .upgrade(Version::V1Lazy)
        .authenticate(security("relay", keypair)?)
        .multiplex(yamux_config(limits))
        .timeout(limits.handshake_timeout)
        .boxed())
}

fn security(transport: &'static str, keypair: &Keypair) -> Result<Security, HostError> {
    Ok(Security(SelectUpgrade::new(
        libp2p_tls::Config::new(keypair).map_err(|error| setup(transport, &error))?,
        noise::Config::new(keypair).map_err(|error| setup(transport, &error))?,
    )))
}

fn plain_tcp(doorman: &Doorman) -> Guarded<tcp::tokio::Transport> {
    Guarded::new(tcp::tokio::Transport::new(tcp::Config::default()), doorman.clone())
}

fn secured_tcp(keypair: &Keypair, limits: &HostLimits, doorman: &Doorman) -> Result<Connections, HostError> {
    Ok(plain_tcp(doorman)
        .upgrade(Version::V1Lazy)
        .authenticate(security("tcp", keypair)?)
        .multiplex(yamux_config(limits))
        .timeout(limits.handshake_timeout)
        .boxed())
}

/// Secure WebSockets of others: TLS is taken off before the WebSocket transport sees them.
///
/// A connection is at the gate before its TLS handshake, which shares the time limit of all handshakes.
fn secure_listeners(
    identity: Arc<Identity>,
    keypair: &Keypair,
    limits: &HostLimits,
) -> Result<Connections, HostError> {
    let acceptor = tls::acceptor(identity).map_err(|error| setup("wss", &error))?;
    let over_tls = tcp::tokio::Transport::new(tcp::Config::default())
        .and_then(move |socket, _| acceptor.accept(socket))
        .boxed();
    Ok(SecureListeners::new(websocket_listeners(over_tls, keypair, limits)?).boxed())
}

/// WebTransport of others. The gate counts its connections as it counts all; the transport's own limits bound what
/// comes before that: handshakes, and the memory of each connection.
fn web_transport(keypair: &Keypair, limits: &HostLimits) -> Result<Connections, HostError> {
    let mut config = webtransport::Config::new(keypair).map_err(|error| setup("webtransport", &error))?;
    config.limits.connections = limits.incoming;
    // Peers on the loopback and in allowed networks are exempt, which only the gate knows.
    config.limits.connections_of_one = usize::MAX;
    config.limits.handshakes = limits.pending_incoming;
    config.limits.handshakes_of_one = usize::MAX;
    config.limits.handshake_time = limits.handshake_timeout;
    config.limits.streams = u32::try_from(limits.streams).unwrap_or(u32::MAX);
    config.limits.stream_window = QUIC_STREAM_WINDOW;
    config.limits.connection_window = QUIC_CONNECTION_WINDOW;
    config.limits.idle = QUIC_IDLE;
    config.limits.keep_alive = Some(QUIC_KEEP_ALIVE);
    let transport = webtransport::Transport::new(config).map_err(|error| setup("webtransport", &error))?;
    Ok(transport.map(|(peer, session), _| (peer, StreamMuxerBox::new(session))).boxed())
}

/// WebRTC-direct of others, bounded as WebTransport is. How fast one address may begin stays with the transport: a
/// request to begin there proves no address.
fn webrtc_direct(keypair: &Keypair, limits: &HostLimits) -> Result<Connections, HostError> {
    let mut config = webrtc_direct::Config::new(keypair).map_err(|error| setup("webrtc-direct", &error))?;
    config.limits.connections = limits.incoming;
    config.limits.connections_of_one = usize::MAX;
    config.limits.handshakes = limits.pending_incoming;
    config.limits.handshakes_of_one = usize::MAX;
    config.limits.handshake_time = limits.handshake_timeout;
    config.limits.streams = limits.streams;
    let transport = webrtc_direct::Transport::new(config).map_err(|error| setup("webrtc-direct", &error))?;
    Ok(transport.map(|(peer, session), _| (peer, StreamMuxerBox::new(session))).boxed())
}

/// WebSockets of others, over `transport`.
pub(crate) fn websocket_listeners<T>(
    transport: T,
    keypair: &Keypair,
    limits: &HostLimits,
) -> Result<Connections, HostError>
where
    T: Transport + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    T::Output: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    secured_websocket(Listening::new(transport), keypair, limits)
}

/// Browsers know noise only, so TLS is not offered within a WebSocket.
fn secured_websocket<T>(
    websocket: T,
    keypair: &Keypair,
    limits: &HostLimits,
) -> Result<Connections, HostError>
where
    T: Transport + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    T::Output: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let noise = noise::Config::new(keypair).map_err(|error| setup("ws", &error))?;
    Ok(websocket
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux_config(limits))
        .timeout(limits.handshake_timeout)
        .boxed())
}

fn yamux_config(limits: &HostLimits) -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(limits.streams.min(MOST_YAMUX_STREAMS));
    config
}

fn quic_config(keypair: &Keypair, limits: &HostLimits, listen: &[Listen]) -> quic::Config {
    let mut config = quic::Config::new(keypair);
    config.max_concurrent_stream_limit = u32::try_from(limits.streams).unwrap_or(u32::MAX);
    config.max_stream_data = QUIC_STREAM_WINDOW;
    config.max_connection_data = QUIC_CONNECTION_WINDOW;
    let (idle, keep_alive) = quic_silence(limits, listen);
    config.max_idle_timeout = u32::try_from(idle.as_millis()).unwrap_or(u32::MAX);
    config.keep_alive_interval = keep_alive;
    config.handshake_timeout = limits.handshake_timeout;
    config
}

/// Silence after which QUIC gives a connection up, and that after which it asks.
///
/// Both hold for all connections of an endpoint, and the shorter patience of two ends counts. Where others may come
/// who want quiet (or we want it), QUIC is therefore patient and our own pings, whose interval is agreed on for each
/// connection, find the dead: QUIC's questions would wake a phone. Who wants no quiet and listens to nobody is as
/// impatient as others are, and so are then the connections with it.
fn quic_silence(limits: &HostLimits, listen: &[Listen]) -> (Duration, Duration) {
    let for_others = listen.iter().any(|listen| matches!(listen, Listen::Quic(_)));
    if for_others || limits.heartbeat > heartbeat::DEFAULT {
        (heartbeat::LONGEST + QUIC_GRACE, heartbeat::LONGEST)
    } else {
        (QUIC_IDLE, QUIC_KEEP_ALIVE)
    }
}

fn setup(transport: &'static str, error: &dyn std::error::Error) -> HostError {
    HostError::Transport { transport, reason: in_full(error) }
}

/// TLS or noise, as the two ends agree; a byte stream to an authenticated peer either way.
#[derive(Clone)]
struct Security(SelectUpgrade<libp2p_tls::Config, noise::Config>);

type Offered = SelectUpgrade<libp2p_tls::Config, noise::Config>;
type Secured<C> = future::Either<libp2p_tls::TlsStream<C>, noise::Output<C>>;

impl UpgradeInfo for Security {
    type Info = <Offered as UpgradeInfo>::Info;
    type InfoIter = <Offered as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<C> InboundConnectionUpgrade<C> for Security
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, Secured<C>);
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0
            .upgrade_inbound(socket, info)
            .map_ok(future::Either::factor_first)
            .map_err(io::Error::other)
            .boxed()
    }
}

impl<C> OutboundConnectionUpgrade<C> for Security
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, Secured<C>);
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0
            .upgrade_outbound(socket, info)
            .map_ok(future::Either::factor_first)
            .map_err(io::Error::other)
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quic_outlasts_the_quiet_that_peers_may_ask_for_and_is_impatient_with_nobody_else() {
        let any = "127.0.0.1:0".parse().expect("address");
        let limits = HostLimits::default();
        let quiet = HostLimits { heartbeat: Duration::from_secs(60), ..HostLimits::default() };

        for (limits, listen) in [(&limits, Listen::Quic(any)), (&quiet, Listen::Tcp(any))] {
            let (idle, keep_alive) = quic_silence(limits, &[listen]);
            // The interval, and two answers that do not come.
            assert!(idle > heartbeat::LONGEST + Duration::from_secs(40));
            assert_eq!(keep_alive, heartbeat::LONGEST);
        }
        assert_eq!(quic_silence(&limits, &[Listen::Tcp(any)]), (QUIC_IDLE, QUIC_KEEP_ALIVE));
    }
}
