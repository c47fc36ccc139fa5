//! The registrations of a rendezvous point: who is where in which namespace, for how long. No tasks, no clock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use libp2p::PeerId;
use tokio::time::Instant;

use super::{
    RendezvousLimits,
    message::{Page, Refusal, Registration, RendezvousStatus},
};
use crate::gate::{Counts, Origin};

/// Longest namespace, by the specification.
pub(crate) const MAX_NAMESPACE: usize = 255;

/// Time registered for if a client names none, by the specification.
const DEFAULT_TTL: Duration = Duration::from_secs(2 * 60 * 60);

/// Bytes of records in one answer; a page ends early if they are more.
const MAX_PAGE_BYTES: usize = 256 * 1024;

/// For how long requests are counted before counting begins anew.
const MINUTE: Duration = Duration::from_secs(60);

/// The state of a server.
#[derive(Debug)]
pub(crate) struct Registry {
    limits: RendezvousLimits,
    /// In every cookie, so that those of another server, or of this one before a restart, are known.
    nonce: [u8; 8],
    /// Given to the newest registration. A renewal is a new one: who comes with a cookie hears of it.
    last_serial: u64,
    entries: BTreeMap<u64, Entry>,
    by_namespace: BTreeMap<Arc<str>, BTreeSet<u64>>,
    by_peer: HashMap<PeerId, BTreeMap<Arc<str>, u64>>,
    by_origin: Counts<Origin>,
    by_expiry: BTreeSet<(Instant, u64)>,
    requests: Requests,
}

#[derive(Debug)]
struct Entry {
    peer: PeerId,
    origin: Option<Origin>,
    namespace: Arc<str>,
    record: Vec<u8>,
    expires: Instant,
}

/// A registration whose record was verified.
#[derive(Debug)]
pub(crate) struct Registering {
    pub(crate) peer: PeerId,
    pub(crate) origin: Option<Origin>,
    pub(crate) namespace: String,
    pub(crate) record: Vec<u8>,
    /// In seconds.
    pub(crate) ttl: Option<u64>,
}

/// Requests of the current minute; the limit of all of them bounds the maps.
#[derive(Debug)]
struct Requests {
    since: Instant,
    all: u32,
    by_peer: HashMap<PeerId, u32>,
    by_origin: HashMap<Origin, u32>,
}

impl Registry {
    pub(crate) fn new(limits: RendezvousLimits, nonce: [u8; 8], now: Instant) -> Self {
        let requests = Requests { since: now, all: 0, by_peer: HashMap::new(), by_origin: HashMap::new() };
        Self {
            limits,
            nonce,
            last_serial: 0,
            entries: BTreeMap::new(),
            by_namespace: BTreeMap::new(),
            by_peer: HashMap::new(),
            by_origin: Counts::default(),
            by_expiry: BTreeSet::new(),
            requests,
        }
    }

    /// Counts a request, before anything costly is done for it.
    pub(crate) fn admit(
        &mut self,
        peer: PeerId,
        origin: Option<Origin>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let (limits, requests) = (&self.limits, &mut self.requests);
        if now.saturating_duration_since(requests.since) >= MINUTE {
            requests.since = now;
            requests.all = 0;
            requests.by_peer.clear();
            requests.by_origin.clear();
        }
        // Who is refused takes nothing from the others' share, and leaves nothing behind.
        let of_peer = requests.by_peer.get(&peer).copied().unwrap_or(0);
        let of_origin = origin.and_then(|origin| requests.by_origin.get(&origin).copied()).unwrap_or(0);
        let refused = of_peer >= limits.requests_per_peer
            || of_origin >= limits.requests_per_address
            || requests.all >= limits.requests_per_minute;
        if refused {
            let text = "too many requests, come again in a minute";
            return Err(Refusal::new(RendezvousStatus::Unavailable, text));
        }
        requests.all += 1;
        requests.by_peer.insert(peer, of_peer + 1);
        if let Some(origin) = origin {
            requests.by_origin.insert(origin, of_origin + 1);
        }
        Ok(())
    }

    /// Takes a registration and says for how many seconds; a peer's older one in the namespace is replaced.
    pub(crate) fn register(&mut self, new: Registering, now: Instant) -> Result<u64, Refusal> {
        let Registering { peer, origin, namespace, record, ttl } = new;
        self.check_namespace(&namespace)?;
        let ttl = self.ttl(ttl)?;
        self.expire(now);
        let held = self.by_peer.get(&peer).and_then(|own| own.get(namespace.as_str())).copied();
        self.check_room(&peer, origin, &namespace, held)?;
        if let Some(serial) = held {
            self.remove(serial);
        }

        self.last_serial += 1;
        let serial = self.last_serial;
        let namespace = match self.by_namespace.get_key_value(namespace.as_str()) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(namespace),
        };
        self.by_namespace.entry(Arc::clone(&namespace)).or_default().insert(serial);
        self.by_peer.entry(peer).or_default().insert(Arc::clone(&namespace), serial);
        if let Some(origin) = origin {
            self.by_origin.add(origin);
        }
        let expires = now + ttl;
        self.by_expiry.insert((expires, serial));
        self.entries.insert(serial, Entry { peer, origin, namespace, record, expires });
        Ok(ttl.as_secs())
    }

    pub(crate) fn unregister(&mut self, peer: &PeerId, namespace: &str) {
        if let Some(serial) = self.by_peer.get(peer).and_then(|own| own.get(namespace)).copied() {
            self.remove(serial);
        }
    }

    /// The registrations after `cookie`, oldest first.
    pub(crate) fn discover(
        &mut self,
        namespace: Option<&str>,
        limit: Option<u64>,
        cookie: &[u8],
        now: Instant,
    ) -> Result<Page, Refusal> {
        if let Some(namespace) = namespace {
            self.check_namespace(namespace)?;
        }
        let after = self.read_cookie(cookie, namespace)?;
        self.expire(now);
        // No limit, and 0, which go-libp2p sends for it: as many as are given in one answer.
        let asked = limit.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        let most = usize::try_from(asked).unwrap_or(usize::MAX).min(self.limits.page);

        let rest = (Bound::Excluded(after), Bound::Unbounded);
        let serials: Vec<u64> = match namespace {
            Some(namespace) => match self.by_namespace.get(namespace) {
                Some(serials) => serials.range(rest).copied().take(most).collect(),
                None => Vec::new(),
            },
            None => self.entries.range(rest).map(|(serial, _)| *serial).take(most).collect(),
        };
        let (mut registrations, mut last, mut bytes) = (Vec::new(), after, 0);
        for serial in serials {
            let Some(entry) = self.entries.get(&serial) else { continue };
            bytes += entry.record.len() + entry.namespace.len();
            if bytes > MAX_PAGE_BYTES && !registrations.is_empty() {
                break;
            }
            registrations.push(Registration {
                namespace: entry.namespace.to_string(),
                record: entry.record.clone(),
                ttl: entry.expires.saturating_duration_since(now).as_secs(),
            });
            last = serial;
        }
        Ok(Page { registrations, cookie: self.cookie(last, namespace) })
    }

    /// Forgets what is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((expires, serial)) = self.by_expiry.first().copied() {
            if expires > now {
                break;
            }
            self.remove(serial);
        }
    }

    /// Registrations held, over ones included until somebody asks for anything.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn check_namespace(&self, namespace: &str) -> Result<(), Refusal> {
        let refuse = |text: String| Err(Refusal::new(RendezvousStatus::InvalidNamespace, text));
        let length = namespace.len();
        if length == 0 || length > MAX_NAMESPACE {
            return refuse(format!("namespace of {length} bytes, 1 to {MAX_NAMESPACE} are taken"));
        }
        if !self.limits.serves(namespace) {
            return refuse("namespace is not served here".to_owned());
        }
        Ok(())
    }

    fn ttl(&self, seconds: Option<u64>) -> Result<Duration, Refusal> {
        let (min, max) = (self.limits.min_ttl, self.limits.max_ttl);
        let asked = match seconds {
            Some(seconds) => Duration::from_secs(seconds),
            None => DEFAULT_TTL.min(max).max(min),
        };
        if asked < min || asked > max {
            let text = format!("ttl is {} to {} seconds here", min.as_secs(), max.as_secs());
            return Err(Refusal::new(RendezvousStatus::InvalidTtl, text));
        }
        Ok(asked)
    }

    /// Room for one more besides the one at `held`, which goes.
    fn check_room(
        &self,
        peer: &PeerId,
        origin: Option<Origin>,
        namespace: &str,
        held: Option<u64>,
    ) -> Result<(), Refusal> {
        let limits = &self.limits;
        let held = held.and_then(|serial| self.entries.get(&serial));
        if let Some(origin) = origin
            && held.is_none_or(|entry| entry.origin != Some(origin))
        {
            below("registrations from one address", self.by_origin.of(&origin), limits.per_address)?;
        }
        if held.is_some() {
            return Ok(());
        }
        below("registrations of one peer", self.by_peer.get(peer).map_or(0, BTreeMap::len), limits.per_peer)?;
        match self.by_namespace.get(namespace) {
            Some(own) => below("registrations in one namespace", own.len(), limits.per_namespace)?,
            None => below("namespaces", self.by_namespace.len(), limits.live_namespaces)?,
        }
        below("registrations", self.entries.len(), limits.registrations)
    }

    fn remove(&mut self, serial: u64) {
        let Some(Entry { peer, origin, namespace, expires, .. }) = self.entries.remove(&serial) else {
            return;
        };
        self.by_expiry.remove(&(expires, serial));
        if let Some(origin) = origin {
            self.by_origin.remove(&origin);
        }
        if let Some(serials) = self.by_namespace.get_mut(&namespace) {
            serials.remove(&serial);
            if serials.is_empty() {
                self.by_namespace.remove(&namespace);
            }
        }
        if let Some(own) = self.by_peer.get_mut(&peer) {
            own.remove(&namespace);
            if own.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
    }

    /// `nonce serial namespace`: all that is to be remembered, so that nothing is.
    fn cookie(&self, serial: u64, namespace: Option<&str>) -> Vec<u8> {
        [&self.nonce, &serial.to_be_bytes(), namespace.unwrap_or_default().as_bytes()].concat()
    }

    fn read_cookie(&self, cookie: &[u8], namespace: Option<&str>) -> Result<u64, Refusal> {
        if cookie.is_empty() {
            return Ok(0);
        }
        let read = || {
            let (nonce, rest) = cookie.split_first_chunk::<8>()?;
            let (serial, name) = rest.split_first_chunk::<8>()?;
            let serial = u64::from_be_bytes(*serial);
            let ours = *nonce == self.nonce && serial <= self.last_serial;
            (ours && name == namespace.unwrap_or_default().as_bytes()).then_some(serial)
        };
        read().ok_or_else(|| {
            Refusal::new(RendezvousStatus::InvalidCookie, "cookie was not given out for this namespace")
        })
    }
}

fn below(what: &str, count: usize, limit: usize) -> Result<(), Refusal> {
    if count < limit {
        return Ok(());
    }
    Err(Refusal::new(RendezvousStatus::Unavailable, format!("limit of {limit} {what} is reached")))
}

#[cfg(test)]
mod tests;
