//! One look at the evidence: each listener by itself, then all together. Nothing is remembered here.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::SystemTime,
};

use causeway_records::{Reach, is_allowed};

use crate::{
    Carrier, Cause, Confidence, Evidence, Family, Finding, Outcome, Punches, Reachability, State, Telling,
    Translation, Transport, UdpSeen, Verdict,
    evidence::counts,
    translation::translation,
    words::{self, About},
};

/// So many peers' dials make a finding sure.
const SEVERAL: u32 = 2;

/// After so many hole punches without one that worked, the next will not work either.
const PUNCHES: u64 = 3;

/// A listener: all its interfaces of a family.
struct Listener {
    family: Family,
    transport: Transport,
    port: u16,
    ips: Vec<IpAddr>,
}

/// What dial-backs say of a listener.
struct Test {
    reachable: bool,
    peers: u32,
    at: SystemTime,
    /// Where they got through.
    addresses: Vec<SocketAddr>,
}

/// What is said of a listener, before it is put into words.
struct Word {
    state: State,
    cause: Cause,
    telling: Telling,
    addresses: Vec<SocketAddr>,
    confidence: Confidence,
}

/// Every listener, judged.
pub(crate) fn findings(evidence: &Evidence, now: SystemTime) -> Vec<Finding> {
    let mut listeners: BTreeMap<(Family, Transport), Listener> = BTreeMap::new();
    for place in &evidence.listeners {
        let (family, transport) = (place.family(), place.transport);
        let new = || Listener { family, transport, port: place.addr.port(), ips: Vec::new() };
        listeners.entry((family, transport)).or_insert_with(new).ips.push(place.addr.ip());
    }
    let look = Look { evidence, now };
    listeners.values().filter_map(|listener| look.finding(listener)).collect()
}

struct Look<'a> {
    evidence: &'a Evidence,
    now: SystemTime,
}

impl Look<'_> {
    fn finding(&self, listener: &Listener) -> Option<Finding> {
        let test = self.test(listener.family, listener.transport);
        let word = if listener.transport.is_libp2p() {
            self.libp2p(listener, test.as_ref())
        } else {
            self.devp2p(listener)?
        };
        let Listener { family, transport, port, .. } = *listener;
        let other = |place: &crate::Place| {
            place.family() == family
                && place.addr.port() == port
                && place.transport.carrier() != transport.carrier()
        };
        let punches = self.punches(transport);
        let about = About {
            transport,
            port,
            both: self.evidence.listeners.iter().any(other),
            lan: self.evidence.lan_address(),
            punched: (punches.tried, punches.succeeded),
            dialed: test.as_ref().map(|test| (test.peers, test.reachable)),
        };
        let Word { state, cause, telling, addresses, confidence } = word;
        let (why, advice) = (words::why(&cause, &about), words::advice(&cause, &about));
        let tested = test.map(|test| test.at);
        Some(Finding {
            family,
            transport,
            port,
            state,
            cause,
            why,
            advice,
            confidence,
            tested,
            addresses,
            telling,
        })
    }

    /// A listener that others test for us.
    fn libp2p(&self, listener: &Listener, test: Option<&Test>) -> Word {
        let evidence = self.evidence;
        let plain = |state, cause, telling| Word {
            state,
            cause,
            telling,
            addresses: Vec::new(),
            confidence: test.map_or(Confidence::Low, Test::confidence),
        };
        if let Some(setting) = own_setting(listener) {
            return plain(State::Unreachable, Cause::OwnSetting { setting }, Telling::AsBound);
        }
        if let Some(test) = test.filter(|test| test.reachable) {
            return self.reached(listener, test);
        }
        if evidence.captive_portal {
            return plain(State::Unreachable, Cause::CaptivePortal, Telling::AsBound);
        }
        if evidence.udp == UdpSeen::Blocked && listener.transport.carrier() == Carrier::Udp {
            return plain(State::Unreachable, Cause::UdpBlocked, Telling::Nothing);
        }
        let open = evidence.mapping(listener.family, listener.transport.carrier(), listener.port);
        if let Some(Outcome::Open { external, method }) = open
            && evidence.is_outside(external.ip())
            && !self.failed(listener, *external)
        {
            let cause = Cause::MappedUntested { method: method.clone(), port: external.port() };
            // Where somebody tests our addresses, every peer that does can test these: a moment, and it is known.
            let soon = listener.transport.can_punch() && self.is_tested_by_others(listener.family);
            let telling = if soon { Telling::Nothing } else { Telling::Addresses };
            return Word {
                addresses: vec![*external],
                confidence: Confidence::Low,
                ..plain(State::Mapped, cause, telling)
            };
        }
        // Whoever comes over these did not get here through a punched hole.
        if !listener.transport.can_punch() && self.came(listener.family, listener.transport) {
            return Word {
                confidence: Confidence::Medium,
                ..plain(State::Public, Cause::StrangersCame, Telling::AsBound)
            };
        }
        let neighbour = if test.is_none() { self.neighbour(listener) } else { None };
        if neighbour == Some(State::Public) {
            return plain(State::Public, Cause::Neighbour, Telling::AsBound);
        }
        let tested = test.is_some() || neighbour.is_some();
        let (state, cause) = self.not_reached(listener, tested);
        let told = !tested && !matches!(cause, Cause::Shared { .. }) && !self.is_walled(listener);
        plain(state, cause, if told { Telling::AsBound } else { Telling::Nothing })
    }

    /// Whether something stands between this listener and others, through which nobody got to any port: then it is not
    /// told to be where others see us. Who opened one by hand says so (`--nat extip:`), or it shows when somebody comes.
    fn is_walled(&self, listener: &Listener) -> bool {
        if listener.ips.iter().any(|ip| self.evidence.is_outside(*ip)) {
            return false;
        }
        let here = |place: &&crate::Place| place.family() == listener.family && place.transport.is_libp2p();
        let places = self.evidence.listeners.iter().filter(here);
        let mut tests = places.filter_map(|place| self.test(listener.family, place.transport)).peekable();
        tests.peek().is_some() && tests.all(|test| !test.reachable)
    }

    /// What a test of another libp2p port means for one that nobody tested, as few can dial it: what gets through to
    /// this machine's own address gets through to its other ports, and where nobody does, nobody does there.
    fn neighbour(&self, listener: &Listener) -> Option<State> {
        let neighbour = match listener.transport.carrier() {
            Carrier::Udp => Transport::Quic,
            Carrier::Tcp => Transport::Tcp,
        };
        let test = self.test(listener.family, neighbour)?;
        if !test.reachable {
            return Some(State::Unreachable);
        }
        let own = test.addresses.iter().any(|addr| listener.ips.contains(&addr.ip()));
        own.then_some(State::Public)
    }

    /// Others got through.
    fn reached(&self, listener: &Listener, test: &Test) -> Word {
        let mapping = self.evidence.mapping(listener.family, listener.transport.carrier(), listener.port);
        let (state, cause) = match mapping {
            Some(Outcome::Open { external, method }) if test.addresses.contains(external) => {
                (State::Mapped, Cause::MappedAndDialedBack { method: method.clone(), port: external.port() })
            }
            _ => (State::Public, Cause::DialedBack),
        };
        let addresses = test.addresses.clone();
        Word { state, cause, telling: Telling::Addresses, addresses, confidence: test.confidence() }
    }

    /// Nobody got through, or nobody has tried: what stands in the way, and what works all the same.
    fn not_reached(&self, listener: &Listener, tested: bool) -> (State, Cause) {
        let Listener { family, transport, .. } = *listener;
        let translation = translation(self.evidence, family, transport);
        let global = listener.ips.iter().any(|ip| is_allowed(*ip, Reach::Public));
        let untranslated =
            translation == Translation::None || (global && translation == Translation::Unknown);
        let outside = self.evidence.mappings.iter().find_map(|mapping| match &mapping.outcome {
            Outcome::Shared { outside } if mapping.family == family => *outside,
            _ => None,
        });
        let cause = match translation {
            _ if untranslated && !tested => Cause::Untested,
            _ if untranslated && family == Family::Ipv6 => Cause::Ipv6Firewall,
            _ if untranslated => Cause::Ipv4Firewall,
            _ if self.evidence.is_behind_shared(family) => Cause::Shared { outside },
            Translation::EndpointIndependent => Cause::EndpointIndependent,
            Translation::EndpointDependent => Cause::EndpointDependent,
            Translation::None | Translation::Unknown if tested => Cause::NotReached,
            Translation::None | Translation::Unknown => Cause::Untested,
        };
        let punches = self.punches(transport);
        let hopeful = untranslated || translation == Translation::EndpointIndependent;
        let punchable = transport.can_punch()
            && cause != Cause::Untested
            && (punches.succeeded > 0 || (hopeful && punches.tried < PUNCHES));
        let state = if punchable {
            State::Punchable
        } else if cause == Cause::Untested {
            State::Unknown
        } else if !self.evidence.reservations.is_empty() {
            State::RelayedOnly
        } else if tested {
            State::Unreachable
        } else {
            State::Unknown
        };
        (state, cause)
    }

    /// RLPx and discovery, which nobody dials back: by the router's word, by who came, by libp2p at the same address.
    fn devp2p(&self, listener: &Listener) -> Option<Word> {
        let Listener { family, transport, port, .. } = *listener;
        let word = |state, cause, telling, addresses| {
            Some(Word { state, cause, telling, addresses, confidence: Confidence::Low })
        };
        if let Some(setting) = own_setting(listener) {
            return word(State::Unreachable, Cause::OwnSetting { setting }, Telling::AsBound, Vec::new());
        }
        let mapping = self.evidence.mapping(family, transport.carrier(), port);
        if let Some(Outcome::Open { external, method }) = mapping
            && self.evidence.is_outside(external.ip())
        {
            let cause = Cause::MappedUntested { method: method.clone(), port: external.port() };
            return word(State::Mapped, cause, Telling::Addresses, vec![*external]);
        }
        if self.came(family, transport) {
            let came = word(State::Public, Cause::StrangersCame, Telling::AsBound, Vec::new());
            return came.map(|word| Word { confidence: Confidence::Medium, ..word });
        }
        // Nodes that know us answer to discovery through any NAT: of libp2p's ports nothing follows for it.
        let neighbour = if transport == Transport::Devp2p { self.neighbour(listener)? } else { return None };
        let telling = if neighbour == State::Public { Telling::AsBound } else { Telling::Nothing };
        word(neighbour, Cause::Neighbour, telling, Vec::new())
    }

    /// What dial-backs say: whether any address is reached; the newest word on each counts.
    fn test(&self, family: Family, transport: Transport) -> Option<Test> {
        let mut newest: BTreeMap<SocketAddr, &Verdict> = BTreeMap::new();
        for verdict in &self.evidence.verdicts {
            let place = verdict.place;
            let ours = place.family() == family && place.transport == transport;
            if !ours || !counts(verdict.at, self.now) || !self.evidence.is_outside(place.addr.ip()) {
                continue;
            }
            let known = newest.entry(place.addr).or_insert(verdict);
            if verdict.at > known.at {
                *known = verdict;
            }
        }
        let reachable = newest.values().any(|verdict| verdict.reachable);
        let agreeing = || newest.values().filter(|verdict| verdict.reachable == reachable);
        let at = agreeing().map(|verdict| verdict.at).max()?;
        let peers = agreeing().map(|verdict| verdict.confirmations.max(1)).max()?;
        let addresses = agreeing().filter(|_| reachable).map(|verdict| verdict.place.addr).collect();
        Some(Test { reachable, peers, at, addresses })
    }

    /// Whether others tried this address and did not get through.
    fn failed(&self, listener: &Listener, addr: SocketAddr) -> bool {
        self.evidence.verdicts.iter().any(|verdict| {
            verdict.place.transport == listener.transport
                && verdict.place.addr == addr
                && !verdict.reachable
                && counts(verdict.at, self.now)
        })
    }

    /// Whether there is anybody who tests addresses of this family.
    fn is_tested_by_others(&self, family: Family) -> bool {
        let mut verdicts = self.evidence.verdicts.iter();
        verdicts.any(|verdict| verdict.place.family() == family && counts(verdict.at, self.now))
    }

    fn came(&self, family: Family, transport: Transport) -> bool {
        self.evidence.arrivals.iter().any(|arrival| {
            arrival.family == family && arrival.transport == transport && counts(arrival.at, self.now)
        })
    }

    fn punches(&self, transport: Transport) -> Punches {
        self.evidence.punched.get(&transport).copied().unwrap_or_default()
    }
}

impl Test {
    fn confidence(&self) -> Confidence {
        if self.peers >= SEVERAL { Confidence::High } else { Confidence::Medium }
    }
}

/// The setting by which only this machine reaches a listener.
fn own_setting(listener: &Listener) -> Option<String> {
    let first = listener.ips.first()?;
    listener.ips.iter().all(IpAddr::is_loopback).then(|| format!("--addr {first}"))
}

/// All together: the best way over libp2p, with the advice that matters most.
pub(crate) fn sum_up(findings: Vec<Finding>, evidence: &Evidence) -> Reachability {
    let translation = translation(evidence, Family::Ipv4, Transport::Quic);
    let libp2p = || findings.iter().filter(|finding| finding.transport.is_libp2p());
    // Of equals the first: the more useful transport.
    let best = libp2p().reduce(|best, next| {
        let better = (next.state, next.confidence) > (best.state, best.confidence);
        if better { next } else { best }
    });
    let Some(best) = best else { return Reachability { translation, ..Reachability::unknown() } };
    let shared = evidence.is_behind_shared(Family::Ipv4);
    let urgent = libp2p().min_by_key(|finding| finding.cause.urgency(shared)).unwrap_or(best);
    let told = if best.state.is_direct() { best } else { urgent };
    let relayed = !evidence.reservations.is_empty() && best.state < State::RelayedOnly;
    let state = if relayed { State::RelayedOnly } else { best.state };
    Reachability {
        state,
        why: told.why.clone(),
        advice: told.advice.clone(),
        confidence: best.confidence,
        tested: libp2p().filter_map(|finding| finding.tested).max(),
        translation,
        findings,
    }
}
