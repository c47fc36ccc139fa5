//! One wished port in one family.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use super::{Granted, Setup};
use crate::{Mapping, MappingError, Method, Pace, Path, PortState, PortWish, is_public, pcp::Nonce};

/// No mapping is believed to last longer (RFC 6887, 15: a day).
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A mapping as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) path: Path,
    pub(crate) method: Method,
    pub(crate) wish: PortWish,
    pub(crate) nonce: Nonce,
    /// What it was before, or the same port at an address of the router's choice.
    pub(crate) external: SocketAddr,
    /// In seconds.
    pub(crate) lifetime: u32,
}

/// A mapping that the router made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// With the outside address that was given.
    pub(crate) ask: Ask,
    pub(crate) expires: Option<Instant>,
}

/// What an outside address is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Reachable,
    /// The router may get one at any time.
    Later(MappingError),
    /// Open, but not to the world.
    Useless(MappingError),
}

impl Judgement {
    pub(super) fn of(external: SocketAddr, gateway: IpAddr, allow_private: bool) -> Self {
        let address = external.ip();
        if address.is_unspecified() {
            return Self::Later(MappingError::NoOutsideAddress { gateway });
        }
        if is_public(address) || (allow_private && !address.is_multicast()) {
            return Self::Reachable;
        }
        Self::Useless(MappingError::DoubleNat { gateway, external })
    }
}

#[derive(Debug)]
pub(super) struct Port {
    pub(super) wish: PortWish,
    nonce: Nonce,
    pub(super) held: Option<Held>,
    pub(super) state: PortState,
    /// When it is asked for next.
    pub(super) due: Option<Instant>,
    /// The method that is tried cannot map this one, but perhaps others.
    pub(super) tried: bool,
    pub(super) failures: u32,
    /// The most telling of what went wrong since it worked.
    pub(super) error: Option<MappingError>,
}

impl Port {
    pub(super) fn new(wish: PortWish, nonce: Nonce, state: PortState) -> Self {
        Self { wish, nonce, held: None, state, due: None, tried: false, failures: 0, error: None }
    }

    /// Starts anew on another network.
    pub(super) fn begin(&mut self, state: PortState, due: Option<Instant>) {
        (self.state, self.due) = (state, due);
        (self.held, self.tried, self.failures, self.error) = (None, false, 0, None);
    }

    pub(super) fn ask(&self, path: Path, method: Method, lifetime: u32) -> Ask {
        let anywhere = match path.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let external = match &self.held {
            Some(held) => held.ask.external,
            None => SocketAddr::new(anywhere, self.wish.internal),
        };
        Ask { path, method, wish: self.wish.clone(), nonce: self.nonce, external, lifetime }
    }

    pub(super) fn granted(
        &mut self,
        path: Path,
        method: Method,
        granted: &Granted,
        judgement: Judgement,
        now: Instant,
        setup: &Setup,
    ) {
        let Granted { external, lifetime, epoch: _ } = *granted;
        let Pace { least_pause, upnp_refresh, first_retry, .. } = setup.pace;
        let lifetime = lifetime.map(|lifetime| lifetime.min(MAX_LIFETIME));
        let expires = lifetime.map(|lifetime| now + lifetime);
        let internal = SocketAddr::new(path.address, self.wish.internal);
        let gateway = path.gateway();
        let half = lifetime.unwrap_or(MAX_LIFETIME) / 2;
        let half = if method == Method::Upnp { half.min(upnp_refresh) } else { half }.max(least_pause);
        let pause = match &judgement {
            Judgement::Later(_) => half.min(first_retry.max(least_pause)),
            Judgement::Reachable | Judgement::Useless(_) => half,
        };
        self.state = match judgement {
            Judgement::Reachable => {
                PortState::Mapped(Mapping { external, internal, method, gateway, expires })
            }
            Judgement::Later(error) | Judgement::Useless(error) => PortState::Failed(error),
        };
        let ask = Ask { external, ..self.ask(path, method, 0) };
        self.held = Some(Held { ask, expires });
        self.due = Some(now + pause);
        (self.tried, self.failures, self.error) = (false, 0, None);
    }

    /// Remembers what went wrong, and says so unless something worse was said.
    pub(super) fn blame(&mut self, error: MappingError) {
        self.error = Some(match self.error.take() {
            Some(before) => before.or_worse(error),
            None => error,
        });
    }

    /// Gives up until `again`.
    pub(super) fn fail(&mut self, again: Instant) {
        if let Some(error) = self.error.take() {
            self.state = PortState::Failed(error);
        }
        self.due = Some(again);
    }

    /// How long the router keeps it, if it does.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let held = self.held.as_ref()?;
        match held.expires {
            None => Some(MAX_LIFETIME),
            Some(expires) => expires.checked_duration_since(now).filter(|rest| !rest.is_zero()),
        }
    }

    pub(super) fn expires(&self) -> Option<Instant> {
        self.held.as_ref()?.expires
    }

    /// Forgets what the router no longer keeps.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.expires().is_none_or(|expires| expires > now) {
            return;
        }
        self.held = None;
        self.state = match self.error.clone() {
            Some(error) => PortState::Failed(error),
            None => PortState::Asking,
        };
    }
}
