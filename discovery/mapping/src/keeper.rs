//! Decides what the router is asked in one family, and when: which protocol, renewal, retries, restarts of the router.
//!
//! Pure: time and answers in, commands out. One command is under way at a time; the shell carries it out and hands
//! back what became of it.

mod port;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

pub(crate) use self::port::{Ask, Held};
use self::port::{Judgement, Port};
use crate::{
    MAX_PORTS, MappingError, Method, Pace, Path, PortState, PortWish,
    epoch::{Clock, Epoch},
    is_public,
    pcp::Nonce,
};

/// What the shell carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Ask for a mapping, or for a longer life of it.
    Map(Ask),
    /// Ask whether the router still is what it was.
    Check(Path, Method),
    /// Delete a mapping; whether that works is not asked.
    Remove(Ask),
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Mapped(Result<Granted, Failure>),
    Checked(Result<Checked, Failure>),
    Removed,
}

/// A mapping as the router made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) external: std::net::SocketAddr,
    /// `None` if it is kept until it is deleted.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) epoch: Option<u32>,
}

/// What the router says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) external: Option<IpAddr>,
    pub(crate) epoch: Option<u32>,
}

/// Why the router did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: MappingError,
    pub(crate) epoch: Option<u32>,
    /// For so long the router will say the same, by its own words.
    pub(crate) wait: Option<Duration>,
}

/// IPv4, where ports are translated, or IPv6, where they are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// What a [`Keeper`] is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) family: Family,
    /// In the order in which they are tried.
    pub(crate) methods: Vec<Method>,
    pub(crate) lifetime: Duration,
    pub(crate) allow_private: bool,
    pub(crate) pace: Pace,
}

/// The decisions of one family.
#[derive(Debug)]
pub(crate) struct Keeper {
    setup: Setup,
    path: Option<Path>,
    ports: Vec<Port>,
    /// Which of the methods is tried, or is used once one of its mappings was made.
    current: usize,
    settled: bool,
    /// Whole rounds through all methods without a mapping.
    failures: u32,
    epoch: Option<Epoch>,
    last_reset: Option<Instant>,
    check: Option<Instant>,
    /// Mappings of UPnP that lead to an address that we had, until their router is there again.
    abandoned: Vec<Ask>,
    flying: Option<Flying>,
}

#[derive(Clone, Copy, Debug)]
enum Flying {
    Map(usize),
    Check,
    Remove,
}

impl Keeper {
    /// The nonces are random, one for each wish.
    pub(crate) fn new(setup: Setup, wishes: impl IntoIterator<Item = (PortWish, Nonce)>) -> Self {
        let state = if setup.methods.is_empty() { PortState::Off } else { PortState::Asking };
        Self {
            ports: wishes.into_iter().map(|(wish, nonce)| Port::new(wish, nonce, state.clone())).collect(),
            setup,
            path: None,
            current: 0,
            settled: false,
            failures: 0,
            epoch: None,
            last_reset: None,
            check: None,
            abandoned: Vec::new(),
            flying: None,
        }
    }

    /// Takes the present way out. A command that is under way over another is forgotten.
    pub(crate) fn handle_network(&mut self, path: Option<Path>, now: Instant) {
        if self.setup.methods.is_empty() {
            return;
        }
        let first = self.path.is_none() && path.is_none();
        if self.path == path && !first {
            return;
        }
        // The old address would keep the port; the other protocols let nobody delete what is another's.
        let held = self.ports.iter_mut().filter_map(|port| port.held.take());
        self.abandoned.extend(held.map(|held| held.ask).filter(|ask| ask.method == Method::Upnp));
        self.abandoned.truncate(MAX_PORTS);
        if let Some(path) = &path {
            let in_the_way = |old: &Path| old.control == path.control && old.address != path.address;
            self.abandoned.retain(|ask| in_the_way(&ask.path));
        }
        let unneeded = |path: &Path| self.setup.family == Family::V4 && is_public(path.address);
        let (state, due) = match &path {
            None => (PortState::Failed(MappingError::NoGateway), None),
            Some(path) if unneeded(path) => (PortState::Unneeded, None),
            Some(_) => (PortState::Asking, Some(now)),
        };
        for port in &mut self.ports {
            port.begin(state.clone(), due);
        }
        self.path = path;
        (self.current, self.settled, self.failures) = (0, false, 0);
        (self.epoch, self.last_reset, self.check, self.flying) = (None, None, None, None);
    }

    /// Takes what became of the command that was given last.
    pub(crate) fn handle_answer(&mut self, answer: Answer, now: Instant) {
        match (self.flying.take(), answer) {
            (Some(Flying::Map(index)), Answer::Mapped(Ok(granted))) => self.granted(index, &granted, now),
            (Some(Flying::Map(index)), Answer::Mapped(Err(failure))) => self.refused(index, failure, now),
            (Some(Flying::Check), Answer::Checked(result)) => self.checked(result, now),
            // The network changed meanwhile.
            (_, Answer::Mapped(_) | Answer::Checked(_) | Answer::Removed) => {}
        }
    }

    /// What is to be carried out now; nothing while something is under way.
    pub(crate) fn poll_command(&mut self, now: Instant) -> Option<Command> {
        for port in &mut self.ports {
            port.expire(now);
        }
        let path = self.path.clone()?;
        let method = *self.setup.methods.get(self.current)?;
        if self.flying.is_some() {
            return None;
        }
        if let Some(ask) = self.abandoned.pop() {
            self.flying = Some(Flying::Remove);
            return Some(Command::Remove(ask));
        }
        if let Some(index) = self.ports.iter().position(|port| port.due.is_some_and(|due| due <= now)) {
            self.flying = Some(Flying::Map(index));
            let seconds = u32::try_from(self.setup.lifetime.as_secs()).unwrap_or(u32::MAX);
            return self.ports.get(index).map(|port| Command::Map(port.ask(path, method, seconds)));
        }
        if self.settled && self.check.is_some_and(|check| check <= now) {
            self.flying = Some(Flying::Check);
            return Some(Command::Check(path, method));
        }
        None
    }

    /// When [`Self::poll_command`] is to be called again at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let expiries = self.ports.iter().filter_map(Port::expires);
        if self.flying.is_some() {
            return expiries.min();
        }
        let check = self.check.filter(|_| self.settled);
        self.ports.iter().filter_map(|port| port.due).chain(expiries).chain(check).min()
    }

    /// Each wish's state, in their order.
    pub(crate) fn states(&self) -> impl Iterator<Item = &PortState> {
        self.ports.iter().map(|port| &port.state)
    }

    /// What the router keeps for us.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Held> {
        self.ports.iter().filter_map(|port| port.held.as_ref())
    }

    fn granted(&mut self, index: usize, granted: &Granted, now: Instant) {
        let Some(path) = self.path.clone() else { return };
        let Some(method) = self.setup.methods.get(self.current).copied() else { return };
        self.observe(granted.epoch, now);
        let (pace, first) = (self.setup.pace, self.backoff(1));
        if !self.settled {
            (self.settled, self.failures) = (true, 0);
            self.check = Some(now + pace.check);
            for other in self.ports.iter_mut().filter(|port| port.tried) {
                other.fail(now + first);
            }
        }
        let judgement = Judgement::of(granted.external, path.gateway(), self.setup.allow_private);
        if let Some(port) = self.ports.get_mut(index) {
            port.granted(path, method, granted, judgement, now, &self.setup);
        }
    }

    fn refused(&mut self, index: usize, failure: Failure, now: Instant) {
        self.observe(failure.epoch, now);
        let Failure { error, epoch: _, wait } = failure;
        let wait = wait.unwrap_or_default().min(self.setup.pace.last_retry);
        let about_one_port = error.is_about_one_port();
        let (settled, least) = (self.settled, self.setup.pace.least_pause);
        let Some(port) = self.ports.get_mut(index) else { return };
        port.blame(error);
        port.failures = port.failures.saturating_add(1);
        let failures = port.failures;
        if let (true, Some(remaining)) = (settled, port.remaining(now)) {
            // Still open: the wait is halved each time, as RFC 6887, 11.2.1 has it.
            port.due = Some(now + (remaining / 2).max(least));
            return;
        }
        if settled {
            let pause = self.backoff(failures).max(wait);
            if let Some(port) = self.ports.get_mut(index) {
                port.fail(now + pause);
            }
            if self.held().next().is_none() {
                self.settled = false;
                self.start_over(pause, now);
            }
            return;
        }
        if about_one_port {
            port.tried = true;
            port.due = None;
            if self.ports.iter().any(|port| port.due.is_some()) {
                return;
            }
        }
        self.next_method(wait, now);
    }

    /// Turns to the next protocol, or waits after the last.
    fn next_method(&mut self, wait: Duration, now: Instant) {
        self.current += 1;
        if self.current < self.setup.methods.len() {
            for port in &mut self.ports {
                (port.tried, port.due) = (false, Some(now));
            }
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let worst = self.ports.iter().filter_map(|port| port.error.clone()).reduce(MappingError::or_worse);
        for port in &mut self.ports {
            // Those after the first were not asked for: what holds for one holds for all.
            port.error = port.error.take().or_else(|| worst.clone());
        }
        self.start_over(self.backoff(self.failures).max(wait), now);
    }

    fn start_over(&mut self, pause: Duration, now: Instant) {
        self.current = 0;
        for port in &mut self.ports {
            port.tried = false;
            port.fail(now + pause);
        }
    }

    fn checked(&mut self, result: Result<Checked, Failure>, now: Instant) {
        self.check = Some(now + self.setup.pace.check);
        // Silence is noticed when a mapping is to be renewed.
        let Checked { external, epoch } = match result {
            Ok(checked) => checked,
            Err(failure) => Checked { external: None, epoch: failure.epoch },
        };
        self.observe(epoch, now);
        let Some(external) = external else { return };
        for port in &mut self.ports {
            if port.held.as_ref().is_some_and(|held| held.ask.external.ip() != external) {
                port.due = Some(now);
            }
        }
    }

    /// Notices that the router forgot its mappings: each is asked for again.
    fn observe(&mut self, epoch: Option<u32>, now: Instant) {
        let Some(epoch) = epoch.map(|seconds| Epoch::new(seconds, now)) else { return };
        let Some(before) = self.epoch.replace(epoch) else { return };
        if before.compare(epoch) == Clock::Steady {
            return;
        }
        // A router that says so all the time does not make us ask all the time.
        let again =
            self.last_reset.map(|last| last + self.setup.pace.reset_pause).filter(|again| *again > now);
        let at = again.unwrap_or(now);
        if again.is_none() {
            self.last_reset = Some(now);
        }
        for port in self.ports.iter_mut().filter(|port| port.held.is_some()) {
            port.due = port.due.map(|due| due.min(at)).or(Some(at));
        }
    }

    fn backoff(&self, failures: u32) -> Duration {
        let Pace { first_retry, last_retry, .. } = self.setup.pace;
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        first_retry.saturating_mul(factor).min(last_retry)
    }
}
