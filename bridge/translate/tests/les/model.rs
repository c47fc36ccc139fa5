//! A server and its light peers joined by pipes with delay, under virtual time: whatever they do, the promises
//! of design.md 7.6 hold.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use alloy_primitives::{B256, B512};
use bytes::Bytes;
use causeway_translate::{
    Client, ClientCommand, Command, MessageId, ServerConfig, Ticket, Translator, Unanswered,
};
use causeway_wire::{
    Answer, NodeKey, PeerId, Query, RequestId, SessionId, TransactionStatus,
    les::{FlowControl, Message, Version},
};
use proptest::prelude::*;

use crate::kit::*;

const PEERS: usize = 3;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A light peer asks one of a few questions.
    Ask { peer: usize, kind: u8, number: u64, amount: u64 },
    /// A light peer loses interest in its latest question.
    Forget { peer: usize },
    /// The backend answers one of the questions put to it.
    Answer { which: usize, how: u8 },
    /// The chain grows, or is reorganised.
    Head { branch: u8 },
    /// Time passes.
    Pass { millis: u64 },
    /// A session ends and the peer comes back with another version.
    Reconnect { peer: usize, version: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..PEERS, 0..6u8, 0..4u64, 0..210u64)
            .prop_map(|(peer, kind, number, amount)| Step::Ask { peer, kind, number, amount }),
        1 => (0..PEERS).prop_map(|peer| Step::Forget { peer }),
        6 => (0..100usize, 0..8u8).prop_map(|(which, how)| Step::Answer { which, how }),
        1 => (0..2u8).prop_map(|branch| Step::Head { branch }),
        6 => (0..120u64).prop_map(|millis| Step::Pass { millis }),
        1 => (500..12_000u64).prop_map(|millis| Step::Pass { millis }),
        1 => (0..PEERS, 0..3usize).prop_map(|(peer, version)| Step::Reconnect { peer, version }),
    ]
}

/// One direction of a connection: messages arrive in order, after a delay.
#[derive(Default)]
struct Pipe(VecDeque<(Instant, u64, Bytes)>);

impl Pipe {
    fn put(&mut self, at: Instant, code: u64, payload: Bytes) {
        self.0.push_back((at, code, payload));
    }

    fn due(&self) -> Option<Instant> {
        self.0.front().map(|(at, _, _)| *at)
    }

    fn take(&mut self, now: Instant) -> Option<(u64, Bytes)> {
        self.0.pop_front_if(|(at, _, _)| *at <= now).map(|(_, code, payload)| (code, payload))
    }
}

struct Link {
    session: SessionId,
    version: Version,
    client: Client,
    delay: Duration,
    up: Pipe,
    down: Pipe,
    /// Requests sent and not yet answered.
    open: BTreeSet<RequestId>,
    /// Questions asked of the client and not yet answered by it.
    asked: BTreeSet<Ticket>,
    td: alloy_primitives::U256,
}

struct World {
    now: Instant,
    flow: FlowControl,
    server: Translator,
    links: Vec<Link>,
    put: BTreeMap<Ticket, Query>,
    unreleased: BTreeSet<MessageId>,
    next_message: u64,
    next_session: u64,
    next_ticket: u64,
    number: u64,
}

impl World {
    fn new(flow: FlowControl) -> Self {
        let config = ServerConfig { flow: flow.clone(), ..server_config() };
        let mut world = Self {
            now: Instant::now(),
            flow,
            server: Translator::new(config),
            links: Vec::new(),
            put: BTreeMap::new(),
            unreleased: BTreeSet::new(),
            next_message: 0,
            next_session: 0,
            next_ticket: 0,
            number: 100,
        };
        for peer in 0..PEERS {
            let link = world.connect(peer, Version::ALL[peer % 3]);
            world.links.push(link);
        }
        world.server.handle_head(head(100), world.now);
        world.settle();
        world
    }

    fn connect(&mut self, peer: usize, version: Version) -> Link {
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let key = NodeKey(B512::with_last_byte(peer as u8));
        self.server.handle_open(session, PeerId::devp2p(key), version, self.now);
        Link {
            session,
            version,
            client: Client::new(client_config(), version, None, u64::MAX - 2, self.now),
            delay: Duration::from_millis([0, 3, 40][peer % 3]),
            up: Pipe::default(),
            down: Pipe::default(),
            open: BTreeSet::new(),
            asked: BTreeSet::new(),
            td: alloy_primitives::U256::ZERO,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Ask { peer, kind, number, amount } => {
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                let hashes = vec![B256::with_last_byte(number as u8); amount as usize];
                let query = match kind {
                    0 => Query::Bodies(hashes),
                    1 => Query::TransactionStatus(hashes),
                    2 => Query::SendTransactions(vec![transaction(number as u8); amount.min(70) as usize]),
                    _ => headers(number, amount),
                };
                let link = &mut self.links[peer];
                link.asked.insert(ticket);
                link.client.ask(ticket, query, self.now);
            }
            Step::Forget { peer } => {
                let link = &mut self.links[peer];
                if let Some(ticket) = link.asked.pop_last() {
                    link.client.forget(ticket);
                }
            }
            Step::Answer { which, how } => {
                let tickets: Vec<Ticket> = self.put.keys().copied().collect();
                if tickets.is_empty() {
                    return;
                }
                let ticket = tickets[which % tickets.len()];
                let query = self.put.remove(&ticket).unwrap();
                self.server.handle_answer(ticket, answer_to(&query, how), self.now);
            }
            Step::Head { branch } => {
                self.number += 1;
                let update = head_on(branch, self.number.saturating_sub(3), self.number, 1000 + self.number);
                self.server.handle_head(update, self.now);
            }
            Step::Pass { millis } => self.pass(Duration::from_millis(millis)),
            Step::Reconnect { peer, version } => {
                self.disconnect(peer);
                self.links[peer] = self.connect(peer, Version::ALL[version]);
            }
        }
        self.settle();
    }

    fn disconnect(&mut self, peer: usize) {
        self.server.handle_close(self.links[peer].session);
        self.links[peer].client.handle_close();
        self.settle();
        let link = &self.links[peer];
        assert!(link.asked.is_empty(), "each question has an outcome");
        assert_eq!(link.client.pending(), 0);
        assert_eq!(link.client.poll_timeout(), None);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let pipes = self.links.iter().flat_map(|link| [link.up.due(), link.down.due()]);
            let clients = self.links.iter().map(|link| link.client.poll_timeout());
            let due = pipes.chain(clients).chain([self.server.poll_timeout()]).flatten().min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.wake();
        }
        self.now = end;
    }

    fn wake(&mut self) {
        let now = self.now;
        if self.server.poll_timeout().is_some_and(|due| due <= now) {
            self.server.handle_timeout(now);
            assert!(self.server.poll_timeout().is_none_or(|due| due > now), "the server sleeps");
        }
        for link in &mut self.links {
            if link.client.poll_timeout().is_some_and(|due| due <= now) {
                link.client.handle_timeout(now);
                assert!(link.client.poll_timeout().is_none_or(|due| due > now), "the client sleeps");
            }
        }
    }

    /// Carries everything out that is decided or has arrived.
    fn settle(&mut self) {
        loop {
            let mut idle = true;
            while let Some(command) = self.server.poll_command() {
                idle = false;
                self.carry_out(command);
            }
            for peer in 0..self.links.len() {
                while let Some(command) = self.links[peer].client.poll_command() {
                    idle = false;
                    self.carry_out_for(peer, command);
                }
                let now = self.now;
                if let Some((code, payload)) = self.links[peer].up.take(now) {
                    idle = false;
                    let message = MessageId(self.next_message);
                    self.next_message += 1;
                    self.unreleased.insert(message);
                    self.server.handle_message(self.links[peer].session, message, code, &payload, now);
                }
                if let Some((code, payload)) = self.links[peer].down.take(now) {
                    idle = false;
                    self.links[peer].client.handle_message(code, &payload, now);
                }
            }
            if idle {
                break;
            }
        }
        let (_, questions, unreleased) = self.server.pending();
        assert_eq!(questions, self.put.len(), "the shell has put what the core waits for");
        assert_eq!(unreleased, self.unreleased.len());
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Ask { ticket, query } => {
                assert_eq!(self.put.insert(ticket, query), None, "tickets are not reused");
            }
            // Given up in time, or nobody waits: unless it is answered already, it is under way.
            Command::Forget { ticket } => assert!(self.put.remove(&ticket).is_some()),
            Command::Release { message } => {
                assert!(self.unreleased.remove(&message), "released exactly once");
            }
            Command::Heartbeat { session, .. } => panic!("{session} wished for no heartbeat"),
            Command::Close { session, fault } => panic!("{session} did nothing wrong: {fault}"),
            Command::Send { session, code, payload } => {
                let Some(link) = self.links.iter_mut().find(|link| link.session == session) else {
                    panic!("sent to a session that is gone");
                };
                let message = Message::decode(link.version, code, &payload.clone().into()).unwrap();
                check(link, &self.flow, &message);
                link.down.put(self.now + link.delay, code, payload);
            }
        }
    }

    fn carry_out_for(&mut self, peer: usize, command: ClientCommand) {
        let link = &mut self.links[peer];
        match command {
            ClientCommand::Send { code, payload } => {
                let message = Message::decode(link.version, code, &payload.clone().into()).unwrap();
                if let Message::Request { id, .. } = message {
                    assert!(link.open.insert(id), "ids are not reused");
                }
                link.up.put(self.now + link.delay, code, payload);
            }
            ClientCommand::Answered { ticket, .. } => {
                assert!(link.asked.remove(&ticket), "one outcome for each question");
            }
            ClientCommand::Greeted { .. } | ClientCommand::Announced(_) => {}
            ClientCommand::Close(fault) => panic!("the server did nothing wrong: {fault}"),
        }
    }

    fn end(mut self) {
        for peer in 0..PEERS {
            self.disconnect(peer);
        }
        assert_eq!(self.server.pending(), (0, 0, 0));
        assert_eq!(self.server.poll_timeout(), None);
        assert!(self.unreleased.is_empty());
        assert!(self.put.is_empty());
    }
}

/// What holds of everything that a server sends to a light peer that keeps the rules.
fn check(link: &mut Link, flow: &FlowControl, message: &Message) {
    match message {
        Message::Response { id, buffer, .. } => {
            assert!(link.open.remove(id), "at most one answer to a request");
            assert!(*buffer <= flow.buffer_limit);
        }
        Message::Stop | Message::Resume { .. } => panic!("the client never overspends"),
        Message::Announce(announce) => {
            let td = announce.head.unwrap().td;
            assert!(td > link.td, "never backwards");
            link.td = td;
        }
        Message::Status(status) => link.td = status.head.td,
        Message::Request { .. } => panic!("a server does not ask"),
    }
}

fn answer_to(query: &Query, how: u8) -> Result<Answer, Unanswered> {
    let amount = query.amount() as usize;
    match (how, query) {
        (0, _) => Err(Unanswered::Unavailable),
        (1, _) => Err(Unanswered::NotServed),
        (_, Query::Headers { .. }) => Ok(some_headers(amount / usize::from(how))),
        (_, Query::Bodies(_)) => Ok(Answer::Bodies(vec![vec![0xc2, 0xc0, 0xc0].into(); amount])),
        _ => {
            let unknown = TransactionStatus { status: 0, inclusion: None, error: String::new() };
            Ok(Answer::TransactionStatus(vec![unknown; amount]))
        }
    }
}

/// Promises from generous to mean: a full request of headers may be the whole buffer, and more.
fn promise() -> impl Strategy<Value = FlowControl> {
    prop_oneof![
        Just(ServerConfig::default_flow()),
        (1_000..2_000_000u64, 1..5_000u64, 0..20_000u64)
            .prop_map(|(limit, recharge, item)| flow(limit, recharge, item)),
    ]
}

/// A light peer that asks without counting.
struct Greedy {
    server: Server,
    flow: FlowControl,
    put: Vec<(Ticket, Query)>,
    open: BTreeSet<u64>,
    unreleased: BTreeSet<u64>,
    next_id: u64,
    stopped: bool,
    closed: bool,
}

impl Greedy {
    fn new(flow: FlowControl, version: Version) -> Self {
        let mut server = Server::with_flow(flow.clone());
        server.greeted(1, version);
        Self {
            server,
            flow,
            put: Vec::new(),
            open: BTreeSet::new(),
            unreleased: BTreeSet::new(),
            next_id: 0,
            stopped: false,
            closed: false,
        }
    }

    fn act(&mut self, act: u8, number: u64, amount: u64) {
        match act {
            0 => {
                let id = self.next_id;
                self.next_id += 1;
                self.open.insert(id);
                let (message, deeds) = self.server.ask(1, id, headers(number, amount));
                self.unreleased.insert(message);
                self.check(deeds);
            }
            1 if !self.put.is_empty() => {
                let (ticket, query) = self.put.remove(number as usize % self.put.len());
                let deeds = self.server.answer(ticket, some_headers(query.amount() as usize));
                self.check(deeds);
            }
            _ => {
                let deeds = self.server.pass(Duration::from_millis(amount * number));
                self.check(deeds);
            }
        }
    }

    fn check(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Sent(_, Message::Response { id, buffer, .. }) => {
                    assert!(!self.stopped, "nothing is answered between Stop and Resume");
                    assert!(self.open.remove(&id.0), "at most one answer to a request");
                    assert!(buffer <= self.flow.buffer_limit);
                }
                Deed::Sent(_, Message::Stop) => {
                    assert!(!self.stopped);
                    assert!(self.put.is_empty(), "nothing is under way any more");
                    self.stopped = true;
                }
                Deed::Sent(_, Message::Resume { buffer }) => {
                    assert!(self.stopped);
                    assert!(buffer > self.flow.buffer_limit / 8 && buffer <= self.flow.buffer_limit);
                    self.stopped = false;
                }
                Deed::Sent(_, other) => panic!("{other:?}"),
                Deed::Asked(ticket, query) => {
                    assert!(!self.stopped);
                    self.put.push((ticket, query));
                }
                Deed::Forgot(ticket) => self.put.retain(|(other, _)| *other != ticket),
                Deed::Beats(..) => panic!("nobody wished for it"),
                Deed::Released(message) => assert!(self.unreleased.remove(&message), "once"),
                Deed::Closed(_, fault) => {
                    assert_eq!(fault.reason(), 0x03);
                    self.closed = true;
                }
            }
        }
        let (sessions, questions, unreleased) = self.server.core.pending();
        assert_eq!(sessions, usize::from(!self.closed));
        assert_eq!((questions, unreleased), (self.put.len(), self.unreleased.len()));
    }

    fn end(mut self) {
        let deeds = self.server.close(1);
        self.closed = true;
        self.check(deeds);
        assert_eq!(self.server.core.pending(), (0, 0, 0));
        assert_eq!(self.server.core.poll_timeout(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_whatever_happens(
        flow in promise(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(flow);
        for step in steps {
            world.step(step);
        }
        world.end();
    }

    #[test]
    fn greedy_peers_get_no_more_than_they_were_promised(
        (limit, recharge, item) in (1_000..200_000u64, 1..2_000u64, 1..2_000u64),
        version in 0..3usize,
        acts in proptest::collection::vec((0..3u8, 0..8u64, 1..100u64), 1..150),
    ) {
        let mut greedy = Greedy::new(flow(limit, recharge, item), Version::ALL[version]);
        for (act, number, amount) in acts {
            greedy.act(act, number, amount);
        }
        greedy.end();
    }

    #[test]
    fn no_message_makes_a_server_panic_or_leak(
        messages in proptest::collection::vec((0..26u64, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
        greeted in any::<bool>(),
    ) {
        let mut server = Server::with_head(server_config());
        if greeted { server.greeted(1, Version::Les4); } else { server.open(1, Version::Les4); }
        let mut released = 0;
        let count = messages.len();
        let mut deeds = Vec::new();
        for (code, payload) in messages {
            deeds.extend(server.say_raw(1, code, payload.into()).1);
        }
        deeds.extend(server.close(1));
        released += deeds.iter().filter(|deed| matches!(deed, Deed::Released(_))).count();
        prop_assert_eq!(released, count);
        prop_assert_eq!(server.core.pending(), (0, 0, 0));
    }

    #[test]
    fn no_message_makes_a_client_panic(
        messages in proptest::collection::vec((0..26u64, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let mut asker = Asker::with_flow(flow(1000, 1, 1));
        asker.ask(1, headers(1, 1));
        for (code, payload) in messages {
            asker.core.handle_message(code, &payload.into(), asker.now);
        }
        asker.core.handle_close();
        prop_assert_eq!(asker.core.pending(), 0);
        prop_assert_eq!(asker.core.poll_timeout(), None);
    }
}
