//! Decides when which way to the server is dialed, and which session counts: a machine without sockets and clocks.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use causeway_wire::SessionId;

/// Head start of a direct way before the next one is dialed beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Head start of the direct ways before relayed ones, if a direct one has ever worked.
const DIRECT_FIRST: Duration = Duration::from_millis(1_200);

/// The same if none has: it may be that no direct way exists.
const DIRECT_MAYBE: Duration = Duration::from_millis(400);

/// A session that is in doubt is asked for a sign of life; it has so long before others are dialed beside it.
const SECOND_THOUGHT: Duration = Duration::from_millis(300);

/// How long a sign of life may take.
pub(super) const PROBE: Duration = Duration::from_secs(1);

/// How long an attempt may take. A stuck one delays none: the next begins beside it.
pub(super) const ATTEMPT: Duration = Duration::from_secs(8);

/// Attempts of one way at once; the oldest gives way.
const ABREAST: usize = 4;

/// How soon a way is dialed again, for [`EAGER`] after the session was lost: the network may come back at any time,
/// and a packet that was sent just before that is lost.
const AGAIN: Duration = Duration::from_secs(2);

/// How long a lost session is sought that eagerly. Then the pauses grow, as each attempt costs a phone energy.
const EAGER: Duration = Duration::from_secs(600);

/// Pauses after [`EAGER`], each kept for a minute; the last one for ever.
const TIRED: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(30)];

/// How long the known ways are tried alone before others are looked for: a home's address changes.
const SEARCH_AFTER: Duration = Duration::from_secs(8);

/// Pause between searches.
const SEARCH_AGAIN: Duration = Duration::from_secs(60);

/// Pause before a direct connection is waited for again while the session is relayed.
const DIRECT_AGAIN: Duration = Duration::from_secs(60);

/// Ways that are remembered; further ones are not taken.
pub(super) const MAX_WAYS: usize = 16;

/// What carries a way, in the order in which they are tried: QUIC takes a round trip less than TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Quic,
    Tcp,
    WebSocket,
    Rlpx,
    Relayed,
}

/// A dial under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Attempt(pub(super) u64);

/// Work for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Dial this way and greet who answers, within [`ATTEMPT`].
    Dial { attempt: Attempt, way: usize },
    /// Give this attempt up.
    Abandon(Attempt),
    /// Ask this session for a sign of life, within [`PROBE`].
    Probe(SessionId),
    /// End this session.
    Leave(SessionId),
    /// End this session once its questions are answered.
    Retire(SessionId),
    /// Wait for a direct connection with the peer of this relayed session, and move there.
    AwaitDirect(SessionId),
    /// Look for further ways.
    Search,
}

#[derive(Debug)]
struct Way {
    kind: Kind,
    /// When a session came of it last.
    worked: Option<Instant>,
    attempts: VecDeque<Dial>,
    due: Option<Instant>,
}

/// A dial under way.
#[derive(Clone, Copy, Debug)]
struct Dial {
    attempt: Attempt,
    /// There is a session, which is being greeted.
    dialed: bool,
}

/// The session that counts.
#[derive(Clone, Copy, Debug)]
struct Held {
    id: SessionId,
    kind: Kind,
    doubt: Option<Doubt>,
    /// When a direct connection is to be waited for again.
    direct_due: Option<Instant>,
}

/// A session that may be dead.
#[derive(Clone, Copy, Debug)]
enum Doubt {
    Asked,
    AskAt(Instant),
}

/// The machine. After each `handle_*` the shell drains [`Machine::poll_step`].
#[derive(Debug, Default)]
pub(super) struct Machine {
    ways: Vec<Way>,
    held: Option<Held>,
    /// Since when a session is sought: there is none, or none that is in no doubt.
    seeking: Option<Instant>,
    search_due: Option<Instant>,
    attempts: u64,
    steps: VecDeque<Step>,
}

impl Machine {
    /// Nobody is connected and no way is known.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Further ways, as far as there is room for them; returns how many were taken, the first ones.
    pub(super) fn handle_ways(&mut self, kinds: &[Kind], now: Instant) -> usize {
        let known = self.ways.len();
        let taken = kinds.len().min(MAX_WAYS.saturating_sub(known));
        let way = |kind: &Kind| Way { kind: *kind, worked: None, attempts: VecDeque::new(), due: None };
        self.ways.extend(kinds.iter().take(taken).map(way));
        if self.seeking.is_some() {
            self.plan(known, now);
        }
        taken
    }

    /// The first session, which somebody else opened; `way` is how, if that is known.
    pub(super) fn handle_first(&mut self, session: SessionId, kind: Kind, way: Option<usize>, now: Instant) {
        if let Some(way) = way.and_then(|way| self.ways.get_mut(way)) {
            way.worked = Some(now);
        }
        self.take(session, kind);
    }

    /// An attempt led to a session that is to be greeted: the others are given up, as each further session would end
    /// this one. Beside a relayed session direct ones may go on. False if the attempt was given up.
    pub(super) fn handle_dialed(&mut self, attempt: Attempt, kind: Kind) -> bool {
        let known = self.ways.iter().any(|way| way.attempts.iter().any(|one| one.attempt == attempt));
        for way in &mut self.ways {
            for one in way.attempts.iter_mut().filter(|one| one.attempt == attempt) {
                one.dialed = true;
            }
        }
        if known {
            self.abandon(|way| kind != Kind::Relayed || way == Kind::Relayed);
        }
        known
    }

    /// An attempt led to a greeted session.
    pub(super) fn handle_connected(
        &mut self,
        attempt: Attempt,
        session: SessionId,
        kind: Kind,
        now: Instant,
    ) {
        for way in &mut self.ways {
            let before = way.attempts.len();
            way.attempts.retain(|one| one.attempt != attempt);
            if way.attempts.len() < before {
                way.worked = Some(now);
            }
        }
        let direct = self.held.is_some_and(|held| held.kind != Kind::Relayed && held.doubt.is_none());
        if direct && kind == Kind::Relayed {
            self.steps.push_back(Step::Leave(session));
        } else {
            self.take(session, kind);
        }
    }

    /// An attempt came to nothing. The way is dialed again when its time comes.
    pub(super) fn handle_failed(&mut self, attempt: Attempt) {
        for way in &mut self.ways {
            way.attempts.retain(|one| one.attempt != attempt);
        }
    }

    /// A direct connection carries a session now, beside the relayed one.
    pub(super) fn handle_moved(&mut self, session: SessionId, kind: Kind) {
        self.take(session, kind);
    }

    /// No direct connection came about.
    pub(super) fn handle_not_moved(&mut self, from: SessionId, now: Instant) {
        if let Some(held) = self.held.as_mut().filter(|held| held.id == from) {
            held.direct_due = Some(now + DIRECT_AGAIN);
        }
    }

    /// A session is over.
    pub(super) fn handle_gone(&mut self, session: SessionId, now: Instant) {
        if self.held.is_some_and(|held| held.id == session) {
            self.held = None;
            if self.seeking.is_none() {
                self.seek(now, now);
            }
        }
    }

    /// The session may be dead: a heartbeat or an answer is overdue.
    pub(super) fn handle_doubt(&mut self, now: Instant) {
        if self.doubt() && self.seeking.is_none() {
            self.seek(now, now + SECOND_THOUGHT);
        }
    }

    /// We slept, or the network did: whatever was under way is void, and now is the time to try.
    pub(super) fn handle_jump(&mut self, now: Instant) {
        self.abandon(|_| true);
        let doubted = self.doubt();
        self.seek(now, if doubted { now + SECOND_THOUGHT } else { now });
    }

    /// A session gave the sign of life that it was asked for.
    pub(super) fn handle_alive(&mut self, session: SessionId) {
        if let Some(held) = self.held.as_mut().filter(|held| held.id == session)
            && held.doubt.take().is_some()
        {
            self.abandon(|_| true);
            self.rest();
        }
    }

    /// A session did not give it in time. It may still do: it is kept until there is another.
    pub(super) fn handle_silent(&mut self, session: SessionId, now: Instant) {
        if let Some(held) = self.held.as_mut().filter(|held| held.id == session && held.doubt.is_some()) {
            held.doubt = Some(Doubt::AskAt(now + PROBE));
            if held.kind == Kind::Rlpx {
                self.steps.push_back(Step::Leave(session)); // this stack takes no second session of one key
            }
        }
    }

    /// Time has come to [`Machine::poll_timeout`].
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(Held { id, doubt: Some(doubt), .. }) = &mut self.held
            && matches!(doubt, Doubt::AskAt(at) if *at <= now)
        {
            *doubt = Doubt::Asked;
            self.steps.push_back(Step::Probe(*id));
        }
        if let Some(Held { id, direct_due, .. }) = &mut self.held
            && direct_due.take_if(|due| *due <= now).is_some()
        {
            self.steps.push_back(Step::AwaitDirect(*id));
        }
        if self.search_due.is_some_and(|due| due <= now) {
            self.search_due = Some(now + SEARCH_AGAIN);
            self.steps.push_back(Step::Search);
        }
        let again = self.seeking.map(|since| now + pause(now.saturating_duration_since(since)));
        for (index, way) in self.ways.iter_mut().enumerate() {
            if way.due.take_if(|due| *due <= now).is_none() {
                continue;
            }
            if way.attempts.len() >= ABREAST
                && let Some(oldest) = way.attempts.pop_front()
            {
                self.steps.push_back(Step::Abandon(oldest.attempt));
            }
            self.attempts += 1;
            let attempt = Attempt(self.attempts);
            way.attempts.push_back(Dial { attempt, dialed: false });
            way.due = again;
            self.steps.push_back(Step::Dial { attempt, way: index });
        }
    }

    /// When [`Machine::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let probe = match self.held {
            Some(Held { doubt: Some(Doubt::AskAt(at)), .. }) => Some(at),
            Some(_) | None => None,
        };
        let direct = self.held.and_then(|held| held.direct_due);
        let ways = self.ways.iter().filter_map(|way| way.due);
        ways.chain(probe).chain(direct).chain(self.search_due).min()
    }

    /// The next thing to carry out.
    pub(super) fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// The session that counts.
    pub(super) fn session(&self) -> Option<SessionId> {
        self.held.map(|held| held.id)
    }

    /// A new session takes over.
    fn take(&mut self, session: SessionId, kind: Kind) {
        let direct = kind != Kind::Relayed;
        if let Some(old) = self.held.replace(Held { id: session, kind, doubt: None, direct_due: None }) {
            let moves = direct && old.kind == Kind::Relayed && old.doubt.is_none();
            self.steps.push_back(if moves { Step::Retire(old.id) } else { Step::Leave(old.id) });
        }
        // Beside a relayed session what was begun directly goes on, once.
        self.abandon(|way| direct || way == Kind::Relayed);
        let dues: Vec<_> = self.ways.iter().map(|way| way.due.filter(|_| way.attempts.is_empty())).collect();
        self.rest();
        if !direct {
            for (way, due) in self.ways.iter_mut().zip(dues).filter(|(way, _)| way.kind != Kind::Relayed) {
                way.due = due;
            }
            self.steps.push_back(Step::AwaitDirect(session));
        }
    }

    /// Asks the session for a sign of life unless that is done already; false if there is no session.
    fn doubt(&mut self) -> bool {
        let Some(held) = &mut self.held else { return false };
        if !matches!(held.doubt, Some(Doubt::Asked)) {
            held.doubt = Some(Doubt::Asked);
            self.steps.push_back(Step::Probe(held.id));
        }
        true
    }

    /// Begins to seek a session, with every way.
    fn seek(&mut self, now: Instant, from: Instant) {
        self.seeking = Some(now);
        self.search_due = Some(now + SEARCH_AFTER);
        self.plan(0, from);
    }

    /// Plans to dial the ways from `first` on: what worked last first, relayed ones last.
    fn plan(&mut self, first: usize, from: Instant) {
        let ways = self.ways.get_mut(first..).unwrap_or_default();
        let direct = || ways.iter().filter(|way| way.kind != Kind::Relayed);
        let head_start = if direct().any(|way| way.worked.is_some()) {
            DIRECT_FIRST
        } else if direct().next().is_some() {
            DIRECT_MAYBE
        } else {
            Duration::ZERO
        };
        let mut order: Vec<&mut Way> = ways.iter_mut().collect();
        order.sort_by_key(|way| (way.kind == Kind::Relayed, std::cmp::Reverse(way.worked), way.kind));
        let (mut next, mut next_relayed) = (from, from + head_start);
        for way in order {
            let next = if way.kind == Kind::Relayed { &mut next_relayed } else { &mut next };
            way.due = Some(*next);
            *next += HEAD_START;
        }
    }

    /// Nothing is sought any more.
    fn rest(&mut self) {
        self.seeking = None;
        self.search_due = None;
        for way in &mut self.ways {
            way.due = None;
        }
    }

    fn abandon(&mut self, which: impl Fn(Kind) -> bool) {
        for way in self.ways.iter_mut().filter(|way| which(way.kind)) {
            // What is being greeted has ended the session before it, so it is not left half done.
            way.attempts.retain(|one| {
                if !one.dialed {
                    self.steps.push_back(Step::Abandon(one.attempt));
                }
                one.dialed
            });
        }
    }
}

/// Pause between two attempts of a way when a session is sought for so long.
fn pause(sought: Duration) -> Duration {
    let Some(tired) = sought.checked_sub(EAGER) else { return AGAIN };
    let minutes = usize::try_from(tired.as_secs() / 60).unwrap_or(usize::MAX);
    TIRED.get(minutes).or(TIRED.last()).copied().unwrap_or(AGAIN)
}

#[cfg(test)]
mod tests;
