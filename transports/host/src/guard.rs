//! The dial guard: which IP addresses are dialed on a stranger's word and which are denied to everybody, checked
//! after names were resolved.
//!
//! The addresses of strangers' records may lead to the loopback or into the network around us, also behind a DNS
//! name. Only the innermost transports see which IP address is dialed, and only whoever asks for the dial knows
//! whose word it is: the outermost transport carries that knowledge inwards.

use std::{
    fmt, io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent},
    },
    multiaddr::Protocol as Part,
};

use crate::{Denied, lists::SharedRules};

/// Which IP addresses may be dialed on a stranger's word.
#[derive(Clone, Default)]
pub enum DialGuard {
    /// All of them.
    #[default]
    Any,
    /// Those for which the function says yes. IPv4 addresses mapped into IPv6 are given to it as IPv4.
    Only(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>),
}

impl DialGuard {
    /// Whether `ip` may be dialed.
    pub fn allows(&self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Only(allowed) => allowed(ip.to_canonical()),
        }
    }
}

impl fmt::Debug for DialGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "Any",
            Self::Only(_) => "Only(..)",
        })
    }
}

/// On whose word an address is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The user's: dialed wherever it leads.
    User,
    /// A stranger's: the guard is asked.
    Stranger,
}

/// Tells the transports whose word the dial is that the swarm is just being given.
///
/// The swarm hands a dial to its transport within the call, so what is set for the length of the call is that
/// dial's. Whatever is dialed outside of such a call counts as a stranger's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming(Arc<AtomicBool>);

impl Naming {
    pub(crate) fn on_word<T>(&self, word: Word, dial: impl FnOnce() -> T) -> T {
        self.0.store(word == Word::User, Ordering::Relaxed);
        let result = dial();
        self.0.store(false, Ordering::Relaxed);
        result
    }
}

/// One dial, from the address as given to the sockets.
#[derive(Debug)]
struct Attempt {
    word: Word,
    /// Why an address was refused.
    refused: OnceLock<NotDialed>,
    /// Some address passed.
    passed: AtomicBool,
}

impl Attempt {
    /// Which error tells more: that of the transports, or that nothing there may be dialed.
    fn explain(&self, error: io::Error) -> io::Error {
        match self.refused.get() {
            Some(why) if !self.passed.load(Ordering::Relaxed) => refusal(*why),
            _ => error,
        }
    }
}

tokio::task_local! {
    /// The dial whose future is being polled.
    static ATTEMPT: Arc<Attempt>;
}

/// Why an address is not dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotDialed {
    #[error("{0} is not dialed on a stranger's word")]
    StrangersWord(IpAddr),
    #[error(transparent)]
    Denied(#[from] Denied),
}

fn refusal(why: NotDialed) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// Why a dial that ended with `error` was refused, if it was.
pub(crate) fn why_refused(error: &io::Error) -> Option<NotDialed> {
    let inner = error.get_ref()?;
    match inner.downcast_ref::<NotDialed>() {
        Some(why) => Some(*why),
        None => why_refused(inner.downcast_ref::<io::Error>()?), // each boxed transport wraps its errors again
    }
}

type Connections = Boxed<(PeerId, StreamMuxerBox)>;
type Connection = (PeerId, StreamMuxerBox);

/// The outermost transport: notes on whose word each dial is.
pub(crate) struct Marked {
    inner: Connections,
    naming: Naming,
}

impl Marked {
    pub(crate) fn new(inner: Connections, naming: Naming) -> Self {
        Self { inner, naming }
    }
}

impl Transport for Marked {
    type Output = Connection;
    type Error = io::Error;
    type ListenerUpgrade = <Connections as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<Connection>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let word = if self.naming.0.load(Ordering::Relaxed) { Word::User } else { Word::Stranger };
        let attempt = Arc::new(Attempt { word, refused: OnceLock::new(), passed: AtomicBool::new(false) });
        let dial = ATTEMPT
            .sync_scope(attempt.clone(), || self.inner.dial(address, options))
            .map_err(|error| error.map(|error| attempt.explain(error)))?;
        Ok(ATTEMPT.scope(attempt.clone(), dial).map_err(move |error| attempt.explain(error)).boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// An innermost transport: sees the IP addresses that are dialed indeed.
#[derive(Debug)]
pub(crate) struct Guarded<T> {
    inner: T,
    doorman: Doorman,
}

/// What is asked before an address is dialed; the rules change while the host runs.
#[derive(Clone, Debug)]
pub(crate) struct Doorman {
    pub(crate) guard: DialGuard,
    pub(crate) rules: SharedRules,
}

impl<T> Guarded<T> {
    pub(crate) fn new(inner: T, doorman: Doorman) -> Self {
        Self { inner, doorman }
    }

    /// Every IP address in `address` counts: TCP dials the last one, whatever stands before it.
    fn check(&self, address: &Multiaddr) -> Result<(), TransportError<io::Error>> {
        let attempt = ATTEMPT.try_with(Arc::clone).ok();
        let ips = || {
            address.iter().filter_map(|part| match part {
                Part::Ip4(ip) => Some(IpAddr::V4(ip)),
                Part::Ip6(ip) => Some(IpAddr::V6(ip)),
                _ => None,
            })
        };
        let users = attempt.as_ref().is_some_and(|attempt| attempt.word == Word::User);
        let guarded = !users && !matches!(self.doorman.guard, DialGuard::Any);
        if guarded && ips().next().is_none() {
            return Err(TransportError::MultiaddrNotSupported(address.clone()));
        }
        let rules = self.doorman.rules.current();
        let refused = ips().find_map(|ip| match rules.check_ip(ip) {
            Err(denied) => Some(NotDialed::Denied(denied)),
            Ok(()) if guarded && !self.doorman.guard.allows(ip) => Some(NotDialed::StrangersWord(ip)),
            Ok(()) => None,
        });
        if let Some(why) = refused {
            if let Some(attempt) = attempt {
                let _ = attempt.refused.set(why); // the first one tells enough
            }
            return Err(TransportError::Other(refusal(why)));
        }
        if let Some(attempt) = attempt {
            attempt.passed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl<T: Transport<Error = io::Error> + Unpin> Transport for Guarded<T> {
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.check(&address)?;
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded() -> Guarded<()> {
        let guard = DialGuard::Only(Arc::new(|ip| !ip.is_loopback()));
        Guarded::new((), Doorman { guard, rules: SharedRules::default() })
    }

    #[test]
    fn a_strangers_loopback_is_refused_in_each_form() {
        for address in [
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/::1/udp/1/quic-v1",
            "/ip6/::ffff:127.0.0.1/tcp/1",
            "/ip4/192.0.2.1/ip4/127.0.0.1/tcp/1",
        ] {
            let result = guarded().check(&address.parse().expect("multiaddr"));

            let Err(TransportError::Other(error)) = result else { panic!("{address}: {result:?}") };
            assert!(matches!(why_refused(&error), Some(NotDialed::StrangersWord(_))), "{address}");
        }
        assert!(guarded().check(&"/ip4/192.0.2.1/tcp/1".parse().expect("multiaddr")).is_ok());
    }

    #[test]
    fn a_denied_network_is_refused_whatever_the_guard_allows() {
        let guarded = Guarded::new((), Doorman { guard: DialGuard::Any, rules: SharedRules::default() });
        let address = "/ip4/192.0.2.1/tcp/1".parse().expect("multiaddr");
        assert!(guarded.check(&address).is_ok());
        let subnet = "192.0.2.0/24".parse().expect("subnet");
        let lists = crate::Lists { deny: vec![crate::Listed::Subnet(subnet)], ..crate::Lists::default() };

        guarded.doorman.rules.set(crate::Rules::new(&lists));

        let Err(TransportError::Other(error)) = guarded.check(&address) else { panic!("dialed") };
        assert_eq!(why_refused(&error), Some(NotDialed::Denied(Denied::Subnet(subnet))));
    }

    #[test]
    fn what_names_no_ip_address_is_not_dialed() {
        let name = "/dns4/localhost/tcp/1".parse().expect("multiaddr");

        assert!(matches!(guarded().check(&name), Err(TransportError::MultiaddrNotSupported(_))));
    }

    #[test]
    fn a_refusal_is_found_behind_wrapping_errors() {
        let ip = IpAddr::from([127, 0, 0, 1]);

        let why = NotDialed::StrangersWord(ip);
        assert_eq!(why_refused(&io::Error::other(io::Error::other(refusal(why)))), Some(why));
        assert_eq!(why_refused(&io::Error::other("other")), None);
    }
}
