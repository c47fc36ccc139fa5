//! One node that the pool knows.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    time::{Duration, Instant},
};

use causeway_records::Network;
use causeway_wire::Stack;

use crate::{
    Role, Source,
    contact::{Contact, role_of},
    patience::Patience,
    worth::Worth,
};

/// A dial that has lasted so long is likely one to the dead: another may be tried beside it.
pub(crate) const HANGING: Duration = Duration::from_millis(1_500);

/// One node that the pool knows.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) contact: Contact,
    /// Unknown until it was met, if no record says it.
    pub(crate) role: Option<Role>,
    pub(crate) source: Source,
    /// Where it stands among its equals.
    pub(crate) lot: u64,
    /// Not dialed before; `None` at once.
    pub(crate) due: Option<Instant>,
    /// Never dialed again.
    pub(crate) dropped: bool,
    pub(crate) dialing: Option<Dialing>,
    pub(crate) connected: Option<Connection>,
    pub(crate) patience: Patience,
    pub(crate) worth: Worth,
    /// Last seen connected.
    pub(crate) worked: Option<Instant>,
    /// For so long it had not been seen then: what an earlier run says.
    pub(crate) silent_before: Duration,
    /// Dialed at least once, by us or an earlier run.
    pub(crate) tried: bool,
    /// It came by itself, serves, and was asked to wait for our dial.
    pub(crate) offered: bool,
    /// Our rules are against it at the moment.
    pub(crate) ruled_out: bool,
    /// The public subnets of its addresses.
    pub(crate) subnets: BTreeSet<Network>,
}

/// A dial under way.
#[derive(Debug)]
pub(crate) struct Dialing {
    pub(crate) since: Instant,
    pub(crate) role: Role,
    pub(crate) hanging: bool,
}

/// A peer that is there, on one stack or both.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) since: Instant,
    /// At most one of each kind.
    pub(crate) links: Vec<Link>,
    pub(crate) role: Role,
    pub(crate) client: String,
    /// The caller was told to let it go.
    pub(crate) leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) stack: Stack,
    pub(crate) inbound: bool,
}

impl Connection {
    /// Whether we dialed it, on either stack.
    pub(crate) fn is_dialed(&self) -> bool {
        self.links.iter().any(|link| !link.inbound)
    }
}

impl Node {
    /// What its own record says that it is good for.
    pub(crate) fn recorded_role(&self) -> Option<Role> {
        self.contact.record.as_ref().map(role_of)
    }

    pub(crate) fn new(source: Source, role: Option<Role>, lot: u64) -> Self {
        Self {
            contact: Contact::default(),
            role,
            source,
            lot,
            due: None,
            dropped: false,
            dialing: None,
            connected: None,
            patience: Patience::default(),
            worth: Worth::default(),
            worked: None,
            silent_before: Duration::ZERO,
            tried: false,
            offered: false,
            ruled_out: false,
            subnets: BTreeSet::new(),
        }
    }

    pub(crate) fn is_named(&self) -> bool {
        matches!(self.source, Source::Trusted | Source::Static)
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.dialing.is_some() || self.connected.is_some()
    }

    /// Kept only to be dialed some day.
    pub(crate) fn is_candidate(&self) -> bool {
        !self.is_named() && !self.is_busy()
    }

    /// Whether it may be dialed now, as far as it is concerned itself.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        !self.is_busy() && !self.dropped && !self.contact.is_empty() && self.due.is_none_or(|due| due <= now)
    }

    /// For which role it is dialed: of whom nothing is known it is hoped that it serves LES.
    pub(crate) fn dialed_as(&self) -> Role {
        self.role.unwrap_or(Role::LesFullNode)
    }

    /// It is connected now, or was until now.
    pub(crate) fn note_seen(&mut self, now: Instant) {
        self.worked = Some(now);
        self.silent_before = Duration::ZERO;
    }

    /// How long ago it was last connected; `None` if it never was.
    pub(crate) fn silence(&self, now: Instant) -> Option<Duration> {
        let worked = self.worked?;
        let since =
            if self.connected.is_some() { Duration::ZERO } else { now.saturating_duration_since(worked) };
        Some(since.saturating_add(self.silent_before))
    }

    /// The class in which it is dialed: one that has worked in this run is as good as one from the cache.
    fn class(&self) -> Source {
        if self.worked.is_some() { self.source.min(Source::Cache) } else { self.source }
    }

    /// Who is dialed first: the smallest. Those whose role is unknown are the last resort.
    pub(crate) fn rank(&self) -> Rank {
        let failures = self.patience.failures();
        Rank {
            last_resort: self.role.is_none() && !self.is_named(),
            failing: failures > 0,
            class: self.class(),
            failures,
            worth: Reverse(self.worth.score()),
            lot: self.lot,
        }
    }
}

/// See [`Node::rank`]: the fields in the order of their weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    last_resort: bool,
    failing: bool,
    class: Source,
    failures: u32,
    worth: Reverse<u32>,
    lot: u64,
}

impl Rank {
    /// Whether it is a node of which nobody knows what it is good for.
    pub(crate) fn is_last_resort(&self) -> bool {
        self.last_resort
    }
}
